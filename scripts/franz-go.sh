#!/usr/bin/env bash
# scripts/franz-go against a log: BOOTSTRAP is its address. Left out, and said so, where there is no Go that can build it.
set -euo pipefail
cd "$(dirname "$0")/franz-go"
needed=$(sed -n 's/^go //p' go.mod)
found=$(go env GOVERSION 2>/dev/null | sed 's/^go//' || true)
if [ -z "$found" ] || [ "$(printf '%s\n' "$needed" "$found" | sort -V | head -1)" != "$needed" ]; then
  echo "franz-go: left out, it needs Go $needed or later, and there is ${found:-none}"
  exit
fi
program="$HOME/.cache/daybook/franz-go"
go build -o "$program" .
"$program" "${1:?an address}"
