//! A row's values as sorting, filtering and adding up need them.
//!
//! # Invariants
//!
//! - **No float.** A decimal is a whole number of hundred-thousandths; that is all the digits results have.
//! - Values are derived from what was published and never shown: clients get the row's JSON.

use store::{CellKind, TableSpec};
use types::{Amount, SCALE_DIGITS, currency_digits};

use crate::options::AggregationView;

/// Column that sums are grouped by, where there is one.
const GROUP_COLUMN: &str = "currency";
/// Digits behind the point where the currency is not known.
const DIGITS_UNKNOWN: u32 = 2;

/// What the columns of an aggregation are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    pub(crate) columns: Vec<(String, CellKind)>,
    /// Places of the columns that may be added up.
    pub(crate) sums: Vec<usize>,
    /// Place of the column that sums are grouped by.
    pub(crate) group: Option<usize>,
}

impl Schema {
    /// Of a table; `sums` names the columns that may be added up.
    pub fn new(table: &TableSpec, sums: &[String]) -> Self {
        let place = |name: &str| table.columns.iter().position(|(known, _)| known == name);
        Self {
            columns: table.columns.clone(),
            sums: sums.iter().filter_map(|name| place(name)).collect(),
            group: place(GROUP_COLUMN),
        }
    }

    pub(crate) fn of(view: &AggregationView) -> Self {
        Self::new(&view.table, &view.sums)
    }

    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|(known, _)| known == name)
    }

    pub(crate) fn kind(&self, place: usize) -> CellKind {
        self.columns
            .get(place)
            .map_or(CellKind::Text, |(_, kind)| *kind)
    }

    /// The sum that totals, movers and history are about: the first decimal one, or else the first.
    pub(crate) fn main_sum(&self) -> Option<usize> {
        let mut sums = self.sums.iter().copied();
        let decimal = sums.find(|place| self.kind(*place) == CellKind::Decimal);
        decimal.or_else(|| self.sums.first().copied())
    }

    /// A number of this column as text, with the digits of the group's currency. `None` beyond DECIMAL(33,5).
    pub(crate) fn text(&self, place: usize, units: i128, group: Option<&str>) -> Option<String> {
        if self.kind(place) == CellKind::Int {
            return Some(units.to_string());
        }
        let digits = group.and_then(currency_digits).unwrap_or(DIGITS_UNKNOWN);
        Some(Amount::from_units(units)?.display(digits).to_string())
    }
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// None.
    Null,
    /// Text, a day or an instant; also a number that cannot be read.
    Text(Box<str>),
    /// A whole number, or a decimal in hundred-thousandths.
    Number(i128),
}

impl Value {
    /// From the text of a cell.
    pub fn of(kind: CellKind, text: &str) -> Self {
        let number = match kind {
            CellKind::Text | CellKind::Date | CellKind::Timestamp => None,
            CellKind::Int => text.parse().ok(),
            CellKind::Decimal => units(text),
        };
        number.map_or_else(|| Self::Text(text.into()), Self::Number)
    }

    pub(crate) fn number(&self) -> Option<i128> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A row's values and the text it is found by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cells {
    pub(crate) values: Box<[Value]>,
    /// Its texts in lower case, a line each.
    pub(crate) search: Box<str>,
}

impl Cells {
    /// Of these values, in the order of the columns.
    pub fn new(values: Vec<Value>) -> Self {
        let mut search = String::new();
        for text in values.iter().filter_map(Value::text) {
            if !search.is_empty() {
                search.push('\n');
            }
            match text.is_ascii() {
                true => search.extend(text.chars().map(|c| c.to_ascii_lowercase())),
                false => search.push_str(&text.to_lowercase()),
            }
        }
        Self {
            values: values.into(),
            search: search.into(),
        }
    }

    pub(crate) fn number(&self, place: usize) -> Option<i128> {
        self.values.get(place).and_then(Value::number)
    }

    pub(crate) fn text(&self, place: usize) -> Option<&str> {
        self.values.get(place).and_then(Value::text)
    }
}

/// Hundred-thousandths of a plain decimal; `None` when it is none or has more digits than results have.
pub(crate) fn units(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || fraction.len() > SCALE_DIGITS as usize {
        return None;
    }
    let mut units: i128 = 0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        if !byte.is_ascii_digit() {
            return None;
        }
        units = units
            .checked_mul(10)?
            .checked_add(i128::from(byte - b'0'))?;
    }
    let missing = SCALE_DIGITS - u32::try_from(fraction.len()).ok()?;
    let units = units.checked_mul(10_i128.pow(missing))?;
    Amount::from_units(if negative { -units } else { units }).map(Amount::units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_exactly_up_to_the_last_digit_there_is() {
        let most = format!("{}.99999", "9".repeat(28));
        for (text, expected) in [
            ("0", Some(0)),
            ("12.5", Some(1_250_000)),
            ("-700.00", Some(-70_000_000)),
            ("-0.00001", Some(-1)),
            (&most, Some(Amount::SUM_UNITS_MAX)),
            (&format!("1{most}"), None),
            ("0.000001", None),
            ("", None),
            (".5", None),
            ("-", None),
            ("1e5", None),
            ("1.-5", None),
        ] {
            assert_eq!(units(text), expected, "{text}");
        }
    }

    #[test]
    fn a_row_is_found_by_its_texts_in_any_case() {
        let cells = Cells::new(vec![
            Value::of(CellKind::Text, "ÄRGER & Co"),
            Value::Null,
            Value::of(CellKind::Decimal, "12.50"),
            Value::of(CellKind::Text, "EUR"),
        ]);
        assert_eq!(&*cells.search, "ärger & co\neur");
        assert_eq!(
            (cells.number(2), cells.text(3)),
            (Some(1_250_000), Some("EUR"))
        );
    }
}
