//! Records in, changes and counts out.

use expect_test::{Expect, expect};
use types::{BusinessCalendar, WorkingDays};

use super::*;
use crate::options::Late;

const HOUR: i64 = 3_600_000_000;

fn options(sql: &str) -> AggregationOptions {
    AggregationOptions {
        name: "daily_totals".to_owned(),
        sql: sql.to_owned(),
        zone: "Europe/Zagreb".to_owned(),
        cut_off: "00:00".to_owned(),
        calendar: BusinessCalendar::new("Europe/Zagreb", "00:00").expect("a calendar"),
        zone_column: None,
        keep_days: Some(2),
        late: Late::Correct,
        future_max_micros: 24 * HOUR,
        clock_skew_max_micros: HOUR,
        text_columns: Vec::new(),
        batch_records_max: 100,
    }
}

const SUM: &str = "SELECT account, currency, sum(amount) AS total, count(*) AS transactions \
                   FROM transactions GROUP BY business_day, account, currency";

/// `id account amount booked received [reverses]`, times as `DDTHH:MM` of November 2026, UTC.
fn json(line: &str) -> String {
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
        let mut engine = Engine::new(options.clone()).await.expect("compiles");
        for entry in &log {
            engine
                .restore(&entry.key, entry.value.as_deref())
                .expect("restores");
        }
        engine.restored();
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
        log.extend(changes.changelog);
        if text.ends_with(batch) {
            for (day, counts) in engine.counts() {
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
fn check(options: &AggregationOptions, text: &str, expected: &Expect) {
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
            quarantined 9: unreadable: the field "account" is missing
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

#[test]
fn a_changed_definition_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut first = Engine::new(options(SUM)).await.expect("compiles");
        let changes = first.process(&[]).await.expect("processes");
        let mut other = options(SUM);
        other.sql = SUM.replace("currency, sum", "sum");
        let mut second = Engine::new(other).await.expect("compiles");
        let entry = &changes.changelog[0];
        let error = second
            .restore(&entry.key, entry.value.as_deref())
            .expect_err("refuses");
        assert!(matches!(error, EngineError::Definition { .. }));
    });
}

/// Monday to Friday, and the zone of a row in its field `zone`.
fn with_zones() -> AggregationOptions {
    let base = options(
        "SELECT account, sum(amount) AS total FROM transactions GROUP BY business_day, account",
    );
    let working = WorkingDays::of_week(&["mon", "tue", "wed", "thu", "fri"]).expect("weekdays");
    AggregationOptions {
        calendar: base
            .calendar
            .clone()
            .with_working_days(working)
            .expect("open"),
        text_columns: vec!["merchant".to_owned(), "zone".to_owned()],
        zone_column: Some(1),
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
    let known = definition_fingerprint(&base);
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
        assert_ne!(definition_fingerprint(&other), known);
    }
    assert!(base.calendar.definition().contains(types::tzdata_version()));
}
