#!/usr/bin/env bash
# Totals added up in a real Apache Spark on the loopback interface, which this script starts and stops:
#   - the same transactions through both engines side by side, with an SQL that has all that Spark is given: equal rows;
#   - native, Spark, native, Spark in mid-traffic: proved, and what the web server shows never goes back;
#   - Spark's driver killed with -9, and Daybook killed with -9 while its query goes on: found again, proved;
#   - two aggregators: the one that watches the query killed with -9, then the other one stopped in good order: one query all the time.
#
#   DAYBOOK_BIN=daybook scripts/spark.sh          on one Spark process
#   DAYBOOK_BIN=daybook scripts/spark.sh full     2,000,000 transactions, on a standalone cluster: a master and two workers
#
# Environment: ACCOUNTS (1000, full 100000) of the first part, SPARK_VERSION (4.2.0), SPARK_PORT (25002), PORT_OFFSET (3600) of Daybook's ports.
# Needs Java 17 or 21, Maven and Python 3 with venv; Spark is kept in ~/.cache/daybook (450 MB).
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${DAYBOOK_BIN:?the path of the program}
version=${SPARK_VERSION:-4.2.0}
port=${SPARK_PORT:-25002}
offset=${PORT_OFFSET:-3600}
if ! scripts/cargo.sh --spark; then
  echo "no protoc, so no Spark in this program: nothing to try"
  exit 0
fi
case ${1:-} in
  full) accounts=${ACCOUNTS:-100000} equal=2000000 rate=20000 switched=400000 switch_rate=8000 switch_pause=12 ;;
  *) accounts=${ACCOUNTS:-1000} equal=40000 rate=20000 switched=24000 switch_rate=1500 switch_pause=4 ;;
