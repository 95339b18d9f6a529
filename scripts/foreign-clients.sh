#!/usr/bin/env bash
# Other people's clients read our topics: confluent-kafka (Python, librdkafka), Kafka's own console
# consumer (Java) and franz-go (Go), which also writes; and pyiso20022 reads the gateway's status reports.
# Starts a pipeline of its own on other ports and stops it.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${DAYBOOK_BIN:?the path of the program}
cache="$HOME/.cache/daybook"
dir=$(mktemp -d)
offset=2400
"$bin" --data-dir "$dir/data" --port-offset $offset up >"$dir/up.log" 2>&1 &
pid=$!
trap 'kill -INT $pid 2>/dev/null; wait $pid 2>/dev/null; rm -rf "$dir"' EXIT
for _ in $(seq 1200); do grep -q '^Daybook is ready' "$dir/up.log" && break; kill -0 $pid; sleep 0.05; done
today=$(date -u +%F)
for i in $(seq 1 100); do
  echo "{\"id\":\"t$i\",\"account\":\"a$((i % 7))\",\"amount\":\"$i.25\",\"currency\":\"EUR\",\"booked_at\":\"${today}T12:00:00Z\"}"
done >"$dir/in.ndjson"
"$bin" --data-dir "$dir/data" --port-offset $offset send --quiet --source json "$dir/in.ndjson" >/dev/null
"$bin" --data-dir "$dir/data" --port-offset $offset prove >/dev/null
servers=127.0.0.1:$((9092 + offset))

. scripts/venv.sh
venv_with confluent_kafka 'confluent-kafka>=2.6'
"$venv/bin/python" scripts/read_topics.py "$servers"
scripts/franz-go.sh "$servers"

kafka="$cache/kafka-tools"
if [ ! -f "$kafka/done" ]; then
  mkdir -p "$kafka"
  mvn -q -B -f scripts/kafka-tools.xml dependency:copy-dependencies -DoutputDirectory="$kafka"
  touch "$kafka/done"
fi
for topic in transactions daily_totals; do
  java -cp "$kafka/*" org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server "$servers" --topic "$topic" \
    --from-beginning --isolation-level read_committed --timeout-ms 15000 >"$dir/$topic.txt" 2>"$dir/java.log" || true
done
# And as a member of a group of the new protocol (KIP-848), which the broker describes afterwards.
java -cp "$kafka/*" org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server "$servers" --topic transactions \
  --group foreign --consumer-property group.protocol=consumer --consumer-property auto.offset.reset=earliest \
  --isolation-level read_committed --timeout-ms 15000 >"$dir/member.txt" 2>>"$dir/java.log" || true
java -cp "$kafka/*" org.apache.kafka.tools.consumer.group.ConsumerGroupCommand --bootstrap-server "$servers" \
  --describe --state --group foreign >"$dir/group.txt" 2>>"$dir/java.log" || true
java_transactions=$(grep -c '"account"' "$dir/transactions.txt" || true)
java_accounts=$(grep -oE '"account":"a[0-6]"' "$dir/daily_totals.txt" | sort -u | wc -l)
java_member=$(grep -c '"account"' "$dir/member.txt" || true)
echo "Java console consumer: $java_transactions transactions, results of $java_accounts accounts"
echo "Java console consumer, group.protocol=consumer: $java_member transactions"
if [ "$java_transactions" != 100 ] || [ "$java_accounts" != 7 ] || [ "$java_member" != 100 ] ||
  ! grep -qE '^foreign .* uniform +Empty ' "$dir/group.txt"; then
  cat "$dir/java.log" "$dir/group.txt"
  exit 1
fi
# Last, as it adds transactions.
venv_with pyiso20022 'pyiso20022==1.6.2'
venv_with xsdata xsdata
venv_with lxml lxml
"$venv/bin/python" scripts/status_reports.py "http://127.0.0.1:$((8081 + offset))"
