//! What sources are asked for, and what is answered whatever they make of it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use expect_test::{Expect, expect};
use types::{Amount, BusinessDay};

use super::table::show_wanted;
use super::*;

/// Rows of a batch of the source.
const BATCH_ROWS: usize = 100;
const ACCOUNTS: usize = 7;

/// Totals of ten days, seven accounts and two currencies.
#[derive(Debug)]
struct Source {
    columns: Vec<(String, ColumnType)>,
    rows: Vec<(BusinessDay, String, String, Amount, i64)>,
    /// Whether it makes use of what it is told.
    heeds: bool,
    asked: Mutex<Vec<String>>,
    read: AtomicU64,
}

fn day(text: &str) -> BusinessDay {
    text.parse().expect("a day")
}

fn source(heeds: bool) -> Arc<Source> {
    let columns = [
        ("business_day", ColumnType::Day),
        ("account", ColumnType::Text),
        ("currency", ColumnType::Text),
        ("total", ColumnType::Decimal),
        ("transactions", ColumnType::Int),
    ];
    let mut rows = Vec::new();
    for number in 0..10 {
        for account in 0..ACCOUNTS {
            for currency in ["EUR", "USD"] {
                let cents = number * 1_000 + i32::try_from(account).expect("small");
                rows.push((
                    day("2026-11-20").plus_days(number),
                    format!("account-{account}"),
                    currency.to_owned(),
                    Amount::from_units(i128::from(cents) * 1_000).expect("fits"),
                    i64::from(number),
                ));
            }
        }
    }
    Arc::new(Source {
        columns: columns.map(|(name, kind)| (name.to_owned(), kind)).to_vec(),
        rows,
        heeds,
        asked: Mutex::default(),
        read: AtomicU64::new(0),
    })
}

impl TableSource for Source {
    fn name(&self) -> &str {
        "daily_totals"
    }

    fn columns(&self) -> &[(String, ColumnType)] {
        &self.columns
    }

