#!/usr/bin/env bash
# Delivery and aggregation against three brokers of Apache Kafka on this machine, of which one at a time is killed with -9 every
# 12 s and started again: topics with three replicas, two in sync. Runs a test with KAFKA set: `delivery` or `aggregators`.
#
#   scripts/kafka-three.sh [delivery | aggregators]
#
# Environment: KAFKA_VERSION (4.3.1), KAFKA_PORT (29392, and the next two), TRIALS=full for the long trials.
# Needs a JRE 17 or later and Maven; the jars are kept in ~/.cache/daybook.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${KAFKA_VERSION:-4.3.1}
port=${KAFKA_PORT:-29392}
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$HOME/.cache/daybook/target}"
dir=$(mktemp -d)
killer=
stop() {
  [ -z "$killer" ] || kill "$killer" 2>/dev/null || true
  for n in 1 2 3; do
    [ ! -f "$dir/$n.pid" ] || kill -9 "$(cat "$dir/$n.pid")" 2>/dev/null || true
  done
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap stop EXIT
trap 'exit 130' INT TERM
. scripts/kafka-server.sh
voters="1@127.0.0.1:$((port + 100)),2@127.0.0.1:$((port + 101)),3@127.0.0.1:$((port + 102))"
id=$(kafka_tool kafka.tools.StorageTool random-uuid)
start() {
  kafka_run 384m "$dir/$1.properties" -XX:+UseSerialGC >>"$dir/$1.log" 2>&1 &
  echo $! >"$dir/$1.pid"
}
up() { (exec 3<>"/dev/tcp/127.0.0.1/$((port + $1 - 1))") 2>/dev/null; }
servers=
for n in 1 2 3; do
  at=$((port + n - 1))
  servers+="${servers:+,}127.0.0.1:$at"
  cat >"$dir/$n.properties" <<CONF
process.roles=broker,controller
node.id=$n
controller.quorum.voters=$voters
listeners=PLAINTEXT://127.0.0.1:$at,CONTROLLER://127.0.0.1:$((at + 100))
advertised.listeners=PLAINTEXT://127.0.0.1:$at
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$dir/data$n
$(kafka_small 3 2)
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
replica.lag.time.max.ms=5000
group.initial.rebalance.delay.ms=500
CONF
  kafka_format "$dir/$n.properties" "$id"
  start $n
done
for n in 1 2 3; do
  for _ in $(seq 600); do up $n && break; sleep 0.1; done
done
(
  kills=0
  while sleep 12; do
    n=$((RANDOM % 3 + 1))
    kill -9 "$(cat "$dir/$n.pid")" 2>/dev/null || true
    kills=$((kills + 1))
    echo $kills >"$dir/kills"
    sleep 3
    start $n
  done
) &
killer=$!
driver=$(rustup which clippy-driver 2>/dev/null || command -v clippy-driver)
result=0
KAFKA=$servers RUSTC_WORKSPACE_WRAPPER="$driver" CLIPPY_ARGS="-Dwarnings__CLIPPY_HACKERY__" \
  scripts/cargo.sh test --release --locked --workspace --test "${1:-delivery}" -- --nocapture || result=1
echo "three brokers of Apache Kafka $version: $(cat "$dir/kills" 2>/dev/null || echo 0) killed, one at a time"
exit $result
