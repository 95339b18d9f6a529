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
dir=$(mktemp -d)
pids=()
stop() {
  for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap stop EXIT
trap 'exit 130' INT TERM
fail() { echo "$1" >&2; tail -20 "$dir/kafka.log" "$dir"/*.out >&2; exit 1; }

. scripts/kafka-server.sh
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
auto.create.topics.enable=false
num.network.threads=2
num.io.threads=4
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
CONF
kafka_format "$dir/server.properties" "$(kafka_tool kafka.tools.StorageTool random-uuid)" \
  --add-scram 'SCRAM-SHA-512=[name=daybook,password=s3cret]'
kafka_run 512m "$dir/server.properties" >"$dir/kafka.log" 2>&1 &
pids+=($!)
for _ in $(seq 600); do
  (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
  kill -0 "${pids[0]}" 2>/dev/null || fail "Kafka did not start"
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
start() { # name, password
  configure "$2" >"$dir/$1.toml"
  "$bin" up --config "$dir/$1.toml" --data-dir "$dir/$1" --port-offset "${PORT_OFFSET:-2900}" >"$dir/$1.out" 2>&1 &
  pids+=($!)
}
wait_for() { # name, what
  for _ in $(seq 600); do
    grep -q "$2" "$dir/$1.out" && return
    kill -0 "${pids[-1]}" 2>/dev/null || break
    sleep 0.1
  done
  fail "$1: never said \"$2\""
}

start good s3cret
wait_for good '^Daybook is ready'
common=(--config "$dir/good.toml" --data-dir "$dir/good" --port-offset "${PORT_OFFSET:-2900}")
"$bin" send "${common[@]}" --quiet --source json --generate 2000
"$bin" prove "${common[@]}" >"$dir/proof.out" || fail "not proved"
grep -q 'in 2000 = out 2000' "$dir/proof.out" || fail "not 2,000 transactions"
kill -TERM "${pids[-1]}"
wait "${pids[-1]}" || fail "did not end well"
start wrong other
wait_for wrong 'Authentication failed'
kill -TERM "${pids[-1]}"
wait "${pids[-1]}" 2>/dev/null || true
echo "Apache Kafka $version over TLS with SCRAM: 2,000 transactions proved; a wrong password is told"
