//! Reads the records of `transactions` with code of its own.

use std::collections::{BTreeMap, BTreeSet};

use aggregate::{FieldKind, Schema};
use anyhow::Context as _;
use kafka_client::{Cluster, number_header};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use types::{Amount, BusinessDay, Tally, minute_of, names};

/// The fields of DESIGN §3 that must be there, and those that may be.
const REQUIRED: [&str; 5] = ["id", "account", "amount", "currency", "booked_at"];
const OPTIONAL: [&str; 3] = ["source", "received_at", "reverses"];

/// A record of the topic.
pub(super) struct Record {
    pub(super) partition: i32,
    /// When the log appended it, microseconds since 1970, at the latest.
    pub(super) appended_at: i64,
    pub(super) value: Box<[u8]>,
}

/// A source and a minute of receipt.
pub(super) type Origin = (String, i64);

/// What one source brought.
#[derive(Default)]
pub(super) struct Brought {
    pub(super) records: u64,
    /// Of all ids; independent of order.
    pub(super) ids: u64,
    /// Units by currency.
    pub(super) sums: BTreeMap<String, i128>,
}

/// First and next offset of each partition.
pub(super) type Bounds = Vec<(i64, i64)>;

/// The whole topic.
pub(super) struct Log {
    pub(super) records: Vec<Record>,
    pub(super) bounds: Bounds,
    pub(super) sources: BTreeMap<String, Brought>,
    /// What arrived here of each source and minute.
    pub(super) tallies: BTreeMap<Origin, Tally>,
}

/// Reads everything that is there now in a topic that others fill.
pub(super) fn read_other(cluster: &Cluster, topic: &str) -> anyhow::Result<Vec<Record>> {
    let consumer = cluster.reader("daybook-prove")?;
    let mut records = Vec::new();
    cluster.read_all(&consumer, topic, |message| records.push(record(message)))?;
    Ok(records)
}

fn record(message: &BorrowedMessage<'_>) -> Record {
    Record {
        partition: message.partition(),
        appended_at: message.timestamp().to_millis().unwrap_or(0) * 1000 + 999,
        value: message.payload().unwrap_or_default().into(),
    }
}

/// Reads everything that is there now.
pub(super) fn read_log(cluster: &Cluster) -> anyhow::Result<Log> {
    let consumer = cluster.reader("daybook-prove")?;
    let bounds = cluster
        .offsets(&consumer, names::TOPIC_TRANSACTIONS)
        .context("is `daybook up` running?")?;
    let mut log = Log {
        records: Vec::new(),
        bounds,
        sources: BTreeMap::new(),
        tallies: BTreeMap::new(),
    };
    cluster.read_all(&consumer, names::TOPIC_TRANSACTIONS, |message| {
        let value = message.payload().unwrap_or_default();
        let fields = Fields::read(value);
        let (origin, id) = origin(message, fields.as_ref());
        let amount = fields.as_ref().and_then(|fields| fields.text("amount"));
        let amount = amount.and_then(|text| Amount::parse(text).ok());
        let tally = log.tallies.entry(origin.clone()).or_default();
        tally.add(&id, amount);
        let brought = log.sources.entry(origin.0).or_default();
        brought.records += 1;
        brought.ids = brought.ids.wrapping_add(types::id_hash(&id));
        let currency = fields.as_ref().and_then(|fields| fields.text("currency"));
        if let (Some(amount), Some(currency)) = (amount, currency) {
            let sum = brought.sums.entry(currency.to_owned()).or_default();
            *sum = sum.wrapping_add(amount.units());
        }
        log.records.push(record(message));
    })?;
    Ok(log)
}

/// Where a record came from as the queue's ledger has it, and the id it has there.
///
/// A message that did not come through the gateway has its `MsgId` in the header `id`.
fn origin(message: &BorrowedMessage<'_>, fields: Option<&Fields>) -> (Origin, Vec<u8>) {
    let headers = message.headers();
    let header = headers.and_then(|all| all.iter().find(|one| one.key == names::HEADER_ID));
    let id = header.and_then(|header| header.value).unwrap_or_default();
    let received_at = number_header(message, names::HEADER_RECEIVED_AT).unwrap_or(0);
    let text = |name| fields.and_then(|fields| fields.text(name));
    let source = match text("id").is_some_and(|own| own.as_bytes() == id) {
        true => text("source").unwrap_or(""),
        false => "",
    };
    ((source.to_owned(), minute_of(received_at)), id.to_vec())
}

/// The fields of a JSON object.
#[derive(Debug)]
pub(super) struct Fields {
    values: serde_json::Map<String, Value>,
    /// Numbers as they stand there: as values they may have become floats.
    numbers: BTreeMap<String, Box<RawValue>>,
    /// Fields that come twice.
    repeated: BTreeSet<String>,
}

