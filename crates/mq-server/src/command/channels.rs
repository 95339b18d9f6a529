//! INQUIRE_CHANNEL_STATUS: who is connected.

use mq_wire::{PcfParameter, PcfValue};

use crate::command::answer::fixed;
use crate::command::code::{ccf, id};
use crate::command::queues::moment;
use crate::command::request::{Pattern, Request, Wanted};
use crate::command::{COMMAND_QUEUE, Commander, Failure, Response, Responses};
use crate::registry::Connection;

/// MQ_CHANNEL_NAME_LENGTH.
const NAME_BYTES: usize = 20;
/// MQ_CONN_NAME_LENGTH.
const CONNECTION_BYTES: usize = 264;
/// MQ_MCA_USER_ID_LENGTH.
const USER_BYTES: usize = 12;
/// MQ_APPL_TAG_LENGTH.
const APPLICATION_BYTES: usize = 28;
/// MQOT_CURRENT_CHANNEL.
const CURRENT_CHANNEL: i32 = 1011;
/// MQCHT_SVRCONN.
const SERVER_CONNECTION: i32 = 7;
/// MQCHS_RUNNING.
const RUNNING: i32 = 3;

pub(super) fn inquire<'a>(
    commander: &'a Commander<'a>,
    request: &Request<'_>,
) -> Result<Responses<'a>, Failure> {
    request.check(&[
        id::CHANNEL_NAME,
        id::CONNECTION_NAME,
        id::CHANNEL_INSTANCE_TYPE,
        id::CHANNEL_INSTANCE_ATTRS,
    ])?;
    let name = request.name(id::CHANNEL_NAME, NAME_BYTES)?;
    let address = request.text(id::CONNECTION_NAME, CONNECTION_BYTES)?;
    let current = CURRENT_CHANNEL..=CURRENT_CHANNEL;
    request.within(id::CHANNEL_INSTANCE_TYPE, current, ccf::CHL_INST_TYPE_ERROR)?;
    let wanted = request.wanted(id::CHANNEL_INSTANCE_ATTRS)?;
    commander.check(COMMAND_QUEUE)?;
    let channel = Pattern::new(&name);
    let address = Pattern::new(address.as_deref().unwrap_or("*"));
    let mut connections = commander.shared.registry.connections();
    connections.retain(|connection| {
        channel.fits(&connection.channel) && address.fits(&connection.peer.ip().to_string())
    });
    if connections.is_empty() {
        return Err(Failure::new(ccf::CHL_STATUS_NOT_FOUND));
    }
    let channels = &commander.shared.options.channels;
    Ok(Box::new(connections.into_iter().map(move |connection| {
        let channel = channels.iter().find(|own| own.name == connection.channel);
        let sharing = channel.map_or(0, |channel| channel.conversations_max);
        status(&connection, sharing, &wanted)
    })))
}

fn status(connection: &Connection, sharing: u32, wanted: &Wanted) -> Response {
    let number = |value: usize| PcfValue::Integer(i32::try_from(value).unwrap_or(i32::MAX));
    let text = |text: &str, bytes| fixed(0, text, bytes).value;
    let cut = |text: &str, bytes: usize| text.chars().take(bytes).collect::<String>();
    let (date, time) = moment(Some(connection.since));
    let always = [
        (id::CHANNEL_NAME, text(&connection.channel, NAME_BYTES)),
        (id::CHANNEL_TYPE, PcfValue::Integer(SERVER_CONNECTION)),
        (
            id::CONNECTION_NAME,
            text(&connection.peer.ip().to_string(), CONNECTION_BYTES),
        ),
        (
            id::CHANNEL_INSTANCE_TYPE,
            PcfValue::Integer(CURRENT_CHANNEL),
        ),
        (id::CHANNEL_STATUS, PcfValue::Integer(RUNNING)),
    ];
    let asked = [
        (
            id::MCA_USER_ID,
            text(&cut(&connection.user, USER_BYTES), USER_BYTES),
        ),
        (
            id::REMOTE_APPL_TAG,
            text(
                &cut(&connection.application, APPLICATION_BYTES),
                APPLICATION_BYTES,
            ),
        ),
        (id::CURRENT_SHARING_CONVS, number(connection.conversations)),
        (id::MAX_SHARING_CONVS, number(sharing as usize)),
        (id::CHANNEL_START_DATE, date),
        (id::CHANNEL_START_TIME, time),
    ];
    let asked = asked.into_iter().filter(|(id, _)| wanted.has(*id));
    let all = always.into_iter().chain(asked);
    all.map(|(id, value)| PcfParameter { id, value }).collect()
}
