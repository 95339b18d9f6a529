//! Several processes count one aggregation: they are killed, stopped for a while and added, and every transaction is in
//! the totals once. A minute in `make test`; `TRIALS=full` takes ten minutes at 20,000 records a second. `KAFKA=host:port`
//! takes a Kafka that runs already, whose topics must not exist.
#![allow(missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::kafka::Transactions;
use common::{Daybook, Dice, PATIENCE, Place};
use kafka_client::Cluster;
use rdkafka::message::Message as _;
use types::names::port;

const PARTITIONS: u64 = 12;
const ACCOUNTS: u64 = 300;
const CURRENCIES: [&str; 3] = ["EUR", "USD", "JPY"];
/// From one blow to the next.
const BLOW_EVERY: Duration = Duration::from_secs(3);

struct Trial {
    lasts: Duration,
    a_second: u64,
    stopped: Duration,
}

fn trial() -> Trial {
    match std::env::var("TRIALS").is_ok_and(|wanted| wanted == "full") {
        true => Trial {
            lasts: Duration::from_secs(600),
            a_second: 20_000,
            stopped: Duration::from_secs(40),
        },
        false => Trial {
            lasts: Duration::from_secs(45),
            a_second: 4_000,
            stopped: Duration::from_secs(9),
        },
    }
}

/// By row of a table, cents and transactions; what must come out, or what came out.
type Totals = BTreeMap<String, (i64, u64)>;

#[derive(Debug, Default)]
struct Sent {
    by_account: Totals,
    by_currency: Totals,
    records: u64,
    duplicates: u64,
}

fn add(totals: &mut Totals, row: String, cents: i64) {
    let total = totals.entry(row).or_default();
    *total = (total.0 + cents, total.1 + 1);
}

/// Produces at an even pace until it is told to stop; one record in fifty comes twice.
fn send(servers: &str, seed: u64, a_second: u64, stop: &AtomicBool) -> Sent {
    let transactions = Transactions::to(servers);
    let mut dice = Dice(seed | 1);
    let mut sent = Sent::default();
    let began = Instant::now();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let due = (began.elapsed().as_micros() as u64).saturating_mul(a_second) / 1_000_000;
        while number < due {
            let account = dice.below(ACCOUNTS);
            let currency = CURRENCIES[dice.below(3) as usize];
            let cents = dice.below(200_000) as i64 - 100_000;
            let now = jiff::Timestamp::now();
            let sign = if cents < 0 { "-" } else { "" };
            let (whole, part) = (cents.abs() / 100, cents.abs() % 100);
            let value = format!(
                r#"{{"id":"{number}","source":"s","account":"a{account}","amount":"{sign}{whole}.{part:02}","currency":"{currency}","booked_at":"{now}","received_at":"{now}"}}"#
            );
            let times = if dice.below(50) == 0 { 2 } else { 1 };
            for _ in 0..times {
                transactions.send(&format!("a{account}"), &value);
            }
            add(
                &mut sent.by_account,
                format!("a{account} {currency}"),
                cents,
            );
            add(&mut sent.by_currency, currency.to_owned(), cents);
            sent.records += times;
            sent.duplicates += times - 1;
            number += 1;
        }
        transactions.poll(Duration::from_millis(1));
    }
    transactions.flush();
    sent
}

