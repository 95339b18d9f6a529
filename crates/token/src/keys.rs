//! An issuer's keys: asked for when they are needed, kept when he is away.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::{Request, header};
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use rustls::ClientConfig;
use tokio::sync::Mutex;
use tracing::warn;

use crate::fetch::{FetchError, fetch};

/// An unknown key makes us ask for the keys again, at most this often.
pub const KEYS_AGE_MIN: Duration = Duration::from_secs(10);
/// Keys older than this are asked for again beside their use.
pub const KEYS_AGE_MAX: Duration = Duration::from_secs(3_600);
/// Bytes of a file of keys, at most.
const FILE_BYTES_MAX: u64 = 512 << 10;

/// Where keys are: a JWKS (RFC 7517 §5).
#[derive(Debug, Clone)]
pub enum Place {
    /// At an address.
    Web {
        /// `https`, or `http` on loopback.
        address: String,
        /// Whom to trust there.
        tls: Arc<ClientConfig>,
    },
    /// In a file, which is read again like an address.
    File(PathBuf),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Web { address, .. } => f.write_str(address),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// There is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The issuer does not have it, or did not when he was last asked.
    #[error("the issuer has no key {0}")]
    Unknown(String),
    /// No keys were ever had. Trying again may help.
    #[error("the issuer's keys cannot be had: {0}")]
    Away(String),
}

/// Why asking did not help.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("{0} answers {1}")]
    Status(String, u16),
    #[error("{0} is no set of keys: {1}")]
    Unusable(String, String),
}

#[derive(Default)]
struct Known {
    keys: Option<Arc<JwkSet>>,
    /// When these keys came.
    since: Option<Instant>,
    /// When they were last asked for, with or without success.
    asked: Option<Instant>,
    failure: String,
}

