//! One socket: its start, its conversations, heartbeats, and its end.
//!
//! ```text
//! socket ──segments──▶ reader (here) ──by conversation──▶ Conversation ──▶ Outbox ──▶ socket
//! ```

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures::future::{FusedFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use mq_wire::{
    Assembler, Chars, Conversation as Address, Flow, Header, HeaderKind, Id102, Id208, IdBase,
    InitialData, Notification, SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN,
    Segment, SegmentReader, SegmentType, SocketAction, Status, WireError, flags, notification,
    socket_action, status_code,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::conversation::{Conversation, Setting};
use crate::listener::Shared;
use crate::options::Channel;
use crate::outbox::Outbox;
use crate::registry::Entry;
use crate::security::Applicant;

/// FAP level that we answer at most: with it, and an identifier structure of 208 bytes, clients send
/// passwords in clear (inside TLS) instead of protecting them in a way that is not published.
const FAP_LEVEL: u8 = 10;
/// Most conversations on a socket, whatever the channel says.
const CONVERSATIONS_MAX: u32 = 9_999;
/// Segments that wait for a conversation. A client sends the next call after the reply to the last;
/// only asynchronous puts gather.
const INBOX_SEGMENTS: usize = 64;
/// Read at least this much at a time.
const READ_BYTES: usize = 16 << 10;
/// Silence is forgiven this much longer than agreed, as IBM MQ does for short intervals.
const HEARTBEAT_GRACE: Duration = Duration::from_secs(60);

/// What waits to be sent when a socket ends is tried this long.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a socket ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the client closed the socket")]
    Closed,
    #[error("cannot read from the socket")]
    Read(#[source] std::io::Error),
    #[error("the client does not speak the protocol")]
    Wire(#[from] WireError),
    #[error("{0}")]
    Protocol(&'static str),
    #[error("there is no channel {0:?}")]
    Channel(String),
    #[error("nothing was heard for {0:?}")]
    Silence(Duration),
    #[error("no MQCONN within {0} s")]
    Handshake(u64),
    #[error("the queue manager stops")]
    Stop,
    #[error("the client said goodbye")]
    Goodbye,
}

/// Serves one socket to its end.
pub(crate) async fn serve<S>(
    shared: &Arc<Shared>,
    stream: S,
    peer: SocketAddr,
    certificate: Option<String>,
) where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (reader, writer) = tokio::io::split(stream);
    let outbox = Outbox::new(shared.options.unsent_bytes_max);
    let gone = CancellationToken::new();
    let (starting, started) = mpsc::unbounded_channel();
    let mut socket = Socket {
        shared: Arc::clone(shared),
        outbox: Arc::clone(&outbox),
        gone: gone.clone(),
        starting,
        setting: None,
        inboxes: HashMap::new(),
        applicant: Applicant {
            address: Some(peer.ip()),
            certificate,
            ..Applicant::default()
        },
        last_sent_heartbeat: None,
        connected: CancellationToken::new(),
        entry: None,
        peer,
    };
    let mut writing = pin!(outbox.write_to(writer).fuse());
    let mut conversing = pin!(converse(started));
    // In the order a call takes: what is read is answered and written without another task, nor
    // another turn of the scheduler.
    let end = tokio::select! {
        biased;
        end = socket.read(reader) => end,
        () = &mut conversing => End::Closed,
        // A writer that fails (the client is gone) ends the reader too.
        written = &mut writing => match written {
            Err(error) => End::Read(error),
            Ok(()) => End::Closed,
        },
        () = gone.cancelled() => End::Protocol("a conversation failed"),
        // Here, because the reader may be waiting for a conversation whose client reads nothing.
        () = shared.stop.cancelled() => End::Stop,
    };
    match &end {
        End::Closed | End::Goodbye | End::Stop => debug!(%peer, reason = %end, "MQ socket ended"),
        End::Wire(cause) => warn!(%peer, %cause, "MQ socket ended: {end}"),
        _ => info!(%peer, "MQ socket ended: {end}"),
    }
    socket.say_goodbye(&end);
    drop(socket);
    // Backs out what is open; calls that wait for messages end.
    gone.cancel();
    tokio::select! {
        biased;
        () = &mut conversing => {}
        _ = &mut writing => conversing.await,
    }
    outbox.end();
    if !writing.is_terminated() {
        let _ = tokio::time::timeout(GOODBYE_TIMEOUT, writing).await;
    }
}

/// A conversation from its begin to its end.
type Conversing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs the conversations of a socket side by side until none is left and no more can begin.
async fn converse(mut started: mpsc::UnboundedReceiver<Conversing>) {
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some(()) = running.next() => {}
            Some(conversation) = started.recv() => running.push(conversation),
            else => return,
        }
    }
}

struct Socket {
    shared: Arc<Shared>,
    outbox: Arc<Outbox>,
    gone: CancellationToken,
    /// Takes conversations that begin.
    starting: mpsc::UnboundedSender<Conversing>,
    /// Known after INITIAL_DATA.
    setting: Option<Arc<Setting>>,
    inboxes: HashMap<u32, mpsc::Sender<Segment>>,
    applicant: Applicant,
    last_sent_heartbeat: Option<Instant>,
    /// An MQCONN succeeded.
    connected: CancellationToken,
    /// Known after INITIAL_DATA.
    entry: Option<Arc<Entry>>,
    peer: SocketAddr,
}

impl Socket {
    async fn read<R: AsyncRead + Unpin>(&mut self, mut socket: R) -> End {
        let handshake = self.shared.options.handshake_seconds;
        let must_connect = Instant::now() + Duration::from_secs(handshake);
        let mut segments = SegmentReader::new(SEGMENT_BYTES_DEFAULT);
        let mut assembler = Assembler::new(0);
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        let mut heard = Instant::now();
        // Set anew only when it goes off: what is read moves only `heard`.
        let mut alarm = pin!(tokio::time::sleep_until(must_connect));
        loop {
            loop {
                let segment = match segments.next(&mut buffer) {
                    Ok(Some(segment)) => segment,
                    Ok(None) => break,
                    Err(error) => return error.into(),
                };
                let known = self.setting.is_some();
                let handled = match assembler.push(segment) {
                    Ok(Some(message)) => self.take(message).await,
                    Ok(None) => Ok(()),
                    Err(error) => Err(error.into()),
                };
                if let Err(end) = handled {
                    return end;
                }
                if let (false, Some(setting)) = (known, &self.setting) {
                    segments = SegmentReader::new(setting.segment_bytes_max);
                    assembler = Assembler::new(setting.message_bytes_max as usize);
                    alarm
                        .as_mut()
                        .reset(must_connect.min(heard + setting.heartbeat()));
                }
            }
            buffer.reserve(segments.wanted(&buffer).max(READ_BYTES));
            tokio::select! {
                biased;
                read = socket.read_buf(&mut buffer) => match read {
                    Ok(0) => return End::Closed,
                    Ok(_) => {
                        heard = Instant::now();
                        self.last_sent_heartbeat = None;
                    }
                    Err(error) => return End::Read(error),
                },
                () = &mut alarm => {
                    let now = Instant::now();
                    let connected = self.connected.is_cancelled();
                    if !connected && now >= must_connect {
                        return End::Handshake(handshake);
                    }
                    let mut next = match &self.setting {
                        Some(setting) => match self.beat(now, heard, setting.heartbeat()) {
                            Ok(next) => next,
                            Err(end) => return end,
                        },
                        None => must_connect,
                    };
                    if !connected {
                        next = next.min(must_connect);
                    }
                    alarm.as_mut().reset(next);
                }
            }
        }
    }

    /// Sends a heartbeat if it is time; when to look again.
    fn beat(&mut self, now: Instant, heard: Instant, interval: Duration) -> Result<Instant, End> {
        let last = self
            .last_sent_heartbeat
            .map_or(heard, |sent| sent.max(heard));
        if now < last + interval {
            return Ok(last + interval);
        }
        let silent = now - heard;
        if silent > interval + HEARTBEAT_GRACE {
            return Err(End::Silence(silent));
        }
        self.last_sent_heartbeat = Some(now);
        self.send_heartbeat(flags::CONFIRM | flags::WHOLE);
        Ok(now + interval)
    }

    /// Handles what concerns the socket; the rest goes to its conversation.
    async fn take(&mut self, message: Segment) -> Result<(), End> {
        let header = message.header;
        match (header.segment_type, header.conversation()) {
            (SegmentType::INITIAL_DATA, _) => self.initial_data(message),
            (SegmentType::HEARTBEAT, _) => {
                if header.flags & flags::CONFIRM != 0 {
                    self.send_heartbeat(0);
                }
                Ok(())
            }
            (SegmentType::SOCKET_ACTION, _) => self.socket_action(message),
            (SegmentType::STATUS, _) => Err(End::Goodbye),
            (SegmentType::USERID_DATA, _) => {
                if let Flow::UserId(user) = Flow::read(message)? {
                    self.applicant.user = user.user();
                    self.applicant.password = user.base.password.text();
                }
                Ok(())
            }
            (SegmentType::CONAUTH_INFO, _) => {
                if let Flow::Credentials(credentials) = Flow::read(message)? {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    self.applicant.user = text(&credentials.user);
                    self.applicant.password = text(&credentials.password);
                    let status = Status {
                        length: 8,
                        code: status_code::OK,
                    };
                    let reply = Header::new(SegmentType::STATUS, header.kind);
                    self.send(reply, &Flow::Status(Some(status)))?;
                }
                Ok(())
            }
            (_, Some(address)) => self.forward(address.id, message).await,
            // Without shared conversations there is one.
            (_, None) => self.forward(0, message).await,
        }
    }

    fn initial_data(&mut self, message: Segment) -> Result<(), End> {
        let again = self.setting.is_some();
        let kind = message.header.kind;
        let Flow::InitialData(client) = Flow::read(message)? else {
            return Err(End::Protocol("INITIAL_DATA without its structure"));
        };
        let name = client.base.channel_name.text();
        let channels = &self.shared.options.channels;
        let Some(channel) = channels.iter().find(|channel| channel.name == name) else {
            return Err(End::Channel(name));
        };
        let setting = negotiate(&client, channel);
        let header = Header::new(SegmentType::INITIAL_DATA, kind).with_flags(0);
        let reply = self.own_identity(&client, &setting);
        self.send(header, &Flow::InitialData(Box::new(reply)))?;
        if !again {
            self.setting = Some(Arc::new(setting));
            let entry = self.shared.registry.enter(&name, self.peer);
            self.entry = Some(entry);
            self.applicant.channel = name;
        }
        Ok(())
    }

    fn own_identity(&self, client: &InitialData, setting: &Setting) -> InitialData {
        let manager = self.shared.manager.name();
        let level = client.base.fap_level.min(FAP_LEVEL);
        let base = IdBase {
            fap_level: level,
            segment_bytes_max: setting.segment_bytes_max,
            message_bytes_max: setting.message_bytes_max,
            error_flags1: 0,
            ..client.base.clone()
        };
        let level4 = client.level4.as_ref().map(|client| Id102 {
            capabilities2: client.capabilities2,
            extended_capabilities2: client.extended_capabilities2,
            ccsid: 819,
            queue_manager: Chars::new(manager),
            heartbeat_seconds: setting.heartbeat_seconds,
            rest_bytes: 0,
        });
        let level9 = client.level9.as_ref().map(|_| Id208 {
            header_compression: [0, 0xff],
            message_compression: none_but_first(),
            conversations_max: setting.conversations_max,
            process_id: std::process::id(),
            thread_id: 1,
            trace_id: 1,
            product_id: Chars::new("MQMM09040000"),
            queue_manager_id: Chars::new(&format!("{manager}_daybook")),
            ..Id208::default()
        });
        let mut reply = InitialData {
            base,
            level4,
            level9,
            ..InitialData::default()
        };
        let rest = reply.level9.as_ref().map_or(0, |_| Id208::BYTES);
        if let Some(level4) = &mut reply.level4 {
            level4.rest_bytes = u16::try_from(rest).unwrap_or(0);
        }
        reply
    }

    fn socket_action(&mut self, message: Segment) -> Result<(), End> {
        let Flow::SocketAction(action) = Flow::read(message)? else {
            return Err(End::Protocol("SOCKET_ACTION without its structure"));
        };
        match action.action {
            socket_action::START => {
                let header = Header::new(
                    SegmentType::SOCKET_ACTION,
                    HeaderKind::Of(Address {
                        id: action.conversation,
                        request: action.request,
                    }),
                );
                let reply = SocketAction {
                    action: socket_action::ACCEPTED,
                    ..action
                };
                self.send(header, &Flow::SocketAction(reply))
            }
            socket_action::END => {
                // Without MQDISC before, what is open is backed out.
                self.inboxes.remove(&action.conversation);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn forward(&mut self, id: u32, message: Segment) -> Result<(), End> {
        let Some(setting) = &self.setting else {
            return Err(End::Protocol("a call before INITIAL_DATA"));
        };
        if !self.inboxes.contains_key(&id) {
            if message.header.segment_type != SegmentType::MQCONN {
                // Of a conversation that has ended: nobody waits for it.
                return Ok(());
            }
            if self.inboxes.len() >= setting.conversations_max.max(1) as usize {
                return Err(End::Protocol("more conversations than were agreed"));
            }
            let (sender, inbox) = mpsc::channel(INBOX_SEGMENTS);
            let conversation = Conversation::new(
                Arc::clone(&self.shared),
                Arc::clone(setting),
                Arc::clone(&self.outbox),
                self.gone.clone(),
                self.applicant.clone(),
                (id != 0).then_some(id),
                self.connected.clone(),
            )
            .seated(self.entry.clone());
            // Not heard only when the socket has ended.
            let _ = self.starting.send(Box::pin(conversation.run(inbox)));
            self.inboxes.insert(id, sender);
        }
        if let Some(inbox) = self.inboxes.get(&id)
            && inbox.send(message).await.is_err()
        {
            // It ended by itself, after MQDISC.
            self.inboxes.remove(&id);
        }
        Ok(())
    }

    fn send_heartbeat(&self, flags: u8) {
        let shared = self.setting.as_ref().is_some_and(|set| set.is_shared());
        let kind = if shared {
            HeaderKind::Control
        } else {
            HeaderKind::Plain
        };
        let header = Header::new(SegmentType::HEARTBEAT, kind).with_flags(flags);
        // Cannot fail: our own character set is known.
        let _ = self.send(header, &Flow::Heartbeat);
    }

    fn send(&self, header: Header, flow: &Flow) -> Result<(), End> {
        let max = self
            .setting
            .as_ref()
            .map_or(SEGMENT_BYTES_DEFAULT, |setting| setting.segment_bytes_max);
        Ok(self.outbox.send(header, flow, max)?)
    }

    /// Tells the client why, as far as the protocol can.
    fn say_goodbye(&self, end: &End) {
        let code = match end {
            End::Channel(_) => status_code::UNKNOWN_CHANNEL,
            End::Wire(_) | End::Protocol(_) => status_code::PROTOCOL,
            End::Stop => {
                for id in self.inboxes.keys().filter(|id| **id != 0) {
                    let kind = HeaderKind::Of(Address {
                        id: *id,
                        request: 1,
                    });
                    let header = Header::new(SegmentType::NOTIFICATION, kind);
                    let _ = self.send(
                        header,
                        &Flow::Notification(Notification {
                            version: 1,
                            handle: -1,
                            code: notification::QUIESCING,
                            value: 0,
                        }),
                    );
                }
                status_code::TERMINATING
            }
            End::Closed | End::Read(_) | End::Silence(_) | End::Handshake(_) | End::Goodbye => {
                return;
            }
        };
        let header = Header::new(SegmentType::STATUS, HeaderKind::Plain)
            .with_flags(flags::ERROR | flags::CLOSE);
        let status = Status { length: 8, code };
        let _ = self.send(header, &Flow::Status(Some(status)));
    }
}

fn none_but_first() -> [u8; 16] {
    let mut list = [0xff; 16];
    list[0] = 0;
    list
}

fn negotiate(client: &InitialData, channel: &Channel) -> Setting {
    let offered = client.base.segment_bytes_max;
    let wanted = client
        .level9
        .as_ref()
        .map_or(0, |level| level.conversations_max);
    let heartbeat = client
        .level4
        .as_ref()
        .map_or(0, |level| level.heartbeat_seconds);
    Setting {
        segment_bytes_max: offered.clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX),
        message_bytes_max: match client.base.message_bytes_max {
            0 => channel.message_bytes_max,
            wanted => wanted.min(channel.message_bytes_max),
        },
        conversations_max: wanted.min(channel.conversations_max).min(CONVERSATIONS_MAX),
        heartbeat_seconds: if channel.heartbeat_seconds == 0 {
            heartbeat
        } else {
            heartbeat.max(channel.heartbeat_seconds)
        },
    }
}