/// The newest totals of a results topic, in read_committed order. Versions of a row must rise strictly.
fn published(cluster: &Cluster, table: &str) -> Totals {
    let consumer = cluster.reader("trial").expect("a consumer");
    let mut newest = BTreeMap::<String, (u64, String, (i64, u64))>::new();
    let read = cluster.read_all(&consumer, table, |record| {
        let key = String::from_utf8_lossy(record.key().expect("a key")).into_owned();
        let value: serde_json::Value =
            serde_json::from_slice(record.payload().expect("a value")).expect("JSON");
        assert_eq!(value["deleted"], false, "{key}: never retracted");
        assert_eq!(value["v"][0], 1, "{key}: one generation");
        let sequence = value["v"][1].as_u64().expect("a sequence");
        let total = value["total"].as_str().expect("a total").replace('.', "");
        // Yen have no digits behind the point, sums of hundredths keep theirs.
        let decimals = value["total"]
            .as_str()
            .and_then(|text| text.split_once('.'));
        let digits = decimals.map_or(0, |(_, digits)| digits.len() as u32);
        let cents = total.parse::<i64>().expect("a number") * 10_i64.pow(2 - digits);
        let transactions = value["transactions"].as_u64().expect("a count");
        let row = match value["account"].as_str() {
            Some(account) => format!("{account} {}", value["currency"].as_str().expect("text")),
            None => value["currency"].as_str().expect("text").to_owned(),
        };
        let before = newest.insert(key.clone(), (sequence, row, (cents, transactions)));
        if let Some((before, ..)) = before {
            assert!(
                before < sequence,
                "{table} {key}: {sequence} behind {before}"
            );
        }
    });
    read.expect("reads");
    // A row may be on two days, if the trial runs over midnight.
    let mut totals = Totals::new();
    for (_, row, (cents, transactions)) in newest.into_values() {
        let total = totals.entry(row).or_default();
        *total = (total.0 + cents, total.1 + transactions);
    }
    totals
}

/// Of the counts topic: counted, and duplicate.
fn counts(cluster: &Cluster, aggregation: &str) -> (u64, u64) {
    let consumer = cluster.reader("trial").expect("a consumer");
    let mut newest = BTreeMap::new();
    let read = cluster.read_all(&consumer, "__daybook_counts", |record| {
        let (key, value) = (record.key().expect("a key"), record.payload());
        let parsed = aggregate::parse_counts(key, value.expect("a value"));
        let (of, counts) = parsed.expect("counts");
        if of.aggregation == aggregation {
            newest.insert(of, counts);
        }
    });
    read.expect("reads");
    let sum = |one: fn(&types::Counts) -> u64| newest.values().map(one).sum();
    (
        sum(|counts| counts.counted + counts.late_corrected),
        sum(|counts| counts.duplicate),
    )
}

const BY_CURRENCY: &str = r#"
[[aggregation]]
name = "by_currency"
zone = "Europe/Zagreb"
sql = """
SELECT currency, sum(amount) AS total, count(*) AS transactions
FROM transactions
GROUP BY business_day, currency
"""
"#;

fn configure(part: &Place, instance: Option<u64>, kafka: Option<&str>) {
    let file = part.config.as_ref().expect("a part has one");
    let mut config = std::fs::read_to_string(file).expect("reads");
    let mut change = |from: &str, to: String| {
        assert!(config.contains(from), "the default is another one");
        config = config.replace(from, &to);
    };
    change("\npartitions = 1 ", format!("\npartitions = {PARTITIONS} "));
    if let Some(instance) = instance {
        change(
            "\ninstance = \"\"                      # give",
            format!("\ninstance = \"{instance}\" # give"),
        );
    }
    if let Some(servers) = kafka {
        let brokers = servers.split(',').count();
        change(
            "\nreplicas = 1 ",
            format!("\nreplicas = {} ", brokers.min(3)),
        );
        let in_sync = if brokers >= 3 { 2 } else { 1 };
        change(
            "\nin_sync_replicas_min = 1 ",
            format!("\nin_sync_replicas_min = {in_sync} "),
        );
        change(
            "[log]\nuse = \"embedded\" ",
            format!("[log]\nbootstrap_servers = \"{servers}\"\nuse = \"external\" "),
        );
    }
    config.push_str(BY_CURRENCY);
    std::fs::write(file, config).expect("writes");
}

fn signal(daybook: &Daybook, signal: &str) {
    let sent = Command::new("kill")
        .args([signal, &daybook.id().to_string()])
        .status();
    assert!(sent.expect("runs kill").success());
}

