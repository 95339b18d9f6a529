//! Copies of the state of partitions that other processes have, so that a takeover reads only the end of their changelogs.
//!
//! A thread of its own reads the changelogs of all partitions that are not this process's and applies them as a restore
//! would. A takeover takes the copy and reads on where it ends (`takeover`).
//!
//! # Invariants
//!
//! - **A copy is a prefix of the changelog**, of committed records, applied in order. Whether it is a minute or a millisecond
//!   behind changes how long a takeover takes, never what comes of it.
//! - **A partition is copied or owned, never both.** A copy that was taken is not gone on with; what a process gives up is
//!   copied from its beginning again, as its own state may have what was never committed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use kafka_client::{ClientError, Cluster, LogConsumer};
use rdkafka::consumer::Consumer;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use telemetry::Meter;
use tracing::warn;

use crate::changelog::{self, Entry};
use crate::engine::{Task, TotalsTask};
use crate::error::ServiceError;
use crate::options::AggregationOptions;
use crate::spill::ScratchError;

/// How long a poll waits for a first record; also how soon a changed set of partitions and a stop are noticed.
const POLL_TIME: Duration = Duration::from_millis(50);
/// Most records that are read before they are applied, which a takeover waits for: about 1 ms.
const RECORDS_AT_ONCE: usize = 1_000;
/// Pause after a failure of the log.
const PAUSE: Duration = Duration::from_millis(500);

/// Topic and partition of a changelog.
pub(crate) type Place = (String, i32);

/// The state that a changelog describes.
#[derive(Debug)]
pub(crate) enum State {
    /// Of a partition of the input.
    Counted(Task),
    /// Of a partition of the topic of parts.
    Folded(TotalsTask),
}

/// A copy: what a changelog says before an offset.
#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) state: State,
    /// Offset of the first record that is not in it.
    pub(crate) next: i64,
    /// Transactional id of the process that wrote there last.
    pub(crate) owner: Option<String>,
}

impl Copy {
    /// Error: never, as nothing of a copy has moved out of memory.
    fn apply(&mut self, entry: Entry) -> Result<(), ScratchError> {
        match (&mut self.state, entry) {
            (_, Entry::Owner(owner)) => {
                self.owner = Some(owner);
                Ok(())
            }
            (State::Counted(task), entry) => task.apply(entry),
            (State::Folded(task), entry) => task.apply(entry),
        }
    }

    /// Whether a changelog with these bounds goes on where it ends. One that was made anew, or has lost what comes next, does not.
    pub(crate) fn fits(&self, (first, end): (i64, i64)) -> bool {
        (first..=end).contains(&self.next)
    }

    fn rows(&self) -> usize {
        match &self.state {
            State::Counted(task) => task.rows(),
            State::Folded(task) => task.rows(),
        }
    }
}

/// What is copied.
#[derive(Debug, Default)]
struct Copies {
    by_place: BTreeMap<Place, Copy>,
    /// Whether the places are others than those that are read.
    has_changed: bool,
}

impl Copies {
    /// Adds a record that was read; one that is not the next of a copy is another reading's.
    fn apply(&mut self, place: &Place, offset: i64, entry: Result<Entry, changelog::Foreign>) {
        let Some(copy) = self.by_place.get_mut(place) else {
            return;
        };
        if offset < copy.next {
            return;
        }
        match entry.map(|entry| copy.apply(entry)) {
            Ok(Ok(())) => copy.next = offset + 1,
            // The takeover will meet it too, and says so.
            _ => drop(self.by_place.remove(place)),
        }
    }
}

/// Copies what other processes have. Ends its thread when dropped.
#[derive(Debug)]
pub(crate) struct Standby {
    copies: Arc<Mutex<Copies>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    options: AggregationOptions,
    /// The changelog whose partitions hold [`State::Folded`].
    totals_topic: String,
}

