//! One socket: the task that reads and writes, and what its sessions share with it.
//!
//! ```text
//! Session ──bytes──▶ Shared ──▶ drive (here) ──▶ socket
//! Session ◀─segments by conversation── drive (here) ◀── socket
//! ```
//!
//! Invariant: a segment goes to the inbox of its conversation or nowhere; what waits in an inbox is
//! bounded, and who exceeds it loses the connection.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use mq_wire::{
    Flow, Header, HeaderKind, Segment, SegmentType, SocketAction, WireError, flags, notification,
    socket_action,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tracing::debug;

use crate::error::ClientError;
use crate::start::{Agreed, Started};

/// Read at least this much at a time.
const READ_BYTES: usize = 32 << 10;
/// Written bytes above which the buffer's memory is given back.
const SPARE_BYTES: usize = 1 << 20;
/// Silence beyond the agreed interval after which the other side is taken for dead.
const HEARTBEAT_GRACE: Duration = Duration::from_secs(30);
/// Bytes that may wait for a session beside one message of the greatest length.
const INBOX_BYTES: usize = 4 << 20;

/// Why a socket ended; every session learns it.
#[derive(Debug, Clone)]
enum End {
    /// By ourselves.
    Closed,
    Io(Arc<io::Error>),
    Wire(WireError),
    Status(i32),
    Silence(Duration),
    /// More was sent than was asked for.
    Flood,
}

#[derive(Debug, Default)]
struct Outgoing {
    bytes: BytesMut,
    ended: bool,
}

#[derive(Debug, Default)]
struct Sessions {
    inboxes: HashMap<u32, Inbox>,
    end: Option<End>,
}

#[derive(Debug, Clone)]
struct Inbox {
    sender: mpsc::UnboundedSender<Segment>,
    waiting: Arc<AtomicUsize>,
}

/// What sessions share with the task.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) agreed: Agreed,
    outgoing: Mutex<Outgoing>,
    filled: Notify,
    sessions: Mutex<Sessions>,
    next_id: AtomicU32,
    quiescing: AtomicBool,
}

/// A session's end of the socket.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: u32,
    inbox: mpsc::UnboundedReceiver<Segment>,
    waiting: Arc<AtomicUsize>,
}

impl Shared {
    pub(crate) fn new(agreed: Agreed) -> Arc<Self> {
        Arc::new(Self {
            agreed,
            outgoing: Mutex::default(),
            filled: Notify::new(),
            sessions: Mutex::default(),
            next_id: AtomicU32::new(1),
            quiescing: AtomicBool::new(false),
        })
    }

    fn outgoing(&self) -> MutexGuard<'_, Outgoing> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a message to be sent.
    pub(crate) fn send(&self, header: Header, flow: &Flow) -> Result<(), WireError> {
        let mut outgoing = self.outgoing();
        let written = flow.write(header, self.agreed.segment_bytes_max, &mut outgoing.bytes);
        drop(outgoing);
        self.filled.notify_one();
        written
    }

    /// Whether the queue manager said that it ends soon.
    pub(crate) fn is_quiescing(&self) -> bool {
        self.quiescing.load(Ordering::Relaxed)
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.sessions().end.is_some()
    }

    /// A further conversation, if the socket has room for one.
    pub(crate) fn port(self: &Arc<Self>) -> Option<Port> {
        if self.outgoing().ended {
            return None;
        }
        let mut sessions = self.sessions();
        let max = self.agreed.conversations_max.max(1) as usize;
        if sessions.end.is_some() || sessions.inboxes.len() >= max {
            return None;
        }
        // Odd numbers, as IBM's client gives them.
        let id = self.next_id.fetch_add(2, Ordering::Relaxed);
        let (sender, inbox) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let entry = Inbox {
            sender,
            waiting: Arc::clone(&waiting),
        };
        sessions.inboxes.insert(id, entry);
        Some(Port {
            shared: Arc::clone(self),
            id,
            inbox,
            waiting,
        })
    }

    /// What a session is told whose call cannot be answered any more.
    pub(crate) fn ended(&self, call: &'static str) -> ClientError {
        match self.sessions().end.clone() {
            Some(End::Io(source)) => ClientError::Broken {
                call,
                source: Some(source),
            },
            Some(End::Wire(error)) => ClientError::Wire(error),
            Some(End::Status(code)) => ClientError::Status { code },
            Some(End::Silence(after)) => ClientError::Silence { call, after },
            Some(End::Closed | End::Flood) | None => ClientError::Broken { call, source: None },
        }
    }

    /// Nothing more is sent after what waits.
    pub(crate) fn close(&self) {
        self.outgoing().ended = true;
        self.filled.notify_one();
    }

    fn end(&self, end: End) {
        debug!(?end, "MQ connection ended");
        let mut sessions = self.sessions();
        sessions.end.get_or_insert(end);
        // Their receivers see the end.
        sessions.inboxes.clear();
    }
}

impl Port {
    /// The next segment for this session; `None` when the socket has ended. Cancel safe.
    pub(crate) async fn receive(&mut self) -> Option<Segment> {
        let segment = self.inbox.recv().await?;
        self.waiting
            .fetch_sub(segment.body.len(), Ordering::Relaxed);
        Some(segment)
    }