#[test]
fn several_processes_count_each_transaction_once_whoever_is_killed_stopped_or_added() {
    let given = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| jiff::Timestamp::now().as_nanosecond() as u64) | 1;
    eprintln!("SEED={seed}");
    let kafka = std::env::var("KAFKA").ok();
    let trial = trial();
    let place = Place::new();
    let parts: Vec<Place> = (0..=4).map(|number| place.part(number)).collect();
    configure(&parts[0], None, kafka.as_deref());
    for number in 1..=3 {
        configure(&parts[number as usize], Some(number), kafka.as_deref());
    }
    // The fourth has no name: it is a new one each time.
    configure(&parts[4], None, kafka.as_deref());
    let _log = match kafka {
        None => Some(parts[0].start(&["up", "--only", "log"])),
        Some(_) => None,
    };
    let embedded = format!("127.0.0.1:{}", place.port(port::KAFKA));
    let servers = kafka.unwrap_or(embedded);
    let start = |number: usize| parts[number].start(&["aggregate"]);
    let mut running: Vec<Option<Daybook>> = (1..=3).map(|number| Some(start(number))).collect();
    running.push(None);

    let stop = Arc::new(AtomicBool::new(false));
    let sending = {
        let (servers, stop) = (servers.clone(), Arc::clone(&stop));
        std::thread::spawn(move || send(&servers, seed, trial.a_second, &stop))
    };
    let mut dice = Dice(seed);
    let mut blows = BTreeMap::<&str, u32>::new();
    let mut paused: Option<(usize, Instant)> = None;
    let began = Instant::now();
    while began.elapsed() < trial.lasts {
        std::thread::sleep(BLOW_EVERY);
        if let Some((at, since)) = paused
            && since.elapsed() >= trial.stopped
        {
            signal(running[at].as_ref().expect("runs"), "-CONT");
            paused = None;
        }
        let at = dice.below(3) as usize;
        let is_paused = paused.is_some_and(|(paused, _)| paused == at);
        match dice.below(4) {
            0 if paused.is_none() => {
                signal(running[at].as_ref().expect("runs"), "-STOP");
                paused = Some((at, Instant::now()));
                *blows.entry("stopped").or_default() += 1;
            }
            1 => match running[3].take() {
                None => {
                    running[3] = Some(start(4));
                    *blows.entry("added").or_default() += 1;
                }
                Some(fourth) => {
                    assert_eq!(fourth.stop(), Some(0));
                    *blows.entry("left").or_default() += 1;
                }
            },
            _ if !is_paused => {
                running[at].take().expect("runs").kill();
                running[at] = Some(start(at + 1));
                *blows.entry("killed").or_default() += 1;
            }
            _ => {}
        }
    }
    if let Some((at, _)) = paused {
        signal(running[at].as_ref().expect("runs"), "-CONT");
    }
    stop.store(true, Ordering::Relaxed);
    let sent = sending.join().expect("no panic");
    eprintln!(
        "{} records, {} of them duplicates, {blows:?}",
        sent.records, sent.duplicates
    );
    let cluster = Cluster::new(&servers);
    for (table, expected) in [
        ("daily_totals", &sent.by_account),
        ("by_currency", &sent.by_currency),
    ] {
        let waiting = Instant::now();
        while published(&cluster, table) != *expected {
            let wrong = |found: Totals| {
                let rows = expected
                    .iter()
                    .filter(|(row, total)| found.get(*row) != Some(total));
                let rows =
                    rows.map(|(row, total)| format!("{row}: {:?} not {total:?}", found.get(row)));
                rows.take(5).collect::<Vec<_>>()
            };
            assert!(
                waiting.elapsed() < PATIENCE,
                "{table}: {:?}",
                wrong(published(&cluster, table))
            );
            std::thread::sleep(Duration::from_millis(500));
        }
        let unique = sent.records - sent.duplicates;
        let waiting = Instant::now();
        while counts(&cluster, table) != (unique, sent.duplicates) {
            assert!(
                waiting.elapsed() < PATIENCE,
                "{table}: {:?} instead of {unique} and {}",
                counts(&cluster, table),
                sent.duplicates
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}
