//! Sockets: accepting, serving, and cutting those that accept nothing.
//!
//! A body that is a stream is not polled while its socket is full, so no timer inside it would
//! fire. The watchdog is therefore outside: it looks at when the socket last took something.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use telemetry::Meter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::tls::Tls;

/// Longest wait for a request's head; also for the next request on a connection that is kept.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);

/// Longest wait for a handshake.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// What a connection needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) stall_max: Duration,
    pub(crate) buffer_bytes: usize,
    pub(crate) clients_cut: Arc<Meter>,
    /// Spoken before anything else.
    pub(crate) tls: Option<Tls>,
}

/// Since when a socket has been full, in milliseconds after `origin`, plus one; 0: it is not.
#[derive(Debug)]
struct Stall {
    origin: Instant,
    since: AtomicU64,
}

impl Stall {
    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    fn note<T>(&self, result: &Poll<io::Result<T>>) {
        match result {
            Poll::Ready(_) => self.since.store(0, Relaxed),
            Poll::Pending => {
                let now = self.now();
                // Only the first "full" counts.
                let _ = self.since.compare_exchange(0, now, Relaxed, Relaxed);
            }
        }
    }

    fn lasts(&self) -> Duration {
        match self.since.load(Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_millis(self.now().saturating_sub(since)),
        }
    }
}

/// A socket whose writes are watched.
struct Watched {
    socket: TcpStream,
    stall: Arc<Stall>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.stall.note(&result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.stall.note(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// Serves a connection until either side ends it, it is cut, or shutdown lets it finish.
pub(crate) async fn serve(
    socket: TcpStream,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) {
    // Events are small and must leave at once.
    let _ = socket.set_nodelay(true);
    let stall = Arc::new(Stall {
        origin: Instant::now(),
        since: AtomicU64::new(0),
    });
    let watched = Watched {
        socket,
        stall: Arc::clone(&stall),
    };
    let Some(Tls(tls)) = &limits.tls else {
        return drive(watched, router, &stall, &limits, shutdown).await;
    };
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(HANDSHAKE_TIME_MAX, tls.accept(watched)) => shaken,
        () = shutdown.cancelled() => return,
    };
    match shaken {
        Ok(Ok(stream)) => drive(stream, router, &stall, &limits, shutdown).await,
        Ok(Err(error)) => debug!(error = types::report(&error), "a handshake failed"),
        Err(_) => debug!("a handshake took too long"),
    }
}

async fn drive(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    router: Router,
    stall: &Stall,
    limits: &Limits,
    shutdown: CancellationToken,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(limits.buffer_bytes)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let mut watch = tokio::time::interval((limits.stall_max / 4).max(Duration::from_millis(10)));
    let mut stopping = false;
    loop {
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    debug!(error = types::report(&error), "a connection broke");
                }
                return;
            }
            _ = watch.tick() => {
                if stall.lasts() >= limits.stall_max {
                    limits.clients_cut.add(1);
                    return;
                }
            }
            () = shutdown.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}
