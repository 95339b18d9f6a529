"""Writes the bodies of this directory with fastavro, which shares no code with Avro's own libraries.

pip install fastavro
python make.py ../../../../../config/sources/avro.avsc
"""
import datetime
import decimal
import io
import json
import sys
import uuid

import fastavro

raw = json.load(open(sys.argv[1]))
schema = fastavro.parse_schema(raw)
D = decimal.Decimal


def payment(n, amount, direction, **more):
    return {
        "id": f"A{n}",
        "debtor": {"account": "HR1210010051863000160", "name": None},
        "creditor": {"account": "DE89370400440532013000", "name": "Ana Anić"},
        "amount": D(amount),
        "currency": "EUR",
        "direction": direction,
        "booked_at": datetime.datetime(2026, 11, 23, 10, 15, n, 250001, tzinfo=datetime.timezone.utc),
        "value_date": datetime.date(2026, 11, 24),
        "reverses": None,
        "text": "rent – November",
        "labels": {"kind": "SALA", "purpose": "RENT"},
        "codes": [7, -1, 300],
        "trace": uuid.UUID(int=n),
        "urgent": True,
        "risk_score": 0.25,
        "checksum": b"\x00\xff\x10",
        "fee": D("-0.0150"),
        **more,
    }


all_of = [
    payment(1, "1250.75", "CREDIT"),
    payment(2, "0.01", "DEBIT", creditor=None, text=None, labels={}, codes=[], value_date=None),
    payment(3, "99.00", "DEBIT", reverses="A2"),
]
for name, codec in [("null", "null"), ("deflate", "deflate"), ("bzip2", "bzip2")]:
    with open(f"{name}.avro", "wb") as f:
        fastavro.writer(f, schema, all_of, codec=codec, sync_marker=b"0123456789abcdef")
with open("blocks.avro", "wb") as f:
    fastavro.writer(f, schema, all_of, sync_interval=1, sync_marker=b"0123456789abcdef")
# A writer whose schema has other fields, in another order, and another decimal.
older = {
    "type": "record", "name": "Payment", "namespace": "daybook.example.v1",
    "fields": [f for f in raw["fields"] if f["name"] not in ("text", "labels", "amount")][::-1] + [
        {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 4}},
        {"name": "extra", "type": {"type": "array", "items": {"type": "map", "values": "long"}}},
    ],
}
older["fields"] = [f for f in older["fields"] if f["name"] not in ("creditor", "debtor")]
older["fields"] = [raw["fields"][1], raw["fields"][2]] + older["fields"]
with open("older.avro", "wb") as f:
    fastavro.writer(f, fastavro.parse_schema(older), [{**p, "extra": [{"a": 1}, {}]} for p in all_of], sync_marker=b"0123456789abcdef")
buffer = io.BytesIO()
fastavro.schemaless_writer(buffer, schema, all_of[0])
open("raw.bin", "wb").write(buffer.getvalue())
print_ = bytes.fromhex(fastavro.schema.fingerprint(fastavro.schema.to_parsing_canonical_form(raw), "CRC-64-AVRO"))
open("single.bin", "wb").write(b"\xc3\x01" + print_ + buffer.getvalue())
open("confluent.bin", "wb").write(b"\x00" + (42).to_bytes(4, "big") + buffer.getvalue())
