//! What must hold of `mq-wire` whatever the bytes are. Used by the fuzz targets, and by
//! `crates/mq-wire/tests/corpus.rs`, which replays the corpus.

use bytes::{Bytes, BytesMut};
use mq_wire::{
    Assembler, ByteOrder, Call, Conversation, Flow, Header, HeaderKind, SEGMENT_BYTES_MIN, Segment,
    SegmentReader, SegmentType, WireError, convert,
};

/// Longest message in bytes; what is fed is shorter than a segment may be.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// A segment longer than anything that is fed.
const LONG_SEGMENT: u32 = 64 << 20;

/// A stream in arbitrary cuts: the first byte seeds the cuts. Segments and messages must not depend
/// on the cuts, and what is kept is never more than what came.
pub fn segments(data: &[u8]) {
    let Some((seed, stream)) = data.split_first() else {
        return;
    };
    let whole = joined(&mut [stream].into_iter());
    let mut random = u32::from(*seed) | 0x100;
    let mut rest = stream;
    let cut = joined(&mut std::iter::from_fn(|| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let bytes = 1 + (random >> 16) as usize % (1 + usize::from(*seed));
        let piece = rest.split_off(..bytes.min(rest.len()))?;
        (!piece.is_empty()).then_some(piece)
    }));
    assert_eq!(whole, cut, "the cuts make a difference");
}

/// The messages of a stream, and how it ended.
fn joined(pieces: &mut dyn Iterator<Item = &[u8]>) -> (Vec<Segment>, Option<WireError>) {
    let reader = SegmentReader::new(SEGMENT_BYTES_MIN * 4);
    let mut assembler = Assembler::new(MESSAGE_BYTES_MAX);
    let mut buffer = BytesMut::new();
    let mut messages = Vec::new();
    let (mut fed, mut given) = (0, 0);
    for piece in pieces {
        buffer.extend_from_slice(piece);
        fed += piece.len();
        loop {
            let segment = match reader.next(&mut buffer) {
                Ok(Some(segment)) => segment,
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            };
            let header = segment.header;
            match assembler.push(segment) {
                Ok(None) => {}
                Ok(Some(message)) => {
                    given += message.body.len();
                    assert!(given <= fed, "more came out than went in");
                    // Nonsense or not, it is read without panic.
                    let _ = Flow::read(message.clone());
                    messages.push(message);
                }
                Err(error) => return (messages, Some(error)),
            }
            if header.segment_type == SegmentType::SOCKET_ACTION
                && let Some(conversation) = header.conversation()
            {
                assembler.forget(conversation.id);
            }
        }
        assert!(reader.wanted(&buffer) > 0, "a segment was there");
        assert!(reader.wanted(&buffer) <= SEGMENT_BYTES_MIN as usize * 4);
    }
    (messages, None)
}

/// Segment type, form (byte order, character set, kind of header), body: what can be read is written
/// so that it reads as the same, in this form and in others.
pub fn flow(data: &[u8]) {
    let Some((message, form)) = message(data) else {
        return;
    };
    let header = message.header;
    let Ok(flow) = Flow::read(message) else {
        return;
    };
    for other in [form, form ^ 1, form ^ 2, form ^ 0b101] {
        // What is no structure in one character set, and so is kept as it is, may look like one in another.
        if other & 0b110 != form & 0b110 && has_unread_end(&flow) {
            continue;
        }
        let header = formed(header.segment_type, other);
        let mut out = BytesMut::new();
        flow.write(header, LONG_SEGMENT, &mut out).expect("known");
        let written = out.clone().freeze();
        let segment = SegmentReader::new(LONG_SEGMENT).next(&mut out);
        let segment = segment.expect("a header").expect("whole");
        assert!(out.is_empty());
        let again = Flow::read(segment).expect("what was written can be read");
        let mut out = BytesMut::new();
        again.write(header, LONG_SEGMENT, &mut out).expect("known");
        assert_eq!(out, written, "written twice");
        assert_eq!(without_length(again), without_length(flow.clone()));
    }
}

