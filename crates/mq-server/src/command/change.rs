//! Commands that change: CREATE_Q, CHANGE_Q, DELETE_Q, CLEAR_Q.

use queue_manager::QueueDefinition;
use tracing::info;

use crate::attributes::selector;
use crate::command::code::{ccf, id, queue_type};
use crate::command::queues::NAME_BYTES;
use crate::command::request::Request;
use crate::command::{Commander, Failure, Responses, done};

/// MQ_Q_DESC_LENGTH.
const DESCRIPTION_BYTES: usize = 64;
/// Highest MAXDEPTH and BOTHRESH.
const COUNT_MAX: i32 = 999_999_999;
/// Highest MAXMSGL.
const MESSAGE_BYTES_MAX: i32 = 104_857_600;
/// MAXDEPTH of queues whose maker leaves it to us (SYSTEM.DEFAULT.LOCAL.QUEUE).
const DEPTH_DEFAULT: usize = 5_000;

/// Attributes that can be changed.
const CHANGEABLE: [i32; 9] = [
    selector::Q_DESC,
    selector::MAX_Q_DEPTH,
    selector::MAX_MSG_LENGTH,
    selector::DEF_PERSISTENCE,
    selector::DEF_PRIORITY,
    selector::INHIBIT_GET,
    selector::INHIBIT_PUT,
    selector::BACKOUT_THRESHOLD,
    selector::BACKOUT_REQ_Q_NAME,
];

/// Attributes that have one value here: shared input, hardened counts, shareable, no transmission queue,
/// by priority, no triggers, no distribution lists. Whoever says that value is not refused.
const FIXED: [(i32, i32); 7] = [
    (selector::DEF_INPUT_OPEN_OPTION, 2),
    (selector::HARDEN_GET_BACKOUT, 1),
    (selector::SHAREABILITY, 1),
    (selector::USAGE, 0),
    (selector::MSG_DELIVERY_SEQUENCE, 0),
    (selector::TRIGGER_CONTROL, 0),
    (selector::DIST_LISTS, 0),
];
/// MQQDT_PREDEFINED, and what models make: MQQDT_TEMPORARY_DYNAMIC.
const DEFINITION_TYPES: [i32; 2] = [1, 3];

/// Checks that nothing is asked that the command does not have.
fn check(request: &Request<'_>, options: &[i32]) -> Result<(), Failure> {
    let mut known = vec![selector::Q_NAME, selector::Q_TYPE];
    known.extend(options.iter().chain(&CHANGEABLE));
    known.extend(FIXED.map(|(id, _)| id));
    known.push(selector::DEFINITION_TYPE);
    request.check(&known)
}

/// Whether a model is meant.
fn asked_model(request: &Request<'_>) -> Result<bool, Failure> {
    match request.integer(selector::Q_TYPE)? {
        Some(queue_type::LOCAL) => Ok(false),
        Some(queue_type::MODEL) => Ok(true),
        Some(_) => Err(Failure::of(ccf::Q_TYPE_ERROR, selector::Q_TYPE)),
        None => Err(Failure::of(ccf::PARM_COUNT_TOO_SMALL, selector::Q_TYPE)),
    }
}

fn flag(request: &Request<'_>, id: i32, wrong: i32) -> Result<Option<bool>, Failure> {
    let value = request.within(id, 0..=1, wrong)?;
    Ok(value.map(|value| value == 1))
}

/// Gives a queue the attributes that the command has.
fn apply(request: &Request<'_>, queue: &mut QueueDefinition) -> Result<(), Failure> {
    check_fixed(request, queue.model)?;
    let wrong = ccf::ATTR_VALUE_ERROR;
    let number = |id, max| -> Result<Option<usize>, Failure> {
        let value = request.within(id, 0..=max, wrong)?;
        Ok(value.and_then(|value| usize::try_from(value).ok()))
    };
    if let Some(text) = request.text(selector::Q_DESC, DESCRIPTION_BYTES)? {
        queue.description = text;
    }
    if let Some(depth) = number(selector::MAX_Q_DEPTH, COUNT_MAX)? {
        queue.depth_max = depth;
    }
    if let Some(bytes) = number(selector::MAX_MSG_LENGTH, MESSAGE_BYTES_MAX)? {
        queue.message_bytes_max = bytes;
    }
    if let Some(on) = flag(request, selector::DEF_PERSISTENCE, wrong)? {
        queue.default_persistent = on;
    }
    let priorities = 0..=i32::from(queue_manager::PRIORITY_MAX);
    if let Some(priority) = request.within(selector::DEF_PRIORITY, priorities, wrong)? {
        queue.default_priority = u8::try_from(priority).unwrap_or(0);
    }
    if let Some(on) = flag(request, selector::INHIBIT_GET, wrong)? {
        queue.get_inhibited = on;
    }
    if let Some(on) = flag(request, selector::INHIBIT_PUT, wrong)? {
        queue.put_inhibited = on;
    }
    let threshold = request.within(selector::BACKOUT_THRESHOLD, 0..=COUNT_MAX, wrong)?;
    if let Some(threshold) = threshold {
        queue.backout_threshold = u32::try_from(threshold).unwrap_or(0);
    }
    if let Some(name) = request.text(selector::BACKOUT_REQ_Q_NAME, NAME_BYTES)? {
        queue.backout_queue = name;
    }
    Ok(())
}

