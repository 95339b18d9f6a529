//! SCRAM-SHA-256 and SCRAM-SHA-512, the server's side (RFC 5802, RFC 7677; KIP-84), without channel binding.
//!
//! ```text
//! client-first ─► server-first (nonce, salt, iterations) ─► client-final (proof) ─► server-final (signature)
//! ```

use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac, pbkdf2};

/// Rounds of the password's hash. Kafka's least.
const ITERATIONS: NonZeroU32 = NonZeroU32::MIN.saturating_add(4_095);
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 18;
/// Longest nonce of a client, in bytes.
const CLIENT_NONCE_BYTES_MAX: usize = 256;

/// Authentication has failed. Trying again with the same does not help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AuthError {
    /// The bytes are no message of the mechanism.
    #[error("message is malformed")]
    Malformed,
    /// No such user, or another password. Which of them is nobody's business.
    #[error("user or password is wrong")]
    Refused,
    /// The operating system gives no random bytes.
    #[error("no random bytes")]
    NoRandom,
}

/// The two hashes that Kafka knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    fn hmac(self) -> hmac::Algorithm {
        match self {
            Hash::Sha256 => hmac::HMAC_SHA256,
            Hash::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Hash::Sha256 => &digest::SHA256,
            Hash::Sha512 => &digest::SHA512,
        }
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Hash::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Hash::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }
}

/// What is kept of a password, for one hash.
#[derive(Clone)]
pub(crate) struct Credentials {
    hash: Hash,
    salt: [u8; SALT_BYTES],
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}

fn random<const N: usize>() -> Result<[u8; N], AuthError> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| AuthError::NoRandom)?;
    Ok(bytes)
}

impl Credentials {
    pub(crate) fn hash(&self) -> Hash {
        self.hash
    }

    /// Takes some milliseconds, on purpose.
    pub(crate) fn new(password: &str, hash: Hash) -> Result<Self, AuthError> {
        Ok(Self::salted(password, hash, random()?))
    }

    fn salted(password: &str, hash: Hash, salt: [u8; SALT_BYTES]) -> Self {
        let mut salted = vec![0; hash.digest().output_len()];
        pbkdf2::derive(
            hash.pbkdf2(),
            ITERATIONS,
            &salt,
            password.as_bytes(),
            &mut salted,
        );
        let key = hmac::Key::new(hash.hmac(), &salted);
        let client_key = hmac::sign(&key, b"Client Key");
        Self {
            hash,
            salt,
            stored_key: digest::digest(hash.digest(), client_key.as_ref())
                .as_ref()
                .to_vec(),
            server_key: hmac::sign(&key, b"Server Key").as_ref().to_vec(),
        }
    }

    /// Whether this is the password. Takes some milliseconds.
    pub(crate) fn verify(&self, password: &str) -> bool {
        // The stored key is a hash of what an attacker does not know: how long comparing takes tells nothing.
        Self::salted(password, self.hash, self.salt).stored_key == self.stored_key
    }
}

/// The first message of a client, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientFirst {
    pub(crate) user: String,
    header: String,
    bare: String,
    nonce: String,
}

/// `n,,n=user,r=nonce`: no channel binding, no other identity.
pub(crate) fn client_first(message: &[u8]) -> Result<ClientFirst, AuthError> {
    let message = std::str::from_utf8(message).map_err(|_| AuthError::Malformed)?;
    let mut parts = message.splitn(3, ',');
    let (binding, identity, bare) = (parts.next(), parts.next(), parts.next());
    let (Some("n" | "y"), Some(identity), Some(bare)) = (binding, identity, bare) else {
        return Err(AuthError::Malformed);
    };
    let mut user = None;
    let mut nonce = None;
    for part in bare.split(',') {
        match part.split_once('=') {
            Some(("n", name)) => user = Some(name.replace("=2C", ",").replace("=3D", "=")),
            Some(("r", value)) => nonce = Some(value),
            // Mandatory extensions, none of which is known.
            Some(("m", _)) | None => return Err(AuthError::Malformed),
            Some(_) => {}
        }
    }
    let (Some(user), Some(nonce)) = (user, nonce) else {
        return Err(AuthError::Malformed);
    };
    let other = identity
        .strip_prefix("a=")
        .is_some_and(|other| other != user);
    if nonce.is_empty() || nonce.len() > CLIENT_NONCE_BYTES_MAX || other {
        return Err(AuthError::Malformed);
    }
    Ok(ClientFirst {
        header: message[..message.len() - bare.len()].to_owned(),
        bare: bare.to_owned(),
        nonce: nonce.to_owned(),
        user,
    })
}

/// Waits for the client's proof.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    credentials: Credentials,
    header: String,
    nonce: String,
    so_far: String,
}

