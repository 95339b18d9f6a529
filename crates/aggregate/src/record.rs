//! Reads the JSON of a transaction, strictly: Daybook's own (DESIGN §3) or a declared one.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use rapidhash::v3::rapidhash_v3;
use serde::de::{self, Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use types::{Amount, AmountError, BusinessDay, CalendarError, Micros};

use crate::schema::{FieldKind, Schema};

/// What a field says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// Exact and signed.
    Decimal(Amount),
    /// A whole number.
    Integer(i64),
    /// Microseconds since 1970.
    Instant(Micros),
    /// A date, in days since 1970.
    Date(i32),
}

/// A transaction, borrowing from its record where it can.
#[derive(Debug)]
pub struct Parsed<'a, 's> {
    schema: &'s Schema,
    /// Of each column, in the schema's order.
    said: Vec<Option<Said<'a>>>,
    /// Event time.
    pub booked_at: Micros,
    /// When it was received; `None` when the record does not say it.
    pub received_at: Option<Micros>,
    /// Hash of what the transaction says, without `id`, `source` and `received_at`.
    pub content: u64,
}

impl<'a> Parsed<'a, '_> {
    /// What its columns are.
    pub fn schema(&self) -> &Schema {
        self.schema
    }

    /// What a column says; `None` for one that is not there.
    pub fn said(&self, column: usize) -> Option<&Said<'a>> {
        self.said.get(column)?.as_ref()
    }

    /// What a text column says.
    pub fn text(&self, column: usize) -> Option<&str> {
        match self.said(column) {
            Some(Said::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Identity within the source.
    pub fn id(&self) -> &str {
        self.text(self.schema.id).unwrap_or_default()
    }

    /// The source, empty where the record names none.
    pub fn source(&self) -> &str {
        let column = self.schema.source;
        column
            .and_then(|column| self.text(column))
            .unwrap_or_default()
    }

    /// Id of the transaction it takes back.
    pub fn reverses(&self) -> Option<&str> {
        self.text(self.schema.reverses?)
    }
}

/// Why a record is not a transaction.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Not one JSON object, or a field has another type.
    #[error("not a canonical JSON object")]
    Json(#[source] serde_json::Error),
    /// The same of a declared schema.
    #[error("not a JSON object as declared")]
    Declared(#[source] serde_json::Error),
    /// Not UTF-8.
    #[error("not UTF-8")]
    Encoding(#[source] std::str::Utf8Error),
    /// A field is missing.
    #[error("the field {0:?} is missing")]
    Missing(String),
    /// The amount is not exact or does not fit.
    #[error("the field {field:?} is not usable")]
    Amount {
        /// Which.
        field: String,
        /// What is wrong.
        #[source]
        source: AmountError,
    },
    /// A time is not RFC 3339 with an offset.
    #[error("the field {field:?} is no RFC 3339 time with an offset")]
    Time {
        /// Which.
        field: String,
        /// From the date library.
        #[source]
        source: jiff::Error,
    },
    /// A date is not one.
    #[error("the field {field:?} is no date such as 2026-11-23")]
    Date {
        /// Which.
        field: String,
        /// What is wrong.
        #[source]
        source: CalendarError,
    },
    /// A number is not a whole one of 64 bits, or no instant that there is.
    #[error("the field {field:?} is {value:?}, but must be a whole number that fits")]
    Whole {
        /// Which.
        field: String,
        /// What it says.
        value: String,
    },
}

/// Longest text of a record that an error repeats, in characters.
const SHOWN_CHARS_MAX: usize = 40;

/// 128 bits that stand for a source and an id, the lower ones first. (A number of 128 bits would make each entry of a table half as
/// large again.)
pub(crate) type Identity = [u64; 2];

/// Hash of a source and an id: the identity of a transaction, stable for ever.
pub(crate) fn identity_hash(source: &str, id: &str) -> Identity {
    // The length keeps ("a", "bc") apart from ("ab", "c").
    let length = (source.len() as u64).to_le_bytes();
    let parts = [&length, source.as_bytes(), id.as_bytes()];
    // At once: a hasher that takes pieces is 2 KB to set up.
    let hash = blake3::hash(&parts.concat());
    let (words, _) = hash.as_bytes().as_chunks::<8>();
    match words {
        [low, high, ..] => [low, high].map(|word| u64::from_le_bytes(*word)),
        _ => [0; 2],
    }
}

/// Memory that reading a record needs, used again for the next one.
#[derive(Debug, Default)]
pub(crate) struct Room<'a> {
    said: Vec<Option<Said<'a>>>,
    /// What the content's hash is of.
    hashed: Vec<u8>,
}

impl<'a> Room<'a> {
    /// Takes back what a record had.
    pub(crate) fn take_back(&mut self, parsed: Parsed<'a, '_>) {
        self.said = parsed.said;
    }
}

impl Schema {
    /// Reads a record.
    ///
    /// # Errors
    ///
    /// [`Unreadable`]: the record goes to quarantine; reading it again would not help.
    pub fn read<'a>(&self, bytes: &'a [u8]) -> Result<Parsed<'a, '_>, Unreadable> {
        self.read_in(bytes, &mut Room::default())
    }

    /// The same without new memory, if the room had an earlier record.
    pub(crate) fn read_in<'a>(
        &self,
        bytes: &'a [u8],
        room: &mut Room<'a>,
    ) -> Result<Parsed<'a, '_>, Unreadable> {
        let mut said = std::mem::take(&mut room.said);
        said.clear();
        said.resize(self.columns.len(), None);
        let hashed = &mut room.hashed;
        hashed.clear();
        // At once: text by text costs more.
        let text = std::str::from_utf8(bytes).map_err(Unreadable::Encoding)?;
        let mut reader = serde_json::Deserializer::from_str(text);
        reader
            .deserialize_map(FieldsVisitor {
                schema: self,
                said: &mut said,
                hashed,
            })
            .and_then(|()| reader.end())
            .map_err(match self.is_canonical() {
                true => Unreadable::Json,
                false => Unreadable::Declared,
            })?;
        for (place, text) in said.iter().enumerate().take(self.once()) {
            let place = Some(place);
            if place != Some(self.id) && place != self.source && place != self.received_at {
                let text = text_of(text.as_ref());
                hashed.extend_from_slice(&(text.len() as u64).to_le_bytes());
                hashed.extend_from_slice(text.as_bytes());
            }
        }
        // Who makes two contents with one hash makes of a conflict a duplicate, and neither is counted: no need for a hash that withstands
        // him, as the identity's does, at four times the cost.
        let content = rapidhash_v3(hashed);
        for (column, said) in self.columns.iter().zip(&mut said) {
            if said.is_some() && column.kind != FieldKind::Text {
                let meant = understand(&column.name, column.kind, text_of(said.as_ref()))?;
                *said = Some(meant);
            } else if said.is_none() && !column.is_optional {
                return Err(Unreadable::Missing(column.name.clone()));
            }
        }
        let instant = |place: usize| match said.get(place) {
            Some(Some(Said::Instant(at))) => Some(*at),
            _ => None,
        };
        Ok(Parsed {
            booked_at: instant(self.event_time).unwrap_or_default(),
            received_at: self.received_at.and_then(instant),
            content,
            schema: self,
            said,
        })
    }
}

/// The text of a field that is not understood yet.
fn text_of<'t>(said: Option<&'t Said<'_>>) -> &'t str {
    match said {
        Some(Said::Text(text)) => text,
        _ => "",
    }
}

/// What the text of a field says.
fn understand<'a>(name: &str, kind: FieldKind, text: &str) -> Result<Said<'a>, Unreadable> {
    let field = || name.to_owned();
    let whole = |text: &str| {
        text.parse::<i64>().map_err(|_| Unreadable::Whole {
            field: field(),
            value: text.chars().take(SHOWN_CHARS_MAX).collect(),
        })
    };
    Ok(match kind {
        FieldKind::Text => Said::Text(text.to_owned().into()),
        FieldKind::Decimal => {
            let amount = Amount::parse(text);
            Said::Decimal(amount.map_err(|source| Unreadable::Amount {
                field: field(),
                source,
            })?)
        }
        FieldKind::Integer => Said::Integer(whole(text)?),
        FieldKind::Timestamp => {
            let instant = text.parse::<Timestamp>();
            let instant = instant.map_err(|source| Unreadable::Time {
                field: field(),
                source,
            })?;
            Said::Instant(instant.as_microsecond())
        }
        FieldKind::EpochMillis => {
            let instant = Timestamp::from_millisecond(whole(text)?);
            let instant = instant.map_err(|_| Unreadable::Whole {
                field: field(),
                value: text.to_owned(),
            })?;
            Said::Instant(instant.as_microsecond())
        }
        FieldKind::Date => {
            let date = text.parse::<BusinessDay>();
            let date = date.map_err(|source| Unreadable::Date {
                field: field(),
                source,
            })?;
            Said::Date(date.epoch_days())
        }
    })
}

/// Fills in the texts of an object's fields.
struct FieldsVisitor<'r, 'a> {
    schema: &'r Schema,
    /// Of each column.
    said: &'r mut [Option<Said<'a>>],
    /// Names and texts of all other fields.
    hashed: &'r mut Vec<u8>,
}

