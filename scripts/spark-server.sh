# Sourced by the scripts that run a real Apache Spark: needs `version` and `dir`, keeps Spark in ~/.cache/daybook.
# shellcheck shell=bash disable=SC2154

# Spark 4 runs on Java 17 and 21.
spark_java() {
  local candidate major
  for candidate in "${SPARK_JAVA_HOME:-/none}/bin/java" "${JAVA_HOME:-/none}/bin/java" "$(command -v java || true)" \
      /usr/lib/jvm/*/bin/java /Library/Java/JavaVirtualMachines/*/Contents/Home/bin/java; do
    [ -x "$candidate" ] || continue
    major=$("$candidate" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -1)
    case $major in 17 | 21) dirname "$(dirname "$(readlink -f "$candidate")")"; return ;; esac
  done
  echo "missing: Java 17 or 21, for Apache Spark" >&2
  echo "    apt-get install openjdk-17-jre-headless, or SPARK_JAVA_HOME=..." >&2
  return 1
}
JAVA_HOME=$(spark_java) || exit 1
export JAVA_HOME

# Spark itself is Python's package of it: the same files as its own archive.
spark_cache="$HOME/.cache/daybook/spark-$version"
if [ ! -f "$spark_cache/done" ]; then
  command -v mvn >/dev/null || { echo "missing: mvn, which fetches Spark's Kafka module (apt-get install maven)" >&2; exit 1; }
  python3 -m venv "$spark_cache/venv"
  "$spark_cache/venv/bin/pip" install --quiet "pyspark==$version"
  mvn -q -B -f scripts/spark-server.xml dependency:copy-dependencies -DincludeScope=runtime \
    -Dspark.version="$version" -DoutputDirectory="$spark_cache/kafka"
  touch "$spark_cache/done"
fi
SPARK_HOME=$(echo "$spark_cache"/venv/lib/python*/site-packages/pyspark)
export SPARK_HOME SPARK_LOCAL_IP=127.0.0.1 SPARK_CONF_DIR="$dir/spark-conf" SPARK_LOCAL_DIRS="$dir/spark-local"
mkdir -p "$SPARK_CONF_DIR" "$SPARK_LOCAL_DIRS"
printf '%s\n' 'rootLogger.level=warn' 'rootLogger.appenderRef.c.ref=C' 'appender.c.type=Console' 'appender.c.name=C' \
  'appender.c.target=SYSTEM_ERR' 'appender.c.layout.type=PatternLayout' 'appender.c.layout.pattern=%d %p %c{1}: %m%n' \
  >"$SPARK_CONF_DIR/log4j2.properties"
printf '%s\n' 'spark.ui.enabled false' 'spark.driver.host 127.0.0.1' 'spark.driver.bindAddress 127.0.0.1' \
  "spark.jars $(echo "$spark_cache"/kafka/*.jar | tr ' ' ,)" >"$SPARK_CONF_DIR/spark-defaults.conf"

# Each is to be put in the background: the shell becomes the JVM, so that the id is its own.
spark_master() { # port
  SPARK_DAEMON_MEMORY=256m exec "$SPARK_HOME/bin/spark-class" org.apache.spark.deploy.master.Master \
    --host 127.0.0.1 --port "$1" --webui-port 0
}
spark_worker() { # number, master's port, memory
  SPARK_DAEMON_MEMORY=256m exec "$SPARK_HOME/bin/spark-class" org.apache.spark.deploy.worker.Worker --host 127.0.0.1 \
    --webui-port 0 --cores 1 --memory "$3" --work-dir "$dir/spark-worker-$1" "spark://127.0.0.1:$2"
}
spark_connect() { # port, master, heap, options of spark-submit...
  local port=$1 master=$2 heap=$3
  shift 3
  # Spark's launcher sizes this server by the memory of its daemons, not of the driver.
  SPARK_DAEMON_MEMORY=$heap exec "$SPARK_HOME/bin/spark-submit" --master "$master" "$@" \
    --class org.apache.spark.sql.connect.service.SparkConnectServer --name "Spark Connect server" \
    --conf spark.connect.grpc.binding.address=127.0.0.1 --conf "spark.connect.grpc.binding.port=$port" spark-internal
}
spark_up() { # port
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}
