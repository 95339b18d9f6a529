//! Records translated per CPU-second, on one thread: `cargo run --release -p mapping --example speed`. Beside it what a bare parser takes
//! that only reads the body, where there is one to be had: serde_json, quick-xml, csv-core.
//!
//! With an argument only the inputs whose title contains it. CPU time is read from `/proc/self/schedstat`, so other programs on the machine do not matter much.

#![allow(clippy::print_stdout, reason = "a program for people")]

use std::fmt::Write as _;
use std::hint::black_box;

use csv_core::{ReadRecordResult, ReaderBuilder};
use quick_xml::events::Event;

use mapping::{CompileOptions, Context, Limits, Mapping, RecordOutcome};

const ROUNDS: usize = 5;
/// The kernel tells CPU time by its ticks of some milliseconds: a round takes many of them.
const ROUND_NANOS_MIN: u64 = 100_000_000;
const RECEIVED_AT: i64 = 1_795_435_200_000_000;

fn main() {
    println!(
        "{:34} {:>7} {:>9} {:>13} {:>8} {:>14} {:>6}",
        "input", "bytes", "us/record", "records/CPU-s", "MB/CPU-s", "bare us/record", "times"
    );
    let json = |count: usize| {
        let mut body = String::new();
        for index in 0..count {
            writeln!(body, "{}", json_record(index)).expect("writing to a string");
        }
        body
    };
    run("json", "JSON, one record a body", &json(1), 1);
    run("json", "NDJSON, 1,000 records a body", &json(1_000), 1_000);
    run("pain.001", "pain.001, one transaction a body", &pain(1), 1);
    run(
        "pain.001",
        "pain.001, 1,000 transactions",
        &pain(1_000),
        1_000,
    );
    run("card-csv", "CSV, 1,000 rows", &cards(1_000), 1_000);
    let cdnow = cdnow(1_000);
    run("cdnow", "CDNOW, 1,000 rows", &cdnow, 1_000);
    let statement = statement(1_000);
    run("mt940", "MT940, 1,000 entries", &statement, 1_000);
    run("mt103", "MT103, 1,000 messages", &transfers(1_000), 1_000);
    run("nacha", "NACHA, 1,000 entries", &ach(1_000), 1_000);
    run("ofx", "OFX 1.x, 1,000 transactions", &ofx(1_000), 1_000);
    let copybook = copybook(1_000);
    run("copybook", "copybook, 1,000 records", &copybook, 1_000);
    let messages = messages(1_000);
    run("iso8583", "ISO 8583, 1,000 messages", &messages, 1_000);
    run(
        "protobuf",
        "protobuf, one message",
        &sample("protobuf/one.bin"),
        1,
    );
    run(
        "avro",
        "Avro, a file of three records",
        &sample("avro/null.avro"),
        3,
    );
    run(
        "pain.001+xsd",
        "pain.001, 1,000, with its schema",
        &pain(1_000),
        1_000,
    );
    #[cfg(feature = "script")]
    run(
        "json+script",
        "NDJSON, 1,000, with a script",
        &json(1_000),
        1_000,
    );
}

fn sample(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).expect("the sample is there")
}

/// What a script that does little takes: it looks something up and gives one field more.
const SCRIPT: &str = "\n[script]\ngives = [\"kind\"]\nsource = '''\n\
    const kinds = { \"0\": \"debit\", \"1\": \"credit\" };\n\
    function transaction(record) {\n  return { ...record, kind: kinds[record.amount.startsWith(\"-\") ? 0 : 1] };\n}\n'''\n";

/// A ready-made source, with `+xsd` one that validates, with `+script` one with a script.
fn mapping(source: &str) -> Mapping {
    let name = source.trim_end_matches("+xsd").trim_end_matches("+script");
    let folder = format!("{}/../../config/sources", env!("CARGO_MANIFEST_DIR"));
    let path = format!("{folder}/{name}.toml");
    let mut text = std::fs::read_to_string(&path).expect("the source is there");
    let mut options = CompileOptions::default();
    for file in ["protobuf.binpb", "avro.avsc"] {
        let content = std::fs::read(format!("{folder}/{file}")).expect("the file is there");
        options = options.with_file(file, content);
    }
    if source.ends_with("+script") {
        text.push_str(SCRIPT);
    } else if name != source {
        text.push_str("\n[validate]\nxsd = \"s.xsd\"\n");
        options = options.with_file("s.xsd", sample("xsd/pain.001.001.09.xsd"));
    }
    Mapping::compile_with(&path, &text, &options).expect("a ready-made source")
}

