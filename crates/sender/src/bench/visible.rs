//! From rows on the stream to latencies: when did each transaction become visible?
//!
//! A row says how many transactions of its account are in it. The first so many sent of the account are
//! then visible. Accounts are this run's own, so nothing else is in the rows.

use hdrhistogram::Histogram;
use serde::Deserialize;
use serde_json::value::RawValue;
use types::Amount;

use super::plan::{Micros, Plan};

/// Longest latency that is told apart from longer ones: an hour.
const LATENCY_MAX: Micros = 3_600_000_000;

/// A histogram of microseconds with three significant digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX, 3)
        .expect("1 to an hour with 3 digits are valid bounds of a histogram")
}

/// Places of the columns that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Columns {
    pub(crate) account: usize,
    pub(crate) transactions: usize,
    pub(crate) total: Option<usize>,
}

#[derive(Deserialize)]
struct Rows<'t> {
    #[serde(borrow, default)]
    rows: Vec<Row<'t>>,
}

#[derive(Deserialize)]
struct Row<'t> {
    /// Empty for a row that left the results.
    #[serde(borrow, default)]
    c: Vec<&'t RawValue>,
}

/// One row of an account of this run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) account: u64,
    pub(crate) transactions: u64,
    pub(crate) total: Option<String>,
}

fn text(raw: &RawValue) -> &str {
    let text = raw.get();
    let inner = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inner.unwrap_or(text)
}

/// Reads the rows of a frame or snapshot that belong to accounts with `prefix`.
pub(crate) fn read_rows(
    json: &[u8],
    prefix: &str,
    columns: Columns,
    mut each: impl FnMut(Seen),
) -> Result<(), serde_json::Error> {
    for row in serde_json::from_slice::<Rows<'_>>(json)?.rows {
        let cell = |place: usize| row.c.get(place).map(|raw| text(raw));
        let account = cell(columns.account)
            .and_then(|name| name.strip_prefix(prefix))
            .and_then(|number| number.parse().ok());
        let transactions = cell(columns.transactions).and_then(|number| number.parse().ok());
        if let (Some(account), Some(transactions)) = (account, transactions) {
            each(Seen {
                account,
                transactions,
                total: columns.total.and_then(cell).map(str::to_owned),
            });
        }
    }
    Ok(())
}

/// What is visible of the load.
#[derive(Debug)]
pub(crate) struct Tracker {
    plan: Plan,
    visible: Vec<u64>,
    /// Transactions visible in all.
    pub(crate) seen: u64,
    /// From the intended time to the event.
    pub(crate) latencies: Histogram<u64>,
    /// Rows that count more than was ever sent to their account.
    pub(crate) excess: u64,
}

impl Tracker {
    pub(crate) fn new(plan: Plan) -> Self {
        let places = usize::try_from(plan.accounts).unwrap_or(0);
        Self {
            plan,
            visible: vec![0; places],
            seen: 0,
            latencies: histogram(),
            excess: 0,
        }
    }

    /// A row arrived `now`. Rows that say nothing new are ignored.
    pub(crate) fn row(&mut self, account: u64, transactions: u64, now: Micros) {
        let place = usize::try_from(account).ok();
        let Some(visible) = place.and_then(|place| self.visible.get_mut(place)) else {
            self.excess += 1;
            return;
        };
        while *visible < transactions {
            let Some(index) = self.plan.nth_of(account, *visible) else {
                self.excess += 1;
                return;
            };
            *visible += 1;
            self.seen += 1;
            if index >= self.plan.measured_from {
                let latency = now.saturating_sub(self.plan.due(index));
                self.latencies.saturating_record(latency);
            }
        }
    }
}