    /// Header of a call.
    pub(crate) fn header(&self, segment_type: SegmentType) -> Header {
        Header::new(segment_type, self.shared.agreed.kind(self.id, 0))
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let shared = &self.shared;
        let last = {
            let mut sessions = shared.sessions();
            sessions.inboxes.remove(&self.id);
            sessions.inboxes.is_empty()
        };
        // Goodbye of the conversation; with the last one the socket goes. What is not committed is
        // backed out by the other side.
        let close = if last { flags::CLOSE } else { 0 };
        let goodbye = match shared.agreed.conversations_max {
            0 => {
                let header = Header::new(SegmentType::STATUS, HeaderKind::Plain);
                shared.send(header.with_flags(flags::WHOLE | close), &Flow::Status(None))
            }
            _ => {
                let header = Header::new(SegmentType::SOCKET_ACTION, HeaderKind::Control);
                let action = SocketAction {
                    conversation: self.id,
                    action: socket_action::END,
                    ..SocketAction::default()
                };
                shared.send(
                    header.with_flags(flags::WHOLE | close),
                    &Flow::SocketAction(action),
                )
            }
        };
        if let Err(error) = goodbye {
            debug!(%error, "no goodbye");
        }
        if last {
            shared.close();
        }
    }
}

/// Reads and writes until the end.
pub(crate) async fn drive<S>(started: Started<S>, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (reader, writer) = tokio::io::split(started.stream);
    let mut incoming = Incoming {
        segments: started.segments,
        assembler: started.assembler,
        buffer: started.buffer,
        shared: Arc::clone(&shared),
    };
    let end = tokio::select! {
        end = incoming.read(reader) => end,
        end = write(writer, &shared) => end,
    };
    shared.end(end);
}

async fn write<W: AsyncWrite + Unpin>(mut socket: W, shared: &Shared) -> End {
    let mut spare = BytesMut::with_capacity(READ_BYTES);
    loop {
        let ended = {
            let mut outgoing = shared.outgoing();
            std::mem::swap(&mut outgoing.bytes, &mut spare);
            outgoing.ended
        };
        if spare.is_empty() {
            if ended {
                // Whether the other side hears of it does not matter any more.
                let _ = socket.shutdown().await;
                return End::Closed;
            }
            shared.filled.notified().await;
            // Other sessions may be about to call: one write for all of them.
            tokio::task::yield_now().await;
            continue;
        }
        if let Err(error) = socket.write_all(&spare).await {
            return End::Io(Arc::new(error));
        }
        if let Err(error) = socket.flush().await {
            return End::Io(Arc::new(error));
        }
        if spare.capacity() > SPARE_BYTES {
            spare = BytesMut::with_capacity(READ_BYTES);
        }
        spare.clear();
    }
}

struct Incoming {
    segments: mq_wire::SegmentReader,
    assembler: mq_wire::Assembler,
    buffer: BytesMut,
    shared: Arc<Shared>,
}

impl Incoming {
    async fn read<R: AsyncRead + Unpin>(&mut self, mut socket: R) -> End {
        let interval = match self.shared.agreed.heartbeat_seconds {
            0 => None,
            seconds => Some(Duration::from_secs(u64::from(seconds))),
        };
        let mut heard = Instant::now();
        let mut asked = false;
        loop {
            if let Err(end) = self.take_all() {
                return end;
            }
            let wanted = self.segments.wanted(&self.buffer);
            self.buffer.reserve(wanted.max(READ_BYTES));
            let next = interval.map(|interval| match asked {
                false => heard + interval,
                true => heard + interval + HEARTBEAT_GRACE,
            });
            tokio::select! {
                read = socket.read_buf(&mut self.buffer) => match read {
                    Ok(0) => return End::Io(Arc::new(io::ErrorKind::UnexpectedEof.into())),
                    Ok(_) => {
                        heard = Instant::now();
                        asked = false;
                    }
                    Err(error) => return End::Io(Arc::new(error)),
                },
                () = sleep_until(next) => {
                    if asked {
                        return End::Silence(heard.elapsed());
                    }
                    asked = true;
                    self.heartbeat(flags::CONFIRM | flags::WHOLE);
                }
            }
        }
    }

    fn take_all(&mut self) -> Result<(), End> {
        while let Some(segment) = self.segments.next(&mut self.buffer).map_err(End::Wire)? {
            if let Some(message) = self.assembler.push(segment).map_err(End::Wire)? {
                self.take(message)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, message: Segment) -> Result<(), End> {
        let header = message.header;
        match header.segment_type {
            SegmentType::HEARTBEAT => {
                if header.flags & flags::CONFIRM != 0 {
                    self.heartbeat(0);
                }
                return Ok(());
            }
            SegmentType::STATUS => {
                return match Flow::read(message).map_err(End::Wire)? {
                    Flow::Status(Some(status)) => Err(End::Status(status.code)),
                    _ => Err(End::Status(0)),
                };
            }
            SegmentType::NOTIFICATION => {
                if let Flow::Notification(news) = Flow::read(message.clone()).map_err(End::Wire)?
                    && news.code == notification::QUIESCING
                {
                    self.shared.quiescing.store(true, Ordering::Relaxed);
                    return Ok(());
                }
            }
            _ => {}
        }
        let found = {
            let sessions = self.shared.sessions();
            match header.conversation() {
                Some(conversation) => sessions.inboxes.get(&conversation.id).cloned(),
                None => sessions.inboxes.values().next().cloned(),
            }
        };
        // Of a session that has ended meanwhile: nobody waits for it.
        let Some(inbox) = found else { return Ok(()) };
        let bytes = message.body.len();
        let waiting = inbox.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if waiting > INBOX_BYTES + self.shared.agreed.message_bytes_max as usize {
            return Err(End::Flood);
        }
        let _ = inbox.sender.send(message);
        Ok(())
    }

    fn heartbeat(&self, flags: u8) {
        let kind = self.shared.agreed.control();
        let header = Header::new(SegmentType::HEARTBEAT, kind).with_flags(flags);
        if let Err(error) = self.shared.send(header, &Flow::Heartbeat) {
            debug!(%error, "no heartbeat");
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
