//! Avro: files and data that fastavro wrote, and what is no data.

use crate::common::{
    Options, beside, check, check_mistakes, compile, cut_and_change, decode, ready_made, sample,
};
use expect_test::expect;
use mapping::{CompileOptions, Limits, Mapping, rule};

/// A mapping beside the ready-made ones, whose schema it uses.
fn text(framing: &str, fields: &str) -> String {
    format!(
        "source = \"t\"\nformat = \"avro\"\n[avro]\nschema = \"avro.avsc\"\n{framing}\n[identity]\nnatural = [\"id\"]\n\
         [fields.account]\nfrom = \"debtor/account\"\n[fields.amount]\nfrom = \"amount\"\n[fields.currency]\nfrom = \"currency\"\n\
         [fields.booked_at]\nfrom = \"booked_at\"\n{fields}"
    )
}

fn with(framing: &str, fields: &str) -> Mapping {
    compile(&beside(), &text(framing, fields))
}

/// A mapping with a schema of its own, whose record is `{"id", "amount", more}`.
fn with_schema(top: &str, framing: &str, schema: &str) -> Result<Mapping, String> {
    let text = format!(
        "source = \"t\"\nformat = \"avro\"\n{top}\n[avro]\nschema = \"s.avsc\"\nframing = \"{framing}\"\n[identity]\nnatural = [\"id\"]\n\
         [fields.account]\nconst = \"a\"\n[fields.amount]\nfrom = \"amount\"\n[fields.currency]\nconst = \"EUR\"\n\
         [fields.booked_at]\nconst = \"2026-11-23T10:00:00Z\"\n"
    );
    let options = CompileOptions::default().with_file("s.avsc", schema);
    Mapping::compile_with("t.toml", &text, &options).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })
}

