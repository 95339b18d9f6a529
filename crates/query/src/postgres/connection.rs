//! The life of one connection: TLS, then message by message until either side ends it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::StreamExt as _;
use pgwire::api::cancel::DefaultCancelHandler;
use pgwire::api::{ClientInfo as _, ConnectionManager, NoopHandler, PgWireConnectionState};
use pgwire::error::PgWireError;
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use pgwire::tokio::server::{
    PgWireMessageServerCodec, negotiate_tls, process_error, process_message,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::codec::{Framed, FramedParts};
use tokio_util::sync::CancellationToken;

use super::handler::{Prepared, Service};
use super::startup::{Door, fatal};

/// Bytes that a message may have besides the longest statement: parameters.
pub(super) const PARAMETERS_BYTES_MAX: usize = 1 << 20;
/// How long a client may take to say who it is.
const STARTUP_TIME_MAX: Duration = Duration::from_secs(30);

/// One connection, before it is served.
pub(super) struct Connection {
    /// The limit of connections, where this one is above it.
    pub(super) is_full: Option<usize>,
    pub(super) message_bytes_max: usize,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) service: Arc<Service>,
    pub(super) door: Arc<Door>,
    pub(super) connections: Arc<ConnectionManager>,
    pub(super) stop: CancellationToken,
}

type Socket<S> = Framed<Bounded<S>, PgWireMessageServerCodec<Arc<Prepared>>>;

impl Connection {
    pub(super) async fn run(self, socket: TcpStream) -> io::Result<()> {
        let peer = socket.peer_addr()?;
        let negotiated = tokio::select! {
            () = self.stop.cancelled() => return Ok(()),
            negotiated = timeout(STARTUP_TIME_MAX, negotiate_tls(socket, self.tls.clone())) => negotiated,
        };
        let Ok(negotiated) = negotiated else {
            return Ok(());
        };
        // TLS at once, where there is none.
        let Some(framed) = negotiated? else {
            return Ok(());
        };
        let parts = framed.into_parts();
        let mut bounded = Bounded::new(parts.io, self.message_bytes_max);
        bounded.watch.see(&parts.read_buf)?;
        let mut bounded = FramedParts::new::<PgWireBackendMessage>(bounded, parts.codec);
        bounded.read_buf = parts.read_buf;
        bounded.write_buf = parts.write_buf;
        self.serve(Framed::from_parts(bounded), peer).await
    }

    async fn serve<S>(&self, mut socket: Socket<S>, peer: SocketAddr) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + Sync + 'static,
    {
        let cancel = Arc::new(DefaultCancelHandler::new(Arc::clone(&self.connections)));
        let nothing = Arc::new(NoopHandler);
        loop {
            let message = tokio::select! {
                () = self.stop.cancelled() => {
                    let stopping = fatal("57P01", "the server is stopping".to_owned());
                    return process_error(&mut socket, stopping, false).await;
                }
                message = next(&mut socket) => message,
            };
            let message = match message {
                Some(Ok(message)) => message,
                Some(Err(error)) => return self.refuse(&mut socket, error).await,
                None => return Ok(()),
            };
            if matches!(message, PgWireFrontendMessage::Terminate(_)) {
                return Ok(());
            }
            let is_cancel = matches!(message, PgWireFrontendMessage::CancelRequest(_));
            if let Some(max) = self.is_full
                && !is_cancel
            {
                let full = format!(
                    "there are {max} connections already (limit `connections_max`): close some, or raise the limit"
                );
                return process_error(&mut socket, fatal("53300", full), false).await;
            }
            let is_extended = message.is_extended_query();
            let processing = process_message(
                message,
                &mut socket,
                Arc::clone(&self.door),
                Arc::clone(&self.service),
                Arc::clone(&self.service),
                Arc::clone(&nothing),
                Arc::clone(&cancel),
            );
            let processed = tokio::select! {
                // What runs is dropped, and ends.
                () = self.stop.cancelled() => Err(fatal("57P01", "the server is stopping".to_owned())),
                processed = processing => processed,
            };
            if let Err(error) = processed {
                self.note(&error, peer);
                let is_fatal = error.is_fatal();
                process_error(&mut socket, error, is_extended).await?;
                if is_fatal {
                    return Ok(());
                }
            }
            if is_cancel {
                return Ok(());
            }
        }
    }

