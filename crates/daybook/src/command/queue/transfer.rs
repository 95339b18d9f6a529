//! `daybook queue move` and `replay`: messages from one queue to another, in units of work.
//!
//! Invariant: a message is got and put in one unit of work, so it is on one of the two queues whatever
//! dies in between.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use inspect::Parts;
use mq_client::{
    Chars, ClientError, GetRequest, Got, MessageDescriptor, Queue, Session, attribute, get, open,
    put,
};
use types::names::{QUEUE_QUARANTINE, field};

use super::admin::explain;
use crate::cli::{MoveArgs, ReplayArgs};

/// Messages in a unit of work.
const BATCH_MESSAGES_MAX: u64 = 500;
/// Bytes above which no further message is added to a unit of work.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Between two lines of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// Messages that stay are told one by one up to this many.
const REASONS_MAX: u64 = 10;
/// MQRC_NO_MSG_UNDER_CURSOR.
const NO_MSG_UNDER_CURSOR: i32 = 2034;

pub(super) async fn run_move(session: &mut Session, args: &MoveArgs) -> anyhow::Result<()> {
    let mut transfer = Transfer::open(session, &args.from, &args.to, args.limit).await?;
    while transfer.is_wanted() {
        let request = GetRequest {
            syncpoint: true,
            ..GetRequest::default()
        };
        let Some(got) = transfer.get(&request).await? else {
            break;
        };
        let (descriptor, body) = (got.descriptor.clone(), got.body.clone());
        transfer.put(descriptor, body).await?;
    }
    transfer.end().await
}

pub(super) async fn run_replay(session: &mut Session, args: &ReplayArgs) -> anyhow::Result<()> {
    anyhow::ensure!(
        args.queue != QUEUE_QUARANTINE,
        "{QUEUE_QUARANTINE} holds what the gateway refused, as the sender sent it: it is no transaction that \
         could be counted. `daybook queue browse {QUEUE_QUARANTINE} --full` shows it with the reason \
         (`detail`); mend it and send it again with `daybook send`, then `daybook queue purge` it"
    );
    let mut transfer = Transfer::open(session, &args.queue, &args.to, args.limit).await?;
    let mut cursor = get::BROWSE_FIRST;
    while transfer.is_wanted() {
        let browse = GetRequest {
            cursor,
            ..GetRequest::default()
        };
        let Some(seen) = transfer.get(&browse).await? else {
            break;
        };
        cursor = get::BROWSE_NEXT;
        let parts = Parts::of(&seen.descriptor, &seen.body);
        if let Err(reason) = is_transaction(&parts) {
            transfer.leave(&seen, &reason);
            continue;
        }
        let take = GetRequest {
            syncpoint: true,
            cursor: get::MSG_UNDER_CURSOR,
            ..GetRequest::default()
        };
        // Somebody else may have been quicker.
        let Some(got) = transfer.get(&take).await? else {
            continue;
        };
        let parts = Parts::of(&got.descriptor, &got.body);
        let descriptor = MessageDescriptor {
            format: Chars(parts.format),
            encoding: parts.encoding,
            ccsid: parts.ccsid,
            ..got.descriptor
        };
        transfer.put(descriptor, parts.body).await?;
    }
    transfer.end().await
}

/// Whether the connector can read it; else why not.
fn is_transaction(parts: &Parts) -> Result<(), String> {
    if let Some(detail) = &parts.refusal {
        return Err(format!(
            "the gateway refused it ({detail}): mend it and send it again with `daybook send`"
        ));
    }
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&parts.body)
        .map_err(|error| format!("its body is no JSON object: {error}"))?;
    for name in [
        field::ID,
        field::SOURCE,
        field::ACCOUNT,
        field::AMOUNT,
        field::CURRENCY,
        field::BOOKED_AT,
    ] {
        if !object.get(name).is_some_and(serde_json::Value::is_string) {
            return Err(format!(
                "its JSON has no text `{name}`: transactions come through the gateway (`daybook send`)"
            ));
        }
    }
    Ok(())
}

struct Transfer<'a> {
    session: &'a mut Session,
    from: Queue,
    to: Queue,
    /// Still to be looked at: what came later is not touched, or it might never end.
    left: u64,
    wanted: u64,
    moved: u64,
    stayed: u64,
    /// Of the unit of work.
    messages: u64,
    bytes: usize,
    told: Instant,
}

