//! One of two processes that count an aggregation goes, with a goodbye or without: the other one takes its partitions over from
//! the copy that it has of their state, and from the log alone if it has none. Every total goes on from what it was.
//! `TRIALS=full` takes 1,000,000 keys, and prints how long it takes; `KAFKA=host:port` a Kafka that runs already.
#![allow(missing_docs)]

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use common::kafka::Transactions;
use common::{Daybook, PATIENCE, Place};
use kafka_client::Cluster;
use rdkafka::message::Message as _;
use types::names::{self, port};

const PARTITIONS: u64 = 4;

fn keys() -> u64 {
    match std::env::var("TRIALS").is_ok_and(|wanted| wanted == "full") {
        true => 1_000_000,
        false => 20_000,
    }
}

fn send(servers: &str, round: u64, accounts: impl Iterator<Item = u64>) {
    let transactions = Transactions::to(servers);
    let now = jiff::Timestamp::now();
    for account in accounts {
        let value = format!(
            r#"{{"id":"{round}-{account}","source":"s","account":"a{account}","amount":"1.25","currency":"EUR","booked_at":"{now}","received_at":"{now}"}}"#
        );
        transactions.send(&format!("a{account}"), &value);
        transactions.poll(Duration::ZERO);
    }
    transactions.flush();
}

/// Waits until the group has counted all that is there.
fn wait_until_counted(cluster: &Cluster) {
    let group = aggregate::consumer_group("daily_totals");
    let consumer = cluster.consumer("trial", &group, true).expect("a consumer");
    let began = Instant::now();
    loop {
        let ends = cluster
            .offsets(&consumer, names::TOPIC_TRANSACTIONS)
            .expect("ends");
        let committed = cluster
            .committed(&consumer, names::TOPIC_TRANSACTIONS, PARTITIONS as i32)
            .expect("offsets");
        let behind = ends.iter().zip(&committed);
        if behind
            .into_iter()
            .all(|((_, end), at)| at.unwrap_or(0) >= *end)
        {
            return;
        }
        assert!(began.elapsed() < 3 * PATIENCE, "{committed:?} of {ends:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn meter(place: &Place, part: u16, name: &str) -> u64 {
    let (_, text) = place
        .get(port::ADMIN + part, "/metrics")
        .unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.rsplit(' ').next());
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// Waits until the two have so many rows together, and each a copy of the other's if it is to have one.
fn wait_for_rows(place: &Place, keys: u64, with_copies: bool) {
    let began = Instant::now();
    loop {
        let rows = [1, 2].map(|part| meter(place, part, "daybook_aggregation_rows"));
        let copied = [1, 2].map(|part| meter(place, part, "daybook_aggregation_standby_rows"));
        let is_shared = rows.iter().all(|rows| *rows > 0) && rows.iter().sum::<u64>() == keys;
        if is_shared && (!with_copies || copied == [rows[1], rows[0]]) {
            return;
        }
        assert!(
            began.elapsed() < 3 * PATIENCE,
            "{rows:?} rows, {copied:?} copied, of {keys}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Sequences and totals that the results say last, by account; `[1, "1.25"]` and so on.
fn totals(cluster: &Cluster) -> BTreeSet<(String, String)> {
    let consumer = cluster.reader("trial").expect("a consumer");
    let mut newest = std::collections::HashMap::<Vec<u8>, (String, String)>::new();
    let read = cluster.read_all(&consumer, "daily_totals", |record| {
        let value: serde_json::Value =
            serde_json::from_slice(record.payload().expect("a value")).expect("JSON");
        let said = format!(
            "{} {}",
            value["v"][1],
            value["total"].as_str().expect("text")
        );
        let account = value["account"].as_str().expect("text").to_owned();
        newest.insert(record.key().expect("a key").to_vec(), (account, said));
    });
    read.expect("reads");
    newest.into_values().collect()
}

fn configured(place: &Place, number: u16, standby: bool, kafka: Option<&str>) -> Place {
    let part = place.part(number);
    let file = part.config.as_ref().expect("a part has one");
    let mut config = std::fs::read_to_string(file).expect("reads");
    let mut change = |from: &str, to: &str| {
        assert!(config.contains(from), "the default is another one");
        config = config.replace(from, to);
    };
    change(
        "\npartitions = 1 ",
        &format!("\npartitions = {PARTITIONS} "),
    );
    change("\nstandby = false ", &format!("\nstandby = {standby} "));
    if let Some(servers) = kafka {
        let external = format!("[log]\nbootstrap_servers = \"{servers}\"\nuse = \"external\" ");
        change("[log]\nuse = \"embedded\" ", &external);
    }
    std::fs::write(file, config).expect("writes");
    part
}

/// How long it took from the end of one process until the other one has counted a transaction of every partition.
fn take_over(
    cluster: &Cluster,
    servers: &str,
    round: u64,
    goes: Daybook,
    end: fn(Daybook),
) -> Duration {
    let began = Instant::now();
    end(goes);
    send(servers, round, 0..100);
    wait_until_counted(cluster);
    began.elapsed()
}

fn trial(standby: bool, kafka: Option<&str>) {
    let keys = keys();
    let place = Place::new();
    let log = configured(&place, 0, standby, kafka);
    let parts = [1, 2].map(|number| configured(&place, number, standby, kafka));
    let _log = kafka.is_none().then(|| log.start(&["up", "--only", "log"]));
    let embedded = format!("127.0.0.1:{}", place.port(port::KAFKA));
    let servers = kafka.unwrap_or(&embedded);
    let cluster = Cluster::new(servers);
    let start = |number: usize| parts[number].start(&["aggregate"]);
    let (stays, goes) = (start(0), start(1));

    send(servers, 0, 0..keys);
    wait_until_counted(&cluster);
    wait_for_rows(&place, keys, standby);
    let told = |what: &str, took: Duration| {
        let copy = if standby {
            "with a copy"
        } else {
            "without a copy"
        };
        eprintln!("{keys} keys, {copy}, {what}: {} ms", took.as_millis());
    };
    let stop: fn(Daybook) = |daybook| assert_eq!(daybook.stop(), Some(0));
    told("one leaves", take_over(&cluster, servers, 1, goes, stop));
    let goes = start(1);
    wait_for_rows(&place, keys, standby);
    let kill: fn(Daybook) = Daybook::kill;
    told(
        "one is killed, with its 6 s of silence",
        take_over(&cluster, servers, 2, goes, kill),
    );
    assert_eq!(stays.stop(), Some(0));

    let found = totals(&cluster);
    assert_eq!(found.len() as u64, keys);
    let expected = (0..keys).map(|account| match account < 100 {
        true => (format!("a{account}"), "3 3.75".to_owned()),
        false => (format!("a{account}"), "1 1.25".to_owned()),
    });
    let wrong: Vec<_> = expected
        .filter(|row| !found.contains(row))
        .take(5)
        .collect();
    assert_eq!(wrong, []);
}

#[test]
fn totals_go_on_where_another_process_counted_them() {
    let kafka = std::env::var("KAFKA").ok();
    trial(true, kafka.as_deref());
}

#[test]
fn totals_go_on_from_the_log_alone() {
    // On the Kafka that is given there are topics of the other trial already.
    if std::env::var("KAFKA").is_err() {
        trial(false, None);
    }
}
