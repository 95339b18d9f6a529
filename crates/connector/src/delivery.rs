//! One reader: get, claim, read back, commit Kafka, commit the queue (`docs/specs/delivery.md`, section 4).

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kafka_client::{
    CALL_TIME_MAX, ClientError, Cluster, TransactionalProducer, is_fenced, is_refused,
};
use queue_manager::Properties;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use telemetry::{Hop, now_micros};
use tracing::{info, warn};
use types::{names, report};

use crate::claim::Identity;
use crate::ibm::Record;
use crate::idlog::{BatchId, Claim, Done, Entry, Since};
use crate::keeper::Dones;
use crate::service::{ConnectorError, ConnectorOptions, Status, Step};
use crate::source::{Incoming, Reader};
use crate::tail::Tail;
use crate::translate::Translated;

/// Least time from one transaction to the next while several messages come in it. A transaction
/// costs a dozen switches between threads, however little is in it.
const BUSY_INTERVAL: Duration = Duration::from_millis(5);
/// The own claim is read back within this, or the batch is given up.
const READ_BACK_MAX: Duration = Duration::from_secs(30);
/// How long a claim of somebody else may stay open while this reader waits for it; then its owner is fenced.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// First and longest pause between two looks at how it ended.
const LOOK: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));
/// A batch is given up when it is not delivered by then: what it needs of the id log is held in memory until then.
const BATCH_AGE_MAX: Duration = Duration::from_secs(60);

/// What a reader shares with the others of its process.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) options: ConnectorOptions,
    pub(crate) cluster: Cluster,
    pub(crate) tail: Arc<Tail>,
    pub(crate) dones: Arc<Dones>,
    pub(crate) hop: Arc<Hop>,
    pub(crate) status: Arc<Status>,
    pub(crate) runtime: tokio::runtime::Handle,
    /// Numbers batches of this process; the upper half says which process.
    pub(crate) batches: Arc<Batches>,
}

/// Makes numbers that no other process makes.
#[derive(Debug)]
pub(crate) struct Batches {
    process: u128,
    next: AtomicU64,
}

impl Batches {
    /// `process` tells this process apart from all that ever wrote to the id log.
    pub(crate) fn new(process: u64) -> Self {
        Self {
            process: u128::from(process) << 64,
            next: AtomicU64::new(1),
        }
    }

    fn make(&self) -> BatchId {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        self.process | u128::from(next)
    }

    /// Whether a reader of this process made it.
    fn is_own(&self, batch: BatchId) -> bool {
        batch >> 64 == self.process >> 64
    }
}

/// What a test may do after each step: end the life, or wait.
pub(crate) type After<'a> = &'a (dyn Fn(Step) -> Result<(), ConnectorError> + Send + Sync);

/// From one connection to the next failure.
pub(crate) struct Delivery<'a> {
    common: &'a Common,
    number: usize,
    owner: Arc<str>,
    /// What it has got and not committed is backed out when it goes.
    reader: Box<dyn Reader>,
    producer: TransactionalProducer,
    after: After<'a>,
}

/// A unit of work: what was got, and since when.
struct Batch {
    messages: Vec<Incoming>,
    since: Since,
    began: Instant,
}

/// A message, and what becomes of it.
struct Outgoing<'b> {
    message: &'b Incoming,
    what: What,
}

/// To which queue, and which message.
type Aside<'b> = (String, &'b Incoming);

enum What {
    /// A record under its account: built as it is sent, nothing is copied before.
    Transaction,
    /// This record.
    Record(Record),
    /// It is dropped.
    Nothing,
}

/// How an attempt to deliver ended.
enum Attempt {
    /// Kafka has it. What has left the queue when that commits too.
    Committed(Done),
    /// Another claim was first: judge again.
    Again,
}

impl<'a> Delivery<'a> {
    /// Fences the earlier self of this reader.
    pub(crate) fn begin(
        common: &'a Common,
        number: usize,
        reader: Box<dyn Reader>,
        after: After<'a>,
    ) -> Result<Self, ConnectorError> {
        let owner: Arc<str> = common.options.owner(number).into();
        let producer = Self::producer(common, &owner)?;
        Ok(Self {
            common,
            number,
            owner,
            reader,
            producer,
            after,
        })
    }

