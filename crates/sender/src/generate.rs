//! `daybook send --generate N --rate R`: as many transactions as asked for, made up by seed.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::deliver::{Job, SendError, Setup, Tally, deliver};
use crate::post::{Parcel, is_source};
use crate::progress::{Length, Progress};
use crate::random::Random;
use crate::report::{Reporter, SendReport};
use crate::send::{BATCH_RECORDS_MAX, CONNECTIONS_MAX, batch_for_rate, check_range};
use crate::target::Target;

/// What is made up, and how it is sent.
#[derive(Debug, Clone)]
pub struct GenerateOptions {
    /// Address of the gateway, such as `http://127.0.0.1:8081`.
    pub gateway: String,
    /// Source that takes Daybook's own JSON.
    pub source: String,
    /// Transactions to make.
    pub records: u64,
    /// Transactions a second; `None`: as fast as they are accepted.
    pub rate: Option<u64>,
    /// Accounts that they are spread over, at least 1.
    pub accounts: u64,
    /// The same seed makes the same ids, accounts and amounts.
    pub seed: u64,
    /// Booking time of all of them, which makes them the same again when they are sent again; `None`: the time
    /// at which each request is made, so that sending the same seed again gives conflicts, not duplicates.
    pub booked_at: Option<Timestamp>,
    /// Most records of one request, 1 to [`BATCH_RECORDS_MAX`].
    pub batch_records: usize,
    /// Requests at a time.
    pub connections: usize,
    /// How long one request is repeated before giving up.
    pub retry_for: Duration,
    /// Show a bar on standard error if that is a terminal.
    pub progress: bool,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            gateway: "http://127.0.0.1:8081".to_owned(),
            source: "json".to_owned(),
            records: 10_000,
            rate: None,
            accounts: 1_000,
            seed: 1,
            booked_at: None,
            batch_records: 1_000,
            connections: 2,
            retry_for: Duration::MAX,
            progress: true,
        }
    }
}

/// Makes transactions up and posts them. See [`send`](fn@crate::send) for what it returns and when.
///
/// # Errors
///
/// [`SendError`]: settings, an unknown source, or no answer for `retry_for`.
pub async fn generate(
    options: &GenerateOptions,
    reporter: Arc<dyn Reporter>,
    shutdown: CancellationToken,
) -> Result<SendReport, SendError> {
    if !is_source(&options.source) {
        return Err(SendError::SourceName(options.source.clone()));
    }
    check_range("batch_records", options.batch_records, BATCH_RECORDS_MAX)?;
    check_range("connections", options.connections, CONNECTIONS_MAX)?;
    let setup = Setup {
        target: Target::parse(&options.gateway)?,
        connections: options.connections,
        retry_for: options.retry_for,
        records_per_second: options.rate,
        shutdown: shutdown.clone(),
    };
    let length = Length::Records(options.records);
    let tally = Arc::new(Tally::new(Progress::new(
        options.progress,
        length,
        reporter,
    )));
    let (sender, jobs) = mpsc::channel(options.connections);
    let maker = make(options.clone(), sender);
    let (result, ()) = tokio::join!(deliver(&setup, jobs, &tally), maker);
    tally.progress.finish();
    result?;
    let mut report = tally.report();
    report.interrupted = shutdown.is_cancelled();
    Ok(report)
}

/// Makes the requests, no faster than they are taken.
async fn make(options: GenerateOptions, jobs: mpsc::Sender<Job>) {
    let batch = batch_for_rate(options.batch_records, options.rate) as u64;
    let name: Arc<str> = "made-up transactions".into();
    let mut first = 1;
    while first <= options.records {
        // The place first: then the time in the records is the time at which they are sent.
        let Ok(place) = jobs.reserve().await else {
            return;
        };
        let count = batch.min(options.records - first + 1);
        let booked_at = options.booked_at.unwrap_or_else(Timestamp::now);
        let mut body = String::new();
        for number in first..first + count {
            push_record(&mut body, &options, number, booked_at);
        }
        place.send(Job {
            parcel: Parcel {
                source: options.source.clone(),
                content_type: "application/x-ndjson",
                key: None,
                first_record: Some(first),
                lenient: false,
                body: body.into(),
            },
            file: Arc::clone(&name),
            records: Some(count),
            weight: count,
        });
        first += count;
    }
}

/// Appends one line. Amounts are whole cents, from -500.00 to 499.99 EUR.
fn push_record(body: &mut String, options: &GenerateOptions, number: u64, booked_at: Timestamp) {
    let mut random = Random::of(options.seed, number);
    let account = random.below(options.accounts.max(1));
    let cents = random.below(100_000);
    let (sign, cents) = match cents.checked_sub(50_000) {
        Some(cents) => ("", cents),
        None => ("-", 50_000 - cents),
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        body,
        "{{\"id\":\"generated-{}-{number}\",\"account\":\"account-{account:06}\",\"amount\":\"{sign}{}.{:02}\",\
         \"currency\":\"EUR\",\"booked_at\":\"{booked_at:.3}\"}}",
        options.seed,
        cents / 100,
        cents % 100,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_seed_makes_the_same_records() {
        let options = GenerateOptions::default();
        let at = Timestamp::UNIX_EPOCH;
        let mut body = String::new();
        for number in 1..=3 {
            push_record(&mut body, &options, number, at);
        }
        expect![[r#"
            {"id":"generated-1-1","account":"account-000374","amount":"62.08","currency":"EUR","booked_at":"1970-01-01T00:00:00.000Z"}
            {"id":"generated-1-2","account":"account-000422","amount":"276.60","currency":"EUR","booked_at":"1970-01-01T00:00:00.000Z"}
            {"id":"generated-1-3","account":"account-000612","amount":"112.85","currency":"EUR","booked_at":"1970-01-01T00:00:00.000Z"}
        "#]]
        .assert_eq(&body);
    }
}
