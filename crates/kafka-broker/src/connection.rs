//! One connection: frames in, answers out in the order of their requests.
//!
//! ```text
//! socket ─► read ─► api::start ─► queue of answers ─► write ─► socket
//! ```
//!
//! A request is begun as soon as it is read; only its answer waits for those before it. The queue is bounded and is
//! the backpressure.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tracing::{debug, warn};
use types::report;

use crate::api::{self, Answer, Connection, RequestError};
use crate::shared::Shared;

/// Bytes of the length in front of a frame.
const LENGTH_BYTES: usize = 4;
/// What is reserved for a frame at once, before its bytes have come.
const RESERVE_BYTES: usize = 1 << 20;

/// Why a connection ended before the peer closed it.
#[derive(Debug, thiserror::Error)]
enum ConnectionError {
    #[error("frame of {bytes} bytes, must not exceed request_bytes_max = {bytes_max}")]
    FrameTooLarge { bytes: u32, bytes_max: u32 },
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("socket")]
    Io(#[from] io::Error),
}

/// Serves a connection until either side ends it.
pub(crate) async fn serve(shared: Arc<Shared>, stream: TcpStream) {
    let stop = shared.stop.clone();
    let result = async {
        stream.set_nodelay(true)?;
        let connection = Connection {
            shared: Arc::clone(&shared),
            peer: stream.peer_addr()?,
            local: stream.local_addr()?,
        };
        let (reader, writer) = stream.into_split();
        let (sender, receiver) = mpsc::channel(shared.config.requests_in_flight_max.max(1));
        // A task of its own, so that an answer goes out while the next request comes in.
        let mut writing = tokio::spawn(write(writer, receiver));
        let read = tokio::select! {
            read = read(&connection, reader, sender) => read,
            written = &mut writing => return written.map_err(io::Error::other)?,
            () = stop.cancelled() => Ok(()),
        };
        writing.abort();
        // Until it is gone it holds on to the broker.
        let _aborted = writing.await;
        read
    };
    match result.await {
        Ok(()) => {}
        Err(ConnectionError::Io(error)) => debug!(%error, "connection lost"),
        Err(error) => warn!(error = report(&error), "connection closed"),
    }
}

async fn read(
    connection: &Connection,
    mut reader: OwnedReadHalf,
    answers: mpsc::Sender<Answer>,
) -> Result<(), ConnectionError> {
    let shared = &connection.shared;
    let mut buffer = BytesMut::new();
    while let Some(frame) =
        next_frame(&mut reader, &mut buffer, shared.config.request_bytes_max).await?
    {
        shared.counters.requests.fetch_add(1, Ordering::Relaxed);
        // A failed disk is answered, request by request.
        let _failed = shared.wait_for_room().await;
        let answer = api::start(connection, frame)?;
        if answers.send(answer).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// The next frame without its length; `None` when the peer has closed between two.
async fn next_frame(
    reader: &mut OwnedReadHalf,
    buffer: &mut BytesMut,
    bytes_max: u32,
) -> Result<Option<Bytes>, ConnectionError> {
    loop {
        let mut missing = LENGTH_BYTES;
        if let Some(length) = buffer.first_chunk::<LENGTH_BYTES>() {
            let bytes = u32::from_be_bytes(*length);
            // Before anything is reserved for it.
            if bytes > bytes_max {
                return Err(ConnectionError::FrameTooLarge { bytes, bytes_max });
            }
            let whole = LENGTH_BYTES + bytes as usize;
            if buffer.len() >= whole {
                let mut frame = buffer.split_to(whole).freeze();
                frame.advance(LENGTH_BYTES);
                return Ok(Some(frame));
            }
            missing = whole - buffer.len();
        }
        // What the peer claims is believed only as far as it has sent something.
        buffer.reserve(missing.min(RESERVE_BYTES.max(buffer.len())).max(4096));
        if reader.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

async fn write(
    mut writer: OwnedWriteHalf,
    mut answers: mpsc::Receiver<Answer>,
) -> Result<(), ConnectionError> {
    while let Some(answer) = answers.recv().await {
        let bytes = match answer {
            Answer::Now(bytes) => bytes,
            Answer::Later(waiting) => waiting.await?,
        };
        if let Some(bytes) = bytes {
            writer.write_all(&bytes).await?;
        }
    }
    Ok(())
}
