//! MQINQ and MQSET: attributes of queues and of the queue manager.

use bytes::{Bytes, BytesMut};
use mq_wire::{Api, Attributes, Call};
use queue_manager::{QueueDefinition, QueueStatus};

use crate::command::COMMAND_QUEUE;
use crate::conversation::{Conversation, answer};
use crate::listener::Shared;
use crate::objects::{Object, open};
use crate::reason::{self, FINE, Outcome, failed};

/// Selectors of numbers are below, those of text at and above (MQCA_FIRST).
const FIRST_TEXT: i32 = 2001;
/// Level of the command set: 9.4.
const COMMAND_LEVEL: i32 = 940;
const PLATFORM_UNIX: i32 = 3;

pub(crate) use mq_wire::mqi::attribute as selector;

/// What an attribute is.
pub(crate) enum Value {
    Number(i32),
    /// With its fixed length.
    Text(String, usize),
}

impl Conversation {
    pub(crate) fn inquire(&mut self, handle: i32, mut attributes: Attributes) -> Api {
        let outcome = match self.values(handle, &attributes) {
            Ok((ints, chars)) => {
                attributes.ints = ints;
                attributes.chars = chars;
                FINE
            }
            Err(outcome) => {
                attributes.int_count = 0;
                attributes.char_length = 0;
                outcome
            }
        };
        answer(outcome, handle, Call::Attributes(attributes))
    }

    fn values(&self, handle: i32, asked: &Attributes) -> Result<(Vec<i32>, Bytes), Outcome> {
        let object = self.objects.get(&handle);
        let object = object.ok_or(failed(reason::HOBJ_ERROR))?;
        let options = match object {
            Object::QueueManager { options } => *options,
            Object::Queue(queue) => queue.options,
            Object::Topic(_) | Object::Subscription { .. } => 0,
        };
        if options & open::INQUIRE == 0 {
            return Err(failed(reason::NOT_OPEN_FOR_INQUIRE));
        }
        let mut ints = Vec::new();
        let mut chars = BytesMut::new();
        for selector in &asked.selectors {
            let value = match object {
                Object::Topic(_) | Object::Subscription { .. } => None,
                Object::QueueManager { .. } => {
                    manager_value(*selector, &self.shared, self.setting.message_bytes_max)
                }
                Object::Queue(queue) => {
                    let name = queue.queue.name();
                    let status = self.manager().status_of(name);
                    let definition = self.manager().definition(name);
                    let gone = |_| failed(reason::Q_DELETED);
                    let (status, definition) = (status.map_err(gone)?, definition.map_err(gone)?);
                    queue_value(*selector, &definition, &status)
                }
            };
            match value.ok_or(failed(reason::SELECTOR_ERROR))? {
                Value::Number(number) => ints.push(number),
                Value::Text(text, bytes) => {
                    let end = chars.len() + bytes;
                    chars.extend_from_slice(text.as_bytes());
                    chars.resize(end, b' ');
                }
            }
        }
        if usize::try_from(asked.int_count).is_ok_and(|room| room < ints.len()) {
            return Err(failed(reason::INT_ATTR_COUNT_ERROR));
        }
        let room = usize::try_from(asked.char_length).unwrap_or(0);
        if room < chars.len() {
            return Err(failed(reason::CHAR_ATTR_LENGTH_ERROR));
        }
        chars.resize(room, b' ');
        // As many numbers as the client has room for, so that the text lies where it looks.
        ints.resize(usize::try_from(asked.int_count).unwrap_or(0), 0);
        Ok((ints, chars.freeze()))
    }

    pub(crate) async fn set(&mut self, handle: i32, attributes: Attributes) -> Api {
        let outcome = match self.set_values(handle, &attributes).await {
            Ok(()) => FINE,
            Err(outcome) => outcome,
        };
        answer(outcome, handle, Call::Attributes(attributes))
    }

    async fn set_values(&mut self, handle: i32, set: &Attributes) -> Result<(), Outcome> {
        let queue = self.queue_handle(handle)?;
        if queue.options & open::SET == 0 {
            return Err(failed(reason::NOT_OPEN_FOR_SET));
        }
        let name = std::sync::Arc::clone(queue.queue.name());
        let mut definition = self
            .manager()
            .definition(&name)
            .map_err(|_| failed(reason::Q_DELETED))?;
        let numbers = set
            .selectors
            .iter()
            .filter(|selector| **selector < FIRST_TEXT);
        if numbers.clone().count() != set.selectors.len() {
            return Err(failed(reason::SELECTOR_ERROR));
        }
        for (selector, value) in numbers.zip(&set.ints) {
            let on = match value {
                0 => false,
                1 => true,
                _ => return Err(failed(reason::INHIBIT_VALUE_ERROR)),
            };
            match *selector {
                selector::INHIBIT_GET => definition.get_inhibited = on,
                selector::INHIBIT_PUT => definition.put_inhibited = on,
                _ => return Err(failed(reason::SELECTOR_ERROR)),
            }
        }
        self.manager().alter(definition).await?;
        Ok(())
    }
}

