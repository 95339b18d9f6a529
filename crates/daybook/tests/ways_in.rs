//! Files, messages of a queue, and messages on a TCP connection, into a pipeline that is killed meanwhile: each counts once.
#![allow(missing_docs)]

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use common::{Daybook, PATIENCE, Place};
use mq_client::{Chars, ClientOptions, Host, MessageDescriptor, connect_any, open};
use types::names::{QUEUE_CHANNEL, port};

const PER_WAY: usize = 500;
/// Kills while they come.
const KILLS: usize = 3;
const LINK: u16 = 8_583;

fn record(way: &str, number: usize) -> String {
    let now = jiff::Timestamp::now();
    format!(
        "{{\"id\":\"{way}-{number}\",\"account\":\"{way}\",\"amount\":\"1.00\",\"currency\":\"EUR\",\"booked_at\":\"{now}\"}}"
    )
}

fn place() -> Place {
    let mut place = Place::new();
    let dir = place.dir.parent().expect("a parent").to_owned();
    std::fs::create_dir(dir.join("in")).expect("makes");
    let file = dir.join("ways.toml");
    let config = format!(
        "[[directory]]\npath = \"in\"\nsource = \"json\"\nsettle_ms = 50\n\
         [[intake]]\nqueue = \"TILL.IN\"\nsource = \"json\"\n\
         [[gateway.tcp]]\naddress = \"127.0.0.1:{LINK}\"\nsource = \"json\"\nframing = \"lines\"\n"
    );
    std::fs::write(&file, config).expect("writes");
    place.config = Some(file);
    place
}

/// Persistent, in one unit of work. They have no ids: the message's own identity is theirs.
fn put(place: &Place) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let host = Host {
            name: "127.0.0.1".to_owned(),
            port: place.port(port::MQ),
        };
        let options = Arc::new(ClientOptions::new(host, QUEUE_CHANNEL));
        let (_connection, mut session) = connect_any(&options).await.expect("connects");
        let queue = session
            .open("TILL.IN", open::OUTPUT)
            .await
            .expect("it was made");
        for number in 0..PER_WAY {
            let descriptor = MessageDescriptor {
                format: Chars::new("MQSTR"),
                ccsid: 1208,
                persistence: 1,
                ..MessageDescriptor::initial()
            };
            let body = record("queue", number);
            let without_id = body.replace(&format!("\"id\":\"queue-{number}\","), "");
            session
                .put(&queue, descriptor, without_id.into(), true)
                .await
                .expect("puts");
        }
        session.disconnect().await.expect("commits");
    });
}

/// Sends those that have not been answered; how many have been now.
fn send(place: &Place, answered: usize) -> usize {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", place.port(LINK))) else {
        return answered;
    };
    stream.set_read_timeout(Some(PATIENCE)).expect("sets");
    let lines: String = (answered..PER_WAY)
        .map(|number| record("link", number) + "\n")
        .collect();
    let _ = stream.write_all(lines.as_bytes());
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answers = Vec::new();
    // It may be cut off by a kill.
    let _ = stream.read_to_end(&mut answers);
    let answers = String::from_utf8_lossy(&answers);
    answered + answers.matches("{\"accepted\":1,").count()
}

fn names_in(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("reads");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = names
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn kill_and_start(place: &Place, daybook: Daybook) -> Daybook {
    daybook.kill();
    place.up()
}

#[test]
fn what_comes_by_files_queues_and_links_counts_once_whatever_is_killed() {
    let place = place();
    let dir = place.dir.parent().expect("a parent").join("in");
    let mut daybook = place.up();
    put(&place);
    for file in 0..10 {
        let range = file * (PER_WAY / 10)..(file + 1) * (PER_WAY / 10);
        let text: String = range.map(|number| record("file", number) + "\n").collect();
        std::fs::write(dir.join(format!(".{file}")), text).expect("writes");
        std::fs::rename(
            dir.join(format!(".{file}")),
            dir.join(format!("{file}.ndjson")),
        )
        .expect("renames");
    }
    let mut answered = 0;
    for _ in 0..KILLS {
        (daybook, answered) = std::thread::scope(|scope| {
            let sender = scope.spawn(|| send(&place, answered));
            let again = kill_and_start(&place, daybook);
            (again, sender.join().expect("no panic"))
        });
    }
    let began = Instant::now();
    while answered < PER_WAY {
        answered = send(&place, answered);
        assert!(began.elapsed() < PATIENCE, "{answered} were answered");
    }
    place.wait_for_query(
        "SELECT account, total, transactions FROM daily_totals ORDER BY account",
        &["file", "link", "queue"]
            .map(|way| format!("{way},{PER_WAY}.00,{PER_WAY}"))
            .join("\n"),
    );
    let proof = place.stdout(&["prove", "--wait", "60"]);
    assert!(proof.contains("proved"), "{proof}");
    // The last one may be moved a moment after it was counted.
    let began = Instant::now();
    while names_in(&dir) != ["done", "failed"] {
        assert!(began.elapsed() < PATIENCE, "{:?}", names_in(&dir));
    }
    assert_eq!(daybook.stop(), Some(0));
}
