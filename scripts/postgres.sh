#!/usr/bin/env bash
# PostgreSQL's clients ask for totals: psql and a Python driver (pg8000: extended protocol). Starts a pipeline of its own on other ports,
# then queries in a process of their own with TLS, a password and small limits. Ends with "N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/.."
bin=${DAYBOOK_BIN:?the path of the program}
offset=${OFFSET:-2700}
port=$((5433 + offset))
dir=$(mktemp -d)
passed=0
failed=0
pids=()
trap 'for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; done; rm -rf "$dir"' EXIT

check() { # name, what must be found (a regular expression of grep -E), command...
  local name=$1 expected=$2; shift 2
  "$@" >"$dir/check" 2>&1
  if grep -qE -- "$expected" "$dir/check"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED: $name: not \"$expected\" in"
    sed 's/^/    /' "$dir/check"
  fi
}

ready() { # file of its output, what it says: at most 60 s
  for _ in $(seq 1200); do grep -q "$2" "$1" && return; sleep 0.05; done
  echo "never said \"$2\""; cat "$1"; exit 1
}

cat >"$dir/up.toml" <<TOML
[[aggregation]]
name = "daily_totals"
zone = "UTC"
keep_days = "all"
sql = """
SELECT account, currency, sum(amount) AS total, count(*) AS transactions
FROM transactions
GROUP BY business_day, account, currency
"""
TOML
"$bin" --config "$dir/up.toml" --data-dir "$dir/data" --port-offset "$offset" up >"$dir/up.log" 2>&1 &
pids+=($!)
ready "$dir/up.log" '^Daybook is ready'
today=$(date -u +%F)
for i in $(seq 1 100); do
  echo "{\"id\":\"t$i\",\"account\":\"a$((i % 7))\",\"amount\":\"$i.25\",\"currency\":\"EUR\",\"booked_at\":\"${today}T00:00:0$((i % 10))Z\"}"
done >"$dir/in.ndjson"
day=("$bin" --config "$dir/up.toml" --data-dir "$dir/data" --port-offset "$offset")
"${day[@]}" send --quiet --source json "$dir/in.ndjson" >/dev/null
"${day[@]}" prove >/dev/null || { echo "not proved"; exit 1; }

export PGCONNECT_TIMEOUT=10 PSQLRC=/dev/null
sql=(psql -X -h 127.0.0.1 -p "$port" -U me daybook)
rows="SELECT account, currency, total, transactions FROM daily_totals WHERE business_day = DATE '$today' ORDER BY 1"
"${sql[@]}" -At -F, -c "$rows" >"$dir/psql.csv"
"${day[@]}" query --format csv "$rows" | tail -n +2 >"$dir/query.csv"
"${day[@]}" totals --format csv | tail -n +2 | sort >"$dir/totals.csv"
check "psql has seven rows" '^7 ' wc -l "$dir/psql.csv"
check "psql and daybook query agree" '^same$' sh -c "cmp '$dir/psql.csv' '$dir/query.csv' && echo same"
check "psql and daybook totals agree" '^same$' sh -c "sort '$dir/psql.csv' | cmp - '$dir/totals.csv' && echo same"
check "the exact sum" '^5075\.00\|100$' "${sql[@]}" -At -c "SELECT sum(total), sum(transactions) FROM daily_totals"
check "today" '^7$' "${sql[@]}" -At -c "SELECT count(*) FROM daily_totals WHERE business_day = today()"
check "what is read" "StoreScan: daily_totals, days $today; account = a1; currency = EUR" \
  "${sql[@]}" -At -c "EXPLAIN SELECT total FROM daily_totals WHERE business_day = '$today' AND account = 'a1' AND currency = 'EUR'"
