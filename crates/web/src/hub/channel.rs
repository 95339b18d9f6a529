//! What clients share that look at the same window.
//!
//! # Invariants
//!
//! - Nothing older is given to a client than what it has: an event is given again only to who has no newer one.
//! - A client is only where it stands; what it lacks is computed when it asks, once for all who stand there.

use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use types::BusinessDay;

use super::{FRAME_SHARED, FRAMES_MAX, Hub, locked};
use crate::order::{Looked, ORDER_AGE_MIN, Order, Orders};
use crate::position::write_position;
use crate::select::Asked;
use crate::view::View;
use crate::window::{Head, Shown, position_of, push_rows, push_sums, window_json};

/// A window that was encoded this shortly ago is given to others as well.
const WINDOW_SHARED: Duration = Duration::from_millis(100);

/// Least wait before an order that is behind is asked for again.
const AGAIN_MIN: Duration = Duration::from_millis(50);

/// A window that is looked at.
#[derive(Debug)]
pub(crate) struct Channel {
    day: BusinessDay,
    asked: Asked,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    shown: Shown,
    order: Option<Arc<Order>>,
    window: Option<Arc<Sent>>,
    frames: Vec<Arc<Sent>>,
    summary: Summary,
}

/// The sums as they were told last.
#[derive(Debug, Default)]
struct Summary {
    number: u64,
    text: String,
}

/// Where a client stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Next offset of each partition.
    pub(crate) offsets: Vec<i64>,
    /// Which window it has; 0: none.
    window: u64,
    /// Which sums it has.
    summary: u64,
    /// [`View::changes`] of what it has.
    changes: u64,
}

/// Events, encoded.
#[derive(Debug)]
pub(crate) struct Sent {
    made: Instant,
    /// [`Hub::changes`] when it was made.
    pub(crate) seq: u64,
    /// Who may be given it: those who stand here.
    from: Standing,
    /// Where they stand then.
    pub(crate) to: Standing,
    /// The events; none: there is nothing to say.
    pub(crate) event: Option<Bytes>,
    /// When to ask again though nothing changes: rows have changed that the order does not know.
    pub(crate) again: Option<Instant>,
}

impl Sent {
    /// The day has left the view: what was shown of it stays as it is.
    fn nothing(seq: u64, standing: &Standing) -> Self {
        Self {
            made: Instant::now(),
            seq,
            from: standing.clone(),
            to: standing.clone(),
            event: None,
            again: None,
        }
    }
}

type Key = (BusinessDay, Asked);

/// The windows of a hub that are looked at.
#[derive(Debug, Default)]
pub(crate) struct Channels(Mutex<std::collections::HashMap<Key, Weak<Channel>>>);

impl Looked for Arc<Hub> {
    fn look<T>(&self, read: impl FnOnce(&View) -> T) -> T {
        read(&self.view())
    }
}

impl Hub {
    /// The channel of a window; it lasts as long as somebody holds it.
    pub(crate) fn channel(&self, day: BusinessDay, asked: &Asked) -> Arc<Channel> {
        let mut channels = locked(&self.channels.0);
        let key = (day, asked.clone());
        if let Some(channel) = channels.get(&key).and_then(Weak::upgrade) {
            return channel;
        }
        channels.retain(|_, channel| channel.strong_count() > 0);
        let channel = Arc::new(Channel {
            day,
            asked: asked.clone(),
            state: Mutex::new(State {
                shown: Shown::new(day, asked.clone()),
                order: None,
                window: None,
                frames: Vec::new(),
                summary: Summary::default(),
            }),
        });
        channels.insert(key, Arc::downgrade(&channel));
        channel
    }

    pub(crate) fn orders(&self) -> &Orders {
        &self.orders
    }

    /// What a client lacks of its window.
    pub(crate) async fn window_news(
        self: &Arc<Self>,
        channel: &Channel,
        standing: &Standing,
    ) -> Arc<Sent> {
        let select = &channel.asked.select;
        let order = self.orders.get(channel.day, select, self).await;
        self.next_event(channel, order, standing)
    }

