//! Who may connect, and what they may do: CONNAUTH, CHLAUTH and per-queue authorities in small.
//!
//! Invariants: what is not allowed is refused (2035) and logged with its reason, which the client
//! does not get; passwords are kept as argon2 hashes and never logged.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordVerifier};
use tokio::sync::Semaphore;

/// A password check takes 19 MiB and 20 ms of a core: this many are done at a time.
const CHECKS_AT_ONCE: usize = 2;
/// Verified passwords that are remembered, so that reconnecting is cheap.
const REMEMBERED_MAX: usize = 10_000;

/// What a user may do with a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Put.
    Put,
    /// Get.
    Get,
    /// Look at messages without taking them.
    Browse,
    /// Ask for attributes.
    Inquire,
    /// Change attributes.
    Set,
    /// Say who a message is from (MQPMO_SET_ALL_CONTEXT and the like), or pass on what another one says
    /// (MQPMO_PASS_ALL_CONTEXT).
    Context,
    /// Administer: commands about the queue that are put to the command queue. The right on the command
    /// queue itself is for commands about no queue.
    Admin,
}

/// A user that may connect with a password.
#[derive(Clone)]
pub struct User {
    /// Name.
    pub name: String,
    /// Argon2 hash in PHC form: `$argon2id$v=19$...`.
    pub password_hash: String,
}

/// Without the hash.
impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What becomes of a connection that a rule fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Refused.
    Block,
    /// Runs as this user, without a password.
    User(String),
    /// Needs user and password.
    Password,
}

/// A rule for connections (CHLAUTH). Patterns may have `*`; the first rule that fits decides.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Channel.
    pub channel: String,
    /// Address of the client.
    pub address: String,
    /// Subject of the client's certificate, as `CN=app,O=Bank`; `None` fits also without one.
    pub certificate: Option<String>,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// What a user may do with the queues of a pattern.
#[derive(Debug, Clone)]
pub struct Permission {
    /// User; may have `*`.
    pub user: String,
    /// Queue; may have `*`.
    pub queue: String,
    /// Rights.
    pub rights: Vec<Right>,
}

/// All of it. The default asks for nothing: for loopback addresses only.
#[derive(Debug, Clone, Default)]
pub struct Security {
    /// Connections that no rule fits need user and password. When false they run as whom they say.
    pub required: bool,
    /// Users.
    pub users: Vec<User>,
    /// Rules, in order.
    pub rules: Vec<Rule>,
    /// Permissions. When there are none, who may connect may do everything.
    pub permissions: Vec<Permission>,
}

/// Who wants to connect.
#[derive(Clone, Default)]
pub(crate) struct Applicant {
    pub(crate) channel: String,
    pub(crate) address: Option<IpAddr>,
    pub(crate) certificate: Option<String>,
    pub(crate) user: String,
    pub(crate) password: String,
}

/// Why somebody may not connect; for the log.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("a rule blocks it")]
    Blocked,
    #[error("there is no user {0:?}, or the password is wrong")]
    Password(String),
}

/// Checks connections.
#[derive(Debug)]
pub(crate) struct Gatekeeper {
    security: Security,
    checks: Semaphore,
    /// Keyed hashes of users with their verified passwords.
    verified: Mutex<HashSet<blake3::Hash>>,
    key: [u8; 32],
}

impl Gatekeeper {
    pub(crate) fn new(security: Security) -> Self {
        Self {
            security,
            checks: Semaphore::new(CHECKS_AT_ONCE),
            verified: Mutex::default(),
            key: random_key(),
        }
    }

    /// The user that the connection runs as.
    pub(crate) async fn admit(self: &Arc<Self>, applicant: &Applicant) -> Result<String, Refusal> {
        let security = &self.security;
        let rule = security.rules.iter().find(|rule| rule.fits(applicant));
        let verdict = rule.map(|rule| &rule.verdict);
        match verdict {
            Some(Verdict::Block) => Err(Refusal::Blocked),
            Some(Verdict::User(user)) => Ok(user.clone()),
            None if !security.required => Ok(applicant.user.clone()),
            Some(Verdict::Password) | None => {
                if self.is_password_right(applicant).await {
                    Ok(applicant.user.clone())
                } else {
                    Err(Refusal::Password(applicant.user.clone()))
                }
            }
        }
    }

    async fn is_password_right(self: &Arc<Self>, applicant: &Applicant) -> bool {
        let users = &self.security.users;
        let Some(user) = users.iter().find(|user| user.name == applicant.user) else {
            return false;
        };
        let secret = format!("{}\0{}", applicant.user, applicant.password);
        let digest = blake3::keyed_hash(&self.key, secret.as_bytes());
        if self.lock().contains(&digest) {
            return true;
        }
        let Ok(_permit) = self.checks.acquire().await else {
            return false;
        };
        let (hash, password) = (user.password_hash.clone(), applicant.password.clone());
        let checked = tokio::task::spawn_blocking(move || {
            let parsed = PasswordHash::new(&hash).ok()?;
            let verified = Argon2::default().verify_password(password.as_bytes(), &parsed);
            verified.ok()
        });
        let right = matches!(checked.await, Ok(Some(())));
        if right {
            let mut verified = self.lock();
            if verified.len() >= REMEMBERED_MAX {
                verified.clear();
            }
            verified.insert(digest);
        }
        right
    }

