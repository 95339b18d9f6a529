//! The command server: PCF commands that are put to SYSTEM.ADMIN.COMMAND.QUEUE, and their answers.
//!
//! ```text
//! IBM's tools, daybook queue ──put──▶ SYSTEM.ADMIN.COMMAND.QUEUE ──▶ here ──put──▶ ReplyToQ
//!                                                                    │ request: checks parameters
//!                                                                    │ queues, change, channels: does it
//!                                                                    │ answer: writes messages
//! ```
//!
//! # Invariants
//!
//! - A command is carried out at most once: it is off the queue before it begins. Whoever gets no
//!   answer has to look what happened.
//! - It is carried out as the user in its MQMD.UserIdentifier; what that one may not do is refused with
//!   2035, and so is a reply to a queue that it may not put to.
//! - One command at a time, in the order they come. A command and its answer take bounded memory,
//!   however many queues there are.

mod answer;
mod change;
mod channels;
pub(crate) mod code;
mod queues;
mod request;

use std::sync::Arc;
use std::time::Duration;

use mq_wire::{ByteOrder, Pcf, PcfParameter, pcf_control, pcf_type};
use queue_manager::{Descriptor, Message, OpenMode, QueueDefinition, QueueError, QueueManager};
use tracing::{debug, info, warn};

use crate::listener::Shared;
use crate::security::Right;
use answer::Answer;
use code::{ccf, command as cmd};
use request::Request;

/// Where commands are put.
pub const COMMAND_QUEUE: &str = "SYSTEM.ADMIN.COMMAND.QUEUE";

/// Commands that may wait (IBM MQ's default).
const WAITING_MAX: usize = 3_000;
/// Longest command in bytes (IBM MQ's default).
const COMMAND_BYTES_MAX: usize = 32_762;
/// Bytes of all commands that wait.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// The queue is looked at again after this long without an arrival.
const WAIT: Duration = Duration::from_secs(60);
/// After a failed get (gets may be inhibited) this long nothing is tried.
const PAUSE: Duration = Duration::from_secs(1);

/// The format of commands and answers.
const FORMAT: &[u8; 8] = b"MQADMIN ";
const REQUEST: i32 = 1;
const DATAGRAM: i32 = 8;

/// The definition of the command queue.
pub fn command_queue() -> QueueDefinition {
    QueueDefinition {
        description: "Commands to the queue manager".to_owned(),
        default_persistent: false,
        depth_max: WAITING_MAX,
        bytes_max: WAITING_BYTES_MAX,
        message_bytes_max: COMMAND_BYTES_MAX,
        ..QueueDefinition::new(COMMAND_QUEUE)
    }
}

/// Why a command was not carried out, as its answer says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    /// MQRC_* or MQRCCF_*.
    pub(crate) reason: i32,
    /// The parameter it is about.
    pub(crate) parameter: Option<i32>,
}

impl Failure {
    pub(crate) fn new(reason: i32) -> Self {
        Self {
            reason,
            parameter: None,
        }
    }

    pub(crate) fn of(reason: i32, parameter: i32) -> Self {
        Self {
            reason,
            parameter: Some(parameter),
        }
    }
}

impl From<QueueError> for Failure {
    fn from(error: QueueError) -> Self {
        Self::new(match &error {
            QueueError::InUse { .. } => ccf::OBJECT_OPEN,
            QueueError::Exists { .. } => ccf::OBJECT_ALREADY_EXISTS,
            QueueError::Name { .. } => ccf::OBJECT_NAME_ERROR,
            other => i32::try_from(other.reason()).unwrap_or(ccf::COMMAND_FAILED),
        })
    }
}

/// The parameters of one message of an answer.
pub(crate) type Response = Vec<PcfParameter>;
/// The messages of an answer, made when they are sent.
pub(crate) type Responses<'a> = Box<dyn Iterator<Item = Response> + Send + 'a>;

/// Somebody who commands.
pub(crate) struct Commander<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) user: &'a str,
}

impl Commander<'_> {
    pub(crate) fn manager(&self) -> &QueueManager {
        &self.shared.manager
    }

    pub(crate) fn may(&self, queue: &str) -> bool {
        self.shared
            .gatekeeper
            .allows(self.user, queue, Right::Admin)
    }

    /// 2035 unless the user may administer the queue.
    pub(crate) fn check(&self, queue: &str) -> Result<(), Failure> {
        if self.may(queue) {
            return Ok(());
        }
        warn!(user = self.user, queue, "not authorised to administer");
        Err(Failure::new(crate::reason::NOT_AUTHORIZED))
    }
}

