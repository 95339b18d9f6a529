//! The queues, without I/O: pure state that the log's records are applied to.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use segment_log::Position;
use tokio::sync::{Notify, oneshot};

use crate::codec::{Placed, Record};
use crate::error::QueueError;
use crate::ledger::{Ledger, LedgerCopy, Side};
use crate::message::Message;
use crate::options::QueueDefinition;

/// Highest priority first, then order of arrival.
type Place = (std::cmp::Reverse<u8>, u64);

fn by_queue(messages: &[(Arc<str>, Message)]) -> impl Iterator<Item = (&Arc<str>, &Message)> {
    messages.iter().map(|(queue, message)| (queue, message))
}

fn place(message: &Message) -> Place {
    (std::cmp::Reverse(message.priority), message.sequence)
}

/// A message together with where in the log it is.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) message: Message,
    /// Behind the record that put it.
    pub(crate) position: Position,
}

#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) definition: QueueDefinition,
    available: BTreeMap<Place, Stored>,
    /// Got, and not yet committed.
    taken: HashMap<u64, Stored, foldhash::fast::RandomState>,
    /// Messages and bytes of commits that are on their way to disk: they count for the limits.
    incoming: (usize, usize),
    bytes: usize,
    pub(crate) puts_total: u64,
    pub(crate) gets_total: u64,
    pub(crate) arrivals: Arc<Notify>,
}

impl Queue {
    fn new(definition: QueueDefinition) -> Self {
        Self {
            definition,
            available: BTreeMap::new(),
            taken: HashMap::default(),
            incoming: (0, 0),
            bytes: 0,
            puts_total: 0,
            gets_total: 0,
            arrivals: Arc::new(Notify::new()),
        }
    }

    pub(crate) fn depth(&self) -> usize {
        self.available.len() + self.taken.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn uncommitted_gets(&self) -> usize {
        self.taken.len()
    }

    pub(crate) fn oldest_put_time(&self) -> Option<i64> {
        let first = self.available.values().next();
        first.map(|stored| stored.message.put_time)
    }

    fn insert(&mut self, stored: Stored) {
        self.bytes += stored.message.body.len();
        let replaced = self.available.insert(place(&stored.message), stored);
        if let Some(old) = replaced {
            self.bytes -= old.message.body.len();
        }
    }

    fn remove(&mut self, sequence: u64) -> Option<Stored> {
        let found = self.taken.remove(&sequence).or_else(|| {
            // Only in recovery: a get was logged, and its message is still here. Nearly always
            // the priority is the default one.
            let default = (std::cmp::Reverse(0), sequence);
            self.available.remove(&default).or_else(|| {
                (1..=9).find_map(|priority| {
                    self.available
                        .remove(&(std::cmp::Reverse(priority), sequence))
                })
            })
        });
        if let Some(stored) = &found {
            self.bytes -= stored.message.body.len();
        }
        found
    }

    /// Takes the next message if its body fits into `bytes_left`.
    pub(crate) fn take_next(&mut self, bytes_left: usize) -> Option<Message> {
        let first = self.available.first_entry()?;
        if first.get().message.body.len() > bytes_left {
            return None;
        }
        let stored = first.remove();
        let message = stored.message.clone();
        self.taken.insert(message.sequence, stored);
        Some(message)
    }

    /// Returns a message to its place; the new backout count.
    pub(crate) fn put_back(&mut self, sequence: u64) -> Option<u32> {
        let mut stored = self.taken.remove(&sequence)?;
        stored.message.backout_count = stored.message.backout_count.saturating_add(1);
        let count = stored.message.backout_count;
        self.available.insert(place(&stored.message), stored);
        Some(count)
    }

    /// Messages in the order they would be got, without taking them.
    pub(crate) fn browse(&self, after: Option<u64>, count_max: usize) -> Vec<Message> {
        let behind = |stored: &&Stored| after.is_none_or(|seen| stored.message.sequence > seen);
        let messages = self.available.values().filter(behind).take(count_max);
        messages.map(|stored| stored.message.clone()).collect()
    }

    fn all(&self) -> impl Iterator<Item = &Stored> {
        self.available.values().chain(self.taken.values())
    }

    /// Whether `messages` more with `bytes` fit; if so they are reserved.
    pub(crate) fn reserve(&mut self, messages: usize, bytes: usize) -> Result<(), QueueError> {
        let depth = self.depth() + self.incoming.0;
        let held = self.bytes + self.incoming.1;
        let definition = &self.definition;
        if depth + messages > definition.depth_max || held + bytes > definition.bytes_max {
            return Err(QueueError::QueueFull {
                queue: definition.name.clone(),
                depth,
                bytes: held,
            });
        }
        self.incoming.0 += messages;
        self.incoming.1 += bytes;
        Ok(())
    }

    pub(crate) fn release(&mut self, messages: usize, bytes: usize) {
        self.incoming.0 -= messages;
        self.incoming.1 -= bytes;
    }
}

/// A commit that is in the log's buffer and waits for the disk.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) position: Position,
    pub(crate) record: Record,
    /// Reserved room by queue, to be released.
    pub(crate) reserved: Vec<(Arc<str>, usize, usize)>,
    pub(crate) done: Option<oneshot::Sender<()>>,
}

