//! Places for connections: how many there may be, how many of one address, and who has to go when all are taken.
//!
//! # Invariants
//!
//! - Never more than `connections_max` connections are served, and never more than `connections_per_address_max` of one address.
//! - **Whoever only waits makes room.** When all places are taken the connection that has waited longest for bytes of its peer is cut: between
//!   requests, within a head or within a body. A request that has been read is never cut for that: what was accepted is answered. So senders of a byte
//!   now and then (slowloris) hold nothing that others want.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::metrics::{GatewayMetrics, add};

/// All places of a gateway.
#[derive(Debug)]
pub(crate) struct Places {
    max: usize,
    per_address_max: usize,
    metrics: Arc<GatewayMetrics>,
    table: Mutex<Table>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Table {
    open: usize,
    of_address: HashMap<IpAddr, usize>,
    /// Connections that wait for their peer, the longest first.
    waiting: BTreeMap<u64, CancellationToken>,
    next: u64,
}

/// A connection's place, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    address: IpAddr,
    /// Fires when the connection has to make room.
    cut: CancellationToken,
    standing: Mutex<Standing>,
}

#[derive(Debug)]
struct Standing {
    /// Key in `Table::waiting`.
    waiting: Option<u64>,
    /// Requests that have been read and not yet answered.
    busy: usize,
}

impl Places {
    pub(crate) fn new(
        max: usize,
        per_address_max: usize,
        metrics: Arc<GatewayMetrics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            max,
            per_address_max,
            metrics,
            table: Mutex::default(),
            freed: Notify::new(),
        })
    }

    /// A place for a connection from there; `None` when the address has all that it may have.
    ///
    /// Waits while all are taken and every one is at work. Cancel safe.
    pub(crate) async fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // Before looking: what is given back meanwhile is not missed.
            freed.as_mut().enable();
            {
                let mut table = self.table();
                let of_address = table.of_address.get(&address).copied().unwrap_or(0);
                if of_address >= self.per_address_max {
                    add(&self.metrics.connections_refused, 1);
                    return None;
                }
                if table.open < self.max {
                    return Some(table.seat(self, address));
                }
                if let Some((_, longest)) = table.waiting.pop_first() {
                    add(&self.metrics.connections_cut, 1);
                    longest.cancel();
                }
            }
            freed.await;
        }
    }

    /// No code of others runs under this lock, so there is nothing that a panic could have left half done.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn seat(&mut self, places: &Arc<Places>, address: IpAddr) -> Place {
        self.open += 1;
        *self.of_address.entry(address).or_default() += 1;
        let cut = CancellationToken::new();
        let waiting = Some(self.wait(cut.clone()));
        Place {
            places: Arc::clone(places),
            address,
            cut,
            standing: Mutex::new(Standing { waiting, busy: 0 }),
        }
    }

    fn wait(&mut self, cut: CancellationToken) -> u64 {
        let order = self.next;
        self.next += 1;
        self.waiting.insert(order, cut);
        order
    }
}

impl Place {
    /// Waits until the connection has to make room for another one.
    pub(crate) async fn cut(&self) {
        self.cut.cancelled().await;
    }

    /// A request has been read: until the guard is dropped the connection keeps its place.
    pub(crate) fn work(self: &Arc<Self>) -> Work {
        let mut standing = self.standing();
        standing.busy += 1;
        if let Some(order) = standing.waiting.take() {
            self.places.table().waiting.remove(&order);
        }
        Work(Arc::clone(self))
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request in the works.
#[derive(Debug)]
pub(crate) struct Work(Arc<Place>);

impl Drop for Work {
    fn drop(&mut self) {
        let mut standing = self.0.standing();
        standing.busy -= 1;
        if standing.busy == 0 {
            standing.waiting = Some(self.0.places.table().wait(self.0.cut.clone()));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.places.table();
        table.open -= 1;
        if let Some(order) = self.standing().waiting {
            table.waiting.remove(&order);
        }
        if let Some(count) = table.of_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                table.of_address.remove(&self.address);
            }
        }
        drop(table);
        self.places.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn places(max: usize, per_address_max: usize) -> Arc<Places> {
        Places::new(
            max,
            per_address_max,
            Arc::new(GatewayMetrics::new([].into_iter(), None)),
        )
    }

    /// What it gives without waiting.
    fn now<F: Future>(future: F) -> Option<F::Output> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    fn take(places: &Arc<Places>, address: IpAddr) -> Arc<Place> {
        Arc::new(
            now(places.take(address))
                .expect("at once")
                .expect("a place"),
        )
    }

    #[test]
    fn an_address_has_as_many_as_it_may_and_no_more() {
        let places = places(10, 2);
        let (first, _second) = (take(&places, HERE), take(&places, HERE));
        assert!(now(places.take(HERE)).expect("at once").is_none());
        let _other = take(&places, THERE);
        drop(first);
        let _again = take(&places, HERE);
        assert!(now(places.take(HERE)).expect("at once").is_none());
        assert_eq!(
            places
                .metrics
                .connections_refused
                .load(std::sync::atomic::Ordering::Relaxed),
            2
        );
    }

    #[tokio::test]
    async fn who_has_waited_longest_makes_room() {
        let places = places(3, 3);
        let [first, second, third] = [
            take(&places, HERE),
            take(&places, HERE),
            take(&places, HERE),
        ];
        // The first has been answered last, so the second has waited longest.
        drop(first.work());
        let mut coming = pin!(places.take(THERE));
        assert!(now(coming.as_mut()).is_none());
        assert!(now(second.cut()).is_some());
        assert!(now(first.cut()).is_none() && now(third.cut()).is_none());
        drop(second);
        assert!(coming.await.is_some());
    }

    #[tokio::test]
    async fn who_is_at_work_is_not_cut() {
        let places = places(2, 2);
        let [first, second] = [take(&places, HERE), take(&places, HERE)];
        let working = (first.work(), first.work(), second.work());
        let mut coming = pin!(places.take(THERE));
        assert!(now(coming.as_mut()).is_none());
        drop(working.0);
        assert!(now(coming.as_mut()).is_none());
        assert!(
            now(first.cut()).is_none(),
            "one of two requests is answered"
        );
        drop((working.1, working.2));
        drop(first);
        assert!(coming.await.is_some());
        assert!(now(second.cut()).is_none());
    }

    #[test]
    fn everything_is_given_back() {
        let places = places(2, 2);
        for _ in 0..100 {
            let place = take(&places, HERE);
            drop(place.work());
        }
        let table = places.table();
        assert_eq!(
            (table.open, table.of_address.len(), table.waiting.len()),
            (0, 0, 0)
        );
    }
}
