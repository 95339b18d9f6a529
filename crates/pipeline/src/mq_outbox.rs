//! Joins the gateway's port to a queue manager elsewhere, through MQ's protocol.
//!
//! Invariant: a batch is one unit of work; what is answered as put was committed, and only a broken
//! connection during the commit leaves the outcome open.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use gateway::{Batch, Kept, Outbox, PutError};
use mq_client::{
    Chars, ClientError, ClientOptions, Connection, MessageDescriptor, Queue, Reason, Session,
    connect_any, open,
};
use mq_wire::{Behind, FORMAT_RFH2, UserProperties};
use telemetry::{Hop, now_micros};
use tokio::sync::Semaphore;
use types::names;

/// MQFMT_STRING.
const FORMAT_STRING: [u8; 8] = *b"MQSTR   ";
const LITTLE_ENDIAN: i32 = 546;
const UTF_8: i32 = 1208;
const PERSISTENT: i32 = 1;

/// Where the gateway's queues are.
#[derive(Debug, Clone)]
pub(crate) struct MqQueues {
    pub(crate) options: Arc<ClientOptions>,
    /// Most sessions at a time; further requests wait for one.
    pub(crate) sessions_max: usize,
    /// What the queues are called there.
    pub(crate) transactions: String,
    pub(crate) quarantine: String,
}

/// The gateway's outbox over MQ's protocol. Sessions are kept and used again, the last one first.
#[derive(Debug)]
pub(crate) struct MqOutbox {
    queues: MqQueues,
    idle: Mutex<Vec<Open>>,
    permits: Semaphore,
    hop: Arc<Hop>,
}

#[derive(Debug)]
struct Open {
    session: Session,
    /// To make further sessions on the same socket.
    connection: Connection,
    transactions: Option<Queue>,
    quarantine: Option<Queue>,
}

