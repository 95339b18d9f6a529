//! The queue manager and its listener: as a part of a pipeline, or as a process of its own.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use mq_client::{ClientOptions, ClientTls, ClientTlsFiles, Host, HostError, Password, TlsError};
use mq_server::{
    Channel, Permission, Right, Rule, Security, Server, ServerOptions, Tls, TlsFiles, User, Verdict,
};
use queue_manager::{QueueDefinition, QueueManager, QueueManagerOptions};
use telemetry::Telemetry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use types::{Boxed, names};

use crate::admin::{self, Readiness};
use crate::check::Plan;
use crate::config::{
    Authentication, Place, QueueConfig, QueuePermission, QueueRight, QueueRule, QueueTls, QueueUser,
};
use crate::levels;
use crate::mq_outbox::MqQueues;
use crate::start::{StartError, failed, lock_data_dir};

/// Most messages that wait for a subscriber.
const SUBSCRIPTION_DEPTH_MAX: usize = 100_000;
/// Most bytes that wait for a subscriber, unless a single message may have more.
const SUBSCRIPTION_BYTES_MAX: usize = 16 << 20;

/// Recovers the queues.
pub(crate) fn start(plan: &Plan, data_dir: &Path) -> Result<QueueManager, StartError> {
    let config = &plan.config.queue;
    let mut options = QueueManagerOptions::new(names::QUEUE_MANAGER, data_dir.join("queue"));
    let message_bytes_max = config.message_bytes_max as usize;
    options.uncommitted_bytes_max = options.uncommitted_bytes_max.max(message_bytes_max);
    let queue = |name: &str| QueueDefinition {
        message_bytes_max,
        ..QueueDefinition::new(name)
    };
    let mut transactions = queue(names::QUEUE_TRANSACTIONS);
    transactions.description = "Transactions on their way to the log".to_owned();
    transactions.depth_max = config.depth_max;
    transactions.bytes_max = config.bytes_max;
    let mut quarantine = queue(names::QUEUE_QUARANTINE);
    quarantine.description = "Input that the gateway refused".to_owned();
    quarantine.bytes_max = config.quarantine_bytes_max;
    let mut backout = queue(names::QUEUE_BACKOUT);
    backout.description = "Messages that were backed out too often".to_owned();
    // As IBM MQ defines queues and models: applications that want persistence say so.
    let test = QueueDefinition {
        description: "For checks".to_owned(),
        default_persistent: false,
        ..queue(names::QUEUE_TEST)
    };
    let model = QueueDefinition {
        description: "Makes temporary queues".to_owned(),
        model: true,
        default_persistent: false,
        ..queue(names::QUEUE_MODEL)
    };
    // A subscriber that does not read holds its publishers up, not the memory.
    let subscriptions = QueueDefinition {
        name: names::QUEUE_MODEL_SUBSCRIPTIONS.to_owned(),
        description: "Makes the queues of subscriptions".to_owned(),
        depth_max: SUBSCRIPTION_DEPTH_MAX,
        bytes_max: SUBSCRIPTION_BYTES_MAX.max(message_bytes_max),
        ..model.clone()
    };
    options.queues = vec![
        transactions,
        quarantine,
        backout,
        test,
        model,
        mq_server::command_queue(),
        subscriptions,
    ];
    QueueManager::start(options).map_err(failed("queue"))
}

/// Lets MQ clients in.
pub(crate) async fn listen(plan: &Plan, queue: &QueueManager) -> Result<Server, StartError> {
    let config = &plan.config.queue;
    let address = config.address;
    let error = |source| StartError::Mq { address, source };
    let listener = TcpListener::bind(address).await.map_err(error)?;
    let options = ServerOptions {
        channels: vec![Channel {
            name: config.channel.clone(),
            conversations_max: config.conversations_max,
            message_bytes_max: config.message_bytes_max,
            heartbeat_seconds: config.heartbeat_seconds,
        }],
        connections_max: config.connections_max,
        security: security(config),
        tls: match &config.tls {
            Some(tls) => Some(Tls::load(&tls_files(tls)).map_err(failed("queue"))?),
            None => None,
        },
        ..ServerOptions::default()
    };
    Server::start(queue.clone(), listener, options).map_err(error)
}

