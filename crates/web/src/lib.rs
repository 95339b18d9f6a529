//! The web server: the first load from the store, then live; and the page.
//!
//! # Where this sits
//!
//! ```text
//! store ──initial load──┐
//!                       ├─▶ web (you are here) ─SSE─▶ browser
//! results topic ────────┘
//! ```
//!
//! # Where to start reading
//!
//! `view` is the hand-off without I/O. `follow` feeds it from a [`Feed`] on a thread of its own,
//! `hub` is what the clients of an aggregation share, `stream` is one client, `routes` the API,
//! `connection` the sockets.
//!
//! # Invariants
//!
//! - **Progress before scan, version before value.** The store's progress is read, then its rows,
//!   then the topic from that progress on; a row is replaced only by a newer version of itself. So
//!   nothing is missing, nothing is shown twice and nothing goes backwards, on any replica.
//! - **A position is all a client has to remember.** Any replica can tell what it lacks from it.
//! - **Clients cost what they read.** Nothing is queued for a client: what it lacks is computed when
//!   its socket takes more, and a socket that takes nothing is cut.
//! - Nothing here writes to the log or to the store.

pub mod api;
mod backstage;
mod connection;
mod csv;
mod ends;
mod error;
mod feed;
mod follow;
mod hub;
mod kafka_feed;
mod options;
mod page;
mod pipeline;
mod position;
mod routes;
mod row;
mod server;
mod stored;
mod stream;
mod view;

pub use backstage::{
    Backstage, BackstageError, Deed, Done, Quarantine, QuarantineAsked, QuarantineRecord,
    Quarantined, RefusedBy, Transaction, Transactions,
};
pub use error::{FeedError, WebError};
pub use feed::{Batch, Beginning, Feed};
pub use kafka_feed::KafkaFeed;
pub use options::{AggregationView, WebOptions};
pub use position::Position;
pub use row::{Change, Record, RecordError};
pub use server::Web;
pub use view::View;
