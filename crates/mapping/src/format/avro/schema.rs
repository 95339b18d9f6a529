//! Avro schemas: the types of a datum in one table, so that types that hold themselves cost nothing.
//!
//! Source: Apache Avro 1.12, "Schema Declaration" and "Parsing Canonical Form for Schemas". Invariant:
//! nothing recurses; a schema of a container file comes from outside and is bounded by
//! [`SCHEMA_BYTES_MAX`] and by the nesting that `serde_json` reads (128).

use std::collections::HashMap;

use serde_json::Value as Json;

/// Most bytes of a schema's text.
pub(crate) const SCHEMA_BYTES_MAX: usize = 256 << 10;
/// Most digits behind the point of a decimal.
const SCALE_MAX: u64 = 38;

/// Index of a type in a schema's table.
pub(crate) type TypeId = usize;

/// The types of a datum; the first is the datum's own.
#[derive(Debug, Clone)]
pub(crate) struct Schema {
    types: Vec<Type>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Type {
    Null,
    Boolean,
    Int(Logical),
    Long(Logical),
    Float,
    Double,
    Bytes(Logical),
    Text,
    Fixed(usize, Logical, String),
    Enum(Vec<Box<str>>, String),
    Array(TypeId),
    Map(TypeId),
    Record(Vec<(Box<str>, TypeId)>, String),
    Union(Vec<TypeId>),
    /// A type that is declared elsewhere: its full name, and where it is once that is known.
    Named(String, TypeId),
}

/// What a number or bytes stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logical {
    None,
    /// With so many digits behind the point.
    Decimal(u32),
    Date,
    TimeMillis,
    TimeMicros,
    /// Units in a second; a local one has no offset.
    Timestamp {
        per_second: i64,
        is_local: bool,
    },
    Uuid,
}

impl Schema {
    /// Reads a schema; the error says what is wrong with it.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        if text.len() > SCHEMA_BYTES_MAX {
            return Err(format!(
                "the schema has {} bytes, at most {SCHEMA_BYTES_MAX} are read",
                text.len()
            ));
        }
        let json: Json = serde_json::from_slice(text)
            .map_err(|error| format!("the schema is no JSON: {error}"))?;
        let mut builder = Builder {
            types: vec![Type::Null],
            open: vec![(&json, 0, "")],
            names: HashMap::new(),
        };
        while let Some((json, slot, space)) = builder.open.pop() {
            let made = builder.make(json, space)?;
            builder.types[slot] = made;
        }
        builder.finish()
    }

    /// A type; one that is declared elsewhere is followed there.
    pub(crate) fn get(&self, id: TypeId) -> &Type {
        match self.types.get(id) {
            Some(Type::Named(_, target)) => self.types.get(*target).unwrap_or(&Type::Null),
            Some(known) => known,
            None => &Type::Null,
        }
    }

    /// CRC-64-AVRO of the schema's canonical form.
    pub(crate) fn fingerprint(&self) -> u64 {
        fingerprint(self.canonical().as_bytes())
    }

    /// The parsing canonical form.
    fn canonical(&self) -> String {
        enum Piece<'s> {
            Text(&'s str),
            Type(TypeId),
        }
        let mut out = String::new();
        let mut open = vec![Piece::Type(0)];
        while let Some(piece) = open.pop() {
            let id = match piece {
                Piece::Text(text) => {
                    out.push_str(text);
                    continue;
                }
                Piece::Type(id) => id,
            };
            // Pieces behind this one, the last first.
            match self.types.get(id).unwrap_or(&Type::Null) {
                Type::Null => out.push_str("\"null\""),
                Type::Boolean => out.push_str("\"boolean\""),
                Type::Int(_) => out.push_str("\"int\""),
                Type::Long(_) => out.push_str("\"long\""),
                Type::Float => out.push_str("\"float\""),
                Type::Double => out.push_str("\"double\""),
                Type::Bytes(_) => out.push_str("\"bytes\""),
                Type::Text => out.push_str("\"string\""),
                Type::Named(name, _) => out.push_str(&format!("\"{name}\"")),
                Type::Fixed(size, _, name) => {
                    out.push_str(&format!(
                        "{{\"name\":\"{name}\",\"type\":\"fixed\",\"size\":{size}}}"
                    ));
                }
                Type::Enum(symbols, name) => {
                    let symbols: Vec<String> = symbols
                        .iter()
                        .map(|symbol| format!("\"{symbol}\""))
                        .collect();
                    out.push_str(&format!(
                        "{{\"name\":\"{name}\",\"type\":\"enum\",\"symbols\":[{}]}}",
                        symbols.join(",")
                    ));
                }
                Type::Array(items) => {
                    out.push_str("{\"type\":\"array\",\"items\":");
                    open.extend([Piece::Text("}"), Piece::Type(*items)]);
                }
                Type::Map(values) => {
                    out.push_str("{\"type\":\"map\",\"values\":");
                    open.extend([Piece::Text("}"), Piece::Type(*values)]);
                }
                Type::Union(branches) => {
                    out.push('[');
                    open.push(Piece::Text("]"));
                    for (index, branch) in branches.iter().enumerate().rev() {
                        open.push(Piece::Type(*branch));
                        if index > 0 {
                            open.push(Piece::Text(","));
                        }
                    }
                }
                Type::Record(fields, name) => {
                    out.push_str(&format!(
                        "{{\"name\":\"{name}\",\"type\":\"record\",\"fields\":["
                    ));
                    open.push(Piece::Text("]}"));
                    for (index, (name, kind)) in fields.iter().enumerate().rev() {
                        open.extend([
                            Piece::Text("}"),
                            Piece::Type(*kind),
                            Piece::Text("\",\"type\":"),
                            Piece::Text(name),
                            Piece::Text("{\"name\":\""),
                        ]);
                        if index > 0 {
                            open.push(Piece::Text(","));
                        }
                    }
                }
            }
        }
        out
    }
}