impl<'de> Visitor<'de> for FieldsVisitor<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object with the fields of a transaction")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self {
            schema,
            said,
            hashed,
        } = self;
        let once = schema.once();
        while let Some(Text(name)) = map.next_key::<Text<'de>>()? {
            let Some(place) = schema.column(&name) else {
                let value: &RawValue = map.next_value()?;
                hashed.extend_from_slice(name.as_bytes());
                hashed.extend_from_slice(value.get().as_bytes());
                continue;
            };
            let text = match schema.is_canonical() {
                // Amounts too are text there.
                true => Some(map.next_value::<Text<'de>>()?.0),
                false => declared(schema.columns[place].kind, map.next_value()?)?,
            };
            if place >= once {
                hashed.extend_from_slice(name.as_bytes());
                hashed.extend_from_slice(text.as_deref().unwrap_or_default().as_bytes());
            } else if said[place].is_some() {
                return Err(de::Error::custom(format_args!(
                    "the field {name:?} comes twice"
                )));
            }
            said[place] = text.map(Said::Text);
        }
        // An object holds nothing behind its last field.
        debug_assert!(map.next_key::<IgnoredAny>()?.is_none());
        Ok(())
    }
}

/// The text of a declared field, or that of its number; `None` is null.
fn declared<'a, E: de::Error>(
    kind: FieldKind,
    value: &'a RawValue,
) -> Result<Option<Cow<'a, str>>, E> {
    let token = value.get();
    if token == "null" {
        return Ok(None);
    }
    let (text_fits, number_fits) = match kind {
        FieldKind::Text | FieldKind::Timestamp | FieldKind::Date => (true, false),
        FieldKind::Decimal => (true, true),
        FieldKind::Integer | FieldKind::EpochMillis => (false, true),
    };
    match token.as_bytes().first() {
        Some(b'"') if text_fits => {
            let text: Text<'_> = serde_json::from_str(token).map_err(E::custom)?;
            Ok(Some(text.0))
        }
        Some(b'-' | b'0'..=b'9') if number_fits => Ok(Some(Cow::Borrowed(token))),
        _ => Err(E::custom(format_args!(
            "{kind:?} expected, found {}",
            token.chars().take(SHOWN_CHARS_MAX).collect::<String>()
        ))),
    }
}

