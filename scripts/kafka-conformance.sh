#!/usr/bin/env bash
# One conformance suite, two targets: crates/kafka-broker/tests/conformance against the embedded broker and against a
# real Apache Kafka (KRaft, one node), which this script downloads, starts on the loopback interface and stops.
# Prints the number of checks for each and every check whose outcome differs; fails if one differs or fails.
#
#   scripts/kafka-conformance.sh [NAME]     NAME: only checks whose name holds it
#   scripts/kafka-conformance.sh up         only starts the real one and leaves it running until Ctrl-C
#
# Environment: KAFKA_VERSION (4.3.1), KAFKA_PORT (29092), KAFKA_CONTROLLER_PORT (29192), KAFKA_HEAP (512m), KAFKA_SETTINGS
# (further lines of its server.properties).
# Needs a JRE 17 or later and Maven; the jars are kept in ~/.cache/daybook.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${KAFKA_VERSION:-4.3.1}
port=${KAFKA_PORT:-29092}
controller_port=${KAFKA_CONTROLLER_PORT:-29192}
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$HOME/.cache/daybook/target}"
dir=$(mktemp -d)
pid=
stop() {
  if [ -n "$pid" ]; then
    kill -TERM "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  fi
  rm -rf "$dir"
}
trap stop EXIT
trap 'exit 130' INT TERM

. scripts/kafka-server.sh
# Housekeeping every half second, so that time-outs, retention and compaction can be waited for.
cat >"$dir/server.properties" <<CONF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller_port
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller_port
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$dir/data
$(kafka_small 1 1)
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=10
group.consumer.heartbeat.interval.ms=200
group.consumer.min.heartbeat.interval.ms=200
group.consumer.session.timeout.ms=5000
group.consumer.min.session.timeout.ms=5000
group.consumer.assignment.interval.ms=0
group.consumer.migration.policy=disabled
log.retention.check.interval.ms=500
log.retention.ms=-1
log.cleaner.backoff.ms=500
log.cleaner.dedupe.buffer.size=16777216
log.initial.task.delay.ms=500
${KAFKA_SETTINGS:-}
CONF
kafka_format "$dir/server.properties" "$(kafka_tool kafka.tools.StorageTool random-uuid)"
# The shell becomes the JVM, so that the id is its own.
kafka_run "${KAFKA_HEAP:-512m}" "$dir/server.properties" >"$dir/kafka.log" 2>&1 &
pid=$!
for _ in $(seq 1200); do
  (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
  kill -0 "$pid" 2>/dev/null || { tail -20 "$dir/kafka.log" >&2; exit 1; }
  sleep 0.1
done
if [ "${1:-}" = up ]; then
  echo "Apache Kafka $version on 127.0.0.1:$port, log in $dir/kafka.log"
  wait "$pid"
  exit
fi

suite() { # bootstrap or nothing, outcome
  KAFKA_BOOTSTRAP=$1 scripts/cargo.sh test --release --locked --workspace --test conformance -- ${filter:+"$filter"} \
    >"$dir/$2.log" 2>&1 || true
  grep -E '^test .* \.\.\. ' "$dir/$2.log" | sort >"$dir/$2.txt" || true
  echo "$2: $(grep -c ' ok$' "$dir/$2.txt" || true) checks passed, $(grep -c 'FAILED$' "$dir/$2.txt" || true) failed"
}
filter=${1:-}
suite "" "embedded broker"
suite "127.0.0.1:$port" "Apache Kafka $version"
if [ ! -s "$dir/embedded broker.txt" ]; then
  tail -40 "$dir/embedded broker.log" >&2
  exit 1
fi
result=0
# What the embedded broker's test does with it (scripts/foreign-clients.sh), the real one does too.
scripts/franz-go.sh "127.0.0.1:$port" || result=1
if ! diff "$dir/embedded broker.txt" "$dir/Apache Kafka $version.txt"; then
  echo "the targets differ (<: embedded, >: Apache Kafka)"
  result=1
fi
for target in "embedded broker" "Apache Kafka $version"; do
  if grep -q 'FAILED$' "$dir/$target.txt"; then
    echo "--- $target"
    grep -A12 -E '^---- |panicked' "$dir/$target.log" || true
    result=1
  fi
done
exit $result