impl Fields {
    /// `None` when the value is not one object in which no field of a transaction comes twice.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.as_str()
    }

    pub(super) fn micros(&self, name: &str) -> Option<i64> {
        let instant: jiff::Timestamp = self.text(name)?.parse().ok()?;
        Some(instant.as_microsecond())
    }

    /// What a field of a type says, as text; a number's is the number's.
    pub(super) fn said(&self, name: &str, kind: FieldKind) -> Option<&str> {
        let number_fits = matches!(
            kind,
            FieldKind::Decimal | FieldKind::Integer | FieldKind::EpochMillis
        );
        let number = self.numbers.get(name).filter(|_| number_fits);
        number
            .map(|number| number.get())
            .or_else(|| self.text(name))
    }

    /// An instant, as a declared schema writes it.
    pub(super) fn instant(&self, name: &str, kind: FieldKind) -> Option<i64> {
        match kind {
            FieldKind::EpochMillis => {
                let millis: i64 = self.said(name, kind)?.parse().ok()?;
                millis.checked_mul(1_000)
            }
            _ => self.micros(name),
        }
    }

    /// Whether this is a transaction as the input says.
    pub(super) fn fits(&self, schema: &Schema) -> bool {
        if schema.is_canonical() {
            let further = schema.columns.iter().map(|column| column.name.as_str());
            return self.is_transaction(further);
        }
        schema.columns.iter().all(|column| {
            let (name, kind) = (column.name.as_str(), column.kind);
            if self.repeated.contains(name) {
                return false;
            }
            match self.values.get(name) {
                None | Some(Value::Null) => column.is_optional,
                Some(value) => {
                    let text = self.said(name, kind);
                    match kind {
                        FieldKind::Text => value.is_string(),
                        FieldKind::Decimal => text.is_some_and(|text| Amount::parse(text).is_ok()),
                        FieldKind::Integer => {
                            value.is_number()
                                && text.is_some_and(|text| text.parse::<i64>().is_ok())
                        }
                        FieldKind::Timestamp => self.micros(name).is_some(),
                        FieldKind::EpochMillis => {
                            let at = self.instant(name, kind);
                            value.is_number()
                                && at
                                    .is_some_and(|at| jiff::Timestamp::from_microsecond(at).is_ok())
                        }
                        FieldKind::Date => {
                            text.is_some_and(|text| text.parse::<BusinessDay>().is_ok())
                        }
                    }
                }
            }
        })
    }

    /// Whether this is a transaction as DESIGN §3 has it. `further`: names of the other columns.
    fn is_transaction<'n>(&self, further: impl Iterator<Item = &'n str>) -> bool {
        let further = further.filter(|name| !REQUIRED.contains(name));
        let mut optional = OPTIONAL.iter().copied().chain(further);
        REQUIRED.iter().all(|name| self.text(name).is_some())
            && optional.all(|name| self.values.get(name).is_none_or(Value::is_string))
            && self
                .text("amount")
                .is_some_and(|text| Amount::parse(text).is_ok())
            && self.micros("booked_at").is_some()
            && (self.text("received_at").is_none() || self.micros("received_at").is_some())
    }

    /// Hash of all fields but those that may differ between two sendings.
    pub(super) fn content(&self, schema: &Schema) -> u64 {
        let mut fields = self.values.clone();
        for (name, number) in &self.numbers {
            fields.insert(name.clone(), Value::from([number.get()].as_slice()));
        }
        let left_out = [Some(schema.id), schema.source, schema.received_at];
        for column in left_out.into_iter().flatten() {
            if let Some(column) = schema.columns.get(column) {
                fields.remove(&column.name);
            }
        }
        types::id_hash(Value::Object(fields).to_string().as_bytes())
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Fields;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let (mut values, mut numbers) = (serde_json::Map::new(), BTreeMap::new());
                let mut repeated = BTreeSet::new();
                while let Some((name, raw)) = map.next_entry::<String, Box<RawValue>>()? {
                    let value: Value = serde_json::from_str(raw.get()).map_err(A::Error::custom)?;
                    numbers.remove(&name);
                    if value.is_number() {
                        numbers.insert(name.clone(), raw);
                    }
                    let is_ours = REQUIRED.iter().chain(&OPTIONAL).any(|known| *known == name);
                    if values.insert(name.clone(), value).is_some() {
                        if is_ours {
                            return Err(A::Error::custom("a field comes twice"));
                        }
                        repeated.insert(name);
                    }
                }
                Ok(Fields {
                    values,
                    numbers,
                    repeated,
                })
            }
        }
        deserializer.deserialize_map(ObjectVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"id":"t1","source":"json","account":"a","amount":"-1.50","currency":"EUR","booked_at":"2026-11-23T10:00:00+01:00","received_at":"2026-11-23T09:00:01.5Z","merchant":"x"}"#;

    /// As the aggregator judges it, or they would never agree.
    #[track_caller]
    fn check(json: &str) {
        let schema = Schema::canonical(&["merchant".to_owned()]);
        let own = Fields::read(json.as_bytes()).is_some_and(|fields| fields.fits(&schema));
        let aggregator = schema.read(json.as_bytes());
        assert_eq!(own, aggregator.is_ok(), "{json}: {aggregator:?}");
    }

    #[test]
    fn what_is_a_transaction_is_what_the_aggregator_takes_for_one() {
        check(GOOD);
        for name in REQUIRED.iter().chain(&OPTIONAL).chain(&["merchant"]) {
            check(&GOOD.replace(&format!("\"{name}\""), "\"other\""));
            check(&GOOD.replace(
                &format!("\"{name}\":\""),
                &format!("\"{name}\":null,\"o\":\""),
            ));
            check(&GOOD.replace("\"merchant\":\"x\"", &format!("\"{name}\":\"x\"")));
        }
        for (from, to) in [
            ("\"-1.50\"", "-1.50"),
            ("-1.50", "1e400"),
            ("-1.50", ""),
            ("+01:00", ""),
            ("09:00:01.5Z", "later"),
            ("}", "}x"),
            ("{", "[{"),
            ("\"x\"", "{\"id\":1,\"id\":2}"),
        ] {
            check(&GOOD.replace(from, to));
        }
    }

    #[test]
    fn the_content_leaves_out_what_a_second_sending_changes() {
        let schema = Schema::canonical(&[]);
        let content = |json: &str| {
            Fields::read(json.as_bytes())
                .expect("reads")
                .content(&schema)
        };
        assert_eq!(
            content(GOOD),
            content(&GOOD.replace("09:00:01.5Z", "09:30:00Z"))
        );
        assert_ne!(content(GOOD), content(&GOOD.replace("-1.50", "-1.5")));
    }
}
