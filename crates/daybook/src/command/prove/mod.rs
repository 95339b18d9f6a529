//! `daybook prove`: in = out at every hop, by code of its own.
//!
//! Independent of the parts on purpose: another reader of records, another duplicate check, sums over
//! the whole log at once instead of batch by batch, and for the hops before the log the queue's ledger.
//! What it shares with the aggregator is the SQL engine and the calendar.
//!
//! `published` reads store and results, `transaction` the log, `hops` compares it with the ledger,
//! `recompute` makes the totals anew and compares them with the results, `report` prints.
//!
//! # Invariants
//!
//! - Later points are read before earlier ones: what is not there yet is on its way, what is there and was
//!   never sent is a difference, also while traffic goes on.
//! - On its way is only what arrives: the next look must find it.

mod hops;
mod published;
mod recompute;
mod report;
mod transaction;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use hops::{Hops, Ledger};
use kafka_client::Cluster;
use pipeline::{Place, Plan, log_cluster};
use published::Published;
use recompute::Totals;
use sender::Target;
use transaction::{Bounds, Log};
use types::names;

use crate::cli::{Global, ProveArgs};

pub(crate) async fn run(global: &Global, args: ProveArgs) -> anyhow::Result<ExitCode> {
    let plan = global.plan().await?;
    let cluster = log_cluster(&plan.config().log, &global.data_dir)?;
    // Somebody else's queue manager keeps no ledger for us.
    let admin = match plan.config().queue.place {
        Place::Embedded => Some(Target::parse(&format!(
            "http://{}",
            plan.config().admin.address
        ))?),
        Place::External => None,
    };
    let deadline = Instant::now() + Duration::from_secs(args.wait);
    let mut previous: Option<Look> = None;
    loop {
        let mut look = look(global, &plan, &cluster, admin.as_ref()).await?;
        let is_over = Instant::now() >= deadline;
        // While traffic goes on something is always on its way. Then what the last look saw must be
        // there now; otherwise everything must.
        let arrived = previous
            .as_ref()
            .is_some_and(|last| last.has_arrived(&look));
        let again = previous
            .as_ref()
            .is_some_and(|last| last.log.bounds == look.log.bounds);
        let wrong = look.has_differences() && previous.as_ref().is_some_and(Look::has_differences);
        if look.is_settled() || (arrived && !again) || wrong || is_over {
            if !look.is_settled() && !arrived && !wrong {
                let late = format!("something did not arrive within {} s", args.wait);
                look.totals
                    .iter_mut()
                    .for_each(|total| total.be_late(&late));
                look.hops.iter_mut().for_each(|hops| hops.be_late(&late));
            }
            report::write(&args, &look.log.sources, look.hops.as_ref(), &look.totals)?;
            return Ok(match look.has_differences() {
                false => ExitCode::SUCCESS,
                true => ExitCode::FAILURE,
            });
        }
        wait_for_change(&cluster, &look.log.bounds, deadline).await?;
        previous = Some(look);
    }
}

/// Everything at one moment, later points first: what a point has, those before it have had.
struct Look {
    published: Vec<Published>,
    log: Log,
    hops: Option<Hops>,
    totals: Vec<Totals>,
}

async fn look(
    global: &Global,
    plan: &Plan,
    cluster: &Cluster,
    admin: Option<&Target>,
) -> anyhow::Result<Look> {
    let tables = plan.tables();
    let published = tables.map(|table| published::look(global, plan, cluster, table));
    let published = published.collect::<anyhow::Result<Vec<Published>>>()?;
    let before = match admin {
        Some(admin) => hops::fetch(admin).await?,
        None => Ledger::default(),
    };
    let log = transaction::read_log(cluster)?;
    let hops = match admin {
        Some(admin) => {
            let after = hops::fetch(admin).await?;
            Some(hops::compare(&before, &after, &log.tallies, &log.records)?)
        }
        None => None,
    };
    let mut totals = Vec::new();
    for (options, published) in plan.aggregations().zip(&published) {
        let others;
        let records = match options.input.topic.as_str() {
            names::TOPIC_TRANSACTIONS => &log.records,
            topic => {
                others = transaction::read_other(cluster, topic)?;
                &others
            }
        };
        totals.push(recompute::compare(options, records, published).await?);
    }
    Ok(Look {
        published,
        log,
        hops,
        totals,
    })
}

impl Look {
    fn has_differences(&self) -> bool {
        let of_hops = self.hops.as_ref().map(|hops| &hops.differences);
        let of_totals = self.totals.iter().map(|total| &total.differences);
        of_totals.chain(of_hops).any(|found| !found.is_empty())
    }

    fn is_settled(&self) -> bool {
        self.hops.as_ref().is_none_or(|hops| hops.moving == 0)
            && self.totals.iter().all(Totals::is_settled)
            && !self.has_differences()
    }

    /// Whether everything this look expected is there now, and nothing is wrong now.
    fn has_arrived(&self, now: &Self) -> bool {
        let hops = match (&self.hops, &now.hops) {
            (Some(hops), Some(now)) => hops.has_arrived(now),
            _ => true,
        };
        let mut totals = self.totals.iter().zip(&now.published);
        hops && totals.all(|(total, now)| total.has_arrived(now)) && !now.has_differences()
    }
}

/// Waits a moment, or until more was produced: a difference may only be something on its way.
async fn wait_for_change(
    cluster: &Cluster,
    bounds: &Bounds,
    deadline: Instant,
) -> anyhow::Result<()> {
    let consumer = cluster.reader("daybook-prove")?;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        if Instant::now() >= deadline
            || cluster.offsets(&consumer, names::TOPIC_TRANSACTIONS)? != *bounds
        {
            break;
        }
    }
    Ok(())
}
