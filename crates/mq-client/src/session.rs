//! Sessions: one conversation with its handles and its unit of work (MQCONN to MQDISC).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mq_wire::mqi::{get, open, put};
use mq_wire::{
    Api, AsyncStatus, Attributes, Call, Chars, Connect, ConnectBase, ConnectOptions as Fcno, Flow,
    Get, GetOptions, Header, HeaderKind, MessageDescriptor, ObjectDescriptor, Open, OpenAttributes,
    Put, PutOptions, SegmentType, SocketAction, match_options, socket_action,
};

use crate::error::ClientError;
use crate::options::ClientOptions;
use crate::reason::Reason;
use crate::socket::Port;

/// MQCONN's options and further options, as IBM's client sends them.
const CONNECT_OPTIONS: (i32, i32) = (0x7, 0x0020_0000);
/// Bytes of FCNO behind the connection tag.
const FCNO_REST_BYTES: usize = 212;
/// MQAT_UNIX.
const APPLICATION_TYPE: i32 = 6;
/// Room that an open offers for attributes that a queue manager may add.
const EXTRA_BYTES: i32 = 10_240;
/// Room of the first get of a session; it grows to the longest message met.
const BUFFER_BYTES: usize = 32 << 10;
/// Room for MQRFH2 headers beside the longest message.
const HEADER_BYTES_MAX: usize = 64 << 10;
/// Gets of a message that turned out longer than the buffer, until we give up. Another one may take it
/// in between, and an even longer one be next.
const LONGER_MAX: usize = 16;
/// The longest wait of one MQGET; a longer one is made of several.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Asks of MQSTAT.
const STATUS_ASYNC_PUTS: i32 = 0;

/// An open queue of a [`Session`]. It closes with the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    handle: i32,
    name: Arc<str>,
}

impl Queue {
    /// The queue's name; of a dynamic queue the one that the queue manager made.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A message that was got or browsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Got {
    /// MQMD, version 2.
    pub descriptor: MessageDescriptor,
    /// Identifies the message as long as it is on the queue and the queue manager runs.
    pub token: [u8; 16],
    /// The data: headers such as MQRFH2 first, if the format says so.
    pub body: Bytes,
}

/// How to get.
#[derive(Debug, Clone, Default)]
pub struct GetRequest {
    /// How long to wait for a message; `None` = not at all.
    pub wait: Option<Duration>,
    /// In the unit of work; else the message is gone when it is sent.
    pub syncpoint: bool,
    /// [`crate::get::BROWSE_FIRST`], [`get::BROWSE_NEXT`], [`get::MSG_UNDER_CURSOR`], or 0.
    pub cursor: i32,
    /// Only the message with this identifier.
    pub msg_id: Option<[u8; 24]>,
    /// Only messages that refer to this one.
    pub correl_id: Option<[u8; 24]>,
}

/// One conversation. Everything of it is in one unit of work between two commits, as far as it is asked
/// for.
///
/// A call's future must be awaited to its end: dropping it ends the session, see the crate's page.
#[derive(Debug)]
pub struct Session {
    port: Port,
    options: Arc<ClientOptions>,
    /// As the queue manager calls itself.
    queue_manager: String,
    /// A call was sent and its reply has not come.
    in_call: bool,
    buffer_bytes: usize,
    /// Puts without reply since the last [`Session::check_puts`], and to which queue.
    unanswered: usize,
}

impl Session {
    /// MQCONN, after the conversation was agreed on if it is not the socket's first.
    pub(crate) async fn begin(
        port: Port,
        options: Arc<ClientOptions>,
        first: bool,
    ) -> Result<Self, ClientError> {
        let mut session = Self {
            port,
            queue_manager: String::new(),
            in_call: false,
            buffer_bytes: BUFFER_BYTES,
            unanswered: 0,
            options,
        };
        if !first {
            session.start_conversation().await?;
        }
        session.connect().await?;
        Ok(session)
    }

