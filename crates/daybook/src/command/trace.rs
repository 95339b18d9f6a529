//! `daybook trace`: the whole way of one transaction.
//!
//! What it prints is [`inspect::trace`]'s.

use std::io::Write as _;
use std::process::ExitCode;

use aggregate::AggregationOptions;
use anyhow::Context as _;
use inspect::{Found, Wanted, time, trace};
use jiff::Timestamp;
use pipeline::log_cluster;
use serde_json::Value;
use store::TableSpec;
use types::names;

use super::query::open_store;
use super::totals::bar;
use crate::cli::{Global, TraceArgs};

pub(crate) async fn run(global: &Global, args: TraceArgs) -> anyhow::Result<ExitCode> {
    let plan = global.plan().await?;
    let cluster = log_cluster(&plan.config().log, &global.data_dir)?;
    // The rest is worth telling without it.
    let store = match open_store(global, &plan) {
        Ok(store) => Some(store),
        Err(error) => {
            eprintln!("daybook: not looked up in the store: {error:#}");
            None
        }
    };
    let tables: Vec<TableSpec> = plan.tables().cloned().collect();
    let aggregations: Vec<&AggregationOptions> = plan.aggregations().collect();
    let wanted = Wanted {
        id: &args.id,
        source: args.source.as_deref(),
        records_max: None,
    };
    let store = store.as_ref().map(|store| (store, &tables[..]));
    let found = trace(&cluster, &aggregations, store, &wanted, bar()).await;
    let found = found.context("is `daybook up` running?")?;
    if found.is_empty() {
        eprintln!(
            "daybook: no transaction {:?} is in the log{}. Was it refused? `daybook queue browse {}` shows what the gateway \
             refused and why",
            args.id,
            args.source.as_ref().map_or(String::new(), |source| format!(
                " from the source {source:?}"
            )),
            names::QUEUE_QUARANTINE
        );
        return Ok(ExitCode::FAILURE);
    }
    let mut out = std::io::stdout().lock();
    for one in &found {
        match args.json {
            true => writeln!(out, "{}", one.as_json())?,
            false => write!(out, "{}", as_text(one))?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Milliseconds from one hop to another, if both are known; the log's clock has whole milliseconds.
fn later(from: Option<i64>, to: i64) -> String {
    from.map_or(String::new(), |from| {
        format!(" (+{} ms)", ((to - from) / 1_000).max(0))
    })
}

fn as_text(found: &Found) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let field = |name: &str| found.fields.get(name).and_then(Value::as_str).unwrap_or("");
    let received: Option<Timestamp> = field(names::field::RECEIVED_AT).parse().ok();
    let received = received.map(Timestamp::as_microsecond);
    // Writing to a String cannot fail.
    let _ = match found.is_canonical {
        false => writeln!(text, "transaction {}", Value::from(found.fields.clone())),
        true => writeln!(
            text,
            "transaction {} of {}: {} {} on account {}, booked at {}",
            field(names::field::ID),
            match field(names::field::SOURCE) {
                "" => "no source",
                source => source,
            },
            field(names::field::AMOUNT),
            field(names::field::CURRENCY),
            field(names::field::ACCOUNT),
            field(names::field::BOOKED_AT)
        ),
    };
    match received {
        _ if !found.is_canonical => {}
        Some(at) => drop(writeln!(text, "  gateway      received {}", time(at))),
        None => drop(writeln!(
            text,
            "  queue        put by somebody else's program, not through the gateway"
        )),
    }
    let _ = writeln!(
        text,
        "  log          {}, partition {}, offset {}, appended {}{}",
        found.topic,
        found.partition,
        found.offset,
        time(found.appended_at),
        later(received, found.appended_at)
    );
    for effect in &found.effects {
        let _ = writeln!(text, "  {}: {}", effect.aggregation, effect.became);
        for row in &effect.rows {
            let _ = writeln!(text, "    row        {}", row.key);
            let columns = row.after.as_object().into_iter().flatten();
            for (name, after) in columns {
                let before = row.before.as_ref().and_then(|before| before.get(name));
                if ["v", "at", "day", "deleted"].contains(&name.as_str()) || before == Some(after) {
                    continue;
                }
                let before = before.map_or("nothing".to_owned(), plain);
                let _ = writeln!(text, "    {name}: {before} -> {}", plain(after));
            }
            match &row.published {
                Some((partition, offset, at, version)) => {
                    let _ = writeln!(
                        text,
                        "    published  {}, partition {partition}, offset {offset}, version {version}, {}{}",
                        effect.aggregation,
                        time(*at),
                        later(received, *at)
                    );
                }
                None => drop(writeln!(text, "    published  not in the topic (any more)")),
            }
            let stored = row.stored.as_deref().unwrap_or("none");
            let _ = writeln!(text, "    store      version {stored} now");
        }
    }
    text
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
