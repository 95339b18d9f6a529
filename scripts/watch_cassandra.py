"""Checks that the progress in Cassandra is never ahead of the rows: reads the progress, then a results partition up to there, then rows.

    watch_cassandra.py watch  BROKERS CASSANDRA TABLE STOP    looks again and again until the file STOP is there, then at all keys
    watch_cassandra.py claim  BROKERS CASSANDRA TABLE         as if the progress were at the log's end: must find rows that are behind
    watch_cassandra.py totals BROKERS                         what `transactions` alone says: how many, and their sum

A row must have at least the version of the newest record of its key below the progress. A look while Cassandra is away is given up, and
another begins. A node that is killed may forget what it acknowledged last (commitlog_sync): then progress goes back with the rows, which is
told.
"""
import collections
import decimal
import json
import os
import random
import sys
import time

from cassandra import ConsistencyLevel, DriverException, OperationTimedOut, RequestExecutionException
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.policies import ConstantReconnectionPolicy
from confluent_kafka import Consumer, KafkaError, TopicPartition

# Keys that a look reads at most: of those that changed, and of all others.
CHANGED_MAX, OTHERS_MAX = 1000, 100
AWAY = (DriverException, OperationTimedOut, RequestExecutionException, NoHostAvailable)


class Log:
    """The newest record of every key of each partition, as far as it was read."""

    def __init__(self, servers, topic):
        self.settings = {
            "bootstrap.servers": servers, "group.id": "watch", "isolation.level": "read_committed", "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
        self.topic = topic
        consumer = Consumer(self.settings)
        self.partitions = sorted(consumer.list_topics(topic).topics[topic].partitions)
        self.consumers = {partition: self.consumer(partition) for partition in self.partitions}
        self.beyond = {partition: collections.deque() for partition in self.partitions}
        self.reached = dict.fromkeys(self.partitions, 0)
        self.newest = {partition: {} for partition in self.partitions}

    def consumer(self, partition):
        consumer = Consumer(self.settings)
        consumer.assign([TopicPartition(self.topic, partition, 0)])
        return consumer

    def end(self, partition):
        return self.consumers[partition].get_watermark_offsets(TopicPartition(self.topic, partition))[1]

    def records(self, partition, until):
        """From where the last call ended, to the offset."""
        beyond, quiet = self.beyond[partition], time.monotonic()
        while self.reached[partition] < until:
            if not beyond:
                beyond.extend(self.consumers[partition].consume(1000, timeout=0.1))
                if time.monotonic() - quiet > 30:
                    sys.exit(f"{self.topic}/{partition}: nothing came up to {until} for 30 s")
                continue
            quiet = time.monotonic()
            message = beyond[0]
            if message.error() and message.error().code() != KafkaError._PARTITION_EOF:
                sys.exit(f"{self.topic}: {message.error()}")
            # What tells the end has the offset that comes next.
            self.reached[partition] = message.offset() + (0 if message.error() else 1)
            if message.error():
                beyond.popleft()
            elif message.offset() < until:
                yield beyond.popleft()

    def forget(self, partition):
        self.consumers[partition].close()
        self.consumers[partition] = self.consumer(partition)
        self.beyond[partition].clear()
        self.reached[partition] = 0
        self.newest[partition].clear()

    def read(self, partition, until):
        """The keys that have changed."""
        changed = set()
        for message in self.records(partition, until):
            if not message.key().startswith(b"{"):
                self.newest[partition][message.key()] = message.value()
                changed.add(message.key())
        return changed


class Store:
    def __init__(self, at, table):
        host, port = at.rsplit(":", 1)
        profile = ExecutionProfile(consistency_level=ConsistencyLevel.QUORUM, request_timeout=5)
        cluster = Cluster([host], port=int(port), execution_profiles={EXEC_PROFILE_DEFAULT: profile},
                          reconnection_policy=ConstantReconnectionPolicy(0.5, None), connect_timeout=5)
        self.session = cluster.connect("daybook")
        layout = self.session.execute("SELECT buckets FROM layout WHERE aggregation = %s", [table])
        self.buckets = layout.one().buckets
        self.table = table
        self.select = self.session.prepare(
            f"SELECT row_generation, row_sequence FROM {table} WHERE row_day = ? AND row_bucket = ? AND row_key = ?")

    def progress(self):
        found = collections.Counter()
        for row in self.session.execute("SELECT partition, next_offset FROM progress WHERE aggregation = %s", [self.table]):
            found[row.partition] = max(found[row.partition], row.next_offset)
        return found

    def bucket(self, key):
        number = 0x811C9DC5
        for byte in key:
            number = (number ^ byte) * 0x01000193 & 0xFFFFFFFF
        return number % self.buckets

    def behind(self, newest, keys):
        """Those of the keys whose row is older than the log's newest."""
        wanted = [json.loads(newest[key]) for key in keys]
        places = [(value["day"], self.bucket(key), key.decode()) for key, value in zip(keys, wanted)]
        found = execute_concurrent_with_args(self.session, self.select, places, concurrency=64)
        rows = [answer.result_or_exc.one() for answer in found]
        return [
            f"{key.decode()}: {row and list(row)} in the store, {value['v']} in the log"
            for key, value, row in zip(keys, wanted, rows)
            if row is None or list(row) < value["v"]
        ]


def watch(log, store, stop):
    looks, checked, given_up, went_back, longest = 0, 0, 0, 0, 0.0
    progress = collections.Counter()
    is_last = False
    while not is_last:
        is_last = os.path.exists(stop)
        partitions = log.partitions if is_last else [random.choice(log.partitions)]
        begun = time.monotonic()
        try:
            now = store.progress()
            for partition in log.partitions:
                if now[partition] < progress[partition]:
                    went_back += 1
                    log.forget(partition)
            progress = now
            for partition in partitions:
                changed = log.read(partition, now[partition])
                newest = log.newest[partition]
                keys = list(newest)
                if not is_last:
                    changed = random.sample(sorted(changed), min(len(changed), CHANGED_MAX))
                    keys = changed + random.sample(keys, min(len(keys), OTHERS_MAX))
                behind = store.behind(newest, keys)
                if behind:
                    sys.exit(f"progress {now[partition]} of partition {partition} is ahead of {len(behind)} rows: {behind[:3]}")
                checked += len(keys)
            looks += 1
        except AWAY:
            # The last one is made in any case.
            given_up, is_last = given_up + 1, False
        longest = max(longest, time.monotonic() - begun)
        time.sleep(0.1)
    unread = sum(len(log.read(partition, log.end(partition))) for partition in log.partitions)
    if unread:
        sys.exit(f"{unread} keys have records above the last progress")
    keys = sum(len(newest) for newest in log.newest.values())
    print(f"{looks} looks ({given_up} given up, the longest {longest:.0f} s; progress went back {went_back} times), {checked} rows, at last all {keys}")


def claim(log, store):
    behind = []
    for partition in log.partitions:
        log.read(partition, log.end(partition))
        behind += store.behind(log.newest[partition], list(log.newest[partition]))
    print(f"{len(behind)} rows are behind the log's end")
    sys.exit(0 if behind else "a progress ahead of the rows would not be seen")


def totals(servers):
    total, count = decimal.Decimal(0), 0
    log = Log(servers, "transactions")
    for partition in log.partitions:
        for message in log.records(partition, log.end(partition)):
            total += decimal.Decimal(json.loads(message.value())["amount"])
            count += 1
    print(count, total)


random.seed(seed := int(os.environ.get("SEED", time.time())))
match sys.argv[1:]:
    case ["watch", servers, at, table, stop]:
        print(f"seed {seed}", file=sys.stderr)
        watch(Log(servers, table), Store(at, table), stop)
    case ["claim", servers, at, table]:
        claim(Log(servers, table), Store(at, table))
    case ["totals", servers]:
        totals(servers)
    case _:
        sys.exit(__doc__)
