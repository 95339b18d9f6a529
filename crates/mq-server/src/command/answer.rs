//! Answers: one message for each response, put to the queue that the command names.

use std::sync::Arc;

use bytes::BytesMut;
use mq_wire::{
    ByteOrder, Pcf, PcfHeader, PcfParameter, PcfText, PcfTexts, PcfValue, convert, pcf_control,
    pcf_type,
};
use queue_manager::{Descriptor, Message, MsgId, NewMessage, QueueError};
use tracing::warn;

use crate::command::code::id;
use crate::command::{COMMAND_QUEUE, Commander, FORMAT, Failure, Response, Responses, text};
use crate::security::Right;

/// Messages that are put in one unit of work.
const BATCH_MESSAGES_MAX: usize = 100;
/// Bytes above which no further message is added to a unit of work.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// MQRO_*.
const PASS_CORREL_ID: i32 = 0x40;
const PASS_MSG_ID: i32 = 0x80;
const PASS_DISCARD_AND_EXPIRY: i32 = 0x4000;
const REPLY: i32 = 2;
const UTF_8: i32 = 1208;
const APPLICATION_QUEUE_MANAGER: i32 = 7;

/// Who gets the answer to a command, and how it is written.
pub(crate) struct Answer<'a> {
    commander: &'a Commander<'a>,
    message: &'a Message,
    /// `None`: nobody wants it, or it cannot be sent.
    queue: Option<String>,
    ccsid: i32,
    /// Of the command, as far as it is known.
    pub(crate) order: ByteOrder,
    /// As `order`.
    pub(crate) command: i32,
}

impl<'a> Answer<'a> {
    pub(crate) fn to(commander: &'a Commander<'a>, message: &'a Message) -> Self {
        let ccsid = message.descriptor.ccsid;
        Self {
            commander,
            message,
            queue: reply_queue(commander, message),
            // In the command's character set, as far as we can write it.
            ccsid: convert(UTF_8, ccsid, b"").map_or(UTF_8, |_| ccsid),
            order: ByteOrder::of_encoding(message.descriptor.encoding).unwrap_or_default(),
            command: 0,
        }
    }

    /// Puts the responses as they are made. What cannot be put is logged: nobody waits for an error.
    pub(crate) async fn send(self, responses: Result<Responses<'_>, Failure>) {
        let Some(queue) = &self.queue else { return };
        let put = match responses {
            Ok(responses) => self.put_all(queue, responses).await,
            Err(failure) => {
                let parameters = failure
                    .parameter
                    .map(|parameter| PcfParameter::integer(id::PARAMETER_ID, parameter));
                let response = parameters.into_iter().collect();
                let message = self.message(1, true, failure.reason, response);
                self.put(queue, vec![message]).await
            }
        };
        if let Err(error) = put {
            warn!(queue, %error, "the answer to a command cannot be put");
        }
    }

    async fn put_all(&self, queue: &str, responses: Responses<'_>) -> Result<(), QueueError> {
        let mut responses = responses.peekable();
        let (mut batch, mut bytes, mut sequence) = (Vec::new(), 0, 0);
        while let Some(response) = responses.next() {
            sequence += 1;
            let message = self.message(sequence, responses.peek().is_none(), 0, response);
            bytes += message.body.len();
            batch.push(message);
            if batch.len() >= BATCH_MESSAGES_MAX || bytes >= BATCH_BYTES_MAX {
                self.put(queue, std::mem::take(&mut batch)).await?;
                bytes = 0;
            }
        }
        self.put(queue, batch).await
    }

    async fn put(&self, queue: &str, batch: Vec<NewMessage>) -> Result<(), QueueError> {
        let mut unit = self.commander.manager().begin();
        unit.put_all(queue, batch)?;
        unit.commit().await
    }

