//! How far one connection has come with saying who it is.

use std::collections::HashMap;
use std::sync::Arc;

use super::scram::{AuthError, ClientFirst, Exchange, client_first};
use super::{Credentials, Grants, Hash, Permission, User};

/// Longest user name and password in a PLAIN message, together, in bytes.
const PLAIN_BYTES_MAX: usize = 4_096;

/// Users and permissions of a broker.
#[derive(Debug)]
pub(crate) struct Directory {
    users: HashMap<String, [Credentials; 2]>,
    permissions: Vec<Permission>,
    /// Whether anybody has to say who they are.
    required: bool,
}

impl Directory {
    /// Takes some milliseconds a user.
    pub(crate) fn new(
        users: &[User],
        permissions: &[Permission],
        certificates: bool,
    ) -> Result<Self, AuthError> {
        let derived = users.iter().map(|user| {
            let both = [
                Credentials::new(&user.password, Hash::Sha256)?,
                Credentials::new(&user.password, Hash::Sha512)?,
            ];
            Ok((user.name.clone(), both))
        });
        Ok(Self {
            users: derived.collect::<Result<_, AuthError>>()?,
            permissions: permissions.to_vec(),
            required: !users.is_empty() || certificates,
        })
    }

    fn grants(&self, principal: &str) -> Arc<Grants> {
        Arc::new(Grants::of(principal, &self.permissions))
    }

    fn credentials(&self, user: &str, hash: Hash) -> Result<&Credentials, AuthError> {
        let both = self.users.get(user).ok_or(AuthError::Refused)?;
        both.iter()
            .find(|one| one.hash() == hash)
            .ok_or(AuthError::Refused)
    }
}

/// Ways to authenticate, as they are called in SASL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mechanism {
    Plain,
    Scram(Hash),
}

impl Mechanism {
    /// Strongest first.
    const ALL: [(&'static str, Mechanism); 3] = [
        ("SCRAM-SHA-512", Mechanism::Scram(Hash::Sha512)),
        ("SCRAM-SHA-256", Mechanism::Scram(Hash::Sha256)),
        ("PLAIN", Mechanism::Plain),
    ];
}

#[derive(Debug)]
enum Step {
    /// Nothing was said yet.
    Fresh,
    /// A mechanism was chosen.
    Chosen(Mechanism),
    /// SCRAM's proof is missing.
    Proving(Box<Exchange>, String),
    /// There is nothing to say, or everything was said.
    Known(Arc<Grants>),
    /// It is over.
    Failed,
}

/// One connection's.
#[derive(Debug)]
pub(crate) struct Session {
    directory: Arc<Directory>,
    step: Step,
    /// Whether a password in clear is seen by nobody else.
    private: bool,
}

impl Session {
    /// `subject`: of the client's certificate. `private`: the connection is encrypted or on loopback.
    pub(crate) fn new(directory: Arc<Directory>, subject: Option<&str>, private: bool) -> Self {
        let step = match subject {
            _ if !directory.required => Step::Known(Arc::new(Grants::everything())),
            Some(subject) => Step::Known(directory.grants(subject)),
            None => Step::Fresh,
        };
        Self {
            directory,
            step,
            private,
        }
    }

    /// What it may do, once it is known who it is.
    pub(crate) fn grants(&self) -> Option<Arc<Grants>> {
        match &self.step {
            Step::Known(grants) => Some(Arc::clone(grants)),
            _ => None,
        }
    }

    pub(crate) fn has_failed(&self) -> bool {
        matches!(self.step, Step::Failed)
    }

    /// The mechanisms that may be used here.
    pub(crate) fn mechanisms(&self) -> impl Iterator<Item = &'static str> {
        let private = self.private;
        let any = !self.directory.users.is_empty();
        let all = Mechanism::ALL.into_iter();
        let usable = all.filter(move |(_, one)| any && (private || *one != Mechanism::Plain));
        usable.map(|(name, _)| name)
    }

    /// Chooses a mechanism. `false`: it may not be used here, and the connection is done for.
    pub(crate) fn choose(&mut self, name: &str) -> bool {
        let usable = self.mechanisms().any(|usable| usable == name);
        let found = Mechanism::ALL.iter().find(|(known, _)| *known == name);
        match found {
            Some((_, mechanism)) if usable => {
                self.step = Step::Chosen(*mechanism);
                true
            }
            _ => {
                self.step = Step::Failed;
                false
            }
        }
    }

    /// Takes a message of the mechanism and gives the answer to it. An error ends the session.
    pub(crate) fn step(&mut self, message: &[u8]) -> Result<String, AuthError> {
        let step = std::mem::replace(&mut self.step, Step::Failed);
        let (next, answer) = self.advance(step, message)?;
        self.step = next;
        Ok(answer)
    }

    fn advance(&self, step: Step, message: &[u8]) -> Result<(Step, String), AuthError> {
        match step {
            Step::Chosen(Mechanism::Plain) => {
                let user = self.plain(message)?;
                Ok((Step::Known(self.directory.grants(&user)), String::new()))
            }
            Step::Chosen(Mechanism::Scram(hash)) => {
                let first: ClientFirst = client_first(message)?;
                let credentials = self.directory.credentials(&first.user, hash)?;
                let (exchange, answer) = Exchange::begin(&first, credentials)?;
                Ok((Step::Proving(Box::new(exchange), first.user), answer))
            }
            Step::Proving(exchange, user) => {
                let answer = exchange.finish(message)?;
                Ok((Step::Known(self.directory.grants(&user)), answer))
            }
            Step::Fresh | Step::Known(_) | Step::Failed => Err(AuthError::Malformed),
        }
    }

    /// `identity NUL user NUL password` (RFC 4616), the identity empty or the user's.
    fn plain(&self, message: &[u8]) -> Result<String, AuthError> {
        if message.len() > PLAIN_BYTES_MAX {
            return Err(AuthError::Malformed);
        }
        let message = std::str::from_utf8(message).map_err(|_| AuthError::Malformed)?;
        let parts: Vec<&str> = message.split('\0').collect();
        let [identity, user, password] = parts[..] else {
            return Err(AuthError::Malformed);
        };
        let good = self
            .directory
            .credentials(user, Hash::Sha256)?
            .verify(password);
        if good && (identity.is_empty() || identity == user) {
            Ok(user.to_owned())
        } else {
            Err(AuthError::Refused)
        }
    }
}