/// All queues.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) queues: BTreeMap<String, Queue>,
    pub(crate) sequence_next: u64,
    pub(crate) in_flight: VecDeque<InFlight>,
    pub(crate) ledger: Ledger,
    pub(crate) stopped: bool,
}

impl State {
    pub(crate) fn define(&mut self, definition: QueueDefinition) {
        let name = definition.name.clone();
        match self.queues.get_mut(&name) {
            Some(queue) => queue.definition = definition,
            None => drop(self.queues.insert(name, Queue::new(definition))),
        }
    }

    pub(crate) fn queue(&mut self, name: &str) -> Result<&mut Queue, QueueError> {
        self.queues
            .get_mut(name)
            .ok_or_else(|| QueueError::UnknownQueue {
                queue: name.to_owned(),
            })
    }

    /// Makes visible what is durable, in log order.
    pub(crate) fn apply_durable(&mut self, durable: Position) {
        while let Some(next) = self.in_flight.pop_front_if(|next| next.position <= durable) {
            for (queue, messages, bytes) in &next.reserved {
                if let Some(queue) = self.queues.get_mut(&**queue) {
                    queue.release(*messages, *bytes);
                }
            }
            self.apply(next.record, next.position);
            if let Some(done) = next.done {
                // Nobody waits any more when the caller was cancelled.
                let _ = done.send(());
            }
        }
    }

    /// Applies one record; also used in recovery, where the queue may not be defined yet.
    pub(crate) fn apply(&mut self, record: Record, position: Position) {
        match record {
            Record::Commit {
                puts,
                gets,
                declared,
            } => {
                let mut got = Vec::with_capacity(gets.len());
                for (name, sequence) in gets {
                    if let Some(queue) = self.queues.get_mut(&*name)
                        && let Some(stored) = queue.remove(sequence)
                    {
                        queue.gets_total += 1;
                        got.push((name, stored.message));
                    }
                }
                self.ledger.add(Side::Got, by_queue(&got));
                let put = puts.iter().map(|put| (&put.queue, &put.message));
                self.ledger.add(Side::Put, put);
                declared.iter().for_each(|part| self.ledger.declare(part));
                self.apply_puts(puts, position);
            }
            Record::Carry { puts } => self.apply_puts(puts, position),
            Record::Ledger(copy) => self.ledger.restore(copy),
            Record::Backout { counts } => {
                for (queue, sequence, count) in counts {
                    let Some(queue) = self.queues.get_mut(&*queue) else {
                        continue;
                    };
                    if let Some(mut stored) = queue.remove(sequence) {
                        stored.message.backout_count = count;
                        queue.insert(stored);
                    }
                }
            }
        }
    }

