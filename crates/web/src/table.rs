//! The rows of a day, wherever they are: in view, or read from the store.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use store::{StoreError, StoreTarget};
use types::BusinessDay;

use crate::cell::Schema;
use crate::hub::Hub;
use crate::options::AggregationView;
use crate::order::{Looked, Orders};
use crate::stored;
use crate::view::View;

/// Days of the store that are kept for who pages through them.
pub(crate) const STORED_DAYS_MAX: usize = 4;
/// The rows of a day.
#[derive(Debug, Clone)]
pub(crate) enum Table {
    /// In view: they change.
    Live(Arc<Hub>),
    /// As they were read from the store.
    Stored(Arc<StoredDay>),
}

/// A day out of view.
#[derive(Debug)]
pub(crate) struct StoredDay {
    view: View,
    orders: Orders,
    read: Instant,
}

impl Looked for Table {
    fn look<T>(&self, read: impl FnOnce(&View) -> T) -> T {
        match self {
            Self::Live(hub) => read(&hub.view()),
            Self::Stored(day) => read(&day.view),
        }
    }
}

impl Table {
    pub(crate) fn orders(&self) -> &Orders {
        match self {
            Self::Live(hub) => hub.orders(),
            Self::Stored(day) => &day.orders,
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        matches!(self, Self::Live(_))
    }
}

type Kept = (String, BusinessDay, Arc<StoredDay>);

/// Days of the store that were read a moment ago.
#[derive(Debug, Default)]
pub(crate) struct StoredDays(Mutex<Vec<Kept>>);

impl StoredDays {
    /// A day that was read no longer ago than this: a late transaction may have corrected it since.
    pub(crate) fn get(
        &self,
        aggregation: &str,
        day: BusinessDay,
        age_max: Duration,
    ) -> Option<Arc<StoredDay>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(_, _, stored)| stored.read.elapsed() < age_max);
        let found = kept
            .iter()
            .find(|(name, of, _)| name == aggregation && *of == day);
        found.map(|(_, _, stored)| Arc::clone(stored))
    }

    /// Reads the rows. Blocks.
    pub(crate) fn read(
        store: &StoreTarget,
        spec: &AggregationView,
        day: BusinessDay,
    ) -> Result<StoredDay, StoreError> {
        let read = Instant::now();
        let mut view = View::new(Schema::of(spec), day, day);
        let mut each = |change| {
            view.apply(change);
        };
        stored::scan_days(store, &spec.table, &[day], &mut each)?;
        Ok(StoredDay {
            view,
            orders: Orders::default(),
            read,
        })
    }

    pub(crate) fn keep(
        &self,
        aggregation: &str,
        day: BusinessDay,
        stored: StoredDay,
    ) -> Arc<StoredDay> {
        let stored = Arc::new(stored);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= STORED_DAYS_MAX {
            kept.remove(0);
        }
        kept.push((aggregation.to_owned(), day, Arc::clone(&stored)));
        stored
    }
}
