//! Builds Kafka records from messages, as IBM's `DefaultRecordBuilder` and `JsonRecordBuilder` do, and
//! dead letters from those that cannot be converted.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::config::{Builder, IbmConfig, KeySource, RecordOptions, TopicName};
use super::convert::{Datum, Schema};
use super::message::{JmsKind, JmsMessage, Received};

/// What goes to Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where to.
    pub topic: String,
    /// `None` = null.
    pub key: Option<Bytes>,
    /// `None` = null.
    pub value: Option<Bytes>,
    /// In their order; `None` = null.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// Milliseconds since 1970; `None` = when it is produced.
    pub timestamp: Option<i64>,
}

/// Where in Kafka Connect's way of a record it went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The builder.
    TaskPoll,
    /// The key's converter.
    KeyConverter,
    /// The value's converter.
    ValueConverter,
}

impl Stage {
    /// As Kafka Connect's header has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::TaskPoll => "TASK_POLL",
            Self::KeyConverter => "KEY_CONVERTER",
            Self::ValueConverter => "VALUE_CONVERTER",
        }
    }
}

/// A message that cannot become a record. Trying again does not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the message {message_id} of {queue} cannot be converted: {reason}")]
pub struct RecordError {
    /// Where it was.
    pub queue: String,
    /// `JMSMessageID`.
    pub message_id: String,
    /// Where it went wrong.
    pub stage: Stage,
    /// Why.
    pub reason: String,
}

/// Builds records as a connector's configuration says.
#[derive(Debug, Clone)]
pub struct RecordBuilder {
    options: RecordOptions,
    topic: TopicName,
}

type Failed = (Stage, String);

impl RecordBuilder {
    /// For this connector.
    pub fn new(config: &IbmConfig) -> Self {
        Self {
            options: config.record.clone(),
            topic: config.topic.clone(),
        }
    }

    /// The record of a message. The body is not copied where it goes out as it came.
    ///
    /// # Errors
    ///
    /// [`RecordError`]: see [`Poison`](super::Poison) for what is to become of it.
    pub fn build(&self, received: Received<'_>) -> Result<Record, RecordError> {
        let message = JmsMessage::of(received, self.options.body_jms);
        self.convert(&message, received.queue)
            .map_err(|(stage, reason)| RecordError {
                queue: received.queue.to_owned(),
                message_id: message.message_id(),
                stage,
                reason,
            })
    }

    fn convert(&self, message: &JmsMessage<'_>, queue: &str) -> Result<Record, Failed> {
        let options = &self.options;
        let (value, schema) =
            value(options, message).map_err(|reason| (Stage::TaskPoll, reason))?;
        let (key, key_schema) =
            key(options, message).map_err(|reason| (Stage::TaskPoll, reason))?;
        let key = options.key_converter.write(key, key_schema);
        let value = options.value_converter.write(value, schema);
        Ok(Record {
            topic: self.topic.of(queue),
            key: key.map_err(|reason| (Stage::KeyConverter, reason))?,
            value: value.map_err(|reason| (Stage::ValueConverter, reason))?,
            headers: self.properties(message),
            timestamp: message.timestamp().filter(|_| options.body_jms),
        })
    }

    fn properties(&self, message: &JmsMessage<'_>) -> Vec<(String, Option<Bytes>)> {
        let options = &self.options;
        if !options.copy_properties {
            return Vec::new();
        }
        let properties = message.properties(options.mqmd_read).into_iter();
        properties
            .map(|(name, value)| (name, options.header_converter.write_header(value)))
            .collect()
    }

    /// The record for the dead-letter topic: all bytes behind MQMD, no key, and with `context_headers` the
    /// reason as Kafka Connect's and IBM's headers. `now_millis` is when it failed.
    pub fn dead_letter(
        &self,
        topic: &str,
        connector: &str,
        context_headers: bool,
        received: Received<'_>,
        error: &RecordError,
        now_millis: i64,
    ) -> Record {
        let message = JmsMessage::of(received, self.options.body_jms);
        let mut headers = self.properties(&message);
        let timestamp = message.timestamp();
        if context_headers {
            let mut put = |name: &str, value: String| {
                headers.push((format!("__connect.errors.{name}"), Some(Bytes::from(value))));
            };
            put("topic", self.topic.of(received.queue));
            put("connector.name", connector.to_owned());
            put("stage", error.stage.name().to_owned());
            // What Connect's own converters throw; consumers look for it.
            put(
                "exception.class.name",
                "org.apache.kafka.connect.errors.DataException".to_owned(),
            );
            put("exception.message", error.reason.clone());
            put("jms.message.id", error.message_id.clone());
            put("jms.timestamp", timestamp.unwrap_or_default().to_string());
            put("mq.queue", received.queue.to_owned());
            put("timestamp", now_millis.to_string());
        }
        Record {
            topic: topic.to_owned(),
            key: None,
            value: Some(received.body.clone()),
            headers,
            timestamp,
        }
    }
}

