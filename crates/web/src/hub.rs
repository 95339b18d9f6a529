//! One aggregation on the server: its view behind a lock, and what all its clients share.
//!
//! # Where to start reading
//!
//! [`Hub::apply`] is the way in (the follower's thread), [`Hub::frame`] and [`Hub::snapshot`] the
//! ways out (requests).
//!
//! # Invariants
//!
//! - The lock of the view is held for one batch or one encoding, never across an await.
//! - Clients wait for a number that rises with every batch; what they lack is computed when they
//!   ask, so a slow one costs no memory here.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use telemetry::{Hop, Meter};
use tokio::sync::watch;
use types::{BusinessDay, Micros};

use crate::api::{Heartbeat, Latency, State};
use crate::cell::Schema;
use crate::curve::Curves;
use crate::feed::{Batch, Beginning};
use crate::history::History;
use crate::options::{AggregationView, WebOptions};
use crate::order::Orders;
use crate::position::{Position, write_position};
use crate::row::Change;
use crate::view::View;
use crate::window::push_rows;

mod channel;
mod past;
mod today;

use channel::Channels;
pub(crate) use channel::{Channel, Standing};
use past::Notes;
pub(crate) use today::Span;
use today::oldest_in_view;

/// A frame that was encoded this shortly ago is given to others at the same position as it is,
/// although newer changes are there: so clients stay in step and share the next one as well.
const FRAME_SHARED: Duration = Duration::from_millis(5);
/// Frames kept to be shared: clients of different rates and days.
const FRAMES_MAX: usize = 16;
/// A change that no stream has taken within this time is counted as shown when it was applied.
const UNSHOWN_MAX: Duration = Duration::from_secs(2);

/// One aggregation. See the module.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) spec: AggregationView,
    view: RwLock<View>,
    days_in_view: u16,
    /// The clock went back to an earlier day, whose rows a new hand-off must bring.
    went_back: AtomicBool,
    /// Rises with everything a client may want to know.
    changed: watch::Sender<u64>,
    health: Mutex<Health>,
    ready: watch::Sender<bool>,
    frames: Mutex<Vec<Arc<SharedFrame>>>,
    orders: Orders,
    channels: Channels,
    history: Mutex<History>,
    curves: Mutex<Curves>,
    /// End to end, over the last seconds.
    latency: Mutex<Option<Latency>>,
    snapshots: Mutex<HashMap<BusinessDay, (Instant, Bytes)>>,
    unshown: Mutex<Vec<Unshown>>,
    streams: AtomicUsize,
    /// Frames encoded; less than frames sent when they are shared.
    pub(crate) frames_encoded: AtomicU64,
    snapshot_age_max: Duration,
    pub(crate) clock: fn() -> Micros,
    hop: Arc<Hop>,
    clients: Arc<Meter>,
}

/// How the feed stands.
#[derive(Debug, Clone)]
struct Health {
    /// Where the log ended when the feed began, and where the feed began.
    goal: Option<(Vec<i64>, Vec<i64>)>,
    percent: u8,
    caught_up: bool,
    trouble: Option<(Micros, String)>,
}

impl Health {
    fn state(&self) -> State {
        match (&self.trouble, self.caught_up) {
            (_, false) => State::CatchingUp,
            (Some(_), true) => State::Stale,
            (None, true) => State::Live,
        }
    }
}

/// Latency that is measured when a stream takes the change.
#[derive(Debug)]
struct Unshown {
    received_at: Micros,
    applied_at: Micros,
    records: u64,
}

/// Rows from one position to a later one, encoded.
#[derive(Debug)]
pub(crate) struct SharedFrame {
    from: Vec<i64>,
    day: BusinessDay,
    made: Instant,
    /// [`Hub::changes`] when it was made.
    pub(crate) seq: u64,
    /// Position of a client that has taken it.
    pub(crate) to: Vec<i64>,
    /// Whether it has rows.
    pub(crate) has_rows: bool,
    /// The event.
    pub(crate) event: Bytes,
}

/// Keeps a stream counted while it lives.
#[derive(Debug)]
pub(crate) struct StreamGuard(Arc<Hub>);

impl Drop for StreamGuard {
    fn drop(&mut self) {
        let before = self.0.streams.fetch_sub(1, Relaxed);
        self.0.clients.set(as_level(before - 1));
    }
}

