//! What members read: topics by name, and by a regular expression that the broker resolves.
//!
//! Expressions are those of RE2 as far as the `regex` crate has them, without Unicode classes (names of topics are
//! ASCII): no back references and no look-around, so that matching takes time in proportion to the name. An
//! expression has to match the whole name.

use std::collections::{BTreeMap, BTreeSet};

use regex::bytes::{Regex, RegexBuilder};
use uuid::Uuid;

use super::member::Member;

/// Most bytes of a compiled expression. A larger one is refused as one that is not valid.
const PROGRAM_BYTES_MAX: usize = 256 << 10;

/// The topics there are.
pub(crate) trait Catalog {
    /// Another number whenever a topic has come, gone or grown.
    fn version(&self) -> u64;
    /// Id and number of partitions of a topic.
    fn find(&self, name: &str) -> Option<(Uuid, i32)>;
    /// The names that whoever asks may know of.
    fn each_visible(&self, look: &mut dyn FnMut(&str));
}

/// An expression that is not valid, or too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InvalidPattern;

/// Compiles an expression so that it matches whole names only.
pub(crate) fn compile(pattern: &str) -> Result<Regex, InvalidPattern> {
    let build = |pattern: &str| {
        RegexBuilder::new(pattern)
            .unicode(false)
            .size_limit(PROGRAM_BYTES_MAX)
            .build()
            .map_err(|_| InvalidPattern)
    };
    // By itself first: what is put around it must not complete it.
    build(pattern)?;
    build(&format!(r"\A(?:{pattern})\z"))
}

/// What the members of a group read, as far as it exists.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    /// The catalogue's version that this is of.
    version: Option<u64>,
    /// Names by expression.
    matches: BTreeMap<String, BTreeSet<String>>,
    /// Id and number of partitions of every topic that a member reads.
    topics: BTreeMap<String, (Uuid, i32)>,
}

impl Subscriptions {
    /// Looks again if the topics have changed, or if it must. Returns whether what the group reads has changed; the
    /// first look at nothing is a change too.
    pub(super) fn refresh(
        &mut self,
        members: &BTreeMap<String, Member>,
        catalog: &dyn Catalog,
        must: bool,
    ) -> bool {
        let version = Some(catalog.version());
        if !must && self.version == version {
            return false;
        }
        let first = self.version.is_none();
        if self.version != version {
            self.matches.clear();
            self.version = version;
        }
        self.resolve(members, catalog);
        let mut topics = BTreeMap::new();
        for name in members.values().flat_map(|member| self.names(member)) {
            if let Some(found) = catalog.find(name) {
                topics.insert(name.clone(), found);
            }
        }
        let changed = first || self.topics != topics;
        self.topics = topics;
        changed
    }

    fn resolve(&mut self, members: &BTreeMap<String, Member>, catalog: &dyn Catalog) {
        let patterns = members
            .values()
            .filter_map(|member| member.regex.as_ref())
            .collect::<BTreeSet<_>>();
        self.matches.retain(|pattern, _| patterns.contains(pattern));
        for pattern in patterns {
            if self.matches.contains_key(pattern) {
                continue;
            }
            let mut names = BTreeSet::new();
            // It was valid when it came.
            if let Ok(regex) = compile(pattern) {
                catalog.each_visible(&mut |name| {
                    if regex.is_match(name.as_bytes()) {
                        names.insert(name.to_owned());
                    }
                });
            }
            self.matches.insert(pattern.clone(), names);
        }
    }

    /// Somebody has left: what only they read is no longer read.
    pub(super) fn forget(&mut self, members: &BTreeMap<String, Member>) {
        let patterns: BTreeSet<_> = members
            .values()
            .filter_map(|member| member.regex.as_ref())
            .collect();
        self.matches.retain(|pattern, _| patterns.contains(pattern));
        let names = self.all_names(members);
        self.topics.retain(|name, _| names.contains(name));
    }

    fn names<'a>(&'a self, member: &'a Member) -> impl Iterator<Item = &'a String> {
        let pattern = member.regex.as_ref();
        let matched = pattern.and_then(|pattern| self.matches.get(pattern));
        member.topics.iter().chain(matched.into_iter().flatten())
    }

    /// Ids of the topics that a member reads.
    pub(super) fn of(&self, member: &Member) -> BTreeSet<Uuid> {
        let names = self.names(member);
        names
            .filter_map(|name| self.topics.get(name))
            .map(|(id, _)| *id)
            .collect()
    }

    /// Names, also of topics that do not exist, that members read.
    pub(super) fn all_names(&self, members: &BTreeMap<String, Member>) -> BTreeSet<String> {
        let names = members.values().flat_map(|member| self.names(member));
        names.cloned().collect()
    }

    /// Number of partitions by topic.
    pub(super) fn partitions(&self) -> BTreeMap<Uuid, i32> {
        self.topics.values().copied().collect()
    }

    /// Different expressions in use.
    pub(super) fn patterns(&self) -> usize {
        self.matches.len()
    }

    /// Whether this one is in use.
    pub(super) fn has_pattern(&self, pattern: &str) -> bool {
        self.matches.contains_key(pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_has_to_match_the_whole_name() {
        let matches =
            |pattern: &str, name: &str| compile(pattern).expect("valid").is_match(name.as_bytes());
        assert!(matches("a|ab", "ab"));
        assert!(matches("t-[0-9]+", "t-12"));
        assert!(matches("(?i)T-.*", "t-x"));
        assert!(!matches("t-[0-9]", "t-12"));
        assert!(!matches("b", "abc"));
        assert!(matches("", ""));
    }

    #[test]
    fn what_is_not_valid_or_too_large_is_refused() {
        for pattern in ["(", "a)|(b", "[", "*", r"(a)\1", "(?=a)", "(a{1000}){1000}"] {
            assert_eq!(compile(pattern).err(), Some(InvalidPattern), "{pattern}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_expression_makes_the_compiler_panic(pattern: String) {
            let _ = compile(&pattern);
        }
    }
}
