//! CloudEvents 1.0: transactions that come as events (HTTP protocol binding §3, JSON event format §3 and §4).
//!
//! | Mode | Told by | The mapping reads |
//! | --- | --- | --- |
//! | binary | `ce-specversion` and other `ce-` headers | the body |
//! | structured | `Content-Type: application/cloudevents+json` | `data` as it stands in the body, or what `data_base64` is |
//! | batch | `application/cloudevents-batch+json` | that of each event, as one request |
//!
//! `id` and `source` are unique together: they are what `Idempotency-Key` is without events.
//!
//! # Invariants
//!
//! - An event's data is never copied while it is JSON, and at most once where it is a text or base64.
//! - Events are bounded in number before they are kept; nothing recurses.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::header::{self, HeaderMap};
use mapping::Format;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::budget::Share;
use crate::headers::{self, Content};

/// The version that is understood.
const VERSION: &str = "1.0";
/// Most events of a batch: each has a record at least, and there are no more of these in one unit of work.
const EVENTS_MAX: usize = 10_000;
/// Most bytes of an event's `id` or `source`.
const ATTRIBUTE_BYTES_MAX: usize = 1_024;

/// How a request says that it has events in its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Envelope {
    One,
    Batch,
}

/// An event that is none; the text says what would be right.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadEvent {
    /// It breaks CloudEvents' rules.
    Broken(String),
    /// Its data is of another format than the source's.
    Contradicts(String),
    /// There is no room for its data.
    Busy,
}

fn broken(reason: impl Into<String>) -> BadEvent {
    BadEvent::Broken(reason.into())
}

/// The data of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// Where it stands in the body.
    pub(crate) range: Range<usize>,
    pub(crate) key: Box<str>,
    /// Each line is one JSON object.
    pub(crate) lines: bool,
}

/// Whether the body has events, and how many may be in it.
pub(crate) fn envelope(headers: &HeaderMap) -> Option<Envelope> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let media = value.split(';').next().unwrap_or_default().trim();
    match media.to_ascii_lowercase().as_str() {
        "application/cloudevents+json" => Some(Envelope::One),
        "application/cloudevents-batch+json" => Some(Envelope::Batch),
        _ => None,
    }
}

/// The identity of an event in binary mode; `None` where the headers are those of no event.
pub(crate) fn binary_key(headers: &HeaderMap) -> Result<Option<Box<str>>, String> {
    const NAMES: [&str; 4] = ["ce-specversion", "ce-id", "ce-source", "ce-type"];
    if !NAMES.iter().any(|name| headers.contains_key(*name)) {
        return Ok(None);
    }
    let [version, id, source, kind] = NAMES.map(|name| attribute(headers, name));
    key(
        version?.as_deref(),
        id?.as_deref(),
        source?.as_deref(),
        kind?.as_deref(),
    )
    .map(Some)
}

/// A header's value as the binding has it written (§3.1.3.2): percent-encoded UTF-8, perhaps quoted.
fn attribute(headers: &HeaderMap, name: &str) -> Result<Option<String>, String> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(format!("{name} is given more than once"));
    }
    let text = value.as_bytes().trim_ascii();
    let quoted = text
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = quoted.unwrap_or(text);
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'\\', [escaped, after @ ..]) if quoted.is_some() => {
                bytes.push(*escaped);
                rest = after;
            }
            (b'%', [high, low, after @ ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                let (Some(high), Some(low)) = (digit(high), digit(low)) else {
                    return Err(format!("{name} has a % without two hexadecimal digits"));
                };
                bytes.push((high << 4 | low) as u8);
                rest = after;
            }
            (b'%', _) => {
                return Err(format!("{name} has a % without two hexadecimal digits"));
            }
            _ => bytes.push(*first),
        }
    }
    let text = String::from_utf8(bytes);
    text.map(Some).map_err(|_| format!("{name} is not UTF-8"))
}

