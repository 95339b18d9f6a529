//! Real files from the gateway to the store, with their known sums; and input that must be refused.
#![allow(missing_docs)]

mod common;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use common::{Place, sample};

/// Whether hops and totals are proved, each with so many in and out.
fn is_proof_of(proof: &str, records: u64) -> bool {
    let all = format!("in {records} = out {records}");
    proof.matches(&all).count() == 2
        && proof.matches("\n  proved: ").count() == 2
        && !proof.contains("NOT proved")
}

const TOTALS: &str = "SELECT sum(total), sum(transactions) FROM daily_totals";

#[test]
fn cdnow_gives_its_sum_and_sent_again_only_duplicates() {
    let place = Place::new().with_config("cdnow.toml");
    let daybook = place.up();
    let file = sample("CDNOW_master.txt");
    let file = file.to_str().expect("text");
    place.stdout(&["send", "--quiet", "--source", "cdnow", file]);
    place.wait_for_query(TOTALS, "2500315.63,69659");
    let proof = place.stdout(&["prove"]);
    assert!(is_proof_of(&proof, 69659), "{proof}");

    // Cut differently the second time: identities are the file's, not the request's.
    place.stdout(&[
        "send", "--quiet", "--batch", "777", "--source", "cdnow", file,
    ]);
    place.wait_for_query(
        "SELECT sum(counted), sum(duplicate), sum(quarantined) FROM counts",
        "69659,69659,0",
    );
    place.wait_for_query(TOTALS, "2500315.63,69659");
    let proof = place.stdout(&["prove"]);
    assert!(is_proof_of(&proof, 139_318), "{proof}");

    // And after a restart everything is as it was.
    assert_eq!(daybook.stop(), Some(0));
    let daybook = place.up();
    place.wait_for_query(TOTALS, "2500315.63,69659");
    assert_eq!(daybook.stop(), Some(0));
}

#[test]
fn iso_20022_samples_give_their_counts_and_sums() {
    let place = Place::new().with_config("cdnow.toml");
    let _daybook = place.up();
    let files = [
        ("camt.053", "camt053.v8.xml"),
        (
            "camt.053",
            "camt.053_P_CH2909000000250094239_1110092698_0_2020112503071366.xml",
        ),
        ("camt.053", "camt053_001_02.xml"),
        (
            "camt.054",
            "200519_camt.054-Credit_P_CH2909000000250094239_1110092691_0_2019042421291293.xml",
        ),
        ("pain.001", "International_payment_USD_naujas_1.xml"),
        ("pain.001", "pain001_001_08.xml"),
    ];
    for (source, file) in files {
        let file = sample(file);
        place.stdout(&[
            "send",
            "--quiet",
            "--source",
            source,
            file.to_str().expect("text"),
        ]);
    }
    // EXPECTED.json: credits less debits of the camt files, and the amounts of the pain files.
    place.wait_for_query(
        "SELECT currency, sum(total), sum(transactions) FROM daily_totals GROUP BY currency ORDER BY currency",
        "CHF,6156.02,6\nEUR,-20.21,2\nGBP,10.00,1\nUSD,171.11,15",
    );
}

/// Refused with this status, and what the answer must name.
#[track_caller]
fn refused(place: &Place, source: &str, headers: &str, body: &[u8], status: u16, names: &[&str]) {
    let (found, answer) = place.post(source, headers, body).expect("an answer");
    assert_eq!(found, status, "{answer}");
    for name in names {
        assert!(answer.contains(name), "{name} is missing in {answer}");
    }
}

fn rss_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("reads");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .expect("has VmRSS");
    line.split_whitespace()
        .nth(1)
        .and_then(|kb| kb.parse().ok())
        .expect("a number")
}

/// One body of the largest size kept a round would be 192 MiB.
const ROUNDS: usize = 12;
/// What the allocator may keep: a few bodies of the largest size, of requests at the same time.
const GROWTH_KB_MAX: u64 = 96 << 10;

