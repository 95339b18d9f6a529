//! Commands that ask: INQUIRE_Q_MGR, INQUIRE_Q, INQUIRE_Q_NAMES, INQUIRE_Q_STATUS, and RESET_Q_STATS.

use bytes::Bytes;
use mq_wire::{PcfParameter, PcfTexts, PcfValue};
use queue_manager::{QueueDefinition, QueueStatus};

use crate::attributes::{Value, manager_value, queue_value, selector};
use crate::command::answer::fixed;
use crate::command::code::{ccf, id, queue_type};
use crate::command::request::{Pattern, Request, Wanted};
use crate::command::{COMMAND_QUEUE, Commander, Failure, Response, Responses};
use crate::message::date_and_time;
use crate::put::now_micros;

/// MQ_Q_NAME_LENGTH.
pub(super) const NAME_BYTES: usize = 48;
/// Names in one message of an answer.
const NAMES_MAX: usize = 10_000;
/// MQRC_UNKNOWN_OBJECT_NAME.
pub(super) const UNKNOWN_OBJECT_NAME: i32 = 2085;
const MICROS_PER_SECOND: i64 = 1_000_000;
/// MQMON_NOT_AVAILABLE.
const NOT_AVAILABLE: i32 = -1;

/// What MQIACF_ALL means for queues, beside name and type.
const QUEUE_ATTRIBUTES: [i32; 22] = [
    selector::Q_DESC,
    selector::CURRENT_Q_DEPTH,
    selector::MAX_Q_DEPTH,
    selector::MAX_MSG_LENGTH,
    selector::OPEN_INPUT_COUNT,
    selector::OPEN_OUTPUT_COUNT,
    selector::DEF_PERSISTENCE,
    selector::DEF_PRIORITY,
    selector::INHIBIT_GET,
    selector::INHIBIT_PUT,
    selector::BACKOUT_THRESHOLD,
    selector::BACKOUT_REQ_Q_NAME,
    selector::DEF_INPUT_OPEN_OPTION,
    selector::DEFINITION_TYPE,
    selector::HARDEN_GET_BACKOUT,
    selector::SHAREABILITY,
    selector::USAGE,
    selector::MSG_DELIVERY_SEQUENCE,
    selector::TRIGGER_CONTROL,
    selector::DIST_LISTS,
    selector::RETENTION_INTERVAL,
    selector::NAME_COUNT,
];

/// Attributes that a model does not have.
const NOT_OF_MODELS: [i32; 3] = [
    selector::CURRENT_Q_DEPTH,
    selector::OPEN_INPUT_COUNT,
    selector::OPEN_OUTPUT_COUNT,
];

/// What MQIACF_ALL means for the queue manager, beside its name.
const MANAGER_ATTRIBUTES: [i32; 13] = [
    selector::Q_MGR_IDENTIFIER,
    selector::Q_MGR_DESC,
    selector::CODED_CHAR_SET_ID,
    selector::COMMAND_LEVEL,
    selector::PLATFORM,
    selector::SYNCPOINT,
    selector::MAX_PRIORITY,
    selector::MAX_HANDLES,
    selector::MAX_UNCOMMITTED_MSGS,
    selector::MAX_MSG_LENGTH,
    selector::COMMAND_INPUT_Q_NAME,
    selector::DEAD_LETTER_Q_NAME,
    selector::DEF_XMIT_Q_NAME,
];

fn parameter(id: i32, value: Value) -> PcfParameter {
    match value {
        Value::Number(number) => PcfParameter::integer(id, number),
        Value::Text(text, bytes) => fixed(id, &text, bytes),
    }
}

pub(super) fn inquire_queue_manager<'a>(
    commander: &'a Commander<'a>,
    request: &Request<'_>,
) -> Result<Responses<'a>, Failure> {
    request.check(&[id::Q_MGR_ATTRS])?;
    let wanted = request.wanted(id::Q_MGR_ATTRS)?;
    commander.check(COMMAND_QUEUE)?;
    let shared = commander.shared;
    let longest = shared.options.channels.iter();
    let longest = longest.map(|channel| channel.message_bytes_max).max();
    let ids = MANAGER_ATTRIBUTES.iter().filter(|id| wanted.has(**id));
    let values = [selector::Q_MGR_NAME].iter().chain(ids).filter_map(|id| {
        let value = manager_value(*id, shared, longest.unwrap_or(0))?;
        Some(parameter(*id, value))
    });
    let response: Response = values.collect();
    Ok(Box::new(std::iter::once(response)))
}

/// Queues that fit a name, that are of the type asked for, and that the user may administer. Of those
/// that a generic name fits, the others are left out without a word.
fn matching(
    commander: &Commander<'_>,
    name: &str,
    wanted_type: i32,
) -> Result<Vec<(String, bool)>, Failure> {
    let pattern = Pattern::new(name);
    let definitions = match &pattern {
        Pattern::Exact(name) => {
            commander.check(name)?;
            vec![commander.manager().definition(name)?]
        }
        Pattern::Generic(_) => commander.manager().definitions(),
    };
    let found = definitions.into_iter().filter(|queue| {
        let of_type = match wanted_type {
            queue_type::LOCAL => !queue.model,
            queue_type::MODEL => queue.model,
            _ => true,
        };
        of_type && pattern.fits(&queue.name) && commander.may(&queue.name)
    });
    Ok(found.map(|queue| (queue.name, queue.model)).collect())
}

