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
use tokio::io::{AsyncReadExt, AsyncWriteExt};
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

pub struct Raw {
    pub stream: TcpStream,
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
        let response = self.call(4, request).await;
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
        let response = self.call(3, request).await;
        response.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
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
        self.call(3, request).await.error_code
    }

    pub async fn add_offsets(&mut self, id: &str, pid: Pid, group: &str) -> i16 {
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(text(id).into())
            .with_producer_id(pid.id.into())
            .with_producer_epoch(pid.epoch)
            .with_group_id(text(group).into());
        self.call(3, request).await.error_code
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
        let sets = RecordBatchDecoder::decode_all(&mut records).expect("decodes");
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
            let Some(last) = fetched.records.last() else {
                return values;
            };
            offset = last.offset + 1;
            values.extend(fetched.values());
        }
    }
}

#[derive(Debug)]
pub struct Fetched {
    pub error_code: i16,
    pub high_watermark: i64,
    pub last_stable: i64,
    pub aborted: Vec<(i64, i64)>,
    pub records: Vec<Record>,
}

impl Fetched {
    /// Without control records and without what was aborted, as consumers do it.
    pub fn values(&self) -> Vec<String> {
        let mut hidden = HashSet::new();
        let mut aborted = self.aborted.clone();
        let mut values = Vec::new();
        for record in &self.records {
            aborted.retain(|(producer, first)| {
                let begun = *first <= record.offset;
                if begun {
                    hidden.insert(*producer);
                }
                !begun
            });
            if record.control {
                hidden.remove(&record.producer_id);
            } else if !(record.transactional && hidden.contains(&record.producer_id)) {
                let value = record.value.as_ref().expect("a value");
                values.push(String::from_utf8(value.to_vec()).expect("text"));
            }
        }
        values
    }
}