/// An attribute of the queue manager; `None` if it has no such attribute.
pub(crate) fn manager_value(asked: i32, shared: &Shared, message_bytes_max: u32) -> Option<Value> {
    let name = shared.manager.name();
    let options = shared.manager.options();
    let number = |value: usize| Value::Number(i32::try_from(value).unwrap_or(i32::MAX));
    Some(match asked {
        selector::CODED_CHAR_SET_ID => Value::Number(1208),
        selector::COMMAND_LEVEL => Value::Number(COMMAND_LEVEL),
        selector::PLATFORM => Value::Number(PLATFORM_UNIX),
        selector::ADVANCED_CAPABILITY | selector::DIST_LISTS => Value::Number(0),
        selector::SYNCPOINT => Value::Number(1),
        selector::MAX_PRIORITY => Value::Number(i32::from(queue_manager::PRIORITY_MAX)),
        selector::MAX_HANDLES => number(shared.options.handles_max),
        selector::MAX_UNCOMMITTED_MSGS => number(options.uncommitted_messages_max),
        selector::MAX_MSG_LENGTH => number(message_bytes_max as usize),
        selector::Q_MGR_NAME => Value::Text(name.to_owned(), 48),
        selector::Q_MGR_IDENTIFIER => Value::Text(format!("{name}_daybook"), 48),
        selector::Q_MGR_DESC => Value::Text("Daybook".to_owned(), 64),
        selector::COMMAND_INPUT_Q_NAME => Value::Text(COMMAND_QUEUE.to_owned(), 48),
        selector::DEAD_LETTER_Q_NAME | selector::DEF_XMIT_Q_NAME => Value::Text(String::new(), 48),
        _ => return None,
    })
}

/// An attribute of a queue; `None` if there is no such attribute.
pub(crate) fn queue_value(
    asked: i32,
    queue: &QueueDefinition,
    status: &QueueStatus,
) -> Option<Value> {
    let number = |value: usize| Value::Number(i32::try_from(value).unwrap_or(i32::MAX));
    let flag = |value: bool| Value::Number(i32::from(value));
    Some(match asked {
        selector::CURRENT_Q_DEPTH => number(status.depth),
        selector::MAX_Q_DEPTH => number(queue.depth_max),
        selector::MAX_MSG_LENGTH => number(queue.message_bytes_max),
        selector::OPEN_INPUT_COUNT => number(status.open_inputs),
        selector::OPEN_OUTPUT_COUNT => number(status.open_outputs),
        selector::DEF_PERSISTENCE => flag(queue.default_persistent),
        selector::DEF_PRIORITY => Value::Number(i32::from(queue.default_priority)),
        selector::INHIBIT_GET => flag(queue.get_inhibited),
        selector::INHIBIT_PUT => flag(queue.put_inhibited),
        selector::BACKOUT_THRESHOLD => number(queue.backout_threshold as usize),
        // Shared input.
        selector::DEF_INPUT_OPEN_OPTION => Value::Number(2),
        // Predefined, or temporary dynamic.
        selector::DEFINITION_TYPE => Value::Number(if status.temporary { 3 } else { 1 }),
        // Backout counts are kept.
        selector::HARDEN_GET_BACKOUT | selector::Q_TYPE | selector::SHAREABILITY => {
            Value::Number(1)
        }
        // By priority.
        selector::USAGE
        | selector::MSG_DELIVERY_SEQUENCE
        | selector::NAME_COUNT
        | selector::TRIGGER_CONTROL
        | selector::DIST_LISTS => Value::Number(0),
        selector::RETENTION_INTERVAL => Value::Number(999_999_999),
        selector::Q_NAME => Value::Text(queue.name.clone(), 48),
        selector::Q_DESC => Value::Text(queue.description.clone(), 64),
        selector::BACKOUT_REQ_Q_NAME => Value::Text(queue.backout_queue.clone(), 48),
        selector::BASE_Q_NAME => Value::Text(String::new(), 48),
        _ => return None,
    })
}
