//! One client's stream of events.
//!
//! A client is a day, a position and a rate. Nothing waits for it in a queue: [`Client::next`] is
//! called when its socket takes more, and computes then what it lacks.
//!
//! # Invariants
//!
//! - The first change after a pause is sent at once; then frames keep the client's distance.
//! - `prev` of a frame is where the client stands: `pos` of the frame before, or where it began.
//! - Something is sent at least every heartbeat.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use types::BusinessDay;

use crate::api::{DayChange, Reset, State};
use crate::hub::{Hub, StreamGuard};
use crate::position::Position;

/// Heartbeats' distance while catching up: progress should be seen.
const CATCHING_UP_BEAT: Duration = Duration::from_millis(500);
/// Heartbeats for which a position may be ahead of this server, which may be a slow replica.
const AHEAD_BEATS_MAX: u32 = 3;

/// What a client asks for.
#[derive(Debug)]
pub(crate) struct StreamRequest {
    /// Whose rows.
    pub(crate) day: BusinessDay,
    /// Whether the next day's rows follow at roll-over.
    pub(crate) follows: bool,
    /// Where it stands; `None`: it has nothing.
    pub(crate) from: Option<Position>,
    /// Least distance between frames.
    pub(crate) interval: Duration,
    /// Longest silence.
    pub(crate) heartbeat: Duration,
}

struct Client {
    hub: Arc<Hub>,
    _guard: StreamGuard,
    shutdown: CancellationToken,
    changes: watch::Receiver<u64>,
    request: StreamRequest,
    /// Where the client stands; `None` before it has anything.
    offsets: Option<Vec<i64>>,
    /// The log it stands in.
    epoch: String,
    /// Changes up to here are in what was sent.
    seen: u64,
    today: BusinessDay,
    state_told: State,
    frame_due: Instant,
    beat_due: Instant,
    ahead_beats: u32,
    step: Step,
}

#[derive(PartialEq, Eq)]
enum Step {
    Greet,
    Follow,
    End,
}

/// The events as a response's body.
pub(crate) fn body(hub: Arc<Hub>, request: StreamRequest, shutdown: CancellationToken) -> Body {
    let now = Instant::now();
    let today = hub.view().today();
    let client = Client {
        _guard: hub.open_stream(),
        changes: hub.changes(),
        today,
        shutdown,
        request,
        offsets: None,
        epoch: String::new(),
        seen: 0,
        state_told: State::CatchingUp,
        frame_due: now,
        beat_due: now,
        ahead_beats: 0,
        step: Step::Greet,
        hub,
    };
    Body::from_stream(futures::stream::unfold(client, |mut client| async move {
        let event = client.next().await?;
        Some((Ok::<Bytes, Infallible>(event), client))
    }))
}

fn event(name: &str, data: &impl Serialize) -> String {
    // These are plain structs with text keys: serialising them cannot fail.
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("event: {name}\ndata: {data}\n\n")
}

impl Client {
    async fn next(&mut self) -> Option<Bytes> {
        match self.step {
            Step::Greet => {
                self.step = Step::Follow;
                let greeting = format!("retry: 1000\n\n{}", self.heartbeat());
                return Some(greeting.into());
            }
            Step::Follow => {}
            Step::End => return None,
        }
        loop {
            if let Some(event) = self.day_change() {
                return Some(event);
            }
            if !self.hub.serves() {
                return self.catching_up().await;
            }
            let Some(offsets) = self.offsets.take() else {
                match self.begin() {
                    Some(event) => return Some(event),
                    None => continue,
                }
            };
            if self.hub.view().epoch() != self.epoch {
                return Some(self.reset("this position belongs to another log"));
            }
            self.offsets = Some(offsets);
            if !self.wait(self.beat_due).await? {
                return Some(self.beat());
            }
            if !self.sleep(self.frame_due).await {
                return None;
            }
            if let Some(event) = self.frame() {
                return Some(event);
            }
        }
    }

    /// Nothing is shown yet: says how far it is, a few times a second.
    async fn catching_up(&mut self) -> Option<Bytes> {
        self.seen = *self.changes.borrow_and_update();
        if !self.sleep(Instant::now() + CATCHING_UP_BEAT / 5).await {
            return None;
        }
        if !self.hub.serves() {
            self.wait(Instant::now() + CATCHING_UP_BEAT).await?;
        }
        Some(self.heartbeat().into())
    }