esac
dir=$(mktemp -d)
pids=()
daybook=
export DAYBOOK_LOG=warn,aggregate=info,spark=info
stop() {
  for pid in $daybook "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap stop EXIT
trap 'exit 130' INT TERM
fail() { echo "$1" >&2; tail -n 25 "$dir"/*.log "$dir"/*.out >&2; exit 1; }
. scripts/spark-server.sh
. scripts/daybook-process.sh
await() { # what, seconds, command...
  local what=$1 seconds=$2
  shift 2
  for _ in $(seq $((seconds * 10))); do
    "$@" >/dev/null 2>&1 && return
    sleep 0.1
  done
  fail "$what: not within $seconds s"
}

connect=
start_connect() {
  if [ "${1:-}" = full ]; then
    spark_connect "$port" "spark://127.0.0.1:$((port + 1))" 1g --conf spark.executor.memory=1g --conf spark.cores.max=2 \
      >>"$dir/connect.log" 2>&1 &
  else
    # It starts sooner so, and need not be fast.
    spark_connect "$port" "local[2]" 768m --driver-java-options -XX:TieredStopAtLevel=1 >>"$dir/connect.log" 2>&1 &
  fi
  connect=$!
  pids+=("$connect")
  await "Spark's Connect server" 180 spark_up "$port"
}
if [ "${1:-}" = full ]; then
  spark_master $((port + 1)) >"$dir/master.log" 2>&1 &
  pids+=($!)
  await "Spark's master" 60 spark_up $((port + 1))
  for worker in 1 2; do
    spark_worker $worker $((port + 1)) 1500m >"$dir/worker-$worker.log" 2>&1 &
    pids+=($!)
  done
fi
start_connect "${1:-}"

head='[log]
partitions = 2
[spark]
remote = "sc://127.0.0.1:'$port'"
'
# What Spark is given: sums of decimals and whole numbers, counts with and without a column, smallest and largest, and conditions; keys
# and arguments that are expressions; and what is computed behind it.
many='SELECT account, upper(currency) AS money, sum(amount) AS total, sum(amount) FILTER (WHERE amount < 0) AS out, avg(amount) AS mean,
  count(*) AS transactions, count(*) FILTER (WHERE amount > 100) AS large, min(amount) AS least, max(booked_at) AS last, min(id) AS first,
  sum(amount) / count(*) AS quotient, sum(CASE WHEN amount > 0 THEN 1 ELSE 0 END) AS credits
FROM transactions WHERE amount <> 1.23 GROUP BY business_day, account, upper(currency) HAVING count(*) > 1'
aggregation() { # name, engine, sql
  printf '[[aggregation]]\nname = "%s"\nengine = "%s"\nzone = "Europe/Zagreb"\nreversals = false\nsql = """\n%s\n"""\n' "$@"
}

# Both engines, side by side.
{
  echo "$head"
  aggregation in_spark spark "$many"
  aggregation native native "$many"
} >"$dir/both.toml"
daybook_start both
daybook_says both '^Daybook is ready' 120
began=$SECONDS
"$bin" send "${common[@]}" --quiet --source json --generate "$equal" --accounts "$accounts" --rate "$rate" >"$dir/send.log" 2>&1 \
  || fail "the traffic did not go through"
# The same again: duplicates.
"$bin" send "${common[@]}" --quiet --source json --generate $((equal / 10)) --accounts "$accounts" --rate "$rate" >"$dir/send2.log" 2>&1 \
  || fail "the traffic did not go through again"
# Late: booked the day before, which they correct.
late=$((equal / 50))
yesterday=$(TZ=Europe/Zagreb date -d yesterday +%F 2>/dev/null || TZ=Europe/Zagreb date -v-1d +%F)
awk -v n="$late" -v accounts="$accounts" -v day="$yesterday" 'BEGIN { for (i = 0; i < n; i++)
  printf "{\"id\":\"late-%d\",\"account\":\"acct-%d\",\"amount\":\"%d.%02d\",\"currency\":\"EUR\",\"booked_at\":\"%sT09:00:00Z\"}\n", i, i % accounts, i % 977, i % 100, day }' \
  >"$dir/late.ndjson"
"$bin" send "${common[@]}" --quiet --source json "$dir/late.ndjson" >"$dir/send5.log" 2>&1 || fail "the late ones did not go through"
columns="business_day, account, money, total, out, mean, transactions, large, least, last, first, quotient, credits"
ask() { "$bin" query "${common[@]}" --format csv "$1" 2>>"$dir/query.log" | tail -1; }
expected() { # Until the native engine has all of it.
  local now
  now=$(ask "SELECT sum(counted + late_corrected) FROM counts WHERE aggregation = 'native'")
  [ "$now" = $((equal + late)) ]
}
await "the native engine" 120 expected
rows=$(ask "SELECT count(*) FROM native")
same() {
  local now
  now=$(ask "SELECT count(*) FROM (SELECT $columns FROM native INTERSECT SELECT $columns FROM in_spark) AS both")
  [ "$now" = "$rows" ]
}
await "equal rows of both engines" 240 same
took=$((SECONDS - began))
spark_rows=$(ask "SELECT count(*) FROM in_spark")
[ "$spark_rows" = "$rows" ] || fail "$spark_rows rows in Spark's results, $rows in those of the native engine"
daybook_proves $((equal + equal / 10 + late)) 120
# Versions are numbers of records in both.
for name in native in_spark; do
  "$bin" query "${common[@]}" --format csv "SELECT account, transactions FROM $name ORDER BY 1, 2" >"$dir/$name.csv" 2>/dev/null
done
cmp -s "$dir/native.csv" "$dir/in_spark.csv" || fail "other rows"
daybook_stops
grep -q 'stopped the query in Spark' "$dir/both.out" || fail "the query was not stopped"
echo "both engines: $equal transactions of $accounts accounts, $((equal / 10)) duplicates and $late late ones; $rows rows equal in all columns after $took s"

# From one engine to the other and back.
simple='SELECT account, currency, sum(amount) AS total, count(*) AS transactions FROM transactions GROUP BY business_day, account, currency'
switch_to() { # engine
  { echo "$head"; aggregation daily_totals "$1" "$simple"; } >"$dir/switched.toml"
  mkdir -p "$dir/switched"
  cat "$dir/switched.out" >>"$dir/switched.log" 2>/dev/null || true
  daybook_start switched
  daybook_says switched '^Daybook is ready' 120
}
switch_to native
python3 scripts/watch_totals.py "http://127.0.0.1:$((8080 + offset))" daily_totals >"$dir/watch.out" 2>"$dir/watch.log" &
watcher=$!
pids+=("$watcher")
"$bin" send "${common[@]}" --quiet --source json --generate "$switched" --rate "$switch_rate" >"$dir/send3.log" 2>&1 &
sender=$!
pids+=("$sender")
for engine in spark native spark; do
  sleep "$switch_pause"
  daybook_stops
  switch_to "$engine"
done
wait "$sender" || fail "the traffic did not go through"
daybook_proves "$switched" 180
echo "three changes of the engine in mid-traffic: $switched transactions proved"

# Killed, both.
"$bin" send "${common[@]}" --quiet --source json --generate "$switched" --seed 2 --rate "$switch_rate" >"$dir/send4.log" 2>&1 &
sender=$!
pids+=("$sender")
sleep "$switch_pause"
kill -KILL "$connect"
wait "$connect" 2>/dev/null || true
start_connect "${1:-}"
runs_again() { [ "$(grep -c 'started the query in Spark' "$dir/switched.out")" -ge 2 ]; }
await "the query after its driver was killed" 240 runs_again
kill -KILL "$daybook"
wait "$daybook" 2>/dev/null || true
switch_to spark
daybook_says switched 'found the query in Spark' 120
wait "$sender" || fail "the traffic did not go through"
daybook_proves $((2 * switched)) 240
kill -TERM "$watcher"
wait "$watcher" || fail "the totals went back"
cat "$dir/watch.out"
daybook_stops
echo "driver and Daybook killed with -9: $((2 * switched)) transactions proved, the query that went on was found again"

# Two aggregators: whoever comes second finds the query.
{ echo "$head"; aggregation daily_totals spark "$simple"; } >"$dir/front.toml"
common=(--config "$dir/front.toml" --data-dir "$dir/front" --port-offset "$offset")
"$bin" up "${common[@]}" --only front,log,sink,web >"$dir/front.out" 2>&1 &
daybook=$!
daybook_says front '^Daybook is ready' 60
aggregator() { # name, port of its health
  printf '[admin]\naddress = "127.0.0.1:%s"\n' "$2" | cat - "$dir/front.toml" >"$dir/$1.toml"
  "$bin" aggregate --config "$dir/$1.toml" --data-dir "$dir/$1" --port-offset "$offset" >"$dir/$1.out" 2>&1 &
  pids+=($!)
  aggregators[$1]=$!
}
declare -A aggregators
says() { grep -q "$2" "$dir/$1.out"; }
aggregator first 9191
await "the first aggregator's query" 240 says first 'started the query in Spark'
aggregator second 9192
await "the second aggregator" 60 says second 'restored name'
"$bin" send "${common[@]}" --quiet --source json --generate "$switched" --seed 3 --rate "$switch_rate" >"$dir/send6.log" 2>&1 &
sender=$!
pids+=("$sender")
sleep "$switch_pause"
kill -KILL "${aggregators[first]}"
await "the second aggregator finds the query" 120 says second 'found the query in Spark'
if says second 'started the query in Spark'; then fail "a second query"; fi
aggregator third 9193
await "the third aggregator" 60 says third 'restored name'
kill -TERM "${aggregators[second]}"
# Where the second one watched it, it was stopped, and is started from its checkpoint; else it was found.
await "the third aggregator's query" 240 says third '\(started\|found\) the query in Spark'
wait "$sender" || fail "the traffic did not go through"
daybook_proves "$switched" 180
echo "two aggregators, one killed and one stopped: $switched transactions proved, one query at any time"
echo "5 passed, 0 failed"
