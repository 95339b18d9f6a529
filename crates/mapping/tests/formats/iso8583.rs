//! ISO 8583 messages: moov-io's test messages element by element, encodings, framings, replies.

use crate::common::{Options, compile, decode, ready_made, sample};
use expect_test::{Expect, expect};
use mapping::{Limits, Mapping, Refusal};
use serde_json::Value;

const FIELDS: &str = "[fields.account]\nfrom = \"2\"\nsteps = [\"mask\"]\n[fields.amount]\nfrom = \"4\"\ndecimals = \"currency\"\n\
    sign = { template = \"{mti/2}{3/1}\", debit = [\"20*\", \"42*\"], credit = [\"22*\", \"40*\"] }\n\
    [fields.currency]\nfrom = \"49\"\nsteps = [\"currency\"]\n\
    [fields.booked_at]\ntemplate = \"{13}{12}\"\nformat = \"%m%d%H%M%S\"\nzone = \"Europe/Zagreb\"\n";

fn with(keys: &str, fields: &str) -> Mapping {
    compile(
        "t.toml",
        &format!(
            "source = \"t\"\nformat = \"iso8583\"\n[iso8583]\nspec = \"1987-ascii\"\n{keys}\n{FIELDS}{fields}"
        ),
    )
}

fn show(mapping: &Mapping, body: &[u8]) -> Result<Vec<String>, Refusal> {
    let mut shown = Vec::new();
    let result = mapping.show(body, &Limits::default(), &mut |json| {
        shown.push(json.to_owned());
    });
    result.expect("a binary format").map(|count| {
        assert_eq!(count as usize, shown.len());
        shown
    })
}

#[track_caller]
fn check_shown(mapping: &Mapping, body: &[u8], expected: Expect) {
    let text = match show(mapping, body) {
        Ok(shown) => shown.join("\n"),
        Err(refusal) => refusal.to_string(),
    };
    expected.assert_eq(&text);
}

#[track_caller]
fn check(mapping: &Mapping, body: &[u8], expected: Expect) {
    expected.assert_eq(&decode(mapping, body, &Options::default()).text());
}

#[test]
fn a_reversal_as_its_expected_file_has_it() {
    let shown = show(
        &ready_made("iso8583"),
        &sample("iso8583/iso_reversal_message.dat"),
    );
    let shown: Value = serde_json::from_str(&shown.expect("readable")[0]).expect("JSON");
    let expected: Value =
        serde_json::from_slice(&sample("iso8583/iso_reversal_message.json")).expect("JSON");
    assert_eq!(shown, expected);
    // The same in XML, element by element.
    let xml = String::from_utf8(sample("iso8583/iso_reversal_message.xml")).expect("UTF-8");
    let elements: serde_json::Map<String, Value> = xml
        .split("<Element Number=\"")
        .skip(1)
        .map(|rest| {
            let (number, rest) = rest.split_once("\">").expect("a number");
            let (text, _) = rest.split_once("</Element>").expect("an end");
            (number.to_owned(), Value::String(text.to_owned()))
        })
        .collect();
    assert_eq!(shown["elements"], Value::Object(elements));
}

#[test]
fn financial_messages() {
    let mapping = ready_made("iso8583");
    check_shown(
        &mapping,
        &sample("iso8583/financial_transaction_message.dat"),
        expect![[
            r#"{"mti":"0200","bitmap":"0011001000111010010000000000000100001000010000011000000000010000","elements":{"3":"380000","4":"000000000000","7":"0420050805","11":"011392","12":"120805","13":"0420","15":"0422","18":"5132","32":"2000001","37":"000000115604","42":"0800411        ","48":"511463331563","49":"360","60":"99"}}"#
        ]],
    );
    check_shown(
        &mapping,
        &sample("iso8583/financial_transaction_message_response.dat"),
        expect![[
            r#"{"mti":"0210","bitmap":"0011001000111010010000000000000100001010010000011000000000010000","elements":{"3":"380000","4":"000000000000","7":"0420050805","11":"011392","12":"120805","13":"0420","15":"0422","18":"5132","32":"2000001","37":"000000115604","39":"00","42":"0800411        ","48":"011511463331563GBAAASDD ERRR                                                                                                                                       ","49":"130","60":"1B54391001"}}"#
        ]],
    );
}

