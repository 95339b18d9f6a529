//! Every captured segment is read, and written as the same bytes.
#![allow(missing_docs)]

use std::fs;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use mq_wire::{Assembler, Flow, Segment, SegmentReader};

/// Limits of the sessions that were captured.
const SEGMENT_BYTES_MAX: u32 = 32_748;
const MESSAGE_BYTES_MAX: usize = 100 << 20;

struct Captured {
    scenario: String,
    from_client: bool,
    bytes: Bytes,
}

fn captures() -> Vec<Captured> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let mut paths: Vec<_> = fs::read_dir(dir)
        .expect("captures")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    paths.sort();
    let mut captured = Vec::new();
    for path in paths {
        let scenario = path.file_stem().expect("a name").to_string_lossy();
        for (number, line) in fs::read_to_string(&path)
            .expect("reads")
            .lines()
            .enumerate()
        {
            let mut words = line.split(' ');
            let from_client = words.next().expect("sender") == "C";
            let name = words.next().expect("type");
            captured.push(Captured {
                scenario: format!("{scenario}:{} {name}", number + 1),
                from_client,
                bytes: unhex(words.next().expect("bytes")),
            });
        }
    }
    assert!(captured.len() > 2_900, "{} segments", captured.len());
    captured
}

fn unhex(hex: &str) -> Bytes {
    let digit = |byte: u8| (byte as char).to_digit(16).expect("hexadecimal") as u8;
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

/// A scenario's segments by direction, with the pieces of long messages together.
fn messages() -> Vec<(String, Vec<Bytes>, Segment)> {
    let reader = SegmentReader::new(SEGMENT_BYTES_MAX);
    let mut found = Vec::new();
    let mut assemblers: std::collections::HashMap<(String, bool), (Assembler, Vec<Bytes>)> =
        std::collections::HashMap::new();
    for captured in captures() {
        let stream = captured
            .scenario
            .split(':')
            .next()
            .expect("a name")
            .to_owned();
        let key = (stream, captured.from_client);
        let (assembler, pieces) = assemblers
            .entry(key)
            .or_insert_with(|| (Assembler::new(MESSAGE_BYTES_MAX), Vec::new()));
        let mut buffer = BytesMut::from(&captured.bytes[..]);
        let segment = reader.next(&mut buffer);
        let segment = segment.expect("a segment").expect("whole");
        assert!(buffer.is_empty(), "{}", captured.scenario);
        pieces.push(captured.bytes);
        if let Some(message) = assembler.push(segment).expect("in order") {
            found.push((captured.scenario, std::mem::take(pieces), message));
        }
    }
    found
}

#[test]
fn what_is_read_is_written_as_the_same_bytes() {
    let mut long = 0;
    for (scenario, pieces, message) in messages() {
        let header = message.header;
        let flow = match Flow::read(message) {
            Ok(flow) => flow,
            Err(error) => panic!("{scenario}: {error}"),
        };
        let raw = matches!(&flow, Flow::Other(_));
        assert!(!raw, "{scenario} was not taken apart");
        if let Flow::Api(api) = &flow {
            let other = matches!(&api.call, mq_wire::Call::Other(_));
            assert!(!other, "{scenario} was not taken apart");
        }
        let mut written = BytesMut::new();
        flow.write(header, SEGMENT_BYTES_MAX, &mut written)
            .expect("writes");
        long += usize::from(pieces.len() > 1);
        let mut expected: Vec<u8> = pieces.concat();
        if scenario.ends_with("XA_RECOVER_REPLY") && expected.ends_with(&[0, 0]) {
            // The prototype padded with zeros; we pad as the client does.
            let padding = expected.len() - 2;
            expected[padding..].fill(b' ');
        }
        assert!(
            written == expected,
            "{scenario}: {flow:#?}\nexpected {expected:02x?}\nwritten  {:02x?}",
            &written[..]
        );
    }
    assert!(long >= 2, "{long} long messages");
}

#[test]
fn every_split_point_gives_the_same_segments() {
    let reader = SegmentReader::new(SEGMENT_BYTES_MAX);
    for captured in captures()
        .into_iter()
        .filter(|captured| captured.bytes.len() < 1_000)
        .step_by(7)
    {
        let mut whole = BytesMut::from(&captured.bytes[..]);
        let expected = reader.next(&mut whole).expect("fine").expect("whole");
        for split in 0..captured.bytes.len() {
            let mut buffer = BytesMut::from(&captured.bytes[..split]);
            let early = reader.next(&mut buffer).expect("fine");
            assert_eq!(early, None, "{} at {split}", captured.scenario);
            assert!(reader.wanted(&buffer) > 0);
            buffer.extend_from_slice(&captured.bytes[split..]);
            let segment = reader.next(&mut buffer).expect("fine").expect("whole");
            assert_eq!(segment, expected, "{} at {split}", captured.scenario);
        }
    }
}

/// Whatever the length says, a body that ends anywhere is an error or a shorter flow, no panic.
#[test]
fn every_cut_body_is_refused_or_read() {
    let mut refused = 0;
    for (_, _, message) in messages().into_iter().step_by(5) {
        for cut in 0..message.body.len().min(700) {
            let short = Segment {
                header: message.header,
                body: message.body.slice(..cut),
            };
            refused += usize::from(Flow::read(short).is_err());
        }
    }
    assert!(refused > 10_000, "{refused}");
}

/// Seeded damage to real segments: what comes out may be nonsense, but it comes out.
#[test]
fn damaged_bodies_never_panic() {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let mut random: u64 = seed.unwrap_or(20_261_124);
    eprintln!("SEED={random}");
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let messages = messages();
    for _ in 0..20_000 {
        let (_, _, message) = &messages[next() as usize % messages.len()];
        let mut body = message.body.to_vec();
        for _ in 0..=next() % 4 {
            if body.is_empty() {
                break;
            }
            let at = next() as usize % body.len().min(600);
            body[at] = if next() % 2 == 0 { 0xff } else { next() as u8 };
        }
        let mut header = message.header;
        if next() % 8 == 0 {
            header.segment_type = mq_wire::SegmentType(next() as u8);
        }
        let damaged = Segment {
            header,
            body: body.into(),
        };
        if let Ok(flow) = Flow::read(damaged) {
            let mut out = BytesMut::new();
            flow.write(header, SEGMENT_BYTES_MAX, &mut out)
                .expect("known character set");
        }
    }
}

/// EBCDIC peers: the same structures in code page 500 and big-endian read as the same text.
#[test]
fn an_ebcdic_copy_reads_the_same() {
    let (mut seen, reader) = (0, SegmentReader::new(SEGMENT_BYTES_MAX));
    for (scenario, pieces, message) in messages() {
        if pieces.len() > 1 {
            continue;
        }
        let header = message.header;
        let flow = Flow::read(message).expect("reads");
        let mut ebcdic = header;
        ebcdic.ccsid = 500;
        ebcdic.order = mq_wire::ByteOrder::Big;
        let mut out = BytesMut::new();
        flow.write(ebcdic, SEGMENT_BYTES_MAX, &mut out)
            .expect("writes");
        assert_eq!(&out[..3], &[0xe3, 0xe2, 0xc8], "{scenario}");
        let segment = reader.next(&mut out).expect("fine").expect("whole");
        assert_eq!(segment.header, ebcdic);
        assert_eq!(Flow::read(segment).expect("reads"), flow, "{scenario}");
        seen += 1;
    }
    assert!(seen > 2_900, "{seen}");
}
