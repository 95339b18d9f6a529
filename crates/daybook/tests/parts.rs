//! Every part of the front as a process of its own, joined by MQ's protocol: what was accepted is counted
//! once, however often the queue manager is killed.
#![allow(missing_docs)]

mod common;

use common::{Dice, PATIENCE, Place};
use std::time::Instant;

const RECORDS: u64 = 20;

fn body(request: u64) -> String {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    let records = (0..RECORDS).map(|record| {
        format!(
            "{{\"id\":\"{request}-{record}\",\"account\":\"a{}\",\"amount\":\"1.25\",\"currency\":\"EUR\",\"booked_at\":\"{now}\"}}",
            record % 3
        )
    });
    records.collect::<Vec<_>>().join("\n")
}

#[test]
fn parts_of_their_own_count_once_what_was_accepted_though_the_queue_manager_is_killed() {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| jiff::Timestamp::now().as_nanosecond() as u64) | 1;
    eprintln!("SEED={seed}");
    let mut dice = Dice(seed);
    let rest = Place::new();
    let (queue, gateway, connect) = (rest.part(1), rest.part(2), rest.part(3));
    let _rest = rest.start(&["up", "--only", "log,aggregate,sink,web"]);
    let mut queue_process = Some(queue.start(&["queue"]));
    let _gateway = gateway.start(&["gateway"]);
    let _connect = connect.start(&["connect"]);
    let began = Instant::now();
    let (requests, mut request) = (60, 0);
    let mut kills = 0;
    while request < requests {
        assert!(
            began.elapsed() < PATIENCE,
            "{request} of {requests} after {kills} kills"
        );
        if dice.below(10) == 0 {
            // The next request finds nobody, or is cut off.
            drop(queue_process.take());
            kills += 1;
        }
        let headers = "Content-Type: application/x-ndjson\r\n";
        match gateway.post("json", headers, body(request).as_bytes()) {
            Some((202, _)) => request += 1,
            // Not put, or not known whether: the same again.
            Some((503, _)) | None => {
                if queue_process.is_none() {
                    queue_process = Some(queue.start(&["queue"]));
                }
            }
            Some((status, answer)) => panic!("{status}: {answer}"),
        }
        if queue_process.is_none() {
            queue_process = Some(queue.start(&["queue"]));
        }
    }
    assert!(kills > 0, "nobody was killed");
    let expected = requests * RECORDS;
    let cents = expected * 125;
    rest.wait_for_query(
        "SELECT sum(transactions), sum(total) FROM daily_totals",
        &format!("{expected},{}.{:02}", cents / 100, cents % 100),
    );
}
