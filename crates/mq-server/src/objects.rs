//! Handles: MQOPEN, MQCLOSE, and SPI's OPEN.

use std::sync::Arc;

use mq_wire::{
    Api, Call, Chars, ObjectDescriptor, Open, OpenAttributes, Spi, SpiContent, SpiOpenAttributes,
    SpiPart, SpiVerb, VariableText, spi_verb,
};
use queue_manager::{Condition, Cursor, Message, OpenMode, OpenQueue, QueueDefinition, QueueError};
use tracing::debug;

use crate::conversation::{Conversation, answer};
use crate::publish::TopicHandle;
use crate::reason::{self, FINE, Outcome, failed};
use crate::security::Right;
use crate::selector;
use crate::streaming::Consumer;
use crate::topics::Subscribed;

use mq_wire::mqi::close;
pub(crate) use mq_wire::mqi::open;

pub(crate) const OBJECT_QUEUE: i32 = 1;
const OBJECT_QUEUE_MANAGER: i32 = 5;
pub(crate) const OBJECT_TOPIC: i32 = 8;

/// Identifiers that SPI RESERVE hands out at a time.
const RESERVE_MAX: u32 = 1_024;

/// What a handle stands for.
#[derive(Debug)]
pub(crate) enum Object {
    QueueManager {
        options: i32,
    },
    Queue(Box<QueueHandle>),
    Topic(TopicHandle),
    /// Closing it ends it.
    Subscription {
        _kept: Subscribed,
    },
}

pub(crate) struct QueueHandle {
    pub(crate) queue: OpenQueue,
    pub(crate) options: i32,
    /// Where browsing stands.
    pub(crate) cursor: Option<Cursor>,
    /// JMS selector of the open.
    pub(crate) condition: Option<Condition>,
    /// Of the last message got with MQOO_SAVE_ALL_CONTEXT.
    pub(crate) context: Option<Arc<Message>>,
    /// Messages are pushed.
    pub(crate) consumer: Option<Consumer>,
}

impl QueueHandle {
    pub(crate) fn new(queue: OpenQueue, options: i32, condition: Option<Condition>) -> Self {
        Self {
            queue,
            options,
            cursor: None,
            condition,
            context: None,
            consumer: None,
        }
    }
}

impl std::fmt::Debug for QueueHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueueHandle")
            .field("queue", &self.queue.name())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// What opening a queue tells the client.
struct Opened {
    handle: i32,
    definition: Option<QueueDefinition>,
}

impl Conversation {
    pub(crate) fn open(&mut self, mut open: Open) -> Api {
        let strings = Strings::behind(open.object.bytes(), &open.rest);
        let (outcome, handle) = match self.open_object(&mut open.object, open.options, strings) {
            Ok(opened) => {
                if let Some(attributes) = &mut open.attributes {
                    fill_attributes(attributes, opened.definition.as_ref());
                }
                (FINE, opened.handle)
            }
            Err(outcome) => (outcome, 0),
        };
        if let Some(attributes) = &mut open.attributes {
            // Room was offered for further attributes; there are none.
            attributes.extra_offset = attributes.length;
            attributes.extra_length = 0;
        }
        answer(outcome, handle, Call::Open(Box::new(open)))
    }

    fn open_object(
        &mut self,
        object: &mut ObjectDescriptor,
        options: i32,
        strings: Strings<'_>,
    ) -> Result<Opened, Outcome> {
        let own = self.manager().name().to_owned();
        let at = object.object_q_mgr_name.text();
        if !at.is_empty() && at != own {
            return Err(failed(reason::UNKNOWN_REMOTE_Q_MGR));
        }
        if self.objects.len() >= self.shared.options.handles_max {
            return Err(failed(reason::HANDLE_NOT_AVAILABLE));
        }
        if options & open::ACCESS == 0 {
            return Err(failed(reason::OPTIONS_ERROR));
        }
        let opened = match object.object_type {
            OBJECT_QUEUE_MANAGER => {
                if options & open::ACCESS & !open::INQUIRE != 0 {
                    return Err(failed(reason::OPTION_NOT_VALID_FOR_TYPE));
                }
                let handle = self.new_handle();
                self.objects
                    .insert(handle, Object::QueueManager { options });
                Opened {
                    handle,
                    definition: None,
                }
            }
            OBJECT_QUEUE => self.open_queue(object, options, strings)?,
            OBJECT_TOPIC => Opened {
                handle: self.open_topic(object, options, strings)?,
                definition: None,
            },
            _ => return Err(failed(reason::OBJECT_TYPE_ERROR)),
        };
        object.known_dest_count = 1;
        Ok(opened)
    }

