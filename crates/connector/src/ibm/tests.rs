//! Data in, text out: configurations, messages, and the documentation.

pub(super) mod config;
mod doc;
mod record;
