//! The command server, through its queue: commands in, answers out.
#![allow(missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mq_server::{
    COMMAND_QUEUE, Channel, Permission, Right, Security, Server, ServerOptions, command_queue,
};
use mq_wire::{ByteOrder, Pcf, PcfHeader, PcfParameter, PcfText, PcfTexts, PcfValue, convert};
use queue_manager::{
    Descriptor, Message, MsgId, NewMessage, OpenMode, QueueDefinition, QueueManager,
    QueueManagerOptions,
};
use tokio::net::TcpListener;

const QUEUE: &str = "DAYBOOK.TEST";
const MODEL: &str = "SYSTEM.DEFAULT.MODEL.QUEUE";
const REPLIES: &str = "REPLIES";
/// Far more than an answer takes.
const WAIT: Duration = Duration::from_secs(30);

const INQUIRE_Q_MGR: i32 = 2;
const CHANGE_Q: i32 = 8;
const CLEAR_Q: i32 = 9;
const CREATE_Q: i32 = 11;
const DELETE_Q: i32 = 12;
const INQUIRE_Q: i32 = 13;
const RESET_Q_STATS: i32 = 17;
const INQUIRE_Q_NAMES: i32 = 18;
const PING_Q_MGR: i32 = 40;
const INQUIRE_Q_STATUS: i32 = 41;
const INQUIRE_CHANNEL_STATUS: i32 = 42;

const CURRENT_Q_DEPTH: i32 = 3;
const DEF_PERSISTENCE: i32 = 5;
const INHIBIT_PUT: i32 = 10;
const MAX_Q_DEPTH: i32 = 15;
const Q_TYPE: i32 = 20;
const BACKOUT_THRESHOLD: i32 = 22;
const SHAREABILITY: i32 = 23;
const Q_ATTRS: i32 = 1002;
const REPLACE: i32 = 1006;
const PURGE: i32 = 1007;
const PARAMETER_ID: i32 = 1012;
const UNCOMMITTED_MSGS: i32 = 1027;
const Q_STATUS_TYPE: i32 = 1103;
const OLDEST_MSG_AGE: i32 = 1227;
const Q_DESC: i32 = 2013;
const Q_MGR_NAME: i32 = 2015;
const Q_NAME: i32 = 2016;
const BACKOUT_REQ_Q_NAME: i32 = 2019;
const Q_NAMES: i32 = 3011;
const CHANNEL_NAME: i32 = 3501;

struct Served {
    manager: QueueManager,
    server: Server,
    _dir: tempfile::TempDir,
}

async fn serve(security: Security) -> Served {
    let dir = tempfile::tempdir().expect("a directory");
    let mut options = QueueManagerOptions::new("DAYBOOK", dir.path().to_owned());
    options.queues = vec![
        QueueDefinition::new(QUEUE),
        QueueDefinition::new(REPLIES),
        QueueDefinition {
            model: true,
            ..QueueDefinition::new(MODEL)
        },
        command_queue(),
    ];
    let manager = QueueManager::start(options).expect("starts");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let options = ServerOptions {
        channels: vec![Channel::new("DAYBOOK.SVRCONN")],
        security,
        queues_max: 300,
        ..ServerOptions::default()
    };
    let server = Server::start(manager.clone(), listener, options).expect("serves");
    Served {
        manager,
        server,
        _dir: dir,
    }
}

fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut field = [b' '; N];
    for (to, from) in field.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    field
}

/// A command as a message; `change` makes it another one.
fn message(pcf: &Pcf, user: &str, change: impl FnOnce(&mut Descriptor)) -> NewMessage {
    let mut descriptor = Descriptor {
        persistent: false,
        msg_type: 1,
        encoding: 546,
        format: *b"MQADMIN ",
        reply_to_q: padded(REPLIES),
        reply_to_q_mgr: padded("DAYBOOK"),
        user_identifier: padded(user),
        ..Descriptor::default()
    };
    change(&mut descriptor);
    let order = ByteOrder::of_encoding(descriptor.encoding).unwrap_or_default();
    let mut body = BytesMut::new();
    pcf.write(order, &mut body);
    NewMessage {
        descriptor: Arc::new(descriptor),
        body: body.freeze(),
        ..NewMessage::default()
    }
}

