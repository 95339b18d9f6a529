//! The connection: one session a process, whoever uses it, and calls that block.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::fmt;
use std::fs;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use rustls::ClientConfig;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::errors::{
    ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind, DbError, ExecutionError,
    MetadataError, NewSessionError, PagerExecutionError, PrepareError, RequestAttemptError,
};
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::statement::{Consistency as Level, SerialConsistency};
use tokio::runtime::{Builder, Runtime};
use tokio::task::coop::unconstrained;
use types::BusinessDay;

use super::schema::{OwnStatements, Plan};
use super::{CassandraOptions, CassandraTls, Consistency};
use crate::error::{DriverError, StoreError};

/// How long a node may take to accept a connection.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// How long an answer may take. Cassandra itself gives up earlier (2 s for writes, 5 s for reads).
const REQUEST_TIME_MAX: Duration = Duration::from_secs(6);
/// Threads that talk to the cluster and read its answers.
const THREADS: usize = 2;

/// A cluster that is connected to when it is first needed.
pub(crate) struct Cluster {
    pub(super) options: CassandraOptions,
    /// `Some` until it is dropped.
    runtime: Option<Runtime>,
    tls: Option<Arc<ClientConfig>>,
    password: Option<String>,
    session: Mutex<Option<Arc<Session>>>,
    /// What is known of the keyspace. Forgotten at every failure: it may have been made anew.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    own: Option<Arc<OwnStatements>>,
    /// By table, and what is wanted of it.
    plans: HashMap<String, Arc<Plan>>,
    /// Days that are in the list of days.
    days: HashSet<(String, BusinessDay)>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Contact points and keyspace.
impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Cassandra at {}, keyspace {}",
            self.at(),
            self.options.keyspace
        )
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Waiting for its threads is not allowed where it may happen.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A connection for one user of the store.
#[derive(Debug)]
pub(crate) struct CassandraStore {
    pub(super) cluster: Arc<Cluster>,
    pub(super) session: Arc<Session>,
    pub(super) own: Arc<OwnStatements>,
}

impl Cluster {
    /// Reads the files that the options name; nothing is connected to yet.
    pub(crate) fn new(options: CassandraOptions) -> Result<Self, StoreError> {
        let password = match &options.user {
            None => None,
            Some((_, path)) => {
                let read = fs::read_to_string(path).map_err(|source| StoreError::Password {
                    path: path.clone(),
                    source,
                })?;
                Some(read.lines().next().unwrap_or_default().to_owned())
            }
        };
        let tls = options.tls.as_ref().map(client_config).transpose()?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("cassandra")
            .enable_all()
            .build()
            .map_err(StoreError::Thread)?;
        Ok(Self {
            options,
            runtime: Some(runtime),
            tls,
            password,
            session: Mutex::default(),
            known: Mutex::default(),
        })
    }

    /// For writing: keyspace and tables of our own are there afterwards.
    pub(crate) fn open(self: &Arc<Self>) -> Result<CassandraStore, StoreError> {
        let session = self.session()?;
        self.forget();
        let own = self.block_on(async {
            self.ensure_keyspace(&session).await?;
            self.own_statements(&session).await
        })?;
        self.known().own = Some(Arc::clone(&own));
        Ok(self.store(session, own))
    }

    /// For reading; `None` while the keyspace or a table of our own is not there.
    pub(crate) fn open_read_only(self: &Arc<Self>) -> Result<Option<CassandraStore>, StoreError> {
        let session = self.session()?;
        let known = self.known().own.clone();
        let own = match known {
            Some(own) => own,
            None => {
                let own = self.block_on(async {
                    match self.is_there(&session).await? {
                        true => self.own_statements(&session).await.map(Some),
                        false => Ok(None),
                    }
                })?;
                let Some(own) = own else { return Ok(None) };
                self.known().own = Some(Arc::clone(&own));
                own
            }
        };
        Ok(Some(self.store(session, own)))
    }

    fn store(self: &Arc<Self>, session: Arc<Session>, own: Arc<OwnStatements>) -> CassandraStore {
        CassandraStore {
            cluster: Arc::clone(self),
            session,
            own,
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn known_plan(&self, name: &str) -> Option<Arc<Plan>> {
        self.known().plans.get(name).cloned()
    }

    pub(super) fn remember(&self, name: String, plan: &Arc<Plan>) {
        self.known().plans.insert(name, Arc::clone(plan));
    }

    pub(super) fn has_day(&self, aggregation: &str, day: BusinessDay) -> bool {
        self.known().days.contains(&(aggregation.to_owned(), day))
    }

    pub(super) fn note_day(&self, aggregation: &str, day: BusinessDay) {
        self.known().days.insert((aggregation.to_owned(), day));
    }

    /// Of the keyspace; the session stays.
    fn forget(&self) {
        *self.known() = Known::default();
    }

    fn session(&self) -> Result<Arc<Session>, StoreError> {
        // Whoever else wants it waits for the same one.
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = session.as_ref() {
            return Ok(Arc::clone(session));
        }
        let connected = self.block_on(self.connect())?;
        Ok(Arc::clone(session.insert(Arc::new(connected))))
    }

    async fn connect(&self) -> Result<Session, StoreError> {
        let options = &self.options;
        let mut balancing = DefaultPolicy::builder().token_aware(true);
        if let Some(data_center) = &options.data_center {
            balancing = balancing.prefer_datacenter(data_center.clone());
        }
        let profile = ExecutionProfile::builder()
            .consistency(options.consistency.level())
            .serial_consistency(Some(options.consistency.serial()))
            .load_balancing_policy(balancing.build())
            .request_timeout(Some(REQUEST_TIME_MAX))
            .build();
        let mut builder = SessionBuilder::new()
            .known_nodes(&options.contact_points)
            .connection_timeout(CONNECT_TIME_MAX)
            .default_execution_profile_handle(profile.into_handle())
            .keyspaces_to_fetch([&options.keyspace])
            .fetch_full_schema_metadata(false)
            .tls_context(self.tls.clone());
        if let (Some((user, _)), Some(password)) = (&options.user, &self.password) {
            builder = builder.user(user, password);
        }
        builder.build().await.map_err(|error| {
            let cause = match &error {
                NewSessionError::MetadataError(MetadataError::ConnectionPoolError(error)) => {
                    Cause::of_pool(error)
                }
                _ => Cause::Unreachable,
            };
            self.error(cause, "be connected to", error)
        })
    }

    /// Waits for `future` on this thread, while the runtime's threads talk to the cluster. Unlike the runtime's own way of waiting
    /// this is allowed everywhere; on a thread of another runtime it holds that up.
    pub(super) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let _entered = self.runtime.as_ref().map(Runtime::enter);
        // Within a task of another runtime its budget would be used up, and never be filled again.
        let mut future = pin!(unconstrained(future));
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match future.as_mut().poll(&mut context) {
                Poll::Ready(result) => return result,
                Poll::Pending => thread::park(),
            }
        }
    }