impl MqOutbox {
    pub(crate) fn new(queues: MqQueues, hop: Arc<Hop>) -> Self {
        Self {
            permits: Semaphore::new(queues.sessions_max),
            idle: Mutex::default(),
            queues,
            hop,
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Open>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session that is not known to be gone.
    fn take_idle(&self) -> Option<Open> {
        let mut idle = self.idle();
        idle.retain(|open| !open.connection.is_ended() && !open.connection.is_quiescing());
        idle.pop()
    }

    async fn begin(&self) -> Result<Open, ClientError> {
        let known = self.idle().last().map(|open| open.connection.clone());
        if let Some(connection) = known
            && let Ok(Some(session)) = connection.session().await
        {
            return Ok(Open::new(connection, session));
        }
        let (connection, session) = connect_any(&self.queues.options).await?;
        Ok(Open::new(connection, session))
    }
}

impl Open {
    fn new(connection: Connection, session: Session) -> Self {
        Self {
            session,
            connection,
            transactions: None,
            quarantine: None,
        }
    }

    async fn queue(&mut self, queues: &MqQueues, quarantine: bool) -> Result<Queue, ClientError> {
        let (slot, name) = match quarantine {
            true => (&mut self.quarantine, &queues.quarantine),
            false => (&mut self.transactions, &queues.transactions),
        };
        if let Some(queue) = slot {
            return Ok(queue.clone());
        }
        let opened = self.session.open(name, open::OUTPUT).await?;
        Ok(slot.insert(opened).clone())
    }

    /// Puts everything, uncommitted.
    async fn put(
        &mut self,
        queues: &MqQueues,
        quarantine: bool,
        messages: &[(MessageDescriptor, Bytes)],
    ) -> Result<(), ClientError> {
        let queue = self.queue(queues, quarantine).await?;
        match messages {
            // Answered at once: nothing to ask for afterwards.
            [(descriptor, body)] => {
                let put = self
                    .session
                    .put(&queue, descriptor.clone(), body.clone(), true);
                put.await.map(drop)
            }
            messages => {
                for (descriptor, body) in messages {
                    self.session
                        .put_unanswered(&queue, descriptor.clone(), body.clone())?;
                }
                self.session.check_puts().await
            }
        }
    }
}

impl MqOutbox {
    /// Puts everything to one queue in one unit of work; `name` is what Daybook calls it.
    pub(crate) async fn put_messages(
        &self,
        name: &'static str,
        messages: &[(MessageDescriptor, Bytes)],
    ) -> Result<(), PutError> {
        let quarantine = name == names::QUEUE_QUARANTINE;
        let unavailable = |error: &ClientError| PutError::Unavailable {
            queue: name.into(),
            reason: types::report(error).into(),
        };
        let Ok(_permit) = self.permits.acquire().await else {
            return Err(PutError::Unavailable {
                queue: name.into(),
                reason: "the gateway stops".into(),
            });
        };
        // A session that was idle may be gone without our knowing: nothing is committed then, and a new
        // one is tried once.
        let mut tried = false;
        let mut open = loop {
            let idle = if tried { None } else { self.take_idle() };
            let mut open = match idle {
                Some(open) => open,
                None => self.begin().await.map_err(|error| unavailable(&error))?,
            };
            match open.put(&self.queues, quarantine, messages).await {
                Ok(()) => break open,
                Err(error) if !error.session_is_usable() && !tried => tried = true,
                Err(error) => {
                    let refused = match error.reason() {
                        Some(Reason::Q_FULL) => PutError::Full {
                            queue: name.into(),
                            retry_after: None,
                        },
                        _ => unavailable(&error),
                    };
                    // Dropped if it cannot be undone: then the queue manager undoes it.
                    if error.session_is_usable() && open.session.back_out().await.is_ok() {
                        self.idle().push(open);
                    }
                    return Err(refused);
                }
            }
        };
        if let Err(error) = open.session.commit().await {
            return Err(match error.outcome_is_unknown() {
                true => PutError::Unknown {
                    queue: name.into(),
                    reason: types::report(&error).into(),
                },
                false => unavailable(&error),
            });
        }
        self.idle().push(open);
        Ok(())
    }
}

impl Outbox for MqOutbox {
    async fn put_all(&self, queue: &'static str, batch: Batch) -> Result<Kept, PutError> {
        self.put_messages(queue, &messages(&batch)).await?;
        let records = batch.records.len() as u64;
        if queue == names::QUEUE_QUARANTINE {
            self.hop.add_quarantined(records);
        } else {
            self.hop.add_out(records);
            self.hop.observe(batch.received_at, now_micros(), records);
        }
        Ok(Kept::Queue)
    }
}

/// Every message: persistent, with its properties in front of its text.
fn descriptor() -> MessageDescriptor {
    MessageDescriptor {
        persistence: PERSISTENT,
        format: Chars(FORMAT_RFH2),
        encoding: UserProperties::ENCODING,
        ccsid: UserProperties::CCSID,
        ..MessageDescriptor::initial()
    }
}

/// A message as it is put: `properties`, then `data`.
pub(crate) fn message<'p>(
    properties: impl Iterator<Item = (&'p str, &'p str)>,
    data: &[u8],
) -> (MessageDescriptor, Bytes) {
    let behind = Behind {
        encoding: LITTLE_ENDIAN,
        ccsid: UTF_8,
        format: FORMAT_STRING,
    };
    let properties = UserProperties::new(properties);
    let mut body = BytesMut::with_capacity(properties.bytes() + data.len());
    properties.write(behind, &mut body);
    body.extend_from_slice(data);
    (descriptor(), body.freeze())
}

fn messages(batch: &Batch) -> Vec<(MessageDescriptor, Bytes)> {
    let bodies = (0..batch.records.len()).map(|index| {
        let properties = batch.properties(index);
        let pairs = properties.iter().map(|(name, value)| (*name, &**value));
        message(pairs, &batch.message_body(index))
    });
    bodies.collect()
}