fn pcf(command: i32, parameters: Vec<PcfParameter>) -> Pcf {
    Pcf {
        header: PcfHeader::command(command),
        parameters,
    }
}

fn list(id: i32, values: &[i32]) -> PcfParameter {
    PcfParameter {
        id,
        value: PcfValue::Integers(values.to_vec()),
    }
}

fn text(id: i32, text: &str) -> PcfParameter {
    PcfParameter::text(id, text)
}

fn integer(id: i32, value: i32) -> PcfParameter {
    PcfParameter::integer(id, value)
}

impl Served {
    async fn put(&self, queue: &str, message: NewMessage) {
        let mut unit = self.manager.begin();
        unit.put(queue, message).expect("puts");
        unit.commit().await.expect("commits");
    }

    async fn get(&self, queue: &str) -> Message {
        let mut unit = self.manager.begin();
        let got = unit.get(queue, WAIT).await.expect("gets");
        unit.commit().await.expect("commits");
        got.expect("an answer")
    }

    /// The messages of an answer, until the last one.
    async fn answers(&self, command: NewMessage) -> Vec<(Message, Pcf)> {
        self.put(COMMAND_QUEUE, command).await;
        let mut answers = Vec::new();
        loop {
            let message = self.get(REPLIES).await;
            let order = ByteOrder::of_encoding(message.descriptor.encoding).expect("known");
            let pcf = Pcf::read(message.body.clone(), order).expect("reads");
            let last = pcf.header.control == 1;
            answers.push((message, pcf));
            assert_eq!(
                answers.last().expect("one").1.header.sequence,
                answers.len() as i32
            );
            if last {
                return answers;
            }
        }
    }

    async fn ask_as(&self, user: &str, command: i32, parameters: Vec<PcfParameter>) -> Vec<Pcf> {
        let command = message(&pcf(command, parameters), user, |_| {});
        let answers = self.answers(command).await;
        answers.into_iter().map(|(_, pcf)| pcf).collect()
    }

    async fn ask(&self, command: i32, parameters: Vec<PcfParameter>) -> Vec<Pcf> {
        let answers = self.ask_as("op", command, parameters).await;
        for answer in &answers {
            assert_eq!(
                (answer.header.comp_code, answer.header.reason),
                (0, 0),
                "{answer:?}"
            );
        }
        answers
    }

    /// Reason and the parameter it is about.
    async fn refused_as(
        &self,
        user: &str,
        command: i32,
        parameters: Vec<PcfParameter>,
    ) -> (i32, Option<i32>) {
        let answers = self.ask_as(user, command, parameters).await;
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert_eq!(answers[0].header.comp_code, 2, "{answers:?}");
        assert_eq!(answers[0].header.command, command);
        (answers[0].header.reason, number(&answers[0], PARAMETER_ID))
    }

    async fn refused(&self, command: i32, parameters: Vec<PcfParameter>) -> (i32, Option<i32>) {
        self.refused_as("op", command, parameters).await
    }

    async fn stop(self) {
        self.server.stop().await;
        self.manager.stop().await.expect("stops");
    }
}

fn number(pcf: &Pcf, id: i32) -> Option<i32> {
    match pcf.get(id) {
        Some(PcfValue::Integer(value)) => Some(*value),
        _ => None,
    }
}

fn string(pcf: &Pcf, id: i32) -> String {
    match pcf.get(id) {
        Some(PcfValue::Text(text)) => text.text(0).expect("text"),
        other => panic!("{id}: {other:?}"),
    }
}

fn local(name: &str) -> Vec<PcfParameter> {
    vec![text(Q_NAME, name), integer(Q_TYPE, 1)]
}