fn as_level(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    pub(crate) fn new(
        spec: AggregationView,
        options: &WebOptions,
        hop: Arc<Hop>,
        clients: Arc<Meter>,
    ) -> Self {
        let days_in_view = u16::try_from(options.days_in_view).unwrap_or(u16::MAX);
        let now = (options.clock)();
        let today = spec.calendar.day_of(now).unwrap_or(BusinessDay::EPOCH);
        let oldest = oldest_in_view(&spec, today, days_in_view);
        Self {
            view: RwLock::new(View::new(Schema::of(&spec), today, oldest)),
            days_in_view,
            went_back: AtomicBool::new(false),
            changed: watch::Sender::new(0),
            health: Mutex::new(Health {
                goal: None,
                percent: 0,
                caught_up: false,
                trouble: None,
            }),
            ready: watch::Sender::new(false),
            frames: Mutex::default(),
            orders: Orders::default(),
            history: Mutex::default(),
            curves: Mutex::new(Curves::new(&spec.table.name, &spec.sums)),
            latency: Mutex::default(),
            channels: Channels::default(),
            snapshots: Mutex::default(),
            unshown: Mutex::default(),
            streams: AtomicUsize::new(0),
            frames_encoded: AtomicU64::new(0),
            snapshot_age_max: options.snapshot_age_max,
            clock: options.clock,
            hop,
            clients,
            spec,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.spec.table.name
    }

    pub(crate) fn view(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn view_mut(&self) -> RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(&self) {
        self.changed.send_modify(|seq| *seq += 1);
    }

    /// The number that rises with every change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Whether what is shown can be relied on.
    pub(crate) fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    pub(crate) fn open_stream(self: &Arc<Self>) -> StreamGuard {
        let before = self.streams.fetch_add(1, Relaxed);
        self.clients.set(as_level(before + 1));
        StreamGuard(Arc::clone(self))
    }

    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Relaxed)
    }
}

/// The way in.
impl Hub {
    /// Begins a hand-off with the stored rows.
    pub(crate) fn begin(&self, beginning: &Beginning, span: &Span, stored: Vec<Change>) {
        let scanned = (span.today, span.oldest);
        let now = self.by_the_clock().map_or(scanned, |now| now.max(scanned));
        let mut view = self.view_mut();
        let other = view.begin(&beginning.epoch, beginning.offsets.len());
        view.set_today(now.0, now.1);
        let mut notes = Notes::of(&view);
        for change in stored {
            notes.apply(&mut view, change);
        }
        // Only now: what lies below the progress is in the rows that were scanned after it.
        view.reach(beginning.offsets.iter().copied().enumerate());
        drop(view);
        self.begin_history(other);
        self.note(notes);
        let mut health = locked(&self.health);
        health.goal = Some((beginning.offsets.clone(), beginning.ends.clone()));
        health.trouble = None;
        health.caught_up = health.caught_up && !other;
        drop(health);
        if other {
            locked(&self.snapshots).clear();
            locked(&self.frames).clear();
        }
        self.progress(false);
    }

    /// Applies a batch; says how many rows changed.
    pub(crate) fn apply(&self, batch: &mut Batch) -> usize {
        let now = (self.clock)();
        let read = batch.changes.len() as u64 + batch.unreadable;
        let mut applied = 0;
        let mut unshown: Vec<Unshown> = Vec::new();
        let mut view = self.view_mut();
        let mut notes = Notes::of(&view);
        for change in batch.changes.drain(..) {
            let received_at = change.received_at;
            if !notes.apply(&mut view, change) {
                continue;
            }
            applied += 1;
            match (received_at, unshown.last_mut()) {
                (None, _) => {}
                (Some(at), Some(last)) if last.received_at == at => last.records += 1,
                (Some(received_at), _) => unshown.push(Unshown {
                    received_at,
                    applied_at: now,
                    records: 1,
                }),
            }
        }
        let before = view.position().to_vec();
        view.reach(batch.reached.drain(..));
        let moved = before != view.position();
        drop(view);
        self.note(notes);
        if read > 0 {
            self.hop.add_in(read);
            self.hop.add_out(applied);
            self.hop.add_quarantined(batch.unreadable);
        }
        if let Some(lag) = batch.lag {
            self.hop.set_lag(lag);
        }
        // What is caught up with was not waited for by anybody here.
        if locked(&self.health).caught_up {
            if self.streams() == 0 {
                self.observe(&unshown, None);
            } else {
                locked(&self.unshown).append(&mut unshown);
            }
        }
        self.health_of(batch, now);
        if moved || applied > 0 {
            self.announce();
        }
        applied as usize
    }

