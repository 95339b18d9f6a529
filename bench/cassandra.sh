#!/usr/bin/env bash
# Upserts into a real Apache Cassandra of this machine, in one run and in turn: through the store, with bare loops of the same driver, with
# Apache Cassandra's Java driver and with its Python driver, each as well as it goes, into tables of the same shape. Afterwards the rows of each
# are counted. ROWS (100000, at least 50000) and ROUNDS (3) change what is run. Needs a JDK of 17 or later.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${CASSANDRA_VERSION:-5.0.8}
port=${CASSANDRA_PORT:-29142}
rows=${ROWS:-100000}
rounds=${ROUNDS:-3}
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
. scripts/venv.sh
venv_with cassandra.row_parser 'cassandra-driver>=3.29'
venv_with cqlshlib 'cqlsh>=6.2'
driver="$HOME/.cache/daybook/cassandra-driver"
if [ ! -f "$driver/done" ]; then
  mkdir -p "$driver"
  mvn -q -B -f bench/cassandra-driver.xml dependency:copy-dependencies -DoutputDirectory="$driver"
  touch "$driver/done"
fi
cassandra_configure 1 1 "$port" </dev/null
cassandra_run 1 1g >"$dir/cassandra.log" 2>&1 &
server=$!
for _ in $(seq 1200); do cassandra_up 1 "$port" && break; kill -0 $server; sleep 0.1; done
cqlsh() {
  "$venv/bin/cqlsh" 127.0.0.1 "$port" --request-timeout 120 -e "$1"
}
for run in 1 2; do
  # The store's begins with version 1 again.
  [ $run = 1 ] || cqlsh "TRUNCATE daybook_bench.bench" >/dev/null
  "$target/release/examples/cassandra_bench" "127.0.0.1:$port" "$rows" "$rounds"
  java -Xmx1g -cp "$driver/*" bench/CassandraUpserts.java 127.0.0.1 "$port" "$rows" "$rounds" 2>"$dir/java.log" || { cat "$dir/java.log"; exit 1; }
  "$venv/bin/python" bench/cassandra_upserts.py 127.0.0.1 "$port" "$rows" "$rounds"
done | tee "$dir/out"
"$venv/bin/python" - "$dir/out" <<'CODE'
import collections, re, statistics, sys
rates, counts = collections.defaultdict(list), False
for line in open(sys.argv[1]):
    if line.startswith("round"):
        # The first round of each process warms up.
        counts = line.split()[1] != "0"
    found = re.match(r"  (.*?) +(\d+) upserts/s", line)
    if found and counts:
        rates[found[1]].append(int(found[2]))
print("medians of all rounds, upserts/s (smallest to largest), and what the store has of it:")
store = statistics.median(rates["the store"])
for way, of in rates.items():
    print(f"  {way:<16} {statistics.median(of):>9.0f} ({min(of)} to {max(of)}) {store / statistics.median(of):6.2f}")
CODE
for table in bench java python; do
  cqlsh "SELECT count(*) FROM daybook_bench.$table" |
    awk -v table=$table '/^-+$/ { getline; print "rows of " table ": " $1; exit $1 != 50000 }'
done
