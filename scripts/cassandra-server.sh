# Sourced by the scripts that run a real Apache Cassandra: needs `version` and `dir`, keeps the jars in ~/.cache/daybook.
# Nodes have the addresses 127.0.0.1, 127.0.0.2 and 127.0.0.3, all with the same ports.
# shellcheck shell=bash disable=SC2154

# Cassandra 5.0 runs on Java 11 and 17, and on none that is newer.
cassandra_java() {
  local candidate major
  for candidate in "${CASSANDRA_JAVA_HOME:-/none}/bin/java" "${JAVA_HOME:-/none}/bin/java" "$(command -v java || true)" \
      /usr/lib/jvm/*/bin/java /Library/Java/JavaVirtualMachines/*/Contents/Home/bin/java; do
    [ -x "$candidate" ] || continue
    major=$("$candidate" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -1)
    case $major in 11 | 17) echo "$candidate"; return ;; esac
  done
  echo "missing: Java 11 or 17, for Apache Cassandra (none newer will do)" >&2
  echo "    apt-get install openjdk-17-jre-headless, or CASSANDRA_JAVA_HOME=..." >&2
  return 1
}
cassandra_java=$(cassandra_java) || exit 1

cassandra_jars="$HOME/.cache/daybook/cassandra-server-$version"
if [ ! -f "$cassandra_jars/done" ]; then
  if ! command -v mvn >/dev/null; then
    echo "missing: mvn, which fetches Apache Cassandra" >&2
    echo "    apt-get install maven" >&2
    exit 1
  fi
  mkdir -p "$cassandra_jars"
  mvn -q -B -f scripts/cassandra-server.xml dependency:copy-dependencies -DincludeScope=runtime \
    -Dcassandra.version="$version" -DoutputDirectory="$cassandra_jars"
  touch "$cassandra_jars/done"
fi
cat >"$dir/logback.xml" <<'CONF'
<configuration>
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d{ISO8601} %-5level [%thread] %logger{20} %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="OUT"/></root>
</configuration>
CONF

# Node 1, 2 or 3 of so many; further lines of its configuration on the standard input.
cassandra_configure() { # node, nodes, port
  local node=$1 nodes=$2 port=$3 base="$dir/cassandra-$1" token
  # The whole ring has 2^64 places, more than the shell can count: in steps of a part of it.
  token=$((-9223372036854775807 + (node - 1) * (9223372036854775807 / nodes) * 2))
  mkdir -p "$base"
  {
    cat <<CONF
cluster_name: daybook-test
num_tokens: 1
initial_token: "$token"
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
listen_address: 127.0.0.$node
rpc_address: 127.0.0.$node
storage_port: $((port + 1000))
ssl_storage_port: $((port + 1001))
native_transport_port: $port
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: "127.0.0.1:$((port + 1000))"
auto_bootstrap: false
data_file_directories: ["$base/data"]
commitlog_directory: $base/commitlog
saved_caches_directory: $base/saved_caches
hints_directory: $base/hints
cdc_raw_directory: $base/cdc_raw
commitlog_sync: periodic
commitlog_sync_period: 10000ms
commitlog_segment_size: 16MiB
memtable_heap_space: 96MiB
memtable_offheap_space: 96MiB
memtable_allocation_type: heap_buffers
file_cache_size: 32MiB
key_cache_size: 16MiB
concurrent_reads: 8
concurrent_writes: 16
concurrent_compactors: 1
disk_failure_policy: stop
commit_failure_policy: stop
CONF
    cat
  } >"$base/cassandra.yaml"
}

# Cassandra reaches into these packages of Java; from 17 on that must be allowed by name.
cassandra_modules() {
  local package
  for package in java.base/java.io java.base/java.lang java.base/java.lang.module java.base/java.lang.reflect \
      java.base/java.math java.base/java.net java.base/java.nio java.base/java.nio.charset java.base/java.nio.file.spi \
      java.base/java.util java.base/java.util.concurrent java.base/java.util.concurrent.atomic \
      java.base/java.util.concurrent.locks java.base/jdk.internal.loader java.base/jdk.internal.math \
      java.base/jdk.internal.module java.base/jdk.internal.ref java.base/jdk.internal.reflect \
      java.base/jdk.internal.util.jar java.base/sun.nio.ch jdk.management/com.sun.management.internal; do
    echo "--add-opens=$package=ALL-UNNAMED"
  done
  for package in java.base/java.lang.ref java.base/jdk.internal.misc java.base/jdk.internal.ref java.base/sun.nio.ch \
      java.management.rmi/com.sun.jmx.remote.internal.rmi java.rmi/sun.rmi.registry java.rmi/sun.rmi.server \
      java.rmi/sun.rmi.transport.tcp java.sql/java.sql java.base/java.lang.reflect jdk.unsupported/sun.misc \
      java.base/jdk.internal.perf; do
    echo "--add-exports=$package=ALL-UNNAMED"
  done
}

# To be put in the background: the shell becomes the JVM, so that the id is its own.
cassandra_run() { # node, heap, options of the JVM...
  local base="$dir/cassandra-$1" heap=$2 modules
  shift 2
  mapfile -t modules < <(cassandra_modules)
  exec "$cassandra_java" "${modules[@]}" "-Xms$heap" "-Xmx$heap" -Xss512k -XX:+UseG1GC -XX:MaxDirectMemorySize=512m \
    "-javaagent:$(ls "$cassandra_jars"/jamm-*.jar)" -Djdk.attach.allowAttachSelf=true -Djava.net.preferIPv4Stack=true \
    -Djava.awt.headless=true -Dcassandra-foreground=yes "-Dcassandra.config=file://$base/cassandra.yaml" \
    "-Dlogback.configurationFile=file://$dir/logback.xml" "-Dcassandra.storagedir=$base" "-Dcassandra.logdir=$base" \
    -Dcassandra.skip_wait_for_gossip_to_settle=0 -Dcassandra.ring_delay_ms=100 -Dcassandra.superuser_setup_delay_ms=0 \
    -Dio.netty.tryReflectionSetAccessible=true "$@" -cp "$cassandra_jars/*" org.apache.cassandra.service.CassandraDaemon
}

cassandra_up() { # node, port
  (exec 3<>"/dev/tcp/127.0.0.$1/$2") 2>/dev/null
}

# The only node, and waits until clients may come: its id is in `server`. Needs `port` and `fail`.
cassandra_start() { # heap
  # It starts sooner so, and need not be fast.
  cassandra_run 1 "$1" -XX:TieredStopAtLevel=1 >>"$dir/cassandra.log" 2>&1 &
  server=$!
  for _ in $(seq 1200); do
    cassandra_up 1 "$port" && return
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  fail "Cassandra did not start"
}
