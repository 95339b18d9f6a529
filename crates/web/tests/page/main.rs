//! The page's service from outside: one program, so that what it is linked with is compiled once.

mod access;
mod handoff;
mod history;
mod http;
mod kafka;
mod oidc;
#[path = "../support/mod.rs"]
mod support;
mod window;
