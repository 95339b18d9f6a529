//! What a path is, by its name and by the shape of its examples.

use super::sample::Place;

/// What a place can be of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Account,
    Amount,
    Currency,
    BookedAt,
    Identity,
    Sign,
}

/// Words in names, the more telling ones first.
const ACCOUNT: &[&str] = &[
    "iban", "account", "acct", "konto", "racun", "card", "pan", "wallet", "customer", "client",
    "user", "shop", "till", "merchant",
];
const AMOUNT: &[&str] = &[
    "amount", "amt", "iznos", "betrag", "total", "sum", "value", "price", "paid",
];
const CURRENCY: &[&str] = &["currency", "ccy", "curr", "valuta", "waehrung", "wahrung"];
const TIME: &[&str] = &[
    "booked",
    "booking",
    "buchung",
    "day",
    "bookg",
    "posted",
    "timestamp",
    "created",
    "datetime",
    "credttm",
    "time",
    "date",
    "datum",
    "valued",
    "dttm",
    "dt",
    "at",
];
const IDENTITY: &[&str] = &[
    "transactionid",
    "txid",
    "endtoendid",
    "id",
    "uuid",
    "guid",
    "reference",
    "ref",
    "receipt",
    "number",
    "broj",
    "key",
];
const SIGN: &[&str] = &[
    "cdtdbt",
    "indicator",
    "ind",
    "sign",
    "direction",
    "type",
    "dc",
    "side",
    "kind",
];
/// Texts for credit and debit that are used together.
const SIGNS: &[(&str, &str)] = &[
    ("CRDT", "DBIT"),
    ("C", "D"),
    ("CR", "DR"),
    ("CREDIT", "DEBIT"),
    ("credit", "debit"),
    ("Credit", "Debit"),
    ("IN", "OUT"),
    ("in", "out"),
    ("H", "S"),
];

/// How well a place fits a role; `None`: not at all.
pub(super) fn fit(place: &Place, role: Role) -> Option<usize> {
    let (words, has_shape): (&[&str], bool) = match role {
        Role::Account => (ACCOUNT, true),
        Role::Amount => (AMOUNT, decimal(place).is_some()),
        Role::Currency => (
            CURRENCY,
            all(place, |text| {
                types::currency_digits(text).is_some()
                    || types::currency_digits(&text.to_uppercase()).is_some()
            }),
        ),
        Role::BookedAt => (TIME, time(place).is_some()),
        Role::Identity => (IDENTITY, is_unique(place)),
        Role::Sign => (SIGN, signs(place).is_some()),
    };
    let named = in_name(place, words);
    // A currency's code and an indicator are told by their shape alone, where nothing has the name.
    let shape_tells = matches!(role, Role::Currency | Role::Sign);
    (has_shape && (named.is_some() || shape_tells)).then(|| named.unwrap_or(words.len()))
}

/// Place of the first word that is in the last step of the path, or in the one before it.
fn in_name(place: &Place, words: &[&str]) -> Option<usize> {
    let name =
        |step: Option<&String>| -> Vec<String> { step.map_or(Vec::new(), |step| parts(step)) };
    let last = name(place.steps.last());
    let before = name(place.steps.iter().rev().nth(1));
    let is_in = |parts: &[String], word: &str| {
        parts.iter().any(|part| part == word) || (word.len() > 3 && parts.concat().contains(word))
    };
    words
        .iter()
        .position(|word| is_in(&last, word))
        .or_else(|| {
            let found = words.iter().position(|word| is_in(&before, word))?;
            Some(found + words.len())
        })
}

