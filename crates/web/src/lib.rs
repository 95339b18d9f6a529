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
//! - **Who may ask is settled before anything is answered** (`access`, `routes::guard`).
//! - Nothing here writes to the store, and to the log nothing but the curves of days, which no figure depends on.

mod access;
pub mod api;
mod backstage;
mod cell;
mod connection;
mod curve;
mod curve_log;
mod ends;
mod error;
mod export;
mod feed;
mod figures;
mod follow;
mod history;
mod hub;
mod kafka_feed;
mod limit;
mod oidc;
mod openapi;
mod options;
mod order;
mod page;
mod pipeline;
mod position;
mod rate;
mod routes;
mod row;
mod select;
mod series;
mod server;
mod stored;
mod stream;
mod table;
mod tls;
mod totals;
mod view;
mod window;

pub use access::{
    AccessOptions, LocalUser, Role, SESSION_KEY_BYTES_MIN, TrustedProxy, ViewerLimit,
};
pub use backstage::{
    Backstage, BackstageError, Deed, Done, Quarantine, QuarantineAsked, QuarantineRecord,
    Quarantined, RefusedBy, Transaction, Transactions,
};
pub use cell::{Cells, Schema, Value};
pub use error::{FeedError, WebError};
pub use feed::{Batch, Beginning, Feed};
pub use kafka_feed::KafkaFeed;
pub use limit::Limit;
pub use oidc::OidcOptions;
pub use options::{AggregationView, WebOptions};
pub use order::Order;
pub use position::Position;
pub use rate::RateOptions;
pub use row::{Change, Record, RecordError};
pub use select::{Asked, Select, SelectError};
pub use server::Web;
pub use tls::{TlsError, TlsFiles};
pub use view::View;
pub use window::Shown;
