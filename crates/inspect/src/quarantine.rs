//! What was refused: by the gateway, on a queue, as it was sent; by an aggregation, in a topic, as the log has it.
//!
//! # Invariants
//!
//! - **A record is in the quarantine until the gateway has accepted it**, or an operator has discarded it: it is got in a unit of work that
//!   is committed behind the gateway's answer. A crash between the two leaves it there; replayed again it is a duplicate.

use bytes::Bytes;
use kafka_client::Cluster;
use mq_client::{GetRequest, Got, Session, get, open};
use mq_wire::{FORMAT_RFH2, Rfh2, micros_of, unescaped};
use rdkafka::message::{Headers as _, Message as _};
use types::names;
use web::{QuarantineRecord, RefusedBy};

use crate::error::InspectError;
use crate::parts::Parts;

/// Most messages that are looked at, of each kind.
pub(crate) const LOOK_MESSAGES_MAX: usize = 20_000;
/// Characters of a record's beginning.
const EXCERPT_CHARS: usize = 200;
/// Most bytes of a record that are shown, or replayed.
pub(crate) const INPUT_BYTES_MAX: usize = 1 << 20;

/// A refused record, whole.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refused {
    /// As it is listed.
    pub(crate) record: QuarantineRecord,
    /// What was sent; of the gateway's as much as was kept.
    pub(crate) body: Bytes,
    /// Whether that is not all.
    pub(crate) is_cut: bool,
}

/// Hex of a message's identifier, behind what says where it is.
fn gateway_id(msg_id: &[u8; 24]) -> String {
    let hex: String = msg_id.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("g-{hex}")
}