/// Carries out commands until the server stops.
pub(crate) async fn serve(shared: Arc<Shared>) {
    let manager = &shared.manager;
    let input = OpenMode {
        input: true,
        ..OpenMode::default()
    };
    // Held, so that nobody deletes or clears the queue.
    let _open = match manager.open(COMMAND_QUEUE, input, "") {
        Ok(open) => open,
        Err(error) => {
            info!(%error, "no commands are served");
            return;
        }
    };
    loop {
        let next = tokio::select! {
            () = shared.stop.cancelled() => return,
            next = next(manager) => next,
        };
        match next {
            Ok(Some(message)) => take(&shared, &message).await,
            Ok(None) => {}
            Err(QueueError::Stopped { .. }) => return,
            Err(error) => {
                warn!(%error, "cannot get commands");
                tokio::select! {
                    () = shared.stop.cancelled() => return,
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
        }
    }
}

/// The next command; it is off the queue. A call that is cancelled may have lost one.
async fn next(manager: &QueueManager) -> Result<Option<Message>, QueueError> {
    let mut unit = manager.begin();
    let message = unit.get(COMMAND_QUEUE, WAIT).await?;
    unit.commit().await?;
    Ok(message)
}

async fn take(shared: &Shared, message: &Message) {
    let descriptor = &message.descriptor;
    if ![REQUEST, DATAGRAM].contains(&descriptor.msg_type) {
        debug!(
            msg_type = descriptor.msg_type,
            "a message on the command queue is no command"
        );
        return;
    }
    let user = text(&descriptor.user_identifier);
    let commander = Commander {
        shared,
        user: &user,
    };
    let mut answer = Answer::to(&commander, message);
    match read(descriptor, message) {
        Ok((pcf, order)) => {
            answer.order = order;
            answer.command = pcf.header.command;
            let request = Request::new(&pcf, descriptor.ccsid);
            let done = carry_out(&commander, &request).await;
            if let Err(failure) = &done {
                info!(
                    user,
                    command = pcf.header.command,
                    ?failure,
                    "a command failed"
                );
            }
            answer.send(done).await;
        }
        Err(failure) => {
            info!(user, ?failure, "a command cannot be read");
            answer.send(Err(failure)).await;
        }
    }
}

fn read(descriptor: &Descriptor, message: &Message) -> Result<(Pcf, ByteOrder), Failure> {
    if descriptor.format != *FORMAT {
        return Err(Failure::new(ccf::MD_FORMAT_ERROR));
    }
    let order = ByteOrder::of_encoding(descriptor.encoding);
    let order = order.ok_or(Failure::new(ccf::ENCODING_ERROR))?;
    let pcf = Pcf::read(message.body.clone(), order).map_err(|error| {
        debug!(%error, "a command is malformed");
        Failure {
            reason: error.reason(),
            parameter: error.parameter(),
        }
    })?;
    let header = &pcf.header;
    if ![pcf_type::COMMAND, pcf_type::COMMAND_XR].contains(&header.kind) {
        Err(Failure::new(ccf::CFH_TYPE_ERROR))
    } else if header.sequence != 1 {
        Err(Failure::new(ccf::CFH_MSG_SEQ_NUMBER_ERR))
    } else if header.control != pcf_control::LAST {
        Err(Failure::new(ccf::CFH_CONTROL_ERROR))
    } else {
        Ok((pcf, order))
    }
}

async fn carry_out<'a>(
    commander: &'a Commander<'a>,
    request: &Request<'_>,
) -> Result<Responses<'a>, Failure> {
    match request.command() {
        cmd::PING_Q_MGR => {
            request.check(&[])?;
            commander.check(COMMAND_QUEUE)?;
            Ok(done())
        }
        cmd::INQUIRE_Q_MGR => queues::inquire_queue_manager(commander, request),
        cmd::INQUIRE_Q => queues::inquire(commander, request),
        cmd::INQUIRE_Q_NAMES => queues::inquire_names(commander, request),
        cmd::INQUIRE_Q_STATUS => queues::inquire_status(commander, request),
        cmd::RESET_Q_STATS => queues::reset_statistics(commander, request),
        cmd::CREATE_Q => change::create(commander, request).await,
        cmd::CHANGE_Q => change::alter(commander, request).await,
        cmd::DELETE_Q => change::delete(commander, request).await,
        cmd::CLEAR_Q => change::clear(commander, request).await,
        cmd::INQUIRE_CHANNEL_STATUS => channels::inquire(commander, request),
        _ => Err(Failure::new(ccf::CFH_COMMAND_ERROR)),
    }
}

/// One message without parameters.
pub(crate) fn done<'a>() -> Responses<'a> {
    Box::new(std::iter::once(Vec::new()))
}

/// Without the blanks behind it. Descriptors are in ISO 8859-1.
fn text(field: &[u8]) -> String {
    let text: String = field.iter().copied().map(char::from).collect();
    text.trim_end_matches([' ', '\0']).to_owned()
}
