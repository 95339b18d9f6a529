//! The gateway: any configured format in over HTTP or plain TCP, checked, translated, and put to a durable queue.
//!
//! # Where this sits
//!
//! ```text
//! source system ──HTTP, TCP──► gateway (you are here) ──put──► queue DAYBOOK.TRANSACTIONS
//!                                     └────refused────► queue DAYBOOK.QUARANTINE
//! ```
//!
//! # Where to start reading
//!
//! `ingest` is the life of one `POST /v1/transactions/{source}`: headers, body, mapping, queue, answer; `tcp` that of
//! a message without HTTP. `door` owns sockets, `service` routes, `sources` replaces mappings while requests come, `access` knows who sends; `problem` is what a refused sender reads, `probe` what is kept of a request's way; [`Outbox`] is what the
//! gateway needs of a queue.
//!
//! # Invariants
//!
//! - **Durable before answered.** `202` is sent after [`Outbox::put_all`] has returned, and so is a
//!   refusal after its original bytes are in the quarantine.
//! - **Nothing is half accepted**, unless the sender asked for it with `Prefer: handling=lenient`.
//! - **Stateless.** No memory of keys or ids; identity is computed from what was sent (DESIGN §3).
//! - **Bounded.** Bytes in flight, bytes a request, records, connections and time all have limits.

mod access;
mod bearer;
mod body;
mod budget;
mod decompress;
mod documents;
mod door;
mod events;
mod frame;
mod guide;
mod headers;
mod ingest;
mod metrics;
mod options;
mod outbox;
mod places;
mod probe;
mod problem;
mod quarantine;
mod rate;
mod reply;
mod service;
mod sources;
mod taken;
mod tcp;
mod tls;
mod trace;

pub use access::{ClientOptions, SIGNATURE_SECONDS_MAX, SIGNATURES_MAX};
pub use bearer::JwtOptions;
pub use frame::Framing;
pub use metrics::{
    ClientMetrics, GatewayMetrics, LATENCY_BOUNDS_MICROS, LatencyHook, SourceMetrics,
};
pub use options::{
    GatewayOptions, HttpOptions, IN_FLIGHT_MAX, InvalidOption, PROBE_REFUSALS_PER_SECOND_MAX,
    PROBE_REQUESTS_MAX, Reply, TcpOptions,
};
pub use outbox::{
    Batch, Kept, Outbox, PROPERTY_DETAIL, PROPERTY_FIELD, PROPERTY_ORIGINAL_BYTES, PROPERTY_RECORD,
    PROPERTY_RULE, PROPERTY_TRUNCATED, PutError, QuarantineReason, RecordRef,
};
pub use probe::ProbeOptions;
pub use service::{BindError, Clock, Gateway, Intake, NotTaken, SystemClock, check};
pub use sources::{Changed, ReloadError, Reloader};
pub use tls::{TlsError, TlsOptions};
