//! The keys of the selected rows in order, made at most twice a second and shared by all who ask for the same.
//!
//! # Invariants
//!
//! - An order is of one moment of the view. Who shows rows by it reads their values anew.
//! - Orders cost a bounded share of a core and a bounded amount of memory, however many are asked for.

use std::cmp::Reverse;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use store::CellKind;
use types::BusinessDay;

use crate::select::{Select, Sort};
use crate::totals::Totals;
use crate::view::{Row, View};

/// An order is made anew at most this often,
pub(crate) const ORDER_AGE_MIN: Duration = Duration::from_millis(500);
/// and less often when making all that are asked for would take more than one part in so many of a core.
const ORDER_SHARE: u32 = 4;
/// Most orders kept: 16 bytes a key each.
pub(crate) const ORDERS_MAX: usize = 32;
/// An order nobody has asked for in this time is forgotten.
const ORDER_IDLE_MAX: Duration = Duration::from_secs(30);

/// The selected rows of a day, in order, at one moment.
#[derive(Debug)]
pub struct Order {
    /// Keys.
    pub(crate) keys: Vec<Arc<str>>,
    /// Sums over them; `None` when these are all rows, whose sums the view has.
    pub(crate) totals: Option<Totals>,
    /// Rows that may be seen; `None`: all.
    pub(crate) size: Option<usize>,
    /// [`View::changes`] when it was made.
    pub(crate) changes: u64,
    made: Instant,
}

impl Order {
    /// Looks at every row of the view: some 20 ms for 100,000.
    pub fn of(view: &View, day: BusinessDay, select: &Select) -> Self {
        Self::gather(view, day, select).sorted()
    }

    pub(crate) fn made(&self) -> Instant {
        self.made
    }

    /// What must be read while the view stands still.
    fn gather(view: &View, day: BusinessDay, select: &Select) -> Unsorted {
        let schema = view.schema();
        let mut totals = (!select.takes_all()).then(Totals::default);
        let mut taken = Vec::new();
        let mut size = select.limit().is_limited().then_some(0);
        for (key, row) in view.present(day) {
            if let Some(size) = &mut size {
                if !select.shows(schema, &row.cells) {
                    continue;
                }
                *size += 1;
            }
            if let Some(totals) = &mut totals {
                if !select.takes(schema, &row.cells) {
                    continue;
                }
                totals.add(schema, &row.cells);
            }
            taken.push((key, row));
        }
        let rows = match select.sort {
            Sort::Column { place, descending } => match schema.kind(place) {
                CellKind::Int | CellKind::Decimal => {
                    Rows::Numbers(numbers(&taken, place, descending))
                }
                kind => Rows::Texts(texts(&taken, place, kind), descending),
            },
            Sort::Key => Rows::Keys(taken.iter().map(|(key, _)| Arc::clone(key)).collect()),
        };
        Unsorted {
            rows,
            totals,
            size,
            changes: view.changes(day),
            made: Instant::now(),
        }
    }
}

type Taken<'a> = [(&'a Arc<str>, &'a Row)];
type ByText = (Option<Box<str>>, Arc<str>);

/// Ascending by what is to be first: no number is last whichever way.
fn numbers(taken: &Taken<'_>, place: usize, descending: bool) -> Vec<((bool, i128), Arc<str>)> {
    let number = |(key, row): &(&Arc<str>, &Row)| {
        let found = row.cells.number(place);
        let number = found.unwrap_or_default();
        let number = if descending { -number } else { number };
        ((found.is_none(), number), Arc::clone(key))
    };
    taken.iter().map(number).collect()
}

fn texts(taken: &Taken<'_>, place: usize, kind: CellKind) -> Vec<ByText> {
    let text = |(key, row): &(&Arc<str>, &Row)| {
        let text = row.cells.text(place).map(|text| match kind {
            // With its Z a whole second would be behind its fractions.
            CellKind::Timestamp => text.trim_end_matches('Z').to_owned(),
            _ => text.to_lowercase(),
        });
        (text.map(String::into_boxed_str), Arc::clone(key))
    };
    taken.iter().map(text).collect()
}

enum Rows {
    Keys(Vec<Arc<str>>),
    Numbers(Vec<((bool, i128), Arc<str>)>),
    Texts(Vec<ByText>, bool),
}

struct Unsorted {
    rows: Rows,
    totals: Option<Totals>,
    size: Option<usize>,
    changes: u64,
    made: Instant,
}

