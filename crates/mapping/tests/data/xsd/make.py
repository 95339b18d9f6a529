"""Writes verdicts.ndjson: changes of documents, and what libxml2 says of each against the schema.

pip install lxml xmlschema sepaxml
python make.py

A change replaces the bytes from `at` to `end` of a document by `with`. Where libxml2 and xmlschema (in pure
Python) disagree the change is left out and printed.
"""
import datetime
import json
import random
import re
import sys

import lxml.etree as ET
import xmlschema

SEED = 20261129
EACH = 260
DOCS = [
    ("../pain001_001_08.xml", "pain.001.001.08.xsd"),
    ("../International_payment_USD_naujas_1.xml", "pain.001.001.03.xsd"),
    ("../camt053_001_02.xml", "camt.053.001.02.xsd"),
    ("../camt053.v8.xml", "camt.053.001.08.xsd"),
    ("../pacs.008.001.08-made-up.xml", "pacs.008.001.08.xsd"),
    ("pain.001.001.09.xml", "pain.001.001.09.xsd"),
    ("subset.xml", "subset.xsd"),
]
VALUES = ["", " ", "x", "EUR", "eur", "0", "-1", "1.005", "12345678901234567890", "0.000001", "100", "100.01", "2026-02-30",
          "2026-11-23", "2026-11-23T10:15:00", "2026-11-23T24:00:01", "2026-11-23T10:15:00.5+01:00", "true", "1", "TRUE",
          "A" * 36, "A" * 35, "A" * 141, "ABCDEF2AXXX", "HR1210010051863000160", "DBIT", "CRDT", "é" * 35, "a b", " A12 ",
          "+385-1", "Zm9v", "Zg==", "10:15:00", "2026-11", "2026", "\n\tA\n", "&amp;", "99999999999999.99999", "1e3", ".5", "+1"]


def elements(text):
    """(start, end of start tag, start of end tag, end, name, parent) of each element."""
    out, stack = [], []
    for m in re.finditer(rb"<!--.*?-->|<\?.*?\?>|<(/?)([\w:.]+)([^<>]*?)(/?)>", text, re.S):
        if not m.group(2):
            continue
        if m.group(1):
            i = stack.pop()
            out[i][2:4] = [m.start(), m.end()]
        else:
            out.append([m.start(), m.end(), m.end(), m.end(), m.group(2), stack[-1] if stack else None])
            if not m.group(4):
                stack.append(len(out) - 1)
    return out


def change(rng, text, found):
    leaves = [e for e in found if e[2] >= e[1] and b"<" not in text[e[1]:e[2]]]
    e = rng.choice(found)
    kind = rng.randrange(10)
    if kind == 0:
        return e[0], e[3], b""
    if kind == 1:
        return e[3], e[3], text[e[0]:e[3]]
    if kind == 2:
        siblings = [f for f in found if f[5] == e[5] and f[0] >= e[3]]
        if not siblings:
            return None
        f = siblings[0]
        return e[0], f[3], text[f[0]:f[3]] + text[e[3]:f[0]] + text[e[0]:e[3]]
    if kind == 3:
        name = rng.choice(found)[4]
        if e[2] == e[3]:
            return None
        inner = text[e[0] + 1 + len(e[4]):e[2]]
        return e[0], e[3], b"<" + name + inner + b"</" + name + b">"
    if kind == 4:
        other = rng.choice(found)
        return e[3], e[3], text[other[0]:other[3]]
    if kind == 5:
        tag = text[e[0]:e[1]]
        names = re.findall(rb' (?!xmlns)[\w]+="[^"]*"', tag)
        if not names:
            return e[1] - 1, e[1] - 1, rng.choice([b' Ccy="EUR"', b' x="1"', b' version="0"'])
        one = rng.choice(names)
        at = e[0] + tag.index(one)
        if rng.random() < 0.4:
            return at, at + len(one), b""
        value = rng.choice(VALUES).replace('"', "").encode()
        return at, at + len(one), one.split(b"=")[0] + b'="' + value + b'"'
    if kind == 6:
        return e[1], e[1], rng.choice([b"text", b" ", b"<other/>", b"<![CDATA[ ]]>", b"<!-- c -->", b"&#32;"])
    leaf = rng.choice(leaves)
    return leaf[1], leaf[2], rng.choice(VALUES).encode()


def main():
    rng = random.Random(SEED)
    disagree = 0
    with open("verdicts.ndjson", "w") as out:
        for doc, xsd in DOCS:
            text = open(doc, "rb").read()
            schema, second = ET.XMLSchema(ET.parse(xsd)), xmlschema.XMLSchema(xsd)
            found = elements(text)
            print(doc, schema.validate(ET.fromstring(text)), second.is_valid(ET.fromstring(text)), file=sys.stderr)
            seen = set()
            changes = [(0, 0, b"")]
            while len(changes) < EACH:
                one = change(rng, text, found)
                if one and one not in seen:
                    seen.add(one)
                    changes.append(one)
            for at, end, new in changes:
                changed = text[:at] + new + text[end:]
                try:
                    tree = ET.fromstring(changed)
                except ET.XMLSyntaxError:
                    continue
                verdict, other = schema.validate(tree), second.is_valid(tree)
                if verdict != other:
                    disagree += 1
                    print("disagree", doc, at, end, new, verdict, other, str(schema.error_log)[:200], file=sys.stderr)
                    continue
                row = {"doc": doc, "xsd": xsd, "at": at, "end": end, "with": new.decode(), "valid": verdict}
                out.write(json.dumps(row, ensure_ascii=False) + "\n")
    print(disagree, "disagreements", file=sys.stderr)


def pain_001_001_09():
    """A payment file as sepaxml writes one."""
    from sepaxml import SepaTransfer
    sepa = SepaTransfer({"name": "Tvrtka d.o.o.", "IBAN": "DE89370400440532013000", "BIC": "COBADEFFXXX", "batch": True, "currency": "EUR"},
                        schema="pain.001.001.09", clean=True)
    for n in (1, 2, 3):
        sepa.add_payment({"name": f"Ana {n}", "IBAN": "HR1210010051863000160", "BIC": "ZABAHR2X", "amount": 1000 * n + 5,
                          "execution_date": datetime.date(2026, 11, 24), "description": f"rent {n}", "endtoend_id": f"E{n}"})
    open("pain.001.001.09.xml", "wb").write(sepa.export(validate=True, pretty_print=True))


if "--new" in sys.argv:
    pain_001_001_09()
main()
