//! The REST API of Kafka Connect, so that scripts and user interfaces made for it manage Daybook's
//! connectors.
//!
//! # Where this sits
//!
//! ```text
//! curl, UIs ──HTTP, port 8083──▶ router ──Worker──▶ Supervisor ──Engine──▶ connectors
//!                                (you are here)      │
//!                                                    └── Registry: a file with every connector
//! ```
//!
//! # Where to start reading
//!
//! [`Worker`] is what the API asks for; [`Supervisor`] is the one there is. Whoever has the code that
//! carries messages implements [`Engine`] and [`Running`].
//!
//! # Invariants
//!
//! - What was answered with success is on disk and survives a crash.
//! - An operation that has begun is finished, whether or not the client waits for it.
//! - Operations come one after the other; reading never waits for them.
//! - Passwords do not leave the process: they are shown as `[hidden]`, and what comes back so is kept.
//! - Shapes and statuses are Kafka Connect 4.3.1's; `tests/recorded` is a session with it, and
//!   `docs/specs/connect.md` lists the differences.

mod body;
mod engine;
mod error;
mod levels;
mod manage;
mod registry;
mod routes;
mod server;
mod supervisor;
mod variables;
mod worker;

pub use engine::{Engine, Running, StartError, TaskReport};
pub use error::WorkerError;
pub use levels::{Level, LogLevels};
pub use registry::{
    CONNECTORS_MAX, Entry, REGISTRY_BYTES_MAX, Registry, RegistryError, TargetState,
};
pub use routes::{ApiOptions, router};
pub use server::{ConnectApi, ListenError, ServerOptions};
pub use supervisor::{Identity, Supervisor, SupervisorOptions};
pub use variables::Variables;
pub use worker::{
    ConnectorInfo, ConnectorOffset, ConnectorOffsets, ConnectorPart, ConnectorStatus, Plugin,
    PluginConfig, RestartRequest, ServerInfo, State, TaskId, TaskInfo, TaskPart, Worker,
};
