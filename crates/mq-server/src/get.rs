//! MQGET: getting, browsing, waiting, truncating, converting.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mq_wire::{Api, Call, Chars, Get, GetOptions, MessageDescriptor, convert, match_options};
use queue_manager::{Cursor, Found, Message, MsgId, QueueError, Selection};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::conversation::{Conversation, answer};
use crate::message::fill;
use crate::objects::{QueueHandle, open};
use crate::properties;
use crate::put::now_micros;
use crate::reason::{self, FINE, Outcome, failed, warning};

pub(crate) use mq_wire::mqi::get as gmo;

/// Marks and locks of browsed messages, and signals.
const UNSUPPORTED: i32 = gmo::SET_SIGNAL | gmo::LOCK | gmo::UNLOCK | 0x00f0_0000;

/// A message and how much of it goes to the client.
pub(crate) struct Delivery {
    pub(crate) message: Box<Message>,
    pub(crate) outcome: Outcome,
}

impl Conversation {
    pub(crate) async fn get(&mut self, handle: i32, get: Get) -> Api {
        let room = usize::try_from(get.length).unwrap_or(0);
        let Get {
            mut descriptor,
            mut options,
            ..
        } = get;
        let result = match get.length {
            negative if negative < 0 => Err(failed(reason::BUFFER_LENGTH_ERROR)),
            _ => self.find(handle, &descriptor, &options, room).await,
        };
        let (outcome, length, data) = match result {
            Ok((name, delivery)) => {
                let wanted = (descriptor.ccsid, descriptor.encoding);
                let message = &delivery.message;
                fill(&mut descriptor, message, now_micros());
                let mut outcome = delivery.outcome;
                let with_properties = options.options & gmo::NO_PROPERTIES == 0;
                let mut body = properties::body(message, &mut descriptor, with_properties);
                if options.options & gmo::CONVERT != 0 {
                    match converted(&mut descriptor, &body, wanted.0) {
                        Ok(Some(changed)) => body = changed,
                        Ok(None) => {}
                        Err(warned) if outcome == FINE => outcome = warned,
                        Err(_) => {}
                    }
                }
                options.resolved_q_name = Chars::new(&name);
                options.msg_token = token(message.sequence);
                let sent = body.slice(..body.len().min(room));
                options.returned_length = i32::try_from(sent.len()).unwrap_or(i32::MAX);
                options.group_status = b' ';
                options.segment_status = b' ';
                options.segmentation = b' ';
                (outcome, body.len(), sent)
            }
            Err(outcome) => (outcome, 0, Bytes::new()),
        };
        let get = Get {
            descriptor,
            options,
            length: i32::try_from(length).unwrap_or(i32::MAX),
            data,
        };
        answer(outcome, handle, Call::Get(Box::new(get)))
    }

    async fn find(
        &mut self,
        handle: i32,
        md: &MessageDescriptor,
        gmo: &GetOptions,
        room: usize,
    ) -> Result<(Arc<str>, Delivery), Outcome> {
        let options = gmo.options;
        let queue = self.queue_handle(handle)?;
        let name = Arc::clone(queue.queue.name());
        check(options, queue.options)?;
        let mut selection = selection(md, gmo, queue)?;
        let mut after = None;
        match options & (gmo::BROWSE | gmo::MSG_UNDER_CURSOR) {
            0 | gmo::BROWSE_FIRST => {}
            gmo::BROWSE_NEXT => after = queue.cursor,
            gmo::BROWSE_MSG_UNDER_CURSOR | gmo::MSG_UNDER_CURSOR => {
                let cursor = queue.cursor.ok_or(failed(reason::NO_MSG_UNDER_CURSOR))?;
                selection = Selection {
                    sequence: Some(cursor.sequence()),
                    ..Selection::default()
                };
            }
            _ => return Err(failed(reason::OPTIONS_ERROR)),
        }
        let until = wait_until(gmo)?;
        let accept_truncated = options & gmo::ACCEPT_TRUNCATED_MSG != 0;
        let delivered = if options & gmo::BROWSE != 0 {
            self.browse(&name, after, &selection, until).await?
        } else {
            self.take_one(&name, &selection, until, options, room)
                .await?
        };
        let Some((message, taken)) = delivered else {
            let under_cursor = options & (gmo::MSG_UNDER_CURSOR | gmo::BROWSE_MSG_UNDER_CURSOR);
            return Err(failed(if under_cursor != 0 {
                reason::NO_MSG_UNDER_CURSOR
            } else {
                reason::NO_MSG_AVAILABLE
            }));
        };
        let fits = size(&message, options) <= room;
        let queue = self.queue_handle(handle)?;
        if options & gmo::BROWSE != 0 && (fits || accept_truncated) {
            queue.cursor = Some(Cursor::at(&message));
        }
        if taken && queue.options & open::SAVE_ALL_CONTEXT != 0 {
            queue.context = Some(Arc::new((*message).clone()));
        }
        let outcome = match (fits, accept_truncated) {
            (true, _) => FINE,
            (false, true) => warning(reason::TRUNCATED_MSG_ACCEPTED),
            (false, false) => warning(reason::TRUNCATED_MSG_FAILED),
        };
        Ok((name, Delivery { message, outcome }))
    }