    fn producer(common: &Common, owner: &str) -> Result<TransactionalProducer, ConnectorError> {
        let cluster = &common.cluster;
        let producer = cluster.transactional_producer("daybook-connector", owner)?;
        producer
            .init()
            .map_err(|source| cluster.error("initialise transactions", source))?;
        Ok(producer)
    }

    /// One unit of work, if there is something to do.
    pub(crate) fn step(&mut self) -> Result<(), ConnectorError> {
        let tail = &self.common.tail;
        let since = tail.begin_unit(self.number);
        let result = self.unit(since);
        tail.end_unit(self.number);
        result
    }

    fn unit(&mut self, since: Since) -> Result<(), ConnectorError> {
        let got = self.reader.get_batch(&self.common.options.batch);
        let messages = self.common.runtime.block_on(got)?;
        if messages.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        let batch = Batch {
            messages,
            since,
            began,
        };
        self.deliver(&batch)?;
        if batch.messages.len() > 1 {
            std::thread::sleep(BUSY_INTERVAL.saturating_sub(began.elapsed()));
        }
        Ok(())
    }

    /// Until Kafka has it and the queue has not.
    fn deliver(&mut self, batch: &Batch) -> Result<(), ConnectorError> {
        (self.after)(Step::Got)?;
        self.common.hop.add_in(batch.messages.len() as u64);
        let (outgoing, mut aside) = self.translate(batch)?;
        let mut dones = Vec::new();
        // Parts that are not in Kafka yet, the first one last.
        let mut parts = vec![&outgoing[..]];
        while let Some(part) = parts.pop() {
            match (self.deliver_part(batch, part), part) {
                (Ok(done), _) => dones.push(done),
                (Err(ConnectorError::Refused(error)), [one]) => {
                    aside.push((self.refused(one.message, error)?, one.message));
                }
                // Kafka does not say which of them.
                (Err(ConnectorError::Refused(_)), _) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                (Err(error), _) => return Err(error),
            }
        }
        (self.after)(Step::KafkaCommitted)?;
        let common = self.common;
        for (queue, message) in aside {
            // No claim has it: it is got and put in one unit of work, or comes again.
            common.runtime.block_on(self.reader.put(&queue, message))?;
        }
        common.runtime.block_on(self.reader.commit())?;
        for done in &dones {
            common.tail.left(done.batch);
        }
        (self.after)(Step::QueueCommitted)?;
        for done in dones {
            common.dones.add(done);
        }
        let messages = batch.messages.len() as u64;
        common
            .status
            .delivered
            .fetch_add(messages, Ordering::Relaxed);
        Ok(())
    }

    /// Until Kafka has this part of a unit of work, under a claim of its own.
    fn deliver_part(
        &mut self,
        batch: &Batch,
        part: &[Outgoing<'_>],
    ) -> Result<Done, ConnectorError> {
        loop {
            if batch.began.elapsed() > BATCH_AGE_MAX {
                return Err(ConnectorError::BatchAge {
                    seconds: BATCH_AGE_MAX.as_secs(),
                });
            }
            match self.attempt(batch, part)? {
                Attempt::Committed(done) => return Ok(done),
                Attempt::Again => {}
            }
        }
    }

    /// Where a message goes whose record Kafka does not take.
    fn refused(&self, message: &Incoming, error: ClientError) -> Result<String, ConnectorError> {
        let options = &self.common.options;
        let Some(aside) = &options.refused_queue else {
            return Err(ConnectorError::Refused(error));
        };
        warn!(
            queue = options.queue,
            message = %message.msg_id,
            bytes = message.body.len(),
            aside,
            reason = report(&error),
            "Kafka refuses a record; its message is put aside"
        );
        self.common.hop.add_quarantined(1);
        Ok(aside.clone())
    }

    /// What goes to Kafka, and which messages go to which queue.
    fn translate<'b>(
        &self,
        batch: &'b Batch,
    ) -> Result<(Vec<Outgoing<'b>>, Vec<Aside<'b>>), ConnectorError> {
        let options = &self.common.options;
        let mut outgoing = Vec::with_capacity(batch.messages.len());
        let mut aside = Vec::new();
        for message in &batch.messages {
            let what = match &options.records {
                None => What::Transaction,
                Some(records) => match records.translate(&options.queue, message) {
                    Ok(Translated::Record(record)) => What::Record(record),
                    Ok(Translated::Nothing) => What::Nothing,
                    Ok(Translated::Aside(queue)) => {
                        aside.push((queue, message));
                        continue;
                    }
                    Err(source) => {
                        return Err(ConnectorError::Poison {
                            queue: options.queue.clone(),
                            source,
                        });
                    }
                },
            };
            outgoing.push(Outgoing { message, what });
        }
        Ok((outgoing, aside))
    }

