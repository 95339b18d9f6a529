//! What other queue managers may do and Daybook's own does not: refuse what was offered, speak EBCDIC and
//! big-endian, say that they end, or break off. The peer here is a script.
#![allow(missing_docs)]

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use mq_client::{
    ClientError, ClientOptions, Connection, GetRequest, Host, MessageDescriptor, Reason, Session,
    connect_any, open,
};
use mq_wire::{
    Api, Assembler, ByteOrder, Call, Chars, Flow, Header, HeaderKind, InitialData, Notification,
    Segment, SegmentReader, SegmentType, Status, flags, initial_error, notification, status_code,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const QUEUE: &str = "PAYMENTS.IN";
const MANAGER: &str = "CSQ9";
const SEGMENT_BYTES: u32 = 32_766;

/// A queue manager that does as it is told.
struct Peer {
    stream: TcpStream,
    segments: SegmentReader,
    assembler: Assembler,
    buffer: BytesMut,
    order: ByteOrder,
    ccsid: u16,
    /// Longest segment seen.
    longest: usize,
    segment_bytes_max: u32,
}

impl Peer {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            segments: SegmentReader::new(SEGMENT_BYTES),
            assembler: Assembler::new(100 << 20),
            buffer: BytesMut::new(),
            order: ByteOrder::Little,
            ccsid: 819,
            longest: 0,
            segment_bytes_max: SEGMENT_BYTES,
        }
    }

    async fn next(&mut self) -> Option<Segment> {
        loop {
            if let Some(segment) = self.segments.next(&mut self.buffer).expect("segments") {
                let bytes = segment.header.bytes() + segment.body.len();
                self.longest = self.longest.max(bytes);
                if let Some(message) = self.assembler.push(segment).expect("pieces") {
                    return Some(message);
                }
                continue;
            }
            let read = self.stream.read_buf(&mut self.buffer).await;
            if read.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    async fn expect(&mut self, wanted: SegmentType) -> (Header, Flow) {
        let segment = self.next().await.expect("the client is there");
        assert_eq!(segment.header.segment_type, wanted);
        let header = segment.header;
        (header, Flow::read(segment).expect("a flow"))
    }

    async fn send(&mut self, segment_type: SegmentType, kind: HeaderKind, bits: u8, flow: &Flow) {
        let mut header = Header::new(segment_type, kind).with_flags(bits);
        header.order = self.order;
        header.ccsid = self.ccsid;
        if self.order == ByteOrder::Big {
            header.encoding = 0x111;
        }
        let mut out = BytesMut::new();
        let written = flow.write(header, self.segment_bytes_max, &mut out);
        written.expect("writes");
        // Who has gone is not told.
        let _ = self.stream.write_all(&out).await;
    }

    async fn initial_data(&mut self) -> InitialData {
        match self.expect(SegmentType::INITIAL_DATA).await.1 {
            Flow::InitialData(data) => *data,
            other => panic!("{other:?}"),
        }
    }

    /// Answers the start: with what was offered, as `change` makes it.
    async fn answer_start(
        &mut self,
        mut data: InitialData,
        bits: u8,
        change: impl Fn(&mut InitialData),
    ) {
        data.base.error_flags1 = 0;
        change(&mut data);
        let flow = Flow::InitialData(Box::new(data));
        self.send(SegmentType::INITIAL_DATA, HeaderKind::Plain, bits, &flow)
            .await;
    }

    /// The start up to MQCONN's reply.
    async fn admit(&mut self, change: impl Fn(&mut InitialData)) {
        let offered = self.initial_data().await;
        self.answer_start(offered, 0, change).await;
        self.admit_known().await;
    }

    async fn admit_known(&mut self) {
        self.expect(SegmentType::USERID_DATA).await;
        self.reply(SegmentType::MQCONN, |call| {
            if let Call::Connect(connect) = call {
                connect.base.queue_manager = Chars::new(MANAGER);
            }
        })
        .await;
    }

    /// Waits for a call and answers it with itself, as `change` makes it.
    async fn reply(&mut self, segment_type: SegmentType, change: impl FnOnce(&mut Call)) -> Api {
        let (header, flow) = self.expect(segment_type).await;
        let Flow::Api(asked) = flow else {
            panic!("{flow:?}")
        };
        let mut api = asked.clone();
        api.reply_length = 0;
        api.handle = 7;
        change(&mut api.call);
        let reply = segment_type.reply();
        self.send(reply, header.kind, flags::WHOLE, &Flow::Api(api))
            .await;
        asked
    }

    async fn open_queue(&mut self) {
        self.reply(SegmentType::MQOPEN, |_| {}).await;
    }
}

/// Listens, and plays the script to the first who connects.
async fn play<F, T>(script: impl FnOnce(Peer) -> F + Send + 'static) -> (Host, JoinHandle<T>)
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("accepts");
        script(Peer::new(stream)).await
    });
    let name = "127.0.0.1".to_owned();
    (Host { name, port }, task)
}

