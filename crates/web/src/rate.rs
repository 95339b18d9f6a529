//! How much one client may ask: so many requests a second, and so many streams at a time.
//!
//! A client is who signed in, or an address where nobody has. A machine's own unnamed clients are not counted: they are its owner's.
//!
//! # Invariants
//!
//! - **Exact**: over any time `t` no more than `burst + t × rate` requests pass ([`types::Rate`]).
//! - What is remembered is bounded, and who would be one too many is refused, not let through.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Clients remembered at a time.
pub(crate) const CLIENTS_MAX: usize = 10_000;

/// How much a client may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateOptions {
    /// Requests a second, 1 or more. 50.
    pub requests_per_second: u32,
    /// Requests at once before that counts, 1 or more. 500.
    pub burst: u32,
    /// Streams at a time. 100.
    pub streams: usize,
}

impl Default for RateOptions {
    fn default() -> Self {
        Self {
            requests_per_second: 50,
            burst: 500,
            streams: 100,
        }
    }
}

#[derive(Debug)]
struct Client {
    /// See [`types::Rate`].
    due: Option<Instant>,
    /// Held by each of its streams.
    streams: Arc<()>,
}

/// One of a client's streams, as long as it is held.
#[derive(Debug)]
pub(crate) struct StreamPermit {
    _held: Option<Arc<()>>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Rates {
    options: RateOptions,
    clients: Mutex<HashMap<String, Client>>,
}

impl Rates {
    pub(crate) fn new(options: RateOptions) -> Self {
        Self {
            options,
            clients: Mutex::default(),
        }
    }

    /// Lets a request through, or says how long to wait.
    pub(crate) fn request(&self, client: &str, now: Instant) -> Result<(), Duration> {
        let rate = types::Rate::new(self.options.requests_per_second, self.options.burst);
        self.with(client, now, |client| rate.take(&mut client.due, 1, now))
            .unwrap_or(Err(Duration::from_secs(1)))
    }

    /// A place for a stream, if there is one.
    pub(crate) fn stream(&self, client: Option<&str>, now: Instant) -> Option<StreamPermit> {
        let Some(client) = client else {
            return Some(StreamPermit { _held: None });
        };
        self.with(client, now, |client| {
            let open = Arc::strong_count(&client.streams) - 1;
            (open < self.options.streams).then(|| StreamPermit {
                _held: Some(Arc::clone(&client.streams)),
            })
        })
        .flatten()
    }

    /// `None`: there are too many others.
    fn with<T>(&self, name: &str, now: Instant, act: impl FnOnce(&mut Client) -> T) -> Option<T> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get_mut(name) {
            return Some(act(client));
        }
        if clients.len() >= CLIENTS_MAX {
            clients.retain(|_, client| {
                client.due.is_some_and(|due| due > now) || Arc::strong_count(&client.streams) > 1
            });
        }
        if clients.len() >= CLIENTS_MAX {
            return None;
        }
        let client = clients.entry(name.to_owned()).or_insert(Client {
            due: None,
            streams: Arc::default(),
        });
        Some(act(client))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates() -> Rates {
        Rates::new(RateOptions {
            requests_per_second: 10,
            burst: 3,
            streams: 2,
        })
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let (rates, begun) = (rates(), Instant::now());
        let at = |millis| begun + Duration::from_millis(millis);
        let passed: Vec<bool> = [
            0, 0, 0, 0, 99, 100, 100, 199, 200, 1_000, 1_000, 1_000, 1_000,
        ]
        .into_iter()
        .map(|millis| rates.request("ann", at(millis)).is_ok())
        .collect();
        let (yes, no) = (true, false);
        assert_eq!(
            passed,
            [yes, yes, yes, no, no, yes, no, no, yes, yes, yes, yes, no]
        );
        let wait = rates.request("ann", at(1_040)).expect_err("too early");
        assert_eq!(wait, Duration::from_millis(60));
        assert!(rates.request("bob", at(0)).is_ok(), "others are others");
    }

    #[test]
    fn streams_are_counted_while_they_last() {
        let (rates, now) = (rates(), Instant::now());
        let held: Vec<_> = (0..2).map(|_| rates.stream(Some("ann"), now)).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(rates.stream(Some("ann"), now).is_none());
        assert!(rates.stream(Some("bob"), now).is_some());
        assert!((0..9).all(|_| rates.stream(None, now).is_some()));
        drop(held);
        assert!(rates.stream(Some("ann"), now).is_some());
    }

    #[test]
    fn no_more_clients_are_remembered_than_fit() {
        let (rates, now) = (rates(), Instant::now());
        for client in 0..CLIENTS_MAX {
            assert!(rates.request(&client.to_string(), now).is_ok());
        }
        assert!(rates.request("one more", now).is_err());
        assert!(rates.request("0", now).is_ok(), "who is known goes on");
        // They are forgotten when forgetting them changes nothing.
        let later = now + Duration::from_secs(1);
        assert!(rates.request("one more", later).is_ok());
        assert_eq!(rates.clients.lock().expect("no panic").len(), 1);
    }
}
