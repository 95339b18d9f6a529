//! Topics: MQOPEN of a topic, putting to it, and SPI's SUBSCRIBE.

use std::sync::Arc;

use mq_wire::{
    Api, Call, Chars, ObjectDescriptor, Put, Spi, SpiContent, Subscribe, SubscriptionDescriptor,
};
use queue_manager::{Descriptor, MsgId, NewMessage, OpenMode, PRIORITY_MAX, QueueError};
use tracing::debug;

use crate::conversation::{Conversation, answer};
use crate::objects::{Object, QueueHandle, Strings, open};
use crate::put::pmo;
use crate::reason::{self, FINE, Outcome, failed, warning};
use crate::security::Right;
use crate::selector;
use crate::topics::{Pattern, Subscription, check_topic};

/// Options of MQSUB (MQSO_*).
mod mqso {
    pub(super) const ALTER: i32 = 0x1;
    pub(super) const CREATE: i32 = 0x2;
    pub(super) const RESUME: i32 = 0x4;
    pub(super) const DURABLE: i32 = 0x8;
    pub(super) const GROUP_SUB: i32 = 0x10;
    pub(super) const MANAGED: i32 = 0x20;
    pub(super) const PUBLICATIONS_ON_REQUEST: i32 = 0x800;
    pub(super) const WILDCARD_CHAR: i32 = 0x10_0000;
    pub(super) const WILDCARD_TOPIC: i32 = 0x20_0000;
    pub(super) const SET_CORREL_ID: i32 = 0x40_0000;
}

/// MQPRI_PRIORITY_AS_PUBLISHED.
const PRIORITY_AS_PUBLISHED: i32 = -3;
/// Makes the queues of subscriptions that bring none.
const MANAGED_MODEL: &str = "SYSTEM.NDURABLE.MODEL.QUEUE";
/// What their names begin with.
const MANAGED_NAME: &str = "SYSTEM.MANAGED.NDURABLE.*";
/// Topic objects that stand for the root of all topics; there are no others.
const ROOT_TOPICS: [&str; 2] = ["SYSTEM.BASE.TOPIC", "SYSTEM.DEFAULT.TOPIC"];

/// A topic that is open for publications.
#[derive(Debug)]
pub(crate) struct TopicHandle {
    pub(crate) topic: Arc<str>,
    pub(crate) options: i32,
}

/// What permissions call a topic.
pub(crate) fn permission_name(topic: &str) -> String {
    format!("topic:{topic}")
}

impl Conversation {
    /// The topic that a descriptor means, checked for publishing.
    pub(crate) fn topic_of(
        &self,
        object: &ObjectDescriptor,
        strings: Strings<'_>,
    ) -> Result<Arc<str>, Outcome> {
        let topic = topic_string(&object.object_name, strings.text(&object.object_string))?;
        check_topic(&topic).map_err(|error| {
            debug!(%error, "no topic to publish to");
            failed(reason::TOPIC_STRING_ERROR)
        })?;
        self.check_right(&permission_name(&topic), Right::Put)?;
        Ok(topic.into())
    }

    pub(crate) fn open_topic(
        &mut self,
        object: &mut ObjectDescriptor,
        options: i32,
        strings: Strings<'_>,
    ) -> Result<i32, Outcome> {
        if options & open::ACCESS & !open::OUTPUT != 0 {
            return Err(failed(reason::OPTION_NOT_VALID_FOR_TYPE));
        }
        let topic = self.topic_of(object, strings)?;
        if options & open::CONTEXT != 0 {
            self.check_right(&permission_name(&topic), Right::Context)?;
        }
        object.resolved_type = object.object_type;
        let handle = self.new_handle();
        let opened = TopicHandle { topic, options };
        self.objects.insert(handle, Object::Topic(opened));
        Ok(handle)
    }