#[tokio::test]
async fn an_answer_goes_back_as_the_command_says() {
    let served = serve(Security::default()).await;
    let ping = pcf(PING_Q_MGR, Vec::new());
    let mut plain = message(&ping, "op", |_| {});
    plain.msg_id = Some(MsgId([1; 24]));
    plain.correl_id = MsgId([2; 24]);
    plain.priority = 7;
    let [(answer, pong)] = &served.answers(plain.clone()).await[..] else {
        panic!("one message");
    };
    assert_eq!(answer.correl_id, MsgId([1; 24]));
    assert_ne!(answer.msg_id, MsgId([1; 24]));
    assert_eq!((answer.priority, answer.descriptor.msg_type), (7, 2));
    assert_eq!(&answer.descriptor.format, b"MQADMIN ");
    assert!(!answer.descriptor.persistent && answer.expires_at.is_none());
    assert_eq!(
        (pong.header.kind, pong.header.command, pong.header.control),
        (2, 40, 1)
    );
    // MQRO_PASS_MSG_ID, MQRO_PASS_CORREL_ID, MQRO_PASS_DISCARD_AND_EXPIRY; big-endian EBCDIC.
    let expires_at = Some(4_102_444_800_000_000);
    let mut passing = NewMessage {
        msg_id: plain.msg_id,
        correl_id: plain.correl_id,
        expires_at,
        ..message(&pcf(INQUIRE_Q_MGR, Vec::new()), "op", |descriptor| {
            descriptor.report = 0x80 | 0x40 | 0x4000;
            descriptor.encoding = 785;
            descriptor.ccsid = 500;
            descriptor.persistent = true;
        })
    };
    let [(answer, told)] = &served.answers(passing.clone()).await[..] else {
        panic!("one message");
    };
    assert_eq!(
        (answer.msg_id, answer.correl_id),
        (MsgId([1; 24]), MsgId([2; 24]))
    );
    assert_eq!(answer.expires_at, expires_at);
    assert!(answer.descriptor.persistent);
    assert_eq!(
        (answer.descriptor.encoding, answer.descriptor.ccsid),
        (785, 500)
    );
    let Some(PcfValue::Text(name)) = told.get(Q_MGR_NAME) else {
        panic!("{told:?}");
    };
    assert_eq!(
        name.bytes[..3],
        convert(1208, 500, b"DAY").expect("known")[..]
    );
    assert_eq!(name.text(500).as_deref(), Some("DAYBOOK"));
    // A temporary queue takes no persistent messages.
    let output = OpenMode::default();
    let made = served.manager.open(MODEL, output, "AMQ.*").expect("makes");
    let mut descriptor = (*passing.descriptor).clone();
    descriptor.reply_to_q = padded(made.name());
    passing.descriptor = Arc::new(descriptor);
    served.put(COMMAND_QUEUE, passing).await;
    assert!(!served.get(made.name()).await.descriptor.persistent);
    served.stop().await;
}

