//! Records in, changes and counts out.

use expect_test::{Expect, expect};
use types::WorkingDays;

use super::*;
use crate::options::{Definition, fingerprint};
use crate::schema::Schema;

pub(crate) fn options(sql: &str) -> AggregationOptions {
    AggregationOptions {
        batch_records_max: 100,
        ..AggregationOptions::new("daily_totals", sql, "Europe/Zagreb", "00:00")
            .expect("a calendar")
    }
}

const SUM: &str = "SELECT account, currency, sum(amount) AS total, count(*) AS transactions \
                   FROM transactions GROUP BY business_day, account, currency";

/// `id account amount booked received [reverses]`, times as `DDTHH:MM` of November 2026, UTC.
pub(super) fn json(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [id, account, amount, booked, received, reverses @ ..] = words.as_slice() else {
        return line.to_owned();
    };
    let reverses = reverses
        .first()
        .map_or(String::new(), |id| format!(",\"reverses\":\"{id}\""));
    format!(
        r#"{{"id":"{id}","source":"s","account":"{account}","amount":"{amount}","currency":"EUR","booked_at":"2026-11-{booked}:00Z","received_at":"2026-11-{received}:00Z"{reverses}}}"#
    )
}

/// Every batch is cut from the lines by an empty line; before each the engine is restored from its
/// changelog, so that a restart is part of every test.
async fn outcome(options: &AggregationOptions, text: &str) -> String {
    let mut log: Vec<Published> = Vec::new();
    let mut out = String::new();
    let mut offset = 0;
    for batch in text.split("\n\n") {
        let mut engine = engine_of(options, 1).await;
        restore(&mut engine, 0, &log);
        log.extend(engine.define(0).map(|(_, entry)| entry));
        let records: Vec<String> = batch.trim().lines().map(json).collect();
        let inputs: Vec<Input<'_>> = records
            .iter()
            .map(|record| {
                offset += 1;
                let appended: jiff::Timestamp = "2026-11-25T00:00:00Z".parse().expect("a time");
                Input {
                    partition: 0,
                    offset,
                    appended_at: appended.as_microsecond(),
                    value: record.as_bytes(),
                }
            })
            .collect();
        let mut changes = engine.process(&inputs).await.expect("processes");
        changes.results.sort_by(|a, b| a.key.cmp(&b.key));
        for result in &changes.results {
            out += &format!(
                "{}\n",
                String::from_utf8_lossy(result.value.as_deref().expect("a value"))
            );
        }
        for (_, offset, reason) in &changes.quarantined {
            out += &format!("quarantined {offset}: {reason}\n");
        }
        log.extend(changes.changelog.into_iter().map(|(_, entry)| entry));
        if text.ends_with(batch) {
            for ((_, day), counts) in engine.counts() {
                out += &format!("{day}: {counts:?}\n");
            }
            out += &format!(
                "rows {} identities {}\n",
                engine.rows(),
                engine.identities()
            );
        }
    }
    out
}

#[track_caller]
pub(super) fn check(options: &AggregationOptions, text: &str, expected: &Expect) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    expected.assert_eq(&runtime.block_on(outcome(options, text)));
}

