//! Reads the canonical JSON of a transaction (DESIGN §3), strictly.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use serde::de::{self, Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use types::{Amount, AmountError, Micros};

/// A transaction, borrowing from its record where it can.
#[derive(Debug, Default)]
pub struct Parsed<'a> {
    /// Identity within the source.
    pub id: Cow<'a, str>,
    /// The configured source, empty for a message somebody else put.
    pub source: Cow<'a, str>,
    /// Default grouping key.
    pub account: Cow<'a, str>,
    /// Exact and signed.
    pub amount: Amount,
    /// ISO 4217.
    pub currency: Cow<'a, str>,
    /// Event time.
    pub booked_at: Micros,
    /// Gateway clock; `None` when the message did not come through the gateway.
    pub received_at: Option<Micros>,
    /// Id of the transaction it takes back.
    pub reverses: Option<Cow<'a, str>>,
    /// Values of the configured text columns, in their order.
    pub texts: Vec<Option<Cow<'a, str>>>,
    /// Hash of what the transaction says, without `id`, `source` and `received_at`.
    pub content: u64,
}

/// Why a record is not a transaction.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Not one JSON object with text fields.
    #[error("not a canonical JSON object")]
    Json(#[source] serde_json::Error),
    /// A field is missing.
    #[error("the field {0:?} is missing")]
    Missing(&'static str),
    /// The amount is not exact or does not fit.
    #[error("the field \"amount\" is not usable")]
    Amount(#[source] AmountError),
    /// A time is not RFC 3339 with an offset.
    #[error("the field {field:?} is no RFC 3339 time with an offset")]
    Time {
        /// Which.
        field: &'static str,
        /// From the date library.
        #[source]
        source: jiff::Error,
    },
}

/// Text fields of the object, before they are understood.
#[derive(Debug, Default)]
struct Fields<'a> {
    id: Option<Cow<'a, str>>,
    source: Option<Cow<'a, str>>,
    account: Option<Cow<'a, str>>,
    amount: Option<Cow<'a, str>>,
    currency: Option<Cow<'a, str>>,
    booked_at: Option<Cow<'a, str>>,
    received_at: Option<Cow<'a, str>>,
    reverses: Option<Cow<'a, str>>,
    texts: Vec<Option<Cow<'a, str>>>,
    further: blake3::Hasher,
}

/// Hash of a source and an id: the identity of a transaction, stable for ever.
pub fn identity_hash(source: &str, id: &str) -> u128 {
    let mut hasher = blake3::Hasher::new();
    // The length keeps ("a", "bc") apart from ("ab", "c").
    hasher.update(&(source.len() as u64).to_le_bytes());
    hasher.update(source.as_bytes());
    hasher.update(id.as_bytes());
    let mut bytes = [0; 16];
    hasher.finalize_xof().fill(&mut bytes);
    u128::from_le_bytes(bytes)
}

/// Hash of what a transaction says beside its identity and the moment it was received.
pub fn content_hash(parts: &[&str], further: &blake3::Hasher) -> u64 {
    let mut hasher = further.clone();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// Reads a record. `text_columns` are fields beside the standard ones.
///
/// # Errors
///
/// [`Unreadable`]: the record goes to quarantine; reading it again would not help.
pub fn parse<'a>(bytes: &'a [u8], text_columns: &[String]) -> Result<Parsed<'a>, Unreadable> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let fields = reader
        .deserialize_map(FieldsVisitor { text_columns })
        .and_then(|fields| reader.end().map(|()| fields))
        .map_err(Unreadable::Json)?;
    let Fields {
        id,
        source,
        account,
        amount,
        currency,
        booked_at,
        received_at,
        reverses,
        texts,
        further,
    } = fields;
    let account = account.ok_or(Unreadable::Missing("account"))?;
    let amount_text = amount.ok_or(Unreadable::Missing("amount"))?;
    let currency = currency.ok_or(Unreadable::Missing("currency"))?;
    let booked_text = booked_at.ok_or(Unreadable::Missing("booked_at"))?;
    let amount = Amount::parse(&amount_text).map_err(Unreadable::Amount)?;
    let reverses_text = reverses.as_deref().unwrap_or_default();
    let parts = [
        &*account,
        &*amount_text,
        &*currency,
        &*booked_text,
        reverses_text,
    ];
    Ok(Parsed {
        content: content_hash(&parts, &further),
        id: id.ok_or(Unreadable::Missing("id"))?,
        source: source.unwrap_or_default(),
        account,
        amount,
        currency,
        booked_at: instant("booked_at", &booked_text)?,
        received_at: received_at
            .map(|text| instant("received_at", &text))
            .transpose()?,
        reverses,
        texts,
    })
}

fn instant(field: &'static str, text: &str) -> Result<Micros, Unreadable> {
    let instant: Timestamp = text
        .parse()
        .map_err(|source| Unreadable::Time { field, source })?;
    Ok(instant.as_microsecond())
}

struct FieldsVisitor<'c> {
    text_columns: &'c [String],
}

impl<'de> Visitor<'de> for FieldsVisitor<'_> {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object with the fields of a transaction")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields {
            texts: vec![None; self.text_columns.len()],
            ..Fields::default()
        };
        while let Some(Text(name)) = map.next_key::<Text<'de>>()? {
            let slot = match &*name {
                "id" => &mut fields.id,
                "source" => &mut fields.source,
                "account" => &mut fields.account,
                "amount" => &mut fields.amount,
                "currency" => &mut fields.currency,
                "booked_at" => &mut fields.booked_at,
                "received_at" => &mut fields.received_at,
                "reverses" => &mut fields.reverses,
                other => {
                    let column = self.text_columns.iter().position(|column| column == other);
                    fields.further.update(name.as_bytes());
                    if let Some(slot) = column.and_then(|column| fields.texts.get_mut(column)) {
                        let Text(value) = map.next_value()?;
                        fields.further.update(value.as_bytes());
                        *slot = Some(value);
                    } else {
                        let value: &RawValue = map.next_value()?;
                        fields.further.update(value.get().as_bytes());
                    }
                    continue;
                }
            };
            if slot.is_some() {
                return Err(de::Error::custom(format_args!(
                    "the field {name:?} comes twice"
                )));
            }
            let Text(value) = map.next_value()?;
            *slot = Some(value);
        }
        // An object holds nothing behind its last field.
        debug_assert!(map.next_key::<IgnoredAny>()?.is_none());
        Ok(fields)
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

    const GOOD: &str = r#"{"id":"t1","source":"json","account":"a\u0031","amount":"-1.50","currency":"EUR","booked_at":"2026-11-23T10:00:00+01:00","received_at":"2026-11-23T09:00:01.5Z","merchant":"x","n":[1]}"#;

    #[track_caller]
    fn check(json: &str, expected: &str) {
        let error = parse(json.as_bytes(), &[]).expect_err("refused");
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_transaction_is_read() {
        let columns = ["merchant".to_owned(), "other".to_owned()];
        let parsed = parse(GOOD.as_bytes(), &columns).expect("reads");
        assert_eq!(
            (&*parsed.account, parsed.amount.to_string()),
            ("a1", "-1.50".to_owned())
        );
        assert_eq!(parsed.booked_at, 1_795_424_400_000_000);
        assert_eq!(parsed.received_at, Some(1_795_424_401_500_000));
        assert_eq!(parsed.texts, [Some("x".into()), None]);
    }

    #[test]
    fn the_content_is_what_the_transaction_says() {
        let content = |json: &str| parse(json.as_bytes(), &[]).expect("reads").content;
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
        check("{}", "the field \"account\" is missing");
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
}
