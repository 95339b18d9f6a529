//! What a day's rows added up to, minute by minute, and how that is written down for all replicas.
//!
//! A record of the topic `__daybook_curve` is what a day came to at the end of a minute. Values are absolute and
//! the key names the minute, so any replica may write it, twice or late: the last one holds, for all.
//!
//! ```text
//! key    ["daily_totals","2026-11-23",29924640]           minutes since 1970
//! value  {"columns":["total","transactions"],"groups":[{"name":"EUR","rows":3,"sums":["12.50","7"]}]}
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use types::{BusinessCalendar, BusinessDay, Micros};

use crate::api::{self, Group};
use crate::series::{Minute, millis_of, minute_of};

/// Most groups of a point: those with most rows.
pub(crate) const GROUPS_MAX: usize = 16;
/// Days that are kept in memory: the same day last week, and today.
pub(crate) const DAYS_MAX: usize = 9;
/// Most points of a day: business days last over weekends and holidays, longer ones lose their beginning.
pub(crate) const MINUTES_MAX: usize = 5 * 24 * 60;

/// What a day came to at the end of a minute.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Point {
    pub(crate) aggregation: String,
    pub(crate) day: BusinessDay,
    pub(crate) minute: Minute,
    pub(crate) columns: Vec<String>,
    pub(crate) groups: Vec<Group>,
}

#[derive(Serialize, Deserialize)]
struct Value {
    columns: Vec<String>,
    groups: Vec<Group>,
}

impl Point {
    pub(crate) fn key(&self) -> String {
        let key = (&self.aggregation, self.day.to_string(), self.minute);
        // Plain values: serialising them cannot fail.
        serde_json::to_string(&key).unwrap_or_default()
    }

    pub(crate) fn value(&self) -> String {
        let value = Value {
            columns: self.columns.clone(),
            groups: self.groups.clone(),
        };
        serde_json::to_string(&value).unwrap_or_default()
    }

    /// `None`: it is no such record.
    pub(crate) fn parse(key: &[u8], value: &[u8]) -> Option<Self> {
        let (aggregation, day, minute): (String, String, Minute) =
            serde_json::from_slice(key).ok()?;
        let value: Value = serde_json::from_slice(value).ok()?;
        Some(Self {
            aggregation,
            day: day.parse().ok()?,
            minute,
            columns: value.columns,
            groups: value.groups,
        })
    }
}

/// The curves of an aggregation's days.
#[derive(Debug)]
pub(crate) struct Curves {
    aggregation: String,
    columns: Vec<String>,
    days: BTreeMap<BusinessDay, BTreeMap<Minute, Vec<Group>>>,
    /// The minute that is not over yet, and what the days in view come to in it.
    minute: Minute,
    open: BTreeMap<BusinessDay, Vec<Group>>,
    /// What was written down last.
    closed: BTreeMap<BusinessDay, Vec<Group>>,
}

impl Curves {
    pub(crate) fn new(aggregation: &str, columns: &[String]) -> Self {
        Self {
            aggregation: aggregation.to_owned(),
            columns: columns.to_vec(),
            days: BTreeMap::new(),
            minute: 0,
            open: BTreeMap::new(),
            closed: BTreeMap::new(),
        }
    }

    /// Takes what the days in view come to now. When a minute is over: the points that are to be written down.
    pub(crate) fn tick(
        &mut self,
        calendar: &BusinessCalendar,
        now: Micros,
        days: BTreeMap<BusinessDay, Vec<Group>>,
    ) -> Vec<Point> {
        let minute = minute_of(now);
        let over = std::mem::replace(&mut self.minute, minute);
        let open = std::mem::replace(&mut self.open, days);
        if over == minute {
            return Vec::new();
        }
        let mut points = Vec::new();
        for (day, groups) in open {
            if self.closed.get(&day) == Some(&groups) {
                continue;
            }
            self.closed.insert(day, groups.clone());
            let point = Point {
                aggregation: self.aggregation.clone(),
                day,
                minute: within(calendar, day, over),
                columns: self.columns.clone(),
                groups,
            };
            self.put(&point);
            points.push(point);
        }
        let oldest = self.open.keys().next().copied();
        self.closed.retain(|day, _| Some(*day) >= oldest);
        points
    }