    /// A copy of the next message, waiting until `until` for one.
    async fn browse(
        &self,
        name: &str,
        after: Option<Cursor>,
        selection: &Selection,
        until: Option<Option<Instant>>,
    ) -> Result<Option<(Box<Message>, bool)>, Outcome> {
        let manager = self.manager();
        let look = || manager.browse_next(name, after, selection);
        let found = match until {
            None => look(),
            Some(until) => unless_gone(&self.gone, manager.wait_for(name, until, look)).await,
        };
        let found = found.map_err(|error| gone(&error))?;
        Ok(found.map(|message| (Box::new(message), false)))
    }

    /// Takes the next message, waiting until `until` for one. What is refused because it does not
    /// fit stays on the queue.
    async fn take_one(
        &mut self,
        name: &str,
        selection: &Selection,
        until: Option<Option<Instant>>,
        options: i32,
        room: usize,
    ) -> Result<Option<(Box<Message>, bool)>, Outcome> {
        let accept_truncated = options & gmo::ACCEPT_TRUNCATED_MSG != 0;
        let (manager, gone_away) = (self.manager().clone(), self.gone.clone());
        // What belongs to the unit of work is decided when the message is seen.
        let mut alone = manager.begin();
        let unit = self.unit();
        let mut look = || -> Result<Option<Found>, QueueError> {
            let mut persistent = false;
            let mut accept = |message: &Message| {
                persistent = message.descriptor.persistent;
                let in_unit = match options & gmo::SYNC {
                    gmo::SYNCPOINT => true,
                    gmo::SYNCPOINT_IF_PERSISTENT => persistent,
                    _ => false,
                };
                let for_now = in_unit || options & gmo::SYNC != gmo::SYNCPOINT_IF_PERSISTENT;
                for_now && (accept_truncated || size(message, options) <= room)
            };
            let found = if options & gmo::SYNC == gmo::SYNCPOINT
                || options & gmo::SYNC == gmo::SYNCPOINT_IF_PERSISTENT
            {
                unit.get_matching(name, selection, &mut accept)?
            } else {
                alone.get_matching(name, selection, &mut accept)?
            };
            let found = match found {
                // Not persistent, so it is got outside of the unit of work.
                Found::Refused(message)
                    if options & gmo::SYNC == gmo::SYNCPOINT_IF_PERSISTENT
                        && !message.descriptor.persistent =>
                {
                    let this = Selection {
                        sequence: Some(message.sequence),
                        ..Selection::default()
                    };
                    let mut accept =
                        |message: &Message| accept_truncated || size(message, options) <= room;
                    alone.get_matching(name, &this, &mut accept)?
                }
                found => found,
            };
            Ok(match found {
                Found::Nothing => None,
                found => Some(found),
            })
        };
        let found = match until {
            None => look(),
            Some(until) => unless_gone(&gone_away, manager.wait_for(name, until, look)).await,
        };
        let found = found.map_err(|error| gone(&error))?;
        match found {
            Some(Found::Got(message)) => {
                if alone.messages() > 0 {
                    // Got for good only when the disk has it.
                    alone.commit().await?;
                }
                Ok(Some((message, true)))
            }
            Some(Found::Refused(message)) => Ok(Some((message, false))),
            Some(Found::Nothing) | None => Ok(None),
        }
    }
}

/// A wait ends with its socket, and then takes nothing: nobody would get it.
async fn unless_gone<T>(
    gone: &CancellationToken,
    wait: impl Future<Output = Result<Option<T>, QueueError>>,
) -> Result<Option<T>, QueueError> {
    tokio::select! {
        biased;
        () = gone.cancelled() => Ok(None),
        found = wait => found,
    }
}

