//! What MQ's applications rely on beyond plain queues: selection, cursors, expiry, delay,
//! non-persistent messages, temporary queues, attributes, prepared units of work.
#![allow(missing_docs)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use queue_manager::{
    Cursor, Descriptor, Found, Message, MsgId, NewMessage, OpenMode, QueueDefinition, QueueError,
    QueueManager, QueueManagerOptions, Selection, StartError,
};

const QUEUE: &str = "DAYBOOK.TEST";
const MODEL: &str = "SYSTEM.DEFAULT.MODEL.QUEUE";

fn options(dir: &Path) -> QueueManagerOptions {
    let mut options = QueueManagerOptions::new("DAYBOOK", dir.to_owned());
    options.queues.push(QueueDefinition::new(QUEUE));
    options.queues.push(QueueDefinition {
        model: true,
        ..QueueDefinition::new(MODEL)
    });
    options
}

async fn start(options: &QueueManagerOptions) -> QueueManager {
    loop {
        match QueueManager::start(options.clone()) {
            Ok(manager) => return manager,
            // The flush thread of the last life still holds the lock for a moment.
            Err(StartError::Log(segment_log::OpenError::InUse { .. })) => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn text(body: &str) -> NewMessage {
    NewMessage {
        body: Bytes::copy_from_slice(body.as_bytes()),
        ..NewMessage::default()
    }
}

fn not_persistent(body: &str) -> NewMessage {
    NewMessage {
        descriptor: Arc::new(Descriptor {
            persistent: false,
            ..Descriptor::default()
        }),
        ..text(body)
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_micros() as i64
}

async fn put(manager: &QueueManager, message: NewMessage) {
    let mut unit = manager.begin();
    unit.put(QUEUE, message).expect("puts");
    unit.commit().await.expect("commits");
}

fn bodies(manager: &QueueManager) -> String {
    let messages = manager.browse(QUEUE, None, usize::MAX).expect("browses");
    let bodies = messages.iter().map(body);
    bodies.collect::<Vec<_>>().join(" ")
}

fn body(message: &Message) -> String {
    String::from_utf8(message.body.to_vec()).expect("text")
}

async fn take(manager: &QueueManager, selection: &Selection) -> Option<String> {
    let mut unit = manager.begin();
    let found = unit.get_matching(QUEUE, selection, &mut |_| true);
    unit.commit().await.expect("commits");
    match found.expect("looks") {
        Found::Got(message) => Some(body(&message)),
        Found::Refused(_) => unreachable!("everything is accepted"),
        Found::Nothing => None,
    }
}

#[tokio::test]
async fn messages_are_got_by_what_they_match() {
    let dir = tempfile::tempdir().expect("a directory");
    let manager = start(&options(dir.path())).await;
    for number in 0..6_u8 {
        let message = NewMessage {
            msg_id: Some(MsgId([number + 1; 24])),
            correl_id: MsgId([number % 2; 24]),
            ..text(&format!("m{number}"))
        };
        put(&manager, message).await;
    }
    let by_msg_id = Selection {
        msg_id: Some(MsgId([4; 24])),
        ..Selection::default()
    };
    assert_eq!(take(&manager, &by_msg_id).await.as_deref(), Some("m3"));
    assert_eq!(take(&manager, &by_msg_id).await, None);
    let by_correl_id = Selection {
        correl_id: Some(MsgId([1; 24])),
        ..Selection::default()
    };
    assert_eq!(take(&manager, &by_correl_id).await.as_deref(), Some("m1"));
    let by_condition = Selection {
        condition: Some(Arc::new(|message| message.body.ends_with(b"4"))),
        ..Selection::default()
    };
    assert_eq!(take(&manager, &by_condition).await.as_deref(), Some("m4"));
    assert_eq!(bodies(&manager), "m0 m2 m5");
}

#[tokio::test]
async fn a_refused_message_stays() {
    let dir = tempfile::tempdir().expect("a directory");
    let manager = start(&options(dir.path())).await;
    put(&manager, text("too long")).await;
    let mut unit = manager.begin();
    let any = Selection::default();
    let found = unit.get_matching(QUEUE, &any, &mut |message| message.body.len() < 4);
    assert!(matches!(found, Ok(Found::Refused(_))), "{found:?}");
    drop(unit);
    let messages = manager.browse(QUEUE, None, 1).expect("browses");
    assert_eq!(
        (messages[0].backout_count, bodies(&manager)),
        (0, "too long".to_owned())
    );
}

#[tokio::test]
async fn a_unit_of_work_gets_its_own_puts_in_their_place() {
    let dir = tempfile::tempdir().expect("a directory");
    let manager = start(&options(dir.path())).await;
    put(&manager, text("committed")).await;
    let mut unit = manager.begin();
    unit.put(QUEUE, text("own")).expect("puts");
    unit.put(
        QUEUE,
        NewMessage {
            priority: 5,
            ..text("own and urgent")
        },
    )
    .expect("puts");
    let mut got = Vec::new();
    while let Found::Got(message) = unit
        .get_matching(QUEUE, &Selection::default(), &mut |_| true)
        .expect("looks")
    {
        got.push(body(&message));
    }
    assert_eq!(got, ["own and urgent", "committed", "own"]);
    unit.commit().await.expect("commits");
    assert_eq!(manager.depth(QUEUE).expect("known"), 0);
}

#[tokio::test]
async fn a_cursor_goes_on_behind_a_message_that_is_gone() {
    let dir = tempfile::tempdir().expect("a directory");
    let manager = start(&options(dir.path())).await;
    for body in ["a", "b", "c"] {
        put(&manager, text(body)).await;
    }
    let any = Selection::default();
    let browse = |after| manager.browse_next(QUEUE, after, &any).expect("browses");
    let first = browse(None).expect("one");
    let second = browse(Some(Cursor::at(&first))).expect("one");
    assert_eq!(
        (body(&first), body(&second)),
        ("a".to_owned(), "b".to_owned())
    );
    let cursor = Cursor::at(&second);
    let under_cursor = Selection {
        sequence: Some(cursor.sequence()),
        ..Selection::default()
    };
    assert_eq!(take(&manager, &under_cursor).await.as_deref(), Some("b"));
    assert_eq!(take(&manager, &under_cursor).await, None);
    // Urgent ones that come later are in front of the cursor.
    put(
        &manager,
        NewMessage {
            priority: 9,
            ..text("urgent")
        },
    )
    .await;
    let third = browse(Some(cursor)).expect("one");
    assert_eq!(body(&third), "c");
    assert!(browse(Some(Cursor::at(&third))).is_none());
    assert_eq!(bodies(&manager), "urgent a c");
}

#[tokio::test]
async fn expired_messages_are_never_got_and_leave_the_queue_by_themselves() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = options(dir.path());
    let manager = start(&options).await;
    let expiring = |body, at| NewMessage {
        expires_at: Some(at),
        ..text(body)
    };
    put(&manager, expiring("old", now() - 1)).await;
    put(&manager, expiring("later", now() + 3_600_000_000)).await;
    put(&manager, text("never")).await;
    assert_eq!(
        take(&manager, &Selection::default()).await.as_deref(),
        Some("later")
    );
    put(&manager, expiring("soon", now() + 20_000)).await;
    // The clock drops it although nobody looks.
    while manager.depth(QUEUE).expect("known") > 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let status = manager.status_of(QUEUE).expect("known");
    assert_eq!(
        (status.expired_total, bodies(&manager)),
        (2, "never".to_owned())
    );
    manager.stop().await.expect("stops");
    let manager = start(&options).await;
    assert_eq!(bodies(&manager), "never");
}

#[tokio::test]
async fn a_delayed_message_comes_when_it_is_due_also_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = options(dir.path());
    let manager = start(&options).await;
    let due = now() + 150_000;
    let delayed = |body| NewMessage {
        available_at: Some(due),
        ..text(body)
    };
    put(&manager, delayed("one")).await;
    put(&manager, delayed("two")).await;
    assert_eq!(take(&manager, &Selection::default()).await, None);
    manager.stop().await.expect("stops");
    let manager = start(&options).await;
    let got = manager
        .wait_for(QUEUE, None, || {
            let found = manager.browse_next(QUEUE, None, &Selection::default())?;
            Ok(found.map(|message| body(&message)))
        })
        .await;
    assert_eq!(got.expect("waits").as_deref(), Some("one"));
    assert!(now() >= due, "not before its time");
    assert_eq!(bodies(&manager), "one two");
}

#[tokio::test]
async fn only_persistent_messages_survive() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = options(dir.path());
    let manager = start(&options).await;
    put(&manager, text("a")).await;
    let before = manager.log_bytes();
    put(&manager, not_persistent("b")).await;
    assert_eq!(before, manager.log_bytes(), "nothing of it is written");
    let mut unit = manager.begin();
    unit.put(QUEUE, not_persistent("c")).expect("puts");
    unit.put(QUEUE, text("d")).expect("puts");
    unit.commit().await.expect("commits");
    assert_eq!(bodies(&manager), "a b c d");
    manager.stop().await.expect("stops");
    let manager = start(&options).await;
    assert_eq!(bodies(&manager), "a d");
    // A backout of one that is not persistent.
    put(&manager, not_persistent("e")).await;
    let mut unit = manager.begin();
    while let Found::Got(_) = unit
        .get_matching(QUEUE, &Selection::default(), &mut |_| true)
        .expect("looks")
    {}
    unit.back_out();
    let counts = manager.browse(QUEUE, None, 9).expect("browses");
    let counts: Vec<u32> = counts.iter().map(|message| message.backout_count).collect();
    assert_eq!(counts, [1, 1, 1]);
}

#[tokio::test]
async fn a_model_makes_a_queue_that_goes_with_its_handle() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = options(dir.path());
    let manager = start(&options).await;
    let mode = OpenMode {
        exclusive: true,
        output: true,
        ..OpenMode::default()
    };
    let made = manager.open(MODEL, mode, "REPLY.*").expect("makes one");
    let other = manager.open(MODEL, mode, "REPLY.*").expect("makes another");
    assert!(made.name().starts_with("REPLY.") && made.name() != other.name());
    let name = made.name().to_string();
    let mut unit = manager.begin();
    let refused = unit.put(name.as_str(), text("x"));
    assert!(
        matches!(refused, Err(QueueError::PersistentNotAllowed { .. })),
        "{refused:?}"
    );
    unit.put(name.as_str(), not_persistent("x")).expect("puts");
    unit.commit().await.expect("commits");
    assert_eq!(manager.depth(&name).expect("known"), 1);
    let second = manager.open(&name, mode, "");
    assert!(
        matches!(second, Err(QueueError::InUse { .. })),
        "{second:?}"
    );
    let taken = manager.open(MODEL, mode, &name);
    assert!(matches!(taken, Err(QueueError::Exists { .. })), "{taken:?}");
    let wrong = manager.open(MODEL, mode, "no good name*");
    assert!(matches!(wrong, Err(QueueError::Name { .. })), "{wrong:?}");
    drop(made);
    let gone = manager.depth(&name);
    assert!(
        matches!(gone, Err(QueueError::UnknownQueue { .. })),
        "{gone:?}"
    );
}