    fn open_queue(
        &mut self,
        object: &mut ObjectDescriptor,
        options: i32,
        strings: Strings<'_>,
    ) -> Result<Opened, Outcome> {
        if (options & open::INPUT).count_ones() > 1 {
            return Err(failed(reason::OPTIONS_ERROR));
        }
        let name = object.object_name.text();
        for (wanted, right) in [
            (open::INPUT, Right::Get),
            (open::BROWSE, Right::Browse),
            (open::OUTPUT, Right::Put),
            (open::INQUIRE, Right::Inquire),
            (open::SET, Right::Set),
            // Commands are carried out as whom they are from: what is passed on counts too.
            (open::CONTEXT, Right::Context),
        ] {
            if options & wanted != 0 {
                self.check_right(&name, right)?;
            }
        }
        let selection = strings.text(&object.selection_string);
        let selection = selection.map_err(|()| failed(reason::SELECTOR_SYNTAX_ERROR))?;
        let condition = selector::optional(selection)?;
        let mode = OpenMode {
            input: options & open::INPUT != 0,
            exclusive: options & open::INPUT_EXCLUSIVE != 0,
            output: options & open::OUTPUT != 0,
        };
        let dynamic = object.dynamic_q_name.text();
        let queue = match self.manager().open(&name, mode, &dynamic) {
            Ok(queue) => queue,
            Err(QueueError::Name { .. } | QueueError::Exists { .. }) => {
                return Err(failed(reason::DYNAMIC_Q_NAME_ERROR));
            }
            Err(error) => return Err(error.into()),
        };
        let definition = self.manager().definition(queue.name())?;
        object.object_name = Chars::new(queue.name());
        object.resolved_q_name = Chars::new(queue.name());
        object.resolved_q_mgr_name = Chars::new(self.manager().name());
        object.resolved_type = OBJECT_QUEUE;
        let handle = self.new_handle();
        let opened = QueueHandle::new(queue, options, condition);
        self.objects.insert(handle, Object::Queue(Box::new(opened)));
        Ok(Opened {
            handle,
            definition: Some(definition),
        })
    }

    pub(crate) async fn close(&mut self, handle: i32, options: i32) -> Api {
        let Some(object) = self.objects.remove(&handle) else {
            return answer(failed(reason::HOBJ_ERROR), -1, Call::Empty);
        };
        let mut outcome = FINE;
        if let Object::Queue(queue) = object
            && options & (close::DELETE | close::DELETE_PURGE) != 0
            && !queue.queue.is_maker()
        {
            let purge = options & close::DELETE_PURGE != 0;
            let name = Arc::clone(queue.queue.name());
            drop(queue);
            outcome = self.delete_dynamic(&name, purge).await;
        }
        answer(outcome, -1, Call::Empty)
    }

    /// Only queues that were made from a model can be deleted by their users.
    async fn delete_dynamic(&self, name: &str, purge: bool) -> Outcome {
        match self.manager().status_of(name) {
            Ok(status) if status.temporary => match self.manager().delete(name, purge).await {
                Ok(()) => FINE,
                Err(error) => error.into(),
            },
            Ok(_) => failed(reason::OPTION_NOT_VALID_FOR_TYPE),
            Err(error) => error.into(),
        }
    }

    /// The handle if it is an open queue.
    pub(crate) fn queue_handle(&mut self, handle: i32) -> Result<&mut QueueHandle, Outcome> {
        match self.objects.get_mut(&handle) {
            Some(Object::Queue(queue)) => Ok(queue),
            _ => Err(failed(reason::HOBJ_ERROR)),
        }
    }

    pub(crate) async fn spi(&mut self, handle: i32, spi: Spi) -> Api {
        match (spi.verb, &spi.part.content) {
            (spi_verb::QUERY, _) => answer(FINE, handle, Call::Spi(query_reply(spi))),
            (spi_verb::OPEN, SpiContent::Open { .. }) => self.spi_open(spi),
            (spi_verb::RESERVE, SpiContent::Reserve { count, .. }) => {
                let count = *count;
                self.spi_reserve(handle, spi, count)
            }
            (spi_verb::SUBSCRIBE, SpiContent::Subscribe { .. }) => self.spi_subscribe(handle, spi),
            (spi_verb::PUT, _) => self.spi_put(handle, spi).await,
            (verb, content) => {
                debug!(verb, ?content, "an SPI verb that is not supported");
                answer(
                    failed(reason::FUNCTION_NOT_SUPPORTED),
                    handle,
                    Call::Spi(spi),
                )
            }
        }
    }