impl<'a> Transfer<'a> {
    async fn open(
        session: &'a mut Session,
        from: &str,
        to: &str,
        limit: Option<u64>,
    ) -> anyhow::Result<Self> {
        anyhow::ensure!(from != to, "{from} is both where from and where to");
        let options = open::INPUT_SHARED | open::BROWSE | open::INQUIRE;
        let source = session.open(from, options).await;
        let source = source.map_err(|error| explain(error, &format!("{from} cannot be opened")))?;
        let options = open::OUTPUT | open::SET_ALL_CONTEXT;
        let target = session.open(to, options).await;
        let target = target.map_err(|error| explain(error, &format!("{to} cannot be opened")))?;
        let selectors = [attribute::CURRENT_Q_DEPTH];
        let (numbers, _) = session.inquire(&source, &selectors, 0).await?;
        let depth = numbers
            .first()
            .map_or(0, |depth| (*depth).max(0).unsigned_abs());
        Ok(Self {
            session,
            from: source,
            to: target,
            left: u64::from(depth),
            wanted: limit.unwrap_or(u64::MAX),
            moved: 0,
            stayed: 0,
            messages: 0,
            bytes: 0,
            told: Instant::now(),
        })
    }

    fn is_wanted(&self) -> bool {
        self.left > 0 && self.moved + self.messages < self.wanted
    }

    async fn get(&mut self, request: &GetRequest) -> anyhow::Result<Option<Got>> {
        match self.session.get(&self.from, request).await {
            Ok(got) => {
                if request.cursor != get::MSG_UNDER_CURSOR {
                    self.left -= u64::from(got.is_some());
                }
                Ok(got)
            }
            Err(ClientError::Call { reason, .. }) if reason.0 == NO_MSG_UNDER_CURSOR => Ok(None),
            Err(error) => Err(self.failed(error, "getting").await),
        }
    }

    /// Everything stays as it was: identifiers, time, who put it.
    async fn put(&mut self, descriptor: MessageDescriptor, body: Bytes) -> anyhow::Result<()> {
        self.bytes += body.len();
        self.messages += 1;
        let options = put::SET_ALL_CONTEXT;
        let put = self
            .session
            .put_with(&self.to, descriptor, body, true, options)
            .await;
        if let Err(error) = put {
            return Err(self.failed(error, "putting").await);
        }
        if self.messages >= BATCH_MESSAGES_MAX || self.bytes >= BATCH_BYTES_MAX {
            self.commit().await?;
        }
        Ok(())
    }

    async fn commit(&mut self) -> anyhow::Result<()> {
        if self.messages == 0 {
            return Ok(());
        }
        if let Err(error) = self.session.commit().await {
            let unknown = error.outcome_is_unknown();
            let last = self.messages;
            let error = self.failed(error, "committing").await;
            return Err(match unknown {
                true => error.context(format!(
                    "the last {last} messages are on one of the two queues, but on which is not known: \
                     `daybook queue list` tells; run it again for the rest"
                )),
                false => error,
            });
        }
        self.moved += self.messages;
        (self.messages, self.bytes) = (0, 0);
        if std::io::stderr().is_terminal() && self.told.elapsed() >= PROGRESS_INTERVAL {
            self.told = Instant::now();
            eprintln!("  {} moved, {} to go", self.moved, self.left);
        }
        Ok(())
    }

    fn leave(&mut self, got: &Got, reason: &str) {
        self.stayed += 1;
        if self.stayed <= REASONS_MAX {
            let id = got.descriptor.msg_id.iter();
            let id: String = id.map(|byte| format!("{byte:02x}")).collect();
            eprintln!("  stays: MsgId {id}: {reason}");
        }
    }

    /// Backs out; says what was done until then.
    async fn failed(&mut self, error: ClientError, doing: &str) -> anyhow::Error {
        if error.session_is_usable() {
            // When that fails too the session has ended, which backs out as well.
            let _ = self.session.back_out().await;
        }
        let context = format!(
            "{doing} failed after {} messages were moved from {} to {}; the others are where they were",
            self.moved,
            self.from.name(),
            self.to.name()
        );
        explain(error, &context)
    }

    async fn end(mut self) -> anyhow::Result<()> {
        self.commit().await?;
        let (moved, from, to) = (self.moved, self.from.name(), self.to.name());
        eprintln!("{moved} messages moved from {from} to {to}");
        if self.stayed > 0 {
            anyhow::bail!(
                "{} messages stay on {from}: they are no transactions",
                self.stayed
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_transactions_are_replayed() {
        let parts = |body: &str, refusal: Option<&str>| Parts {
            format: *b"MQSTR   ",
            encoding: 546,
            ccsid: 1208,
            folders: Vec::new(),
            refusal: refusal.map(str::to_owned),
            body: Bytes::copy_from_slice(body.as_bytes()),
        };
        let whole = r#"{"id":"t","source":"json","account":"a","amount":"1","currency":"EUR","booked_at":"x"}"#;
        assert_eq!(is_transaction(&parts(whole, None)), Ok(()));
        for (body, refusal, expected) in [
            (
                whole,
                Some("no amount"),
                "the gateway refused it (no amount)",
            ),
            ("text", None, "its body is no JSON object"),
            ("[]", None, "its body is no JSON object"),
            (
                r#"{"id":"t","source":"json","account":7}"#,
                None,
                "no text `account`",
            ),
        ] {
            let reason = is_transaction(&parts(body, refusal)).expect_err(body);
            assert!(reason.contains(expected), "{reason}");
        }
    }
}
