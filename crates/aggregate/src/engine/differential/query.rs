//! A query as text for the engine, and interpreted for the oracle.

use std::collections::BTreeSet;

use super::{Random, Record};

/// Units of 1/100,000 in one.
const ONE: i128 = 100_000;
/// Magnitude that no result reaches: DECIMAL(33,5).
const END: i128 = 10_i128.pow(33);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Text(String),
    Int(i128),
    Units(i128),
}

impl Value {
    /// As units.
    fn units(&self) -> Option<i128> {
        match self {
            Self::Int(number) => Some(number * ONE),
            Self::Units(units) => Some(*units),
            _ => None,
        }
    }
}

fn in_range(units: i128) -> Value {
    if units.abs() < END {
        Value::Units(units)
    } else {
        Value::Null
    }
}

fn half_even(a: i128, b: i128) -> i128 {
    let (whole, rest) = (a.div_euclid(b), a.rem_euclid(b));
    let double = 2 * rest;
    let up = double > b.abs() || (double == b.abs() && whole.rem_euclid(2) == 1);
    // Of a negative divisor the remainder is still positive: up is away from where it came.
    whole + i128::from(up) * b.signum()
}

/// Without zeros at its end, but with at least so many digits.
pub(super) fn decimal(units: i128, digits_min: u32) -> String {
    let size = units.unsigned_abs();
    let mut text = format!("{}.{:05}", size / 100_000, size % 100_000);
    let digits_min = usize::try_from(digits_min).expect("few");
    let point = text.find('.').expect("there");
    while text.ends_with('0') && text.len() > point + 1 + digits_min {
        text.pop();
    }
    if text.ends_with('.') {
        text.pop();
    }
    if units < 0 { format!("-{text}") } else { text }
}

#[derive(Debug)]
pub(super) struct Group<'r> {
    key: Vec<Option<String>>,
    pub(super) records: Vec<&'r Record>,
}

