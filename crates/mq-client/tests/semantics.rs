//! The in-process queue and the queue behind the wire mean the same: every rule here is written once
//! and checked over both.
#![allow(missing_docs)]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{Life, QUEUE, SMALL, UNIT_MAX, start};
use mq_client::{GetRequest, MessageDescriptor, Queue, Reason, Session, get, open};
use queue_manager::{Message, NewMessage, QueueManager, UnitOfWork};

/// What a getter learns of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    text: String,
    priority: i32,
    backouts: i32,
    msg_id: [u8; 24],
}

/// An application of the queue manager, over one of the two ways.
enum Application {
    InProcess(QueueManager, Option<UnitOfWork>),
    Wire(Box<Session>, Vec<(String, Queue)>),
}

type Result<T> = std::result::Result<T, i32>;

impl Application {
    async fn put(&mut self, queue: &str, text: &str, priority: u8) -> Result<()> {
        match self {
            Self::InProcess(manager, unit) => {
                let message = NewMessage {
                    priority,
                    body: Bytes::copy_from_slice(text.as_bytes()),
                    ..NewMessage::default()
                };
                let unit = unit.get_or_insert_with(|| manager.begin());
                unit.put(queue, message)
                    .map_err(|error| error.reason() as i32)
            }
            Self::Wire(session, queues) => {
                let queue = handle(session, queues, queue).await?;
                let descriptor = MessageDescriptor {
                    priority: i32::from(priority),
                    persistence: 1,
                    ..MessageDescriptor::initial()
                };
                let body = Bytes::copy_from_slice(text.as_bytes());
                let put = session.put(&queue, descriptor, body, true).await;
                put.map(drop).map_err(reason)
            }
        }
    }

    async fn get(&mut self, queue: &str, wait: Duration) -> Result<Option<Seen>> {
        match self {
            Self::InProcess(manager, unit) => {
                let unit = unit.get_or_insert_with(|| manager.begin());
                let got = unit.get(queue, wait).await;
                got.map(|got| got.as_ref().map(seen))
                    .map_err(|error| error.reason() as i32)
            }
            Self::Wire(session, queues) => {
                let queue = handle(session, queues, queue).await?;
                let request = GetRequest {
                    wait: (!wait.is_zero()).then_some(wait),
                    syncpoint: true,
                    ..GetRequest::default()
                };
                let got = session.get(&queue, &request).await.map_err(reason)?;
                Ok(got.map(|got| seen_wire(&got)))
            }
        }
    }

    async fn browse(&mut self, queue: &str) -> Result<Vec<String>> {
        match self {
            Self::InProcess(manager, _) => {
                let all = manager.browse(queue, None, 1_000);
                let all = all.map_err(|error| error.reason() as i32)?;
                Ok(all.iter().map(|message| seen(message).text).collect())
            }
            Self::Wire(session, queues) => {
                let queue = handle(session, queues, queue).await?;
                let mut texts = Vec::new();
                let mut cursor = get::BROWSE_FIRST;
                loop {
                    let request = GetRequest {
                        cursor,
                        ..GetRequest::default()
                    };
                    match session.get(&queue, &request).await.map_err(reason)? {
                        Some(got) => texts.push(seen_wire(&got).text),
                        None => return Ok(texts),
                    }
                    cursor = get::BROWSE_NEXT;
                }
            }
        }
    }

    async fn commit(&mut self) -> Result<()> {
        match self {
            Self::InProcess(_, unit) => match unit.take() {
                Some(unit) => unit.commit().await.map_err(|error| error.reason() as i32),
                None => Ok(()),
            },
            Self::Wire(session, _) => session.commit().await.map_err(reason),
        }
    }

    async fn back_out(&mut self) {
        match self {
            Self::InProcess(_, unit) => *unit = None,
            Self::Wire(session, _) => session.back_out().await.expect("backs out"),
        }
    }

    /// Put and commit: a full queue may be told of at either.
    async fn put_now(&mut self, queue: &str, text: &str, priority: u8) -> Result<()> {
        self.put(queue, text, priority).await?;
        self.commit().await
    }

    async fn texts(&mut self, queue: &str) -> Vec<String> {
        let mut texts = Vec::new();
        while let Some(seen) = self.get(queue, Duration::ZERO).await.expect("gets") {
            texts.push(seen.text);
        }
        self.commit().await.expect("commits");
        texts
    }
}

fn seen(message: &Message) -> Seen {
    Seen {
        text: String::from_utf8_lossy(&message.body).into_owned(),
        priority: i32::from(message.priority),
        backouts: message.backout_count as i32,
        msg_id: message.msg_id.0,
    }
}

fn seen_wire(got: &mq_client::Got) -> Seen {
    Seen {
        text: String::from_utf8_lossy(&got.body).into_owned(),
        priority: got.descriptor.priority,
        backouts: got.descriptor.backout_count,
        msg_id: got.descriptor.msg_id,
    }
}

