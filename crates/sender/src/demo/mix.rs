//! What is sent next: mostly good documents of all formats, some sent twice, reversals, late ones, and a
//! few that are broken.

use std::collections::VecDeque;

use jiff::{Span, ZonedDateTime};

use super::documents::{
    CardRow, Document, Entry, JsonTransaction, Order, camt_054, card_csv, json, pain_001, time_text,
};
use super::world::{MERCHANTS, World, amount};
use crate::random::Random;

/// Documents and transactions that may come again.
const REMEMBERED_MAX: usize = 64;

/// Chances in a thousand documents.
const DUPLICATES: u64 = 20;
const REVERSALS: u64 = 25;
const LATE: u64 = 10;
const BROKEN: u64 = 4;

/// Makes documents, one after the other.
#[derive(Debug)]
pub(crate) struct Mix {
    world: World,
    random: Random,
    /// Part of all ids, so that they differ from those of other starts.
    run: String,
    number: u64,
    recent: VecDeque<Document>,
    reversible: VecDeque<JsonTransaction>,
}

impl Mix {
    pub(crate) fn new(world: World, seed: u64, run: String) -> Self {
        Self {
            world,
            random: Random::of(
                seed,
                run.bytes()
                    .fold(0, |sum, byte| sum * 31 % (1 << 50) + u64::from(byte)),
            ),
            run,
            number: 0,
            recent: VecDeque::new(),
            reversible: VecDeque::new(),
        }
    }

    /// The next document, as if sent at `now`.
    pub(crate) fn next(&mut self, now: &ZonedDateTime) -> Document {
        let mut drawn = self.random.below(1_000);
        let mut is = |chance: u64| {
            let hit = drawn < chance;
            drawn = drawn.saturating_sub(chance);
            // Whoever misses this chance must not have it again at the next.
            hit
        };
        let special = if is(BROKEN) {
            return self.broken(now);
        } else if is(DUPLICATES) {
            self.duplicate()
        } else if is(REVERSALS) {
            self.reversal(now)
        } else if is(LATE) {
            Some(self.late(now))
        } else {
            None
        };
        if let Some(document) = special {
            return document;
        }
        let document = match self.random.below(100) {
            0..50 => self.single(now),
            50..60 => self.array(now),
            60..75 => self.cards(now),
            75..87 => self.notification(now),
            _ => self.payment_order(now),
        };
        remember(&mut self.recent, document.clone());
        document
    }