    fn spi_open(&mut self, mut spi: Spi) -> Api {
        let SpiContent::Open {
            attributes,
            object,
            rest,
        } = &mut spi.part.content
        else {
            return answer(failed(reason::UNEXPECTED_ERROR), -1, Call::Spi(spi));
        };
        let options = attributes.open_options;
        let strings = Strings::behind(object.bytes(), rest);
        let (outcome, handle) = match self.open_object(object, options, strings) {
            Ok(opened) => {
                fill_spi_attributes(attributes, opened.definition.as_ref());
                (FINE, opened.handle)
            }
            Err(outcome) => (outcome, -1),
        };
        // No further attributes. The strings stay: the descriptor still says where they lie, and a
        // client reads there.
        attributes.extra_offset = 0;
        attributes.extra_length = 0;
        spi.part.id = Chars(*b"SPOO");
        answer(outcome, handle, Call::Spi(spi))
    }

    fn spi_reserve(&mut self, handle: i32, mut spi: Spi, wanted: i32) -> Api {
        let wanted = u32::try_from(wanted).unwrap_or(1).clamp(1, RESERVE_MAX);
        match self.manager().make_ids(wanted) {
            Ok((first, count)) => {
                spi.part.id = Chars(*b"SPRO");
                spi.part.content = SpiContent::Reserved {
                    count: i32::try_from(count).unwrap_or(1),
                    // The last four bytes, counted from 1.
                    counter_offset: 21,
                    base: first.0,
                };
                answer(FINE, handle, Call::Spi(spi))
            }
            Err(error) => answer(error.into(), handle, Call::Spi(spi)),
        }
    }
}

fn query_reply(mut spi: Spi) -> Spi {
    let verb = |verb, version| SpiVerb {
        verb,
        in_out_version: version,
        in_version: version,
        out_version: version,
        flags: 0,
    };
    let mut open = verb(spi_verb::OPEN, 2);
    open.in_out_version = 1;
    spi.part = SpiPart {
        id: Chars(*b"SPQO"),
        version: 1,
        content: SpiContent::Verbs(vec![verb(spi_verb::QUERY, 1), open]),
    };
    spi
}

/// Texts of MQCHARVs, which lie behind their structure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strings<'a> {
    /// Bytes of the structure.
    structure: usize,
    rest: &'a [u8],
}

impl<'a> Strings<'a> {
    pub(crate) fn behind(structure: usize, rest: &'a [u8]) -> Self {
        Self { structure, rest }
    }

    /// `None`: it is empty. An error: it does not lie there, or is no UTF-8.
    pub(crate) fn text(&self, text: &VariableText) -> Result<Option<String>, ()> {
        let length = usize::try_from(text.length).map_err(drop)?;
        if length == 0 {
            return Ok(None);
        }
        let begin = usize::try_from(text.offset)
            .ok()
            .and_then(|offset| offset.checked_sub(self.structure));
        let found = begin.and_then(|begin| self.rest.get(begin..begin.checked_add(length)?));
        let found = found.and_then(|found| std::str::from_utf8(found).ok());
        found.map(|found| Some(found.to_owned())).ok_or(())
    }
}

/// What the client needs to know of a queue: persistence, synchronous puts, no read ahead unless it
/// asks, properties as MQRFH2.
fn defaults(definition: Option<&QueueDefinition>) -> [i32; 4] {
    let persistent = definition.is_some_and(|queue| queue.default_persistent);
    [i32::from(persistent), 1, 0, 0]
}

fn fill_attributes(attributes: &mut OpenAttributes, definition: Option<&QueueDefinition>) {
    [
        attributes.def_persistence,
        attributes.def_put_response,
        attributes.def_read_ahead,
        attributes.property_control,
    ] = defaults(definition);
}

fn fill_spi_attributes(attributes: &mut SpiOpenAttributes, definition: Option<&QueueDefinition>) {
    [
        attributes.def_persistence,
        attributes.def_put_response,
        attributes.def_read_ahead,
        attributes.property_control,
    ] = defaults(definition);
}
