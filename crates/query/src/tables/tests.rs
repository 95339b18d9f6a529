//! What the store is asked for, and what is answered from a SQLite file.

use expect_test::{Expect, expect};
use sql::ResultTable;
use store::Write;
use types::{Days, Version};

use super::*;

fn day(text: &str) -> BusinessDay {
    text.parse().expect("a day")
}

fn aggregation(keys: &[&str]) -> AggregationTable {
    let columns = [
        ("account", CellKind::Text),
        ("currency", CellKind::Text),
        ("total", CellKind::Decimal),
        ("transactions", CellKind::Int),
    ];
    AggregationTable {
        spec: TableSpec {
            name: "daily_totals".to_owned(),
            columns: columns.map(|(name, kind)| (name.to_owned(), kind)).to_vec(),
        },
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        calendar: BusinessCalendar::new("UTC", "00:00").expect("a calendar"),
    }
}

const KEYS: &[&str] = &["business_day", "account", "currency"];

fn totals(keys: &[&str], target: StoreTarget) -> Totals {
    let connections = Connections {
        target,
        idle: Mutex::default(),
    };
    Totals::new(&aggregation(keys), Arc::new(connections))
}

#[track_caller]
fn check(keys: &[&str], days: Days, equal: &[(usize, &[&str])], expected: &Expect) {
    let totals = totals(keys, StoreTarget::sqlite("/nowhere"));
    let texts = |values: &[&str]| {
        let values = values.iter().map(|text| KeyValue::Text((*text).to_owned()));
        values.collect::<Vec<_>>()
    };
    let equal = equal
        .iter()
        .map(|(column, values)| (*column, texts(values)));
    let wanted = Wanted {
        days,
        equal: equal.collect(),
    };
    let shown = match totals.selection(&wanted) {
        Selection::Days(days, columns) => {
            let columns = columns
                .iter()
                .map(|(place, cells)| format!("; {} = {cells:?}", totals.spec.columns[*place].0));
            format!("days {days}{}\n", columns.collect::<String>())
        }
        Selection::Keys(keys) => keys
            .iter()
            .map(|(day, key)| format!("{day} {key}\n"))
            .collect(),
    };
    expected.assert_eq(&shown);
}

