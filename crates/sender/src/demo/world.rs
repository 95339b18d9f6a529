//! Who takes part: accounts, owners, merchants, and how much they move. All of it made up.
//!
//! Account numbers have valid check digits and bank codes that no bank has, so that they look right
//! and cannot be anybody's.

use types::{Amount, SCALE_DIGITS, currency_digits};

use crate::random::Random;

/// Accounts of the demo.
pub(crate) const ACCOUNTS: usize = 300;

/// Country, bank code, digits of the account's number, currency.
const BANKS: &[(&str, &str, usize, &str)] = &[
    ("HR", "9999999", 10, "EUR"),
    ("DE", "00000000", 10, "EUR"),
    ("AT", "00000", 11, "EUR"),
    ("NL", "DEMO", 10, "EUR"),
    ("HR", "9999999", 10, "EUR"),
    ("GB", "DEMO000000", 8, "GBP"),
    ("CH", "00000", 12, "CHF"),
    ("GB", "DEMO000000", 8, "USD"),
    ("KW", "DEMO", 22, "KWD"),
    ("CH", "00000", 12, "JPY"),
];

/// Currency, and its minor units in an euro cent as a fraction. Rough, and nobody pays by it.
const RATES: &[(&str, u64, u64)] = &[
    ("EUR", 1, 1),
    ("USD", 11, 10),
    ("GBP", 17, 20),
    ("CHF", 19, 20),
    ("JPY", 8, 5),
    ("KWD", 33, 10),
];

/// Currencies of cards, the usual one more often.
const CARD_CURRENCIES: &[&str] = &["EUR", "EUR", "USD", "GBP"];

const FIRST: &[&str] = &[
    "Ana", "Luka", "Marta", "Jonas", "Emma", "Noah", "Lea", "Ivan", "Sara", "Paul", "Nina", "Omar",
];
const LAST: &[&str] = &[
    "Horvat",
    "Muster",
    "Beispiel",
    "Sample",
    "Primjer",
    "Demo",
    "Placeholder",
    "Voorbeeld",
];
const COMPANIES: &[&str] = &[
    "Sample & Sons Ltd",
    "Muster GmbH",
    "Primjer d.o.o.",
    "Voorbeeld BV",
    "Demo Trading AG",
    "Placeholder Works",
];
/// Merchants, with the category their purchases have.
pub(crate) const MERCHANTS: &[(&str, &str)] = &[
    ("Corner Grocery", "groceries"),
    ("Harbour Market", "groceries"),
    ("Old Town Books", "books"),
    ("Blue Line Trains", "travel"),
    ("Nine Lives Coffee", "restaurants"),
    ("Pine & Pepper, Bistro", "restaurants"),
    ("North Fuel", "fuel"),
    ("Quiet Cinema", "leisure"),
    ("Green Pharmacy", "health"),
    ("Cloud Storage Co", "services"),
];

/// A participant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    /// IBAN, or a card's number with most digits hidden.
    pub(crate) number: String,
    pub(crate) owner: String,
    pub(crate) currency: &'static str,
    pub(crate) is_card: bool,
}

/// An amount in minor units of its currency; its sign is told apart where it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Money {
    pub(crate) minor: u64,
    pub(crate) currency: &'static str,
}

impl Money {
    /// Major units, as text with the currency's digits and without a sign.
    pub(crate) fn text(self) -> String {
        let digits = currency_digits(self.currency).unwrap_or(types::DIGITS_UNKNOWN);
        let units = i128::from(self.minor) * 10_i128.pow(SCALE_DIGITS - digits.min(SCALE_DIGITS));
        let amount = Amount::from_units(units).unwrap_or(Amount::ZERO);
        amount.display(digits).to_string()
    }

    /// The same with a minus in front where money leaves the account.
    pub(crate) fn signed(self, is_credit: bool) -> String {
        let sign = if is_credit { "" } else { "-" };
        format!("{sign}{}", self.text())
    }
}

/// All participants and how active they are.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) accounts: Vec<Account>,
    /// Sums of the activities of the accounts so far (Zipf: the nth is 1/n as active as the first).
    activity: Vec<u64>,
    cards: Vec<usize>,
    ibans: Vec<usize>,
}

impl World {
    /// The same seed makes the same world.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let accounts: Vec<Account> = (0..ACCOUNTS)
            .map(|place| account(&mut random, place))
            .collect();
        let mut sum = 0;
        let activity = (1..=ACCOUNTS as u64).map(|rank| {
            sum += 1_000_000 / rank;
            sum
        });
        let places = |is_card| {
            let chosen = accounts
                .iter()
                .enumerate()
                .filter(move |(_, account)| account.is_card == is_card);
            chosen.map(|(place, _)| place).collect()
        };
        Self {
            activity: activity.collect(),
            cards: places(true),
            ibans: places(false),
            accounts,
        }
    }

    /// Someone, the busy ones more often.
    pub(crate) fn anyone(&self, random: &mut Random) -> &Account {
        let drawn = random.below(self.activity.last().copied().unwrap_or(0));
        let place = self.activity.partition_point(|sum| *sum <= drawn);
        &self.accounts[place.min(self.accounts.len() - 1)]
    }

    /// Someone with a card.
    pub(crate) fn card(&self, random: &mut Random) -> &Account {
        self.one_of(&self.cards, true, random)
    }

    /// Someone with an account at a bank.
    pub(crate) fn iban(&self, random: &mut Random) -> &Account {
        self.one_of(&self.ibans, false, random)
    }

    fn one_of(&self, places: &[usize], is_card: bool, random: &mut Random) -> &Account {
        // A few draws by activity; should all miss, any of the right kind.
        for _ in 0..4 {
            let account = self.anyone(random);
            if account.is_card == is_card {
                return account;
            }
        }
        &self.accounts[*random.pick(places)]
    }
}

