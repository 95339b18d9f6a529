//! Futures behind a pointer.

use std::pin::Pin;

/// A future behind a pointer: what public functions return whose futures are large.
///
/// The code of a future is compiled where somebody awaits it, again in each program and test, with all that it awaits; behind a pointer it is
/// compiled once, in the crate that made it. For what is called seldom: it costs an allocation a call.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
