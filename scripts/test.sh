#!/usr/bin/env bash
# Everything that must hold: format, lints, all tests, the page in a browser, foreign clients, docs.
# Ends with "N passed, N failed". Downloads and build output stay in ~/.cache/daybook.
set -uo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$HOME/.cache/daybook/target}"
cache="$HOME/.cache/daybook"
mkdir -p "$cache"
log=$(mktemp -d)
trap 'rm -rf "$log"' EXIT
passed=0
failed=0
failures=()

step() { # name, command...
  local name=$1; shift
  local began=$SECONDS
  echo
  echo "=== $name"
  if "$@" 2>&1 | tee "$log/out"; then
    echo "--- $name: fine ($((SECONDS - began)) s)"
    passed=$((passed + 1))
  else
    echo "--- $name: FAILED ($((SECONDS - began)) s)"
    failed=$((failed + 1))
    failures+=("$name")
  fi
  count
}

# Adds the tests of cargo's, vitest's and node's runners to the sum.
count() {
  local numbers
  numbers=$(grep -E '^test result:' "$log/out" | sed -E 's/.* ([0-9]+) passed; ([0-9]+) failed.*/\1 \2/' | awk '{p+=$1; f+=$2} END {print p+0, f+0}')
  passed=$((passed + ${numbers% *}))
  failed=$((failed + ${numbers#* }))
  numbers=$(grep -E '^# (pass|fail) [0-9]+|^ℹ (pass|fail) [0-9]+' "$log/out" | awk '{ if ($2=="pass") p+=$3; else f+=$3 } END {print p+0, f+0}')
  passed=$((passed + ${numbers% *}))
  failed=$((failed + ${numbers#* }))
  # The checks with IBM's client, and with PostgreSQL's.
  numbers=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$log/out" | awk '{p+=$1; f+=$3} END {print p+0, f+0}')
  passed=$((passed + ${numbers% *}))
  failed=$((failed + ${numbers#* }))
  numbers=$(sed 's/\x1b\[[0-9;]*m//g' "$log/out" | grep -E '^ *Tests +' | grep -oE '[0-9]+ passed' | awk '{p+=$1} END {print p+0}')
  passed=$((passed + numbers))
}

prerequisites() {
  # What can be installed without asking is installed where we may; otherwise it is named.
  if ! command -v chromium >/dev/null 2>&1 && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null
  fi
  if ! command -v psql >/dev/null 2>&1 && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql-client >/dev/null
  fi
  scripts/prerequisites.sh cargo cc make node chromium python3 psql java openssl
}

page() {
  make --no-print-directory page && (cd page && npm run check && npm test)
}

# Lints and tests in one build: clippy's driver compiles our crates, all others are those of the product.
lints_and_tests() {
  local driver
  driver=$(rustup which clippy-driver 2>/dev/null || command -v clippy-driver)
  [ -n "$driver" ] || { echo "missing: clippy, for the lints: rustup component add clippy" >&2; return 1; }
  RUSTC_WORKSPACE_WRAPPER="$driver" CLIPPY_ARGS="-Dwarnings__CLIPPY_HACKERY__" \
    scripts/cargo.sh test --release --locked --workspace --no-fail-fast
}

docs() {
  RUSTDOCFLAGS="-D warnings" cargo doc --release --locked --no-deps -p types -p telemetry -p pem@0.1.0 -p mq-wire -p segment-log -p xslt -p token -p mapping \
    -p queue-manager -p mq-client -p mq-server -p kafka-broker -p kafka-client -p store -p gateway -p connector -p connect-api -p sink -p web \
    && scripts/check-docs.sh
}

browser() {
  # Against made-up answers: the life of a page, how quick it is, and every view in both schemes and two widths; then over a real pipeline,
  # and signing in at a real OpenID Connect provider.
  # A runner that finds no test has not passed. One after the other: browsers beside one another starve on two cores.
  local spec
  for spec in life speed views page signin; do
    (cd page && DAYBOOK_BIN="$CARGO_TARGET_DIR/release/daybook" node --test --test-reporter=tap "e2e/$spec.spec.mjs") \
      | tee "$log/browser" && ! grep -q "^# tests 0" "$log/browser" || return 1
  done
}

# Every part killed at random while browsers come and go: all end with what the store has.
converge() {
  DAYBOOK_BIN="$CARGO_TARGET_DIR/release/daybook" node scripts/converge.mjs
}

foreign_clients() {
  DAYBOOK_BIN="$CARGO_TARGET_DIR/release/daybook" scripts/foreign-clients.sh
}

# psql and drivers ask for totals over PostgreSQL's protocol.
postgres() {
  DAYBOOK_BIN="$CARGO_TARGET_DIR/release/daybook" scripts/postgres.sh
}

# One suite against the embedded broker and a real Apache Kafka: the same answers from both. Built with clippy's driver, as the
# tests before, so that nothing is compiled again.
kafka_conformance() {
  local driver
  driver=$(rustup which clippy-driver 2>/dev/null || command -v clippy-driver)
  RUSTC_WORKSPACE_WRAPPER="$driver" CLIPPY_ARGS="-Dwarnings__CLIPPY_HACKERY__" scripts/kafka-conformance.sh
}

# The pipeline on a real Apache Kafka that wants TLS and a password.
kafka_secure() {
  DAYBOOK_BIN="$CARGO_TARGET_DIR/release/daybook" scripts/kafka-secure.sh
}

# Results in a real Apache Cassandra, stopped, killed and throttled under traffic, and with TLS and a password.
cassandra() {
  DAYBOOK_BIN="$CARGO_TARGET_DIR/release/daybook" scripts/cassandra.sh
}

# Totals added up in a real Apache Spark, and the way from one engine to the other and back.
spark() {
  DAYBOOK_BIN="$CARGO_TARGET_DIR/release/daybook" scripts/spark.sh
}

# IBM's own clients: every check, then transacted JMS traffic while the queue manager is killed.
mq_clients() {
  DAYBOOK_BIN="$CARGO_TARGET_DIR/release/daybook" scripts/mq-clients.sh conformance \
    && DAYBOOK_BIN="$CARGO_TARGET_DIR/release/daybook" KILLS=5 scripts/mq-clients.sh storm --messages 200
}

step "prerequisites" prerequisites
if [ "$failed" -eq 0 ]; then
  step "format" cargo fmt --all --check
  step "page" page
  step "lints and tests" lints_and_tests
  step "browser" browser
  step "converge" converge
  step "foreign clients" foreign_clients
  step "postgres" postgres
  step "kafka conformance" kafka_conformance
  step "kafka with TLS" kafka_secure
  step "cassandra" cassandra
  step "spark" spark
  step "mq clients" mq_clients
  step "docs" docs
fi

echo
for name in "${failures[@]:-}"; do [ -n "$name" ] && echo "failed: $name"; done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
