//! A whole run against a small stand-in for gateway and web server, which counts what it is sent.

use std::collections::BTreeMap;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch as channel;
use types::Amount;

use super::*;
use crate::Silent;

#[derive(Debug, Default)]
struct Book {
    /// Account, amount, and when it is in the totals.
    taken: Vec<(String, Amount, std::time::Instant)>,
    /// Loses every so-manieth transaction, as no server should.
    lose: Option<u64>,
    lies: Lies,
    posted: u64,
    requests: u64,
    last: Option<std::time::Instant>,
}

/// How the stand-in answers wrongly.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Lies {
    /// Every so-manieth request is answered with one record too few.
    pub(super) miscount_every: Option<u64>,
    /// Every so-manieth request is answered with 503, and not taken.
    pub(super) later_every: Option<u64>,
    /// So is one that comes sooner after the one before.
    pub(super) later_above: Option<Duration>,
    /// The totals need so long for one transaction, one after the other.
    pub(super) totals_need: Duration,
}

impl Book {
    /// Answers a post: status and body.
    fn post(&mut self, body: &str) -> (&'static str, String) {
        self.requests += 1;
        let is =
            |every: Option<u64>| every.is_some_and(|every| self.requests.is_multiple_of(every));
        let last = self.last.replace(std::time::Instant::now());
        let is_soon = (last.map(|last| last.elapsed()))
            .zip(self.lies.later_above)
            .is_some_and(|(passed, least)| passed < least);
        if is(self.lies.later_every) || is_soon {
            return (
                "503 Service Unavailable",
                "{\"detail\":\"later\"}".to_owned(),
            );
        }
        let few = usize::from(is(self.lies.miscount_every));
        let accepted = self.add(body) - few;
        ("202 Accepted", format!("{{\"accepted\":{accepted}}}"))
    }

    fn add(&mut self, body: &str) -> usize {
        for line in body.lines() {
            self.posted += 1;
            if self
                .lose
                .is_some_and(|lose| self.posted.is_multiple_of(lose))
            {
                continue;
            }
            let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let account = value["account"].as_str().expect("text").to_owned();
            let amount = Amount::parse(value["amount"].as_str().expect("text")).expect("valid");
            let now = std::time::Instant::now();
            let before = self.taken.last().map_or(now, |(_, _, at)| now.max(*at));
            let at = before + self.lies.totals_need;
            self.taken.push((account, amount, at));
        }
        body.lines().count()
    }

    fn rows(&self) -> String {
        let now = std::time::Instant::now();
        let mut rows: BTreeMap<String, (u64, Amount)> = BTreeMap::new();
        for (account, amount, _) in self.taken.iter().filter(|(_, _, at)| *at <= now) {
            let (count, sum) = rows.entry(account.clone()).or_default();
            *count += 1;
            *sum = sum.checked_add(*amount).expect("small");
        }
        let row = |(account, (count, sum)): (&String, &(u64, Amount))| {
            format!(
                r#"{{"key":["d","{account}","EUR"],"v":[1,{count}],"c":["{account}","EUR","{sum}",{count}]}}"#
            )
        };
        let rows: Vec<String> = rows.iter().map(row).collect();
        format!(r#"{{"rows":[{}]}}"#, rows.join(","))
    }
}

type Shared = Arc<(Mutex<Book>, channel::Sender<u64>)>;

pub(super) async fn start(lose: Option<u64>) -> String {
    begin(Book {
        lose,
        ..Book::default()
    })
    .await
}

pub(super) async fn start_with(lies: Lies) -> String {
    begin(Book {
        lies,
        ..Book::default()
    })
    .await
}

/// Transactions that a stand-in has taken.
pub(super) async fn posted(url: &str) -> u64 {
    let target = Target::parse(url).expect("an address");
    let rows = crate::get(&target, "/api/v1/daily_totals/snapshot").await;
    let rows: serde_json::Value = serde_json::from_slice(&rows.expect("an answer")).expect("JSON");
    let counts = rows["rows"].as_array().expect("rows").iter();
    counts.filter_map(|row| row["c"][3].as_u64()).sum()
}

async fn begin(book: Book) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let shared: Shared = Arc::new((Mutex::new(book), channel::channel(0).0));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&shared)));
        }
    });
    format!("http://{address}")
}