    fn id(&mut self, kind: &str) -> String {
        self.number += 1;
        format!("{kind}-{}-{}", self.run, self.number)
    }

    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.random.below(most - least + 1)
    }

    fn transaction(&mut self, booked_at: &ZonedDateTime) -> JsonTransaction {
        let id = self.id("t");
        let account = self.world.anyone(&mut self.random);
        let (number, currency) = (account.number.clone(), account.currency);
        let is_credit = self.random.one_in(3, 10);
        let money = amount(&mut self.random, currency, u32::from(is_credit) * 2);
        let (merchant, kind) = *self.random.pick(MERCHANTS);
        JsonTransaction {
            id,
            account: number,
            money,
            is_credit,
            booked_at: time_text(booked_at),
            kind: if is_credit { "incoming" } else { kind },
            merchant: (!is_credit).then_some(merchant),
            reverses: None,
        }
    }

    fn single(&mut self, now: &ZonedDateTime) -> Document {
        let transaction = self.transaction(now);
        remember(&mut self.reversible, transaction.clone());
        json(&[transaction], false)
    }

    fn array(&mut self, now: &ZonedDateTime) -> Document {
        let count = self.between(2, 6);
        let transactions: Vec<JsonTransaction> =
            (0..count).map(|_| self.transaction(now)).collect();
        json(&transactions, false)
    }

    fn cards(&mut self, now: &ZonedDateTime) -> Document {
        let count = self.between(3, 12);
        let rows: Vec<CardRow> = (0..count).map(|_| self.card_row(now)).collect();
        card_csv(&rows)
    }

    fn card_row(&mut self, now: &ZonedDateTime) -> CardRow {
        let id = self.id("c");
        let card = self.world.card(&mut self.random);
        let (number, currency) = (card.number.clone(), card.currency);
        let is_credit = self.random.one_in(1, 20);
        let (merchant, _) = *self.random.pick(MERCHANTS);
        CardRow {
            id,
            card: number,
            money: amount(&mut self.random, currency, 0),
            is_credit,
            booked_at: time_text(now),
            merchant,
            kind: if is_credit { "refund" } else { "purchase" },
            reverses: None,
        }
    }

    fn notification(&mut self, now: &ZonedDateTime) -> Document {
        let id = self.id("N");
        let count = self.between(2, 8);
        let random = &mut self.random;
        let account = self.world.iban(random);
        let entries: Vec<Entry> = (0..count)
            .map(|_| {
                let is_credit = random.one_in(1, 2);
                let (merchant, _) = *random.pick(MERCHANTS);
                Entry {
                    money: amount(random, account.currency, 2),
                    is_credit,
                    text: format!("{merchant} invoice {}", random.below(100_000)),
                }
            })
            .collect();
        camt_054(&id, account, &entries, now)
    }

    fn payment_order(&mut self, now: &ZonedDateTime) -> Document {
        let id = self.id("P");
        let count = self.between(2, 10);
        let random = &mut self.random;
        let debtor = self.world.iban(random);
        let orders: Vec<Order<'_>> = (0..count)
            .map(|_| Order {
                creditor: self.world.iban(random),
                money: amount(random, debtor.currency, 3),
                remittance: format!("Invoice {} & thanks", random.below(100_000)),
            })
            .collect();
        pain_001(&id, debtor, &orders, now)
    }

    /// Something sent a short while ago, the very same again.
    fn duplicate(&mut self) -> Option<Document> {
        if self.recent.is_empty() {
            return None;
        }
        let place = self.random.below(self.recent.len() as u64);
        self.recent
            .get(usize::try_from(place).unwrap_or(0))
            .cloned()
    }

    /// Takes an earlier transaction back, once.
    fn reversal(&mut self, now: &ZonedDateTime) -> Option<Document> {
        let original = self.reversible.pop_front()?;
        let transaction = JsonTransaction {
            id: self.id("r"),
            is_credit: !original.is_credit,
            booked_at: time_text(now),
            kind: "reversal",
            reverses: Some(original.id),
            ..original
        };
        Some(json(&[transaction], false))
    }

    /// A transaction of yesterday evening that comes only now.
    fn late(&mut self, now: &ZonedDateTime) -> Document {
        let seconds = i64::try_from(self.random.below(3 * 3_600)).unwrap_or(0) + 1;
        let midnight = now.start_of_day();
        let before =
            midnight.and_then(|midnight| midnight.checked_sub(Span::new().seconds(seconds)));
        let transaction = self.transaction(before.as_ref().unwrap_or(now));
        json(&[transaction], false)
    }

    /// Something that the gateway refuses.
    fn broken(&mut self, now: &ZonedDateTime) -> Document {
        let kind = self.random.below(5);
        let mut document = match kind {
            0..3 => self.single(now),
            3 => self.cards(now),
            _ => self.payment_order(now),
        };
        // What is refused was never booked, so nothing can take it back.
        if kind < 3 {
            self.reversible.pop_back();
        }
        document.body = match kind {
            0 => replaced(&document.body, "\"amount\":\"", "12.3x"),
            1 => replaced(&document.body, "\"booked_at\":\"", "2026-02-30T25:00:00Z"),
            2 => replaced(&document.body, "\"currency\":\"", "EUX"),
            3 => format!("{}c-broken,9999-00xx-xxxx-0000\n", document.body),
            _ => {
                let middle = document.body.len() * 2 / 3;
                let cut = (middle..).find(|at| document.body.is_char_boundary(*at));
                document.body[..cut.unwrap_or(0)].to_owned()
            }
        };
        document
    }
}

/// Puts another value behind a key.
fn replaced(body: &str, key: &str, value: &str) -> String {
    let Some(start) = body.find(key).map(|at| at + key.len()) else {
        return body.to_owned();
    };
    let end = body[start..]
        .find('"')
        .map_or(body.len(), |length| start + length);
    format!("{}{value}{}", &body[..start], &body[end..])
}

fn remember<T>(list: &mut VecDeque<T>, item: T) {
    if list.len() >= REMEMBERED_MAX {
        list.pop_front();
    }
    list.push_back(item);
}
