#!/usr/bin/env bash
# Many browsers on one web server: a stream of a window of 50 rows at 10 frames a second for each, and some that never read.
#
#   bench/fanout.sh [clients] [sleepers] [seconds]
#
# Environment: KEYS (50) of the table, RATE (1000) changes a second, PORT (17080). The number of open files must allow it: ulimit -n 65536.
set -euo pipefail
cd "$(dirname "$0")/.."
ulimit -n "$(ulimit -Hn)"
target=${CARGO_TARGET_DIR:-target}
scripts/cargo.sh build --workspace --release --locked --examples
"$target/release/examples/dev" "${KEYS:-50}" "${RATE:-1000}" "${PORT:-17080}" 2>/dev/null &
server=$!
trap 'kill $server 2>/dev/null || true' EXIT
until curl -sf "http://127.0.0.1:${PORT:-17080}/readyz" >/dev/null; do kill -0 $server; sleep 0.1; done
sleep 2
"$target/release/examples/fanout" "127.0.0.1:${PORT:-17080}" $server "${1:-10000}" "${2:-300}" "${3:-30}"
curl -s "http://127.0.0.1:${PORT:-17080}/api/v1/pipeline" | python3 -c 'import json,sys; p=json.load(sys.stdin); print("clients", p["clients"], "cut", p["clients_cut"])'
