//! Every limit of the protocol's reading, at the limit and one beyond.
#![allow(missing_docs)]

use bytes::{Bytes, BytesMut};
use mq_wire::{
    Api, Assembler, Attributes, CREDENTIAL_BYTES_MAX, Call, Conversation, Credentials, Flow,
    Header, HeaderKind, OVERHEAD_BYTES_MAX, Put, SELECTORS_MAX, Segment, SegmentReader,
    SegmentType, TSH_BYTES, UNFINISHED_MAX, WireError, XID_PART_BYTES_MAX, Xa, XaCall, Xid, flags,
};

const SEGMENT_BYTES: u32 = 4_096;

fn header(segment_type: SegmentType, conversation: u32) -> Header {
    Header::new(
        segment_type,
        HeaderKind::Of(Conversation {
            id: conversation,
            request: 0,
        }),
    )
}

fn segments(mut bytes: BytesMut) -> Vec<Segment> {
    let reader = SegmentReader::new(SEGMENT_BYTES);
    let mut segments = Vec::new();
    while let Some(segment) = reader.next(&mut bytes).expect("segments") {
        segments.push(segment);
    }
    assert!(bytes.is_empty());
    segments
}

fn put(bytes: usize) -> Flow {
    let data: Bytes = (0..bytes).map(|at| (at % 251) as u8).collect();
    Flow::Api(Api::request(
        2,
        Call::Put(Box::new(Put {
            length: bytes as i32,
            data,
            ..Put::default()
        })),
    ))
}

#[test]
fn messages_of_all_lengths_around_the_piece_are_joined_again() {
    let room = SEGMENT_BYTES as usize - 36;
    let near = |pieces: usize| (pieces * room - 520)..(pieces * room - 440);
    let mut pieces_seen = std::collections::BTreeSet::new();
    for bytes in (0..40).chain(near(1)).chain(near(2)).chain([100_000]) {
        let flow = put(bytes);
        let header = header(SegmentType::MQPUT, 1);
        let mut out = BytesMut::new();
        flow.write(header, SEGMENT_BYTES, &mut out).expect("writes");
        let pieces = segments(out);
        pieces_seen.insert(pieces.len());
        let count = pieces.len();
        for (number, piece) in pieces.iter().enumerate() {
            assert_eq!(piece.header.flags & flags::FIRST != 0, number == 0);
            assert_eq!(piece.header.flags & flags::LAST != 0, number + 1 == count);
        }
        let mut assembler = Assembler::new(100_000);
        let mut whole = None;
        for piece in pieces {
            assert_eq!(whole, None, "only the last piece completes it");
            whole = assembler.push(piece).expect("in order");
        }
        assert_eq!(
            Flow::read(whole.expect("whole")).expect("reads"),
            flow,
            "{bytes} bytes"
        );
    }
    assert!(pieces_seen.len() >= 4, "{pieces_seen:?}");
}

#[test]
fn conversations_may_interleave_their_pieces() {
    let mut assembler = Assembler::new(100_000);
    let mut both = Vec::new();
    for conversation in [1, 3] {
        let mut out = BytesMut::new();
        let header = header(SegmentType::MQPUT, conversation);
        put(9_000)
            .write(header, SEGMENT_BYTES, &mut out)
            .expect("writes");
        both.push(segments(out));
    }
    let second = both.pop().expect("two");
    let mut whole = 0;
    for (left, right) in both.pop().expect("two").into_iter().zip(second) {
        whole += usize::from(assembler.push(left).expect("in order").is_some());
        whole += usize::from(assembler.push(right).expect("in order").is_some());
    }
    assert_eq!(whole, 2);
}

#[test]
fn a_segment_may_be_as_long_as_negotiated_and_no_longer() {
    let reader = SegmentReader::new(SEGMENT_BYTES);
    let heartbeat = Header::new(SegmentType::HEARTBEAT, HeaderKind::Control);
    for (bytes, fits) in [(SEGMENT_BYTES, true), (SEGMENT_BYTES + 1, false)] {
        let mut buffer = BytesMut::new();
        heartbeat.write(bytes as usize - TSH_BYTES, &mut buffer);
        // Refused from its header alone.
        let result = reader.next(&mut buffer);
        assert_eq!(result.is_ok(), fits, "{bytes}: {result:?}");
    }
    let mut short = BytesMut::new();
    heartbeat.write(0, &mut short);
    short[7] = TSH_BYTES as u8 - 1;
    let error = reader
        .next(&mut short)
        .expect_err("shorter than its header");
    assert_eq!(
        error.to_string(),
        "a segment of 27 bytes: 28 to 4096 are allowed"
    );
}

