//! What every store must do, whichever it is.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use store::{
    Cell, CellKind, DayCounts, Row, Selection, Store, StoreError, StoreTarget, TableSpec, Write,
};
use types::{BusinessDay, Counts, Days, Version};

/// Makes an empty store.
type MakeStore<'a> = &'a dyn Fn() -> StoreTarget;

/// All checks, with names for failures.
type Check = fn(&StoreTarget);
const CHECKS: &[(&str, Check)] = &[
    ("nothing is there at first", nothing_is_there_at_first),
    ("an older version", an_older_version_never_wins),
    ("a newer generation", a_newer_generation_is_refused),
    ("progress", progress_is_per_partition_and_never_goes_back),
    ("migrations", a_table_gets_the_columns_that_it_lacks),
    ("deleted rows", a_deleted_row_stays_as_one),
    ("hostile texts", texts_come_back_as_they_were),
    ("numbers", numbers_come_back_exactly),
    ("days", rows_are_read_by_day),
    ("selections", rows_are_selected_by_days_columns_and_keys),
    ("counts", counts_are_absolute_and_the_newest_holds),
    ("many rows", a_hundred_thousand_rows_are_loaded_soon),
    ("random writes", random_writes_in_any_order_end_alike),
];

pub(crate) fn run(make: MakeStore<'_>) {
    for (name, check) in CHECKS {
        let begun = Instant::now();
        check(&make());
        println!("{name}: {:.2} s", begun.elapsed().as_secs_f64());
    }
}

fn spec() -> TableSpec {
    TableSpec {
        name: "daily_totals".to_owned(),
        columns: vec![
            ("account".to_owned(), CellKind::Text),
            ("total \"net\"".to_owned(), CellKind::Decimal),
            ("transactions".to_owned(), CellKind::Int),
        ],
    }
}

fn day(text: &str) -> BusinessDay {
    text.parse().expect("a day")
}

fn row(key: &str, sequence: u64, total: &str) -> Row {
    Row {
        key: key.to_owned(),
        day: day("2026-11-23"),
        version: Version {
            generation: 1,
            sequence,
        },
        deleted: false,
        partition: 3,
        offset: 5,
        cells: vec![
            Cell::Text(key.to_owned()),
            Cell::Text(total.to_owned()),
            Cell::Int(-3),
        ],
    }
}

fn opened(target: &StoreTarget, table: &TableSpec) -> Store {
    let store = target.open().expect("opens");
    store.ensure_table(table).expect("makes the table");
    store
}

fn write(store: &mut Store, table: &TableSpec, rows: &[Row], progress: &[(i32, i64)]) {
    let written = store.write(&Write {
        table,
        rows,
        progress,
    });
    written.expect("writes");
}

/// As another process sees it.
fn rows(target: &StoreTarget, table: &TableSpec, day: Option<BusinessDay>) -> Vec<Row> {
    let store = target.open_read_only().expect("opens").expect("is there");
    let mut rows = Vec::new();
    store
        .scan(table, day, |row| rows.push(row))
        .expect("reads rows");
    rows.sort_by(|a, b| (a.day, &a.key).cmp(&(b.day, &b.key)));
    rows
}

fn totals(target: &StoreTarget) -> Vec<String> {
    let rows = rows(target, &spec(), None);
    let shown = rows
        .iter()
        .map(|row| format!("{} {} {:?}", row.key, row.version, row.cells[1]));
    shown.collect()
}

fn nothing_is_there_at_first(target: &StoreTarget) {
    assert!(target.open_read_only().expect("opens").is_none());
    // A sink has begun with another aggregation.
    drop(target.open().expect("opens"));
    let store = target.open_read_only().expect("opens").expect("is there");
    assert_eq!(store.progress("daily_totals").expect("reads"), []);
    assert_eq!(store.generation("daily_totals").expect("reads"), None);
    assert_eq!(store.counts("daily_totals").expect("reads"), []);
    assert_eq!(store.days("daily_totals").expect("reads"), []);
    let found = store.find(&spec(), day("2026-11-23"), "a");
    assert_eq!(found.expect("reads"), None);
    assert_eq!(rows(target, &spec(), None), []);
    assert_eq!(rows(target, &spec(), Some(day("2026-11-23"))), []);
}

