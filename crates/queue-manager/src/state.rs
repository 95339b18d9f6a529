//! The queues, without I/O: pure state that the log's records are applied to.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use segment_log::Position;
use tokio::sync::{Notify, oneshot};

use crate::codec::{Placed, Record};
use crate::error::QueueError;
use crate::ledger::{Ledger, LedgerCopy, Side};
use crate::message::{Descriptor, Message};
use crate::options::QueueDefinition;
use crate::selection::{Cursor, Found, Selection};

/// Where messages are in the log that never go there.
const NOWHERE: Position = Position(u64::MAX);

/// The ledger counts what survives.
fn persistent(messages: &[(Arc<str>, Message)]) -> impl Iterator<Item = (&Arc<str>, &Message)> {
    let persistent = messages
        .iter()
        .filter(|(_, message)| message.descriptor.persistent);
    persistent.map(|(queue, message)| (queue, message))
}

fn persistent_puts(puts: &[Placed]) -> impl Iterator<Item = (&Arc<str>, &Message)> {
    let persistent = puts.iter().filter(|put| put.message.descriptor.persistent);
    persistent.map(|put| (&put.queue, &put.message))
}

/// A message together with where in the log it is.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) message: Message,
    /// Behind the record that put it.
    pub(crate) position: Position,
}

/// Who has a queue open.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Opens {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) exclusive: bool,
}

#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) definition: QueueDefinition,
    /// By priority, highest first, then by arrival.
    available: BTreeMap<Cursor, Stored>,
    /// Not to be got yet, by when they may be.
    delayed: BTreeMap<(i64, u64), Stored>,
    /// Of `available`: those that expire, by when.
    expiries: BTreeSet<(i64, Cursor)>,
    /// Got, and not yet committed.
    taken: HashMap<u64, Stored, foldhash::fast::RandomState>,
    /// Messages and bytes that were put and are not committed, or whose commit is on its way to disk:
    /// they count for the limits.
    incoming: (usize, usize),
    bytes: usize,
    pub(crate) puts_total: u64,
    pub(crate) gets_total: u64,
    pub(crate) expired_total: u64,
    pub(crate) opens: Opens,
    /// Made from a model; gone when its maker closes it.
    pub(crate) temporary: bool,
    /// For those who want any message: each arrival wakes one of them.
    pub(crate) arrivals: Arc<Notify>,
    /// For those who want a certain message: each arrival wakes all.
    pub(crate) selective: Arc<Notify>,
}

impl Queue {
    fn new(definition: QueueDefinition) -> Self {
        Self {
            definition,
            available: BTreeMap::new(),
            delayed: BTreeMap::new(),
            expiries: BTreeSet::new(),
            taken: HashMap::default(),
            incoming: (0, 0),
            bytes: 0,
            puts_total: 0,
            gets_total: 0,
            expired_total: 0,
            opens: Opens::default(),
            temporary: false,
            arrivals: Arc::new(Notify::new()),
            selective: Arc::new(Notify::new()),
        }
    }

