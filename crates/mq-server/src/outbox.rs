//! What waits to be sent on a socket. Conversations add whole messages; one task writes.
//!
//! Invariant: what waits is bounded. Above the limit, conversations wait in [`Outbox::room`] before
//! they begin the next call: a client that never reads stops only itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use mq_wire::{Flow, Header, WireError};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

#[derive(Debug)]
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    /// Something waits, or it is the end.
    filled: Notify,
    /// There is room again.
    emptied: Notify,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: BytesMut,
    /// Nothing more will come.
    ended: bool,
}

impl Outbox {
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::default(),
            filled: Notify::new(),
            emptied: Notify::new(),
            bytes_max,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message.
    pub(crate) fn send(
        &self,
        header: Header,
        flow: &Flow,
        segment_bytes_max: u32,
    ) -> Result<(), WireError> {
        let mut waiting = self.lock();
        let result = flow.write(header, segment_bytes_max, &mut waiting.bytes);
        drop(waiting);
        self.filled.notify_one();
        result
    }

    /// Waits until what waits is below the limit. Cancel safe.
    pub(crate) async fn room(&self) {
        loop {
            let emptied = self.emptied.notified();
            {
                let waiting = self.lock();
                if waiting.bytes.len() < self.bytes_max || waiting.ended {
                    return;
                }
            }
            emptied.await;
        }
    }

    /// What waits is still sent.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.filled.notify_one();
        self.emptied.notify_waiters();
    }

    /// Writes until the end or an error of the socket.
    pub(crate) async fn write_to<W: AsyncWrite + Unpin>(
        &self,
        mut socket: W,
    ) -> std::io::Result<()> {
        let mut spare = BytesMut::with_capacity(8 << 10);
        loop {
            let ended = {
                let mut waiting = self.lock();
                std::mem::swap(&mut waiting.bytes, &mut spare);
                waiting.ended
            };
            if spare.is_empty() {
                if ended {
                    return socket.shutdown().await;
                }
                self.filled.notified().await;
                // Other conversations may be about to answer: one write for all of them.
                tokio::task::yield_now().await;
                continue;
            }
            socket.write_all(&spare).await?;
            // Memory of a large message is given back.
            if spare.capacity() > 256 << 10 {
                spare = BytesMut::with_capacity(8 << 10);
            }
            spare.clear();
            self.emptied.notify_waiters();
        }
    }
}