fn reason(error: mq_client::ClientError) -> i32 {
    error.reason().unwrap_or(Reason(0)).0
}

async fn handle(
    session: &mut Session,
    queues: &mut Vec<(String, Queue)>,
    name: &str,
) -> Result<Queue> {
    if let Some((_, queue)) = queues.iter().find(|(known, _)| known == name) {
        return Ok(queue.clone());
    }
    let options = open::INPUT_SHARED | open::OUTPUT | open::BROWSE | open::INQUIRE;
    let queue = session.open(name, options).await.map_err(reason)?;
    queues.push((name.to_owned(), queue.clone()));
    Ok(queue)
}

#[derive(Debug, Clone, Copy)]
enum Way {
    InProcess,
    /// Each application on a socket of its own.
    Wire,
    /// Without shared conversations: plain headers.
    WireUnshared,
}

const WAYS: [Way; 3] = [Way::InProcess, Way::Wire, Way::WireUnshared];

impl Way {
    async fn life(self, dir: &std::path::Path) -> Life {
        let conversations = if matches!(self, Self::WireUnshared) {
            0
        } else {
            10
        };
        start(dir, conversations).await
    }

    async fn application(self, life: &Life) -> Application {
        match self {
            Self::InProcess => Application::InProcess(life.manager.clone(), None),
            Self::Wire | Self::WireUnshared => {
                Application::Wire(Box::new(life.session().await), Vec::new())
            }
        }
    }
}

