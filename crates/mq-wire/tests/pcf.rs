//! Messages of administration: there and back, cut, damaged, and at their limits.
#![allow(missing_docs)]

use bytes::{Bytes, BytesMut};
use mq_wire::{
    ByteOrder, PCF_BYTES_MAX, PCF_LIST_MAX, PCF_PARAMETERS_MAX, PCF_TEXT_BYTES_MAX, Pcf, PcfError,
    PcfHeader, PcfParameter, PcfText, PcfTexts, PcfValue, pcf_type,
};

const ORDERS: [ByteOrder; 2] = [ByteOrder::Big, ByteOrder::Little];

fn parameter(id: i32, value: PcfValue) -> PcfParameter {
    PcfParameter { id, value }
}

fn of(parameters: Vec<PcfParameter>) -> Pcf {
    Pcf {
        header: PcfHeader::command(13),
        parameters,
    }
}

/// One of each type, texts of all lengths around four bytes, and a group.
fn example() -> Pcf {
    let mut parameters = vec![
        PcfParameter::integer(20, i32::MIN),
        parameter(37, PcfValue::Integer64(i64::MAX - 1)),
        parameter(1002, PcfValue::Integers(vec![1009, -1])),
        parameter(1002, PcfValue::Integers(Vec::new())),
        parameter(
            3011,
            PcfValue::Texts(PcfTexts {
                ccsid: 819,
                text_bytes: 5,
                texts: vec![Bytes::from_static(b"FIRST"), Bytes::from_static(b"2ND  ")],
            }),
        ),
        parameter(3011, PcfValue::Texts(PcfTexts::default())),
        parameter(
            7006,
            PcfValue::Other {
                kind: 9,
                rest: Bytes::from_static(b"\0\0\0\x04abcd"),
            },
        ),
        parameter(8001, PcfValue::Group(2)),
        PcfParameter::integer(1, 1),
        PcfParameter::integer(2, 2),
    ];
    parameters.extend((0..9).map(|length| PcfParameter::text(2016, &"ABCDEFGHI"[..length])));
    of(parameters)
}

fn written(pcf: &Pcf, order: ByteOrder) -> Bytes {
    let mut out = BytesMut::new();
    pcf.write(order, &mut out);
    out.freeze()
}

#[test]
fn what_is_written_is_read_and_written_as_the_same_bytes() {
    for order in ORDERS {
        let bytes = written(&example(), order);
        let read = Pcf::read(bytes.clone(), order).expect("reads");
        assert_eq!(read, example());
        assert_eq!(written(&read, order), bytes);
        // Those of the group are not counted: 17 of 19.
        let count: [u8; 4] = bytes[32..36].try_into().expect("four");
        let count = match order {
            ByteOrder::Big => u32::from_be_bytes(count),
            ByteOrder::Little => u32::from_le_bytes(count),
        };
        assert_eq!(count, 17);
    }
}

/// As IBM documents it: the inquiry of a queue by name, big-endian.
#[test]
fn the_bytes_are_those_of_the_documentation() {
    let pcf = of(vec![
        parameter(
            2016,
            PcfValue::Text(PcfText {
                ccsid: 819,
                bytes: Bytes::from_static(b"Q.1"),
            }),
        ),
        parameter(1002, PcfValue::Integers(vec![1009])),
    ]);
    let expected: Vec<u8> = [
        [1, 36, 1, 13, 1, 1, 0, 0, 2].as_slice(),
        &[4, 24, 2016, 819, 3, 0x512e_3100],
        &[5, 20, 1002, 1, 1009],
    ]
    .concat()
    .into_iter()
    .flat_map(|number: i32| number.to_be_bytes())
    .collect();
    assert_eq!(written(&pcf, ByteOrder::Big), expected);
}

#[test]
fn every_cut_is_refused_and_so_is_what_follows() {
    for order in ORDERS {
        let bytes = written(&example(), order);
        for cut in 0..bytes.len() {
            let error = Pcf::read(bytes.slice(..cut), order).expect_err("cut");
            assert!(matches!(error, PcfError::Cut { .. }), "at {cut}: {error}");
            assert_eq!(error.reason(), 3016);
        }
        let longer = Bytes::from([&bytes[..], b"x"].concat());
        let error = Pcf::read(longer, order).expect_err("longer");
        assert_eq!(error, PcfError::Behind { bytes: 1 });
    }
}

#[test]
fn damage_never_panics() {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let mut random: u64 = seed.unwrap_or(20_261_125);
    eprintln!("SEED={random}");
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let whole = ORDERS.map(|order| written(&example(), order));
    let mut read = 0;
    for _ in 0..50_000 {
        let order = next() as usize % 2;
        let mut bytes = whole[order].to_vec();
        for _ in 0..=next() % 3 {
            let at = next() as usize % bytes.len();
            bytes[at] = match next() % 3 {
                0 => 0xff,
                1 => 0,
                _ => next() as u8,
            };
        }
        if let Ok(pcf) = Pcf::read(bytes.into(), ORDERS[order]) {
            let again = written(&pcf, ORDERS[order]);
            assert_eq!(Pcf::read(again, ORDERS[order]).expect("reads"), pcf);
            for parameter in &pcf.parameters {
                match &parameter.value {
                    PcfValue::Text(text) => drop(text.text(0)),
                    PcfValue::Texts(texts) => drop(texts.texts(0)),
                    _ => {}
                }
            }
            read += 1;
        }
    }
    assert!(read > 1_000, "{read} could be read");
}

