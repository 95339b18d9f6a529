//! What processes tell each other of an aggregation's queries, in the compacted topic `__daybook_control`.
//!
//! ```text
//! key  ["daily_totals","spark",3]      value  {"remote":"sc://…","session":"…","name":"…","checkpoint":"…"}   the query of generation 3
//! key  ["daily_totals","counted",3,0]  value  {}   partition 0 has told Spark all that was there when generation 3 began
//! ```
//!
//! A definition in force has the aggregation's name for its key, which is never a list.

use std::collections::{BTreeMap, BTreeSet};

use kafka_client::{ClientError, Cluster, LogConsumer};
use rdkafka::message::Message as _;
use serde::{Deserialize, Serialize};
use types::names;

/// Where a query is to be found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct QueryNote {
    pub(crate) remote: String,
    pub(crate) session: String,
    pub(crate) name: String,
    /// Tells its checkpoint from that of a log which was there before.
    pub(crate) checkpoint: String,
}

/// All notes of an aggregation.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    /// By generation.
    pub(crate) queries: BTreeMap<u32, QueryNote>,
    /// Generation and partition.
    pub(crate) counted: BTreeSet<(u32, i32)>,
}

pub(crate) fn query_key(aggregation: &str, generation: u32) -> String {
    format!("[\"{aggregation}\",\"spark\",{generation}]")
}

pub(crate) fn counted_key(aggregation: &str, generation: u32, partition: i32) -> String {
    format!("[\"{aggregation}\",\"counted\",{generation},{partition}]")
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Key {
    Counted(String, String, u32, i32),
    Query(String, String, u32),
}

impl Notes {
    /// Reads all. Blocks.
    pub(crate) fn read(
        cluster: &Cluster,
        reader: &LogConsumer,
        aggregation: &str,
    ) -> Result<Self, ClientError> {
        let mut notes = Self::default();
        cluster.read_all(reader, names::TOPIC_CONTROL, |message| {
            let key = message.key().unwrap_or_default();
            notes.note(aggregation, key, message.payload());
        })?;
        Ok(notes)
    }

    fn note(&mut self, aggregation: &str, key: &[u8], value: Option<&[u8]>) {
        match serde_json::from_slice(key) {
            Ok(Key::Query(of, what, generation)) if of == aggregation && what == "spark" => {
                match value.and_then(|value| serde_json::from_slice(value).ok()) {
                    Some(note) => drop(self.queries.insert(generation, note)),
                    None => drop(self.queries.remove(&generation)),
                }
            }
            Ok(Key::Counted(of, what, generation, partition))
                if of == aggregation && what == "counted" && value.is_some() =>
            {
                self.counted.insert((generation, partition));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_back_and_told_from_definitions_and_other_aggregations() {
        let note = QueryNote {
            remote: "sc://127.0.0.1:15002".to_owned(),
            session: "s".to_owned(),
            name: "daybook-totals-3".to_owned(),
            checkpoint: "c".to_owned(),
        };
        let value = serde_json::to_vec(&note).expect("serializes");
        let mut notes = Notes::default();
        notes.note("totals", b"totals", Some(b"{}"));
        notes.note("totals", query_key("other", 2).as_bytes(), Some(&value));
        assert_eq!(notes, Notes::default());
        notes.note("totals", query_key("totals", 3).as_bytes(), Some(&value));
        notes.note(
            "totals",
            counted_key("totals", 3, 11).as_bytes(),
            Some(b"{}"),
        );
        assert_eq!(notes.queries.get(&3), Some(&note));
        assert_eq!(notes.counted, BTreeSet::from([(3, 11)]));
        notes.note("totals", query_key("totals", 3).as_bytes(), None);
        assert!(notes.queries.is_empty());
    }
}
