//! Whether a token counts.

use std::sync::Arc;

use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;

use crate::keys::{Keys, KeysError};

/// By how much clocks may differ, in seconds.
pub const LEEWAY_SECONDS: u64 = 60;
/// Bytes of a token, at most.
pub const TOKEN_BYTES_MAX: usize = 8 << 10;

/// Algorithms that are taken. With a shared secret anybody who has the issuer's public key could sign.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
];

/// What a token must say.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// `iss`, exactly.
    pub issuer: &'a str,
    /// `aud`, or one of them.
    pub audience: &'a str,
    /// Claims beside `exp`, `iss` and `aud` that must be there.
    pub required: &'a [&'a str],
}

/// A token does not count.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It proves nothing. Trying again with the same one does not help.
    #[error("{0}")]
    Refused(String),
    /// The issuer's keys were never had: it may count later.
    #[error("{0}")]
    Away(String),
}

fn refused(error: impl std::fmt::Display) -> TokenError {
    TokenError::Refused(error.to_string())
}

/// The claims of a token that one of these keys has signed and that keeps the rules. Times are compared with the machine's clock, with
/// [`LEEWAY_SECONDS`] to either side: `exp` must be there, `nbf` may.
///
/// Waits for the issuer only where a token names a key that is not known ([`Keys::key`]). Cancel safe.
///
/// # Errors
///
/// [`TokenError`].
pub async fn verify(keys: &Arc<Keys>, token: &str, rules: &Rules<'_>) -> Result<Value, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(refused(format!("it has more than {TOKEN_BYTES_MAX} bytes")));
    }
    let head = decode_header(token).map_err(refused)?;
    // Before a key is asked for.
    if !ALGORITHMS.contains(&head.alg) {
        return Err(refused(format!("it is signed with {:?}", head.alg)));
    }
    let key = keys.key(head.kid.as_deref()).await;
    let key = key.map_err(|error| match error {
        KeysError::Unknown(_) => TokenError::Refused(error.to_string()),
        KeysError::Away(_) => TokenError::Away(error.to_string()),
    })?;
    // RFC 7517 §4.4: a key may say what it is for.
    let meant = key.common.key_algorithm.map(|meant| format!("{meant:?}"));
    if meant.is_some_and(|meant| meant != format!("{:?}", head.alg)) {
        return Err(refused(format!("its key is not for {:?}", head.alg)));
    }
    let key = DecodingKey::from_jwk(&key).map_err(refused)?;
    let mut required = vec!["exp", "iss", "aud"];
    required.extend_from_slice(rules.required);
    let mut validation = Validation::new(head.alg);
    validation.set_required_spec_claims(&required);
    validation.set_issuer(&[rules.issuer]);
    validation.set_audience(&[rules.audience]);
    validation.leeway = LEEWAY_SECONDS;
    validation.validate_nbf = true;
    let decoded = decode::<Value>(token, &key, &validation);
    Ok(decoded.map_err(refused)?.claims)
}

/// Who a token says has made it, to choose the keys by; nothing of it is proven.
pub fn issuer_of(token: &str) -> Option<String> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let claims = insecure_decode_claims::<Value>(token).ok()?;
    claims.get("iss")?.as_str().map(str::to_owned)
}