#[tokio::test]
async fn definitions_made_while_running_survive_and_inhibited_queues_refuse() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut options = options(dir.path());
    options.log_bytes_target = 1 << 20;
    let manager = start(&options).await;
    manager
        .define(QueueDefinition::new("NEW.ONE"))
        .await
        .expect("defines");
    manager
        .define(QueueDefinition::new("NEW.TWO"))
        .await
        .expect("defines");
    let again = manager.define(QueueDefinition::new(QUEUE)).await;
    assert!(matches!(again, Err(QueueError::Exists { .. })), "{again:?}");
    let mut altered = manager.definition(QUEUE).expect("known");
    altered.put_inhibited = true;
    altered.description = "for checks".to_owned();
    manager.alter(altered).await.expect("alters");
    let refused = manager.begin().put(QUEUE, text("x"));
    assert!(
        matches!(refused, Err(QueueError::PutInhibited { .. })),
        "{refused:?}"
    );
    manager.delete("NEW.TWO", false).await.expect("deletes");
    // Enough to free the log that the definitions are in.
    for _ in 0..400 {
        let mut unit = manager.begin();
        let body = Bytes::from(vec![7; 512 << 10]);
        unit.put(
            "NEW.ONE",
            NewMessage {
                body,
                ..NewMessage::default()
            },
        )
        .expect("puts");
        unit.commit().await.expect("commits");
        let mut unit = manager.begin();
        unit.get("NEW.ONE", Duration::ZERO)
            .await
            .expect("gets")
            .expect("one");
        unit.commit().await.expect("commits");
    }
    manager.stop().await.expect("stops");
    let manager = start(&options).await;
    let altered = manager.definition(QUEUE).expect("known");
    assert!(altered.put_inhibited && altered.description == "for checks");
    assert!(manager.definition("NEW.ONE").is_ok() && manager.definition("NEW.TWO").is_err());
    let mut allowed = altered;
    allowed.put_inhibited = false;
    allowed.get_inhibited = true;
    manager.alter(allowed).await.expect("alters");
    put(&manager, text("x")).await;
    let refused = manager
        .begin()
        .get_matching(QUEUE, &Selection::default(), &mut |_| true);
    assert!(
        matches!(refused, Err(QueueError::GetInhibited { .. })),
        "{refused:?}"
    );
    let full = manager.delete(QUEUE, false).await;
    assert!(matches!(full, Err(QueueError::NotEmpty { .. })), "{full:?}");
    manager
        .delete(QUEUE, true)
        .await
        .expect("deletes with what is on it");
}

