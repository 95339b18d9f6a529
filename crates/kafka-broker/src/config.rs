//! What can be set, and every limit of the broker, each with its unit.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::security::{Permission, TlsFiles, User};

/// Settings of a broker. [`BrokerConfig::new`] gives defaults that suit a laptop.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// Address to listen on. Port 0 takes any free one.
    pub listen: SocketAddr,
    /// Host and port that clients are told. `None`: the address that each of them came to.
    pub advertised: Option<(String, u16)>,
    /// Speak TLS, with these certificates.
    pub tls: Option<TlsFiles>,
    /// Who may connect with a password. Empty, and no certificates of clients: everybody, who may then do
    /// everything, and only where `listen` is on loopback.
    pub users: Vec<User>,
    /// What users and owners of certificates may do. What is not here they may not.
    pub permissions: Vec<Permission>,
    /// How long a connection may take to say who it is, TLS included.
    pub authentication_timeout: Duration,
    /// Directory of everything that is kept. Created if missing.
    pub data_dir: PathBuf,
    /// Partitions of a topic that is created without a number.
    pub partitions_default: i32,
    /// Whether asking for an unknown topic creates it.
    pub auto_create_topics: bool,
    /// Bytes of journal after which a checkpoint is taken. Lower means faster recovery, higher fewer checkpoints.
    pub journal_checkpoint_bytes: u64,
    /// Bytes of one preallocated journal file. Must hold a batch of the largest size.
    pub journal_segment_bytes: u64,
    /// Bytes written but not yet on disk at which the broker stops reading more to write. Bounds memory.
    pub journal_unflushed_bytes_max: u64,
    /// Bytes of one file of a partition.
    pub segment_bytes: u64,
    /// How often topics are looked through for what need not be kept: by time, by size, and by compaction.
    pub cleanup_interval: Duration,
    /// Most keys that one pass of compaction remembers, at about 50 bytes each. More takes more passes.
    pub compaction_keys_max: usize,
    /// Largest request, in bytes. A larger one closes the connection.
    pub request_bytes_max: u32,
    /// Most array elements and tagged fields in one request. Bounds what decoding allocates.
    pub request_elements_max: usize,
    /// Largest record batch, in bytes.
    pub batch_bytes_max: usize,
    /// Most bytes of records in one fetch answer, except for a first batch that alone is larger.
    pub fetch_bytes_max: usize,
    /// Longest time a fetch waits, in milliseconds, whatever it asks for.
    pub fetch_wait_ms_max: u32,
    /// Most connections at a time. Further ones are closed at once.
    pub connections_max: usize,
    /// Requests of one connection that may wait for their answers before the next is read.
    pub requests_in_flight_max: usize,
    /// Most partitions of all topics together. Each with records takes a file descriptor.
    pub partitions_max: usize,
    /// Most groups with members or with offsets.
    pub groups_max: usize,
    /// Most members of one group.
    pub group_members_max: usize,
    /// Shortest session time-out a group member may ask for, in milliseconds.
    pub group_session_timeout_ms_min: i32,
    /// Longest session time-out a group member may ask for, in milliseconds.
    pub group_session_timeout_ms_max: i32,
    /// How long the first member of an empty group waits for others.
    pub group_initial_rebalance_delay: Duration,
    /// New group protocol: how long a member may be silent (Kafka's `group.consumer.session.timeout.ms`).
    pub consumer_session_timeout: Duration,
    /// New group protocol: how often members are told to send heartbeats (`group.consumer.heartbeat.interval.ms`).
    pub consumer_heartbeat_interval: Duration,
    /// New group protocol: most bytes of one member's ids, topic names and regular expression together.
    pub group_subscription_bytes_max: usize,
    /// New group protocol: most different regular expressions that members of one group subscribe with.
    pub group_regexes_max: usize,
    /// How long offsets of a group are kept that nobody is in (Kafka's `offsets.retention.minutes`, 7 days there).
    /// `None`: for ever. Whoever assigns partitions to itself is in no group, and loses its place when it is silent
    /// for longer.
    pub offsets_retention: Option<Duration>,
    /// Longest metadata beside a committed offset, in bytes.
    pub offset_metadata_bytes_max: usize,
    /// Most transactional ids that are remembered.
    pub transactional_ids_max: usize,
    /// Longest transaction time-out a producer may ask for, in milliseconds.
    pub transaction_timeout_ms_max: i32,
    /// How long a silent producer's sequences are remembered.
    pub producer_id_expiration: Duration,
    /// How long a silent transactional id is remembered.
    pub transactional_id_expiration: Duration,
}

impl BrokerConfig {
    /// The defaults, listening on `listen` and keeping everything in `data_dir`.
    pub fn new(listen: SocketAddr, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            listen,
            advertised: None,
            tls: None,
            users: Vec::new(),
            permissions: Vec::new(),
            authentication_timeout: Duration::from_secs(10),
            data_dir: data_dir.into(),
            partitions_default: 1,
            auto_create_topics: true,
            journal_checkpoint_bytes: 128 << 20,
            journal_segment_bytes: 128 << 20,
            journal_unflushed_bytes_max: 64 << 20,
            segment_bytes: 1 << 30,
            cleanup_interval: Duration::from_secs(15),
            compaction_keys_max: 1_000_000,
            request_bytes_max: 100 << 20,
            request_elements_max: 200_000,
            batch_bytes_max: 8 << 20,
            fetch_bytes_max: 55 << 20,
            fetch_wait_ms_max: 30_000,
            connections_max: 1_000,
            requests_in_flight_max: 64,
            partitions_max: 4_000,
            groups_max: 10_000,
            group_members_max: 1_000,
            group_session_timeout_ms_min: 10,
            group_session_timeout_ms_max: 1_800_000,
            group_initial_rebalance_delay: Duration::from_millis(20),
            consumer_session_timeout: Duration::from_secs(45),
            consumer_heartbeat_interval: Duration::from_secs(5),
            group_subscription_bytes_max: 64 << 10,
            group_regexes_max: 16,
            offsets_retention: None,
            offset_metadata_bytes_max: 4_096,
            transactional_ids_max: 100_000,
            transaction_timeout_ms_max: 900_000,
            producer_id_expiration: Duration::from_secs(24 * 60 * 60),
            transactional_id_expiration: Duration::from_secs(7 * 24 * 60 * 60),
        }
    }
}
