//! Which queues a queue manager has: its command server is asked (PCF Inquire Queue Names).

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use mq_client::{
    Chars, ClientError, ClientOptions, GetRequest, MessageDescriptor, connect_any, open, put,
};
use mq_wire::{ByteOrder, Pcf, PcfHeader, PcfParameter, PcfText, PcfValue, pcf_control};

/// Where commands go, the same in every queue manager.
const COMMAND_QUEUE: &str = "SYSTEM.ADMIN.COMMAND.QUEUE";
/// Makes the queue for answers.
const MODEL_QUEUE: &str = "SYSTEM.DEFAULT.MODEL.QUEUE";
/// An answer is waited for this long.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// MQCMD_INQUIRE_Q_NAMES, MQCA_Q_NAME, MQIA_Q_TYPE, MQQT_LOCAL, MQCACF_Q_NAMES.
const INQUIRE_Q_NAMES: i32 = 18;
const Q_NAME: i32 = 2016;
const Q_TYPE: i32 = 20;
const LOCAL: i32 = 1;
const Q_NAMES: i32 = 3011;
/// MQMT_REQUEST.
const REQUEST: i32 = 1;

/// The names cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NamesError {
    /// No connection, or the user may not ask.
    #[error("the names of the queues cannot be asked for")]
    Client(#[from] ClientError),
    /// The command server does not run, or did not understand.
    #[error("the command server did not answer with names of queues{0}")]
    Answer(String),
}

/// Local queues whose names begin so.
pub(crate) async fn begin_with(
    options: &Arc<ClientOptions>,
    prefix: &str,
) -> Result<Vec<String>, NamesError> {
    let (_connection, mut session) = connect_any(options).await?;
    let commands = session.open(COMMAND_QUEUE, open::OUTPUT).await?;
    let replies = session
        .open_named(MODEL_QUEUE, open::INPUT_EXCLUSIVE, "DAYBOOK.NAMES.*")
        .await?;
    let pcf = Pcf {
        header: PcfHeader::command(INQUIRE_Q_NAMES),
        parameters: vec![
            PcfParameter {
                id: Q_NAME,
                value: PcfValue::Text(PcfText::new(&format!("{prefix}*"))),
            },
            PcfParameter {
                id: Q_TYPE,
                value: PcfValue::Integer(LOCAL),
            },
        ],
    };
    let mut body = BytesMut::new();
    pcf.write(ByteOrder::Little, &mut body);
    let descriptor = MessageDescriptor {
        msg_type: REQUEST,
        ccsid: 1208,
        format: Chars::new("MQADMIN"),
        persistence: 0,
        reply_to_q: Chars::new(replies.name()),
        ..MessageDescriptor::initial()
    };
    let sent = session
        .put_with(&commands, descriptor, body.freeze(), false, put::NEW_MSG_ID)
        .await?;
    let request = GetRequest {
        wait: Some(ANSWER_WAIT),
        correl_id: Some(sent.msg_id),
        ..GetRequest::default()
    };
    let mut names = Vec::new();
    loop {
        let Some(got) = session.get(&replies, &request).await? else {
            return Err(NamesError::Answer(" in time".to_owned()));
        };
        let malformed = || NamesError::Answer(": it is malformed".to_owned());
        let order = ByteOrder::of_encoding(got.descriptor.encoding).ok_or_else(malformed)?;
        let answer = Pcf::read(got.body, order).map_err(|_| malformed())?;
        if answer.header.comp_code != 0 {
            return Err(NamesError::Answer(format!(
                ", but with reason {}",
                answer.header.reason
            )));
        }
        for parameter in &answer.parameters {
            if parameter.id == Q_NAMES
                && let PcfValue::Texts(found) = &parameter.value
            {
                names.extend(found.texts(got.descriptor.ccsid).ok_or_else(malformed)?);
            }
        }
        if answer.header.control == pcf_control::LAST {
            return Ok(names);
        }
    }
}
