//! Reading a request's body within its limits.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;

use crate::budget::Share;

/// Why a body was not read.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// More bytes than a request may have.
    TooLarge,
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

/// Reads a whole body. Its bytes are counted in `share` as they come, not as they are announced.
pub(crate) async fn read(
    body: &mut Incoming,
    bytes_max: usize,
    time_max: Duration,
    share: &mut Share,
) -> Result<Bytes, BodyError> {
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(BodyError::TooLarge);
    }
    let announced = body.size_hint().exact().unwrap_or(0);
    let announced = usize::try_from(announced).unwrap_or(0);
    match timeout(time_max, collect(body, announced, bytes_max, share)).await {
        Ok(result) => result,
        Err(_) => Err(BodyError::Slow),
    }
}

async fn collect(
    body: &mut Incoming,
    announced: usize,
    bytes_max: usize,
    share: &mut Share,
) -> Result<Bytes, BodyError> {
    let mut pieces = Pieces::new(announced);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else {
            continue;
        };
        if pieces.bytes + data.len() > bytes_max {
            return Err(BodyError::TooLarge);
        }
        if !share.grow(data.len()) {
            return Err(BodyError::Busy);
        }
        pieces.push(data);
    }
    pieces.join(share).ok_or(BodyError::Busy)
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

    fn push(&mut self, mut data: Bytes) {
        if self.bytes == 0 {
            self.bytes = data.len();
            self.first = data;
            return;
        }
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
            let part = data.split_to(data.len().min(piece.capacity() - piece.len()));
            piece.extend_from_slice(&part);
            self.bytes += part.len();
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
