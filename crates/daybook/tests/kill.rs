//! `kill -9` at random moments under load, restart, and the sender tries again: nothing lost, nothing
//! twice, every time. `KILLS` is how often (20; `make soak` takes 200), `SEED` chooses the moments,
//! `PARTITIONS` is how many the topics have (4, the harder case: the other tests have the default, 1).
#![allow(missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Dice, Place};

const SENDERS: u64 = 4;
const ACCOUNTS: u64 = 50;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// What must come out: by account, the sum in cents and the number.
type Oracle = BTreeMap<u64, (i64, u64)>;

#[test]
fn kills_at_random_moments_lose_and_double_nothing() {
    let kills = number("KILLS", 20);
    let seed = number("SEED", 20_261_123);
    let partitions = number("PARTITIONS", 4);
    eprintln!("SEED={seed} KILLS={kills} PARTITIONS={partitions}");
    let place = Arc::new(Place::new().with_partitions(partitions));
    let stop = Arc::new(AtomicBool::new(false));
    let accepted = Arc::new(AtomicU64::new(0));
    let oracle: Arc<Mutex<Oracle>> = Arc::default();
    let mut daybook = place.up();
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (place, stop, accepted, oracle) = (
                Arc::clone(&place),
                Arc::clone(&stop),
                Arc::clone(&accepted),
                Arc::clone(&oracle),
            );
            std::thread::spawn(move || send(&place, sender, seed, &stop, &accepted, &oracle))
        })
        .collect();
    let mut dice = Dice(seed | 1);
    for kill in 1..=kills {
        // Some moments under load, some while it is still starting and recovering.
        let target = accepted.load(Ordering::Relaxed) + dice.below(400);
        while accepted.load(Ordering::Relaxed) < target {
            std::thread::yield_now();
        }
        // The moment itself is what is random here: nothing is waited for.
        std::thread::sleep(Duration::from_micros(dice.below(30_000)));
        daybook.kill();
        if dice.below(4) == 0 {
            kill_while_starting(&place, &mut dice);
        }
        daybook = place.up();
        eprintln!("kill {kill}: {} accepted", accepted.load(Ordering::Relaxed));
    }
    stop.store(true, Ordering::Relaxed);
    senders
        .into_iter()
        .for_each(|sender| sender.join().expect("a sender panicked"));

    let oracle = oracle.lock().expect("the senders have ended");
    let (cents, count) = oracle
        .values()
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    place.wait_for_query(
        "SELECT sum(total), sum(transactions) FROM daily_totals",
        &format!("{}.{:02},{count}", cents / 100, cents % 100),
    );
    let rows = place.stdout(&[
        "query",
        "--format",
        "csv",
        "SELECT account, total, transactions FROM daily_totals ORDER BY account",
    ]);
    for (line, (account, (cents, count))) in rows.lines().skip(1).zip(oracle.iter()) {
        assert_eq!(
            line,
            format!("a{account:02},{}.{:02},{count}", cents / 100, cents % 100)
        );
    }
    assert_eq!(rows.lines().count(), oracle.len() + 1);
    let proof = place.stdout(&["prove"]);
    assert!(
        proof.contains("proved: gateway, queue and log agree"),
        "{proof}"
    );
    assert!(proof.contains("proved: results topic and store"), "{proof}");
    eprintln!("{count} transactions, {kills} kills\n{proof}");
    assert_eq!(daybook.stop(), Some(0));
}

fn kill_while_starting(place: &Place, dice: &mut Dice) {
    let mut child = place
        .command()
        .arg("up")
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("starts");
    std::thread::sleep(Duration::from_micros(dice.below(300_000)));
    child.kill().expect("kills");
    child.wait().expect("ends");
}

/// Posts small batches; the same batch again, with the same ids, until it is accepted.
fn send(
    place: &Place,
    sender: u64,
    seed: u64,
    stop: &AtomicBool,
    accepted: &AtomicU64,
    oracle: &Mutex<Oracle>,
) {
    let mut dice = Dice(seed.wrapping_mul(31) + sender * 2 + 1);
    let day = std::process::Command::new("date")
        .args(["-u", "+%Y-%m-%d"])
        .output()
        .expect("runs date");
    let booked = format!("{}T12:00:00Z", common::text(&day.stdout).trim());
    let mut next = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let mut body = String::new();
        let mut batch = Vec::new();
        for _ in 0..=dice.below(20) {
            let (account, cents) = (dice.below(ACCOUNTS), dice.below(100_000) as i64);
            body += &format!(
                "{{\"id\":\"{sender}-{next}\",\"account\":\"a{account:02}\",\"amount\":\"{}.{:02}\",\"currency\":\"EUR\",\"booked_at\":\"{booked}\"}}\n",
                cents / 100,
                cents % 100
            );
            batch.push((account, cents));
            next += 1;
        }
        loop {
            match place.post("json", "", body.as_bytes()) {
                Some((202, _)) => break,
                Some((503 | 429, _)) | None => std::thread::yield_now(),
                Some((status, answer)) => panic!("{status}: {answer}"),
            }
        }
        accepted.fetch_add(batch.len() as u64, Ordering::Relaxed);
        let mut oracle = oracle.lock().expect("no sender panicked");
        for (account, cents) in batch {
            let sum = oracle.entry(account).or_default();
            sum.0 += cents;
            sum.1 += 1;
        }
    }
}
