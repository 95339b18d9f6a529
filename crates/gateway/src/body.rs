//! Reading a request's body within its limits, decompressed where it is compressed.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;

use crate::budget::Share;
use crate::decompress::{Coding, Decompressor, Fault};

/// Why a body was not read.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// More bytes than a request may have, as sent or decompressed.
    TooLarge,
    /// It grows by more than it may when it is decompressed.
    Ratio,
    /// It is not compressed as it says.
    Corrupt(String),
    /// All requests together hold as much memory as they may.
    Busy,
    /// The sender took too long.
    Slow,
    /// The sender went away, or broke the protocol.
    Broken,
}

/// How long a body that was refused unread is still taken from the wire.
///
/// A sender that is cut off while it writes loses the answer that says why.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(1);
/// How much of it.
const DRAIN_BYTES_MAX: usize = 32 << 20;

/// What a body may be.
pub(crate) struct Bounds {
    /// Most bytes, as sent and decompressed.
    pub(crate) bytes_max: usize,
    /// Most time.
    pub(crate) time_max: Duration,
    /// How it is compressed.
    pub(crate) coding: Option<Coding>,
    /// By how much it may grow.
    pub(crate) ratio_max: u32,
}

/// Reads a whole body and decompresses it. Its bytes are counted in `share` as they come, not as they are announced; `sent` sees them as
/// they came.
pub(crate) async fn read(
    body: &mut Incoming,
    bounds: &Bounds,
    share: &mut Share,
    sent: &mut (dyn FnMut(&[u8]) + Send),
) -> Result<Bytes, BodyError> {
    if body.size_hint().lower() > bounds.bytes_max as u64 {
        return Err(BodyError::TooLarge);
    }
    let collect = async {
        match bounds.coding {
            None => collect(body, bounds.bytes_max, share, sent).await,
            Some(coding) => inflate(body, coding, bounds, share, sent).await,
        }
    };
    let read = timeout(bounds.time_max, collect).await;
    read.unwrap_or(Err(BodyError::Slow))
}

/// The next part of a body; `None` at its end.
async fn next(body: &mut Incoming) -> Option<Result<Bytes, BodyError>> {
    loop {
        match body.frame().await?.map(hyper::body::Frame::into_data) {
            Ok(Ok(data)) => return Some(Ok(data)),
            // Trailers.
            Ok(Err(_)) => {}
            Err(_) => return Some(Err(BodyError::Broken)),
        }
    }
}

async fn collect(
    body: &mut Incoming,
    bytes_max: usize,
    share: &mut Share,
    sent: &mut (dyn FnMut(&[u8]) + Send),
) -> Result<Bytes, BodyError> {
    let announced = body.size_hint().exact().unwrap_or(0);
    let mut pieces = Pieces::new(usize::try_from(announced).unwrap_or(0));
    while let Some(data) = next(body).await {
        let data = data?;
        if pieces.bytes + data.len() > bytes_max {
            return Err(BodyError::TooLarge);
        }
        if !share.grow(data.len()) {
            return Err(BodyError::Busy);
        }
        sent(&data);
        pieces.push(data);
    }
    pieces.join(share).ok_or(BodyError::Busy)
}

/// Work on one body, in bytes, before others have their turn.
const TURN_BYTES: usize = 512 << 10;
/// What a step costs whatever it does, as bytes.
const STEP_BYTES: usize = 4 << 10;

async fn inflate(
    body: &mut Incoming,
    coding: Coding,
    bounds: &Bounds,
    share: &mut Share,
    sent: &mut (dyn FnMut(&[u8]) + Send),
) -> Result<Bytes, BodyError> {
    let mut decompressor = Decompressor::new(coding, bounds.bytes_max, bounds.ratio_max)?;
    // How long it will be nobody has said.
    let mut pieces = Pieces::new(0);
    let (mut received, mut held, mut work) = (0, 0, 0);
    while let Some(data) = next(body).await {
        let data = data?;
        received += data.len();
        if received > bounds.bytes_max {
            return Err(BodyError::TooLarge);
        }
        sent(&data);
        let mut rest = &data[..];
        loop {
            let before = rest.len();
            let Some(piece) = decompressor.step(&mut rest)? else {
                break;
            };
            if !share.grow(piece.len()) {
                return Err(BodyError::Busy);
            }
            pieces.extend(piece);
            work += STEP_BYTES + piece.len() + before - rest.len();
            let now = decompressor.held();
            if now > held && !share.grow(now - held) {
                return Err(BodyError::Busy);
            }
            held = held.max(now);
            if work > TURN_BYTES {
                work = 0;
                tokio::task::yield_now().await;
            }
        }
    }
    decompressor.finish()?;
    drop(decompressor);
    share.shrink(held);
    pieces.join(share).ok_or(BodyError::Busy)
}

impl From<Fault> for BodyError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::TooLarge => Self::TooLarge,
            Fault::Ratio => Self::Ratio,
            Fault::Corrupt(reason) => Self::Corrupt(reason),
        }
    }
}

