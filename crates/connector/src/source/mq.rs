//! A queue manager elsewhere, through IBM MQ's client channel protocol.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use mq_client::{
    ClientError, ClientOptions, GetRequest, Got, Queue, Reason, Session, connect_any, open, put,
};
use mq_wire::micros_of;
use queue_manager::{MsgId, Properties};
use telemetry::now_micros;

use super::{BatchLimits, Head, Incoming, Reader, Source, SourceError};
use crate::claim::identity_of_wire;

/// The first get waits at least this long: each one that finds nothing is a round trip.
const WAIT_MIN: Duration = Duration::from_secs(1);
/// Longest time that a batch is gathered from the first message on. Each message is a round trip, and
/// the first one should not wait for thousands of others.
const GATHER_MAX: Duration = Duration::from_millis(20);

/// Reads a queue of any queue manager. Each reader is a session on a socket of its own, and gets messages in the
/// queue's order.
#[derive(Debug, Clone)]
pub struct MqSource(Arc<ClientOptions>);

impl MqSource {
    /// With this connection.
    pub fn new(options: Arc<ClientOptions>) -> Self {
        Self(options)
    }
}

#[async_trait]
impl Source for MqSource {
    async fn begin(&self, queue: &str) -> Result<Box<dyn Reader>, SourceError> {
        let (_, mut session) = connect_any(&self.0).await?;
        let queue = session.open(queue, open::INPUT_AS_Q_DEF).await?;
        let queue_manager = session.queue_manager().to_owned();
        Ok(Box::new(MqReader {
            session,
            queue,
            queue_manager,
            others: Vec::new(),
        }))
    }
}

struct MqReader {
    session: Session,
    queue: Queue,
    queue_manager: String,
    /// Queues that are open for messages that cannot be converted.
    others: Vec<Queue>,
}

#[async_trait]
impl Reader for MqReader {
    async fn get_batch(&mut self, limits: &BatchLimits) -> Result<Vec<Incoming>, SourceError> {
        let gather_max = limits.gather_max.unwrap_or(GATHER_MAX);
        let mut request = GetRequest {
            wait: Some(limits.first_wait.max(WAIT_MIN)),
            syncpoint: true,
            ..GetRequest::default()
        };
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut first_at = Instant::now();
        while batch.len() < limits.messages_max && bytes < limits.bytes_max {
            let got = match self.session.get(&self.queue, &request).await {
                Ok(Some(got)) => got,
                Ok(None) => break,
                // The queue manager allows fewer messages in a unit of work: what is in hand is a batch.
                Err(ClientError::Call { reason, .. })
                    if reason == Reason::SYNCPOINT_LIMIT_REACHED && !batch.is_empty() =>
                {
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            if batch.is_empty() {
                first_at = Instant::now();
                request.wait = (!limits.next_wait.is_zero()).then_some(limits.next_wait);
            }
            bytes += got.body.len();
            batch.push(incoming(&self.queue_manager, got));
            if first_at.elapsed() >= gather_max {
                break;
            }
        }
        Ok(batch)
    }

    async fn commit(&mut self) -> Result<(), SourceError> {
        Ok(self.session.commit().await?)
    }

    async fn put(&mut self, queue: &str, message: &Incoming) -> Result<(), SourceError> {
        let options = open::OUTPUT | open::SET_ALL_CONTEXT;
        let found = self.others.iter().find(|open| open.name() == queue);
        let open = match found {
            Some(open) => open.clone(),
            None => {
                let open = self.session.open(queue, options).await?;
                self.others.push(open.clone());
                open
            }
        };
        let (descriptor, body) = (message.descriptor(), message.body.clone());
        // Whose message it is stays on it.
        let context = put::SET_ALL_CONTEXT;
        self.session
            .put_with(&open, descriptor, body, true, context)
            .await?;
        Ok(())
    }
}

fn incoming(queue_manager: &str, got: Got) -> Incoming {
    let identity = identity_of_wire(queue_manager, &got);
    let md = got.descriptor;
    Incoming {
        identity,
        msg_id: MsgId(md.msg_id),
        // Whoever sets the context may leave it blank.
        put_time: micros_of(&md.put_date.0, &md.put_time.0).unwrap_or_else(now_micros),
        backout_count: u32::try_from(md.backout_count).unwrap_or(0),
        descriptor: Head::Wire(Box::new(md)),
        properties: Properties::default(),
        body: got.body,
    }
}
