//! What became of what was sent, and where lines for people go.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::http::Answer;

/// Most problems that a report describes; further ones are only counted.
const PROBLEMS_MAX: usize = 20;

/// Takes lines for people while something runs: standard error, a log, or nothing.
pub trait Reporter: Send + Sync {
    /// One line, without its end.
    fn say(&self, line: &str);
}

/// A [`Reporter`] that says nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Reporter for Silent {
    fn say(&self, _line: &str) {}
}

/// Something that was not accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, or what was sent instead of one.
    pub file: String,
    /// HTTP status; 0 where the trouble was found before anything was sent.
    pub status: u16,
    /// Number of the record in the file, from 1, where it is one record's problem.
    pub record: Option<u64>,
    /// Field of the transaction.
    pub field: Option<String>,
    /// Name of the rule that was broken.
    pub rule: Option<String>,
    /// What is wrong.
    pub detail: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(record) = self.record {
            write!(f, ", record {record}")?;
        }
        if let Some(field) = &self.field {
            write!(f, ", field {field}")?;
        }
        write!(f, ": {}", self.detail)?;
        if let Some(rule) = &self.rule {
            write!(f, " ({rule})")?;
        }
        Ok(())
    }
}

/// Sums of a run. Records are counted once, however often their request was repeated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SendReport {
    /// Files read to their end.
    pub files: u64,
    /// Records sent and answered.
    pub records: u64,
    /// Records the gateway accepted.
    pub accepted: u64,
    /// Records that are not accepted; a document refused unread counts once.
    pub refused: u64,
    /// The first problems.
    pub problems: Vec<Problem>,
    /// Problems beyond these.
    pub problems_left_off: u64,
    /// Requests answered.
    pub requests: u64,
    /// Requests sent again.
    pub retries: u64,
    /// Bytes of bodies, each counted once.
    pub bytes: u64,
    /// From begin to end.
    pub elapsed: Duration,
    /// Whether it was stopped before everything was sent.
    pub interrupted: bool,
}

impl SendReport {
    /// Records a second, over the whole run.
    pub fn rate(&self) -> u64 {
        let micros = self.elapsed.as_micros().max(1);
        u64::try_from(u128::from(self.records) * 1_000_000 / micros).unwrap_or(u64::MAX)
    }

    pub(crate) fn add_problem(&mut self, problem: Problem) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        } else {
            self.problems_left_off += 1;
        }
    }
}

/// The sums on one line; problems are listed by whoever prints it.
impl fmt::Display for SendReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} records: {} accepted, {} refused; {} files, {} requests, {} repeated, {} bytes, {:.1} s, {} records/s",
            self.records,
            self.accepted,
            self.refused,
            self.files,
            self.requests,
            self.retries,
            self.bytes,
            self.elapsed.as_secs_f64(),
            self.rate(),
        )
    }
}

/// What an answer says about a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) problems: Vec<Problem>,
    /// The gateway does not know the source: no other request can succeed.
    pub(crate) unknown_source: bool,
}

#[derive(Deserialize)]
struct Accepted {
    accepted: u64,
    #[serde(default)]
    refused: u64,
    #[serde(default)]
    records: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    record: Option<u64>,
    field: Option<String>,
    rule: Option<String>,
    detail: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(flatten)]
    first: Entry,
    records: Option<u64>,
    #[serde(default)]
    errors: Vec<Entry>,
}

impl Entry {
    fn into_problem(self, file: &str, status: u16) -> Problem {
        Problem {
            file: file.to_owned(),
            status,
            record: self.record,
            field: self.field,
            rule: self.rule,
            detail: self.detail.unwrap_or_default(),
        }
    }
}

