//! Executes the tables of `docs/specs/business-day.md`.
#![allow(missing_docs)]

use std::collections::HashMap;
use std::path::Path;

use jiff::Timestamp;
use types::{BusinessCalendar, BusinessDay, DayCache, Micros, WorkingDays, ZonedDays};

type Row = HashMap<String, String>;

/// Rows of every table that has the column, by column.
fn rows(column: &str) -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/specs/business-day.md");
    let text = std::fs::read_to_string(path).expect("reads");
    let mut found = Vec::new();
    let mut header: Option<Vec<&str>> = None;
    for line in text.lines() {
        let Some(line) = line.strip_prefix('|') else {
            header = None;
            continue;
        };
        let line = line.trim_end().strip_suffix('|').expect("a whole row");
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        match &header {
            None => header = Some(cells),
            Some(_) if cells.iter().all(|cell| *cell == "---") => {}
            Some(names) => {
                assert_eq!(names.len(), cells.len(), "{line}");
                let pairs = names.iter().zip(cells);
                let row: Row = pairs
                    .map(|(name, cell)| ((*name).to_owned(), cell.to_owned()))
                    .collect();
                if row.contains_key(column) {
                    found.push(row);
                }
            }
        }
    }
    found
}

fn calendar(row: &Row) -> BusinessCalendar {
    let words = |column: &str| -> Vec<&str> {
        let cell = row[column].as_str();
        if cell == "-" {
            Vec::new()
        } else {
            cell.split(' ').collect()
        }
    };
    let weekdays = words("Working days");
    let mut working = match weekdays.is_empty() {
        true => WorkingDays::default(),
        false => WorkingDays::of_week(&weekdays).expect("weekdays"),
    };
    for holiday in words("Holidays") {
        working.add_holiday(holiday).expect("a holiday");
    }
    let calendar = BusinessCalendar::new(&row["Zone"], &row["Cut-off"]).expect("a calendar");
    calendar.with_working_days(working).expect("open")
}

fn instant(text: &str) -> Micros {
    let at: Timestamp = text.parse().expect("an instant");
    at.as_microsecond()
}

fn day(text: &str) -> BusinessDay {
    text.parse().expect("a date")
}

#[test]
fn instants_have_the_day_that_the_specification_says() {
    let rows = rows("Instant");
    assert!(rows.len() > 25, "the table was not found");
    for row in rows {
        let (at, expected) = (instant(&row["Instant"]), day(&row["Business day"]));
        let calendar = calendar(&row);
        assert_eq!(calendar.day_of(at), Some(expected), "{row:?}");
        assert_eq!(
            DayCache::new(calendar.clone()).day_of(at),
            Some(expected),
            "{row:?}"
        );
        // The same zone named by the row.
        let elsewhere = calendar.in_zone("Asia/Tokyo").expect("a zone");
        let mut zoned = ZonedDays::new(elsewhere);
        let days = zoned.zone(Some(&row["Zone"])).expect("a zone");
        assert_eq!(days.day_of(at), Some(expected), "{row:?}");
    }
}

#[test]
fn days_have_the_bounds_that_the_specification_says() {
    let rows = rows("Start");
    assert!(rows.len() > 5, "the table was not found");
    for row in rows {
        let (day, calendar) = (day(&row["Day"]), calendar(&row));
        let (start, end) = (instant(&row["Start"]), instant(&row["End"]));
        assert!(calendar.is_business_day(day), "{row:?}");
        assert_eq!(calendar.start(day), Some(start), "{row:?}");
        assert_eq!(calendar.end(day), Some(end), "{row:?}");
        assert_eq!(
            calendar.next(day).and_then(|next| calendar.start(next)),
            Some(end)
        );
        let minutes = (end - start) / 60_000_000;
        let (hours, half) = row["Hours"].split_once('.').unwrap_or((&row["Hours"], "0"));
        let hours: i64 = hours.parse().expect("hours");
        assert_eq!(
            minutes,
            hours * 60 + if half == "5" { 30 } else { 0 },
            "{row:?}"
        );
    }
}

#[test]
fn the_days_that_are_kept_are_those_of_the_specification() {
    let rows = rows("First kept");
    assert!(rows.len() > 3, "the table was not found");
    for row in rows {
        let (today, first) = (day(&row["Today"]), day(&row["First kept"]));
        let keep: u16 = row["keep_days"].parse().expect("days");
        let mut days = DayCache::new(calendar(&row));
        for _ in 0..2 {
            assert_eq!(days.first_kept(today, keep), first, "{row:?}");
        }
        let start = days.calendar().start(today).expect("in range");
        let anywhere = ZonedDays::new(days.calendar().clone()).first_kept_anywhere(start, keep);
        assert!(anywhere.expect("in range") < first, "{row:?}");
    }
}
