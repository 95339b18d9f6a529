//! Errors as text.

use std::error::Error;

/// An error and its causes in one line, for a log or an answer.
pub fn report(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the store failed")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn the_causes_follow_in_order() {
        let inner = std::io::Error::other("disk full");
        assert_eq!(report(&Outer(inner)), "the store failed: disk full");
    }
}
