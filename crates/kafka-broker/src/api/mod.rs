//! The requests that the broker answers, one module per API key; the missing numbers are not supported.
//!
//! ```text
//! connection ─frame─► start (you are here) ─► key_NN::handle ─► Reply ─► frame ─► connection
//! ```
//!
//! A handler does everything that has to happen in the order of the requests before it returns; what it returns may
//! be a future that only waits, for the disk, for records or for the other members of a group.

mod key_00_produce;
mod key_01_fetch;
mod key_02_list_offsets;
mod key_03_metadata;
mod key_08_offset_commit;
mod key_09_offset_fetch;
mod key_10_find_coordinator;
mod key_11_join_group;
mod key_12_heartbeat;
mod key_13_leave_group;
mod key_14_sync_group;
mod key_15_describe_groups;
mod key_16_list_groups;
mod key_17_sasl_handshake;
mod key_18_api_versions;
mod key_19_create_topics;
mod key_20_delete_topics;
mod key_21_delete_records;
mod key_22_init_producer_id;
mod key_23_offset_for_leader_epoch;
mod key_24_add_partitions_to_txn;
mod key_25_add_offsets_to_txn;
mod key_26_end_txn;
mod key_28_txn_offset_commit;
mod key_32_describe_configs;
mod key_33_alter_configs;
mod key_35_describe_log_dirs;
mod key_36_sasl_authenticate;
mod key_37_create_partitions;
mod key_42_delete_groups;
mod key_44_incremental_alter_configs;
mod key_47_offset_delete;
mod key_60_describe_cluster;
mod key_61_describe_producers;
mod key_65_describe_transactions;
mod key_66_list_transactions;
mod key_68_consumer_group_heartbeat;
mod key_69_consumer_group_describe;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ApiKey, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};

use crate::batch::LEADER_EPOCH;
use crate::security::{ANYBODY, Grants, Session};
use crate::shape::{self, Field, ShapeError};
use crate::shared::Shared;

/// Authorised operations were not asked for, and there are none.
const NO_OPERATIONS: i32 = i32::MIN;

/// A request cannot be answered. The connection is closed, as Kafka does.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// No such API, or not in this version.
    #[error("api key {key} version {version} is not supported")]
    Unsupported { key: i16, version: i16 },
    /// Whoever asks has not said who they are.
    #[error("api key {key} is not for clients that have not authenticated")]
    Unknown { key: i16 },
    /// Not even a header.
    #[error("request has no header")]
    Header,
    /// The layout is not that of the API.
    #[error("request of api key {key} version {version} is malformed")]
    Shape {
        key: i16,
        version: i16,
        #[source]
        source: ShapeError,
    },
    /// The decoder refuses it.
    #[error("request of api key {key} version {version} cannot be decoded: {reason}")]
    Decode {
        key: i16,
        version: i16,
        reason: String,
    },
    /// Our answer does not fit its schema.
    #[error("answer to api key {key} version {version} cannot be encoded: {reason}")]
    Encode {
        key: i16,
        version: i16,
        reason: String,
    },
}

/// Who asks, and through which connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) shared: Arc<Shared>,
    pub(crate) peer: SocketAddr,
    /// The address the client came to.
    pub(crate) local: SocketAddr,
    /// Requests of a connection are begun one after the other: nobody ever waits for it.
    pub(crate) session: Mutex<Session>,
}

impl Connection {
    pub(crate) fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has said who it is, or need not.
    pub(crate) fn is_known(&self) -> bool {
        self.session().grants().is_some()
    }

    /// Whether it has tried to say so, in vain.
    pub(crate) fn has_failed(&self) -> bool {
        self.session().has_failed()
    }
}

/// What may be asked by somebody who has not said who they are.
const FOR_ANYBODY: [ApiKey; 3] = [
    ApiKey::ApiVersions,
    ApiKey::SaslHandshake,
    ApiKey::SaslAuthenticate,
];

/// A request's header beside its connection.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    connection: &'a Connection,
    key: i16,
    pub(crate) version: i16,
    correlation_id: i32,
    pub(crate) client_id: String,
    /// What the client may do.
    pub(crate) grants: Arc<Grants>,
}

pub(crate) type Waiting<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a handler answers with.
pub(crate) enum Reply<R> {
    Now(R),
    Later(Waiting<R>),
    /// The client wants no answer.
    Silent,
}

impl<R> Reply<R> {
    fn later(future: impl Future<Output = R> + Send + 'static) -> Self {
        Reply::Later(Box::pin(future))
    }
}

/// An encoded answer, or the way to it. `None`: nothing is sent.
pub(crate) enum Answer {
    Now(Option<Bytes>),
    Later(Waiting<Result<Option<Bytes>, RequestError>>),
}

