//! The web server over made-up rows, for work on the page: no gateway, queue, log or aggregator.
//!
//! ```sh
//! cargo run --release -p web --example dev -- [keys] [changes/s] [port] [state file]
//! ```
//!
//! With a state file, rows survive a restart, as they would with the real store.

#[path = "../tests/support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kafka_client::Cluster;
use support::{World, daily_totals};
use telemetry::{Telemetry, now_micros};
use tokio_util::sync::CancellationToken;
use web::{Web, WebOptions};

const NAMES: [&str; 12] = [
    "adriatic-foods",
    "blue-harbour",
    "cedar-clinic",
    "delta-freight",
    "elm-street-books",
    "fjord-energy",
    "granite-tools",
    "harvest-coop",
    "island-ferries",
    "juniper-hotel",
    "kestrel-air",
    "linden-pharma",
];

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: u64| {
        arguments
            .get(index)
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    let (keys, rate, port) = (number(0, 400), number(1, 40), number(2, 8080));
    let world = World::new(4);
    let telemetry = Arc::new(Telemetry::default());
    let listen = SocketAddr::from(([127, 0, 0, 1], port as u16));
    let mut options = WebOptions::new(
        listen,
        store::StoreTarget::sqlite("/nonexistent"),
        Cluster::new("none"),
    );
    options.demo = rate > 0;
    options.aggregations = vec![daily_totals()];
    let hops = ["gateway", "queue", "connector", "aggregator", "sink"];
    let hops: Vec<_> = hops.iter().map(|name| telemetry.hop(name)).collect();
    let web = Web::bind_with(options, Arc::clone(&telemetry), vec![world.feed()]).await?;
    // The gateway's stand-in: `POST /book?account=…` has no place in the web server itself.
    let file = arguments.get(3).cloned();
    let made = std::thread::spawn(move || {
        let calendar = daily_totals().calendar;
        let mut seed = 42_u64;
        let mut random = move |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % below
        };
        let book = |account: &str, currency: &str, cents: i64| {
            let now = now_micros();
            let day = calendar.day_of(now).expect("in range");
            world.book(day, account, currency, cents, now - 4_000);
            for (index, hop) in hops.iter().enumerate() {
                hop.add_in(1);
                hop.add_out(1);
                hop.observe(now - 1_000 * (index as i64 + 1), now, 1);
            }
        };
        let mut read = 0;
        let one = |key: u64, amount: i64| {
            let currency = ["EUR", "USD", "GBP", "JPY", "CHF"][(key * 7 % 11 % 5) as usize];
            let name = NAMES[(key % 12) as usize];
            book(&format!("{name}-{:04}", key / 12), currency, amount);
        };
        for key in 0..if file.is_some() { 0 } else { keys } {
            one(key, random(5_000_000) as i64 - 400_000);
        }
        loop {
            // Lines of `account currency cents`, appended by a test.
            if let Some(file) = &file {
                let text = std::fs::read_to_string(file).unwrap_or_default();
                for line in text.lines().skip(read) {
                    let parts: Vec<&str> = line.split(' ').collect();
                    book(parts[0], parts[1], parts[2].parse().expect("cents"));
                    read += 1;
                }
            }
            for _ in 0..rate.div_ceil(20) {
                if rate > 0 && keys > 0 && file.is_none() {
                    one(random(keys), random(200_000) as i64 - 50_000);
                }
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        stop.cancel();
    });
    eprintln!("http://{}", web.local_addr());
    web.run(shutdown).await?;
    drop(made);
    Ok(())
}