/// A body as it arrives. One whose length was announced is gathered where it stays; room that nothing
/// has come for costs address space alone.
///
/// For others one growing buffer would be copied again and again, and leave each of its former sizes behind in
/// the allocator. Such a body is copied at most twice, and one that is refused never whole.
#[derive(Debug)]
struct Pieces {
    /// Length of the body, 0 when it was not said.
    announced: usize,
    /// Nearly every single transaction arrives in one frame and is not copied at all.
    first: Bytes,
    later: Vec<Vec<u8>>,
    bytes: usize,
}

impl Pieces {
    /// A sender of tiny frames must not cost a list entry each: pieces have at least this size.
    const PIECE_BYTES_MIN: usize = 16 << 10;
    const PIECE_BYTES_MAX: usize = 1 << 20;

    fn new(announced: usize) -> Self {
        Self {
            announced,
            first: Bytes::new(),
            later: Vec::new(),
            bytes: 0,
        }
    }

    fn push(&mut self, data: Bytes) {
        match self.bytes {
            0 => {
                self.bytes = data.len();
                self.first = data;
            }
            _ => self.extend(&data),
        }
    }

    /// Copies.
    fn extend(&mut self, mut data: &[u8]) {
        if self.announced > self.bytes && self.later.is_empty() {
            let mut whole = Vec::with_capacity(self.announced);
            whole.extend_from_slice(&std::mem::take(&mut self.first));
            self.later.push(whole);
        }
        while !data.is_empty() {
            let piece = match self.later.last_mut() {
                Some(piece) if piece.len() < piece.capacity() => piece,
                _ => {
                    let bytes = self
                        .bytes
                        .clamp(Self::PIECE_BYTES_MIN, Self::PIECE_BYTES_MAX);
                    self.later.push(Vec::with_capacity(bytes));
                    continue;
                }
            };
            let (part, rest) = data.split_at(data.len().min(piece.capacity() - piece.len()));
            piece.extend_from_slice(part);
            self.bytes += part.len();
            data = rest;
        }
    }

    /// The whole body. `None` when the budget does not have the copy.
    fn join(mut self, share: &mut Share) -> Option<Bytes> {
        if self.later.is_empty() {
            return Some(self.first);
        }
        if self.first.is_empty()
            && let [whole] = &mut *self.later
        {
            return Some(std::mem::take(whole).into());
        }
        let bytes = self.bytes;
        if !share.grow(bytes) {
            return None;
        }
        let mut joined = Vec::with_capacity(bytes);
        joined.extend_from_slice(&self.first);
        for piece in self.later {
            joined.extend_from_slice(&piece);
        }
        // The pieces are gone.
        share.shrink(bytes);
        Some(joined.into())
    }
}

/// Throws away a bounded part of what the sender is still sending.
pub(crate) async fn drain(body: &mut Incoming) {
    let discard = async {
        let mut discarded = 0;
        while let Some(Ok(frame)) = body.frame().await {
            discarded += frame.data_ref().map_or(0, Bytes::len);
            if discarded > DRAIN_BYTES_MAX {
                break;
            }
        }
    };
    // Whether it ended in time does not matter: the connection is closed behind it.
    let _ = timeout(DRAIN_TIME_MAX, discard).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;

    #[test]
    fn a_body_is_what_was_sent_however_it_was_cut() {
        let sent: Vec<u8> = (0..3_000_000_u32).map(|byte| byte as u8).collect();
        for step in [1, 7, 4_096, 16_384, 16_385, 1 << 20, 2_999_999, 3_000_000] {
            let mut pieces = Pieces::new(0);
            for part in sent.chunks(step) {
                pieces.push(Bytes::copy_from_slice(part));
            }
            let held: usize = pieces.later.iter().map(Vec::capacity).sum();
            assert!(
                held < sent.len() + Pieces::PIECE_BYTES_MAX,
                "{step}: {held}"
            );
            assert!(pieces.later.len() < 10, "{step}: {}", pieces.later.len());
            let joined = pieces.join(&mut Budget::new(sent.len()).share());
            assert!(joined.expect("is in the budget") == sent, "{step}");
            // Announced: no copy, so no room for one is asked for.
            let mut pieces = Pieces::new(sent.len());
            for part in sent.chunks(step) {
                pieces.push(Bytes::copy_from_slice(part));
            }
            let joined = pieces.join(&mut Budget::new(0).share());
            assert!(joined.expect("needs no budget") == sent, "{step}");
        }
    }

    #[test]
    fn a_copy_that_the_budget_does_not_have_is_not_made() {
        let mut pieces = Pieces::new(0);
        pieces.push(Bytes::from_static(b"ab"));
        pieces.push(Bytes::from_static(b"c"));
        let mut share = Budget::new(2).share();
        assert_eq!(pieces.join(&mut share), None);
    }
}