/// The words of a name: `bookedAt`, `booked_at` and `Booked At` are `booked`, `at`.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut was_lower = false;
    for character in name.chars() {
        if !character.is_alphanumeric() || (character.is_uppercase() && was_lower) {
            parts.push(String::new());
        }
        was_lower = character.is_lowercase();
        if character.is_alphanumeric()
            && let Some(part) = parts.last_mut()
        {
            part.extend(character.to_lowercase());
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

fn all(place: &Place, test: impl Fn(&str) -> bool) -> bool {
    !place.examples.is_empty() && place.examples.iter().all(|text| test(text))
}

fn is_unique(place: &Place) -> bool {
    let mut sorted: Vec<&String> = place.examples.iter().collect();
    sorted.sort();
    sorted.dedup();
    !sorted.is_empty() && sorted.len() == place.examples.len()
}

/// How decimals are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decimal {
    Point,
    Comma,
    /// `1.234,50`
    CommaWithPoints,
}

pub(super) fn decimal(place: &Place) -> Option<Decimal> {
    let is_number = |text: &str, point: char| {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, fraction) = digits.split_once(point).unwrap_or((digits, "0"));
        [whole, fraction]
            .iter()
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    if all(place, |text| is_number(text, '.')) {
        return Some(Decimal::Point);
    }
    if all(place, |text| is_number(text, ',')) {
        return Some(Decimal::Comma);
    }
    all(place, |text| is_number(&text.replace('.', ""), ',')).then_some(Decimal::CommaWithPoints)
}

/// The keys of `booked_at` that read a place's times.
pub(super) fn time(place: &Place) -> Option<&'static str> {
    // Each with the keys, and a pattern of the whole text in which 9 is a digit.
    const FORMS: &[(&str, &str)] = &[
        (
            "9999-99-99T99:99:99",
            "zone = \"UTC\"  # of local times: yours may be another\n",
        ),
        (
            "9999-99-99 99:99:99",
            "format = \"%Y-%m-%d %H:%M:%S\"\nzone = \"UTC\"  # yours may be another\n",
        ),
        (
            "9999-99-99",
            "zone = \"UTC\"  # yours may be another\nat = \"12:00\"\n",
        ),
        (
            "99.99.9999",
            "format = \"%d.%m.%Y\"\nzone = \"UTC\"  # yours may be another\nat = \"12:00\"\n",
        ),
        (
            "99.99.9999 99:99",
            "format = \"%d.%m.%Y %H:%M\"\nzone = \"UTC\"  # yours may be another\n",
        ),
        (
            "99.99.9999 99:99:99",
            "format = \"%d.%m.%Y %H:%M:%S\"\nzone = \"UTC\"  # yours may be another\n",
        ),
        (
            "99/99/9999",
            "format = \"%d/%m/%Y\"  # or %m/%d/%Y: which one is it?\nzone = \"UTC\"  # yours may be another\nat = \"12:00\"\n",
        ),
        (
            "99999999",
            "format = \"%Y%m%d\"\nzone = \"UTC\"  # yours may be another\nat = \"12:00\"\n",
        ),
        ("9999999999", "format = \"unix-seconds\"\n"),
        ("9999999999999", "format = \"unix-millis\"\n"),
    ];
    let form = |text: &str| -> String {
        let digit = |c: char| if c.is_ascii_digit() { '9' } else { c };
        text.chars().map(digit).collect()
    };
    if let Some((_, keys)) = FORMS
        .iter()
        .find(|(known, _)| all(place, |text| form(text) == *known))
    {
        return Some(keys);
    }
    // With an offset, or with fractions of a second.
    let iso = |text: &str| form(text).starts_with("9999-99-99T99:99");
    let has_offset =
        |text: &str| text.ends_with('Z') || text[16.min(text.len())..].contains(['+', '-']);
    if all(place, |text| {
        iso(text) && text.is_ascii() && has_offset(text)
    }) {
        return Some("");
    }
    all(place, iso).then_some("zone = \"UTC\"  # of local times: yours may be another\n")
}

/// Credit and debit of an indicator.
pub(super) fn signs(place: &Place) -> Option<(&'static str, &'static str)> {
    SIGNS
        .iter()
        .copied()
        .find(|(credit, debit)| all(place, |text| text == *credit || text == *debit))
}

/// A word for people.
pub(super) fn kind(place: &Place) -> &'static str {
    if signs(place).is_some() {
        "credit or debit"
    } else if all(place, |text| types::currency_digits(text).is_some()) {
        "currency"
    } else if time(place).is_some() {
        "time"
    } else if decimal(place).is_some() {
        "number"
    } else {
        "text"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str, examples: &[&str]) -> Place {
        Place {
            steps: vec![name.to_owned()],
            count: examples.len(),
            examples: examples.iter().map(ToString::to_string).collect(),
            ..Place::default()
        }
    }

    #[test]
    fn shapes() {
        assert_eq!(parts("BookedAt"), ["booked", "at"]);
        assert_eq!(parts("booking-date 2"), ["booking", "date", "2"]);
        assert_eq!(decimal(&place("x", &["1", "-1.50"])), Some(Decimal::Point));
        assert_eq!(decimal(&place("x", &["1", "-1,50"])), Some(Decimal::Comma));
        let grouped = place("x", &["1.234,50"]);
        assert_eq!(decimal(&grouped), Some(Decimal::CommaWithPoints));
        assert_eq!(decimal(&place("x", &["1", "a"])), None);
        assert_eq!(time(&place("x", &["2026-11-23T10:00:00Z"])), Some(""));
        assert_eq!(
            time(&place("x", &["2026-11-23T10:00:00.5+01:00"])),
            Some("")
        );
        assert!(time(&place("x", &["2026-11-23T10:00:00.5"])).is_some());
        assert_eq!(time(&place("x", &["23.11."])), None);
        assert_eq!(signs(&place("x", &["D", "C"])), Some(("C", "D")));
        assert!(fit(&place("total_amount", &["1"]), Role::Amount).is_some());
        assert_eq!(fit(&place("total_amount", &["x"]), Role::Amount), None);
    }
}