#[test]
fn whole_keys_are_looked_up_and_days_are_read() {
    let one = || Days::one(day("2026-11-23"));
    check(
        KEYS,
        one(),
        &[(1, &["ann"]), (2, &["EUR"])],
        &expect![[r#"
            2026-11-23 ["2026-11-23","ann","EUR"]
        "#]],
    );
    check(
        KEYS,
        Days::of([day("2026-11-22"), day("2026-11-23")]),
        &[(1, &["ann \"x\"", "bob"]), (2, &["EUR"])],
        &expect![[r#"
            2026-11-22 ["2026-11-22","ann \"x\"","EUR"]
            2026-11-22 ["2026-11-22","bob","EUR"]
            2026-11-23 ["2026-11-23","ann \"x\"","EUR"]
            2026-11-23 ["2026-11-23","bob","EUR"]
        "#]],
    );
    check(
        KEYS,
        one(),
        &[(1, &["ann"])],
        &expect![[r#"
            days 2026-11-23; account = [Text("ann")]
        "#]],
    );
    check(
        KEYS,
        Days::between(Some(day("2026-11-22")), None),
        &[(1, &["ann"]), (2, &["EUR"])],
        &expect![[r#"
            days from 2026-11-22; account = [Text("ann")]; currency = [Text("EUR")]
        "#]],
    );
    // A key that the table does not show whole.
    check(
        &["business_day", "account", "currency", "branch"],
        one(),
        &[(1, &["ann"]), (2, &["EUR"])],
        &expect![[r#"
            days 2026-11-23; account = [Text("ann")]; currency = [Text("EUR")]
        "#]],
    );
    check(
        &["business_day"],
        one(),
        &[],
        &expect![[r#"
            2026-11-23 ["2026-11-23"]
        "#]],
    );
    check(
        KEYS,
        Days::of([]),
        &[],
        &expect![[r#"
        days none
    "#]],
    );
}

#[test]
fn so_many_rows_are_looked_up_and_no_more() {
    let totals = totals(KEYS, StoreTarget::sqlite("/nowhere"));
    let wanted = |count: usize| Wanted {
        days: Days::one(day("2026-11-23")),
        equal: vec![
            (
                1,
                (0..count)
                    .map(|number| KeyValue::Text(number.to_string()))
                    .collect(),
            ),
            (2, vec![KeyValue::Text("EUR".to_owned())]),
        ],
    };
    assert_eq!(
        totals.keys(&wanted(LOOK_UPS_MAX)).map(|keys| keys.len()),
        Some(LOOK_UPS_MAX)
    );
    assert_eq!(totals.keys(&wanted(LOOK_UPS_MAX + 1)), None);
}

#[test]
fn sums_are_read_as_published() {
    for text in [
        "0.00",
        "-12.50",
        "0.00001",
        "9999999999999999999999999999.99999",
        "100",
    ] {
        let sum = parse_sum(text).expect("reads");
        let digits = text.split_once('.').map_or(0, |(_, digits)| digits.len());
        let digits = u32::try_from(digits).expect("few");
        assert_eq!(sum.display(digits).to_string(), text);
    }
    for text in ["x", "1.000001", "1.", ".5.5"] {
        assert_eq!(
            parse_sum(text).expect_err("no sum").to_string(),
            format!("{text:?} in the store is no decimal")
        );
    }
}

fn row(day: BusinessDay, account: &str, total: &str, deleted: bool) -> Row {
    Row {
        key: format!("[\"{day}\",\"{account}\",\"EUR\"]"),
        day,
        version: Version {
            generation: 1,
            sequence: 1,
        },
        deleted,
        partition: 0,
        offset: 0,
        cells: vec![
            Cell::Text(account.to_owned()),
            Cell::Text("EUR".to_owned()),
            Cell::Text(total.to_owned()),
            Cell::Int(2),
        ],
    }
}

fn run(engine: &Engine, sql: &str) -> ResultTable {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let statements = sql::parse(sql, 10_000).expect("parses");
    let answer = runtime.block_on(engine.run(&statements[0], Vec::new(), None));
    answer.expect("runs").into_table().expect("has texts")
}

#[test]
fn totals_of_a_file_are_answered() {
    let dir = tempfile::tempdir().expect("a directory");
    let target = StoreTarget::sqlite(dir.path().join("store.db"));
    let aggregation = aggregation(KEYS);
    let tables = Tables::new(target.clone(), vec![aggregation.clone()]);
    let engine = tables.engine(Vec::new(), Vec::new(), QueryLimits::default(), None);
    let all = "SELECT business_day, account, total, transactions FROM daily_totals ORDER BY 1, 2";
    assert_eq!(run(&engine, all).rows.len(), 0, "nothing is there yet");

    let mut store = target.open().expect("opens");
    store.ensure_table(&aggregation.spec).expect("makes it");
    let (first, second) = (day("2026-11-22"), day("2026-11-23"));
    let mut rows: Vec<Row> = (0..BATCH_ROWS)
        .map(|number| row(first, &format!("a{number:05}"), "0.10", false))
        .collect();
    rows.push(row(second, "ann", "12.50", false));
    rows.push(row(second, "bob", "-0.00001", false));
    rows.push(row(second, "gone", "1.00", true));
    let written = store.write(&Write {
        table: &aggregation.spec,
        rows: &rows,
        progress: &[],
    });
    written.expect("writes");
    let shown = |sql: &str| {
        let rows = run(&engine, sql).rows;
        let rows = rows.iter().map(|row| {
            let cells = row.iter().map(|cell| cell.as_deref().unwrap_or("null"));
            cells.collect::<Vec<_>>().join(",")
        });
        rows.collect::<Vec<_>>().join(";")
    };
    assert_eq!(
        shown(&all.replace("ORDER", "WHERE business_day = '2026-11-23' ORDER")),
        "2026-11-23,ann,12.50,2;2026-11-23,bob,-0.00001,2"
    );
    assert_eq!(
        shown("SELECT count(*), sum(total) FROM daily_totals"),
        "8194,831.69999"
    );
    assert_eq!(
        shown(
            "SELECT total FROM daily_totals WHERE business_day = '2026-11-23' AND account = 'ann' AND currency = 'EUR'"
        ),
        "12.50"
    );
    assert_eq!(
        shown("SELECT count(*) FROM daily_totals WHERE business_day = today() OR account = 'gone'"),
        "0"
    );
    assert_eq!(shown("SELECT count(*) FROM counts"), "0");
}