    fn attempt(
        &mut self,
        batch: &Batch,
        outgoing: &[Outgoing<'_>],
    ) -> Result<Attempt, ConnectorError> {
        let common = self.common;
        let identities = outgoing.iter().map(|one| &one.message.identity);
        let judged = common.tail.judge(identities.enumerate(), None, batch.since);
        let mut done = Done {
            batch: common.batches.make(),
            discarded: Vec::new(),
        };
        let mut taken = HashSet::new();
        let mut unproven = Vec::new();
        for found in judged.taken {
            taken.insert(found.index);
            done.discarded.push(found.by);
            if let Some(one) = outgoing.get(found.index)
                && !found.proven
            {
                unproven.push(one.message);
            }
        }
        let all = outgoing.iter().enumerate();
        let new: Vec<&Outgoing<'_>> = all
            .filter(|(index, _)| !taken.contains(index))
            .map(|(_, one)| one)
            .collect();
        if new.is_empty() && unproven.is_empty() {
            self.tell_discarded(taken.len());
            return Ok(Attempt::Committed(done));
        }
        if !self.transaction(batch, &new, &unproven, done.batch)? {
            return Ok(Attempt::Again);
        }
        self.tell_discarded(taken.len());
        self.observe(&new);
        Ok(Attempt::Committed(done))
    }

    fn tell_discarded(&self, discarded: usize) {
        if discarded > 0 {
            info!(discarded, "messages came again that were delivered already");
            self.common.hop.add_duplicates(discarded as u64);
        }
    }

    /// One Kafka transaction: the claim and the records. `false`: another claim was first, and it is aborted.
    fn transaction(
        &mut self,
        batch: &Batch,
        new: &[&Outgoing<'_>],
        unproven: &[&Incoming],
        number: BatchId,
    ) -> Result<bool, ConnectorError> {
        let common = self.common;
        self.producer
            .begin()
            .map_err(|error| self.failed("begin a transaction", error))?;
        let riding = match new.is_empty() {
            true => Vec::new(),
            false => self.claim(new, number)?,
        };
        let produced = self
            .produce(new, unproven)
            .and_then(|()| (self.after)(Step::Produced));
        let judged = match (&produced, new.is_empty()) {
            (Err(_), _) => Ok(false),
            // Only what is written for the record: no claim to read back.
            (Ok(()), true) => Ok(true),
            (Ok(()), false) => self.read_back(batch, new, number).and_then(|is_first| {
                if is_first {
                    // A record that is refused is known before anything is decided.
                    let arrived = self.producer.arrive();
                    arrived.map_err(|error| self.failed("produce", error))?;
                    (self.after)(Step::ReadBack)?;
                }
                Ok(is_first)
            }),
        };
        // What rode along is in the log with the claim; where that is not sure, it is said again.
        if !common.tail.knows(number) {
            common.dones.put_back(riding);
        }
        match (produced, judged) {
            (Ok(()), Ok(true)) => {}
            (Ok(()), Ok(false)) => {
                self.producer
                    .abort()
                    .map_err(|error| self.failed("abort a transaction", error))?;
                common.tail.decide(number, false);
                return Ok(false);
            }
            (Err(error), _) | (_, Err(error)) => {
                // Nothing was decided yet: whoever comes next ends it, or its time-out.
                if let Err(aborted) = self.producer.abort() {
                    warn!(error = %aborted, "a transaction is left to its time-out");
                }
                // Its end was never sent, so it cannot be committed.
                common.tail.decide(number, false);
                return Err(error);
            }
        }
        let is_committed = match self.producer.commit() {
            Ok(()) => true,
            Err(error) if new.is_empty() => return Err(self.failed("commit a transaction", error)),
            Err(error) => {
                warn!(error = %error, "how a transaction ended is not known; the log says it");
                self.outcome(number)?
            }
        };
        common.tail.decide(number, is_committed);
        Ok(is_committed)
    }

    /// Sends the claim, and what has left the queue before; returns the latter.
    fn claim(&self, new: &[&Outgoing<'_>], number: BatchId) -> Result<Vec<Done>, ConnectorError> {
        let riding = self.common.dones.take();
        let claim = Claim {
            batch: number,
            owner: Arc::clone(&self.owner),
            at_ms: now_micros() / 1_000,
            identities: new.iter().map(|one| one.message.identity).collect(),
        };
        let entry = Entry::Claim {
            claim,
            done: riding.clone(),
        };
        let sent = self.send(&self.common.options.id_log, &[], &entry.encode(), None);
        if let Err(error) = sent {
            self.common.dones.put_back(riding);
            return Err(error);
        }
        Ok(riding)
    }

    fn produce(&self, new: &[&Outgoing<'_>], unproven: &[&Incoming]) -> Result<(), ConnectorError> {
        for one in new {
            match &one.what {
                What::Transaction => self.produce_transaction(one.message)?,
                What::Record(record) => self.produce_record(record)?,
                What::Nothing => {}
            }
        }
        for message in unproven {
            // It looks like one that was delivered, and nothing proves that it is: it must not be lost.
            let headers = Some(headers(message, &message.properties));
            self.send(names::TOPIC_DISCARDED, &[], &message.body, headers)?;
        }
        Ok(())
    }

    fn produce_transaction(&self, message: &Incoming) -> Result<(), ConnectorError> {
        let opened = message.opened();
        let properties = opened.properties.as_ref().unwrap_or(&message.properties);
        let account = match properties.key.is_empty() {
            true => account_of(&opened.bytes),
            false => None,
        };
        let key = match &account {
            Some(account) => account.as_bytes(),
            None => &properties.key,
        };
        let headers = Some(headers(message, properties));
        self.send(&self.common.options.topic, key, &opened.bytes, headers)
    }

    fn produce_record(&self, record: &Record) -> Result<(), ConnectorError> {
        let headers = match record.headers.is_empty() {
            true => None,
            false => {
                let headers = OwnedHeaders::new_with_capacity(record.headers.len());
                let all = record.headers.iter();
                Some(all.fold(headers, |headers, (key, value)| {
                    headers.insert(Header {
                        key,
                        value: value.as_deref(),
                    })
                }))
            }
        };
        self.common.status.wrote_to(&record.topic);
        let sent = self.producer.send_at(
            &record.topic,
            record.key.as_deref(),
            record.value.as_deref(),
            headers,
            record.timestamp,
        );
        sent.map_err(|error| self.failed("produce", error))
    }

    /// Waits until the own claim was read, and everything before it is decided that concerns it. Whether nobody
    /// else has delivered any of it.
    fn read_back(
        &self,
        batch: &Batch,
        new: &[&Outgoing<'_>],
        number: BatchId,
    ) -> Result<bool, ConnectorError> {
        let tail = &self.common.tail;
        let own = tail.wait_for(number, READ_BACK_MAX)?;
        let waiting = Instant::now();
        let mut pause = LOOK.0;
        let mut fenced = HashSet::new();
        loop {
            let identities: Vec<(usize, &Identity)> = new
                .iter()
                .map(|one| &one.message.identity)
                .enumerate()
                .collect();
            let judged = tail.judge(identities.into_iter(), Some(own), batch.since);
            if !judged.taken.is_empty() {
                return Ok(false);
            }
            let Some(first) = judged.undecided.iter().min().copied() else {
                return Ok(true);
            };
            if batch.began.elapsed() > BATCH_AGE_MAX {
                return Err(ConnectorError::BatchAge {
                    seconds: BATCH_AGE_MAX.as_secs(),
                });
            }
            let stable = tail.learn_outcomes(first)?;
            if stable > first {
                // It is decided now, perhaps others are not.
                continue;
            }
            // What is open and keeps the outcome from being seen lies at the stable offset or behind it.
            if waiting.elapsed() > PATIENCE
                && let Some((offset, other, owner)) = tail.first_undecided(stable.min(first))
                && offset < own
                && fenced.insert(other)
            {
                self.fence(other, &owner)?;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LOOK.1);
        }
    }

    /// Ends a transaction that somebody else has left open, or is too slow to end.
    fn fence(&self, batch: BatchId, owner: &str) -> Result<(), ConnectorError> {
        if owner.is_empty() || owner == &*self.owner {
            return Ok(());
        }
        let is_own = self.common.batches.is_own(batch);
        warn!(
            owner,
            is_own, "fences a reader whose transaction is in the way"
        );
        let cluster = &self.common.cluster;
        let producer = cluster.transactional_producer("daybook-connector-fence", owner)?;
        producer.init().map_err(|source| {
            cluster
                .error("end another reader's transaction", source)
                .into()
        })
    }

    /// How an own transaction ended whose end was not answered: its marker in the log says it.
    fn outcome(&mut self, number: BatchId) -> Result<bool, ConnectorError> {
        // Decides it if it is open, and is needed to go on in any case.
        let deadline = Instant::now() + BATCH_AGE_MAX;
        let tail = Arc::clone(&self.common.tail);
        let own = tail.wait_for(number, CALL_TIME_MAX)?;
        loop {
            let fenced = Self::producer(self.common, &self.owner);
            let looked = fenced.and_then(|producer| {
                self.producer = producer;
                tail.learn_outcomes(own)
            });
            match looked {
                Ok(stable) if stable > own => return Ok(tail.knows(number)),
                Ok(_) => {}
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(error) => {
                    warn!(error = report(&error), "asks again how a transaction ended");
                }
            }
            if Instant::now() > deadline {
                return Err(ConnectorError::BatchAge {
                    seconds: BATCH_AGE_MAX.as_secs(),
                });
            }
            std::thread::sleep(LOOK.1);
        }
    }

    fn send(
        &self,
        topic: &str,
        key: &[u8],
        value: &[u8],
        headers: Option<OwnedHeaders>,
    ) -> Result<(), ConnectorError> {
        let sent = self.producer.send(topic, key, Some(value), headers);
        sent.map_err(|error| self.failed("produce", error))
    }

    fn failed(&self, what: &str, error: KafkaError) -> ConnectorError {
        if is_fenced(&error) {
            return ConnectorError::Fenced {
                transactional_id: self.owner.to_string(),
            };
        }
        let is_refused = is_refused(&error);
        let error = self.common.cluster.error(what, error);
        match is_refused {
            true => ConnectorError::Refused(error),
            false => error.into(),
        }
    }

    fn observe(&self, new: &[&Outgoing<'_>]) {
        let now = now_micros();
        let hop = &self.common.hop;
        hop.add_out(new.len() as u64);
        let shared = |one: &Outgoing<'_>| Arc::clone(&one.message.properties.shared);
        for run in new.chunk_by(|a, b| Arc::ptr_eq(&shared(a), &shared(b))) {
            if let Some(first) = run.first() {
                hop.observe(received_at(first.message), now, run.len() as u64);
            }
        }
    }
}

/// `id`, `traceparent`, `received_at` (DESIGN §3). A message somebody else put has no such
/// properties: its id is the MsgId, its time the put time.
fn headers(message: &Incoming, properties: &Properties) -> OwnedHeaders {
    let headers = OwnedHeaders::new_with_capacity(3);
    let headers = match properties.id.is_empty() {
        false => headers.insert(Header {
            key: names::HEADER_ID,
            value: Some(&properties.id[..]),
        }),
        true => {
            let id = message.msg_id.to_string();
            headers.insert(Header {
                key: names::HEADER_ID,
                value: Some(&id),
            })
        }
    };
    let headers = match properties.get(names::HEADER_TRACEPARENT) {
        Some(trace) => headers.insert(Header {
            key: names::HEADER_TRACEPARENT,
            value: Some(trace),
        }),
        None => headers,
    };
    match properties.get(names::HEADER_RECEIVED_AT) {
        Some(received) => headers.insert(Header {
            key: names::HEADER_RECEIVED_AT,
            value: Some(received),
        }),
        None => {
            let put_time = message.put_time.to_string();
            headers.insert(Header {
                key: names::HEADER_RECEIVED_AT,
                value: Some(&put_time),
            })
        }
    }
}

fn received_at(message: &Incoming) -> i64 {
    let received = message.properties.get(names::HEADER_RECEIVED_AT);
    received
        .and_then(|text| text.parse().ok())
        .unwrap_or(message.put_time)
}

/// The record key: the field `account` of a JSON object, else none.
fn account_of(body: &[u8]) -> Option<Cow<'_, str>> {
    #[derive(serde::Deserialize)]
    struct Keyed<'a> {
        #[serde(borrow)]
        account: Cow<'a, str>,
    }
    serde_json::from_slice::<Keyed<'_>>(body)
        .ok()
        .map(|keyed| keyed.account)
}
