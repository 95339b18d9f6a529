//! What the id log says so far: which messages are claimed, which claims are committed, and which messages
//! have left the queue. Pure: records in, answers out.
//!
//! Rules and names are those of `docs/specs/delivery.md`.
//!
//! # Invariants
//!
//! - Records are applied in the order of their offsets, each once, without a gap from where it began.
//! - A claim is forgotten only when it is aborted, or when everything in it has left the queue and no unit of work
//!   of this process is older than the record that says so.

mod record;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

pub(crate) use record::{BatchId, Claim, Done, Entry};

use crate::claim::Identity;

/// Batches that are remembered after they were settled: a repetition of their claim that was on its way counts for
/// nothing.
const FORGOTTEN_MAX: usize = 10_000;

/// What a reader should do with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nobody else has delivered it or may still do.
    Free,
    /// Whether others have delivered it is known when these claims are decided (their offsets).
    Undecided(Vec<i64>),
    /// It was delivered by this batch.
    Taken {
        batch: BatchId,
        /// As its claim names it.
        claimed: Identity,
        /// Token and content say that it is the same message; else only one of them does.
        proven: bool,
    },
}

/// When a unit of work began: how far the log had been read, and the moment of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Since {
    pub(crate) position: i64,
    pub(crate) moment: u64,
}

#[derive(Debug)]
struct Known {
    claim: Claim,
    /// Newest offset at which the log has it.
    held_at: i64,
    is_committed: bool,
    /// Everything of it has left the queue, says the record at this offset.
    settled_at: Option<i64>,
    /// A reader of this process took all of it off the queue at this moment.
    left_at: Option<u64>,
    /// Single messages of it have left.
    parts: Vec<Part>,
}

/// A message that came again and was discarded.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    identity: Identity,
    /// By this batch: the same news may be in the log twice.
    by: BatchId,
    /// Says the record at this offset.
    at: i64,
}

impl Known {
    /// How often this identity is in the claim and has not left before `before`, as far as single messages go.
    fn remaining(&self, identity: &Identity, before: i64) -> usize {
        let all = self.claim.identities.iter().filter(|one| *one == identity);
        let left = self
            .parts
            .iter()
            .filter(|part| part.at < before && part.identity == *identity);
        all.count().saturating_sub(left.count())
    }

    /// The claim's message that this one is, of those that have not left and are not given away: the very same if
    /// it is there, else one that cannot be told from it.
    fn same(&self, identity: &Identity, before: i64, given: &Given) -> Option<Identity> {
        let is_left = |one: &Identity| {
            let given = given.get(&(self.claim.batch, *one)).copied().unwrap_or(0);
            // Nearly always nothing of it has left, and it is not asked for again: nothing to count.
            given == 0 && self.parts.is_empty() || self.remaining(one, before) > given
        };
        let similar = |one: &Identity| {
            let token = one.token != 0 && one.token == identity.token;
            one.print == identity.print || token && !one.is_comparable(identity)
        };
        let mut all = self.claim.identities.iter();
        let exact = all.clone().find(|one| *one == identity && is_left(one));
        exact
            .or_else(|| all.find(|one| similar(one) && is_left(one)))
            .copied()
    }

    fn all_parts_left(&self) -> bool {
        self.parts.len() >= self.claim.identities.len()
    }
}

/// How often each message of a claim was found in a unit of work.
pub(crate) type Given = HashMap<(BatchId, Identity), usize>;
type Offsets = Vec<i64>;
type ByNumber<T> = HashMap<u128, T, foldhash::fast::RandomState>;

/// Batches that were settled last.
#[derive(Debug, Default)]
struct Forgotten {
    order: VecDeque<BatchId>,
    all: HashSet<BatchId>,
}

