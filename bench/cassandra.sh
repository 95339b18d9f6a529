#!/usr/bin/env bash
# Upserts into a real Apache Cassandra of this machine through the store, beside the best that bare loops with the same driver reach, in one
# run. ROWS and ROUNDS change what is run.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${CASSANDRA_VERSION:-5.0.8}
port=${CASSANDRA_PORT:-29142}
target="${CARGO_TARGET_DIR:-$HOME/.cache/daybook/target}"
dir=$(mktemp -d)
server=
stop() {
  [ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap stop EXIT
trap 'exit 130' INT TERM
scripts/cargo.sh build -q --release --locked --workspace --example cassandra_bench
. scripts/cassandra-server.sh
cassandra_configure 1 1 "$port" </dev/null
cassandra_run 1 1g >"$dir/cassandra.log" 2>&1 &
server=$!
for _ in $(seq 1200); do cassandra_up 1 "$port" && break; kill -0 $server; sleep 0.1; done
"$target/release/examples/cassandra_bench" "127.0.0.1:$port" "${ROWS:-200000}" "${ROUNDS:-3}"
