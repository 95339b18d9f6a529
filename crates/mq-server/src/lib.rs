//! The queue manager's listener: IBM's unmodified clients connect here.
//!
//! # Where this sits
//!
//! ```text
//! IBM's MQ and JMS clients, IBM's Kafka connector ──TCP──▶ mq-server (you are here)
//!                                                            │ mq-wire: bytes ⇄ calls
//!                                                            ▼
//!                                                      queue-manager
//! ```
//!
//! # Where to start reading
//!
//! `socket` starts a connection and hands what comes to conversations; `conversation` does the
//! calls in order: `objects` (open, close), `put`, `get`, `attributes` (inquire, set), `xa`,
//! `streaming` (messages that are pushed), `publish` and `topics` (subscriptions). `command` carries out
//! what is put to the command queue.
//!
//! # Invariants
//!
//! - A reply to a commit, or to a put or get outside of a unit of work, is sent after the disk has it.
//! - A conversation that ends in any way but MQDISC is backed out.
//! - A command is carried out as the user that its message is from, and only who has the right
//!   `context` may say that somebody else is.
//! - A client costs bounded memory: unread replies, open handles, messages in a unit of work.

mod attributes;
mod command;
mod conversation;
mod get;
mod listener;
mod message;
mod objects;
mod options;
mod outbox;
mod properties;
mod publish;
mod put;
mod reason;
mod registry;
mod security;
mod selector;
mod socket;
mod streaming;
mod tls;
mod topics;
mod xa;

pub use command::{COMMAND_QUEUE, command_queue};
pub use listener::Server;
pub use options::{Channel, ServerOptions};
pub use security::{
    Permission, Right, Rule, Security, User, Verdict, hash_password, is_password_hash,
};
pub use selector::{Selector, SelectorError};
pub use tls::{Tls, TlsError, TlsFiles};
