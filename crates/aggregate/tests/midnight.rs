//! 20,000 transactions a second over the end of a business day, also where clocks change: each is in exactly one day, the right one,
//! as another library computes it. Time is the records' own; nothing reads a clock.
//!
//! Six seconds around each moment; a minute with `TRIALS=full`.
#![allow(missing_docs, clippy::print_stdout)]

use std::collections::BTreeMap;

use aggregate::{AggregationOptions, Definition, Engine, Input, fingerprint};
use chrono::{DateTime, Days, LocalResult, NaiveDate, NaiveTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;

const RATE: i64 = 20_000;
const SECOND: i64 = 1_000_000;
/// One in so many was booked before it is sent, by up to three seconds.
const DELAYED: u64 = 16;

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// The first instant at which clocks in the zone show the cut-off of a date, or a later time.
fn begin(zone: Tz, date: NaiveDate, cut_off: NaiveTime) -> DateTime<Utc> {
    let mut local = date.and_time(cut_off);
    loop {
        match zone.from_local_datetime(&local) {
            LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => {
                return at.with_timezone(&Utc);
            }
            // Clocks skip it.
            LocalResult::None => local += TimeDelta::minutes(1),
        }
    }
}

/// The day of an instant: the last one that has begun.
fn day_of(zone: Tz, cut_off: NaiveTime, at: i64) -> NaiveDate {
    let instant = DateTime::from_timestamp_micros(at).expect("in range");
    let near = instant.date_naive();
    let candidates = [
        near.succ_opt(),
        Some(near),
        near.pred_opt(),
        near.checked_sub_days(Days::new(2)),
    ];
    let mut candidates = candidates.into_iter().flatten();
    let found = candidates.find(|date| begin(zone, *date, cut_off) <= instant);
    found.expect("a day has begun")
}

fn options(zone: &str, cut_off: &str) -> AggregationOptions {
    let sql = "SELECT account, sum(amount) AS total, count(*) AS transactions \
               FROM transactions GROUP BY business_day, account";
    AggregationOptions {
        future_max_micros: SECOND,
        clock_skew_max_micros: SECOND,
        ..AggregationOptions::new("totals", sql, zone, cut_off).expect("a calendar")
    }
}

/// Transactions by day, as counted and as they must be. `moment`: in the middle of it all.
async fn trial(zone: &str, cut_off: &str, moment: &str) {
    let seconds = match std::env::var("TRIALS").is_ok_and(|wanted| wanted == "full") {
        true => 60,
        false => 6,
    };
    let moment: DateTime<Utc> = moment.parse().expect("a time");
    let first = moment.timestamp_micros() - seconds * SECOND / 2;
    let tz: Tz = zone.parse().expect("a zone");
    let cut: NaiveTime = cut_off.parse().expect("a time of day");
    let options = options(zone, cut_off);
    let definition = Definition {
        generation: 1,
        fingerprint: fingerprint(&options),
    };
    let mut engine = Engine::new(options, definition).await.expect("compiles");
    engine.begin_restore(0);
    engine.end_restore(0).expect("nothing there");

    let mut dice = Dice(0x5DEE_CE66_D1CE_4E5B ^ moment.timestamp().unsigned_abs());
    let mut expected = BTreeMap::<NaiveDate, u64>::new();
    let mut rows = BTreeMap::<Vec<u8>, serde_json::Value>::new();
    let (mut number, all) = (0, seconds * RATE);
    while number < all {
        let batch = i64::try_from(1 + dice.below(4_000)).expect("small");
        let batch = batch.min(all - number);
        let lines: Vec<(i64, String)> = (number..number + batch)
            .map(|number| {
                let received = first + number * SECOND / RATE;
                let delay = match dice.below(DELAYED) {
                    0 => i64::try_from(dice.below(3_000_000)).expect("small"),
                    _ => 0,
                };
                let booked = received - delay;
                *expected.entry(day_of(tz, cut, booked)).or_default() += 1;
                let time = |at| {
                    let at = DateTime::from_timestamp_micros(at).expect("in range");
                    at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
                };
                let line = format!(
                    r#"{{"id":"{number}","account":"{}","amount":"1.00","currency":"EUR","booked_at":"{}","received_at":"{}"}}"#,
                    number % 97,
                    time(booked),
                    time(received)
                );
                (received, line)
            })
            .collect();
        let inputs: Vec<Input<'_>> = (number..)
            .zip(&lines)
            .map(|(offset, (received, line))| Input {
                partition: 0,
                offset,
                appended_at: *received,
                value: line.as_bytes(),
            })
            .collect();
        let changes = engine.process(&inputs).await.expect("processes");
        assert!(changes.quarantined.is_empty(), "{:?}", changes.quarantined);
        for result in changes.results {
            let row = serde_json::from_slice(&result.value.expect("a row")).expect("JSON");
            rows.insert(result.key, row);
        }
        number += batch;
    }
    let mut found = BTreeMap::<NaiveDate, u64>::new();
    for row in rows.values() {
        let day: NaiveDate = row["day"].as_str().expect("a day").parse().expect("a date");
        let count = row["transactions"].as_u64().expect("a count");
        assert_eq!(row["total"], format!("{count}.00"));
        *found.entry(day).or_default() += count;
    }
    assert_eq!(found, expected, "{zone} {cut_off} {moment}");
    assert_eq!(found.values().sum::<u64>(), all.unsigned_abs());
    println!("{zone}, {cut_off}: {found:?}");
}

#[tokio::test]
async fn every_transaction_is_in_its_day() {
    for (zone, cut_off, moment) in [
        // An ordinary midnight, and a cut-off in the afternoon.
        ("Europe/Zagreb", "00:00", "2026-11-23T23:00:00Z"),
        ("America/New_York", "17:30", "2026-11-23T22:30:00Z"),
        // Clocks go from 02:00 to 03:00: the change itself, midnight of that day, and a cut-off that they skip.
        ("Europe/Zagreb", "00:00", "2026-03-29T01:00:00Z"),
        ("Europe/Zagreb", "00:00", "2026-03-29T22:00:00Z"),
        ("Europe/Zagreb", "02:30", "2026-03-29T01:00:00Z"),
        // Clocks go from 03:00 back to 02:00: the change, and a cut-off that they show twice, both times.
        ("Europe/Zagreb", "00:00", "2026-10-25T01:00:00Z"),
        ("Europe/Zagreb", "02:30", "2026-10-25T00:30:00Z"),
        ("Europe/Zagreb", "02:30", "2026-10-25T01:30:00Z"),
        // Midnight is what they skip.
        ("America/Santiago", "00:00", "2026-09-06T04:00:00Z"),
    ] {
        trial(zone, cut_off, moment).await;
    }
}