    fn health_of(&self, batch: &Batch, now: Micros) {
        let mut health = locked(&self.health);
        let troubled = health.trouble.is_some();
        match &batch.trouble {
            Some(reason) if !troubled => health.trouble = Some((now, reason.clone())),
            Some(_) => {}
            None => health.trouble = None,
        }
        let (changed, settled) = (troubled != health.trouble.is_some(), health.caught_up);
        drop(health);
        if changed || !settled {
            self.progress(batch.at_end);
        }
    }

    /// Says that the feed has failed; it will begin again.
    pub(crate) fn fail(&self, reason: String) {
        let mut health = locked(&self.health);
        let since = health.trouble.take();
        let since = since.map_or_else(self.clock, |(since, _)| since);
        health.trouble = Some((since, reason));
        drop(health);
        self.progress(false);
    }

    fn progress(&self, at_end: bool) {
        let view = self.view();
        let mut health = locked(&self.health);
        if let Some((from, ends)) = &health.goal {
            let position = view.position();
            let all: i64 = ends.iter().zip(from).map(|(end, from)| end - from).sum();
            let left = ends.iter().zip(position);
            let left: i64 = left.map(|(end, at)| (end - at).max(0)).sum();
            let percent = 100 - left.saturating_mul(100).checked_div(all).unwrap_or(0);
            // What is left may be markers only, which are never handed over.
            health.caught_up |= left == 0 || at_end;
            // 100 % is said when it is true.
            let most = if health.caught_up { 100 } else { 99 };
            health.percent = u8::try_from(percent.clamp(0, most)).unwrap_or(0);
            if health.caught_up {
                health.percent = 100;
            }
        }
        let ready = health.caught_up && health.trouble.is_none();
        drop(health);
        drop(view);
        self.ready.send_if_modified(|known| {
            let changed = *known != ready;
            *known = ready;
            changed
        });
        self.announce();
    }

    /// Lets the clock decide the day; called a few times a second.
    pub(crate) fn tick(&self) {
        let now = (self.clock)();
        self.look_at_the_clock();
        let oldest = now - i64::try_from(UNSHOWN_MAX.as_micros()).unwrap_or(i64::MAX);
        let mut unshown = locked(&self.unshown);
        let forgotten = unshown.partition_point(|unshown| unshown.applied_at < oldest);
        let forgotten: Vec<Unshown> = unshown.drain(..forgotten).collect();
        drop(unshown);
        self.observe(&forgotten, None);
    }

    fn observe(&self, unshown: &[Unshown], shown_at: Option<Micros>) {
        for unshown in unshown {
            let at = shown_at.unwrap_or(unshown.applied_at);
            self.hop.observe(unshown.received_at, at, unshown.records);
        }
    }
}

/// The ways out.
impl Hub {
    /// Whether there is something to show: the log has once been read to its end.
    pub(crate) fn serves(&self) -> bool {
        locked(&self.health).caught_up
    }

    pub(crate) fn state(&self) -> State {
        locked(&self.health).state()
    }

    pub(crate) fn heartbeat(&self) -> Heartbeat {
        let health = locked(&self.health).clone();
        let state = health.state();
        let (stale_since, reason) = health.trouble.unzip();
        Heartbeat {
            server_time: (self.clock)(),
            state,
            percent: health.percent,
            stale_since,
            reason,
            today: self.view().today().to_string(),
            latency: locked(&self.latency).clone(),
        }
    }

    /// How long transactions take from the gateway to what is shown.
    pub(crate) fn set_latency(&self, latency: Option<Latency>) {
        *locked(&self.latency) = latency;
    }

