//! Messages that are pushed: listeners and read ahead.
//!
//! A client says how many bytes it has room for; as long as there is room and the conversation is
//! not paused, messages are got for it and sent. Invariant: what was sent and not yet acknowledged
//! by a request costs at most the client's room and one message.

use std::collections::VecDeque;
use std::sync::Arc;

use mq_wire::{
    AsyncMessage, FirstBase, FirstPiece, Flow, Header, MessageDescriptor, Notification, PieceBase,
    RequestMessages, SegmentType, flags, match_options, notification,
};
use queue_manager::{Found, Message, MsgId, Selection};
use tokio::sync::Notify;
use tracing::debug;

use crate::conversation::Conversation;
use crate::get::{gmo, token};
use crate::message::fill;
use crate::objects::Object;
use crate::properties;
use crate::put::now_micros;

/// Requests of what nobody asked for have this number.
const UNSOLICITED: u32 = 1;
/// Bytes of an MQMD of version 2: they count for the client's room.
const DESCRIPTOR_BYTES: i64 = 364;

/// A handle whose messages are pushed.
#[derive(Debug, Default)]
pub(crate) struct Consumer {
    options: i32,
    selection: Selection,
    selection_index: u16,
    room: i64,
    index: i32,
    /// Sent and not yet acknowledged: index and bytes.
    unacknowledged: VecDeque<(i32, i64)>,
    /// To be told when all that is there was sent.
    check: Option<u32>,
}

impl Consumer {
    fn wants(&self) -> bool {
        let sent: i64 = self.unacknowledged.iter().map(|(_, bytes)| bytes).sum();
        self.room > sent
    }
}

impl Conversation {
    /// REQUEST_MSGS.
    pub(crate) fn request_messages(&mut self, header: Header, request: RequestMessages) {
        let base = &request.base;
        let Ok(queue) = self.queue_handle(base.handle) else {
            debug!(
                handle = base.handle,
                "messages wanted of a handle that is not open"
            );
            return;
        };
        let condition = queue.condition.clone();
        let consumer = queue.consumer.get_or_insert_default();
        if let Some(wanted) = &request.selection {
            let has = |bit| wanted.base.match_options & bit != 0;
            consumer.selection_index = wanted.base.selection_index;
            consumer.selection = Selection {
                msg_id: wanted.msg_id.filter(|id| *id != [0; 24]).map(MsgId),
                correl_id: wanted.correl_id.filter(|id| *id != [0; 24]).map(MsgId),
                group_id: wanted.group_id,
                msg_seq_number: has(match_options::MSG_SEQ_NUMBER)
                    .then_some(wanted.base.msg_seq_number),
                offset: has(match_options::OFFSET).then_some(wanted.base.offset),
                sequence: None,
                condition,
            };
        }
        consumer.options = base.get_options;
        consumer.room = i64::from(base.wanted_bytes);
        let last = base.last_index;
        consumer.unacknowledged.retain(|(index, _)| *index > last);
        if header.flags & flags::CONFIRM != 0 {
            consumer.check = header.conversation().map(|address| address.request);
        }
    }

    /// NOTIFICATION.
    pub(crate) fn notified(&mut self, header: Header, news: &Notification) {
        if news.code != notification::CONNECTION_STATE {
            return;
        }
        self.is_streaming = news.value != 0;
        if header.flags & flags::CONFIRM != 0
            && let Some(address) = header.conversation()
        {
            let reply = Notification {
                code: notification::CONNECTION_STATE_REPLY,
                ..news.clone()
            };
            let flow = Flow::Notification(reply);
            self.send(
                SegmentType::NOTIFICATION,
                address.request,
                flags::WHOLE,
                &flow,
            );
        }
    }

    /// What tells of messages for those who wait for them.
    pub(crate) fn arrivals(&self) -> Vec<Arc<Notify>> {
        if !self.is_streaming {
            return Vec::new();
        }
        let mut arrivals = Vec::new();
        for object in self.objects.values() {
            if let Object::Queue(queue) = object
                && queue.consumer.as_ref().is_some_and(Consumer::wants)
                && let Ok(arrival) = self.manager().arrivals(queue.queue.name())
            {
                arrivals.push(arrival);
            }
        }
        arrivals
    }

