//! The business calendar of an aggregation, from its settings and its file of holidays.

use std::io::Read as _;
use std::path::Path;

use types::{BusinessCalendar, CalendarError, WorkingDays, report};

use crate::config::{AggregationConfig, Holiday};

/// Largest file of holidays, in bytes: 10,000 dates with comments.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Understands `zone`, `cut_off`, `working_days`, `holidays` and `holidays_file`, and reads the last.
///
/// `Err`: every mistake found, at least one, each with what to do.
pub(crate) fn of(config: &AggregationConfig) -> Result<BusinessCalendar, Vec<String>> {
    let mut mistakes = Vec::new();
    let mut note = |error: CalendarError| mistakes.push(report(&error));
    let calendar = BusinessCalendar::new(&config.zone, &config.cut_off);
    let calendar = calendar.map_err(&mut note).ok();
    let working = match &config.working_days {
        None => Ok(WorkingDays::default()),
        Some(weekdays) => WorkingDays::of_week(weekdays),
    };
    let mut working = working.map_err(&mut note).unwrap_or_default();
    for holiday in &config.holidays {
        let added = match holiday {
            Holiday::Text(text) => working.add_holiday(text),
            Holiday::Date(date) => working.add_holiday(&date.to_string()),
        };
        let _ = added.map_err(&mut note);
    }
    if let Some(path) = &config.holidays_file
        && let Err(mistake) = add_file(&mut working, path)
    {
        mistakes.push(format!("`holidays_file` {}: {mistake}", path.display()));
    }
    match calendar.filter(|_| mistakes.is_empty()) {
        Some(calendar) => calendar
            .with_working_days(working)
            .map_err(|error| vec![report(&error)]),
        None => Err(mistakes),
    }
}

fn add_file(working: &mut WorkingDays, path: &Path) -> Result<(), String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| format!("cannot be opened: {error}"))?;
    let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
    let bytes = read.map_err(|error| format!("cannot be read: {error}"))?;
    if bytes as u64 > FILE_BYTES_MAX {
        return Err(format!(
            "is longer than {FILE_BYTES_MAX} bytes; remove past holidays"
        ));
    }
    working
        .add_holiday_lines(&text)
        .map_err(|error| report(&error))
}
