//! What must hold of selectors and of the headers that they look into, whatever the bytes are.
//! Used by the fuzz target, and by `crates/mq-server/tests/corpus.rs`, which replays the corpus.

use std::sync::Arc;

use bytes::Bytes;
use mq_server::Selector;
use queue_manager::{Descriptor, Message, MsgId, Properties};

/// Byte order, length of the selector (two bytes, big-endian), selector, body. A selector is read
/// and evaluated, or refused; NOT of it is never true of the same message.
pub fn selector(data: &[u8]) {
    let Some((&[order, high, low], rest)) = data.split_first_chunk() else {
        return;
    };
    let length = usize::from(u16::from_be_bytes([high, low])).min(rest.len());
    let (text, body) = rest.split_at(length);
    let text = String::from_utf8_lossy(text);
    let Ok(selector) = Selector::parse(&text) else {
        return;
    };
    let message = Message {
        msg_id: MsgId([0x41; 24]),
        correl_id: MsgId::NONE,
        sequence: 1,
        put_time: 5_000_000,
        priority: 6,
        backout_count: 1,
        expires_at: None,
        available_at: None,
        descriptor: Arc::new(Descriptor {
            format: *b"MQHRF2  ",
            encoding: if order & 1 == 0 { 273 } else { 546 },
            ..Descriptor::default()
        }),
        properties: Properties::default(),
        body: Bytes::copy_from_slice(body),
    };
    let is_true = selector.is_true_of(&message);
    // May be too long or too deep now.
    if let Ok(opposite) = Selector::parse(&format!("NOT ({text})")) {
        assert!(!(is_true && opposite.is_true_of(&message)), "{text}");
    }
}