#[test]
fn bad_input_is_refused_clearly_and_memory_stays_flat() {
    let place = Place::new();
    let daybook = place.up();
    let now = common::text(
        &std::process::Command::new("date")
            .args(["-u", "+%FT%TZ"])
            .output()
            .expect("runs")
            .stdout,
    );
    let now = now.trim();
    let json = |amount: &str, booked: &str| {
        format!(r#"{{"id":"t","account":"a","amount":{amount},"currency":"EUR","booked_at":"{booked}"}}"#).into_bytes()
    };
    // Warm: what it needs for ordinary work is not growth.
    assert_eq!(
        place
            .post("json", "", &json("\"1\"", now))
            .map(|answer| answer.0),
        Some(202)
    );
    place.wait_for_query("SELECT total, transactions FROM daily_totals", "1.00,1");
    let before = rss_kb(daybook.id());
    for _ in 0..ROUNDS {
        refuse_all(&place, &json, now);
    }
    let after = rss_kb(daybook.id());
    assert!(
        after < before + GROWTH_KB_MAX,
        "memory grew from {before} kB to {after} kB"
    );
    assert_eq!(
        place
            .post("json", "", &json("\"1\"", now))
            .map(|answer| answer.0),
        Some(202)
    );
    place.wait_for_query("SELECT total, transactions FROM daily_totals", "1.00,1");
    assert_eq!(place.get(9190, "/readyz").map(|answer| answer.0), Some(200));
    // Copied into the metrics twice a second.
    let begun = Instant::now();
    loop {
        let metrics = place.get(9190, "/metrics").expect("an answer").1;
        if metrics.contains("daybook_gateway_refused_total") {
            break;
        }
        assert!(begun.elapsed() < common::PATIENCE, "{metrics}");
    }
    assert_eq!(daybook.stop(), Some(0));
}

fn refuse_all(place: &Place, json: &dyn Fn(&str, &str) -> Vec<u8>, now: &str) {
    let laughs = br#"<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;">]><Document>&lol2;</Document>"#;
    refused(
        place,
        "pain.001",
        "",
        laughs,
        422,
        &["application/problem+json", "DOCTYPE"],
    );
    refused(place, "json", "", &b"[".repeat(10_000), 422, &["depth"]);
    refused(
        place,
        "json",
        "",
        format!("{{\"x\":{}", "{\"x\":".repeat(10_000)).as_bytes(),
        422,
        &["depth"],
    );
    refused(
        place,
        "pain.001",
        "",
        format!(
            "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:pain.001.001.09\">{}",
            "<a>".repeat(10_000)
        )
        .as_bytes(),
        422,
        &["depth"],
    );
    refused(place, "json", "", b"{\"id\":\"\xff\xfe\"}", 400, &["utf-8"]);
    refused(
        place,
        "json",
        "",
        &json("1e400", now),
        422,
        &["amount", "record"],
    );
    refused(
        place,
        "json",
        "",
        &json("\"1e400\"", now),
        422,
        &["amount", "record"],
    );
    refused(
        place,
        "json",
        "",
        br#"{"id":"1","id":"2","account":"a"}"#,
        422,
        &["duplicate"],
    );
    refused(
        place,
        "cdnow",
        "",
        b"00001 19970101 1\n",
        422,
        &["record", "columns"],
    );
    refused(
        place,
        "json",
        "",
        &json("\"1\"", "2999-01-01T00:00:00Z"),
        422,
        &["future"],
    );
    refused(
        place,
        "json",
        "",
        &json("\"1\"", "1900-01-01T00:00:00Z"),
        422,
        &["1970"],
    );
    refused(place, "nosuch", "", b"{}", 404, &["cdnow", "pain.001"]);
    refused(
        place,
        "json",
        "Content-Encoding: gzip\r\n",
        b"x",
        400,
        &["content-encoding"],
    );
    refused(
        place,
        "json",
        "Content-Encoding: br\r\n",
        b"x",
        415,
        &["Content-Encoding", "gzip"],
    );
    a_gigabyte(place);
}

/// 1 GB without a length: refused when the limit is passed, whatever else would still come.
fn a_gigabyte(place: &Place) {
    let mut stream = TcpStream::connect(("127.0.0.1", place.port(8081))).expect("connects");
    stream
        .set_read_timeout(Some(common::PATIENCE))
        .expect("sets");
    let head = "POST /v1/transactions/json HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("sends");
    let chunk = [
        format!("{:x}\r\n", 1 << 20).into_bytes(),
        vec![b'['; 1 << 20],
        b"\r\n".to_vec(),
    ]
    .concat();
    let sent = (0..1024)
        .take_while(|_| stream.write_all(&chunk).is_ok())
        .count();
    assert!(sent < 1024, "the whole gigabyte was taken");
    let mut answer = [0; 12];
    // The answer may be lost when the connection is reset while we still write.
    if stream.read_exact(&mut answer).is_ok() {
        assert_eq!(&answer, b"HTTP/1.1 413");
    }
}

#[test]
fn mistakes_in_the_configuration_are_all_reported_with_their_place() {
    let place = Place::new();
    std::fs::create_dir_all(&place.dir).expect("creates");
    let config = place.dir.join("bad.toml");
    std::fs::write(&config, "[log]\npartitoins = 3\n").expect("writes");
    let output = place.run(&["check", "--config", config.to_str().expect("text")]);
    assert_eq!(output.status.code(), Some(2));
    let message = common::text(&output.stderr);
    assert!(
        message.contains("line 2") && message.contains("partitoins"),
        "{message}"
    );

    let good = place.stdout(&["check"]);
    assert!(
        good.contains("daily_totals (account, currency, total, transactions)"),
        "{good}"
    );
}

#[test]
fn a_data_directory_in_use_is_refused_by_name() {
    let place = Place::new();
    let _daybook = place.up();
    let output = place.run(&["up"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(common::text(&output.stderr).contains("in use by another daybook"));
}

/// One pipeline's metrics once had the port of another one's log: each port must be one place's only.
#[test]
fn places_share_no_port() {
    const PLACES: usize = 300;
    let of_all: BTreeSet<u16> = (0..PLACES)
        .flat_map(|_| common::ports(common::free_offset()))
        .collect();
    assert_eq!(of_all.len(), PLACES * common::ports(0).len());
}
