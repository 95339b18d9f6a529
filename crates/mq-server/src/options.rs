//! How the listener is set up.

use crate::security::Security;
use crate::tls::Tls;

/// What clients may do, and how many of them.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Server-connection channels by name.
    pub channels: Vec<Channel>,
    /// Most sockets at a time; more are closed at once. Default 1,200.
    pub connections_max: usize,
    /// Most open handles of one conversation (MAXHANDS). Default 256.
    pub handles_max: usize,
    /// Most subscriptions at a time; each has a queue. Default 1,000.
    pub subscriptions_max: usize,
    /// Bytes that may wait to be sent on one socket before its conversations wait: what a client
    /// that never reads costs. Default 4 MiB, and at least one message more.
    pub unsent_bytes_max: usize,
    /// Seconds from the first byte to MQCONN; after that the socket is closed. Default 30.
    pub handshake_seconds: u64,
    /// Most queues and models, temporary ones included, above which commands define no more. Default
    /// 10,000.
    pub queues_max: usize,
    /// Who may connect and do what. The default lets everybody in: for loopback addresses only.
    pub security: Security,
    /// With it, clients must use TLS.
    pub tls: Option<Tls>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            channels: Vec::new(),
            connections_max: 1_200,
            handles_max: 256,
            subscriptions_max: 1_000,
            unsent_bytes_max: 4 << 20,
            handshake_seconds: 30,
            queues_max: 10_000,
            security: Security::default(),
            tls: None,
        }
    }
}

/// A server-connection channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Name, at most 20 characters.
    pub name: String,
    /// Most conversations on a socket (SHARECNV); 0 = none are shared, as before MQ 7. Default 10.
    pub conversations_max: u32,
    /// Longest message in bytes (MAXMSGL). Default 4 MiB.
    pub message_bytes_max: u32,
    /// Silence in seconds after which a heartbeat is sent (HBINT); clients may ask for more.
    /// Default 300.
    pub heartbeat_seconds: u32,
}

impl Channel {
    /// A channel with the defaults.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            conversations_max: 10,
            message_bytes_max: 4 << 20,
            heartbeat_seconds: 300,
        }
    }
}
