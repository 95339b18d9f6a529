#!/usr/bin/env bash
# The connector beside a bare loop of librdkafka transactions with the same records: into a real Apache Kafka, where one
# is given, and into the embedded log. KAFKA=host:port, RATE, SECONDS_EACH, MESSAGES and READERS change what is run.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${1:?the path of the program}
offset=${PORT_OFFSET:-2700}
dir=$(mktemp -d)
target="${CARGO_TARGET_DIR:-$HOME/.cache/daybook/target}"
scripts/cargo.sh build -q --release --locked --workspace --example connector_bench
"$bin" --data-dir "$dir/data" --port-offset "$offset" up --only log >"$dir/log" 2>&1 &
pid=$!
trap 'kill -INT $pid 2>/dev/null; wait $pid 2>/dev/null; rm -rf "$dir"' EXIT
for _ in $(seq 1200); do grep -q '^Daybook is ready' "$dir/log" && break; kill -0 $pid; sleep 0.05; done
failed=0
run() { "$target/release/examples/connector_bench" "$@" || failed=1; }
embedded="127.0.0.1:$((9092 + offset))"
for servers in $embedded ${KAFKA:-}; do
  [ "$servers" = "$embedded" ] && echo "embedded log" || echo "Kafka at $servers"
  for readers in 0 ${READERS:-1 4 8}; do
    run "$servers" --readers "$readers" --messages "${MESSAGES:-1000000}"
  done
  for readers in 0 ${READERS:-1 4 8}; do
    run "$servers" --readers "$readers" --rate "${RATE:-10000}" --seconds "${SECONDS_EACH:-10}"
  done
done
exit $failed
