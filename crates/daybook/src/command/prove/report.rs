//! What `prove` prints.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;

use serde_json::Value;
use types::{Amount, Counts};

use super::hops::{self, Hops};
use super::recompute::Totals;
use super::transaction::Brought;
use crate::cli::ProveArgs;

/// Differences that are printed; more are only counted.
const DIFFERENCES_SHOWN: usize = 20;

/// Prints everything, as text or as JSON.
pub(super) fn write(
    args: &ProveArgs,
    sources: &BTreeMap<String, Brought>,
    hops: Option<&Hops>,
    totals: &[Totals],
) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if args.json {
        return write_json(&mut out, sources, hops, totals);
    }
    writeln!(out, "transactions in the log, by source:")?;
    for (source, brought) in sources {
        let mut sums = String::new();
        for (currency, units) in &brought.sums {
            let sum =
                Amount::from_units(*units).map_or("out of range".to_owned(), |sum| sum.to_string());
            let _ = write!(sums, "  {sum} {currency}");
        }
        writeln!(
            out,
            "  {source:<12} {:>10} records  ids {:016x}{sums}",
            brought.records, brought.ids
        )?;
    }
    match hops {
        Some(hops) => write_hops(&mut out, hops)?,
        None => writeln!(
            out,
            "\nhops before the log: not checked, the queue is not Daybook's"
        )?,
    }
    for report in totals {
        writeln!(out, "\naggregation {}: {} keys", report.name, report.keys)?;
        writeln!(
            out,
            "  day         counted  reversing  duplicate  late-corrected  quarantined      total"
        )?;
        for (day, counts) in report.counts.iter().rev().take(10).rev() {
            writeln!(
                out,
                "  {day}  {:>7}  {:>9}  {:>9}  {:>14}  {:>11}  {:>9}",
                counts.counted,
                counts.reversing,
                counts.duplicate,
                counts.late_corrected,
                counts.quarantined,
                counts.total()
            )?;
        }
        let mut all = Counts::default();
        for counts in report.counts.values() {
            all.counted += counts.counted;
            all.reversing += counts.reversing;
            all.duplicate += counts.duplicate;
            all.late_corrected += counts.late_corrected;
            all.quarantined += counts.quarantined;
        }
        writeln!(
            out,
            "  {:<10}  {:>7}  {:>9}  {:>9}  {:>14}  {:>11}  {:>9}",
            format!("{} days", report.counts.len()),
            all.counted,
            all.reversing,
            all.duplicate,
            all.late_corrected,
            all.quarantined,
            all.total()
        )?;
        let records: u64 = sources.values().map(|brought| brought.records).sum();
        writeln!(out, "  {}", in_and_out(records, all.total()))?;
        if !report.is_settled() {
            writeln!(
                out,
                "  traffic goes on: {} transactions were on their way; the rows are compared as far as they are",
                report.on_their_way
            )?;
        }
        match report.differences.len() {
            0 => writeln!(
                out,
                "  proved: results topic and store equal the recomputation, per key and day, exactly"
            )?,
            _ => write_differences(&mut out, &report.differences)?,
        }
    }
    Ok(())
}

/// An equals sign only between equal numbers: while traffic goes on they need not be.
fn in_and_out(brought: u64, arrived: u64) -> String {
    match brought == arrived {
        true => format!("in {brought} = out {arrived}"),
        false => format!("in {brought}, out {arrived}"),
    }
}

fn write_hops(out: &mut impl Write, hops: &Hops) -> anyhow::Result<()> {
    writeln!(out, "\nhops, by source:")?;
    writeln!(
        out,
        "  source          gateway    queue in   queue out     waiting         log   sum of all amounts"
    )?;
    let (mut sent, mut arrived) = (0, 0);
    for (source, passed) in &hops.sources {
        let queued = &passed.queued;
        let name = match source.is_empty() {
            true => "(others)",
            false => source,
        };
        writeln!(
            out,
            "  {name:<12} {:>10}  {:>10}  {:>10}  {:>10}  {:>10}   {}",
            queued.declared.count,
            queued.put.count,
            queued.got.count,
            queued.put.count.saturating_sub(queued.got.count),
            passed.log.count,
            hops::sum(passed.log.units)
        )?;
        sent += queued.put.count;
        arrived += passed.log.count;
    }
    let refused: u64 = hops.quarantined.values().sum();
    if refused > 0 {
        writeln!(
            out,
            "  refused by the gateway, in its quarantine: {refused}"
        )?;
    }
    writeln!(out, "  {}", in_and_out(sent, arrived))?;
    if hops.moving > 0 {
        writeln!(
            out,
            "  {} minutes of sources were still on their way; not more is said of them than that nothing came twice",
            hops.moving
        )?;
    }
    match hops.differences.is_empty() {
        true => writeln!(
            out,
            "  proved: gateway, queue and log agree in count, ids and exact sum, per source and minute ({})",
            hops.settled
        )?,
        false => write_differences(out, &hops.differences)?,
    }
    Ok(())
}

fn write_differences(out: &mut impl Write, differences: &[String]) -> anyhow::Result<()> {
    writeln!(out, "  NOT proved: {} differences", differences.len())?;
    for line in differences.iter().take(DIFFERENCES_SHOWN) {
        writeln!(out, "    {line}")?;
    }
    Ok(())
}

fn write_json(
    out: &mut impl Write,
    sources: &BTreeMap<String, Brought>,
    hops: Option<&Hops>,
    totals: &[Totals],
) -> anyhow::Result<()> {
    let sources: serde_json::Map<String, Value> = sources.iter().map(|(source, brought)| {
        (source.clone(), serde_json::json!({ "records": brought.records, "ids": format!("{:016x}", brought.ids) }))
    }).collect();
    let hops = hops.map(hops_json);
    let aggregations: Vec<Value> = totals.iter().map(|report| {
        let days: serde_json::Map<String, Value> = report.counts.iter().map(|(day, counts)| {
            (day.to_string(), serde_json::json!({
                "counted": counts.counted, "reversing": counts.reversing, "duplicate": counts.duplicate,
                "late_corrected": counts.late_corrected, "quarantined": counts.quarantined,
            }))
        }).collect();
        serde_json::json!({
            "name": report.name, "on_their_way": report.on_their_way, "keys": report.keys, "counts": days,
            "proved": report.differences.is_empty(), "differences": report.differences,
        })
    }).collect();
    writeln!(
        out,
        "{}",
        serde_json::json!({ "sources": sources, "hops": hops, "aggregations": aggregations })
    )?;
    Ok(())
}

fn hops_json(hops: &Hops) -> Value {
    let sources = hops.sources.iter().map(|(source, passed)| {
        let queued = &passed.queued;
        let figures = serde_json::json!({
            "gateway": queued.declared.count, "queue_in": queued.put.count, "queue_out": queued.got.count,
            "log": passed.log.count, "sum": hops::sum(passed.log.units),
            "quarantined": hops.quarantined.get(source),
        });
        (source.clone(), figures)
    });
    serde_json::json!({
        "sources": sources.collect::<serde_json::Map<String, Value>>(),
        "settled": hops.settled, "moving": hops.moving,
        "proved": hops.differences.is_empty(), "differences": hops.differences,
    })
}