/// The identity of an event, from attributes that it must have (specification §3.1).
fn key(
    version: Option<&str>,
    id: Option<&str>,
    source: Option<&str>,
    kind: Option<&str>,
) -> Result<Box<str>, String> {
    if version != Some(VERSION) {
        let found: String = version.unwrap_or("missing").chars().take(32).collect();
        return Err(format!(
            "its specversion is {found}; {VERSION} would be right"
        ));
    }
    let present = |name: &str, value: Option<&str>| match value {
        Some(value) if !value.is_empty() && value.len() <= ATTRIBUTE_BYTES_MAX => Ok(()),
        _ => Err(format!(
            "its {name} must have 1 to {ATTRIBUTE_BYTES_MAX} bytes"
        )),
    };
    present("id", id)?;
    present("source", source)?;
    present("type", kind)?;
    let (id, source) = (id.unwrap_or_default(), source.unwrap_or_default());
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(source.len() as u64).to_be_bytes());
    hasher.update(source.as_bytes());
    hasher.update(id.as_bytes());
    let mut hex = hasher.finalize().to_hex();
    hex.truncate(32);
    Ok(format!("ce-{hex}").into())
}

/// An event in JSON; what else it says is passed over.
#[derive(Deserialize)]
struct Event<'b> {
    #[serde(default)]
    specversion: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    source: Option<String>,
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    datacontenttype: Option<String>,
    #[serde(borrow, default)]
    data: Option<&'b RawValue>,
    #[serde(borrow, default)]
    data_base64: Option<&'b RawValue>,
}

/// The events of a batch, or one.
struct Events<'b>(Vec<Event<'b>>);

impl<'de> Deserialize<'de> for Events<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Vec<Event<'de>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of events")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut events = Vec::new();
                while let Some(event) = list.next_element()? {
                    if events.len() == EVENTS_MAX {
                        return Err(A::Error::custom(format!(
                            "it has more than {EVENTS_MAX} events"
                        )));
                    }
                    events.push(event);
                }
                Ok(events)
            }
        }
        deserializer.deserialize_seq(List).map(Self)
    }
}

