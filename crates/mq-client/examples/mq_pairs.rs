//! Measures put+get pairs of persistent messages against a queue manager, with this client.
//!
//! Each worker is a session (MQCONN): it puts messages with a number in them, and gets messages; at the
//! end every number must have been got once. Closed loop: a worker begins when the last call was
//! answered, so a figure says what the queue manager can do, and latency what a caller waits.
//!
//!     cargo run --release -p mq-client --example mq_pairs -- HOST(PORT) CHANNEL QUEUE \
//!         [--workers N] [--shared N] [--batch N] [--seconds N] [--bytes N] [--threads N]
#![allow(clippy::print_stdout)]

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mq_client::{
    ClientError, ClientOptions, Connection, GetRequest, MessageDescriptor, Session, open,
};

struct Arguments {
    host: String,
    channel: String,
    queue: String,
    numbers: HashMap<String, u64>,
}

impl Arguments {
    fn read() -> Option<Self> {
        let mut words = std::env::args().skip(1);
        let (host, channel, queue) = (words.next()?, words.next()?, words.next()?);
        let mut numbers = HashMap::new();
        while let Some(name) = words.next() {
            numbers.insert(name, words.next()?.parse().ok()?);
        }
        Some(Self {
            host,
            channel,
            queue,
            numbers,
        })
    }

    fn number(&self, name: &str, default: u64) -> u64 {
        self.numbers.get(name).copied().unwrap_or(default)
    }
}

fn main() -> ExitCode {
    let Some(arguments) = Arguments::read() else {
        eprintln!(
            "usage: mq_pairs HOST(PORT) CHANNEL QUEUE [--workers N] [--shared N] [--batch N] [--seconds N] [--bytes N] [--threads N]"
        );
        return ExitCode::from(2);
    };
    let threads = arguments.number("--threads", 1) as usize;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return ExitCode::FAILURE;
    };
    match runtime.block_on(run(arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mq_pairs: {error}: {:?}", error.reason());
            ExitCode::FAILURE
        }
    }
}

#[derive(Default)]
struct Sums {
    put: AtomicU64,
    got: AtomicU64,
    /// Of a mix of all numbers: the same for puts and gets if each came once.
    put_mix: AtomicU64,
    got_mix: AtomicU64,
    stop: AtomicBool,
}

async fn run(arguments: Arguments) -> Result<bool, ClientError> {
    let host = match arguments.host.parse() {
        Ok(host) => host,
        Err(error) => {
            eprintln!("mq_pairs: {error}");
            return Ok(false);
        }
    };
    let workers = arguments.number("--workers", 1);
    let shared = arguments.number("--shared", 1).max(1);
    let batch = arguments.number("--batch", 1).max(1);
    let seconds = arguments.number("--seconds", 5);
    let bytes = arguments.number("--bytes", 2_048).max(8) as usize;
    let mut options = ClientOptions::new(host, &arguments.channel);
    options.conversations_max = shared as u32;
    let options = Arc::new(options);
    let mut sessions = Vec::new();
    let mut last: Option<Connection> = None;
    while (sessions.len() as u64) < workers {
        if let Some(connection) = &last
            && let Some(session) = connection.session().await?
        {
            sessions.push(session);
            continue;
        }
        let (connection, session) = mq_client::connect_any(&options).await?;
        sessions.push(session);
        last = Some(connection);
    }
    let sums = Arc::new(Sums::default());
    let began = Instant::now();
    let mut tasks = Vec::new();
    for (number, session) in sessions.into_iter().enumerate() {
        let (sums, queue) = (Arc::clone(&sums), arguments.queue.clone());
        tasks.push(tokio::spawn(async move {
            work(session, &queue, number as u64, batch, bytes, &sums).await
        }));
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    sums.stop.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    for task in tasks {
        match task.await {
            Ok(done) => times.extend(done?),
            Err(_) => return Ok(false),
        }
    }
    let took = began.elapsed();
    times.sort_unstable();
    let at = |per_mille: usize| {
        let index = (times.len() * per_mille / 1_000).min(times.len().saturating_sub(1));
        times.get(index).copied().unwrap_or_default()
    };
    let load = |sum: &AtomicU64| sum.load(Ordering::Relaxed);
    let (put, got) = (load(&sums.put), load(&sums.got));
    let same = put == got && load(&sums.put_mix) == load(&sums.got_mix);
    let per_second = u128::from(got) * 1_000_000 / took.as_micros().max(1);
    println!(
        "mq-client workers={workers} shared={shared} batch={batch} bytes={bytes}: {per_second} pairs/s; \
         {batch} pair(s) take p50 {:?} p99 {:?} max {:?}; put {put} got {got}, {}",
        at(500),
        at(990),
        at(1_000),
        if same { "each once" } else { "NOT EACH ONCE" }
    );
    Ok(same)
}

async fn work(
    mut session: Session,
    queue: &str,
    worker: u64,
    batch: u64,
    bytes: usize,
    sums: &Sums,
) -> Result<Vec<Duration>, ClientError> {
    let options = open::INPUT_SHARED | open::OUTPUT;
    let queue = session.open(queue, options).await?;
    let descriptor = MessageDescriptor {
        persistence: 1,
        ..MessageDescriptor::initial()
    };
    let request = GetRequest {
        wait: Some(Duration::from_secs(10)),
        syncpoint: batch > 1,
        ..GetRequest::default()
    };
    let mut times = Vec::new();
    let mut next = worker << 40;
    while !sums.stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        for _ in 0..batch {
            next += 1;
            let mut body = vec![0x5a; bytes];
            body[..8].copy_from_slice(&next.to_le_bytes());
            let (descriptor, body) = (descriptor.clone(), Bytes::from(body));
            match batch {
                1 => {
                    session.put(&queue, descriptor, body, false).await?;
                }
                _ => session.put_unanswered(&queue, descriptor, body)?,
            }
            sums.put.fetch_add(1, Ordering::Relaxed);
            sums.put_mix.fetch_add(mix(next), Ordering::Relaxed);
        }
        if batch > 1 {
            session.check_puts().await?;
            session.commit().await?;
        }
        for _ in 0..batch {
            let Some(got) = session.get(&queue, &request).await? else {
                break;
            };
            let number = got.body.get(..8).and_then(|bytes| bytes.try_into().ok());
            sums.got.fetch_add(1, Ordering::Relaxed);
            let number = u64::from_le_bytes(number.unwrap_or_default());
            sums.got_mix.fetch_add(mix(number), Ordering::Relaxed);
        }
        if batch > 1 {
            session.commit().await?;
        }
        times.push(began.elapsed());
    }
    session.disconnect().await?;
    Ok(times)
}

/// splitmix64: so that a lost and a doubled number do not cancel out in the sum.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