check "counts" '^100\|0\|0\|0\|0$' "${sql[@]}" -At -c "SELECT counted, reversing, duplicate, late_corrected, quarantined FROM counts"
check "\\dt" 'public +\| daily_totals +\| table +\| daybook' "${sql[@]}" -c '\dt'
check "\\dt+" 'public \| daily_totals' "${sql[@]}" -c '\dt+'
check "\\d" 'public +\| counts ' "${sql[@]}" -c '\d'
check "\\d of a table" 'total +\| numeric\(33,5\) ' "${sql[@]}" -c '\d daily_totals'
check "\\d+ of a table" 'business_day +\| date ' "${sql[@]}" -c '\d+ daily_totals'
check "\\l" '^ daybook +\| daybook' "${sql[@]}" -c '\l'
check "\\dn" 'public +\| daybook' "${sql[@]}" -c '\dn'
check "\\du" 'daybook' "${sql[@]}" -c '\du'
check "\\conninfo" 'connected to database "daybook"' "${sql[@]}" -c '\conninfo'
check "version" '^PostgreSQL .*Daybook' "${sql[@]}" -At -c "SELECT version()"
check "schema, user" '^public\|daybook\|daybook$' "${sql[@]}" -At -c "SELECT current_schema, current_user, current_database()"
check "information_schema" '^daily_totals\|total\|' "${sql[@]}" -At -c \
  "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_name = 'daily_totals'"
check "a write is refused" 'ERROR:.*INSERT is refused: totals are read only here' "${sql[@]}" -c "INSERT INTO daily_totals VALUES (1)"
check "a drop is refused" 'ERROR:.*DROP is refused' "${sql[@]}" -c "DROP TABLE daily_totals"
check "COPY is refused" 'ERROR:.*COPY is refused' "${sql[@]}" -c "\\copy daily_totals TO '$dir/x.csv'"
check "code of a refusal" '25006' "${sql[@]}" -v VERBOSITY=verbose -c "DELETE FROM daily_totals"
check "code of a missing table" '42P01' "${sql[@]}" -v VERBOSITY=verbose -c "SELECT * FROM nothing"
check "code of a missing column" '42703' "${sql[@]}" -v VERBOSITY=verbose -c "SELECT nothing FROM daily_totals"
check "code of no SQL" '42601' "${sql[@]}" -v VERBOSITY=verbose -c "SELEC 1"
check "another database" 'database "other" does not exist: there is one, "daybook"' psql -X -h 127.0.0.1 -p "$port" -U me other -c "SELECT 1"
check "several statements" '^two$' "${sql[@]}" -At -c "BEGIN; SELECT 'one'; SELECT 'two'; COMMIT"
check "a session's own limit" '57014.*longer than 100 ms' "${sql[@]}" -v VERBOSITY=verbose -c "SET statement_timeout = 100" \
  -c "SELECT count(*) FROM generate_series(1, 1000000000000) WHERE value % 7 = 8"
began=$(date +%s)
timeout -s INT 2 "${sql[@]}" -c "SELECT count(*) FROM generate_series(1, 1000000000000) WHERE value % 7 = 8" >"$dir/cancel" 2>&1
check "Ctrl-C cancels" 'canceling statement due to user request' cat "$dir/cancel"
check "and at once" '^soon$' sh -c "[ $(($(date +%s) - began)) -lt 10 ] && echo soon"
check "metrics" 'daybook_postgres_queries_total\{outcome="answered"\} [1-9]' curl -s "http://127.0.0.1:$((9190 + offset))/metrics"

cache="$HOME/.cache/daybook"
venv="$cache/venv"
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -c 'import pg8000, psycopg' 2>/dev/null || "$venv/bin/pip" install --quiet 'pg8000>=1.31' 'psycopg[binary]>=3.2'
check "drivers with parameters" '^drivers fine$' "$venv/bin/python" scripts/postgres_drivers.py "$port" "$today"

jdbc="$cache/postgres-jdbc"
[ -f "$jdbc/done" ] || { mvn -q -B -f scripts/postgres-jdbc.xml dependency:copy-dependencies -DoutputDirectory="$jdbc" && touch "$jdbc/done"; }
check "JDBC" '^JDBC fine$' java -cp "$jdbc/*" scripts/PostgresJdbc.java "$port"

