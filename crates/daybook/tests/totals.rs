//! What the totals were, how they came about, and what becomes of them when their definition changes.
#![allow(missing_docs)]

mod common;

use std::time::{Duration, Instant};

use common::{PATIENCE, Place};
use kafka_client::Cluster;
use types::names::port;

fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

fn body(id: &str, account: &str, amount: &str) -> String {
    format!(
        r#"{{"id":"{id}","account":"{account}","amount":"{amount}","currency":"EUR","booked_at":"{}"}}"#,
        now()
    )
}

fn post(place: &Place, id: &str, account: &str, amount: &str) {
    send(place, &body(id, account, amount));
}

fn send(place: &Place, body: &str) {
    let headers = "Content-Type: application/json\r\n";
    let answer = place.post("json", headers, body.as_bytes());
    assert_eq!(answer.map(|(status, _)| status), Some(202));
}

const SQL: &str = "SELECT account, currency, sum(amount) AS total, count(*) AS transactions\n\
                   FROM transactions\nGROUP BY business_day, account, currency\n";

/// The default configuration, but for the SQL.
fn redefine(place: &Place, sql: &str) {
    let file = place.config.as_ref().expect("a part has one");
    let config = std::fs::read_to_string(file).expect("reads");
    let begin = config.find("SELECT").expect("there is an aggregation");
    let end = begin + config[begin..].find("\"\"\"").expect("its end");
    let config = format!("{}{sql}{}", &config[..begin], &config[end..]);
    std::fs::write(file, config).expect("writes");
}

#[test]
fn a_changed_definition_counts_what_is_there_already() {
    let place = Place::new().part(0);
    redefine(&place, SQL);
    let running = place.up();
    post(&place, "1", "ann", "12.50");
    post(&place, "2", "ann", "7.50");
    post(&place, "3", "bob", "1.00");
    place.wait_for_query(
        "SELECT account, total, transactions FROM daily_totals ORDER BY account",
        "ann,20.00,2\nbob,1.00,1",
    );
    let same = place.stdout(&["preview"]);
    assert!(same.contains("is the definition in force"), "{same}");
    redefine(
        &place,
        "SELECT account, currency, sum(amount) AS total, count(*) AS transactions FROM transactions\n\
         WHERE amount > 8 GROUP BY business_day, account, currency\n",
    );
    let preview = place.run(&["preview", "daily_totals"]);
    assert_eq!(preview.status.code(), Some(1), "there are differences");
    let preview = common::text(&preview.stdout);
    for expected in [
        "0 rows stay as they are, 1 have other values, 0 are new, 1 are gone",
        "sum of total EUR: 21 -> 12.5",
        "sum of transactions EUR: 3 -> 1",
        "20.00 -> 12.50",
    ] {
        assert!(preview.contains(expected), "{expected}\n{preview}");
    }
    assert_eq!(running.stop(), Some(0));

    // Another column, another key, and a condition: bob has no row any more.
    let means = "SELECT account, avg(amount) AS mean, count(*) AS transactions FROM transactions\n\
                 WHERE amount > 5 GROUP BY business_day, account\n";
    redefine(&place, means);
    let running = place.up();
    let sql = "SELECT account, mean, transactions FROM daily_totals ORDER BY account";
    place.wait_for_query(sql, "ann,10.00,2");
    post(&place, "4", "eve", "30.00");
    place.wait_for_query(sql, "ann,10.00,2\neve,30.00,1");
    // Page and proof have the new rows alone.
    let waiting = Instant::now();
    loop {
        let answer = place.get(8080, "/api/v1/daily_totals/snapshot");
        let (status, snapshot) = answer.expect("an answer");
        assert_eq!(status, 200);
        assert!(!snapshot.contains("bob"), "{snapshot}");
        if snapshot.contains(r#"["ann","10.00",2]"#) && snapshot.contains(r#"["eve","30.00",1]"#) {
            break;
        }
        assert!(waiting.elapsed() < PATIENCE, "{snapshot}");
        std::thread::sleep(Duration::from_millis(20));
    }
    place.stdout(&["prove"]);
    assert_eq!(running.stop(), Some(0));

    // And back: the generation rises, the rows are those of the beginning.
    redefine(&place, SQL);
    let _running = place.up();
    place.wait_for_query(
        "SELECT account, total, transactions FROM daily_totals ORDER BY account",
        "ann,20.00,2\nbob,1.00,1\neve,30.00,1",
    );
    place.stdout(&["prove"]);
}

/// Over several partitions rows without the account are folded in a second stage, and its topics are others: whichever way a
/// definition changes, nothing of the one before is left.
#[test]
fn rows_of_the_other_number_of_stages_are_taken_away() {
    const BY_CURRENCY: &str = "SELECT currency, sum(amount) AS total, count(*) AS transactions\n\
                               FROM transactions\nGROUP BY business_day, currency\n";
    let place = Place::new().with_partitions(3);
    redefine(&place, SQL);
    let rows = "SELECT currency, total, transactions FROM daily_totals ORDER BY total";
    let by_account = "EUR,1.00,1\nEUR,4.00,1\nEUR,20.00,2";
    let running = place.up();
    for (id, account, amount) in [
        ("1", "ann", "12.50"),
        ("2", "ann", "7.50"),
        ("3", "bob", "1.00"),
        ("4", "eve", "4.00"),
    ] {
        post(&place, id, account, amount);
    }
    place.wait_for_query(rows, by_account);
    assert_eq!(running.stop(), Some(0));
    for _ in 0..2 {
        redefine(&place, BY_CURRENCY);
        let running = place.up();
        place.wait_for_query(rows, "EUR,25.00,4");
        place.stdout(&["prove"]);
        assert_eq!(running.stop(), Some(0));
        redefine(&place, SQL);
        let running = place.up();
        place.wait_for_query(rows, by_account);
        place.stdout(&["prove"]);
        assert_eq!(running.stop(), Some(0));
    }
}

