//! MQPUT, MQPUT1, and SPI's PUT.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use mq_wire::{Api, Call, Chars, MessageDescriptor, Put, Put1, PutOptions, Spi, SpiContent};
use queue_manager::{Descriptor, MsgId, NewMessage, OpenMode, PRIORITY_MAX};

use crate::conversation::{Conversation, answer};
use crate::message::descriptor_of;
use crate::objects::{OBJECT_QUEUE, OBJECT_TOPIC, Object, Strings, open};
use crate::publish::permission_name;
use crate::reason::{self, FINE, Outcome, failed, warning};
use crate::security::Right;
use crate::selector;

pub(crate) use mq_wire::mqi::put as pmo;

const NOT_PERSISTENT: i32 = 0;
const PERSISTENT: i32 = 1;
const PERSISTENCE_AS_QUEUE: i32 = 2;
const MICROS_PER_TENTH: i64 = 100_000;

/// Microseconds since 1970.
pub(crate) fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    })
}

impl Conversation {
    /// `None`: an asynchronous put, which is not answered.
    pub(crate) async fn put(&mut self, handle: i32, mut put: Put) -> Option<Api> {
        let is_async = put.options.options & pmo::ASYNC_RESPONSE != 0;
        let outcome = self.put_to_handle(handle, &mut put, None).await;
        if is_async {
            self.count_async(outcome);
            return None;
        }
        put.data = Bytes::new();
        if outcome.comp_code == 2 {
            put.length = 0;
        }
        Some(answer(outcome, handle, Call::Put(Box::new(put))))
    }

    /// Puts to what is open: a queue or a topic.
    async fn put_to_handle(
        &mut self,
        handle: i32,
        put: &mut Put,
        available_at: Option<i64>,
    ) -> Outcome {
        let (name, options, is_topic) = match self.objects.get(&handle) {
            Some(Object::Queue(queue)) => (Arc::clone(queue.queue.name()), queue.options, false),
            Some(Object::Topic(topic)) => (Arc::clone(&topic.topic), topic.options, true),
            _ => return failed(reason::HOBJ_ERROR),
        };
        if options & open::OUTPUT == 0 {
            return failed(reason::NOT_OPEN_FOR_OUTPUT);
        }
        match is_topic {
            true => self.publish(&name, options, put, available_at).await,
            false => self.put_to(&name, options, put, available_at).await,
        }
    }

    /// `None`: an asynchronous put, which is not answered.
    pub(crate) async fn put1(&mut self, mut put1: Put1) -> Option<Api> {
        let is_async = put1.put.options.options & pmo::ASYNC_RESPONSE != 0;
        let outcome = self.put1_to(&mut put1).await;
        if is_async {
            self.count_async(outcome);
            return None;
        }
        put1.put.data = Bytes::new();
        if outcome.comp_code == 2 {
            put1.put.length = 0;
        }
        Some(answer(outcome, 0, Call::Put1(Box::new(put1))))
    }

    async fn put1_to(&mut self, put1: &mut Put1) -> Outcome {
        let at = put1.object.object_q_mgr_name.text();
        if !at.is_empty() && at != self.manager().name() {
            return failed(reason::UNKNOWN_REMOTE_Q_MGR);
        }
        match put1.object.object_type {
            OBJECT_QUEUE => {}
            OBJECT_TOPIC => return self.publish1(put1).await,
            _ => return failed(reason::OBJECT_TYPE_ERROR),
        }
        let mode = OpenMode {
            output: true,
            ..OpenMode::default()
        };
        let name = put1.object.object_name.text();
        let dynamic = put1.object.dynamic_q_name.text();
        if let Err(outcome) = self.check_right(&name, Right::Put) {
            return outcome;
        }
        if put1.put.options.options & pmo::FOREIGN_CONTEXT != 0
            && let Err(outcome) = self.check_right(&name, Right::Context)
        {
            return outcome;
        }
        // Held until the message is put: a model would be gone with its message.
        let queue = match self.manager().open(&name, mode, &dynamic) {
            Ok(queue) => queue,
            Err(error) => return error.into(),
        };
        put1.object.resolved_q_name = Chars::new(queue.name());
        put1.object.resolved_q_mgr_name = Chars::new(self.manager().name());
        let name = Arc::clone(queue.name());
        // MQPUT1 needs no open with the context options.
        self.put_to(&name, i32::MAX, &mut put1.put, None).await
    }

    async fn publish1(&mut self, put1: &mut Put1) -> Outcome {
        let strings = Strings::behind(put1.object.bytes(), &put1.strings);
        let topic = match self.topic_of(&put1.object, strings) {
            Ok(topic) => topic,
            Err(outcome) => return outcome,
        };
        if put1.put.options.options & pmo::FOREIGN_CONTEXT != 0
            && let Err(outcome) = self.check_right(&permission_name(&topic), Right::Context)
        {
            return outcome;
        }
        self.publish(&topic, i32::MAX, &mut put1.put, None).await
    }

