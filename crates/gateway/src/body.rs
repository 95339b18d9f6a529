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
    match timeout(time_max, collect(body, bytes_max, share)).await {
        Ok(result) => result,
        Err(_) => Err(BodyError::Slow),
    }
}

async fn collect(
    body: &mut Incoming,
    bytes_max: usize,
    share: &mut Share,
) -> Result<Bytes, BodyError> {
    let mut first = Bytes::new();
    let mut joined: Vec<u8> = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else {
            continue;
        };
        if first.len().max(joined.len()) + data.len() > bytes_max {
            return Err(BodyError::TooLarge);
        }
        if !share.grow(data.len()) {
            return Err(BodyError::Busy);
        }
        if first.is_empty() && joined.is_empty() {
            // Nearly every single transaction arrives in one piece and is not copied.
            first = data;
            continue;
        }
        if joined.is_empty() {
            joined.extend_from_slice(&first);
        }
        joined.extend_from_slice(&data);
    }
    Ok(if joined.is_empty() {
        first
    } else {
        joined.into()
    })
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
