//! One conversation: a connection in the MQI's sense (hConn), with its handles and its unit of work.
//!
//! Invariants: calls are handled one after the other, as the client sends them; whatever ends the
//! task backs out what is not committed, except MQDISC, which commits.

use std::collections::{BTreeMap, HashMap};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::select_all;
use mq_wire::{
    Api, AsyncStatus, Call, Chars, Connect, Conversation as Address, Flow, Header, HeaderKind,
    Segment, SegmentType, WireError,
};
use queue_manager::{QueueManager, UnitOfWork};
use tokio::sync::futures::Notified;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::listener::Shared;
use crate::message::LastDescriptor;
use crate::objects::Object;
use crate::outbox::Outbox;
use crate::reason::{self, FINE, Outcome, failed};
use crate::registry::{Entry, Seat};
use crate::security::{Applicant, Right};

/// What was agreed for a socket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) segment_bytes_max: u32,
    pub(crate) message_bytes_max: u32,
    /// 0 = conversations are not shared.
    pub(crate) conversations_max: u32,
    pub(crate) heartbeat_seconds: u32,
}

impl Setting {
    pub(crate) fn is_shared(&self) -> bool {
        self.conversations_max > 0
    }

    /// Silence after which a heartbeat is sent; a day where none were agreed.
    pub(crate) fn heartbeat(&self) -> Duration {
        match self.heartbeat_seconds {
            0 => Duration::from_secs(86_400),
            seconds => Duration::from_secs(u64::from(seconds)),
        }
    }
}

/// Why a conversation ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConversationEnd {
    #[error("the client disconnected")]
    Disconnected,
    #[error("the client does not speak the protocol")]
    Wire(#[from] WireError),
}

pub(crate) struct Conversation {
    pub(crate) shared: Arc<Shared>,
    pub(crate) setting: Arc<Setting>,
    outbox: Arc<Outbox>,
    /// The socket is gone.
    pub(crate) gone: CancellationToken,
    applicant: Applicant,
    /// `None` when conversations are not shared.
    id: Option<u32>,
    /// That no other conversation has.
    pub(crate) number: u64,
    /// To be told when MQCONN succeeds.
    connected: CancellationToken,
    is_connected: bool,
    /// Tells administrators of the connection.
    entry: Option<Arc<Entry>>,
    seat: Option<Seat>,
    /// Who everything is done as.
    pub(crate) user: String,
    pub(crate) application: Chars<28>,
    pub(crate) application_type: i32,
    /// Between two commits.
    pub(crate) unit: Option<UnitOfWork>,
    /// Branches of XA that have ended and are neither prepared nor decided.
    pub(crate) branches: HashMap<Bytes, UnitOfWork>,
    /// The branch that is being worked on.
    pub(crate) branch: Option<Bytes>,
    pub(crate) objects: BTreeMap<i32, Object>,
    next_handle: i32,
    /// Of asynchronous puts, for MQSTAT.
    pub(crate) async_status: AsyncStatus,
    pub(crate) last_descriptor: LastDescriptor,
    /// The client lets messages be pushed.
    pub(crate) is_streaming: bool,
}

impl Conversation {
    pub(crate) fn new(
        shared: Arc<Shared>,
        setting: Arc<Setting>,
        outbox: Arc<Outbox>,
        gone: CancellationToken,
        applicant: Applicant,
        id: Option<u32>,
        connected: CancellationToken,
    ) -> Self {
        Self {
            user: String::new(),
            number: shared.conversation_number(),
            shared,
            setting,
            outbox,
            gone,
            applicant,
            id,
            connected,
            is_connected: false,
            entry: None,
            seat: None,
            application: Chars::BLANK,
            application_type: 0,
            unit: None,
            branches: HashMap::new(),
            branch: None,
            objects: BTreeMap::new(),
            next_handle: 2,
            async_status: AsyncStatus::default(),
            last_descriptor: LastDescriptor::default(),
            is_streaming: true,
        }
    }

    /// Counts as one of a connection's conversations once it is connected.
    pub(crate) fn seated(mut self, entry: Option<Arc<Entry>>) -> Self {
        self.entry = entry;
        self
    }

    pub(crate) fn manager(&self) -> &QueueManager {
        &self.shared.manager
    }