    /// Sends what there is room for.
    pub(crate) fn pump(&mut self) {
        if !self.is_streaming {
            return;
        }
        let handles: Vec<i32> = self.objects.keys().copied().collect();
        for handle in handles {
            while self.push_one(handle) {}
            self.tell_all_is_sent(handle);
        }
    }

    fn tell_all_is_sent(&mut self, handle: i32) {
        let Ok(queue) = self.queue_handle(handle) else {
            return;
        };
        let check = queue
            .consumer
            .as_mut()
            .and_then(|consumer| consumer.check.take());
        if let Some(request) = check {
            let news = Flow::Notification(Notification {
                version: 1,
                handle,
                code: notification::CHECK_MESSAGE,
                value: 0,
            });
            self.send(SegmentType::NOTIFICATION, request, flags::WHOLE, &news);
        }
    }

    fn push_one(&mut self, handle: i32) -> bool {
        let manager = self.manager().clone();
        let Some(Object::Queue(queue)) = self.objects.get_mut(&handle) else {
            return false;
        };
        let name = Arc::clone(queue.queue.name());
        let Some(consumer) = queue.consumer.as_mut().filter(|consumer| consumer.wants()) else {
            return false;
        };
        let (options, selection) = (consumer.options, consumer.selection.clone());
        // Without a unit of work the message is gone when it is sent: that is what read ahead of
        // non-persistent messages means.
        let in_unit = options & (gmo::SYNCPOINT | gmo::SYNCPOINT_IF_PERSISTENT) != 0;
        let mut alone = manager.begin();
        let unit = if in_unit {
            self.unit.get_or_insert_with(|| manager.begin())
        } else {
            &mut alone
        };
        let message = match unit.get_matching(&name, &selection, &mut |_| true) {
            Ok(Found::Got(message)) => message,
            Ok(_) => return false,
            Err(error) => {
                debug!(%error, "cannot get for a consumer");
                return false;
            }
        };
        if !in_unit {
            tokio::spawn(async move {
                if let Err(error) = alone.commit().await {
                    debug!(%error, "a message that was read ahead comes again");
                }
            });
        }
        self.send_message(handle, &name, &message);
        true
    }

    fn send_message(&mut self, handle: i32, name: &str, message: &Message) {
        let Some(Object::Queue(queue)) = self.objects.get_mut(&handle) else {
            return;
        };
        let Some(consumer) = queue.consumer.as_mut() else {
            return;
        };
        let mut descriptor = MessageDescriptor {
            version: 2,
            ..MessageDescriptor::default()
        };
        fill(&mut descriptor, message, now_micros());
        let with_properties = consumer.options & gmo::NO_PROPERTIES == 0;
        let body = properties::body(message, &mut descriptor, with_properties);
        consumer.index = consumer.index.wrapping_add(1);
        let index = consumer.index;
        let total = i32::try_from(body.len()).unwrap_or(i32::MAX);
        consumer
            .unacknowledged
            .push_back((index, DESCRIPTOR_BYTES + i64::from(total)));
        let selection_index = consumer.selection_index;
        let mut first = Some(FirstPiece {
            base: FirstBase {
                reason: 0,
                total_bytes: total,
                actual_bytes: total,
                msg_token: token(message.sequence),
                status: 0,
            },
            resolved_q_name: name.as_bytes().to_vec().into(),
            descriptor,
        });
        let segment = self.setting.segment_bytes_max as usize - mq_wire::TSHM_BYTES;
        let (mut rest, mut piece) = (body, 0_u16);
        loop {
            let head = match &first {
                Some(first) => AsyncMessage::head_bytes(name.len(), &first.descriptor),
                None => AsyncMessage::NEXT_HEAD_BYTES,
            };
            let data = rest.split_to(rest.len().min(segment.saturating_sub(head)));
            let mut which = 0;
            if piece == 0 {
                which |= flags::FIRST;
            }
            if rest.is_empty() {
                which |= flags::LAST;
            }
            let base = PieceBase {
                version: 1,
                handle,
                index,
                global_index: index,
                piece_bytes: i32::try_from(data.len()).unwrap_or(i32::MAX),
                piece,
                selection_index,
            };
            let message = AsyncMessage {
                base,
                first: first.take(),
                data,
            };
            let flow = Flow::AsyncMessage(Box::new(message));
            self.send(SegmentType::ASYNC_MESSAGE, UNSOLICITED, which, &flow);
            if rest.is_empty() {
                return;
            }
            piece = piece.wrapping_add(1);
        }
    }
}
