//! XA: branches of global transactions (X/Open CAE, "The XA Specification").
//!
//! A branch's work is a unit of work of its own; prepared, it survives the conversation and the
//! queue manager.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use mq_wire::{SegmentType, XIDS_MAX, Xa, XaCall, Xid, xa_code, xa_flags};
use queue_manager::QueueError;

use crate::conversation::Conversation;

impl Conversation {
    /// Does the call; the reply has the same header, with the return value.
    pub(crate) async fn xa(&mut self, call: SegmentType, xa: Xa) -> Xa {
        let (value, content) = self.xa_call(call, &xa).await;
        Xa {
            length: 0,
            return_value: value,
            flags: xa.flags,
            rmid: xa.rmid,
            call: content,
        }
    }

    async fn xa_call(&mut self, call: SegmentType, xa: &Xa) -> (i32, XaCall) {
        let value = match (call, &xa.call) {
            (SegmentType::XA_OPEN | SegmentType::XA_CLOSE, _) => xa_code::OK,
            (SegmentType::XA_RECOVER, XaCall::Recover { count }) => {
                return self.xa_recover(xa.flags, *count);
            }
            (SegmentType::XA_START, XaCall::Branch(xid)) => self.xa_start(xa.flags, xid),
            (SegmentType::XA_END, XaCall::Branch(xid)) => self.xa_end(xa.flags, xid),
            (SegmentType::XA_PREPARE, XaCall::Branch(xid)) => self.xa_prepare(xid).await,
            (SegmentType::XA_COMMIT, XaCall::Branch(xid)) => {
                let one_phase = xa.flags & xa_flags::ONE_PHASE != 0;
                self.xa_commit(xid, one_phase).await
            }
            (SegmentType::XA_ROLLBACK, XaCall::Branch(xid)) => self.xa_rollback(xid).await,
            // No decision is ever taken by ourselves, so there is nothing to forget.
            (SegmentType::XA_FORGET, XaCall::Branch(_)) => xa_code::NOT_A_BRANCH,
            _ => xa_code::INVALID,
        };
        (value, XaCall::Empty)
    }

    fn xa_start(&mut self, flags: i32, xid: &Xid) -> i32 {
        if self.branch.is_some() {
            return xa_code::PROTOCOL;
        }
        if self.unit.as_ref().is_some_and(|unit| unit.messages() > 0) {
            return xa_code::OUTSIDE;
        }
        let key = bytes_of(xid);
        let known = self.branches.remove(&key);
        if flags & (xa_flags::JOIN | xa_flags::RESUME) != 0 {
            let Some(unit) = known else {
                return xa_code::NOT_A_BRANCH;
            };
            self.unit = Some(unit);
        } else if let Some(unit) = known {
            self.branches.insert(key, unit);
            return xa_code::DUPLICATE;
        } else if self.manager().prepared().contains(&key) {
            return xa_code::DUPLICATE;
        } else {
            self.unit = None;
        }
        self.branch = Some(key);
        xa_code::OK
    }

    fn xa_end(&mut self, flags: i32, xid: &Xid) -> i32 {
        let key = bytes_of(xid);
        if self.branch.as_ref() != Some(&key) {
            return if self.branches.contains_key(&key) {
                // Suspended before, ended now.
                xa_code::OK
            } else {
                xa_code::NOT_A_BRANCH
            };
        }
        self.branch = None;
        let unit = self.unit.take();
        let mut unit = unit.unwrap_or_else(|| self.manager().begin());
        if flags & xa_flags::FAIL != 0 {
            // It may only be rolled back: nothing of it is kept.
            unit = self.manager().begin();
        }
        self.branches.insert(key, unit);
        xa_code::OK
    }

    async fn xa_prepare(&mut self, xid: &Xid) -> i32 {
        let key = bytes_of(xid);
        let Some(unit) = self.branches.remove(&key) else {
            return xa_code::NOT_A_BRANCH;
        };
        if unit.messages() == 0 {
            return xa_code::READ_ONLY;
        }
        code(unit.prepare(&key).await, xa_code::ROLLED_BACK)
    }

    async fn xa_commit(&mut self, xid: &Xid, one_phase: bool) -> i32 {
        let key = bytes_of(xid);
        if let Some(unit) = self.branches.remove(&key) {
            if !one_phase {
                // Not prepared.
                self.branches.insert(key, unit);
                return xa_code::PROTOCOL;
            }
            return code(unit.commit().await, xa_code::ROLLED_BACK);
        }
        code(
            self.manager().resolve(&key, true).await,
            xa_code::RESOURCE_MANAGER,
        )
    }

    async fn xa_rollback(&mut self, xid: &Xid) -> i32 {
        let key = bytes_of(xid);
        if self.branches.remove(&key).is_some() {
            return xa_code::OK;
        }
        code(
            self.manager().resolve(&key, false).await,
            xa_code::RESOURCE_MANAGER,
        )
    }

    fn xa_recover(&mut self, flags: i32, count: i32) -> (i32, XaCall) {
        let mut found = Vec::new();
        if flags & xa_flags::START_SCAN != 0 {
            let most = usize::try_from(count).unwrap_or(0).min(XIDS_MAX);
            let prepared = self.manager().prepared();
            found.extend(prepared.into_iter().filter_map(xid_of).take(most));
        }
        let value = i32::try_from(found.len()).unwrap_or(i32::MAX);
        (value, XaCall::Recovered(found))
    }
}

fn code(result: Result<(), QueueError>, refused: i32) -> i32 {
    match result {
        Ok(()) => xa_code::OK,
        Err(QueueError::NotPrepared { .. }) => xa_code::NOT_A_BRANCH,
        Err(QueueError::Prepared { .. }) => xa_code::DUPLICATE,
        // The outcome is not known: the coordinator has to ask again.
        Err(QueueError::Stopped { .. }) => xa_code::RESOURCE_MANAGER,
        Err(_) => refused,
    }
}

/// The identifier by which the queue manager keeps a branch.
fn bytes_of(xid: &Xid) -> Bytes {
    let mut bytes = BytesMut::with_capacity(6 + xid.global.len() + xid.branch.len());
    bytes.put_i32(xid.format);
    // At most 64 bytes each, by the protocol.
    bytes.put_u8(u8::try_from(xid.global.len()).unwrap_or(u8::MAX));
    bytes.put_slice(&xid.global);
    bytes.put_slice(&xid.branch);
    bytes.freeze()
}

/// The opposite of [`bytes_of`]; `None` for units of work that others prepared.
fn xid_of(mut bytes: Bytes) -> Option<Xid> {
    if bytes.len() < 5 {
        return None;
    }
    let format = bytes.get_i32();
    let global = usize::from(bytes.get_u8());
    if bytes.len() < global {
        return None;
    }
    Some(Xid {
        format,
        global: bytes.split_to(global),
        branch: bytes,
    })
}
