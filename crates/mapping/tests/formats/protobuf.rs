//! Protobuf: messages that Google's own library wrote, and what is no message.

use crate::common::{
    Options, beside, check, check_mistakes, compile, cut_and_change, decode, ready_made, sample,
};
use expect_test::expect;
use mapping::{Limits, Mapping};

/// A mapping beside the ready-made ones, whose descriptor it uses.
fn text(top: &str, message: &str, framing: &str, fields: &str) -> String {
    format!(
        "source = \"t\"\nformat = \"protobuf\"\n{top}\n[protobuf]\ndescriptor = \"protobuf.binpb\"\nmessage = \"daybook.example.v1.{message}\"\n\
         framing = \"{framing}\"\n[identity]\nnatural = [\"id\"]\n[fields.account]\nfrom = \"debtor/account\"\n\
         [fields.amount]\nfrom = \"amount\"\n[fields.currency]\nfrom = \"amount/currency_code\"\n[fields.booked_at]\nfrom = \"booked_at\"\n{fields}"
    )
}

fn with(top: &str, message: &str, framing: &str, fields: &str) -> Mapping {
    compile(&beside(), &text(top, message, framing, fields))
}

#[test]
fn the_ready_made_source_reads_a_payment() {
    check(
        &ready_made("protobuf"),
        &sample("protobuf/one.bin"),
        expect![[r#"
            {"id":"P1","source":"protobuf","account":"DE89370400440532013000","amount":"1250.75","currency":"EUR","booked_at":"2026-11-23T10:15:01.250000Z","received_at":"2026-11-23T12:00:00.000000Z","counterparty":"Ana Anić","text":"rent – November","purpose":"RENT"}
        "#]],
    );
}

#[test]
fn every_kind_of_field() {
    let fields = "[fields.labels_kind]\nfrom = \"labels/kind\"\n[fields.code]\nfrom = \"codes\"\nrepeated = \"first\"\n\
        [fields.terminal]\nfrom = \"terminal\"\noptional = true\n[fields.branch]\nfrom = \"branch\"\noptional = true\n\
        [fields.signature]\nfrom = \"signature\"\n[fields.sequence]\nfrom = \"sequence\"\n[fields.seconds]\nfrom = \"booked_at/seconds\"\n\
        [fields.units]\nfrom = \"amount/units\"\noptional = true\n[fields.way]\nfrom = \"direction\"\n";
    check(
        &with("", "Payment", "delimited", fields),
        &sample("protobuf/delimited.bin"),
        expect![[r#"
            {"id":"P1","source":"t","account":"HR1210010051863000160","amount":"1250.75","currency":"EUR","booked_at":"2026-11-23T10:15:01.250000Z","received_at":"2026-11-23T12:00:00.000000Z","labels_kind":"SALA","code":"7","terminal":"T1","signature":"AP8Q","sequence":"9223372036854775809","seconds":"1795428901","units":"1250","way":"DIRECTION_CREDIT"}
            {"id":"P2","source":"t","account":"HR1210010051863000160","amount":"0.01","currency":"EUR","booked_at":"2026-11-23T10:15:02Z","received_at":"2026-11-23T12:00:00.000000Z","labels_kind":"SALA","code":"7","branch":"-17","signature":"AP8Q","sequence":"9223372036854775810","seconds":"1795428902","way":"DIRECTION_DEBIT"}
            {"id":"P3","source":"t","account":"HR1210010051863000160","amount":"99.00","currency":"EUR","booked_at":"2026-11-23T10:15:03Z","received_at":"2026-11-23T12:00:00.000000Z","labels_kind":"SALA","code":"7","signature":"AP8Q","sequence":"9223372036854775811","seconds":"1795428903","units":"99","way":"DIRECTION_DEBIT"}
        "#]],
    );
}

#[test]
fn payments_of_a_batch_inherit_from_it() {
    let fields = "[fields.batch]\nfrom = \"/batch_id\"\n";
    let mapping = with("records = \"/payments\"", "Batch", "one", fields);
    let body = sample("protobuf/batch.bin");
    check(
        &mapping,
        &body,
        expect![[r#"
        {"id":"P1","source":"t","account":"HR1210010051863000160","amount":"1250.75","currency":"EUR","booked_at":"2026-11-23T10:15:01.250000Z","received_at":"2026-11-23T12:00:00.000000Z","batch":"B1"}
        {"id":"P2","source":"t","account":"HR1210010051863000160","amount":"0.01","currency":"EUR","booked_at":"2026-11-23T10:15:02Z","received_at":"2026-11-23T12:00:00.000000Z","batch":"B1"}
        {"id":"P3","source":"t","account":"HR1210010051863000160","amount":"99.00","currency":"EUR","booked_at":"2026-11-23T10:15:03Z","received_at":"2026-11-23T12:00:00.000000Z","batch":"B1"}
    "#]],
    );
    cut_and_change(&mapping, &body);
}

#[test]
fn what_is_no_message_is_refused() {
    let mapping = with("", "Payment", "one", "");
    check(
        &mapping,
        b"",
        expect![[r#"
        document refused: line 1: there is no record in the document (no-records)
    "#]],
    );
    // A group, an unknown wire type, field 0, a length behind the end, a number for a message.
    check(
        &mapping,
        &[0x0b],
        expect![[r#"
        document refused: record 1, line 1: field 1 is a group, which is not read (protobuf)
    "#]],
    );
    check(
        &mapping,
        &[0x0f],
        expect![[r#"
        document refused: record 1, line 1: field 1 has the unknown wire type 7 (protobuf)
    "#]],
    );
    check(
        &mapping,
        &[0x00, 0x01],
        expect![[r#"
        document refused: record 1, line 1: 0 is no number of a field; is this a protobuf message? (protobuf)
    "#]],
    );
    check(
        &mapping,
        &[0x0a, 0x05, b'P'],
        expect![[r#"
        document refused: record 1, line 1: 5 bytes are announced and 1 are left (protobuf)
    "#]],
    );
    check(
        &mapping,
        &[0x10, 0x01],
        expect![[r#"
        document refused: record 1, line 1: a number stands where the descriptor has a message; is the descriptor of this message? (protobuf)
    "#]],
    );
    // A text that is not UTF-8; money whose parts have different signs.
    check(
        &mapping,
        &[0x0a, 0x01, 0xff],
        expect![[r#"
        record 1, line 1, field id: id is a text that is not UTF-8 (protobuf)
    "#]],
    );
    let mut money = vec![0x22, 13, 0x10, 1, 0x18];
    money.extend([0xff; 9]);
    money.push(1);
    check(
        &mapping,
        &money,
        expect![[r#"
        record 1, line 1, field amount: amount has units and nanos of different signs, or nanos beyond 999999999 (protobuf)
    "#]],
    );
    // The length of the second message is wrong: its first cannot be trusted either.
    check(
        &with("", "Payment", "delimited", ""),
        &[0x00, 0x05, 0x0a],
        expect![[r#"
            record 1, line 1, field account: account is missing or empty (missing)
            document refused: line 1: in front of a message: 5 bytes are announced and 1 are left (framing)
        "#]],
    );
    // A broken message with a length is one refused record.
    check(
        &with("", "Payment", "delimited", ""),
        &[0x01, 0x0b, 0x02, 0x0a, 0x00],
        expect![[r#"
            record 1, line 1: field 1 is a group, which is not read (protobuf)
            record 2, line 1, field account: account is missing or empty (missing)
        "#]],
    );
}

#[test]
fn nesting_and_fields_are_limited() {
    let mapping = with("", "Payment", "one", "");
    let limited = |depth_max, body: &[u8]| {
        let options = Options {
            limits: Limits {
                depth_max,
                ..Limits::default()
            },
            ..Options::default()
        };
        decode(&mapping, body, &options).result.is_ok()
    };
    let one = sample("protobuf/one.bin");
    assert!(limited(2, &one));
    assert!(!limited(1, &one));
    // An unknown field of two bytes, as often as may be, and once more.
    let fields = |count: usize| [0xf8, 0x01, 0x00].repeat(count);
    assert!(limited(64, &fields(1 << 16)));
    assert!(!limited(64, &fields((1 << 16) + 1)));
}

#[test]
fn mistakes_of_a_mapping() {
    check_mistakes(
        &text("", "Paiment", "one", ""),
        expect![[r#"
        6: protobuf.message: protobuf.binpb has no message "daybook.example.v1.Paiment"; did you mean "daybook.example.v1.Payment"?
    "#]],
    );
    let fields = "[fields.risk]\nfrom = \"risk_score\"\n[fields.a]\nfrom = \"creditor\"\n[fields.b]\nfrom = \"creditor/nme\"\n[fields.c]\nfrom = \"id/x\"\n";
    check_mistakes(
        &text("", "Payment", "one", fields),
        expect![[r#"
        19: fields.risk.from: "risk_score" is a floating-point number, which is not exact and is never read; ask the source for google.type.Money, google.type.Decimal, a string, or an integer in minor units
        21: fields.a.from: "creditor" is a message (daybook.example.v1.Party); name one of its fields: account, name
        23: fields.b.from: daybook.example.v1.Party has no field "nme"; did you mean "name"?
        25: fields.c.from: in "id/x" there is nothing below a value, so no "x"
    "#]],
    );
    check_mistakes(
        &text("records = \"/id\"", "Payment", "one", ""),
        expect![[r#"
            3: records: "/id" leads to no message: daybook.example.v1.Payment has no field "id" of messages
        "#]],
    );
    check_mistakes(
        &text("", "Payment", "one", "").replace("protobuf.binpb", "other.binpb"),
        expect![[r#"
            5: protobuf.descriptor: there is no file "other.binpb", given are avro.avsc, protobuf.binpb: put it beside the mapping
        "#]],
    );
}

#[test]
fn broken_messages_never_panic() {
    cut_and_change(&ready_made("protobuf"), &sample("protobuf/one.bin"));
    let mapping = with("", "Payment", "delimited", "");
    cut_and_change(&mapping, &sample("protobuf/delimited.bin"));
}

/// A descriptor that is cut off or changed is refused or read, as a mapping's other mistakes.
#[test]
fn broken_descriptors_never_panic() {
    let path = beside();
    let text = text("", "Payment", "one", "");
    let folder = format!("{}/../../config/sources", env!("CARGO_MANIFEST_DIR"));
    let whole = std::fs::read(format!("{folder}/protobuf.binpb")).expect("the descriptor");
    for at in 0..whole.len() {
        for bytes in [whole[..at].to_vec(), {
            let mut changed = whole.clone();
            changed[at] ^= 0x55;
            changed
        }] {
            let options = mapping::CompileOptions::default().with_file("protobuf.binpb", bytes);
            let _ = Mapping::compile_with(&path, &text, &options);
        }
    }
}