async fn serve(mut stream: TcpStream, shared: Shared) -> Option<()> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some(end) = text.find("\r\n\r\n") else {
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
            continue;
        };
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().expect("a number"));
        if bytes.len() < end + 4 + length {
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
            continue;
        }
        let body = &text[end + 4..end + 4 + length];
        bytes.drain(..end + 4 + length);
        if text.starts_with("GET /api/v1/daily_totals/stream") {
            return events(stream, shared).await;
        }
        let (status, answer) = if text.starts_with("POST /v1/transactions/json ") {
            let answer = shared.0.lock().expect("no panic under it").post(body);
            shared.1.send_modify(|changes| *changes += 1);
            answer
        } else if text.starts_with("POST ") {
            (
                "404 Not Found",
                "{\"detail\":\"there is no such source\"}".to_owned(),
            )
        } else if text.starts_with("GET /api/v1/aggregations ") {
            let names = ["account", "currency", "total", "transactions"];
            let columns = names
                .map(|name| format!(r#"{{"name":"{name}","kind":"text"}}"#))
                .join(",");
            (
                "200 OK",
                format!(r#"{{"aggregations":[{{"name":"daily_totals","columns":[{columns}]}}]}}"#),
            )
        } else {
            ("200 OK", shared.0.lock().expect("no panic under it").rows())
        };
        let length = answer.len();
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{answer}");
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}

async fn events(mut stream: TcpStream, shared: Shared) -> Option<()> {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.ok()?;
    let mut changes = shared.1.subscribe();
    loop {
        let rows = shared.0.lock().expect("no panic under it").rows();
        let event = format!("id: x\ndata: {rows}\n\n");
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        stream.write_all(chunk.as_bytes()).await.ok()?;
        // What is taken is not in the totals at once, if they need their time.
        tokio::select! {
            changed = changes.changed() => changed.ok()?,
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
    }
}

fn options(url: &str, bulk: u64) -> BenchOptions {
    BenchOptions {
        gateway: url.to_owned(),
        web: url.to_owned(),
        rate: 2_000,
        bulk,
        connections: 4,
        duration: Duration::from_millis(100),
        warm_up: Duration::from_millis(50),
        accounts: 7,
        pid: Some(std::process::id()),
        settle_max: Duration::from_millis(200),
        progress: false,
        ..BenchOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_counts_right_passes() {
    for bulk in [1, 30] {
        let url = start(None).await;
        let report = run(
            options(&url, bulk),
            Arc::new(Silent),
            CancellationToken::new(),
        );
        let report = report.await.expect("measured");
        assert!(report.passed, "{report}");
        assert_eq!(report.rows_verified, 7);
        assert_eq!(report.accepted.count, report.visible.count);
        assert!(report.accepted.count >= 200 && report.accepted.count < report.sent);
        assert!(report.visible.p50_ms > 0.0 && report.server.is_some());
        let json: serde_json::Value = serde_json::from_str(&report.to_json()).expect("JSON");
        assert_eq!(json["passed"], true);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_loses_one_fails() {
    let url = start(Some(100)).await;
    let report = run(options(&url, 1), Arc::new(Silent), CancellationToken::new());
    let report = report.await.expect("measured");
    assert!(!report.passed);
    assert_eq!(report.invisible, 3);
    assert!(report.differences_count >= 3, "{report}");
}

#[tokio::test]
async fn what_cannot_be_measured_is_explained() {
    let url = start(None).await;
    let mut wrong = options(&url, 1);
    wrong.aggregation = "none".to_owned();
    let error = run(wrong, Arc::new(Silent), CancellationToken::new()).await;
    let error = error.expect_err("no such aggregation").to_string();
    assert!(
        error.ends_with("there is no aggregation \"none\"; there are daily_totals"),
        "{error}"
    );
    let mut wrong = options(&url, 1);
    wrong.rate = 0;
    let error = run(wrong, Arc::new(Silent), CancellationToken::new()).await;
    assert!(matches!(
        error,
        Err(BenchError::Option { name: "rate", .. })
    ));
}
