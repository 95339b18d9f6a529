//! The ledger: what was put on and got off each queue, by source and minute of receipt.
//!
//! It is as durable as the messages: a commit brings its part of it, and before log space is freed
//! the whole ledger is written again. `docs/specs/ledger.md` says what is compared with it.
//!
//! # Invariants
//!
//! - **What was declared is the putter's own figure**, counted before there was a message; what was
//!   put and got is counted here from the messages. They agree, or one of the two lost something.
//! - **Memory is bounded**: beyond `LINES_MAX` lines the oldest minutes become one.

use std::collections::BTreeMap;
use std::sync::Arc;

use types::{Micros, Tally, minute_of, names};

use crate::message::Message;

/// Most lines; two days of six sources fit.
pub(crate) const LINES_MAX: usize = 20_000;
/// Stands for all minutes that were folded into one.
const EARLIER: i64 = i64::MIN;

/// What one source brought to one queue within one minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerLine {
    /// Queue.
    pub queue: Arc<str>,
    /// Source; empty for messages that do not say it.
    pub source: Arc<str>,
    /// Minute of receipt since 1970; `None` for all up to [`LedgerCopy::folded_until`].
    pub minute: Option<i64>,
    /// What those who put it said that they put.
    pub declared: Tally,
    /// Messages put; their amounts are not known here.
    pub put: Tally,
    /// Messages got off and committed; their amounts are not known here.
    pub got: Tally,
}

/// The ledger at one moment: exactly what is committed and visible.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LedgerCopy {
    /// In the order of minute, queue, source.
    pub lines: Vec<LedgerLine>,
    /// Minutes up to this one are no longer told apart.
    pub folded_until: Option<i64>,
}

/// What a putter says of the messages it puts to one queue in one unit of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Declared {
    pub(crate) queue: Arc<str>,
    pub(crate) source: Arc<str>,
    pub(crate) minute: i64,
    pub(crate) tally: Tally,
}

/// Minute first: the oldest lines are the first.
type Key = (i64, Arc<str>, Arc<str>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Line {
    declared: Tally,
    put: Tally,
    got: Tally,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Side {
    Put,
    Got,
}

#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    lines: BTreeMap<Key, Line>,
    folded_until: i64,
    lines_max: usize,
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new(LINES_MAX)
    }
}

impl Ledger {
    fn new(lines_max: usize) -> Self {
        Self {
            lines: BTreeMap::new(),
            folded_until: EARLIER,
            lines_max,
        }
    }

    pub(crate) fn declare(&mut self, declared: &Declared) {
        let Declared {
            queue,
            source,
            minute,
            tally,
        } = declared;
        let line = self.line((*minute, Arc::clone(queue), Arc::clone(source)));
        line.declared.merge(tally);
    }

    /// Counts messages. Consecutive ones that share properties cost one look-up.
    pub(crate) fn add<'m>(
        &mut self,
        side: Side,
        messages: impl Iterator<Item = (&'m Arc<str>, &'m Message)>,
    ) {
        let mut run: Option<(&Arc<str>, &Message, Tally)> = None;
        for (queue, message) in messages {
            match &mut run {
                Some((of, first, tally)) if *of == queue && is_same_origin(first, message) => {
                    add_message(tally, message);
                }
                _ => {
                    self.end_run(side, run.take());
                    let mut tally = Tally::default();
                    add_message(&mut tally, message);
                    run = Some((queue, message, tally));
                }
            }
        }
        self.end_run(side, run);
    }

    fn end_run(&mut self, side: Side, run: Option<(&Arc<str>, &Message, Tally)>) {
        let Some((queue, first, tally)) = run else {
            return;
        };
        let source = first.properties.get(names::HEADER_SOURCE).unwrap_or("");
        let line = self.line((
            minute_of(received_at(first)),
            Arc::clone(queue),
            source.into(),
        ));
        match side {
            Side::Put => line.put.merge(&tally),
            Side::Got => line.got.merge(&tally),
        }
    }

    fn line(&mut self, mut key: Key) -> &mut Line {
        if key.0 <= self.folded_until {
            key.0 = EARLIER;
        }
        if self.lines.len() >= self.lines_max && !self.lines.contains_key(&key) {
            self.fold_oldest_minute();
            if key.0 <= self.folded_until {
                key.0 = EARLIER;
            }
        }
        self.lines.entry(key).or_default()
    }

    fn fold_oldest_minute(&mut self) {
        let mut minutes = self.lines.keys().map(|(minute, ..)| *minute);
        let Some(oldest) = minutes.find(|minute| *minute != EARLIER) else {
            return;
        };
        let kept = self.lines.split_off(&(oldest + 1, "".into(), "".into()));
        let folded = std::mem::replace(&mut self.lines, kept);
        for ((_, queue, source), line) in folded {
            let earlier = self.lines.entry((EARLIER, queue, source)).or_default();
            earlier.declared.merge(&line.declared);
            earlier.put.merge(&line.put);
            earlier.got.merge(&line.got);
        }
        self.folded_until = oldest;
    }

    pub(crate) fn copy(&self) -> LedgerCopy {
        let lines = self.lines.iter();
        LedgerCopy {
            lines: lines
                .map(|((minute, queue, source), line)| LedgerLine {
                    queue: Arc::clone(queue),
                    source: Arc::clone(source),
                    minute: (*minute != EARLIER).then_some(*minute),
                    declared: line.declared,
                    put: line.put,
                    got: line.got,
                })
                .collect(),
            folded_until: (self.folded_until != EARLIER).then_some(self.folded_until),
        }
    }

    /// Becomes what a copy says; for recovery.
    pub(crate) fn restore(&mut self, copy: LedgerCopy) {
        self.folded_until = copy.folded_until.unwrap_or(EARLIER);
        let lines = copy.lines.into_iter().map(|line| {
            let key = (line.minute.unwrap_or(EARLIER), line.queue, line.source);
            let LedgerLine {
                declared, put, got, ..
            } = line;
            (key, Line { declared, put, got })
        });
        self.lines = lines.collect();
    }
}

