//! Requests per CPU-second of the gateway, with an outbox that forgets:
//! `cargo run --release -p gateway --example throughput`; with the argument `off` without probes.
//!
//! The gateway runs on one thread, whose CPU time is read from `/proc`; the clients run on another and
//! are not counted.

#![allow(clippy::print_stdout, reason = "a program for people")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use gateway::{Batch, Gateway, GatewayOptions, Kept, Outbox, PutError, SystemClock};
use mapping::Mapping;
use tokio_util::sync::CancellationToken;

struct Forgetful;

impl Outbox for Forgetful {
    async fn put_all(&self, _queue: &'static str, _batch: Batch) -> Result<Kept, PutError> {
        Ok(Kept::Queue)
    }
}

fn main() {
    let (address_sender, address) = std::sync::mpsc::channel();
    let (stat_sender, stat) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        // "/proc/self/task/<id>", readable from the other threads.
        let thread = std::fs::read_link("/proc/thread-self").expect("Linux");
        stat_sender
            .send(format!("/proc/{}/schedstat", thread.display()))
            .expect("received");
        runtime.block_on(async {
            let mut options = GatewayOptions::default();
            options.address.set_port(0);
            options.probe.on_refusal = std::env::args().all(|argument| argument != "off");
            let path = format!(
                "{}/../../config/sources/json.toml",
                env!("CARGO_MANIFEST_DIR")
            );
            let text = std::fs::read_to_string(&path).expect("the source is there");
            let mapping = Mapping::compile(&path, &text).expect("a ready-made source");
            let gateway = Gateway::bind(options, vec![mapping], Forgetful, Arc::new(SystemClock))
                .await
                .expect("a port");
            address_sender.send(gateway.local_addr()).expect("received");
            gateway.run(CancellationToken::new()).await;
        });
    });
    let (stat, address) = (stat.recv().expect("sent"), address.recv().expect("sent"));
    let record = "{\"id\":\"txn-1\",\"account\":\"HR1210010051863000160\",\"amount\":\"-12.50\",\"currency\":\"EUR\",\
                  \"booked_at\":\"2026-11-23T10:15:00.123+01:00\",\"merchant\":\"Konzum\",\"type\":\"purchase\",\
                  \"note\":\"some more text, so that the record has about three hundred bytes in all\"}\n";
    run("single posts", address, &stat, record, 1, 8, 10_000);
    run(
        "bulk of 100",
        address,
        &stat,
        &record.repeat(100),
        100,
        4,
        500,
    );
    // Larger bodies are translated on a thread of their own, which is not measured here.
    run(
        "bulk of 400",
        address,
        &stat,
        &record.repeat(400),
        400,
        2,
        250,
    );
}

fn run(
    title: &str,
    address: SocketAddr,
    stat: &str,
    body: &str,
    records: usize,
    connections: usize,
    requests: usize,
) {
    let request = format!(
        "POST /v1/transactions/json HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut streams: Vec<TcpStream> = (0..connections)
        .map(|_| TcpStream::connect(address).expect("listening"))
        .collect();
    let cpu = cpu_nanos(stat);
    let begun = Instant::now();
    for _ in 0..requests {
        for stream in &mut streams {
            stream.write_all(request.as_bytes()).expect("writable");
        }
        for stream in &mut streams {
            let mut answer = [0; 8_192];
            let count = stream.read(&mut answer).expect("readable");
            assert!(answer[..count].starts_with(b"HTTP/1.1 202"));
        }
    }
    let total = (requests * connections) as f64;
    let spent = (cpu_nanos(stat) - cpu) as f64 / 1e9;
    println!(
        "{title:16} {:>9.0} requests/CPU-s {:>11.0} records/CPU-s {:>9.0} requests/s by the clock",
        total / spent,
        total * records as f64 / spent,
        total / begun.elapsed().as_secs_f64()
    );
}

/// CPU time of the gateway's thread in nanoseconds.
fn cpu_nanos(stat: &str) -> u64 {
    let text = std::fs::read_to_string(stat).expect("Linux");
    let first = text.split_ascii_whitespace().next().expect("a number");
    first.parse().expect("a number")
}