    async fn start_conversation(&mut self) -> Result<(), ClientError> {
        const CALL: &str = "the start of a conversation";
        let action = SocketAction {
            conversation: self.port.id,
            request: 0,
            action: socket_action::START,
            parameter1: i32::try_from(self.port.shared.agreed.conversations_max)
                .unwrap_or(i32::MAX),
            parameter2: 1,
        };
        let header = Header::new(SegmentType::SOCKET_ACTION, HeaderKind::Control);
        self.in_call = true;
        self.port.shared.send(header, &Flow::SocketAction(action))?;
        let flow = self.receive(CALL, Duration::ZERO).await?;
        self.in_call = false;
        match flow {
            Flow::SocketAction(reply) if reply.action == socket_action::ACCEPTED => Ok(()),
            Flow::SocketAction(reply) => Err(ClientError::Negotiation {
                what: format!("a further conversation was answered with {}", reply.action),
            }),
            _ => Err(ClientError::Reply { call: CALL }),
        }
    }

    async fn connect(&mut self) -> Result<(), ClientError> {
        let connect = Connect {
            base: ConnectBase {
                queue_manager: Chars::new(&self.options.queue_manager),
                application_name: Chars::new(&self.options.application),
                application_type: APPLICATION_TYPE,
                options: CONNECT_OPTIONS.0,
                extended_options: CONNECT_OPTIONS.1,
                ..ConnectBase::default()
            },
            options: Some(Fcno {
                version: 4,
                ..Fcno::default()
            }),
            rest: Bytes::from_static(&[0; FCNO_REST_BYTES]),
        };
        let asked = self.options.queue_manager.clone();
        let call = Call::Connect(Box::new(connect));
        match self
            .call("MQCONN", SegmentType::MQCONN, 0, call, &asked)
            .await?
            .call
        {
            Call::Connect(reply) => {
                self.queue_manager = reply.base.queue_manager.text();
                Ok(())
            }
            _ => Err(ClientError::Reply { call: "MQCONN" }),
        }
    }

    /// The queue manager's name.
    pub fn queue_manager(&self) -> &str {
        &self.queue_manager
    }

    /// Whether the queue manager said that it ends soon.
    pub fn is_quiescing(&self) -> bool {
        self.port.shared.is_quiescing()
    }

    /// Opens a queue (MQOPEN) with options of [`open`].
    ///
    /// # Errors
    ///
    /// [`ClientError::Call`]: 2085 no such queue, 2035 not authorised, 2042 in use, and so on.
    pub async fn open(&mut self, queue: &str, options: i32) -> Result<Queue, ClientError> {
        self.open_named(queue, options, "").await
    }

    /// Opens a model queue: makes a dynamic queue of it, named `dynamic`, whose `*` at the end stands for
    /// what makes it unique.
    ///
    /// # Errors
    ///
    /// As [`Session::open`].
    pub async fn open_named(
        &mut self,
        queue: &str,
        options: i32,
        dynamic: &str,
    ) -> Result<Queue, ClientError> {
        let object = ObjectDescriptor {
            version: 3,
            object_type: 1,
            object_name: Chars::new(queue),
            dynamic_q_name: Chars::new(dynamic),
            ..ObjectDescriptor::default()
        };
        self.open_object(object, options, queue).await
    }

    async fn open_object(
        &mut self,
        object: ObjectDescriptor,
        options: i32,
        name: &str,
    ) -> Result<Queue, ClientError> {
        let attributes = OpenAttributes {
            version: 2,
            length: 84,
            def_persistence: -1,
            def_put_response: -1,
            extra_length: EXTRA_BYTES,
            ..OpenAttributes::default()
        };
        let open = Open {
            object,
            options: options | open::FAIL_IF_QUIESCING,
            attributes: Some(attributes),
            rest: Bytes::new(),
        };
        let call = Call::Open(Box::new(open));
        let reply = self
            .call("MQOPEN", SegmentType::MQOPEN, 0, call, name)
            .await?;
        let handle = reply.handle;
        match reply.call {
            Call::Open(opened) => Ok(Queue {
                handle,
                name: opened.object.object_name.text().into(),
            }),
            _ => Err(ClientError::Reply { call: "MQOPEN" }),
        }
    }

    /// Closes a queue (MQCLOSE) with options of [`crate::close`].
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn close(&mut self, queue: Queue, options: i32) -> Result<(), ClientError> {
        let call = Call::Close { options };
        self.call(
            "MQCLOSE",
            SegmentType::MQCLOSE,
            queue.handle,
            call,
            &queue.name,
        )
        .await?;
        Ok(())
    }