    fn message(&self, sequence: i32, last: bool, reason: i32, response: Response) -> NewMessage {
        let command = &self.message;
        let asked = command.descriptor.report;
        let mut parameters = response;
        for parameter in &mut parameters {
            in_ccsid(&mut parameter.value, self.ccsid);
        }
        let pcf = Pcf {
            header: PcfHeader {
                kind: pcf_type::RESPONSE,
                version: 1,
                command: self.command,
                sequence,
                control: if last {
                    pcf_control::LAST
                } else {
                    pcf_control::NOT_LAST
                },
                comp_code: if reason == 0 { 0 } else { 2 },
                reason,
            },
            parameters,
        };
        let mut body = BytesMut::new();
        pcf.write(self.order, &mut body);
        let correl_id = if asked & PASS_CORREL_ID == 0 {
            command.msg_id
        } else {
            command.correl_id
        };
        NewMessage {
            // MQMI_NONE would not do: an application may ask for it.
            msg_id: (asked & PASS_MSG_ID != 0 && command.msg_id != MsgId::NONE)
                .then_some(command.msg_id),
            correl_id,
            priority: command.priority,
            expires_at: command
                .expires_at
                .filter(|_| asked & PASS_DISCARD_AND_EXPIRY != 0),
            descriptor: self.descriptor(),
            body: body.freeze(),
            ..NewMessage::default()
        }
    }

    fn descriptor(&self) -> Arc<Descriptor> {
        let command = &self.message.descriptor;
        let queue = self.queue.as_deref().unwrap_or_default();
        // Temporary queues take no persistent messages.
        let status = self.commander.manager().status_of(queue);
        let temporary = status.is_ok_and(|status| status.temporary);
        let mut put_appl_name = [b' '; 28];
        let name = self.commander.manager().name();
        for (to, from) in put_appl_name.iter_mut().zip(name.bytes()) {
            *to = from;
        }
        Arc::new(Descriptor {
            persistent: command.persistent && !temporary,
            msg_type: REPLY,
            encoding: command.encoding & !0xf
                | match self.order {
                    ByteOrder::Big => 1,
                    ByteOrder::Little => 2,
                },
            ccsid: self.ccsid,
            format: *FORMAT,
            put_appl_type: APPLICATION_QUEUE_MANAGER,
            put_appl_name,
            ..Descriptor::default()
        })
    }
}

/// Where the answer goes, if it can go anywhere.
fn reply_queue(commander: &Commander<'_>, message: &Message) -> Option<String> {
    let descriptor = &message.descriptor;
    let queue = text(&descriptor.reply_to_q);
    if queue.is_empty() {
        return None;
    }
    let manager = text(&descriptor.reply_to_q_mgr);
    if !manager.is_empty() && manager != commander.manager().name() {
        warn!(queue, manager, "an answer for another queue manager");
        return None;
    }
    let found = commander.manager().definition(&queue);
    let there = found.is_ok_and(|definition| !definition.model);
    let status = commander.manager().status_of(&queue);
    let (true, Ok(status)) = (there, status) else {
        warn!(queue, "there is no queue for the answer to a command");
        return None;
    };
    // Temporary queues are made for answers, by who may make them.
    let may = status.temporary
        || (commander.shared.gatekeeper).allows(commander.user, &queue, Right::Put);
    if queue == COMMAND_QUEUE || !may {
        warn!(
            user = commander.user,
            queue, "not authorised to have answers put there"
        );
        return None;
    }
    Some(queue)
}

/// Text in another character set. It is in UTF-8 and padded with blanks, so its length stays.
fn in_ccsid(value: &mut PcfValue, ccsid: i32) {
    let converted = |bytes: &[u8]| convert(UTF_8, ccsid, bytes);
    match value {
        PcfValue::Text(PcfText { ccsid: own, bytes }) if ccsid != UTF_8 => {
            if let Some(there) = converted(bytes) {
                (*own, *bytes) = (ccsid, there.into());
            }
        }
        PcfValue::Texts(PcfTexts {
            ccsid: own, texts, ..
        }) if ccsid != UTF_8 => {
            // Names of queues: ASCII, so one byte stays one byte.
            *own = ccsid;
            for text in texts {
                if let Some(there) = converted(text) {
                    *text = there.into();
                }
            }
        }
        _ => {}
    }
}

/// A text of fixed length, padded with blanks, as IBM MQ sends them.
pub(crate) fn fixed(id: i32, text: &str, bytes: usize) -> PcfParameter {
    let padding = bytes.saturating_sub(text.len());
    PcfParameter::text(id, &format!("{text}{:padding$}", ""))
}