impl Group<'_> {
    pub(super) fn new(key: Vec<Option<String>>) -> Self {
        Self {
            key,
            records: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Day,
    Account,
    Currency,
    Region,
    Upper,
    Side,
}

impl Key {
    fn sql(self) -> &'static str {
        match self {
            Self::Day => "business_day",
            Self::Account => "account",
            Self::Currency => "currency",
            Self::Region => "region",
            Self::Upper => "upper(region)",
            Self::Side => "CASE WHEN amount < 0 THEN 'debit' ELSE 'credit' END",
        }
    }

    fn of(self, record: &Record) -> Option<String> {
        match self {
            Self::Day => Some(format!("2026-11-{}", record.day)),
            Self::Account => Some(record.account.to_owned()),
            Self::Currency => Some(record.currency.to_owned()),
            Self::Region => record.region.map(str::to_owned),
            Self::Upper => record.region.map(str::to_uppercase),
            Self::Side => Some(if record.units < 0 { "debit" } else { "credit" }.to_owned()),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Condition {
    Above(i128),
    Currency(&'static str),
    NoRegion,
    Region(&'static str),
    Reversing,
}

impl Condition {
    fn random(random: &mut Random) -> Self {
        match random.below(5) {
            0 => Self::Above(random.of(&[0, 1_250_000, -3 * ONE, 1])),
            1 => Self::Currency(random.of(&["EUR", "JPY"])),
            2 => Self::NoRegion,
            3 => Self::Region(random.of(&["north", "south"])),
            _ => Self::Reversing,
        }
    }

    fn sql(self) -> String {
        match self {
            Self::Above(units) => format!("amount > {}", decimal(units, 0)),
            Self::Currency(currency) => format!("currency = '{currency}'"),
            Self::NoRegion => "region IS NULL".to_owned(),
            Self::Region(region) => format!("region <> '{region}'"),
            Self::Reversing => "reverses IS NULL OR amount > 0".to_owned(),
        }
    }

    fn is_met(self, record: &Record) -> bool {
        match self {
            Self::Above(units) => record.units > units,
            Self::Currency(currency) => record.currency == currency,
            Self::NoRegion => record.region.is_none(),
            Self::Region(region) => record.region.is_some_and(|other| other != region),
            Self::Reversing => !record.reverses || record.units > 0,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Count,
    CountRegion,
    Sum,
    SumScaled(i128),
    SumPositive,
    SumLength,
    Average,
    Smallest,
    Largest,
    LastRegion,
    Regions,
    Amounts,
    Ids,
}

#[derive(Debug, Clone, Copy)]
struct Aggregate {
    function: Function,
    filter: Option<Condition>,
}

impl Aggregate {
    fn random(random: &mut Random, among: &[Function]) -> Self {
        Self {
            function: random.of(among),
            filter: random.one_in(3).then(|| Condition::random(random)),
        }
    }

    fn sql(self) -> String {
        let call = match self.function {
            Function::Count => "count(*)".to_owned(),
            Function::CountRegion => "count(region)".to_owned(),
            Function::Sum => "sum(amount)".to_owned(),
            Function::SumScaled(factor) => format!("sum(amount * {factor})"),
            Function::SumPositive => "sum(CASE WHEN amount > 0 THEN amount END)".to_owned(),
            Function::SumLength => "sum(length(region))".to_owned(),
            Function::Average => "avg(amount)".to_owned(),
            Function::Smallest => "min(amount)".to_owned(),
            Function::Largest => "max(amount)".to_owned(),
            Function::LastRegion => "max(region)".to_owned(),
            Function::Regions => "count(DISTINCT region)".to_owned(),
            Function::Amounts => "count(DISTINCT amount)".to_owned(),
            Function::Ids => "count(DISTINCT id || account)".to_owned(),
        };
        match self.filter {
            Some(filter) => format!("{call} FILTER (WHERE {})", filter.sql()),
            None => call,
        }
    }

    fn of(self, group: &Group<'_>) -> Value {
        let records = group.records.iter().copied();
        let records =
            records.filter(|record| self.filter.is_none_or(|filter| filter.is_met(record)));
        let records: Vec<&Record> = records.collect();
        let amounts = || records.iter().map(|record| record.units);
        let regions = || records.iter().filter_map(|record| record.region);
        let count = |count: usize| Value::Int(i128::try_from(count).expect("small"));
        let some = |units: Option<i128>| units.map_or(Value::Null, Value::Units);
        let sum = |values: Vec<i128>| (!values.is_empty()).then(|| values.iter().sum());
        match self.function {
            Function::Count => count(records.len()),
            Function::CountRegion => count(regions().count()),
            Function::Sum => some(sum(amounts().collect())),
            Function::SumScaled(factor) => {
                some(sum(amounts().map(|units| units * factor).collect()))
            }
            Function::SumPositive => some(sum(amounts().filter(|units| *units > 0).collect())),
            Function::SumLength => {
                let lengths = regions().map(|region| i128::try_from(region.len()).expect("short"));
                sum(lengths.collect()).map_or(Value::Null, Value::Int)
            }
            Function::Average => {
                let rows = i128::try_from(records.len()).expect("few");
                some(sum(amounts().collect()).map(|sum| half_even(sum, rows)))
            }
            Function::Smallest => some(amounts().min()),
            Function::Largest => some(amounts().max()),
            Function::LastRegion => {
                let last = regions().max();
                last.map_or(Value::Null, |region| Value::Text(region.to_owned()))
            }
            Function::Regions => count(regions().collect::<BTreeSet<_>>().len()),
            Function::Amounts => count(amounts().collect::<BTreeSet<_>>().len()),
            Function::Ids => {
                let ids = records.iter().map(|record| (&record.id, record.account));
                count(ids.collect::<BTreeSet<_>>().len())
            }
        }
    }
}

/// Functions that give decimals; then those that give whole numbers, and text.
const DECIMALS: &[Function] = &[
    Function::Sum,
    Function::Sum,
    Function::SumScaled(7),
    Function::SumPositive,
    Function::Average,
    Function::Smallest,
    Function::Largest,
];
const WHOLE: &[Function] = &[
    Function::Count,
    Function::CountRegion,
    Function::SumLength,
    Function::Regions,
    Function::Amounts,
    Function::Ids,
];

#[derive(Debug, Clone, Copy)]
enum Output {
    Plain(Aggregate),
    Quotient(Aggregate, Aggregate),
    Product(Aggregate, i128),
    Difference(Aggregate, Aggregate),
    OrZero(Aggregate),
    Verdict(Aggregate, i128),
    Rounded(Aggregate, u32),
    Doubled(Aggregate),
    Label,
}

impl Output {
    fn random(random: &mut Random) -> Self {
        let decimal = Aggregate::random(random, DECIMALS);
        let other = Aggregate::random(random, DECIMALS);
        let whole = Aggregate::random(random, WHOLE);
        match random.below(14) {
            0 | 1 => Self::Plain(decimal),
            2 | 3 => Self::Plain(whole),
            4 => Self::Plain(Aggregate::random(random, &[Function::LastRegion])),
            5 => Self::Quotient(decimal, whole),
            6 => Self::Quotient(decimal, other),
            7 => Self::Product(decimal, random.of(&[100, -3, 10_000_000_000])),
            8 => Self::Difference(decimal, other),
            9 => Self::OrZero(decimal),
            10 => Self::Verdict(decimal, random.of(&[0, 150_000])),
            11 => Self::Rounded(decimal, random.of(&[0, 1, 2, 4])),
            12 => Self::Doubled(whole),
            _ => Self::Label,
        }
    }

    fn aggregates(self) -> Vec<Aggregate> {
        match self {
            Self::Quotient(a, b) | Self::Difference(a, b) => vec![a, b],
            Self::Plain(a)
            | Self::Product(a, _)
            | Self::OrZero(a)
            | Self::Verdict(a, _)
            | Self::Rounded(a, _)
            | Self::Doubled(a) => vec![a],
            Self::Label => Vec::new(),
        }
    }

    fn sql(self) -> String {
        match self {
            Self::Plain(a) => a.sql(),
            Self::Quotient(a, b) => format!("{} / {}", a.sql(), b.sql()),
            Self::Product(a, factor) => format!("{} * {factor}", a.sql()),
            Self::Difference(a, b) => format!("{} - {}", a.sql(), b.sql()),
            Self::OrZero(a) => format!("coalesce({}, 0.5)", a.sql()),
            Self::Verdict(a, units) => format!(
                "CASE WHEN {} > {} THEN 'high' ELSE 'low' END",
                a.sql(),
                decimal(units, 0)
            ),
            Self::Rounded(a, digits) => format!("round({}, {digits})", a.sql()),
            Self::Doubled(a) => format!("{} * 2 + 1", a.sql()),
            Self::Label => "'of ' || CAST(business_day AS VARCHAR)".to_owned(),
        }
    }

    fn of(self, group: &Group<'_>) -> Value {
        let units = |a: Aggregate| a.of(group).units();
        match self {
            Self::Plain(a) => a.of(group),
            Self::Quotient(a, b) => match (units(a), units(b)) {
                (Some(a), Some(b)) if b != 0 => in_range(half_even(a * ONE, b)),
                _ => Value::Null,
            },
            Self::Product(a, factor) => units(a).map_or(Value::Null, |a| in_range(a * factor)),
            Self::Difference(a, b) => match (units(a), units(b)) {
                (Some(a), Some(b)) => in_range(a - b),
                _ => Value::Null,
            },
            Self::OrZero(a) => Value::Units(units(a).unwrap_or(ONE / 2)),
            Self::Verdict(a, than) => {
                let high = units(a).is_some_and(|a| a > than);
                Value::Text(if high { "high" } else { "low" }.to_owned())
            }
            Self::Rounded(a, digits) => units(a).map_or(Value::Null, |a| {
                let unit = 10_i128.pow(5 - digits);
                Value::Units((a.abs() + unit / 2) / unit * unit * a.signum())
            }),
            Self::Doubled(a) => match a.of(group) {
                Value::Int(number) => Value::Int(number * 2 + 1),
                _ => Value::Null,
            },
            Self::Label => Value::Text(format!("of {}", group.key[0].as_deref().expect("a day"))),
        }
    }
}

#[derive(Debug)]
pub(super) struct Query {
    keys: Vec<Key>,
    outputs: Vec<Output>,
    condition: Option<Condition>,
    /// An aggregate or a quotient, and what it must exceed.
    having: Option<(Output, i128)>,
}

impl Query {
    pub(super) fn random(random: &mut Random) -> Self {
        let mut keys = vec![Key::Day];
        for key in [
            Key::Account,
            Key::Currency,
            Key::Region,
            Key::Upper,
            Key::Side,
        ] {
            if random.one_in(3) {
                keys.push(key);
            }
        }
        if random.one_in(2) {
            keys.reverse();
        }
        let having = random.one_in(2).then(|| {
            let decimal = Aggregate::random(random, DECIMALS);
            let whole = Aggregate::random(random, WHOLE);
            let over = match random.below(3) {
                0 => Output::Plain(decimal),
                1 => Output::Plain(whole),
                _ => Output::Quotient(decimal, whole),
            };
            (over, random.of(&[0, ONE, 5 * ONE]))
        });
        Self {
            keys,
            outputs: (0..1 + random.below(5))
                .map(|_| Output::random(random))
                .collect(),
            condition: random.one_in(3).then(|| Condition::random(random)),
            having,
        }
    }

    pub(super) fn sql(&self) -> String {
        let keys = self.keys.iter().enumerate();
        let keys = keys.map(|(place, key)| match key {
            Key::Upper | Key::Side => format!("{} AS k{place}", key.sql()),
            key => key.sql().to_owned(),
        });
        let outputs = self.outputs.iter().enumerate();
        let outputs = outputs.map(|(place, output)| format!("{} AS c{place}", output.sql()));
        let columns: Vec<String> = keys.chain(outputs).collect();
        let group_by: Vec<&str> = self.keys.iter().map(|key| key.sql()).collect();
        let condition = self.condition.map_or(String::new(), |condition| {
            format!(" WHERE {}", condition.sql())
        });
        let having = self.having.map_or(String::new(), |(over, units)| {
            format!(" HAVING {} > {}", over.sql(), decimal(units, 0))
        });
        format!(
            "SELECT {} FROM transactions{condition} GROUP BY {}{having}",
            columns.join(", "),
            group_by.join(", ")
        )
    }

    /// Whether it has what cannot go back.
    pub(super) fn is_irreversible(&self) -> bool {
        let outputs = self
            .outputs
            .iter()
            .chain(self.having.iter().map(|(over, _)| over));
        let mut aggregates = outputs.flat_map(|output| output.aggregates());
        aggregates.any(|aggregate| {
            matches!(
                aggregate.function,
                Function::Smallest
                    | Function::Largest
                    | Function::LastRegion
                    | Function::Regions
                    | Function::Amounts
                    | Function::Ids
            )
        })
    }

    pub(super) fn takes(&self, record: &Record) -> bool {
        self.condition
            .is_none_or(|condition| condition.is_met(record))
    }

    /// The day first.
    pub(super) fn key(&self, record: &Record) -> Vec<Option<String>> {
        let others = self.keys.iter().filter(|key| **key != Key::Day);
        std::iter::once(&Key::Day)
            .chain(others)
            .map(|key| key.of(record))
            .collect()
    }

    pub(super) fn currency<'r>(&self, group: &Group<'r>) -> Option<&'r str> {
        let first = group.records.first()?;
        self.keys.contains(&Key::Currency).then_some(first.currency)
    }

    pub(super) fn shows(&self, group: &Group<'_>) -> bool {
        let Some((over, than)) = self.having else {
            return true;
        };
        over.of(group).units().is_some_and(|units| units > than)
    }

    pub(super) fn columns(&self, group: &Group<'_>) -> Vec<(String, Value)> {
        let outputs = self.outputs.iter().enumerate();
        let outputs = outputs.map(|(place, output)| (format!("c{place}"), output.of(group)));
        let keys = self.keys.iter().enumerate().map(|(place, key)| {
            let name = match key {
                Key::Upper | Key::Side => format!("k{place}"),
                key => key.sql().to_owned(),
            };
            (
                name,
                key.of(group.records[0]).map_or(Value::Null, Value::Text),
            )
        });
        keys.chain(outputs).collect()
    }
}
