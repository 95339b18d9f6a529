#!/usr/bin/env bash
# Fuzzes what reads clients' bytes: every target of fuzz/ in turn, a line each. Fails on any crash.
#   scripts/fuzz.sh [SECONDS_A_TARGET]     default 600
#   scripts/fuzz.sh minimise               replaces fuzz/corpus by the smallest set that reaches as much
# TARGETS="flow text" takes only those. What is found stays in ~/.cache/daybook/fuzz.
set -uo pipefail
cd "$(dirname "$0")/.."
targets=${TARGETS:-segments flow roundtrip text selector xml mt iso8583 copybook schema lines xslt}
cache="$HOME/.cache/daybook/fuzz"
mkdir -p "$cache"

if [ "${1:-}" = minimise ]; then
  # The captures are where it begins. Built like the tests, so before what follows.
  seeds=$(mktemp -d)
  trap 'rm -rf "$seeds"' EXIT
  export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$HOME/.cache/daybook/target}"
  SEEDS="$seeds" cargo test -q --release --locked -p mq-wire -p mq-server --test corpus seeds >"$cache/seeds.log" 2>&1 \
    || { tail -20 "$cache/seeds.log" >&2; exit 1; }
fi

export CARGO_TARGET_DIR="${FUZZ_TARGET_DIR:-$cache/target}"
# cargo-fuzz wants flags that only nightly has; this lets a stable compiler take them.
export RUSTC_BOOTSTRAP=1
unset RUSTC_WORKSPACE_WRAPPER

command -v cargo-fuzz >/dev/null 2>&1 || cargo install --locked cargo-fuzz || exit 1
triple=$(rustc -vV | sed -n 's/^host: //p')
# --release only: the profile is the product's, overflow checks included. fuzz/Cargo.lock is the lock.
if ! cargo fuzz build --release >"$cache/build.log" 2>&1; then
  tail -40 "$cache/build.log" >&2
  exit 1
fi

run() { # target, arguments of libFuzzer
  local target=$1; shift
  "$CARGO_TARGET_DIR/$triple/release/$target" -rss_limit_mb=1024 -malloc_limit_mb=64 -timeout=10 -max_len=4096 "$@"
}

if [ "${1:-}" = minimise ]; then
  for target in $targets; do
    mkdir -p "$cache/$target" "fuzz/corpus/$target" "$seeds/$target" "$seeds/merged-$target"
    run "$target" -merge=1 -max_len=2048 "$seeds/merged-$target" "fuzz/corpus/$target" "$seeds/$target" "$cache/$target" \
      >"$cache/$target.log" 2>&1 || { tail -20 "$cache/$target.log" >&2; exit 1; }
    rm -rf "fuzz/corpus/$target"
    cp -r "$seeds/merged-$target" "fuzz/corpus/$target"
    echo "$target: $(ls "fuzz/corpus/$target" | wc -l) entries, $(du -sb "fuzz/corpus/$target" | cut -f1) bytes"
  done
  exit
fi

seconds=${1:-600}
failed=0
for target in $targets; do
  mkdir -p "$cache/$target" "$cache/crashes/$target" "fuzz/corpus/$target"
  rm -f "$cache/crashes/$target"/*
  end=$((SECONDS + seconds)) runs=0
  while :; do
    run "$target" -max_total_time=$((end - SECONDS)) -print_final_stats=1 -artifact_prefix="$cache/crashes/$target/" \
      "$cache/$target" "fuzz/corpus/$target" >"$cache/$target.log" 2>&1
    code=$?
    runs=$((runs + $(sed -n 's/^stat::number_of_executed_units: *//p' "$cache/$target.log" | tail -1) + 0))
    [ "$code" = 0 ] && break
    # A machine that was suspended looks like an input that takes for ever: it has to do so again.
    slow=$(find "$cache/crashes/$target" -name 'timeout-*')
    [ -n "$slow" ] && [ $((end - SECONDS)) -gt 0 ] && run "$target" -runs=100 "$slow" >>"$cache/$target.log" 2>&1 || break
    rm -f "$slow"
  done
  crashes=$(find "$cache/crashes/$target" -type f | wc -l)
  echo "$target: $runs runs, $((runs / (seconds > 0 ? seconds : 1))) a second," \
    "corpus $(ls "$cache/$target" "fuzz/corpus/$target" | grep -c '^[0-9a-f]\{5,\}$'), $crashes crashes"
  if [ "$code" != 0 ] || [ "$crashes" != 0 ]; then
    failed=1
    grep -m1 -A3 -E "panicked at|ERROR:" "$cache/$target.log" >&2
    find "$cache/crashes/$target" -type f >&2
  fi
done
exit $failed