fn asked_type(request: &Request<'_>) -> Result<i32, Failure> {
    match request.integer(selector::Q_TYPE)? {
        None => Ok(queue_type::ALL),
        // 3, 6, 7: there are no aliases, remote or cluster queues.
        Some(asked @ (1 | 2 | 3 | 6 | 7 | queue_type::ALL)) => Ok(asked),
        Some(_) => Err(Failure::of(ccf::Q_TYPE_ERROR, selector::Q_TYPE)),
    }
}

fn is_served(asked: i32) -> bool {
    matches!(
        asked,
        queue_type::LOCAL | queue_type::MODEL | queue_type::ALL
    )
}

/// One message for each queue; what has gone meanwhile is left out.
fn each<'a>(
    queues: Vec<(String, bool)>,
    response: impl Fn(&str) -> Option<Response> + Send + 'a,
) -> Result<Responses<'a>, Failure> {
    let mut responses = queues
        .into_iter()
        .filter_map(move |(name, _)| response(&name))
        .peekable();
    match responses.peek() {
        Some(_) => Ok(Box::new(responses)),
        None => Err(Failure::new(UNKNOWN_OBJECT_NAME)),
    }
}

pub(super) fn inquire<'a>(
    commander: &'a Commander<'a>,
    request: &Request<'_>,
) -> Result<Responses<'a>, Failure> {
    request.check(&[selector::Q_NAME, selector::Q_TYPE, id::Q_ATTRS])?;
    let name = request.name(selector::Q_NAME, NAME_BYTES)?;
    let asked = asked_type(request)?;
    let wanted = request.wanted(id::Q_ATTRS)?;
    let queues = match is_served(asked) {
        true => matching(commander, &name, asked)?,
        false => Vec::new(),
    };
    each(queues, move |name| {
        let manager = commander.manager();
        let definition = manager.definition(name).ok()?;
        let status = manager.status_of(name).ok()?;
        Some(attributes(&definition, status, &wanted))
    })
}

fn attributes(queue: &QueueDefinition, mut status: QueueStatus, wanted: &Wanted) -> Response {
    // A model makes temporary queues; its definition type says so.
    status.temporary |= queue.model;
    let mut response = vec![
        fixed(selector::Q_NAME, &queue.name, NAME_BYTES),
        PcfParameter::integer(
            selector::Q_TYPE,
            if queue.model {
                queue_type::MODEL
            } else {
                queue_type::LOCAL
            },
        ),
    ];
    for id in QUEUE_ATTRIBUTES {
        let missing = queue.model && NOT_OF_MODELS.contains(&id);
        if wanted.has(id)
            && !missing
            && let Some(value) = queue_value(id, queue, &status)
        {
            response.push(parameter(id, value));
        }
    }
    response
}

pub(super) fn inquire_names<'a>(
    commander: &'a Commander<'a>,
    request: &Request<'_>,
) -> Result<Responses<'a>, Failure> {
    request.check(&[selector::Q_NAME, selector::Q_TYPE])?;
    let name = request.name(selector::Q_NAME, NAME_BYTES)?;
    let asked = asked_type(request)?;
    let queues = match matching(commander, &name, asked) {
        // An empty list, as of a generic name that fits none.
        Err(failure) if failure.reason == UNKNOWN_OBJECT_NAME => Vec::new(),
        queues => queues?,
    };
    let queues = if is_served(asked) { queues } else { Vec::new() };
    let mut lists: Vec<Response> = queues.chunks(NAMES_MAX).map(names).collect();
    if lists.is_empty() {
        lists.push(names(&[]));
    }
    Ok(Box::new(lists.into_iter()))
}

fn names(queues: &[(String, bool)]) -> Response {
    let padded = |(name, _): &(String, bool)| Bytes::from(format!("{name:NAME_BYTES$}"));
    let types = queues.iter().map(|(_, model)| match model {
        true => queue_type::MODEL,
        false => queue_type::LOCAL,
    });
    let texts = PcfTexts {
        ccsid: 1208,
        text_bytes: NAME_BYTES,
        texts: queues.iter().map(padded).collect(),
    };
    vec![
        PcfParameter {
            id: id::Q_NAMES,
            value: PcfValue::Texts(texts),
        },
        PcfParameter {
            id: id::Q_TYPES,
            value: PcfValue::Integers(types.collect()),
        },
    ]
}

pub(super) fn inquire_status<'a>(
    commander: &'a Commander<'a>,
    request: &Request<'_>,
) -> Result<Responses<'a>, Failure> {
    request.check(&[selector::Q_NAME, id::Q_STATUS_TYPE, id::Q_STATUS_ATTRS])?;
    let name = request.name(selector::Q_NAME, NAME_BYTES)?;
    // Which handles there are is not told.
    let of_queue = id::Q_STATUS..=id::Q_STATUS;
    request.within(id::Q_STATUS_TYPE, of_queue, ccf::PARM_VALUE_ERROR)?;
    let wanted = request.wanted(id::Q_STATUS_ATTRS)?;
    let queues = local(commander, &name)?;
    each(queues, move |name| {
        let status = commander.manager().status_of(name).ok()?;
        Some(status_response(&status, &wanted))
    })
}

