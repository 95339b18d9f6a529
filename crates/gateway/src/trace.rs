//! W3C trace context: taken over from the sender, or begun here.
//!
//! `traceparent` goes on with every message. `tracestate` does not: it is what systems along the way say to their own kind, those that read our
//! queues need not be trusted with it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Makes trace ids without a system call each: a counter, mixed, from a random start.
#[derive(Debug)]
pub(crate) struct TraceIds {
    high: u64,
    next: AtomicU64,
}

impl TraceIds {
    pub(crate) fn new() -> Self {
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        Self {
            high,
            next: AtomicU64::new(low),
        }
    }

    /// The sender's `traceparent` if it is one, else a new one.
    pub(crate) fn traceparent(&self, sent: Option<&[u8]>) -> Box<str> {
        match sent
            .and_then(|sent| std::str::from_utf8(sent).ok())
            .filter(|text| is_valid(text))
        {
            Some(text) => text.into(),
            None => self.generate(),
        }
    }

    fn generate(&self) -> Box<str> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (low, span) = (mix(number), mix(number ^ self.high));
        // All zeros would be no id; the low bit costs nothing.
        format!("00-{:016x}{low:016x}-{:016x}-00", self.high, span | 1).into()
    }
}

/// The trace's own id in a `traceparent`.
pub(crate) fn trace_id(traceparent: &str) -> Option<&str> {
    traceparent.split('-').nth(1)
}

/// SplitMix64's finaliser: a bijection, so different numbers give different ids.
fn mix(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Whether a text is a `traceparent` of version 00 (W3C Trace Context, 3.2).
fn is_valid(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut next = |length: usize, zeros_allowed: bool| {
        parts.next().is_some_and(|part| {
            part.len() == length
                && part
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
                && (zeros_allowed || part.bytes().any(|byte| byte != b'0'))
        })
    };
    text.starts_with("00-")
        && next(2, true)
        && next(32, false)
        && next(16, false)
        && next(2, true)
        && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_contexts_are_taken_over() {
        let ids = TraceIds::new();
        let sent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(&*ids.traceparent(Some(sent.as_bytes())), sent);
        for wrong in [
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-extra",
            "nonsense",
            "",
        ] {
            let made = ids.traceparent(Some(wrong.as_bytes()));
            assert_ne!(&*made, wrong);
            assert!(is_valid(&made), "{made}");
        }
        assert_ne!(ids.traceparent(None), ids.traceparent(None));
    }
}