    /// Why a position cannot be served, if so.
    pub(crate) fn refusal(&self, position: &Position) -> Option<&'static str> {
        let view = self.view();
        if view.epoch() != position.epoch || view.position().len() != position.offsets.len() {
            return Some("this position belongs to another log");
        }
        None
    }

    /// Whether a position is ahead of what this server has read.
    pub(crate) fn is_ahead(&self, offsets: &[i64]) -> bool {
        let view = self.view();
        let mut pairs = view.position().iter().zip(offsets);
        pairs.any(|(ours, theirs)| theirs > ours)
    }

    /// What a client at `from` lacks of the day: encoded once for all who are there.
    pub(crate) fn frame(&self, from: &[i64], day: BusinessDay) -> Arc<SharedFrame> {
        let seq = *self.changed.borrow();
        let mut frames = locked(&self.frames);
        let shared = frames.iter().find(|frame| {
            let fresh = frame.seq == seq || frame.made.elapsed() < FRAME_SHARED;
            fresh && frame.day == day && frame.from == from
        });
        if let Some(shared) = shared {
            return Arc::clone(shared);
        }
        // Under the lock, so that others who want the same wait for it instead of encoding it too.
        let frame = Arc::new(self.encode_frame(Some(from), day, seq));
        if frames.len() >= FRAMES_MAX {
            frames.remove(0);
        }
        frames.push(Arc::clone(&frame));
        frame
    }

    /// What has been applied by now is being sent: the clock, by which that is measured. Called before the rows
    /// are read: a change that comes between is only measured a little early.
    fn shown_now(&self) -> Micros {
        self.frames_encoded.fetch_add(1, Relaxed);
        let now = (self.clock)();
        let shown = std::mem::take(&mut *locked(&self.unshown));
        self.observe(&shown, Some(now));
        now
    }

    /// All rows of the day as a frame, for a client that has none.
    pub(crate) fn whole_frame(&self, day: BusinessDay) -> SharedFrame {
        self.encode_frame(None, day, *self.changed.borrow())
    }

    fn encode_frame(&self, from: Option<&[i64]>, day: BusinessDay, seq: u64) -> SharedFrame {
        let now = self.shown_now();
        let view = self.view();
        let to = from.map_or_else(|| view.position().to_vec(), |from| view.advanced(from));
        let mut position = String::new();
        write_position(&mut position, view.epoch(), day, &to);
        let mut event = format!("id: {position}\ndata: {{\"prev\":");
        match from {
            Some(from) => {
                event.push('"');
                write_position(&mut event, view.epoch(), day, from);
                event.push('"');
            }
            None => event.push_str("null"),
        }
        event.push_str(&format!(
            ",\"pos\":\"{position}\",\"day\":\"{day}\",\"sent_at\":{now},\"rows\":["
        ));
        let has_rows = match from {
            Some(from) => push_rows(&mut event, view.rows_since(from, day)),
            None => push_rows(&mut event, view.rows(day)),
        };
        drop(view);
        event.push_str("]}\n\n");
        SharedFrame {
            from: from.unwrap_or_default().to_vec(),
            day,
            made: Instant::now(),
            seq,
            to,
            has_rows,
            event: event.into(),
        }
    }

    /// The day's rows and the position they stand for; at most as old as the options allow. `None`
    /// when the view does not hold the day.
    pub(crate) fn snapshot(&self, day: BusinessDay) -> Option<Bytes> {
        let mut snapshots = locked(&self.snapshots);
        if let Some((made, body)) = snapshots.get(&day)
            && made.elapsed() < self.snapshot_age_max
        {
            return Some(body.clone());
        }
        snapshots.retain(|_, (made, _)| made.elapsed() < self.snapshot_age_max);
        let view = self.view();
        if !view.holds(day) {
            return None;
        }
        let body = self.encode_snapshot(&view, day, true, |body| {
            push_rows(body, view.rows(day));
        });
        drop(view);
        snapshots.insert(day, (Instant::now(), body.clone()));
        Some(body)
    }

    /// A snapshot of rows that were read from the store.
    pub(crate) fn stored_snapshot<'a>(
        &self,
        day: BusinessDay,
        rows: impl Iterator<Item = &'a str>,
    ) -> Bytes {
        self.encode_snapshot(&self.view(), day, false, |body| {
            push_rows(body, rows);
        })
    }

    fn encode_snapshot(
        &self,
        view: &View,
        day: BusinessDay,
        live: bool,
        rows: impl FnOnce(&mut String),
    ) -> Bytes {
        let mut position = String::new();
        write_position(&mut position, view.epoch(), day, view.position());
        // A name is an identifier or whatever was configured; serialising a string cannot fail.
        let name = serde_json::to_string(self.name()).unwrap_or_default();
        let taken_at = (self.clock)();
        let mut body = format!(
            "{{\"aggregation\":{name},\"day\":\"{day}\",\"live\":{live},\
             \"position\":\"{position}\",\"taken_at\":{taken_at},\"rows\":["
        );
        rows(&mut body);
        body.push_str("]}");
        body.into()
    }
}
