//! Which rows are asked for, and in which order.

use types::{BusinessDay, report};

use crate::cell::{Cells, Schema, Value};
use crate::limit::Limit;

/// Longest text that is searched for, in bytes.
pub(crate) const SEARCH_BYTES_MAX: usize = 256;
/// Most conditions `where`.
pub(crate) const CONDITIONS_MAX: usize = 8;
/// Rows in a window when no number is given, and the most there can be.
const COUNT_DEFAULT: usize = 50;
pub(crate) const COUNT_MAX: usize = 500;
/// Most keys that may be pinned, and the longest one in bytes.
pub(crate) const PINS_MAX: usize = 50;
pub(crate) const KEY_BYTES_MAX: usize = 16 << 10;

/// A query that is not understood. Asking again does not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// A parameter breaks its rule.
    #[error("{name} must be {rule}")]
    Rule {
        /// Which.
        name: &'static str,
        /// What it must be.
        rule: String,
    },
    /// A column that the aggregation does not have.
    #[error("there is no column {0:?}")]
    Column(String),
    /// A day that is none.
    #[error("{0}")]
    Day(String),
}

/// The parameters of an address, as they came.
pub(crate) type Pairs = Vec<(String, String)>;

/// The last value of a parameter.
pub(crate) fn one<'a>(pairs: &'a Pairs, name: &str) -> Option<&'a str> {
    let mut found = pairs.iter().rev().filter(|(known, _)| known == name);
    found.next().map(|(_, value)| value.as_str())
}

pub(crate) fn all<'a>(pairs: &'a Pairs, name: &'a str) -> impl Iterator<Item = &'a str> {
    let found = pairs.iter().filter(move |(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

pub(crate) fn day(pairs: &Pairs) -> Result<Option<BusinessDay>, SelectError> {
    let read = |text: &str| {
        text.parse()
            .map_err(|error| SelectError::Day(report(&error)))
    };
    one(pairs, "day").map(read).transpose()
}

/// A whole number between bounds.
pub(crate) fn number(
    pairs: &Pairs,
    name: &'static str,
    (least, default, most): (usize, usize, usize),
) -> Result<usize, SelectError> {
    let Some(text) = one(pairs, name) else {
        return Ok(default);
    };
    let number = text
        .parse()
        .ok()
        .filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| SelectError::Rule {
        name,
        rule: format!("{least} to {most}"),
    })
}

/// Keys, as the compact JSON arrays that rows have.
pub(crate) fn keys(
    pairs: &Pairs,
    name: &'static str,
    most: usize,
) -> Result<Vec<String>, SelectError> {
    let rule = |rule| SelectError::Rule { name, rule };
    let mut keys = Vec::new();
    for text in all(pairs, name) {
        if keys.len() == most {
            return Err(rule(format!("given {most} times at most")));
        }
        if text.len() > KEY_BYTES_MAX {
            return Err(rule(format!("{KEY_BYTES_MAX} bytes at most")));
        }
        let parts = serde_json::from_str::<Vec<Option<String>>>(text);
        let parts = parts.map_err(|_| rule("a row's key: a JSON array of texts".to_owned()))?;
        // However it was written, it is found as it is kept.
        keys.push(serde_json::to_string(&parts).unwrap_or_default());
    }
    Ok(keys)
}

/// By what rows are ordered; equal ones by their key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Sort {
    Key,
    Column { place: usize, descending: bool },
}

/// Which rows, in which order. Equal ones are answered from the same work.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Select {
    /// Lower case; each must be found.
    words: Vec<String>,
    /// A column's text; an empty one also where there is none.
    conditions: Vec<(usize, String)>,
    /// What he who asks may see.
    limit: Limit,
    pub(crate) sort: Sort,
}

impl Select {
    /// All rows that may be seen, largest main sum first.
    pub(crate) fn all(schema: &Schema, limit: &Limit) -> Self {
        let sort = schema.main_sum().map_or(Sort::Key, |place| Sort::Column {
            place,
            descending: true,
        });
        Self {
            words: Vec::new(),
            conditions: Vec::new(),
            limit: limit.clone(),
            sort,
        }
    }

    /// From `q`, `where` and `sort`.
    pub(crate) fn read(schema: &Schema, pairs: &Pairs, limit: &Limit) -> Result<Self, SelectError> {
        let mut select = Self::all(schema, limit);
        let text = one(pairs, "q").unwrap_or_default();
        if text.len() > SEARCH_BYTES_MAX {
            let rule = format!("{SEARCH_BYTES_MAX} bytes at most");
            return Err(SelectError::Rule { name: "q", rule });
        }
        let words = text.split_whitespace().map(str::to_lowercase);
        select.words = words.collect();
        select.words.sort_unstable();
        select.words.dedup();
        for condition in all(pairs, "where") {
            let wrong = |rule: String| SelectError::Rule {
                name: "where",
                rule,
            };
            if select.conditions.len() == CONDITIONS_MAX {
                return Err(wrong(format!("given {CONDITIONS_MAX} times at most")));
            }
            let Some((column, value)) = condition.split_once(':') else {
                return Err(wrong("column:value".to_owned()));
            };
            let place = schema.place(column);
            let place = place.ok_or_else(|| SelectError::Column(column.to_owned()))?;
            select.conditions.push((place, value.to_owned()));
        }
        select.conditions.sort_unstable();
        if let Some(name) = one(pairs, "sort").filter(|name| !name.is_empty()) {
            let (name, descending) = match name.strip_prefix('-') {
                Some(name) => (name, true),
                None => (name, false),
            };
            let place = schema.place(name);
            let place = place.ok_or_else(|| SelectError::Column(name.to_owned()))?;
            select.sort = Sort::Column { place, descending };
        }
        Ok(select)
    }

