//! Who sees a part of the rows only.
//!
//! A limit names values of key columns, so a row is seen or not from its beginning to its end: its key never changes.
//!
//! # Invariants
//!
//! - **What a limit does not say is not seen**: an aggregation that lacks one of its columns is not there at all.
//! - It narrows what is asked for and nothing else, so limited and other viewers are served by the same code.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Patterns a limit may have in all.
pub(crate) const PATTERNS_MAX: usize = 64;

/// The rows somebody may see. The default: all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Limit(Option<Arc<BTreeMap<String, Vec<String>>>>);

impl Limit {
    /// Rows where every one of the columns has a value that one of its patterns fits: `*` stands for any characters, `?` for one.
    pub fn new(columns: BTreeMap<String, Vec<String>>) -> Self {
        Self(Some(Arc::new(columns)))
    }

    /// No rows at all.
    pub(crate) fn nothing() -> Self {
        Self::new(BTreeMap::from([(String::new(), Vec::new())]))
    }

    /// Whether it leaves anything out.
    pub fn is_limited(&self) -> bool {
        self.0.is_some()
    }

    /// Key columns it needs.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        let columns = self.0.iter().flat_map(|columns| columns.keys());
        columns.map(String::as_str)
    }

    pub(crate) fn patterns(&self) -> usize {
        let columns = self.0.iter().flat_map(|columns| columns.values());
        columns.map(Vec::len).sum()
    }

    /// Whether an aggregation with these key columns is there for him.
    pub(crate) fn shows(&self, keys: &[String]) -> bool {
        self.columns()
            .all(|column| keys.iter().any(|key| key == column))
    }

    /// Whether he sees the row whose key has these parts.
    pub(crate) fn takes(&self, keys: &[String], parts: &[Option<String>]) -> bool {
        let part = |column: &str| {
            let place = keys.iter().position(|key| key == column)?;
            parts.get(place)?.as_deref()
        };
        self.takes_values(part)
    }

    /// The same, with the values of columns by their names. A row without a value is not seen.
    pub(crate) fn takes_values<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> bool {
        let Some(columns) = &self.0 else { return true };
        columns.iter().all(|(column, patterns)| {
            let value = value(column);
            value.is_some_and(|value| patterns.iter().any(|pattern| types::glob(pattern, value)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(columns: &[(&str, &[&str])]) -> Limit {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let columns = columns.iter();
        Limit::new(
            columns
                .map(|(name, patterns)| ((*name).to_owned(), own(patterns)))
                .collect(),
        )
    }

    #[test]
    fn every_column_must_fit_one_of_its_patterns() {
        let keys = ["business_day", "account", "currency"].map(str::to_owned);
        let seen = |limit: &Limit, account: Option<&str>, currency: &str| {
            let day = Some("2026-11-28".to_owned());
            limit.takes(
                &keys,
                &[day, account.map(str::to_owned), Some(currency.to_owned())],
            )
        };
        let all = Limit::default();
        assert!(seen(&all, None, "EUR") && !all.is_limited() && all.shows(&[]));
        let some = limit(&[("account", &["HR*", "SI??"]), ("currency", &["EUR"])]);
        for (account, currency, expected) in [
            (Some("HR1"), "EUR", true),
            (Some("HR"), "EUR", true),
            (Some("hr1"), "EUR", false),
            (Some("xHR1"), "EUR", false),
            (Some("SI12"), "EUR", true),
            (Some("SI123"), "EUR", false),
            (Some("HR1"), "USD", false),
            (None, "EUR", false),
        ] {
            assert_eq!(
                seen(&some, account, currency),
                expected,
                "{account:?} {currency}"
            );
        }
        assert!(some.shows(&keys));
        assert!(!some.shows(&keys[..2]), "its currency is not known there");
        // A key that is cut short does not open anything.
        assert!(!some.takes(&keys, &[]));
        assert!(!limit(&[("account", &[])]).takes(&keys, &[None, Some("HR1".to_owned()), None]));
    }
}