#[tokio::test]
async fn a_prepared_unit_of_work_survives_until_it_is_decided() {
    for (restarts, commit) in [(false, true), (false, false), (true, true), (true, false)] {
        let dir = tempfile::tempdir().expect("a directory");
        let options = options(dir.path());
        let mut manager = start(&options).await;
        put(&manager, text("there")).await;
        put(&manager, text("stays")).await;
        let mut unit = manager.begin();
        let got = unit.get(QUEUE, Duration::ZERO).await.expect("gets");
        assert_eq!(body(&got.expect("one")), "there");
        unit.put(QUEUE, text("new")).expect("puts");
        unit.prepare(b"one").await.expect("prepares");
        let unit = manager.begin();
        let again = unit.prepare(b"one").await;
        assert!(
            matches!(again, Err(QueueError::Prepared { .. })),
            "{again:?}"
        );
        assert_eq!(bodies(&manager), "stays");
        if restarts {
            manager.stop().await.expect("stops");
            manager = start(&options).await;
        }
        assert_eq!(bodies(&manager), "stays");
        assert_eq!(manager.prepared(), [Bytes::from_static(b"one")]);
        manager.resolve(b"one", commit).await.expect("decides");
        let decided = if commit { "stays new" } else { "there stays" };
        assert_eq!(bodies(&manager), decided, "restarts {restarts}");
        let unknown = manager.resolve(b"one", commit).await;
        assert!(
            matches!(unknown, Err(QueueError::NotPrepared { .. })),
            "{unknown:?}"
        );
        manager.stop().await.expect("stops");
        let manager = start(&options).await;
        assert_eq!(bodies(&manager), decided, "restarts {restarts}");
        assert!(manager.prepared().is_empty());
    }
}

