"""The gateway's status reports (pain.002, pacs.002), read by pyiso20022, whose classes are made from ISO 20022's schemas: names, order, occurrence,
lengths and patterns must be theirs.

    python status_reports.py http://127.0.0.1:8081
"""
import dataclasses
import importlib
import re
import sys
import urllib.error
import urllib.request

from lxml import etree
from xsdata.formats.dataclass.parsers import XmlParser
from xsdata.formats.dataclass.parsers.config import ParserConfig
from xsdata.formats.dataclass.serializers import XmlSerializer

STRICT = ParserConfig(fail_on_unknown_properties=True, fail_on_converter_warnings=True)
IBAN = "HR1210010051863000160"


def faults(report):
    """What of a report is not as its schema says."""
    root = etree.fromstring(report)
    name = etree.QName(root).namespace.rsplit(":", 1)[1].replace(".", "_")
    module = importlib.import_module(f"pyiso20022.{name[:4]}.{name}.{name}")
    try:
        parsed = XmlParser(config=STRICT).from_bytes(report, module.Document)
    except Exception as error:  # Whatever it is: the report could not be read.
        return name, [repr(error)]
    found = list(faults_of(parsed, name))
    # The classes write their elements in the schema's order.
    again = etree.fromstring(XmlSerializer().render(parsed).encode())
    if names(again) != names(root):
        found.append(f"elements {names(root)}, in order {names(again)}")
    return name, found


def names(root):
    return [etree.QName(element).localname for element in root.iter(etree.Element)]


def faults_of(value, path):
    if not dataclasses.is_dataclass(value):
        return
    for field in dataclasses.fields(value):
        rules, here = field.metadata, f"{path}/{field.name}"
        inner = getattr(value, field.name)
        if rules.get("required") and inner is None:
            yield f"{here} is required"
        if isinstance(inner, list) and not rules.get("min_occurs", 0) <= len(inner) <= rules.get("max_occurs", len(inner)):
            yield f"{here} occurs {len(inner)} times"
        for one in inner if isinstance(inner, list) else [inner]:
            text = getattr(one, "value", one)
            if isinstance(text, str):
                if not rules.get("min_length", 0) <= len(text) <= rules.get("max_length", len(text)):
                    yield f"{here} has {len(text)} characters"
                if rules.get("pattern") and not re.fullmatch(rules["pattern"], text):
                    yield f"{here} is {text}"
            yield from faults_of(one, here)


def pain(version, count, wrong=(), control_sum=None):
    day = "<Dt>2026-11-30</Dt>" if version >= 8 else "2026-11-30"
    bic = "BICFI" if version >= 4 else "BIC"
    transactions = "".join(
        f"<CdtTrfTxInf><PmtId><InstrId>I{i}</InstrId><EndToEndId>E2E-{i}-{'x' * 28}</EndToEndId></PmtId>"
        f"<Amt><InstdAmt Ccy=\"EUR\">{'1.234' if i in wrong else '10.00'}</InstdAmt></Amt><Cdtr><Nm>B &amp; C</Nm></Cdtr>"
        f"<CdtrAcct><Id><IBAN>{IBAN}</IBAN></Id></CdtrAcct></CdtTrfTxInf>"
        for i in range(count)
    )
    total = "" if control_sum is None else f"<CtrlSum>{control_sum}</CtrlSum>"
    return (
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.{version:02}"><CstmrCdtTrfInitn><GrpHdr><MsgId>MSG-{version}-{count}</MsgId>'
        f"<CreDtTm>2026-11-29T07:00:00</CreDtTm><NbOfTxs>{count}</NbOfTxs>{total}<InitgPty><Nm>A</Nm></InitgPty></GrpHdr><PmtInf><PmtInfId>P1</PmtInfId>"
        f"<PmtMtd>TRF</PmtMtd><ReqdExctnDt>{day}</ReqdExctnDt><Dbtr><Nm>A</Nm></Dbtr><DbtrAcct><Id><IBAN>{IBAN}</IBAN></Id></DbtrAcct>"
        f"<DbtrAgt><FinInstnId><{bic}>ZABAHR2X</{bic}></FinInstnId></DbtrAgt>{transactions}</PmtInf></CstmrCdtTrfInitn></Document>"
    )