type Handle = fn(&Context<'_>, Bytes) -> Result<Answer, RequestError>;

/// One API: its key, the versions that are answered, its layout and its handler.
pub(crate) struct Api {
    pub(crate) key: ApiKey,
    pub(crate) min: i16,
    pub(crate) max: i16,
    shape: &'static [Field],
    handle: Handle,
}

macro_rules! apis {
    ($($key:ident $min:literal ..= $max:literal $shape:ident $module:ident;)*) => {
        /// Everything that is supported. `ApiVersions` tells it to clients, and [`start`] dispatches by it.
        pub(crate) const APIS: &[Api] = &[$(Api {
            key: ApiKey::$key,
            min: $min,
            max: $max,
            shape: shape::$shape,
            handle: |context, body| run(context, body, $module::handle),
        }),*];
    };
}

apis! {
    Produce 3..=9 PRODUCE key_00_produce;
    Fetch 4..=12 FETCH key_01_fetch;
    ListOffsets 1..=7 LIST_OFFSETS key_02_list_offsets;
    Metadata 0..=12 METADATA key_03_metadata;
    OffsetCommit 2..=9 OFFSET_COMMIT key_08_offset_commit;
    OffsetFetch 1..=9 OFFSET_FETCH key_09_offset_fetch;
    FindCoordinator 0..=4 FIND_COORDINATOR key_10_find_coordinator;
    JoinGroup 0..=9 JOIN_GROUP key_11_join_group;
    Heartbeat 0..=4 HEARTBEAT key_12_heartbeat;
    LeaveGroup 0..=5 LEAVE_GROUP key_13_leave_group;
    SyncGroup 0..=5 SYNC_GROUP key_14_sync_group;
    DescribeGroups 0..=6 DESCRIBE_GROUPS key_15_describe_groups;
    ListGroups 0..=5 LIST_GROUPS key_16_list_groups;
    SaslHandshake 1..=1 SASL_HANDSHAKE key_17_sasl_handshake;
    ApiVersions 0..=3 API_VERSIONS key_18_api_versions;
    CreateTopics 2..=7 CREATE_TOPICS key_19_create_topics;
    DeleteTopics 1..=6 DELETE_TOPICS key_20_delete_topics;
    DeleteRecords 0..=2 DELETE_RECORDS key_21_delete_records;
    InitProducerId 0..=4 INIT_PRODUCER_ID key_22_init_producer_id;
    OffsetForLeaderEpoch 2..=4 OFFSET_FOR_LEADER_EPOCH key_23_offset_for_leader_epoch;
    AddPartitionsToTxn 0..=3 ADD_PARTITIONS_TO_TXN key_24_add_partitions_to_txn;
    AddOffsetsToTxn 0..=3 ADD_OFFSETS_TO_TXN key_25_add_offsets_to_txn;
    EndTxn 0..=3 END_TXN key_26_end_txn;
    TxnOffsetCommit 0..=3 TXN_OFFSET_COMMIT key_28_txn_offset_commit;
    DescribeConfigs 1..=4 DESCRIBE_CONFIGS key_32_describe_configs;
    AlterConfigs 0..=2 ALTER_CONFIGS key_33_alter_configs;
    DescribeLogDirs 1..=4 DESCRIBE_LOG_DIRS key_35_describe_log_dirs;
    SaslAuthenticate 0..=2 SASL_AUTHENTICATE key_36_sasl_authenticate;
    CreatePartitions 0..=3 CREATE_PARTITIONS key_37_create_partitions;
    DeleteGroups 0..=2 DELETE_GROUPS key_42_delete_groups;
    IncrementalAlterConfigs 0..=1 INCREMENTAL_ALTER_CONFIGS key_44_incremental_alter_configs;
    OffsetDelete 0..=0 OFFSET_DELETE key_47_offset_delete;
    DescribeCluster 0..=1 DESCRIBE_CLUSTER key_60_describe_cluster;
    DescribeProducers 0..=0 DESCRIBE_PRODUCERS key_61_describe_producers;
    DescribeTransactions 0..=0 DESCRIBE_TRANSACTIONS key_65_describe_transactions;
    ListTransactions 0..=1 LIST_TRANSACTIONS key_66_list_transactions;
    ConsumerGroupHeartbeat 0..=1 CONSUMER_GROUP_HEARTBEAT key_68_consumer_group_heartbeat;
    ConsumerGroupDescribe 0..=1 CONSUMER_GROUP_DESCRIBE key_69_consumer_group_describe;
}

impl Context<'_> {
    /// Host and port that this client can reach the broker at.
    pub(crate) fn advertised(&self) -> (StrBytes, i32) {
        match &self.shared.config.advertised {
            Some((host, port)) => (text(host), i32::from(*port)),
            None => {
                let local = self.connection.local;
                (
                    StrBytes::from_string(local.ip().to_string()),
                    i32::from(local.port()),
                )
            }
        }
    }

    pub(crate) fn client_host(&self) -> String {
        format!("/{}", self.connection.peer.ip())
    }
}

/// A client that knows of another leader than this one, in its only epoch, has old news, or news of a cluster that
/// is not this one. -1: it does not say.
pub(crate) fn check_leader_epoch(current: i32) -> Result<(), ResponseError> {
    match current.cmp(&LEADER_EPOCH) {
        _ if current == -1 => Ok(()),
        std::cmp::Ordering::Less => Err(ResponseError::FencedLeaderEpoch),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(ResponseError::UnknownLeaderEpoch),
    }
}