fn value(options: &RecordOptions, message: &JmsMessage<'_>) -> Result<(Datum, Schema), String> {
    let datum = match (options.builder, message.kind) {
        (Builder::Default, JmsKind::Bytes) => Datum::Bytes(message.body.clone()),
        (Builder::Default, JmsKind::Text) => Datum::Text(message.text()?),
        (Builder::Default, JmsKind::None) => Datum::Null,
        (Builder::Json, JmsKind::Bytes | JmsKind::Text) => {
            json_of(message)?.map_or(Datum::Null, Datum::Json)
        }
        (_, kind) => {
            return Err(format!(
                "Unsupported JMS message type: {kind:?}; text and bytes messages are taken"
            ));
        }
    };
    // Connect's builder knows the schema of raw bytes alone.
    let schema = match options.builder == Builder::Default && !options.body_jms {
        true => Schema::Optional,
        false => Schema::None,
    };
    Ok((datum, schema))
}

/// The body, checked: one JSON value in UTF-8 and nothing else. `None` for a blank body and for `null`, of
/// which Connect's converter makes a record without a value.
fn json_of(message: &JmsMessage<'_>) -> Result<Option<Bytes>, String> {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    let text = match message.kind == JmsKind::Text && !message.body.is_ascii() {
        true => Bytes::from(message.text()?),
        false => message.body.clone(),
    };
    let text = match text.starts_with(MARK) {
        true => text.slice(MARK.len()..),
        false => text,
    };
    if text.starts_with(b"RFH ") {
        return Err(
            "the body begins with an MQRFH2, which is no JSON; mq.message.body.jms=true takes it off"
                .to_owned(),
        );
    }
    let checked = std::str::from_utf8(&text)
        .map_err(|error| format!("the body is no UTF-8 from byte {} on", error.valid_up_to()))?;
    if matches!(checked.trim(), "" | "null") {
        return Ok(None);
    }
    match serde_json::from_str::<IgnoredAny>(checked) {
        Ok(_) => Ok(Some(text)),
        Err(error) => Err(format!("the body is no JSON: {error}")),
    }
}

fn key(options: &RecordOptions, message: &JmsMessage<'_>) -> Result<(Datum, Schema), String> {
    let without_id = |text: String| match text.strip_prefix("ID:") {
        Some(rest) => rest.to_owned(),
        None => text,
    };
    let text = match &options.key {
        KeySource::None => return Ok((Datum::Null, Schema::None)),
        KeySource::CorrelationIdBytes => {
            return Ok((
                Datum::Bytes(message.correlation_id_bytes()),
                Schema::Optional,
            ));
        }
        KeySource::MessageId => Some(without_id(message.message_id())),
        KeySource::CorrelationId => message.correlation_id().map(without_id),
        KeySource::Destination => Some(message.destination()),
        KeySource::GroupId => message.group_id(),
        KeySource::JsonField(path) => json_key(message, path)?,
    };
    // Without one there is no key, whatever the converter would make of nothing.
    Ok(match text {
        Some(text) => (Datum::Text(text), Schema::Optional),
        None => (Datum::Null, Schema::None),
    })
}

/// The field as text; `None` when it is not there or null.
fn json_key(message: &JmsMessage<'_>, path: &[String]) -> Result<Option<String>, String> {
    let Some(body) = json_of(message)? else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&body).unwrap_or_default();
    let name = || path.join(".");
    let mut raw = text.trim();
    for step in path {
        if !raw.starts_with('{') {
            return Ok(None);
        }
        let mut parser = serde_json::Deserializer::from_str(raw);
        let found = Field(step).deserialize(&mut parser);
        match found.map_err(|error| format!("the body is no JSON: {error}"))? {
            Some(found) => raw = found.get().trim(),
            None => return Ok(None),
        }
    }
    match raw.as_bytes().first() {
        Some(b'"') => serde_json::from_str(raw)
            .map(Some)
            .map_err(|error| format!("the key field {} is no text: {error}", name())),
        Some(b'{' | b'[') => Err(format!(
            "the key field {} is an object or an array; text, a number or a boolean is taken",
            name()
        )),
        _ if raw == "null" => Ok(None),
        _ => Ok(Some(raw.to_owned())),
    }
}

/// Reads one member of an object and passes over the others. If it is there twice, the last one.
struct Field<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<Name<'de>>()? {
            match name.0 == self.0 {
                true => found = Some(map.next_value()?),
                false => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}

/// Not copied unless it has escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
