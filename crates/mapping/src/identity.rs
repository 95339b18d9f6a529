//! Identity of a transaction within its source (DESIGN §3): a pure function of what was sent.
//!
//! In this order: the natural id that the mapping declares; a hash of the `Idempotency-Key` and the
//! record's number; an id made up by the caller, which a retry will not find again.

use std::fmt::Write as _;

use crate::steps::hash_text;

/// What an identity was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityKind {
    /// From the record itself; a retry has the same.
    Natural,
    /// From the `Idempotency-Key` and the record's number; a retry with the same key has the same.
    Key,
    /// Made up: the same record sent again is counted again.
    Generated,
}

/// Adds one part to a composite natural id.
///
/// Parts are joined by `/`; a `/` inside a part is written `~1` and a `~` is written `~0`, so that
/// no two different lists of parts give the same id.
pub fn push_natural_part(id: &mut String, part: &str, is_first: bool, is_composite: bool) {
    if !is_first {
        id.push('/');
    }
    if is_composite && part.contains(['~', '/']) {
        for character in part.chars() {
            match character {
                '~' => id.push_str("~0"),
                '/' => id.push_str("~1"),
                other => id.push(other),
            }
        }
    } else {
        id.push_str(part);
    }
}

/// The id of a record without a natural one: a hash of the request's `Idempotency-Key` and the
/// record's number (`Daybook-First-Record` plus its index in the request).
///
/// A file cut into requests differently, with the same key and right first numbers, gives the same ids.
pub fn key_id(key: &str, record: u64) -> String {
    let mut input = Vec::with_capacity(key.len() + 9);
    input.extend_from_slice(&record.to_be_bytes());
    input.extend_from_slice(key.as_bytes());
    hash_text(&input)
}

/// Appends a record's number to a natural id.
pub(crate) fn push_number(id: &mut String, number: u64, is_first: bool) {
    if !is_first {
        id.push('/');
    }
    // Writing to a string cannot fail.
    let _ = write!(id, "{number}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn joined(parts: &[String]) -> String {
        let mut id = String::new();
        for (index, part) in parts.iter().enumerate() {
            push_natural_part(&mut id, part, index == 0, parts.len() > 1);
        }
        id
    }

    #[test]
    fn a_single_part_is_the_id_itself() {
        assert_eq!(
            joined(&["MUELL/FINP/RA12345".to_owned()]),
            "MUELL/FINP/RA12345"
        );
    }

    #[test]
    fn parts_are_joined_without_ambiguity() {
        assert_eq!(joined(&["a/b".to_owned(), "c".to_owned()]), "a~1b/c");
        assert_eq!(joined(&["a".to_owned(), "b/c".to_owned()]), "a/b~1c");
    }

    #[test]
    fn a_key_and_a_number_give_one_id() {
        assert_eq!(key_id("order-7", 1), key_id("order-7", 1));
        assert_ne!(key_id("order-7", 1), key_id("order-7", 2));
        assert_ne!(key_id("order-7", 1), key_id("order-8", 1));
        assert_eq!(key_id("order-7", 1).len(), 32);
    }

    #[test]
    fn the_derived_id_never_changes() {
        // Stored identities depend on it: a change here would count old files again.
        assert_eq!(
            key_id("file-hash", 69_659),
            "62b1256f25008c6a76c12a456ff8651c"
        );
    }

    proptest! {
        #[test]
        fn different_parts_give_different_ids(
            left in prop::collection::vec("[ab/~]{0,4}", 2..4),
            right in prop::collection::vec("[ab/~]{0,4}", 2..4),
        ) {
            prop_assert_eq!(left == right, joined(&left) == joined(&right));
        }
    }
}
