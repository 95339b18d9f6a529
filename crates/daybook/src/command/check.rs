//! `daybook check`: everything that can be known before starting.

use std::io::Write as _;
use std::process::ExitCode;

use crate::cli::Global;

pub(crate) async fn run(global: &Global) -> anyhow::Result<ExitCode> {
    let plan = global.plan().await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "configuration: fine")?;
    writeln!(out, "time zones:    {}", types::tzdata_version())?;
    let sources: Vec<&str> = plan.sources().collect();
    writeln!(out, "sources:       {}", sources.join(", "))?;
    for (table, options) in plan.tables().zip(plan.aggregations()) {
        let columns: Vec<&str> = table
            .columns
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        let keep = options.keep_days.map_or("all days".to_owned(), |days| {
            format!("{days} business days")
        });
        let of_rows = options
            .zone_column
            .and_then(|column| options.input.columns.get(column));
        let of_rows = of_rows.map_or(String::new(), |column| {
            format!(" or the row's {:?}", column.name)
        });
        writeln!(
            out,
            "aggregation:   {} ({}), day of {}{of_rows} from {} (business days: {}), keeps {keep}",
            table.name,
            columns.join(", "),
            options.zone,
            options.cut_off,
            options.calendar.working_days(),
        )?;
    }
    Ok(ExitCode::SUCCESS)
}
