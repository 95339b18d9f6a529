"""Good clients of a gateway beside bad ones: what does it cost those who send transactions that others send nonsense, or nothing?

    bench/hostile.py PROGRAM

Ten good clients post at an even rate in an open loop (latency counts from when a post was due): alone, then beside BAD (1,000) clients that send
what is in `BAD_HABITS` once a second each, then beside SLOW (2,000) connections that send a byte a second, then alone again. SECONDS (20) each,
RATE (200) posts a second. Bad and slow ones run in a process of their own, from other addresses (127.0.1.x and 127.0.2.x), at a lower priority: they stand for other machines.

Ends with 1 if a good post was not accepted, if the sums are wrong, if what was refused was not counted, if the process grew by more than GROWTH_MAX
(128) MiB, or if p99 beside the bad or the slow ones is more than FACTOR_MAX (2) times that of the same run alone.
"""
import asyncio
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

BAD, SLOW = int(os.environ.get("BAD", 1000)), int(os.environ.get("SLOW", 2000))
SECONDS, RATE = float(os.environ.get("SECONDS", 20)), int(os.environ.get("RATE", 200))
FACTOR_MAX, GROWTH_MAX = float(os.environ.get("FACTOR_MAX", 2)), int(os.environ.get("GROWTH_MAX", 128))
OFFSET = int(os.environ.get("PORT_OFFSET", 2900))
PORT, WEB, ADMIN = 8081 + OFFSET, 8080 + OFFSET, 9190 + OFFSET
GOOD = 10


def request(body: bytes, source: str = "json", more: str = "") -> bytes:
    return f"POST /v1/transactions/{source} HTTP/1.1\r\nHost: daybook\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body


BAD_HABITS = [
    request(b'{"id":"x","account":'),
    request(b'{"id":"x","account":"a","amount":"1e400","currency":"EUR","booked_at":"2026-11-23T10:15:00Z"}'),
    request(b"[" * 5000),
    request(b'<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><Document>&b;</Document>', "pain.001"),
    request(b"<a>" * 3000, "pain.001"),
    request(b"{}", "no-such-source"),
    b"POST /v1/transactions/json HTTP/1.1\r\nHost: daybook\r\nContent-Length: 99999999999\r\n\r\n",
    b"POST /v1/transactions/json HTTP/1.1\r\nHost: daybook\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /v1/transactions/json HTTP/1.1\r\n" + b"X: y\r\n" * 3000 + b"\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)),
    b"GET / HTTP/1.1\r\nHost: daybook\r\n\r\n",
    request(b"", "json", "Content-Encoding: br\r\n"),
]


async def exchange(streams, data: bytes) -> int:
    reader, writer = streams
    writer.write(data)
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    if length:
        await reader.readexactly(int(length[1]))
    return int(head[9:12])


async def bad_client(number: int) -> None:
    await asyncio.sleep(number / BAD)
    due = time.monotonic()
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", PORT, local_addr=(f"127.0.1.{1 + number % 200}", 0))
            writer.write(BAD_HABITS[(number + int(due)) % len(BAD_HABITS)])
            await asyncio.wait_for(reader.read(4096), 3)
            writer.transport.abort()
        except (OSError, asyncio.TimeoutError):
            pass
        due += 1
        await asyncio.sleep(max(0, due - time.monotonic()))


async def slow_client(number: int) -> None:
    await asyncio.sleep(2 * number / SLOW)
    text = request(b" " * 4000)
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", PORT, local_addr=(f"127.0.2.{1 + number % 200}", 0))
            # Half of them are slow with the body instead.
            at = len(text) - 4000 if number % 2 else 0
            writer.write(text[:at])
            for byte in text[at:]:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(1)
        except OSError:
            await asyncio.sleep(1)


async def crowd(client, count: int) -> None:
    await asyncio.gather(*(client(number) for number in range(count)))


