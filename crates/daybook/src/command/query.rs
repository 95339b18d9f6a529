//! `daybook query`: SQL over the store, computed exactly by DataFusion.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use pipeline::Plan;
use sql::{QueryLimits, ResultTable, StatementKind};
use store::Store;

use crate::cli::{Global, OutputFormat, QueryArgs};

pub(crate) async fn run(global: &Global, args: QueryArgs) -> anyhow::Result<ExitCode> {
    let plan = global.plan().await?;
    // That there is none is told here; without one every table would look empty.
    drop(open_store(global, &plan)?);
    let target = pipeline::store_target(&plan.config().store, &global.data_dir)?;
    let tables = plan.query_tables(target);
    let engine = tables.engine(Vec::new(), Vec::new(), QueryLimits::of_one_query(), None);
    let failed = || {
        let names: Vec<&str> = plan.tables().map(|spec| spec.name.as_str()).collect();
        format!("the query failed (tables: {}, counts)", names.join(", "))
    };
    let statements = sql::parse(&args.sql, engine.limits().statement_bytes_max);
    for statement in statements.with_context(failed)? {
        if *statement.kind() != StatementKind::Query {
            anyhow::bail!(
                "only queries are answered here: SELECT, WITH, VALUES, EXPLAIN, SHOW TABLES"
            );
        }
        let answer = engine.run(&statement, Vec::new(), None).await;
        print(&answer.with_context(failed)?.into_table()?, args.format)?;
    }
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