impl Standby {
    /// Starts the thread; nothing is copied before [`Standby::follow`]. `rows` is told how many rows the copies have.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Thread`].
    pub(crate) fn start(
        cluster: &Cluster,
        options: &AggregationOptions,
        totals_topic: &str,
        rows: Arc<Meter>,
    ) -> Result<Self, ServiceError> {
        let copies = Arc::new(Mutex::new(Copies::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let copier = Copier {
            cluster: cluster.clone(),
            name: options.name.clone(),
            copies: Arc::clone(&copies),
            stop: Arc::clone(&stop),
            rows,
        };
        let thread = thread::Builder::new()
            .name("standby".to_owned())
            .spawn(move || copier.run())
            .map_err(ServiceError::Thread)?;
        Ok(Self {
            copies,
            stop,
            thread: Some(thread),
            options: options.clone(),
            totals_topic: totals_topic.to_owned(),
        })
    }

    /// Copies these from now on, and no others. Those that are new are read from their beginning, in the background.
    pub(crate) fn follow(&self, places: &BTreeSet<Place>) {
        let mut copies = lock(&self.copies);
        let before = copies.by_place.len();
        copies.by_place.retain(|place, _| places.contains(place));
        copies.has_changed |= copies.by_place.len() != before;
        for place in places {
            if copies.by_place.contains_key(place) {
                continue;
            }
            let state = match place.0 == self.totals_topic {
                true => State::Folded(TotalsTask::new(&self.options)),
                false => State::Counted(Task::new(&self.options)),
            };
            let copy = Copy {
                state,
                next: 0,
                owner: None,
            };
            copies.by_place.insert(place.clone(), copy);
            copies.has_changed = true;
        }
    }

    /// The copy of a partition's state, which is no longer gone on with. `None` when there is none.
    pub(crate) fn take(&self, topic: &str, partition: i32) -> Option<Copy> {
        let mut copies = lock(&self.copies);
        let copy = copies.by_place.remove(&(topic.to_owned(), partition))?;
        copies.has_changed = true;
        Some(copy)
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            warn!(
                name = self.options.name,
                "the thread of the copies panicked"
            );
        }
    }
}

fn lock(copies: &Mutex<Copies>) -> MutexGuard<'_, Copies> {
    copies.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread.
struct Copier {
    cluster: Cluster,
    name: String,
    copies: Arc<Mutex<Copies>>,
    stop: Arc<AtomicBool>,
    rows: Arc<Meter>,
}

impl Copier {
    fn run(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            if let Err(error) = self.copy() {
                warn!(
                    name = self.name,
                    error = types::report(&error),
                    "the copies of other processes' state are not gone on with; tries again"
                );
                thread::sleep(PAUSE);
            }
        }
        self.rows.set(0);
    }

    /// Until the stop or a failure.
    fn copy(&self) -> Result<(), ClientError> {
        let consumer = self.cluster.reader("daybook-standby")?;
        lock(&self.copies).has_changed = true;
        while !self.stop.load(Ordering::Relaxed) {
            self.assign(&consumer)?;
            let mut messages = Vec::new();
            self.cluster
                .take(&consumer, "copy state", POLL_TIME, |message| {
                    messages.push(message);
                    match messages.len() < RECORDS_AT_ONCE {
                        true => ControlFlow::Continue(()),
                        false => ControlFlow::Break(()),
                    }
                })?;
            self.apply(&messages);
        }
        Ok(())
    }

    /// Reads what is to be copied, where its copies end.
    fn assign(&self, consumer: &LogConsumer) -> Result<(), ClientError> {
        let mut copies = lock(&self.copies);
        if !std::mem::take(&mut copies.has_changed) {
            return Ok(());
        }
        let failed = |source| self.cluster.error("assign partitions", source);
        let mut assignment = TopicPartitionList::new();
        for ((topic, partition), copy) in &copies.by_place {
            let from = match copy.next {
                0 => Offset::Beginning,
                next => Offset::Offset(next),
            };
            let added = assignment.add_partition_offset(topic, *partition, from);
            added.map_err(failed)?;
        }
        drop(copies);
        consumer.assign(&assignment).map_err(failed)
    }

    fn apply(&self, messages: &[BorrowedMessage<'_>]) {
        let decoded = messages.iter().map(|message| {
            let key = message.key().unwrap_or_default();
            changelog::decode(key, message.payload())
        });
        // Before the lock: a takeover waits for it.
        let decoded: Vec<_> = decoded.collect();
        let mut copies = lock(&self.copies);
        let mut place = (String::new(), -1);
        for (message, entry) in messages.iter().zip(decoded) {
            if place.1 != message.partition() || place.0 != message.topic() {
                place = (message.topic().to_owned(), message.partition());
            }
            copies.apply(&place, message.offset(), entry);
        }
        let rows = copies.by_place.values().map(Copy::rows).sum::<usize>();
        drop(copies);
        self.rows.set(i64::try_from(rows).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_takes_each_record_once_and_knows_who_wrote_last() {
        let options = crate::engine::tests::options("SELECT 1");
        let place = ("state".to_owned(), 3);
        let mut copies = Copies::default();
        let copy = Copy {
            state: State::Counted(Task::new(&options)),
            next: 0,
            owner: None,
        };
        copies.by_place.insert(place.clone(), copy);
        let clock =
            |at| changelog::decode(&changelog::clock_key(3), Some(&changelog::encode_clock(at)));
        let owner =
            |id| changelog::decode(&changelog::owner_key(), Some(&changelog::encode_owner(id)));
        copies.apply(&place, 4, owner("a"));
        copies.apply(&place, 7, clock(70));
        // A reading that began again from before.
        copies.apply(&place, 4, owner("b"));
        // Somebody else's.
        copies.apply(&("state".to_owned(), 2), 8, owner("c"));
        let copy = &copies.by_place[&place];
        assert_eq!((copy.next, copy.owner.as_deref()), (8, Some("a")));
        // What is not understood is left to the takeover.
        copies.apply(&place, 8, changelog::decode(b"?", Some(b"")));
        assert!(copies.by_place.is_empty());
    }
}
