//! Compares the queue's ledger with what is in the log (`docs/specs/ledger.md`).

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use sender::Target;
use serde::Deserialize;
use types::{Tally, names};

use super::transaction::{Fields, Origin, Record};

/// Where the ledger is served.
pub(super) const PATH: &str = "/ledger";

/// The queue manager's ledger at one moment.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Ledger {
    folded_until: Option<i64>,
    lines: Vec<Line>,
}

#[derive(Debug, Clone, Deserialize)]
struct Line {
    queue: String,
    source: String,
    minute: Option<i64>,
    declared: Count,
    put: Count,
    got: Count,
}

#[derive(Debug, Clone, Deserialize)]
struct Count {
    count: u64,
    ids: String,
    #[serde(default)]
    units: Option<String>,
}

impl Count {
    fn tally(&self) -> anyhow::Result<Tally> {
        let units = self.units.as_ref().map(|text| text.parse()).transpose();
        Ok(Tally {
            count: self.count,
            units: units.context("units are no number")?.unwrap_or(0),
            ids: u64::from_str_radix(&self.ids, 16).context("ids are no hexadecimal number")?,
        })
    }
}

/// The three figures of one source and minute at the queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Queued {
    pub(super) declared: Tally,
    pub(super) put: Tally,
    pub(super) got: Tally,
}

impl Queued {
    fn merge(&mut self, other: &Self) {
        self.declared.merge(&other.declared);
        self.put.merge(&other.put);
        self.got.merge(&other.got);
    }
}

/// One source at all points of the path up to the log.
#[derive(Debug, Default)]
pub(super) struct Passed {
    pub(super) queued: Queued,
    pub(super) log: Tally,
}

/// What the comparison found.
#[derive(Debug, Default)]
pub(super) struct Hops {
    pub(super) sources: BTreeMap<String, Passed>,
    /// Refused by the gateway, by source: messages in or once in the quarantine.
    pub(super) quarantined: BTreeMap<String, u64>,
    /// Sources' minutes that were compared exactly.
    pub(super) settled: usize,
    /// Those on their way while this looked.
    pub(super) moving: usize,
    pub(super) differences: Vec<String>,
    /// Transactions put, by origin: they must be in the log at the next look.
    due: BTreeMap<Origin, u64>,
    in_log: BTreeMap<Origin, u64>,
}

impl Hops {
    /// What was on its way has not come.
    pub(super) fn be_late(&mut self, what: &str) {
        let sources = self.sources.values();
        let (put, arrived) = sources.fold((0, 0), |(put, arrived), passed| {
            (put + passed.queued.put.count, arrived + passed.log.count)
        });
        if self.moving > 0 && arrived < put {
            let late = format!("{what}: {} messages are not in the log", put - arrived);
            self.differences.push(late);
        }
    }

    /// Whether everything that this look saw put is in the log now.
    pub(super) fn has_arrived(&self, now: &Self) -> bool {
        let in_log = |origin| now.in_log.get(origin).copied().unwrap_or(0);
        self.due.iter().all(|(origin, put)| {
            // Folded meanwhile: then the totals say it.
            in_log(origin) >= *put || !now.due.contains_key(origin)
        })
    }
}

/// Asks the process with the queue manager.
pub(super) async fn fetch(admin: &Target) -> anyhow::Result<Ledger> {
    let body = sender::get(admin, PATH).await.with_context(|| {
        format!("cannot read the queue's ledger at {admin}{PATH}; is `daybook up` running?")
    })?;
    serde_json::from_slice(&body).context("the queue's ledger is not readable")
}

/// Lines of one queue by origin, minutes up to `folded` in one (the first there is).
fn by_origin(
    ledger: &Ledger,
    queue: &str,
    folded: Option<i64>,
) -> anyhow::Result<BTreeMap<Origin, Queued>> {
    let mut found: BTreeMap<Origin, Queued> = BTreeMap::new();
    for line in ledger.lines.iter().filter(|line| line.queue == queue) {
        let origin = (line.source.clone(), fold(line.minute, folded));
        found.entry(origin).or_default().merge(&Queued {
            declared: line.declared.tally()?,
            put: line.put.tally()?,
            got: line.got.tally()?,
        });
    }
    Ok(found)
}

fn fold(minute: Option<i64>, folded: Option<i64>) -> i64 {
    let minute = minute.unwrap_or(i64::MIN);
    match folded.is_some_and(|until| minute <= until) {
        true => i64::MIN,
        false => minute,
    }
}

