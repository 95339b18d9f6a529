#!/usr/bin/env bash
# The embedded log beside a warm Apache Kafka of this machine, in turn, with the same client: every write forced to disk in both,
# then in neither (on a file system in memory, and with Kafka's own settings). BIN is the program. RECORDS, RATE, SECONDS_EACH and
# ROUNDS change what is run.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${1:?the path of the program}
offset=${PORT_OFFSET:-2800}
target="${CARGO_TARGET_DIR:-$HOME/.cache/daybook/target}"
scripts/cargo.sh build -q --release --locked --workspace --example broker_bench
stop() { kill -INT "$1" 2>/dev/null || true; wait "$1" 2>/dev/null || true; }
run() { # name, bootstrap, pid
  printf '%-34s' "$1"
  "$target/release/examples/broker_bench" "$2" "$3" "${RECORDS:-1000000}" "${RATE:-10000}" "${SECONDS_EACH:-10}"
}
embedded() { # name, directory
  local dir pid
  dir=$(mktemp -d -p "$2")
  "$bin" --data-dir "$dir/data" --port-offset "$offset" up --only log >"$dir/log" 2>&1 &
  pid=$!
  for _ in $(seq 1200); do grep -q '^Daybook is ready' "$dir/log" && break; kill -0 $pid; sleep 0.05; done
  run "$1" "127.0.0.1:$((9092 + offset))" $pid
  stop $pid
  rm -rf "$dir"
}
kafka() { # name, directory, settings
  local dir pid server
  dir=$(mktemp -d -p "$2")
  TMPDIR=$dir KAFKA_SETTINGS=$3 KAFKA_HEAP=1g scripts/kafka-conformance.sh up >"$dir/out" 2>&1 &
  pid=$!
  for _ in $(seq 1200); do grep -q '^Apache Kafka' "$dir/out" && break; kill -0 $pid; sleep 0.1; done
  server=$(pgrep -f "kafka.Kafka $dir" | head -1)
  run "$1" "127.0.0.1:${KAFKA_PORT:-29092}" "$server"
  kill -TERM $pid; wait $pid 2>/dev/null || true
  rm -rf "$dir"
}
forced=$'log.flush.interval.messages=1\n'
for round in $(seq "${ROUNDS:-1}"); do
  embedded "embedded, forced to disk" "${TMPDIR:-/tmp}"
  kafka "Apache Kafka, forced to disk" "${TMPDIR:-/tmp}" "$forced"
  embedded "embedded, in memory" /dev/shm
  kafka "Apache Kafka, in memory" /dev/shm ""
done
