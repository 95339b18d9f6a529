//! Answers the page: [`Inspector`] is the log, the store and the queue manager as [`web::Backstage`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aggregate::AggregationOptions;
use async_trait::async_trait;
use kafka_client::Cluster;
use mq_client::{ClientOptions, Connection, Session, connect_any};
use sender::Target;
use serde_json::Value;
use store::{StoreTarget, TableSpec};
use tokio::sync::Semaphore;
use tracing::warn;
use types::{BusinessDay, names};
use web::{
    Backstage, BackstageError, Done, Quarantine, QuarantineAsked, QuarantineRecord, Quarantined,
    Transaction, Transactions,
};

use crate::audit::{self, Deed};
use crate::error::InspectError;
use crate::quarantine::{self, INPUT_BYTES_MAX, Refused};
use crate::trace::{Wanted, trace};
use crate::transactions::{Looked, transactions};

/// Looks that are under way at a time: each reads the log. Others are told to come again.
const LOOKS_MAX: usize = 2;
/// Most records that are counted again for a page: about ten seconds.
const TRACE_RECORDS_MAX: u64 = 5_000_000;
/// Records of one answer.
const PAGE_RECORDS: usize = 100;

/// Where everything is.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The log.
    pub cluster: Cluster,
    /// What is counted.
    pub aggregations: Vec<AggregationOptions>,
    /// Their tables.
    pub tables: Vec<TableSpec>,
    /// The store.
    pub store: StoreTarget,
    /// The queue manager that keeps what the gateway has refused; `None` when it cannot be reached from here.
    pub queue: Option<Arc<ClientOptions>>,
    /// The gateway.
    pub gateway: Target,
}

/// See the module.
#[derive(Debug)]
pub struct Inspector {
    sources: Arc<Sources>,
    looks: Arc<Semaphore>,
}

impl Inspector {
    /// Nothing is connected to before it is asked.
    pub fn new(sources: Sources) -> Self {
        Self {
            sources: Arc::new(sources),
            looks: Arc::new(Semaphore::new(LOOKS_MAX)),
        }
    }

    /// Does what blocks on a thread of its own, a bounded number at a time.
    async fn look<T, F>(&self, look: F) -> Result<T, BackstageError>
    where
        T: Send + 'static,
        F: AsyncFnOnce(&Sources) -> Result<T, InspectError> + Send + 'static,
    {
        let Ok(place) = Arc::clone(&self.looks).try_acquire_owned() else {
            let busy = "the log is being looked through for others; ask again in a moment";
            return Err(BackstageError::Busy(busy.to_owned()));
        };
        let sources = Arc::clone(&self.sources);
        let looked = tokio::task::spawn_blocking(move || {
            let _place = place;
            tokio::runtime::Handle::current().block_on(look(&sources))
        });
        match looked.await {
            Ok(looked) => looked.map_err(unavailable),
            Err(error) => Err(BackstageError::Unavailable(error.to_string())),
        }
    }

    async fn session(&self) -> Result<(Connection, Session), BackstageError> {
        let Some(options) = &self.sources.queue else {
            let why = "the queue manager is not reachable from here: see [queue.client] of the configuration";
            return Err(BackstageError::Unavailable(why.to_owned()));
        };
        let connected = connect_any(options).await;
        connected.map_err(|error| BackstageError::Unavailable(types::report(&error)))
    }

    /// Writes down what an operator does. Without that it is not done.
    async fn note(&self, id: &str, who: &str, what: String) -> Result<(), BackstageError> {
        let deed = Deed {
            at: jiff::Timestamp::now().as_microsecond(),
            who: who.to_owned(),
            what,
            to: id.to_owned(),
        };
        // Not one of the looks: how a deed ended must be written down however many others look.
        let cluster = self.sources.cluster.clone();
        let written = tokio::task::spawn_blocking(move || audit::write(&cluster, &deed)).await;
        match written {
            Ok(written) => written.map_err(|error| unavailable(error.into())),
            Err(error) => Err(BackstageError::Unavailable(error.to_string())),
        }
    }

    /// Writes down how it ended. It is done by now, so what is answered is that, whether or not this can be written.
    async fn note_end(&self, id: &str, who: &str, what: String) {
        if let Err(error) = self.note(id, who, what).await {
            warn!(target: "audit", to = id, who, error = types::report(&error), "how a deed ended is not in the log");
        }
    }
}