/// Compares what the ledger said before and after the log was read with what was in it.
///
/// A source's minute that did not change meanwhile and of which nothing waits must agree exactly; of
/// the others not more may be in the log than was put, and not less than was got.
pub(super) fn compare(
    before: &Ledger,
    after: &Ledger,
    log: &BTreeMap<Origin, Tally>,
    records: &[Record],
) -> anyhow::Result<Hops> {
    let folded = after.folded_until;
    let earlier = by_origin(before, names::QUEUE_TRANSACTIONS, folded)?;
    let later = by_origin(after, names::QUEUE_TRANSACTIONS, folded)?;
    let mut arrived: BTreeMap<Origin, Tally> = BTreeMap::new();
    for ((source, minute), tally) in log {
        let origin = (source.clone(), fold(Some(*minute), folded));
        arrived.entry(origin).or_default().merge(tally);
    }
    let mut hops = Hops::default();
    for ((source, _), line) in by_origin(after, names::QUEUE_QUARANTINE, folded)? {
        *hops.quarantined.entry(source).or_default() += line.put.count;
    }
    let origins: BTreeSet<&Origin> = later.keys().chain(arrived.keys()).collect();
    for origin in origins {
        let before = earlier.get(origin).copied().unwrap_or_default();
        let now = later.get(origin).copied().unwrap_or_default();
        let log = arrived.get(origin).copied().unwrap_or_default();
        let passed = hops.sources.entry(origin.0.clone()).or_default();
        passed.queued.merge(&now);
        hops.due.insert(origin.clone(), now.put.count);
        hops.in_log.insert(origin.clone(), log.count);
        passed.log.merge(&log);

        let mut wrong = Vec::new();
        // What somebody else's program puts is declared by nobody.
        let is_declared = !origin.0.is_empty();
        if is_declared && !agree(&now.declared, &now.put) {
            wrong.push(differing("gateway", &now.declared, "queue in", &now.put));
        }
        if before == now && now.put.count == now.got.count {
            hops.settled += 1;
            if !agree(&now.put, &now.got) {
                wrong.push(differing("queue in", &now.put, "queue out", &now.got));
            }
            if !agree(&now.got, &log) {
                let mut text = differing("queue out", &now.got, "log", &log);
                if let Some(id) = one_too_many(&now.got, &log, origin, folded, records) {
                    text.push_str(&format!("; once too often in the log: {id:?}"));
                }
                wrong.push(text);
            } else if is_declared && now.declared.units != log.units {
                let (sent, found) = (sum(now.declared.units), sum(log.units));
                wrong.push(format!("sum of amounts: gateway {sent}, log {found}"));
            }
        } else {
            hops.moving += 1;
            if log.count < before.got.count || log.count > now.put.count {
                wrong.push(format!(
                    "{} in the log, though {} were got off the queue before and {} put until now",
                    log.count, before.got.count, now.put.count
                ));
            }
        }
        let place = place(origin);
        hops.differences
            .extend(wrong.iter().map(|text| format!("{place}: {text}")));
    }
    Ok(hops)
}

fn agree(left: &Tally, right: &Tally) -> bool {
    (left.count, left.ids) == (right.count, right.ids)
}

fn differing(left_name: &str, left: &Tally, right_name: &str, right: &Tally) -> String {
    match left.count == right.count {
        true => format!(
            "{left_name} and {right_name} have {} each, but not the same ones",
            left.count
        ),
        false => format!("{left_name} {}, {right_name} {}", left.count, right.count),
    }
}

/// The sum of the units of all currencies, as a decimal.
pub(super) fn sum(units: i128) -> String {
    types::Amount::from_units(units).map_or_else(|| format!("{units}e-5"), |sum| sum.to_string())
}

fn place((source, minute): &Origin) -> String {
    let source = match source.is_empty() {
        true => "messages of other programs",
        false => source,
    };
    let seconds = minute.checked_mul(60);
    let at = seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    match at {
        Some(at) => format!("{source}, received in the minute {at}"),
        None => format!("{source}, received earlier"),
    }
}