/// Compares a snapshot with what was sent, exactly; answers the differences.
pub(crate) fn verify(
    snapshot: &[u8],
    prefix: &str,
    columns: Columns,
    expected: &[(u64, Amount)],
) -> Result<Vec<String>, serde_json::Error> {
    let mut found: Vec<Option<Seen>> = vec![None; expected.len()];
    let mut differences = Vec::new();
    read_rows(snapshot, prefix, columns, |seen| {
        let place = usize::try_from(seen.account).ok();
        match place.and_then(|place| found.get_mut(place)) {
            Some(slot @ None) => *slot = Some(seen),
            Some(Some(_)) => differences.push(format!("{prefix}{} has two rows", seen.account)),
            None => differences.push(format!("{prefix}{} was never sent", seen.account)),
        }
    })?;
    for (account, ((count, sum), found)) in expected.iter().zip(&found).enumerate() {
        let name = format!("{prefix}{account}");
        let Some(found) = found else {
            if *count > 0 {
                differences.push(format!("{name} is missing, {count} transactions were sent"));
            }
            continue;
        };
        if found.transactions != *count {
            let seen = found.transactions;
            differences.push(format!("{name} has {seen} transactions, {count} were sent"));
        }
        if let Some(total) = &found.total
            && Amount::parse(total) != Ok(*sum)
        {
            differences.push(format!("{name} has the total {total}, {sum} was sent"));
        }
    }
    Ok(differences)
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::plan;
    use super::*;

    const COLUMNS: Columns = Columns {
        account: 0,
        transactions: 3,
        total: Some(2),
    };

    fn row(account: &str, total: &str, transactions: u64) -> String {
        format!(
            r#"{{"key":["2026-11-23","{account}","EUR"],"v":[1,4],"c":["{account}","EUR","{total}",{transactions}]}}"#
        )
    }

    #[test]
    fn rows_are_found_by_their_account() {
        let frame = format!(
            r#"{{"prev":null,"pos":"x","day":"2026-11-23","rows":[{},{},{}]}}"#,
            row("bench-7-1", "1.50", 3),
            row("ann", "2", 9),
            r#"{"key":["2026-11-23",null,"JPY"],"v":[1,10],"deleted":true}"#
        );
        let mut seen = Vec::new();
        read_rows(frame.as_bytes(), "bench-7-", COLUMNS, |row| seen.push(row)).expect("reads");
        let expected = Seen {
            account: 1,
            transactions: 3,
            total: Some("1.50".to_owned()),
        };
        assert_eq!(seen, [expected]);
        assert!(read_rows(b"{", "x", COLUMNS, |_| {}).is_err());
    }

    #[test]
    fn latency_is_from_the_intended_time() {
        // Ten a second to two accounts: account 0 at 0, 200 ms, …; account 1 at 100, 300 ms, …
        let mut tracker = Tracker::new(plan(10, 1, 2, 10));
        tracker.row(1, 2, 400_000);
        assert_eq!(tracker.seen, 2);
        let latencies: Vec<u64> = tracker
            .latencies
            .iter_recorded()
            .map(|step| step.value_iterated_to())
            .collect();
        assert_eq!(latencies.len(), 2);
        assert!(latencies[0].abs_diff(100_000) < 200 && latencies[1].abs_diff(300_000) < 400);
        tracker.row(1, 2, 500_000);
        tracker.row(1, 1, 500_000);
        assert_eq!(tracker.seen, 2, "the same row again says nothing");
        tracker.row(0, 5, 900_000);
        assert_eq!((tracker.seen, tracker.excess), (7, 0));
        tracker.row(0, 6, 900_000);
        tracker.row(9, 1, 900_000);
        assert_eq!((tracker.seen, tracker.excess), (7, 2));
    }

    #[test]
    fn the_warm_up_is_seen_and_not_measured() {
        let mut plan = plan(10, 1, 1, 10);
        plan.measured_from = 4;
        let mut tracker = Tracker::new(plan);
        tracker.row(0, 6, 900_000);
        assert_eq!((tracker.seen, tracker.latencies.len()), (6, 2));
    }

    #[test]
    fn any_difference_is_named() {
        let amount = |text| Amount::parse(text).expect("an amount");
        let expected = [
            (2, amount("1.50")),
            (1, amount("-3")),
            (0, Amount::ZERO),
            (1, amount("4")),
        ];
        let snapshot = |rows: &[String]| format!(r#"{{"rows":[{}]}}"#, rows.join(","));
        let check = |rows: &[String]| {
            verify(snapshot(rows).as_bytes(), "b-", COLUMNS, &expected).expect("reads")
        };
        let good = [
            row("b-0", "1.50", 2),
            row("b-1", "-3.00", 1),
            row("b-3", "4.00", 1),
        ];
        assert_eq!(check(&good), [""; 0]);
        assert_eq!(
            check(&[
                row("b-0", "1.51", 3),
                row("b-1", "-3", 1),
                row("b-2", "1", 1),
                row("b-4", "1", 1)
            ]),
            [
                "b-4 was never sent",
                "b-0 has 3 transactions, 2 were sent",
                "b-0 has the total 1.51, 1.50 was sent",
                "b-2 has 1 transactions, 0 were sent",
                "b-2 has the total 1, 0.00 was sent",
                "b-3 is missing, 1 transactions were sent",
            ]
        );
    }
}
