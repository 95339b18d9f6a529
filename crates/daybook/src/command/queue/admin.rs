//! The connection to a queue manager, and PCF commands over it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::BytesMut;
use mq_client::{
    Chars, ClientError, Connection, GetRequest, Host, MessageDescriptor, Queue, Session,
    connect_any, open, put,
};
use mq_wire::{ByteOrder, Pcf, PcfHeader, PcfParameter, PcfValue, pcf_control};
use pipeline::{QueueClient, QueueConfig};

use crate::cli::ConnectArgs;

/// Where commands go, the same in every queue manager.
const COMMAND_QUEUE: &str = "SYSTEM.ADMIN.COMMAND.QUEUE";
/// Makes the queue for answers.
const MODEL_QUEUE: &str = "SYSTEM.DEFAULT.MODEL.QUEUE";
/// An answer's next message is waited for this long.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// Messages of one answer; more are an error.
const ANSWERS_MAX: usize = 100_000;
const TENTHS_PER_SECOND: i32 = 10;
const FORMAT: &str = "MQADMIN";
/// MQMT_REQUEST.
const REQUEST: i32 = 1;
/// MQRO_PASS_DISCARD_AND_EXPIRY: nobody reads an answer that comes too late.
const PASS_EXPIRY: i32 = 0x4000;
/// MQRCCF_COMMAND_FAILED: IBM MQ's summary, behind what says why.
const COMMAND_FAILED: i32 = 3008;

/// Connects as the configuration says, but for what the command line says.
pub(super) async fn connect(
    args: &ConnectArgs,
    queue: QueueConfig,
) -> anyhow::Result<(Connection, Session)> {
    let queue = chosen(args, queue);
    let mut options = pipeline::reachable(&queue)?;
    options.application = "daybook queue".to_owned();
    let hosts: Vec<String> = options.hosts.iter().map(Host::to_string).collect();
    connect_any(&Arc::new(options)).await.with_context(|| {
        format!(
            "no connection to the queue manager at {}, channel {}. Does `daybook up` or `daybook queue` run with \
             this configuration and --port-offset? Another one: --connect 'host(port)'",
            hosts.join(", "),
            queue.channel
        )
    })
}

fn chosen(args: &ConnectArgs, mut queue: QueueConfig) -> QueueConfig {
    let client = &mut queue.client;
    if let Some(host) = &args.connect {
        // Another one is not told the configured one's password.
        *client = QueueClient {
            hosts: vec![host.clone()],
            ..QueueClient::default()
        };
    }
    if let Some(name) = &args.queue_manager {
        client.queue_manager.clone_from(name);
    }
    if let Some(user) = &args.user {
        client.user.clone_from(user);
        client.password_file.clone_from(&args.password_file);
    }
    if args.tls_ca.is_some() {
        client.ca.clone_from(&args.tls_ca);
    }
    if let Some(channel) = &args.channel {
        queue.channel.clone_from(channel);
    }
    queue
}

/// Sends commands.
pub(super) struct Admin {
    session: Session,
    commands: Queue,
    replies: Queue,
    /// Ends with it.
    _connection: Connection,
}

impl Admin {
    pub(super) async fn new(
        (connection, mut session): (Connection, Session),
    ) -> anyhow::Result<Self> {
        let commands = session.open(COMMAND_QUEUE, open::OUTPUT).await;
        let commands = commands.context("the queue manager takes no commands from this user")?;
        let replies = session
            .open_named(MODEL_QUEUE, open::INPUT_EXCLUSIVE, "DAYBOOK.ADMIN.*")
            .await
            .context("no queue for answers can be made")?;
        Ok(Self {
            session,
            commands,
            replies,
            _connection: connection,
        })
    }