fn an_older_version_never_wins(target: &StoreTarget) {
    let mut store = opened(target, &spec());
    write(
        &mut store,
        &spec(),
        &[row("a", 2, "2.00"), row("b", 1, "1.00")],
        &[(0, 10)],
    );
    write(
        &mut store,
        &spec(),
        &[row("a", 1, "1.00"), row("b", 2, "9.99")],
        &[(0, 9)],
    );
    // The same version again is the same row.
    write(&mut store, &spec(), &[row("a", 2, "2.00")], &[(0, 11)]);
    assert_eq!(
        totals(target),
        ["a 1.2 Text(\"2.00\")", "b 1.2 Text(\"9.99\")"]
    );
    assert_eq!(store.progress(&spec().name).expect("reads"), [(0, 11)]);
    // Whatever the sequence, a newer generation wins.
    let mut newer = row("a", 1, "0.10");
    newer.version.generation = 2;
    write(&mut store, &spec(), &[newer], &[]);
    write(&mut store, &spec(), &[row("a", (1 << 40) - 1, "5.00")], &[]);
    assert_eq!(totals(target)[0], "a 2.1 Text(\"0.10\")");
}

fn a_newer_generation_is_refused(target: &StoreTarget) {
    let mut store = opened(target, &spec());
    store.refuse_newer(&spec().name, 1).expect("nothing yet");
    let mut newer = row("a", 1, "1.00");
    newer.version.generation = 2;
    write(&mut store, &spec(), &[newer], &[(0, 1)]);
    // While a new definition comes into force others may still write by the old one.
    write(&mut store, &spec(), &[row("b", 1, "1.00")], &[(0, 1)]);
    assert_eq!(store.generation(&spec().name).expect("reads"), Some(2));
    store.refuse_newer(&spec().name, 2).expect("as the log");
    let error = store.refuse_newer(&spec().name, 1).expect_err("refuses");
    assert!(matches!(
        error,
        StoreError::NewerGeneration {
            stored: 2,
            offered: 1,
            ..
        }
    ));
    assert!(!error.may_pass());
}

fn progress_is_per_partition_and_never_goes_back(target: &StoreTarget) {
    let mut store = opened(target, &spec());
    write(&mut store, &spec(), &[], &[(2, 7), (0, 1)]);
    write(&mut store, &spec(), &[], &[(2, 6), (0, 0), (1, 0)]);
    let mut newer = row("a", 1, "1.00");
    newer.version.generation = 3;
    write(&mut store, &spec(), &[newer], &[(0, 5)]);
    let expected = [(0, 5), (1, 0), (2, 7)];
    assert_eq!(store.progress(&spec().name).expect("reads"), expected);
    assert_eq!(store.progress("other").expect("reads"), []);
    let expected = [(0, 3), (1, 1), (2, 1)];
    assert_eq!(store.generations(&spec().name).expect("reads"), expected);
    assert_eq!(store.generation(&spec().name).expect("reads"), Some(3));
}

