//! JMS message selectors: conditional expressions of SQL-92 over a message's properties (JMS 2.0,
//! §3.8.1).
//!
//! Invariants: a selector is bounded in length and depth, so reading and evaluating it is bounded
//! too; what is unknown (a property that is not there) is neither true nor false.
//!
//! Properties may be floating point by specification; they are never money.

mod evaluate;
mod parse;
mod rfh2;

use std::sync::Arc;

use queue_manager::{Condition, Message};
use tracing::debug;

use crate::reason::{self, Outcome, failed};

pub(crate) use evaluate::Value;
use parse::Expression;
pub use parse::SelectorError;

/// Longest selector in bytes (IBM MQ's MQ_SELECTOR_LENGTH).
pub(crate) const SELECTOR_BYTES_MAX: usize = 10_240;
/// Deepest nesting of parentheses, NOT and signs.
pub(crate) const DEPTH_MAX: usize = 100;
/// Most AND, OR and arithmetic operators.
pub(crate) const OPERATORS_MAX: usize = 1_000;

/// A selector that was read.
#[derive(Debug, Clone)]
pub struct Selector(Arc<Expression>);

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    ///
    /// [`SelectorError`]: the text is none, or is longer or deeper than is allowed.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        Ok(Self(Arc::new(parse::parse(text)?)))
    }

    /// Whether it is true of a message; neither false nor unknown.
    pub fn is_true_of(&self, message: &Message) -> bool {
        let properties = rfh2::Properties::of(message);
        evaluate::is_true(&self.0, &|name| properties.get(name))
    }
}

/// A condition for the queue manager.
fn condition(text: &str) -> Result<Condition, SelectorError> {
    let selector = Selector::parse(text)?;
    Ok(Arc::new(move |message: &Message| {
        selector.is_true_of(message)
    }))
}

/// The condition of a selector that a client gave, if it gave one.
pub(crate) fn optional(text: Option<String>) -> Result<Option<Condition>, Outcome> {
    match text.as_deref().map(str::trim) {
        None | Some("") => Ok(None),
        Some(text) => Ok(Some(condition(text).map_err(|error| {
            debug!(%error, text, "a selector is wrong");
            failed(reason::SELECTOR_SYNTAX_ERROR)
        })?)),
    }
}

/// When a message with a JMS delivery delay may be got, in milliseconds since 1970.
pub(crate) fn delivery_time(body: &[u8], encoding: i32) -> Option<i64> {
    rfh2::delivery_time(body, encoding)
}
