//! A client that says exactly what it is told to, right or wrong.

use std::collections::HashSet;
use std::net::SocketAddr;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_broker::Broker;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, FetchRequest,
    InitProducerIdRequest, OffsetCommitRequest, OffsetFetchRequest, ProduceRequest, RequestHeader,
    ResponseHeader, TopicName, TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use kafka_protocol::records::{
    Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

pub fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

pub fn name(value: &str) -> TopicName {
    TopicName(text(value))
}

/// Who produces, and with which sequence next.
#[derive(Debug, Clone, Copy)]
pub struct Pid {
    pub id: i64,
    pub epoch: i16,
}

pub const NOBODY: Pid = Pid { id: -1, epoch: -1 };

pub fn batch(pid: Pid, sequence: i32, transactional: bool, values: &[&str]) -> Bytes {
    let records = values.iter().enumerate().map(|(index, value)| Record {
        transactional,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: pid.id,
        producer_epoch: pid.epoch,
        timestamp_type: TimestampType::Creation,
        offset: index as i64,
        // The encoder begins a new batch where sequences and offsets go apart.
        sequence: if pid.id < 0 { -1 } else { sequence } + index as i32,
        timestamp: 1_000 + index as i64,
        key: None,
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        headers: Default::default(),
    });
    let records: Vec<Record> = records.collect();
    let mut out = BytesMut::new();
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    RecordBatchEncoder::encode(&mut out, records.iter(), &options).expect("encodes");
    out.freeze()
}

/// A transactional batch of records with keys.
pub fn keyed_batch(pid: Pid, sequence: i32, records: &[(&str, &str)]) -> Bytes {
    let records = records.iter().enumerate();
    let records = records.map(|(index, (key, value))| Record {
        transactional: true,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: pid.id,
        producer_epoch: pid.epoch,
        timestamp_type: TimestampType::Creation,
        offset: index as i64,
        sequence: sequence + index as i32,
        timestamp: 1_000 + index as i64,
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        headers: Default::default(),
    });
    let records: Vec<Record> = records.collect();
    let mut out = BytesMut::new();
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    RecordBatchEncoder::encode(&mut out, records.iter(), &options).expect("encodes");
    out.freeze()
}

/// A plain batch of records: key, value, timestamp.
pub fn records(records: &[(Option<&str>, Option<&str>, i64)]) -> Bytes {
    encode(records, Compression::None)
}

/// The same, with the values that a codec makes of it.
pub fn encode(records: &[(Option<&str>, Option<&str>, i64)], compression: Compression) -> Bytes {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let records = records.iter().enumerate();
    let records = records.map(|(index, (key, value, timestamp))| Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset: index as i64,
        sequence: index as i32 - 1,
        timestamp: *timestamp,
        key: key.map(bytes),
        value: value.map(bytes),
        headers: Default::default(),
    });
    let records: Vec<Record> = records.collect();
    let options = RecordEncodeOptions {
        version: 2,
        compression,
    };
    let mut out = BytesMut::new();
    RecordBatchEncoder::encode_with_custom_compression(
        &mut out,
        records.iter(),
        &options,
        Some(compress),
    )
    .expect("encodes");
    out.freeze()
}

fn compress(
    from: &mut BytesMut,
    to: &mut BytesMut,
    compression: Compression,
) -> anyhow::Result<()> {
    use std::io::Write;
    let packed = match compression {
        Compression::None => from.to_vec(),
        Compression::Gzip => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(from)?;
            gzip.finish()?
        }
        Compression::Snappy => snap::raw::Encoder::new().compress_vec(from)?,
        Compression::Lz4 => {
            let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
            lz4.write_all(from)?;
            lz4.finish()?
        }
        Compression::Zstd => zstd::encode_all(&from[..], 1)?,
    };
    to.extend_from_slice(&packed);
    Ok(())
}

