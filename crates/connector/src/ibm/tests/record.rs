//! Messages that IBM's client put, and what IBM's client says of them: `jms.txt`, written by
//! `com.ibm.mq.allclient` 9.4.5.0 against Daybook's queue manager. `mq` is the message with
//! `WMQ_MESSAGE_BODY_MQ` and MQMD read, `jms` the same one with `WMQ_MESSAGE_BODY_JMS`.

use std::collections::BTreeMap;

use bytes::Bytes;
use mq_wire::{Chars, MessageDescriptor};

use super::super::*;
use super::config::{minimal, with};

/// What the client says of one message in one style.
#[derive(Default, Clone)]
struct Said {
    fields: BTreeMap<String, String>,
    /// Type and value.
    properties: BTreeMap<String, (String, String)>,
}

struct Case {
    name: String,
    descriptor: MessageDescriptor,
    body: Bytes,
    mq: Said,
    jms: Said,
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex"))
        .collect()
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for block in include_str!("jms.txt").split("message ").skip(1) {
        let (name, lines) = block.split_once('\n').expect("a name");
        let (mut mq, mut jms) = (Said::default(), Said::default());
        for line in lines.lines() {
            let (style, rest) = line.split_once(' ').expect("a style");
            let said = if style == "mq" { &mut mq } else { &mut jms };
            let (what, rest) = rest.split_once(' ').expect("a field");
            if what == "property" {
                let (name, rest) = rest.split_once(' ').expect("a property");
                let (kind, value) = rest.split_once(" |").expect("a type");
                let value = value.strip_suffix('|').expect("the end").to_owned();
                said.properties
                    .insert(name.to_owned(), (kind.to_owned(), value));
            } else {
                said.fields.insert(what.to_owned(), rest.to_owned());
            }
        }
        cases.push(Case {
            name: name.to_owned(),
            descriptor: descriptor(&mq),
            body: Bytes::from(unhex(&mq.fields["bytes"])),
            mq,
            jms,
        });
    }
    assert_eq!(cases.len(), 10);
    cases
}

/// MQMD as the client showed it.
fn descriptor(said: &Said) -> MessageDescriptor {
    let text = |name: &str| said.properties[&format!("JMS_IBM_MQMD_{name}")].1.clone();
    let number = |name: &str| text(name).parse().expect("a number");
    fn fixed<const N: usize>(text: &str) -> [u8; N] {
        text.as_bytes().try_into().expect("all of it")
    }
    fn raw<const N: usize>(text: &str) -> [u8; N] {
        unhex(text).try_into().expect("all of it")
    }
    MessageDescriptor {
        report: number("Report"),
        msg_type: number("MsgType"),
        expiry: number("Expiry"),
        feedback: number("Feedback"),
        encoding: number("Encoding"),
        ccsid: number("CodedCharSetId"),
        format: Chars(fixed(&text("Format"))),
        priority: number("Priority"),
        persistence: number("Persistence"),
        msg_id: raw(&text("MsgId")),
        correl_id: raw(&text("CorrelId")),
        backout_count: number("BackoutCount"),
        reply_to_q: Chars(fixed(&text("ReplyToQ"))),
        reply_to_q_mgr: Chars(fixed(&text("ReplyToQMgr"))),
        user_identifier: Chars(fixed(&text("UserIdentifier"))),
        accounting_token: raw(&text("AccountingToken")),
        appl_identity_data: Chars(fixed(&text("ApplIdentityData"))),
        put_appl_type: number("PutApplType"),
        put_appl_name: Chars(fixed(&text("PutApplName"))),
        put_date: Chars(fixed(&text("PutDate"))),
        put_time: Chars(fixed(&text("PutTime"))),
        appl_origin_data: Chars(fixed(&text("ApplOriginData"))),
        group_id: raw(&text("GroupId")),
        msg_seq_number: number("MsgSeqNumber"),
        offset: number("Offset"),
        msg_flags: number("MsgFlags"),
        original_length: number("OriginalLength"),
        ..MessageDescriptor::initial()
    }
}

fn received(case: &Case) -> Received<'_> {
    Received {
        queue: "DAYBOOK.TEST",
        descriptor: &case.descriptor,
        body: &case.body,
        beside: &[],
    }
}

