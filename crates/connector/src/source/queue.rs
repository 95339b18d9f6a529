//! The queue manager of this process.

use std::time::Duration;

use async_trait::async_trait;
use queue_manager::{Message, QueueManager, UnitOfWork};

use super::{Incoming, Reader, Source, SourceError};
use crate::claim::identity;
use crate::data::{self, Data};

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
    async fn get_batch(
        &mut self,
        wait: Duration,
        count_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Incoming>, SourceError> {
        let unit = self.unit.get_or_insert_with(|| self.manager.begin());
        let got = unit.get_batch(&self.queue, wait, count_max, bytes_max);
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
}

fn incoming(queue_manager: &str, message: Message) -> Incoming {
    let identity = identity(queue_manager, &message);
    let descriptor = &message.descriptor;
    let opened = data::open(Data {
        format: descriptor.format,
        encoding: descriptor.encoding,
        ccsid: descriptor.ccsid,
        bytes: message.body,
    });
    Incoming {
        identity,
        msg_id: message.msg_id,
        put_time: message.put_time,
        // Those of a client lie in front of the body.
        properties: opened.properties.unwrap_or(message.properties),
        body: opened.bytes,
    }
}
