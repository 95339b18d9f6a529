//! What has arrived of the bench's own accounts, by the page's API: how far the totals are behind what was accepted.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use types::Amount;

use super::number::whole;
use crate::bench::events::{self, WebError};
use crate::bench::visible::{self, Columns};
use crate::target::Target;

/// Shortest time between two looks. A look that takes long is followed by a longer pause, so that looking is no load.
const LOOK_PAUSE_MIN: Duration = Duration::from_millis(100);
/// So many times as long as the look itself took.
const LOOK_PAUSE_TIMES: u32 = 4;
/// How often somebody who waits is told.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Where the totals are asked for.
#[derive(Debug)]
pub(crate) struct Totals {
    web: Target,
    path: String,
    columns: Columns,
    prefix: String,
}

/// What a wait came to.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// Whether everything is there.
    pub(crate) is_all: bool,
    /// Until it was, or until the totals stood still.
    pub(crate) took: Duration,
    /// The last look.
    pub(crate) snapshot: Vec<u8>,
}

impl Totals {
    /// Asks which columns the aggregation has; the accounts are those whose name begins with `prefix`.
    pub(crate) async fn open(
        web: Target,
        aggregation: &str,
        prefix: &str,
    ) -> Result<Self, WebError> {
        let columns = events::columns(&web, aggregation).await?;
        Ok(Self {
            web,
            path: format!("/api/v1/{aggregation}/snapshot"),
            columns,
            prefix: prefix.to_owned(),
        })
    }

    /// Waits until `all` transactions of the accounts are in the totals, as long as more and more are: it gives up when
    /// none came for `still_max`, and when it is stopped.
    pub(crate) async fn wait(
        &self,
        all: u64,
        still_max: Duration,
        stop: &CancellationToken,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<Arrived, WebError> {
        let begun = Instant::now();
        let (mut last, mut moved, mut said) = (0, begun, begun);
        loop {
            let look = Instant::now();
            let snapshot = events::fetch(&self.web, &self.path).await?;
            let seen = self.counted(&snapshot)?;
            if seen > last {
                (last, moved) = (seen, Instant::now());
            }
            if seen >= all || moved.elapsed() > still_max || stop.is_cancelled() {
                return Ok(Arrived {
                    is_all: seen >= all,
                    took: begun.elapsed(),
                    snapshot,
                });
            }
            if said.elapsed() > SAY_EVERY {
                said = Instant::now();
                say(&format!(
                    "waiting for the totals: {} of {} records are in them",
                    whole(seen),
                    whole(all)
                ));
            }
            tokio::time::sleep(LOOK_PAUSE_MIN.max(look.elapsed() * LOOK_PAUSE_TIMES)).await;
        }
    }

    fn counted(&self, snapshot: &[u8]) -> Result<u64, WebError> {
        let mut sum = 0;
        visible::read_rows(snapshot, &self.prefix, self.columns, |seen| {
            sum += seen.transactions;
        })
        .map_err(|source| self.bad(source))?;
        Ok(sum)
    }

    /// How a look's accounts differ from what was expected of each.
    pub(crate) fn differences(
        &self,
        snapshot: &[u8],
        expected: &[(u64, Amount)],
    ) -> Result<Vec<String>, WebError> {
        visible::verify(snapshot, &self.prefix, self.columns, expected)
            .map_err(|source| self.bad(source))
    }

    fn bad(&self, source: serde_json::Error) -> WebError {
        WebError::Json {
            path: self.path.clone(),
            source,
        }
    }
}