fn options(host: Host) -> Arc<ClientOptions> {
    Arc::new(ClientOptions {
        call_seconds: 30,
        ..ClientOptions::new(host, "DAYBOOK.SVRCONN")
    })
}

async fn connect(host: Host) -> (Connection, Session) {
    connect_any(&options(host)).await.expect("connects")
}

async fn refused(host: Host) -> ClientError {
    connect_any(&options(host)).await.expect_err("no agreement")
}

fn body(bytes: usize) -> Bytes {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

/// As IBM's queue managers renegotiate: the first answer has the error flag and what they would take.
#[tokio::test]
async fn what_a_queue_manager_refuses_is_offered_again_as_it_wants_it() {
    let (host, peer) = play(async |mut peer: Peer| {
        let first = peer.initial_data().await;
        let less = |data: &mut InitialData| {
            data.base.error_flags1 = initial_error::TRANSMISSION_SIZE | initial_error::HEARTBEAT;
            data.base.segment_bytes_max = 4_096;
            data.base.message_bytes_max = 50_000;
            if let Some(level4) = &mut data.level4 {
                level4.heartbeat_seconds = 77;
            }
            if let Some(level9) = &mut data.level9 {
                level9.conversations_max = 0;
            }
        };
        peer.answer_start(first, flags::ERROR, less).await;
        let second = peer.initial_data().await;
        peer.answer_start(second.clone(), 0, |_| {}).await;
        peer.segment_bytes_max = 4_096;
        peer.admit_known().await;
        peer.open_queue().await;
        let asked = peer.reply(SegmentType::MQPUT, |call| {
            if let Call::Put(put) = call {
                put.data = Bytes::new();
            }
        });
        let Call::Put(put) = asked.await.call else {
            panic!("no put")
        };
        peer.reply(SegmentType::MQGET, |call| {
            if let Call::Get(get) = call {
                get.length = 20_000;
                get.data = body(20_000);
            }
        })
        .await;
        (second, put.data, peer.longest)
    })
    .await;
    let (connection, mut session) = connect(host).await;
    assert_eq!(connection.message_bytes_max(), 50_000);
    // Conversations are not shared: there is no further session on this socket.
    assert!(connection.session().await.expect("no error").is_none());
    let queue = session.open(QUEUE, open::OUTPUT).await.expect("opens");
    let descriptor = MessageDescriptor::initial();
    let put = session.put(&queue, descriptor, body(9_500), false).await;
    put.expect("puts");
    let got = session.get(&queue, &GetRequest::default()).await;
    assert_eq!(got.expect("gets").expect("there").body, body(20_000));
    let (second, data, longest) = peer.await.expect("plays");
    assert_eq!(second.base.segment_bytes_max, 4_096);
    assert_eq!(second.base.message_bytes_max, 50_000);
    assert_eq!(second.base.error_flags1, 0);
    assert_eq!(second.level4.map(|part| part.heartbeat_seconds), Some(77));
    assert_eq!(second.level9.map(|part| part.conversations_max), Some(0));
    assert_eq!(data, body(9_500));
    assert!(longest <= 4_096, "a segment of {longest} bytes");
}

#[tokio::test]
async fn a_queue_manager_that_refuses_everything_is_given_up() {
    let (host, peer) = play(async |mut peer: Peer| {
        let mut rounds = 0;
        while let Some(segment) = peer.next().await {
            let Ok(Flow::InitialData(data)) = Flow::read(segment) else {
                panic!("not the start")
            };
            peer.answer_start(*data, flags::ERROR, |data| {
                data.base.error_flags1 = initial_error::CCSID;
            })
            .await;
            rounds += 1;
        }
        rounds
    })
    .await;
    let error = refused(host).await;
    assert!(
        matches!(error, ClientError::Negotiation { .. }) && !error.is_transient(),
        "{error}"
    );
    assert_eq!(peer.await.expect("plays"), 4);
}

#[tokio::test]
async fn a_segment_size_that_holds_nothing_is_refused() {
    let (host, _peer) = play(async |mut peer: Peer| {
        let offered = peer.initial_data().await;
        peer.answer_start(offered, 0, |data| data.base.segment_bytes_max = 100)
            .await;
        peer.next().await;
    })
    .await;
    let error = refused(host).await.to_string();
    assert!(error.contains("segments of 100 bytes"), "{error}");
}

/// z/OS: numbers big-endian, text in EBCDIC. What is in a message's body is the application's.
#[tokio::test]
async fn a_queue_manager_that_speaks_ebcdic_is_understood() {
    for ccsid in [500, 37] {
        let (host, peer) = play(async move |mut peer: Peer| {
            (peer.order, peer.ccsid) = (ByteOrder::Big, ccsid);
            peer.admit(|_| {}).await;
            peer.open_queue().await;
            peer.reply(SegmentType::MQGET, |call| {
                if let Call::Get(get) = call {
                    get.descriptor.format = Chars::new("MQSTR");
                    get.descriptor.ccsid = 500;
                    get.descriptor.encoding = 0x311;
                    get.descriptor.user_identifier = Chars::new("PAYUSR1");
                    get.descriptor.priority = 6;
                    get.length = 3;
                    get.data = Bytes::from_static(&[0xc1, 0xc2, 0xc3]);
                }
            })
            .await;
            peer.reply(SegmentType::MQCMIT, |_| {}).await;
        })
        .await;
        let (_, mut session) = connect(host).await;
        assert_eq!(session.queue_manager(), MANAGER);
        let queue = session
            .open(QUEUE, open::INPUT_SHARED)
            .await
            .expect("opens");
        assert_eq!(queue.name(), QUEUE);
        let got = session.get(&queue, &GetRequest::default()).await;
        let got = got.expect("gets").expect("there");
        assert_eq!(got.descriptor.format.text(), "MQSTR");
        assert_eq!(got.descriptor.user_identifier.text(), "PAYUSR1");
        assert_eq!((got.descriptor.priority, got.descriptor.ccsid), (6, 500));
        assert_eq!(&got.body[..], [0xc1, 0xc2, 0xc3]);
        session.commit().await.expect("commits");
        peer.await.expect("plays");
    }
}

#[tokio::test]
async fn a_queue_manager_that_ends_is_heard() {
    let (host, peer) = play(async |mut peer: Peer| {
        peer.admit(|_| {}).await;
        let news = Notification {
            version: 1,
            handle: -1,
            code: notification::QUIESCING,
            value: 0,
        };
        let kind = HeaderKind::Of(mq_wire::Conversation { id: 1, request: 1 });
        let flow = Flow::Notification(news);
        peer.send(SegmentType::NOTIFICATION, kind, flags::WHOLE, &flow)
            .await;
        // What is begun may be ended.
        peer.reply(SegmentType::MQCMIT, |_| {}).await;
        peer.expect(SegmentType::MQOPEN).await;
        let status = Status {
            length: 8,
            code: status_code::TERMINATING,
        };
        let bits = flags::ERROR | flags::CLOSE;
        peer.send(
            SegmentType::STATUS,
            HeaderKind::Plain,
            bits,
            &Flow::Status(Some(status)),
        )
        .await;
    })
    .await;
    let (connection, mut session) = connect(host).await;
    session.commit().await.expect("commits");
    assert!(session.is_quiescing() && connection.is_quiescing());
    let error = session.open(QUEUE, open::OUTPUT).await.expect_err("ends");
    assert!(
        matches!(error, ClientError::Status { code } if code == status_code::TERMINATING),
        "{error}"
    );
    assert!(error.is_transient() && !error.session_is_usable());
    peer.await.expect("plays");
}

#[tokio::test]
async fn a_commit_that_is_not_answered_may_have_happened() {
    let (host, _peer) = play(async |mut peer: Peer| {
        peer.admit(|_| {}).await;
        peer.expect(SegmentType::MQCMIT).await;
    })
    .await;
    let (connection, mut session) = connect(host).await;
    let error = session.commit().await.expect_err("broken off");
    assert!(
        error.outcome_is_unknown() && error.is_transient(),
        "{error}"
    );
    assert_eq!(error.reason(), Some(Reason::CONNECTION_BROKEN));
    assert!(connection.is_ended());
}

/// What has to be asked when nothing is heard, and that an answer is enough.
#[tokio::test]
async fn a_silent_queue_manager_is_asked_whether_it_is_there() {
    let (host, peer) = play(async |mut peer: Peer| {
        peer.admit(|_| {}).await;
        for _ in 0..2 {
            let (header, _) = peer.expect(SegmentType::HEARTBEAT).await;
            assert_ne!(header.flags & flags::CONFIRM, 0);
            peer.send(SegmentType::HEARTBEAT, header.kind, 0, &Flow::Heartbeat)
                .await;
        }
        // And it may ask itself.
        let kind = HeaderKind::Control;
        let bits = flags::CONFIRM | flags::WHOLE;
        peer.send(SegmentType::HEARTBEAT, kind, bits, &Flow::Heartbeat)
            .await;
        let (header, _) = peer.expect(SegmentType::HEARTBEAT).await;
        assert_eq!(header.flags & flags::CONFIRM, 0);
    })
    .await;
    let options = Arc::new(ClientOptions {
        heartbeat_seconds: 1,
        ..ClientOptions::new(host, "DAYBOOK.SVRCONN")
    });
    let (connection, _session) = connect_any(&options).await.expect("connects");
    peer.await.expect("plays");
    assert!(!connection.is_quiescing());
}

#[tokio::test]
async fn who_sends_what_nobody_asked_for_is_cut_off() {
    let (host, peer) = play(async |mut peer: Peer| {
        peer.admit(|data| data.base.message_bytes_max = 10_000)
            .await;
        let kind = HeaderKind::Of(mq_wire::Conversation { id: 1, request: 1 });
        let mut sent = 0;
        let mut out = BytesMut::new();
        let flow = Flow::Other(body(10_000));
        let header = Header::new(SegmentType(0x10), kind);
        flow.write(header, SEGMENT_BYTES, &mut out).expect("writes");
        while sent < 64 << 20 && peer.stream.write_all(&out).await.is_ok() {
            sent += out.len();
        }
        sent
    })
    .await;
    let (connection, mut session) = connect(host).await;
    let sent = peer.await.expect("plays");
    assert!(sent < 64 << 20, "{sent} bytes were taken");
    assert!(connection.is_ended());
    let error = session.commit().await.expect_err("cut off");
    assert!(!error.session_is_usable(), "{error}");
}

#[tokio::test]
async fn what_is_no_queue_manager_is_said_to_be_none() {
    let (host, _peer) = play(async |mut peer: Peer| {
        let hello = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
        let _ = peer.stream.write_all(hello).await;
        peer.next().await;
    })
    .await;
    let error = refused(host).await;
    assert!(
        matches!(error, ClientError::Wire(_)) && !error.is_transient(),
        "{error}"
    );
}

#[tokio::test]
async fn the_next_host_is_asked_when_one_does_not_take_us() {
    let (first, _peer) = play(async |mut peer: Peer| {
        peer.initial_data().await;
        let status = Status {
            length: 8,
            code: status_code::QUEUE_MANAGER_UNAVAILABLE,
        };
        let flow = Flow::Status(Some(status));
        let bits = flags::ERROR | flags::CLOSE;
        peer.send(SegmentType::STATUS, HeaderKind::Plain, bits, &flow)
            .await;
    })
    .await;
    let (second, peer) = play(async |mut peer: Peer| peer.admit(|_| {}).await).await;
    let mut both = ClientOptions::new(first, "DAYBOOK.SVRCONN");
    both.hosts.push(second);
    let (_, session) = connect_any(&Arc::new(both)).await.expect("connects");
    assert_eq!(session.queue_manager(), MANAGER);
    peer.await.expect("plays");
}

/// MQCMIT says with a warning that the unit of work was backed out, or that its end is open.
#[tokio::test]
async fn a_commit_with_a_warning_is_no_commit() {
    for (reason, is_unknown) in [(2003, false), (2124, true)] {
        let (host, _peer) = play(async move |mut peer: Peer| {
            peer.admit(|_| {}).await;
            let (header, flow) = peer.expect(SegmentType::MQCMIT).await;
            let Flow::Api(mut api) = flow else {
                panic!("{flow:?}")
            };
            (api.reply_length, api.comp_code, api.reason) = (0, 1, reason);
            let reply = SegmentType::MQCMIT.reply();
            peer.send(reply, header.kind, flags::WHOLE, &Flow::Api(api))
                .await;
            peer.next().await;
        })
        .await;
        let (_connection, mut session) = connect(host).await;
        let error = session.commit().await.expect_err("not committed");
        assert_eq!(error.reason(), Some(Reason(reason)));
        assert_eq!(error.outcome_is_unknown(), is_unknown, "{error}");
    }
}