/// How gateway and connector reach a queue manager that is not in their process.
pub(crate) fn elsewhere(plan: &Plan) -> Result<MqQueues, ClientConfigError> {
    let options = reachable(&plan.config.queue)?;
    let client = &plan.config.queue.client;
    Ok(MqQueues {
        options: Arc::new(options),
        sessions_max: client.sessions_max,
        transactions: client.transactions.clone(),
        quarantine: client.quarantine.clone(),
    })
}

/// What is said of a queue manager elsewhere.
pub(crate) fn described(queues: &MqQueues) -> String {
    let hosts: Vec<String> = queues.options.hosts.iter().map(Host::to_string).collect();
    let secret = if queues.options.tls.is_some() {
        ", TLS"
    } else {
        ""
    };
    format!(
        "queue manager at {}, channel {}{secret}",
        hosts.join(", "),
        queues.options.channel
    )
}

/// `[queue.client]` cannot be used. Retrying helps when files were changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientConfigError {
    /// A host is none.
    #[error("`queue.client.hosts`")]
    Host(#[from] HostError),
    /// The queue manager is elsewhere, but nobody says where.
    #[error("`queue.client.hosts` must say where the queue manager is: [\"host(1414)\"]")]
    NoHost,
    /// The file with the password cannot be read.
    #[error("cannot read the password file {path}")]
    Password {
        /// Which.
        path: std::path::PathBuf,
        /// From the operating system.
        #[source]
        source: std::io::Error,
    },
    /// The file with the password has none.
    #[error("the password file {path} is empty")]
    NoPassword {
        /// Which.
        path: std::path::PathBuf,
    },
    /// Our own queue manager speaks TLS, but nobody says whom to trust.
    #[error(
        "there is `[queue.tls]`: `queue.client.ca` (or --tls-ca) must say where its certificate's root is"
    )]
    NoRoot,
    /// Certificates cannot be used.
    #[error("`queue.client`")]
    Tls(#[from] TlsError),
    /// One of the two is missing.
    #[error(
        "`queue.client.certificate` and `queue.client.key` go together, and with `queue.client.ca`"
    )]
    Identity,
}

/// The connection that `[queue]` and `[queue.client]` describe, for those who will use it.
///
/// # Errors
///
/// [`ClientConfigError`].
pub fn reachable(queue: &QueueConfig) -> Result<ClientOptions, ClientConfigError> {
    let options = client_options(queue)?;
    let own = queue.place == Place::Embedded && queue.client.hosts.is_empty();
    if own && queue.tls.is_some() && options.tls.is_none() {
        return Err(ClientConfigError::NoRoot);
    }
    Ok(options)
}

/// The same where it may not be needed: with everything in one process nobody is a client.
pub(crate) fn client_options(queue: &QueueConfig) -> Result<ClientOptions, ClientConfigError> {
    let client = &queue.client;
    let mut hosts = Vec::new();
    for host in &client.hosts {
        hosts.push(host.parse::<Host>()?);
    }
    if hosts.is_empty() {
        if queue.place == Place::External {
            return Err(ClientConfigError::NoHost);
        }
        // Our own, in another process of this machine.
        hosts.push(Host {
            name: queue.address.ip().to_string(),
            port: queue.address.port(),
        });
    }
    let password = match &client.password_file {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|source| {
                let path = path.clone();
                ClientConfigError::Password { path, source }
            })?;
            match text.lines().next() {
                Some(line) if !line.is_empty() => Some(Password::new(line)),
                _ => return Err(ClientConfigError::NoPassword { path: path.clone() }),
            }
        }
    };
    let tls = match (&client.ca, &client.certificate, &client.key) {
        (None, None, None) => None,
        (Some(ca), None, None) => Some((ca, None)),
        (Some(ca), Some(certificate), Some(key)) => {
            Some((ca, Some((certificate.clone(), key.clone()))))
        }
        _ => return Err(ClientConfigError::Identity),
    };
    let tls = match tls {
        None => None,
        Some((ca, identity)) => Some(ClientTls::load(&ClientTlsFiles {
            ca: ca.clone(),
            identity,
        })?),
    };
    let first = Host {
        name: String::new(),
        port: 0,
    };
    Ok(ClientOptions {
        hosts,
        queue_manager: client.queue_manager.clone(),
        user: client.user.clone(),
        password,
        tls,
        ..ClientOptions::new(first, &queue.channel)
    })
}