fn run(source: &str, title: &str, body: &(impl AsRef<[u8]> + ?Sized), records: usize) {
    let body = body.as_ref();
    if std::env::args()
        .nth(1)
        .is_some_and(|filter| !title.contains(&filter))
    {
        return;
    }
    let mapping = mapping(source);
    let limits = Limits::default();
    let best = micros(|| {
        let mut out = Vec::with_capacity(body.len() + body.len() / 4 + 256);
        let mut translated = 0;
        let mut new_id = || "made-up".to_owned();
        let mut context = Context {
            received_at: RECEIVED_AT,
            idempotency_key: Some("key"),
            first_record: 1,
            lines: false,
            new_id: &mut new_id,
        };
        let result =
            mapping.decode(
                body,
                &mut context,
                &limits,
                &mut out,
                &mut |outcome| match outcome {
                    RecordOutcome::Translated(_) => translated += 1,
                    RecordOutcome::Refused(refused) => panic!("{}", refused.refusal),
                },
            );
        assert_eq!((result, translated), (Ok(records as u64), records));
    }) / records as f64;
    let bare = parser(source).map(|parse| micros(|| parse(black_box(body))) / records as f64);
    let bytes = body.len() / records;
    print!(
        "{title:34} {bytes:>7} {best:>9.3} {:>13.0} {:>8.0}",
        1_000_000.0 / best,
        bytes as f64 / best
    );
    match bare {
        Some(bare) => println!(" {bare:>14.3} {:>6.2}", best / bare),
        None => println!(" {:>14} {:>6}", "-", "-"),
    }
}

/// Reads a body and does nothing with it; `None` where no parser for it is at hand.
fn parser(source: &str) -> Option<fn(&[u8])> {
    match source.split('+').next().unwrap_or(source) {
        "json" => Some(|body| {
            let values = serde_json::Deserializer::from_slice(body);
            black_box(values.into_iter::<serde::de::IgnoredAny>().count());
        }),
        "pain.001" => Some(|body| {
            let mut reader = quick_xml::Reader::from_reader(body);
            while !matches!(black_box(reader.read_event()), Ok(Event::Eof) | Err(_)) {}
        }),
        "card-csv" => Some(|body| rows(body, b',')),
        "cdnow" => Some(|body| rows(body, b' ')),
        _ => None,
    }
}

/// CPU time of a call in microseconds, the best of some rounds.
fn micros(mut work: impl FnMut()) -> f64 {
    let (mut repeat, mut rounds, mut best) = (1_u32, 0, f64::INFINITY);
    while rounds < ROUNDS {
        let begun = cpu_nanos();
        (0..repeat).for_each(|_| work());
        let spent = cpu_nanos() - begun;
        if spent < ROUND_NANOS_MIN {
            repeat *= 2;
            continue;
        }
        best = best.min(spent as f64 / 1_000.0 / f64::from(repeat));
        rounds += 1;
    }
    best
}

fn rows(mut body: &[u8], delimiter: u8) {
    let mut reader = ReaderBuilder::new().delimiter(delimiter).build();
    let (mut fields, mut ends) = ([0; 4_096], [0; 64]);
    loop {
        let (result, read, _, _) = reader.read_record(body, &mut fields, &mut ends);
        body = &body[read..];
        if matches!(black_box(result), ReadRecordResult::End) {
            return;
        }
    }
}

/// CPU time of this thread in nanoseconds.
fn cpu_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let first = text.split_ascii_whitespace().next().expect("a number");
    first.parse().expect("a number")
}

