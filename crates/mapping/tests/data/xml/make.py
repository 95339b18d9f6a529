"""Makes verdicts.ndjson: documents with one or two mistakes, and whether Expat, which Python has, reads them.

    python3 make.py > verdicts.ndjson
"""
import json
import random
import re
import xml.parsers.expat

COUNT = 1_500
NAMES = ["a", "Amt", "x1", "_", "é.-·", "名前"]
TEXTS = ["12.50", " ", "\r\n  ", "é", "]", "]]", "&amp;", "&lt;", "&#65;", "&#x1F600;", "<!-- c - d -->", "<?pi a?>", "<![CDATA[<a>&]]]>", "\ufffd"]
VALUES = ["", "EUR", "\ta\nb", "&amp;&#10;", "é]]>", "a=b/>"]
HEADS = ["", "", '<?xml version="1.0"?>', "<?xml version='1.0' encoding='UTF-8' standalone='no' ?>\n", "<!-- first -->"]
PIECES = ["<", ">", "&", ";", '"', "'", "=", "/", "!", "?", "-", "[", "]", " ", "\x00", "\x1f", "\ufffe", "\uffff", "×", "1", "]]>", "--", "-->", "<!--",
          "<![CDATA[", "<?xml version='1.0'?>", "<?", "?>", "</", "/>", "<a>", "</a>", "<a/>", "&#0;", "&#xD800;", "&#x110000;", "&#;", "&#x;", "&eur;", "& ",
          "<a b='1' b='2'/>", "<a b=1/>", "<a b/>", "<a b='<'/>", "<a\xa0/>", "<?XML a?>", "version", "encoding='x y'"]


def element(depth=0):
    name = random.choice(NAMES)
    head = name
    for attribute in random.sample(NAMES, random.randrange(3)):
        head += f' {attribute}{random.choice(["=", " = "])}"{random.choice(VALUES)}"'
    if random.random() < 0.2:
        return f"<{head}/>"
    inner = (element(depth + 1) if depth < 3 and random.random() < 0.4 else random.choice(TEXTS) for _ in range(random.randrange(4)))
    return f"<{head}>{''.join(inner)}</{name}>"


def spoilt(text):
    at = random.randrange(len(text) + 1)
    return random.choice([text[:at] + text[at + 1:], text[:at] + random.choice(PIECES) + text[at:], text[:at] + random.choice(PIECES) + text[at:], text[:at]])


def is_read(text):
    try:
        xml.parsers.expat.ParserCreate("UTF-8").Parse(text.encode(), True)
        return True
    except xml.parsers.expat.ExpatError:
        return False


random.seed(1)
documents = {}
while len(documents) < COUNT:
    text = random.choice(HEADS) + element() + random.choice(["", "\n", "<!-- last -->"])
    for _ in range(random.choice([1, 1, 2])):
        text = spoilt(text)
    # Expat does not look at the version.
    if not re.search(r"<\?xml version=(['\"])(?!1\.[0-9]+\1)", text):
        documents[text] = is_read(text)
for text, verdict in documents.items():
    print(json.dumps({"document": text, "well_formed": verdict}))