#[tokio::test]
async fn identifiers_made_in_advance_differ_over_lives() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = options(dir.path());
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..5 {
        let manager = start(&options).await;
        for _ in 0..50 {
            let (first, count) = manager.make_ids(3).expect("makes");
            assert_eq!((&first.0[..11], count), (&b"AMQ DAYBOOK"[..], 3));
            let at = u32::from_le_bytes(first.0[20..].try_into().expect("four"));
            for next in at..at + count {
                let mut id = first;
                id.0[20..].copy_from_slice(&next.to_le_bytes());
                assert!(seen.insert(id), "{id} came twice");
            }
        }
        manager.stop().await.expect("stops");
    }
}

#[tokio::test]
async fn a_waiter_for_one_message_is_not_satisfied_by_others() {
    let dir = tempfile::tempdir().expect("a directory");
    let manager = start(&options(dir.path())).await;
    let waiting = tokio::spawn({
        let manager = manager.clone();
        async move {
            let mine = Selection {
                correl_id: Some(MsgId([9; 24])),
                ..Selection::default()
            };
            let look = || manager.browse_next(QUEUE, None, &mine);
            let found = manager.wait_for(QUEUE, None, look).await.expect("waits");
            body(&found.expect("one"))
        }
    });
    let mut any = manager.begin();
    for _ in 0..20 {
        put(&manager, text("other")).await;
        // Arrivals for the other waiter do not disappear in the one that does not want them.
        any.get(QUEUE, Duration::from_secs(60))
            .await
            .expect("gets")
            .expect("one");
    }
    put(
        &manager,
        NewMessage {
            correl_id: MsgId([9; 24]),
            ..text("mine")
        },
    )
    .await;
    assert_eq!(waiting.await.expect("ends"), "mine");
}