fn json_record(index: usize) -> String {
    format!(
        "{{\"id\":\"txn-2026-11-23-{index:08}\",\"account\":\"HR1210010051863000160\",\"amount\":\"-{}.{:02}\",\
         \"currency\":\"EUR\",\"booked_at\":\"2026-11-23T10:15:00.123+01:00\",\"merchant\":\"Konzum d.d. Zagreb, \
         Ilica 12\",\"type\":\"purchase\",\"channel\":\"card-present\",\"category\":\"5411\",\"country\":\"HR\",\
         \"reference\":\"HR00 123-456-{index}\",\"terminal\":{{\"id\":\"T-0042\",\"position\":[45.813,15.977],\
         \"entry\":\"contactless\"}},\"device\":\"f3a1c9d2-7b64-4e9f-8f0a-1c2d3e4f5a6b\",\"note\":\"line one \
         and quite a bit more text to make half a kilobyte\"}}",
        index % 900,
        index % 100
    )
}

fn pain(count: usize) -> String {
    let mut body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:pain.001.001.09\">\
         <CstmrCdtTrfInitn><GrpHdr><MsgId>MSG-1</MsgId><CreDtTm>2026-11-23T09:00:00</CreDtTm><NbOfTxs>{count}</NbOfTxs>\
         <InitgPty><Nm>Primjer d.o.o.</Nm></InitgPty></GrpHdr><PmtInf><PmtInfId>P-1</PmtInfId><PmtMtd>TRF</PmtMtd>\
         <ReqdExctnDt><Dt>2026-11-24</Dt></ReqdExctnDt><Dbtr><Nm>Primjer d.o.o.</Nm></Dbtr><DbtrAcct><Id>\
         <IBAN>HR1210010051863000160</IBAN></Id></DbtrAcct><DbtrAgt><FinInstnId><BICFI>AAAAHR2X</BICFI></FinInstnId>\
         </DbtrAgt>",
    );
    for index in 0..count {
        writeln!(
            body,
            "<CdtTrfTxInf><PmtId><InstrId>I-{index}</InstrId><EndToEndId>E2E-{index}</EndToEndId></PmtId><Amt>\
             <InstdAmt Ccy=\"EUR\">{index}.25</InstdAmt></Amt><CdtrAgt><FinInstnId><BICFI>BBBBDEFF</BICFI></FinInstnId>\
             </CdtrAgt><Cdtr><Nm>Beispiel &amp; Co GmbH</Nm></Cdtr><CdtrAcct><Id><IBAN>DE89370400440532013000</IBAN></Id>\
             </CdtrAcct><RmtInf><Ustrd>Rechnung {index}</Ustrd></RmtInf></CdtTrfTxInf>"
        )
        .expect("writing to a string");
    }
    body.push_str("</PmtInf></CstmrCdtTrfInitn></Document>");
    body
}

fn cards(count: usize) -> String {
    let mut body = String::from("id,card,amount,currency,booked_at,merchant,type,reverses\n");
    for index in 0..count {
        writeln!(body, "c-{index},5299-0001,-{index}.50,EUR,2026-11-23T10:15:00+01:00,\"Konzum, Zagreb\",purchase,")
            .expect("writing to a string");
    }
    body
}

fn cdnow(count: usize) -> String {
    let mut body = String::new();
    for index in 0..count {
        writeln!(body, " {index:05} 19970112  5   77.{:02}\r", index % 100)
            .expect("writing to a string");
    }
    body
}

fn statement(count: usize) -> String {
    let mut body = String::from(
        ":20:STARTUMSE\r\n:25:12345678/1020304050\r\n:28C:00001/001\r\n:60F:C261120EUR1200,00\r\n",
    );
    for index in 0..count {
        write!(
            body,
            ":61:2611201120DR{index},25N024NONREF//B{index}\r\n:86:166?00GUTSCHRIFT?109310?20EREF+E2E-{index}?21SVWZ+Rechnung\r\n {index}?30BBBBDEFF?31DE89370400440532013000?32Beispiel GmbH\r\n"
        )
        .expect("writing to a string");
    }
    body.push_str(":62F:C261120EUR1194,00\r\n-\r\n");
    body
}

