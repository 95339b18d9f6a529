//! `daybook check`: everything that can be known before starting.

use std::io::Write as _;
use std::process::ExitCode;

use aggregate::EngineKind;
use pipeline::{EngineConfig, SparkConfig};

use crate::cli::{CheckArgs, EngineName, Global};

pub(crate) async fn run(global: &Global, args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let mut config = global.read_config()?;
    if let Some(engine) = args.engine {
        let engine = match engine {
            EngineName::Native => EngineConfig::Native,
            EngineName::Spark => EngineConfig::Spark,
        };
        for aggregation in &mut config.aggregations {
            aggregation.engine = engine;
        }
        // The question is what it can do, not where it is.
        let somewhere = || Box::new(SparkConfig::at("sc://127.0.0.1:15002"));
        config.spark.get_or_insert_with(somewhere);
    }
    let plan = Global::plan_of(config).await?;
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
            "aggregation:   {} ({}), added up {}, day of {}{of_rows} from {} (business days: {}), keeps {keep}",
            table.name,
            columns.join(", "),
            match options.engine {
                EngineKind::Native => "here",
                EngineKind::Spark => "in Spark",
            },
            options.zone,
            options.cut_off,
            options.calendar.working_days(),
        )?;
    }
    Ok(ExitCode::SUCCESS)
}
