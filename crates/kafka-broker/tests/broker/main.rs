//! The broker from outside: one program, so that what it is linked with is compiled once. `kill` is one of its own,
//! as it starts itself again.

mod cleanup;
mod consumer_groups;
mod crash;
mod librdkafka;
mod protocol;
mod security;
#[path = "../support/mod.rs"]
mod support;
mod throughput;