struct Builder<'j> {
    types: Vec<Type>,
    /// Declarations to be read, the place of each, and the namespace around it.
    open: Vec<(&'j Json, TypeId, &'j str)>,
    names: HashMap<String, TypeId>,
}

impl<'j> Builder<'j> {
    fn later(&mut self, json: &'j Json, space: &'j str) -> TypeId {
        self.types.push(Type::Null);
        let id = self.types.len() - 1;
        self.open.push((json, id, space));
        id
    }

    fn make(&mut self, mut json: &'j Json, space: &'j str) -> Result<Type, String> {
        // A type within a declaration of nothing else, as in {"type": {"type": "array", …}}.
        while let Some(inner @ (Json::Object(_) | Json::Array(_))) = json.get("type") {
            json = inner;
        }
        match json {
            Json::String(name) => Ok(primitive(name, Logical::None)
                .unwrap_or_else(|| Type::Named(full_name(name, space), 0))),
            Json::Array(branches) => {
                let branches = branches
                    .iter()
                    .map(|json| self.later(json, space))
                    .collect();
                Ok(Type::Union(branches))
            }
            Json::Object(_) => self.declared(json, space),
            _ => Err(format!("the schema has {json} where a type is expected")),
        }
    }

    fn declared(&mut self, json: &'j Json, space: &'j str) -> Result<Type, String> {
        let Some(kind) = json["type"].as_str() else {
            return Err("a declaration of the schema has no \"type\"".to_owned());
        };
        let lacks = |key: &str| format!("a declaration of {kind} in the schema has no {key:?}");
        match kind {
            "array" => {
                let items = json.get("items").ok_or_else(|| lacks("items"))?;
                return Ok(Type::Array(self.later(items, space)));
            }
            "map" => {
                let values = json.get("values").ok_or_else(|| lacks("values"))?;
                return Ok(Type::Map(self.later(values, space)));
            }
            "record" | "error" | "enum" | "fixed" => {}
            _ => {
                let logical = logical(json, kind)?;
                return Ok(primitive(kind, logical)
                    .unwrap_or_else(|| Type::Named(full_name(kind, space), 0)));
            }
        }
        let name = json["name"].as_str().ok_or_else(|| lacks("name"))?;
        let given = json["namespace"].as_str().unwrap_or(space);
        let full = full_name(name, given);
        let inner = match name.rsplit_once('.') {
            Some((inner, _)) => inner,
            None => given,
        };
        match kind {
            "fixed" => {
                let size = json["size"].as_u64().ok_or_else(|| lacks("size"))?;
                let size = usize::try_from(size).map_err(|_| lacks("size"))?;
                Ok(Type::Fixed(size, logical(json, kind)?, full))
            }
            "enum" => {
                let symbols = json["symbols"].as_array().ok_or_else(|| lacks("symbols"))?;
                let symbols = symbols.iter().filter_map(Json::as_str);
                Ok(Type::Enum(symbols.map(Into::into).collect(), full))
            }
            _ => {
                let declared = json["fields"].as_array().ok_or_else(|| lacks("fields"))?;
                let mut fields = Vec::new();
                for field in declared {
                    let name = field["name"].as_str().ok_or_else(|| lacks("name"))?;
                    let kind = field.get("type").ok_or_else(|| lacks("type"))?;
                    fields.push((name.into(), self.later(kind, inner)));
                }
                Ok(Type::Record(fields, full))
            }
        }
    }

    /// Settles where the named types are.
    fn finish(mut self) -> Result<Schema, String> {
        for (id, known) in self.types.iter().enumerate() {
            if let Type::Fixed(_, _, name) | Type::Enum(_, name) | Type::Record(_, name) = known
                && self.names.insert(name.clone(), id).is_some()
            {
                return Err(format!("the schema declares {name:?} twice"));
            }
        }
        for known in &mut self.types {
            if let Type::Named(name, target) = known {
                *target = *self
                    .names
                    .get(name)
                    .ok_or_else(|| format!("the schema has no type {name:?}"))?;
            }
        }
        Ok(Schema { types: self.types })
    }
}

