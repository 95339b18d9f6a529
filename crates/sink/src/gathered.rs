//! What was read of all topics and not written yet.

use std::collections::HashMap;

use kafka_client::number_header;
use rdkafka::message::{BorrowedMessage, Message};
use store::DayCounts;
use tracing::warn;
use types::{BusinessDay, Marker, names};

use crate::pending::Pending;
use crate::record::version_of;
use crate::service::{SinkError, SinkOptions};

/// What was read and not written yet: of each row its newest state alone.
#[derive(Debug)]
pub(crate) struct Gathered {
    /// In the order of the options.
    pub(crate) tables: Vec<Pending>,
    pub(crate) counts: HashMap<(String, BusinessDay, i32), DayCounts>,
}

impl Gathered {
    /// Of the tables of the options, without any partition yet.
    pub(crate) fn new(options: &SinkOptions) -> Self {
        Self {
            tables: options.tables.iter().map(|_| Pending::default()).collect(),
            counts: HashMap::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.tables.iter().all(Pending::is_empty)
    }

    pub(crate) fn rows(&self) -> usize {
        self.tables.iter().map(|pending| pending.newest.len()).sum()
    }

    pub(crate) fn add(
        &mut self,
        options: &SinkOptions,
        message: &BorrowedMessage<'_>,
    ) -> Result<(), SinkError> {
        let mut tables = options.tables.iter().zip(&mut self.tables);
        let found = tables.find(|(table, _)| table.name == message.topic());
        let Some((table, pending)) = found else {
            self.add_counts(options, message);
            return Ok(());
        };
        let (partition, offset) = (message.partition(), message.offset());
        pending.received = pending
            .received
            .into_iter()
            .chain(number_header(message, names::HEADER_RECEIVED_AT))
            .min();
        if let (Some(key), Some(value)) = (message.key(), message.payload()) {
            match Marker::is_key(key) {
                true => {
                    let marker = Marker::parse(key, value);
                    marker
                        .into_iter()
                        .for_each(|marker| pending.mark(partition, marker));
                }
                false => {
                    let version = version_of(table, partition, offset, key, value)?;
                    pending.put(key, version, partition, offset, value);
                }
            }
        }
        pending.reach(partition, offset);
        Ok(())
    }

    fn add_counts(&mut self, options: &SinkOptions, message: &BorrowedMessage<'_>) {
        let (Some(key), Some(value)) = (message.key(), message.payload()) else {
            return;
        };
        match (options.parse_counts)(key, value) {
            Some((aggregation, day, partition, counts)) => {
                let counts = DayCounts {
                    day,
                    partition,
                    counts,
                    offset: message.offset(),
                };
                self.counts.insert((aggregation, day, partition), counts);
            }
            None => warn!(
                offset = message.offset(),
                "a record of the counts topic is not understood"
            ),
        }
    }
}
