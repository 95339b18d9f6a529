"""Reads `transactions` and `daily_totals` with librdkafka's Python client, read_committed, in a group."""
import decimal
import json
import sys

from confluent_kafka import Consumer, KafkaError


def read(servers, topic):
    consumer = Consumer({
        "bootstrap.servers": servers,
        "group.id": f"foreign-{topic}",
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
    })
    consumer.subscribe([topic])
    records, ended = [], set()
    while True:
        message = consumer.poll(30)
        if message is None:
            sys.exit(f"{topic}: nothing came for 30 s")
        if message.error():
            if message.error().code() != KafkaError._PARTITION_EOF:
                sys.exit(f"{topic}: {message.error()}")
            ended.add(message.partition())
            if len(ended) == len(consumer.list_topics(topic).topics[topic].partitions):
                break
            continue
        records.append((message.key(), json.loads(message.value()), dict(message.headers() or [])))
    consumer.commit(asynchronous=False)
    consumer.close()
    return records


servers = sys.argv[1]
transactions = read(servers, "transactions")
assert len(transactions) == 100, len(transactions)
for key, value, headers in transactions:
    assert key.decode() == value["account"]
    assert headers["id"].decode() == value["id"], headers
    assert {"traceparent", "received_at"} <= headers.keys(), headers
newest = {}
for key, value, _ in read(servers, "daily_totals"):
    if key not in newest or newest[key]["v"] < value["v"]:
        newest[key] = value
total = sum(decimal.Decimal(row["total"]) for row in newest.values())
assert total == decimal.Decimal("5075.00"), total
assert sum(row["transactions"] for row in newest.values()) == 100
print(f"confluent-kafka: {len(transactions)} transactions, {len(newest)} rows, total {total}")