    fn read(
        &self,
        wanted: &Wanted,
        columns: &[usize],
        each: &mut dyn FnMut(Batch) -> std::ops::ControlFlow<()>,
    ) -> Result<(), ReadError> {
        self.asked
            .lock()
            .expect("no panic")
            .push(show_wanted(wanted, &self.columns));
        let has = |index: usize, value: KeyValue| {
            let column = wanted.equal.iter().find(|(column, _)| *column == index);
            column.is_none_or(|(_, values)| values.contains(&value))
        };
        let rows = self.rows.iter().filter(|row| {
            !self.heeds
                || (wanted.days.contains(row.0)
                    && has(1, KeyValue::Text(row.1.clone()))
                    && has(2, KeyValue::Text(row.2.clone()))
                    && has(4, KeyValue::Int(row.4)))
        });
        let rows: Vec<_> = rows.collect();
        for rows in rows.chunks(BATCH_ROWS) {
            let column = |index: &usize| match index {
                0 => ColumnValues::Day(rows.iter().map(|row| row.0).collect()),
                1 => ColumnValues::Text(rows.iter().map(|row| Some(row.1.clone())).collect()),
                2 => ColumnValues::Text(rows.iter().map(|row| Some(row.2.clone())).collect()),
                3 => ColumnValues::Decimal(rows.iter().map(|row| Some(row.3)).collect()),
                _ => ColumnValues::Int(rows.iter().map(|row| Some(row.4)).collect()),
            };
            self.read.fetch_add(rows.len() as u64, Relaxed);
            let batch = Batch {
                rows: rows.len(),
                columns: columns.iter().map(column).collect(),
            };
            if each(batch).is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn limits() -> QueryLimits {
    QueryLimits::default()
}

fn engine(source: &Arc<Source>, limits: QueryLimits) -> Engine {
    let today = today(|of| match of {
        None | Some("daily_totals") => Some(day("2026-11-25")),
        Some(_) => None,
    });
    Engine::new(vec![Arc::clone(source) as _], vec![today], limits, None)
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.expect("a runtime").block_on(work)
}

fn run_with(
    engine: &Engine,
    sql: &str,
    parameters: Vec<Parameter>,
) -> Result<ResultTable, QueryError> {
    let statements = parse(sql, engine.limits().statement_bytes_max)?;
    let answer = block_on(engine.run(&statements[0], parameters, None))?;
    Ok(answer.into_table().expect("has a text"))
}

fn run(engine: &Engine, sql: &str) -> Result<ResultTable, QueryError> {
    run_with(engine, sql, Vec::new())
}

fn shown(result: Result<ResultTable, QueryError>) -> String {
    match result {
        Err(error) => format!("error: {error}\n"),
        Ok(table) => table
            .rows
            .iter()
            .map(|row| {
                let cells: Vec<&str> = row
                    .iter()
                    .map(|cell| cell.as_deref().unwrap_or("null"))
                    .collect();
                format!("{}\n", cells.join(","))
            })
            .collect(),
    }
}

/// What the source is asked for, one line a condition.
#[track_caller]
fn check_asked(conditions: &[&str], expected: &Expect) {
    let mut text = String::new();
    for condition in conditions {
        let source = source(true);
        let engine = engine(&source, limits());
        let sql = format!("SELECT count(*) FROM daily_totals WHERE {condition}");
        let rows = shown(run(&engine, &sql));
        let asked = source.asked.lock().expect("no panic").join(" | ");
        let read = source.read.load(Relaxed);
        text += &format!(
            "{condition} -> [{asked}] read {read}, counted {}\n",
            rows.trim()
        );
    }
    expected.assert_eq(&text);
}

#[test]
fn days_and_keys_are_asked_for() {
    check_asked(
        &[
            "true",
            "business_day = '2026-11-23'",
            "DATE '2026-11-23' = business_day",
            "business_day IN ('2026-11-23', '2026-11-21', '2026-11-22', '2026-11-28')",
            "business_day = '2026-11-23' OR business_day = '2026-11-21'",
            "business_day BETWEEN '2026-11-22' AND '2026-11-23'",
            "business_day > '2026-11-22' AND business_day < '2026-11-25'",
            "business_day >= '2026-11-28'",
            "business_day <= '2026-11-20'",
            "business_day = today()",
            "business_day = today('daily_totals')",
            "business_day >= today() - INTERVAL '1 day' AND business_day <= today()",
            "business_day > today() - 2 AND business_day < today()",
            "business_day < CURRENT_DATE AND business_day < '2026-11-22'",
            "business_day = '2026-11-23' AND account = 'account-1'",
            "business_day = '2026-11-23' AND account = 'account-1' AND currency = 'EUR'",
            "business_day = '2026-11-23' AND account IN ('account-1', 'account-2', 'account-3', 'x') AND currency IN ('EUR', 'USD')",
            "(business_day = '2026-11-21' AND account = 'account-1') OR (business_day = '2026-11-23' AND account = 'account-2')",
            "transactions = 3",
            "account = 'account-1' AND account = 'account-2'",
            "business_day = '2026-11-23' AND business_day = '2026-11-24'",
            "business_day = '2026-11-23' AND upper(account) = 'ACCOUNT-1'",
        ],
        &expect![[r#"
            true -> [] read 140, counted 140
            business_day = '2026-11-23' -> [days 2026-11-23] read 14, counted 14
            DATE '2026-11-23' = business_day -> [days 2026-11-23] read 14, counted 14
            business_day IN ('2026-11-23', '2026-11-21', '2026-11-22', '2026-11-28') -> [days 2026-11-21, 2026-11-22, 2026-11-23, 2026-11-28] read 56, counted 56
            business_day = '2026-11-23' OR business_day = '2026-11-21' -> [days 2026-11-21, 2026-11-23] read 28, counted 28
            business_day BETWEEN '2026-11-22' AND '2026-11-23' -> [days 2026-11-22 to 2026-11-23] read 28, counted 28
            business_day > '2026-11-22' AND business_day < '2026-11-25' -> [days 2026-11-23 to 2026-11-24] read 28, counted 28
            business_day >= '2026-11-28' -> [days from 2026-11-28] read 28, counted 28
            business_day <= '2026-11-20' -> [days to 2026-11-20] read 14, counted 14
            business_day = today() -> [days 2026-11-25] read 14, counted 14
            business_day = today('daily_totals') -> [days 2026-11-25] read 14, counted 14
            business_day >= today() - INTERVAL '1 day' AND business_day <= today() -> [days 2026-11-24 to 2026-11-25] read 28, counted 28
            business_day > today() - 2 AND business_day < today() -> [days 2026-11-24] read 14, counted 14
            business_day < CURRENT_DATE AND business_day < '2026-11-22' -> [days to 2026-11-21] read 28, counted 28
            business_day = '2026-11-23' AND account = 'account-1' -> [days 2026-11-23; account = account-1] read 2, counted 2
            business_day = '2026-11-23' AND account = 'account-1' AND currency = 'EUR' -> [days 2026-11-23; account = account-1; currency = EUR] read 1, counted 1
            business_day = '2026-11-23' AND account IN ('account-1', 'account-2', 'account-3', 'x') AND currency IN ('EUR', 'USD') -> [days 2026-11-23; account = account-1 or account-2 or account-3 or x; currency = EUR or USD] read 6, counted 6
            (business_day = '2026-11-21' AND account = 'account-1') OR (business_day = '2026-11-23' AND account = 'account-2') -> [days 2026-11-21, 2026-11-23; account = account-1 or account-2] read 8, counted 4
            transactions = 3 -> [transactions = 3] read 14, counted 14
            account = 'account-1' AND account = 'account-2' -> [] read 0, counted 0
            business_day = '2026-11-23' AND business_day = '2026-11-24' -> [] read 0, counted 0
            business_day = '2026-11-23' AND upper(account) = 'ACCOUNT-1' -> [days 2026-11-23] read 14, counted 2
        "#]],
    );
}

#[test]
fn what_cannot_be_told_narrows_nothing() {
    check_asked(
        &[
            "business_day <> '2026-11-23'",
            "NOT (business_day = '2026-11-23')",
            "business_day NOT IN ('2026-11-23', '2026-11-21', '2026-11-22', '2026-11-28')",
            "business_day = '2026-11-23' OR account = 'account-1'",
            "business_day = '2026-11-23' OR total > 5",
            "total = 1.00",
            "account LIKE 'account-1%'",
            "account > 'account-5'",
            "account = currency",
            "business_day IS NOT NULL",
            "extract(day FROM business_day) = 23",
            "business_day = today('nothing')",
        ],
        &expect![[r#"
            business_day <> '2026-11-23' -> [] read 140, counted 126
            NOT (business_day = '2026-11-23') -> [] read 140, counted 126
            business_day NOT IN ('2026-11-23', '2026-11-21', '2026-11-22', '2026-11-28') -> [] read 140, counted 84
            business_day = '2026-11-23' OR account = 'account-1' -> [] read 140, counted 32
            business_day = '2026-11-23' OR total > 5 -> [] read 140, counted 126
            total = 1.00 -> [] read 140, counted 0
            account LIKE 'account-1%' -> [] read 140, counted 20
            account > 'account-5' -> [] read 140, counted 20
            account = currency -> [] read 140, counted 0
            business_day IS NOT NULL -> [] read 140, counted 140
            extract(day FROM business_day) = 23 -> [] read 140, counted 14
            business_day = today('nothing') -> [] read 0, counted 0
        "#]],
    );
}

#[test]
fn joins_and_subqueries_are_narrowed_too() {
    let source = source(true);
    let engine = engine(&source, limits());
    let sql = "WITH mine AS (SELECT * FROM daily_totals WHERE business_day = '2026-11-23') \
               SELECT sum(a.total), count(*) FROM mine a JOIN daily_totals b USING (account, currency) \
               WHERE b.business_day = '2026-11-22' AND a.account = 'account-3'";
    let answer = shown(run(&engine, sql));
    let mut asked = source.asked.lock().expect("no panic").clone();
    asked.sort();
    expect![[r#"
        60.06,2
        days 2026-11-22; account = account-3
        days 2026-11-23; account = account-3
    "#]]
    .assert_eq(&format!("{answer}{}\n", asked.join("\n")));
}

#[test]
fn explain_shows_what_is_read() {
    let source = source(true);
    let engine = engine(&source, limits());
    let sql = "EXPLAIN SELECT account FROM daily_totals WHERE business_day = '2026-11-23' AND account = 'account-1'";
    let plan = shown(run(&engine, sql));
    let line = plan.lines().find(|line| line.contains("StoreScan"));
    expect!["StoreScan: daily_totals, days 2026-11-23; account = account-1"]
        .assert_eq(line.unwrap_or(&plan).trim());
    // A limit alone ends the reading.
    let few = shown(run(&engine, "SELECT account FROM daily_totals LIMIT 3"));
    assert_eq!(few.lines().count(), 3);
    assert_eq!(source.read.load(Relaxed), BATCH_ROWS as u64);
}

/// Random conditions: a source that makes use of what it is told gives the same answers as one that does not.
#[test]
fn answers_are_the_same_whatever_the_source_makes_of_it() {
    let atoms = [
        "business_day = '2026-11-23'",
        "business_day <> '2026-11-24'",
        "business_day IN ('2026-11-21', '2026-11-22', '2026-11-25', '2026-11-28')",
        "business_day < '2026-11-26'",
        "business_day >= today()",
        "business_day BETWEEN '2026-11-21' AND '2026-11-27'",
        "account = 'account-1'",
        "account IN ('account-1', 'account-2', 'account-5', 'account-6')",
        "account LIKE '%-3'",
        "currency = 'EUR'",
        "transactions = 4",
        "transactions IN (1, 2, 3, 4, 9)",
        "total > 40.05",
        "total = 30.03",
        "NOT account = 'account-1'",
        "account IS NULL",
    ];
    let seed = 11_u64;
    let mut state = seed;
    let mut next = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(state >> 33).expect("31 bits") % below
    };
    let (heeding, ignoring) = (source(true), source(false));
    let engines = [engine(&heeding, limits()), engine(&ignoring, limits())];
    for round in 0..150 {
        let mut condition = atoms[next(atoms.len())].to_owned();
        for _ in 0..next(4) {
            let atom = atoms[next(atoms.len())];
            condition = match next(3) {
                0 => format!("{condition} OR {atom}"),
                1 => format!("({condition}) AND {atom}"),
                _ => format!("NOT ({condition}) OR ({atom} AND {condition})"),
            };
        }
        let sql = format!(
            "SELECT business_day, account, currency, total, transactions FROM daily_totals \
             WHERE {condition} ORDER BY 1, 2, 3"
        );
        let [one, other] = engines.each_ref().map(|engine| shown(run(engine, &sql)));
        assert_eq!(one, other, "seed {seed}, round {round}: {sql}");
        assert!(!one.starts_with("error"), "{sql}: {one}");
    }
    let read = [&heeding, &ignoring].map(|source| source.read.load(Relaxed));
    assert!(read[0] < read[1], "{read:?}");
}

#[test]
fn decimals_are_exact_and_shown_short() {
    let engine = engine(&source(true), limits());
    for (sql, expected) in [
        ("SELECT 0.1 + 0.2", "0.3"),
        (
            "SELECT sum(total), avg(transactions) IS NULL FROM daily_totals WHERE currency = 'EUR'",
            "",
        ),
        (
            "SELECT CAST(1.5 AS DECIMAL(33,5)), CAST(2 AS DECIMAL(5,0))",
            "1.50,2",
        ),
        (
            "SELECT true, CAST('x' AS TEXT), DATE '2026-11-23', null",
            "true,x,2026-11-23,null",
        ),
        (
            "SELECT TIMESTAMP '2026-11-23 10:15:00.123456789'",
            "2026-11-23T10:15:00.123456",
        ),
    ] {
        let answer = shown(run(&engine, sql));
        match expected {
            "" => assert_eq!(answer.trim(), "3152.10,false"),
            _ => assert_eq!(answer.trim(), expected, "{sql}"),
        }
    }
}

#[test]
fn parameters_are_values() {
    let source = source(true);
    let engine = engine(&source, limits());
    let parameter = |kind, text: &str| Parameter {
        kind,
        text: Some(text.to_owned()),
    };
    let sql = "SELECT account, total FROM daily_totals WHERE business_day = $1 AND account = $2 AND transactions = $3 \
               AND total >= $4 AND currency = 'EUR'";
    let given = vec![
        parameter(ParameterType::Text, "2026-11-23"),
        parameter(ParameterType::Text, "account-3"),
        parameter(ParameterType::Int, "3"),
        parameter(ParameterType::Decimal, "30.03"),
    ];
    assert_eq!(shown(run_with(&engine, sql, given)), "account-3,30.03\n");
    assert_eq!(
        source
            .asked
            .lock()
            .expect("no panic")
            .last()
            .map(String::as_str),
        Some("days 2026-11-23; account = account-3; currency = EUR; transactions = 3")
    );
    // Never more than a value.
    let hostile = vec![
        parameter(ParameterType::Date, "2026-11-23"),
        parameter(ParameterType::Text, "' OR 1=1 --"),
        parameter(ParameterType::Int, "3"),
        parameter(ParameterType::Decimal, "0"),
    ];
    assert_eq!(shown(run_with(&engine, sql, hostile)), "");
    let null = Parameter {
        kind: ParameterType::Int,
        text: None,
    };
    assert_eq!(
        shown(run_with(&engine, "SELECT $1 + 1", vec![null])),
        "null\n"
    );

    let describe = |sql: &str, given: Vec<Option<ParameterType>>| {
        let statements = parse(sql, 10_000).expect("parses");
        match block_on(engine.describe(&statements[0], given)) {
            Err(error) => format!("error: {error}"),
            Ok(found) => {
                let columns = found.columns.iter();
                let columns: Vec<String> = columns
                    .map(|column| format!("{} {:?}", column.name, column.kind))
                    .collect();
                format!("{:?} -> {}", found.parameters, columns.join(", "))
            }
        }
    };
    assert_eq!(
        describe(sql, Vec::new()),
        "[Date, Text, Int, Decimal] -> account Text, total Decimal"
    );
    assert_eq!(
        describe("SELECT $1, $2 AS b", vec![None, Some(ParameterType::Int)]),
        "[Text, Int] -> NULL Text, b Int8"
    );
    assert_eq!(
        describe("SELECT nothing FROM daily_totals", Vec::new()),
        "error: not accepted: column 'nothing' not found"
    );
}

#[test]
fn what_hides_in_a_query_is_refused() {
    let engine = engine(&source(true), limits());
    for (sql, expected) in [
        (
            "SELECT 1 AS a INTO x",
            "is refused: totals are read only here",
        ),
        (
            "WITH x AS (INSERT INTO daily_totals SELECT * FROM daily_totals) SELECT 1",
            "error: ",
        ),
        ("SELECT * FROM nothing", "table 'nothing' not found"),
        ("SELECT * FROM 'x.csv'", "error: "),
        ("SELEC 1", "error: no SQL"),
    ] {
        let answer = shown(run(&engine, sql));
        assert!(answer.contains(expected), "{sql}: {answer}");
    }
    assert!(matches!(
        run(&engine, "SELECT * FROM nothing"),
        Err(QueryError::NoTable(_))
    ));
    assert!(matches!(
        run(&engine, "SELECT nothing"),
        Err(QueryError::NoColumn(_))
    ));
    assert!(matches!(
        run(&engine, "SELECT 1 +"),
        Err(QueryError::Syntax(_))
    ));
}

#[test]
fn every_limit_holds_and_says_what_to_do() {
    let source = source(true);
    let with = |change: fn(&mut QueryLimits)| {
        let mut limits = limits();
        change(&mut limits);
        engine(&source, limits)
    };
    const ALL: &str = "SELECT account FROM daily_totals";
    let all = ALL;
    let rows = with(|limits| limits.rows_max = 140);
    assert_eq!(shown(run(&rows, all)).lines().count(), 140);
    let rows = with(|limits| limits.rows_max = 139);
    assert_eq!(
        shown(run(&rows, all)),
        "error: the answer has more than 139 rows (limit `rows_max`): add LIMIT, aggregate, or raise the limit\n"
    );
    let read = with(|limits| limits.rows_read_max = 140);
    assert_eq!(shown(run(&read, all)).lines().count(), 140);
    let read = with(|limits| limits.rows_read_max = 139);
    let count = "SELECT count(*) FROM daily_totals";
    assert_eq!(
        shown(run(&read, count)),
        "error: the query reads more than 139 rows (limit `rows_read_max`): narrow business_day or the key in WHERE, \
         or raise the limit\n"
    );
    let twice = "SELECT count(*) FROM daily_totals a, daily_totals b \
                 WHERE a.business_day = '2026-11-23' AND b.business_day = '2026-11-23'";
    let read = with(|limits| limits.rows_read_max = 28);
    assert_eq!(shown(run(&read, twice)), "196\n");
    let read = with(|limits| limits.rows_read_max = 27);
    assert!(shown(run(&read, twice)).contains("rows_read_max"));
    let memory = with(|limits| limits.memory_bytes_max = 1 << 20);
    let groups =
        "SELECT value, count(*) FROM generate_series(1, 10000000) GROUP BY value ORDER BY 2";
    assert_eq!(
        shown(run(&memory, groups)),
        "error: the query needs more than 1048576 bytes of memory (limit `memory_bytes_max`): select fewer groups or \
         rows, or raise the limit\n"
    );
    let answer = "SELECT repeat('x', 100000) FROM generate_series(1, 100)";
    assert!(shown(run(&memory, answer)).contains("memory_bytes_max"));
    let time = with(|limits| limits.time_max = Duration::from_millis(100));
    let forever = "SELECT count(*) FROM generate_series(1, 1000000000000) a WHERE value % 7 = 8";
    assert_eq!(
        shown(run(&time, forever)),
        "error: the query took longer than 100 ms (limit `time_ms_max`): narrow business_day or the key in WHERE, or \
         raise the limit\n"
    );
    let text = with(|limits| limits.statement_bytes_max = ALL.len());
    assert_eq!(shown(run(&text, all)).lines().count(), 140);
    assert!(shown(run(&text, &format!("{all} "))).contains("statement_bytes_max"));
}

#[test]
fn so_many_queries_run_and_no_more() {
    let mut limits = limits();
    limits.queries_max = 2;
    let engine = engine(&source(true), limits);
    let statements = |sql| parse(sql, 10_000).expect("parses");
    let forever =
        statements("SELECT count(*) FROM generate_series(1, 1000000000000) a WHERE value % 7 = 8");
    let quick = statements("SELECT 1");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(3)
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let begin = || {
            let (engine, forever) = (engine.clone(), forever.clone());
            tokio::spawn(async move { engine.run(&forever[0], Vec::new(), None).await })
        };
        let (one, other) = (begin(), begin());
        while engine.0.permits.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let refused = engine.run(&quick[0], Vec::new(), None).await;
        assert_eq!(
            refused.expect_err("refused").to_string(),
            "2 queries are running and none ended in time (limit `queries_max`): try again, or raise the limit"
        );
        // One that is dropped makes room.
        one.abort();
        assert!(engine.run(&quick[0], Vec::new(), None).await.is_ok());
        other.abort();
    });
    runtime.shutdown_background();
}

/// What nests deepest of all that is allowed, on threads as small as a server's.
#[test]
fn the_deepest_statement_fits_the_stack() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_stack_size(QUERY_STACK_BYTES)
        .enable_time()
        .build()
        .expect("a runtime");
    let source = source(true);
    let engine = Engine::new(
        vec![source as _],
        Vec::new(),
        limits(),
        Some(runtime.handle().clone()),
    );
    let terms = |term: &str, operator: &str, per_term: usize| {
        vec![term; (OPERATORS_MAX - 3) / per_term].join(operator)
    };
    for sql in [
        format!(
            "SELECT {} FROM daily_totals",
            terms("transactions", " + ", 1)
        ),
        format!(
            "SELECT 1 FROM daily_totals WHERE {}",
            terms("total > 1", " OR ", 2)
        ),
        terms("SELECT 1", " UNION ALL ", 2),
        format!("SELECT 1{}", "::bigint".repeat(OPERATORS_MAX - 3)),
    ] {
        let text = sql.clone();
        let engine = engine.clone();
        let task = runtime.spawn(async move {
            let statements = parse(&text, 64 << 10)?;
            engine.run(&statements[0], Vec::new(), None).await
        });
        let ended = block_on(task).expect("no panic");
        assert!(ended.is_ok(), "{}: {ended:?}", &sql[..60]);
    }
    runtime.shutdown_background();
}