    /// Sends a command and reads its whole answer.
    pub(super) async fn ask(
        &mut self,
        command: i32,
        parameters: Vec<PcfParameter>,
    ) -> anyhow::Result<Vec<Answer>> {
        let pcf = Pcf {
            header: PcfHeader::command(command),
            parameters,
        };
        let mut body = BytesMut::new();
        pcf.write(ByteOrder::Little, &mut body);
        let wait = i32::try_from(ANSWER_WAIT.as_secs()).unwrap_or(i32::MAX);
        let descriptor = MessageDescriptor {
            report: PASS_EXPIRY,
            msg_type: REQUEST,
            expiry: wait * TENTHS_PER_SECOND,
            ccsid: 1208,
            format: Chars::new(FORMAT),
            persistence: 0,
            reply_to_q: Chars::new(self.replies.name()),
            ..MessageDescriptor::initial()
        };
        let sent = self
            .session
            .put_with(
                &self.commands,
                descriptor,
                body.freeze(),
                false,
                put::NEW_MSG_ID,
            )
            .await?;
        let request = GetRequest {
            wait: Some(ANSWER_WAIT),
            correl_id: Some(sent.msg_id),
            ..GetRequest::default()
        };
        let (mut answers, mut failure) = (Vec::new(), None);
        loop {
            let got = self.session.get(&self.replies, &request).await?;
            let got = got.with_context(|| {
                format!(
                    "the command was not answered within {} s: does the command server run, and may this \
                     user have answers? What was asked may have been done all the same",
                    ANSWER_WAIT.as_secs()
                )
            })?;
            let order = ByteOrder::of_encoding(got.descriptor.encoding);
            let order = order.context("an answer in an unknown encoding")?;
            let pcf = Pcf::read(got.body, order).context("an answer is malformed")?;
            let header = pcf.header;
            if header.comp_code == 0 {
                answers.push(Answer {
                    pcf,
                    ccsid: got.descriptor.ccsid,
                });
            } else if failure.is_none() || failure == Some(COMMAND_FAILED) {
                failure = Some(header.reason);
            }
            if header.control == pcf_control::LAST {
                break;
            }
            anyhow::ensure!(answers.len() < ANSWERS_MAX, "the answer does not end");
        }
        match failure {
            None => Ok(answers),
            Some(reason) => Err(Refused { reason }.into()),
        }
    }
}

/// One message of an answer.
pub(super) struct Answer {
    pcf: Pcf,
    ccsid: i32,
}

impl Answer {
    pub(super) fn number(&self, id: i32) -> Option<i64> {
        match self.pcf.get(id)? {
            PcfValue::Integer(value) => Some(i64::from(*value)),
            PcfValue::Integer64(value) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn text(&self, id: i32) -> Option<String> {
        match self.pcf.get(id)? {
            PcfValue::Text(text) => text.text(self.ccsid),
            _ => None,
        }
    }
}

/// The queue manager refused a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) reason: i32,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match self.reason {
            2035 => "the user may not: it needs the right `admin` on the queue",
            2055 => {
                "there are messages on it, or uncommitted ones: `daybook queue list` shows them"
            }
            2085 => "there is no such queue: `daybook queue list` shows those there are",
            3007 => "the queue manager does not know this command",
            3208 => "Daybook itself needs this queue",
            3209 => "there are too many queues",
            4001 => "there is such a queue already: `daybook queue alter` changes it",
            4002 | 4007 => "the queue is of another type: a model, say",
            4004 => "somebody has the queue open: `daybook queue list` shows how many",
            4005 => "an attribute has a value that is not allowed",
            4008 => "this is no name of a queue: 1 to 48 of A-Z a-z 0-9 . / _ %",
            _ => "see the reason code in IBM MQ's documentation",
        };
        write!(f, "refused with reason {}: {text}", self.reason)
    }
}

impl std::error::Error for Refused {}

/// What to say of a call on a queue that failed.
pub(super) fn explain(error: ClientError, doing: &str) -> anyhow::Error {
    anyhow::Error::new(error).context(doing.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_counts_more_and_another_host_learns_no_password() {
        let configured = || {
            let mut queue = QueueConfig::default();
            queue.client.hosts = vec!["mq".to_owned()];
            queue.client.user = "app".to_owned();
            queue.client.password_file = Some("secret".into());
            queue.client.ca = Some("ca.pem".into());
            queue
        };
        let same = chosen(&ConnectArgs::default(), configured()).client;
        assert_eq!((same.user.as_str(), same.hosts[0].as_str()), ("app", "mq"));
        assert!(same.password_file.is_some() && same.ca.is_some());
        let other = ConnectArgs {
            connect: Some("other".to_owned()),
            channel: Some("ADMIN".to_owned()),
            ..ConnectArgs::default()
        };
        let other = chosen(&other, configured());
        assert_eq!(
            (other.channel.as_str(), other.client.hosts[0].as_str()),
            ("ADMIN", "other")
        );
        assert_eq!(other.client.user, "");
        assert!(other.client.password_file.is_none() && other.client.ca.is_none());
        let other_user = ConnectArgs {
            user: Some("me".to_owned()),
            ..ConnectArgs::default()
        };
        let other_user = chosen(&other_user, configured()).client;
        assert_eq!(other_user.user, "me");
        assert!(other_user.password_file.is_none(), "it is the other one's");
    }
}