#[tokio::test]
async fn what_is_no_command_is_refused_or_dropped() {
    let served = serve(Security::default()).await;
    let ping = pcf(PING_Q_MGR, Vec::new());
    let header = |change: &dyn Fn(&mut PcfHeader)| {
        let mut changed = ping.clone();
        change(&mut changed.header);
        message(&changed, "op", |_| {})
    };
    let mut cut = message(&ping, "op", |_| {});
    cut.body = cut.body.slice(..35);
    let other = PcfParameter {
        id: 7,
        value: PcfValue::Other {
            kind: 13,
            rest: Bytes::from_static(&[0; 8]),
        },
    };
    for (command, reason) in [
        (
            message(&ping, "op", |descriptor| descriptor.format = *b"MQSTR   "),
            3023,
        ),
        (
            message(&ping, "op", |descriptor| descriptor.encoding = 0),
            3050,
        ),
        (cut, 3016),
        (header(&|header| header.kind = 2), 3001),
        (header(&|header| header.sequence = 2), 3004),
        (header(&|header| header.control = 0), 3005),
        (header(&|header| header.command = 99), 3007),
        (message(&pcf(PING_Q_MGR, vec![other]), "op", |_| {}), 3150),
        (
            message(&pcf(PING_Q_MGR, vec![integer(5, 5)]), "op", |_| {}),
            3014,
        ),
        (
            message(&pcf(PING_Q_MGR, vec![text(5, "x")]), "op", |_| {}),
            3015,
        ),
        (
            message(&pcf(PING_Q_MGR, vec![list(5, &[1])]), "op", |_| {}),
            3047,
        ),
    ] {
        let answers = served.answers(command).await;
        assert_eq!(answers.len(), 1);
        let header = answers[0].1.header;
        assert_eq!((header.comp_code, header.reason), (2, reason));
    }
    // As long as may be, and one byte more.
    let mut longest = message(&ping, "op", |_| {});
    longest.body = Bytes::from(vec![0; 32_762]);
    assert_eq!(
        served.answers(longest.clone()).await[0].1.header.reason,
        3002
    );
    longest.body = Bytes::from(vec![0; 32_763]);
    let refused = served.manager.begin().put(COMMAND_QUEUE, longest);
    assert_eq!(refused.expect_err("too long").reason(), 2030);
    // Replies, answers to nowhere, to unknown queues, to other queue managers and to the command queue
    // itself: dropped, and the next command is answered.
    for change in [
        &(|descriptor: &mut Descriptor| descriptor.msg_type = 2) as &dyn Fn(&mut Descriptor),
        &|descriptor| descriptor.reply_to_q = padded(""),
        &|descriptor| descriptor.reply_to_q = padded("NO.SUCH"),
        &|descriptor| descriptor.reply_to_q = padded(MODEL),
        &|descriptor| descriptor.reply_to_q_mgr = padded("OTHER"),
        &|descriptor| descriptor.reply_to_q = padded(COMMAND_QUEUE),
    ] {
        served
            .put(COMMAND_QUEUE, message(&ping, "op", change))
            .await;
    }
    served.ask(PING_Q_MGR, Vec::new()).await;
    assert_eq!(served.manager.depth(REPLIES).expect("known"), 0);
    assert_eq!(served.manager.depth(MODEL).expect("known"), 0);
    assert_eq!(served.manager.depth(COMMAND_QUEUE).expect("known"), 0);
    served.stop().await;
}

