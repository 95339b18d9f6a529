//! Data in, text out: configurations and messages.

mod config;
mod record;
