//! Compiling `[validate]`: the schemas that documents are held against.

use super::table::Section;
use super::{Compiler, FormatKind};
use crate::json_schema::JsonSchema;
use crate::xsd::{Schemas, parse};

impl Compiler<'_> {
    /// The schema of a JSON source; `None` where there is none.
    pub(super) fn json_schema(&mut self, root: &Section<'_>) -> Option<JsonSchema> {
        let section = root.section(self, "validate")?;
        section.only(self, &["json_schema"]);
        let Some((file, span)) = section.text(self, "json_schema") else {
            let message = "name the schema: json_schema = \"transaction.schema.json\"";
            self.error(section.span(), "validate.json_schema", message);
            return None;
        };
        let read = self.options.file(file).and_then(|bytes| {
            let text = std::str::from_utf8(bytes)
                .map_err(|_| format!("{file} is not UTF-8, and nothing else is read"))?;
            JsonSchema::parse(text).map_err(|mistake| format!("{file}: {mistake}"))
        });
        read.map_err(|message| self.error(span, "validate.json_schema", message))
            .ok()
    }

    /// The schemas of an XML source; `None` where there are none.
    pub(super) fn schemas(&mut self, root: &Section<'_>) -> Option<Schemas> {
        let section = root.section(self, "validate")?;
        section.only(self, &["xsd"]);
        if self.format != FormatKind::Xml {
            let message = format!(
                "a schema is for XML or JSON, and the format is {:?}",
                self.format.name()
            );
            self.error(section.span(), "validate", message);
            return None;
        }
        let Some(files) = section.texts(self, "xsd") else {
            let message = "name the schema: xsd = \"pain.001.001.09.xsd\", or several in a list";
            self.error(section.span(), "validate.xsd", message);
            return None;
        };
        let mut schemas = Schemas::default();
        for (file, span) in files {
            let read = self.options.file(file).and_then(|bytes| {
                let text = std::str::from_utf8(bytes)
                    .map_err(|_| format!("{file} is not UTF-8, and nothing else is read"))?;
                parse(text).map_err(|mistake| {
                    format!("{file}, line {}: {}", mistake.line, mistake.message)
                })
            });
            match read {
                Ok(schema) => {
                    let mut known = schemas.0.iter();
                    if known.any(|known| known.namespace == schema.namespace) {
                        let message = format!(
                            "two schemas are of the namespace {:?}: one is enough",
                            schema.namespace
                        );
                        self.error(span, "validate.xsd", message);
                    }
                    schemas.0.push(schema);
                }
                Err(message) => self.error(span, "validate.xsd", message),
            }
        }
        Some(schemas)
    }
}
