//! Why a text of SQL cannot be used.

use std::fmt;

use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::tokenizer::Span;

/// The SQL is refused, or running it failed.
#[derive(Debug, thiserror::Error)]
pub struct SqlError {
    /// What is wrong, and what would be right.
    pub message: String,
    /// Line and column in the text, from 1, where it is known.
    pub place: Option<(u64, u64)>,
    /// DataFusion's own error.
    #[source]
    pub source: Option<DataFusionError>,
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "line {line}, column {column}: {}", self.message),
            None => self.message.fmt(f),
        }
    }
}

impl SqlError {
    pub(crate) fn refused(message: impl Into<String>, span: Span) -> Self {
        let known = span.start.line > 0;
        Self {
            message: message.into(),
            place: known.then_some((span.start.line, span.start.column)),
            source: None,
        }
    }

    pub(crate) fn plain(message: impl Into<String>) -> Self {
        Self::refused(message, Span::empty())
    }

    /// At `span`, where its own place is not known.
    pub(crate) fn at(mut self, span: Span) -> Self {
        if self.place.is_none() && span.start.line > 0 {
            self.place = Some((span.start.line, span.start.column));
        }
        self
    }

    pub(crate) fn from_datafusion(what: &str, error: DataFusionError) -> Self {
        let span = error.diagnostic().and_then(|diagnostic| diagnostic.span);
        let detail = match error.diagnostic() {
            Some(diagnostic) => diagnostic.message.clone(),
            None => error.strip_backtrace(),
        };
        Self {
            message: format!("{what}: {detail}"),
            place: span.map(|span| (span.start.line, span.start.column)),
            source: Some(error),
        }
    }
}

impl From<crate::fold::FoldError> for SqlError {
    fn from(error: crate::fold::FoldError) -> Self {
        Self::plain(error.to_string())
    }
}
