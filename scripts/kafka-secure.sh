#!/usr/bin/env bash
# Daybook against a real Apache Kafka that speaks only TLS with SCRAM-SHA-512 to clients: 2,000 transactions from the gateway to
# proved totals, then with a wrong password, which must be told. Starts both on the loopback interface and stops them.
#
#   DAYBOOK_BIN=daybook scripts/kafka-secure.sh
#
# Environment: KAFKA_VERSION (4.3.1), KAFKA_PORT (29492), KAFKA_CONTROLLER_PORT (29592), PORT_OFFSET (2900) of Daybook's ports.
# Needs a JRE 17 or later, Maven and openssl; the jars are kept in ~/.cache/daybook.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${DAYBOOK_BIN:?the path of the program}
version=${KAFKA_VERSION:-4.3.1}
port=${KAFKA_PORT:-29492}
controller_port=${KAFKA_CONTROLLER_PORT:-29592}
offset=${PORT_OFFSET:-2900}
dir=$(mktemp -d)
server=
daybook=
stop() {
  for pid in $daybook $server; do kill -TERM "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap stop EXIT
trap 'exit 130' INT TERM
fail() { echo "$1" >&2; tail -20 "$dir/kafka.log" "$dir"/*.out >&2; exit 1; }

. scripts/kafka-server.sh
. scripts/daybook-process.sh
(
  cd "$dir"
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=Kafka test CA" -keyout ca.key -out ca.pem
  openssl req -newkey rsa:2048 -nodes -subj "/CN=127.0.0.1" -keyout server.key -out server.csr
  openssl x509 -req -days 2 -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial \
    -extfile <(echo "subjectAltName=IP:127.0.0.1") -out server.crt
  cat server.key server.crt ca.pem >server.pem
) >/dev/null 2>&1
cat >"$dir/server.properties" <<CONF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller_port
listeners=SECURE://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller_port,INSIDE://127.0.0.1:$((controller_port + 1))
advertised.listeners=SECURE://127.0.0.1:$port,INSIDE://127.0.0.1:$((controller_port + 1))
inter.broker.listener.name=INSIDE
controller.listener.names=CONTROLLER
listener.security.protocol.map=SECURE:SASL_SSL,CONTROLLER:PLAINTEXT,INSIDE:PLAINTEXT
ssl.keystore.type=PEM
ssl.keystore.location=$dir/server.pem
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
log.dirs=$dir/data
$(kafka_small 1 1)
group.initial.rebalance.delay.ms=0
CONF
kafka_format "$dir/server.properties" "$(kafka_tool kafka.tools.StorageTool random-uuid)" \
  --add-scram 'SCRAM-SHA-512=[name=daybook,password=s3cret]'
kafka_run 512m "$dir/server.properties" >"$dir/kafka.log" 2>&1 &
server=$!
for _ in $(seq 600); do
  (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
  kill -0 "$server" 2>/dev/null || fail "Kafka did not start"
  sleep 0.1
done

configure() { # password
  sed -e '/^\[log\]$/,/^$/ {
    s|^use = "embedded" .*|use = "external"\nbootstrap_servers = "127.0.0.1:'"$port"'"|
    s|^partitions = 1 |partitions = 2 |
  }' config/daybook.toml
  cat <<CONF
[log.properties]
"security.protocol" = "sasl_ssl"
"ssl.ca.location" = "$dir/ca.pem"
"sasl.mechanism" = "SCRAM-SHA-512"
"sasl.username" = "daybook"
"sasl.password" = "$1"
CONF
}
configure s3cret >"$dir/good.toml"
daybook_start good
daybook_says good '^Daybook is ready'
"$bin" send "${common[@]}" --quiet --source json --generate 2000
daybook_proves 2000
daybook_stops
configure other >"$dir/wrong.toml"
daybook_start wrong
daybook_says wrong 'Authentication failed'
daybook_gives_up
echo "Apache Kafka $version over TLS with SCRAM: 2,000 transactions proved; a wrong password is told"