/// Data as it is, or as it was made of what stands in the body.
enum Data<'b> {
    Raw(Range<usize>),
    Text(Cow<'b, str>),
    Base64(Cow<'b, str>),
}

/// Takes the events out of a body. What is copied is counted in `share`; the body that the parts are of comes with them.
pub(crate) fn open(
    body: &Bytes,
    envelope: Envelope,
    format: Format,
    share: &mut Share,
) -> Result<(Bytes, Vec<Part>), BadEvent> {
    let json = |error: serde_json::Error| broken(format!("it is no event in JSON: {error}"));
    let events = match envelope {
        // A list would be read as its fields in their order.
        Envelope::One if body.trim_ascii_start().starts_with(b"[") => {
            return Err(broken(
                "it is a list: that is application/cloudevents-batch+json",
            ));
        }
        Envelope::One => vec![serde_json::from_slice::<Event<'_>>(body).map_err(json)?],
        Envelope::Batch => serde_json::from_slice::<Events<'_>>(body).map_err(json)?.0,
    };
    let mut copied: Option<Vec<u8>> = None;
    let mut parts = Vec::with_capacity(events.len());
    for (index, event) in events.iter().enumerate() {
        let numbered = |bad: BadEvent| match (bad, envelope) {
            (BadEvent::Broken(reason), Envelope::Batch) => {
                broken(format!("event {}: {reason}", index + 1))
            }
            (bad, _) => bad,
        };
        let (data, lines, key) = event.read(body, format).map_err(numbered)?;
        let range = match (&data, &mut copied) {
            (Data::Raw(range), None) => range.clone(),
            // One that must be copied: those before it stay where they are, which is in front of what is copied.
            (_, copied) => {
                if copied.is_none() {
                    let before = parts.last().map_or(0, |part: &Part| part.range.end);
                    grow(share, before)?;
                    *copied = Some(body.get(..before).unwrap_or_default().to_vec());
                }
                let into = copied.get_or_insert_default();
                let start = into.len();
                data.copy(body, into, share).map_err(numbered)?;
                start..into.len()
            }
        };
        parts.push(Part { range, key, lines });
    }
    if parts.is_empty() {
        return Err(broken("it has no events"));
    }
    match copied {
        None => Ok((body.clone(), parts)),
        Some(copied) => {
            share.shrink(body.len());
            Ok((copied.into(), parts))
        }
    }
}

fn grow(share: &mut Share, bytes: usize) -> Result<(), BadEvent> {
    share.grow(bytes).then_some(()).ok_or(BadEvent::Busy)
}

impl<'b> Event<'b> {
    fn read(&self, body: &[u8], format: Format) -> Result<(Data<'b>, bool, Box<str>), BadEvent> {
        let key = key(
            self.specversion.as_deref(),
            self.id.as_deref(),
            self.source.as_deref(),
            self.kind.as_deref(),
        )
        .map_err(BadEvent::Broken)?;
        // JSON if it is not said (JSON event format §3.1); a text is that of any format.
        let said = self.datacontenttype.as_deref();
        let Content::Fits { lines } = said.map_or(Content::Fits { lines: false }, |said| {
            headers::content_of(said, format)
        }) else {
            let said: String = said.unwrap_or_default().chars().take(64).collect();
            return Err(BadEvent::Contradicts(format!(
                "the event's datacontenttype is {said}"
            )));
        };
        let is_json = said.is_none_or(is_json_type);
        let data = match (self.data, self.data_base64) {
            (Some(_), Some(_)) => return Err(broken("it has both data and data_base64")),
            (None, None) => return Err(broken("it has no data")),
            (None, Some(base64)) => Data::Base64(text(base64)?),
            (Some(data), None) if is_text(data) && (format != Format::Json || !is_json) => {
                Data::Text(text(data)?)
            }
            (Some(data), None) => {
                let start = (data.get().as_ptr() as usize).saturating_sub(body.as_ptr() as usize);
                Data::Raw(start..start + data.get().len())
            }
        };
        if let (Data::Raw(_), true) = (&data, format != Format::Json) {
            return Err(BadEvent::Contradicts("the event's data is JSON".to_owned()));
        }
        Ok((data, lines, key))
    }
}

fn is_json_type(media: &str) -> bool {
    let media = media.split(';').next().unwrap_or_default().trim();
    let media = media.to_ascii_lowercase();
    media.ends_with("/json") || media.ends_with("+json")
}

fn is_text(value: &RawValue) -> bool {
    value.get().starts_with('"')
}

/// A text; where nothing in it is escaped, as it stands in the body.
fn text(value: &RawValue) -> Result<Cow<'_, str>, BadEvent> {
    let raw = value.get();
    let inside = raw
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    match inside {
        Some(inside) if !inside.contains('\\') => Ok(Cow::Borrowed(inside)),
        Some(_) => serde_json::from_str::<String>(raw)
            .map(Cow::Owned)
            .map_err(|error| broken(error.to_string())),
        None => Err(broken("its data_base64 must be a text")),
    }
}

impl Data<'_> {
    fn copy(&self, body: &[u8], into: &mut Vec<u8>, share: &mut Share) -> Result<(), BadEvent> {
        match self {
            Self::Raw(range) => {
                grow(share, range.len())?;
                into.extend_from_slice(body.get(range.clone()).unwrap_or_default());
            }
            Self::Text(text) => {
                grow(share, text.len())?;
                into.extend_from_slice(text.as_bytes());
            }
            Self::Base64(text) => {
                grow(share, text.len() / 4 * 3 + 3)?;
                let decoded = STANDARD.decode_vec(text.as_bytes(), into);
                decoded
                    .map_err(|error| broken(format!("its data_base64 is not base64: {error}")))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;

    fn event(data: &str) -> String {
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\",\"type\":\"t\",\"x\":[{{}}],{data}}}"
        )
    }

    /// The data of all events, and whether it was copied.
    fn opened(
        body: &str,
        envelope: Envelope,
        format: Format,
    ) -> Result<(Vec<String>, bool), BadEvent> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let mut share = Budget::new(1 << 30).share();
        assert!(share.grow(body.len()));
        let (opened, parts) = open(&body, envelope, format, &mut share)?;
        let texts = parts
            .iter()
            .map(|part| String::from_utf8_lossy(&opened[part.range.clone()]).into_owned());
        Ok((texts.collect(), opened.as_ptr() != body.as_ptr()))
    }

    fn one(data: &str, format: Format) -> Result<(String, bool), BadEvent> {
        let (mut texts, copied) = opened(&event(data), Envelope::One, format)?;
        assert_eq!(texts.len(), 1);
        Ok((texts.remove(0), copied))
    }

    #[test]
    fn data_is_what_the_mapping_reads() {
        let found = |data: &str, format| one(data, format).expect("data");
        assert_eq!(
            found("\"data\": {\"a\": 1} ", Format::Json),
            ("{\"a\": 1}".to_owned(), false)
        );
        assert_eq!(
            found("\"data_base64\":\"e30=\"", Format::Json),
            ("{}".to_owned(), true)
        );
        assert_eq!(found("\"data_base64\":\"e3\\u0030=\"", Format::Csv).0, "{}");
        let xml = "\"datacontenttype\":\"application/xml\",\"data\":\"<a b=\\\"c\\\"/>\"";
        assert_eq!(found(xml, Format::Xml), ("<a b=\"c\"/>".to_owned(), true));
        assert_eq!(
            found("\"data\":\"a,b\"", Format::Csv),
            ("a,b".to_owned(), true)
        );
        let lines = "\"datacontenttype\":\"application/x-ndjson\",\"data\":\"{}\\n{}\"";
        assert_eq!(found(lines, Format::Json).0, "{}\n{}");
    }

    #[test]
    fn a_batch_is_copied_from_the_first_that_must_be() {
        let batch = |parts: &[&str]| {
            let events: Vec<String> = parts.iter().map(|part| event(part)).collect();
            opened(
                &format!("[{}]", events.join(",")),
                Envelope::Batch,
                Format::Json,
            )
            .expect("events")
        };
        let raw = "\"data\":{\"a\":1}";
        let (texts, copied) = batch(&[raw, raw]);
        assert_eq!(
            (texts.join(" "), copied),
            ("{\"a\":1} {\"a\":1}".to_owned(), false)
        );
        let (texts, copied) = batch(&[raw, "\"data_base64\":\"e30=\"", raw]);
        assert_eq!(
            (texts.join(" "), copied),
            ("{\"a\":1} {} {\"a\":1}".to_owned(), true)
        );
        let none = opened("[]", Envelope::Batch, Format::Json);
        assert_eq!(none, Err(broken("it has no events")));
    }

    #[test]
    fn what_breaks_the_rules_is_told() {
        let bad = |body: &str| match opened(body, Envelope::One, Format::Json) {
            Err(BadEvent::Broken(reason)) => reason,
            other => format!("{other:?}"),
        };
        let good = event("\"data\":{}");
        for (body, reason) in [
            (
                good.replace("1.0", "0.3"),
                "its specversion is 0.3; 1.0 would be right",
            ),
            (
                good.replace("specversion", "version"),
                "its specversion is missing; 1.0 would be right",
            ),
            (
                good.replace("\"id\":\"1\"", "\"id\":\"\""),
                "its id must have 1 to 1024 bytes",
            ),
            (
                good.replace("/s", ""),
                "its source must have 1 to 1024 bytes",
            ),
            (
                good.replace("\"type\"", "\"kind\""),
                "its type must have 1 to 1024 bytes",
            ),
            (event("\"data\":null"), "it has no data"),
            (
                event("\"data\":{},\"data_base64\":\"\""),
                "it has both data and data_base64",
            ),
            (event("\"data_base64\":7"), "its data_base64 must be a text"),
        ] {
            assert_eq!(bad(&body), reason, "{body}");
        }
        for body in [
            "",
            "{",
            "7",
            &event("\"data\":{},\"data\":{}"),
            &event("\"data_base64\":\"e3\""),
        ] {
            assert!(
                bad(body).contains("it is no event in JSON") || bad(body).contains("not base64"),
                "{body}"
            );
        }
        let xml = one(
            "\"datacontenttype\":\"text/xml\",\"data\":\"<a/>\"",
            Format::Json,
        );
        assert!(matches!(xml, Err(BadEvent::Contradicts(_))));
        assert!(matches!(
            one("\"data\":{}", Format::Xml),
            Err(BadEvent::Contradicts(_))
        ));
        let second = format!("[{},{}]", event("\"data\":{}"), event("\"data\":null"));
        let second = opened(&second, Envelope::Batch, Format::Json);
        assert_eq!(second, Err(broken("event 2: it has no data")));
    }

    #[test]
    fn a_body_cut_or_changed_anywhere_is_refused_or_read() {
        let good = format!(
            "[{},{}]",
            event("\"data\":{\"a\":\"ž\"}"),
            event("\"data_base64\":\"e30=\"")
        );
        for at in 0..good.len() {
            let cut = &good.as_bytes()[..at];
            let mut share = Budget::new(1 << 20).share();
            let cut = Bytes::copy_from_slice(cut);
            assert!(open(&cut, Envelope::Batch, Format::Json, &mut share).is_err());
            for byte in [0, b'"', b'{', b'\\', 0xff] {
                let mut changed = good.clone().into_bytes();
                changed[at] = byte;
                let _ = open(&changed.into(), Envelope::Batch, Format::Json, &mut share);
            }
        }
    }

    #[test]
    fn events_and_what_they_are_copied_to_are_bounded() {
        let many = |count: usize| {
            let events = vec![event("\"data\":{}"); count];
            opened(
                &format!("[{}]", events.join(",")),
                Envelope::Batch,
                Format::Json,
            )
        };
        assert_eq!(
            many(EVENTS_MAX).map(|(texts, _)| texts.len()),
            Ok(EVENTS_MAX)
        );
        assert!(
            matches!(many(EVENTS_MAX + 1), Err(BadEvent::Broken(reason)) if reason.contains("more than 10000 events"))
        );
        let body = Bytes::from(event(&format!(
            "\"data_base64\":\"{}\"",
            "e30g".repeat(1_000)
        )));
        let mut share = Budget::new(2_999).share();
        assert_eq!(
            open(&body, Envelope::One, Format::Json, &mut share),
            Err(BadEvent::Busy)
        );
        let deep = event(&format!(
            "\"data\":{}{}",
            "[".repeat(100_000),
            "]".repeat(100_000)
        ));
        assert!(opened(&deep, Envelope::One, Format::Json).is_ok());
    }

    #[test]
    fn the_identity_is_the_same_in_all_modes() {
        let with = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, value.parse().expect("a value"));
            }
            binary_key(&headers)
        };
        let good = [
            ("ce-specversion", "1.0"),
            ("ce-id", "1"),
            ("ce-source", "/s"),
            ("ce-type", "t"),
        ];
        let binary = with(&good).expect("an event").expect("a key");
        let body = Bytes::from(event("\"data\":{}"));
        let mut share = Budget::new(1 << 20).share();
        let (_, parts) = open(&body, Envelope::One, Format::Json, &mut share).expect("an event");
        assert_eq!(parts[0].key, binary);
        let quoted = [
            good[0],
            ("ce-id", "\"%31\""),
            ("ce-source", "%2fs"),
            good[3],
        ];
        assert_eq!(with(&quoted), Ok(Some(binary.clone())));
        let other = [good[0], ("ce-id", "s1"), ("ce-source", "/"), good[3]];
        assert_ne!(with(&other), Ok(Some(binary)));
        assert_eq!(with(&[]), Ok(None));
        assert_eq!(with(&[("ce-time", "x")]), Ok(None));
        for wrong in [
            &good[..3],
            &[("ce-specversion", "2.0"), good[1], good[2], good[3]],
            &[good[0], ("ce-id", "%3"), good[2], good[3]],
            &[good[0], ("ce-id", "%ff"), good[2], good[3]],
            &[good[0], good[1], good[1], good[2], good[3]],
        ] {
            assert!(with(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn media_types_say_what_is_in_the_body() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().expect("a value"));
            envelope(&headers)
        };
        assert_eq!(
            with("application/cloudevents+json; charset=utf-8"),
            Some(Envelope::One)
        );
        assert_eq!(
            with("Application/CloudEvents-Batch+JSON"),
            Some(Envelope::Batch)
        );
        assert_eq!(with("application/json"), None);
    }
}
