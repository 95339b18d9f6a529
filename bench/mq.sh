#!/usr/bin/env bash
# Put+get pairs of persistent 2 KB messages over MQ's protocol: IBM's client and ours, in turn, against one queue
# manager. SECONDS_EACH changes how long each takes. Needs Java and Maven for IBM's client.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${1:?the path of the program}
seconds=${SECONDS_EACH:-10}
offset=${PORT_OFFSET:-2650}
dir=$(mktemp -d)
target="${CARGO_TARGET_DIR:-$HOME/.cache/daybook/target}"
scripts/cargo.sh build -q --release --locked --workspace --example mq_pairs
mvn -q -B -f scripts/mq-clients/pom.xml -Ddaybook.build="$dir/java" package
"$bin" --config config/daybook.toml --data-dir "$dir/data" --port-offset "$offset" queue >"$dir/log" 2>&1 &
pid=$!
trap 'kill -INT $pid 2>/dev/null; wait $pid 2>/dev/null; rm -rf "$dir"' EXIT
for _ in $(seq 1200); do grep -q 'is ready' "$dir/log" && break; kill -0 $pid; sleep 0.05; done
failed=0
ours() {
  "$target/release/examples/mq_pairs" "127.0.0.1($((1414 + offset)))" DAYBOOK.SVRCONN DAYBOOK.TEST --seconds "$seconds" "$@" || failed=1
}
for workers in 1 16 64; do
  java -cp "$dir/java/mq-clients.jar:$dir/java/lib/*" conf.Pairs 127.0.0.1 $((1414 + offset)) DAYBOOK DAYBOOK.SVRCONN DAYBOOK.TEST \
    --seconds "$seconds" --workers $workers || failed=1
  ours --workers $workers --shared 1
  ours --workers $workers --shared 10
  ours --workers $workers --shared 10 --batch 50
done
exit $failed
