//! Why Spark does not do what it was told.

use std::time::Duration;

/// Longest text of Spark that is passed on, in bytes: it likes to add the trace of its stack.
const MESSAGE_BYTES_MAX: usize = 600;

/// A query cannot be started, watched or stopped. Retried for ever but for [`SparkError::NotBuilt`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SparkError {
    /// Retrying does not help.
    #[error(
        "this program was built without Spark: build it where `protoc` can be had (`make build` says so), or say `engine = \"native\"`"
    )]
    NotBuilt,
    /// Of a call.
    #[error(
        "Spark at {remote} did not answer within {} s ({what}): is its Connect server running?", limit.as_secs()
    )]
    NoAnswer {
        /// What it was asked.
        what: &'static str,
        /// Its address.
        remote: String,
        /// How long was waited.
        limit: Duration,
    },
    /// It answered with an error.
    #[error("Spark at {remote} refused ({what}): {message}")]
    Refused {
        /// What it was asked.
        what: &'static str,
        /// Its address.
        remote: String,
        /// Its words, cut.
        message: String,
    },
    /// The query has ended by itself.
    #[error("the query {name} ended in Spark: {message}")]
    Ended {
        /// Which.
        name: String,
        /// Why, in Spark's words, cut.
        message: String,
    },
    /// From the operating system.
    #[error("no thread can be started for Spark: {0}")]
    Thread(String),
}

impl SparkError {
    /// Whether the session that the query was started in is no more: it needs another one.
    pub fn is_session_lost(&self) -> bool {
        match self {
            Self::Refused { message, .. } => message.contains("INVALID_HANDLE"),
            _ => false,
        }
    }
}

/// What Spark says, without the trace of its stack.
pub(crate) fn cut(message: &str) -> String {
    let end = ["\n\tat ", "\nJVM stacktrace", "\n  at "]
        .iter()
        .filter_map(|mark| message.find(mark))
        .min();
    let message = &message[..end.unwrap_or(message.len())];
    let words: Vec<&str> = message.split_whitespace().collect();
    let mut text = words.join(" ");
    if text.len() > MESSAGE_BYTES_MAX {
        let end = (0..=MESSAGE_BYTES_MAX).rev();
        let end = end.into_iter().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trace_of_the_stack_is_left_out() {
        let message =
            "[STREAM_FAILED] Query totals\nfailed\n\tat org.apache.spark.Foo(Bar.scala:1)";
        assert_eq!(cut(message), "[STREAM_FAILED] Query totals failed");
    }

    #[test]
    fn a_text_is_passed_on_up_to_the_limit() {
        assert_eq!(cut(&"x".repeat(MESSAGE_BYTES_MAX)).len(), MESSAGE_BYTES_MAX);
        let longer = "é".repeat(MESSAGE_BYTES_MAX / 2 + 1);
        let cut = cut(&longer);
        assert_eq!(cut.trim_end_matches('…').len(), MESSAGE_BYTES_MAX);
        assert!(cut.ends_with('…'));
    }

    #[test]
    fn a_closed_session_is_told_from_other_refusals() {
        let refused = |message: &str| SparkError::Refused {
            what: "list queries",
            remote: "sc://127.0.0.1:15002".to_owned(),
            message: message.to_owned(),
        };
        assert!(refused("[INVALID_HANDLE.SESSION_CLOSED] …").is_session_lost());
        assert!(!refused("[PARSE_SYNTAX_ERROR] …").is_session_lost());
        assert!(!SparkError::NotBuilt.is_session_lost());
    }
}
