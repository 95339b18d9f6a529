//! What a queue manager must bear: the longest message, a long queue, many connections, a client that never
//! reads, garbage on its port, a full disk. A tenth of the size in `make test`, all of it with `TRIALS=full`.
#![allow(missing_docs)]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use common::{Daybook, Dice, PATIENCE, Place};
use mq_client::{
    Chars, ClientError, ClientOptions, Connection, GetRequest, Host, MessageDescriptor, Queue,
    Session, attribute, get, open,
};
use mq_wire::{
    Api, Call, Connect, Flow, Get, GetOptions, Header, HeaderKind, IdBase, InitialData,
    ObjectDescriptor, Open, SegmentType,
};
use types::names;

const MIB: usize = 1 << 20;

fn full() -> bool {
    std::env::var("TRIALS").is_ok_and(|wanted| wanted == "full")
}

fn options(place: &Place) -> Arc<ClientOptions> {
    let host = Host {
        name: "127.0.0.1".to_owned(),
        port: place.port(names::port::MQ),
    };
    Arc::new(ClientOptions::new(host, names::QUEUE_CHANNEL))
}

async fn session(place: &Place) -> Session {
    let (_, session) = mq_client::connect_any(&options(place))
        .await
        .expect("connects");
    session
}

async fn test_queue(session: &mut Session) -> Queue {
    let options = open::INPUT_SHARED | open::OUTPUT | open::BROWSE | open::INQUIRE;
    session
        .open(names::QUEUE_TEST, options)
        .await
        .expect("opens")
}

async fn depth(session: &mut Session, queue: &Queue) -> usize {
    let found = session
        .inquire(queue, &[attribute::CURRENT_Q_DEPTH], 0)
        .await;
    found.expect("inquires").0[0] as usize
}

fn persistent() -> MessageDescriptor {
    MessageDescriptor {
        persistence: 1,
        ..MessageDescriptor::initial()
    }
}

/// Resident bytes.
fn memory(process: &Daybook) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).expect("reads");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib: usize = line
        .and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .expect("a number");
    kib << 10
}