    /// Puts with a delay (JMS delivery delay): until when is in a folder of the message's MQRFH2.
    pub(crate) async fn spi_put(&mut self, handle: i32, mut spi: Spi) -> Api {
        let (
            SpiContent::PutHead {
                descriptor,
                options,
                ..
            },
            SpiContent::PutData { length, data, .. },
        ) = (&spi.in_out.content, &spi.part.content)
        else {
            let outcome = failed(reason::FUNCTION_NOT_SUPPORTED);
            return answer(outcome, handle, Call::Spi(spi));
        };
        let mut put = Put {
            descriptor: (**descriptor).clone(),
            options: (**options).clone(),
            length: *length,
            data: data.clone(),
        };
        let millis = selector::delivery_time(&put.data, put.descriptor.encoding);
        let available_at = millis.and_then(|millis| millis.checked_mul(1_000));
        let outcome = self.put_to_handle(handle, &mut put, available_at).await;
        spi.in_out.content = SpiContent::PutHead {
            descriptor: Box::new(put.descriptor),
            options: Box::new(put.options),
            rest: Bytes::new(),
        };
        spi.part.id = Chars(*b"SPPO");
        spi.part.content = SpiContent::Raw(Bytes::new());
        spi.data = Bytes::new();
        answer(outcome, handle, Call::Spi(spi))
    }

    fn count_async(&mut self, outcome: Outcome) {
        let status = &mut self.async_status;
        match outcome.comp_code {
            0 => status.put_success_count += 1,
            1 => status.put_warning_count += 1,
            _ => {
                status.put_failure_count += 1;
                if status.comp_code < 2 {
                    status.comp_code = outcome.comp_code;
                    status.reason = outcome.reason;
                }
            }
        }
    }

    /// Puts to an open queue; fills descriptor and options as the application will see them.
    pub(crate) async fn put_to(
        &mut self,
        name: &Arc<str>,
        open_options: i32,
        put: &mut Put,
        available_at: Option<i64>,
    ) -> Outcome {
        // It was there when it was opened.
        let Ok(defaults) = self.manager().put_defaults(name) else {
            return failed(reason::Q_DELETED);
        };
        let (message, outcome) = match self.new_message(defaults, open_options, put, available_at) {
            Ok(made) => made,
            Err(outcome) => return outcome,
        };
        put.options.resolved_q_name = Chars::new(name);
        put.options.resolved_q_mgr_name = Chars::new(self.manager().name());
        put.options.known_dest_count = 1;
        let result = if put.options.options & pmo::SYNCPOINT != 0 {
            self.unit().put(Arc::clone(name), message)
        } else {
            let mut unit = self.manager().begin();
            match unit.put(Arc::clone(name), message) {
                Ok(()) => unit.commit().await,
                Err(error) => Err(error),
            }
        };
        match result {
            Ok(()) => outcome,
            Err(error) => error.into(),
        }
    }

    /// The message, and the warning that goes with it. The defaults are priority and persistence.
    pub(crate) fn new_message(
        &mut self,
        (default_priority, default_persistent): (u8, bool),
        open_options: i32,
        put: &mut Put,
        available_at: Option<i64>,
    ) -> Result<(NewMessage, Outcome), Outcome> {
        let options = put.options.options;
        let md = &mut put.descriptor;
        if options & pmo::SYNCPOINT != 0 && options & pmo::NO_SYNCPOINT != 0 {
            return Err(failed(reason::OPTIONS_ERROR));
        }
        if (options & pmo::CONTEXT).count_ones() > 1 {
            return Err(failed(reason::OPTIONS_ERROR));
        }
        let length = usize::try_from(put.length).ok();
        let data = length.and_then(|length| put.data.get(..length));
        let Some(data) = data else {
            return Err(failed(reason::DATA_LENGTH_ERROR));
        };
        if data.len() > self.setting.message_bytes_max as usize {
            return Err(failed(reason::MSG_TOO_BIG_FOR_CHANNEL));
        }
        let (priority, outcome) = match md.priority {
            -1 => (default_priority, FINE),
            negative if negative < -1 => return Err(failed(reason::PRIORITY_ERROR)),
            given => match u8::try_from(given) {
                Ok(given) if given <= PRIORITY_MAX => (given, FINE),
                _ => (PRIORITY_MAX, warning(reason::PRIORITY_EXCEEDS_MAXIMUM)),
            },
        };
        let persistent = match md.persistence {
            NOT_PERSISTENT => false,
            PERSISTENT => true,
            PERSISTENCE_AS_QUEUE => default_persistent,
            _ => return Err(failed(reason::PERSISTENCE_ERROR)),
        };
        let now = now_micros();
        let expires_at = match md.expiry {
            -1 => None,
            tenths if tenths > 0 => Some(now + i64::from(tenths) * MICROS_PER_TENTH),
            _ => return Err(failed(reason::EXPIRY_ERROR)),
        };
        if md.msg_type <= 0 {
            return Err(failed(reason::MSG_TYPE_ERROR));
        }
        if options & pmo::NEW_MSG_ID != 0 || md.msg_id == MsgId::NONE.0 {
            md.msg_id = self.manager().make_ids(1)?.0.0;
        }
        if options & pmo::NEW_CORREL_ID != 0 {
            md.correl_id = self.manager().make_ids(1)?.0.0;
        }
        if !md.reply_to_q.is_blank() && md.reply_to_q_mgr.is_blank() {
            md.reply_to_q_mgr = Chars::new(self.manager().name());
        }
        let put_time = self.fill_context(open_options, &put.options, &mut put.descriptor, now)?;
        let md = &mut put.descriptor;
        md.priority = i32::from(priority);
        md.persistence = i32::from(persistent);
        let descriptor = descriptor_of(md, persistent);
        let message = NewMessage {
            msg_id: Some(MsgId(md.msg_id)),
            correl_id: MsgId(md.correl_id),
            priority,
            expires_at,
            available_at,
            put_time: Some(put_time),
            descriptor: self.last_descriptor.share(descriptor),
            body: Bytes::copy_from_slice(data),
            ..NewMessage::default()
        };
        Ok((message, outcome))
    }

