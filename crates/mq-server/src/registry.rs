//! Who is connected, for those who ask (DISPLAY CHSTATUS).
//!
//! Invariant: an entry is there as long as its socket is; what it takes is bounded by the limits on
//! connections.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::put::now_micros;

/// What is told of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connection {
    pub(crate) channel: String,
    pub(crate) peer: SocketAddr,
    /// As the last conversation said; empty before the first.
    pub(crate) user: String,
    pub(crate) application: String,
    /// Those that are connected.
    pub(crate) conversations: usize,
    /// Microseconds since 1970.
    pub(crate) since: i64,
}

/// All connections, in the order they came.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    next: u64,
    by_number: BTreeMap<u64, Weak<Entry>>,
}

/// A connection's place in the registry.
#[derive(Debug)]
pub(crate) struct Entry {
    connection: Mutex<Connection>,
}

/// A conversation's place on a connection.
#[derive(Debug)]
pub(crate) struct Seat(Arc<Entry>);

impl Registry {
    /// A new connection; it is there until all have dropped it.
    pub(crate) fn enter(&self, channel: &str, peer: SocketAddr) -> Arc<Entry> {
        let entry = Arc::new(Entry {
            connection: Mutex::new(Connection {
                channel: channel.to_owned(),
                peer,
                user: String::new(),
                application: String::new(),
                conversations: 0,
                since: now_micros(),
            }),
        });
        let mut entries = self.lock();
        // Those that went meanwhile; each is looked at once per connection that is open.
        entries
            .by_number
            .retain(|_, entry| entry.strong_count() > 0);
        let number = entries.next;
        entries.next += 1;
        entries.by_number.insert(number, Arc::downgrade(&entry));
        entry
    }

    pub(crate) fn connections(&self) -> Vec<Connection> {
        let entries = self.lock();
        let there = entries.by_number.values().filter_map(Weak::upgrade);
        there.map(|entry| entry.lock().clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    pub(crate) fn sit_down(self: &Arc<Self>, user: &str, application: &str) -> Seat {
        let mut connection = self.lock();
        user.clone_into(&mut connection.user);
        application.clone_into(&mut connection.application);
        connection.conversations += 1;
        Seat(Arc::clone(self))
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut connection = self.0.lock();
        connection.conversations = connection.conversations.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_told_of_while_they_are_there() {
        let registry = Registry::default();
        let peer = SocketAddr::from(([127, 0, 0, 1], 4_711));
        let first = registry.enter("A", peer);
        let second = registry.enter("B", peer);
        let (one, two) = (first.sit_down("u", "app"), first.sit_down("v", "other"));
        let told = registry.connections();
        assert_eq!(told.len(), 2);
        assert_eq!((told[0].channel.as_str(), told[0].conversations), ("A", 2));
        assert_eq!((told[0].user.as_str(), told[1].user.as_str()), ("v", ""));
        drop((one, second));
        assert_eq!(registry.connections().len(), 1);
        assert_eq!(registry.connections()[0].conversations, 1);
        drop((first, two));
        assert_eq!(registry.connections(), []);
        let _third = registry.enter("C", peer);
        assert_eq!(
            registry.lock().by_number.len(),
            1,
            "those that went are forgotten"
        );
    }
}
