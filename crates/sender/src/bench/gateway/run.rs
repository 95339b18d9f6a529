//! What all phases of a run share: which request is which document, and the books of what became of them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::mix::Mix;
use super::template::Document;
use crate::http::Answer;
use crate::report::Outcome;
use crate::target::Target;

/// Most documents whose records differ in number that are described.
const MISCOUNTED_MAX: usize = 10;
/// Longest text of an error that is kept, in characters.
const EXAMPLE_CHARS_MAX: usize = 300;

/// What all phases share.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) mix: Mix,
    pub(crate) target: Target,
    pub(crate) seed: u64,
    pub(crate) accounts: u64,
    pub(crate) prefix: String,
    books: Mutex<Books>,
}

/// Sums of the whole run.
#[derive(Debug, Default, Clone)]
pub(crate) struct Books {
    /// Requests that began to be sent.
    pub(crate) sent: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    /// Nobody knows whether they were accepted.
    pub(crate) unknown: u64,
    /// Records in accepted documents: as sent, and by the answers.
    pub(crate) records_sent: u64,
    pub(crate) records_accepted: u64,
    pub(crate) miscounted: Vec<String>,
    pub(crate) miscounted_count: u64,
    /// Count and cents, an account, of what is built in.
    pub(crate) accounts: Vec<(u64, i128)>,
    pub(crate) errors: BTreeMap<String, (u64, String)>,
}

impl Books {
    /// Whether any record in accepted documents is in the bench's accounts: only what is built in has some.
    pub(crate) fn has_accounts(&self) -> bool {
        self.accounts.iter().any(|(count, _)| *count > 0)
    }

    /// Records in accepted documents that are in the bench's accounts.
    pub(crate) fn in_accounts(&self) -> u64 {
        self.accounts.iter().map(|(count, _)| count).sum()
    }
}

impl Run {
    pub(crate) fn new(mix: Mix, target: Target, seed: u64, accounts: u64) -> Self {
        let places = usize::try_from(accounts).unwrap_or(0);
        Self {
            mix,
            target,
            seed,
            accounts,
            prefix: format!("bench-{seed}-"),
            books: Mutex::new(Books {
                accounts: vec![(0, 0); places],
                ..Books::default()
            }),
        }
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        // A panic ends the run anyway.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The document of a request.
    pub(crate) fn document(&self, request: u64) -> (usize, Document<'_>) {
        let kind = self.mix.kind_of(request);
        let records = self.mix.kinds.get(kind).map_or(1, |kind| kind.records);
        let document = Document {
            seed: self.seed,
            kind,
            first: request.saturating_mul(records),
            records,
            accounts: self.accounts,
            prefix: &self.prefix,
        };
        (kind, document)
    }

    /// Makes a request, head and body in one piece; answers its kind and the bytes of its body.
    pub(crate) fn make(&self, request: u64, body: &mut Vec<u8>, out: &mut Vec<u8>) -> usize {
        let (place, document) = self.document(request);
        body.clear();
        out.clear();
        let Some(kind) = self.mix.kinds.get(place) else {
            return place;
        };
        kind.template.push(&document, body);
        let path = format_args!("/v1/transactions/{}", kind.source);
        // Writing to memory cannot fail.
        let _ = write!(
            out,
            "POST {} HTTP/1.1\r\nhost: {}\r\n",
            self.target.path(&path.to_string()),
            self.target.authority()
        );
        let _ = match kind.content_type {
            Some(content_type) => write!(out, "content-type: {content_type}\r\n"),
            // It may have no ids of its own.
            None => write!(
                out,
                "idempotency-key: \"bench-{}-{place}-{request}\"\r\n",
                self.seed
            ),
        };
        let _ = write!(out, "content-length: {}\r\n\r\n", body.len());
        out.extend_from_slice(body);
        place
    }

    /// Enters an accepted document.
    pub(crate) fn enter(&self, request: u64, accepted: u64) {
        let (place, document) = self.document(request);
        let Some(kind) = self.mix.kinds.get(place) else {
            return;
        };
        let mut books = self.books();
        books.accepted += 1;
        books.records_sent += kind.expected;
        books.records_accepted += accepted;
        if accepted != kind.expected {
            books.miscounted_count += 1;
            if books.miscounted.len() < MISCOUNTED_MAX {
                let text = format!(
                    "{}: {} records were sent, {accepted} accepted by the answer",
                    kind.name, kind.expected
                );
                books.miscounted.push(text);
            }
        }
        for index in 0..document.records {
            let Some((account, cents)) = kind.booked(&document, index) else {
                return;
            };
            let place = usize::try_from(account).ok();
            if let Some((count, sum)) = place.and_then(|place| books.accounts.get_mut(place)) {
                *count += 1;
                *sum += i128::from(cents);
            }
        }
    }

    /// Counts an error, and keeps what the first of its kind said.
    pub(crate) fn fault(&self, name: &str, example: &str) {
        let mut books = self.books();
        let entry = books.errors.entry(name.to_owned()).or_default();
        entry.0 += 1;
        if entry.1.is_empty() {
            entry.1 = example.chars().take(EXAMPLE_CHARS_MAX).collect();
        }
    }
}

/// How many records an answer says were accepted; `otherwise` where it says nothing.
pub(crate) fn accepted_in(body: &[u8], otherwise: u64) -> u64 {
    // The gateway's own answers begin so; parsing each whole would cost as much as sending it.
    let front = body.strip_prefix(b"{\"accepted\":");
    let digits = front.map(|rest| {
        let end = rest.iter().position(|byte| !byte.is_ascii_digit());
        &rest[..end.unwrap_or(rest.len())]
    });
    let number = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    number.unwrap_or_else(|| {
        let answer = Answer {
            status: 202,
            retry_after: None,
            body: body.to_vec(),
        };
        Outcome::read(&answer, "", Some(otherwise)).accepted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted() {
        assert_eq!(accepted_in(b"{\"accepted\":17}", 1), 17);
        assert_eq!(accepted_in(b"{\"accepted\":17", 1), 17);
        assert_eq!(accepted_in(b"{ \"accepted\" : 3 }", 1), 3);
        assert_eq!(accepted_in(b"", 5), 5);
    }
}
