//! Before: each kind is sent once, so that a mix which cannot be accepted is told at once. After: the totals of the
//! bench's own accounts against what was accepted, exactly.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use types::Amount;

use super::GatewayBenchError;
use super::mix::Kind;
use super::report::Sums;
use super::run::{Books, Run};
use super::totals::Totals;
use crate::bench::events::WebError;
use crate::http::{Answer, Connection};
use crate::post::detail;
use crate::report::Outcome;

/// Longest time for the answer to a trial.
const TRIAL_TIME_MAX: Duration = Duration::from_secs(30);
/// Most differences that a report names.
const DIFFERENCES_MAX: usize = 20;
/// Units of an amount in a cent.
const UNITS_A_CENT: i128 = 1_000;

/// Sends one document of each kind, and learns how many records the gateway finds in a template without `{each}`.
pub(crate) async fn trial(run: &mut Run) -> Result<(), GatewayBenchError> {
    let no_answer = |error| GatewayBenchError::Gateway(types::report(&error));
    let mut connection = Connection::open(&run.target).await.map_err(no_answer)?;
    let (mut body, mut bytes) = (Vec::new(), Vec::new());
    for place in 0..run.mix.kinds.len() {
        let Some(number) = (0..run.mix.turns()).find(|number| run.mix.kind_of(*number) == place)
        else {
            continue;
        };
        run.make(number, &mut body, &mut bytes);
        let (answer, _) = connection
            .request(&bytes, b"", TRIAL_TIME_MAX)
            .await
            .map_err(no_answer)?;
        let accepted = accepted_of(&run.mix.kinds[place], &answer)?;
        run.mix.kinds[place].expected = accepted;
        run.books().sent += 1;
        run.enter(number, accepted);
    }
    Ok(())
}

/// Records that the answer to a trial accepts, as many as were meant.
fn accepted_of(kind: &Kind, answer: &Answer) -> Result<u64, GatewayBenchError> {
    let outcome = Outcome::read(answer, &kind.name, Some(kind.expected));
    if answer.status != 202 {
        let why = match outcome.problems.first() {
            Some(problem) => problem.to_string(),
            None => detail(answer),
        };
        return Err(GatewayBenchError::Trial {
            kind: kind.name.clone(),
            status: answer.status,
            why,
        });
    }
    if kind.template.repeats() && outcome.accepted != kind.expected {
        return Err(GatewayBenchError::Records {
            kind: kind.name.clone(),
            meant: kind.expected,
            found: outcome.accepted,
        });
    }
    Ok(outcome.accepted)
}

/// The sums of a run, with the totals compared where there is somebody to ask.
pub(crate) async fn sums(
    run: &Run,
    totals: Result<&Totals, String>,
    still_max: Duration,
    stop: &CancellationToken,
    say: &(dyn Fn(&str) + Sync),
) -> Sums {
    let books = run.books().clone();
    let mut sums = Sums {
        requests_sent: books.sent,
        requests_accepted: books.accepted,
        requests_refused: books.refused,
        requests_unknown: books.unknown,
        records_sent: books.records_sent,
        records_accepted: books.records_accepted,
        miscounted_count: books.miscounted_count,
        miscounted: books.miscounted.clone(),
        ..Sums::default()
    };
    let compared = match (totals, books.unknown) {
        (Err(why), _) => Err(why),
        (_, unknown) if unknown > 0 => Err(format!("of {unknown} requests nobody knows the fate")),
        _ if !books.has_accounts() => {
            Err("only what is built in has accounts of its own".to_owned())
        }
        (Ok(totals), _) => differences(&books, totals, still_max, stop, say)
            .await
            .map_err(|error| types::report(&error)),
    };
    match compared {
        Ok(found) => {
            sums.accounts_compared = books.accounts.len() as u64;
            sums.differences_count = found.len() as u64;
            sums.differences = found.into_iter().take(DIFFERENCES_MAX).collect();
        }
        Err(why) => sums.not_compared = why,
    }
    sums
}

async fn differences(
    books: &Books,
    totals: &Totals,
    still_max: Duration,
    stop: &CancellationToken,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Vec<String>, WebError> {
    let expected: Vec<(u64, Amount)> = books
        .accounts
        .iter()
        .map(|(count, cents)| {
            let amount = Amount::from_units(cents * UNITS_A_CENT);
            (*count, amount.unwrap_or(Amount::ZERO))
        })
        .collect();
    totals.differences(&expected, still_max, stop, say).await
}