/// Java's name of the type, and the value as Java prints it.
fn java(datum: Datum) -> (String, String) {
    let kind = match &datum {
        Datum::Null => "null",
        Datum::Text(_) => "String",
        Datum::Bytes(bytes) => {
            let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
            return ("byte[]".to_owned(), digits.collect());
        }
        Datum::Json(_) => "Json",
        Datum::Boolean(_) => "Boolean",
        Datum::Byte(_) => "Byte",
        Datum::Short(_) => "Short",
        Datum::Int(_) => "Integer",
        Datum::Long(_) => "Long",
        Datum::Float(_) => "Float",
        Datum::Double(_) => "Double",
    };
    let value = Converter::AsIs.write_header(datum);
    let value = value.map_or_else(
        || "null".into(),
        |bytes| String::from_utf8_lossy(&bytes).into_owned(),
    );
    (kind.to_owned(), value)
}

#[test]
fn a_message_is_what_ibms_client_says_it_is() {
    for case in cases() {
        for (style, said) in [("mq", &case.mq), ("jms", &case.jms)] {
            let name = format!("{} in style {style}", case.name);
            let message = JmsMessage::of(received(&case), style == "jms");
            let said_of = |field: &str| said.fields[field].as_str();
            assert_eq!(format!("{:?}", message.kind), said_of("kind"), "{name}");
            assert_eq!(message.message_id(), said_of("id"), "{name}");
            let correlation = message.correlation_id();
            assert_eq!(
                correlation.as_deref().unwrap_or("null"),
                said_of("correlation"),
                "{name}"
            );
            let bytes = java(Datum::Bytes(message.correlation_id_bytes())).1;
            assert_eq!(bytes, said_of("correlation.bytes"), "{name}");
            assert_eq!(
                message.timestamp().expect("a time").to_string(),
                said_of("timestamp"),
                "{name}"
            );
            match said_of("destination") {
                // IBM's connector fails here.
                "null" => assert_eq!(message.destination(), "queue:///DAYBOOK.TEST"),
                destination => assert_eq!(message.destination(), destination, "{name}"),
            }
            if let Some(text) = said.fields.get("text") {
                assert_eq!(message.text().as_ref(), Ok(text), "{name}");
            }
            if let Some(bytes) = said.fields.get("bytes") {
                assert_eq!(message.body, unhex(bytes), "{name}");
            }
            let found = message.properties(style == "mq").into_iter();
            let mut found: BTreeMap<_, _> =
                found.map(|(name, value)| (name, java(value))).collect();
            let mut expected = said.properties.clone();
            // IBM's connector shows these two by themselves.
            for (property, value) in [
                ("JMS_IBM_MQMD_MsgId", said_of("id")),
                ("JMS_IBM_MQMD_CorrelId", said_of("correlation")),
            ] {
                if expected.remove(property).is_some() {
                    assert_eq!(found.remove(property).expect("there").1, value, "{name}");
                }
            }
            assert_eq!(found, expected, "{name}");
        }
    }
}

fn builder(settings: &[(&str, &str)]) -> RecordBuilder {
    let config = with(&minimal(), settings);
    RecordBuilder::new(&IbmConfig::from(&config).expect("valid"))
}

fn case(name: &str) -> Case {
    let found = cases().into_iter().find(|case| case.name == name);
    found.expect("a case")
}

/// Key and value as text, or the reason.
fn built(builder: &RecordBuilder, case: &Case) -> String {
    let shown = |bytes: Option<Bytes>| match bytes {
        None => "null".to_owned(),
        Some(bytes) => match std::str::from_utf8(&bytes) {
            Ok(text) if !text.contains('\0') => text.to_owned(),
            _ => format!("{} bytes", bytes.len()),
        },
    };
    match builder.build(received(case)) {
        Ok(record) => format!("{} = {}", shown(record.key), shown(record.value)),
        Err(error) => format!("{}: {}", error.stage.name(), error.reason),
    }
}

const JMS: (&str, &str) = ("mq.message.body.jms", "true");
const JSON: (&str, &str) = ("mq.record.builder", "JsonRecordBuilder");
const TEXT: (&str, &str) = (
    "value.converter",
    "org.apache.kafka.connect.storage.StringConverter",
);
const CONNECT_JSON: (&str, &str) = (
    "value.converter",
    "org.apache.kafka.connect.json.JsonConverter",
);
const NO_SCHEMA: (&str, &str) = ("value.converter.schemas.enable", "false");

