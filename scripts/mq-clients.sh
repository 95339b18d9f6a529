#!/usr/bin/env bash
# IBM's own clients against `daybook queue`: the checks of scripts/mq-clients, in each of the ways that clients
# connect. Starts queue managers of its own on other ports and stops them.
#   scripts/mq-clients.sh [conformance|storm] [arguments of the program]
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${DAYBOOK_BIN:?the path of the program}
cache="$HOME/.cache/daybook"
version=${MQ_CLIENT_VERSION:-9.4.5.0}
offset=${MQ_CLIENTS_OFFSET:-2500}
dir=$(mktemp -d)
export DAYBOOK_DATA_DIR="$dir/data" DAYBOOK_PORT_OFFSET=$offset DAYBOOK_CONFIG="$PWD/config/daybook.toml"
stop() { if [ -f "$dir/pid" ]; then kill -9 "$(cat "$dir/pid")" 2>/dev/null || true; fi; rm -rf "$dir"; }
trap stop EXIT

build() { # client version
  local sum target="$cache/mq-clients-$1"
  sum=$(find scripts/mq-clients -type f | sort | xargs cat | sha256sum)
  if [ "$(cat "$target/sum" 2>/dev/null)" != "$sum" ]; then
    mvn -q -B -f scripts/mq-clients/pom.xml -Dmq.client.version="$1" -Ddaybook.build="$target" package
    echo "$sum" >"$target/sum"
  fi
  jar="$target/mq-clients.jar"
}

# Also what a check calls that wants a restart; the process outlives it.
cat >"$dir/restart.sh" <<R
#!/bin/sh
if [ -f "$dir/pid" ]; then
  kill -9 "\$(cat "$dir/pid")" 2>/dev/null
  while kill -0 "\$(cat "$dir/pid")" 2>/dev/null; do sleep 0.02; done
fi
: >"$dir/out"
setsid "$bin" queue >"$dir/out" 2>>"$dir/log" </dev/null &
echo \$! >"$dir/pid"
for i in \$(seq 500); do
  grep -q "is ready" "$dir/out" && exit 0
  kill -0 "\$(cat "$dir/pid")" 2>/dev/null || break
  sleep 0.02
done
cat "$dir/log" >&2
exit 1
R

# The same in good order.
cat >"$dir/stop.sh" <<R
#!/bin/sh
kill -TERM "\$(cat "$dir/pid")"
while kill -0 "\$(cat "$dir/pid")" 2>/dev/null; do sleep 0.02; done
exec sh "$dir/restart.sh"
R

start() { sh "$dir/restart.sh"; }
client() { # main class, arguments
  local main=$1; shift
  java -cp "$jar:$(dirname "$jar")/lib/*" "conf.$main" 127.0.0.1 $((1414 + offset)) DAYBOOK DAYBOOK.SVRCONN DAYBOOK.TEST "$@"
}

what=${1:-conformance}
[ $# -gt 0 ] && shift
build "$version"
# A queue that is soon full.
sed -e 's/^depth_max = 1000000/depth_max = 500/' config/daybook.toml >"$dir/daybook.toml"
export DAYBOOK_CONFIG="$dir/daybook.toml"
start
case $what in
  conformance)
    everything() {
      client Conformance --queue2 DAYBOOK.BACKOUT --all --small-queue DAYBOOK.TRANSACTIONS \
        --restart-cmd "sh $dir/restart.sh" --stop-cmd "sh $dir/stop.sh" "$@"
    }
    everything "$@"
    # An older client too.
    build "${MQ_CLIENT_VERSION_OLD:-9.4.1.0}"
    everything "$@"
    build "$version"
    # With a password, then with a password inside TLS 1.3 and 1.2.
    hash=$(echo s3cret | "$bin" queue password)
    configure() { # further lines of [queue]
      sed -e 's/^authentication = .*/authentication = "password"/' config/daybook.toml |
        awk -v lines="$1" '/^\[log\]/ { print lines } { print }' >"$dir/daybook.toml"
      export DAYBOOK_CONFIG="$dir/daybook.toml"
    }
    user=$(printf '[[queue.user]]\nname = "app"\npassword_hash = "%s"\n' "$hash")
    configure "$user"
    start
    client Conformance --queue2 DAYBOOK.BACKOUT --user app --password s3cret --messages 1000 --skip restart_durable
    # A user that may do what applications do, and nothing else.
    rights=$(printf '[[queue.permission]]\nuser = "app"\nallow = ["put", "get", "browse", "inquire"]\n')
    configure "$(printf '%s\n%s\n' "$user" "$rights")"
    start
    client Conformance --queue2 DAYBOOK.BACKOUT --user app --password s3cret --not-admin --only pcf_not_authorized
    openssl req -x509 -newkey rsa:2048 -nodes -keyout "$dir/mq.key" -out "$dir/mq.pem" -days 2 \
      -subj /CN=localhost -addext "subjectAltName=DNS:localhost,IP:127.0.0.1" 2>/dev/null
    keytool -importcert -noprompt -alias mq -file "$dir/mq.pem" -keystore "$dir/trust.p12" -storetype PKCS12 \
      -storepass changeit 2>/dev/null
    configure "$(printf '%s\n[queue.tls]\ncertificate = "mq.pem"\nkey = "mq.key"\n' "$user")"
    start
    export JAVA_TOOL_OPTIONS="-Dcom.ibm.mq.cfg.useIBMCipherMappings=false -Djavax.net.ssl.trustStore=$dir/trust.p12 -Djavax.net.ssl.trustStorePassword=changeit"
    for cipher in TLS_AES_256_GCM_SHA384 TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256; do
      client Conformance --queue2 DAYBOOK.BACKOUT --user app --password s3cret --cipher $cipher --messages 500 \
        --skip restart_durable
    done
    ;;
  storm)
    # The server is killed all the while.
    kills=${KILLS:-5}
    client Storm "$@" --stop-file "$dir/killed" &
    storm=$!
    for i in $(seq "$kills"); do
      sleep "0.$(( (RANDOM % 60) + 30 ))"
      kill -0 $storm 2>/dev/null || break
      sh "$dir/restart.sh"
    done
    echo "$kills kills"
    touch "$dir/killed"
    wait $storm
    ;;
  *) echo "unknown: $what (conformance or storm)" >&2; exit 2 ;;
esac