fn unavailable(error: InspectError) -> BackstageError {
    let why = types::report(&error);
    match error {
        InspectError::TooMany { .. } => BackstageError::Refused(why),
        _ => BackstageError::Unavailable(why),
    }
}

fn gone(id: &str) -> BackstageError {
    BackstageError::NotFound(format!(
        "{id:?} is not in the quarantine: it may have been replayed or discarded"
    ))
}

/// `1,2,3`: an offset for each partition.
fn offsets(text: &str) -> Option<Vec<i64>> {
    text.split(',').map(|offset| offset.parse().ok()).collect()
}

fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn shown(looked: Looked, options: &AggregationOptions) -> Transactions {
    let schema = &options.input;
    let name = |column: Option<usize>| Some(schema.columns.get(column?)?.name.clone());
    let (id, source) = (name(Some(schema.id)), name(schema.source));
    let transactions = looked.transactions.into_iter().map(|behind| {
        let fields = behind.fields.into_iter();
        let fields: BTreeMap<String, String> =
            fields.map(|(name, value)| (name, plain(value))).collect();
        let text = |name: &Option<String>| {
            let found = name.as_ref().and_then(|name| fields.get(name));
            found.cloned().unwrap_or_default()
        };
        let received = fields.get(names::field::RECEIVED_AT);
        let received = received.and_then(|text| text.parse::<jiff::Timestamp>().ok());
        Transaction {
            id: text(&id),
            source: text(&source),
            received_at: received.map_or(behind.appended_at, jiff::Timestamp::as_microsecond),
            partition: behind.partition,
            offset: behind.offset,
            fields,
        }
    });
    let before = looked.before.map(|before| {
        let texts: Vec<String> = before.iter().map(i64::to_string).collect();
        texts.join(",")
    });
    Transactions {
        transactions: transactions.collect(),
        looked_at: looked.records,
        back_to: looked.back_to.map(|micros| micros / 1_000),
        before,
    }
}

#[async_trait]
impl Backstage for Inspector {
    async fn transactions(
        &self,
        aggregation: &str,
        day: BusinessDay,
        key: &str,
        before: Option<&str>,
    ) -> Result<Transactions, BackstageError> {
        let mut options = self.sources.aggregations.iter();
        let options = options.find(|options| options.name == aggregation);
        let options = options.ok_or_else(|| {
            BackstageError::NotFound(format!("there is no aggregation {aggregation:?}"))
        })?;
        let wrong =
            || BackstageError::Refused("`before` is no place: take one from an answer".to_owned());
        let before = before
            .map(|text| offsets(text).ok_or_else(wrong))
            .transpose()?;
        // Transactions of a day come before it begins only as far as clocks differ.
        let begins = options.calendar.start(day).map_or(0, |start| {
            start.saturating_sub(options.ahead_max_micros()) / 1_000
        });
        let (options, key) = (options.clone(), key.to_owned());
        self.look(async move |sources| {
            let before = before.as_deref();
            let looked = transactions(&sources.cluster, &options, &key, begins, before).await?;
            Ok(shown(looked, &options))
        })
        .await
    }

    async fn trace(&self, id: &str, source: Option<&str>) -> Result<Vec<Value>, BackstageError> {
        let (id, source) = (id.to_owned(), source.map(str::to_owned));
        self.look(async move |sources| {
            let wanted = Wanted {
                id: &id,
                source: source.as_deref(),
                records_max: Some(TRACE_RECORDS_MAX),
            };
            // The rest is worth telling without it.
            let store = sources.store.open_read_only().ok().flatten();
            let store = store.as_ref().map(|store| (store, &sources.tables[..]));
            let aggregations: Vec<&AggregationOptions> = sources.aggregations.iter().collect();
            let found = trace(&sources.cluster, &aggregations, store, &wanted, |_, _| ()).await?;
            Ok(found.iter().map(crate::Found::as_json).collect())
        })
        .await
    }

    async fn quarantine(&self, asked: &QuarantineAsked) -> Result<Quarantine, BackstageError> {
        let mut list = self
            .look(async |sources| {
                let mut list = List::default();
                quarantine::read(&sources.cluster, |refused| list.push(refused))?;
                Ok(list)
            })
            .await?;
        // Without a queue manager to ask there is what aggregations have refused.
        if self.sources.queue.is_some() {
            let (_connection, mut session) = self.session().await?;
            let browsed = quarantine::browse(&mut session, |refused| list.push(refused)).await;
            browsed.map_err(unavailable)?;
        }
        Ok(list.page(asked))
    }