/// Runs a rule over every way, with two applications of one queue manager.
macro_rules! rule {
    ($(#[$doc:meta])* async fn $name:ident($life:ident, $way:ident, $a:ident, $b:ident) $body:block) => {
        $(#[$doc])*
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            for $way in WAYS {
                eprintln!("over {:?}", $way);
                let dir = tempfile::tempdir().expect("a directory");
                let $life = $way.life(dir.path()).await;
                #[allow(unused_mut, unused_variables)]
                let (mut $a, mut $b) = ($way.application(&$life).await, $way.application(&$life).await);
                $body
            }
        }
    };
}

rule! {
    /// Nothing is seen before its commit, and then in the order of the puts.
    async fn puts_are_seen_after_the_commit(life, way, a, b) {
        for text in ["one", "two", "three"] {
            a.put(QUEUE, text, 0).await.expect("puts");
        }
        assert_eq!(b.get(QUEUE, Duration::ZERO).await, Ok(None));
        assert_eq!(b.browse(QUEUE).await, Ok(vec![]));
        a.commit().await.expect("commits");
        assert_eq!(b.browse(QUEUE).await.expect("browses"), ["one", "two", "three"]);
        assert_eq!(b.texts(QUEUE).await, ["one", "two", "three"]);
    }
}

rule! {
    async fn what_is_backed_out_was_never_put(life, way, a, b) {
        a.put(QUEUE, "never", 0).await.expect("puts");
        a.back_out().await;
        a.put_now(QUEUE, "once", 0).await.expect("puts");
        assert_eq!(b.texts(QUEUE).await, ["once"]);
    }
}

rule! {
    /// A get that is backed out returns the message to its place, with its count raised.
    async fn gets_come_back_in_their_place(life, way, a, b) {
        for text in ["one", "two"] {
            a.put(QUEUE, text, 0).await.expect("puts");
        }
        a.commit().await.expect("commits");
        let first = a.get(QUEUE, Duration::ZERO).await.expect("gets").expect("there");
        assert_eq!((first.text.as_str(), first.backouts), ("one", 0));
        // The other one gets what is behind it meanwhile.
        let second = b.get(QUEUE, Duration::ZERO).await.expect("gets").expect("there");
        assert_eq!(second.text, "two");
        b.back_out().await;
        a.back_out().await;
        let again = b.get(QUEUE, Duration::ZERO).await.expect("gets").expect("there");
        assert_eq!((again.text.as_str(), again.backouts), ("one", 1));
        assert_eq!(again.msg_id, first.msg_id);
        assert_eq!(b.texts(QUEUE).await, ["two"]);
    }
}

rule! {
    async fn higher_priorities_are_got_first(life, way, a, b) {
        for (text, priority) in [("low", 1), ("high", 9), ("low too", 1), ("middle", 5)] {
            a.put_now(QUEUE, text, priority).await.expect("puts");
        }
        let expected = ["high", "middle", "low", "low too"];
        assert_eq!(b.browse(QUEUE).await.expect("browses"), expected);
        assert_eq!(b.texts(QUEUE).await, expected);
    }
}

rule! {
    /// A unit of work may get what it has put itself.
    async fn own_puts_can_be_got(life, way, a, b) {
        a.put(QUEUE, "mine", 0).await.expect("puts");
        let mine = a.get(QUEUE, Duration::ZERO).await.expect("gets").expect("there");
        assert_eq!(mine.text, "mine");
        a.commit().await.expect("commits");
        assert_eq!(b.get(QUEUE, Duration::ZERO).await, Ok(None));
    }
}

rule! {
    async fn a_get_waits_for_the_other_ones_commit(life, way, a, b) {
        let waiting = tokio::spawn(async move {
            b.get(QUEUE, Duration::from_secs(60)).await
        });
        a.put(QUEUE, "at last", 0).await.expect("puts");
        a.commit().await.expect("commits");
        let got = waiting.await.expect("ends").expect("gets").expect("there");
        assert_eq!(got.text, "at last");
    }
}

rule! {
    async fn a_get_that_finds_nothing_ends_after_its_wait(life, way, a, b) {
        assert_eq!(a.get(QUEUE, Duration::from_millis(50)).await, Ok(None));
    }
}

rule! {
    /// MAXDEPTH, MAXMSGL and MAXUMSGS, each at the limit and beyond it.
    async fn limits_hold(life, way, a, b) {
        for text in ["1", "2", "3"] {
            a.put_now(SMALL, text, 0).await.expect("fits");
        }
        assert_eq!(a.put_now(SMALL, "4", 0).await, Err(2053));
        a.back_out().await;
        assert_eq!(b.texts(SMALL).await, ["1", "2", "3"]);
        a.put_now(SMALL, &"x".repeat(1_000), 0).await.expect("fits");
        assert_eq!(a.put(SMALL, &"x".repeat(1_001), 0).await, Err(2030));
        a.back_out().await;
        for _ in 0..UNIT_MAX {
            a.put(QUEUE, "many", 0).await.expect("fits");
        }
        assert_eq!(a.put(QUEUE, "too many", 0).await, Err(2024));
        a.commit().await.expect("the rest is committed");
        for _ in 0..UNIT_MAX {
            b.get(QUEUE, Duration::ZERO).await.expect("gets").expect("there");
        }
        assert_eq!(b.get(QUEUE, Duration::ZERO).await, Err(2024));
    }
}

rule! {
    async fn unknown_queues_are_told(life, way, a, b) {
        assert_eq!(a.put(QUEUE, "x", 0).await, Ok(()));
        assert_eq!(a.put("NO.SUCH.QUEUE", "x", 0).await, Err(2085));
        assert_eq!(a.get("NO.SUCH.QUEUE", Duration::ZERO).await, Err(2085));
        a.commit().await.expect("the rest is committed");
        assert_eq!(b.texts(QUEUE).await, ["x"]);
    }
}

rule! {
    async fn inhibited_queues_are_told(life, way, a, b) {
        a.put_now(QUEUE, "before", 0).await.expect("puts");
        let mut definition = life.manager.definition(QUEUE).expect("is there");
        definition.put_inhibited = true;
        definition.get_inhibited = true;
        life.manager.alter(definition.clone()).await.expect("alters");
        assert_eq!(a.put(QUEUE, "x", 0).await, Err(2051));
        assert_eq!(a.get(QUEUE, Duration::ZERO).await, Err(2016));
        definition.put_inhibited = false;
        definition.get_inhibited = false;
        life.manager.alter(definition).await.expect("alters");
        assert_eq!(b.texts(QUEUE).await, ["before"]);
    }
}

rule! {
    /// An application that goes without a word is backed out.
    async fn whoever_goes_is_backed_out(life, way, a, b) {
        a.put_now(QUEUE, "got", 0).await.expect("puts");
        a.get(QUEUE, Duration::ZERO).await.expect("gets").expect("there");
        a.put(QUEUE, "put", 0).await.expect("puts");
        drop(a);
        let back = b.get(QUEUE, Duration::from_secs(60)).await.expect("gets").expect("there");
        assert_eq!((back.text.as_str(), back.backouts), ("got", 1));
        assert_eq!(b.texts(QUEUE).await.len(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_committed_survives_a_restart() {
    for way in WAYS {
        eprintln!("over {way:?}");
        let dir = tempfile::tempdir().expect("a directory");
        let life = way.life(dir.path()).await;
        let (mut a, mut b) = (way.application(&life).await, way.application(&life).await);
        a.put_now(QUEUE, "kept", 3).await.expect("puts");
        let before = b.get(QUEUE, Duration::ZERO).await.expect("gets");
        let before = before.expect("there");
        a.put(QUEUE, "lost", 0).await.expect("puts");
        drop((a, b));
        life.stop().await;
        let life = way.life(dir.path()).await;
        let mut a = way.application(&life).await;
        let after = a.get(QUEUE, Duration::ZERO).await.expect("gets");
        let after = after.expect("there");
        assert_eq!((after.text.as_str(), after.priority), ("kept", 3));
        assert_eq!((after.msg_id, after.backouts), (before.msg_id, 1));
        assert_eq!(a.texts(QUEUE).await.len(), 0);
        drop(a);
        life.stop().await;
    }
}
