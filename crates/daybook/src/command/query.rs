//! `daybook query`: SQL over the store, computed exactly by DataFusion.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use pipeline::Plan;
use sql::{Column, ColumnKind, ResultTable, Table};
use store::{Cell, CellKind, Row, Store, TableSpec};
use types::Amount;

use crate::cli::{Global, OutputFormat, QueryArgs};

pub(crate) async fn run(global: &Global, args: QueryArgs) -> anyhow::Result<ExitCode> {
    let plan = global.plan().await?;
    let store = open_store(global, &plan)?;
    let mut tables = Vec::new();
    for spec in plan.tables() {
        // Only what the text can mean is read.
        if args.sql.to_ascii_lowercase().contains(&spec.name) {
            tables.push(read_table(&store, spec)?);
        }
    }
    tables.push(counts_table(&store, &plan)?);
    let result = sql::query(&args.sql, &tables).await.with_context(|| {
        let names: Vec<&str> = plan.tables().map(|spec| spec.name.as_str()).collect();
        format!("the query failed (tables: {}, counts)", names.join(", "))
    })?;
    print(&result, args.format)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a result.
pub(crate) fn print(result: &ResultTable, format: OutputFormat) -> anyhow::Result<()> {
    match format {
        OutputFormat::Table => write_table(result)?,
        OutputFormat::Csv => write_csv(result)?,
        OutputFormat::Json => write_json(result)?,
    }
    Ok(())
}

/// The store of the configuration, for reading.
pub(crate) fn open_store(global: &Global, plan: &Plan) -> anyhow::Result<Store> {
    let target = pipeline::store_target(&plan.config().store, &global.data_dir)?;
    let store = target.open_read_only()?;
    store.with_context(|| {
        format!("there is no store at {target}: has `daybook up` run with this --data-dir?")
    })
}

fn read_table(store: &Store, spec: &TableSpec) -> anyhow::Result<Table> {
    let mut rows: Vec<Row> = Vec::new();
    store.scan(spec, None, |row| {
        if !row.deleted {
            rows.push(row);
        }
    })?;
    let mut columns = vec![Column {
        name: "business_day".to_owned(),
        values: ColumnKind::Day(rows.iter().map(|row| row.day).collect()),
    }];
    for (index, (name, kind)) in spec.columns.iter().enumerate() {
        if name == "business_day" {
            continue;
        }
        let cells = rows
            .iter()
            .map(|row| row.cells.get(index).unwrap_or(&Cell::Null));
        let values = match kind {
            CellKind::Text => ColumnKind::Text(cells.map(text).collect()),
            CellKind::Int => ColumnKind::Int(
                cells
                    .map(|cell| match cell {
                        Cell::Int(number) => Some(*number),
                        _ => None,
                    })
                    .collect(),
            ),
            CellKind::Decimal => {
                let amounts = cells.map(|cell| text(cell).map(|text| parse_sum(&text)).transpose());
                ColumnKind::Decimal(amounts.collect::<anyhow::Result<_>>()?)
            }
        };
        columns.push(Column {
            name: name.clone(),
            values,
        });
    }
    Ok(Table {
        name: spec.name.clone(),
        columns,
    })
}

fn text(cell: &Cell) -> Option<String> {
    match cell {
        Cell::Text(text) => Some(text.clone()),
        Cell::Int(number) => Some(number.to_string()),
        Cell::Null => None,
    }
}

/// A sum as published: it may be larger than one transaction's amount.
pub(crate) fn parse_sum(text: &str) -> anyhow::Result<Amount> {
    let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
    let padded = format!("{whole}{digits:0<5}");
    let units: i128 = padded
        .parse()
        .with_context(|| format!("{text:?} in the store is no decimal"))?;
    Amount::from_units(units).with_context(|| format!("{text} in the store leaves DECIMAL(33,5)"))
}

fn counts_table(store: &Store, plan: &Plan) -> anyhow::Result<Table> {
    let mut names = Vec::new();
    let mut days = Vec::new();
    let mut counts: [Vec<Option<i64>>; 5] = Default::default();
    for spec in plan.tables() {
        for (day, found) in store.counts(&spec.name)? {
            names.push(Some(spec.name.clone()));
            days.push(day);
            let five = [
                found.counted,
                found.reversing,
                found.duplicate,
                found.late_corrected,
                found.quarantined,
            ];
            for (column, count) in counts.iter_mut().zip(five) {
                column.push(i64::try_from(count).ok());
            }
        }
    }
    let mut columns = vec![
        Column {
            name: "aggregation".to_owned(),
            values: ColumnKind::Text(names),
        },
        Column {
            name: "business_day".to_owned(),
            values: ColumnKind::Day(days),
        },
    ];
    let titles = [
        "counted",
        "reversing",
        "duplicate",
        "late_corrected",
        "quarantined",
    ];
    columns.extend(titles.into_iter().zip(counts).map(|(name, values)| Column {
        name: name.to_owned(),
        values: ColumnKind::Int(values),
    }));
    Ok(Table {
        name: "counts".to_owned(),
        columns,
    })
}

fn write_table(result: &ResultTable) -> std::io::Result<()> {
    let width = |index: usize, name: &String| {
        let cells = result
            .rows
            .iter()
            .map(|row| row[index].as_deref().unwrap_or("null").chars().count());
        cells.chain([name.chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = result
        .columns
        .iter()
        .enumerate()
        .map(|(index, name)| width(index, name))
        .collect();
    let numeric = |index: usize| {
        let cells = result.rows.iter().filter_map(|row| row[index].as_deref());
        let number = |cell: &str| {
            cell.bytes()
                .all(|byte| byte.is_ascii_digit() || b"-.".contains(&byte))
        };
        !result.rows.is_empty() && cells.clone().all(number) && cells.count() > 0
    };
    let right: Vec<bool> = (0..widths.len()).map(numeric).collect();
    let mut out = std::io::stdout().lock();
    let mut line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .zip(&right)
            .map(|((cell, width), right)| match right {
                true => format!("{cell:>width$}"),
                false => format!("{cell:<width$}"),
            })
            .collect();
        writeln!(out, "{}", padded.join("  ").trim_end())
    };
    line(result.columns.iter().map(String::as_str).collect())?;
    let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    line(rules.iter().map(String::as_str).collect())?;
    for row in &result.rows {
        line(
            row.iter()
                .map(|cell| cell.as_deref().unwrap_or("null"))
                .collect(),
        )?;
    }
    Ok(())
}

fn write_csv(result: &ResultTable) -> std::io::Result<()> {
    let field = |text: &str| match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    };
    let mut out = std::io::stdout().lock();
    let columns: Vec<String> = result.columns.iter().map(|name| field(name)).collect();
    writeln!(out, "{}", columns.join(","))?;
    for row in &result.rows {
        let cells: Vec<String> = row
            .iter()
            .map(|cell| field(cell.as_deref().unwrap_or("")))
            .collect();
        writeln!(out, "{}", cells.join(","))?;
    }
    Ok(())
}

/// One object a line; whole numbers bare, decimals as text, so that they stay exact.
fn write_json(result: &ResultTable) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for row in &result.rows {
        let mut object = serde_json::Map::new();
        for ((name, cell), whole) in result.columns.iter().zip(row).zip(&result.whole_numbers) {
            let value = match cell {
                None => serde_json::Value::Null,
                Some(text) if *whole => serde_json::from_str(text)?,
                Some(text) => text.as_str().into(),
            };
            object.insert(name.clone(), value);
        }
        writeln!(out, "{}", serde_json::Value::Object(object))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_read_as_published() {
        for text in [
            "0.00",
            "-12.50",
            "0.00001",
            "9999999999999999999999999999.99999",
            "100",
        ] {
            let sum = parse_sum(text).expect("reads");
            assert_eq!(
                sum.display(
                    text.split_once('.')
                        .map_or(0, |(_, digits)| digits.len() as u32)
                )
                .to_string(),
                text
            );
        }
        assert!(parse_sum("x").is_err());
    }
}