#[tokio::test]
async fn queues_are_asked_for_by_name_type_and_attribute() {
    let served = serve(Security::default()).await;
    let all = served.ask(INQUIRE_Q, vec![text(Q_NAME, "*")]).await;
    let names: Vec<String> = all.iter().map(|queue| string(queue, Q_NAME)).collect();
    assert_eq!(names, [QUEUE, REPLIES, COMMAND_QUEUE, MODEL]);
    let types: Vec<_> = all.iter().map(|queue| number(queue, Q_TYPE)).collect();
    assert_eq!(types, [Some(1), Some(1), Some(1), Some(2)]);
    assert_eq!(number(&all[0], CURRENT_Q_DEPTH), Some(0));
    assert_eq!(number(&all[3], CURRENT_Q_DEPTH), None, "a model has none");
    // Sent as IBM MQ sends them: padded.
    let Some(PcfValue::Text(name)) = all[0].get(Q_NAME) else {
        panic!("a name");
    };
    assert_eq!((name.bytes.len(), name.ccsid), (48, 1208));
    let models = vec![
        text(Q_NAME, "SYSTEM.*"),
        integer(Q_TYPE, 2),
        list(Q_ATTRS, &[1009]),
    ];
    let models = served.ask(INQUIRE_Q, models).await;
    assert_eq!(models.len(), 1);
    // What no queue of ours has is left out.
    let asked = vec![
        text(Q_NAME, QUEUE),
        list(Q_ATTRS, &[MAX_Q_DEPTH, 2029, Q_DESC]),
    ];
    let answers = served.ask(INQUIRE_Q, asked).await;
    let ids: Vec<i32> = answers[0]
        .parameters
        .iter()
        .map(|parameter| parameter.id)
        .collect();
    assert_eq!(ids, [Q_NAME, Q_TYPE, Q_DESC, MAX_Q_DEPTH]);
    for (parameters, refusal) in [
        (vec![text(Q_NAME, "NO.SUCH")], (2085, None)),
        (vec![text(Q_NAME, "NO.*")], (2085, None)),
        (vec![text(Q_NAME, QUEUE), integer(Q_TYPE, 2)], (2085, None)),
        (vec![text(Q_NAME, QUEUE), integer(Q_TYPE, 3)], (2085, None)),
        (
            vec![text(Q_NAME, QUEUE), integer(Q_TYPE, 4)],
            (3022, Some(Q_TYPE)),
        ),
        (Vec::new(), (3019, Some(Q_NAME))),
        (vec![text(Q_NAME, "")], (4008, Some(Q_NAME))),
        (vec![text(Q_NAME, &"Q".repeat(49))], (3011, Some(Q_NAME))),
        (vec![integer(Q_NAME, 1)], (3013, Some(Q_NAME))),
        (
            vec![text(Q_NAME, "A"), text(Q_NAME, "B")],
            (3018, Some(Q_NAME)),
        ),
        (
            vec![text(Q_NAME, "*"), list(Q_ATTRS, &[0])],
            (4005, Some(Q_ATTRS)),
        ),
        (
            vec![text(Q_NAME, "*"), list(Q_ATTRS, &[4_001])],
            (4005, Some(Q_ATTRS)),
        ),
        (
            vec![PcfParameter {
                id: Q_NAME,
                value: PcfValue::Text(PcfText {
                    ccsid: 930,
                    bytes: Bytes::from_static(b"Q"),
                }),
            }],
            (3049, Some(Q_NAME)),
        ),
    ] {
        let shown = format!("{parameters:?}");
        assert_eq!(
            served.refused(INQUIRE_Q, parameters).await,
            refusal,
            "{shown}"
        );
    }
    let names = |answers: &[Pcf]| match answers[0].get(Q_NAMES) {
        Some(PcfValue::Texts(names)) => names.texts(0).expect("text"),
        other => panic!("{other:?}"),
    };
    let answers = served
        .ask(INQUIRE_Q_NAMES, vec![text(Q_NAME, "DAY*")])
        .await;
    assert_eq!(names(&answers), [QUEUE]);
    for none in ["NO.*", "NO.SUCH"] {
        let answers = served.ask(INQUIRE_Q_NAMES, vec![text(Q_NAME, none)]).await;
        assert_eq!(names(&answers), [""; 0]);
        let Some(PcfValue::Texts(PcfTexts { text_bytes, .. })) = answers[0].get(Q_NAMES) else {
            panic!("a list");
        };
        assert_eq!(*text_bytes, 48);
    }
    served.stop().await;
}

/// More queues than fit into one unit of work: the answer comes in order, and ends.
#[tokio::test]
async fn many_queues_are_many_messages() {
    let served = serve(Security::default()).await;
    for number in 0..250 {
        let name = format!("MANY.{number:03}");
        served
            .manager
            .define(QueueDefinition::new(&name))
            .await
            .expect("defines");
    }
    let all = served.ask(INQUIRE_Q, vec![text(Q_NAME, "MANY.*")]).await;
    let names: Vec<String> = all.iter().map(|queue| string(queue, Q_NAME)).collect();
    assert_eq!(names.len(), 250);
    assert!(names.is_sorted());
    // Four were there, 300 are allowed.
    for number in 254..300 {
        let name = format!("LIMIT.{number}");
        served.ask(CREATE_Q, local(&name)).await;
    }
    assert_eq!(served.refused(CREATE_Q, local("LIMIT")).await, (3209, None));
    served.ask(DELETE_Q, local("LIMIT.254")).await;
    served.ask(CREATE_Q, local("LIMIT")).await;
    served.stop().await;
}

