//! Kafka Connect's converters: what becomes of a key, a value or a header as bytes.
//!
//! Invariant: bytes are those that the converter of Kafka Connect 4.3 writes for the same data, but for
//! two cases in which Java would write an object's address or form: bytes through `StringConverter`, and
//! JSON through it, are written as the text that they are.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;

/// How data becomes bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Converter {
    /// None is named: text as UTF-8, bytes as they are, numbers as text.
    AsIs,
    /// `StringConverter`.
    Text,
    /// `ByteArrayConverter`.
    Bytes,
    /// `JsonConverter`.
    Json {
        /// `schemas.enable`.
        schemas: bool,
    },
}

/// A piece of a record before it is bytes.
#[derive(Debug, Clone, PartialEq)]
pub enum Datum {
    /// Nothing.
    Null,
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Bytes),
    /// Text that was checked to be JSON.
    Json(Bytes),
    /// A truth value.
    Boolean(bool),
    /// 8 bits.
    Byte(i8),
    /// 16 bits.
    Short(i16),
    /// 32 bits.
    Int(i32),
    /// 64 bits.
    Long(i64),
    /// Single precision.
    Float(f32),
    /// Double precision.
    Double(f64),
}

/// What Kafka Connect would know of the data's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Schema {
    None,
    Optional,
    Required,
}

impl Converter {
    /// By the name of its class, with or without its package; `None` for one that is not there.
    pub(super) fn of_class(class: &str, schemas: bool) -> Option<Self> {
        let simple = class
            .strip_prefix("org.apache.kafka.connect.storage.")
            .or_else(|| class.strip_prefix("org.apache.kafka.connect.converters."))
            .or_else(|| class.strip_prefix("org.apache.kafka.connect.json."))
            .unwrap_or(class);
        Some(match simple {
            "" => Self::AsIs,
            "StringConverter" | "String" => Self::Text,
            "ByteArrayConverter" | "ByteArray" => Self::Bytes,
            "JsonConverter" | "Json" => Self::Json { schemas },
            _ => return None,
        })
    }

    /// The bytes; `None` is Kafka's null. The error says why there are none.
    pub(super) fn write(self, datum: Datum, schema: Schema) -> Result<Option<Bytes>, String> {
        if let Self::Json { schemas } = self {
            return Ok(json(datum, schema, schemas));
        }
        Ok(Some(match (self, datum) {
            (_, Datum::Null) => return Ok(None),
            (Self::AsIs, Datum::Bytes(bytes)) | (Self::Bytes, Datum::Bytes(bytes)) => bytes,
            (Self::Bytes, _) => {
                return Err(
                    "ByteArrayConverter takes bytes, and this is text; use StringConverter"
                        .to_owned(),
                );
            }
            (_, Datum::Bytes(bytes)) => match std::str::from_utf8(&bytes) {
                Ok(_) => bytes,
                Err(error) => {
                    return Err(format!(
                        "StringConverter takes text, and these bytes are no UTF-8 from byte {} on; use ByteArrayConverter, \
                         or mq.message.body.jms=true to have text converted",
                        error.valid_up_to()
                    ));
                }
            },
            (_, Datum::Json(text)) => text,
            (_, datum) => Bytes::from(plain(datum)),
        }))
    }

    /// As [`Converter::write`] for a header, where bytes are written in Base64 as
    /// `SimpleHeaderConverter` does it.
    pub(super) fn write_header(self, datum: Datum) -> Option<Bytes> {
        let schema = match datum {
            Datum::Null => Schema::Optional,
            _ => Schema::Required,
        };
        match (self, datum) {
            (Self::Json { schemas }, datum) => json(datum, schema, schemas),
            (_, Datum::Null) => None,
            (_, datum) => Some(Bytes::from(plain(datum))),
        }
    }
}

/// As Java prints it; bytes in Base64.
fn plain(datum: Datum) -> String {
    match datum {
        Datum::Null => "null".to_owned(),
        Datum::Text(text) => text,
        Datum::Bytes(bytes) => BASE64.encode(bytes),
        Datum::Json(text) => String::from_utf8_lossy(&text).into_owned(),
        Datum::Boolean(value) => value.to_string(),
        Datum::Byte(value) => value.to_string(),
        Datum::Short(value) => value.to_string(),
        Datum::Int(value) => value.to_string(),
        Datum::Long(value) => value.to_string(),
        Datum::Float(value) => java_float(f64::from(value), &format!("{value:e}")),
        Datum::Double(value) => java_float(value, &format!("{value:e}")),
    }
}

/// `Double.toString`: decimal from 10^-3 to below 10^7, else with an exponent; always a digit behind
/// the point. `shortest` is the shortest form that reads back, with an exponent.
fn java_float(value: f64, shortest: &str) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let (sign, shortest) = match shortest.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", shortest),
    };
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let digits = mantissa.replace('.', "");
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-3..1e7).contains(&magnitude) {
        let (first, rest) = digits.split_at(1);
        let rest = if rest.is_empty() { "0" } else { rest };
        return format!("{sign}{first}.{rest}E{exponent}");
    }
    if exponent < 0 {
        let zeros = "0".repeat(usize::try_from(-exponent - 1).unwrap_or_default());
        return format!("{sign}0.{zeros}{digits}");
    }
    let whole = usize::try_from(exponent).unwrap_or_default() + 1;
    let padded = format!("{digits:0<whole$}");
    let (whole, rest) = padded.split_at(whole);
    let rest = if rest.is_empty() { "0" } else { rest };
    format!("{sign}{whole}.{rest}")
}