    /// Puts a message (MQPUT): in the unit of work, or at once, in which case it is on disk when the
    /// future ends, if it is persistent. The descriptor comes back as the queue manager filled it.
    ///
    /// # Errors
    ///
    /// [`ClientError::Call`]: 2053 full, 2051 inhibited, 2030 and 2218 too long, 2024 too many in the unit
    /// of work; otherwise see [`ClientError::outcome_is_unknown`].
    pub async fn put(
        &mut self,
        queue: &Queue,
        descriptor: MessageDescriptor,
        body: Bytes,
        syncpoint: bool,
    ) -> Result<MessageDescriptor, ClientError> {
        self.put_with(queue, descriptor, body, syncpoint, 0).await
    }

    /// As [`Session::put`], with further options of [`put`].
    ///
    /// # Errors
    ///
    /// As [`Session::put`].
    pub async fn put_with(
        &mut self,
        queue: &Queue,
        descriptor: MessageDescriptor,
        body: Bytes,
        syncpoint: bool,
        options: i32,
    ) -> Result<MessageDescriptor, ClientError> {
        let options = options | put::SYNC_RESPONSE;
        let call = put_call(descriptor, body, syncpoint, options);
        let reply = self
            .call("MQPUT", SegmentType::MQPUT, queue.handle, call, &queue.name)
            .await?;
        match reply.call {
            Call::Put(put) => Ok(put.descriptor),
            _ => Err(ClientError::Reply { call: "MQPUT" }),
        }
    }

    /// Puts a message in the unit of work without waiting for a reply. Whether all such puts succeeded
    /// is asked by [`Session::check_puts`], before the commit. At most the socket's buffer is ahead:
    /// memory is the caller's to bound, by the size of its units of work.
    ///
    /// # Errors
    ///
    /// [`ClientError`]: the connection is gone.
    pub fn put_unanswered(
        &mut self,
        queue: &Queue,
        descriptor: MessageDescriptor,
        body: Bytes,
    ) -> Result<(), ClientError> {
        if self.in_call {
            return Err(ClientError::Abandoned { call: "MQPUT" });
        }
        let call = put_call(descriptor, body, true, put::ASYNC_RESPONSE);
        let header = self.port.header(SegmentType::MQPUT);
        let api = Api::request(queue.handle, call);
        self.port.shared.send(header, &Flow::Api(api))?;
        self.unanswered += 1;
        Ok(())
    }

    /// Whether all of [`Session::put_unanswered`] since the last check succeeded (MQSTAT). After a
    /// failure the unit of work is to be backed out.
    ///
    /// # Errors
    ///
    /// [`ClientError::AsyncPuts`] with the reason of the first that failed.
    pub async fn check_puts(&mut self) -> Result<(), ClientError> {
        let puts = std::mem::take(&mut self.unanswered);
        if puts == 0 {
            return Ok(());
        }
        let call = Call::Status {
            status_type: STATUS_ASYNC_PUTS,
            status: Box::new(AsyncStatus {
                version: 1,
                ..AsyncStatus::default()
            }),
            rest: Bytes::new(),
        };
        let reply = self
            .call("MQSTAT", SegmentType::MQSTAT, 0, call, "")
            .await?;
        let Call::Status { status, .. } = reply.call else {
            return Err(ClientError::Reply { call: "MQSTAT" });
        };
        let count = |count: i32| usize::try_from(count).unwrap_or(0);
        let fine = count(status.put_success_count) + count(status.put_warning_count);
        if fine != puts || status.put_failure_count != 0 {
            return Err(ClientError::AsyncPuts {
                object: status.object_name.text(),
                puts,
                failed: puts.saturating_sub(fine),
                reason: Reason(status.reason),
            });
        }
        Ok(())
    }