#[test]
fn limits_hold_at_the_limit() {
    let many = |count: usize| of(vec![PcfParameter::integer(1, 1); count]);
    let group = |count: usize| {
        let mut parameters = vec![PcfParameter::integer(1, 1); count - 1];
        parameters.insert(0, parameter(8001, PcfValue::Group(count - 1)));
        of(parameters)
    };
    let list = |count: usize| of(vec![parameter(1, PcfValue::Integers(vec![7; count]))]);
    let texts = |count: usize| {
        let texts = vec![Bytes::from_static(b"x"); count];
        of(vec![parameter(
            1,
            PcfValue::Texts(PcfTexts {
                ccsid: 0,
                text_bytes: 1,
                texts,
            }),
        )])
    };
    let text = |bytes: usize| of(vec![PcfParameter::text(1, &"x".repeat(bytes))]);
    // 36 of the header, 12 of the parameter.
    let long = |bytes: usize| {
        let rest = Bytes::from(vec![0; bytes - 48]);
        of(vec![parameter(1, PcfValue::Other { kind: 99, rest })])
    };
    for (what, limit, reason, make) in [
        (
            "parameters",
            PCF_PARAMETERS_MAX,
            3006,
            &many as &dyn Fn(usize) -> Pcf,
        ),
        ("in a group", PCF_PARAMETERS_MAX, 3006, &group),
        ("values", PCF_LIST_MAX, 3027, &list),
        ("texts", PCF_LIST_MAX, 3068, &texts),
        ("bytes of text", PCF_TEXT_BYTES_MAX, 3011, &text),
        ("bytes", PCF_BYTES_MAX, 3016, &long),
    ] {
        let whole = make(limit);
        let bytes = written(&whole, ByteOrder::Little);
        assert_eq!(Pcf::read(bytes, ByteOrder::Little), Ok(whole), "{what}");
        let bytes = written(&make(limit + 1), ByteOrder::Little);
        let error = Pcf::read(bytes, ByteOrder::Little).expect_err(what);
        assert_eq!(error.reason(), reason, "{what}: {error}");
    }
}

#[test]
fn each_wrong_structure_has_its_reason() {
    let bytes =
        |words: &[i32]| -> Bytes { words.iter().flat_map(|word| word.to_be_bytes()).collect() };
    let with = |parameter: &[i32]| {
        let mut words = vec![1, 36, 1, 13, 1, 1, 0, 0, 1];
        words.extend(parameter);
        bytes(&words)
    };
    for (data, reason, about) in [
        (bytes(&[1, 35, 1, 13, 1, 1, 0, 0, 0]), 3002, None),
        (bytes(&[1, 36, 0, 13, 1, 1, 0, 0, 0]), 3003, None),
        (bytes(&[1, 36, 4, 13, 1, 1, 0, 0, 0]), 3003, None),
        (bytes(&[1, 36, 1, 13, 1, 1, 0, 0, -1]), 3006, None),
        (with(&[3, 12, 20]), 3009, Some(20)),
        (with(&[3, 20, 20, 1, 1]), 3009, Some(20)),
        (with(&[23, 16, 37, 1]), 3009, Some(37)),
        (with(&[4, 16, 2016, 0]), 3010, Some(2016)),
        (with(&[4, 20, 2016, 0, 1]), 3010, Some(2016)),
        (with(&[4, 20, 2016, 0, -1]), 3011, Some(2016)),
        (with(&[5, 12, 1002]), 3028, Some(1002)),
        (with(&[5, 16, 1002, 1]), 3028, Some(1002)),
        (with(&[5, 16, 1002, -1]), 3027, Some(1002)),
        (with(&[6, 20, 3011, 0, 0]), 3024, Some(3011)),
        (with(&[6, 24, 3011, 0, 1, 1]), 3024, Some(3011)),
        (with(&[6, 24, 3011, 0, 1, 0]), 3024, Some(3011)),
        (with(&[6, 24, 3011, 0, -1, 1]), 3068, Some(3011)),
        (with(&[6, 24, 3011, 0, 1, -1]), 3069, Some(3011)),
        (with(&[20, 12, 8001]), 3258, Some(8001)),
        (with(&[99, 11, 1]), 3013, Some(1)),
        (with(&[99, -1, 1]), 3013, Some(1)),
        (with(&[99, i32::MAX, 1]), 3016, None),
    ] {
        let error = Pcf::read(data, ByteOrder::Big).expect_err("wrong");
        assert_eq!(
            (error.reason(), error.parameter()),
            (reason, about),
            "{error}"
        );
    }
}

#[test]
fn texts_are_read_in_their_own_character_set() {
    let text = |ccsid, bytes: &'static [u8]| PcfText {
        ccsid,
        bytes: Bytes::from_static(bytes),
    };
    assert_eq!(
        text(37, b"\xd8\x4b\xf1\x40").text(1208).as_deref(),
        Some("Q.1")
    );
    assert_eq!(
        text(0, b"\xd8\x4b\xf1\x40").text(500).as_deref(),
        Some("Q.1")
    );
    assert_eq!(text(0, b"Q.1 \0\0").text(0).as_deref(), Some("Q.1"));
    assert_eq!(text(850, b"Q.1").text(37).as_deref(), Some("Q.1"));
    assert_eq!(text(850, b"Q\x80").text(37), None, "not ASCII");
    assert_eq!(text(1208, b"Q\x80").text(37), None, "no UTF-8");
    assert_eq!(text(930, b"Q").text(37), None);
    assert_eq!(text(-3, b"Q").text(37), None);
    assert_eq!(pcf_type::STRING, 4);
    for (encoding, order) in [
        (273, Some(ByteOrder::Big)),
        (546, Some(ByteOrder::Little)),
        (785, Some(ByteOrder::Big)),
        (0, None),
        (-1, None),
    ] {
        assert_eq!(ByteOrder::of_encoding(encoding), order, "{encoding}");
    }
}
