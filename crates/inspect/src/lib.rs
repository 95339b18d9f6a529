//! Questions about what was: the way of one transaction, the transactions behind a row, what was refused and why.
//!
//! # Where this sits
//!
//! Beside the path, over what it leaves behind: the log, the store, and the queues of refused input. The command line asks here, and so
//! does the page, through [`web::Backstage`].
//!
//! # Invariants
//!
//! - **Nothing here counts.** Reading changes nothing; a replay goes through the gateway like any other transaction, so that a repetition is
//!   a duplicate.
//! - **Every look is bounded**, in records and in time, and says how far it looked.
//! - **Who did what is written down first** ([`audit`]), then done.

pub mod audit;
mod backstage;
mod error;
mod parts;
mod quarantine;
mod replay;
mod trace;
mod transactions;

pub use backstage::{Inspector, Sources};
pub use error::InspectError;
pub use parts::Parts;
pub use replay::{Replay, Rows, replay, sums_of};
pub use trace::{Effect, Found, RowChange, Wanted, time, trace};
pub use transactions::{LOOK_RECORDS_MAX, Logged, Looked, PAGE_TRANSACTIONS, transactions};
