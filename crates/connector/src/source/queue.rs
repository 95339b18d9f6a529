//! The queue manager of this process.

use std::sync::Arc;

use async_trait::async_trait;
use queue_manager::{Message, NewMessage, QueueManager, UnitOfWork};

use super::{BatchLimits, Head, Incoming, Reader, Source, SourceError};
use crate::claim::identity;

/// Reads a queue without a socket in between.
#[derive(Debug, Clone)]
pub struct QueueSource(QueueManager);

impl QueueSource {
    /// Of this queue manager.
    pub fn new(manager: QueueManager) -> Self {
        Self(manager)
    }
}

#[async_trait]
impl Source for QueueSource {
    async fn begin(&self, queue: &str) -> Result<Box<dyn Reader>, SourceError> {
        // Known at once when there is none.
        self.0.status_of(queue)?;
        Ok(Box::new(QueueReader {
            unit: None,
            manager: self.0.clone(),
            queue: queue.to_owned(),
        }))
    }
}

struct QueueReader {
    manager: QueueManager,
    queue: String,
    unit: Option<UnitOfWork>,
}

#[async_trait]
impl Reader for QueueReader {
    async fn get_batch(&mut self, limits: &BatchLimits) -> Result<Vec<Incoming>, SourceError> {
        let unit = self.unit.get_or_insert_with(|| self.manager.begin());
        let BatchLimits {
            messages_max,
            bytes_max,
            first_wait,
            ..
        } = *limits;
        // What is there comes at once, so no further ones are waited for.
        let got = unit.get_batch(&self.queue, first_wait, messages_max, bytes_max);
        Ok(got
            .await?
            .into_iter()
            .map(|message| incoming(self.manager.name(), message))
            .collect())
    }

    async fn commit(&mut self) -> Result<(), SourceError> {
        if let Some(unit) = self.unit.take() {
            unit.commit().await?;
        }
        Ok(())
    }

    async fn put(&mut self, queue: &str, message: &Incoming) -> Result<(), SourceError> {
        let Head::Own {
            shared,
            correl_id,
            priority,
        } = &message.descriptor
        else {
            // It was got from this queue manager.
            return Ok(());
        };
        let unit = self.unit.get_or_insert_with(|| self.manager.begin());
        let message = NewMessage {
            msg_id: Some(message.msg_id),
            correl_id: *correl_id,
            priority: *priority,
            put_time: Some(message.put_time),
            descriptor: Arc::clone(shared),
            properties: message.properties.clone(),
            body: message.body.clone(),
            ..NewMessage::default()
        };
        Ok(unit.put(queue, message)?)
    }
}

fn incoming(queue_manager: &str, message: Message) -> Incoming {
    Incoming {
        identity: identity(queue_manager, &message),
        msg_id: message.msg_id,
        put_time: message.put_time,
        backout_count: message.backout_count,
        descriptor: Head::Own {
            shared: message.descriptor,
            correl_id: message.correl_id,
            priority: message.priority,
        },
        properties: message.properties,
        body: message.body,
    }
}