/// Whatever codec a batch was packed with.
pub fn decompress(from: &mut Bytes, compression: Compression) -> anyhow::Result<Bytes> {
    use std::io::Read;
    let mut unpacked = Vec::new();
    match compression {
        Compression::None => unpacked.extend_from_slice(from),
        Compression::Gzip => {
            flate2::read::MultiGzDecoder::new(&from[..]).read_to_end(&mut unpacked)?;
        }
        Compression::Snappy => unpacked = snap::raw::Decoder::new().decompress_vec(from)?,
        Compression::Lz4 => {
            lz4_flex::frame::FrameDecoder::new(&from[..]).read_to_end(&mut unpacked)?;
        }
        Compression::Zstd => unpacked = zstd::decode_all(&from[..])?,
    }
    Ok(Bytes::from(unpacked))
}

pub fn frame<Q: Request>(version: i16, correlation_id: i32, request: &Q) -> Bytes {
    let header = RequestHeader::default()
        .with_request_api_key(Q::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(text("raw")));
    let mut out = BytesMut::new();
    out.put_u32(0);
    header
        .encode(&mut out, Q::header_version(version))
        .expect("encodes");
    request.encode(&mut out, version).expect("encodes");
    let length = (out.len() - 4) as u32;
    out[..4].copy_from_slice(&length.to_be_bytes());
    out.freeze()
}

