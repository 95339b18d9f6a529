#!/usr/bin/env bash
# What the gateway takes, durable in the queue when it is answered: single posts over 1, 8, 64 and 512 connections, and documents of 1,000 records. The largest rate
# of an open loop whose p99 stays below P99 (50) ms, latency from the time a post was due. STEP (3) seconds a step.
#
#   bench/gateway.sh PROGRAM
#
# Gateway and queue alone: the log is killed once they are ready, so the connector waits and the queue keeps everything. What is behind them has run.sh.
set -euo pipefail
bin=${1:?the path of the program}
dir=$(mktemp -d)
offset=${PORT_OFFSET:-2800}
trap 'kill -INT $(jobs -p) 2>/dev/null; wait; rm -rf "$dir"' EXIT
printf '[admin]\naddress = "127.0.0.1:9291"\n' >"$dir/log.toml"
printf '[admin]\naddress = "127.0.0.1:9292"\n[queue]\ndepth_max = 100000000\nbytes_max = 12000000000\n' >"$dir/front.toml"
measure() { # title, options
  local title=$1; shift
  "$bin" --data-dir "$data" --port-offset "$offset" bench gateway --soak 0 --no-web --step "${STEP:-3}" --factor 1.6 --bisections 3 --p99 "${P99:-50}" --json "$dir/one.json" "$@" >"$dir/one.log" 2>&1 || true
  python3 - "$title" "$dir/one.json" <<'P' || tail -5 "$dir/one.log"
import json, sys
report = json.load(open(sys.argv[2]))
knee = report["knee"]
step = report["steps"][knee["step"]]
latency = step["latency"]
print(f"{sys.argv[1]:40} {knee['rate']:>7} requests/s {step['records_per_second']:>9.0f} records/s, p50 {latency['p50_ms']:.1f} p99 {latency['p99_ms']:.1f} ms, "
      f"server {step['server_cpu_percent'] or 0:.0f} and generator {step['generator_cpu_percent']:.0f} % of a core; more is too much: {knee['limited_by']}")
P
}
serve() { # part
  "$bin" --config "$dir/$1.toml" --data-dir "$dir/$1" --port-offset "$offset" up --only "$1" >"$dir/$1.out" 2>"$dir/$1.err" &
  pid=$!
  for _ in $(seq 1200); do grep -q '^Daybook is ready' "$dir/$1.out" && return; kill -0 $pid || { cat "$dir/$1.err" >&2; exit 1; }; sleep 0.05; done
}
serve log
log=$pid
serve front
kill -9 $log
data=$dir/front
for connections in ${CONNECTIONS-1 8 64 512}; do
  measure "single posts, $connections connections" --mix json=1 --connections $connections --start 200 --pid $pid
done
measure "1,000 records a request, 8 connections" --mix json-bulk:1000=1 --connections 8 --start 50 --pid $pid