    fn apply_puts(&mut self, puts: Vec<Placed>, position: Position) {
        let mut last: Option<Arc<str>> = None;
        for Placed {
            queue: name,
            message,
        } in puts
        {
            self.sequence_next = self.sequence_next.max(message.sequence + 1);
            if last.as_ref() != Some(&name) {
                if !self.queues.contains_key(&*name) {
                    self.define(QueueDefinition::new(&name));
                }
                last = Some(Arc::clone(&name));
            }
            let Some(queue) = self.queues.get_mut(&*name) else {
                continue;
            };
            // Carried forward while a unit of work has it: only its place in the log changes.
            if let Some(taken) = queue.taken.get_mut(&message.sequence) {
                taken.position = position;
                continue;
            }
            queue.puts_total += 1;
            queue.insert(Stored { message, position });
            queue.arrivals.notify_one();
        }
    }

    /// The ledger as it will be when everything that is in the log's buffer is on disk.
    pub(crate) fn ledger_ahead(&self) -> LedgerCopy {
        let mut ahead = self.ledger.clone();
        for commit in &self.in_flight {
            let Record::Commit {
                puts,
                gets,
                declared,
            } = &commit.record
            else {
                continue;
            };
            let got = gets.iter().filter_map(|(name, sequence)| {
                let stored = self.queues.get(&**name)?.taken.get(sequence)?;
                Some((name, &stored.message))
            });
            ahead.add(Side::Got, got);
            let put = puts.iter().map(|put| (&put.queue, &put.message));
            ahead.add(Side::Put, put);
            declared.iter().for_each(|part| ahead.declare(part));
        }
        ahead.copy()
    }

    /// Whether the bodies of messages whose record is at or before `until` have fewer than
    /// `bytes_max` bytes. Ends as soon as they have not.
    pub(crate) fn is_little_up_to(&self, until: Position, bytes_max: u64) -> bool {
        let mut bytes = 0;
        let old = self.queues.values().flat_map(Queue::all);
        old.filter(|stored| stored.position <= until).all(|stored| {
            bytes += stored.message.body.len() as u64;
            bytes < bytes_max
        })
    }

    /// Messages whose record is at or before `until`.
    ///
    /// Without those whose get is already in the log: written again behind it they would rise from
    /// the dead at the next start.
    pub(crate) fn live_up_to(&self, until: Position) -> Vec<Placed> {
        let mut leaving = HashSet::new();
        for commit in &self.in_flight {
            if let Record::Commit { gets, .. } = &commit.record {
                leaving.extend(gets.iter().map(|(_, sequence)| *sequence));
            }
        }
        let mut live: Vec<Placed> = Vec::new();
        for (name, queue) in &self.queues {
            let old = queue.all().filter(|stored| {
                stored.position <= until && !leaving.contains(&stored.message.sequence)
            });
            let name: Arc<str> = name.as_str().into();
            live.extend(old.map(|stored| Placed {
                queue: Arc::clone(&name),
                message: stored.message.clone(),
            }));
        }
        live.sort_by_key(|placed| placed.message.sequence);
        live
    }

    /// A message now has a newer record.
    pub(crate) fn moved(&mut self, placed: &Placed, position: Position) {
        let Some(queue) = self.queues.get_mut(&*placed.queue) else {
            return;
        };
        let message = &placed.message;
        let taken = queue.taken.get_mut(&message.sequence);
        if let Some(stored) = taken.or_else(|| queue.available.get_mut(&place(message))) {
            stored.position = position;
        }
    }

    /// Position of the oldest record that still holds a message.
    pub(crate) fn oldest_position(&self) -> Option<Position> {
        let all = self.queues.values().flat_map(Queue::all);
        all.map(|stored| stored.position).min()
    }
}
