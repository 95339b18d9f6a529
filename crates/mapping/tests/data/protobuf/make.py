"""Writes the bodies of this directory with Google's own protobuf for Python.

pip install protobuf grpcio-tools googleapis-common-protos
python -m grpc_tools.protoc -I. -I$SITE_PACKAGES --python_out=. protobuf.proto   # of config/sources
python make.py
"""
import protobuf_pb2 as pb


def payment(number, units, nanos, direction, **more):
    p = pb.Payment(id=f"P{number}", text="rent – November", direction=direction, **more)
    p.debtor.account = "HR1210010051863000160"
    p.creditor.account = "DE89370400440532013000"
    p.creditor.name = "Ana Anić"
    p.amount.currency_code = "EUR"
    p.amount.units = units
    p.amount.nanos = nanos
    p.booked_at.seconds = 1795428900 + number
    p.booked_at.nanos = 250_000_000 if number == 1 else 0
    p.labels["purpose"] = "RENT"
    p.labels["kind"] = "SALA"
    p.codes.extend([7, -1, 300])
    p.risk_score = 0.25
    p.signature = b"\x00\xff\x10"
    p.sequence = 2**63 + number
    return p


all_of = [
    payment(1, 1250, 750_000_000, pb.DIRECTION_CREDIT, terminal="T1"),
    payment(2, 0, 10_000_000, pb.DIRECTION_DEBIT, branch=-17),
    payment(3, 99, 0, pb.DIRECTION_DEBIT, reverses="P2"),
]
open("one.bin", "wb").write(all_of[0].SerializeToString(deterministic=True))
batch = pb.Batch(batch_id="B1", payments=all_of)
open("batch.bin", "wb").write(batch.SerializeToString(deterministic=True))


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


with open("delimited.bin", "wb") as f:
    for p in all_of:
        body = p.SerializeToString(deterministic=True)
        f.write(varint(len(body)) + body)
