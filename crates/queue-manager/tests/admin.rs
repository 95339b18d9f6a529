//! What administration does to queues: clearing, altering, counting; and that it survives a crash.
#![allow(missing_docs)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use queue_manager::{
    Descriptor, NewMessage, OpenMode, QueueDefinition, QueueError, QueueManager,
    QueueManagerOptions, UnitOfWork,
};

const QUEUE: &str = "DAYBOOK.TEST";
const OTHER: &str = "DAYBOOK.OTHER";

fn options(dir: &Path) -> QueueManagerOptions {
    let mut options = QueueManagerOptions::new("DAYBOOK", dir.to_owned());
    options.queues = vec![QueueDefinition::new(QUEUE), QueueDefinition::new(OTHER)];
    options
}

fn start(dir: &Path) -> QueueManager {
    QueueManager::start(options(dir)).expect("starts")
}

/// What a process that dies now leaves behind, in another directory.
fn after_a_crash(dir: &Path) -> (tempfile::TempDir, QueueManager) {
    let copy = tempfile::tempdir().expect("a directory");
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            let to = copy.path().join(path.file_name().expect("a name"));
            fs::copy(&path, to).expect("copies");
        }
    }
    let manager = start(copy.path());
    (copy, manager)
}

fn text(body: &str) -> NewMessage {
    NewMessage {
        body: Bytes::copy_from_slice(body.as_bytes()),
        ..NewMessage::default()
    }
}

fn putting(manager: &QueueManager, queue: &str, messages: Vec<NewMessage>) -> UnitOfWork {
    let mut unit = manager.begin();
    unit.put_all(queue, messages).expect("puts");
    unit
}

async fn put(manager: &QueueManager, queue: &str, messages: Vec<NewMessage>) {
    let unit = putting(manager, queue, messages);
    unit.commit().await.expect("commits");
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_micros() as i64
}

#[tokio::test]
async fn a_cleared_queue_is_empty_after_a_crash_and_the_ledger_agrees() {
    let dir = tempfile::tempdir().expect("a directory");
    let manager = start(dir.path());
    let not_persistent = NewMessage {
        descriptor: Arc::new(Descriptor {
            persistent: false,
            ..Descriptor::default()
        }),
        ..text("gone with the process")
    };
    let delayed = NewMessage {
        available_at: Some(now() + 3_600_000_000),
        ..text("later")
    };
    let expiring = NewMessage {
        expires_at: Some(now() + 3_600_000_000),
        priority: 9,
        ..text("for an hour")
    };
    let messages = vec![text("a"), not_persistent, delayed, expiring];
    put(&manager, QUEUE, messages).await;
    put(&manager, OTHER, vec![text("stays")]).await;
    assert_eq!(manager.clear(QUEUE).await.expect("clears"), 4);
    assert_eq!(manager.clear(QUEUE).await.expect("clears"), 0);
    let status = manager.status_of(QUEUE).expect("known");
    assert_eq!((status.depth, status.bytes, status.gets_total), (0, 0, 4));
    put(&manager, QUEUE, vec![text("afterwards")]).await;
    let ledger = manager.ledger();
    let line = ledger.lines.iter().find(|line| *line.queue == *QUEUE);
    let line = line.expect("a line");
    // Three of the four were persistent; one was put afterwards.
    assert_eq!((line.put.count, line.got.count), (4, 3));
    let (_copy, recovered) = after_a_crash(dir.path());
    let left = recovered.browse(QUEUE, None, 10).expect("browses");
    let left: Vec<_> = left.iter().map(|message| &message.body[..]).collect();
    assert_eq!(left, [b"afterwards"]);
    assert_eq!(recovered.depth(OTHER).expect("known"), 1);
    assert_eq!(recovered.ledger(), ledger);
}

#[tokio::test]
async fn a_queue_in_use_is_neither_cleared_nor_deleted() {
    let dir = tempfile::tempdir().expect("a directory");
    let manager = start(dir.path());
    put(&manager, QUEUE, vec![text("a"), text("b")]).await;
    // Even a handle that only browses.
    let open = manager.open(QUEUE, OpenMode::default(), "");
    let open = open.expect("opens");
    for refused in [
        manager.clear(QUEUE).await.map(drop),
        manager.delete(QUEUE, true).await,
    ] {
        assert!(
            matches!(refused, Err(QueueError::InUse { .. })),
            "{refused:?}"
        );
    }
    drop(open);
    let mut getting = manager.begin();
    let got = getting.get(QUEUE, Duration::ZERO).await;
    got.expect("gets").expect("one");
    let both = [getting, putting(&manager, QUEUE, vec![text("c")])];
    for unit in both {
        for refused in [
            manager.clear(QUEUE).await.map(drop),
            manager.delete(QUEUE, true).await,
        ] {
            let error = refused.expect_err("refused");
            assert!(matches!(error, QueueError::Uncommitted { .. }), "{error:?}");
            assert_eq!(error.reason(), 2055);
        }
        drop(unit);
    }
    assert_eq!(manager.clear(QUEUE).await.expect("clears"), 2);
    let unknown = manager.clear("NO.SUCH").await;
    assert!(
        matches!(unknown, Err(QueueError::UnknownQueue { .. })),
        "{unknown:?}"
    );
}

