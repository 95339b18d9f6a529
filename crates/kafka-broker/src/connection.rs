//! One connection: frames in, answers out in the order of their requests.
//!
//! ```text
//! socket ─► TLS ─► read ─► api::start ─► queue of answers ─► write ─► socket
//! ```
//!
//! A request is begun as soon as it is read; only its answer waits for those before it. The queue is bounded and is
//! the backpressure.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{debug, warn};
use types::report;

use crate::api::{self, Answer, Connection, RequestError};
use crate::security::Session;
use crate::shared::Shared;

/// Bytes of the length in front of a frame.
const LENGTH_BYTES: usize = 4;
/// What is reserved for a frame at once, before its bytes have come.
const RESERVE_BYTES: usize = 1 << 20;

/// Largest request of somebody who has not said who they are, in bytes.
const UNKNOWN_REQUEST_BYTES_MAX: u32 = 64 << 10;

/// Why a connection ended before the peer closed it.
#[derive(Debug, thiserror::Error)]
enum ConnectionError {
    #[error("frame of {bytes} bytes, must not exceed request_bytes_max = {bytes_max}")]
    FrameTooLarge { bytes: u32, bytes_max: u32 },
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("nobody could be recognised within {patience:?}")]
    Slow { patience: Duration },
    #[error("authentication has failed")]
    Authentication,
    #[error("socket")]
    Io(#[from] io::Error),
}

/// Serves a connection until either side ends it.
pub(crate) async fn serve(shared: Arc<Shared>, stream: TcpStream) {
    let stop = shared.stop.clone();
    let result = tokio::select! {
        result = open(&shared, stream) => result,
        () = stop.cancelled() => Ok(()),
    };
    match result {
        Ok(()) => {}
        Err(ConnectionError::Io(error)) => debug!(%error, "connection lost"),
        Err(error) => warn!(error = report(&error), "connection closed"),
    }
}

/// Shakes hands where that is wanted.
async fn open(shared: &Arc<Shared>, stream: TcpStream) -> Result<(), ConnectionError> {
    stream.set_nodelay(true)?;
    let (peer, local) = (stream.peer_addr()?, stream.local_addr()?);
    let private = shared.tls.is_some() || local.ip().is_loopback();
    let connection = |subject: Option<&str>| {
        let session = Session::new(Arc::clone(&shared.directory), subject, private);
        Connection {
            shared: Arc::clone(shared),
            peer,
            local,
            session: Mutex::new(session),
        }
    };
    let Some(tls) = &shared.tls else {
        let (reader, writer) = stream.into_split();
        return converse(connection(None), reader, writer).await;
    };
    let patience = shared.config.authentication_timeout;
    let shaken = tokio::time::timeout(patience, tls.accept(stream)).await;
    let (stream, subject) = shaken.map_err(|_| ConnectionError::Slow { patience })??;
    let (reader, writer) = tokio::io::split(stream);
    converse(connection(subject.as_deref()), reader, writer).await
}

async fn converse(
    connection: Connection,
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin + Send + 'static,
) -> Result<(), ConnectionError> {
    let in_flight = connection.shared.config.requests_in_flight_max.max(1);
    let (sender, receiver) = mpsc::channel(in_flight);
    // A task of its own, so that an answer goes out while the next request comes in.
    let mut writing = Writing(tokio::spawn(write(writer, receiver)));
    let read = tokio::select! {
        read = read(&connection, reader, sender) => read,
        written = &mut writing.0 => return written.map_err(io::Error::other)?,
    };
    if let Err(ConnectionError::Authentication) = read {
        // It is told so before the connection ends.
        return writing.finish().await;
    }
    writing.abort().await;
    read
}

/// The task that writes. It ends with whoever waits for it, for it holds on to the broker.
struct Writing(JoinHandle<Result<(), ConnectionError>>);

impl Writing {
    async fn finish(mut self) -> Result<(), ConnectionError> {
        (&mut self.0).await.map_err(io::Error::other)?
    }

    async fn abort(mut self) {
        self.0.abort();
        let _aborted = (&mut self.0).await;
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn read(
    connection: &Connection,
    mut reader: impl AsyncRead + Unpin,
    answers: mpsc::Sender<Answer>,
) -> Result<(), ConnectionError> {
    let shared = &connection.shared;
    let bytes_max = shared.config.request_bytes_max;
    let patience = shared.config.authentication_timeout;
    let deadline = Instant::now() + patience;
    let mut buffer = BytesMut::new();
    loop {
        let frame = if connection.is_known() {
            next_frame(&mut reader, &mut buffer, bytes_max).await?
        } else if connection.has_failed() {
            return Err(ConnectionError::Authentication);
        } else {
            let bytes_max = bytes_max.min(UNKNOWN_REQUEST_BYTES_MAX);
            let next = next_frame(&mut reader, &mut buffer, bytes_max);
            let next = tokio::time::timeout_at(deadline, next).await;
            next.map_err(|_| ConnectionError::Slow { patience })??
        };
        let Some(frame) = frame else {
            return Ok(());
        };
        shared.counters.requests.fetch_add(1, Ordering::Relaxed);
        // A failed disk is answered, request by request.
        let _failed = shared.wait_for_room().await;
        let answer = api::start(connection, frame)?;
        if answers.send(answer).await.is_err() {
            return Ok(());
        }
    }
}

/// The next frame without its length; `None` when the peer has closed between two.
async fn next_frame(
    reader: &mut (impl AsyncRead + Unpin),
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
    mut writer: impl AsyncWrite + Unpin,
    mut answers: mpsc::Receiver<Answer>,
) -> Result<(), ConnectionError> {
    while let Some(answer) = answers.recv().await {
        let bytes = match answer {
            Answer::Now(bytes) => bytes,
            Answer::Later(waiting) => waiting.await?,
        };
        if let Some(bytes) = bytes {
            writer.write_all(&bytes).await?;
            // Nothing to a socket; TLS may hold something back.
            writer.flush().await?;
        }
    }
    Ok(())
}