#[tokio::test]
async fn status_and_statistics_tell_what_happened() {
    let served = serve(Security::default()).await;
    let status = async || {
        let answers = served
            .ask(INQUIRE_Q_STATUS, vec![text(Q_NAME, QUEUE)])
            .await;
        answers.into_iter().next().expect("one")
    };
    let before = status().await;
    assert_eq!(number(&before, OLDEST_MSG_AGE), Some(0));
    assert_eq!(
        (string(&before, 3128), string(&before, 3131)),
        (String::new(), String::new())
    );
    let old = NewMessage {
        put_time: Some(1_000_000),
        ..NewMessage::default()
    };
    served.put(QUEUE, old).await;
    served.put(QUEUE, NewMessage::default()).await;
    let mut unit = served.manager.begin();
    unit.put(QUEUE, NewMessage::default()).expect("puts");
    let now = status().await;
    assert_eq!(number(&now, CURRENT_Q_DEPTH), Some(2));
    assert_eq!(number(&now, UNCOMMITTED_MSGS), Some(1));
    assert!(number(&now, OLDEST_MSG_AGE).is_some_and(|age| age > 1_700_000_000));
    assert_eq!(string(&now, 3128).len(), "2026-11-25".len());
    assert_eq!(string(&now, 3129).len(), "12.34.56".len());
    assert_eq!(now.get(37), Some(&PcfValue::Integer64(2)));
    assert_eq!(now.get(38), Some(&PcfValue::Integer64(0)));
    drop(unit);
    served.get(QUEUE).await;
    assert_eq!(status().await.get(38), Some(&PcfValue::Integer64(1)));
    let reset = served.ask(RESET_Q_STATS, vec![text(Q_NAME, QUEUE)]).await;
    let counts = [36, 37, 38].map(|id| number(&reset[0], id));
    assert_eq!(counts, [Some(2), Some(2), Some(1)]);
    let reset = served.ask(RESET_Q_STATS, vec![text(Q_NAME, QUEUE)]).await;
    let counts = [36, 37, 38].map(|id| number(&reset[0], id));
    assert_eq!(counts, [Some(1), Some(0), Some(0)]);
    for (name, status_type, refusal) in [
        (QUEUE, 1104, (3229, Some(Q_STATUS_TYPE))),
        (MODEL, 1105, (4007, Some(Q_NAME))),
        ("NO.SUCH", 1105, (2085, None)),
        ("NO.*", 1105, (2085, None)),
    ] {
        let parameters = vec![text(Q_NAME, name), integer(Q_STATUS_TYPE, status_type)];
        assert_eq!(served.refused(INQUIRE_Q_STATUS, parameters).await, refusal);
    }
    let none = vec![text(CHANNEL_NAME, "*")];
    assert_eq!(
        served.refused(INQUIRE_CHANNEL_STATUS, none).await,
        (3065, None)
    );
    served.stop().await;
}