#[test]
fn values_are_built_as_ibms_builders_do() {
    const GRUESS: &str = "null = {\"name\":\"gr\u{fc}\u{df}\",\"n\":1}";
    const UNSUPPORTED: &str =
        "TASK_POLL: Unsupported JMS message type: Map; text and bytes messages are taken";
    for (settings, name, expected) in [
        (&[][..], "text", "null = 479 bytes"),
        (&[], "text without header", GRUESS),
        (&[], "ebcdic text without header", "null = 21 bytes"),
        (&[JMS], "text", GRUESS),
        (&[JMS], "bytes", "null = 3 bytes"),
        (&[JMS], "none", "null = null"),
        (&[JMS], "empty text", "null = "),
        (&[JMS], "map", UNSUPPORTED),
        (&[JMS], "latin text", GRUESS),
        (&[JMS], "ebcdic text without header", GRUESS),
        (&[JMS], "utf16 text", GRUESS),
        (&[JMS, JSON], "utf16 text", GRUESS),
        (&[JMS, JSON], "ebcdic text without header", GRUESS),
        (&[JMS, JSON, TEXT], "text", GRUESS),
        (&[JMS, JSON], "map", UNSUPPORTED),
        (&[JMS, JSON], "empty text", "null = null"),
        (
            &[JSON],
            "text",
            "TASK_POLL: the body begins with an MQRFH2, which is no JSON; mq.message.body.jms=true takes it off",
        ),
        (&[JSON], "text without header", GRUESS),
        (
            &[
                JMS,
                (
                    "value.converter",
                    "org.apache.kafka.connect.converters.ByteArrayConverter",
                ),
            ],
            "text",
            "VALUE_CONVERTER: ByteArrayConverter takes bytes, and this is text; use StringConverter",
        ),
        (&[JMS, CONNECT_JSON, NO_SCHEMA], "bytes", "null = \"AAH/\""),
        (
            &[CONNECT_JSON],
            "text without header",
            "null = {\"schema\":{\"type\":\"bytes\",\"optional\":true},\"payload\":\"eyJuYW1lIjoiZ3LDvMOfIiwibiI6MX0=\"}",
        ),
        (
            &[JMS, JSON, CONNECT_JSON],
            "text",
            "null = {\"schema\":null,\"payload\":{\"name\":\"gr\u{fc}\u{df}\",\"n\":1}}",
        ),
        (&[JMS, JSON, CONNECT_JSON, NO_SCHEMA], "text", GRUESS),
    ] {
        assert_eq!(
            built(&builder(settings), &case(name)),
            expected,
            "{settings:?} {name}"
        );
    }
}

