#!/usr/bin/env bash
# Names what is missing, and how to get it. Arguments: which of the tools are needed.
set -u
missing=0
need() { # tool, what for, how to get it
  command -v "$1" >/dev/null 2>&1 && return
  echo "missing: $1, $2" >&2
  echo "    $3" >&2
  missing=1
}
for tool in "$@"; do
  case $tool in
    cargo) need cargo "the Rust compiler, 1.95 or later" "https://rustup.rs, or: apt-get install rustup && rustup default stable" ;;
    cc)
      need cc "a C compiler, for SQLite and librdkafka" "apt-get install gcc g++ libc6-dev"
      need c++ "a C++ compiler, for librdkafka" "apt-get install g++"
      ;;
    make) need make "GNU make, for librdkafka" "apt-get install make" ;;
    node)
      need node "Node.js 20 or later, for the page" "apt-get install nodejs npm, or https://nodejs.org"
      need npm "npm, for the page" "apt-get install npm"
      ;;
    chromium) need chromium "a browser, for the browser tests" "apt-get install chromium" ;;
    python3) need python3 "Python 3 with venv, for the tests with confluent-kafka" "apt-get install python3 python3-venv" ;;
    psql) need psql "PostgreSQL's client, for the tests of queries" "apt-get install postgresql-client" ;;
    java)
      need java "a JRE 17 or later, for the tests with Kafka's own tools" "apt-get install openjdk-17-jre-headless"
      need javac "a JDK 17 or later, for the checks with IBM's MQ client" "apt-get install openjdk-17-jdk-headless"
      need mvn "Maven, which fetches Kafka's own tools and IBM's MQ client" "apt-get install maven"
      ;;
    openssl) need openssl "OpenSSL, which makes certificates for the tests" "apt-get install openssl" ;;
  esac
done
if command -v cargo >/dev/null 2>&1 && [[ " $* " == *" cargo "* ]]; then
  version=$(rustc --version | cut -d' ' -f2)
  if [ "$(printf '%s\n1.95.0\n' "$version" | sort -V | head -1)" != "1.95.0" ]; then
    echo "rustc is $version, 1.95 or later is needed: rustup update stable" >&2
    missing=1
  fi
fi
exit $missing