    /// Puts a copy to the queue of every subscription that matches, or to none.
    pub(crate) async fn publish(
        &mut self,
        topic: &str,
        open_options: i32,
        put: &mut Put,
        available_at: Option<i64>,
    ) -> Outcome {
        let options = put.options.options;
        if options & pmo::RETAIN != 0 {
            return failed(reason::PUT_NOT_RETAINED);
        }
        // Priority 0, not persistent: as SYSTEM.BASE.TOPIC is defined.
        let (message, outcome) = match self.new_message((0, false), open_options, put, available_at)
        {
            Ok(made) => made,
            Err(outcome) => return outcome,
        };
        let shared = Arc::clone(&self.shared);
        let preview = message.preview();
        let not_of = (options & pmo::NOT_OWN_SUBS != 0).then_some(self.number);
        let mut found = shared.topics.matching(topic, &preview, not_of);
        let name = permission_name(topic);
        found.retain(|subscription| {
            let user = &subscription.user;
            shared.gatekeeper.allows(user, &name, Right::Get)
        });
        let copies = Self::copies(&message, &found);
        if copies.is_empty() {
            return match options & pmo::WARN_IF_NO_SUBS_MATCHED {
                0 => outcome,
                _ => warning(reason::NO_SUBS_MATCHED),
            };
        }
        put.options.known_dest_count = i32::try_from(copies.len()).unwrap_or(i32::MAX);
        let result = if options & pmo::SYNCPOINT != 0 {
            self.unit().put_each(copies).map(drop)
        } else {
            let mut unit = self.manager().begin();
            match unit.put_each(copies) {
                Ok(_) => unit.commit().await,
                Err(error) => Err(error),
            }
        };
        match result {
            Ok(()) => outcome,
            // A subscription's queue does not take it; which one is not the publisher's business.
            Err(
                error @ (QueueError::QueueFull { .. }
                | QueueError::PutInhibited { .. }
                | QueueError::MessageTooBig { .. }),
            ) => {
                debug!(topic, %error, "a publication is refused");
                failed(reason::PUBLICATION_FAILURE)
            }
            Err(error) => error.into(),
        }
    }

    fn copies(message: &NewMessage, found: &[Arc<Subscription>]) -> Vec<(Arc<str>, NewMessage)> {
        // One for all temporary queues, which do not keep persistent messages.
        let mut passing: Option<Arc<Descriptor>> = None;
        let mut copies = Vec::with_capacity(found.len());
        for subscription in found {
            let mut copy = message.clone();
            copy.correl_id = subscription.correl_id.unwrap_or(copy.correl_id);
            copy.priority = subscription.priority.unwrap_or(copy.priority);
            if copy.descriptor.persistent && subscription.is_temporary {
                let passing = passing.get_or_insert_with(|| {
                    Arc::new(Descriptor {
                        persistent: false,
                        ..(*copy.descriptor).clone()
                    })
                });
                copy.descriptor = Arc::clone(passing);
            }
            copies.push((Arc::clone(&subscription.queue), copy));
        }
        copies
    }

    /// MQSUB. The reply's API header has the destination's handle, its body the subscription's.
    pub(crate) fn subscribe(&mut self, destination: i32, mut call: Subscribe) -> Api {
        let strings = Strings::behind(call.descriptor.bytes(), &call.rest);
        let made = self.make_subscription(destination, &mut call.descriptor, strings);
        let (outcome, destination) = match made {
            Ok((destination, subscription)) => {
                call.handle = subscription;
                (FINE, destination)
            }
            Err(outcome) => (outcome, -1),
        };
        answer(outcome, destination, Call::Subscribe(Box::new(call)))
    }

    /// SPI's SUBSCRIBE, which JMS uses; handles as MQSUB.
    pub(crate) fn spi_subscribe(&mut self, destination: i32, mut spi: Spi) -> Api {
        let SpiContent::Subscribe {
            handle,
            attributes,
            descriptor,
            rest,
        } = &mut spi.part.content
        else {
            return answer(failed(reason::UNEXPECTED_ERROR), -1, Call::Spi(spi));
        };
        let strings = Strings::behind(descriptor.bytes(), rest);
        let made = self.make_subscription(destination, descriptor, strings);
        let (outcome, destination) = match made {
            Ok((destination, subscription)) => {
                *handle = subscription;
                if let Ok(queue) = self.queue_handle(destination) {
                    attributes.destination_q = Chars::new(queue.queue.name());
                    attributes.destination_q_mgr = Chars::new(self.manager().name());
                }
                (FINE, destination)
            }
            Err(outcome) => (outcome, -1),
        };
        spi.part.id = Chars(*b"SPBO");
        answer(outcome, destination, Call::Spi(spi))
    }