/// As [`flow`], then: two conversations send the message at the same time, in short segments, and
/// the stream arrives in cuts.
pub fn roundtrip(data: &[u8]) {
    let Some((&[copies, room], data)) = data.split_first_chunk() else {
        return;
    };
    let Some((message, form)) = message(data) else {
        return;
    };
    let header = message.header;
    let Ok(mut flow) = Flow::read(message) else {
        return;
    };
    // A long message is a short one many times.
    if let Flow::Api(api) = &mut flow {
        let long = |data: &Bytes| Bytes::from(data.repeat(usize::from(copies) * 8 + 1));
        match &mut api.call {
            Call::Put(put) => put.data = long(&put.data),
            Call::Put1(put1) => put1.put.data = long(&put1.put.data),
            Call::Get(get) => get.data = long(&get.data),
            _ => {}
        }
    }
    let segment_bytes_max = SEGMENT_BYTES_MIN + u32::from(room) * 16;
    let mut streams = [BytesMut::new(), BytesMut::new()];
    for (number, stream) in streams.iter_mut().enumerate() {
        let mut header = formed(header.segment_type, form);
        header.kind = HeaderKind::Of(Conversation {
            id: 1 + 2 * number as u32,
            request: u32::from(room),
        });
        flow.write(header, segment_bytes_max, stream)
            .expect("known");
    }
    if !header.segment_type.is_mqi() && streams[0].len() > segment_bytes_max as usize {
        // Only MQI calls are cut; the others are short, or cut by those who make them.
        return;
    }
    let reader = SegmentReader::new(segment_bytes_max);
    let mut assembler = Assembler::new(8 << 20);
    let mut found = [0, 0];
    while streams.iter().any(|stream| !stream.is_empty()) {
        for stream in &mut streams {
            let Some(segment) = reader.next(stream).expect("a header") else {
                continue;
            };
            let Some(message) = assembler.push(segment).expect("in order") else {
                continue;
            };
            let id = message.header.conversation().expect("of one").id;
            found[id as usize / 2] += 1;
            let again = Flow::read(message).expect("reads");
            assert_eq!(without_length(again), without_length(flow.clone()));
        }
    }
    assert_eq!(found, [1, 1]);
}

/// From, to, text: one-byte code pages lose nothing among each other, and a conversion to them has
/// one byte a character.
pub fn text(data: &[u8]) {
    let Some((&[from, to], text)) = data.split_first_chunk() else {
        return;
    };
    let pages = [37, 500, 819, 1208, 930];
    let [from, to] = [from, to].map(|page| pages[usize::from(page) % pages.len()]);
    let Some(converted) = convert(from, to, text) else {
        let known = [from, to].iter().all(|page| *page != 930);
        let valid = from != 1208 || std::str::from_utf8(text).is_ok();
        assert!(!known || !valid, "{from} to {to}");
        return;
    };
    let back = convert(to, from, &converted).expect("converts back");
    match (from, to) {
        (1208, 1208) => assert_eq!(converted, text),
        (1208, _) => {
            let text = std::str::from_utf8(text).expect("it was converted");
            assert_eq!(converted.len(), text.chars().count());
            let latin1 = text.chars().all(|char| u32::from(char) < 256);
            assert_eq!(latin1, back == text.as_bytes());
        }
        _ => assert_eq!(back, text),
    }
}

/// What the first bytes make of the others.
fn message(data: &[u8]) -> Option<(Segment, u8)> {
    let (&[segment_type, form], body) = data.split_first_chunk()?;
    let message = Segment {
        header: formed(SegmentType(segment_type), form),
        body: Bytes::copy_from_slice(body),
    };
    Some((message, form))
}

fn formed(segment_type: SegmentType, form: u8) -> Header {
    let kind = match form >> 3 & 3 {
        0 => HeaderKind::Plain,
        1 => HeaderKind::Control,
        _ => HeaderKind::Of(Conversation { id: 1, request: 0 }),
    };
    let mut header = Header::new(segment_type, kind);
    if form & 1 == 0 {
        header.order = ByteOrder::Big;
    }
    header.ccsid = [819, 500, 37, 1208][usize::from(form >> 1 & 3)];
    header
}

/// Whether bytes are left where a structure could have been.
fn has_unread_end(flow: &Flow) -> bool {
    let Flow::Api(api) = flow else { return false };
    match &api.call {
        Call::Connect(connect) => connect.options.is_none() && !connect.rest.is_empty(),
        Call::Open(open) => open.attributes.is_none() && !open.rest.is_empty(),
        _ => false,
    }
}

/// A reply's length is filled in when it is written.
fn without_length(mut flow: Flow) -> Flow {
    match &mut flow {
        Flow::Api(api) => api.reply_length = 0,
        Flow::Xa(xa) => xa.length = 0,
        _ => {}
    }
    flow
}
