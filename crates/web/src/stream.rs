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
use crate::hub::{Channel, Hub, Standing, StreamGuard};
use crate::position::Position;
use crate::rate::StreamPermit;
use crate::select::Asked;

/// Heartbeats' distance while catching up: progress should be seen.
const CATCHING_UP_BEAT: Duration = Duration::from_millis(500);
/// Heartbeats for which a position may be ahead of this server, which may be a slow replica.
const AHEAD_BEATS_MAX: u32 = 3;

/// Distance of frames that every client gets who asks for it or for less, however many there are: 10 a second.
const UNSHARED_INTERVAL: Duration = Duration::from_millis(100);
/// Frames a second that an aggregation's streams share beyond that: 20 of them get 50 a second each.
const SHARED_FRAMES_MAX: u32 = 1_000;

/// Distance between frames of one of these streams: what it asks for, while its share of [`SHARED_FRAMES_MAX`] allows it, and
/// never more than [`UNSHARED_INTERVAL`] on account of the others.
fn interval_of(asked: Duration, streams: usize) -> Duration {
    let streams = u32::try_from(streams).unwrap_or(u32::MAX);
    let share = Duration::from_secs(1).saturating_mul(streams) / SHARED_FRAMES_MAX;
    asked.max(share.min(UNSHARED_INTERVAL))
}

/// What a client asks for.
#[derive(Debug)]
pub(crate) struct StreamRequest {
    /// Whose rows.
    pub(crate) day: BusinessDay,
    /// Whether the next day's rows follow at roll-over.
    pub(crate) follows: bool,
    pub(crate) rows: Rows,
    /// Least distance between frames that it asks for.
    pub(crate) interval: Duration,
    /// Longest silence.
    pub(crate) heartbeat: Duration,
}

/// Which rows a client follows.
#[derive(Debug)]
pub(crate) enum Rows {
    /// All, from where it stands; `None`: it has nothing.
    All(Option<Position>),
    /// Those it looks at.
    Window(Asked),
    /// A window of a day that is over, whose rows are the store's: the whole of it, as it was read.
    Stored(String),
}

struct Client {
    hub: Arc<Hub>,
    _guard: StreamGuard,
    _permit: StreamPermit,
    shutdown: CancellationToken,
    changes: watch::Receiver<u64>,
    request: StreamRequest,
    /// Where a client of all rows stands; `None` before it has anything.
    offsets: Option<Vec<i64>>,
    /// What a client of a window looks at, and where it stands.
    window: Option<(Arc<Channel>, Standing)>,
    /// When its window may have another order, though nothing changes.
    again: Option<Instant>,
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

/// The events as a response's body. `permit` is its client's place for it.
pub(crate) fn body(
    hub: Arc<Hub>,
    request: StreamRequest,
    permit: StreamPermit,
    shutdown: CancellationToken,
) -> Body {
    let now = Instant::now();
    let today = hub.view().today();
    let client = Client {
        _guard: hub.open_stream(),
        _permit: permit,
        changes: hub.changes(),
        today,
        shutdown,
        request,
        offsets: None,
        window: None,
        again: None,
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
            if let Rows::Stored(window) = &mut self.request.rows {
                let window = std::mem::take(window);
                return self.stored(window).await;
            }
            if self.offsets.is_none() && self.window.is_none() {
                match self.begin() {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            if self.hub.view().epoch() != self.epoch {
                return Some(self.reset("this position belongs to another log"));
            }
            let again = self.again.unwrap_or(self.beat_due).min(self.beat_due);
            if !self.wait(again).await? && Instant::now() >= self.beat_due {
                return Some(self.beat());
            }
            if !self.sleep(self.frame_due).await {
                return None;
            }
            let news = match self.window.is_some() {
                true => self.window_news().await,
                false => self.frame(),
            };
            if let Some(event) = news {
                return Some(event);
            }
        }
    }

    /// The window, once; then nothing of it changes.
    async fn stored(&mut self, window: String) -> Option<Bytes> {
        if !window.is_empty() {
            return Some(window.into());
        }
        let beats = self.sleep(self.beat_due).await;
        beats.then(|| self.heartbeat().into())
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
        let from = match &mut self.request.rows {
            Rows::All(from) => from.take(),
            Rows::Window(asked) => {
                let channel = self.hub.channel(self.request.day, asked);
                self.window = Some((channel, Standing::default()));
                self.hub.view().epoch().clone_into(&mut self.epoch);
                // At once, whether or not anything has ever changed.
                (self.again, self.frame_due) = (Some(Instant::now()), Instant::now());
                return None;
            }
            Rows::Stored(_) => return None,
        };
        if let Some(from) = from {
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
        self.frame_due = Instant::now() + self.interval();
        Some(frame.event)
    }

    /// The window if it is another one, else its rows that changed and the sums.
    async fn window_news(&mut self) -> Option<Bytes> {
        let (channel, standing) = self.window.as_mut()?;
        let sent = self.hub.window_news(channel, standing).await;
        standing.clone_from(&sent.to);
        self.seen = sent.seq;
        self.again = sent.again.map(Instant::from_std);
        self.frame_due = Instant::now() + self.interval();
        let news = self.hub.state() != self.state_told;
        match (&sent.event, news) {
            (None, false) => None,
            (Some(event), false) => Some(event.clone()),
            (event, true) => {
                let mut both = event.as_deref().unwrap_or_default().to_vec();
                both.extend_from_slice(self.heartbeat().as_bytes());
                Some(both.into())
            }
        }
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
        self.frame_due = Instant::now() + self.interval();
        self.offsets = Some(frame.to.clone());
        if !news {
            return Some(frame.event.clone());
        }
        let mut both = frame.event.to_vec();
        both.extend_from_slice(self.heartbeat().as_bytes());
        Some(both.into())
    }

    fn interval(&self) -> Duration {
        interval_of(self.request.interval, self.hub.streams())
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
            self.window = None;
        }
        let day = today.to_string();
        Some(event("day", &DayChange { day, previous }).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_get_what_they_ask_for_and_many_ten_a_second() {
        let check = |hz: u32, streams: usize, millis: u64| {
            let interval = interval_of(Duration::from_secs(1) / hz, streams);
            assert_eq!(
                interval,
                Duration::from_millis(millis),
                "{hz} Hz, {streams} streams"
            );
        };
        check(50, 1, 20);
        check(50, 20, 20);
        check(50, 21, 21);
        check(50, 100, 100);
        check(50, 101, 100);
        check(50, usize::MAX, 100);
        check(10, 10_000, 100);
        check(1, 10_000, 1_000);
        check(100, 1, 10);
    }
}