#[test]
fn container_files() {
    let mapping = ready_made("avro");
    check(
        &mapping,
        &sample("avro/null.avro"),
        expect![[r#"
        {"id":"A1","source":"avro","account":"DE89370400440532013000","amount":"1250.75","currency":"EUR","booked_at":"2026-11-23T10:15:01.250001Z","received_at":"2026-11-23T12:00:00.000000Z","value_date":"2026-11-24","counterparty":"Ana Anić","text":"rent – November","purpose":"RENT"}
        {"id":"A2","source":"avro","account":"HR1210010051863000160","amount":"-0.01","currency":"EUR","booked_at":"2026-11-23T10:15:02.250001Z","received_at":"2026-11-23T12:00:00.000000Z"}
        {"id":"A3","source":"avro","account":"HR1210010051863000160","amount":"-99.00","currency":"EUR","booked_at":"2026-11-23T10:15:03.250001Z","received_at":"2026-11-23T12:00:00.000000Z","reverses":"A2","value_date":"2026-11-24","counterparty":"Ana Anić","text":"rent – November","purpose":"RENT"}
    "#]],
    );
    let expected = decode(&mapping, &sample("avro/null.avro"), &Options::default()).text();
    for file in ["avro/deflate.avro", "avro/blocks.avro"] {
        let decoded = decode(&mapping, &sample(file), &Options::default());
        assert_eq!(decoded.text(), expected, "{file}");
    }
    check(
        &mapping,
        &sample("avro/bzip2.avro"),
        expect![[r#"
        document refused: line 1: the file's codec is "bzip2"; read are "null" and "deflate": ask the source for one of them (avro)
    "#]],
    );
    // Another order of fields, other scale, without some: read as it was written.
    check(
        &mapping,
        &sample("avro/older.avro"),
        expect![[r#"
        {"id":"A1","source":"avro","account":"DE89370400440532013000","amount":"1250.75","currency":"EUR","booked_at":"2026-11-23T10:15:01.250001Z","received_at":"2026-11-23T12:00:00.000000Z","value_date":"2026-11-24","counterparty":"Ana Anić"}
        {"id":"A2","source":"avro","account":"HR1210010051863000160","amount":"-0.01","currency":"EUR","booked_at":"2026-11-23T10:15:02.250001Z","received_at":"2026-11-23T12:00:00.000000Z"}
        {"id":"A3","source":"avro","account":"HR1210010051863000160","amount":"-99.00","currency":"EUR","booked_at":"2026-11-23T10:15:03.250001Z","received_at":"2026-11-23T12:00:00.000000Z","reverses":"A2","value_date":"2026-11-24","counterparty":"Ana Anić"}
    "#]],
    );
}

#[test]
fn every_kind_of_field_in_every_framing() {
    let fields = "[fields.kind]\nfrom = \"labels/kind\"\n[fields.code]\nfrom = \"codes\"\nrepeated = \"first\"\n\
        [fields.trace]\nfrom = \"trace\"\n[fields.urgent]\nfrom = \"urgent\"\n[fields.checksum]\nfrom = \"checksum\"\n\
        [fields.fee]\nfrom = \"fee\"\n[fields.day]\nfrom = \"value_date\"\n[fields.way]\nfrom = \"direction\"\n\
        [fields.name]\nfrom = \"debtor/name\"\noptional = true\n";
    check(
        &with("framing = \"raw\"", fields),
        &sample("avro/raw.bin"),
        expect![[r#"
            {"id":"A1","source":"t","account":"HR1210010051863000160","amount":"1250.75","currency":"EUR","booked_at":"2026-11-23T10:15:01.250001Z","received_at":"2026-11-23T12:00:00.000000Z","kind":"SALA","code":"7","trace":"00000000-0000-0000-0000-000000000001","urgent":"true","checksum":"AP8Q","fee":"-0.0150","day":"2026-11-24","way":"CREDIT"}
        "#]],
    );
    let read = |framing: &str, file: &str| {
        decode(&with(framing, fields), &sample(file), &Options::default()).text()
    };
    let raw = read("framing = \"raw\"", "avro/raw.bin");
    assert_eq!(read("framing = \"single\"", "avro/single.bin"), raw);
    assert_eq!(read("framing = \"confluent\"", "avro/confluent.bin"), raw);
    let known = "framing = \"confluent\"\nschema_id = 42";
    assert_eq!(read(known, "avro/confluent.bin"), raw);
    let mut others = read(
        "framing = \"confluent\"\nschema_id = 7",
        "avro/confluent.bin",
    );
    others.push_str(&read("framing = \"single\"", "avro/confluent.bin"));
    others.push_str(&read("framing = \"confluent\"", "avro/raw.bin"));
    others.push_str(&read("framing = \"raw\"", "avro/single.bin"));
    others.push_str(&read("framing = \"file\"", "avro/raw.bin"));
    let mut changed = sample("avro/single.bin");
    changed[2] ^= 1;
    let single = with("framing = \"single\"", fields);
    others.push_str(&decode(&single, &changed, &Options::default()).text());
    changed[2] ^= 1;
    changed.push(0);
    others.push_str(&decode(&single, &changed, &Options::default()).text());
    others.push_str(&decode(&single, b"", &Options::default()).text());
    expect![[r#"
        document refused: line 1: the datum was written with schema 42, this source reads data of schema 7 (avro)
        document refused: line 1: a datum in single-object encoding begins with C3 01 and the eight bytes of its schema's fingerprint (framing)
        document refused: line 1: a datum in Confluent's framing begins with a zero byte and the four bytes of its schema's number (framing)
        document refused: record 1, line 1: a length is negative; is the schema the one it was written with? (avro)
        document refused: line 1: an Avro container file begins with the four bytes "Obj" and 1 (avro)
        document refused: line 1: the datum was written with the schema of the fingerprint 64f6078d58cc8573, this source's has 64f6078d58cc8572 (avro)
        {"id":"A1","source":"t","account":"HR1210010051863000160","amount":"1250.75","currency":"EUR","booked_at":"2026-11-23T10:15:01.250001Z","received_at":"2026-11-23T12:00:00.000000Z","kind":"SALA","code":"7","trace":"00000000-0000-0000-0000-000000000001","urgent":"true","checksum":"AP8Q","fee":"-0.0150","day":"2026-11-24","way":"CREDIT"}
        document refused: line 1: 1 bytes follow behind the datum; is the schema the one it was written with? (avro)
        document refused: line 1: there is no record in the document (no-records)
    "#]].assert_eq(&others);
}

#[test]
fn a_writer_may_not_make_an_amount_a_float() {
    let record = |kind: &str| {
        format!(
            "{{\"type\":\"record\",\"name\":\"R\",\"fields\":[{{\"name\":\"id\",\"type\":\"string\"}},{{\"name\":\"amount\",\"type\":{kind}}}]}}"
        )
    };
    let mapping = with_schema("", "file", &record("\"long\"")).expect("a mapping");
    let schema = record("\"double\"");
    let mut file = b"Obj\x01\x02\x16avro.schema".to_vec();
    file.extend([(schema.len() * 2) as u8 | 0x80, (schema.len() >> 6) as u8]);
    file.extend(schema.as_bytes());
    file.extend(b"\x000123456789abcdef\x02\x16\x04P1");
    file.extend(12.5_f64.to_le_bytes());
    file.extend(b"0123456789abcdef");
    check(
        &mapping,
        &file,
        expect![[r#"
        record 1, line 1, field amount: amount is a floating-point number in the schema that it was written with, which is not exact (avro)
    "#]],
    );
    let mistakes = with_schema("", "file", &schema).expect_err("a mistake");
    expect![[r#"t.toml:12:8: fields.amount.from: "amount" is a floating-point number, which is not exact and is never read; ask the source for the logical type decimal, a string, or a long in minor units"#]].assert_eq(&mistakes);
}

/// A record type that holds itself, nested as deep as may be, and once deeper; and a union of only itself.
#[test]
fn nesting_is_limited() {
    let schema = "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"id\",\"type\":\"string\"},{\"name\":\"amount\",\"type\":\"long\"},\
        {\"name\":\"next\",\"type\":[\"null\",\"R\"]}]}";
    let mapping = with_schema("", "raw", schema).expect("a mapping");
    let nested = |depth: usize| {
        let mut body = b"\x02a\x02\x02".repeat(depth);
        body.pop();
        body.push(0);
        decode(&mapping, &body, &Options::default())
            .result
            .map_err(|refusal| refusal.rule)
    };
    assert_eq!(nested(64), Ok(1));
    assert_eq!(nested(65), Err(rule::DEPTH));
    assert_eq!(nested(1_000_000), Err(rule::DEPTH));
    let endless = "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"id\",\"type\":\"string\"},{\"name\":\"amount\",\"type\":\"long\"},{\"name\":\"next\",\"type\":\"R\"}]}";
    let mapping = with_schema("", "raw", endless).expect("a mapping");
    let decoded = decode(&mapping, &b"\x02a\x02".repeat(100), &Options::default());
    assert_eq!(
        decoded.result.map_err(|refusal| refusal.rule),
        Err(rule::DEPTH)
    );
}

/// A few bytes can announce any number of values that have none.
#[test]
fn values_without_bytes_are_limited() {
    let schema = "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"id\",\"type\":\"string\"},{\"name\":\"amount\",\"type\":\"long\"},\
        {\"name\":\"nothing\",\"type\":{\"type\":\"array\",\"items\":\"null\"}}]}";
    let mapping = with_schema("", "raw", schema).expect("a mapping");
    let mut body = b"\x02a\x02".to_vec();
    // 2^62 of them.
    body.extend([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x00]);
    let begun = std::time::Instant::now();
    check(
        &mapping,
        &body,
        expect![[r#"
        document refused: record 1, line 1: the data has more values than bytes allow (avro)
    "#]],
    );
    assert!(begun.elapsed().as_secs() < 5);
}

#[test]
fn what_is_inflated_is_limited() {
    let mapping = ready_made("avro");
    let body = sample("avro/deflate.avro");
    let limited = |body_bytes_max| {
        let options = Options {
            limits: Limits {
                body_bytes_max,
                ..Limits::default()
            },
            ..Options::default()
        };
        decode(&mapping, &body, &options)
            .result
            .map_err(|refusal| refusal.rule)
    };
    assert_eq!(limited(body.len()), Ok(3));
    // One block of mebibytes of zeros.
    let schema_end = body.len() - 16 - {
        let mark = b"0123456789abcdef";
        let first = body.windows(16).position(|window| window == mark);
        body.len() - 16 - (first.expect("the header's mark") + 16)
    };
    let mut bomb = body[..schema_end].to_vec();
    let mut deflated = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut deflated, &vec![0; 32 << 20]).expect("memory");
    let deflated = deflated.finish().expect("memory");
    bomb.push(2);
    let mut length = deflated.len() as u64 * 2;
    while length > 127 {
        bomb.push(length as u8 | 0x80);
        length >>= 7;
    }
    bomb.push(length as u8);
    bomb.extend(deflated);
    bomb.extend(b"0123456789abcdef");
    let decoded = decode(&mapping, &bomb, &Options::default());
    let refused = decoded.result.map_err(|refusal| refusal.rule);
    assert_eq!(refused, Err(rule::BODY_BYTES));
}

#[test]
fn mistakes_of_a_mapping() {
    let fields = "[fields.risk]\nfrom = \"risk_score\"\n[fields.a]\nfrom = \"creditor\"\n[fields.b]\nfrom = \"creditor/nme\"\n[fields.c]\nfrom = \"id/x\"\n";
    check_mistakes(
        &text("framing = \"file\"", fields),
        expect![[r#"
        17: fields.risk.from: "risk_score" is a floating-point number, which is not exact and is never read; ask the source for the logical type decimal, a string, or a long in minor units
        19: fields.a.from: "creditor" has no text of its own; name one of its fields: account, name
        21: fields.b.from: the schema has no field "nme" there; did you mean "name"?
        23: fields.c.from: the schema has no field "x" there; there is nothing below a value
    "#]],
    );
    check_mistakes(
        &text("framing = \"raw\"\nschema_id = 1", ""),
        expect![[r#"
        3: avro.schema_id: only data with framing = "confluent" have a schema's number
    "#]],
    );
    check_mistakes(
        &text("", "").replace("avro.avsc", "other.avsc"),
        expect![[r#"
            4: avro.schema: there is no file "other.avsc", given are avro.avsc, protobuf.binpb: put it beside the mapping
        "#]],
    );
    let mistakes = with_schema("", "raw", "{\"type\":\"recor\"}").expect_err("a mistake");
    expect![[r#"t.toml:5:10: avro.schema: s.avsc: the schema has no type "recor""#]]
        .assert_eq(&mistakes);
}

/// Records in an array inherit from what stands in front of them.
#[test]
fn records_inside_of_a_datum() {
    let schema = "{\"type\":\"record\",\"name\":\"B\",\"fields\":[{\"name\":\"bank\",\"type\":\"string\"},{\"name\":\"payments\",\"type\":{\"type\":\"array\",\"items\":\
        {\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"id\",\"type\":\"string\"},{\"name\":\"amount\",\"type\":[\"null\",\"long\"]}]}}}]}";
    let mapping = with_schema("records = \"/payments\"", "raw", schema).expect("a mapping");
    // Two items with the block's bytes, then one without.
    let body = b"\x06HR1\x03\x10\x04P1\x02\x02\x04P2\x02\x03\x02\x04P3\x00\x00";
    check(
        &mapping,
        body,
        expect![[r#"
        {"id":"P1","source":"t","account":"a","amount":"1.00","currency":"EUR","booked_at":"2026-11-23T10:00:00Z","received_at":"2026-11-23T12:00:00.000000Z"}
        {"id":"P2","source":"t","account":"a","amount":"-2.00","currency":"EUR","booked_at":"2026-11-23T10:00:00Z","received_at":"2026-11-23T12:00:00.000000Z"}
        record 3, line 1, field amount: amount is missing or empty (missing)
    "#]],
    );
    cut_and_change(&mapping, body);
}

#[test]
fn broken_bodies_never_panic() {
    let mapping = ready_made("avro");
    for file in ["avro/null.avro", "avro/deflate.avro", "avro/older.avro"] {
        cut_and_change(&mapping, &sample(file));
    }
    for (framing, file) in [
        ("raw", "avro/raw.bin"),
        ("single", "avro/single.bin"),
        ("confluent", "avro/confluent.bin"),
    ] {
        cut_and_change(
            &with(&format!("framing = \"{framing}\""), ""),
            &sample(file),
        );
    }
}

/// A file that is cut off is refused or is a file of fewer blocks.
#[test]
fn files_cut_off_at_every_byte() {
    let mapping = ready_made("avro");
    let body = sample("avro/blocks.avro");
    let mut whole = 0;
    for end in 0..body.len() {
        let decoded = decode(&mapping, &body[..end], &Options::default());
        whole += usize::from(decoded.result.is_ok());
    }
    // Behind the first and the second block.
    assert_eq!(whole, 2);
}
