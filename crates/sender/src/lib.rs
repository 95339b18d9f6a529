//! Sending, load and made-up traffic: programs that use Daybook from outside.
//!
//! # Where this sits
//!
//! ```text
//! files, made-up transactions ──► sender (you are here) ──HTTP──► gateway ──► …
//!                                      bench ◀──SSE── web
//! ```
//!
//! Beside the path, not on it: everything here is a client like any other and knows no internals.
//!
//! # Where to start reading
//!
//! [`send`](fn@send) posts files, [`generate`](fn@generate) posts load, [`mod@bench`] measures, [`demo`]
//! keeps a page moving. All post through `post::Poster`, which repeats a request until it is answered.
//! [`Cut`] says where a file may be cut into requests.
//!
//! # Invariants
//!
//! - **The same again.** A request is made once and repeated byte for byte; its identity makes that
//!   harmless, whatever happened to the first one.
//! - **Bounded memory**, whatever the size of a file or the length of a run.
//! - **No floats near money**; latencies and pauses may have them.
//! - Nothing here writes to standard output: lines for people go to a [`Reporter`], bars to standard error.

pub mod bench;
mod cut;
mod deliver;
pub mod demo;
mod generate;
mod get;
mod http;
mod post;
mod progress;
mod random;
mod report;
mod retry;
mod send;
mod target;
mod watch;

pub use cut::Cut;
pub use deliver::SendError;
pub use generate::{GenerateOptions, generate};
pub use get::{GetError, get, post};
pub use report::{Problem, Reporter, SendReport, Silent};
pub use send::{BATCH_RECORDS_MAX, SendOptions, send};
pub use target::{BadTarget, Target};
pub use watch::{WatchError, WatchOptions, Watched, watch};

#[cfg(test)]
mod tests;