def pacs(version, count, wrong=()):
    bic = "BICFI" if version >= 4 else "BIC"
    agent = f"<FinInstnId><{bic}>ZABAHR2X</{bic}></FinInstnId>"
    account = f"<Id><IBAN>{IBAN}</IBAN></Id>"
    transactions = "".join(
        f"<CdtTrfTxInf><PmtId><InstrId>I{i}</InstrId><EndToEndId>E{i}</EndToEndId><TxId>T{version}-{i}</TxId></PmtId>"
        f"<IntrBkSttlmAmt Ccy=\"EUR\">{'1.234' if i in wrong else '10.00'}</IntrBkSttlmAmt><ChrgBr>SLEV</ChrgBr><Dbtr><Nm>A</Nm></Dbtr>"
        f"<DbtrAcct>{account}</DbtrAcct><DbtrAgt>{agent}</DbtrAgt><CdtrAgt>{agent}</CdtrAgt><Cdtr><Nm>B</Nm></Cdtr><CdtrAcct>{account}</CdtrAcct></CdtTrfTxInf>"
        for i in range(count)
    )
    return (
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.008.001.{version:02}"><FIToFICstmrCdtTrf><GrpHdr><MsgId>PM-{version}-{count}</MsgId>'
        f"<CreDtTm>2026-11-29T07:00:00</CreDtTm><NbOfTxs>{count}</NbOfTxs><IntrBkSttlmDt>2026-11-29</IntrBkSttlmDt><SttlmInf><SttlmMtd>CLRG</SttlmMtd></SttlmInf>"
        f"</GrpHdr>{transactions}</FIToFICstmrCdtTrf></Document>"
    )


def documents():
    """Source, status that is expected, and body."""
    for version in (3, 4, 8, 9, 11, 12):
        yield "pain.001", "ACTC", pain(version, 1)
        yield "pain.001", "RJCT", pain(version, 3, wrong=(1,))
        yield "pain.001", "RJCT", pain(version, 2, control_sum="999.00")
    for version in (2, 4, 8, 10, 12):
        yield "pacs.008", "ACTC", pacs(version, 1)
        yield "pacs.008", "RJCT", pacs(version, 3, wrong=(0, 1))
    yield "pain.001", "RJCT", pain(9, 1)[:700]
    yield "pacs.008", "RJCT", pacs(8, 1)[:600]


def post(gateway, source, body):
    headers = {"Content-Type": "application/xml", "Accept": "application/xml"}
    try:
        return urllib.request.urlopen(urllib.request.Request(f"{gateway}/v1/transactions/{source}", body.encode(), headers)).read()
    except urllib.error.HTTPError as error:
        return error.read()


def main():
    count = 0
    for source, expected, body in documents():
        report = post(sys.argv[1], source, body)
        name, found = faults(report)
        status = re.search(rb"<GrpSts>(\w+)<", report)
        if status is None or status[1].decode() != expected:
            found.append(f"the status is {status and status[1]}, expected {expected}")
        if found:
            sys.exit(f"{name} to\n{body}\nis wrong: {'; '.join(found)}\n{report.decode()}")
        count += 1
    # That a report which is wrong would be found.
    for change in ((b"<MsgId>", b"<MsgIdx>"), (b"RJCT", b"NO SUCH"), (b"<OrgnlMsgId>", b"<OrgnlMsgId>" + b"x" * 36)):
        changed = report.replace(change[0], change[1])
        if change[0] == b"<MsgId>":
            changed = changed.replace(b"</MsgId>", b"</MsgIdx>")
        if not faults(changed)[1]:
            sys.exit(f"nothing was found wrong in {changed.decode()}")
    print(f"pyiso20022: {count} status reports are as their schemas say")


main()