impl Forgotten {
    fn add(&mut self, batch: BatchId) {
        if self.all.insert(batch) {
            self.order.push_back(batch);
        }
        if self.order.len() > FORGOTTEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.all.remove(&oldest);
        }
    }

    fn contains(&self, batch: BatchId) -> bool {
        self.all.contains(&batch)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct IdLog {
    next: i64,
    /// By offset of their first record that was read.
    claims: BTreeMap<i64, Known>,
    by_batch: ByNumber<i64>,
    by_print: ByNumber<Offsets>,
    by_token: ByNumber<Offsets>,
    /// Claims that are settled, in the order in which they became so: offset of the record that says so, claim.
    settled: VecDeque<(i64, i64)>,
    forgotten: Forgotten,
    identities: usize,
}

impl IdLog {
    /// Nothing is known yet; `start` is the offset of the first record that will be applied.
    pub(crate) fn new(start: i64) -> Self {
        Self {
            next: start,
            ..Self::default()
        }
    }

    /// Offset behind the last record that was read.
    pub(crate) fn position(&self) -> i64 {
        self.next
    }

    /// Identities that are remembered.
    pub(crate) fn identities(&self) -> usize {
        self.identities
    }

    pub(crate) fn apply(&mut self, offset: i64, entry: Entry) {
        self.next = self.next.max(offset + 1);
        match entry {
            Entry::Claim { claim, done } => {
                for done in done {
                    self.settle(offset, done);
                }
                self.insert(offset, claim, false);
            }
            Entry::Done(done) => done.into_iter().for_each(|done| self.settle(offset, done)),
            // It was repeated while somebody else said that it is settled.
            Entry::Carry(claim) if self.forgotten.contains(claim.batch) => {}
            Entry::Carry(claim) => match self.known_mut(claim.batch) {
                // Where it stood first still counts: a claim between the two must meet it.
                Some(known) => {
                    known.held_at = offset;
                    known.is_committed = true;
                }
                None => self.insert(offset, claim, true),
            },
        }
    }

    fn insert(&mut self, offset: i64, claim: Claim, is_committed: bool) {
        for identity in &claim.identities {
            self.by_print
                .entry(identity.print)
                .or_default()
                .push(offset);
            if identity.token != 0 {
                self.by_token
                    .entry(identity.token)
                    .or_default()
                    .push(offset);
            }
        }
        self.identities += claim.identities.len();
        self.by_batch.insert(claim.batch, offset);
        let known = Known {
            claim,
            held_at: offset,
            is_committed,
            settled_at: None,
            left_at: None,
            parts: Vec::new(),
        };
        self.claims.insert(offset, known);
    }

    fn known_mut(&mut self, batch: BatchId) -> Option<&mut Known> {
        let offset = self.by_batch.get(&batch)?;
        self.claims.get_mut(offset)
    }

    fn settle(&mut self, at: i64, done: Done) {
        if let Some(known) = self.known_mut(done.batch)
            && known.settled_at.is_none()
        {
            known.is_committed = true;
            known.settled_at = Some(at);
            self.note_settled(at, done.batch);
        }
        let by = done.batch;
        let batches: HashSet<BatchId> = done.discarded.iter().map(|(batch, _)| *batch).collect();
        for batch in batches {
            let Some(known) = self.known_mut(batch) else {
                continue;
            };
            known.is_committed = true;
            // The same news again: it was not sure whether the first one had arrived.
            if known.settled_at.is_some() || known.parts.iter().any(|part| part.by == by) {
                continue;
            }
            let parts = done.discarded.iter().filter(|(of, _)| *of == batch);
            known.parts.extend(parts.map(|(_, identity)| Part {
                identity: *identity,
                by,
                at,
            }));
            if known.all_parts_left() {
                known.settled_at = Some(at);
                self.note_settled(at, batch);
            }
        }
    }

    fn note_settled(&mut self, at: i64, batch: BatchId) {
        if let Some(offset) = self.by_batch.get(&batch) {
            self.settled.push_back((at, *offset));
        }
    }

    /// Where the claim of a batch stands, if it was read.
    pub(crate) fn offset_of(&self, batch: BatchId) -> Option<i64> {
        self.by_batch.get(&batch).copied()
    }

    /// A reader of this process has taken a batch off the queue. The log says it too, but later: what looks the same
    /// and is got meanwhile is another message.
    pub(crate) fn left(&mut self, batch: BatchId, moment: u64) {
        if let Some(known) = self.known_mut(batch) {
            known.left_at.get_or_insert(moment);
        }
    }

    /// What claims before `limit` say of a message that was got in a unit of work. `given` are messages of claims that
    /// others of the same unit of work were found to be: two that look the same are two of a claim, or not both of it.
    pub(crate) fn judge(
        &self,
        identity: &Identity,
        limit: i64,
        since: Since,
        given: &Given,
    ) -> Verdict {
        let mut undecided = Vec::new();
        let by_print = self.by_print.get(&identity.print);
        let by_token = match identity.token {
            0 => None,
            token => self.by_token.get(&token),
        };
        let all = by_print.into_iter().chain(by_token).flatten();
        for offset in all.filter(|at| **at < limit) {
            let Some(known) = self.claims.get(offset) else {
                continue;
            };
            let before = known.settled_at.is_some_and(|at| at < since.position)
                || known.left_at.is_some_and(|at| at < since.moment);
            if before {
                // That one had left before this one was got: another message.
                continue;
            }
            let Some(same) = known.same(identity, since.position, given) else {
                continue;
            };
            if known.is_committed {
                return Verdict::Taken {
                    batch: known.claim.batch,
                    claimed: same,
                    proven: same == *identity && identity.token != 0,
                };
            }
            if !undecided.contains(offset) {
                undecided.push(*offset);
            }
        }
        match undecided.is_empty() {
            true => Verdict::Free,
            false => Verdict::Undecided(undecided),
        }
    }

    /// Who owns the first undecided claim at or behind `from`.
    pub(crate) fn first_undecided(&self, from: i64) -> Option<(i64, BatchId, Arc<str>)> {
        let mut behind = self.claims.range(from..);
        let found = behind.find(|(_, known)| !known.is_committed);
        found.map(|(offset, known)| (*offset, known.claim.batch, Arc::clone(&known.claim.owner)))
    }

    /// How an own batch ended.
    pub(crate) fn decide(&mut self, batch: BatchId, is_committed: bool) {
        match is_committed {
            true => {
                if let Some(known) = self.known_mut(batch) {
                    known.is_committed = true;
                }
            }
            false => {
                if let Some(offset) = self.by_batch.get(&batch).copied() {
                    self.forget_claim(offset);
                }
            }
        }
    }

    /// What reading only committed records from `from` to `until` has shown: claims that were not seen there are
    /// aborted.
    pub(crate) fn decide_between(&mut self, from: i64, until: i64, committed: &HashSet<i64>) {
        let open = self.claims.range_mut(from..until.max(from));
        let mut aborted = Vec::new();
        for (offset, known) in open.filter(|(_, known)| !known.is_committed) {
            match committed.contains(offset) {
                true => known.is_committed = true,
                false => aborted.push(*offset),
            }
        }
        for offset in aborted {
            self.forget_claim(offset);
        }
    }

    /// The log was cut at `start`, and everything that was written before that is read: what is still undecided below is
    /// aborted, for whoever cut knew how it ended and would have kept it otherwise.
    pub(crate) fn abort_below(&mut self, start: i64) {
        let open = self.claims.range(..start);
        let aborted: Vec<i64> = open
            .filter(|(_, known)| !known.is_committed)
            .map(|(offset, _)| *offset)
            .collect();
        aborted
            .into_iter()
            .for_each(|offset| self.forget_claim(offset));
    }

    /// Forgets what is settled for every unit of work that began at or behind `oldest`.
    pub(crate) fn forget_settled(&mut self, oldest: i64) {
        while let Some((_, offset)) = self.settled.pop_front_if(|(at, _)| *at < oldest) {
            if let Some(known) = self.claims.get(&offset) {
                self.forgotten.add(known.claim.batch);
            }
            self.forget_claim(offset);
        }
    }

    fn forget_claim(&mut self, offset: i64) {
        let Some(known) = self.claims.remove(&offset) else {
            return;
        };
        self.by_batch.remove(&known.claim.batch);
        self.identities -= known.claim.identities.len();
        for identity in &known.claim.identities {
            forget(&mut self.by_print, identity.print, offset);
            forget(&mut self.by_token, identity.token, offset);
        }
    }

    /// The log is needed from here on: before it is nothing that is undecided, or committed and not settled.
    pub(crate) fn low_water(&self) -> i64 {
        let open = self
            .claims
            .values()
            .filter(|known| known.settled_at.is_none());
        let lowest = open.map(|known| known.held_at).min();
        lowest.unwrap_or(self.next)
    }

    /// Committed claims, not settled, whose newest record lies before `before`: to be written again, so that the
    /// log can be cut. What still waits in them.
    pub(crate) fn to_carry(&self, before: i64) -> Vec<Claim> {
        let old = self.claims.values().filter(|known| {
            known.is_committed && known.settled_at.is_none() && known.held_at < before
        });
        let left = |known: &Known| {
            let mut claim = known.claim.clone();
            for part in &known.parts {
                if let Some(at) = claim
                    .identities
                    .iter()
                    .position(|one| *one == part.identity)
                {
                    claim.identities.swap_remove(at);
                }
            }
            claim
        };
        old.map(left).collect()
    }

    /// Messages of claims that are committed and not settled.
    pub(crate) fn uncertain(&self) -> usize {
        let open = self
            .claims
            .values()
            .filter(|known| known.is_committed && known.settled_at.is_none());
        open.map(|known| {
            known
                .claim
                .identities
                .len()
                .saturating_sub(known.parts.len())
        })
        .sum()
    }
}

fn forget(map: &mut ByNumber<Offsets>, number: u128, offset: i64) {
    if let Some(offsets) = map.get_mut(&number) {
        offsets.retain(|at| *at != offset);
        if offsets.is_empty() {
            map.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests;
