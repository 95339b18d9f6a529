//! The load as arithmetic: which transaction is due when, for whom, and how much.
//!
//! Pure and without memory: everything follows from the number of a transaction. Account `a` gets the
//! transactions `a`, `a + accounts`, `a + 2·accounts`, …, so the nth of an account is known too.

use std::fmt::Write as _;

use types::Amount;

use crate::random::mix;

/// Microseconds since the begin of the load.
pub(crate) type Micros = u64;

/// What is sent and when.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Transactions a second.
    pub(crate) rate: u64,
    /// Transactions of one request.
    pub(crate) bulk: u64,
    pub(crate) accounts: u64,
    /// Transactions in all; a multiple of `bulk`.
    pub(crate) records: u64,
    /// The first that is measured.
    pub(crate) measured_from: u64,
    /// RFC 3339, the same for all.
    pub(crate) booked_at: String,
}

impl Plan {
    pub(crate) fn requests(&self) -> u64 {
        self.records / self.bulk
    }

    /// When request `request` is due. Its records are all due then: a bulk is one event of its sender.
    pub(crate) fn request_due(&self, request: u64) -> Micros {
        let micros = u128::from(request) * u128::from(self.bulk) * 1_000_000;
        u64::try_from(micros / u128::from(self.rate)).unwrap_or(u64::MAX)
    }

    /// When transaction `index` is due.
    pub(crate) fn due(&self, index: u64) -> Micros {
        self.request_due(index / self.bulk)
    }

    pub(crate) fn account_of(&self, index: u64) -> u64 {
        index % self.accounts
    }

    /// Number of the `nth` transaction (from 0) of an account; `None` behind the last.
    pub(crate) fn nth_of(&self, account: u64, nth: u64) -> Option<u64> {
        let index = nth.checked_mul(self.accounts)?.checked_add(account)?;
        (index < self.records).then_some(index)
    }

    /// Whole cents, -500.00 to 499.99.
    fn cents(&self, index: u64) -> i64 {
        let drawn = mix(self.seed.rotate_left(17) ^ mix(index)) % 100_000;
        // Below 100,000, so that the conversion holds.
        i64::try_from(drawn).unwrap_or(0) - 50_000
    }

    /// Exact amount of a transaction.
    pub(crate) fn amount(&self, index: u64) -> Amount {
        let units = i128::from(self.cents(index)) * 1_000;
        Amount::from_units(units).unwrap_or(Amount::ZERO)
    }

    /// Front of the names of all accounts of this run.
    pub(crate) fn account_prefix(&self) -> String {
        format!("bench-{}-", self.seed)
    }

    /// Appends the body of a request: one object a line, without the last line's end.
    pub(crate) fn push_body(&self, request: u64, body: &mut String) {
        let first = request * self.bulk;
        for index in first..first + self.bulk {
            if index > first {
                body.push('\n');
            }
            let cents = self.cents(index);
            let sign = if cents < 0 { "-" } else { "" };
            let cents = cents.unsigned_abs();
            // Writing to a string cannot fail.
            let _ = write!(
                body,
                "{{\"id\":\"bench-{seed}-{index}\",\"account\":\"bench-{seed}-{account}\",\
                 \"amount\":\"{sign}{}.{:02}\",\"currency\":\"EUR\",\"booked_at\":\"{at}\"}}",
                cents / 100,
                cents % 100,
                seed = self.seed,
                account = self.account_of(index),
                at = self.booked_at,
            );
        }
    }

    /// Exact count and sum of each account, without the transactions of refused requests.
    pub(crate) fn expected(&self, refused_requests: &[u64]) -> Vec<(u64, Amount)> {
        let places = usize::try_from(self.accounts).unwrap_or(0);
        let mut expected = vec![(0_u64, Amount::ZERO); places];
        for index in 0..self.records {
            if refused_requests.contains(&(index / self.bulk)) {
                continue;
            }
            let place = usize::try_from(self.account_of(index)).unwrap_or(0);
            let (count, sum) = &mut expected[place];
            *count += 1;
            // 2^64 cents are far from the limit of a sum.
            *sum = sum.checked_add(self.amount(index)).unwrap_or(*sum);
        }
        expected
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use expect_test::expect;

    pub(crate) fn plan(rate: u64, bulk: u64, accounts: u64, records: u64) -> Plan {
        Plan {
            seed: 7,
            rate,
            bulk,
            accounts,
            records,
            measured_from: 0,
            booked_at: "2026-11-23T10:15:00Z".to_owned(),
        }
    }

    #[test]
    fn transactions_are_due_at_a_constant_rate() {
        let single = plan(3, 1, 2, 9);
        let due: Vec<Micros> = (0..4).map(|index| single.due(index)).collect();
        assert_eq!(due, [0, 333_333, 666_666, 1_000_000]);
        let bulk = plan(1_000, 10, 2, 40);
        assert_eq!((bulk.due(0), bulk.due(9), bulk.due(10)), (0, 0, 10_000));
        assert_eq!(bulk.requests(), 4);
    }

    #[test]
    fn the_nth_of_an_account_is_the_nth_sent_to_it() {
        let plan = plan(10, 1, 3, 8);
        for account in 0..3 {
            let sent: Vec<u64> = (0..8)
                .filter(|index| plan.account_of(*index) == account)
                .collect();
            let by_number: Vec<u64> = (0..9).map_while(|nth| plan.nth_of(account, nth)).collect();
            assert_eq!(sent, by_number);
        }
    }

    #[test]
    fn what_is_written_is_what_is_expected() {
        let plan = plan(10, 2, 2, 6);
        let mut body = String::new();
        plan.push_body(0, &mut body);
        expect![[r#"
            {"id":"bench-7-0","account":"bench-7-0","amount":"117.10","currency":"EUR","booked_at":"2026-11-23T10:15:00Z"}
            {"id":"bench-7-1","account":"bench-7-1","amount":"162.07","currency":"EUR","booked_at":"2026-11-23T10:15:00Z"}"#]].assert_eq(&body);
        let mut sums = vec![(0, Amount::ZERO); 2];
        for request in [0, 2] {
            let mut body = String::new();
            plan.push_body(request, &mut body);
            for line in body.lines() {
                let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
                let account = value["account"].as_str().expect("text");
                let place: usize = account
                    .strip_prefix("bench-7-")
                    .expect("ours")
                    .parse()
                    .expect("a number");
                let amount =
                    Amount::parse(value["amount"].as_str().expect("text")).expect("an amount");
                sums[place].0 += 1;
                sums[place].1 = sums[place].1.checked_add(amount).expect("small");
            }
        }
        assert_eq!(plan.expected(&[1]), sums);
    }
}