    /// Takes a point that was written down, here or elsewhere.
    pub(crate) fn put(&mut self, point: &Point) {
        let place = |column: &String| point.columns.iter().position(|known| known == column);
        let places: Vec<Option<usize>> = self.columns.iter().map(place).collect();
        let group = |group: &Group| {
            let sum = |place: &Option<usize>| group.sums.get((*place)?)?.clone();
            Group {
                name: group.name.clone(),
                rows: group.rows,
                sums: places.iter().map(sum).collect(),
            }
        };
        let groups = point.groups.iter().take(GROUPS_MAX).map(group).collect();
        let day = self.days.entry(point.day).or_default();
        day.insert(point.minute, groups);
        if day.len() > MINUTES_MAX {
            day.pop_first();
        }
        if self.days.len() > DAYS_MAX {
            self.days.pop_first();
        }
    }

    /// The day's curve until now.
    pub(crate) fn curve(&self, calendar: &BusinessCalendar, day: BusinessDay) -> api::Curve {
        let open = self.open.get(&day);
        let open = open.map(|groups| (within(calendar, day, self.minute), groups));
        let known = self.days.get(&day).into_iter().flatten();
        let known = known.map(|(minute, groups)| (*minute, groups));
        // The minute that is not over stands for itself.
        let last = open.as_ref().map(|(minute, _)| *minute);
        let known = known.filter(|(minute, _)| Some(*minute) != last);
        let mut curves: BTreeMap<Option<String>, Vec<api::CurvePoint>> = BTreeMap::new();
        for (minute, groups) in known.chain(open) {
            for group in groups {
                let point = api::CurvePoint(millis_of(minute), group.sums.clone());
                curves.entry(group.name.clone()).or_default().push(point);
            }
        }
        api::Curve {
            day: day.to_string(),
            starts_at: calendar.start(day).unwrap_or_default(),
            ends_at: calendar.end(day).unwrap_or_default(),
            columns: self.columns.clone(),
            groups: curves
                .into_iter()
                .map(|(name, points)| api::CurveGroup { name, points })
                .collect(),
        }
    }
}