    pub(crate) fn depth(&self) -> usize {
        self.available.len() + self.delayed.len() + self.taken.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn uncommitted_gets(&self) -> usize {
        self.taken.len()
    }

    pub(crate) fn uncommitted_puts(&self) -> usize {
        self.incoming.0
    }

    pub(crate) fn oldest_put_time(&self) -> Option<i64> {
        let first = self.available.values().next();
        first.map(|stored| stored.message.put_time)
    }

    /// Wakes everybody, for instance because gets are inhibited now.
    pub(crate) fn wake_all(&self) {
        self.arrivals.notify_waiters();
        self.selective.notify_waiters();
    }

    fn wake_for_one(&self) {
        self.arrivals.notify_one();
        self.selective.notify_waiters();
    }

    /// Makes a message available and wakes who waits for it.
    fn offer(&mut self, stored: Stored) {
        let cursor = Cursor::at(&stored.message);
        if let Some(expires_at) = stored.message.expires_at {
            self.expiries.insert((expires_at, cursor));
        }
        let replaced = self.available.insert(cursor, stored);
        if let Some(old) = replaced {
            self.bytes -= old.message.body.len();
        }
        self.wake_for_one();
    }

    fn insert(&mut self, stored: Stored, now: i64) {
        self.bytes += stored.message.body.len();
        match stored.message.available_at.filter(|at| *at > now) {
            Some(at) => {
                let key = (at, stored.message.sequence);
                self.delayed.insert(key, stored);
            }
            None => self.offer(stored),
        }
    }

    fn withdraw(&mut self, cursor: Cursor) -> Option<Stored> {
        let stored = self.available.remove(&cursor)?;
        if let Some(expires_at) = stored.message.expires_at {
            self.expiries.remove(&(expires_at, cursor));
        }
        Some(stored)
    }

    fn remove(&mut self, sequence: u64) -> Option<Stored> {
        let found = self.taken.remove(&sequence).or_else(|| {
            // Only in recovery: a get was logged, and its message is still here. Nearly always
            // the priority is the default one.
            let found = (0..=9).find_map(|priority| {
                self.withdraw(Cursor {
                    priority: std::cmp::Reverse(priority),
                    sequence,
                })
            });
            found.or_else(|| {
                let mut keys = self.delayed.keys();
                let key = keys.find(|(_, delayed)| *delayed == sequence).copied()?;
                self.delayed.remove(&key)
            })
        });
        if let Some(stored) = &found {
            self.bytes -= stored.message.body.len();
        }
        found
    }

    /// Takes the next message if its body fits into `bytes_left`.
    pub(crate) fn take_next(&mut self, bytes_left: usize) -> Option<Message> {
        let (cursor, first) = self.available.first_key_value()?;
        if first.message.body.len() > bytes_left {
            return None;
        }
        self.take(*cursor)
    }

    fn take(&mut self, cursor: Cursor) -> Option<Message> {
        let stored = self.withdraw(cursor)?;
        let message = stored.message.clone();
        self.taken.insert(message.sequence, stored);
        Some(message)
    }

    /// The first message that matches, behind `after`.
    pub(crate) fn find(&self, selection: &Selection, after: Option<Cursor>) -> Option<&Message> {
        if let (Some(sequence), None) = (selection.sequence, after) {
            // By its token: no search.
            let found = (0..=9).find_map(|priority| {
                self.available.get(&Cursor {
                    priority: std::cmp::Reverse(priority),
                    sequence,
                })
            });
            let found = found.map(|stored| &stored.message);
            return found.filter(|message| selection.matches(message));
        }
        let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut behind = self.available.range((begin, Bound::Unbounded));
        let found = behind.find(|(_, stored)| selection.matches(&stored.message));
        found.map(|(_, stored)| &stored.message)
    }

    /// Takes the first message that matches if it is accepted.
    pub(crate) fn take_matching(
        &mut self,
        selection: &Selection,
        accept: &mut dyn FnMut(&Message) -> bool,
    ) -> Found {
        let Some(message) = self.find(selection, None) else {
            return Found::Nothing;
        };
        if !accept(message) {
            return Found::Refused(Box::new(message.clone()));
        }
        let cursor = Cursor::at(message);
        match self.take(cursor) {
            Some(message) => Found::Got(Box::new(message)),
            None => Found::Nothing,
        }
    }

    /// Takes those that have expired; sequence and whether the log knows it.
    pub(crate) fn take_expired(&mut self, now: i64) -> Vec<(u64, bool)> {
        let mut expired = Vec::new();
        while let Some((expires_at, cursor)) = self.expiries.first().copied()
            && expires_at <= now
        {
            self.expiries.remove(&(expires_at, cursor));
            if let Some(message) = self.take(cursor) {
                expired.push((message.sequence, message.descriptor.persistent));
            }
        }
        self.expired_total += expired.len() as u64;
        expired
    }

    /// Offers those whose delay is over; the time of the next one.
    pub(crate) fn promote(&mut self, now: i64) -> Option<i64> {
        while let Some(entry) = self.delayed.first_entry() {
            let (at, _) = *entry.key();
            if at > now {
                return Some(at);
            }
            let stored = entry.remove();
            self.offer(stored);
        }
        None
    }

    /// Whether messages wait for their time.
    pub(crate) fn has_delayed(&self) -> bool {
        !self.delayed.is_empty()
    }

    /// When the next message expires.
    pub(crate) fn next_expiry(&self) -> Option<i64> {
        self.expiries.first().map(|(at, _)| *at)
    }

    /// Returns a message to its place; the new backout count.
    pub(crate) fn put_back(&mut self, sequence: u64) -> Option<u32> {
        let mut stored = self.taken.remove(&sequence)?;
        stored.message.backout_count = stored.message.backout_count.saturating_add(1);
        let count = stored.message.backout_count;
        self.offer(stored);
        Some(count)
    }

    /// A get of recovery that is not decided.
    fn hold(&mut self, sequence: u64) {
        if let Some(stored) = self.remove(sequence) {
            self.bytes += stored.message.body.len();
            self.taken.insert(sequence, stored);
        }
    }

    /// Messages in the order they would be got, without taking them.
    pub(crate) fn browse(&self, after: Option<Cursor>, count_max: usize) -> Vec<Message> {
        let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
        let messages = self.available.range((begin, Bound::Unbounded));
        let messages = messages.take(count_max);
        messages.map(|(_, stored)| stored.message.clone()).collect()
    }

    fn all(&self) -> impl Iterator<Item = &Stored> {
        let waiting = self.available.values().chain(self.delayed.values());
        waiting.chain(self.taken.values())
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
        self.incoming.0 = self.incoming.0.saturating_sub(messages);
        self.incoming.1 = self.incoming.1.saturating_sub(bytes);
    }
}

/// Room reserved on queues: messages and bytes.
pub(crate) type Reserved = Vec<(Arc<str>, usize, usize)>;

/// A unit of work that somebody else decides about.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Behind its record, which is needed until it is resolved.
    pub(crate) position: Position,
    pub(crate) puts: Vec<Placed>,
    pub(crate) gets: Vec<(Arc<str>, u64)>,
    pub(crate) reserved: Reserved,
    /// Its decision is in the log's buffer.
    pub(crate) resolving: bool,
}

