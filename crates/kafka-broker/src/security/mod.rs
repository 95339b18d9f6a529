//! Who may connect, and what they may do.
//!
//! ```text
//! socket ─► TLS ─► SASL (PLAIN, SCRAM) ─► Grants (you are here) ─► api handler asks before it does anything
//! ```
//!
//! # Invariants
//!
//! - **Off only where nobody else is.** Without users and certificates of clients the broker listens on loopback alone.
//! - **Nothing before a name.** A connection that must authenticate gets answers about versions and SASL, in small
//!   requests and for a short time, and no other.
//! - **Nothing that was not granted.** A user may do what a [`Permission`] says and nothing else.
//! - **No password is kept longer than it takes to start**, and none is shown: what is checked are SCRAM's derived keys.

mod scram;
mod session;
mod tls;

use std::fmt;
use std::path::PathBuf;

use kafka_protocol::ResponseError;

pub(crate) use scram::{Credentials, Hash};
pub(crate) use session::{Directory, Session};
pub use tls::TlsError;
pub(crate) use tls::{Tls, load};

/// The name of those who need none.
pub(crate) const ANYBODY: &str = "ANONYMOUS";

/// Where the certificates are, in PEM form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Ours, and those between it and the root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Roots of clients' certificates. A client with one is known by the certificate's subject; one without must be a
    /// user, and is refused when there are none.
    pub client_roots: Option<PathBuf>,
}

/// Somebody with a password, for SASL PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The name that permissions speak of.
    pub name: String,
    /// In clear. It is forgotten when the broker has started.
    pub password: String,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What a permission is about. Names are meant with everything that begins like them; `""` is every name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// Topics that begin so.
    Topics(String),
    /// Groups that begin so.
    Groups(String),
    /// Transactional ids that begin so.
    TransactionalIds(String),
    /// What is about no name: creating topics of any name, describing transactions and groups of any.
    Cluster,
}

/// What a permission allows. Each also allows to look at what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Topics: fetch. Groups: join, and commit offsets.
    Read,
    /// Topics: produce. Transactional ids: write under them.
    Write,
    /// Everything, creating, altering and deleting included.
    Admin,
}

/// Something that a principal may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// A user's name or a certificate's subject; `*` for everybody who is known.
    pub principal: String,
    /// What about.
    pub resource: Resource,
    /// Which of it.
    pub access: Access,
}

impl Permission {
    /// Everything, for one principal.
    pub fn everything(principal: &str) -> Vec<Permission> {
        let all = [
            Resource::Topics(String::new()),
            Resource::Groups(String::new()),
            Resource::TransactionalIds(String::new()),
            Resource::Cluster,
        ];
        let each = all.into_iter().map(|resource| Permission {
            principal: principal.to_owned(),
            resource,
            access: Access::Admin,
        });
        each.collect()
    }
}

/// What a connection may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grants {
    pub(crate) principal: String,
    /// `None`: everything.
    permissions: Option<Vec<(Resource, Access)>>,
}

impl Grants {
    /// For those who need no name.
    pub(crate) fn everything() -> Self {
        Self {
            principal: ANYBODY.to_owned(),
            permissions: None,
        }
    }

    /// What `principal` was granted.
    pub(crate) fn of(principal: &str, permissions: &[Permission]) -> Self {
        let own = permissions
            .iter()
            .filter(|one| one.principal == principal || one.principal == "*");
        Self {
            principal: principal.to_owned(),
            permissions: Some(own.map(|one| (one.resource.clone(), one.access)).collect()),
        }
    }

    fn may(&self, fits: impl Fn(&Resource, Access) -> bool) -> bool {
        match &self.permissions {
            None => true,
            Some(all) => all.iter().any(|(resource, access)| fits(resource, *access)),
        }
    }

    /// May it do `wanted` with this topic?
    pub(crate) fn topic(&self, name: &str, wanted: Access) -> Result<(), ResponseError> {
        let granted = self.may(|resource, access| match resource {
            Resource::Topics(prefix) => name.starts_with(prefix.as_str()) && allows(access, wanted),
            Resource::Cluster => access == Access::Admin,
            Resource::Groups(_) | Resource::TransactionalIds(_) => false,
        });
        granted
            .then_some(())
            .ok_or(ResponseError::TopicAuthorizationFailed)
    }

    /// May it know of this topic?
    pub(crate) fn sees_topic(&self, name: &str) -> bool {
        self.topic(name, Access::Read).is_ok() || self.topic(name, Access::Write).is_ok()
    }

    /// The same, as a refusal.
    pub(crate) fn look_at_topic(&self, name: &str) -> Result<(), ResponseError> {
        let seen = self.sees_topic(name);
        seen.then_some(())
            .ok_or(ResponseError::TopicAuthorizationFailed)
    }

