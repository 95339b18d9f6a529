//! The server on a port of its own, and what a client does with it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kafka_client::Cluster;
use serde_json::Value;
use store::StoreTarget;
use telemetry::Telemetry;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use types::BusinessDay;
use web::{Web, WebError, WebOptions};

use super::{World, daily_totals};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn today() -> BusinessDay {
    let calendar = daily_totals().calendar;
    calendar.day_of(telemetry::now_micros()).expect("in range")
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) telemetry: Arc<Telemetry>,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), WebError>>,
    ready: tokio::sync::watch::Receiver<bool>,
}

impl Server {
    pub(crate) async fn start(world: &World) -> Self {
        Self::start_with(world, |_| {}).await
    }

    pub(crate) async fn start_with(world: &World, set: impl FnOnce(&mut WebOptions)) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut options = WebOptions::new(
            listen,
            StoreTarget::sqlite("/nonexistent"),
            Cluster::new("none"),
        );
        options.aggregations = vec![daily_totals()];
        options.snapshot_age_max = Duration::ZERO;
        options.stored_age_max = Duration::ZERO;
        set(&mut options);
        let telemetry = Arc::new(Telemetry::default());
        let web = Web::bind_with(options, Arc::clone(&telemetry), vec![world.feed()]).await;
        let web = web.expect("binds");
        let shutdown = CancellationToken::new();
        Self {
            address: web.local_addr(),
            telemetry,
            ready: web.readiness(),
            task: tokio::spawn(web.run(shutdown.clone())),
            shutdown,
        }
    }

    pub(crate) async fn live(mut self) -> Self {
        let live = timeout(PATIENCE, self.ready.wait_for(|ready| *ready)).await;
        drop(live.expect("in time").expect("runs"));
        self
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        let stopped = timeout(PATIENCE, self.task).await.expect("in time");
        stopped.expect("no panic").expect("stops cleanly");
    }

    pub(crate) async fn request(&self, path: &str, headers: &str) -> BufReader<TcpStream> {
        let host = format!("Host: {}\r\n", self.address);
        let host = if headers.contains("Host:") { "" } else { &host };
        let mut socket = TcpStream::connect(self.address).await.expect("connects");
        let request = format!("GET {path} HTTP/1.1\r\n{host}{headers}\r\n");
        socket.write_all(request.as_bytes()).await.expect("sends");
        BufReader::new(socket)
    }

    /// Status line, headers in lower case, body.
    pub(crate) async fn get_with(&self, path: &str, headers: &str) -> (u16, String, String) {
        let headers = format!("{headers}Connection: close\r\n");
        answer(self.request(path, &headers).await).await
    }

    /// As [`Server::get_with`].
    pub(crate) async fn post(
        &self,
        path: &str,
        headers: &str,
        body: &str,
    ) -> (u16, String, String) {
        let mut socket = TcpStream::connect(self.address).await.expect("connects");
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.address,
            body.len()
        );
        socket.write_all(request.as_bytes()).await.expect("sends");
        answer(BufReader::new(socket)).await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let (status, _, body) = self.get_with(path, "").await;
        (
            status,
            serde_json::from_str(&body).unwrap_or(Value::String(body)),
        )
    }

    pub(crate) async fn snapshot(&self) -> Value {
        let (status, body) = self.get("/api/v1/daily_totals/snapshot").await;
        assert_eq!(status, 200, "{body}");
        body
    }

    pub(crate) async fn stream(&self, query: &str, headers: &str) -> Events {
        self.open(&format!("rows=all&{query}"), headers).await
    }

    /// A stream of what is looked at.
    pub(crate) async fn look(&self, query: &str) -> Events {
        self.open(query, "").await
    }

    pub(crate) async fn open(&self, query: &str, headers: &str) -> Events {
        let path = format!("/api/v1/daily_totals/stream?{query}");
        let mut events = Events(self.request(&path, headers).await);
        let head = events.line().await.expect("a head");
        assert!(head.contains("200"), "{head}");
        events
    }
}

async fn answer(mut socket: BufReader<TcpStream>) -> (u16, String, String) {
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, socket.read_to_end(&mut answer)).await;
    read.expect("in time").expect("reads");
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head[9..12].parse().expect("a status");
    let head = head.to_lowercase();
    let body = match head.contains("transfer-encoding: chunked") {
        true => unchunked(body),
        false => body.to_owned(),
    };
    (status, head, body)
}

/// The content of a chunked body.
fn unchunked(body: &str) -> String {
    let mut rest = body;
    let mut text = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a size");
        text.push_str(&after[..size]);
        rest = after[size..].trim_start_matches("\r\n");
    }
    text
}

/// Reads Server-Sent Events, dropping the framing of chunks.
pub(crate) struct Events(BufReader<TcpStream>);

impl Events {
    pub(crate) async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = timeout(PATIENCE, self.0.read_line(&mut line)).await;
        (read.expect("in time").ok()? > 0).then(|| line.trim_end().to_owned())
    }

    /// Name (`message` without one), id and data of the next event.
    pub(crate) async fn next(&mut self) -> Option<(String, Option<String>, Value)> {
        let (mut name, mut id) = ("message".to_owned(), None);
        loop {
            let line = self.line().await?;
            if let Some(found) = line.strip_prefix("event: ") {
                name = found.to_owned();
            } else if let Some(found) = line.strip_prefix("id:") {
                id = Some(found.trim().to_owned());
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Some((name, id, serde_json::from_str(data).expect("JSON")));
            }
        }
    }

    pub(crate) async fn next_named(&mut self, name: &str) -> (Option<String>, Value) {
        loop {
            let (found, id, data) = self.next().await.expect("an event");
            if found == name {
                return (id, data);
            }
        }
    }
}

pub(crate) fn rows(body: &Value) -> Vec<(String, String, String, u64)> {
    let rows = body["rows"].as_array().expect("rows").iter();
    let mut rows: Vec<_> = rows
        .map(|row| serde_json::from_value(row["c"].clone()).expect("columns"))
        .collect();
    rows.sort();
    rows
}
