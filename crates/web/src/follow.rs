//! Keeps a view fed: one thread an aggregation, as the calls of the log and the store block.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::error::FeedError;
use crate::feed::{Batch, Feed};
use crate::hub::Hub;

/// How long a poll waits; also how soon a shutdown is noticed.
const POLL_WAIT: Duration = Duration::from_millis(100);
/// Waits between attempts: doubled from the first to the last.
const RETRY_WAIT_MIN: Duration = Duration::from_millis(50);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(1);
/// A hand-off that lasted this long was a good one: the next waits start short again.
const GOOD_AFTER: Duration = Duration::from_secs(5);

/// Hands over and follows until shutdown; begins again whenever the feed cannot go on.
pub(crate) fn run(hub: &Hub, mut feed: Box<dyn Feed>, shutdown: &CancellationToken) {
    let mut wait = RETRY_WAIT_MIN;
    while !shutdown.is_cancelled() {
        let begun = Instant::now();
        let Err(error) = hand_off(hub, feed.as_mut(), shutdown) else {
            continue;
        };
        if begun.elapsed() > GOOD_AFTER {
            wait = RETRY_WAIT_MIN;
        }
        let reason = types::report(&error);
        // The topic appears a moment after us when everything starts at once.
        if wait > RETRY_WAIT_MIN * 8 {
            warn!(
                aggregation = hub.name(),
                error = reason,
                "the hand-off begins again"
            );
        }
        hub.fail(reason);
        pause(wait, shutdown);
        wait = (wait * 2).min(RETRY_WAIT_MAX);
    }
}

/// From a beginning to the shutdown, or to a clock that went back to an earlier day.
fn hand_off(hub: &Hub, feed: &mut dyn Feed, shutdown: &CancellationToken) -> Result<(), FeedError> {
    let mut stored = Vec::new();
    let span = hub.span();
    let beginning = feed.begin(&span.days, &mut |change| stored.push(change))?;
    info!(
        aggregation = hub.name(),
        rows = stored.len(),
        offsets = ?beginning.offsets,
        ends = ?beginning.ends,
        "following the results"
    );
    hub.begin(&beginning, &span, stored);
    let mut batch = Batch::default();
    while !shutdown.is_cancelled() && !hub.went_back() {
        batch.clear();
        let result = feed.poll(POLL_WAIT, &mut batch);
        hub.apply(&mut batch);
        result?;
    }
    Ok(())
}

fn pause(wait: Duration, shutdown: &CancellationToken) {
    let until = Instant::now() + wait;
    while !shutdown.is_cancelled() && Instant::now() < until {
        std::thread::sleep(RETRY_WAIT_MIN.min(wait));
    }
}
