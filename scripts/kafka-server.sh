# Sourced by the scripts that run a real Apache Kafka: needs `version` and `dir`, keeps the jars in ~/.cache/daybook.
# shellcheck shell=bash disable=SC2154
jars="$HOME/.cache/daybook/kafka-server-$version"
if [ ! -f "$jars/done" ]; then
  mkdir -p "$jars"
  mvn -q -B -f scripts/kafka-server.xml dependency:copy-dependencies -DincludeScope=runtime \
    -Dkafka.version="$version" -DoutputDirectory="$jars"
  touch "$jars/done"
fi
cat >"$dir/log4j2.properties" <<'CONF'
status=error
appender.c.type=Console
appender.c.name=C
appender.c.layout.type=PatternLayout
appender.c.layout.pattern=[%d] %p %m (%c)%n
rootLogger.level=WARN
rootLogger.appenderRef.c.ref=C
CONF

# Settings of a small cluster: what its own topics have.
kafka_small() { # replicas, of them in sync
  cat <<CONF
auto.create.topics.enable=false
num.network.threads=2
num.io.threads=4
offsets.topic.num.partitions=4
offsets.topic.replication.factor=$1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=$1
transaction.state.log.min.isr=$2
CONF
}

kafka_tool() { # class, arguments...
  java -Xmx256m -XX:+UseSerialGC "-Dlog4j2.configurationFile=$dir/log4j2.properties" -cp "$jars/*" "$@"
}

kafka_format() { # properties, cluster id, options...
  kafka_tool kafka.tools.StorageTool format -t "$2" -c "$1" "${@:3}" >"$1.format" 2>&1 || { cat "$1.format" >&2; return 1; }
}

# To be put in the background: the shell becomes the JVM, so that the id is its own.
kafka_run() { # heap, properties, options of the JVM...
  local heap=$1 properties=$2
  shift 2
  exec java -Xmx"$heap" "$@" "-Dlog4j2.configurationFile=$dir/log4j2.properties" -cp "$jars/*" kafka.Kafka "$properties"
}