#[test]
fn keys_are_built_from_headers_and_from_fields() {
    let key = |settings: &[(&str, &str)], name: &str| {
        let found = built(&builder(settings), &case(name));
        found.split(" = ").next().expect("a key").to_owned()
    };
    let header = |header| ("mq.record.builder.key.header", header);
    let field = |field| ("daybook.key.json.field", field);
    for (settings, name, expected) in [
        (
            &[header("JMSMessageID")][..],
            "text",
            "414d5120444159424f4f4b20202020208000000100000000",
        ),
        (&[header("JMSCorrelationID")], "text", "corr-1"),
        (&[header("JMSCorrelationID")], "bytes", "010203"),
        (&[header("JMSCorrelationID")], "map", "null"),
        (&[header("JMSCorrelationIDAsBytes")], "text", "corr-1"),
        (&[header("JMSCorrelationIDAsBytes")], "map", "24 bytes"),
        (&[header("JMSDestination")], "text", "queue:///DAYBOOK.TEST"),
        (&[header("JMSXGroupID")], "text", "g1"),
        (&[header("JMSXGroupID")], "map", "null"),
        (&[JMS, field("name")], "text", "gr\u{fc}\u{df}"),
        (&[JMS, field("n")], "text", "1"),
        (&[JMS, field("missing")], "text", "null"),
        (&[JMS, field("name.inner")], "text", "null"),
    ] {
        assert_eq!(key(settings, name), expected, "{settings:?} {name}");
    }
    let mut nested = case("text without header");
    for (body, field, expected) in [
        (
            r#"{"a":{"b":{"c":"x"},"b":{"c":"\u0041\""}}}"#,
            "a.b.c",
            "A\"",
        ),
        (r#"{"a":1e3}"#, "a", "1e3"),
        (r#"{"a":true}"#, "a", "true"),
        (r#"{"a":null}"#, "a", "null"),
        (r#"["a"]"#, "a", "null"),
        (
            r#"{"a":[1]}"#,
            "a",
            "TASK_POLL: the key field a is an object or an array; text, a number or a boolean is taken",
        ),
        (
            r#"{"a":1"#,
            "a",
            "TASK_POLL: the body is no JSON: EOF while parsing an object at line 1 column 6",
        ),
    ] {
        nested.body = Bytes::copy_from_slice(body.as_bytes());
        let found = built(&builder(&[("daybook.key.json.field", field)]), &nested);
        assert_eq!(found.split(" = ").next(), Some(expected), "{body}");
    }
}

#[test]
fn properties_become_headers_and_the_sender_s_time_the_timestamp() {
    let case = case("text");
    let copy = ("mq.jms.properties.copy.to.kafka.headers", "true");
    let record = builder(&[copy]).build(received(&case)).expect("converts");
    assert_eq!(record.timestamp, None);
    let record = builder(&[copy, JMS])
        .build(received(&case))
        .expect("converts");
    assert_eq!(
        record.timestamp.expect("a time").to_string(),
        case.jms.fields["timestamp"]
    );
    let header = |record: &Record, name: &str| {
        let found = record.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| {
            value
                .as_ref()
                .map(|value| String::from_utf8_lossy(value).into_owned())
        })
    };
    assert_eq!(header(&record, "d"), Some(Some("1.0E10".to_owned())));
    assert_eq!(
        header(&record, "s"),
        Some(Some(" t <x> & \u{e9} ".to_owned()))
    );
    assert_eq!(header(&record, "n"), Some(None));
    assert_eq!(
        header(&record, "JMSXDeliveryCount"),
        Some(Some("1".to_owned()))
    );
    assert_eq!(header(&record, "JMS_IBM_MQMD_Expiry"), None);
    let mqmd = builder(&[copy, ("mq.message.mqmd.read", "true")]);
    let record = mqmd.build(received(&case)).expect("converts");
    assert_eq!(
        header(&record, "JMS_IBM_MQMD_Expiry"),
        Some(Some("-1".to_owned()))
    );
    assert_eq!(
        header(&record, "JMS_IBM_MQMD_MsgId").flatten(),
        Some(case.mq.fields["id"].clone())
    );
    let none = builder(&[]).build(received(&case)).expect("converts");
    assert_eq!(none.headers, []);
}

#[test]
fn properties_beside_the_body_are_the_sender_s() {
    let case = case("text without header");
    let beside = [("id".to_owned(), "t-1".to_owned())];
    let message = Received {
        beside: &beside,
        ..received(&case)
    };
    let builder = builder(&[("mq.jms.properties.copy.to.kafka.headers", "true")]);
    let record = builder.build(message).expect("converts");
    assert_eq!(
        record.headers[0],
        ("id".to_owned(), Some(Bytes::from_static(b"t-1")))
    );
}

#[test]
fn a_dead_letter_has_the_whole_body_and_the_reason() {
    let case = case("map");
    let builder = builder(&[JMS]);
    let error = builder.build(received(&case)).expect_err("a map");
    assert_eq!(
        error.to_string(),
        "the message ID:414d5120444159424f4f4b20202020208000000103000000 of DAYBOOK.TEST cannot be converted: \
         Unsupported JMS message type: Map; text and bytes messages are taken"
    );
    let bare = builder.dead_letter("dlq", "c", false, received(&case), &error, 5);
    assert_eq!((bare.topic.as_str(), bare.headers.len()), ("dlq", 0));
    assert_eq!(bare.value, Some(case.body.clone()));
    let record = builder.dead_letter("dlq", "c", true, received(&case), &error, 5);
    let headers: Vec<String> = record
        .headers
        .iter()
        .map(|(name, value)| {
            format!(
                "{name}={}",
                String::from_utf8_lossy(value.as_deref().unwrap_or_default())
            )
        })
        .collect();
    let timestamp = format!(
        "__connect.errors.jms.timestamp={}",
        case.jms.fields["timestamp"]
    );
    assert_eq!(
        headers,
        [
            "__connect.errors.topic=t",
            "__connect.errors.connector.name=c",
            "__connect.errors.stage=TASK_POLL",
            "__connect.errors.exception.class.name=org.apache.kafka.connect.errors.DataException",
            "__connect.errors.exception.message=Unsupported JMS message type: Map; text and bytes messages are taken",
            "__connect.errors.jms.message.id=ID:414d5120444159424f4f4b20202020208000000103000000",
            timestamp.as_str(),
            "__connect.errors.mq.queue=DAYBOOK.TEST",
            "__connect.errors.timestamp=5",
        ]
    );
}

#[test]
fn damage_anywhere_never_panics() {
    let all = builder(&[
        JMS,
        ("mq.jms.properties.copy.to.kafka.headers", "true"),
        ("mq.message.mqmd.read", "true"),
    ]);
    for mut case in cases() {
        let whole = case.body.clone();
        for at in 0..whole.len() {
            let mut damaged = whole.to_vec();
            damaged[at] ^= 0x15;
            case.body = Bytes::from(damaged);
            let _ = all.build(received(&case));
            case.body = whole.slice(..at);
            let _ = all.build(received(&case));
        }
    }
}

#[test]
fn text_of_an_unknown_character_set_is_refused_and_never_guessed() {
    let mut case = case("text without header");
    case.descriptor.ccsid = 1252;
    assert!(
        built(&builder(&[JMS]), &case)
            .starts_with("TASK_POLL: text of character set 1252 is not converted")
    );
    case.body = Bytes::from_static(b"plain");
    assert_eq!(built(&builder(&[JMS]), &case), "null = plain");
    case.descriptor.ccsid = 273;
    assert!(
        built(&builder(&[JMS]), &case)
            .starts_with("TASK_POLL: text of character set 273 is not converted")
    );
    case.descriptor.ccsid = 1208;
    case.body = Bytes::from_static(b"\xff");
    assert_eq!(
        built(&builder(&[JMS]), &case),
        "TASK_POLL: the body is no text of character set 1208 (MQMD.CodedCharSetId)"
    );
}

#[test]
fn json_is_one_value_and_is_passed_on_as_it_is() {
    let builder = builder(&[JSON]);
    let mut json = case("text without header");
    for (body, expected) in [
        // Connect's converter makes -6101065172474983726 and 1.5 of these.
        (
            &b"{\"n\":12345678901234567890,\"d\":1.50}"[..],
            "null = {\"n\":12345678901234567890,\"d\":1.50}",
        ),
        (b"[1]", "null = [1]"),
        (b"\"x\"", "null = \"x\""),
        (b"", "null = null"),
        (b" \n", "null = null"),
        (b"null", "null = null"),
        (b"\xef\xbb\xbf{\"a\":1}", "null = {\"a\":1}"),
        (
            b"{'a':1}",
            "TASK_POLL: the body is no JSON: key must be a string at line 1 column 2",
        ),
        (
            b"NaN",
            "TASK_POLL: the body is no JSON: expected value at line 1 column 1",
        ),
        (
            b"{\"a\":1} x",
            "TASK_POLL: the body is no JSON: trailing characters at line 1 column 9",
        ),
        (
            b"{\"a\":\"\xff\"}",
            "TASK_POLL: the body is no UTF-8 from byte 6 on",
        ),
    ] {
        json.body = Bytes::copy_from_slice(body);
        assert_eq!(built(&builder, &json), expected, "{body:?}");
    }
    // However deep: no stack is used up.
    json.body = Bytes::from("[".repeat(1_000_000));
    assert!(built(&builder, &json).contains("no JSON: EOF"));
}

#[test]
fn a_blank_body_has_no_key_in_it() {
    let mut blank = case("text without header");
    blank.body = Bytes::new();
    assert_eq!(
        built(&builder(&[JSON, ("daybook.key.json.field", "a")]), &blank),
        "null = null"
    );
}

#[test]
fn eight_headers_are_taken_off_and_a_ninth_is_data() {
    use bytes::{BufMut, BytesMut};
    use mq_wire::{Behind, FORMAT_RFH2, UserProperties};
    let chain = |headers: usize| {
        let mut out = BytesMut::new();
        for number in 1..=headers {
            let behind = Behind {
                encoding: UserProperties::ENCODING,
                ccsid: 1208,
                format: if number == headers {
                    *b"MQSTR   "
                } else {
                    FORMAT_RFH2
                },
            };
            UserProperties::new([("n", number.to_string().as_str())]).write(behind, &mut out);
        }
        out.put_slice(b"data");
        let mut case = case("text without header");
        case.descriptor.format = Chars(FORMAT_RFH2);
        case.descriptor.encoding = UserProperties::ENCODING;
        case.body = out.freeze();
        case
    };
    assert_eq!(built(&builder(&[JMS]), &chain(8)), "null = data");
    let nine = chain(9);
    let message = JmsMessage::of(received(&nine), true);
    assert!(message.body.starts_with(b"RFH ") && message.body.ends_with(b"data"));
}
