//! The request headers that mean something to the gateway.

use hyper::header::{self, HeaderMap, HeaderName};
use mapping::Format;

/// Identity of a request without natural ids (DESIGN §3).
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Number of the request's first record in the file it was cut from.
pub(crate) const FIRST_RECORD: HeaderName = HeaderName::from_static("daybook-first-record");
/// RFC 7240.
pub(crate) const PREFER: HeaderName = HeaderName::from_static("prefer");
/// RFC 7240.
pub(crate) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// W3C trace context.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What the sender should know although the request was accepted.
pub(crate) const WARNING: HeaderName = HeaderName::from_static("daybook-warning");

/// Most bytes of an `Idempotency-Key`.
const KEY_BYTES_MAX: usize = 256;

/// A header that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadHeader {
    pub(crate) name: &'static str,
    pub(crate) detail: String,
}

/// What the sender prefers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Preferences {
    /// `handling=lenient`: accept the good records although others are refused.
    pub(crate) lenient: bool,
    /// `return=representation`: list all ids in the answer.
    pub(crate) representation: bool,
}

/// The `Idempotency-Key`: a quoted string as the IETF draft has it, or the same without quotes.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, BadHeader> {
    let bad = |detail: &str| BadHeader {
        name: "Idempotency-Key",
        detail: detail.to_owned(),
    };
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(bad("Idempotency-Key is given more than once"));
    }
    let text = value
        .to_str()
        .map_err(|_| bad("Idempotency-Key has other characters than visible ASCII"))?
        .trim();
    let key = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(text);
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(bad("Idempotency-Key must have 1 to 256 characters"));
    }
    Ok(Some(key))
}

/// The `Daybook-First-Record`, 1 if it is not given.
pub(crate) fn first_record(headers: &HeaderMap) -> Result<u64, BadHeader> {
    const MAX: u64 = 1 << 53;
    let Some(value) = headers.get(FIRST_RECORD) else {
        return Ok(1);
    };
    value
        .to_str()
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .filter(|number| *number <= MAX)
        .ok_or_else(|| BadHeader {
            name: "Daybook-First-Record",
            detail: "Daybook-First-Record must be a whole number such as 10001".to_owned(),
        })
}

/// The preferences known here; others are ignored, as RFC 7240 says.
pub(crate) fn preferences(headers: &HeaderMap) -> Preferences {
    let mut found = Preferences::default();
    for value in headers.get_all(PREFER) {
        let Ok(text) = value.to_str() else { continue };
        for preference in text.split([',', ';']) {
            let preference: String = preference
                .chars()
                .filter(|c| !c.is_whitespace() && *c != '"')
                .collect();
            match preference.to_ascii_lowercase().as_str() {
                "handling=lenient" => found.lenient = true,
                "return=representation" => found.representation = true,
                _ => {}
            }
        }
    }
    found
}

/// What the content type says about a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Not another format than the source's.
    Fits {
        /// Each line is one JSON object.
        lines: bool,
    },
    /// Another format than the source's.
    Contradicts,
}

/// Compares the content type with the source's format.
///
/// Only a type that names another of the known formats is refused: what `curl -d` sends by itself is
/// `application/x-www-form-urlencoded`, and many senders know no better than `text/plain`.
pub(crate) fn content(headers: &HeaderMap, format: Format) -> Content {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Content::Fits { lines: false };
    };
    content_of(value.to_str().unwrap_or_default(), format)
}

/// Compares a media type with the source's format: see [`content`].
pub(crate) fn content_of(media: &str, format: Format) -> Content {
    let text = media.to_ascii_lowercase();
    let media = text.split(';').next().unwrap_or_default().trim();
    let subtype = media.split_once('/').map_or("", |(_, subtype)| subtype);
    let lines = matches!(subtype, "x-ndjson" | "ndjson" | "jsonl" | "x-jsonlines");
    let named = if lines || subtype == "json" || subtype.ends_with("+json") {
        Some(Format::Json)
    } else if subtype == "xml" || subtype.ends_with("+xml") {
        Some(Format::Xml)
    } else if subtype == "csv" || subtype == "tab-separated-values" {
        Some(Format::Csv)
    } else {
        None
    };
    // OFX 2.x is XML.
    let named = named.filter(|named| (*named, format) != (Format::Xml, Format::Ofx));
    if named.is_some_and(|named| named != format) {
        Content::Contradicts
    } else {
        Content::Fits { lines }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("a header value"));
        }
        headers
    }

    #[test]
    fn keys_are_read_with_and_without_quotes() {
        let key = |value: &str| {
            let headers = headers(&[("idempotency-key", value)]);
            idempotency_key(&headers)
                .map(|key| key.map(str::to_owned))
                .map_err(|bad| bad.detail)
        };
        assert_eq!(key("\"abc\""), Ok(Some("abc".to_owned())));
        assert_eq!(key(" abc "), Ok(Some("abc".to_owned())));
        assert_eq!(key(&"x".repeat(256)).map(|_| ()), Ok(()));
        assert!(key(&"x".repeat(257)).is_err());
        assert!(key("").is_err());
        assert!(key("\"\"").is_err());
        assert!(
            idempotency_key(&headers(&[
                ("idempotency-key", "a"),
                ("idempotency-key", "b")
            ]))
            .is_err()
        );
        assert_eq!(idempotency_key(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn first_records_are_whole_numbers() {
        let first = |value: &str| first_record(&headers(&[("daybook-first-record", value)])).ok();
        assert_eq!(first("10001"), Some(10_001));
        assert_eq!(first("0"), Some(0));
        for wrong in ["", "-1", "1.5", "x", "99999999999999999999"] {
            assert_eq!(first(wrong), None, "{wrong}");
        }
        assert_eq!(first_record(&HeaderMap::new()), Ok(1));
    }

    #[test]
    fn preferences_may_share_a_header_or_not() {
        let one = preferences(&headers(&[(
            "prefer",
            "return=representation, handling=lenient",
        )]));
        let two = preferences(&headers(&[
            ("prefer", "return=representation"),
            ("prefer", "handling=\"lenient\"; x"),
        ]));
        assert_eq!(one, two);
        assert!(one.lenient && one.representation);
        assert_eq!(
            preferences(&headers(&[("prefer", "handling=strict")])),
            Preferences::default()
        );
    }

    #[test]
    fn only_contradicting_types_are_refused() {
        let fits = |value: &str, format| {
            content(&headers(&[("content-type", value)]), format) != Content::Contradicts
        };
        assert!(fits("application/json; charset=utf-8", Format::Json));
        assert!(fits("application/x-www-form-urlencoded", Format::Json));
        assert!(fits("text/plain", Format::Csv));
        assert!(fits("application/pain.001+xml", Format::Xml));
        assert!(fits("application/xml", Format::Ofx));
        assert!(!fits("text/xml", Format::Json));
        assert!(!fits("application/json", Format::Xml));
        assert_eq!(
            content(
                &headers(&[("content-type", "application/x-ndjson")]),
                Format::Json
            ),
            Content::Fits { lines: true }
        );
    }
}
