//! One request to the gateway, repeated until there is an answer that counts.
//!
//! # Invariants
//!
//! - **The same again.** Head and body are made once; every repetition sends the same bytes, also
//!   where nobody knows whether the last time was accepted. Identity makes that safe (DESIGN §3).
//! - Only connection trouble and answers that mean *later* are repeated; a refusal is an answer.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::http::{Answer, Connection, HttpError};
use crate::random::Random;
use crate::retry::{Backoff, Waiter};
use crate::target::Target;

/// Longest time for one request, its body included.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// What is posted in one request.
#[derive(Debug, Clone)]
pub(crate) struct Parcel {
    /// Configured source, checked by [`is_source`].
    pub(crate) source: String,
    pub(crate) content_type: &'static str,
    /// `Idempotency-Key`, without quotes.
    pub(crate) key: Option<String>,
    /// `Daybook-First-Record`.
    pub(crate) first_record: Option<u64>,
    pub(crate) lenient: bool,
    pub(crate) body: Bytes,
}

/// Whether a text can be a source's name; anything else could break out of the request line.
pub(crate) fn is_source(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=64).contains(&name.len()) && name.bytes().all(known)
}

impl Parcel {
    /// The request's head.
    pub(crate) fn head(&self, target: &Target) -> Vec<u8> {
        debug_assert!(is_source(&self.source));
        let path = target.path(&format!("/v1/transactions/{}", self.source));
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\nuser-agent: daybook/{}\r\ncontent-type: {}\r\n\
             content-length: {}\r\n",
            target.authority(),
            env!("CARGO_PKG_VERSION"),
            self.content_type,
            self.body.len(),
        );
        if let Some(key) = &self.key {
            head.push_str(&format!("idempotency-key: \"{key}\"\r\n"));
        }
        if let Some(first) = self.first_record {
            head.push_str(&format!("daybook-first-record: {first}\r\n"));
        }
        if self.lenient {
            head.push_str("prefer: handling=lenient\r\n");
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PostError {
    #[error("gave up after {} s: {last}", .waited.as_secs())]
    GaveUp { waited: Duration, last: String },
    #[error("stopped")]
    Stopped,
}

/// Told of every failed attempt: what happened, and how long is waited now.
pub(crate) type OnRetry<'a> = &'a mut (dyn FnMut(&str, Duration) + Send);

/// Posts requests one after the other over one connection, which it opens when it needs one.
#[derive(Debug)]
pub(crate) struct Poster {
    target: Target,
    connection: Option<Connection>,
    retry_for: Duration,
    random: Random,
    waiter: Waiter,
    shutdown: CancellationToken,
}

impl Poster {
    pub(crate) fn new(target: Target, retry_for: Duration, shutdown: CancellationToken) -> Self {
        Self {
            target,
            connection: None,
            retry_for,
            random: Random::from_clock(),
            waiter: Waiter::Clock,
            shutdown,
        }
    }

    #[cfg(test)]
    pub(crate) fn with_waiter(mut self, waiter: Waiter) -> Self {
        self.waiter = waiter;
        self
    }

    /// Posts until there is an answer other than *later*. Not cancel safe: drop it and do not go on.
    pub(crate) async fn post(
        &mut self,
        parcel: &Parcel,
        on_retry: OnRetry<'_>,
    ) -> Result<Answer, PostError> {
        let head = parcel.head(&self.target);
        self.exchange(&head, &parcel.body, on_retry).await
    }

    /// As [`Poster::post`], with a head made before.
    pub(crate) async fn exchange(
        &mut self,
        head: &[u8],
        body: &[u8],
        on_retry: OnRetry<'_>,
    ) -> Result<Answer, PostError> {
        let mut failing: Option<(Instant, Backoff)> = None;
        loop {
            let shutdown = self.shutdown.clone();
            let attempt = tokio::select! {
                biased;
                () = shutdown.cancelled() => {
                    self.connection = None;
                    return Err(PostError::Stopped);
                }
                attempt = self.attempt(head, body) => attempt,
            };
            let (last, retry_after) = match attempt {
                Ok(answer) if is_later(answer.status) => {
                    let text =
                        format!("the gateway answers {}: {}", answer.status, detail(&answer));
                    (text, answer.retry_after)
                }
                Ok(answer) => return Ok(answer),
                Err(error) => (with_source(&error), None),
            };
            let (since, backoff) = failing.get_or_insert_with(|| {
                let random = Random::new(self.random.next());
                (Instant::now(), Backoff::new(random))
            });
            let waited = since.elapsed();
            let pause = backoff.next(retry_after);
            if waited.saturating_add(pause) > self.retry_for {
                return Err(PostError::GaveUp { waited, last });
            }
            debug!(error = %last, ?pause, "request is repeated");
            on_retry(&last, pause);
            if !self.waiter.wait(pause, &self.shutdown).await {
                return Err(PostError::Stopped);
            }
        }
    }

    /// Sends a request once; the next one goes over the same connection if that may be kept.
    pub(crate) async fn attempt(&mut self, head: &[u8], body: &[u8]) -> Result<Answer, HttpError> {
        // Taken out: whatever fails below leaves no half-used connection behind.
        let mut connection = match self.connection.take() {
            Some(connection) if !connection.is_stale() => connection,
            _ => Connection::open(&self.target).await?,
        };
        let (answer, keep) = connection.request(head, body, ANSWER_TIME_MAX).await?;
        if keep {
            self.connection = Some(connection);
        }
        Ok(answer)
    }
}

/// Answers that say nothing about the request but that it should come again.
pub(crate) fn is_later(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 502 | 503 | 504)
}

/// What a problem's `detail` says; the beginning of the body where it is no problem document.
pub(crate) fn detail(answer: &Answer) -> String {
    #[derive(serde::Deserialize)]
    struct Detail {
        detail: String,
    }
    match serde_json::from_slice::<Detail>(&answer.body) {
        Ok(Detail { detail }) => detail,
        Err(_) => String::from_utf8_lossy(&answer.body[..answer.body.len().min(200)]).into_owned(),
    }
}

fn with_source(error: &HttpError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