fn instant(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

fn a_table_gets_the_columns_that_it_lacks(target: &StoreTarget) {
    let mut store = opened(target, &spec());
    write(&mut store, &spec(), &[row("a", 1, "1.00")], &[]);
    let mut changed = spec();
    changed.columns.push(("mean".to_owned(), CellKind::Decimal));
    // Before the sink has added it, readers of the new definition find nothing in it.
    let found = rows(target, &changed, None);
    assert_eq!(found[0].cells.last(), Some(&Cell::Null));
    store.ensure_table(&changed).expect("adds");
    let found = rows(target, &changed, None);
    assert_eq!(found[0].cells.last(), Some(&Cell::Null));
    assert_eq!(found[0].cells[..3], row("a", 1, "1.00").cells);
    let mut mean = row("a", 2, "1.00");
    mean.cells.push(Cell::Text("0.50".to_owned()));
    write(&mut store, &changed, &[mean], &[]);
    // What was a decimal is a number now, and back again.
    for (sequence, kind, cell) in [
        (3, CellKind::Int, Cell::Int(7)),
        (4, CellKind::Text, Cell::Text("seven".to_owned())),
        (5, CellKind::Decimal, Cell::Text("7.00".to_owned())),
        (6, CellKind::Date, Cell::Text("2026-11-23".to_owned())),
        (
            7,
            CellKind::Timestamp,
            instant("2026-11-23T09:15:00.000001Z"),
        ),
        (
            8,
            CellKind::Timestamp,
            instant("1969-12-31T23:59:59.999999Z"),
        ),
        (9, CellKind::Timestamp, instant("2026-11-23T09:15:00Z")),
        (10, CellKind::Timestamp, Cell::Null),
    ] {
        changed.columns.pop();
        changed.columns.push(("mean".to_owned(), kind));
        store.ensure_table(&changed).expect("changes");
        let mut other = row("a", sequence, "2.00");
        other.cells.push(cell.clone());
        write(&mut store, &changed, &[other], &[]);
        let found = rows(target, &changed, None);
        assert_eq!(found[0].cells.last(), Some(&cell));
    }
    // One that is no longer wanted stays in the table, wherever it stands.
    changed.columns.remove(0);
    store.ensure_table(&changed).expect("changes");
    let mut fewer = row("b", 1, "3.00");
    fewer.cells[0] = Cell::Text("3.00".to_owned());
    fewer.cells[1] = Cell::Int(1);
    fewer.cells[2] = Cell::Null;
    write(&mut store, &changed, &[fewer.clone()], &[]);
    let found = rows(target, &changed, None);
    assert_eq!(found[1], fewer);
}

fn a_deleted_row_stays_as_one(target: &StoreTarget) {
    let mut store = opened(target, &spec());
    write(&mut store, &spec(), &[row("a", 1, "1.00")], &[]);
    let mut deleted = row("a", 2, "");
    deleted.deleted = true;
    deleted.cells = vec![Cell::Text("a".to_owned()), Cell::Null, Cell::Null];
    write(&mut store, &spec(), &[deleted.clone()], &[]);
    write(&mut store, &spec(), &[row("a", 1, "1.00")], &[]);
    assert_eq!(rows(target, &spec(), None), [deleted]);
    let back = row("a", 3, "4.00");
    write(&mut store, &spec(), std::slice::from_ref(&back), &[]);
    assert_eq!(rows(target, &spec(), None), [back]);
}

fn texts_come_back_as_they_were(target: &StoreTarget) {
    let long = "ž".repeat(30_000);
    let hostile = [
        "",
        "'; DROP TABLE daily_totals; --",
        "\"\u{0}\u{1}\n\r\t\\",
        "🂡 Ωß \u{200f}\u{202e}",
        "null",
        "2026-11-23",
        &long,
    ];
    let wanted: Vec<Row> = hostile
        .iter()
        .map(|text| {
            let key = serde_like_key(text);
            let mut wanted = row(&key, 1, "1.00");
            wanted.cells[0] = Cell::Text((*text).to_owned());
            wanted
        })
        .collect();
    let mut store = opened(target, &spec());
    write(&mut store, &spec(), &wanted, &[]);
    let found = rows(target, &spec(), None);
    assert_eq!(found.len(), wanted.len());
    for wanted in wanted {
        let found = store.find(&spec(), wanted.day, &wanted.key);
        assert_eq!(found.expect("reads"), Some(wanted));
    }
    let other_day = store.find(&spec(), day("2026-11-24"), &serde_like_key(""));
    assert_eq!(other_day.expect("reads"), None);
}

fn serde_like_key(text: &str) -> String {
    format!("[\"2026-11-23\",{text:?}]")
}

fn numbers_come_back_exactly(target: &StoreTarget) {
    let mut store = opened(target, &spec());
    let decimals = [
        "0.00",
        "12.50",
        "-12.50",
        "0.05",
        "-0.05",
        "100",
        "-1",
        "0.00001",
        "128.00",
        "-128.00",
        "9999999999999999999999999999.99999",
        "-9999999999999999999999999999.99999",
    ];
    let wanted: Vec<Row> = decimals
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let mut wanted = row(&format!("{index:02}"), 1, text);
            wanted.cells[2] = Cell::Int([i64::MIN, -1, 0, 1, i64::MAX][index % 5]);
            wanted
        })
        .collect();
    write(&mut store, &spec(), &wanted, &[]);
    assert_eq!(rows(target, &spec(), None), wanted);
}

