//! The gateway over HTTP and its other doors, each file a subject. One program, because each would compile the gateway again for its
//! outbox; `hostile` is another one, because it looks at its process's memory.

#[path = "../common/mod.rs"]
mod common;

mod bearer;
mod compressed;
mod contract;
mod doors;
mod events;
mod probe;
mod reload;
mod replies;
