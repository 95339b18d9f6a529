//! Ad-hoc queries of the totals: the store's tables for SQL, and PostgreSQL's protocol in front of them.
//!
//! # Where this sits
//!
//! ```text
//! psql, Grafana, drivers ──PostgreSQL's protocol──▶ query (you are here) ──▶ sql ──▶ store
//! daybook query ─────────────────────────────────▶ query
//! ```
//!
//! # Where to start reading
//!
//! [`Tables`] makes tables of SQL of the store's; [`Server`] answers PostgreSQL's clients.
//!
//! # Invariants
//!
//! - **Nothing is changed.** The store is opened for reading, and what is no query is refused.
//! - **The store is read on threads for blocking calls**, the rest of a query runs on threads of its own: whoever asks much slows others
//!   who ask, and not the way of transactions.
//! - **Only what a query looks at is read**: its days, and of whole keys their rows.

mod catalog;
mod postgres;
mod tables;

pub use postgres::{
    CONNECTIONS_MAX, PostgresOptions, PostgresTls, PostgresUser, Server, ServerError, load_tls,
};
pub use tables::{AggregationTable, LOOK_UPS_MAX, TableError, Tables, parse_sum};