impl Exchange {
    /// Answers a first message. Returns what is sent.
    pub(crate) fn begin(
        first: &ClientFirst,
        credentials: &Credentials,
    ) -> Result<(Self, String), AuthError> {
        let nonce = format!(
            "{}{}",
            first.nonce,
            STANDARD.encode(random::<NONCE_BYTES>()?)
        );
        let salt = STANDARD.encode(credentials.salt);
        let answer = format!("r={nonce},s={salt},i={ITERATIONS}");
        let exchange = Self {
            credentials: credentials.clone(),
            header: first.header.clone(),
            nonce,
            so_far: format!("{},{answer}", first.bare),
        };
        Ok((exchange, answer))
    }

    /// Checks the proof. Returns what is sent: the proof that we know the password's key too.
    pub(crate) fn finish(&self, message: &[u8]) -> Result<String, AuthError> {
        let message = std::str::from_utf8(message).map_err(|_| AuthError::Malformed)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(AuthError::Malformed)?;
        let proof = STANDARD.decode(proof).map_err(|_| AuthError::Malformed)?;
        let mut parts = without_proof.split(',');
        let binding = parts.next().and_then(|part| part.strip_prefix("c="));
        let nonce = parts.next().and_then(|part| part.strip_prefix("r="));
        if binding != Some(&STANDARD.encode(&self.header)) || nonce != Some(&self.nonce) {
            return Err(AuthError::Malformed);
        }
        let Credentials {
            hash,
            stored_key,
            server_key,
            ..
        } = &self.credentials;
        let signed = format!("{},{without_proof}", self.so_far);
        let sign = |key: &[u8]| hmac::sign(&hmac::Key::new(hash.hmac(), key), signed.as_bytes());
        let signature = sign(stored_key);
        if proof.len() != signature.as_ref().len() {
            return Err(AuthError::Malformed);
        }
        let client_key: Vec<u8> = proof
            .iter()
            .zip(signature.as_ref())
            .map(|(a, b)| a ^ b)
            .collect();
        if digest::digest(hash.digest(), &client_key).as_ref() != stored_key {
            return Err(AuthError::Refused);
        }
        Ok(format!("v={}", STANDARD.encode(sign(server_key))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, section 3: user `user`, password `pencil`.
    #[test]
    fn the_exchange_of_the_rfc_is_accepted() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("base64");
        let credentials = Credentials::salted("pencil", Hash::Sha256, salt.try_into().expect("16"));
        let first = client_first(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO").expect("well formed");
        assert_eq!(first.user, "user");
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let exchange = Exchange {
            credentials,
            header: first.header.clone(),
            nonce: nonce.to_owned(),
            so_far: format!("{},r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", first.bare),
        };
        let last = format!("c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        let answer = exchange.finish(last.as_bytes()).expect("accepted");
        assert_eq!(answer, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        let wrong = last.replace("p=dH", "p=dX");
        assert_eq!(exchange.finish(wrong.as_bytes()), Err(AuthError::Refused));
        let replayed = last.replace("hNlF", "hNlG");
        assert_eq!(
            exchange.finish(replayed.as_bytes()),
            Err(AuthError::Malformed)
        );
    }

    #[test]
    fn a_first_message_is_taken_as_the_rfc_says() {
        let first = client_first(b"n,,n=a=2Cb=3Dc,r=x").expect("well formed");
        assert_eq!(
            (first.user.as_str(), first.header.as_str()),
            ("a,b=c", "n,,")
        );
        assert!(client_first(b"y,a=u,n=u,r=x").is_ok());
        let longest = format!("n,,n=u,r={}", "x".repeat(CLIENT_NONCE_BYTES_MAX));
        assert!(client_first(longest.as_bytes()).is_ok());
        let longer = format!("{longest}x");
        for bad in [
            "",
            "n",
            "n,,",
            "p=tls,,n=u,r=x",
            "n,a=other,n=u,r=x",
            "n,,n=u,r=",
            "n,,m=x,n=u,r=x",
            &longer,
        ] {
            assert_eq!(
                client_first(bad.as_bytes()),
                Err(AuthError::Malformed),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_password_is_verified() {
        let credentials = Credentials::new("pencil", Hash::Sha512).expect("random bytes");
        assert!(credentials.verify("pencil") && !credentials.verify("Pencil"));
        assert!(!format!("{credentials:?}").contains("key"));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_exchange_panic(first: Vec<u8>, last: Vec<u8>) {
            let _ = client_first(&first);
            let exchange = Exchange {
                credentials: Credentials { hash: Hash::Sha256, salt: [0; SALT_BYTES], stored_key: vec![0; 32], server_key: vec![0; 32] },
                header: "n,,".to_owned(),
                nonce: "n".to_owned(),
                so_far: String::new(),
            };
            let _ = exchange.finish(&last);
            let _ = exchange.finish(&[b"c=biws,r=n,p=", &last[..]].concat());
        }
    }
}