async fn still_serves(place: &Place) {
    let mut session = session(place).await;
    let queue = test_queue(&mut session).await;
    let put = session.put(&queue, persistent(), Bytes::from_static(b"fine"), false);
    put.await.expect("puts");
    let got = session
        .get(&queue, &GetRequest::default())
        .await
        .expect("gets");
    assert_eq!(got.expect("there").body, &b"fine"[..]);
    session.disconnect().await.expect("disconnects");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_message_comes_through_and_one_byte_more_is_refused() {
    let place = Place::new().with_change(
        "message_bytes_max = 4194304 ",
        "message_bytes_max = 104857600 ",
    );
    let _process = place.start(&["queue"]);
    let mut session = session(&place).await;
    let queue = test_queue(&mut session).await;
    let mut body = vec![0; 100 * MIB];
    let mut dice = Dice(0x5eed);
    for byte in body.iter_mut().step_by(4_099) {
        *byte = dice.below(256) as u8;
    }
    let body = Bytes::from(body);
    session
        .put(&queue, persistent(), body.clone(), true)
        .await
        .expect("puts");
    session.commit().await.expect("commits");
    let mut longer = BytesMut::from(&body[..]);
    longer.extend_from_slice(b"x");
    let refused = session
        .put(&queue, persistent(), longer.freeze(), true)
        .await;
    let reason = refused
        .expect_err("too long")
        .reason()
        .map(|reason| reason.0);
    assert!(matches!(reason, Some(2030 | 2218)), "{reason:?}");
    let got = session
        .get(&queue, &GetRequest::default())
        .await
        .expect("gets");
    assert!(got.expect("there").body == body, "other bytes came back");
    session.disconnect().await.expect("disconnects");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_queue_is_kept_over_a_kill() {
    let messages = if full() { 1_000_000 } else { 100_000 };
    let place = Place::new();
    let process = place.start(&["queue"]);
    let before = memory(&process);
    let mut putter = session(&place).await;
    let queue = test_queue(&mut putter).await;
    let body = |number: usize| Bytes::from(format!("{number:0>100}"));
    for begin in (0..messages).step_by(1_000) {
        for number in begin..begin + 1_000 {
            putter
                .put_unanswered(&queue, persistent(), body(number))
                .expect("sends");
        }
        putter.check_puts().await.expect("puts");
        putter.commit().await.expect("commits");
    }
    assert_eq!(depth(&mut putter, &queue).await, messages);
    let each = (memory(&process) - before) / messages;
    eprintln!("{messages} messages of 100 bytes: {each} bytes of memory each");
    assert!(each < 1_500, "{each} bytes a message");
    process.kill();
    let began = Instant::now();
    let _process = place.start(&["queue"]);
    eprintln!("ready again after {:?}", began.elapsed());
    let mut getter = session(&place).await;
    let queue = test_queue(&mut getter).await;
    assert_eq!(depth(&mut getter, &queue).await, messages);
    // In order, from the front.
    let request = GetRequest {
        syncpoint: true,
        ..GetRequest::default()
    };
    for number in 0..1_000 {
        let got = getter
            .get(&queue, &request)
            .await
            .expect("gets")
            .expect("there");
        assert_eq!(got.body, body(number));
    }
    getter.commit().await.expect("commits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_connections_are_served_and_those_beyond_the_limit_refused() {
    let connections = if full() { 1_000 } else { 100 };
    let place = Place::new().with_change(
        "connections_max = 1200",
        &format!("connections_max = {connections}"),
    );
    let process = place.start(&["queue"]);
    let before = memory(&process);
    let options = options(&place);
    let host = options.hosts[0].clone();
    let mut sessions = Vec::new();
    for _ in 0..connections {
        let (_, mut session) = Connection::connect(&options, &host)
            .await
            .expect("connects");
        let queue = test_queue(&mut session).await;
        sessions.push((session, queue));
    }
    let each = memory(&process).saturating_sub(before) / connections;
    eprintln!("{connections} connections: {each} bytes of memory each");
    assert!(each < 256 << 10, "{each} bytes a connection");
    let refused = Connection::connect(&options, &host).await;
    assert!(
        matches!(
            refused,
            Err(ClientError::Broken { .. } | ClientError::Status { .. })
        ),
        "{refused:?}"
    );
    // All of them work, at the same time.
    let mut tasks = Vec::new();
    for (number, (mut session, queue)) in sessions.into_iter().enumerate() {
        tasks.push(tokio::spawn(async move {
            let body = Bytes::from(number.to_string());
            session
                .put(&queue, persistent(), body, false)
                .await
                .expect("puts");
            let request = GetRequest {
                wait: Some(PATIENCE),
                ..GetRequest::default()
            };
            let got = session
                .get(&queue, &request)
                .await
                .expect("gets")
                .expect("there");
            session.disconnect().await.expect("disconnects");
            got.body
        }));
    }
    let mut seen = Vec::new();
    for task in tasks {
        let body = task.await.expect("ends");
        seen.push(
            std::str::from_utf8(&body)
                .expect("text")
                .parse::<usize>()
                .expect("a number"),
        );
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..connections).collect::<Vec<_>>());
    still_serves(&place).await;
}

/// Calls by hand, without a reader behind them.
struct Raw(TcpStream);

impl Raw {
    fn connect(place: &Place) -> Self {
        let stream =
            TcpStream::connect(("127.0.0.1", place.port(names::port::MQ))).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("sets");
        stream
            .set_write_timeout(Some(Duration::from_secs(2)))
            .expect("sets");
        let mut raw = Self(stream);
        let identity = InitialData {
            base: IdBase {
                fap_level: 4,
                segment_bytes_max: 32_766,
                message_bytes_max: 100 << 20,
                channel_name: Chars::new(names::QUEUE_CHANNEL),
                ..IdBase::default()
            },
            level4: Some(mq_wire::Id102::default()),
            ..InitialData::default()
        };
        raw.send(
            SegmentType::INITIAL_DATA,
            &Flow::InitialData(Box::new(identity)),
        );
        raw.reply();
        raw.send(SegmentType::USERID_DATA, &Flow::UserId(Box::default()));
        raw.call(
            SegmentType::MQCONN,
            0,
            Call::Connect(Box::<Connect>::default()),
        );
        raw.reply();
        let queue = Open {
            object: ObjectDescriptor {
                object_type: 1,
                object_name: Chars::new(names::QUEUE_TEST),
                ..ObjectDescriptor::default()
            },
            options: open::BROWSE,
            ..Open::default()
        };
        raw.call(SegmentType::MQOPEN, 0, Call::Open(Box::new(queue)));
        raw.reply();
        raw
    }

    fn write(&mut self, segment_type: SegmentType, flow: &Flow) -> std::io::Result<()> {
        let mut out = BytesMut::new();
        let header = Header::new(segment_type, HeaderKind::Plain);
        flow.write(header, 32_766, &mut out).expect("writes");
        self.0.write_all(&out)
    }

    fn send(&mut self, segment_type: SegmentType, flow: &Flow) {
        self.write(segment_type, flow).expect("sends");
    }

    fn call(&mut self, segment_type: SegmentType, handle: i32, call: Call) {
        self.send(segment_type, &Flow::Api(Api::request(handle, call)));
    }

    /// Reads one segment and forgets it.
    fn reply(&mut self) {
        let mut head = [0; 8];
        self.0.read_exact(&mut head).expect("an answer");
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let mut rest = vec![0; length - head.len()];
        self.0.read_exact(&mut rest).expect("the whole answer");
    }
}

/// Replies wait for it up to a limit; then its calls wait, and nobody else's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_stops_only_itself() {
    let place = Place::new();
    let process = place.start(&["queue"]);
    let mut putter = session(&place).await;
    let queue = test_queue(&mut putter).await;
    let body = Bytes::from(vec![7; MIB]);
    putter
        .put(&queue, persistent(), body, false)
        .await
        .expect("puts");
    let before = memory(&process);
    let mut greedy = Raw::connect(&place);
    let browse = Get {
        descriptor: MessageDescriptor::initial(),
        options: GetOptions {
            options: get::BROWSE_FIRST,
            ..GetOptions::default()
        },
        length: MIB as i32,
        data: Bytes::new(),
    };
    let mut asked = 0;
    // Half a gigabyte of answers, if it were let.
    while asked < 500 {
        let flow = Flow::Api(Api::request(2, Call::Get(Box::new(browse.clone()))));
        if greedy.write(SegmentType::MQGET, &flow).is_err() {
            break;
        }
        asked += 1;
    }
    still_serves_browsing(&mut putter, &queue).await;
    let grown = memory(&process).saturating_sub(before);
    eprintln!(
        "{asked} browses of 1 MiB unread: {} MiB more memory",
        grown / MIB
    );
    assert!(grown < 64 * MIB, "{grown} bytes");
    // Nor does it hold up the end.
    process.stop();
    drop(greedy);
}

async fn still_serves_browsing(session: &mut Session, queue: &Queue) {
    let request = GetRequest {
        cursor: get::BROWSE_FIRST,
        ..GetRequest::default()
    };
    let got = session
        .get(queue, &request)
        .await
        .expect("gets")
        .expect("there");
    assert_eq!(got.body.len(), MIB);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_on_the_port_ends_its_socket_and_nothing_else() {
    let sockets = if full() { 2_000 } else { 200 };
    let place = Place::new();
    let process = place.start(&["queue"]);
    let before = memory(&process);
    let mut dice = Dice(0xbad_5eed);
    for number in 0..sockets {
        let mut stream =
            TcpStream::connect(("127.0.0.1", place.port(names::port::MQ))).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("sets");
        let bytes: Vec<u8> = match number % 5 {
            0 => b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            // The greeting of TLS.
            1 => vec![
                0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03, 0, 0, 0,
            ],
            // A segment of 4 GiB.
            2 => [&b"TSH "[..], &[0xff; 60]].concat(),
            // A call before the start.
            3 => {
                let mut out = BytesMut::new();
                let header = Header::new(SegmentType::MQCMIT, HeaderKind::Plain);
                let flow = Flow::Api(Api::request(0, Call::Empty));
                flow.write(header, 32_766, &mut out).expect("writes");
                out.to_vec()
            }
            _ => (0..300).map(|_| dice.below(256) as u8).collect(),
        };
        // It may hang up in the middle.
        let _ = stream.write_all(&bytes);
        let mut rest = Vec::new();
        // Ended by the other side: with a status, or without a word.
        let _ = stream.read_to_end(&mut rest);
    }
    let grown = memory(&process).saturating_sub(before);
    eprintln!(
        "{sockets} sockets with garbage: {} KiB more memory",
        grown >> 10
    );
    assert!(grown < 32 * MIB, "{grown} bytes");
    still_serves(&place).await;
}

/// On a file system in memory that is too small. Needs root, to mount it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_and_loses_nothing_that_was_committed() {
    let place = Place::new();
    std::fs::create_dir_all(&place.dir).expect("creates");
    let mount = |arguments: &[&str]| {
        let status = Command::new("mount")
            .args(arguments)
            .arg(&place.dir)
            .status();
        status.is_ok_and(|status| status.success())
    };
    if !mount(&["-t", "tmpfs", "-o", "size=160m", "tmpfs"]) {
        eprintln!("not run: mounting a file system in memory needs root");
        return;
    }
    let unmount = Unmount(place.dir.clone());
    let process = place.start(&["queue"]);
    let mut putter = session(&place).await;
    let queue = test_queue(&mut putter).await;
    let mut committed = Vec::new();
    let body = |number: u32| {
        let mut body = vec![9; 60_000];
        body[..4].copy_from_slice(&number.to_le_bytes());
        Bytes::from(body)
    };
    let error = loop {
        let number = committed.len() as u32;
        match putter.put(&queue, persistent(), body(number), false).await {
            Ok(_) => committed.push(number),
            Err(error) => break error,
        }
        assert!(committed.len() < 10_000, "the disk is never full");
    };
    eprintln!("{} messages, then: {error}", committed.len());
    assert!(!committed.is_empty());
    assert!(
        error.reason().is_some() || error.outcome_is_unknown(),
        "{error}"
    );
    drop(putter);
    process.kill();
    assert!(
        mount(&["-o", "remount,size=600m", "tmpfs"]),
        "cannot give it more room"
    );
    let process = place.start(&["queue"]);
    let mut getter = session(&place).await;
    let queue = test_queue(&mut getter).await;
    let mut found = Vec::new();
    while let Some(got) = getter
        .get(&queue, &GetRequest::default())
        .await
        .expect("gets")
    {
        found.push(u32::from_le_bytes(got.body[..4].try_into().expect("four")));
    }
    // The one whose outcome was not known may be there.
    if found.len() == committed.len() + 1 {
        found.pop();
    }
    assert_eq!(found, committed);
    drop(process);
    drop(unmount);
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