# In a process of its own, with TLS, a password and small limits.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
  -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$dir/pg.key" -out "$dir/pg.pem" 2>/dev/null
echo 'correct horse' >"$dir/password"
own=$((port + 1))
cat "$dir/up.toml" - >"$dir/own.toml" <<TOML
[admin]
address = "127.0.0.1:9191"
[postgres]
listen = "127.0.0.1:5434"
rows_max = 6
rows_read_max = 1000
connections_max = 2
statement_bytes_max = 4096
[postgres.tls]
certificate = "pg.pem"
key = "pg.key"
[[postgres.user]]
name = "grafana"
password_file = "password"
TOML
"$bin" --config "$dir/own.toml" --data-dir "$dir/data" --port-offset "$offset" postgres >"$dir/own.log" 2>&1 &
pids+=($!)
ready "$dir/own.log" '^Daybook is ready'
with() { # password, user, connection string, arguments
  PGPASSWORD=$1 psql -X "host=localhost port=$own dbname=daybook user=$2 $3" "${@:4}"
}
tls="sslmode=verify-full sslrootcert=$dir/pg.pem"
check "TLS and password" '^7$' with 'correct horse' grafana "$tls" -At -c "SELECT count(*) FROM daily_totals"
check "TLS it is" 'SSL connection' with 'correct horse' grafana "$tls" -c '\conninfo'
check "without TLS, on this machine" '^7$' with 'correct horse' grafana sslmode=disable -At -c "SELECT count(*) FROM daily_totals"
check "a wrong password" 'FATAL: +Password authentication failed' with wrong grafana "$tls" -c "SELECT 1"
check "a wrong user" 'FATAL: +Password authentication failed' with 'correct horse' nobody "$tls" -c "SELECT 1"
check "no password" 'no password supplied' with '' grafana "$tls" -w -c "SELECT 1"
check "rows over the limit" 'ERROR: +the answer has more than 6 rows \(limit `rows_max`\): add LIMIT' \
  with 'correct horse' grafana "$tls" -c "SELECT * FROM daily_totals"
check "a long statement" 'ERROR: +the statement has [0-9]+ bytes, but may have 4096' \
  with 'correct horse' grafana "$tls" -c "SELECT '$(head -c 4096 /dev/zero | tr '\0' x)'"
head -c 2000000 /dev/zero | tr '\0' x >"$dir/long"
check "a very long statement" 'FATAL: +a message of 2000[0-9]+ bytes' sh -c \
  "(printf 'SELECT '; printf \"'\"; cat '$dir/long'; printf \"';\") | PGPASSWORD='correct horse' psql -X 'host=localhost port=$own dbname=daybook user=grafana $tls'"
for _ in 1 2; do
  (sleep 6 | with 'correct horse' grafana "$tls" >/dev/null 2>&1) &
done
for _ in $(seq 100); do
  [ "$(curl -s "http://127.0.0.1:$((9191 + offset))/metrics" | grep '^daybook_postgres_connections')" = 'daybook_postgres_connections{} 2' ] && break
  sleep 0.05
done
check "connections over the limit" 'there are 2 connections already' with 'correct horse' grafana "$tls" -c "SELECT 1"
kill -TERM "${pids[1]}"
wait "${pids[1]}"
check "it stops cleanly" '^stopped' cat "$dir/own.log"
unset 'pids[1]'

cat "$dir/up.toml" - >"$dir/open.toml" <<'TOML'
[postgres]
listen = "0.0.0.0:5433"
TOML
check "an open address is refused" 'other than loopback addresses need `\[postgres.tls\]` and `\[\[postgres.user\]\]`' \
  "$bin" --config "$dir/open.toml" --data-dir "$dir/data" postgres
check "an unknown key is refused" 'unknown field `port`' sh -c "printf '[postgres]\nport = 1\n' >'$dir/bad.toml'; '$bin' --config '$dir/bad.toml' check"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