    /// May it know of this group?
    pub(crate) fn sees_group(&self, name: &str) -> bool {
        self.group(name, Access::Read).is_ok() || self.cluster(Access::Read).is_ok()
    }

    /// May it know of this transactional id?
    pub(crate) fn sees_transactional_id(&self, id: &str) -> bool {
        self.transactional_id(id).is_ok() || self.cluster(Access::Read).is_ok()
    }

    /// May it do `wanted` with this group?
    pub(crate) fn group(&self, name: &str, wanted: Access) -> Result<(), ResponseError> {
        let granted = self.may(|resource, access| match resource {
            Resource::Groups(prefix) => name.starts_with(prefix.as_str()) && allows(access, wanted),
            Resource::Cluster => access == Access::Admin,
            Resource::Topics(_) | Resource::TransactionalIds(_) => false,
        });
        granted
            .then_some(())
            .ok_or(ResponseError::GroupAuthorizationFailed)
    }

    /// May it write under this transactional id?
    pub(crate) fn transactional_id(&self, id: &str) -> Result<(), ResponseError> {
        let granted = self.may(|resource, access| match resource {
            Resource::TransactionalIds(prefix) => {
                id.starts_with(prefix.as_str()) && allows(access, Access::Write)
            }
            Resource::Cluster => access == Access::Admin,
            Resource::Topics(_) | Resource::Groups(_) => false,
        });
        granted
            .then_some(())
            .ok_or(ResponseError::TransactionalIdAuthorizationFailed)
    }

    /// May it get a producer id without a transactional one? Whoever writes somewhere may.
    pub(crate) fn idempotent_write(&self) -> Result<(), ResponseError> {
        let granted = self.may(|resource, access| match resource {
            Resource::Topics(_) => allows(access, Access::Write),
            Resource::Cluster => access == Access::Admin,
            Resource::Groups(_) | Resource::TransactionalIds(_) => false,
        });
        granted
            .then_some(())
            .ok_or(ResponseError::ClusterAuthorizationFailed)
    }

    /// May it do what is about no name?
    pub(crate) fn cluster(&self, wanted: Access) -> Result<(), ResponseError> {
        let granted =
            self.may(|resource, access| *resource == Resource::Cluster && allows(access, wanted));
        granted
            .then_some(())
            .ok_or(ResponseError::ClusterAuthorizationFailed)
    }
}

fn allows(granted: Access, wanted: Access) -> bool {
    granted == Access::Admin || granted == wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(resource: Resource, access: Access) -> Grants {
        let permission = |principal: &str| Permission {
            principal: principal.to_owned(),
            resource: resource.clone(),
            access,
        };
        Grants::of("ana", &[permission("ana"), permission("bo")])
    }

    #[test]
    fn nothing_is_allowed_that_was_not_granted() {
        let reads = grants(Resource::Topics("a.".to_owned()), Access::Read);
        assert!(reads.topic("a.b", Access::Read).is_ok() && reads.sees_topic("a.b"));
        let denied = Err(ResponseError::TopicAuthorizationFailed);
        assert_eq!(reads.topic("a.b", Access::Write), denied);
        assert_eq!(reads.topic("a.b", Access::Admin), denied);
        assert_eq!(reads.topic("b", Access::Read), denied);
        assert!(!reads.sees_topic("b"));
        assert_eq!(
            reads.group("a.", Access::Read),
            Err(ResponseError::GroupAuthorizationFailed)
        );
        assert!(reads.transactional_id("a.").is_err() && reads.idempotent_write().is_err());
        assert_eq!(
            reads.cluster(Access::Read),
            Err(ResponseError::ClusterAuthorizationFailed)
        );
        let nobody = Grants::of("cy", &[]);
        assert!(!nobody.sees_topic("a") && nobody.cluster(Access::Read).is_err());
    }

    #[test]
    fn an_administrator_of_the_cluster_may_do_everything() {
        for grants in [
            grants(Resource::Cluster, Access::Admin),
            Grants::everything(),
        ] {
            assert!(
                grants.topic("t", Access::Admin).is_ok()
                    && grants.group("g", Access::Admin).is_ok()
            );
            assert!(grants.transactional_id("x").is_ok() && grants.idempotent_write().is_ok());
            assert!(grants.cluster(Access::Admin).is_ok());
        }
        // Looking at the cluster is not owning it.
        let looks = grants(Resource::Cluster, Access::Read);
        assert!(looks.cluster(Access::Read).is_ok() && looks.topic("t", Access::Read).is_err());
    }
}
