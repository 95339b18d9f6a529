//! Who did what to what was refused: a topic of its own, written before the deed.

use kafka_client::{ClientError, Cluster};
use rdkafka::message::Message as _;
use serde_json::{Value, json};
use types::names::TOPIC_AUDIT;

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// When, microseconds since 1970.
    pub at: i64,
    /// By whom.
    pub who: String,
    /// What: `replay`, `discard`, and how it ended.
    pub what: String,
    /// To which record.
    pub to: String,
}

impl Deed {
    fn value(&self) -> String {
        json!({"at": self.at, "who": self.who, "what": self.what}).to_string()
    }

    fn read(key: &[u8], value: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(value).ok()?;
        Some(Self {
            at: value.get("at")?.as_i64()?,
            who: value.get("who")?.as_str()?.to_owned(),
            what: value.get("what")?.as_str()?.to_owned(),
            to: String::from_utf8(key.to_vec()).ok()?,
        })
    }
}

/// Writes it down, durably. Blocks.
///
/// # Errors
///
/// [`ClientError`]: then it must not be done.
pub fn write(cluster: &Cluster, deed: &Deed) -> Result<(), ClientError> {
    tracing::info!(target: "audit", who = deed.who, what = deed.what, to = deed.to, "operator");
    let producer = cluster.plain_producer("daybook-audit")?;
    let error = |source| cluster.error(format!("write to {TOPIC_AUDIT}"), source);
    let value = deed.value();
    let sent = producer.send(TOPIC_AUDIT, deed.to.as_bytes(), value.as_bytes());
    sent.map_err(error)
}

/// What was done to a record, oldest first. Blocks.
///
/// # Errors
///
/// [`ClientError`].
pub fn of(cluster: &Cluster, to: &str) -> Result<Vec<Deed>, ClientError> {
    let reader = cluster.reader("daybook-audit")?;
    let mut deeds = Vec::new();
    cluster.read_all(&reader, TOPIC_AUDIT, |message| {
        let (key, value) = (message.key(), message.payload());
        let deed = Deed::read(key.unwrap_or_default(), value.unwrap_or_default());
        deeds.extend(deed.filter(|deed| deed.to == to));
    })?;
    deeds.sort_by_key(|deed| deed.at);
    Ok(deeds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deed_is_read_as_it_was_written() {
        let deed = Deed {
            at: 7,
            who: "operator \"one\"".to_owned(),
            what: "replay".to_owned(),
            to: "g-00".to_owned(),
        };
        assert_eq!(Deed::read(b"g-00", deed.value().as_bytes()), Some(deed));
        assert_eq!(Deed::read(b"g-00", b"{}"), None);
    }
}
