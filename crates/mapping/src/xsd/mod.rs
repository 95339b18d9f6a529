//! XML Schema: documents are validated in the pass in which they are mapped.
//!
//! A subset, chosen so that the schemas of ISO 20022 are read whole; a construct outside of it is refused
//! when the mapping is compiled, with its name and line, and never ignored. `tree`, `parse` and `facets` read a
//! schema, `simple` and `pattern` know texts, `model` knows which elements may follow, `validator` follows a
//! document.

mod facets;
mod model;
mod parse;
mod pattern;
mod simple;
mod tree;
mod validator;

pub(crate) use parse::{Schema, parse};
pub use simple::is_xsd_date_time;
pub(crate) use validator::{Name, Validator};

/// The schemas of a source, of different namespaces.
#[derive(Debug, Default)]
pub(crate) struct Schemas(pub(crate) Vec<Schema>);

/// What a namespace is to the schemas of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Namespace {
    /// Of this schema.
    Of(usize),
    /// XMLSchema-instance, whose attributes say where a schema is.
    Instance,
    None,
    Other,
}

impl Schemas {
    pub(crate) fn namespace(&self, uri: &str) -> Namespace {
        if let Some(index) = self.0.iter().position(|schema| schema.namespace == uri) {
            return Namespace::Of(index);
        }
        match uri {
            "" => Namespace::None,
            "http://www.w3.org/2001/XMLSchema-instance" => Namespace::Instance,
            _ => Namespace::Other,
        }
    }
}