    async fn quarantined(&self, id: &str) -> Result<Quarantined, BackstageError> {
        let refused = match quarantine::msg_id(id) {
            Some(_) => {
                let (_connection, mut session) = self.session().await?;
                let mut found = None;
                let each = |refused: Refused| {
                    if refused.record.id == id {
                        found = Some(refused);
                    }
                };
                let browsed = quarantine::browse(&mut session, each).await;
                browsed.map_err(unavailable)?;
                found
            }
            None => {
                let id = id.to_owned();
                self.look(async move |sources| quarantine::find(&sources.cluster, &id))
                    .await?
            }
        };
        let refused = refused.ok_or_else(|| gone(id))?;
        let of = id.to_owned();
        let audit = self
            .look(async move |sources| Ok(audit::of(&sources.cluster, &of)?))
            .await?;
        let shown = &refused.body[..refused.body.len().min(INPUT_BYTES_MAX)];
        Ok(Quarantined {
            input: String::from_utf8_lossy(shown).into_owned(),
            record: refused.record,
            audit: audit
                .into_iter()
                .map(|deed| web::Deed {
                    at: deed.at,
                    who: deed.who,
                    what: deed.what,
                })
                .collect(),
        })
    }

    async fn replay(&self, id: &str, who: &str) -> Result<Done, BackstageError> {
        let msg_id = quarantine::msg_id(id).ok_or_else(|| {
            BackstageError::Refused(
                "an aggregation refused it: it is in the log, and counted again when the definition changes. Only what the \
                 gateway refused can be sent again"
                    .to_owned(),
            )
        })?;
        self.note(id, who, "replay".to_owned()).await?;
        let (_connection, mut session) = self.session().await?;
        let taken = quarantine::take(&mut session, msg_id).await;
        let refused = taken.map_err(unavailable)?.ok_or_else(|| gone(id))?;
        let (is_done, done) = match refused.is_cut {
            true => (
                false,
                Done {
                    ok: false,
                    detail: format!(
                        "only the first {} of {} bytes were kept: it must be sent again by its sender",
                        refused.body.len(),
                        refused.record.bytes
                    ),
                },
            ),
            false => self.send_again(&refused).await,
        };
        quarantine::end(&mut session, is_done)
            .await
            .map_err(unavailable)?;
        self.note_end(id, who, format!("replay: {}", done.detail))
            .await;
        Ok(done)
    }

    async fn discard(&self, id: &str, who: &str) -> Result<Done, BackstageError> {
        let msg_id = quarantine::msg_id(id).ok_or_else(|| {
            BackstageError::Refused("an aggregation refused it: the log keeps it".to_owned())
        })?;
        self.note(id, who, "discard".to_owned()).await?;
        let (_connection, mut session) = self.session().await?;
        let taken = quarantine::take(&mut session, msg_id).await;
        taken.map_err(unavailable)?.ok_or_else(|| gone(id))?;
        quarantine::end(&mut session, true)
            .await
            .map_err(unavailable)?;
        Ok(Done {
            ok: true,
            detail: "discarded".to_owned(),
        })
    }
}

impl Inspector {
    /// Says whether the record may leave the quarantine: it was accepted, or the gateway has put it there again.
    async fn send_again(&self, refused: &Refused) -> (bool, Done) {
        let source = &refused.record.source;
        let answer = sender::post(&self.sources.gateway, source, &refused.body).await;
        let (is_done, ok, detail) = match answer {
            Ok((200..=299, _)) => (true, true, "accepted".to_owned()),
            Ok((status @ (400 | 422), body)) => {
                let why = problem(&body);
                (
                    true,
                    false,
                    format!(
                        "refused again ({status}): {why}. It is in the quarantine under a new id"
                    ),
                )
            }
            Ok((status, body)) => (
                false,
                false,
                format!("not accepted ({status}): {}", problem(&body)),
            ),
            Err(error) => (false, false, types::report(&error)),
        };
        (is_done, Done { ok, detail })
    }
}