#[test]
fn sums_go_on_over_batches_and_restarts() {
    check(
        &options(SUM),
        "t1 ann 1.50 23T10:00 23T10:00\nt2 bob 2 23T10:00 23T10:00\n\nt3 ann -0.25 23T11:00 23T11:00",
        &expect![[r#"
            {"v":[1,1],"day":"2026-11-23","deleted":false,"at":[0,2],"account":"ann","currency":"EUR","total":"1.50","transactions":1}
            {"v":[1,1],"day":"2026-11-23","deleted":false,"at":[0,2],"account":"bob","currency":"EUR","total":"2.00","transactions":1}
            {"v":[1,2],"day":"2026-11-23","deleted":false,"at":[0,3],"account":"ann","currency":"EUR","total":"1.25","transactions":2}
            2026-11-23: Counts { counted: 3, reversing: 0, duplicate: 0, late_corrected: 0, quarantined: 0 }
            rows 2 identities 3
        "#]],
    );
}

/// A topic of Kafka takes records of a megabyte, unless it is told otherwise.
#[tokio::test(flavor = "current_thread")]
async fn identities_of_a_large_batch_are_kept_in_records_that_kafka_takes() {
    let records = 2 * task::IDENTITIES_A_BLOCK + 1;
    let lines = (0..records).map(|number| json(&format!("t{number} ann 1 23T10:00 23T10:00")));
    let lines: Vec<String> = lines.collect();
    let inputs = |first: i64| -> Vec<Input<'_>> {
        let numbered = (first..).zip(&lines);
        let inputs = numbered.map(|(offset, line)| Input {
            partition: 0,
            offset,
            appended_at: 1_795_424_400_000_000,
            value: line.as_bytes(),
        });
        inputs.collect()
    };
    let options = options(SUM);
    let mut engine = engine_of(&options, 1).await;
    restore(&mut engine, 0, &[]);
    let mut log: Vec<Published> = engine
        .define(0)
        .map(|(_, entry)| entry)
        .into_iter()
        .collect();
    let changes = engine.process(&inputs(1)).await.expect("processes");
    log.extend(changes.changelog.into_iter().map(|(_, entry)| entry));
    let bytes = |entry: &Published| entry.value.as_ref().map_or(0, Vec::len);
    let largest = log.iter().map(bytes).max();
    assert_eq!(largest, Some(5 + 24 * task::IDENTITIES_A_BLOCK));
    let mut engine = engine_of(&options, 1).await;
    restore(&mut engine, 0, &log);
    assert_eq!(engine.identities(), records);
    let again = engine.process(&inputs(1 + records as i64)).await;
    assert_eq!(again.expect("processes").duplicates, records as u64);
}

#[test]
fn every_record_is_in_exactly_one_count() {
    check(
        &options(SUM),
        "t1 ann 1 23T10:00 23T10:00
t1 ann 1 23T10:00 23T10:05
t1 ann 2 23T10:00 23T10:06
t2 ann -1 23T10:00 23T10:07 t1
t3 ann 5 22T12:00 23T10:08
t4 ann 7 20T12:00 23T10:09
t5 ann 7 25T12:00 23T10:10
t6 ann 1e5 23T10:00 23T10:11
{}

t1 ann 1 23T10:00 23T11:00",
        &expect![[r#"
            {"v":[1,1],"day":"2026-11-22","deleted":false,"at":[0,5],"account":"ann","currency":"EUR","total":"5.00","transactions":1}
            {"v":[1,2],"day":"2026-11-23","deleted":false,"at":[0,5],"account":"ann","currency":"EUR","total":"0.00","transactions":2}
            quarantined 3: conflict: the same id came before with other content
            quarantined 6: too-late: its business day is no longer kept
            quarantined 7: future: booked_at is further ahead than future_max
            quarantined 8: unreadable: the field "amount" is not usable: the amount is not a plain decimal number such as -12.50 (no exponent, no grouping, no spaces)
            quarantined 9: unreadable: the field "id" is missing
            2026-11-22: Counts { counted: 0, reversing: 0, duplicate: 0, late_corrected: 1, quarantined: 0 }
            2026-11-23: Counts { counted: 1, reversing: 1, duplicate: 2, late_corrected: 0, quarantined: 3 }
            2026-11-25: Counts { counted: 0, reversing: 0, duplicate: 0, late_corrected: 0, quarantined: 2 }
            rows 2 identities 3
        "#]],
    );
}

#[test]
fn a_day_that_is_over_is_forgotten() {
    check(
        &options(SUM),
        "t1 ann 1 21T12:00 21T12:00\n\nt2 ann 1 22T12:00 22T12:00\n\nt3 ann 1 24T12:00 24T12:00",
        &expect![[r#"
            {"v":[1,1],"day":"2026-11-21","deleted":false,"at":[0,1],"account":"ann","currency":"EUR","total":"1.00","transactions":1}
            {"v":[1,1],"day":"2026-11-22","deleted":false,"at":[0,2],"account":"ann","currency":"EUR","total":"1.00","transactions":1}
            {"v":[1,1],"day":"2026-11-24","deleted":false,"at":[0,3],"account":"ann","currency":"EUR","total":"1.00","transactions":1}
            2026-11-21: Counts { counted: 1, reversing: 0, duplicate: 0, late_corrected: 0, quarantined: 0 }
            2026-11-22: Counts { counted: 1, reversing: 0, duplicate: 0, late_corrected: 0, quarantined: 0 }
            2026-11-24: Counts { counted: 1, reversing: 0, duplicate: 0, late_corrected: 0, quarantined: 0 }
            rows 1 identities 1
        "#]],
    );
}

#[test]
fn an_overflow_is_an_error_of_the_record_alone() {
    check(
        &options(
            "SELECT account, sum(amount * CAST(10000000000 AS DECIMAL(11,0))) AS total FROM transactions \
             GROUP BY business_day, account",
        ),
        "t1 ann 999999999999999999 23T10:00 23T10:00
t2 ann 1 23T10:00 23T10:00
t3 bob 999999999999999999 23T10:00 23T10:00",
        &expect![[r#"
            {"v":[1,1],"day":"2026-11-23","deleted":false,"at":[0,1],"account":"ann","total":"9999999999999999990000000000.00"}
            {"v":[1,1],"day":"2026-11-23","deleted":false,"at":[0,3],"account":"bob","total":"9999999999999999990000000000.00"}
            quarantined 2: not-computable: the SQL of the aggregation daily_totals: a sum leaves DECIMAL(33,5)
            2026-11-23: Counts { counted: 2, reversing: 0, duplicate: 0, late_corrected: 0, quarantined: 1 }
            rows 2 identities 3
        "#]],
    );
}

#[test]
fn with_all_days_kept_nothing_is_late() {
    let options = AggregationOptions {
        keep_days: None,
        ..options(SUM)
    };
    check(
        &options,
        "t1 ann 1 01T12:00 23T12:00\nt1 ann 1 01T12:00 23T12:00",
        &expect![[r#"
            {"v":[1,1],"day":"2026-11-01","deleted":false,"at":[0,1],"account":"ann","currency":"EUR","total":"1.00","transactions":1}
            2026-11-01: Counts { counted: 1, reversing: 0, duplicate: 1, late_corrected: 0, quarantined: 0 }
            rows 1 identities 1
        "#]],
    );
}

pub(super) async fn engine_of(options: &AggregationOptions, generation: u32) -> Engine {
    let definition = Definition {
        generation,
        fingerprint: fingerprint(options),
    };
    let engine = Engine::new(options.clone(), definition).await;
    engine.expect("compiles")
}

pub(super) fn restore(engine: &mut Engine, partition: i32, log: &[Published]) -> Restored {
    engine.begin_restore(partition);
    for entry in log {
        engine
            .restore(partition, &entry.key, entry.value.as_deref())
            .expect("restores");
    }
    engine.end_restore(partition).expect("not newer")
}

pub(super) fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(future)
}

pub(super) fn inputs(partition: i32, first: i64, records: &[String]) -> Vec<Input<'_>> {
    let appended: jiff::Timestamp = "2026-11-25T00:00:00Z".parse().expect("a time");
    let records = (first..).zip(records);
    let inputs = records.map(|(offset, record)| Input {
        partition,
        offset,
        appended_at: appended.as_microsecond(),
        value: record.as_bytes(),
    });
    inputs.collect()
}

/// What is left of a changelog when it is compacted.
fn compacted(log: &[Published]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut left = BTreeMap::new();
    for entry in log {
        match &entry.value {
            Some(value) => drop(left.insert(entry.key.clone(), value.clone())),
            None => drop(left.remove(&entry.key)),
        }
    }
    left
}

#[test]
fn a_state_of_a_newer_definition_is_refused() {
    run(async {
        let mut newer = engine_of(&options(SUM), 3).await;
        newer.begin_restore(0);
        let (_, entry) = newer.define(0).expect("not defined yet");
        assert_eq!(newer.define(0), None);
        let mut older = engine_of(&options(SUM), 2).await;
        older.begin_restore(0);
        older
            .restore(0, &entry.key, entry.value.as_deref())
            .expect("restores");
        let error = older.end_restore(0).expect_err("refuses");
        assert!(matches!(
            error,
            EngineError::Newer {
                ours: 2,
                theirs: 3,
                ..
            }
        ));
    });
}

#[test]
fn each_partition_has_a_state_of_its_own() {
    run(async {
        let mut engine = engine_of(&options(SUM), 1).await;
        for partition in [0, 1] {
            engine.begin_restore(partition);
        }
        // The clock of one partition is a day ahead: what is late there is not late here.
        let here = [json("t1 ann 1 23T10:00 23T10:00")];
        let there = [
            json("t2 bob 2 24T10:00 24T10:00"),
            json("t3 bob 1 22T10:00 24T10:00"),
        ];
        let mut batch = inputs(1, 7, &there);
        batch.extend(inputs(0, 3, &here));
        let changes = engine.process(&batch).await.expect("processes");
        assert_eq!(changes.quarantined, [(1, 8, Reason::TooLate)]);
        let partitions: std::collections::BTreeSet<i32> = changes
            .changelog
            .iter()
            .map(|(partition, _)| *partition)
            .collect();
        assert_eq!(partitions.into_iter().collect::<Vec<_>>(), [0, 1]);
        engine.give_up(1);
        assert_eq!(engine.rows(), 1);
        assert_eq!(engine.partitions().collect::<Vec<_>>(), [0]);
    });
}

/// The changelog holds nothing of days that are over: it does not grow with them.
#[test]
fn days_that_are_over_leave_the_changelog() {
    run(async {
        let mut engine = engine_of(&options(SUM), 1).await;
        engine.begin_restore(0);
        let mut log = Vec::new();
        for (offset, day) in (0..).zip(20..24) {
            let record = [json(&format!("t{day} ann 1 {day}T12:00 {day}T12:00"))];
            let changes = engine
                .process(&inputs(0, offset, &record))
                .await
                .expect("processes");
            log.extend(changes.changelog.into_iter().map(|(_, entry)| entry));
        }
        let left = compacted(&log);
        let of_kind = |kind: u8| left.keys().filter(|key| key[0] == kind).count();
        // Two days are kept; the counts are kept of all.
        assert_eq!((of_kind(b'r'), of_kind(b's'), of_kind(b'c')), (2, 2, 4));
    });
}

/// What a rebuild publishes is what counting by the new definition from the beginning has, and what the old one had is
/// taken away.
#[test]
fn a_new_definition_counts_the_kept_days_anew() {
    let records: Vec<String> = "t1 ann 1 22T10:00 22T10:00
t2 ann 2 23T10:00 23T10:00
t3 bob 4 23T10:00 23T10:01
t3 bob 4 23T10:00 23T10:02
t4 ann 8 20T10:00 23T10:03
t5 ann 16 22T11:00 23T10:04"
        .lines()
        .map(json)
        .collect();
    run(async {
        let mut old = engine_of(&options(SUM), 1).await;
        old.begin_restore(0);
        let mut log: Vec<Published> = Vec::new();
        log.extend(old.define(0).map(|(_, entry)| entry));
        let batch = inputs(0, 100, &records);
        let changes = old.process(&batch).await.expect("processes");
        log.extend(changes.changelog.into_iter().map(|(_, entry)| entry));

        let changed = AggregationOptions {
            sql: "SELECT account, max(amount) AS largest FROM transactions \
                  WHERE amount > 2 GROUP BY business_day, account"
                .to_owned(),
            reversals: false,
            ..options(SUM)
        };
        let mut new = engine_of(&changed, 2).await;
        assert_eq!(
            restore(&mut new, 0, &log),
            Restored::Older { generation: 1 }
        );
        let mut taken = new.begin_rebuild(0).expect("nothing is on disk");
        for key in compacted(&log).keys() {
            taken.note_key(key);
        }
        assert_eq!(taken.rows(), 3);
        new.replay(&batch).await.expect("replays");
        let mut changes = new.end_rebuild(0, &taken).expect("rebuilds");
        changes.results.sort_by(|a, b| a.key.cmp(&b.key));
        let results: String = changes
            .results
            .iter()
            .map(|result| {
                let value = result.value.as_deref().expect("a value");
                format!("{}\n", String::from_utf8_lossy(value))
            })
            .collect();
        expect![[r#"
            {"v":[2,2],"day":"2026-11-22","deleted":true,"account":"ann"}
            {"v":[2,1],"day":"2026-11-22","deleted":false,"at":[0,105],"account":"ann","largest":"16.00"}
            {"v":[2,1],"day":"2026-11-23","deleted":true,"account":"ann"}
            {"v":[2,1],"day":"2026-11-23","deleted":true,"account":"bob"}
            {"v":[2,1],"day":"2026-11-23","deleted":false,"at":[0,105],"account":"bob","largest":"4.00"}
        "#]].assert_eq(&results);
        log.extend(changes.changelog.into_iter().map(|(_, entry)| entry));

        // The changelog is now what one of the new definition alone would be.
        let mut again = engine_of(&changed, 2).await;
        assert_eq!(restore(&mut again, 0, &log), Restored::Current);
        assert_eq!((again.rows(), again.identities()), (new.rows(), 4));
        let same = |engine: &Engine| engine.counts().collect::<Vec<_>>();
        assert_eq!(same(&again), same(&old));
        let rows = compacted(&log);
        let rows = rows.keys().filter(|key| key[0] == b'r').count();
        assert_eq!(rows, new.rows());
        // And goes on as if nothing had been.
        let more = [
            json("t2 ann 2 23T10:00 23T11:00"),
            json("t6 ann 32 23T10:00 23T11:00"),
        ];
        let changes = again
            .process(&inputs(0, 106, &more))
            .await
            .expect("processes");
        assert_eq!((changes.duplicates, changes.results.len()), (1, 1));
    });
}

#[test]
fn the_second_stage_has_all_rows_when_all_partitions_have_published_their_parts() {
    run(async {
        let options = options(SUM);
        let engine = engine_of(&options, 2).await;
        let mut log: Vec<Published> = Vec::new();
        for (of, expected) in [(1, vec![]), (1, vec![]), (0, vec![5]), (0, vec![])] {
            // A restart behind each.
            let mut again = Totals::new(&options);
            again.begin_restore(5);
            for entry in &log {
                let restored = again.restore(5, &entry.key, entry.value.as_deref());
                restored.expect("restores");
            }
            let value = changelog::encode_complete(of, 2);
            let part = PartInput {
                partition: 5,
                offset: log.len() as i64,
                key: b"",
                value: &value,
            };
            let changes = again.process(&engine, &[part]).expect("folds");
            assert_eq!(changes.completes, expected, "{of}");
            assert!(changes.quarantined.is_empty());
            log.extend(changes.changelog.into_iter().map(|(_, entry)| entry));
        }
        assert_eq!(log.len(), 2, "once each");
    });
}

/// Monday to Friday, and the zone of a row in its field `zone`.
fn with_zones() -> AggregationOptions {
    let base = options(
        "SELECT account, sum(amount) AS total FROM transactions GROUP BY business_day, account",
    );
    let working = WorkingDays::of_week(&["mon", "tue", "wed", "thu", "fri"]).expect("weekdays");
    let input = Schema::canonical(&["merchant".to_owned(), "zone".to_owned()]);
    AggregationOptions {
        calendar: base
            .calendar
            .clone()
            .with_working_days(working)
            .expect("open"),
        zone_column: input.column("zone"),
        input,
        ..base
    }
}

fn in_zone(line: &str, zone: &str) -> String {
    let whole = json(line);
    let open = whole.strip_suffix('}').expect("an object");
    format!("{open},\"zone\":\"{zone}\"}}")
}

#[test]
fn what_falls_on_a_weekend_counts_to_the_next_business_day_and_business_days_are_kept() {
    let options = AggregationOptions {
        zone_column: None,
        ..with_zones()
    };
    // Saturday the 21st: today is Monday already, so Friday is late and Thursday is too late.
    check(
        &options,
        "t1 ann 1 21T12:00 21T12:00\nt2 ann 2 20T12:00 21T12:01\nt3 ann 4 19T12:00 21T12:02\n\n\
         t4 ann 8 23T12:00 23T12:00\n\nt5 ann 16 20T22:59 23T22:59\n\nt6 ann 32 20T22:59 23T23:00",
        &expect![[r#"
            {"v":[1,1],"day":"2026-11-20","deleted":false,"at":[0,2],"account":"ann","total":"2.00"}
            {"v":[1,1],"day":"2026-11-23","deleted":false,"at":[0,2],"account":"ann","total":"1.00"}
            quarantined 3: too-late: its business day is no longer kept
            {"v":[1,2],"day":"2026-11-23","deleted":false,"at":[0,4],"account":"ann","total":"9.00"}
            {"v":[1,2],"day":"2026-11-20","deleted":false,"at":[0,5],"account":"ann","total":"18.00"}
            quarantined 6: too-late: its business day is no longer kept
            2026-11-20: Counts { counted: 0, reversing: 0, duplicate: 0, late_corrected: 2, quarantined: 0 }
            2026-11-23: Counts { counted: 2, reversing: 0, duplicate: 0, late_corrected: 0, quarantined: 1 }
            2026-11-24: Counts { counted: 0, reversing: 0, duplicate: 0, late_corrected: 0, quarantined: 1 }
            rows 1 identities 2
        "#]],
    );
}

#[test]
fn a_row_has_the_day_and_the_today_of_its_own_zone() {
    let text = [
        // 23:30 on Monday in Zagreb, Monday afternoon in New York, Tuesday in Tokyo.
        json("t1 ann 1 23T22:30 23T22:30"),
        in_zone("t2 ann 2 23T22:30 23T22:30", "America/New_York"),
        in_zone("t3 ann 4 23T22:30 23T22:30", "Asia/Tokyo"),
        // For Tokyo Friday is no longer kept, as today is Tuesday there; elsewhere it is.
        in_zone("t4 ann 8 20T12:00 23T22:31", "Asia/Tokyo"),
        in_zone("t5 ann 16 20T12:00 23T22:31", "America/New_York"),
        in_zone("t6 ann 32 23T22:30 23T22:31", "Mars/Base"),
        in_zone("t7 ann 64 23T22:30 23T22:31", ""),
        // After midnight in Zagreb: Monday is late there, but not in New York.
        json("t8 bob 1 23T22:30 23T23:30"),
        in_zone("t9 bob 2 23T22:30 23T23:30", "america/new_york"),
    ];
    check(
        &with_zones(),
        &text.join("\n"),
        &expect![[r#"
        {"v":[1,1],"day":"2026-11-20","deleted":false,"at":[0,9],"account":"ann","total":"16.00"}
        {"v":[1,2],"day":"2026-11-23","deleted":false,"at":[0,9],"account":"ann","total":"3.00"}
        {"v":[1,2],"day":"2026-11-23","deleted":false,"at":[0,9],"account":"bob","total":"3.00"}
        {"v":[1,1],"day":"2026-11-24","deleted":false,"at":[0,9],"account":"ann","total":"4.00"}
        quarantined 4: too-late: its business day is no longer kept
        quarantined 6: zone: "Mars/Base" is no time zone of the IANA database
        quarantined 7: zone: "" is no time zone of the IANA database
        2026-11-20: Counts { counted: 0, reversing: 0, duplicate: 0, late_corrected: 1, quarantined: 0 }
        2026-11-23: Counts { counted: 3, reversing: 0, duplicate: 0, late_corrected: 1, quarantined: 2 }
        2026-11-24: Counts { counted: 1, reversing: 0, duplicate: 0, late_corrected: 0, quarantined: 1 }
        rows 4 identities 6
    "#]],
    );
}

#[test]
fn nothing_is_forgotten_while_a_zone_keeps_it() {
    // In Zagreb it is Wednesday, and Monday is over; in Midway it is Tuesday, and Monday is kept.
    let text = [
        in_zone("t1 ann 1 23T12:00 23T12:00", "Pacific/Midway"),
        String::new(),
        json("t2 ann 2 24T23:30 24T23:30"),
        String::new(),
        in_zone("t1 ann 1 23T12:00 23T12:00", "Pacific/Midway"),
        in_zone("t3 ann 4 23T12:00 24T23:31", "Pacific/Midway"),
        json("t4 ann 8 23T12:00 24T23:31"),
    ];
    check(
        &with_zones(),
        &text.join("\n"),
        &expect![[r#"
        {"v":[1,1],"day":"2026-11-23","deleted":false,"at":[0,1],"account":"ann","total":"1.00"}
        {"v":[1,1],"day":"2026-11-25","deleted":false,"at":[0,2],"account":"ann","total":"2.00"}
        {"v":[1,2],"day":"2026-11-23","deleted":false,"at":[0,4],"account":"ann","total":"5.00"}
        quarantined 5: too-late: its business day is no longer kept
        2026-11-23: Counts { counted: 1, reversing: 0, duplicate: 1, late_corrected: 1, quarantined: 0 }
        2026-11-25: Counts { counted: 1, reversing: 0, duplicate: 0, late_corrected: 0, quarantined: 1 }
        rows 2 identities 3
    "#]],
    );
}

#[test]
fn the_definition_has_the_calendar_and_the_time_zone_database() {
    let base = with_zones();
    let known = fingerprint(&base);
    let mut holiday = base.calendar.working_days().clone();
    holiday.add_holiday("2026-12-24").expect("a date");
    let calendar = base.calendar.clone();
    let others = [
        AggregationOptions {
            calendar: calendar.clone().with_working_days(holiday).expect("open"),
            ..base.clone()
        },
        AggregationOptions {
            calendar: calendar.in_zone("Europe/Vienna").expect("a zone"),
            ..base.clone()
        },
        AggregationOptions {
            zone_column: None,
            ..base.clone()
        },
    ];
    for other in others {
        assert_ne!(fingerprint(&other), known);
    }
    assert!(base.calendar.definition().contains(types::tzdata_version()));
}