impl Unsorted {
    fn sorted(self) -> Order {
        let keys = match self.rows {
            Rows::Keys(mut keys) => {
                keys.sort_unstable();
                keys
            }
            Rows::Numbers(mut rows) => {
                rows.sort_unstable();
                rows.into_iter().map(|(_, key)| key).collect()
            }
            Rows::Texts(mut rows, descending) => {
                let by = |(a, key_a): &ByText, (b, key_b): &ByText| {
                    let text = match descending {
                        true => Reverse(a).cmp(&Reverse(b)),
                        false => a.cmp(b),
                    };
                    let empty = a.is_none().cmp(&b.is_none());
                    empty.then(text).then_with(|| key_a.cmp(key_b))
                };
                rows.sort_unstable_by(by);
                rows.into_iter().map(|(_, key)| key).collect()
            }
        };
        Order {
            keys,
            totals: self.totals,
            size: self.size,
            changes: self.changes,
            made: self.made,
        }
    }
}

/// The orders of one view that are asked for.
#[derive(Debug, Default)]
pub(crate) struct Orders(Mutex<Vec<Slot>>);

type Latest = Arc<tokio::sync::Mutex<Option<Arc<Order>>>>;

#[derive(Debug)]
struct Slot {
    day: BusinessDay,
    select: Select,
    used: Instant,
    /// What making it took the last time.
    took: Duration,
    latest: Latest,
}

impl Orders {
    /// The order; made if there is none, or if rows have changed and it is old enough. Whoever asks meanwhile waits.
    /// `read` gives the view to what it is handed, and says what `changes` are now.
    pub(crate) async fn get<V>(&self, day: BusinessDay, select: &Select, view: &V) -> Arc<Order>
    where
        V: Looked,
    {
        let (slot, age_min) = self.slot(day, select);
        let mut latest = slot.lock().await;
        if let Some(order) = &*latest {
            let fresh = order.made.elapsed() < age_min;
            if fresh || view.look(|view| view.changes(day)) == order.changes {
                return Arc::clone(order);
            }
        }
        let (view, wanted) = (view.clone(), select.clone());
        let make = move || {
            let begun = Instant::now();
            let unsorted = view.look(|view| Order::gather(view, day, &wanted));
            let order = unsorted.sorted();
            (order, begun.elapsed())
        };
        // Tens of milliseconds: not on a thread for sockets.
        let made = tokio::task::spawn_blocking(make).await;
        let Ok((order, took)) = made else {
            // It panicked or the server stops: the old one, or nothing.
            let empty = || Order {
                keys: Vec::new(),
                totals: None,
                size: select.limit().is_limited().then_some(0),
                changes: 0,
                made: Instant::now(),
            };
            return latest.get_or_insert_with(|| Arc::new(empty())).clone();
        };
        self.took(day, select, took);
        let order = Arc::new(order);
        *latest = Some(Arc::clone(&order));
        order
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, Vec<Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The slot, and how old its order may be at least.
    fn slot(&self, day: BusinessDay, select: &Select) -> (Latest, Duration) {
        let now = Instant::now();
        let mut slots = self.slots();
        slots.retain(|slot| now.duration_since(slot.used) < ORDER_IDLE_MAX);
        let all: Duration = slots.iter().map(|slot| slot.took).sum();
        let age_min = (all * ORDER_SHARE).max(ORDER_AGE_MIN);
        let same = |slot: &&mut Slot| slot.day == day && slot.select == *select;
        if let Some(slot) = slots.iter_mut().find(same) {
            slot.used = now;
            return (Arc::clone(&slot.latest), age_min);
        }
        if slots.len() == ORDERS_MAX {
            let oldest = slots.iter().enumerate().min_by_key(|(_, slot)| slot.used);
            let oldest = oldest.map_or(0, |(index, _)| index);
            slots.swap_remove(oldest);
        }
        let latest = Latest::default();
        slots.push(Slot {
            day,
            select: select.clone(),
            used: now,
            took: Duration::ZERO,
            latest: Arc::clone(&latest),
        });
        (latest, age_min)
    }

    fn took(&self, day: BusinessDay, select: &Select, took: Duration) {
        let mut slots = self.slots();
        let same = |slot: &&mut Slot| slot.day == day && slot.select == *select;
        if let Some(slot) = slots.iter_mut().find(same) {
            slot.took = took;
        }
    }
}

/// Something that has a view to look at for a moment.
pub(crate) trait Looked: Clone + Send + 'static {
    fn look<T>(&self, read: impl FnOnce(&View) -> T) -> T;
}