/// Refuses other values of attributes that have only one.
fn check_fixed(request: &Request<'_>, model: bool) -> Result<(), Failure> {
    let [predefined, temporary] = DEFINITION_TYPES;
    let definition_type = if model { temporary } else { predefined };
    let fixed = FIXED.into_iter();
    for (id, own) in fixed.chain([(selector::DEFINITION_TYPE, definition_type)]) {
        request.within(id, own..=own, ccf::ATTR_VALUE_FIXED)?;
    }
    Ok(())
}

pub(super) async fn create<'a>(
    commander: &Commander<'a>,
    request: &Request<'_>,
) -> Result<Responses<'a>, Failure> {
    check(request, &[id::REPLACE])?;
    let name = request.name(selector::Q_NAME, NAME_BYTES)?;
    let model = asked_model(request)?;
    let replace = flag(request, id::REPLACE, ccf::REPLACE_VALUE_ERROR)?;
    commander.check(&name)?;
    let manager = commander.manager();
    let mut queue = QueueDefinition {
        model,
        default_persistent: false,
        depth_max: DEPTH_DEFAULT,
        ..QueueDefinition::new(&name)
    };
    apply(request, &mut queue)?;
    match manager.definition(&name) {
        Ok(there) if there.model != model => {
            return Err(Failure::new(ccf::OBJECT_WRONG_TYPE));
        }
        Ok(there) if replace == Some(true) => {
            // What no command can say stays.
            queue.bytes_max = there.bytes_max;
            manager.alter(queue).await?;
        }
        Ok(_) => return Err(Failure::new(ccf::OBJECT_ALREADY_EXISTS)),
        Err(_) => {
            if manager.definitions().len() >= commander.shared.options.queues_max {
                return Err(Failure::new(ccf::OBJECT_LIMIT_EXCEEDED));
            }
            manager.define(queue).await?;
        }
    }
    info!(user = commander.user, queue = name, "defined by command");
    Ok(done())
}

pub(super) async fn alter<'a>(
    commander: &Commander<'a>,
    request: &Request<'_>,
) -> Result<Responses<'a>, Failure> {
    check(request, &[id::FORCE])?;
    let name = request.name(selector::Q_NAME, NAME_BYTES)?;
    let model = asked_model(request)?;
    // It changes nothing here: attributes can be changed while the queue is open.
    flag(request, id::FORCE, ccf::PARM_VALUE_ERROR)?;
    commander.check(&name)?;
    let mut queue = commander.manager().definition(&name)?;
    if queue.model != model {
        return Err(Failure::of(ccf::Q_WRONG_TYPE, selector::Q_TYPE));
    }
    apply(request, &mut queue)?;
    commander.manager().alter(queue).await?;
    info!(user = commander.user, queue = name, "altered by command");
    Ok(done())
}

pub(super) async fn delete<'a>(
    commander: &Commander<'a>,
    request: &Request<'_>,
) -> Result<Responses<'a>, Failure> {
    request.check(&[selector::Q_NAME, selector::Q_TYPE, id::PURGE])?;
    let name = request.name(selector::Q_NAME, NAME_BYTES)?;
    let purge = flag(request, id::PURGE, ccf::PURGE_VALUE_ERROR)?;
    let model = match request.integer(selector::Q_TYPE)? {
        Some(_) => Some(asked_model(request)?),
        None => None,
    };
    commander.check(&name)?;
    let manager = commander.manager();
    let queue = manager.definition(&name)?;
    if model.is_some_and(|model| model != queue.model) {
        return Err(Failure::of(ccf::Q_WRONG_TYPE, selector::Q_TYPE));
    }
    // Daybook itself needs those of the configuration, and the next start would make them again.
    let configured = &manager.options().queues;
    if configured.iter().any(|configured| configured.name == name) {
        return Err(Failure::of(ccf::OBJECT_NAME_RESTRICTED, selector::Q_NAME));
    }
    manager.delete(&name, purge == Some(true)).await?;
    info!(user = commander.user, queue = name, "deleted by command");
    Ok(done())
}

pub(super) async fn clear<'a>(
    commander: &Commander<'a>,
    request: &Request<'_>,
) -> Result<Responses<'a>, Failure> {
    request.check(&[selector::Q_NAME])?;
    let name = request.name(selector::Q_NAME, NAME_BYTES)?;
    commander.check(&name)?;
    if commander.manager().definition(&name)?.model {
        return Err(Failure::of(ccf::Q_WRONG_TYPE, selector::Q_NAME));
    }
    let messages = commander.manager().clear(&name).await?;
    info!(
        user = commander.user,
        queue = name,
        messages,
        "cleared by command"
    );
    Ok(done())
}