fn json(datum: Datum, schema: Schema, schemas: bool) -> Option<Bytes> {
    if datum == Datum::Null && schema == Schema::None {
        return None;
    }
    let kind = match &datum {
        Datum::Null | Datum::Text(_) => "string",
        Datum::Bytes(_) | Datum::Json(_) => "bytes",
        Datum::Boolean(_) => "boolean",
        Datum::Byte(_) => "int8",
        Datum::Short(_) => "int16",
        Datum::Int(_) => "int32",
        Datum::Long(_) => "int64",
        Datum::Float(_) => "float",
        Datum::Double(_) => "double",
    };
    let payload = match datum {
        // Not a copy where it is the whole.
        Datum::Json(text) if !schemas => return Some(text),
        Datum::Text(text) => quoted(&text),
        Datum::Bytes(bytes) => quoted(&BASE64.encode(bytes)),
        Datum::Float(value) if !value.is_finite() => quoted(&plain(datum)),
        Datum::Double(value) if !value.is_finite() => quoted(&plain(datum)),
        datum => plain(datum),
    };
    if !schemas {
        return Some(Bytes::from(payload));
    }
    let schema = match schema {
        Schema::None => "null".to_owned(),
        Schema::Optional => format!("{{\"type\":\"{kind}\",\"optional\":true}}"),
        Schema::Required => format!("{{\"type\":\"{kind}\",\"optional\":false}}"),
    };
    Some(Bytes::from(format!(
        "{{\"schema\":{schema},\"payload\":{payload}}}"
    )))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(converter: Converter, datum: Datum, schema: Schema) -> String {
        match converter.write(datum, schema) {
            Ok(None) => "null".to_owned(),
            Ok(Some(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(reason) => format!("refused: {reason}"),
        }
    }

    #[test]
    fn floats_are_printed_as_java_does() {
        // Expectations from Double.toString and Float.toString of JDK 19 and later.
        for (value, expected) in [
            (0.5, "0.5"),
            (1e10, "1.0E10"),
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (100.0, "100.0"),
            (123_456.789, "123456.789"),
            (9_999_999.0, "9999999.0"),
            (10_000_000.0, "1.0E7"),
            (0.001, "0.001"),
            (0.000_999, "9.99E-4"),
            (-1.25, "-1.25"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
            (f64::MAX, "1.7976931348623157E308"),
        ] {
            assert_eq!(plain(Datum::Double(value)), expected);
        }
        assert_eq!(plain(Datum::Float(1.1)), "1.1");
        assert_eq!(plain(Datum::Float(3.4e38)), "3.4E38");
    }

    #[test]
    fn converters_write_what_connect_writes() {
        // Expectations from the converters of Kafka Connect 4.3.1.
        use Converter::{AsIs, Bytes as Raw, Json, Text};
        let bytes = || Datum::Bytes(Bytes::from_static(&[0xff, 1]));
        let text = || Datum::Text("a\"b".to_owned());
        let json = || Datum::Json(Bytes::from_static(b"{\"a\": 1}"));
        let (plain, wrapped) = (Json { schemas: false }, Json { schemas: true });
        for (converter, datum, schema, expected) in [
            (AsIs, text(), Schema::None, "a\"b"),
            (AsIs, json(), Schema::None, "{\"a\": 1}"),
            (AsIs, Datum::Null, Schema::None, "null"),
            (Text, text(), Schema::None, "a\"b"),
            (Text, json(), Schema::None, "{\"a\": 1}"),
            (
                Raw,
                text(),
                Schema::None,
                "refused: ByteArrayConverter takes bytes, and this is text; use StringConverter",
            ),
            (plain, text(), Schema::None, "\"a\\\"b\""),
            (plain, bytes(), Schema::Optional, "\"/wE=\""),
            (plain, json(), Schema::None, "{\"a\": 1}"),
            (plain, Datum::Null, Schema::None, "null"),
            (
                wrapped,
                json(),
                Schema::None,
                "{\"schema\":null,\"payload\":{\"a\": 1}}",
            ),
            (
                wrapped,
                bytes(),
                Schema::Optional,
                "{\"schema\":{\"type\":\"bytes\",\"optional\":true},\"payload\":\"/wE=\"}",
            ),
            (
                wrapped,
                text(),
                Schema::Optional,
                "{\"schema\":{\"type\":\"string\",\"optional\":true},\"payload\":\"a\\\"b\"}",
            ),
        ] {
            assert_eq!(
                shown(converter, datum.clone(), schema),
                expected,
                "{converter:?} {datum:?}"
            );
        }
        assert!(shown(Text, bytes(), Schema::Optional).contains("no UTF-8 from byte 0 on"));
        assert_eq!(
            Raw.write(bytes(), Schema::Optional),
            Ok(Some(Bytes::from_static(&[0xff, 1])))
        );
    }

    #[test]
    fn headers_are_written_as_simple_header_converter_does() {
        let header = |datum| {
            let bytes = Converter::AsIs.write_header(datum);
            bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        };
        assert_eq!(header(Datum::Int(7)).as_deref(), Some("7"));
        assert_eq!(header(Datum::Boolean(true)).as_deref(), Some("true"));
        assert_eq!(
            header(Datum::Bytes(Bytes::from_static(&[0xff, 1]))).as_deref(),
            Some("/wE=")
        );
        assert_eq!(header(Datum::Null), None);
        let json = Converter::Json { schemas: true };
        let shown = json.write_header(Datum::Long(3)).expect("bytes");
        assert_eq!(
            shown,
            "{\"schema\":{\"type\":\"int64\",\"optional\":false},\"payload\":3}"
        );
    }
}