    /// Who put the message and when: as the application says, if it may, else as we know.
    fn fill_context(
        &mut self,
        open_options: i32,
        options: &PutOptions,
        md: &mut MessageDescriptor,
        now: i64,
    ) -> Result<i64, Outcome> {
        let may = |option, reason| {
            if open_options & option != 0 {
                Ok(())
            } else {
                Err(failed(reason))
            }
        };
        let mut put_time = now;
        let passed = match options.options & pmo::CONTEXT {
            pmo::SET_ALL_CONTEXT => {
                may(open::SET_ALL_CONTEXT, reason::NOT_OPEN_FOR_SET_ALL)?;
                return Ok(mq_wire::micros_of(&md.put_date.0, &md.put_time.0).unwrap_or(now));
            }
            pmo::SET_IDENTITY_CONTEXT => {
                may(open::SET_IDENTITY_CONTEXT, reason::NOT_OPEN_FOR_SET_IDENT)?;
                None
            }
            pmo::PASS_IDENTITY_CONTEXT => {
                may(open::PASS_IDENTITY_CONTEXT, reason::NOT_OPEN_FOR_PASS_IDENT)?;
                let passed = self.saved_context(options.context)?;
                set_identity(md, &passed.0);
                None
            }
            pmo::PASS_ALL_CONTEXT => {
                may(open::PASS_ALL_CONTEXT, reason::NOT_OPEN_FOR_PASS_ALL)?;
                let passed = self.saved_context(options.context)?;
                set_identity(md, &passed.0);
                Some(passed)
            }
            context => {
                md.user_identifier = if context == pmo::NO_CONTEXT {
                    Chars::BLANK
                } else {
                    Chars::new(&self.user)
                };
                md.accounting_token = [0; 32];
                md.appl_identity_data = Chars::BLANK;
                None
            }
        };
        match passed {
            Some((descriptor, at)) => {
                md.put_appl_type = descriptor.put_appl_type;
                md.put_appl_name = Chars(descriptor.put_appl_name);
                md.appl_origin_data = Chars(descriptor.appl_origin_data);
                put_time = at;
            }
            None if options.options & pmo::NO_CONTEXT != 0 => {
                md.put_appl_type = 0;
                md.put_appl_name = Chars::BLANK;
                md.appl_origin_data = Chars::BLANK;
            }
            None => {
                md.put_appl_type = self.application_type;
                md.put_appl_name = self.application;
                md.appl_origin_data = Chars::BLANK;
            }
        }
        let (date, time) = mq_wire::date_and_time(put_time);
        md.put_date = Chars(date);
        md.put_time = Chars(time);
        Ok(put_time)
    }

    fn saved_context(&self, handle: i32) -> Result<(Arc<Descriptor>, i64), Outcome> {
        let Some(Object::Queue(queue)) = self.objects.get(&handle) else {
            return Err(failed(reason::CONTEXT_HANDLE_ERROR));
        };
        if queue.options & open::SAVE_ALL_CONTEXT == 0 {
            return Err(failed(reason::CONTEXT_HANDLE_ERROR));
        }
        let saved = queue.context.as_ref();
        let saved = saved.ok_or(failed(reason::CONTEXT_NOT_AVAILABLE))?;
        Ok((Arc::clone(&saved.descriptor), saved.put_time))
    }
}

fn set_identity(md: &mut MessageDescriptor, from: &Descriptor) {
    md.user_identifier = Chars(from.user_identifier);
    md.accounting_token = from.accounting_token;
    md.appl_identity_data = Chars(from.appl_identity_data);
}