    /// Handles of destination and subscription.
    fn make_subscription(
        &mut self,
        destination: i32,
        descriptor: &mut SubscriptionDescriptor,
        strings: Strings<'_>,
    ) -> Result<(i32, i32), Outcome> {
        let options = descriptor.options;
        if options & mqso::DURABLE != 0 {
            return Err(failed(reason::DURABILITY_NOT_ALLOWED));
        }
        if options & (mqso::GROUP_SUB | mqso::PUBLICATIONS_ON_REQUEST) != 0 {
            return Err(failed(reason::FUNCTION_NOT_SUPPORTED));
        }
        if options & mqso::CREATE == 0 {
            // Only what is durable can be resumed or altered.
            return Err(failed(match options & (mqso::RESUME | mqso::ALTER) {
                0 => reason::OPTIONS_ERROR,
                _ => reason::NO_SUBSCRIPTION,
            }));
        }
        if options & mqso::WILDCARD_CHAR != 0 && options & mqso::WILDCARD_TOPIC != 0 {
            return Err(failed(reason::OPTIONS_ERROR));
        }
        if self.objects.len() + 2 > self.shared.options.handles_max {
            return Err(failed(reason::HANDLE_NOT_AVAILABLE));
        }
        let topic = topic_string(
            &descriptor.object_name,
            strings.text(&descriptor.object_string),
        )?;
        if options & mqso::WILDCARD_CHAR != 0 && topic.contains(['*', '?', '%']) {
            return Err(failed(reason::FUNCTION_NOT_SUPPORTED));
        }
        let pattern = Pattern::parse(&topic).map_err(|error| {
            debug!(%error, "no topic to subscribe to");
            failed(reason::TOPIC_STRING_ERROR)
        })?;
        self.check_right(&permission_name(&topic), Right::Get)?;
        let selector = strings.text(&descriptor.selection_string);
        let selector = selector.map_err(|()| failed(reason::SELECTOR_SYNTAX_ERROR))?;
        let condition = selector::optional(selector)?;
        let priority = match descriptor.pub_priority {
            PRIORITY_AS_PUBLISHED => None,
            // As the topic's default.
            -1 => Some(0),
            given => match u8::try_from(given) {
                Ok(given) if given <= PRIORITY_MAX => Some(given),
                _ => return Err(failed(reason::PRIORITY_ERROR)),
            },
        };
        let correl_id = if options & mqso::SET_CORREL_ID == 0 {
            Some(self.manager().make_ids(1)?.0)
        } else {
            Some(MsgId(descriptor.sub_correl_id)).filter(|id| *id != MsgId::NONE)
        };
        let (queue, managed) = self.destination(options, destination)?;
        let subscription = Subscription {
            pattern,
            is_temporary: self.manager().status_of(&queue)?.temporary,
            queue,
            condition,
            correl_id,
            priority,
            user: self.user.clone(),
            owner: self.number,
        };
        let Some(subscribed) = self.shared.topics.subscribe(subscription) else {
            return Err(failed(reason::RESOURCE_PROBLEM));
        };
        if let Some(id) = correl_id {
            descriptor.sub_correl_id = id.0;
        }
        let destination = match managed {
            Some(managed) => {
                let handle = self.new_handle();
                self.objects.insert(handle, Object::Queue(managed));
                handle
            }
            None => destination,
        };
        let handle = self.new_handle();
        self.objects
            .insert(handle, Object::Subscription { _kept: subscribed });
        Ok((destination, handle))
    }

    /// Where publications go: a queue that is open for input already, or one that is made.
    fn destination(
        &mut self,
        options: i32,
        given: i32,
    ) -> Result<(Arc<str>, Option<Box<QueueHandle>>), Outcome> {
        if options & mqso::MANAGED == 0 {
            let queue = self.queue_handle(given)?;
            if queue.options & open::INPUT == 0 {
                return Err(failed(reason::NOT_OPEN_FOR_INPUT));
            }
            return Ok((Arc::clone(queue.queue.name()), None));
        }
        let mode = OpenMode {
            input: true,
            ..OpenMode::default()
        };
        let queue = self.manager().open(MANAGED_MODEL, mode, MANAGED_NAME)?;
        let name = Arc::clone(queue.name());
        // Read, browsed and asked about, whatever the client said.
        let open_options = open::INPUT_SHARED | open::BROWSE | open::INQUIRE;
        let handle = QueueHandle::new(queue, open_options, None);
        Ok((name, Some(Box::new(handle))))
    }
}

/// Of an object and a string: the root's is the string alone.
fn topic_string(name: &Chars<48>, text: Result<Option<String>, ()>) -> Result<String, Outcome> {
    if !name.is_blank()
        && !ROOT_TOPICS
            .iter()
            .any(|root| root.as_bytes() == name.trimmed())
    {
        return Err(failed(reason::UNKNOWN_OBJECT_NAME));
    }
    let text = text.map_err(|()| failed(reason::TOPIC_STRING_ERROR))?;
    Ok(text.unwrap_or_default())
}