    fn next_event(&self, channel: &Channel, order: Arc<Order>, standing: &Standing) -> Arc<Sent> {
        let seq = *self.changed.borrow();
        // Under the lock, so that others who want the same wait for it instead of encoding it too.
        let mut state = locked(&channel.state);
        let newer = |known: &Arc<Order>| known.made() < order.made();
        if state.order.as_ref().is_none_or(newer) {
            state.shown.arrange(&order);
            state.order = Some(Arc::clone(&order));
            // They have the sums of the order before, also where they say nothing.
            state.frames.clear();
        }
        // Somebody else may have brought a newer one.
        let order = state.order.clone().unwrap_or(order);
        if standing.window != state.shown.number() {
            return self.window_event(channel, &mut state, (&order, seq), standing);
        }
        let found = state.frames.iter().find(|frame| {
            let fresh = frame.seq == seq || frame.made.elapsed() < FRAME_SHARED;
            fresh && frame.from == *standing
        });
        if let Some(found) = found {
            return Arc::clone(found);
        }
        let frame = Arc::new(self.frame_event(channel, &mut state, (&order, seq), standing));
        if state.frames.len() >= FRAMES_MAX {
            state.frames.remove(0);
        }
        state.frames.push(Arc::clone(&frame));
        frame
    }

    fn window_event(
        &self,
        channel: &Channel,
        state: &mut State,
        (order, seq): (&Order, u64),
        standing: &Standing,
    ) -> Arc<Sent> {
        let known = state.window.as_ref().filter(|window| {
            let same = window.to.window == state.shown.number();
            same && window.made.elapsed() < WINDOW_SHARED && window.to.changes >= standing.changes
        });
        if let Some(known) = known {
            return Arc::clone(known);
        }
        let day = channel.day;
        let now = self.shown_now();
        let view = self.view();
        if !view.holds(day) {
            return Arc::new(Sent::nothing(seq, standing));
        }
        state.shown.prune(&view);
        state.summary.update(&view, day, order);
        let position = position_of(&view, day);
        let head = Head {
            aggregation: self.name(),
            day,
            live: true,
            position: &position,
            taken_at: now,
        };
        let (rows, pinned) = (state.shown.rows(&view), state.shown.pinned(&view));
        let json = window_json(&head, (&view, order), channel.asked.from, rows, pinned);
        let event = format!("event: window\nid: {position}\ndata: {json}\n\n");
        let window = Arc::new(Sent {
            made: Instant::now(),
            seq,
            from: Standing::default(),
            to: Standing {
                offsets: view.position().to_vec(),
                window: state.shown.number(),
                summary: state.summary.number,
                changes: view.changes(day),
            },
            event: Some(event.into()),
            again: again(&view, day, order),
        });
        state.window = Some(Arc::clone(&window));
        window
    }

    fn frame_event(
        &self,
        channel: &Channel,
        state: &mut State,
        (order, seq): (&Order, u64),
        standing: &Standing,
    ) -> Sent {
        let day = channel.day;
        let now = self.shown_now();
        let view = self.view();
        if !view.holds(day) {
            return Sent::nothing(seq, standing);
        }
        state.summary.update(&view, day, order);
        let to = view.advanced(&standing.offsets);
        let mut rows = String::new();
        let has_rows = push_rows(&mut rows, state.shown.changed(&view, &standing.offsets));
        let mut events = String::new();
        if has_rows {
            let (mut prev, mut position) = (String::new(), String::new());
            write_position(&mut prev, view.epoch(), day, &standing.offsets);
            write_position(&mut position, view.epoch(), day, &to);
            events = format!(
                "id: {position}\ndata: {{\"prev\":\"{prev}\",\"pos\":\"{position}\",\
                 \"day\":\"{day}\",\"sent_at\":{now},\"rows\":[{rows}]}}\n\n"
            );
        }
        if standing.summary != state.summary.number {
            let sums = &state.summary.text;
            events.push_str(&format!(
                "event: summary\ndata: {{\"day\":\"{day}\",{sums},\"sent_at\":{now}}}\n\n"
            ));
        }
        let mut next = standing.clone();
        // Who is told nothing stays with the others who are not.
        if has_rows {
            (next.offsets, next.changes) = (to, view.changes(day));
        }
        next.summary = state.summary.number;
        Sent {
            made: Instant::now(),
            seq,
            from: standing.clone(),
            to: next,
            event: (!events.is_empty()).then(|| events.into()),
            again: again(&view, day, order),
        }
    }
}

fn again(view: &View, day: BusinessDay, order: &Order) -> Option<Instant> {
    let behind = view.changes(day) != order.changes;
    behind.then(|| (order.made() + ORDER_AGE_MIN).max(Instant::now() + AGAIN_MIN))
}

impl Summary {
    fn update(&mut self, view: &View, day: BusinessDay, order: &Order) {
        let mut text = String::new();
        push_sums(&mut text, view, day, order);
        if self.number == 0 || text != self.text {
            self.text = text;
            self.number += 1;
        }
    }
}