#[test]
fn the_way_of_a_transaction_and_the_totals_of_a_moment_are_shown() {
    let place = Place::new().part(0);
    let _running = place.up();
    post(&place, "first", "ann", "12.50");
    place.wait_for_query("SELECT total FROM daily_totals", "12.50");
    // The log's clock has milliseconds, and the moment must be behind the first one's.
    std::thread::sleep(std::time::Duration::from_millis(5));
    let between = now().to_string();
    let second = body("second", "ann", "7.50");
    send(&place, &second);
    send(&place, &second);
    place.wait_for_query("SELECT counted, duplicate FROM counts", "2,1");
    let totals = |arguments: &[&str]| {
        let all = [&["totals", "--format", "csv"], arguments].concat();
        place.stdout(&all)
    };
    let head = "account,currency,total,transactions";
    assert_eq!(totals(&[]), format!("{head}\nann,EUR,20.00,2\n"));
    assert_eq!(
        totals(&["daily_totals", "--at", &between]),
        format!("{head}\nann,EUR,12.50,1\n")
    );
    assert_eq!(totals(&["--day", "2020-01-01"]), format!("{head}\n"));

    let traced = place.stdout(&["trace", "second"]);
    for expected in [
        "transaction second of json: 7.50 EUR on account ann",
        "daily_totals: counted",
        "total: 12.50 -> 20.00",
        "transactions: 1 -> 2",
        "published  daily_totals, partition 0",
        "store      version [1,2] now",
        "daily_totals: duplicate: it was counted before",
    ] {
        assert!(traced.contains(expected), "{expected}\n{traced}");
    }
    let lines = place.stdout(&["trace", "second", "--json", "--source", "json"]);
    for line in lines.lines() {
        let one: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(one["transaction"]["id"], "second");
    }
    assert_eq!(lines.lines().count(), 2);
    let output = place.run(&["trace", "third"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(common::text(&output.stderr).contains("no transaction \"third\""));
}

/// Numbers in place of text, other names, an optional field: a topic that Daybook's own gateway did not fill.
const CARDS: &str = r#"batch_records_max = 50000
[[aggregation]]
name = "cards"
sql = """
SELECT card, sum(fee) AS fees, sum(items) AS items, count(branch) AS with_branch, count(*) AS payments
FROM transactions GROUP BY business_day, card
"""
[aggregation.input]
topic = "payments"
id = "nr"
event_time = "paid"
key = "card"
[aggregation.input.columns]
nr = "text"
paid = "epoch_millis"
card = "text"
fee = "decimal"
items = "integer"
branch = "text?"
"#;

#[test]
fn a_topic_that_others_fill_is_counted_as_declared() {
    let place = Place::new().with_change("batch_records_max = 50000\n", CARDS);
    let running = place.up();
    let cluster = Cluster {
        bootstrap_servers: format!("127.0.0.1:{}", place.port(port::KAFKA)),
        properties: Default::default(),
        replicas: 1,
    };
    let producer = cluster
        .transactional_producer("test", "payments")
        .expect("connects");
    producer.init().expect("initialises");
    producer.begin().expect("begins");
    let paid = now().as_millisecond();
    for (key, rest) in [
        (
            "c1",
            r#""nr":"1","fee":123456789012345678.00001,"items":2,"branch":"north""#,
        ),
        ("c1", r#""nr":"2","fee":"0.10","items":-1"#),
        ("c2", r#""nr":"3","fee":-5,"items":1,"branch":null"#),
        // Again; with another content; and three that do not fit.
        ("c1", r#""nr":"2","fee":"0.10","items":-1"#),
        ("c1", r#""nr":"2","fee":"0.20","items":-1"#),
        ("c1", r#""nr":"4","fee":1e3,"items":1"#),
        ("c1", r#""nr":"5","items":1"#),
        ("c1", r#""nr":6,"fee":1,"items":1"#),
    ] {
        let value = format!(r#"{{"card":"{key}","paid":{paid},{rest}}}"#);
        let sent = producer.send("payments", key.as_bytes(), Some(value.as_bytes()), None);
        sent.expect("produces");
    }
    producer.commit().expect("commits");
    place.wait_for_query(
        "SELECT card, fees, items, with_branch, payments FROM cards ORDER BY card",
        "c1,123456789012345678.10001,1,1,2\nc2,-5.00,1,0,1",
    );
    place.wait_for_query(
        "SELECT counted, duplicate, quarantined FROM counts WHERE aggregation = 'cards'",
        "3,1,4",
    );
    post(&place, "1", "ann", "12.50");
    place.wait_for_query("SELECT total FROM daily_totals", "12.50");
    place.stdout(&["prove"]);
    let traced = place.stdout(&["trace", "1"]);
    for expected in [
        r#""fee":"123456789012345678.00001""#,
        "payments, partition 0, offset 0",
        "fees: nothing -> 123456789012345678.00001",
        // The same id means another transaction in the other topic.
        "transaction 1 of json: 12.50 EUR on account ann",
    ] {
        assert!(traced.contains(expected), "{expected}\n{traced}");
    }
    let totals = place.stdout(&["totals", "cards", "--format", "csv"]);
    assert!(totals.contains("c2,-5.00,1,0,1"), "{totals}");
    assert_eq!(running.stop(), Some(0));
}