/// The detail of a problem document, or what was answered.
fn problem(body: &[u8]) -> String {
    let problem: Option<Value> = serde_json::from_slice(body).ok();
    let detail = problem
        .as_ref()
        .and_then(|problem| problem.get("detail")?.as_str());
    match detail {
        Some(detail) => detail.to_owned(),
        None => String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned(),
    }
}

/// Refused records while they are collected.
#[derive(Debug, Default)]
struct List(Vec<QuarantineRecord>);

impl List {
    fn push(&mut self, refused: Refused) {
        self.0.push(refused.record);
    }

    fn page(mut self, asked: &QuarantineAsked) -> Quarantine {
        let of = |each: fn(&QuarantineRecord) -> &String| {
            let found: BTreeSet<String> = self.0.iter().map(each).cloned().collect();
            found.into_iter().filter(|text| !text.is_empty()).collect()
        };
        let (sources, reasons) = (of(|record| &record.source), of(|record| &record.reason));
        self.0.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
        let is_wanted = |record: &QuarantineRecord| {
            let is = |asked: &Option<String>, known: &str| {
                asked.as_ref().is_none_or(|asked| asked == known)
            };
            let text = [
                &record.source,
                &record.reason,
                &record.detail,
                &record.excerpt,
            ]
            .map(|text| text.to_lowercase())
            .join("\n");
            is(&asked.source, &record.source)
                && is(&asked.reason, &record.reason)
                && asked
                    .words
                    .iter()
                    .all(|word| text.contains(&word.to_lowercase()))
        };
        let before = asked.before.as_deref().and_then(|before| {
            let (at, id) = before.split_once(':')?;
            Some((at.parse::<i64>().ok()?, id.to_owned()))
        });
        let is_before = |record: &QuarantineRecord| {
            let place = (record.at, &record.id);
            before.as_ref().is_none_or(|(at, id)| place < (*at, id))
        };
        let mut wanted = self
            .0
            .into_iter()
            .filter(|record| is_before(record) && is_wanted(record));
        let records: Vec<QuarantineRecord> = wanted.by_ref().take(PAGE_RECORDS).collect();
        let last = records
            .last()
            .map(|last| format!("{}:{}", last.at, last.id));
        Quarantine {
            before: last.filter(|_| wanted.next().is_some()),
            records,
            sources,
            reasons,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use web::RefusedBy;

    fn record(number: i64) -> QuarantineRecord {
        QuarantineRecord {
            id: format!("a-0-{number:04}"),
            from: RefusedBy::Aggregation,
            source: if number % 2 == 0 { "even" } else { "odd" }.to_owned(),
            reason: "late".to_owned(),
            detail: String::new(),
            at: number / 3,
            bytes: 1,
            excerpt: format!("Record {number}"),
            replayed: false,
        }
    }

    fn page(asked: &QuarantineAsked) -> Quarantine {
        List((0..250).map(record).collect()).page(asked)
    }

    #[test]
    fn refused_records_come_in_pages_newest_first_and_each_once() {
        let mut asked = QuarantineAsked::default();
        let mut seen = Vec::new();
        loop {
            let page = page(&asked);
            assert!(page.records.len() <= PAGE_RECORDS);
            assert_eq!(page.sources, ["even", "odd"]);
            seen.extend(page.records.into_iter().map(|record| record.id));
            match page.before {
                None => break,
                before => asked.before = before,
            }
        }
        let expected: Vec<String> = (0..250).rev().map(|number| record(number).id).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn they_are_found_by_source_and_words() {
        let asked = QuarantineAsked {
            words: vec!["RECORD".to_owned(), "24".to_owned()],
            source: Some("odd".to_owned()),
            ..QuarantineAsked::default()
        };
        let found: Vec<String> = page(&asked)
            .records
            .into_iter()
            .map(|record| record.excerpt)
            .collect();
        assert_eq!(
            found,
            [
                "Record 249",
                "Record 247",
                "Record 245",
                "Record 243",
                "Record 241"
            ]
        );
    }

    #[test]
    fn places_in_the_log_are_read_as_they_are_written() {
        assert_eq!(offsets("1,-2,3"), Some(vec![1, -2, 3]));
        assert_eq!(offsets("1,,3"), None);
        assert_eq!(offsets(""), None);
    }

    #[test]
    fn a_problem_says_its_detail() {
        assert_eq!(problem(br#"{"detail":"no amount"}"#), "no amount");
        assert_eq!(problem(b"gone"), "gone");
    }
}
