//! `daybook queue`: looking after the queues of a pipeline that runs.
#![allow(missing_docs)]

mod common;

use std::sync::Arc;

use common::{Place, text};
use mq_client::{Chars, ClientOptions, Host, MessageDescriptor, connect_any, open};
use types::names::{QUEUE_BACKOUT, QUEUE_CHANNEL, QUEUE_TEST, port};

/// Puts persistent texts, as an application does.
fn put(place: &Place, queue: &str, messages: Vec<(&'static str, Vec<u8>)>) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let host = Host {
            name: "127.0.0.1".to_owned(),
            port: place.port(port::MQ),
        };
        let options = Arc::new(ClientOptions::new(host, QUEUE_CHANNEL));
        let (_connection, mut session) = connect_any(&options).await.expect("connects");
        let queue = session.open(queue, open::OUTPUT).await.expect("opens");
        for (format, body) in messages {
            let descriptor = MessageDescriptor {
                format: Chars::new(format),
                ccsid: 1208,
                persistence: 1,
                ..MessageDescriptor::initial()
            };
            let put = session.put(&queue, descriptor, body.into(), true).await;
            put.expect("puts");
        }
        session.disconnect().await.expect("commits");
    });
}

fn failed(place: &Place, arguments: &[&str]) -> String {
    let output = place.run(arguments);
    let err = text(&output.stderr);
    assert!(!output.status.success(), "{arguments:?} succeeded: {err}");
    err
}