impl Outcome {
    /// Reads an answer; `records` is how many were sent, where that is known.
    pub(crate) fn read(answer: &Answer, file: &str, records: Option<u64>) -> Self {
        let status = answer.status;
        if let Ok(accepted) = serde_json::from_slice::<Accepted>(&answer.body) {
            let refused = accepted.records.into_iter();
            // Accepted records are listed too; only the others carry a rule.
            let refused = refused.filter(|entry| entry.rule.is_some());
            return Self {
                accepted: accepted.accepted,
                refused: accepted.refused,
                problems: refused
                    .map(|entry| entry.into_problem(file, status))
                    .collect(),
                unknown_source: false,
            };
        }
        if (200..300).contains(&status) {
            // Accepted by something that does not say how much.
            return Self {
                accepted: records.unwrap_or(1),
                ..Self::default()
            };
        }
        let Ok(refusal) = serde_json::from_slice::<Refusal>(&answer.body) else {
            let problem = Problem {
                file: file.to_owned(),
                status,
                detail: format!(
                    "the gateway answers {status}: {}",
                    crate::post::detail(answer)
                ),
                ..Problem::default()
            };
            return Self {
                refused: records.unwrap_or(1),
                problems: vec![problem],
                ..Self::default()
            };
        };
        let unknown_source = refusal.kind.ends_with(":unknown-source");
        let refused = records.or(refusal.records).unwrap_or(1).max(1);
        let problems = match refusal.errors.is_empty() {
            true => vec![refusal.first.into_problem(file, status)],
            false => {
                let errors = refusal.errors.into_iter();
                errors
                    .map(|entry| entry.into_problem(file, status))
                    .collect()
            }
        };
        Self {
            accepted: 0,
            refused,
            problems,
            unknown_source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[track_caller]
    fn check(status: u16, body: &str, records: Option<u64>, expected: Expect) {
        let answer = Answer {
            status,
            retry_after: None,
            body: body.as_bytes().to_vec(),
        };
        let outcome = Outcome::read(&answer, "f.csv", records);
        let mut text = format!(
            "{} accepted, {} refused\n",
            outcome.accepted, outcome.refused
        );
        for problem in outcome.problems {
            text.push_str(&format!("{problem}\n"));
        }
        if outcome.unknown_source {
            text.push_str("unknown source\n");
        }
        expected.assert_eq(&text);
    }

    #[test]
    fn answers_are_read() {
        check(
            202,
            r#"{"accepted":2,"ids":["a","b"]}"#,
            Some(2),
            expect![[r#"
            2 accepted, 0 refused
        "#]],
        );
        check(
            204,
            "",
            Some(7),
            expect![[r#"
            7 accepted, 0 refused
        "#]],
        );
        check(
            202,
            r#"{"accepted":1,"refused":1,"records":[{"record":5,"status":"accepted","id":"a"},
               {"record":6,"status":"refused","field":"amount","rule":"decimal","line":2,"detail":"no number"}]}"#,
            Some(2),
            expect![[r#"
                1 accepted, 1 refused
                f.csv, record 6, field amount: no number (decimal)
            "#]],
        );
    }

    #[test]
    fn problems_are_read() {
        check(
            422,
            r#"{"type":"urn:daybook:problem:decimal","detail":"nothing was accepted: …","record":3,"field":"amount","rule":"decimal","records":9}"#,
            Some(9),
            expect![[r#"
                0 accepted, 9 refused
                f.csv, record 3, field amount: nothing was accepted: … (decimal)
            "#]],
        );
        check(
            422,
            r#"{"detail":"many","rule":"a","records":4,"errors":[{"record":1,"rule":"a","detail":"x"},{"record":2,"rule":"b","detail":"y"}]}"#,
            None,
            expect![[r#"
                0 accepted, 4 refused
                f.csv, record 1: x (a)
                f.csv, record 2: y (b)
            "#]],
        );
        check(
            404,
            r#"{"type":"urn:daybook:problem:unknown-source","detail":"there is no source \"x\""}"#,
            Some(1),
            expect![[r#"
                0 accepted, 1 refused
                f.csv: there is no source "x"
                unknown source
            "#]],
        );
        check(
            500,
            "<html>",
            Some(3),
            expect![[r#"
            0 accepted, 3 refused
            f.csv: the gateway answers 500: <html>
        "#]],
        );
    }
}
