//! The embedded queue manager: named queues of persistent messages with units of work.
//!
//! # Where this sits
//!
//! ```text
//! gateway ──put, commit──▶ queue-manager (you are here) ──get, commit──▶ connector
//!                                 │
//!                            segment-log
//! ```
//!
//! # Where to start reading
//!
//! [`QueueManager`] is the handle, [`UnitOfWork`] what applications do their work in. `state` is
//! the whole of the queues without I/O; `codec` is what goes to the log.
//!
//! # Invariants
//!
//! - **A commit is one log record.** All puts and gets of a unit of work happen, or none of them,
//!   whatever byte the process dies at.
//! - **Nothing is visible before it is durable**, and things become visible in the order of the
//!   log: so a queue is FIFO within a priority, before and after a restart.
//! - **A message is in one unit of work at a time.** Dropping a unit of work backs it out; the
//!   messages return to their place with their backout count raised.
//! - **The ledger agrees with the messages.** What was put and got is counted in the same log record,
//!   by source and minute of receipt ([`LedgerCopy`]).
//! - **Memory is bounded**: by depth and bytes of each queue, and by the messages and bytes a unit
//!   of work may hold.
//!
//! Words and rules are IBM MQ's (MQPUT, MQGET, MQCMIT, MQBACK, reason codes); the wire protocol is
//! not here.

mod admin;
mod codec;
mod error;
mod ledger;
mod manager;
mod message;
mod open;
mod options;
mod selection;
mod state;
mod uow;

pub use admin::QueueStatistics;
pub use error::{QueueError, StartError};
pub use ledger::{LedgerCopy, LedgerLine};
pub use manager::{PRIORITY_MAX, QueueManager, QueueStatus};
pub use message::{Descriptor, Message, MsgId, NewMessage, Properties};
pub use open::{OpenMode, OpenQueue};
pub use options::{QueueDefinition, QueueManagerOptions};
pub use selection::{Condition, Cursor, Found, Selection};
pub use uow::UnitOfWork;