    /// Handles calls until the client disconnects or the socket is gone.
    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<Segment>) {
        let gone = self.gone.clone();
        // Should this panic, the client must not wait for its reply for ever.
        let unless_told = gone.clone().drop_guard();
        let mut ended = pin!(gone.cancelled());
        let end = loop {
            // Created before looking, so that no arrival in between is missed.
            let arrivals = self.arrivals();
            let mut waits: Vec<_> = arrivals
                .iter()
                .map(|arrival| Box::pin(arrival.notified()))
                .collect();
            for wait in &mut waits {
                wait.as_mut().enable();
            }
            self.pump();
            let segment = tokio::select! {
                () = &mut ended => return,
                segment = inbox.recv() => segment,
                () = first_of(&mut waits) => continue,
            };
            drop(waits);
            let Some(segment) = segment else {
                unless_told.disarm();
                return;
            };
            // A client that does not read gets no further call done.
            tokio::select! {
                () = &mut ended => return,
                () = self.outbox.room() => {}
            }
            if let Err(end) = self.take(segment).await {
                break end;
            }
        };
        match end {
            ConversationEnd::Disconnected => {
                unless_told.disarm();
                debug!(conversation = self.id, "disconnected");
            }
            // Nobody knows what the client meant: the whole socket ends.
            ConversationEnd::Wire(error) => {
                warn!(conversation = self.id, %error, "a call is malformed");
            }
        }
    }

    async fn take(&mut self, segment: Segment) -> Result<(), ConversationEnd> {
        let header = segment.header;
        tracing::trace!(?header, body = ?segment.body, "call");
        match Flow::read(segment)? {
            Flow::Api(api) => self.call(header, api).await,
            Flow::Xa(xa) => {
                let reply = self.xa(header.segment_type, xa).await;
                self.reply(header, &Flow::Xa(reply))
            }
            Flow::RequestMessages(request) => {
                self.request_messages(header, *request);
                Ok(())
            }
            Flow::Notification(news) => {
                self.notified(header, &news);
                Ok(())
            }
            other => {
                debug!(?other, "a flow that nobody waits for");
                Ok(())
            }
        }
    }

    async fn call(&mut self, header: Header, api: Api) -> Result<(), ConversationEnd> {
        let segment_type = header.segment_type;
        let handle = api.handle;
        if !self.is_connected && segment_type != SegmentType::MQCONN {
            let refused = answer(failed(reason::HCONN_ERROR), handle, Call::Empty);
            return self.reply(header, &Flow::Api(refused));
        }
        let reply = match (segment_type, api.call) {
            (SegmentType::MQCONN, Call::Connect(connect)) => self.connect(*connect).await,
            (SegmentType::MQDISC, _) => {
                let outcome = self.commit().await;
                self.reply(header, &Flow::Api(answer(outcome, 0, Call::Empty)))?;
                return Err(ConversationEnd::Disconnected);
            }
            (SegmentType::MQCMIT, _) => answer(self.commit().await, 0, Call::Empty),
            (SegmentType::MQBACK, _) => {
                // Backs out.
                self.unit = None;
                answer(FINE, 0, Call::Empty)
            }
            (SegmentType::MQOPEN, Call::Open(open)) => self.open(*open),
            (SegmentType::MQCLOSE, Call::Close { options }) => self.close(handle, options).await,
            (SegmentType::MQPUT, Call::Put(put)) => match self.put(handle, *put).await {
                Some(reply) => reply,
                None => return Ok(()),
            },
            (SegmentType::MQPUT1, Call::Put1(put1)) => match self.put1(*put1).await {
                Some(reply) => reply,
                None => return Ok(()),
            },
            (SegmentType::MQGET, Call::Get(get)) => self.get(handle, *get).await,
            (SegmentType::MQINQ, Call::Attributes(attributes)) => self.inquire(handle, attributes),
            (SegmentType::MQSET, Call::Attributes(attributes)) => {
                self.set(handle, attributes).await
            }
            (
                SegmentType::MQSTAT,
                Call::Status {
                    status_type,
                    status,
                    rest,
                },
            ) => self.status(status_type, *status, rest),
            (SegmentType::MQSUB, Call::Subscribe(subscribe)) => self.subscribe(handle, *subscribe),
            (SegmentType::SPI, Call::Spi(spi)) => self.spi(handle, spi).await,
            (_, call) => {
                debug!(?segment_type, "a call that is not supported");
                answer(failed(reason::FUNCTION_NOT_SUPPORTED), handle, call)
            }
        };
        self.reply(header, &Flow::Api(reply))
    }

    async fn connect(&mut self, mut connect: Connect) -> Api {
        let own = self.manager().name().to_owned();
        let asked = connect.base.queue_manager.text();
        let asked = asked.strip_prefix('*').unwrap_or(&asked);
        if !asked.is_empty() && asked != own {
            let outcome = failed(reason::Q_MGR_NAME_ERROR);
            return answer(outcome, 0, Call::Connect(Box::new(connect)));
        }
        match self.shared.gatekeeper.admit(&self.applicant).await {
            Ok(user) => self.user = user,
            Err(refusal) => {
                let Applicant { user, address, .. } = &self.applicant;
                warn!(user, ?address, %refusal, "a client may not connect");
                let outcome = failed(reason::NOT_AUTHORIZED);
                return answer(outcome, 0, Call::Connect(Box::new(connect)));
            }
        }
        self.is_connected = true;
        self.connected.cancel();
        self.application = connect.base.application_name;
        self.application_type = connect.base.application_type;
        let entry = self.entry.as_ref();
        self.seat = entry.map(|entry| entry.sit_down(&self.user, &self.application.text()));
        connect.base.queue_manager = Chars::new(&own);
        if let Some(options) = &mut connect.options {
            options.connection_tag = connection_tag(&own, self.number);
        }
        answer(FINE, 0, Call::Connect(Box::new(connect)))
    }

    pub(crate) async fn commit(&mut self) -> Outcome {
        match self.unit.take() {
            Some(unit) => match unit.commit().await {
                Ok(()) => FINE,
                Err(error) => error.into(),
            },
            None => FINE,
        }
    }

    /// 2035 unless the user may do it; says in the log who may not do what.
    pub(crate) fn check_right(&self, queue: &str, right: Right) -> Result<(), Outcome> {
        if self.shared.gatekeeper.allows(&self.user, queue, right) {
            return Ok(());
        }
        warn!(user = self.user, queue, ?right, "not authorised");
        Err(failed(reason::NOT_AUTHORIZED))
    }

    /// The unit of work, begun if there is none.
    pub(crate) fn unit(&mut self) -> &mut UnitOfWork {
        let manager = &self.shared.manager;
        self.unit.get_or_insert_with(|| manager.begin())
    }

    pub(crate) fn new_handle(&mut self) -> i32 {
        let handle = self.next_handle;
        self.next_handle = self.next_handle.wrapping_add(2).max(2);
        handle
    }

    fn status(&mut self, status_type: i32, status: AsyncStatus, rest: Bytes) -> Api {
        let outcome = if status_type == 0 {
            FINE
        } else {
            failed(reason::STAT_TYPE_ERROR)
        };
        let version = status.version;
        let mut status = status;
        if outcome == FINE {
            status = std::mem::take(&mut self.async_status);
            status.version = version;
        }
        let call = Call::Status {
            status_type,
            status: Box::new(status),
            rest,
        };
        answer(outcome, 0, call)
    }

    /// Answers a call.
    fn reply(&self, request: Header, flow: &Flow) -> Result<(), ConversationEnd> {
        let header = Header::new(request.segment_type.reply(), request.kind);
        Ok(self
            .outbox
            .send(header, flow, self.setting.segment_bytes_max)?)
    }

    /// Sends what no call waits for.
    pub(crate) fn send(&self, segment_type: SegmentType, request: u32, flags: u8, flow: &Flow) {
        let kind = match self.id {
            Some(id) => HeaderKind::Of(Address { id, request }),
            None => HeaderKind::Plain,
        };
        let header = Header::new(segment_type, kind).with_flags(flags);
        // Cannot fail: our own character set is known.
        let _ = self
            .outbox
            .send(header, flow, self.setting.segment_bytes_max);
    }
}

/// Its first 24 bytes are the connection's identifier, by which JMS clients know their own
/// publications (noLocal).
fn connection_tag(manager: &str, number: u64) -> [u8; 128] {
    let mut tag = [0; 128];
    let text = format!("MQCT{manager:<12.12}");
    let unique = number.to_be_bytes();
    let bytes = text.bytes().chain(unique).chain(manager.bytes());
    tag.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    tag
}

/// Ends with the first of them; never if there is none.
async fn first_of(waits: &mut [Pin<Box<Notified<'_>>>]) {
    if waits.is_empty() {
        std::future::pending().await
    }
    select_all(waits.iter_mut()).await;
}

/// A reply's header and content.
pub(crate) fn answer(outcome: Outcome, handle: i32, call: Call) -> Api {
    Api {
        reply_length: 0,
        comp_code: outcome.comp_code,
        reason: outcome.reason,
        handle,
        call,
    }
}
