//! `daybook totals`: the totals as they were at a moment, counted again from the log.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use aggregate::AggregationOptions;
use anyhow::Context as _;
use inspect::{Replay, replay};
use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use kafka_client::Cluster;
use pipeline::{Plan, log_cluster};
use serde_json::Value;
use sql::ResultTable;
use types::BusinessDay;

use super::query::print;
use crate::cli::{Global, TotalsArgs};

pub(crate) async fn run(global: &Global, args: TotalsArgs) -> anyhow::Result<ExitCode> {
    let plan = global.plan().await?;
    let cluster = log_cluster(&plan.config().log, &global.data_dir)?;
    let options = aggregation(&plan, args.aggregation.as_deref())?;
    let at = match &args.at {
        None => Timestamp::now(),
        Some(text) => moment(text, &options.zone, &Timestamp::now())?,
    };
    let day = match &args.day {
        Some(text) => text.parse()?,
        None => options
            .calendar
            .day_of(at.as_microsecond())
            .context("the moment is outside the calendar")?,
    };
    let mut replays = [Replay::new(options, partitions(&cluster, &options.input.topic)?, 1).await?];
    let until = Some(at.as_microsecond());
    let counted = replay(
        &cluster,
        &mut replays,
        until,
        |_| false,
        |_, _, _, _| (),
        bar(),
    );
    counted.await.context("is `daybook up` running?")?;
    let [replayed] = replays;
    let columns = replayed.columns();
    let table = table(columns, replayed.rows.into_values(), day);
    print(&table, args.format)?;
    Ok(ExitCode::SUCCESS)
}

/// The aggregation of this name; the first one without.
pub(super) fn aggregation<'p>(
    plan: &'p Plan,
    name: Option<&str>,
) -> anyhow::Result<&'p AggregationOptions> {
    let known: Vec<&AggregationOptions> = plan.aggregations().collect();
    let options = match name {
        None => known.first().copied(),
        Some(name) => known.iter().copied().find(|options| options.name == name),
    };
    options.with_context(|| {
        let names: Vec<&str> = known.iter().map(|options| options.name.as_str()).collect();
        format!(
            "there is no aggregation {:?}; there are: {}",
            name.unwrap_or_default(),
            names.join(", ")
        )
    })
}

pub(super) fn partitions(cluster: &Cluster, topic: &str) -> anyhow::Result<i32> {
    let consumer = cluster.reader("daybook-replay")?;
    let partitions = cluster.partitions(&consumer, topic);
    partitions.context("is `daybook up` running?")
}

/// Shows how far a long count is.
pub(super) fn bar() -> impl FnMut(u64, u64) {
    let mut bar = indicatif::ProgressBar::hidden();
    move |counted, all| {
        if counted == 0 && all > 200_000 && std::io::stderr().is_terminal() {
            bar = indicatif::ProgressBar::new(all);
        }
        bar.set_position(counted);
        if counted >= all {
            bar.finish_and_clear();
        }
    }
}

/// A moment as people write it: RFC 3339, or a time of today in the aggregation's zone.
fn moment(text: &str, zone: &str, now: &Timestamp) -> anyhow::Result<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let time: Time = text.parse().ok().with_context(|| {
        format!(
            "{text:?} is no moment: give a time of today in {zone} (14:03 or 14:03:30), or one with its date and \
             offset (2026-11-23T14:03:00+01:00)"
        )
    })?;
    let zone = TimeZone::get(zone)?;
    let today = zone.to_datetime(*now).date();
    Ok(zone.to_timestamp(today.to_datetime(time))?)
}

/// Results of a day as a table, in the order of their keys.
fn table(
    columns: Vec<String>,
    results: impl Iterator<Item = Vec<u8>>,
    day: BusinessDay,
) -> ResultTable {
    let day = day.to_string();
    let mut rows = Vec::new();
    for result in results {
        let Ok(Value::Object(mut object)) = serde_json::from_slice(&result) else {
            continue;
        };
        let is_of_day = object.get("day").and_then(Value::as_str) == Some(&day);
        if !is_of_day || object.get("deleted") == Some(&Value::Bool(true)) {
            continue;
        }
        rows.push(columns.iter().map(|name| object.remove(name)).collect());
    }
    let text = |cell: &Option<Value>| match cell {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
    };
    let whole = |index: usize| {
        let mut cells = rows
            .iter()
            .filter_map(|row: &Vec<Option<Value>>| row[index].as_ref());
        cells.any(Value::is_number)
    };
    let whole_numbers = (0..columns.len()).map(whole).collect();
    let mut rows: Vec<Vec<Option<String>>> = rows
        .iter()
        .map(|row| row.iter().map(text).collect())
        .collect();
    rows.sort();
    ResultTable {
        columns,
        rows,
        whole_numbers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_of_today_in_the_zone_of_the_aggregation() {
        let now: Timestamp = "2026-11-22T23:30:00Z".parse().expect("a time");
        let at = |text| moment(text, "Europe/Zagreb", &now).map(|at| at.to_string());
        // It is the 23rd there.
        assert_eq!(at("14:03").expect("reads"), "2026-11-23T13:03:00Z");
        let full = at("2026-11-20T14:03:00+01:00");
        assert_eq!(full.expect("reads"), "2026-11-20T13:03:00Z");
        let error = at("yesterday").expect_err("no moment");
        assert!(error.to_string().contains("14:03:30"), "{error}");
    }

    #[test]
    fn rows_of_the_day_are_a_table_in_the_order_of_their_keys() {
        let results = [
            r#"{"v":[1,2],"day":"2026-11-23","deleted":false,"at":[0,2],"account":"bob","total":"2.00","n":2}"#,
            r#"{"v":[1,1],"day":"2026-11-23","deleted":false,"at":[0,1],"account":"ann","total":"1.00","n":1}"#,
            r#"{"v":[1,1],"day":"2026-11-22","deleted":false,"at":[0,1],"account":"eve","total":"1.00","n":1}"#,
            r#"{"v":[1,3],"day":"2026-11-23","deleted":true,"at":[0,1],"account":"gil","total":"1.00","n":1}"#,
        ];
        let day = "2026-11-23".parse().expect("a day");
        let columns = ["account", "total", "n"].map(str::to_owned).to_vec();
        let results = results.iter().map(|text| text.as_bytes().to_vec());
        let table = table(columns, results, day);
        let rows = table.rows.iter();
        let rows: Vec<String> = rows
            .map(|row| row.iter().flatten().cloned().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(rows, ["ann 1.00 1", "bob 2.00 2"]);
        assert_eq!(table.whole_numbers, [false, false, true]);
    }
}