    /// Waits for a change, or until then; says whether there was a change. `None` at shutdown.
    async fn wait(&mut self, until: Instant) -> Option<bool> {
        let seen = self.seen;
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => None,
            changed = self.changes.wait_for(|seq| *seq > seen) => {
                changed.ok()?;
                Some(true)
            }
            () = sleep_until(until) => Some(false),
        }
    }

    /// Says whether it slept through, rather than being shut down.
    async fn sleep(&self, until: Instant) -> bool {
        if Instant::now() >= until {
            return true;
        }
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => false,
            () = sleep_until(until) => true,
        }
    }

    /// Takes up where the client stands, or gives it everything. `None`: there is nothing to say.
    fn begin(&mut self) -> Option<Bytes> {
        if let Some(from) = self.request.from.take() {
            if let Some(reason) = self.hub.refusal(&from) {
                return Some(self.reset(reason));
            }
            if from.day == self.request.day {
                self.epoch = from.epoch;
                self.offsets = Some(from.offsets);
                self.seen = 0;
                return None;
            }
            if !self.request.follows {
                return Some(self.reset("this position belongs to another day"));
            }
        }
        self.hub.view().epoch().clone_into(&mut self.epoch);
        let frame = self.hub.whole_frame(self.request.day);
        self.seen = frame.seq;
        self.offsets = Some(frame.to);
        self.frame_due = Instant::now() + self.request.interval;
        Some(frame.event)
    }

    /// Rows that changed, and the state if that changed.
    fn frame(&mut self) -> Option<Bytes> {
        let offsets = self.offsets.as_ref()?;
        let frame = self.hub.frame(offsets, self.request.day);
        self.seen = frame.seq;
        let news = self.hub.state() != self.state_told;
        if !frame.has_rows {
            return news.then(|| self.heartbeat().into());
        }
        self.frame_due = Instant::now() + self.request.interval;
        self.offsets = Some(frame.to.clone());
        if !news {
            return Some(frame.event.clone());
        }
        let mut both = frame.event.to_vec();
        both.extend_from_slice(self.heartbeat().as_bytes());
        Some(both.into())
    }

    /// The heartbeat, and the position if it has moved without rows of this day.
    fn beat(&mut self) -> Bytes {
        let Some(offsets) = &self.offsets else {
            return self.heartbeat().into();
        };
        if self.hub.is_ahead(offsets) && self.hub.state() == State::Live {
            self.ahead_beats += 1;
            if self.ahead_beats > AHEAD_BEATS_MAX {
                return self.reset("this position is ahead of the log");
            }
        } else {
            self.ahead_beats = 0;
        }
        let frame = self.hub.frame(offsets, self.request.day);
        let moved = frame.to != *offsets;
        self.seen = frame.seq;
        let heartbeat = self.heartbeat();
        if !moved {
            return heartbeat.into();
        }
        self.offsets = Some(frame.to.clone());
        let mut both = frame.event.to_vec();
        both.extend_from_slice(heartbeat.as_bytes());
        both.into()
    }

    fn heartbeat(&mut self) -> String {
        let heartbeat = self.hub.heartbeat();
        self.state_told = heartbeat.state;
        self.beat_due = Instant::now() + self.request.heartbeat;
        event("heartbeat", &heartbeat)
    }

    /// The stream ends behind it. An empty `id` makes a browser forget its position.
    fn reset(&mut self, reason: &str) -> Bytes {
        self.step = Step::End;
        let reason = reason.to_owned();
        format!("id:\n{}", event("reset", &Reset { reason })).into()
    }

    /// The day has changed by the clock: say so; a client that follows today gets the new day's rows.
    fn day_change(&mut self) -> Option<Bytes> {
        let today = self.hub.view().today();
        if today == self.today {
            return None;
        }
        let previous = std::mem::replace(&mut self.today, today).to_string();
        if self.request.follows {
            self.request.day = today;
            self.offsets = None;
        }
        let day = today.to_string();
        Some(event("day", &DayChange { day, previous }).into())
    }
}