/// A queue that was open and is not there any more.
pub(crate) fn gone(error: &QueueError) -> Outcome {
    match error {
        QueueError::UnknownQueue { .. } => failed(reason::Q_DELETED),
        error => error.into(),
    }
}

/// Bytes as the client will get them.
fn size(message: &Message, options: i32) -> usize {
    properties::bytes(message, options & gmo::NO_PROPERTIES == 0)
}

fn check(options: i32, open_options: i32) -> Result<(), Outcome> {
    if options & UNSUPPORTED != 0 {
        return Err(failed(reason::FUNCTION_NOT_SUPPORTED));
    }
    if (options & gmo::SYNC).count_ones() > 1 {
        return Err(failed(reason::OPTIONS_ERROR));
    }
    if options & gmo::BROWSE != 0 {
        if open_options & open::BROWSE == 0 {
            return Err(failed(reason::NOT_OPEN_FOR_BROWSE));
        }
        return Ok(());
    }
    if open_options & open::INPUT == 0 {
        return Err(failed(reason::NOT_OPEN_FOR_INPUT));
    }
    if options & gmo::MSG_UNDER_CURSOR != 0 && open_options & open::BROWSE == 0 {
        return Err(failed(reason::NOT_OPEN_FOR_BROWSE));
    }
    Ok(())
}

/// `None`: does not wait. `Some(None)`: for ever.
fn wait_until(gmo: &GetOptions) -> Result<Option<Option<Instant>>, Outcome> {
    if gmo.options & gmo::WAIT == 0 {
        return Ok(None);
    }
    match gmo.wait_interval {
        -1 => Ok(Some(None)),
        millis => match u64::try_from(millis) {
            Ok(millis) => Ok(Some(Some(Instant::now() + Duration::from_millis(millis)))),
            Err(_) => Err(failed(reason::WAIT_INTERVAL_ERROR)),
        },
    }
}

fn selection(
    md: &MessageDescriptor,
    gmo: &GetOptions,
    queue: &QueueHandle,
) -> Result<Selection, Outcome> {
    let default = match_options::MSG_ID | match_options::CORREL_ID;
    let wanted = if gmo.version >= 2 {
        gmo.match_options
    } else {
        default
    };
    if wanted & !0x3f != 0 {
        return Err(failed(reason::MATCH_OPTIONS_ERROR));
    }
    let has = |bit| wanted & bit != 0;
    // An empty identifier matches any.
    let id = |bit, id: [u8; 24]| (has(bit) && id != [0; 24]).then_some(id);
    Ok(Selection {
        msg_id: id(match_options::MSG_ID, md.msg_id).map(MsgId),
        correl_id: id(match_options::CORREL_ID, md.correl_id).map(MsgId),
        group_id: id(match_options::GROUP_ID, md.group_id),
        msg_seq_number: has(match_options::MSG_SEQ_NUMBER).then_some(md.msg_seq_number),
        offset: has(match_options::OFFSET).then_some(md.offset),
        sequence: has(match_options::MSG_TOKEN).then(|| sequence(&gmo.msg_token)),
        condition: queue.condition.clone(),
    })
}

/// MQGMO.MsgToken: the sequence in eight of its sixteen bytes.
pub(crate) fn token(sequence: u64) -> [u8; 16] {
    let mut token = [0; 16];
    for (to, from) in token.iter_mut().zip(sequence.to_be_bytes()) {
        *to = from;
    }
    token
}

fn sequence(token: &[u8; 16]) -> u64 {
    token
        .iter()
        .take(8)
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The body in the character set that was asked for; `None` when nothing changes.
///
/// Text in format MQSTR is converted; other formats need a program that knows them.
fn converted(
    md: &mut MessageDescriptor,
    body: &Bytes,
    wanted: i32,
) -> Result<Option<Bytes>, Outcome> {
    // 0 = the queue manager's.
    let wanted = if wanted == 0 { 1208 } else { wanted };
    if md.ccsid == wanted || md.format.is_blank() {
        return Ok(None);
    }
    if md.format.trimmed() != b"MQSTR" {
        return Err(warning(2110));
    }
    match convert(md.ccsid, wanted, body) {
        Some(changed) => {
            md.ccsid = wanted;
            Ok(Some(changed.into()))
        }
        None => Err(warning(reason::NOT_CONVERTED)),
    }
}