    /// Gets or browses a message (MQGET); `None` when there is none, after the wait if one is asked for.
    ///
    /// # Errors
    ///
    /// [`ClientError::Call`]: 2016 inhibited, 2024 the unit of work is full. A get outside of a unit of work
    /// whose connection breaks may have taken a message.
    pub async fn get(
        &mut self,
        queue: &Queue,
        request: &GetRequest,
    ) -> Result<Option<Got>, ClientError> {
        let mut wait = request.wait.map(|wait| wait.min(WAIT_MAX));
        for _ in 0..LONGER_MAX {
            let reply = self.get_once(queue, request, wait).await;
            match reply {
                Err(ClientError::Call { reason, .. }) if reason == Reason::NO_MSG_AVAILABLE => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
                Ok((reason, get)) if reason == Reason::TRUNCATED_MSG_FAILED => {
                    let length = usize::try_from(get.length).unwrap_or(0);
                    let most =
                        self.port.shared.agreed.message_bytes_max as usize + HEADER_BYTES_MAX;
                    if length <= self.buffer_bytes || length > most {
                        return Err(ClientError::Call {
                            call: "MQGET",
                            object: queue.name.to_string(),
                            reason,
                        });
                    }
                    self.buffer_bytes = length;
                    wait = None;
                }
                Ok((_, get)) => {
                    return Ok(Some(Got {
                        descriptor: get.descriptor,
                        token: get.options.msg_token,
                        body: get.data,
                    }));
                }
            }
        }
        Ok(None)
    }

    async fn get_once(
        &mut self,
        queue: &Queue,
        request: &GetRequest,
        wait: Option<Duration>,
    ) -> Result<(Reason, Get), ClientError> {
        let mut options = get::FAIL_IF_QUIESCING | get::PROPERTIES_FORCE_MQRFH2 | request.cursor;
        if request.cursor & (get::BROWSE_FIRST | get::BROWSE_NEXT) == 0 {
            options |= match request.syncpoint {
                true => get::SYNCPOINT,
                false => get::NO_SYNCPOINT,
            };
        }
        if wait.is_some() {
            options |= get::WAIT;
        }
        let mut matched = 0;
        let mut descriptor = MessageDescriptor {
            version: 2,
            msg_seq_number: 1,
            ..MessageDescriptor::default()
        };
        if let Some(id) = request.msg_id {
            matched |= match_options::MSG_ID;
            descriptor.msg_id = id;
        }
        if let Some(id) = request.correl_id {
            matched |= match_options::CORREL_ID;
            descriptor.correl_id = id;
        }
        let millis = wait.unwrap_or_default().as_millis();
        let call = Get {
            descriptor,
            options: GetOptions {
                version: 4,
                options,
                wait_interval: i32::try_from(millis).unwrap_or(i32::MAX),
                match_options: matched,
                ..GetOptions::default()
            },
            length: i32::try_from(self.buffer_bytes).unwrap_or(i32::MAX),
            data: Bytes::new(),
        };
        let reply = self
            .call_waiting(
                "MQGET",
                SegmentType::MQGET,
                queue.handle,
                Call::Get(Box::new(call)),
                &queue.name,
                wait.unwrap_or_default(),
            )
            .await?;
        let reason = Reason(reply.reason);
        match reply.call {
            Call::Get(get) => Ok((reason, *get)),
            _ => Err(ClientError::Reply { call: "MQGET" }),
        }
    }

    /// Makes everything of the unit of work durable and visible (MQCMIT).
    ///
    /// # Errors
    ///
    /// 2003: it was backed out. Otherwise see [`ClientError::outcome_is_unknown`].
    pub async fn commit(&mut self) -> Result<(), ClientError> {
        self.call("MQCMIT", SegmentType::MQCMIT, 0, Call::Empty, "")
            .await?;
        Ok(())
    }

    /// Undoes everything of the unit of work (MQBACK).
    ///
    /// # Errors
    ///
    /// [`ClientError`]: the connection is gone; then it is backed out too.
    pub async fn back_out(&mut self) -> Result<(), ClientError> {
        self.unanswered = 0;
        self.call("MQBACK", SegmentType::MQBACK, 0, Call::Empty, "")
            .await?;
        Ok(())
    }

