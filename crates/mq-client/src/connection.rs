//! Connections: a socket that sessions share.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tracing::debug;

use crate::error::ClientError;
use crate::options::{ClientOptions, Host};
use crate::session::Session;
use crate::socket::{Shared, drive};
use crate::start::start;

/// A socket to a queue manager. It ends with the last of its sessions and handles; dropping all of them
/// says goodbye.
#[derive(Debug, Clone)]
pub struct Connection {
    shared: Arc<Shared>,
    options: Arc<ClientOptions>,
}

impl Connection {
    /// Connects to one host and begins the first session (MQCONN).
    ///
    /// Cancel safe: a dropped future closes the socket.
    ///
    /// # Errors
    ///
    /// [`ClientError`]: no socket, no TLS, no agreement, or the queue manager refused.
    pub async fn connect(
        options: &Arc<ClientOptions>,
        host: &Host,
    ) -> Result<(Self, Session), ClientError> {
        let seconds = options.connect_seconds;
        let connected = Self::begin(options, host);
        let limit = Duration::from_secs(seconds);
        match tokio::time::timeout(limit, connected).await {
            Ok(result) => result,
            Err(_) => Err(ClientError::ConnectTime {
                host: host.clone(),
                seconds,
            }),
        }
    }

    async fn begin(
        options: &Arc<ClientOptions>,
        host: &Host,
    ) -> Result<(Self, Session), ClientError> {
        let connect = |source| ClientError::Connect {
            host: host.clone(),
            source: Arc::new(source),
        };
        let address = (host.name.as_str(), host.port);
        let stream = TcpStream::connect(address).await.map_err(connect)?;
        // Calls are small and waited for.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "cannot switch Nagle's algorithm off");
        }
        let shared = match &options.tls {
            None => {
                let started = start(stream, options).await?;
                let shared = Shared::new(started.agreed);
                tokio::spawn(drive(started, Arc::clone(&shared)));
                shared
            }
            Some(tls) => {
                let failed = |source| ClientError::Tls {
                    host: host.clone(),
                    source: Arc::new(source),
                };
                let name = ServerName::try_from(host.name.clone())
                    .map_err(|error| failed(std::io::Error::other(error)))?;
                let stream = tls.0.connect(name, stream).await.map_err(failed)?;
                let started = start(stream, options).await?;
                let shared = Shared::new(started.agreed);
                tokio::spawn(drive(started, Arc::clone(&shared)));
                shared
            }
        };
        let connection = Self {
            shared,
            options: Arc::clone(options),
        };
        let port = connection.shared.port();
        let port = port.ok_or_else(|| connection.shared.ended("MQCONN"))?;
        let session = Session::begin(port, Arc::clone(options), true).await?;
        Ok((connection, session))
    }

    /// A further session on the same socket; `None` when it has no room for one (the channel's
    /// SHARECNV) or has ended: connect again then.
    ///
    /// # Errors
    ///
    /// [`ClientError`], as [`Connection::connect`].
    pub async fn session(&self) -> Result<Option<Session>, ClientError> {
        let Some(port) = self.shared.port() else {
            return Ok(None);
        };
        let session = Session::begin(port, Arc::clone(&self.options), false).await?;
        Ok(Some(session))
    }

    /// Whether the queue manager said that it ends soon. What is begun should be ended.
    pub fn is_quiescing(&self) -> bool {
        self.shared.is_quiescing()
    }

    /// Whether the socket is gone.
    pub fn is_ended(&self) -> bool {
        self.shared.is_ended()
    }

    /// Longest message in bytes that was agreed on.
    pub fn message_bytes_max(&self) -> usize {
        self.shared.agreed.message_bytes_max as usize
    }
}

/// Connects to the first host that answers.
///
/// # Errors
///
/// The error of the last host. Whoever needs the queue manager calls again, after a pause: see
/// [`ClientError::is_transient`].
pub async fn connect_any(
    options: &Arc<ClientOptions>,
) -> Result<(Connection, Session), ClientError> {
    let mut last = ClientError::NoHost;
    for host in &options.hosts {
        match Connection::connect(options, host).await {
            Ok(connected) => return Ok(connected),
            // Another host may be another queue manager: it is asked too.
            Err(error) => last = error,
        }
    }
    Err(last)
}