    /// Whether every row is asked for.
    pub(crate) fn takes_all(&self) -> bool {
        self.words.is_empty() && self.conditions.is_empty() && !self.limit.is_limited()
    }

    pub(crate) fn limit(&self) -> &Limit {
        &self.limit
    }

    /// Whether he who asks may see the row.
    pub(crate) fn shows(&self, schema: &Schema, cells: &Cells) -> bool {
        self.limit
            .takes_values(|column| cells.text(schema.place(column)?))
    }

    pub(crate) fn takes(&self, schema: &Schema, cells: &Cells) -> bool {
        let found = |word: &String| cells.search.contains(word.as_str());
        let holds = |(place, text): &(usize, String)| match cells.values.get(*place) {
            None | Some(Value::Null) => text.is_empty(),
            Some(value) => *value == Value::of(schema.kind(*place), text),
        };
        self.words.iter().all(found) && self.conditions.iter().all(holds)
    }
}

/// The part of the rows that is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Asked {
    /// Of which rows.
    pub select: Select,
    pub(crate) from: usize,
    pub(crate) count: usize,
    pub(crate) pins: Vec<String>,
}

impl Asked {
    /// From the parameters of an address: `q`, `where`, `sort`, `from`, `count` and `pin`; others are passed over.
    ///
    /// # Errors
    ///
    /// [`SelectError`] naming the parameter and its rule.
    pub fn read(schema: &Schema, pairs: &Pairs, limit: &Limit) -> Result<Self, SelectError> {
        Ok(Self {
            select: Select::read(schema, pairs, limit)?,
            from: number(pairs, "from", (0, 0, usize::MAX))?,
            count: number(pairs, "count", (1, COUNT_DEFAULT, COUNT_MAX))?,
            pins: keys(pairs, "pin", PINS_MAX)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::{CellKind, TableSpec};

    fn schema() -> Schema {
        let columns = [
            ("account", CellKind::Text),
            ("currency", CellKind::Text),
            ("total", CellKind::Decimal),
        ];
        let table = TableSpec {
            name: "t".to_owned(),
            columns: columns.map(|(name, kind)| (name.to_owned(), kind)).to_vec(),
        };
        Schema::new(&table, &["total".to_owned()])
    }

    fn read(query: &[(&str, &str)]) -> Result<Asked, String> {
        let pairs = query
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Asked::read(&schema(), &pairs.collect(), &Limit::default())
            .map_err(|error| error.to_string())
    }

    fn cells(account: &str, currency: Option<&str>, total: &str) -> Cells {
        Cells::new(vec![
            Value::of(CellKind::Text, account),
            currency.map_or(Value::Null, |text| Value::of(CellKind::Text, text)),
            Value::of(CellKind::Decimal, total),
        ])
    }

    #[test]
    fn every_word_and_every_condition_must_hold() {
        let taken = |query: &[(&str, &str)], cells: &Cells| {
            read(query).map(|asked| asked.select.takes(&schema(), cells))
        };
        let ann = cells("Ann Example: Ltd", Some("EUR"), "12.50");
        for (query, expected) in [
            (vec![], true),
            (vec![("q", " ltd  ANN ")], true),
            (vec![("q", "ann eur")], true),
            (vec![("q", "ann usd")], false),
            (
                vec![
                    ("where", "currency:EUR"),
                    ("where", "account:Ann Example: Ltd"),
                ],
                true,
            ),
            (vec![("where", "currency:eur")], false),
            (vec![("where", "total:12.5")], true),
            (vec![("where", "currency:")], false),
        ] {
            assert_eq!(taken(&query, &ann), Ok(expected), "{query:?}");
        }
        assert_eq!(
            taken(&[("where", "currency:")], &cells("a", None, "1")),
            Ok(true)
        );
    }

    #[test]
    fn who_means_the_same_shares_the_same() {
        assert_eq!(
            read(&[("q", "b A b")]),
            read(&[("q", "a  B"), ("sort", "")])
        );
        assert_eq!(
            read(&[("pin", "[ \"a\", null ]")]),
            read(&[("pin", "[\"a\",null]")])
        );
        assert_ne!(read(&[("sort", "total")]), read(&[("sort", "-total")]));
    }

    #[test]
    fn limits_hold_to_the_last_one() {
        let pin = |times| vec![("pin", "[\"d\"]"); times];
        let condition = |times| vec![("where", "account:a"); times];
        let (fits, too_long) = (
            "x".repeat(SEARCH_BYTES_MAX),
            "x".repeat(SEARCH_BYTES_MAX + 1),
        );
        let count = COUNT_MAX.to_string();
        let more = (COUNT_MAX + 1).to_string();
        let key = format!("[\"{}\"]", "k".repeat(KEY_BYTES_MAX - 4));
        let longer = format!("[\"{}\"]", "k".repeat(KEY_BYTES_MAX - 3));
        for (query, good) in [
            (pin(PINS_MAX), true),
            (pin(PINS_MAX + 1), false),
            (condition(CONDITIONS_MAX), true),
            (condition(CONDITIONS_MAX + 1), false),
            (vec![("q", &*fits)], true),
            (vec![("q", &*too_long)], false),
            (vec![("count", &*count)], true),
            (vec![("count", &*more)], false),
            (vec![("count", "0")], false),
            (vec![("from", "-1")], false),
            (vec![("sort", "nothing")], false),
            (vec![("where", "currency")], false),
            (vec![("where", "nothing:1")], false),
            (vec![("pin", &*key)], true),
            (vec![("pin", &*longer)], false),
            (vec![("pin", "ann")], false),
        ] {
            let found = read(&query);
            assert_eq!(found.is_ok(), good, "{found:?} of {}", query[0].0);
        }
    }
}