/// A cluster's coordinator may still be busy, with a transaction's markers above all. The embedded one never is.
async fn is_busy(code: i16) -> bool {
    use kafka_protocol::ResponseError as E;
    let busy = [
        E::ConcurrentTransactions,
        E::CoordinatorLoadInProgress,
        E::CoordinatorNotAvailable,
        E::NotCoordinator,
    ];
    let busy = busy.iter().any(|error| error.code() == code);
    if busy {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    busy
}

pub struct Raw<S = TcpStream> {
    pub stream: S,
    next: i32,
}

impl Raw {
    pub async fn connect(broker: &Broker) -> Raw {
        Self::to(broker.local_addr()).await
    }

    pub async fn to(address: SocketAddr) -> Raw {
        Raw {
            stream: TcpStream::connect(address).await.expect("connects"),
            next: 0,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    /// Over a connection that is there already.
    pub fn over(stream: S) -> Raw<S> {
        Raw { stream, next: 0 }
    }

    /// One answer without its length; `None` when the broker closes.
    pub async fn answer(&mut self) -> Option<Bytes> {
        let length = self.stream.read_u32().await.ok()?;
        let mut bytes = vec![0; length as usize];
        self.stream.read_exact(&mut bytes).await.ok()?;
        Some(Bytes::from(bytes))
    }

    pub async fn call<Q: Request>(&mut self, version: i16, request: Q) -> Q::Response {
        self.next += 1;
        let bytes = frame(version, self.next, &request);
        self.stream.write_all(&bytes).await.expect("sent");
        self.stream.flush().await.expect("sent");
        let answer = tokio::time::timeout(super::PATIENCE, self.answer()).await;
        let mut answer = answer.expect("in time").expect("an answer");
        let header = ResponseHeader::decode(&mut answer, Q::Response::header_version(version));
        assert_eq!(header.expect("a header").correlation_id, self.next);
        let response = Q::Response::decode(&mut answer, version).expect("decodes");
        assert_eq!(answer.remaining(), 0, "bytes behind the answer");
        response
    }

    pub async fn init(&mut self, id: &str, timeout_ms: i32) -> Pid {
        let request = InitProducerIdRequest::default()
            .with_transactional_id((!id.is_empty()).then(|| text(id).into()))
            .with_transaction_timeout_ms(timeout_ms)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1);
        let response = loop {
            let response = self.call(4, request.clone()).await;
            if !is_busy(response.error_code).await {
                break response;
            }
        };
        assert_eq!(response.error_code, 0);
        Pid {
            id: response.producer_id.0,
            epoch: response.producer_epoch,
        }
    }

    pub async fn add(&mut self, id: &str, pid: Pid, topic: &str, partitions: &[i32]) -> i16 {
        let topic = AddPartitionsToTxnTopic::default()
            .with_name(name(topic))
            .with_partitions(partitions.to_vec());
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(text(id).into())
            .with_v3_and_below_producer_id(pid.id.into())
            .with_v3_and_below_producer_epoch(pid.epoch)
            .with_v3_and_below_topics(vec![topic]);
        loop {
            let response = self.call(3, request.clone()).await;
            let answers = &response.results_by_topic_v3_and_below[0].results_by_partition;
            let first = answers.iter().min_by_key(|answer| answer.partition_index);
            let code = first.expect("an answer").partition_error_code;
            if !is_busy(code).await {
                return code;
            }
        }
    }

    pub async fn produce(
        &mut self,
        id: Option<&str>,
        topic: &str,
        partition: i32,
        batch: Bytes,
    ) -> (i16, i64) {
        let data = PartitionProduceData::default()
            .with_index(partition)
            .with_records(Some(batch));
        let topic = TopicProduceData::default()
            .with_name(name(topic))
            .with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_transactional_id(id.map(|id| text(id).into()))
            .with_acks(-1)
            .with_timeout_ms(1_000)
            .with_topic_data(vec![topic]);
        let response = self.call(9, request).await;
        let answer = &response.responses[0].partition_responses[0];
        (answer.error_code, answer.base_offset)
    }

    pub async fn end(&mut self, id: &str, pid: Pid, committed: bool) -> i16 {
        let request = EndTxnRequest::default()
            .with_transactional_id(text(id).into())
            .with_producer_id(pid.id.into())
            .with_producer_epoch(pid.epoch)
            .with_committed(committed);
        loop {
            let code = self.call(3, request.clone()).await.error_code;
            if !is_busy(code).await {
                return code;
            }
        }
    }

    pub async fn add_offsets(&mut self, id: &str, pid: Pid, group: &str) -> i16 {
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(text(id).into())
            .with_producer_id(pid.id.into())
            .with_producer_epoch(pid.epoch)
            .with_group_id(text(group).into());
        loop {
            let code = self.call(3, request.clone()).await.error_code;
            if !is_busy(code).await {
                return code;
            }
        }
    }

    pub async fn txn_commit(
        &mut self,
        id: &str,
        pid: Pid,
        group: &str,
        topic: &str,
        offset: i64,
    ) -> i16 {
        let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(offset);
        let topic = TxnOffsetCommitRequestTopic::default()
            .with_name(name(topic))
            .with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(text(id).into())
            .with_producer_id(pid.id.into())
            .with_producer_epoch(pid.epoch)
            .with_group_id(text(group).into())
            .with_generation_id(-1)
            .with_topics(vec![topic]);
        self.call(3, request).await.topics[0].partitions[0].error_code
    }

    pub async fn commit(&mut self, group: &str, topic: &str, offset: i64) -> i16 {
        let partition = OffsetCommitRequestPartition::default().with_committed_offset(offset);
        let topic = OffsetCommitRequestTopic::default()
            .with_name(name(topic))
            .with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(text(group).into())
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![topic]);
        self.call(8, request).await.topics[0].partitions[0].error_code
    }

    /// Error code and offset of partition 0, stable only.
    pub async fn committed(&mut self, group: &str, topic: &str) -> (i16, i64) {
        let topic = OffsetFetchRequestTopic::default()
            .with_name(name(topic))
            .with_partition_indexes(vec![0]);
        let request = OffsetFetchRequest::default()
            .with_group_id(text(group).into())
            .with_require_stable(true)
            .with_topics(Some(vec![topic]));
        let response = self.call(7, request).await;
        let answer = &response.topics[0].partitions[0];
        (answer.error_code, answer.committed_offset)
    }

    pub async fn fetch(
        &mut self,
        topic: &str,
        partition: i32,
        offset: i64,
        committed: bool,
        wait_ms: i32,
    ) -> Fetched {
        let wish = FetchPartition::default()
            .with_partition(partition)
            .with_fetch_offset(offset)
            .with_partition_max_bytes(1 << 20);
        let topic = FetchTopic::default()
            .with_topic(name(topic))
            .with_partitions(vec![wish]);
        let request = FetchRequest::default()
            .with_max_wait_ms(wait_ms)
            .with_min_bytes(1)
            .with_max_bytes(1 << 20)
            .with_isolation_level(i8::from(committed))
            .with_session_epoch(-1)
            .with_topics(vec![topic]);
        let response = self.call(12, request).await;
        let answer = &response.responses[0].partitions[0];
        let mut records = answer.records.clone().unwrap_or_default();
        let bytes = records.len();
        let next = next_offset(&records).unwrap_or(offset);
        let mut sets = Vec::new();
        while records.has_remaining() {
            let set =
                RecordBatchDecoder::decode_with_custom_compression(&mut records, Some(decompress));
            sets.push(set.expect("decodes"));
        }
        let aborted = answer.aborted_transactions.clone().unwrap_or_default();
        let aborted = aborted
            .iter()
            .map(|one| (one.producer_id.0, one.first_offset))
            .collect();
        let records = sets.into_iter().flat_map(|set| set.records).collect();
        Fetched {
            error_code: answer.error_code,
            high_watermark: answer.high_watermark,
            last_stable: answer.last_stable_offset,
            log_start: answer.log_start_offset,
            bytes,
            next,
            aborted,
            records,
        }
    }

    /// All values of a partition as a consumer of that isolation shows them.
    pub async fn read(&mut self, topic: &str, partition: i32, committed: bool) -> Vec<String> {
        let mut values = Vec::new();
        let mut offset = 0;
        loop {
            let fetched = self.fetch(topic, partition, offset, committed, 0).await;
            assert_eq!(fetched.error_code, 0);
            if fetched.bytes == 0 {
                return values;
            }
            offset = fetched.next;
            values.extend(fetched.values());
        }
    }
}

/// Behind the last of these batches.
fn next_offset(mut batches: &[u8]) -> Option<i64> {
    let mut next = None;
    while let (Some(base), Some(length), Some(delta)) =
        (batches.get(..8), batches.get(8..12), batches.get(23..27))
    {
        let base = i64::from_be_bytes(base.try_into().expect("eight"));
        let delta = i32::from_be_bytes(delta.try_into().expect("four"));
        let length = u32::from_be_bytes(length.try_into().expect("four"));
        next = Some(base + i64::from(delta) + 1);
        batches = batches.get(12 + length as usize..)?;
    }
    next
}

#[derive(Debug)]
pub struct Fetched {
    pub error_code: i16,
    pub high_watermark: i64,
    pub last_stable: i64,
    pub log_start: i64,
    /// Of all batches of the answer.
    pub bytes: usize,
    /// Behind the last batch, whose last records compaction may have taken away.
    pub next: i64,
    pub aborted: Vec<(i64, i64)>,
    pub records: Vec<Record>,
}

impl Fetched {
    /// Without control records and without what was aborted, as consumers do it.
    pub fn values(&self) -> Vec<String> {
        let visible = self.visible().into_iter();
        let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).expect("text");
        visible
            .map(|record| text(record.value.as_ref().expect("a value")))
            .collect()
    }

    /// Keys and values, of the same records.
    pub fn pairs(&self) -> Vec<(String, Option<String>)> {
        let visible = self.visible().into_iter();
        let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).expect("text");
        let pairs = visible.map(|record| {
            let key = text(record.key.as_ref().expect("a key"));
            (key, record.value.as_ref().map(text))
        });
        pairs.collect()
    }

    fn visible(&self) -> Vec<&Record> {
        let mut hidden = HashSet::new();
        let mut aborted = self.aborted.clone();
        let mut visible = Vec::new();
        for record in &self.records {
            aborted.retain(|(producer, first)| {
                let begun = *first <= record.offset;
                if begun {
                    hidden.insert(*producer);
                }
                !begun
            });
            if record.control {
                // Its first field behind the version: 0 aborts. A commit ends nothing that was aborted.
                if record.key.as_ref().is_some_and(|key| key[2..] == [0, 0]) {
                    hidden.remove(&record.producer_id);
                }
            } else if !(record.transactional && hidden.contains(&record.producer_id)) {
                visible.push(record);
            }
        }
        visible
    }
}