#[test]
fn garbage_is_refused_from_its_first_bytes() {
    let reader = SegmentReader::new(SEGMENT_BYTES);
    let mut buffer = BytesMut::from(&b"GET / HTTP/1.1\r\n"[..]);
    let error = reader.next(&mut buffer).expect_err("HTTP");
    assert_eq!(error, WireError::NotMq { found: *b"GET " });
    for early in 0..4 {
        let mut buffer = BytesMut::from(&b"GET "[..early]);
        assert_eq!(reader.next(&mut buffer), Ok(None));
    }
}

#[test]
fn a_joined_message_is_bounded_and_so_are_unfinished_ones() {
    let piece = |flags: u8, conversation: u32, bytes: usize| Segment {
        header: header(SegmentType::MQPUT, conversation).with_flags(flags),
        body: Bytes::from(vec![0; bytes]),
    };
    let limit = 1_000 + OVERHEAD_BYTES_MAX;
    for (bytes, fits) in [(limit, true), (limit + 1, false)] {
        let mut assembler = Assembler::new(1_000);
        assembler.push(piece(flags::FIRST, 1, 600)).expect("begins");
        let joined = assembler.push(piece(flags::LAST, 1, bytes - 600));
        assert_eq!(joined.is_ok(), fits, "{bytes}");
    }
    let mut assembler = Assembler::new(1_000);
    for conversation in 0..UNFINISHED_MAX as u32 {
        assembler
            .push(piece(flags::FIRST, conversation, 1))
            .expect("begins");
    }
    let error = assembler.push(piece(flags::FIRST, u32::MAX, 1));
    assert!(matches!(error, Err(WireError::Limit { .. })), "{error:?}");
    assembler.forget(0);
    assembler
        .push(piece(flags::FIRST, u32::MAX, 1))
        .expect("room again");
}

#[test]
fn pieces_out_of_order_are_refused() {
    let piece = |flags: u8, segment_type| Segment {
        header: header(segment_type, 1).with_flags(flags),
        body: Bytes::new(),
    };
    let put = SegmentType::MQPUT;
    for pieces in [
        vec![piece(0, put)],
        vec![piece(flags::LAST, put)],
        vec![piece(flags::FIRST, put), piece(flags::FIRST, put)],
        vec![piece(flags::FIRST, put), piece(flags::WHOLE, put)],
        vec![
            piece(flags::FIRST, put),
            piece(flags::LAST, SegmentType::MQGET),
        ],
    ] {
        let mut assembler = Assembler::new(1_000);
        let results: Vec<_> = pieces
            .into_iter()
            .map(|piece| assembler.push(piece))
            .collect();
        let last = results.last().expect("some");
        assert!(
            matches!(last, Err(WireError::OutOfOrder { .. })),
            "{last:?}"
        );
    }
}

fn read_back(flow: &Flow, segment_type: SegmentType) -> Result<Flow, WireError> {
    let header = header(segment_type, 1);
    let mut out = BytesMut::new();
    flow.write(header, 1 << 20, &mut out).expect("writes");
    let segment = SegmentReader::new(1 << 20).next(&mut out).expect("fine");
    Flow::read(segment.expect("whole"))
}

#[test]
fn counts_are_bounded() {
    for (count, fits) in [(SELECTORS_MAX, true), (SELECTORS_MAX + 1, false)] {
        let flow = Flow::Api(Api::request(
            2,
            Call::Attributes(Attributes {
                selectors: vec![3; count],
                ..Attributes::default()
            }),
        ));
        let read = read_back(&flow, SegmentType::MQINQ);
        assert_eq!(read.is_ok(), fits, "{count}: {read:?}");
    }
    for (bytes, fits) in [
        (CREDENTIAL_BYTES_MAX, true),
        (CREDENTIAL_BYTES_MAX + 1, false),
    ] {
        let credentials = Credentials::new(&"u".repeat(bytes), &"p".repeat(bytes));
        let flow = Flow::Credentials(Box::new(credentials));
        let read = read_back(&flow, SegmentType::CONAUTH_INFO);
        assert_eq!(read.is_ok(), fits, "{bytes}");
    }
    for (bytes, fits) in [(XID_PART_BYTES_MAX, true), (XID_PART_BYTES_MAX + 1, false)] {
        let flow = Flow::Xa(Xa {
            length: 0,
            return_value: 0,
            flags: 0,
            rmid: 1,
            call: XaCall::Branch(Xid {
                format: 1,
                global: vec![1; bytes].into(),
                branch: vec![2; bytes].into(),
            }),
        });
        let read = read_back(&flow, SegmentType::XA_START);
        assert_eq!(read.is_ok(), fits, "{bytes}");
    }
}

#[test]
fn passwords_are_not_printed() {
    let shown = format!("{:?}", Credentials::new("app", "s3cret"));
    assert!(
        shown.contains("app") && !shown.contains("s3cret"),
        "{shown}"
    );
}