    /// Asks for numbers and texts of a queue that is open for [`open::INQUIRE`] (MQINQ). Selectors are in
    /// [`crate::attribute`]; texts are 48 characters, `characters` of them in all.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn inquire(
        &mut self,
        queue: &Queue,
        selectors: &[i32],
        characters: usize,
    ) -> Result<(Vec<i32>, Bytes), ClientError> {
        // MQIA_LAST = 2000: below are numbers, above texts.
        let numbers = selectors.iter().filter(|selector| **selector <= 2_000);
        let call = Attributes {
            selectors: selectors.to_vec(),
            int_count: i32::try_from(numbers.count()).unwrap_or(0),
            char_length: i32::try_from(characters).unwrap_or(0),
            ..Attributes::default()
        };
        let reply = self
            .call(
                "MQINQ",
                SegmentType::MQINQ,
                queue.handle,
                Call::Attributes(call),
                &queue.name,
            )
            .await?;
        match reply.call {
            Call::Attributes(found) => Ok((found.ints, found.chars)),
            _ => Err(ClientError::Reply { call: "MQINQ" }),
        }
    }

    /// Commits what is open and ends the session (MQDISC).
    ///
    /// # Errors
    ///
    /// [`ClientError`], as [`Session::commit`].
    pub async fn disconnect(mut self) -> Result<(), ClientError> {
        self.call("MQDISC", SegmentType::MQDISC, 0, Call::Empty, "")
            .await?;
        Ok(())
    }

    async fn call(
        &mut self,
        name: &'static str,
        segment_type: SegmentType,
        handle: i32,
        call: Call,
        object: &str,
    ) -> Result<Api, ClientError> {
        self.call_waiting(name, segment_type, handle, call, object, Duration::ZERO)
            .await
    }

    /// Sends a call and waits for its reply; a reply that says "failed" becomes an error.
    async fn call_waiting(
        &mut self,
        name: &'static str,
        segment_type: SegmentType,
        handle: i32,
        call: Call,
        object: &str,
        wait: Duration,
    ) -> Result<Api, ClientError> {
        if self.in_call {
            return Err(ClientError::Abandoned { call: name });
        }
        let mut api = Api::request(handle, call);
        api.reply_length = reply_length(&api.call);
        let header = self.port.header(segment_type);
        // Stays set when this future is dropped: whose reply comes next would not be known.
        self.in_call = true;
        self.port.shared.send(header, &Flow::Api(api))?;
        loop {
            match self.receive(name, wait).await? {
                Flow::Api(reply) => {
                    self.in_call = false;
                    // A unit of work that was backed out (2003), or whose end is pending (2124), is told
                    // with a warning.
                    let failed = match segment_type {
                        SegmentType::MQCMIT | SegmentType::MQDISC => reply.comp_code != 0,
                        _ => reply.comp_code == 2,
                    };
                    if failed {
                        return Err(ClientError::Call {
                            call: name,
                            object: object.to_owned(),
                            reason: Reason(reply.reason),
                        });
                    }
                    return Ok(reply);
                }
                // News that nobody asked for: a queue's gets were inhibited, say.
                Flow::Notification(_) => {}
                _ => return Err(ClientError::Reply { call: name }),
            }
        }
    }

    async fn receive(&mut self, call: &'static str, wait: Duration) -> Result<Flow, ClientError> {
        let limit = Duration::from_secs(self.options.call_seconds) + wait;
        match tokio::time::timeout(limit, self.port.receive()).await {
            Ok(Some(segment)) => Ok(Flow::read(segment)?),
            Ok(None) => Err(self.port.shared.ended(call)),
            Err(_) => Err(ClientError::Silence { call, after: limit }),
        }
    }
}

fn put_call(descriptor: MessageDescriptor, body: Bytes, syncpoint: bool, options: i32) -> Call {
    let options = options
        | put::FAIL_IF_QUIESCING
        | match syncpoint {
            true => put::SYNCPOINT,
            false => put::NO_SYNCPOINT,
        };
    Call::Put(Box::new(Put {
        descriptor,
        options: PutOptions {
            options,
            ..PutOptions::default()
        },
        length: i32::try_from(body.len()).unwrap_or(i32::MAX),
        data: body,
    }))
}

/// Bytes of the longest reply that is wanted: headers, structures and the room for data.
fn reply_length(call: &Call) -> u32 {
    const STRUCTURES: u32 = 2_048;
    let room = match call {
        Call::Get(get) => get.length,
        Call::Open(_) => EXTRA_BYTES,
        Call::Attributes(attributes) => attributes.int_count * 4 + attributes.char_length,
        _ => 0,
    };
    STRUCTURES + u32::try_from(room).unwrap_or(0)
}
