//! What Spark is told and what it says, as text.

use expect_test::{Expect, expect};

use super::*;
use crate::engine::tests::options;
use crate::options::{AggregationOptions, Definition, EngineKind};
use crate::{Engine, Input, PartInput, Totals};

fn in_spark(sql: &str) -> AggregationOptions {
    AggregationOptions {
        engine: EngineKind::Spark,
        reversals: false,
        ..options(sql)
    }
}

fn generation(generation: u32) -> Definition {
    Definition {
        generation,
        fingerprint: generation.to_string(),
    }
}

async fn engine(options: AggregationOptions) -> Engine {
    let mut engine = Engine::new(options, generation(1)).await.expect("a plan");
    engine.begin_restore(0);
    engine
}

async fn query(sql: &str, expected: Expect) {
    let engine = engine(in_spark(sql)).await;
    let shape = &engine.counted().expect("of Spark").shape;
    expected.assert_eq(&shape.query("records", Some(10)));
}

#[tokio::test]
async fn the_query_adds_up_what_was_computed_before() {
    let sql = "SELECT account, upper(currency) AS money, sum(amount) AS total, avg(amount) AS mean, count(*) AS n, \
               count(reverses) AS back, max(booked_at) AS last, sum(amount) FILTER (WHERE amount < 0) AS out \
               FROM transactions GROUP BY business_day, account, upper(currency)";
    query(sql, expect![[r#"
        SELECT
          to_json(array(business_day, account, money)) AS key,
          to_json(named_struct(
            'n', count(*),
            'at', max(struct(_clock, _partition, _offset)),
            's0', CAST(try_sum(amount) AS STRING), 'c0', count(amount),
            's1', CAST(try_sum(amount) AS STRING), 'c1', count(amount),
            'c3', count(value1),
            's4', CAST(max(booked_at) AS STRING),
            's5', CAST(try_sum(value3) AS STRING), 'c5', count(value3))) AS value,
          array(named_struct('key', 'received_at', 'value', CAST(CAST(max(_received_at) AS STRING) AS BINARY))) AS headers
        FROM (
          SELECT record.*, CAST(record.business_day AS TIMESTAMP) AS _day FROM (
            SELECT from_json(CAST(value AS STRING), 'business_day STRING, account STRING, money STRING, amount DECIMAL(33,5), value1 BIGINT, booked_at BIGINT, value3 DECIMAL(33,5), _clock BIGINT, _partition BIGINT, _offset BIGINT, _received_at BIGINT', map('mode', 'FAILFAST')) AS record FROM records))
           WATERMARK _day DELAY OF INTERVAL 10 DAYS
        GROUP BY _day, business_day, account, money"#]]).await;
}

#[tokio::test]
async fn names_that_mean_something_else_to_spark_are_not_used() {
    let sql = "SELECT account AS \"Odd name; DROP\", min(account) AS first FROM transactions \
               GROUP BY business_day, account";
    query(sql, expect![[r#"
        SELECT
          to_json(array(business_day, _key1)) AS key,
          to_json(named_struct(
            'n', count(*),
            'at', max(struct(_clock, _partition, _offset)),
            's0', CAST(min(account) AS STRING))) AS value,
          array(named_struct('key', 'received_at', 'value', CAST(CAST(max(_received_at) AS STRING) AS BINARY))) AS headers
        FROM (
          SELECT record.*, CAST(record.business_day AS TIMESTAMP) AS _day FROM (
            SELECT from_json(CAST(value AS STRING), 'business_day STRING, _key1 STRING, account STRING, _clock BIGINT, _partition BIGINT, _offset BIGINT, _received_at BIGINT', map('mode', 'FAILFAST')) AS record FROM records))
           WATERMARK _day DELAY OF INTERVAL 10 DAYS
        GROUP BY _day, business_day, _key1"#]]).await;
}

#[tokio::test]
async fn different_values_are_not_counted_in_spark() {
    let options = in_spark(
        "SELECT account, count(DISTINCT currency) AS c FROM transactions GROUP BY business_day, account",
    );
    let error = Engine::new(options, generation(1))
        .await
        .expect_err("refused");
    expect![[r#"the SQL of the aggregation daily_totals: line 1, column 17: count(DISTINCT ...) is not exact in a stream of Spark: `engine = "native"` counts it"#]].assert_eq(&types::report(&error));
}

fn record(id: &str, account: &str, amount: &str, at: &str) -> String {
    format!(
        r#"{{"id":"{id}","source":"s","account":"{account}","amount":"{amount}","currency":"EUR","booked_at":"{at}","received_at":"{at}"}}"#
    )
}

const NOON: &str = "2026-11-23T12:00:00.000000Z";

fn inputs(records: &[String], first: i64) -> Vec<Input<'_>> {
    let numbered = (first..).zip(records);
    numbered
        .map(|(offset, record)| Input {
            partition: 0,
            offset,
            appended_at: 1_795_435_200_000_000,
            value: record.as_bytes(),
        })
        .collect()
}

#[tokio::test]
async fn what_counts_is_written_once_and_what_fails_is_set_aside() {
    let sql = "SELECT account, sum(100 / amount) AS total FROM transactions WHERE account <> 'x' \
               GROUP BY business_day, account";
    let mut engine = engine(in_spark(sql)).await;
    let records = [
        record("1", "a\\\"b", "12.50", NOON),
        record("2", "x", "1", NOON),
        record("1", "a\\\"b", "12.50", NOON),
        record("3", "zero", "0", NOON),
        record("4", "c", "-3", NOON),
    ];
    let changes = engine.process(&inputs(&records, 7)).await.expect("adds");
    let written: Vec<String> = changes
        .counted
        .iter()
        .map(|(partition, json)| format!("{partition} {}\n", String::from_utf8_lossy(json)))
        .collect();
    expect![[r#"
        0 {"business_day":"2026-11-23","account":"a\"b","value0":"8","_clock":1795435200000000,"_partition":0,"_offset":7,"_received_at":1795435200000000}
        0 {"business_day":"2026-11-23","account":"c","value0":"-33.33333","_clock":1795435200000000,"_partition":0,"_offset":11,"_received_at":1795435200000000}
    "#]].assert_eq(&written.concat());
    expect![[r#"
        [
            (
                0,
                10,
                NotComputable(
                    "the SQL of the aggregation daily_totals: failed: Execution error: division by zero: Execution error: division by zero",
                ),
            ),
        ]
    "#]].assert_debug_eq(&changes.quarantined);
    assert!(changes.results.is_empty() && changes.parts.is_empty());
}

fn read(shape: &Shape, key: &str, value: &str) -> String {
    match row::read(shape, key.as_bytes(), value.as_bytes()) {
        Ok((key, clock, row)) => format!("{} {clock} {row:?}\n", String::from_utf8_lossy(&key)),
        Err(reason) => format!("{reason}\n"),
    }
}

#[tokio::test]
async fn rows_of_spark_are_read_or_refused() {
    let sql = "SELECT account, sum(amount) AS total, avg(amount) AS mean, count(*) AS n, max(booked_at) AS last, \
               min(account) AS first FROM transactions GROUP BY business_day, account";
    let engine = engine(in_spark(sql)).await;
    let shape = &engine.counted().expect("of Spark").shape;
    let at = r#""at":{"_clock":5,"_partition":0,"_offset":9}"#;
    let good = format!(
        r#"{{"n":3,{at},"s0":"12.50000","c0":3,"s1":"12.50000","c1":3,"s3":"17","s4":"a"}}"#
    );
    let key = r#"["2026-11-23","a\u00e9"]"#;
    let mut text = read(shape, key, &good);
    for (key, value) in [
        (
            key,
            good.replace(
                "12.50000\",\"c0",
                "9999999999999999999999999999.99999\",\"c0",
            ),
        ),
        (key, good.replace("12.50000\",\"c0", "0E-5\",\"c0")),
        (key, good.replace("\"s0\":\"12.50000\",", "")),
        (key, good.replace("\"s3\":\"17\",", "")),
        (key, good.replace("\"n\":3,", "")),
        (r#"["2026-11-23"]"#, good.clone()),
        (r#"["2026-11-31","a"]"#, good.clone()),
        ("a", good.clone()),
        (key, "[]".to_owned()),
    ] {
        text += &read(shape, key, &value);
    }
    expect![[r#"
        ["2026-11-23","aé"] 5 RowState { day: BusinessDay(2026-11-23), sequence: 3, partition: 0, offset: 9, visible: false, recent: true, values: [Sum(Some(Amount(1250000))), Avg(Some(Amount(1250000)), 3), Count(3), Max(Some(Timestamp(17))), Min(Some(Text("a")))] }
        ["2026-11-23","aé"] 5 RowState { day: BusinessDay(2026-11-23), sequence: 3, partition: 0, offset: 9, visible: false, recent: true, values: [Sum(Some(Amount(999999999999999999999999999999999))), Avg(Some(Amount(1250000)), 3), Count(3), Max(Some(Timestamp(17))), Min(Some(Text("a")))] }
        unreadable: Spark's row has "0E-5" for a Decimal
        not-computable: a sum leaves DECIMAL(33,5), or 64 bits where it is of whole numbers
        ["2026-11-23","aé"] 5 RowState { day: BusinessDay(2026-11-23), sequence: 3, partition: 0, offset: 9, visible: false, recent: true, values: [Sum(Some(Amount(1250000))), Avg(Some(Amount(1250000)), 3), Count(3), Max(None), Min(Some(Text("a")))] }
        unreadable: Spark's row has no number of records, or no position
        unreadable: Spark's row has a key of another length
        unreadable: Spark's row has no business day
        unreadable: Spark's row has no key that is a list of text
        unreadable: Spark's row has no JSON object as value
    "#]].assert_eq(&text);
    // Nothing that is cut short is taken for a row.
    for cut in 0..good.len() {
        assert!(row::read(shape, key.as_bytes(), &good.as_bytes()[..cut]).is_err());
    }
}

#[tokio::test]
async fn a_row_that_is_not_newer_changes_nothing() {
    let options = in_spark(
        "SELECT account, sum(amount) AS total, count(*) AS n FROM transactions GROUP BY business_day, account \
         HAVING sum(amount) > 5",
    );
    let engine = engine(options.clone()).await;
    let mut totals = Totals::new(&options);
    totals.begin_restore(0);
    let shape = &engine.counted().expect("of Spark").shape;
    let mut text = String::new();
    let rows = [
        (1, "7"),
        (3, "9.5"),
        (2, "8"),
        (3, "9.5"),
        (4, "5"),
        (5, "4"),
    ];
    for (offset, (records, sum)) in (0..).zip(rows) {
        let value = format!(
            r#"{{"n":{records},"at":{{"_clock":5,"_partition":0,"_offset":{records}}},"s0":"{sum}","c0":{records}}}"#
        );
        let part = PartInput {
            partition: 0,
            offset,
            key: br#"["2026-11-23","a"]"#,
            value: value.as_bytes(),
        };
        let (key, value) = row::as_part(shape, &part).expect("a row");
        let part = PartInput {
            key: &key,
            value: &value,
            ..part
        };
        let changes = totals.process(&engine, &[part]).expect("folds");
        text += &format!("{records}:");
        for result in &changes.results {
            let value = result.value.as_deref().unwrap_or_default();
            text += &format!(" {}", String::from_utf8_lossy(value));
        }
        text.push('\n');
    }
    expect![[r#"
        1: {"v":[1,1],"day":"2026-11-23","deleted":false,"at":[0,1],"account":"a","total":"7.00","n":1}
        3: {"v":[1,3],"day":"2026-11-23","deleted":false,"at":[0,3],"account":"a","total":"9.50","n":3}
        2:
        3:
        4: {"v":[1,4],"day":"2026-11-23","deleted":true,"at":[0,4],"account":"a"}
        5:
    "#]].assert_eq(&text);
}

#[tokio::test]
async fn a_changed_definition_reads_the_kept_days_again_and_says_when_it_is_done() {
    let sql =
        "SELECT account, sum(amount) AS total FROM transactions GROUP BY business_day, account";
    let records: Vec<String> = (0..5)
        .map(|id| record(&id.to_string(), "a", "1", NOON))
        .chain(["no JSON".to_owned()])
        .collect();
    // Counted natively, then in Spark from the beginning: the first four were read before.
    let native = AggregationOptions {
        engine: EngineKind::Native,
        ..in_spark(sql)
    };
    let mut before = engine(native).await;
    let until = 4;
    let first = before
        .process(&inputs(&records[..4], 0))
        .await
        .expect("adds");
    let definition = before.define(0).expect("new");
    let mut after = Engine::new(in_spark(sql), generation(2))
        .await
        .expect("a plan");
    after.begin_restore(0);
    for (_, entry) in first.changelog.iter().chain([&definition]) {
        after
            .restore(0, &entry.key, entry.value.as_deref())
            .expect("restores");
    }
    assert_eq!(
        after.end_restore(0).expect("restores"),
        crate::Restored::Older { generation: 1 }
    );
    let first_day = after.first_kept_day(0);
    let mut old = after.begin_rebuild(0).expect("begins");
    for (_, entry) in &first.changelog {
        old.note_key(&entry.key);
    }
    let changes = after
        .rewind(0, &old, (0, until), first_day)
        .expect("rewinds");
    let results: Vec<String> = changes
        .results
        .iter()
        .map(|result| {
            String::from_utf8_lossy(result.value.as_deref().unwrap_or_default()).into_owned()
        })
        .collect();
    expect![[r#"{"v":[2,0],"day":"2026-11-23","deleted":true,"account":"a"}"#]]
        .assert_eq(&results.join("\n"));
    assert!(changes.completes.is_empty(), "not all is read yet");
    let changelog: Vec<(i32, crate::Published)> =
        [&first.changelog[..], &[definition], &changes.changelog].concat();

    // A process that takes over in the middle goes on with it.
    let some = after
        .process(&inputs(&records[..2], 0))
        .await
        .expect("adds");
    assert_eq!((some.counted.len(), some.completes.len()), (2, 0));
    let changelog = [&changelog[..], &some.changelog].concat();
    let mut other = Engine::new(in_spark(sql), generation(2))
        .await
        .expect("a plan");
    other.begin_restore(0);
    for (_, entry) in &changelog {
        other
            .restore(0, &entry.key, entry.value.as_deref())
            .expect("restores");
    }
    assert_eq!(
        other.end_restore(0).expect("restores"),
        crate::Restored::Current
    );
    let rest = other
        .process(&inputs(&records[2..], 2))
        .await
        .expect("adds");
    assert_eq!(
        (rest.counted.len(), rest.completes.as_slice()),
        (3, &[0][..])
    );
    assert_eq!(rest.quarantined.len(), 1, "behind what was read before");
    let counts: Vec<_> = other
        .counts()
        .map(|(_, counts)| (counts.counted, counts.quarantined))
        .collect();
    assert_eq!(counts, [(5, 1)]);
}
