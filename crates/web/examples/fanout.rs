//! Many readers of one stream, and some that never read: what reaches them, how late, and what it costs the server.
//!
//! ```sh
//! bench/fanout.sh [clients] [sleepers] [seconds]
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use telemetry::{Histogram, HistogramSnapshot, now_micros};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// One reader in so many looks at the time of what it gets.
const TIMED: u64 = 50;
/// Connections that are being opened at a time.
const OPENING: usize = 64;

#[derive(Default)]
struct Seen {
    events: AtomicU64,
    bytes: AtomicU64,
    ended: AtomicU64,
    latency: Histogram,
}

async fn open(address: SocketAddr, path: &str, small: bool) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if small {
        // So that the one that does not read is noticed soon.
        socket.set_recv_buffer_size(4096)?;
    }
    let mut stream = socket.connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}

/// Counts events until the server ends the stream.
async fn read(mut stream: TcpStream, timed: bool, seen: Arc<Seen>) {
    let mut buffer = vec![0; 16 << 10];
    let needle: &[u8] = b"\"sent_at\":";
    while let Ok(read) = stream.read(&mut buffer).await {
        if read == 0 {
            break;
        }
        let now = now_micros();
        let bytes = &buffer[..read];
        let ends = bytes.windows(2).filter(|pair| pair == b"\n\n").count();
        seen.events.fetch_add(ends as u64, Relaxed);
        seen.bytes.fetch_add(read as u64, Relaxed);
        if !timed {
            continue;
        }
        let found = bytes.windows(needle.len()).position(|part| part == needle);
        let digits = found.map(|at| &bytes[at + needle.len()..]);
        let digits = digits.and_then(|rest| std::str::from_utf8(rest.get(..16)?).ok());
        if let Some(sent_at) = digits.and_then(|digits| digits.parse::<i64>().ok()) {
            seen.latency
                .record((now - sent_at).max(0).unsigned_abs(), 1);
        }
    }
    seen.ended.fetch_add(1, Relaxed);
}

/// Processor time in seconds and resident kilobytes of a process.
fn cost(pid: &str) -> (f64, u64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_whitespace()
        .collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok());
    let ticks = ticks(11).unwrap_or(0) + ticks(12).unwrap_or(0);
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let rss = rss.and_then(|rss| rss.trim().trim_end_matches(" kB").parse().ok());
    (ticks as f64 / 100.0, rss.unwrap_or(0))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: usize| {
        let text = arguments.get(index).and_then(|text| text.parse().ok());
        text.unwrap_or(default)
    };
    let address: SocketAddr = arguments.first().ok_or("the server's address")?.parse()?;
    let pid = arguments.get(1).ok_or("the server's process")?;
    let (clients, sleepers, seconds) = (number(2, 10_000), number(3, 300), number(4, 30));
    let path = "/api/v1/daily_totals/stream?count=50";
    let seen = Arc::new(Seen::default());
    let (_, before) = cost(pid);
    let mut asleep = Vec::new();
    for _ in 0..sleepers {
        asleep.push(open(address, path, true).await?);
    }
    let places = Arc::new(tokio::sync::Semaphore::new(OPENING));
    let mut opening = Vec::new();
    for client in 0..clients as u64 {
        let place = Arc::clone(&places).acquire_owned().await?;
        let seen = Arc::clone(&seen);
        opening.push(tokio::spawn(async move {
            let stream = open(address, path, false).await;
            drop(place);
            let opened = stream.is_ok();
            if let Ok(stream) = stream {
                tokio::spawn(read(stream, client % TIMED == 0, seen));
            }
            opened
        }));
    }
    let mut opened = 0;
    for one in opening {
        opened += usize::from(one.await?);
    }
    // The first windows are over.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (cpu, _) = cost(pid);
    let (events, bytes) = (seen.events.load(Relaxed), seen.bytes.load(Relaxed));
    let timed = seen.latency.snapshot();
    let begun = Instant::now();
    tokio::time::sleep(Duration::from_secs(seconds as u64)).await;
    let took = begun.elapsed().as_secs_f64();
    let (cpu_then, rss) = cost(pid);
    let per_second = |then: u64, before: u64| (then - before) as f64 / took;
    let latency: HistogramSnapshot = seen.latency.snapshot().since(&timed);
    let millis = |per_mille| {
        latency
            .quantile(per_mille)
            .map_or(0.0, |micros| micros as f64 / 1e3)
    };
    let all = (clients + sleepers).max(1) as f64;
    eprintln!(
        "{opened} of {clients} readers, {} ended, {sleepers} that never read; over {took:.0} s: \
         {:.0} events/s, {:.1} MB/s, server {:.1} % of a core, {:.1} us an event, RSS {} MB, {:.1} kB a client, \
         sent to read p50 {:.1} ms, p99 {:.1} ms",
        seen.ended.load(Relaxed),
        per_second(seen.events.load(Relaxed), events),
        per_second(seen.bytes.load(Relaxed), bytes) / 1e6,
        (cpu_then - cpu) / took * 100.0,
        (cpu_then - cpu) * 1e6 / (seen.events.load(Relaxed) - events).max(1) as f64,
        rss / 1024,
        rss.saturating_sub(before) as f64 / all,
        millis(500),
        millis(990),
    );
    drop(asleep);
    Ok(())
}
