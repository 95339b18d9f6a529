//! What has happened since midnight: the same for a seed and a day, whenever it is asked for.
//!
//! A demo that is started again on the same day sends the same transactions with the same ids, which
//! count as duplicates, and those that would have happened since.

use jiff::{Timestamp, ToSpan as _, ZonedDateTime};

use super::documents::{CardRow, Document, JsonTransaction, card_csv, json, time_text};
use super::world::{MERCHANTS, World, amount};
use crate::random::Random;

/// Transactions of a whole day, beside the standing orders.
const TRANSACTIONS: u64 = 6_000;
/// Transactions of one request.
const BATCH: usize = 500;
/// How busy each hour of a day is.
const HOURS: [u64; 24] = [
    1, 1, 1, 1, 1, 2, 4, 8, 14, 18, 20, 20, 22, 20, 18, 18, 18, 20, 20, 16, 12, 8, 4, 2,
];

/// All of the day of `now` until `now`.
pub(crate) fn documents(world: &World, seed: u64, now: &ZonedDateTime) -> Vec<Document> {
    let Ok(midnight) = now.start_of_day() else {
        return Vec::new();
    };
    let day = format!("{}", midnight.strftime("%Y%m%d"));
    let until = seconds_between(&midnight, now.timestamp());
    let day_seed = day.parse::<u64>().unwrap_or(0) ^ seed.rotate_left(32);
    let mut lines = Vec::new();
    let mut rows = Vec::new();
    // Standing orders just after midnight, so that every account is there from the beginning.
    for (place, account) in world.accounts.iter().enumerate() {
        let mut random = Random::of(day_seed, place as u64);
        let second = random.below(60);
        if second > until {
            continue;
        }
        let booked_at = time_at(&midnight, second);
        let (id, money) = (
            format!("s-{day}-{place}"),
            amount(&mut random, account.currency, 3),
        );
        if account.is_card {
            rows.push(card_row(id, &account.number, money, booked_at, &mut random));
        } else {
            let merchant = None;
            lines.push(transaction(
                id,
                &account.number,
                money,
                false,
                booked_at,
                ("standing-order", merchant),
            ));
        }
    }
    for number in 0..TRANSACTIONS {
        let mut random = Random::of(day_seed.rotate_left(7), number);
        let second = second_of_day(&mut random);
        let account = world.anyone(&mut random);
        if second > until {
            continue;
        }
        let booked_at = time_at(&midnight, second);
        let id = format!("d-{day}-{number}");
        let is_credit = random.one_in(3, 10);
        let money = amount(&mut random, account.currency, u32::from(is_credit) * 2);
        if account.is_card {
            rows.push(card_row(id, &account.number, money, booked_at, &mut random));
        } else {
            let (merchant, kind) = *random.pick(MERCHANTS);
            let said = if is_credit {
                ("incoming", None)
            } else {
                (kind, Some(merchant))
            };
            lines.push(transaction(
                id,
                &account.number,
                money,
                is_credit,
                booked_at,
                said,
            ));
        }
    }
    let lines = lines.chunks(BATCH).map(|batch| json(batch, true));
    lines.chain(rows.chunks(BATCH).map(card_csv)).collect()
}

fn transaction(
    id: String,
    account: &str,
    money: super::world::Money,
    is_credit: bool,
    booked_at: String,
    (kind, merchant): (&'static str, Option<&'static str>),
) -> JsonTransaction {
    JsonTransaction {
        id,
        account: account.to_owned(),
        money,
        is_credit,
        booked_at,
        kind,
        merchant,
        reverses: None,
    }
}

fn card_row(
    id: String,
    card: &str,
    money: super::world::Money,
    booked_at: String,
    random: &mut Random,
) -> CardRow {
    CardRow {
        id,
        card: card.to_owned(),
        money,
        is_credit: false,
        booked_at,
        merchant: random.pick(MERCHANTS).0,
        kind: "purchase",
        reverses: None,
    }
}

fn second_of_day(random: &mut Random) -> u64 {
    let mut drawn = random.below(HOURS.iter().sum());
    let hour = HOURS.iter().position(|busy| {
        let hit = drawn < *busy;
        drawn = drawn.saturating_sub(*busy);
        hit
    });
    hour.unwrap_or(0) as u64 * 3_600 + random.below(3_600)
}

fn seconds_between(midnight: &ZonedDateTime, now: Timestamp) -> u64 {
    u64::try_from(now.as_second() - midnight.timestamp().as_second()).unwrap_or(0)
}

fn time_at(midnight: &ZonedDateTime, second: u64) -> String {
    let seconds = i64::try_from(second).unwrap_or(0);
    let time = midnight.checked_add(seconds.seconds());
    time_text(time.as_ref().unwrap_or(midnight))
}
