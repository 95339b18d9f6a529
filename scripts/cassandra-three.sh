#!/usr/bin/env bash
# Results in three nodes of Apache Cassandra on this machine (127.0.0.1, .2 and .3), three replicas, QUORUM: one node at a time is killed with -9
# under traffic and started again; then every total is proved. At least one node is always down or coming back.
#
#   DAYBOOK_BIN=daybook scripts/cassandra-three.sh
#
# Environment: CASSANDRA_VERSION (5.0.8), CASSANDRA_PORT (29242), PORT_OFFSET (3200) of Daybook's ports, KILLS (3), RATE (2000).
# Needs Java 11 or 17 and Maven; the jars are kept in ~/.cache/daybook.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${DAYBOOK_BIN:?the path of the program}
version=${CASSANDRA_VERSION:-5.0.8}
port=${CASSANDRA_PORT:-29242}
offset=${PORT_OFFSET:-3200}
kills=${KILLS:-3}
rate=${RATE:-2000}
dir=$(mktemp -d)
daybook=
servers=(0 0 0 0)
stop() {
  for pid in $daybook "${servers[@]:1}"; do [ "$pid" = 0 ] || kill -KILL "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap stop EXIT
trap 'exit 130' INT TERM
fail() { echo "$1" >&2; tail -n 20 "$dir"/*.log "$dir"/*.out >&2; exit 1; }

. scripts/cassandra-server.sh
. scripts/daybook-process.sh
start() { # node
  # The first word with the others may take longer than on its own.
  cassandra_run "$1" 448m -Dcassandra.ring_delay_ms=5000 >>"$dir/cassandra-$1.log" 2>&1 &
  servers[$1]=$!
  for _ in $(seq 1800); do
    cassandra_up "$1" "$port" && return
    kill -0 "${servers[$1]}" 2>/dev/null || break
    sleep 0.1
  done
  fail "node $1 did not start"
}
for node in 1 2 3; do
  cassandra_configure "$node" 3 "$port" </dev/null
  start "$node"
done
sed "s/^contact_points = .*/contact_points = [\"127.0.0.1:$port\", \"127.0.0.2:$port\", \"127.0.0.3:$port\"]/
  s/^replication = 1 /replication = 3 /" config/cassandra.toml >"$dir/three.toml"
daybook_start three
daybook_says three '^Daybook is ready' 90
touch "$dir/traffic"
(
  sent=0
  while [ -f "$dir/traffic" ]; do
    "$bin" send "${common[@]}" --quiet --source json --generate $((rate * 5)) --rate "$rate" --seed $((sent + 1)) >>"$dir/send.log" 2>&1
    sent=$((sent + 1))
    echo $((sent * rate * 5)) >"$dir/sent"
  done
) &
sender=$!
for kill in $(seq "$kills"); do
  node=$((kill % 3 + 1))
  kill -KILL "${servers[$node]}"
  wait "${servers[$node]}" 2>/dev/null || true
  sleep 5
  start "$node"
done
rm "$dir/traffic"
wait "$sender"
sent=$(cat "$dir/sent")
# With a node down for good: two are enough.
kill -KILL "${servers[2]}"
wait "${servers[2]}" 2>/dev/null || true
daybook_proves "$sent" 120
daybook_stops
echo "three nodes of Apache Cassandra $version, $kills killed one after the other: $sent transactions proved with one node down"