/// Text that borrows when it has no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de> de::Deserialize<'de> for Text<'de> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text (amounts too are text, so that they stay exact)")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Column, Roles};

    const GOOD: &str = r#"{"id":"t1","source":"json","account":"a\u0031","amount":"-1.50","currency":"EUR","booked_at":"2026-11-23T10:00:00+01:00","received_at":"2026-11-23T09:00:01.5Z","merchant":"x","n":[1]}"#;

    #[track_caller]
    fn check(json: &str, expected: &str) {
        let error = Schema::canonical(&[])
            .read(json.as_bytes())
            .map(drop)
            .expect_err("refused");
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_transaction_is_read() {
        let columns = ["merchant".to_owned(), "other".to_owned()];
        let schema = Schema::canonical(&columns);
        let parsed = schema.read(GOOD.as_bytes()).expect("reads");
        let amount = Amount::parse("-1.50").expect("an amount");
        assert_eq!(parsed.text(2), Some("a1"));
        assert_eq!(parsed.said(3), Some(&Said::Decimal(amount)));
        assert_eq!(parsed.booked_at, 1_795_424_400_000_000);
        assert_eq!(parsed.received_at, Some(1_795_424_401_500_000));
        assert_eq!((parsed.text(8), parsed.text(9)), (Some("x"), None));
    }

    #[test]
    fn the_content_is_what_the_transaction_says() {
        let schema = Schema::canonical(&[]);
        let content = |json: &str| schema.read(json.as_bytes()).expect("reads").content;
        // As it always is: kept states have it. Another hash needs another version in the fingerprint.
        assert_eq!(content(GOOD), 9_725_377_070_235_017_416);
        let same = GOOD
            .replace("09:00:01.5Z", "09:30:00Z")
            .replace("\"t1\"", "\"t2\"");
        assert_eq!(content(GOOD), content(&same));
        for changed in ["-1.51", "-1.5"] {
            assert_ne!(content(GOOD), content(&GOOD.replace("-1.50", changed)));
        }
        assert_ne!(content(GOOD), content(&GOOD.replace("\"x\"", "\"y\"")));
    }

    #[test]
    fn what_is_no_transaction_is_refused_with_its_reason() {
        check("[]", "not a canonical JSON object");
        check("{}x", "not a canonical JSON object");
        check("{}", "the field \"id\" is missing");
        check(
            &GOOD.replace("\"-1.50\"", "-1.50"),
            "not a canonical JSON object",
        );
        check(
            &GOOD.replace("-1.50", "1e400"),
            "the field \"amount\" is not usable",
        );
        check(
            &GOOD.replace("+01:00", ""),
            "the field \"booked_at\" is no RFC 3339 time with an offset",
        );
        check(
            &GOOD.replace("\"merchant\"", "\"id\""),
            "not a canonical JSON object",
        );
    }

    #[test]
    fn identities_keep_source_and_id_apart() {
        assert_ne!(identity_hash("a", "bc"), identity_hash("ab", "c"));
        assert_eq!(identity_hash("json", "t1"), identity_hash("json", "t1"));
    }

    const CARDS: &str = r#"{"nr":"7","at":1795424400123,"fee":-12.50,"n":3,"day":"2026-11-23","branch":null,"x":1.0}"#;

    fn cards() -> Schema {
        use FieldKind::{Date, Decimal, EpochMillis, Integer, Text};
        let column = |(name, kind, is_optional): (&str, FieldKind, bool)| Column {
            name: name.to_owned(),
            kind,
            is_optional,
        };
        let columns = [
            ("nr", Text, false),
            ("at", EpochMillis, false),
            ("fee", Decimal, false),
            ("n", Integer, false),
            ("day", Date, false),
            ("branch", Text, true),
        ];
        let roles = Roles {
            id: "nr",
            event_time: "at",
            ..Roles::default()
        };
        Schema::declared("cards", columns.map(column).to_vec(), &roles).expect("a schema")
    }

    #[test]
    fn a_declared_record_is_read_and_its_numbers_stay_exact() {
        let schema = cards();
        let large = CARDS.replace("-12.50", "123456789012345678.00001");
        let parsed = schema.read(large.as_bytes()).expect("reads");
        let amount = Amount::parse("123456789012345678.00001").expect("an amount");
        assert_eq!((parsed.id(), parsed.source()), ("7", ""));
        assert_eq!(parsed.booked_at, 1_795_424_400_123_000);
        assert_eq!(parsed.said(2), Some(&Said::Decimal(amount)));
        assert_eq!(parsed.said(3), Some(&Said::Integer(3)));
        assert_eq!(parsed.said(4), Some(&Said::Date(20_780)));
        assert_eq!(parsed.said(5), None);
        // An amount may be text as well, and what is not declared belongs to the content.
        let content = |json: &str| schema.read(json.as_bytes()).expect("reads").content;
        assert_eq!(
            content(CARDS),
            content(&CARDS.replace("-12.50", "\"-12.50\""))
        );
        assert_ne!(content(CARDS), content(&CARDS.replace("1.0", "1.1")));
    }

    #[test]
    fn a_record_that_does_not_fit_its_declaration_is_refused_with_its_reason() {
        let schema = cards();
        for (from, to, expected) in [
            ("\"nr\":\"7\",", "", "the field \"nr\" is missing"),
            ("\"7\"", "null", "the field \"nr\" is missing"),
            (
                "\"7\"",
                "7",
                "not a JSON object as declared: Text expected, found 7",
            ),
            ("-12.50", "1.25e1", "the field \"fee\" is not usable: "),
            ("-12.50", "1.000001", "the field \"fee\" is not usable: "),
            (
                "-12.50",
                "true",
                "not a JSON object as declared: Decimal expected, found true",
            ),
            (
                ":3,",
                ":3.0,",
                "the field \"n\" is \"3.0\", but must be a whole number that fits",
            ),
            (
                ":3,",
                ":9223372036854775808,",
                "the field \"n\" is \"9223372036854775808\", but must be",
            ),
            (
                ":3,",
                ":\"3\",",
                "not a JSON object as declared: Integer expected, found \"3\"",
            ),
            (
                "1795424400123",
                "1e12",
                "the field \"at\" is \"1e12\", but must be a whole number",
            ),
            (
                "1795424400123",
                "9223372036854775807",
                "the field \"at\" is \"9223372036854775807\"",
            ),
            (
                "2026-11-23",
                "23.11.2026",
                "the field \"day\" is no date such as 2026-11-23: ",
            ),
            (
                "\"x\"",
                "\"n\"",
                "not a JSON object as declared: the field \"n\" comes twice",
            ),
        ] {
            let json = CARDS.replacen(from, to, 1);
            let error = schema.read(json.as_bytes()).map(drop).expect_err("refused");
            let text = types::report(&error);
            assert!(text.starts_with(expected), "{json}: {text}");
        }
    }
}
