//! The store's tables as tables of SQL.
//!
//! ```text
//! <aggregation>   business_day, and the columns of its SELECT list
//! counts          aggregation, business_day, counted, reversing, duplicate, late_corrected, quarantined
//! ```

use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use sql::{
    Batch, ColumnType, ColumnValues, Engine, Function, KeyValue, QueryLimits, ReadError,
    TableSource, Wanted,
};
use store::{Cell, CellKind, Row, Selection, Store, StoreError, StoreTarget, TableSpec};
use tokio::runtime::Handle;
use types::{Amount, BusinessCalendar, BusinessDay, Counts};

/// Most rows that are looked up one by one; of more, the days are read.
pub const LOOK_UPS_MAX: usize = 1_000;
/// Rows of a batch.
const BATCH_ROWS: usize = 8_192;
/// Most connections to the store that are kept for the next reading.
const CONNECTIONS_KEPT_MAX: usize = 4;
/// Digits of a sum behind the point.
const SUM_DIGITS: usize = 5;
/// Column of the day.
const BUSINESS_DAY: &str = "business_day";
/// Name of the table of counts.
const COUNTS: &str = "counts";

/// An aggregation whose totals can be asked for.
#[derive(Debug, Clone)]
pub struct AggregationTable {
    /// Its table in the store.
    pub spec: TableSpec,
    /// Columns of its key, `business_day` first.
    pub keys: Vec<String>,
    /// Says which day is today.
    pub calendar: BusinessCalendar,
}

/// What the store holds is no total.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// A sum is no decimal. Retrying does not help.
    #[error("{text:?} in the store is no decimal")]
    NotDecimal {
        /// What it is.
        text: String,
    },
    /// A sum is too large. Retrying does not help.
    #[error("{text} in the store leaves DECIMAL(33,5)")]
    TooLarge {
        /// What it is.
        text: String,
    },
}

/// The tables of a store.
#[derive(Debug, Clone)]
pub struct Tables {
    aggregations: Vec<AggregationTable>,
    connections: Arc<Connections>,
}

impl Tables {
    /// The tables of these aggregations. Nothing is opened yet.
    pub fn new(store: StoreTarget, aggregations: Vec<AggregationTable>) -> Self {
        Self {
            aggregations,
            connections: Arc::new(Connections {
                target: store,
                idle: Mutex::default(),
            }),
        }
    }

    /// An engine over them, with `functions` besides `today()`.
    pub fn engine(
        &self,
        mut functions: Vec<Function>,
        more: Vec<Arc<dyn TableSource>>,
        limits: QueryLimits,
        runtime: Option<Handle>,
    ) -> Engine {
        functions.push(self.today());
        let mut tables = self.sources();
        tables.extend(more);
        Engine::new(tables, functions, limits, runtime)
    }

    /// What can be asked for.
    pub fn sources(&self) -> Vec<Arc<dyn TableSource>> {
        let totals = self.aggregations.iter().map(|aggregation| {
            Arc::new(Totals::new(aggregation, Arc::clone(&self.connections)))
                as Arc<dyn TableSource>
        });
        let names = self.aggregations.iter().map(|one| one.spec.name.clone());
        let counts = CountsTable {
            columns: counts_columns(),
            aggregations: names.collect(),
            connections: Arc::clone(&self.connections),
        };
        totals.chain([Arc::new(counts) as _]).collect()
    }

    fn today(&self) -> Function {
        let calendars = self.aggregations.iter();
        let calendars: Vec<(String, BusinessCalendar)> = calendars
            .map(|one| (one.spec.name.clone(), one.calendar.clone()))
            .collect();
        sql::today(move |of| {
            let (_, calendar) = match of {
                None => calendars.first(),
                Some(of) => calendars.iter().find(|(name, _)| name == of),
            }?;
            calendar.day_of(telemetry::now_micros())
        })
    }
}

/// Connections for reading, opened as they are needed.
struct Connections {
    target: StoreTarget,
    idle: Mutex<Vec<Store>>,
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connections({})", self.target)
    }
}

impl Connections {
    /// Reads with a connection of its own; `None` before a sink has made the store. Blocks.
    fn read<T>(
        &self,
        action: impl FnOnce(&Store) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let known = idle().pop();
        let store = match known {
            Some(store) => store,
            None => match self.target.open_read_only()? {
                Some(store) => store,
                None => return Ok(None),
            },
        };
        // One that failed is not used again.
        let result = action(&store)?;
        let mut idle = idle();
        if idle.len() < CONNECTIONS_KEPT_MAX {
            idle.push(store);
        }
        Ok(Some(result))
    }
}

/// The totals of an aggregation.
#[derive(Debug)]
struct Totals {
    spec: TableSpec,
    columns: Vec<(String, ColumnType)>,
    /// Where the value of each column is in a row; `None` is the day.
    places: Vec<Option<usize>>,
    /// Columns of the key behind the day, where all of them are in the table, as texts.
    key: Option<Vec<usize>>,
    connections: Arc<Connections>,
}