fn rows_are_read_by_day(target: &StoreTarget) {
    let mut store = opened(target, &spec());
    let days = ["2026-11-23", "1969-12-31", "2026-11-24"].map(day);
    let of = |day, key: &str| Row {
        day,
        ..row(key, 1, "1.00")
    };
    for (index, day) in days.into_iter().enumerate() {
        // Keys begin with the day: none is of two days.
        let keys: Vec<String> = (0..=index)
            .map(|number| format!("{day} {number}"))
            .collect();
        let rows: Vec<Row> = keys.iter().map(|key| of(day, key)).collect();
        write(&mut store, &spec(), &rows, &[]);
    }
    for (index, day) in days.into_iter().enumerate() {
        let found = rows(target, &spec(), Some(day));
        assert_eq!(found.len(), index + 1);
        assert!(found.iter().all(|row| row.day == day));
    }
    assert_eq!(rows(target, &spec(), None).len(), 6);
    let mut expected = days;
    expected.sort_unstable();
    assert_eq!(store.days(&spec().name).expect("reads"), expected);
    assert_eq!(rows(target, &spec(), Some(day("2026-11-25"))), []);
}

/// Whatever is asked for, it is what a look at every row finds.
fn rows_are_selected_by_days_columns_and_keys(target: &StoreTarget) {
    let spec = spec();
    let mut store = opened(target, &spec);
    let first = day("2026-11-20");
    let rows: Vec<Row> = (0..60)
        .map(|number: i32| Row {
            day: first.plus_days(number % 5),
            cells: vec![
                Cell::Text(format!("account-{}", number % 3)),
                Cell::Text("1.00".to_owned()),
                Cell::Int(i64::from(number % 4)),
            ],
            ..row(&format!("key-{number}"), 1, "1.00")
        })
        .collect();
    write(&mut store, &spec, &rows, &[]);
    let (second, last) = (first.plus_days(1), first.plus_days(4));
    let text = |text: &str| Cell::Text(text.to_owned());
    let selections = [
        Selection::Days(Days::all(), Vec::new()),
        Selection::Days(Days::of([]), Vec::new()),
        Selection::Days(Days::one(second), Vec::new()),
        Selection::Days(Days::of([first, last, last.plus_days(9)]), Vec::new()),
        Selection::Days(Days::between(Some(second), None), Vec::new()),
        Selection::Days(Days::between(None, Some(second)), Vec::new()),
        Selection::Days(
            Days::between(Some(second), Some(last.plus_days(-1))),
            vec![(0, vec![text("account-1"), text("nobody")])],
        ),
        Selection::Days(
            Days::all(),
            vec![
                (0, vec![text("account-1")]),
                (2, vec![Cell::Int(1), Cell::Int(2)]),
            ],
        ),
        Selection::Keys(vec![
            (first, "key-0".to_owned()),
            (first, "key-1".to_owned()),
            (second, "key-1".to_owned()),
            (second, "key-6".to_owned()),
            (second, "nothing".to_owned()),
        ]),
        Selection::Keys(Vec::new()),
    ];
    for selection in selections {
        let mut found = Vec::new();
        let read = store.select(&spec, &selection, |row| {
            found.push(row.key);
            ControlFlow::Continue(())
        });
        read.expect("reads");
        let has = |row: &&Row| match &selection {
            Selection::Days(days, columns) => {
                days.contains(row.day)
                    && columns
                        .iter()
                        .all(|(index, values)| values.contains(&row.cells[*index]))
            }
            Selection::Keys(keys) => keys.contains(&(row.day, row.key.clone())),
        };
        let mut expected: Vec<String> =
            rows.iter().filter(has).map(|row| row.key.clone()).collect();
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected, "{selection:?}");
        let mut seen = 0;
        let read = store.select(&spec, &selection, |_| {
            seen += 1;
            ControlFlow::Break(())
        });
        read.expect("reads");
        assert_eq!(seen, expected.len().min(1), "{selection:?}");
    }
}

