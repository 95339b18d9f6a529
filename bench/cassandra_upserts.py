"""The upserts of crates/store/examples/cassandra_bench.rs with Apache Cassandra's Python driver and its C extension: prepared, so many under
way at a time; single statements, and unlogged batches by partition. One process, as the driver is used.

    cassandra_upserts.py HOST PORT ROWS ROUNDS
"""
import datetime
import decimal
import sys
import time

import cassandra.row_parser  # noqa: F401: fails without the C extension
from cassandra import ConsistencyLevel
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.concurrent import execute_concurrent, execute_concurrent_with_args
from cassandra.query import BatchStatement, BatchType

BUCKETS = 64
# Rows of one write of a sink that is behind: all must be there before the next ones are sent.
WRITE_ROWS = 10_000
KEYS = 50_000
SINGLES = 2_000
DAY = datetime.date(1970, 1, 1) + datetime.timedelta(days=20_780)


def values(number, sequence):
    account = f"account-{number % KEYS:06}"
    key = f'["2026-11-23","{account}","EUR"]'
    bucket = 0x811C9DC5
    for byte in key.encode():
        bucket = (bucket ^ byte) * 0x01000193 & 0xFFFFFFFF
    total = decimal.Decimal(f"{sequence * 17}.{sequence % 100:02}")
    return (DAY, bucket % BUCKETS, key, 1, sequence, False, 0, 0, account, "EUR", total, sequence, (1 << 40) + sequence)


host, port, count, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
profile = ExecutionProfile(consistency_level=ConsistencyLevel.QUORUM, request_timeout=30)
session = Cluster([host], port=port, execution_profiles={EXEC_PROFILE_DEFAULT: profile}).connect("daybook_bench")
session.execute(
    "CREATE TABLE IF NOT EXISTS python (row_day date, row_bucket int, row_key text, row_generation int, row_sequence bigint, "
    "row_deleted boolean, row_partition int, row_offset bigint, account text, currency text, total decimal, transactions bigint, "
    "PRIMARY KEY ((row_day, row_bucket), row_key))")
insert = session.prepare(
    "INSERT INTO python (row_day, row_bucket, row_key, row_generation, row_sequence, row_deleted, row_partition, row_offset, account, "
    "currency, total, transactions) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?")
progress = session.prepare(
    "INSERT INTO progress (aggregation, generation, partition, next_offset) VALUES ('python', 1, 1, ?) USING TIMESTAMP ?")


def singles(rows, at_once):
    execute_concurrent_with_args(session, insert, rows, concurrency=at_once)


def batches(rows, size, at_once):
    of_partition = {}
    for row in rows:
        of_partition.setdefault(row[1], []).append(row)

    def statements():
        for rows in of_partition.values():
            for start in range(0, len(rows), size):
                batch = BatchStatement(BatchType.UNLOGGED)
                for row in rows[start:start + size]:
                    batch.add(insert, row)
                yield batch, ()

    execute_concurrent(session, statements(), concurrency=at_once)


def one_by_one(sequence):
    times = []
    for number in range(SINGLES):
        row = values(7, sequence + number)
        begun = time.perf_counter()
        session.execute(insert, row)
        session.execute(progress, (sequence + number, sequence + number + 1))
        times.append(time.perf_counter() - begun)
    times.sort()
    p50, p99 = (times[int((SINGLES - 1) * part)] * 1e3 for part in (0.5, 0.99))
    print(f"  one row and progress: Python p50 {p50:.2f} p99 {p99:.2f} ms")


WAYS = [
    ("1 x 100", singles, 100),
    ("1 x 512", singles, 512),
    ("100 x 32", batches, 100, 32),
    ("20 x 64", batches, 20, 64),
]
# Those of an earlier process are less.
sequence = int(time.time())
# The first round warms up and does not count.
for round_ in range(rounds + 1):
    print("round", round_)
    for name, way, *how in WAYS:
        # Single statements are slow here: fewer of them.
        rows = [values(number, sequence + number // KEYS) for number in range(count // 10 if way is singles else count)]
        sequence += count // KEYS + 1
        begun = time.perf_counter()
        for start in range(0, len(rows), WRITE_ROWS):
            way(rows[start:start + WRITE_ROWS], *how)
        print(f"  {'Python, ' + name:<16} {len(rows) / (time.perf_counter() - begun):>9.0f} upserts/s", flush=True)
    one_by_one(sequence)
    sequence += SINGLES