impl Totals {
    fn new(aggregation: &AggregationTable, connections: Arc<Connections>) -> Self {
        let spec = aggregation.spec.clone();
        let mut columns = vec![(BUSINESS_DAY.to_owned(), ColumnType::Day)];
        let mut places = vec![None];
        for (place, (name, kind)) in spec.columns.iter().enumerate() {
            if name == BUSINESS_DAY {
                continue;
            }
            let kind = match kind {
                // As results have them.
                CellKind::Text | CellKind::Date | CellKind::Timestamp => ColumnType::Text,
                CellKind::Decimal => ColumnType::Decimal,
                CellKind::Int => ColumnType::Int,
            };
            columns.push((name.clone(), kind));
            places.push(Some(place));
        }
        let column = |key: &String| {
            let found = columns.iter().position(|(name, _)| name == key)?;
            (columns[found].1 == ColumnType::Text).then_some(found)
        };
        let begins_with_day = aggregation
            .keys
            .first()
            .is_some_and(|key| key == BUSINESS_DAY);
        let key = aggregation.keys.iter().skip(1).map(column).collect();
        Self {
            spec,
            places,
            key: begins_with_day.then_some(key).flatten(),
            columns,
            connections,
        }
    }

    /// What the store is asked for.
    fn selection(&self, wanted: &Wanted) -> Selection {
        if let Some(keys) = self.keys(wanted) {
            return Selection::Keys(keys);
        }
        let cells = |values: &Vec<KeyValue>| {
            let cells = values.iter().map(|value| match value {
                KeyValue::Text(text) => Cell::Text(text.clone()),
                KeyValue::Int(number) => Cell::Int(*number),
            });
            cells.collect::<Vec<_>>()
        };
        let columns = wanted.equal.iter().filter_map(|(column, values)| {
            let place = self.places.get(*column).copied().flatten()?;
            Some((place, cells(values)))
        });
        Selection::Days(wanted.days.clone(), columns.collect())
    }

    /// Every key that can be meant, where days and whole keys are given and they are few.
    fn keys(&self, wanted: &Wanted) -> Option<Vec<(BusinessDay, String)>> {
        let days = wanted.days.listed()?;
        let mut parts: Vec<Vec<String>> = Vec::new();
        let mut count = days.len();
        for column in self.key.as_ref()? {
            let (_, values) = wanted.equal.iter().find(|(of, _)| of == column)?;
            let texts = values.iter().filter_map(|value| match value {
                KeyValue::Text(text) => serde_json::to_string(text).ok(),
                KeyValue::Int(_) => None,
            });
            parts.push(texts.collect());
            count = count.checked_mul(values.len())?;
            if count > LOOK_UPS_MAX {
                return None;
            }
        }
        let mut keys = Vec::with_capacity(count);
        for day in days {
            let mut texts = vec![format!("[\"{day}\"")];
            for values in &parts {
                let longer = texts
                    .iter()
                    .flat_map(|text| values.iter().map(move |value| format!("{text},{value}")));
                texts = longer.collect();
            }
            keys.extend(texts.into_iter().map(|text| (*day, format!("{text}]"))));
        }
        Some(keys)
    }
}

impl TableSource for Totals {
    fn name(&self) -> &str {
        &self.spec.name
    }

    fn columns(&self) -> &[(String, ColumnType)] {
        &self.columns
    }

    fn read(
        &self,
        wanted: &Wanted,
        columns: &[usize],
        each: &mut dyn FnMut(Batch) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let selection = self.selection(wanted);
        let mut batch = Builder::new(self, columns);
        let mut failed = None;
        let mut is_over = false;
        self.connections.read(|store| {
            store.select(&self.spec, &selection, |row| {
                if row.deleted {
                    return ControlFlow::Continue(());
                }
                if let Err(error) = batch.add(&row) {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
                let flow = match batch.rows {
                    BATCH_ROWS => each(batch.take()),
                    _ => ControlFlow::Continue(()),
                };
                is_over = flow.is_break();
                flow
            })
        })?;
        match failed {
            Some(error) => Err(error.into()),
            None => {
                if !is_over && batch.rows > 0 {
                    let _ = each(batch.take());
                }
                Ok(())
            }
        }
    }
}

/// Rows on their way into a batch.
struct Builder<'a> {
    table: &'a Totals,
    wanted: &'a [usize],
    rows: usize,
    columns: Vec<ColumnValues>,
}

impl<'a> Builder<'a> {
    fn new(table: &'a Totals, wanted: &'a [usize]) -> Self {
        Self {
            columns: Self::empty(table, wanted),
            table,
            wanted,
            rows: 0,
        }
    }