#[tokio::test]
async fn uncommitted_puts_are_counted_however_a_unit_of_work_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let manager = start(dir.path());
    let count = |queue: &str| {
        let status = manager.status_of(queue).expect("known");
        (status.uncommitted_puts, status.uncommitted_gets)
    };
    let mut unit = putting(&manager, QUEUE, vec![text("a"), text("b")]);
    unit.put(OTHER, text("c")).expect("puts");
    unit.put(QUEUE, text("d")).expect("puts");
    assert_eq!((count(QUEUE), count(OTHER)), ((3, 0), (1, 0)));
    unit.commit().await.expect("commits");
    assert_eq!((count(QUEUE), count(OTHER)), ((0, 0), (0, 0)));
    let backed_out = putting(&manager, QUEUE, vec![text("e")]);
    assert_eq!(count(QUEUE), (1, 0));
    backed_out.back_out();
    assert_eq!(count(QUEUE), (0, 0));
    // Prepared ones stay uncommitted until somebody decides.
    let mut prepared = putting(&manager, QUEUE, vec![text("f")]);
    let got = prepared.get(QUEUE, Duration::ZERO).await;
    got.expect("gets").expect("one");
    prepared.prepare(b"x").await.expect("prepares");
    assert_eq!(count(QUEUE), (1, 1));
    manager.resolve(b"x", true).await.expect("resolves");
    assert_eq!(count(QUEUE), (0, 0));
    // A put that its own unit of work got again.
    let mut own = putting(
        &manager,
        QUEUE,
        vec![NewMessage {
            priority: 9,
            ..text("g")
        }],
    );
    own.get_matching(QUEUE, &queue_manager::Selection::default(), &mut |_| true)
        .expect("gets");
    assert_eq!(count(QUEUE), (0, 0));
    drop(own);
    // A refused put.
    let mut small = manager.definition(QUEUE).expect("known");
    small.depth_max = 3;
    manager.alter(small).await.expect("alters");
    let full = manager.begin().put(QUEUE, text("h"));
    assert!(
        matches!(full, Err(QueueError::QueueFull { .. })),
        "{full:?}"
    );
    assert_eq!(count(QUEUE), (0, 0));
}

#[tokio::test]
async fn what_was_altered_survives_a_crash() {
    let dir = tempfile::tempdir().expect("a directory");
    let manager = start(dir.path());
    let mut altered = manager.definition(QUEUE).expect("known");
    altered.description = "altered".to_owned();
    altered.depth_max = 7;
    altered.backout_queue = OTHER.to_owned();
    altered.backout_threshold = 3;
    manager.alter(altered.clone()).await.expect("alters");
    manager
        .define(QueueDefinition::new("NEW"))
        .await
        .expect("defines");
    let (copy, recovered) = after_a_crash(dir.path());
    assert_eq!(recovered.definition(QUEUE).expect("known"), altered);
    assert!(recovered.definition("NEW").is_ok());
    recovered.delete("NEW", false).await.expect("deletes");
    let (_copy, again) = after_a_crash(copy.path());
    assert_eq!(again.definition(QUEUE).expect("known"), altered);
    assert!(again.definition("NEW").is_err());
    let names = again.definitions().into_iter().map(|queue| queue.name);
    assert_eq!(names.collect::<Vec<_>>(), [OTHER, QUEUE]);
}

#[tokio::test]
async fn times_ages_and_counts() {
    let dir = tempfile::tempdir().expect("a directory");
    let manager = start(dir.path());
    let status = || manager.status_of(QUEUE).expect("known");
    let before = now();
    assert_eq!(
        (status().last_put_time, status().last_get_time),
        (None, None)
    );
    assert_eq!(status().oldest_put_time, None);
    let put_at = |at: i64, priority| NewMessage {
        put_time: Some(at),
        priority,
        ..text("x")
    };
    put(
        &manager,
        QUEUE,
        vec![put_at(500, 0), put_at(900, 9), put_at(700, 4)],
    )
    .await;
    assert_eq!(status().oldest_put_time, Some(500), "whatever its priority");
    let put_time = status().last_put_time.expect("put");
    assert!(put_time >= before && put_time <= now());
    let mut unit = manager.begin();
    unit.get_batch(QUEUE, Duration::ZERO, 2, usize::MAX)
        .await
        .expect("gets");
    assert_eq!(status().last_get_time, None, "not committed");
    unit.commit().await.expect("commits");
    assert!(status().last_get_time.is_some_and(|at| at >= put_time));
    let first = manager.reset_statistics(QUEUE).expect("known");
    assert_eq!((first.puts, first.gets, first.depth_high), (3, 2, 3));
    assert!(first.micros >= 0 && first.micros <= now() - before + 1_000_000);
    put(&manager, QUEUE, vec![text("y")]).await;
    let second = manager.reset_statistics(QUEUE).expect("known");
    assert_eq!((second.puts, second.gets, second.depth_high), (1, 0, 2));
    // What a restart finds is not news.
    let (_copy, recovered) = after_a_crash(dir.path());
    let found = recovered.status_of(QUEUE).expect("known");
    assert_eq!(
        (found.depth, found.last_put_time, found.last_get_time),
        (2, None, None)
    );
    let found = recovered.reset_statistics(QUEUE).expect("known");
    assert_eq!((found.puts, found.gets, found.depth_high), (0, 0, 2));
}
