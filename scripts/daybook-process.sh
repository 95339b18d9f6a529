# Sourced by the scripts that try Daybook with a real service: needs `bin`, `dir`, `offset` and `fail`. One process at a time, whose id is
# in `daybook` and whose options for other subcommands are in `common`.
# shellcheck shell=bash disable=SC2154
daybook=
common=()

daybook_start() { # name: of its configuration in $dir; options of `daybook up`...
  common=(--config "$dir/$1.toml" --data-dir "$dir/$1" --port-offset "$offset")
  "$bin" up "${common[@]}" "${@:2}" >"$dir/$1.out" 2>&1 &
  daybook=$!
}

daybook_says() { # name, what, within how many seconds (60): waits for it
  for _ in $(seq $((${3:-60} * 10))); do
    grep -q "$2" "$dir/$1.out" && return
    kill -0 "$daybook" 2>/dev/null || break
    sleep 0.1
  done
  fail "$1: never said \"$2\""
}

daybook_proves() { # transactions, within how many seconds all must have arrived (60)
  timeout $((${2:-60} * 2)) "$bin" prove "${common[@]}" --wait "${2:-60}" >"$dir/proof.out" || fail "not proved"
  grep -q "in $1 = out $1" "$dir/proof.out" || fail "not $1 transactions"
}

daybook_stops() {
  kill -TERM "$daybook"
  wait "$daybook" || fail "did not end well"
  daybook=
}

# One that never got ready: how it ends does not matter.
daybook_gives_up() {
  kill -TERM "$daybook"
  wait "$daybook" 2>/dev/null || true
  daybook=
}
