//! `kill -9` of a real process, again and again, while a client writes and commits.

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use support::raw::{NOBODY, Raw, batch};
use support::until;

const DIR: &str = "KAFKA_BROKER_TEST_DIR";
const ROUNDS: usize = 5;

/// Not a test by itself: the process that is killed. Writes its address to a file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the test below"]
async fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let mut config = support::config(Path::new(&dir));
    config.journal_checkpoint_bytes = 64 << 10;
    config.segment_bytes = 32 << 10;
    let broker = kafka_broker::Broker::start(config).await.expect("starts");
    broker.create_topic("plain", 1, &[]).await.expect("created");
    broker.create_topic("t", 2, &[]).await.expect("created");
    let address = Path::new(&dir).join("address");
    std::fs::write(
        address.with_extension("new"),
        broker.local_addr().to_string(),
    )
    .expect("written");
    std::fs::rename(address.with_extension("new"), address).expect("renamed");
    std::future::pending::<()>().await;
}

async fn spawn(dir: &Path) -> (Child, SocketAddr) {
    let address = dir.join("address");
    let _none = std::fs::remove_file(&address);
    let child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "child", "--ignored"])
        .env(DIR, dir)
        .stdout(Stdio::null())
        .spawn()
        .expect("spawned");
    let look = async || std::fs::read_to_string(&address).ok()?.parse().ok();
    (child, until(look).await)
}

/// Writes until the broker is gone. Returns what was acknowledged: plain values, and transactions.
async fn write(address: SocketAddr, round: usize, stop: Duration) -> (Vec<String>, Vec<String>) {
    let (mut plain, mut committed) = (Vec::new(), Vec::new());
    let steps = async {
        let mut raw = Raw::to(address).await;
        let pid = raw.init("tx", 60_000).await;
        for number in 0.. {
            let value = format!("{round}-{number}");
            raw.produce(None, "plain", 0, batch(NOBODY, 0, false, &[&value]))
                .await;
            plain.push(value.clone());
            raw.add("tx", pid, "t", &[0, 1]).await;
            for partition in 0..2 {
                raw.produce(
                    Some("tx"),
                    "t",
                    partition,
                    batch(pid, number, true, &[&value]),
                )
                .await;
            }
            if raw.end("tx", pid, true).await == 0 {
                committed.push(value);
            }
        }
    };
    let _stopped = tokio::time::timeout(stop, steps).await;
    (plain, committed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_it_keeps_what_it_acknowledged() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut plain, mut committed) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (mut child, address) = spawn(dir.path()).await;
        let mut raw = Raw::to(address).await;
        raw.init("tx", 60_000).await;
        check("plain", &raw.read("plain", 0, true).await, &mut plain);
        let whole = raw.read("t", 0, true).await;
        assert_eq!(whole, raw.read("t", 1, true).await, "half a transaction");
        check("t", &whole, &mut committed);
        drop(raw);
        // The client gives up in the middle of a request, and the broker is killed while it works on it.
        let stop = Duration::from_millis(150 + 37 * round as u64);
        let (sent, done) = write(address, round, stop).await;
        child.kill().expect("killed");
        child.wait().expect("gone");
        plain.extend(sent);
        committed.extend(done);
    }
    assert!(
        committed.len() > ROUNDS,
        "too little was written: {}",
        committed.len()
    );
}

/// All that was acknowledged is there, in order, and at most one more a round: the one whose answer did not come.
fn check(what: &str, seen: &[String], acknowledged: &mut Vec<String>) {
    let mut rest = acknowledged.iter().peekable();
    for value in seen {
        if rest.peek() == Some(&value) {
            rest.next();
        }
    }
    assert_eq!(
        rest.next(),
        None,
        "{what}: acknowledged but gone, or out of order"
    );
    assert!(seen.len() <= acknowledged.len() + 1, "{what}: {seen:?}");
    *acknowledged = seen.to_vec();
}