/// The minute, or the first or last one of the day: late ones count to its end, early ones to its beginning.
fn within(calendar: &BusinessCalendar, day: BusinessDay, minute: Minute) -> Minute {
    let first = calendar.start(day).map_or(0, minute_of);
    let last = calendar
        .end(day)
        .map_or(Minute::MAX, |end| minute_of(end - 1));
    minute.max(first).min(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar() -> BusinessCalendar {
        BusinessCalendar::new("Europe/Zagreb", "00:00").expect("a zone")
    }

    fn day(text: &str) -> BusinessDay {
        text.parse().expect("a day")
    }

    fn groups(total: &str) -> Vec<Group> {
        vec![Group {
            name: Some("EUR".to_owned()),
            rows: 1,
            sums: vec![Some(total.to_owned())],
        }]
    }

    fn curves() -> Curves {
        Curves::new("daily_totals", &["total".to_owned()])
    }

    fn shown(curve: &api::Curve) -> Vec<String> {
        let text = |group: &api::CurveGroup| {
            let points = group.points.iter();
            let points = points.map(|api::CurvePoint(at, sums)| {
                format!(
                    "{}: {}",
                    (at * 1000 - curve.starts_at) / 60_000_000,
                    sums[0].as_deref().unwrap_or("-")
                )
            });
            points.collect::<Vec<_>>()
        };
        curve.groups.iter().flat_map(text).collect()
    }

    #[test]
    fn a_minute_is_written_down_when_it_is_over_and_something_changed() {
        let (calendar, today) = (calendar(), day("2026-11-23"));
        let start = calendar.start(today).expect("in range");
        let mut curves = curves();
        let mut tick = |second: i64, total: &str| {
            let days = BTreeMap::from([(today, groups(total))]);
            let points = curves.tick(&calendar, start + second * 1_000_000, days);
            let minute = |point: &Point| point.minute - minute_of(start);
            let text = |point: &Point| format!("{} {:?}", minute(point), point.groups[0].sums[0]);
            points.iter().map(text).collect::<Vec<_>>()
        };
        assert_eq!(tick(1, "1.00"), [""; 0]);
        assert_eq!(tick(59, "2.00"), [""; 0]);
        assert_eq!(tick(61, "3.00"), ["0 Some(\"2.00\")"]);
        assert_eq!(tick(121, "3.00"), ["1 Some(\"3.00\")"]);
        assert_eq!(tick(181, "3.00"), [""; 0], "nothing changed");
        assert_eq!(tick(601, "4.00"), [""; 0]);
        let curve = curves.curve(&calendar, today);
        assert_eq!(shown(&curve), ["0: 2.00", "1: 3.00", "10: 4.00"]);
        assert_eq!(curve.ends_at - curve.starts_at, 24 * 3_600_000_000);
    }

    #[test]
    fn late_ones_count_to_the_end_of_their_day_and_a_day_may_have_25_hours() {
        let (calendar, past) = (calendar(), day("2026-10-25"));
        let end = calendar.end(past).expect("in range");
        let mut curves = curves();
        for (hours, total) in [(1, "5.00"), (2, "6.00"), (3, "6.00")] {
            let days = BTreeMap::from([(past, groups(total))]);
            curves.tick(&calendar, end + hours * 3_600_000_000, days);
        }
        let curve = curves.curve(&calendar, past);
        assert_eq!(curve.ends_at - curve.starts_at, 25 * 3_600_000_000);
        assert_eq!(shown(&curve), [format!("{}: 6.00", 25 * 60 - 1)]);
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_the_last_one_holds() {
        let point = |total: &str| Point {
            aggregation: "daily_totals".to_owned(),
            day: day("2026-11-23"),
            minute: 29_924_640,
            columns: vec!["gone".to_owned(), "total".to_owned()],
            groups: vec![Group {
                name: None,
                rows: 3,
                sums: vec![Some("9".to_owned()), Some(total.to_owned())],
            }],
        };
        let first = point("1.00");
        assert_eq!(first.key(), r#"["daily_totals","2026-11-23",29924640]"#);
        let read = Point::parse(first.key().as_bytes(), first.value().as_bytes());
        assert_eq!(read.as_ref(), Some(&first));
        assert_eq!(Point::parse(b"[]", b"{}"), None);
        let mut curves = curves();
        for point in [first, point("2.00"), point("2.00")] {
            curves.put(&point);
        }
        let curve = curves.curve(&calendar(), day("2026-11-23"));
        assert_eq!(curve.groups[0].points[0].1, [Some("2.00".to_owned())]);
        assert_eq!(curve.groups[0].points.len(), 1);
    }

    #[test]
    fn days_minutes_and_groups_are_bounded() {
        let mut curves = curves();
        let first = day("2026-11-01");
        let mut point = Point {
            aggregation: "daily_totals".to_owned(),
            day: first,
            minute: 0,
            columns: vec!["total".to_owned()],
            groups: vec![groups("1.00").remove(0); GROUPS_MAX + 1],
        };
        for minute in 0..=MINUTES_MAX {
            point.minute = minute as Minute;
            curves.put(&point);
        }
        let known = &curves.days[&first];
        assert_eq!((known.len(), known.keys().next()), (MINUTES_MAX, Some(&1)));
        assert_eq!(known[&1].len(), GROUPS_MAX);
        for later in 0..=DAYS_MAX {
            point.day = first.plus_days(later as i32);
            curves.put(&point);
        }
        assert_eq!(curves.days.len(), DAYS_MAX);
        assert!(!curves.days.contains_key(&first));
    }
}
