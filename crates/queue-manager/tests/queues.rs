//! The queue manager from outside: order, units of work, limits, and what survives a crash.
#![allow(missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use queue_manager::{
    NewMessage, Properties, QueueDefinition, QueueError, QueueManager, QueueManagerOptions,
    StartError,
};

const QUEUE: &str = "DAYBOOK.TEST";
const NO_WAIT: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_secs(60);

fn options(dir: &Path) -> QueueManagerOptions {
    let mut options = QueueManagerOptions::new("DAYBOOK", dir.to_owned());
    options.queues.push(QueueDefinition::new(QUEUE));
    options
}

async fn start(options: &QueueManagerOptions) -> QueueManager {
    loop {
        match QueueManager::start(options.clone()) {
            Ok(manager) => return manager,
            // The flush thread of the last life still holds the lock for a moment.
            Err(StartError::Log(segment_log::OpenError::InUse { .. })) => {
                tokio::task::yield_now().await;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn message(body: &str) -> NewMessage {
    NewMessage {
        priority: 0,
        properties: Properties::default(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        ..NewMessage::default()
    }
}

async fn put(manager: &QueueManager, bodies: &[&str]) {
    let mut unit = manager.begin();
    for body in bodies {
        unit.put(QUEUE, message(body)).expect("puts");
    }
    unit.commit().await.expect("commits");
}

fn on_queue(manager: &QueueManager) -> Vec<String> {
    let messages = manager.browse(QUEUE, None, usize::MAX).expect("browses");
    let text = |body: &Bytes| String::from_utf8(body.to_vec()).expect("text");
    messages.iter().map(|message| text(&message.body)).collect()
}

#[tokio::test]
async fn puts_are_invisible_until_the_commit_and_gone_without_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let manager = start(&options(dir.path())).await;
    let mut unit = manager.begin();
    unit.put(QUEUE, message("a")).expect("puts");
    assert_eq!(manager.depth(QUEUE).expect("known"), 0);
    drop(unit);
    put(&manager, &["b", "c"]).await;
    assert_eq!(on_queue(&manager), ["b", "c"]);
}

#[tokio::test]
async fn a_backed_out_message_returns_to_its_place_with_its_count_raised() {
    let dir = tempfile::tempdir().expect("a directory");
    let manager = start(&options(dir.path())).await;
    put(&manager, &["a", "b", "c"]).await;
    for expected in 0..3 {
        let mut unit = manager.begin();
        let got = unit.get(QUEUE, NO_WAIT).await.expect("gets").expect("one");
        assert_eq!((&got.body[..], got.backout_count), (&b"a"[..], expected));
        assert_eq!(on_queue(&manager), ["b", "c"]);
        assert_eq!(manager.depth(QUEUE).expect("known"), 3);
        unit.back_out();
    }
    assert_eq!(on_queue(&manager), ["a", "b", "c"]);
}

#[tokio::test]
async fn higher_priority_is_got_first_and_each_priority_is_fifo() {
    let dir = tempfile::tempdir().expect("a directory");
    let manager = start(&options(dir.path())).await;
    let mut unit = manager.begin();
    for (body, priority) in [
        ("low1", 0),
        ("high1", 9),
        ("low2", 0),
        ("high2", 9),
        ("mid", 4),
    ] {
        let message = NewMessage {
            priority,
            ..message(body)
        };
        unit.put(QUEUE, message).expect("puts");
    }
    unit.commit().await.expect("commits");
    let expected = ["high1", "high2", "mid", "low1", "low2"];
    assert_eq!(on_queue(&manager), expected);
    drop(manager);
    let manager = start(&options(dir.path())).await;
    assert_eq!(on_queue(&manager), expected);
}

#[tokio::test]
async fn a_get_waits_for_a_message() {
    let dir = tempfile::tempdir().expect("a directory");
    let manager = start(&options(dir.path())).await;
    let reader = manager.clone();
    let waiting = tokio::spawn(async move {
        let mut unit = reader.begin();
        let got = unit.get(QUEUE, LONG).await.expect("gets");
        unit.commit().await.expect("commits");
        got.expect("one").body
    });
    put(&manager, &["late"]).await;
    assert_eq!(&waiting.await.expect("ends")[..], b"late");
    assert_eq!(manager.depth(QUEUE).expect("known"), 0);
}

#[tokio::test]
async fn each_limit_holds_at_its_number() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut options = options(dir.path());
    options.uncommitted_messages_max = 3;
    options.queues[0].depth_max = 4;
    options.queues[0].bytes_max = 20;
    options.queues[0].message_bytes_max = 10;
    let manager = start(&options).await;

    let mut unit = manager.begin();
    let big = unit
        .put(QUEUE, message("12345678901"))
        .expect_err("too big");
    assert_eq!(big.reason(), 2030);
    unit.put(QUEUE, message("1234567890")).expect("the largest");
    unit.put(QUEUE, message("2")).expect("second");
    unit.put(QUEUE, message("3")).expect("third");
    assert_eq!(
        unit.put(QUEUE, message("4")).expect_err("fourth").reason(),
        2024
    );
    unit.commit().await.expect("commits");

    put(&manager, &["4"]).await;
    let mut unit = manager.begin();
    let full = unit.put(QUEUE, message("5")).expect_err("full");
    drop(unit);
    assert_eq!(
        full.to_string(),
        "queue DAYBOOK.TEST is full: 4 messages, 13 bytes (2053)"
    );
    let mut unit = manager.begin();
    unit.get(QUEUE, NO_WAIT).await.expect("gets").expect("one");
    unit.commit().await.expect("commits");
    put(&manager, &["5"]).await;
    let unknown = manager
        .begin()
        .put("NO.SUCH", message(""))
        .expect_err("unknown");
    assert_eq!(unknown.reason(), 2085);
}

#[tokio::test]
async fn space_is_reclaimed_while_an_old_message_stays() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut options = options(dir.path());
    options.log_bytes_target = 8 << 20;
    options.uncommitted_bytes_max = 1 << 20;
    let manager = start(&options).await;
    put(&manager, &["old"]).await;
    let body = "x".repeat(64 << 10);
    // 192 MiB through a log of 64 MiB segments.
    for _ in 0..3072 {
        put(&manager, &[&body]).await;
        let mut unit = manager.begin();
        let got = unit
            .get_batch(QUEUE, NO_WAIT, 2, usize::MAX)
            .await
            .expect("gets");
        let newest = got.iter().map(|message| message.sequence).max();
        drop(unit);
        let mut unit = manager.begin();
        while let Some(message) = unit.get(QUEUE, NO_WAIT).await.expect("gets") {
            if Some(message.sequence) == newest {
                break;
            }
        }
        // Only the big one leaves: the old one is put back by a unit of work of its own.
        drop(unit);
        remove_newest(&manager).await;
    }
    while manager.log_bytes() > 130 << 20 {
        put(&manager, &["poke"]).await;
        remove_newest(&manager).await;
    }
    assert_eq!(on_queue(&manager), ["old"]);
    drop(manager);
    let manager = start(&options).await;
    assert_eq!(on_queue(&manager), ["old"]);
}

/// Takes everything, commits all but the first message.
async fn remove_newest(manager: &QueueManager) {
    let mut keep = manager.begin();
    keep.get(QUEUE, NO_WAIT)
        .await
        .expect("gets")
        .expect("the old one");
    let mut unit = manager.begin();
    unit.get(QUEUE, NO_WAIT)
        .await
        .expect("gets")
        .expect("the new one");
    unit.commit().await.expect("commits");
    keep.back_out();
}

/// Whatever byte the log ends at after a crash: the queue holds the result of a prefix of the
/// commits, and the commits before the last flush are among them.
#[tokio::test]
async fn a_log_cut_at_any_byte_gives_a_prefix_of_the_commits() {
    let dir = tempfile::tempdir().expect("a directory");
    let manager = start(&options(dir.path())).await;
    let mut states = vec![Vec::<String>::new()];
    for number in 0..12 {
        let mut unit = manager.begin();
        let (first, second) = (format!("{number}a"), format!("{number}b"));
        unit.put(QUEUE, message(&first)).expect("puts");
        unit.put(QUEUE, message(&second)).expect("puts");
        if number % 3 == 2 {
            unit.get(QUEUE, NO_WAIT).await.expect("gets").expect("one");
        }
        unit.commit().await.expect("commits");
        states.push(on_queue(&manager));
    }
    drop(manager);
    drop(start(&options(dir.path())).await);
    let name = fs::read_dir(dir.path())
        .expect("lists")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.extension().is_some_and(|extension| extension == "log"))
        .expect("a segment");
    let content = fs::read(&name).expect("reads");
    let used = content.iter().rposition(|byte| *byte != 0).expect("used") + 1;
    let mut seen = BTreeSet::new();
    for cut in (0..used).step_by(7).chain([content.len()]) {
        let copy = tempfile::tempdir().expect("a directory");
        let path = copy.path().join(name.file_name().expect("a name"));
        // Shorter than a real segment, which is zeros from here on: the reader must not care.
        fs::write(&path, &content[..cut]).expect("writes");
        let manager = start(&options(copy.path())).await;
        let found = on_queue(&manager);
        let index = states.iter().position(|state| *state == found);
        seen.insert(index.unwrap_or_else(|| panic!("cut at {cut}: {found:?} is no prefix")));
        put(&manager, &["after"]).await;
        assert_eq!(on_queue(&manager).last().map(String::as_str), Some("after"));
    }
    assert_eq!(seen.len(), states.len(), "every prefix was seen");
}

#[tokio::test]
async fn identifiers_are_not_used_again_after_everything_was_freed() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        let manager = start(&options(dir.path())).await;
        put(&manager, &["a", "b"]).await;
        let mut unit = manager.begin();
        for message in unit
            .get_batch(QUEUE, NO_WAIT, 10, usize::MAX)
            .await
            .expect("gets")
        {
            assert!(seen.insert(message.msg_id), "{} came twice", message.msg_id);
        }
        unit.commit().await.expect("commits");
        manager.stop().await.expect("stops");
    }
    assert_eq!(seen.len(), 6);
}

#[tokio::test]
async fn a_stopped_queue_manager_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let manager = start(&options(dir.path())).await;
    let other = manager.clone();
    let mut unit = other.begin();
    unit.put(QUEUE, message("a")).expect("buffers");
    manager.stop().await.expect("stops");
    let refused = other.begin().put(QUEUE, message("b"));
    assert!(matches!(refused, Err(QueueError::Stopped { .. })));
    assert!(matches!(
        unit.commit().await,
        Err(QueueError::Stopped { .. })
    ));
}
