#!/usr/bin/env bash
# Results in a real Apache Cassandra that is in trouble, under traffic: stopped (SIGSTOP) and let go on, killed with -9 and started again,
# throttled (SIGSTOP and SIGCONT ten times in a second or so, a tenth of the time running; any user may do that to processes of his own).
# Meanwhile scripts/watch_cassandra.py looks again and again that progress is never ahead of rows; afterwards every total is proved,
# and counted by cqlsh. Two sinks, processes of their own, share the work; then one of them is killed with -9, and comes again. The memory of
# the other one is told.
#
#   DAYBOOK_BIN=daybook scripts/cassandra-trouble.sh
#
# Environment: RATE (20000) transactions a second, ACCOUNTS (20000), STOP (60): seconds of each trouble. CASSANDRA_VERSION (5.0.8),
# CASSANDRA_PORT (29342), PORT_OFFSET (3300) of Daybook's ports.
# Needs Java 11 or 17, Maven, curl and Python; what is fetched is kept in ~/.cache/daybook.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${DAYBOOK_BIN:?the path of the program}
version=${CASSANDRA_VERSION:-5.0.8}
port=${CASSANDRA_PORT:-29342}
offset=${PORT_OFFSET:-3300}
rate=${RATE:-20000}
accounts=${ACCOUNTS:-20000}
seconds=${STOP:-60}
# The sink's process may have so much more while Cassandra is away than before, in MiB: what it gathers for one write, and the client's
# buffers (kafka-client).
growth_max=400
dir=$(mktemp -d)
daybook=
sink=
second=
server=
watcher=
sender=
sampler=
stop() {
  rm -f "$dir/traffic"
  # What these two run at the moment.
  for parent in $sender $sampler; do pkill -KILL -P "$parent" || true; done
  for pid in $sampler $watcher $sender $sink $second $daybook $server; do
    kill -CONT "$pid" 2>/dev/null || true
    kill -KILL "$pid" 2>/dev/null || true
  done
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap stop EXIT
trap 'exit 130' INT TERM
fail() { tail -n 20 "$dir"/*.log "$dir"/*.out >&2; echo "$1" >&2; exit 1; }

. scripts/cassandra-server.sh
. scripts/daybook-process.sh
. scripts/venv.sh
venv_with confluent_kafka 'confluent-kafka>=2.6'
venv_with cassandra.cluster 'cassandra-driver>=3.29'
venv_with cqlshlib 'cqlsh>=6.2'
broker=127.0.0.1:$((9092 + offset))
watch() { # as the script says; in the background it becomes Python, so that the id is its own
  exec "$venv/bin/python" scripts/watch_cassandra.py "$@"
}
# As the sink's own process tells it.
lag() {
  curl -s "http://127.0.0.1:$((9191 + offset))/metrics" | sed -n 's/^daybook_lag_records{hop="sink"} //p'
}
resident() { # MiB
  awk '$1 == "VmRSS:" { print int($2 / 1024) }' "/proc/$sink/status"
}
start_sink() { # name: of its configuration in $dir, and of the variable for its id
  "$bin" sink --config "$dir/$1.toml" --data-dir "$dir/$1" --port-offset "$offset" >"$dir/$1.out" 2>&1 &
  printf -v "$1" %s $!
  for _ in $(seq 900); do grep -q '^Daybook is ready' "$dir/$1.out" && return; kill -0 "${!1}"; sleep 0.1; done
  fail "the sink did not start"
}
written() { # port of /metrics: records that this sink has written
  curl -s "http://127.0.0.1:$(($1 + offset))/metrics" | sed -n 's/^daybook_records_out_total{hop="sink"} //p'
}
both_write() {
  local before after
  before="$(written 9191) $(written 9192)"
  for _ in $(seq 300); do
    sleep 0.1
    after="$(written 9191) $(written 9192)"
    [ "${before% *}" != "${after% *}" ] && [ "${before#* }" != "${after#* }" ] && return
  done
  fail "not both sinks write: $before, then $after"
}
# Until the sink is behind by less than a second's records; prints how many seconds that took.
catches_up() {
  local begun=$SECONDS
  for _ in $(seq 1200); do
    sleep 0.5
    [ "$(lag)" -lt "$rate" ] && { echo $((SECONDS - begun)); return; }
  done
  fail "the sink did not catch up"
}
largest() { # column of the samples, kind of trouble
  awk -v of="$2" -v column="$1" '$1 == of && $column > most { most = $column } END { print most + 0 }' "$dir/samples"
}

cassandra_configure 1 1 "$port" </dev/null
cassandra_start 1g
{
  sed "s/127.0.0.1:19042/127.0.0.1:$port/" config/cassandra.toml
  echo "[log]"
  echo "partitions = 4"
} >"$dir/trouble.toml"
# Their own addresses for /metrics; the one that comes again goes on at once.
printf '%s\n' "$(cat "$dir/trouble.toml")" '[admin]' 'address = "127.0.0.1:9191"' >"$dir/sink.toml"
printf '%s\n' "$(cat "$dir/trouble.toml")" '[admin]' 'address = "127.0.0.1:9192"' '[sink]' 'instance = "second"' >"$dir/second.toml"
daybook_start trouble --only front,log,aggregate
daybook_says trouble '^Daybook is ready' 90
start_sink sink
start_sink second
watch watch "$broker" "127.0.0.1:$port" daily_totals "$dir/quiet" >"$dir/watch.log" 2>&1 &
watcher=$!
touch "$dir/traffic"
begun=$(date +%s%N)
(
  sent=0
  while [ -f "$dir/traffic" ]; do
    "$bin" send "${common[@]}" --quiet --source json --generate $((rate * 5)) --rate "$rate" --accounts "$accounts" \
      --seed $((sent + 1)) >>"$dir/send.log" 2>&1 || exit
    sent=$((sent + 1))
    echo $((sent * rate * 5)) >"$dir/sent"
  done
  date +%s%N >"$dir/sent-at"
) &
sender=$!
echo calm >"$dir/kind"
(
  while sleep 0.5; do echo "$(cat "$dir/kind") $(resident) $(lag)"; done >"$dir/samples"
) 2>/dev/null &
sampler=$!
sleep $((seconds / 6 + 2))
both_write

echo stopped >"$dir/kind"
kill -STOP "$server"
sleep "$seconds"
kill -CONT "$server"
after_stop=$(catches_up)

echo killed >"$dir/kind"
kill -KILL "$server"
wait "$server" 2>/dev/null || true
sleep $((seconds / 6))
cassandra_start 1g
after_kill=$(catches_up)

echo throttled >"$dir/kind"
for _ in $(seq "$seconds"); do
  kill -STOP "$server"
  sleep 0.9
  kill -CONT "$server"
  sleep 0.1
done
after_throttle=$(catches_up)

echo shared >"$dir/kind"
for pause in $((seconds / 12 + 1)) 8; do
  kill -KILL "$second"
  wait "$second" 2>/dev/null || true
  # The second time it is away for longer than its silence is borne, and the other one has all partitions.
  sleep "$pause"
  start_sink second
  both_write
done
after_sink=$(catches_up)

rm "$dir/traffic"
wait "$sender" || fail "the traffic did not go through"
sender=
kill "$sampler"
wait "$sampler" 2>/dev/null || true
sampler=
sent=$(cat "$dir/sent")
reached=$((sent * 1000 / (($(cat "$dir/sent-at") - begun) / 1000000)))
daybook_proves "$sent" 120
touch "$dir/quiet"
wait "$watcher" || fail "$(tail -1 "$dir/watch.log")"
watcher=
looks=$(tail -1 "$dir/watch.log")
read -r rows transactions total < <("$venv/bin/cqlsh" 127.0.0.1 "$port" --request-timeout 60 -e \
  "SELECT count(*), sum(transactions), sum(total) FROM daybook.daily_totals WHERE row_deleted = false ALLOW FILTERING" |
  awk '/^-+\+/ { getline; gsub("[|]", " "); print }')
[ "${looks##* }" = "$rows" ] || fail "$rows rows in Cassandra, but $looks"
queried=$("$bin" query "${common[@]}" --format csv "SELECT sum(transactions) FROM daily_totals" | tail -1)
[ "$queried" = "$transactions" ] || fail "daybook query says $queried transactions, cqlsh $transactions"
[ "$(watch totals "$broker")" = "$transactions $total" ] || fail "in Cassandra $transactions transactions, total $total; the log has others"

grep -q 'no node of Cassandra answers\|Cassandra at .* cannot' "$dir/sink.out" || fail "the sink does not say what it lacks"

# That the watcher would have seen it: rows of which Cassandra has heard nothing.
for pid in $second $sink; do
  kill -TERM "$pid"
  wait "$pid" || fail "a sink did not end well"
done
sink=
second=
"$bin" send "${common[@]}" --quiet --source json --generate 500 --seed 1000001 >>"$dir/send.log" 2>&1
for _ in $(seq 100); do (watch claim "$broker" "127.0.0.1:$port" daily_totals) >"$dir/claim.log" 2>&1 && break; sleep 0.1; done
grep -q 'rows are behind' "$dir/claim.log" || fail "the watcher sees nothing"
daybook_stops

calm=$(largest 2 calm)
for kind in stopped killed throttled; do
  [ $(($(largest 2 "$kind") - calm)) -lt $growth_max ] || fail "the sink has $(largest 2 "$kind") MiB while Cassandra is $kind, $calm before"
done
for kind in stopped killed; do
  [ "$(largest 3 "$kind")" -gt "$rate" ] || fail "a lag of $(largest 3 "$kind") while Cassandra is $kind"
done
echo "Apache Cassandra $version in trouble at $reached transactions/s: stopped $seconds s, killed -9, a tenth of its time for $seconds s;" \
  "one of two sinks killed -9 twice; caught up after $after_stop, $after_kill, $after_throttle and $after_sink s; lag at most $(largest 3 stopped), $(largest 3 killed) and" \
  "$(largest 3 throttled) (calm $(largest 3 calm)); sink $(largest 2 stopped), $(largest 2 killed) and $(largest 2 throttled) MiB" \
  "(calm $calm); $sent transactions proved, cqlsh counts the same; progress never ahead of rows: $looks"
