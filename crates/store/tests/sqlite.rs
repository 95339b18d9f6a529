//! The store in a SQLite file.
#![allow(missing_docs, clippy::print_stdout)]

mod support;

use std::cell::Cell;

use store::{DayCounts, StoreTarget};
use types::Counts;

#[test]
fn sqlite_keeps_what_a_store_must() {
    let dir = tempfile::tempdir().expect("a directory");
    let made = Cell::new(0);
    support::run(&|| {
        made.set(made.get() + 1);
        StoreTarget::sqlite(dir.path().join(format!("store-{}.db", made.get())))
    });
}

#[test]
fn a_file_of_the_time_before_offsets_of_counts_is_used_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("store.db");
    let connection = rusqlite::Connection::open(&path).expect("opens");
    let made = connection.execute_batch(
        "CREATE TABLE counts_by_partition (aggregation TEXT, day TEXT, partition INTEGER, \
         counted INTEGER, reversing INTEGER, duplicate INTEGER, late_corrected INTEGER, \
         quarantined INTEGER, PRIMARY KEY (aggregation, day, partition)) WITHOUT ROWID;
         INSERT INTO counts_by_partition VALUES ('x', '2026-11-23', 0, 5, 0, 0, 0, 0)",
    );
    made.expect("makes it");
    drop(connection);
    let mut store = StoreTarget::sqlite(&path).open().expect("opens");
    let day = "2026-11-23".parse().expect("a day");
    let counts = Counts {
        counted: 6,
        ..Counts::default()
    };
    let newer = DayCounts {
        day,
        partition: 0,
        counts,
        offset: 0,
    };
    store.write_counts("x", &[newer]).expect("writes");
    assert_eq!(store.counts("x").expect("reads"), [(day, counts)]);
}
