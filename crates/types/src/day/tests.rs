//! The rule of the day in a few zones; `tests/` has the systematic comparison.

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

fn micros(text: &str) -> Micros {
    let at: Timestamp = text.parse().expect("a timestamp");
    at.as_microsecond()
}

#[track_caller]
fn check(zone: &str, cut_off: &str, at: &str, expected: &str) {
    let calendar = BusinessCalendar::new(zone, cut_off).expect("a calendar");
    let day = calendar.day_of(micros(at)).expect("in range");
    assert_eq!(day.to_string(), expected, "{at} in {zone} from {cut_off}");
}

#[test]
fn the_day_is_local_not_utc() {
    check(
        "Europe/Zagreb",
        "00:00",
        "2026-11-22T22:59:59Z",
        "2026-11-22",
    );
    check(
        "Europe/Zagreb",
        "00:00",
        "2026-11-22T23:00:00Z",
        "2026-11-23",
    );
    check(
        "America/New_York",
        "00:00",
        "2026-11-23T04:59:59Z",
        "2026-11-22",
    );
    check(
        "Asia/Kathmandu",
        "00:00",
        "2026-11-22T18:15:00Z",
        "2026-11-23",
    );
}

#[test]
fn a_cut_off_moves_the_beginning_of_the_day() {
    check(
        "Europe/Zagreb",
        "17:30",
        "2026-11-23T16:29:59Z",
        "2026-11-22",
    );
    check(
        "Europe/Zagreb",
        "17:30",
        "2026-11-23T16:30:00Z",
        "2026-11-23",
    );
}

#[test]
fn days_have_23_or_25_hours_when_clocks_change() {
    let calendar = BusinessCalendar::new("Europe/Zagreb", "00:00").expect("a calendar");
    let hours = |day: &str| {
        let day: BusinessDay = day.parse().expect("a date");
        let length = calendar.start(day.plus_days(1)).expect("in range")
            - calendar.start(day).expect("in range");
        length / 3_600_000_000
    };
    assert_eq!(hours("2026-03-29"), 23);
    assert_eq!(hours("2026-10-25"), 25);
    assert_eq!(hours("2026-11-23"), 24);
}

#[test]
fn a_cut_off_inside_the_skipped_hour_begins_behind_the_gap() {
    // 02:00 to 03:00 does not exist on 2026-03-29 in Zagreb.
    check(
        "Europe/Zagreb",
        "02:30",
        "2026-03-29T00:59:59Z",
        "2026-03-28",
    );
    check(
        "Europe/Zagreb",
        "02:30",
        "2026-03-29T01:00:00Z",
        "2026-03-29",
    );
}

#[test]
fn a_cut_off_that_comes_twice_counts_the_first_time() {
    // 02:30 comes at 00:30Z and again at 01:30Z on 2026-10-25 in Zagreb.
    check(
        "Europe/Zagreb",
        "02:30",
        "2026-10-25T00:29:59Z",
        "2026-10-24",
    );
    check(
        "Europe/Zagreb",
        "02:30",
        "2026-10-25T00:30:00Z",
        "2026-10-25",
    );
    check(
        "Europe/Zagreb",
        "02:30",
        "2026-10-25T01:15:00Z",
        "2026-10-25",
    );
}

#[test]
fn midnight_that_does_not_exist_begins_the_day_behind_the_gap() {
    // Clocks in Santiago went from 00:00 to 01:00 on 2024-09-08.
    check(
        "America/Santiago",
        "00:00",
        "2024-09-08T03:59:59Z",
        "2024-09-07",
    );
    check(
        "America/Santiago",
        "00:00",
        "2024-09-08T04:00:00Z",
        "2024-09-08",
    );
}

#[test]
fn epoch_days_go_both_ways() {
    for text in ["1970-01-01", "1900-01-01", "2026-11-23", "2100-12-31"] {
        let day: BusinessDay = text.parse().expect("a date");
        assert_eq!(BusinessDay::from_epoch_days(day.epoch_days()), Some(day));
    }
    let day: BusinessDay = "1970-01-02".parse().expect("a date");
    assert_eq!(day.epoch_days(), 1);
}

proptest! {
    #[test]
    fn the_cache_changes_nothing_and_days_are_monotone(
        mut instants in prop::collection::vec(-2_000_000_000_i64..4_000_000_000, 1..40),
    ) {
        let calendar = BusinessCalendar::new("Europe/Zagreb", "00:00").expect("a calendar");
        let mut cache = DayCache::new(calendar.clone());
        for at in &instants {
            prop_assert_eq!(cache.day_of(at * 1_000_000), calendar.day_of(at * 1_000_000));
        }
        instants.sort_unstable();
        let days: Vec<_> = instants.iter().map(|at| calendar.day_of(at * 1_000_000)).collect();
        prop_assert!(days.is_sorted());
    }
}
