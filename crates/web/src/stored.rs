//! What is read from the store: rows at the hand-off and of days out of view, and the counts.
//! Blocking calls.

use std::path::Path;

use store::{Store, StoreError, TableSpec};
use tracing::warn;
use types::{BusinessDay, Counts};

use crate::row::Change;

/// The store, or `None` before a sink has made it.
fn open(path: &Path) -> Result<Option<Store>, StoreError> {
    if path.exists() {
        Store::open_read_only(path).map(Some)
    } else {
        Ok(None)
    }
}

/// A table that no sink has made yet has no rows.
fn or_empty<T: Default>(result: Result<T, StoreError>) -> Result<T, StoreError> {
    match result {
        Err(error) if types::report(&error).contains("no such table") => Ok(T::default()),
        result => result,
    }
}

/// Hands over the rows of these days and returns the progress, which is read first.
pub(crate) fn scan_days(
    path: &Path,
    table: &TableSpec,
    days: &[BusinessDay],
    each: &mut dyn FnMut(Change),
) -> Result<Vec<(i32, i64)>, StoreError> {
    let Some(store) = open(path)? else {
        return Ok(Vec::new());
    };
    let progress = or_empty(store.progress(&table.name))?;
    for day in days {
        let scanned = store.scan(table, Some(*day), |row| match Change::from_stored(&row) {
            Ok(change) => each(change),
            Err(error) => warn!(
                table = table.name,
                key = row.key,
                error = types::report(&error),
                "a stored row cannot be shown"
            ),
        });
        or_empty(scanned)?;
    }
    Ok(progress)
}

/// The counts of every day, oldest first.
pub(crate) fn counts(
    path: &Path,
    aggregation: &str,
) -> Result<Vec<(BusinessDay, Counts)>, StoreError> {
    match open(path)? {
        Some(store) => or_empty(store.counts(aggregation)),
        None => Ok(Vec::new()),
    }
}