fn transfers(count: usize) -> String {
    let mut body = String::new();
    for index in 0..count {
        write!(
            body,
            "{{1:F01AAAABEBBAXXX0000000000}}{{2:O1031805261123BBBBDEFFAXXX00000000002611231806N}}{{3:{{121:a0b1c2d3-0000-4000-8000-000000000000}}}}{{4:\r\n\
             :20:REF-{index}\r\n:23B:CRED\r\n:32A:261123EUR{index},5\r\n:50K:/DE89370400440532013000\r\nBEISPIEL GMBH\r\nSTRASSE 1\r\n\
             :59:/HR1210010051863000160\r\nPRIMJER D.O.O.\r\nZAGREB\r\n:70:RECHNUNG {index}\r\n:71A:SHA\r\n-}}{{5:{{CHK:000000000000}}}}\r\n"
        )
        .expect("writing to a string");
    }
    body
}

fn ach(count: usize) -> String {
    let mut body = format!(
        "{:<94}\n{:<94}\n",
        "101 231380104 1210428822611230000A094101Citadel                Wells Fargo",
        "5200Wells Fargo                         121042882 PPDTrans. Des      261123   1121042880000001"
    );
    for index in 0..count {
        let line = format!(
            "62223138010481967038518      {index:010}#83738AB#      Steven Tander           112104288{index:07}"
        );
        writeln!(body, "{line:<94}").expect("writing to a string");
        writeln!(
            body,
            "705{:<80}0001{index:07}",
            "bonus pay for amazing work"
        )
        .expect("writing to a string");
    }
    let (hash, sum) = (23_138_010 * count % 10_000_000_000, count * (count - 1) / 2);
    let entries = 2 * count;
    let batch = format!(
        "8200{entries:06}{hash:010}000000000000{sum:012}121042882                          121042880000001"
    );
    writeln!(body, "{batch:<94}").expect("writing to a string");
    let file = format!("9000001000001{entries:08}{hash:010}000000000000{sum:012}");
    writeln!(body, "{file:<94}").expect("writing to a string");
    body
}

fn ofx(count: usize) -> String {
    let mut body = String::from(
        "OFXHEADER:100\nDATA:OFXSGML\n\n<OFX><BANKMSGSRSV1><STMTTRNRS><TRNUID>1<STMTRS><CURDEF>EUR<BANKACCTFROM><BANKID>9<ACCTID>12\
         <ACCTTYPE>CHECKING</BANKACCTFROM><BANKTRANLIST><DTSTART>20261101<DTEND>20261130\n",
    );
    for index in 0..count {
        writeln!(
            body,
            "<STMTTRN><TRNTYPE>POS<DTPOSTED>20261120101500.000[+1:CET]<TRNAMT>-{index}.50<FITID>2026112{index}\
             <NAME>Konzum &amp; Co<MEMO>POS MERCHANDISE;Konzum Zagreb</STMTTRN>"
        )
        .expect("writing to a string");
    }
    body.push_str("</BANKTRANLIST></STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>\n");
    body
}

/// Records of the ready-made copybook between its header and trailer: 45 bytes of cp037 each.
fn copybook(count: usize) -> Vec<u8> {
    let mut body = vec![0x40; 10];
    for index in 0..count {
        body.extend([0xc5, 0xe4, 0xd9]);
        body.extend([0xe2, 0xf9, 0xf2, 0xf7, 0xf6, 0xf5, 0xf1, 0xf1]);
        body.extend([0xc1; 12]);
        body.extend([0; 3]);
        body.extend([0xf7; 10]);
        body.push(0xf1);
        body.extend((index as u64 * 101).to_be_bytes());
    }
    body.extend([0x40; 12]);
    body
}

/// Financial messages of 14 elements in ASCII.
fn messages(count: usize) -> String {
    let mut body = String::new();
    for index in 0..count {
        write!(
            body,
            "02007238400108E08000164111111111111111000000{index:012}1123101500{index:06}11150011235411\
             051234563270{index:07}TERM0001MERCHANT0000001{:40}978",
            "Konzum, Zagreb"
        )
        .expect("writing to a string");
    }
    body
}