class Good:
    def __init__(self):
        self.sent = 0

    async def client(self, number: int, seconds: float, times: list) -> None:
        streams = None
        distance = GOOD / RATE
        due = time.monotonic() + distance * number / GOOD
        end = due + seconds
        while due < end:
            await asyncio.sleep(max(0, due - time.monotonic()))
            self.sent += 1
            body = {"id": f"good-{self.sent}", "account": f"good-{number}", "amount": "1.00", "currency": "EUR", "booked_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
            data = request(json.dumps(body).encode())
            for attempt in range(5):
                try:
                    streams = streams or await asyncio.open_connection("127.0.0.1", PORT)
                    status = await exchange(streams, data)
                    break
                except (OSError, asyncio.IncompleteReadError):
                    streams = None
            assert status == 202, f"a good post was answered {status}"
            times.append(time.monotonic() - due)
            due += distance

    async def phase(self, seconds: float) -> list:
        times: list = []
        await asyncio.gather(*(self.client(number, seconds, times) for number in range(GOOD)))
        return sorted(times)


def metrics() -> dict:
    text = urllib.request.urlopen(f"http://127.0.0.1:{ADMIN}/metrics", timeout=10).read().decode()
    found: dict = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            found[name.split("{")[0]] = found.get(name.split("{")[0], 0) + float(value)
    return found


def main() -> int:
    if sys.argv[1] in ("bad", "slow"):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        os.nice(10)
        asyncio.run(crowd(bad_client, BAD) if sys.argv[1] == "bad" else crowd(slow_client, SLOW))
    with tempfile.TemporaryDirectory() as directory:
        common = ["--data-dir", f"{directory}/data", "--port-offset", str(OFFSET)]
        daybook = subprocess.Popen([sys.argv[1], "up", *common], stdout=subprocess.DEVNULL, stderr=open(f"{directory}/log", "w"))
        try:
            return measure(sys.argv[1], common, daybook)
        finally:
            daybook.send_signal(signal.SIGINT)
            daybook.wait()


def measure(program: str, common: list, daybook) -> int:
    for _ in range(1200):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{WEB}/readyz", timeout=1)
            break
        except OSError:
            time.sleep(0.05)
    resident = lambda: int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{daybook.pid}/status").read())[1]) / 1024
    good, alone, crowded, failed = Good(), [], 0.0, False
    asyncio.run(good.phase(5))
    for name in ("alone", "bad", "slow", "alone"):
        before, grown, crowd_of = metrics(), resident(), None
        if name != "alone":
            crowd_of = subprocess.Popen([sys.executable, __file__, name])
            time.sleep(3)
        times = asyncio.run(good.phase(SECONDS))
        after, grown = metrics(), resident() - grown
        if crowd_of:
            crowd_of.kill()
            crowd_of.wait()
            time.sleep(1)
        p50, p99 = (times[int(len(times) * part)] * 1000 for part in (0.5, 0.99))
        gain = lambda metric: int(after.get(metric, 0) - before.get(metric, 0))
        title = {"alone": "alone", "bad": f"beside {BAD} bad clients", "slow": f"beside {SLOW} slow connections"}[name]
        print(f"{title:32} {len(times)} posts, p50 {p50:.1f} p99 {p99:.1f} max {times[-1] * 1000:.1f} ms; refused {gain('daybook_gateway_refused_total')}, "
              f"requests {gain('daybook_gateway_requests_total')}, connections cut {gain('daybook_gateway_connections_cut_total')}, memory {grown:+.0f} MiB", flush=True)
        if name == "alone":
            alone.append(p99)
        elif name == "bad" and gain("daybook_gateway_refused_total") < BAD * SECONDS / 4:
            print("refusals were not counted")
            failed = True
        if grown > GROWTH_MAX:
            print(f"memory grew by more than {GROWTH_MAX} MiB")
            failed = True
        if name != "alone":
            crowded = max(crowded, p99)
    if crowded > FACTOR_MAX * max(alone):
        print(f"p99 beside the others is {crowded / max(alone):.1f} times that alone, more than {FACTOR_MAX:g}")
        failed = True
    proved = subprocess.run([program, "prove", *common, "--wait", "60"], capture_output=True, text=True)
    print(next((line.strip() for line in proved.stdout.splitlines() if "proved" in line or "NOT" in line), proved.stdout[-300:]))
    return int(failed or proved.returncode != 0)


sys.exit(main())
