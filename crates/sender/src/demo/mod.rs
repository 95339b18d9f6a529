//! `daybook up --demo`: realistic made-up traffic of today, through the gateway like any other.
//!
//! # Where to start reading
//!
//! [`run`] posts what has happened since midnight (`backlog`) and then goes on (`mix`). `world` says who
//! takes part, `documents` how they write it.
//!
//! # Invariants
//!
//! - **Nobody's data.** Names, accounts and amounts are made up; bank codes are those of no bank.
//! - **Only the front door.** Everything is posted to the gateway; nothing is known of what lies behind.
//! - Amounts are whole minor units.

mod backlog;
mod documents;
mod mix;
mod world;

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::http::Answer;
use crate::post::{Parcel, PostError, Poster};
use crate::random::Random;
use crate::report::{Outcome, Reporter};
use crate::target::{BadTarget, Target};

use documents::Document;
use mix::Mix;
use world::World;

/// Behind by more than this, the demo does not make up for what it missed.
const BEHIND_MAX: Duration = Duration::from_secs(1);

/// What the demo sends.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// Address of the gateway.
    pub gateway: String,
    /// Transactions a second, on average; 1 to 10,000.
    pub rate: u32,
    /// IANA time zone whose today it is.
    pub zone: String,
    /// The same seed makes the same accounts and, for one day, the same transactions since midnight.
    pub seed: u64,
}

impl Default for DemoOptions {
    fn default() -> Self {
        Self {
            gateway: "http://127.0.0.1:8081".to_owned(),
            rate: 40,
            zone: "UTC".to_owned(),
            seed: 1,
        }
    }
}

/// Why the demo does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// The gateway's address cannot be used.
    #[error(transparent)]
    Target(#[from] BadTarget),
    /// There is no such time zone.
    #[error("the time zone {zone:?} is not known")]
    Zone {
        /// As given.
        zone: String,
        /// What jiff says.
        #[source]
        source: jiff::Error,
    },
    /// The rate cannot be used.
    #[error("`rate` is {0}, but must be between 1 and 10000")]
    Rate(u32),
}

/// What the demo has sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DemoReport {
    /// Documents answered.
    pub documents: u64,
    /// Transactions accepted, those sent twice included.
    pub accepted: u64,
    /// Documents refused. A few are meant to be.
    pub refused: u64,
}

/// Posts what has happened since midnight and then goes on until `shutdown` fires.
///
/// While the gateway is away the document at hand is sent again until it is answered.
///
/// # Errors
///
/// [`DemoError`] before anything is sent; nothing ends it later.
pub async fn run(
    options: DemoOptions,
    reporter: Arc<dyn Reporter>,
    shutdown: CancellationToken,
) -> Result<DemoReport, DemoError> {
    let target = Target::parse(&options.gateway)?;
    let zone = TimeZone::get(&options.zone).map_err(|source| DemoError::Zone {
        zone: options.zone.clone(),
        source,
    })?;
    if !(1..=10_000).contains(&options.rate) {
        return Err(DemoError::Rate(options.rate));
    }
    let mut demo = Demo {
        poster: Poster::new(target, Duration::MAX, shutdown.clone()),
        reporter,
        report: DemoReport::default(),
    };
    let now = || Timestamp::now().to_zoned_datetime(zone.clone());
    let world = World::new(options.seed);
    let start = now();
    if demo.backlog(&world, options.seed, &start).await.is_err() {
        return Ok(demo.report);
    }
    let run = documents::run_name(start.timestamp());
    let mut mix = Mix::new(world, options.seed, run);
    let mut random = Random::from_clock();
    let mut next = Instant::now();
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(demo.report),
            () = tokio::time::sleep_until(next) => {}
        }
        let document = mix.next(&now());
        let pause = pause(&mut random, document.transactions, options.rate);
        if demo.post(document).await.is_err() {
            return Ok(demo.report);
        }
        next += pause;
        let earliest = Instant::now();
        if earliest.duration_since(next) > BEHIND_MAX {
            next = earliest;
        }
    }
}

/// Time until the next document: exponential, so that they come as independent senders' do.
fn pause(random: &mut Random, transactions: u64, rate: u32) -> Duration {
    // A number above 0 and up to 1, with 32 bits.
    let drawn = (random.below(1 << 32) + 1) as f64 / (1_u64 << 32) as f64;
    let mean = transactions.min(1_000) as f64 / f64::from(rate);
    Duration::from_secs_f64((-drawn.ln() * mean).clamp(0.0, 60.0))
}

struct Demo {
    poster: Poster,
    reporter: Arc<dyn Reporter>,
    report: DemoReport,
}

impl Demo {
    async fn backlog(
        &mut self,
        world: &World,
        seed: u64,
        now: &ZonedDateTime,
    ) -> Result<(), PostError> {
        let before = self.report.accepted;
        for document in backlog::documents(world, seed, now) {
            self.post(document).await?;
        }
        let accepted = self.report.accepted - before;
        self.reporter.say(&format!(
            "demo: {accepted} made-up transactions since midnight were posted, more follow"
        ));
        Ok(())
    }

    async fn post(&mut self, document: Document) -> Result<(), PostError> {
        let Document {
            source,
            content_type,
            body,
            transactions,
        } = document;
        let parcel = Parcel {
            source: source.to_owned(),
            content_type,
            key: None,
            first_record: None,
            lenient: false,
            body: body.into(),
        };
        let reporter = Arc::clone(&self.reporter);
        let mut is_away = false;
        let mut on_retry = |error: &str, _| {
            if !std::mem::replace(&mut is_away, true) {
                reporter.say(&format!("demo: {error}; it goes on when the gateway does"));
            }
        };
        let answer = self.poster.post(&parcel, &mut on_retry).await?;
        self.count(&answer, source, transactions);
        Ok(())
    }

    fn count(&mut self, answer: &Answer, source: &str, transactions: u64) {
        let outcome = Outcome::read(answer, source, Some(transactions));
        self.report.documents += 1;
        self.report.accepted += outcome.accepted;
        if outcome.refused > 0 {
            self.report.refused += 1;
            let problem = outcome.problems.first().map(ToString::to_string);
            tracing::debug!(
                status = answer.status,
                problem,
                "a made-up document was refused"
            );
        }
    }
}

#[cfg(test)]
mod tests;
