//! What is read from the store: rows at the hand-off and of days out of view, and the counts.
//! Blocking calls.

use store::{StoreError, StoreTarget, TableSpec};
use tracing::warn;
use types::{BusinessDay, Counts};

use crate::row::Change;

/// Hands over the rows of these days and returns the progress, which is read first.
pub(crate) fn scan_days(
    store: &StoreTarget,
    table: &TableSpec,
    days: &[BusinessDay],
    each: &mut dyn FnMut(Change),
) -> Result<Vec<(i32, i64)>, StoreError> {
    let Some(store) = store.open_read_only()? else {
        return Ok(Vec::new());
    };
    let progress = store.progress(&table.name)?;
    for day in days {
        store.scan(table, Some(*day), |row| {
            match Change::from_stored(table, &row) {
                Ok(change) => each(change),
                Err(error) => warn!(
                    table = table.name,
                    key = row.key,
                    error = types::report(&error),
                    "a stored row cannot be shown"
                ),
            }
        })?;
    }
    Ok(progress)
}

/// A row by its key.
pub(crate) fn find(
    store: &StoreTarget,
    table: &TableSpec,
    day: BusinessDay,
    key: &str,
) -> Result<Option<Change>, StoreError> {
    let Some(store) = store.open_read_only()? else {
        return Ok(None);
    };
    let row = store.find(table, day, key)?;
    Ok(row.and_then(|row| Change::from_stored(table, &row).ok()))
}

/// The counts of every day, oldest first.
pub(crate) fn counts(
    store: &StoreTarget,
    aggregation: &str,
) -> Result<Vec<(BusinessDay, Counts)>, StoreError> {
    match store.open_read_only()? {
        Some(store) => store.counts(aggregation),
        None => Ok(Vec::new()),
    }
}