fn account(random: &mut Random, place: usize) -> Account {
    // Not in step with the ranks of activity: every bank has busy and quiet accounts.
    let (country, bank, digits, currency) = *random.pick(BANKS);
    let is_card = place % 5 == 2;
    let owner = if random.one_in(1, 4) {
        format!("{} {}", random.pick(COMPANIES), place)
    } else {
        format!("{} {}", random.pick(FIRST), random.pick(LAST))
    };
    if is_card {
        let currency = random.pick(CARD_CURRENCIES);
        return Account {
            // No issuer's number begins with 9999 00.
            number: format!("9999-00xx-xxxx-{place:04}"),
            owner,
            currency,
            is_card,
        };
    }
    let number: String = (0..digits)
        .map(|_| char::from(b'0' + digit(random)))
        .collect();
    Account {
        number: iban(country, &format!("{bank}{number}")),
        owner,
        currency,
        is_card,
    }
}

fn digit(random: &mut Random) -> u8 {
    u8::try_from(random.below(10)).unwrap_or(0)
}

/// Puts the check digits of ISO 13616 between country and the bank's own number.
fn iban(country: &str, bban: &str) -> String {
    let check = 98 - remainder(&format!("{bban}{country}00"));
    format!("{country}{check:02}{bban}")
}

/// Remainder by 97 of a number in which letters stand for 10 to 35.
fn remainder(text: &str) -> u64 {
    text.bytes().fold(0, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u64::from(byte - b'0')) % 97,
        _ => (rest * 100 + u64::from(byte.to_ascii_uppercase() - b'A') + 10) % 97,
    })
}

/// An amount: small ones often, large ones rarely. `scale` doubles it that many times.
///
/// The number of binary digits is a sum of draws, so that its logarithm is nearly normal, all in whole numbers.
pub(crate) fn amount(random: &mut Random, currency: &'static str, scale: u32) -> Money {
    let digits: u64 = (0..5).map(|_| random.below(4)).sum();
    let least = 1_u64 << (4 + digits + u64::from(scale.min(16)));
    let mut cents = least + random.below(least);
    // Prices like 4.99 and round sums.
    match random.below(4) {
        0 if cents > 500 => cents = cents / 100 * 100 + 99,
        1 if cents > 5_000 => cents = cents / 500 * 500,
        _ => {}
    }
    let rate = RATES.iter().find(|(known, _, _)| *known == currency);
    let (times, by) = rate.map_or((1, 1), |(_, times, by)| (*times, *by));
    Money {
        minor: (cents * times / by).max(1),
        currency,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits_are_those_of_the_standard() {
        // The registry's own examples.
        assert_eq!(iban("DE", "370400440532013000"), "DE89370400440532013000");
        assert_eq!(iban("GB", "WEST12345698765432"), "GB82WEST12345698765432");
        assert_eq!(iban("HR", "10010051863000160"), "HR1210010051863000160");
    }

    #[test]
    fn the_world_is_valid_and_the_same_for_a_seed() {
        let world = World::new(1);
        assert_eq!(world.accounts, World::new(1).accounts);
        assert_ne!(world.accounts, World::new(2).accounts);
        let mut numbers: Vec<&str> = world
            .accounts
            .iter()
            .map(|account| &*account.number)
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), ACCOUNTS, "numbers are unique");
        for account in world.accounts.iter().filter(|account| !account.is_card) {
            let (front, back) = account.number.split_at(4);
            assert_eq!(
                remainder(&format!("{back}{front}")),
                1,
                "{}",
                account.number
            );
        }
        for (currency, _, _) in RATES {
            let has = world
                .accounts
                .iter()
                .any(|account| account.currency == *currency);
            assert!(has, "nobody has {currency}");
        }
    }

    #[test]
    fn the_busy_are_busier() {
        let world = World::new(1);
        let mut random = Random::new(9);
        let mut first = 0;
        let mut last_half = 0;
        for _ in 0..10_000 {
            let account = world.anyone(&mut random);
            first += u64::from(*account == world.accounts[0]);
            last_half += u64::from(world.accounts[ACCOUNTS / 2..].contains(account));
        }
        // 1/H(300) is 15.9 %; ranks 151 to 300 have 11 % together.
        assert!((1_400..1_800).contains(&first), "{first}");
        assert!((900..1_300).contains(&last_half), "{last_half}");
        assert!(world.card(&mut random).is_card && !world.iban(&mut random).is_card);
    }

    #[test]
    fn money_has_the_digits_of_its_currency() {
        let money = |minor, currency| Money { minor, currency }.text();
        assert_eq!(money(1_250, "EUR"), "12.50");
        assert_eq!(money(5, "USD"), "0.05");
        assert_eq!(money(1_250, "JPY"), "1250");
        assert_eq!(money(1_250, "KWD"), "1.250");
        let money = Money {
            minor: 100,
            currency: "EUR",
        };
        assert_eq!(
            (money.signed(true), money.signed(false)),
            ("1.00".to_owned(), "-1.00".to_owned())
        );
        let mut random = Random::new(3);
        let mut all: Vec<u64> = (0..1_001)
            .map(|_| amount(&mut random, "EUR", 0).minor)
            .collect();
        all.sort_unstable();
        assert!((1_500..6_000).contains(&all[500]), "median {}", all[500]);
        assert!(all[1_000] > 30 * all[500], "a few are large");
    }
}
