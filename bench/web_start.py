"""Starts `daybook web` and takes the whole day over HTTP: when it listens, is ready, begins to answer, and all rows are there.

    web_start.py URL ROWS ROUNDS COMMAND...    the snapshot's URL; prints milliseconds from the start of the process
"""
import http.client
import json
import signal
import subprocess
import sys
import time
import urllib.parse

url, rows, rounds, command = urllib.parse.urlsplit(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]


def until(path, wanted):
    """Asks again and again; the moment of the first such answer."""
    for _ in range(6000):
        try:
            connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
            connection.request("GET", path)
            if wanted(connection.getresponse().status):
                return
        except ConnectionError:
            pass
        time.sleep(0.005)
    sys.exit(f"{path}: not within 30 s")


whole = []
for number in range(rounds):
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def passed():
        return (time.perf_counter() - begun) * 1e3

    until("/healthz", lambda status: status == 200)
    listens = passed()
    until("/readyz", lambda status: status == 200)
    ready = passed()
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
    connection.request("GET", url.path)
    answer = connection.getresponse()
    answers = passed()
    body = answer.read()
    there = passed()
    found = len(json.loads(body)["rows"])
    with open(f"/proc/{process.pid}/status") as status:
        resident = next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) // 1024
    process.send_signal(signal.SIGTERM)
    process.wait()
    if answer.status != 200 or found != rows:
        sys.exit(f"{answer.status}: {found} rows, not {rows}")
    whole.append(there)
    print(f"  listens {listens:.0f} ms, ready {ready:.0f} ms, snapshot answers {answers:.0f} ms, all {rows} rows {there:.0f} ms "
          f"({len(body) / 1e6:.1f} MB in {there - answers:.0f} ms), {resident} MiB", flush=True)
print(f"  the whole day after {sorted(whole)[len(whole) // 2]:.0f} ms (median of {rounds})")