#[test]
fn lengths_in_packed_digits() {
    let mapping = with("[iso8583.fields.48]\nprefix_encoding = \"bcd-left\"", "");
    check_shown(
        &mapping,
        &sample("iso8583/message_with_hex_bcd.dat"),
        expect![[
            r#"{"mti":"0800","bitmap":"1000001000111010000000000000000000000000000000010000000000000000","elements":{"1":"0000000000000000000000000000000000000000000000000000000000000000","7":"0420090613","11":"900001","12":"090613","13":"0420","15":"0420","48":"00000000"}}"#
        ]],
    );
    // Read as text the length is none.
    check_shown(
        &with("", ""),
        &sample("iso8583/message_with_hex_bcd.dat"),
        expect![
            "record 1, line 1, field 48: element 48 has no length in front of it: 00 80 30 (iso8583)"
        ],
    );
}

#[test]
fn what_is_no_message_is_refused() {
    let mapping = ready_made("iso8583");
    check(
        &mapping,
        &sample("iso8583/attributes_data_elements.dat"),
        expect![[r#"
            document refused: line 1: a message begins with an MTI of four digits, not with 7B 0A 09 22 (iso8583)
        "#]],
    );
    check(
        &mapping,
        b"",
        expect![[r#"
            document refused: line 1: there is no record in the document (no-records)
        "#]],
    );
    check(
        &mapping,
        b"0200",
        expect![[r#"
        document refused: line 1: the message ends inside of its bitmap (iso8583)
    "#]],
    );
    check(
        &mapping,
        b"0200323A40010841801",
        expect![[r#"
        document refused: line 1: the message ends inside of its bitmap (iso8583)
    "#]],
    );
    check(
        &mapping,
        b"0200323A4001084180GG",
        expect![[r#"
        document refused: line 1: the bitmap is no hexadecimal text; is it binary? (iso8583)
    "#]],
    );
    check(
        &mapping,
        b"02008000000000000000800000000000000012",
        expect![[r#"
            document refused: line 1, field 65: the message announces a third bitmap (element 65), which is not read (iso8583)
        "#]],
    );
    check(
        &mapping,
        b"0200400000000000000020",
        expect![[r#"
        document refused: line 1, field 2: element 2 has the length 20, at most 19 are allowed (iso8583)
    "#]],
    );
    check(
        &mapping,
        b"0200400000000000000019411",
        expect![[r#"
        document refused: line 1, field 2: element 2 ends 16 bytes behind the end of the message (iso8583)
    "#]],
    );
    check(
        &mapping,
        b"02004000000000000000x9411",
        expect![[r#"
        document refused: line 1, field 2: element 2 has no length in front of it: "x9" (iso8583)
    "#]],
    );
}

#[test]
fn the_ready_made_source_reads_the_samples() {
    let mapping = ready_made("iso8583");
    // It was sent on 9 January; its reversed message has no terminal.
    let january = Options {
        received_at: 1_767_960_000_000_000,
        ..Options::default()
    };
    let decoded = decode(
        &mapping,
        &sample("iso8583/iso_reversal_message.dat"),
        &january,
    );
    expect![[r#"
        {"id":"2b26adb4d3a1035aa578f2c1d8b69121","source":"iso8583","account":"4998de22abaff2d13673a4c13f6d5c52","amount":"300.00","currency":"IDR","booked_at":"2026-01-09T08:06:46Z","received_at":"2026-01-09T12:00:00.000000Z","message_class":"4","processing_code":"180000","category":"9601","merchant":"00003430003948"}
    "#]].assert_eq(&decoded.text());
    // These have no card number; the second is a response.
    check(
        &mapping,
        &sample("iso8583/financial_transaction_message.dat"),
        expect![[r#"
            record 1, line 1, field account: account is missing or empty (missing)
        "#]],
    );
    check(
        &mapping,
        &sample("iso8583/financial_transaction_message_response.dat"),
        expect![""],
    );
}

/// An ASCII message of some elements in the built-in specification.
fn message(mti: &str, elements: &[(u8, &str)]) -> Vec<u8> {
    let bits = elements
        .iter()
        .fold(0_u128, |bits, (number, _)| bits | 1 << (128 - number));
    let second = bits as u64 != 0;
    let bits = if second { bits | 1 << 127 } else { bits };
    let mut text = format!("{mti}{:016X}", (bits >> 64) as u64);
    if second {
        text.push_str(&format!("{:016X}", bits as u64));
    }
    for (number, value) in elements {
        match number {
            2 | 32 | 35 => text.push_str(&format!("{:02}", value.len())),
            48 | 54 | 55 => text.push_str(&format!("{:03}", value.len())),
            _ => {}
        }
        text.push_str(value);
    }
    text.into_bytes()
}

fn purchase(mti: &str, code: &str) -> Vec<u8> {
    message(
        mti,
        &[
            (2, "4111111111111111"),
            (3, code),
            (4, "000000001250"),
            (7, "1123101500"),
            (11, "000123"),
            (12, "111500"),
            (13, "1123"),
            (32, "12345"),
            (37, "632700000123"),
            (41, "TERM1   "),
            (42, "MERCHANT       "),
            (49, "978"),
        ],
    )
}

#[test]
fn signs_skips_and_reversals() {
    let reversal = message(
        "0420",
        &[
            (2, "4111111111111111"),
            (3, "000000"),
            (4, "000000001250"),
            (7, "1123101600"),
            (11, "000124"),
            (32, "12345"),
            (37, "632700000123"),
            (41, "TERM1   "),
            (49, "392"),
            (90, "020000012311231015000000001234500000000000"),
        ],
    );
    let body: Vec<u8> = [
        purchase("0200", "000000"),
        purchase("0220", "200000"),
        purchase("0100", "000000"),
        purchase("0210", "000000"),
        message("0800", &[(7, "1123101500"), (11, "000001"), (70, "301")]),
        reversal,
        purchase("0200", "380000"),
    ]
    .concat();
    check(
        &ready_made("iso8583"),
        &body,
        expect![[r#"
            {"id":"1123101500/000123/12345/632700000123/TERM1","source":"iso8583","account":"4b12a708bd935f6d852e166633db0a08","amount":"-12.50","currency":"EUR","booked_at":"2026-11-23T10:15:00Z","received_at":"2026-11-23T12:00:00.000000Z","message_class":"2","processing_code":"000000","terminal":"TERM1","merchant":"MERCHANT"}
            {"id":"1123101500/000123/12345/632700000123/TERM1","source":"iso8583","account":"4b12a708bd935f6d852e166633db0a08","amount":"12.50","currency":"EUR","booked_at":"2026-11-23T10:15:00Z","received_at":"2026-11-23T12:00:00.000000Z","message_class":"2","processing_code":"200000","terminal":"TERM1","merchant":"MERCHANT"}
            {"id":"1123101600/000124/12345/632700000123/TERM1","source":"iso8583","account":"4b12a708bd935f6d852e166633db0a08","amount":"1250","currency":"JPY","booked_at":"2026-11-23T10:16:00Z","received_at":"2026-11-23T12:00:00.000000Z","reverses":"1123101500/000123/12345/632700000123/TERM1","message_class":"4","processing_code":"000000","terminal":"TERM1"}
            record 7, line 1, field amount: "238" is neither a credit (22*, 40*, 41*) nor a debit (20*, 21*, 42*) (sign)
        "#]],
    );
}

#[test]
fn framings() {
    let messages = [purchase("0200", "000000"), purchase("0200", "200000")];
    let framed = |front: &dyn Fn(usize) -> Vec<u8>, behind: &str| -> Vec<u8> {
        let one =
            |message: &Vec<u8>| [&front(message.len())[..], message, behind.as_bytes()].concat();
        messages.iter().flat_map(one).collect()
    };
    let translated =
        |keys: &str, body: &[u8]| decode(&with(keys, ""), body, &Options::default()).text();
    let expected = translated("", &framed(&|_| Vec::new(), ""));
    expect![[r#"
        {"id":"2b26adb4d3a1035aa578f2c1d8b69121","source":"t","account":"411111******1111","amount":"-12.50","currency":"EUR","booked_at":"2026-11-23T11:15:00+01:00","received_at":"2026-11-23T12:00:00.000000Z"}
        {"id":"ef1bc8981d4918be9bea7d77c54d996d","source":"t","account":"411111******1111","amount":"12.50","currency":"EUR","booked_at":"2026-11-23T11:15:00+01:00","received_at":"2026-11-23T12:00:00.000000Z"}
    "#]].assert_eq(&expected);
    let check = |keys: &str, front: &dyn Fn(usize) -> Vec<u8>, behind: &str| {
        assert_eq!(translated(keys, &framed(front, behind)), expected, "{keys}");
    };
    check(
        "framing = \"length-2\"",
        &|length| (length as u16).to_be_bytes().to_vec(),
        "",
    );
    check(
        "framing = \"length-4\"\nlengths = \"with-length\"",
        &|length| (length as u32 + 4).to_be_bytes().to_vec(),
        "",
    );
    check(
        "framing = \"digits-4\"",
        &|length| format!("{length:04}").into_bytes(),
        "",
    );
    check("framing = \"lines\"", &|_| Vec::new(), "\r\n");
    check(
        "framing = \"length-2\"\nheader = \"tpdu\"",
        &|length| [&(length as u16 + 5).to_be_bytes()[..], b"\x60\0\x03\0\x01"].concat(),
        "",
    );
    check("header_bytes = 3", &|_| b"ISO".to_vec(), "");
}

#[test]
fn a_broken_message_with_a_length_is_one_refused_record() {
    let mut broken = purchase("0200", "000000");
    broken.push(b'0');
    let bodies = [b"0200x".to_vec(), broken, purchase("0200", "000000")];
    let mut body: Vec<u8> = bodies
        .iter()
        .flat_map(|message| [&(message.len() as u16).to_be_bytes()[..], message].concat())
        .collect();
    let mapping = with("framing = \"length-2\"", "");
    check(
        &mapping,
        &body,
        expect![[r#"
            record 1, line 1: the message ends inside of its bitmap (iso8583)
            record 2, line 1: bytes behind the last element: 1; a length or an encoding of the specification is wrong (iso8583)
            {"id":"36537c19e9eefee494992d8e9903f470","source":"t","account":"411111******1111","amount":"-12.50","currency":"EUR","booked_at":"2026-11-23T11:15:00+01:00","received_at":"2026-11-23T12:00:00.000000Z"}
        "#]],
    );
    body.extend([0, 9, b'0']);
    check(
        &mapping,
        &body,
        expect![[r#"
            record 1, line 1: the message ends inside of its bitmap (iso8583)
            record 2, line 1: bytes behind the last element: 1; a length or an encoding of the specification is wrong (iso8583)
            {"id":"36537c19e9eefee494992d8e9903f470","source":"t","account":"411111******1111","amount":"-12.50","currency":"EUR","booked_at":"2026-11-23T11:15:00+01:00","received_at":"2026-11-23T12:00:00.000000Z"}
            document refused: line 1: the message has 9 bytes by its length, but 1 follow (framing)
        "#]],
    );
    body.truncate(body.len() - 2);
    check(
        &mapping,
        &body,
        expect![[r#"
            record 1, line 1: the message ends inside of its bitmap (iso8583)
            record 2, line 1: bytes behind the last element: 1; a length or an encoding of the specification is wrong (iso8583)
            {"id":"36537c19e9eefee494992d8e9903f470","source":"t","account":"411111******1111","amount":"-12.50","currency":"EUR","booked_at":"2026-11-23T11:15:00+01:00","received_at":"2026-11-23T12:00:00.000000Z"}
            document refused: line 1: the last bytes are no length of a message, which has 2 bytes (framing)
        "#]],
    );
}

#[test]
fn binary_packed_and_ebcdic_elements() {
    let keys = "mti = \"bcd\"\nbitmap = \"binary\"\nencoding = \"bcd\"\nprefix_encoding = \"bcd\"\n\
        [iso8583.fields.41]\nencoding = \"ebcdic\"\n[iso8583.fields.55]\nencoding = \"binary\"\n[iso8583.fields.35]\nencoding = \"bcd\"\n\
        [iso8583.fields.60]\nlength = 20\nprefix = \"LL\"\nprefix_encoding = \"binary\"\nencoding = \"ascii\"\nparts = [2, 3]\n";
    let fields = "[fields.cryptogram]\nfrom = \"55/9F26\"\noptional = true\n[fields.terminal]\nfrom = \"41\"\n[fields.second]\nfrom = \"60/2\"\n\
        [fields.track]\nfrom = \"35\"\nsteps = [\"hash\"]\n[fields.code]\nfrom = \"3\"\n";
    let mapping = with(keys, fields);
    let mut body = vec![0x02, 0x00];
    let bits = [2_u8, 3, 4, 12, 13, 35, 41, 49, 55, 60]
        .iter()
        .fold(0_u64, |bits, number| bits | 1 << (64 - number));
    body.extend(bits.to_be_bytes());
    body.extend([0x16, 0x41, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11]);
    body.extend([0x00, 0x00, 0x00]);
    body.extend([0x00, 0x00, 0x00, 0x00, 0x12, 0x50]);
    body.extend([0x11, 0x15, 0x00]);
    body.extend([0x11, 0x23]);
    body.extend([0x05, 0x01, 0x23, 0xd4]);
    body.extend([0xe3, 0xc5, 0xd9, 0xd4, 0xf1, 0x40, 0x40, 0x40]);
    body.extend([0x09, 0x78]);
    body.extend([0x00, 0x08, 0x9f, 0x26, 0x02, 0xab, 0xcd, 0x95, 0x01, 0x80]);
    body.extend([0x05, b'a', b'b', b'c', b'd', b'e']);
    check(
        &mapping,
        &body,
        expect![[r#"
        {"id":"2b26adb4d3a1035aa578f2c1d8b69121","source":"t","account":"411111******1111","amount":"-12.50","currency":"EUR","booked_at":"2026-11-23T11:15:00+01:00","received_at":"2026-11-23T12:00:00.000000Z","cryptogram":"ABCD","terminal":"TERM1","second":"cde","track":"8b2001152772581c619234dad0a6a730","code":"000000"}
    "#]],
    );
    check_shown(
        &mapping,
        &body,
        expect![[
            r#"{"mti":"0200","bitmap":"0111000000011000000000000000000000100000100000001000001000010000","elements":{"2":"4111111111111111","3":"000000","4":"000000001250","12":"111500","13":"1123","35":"123=4","41":"TERM1   ","49":"978","55":"9F2602ABCD950180","60":"abcde"}}"#
        ]],
    );
    crate::common::cut_and_change(&mapping, &body);
    // The chip's data is cut.
    let at = body.len() - 12;
    body[at] = 0x9f;
    body[at + 2] = 0x07;
    check(
        &mapping,
        &body,
        expect![[r#"
        record 1, line 1, field 55: element 55 is no TLV at its byte 0 (iso8583)
    "#]],
    );
}

#[test]
fn replies() {
    let mapping = ready_made("iso8583");
    let reply = |mapping: &Mapping, request: &[u8], set: &[(u8, &str)]| {
        let reply = mapping.iso8583_reply(request, set).expect("ISO 8583");
        match reply {
            Ok(reply) => show(mapping, &reply)
                .map_or_else(|refusal| refusal.to_string(), |shown| shown.join("\n")),
            Err(refusal) => refusal.to_string(),
        }
    };
    let ok: &[(u8, &str)] = &[(39, "00")];
    expect![[r#"{"mti":"0210","bitmap":"0111001000111000000000000000000100001010110000001000000000000000","elements":{"2":"4111111111111111","3":"000000","4":"000000001250","7":"1123101500","11":"000123","12":"111500","13":"1123","32":"12345","37":"632700000123","39":"00","41":"TERM1   ","42":"MERCHANT       ","49":"978"}}"#]].assert_eq(&reply(&mapping, &purchase("0200", "000000"), ok));
    // A value of element 39 in the request is not the one of the reply, and 38 is not repeated.
    let request = message(
        "0420",
        &[
            (11, "000124"),
            (38, "123456"),
            (39, "68"),
            (90, "020000012311231015000000001234500000000000"),
        ],
    );
    expect![[r#"{"mti":"0430","bitmap":"0000000000100000000000000000000000000110000000000000000000000000","elements":{"11":"000124","38":"654321","39":"96"}}"#]].assert_eq(&reply(&mapping, &request, &[(39, "96"), (38, "654321")]));
    for (request, expected) in [
        ("0401", "0410"),
        ("0400", "0410"),
        ("0421", "0430"),
        ("0800", "0810"),
        ("0220", "0230"),
    ] {
        let bytes = message(request, &[(11, "000001"), (70, "301")]);
        let reply = reply(&mapping, &bytes, ok);
        assert!(
            reply.starts_with(&format!("{{\"mti\":\"{expected}\"")),
            "{request}: {reply}"
        );
    }
    expect!["line 1: 0210 is no request: nothing is to be answered (iso8583)"].assert_eq(&reply(
        &mapping,
        &purchase("0210", "000000"),
        ok,
    ));
    expect![
        "line 1, field 39: the text for element 39 has the length 1, its element has 2 (iso8583)"
    ]
    .assert_eq(&reply(&mapping, &purchase("0200", "000000"), &[(39, "0")]));
    expect!["line 1, field 65: element 65 is not in the specification (iso8583)"]
        .assert_eq(&reply(&mapping, &purchase("0200", "000000"), &[(65, "0")]));
    expect![[r#"line 1: a message begins with an MTI of four digits, not with "junk" (iso8583)"#]]
        .assert_eq(&reply(&mapping, b"junk", ok));
    assert!(ready_made("json").iso8583_reply(b"", ok).is_none());
    // Packed, with a TPDU: addresses are swapped, the second bitmap comes with element 70.
    let mapping = with(
        "mti = \"bcd\"\nbitmap = \"binary\"\nencoding = \"bcd\"\nheader = \"tpdu\"\necho = [11, 70]",
        "",
    );
    let request = [
        &b"\x60\x00\x03\x00\x01\x08\x00\x80\x20\0\0\0\0\0\0\x04\0\0\0\0\0\0\0"[..],
        b"\x00\x00\x01\x03\x01",
    ]
    .concat();
    let reply = mapping
        .iso8583_reply(&request, &[(39, "00")])
        .expect("ISO 8583")
        .expect("a reply");
    let expected = [
        &b"\x60\x00\x01\x00\x03\x08\x10\x80\x20\0\0\x02\0\0\0\x04\0\0\0\0\0\0\0"[..],
        b"\x00\x00\x01\x00\x03\x01",
    ]
    .concat();
    assert_eq!(reply, expected);
}

#[test]
fn mistakes_of_a_mapping_are_told_with_their_place() {
    let check = |text: &str, expected: Expect| {
        let errors = Mapping::compile("t.toml", text).expect_err("mistakes");
        let errors: String = errors.iter().map(|error| format!("{error}\n")).collect();
        expected.assert_eq(&errors);
    };
    check(
        "source = \"t\"\nformat = \"iso8583\"\nrecords = \"/x\"\n",
        expect![[r#"
            t.toml:1:1: iso8583: an ISO 8583 source names its specification: [iso8583] spec = "1987-ascii"
            t.toml:1:1: fields: the mapping has no [fields.account], [fields.amount], [fields.currency], [fields.booked_at]
            t.toml:3:11: records: in ISO 8583 each message is a record: remove this key
        "#]],
    );
    check(
        "source = \"t\"\nformat = \"iso8583\"\n[iso8583]\nspec = \"1993\"\nskip = [\"8xx\"]\necho = [1, 2]\nheader = \"tpdu\"\nheader_bytes = 3\n\
         [iso8583.fields.1]\nlength = 3\n[iso8583.fields.48]\nlength = 0\nparts = [\"a\"]\nprefix = \"lll\"\n[iso8583.fields.65]\nencoding = \"bcd\"\n\
         [fields.account]\nfrom = \"65\"\n[fields.amount]\nfrom = \"4/1\"\nsign = { template = \"{mti/5}\", debit = \"0\", credit = \"1\" }\n\
         [fields.currency]\nfrom = \"129\"\nsteps = [\"curency\"]\n[fields.booked_at]\nfrom = \"55/9F\"\n",
        expect![[r#"
            t.toml:3:2: iso8583.header_bytes: a TPDU has five bytes: remove this key
            t.toml:4:8: iso8583.spec: "1993" is none of "1987-ascii"
            t.toml:5:9: iso8583.skip: "8xx" is no MTI of four digits, in which x stands for any: "08xx"
            t.toml:6:9: iso8583.echo: a number of an element, 2 to 128, is expected
            t.toml:9:17: iso8583.fields.1: "1" is no number of an element, 2 to 128
            t.toml:11:17: iso8583.fields.48.parts: parts are a list of lengths in characters such as [2, 2, 2], or "tlv"
            t.toml:12:10: iso8583.fields.48.length: a whole number from 1 to 9999 is expected
            t.toml:14:10: iso8583.fields.48.prefix: "lll" is none of "fixed", "L", "LL", "LLL", "LLLL"
            t.toml:15:17: iso8583.fields.65.length: the element is not in the specification, so `length` is needed
            t.toml:18:8: fields.account.from: element 65 is not in the specification: describe it in [iso8583.fields.65]
            t.toml:20:8: fields.amount.from: element 4 has no parts: give their lengths in [iso8583.fields.4] parts = […], or "tlv"
            t.toml:21:21: fields.amount.sign.template: mti has the parts 1 to 4
            t.toml:23:8: fields.currency.from: "129" is no path: "mti", an element such as "4", a part such as "3/1" or a tag such as "55/9F26"
            t.toml:26:8: fields.booked_at.from: "9F" is no tag in hexadecimal digits such as "9F26"
        "#]],
    );
}

#[test]
fn broken_messages_never_panic() {
    let body = [
        purchase("0200", "000000"),
        sample("iso8583/iso_reversal_message.dat"),
    ]
    .concat();
    crate::common::cut_and_change(&ready_made("iso8583"), &body);
    let length = (body.len() as u16).to_be_bytes();
    crate::common::cut_and_change(
        &with("framing = \"length-2\"", ""),
        &[&length[..], &body].concat(),
    );
    let mapping = ready_made("iso8583");
    for end in 0..body.len() {
        let _ = mapping.iso8583_reply(&body[..end], &[(39, "00")]);
    }
}

/// An echo test is no transaction, and no mistake either; a body of nothing is one.
#[test]
fn messages_that_are_passed_over_count() {
    let echo = message("0800", &[(7, "1123101500"), (11, "000001"), (70, "301")]);
    let counted = |mapping: &Mapping, body: &[u8]| {
        let mut new_id = String::new;
        let mut context = mapping::Context {
            received_at: crate::common::RECEIVED_AT,
            idempotency_key: None,
            first_record: 1,
            lines: false,
            new_id: &mut new_id,
        };
        let (mut out, mut outcomes) = (Vec::new(), 0_u64);
        let limits = Limits {
            records_max: 3,
            ..Limits::default()
        };
        mapping
            .decode_counted(body, &mut context, &limits, &mut out, &mut |_| {
                outcomes += 1
            })
            .map(|counts| (counts.records, counts.passed_over, outcomes))
            .map_err(|refusal| refusal.rule)
    };
    let mapping = ready_made("iso8583");
    assert_eq!(counted(&mapping, &echo), Ok((1, 1, 0)));
    let mixed = [echo.clone(), purchase("0200", "000000"), echo.clone()].concat();
    assert_eq!(counted(&mapping, &mixed), Ok((3, 2, 1)));
    assert_eq!(counted(&mapping, b""), Err(mapping::rule::NO_RECORDS));
    // They count against the limit of records, so that a request of nothing else ends too.
    assert_eq!(
        counted(&mapping, &echo.repeat(4)),
        Err(mapping::rule::RECORDS)
    );
}
