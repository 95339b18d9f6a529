//! Tokens that others have signed (JWT, RFC 7519): their keys, fetched and kept, and whether a token counts.
//!
//! # Where this sits
//!
//! ```text
//! web ──who signs in──┐
//!                     ├──► token (you are here) ──fetch──► the issuer's keys (JWKS, RFC 7517)
//! gateway ──clients───┘
//! ```
//!
//! # Where to start reading
//!
//! [`verify`] says what of a token must hold; [`Keys`] are an issuer's; `fetch` asks another server, bounded in bytes and time.
//!
//! # Invariants
//!
//! - **A token counts when all of it holds**: signature by a key of the issuer, with an asymmetric algorithm; issuer, audience and time.
//! - What a token says is not believed before; an unknown key makes us ask for the keys, but at most every [`KEYS_AGE_MIN`].
//! - Keys that were known stay so while the issuer is away; whoever has a token of a known key never waits for it.

mod fetch;
mod keys;
mod verify;

pub use fetch::{FetchError, fetch, is_safe, system_roots, trusting};
pub use keys::{KEYS_AGE_MAX, KEYS_AGE_MIN, Keys, KeysError, Place};
pub use verify::{LEEWAY_SECONDS, Rules, TOKEN_BYTES_MAX, TokenError, issuer_of, verify};
