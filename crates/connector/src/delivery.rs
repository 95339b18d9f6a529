//! One reader: get, claim, read back, commit Kafka, commit the queue (`docs/specs/delivery.md`, section 4).

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka_client::{CALL_TIME_MAX, Cluster, TransactionalProducer, is_fenced};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use telemetry::{Hop, now_micros};
use tracing::{info, warn};
use types::names;

use crate::claim::Identity;
use crate::idlog::{BatchId, Claim, Done, Entry, Since};
use crate::keeper::Dones;
use crate::service::{ConnectorError, ConnectorOptions, Step};
use crate::source::{Incoming, Reader};
use crate::tail::Tail;

/// How long a get waits for a first message; also how soon a stop is noticed.
const GET_WAIT: Duration = Duration::from_millis(100);
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
    pub(crate) runtime: tokio::runtime::Handle,
    /// Numbers batches of this process; the upper half says which process.
    pub(crate) batches: Arc<Batches>,
}

/// Makes numbers that no other process makes.
#[derive(Debug)]
pub(crate) struct Batches {
    process: u128,
    next: std::sync::atomic::AtomicU64,
}

impl Batches {
    /// `process` tells this process apart from all that ever wrote to the id log.
    pub(crate) fn new(process: u64) -> Self {
        Self {
            process: u128::from(process) << 64,
            next: std::sync::atomic::AtomicU64::new(1),
        }
    }

    fn make(&self) -> BatchId {
        let next = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
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

    /// One unit of work. Whether there was something to do.
    pub(crate) fn step(&mut self) -> Result<bool, ConnectorError> {
        let common = self.common;
        let since = common.tail.begin_unit(self.number);
        let got = self.get();
        let result = match got {
            Ok(messages) if messages.is_empty() => Ok(false),
            Ok(messages) => {
                let began = Instant::now();
                let batch = Batch {
                    messages,
                    since,
                    began,
                };
                let several = batch.messages.len() > 1;
                let result = self.deliver(&batch);
                if result.is_ok() && several {
                    std::thread::sleep(BUSY_INTERVAL.saturating_sub(began.elapsed()));
                }
                result.map(|()| true)
            }
            Err(error) => Err(error),
        };
        common.tail.end_unit(self.number);
        result
    }

    fn get(&mut self) -> Result<Vec<Incoming>, ConnectorError> {
        let options = &self.common.options;
        let got = self.reader.get_batch(
            GET_WAIT,
            options.batch_messages_max,
            options.batch_bytes_max,
        );
        Ok(self.common.runtime.block_on(got)?)
    }

    /// Until Kafka has it and the queue has not.
    fn deliver(&mut self, batch: &Batch) -> Result<(), ConnectorError> {
        (self.after)(Step::Got)?;
        self.common.hop.add_in(batch.messages.len() as u64);
        let done = loop {
            if batch.began.elapsed() > BATCH_AGE_MAX {
                return Err(ConnectorError::BatchAge {
                    seconds: BATCH_AGE_MAX.as_secs(),
                });
            }
            match self.attempt(batch)? {
                Attempt::Committed(done) => break done,
                Attempt::Again => {}
            }
        };
        (self.after)(Step::KafkaCommitted)?;
        self.common.runtime.block_on(self.reader.commit())?;
        self.common.tail.left(done.batch);
        (self.after)(Step::QueueCommitted)?;
        self.common.dones.add(done);
        Ok(())
    }

    fn attempt(&mut self, batch: &Batch) -> Result<Attempt, ConnectorError> {
        let common = self.common;
        let identities = batch.messages.iter().map(|message| &message.identity);
        let judged = common.tail.judge(identities.enumerate(), None, batch.since);
        let mut done = Done::default();
        let mut taken = HashSet::new();
        let mut unproven = Vec::new();
        for found in judged.taken {
            taken.insert(found.index);
            done.discarded.push(found.by);
            if let Some(message) = batch.messages.get(found.index)
                && !found.proven
            {
                unproven.push(message);
            }
        }
        let all = batch.messages.iter().enumerate();
        let new: Vec<&Incoming> = all
            .filter(|(index, _)| !taken.contains(index))
            .map(|(_, message)| message)
            .collect();
        if new.is_empty() && unproven.is_empty() {
            self.tell_discarded(taken.len());
            return Ok(Attempt::Committed(done));
        }
        done.batch = common.batches.make();
        match self.transaction(batch, &new, &unproven, done.batch) {
            Ok(true) => {
                self.tell_discarded(taken.len());
                self.observe(&new);
                Ok(Attempt::Committed(done))
            }
            Ok(false) => Ok(Attempt::Again),
            Err(error) => Err(error),
        }
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
        new: &[&Incoming],
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
                    (self.after)(Step::ReadBack)?;
                }
                Ok(is_first)
            }),
        };
        if common.tail.knows(number) || new.is_empty() {
            // The claim is in the log, and with it what rode along.
        } else {
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
    fn claim(&self, new: &[&Incoming], number: BatchId) -> Result<Vec<Done>, ConnectorError> {
        let riding = self.common.dones.take();
        let claim = Claim {
            batch: number,
            owner: Arc::clone(&self.owner),
            at_ms: now_micros() / 1_000,
            identities: new.iter().map(|message| message.identity).collect(),
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

    fn produce(&self, new: &[&Incoming], unproven: &[&Incoming]) -> Result<(), ConnectorError> {
        for message in new {
            let account = match message.properties.key.is_empty() {
                true => account_of(&message.body),
                false => None,
            };
            let key = match &account {
                Some(account) => account.as_bytes(),
                None => &message.properties.key,
            };
            let headers = Some(headers(message));
            self.send(&self.common.options.topic, key, &message.body, headers)?;
        }
        for message in unproven {
            // It looks like one that was delivered, and nothing proves that it is: it must not be lost.
            let headers = Some(headers(message));
            self.send(names::TOPIC_DISCARDED, &[], &message.body, headers)?;
        }
        Ok(())
    }

    /// Waits until the own claim was read, and everything before it is decided that concerns it. Whether nobody
    /// else has delivered any of it.
    fn read_back(
        &self,
        batch: &Batch,
        new: &[&Incoming],
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
                .map(|message| &message.identity)
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
                    warn!(
                        error = types::report(&error),
                        "asks again how a transaction ended"
                    );
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
        self.common.cluster.error(what, error).into()
    }

    fn observe(&self, messages: &[&Incoming]) {
        let now = now_micros();
        let hop = &self.common.hop;
        hop.add_out(messages.len() as u64);
        for run in messages.chunk_by(|a, b| Arc::ptr_eq(&a.properties.shared, &b.properties.shared))
        {
            if let Some(first) = run.first() {
                hop.observe(received_at(first), now, run.len() as u64);
            }
        }
    }
}

/// `id`, `traceparent`, `received_at` (DESIGN §3). A message somebody else put has no such
/// properties: its id is the MsgId, its time the put time.
fn headers(message: &Incoming) -> OwnedHeaders {
    let properties = &message.properties;
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
