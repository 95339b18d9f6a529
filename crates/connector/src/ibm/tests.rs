//! Data in, text out: configurations, messages, and the documentation.

mod config;
mod doc;
mod record;
