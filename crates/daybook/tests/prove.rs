//! What `daybook prove` says: while traffic goes on, and when something is wrong.
#![allow(missing_docs)]

mod common;

use std::process::Stdio;

use common::{Place, text};
use kafka_client::Cluster;
use rdkafka::message::Message as _;
use types::names::{TOPIC_TRANSACTIONS, port};

#[test]
fn a_live_system_is_proved_and_a_record_too_many_is_named() {
    let place = Place::new();
    let daybook = place.up();
    let mut traffic = place
        .command()
        .args(["send", "--quiet", "--source", "json", "--generate", "12000"])
        .args(["--rate", "2000"])
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let count = [
        "query",
        "--format",
        "csv",
        "SELECT count(*) FROM daily_totals",
    ];
    while place.stdout(&count).lines().last() == Some("0") {}
    let proof = place.stdout(&["prove"]);
    assert!(!proof.contains("NOT proved"), "{proof}");
    assert!(traffic.wait().expect("ends").success());
    let proof = place.stdout(&["prove"]);
    assert_eq!(proof.matches("in 12000 = out 12000").count(), 2, "{proof}");
    assert_eq!(proof.matches("\n  proved: ").count(), 2, "{proof}");

    // Somebody writes into the log past the queue. For the totals it is a duplicate.
    let cluster = Cluster {
        bootstrap_servers: format!("127.0.0.1:{}", place.port(port::KAFKA)),
        properties: Default::default(),
        replicas: 1,
    };
    let consumer = cluster.reader("test").expect("connects");
    let mut first = None;
    let read = cluster.read_all(&consumer, TOPIC_TRANSACTIONS, |message| {
        if first.is_none() {
            let headers = message.headers().map(|headers| headers.detach());
            let value = message.payload().expect("a value").to_vec();
            first = Some((value, headers));
        }
    });
    read.expect("reads");
    let (value, headers) = first.expect("a record");
    let producer = cluster
        .transactional_producer("test", "intruder")
        .expect("connects");
    producer.init().expect("initialises");
    producer.begin().expect("begins");
    let sent = producer.send(TOPIC_TRANSACTIONS, b"key", Some(&value), headers);
    sent.expect("produces");
    producer.commit().expect("commits");

    let output = place.run(&["prove", "--wait", "30"]);
    assert_eq!(output.status.code(), Some(1));
    let proof = text(&output.stdout);
    let json: serde_json::Value = serde_json::from_slice(&value).expect("JSON");
    let named = format!("once too often in the log: {}\n", json["id"]);
    assert!(proof.contains(&named), "{proof}");
    assert!(proof.contains("NOT proved: 1 differences"), "{proof}");
    assert_eq!(daybook.stop(), Some(0));
}
