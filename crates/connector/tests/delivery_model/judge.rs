//! What a reader makes of the part of the id log that it has read.

use crate::world::{Kind, NONE, Outcome, Plan, Protocol, Set, World, bit};

/// What earlier claims say of the own one.
pub(crate) enum Own {
    First,
    /// A message of it was delivered already.
    Taken,
    /// This reader's claim has to be decided first.
    Waits(usize),
}

/// Before anything is produced: messages in hand that are known to be delivered.
pub(crate) fn known(plan: &Plan, world: &World, reader: usize) -> Set {
    let state = &world.reader[reader];
    let is_known = |message: usize| {
        let is_doubtful = state.doubtful & bit(message) != 0;
        match plan.protocol {
            Protocol::MqFirst | Protocol::NoCheck => false,
            Protocol::BcLookup => is_doubtful && is_committed_below_stable(plan, world, message),
            _ => {
                let (taken, undecided) = judge(plan, world, reader, message, state.position);
                let is_asked = plan.protocol != Protocol::BcOnly || is_doubtful;
                is_asked
                    && (taken || (undecided.is_some() && plan.protocol == Protocol::UndecidedYes))
            }
        }
    };
    let mut known = 0;
    for message in plan.messages() {
        if state.hand & bit(message) != 0 && is_known(message) {
            known |= bit(message);
        }
    }
    known
}

/// After the own claim was read back.
pub(crate) fn own_claim(plan: &Plan, world: &World, reader: usize) -> Own {
    let state = &world.reader[reader];
    let mut waits = None;
    for message in plan.messages() {
        let is_asked = plan.protocol != Protocol::BcOnly || state.doubtful & bit(message) != 0;
        if state.deliver & bit(message) == 0 || !is_asked {
            continue;
        }
        let (taken, undecided) = judge(plan, world, reader, message, state.claim);
        if taken || (undecided.is_some() && plan.protocol == Protocol::UndecidedYes) {
            return Own::Taken;
        }
        if plan.protocol != Protocol::UndecidedNo {
            waits = undecided.or(waits);
        }
    }
    waits.map_or(Own::First, Own::Waits)
}

/// What claims before `limit` say of a message: whether a committed one counts, and who owns an undecided one.
fn judge(
    plan: &Plan,
    world: &World,
    reader: usize,
    message: usize,
    limit: u8,
) -> (bool, Option<usize>) {
    let state = &world.reader[reader];
    let (first, end) = (usize::from(state.first), usize::from(state.position));
    let key = plan.key(message);
    let (mut taken, mut undecided) = (false, None);
    for at in first..usize::from(limit).min(end) {
        let entry = &world.log[at];
        let (claim, outcome) = match entry.kind {
            Kind::Claim => (at as u8, world.outcome(at, end)),
            Kind::Carry => (entry.of, Outcome::Committed),
            _ => continue,
        };
        if entry.set & key == 0 || outcome == Outcome::Aborted {
            continue;
        }
        if plan.protocol == Protocol::LastBatch
            && entry.kind == Kind::Claim
            && is_replaced(world, at, end, end)
        {
            continue;
        }
        if outcome == Outcome::Undecided {
            undecided = Some(usize::from(entry.who));
            continue;
        }
        if let Some(settled) = world.settled(claim, key, first, end) {
            // It had left the queue before this unit of work began: what is in hand is another, newer message.
            let before = settled < usize::from(state.since);
            if before || plan.protocol == Protocol::ForgetAtDone {
                continue;
            }
        }
        taken = true;
    }
    debug_assert!(limit != NONE, "judged without a claim");
    (taken, undecided)
}

/// A later committed claim of the same reader is there.
fn is_replaced(world: &World, claim: usize, until: usize, end: usize) -> bool {
    (claim + 1..until).any(|at| {
        let entry = &world.log[at];
        entry.kind == Kind::Claim
            && entry.who == world.log[claim].who
            && world.outcome(at, end) == Outcome::Committed
    })
}

/// What a consumer of committed records finds.
fn is_committed_below_stable(plan: &Plan, world: &World, message: usize) -> bool {
    let end = world.log.len();
    let is_claim = |at: &usize| world.log[*at].kind == Kind::Claim;
    let open = |at: &usize| world.outcome(*at, end) == Outcome::Undecided;
    let stable = (0..end).filter(is_claim).find(open).unwrap_or(end);
    (0..stable).filter(is_claim).any(|at| {
        world.log[at].set & plan.key(message) != 0 && world.outcome(at, end) == Outcome::Committed
    })
}