    fn empty(table: &Totals, wanted: &[usize]) -> Vec<ColumnValues> {
        let kinds = wanted.iter().map(|index| table.columns[*index].1);
        kinds.map(no_values).collect()
    }

    fn add(&mut self, row: &Row) -> Result<(), TableError> {
        for (column, index) in self.columns.iter_mut().zip(self.wanted) {
            let place = self.table.places[*index];
            let cell = place.and_then(|place| row.cells.get(place));
            let cell = cell.unwrap_or(&Cell::Null);
            match column {
                ColumnValues::Day(days) => days.push(row.day),
                ColumnValues::Text(texts) => texts.push(text(cell)),
                ColumnValues::Int(numbers) => numbers.push(match cell {
                    Cell::Int(number) => Some(*number),
                    _ => None,
                }),
                ColumnValues::Decimal(amounts) => {
                    let amount = text(cell).map(|text| parse_sum(&text)).transpose()?;
                    amounts.push(amount);
                }
                ColumnValues::Bool(_) => {}
            }
        }
        self.rows += 1;
        Ok(())
    }

    fn take(&mut self) -> Batch {
        let empty = Self::empty(self.table, self.wanted);
        Batch {
            rows: std::mem::take(&mut self.rows),
            columns: std::mem::replace(&mut self.columns, empty),
        }
    }
}

pub(crate) fn no_values(kind: ColumnType) -> ColumnValues {
    match kind {
        ColumnType::Text => ColumnValues::Text(Vec::new()),
        ColumnType::Decimal => ColumnValues::Decimal(Vec::new()),
        ColumnType::Int => ColumnValues::Int(Vec::new()),
        ColumnType::Day => ColumnValues::Day(Vec::new()),
        ColumnType::Bool => ColumnValues::Bool(Vec::new()),
    }
}

fn text(cell: &Cell) -> Option<String> {
    match cell {
        Cell::Text(text) => Some(text.clone()),
        Cell::Int(number) => Some(number.to_string()),
        Cell::Null => None,
    }
}

/// A sum as published: it may be larger than one transaction's amount.
///
/// # Errors
///
/// [`TableError`] of a text that is no such sum.
pub fn parse_sum(text: &str) -> Result<Amount, TableError> {
    let not_decimal = || TableError::NotDecimal {
        text: text.to_owned(),
    };
    let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
    // More digits than five would shift the point.
    if digits.len() > SUM_DIGITS || text.ends_with('.') {
        return Err(not_decimal());
    }
    let padded = format!("{whole}{digits:0<SUM_DIGITS$}");
    let units: i128 = padded.parse().map_err(|_| not_decimal())?;
    Amount::from_units(units).ok_or_else(|| TableError::TooLarge {
        text: text.to_owned(),
    })
}

/// What became of the records of each day.
#[derive(Debug)]
struct CountsTable {
    columns: Vec<(String, ColumnType)>,
    aggregations: Vec<String>,
    connections: Arc<Connections>,
}

/// Names of the counts, and what they count.
type Count = (&'static str, fn(&Counts) -> u64);
const COUNTED: [Count; 5] = [
    ("counted", |counts| counts.counted),
    ("reversing", |counts| counts.reversing),
    ("duplicate", |counts| counts.duplicate),
    ("late_corrected", |counts| counts.late_corrected),
    ("quarantined", |counts| counts.quarantined),
];

fn counts_columns() -> Vec<(String, ColumnType)> {
    let mut columns = vec![
        ("aggregation".to_owned(), ColumnType::Text),
        (BUSINESS_DAY.to_owned(), ColumnType::Day),
    ];
    let counts = COUNTED.iter();
    columns.extend(counts.map(|(name, _)| ((*name).to_owned(), ColumnType::Int)));
    columns
}

impl TableSource for CountsTable {
    fn name(&self) -> &str {
        COUNTS
    }

    fn columns(&self) -> &[(String, ColumnType)] {
        &self.columns
    }

    /// A row a day and aggregation: they are few.
    fn read(
        &self,
        wanted: &Wanted,
        columns: &[usize],
        each: &mut dyn FnMut(Batch) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        for name in &self.aggregations {
            let found = self.connections.read(|store| store.counts(name))?;
            let mut days = found.unwrap_or_default();
            days.retain(|(day, _)| wanted.days.contains(*day));
            let column = |index: &usize| match index {
                0 => ColumnValues::Text(vec![Some(name.clone()); days.len()]),
                1 => ColumnValues::Day(days.iter().map(|(day, _)| *day).collect()),
                index => {
                    let (_, count) = COUNTED[index - 2];
                    let counts = days
                        .iter()
                        .map(|(_, counts)| i64::try_from(count(counts)).ok());
                    ColumnValues::Int(counts.collect())
                }
            };
            let batch = Batch {
                rows: days.len(),
                columns: columns.iter().map(column).collect(),
            };
            if each(batch).is_break() {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