    pub(super) fn at(&self) -> String {
        self.options.contact_points.join(", ")
    }

    /// Makes an error of what the driver says, and forgets what may have caused it.
    pub(super) fn failed<E: Failure>(&self, what: &'static str) -> impl FnOnce(E) -> StoreError {
        move |error| {
            self.forget();
            self.error(error.about(), what, error)
        }
    }

    fn error(
        &self,
        cause: Cause,
        what: &'static str,
        error: impl Error + Send + Sync + 'static,
    ) -> StoreError {
        let (at, source) = (self.at(), DriverError(Box::new(error)));
        let user = self.options.user.as_ref();
        match (cause, &self.options.data_center) {
            (Cause::Unreachable, _) => StoreError::Unreachable { at, source },
            (Cause::Credentials, _) => StoreError::Credentials {
                at,
                who: user.map_or("nobody without a name".to_owned(), |(name, _)| {
                    format!("{name:?}")
                }),
                source,
            },
            (Cause::NoNode, Some(data_center)) => StoreError::DataCenter {
                at,
                data_center: data_center.clone(),
                source,
            },
            (Cause::NoNode, None) => StoreError::Unreachable { at, source },
            (Cause::Refused, _) => StoreError::Cassandra { at, what, source },
        }
    }
}

/// What a failure is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// No connection, or no answer.
    Unreachable,
    /// Who we are.
    Credentials,
    /// No node is left that may be asked.
    NoNode,
    /// An answer that is an error.
    Refused,
}

impl Cause {
    fn of_pool(error: &ConnectionPoolError) -> Self {
        let ConnectionPoolError::Broken {
            last_connection_error: ConnectionError::ConnectionSetupRequestError(error),
        } = error
        else {
            return Self::Unreachable;
        };
        match error.get_error() {
            ConnectionSetupRequestErrorKind::DbError(DbError::AuthenticationError, _)
            | ConnectionSetupRequestErrorKind::MissingAuthentication => Self::Credentials,
            _ => Self::Unreachable,
        }
    }

    fn of_attempt(error: &RequestAttemptError) -> Self {
        match error {
            RequestAttemptError::BrokenConnectionError(_) => Self::Unreachable,
            _ => Self::Refused,
        }
    }
}

/// Errors of the driver.
pub(super) trait Failure: Error + Send + Sync + 'static {
    fn about(&self) -> Cause;
}

impl Failure for ExecutionError {
    fn about(&self) -> Cause {
        match self {
            Self::EmptyPlan => Cause::NoNode,
            Self::ConnectionPoolError(error) => Cause::of_pool(error),
            Self::LastAttemptError(error) => Cause::of_attempt(error),
            Self::PrepareError(error) => error.about(),
            Self::RequestTimeout(_) => Cause::Unreachable,
            _ => Cause::Refused,
        }
    }
}

impl Failure for PrepareError {
    fn about(&self) -> Cause {
        match self {
            Self::ConnectionPoolError(error) => Cause::of_pool(error),
            Self::AllAttemptsFailed { first_attempt } => Cause::of_attempt(first_attempt),
            _ => Cause::Refused,
        }
    }
}

impl Failure for PagerExecutionError {
    fn about(&self) -> Cause {
        match self {
            Self::PrepareError(error) => error.about(),
            _ => Cause::Refused,
        }
    }
}

impl Consistency {
    fn level(self) -> Level {
        match self {
            Self::Quorum => Level::Quorum,
            Self::LocalQuorum => Level::LocalQuorum,
            Self::All => Level::All,
        }
    }

    /// For what is written once.
    fn serial(self) -> SerialConsistency {
        match self {
            Self::LocalQuorum => SerialConsistency::LocalSerial,
            Self::Quorum | Self::All => SerialConsistency::Serial,
        }
    }

    /// Reads what was written once.
    pub(super) fn serial_level(self) -> Level {
        match self.serial() {
            SerialConsistency::LocalSerial => Level::LocalSerial,
            SerialConsistency::Serial => Level::Serial,
        }
    }
}

fn client_config(files: &CassandraTls) -> Result<Arc<ClientConfig>, StoreError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| StoreError::Identity {
            path: files.ca.clone(),
            source,
        })?
        .with_root_certificates(pem::roots(&files.ca)?);
    let config = match &files.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder
            .with_client_auth_cert(pem::certificates(certificate)?, pem::key(key)?)
            .map_err(|source| StoreError::Identity {
                path: certificate.clone(),
                source,
            })?,
    };
    Ok(Arc::new(config))
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
