"""Looks at the totals of a web server again and again: they may stand still or be away, but never go back.

    watch_totals.py http://127.0.0.1:8080 daily_totals

Ends well at SIGTERM, with one line that says how often it looked and what the last sum was. Needs Python 3 alone.
"""

import json
import signal
import sys
import time
import urllib.request

url = f"{sys.argv[1]}/api/v1/{sys.argv[2]}/snapshot"
looked, away, generations = 0, 0, set()
newest = {}  # by day: transactions
stopped = False


def stop(*_):
    global stopped
    stopped = True


signal.signal(signal.SIGTERM, stop)
while not stopped:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            snapshot = json.load(answer)
    except (OSError, ValueError):
        away += 1
        time.sleep(0.1)
        continue
    looked += 1
    day = snapshot["day"]
    # The last column is the number of transactions.
    rows = [row for row in snapshot["rows"] if not row.get("deleted")]
    total = sum(row["c"][-1] for row in rows)
    generations |= {row["v"][0] for row in rows}
    if total < newest.get(day, 0):
        print(f"{day}: {newest[day]} transactions, then {total}: generations {sorted(generations)}", file=sys.stderr)
        sys.exit(1)
    newest[day] = total
    time.sleep(0.1)
print(f"looked {looked} times (away {away} times): never went back; generations {sorted(generations)}, at the end {newest}")
sys.exit(0 if looked else 1)
