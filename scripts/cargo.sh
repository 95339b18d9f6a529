#!/usr/bin/env bash
# cargo, with Spark's client wherever that can be built: the same features in every build, so that nothing is compiled twice.
#   scripts/cargo.sh build|test|run ARGUMENTS...
set -euo pipefail
here=$(dirname "$0")
command=$1
shift
if [ "$command" = --spark ]; then # whether it can be built
  [ -n "$("$here/protoc.sh")" ]
  exit
fi
protoc=$("$here/protoc.sh")
if [ -n "$protoc" ]; then
  export PROTOC=$protoc
  exec cargo "$command" --features daybook/spark "$@"
fi
echo "without Spark (engine = \"spark\"): its client needs protoc to be built (apt-get install protobuf-compiler, or Python 3 with venv)" >&2
exec cargo "$command" "$@"
