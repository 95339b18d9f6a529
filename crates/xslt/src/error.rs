//! What can be wrong: with a stylesheet, with a document, or while one is applied to the other.

use std::fmt;

/// What is wrong with a stylesheet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError {
    /// The name under which the file was given.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}:{}: {}",
            self.file, self.line, self.column, self.message
        )
    }
}

impl std::error::Error for CompileError {}

/// Where an instruction stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The name under which the file was given.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

/// What is wrong with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is not UTF-8.
    NotUtf8,
    /// It has a document type definition.
    Doctype,
    /// It is not well-formed, or has what is not read.
    Xml,
}

/// Whose fault it is that a document was not transformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The document's, at this byte.
    Document {
        /// Byte of the document, from 0.
        offset: usize,
        /// What it breaks.
        fault: Fault,
    },
    /// It would have taken more than the field of [`crate::Limits`] of this name allows.
    Limit(&'static str),
    /// The stylesheet said `<xsl:message terminate="yes">`; the message is its text.
    Terminated,
    /// The stylesheet asked for something that there is not, such as an attribute behind a child.
    Stylesheet,
}

/// Why a document was not transformed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransformError {
    /// Whose fault it is.
    pub cause: Cause,
    /// What is wrong, in one line.
    pub message: String,
    /// The instruction of the stylesheet, where it is known.
    pub place: Option<Place>,
}

impl fmt::Display for TransformError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.place, self.cause) {
            (Some(place), _) => write!(f, "{} ({}, line {})", self.message, place.file, place.line),
            (None, Cause::Document { offset, .. }) => write!(f, "{} (byte {offset})", self.message),
            (None, _) => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for TransformError {}

/// Why an expression has no value now.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It names a variable of the stylesheet that has no value yet: it is asked again once it has.
    Needs(u32),
    Failed(Box<TransformError>),
}

pub(crate) fn fail(message: impl Into<String>) -> Stop {
    Stop::Failed(Box::new(TransformError {
        cause: Cause::Stylesheet,
        message: message.into(),
        place: None,
    }))
}

pub(crate) fn limit(name: &'static str, message: impl Into<String>) -> Stop {
    Stop::Failed(Box::new(TransformError {
        cause: Cause::Limit(name),
        message: message.into(),
        place: None,
    }))
}
