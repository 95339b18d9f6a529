//! A gateway on a free port with an outbox in memory, and a client that speaks raw HTTP/1.1.

#![allow(dead_code, reason = "each test file uses a part")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use gateway::{
    Batch, Clock, Gateway, GatewayMetrics, GatewayOptions, Kept, Outbox, PutError, Reloader,
};
use mapping::Mapping;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// 2026-11-23T12:00:00Z.
pub(crate) const NOON: i64 = 1_795_435_200_000_000;

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub(crate) struct StoppedClock(pub(crate) AtomicI64);

impl Clock for StoppedClock {
    fn now_micros(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Remembers what was put; fails when told to.
#[derive(Debug, Default)]
pub(crate) struct MemoryOutbox {
    pub(crate) put: Mutex<Vec<(&'static str, Batch)>>,
    pub(crate) failure: Mutex<Option<(&'static str, PutError)>>,
}

impl Outbox for MemoryOutbox {
    async fn put_all(&self, queue: &'static str, batch: Batch) -> Result<Kept, PutError> {
        if let Some((failing, error)) = &*self.failure.lock().expect("no panic under it")
            && *failing == queue
        {
            return Err(error.clone());
        }
        assert!((1..=10_000).contains(&batch.records.len()));
        self.put
            .lock()
            .expect("no panic under it")
            .push((queue, batch));
        Ok(Kept::Queue)
    }
}

impl MemoryOutbox {
    /// Bodies in a queue, in order.
    pub(crate) fn bodies(&self, queue: &str) -> Vec<String> {
        let put = self.put.lock().expect("no panic under it");
        let batches = put.iter().filter(|(name, _)| *name == queue);
        batches
            .flat_map(|(_, batch)| (0..batch.records.len()).map(|index| batch.message_body(index)))
            .map(|body| String::from_utf8_lossy(&body).into_owned())
            .collect()
    }

    /// Properties in a queue, as text, in order; the trace context is left out.
    pub(crate) fn properties(&self, queue: &str) -> Vec<String> {
        let put = self.put.lock().expect("no panic under it");
        let batches = put.iter().filter(|(name, _)| *name == queue);
        batches
            .flat_map(|(_, batch)| {
                (0..batch.records.len()).map(move |index| batch.properties(index))
            })
            .map(|properties| {
                let pairs = properties.iter().filter(|(name, _)| *name != "traceparent");
                pairs
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect()
    }
}

pub(crate) struct Fixture {
    pub(crate) address: SocketAddr,
    /// Those of `http`, then those of `tcp`.
    pub(crate) further: Vec<SocketAddr>,
    pub(crate) outbox: Arc<MemoryOutbox>,
    pub(crate) metrics: Arc<GatewayMetrics>,
    pub(crate) reloader: Reloader,
    pub(crate) shutdown: CancellationToken,
    pub(crate) running: JoinHandle<()>,
}

pub(crate) fn ready_made(source: &str) -> Mapping {
    let path = format!(
        "{}/../../config/sources/{source}.toml",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&path).expect("the source is there");
    Mapping::compile(&path, &text).expect("a ready-made source")
}

pub(crate) async fn start() -> Fixture {
    start_with(GatewayOptions::default()).await
}

pub(crate) async fn start_with(mut options: GatewayOptions) -> Fixture {
    options.address.set_port(0);
    let outbox = Arc::new(MemoryOutbox::default());
    let sources = [
        "json", "card-csv", "cdnow", "pain.001", "camt.053", "iso8583", "pacs.008", "pain.008",
    ]
    .map(ready_made)
    .into();
    let clock = Arc::new(StoppedClock(AtomicI64::new(NOON)));
    let gateway = Gateway::bind(options, sources, Arc::clone(&outbox), clock)
        .await
        .expect("a free port");
    let shutdown = CancellationToken::new();
    Fixture {
        address: gateway.local_addr(),
        further: gateway.further_addrs(),
        outbox,
        metrics: gateway.metrics(),
        reloader: gateway.reloader(),
        running: tokio::spawn(gateway.run(shutdown.clone())),
        shutdown,
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// Status and the members that say why.
    pub(crate) fn reason(&self) -> String {
        let json = self.json();
        let text = |name: &str| {
            json[name]
                .as_str()
                .map(str::to_owned)
                .unwrap_or_else(|| json[name].to_string())
        };
        format!(
            "{} record {} field {} rule {}",
            self.status,
            text("record"),
            text("field"),
            text("rule")
        )
    }
}

impl Fixture {
    pub(crate) async fn post(&self, source: &str, headers: &str, body: impl AsRef<[u8]>) -> Answer {
        self.request(
            "POST",
            &format!("/v1/transactions/{source}"),
            headers,
            body.as_ref(),
        )
        .await
    }

    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> Answer {
        let mut stream = TcpStream::connect(self.address)
            .await
            .expect("the gateway listens");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).await.expect("writable");
        // The gateway may answer and close before it has read everything.
        let _ = stream.write_all(body).await;
        read_answer(&mut stream).await
    }
}

/// Reads to the end of the connection.
pub(crate) async fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    Answer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// A good record of the source `json`.
pub(crate) fn record(id: &str, amount: &str) -> String {
    format!(
        "{{\"id\":\"{id}\",\"account\":\"A-1\",\"amount\":\"{amount}\",\"currency\":\"EUR\",\
         \"booked_at\":\"2026-11-23T10:15:00+01:00\"}}"
    )
}
