//! JSON Schema: what a record's object must look like before it is mapped.
//!
//! A subset of draft 2020-12 that is read whole; a keyword outside of it is refused when the mapping is compiled, with its place, never ignored.
//! `read` compiles a schema, `tree` reads a record, `check` holds one against the other. Numbers are compared digit by digit (`crate::number`).
//!
//! # Invariants
//!
//! - The record has been read by the decoder: its JSON is well-formed, its keys are different, its depth is within the limit.
//! - Recursion is bounded by [`DEPTH_MAX`], work by [`STEPS_MAX`], whatever schema and record are; beyond them a record is refused.
//!
//! Source: draft-bhutton-json-schema-01 and draft-bhutton-json-schema-validation-01.

mod check;
mod read;
mod tree;

use regex::Regex;

/// Levels of a record, and of schemas within schemas that are looked at for one value.
pub(crate) const DEPTH_MAX: usize = 128;
/// Schemas that are held against values of one record.
pub(crate) const STEPS_MAX: usize = 100_000;

/// A compiled schema. Subschemas are in one table, so that those that refer to themselves cost nothing.
#[derive(Debug)]
pub(crate) struct JsonSchema {
    nodes: Vec<Node>,
    root: usize,
}

/// One schema.
#[derive(Debug, Default)]
struct Node {
    /// `false`: nothing is right.
    never: bool,
    /// Bits of [`Kind`]; 0: every one.
    kinds: u8,
    allowed: Vec<Constant>,
    lengths: Range,
    pattern: Option<Regex>,
    least: Vec<Bound>,
    most: Vec<Bound>,
    /// Digits behind the point at most, of `multipleOf` 0.01 and the like.
    decimals: Option<i64>,
    properties: Vec<(Box<str>, usize)>,
    required: Vec<Box<str>>,
    /// For properties that are not named.
    others: Option<usize>,
    property_count: Range,
    items: Option<usize>,
    item_count: Range,
    /// `$ref` and `allOf`.
    all: Vec<usize>,
    any: Vec<usize>,
    one: Vec<usize>,
    not: Option<usize>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Range {
    least: usize,
    most: Option<usize>,
}

impl Range {
    fn has(self, count: usize) -> bool {
        count >= self.least && self.most.is_none_or(|most| count <= most)
    }
}

#[derive(Debug)]
struct Bound {
    /// A number as it is written.
    number: Box<str>,
    exclusive: bool,
}

/// A value of `enum` or `const`.
#[derive(Debug)]
enum Constant {
    Null,
    Bool(bool),
    /// As it is written.
    Number(Box<str>),
    Text(Box<str>),
}

/// Kinds of values, as bits.
struct Kind;

impl Kind {
    const NULL: u8 = 1;
    const BOOLEAN: u8 = 2;
    const OBJECT: u8 = 4;
    const ARRAY: u8 = 8;
    const NUMBER: u8 = 16;
    const STRING: u8 = 32;
    /// A number without digits behind the point.
    const INTEGER: u8 = 64;

    const NAMES: [(&'static str, u8); 7] = [
        ("null", Self::NULL),
        ("boolean", Self::BOOLEAN),
        ("object", Self::OBJECT),
        ("array", Self::ARRAY),
        ("number", Self::NUMBER),
        ("string", Self::STRING),
        ("integer", Self::INTEGER),
    ];

    fn named(name: &str) -> Option<u8> {
        let mut names = Self::NAMES.iter();
        names.find(|(known, _)| *known == name).map(|(_, bit)| *bit)
    }

    fn names(kinds: u8) -> String {
        let named = Self::NAMES.iter().filter(|(_, bit)| kinds & bit != 0);
        let names: Vec<&str> = named.map(|(name, _)| *name).collect();
        names.join(" or ")
    }
}

/// What is wrong with a record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Where, as a JSON pointer (RFC 6901).
    pub(crate) pointer: String,
    /// Byte of the record's text.
    pub(crate) offset: usize,
    /// What, and what would be right.
    pub(crate) detail: String,
}
