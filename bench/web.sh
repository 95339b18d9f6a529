#!/usr/bin/env bash
# How soon the web server has a day of many keys: from the start of `daybook web` to all rows over HTTP, with the store in a real Apache
# Cassandra of this machine, and in a SQLite file. Log, store and everything else run beside it, idle.
#
#   bench/web.sh target/release/daybook
#
# Environment: KEYS (100000), ROUNDS (5), CASSANDRA_PORT (29442), PORT_OFFSET (3400) of Daybook's ports.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${1:?the path of the program}
version=${CASSANDRA_VERSION:-5.0.8}
port=${CASSANDRA_PORT:-29442}
offset=${PORT_OFFSET:-3400}
keys=${KEYS:-100000}
dir=$(mktemp -d)
daybook=
server=
stop() {
  for pid in $daybook $server; do kill -KILL "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap stop EXIT
trap 'exit 130' INT TERM
fail() { echo "$1" >&2; tail -n 20 "$dir"/*.log "$dir"/*.out >&2; exit 1; }

. scripts/cassandra-server.sh
. scripts/daybook-process.sh
cassandra_configure 1 1 "$port" </dev/null
cassandra_run 1 1g >"$dir/cassandra.log" 2>&1 &
server=$!
for _ in $(seq 1200); do cassandra_up 1 "$port" && break; kill -0 "$server"; sleep 0.1; done
sed "s/127.0.0.1:19042/127.0.0.1:$port/" config/cassandra.toml >"$dir/cassandra.toml"
echo >"$dir/sqlite.toml"
now=$(date -u +%FT%TZ)
seq "$keys" | sed "s/.*/{\"id\":\"k&\",\"account\":\"account-&\",\"amount\":\"12.50\",\"currency\":\"EUR\",\"booked_at\":\"$now\"}/" >"$dir/in.ndjson"
for store in cassandra sqlite; do
  daybook_start $store --only front,log,aggregate,sink
  daybook_says $store '^Daybook is ready' 90
  "$bin" send "${common[@]}" --quiet --source json "$dir/in.ndjson" 2>>"$dir/send.log"
  daybook_proves "$keys"
  cp "$dir/$store.toml" "$dir/web.toml"
  printf '\n[admin]\naddress = "127.0.0.1:9191"\n' >>"$dir/web.toml"
  web="$dir/$store-web"
  [ $store = cassandra ] || printf '[store]\npath = "%s"\n' "$dir/$store/store.db" >>"$dir/web.toml"
  echo "$keys keys of a day, store: $store"
  python3 bench/web_start.py "http://127.0.0.1:$((8080 + offset))/api/v1/daily_totals/snapshot" "$keys" "${ROUNDS:-5}" \
    "$bin" web --config "$dir/web.toml" --data-dir "$web" --port-offset "$offset"
  daybook_stops
done