fn counts_are_absolute_and_the_newest_holds(target: &StoreTarget) {
    let mut store = target.open().expect("opens");
    let day = day("2026-11-23");
    let of = |partition, counted, offset| DayCounts {
        day,
        partition,
        counts: Counts {
            counted,
            reversing: 1,
            duplicate: 2,
            late_corrected: 3,
            quarantined: 4,
        },
        offset,
    };
    let earlier = DayCounts {
        day: day.plus_days(-1),
        ..of(0, 9, 0)
    };
    let mut write = |counts: &[DayCounts]| store.write_counts("x", counts).expect("writes");
    write(&[of(0, 7, 5), of(1, 7, 9), earlier]);
    // Fewer than before: a new generation counts from nothing.
    write(&[of(0, 3, 6)]);
    write(&[of(1, 1, 8)]);
    write(&[of(0, 3, 6)]);
    let reader = target.open_read_only().expect("opens").expect("is there");
    let found = reader.counts("x").expect("reads");
    let sum = Counts {
        counted: 10,
        reversing: 2,
        duplicate: 4,
        late_corrected: 6,
        quarantined: 8,
    };
    assert_eq!(found, [(earlier.day, earlier.counts), (day, sum)]);
    assert_eq!(reader.counts("y").expect("reads"), []);
}

/// Far above what it takes here.
const LOAD_TIME_MAX: Duration = Duration::from_secs(2);

fn a_hundred_thousand_rows_are_loaded_soon(target: &StoreTarget) {
    const KEYS: usize = 100_000;
    let mut store = opened(target, &spec());
    let many: Vec<Row> = (0..KEYS)
        .map(|index| {
            let key = format!("[\"2026-11-23\",\"account-{index:06}\",\"EUR\"]");
            row(&key, 1, "1234567.89")
        })
        .collect();
    let begun = Instant::now();
    for rows in many.chunks(10_000) {
        write(&mut store, &spec(), rows, &[(0, 1)]);
    }
    let written = begun.elapsed();
    let reader = target.open_read_only().expect("opens").expect("is there");
    // The first time servers also warm up.
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let begun = Instant::now();
        let mut found = 0;
        let each = |row: Row| {
            assert_eq!(row.cells.len(), 3);
            found += 1;
        };
        let day = Some(day("2026-11-23"));
        reader.scan(&spec(), day, each).expect("reads");
        assert_eq!(found, KEYS);
        let took = begun.elapsed();
        println!("  {KEYS} rows loaded in {} ms", took.as_millis());
        best = best.min(took);
    }
    println!(
        "  {KEYS} rows written in {} ms, loaded in {} ms",
        written.as_millis(),
        best.as_millis()
    );
    assert!(best < LOAD_TIME_MAX, "{best:?}");
}

fn random_writes_in_any_order_end_alike(target: &StoreTarget) {
    let seed = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .subsec_nanos();
    println!("  seed {seed}");
    let mut dice = u64::from(seed) | 1;
    let mut below = move |bound: u64| {
        dice ^= dice >> 12;
        dice ^= dice << 25;
        dice ^= dice >> 27;
        (dice.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    };
    let mut store = opened(target, &spec());
    let mut model: BTreeMap<String, Row> = BTreeMap::new();
    for _ in 0..50 {
        let mut batch: BTreeMap<String, Row> = BTreeMap::new();
        for _ in 0..below(40) {
            let (generation, sequence) = (below(3) as u32 + 1, below(20));
            let key = format!("key {}", below(60));
            // Equal versions are equal rows.
            let mut made = row(&key, sequence, &format!("{generation}.{sequence:02}"));
            made.version.generation = generation;
            made.deleted = sequence % 5 == 0;
            made.offset = i64::from(generation) * 1_000 + sequence as i64;
            if made.deleted {
                made.cells[1] = Cell::Null;
            }
            batch.insert(key, made);
        }
        let batch: Vec<Row> = batch.into_values().collect();
        write(&mut store, &spec(), &batch, &[]);
        for row in batch {
            let known = model.entry(row.key.clone()).or_insert_with(|| row.clone());
            if row.version > known.version {
                *known = row;
            }
        }
    }
    let expected: Vec<Row> = model.into_values().collect();
    assert_eq!(rows(target, &spec(), None), expected);
}