    /// Whether a user may do something with a queue.
    pub(crate) fn allows(&self, user: &str, queue: &str, right: Right) -> bool {
        let permissions = &self.security.permissions;
        permissions.is_empty()
            || permissions.iter().any(|permission| {
                permission.rights.contains(&right)
                    && is_match(&permission.user, user)
                    && is_match(&permission.queue, queue)
            })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<blake3::Hash>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rule {
    fn fits(&self, applicant: &Applicant) -> bool {
        let address = applicant.address.map(|address| address.to_string());
        is_match(&self.channel, &applicant.channel)
            && is_match(&self.address, address.as_deref().unwrap_or(""))
            && match (&self.certificate, &applicant.certificate) {
                (None, _) => true,
                (Some(pattern), Some(subject)) => is_match(pattern, subject),
                (Some(_), None) => false,
            }
    }
}

/// Argon2 hash of a password, for the configuration.
///
/// # Errors
///
/// The operating system has no random numbers.
pub fn hash_password(password: &str) -> Result<String, argon2::password_hash::Error> {
    use argon2::password_hash::{PasswordHasher, SaltString};
    let salt = SaltString::encode_b64(&random_key()[..16])?;
    let hash = Argon2::default().hash_password(password.as_bytes(), &salt)?;
    Ok(hash.to_string())
}

/// Whether a text is an argon2 hash that can be checked.
pub fn is_password_hash(hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| hash.algorithm.as_str().starts_with("argon2"))
}

fn random_key() -> [u8; 32] {
    use argon2::password_hash::rand_core::{OsRng, RngCore};
    let mut key = [0; 32];
    OsRng.fill_bytes(&mut key);
    key
}

/// `*` stands for anything, any number of times. The time is bounded by the product of the lengths.
fn is_match(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        if let Some(middle) = last.replace(part) {
            match rest.split_once(middle) {
                Some((_, behind)) => rest = behind,
                None => return false,
            }
        }
    }
    match last {
        Some(last) => rest.ends_with(last),
        None => rest.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_a_whole() {
        for (pattern, text, expected) in [
            ("DAYBOOK.*", "DAYBOOK.TEST", true),
            ("DAYBOOK.*", "DAYBOOK", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("10.0.*.7", "10.0.3.7", true),
            ("10.0.*.7", "10.0.3.77", false),
            ("*CN=app*O=Bank", "C=HR,CN=app1,O=Bank", true),
            ("*CN=app*O=Bank", "CN=other,O=Bank", false),
            ("a*a", "a", false),
            ("a*b*b", "ab", false),
        ] {
            assert_eq!(is_match(pattern, text), expected, "{pattern} {text}");
        }
    }

    fn applicant(user: &str, password: &str) -> Applicant {
        Applicant {
            channel: "DAYBOOK.SVRCONN".to_owned(),
            address: Some(IpAddr::from([127, 0, 0, 1])),
            certificate: None,
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }

    #[tokio::test]
    async fn passwords_rules_and_permissions_decide() {
        let hash = hash_password("s3cret").expect("hashes");
        assert!(is_password_hash(&hash) && !is_password_hash("s3cret"));
        let rule = |address: &str, certificate: Option<&str>, verdict| Rule {
            channel: "*".to_owned(),
            address: address.to_owned(),
            certificate: certificate.map(str::to_owned),
            verdict,
        };
        let permission = |user: &str, queue: &str, rights: &[Right]| Permission {
            user: user.to_owned(),
            queue: queue.to_owned(),
            rights: rights.to_vec(),
        };
        let keeper = Arc::new(Gatekeeper::new(Security {
            required: true,
            users: vec![User {
                name: "app".to_owned(),
                password_hash: hash,
            }],
            rules: vec![
                rule("10.*", None, Verdict::Block),
                rule("*", Some("CN=batch*"), Verdict::User("batch".to_owned())),
            ],
            permissions: vec![
                permission("app", "DAYBOOK.*", &[Right::Put]),
                permission("*", "REPLY.*", &[Right::Get, Right::Browse]),
                permission("app", "topic:prices/*", &[Right::Get]),
            ],
        }));
        // Twice: the second time it is remembered.
        for _ in 0..2 {
            assert_eq!(
                keeper.admit(&applicant("app", "s3cret")).await.as_deref(),
                Ok("app")
            );
        }
        for (user, password) in [
            ("app", "s3cretx"),
            ("app", ""),
            ("other", "s3cret"),
            ("", ""),
        ] {
            let refused = keeper.admit(&applicant(user, password)).await;
            assert_eq!(refused, Err(Refusal::Password(user.to_owned())));
        }
        let mut blocked = applicant("app", "s3cret");
        blocked.address = Some(IpAddr::from([10, 1, 2, 3]));
        assert_eq!(keeper.admit(&blocked).await, Err(Refusal::Blocked));
        let mut batch = applicant("app", "");
        batch.certificate = Some("CN=batch7,O=Bank".to_owned());
        assert_eq!(keeper.admit(&batch).await.as_deref(), Ok("batch"));
        for (user, queue, right, allowed) in [
            ("app", "DAYBOOK.TEST", Right::Put, true),
            ("app", "DAYBOOK.TEST", Right::Get, false),
            ("batch", "DAYBOOK.TEST", Right::Put, false),
            ("batch", "REPLY.1", Right::Get, true),
            ("app", "topic:prices/eur/usd", Right::Get, true),
            ("app", "topic:prices/eur/usd", Right::Put, false),
            ("app", "topic:prices", Right::Get, false),
            ("app", "topic:#", Right::Get, false),
        ] {
            assert_eq!(keeper.allows(user, queue, right), allowed, "{user} {queue}");
        }
    }

    #[test]
    fn hashes_are_not_printed() {
        let user = User {
            name: "app".to_owned(),
            password_hash: "$argon2id$x".to_owned(),
        };
        assert!(!format!("{user:?}").contains("argon2"));
    }
}
