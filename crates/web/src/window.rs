//! What is shown of a day: a stretch of its ordered rows, and the pinned ones.
//!
//! # Invariants
//!
//! - **Pure.** No I/O, no clock, no locks.
//! - A row is given as it is now, wherever it stood when the order was made.
//! - Rows that left the window are followed for a while, so that who looks at them still sees them change.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use types::{BusinessDay, Micros};

use crate::order::Order;
use crate::position::write_position;
use crate::select::Asked;
use crate::view::View;

/// Most keys followed beside the pinned ones: those of the last windows.
pub(crate) const FOLLOWED_MAX: usize = 1_000;

/// A window that is kept up to date. See the module.
#[derive(Debug)]
pub struct Shown {
    day: BusinessDay,
    asked: Asked,
    number: u64,
    keys: Vec<Arc<str>>,
    pins: Vec<Arc<str>>,
    /// Those of this window and of earlier ones, this one's first; then the pinned ones.
    followed: Vec<Arc<str>>,
}

impl Shown {
    /// Nothing yet, of this day.
    pub fn new(day: BusinessDay, asked: Asked) -> Self {
        Self {
            pins: asked.pins.iter().map(|pin| pin.as_str().into()).collect(),
            day,
            asked,
            number: 0,
            keys: Vec::new(),
            followed: Vec::new(),
        }
    }

    /// Takes the rows' places from an order; says whether the window is another one.
    pub fn arrange(&mut self, order: &Order) -> bool {
        let keys = stretch(order, &self.asked);
        if self.number > 0 && keys == self.keys {
            return false;
        }
        self.number += 1;
        self.keys = keys.to_vec();
        let earlier = self
            .followed
            .drain(..)
            .filter(|key| !self.pins.contains(key));
        let mut seen = HashSet::new();
        let mut followed: Vec<_> = self.keys.iter().cloned().chain(earlier).collect();
        followed.retain(|key| seen.insert(Arc::clone(key)));
        followed.truncate(FOLLOWED_MAX);
        let pins = self
            .pins
            .iter()
            .filter(|pin| !followed.contains(pin))
            .cloned();
        let pins: Vec<_> = pins.collect();
        followed.extend(pins);
        self.followed = followed;
        true
    }

    /// Takes out rows that have gone since the order was made. Must be called before [`Shown::rows`] is given to
    /// somebody: when such a row is back, the window is another one than was given.
    pub fn prune(&mut self, view: &View) {
        let before = self.keys.len();
        let day = self.day;
        self.keys.retain(|key| view.row(key, day).is_some());
        if self.keys.len() < before {
            self.number += 1;
        }
    }

    /// Rises whenever the window is another one; 0: there is none yet.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// JSON of the window's rows, in order.
    pub fn rows<'a>(&'a self, view: &'a View) -> impl Iterator<Item = &'a str> {
        present(view, self.day, &self.keys)
    }

    /// JSON of the pinned rows that there are.
    pub fn pinned<'a>(&'a self, view: &'a View) -> impl Iterator<Item = &'a str> {
        present(view, self.day, &self.pins)
    }

    /// JSON of the followed rows, deleted ones too, that changed at or behind `offsets`.
    pub fn changed<'a>(
        &'a self,
        view: &'a View,
        offsets: &'a [i64],
    ) -> impl Iterator<Item = &'a str> {
        view.changed_since(self.followed.iter(), offsets, self.day)
    }
}

fn present<'a>(
    view: &'a View,
    day: BusinessDay,
    keys: &'a [Arc<str>],
) -> impl Iterator<Item = &'a str> {
    keys.iter()
        .filter_map(move |key| view.row(key, day))
        .map(|row| &*row.json)
}

fn stretch<'a>(order: &'a Order, asked: &Asked) -> &'a [Arc<str>] {
    let from = asked.from.min(order.keys.len());
    let until = from.saturating_add(asked.count).min(order.keys.len());
    &order.keys[from..until]
}

/// What the rows add up to: `"size":…,"matching":…,"groups":[…]`.
pub(crate) fn push_sums(text: &mut String, view: &View, day: BusinessDay, order: &Order) {
    let all = view.totals(day);
    let totals = order.totals.as_ref().or(all);
    let size = order.size.unwrap_or(all.map_or(0, |all| all.rows));
    let matching = totals.map_or(0, |totals| totals.rows);
    let groups = totals.map(|totals| totals.groups(view.schema()));
    // Plain structs with text keys: serialising them cannot fail.
    let groups = serde_json::to_string(&groups.unwrap_or_default()).unwrap_or_default();
    let _ = write!(
        text,
        "\"size\":{size},\"matching\":{matching},\"groups\":{groups}"
    );
}