    /// Ends a connection whose bytes are no message.
    async fn refuse<S>(&self, socket: &mut Socket<S>, error: PgWireError) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + Sync + 'static,
    {
        let error = match error {
            PgWireError::IoError(error) if error.kind() == io::ErrorKind::InvalidData => {
                self.service.metrics().refused("statement");
                fatal("54000", error.to_string())
            }
            PgWireError::IoError(error) => return Err(error),
            error => error,
        };
        process_error(socket, error, false).await
    }

    fn note(&self, error: &PgWireError, peer: SocketAddr) {
        if matches!(error, PgWireError::InvalidPassword(_)) {
            self.service.metrics().login_refused();
            tracing::warn!(%peer, error = %error, "a client of PostgreSQL's protocol was not let in");
        }
    }
}

/// The next message; `None` when the client is gone, or takes too long to say who it is.
async fn next<S>(socket: &mut Socket<S>) -> Option<Result<PgWireFrontendMessage, PgWireError>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + Sync + 'static,
{
    match socket.state() {
        PgWireConnectionState::AwaitingStartup
        | PgWireConnectionState::AuthenticationInProgress => {
            timeout(STARTUP_TIME_MAX, socket.next())
                .await
                .ok()
                .flatten()
        }
        _ => socket.next().await,
    }
}

/// Reads no message that is longer than allowed.
struct Bounded<S> {
    inner: S,
    watch: Watch,
}

impl<S> Bounded<S> {
    fn new(inner: S, max: usize) -> Self {
        Self {
            inner,
            watch: Watch::new(max),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        let seen = self.watch.see(&buffer.filled()[before..]);
        Poll::Ready(seen)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// Follows the lengths of messages in a stream of bytes: the first has no type, each other one begins with it.
#[derive(Debug)]
struct Watch {
    max: usize,
    /// Bytes of the message that are still to come.
    left: usize,
    /// Bytes of the head that were seen.
    head: Vec<u8>,
    has_type: bool,
}

/// Bytes of a length, which counts itself.
const LENGTH_BYTES: usize = 4;

impl Watch {
    fn new(max: usize) -> Self {
        Self {
            max,
            left: 0,
            head: Vec::with_capacity(LENGTH_BYTES + 1),
            has_type: false,
        }
    }

    fn see(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len());
                self.left -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let (first, rest) = (bytes[0], &bytes[1..]);
            self.head.push(first);
            bytes = rest;
            let type_bytes = usize::from(self.has_type);
            let Some(length) = self.head.get(type_bytes..) else {
                continue;
            };
            let Ok(length) = <[u8; LENGTH_BYTES]>::try_from(length) else {
                continue;
            };
            let length = u32::from_be_bytes(length) as usize;
            if length > self.max {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!(
                        "a message of {length} bytes, but a statement with its parameters may have {} (limit \
                         `statement_bytes_max`)",
                        self.max
                    ),
                ));
            }
            self.left = length.saturating_sub(LENGTH_BYTES);
            self.head.clear();
            self.has_type = true;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_are_seen_however_they_are_cut() {
        let startup = [&8_u32.to_be_bytes()[..], b"abcd"].concat();
        let query = |length: u32| {
            [
                &b"Q"[..],
                &length.to_be_bytes(),
                &vec![0; length as usize - 4],
            ]
            .concat()
        };
        let fits = [startup.clone(), query(100), query(4), query(100)].concat();
        let long = [startup, query(100), query(101)].concat();
        for cut in 1..20 {
            let all = |bytes: &[u8]| {
                let mut watch = Watch::new(100);
                bytes.chunks(cut).try_for_each(|part| watch.see(part))
            };
            assert!(all(&fits).is_ok(), "in parts of {cut}");
            assert_eq!(
                all(&long).expect_err("too long").to_string(),
                "a message of 101 bytes, but a statement with its parameters may have 100 (limit \
                 `statement_bytes_max`)"
            );
        }
    }
}
