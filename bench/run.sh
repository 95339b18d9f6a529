#!/usr/bin/env bash
# Single posts and bulk, one after the other, against one pipeline, then mixed formats up to what its gateway takes.
# SECONDS_EACH, RATE_SINGLE, RATE_BULK change them; REPORT=file.html keeps the report of the last.
set -euo pipefail
bin=${1:?the path of the program}
dir=$(mktemp -d)
offset=${PORT_OFFSET:-2600}
"$bin" --data-dir "$dir/data" --port-offset "$offset" up >"$dir/up.log" 2>&1 &
pid=$!
trap 'kill -INT $pid 2>/dev/null; wait $pid 2>/dev/null; rm -rf "$dir"' EXIT
for _ in $(seq 1200); do grep -q '^Daybook is ready' "$dir/up.log" && break; kill -0 $pid; sleep 0.05; done
run() { "$bin" --data-dir "$dir/data" --port-offset "$offset" bench --pid $pid --duration "${SECONDS_EACH:-20}" "$@" || failed=1; }
failed=0
run --rate "${RATE_SINGLE:-10000}"
for rate in ${RATE_BULK:-100000 150000}; do
  run --rate "$rate" --bulk 1000 --accounts 10000
done
"$bin" --data-dir "$dir/data" --port-offset "$offset" bench gateway --quick --pid $pid --report "${REPORT:-$dir/gateway.html}" || failed=1
"$bin" --data-dir "$dir/data" --port-offset "$offset" prove | grep -E "^  (in [0-9]|proved|NOT)"
exit $failed
