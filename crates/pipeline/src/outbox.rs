//! Joins the gateway's port to the embedded queue manager.

use std::sync::Arc;

use gateway::{Batch, Kept, Outbox, PutError};
use queue_manager::{NewMessage, Properties, QueueError, QueueManager};
use telemetry::{Hop, now_micros};
use types::names;

use crate::mq_outbox::MqOutbox;
use crate::spool::SpoolingOutbox;

/// The gateway's outbox, wherever its queue is.
#[derive(Debug)]
pub(crate) enum AnyOutbox {
    /// A queue manager of this process.
    Embedded(QueueOutbox),
    /// A queue manager behind MQ's protocol.
    Elsewhere(MqOutbox),
    /// The same, with a spool for when it does not answer.
    Spooling(SpoolingOutbox),
}

impl Outbox for AnyOutbox {
    async fn put_all(&self, queue: &'static str, batch: Batch) -> Result<Kept, PutError> {
        match self {
            Self::Embedded(outbox) => outbox.put_all(queue, batch).await,
            Self::Elsewhere(outbox) => outbox.put_all(queue, batch).await,
            Self::Spooling(outbox) => outbox.put_all(queue, batch).await,
        }
    }
}

/// The gateway's outbox over a queue manager of this process.
#[derive(Debug)]
pub(crate) struct QueueOutbox {
    queue: QueueManager,
    hop: Arc<Hop>,
}

impl QueueOutbox {
    pub(crate) fn new(queue: QueueManager, hop: Arc<Hop>) -> Self {
        Self { queue, hop }
    }
}

impl Outbox for QueueOutbox {
    async fn put_all(&self, queue: &'static str, batch: Batch) -> Result<Kept, PutError> {
        let records = batch.records.len() as u64;
        let received_at = batch.received_at;
        let quarantine = queue == names::QUEUE_QUARANTINE;
        let messages = messages(&batch, quarantine);
        let mut unit = self.queue.begin();
        unit.put_all(queue, messages)
            .map_err(|error| put_error(queue, &error))?;
        unit.declare(queue, &batch.source, received_at, batch.tally);
        unit.commit()
            .await
            .map_err(|error| put_error(queue, &error))?;
        if quarantine {
            self.hop.add_quarantined(records);
        } else {
            self.hop.add_out(records);
            self.hop.observe(received_at, now_micros(), records);
        }
        Ok(Kept::Queue)
    }
}

fn messages(batch: &Batch, quarantine: bool) -> Vec<NewMessage> {
    let owned = |index: usize| {
        let properties = batch.properties(index).into_iter();
        // The id is kept apart, so that the others can be shared by the batch.
        let others = properties.filter(|(name, _)| *name != names::HEADER_ID);
        Arc::new(
            others
                .map(|(name, value)| (name.to_owned(), value.into_owned()))
                .collect(),
        )
    };
    let shared = owned(0);
    let names = &batch.names;
    let records = batch.records.iter().enumerate();
    records
        .map(|(index, record)| NewMessage {
            properties: Properties {
                shared: if quarantine {
                    owned(index)
                } else {
                    Arc::clone(&shared)
                },
                id: names.slice(record.id.start as usize..record.id.end as usize),
                key: names.slice(record.account.start as usize..record.account.end as usize),
            },
            body: batch.message_body(index),
            ..NewMessage::default()
        })
        .collect()
}

fn put_error(queue: &str, error: &QueueError) -> PutError {
    let reason = error.to_string().into();
    match error {
        QueueError::QueueFull { .. } => PutError::Full {
            queue: queue.into(),
            retry_after: None,
        },
        // Also when it had stopped before: that nothing was put is then true, but not told apart.
        QueueError::Stopped { .. } => PutError::Unknown {
            queue: queue.into(),
            reason,
        },
        _ => PutError::Unavailable {
            queue: queue.into(),
            reason,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_stop_leaves_open_whether_it_was_put() {
        let unknown = QueueError::Stopped { source: None };
        assert!(matches!(put_error("Q", &unknown), PutError::Unknown { .. }));
        let full = QueueError::QueueFull {
            queue: "Q".to_owned(),
            depth: 1,
            bytes: 1,
        };
        assert!(matches!(put_error("Q", &full), PutError::Full { .. }));
        let limit = QueueError::SyncpointLimit {
            messages: 1,
            bytes: 1,
        };
        assert!(matches!(
            put_error("Q", &limit),
            PutError::Unavailable { .. }
        ));
    }
}
