//! `daybook queue list`.

use std::collections::HashMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use mq_wire::mqi::{attribute, command, id, queue_type};
use mq_wire::{PcfParameter, PcfValue};

use super::admin::Admin;
use crate::cli::{ListArgs, QueueFormat};

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// A queue at one moment.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    queue: String,
    depth: Option<i64>,
    depth_max: Option<i64>,
    oldest_seconds: Option<i64>,
    puts: Option<i64>,
    gets: Option<i64>,
    /// Messages a second since the look before.
    rates: Option<(i64, i64)>,
    uncommitted: Option<i64>,
    inputs: Option<i64>,
    outputs: Option<i64>,
}

pub(super) async fn run(admin: &mut Admin, args: &ListArgs) -> anyhow::Result<()> {
    let mut before = look(admin, args).await?;
    let mut at = Instant::now();
    loop {
        tokio::time::sleep(INTERVAL).await;
        let mut rows = look(admin, args).await?;
        let millis = i64::try_from(at.elapsed().as_millis()).unwrap_or(i64::MAX);
        at = Instant::now();
        let old: HashMap<&str, &Row> = before.iter().map(|row| (row.queue.as_str(), row)).collect();
        for row in &mut rows {
            let old = old.get(row.queue.as_str());
            row.rates = old.and_then(|old| {
                let rate = |new: Option<i64>, old: Option<i64>| {
                    // A queue that was made anew counts from zero.
                    let count = new?.checked_sub(old?)?.max(0);
                    Some((count.saturating_mul(1_000) + millis / 2) / millis.max(1))
                };
                Some((rate(row.puts, old.puts)?, rate(row.gets, old.gets)?))
            });
        }
        print(&rows, args)?;
        if !args.watch {
            return Ok(());
        }
        before = rows;
    }
}

async fn look(admin: &mut Admin, args: &ListArgs) -> anyhow::Result<Vec<Row>> {
    let pattern = args.pattern.as_deref().unwrap_or("*");
    let attributes = vec![
        PcfParameter::text(attribute::Q_NAME, pattern),
        PcfParameter::integer(attribute::Q_TYPE, queue_type::LOCAL),
        PcfParameter {
            id: id::Q_ATTRS,
            value: PcfValue::Integers(vec![attribute::Q_NAME, attribute::MAX_Q_DEPTH]),
        },
    ];
    let defined = admin.ask(command::INQUIRE_Q, attributes).await?;
    let depths: HashMap<String, i64> = defined
        .iter()
        .filter_map(|queue| {
            Some((
                queue.text(attribute::Q_NAME)?,
                queue.number(attribute::MAX_Q_DEPTH)?,
            ))
        })
        .collect();
    let name = vec![PcfParameter::text(attribute::Q_NAME, pattern)];
    let found = admin.ask(command::INQUIRE_Q_STATUS, name).await?;
    let mut rows: Vec<Row> = found
        .iter()
        .filter_map(|queue| {
            let name = queue.text(attribute::Q_NAME)?;
            let counted = |id| queue.number(id).filter(|count| *count >= 0);
            Some(Row {
                depth: counted(attribute::CURRENT_Q_DEPTH),
                depth_max: depths.get(&name).copied(),
                oldest_seconds: counted(id::OLDEST_MSG_AGE),
                puts: counted(id::MSG_ENQ_COUNT),
                gets: counted(id::MSG_DEQ_COUNT),
                rates: None,
                uncommitted: counted(id::UNCOMMITTED_MSGS),
                inputs: counted(attribute::OPEN_INPUT_COUNT),
                outputs: counted(attribute::OPEN_OUTPUT_COUNT),
                queue: name,
            })
        })
        .collect();
    if args.pattern.is_none() {
        // The queue manager's own; and the queue that this answer came through.
        rows.retain(|row| {
            !row.queue.starts_with("SYSTEM.") && !row.queue.starts_with("DAYBOOK.ADMIN.")
        });
    }
    rows.sort_by(|a, b| a.queue.cmp(&b.queue));
    Ok(rows)
}

fn print(rows: &[Row], args: &ListArgs) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match args.format {
        QueueFormat::Json => {
            for row in rows {
                writeln!(out, "{}", json(row))?;
            }
        }
        QueueFormat::Table => {
            if args.watch && std::io::stdout().is_terminal() {
                // From the top of an empty screen.
                write!(out, "\x1b[H\x1b[2J")?;
            }
            out.write_all(table(rows).as_bytes())?;
        }
    }
    out.flush()?;
    Ok(())
}

fn json(row: &Row) -> serde_json::Value {
    serde_json::json!({
        "queue": row.queue,
        "depth": row.depth,
        "depth_max": row.depth_max,
        "oldest_seconds": row.oldest_seconds,
        "in_per_second": row.rates.map(|(puts, _)| puts),
        "out_per_second": row.rates.map(|(_, gets)| gets),
        "uncommitted": row.uncommitted,
        "open_inputs": row.inputs,
        "open_outputs": row.outputs,
    })
}

fn table(rows: &[Row]) -> String {
    const TITLES: [&str; 9] = [
        "queue",
        "depth",
        "max",
        "oldest",
        "in/s",
        "out/s",
        "uncommitted",
        "inputs",
        "outputs",
    ];
    // What the queue manager does not tell.
    let shown = |number: Option<i64>| number.map_or("-".to_owned(), |number| number.to_string());
    let mut lines = vec![TITLES.map(str::to_owned)];
    lines.extend(rows.iter().map(|row| {
        // The age of nothing is nothing.
        let oldest = row.oldest_seconds.filter(|_| row.depth != Some(0));
        [
            row.queue.clone(),
            shown(row.depth),
            shown(row.depth_max),
            oldest.map_or("-".to_owned(), age),
            shown(row.rates.map(|(puts, _)| puts)),
            shown(row.rates.map(|(_, gets)| gets)),
            shown(row.uncommitted),
            shown(row.inputs),
            shown(row.outputs),
        ]
    }));
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..TITLES.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        text.push_str(&cells.collect::<Vec<_>>().join("  "));
        text.push('\n');
    }
    text
}

/// Of seconds, in two units at most.
fn age(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3_600 => format!("{minutes}m{:02}s", seconds % 60),
        3_600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_shows_what_is_known() {
        let row = Row {
            queue: "A".to_owned(),
            depth: Some(12),
            depth_max: Some(5_000),
            oldest_seconds: Some(61),
            puts: Some(1),
            gets: Some(2),
            rates: Some((30, 4)),
            uncommitted: Some(0),
            inputs: Some(1),
            outputs: Some(2),
        };
        let unknown = Row {
            queue: "LONGER".to_owned(),
            depth: Some(0),
            depth_max: None,
            rates: None,
            ..row.clone()
        };
        assert_eq!(
            table(&[row, unknown]),
            "queue   depth   max  oldest  in/s  out/s  uncommitted  inputs  outputs\n\
             A          12  5000   1m01s    30      4            0       1        2\n\
             LONGER      0     -       -     -      -            0       1        2\n"
        );
        for (seconds, shown) in [
            (0, "0s"),
            (59, "59s"),
            (3_599, "59m59s"),
            (3_660, "1h01m"),
            (90_000, "1d01h"),
        ] {
            assert_eq!(age(seconds), shown);
        }
    }
}