#[tokio::test]
async fn queues_are_made_changed_cleared_and_deleted() {
    let served = serve(Security::default()).await;
    let with = |name: &str, more: Vec<PcfParameter>| [local(name), more].concat();
    let attributes = vec![
        text(Q_DESC, "for a check"),
        integer(MAX_Q_DEPTH, 3),
        integer(DEF_PERSISTENCE, 1),
        integer(BACKOUT_THRESHOLD, 5),
        text(BACKOUT_REQ_Q_NAME, QUEUE),
        integer(SHAREABILITY, 1),
    ];
    served.ask(CREATE_Q, with("NEW", attributes)).await;
    let made = served.manager.definition("NEW").expect("there");
    assert_eq!(
        (made.description.as_str(), made.depth_max),
        ("for a check", 3)
    );
    assert_eq!(
        (made.backout_threshold, made.backout_queue.as_str()),
        (5, QUEUE)
    );
    assert!(made.default_persistent && !made.put_inhibited);
    served
        .ask(CHANGE_Q, with("NEW", vec![integer(INHIBIT_PUT, 1)]))
        .await;
    let changed = served.manager.definition("NEW").expect("there");
    let expected = QueueDefinition {
        put_inhibited: true,
        ..made
    };
    assert_eq!(changed, expected, "and nothing else");
    served
        .ask(CREATE_Q, with("NEW", vec![integer(REPLACE, 1)]))
        .await;
    let replaced = served.manager.definition("NEW").expect("there");
    let expected = QueueDefinition {
        default_persistent: false,
        depth_max: 5_000,
        ..QueueDefinition::new("NEW")
    };
    assert_eq!(replaced, expected, "the defaults again");
    served.put("NEW", NewMessage::default()).await;
    assert_eq!(served.refused(DELETE_Q, local("NEW")).await, (2055, None));
    let open = served.manager.open("NEW", OpenMode::default(), "");
    for (command, parameters) in [
        (CLEAR_Q, vec![text(Q_NAME, "NEW")]),
        (DELETE_Q, with("NEW", vec![integer(PURGE, 1)])),
    ] {
        assert_eq!(served.refused(command, parameters).await, (4004, None));
    }
    drop(open);
    let mut unit = served.manager.begin();
    unit.get("NEW", Duration::ZERO)
        .await
        .expect("gets")
        .expect("one");
    let uncommitted = served.refused(CLEAR_Q, vec![text(Q_NAME, "NEW")]).await;
    assert_eq!(uncommitted, (2055, None));
    drop(unit);
    served.ask(CLEAR_Q, vec![text(Q_NAME, "NEW")]).await;
    assert_eq!(served.manager.depth("NEW").expect("there"), 0);
    served.put("NEW", NewMessage::default()).await;
    served
        .ask(DELETE_Q, with("NEW", vec![integer(PURGE, 1)]))
        .await;
    assert!(served.manager.definition("NEW").is_err());
    let model = vec![text(Q_NAME, "NEW.MODEL"), integer(Q_TYPE, 2)];
    served.ask(CREATE_Q, model.clone()).await;
    assert!(served.manager.definition("NEW.MODEL").expect("there").model);
    assert_eq!(
        served
            .refused(CLEAR_Q, vec![text(Q_NAME, "NEW.MODEL")])
            .await,
        (4007, Some(Q_NAME))
    );
    for (command, parameters, refusal) in [
        (CREATE_Q, local(QUEUE), (4001, None)),
        (CREATE_Q, model, (4001, None)),
        (
            CREATE_Q,
            with("NEW.MODEL", vec![integer(REPLACE, 1)]),
            (4002, None),
        ),
        (CREATE_Q, local("NO NAME"), (4008, None)),
        (CREATE_Q, local(&"Q".repeat(49)), (3011, Some(Q_NAME))),
        (CREATE_Q, vec![text(Q_NAME, "X")], (3019, Some(Q_TYPE))),
        (
            CREATE_Q,
            vec![text(Q_NAME, "X"), integer(Q_TYPE, 3)],
            (3022, Some(Q_TYPE)),
        ),
        (
            CREATE_Q,
            with("X", vec![integer(REPLACE, 2)]),
            (3025, Some(REPLACE)),
        ),
        (
            CREATE_Q,
            with("X", vec![integer(MAX_Q_DEPTH, -1)]),
            (4005, Some(MAX_Q_DEPTH)),
        ),
        (
            CREATE_Q,
            with("X", vec![integer(MAX_Q_DEPTH, 1_000_000_000)]),
            (4005, Some(MAX_Q_DEPTH)),
        ),
        (
            CREATE_Q,
            with("X", vec![integer(13, 104_857_601)]),
            (4005, Some(13)),
        ),
        (CREATE_Q, with("X", vec![integer(6, 10)]), (4005, Some(6))),
        (
            CREATE_Q,
            with("X", vec![text(Q_DESC, &"d".repeat(65))]),
            (3011, Some(Q_DESC)),
        ),
        (
            CREATE_Q,
            with("X", vec![integer(SHAREABILITY, 0)]),
            (3213, Some(SHAREABILITY)),
        ),
        (CHANGE_Q, local("NO.SUCH"), (2085, None)),
        (CHANGE_Q, local("NEW.MODEL"), (4007, Some(Q_TYPE))),
        (DELETE_Q, local("NO.SUCH"), (2085, None)),
        (DELETE_Q, local("NEW.MODEL"), (4007, Some(Q_TYPE))),
        (
            DELETE_Q,
            with(QUEUE, vec![integer(PURGE, 2)]),
            (3046, Some(PURGE)),
        ),
        // Daybook's own.
        (DELETE_Q, local(QUEUE), (3208, Some(Q_NAME))),
        (CLEAR_Q, vec![text(Q_NAME, "NO.SUCH")], (2085, None)),
        (CLEAR_Q, vec![text(Q_NAME, COMMAND_QUEUE)], (4004, None)),
    ] {
        let shown = format!("{command} {parameters:?}");
        assert_eq!(
            served.refused(command, parameters).await,
            refusal,
            "{shown}"
        );
    }
    assert!(served.manager.definition("X").is_err());
    served.stop().await;
}