/// A string of the protocol.
pub(crate) fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

/// The error code of a result.
pub(crate) fn code<T>(result: &Result<T, ResponseError>) -> i16 {
    result.as_ref().err().map_or(0, ResponseError::code)
}

/// Begins with a request: `frame` is what follows the length prefix.
pub(crate) fn start(connection: &Connection, mut frame: Bytes) -> Result<Answer, RequestError> {
    if frame.len() < 8 {
        return Err(RequestError::Header);
    }
    let (key, version) = (frame.get_i16(), frame.get_i16());
    let correlation_id = frame.get_i32();
    let mut apis = APIS.iter().zip(&connection.shared.counters.by_api.0);
    let api = apis.find(|(api, _)| api.key as i16 == key);
    let (api, counter) = api.ok_or(RequestError::Unsupported { key, version })?;
    counter.fetch_add(1, Ordering::Relaxed);
    let shared = &connection.shared;
    let grants = match connection.session().grants() {
        Some(grants) => grants,
        None if FOR_ANYBODY.contains(&api.key) => Arc::new(Grants::of(ANYBODY, &[])),
        None => return Err(RequestError::Unknown { key }),
    };
    let mut context = Context {
        shared,
        connection,
        key,
        version,
        correlation_id,
        client_id: String::new(),
        grants,
    };
    if !(api.min..=api.max).contains(&version) {
        if api.key == ApiKey::ApiVersions {
            // A newer client falls back to what this answer, always in version 0, lists.
            context.version = 0;
            let refused = key_18_api_versions::refused();
            return Ok(Answer::Now(Some(encode(&context.stamp(), &refused)?)));
        }
        return Err(RequestError::Unsupported { key, version });
    }
    let flexible = api.key.request_header_version(version) >= 2;
    context.client_id = take_client_id(&mut frame).ok_or(RequestError::Header)?;
    let elements_max = shared.config.request_elements_max;
    let check = |bytes: &[u8], fields| {
        shape::check(bytes, fields, version, flexible, elements_max).map_err(|source| {
            RequestError::Shape {
                key,
                version,
                source,
            }
        })
    };
    if flexible {
        let left =
            shape::skip_tags(&frame, elements_max).map_err(|source| RequestError::Shape {
                key,
                version,
                source,
            })?;
        frame.advance(frame.len() - left);
    }
    check(&frame, api.shape)?;
    (api.handle)(&context, frame)
}

/// The client id is a plain nullable string in every header version.
fn take_client_id(frame: &mut Bytes) -> Option<String> {
    if frame.len() < 2 {
        return None;
    }
    let length = frame.get_i16();
    if length == -1 {
        return Some(String::new());
    }
    let length = usize::try_from(length).ok()?;
    if frame.len() < length {
        return None;
    }
    let bytes = frame.split_to(length);
    std::str::from_utf8(&bytes).ok().map(str::to_owned)
}

/// What an answer needs of its request.
#[derive(Debug, Clone, Copy)]
struct Stamp {
    key: i16,
    version: i16,
    correlation_id: i32,
}

impl Context<'_> {
    fn stamp(&self) -> Stamp {
        Stamp {
            key: self.key,
            version: self.version,
            correlation_id: self.correlation_id,
        }
    }
}

fn run<Q, R>(
    context: &Context<'_>,
    mut body: Bytes,
    handle: fn(&Context<'_>, Q) -> Reply<R>,
) -> Result<Answer, RequestError>
where
    Q: Decodable,
    R: Encodable + HeaderVersion + Send + 'static,
{
    let stamp = context.stamp();
    let request = Q::decode(&mut body, stamp.version).map_err(|error| RequestError::Decode {
        key: stamp.key,
        version: stamp.version,
        reason: error.to_string(),
    })?;
    drop(body);
    Ok(match handle(context, request) {
        Reply::Now(response) => Answer::Now(Some(encode(&stamp, &response)?)),
        Reply::Silent => Answer::Now(None),
        Reply::Later(waiting) => {
            Answer::Later(Box::pin(
                async move { encode(&stamp, &waiting.await).map(Some) },
            ))
        }
    })
}

/// The whole answer with its length prefix.
fn encode<R: Encodable + HeaderVersion>(
    stamp: &Stamp,
    response: &R,
) -> Result<Bytes, RequestError> {
    let Stamp {
        key,
        version,
        correlation_id,
    } = *stamp;
    let failed = |reason: String| RequestError::Encode {
        key,
        version,
        reason,
    };
    let size = response
        .compute_size(version)
        .map_err(|error| failed(error.to_string()))?;
    let mut out = BytesMut::with_capacity(16 + size);
    out.put_u32(0);
    ResponseHeader::default()
        .with_correlation_id(correlation_id)
        .encode(&mut out, R::header_version(version))
        .and_then(|()| response.encode(&mut out, version))
        .map_err(|error| failed(error.to_string()))?;
    let length = u32::try_from(out.len() - 4).map_err(|error| failed(error.to_string()))?;
    out[..4].copy_from_slice(&length.to_be_bytes());
    Ok(out.freeze())
}
