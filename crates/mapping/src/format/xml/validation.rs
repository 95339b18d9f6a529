//! Hands events of the decoder to the validator, where the source names a schema.

use super::{Decoder, Tag, split_name};
use crate::plan::same_name;
use crate::record::Assembler;
use crate::refusal::{Refusal, rule};
use crate::xsd::{Name, Namespace};

/// An invalid element: the document is refused. `last` is the element's name where it has not begun.
fn invalid(
    records: &mut Assembler<'_, '_>,
    mut path: String,
    last: Option<&str>,
    what: &str,
    start: usize,
) -> Refusal {
    if let Some(last) = last {
        path.push('/');
        path.push_str(last);
    }
    records.refuse(start, Some(&path), rule::SCHEMA, format!("{path} {what}"))
}

impl Decoder<'_> {
    fn namespace_of(&self, prefix: &str) -> Namespace {
        let mut bindings = self.bindings.iter().rev();
        match bindings.find(|binding| same_name(&binding.prefix, prefix)) {
            Some(binding) => binding.namespace,
            None if prefix.is_empty() => self.plan.namespace(""),
            // Such as `xml`, which needs no declaration.
            None => Namespace::Other,
        }
    }

    /// An element begins; `is_document` where it is the one that the schema describes.
    pub(super) fn validate_open(
        &mut self,
        records: &mut Assembler<'_, '_>,
        tag: Tag<'_, '_>,
        (local, prefix): (&str, &str),
        start: usize,
        is_document: bool,
    ) -> Result<(), Refusal> {
        let namespace = self.namespace_of(prefix);
        let Some(validator) = &mut self.validator else {
            return Ok(());
        };
        if !is_document && !validator.is_inside() {
            return Ok(());
        }
        let opened = validator.open(Name { namespace, local });
        opened.map_err(|what| invalid(records, validator.path(), Some(local), &what, start))?;
        for attribute in tag.attributes {
            let (local, prefix) = split_name(attribute.name);
            if prefix == "xmlns" || attribute.name == "xmlns" {
                continue;
            }
            let namespace = match prefix {
                "" => Namespace::None,
                prefix => self.namespace_of(prefix),
            };
            let value = attribute.value();
            if let Some(validator) = &mut self.validator {
                let checked = validator.attribute(namespace, local, &value);
                checked.map_err(|what| invalid(records, validator.path(), None, &what, start))?;
            }
        }
        if let Some(validator) = &self.validator {
            let has = |name: &str| {
                tag.attributes
                    .iter()
                    .any(|attribute| attribute.name == name)
            };
            let ended = validator.attributes_end(&has);
            ended.map_err(|what| invalid(records, validator.path(), None, &what, start))?;
        }
        Ok(())
    }

    pub(super) fn validate_text(
        &mut self,
        records: &mut Assembler<'_, '_>,
        start: usize,
        piece: &str,
    ) -> Result<(), Refusal> {
        let Some(validator) = &mut self.validator else {
            return Ok(());
        };
        let taken = validator.text(piece);
        taken.map_err(|what| invalid(records, validator.path(), None, &what, start))
    }

    pub(super) fn validate_close(
        &mut self,
        records: &mut Assembler<'_, '_>,
        end: usize,
    ) -> Result<(), Refusal> {
        let Some(validator) = &mut self.validator else {
            return Ok(());
        };
        let closed = validator.close();
        closed.map_err(|what| invalid(records, validator.path(), None, &what, end))
    }
}