fn full_name(name: &str, space: &str) -> String {
    if name.contains('.') || space.is_empty() {
        return name.trim_start_matches('.').to_owned();
    }
    format!("{space}.{name}")
}

fn primitive(name: &str, logical: Logical) -> Option<Type> {
    Some(match name {
        "null" => Type::Null,
        "boolean" => Type::Boolean,
        "int" => Type::Int(logical),
        "long" => Type::Long(logical),
        "float" => Type::Float,
        "double" => Type::Double,
        "bytes" => Type::Bytes(logical),
        "string" => Type::Text,
        _ => return None,
    })
}

/// The logical type of a declaration; one that does not fit its type is ignored, as Avro prescribes.
fn logical(json: &Json, kind: &str) -> Result<Logical, String> {
    let timestamp = |per_second, is_local| Logical::Timestamp {
        per_second,
        is_local,
    };
    let name = json["logicalType"].as_str().unwrap_or_default();
    Ok(match (name, kind) {
        ("decimal", "bytes" | "fixed") => {
            let scale = json["scale"].as_u64().unwrap_or(0);
            if scale > SCALE_MAX {
                return Err(format!(
                    "a decimal of the schema has {scale} digits behind the point, at most {SCALE_MAX} are read"
                ));
            }
            Logical::Decimal(scale as u32)
        }
        ("date", "int") => Logical::Date,
        ("time-millis", "int") => Logical::TimeMillis,
        ("time-micros", "long") => Logical::TimeMicros,
        ("timestamp-millis", "long") => timestamp(1_000, false),
        ("timestamp-micros", "long") => timestamp(1_000_000, false),
        ("timestamp-nanos", "long") => timestamp(1_000_000_000, false),
        ("local-timestamp-millis", "long") => timestamp(1_000, true),
        ("local-timestamp-micros", "long") => timestamp(1_000_000, true),
        ("local-timestamp-nanos", "long") => timestamp(1_000_000_000, true),
        ("uuid", "fixed") if json["size"].as_u64() == Some(16) => Logical::Uuid,
        _ => Logical::None,
    })
}

/// CRC-64-AVRO: a Rabin fingerprint.
fn fingerprint(bytes: &[u8]) -> u64 {
    const EMPTY: u64 = 0xc15d_213a_a4d7_a795;
    let mut print = EMPTY;
    for byte in bytes {
        let mut entry = (print ^ u64::from(*byte)) & 0xff;
        for _ in 0..8 {
            entry = (entry >> 1) ^ (EMPTY & 0_u64.wrapping_sub(entry & 1));
        }
        print = (print >> 8) ^ entry;
    }
    print
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(schema: &str, canonical: &str, print: u64) {
        let schema = Schema::parse(schema.as_bytes()).expect("a schema");
        assert_eq!(schema.canonical(), canonical);
        assert_eq!(schema.fingerprint(), print, "{:x}", schema.fingerprint());
    }

    /// Fingerprints as Avro's own tests (`share/test/data/schema-tests.txt`) have them.
    #[test]
    fn canonical_forms_and_fingerprints() {
        check("\"null\"", "\"null\"", 7_195_948_357_588_979_594);
        check("{\"type\":\"int\"}", "\"int\"", 8_247_732_601_305_521_295);
        check(
            "{\"fields\":[], \"type\":\"record\", \"name\":\"foo\", \"doc\":\"x\"}",
            "{\"name\":\"foo\",\"type\":\"record\",\"fields\":[]}",
            (-4_824_392_279_771_201_922_i64) as u64,
        );
        check(
            "{\"fields\":[{\"type\":{\"type\":\"boolean\"}, \"name\":\"f1\"}], \"type\":\"record\", \"name\":\"foo\"}",
            "{\"name\":\"foo\",\"type\":\"record\",\"fields\":[{\"name\":\"f1\",\"type\":\"boolean\"}]}",
            7_843_277_075_252_814_651,
        );
    }

    #[test]
    fn what_is_no_schema() {
        for text in [
            "",
            "1",
            "{}",
            "\"other\"",
            "{\"type\":\"array\"}",
            "{\"type\":\"record\",\"name\":\"a\"}",
            "[{\"type\":\"fixed\",\"name\":\"a\",\"size\":1},{\"type\":\"fixed\",\"name\":\"a\",\"size\":1}]",
            "{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"scale\":39}",
        ] {
            assert!(Schema::parse(text.as_bytes()).is_err(), "{text}");
        }
        let deep = format!("{}1", "[".repeat(200_000));
        assert!(Schema::parse(deep.as_bytes()).is_err());
    }
}