/// An issuer's keys.
pub struct Keys {
    place: Place,
    age_min: Duration,
    known: RwLock<Known>,
    /// Held by who asks: one at a time.
    asking: Mutex<()>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl Keys {
    /// Asks nobody yet.
    pub fn new(place: Place) -> Arc<Self> {
        Self::with_age_min(place, KEYS_AGE_MIN)
    }

    /// [`Keys::new`] with another time than [`KEYS_AGE_MIN`].
    pub fn with_age_min(place: Place, age_min: Duration) -> Arc<Self> {
        Arc::new(Self {
            place,
            age_min,
            known: RwLock::default(),
            asking: Mutex::default(),
        })
    }

    /// The key of this name; without a name only a single key can be meant.
    ///
    /// One that is known costs a lock and no waiting. One that is not is asked for, if that was not done just now; who needs
    /// another key meanwhile is not held up. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`KeysError`].
    pub async fn key(self: &Arc<Self>, id: Option<&str>) -> Result<Jwk, KeysError> {
        if let Some(key) = self.find(id) {
            self.refresh();
            return Ok(key);
        }
        if self.may_ask() {
            let keys = Arc::clone(self);
            // On its own: who goes away while he waits must not make the next one ask again.
            let asked = tokio::spawn(async move {
                let _asking = keys.asking.lock().await;
                // Who waited has what the one before him got.
                if keys.may_ask() {
                    keys.ask().await;
                }
            });
            // It does not panic, and if it does the key is missing.
            let _ = asked.await;
        }
        self.find(id).ok_or_else(|| self.missing(id))
    }

    fn read<T>(&self, read: impl FnOnce(&Known) -> T) -> T {
        read(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, write: impl FnOnce(&mut Known)) {
        write(&mut self.known.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn find(&self, id: Option<&str>) -> Option<Jwk> {
        let keys = self.read(|known| known.keys.clone())?;
        let mut signing = keys
            .keys
            .iter()
            .filter(|key| key.common.public_key_use != Some(PublicKeyUse::Encryption));
        match id {
            Some(id) => signing
                .find(|key| key.common.key_id.as_deref() == Some(id))
                .cloned(),
            None => {
                let only = signing.next()?;
                signing.next().is_none().then(|| only.clone())
            }
        }
    }

    fn may_ask(&self) -> bool {
        let asked = self.read(|known| known.asked);
        asked.is_none_or(|asked| asked.elapsed() >= self.age_min)
    }

    /// Asks beside, when the keys are old.
    fn refresh(self: &Arc<Self>) {
        let is_old = self.read(|known| {
            known
                .since
                .is_some_and(|since| since.elapsed() >= KEYS_AGE_MAX)
        });
        if !is_old || !self.may_ask() {
            return;
        }
        let keys = Arc::clone(self);
        tokio::spawn(async move {
            if let Ok(_asking) = keys.asking.try_lock()
                && keys.may_ask()
            {
                keys.ask().await;
            }
        });
    }

    async fn ask(&self) {
        let found = self.fetch().await;
        self.write(|known| {
            // At the end: who comes meanwhile waits, and an issuer that is slow is not asked more often.
            known.asked = Some(Instant::now());
            match found {
                Ok(keys) => {
                    known.keys = Some(Arc::new(keys));
                    known.since = known.asked;
                }
                Err(error) => {
                    warn!(%error, place = %self.place, "an issuer's keys cannot be had; those that are known still count");
                    known.failure = error.to_string();
                }
            }
        });
    }

    async fn fetch(&self) -> Result<JwkSet, AskError> {
        let (shown, bytes) = match &self.place {
            Place::Web { address, tls } => {
                let request = Request::get(address).header(header::ACCEPT, "application/json");
                let request = request.body(Full::default());
                let request = request.map_err(|_| FetchError::Address(address.clone()))?;
                let (status, body) = fetch(tls, request).await?;
                if !status.is_success() {
                    return Err(AskError::Status(address.clone(), status.as_u16()));
                }
                (address.clone(), body.to_vec())
            }
            Place::File(path) => {
                let shown = path.display().to_string();
                let unusable = |reason: String| AskError::Unusable(shown.clone(), reason);
                let length = tokio::fs::metadata(path).await.map(|found| found.len());
                let length = length.map_err(|error| unusable(error.to_string()))?;
                if length > FILE_BYTES_MAX {
                    return Err(unusable("it has more than 512 KiB".to_owned()));
                }
                let read = tokio::fs::read(path).await;
                let bytes = read.map_err(|error| unusable(error.to_string()))?;
                (shown, bytes)
            }
        };
        parse(&bytes).map_err(|reason| AskError::Unusable(shown, reason))
    }

    fn missing(&self, id: Option<&str>) -> KeysError {
        self.read(|known| match &known.keys {
            Some(_) => KeysError::Unknown(shown(id)),
            None => KeysError::Away(known.failure.clone()),
        })
    }
}

/// A name as somebody else has made it.
fn shown(id: Option<&str>) -> String {
    match id {
        Some(id) => id.chars().take(64).collect(),
        None => "without a name".to_owned(),
    }
}

/// The keys that are understood: one of a kind that is not must not cost the others (RFC 7517 §5).
fn parse(bytes: &[u8]) -> Result<JwkSet, String> {
    let set: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let keys = set.get("keys").and_then(serde_json::Value::as_array);
    let keys = keys.ok_or("it has no list of keys")?;
    let known = keys.iter().cloned().map(serde_json::from_value::<Jwk>);
    Ok(JwkSet {
        keys: known
            .filter_map(Result::ok)
            .filter(|key| DecodingKey::from_jwk(key).is_ok())
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_other_kinds_are_left_out() {
        let rsa = r#"{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB"}"#;
        let set = format!(r#"{{"keys":[{{"kty":"XYZ"}},{rsa},7]}}"#);
        assert_eq!(parse(set.as_bytes()).map(|set| set.keys.len()), Ok(1));
        assert!(parse(b"{}").is_err() && parse(b"").is_err() && parse(b"[]").is_err());
    }
}