/// What a window says beside its rows.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    pub(crate) aggregation: &'a str,
    pub(crate) day: BusinessDay,
    pub(crate) live: bool,
    pub(crate) position: &'a str,
    pub(crate) taken_at: Micros,
}

/// The window as JSON ([`crate::api::Window`]).
pub(crate) fn window_json<'a>(
    head: &Head<'_>,
    (view, order): (&View, &Order),
    from: usize,
    rows: impl Iterator<Item = &'a str>,
    pinned: impl Iterator<Item = &'a str>,
) -> String {
    let Head {
        day,
        live,
        position,
        taken_at,
        ..
    } = head;
    let name = serde_json::to_string(head.aggregation).unwrap_or_default();
    let mut text = format!(
        "{{\"aggregation\":{name},\"day\":\"{day}\",\"live\":{live},\
         \"position\":\"{position}\",\"taken_at\":{taken_at},"
    );
    push_sums(&mut text, view, *day, order);
    let _ = write!(text, ",\"from\":{from},\"rows\":[");
    push_rows(&mut text, rows);
    text.push_str("],\"pinned\":[");
    push_rows(&mut text, pinned);
    text.push_str("]}");
    text
}

/// A window that is asked for once.
pub(crate) fn window_once(
    aggregation: &str,
    (view, order): (&View, &Order),
    (day, live): (BusinessDay, bool),
    position: &str,
    taken_at: Micros,
    asked: &Asked,
) -> String {
    let head = Head {
        aggregation,
        day,
        live,
        position,
        taken_at,
    };
    let pins: Vec<Arc<str>> = asked.pins.iter().map(|pin| pin.as_str().into()).collect();
    let rows = present(view, day, stretch(order, asked));
    let pinned = present(view, day, &pins);
    window_json(&head, (view, order), asked.from, rows, pinned)
}

/// Where a reader of this view stands, as text.
pub(crate) fn position_of(view: &View, day: BusinessDay) -> String {
    let mut position = String::new();
    write_position(&mut position, view.epoch(), day, view.position());
    position
}

/// Adds rows with commas between; says whether there were any.
pub(crate) fn push_rows<'a>(text: &mut String, rows: impl Iterator<Item = &'a str>) -> bool {
    let mut any = false;
    for row in rows {
        if any {
            text.push(',');
        }
        text.push_str(row);
        any = true;
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::{Cells, Schema, Value};
    use crate::limit::Limit;
    use crate::row::Change;
    use store::{CellKind, TableSpec};
    use types::Version;

    #[test]
    fn the_last_windows_are_followed_up_to_a_limit() {
        let day: BusinessDay = "2026-11-23".parse().expect("a day");
        let table = TableSpec {
            name: "t".to_owned(),
            columns: vec![("n".to_owned(), CellKind::Int)],
        };
        let schema = Schema::new(&table, &["n".to_owned()]);
        let count = 400;
        let pairs = vec![
            ("count".to_owned(), count.to_string()),
            ("pin".to_owned(), "[\"pinned\"]".to_owned()),
        ];
        let asked = Asked::read(&schema, &pairs, &Limit::default()).expect("a query");
        let mut view = View::new(schema, day, day);
        view.begin("log", 1);
        let mut shown = Shown::new(day, asked.clone());
        // Each batch of rows is larger than all before it, and so becomes the window.
        for batch in 0..4 {
            for row in 0..count {
                let number = batch * count + row;
                view.apply(Change {
                    key: format!("[\"{number:05}\"]").into(),
                    day,
                    version: Version {
                        generation: 1,
                        sequence: 1,
                    },
                    deleted: false,
                    partition: 0,
                    offset: number,
                    received_at: None,
                    json: number.to_string().into(),
                    cells: Cells::new(vec![Value::Number(i128::from(number))]),
                });
            }
            assert!(shown.arrange(&Order::of(&view, day, &asked.select)));
            assert!(!shown.arrange(&Order::of(&view, day, &asked.select)));
            let expected = ((batch + 1) * count).min(1_000);
            assert_eq!(shown.changed(&view, &[0]).count() as i64, expected);
            assert_eq!(
                shown.followed.len() as i64,
                expected + 1,
                "and the pinned one"
            );
        }
        assert_eq!(FOLLOWED_MAX, 1_000);
        assert_eq!(shown.rows(&view).next(), Some("1599"));
    }
}