/// The message that an id names; `None` of one that is not of a queue.
pub(crate) fn msg_id(id: &str) -> Option<[u8; 24]> {
    let hex = id.strip_prefix("g-").filter(|hex| hex.len() == 48)?;
    let mut bytes = [0; 24];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// Partition and offset in the topic; `None` of one that is not there.
fn place(id: &str) -> Option<(i32, i64)> {
    let (partition, offset) = id.strip_prefix("a-")?.split_once('-')?;
    Some((partition.parse().ok()?, offset.parse().ok()?))
}

fn failed(error: mq_client::ClientError) -> InspectError {
    InspectError::Queue {
        queue: names::QUEUE_QUARANTINE.to_owned(),
        source: Box::new(error),
    }
}

/// Hands over what the gateway has refused, oldest first.
///
/// # Errors
///
/// [`InspectError::Queue`].
pub(crate) async fn browse(
    session: &mut Session,
    mut each: impl FnMut(Refused),
) -> Result<(), InspectError> {
    let queue = session.open(names::QUEUE_QUARANTINE, open::BROWSE).await;
    let queue = queue.map_err(failed)?;
    let mut cursor = get::BROWSE_FIRST;
    for _ in 0..LOOK_MESSAGES_MAX {
        let request = GetRequest {
            cursor,
            ..GetRequest::default()
        };
        let Some(got) = session.get(&queue, &request).await.map_err(failed)? else {
            break;
        };
        cursor = get::BROWSE_NEXT;
        each(of_message(&got));
    }
    session.close(queue, 0).await.map_err(failed)
}

/// Takes one out, in the session's unit of work; `None` when it is no longer there.
///
/// # Errors
///
/// [`InspectError::Queue`].
pub(crate) async fn take(
    session: &mut Session,
    msg_id: [u8; 24],
) -> Result<Option<Refused>, InspectError> {
    let queue = session
        .open(names::QUEUE_QUARANTINE, open::INPUT_SHARED)
        .await;
    let queue = queue.map_err(failed)?;
    let request = GetRequest {
        syncpoint: true,
        msg_id: Some(msg_id),
        ..GetRequest::default()
    };
    let got = session.get(&queue, &request).await.map_err(failed)?;
    Ok(got.map(|got| of_message(&got)))
}

/// Ends the unit of work: the record is gone, or back.
///
/// # Errors
///
/// [`InspectError::Queue`]: then it is there again when the connection has ended.
pub(crate) async fn end(session: &mut Session, is_done: bool) -> Result<(), InspectError> {
    let ended = match is_done {
        true => session.commit().await,
        false => session.back_out().await,
    };
    ended.map_err(failed)
}

fn of_message(got: &Got) -> Refused {
    let md = &got.descriptor;
    let parts = Parts::of(md, &got.body);
    let header = match md.format.0 == FORMAT_RFH2 {
        true => Rfh2::read(&got.body, md.encoding),
        false => None,
    };
    let property = |name: &str| {
        let element = header.as_ref()?.element("usr", name)?;
        Some(unescaped(element.content))
    };
    let received = property(names::HEADER_RECEIVED_AT).and_then(|at| at.parse().ok());
    let put = micros_of(&md.put_date.0, &md.put_time.0);
    let bytes = property(gateway::PROPERTY_ORIGINAL_BYTES).and_then(|bytes| bytes.parse().ok());
    let record = QuarantineRecord {
        id: gateway_id(&md.msg_id),
        from: RefusedBy::Gateway,
        source: property(names::HEADER_SOURCE).unwrap_or_default(),
        reason: property(gateway::PROPERTY_RULE).unwrap_or_default(),
        detail: property(gateway::PROPERTY_DETAIL).unwrap_or_default(),
        at: received.or(put).unwrap_or_default(),
        bytes: bytes.unwrap_or(parts.body.len() as u64),
        excerpt: excerpt(&parts.body),
        replayed: md.backout_count > 0,
    };
    Refused {
        record,
        is_cut: property(gateway::PROPERTY_TRUNCATED).as_deref() == Some("true"),
        body: parts.body,
    }
}

/// Hands over what aggregations have refused, oldest first in each partition; the newest [`LOOK_MESSAGES_MAX`]. Blocks.
///
/// # Errors
///
/// [`InspectError::Log`].
pub(crate) fn read(cluster: &Cluster, mut each: impl FnMut(Refused)) -> Result<(), InspectError> {
    let topic = names::TOPIC_QUARANTINE;
    let reader = cluster.reader("daybook-quarantine")?;
    for (partition, (first, next)) in (0..).zip(cluster.offsets(&reader, topic)?) {
        let most = i64::try_from(LOOK_MESSAGES_MAX).unwrap_or(i64::MAX);
        let from = first.max(next - most);
        read_some(cluster, &reader, partition, (from, next), &mut each)?;
    }
    Ok(())
}

/// The one of this id; `None` when it is no longer there. Blocks.
///
/// # Errors
///
/// [`InspectError::Log`].
pub(crate) fn find(cluster: &Cluster, id: &str) -> Result<Option<Refused>, InspectError> {
    let Some((partition, offset)) = place(id) else {
        return Ok(None);
    };
    let reader = cluster.reader("daybook-quarantine")?;
    let bounds = cluster.offsets(&reader, names::TOPIC_QUARANTINE)?;
    let bounds = usize::try_from(partition)
        .ok()
        .and_then(|index| bounds.get(index));
    if !bounds.is_some_and(|(first, next)| (*first..*next).contains(&offset)) {
        return Ok(None);
    }
    let mut found = None;
    let each = |refused| found = Some(refused);
    read_some(cluster, &reader, partition, (offset, offset + 1), each)?;
    Ok(found)
}

fn read_some(
    cluster: &Cluster,
    reader: &kafka_client::LogConsumer,
    partition: i32,
    between: (i64, i64),
    mut each: impl FnMut(Refused),
) -> Result<(), InspectError> {
    if between.0 >= between.1 {
        return Ok(());
    }
    let of = (names::TOPIC_QUARANTINE, partition);
    cluster.read_between(reader, of, between, |message| {
        let reason = message.headers().and_then(|headers| {
            let found = headers.iter().find(|header| header.key == "reason")?;
            std::str::from_utf8(found.value?).ok()
        });
        let at = message.timestamp().to_millis().unwrap_or_default() * 1_000;
        let value = message.payload().unwrap_or_default();
        each(of_record((partition, message.offset()), reason, at, value));
    })?;
    Ok(())
}

fn of_record(place: (i32, i64), reason: Option<&str>, at: i64, value: &[u8]) -> Refused {
    // `rule: why`, as aggregations write it.
    let (reason, detail) = reason
        .unwrap_or_default()
        .split_once(": ")
        .unwrap_or((reason.unwrap_or_default(), ""));
    let fields: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(value).unwrap_or_default();
    let source = fields
        .get(names::field::SOURCE)
        .and_then(|source| source.as_str());
    Refused {
        record: QuarantineRecord {
            id: format!("a-{}-{}", place.0, place.1),
            from: RefusedBy::Aggregation,
            source: source.unwrap_or_default().to_owned(),
            reason: reason.to_owned(),
            detail: detail.to_owned(),
            at,
            bytes: value.len() as u64,
            excerpt: excerpt(value),
            replayed: false,
        },
        body: Bytes::copy_from_slice(value),
        is_cut: false,
    }
}

fn excerpt(body: &[u8]) -> String {
    // Four bytes a character at most.
    let start = &body[..body.len().min(EXCERPT_CHARS * 4)];
    let text = String::from_utf8_lossy(start);
    text.chars().take(EXCERPT_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_name_messages_and_records() {
        let bytes: [u8; 24] = std::array::from_fn(|index| index as u8 * 11);
        let id = gateway_id(&bytes);
        assert_eq!(msg_id(&id), Some(bytes));
        assert_eq!(place(&id), None);
        assert_eq!(place("a-3-17"), Some((3, 17)));
        for wrong in ["", "g-", "g-00", "a-3-17", "a-3", "a-x-1", "g-é"] {
            assert_eq!(msg_id(wrong), None, "{wrong}");
        }
        let wide = format!("g-{}", "é".repeat(24));
        assert_eq!(msg_id(&wide), None);
    }

    #[test]
    fn a_refused_record_says_why() {
        let value = br#"{"source":"pain","id":"t-1"}"#;
        let refused = of_record(
            (0, 7),
            Some("too-late: its business day is no longer kept"),
            5,
            value,
        );
        let record = refused.record;
        assert_eq!(record.reason, "too-late");
        assert_eq!(record.detail, "its business day is no longer kept");
        assert_eq!(
            (record.source.as_str(), record.id.as_str()),
            ("pain", "a-0-7")
        );
        let unknown = of_record((0, 8), None, 5, b"\xff").record;
        assert_eq!(
            (unknown.reason.as_str(), unknown.excerpt.as_str()),
            ("", "\u{fffd}")
        );
    }

    #[test]
    fn beginnings_are_short() {
        assert_eq!(
            excerpt("é".repeat(1_000).as_bytes()).chars().count(),
            EXCERPT_CHARS
        );
        assert_eq!(excerpt(&[b'a'; EXCERPT_CHARS]).len(), EXCERPT_CHARS);
    }
}
