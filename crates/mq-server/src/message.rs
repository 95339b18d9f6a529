//! MQMD as it is on the wire, and as the queue manager keeps it.

use std::sync::Arc;

use mq_wire::{Chars, MessageDescriptor};
use queue_manager::{Descriptor, Message};

/// Descriptor of what a client puts. The context fields are as the client sent them.
pub(crate) fn descriptor_of(md: &MessageDescriptor, persistent: bool) -> Descriptor {
    let second = md.version >= 2;
    Descriptor {
        persistent,
        report: md.report,
        msg_type: md.msg_type,
        feedback: md.feedback,
        encoding: md.encoding,
        ccsid: md.ccsid,
        format: blank_zeros(md.format.0),
        reply_to_q: blank_zeros(md.reply_to_q.0),
        reply_to_q_mgr: blank_zeros(md.reply_to_q_mgr.0),
        user_identifier: blank_zeros(md.user_identifier.0),
        accounting_token: md.accounting_token,
        appl_identity_data: blank_zeros(md.appl_identity_data.0),
        put_appl_type: md.put_appl_type,
        put_appl_name: blank_zeros(md.put_appl_name.0),
        appl_origin_data: blank_zeros(md.appl_origin_data.0),
        group_id: if second { md.group_id } else { [0; 24] },
        msg_seq_number: if second { md.msg_seq_number } else { 1 },
        offset: if second { md.offset } else { 0 },
        msg_flags: if second { md.msg_flags } else { 0 },
        original_length: if second { md.original_length } else { -1 },
    }
}

/// Text fields may end in zeros; kept are blanks.
fn blank_zeros<const N: usize>(mut text: [u8; N]) -> [u8; N] {
    if let Some(end) = text.iter().position(|byte| *byte == 0) {
        text.iter_mut().skip(end).for_each(|byte| *byte = b' ');
    }
    text
}

/// Fills what a client gets. Its version stays as the client wants it.
pub(crate) fn fill(md: &mut MessageDescriptor, message: &Message, now: i64) {
    let descriptor = &message.descriptor;
    let (date, time) = mq_wire::date_and_time(message.put_time);
    let expiry = match message.expires_at {
        // At least a tenth of a second: it was not expired when it was got.
        Some(at) => i32::try_from((at - now) / 100_000)
            .unwrap_or(i32::MAX)
            .max(1),
        None => -1,
    };
    *md = MessageDescriptor {
        version: md.version,
        report: descriptor.report,
        msg_type: descriptor.msg_type,
        expiry,
        feedback: descriptor.feedback,
        encoding: descriptor.encoding,
        ccsid: descriptor.ccsid,
        format: Chars(descriptor.format),
        priority: i32::from(message.priority),
        persistence: i32::from(descriptor.persistent),
        msg_id: message.msg_id.0,
        correl_id: message.correl_id.0,
        backout_count: i32::try_from(message.backout_count).unwrap_or(i32::MAX),
        reply_to_q: Chars(descriptor.reply_to_q),
        reply_to_q_mgr: Chars(descriptor.reply_to_q_mgr),
        user_identifier: Chars(descriptor.user_identifier),
        accounting_token: descriptor.accounting_token,
        appl_identity_data: Chars(descriptor.appl_identity_data),
        put_appl_type: descriptor.put_appl_type,
        put_appl_name: Chars(descriptor.put_appl_name),
        put_date: Chars(date),
        put_time: Chars(time),
        appl_origin_data: Chars(descriptor.appl_origin_data),
        group_id: descriptor.group_id,
        msg_seq_number: descriptor.msg_seq_number,
        offset: descriptor.offset,
        msg_flags: descriptor.msg_flags,
        original_length: descriptor.original_length,
    };
}

/// A conversation's descriptors differ seldom: the last one is used again.
#[derive(Debug, Default)]
pub(crate) struct LastDescriptor(Option<Arc<Descriptor>>);

impl LastDescriptor {
    pub(crate) fn share(&mut self, descriptor: Descriptor) -> Arc<Descriptor> {
        match &self.0 {
            Some(last) if **last == descriptor => Arc::clone(last),
            _ => Arc::clone(self.0.insert(Arc::new(descriptor))),
        }
    }
}
