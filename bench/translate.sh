#!/usr/bin/env bash
# One translation (1 kB of pain.001, half a kB of JSON) by a bare parser, by hand, by the mapping, over HTTP, by an XSLT 1.0 sheet (our engine, and libxslt) and by JavaScript
# (Node): CPU time a message, in one run; then a record of every format. All must give the same JSON. Needs xsltproc and node; the XML parser for node comes from npm.
set -euo pipefail
cd "$(dirname "$0")/.."
for needed in xsltproc node npm python3; do command -v "$needed" >/dev/null || { echo "$needed is needed (Debian: apt-get install xsltproc nodejs npm)" >&2; exit 2; }; done
here=bench/translate
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cache=${XDG_CACHE_HOME:-$HOME/.cache}/daybook/fast-xml-parser-5.12.1
[ -d "$cache/node_modules/fast-xml-parser" ] || npm install --silent --no-audit --no-fund --prefix "$cache" fast-xml-parser@5.12.1 >/dev/null
# These two alone: all of the workspace is half an hour of other people's crates.
scripts/cargo.sh build -p mapping -p gateway --release --locked --examples
"${CARGO_TARGET_DIR:-target}/release/examples/translate" --outputs "$dir"
python3 $here/xslt.py $here "$dir"
node $here/translate.mjs "$cache" 2>"$dir/node"
python3 - "$dir" <<'E'
import json, sys
dir = sys.argv[1]
node = [json.loads(line) for line in open(f"{dir}/node")]
ours = [json.load(open(f"{dir}/{source}.mapping")) for source in ("pain.001", "json")]
xslt = json.load(open(f"{dir}/pain.001.xslt"))
for translated in [xslt, *node, *ours]:
    del translated["received_at"]
assert node == ours, (node, ours)
assert xslt == ours[0], (xslt, ours[0])
print("all give the same JSON")
E
echo
"${CARGO_TARGET_DIR:-target}/release/examples/speed"