pub(crate) fn tls_files(tls: &QueueTls) -> TlsFiles {
    TlsFiles {
        certificate: tls.certificate.clone(),
        key: tls.key.clone(),
        client_ca: tls.client_ca.clone(),
    }
}

fn security(config: &QueueConfig) -> Security {
    let rule = |rule: &QueueRule| Rule {
        channel: rule.channel.clone(),
        address: rule.address.clone(),
        certificate: rule.certificate.clone(),
        verdict: match &rule.user {
            Some(user) => Verdict::User(user.clone()),
            None if rule.block => Verdict::Block,
            None => Verdict::Password,
        },
    };
    let right = |right: &QueueRight| match right {
        QueueRight::Put => Right::Put,
        QueueRight::Get => Right::Get,
        QueueRight::Browse => Right::Browse,
        QueueRight::Inquire => Right::Inquire,
        QueueRight::Set => Right::Set,
        QueueRight::Context => Right::Context,
        QueueRight::Admin => Right::Admin,
    };
    let permission = |permission: &QueuePermission| Permission {
        user: permission.user.clone(),
        queue: permission.queue.clone(),
        rights: permission.allow.iter().map(right).collect(),
    };
    let user = |user: &QueueUser| User {
        name: user.name.clone(),
        password_hash: user.password_hash.clone(),
    };
    Security {
        required: config.authentication == Authentication::Password,
        users: config.users.iter().map(user).collect(),
        rules: config.rules.iter().map(rule).collect(),
        permissions: config.permissions.iter().map(permission).collect(),
    }
}

/// Argon2 hash of a password, for `[[queue.user]]`.
///
/// # Errors
///
/// The operating system has no random numbers.
pub fn hash_password(password: &str) -> Result<String, std::io::Error> {
    mq_server::hash_password(password).map_err(|error| std::io::Error::other(error.to_string()))
}

/// What is said of a queue manager that is ready.
pub(crate) fn found(server: &Server, waiting: usize) -> String {
    let address = server.address();
    format!("MQ protocol on {address}, {waiting} messages waiting")
}

/// A queue manager that is a process of its own.
#[derive(Debug)]
pub struct QueueProcess {
    /// Where MQ clients connect to.
    pub mq: SocketAddr,
    /// Health and metrics.
    pub admin: SocketAddr,
    queue: QueueManager,
    server: Server,
    stop: CancellationToken,
    _lock: File,
}

impl QueueProcess {
    /// Recovers the queues, lets clients in and answers on the admin port.
    ///
    /// # Errors
    ///
    /// [`StartError`]: the data directory, the log, or an address.
    pub fn start<'a>(
        plan: &'a Plan,
        data_dir: &'a Path,
        announce: &'a mut (dyn FnMut(&'static str, String) + Send),
    ) -> Boxed<'a, Result<Self, StartError>> {
        Box::pin(Self::begin(plan, data_dir, announce))
    }

    async fn begin(
        plan: &Plan,
        data_dir: &Path,
        announce: &mut (dyn FnMut(&'static str, String) + Send),
    ) -> Result<Self, StartError> {
        let lock = lock_data_dir(data_dir)?;
        let telemetry = Arc::new(Telemetry::default());
        telemetry.hop("queue");
        let queue = start(plan, data_dir)?;
        let waiting: usize = queue.status().iter().map(|status| status.depth).sum();
        let server = listen(plan, &queue).await?;
        announce("queue", found(&server, waiting));
        let stop = CancellationToken::new();
        let address = plan.config.admin.address;
        let bound = admin::bind(
            address,
            Arc::clone(&telemetry),
            Arc::new(Readiness::default()),
            Some(queue.clone()),
            stop.clone(),
        );
        let (admin, serve) = bound
            .await
            .map_err(|source| StartError::Admin { address, source })?;
        tokio::spawn(serve);
        tokio::spawn(levels::watch_queue(queue.clone(), telemetry, stop.clone()));
        Ok(Self {
            mq: server.address(),
            admin,
            queue,
            server,
            stop,
            _lock: lock,
        })
    }

    /// Tells clients, backs out what is open, and flushes.
    pub async fn stop(self) {
        self.server.stop().await;
        self.stop.cancel();
        if let Err(error) = self.queue.stop().await {
            warn!(error = %error, "the queue manager did not stop cleanly");
        }
    }
}
