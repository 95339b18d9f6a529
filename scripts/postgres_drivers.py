"""Two drivers that prepare statements: numerics come back exactly, as Decimal. Arguments: port, business day."""

import sys
from datetime import date
from decimal import Decimal

import pg8000.dbapi
import psycopg

port, today = int(sys.argv[1]), date.fromisoformat(sys.argv[2])
# 1.25 + 8.25 + ... + 99.25
expected = sum((Decimal(i) + Decimal("0.25") for i in range(1, 101) if i % 7 == 1), Decimal(0))
count = len([i for i in range(1, 101) if i % 7 == 1])


def same(found, wanted):
    if found != wanted or type(found) is not type(wanted):
        sys.exit(f"{found!r} is not {wanted!r}")


# pg8000: extended protocol, text.
with pg8000.dbapi.connect(host="127.0.0.1", port=port, user="me", database="daybook") as connection:
    cursor = connection.cursor()
    cursor.execute(
        "SELECT business_day, account, total, transactions, total > 0 FROM daily_totals"
        " WHERE business_day = %s AND account = %s AND total >= %s AND transactions < %s",
        (today, "a1", Decimal("0.01"), 1_000_000),
    )
    rows = cursor.fetchall()
    same(len(rows), 1)
    for found, wanted in zip(rows[0], [today, "a1", expected, count, True]):
        same(found, wanted)
    connection.commit()

# psycopg: text and binary, parameters of both forms, server-side prepared.
with psycopg.connect(f"host=127.0.0.1 port={port} dbname=daybook user=me") as connection:
    for binary in (False, True):
        with connection.cursor(binary=binary) as cursor:
            for _ in range(3):
                cursor.execute(
                    "SELECT business_day, account, total, transactions, total > 0, NULL::numeric, -total, 0.00001::numeric(10,5)"
                    " FROM daily_totals WHERE business_day = %b AND account = %s AND total = %b AND transactions = %t",
                    (today, "a1", expected, count),
                    prepare=True,
                )
                rows = cursor.fetchall()
                same(len(rows), 1)
                wanted = [today, "a1", expected, count, True, None, -expected, Decimal("0.00001")]
                for found, value in zip(rows[0], wanted):
                    same(found, value)
            cursor.execute("SELECT sum(total) FROM daily_totals")
            same(cursor.fetchone()[0], Decimal("5075.00"))
    # After an error the connection goes on.
    try:
        connection.execute("DELETE FROM daily_totals")
        sys.exit("a DELETE was not refused")
    except psycopg.errors.ReadOnlySqlTransaction:
        connection.rollback()
    found = connection.execute("SELECT count(*) FROM daily_totals WHERE account IN (%s, %s)", ("a1", "a2")).fetchone()[0]
    same(found, 2)

print("drivers fine")