#[cfg(test)]
mod tests {
    use std::sync::RwLock;

    use super::*;
    use crate::cell::{Cells, Schema, Value};
    use crate::limit::Limit;
    use crate::row::Change;
    use crate::select::Asked;
    use store::TableSpec;
    use types::Version;

    fn day() -> BusinessDay {
        "2026-11-23".parse().expect("a day")
    }

    fn schema() -> Schema {
        let columns = [("name", CellKind::Text), ("total", CellKind::Decimal)];
        let table = TableSpec {
            name: "t".to_owned(),
            columns: columns.map(|(name, kind)| (name.to_owned(), kind)).to_vec(),
        };
        Schema::new(&table, &["total".to_owned()])
    }

    fn select(query: &[(&str, &str)]) -> Select {
        let pairs = query
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Asked::read(&schema(), &pairs.collect(), &Limit::default())
            .expect("a query")
            .select
    }

    fn row(key: &str, name: Option<&str>, total: Option<i128>, sequence: u64) -> Change {
        Change {
            key: key.into(),
            day: day(),
            version: Version {
                generation: 1,
                sequence,
            },
            deleted: false,
            partition: 0,
            offset: 0,
            received_at: None,
            json: "{}".into(),
            cells: Cells::new(vec![
                name.map_or(Value::Null, |name| Value::Text(name.into())),
                total.map_or(Value::Null, Value::Number),
            ]),
        }
    }

    fn view() -> View {
        let mut view = View::new(schema(), day(), day());
        view.begin("log", 1);
        for (key, name, total) in [
            ("1", Some("b"), Some(5)),
            ("2", Some("A"), Some(-7)),
            ("3", None, Some(5)),
            ("4", Some("a"), None),
        ] {
            view.apply(row(key, name, total, 1));
        }
        view
    }

    #[test]
    fn equal_rows_stand_by_their_key_and_those_without_a_value_last() {
        let view = view();
        for (sort, expected) in [
            ("", "1324"),
            ("total", "2134"),
            ("-total", "1324"),
            ("name", "2413"),
            ("-name", "1243"),
        ] {
            let order = Order::of(&view, day(), &select(&[("sort", sort)]));
            assert_eq!(order.keys.concat(), expected, "{sort}");
        }
        let mut by_key = select(&[]);
        by_key.sort = Sort::Key;
        assert_eq!(Order::of(&view, day(), &by_key).keys.concat(), "1234");
    }

    #[derive(Clone)]
    struct Shared(Arc<RwLock<View>>);

    impl Looked for Shared {
        fn look<T>(&self, read: impl FnOnce(&View) -> T) -> T {
            read(&self.0.read().expect("no panic under it"))
        }
    }

    #[tokio::test]
    async fn an_order_is_made_anew_when_rows_have_changed_and_it_is_old_enough() {
        let (shared, orders) = (Shared(Arc::new(RwLock::new(view()))), Orders::default());
        let all = select(&[]);
        let first = orders.get(day(), &all, &shared).await;
        let change = row("2", Some("A"), Some(9), 2);
        shared.0.write().expect("no panic under it").apply(change);
        let second = orders.get(day(), &all, &shared).await;
        assert!(Arc::ptr_eq(&first, &second), "it is not old enough");
        let third = loop {
            let order = orders.get(day(), &all, &shared).await;
            if !Arc::ptr_eq(&first, &order) {
                break order;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        assert_eq!(third.keys.concat(), "2134");
        assert!(third.made() - first.made() >= ORDER_AGE_MIN);
        tokio::time::sleep(ORDER_AGE_MIN).await;
        let fourth = orders.get(day(), &all, &shared).await;
        assert!(Arc::ptr_eq(&third, &fourth), "nothing has changed");
    }

    #[tokio::test]
    async fn only_so_many_orders_are_kept() {
        let (shared, orders) = (Shared(Arc::new(RwLock::new(view()))), Orders::default());
        for word in 0..=ORDERS_MAX {
            let select = select(&[("q", &*format!("w{word}"))]);
            orders.get(day(), &select, &shared).await;
            let kept = orders.slots().len();
            assert_eq!(kept, (word + 1).min(ORDERS_MAX));
        }
        let known = |word: usize| {
            let select = select(&[("q", &*format!("w{word}"))]);
            orders.slots().iter().any(|slot| slot.select == select)
        };
        assert!(
            !known(0) && known(1) && known(ORDERS_MAX),
            "the one used longest ago went"
        );
    }
}