fn received_at(message: &Message) -> Micros {
    let received = message.properties.get(names::HEADER_RECEIVED_AT);
    received
        .and_then(|text| text.parse().ok())
        .unwrap_or(message.put_time)
}

/// Whether two messages are of one source and minute, as far as can be told without looking closely.
fn is_same_origin(first: &Message, other: &Message) -> bool {
    Arc::ptr_eq(&first.properties.shared, &other.properties.shared)
        && first.properties.get(names::HEADER_RECEIVED_AT).is_some()
}

/// A message without a property `id` counts by its `MsgId`, as hexadecimal digits.
fn add_message(tally: &mut Tally, message: &Message) {
    match message.properties.id.is_empty() {
        false => tally.add(&message.properties.id, None),
        true => tally.add(&message.msg_id.hexadecimal(), None),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::message::{Descriptor, MsgId, Properties};

    fn message(sequence: u64, source: &str, received_at: Micros) -> Message {
        let shared = vec![
            (names::HEADER_SOURCE.to_owned(), source.to_owned()),
            (
                names::HEADER_RECEIVED_AT.to_owned(),
                received_at.to_string(),
            ),
        ];
        Message {
            correl_id: MsgId::NONE,
            expires_at: None,
            available_at: None,
            descriptor: Descriptor::shared(),
            msg_id: MsgId::new("DAYBOOK", sequence),
            sequence,
            put_time: 0,
            priority: 0,
            backout_count: 0,
            properties: Properties {
                shared: Arc::new(shared),
                id: Bytes::from(format!("t{sequence}")),
                key: Bytes::new(),
            },
            body: Bytes::new(),
        }
    }

    fn put(ledger: &mut Ledger, messages: &[Message]) {
        let queue: Arc<str> = "Q".into();
        ledger.add(Side::Put, messages.iter().map(|message| (&queue, message)));
    }

    fn text(ledger: &Ledger) -> String {
        let lines = ledger.copy().lines.into_iter().map(|line| {
            let minute = line.minute.map_or("..".to_owned(), |at| at.to_string());
            format!("{minute} {}: {}\n", line.source, line.put.count)
        });
        lines.collect()
    }

    #[test]
    fn messages_are_counted_by_source_and_minute() {
        const MINUTE: i64 = 60_000_000;
        let mut ledger = Ledger::new(10);
        let batch = message(1, "json", 0);
        let second = Message {
            sequence: 2,
            ..batch.clone()
        };
        put(
            &mut ledger,
            &[
                batch,
                second,
                message(3, "csv", 0),
                message(4, "json", MINUTE),
                message(5, "json", 1),
            ],
        );
        assert_eq!(text(&ledger), "0 csv: 1\n0 json: 3\n1 json: 1\n");

        let mut foreign = message(9, "", 0);
        foreign.properties = Properties::default();
        foreign.put_time = 2 * MINUTE;
        let mut tally = Tally::default();
        tally.add(foreign.msg_id.to_string().as_bytes(), None);
        put(&mut ledger, &[foreign]);
        let line = ledger.copy().lines.pop().expect("a line");
        assert_eq!((line.minute, line.put), (Some(2), tally));
    }

    #[test]
    fn at_the_limit_the_oldest_minutes_become_one_and_nothing_is_lost() {
        let mut ledger = Ledger::new(3);
        for minute in 0..4 {
            put(
                &mut ledger,
                &[message(minute as u64, "json", minute * 60_000_000)],
            );
        }
        assert_eq!(
            text(&ledger),
            ".. json: 1\n1 json: 1\n2 json: 1\n3 json: 1\n"
        );
        put(&mut ledger, &[message(9, "json", 5 * 60_000_000)]);
        assert_eq!(
            text(&ledger),
            ".. json: 2\n2 json: 1\n3 json: 1\n5 json: 1\n"
        );
        // A minute that is no longer told apart stays so, also over a restart.
        let mut restored = Ledger::new(3);
        restored.restore(ledger.copy());
        put(&mut restored, &[message(10, "json", 60_000_000)]);
        assert_eq!(
            text(&restored),
            ".. json: 3\n2 json: 1\n3 json: 1\n5 json: 1\n"
        );
    }
}
