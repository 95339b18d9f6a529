//! From messages to records, for connectors that stand in for IBM's: each message becomes a record, or what the
//! configuration says of those that cannot.

use telemetry::now_micros;
use tracing::{error, warn};

use crate::ibm::{IbmConfig, Poison, Received, Record, RecordBuilder, RecordError};
use crate::source::Incoming;

/// Builds records as a connector's configuration says.
#[derive(Debug)]
pub struct IbmRecords {
    connector: String,
    builder: RecordBuilder,
    poison: Poison,
    as_errors: bool,
    with_identifiers: bool,
}

/// What becomes of a message.
#[derive(Debug)]
pub(crate) enum Translated {
    /// This goes to Kafka: its record, or its dead letter.
    Record(Record),
    /// It goes to this queue, as it is.
    Aside(String),
    /// Nothing: it is dropped.
    Nothing,
}

impl IbmRecords {
    /// For this connector.
    pub fn new(config: &IbmConfig) -> Self {
        Self {
            connector: config.name.clone(),
            builder: RecordBuilder::new(config),
            poison: config.errors.poison.clone(),
            as_errors: config.errors.log,
            with_identifiers: config.errors.log_messages,
        }
    }

    pub(crate) fn translate(
        &self,
        queue: &str,
        message: &Incoming,
    ) -> Result<Translated, Box<RecordError>> {
        let descriptor = message.descriptor();
        let received = Received {
            queue,
            descriptor: &descriptor,
            body: &message.body,
            beside: &message.properties.shared,
        };
        let failed = match self.builder.build(received) {
            Ok(record) => return Ok(Translated::Record(record)),
            Err(failed) => failed,
        };
        self.tell(&failed);
        match &self.poison {
            Poison::Fail => Err(Box::new(failed)),
            Poison::Skip => Ok(Translated::Nothing),
            Poison::Queue(queue) => Ok(Translated::Aside(queue.clone())),
            Poison::Topic {
                topic,
                context_headers,
            } => {
                let now_millis = now_micros() / 1_000;
                let letter = self.builder.dead_letter(
                    topic,
                    &self.connector,
                    *context_headers,
                    received,
                    &failed,
                    now_millis,
                );
                Ok(Translated::Record(letter))
            }
        }
    }

    fn tell(&self, failed: &RecordError) {
        let (connector, queue, reason) = (&self.connector, &failed.queue, &failed.reason);
        let message = match self.with_identifiers {
            true => failed.message_id.as_str(),
            false => "",
        };
        match self.as_errors {
            true => error!(
                connector,
                queue, message, reason, "a message cannot be converted"
            ),
            false => warn!(
                connector,
                queue, message, reason, "a message cannot be converted"
            ),
        }
    }
}