/// Local queues; a model asked for by its name has the wrong type.
fn local(commander: &Commander<'_>, name: &str) -> Result<Vec<(String, bool)>, Failure> {
    let mut queues = matching(commander, name, queue_type::ALL)?;
    let count = queues.len();
    queues.retain(|(_, model)| !model);
    if queues.is_empty() && count > 0 {
        return Err(Failure::of(ccf::Q_WRONG_TYPE, selector::Q_NAME));
    }
    Ok(queues)
}

fn status_response(status: &QueueStatus, wanted: &Wanted) -> Response {
    let number = |value: usize| PcfValue::Integer(i32::try_from(value).unwrap_or(i32::MAX));
    let total = |value: u64| PcfValue::Integer64(i64::try_from(value).unwrap_or(i64::MAX));
    let age = status.oldest_put_time.map_or(0, |put_time| {
        let seconds = (now_micros() - put_time) / MICROS_PER_SECOND;
        i32::try_from(seconds.max(0)).unwrap_or(i32::MAX)
    });
    let (put_date, put_time) = moment(status.last_put_time);
    let (get_date, get_time) = moment(status.last_get_time);
    let mut response = vec![
        fixed(selector::Q_NAME, &status.name, NAME_BYTES),
        PcfParameter::integer(id::Q_STATUS_TYPE, id::Q_STATUS),
    ];
    for (id, value) in [
        (selector::CURRENT_Q_DEPTH, number(status.depth)),
        (selector::OPEN_INPUT_COUNT, number(status.open_inputs)),
        (selector::OPEN_OUTPUT_COUNT, number(status.open_outputs)),
        (
            id::UNCOMMITTED_MSGS,
            number(status.uncommitted_gets + status.uncommitted_puts),
        ),
        (id::OLDEST_MSG_AGE, PcfValue::Integer(age)),
        (
            id::Q_TIME_INDICATOR,
            PcfValue::Integers(vec![NOT_AVAILABLE; 2]),
        ),
        // Depth and ages are always there, as with MONQ(LOW).
        (id::MONITORING_Q, PcfValue::Integer(17)),
        (id::LAST_PUT_DATE, put_date),
        (id::LAST_PUT_TIME, put_time),
        (id::LAST_GET_DATE, get_date),
        (id::LAST_GET_TIME, get_time),
        // Not in IBM MQ's answer: running totals, from which rates follow.
        (id::MSG_ENQ_COUNT, total(status.puts_total)),
        (id::MSG_DEQ_COUNT, total(status.gets_total)),
    ] {
        if wanted.has(id) {
            response.push(PcfParameter { id, value });
        }
    }
    response
}

/// `yyyy-mm-dd` and `hh.mm.ss`, GMT; blank when it never was.
pub(super) fn moment(micros: Option<i64>) -> (PcfValue, PcfValue) {
    let (date, time) = match micros {
        Some(micros) => {
            let (date, time) = date_and_time(micros);
            let digits = |from: &[u8]| -> String { from.iter().copied().map(char::from).collect() };
            let [y1, y2, y3, y4, m1, m2, d1, d2] = date;
            let [h1, h2, n1, n2, s1, s2, ..] = time;
            (
                [
                    digits(&[y1, y2, y3, y4]),
                    digits(&[m1, m2]),
                    digits(&[d1, d2]),
                ]
                .join("-"),
                [digits(&[h1, h2]), digits(&[n1, n2]), digits(&[s1, s2])].join("."),
            )
        }
        None => Default::default(),
    };
    // MQ_DATE_LENGTH and MQ_TIME_LENGTH.
    (fixed(0, &date, 12).value, fixed(0, &time, 8).value)
}

pub(super) fn reset_statistics<'a>(
    commander: &'a Commander<'a>,
    request: &Request<'_>,
) -> Result<Responses<'a>, Failure> {
    request.check(&[selector::Q_NAME])?;
    let name = request.name(selector::Q_NAME, NAME_BYTES)?;
    let queues = local(commander, &name)?;
    each(queues, move |name| {
        let statistics = commander.manager().reset_statistics(name).ok()?;
        let count = |value: u64| i32::try_from(value).unwrap_or(i32::MAX);
        let seconds = u64::try_from(statistics.micros / MICROS_PER_SECOND).unwrap_or(0);
        Some(vec![
            fixed(selector::Q_NAME, name, NAME_BYTES),
            PcfParameter::integer(id::TIME_SINCE_RESET, count(seconds)),
            PcfParameter::integer(id::HIGH_Q_DEPTH, count(statistics.depth_high as u64)),
            PcfParameter::integer(id::MSG_ENQ_COUNT, count(statistics.puts)),
            PcfParameter::integer(id::MSG_DEQ_COUNT, count(statistics.gets)),
        ])
    })
}
