//! What has arrived of the bench's own accounts, by the page's API: how far the totals are behind what was accepted.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use types::Amount;

use super::number::whole;
use crate::bench::events::{self, Stream, WebError};
use crate::bench::visible::{self, Columns};
use crate::target::Target;

/// Between two looks at the time, and at the store.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// How often somebody who waits is told.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Where the totals are asked for.
#[derive(Debug)]
pub(crate) struct Totals {
    web: Target,
    aggregation: String,
    columns: Columns,
    prefix: String,
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
            aggregation: aggregation.to_owned(),
            columns,
            prefix: prefix.to_owned(),
        })
    }

    /// Waits until `all` transactions of the accounts are in the totals; answers how long that took, and `None` where
    /// none came any more for `still_max`, or it was stopped. By the stream of results: a snapshot is of the store,
    /// which is up to a second behind.
    pub(crate) async fn wait(
        &self,
        all: u64,
        still_max: Duration,
        stop: &CancellationToken,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<Option<Duration>, WebError> {
        let begun = Instant::now();
        let mut waiting = Waiting::new(all, still_max, say);
        // Its first frame has all rows.
        let mut stream = Stream::open(&self.web, &self.aggregation).await?;
        let mut counts: HashMap<u64, u64> = HashMap::new();
        loop {
            let mut bad = None;
            stream.drain(|name, data| {
                let rows = (name == "message").then(|| {
                    visible::read_rows(data, &self.prefix, self.columns, |row| {
                        counts.insert(row.account, row.transactions);
                    })
                });
                bad = bad.take().or(rows.and_then(Result::err));
            });
            if let Some(source) = bad {
                return Err(WebError::Json {
                    path: "the stream".to_owned(),
                    source,
                });
            }
            match waiting.is_over(counts.values().sum()) {
                Some(is_all) => return Ok(is_all.then(|| begun.elapsed())),
                None if stop.is_cancelled() => return Ok(None),
                None => {}
            }
            tokio::select! {
                read = stream.read() => read?,
                () = tokio::time::sleep(LOOK_PAUSE) => {}
            }
        }
    }

    /// How the accounts of the store differ from what was expected of each, once as many transactions are in them or none
    /// came any more for `still_max`.
    pub(crate) async fn differences(
        &self,
        expected: &[(u64, Amount)],
        still_max: Duration,
        stop: &CancellationToken,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<Vec<String>, WebError> {
        let path = format!("/api/v1/{}/snapshot", self.aggregation);
        let bad = |source| WebError::Json {
            path: path.clone(),
            source,
        };
        let all = expected.iter().map(|(count, _)| count).sum();
        let mut waiting = Waiting::new(all, still_max, say);
        loop {
            let snapshot = events::fetch(&self.web, &path).await?;
            let mut seen = 0;
            visible::read_rows(&snapshot, &self.prefix, self.columns, |row| {
                seen += row.transactions;
            })
            .map_err(bad)?;
            if waiting.is_over(seen).is_some() || stop.is_cancelled() {
                return visible::verify(&snapshot, &self.prefix, self.columns, expected)
                    .map_err(bad);
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }
}

/// How far a wait is, and when it is over.
struct Waiting<'a> {
    all: u64,
    still_max: Duration,
    say: &'a (dyn Fn(&str) + Sync),
    last: u64,
    moved: Instant,
    said: Instant,
}

impl<'a> Waiting<'a> {
    fn new(all: u64, still_max: Duration, say: &'a (dyn Fn(&str) + Sync)) -> Self {
        let now = Instant::now();
        Self {
            all,
            still_max,
            say,
            last: 0,
            moved: now,
            said: now,
        }
    }

    /// `None`: wait on. Else whether everything is there.
    fn is_over(&mut self, seen: u64) -> Option<bool> {
        if seen >= self.all {
            return Some(true);
        }
        if seen > self.last {
            (self.last, self.moved) = (seen, Instant::now());
        }
        if self.moved.elapsed() > self.still_max {
            return Some(false);
        }
        if self.said.elapsed() > SAY_EVERY {
            self.said = Instant::now();
            (self.say)(&format!(
                "waiting for the totals: {} of {} records are in them",
                whole(seen),
                whole(self.all)
            ));
        }
        None
    }
}