/// The id of the one record that the log has too many, if that is what is wrong.
fn one_too_many(
    got: &Tally,
    log: &Tally,
    origin: &Origin,
    folded: Option<i64>,
    records: &[Record],
) -> Option<String> {
    let extra = log.minus(got);
    if extra.count != 1 {
        return None;
    }
    let of_origin = |fields: &Fields| {
        let minute = fields.micros("received_at").map(types::minute_of);
        fields.text("source") == Some(&*origin.0) && fold(minute, folded) == origin.1
    };
    records.iter().find_map(|record| {
        let fields = Fields::read(&record.value).filter(of_origin)?;
        let id = fields.text("id")?;
        (types::id_hash(id.as_bytes()) == extra.ids).then(|| id.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use types::Amount;

    use super::*;

    const MINUTE: i64 = 29_870_000;

    fn tally(ids: &[&str]) -> Tally {
        let mut tally = Tally::default();
        for id in ids {
            tally.add(id.as_bytes(), Amount::from_units(150_000));
        }
        tally
    }

    fn count(tally: &Tally) -> Count {
        Count {
            count: tally.count,
            ids: format!("{:016x}", tally.ids),
            units: Some(tally.units.to_string()),
        }
    }

    fn ledger(declared: &[&str], put: &[&str], got: &[&str]) -> Ledger {
        Ledger {
            folded_until: None,
            lines: vec![Line {
                queue: names::QUEUE_TRANSACTIONS.to_owned(),
                source: "json".to_owned(),
                minute: Some(MINUTE),
                declared: count(&tally(declared)),
                put: count(&tally(put)),
                got: count(&tally(got)),
            }],
        }
    }

    fn log(ids: &[&str]) -> BTreeMap<Origin, Tally> {
        BTreeMap::from([(("json".to_owned(), MINUTE), tally(ids))])
    }

    fn record(id: &str) -> Record {
        let at = jiff::Timestamp::from_second(MINUTE * 60).expect("in range");
        let json = format!(r#"{{"id":"{id}","source":"json","received_at":"{at}"}}"#);
        Record {
            partition: 0,
            appended_at: 0,
            value: json.into_bytes().into(),
        }
    }

    #[track_caller]
    fn check(before: &Ledger, after: &Ledger, in_log: &[&str], expected: &str) {
        let records: Vec<Record> = in_log.iter().map(|id| record(id)).collect();
        let hops = compare(before, after, &log(in_log), &records).expect("readable");
        let mut text = format!("settled {} moving {}", hops.settled, hops.moving);
        for difference in hops.differences {
            let (_, what) = difference.split_once("Z: ").expect("a place");
            text.push_str(&format!("\n{what}"));
        }
        assert_eq!(text, expected);
    }

    #[test]
    fn what_is_lost_doubled_or_changed_is_named() {
        let all = ["a", "b", "c"];
        let good = ledger(&all, &all, &all);
        check(&good, &good, &all, "settled 1 moving 0");
        check(
            &good,
            &good,
            &["a", "c"],
            "settled 1 moving 0\nqueue out 3, log 2",
        );
        check(
            &good,
            &good,
            &["a", "b", "c", "b"],
            "settled 1 moving 0\nqueue out 3, log 4; once too often in the log: \"b\"",
        );
        check(
            &good,
            &good,
            &["a", "b", "d"],
            "settled 1 moving 0\nqueue out and log have 3 each, but not the same ones",
        );
        let lost = ledger(&all, &["a", "b"], &["a", "b"]);
        check(
            &lost,
            &lost,
            &["a", "b"],
            "settled 1 moving 0\ngateway 3, queue in 2\nsum of amounts: gateway 4.50, log 3.00",
        );
        let mut changed = log(&all);
        changed.values_mut().for_each(|tally| tally.units += 1);
        let hops = compare(&good, &good, &changed, &[]).expect("readable");
        assert_eq!(
            hops.differences,
            [
                "json, received in the minute 2026-10-17T01:20:00Z: sum of amounts: gateway 4.50, log 4.50001"
            ]
        );
    }

    #[test]
    fn what_is_on_its_way_is_no_difference() {
        let (two, three) = (["a", "b"], ["a", "b", "c"]);
        let before = ledger(&two, &two, &two);
        let after = ledger(&three, &three, &two);
        for in_log in [&two[..], &three[..]] {
            check(&before, &after, in_log, "settled 0 moving 1");
            check(&after, &after, in_log, "settled 0 moving 1");
        }
        check(
            &before,
            &after,
            &["a"],
            "settled 0 moving 1\n1 in the log, though 2 were got off the queue before and 3 put until now",
        );
        check(
            &before,
            &after,
            &["a", "b", "c", "c"],
            "settled 0 moving 1\n4 in the log, though 2 were got off the queue before and 3 put until now",
        );
    }

    #[test]
    fn what_was_put_must_have_arrived_at_the_next_look() {
        let (two, three) = (["a", "b"], ["a", "b", "c"]);
        let look = |put: &[&str], in_log: &[&str]| {
            let now = ledger(put, put, in_log);
            compare(&now, &now, &log(in_log), &[]).expect("readable")
        };
        let first = look(&three, &two);
        assert!(!first.has_arrived(&first));
        assert!(!first.has_arrived(&look(&["a", "b", "c", "d"], &two)));
        assert!(first.has_arrived(&look(&["a", "b", "c", "d"], &three)));
    }

    #[test]
    fn folded_minutes_are_compared_as_one() {
        let all = ["a", "b"];
        let mut folded = ledger(&all, &all, &all);
        folded.folded_until = Some(MINUTE + 5);
        folded.lines[0].minute = None;
        let mut in_log = log(&["a"]);
        in_log.insert(("json".to_owned(), MINUTE + 5), tally(&["b"]));
        let hops = compare(&folded, &folded, &in_log, &[]).expect("readable");
        assert_eq!((hops.settled, hops.differences), (1, Vec::new()));
    }
}