/// MQRC_Q_FULL comes from the put, not from the commit that relies on it.
#[tokio::test]
async fn room_is_taken_by_the_put_and_given_back_by_whatever_undoes_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut options = options(dir.path());
    options.queues[0].depth_max = 2;
    options.queues[0].bytes_max = 100;
    let manager = start(&options).await;
    let is_full = |what: &str| {
        let full = manager.begin().put(QUEUE, text("x"));
        let full = full.expect_err(what).reason();
        assert_eq!(full, 2053, "{what}");
        let status = manager.status_of(QUEUE).expect("known");
        assert_eq!((status.depth, status.uncommitted_puts), (0, 2), "{what}");
    };
    let has_room = |what: &str| {
        let status = manager.status_of(QUEUE).expect("known");
        assert_eq!((status.depth, status.uncommitted_puts), (0, 0), "{what}");
        let mut unit = manager.begin();
        let bytes = "x".repeat(50);
        unit.put(QUEUE, text(&bytes)).expect("first");
        unit.put(QUEUE, text(&bytes)).expect("second");
    };
    let fill = || {
        let mut unit = manager.begin();
        unit.put(QUEUE, text("a")).expect("first");
        unit.put(QUEUE, not_persistent("b")).expect("second");
        unit
    };
    let unit = fill();
    is_full("uncommitted");
    unit.back_out();
    has_room("backed out");

    let mut unit = fill();
    for _ in 0..2 {
        let own = unit.get_matching(QUEUE, &Selection::default(), &mut |_| true);
        assert!(matches!(own, Ok(Found::Got(_))), "{own:?}");
    }
    has_room("got by itself");
    drop(unit);
    has_room("got by itself, and dropped");

    fill().prepare(b"x").await.expect("prepares");
    is_full("prepared");
    fill_is_refused(&manager);
    manager.resolve(b"x", false).await.expect("rolls back");
    has_room("rolled back");

    // All or none, and what is gone is left out.
    let other = manager.open(MODEL, OpenMode::default(), "OTHER.*");
    let other = other.expect("made");
    let copies = |count| {
        let mut copies = vec![(Arc::clone(other.name()), not_persistent("c"))];
        copies.extend((0..count).map(|_| (Arc::from(QUEUE), not_persistent("c"))));
        copies.push((Arc::from("GONE"), not_persistent("c")));
        copies
    };
    let mut unit = manager.begin();
    assert_eq!(unit.put_each(copies(3)).expect_err("full").reason(), 2053);
    assert_eq!(unit.messages(), 0);
    has_room("none was put");
    assert_eq!(unit.put_each(copies(2)).expect("fits"), 3);
    is_full("one to each");
    unit.commit().await.expect("commits");
    assert_eq!(manager.depth(QUEUE).expect("known"), 2);
    assert_eq!(manager.depth(other.name()).expect("known"), 1);
}

fn fill_is_refused(manager: &QueueManager) {
    let mut unit = manager.begin();
    let all = unit.put_all(QUEUE, vec![text("a"), text("b")]);
    assert_eq!(all.expect_err("full").reason(), 2053);
    assert_eq!(unit.messages(), 0);
}

/// A commit on its way to the disk does not make a temporary queue again that was closed meanwhile.
#[tokio::test]
async fn a_temporary_queue_that_is_closed_stays_away() {
    let dir = tempfile::tempdir().expect("a directory");
    let manager = start(&options(dir.path())).await;
    for _ in 0..100 {
        let made = manager.open(MODEL, OpenMode::default(), "TEMPORARY");
        let made = made.expect("made");
        let mut unit = manager.begin();
        unit.put("TEMPORARY", not_persistent("late")).expect("puts");
        unit.put(QUEUE, text("to the disk")).expect("puts");
        let commit = tokio::spawn(unit.commit());
        tokio::task::yield_now().await;
        drop(made);
        commit.await.expect("ends").expect("commits");
        let known = manager.status_of("TEMPORARY");
        assert!(
            matches!(known, Err(QueueError::UnknownQueue { .. })),
            "{known:?}"
        );
    }
}
