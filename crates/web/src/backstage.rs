//! What the page asks for that is not in its view: single transactions, and what was refused. Other parts answer.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use types::BusinessDay;
use utoipa::ToSchema;

/// Answers the page's questions about single records. Implementations bound their work.
#[async_trait]
pub trait Backstage: std::fmt::Debug + Send + Sync {
    /// The newest transactions of a row, from `before` backwards.
    ///
    /// # Errors
    ///
    /// [`BackstageError`].
    async fn transactions(
        &self,
        aggregation: &str,
        day: BusinessDay,
        key: &str,
        before: Option<&str>,
    ) -> Result<Transactions, BackstageError>;

    /// The way of a transaction: `daybook trace --json`, once for each record that carries it.
    ///
    /// # Errors
    ///
    /// [`BackstageError`].
    async fn trace(
        &self,
        id: &str,
        source: Option<&str>,
    ) -> Result<Vec<serde_json::Value>, BackstageError>;

    /// What was refused and waits, newest first.
    ///
    /// # Errors
    ///
    /// [`BackstageError`].
    async fn quarantine(&self, asked: &QuarantineAsked) -> Result<Quarantine, BackstageError>;

    /// One refused record, whole.
    ///
    /// # Errors
    ///
    /// [`BackstageError::NotFound`] when it is no longer there.
    async fn quarantined(&self, id: &str) -> Result<Quarantined, BackstageError>;

    /// Sends it through the gateway again. Doing it twice is harmless: transactions have identities.
    ///
    /// # Errors
    ///
    /// [`BackstageError`].
    async fn replay(&self, id: &str, who: &str) -> Result<Done, BackstageError>;

    /// Takes it out of the quarantine for good.
    ///
    /// # Errors
    ///
    /// [`BackstageError`].
    async fn discard(&self, id: &str, who: &str) -> Result<Done, BackstageError>;
}

/// A question that has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackstageError {
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// The question makes no sense.
    #[error("{0}")]
    Refused(String),
    /// Somebody else's is being answered. Asking again helps.
    #[error("{0}")]
    Busy(String),
    /// Who knows does not answer. Asking again may help.
    #[error("{0}")]
    Unavailable(String),
}

/// `GET /api/v1/{aggregation}/transactions`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Transactions {
    /// Newest first.
    pub transactions: Vec<Transaction>,
    /// Records that were read.
    pub looked_at: u64,
    /// When the oldest of them was appended to the log, milliseconds since 1970.
    #[schema(required)]
    pub back_to: Option<i64>,
    /// Where to look on; `null` when everything was seen.
    #[schema(required)]
    pub before: Option<String>,
}

/// A transaction as the log has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Transaction {
    /// Its id.
    pub id: String,
    /// Its source.
    pub source: String,
    /// When the gateway received it, microseconds since 1970.
    pub received_at: i64,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// All its fields.
    pub fields: std::collections::BTreeMap<String, String>,
}

/// Which refused records are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuarantineAsked {
    /// Words that source, reason, detail or input have, whatever their case.
    pub words: Vec<String>,
    /// Of this source only.
    pub source: Option<String>,
    /// Refused for this reason only.
    pub reason: Option<String>,
    /// Older than this one.
    pub before: Option<String>,
}

/// `GET /api/v1/quarantine`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Quarantine {
    /// Newest first.
    pub records: Vec<QuarantineRecord>,
    /// Sources that have any.
    pub sources: Vec<String>,
    /// Reasons that there are.
    pub reasons: Vec<String>,
    /// Where to look on; `null` when there are no more.
    #[schema(required)]
    pub before: Option<String>,
}

/// Who refused a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefusedBy {
    /// It could not be translated.
    Gateway,
    /// It could not be counted.
    Aggregation,
}

/// A refused record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QuarantineRecord {
    /// Names it here.
    pub id: String,
    /// Who refused it.
    pub from: RefusedBy,
    /// The source it came from; empty when it does not say.
    pub source: String,
    /// The rule that it breaks.
    pub reason: String,
    /// The same in a sentence.
    pub detail: String,
    /// When, microseconds since 1970.
    pub at: i64,
    /// Its size as it was sent.
    pub bytes: u64,
    /// Its beginning.
    pub excerpt: String,
    /// Whether an operator has replayed it before.
    pub replayed: bool,
}

/// `GET /api/v1/quarantine/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Quarantined {
    /// The record.
    pub record: QuarantineRecord,
    /// What was sent, as text; bytes that are none are shown as U+FFFD.
    pub input: String,
    /// What operators did to it, oldest first.
    pub audit: Vec<Deed>,
}

/// What an operator did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Deed {
    /// When, microseconds since 1970.
    pub at: i64,
    /// Who.
    pub who: String,
    /// What.
    pub what: String,
}

/// `POST /api/v1/quarantine/{id}/replay` and `/discard`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Done {
    /// Whether it was done.
    pub ok: bool,
    /// What came of it, in a sentence.
    pub detail: String,
}
