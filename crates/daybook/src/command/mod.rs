//! One file a subcommand.

pub(crate) mod bench;
pub(crate) mod bench_gateway;
pub(crate) mod check;
pub(crate) mod mapping;
pub(crate) mod preview;
pub(crate) mod prove;
pub(crate) mod query;
pub(crate) mod queue;
pub(crate) mod send;
pub(crate) mod totals;
pub(crate) mod trace;
pub(crate) mod up;
