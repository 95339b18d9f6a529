//! XA: units of work that an outside coordinator decides (X/Open CAE, "The XA Specification").

use bytes::Bytes;

use crate::error::WireError;
use crate::field::{BigEndian, Reader, Writer};
use crate::header::SegmentType;

/// Longest global transaction id, and longest branch qualifier, in bytes (MAXGTRIDSIZE).
pub const XID_PART_BYTES_MAX: usize = 64;
/// Most transactions in one reply to RECOVER.
pub const XIDS_MAX: usize = 10_000;

/// Return values.
pub mod xa_code {
    /// Fine.
    pub const OK: i32 = 0;
    /// Nothing to commit: the branch has ended.
    pub const READ_ONLY: i32 = 3;
    /// The branch was rolled back.
    pub const ROLLED_BACK: i32 = 100;
    /// Error of the resource manager.
    pub const RESOURCE_MANAGER: i32 = -3;
    /// There is no such branch.
    pub const NOT_A_BRANCH: i32 = -4;
    /// Wrong arguments.
    pub const INVALID: i32 = -5;
    /// Wrong order of calls.
    pub const PROTOCOL: i32 = -6;
    /// The branch exists already.
    pub const DUPLICATE: i32 = -8;
    /// Work outside of the branch is unfinished.
    pub const OUTSIDE: i32 = -9;
}

/// Flags of the transaction manager.
pub mod xa_flags {
    /// Start a scan.
    pub const START_SCAN: i32 = 0x0100_0000;
    /// End a scan.
    pub const END_SCAN: i32 = 0x0080_0000;
    /// Commit without prepare.
    pub const ONE_PHASE: i32 = 0x4000_0000;
    /// The branch may only be rolled back.
    pub const FAIL: i32 = 0x2000_0000;
    /// Join an existing branch.
    pub const JOIN: i32 = 0x0020_0000;
    /// Resume a suspended branch.
    pub const RESUME: i32 = 0x0800_0000;
    /// Suspend.
    pub const SUSPEND: i32 = 0x0200_0000;
}

/// Identifies a branch of a global transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Xid {
    /// Form of the identifiers; -1 = null.
    pub format: i32,
    /// Global transaction.
    pub global: Bytes,
    /// Branch.
    pub branch: Bytes,
}

impl Xid {
    fn read(from: &mut Reader) -> Result<Self, WireError> {
        let format = from.get("XID.format")?;
        let global = usize::from(from.get::<u8>("XID.global length")?);
        let branch = usize::from(from.get::<u8>("XID.branch length")?);
        for part in [global, branch] {
            if part > XID_PART_BYTES_MAX {
                return Err(WireError::Limit {
                    what: "bytes of a part of an XID",
                    value: part as i64,
                    max: XID_PART_BYTES_MAX,
                });
            }
        }
        let xid = Self {
            format,
            global: from.take("XID.global", global)?,
            branch: from.take("XID.branch", branch)?,
        };
        from.take("XID.padding", xid.padding())?;
        Ok(xid)
    }

    fn write(&self, to: &mut Writer<'_>) {
        to.put(&self.format);
        to.put(&(self.global.len() as u8));
        to.put(&(self.branch.len() as u8));
        to.out.extend_from_slice(&self.global);
        to.out.extend_from_slice(&self.branch);
        // As IBM's client pads.
        to.out.resize(to.out.len() + self.padding(), b' ');
    }

    fn padding(&self) -> usize {
        (6 + self.global.len() + self.branch.len()).wrapping_neg() % 4
    }
}

/// An XA call or its reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xa {
    /// Request: longest reply. Reply: bytes.
    pub length: u32,
    /// See [`xa_code`].
    pub return_value: i32,
    /// See [`xa_flags`].
    pub flags: i32,
    /// Resource manager.
    pub rmid: i32,
    /// The call.
    pub call: XaCall,
}

/// What follows the XA header.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum XaCall {
    /// OPEN, CLOSE: what the coordinator was configured with.
    Info(Bytes),
    /// START, END, PREPARE, COMMIT, ROLLBACK, FORGET.
    Branch(Xid),
    /// RECOVER: how many are wanted.
    Recover {
        /// Most identifiers.
        count: i32,
    },
    /// Reply to RECOVER.
    Recovered(Vec<Xid>),
    /// Other replies.
    Empty,
    /// Something else.
    Other(Bytes),
}

impl Xa {
    pub(crate) fn read(segment_type: SegmentType, from: &mut Reader) -> Result<Self, WireError> {
        let length = from.get::<BigEndian>("XA.length")?.0;
        let return_value = from.get("XA.return_value")?;
        let flags = from.get("XA.flags")?;
        let rmid = from.get("XA.rmid")?;
        let reply = segment_type.0 & 0x10 != 0;
        let call = match segment_type.call() {
            _ if from.rest.is_empty() => XaCall::Empty,
            SegmentType::XA_RECOVER if reply => {
                let count = from.limited("XA RECOVER count", XIDS_MAX)?;
                let xids = (0..count).map(|_| Xid::read(from));
                XaCall::Recovered(xids.collect::<Result<_, _>>()?)
            }
            _ if reply => XaCall::Other(from.all()),
            SegmentType::XA_RECOVER => XaCall::Recover {
                count: from.get("XA RECOVER count")?,
            },
            SegmentType::XA_OPEN | SegmentType::XA_CLOSE => XaCall::Info(from.all()),
            SegmentType::XA_START
            | SegmentType::XA_END
            | SegmentType::XA_PREPARE
            | SegmentType::XA_COMMIT
            | SegmentType::XA_ROLLBACK
            | SegmentType::XA_FORGET => XaCall::Branch(Xid::read(from)?),
            _ => XaCall::Other(from.all()),
        };
        Ok(Self {
            length,
            return_value,
            flags,
            rmid,
            call,
        })
    }

    pub(crate) fn write(&self, to: &mut Writer<'_>) {
        to.put(&BigEndian(self.length));
        to.put(&self.return_value);
        to.put(&self.flags);
        to.put(&self.rmid);
        match &self.call {
            XaCall::Empty => {}
            XaCall::Info(bytes) | XaCall::Other(bytes) => to.out.extend_from_slice(bytes),
            XaCall::Branch(xid) => xid.write(to),
            XaCall::Recover { count } => to.put(count),
            XaCall::Recovered(xids) => {
                to.put_length(xids.len());
                xids.iter().for_each(|xid| xid.write(to));
            }
        }
    }
}