fn json(lines: &str) -> Vec<serde_json::Value> {
    lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

#[test]
fn queues_are_defined_altered_browsed_moved_purged_and_deleted() {
    let place = Place::new();
    let daybook = place.up();
    place.stdout(&[
        "queue",
        "define",
        "APP.IN",
        "--description",
        "for a test",
        "--max-depth",
        "2000",
    ]);
    let err = failed(&place, &["queue", "define", "APP.IN"]);
    assert!(err.contains("4001"), "{err}");
    place.stdout(&["queue", "define", "APP.OUT", "--persistent", "true"]);
    // More than one unit of work; the last one is not full.
    let number = |number: usize| format!("message {number}").into_bytes();
    let messages = (0..1_201).map(|at| ("MQSTR", number(at))).collect();
    put(&place, "APP.IN", messages);
    let list = || json(&place.stdout(&["queue", "list", "APP.*", "--format", "json"]));
    let before = list();
    assert_eq!(before.len(), 2);
    assert_eq!(
        (&before[0]["queue"], &before[0]["depth"]),
        (&"APP.IN".into(), &1_201.into())
    );
    assert_eq!(before[0]["depth_max"], 2_000);
    assert_eq!(before[0]["in_per_second"], 0);
    let browsed = place.stdout(&[
        "queue", "browse", "APP.IN", "--limit", "2", "--format", "json",
    ]);
    let browsed = json(&browsed);
    assert_eq!(browsed.len(), 2);
    assert_eq!(
        (&browsed[1]["text"], &browsed[1]["format"]),
        (&"message 1".into(), &"MQSTR".into())
    );
    let shown = place.stdout(&["queue", "browse", "APP.IN", "--limit", "1"]);
    assert!(
        shown.contains("message 0") && shown.contains("backout count 0"),
        "{shown}"
    );

    place.stdout(&["queue", "move", "APP.IN", "APP.OUT", "--limit", "700"]);
    let err = text(&place.run(&["queue", "move", "APP.IN", "APP.OUT"]).stderr);
    assert!(err.contains("501 messages moved"), "{err}");
    let moved = json(&place.stdout(&[
        "queue", "browse", "APP.OUT", "--limit", "5000", "--format", "json",
    ]));
    let bodies: Vec<&str> = moved
        .iter()
        .filter_map(|got| got["text"].as_str())
        .collect();
    let expected: Vec<String> = (0..1_201).map(|at| format!("message {at}")).collect();
    assert_eq!(bodies, expected, "all, once, in order");
    assert_eq!(moved[1]["msg_id"], browsed[1]["msg_id"]);
    assert_eq!(moved[1]["put_time"], browsed[1]["put_time"]);

    place.stdout(&[
        "queue",
        "alter",
        "APP.OUT",
        "--put",
        "disabled",
        "--max-depth",
        "7",
    ]);
    let err = failed(&place, &["queue", "alter", "APP.OUT"]);
    assert!(err.contains("name an attribute"), "{err}");
    let err = failed(&place, &["queue", "move", "APP.OUT", "APP.OUT"]);
    assert!(err.contains("both"), "{err}");
    let err = failed(&place, &["queue", "move", "APP.OUT", "NO.SUCH"]);
    assert!(
        err.contains("NO.SUCH cannot be opened") && err.contains("2085"),
        "{err}"
    );
    // What was altered is there after a crash.
    daybook.kill();
    let _daybook = place.up();
    let after = list();
    assert_eq!(
        (&after[0]["depth"], &after[1]["depth"]),
        (&0.into(), &1_201.into())
    );
    assert_eq!(after[1]["depth_max"], 7);
    put(&place, "APP.IN", vec![("MQSTR", number(0))]);
    let err = failed(&place, &["queue", "move", "APP.IN", "APP.OUT"]);
    assert!(
        err.contains("2051") && err.contains("where they were"),
        "{err}"
    );
    assert_eq!(list()[0]["depth"], 1);

    let err = failed(&place, &["queue", "purge", "APP.OUT"]);
    assert!(
        err.contains("1201 messages") && err.contains("--yes"),
        "{err}"
    );
    place.stdout(&["queue", "purge", "APP.OUT", "--yes"]);
    place.stdout(&["queue", "delete", "APP.OUT"]);
    let err = failed(&place, &["queue", "delete", "APP.IN"]);
    assert!(err.contains("2055"), "{err}");
    place.stdout(&["queue", "delete", "APP.IN", "--purge"]);
    for (arguments, expected) in [
        (
            ["queue", "delete", QUEUE_TEST],
            "Daybook itself needs this queue",
        ),
        (["queue", "list", "APP.*"], "2085"),
        (["queue", "browse", "APP.IN"], "APP.IN cannot be browsed"),
        (["queue", "replay", "DAYBOOK.QUARANTINE"], "send it again"),
    ] {
        let err = failed(&place, &arguments);
        assert!(err.contains(expected), "{err}");
    }
    let all = place.stdout(&["queue", "list"]);
    assert!(
        all.contains(QUEUE_BACKOUT) && !all.contains("SYSTEM."),
        "{all}"
    );
}

#[test]
fn what_was_set_aside_is_counted_after_its_replay() {
    let place = Place::new();
    let _daybook = place.up();
    let now = jiff::Timestamp::now();
    let transaction = |id: &str| {
        format!(
            r#"{{"id":"{id}","source":"json","account":"ann","amount":"12.50","currency":"EUR","booked_at":"{now}","received_at":"{now}"}}"#
        )
    };
    // As a client gets what the gateway put: with its properties in front.
    let mut with_properties = b"RFH ".to_vec();
    for number in [2, 36 + 4 + 24, 546, 1208] {
        with_properties.extend(i32::to_le_bytes(number));
    }
    with_properties.extend(b"MQSTR   ");
    for number in [0, 1208, 24] {
        with_properties.extend(i32::to_le_bytes(number));
    }
    with_properties.extend(b"<usr><id>t-2</id></usr> ");
    with_properties.extend(transaction("t-2").into_bytes());
    let messages = vec![
        ("MQSTR", transaction("t-1").into_bytes()),
        ("MQSTR", b"no transaction".to_vec()),
        ("MQHRF2", with_properties),
    ];
    put(&place, QUEUE_BACKOUT, messages);
    let err = failed(&place, &["queue", "replay"]);
    assert!(
        err.contains("2 messages moved") && err.contains("no JSON object"),
        "{err}"
    );
    assert!(err.contains("1 messages stay"), "{err}");
    place.wait_for_query(
        "SELECT sum(total), sum(transactions) FROM daily_totals",
        "25.00,2",
    );
    let left = place.stdout(&["queue", "browse", QUEUE_BACKOUT, "--format", "json"]);
    let left = json(&left);
    assert_eq!(
        (left.len(), &left[0]["text"]),
        (1, &"no transaction".into())
    );
}