/// A commit that is in the log's buffer and waits for the disk.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) position: Position,
    pub(crate) record: Record,
    /// Reserved room by queue, to be released.
    pub(crate) reserved: Reserved,
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
    pub(crate) prepared: BTreeMap<Bytes, Prepared>,
    /// Queues whose definition is in the log, because it was made or altered while running.
    pub(crate) altered: BTreeSet<String>,
    /// Of identifiers that are made before their message has a sequence.
    pub(crate) epoch: u32,
    pub(crate) ids_used: u32,
    /// Temporary queues made in this epoch.
    pub(crate) epoch_name: u32,
    /// The clock, for what has expired or waits; set by whoever applies records.
    pub(crate) now: i64,
    pub(crate) last_descriptor: Option<Arc<Descriptor>>,
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

    /// Gives reserved room back. A queue that is gone needs none.
    pub(crate) fn release(&mut self, reserved: &Reserved) {
        for (queue, messages, bytes) in reserved {
            if let Some(queue) = self.queues.get_mut(&**queue) {
                queue.release(*messages, *bytes);
            }
        }
    }

    /// Makes visible what is durable, in log order.
    pub(crate) fn apply_durable(&mut self, durable: Position) {
        while let Some(next) = self.in_flight.pop_front_if(|next| next.position <= durable) {
            self.release(&next.reserved);
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
                self.apply_gets(gets);
                self.ledger.add(Side::Put, persistent_puts(&puts));
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
                        queue.insert(stored, self.now);
                    }
                }
            }
            Record::Prepare { xid, puts, gets } => self.apply_prepare(xid, puts, gets, position),
            Record::Resolve { xid, commit, gets } => self.apply_resolve(&xid, commit, gets),
            Record::Define(definition) => {
                self.altered.insert(definition.name.clone());
                self.define(*definition);
            }
            Record::Delete { queue } => {
                self.altered.remove(&*queue);
                if let Some(gone) = self.queues.remove(&*queue) {
                    gone.wake_all();
                }
            }
            Record::Epoch(epoch) => self.epoch = self.epoch.max(epoch),
        }
    }

    fn apply_gets(&mut self, gets: Vec<(Arc<str>, u64)>) {
        let mut got = Vec::with_capacity(gets.len());
        for (name, sequence) in gets {
            if let Some(queue) = self.queues.get_mut(&*name)
                && let Some(stored) = queue.remove(sequence)
            {
                queue.gets_total += 1;
                got.push((name, stored.message));
            }
        }
        self.ledger.add(Side::Got, persistent(&got));
    }

    /// While running, its gets are taken and its room is reserved already; in recovery neither.
    fn apply_prepare(
        &mut self,
        xid: Bytes,
        puts: Vec<Placed>,
        gets: Vec<(Arc<str>, u64)>,
        position: Position,
    ) {
        let highest = puts.iter().map(|put| put.message.sequence + 1).max();
        self.sequence_next = self.sequence_next.max(highest.unwrap_or(0));
        if self.prepared.contains_key(&xid) {
            return;
        }
        for (name, sequence) in &gets {
            if let Some(queue) = self.queues.get_mut(&**name) {
                queue.hold(*sequence);
            }
        }
        let mut reserved = Reserved::new();
        for put in &puts {
            if !self.queues.contains_key(&*put.queue) && put.message.descriptor.persistent {
                self.define(QueueDefinition::new(&put.queue));
            }
            if let Some(queue) = self.queues.get_mut(&*put.queue) {
                // Whatever the limits are now: it was promised.
                let bytes = put.message.body.len();
                queue.incoming.0 += 1;
                queue.incoming.1 += bytes;
                reserved.push((Arc::clone(&put.queue), 1, bytes));
            }
        }
        let prepared = Prepared {
            position,
            puts,
            gets,
            reserved,
            resolving: false,
        };
        self.prepared.insert(xid, prepared);
    }

    fn apply_resolve(&mut self, xid: &Bytes, commit: bool, gets: Vec<(Arc<str>, u64)>) {
        let prepared = self.prepared.remove(xid);
        if let Some(prepared) = &prepared {
            self.release(&prepared.reserved);
        }
        if commit {
            // Also when the record that prepared it is gone: a message may have been carried on.
            self.apply_gets(gets);
            if let Some(prepared) = prepared {
                self.ledger.add(Side::Put, persistent_puts(&prepared.puts));
                self.apply_puts(prepared.puts, prepared.position);
            }
            return;
        }
        for (name, sequence) in prepared.into_iter().flat_map(|prepared| prepared.gets) {
            if let Some(queue) = self.queues.get_mut(&*name) {
                queue.put_back(sequence);
            }
        }
    }

    fn apply_puts(&mut self, puts: Vec<Placed>, position: Position) {
        let mut last: Option<Arc<str>> = None;
        for Placed {
            queue: name,
            mut message,
        } in puts
        {
            self.sequence_next = self.sequence_next.max(message.sequence + 1);
            if last.as_ref() != Some(&name) {
                if !self.queues.contains_key(&*name) {
                    // A temporary queue that was closed meanwhile takes its messages with it.
                    if !message.descriptor.persistent {
                        continue;
                    }
                    self.define(QueueDefinition::new(&name));
                }
                last = Some(Arc::clone(&name));
            }
            // Putters send the same descriptor again and again: it is kept once.
            match &self.last_descriptor {
                Some(last) if Arc::ptr_eq(last, &message.descriptor) => {}
                Some(last) if **last == *message.descriptor => {
                    message.descriptor = Arc::clone(last);
                }
                _ => self.last_descriptor = Some(Arc::clone(&message.descriptor)),
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
            let position = if message.descriptor.persistent {
                position
            } else {
                NOWHERE
            };
            queue.insert(Stored { message, position }, self.now);
        }
    }

    /// The ledger as it will be when everything that is in the log's buffer is on disk.
    pub(crate) fn ledger_ahead(&self) -> LedgerCopy {
        let mut ahead = self.ledger.clone();
        for in_flight in &self.in_flight {
            let (puts, gets, declared) = match &in_flight.record {
                Record::Commit {
                    puts,
                    gets,
                    declared,
                } => (puts.as_slice(), gets, declared.as_slice()),
                Record::Resolve {
                    xid,
                    commit: true,
                    gets,
                } => {
                    let prepared = self.prepared.get(xid);
                    let puts = prepared.map(|prepared| prepared.puts.as_slice());
                    (puts.unwrap_or_default(), gets, [].as_slice())
                }
                _ => continue,
            };
            let got = gets.iter().filter_map(|(name, sequence)| {
                let stored = self.queues.get(&**name)?.taken.get(sequence)?;
                let persistent = stored.message.descriptor.persistent;
                persistent.then_some((name, &stored.message))
            });
            ahead.add(Side::Got, got);
            ahead.add(Side::Put, persistent_puts(puts));
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
            let gets = match &commit.record {
                Record::Commit { gets, .. } => gets,
                Record::Resolve {
                    commit: true, gets, ..
                } => gets,
                _ => continue,
            };
            leaving.extend(gets.iter().map(|(_, sequence)| *sequence));
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
        let delayed = (message.available_at.unwrap_or(0), message.sequence);
        if let Some(stored) = queue.taken.get_mut(&message.sequence) {
            stored.position = position;
        } else if let Some(stored) = queue.available.get_mut(&Cursor::at(message)) {
            stored.position = position;
        } else if let Some(stored) = queue.delayed.get_mut(&delayed) {
            stored.position = position;
        }
    }

    /// Position of the oldest record that still holds a message or a prepared unit of work.
    pub(crate) fn oldest_position(&self) -> Option<Position> {
        let all = self.queues.values().flat_map(Queue::all);
        let prepared = self.prepared.values().map(|prepared| prepared.position);
        all.map(|stored| stored.position).chain(prepared).min()
    }
}