#[tokio::test]
async fn only_who_has_the_right_may_command() {
    let permission = |user: &str, queue: &str, rights: &[Right]| Permission {
        user: user.to_owned(),
        queue: queue.to_owned(),
        rights: rights.to_vec(),
    };
    let served = serve(Security {
        permissions: vec![
            permission("op", "*", &[Right::Admin, Right::Put]),
            permission("team", "TEAM.*", &[Right::Admin]),
            permission("team", REPLIES, &[Right::Put]),
            permission(
                "app",
                "*",
                &[Right::Put, Right::Get, Right::Inquire, Right::Context],
            ),
            permission("mute", "*", &[Right::Admin]),
        ],
        ..Security::default()
    })
    .await;
    served.ask(PING_Q_MGR, Vec::new()).await;
    served.ask(CREATE_Q, local("TEAM.1")).await;
    let name = |name: &str| vec![text(Q_NAME, name)];
    let denied = (2035, None);
    for (user, command, parameters) in [
        ("app", PING_Q_MGR, Vec::new()),
        ("app", INQUIRE_Q_MGR, Vec::new()),
        ("app", INQUIRE_Q, name(QUEUE)),
        ("app", INQUIRE_Q_NAMES, name(QUEUE)),
        ("app", INQUIRE_Q_STATUS, name(QUEUE)),
        ("app", RESET_Q_STATS, name(QUEUE)),
        ("app", CLEAR_Q, name(QUEUE)),
        ("app", CREATE_Q, local("APP.1")),
        ("app", CHANGE_Q, local(QUEUE)),
        ("app", DELETE_Q, local("TEAM.1")),
        ("app", INQUIRE_CHANNEL_STATUS, vec![text(CHANNEL_NAME, "*")]),
        ("team", PING_Q_MGR, Vec::new()),
        ("team", CLEAR_Q, name(QUEUE)),
        ("team", CREATE_Q, local("OTHER.1")),
        // Whether there is such a queue is not told.
        ("app", CLEAR_Q, name("NO.SUCH")),
    ] {
        let refused = served.refused_as(user, command, parameters).await;
        assert_eq!(refused, denied, "{user} {command}");
    }
    assert_eq!(
        served.refused_as("app", INQUIRE_Q, name("*")).await,
        (2085, None)
    );
    let own = served.ask_as("team", INQUIRE_Q, name("*")).await;
    assert_eq!(own.len(), 1);
    assert_eq!(string(&own[0], Q_NAME), "TEAM.1");
    assert_eq!(
        served.ask_as("team", CLEAR_Q, name("TEAM.1")).await[0]
            .header
            .reason,
        0
    );
    // An answer is a put as well.
    let ping = message(&pcf(PING_Q_MGR, Vec::new()), "mute", |_| {});
    served.put(COMMAND_QUEUE, ping).await;
    served.ask(PING_Q_MGR, Vec::new()).await;
    assert_eq!(served.manager.depth(REPLIES).expect("known"), 0);
    served.stop().await;
}
