#!/usr/bin/env bash
# Daybook with its results in a real Apache Cassandra on the loopback interface, which this script starts and stops: what every store must
# do (crates/store/tests), then scripts/cassandra-trouble.sh, a tenth as long and as much as by itself, then a Cassandra that wants TLS and a
# password.
#
#   DAYBOOK_BIN=daybook scripts/cassandra.sh
#
# Environment: CASSANDRA_VERSION (5.0.8), CASSANDRA_PORT (29042), PORT_OFFSET (3100) of Daybook's ports;
# 300 and 200 above them are used as well.
# Needs Java 11 or 17, Maven, Python, openssl and curl; what is fetched is kept in ~/.cache/daybook.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${DAYBOOK_BIN:?the path of the program}
version=${CASSANDRA_VERSION:-5.0.8}
port=${CASSANDRA_PORT:-29042}
offset=${PORT_OFFSET:-3100}
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$HOME/.cache/daybook/target}"
dir=$(mktemp -d)
server=
daybook=
trouble=
stop() {
  [ -z "$trouble" ] || kill -TERM "$trouble" 2>/dev/null || true
  for pid in $daybook $server; do kill -KILL "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap stop EXIT
trap 'exit 130' INT TERM
fail() { echo "$1" >&2; tail -n 20 "$dir"/*.log "$dir"/*.out >&2; exit 1; }

for tool in curl openssl; do
  command -v $tool >/dev/null || { echo "missing: $tool (apt-get install $tool)" >&2; exit 1; }
done
. scripts/cassandra-server.sh
. scripts/daybook-process.sh
cassandra_configure 1 1 "$port" </dev/null
cassandra_start 640m
driver=$(rustup which clippy-driver 2>/dev/null || command -v clippy-driver)
CASSANDRA=127.0.0.1:$port RUSTC_WORKSPACE_WRAPPER="$driver" CLIPPY_ARGS="-Dwarnings__CLIPPY_HACKERY__" \
  scripts/cargo.sh test --release --locked --workspace --test cassandra -- --nocapture

kill -TERM "$server"
wait "$server" 2>/dev/null || true
server=

# A tenth of `make soak`'s, which waits most of the time: beside the rest. Its ports are its own.
CASSANDRA_PORT=$((port + 300)) PORT_OFFSET=$((offset + 200)) RATE=2000 STOP=6 scripts/cassandra-trouble.sh >"$dir/trouble.out" 2>&1 &
trouble=$!

# TLS and a password.
(
  cd "$dir"
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=Cassandra test CA" -keyout ca.key -out ca.pem
  for who in server client; do
    openssl req -newkey rsa:2048 -nodes -subj "/CN=$who" -keyout $who.key -out $who.csr
    openssl x509 -req -days 2 -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial \
      -extfile <(echo "subjectAltName=IP:127.0.0.1") -out $who.crt
  done
  cat server.key server.crt ca.pem >server.pem
) >/dev/null 2>&1
rm -rf "$dir/cassandra-1"
cassandra_configure 1 1 "$port" <<CONF
authenticator: PasswordAuthenticator
client_encryption_options:
  enabled: true
  optional: false
  require_client_auth: true
  ssl_context_factory:
    class_name: org.apache.cassandra.security.PEMBasedSslContextFactory
  keystore: $dir/server.pem
  truststore: $dir/ca.pem
CONF
cassandra_start 640m
secured() { # name, password
  echo "$2" >"$dir/$1.password"
  {
    sed "s/127.0.0.1:19042/127.0.0.1:$port/" config/cassandra.toml
    cat <<CONF
user = "cassandra"
password_file = "$1.password"
ca = "ca.pem"
certificate = "client.crt"
key = "client.key"
days_kept = 30
CONF
  } >"$dir/$1.toml"
  daybook_start "$1"
}
secured wrong other
daybook_says wrong 'Cassandra at .* does not let .*cassandra.* in' 90
daybook_gives_up
secured secure cassandra
daybook_says secure '^Daybook is ready' 90
"$bin" send "${common[@]}" --quiet --source json --generate 2000
daybook_proves 2000
daybook_stops
went=0
wait "$trouble" || went=$?
trouble=
cat "$dir/trouble.out"
[ "$went" = 0 ] || fail "scripts/cassandra-trouble.sh failed"
echo "Apache Cassandra $version: the store's suite; 2,000 transactions over TLS with a password; a wrong password is told"
