//! `daybook preview`: what a changed definition would change of the totals, before it is put in force.
//!
//! Both definitions are counted from the log, each by the engine and up to the same moment: what is different is the
//! definition's doing, also while traffic goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::ExitCode;

use aggregate::{AggregationOptions, fingerprint, in_force};
use anyhow::Context as _;
use inspect::{Replay, Rows, replay};
use jiff::Timestamp;
use kafka_client::Cluster;
use pipeline::{Plan, log_cluster};
use query::parse_sum;
use serde_json::{Map, Value, json};
use sql::ResultTable;
use types::Amount;

use super::query::print;
use super::totals::{aggregation, bar, partitions};
use crate::cli::{Global, OutputFormat, PreviewArgs};

pub(crate) async fn run(global: &Global, args: PreviewArgs) -> anyhow::Result<ExitCode> {
    let plan = global.plan().await?;
    let cluster = log_cluster(&plan.config().log, &global.data_dir)?;
    let new = aggregation(&plan, args.aggregation.as_deref())?;
    let name = &new.name;
    let control = in_force(&cluster, name).context("is `daybook up` running?")?;
    let Some(control) = control else {
        anyhow::bail!(
            "the aggregation {name} is not in force yet: there is nothing to compare with"
        );
    };
    if control.fingerprint == fingerprint(new) {
        writeln!(
            std::io::stdout(),
            "{name}: the configuration is the definition in force (generation {})",
            control.generation
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    if control.declared.is_empty() {
        anyhow::bail!(
            "the definition of {name} that is in force was put there by an older program, which did not keep all of it: \
             compare with `daybook totals` under either configuration"
        );
    }
    let old = Plan::aggregation_of(&control.declared).await;
    let old = old.map_err(|mistakes| {
        let mistakes: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        anyhow::anyhow!(
            "the definition in force is not understood: {}",
            mistakes.join("; ")
        )
    })?;
    let now = Timestamp::now().as_microsecond();
    let [before, after] = count(&cluster, [&old, new], now).await?;
    let difference = Difference::of(&before, &after);
    match args.json {
        true => difference.write_json(name)?,
        false => difference.write(name, args.rows)?,
    }
    Ok(match difference.rows.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Results of one definition.
struct Counted {
    columns: Vec<String>,
    /// Those that may be added up.
    sums: Vec<String>,
    rows: Rows,
}

/// Counts both; reads their topic once if it is the same.
async fn count(
    cluster: &Cluster,
    both: [&AggregationOptions; 2],
    until: i64,
) -> anyhow::Result<[Counted; 2]> {
    let begin = async |options: &AggregationOptions| {
        let partitions = partitions(cluster, &options.input.topic)?;
        anyhow::Ok(Replay::new(options, partitions, 1).await?)
    };
    let mut replays = [begin(both[0]).await?, begin(both[1]).await?];
    let [old, new] = both.map(|options| &options.input.topic);
    let at_once = if old == new { 2 } else { 1 };
    for some in replays.chunks_mut(at_once) {
        let counted = replay(
            cluster,
            some,
            Some(until),
            |_| false,
            |_, _, _, _| (),
            bar(),
        );
        counted.await.context("is `daybook up` running?")?;
    }
    Ok(replays.map(|replayed| Counted {
        columns: replayed.columns(),
        sums: replayed.sums(),
        rows: replayed.rows,
    }))
}

/// A row that is not the same under both definitions; `None` where it is not among the results.
#[derive(Debug, PartialEq)]
struct Row {
    day: String,
    key: String,
    before: Option<Map<String, Value>>,
    after: Option<Map<String, Value>>,
}

/// Sums over all rows, by column and currency; the latter is empty where rows have none.
type Sums = BTreeMap<(String, String), Amount>;

#[derive(Debug, Default)]
struct Difference {
    /// The newest days first, then by key.
    rows: Vec<Row>,
    same: u64,
    /// Names of the columns of either, in the order of the new definition.
    columns: Vec<String>,
    sums: (Sums, Sums),
}

impl Difference {
    fn of(before: &Counted, after: &Counted) -> Self {
        let mut columns = after.columns.clone();
        let older = before.columns.iter();
        let gone = older.filter(|name| !after.columns.contains(name));
        columns.extend(gone.cloned());
        let mut difference = Self {
            columns,
            ..Self::default()
        };
        let keys: BTreeSet<&Vec<u8>> = before.rows.keys().chain(after.rows.keys()).collect();
        for key in keys {
            let of = |rows: &Rows| shown(rows.get(key).map(Vec::as_slice));
            let (old, new) = (of(&before.rows), of(&after.rows));
            add_sums(old.as_ref(), &before.sums, &mut difference.sums.0);
            add_sums(new.as_ref(), &after.sums, &mut difference.sums.1);
            difference.add(key, old, new);
        }
        difference
            .rows
            .sort_by(|a, b| b.day.cmp(&a.day).then_with(|| a.key.cmp(&b.key)));
        difference
    }

    fn add(
        &mut self,
        key: &[u8],
        before: Option<Map<String, Value>>,
        after: Option<Map<String, Value>>,
    ) {
        let (day, cells) = (
            |row: &Map<String, Value>| row.get("day").cloned(),
            &self.columns,
        );
        let said = |row: &Option<Map<String, Value>>| {
            let row = row.as_ref()?;
            Some(
                cells
                    .iter()
                    .map(|name| row.get(name).cloned())
                    .collect::<Vec<_>>(),
            )
        };
        if said(&before) == said(&after) {
            self.same += u64::from(before.is_some());
            return;
        }
        let of_day = before.as_ref().or(after.as_ref()).and_then(day);
        let day = of_day.as_ref().and_then(Value::as_str).unwrap_or_default();
        self.rows.push(Row {
            day: day.to_owned(),
            key: String::from_utf8_lossy(key).into_owned(),
            before,
            after,
        });
    }

    /// Rows with other values, new ones, and such as are gone.
    fn kinds(&self) -> [usize; 3] {
        let mut kinds = [0; 3];
        for row in &self.rows {
            match (&row.before, &row.after) {
                (Some(_), Some(_)) => kinds[0] += 1,
                (None, _) => kinds[1] += 1,
                (_, None) => kinds[2] += 1,
            }
        }
        kinds
    }

    fn write(&self, name: &str, rows_max: usize) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        let [other, new, gone] = self.kinds();
        writeln!(
            out,
            "{name}: {} rows stay as they are, {other} have other values, {new} are new, {gone} are gone",
            self.same
        )?;
        for (column, before, after) in self.changed_sums() {
            writeln!(out, "sum of {column}: {before} -> {after}")?;
        }
        if self.rows.is_empty() || rows_max == 0 {
            return Ok(());
        }
        let rows = self.rows.iter().take(rows_max).map(|row| {
            let cells = self.columns.iter().map(|column| Some(cell(row, column)));
            std::iter::once(Some(row.day.clone()))
                .chain(cells)
                .collect()
        });
        let day = std::iter::once("day".to_owned());
        let table = ResultTable {
            columns: day.chain(self.columns.iter().cloned()).collect(),
            rows: rows.collect(),
            whole_numbers: vec![false; self.columns.len() + 1],
        };
        drop(out);
        print(&table, OutputFormat::Table)?;
        if self.rows.len() > rows_max {
            let more = self.rows.len() - rows_max;
            writeln!(std::io::stdout(), "and {more} more (--rows)")?;
        }
        Ok(())
    }

    fn write_json(&self, name: &str) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        for row in &self.rows {
            let of = |row: &Option<Map<String, Value>>| {
                let row = row.as_ref()?;
                let cells = self
                    .columns
                    .iter()
                    .filter_map(|name| Some((name, row.get(name)?)));
                Some(
                    cells
                        .map(|(name, cell)| (name.clone(), cell.clone()))
                        .collect::<Map<_, _>>(),
                )
            };
            let line = json!({"day": row.day, "key": row.key, "before": of(&row.before), "after": of(&row.after)});
            writeln!(out, "{line}")?;
        }
        let [other, new, gone] = self.kinds();
        let sums = self.changed_sums().into_iter();
        let sums = sums.map(|(column, before, after)| (column, json!([before, after])));
        let sums = sums.collect::<Map<_, _>>();
        let last = json!({"aggregation": name, "same": self.same, "other": other, "new": new, "gone": gone, "sums": sums});
        writeln!(out, "{last}")?;
        Ok(())
    }

    /// Columns, with their currency, whose sums differ, and the sums; `-` where there are none.
    fn changed_sums(&self) -> Vec<(String, String, String)> {
        let (before, after) = &self.sums;
        let all: BTreeSet<&(String, String)> = before.keys().chain(after.keys()).collect();
        let changed = all
            .into_iter()
            .filter(|of| before.get(*of) != after.get(*of));
        let text = |sum: Option<&Amount>| {
            sum.map_or_else(|| "-".to_owned(), |sum| sum.display(0).to_string())
        };
        changed
            .map(|of| {
                let (column, currency) = of;
                let name = format!("{column} {currency}").trim_end().to_owned();
                (name, text(before.get(of)), text(after.get(of)))
            })
            .collect()
    }
}

/// A row of the results that is among them.
fn shown(value: Option<&[u8]>) -> Option<Map<String, Value>> {
    let Ok(Value::Object(row)) = serde_json::from_slice(value?) else {
        return None;
    };
    (row.get("deleted") != Some(&Value::Bool(true))).then_some(row)
}

/// Adds the columns that may be added up. Sums that are too large are left out.
fn add_sums(row: Option<&Map<String, Value>>, columns: &[String], sums: &mut Sums) {
    let Some(row) = row else {
        return;
    };
    let currency = row.get("currency").and_then(Value::as_str);
    for name in columns {
        let amount = match row.get(name) {
            Some(Value::String(text)) => parse_sum(text).ok(),
            Some(Value::Number(number)) => parse_sum(&number.to_string()).ok(),
            _ => None,
        };
        if let Some(amount) = amount {
            let of = (name.clone(), currency.unwrap_or_default().to_owned());
            let sum = sums.entry(of).or_default();
            *sum = sum.checked_add(amount).unwrap_or(*sum);
        }
    }
}

/// What a row says in a column, before and after.
fn cell(row: &Row, column: &str) -> String {
    let text = |row: &Option<Map<String, Value>>| match row.as_ref().map(|row| row.get(column)) {
        None => None,
        Some(None | Some(Value::Null)) => Some(String::new()),
        Some(Some(Value::String(text))) => Some(text.clone()),
        Some(Some(other)) => Some(other.to_string()),
    };
    match (text(&row.before), text(&row.after)) {
        (Some(before), Some(after)) if before == after => before,
        (Some(before), Some(after)) => format!("{before} -> {after}"),
        (None, Some(after)) => format!("+ {after}"),
        (Some(before), None) => format!("- {before}"),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(columns: &[&str], rows: &[(&str, &str)]) -> Counted {
        let rows = rows.iter();
        let sums = columns.iter().filter(|name| ["n", "total"].contains(name));
        Counted {
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            sums: sums.map(|name| (*name).to_owned()).collect(),
            rows: rows
                .map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec()))
                .collect(),
        }
    }

    #[test]
    fn rows_are_compared_by_their_columns_and_not_by_their_versions() {
        let before = counted(
            &["account", "total"],
            &[
                (
                    "a",
                    r#"{"v":[1,2],"day":"2026-11-23","deleted":false,"account":"a","total":"1.50"}"#,
                ),
                (
                    "b",
                    r#"{"v":[1,1],"day":"2026-11-23","deleted":false,"account":"b","total":"2.00"}"#,
                ),
                (
                    "c",
                    r#"{"v":[1,1],"day":"2026-11-22","deleted":false,"account":"c","total":"3.00"}"#,
                ),
                ("e", r#"{"v":[1,1],"day":"2026-11-22","deleted":true}"#),
            ],
        );
        let after = counted(
            &["account", "n", "total"],
            &[
                (
                    "b",
                    r#"{"v":[1,9],"day":"2026-11-23","deleted":false,"account":"b","total":"2.25","n":1}"#,
                ),
                (
                    "d",
                    r#"{"v":[1,1],"day":"2026-11-23","deleted":false,"account":"d","total":"0.10","n":2}"#,
                ),
                ("e", r#"{"v":[1,1],"day":"2026-11-22","deleted":true}"#),
            ],
        );
        let difference = Difference::of(&before, &after);
        assert_eq!(difference.kinds(), [1, 1, 2]);
        let texts = difference.rows.iter().map(|row| {
            let cells = difference.columns.iter().map(|column| cell(row, column));
            format!("{} {}", row.day, cells.collect::<Vec<_>>().join("|"))
        });
        let expected = [
            "2026-11-23 - a|- |- 1.50",
            "2026-11-23 b| -> 1|2.00 -> 2.25",
            "2026-11-23 + d|+ 2|+ 0.10",
            "2026-11-22 - c|- |- 3.00",
        ];
        assert_eq!(texts.collect::<Vec<_>>(), expected);
        let sums = [
            ("n".to_owned(), "-".to_owned(), "3".to_owned()),
            ("total".to_owned(), "6.5".to_owned(), "2.35".to_owned()),
        ];
        assert_eq!(difference.changed_sums(), sums);
    }

    #[test]
    fn a_row_with_another_version_alone_is_the_same() {
        let row =
            |v| format!(r#"{{"v":[1,{v}],"day":"2026-11-23","deleted":false,"total":"1.00"}}"#);
        let (one, two) = (row(1), row(2));
        let before = counted(&["total"], &[("a", &one)]);
        let after = counted(&["total"], &[("a", &two)]);
        let difference = Difference::of(&before, &after);
        assert_eq!((difference.same, difference.rows.len()), (1, 0));
    }
}
