//! Compiling `[avro]`: the schema, and paths through its types.

use super::Compiler;
use super::table::{Section, nearest};
use crate::format::avro::{AvroPlan, Framing, Schema, Type, TypeId};
use crate::plan::FormatPlan;

const KEYS: &[&str] = &["schema", "framing", "schema_id"];
/// What a path's step can be where types are unions of many.
const PLACES_MAX: usize = 4_096;

/// What paths are looked up in.
#[derive(Debug)]
pub(super) struct Types {
    schema: Schema,
    /// The type of the records: several where a union has several.
    records: Vec<TypeId>,
}

impl Types {
    /// Checks a path from the record, or from the top if it begins with `/`.
    fn check(&self, path: &str) -> Result<(), String> {
        let (text, start) = match path.strip_prefix('/') {
            Some(rest) => (rest, self.schema.inside(vec![0])),
            None => (path, self.records.clone()),
        };
        let places = self.walk(text, start)?;
        let kinds = || places.iter().map(|id| self.schema.get(*id));
        if kinds().any(|kind| matches!(kind, Type::Float | Type::Double)) {
            return Err(format!(
                "{path:?} is a floating-point number, which is not exact and is never read; ask the source for the \
                 logical type decimal, a string, or a long in minor units"
            ));
        }
        if kinds().all(|kind| matches!(kind, Type::Record(..) | Type::Map(_) | Type::Null)) {
            return Err(format!(
                "{path:?} has no text of its own; name one of its fields: {}",
                self.names(&places).join(", ")
            ));
        }
        Ok(())
    }

    fn names(&self, places: &[TypeId]) -> Vec<&str> {
        let mut names = Vec::new();
        for id in places {
            if let Type::Record(fields, _) = self.schema.get(*id) {
                names.extend(fields.iter().map(|(name, _)| &**name));
            }
        }
        names
    }

    fn walk(&self, text: &str, mut places: Vec<TypeId>) -> Result<Vec<TypeId>, String> {
        for step in text.split('/').map(super::trie::unescape_step) {
            let mut next = Vec::new();
            for id in &places {
                match self.schema.get(*id) {
                    Type::Record(fields, _) => {
                        let found = fields.iter().find(|(name, _)| **name == *step);
                        next.extend(found.map(|(_, kind)| *kind));
                    }
                    // The step is a key.
                    Type::Map(values) => next.push(*values),
                    _ => {}
                }
            }
            if next.is_empty() {
                let known = self.names(&places);
                let hint = match (nearest(&step, &known), known.is_empty()) {
                    (Some(meant), _) => format!("did you mean {meant:?}?"),
                    (None, true) => "there is nothing below a value".to_owned(),
                    (None, false) => format!("there are {}", known.join(", ")),
                };
                return Err(format!("the schema has no field {step:?} there; {hint}"));
            }
            places = self.schema.inside(next);
        }
        Ok(places)
    }
}

impl Schema {
    /// The types that a value of these types can have: branches of unions, items of arrays.
    fn inside(&self, types: Vec<TypeId>) -> Vec<TypeId> {
        let mut found = Vec::new();
        let mut open = types;
        let mut seen = 0;
        while let Some(id) = open.pop() {
            seen += 1;
            if seen > PLACES_MAX {
                break;
            }
            match self.get(id) {
                Type::Union(branches) => open.extend(branches),
                Type::Array(items) => open.push(*items),
                _ => found.push(id),
            }
        }
        found
    }
}

impl Compiler<'_> {
    pub(super) fn avro(&mut self, root: &Section<'_>) -> Option<FormatPlan> {
        let Some(section) = root.section(self, "avro") else {
            let message = "an Avro source names its schema: [avro] schema = \"payments.avsc\"";
            self.error(0..0, "avro", message);
            return None;
        };
        section.only(self, KEYS);
        let id = section.number(self, "schema_id", 0, u32::MAX as usize);
        let framings = ["file", "single", "raw", "confluent"];
        let framing = match section.choice(self, "framing", &framings, "file") {
            "single" => Framing::Single,
            "raw" => Framing::Raw,
            "confluent" => Framing::Confluent(id.and_then(|id| u32::try_from(id).ok())),
            _ => Framing::File,
        };
        if id.is_some() && !matches!(framing, Framing::Confluent(_)) {
            let message = "only data with framing = \"confluent\" have a schema's number";
            self.error(section.span(), "avro.schema_id", message);
        }
        let (file, span) = section.required_text(self, "schema")?;
        let parsed = self
            .options
            .file(file)
            .and_then(|text| Schema::parse(text).map_err(|message| format!("{file}: {message}")));
        let schema = match parsed {
            Ok(schema) => schema,
            Err(message) => {
                self.error(span, "avro.schema", message);
                return None;
            }
        };
        let mut types = Types {
            records: schema.inside(vec![0]),
            schema: schema.clone(),
        };
        if let Some((path, span)) = root.text(self, "records") {
            let steps = path.strip_prefix('/').unwrap_or_default();
            let found = types.walk(steps, types.records.clone());
            let is_record = |id: &TypeId| matches!(types.schema.get(*id), Type::Record(..));
            match found {
                Ok(places) if places.iter().any(is_record) => types.records = places,
                Ok(_) => self.error(span, "records", format!("{path:?} leads to no record")),
                Err(message) => self.error(span, "records", message),
            }
        }
        self.avro = Some(types);
        Some(FormatPlan::Avro(Box::new(AvroPlan {
            fingerprint: schema.fingerprint(),
            schema,
            framing,
        })))
    }

    /// Checks a path; `None` where the schema could not be read.
    pub(super) fn avro_path(&self, path: &str) -> Option<Result<(), String>> {
        self.avro.as_ref().map(|types| types.check(path))
    }
}
