//! Masking of card and account numbers, in place: what is masked keeps its length.
//!
//! | What | How it is found | What is left |
//! | --- | --- | --- |
//! | card number (PAN) | 13 to 19 digits, also in groups with single spaces or dashes between them, that pass Luhn (ISO/IEC 7812-1) | the first 6 digits and the last 4 |
//! | account number (IBAN) | the country's length (SWIFT's registry), also in groups, and remainder 1 by 97 (ISO 13616) | the first 4 and the last 4 characters |
//!
//! Where digits stand beside others without anything between them, as in ISO 8583 and in columns ([`Digits::Adjoin`]), and in rows of more than 19,
//! each part of 13 to 19 digits that passes is masked: rather too much than too little.

use mapping::{Format, iban_length, luhn_sum};

/// Digits of a card number.
const PAN_MIN: usize = 13;
const PAN_MAX: usize = 19;
/// What is left of one.
const PAN_FIRST: usize = 6;
const PAN_LAST: usize = 4;
/// Characters of an account number.
const IBAN_MIN: usize = 15;
const IBAN_MAX: usize = 34;
/// What is left of one, at both ends.
const IBAN_ENDS: usize = 4;
/// Bytes that one of them may take up, with what stands between its groups: who cuts masks as many more before.
pub(crate) const LENGTH_MAX: usize = 2 * IBAN_MAX;
/// Digits that are taken for a card number where the rest of them has been cut off.
const CUT_MIN: usize = PAN_FIRST + PAN_LAST + 1;
/// How refusals say that something was cut off.
const CUT: &str = "…";

/// What a byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Digit(u8),
    /// `A` is 10, as account numbers count; of both cases.
    Letter(u8),
    /// May stand between two groups.
    Separator,
    Other,
}

/// How bytes are read, and what a masked one becomes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Alphabet {
    pub(crate) class: fn(u8) -> Class,
    pub(crate) mask: u8,
}

/// ASCII, and with it UTF-8 and the code pages that contain it.
pub(crate) const ASCII: Alphabet = Alphabet {
    class: |byte| match byte {
        b'0'..=b'9' => Class::Digit(byte - b'0'),
        b'A'..=b'Z' => Class::Letter(byte - b'A' + 10),
        b'a'..=b'z' => Class::Letter(byte - b'a' + 10),
        b' ' | b'-' => Class::Separator,
        _ => Class::Other,
    },
    mask: b'*',
};

/// EBCDIC: digits, letters, space and dash are the same in all its code pages.
pub(crate) const EBCDIC: Alphabet = Alphabet {
    class: |byte| match byte {
        0xf0..=0xf9 => Class::Digit(byte - 0xf0),
        0xc1..=0xc9 => Class::Letter(byte - 0xc1 + 10),
        0xd1..=0xd9 => Class::Letter(byte - 0xd1 + 19),
        0xe2..=0xe9 => Class::Letter(byte - 0xe2 + 28),
        0x81..=0x89 => Class::Letter(byte - 0x81 + 10),
        0x91..=0x99 => Class::Letter(byte - 0x91 + 19),
        0xa2..=0xa9 => Class::Letter(byte - 0xa2 + 28),
        0x40 | 0x60 => Class::Separator,
        _ => Class::Other,
    },
    mask: 0x5c,
};

/// Digits that stand for themselves, such as halves of packed bytes; anything above 9 is none.
pub(crate) const DIGITS: Alphabet = Alphabet {
    class: |byte| match byte {
        0..=9 => Class::Digit(byte),
        _ => Class::Other,
    },
    mask: u8::MAX,
};

/// Whether something stands between a number and other digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Digits {
    Apart,
    Adjoin,
}

impl Digits {
    pub(crate) fn of(format: Format) -> Self {
        match format {
            Format::Fixed | Format::Copybook | Format::Iso8583 => Self::Adjoin,
            _ => Self::Apart,
        }
    }
}

/// A masked text.
pub(crate) fn text(text: &str, digits: Digits) -> String {
    let mut bytes = text.as_bytes().to_vec();
    mask(&mut bytes, &ASCII, digits);
    // Digits and letters of ASCII have become stars: it is UTF-8 as before.
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Masks what is found.
pub(crate) fn mask(bytes: &mut [u8], alphabet: &Alphabet, digits: Digits) {
    let hidden = found(bytes, alphabet, digits);
    for (byte, is_hidden) in bytes.iter_mut().zip(hidden) {
        if is_hidden {
            *byte = alphabet.mask;
        }
    }
}

/// Which bytes are to be masked.
fn found(bytes: &[u8], alphabet: &Alphabet, digits: Digits) -> Vec<bool> {
    let mut hidden = vec![false; bytes.len()];
    let mut at = 0;
    while at < bytes.len() {
        match class_at(bytes, at, alphabet) {
            Class::Digit(_) => at = chain(bytes, at, (alphabet, digits), &mut hidden),
            _ => at += 1,
        }
    }
    for start in 0..bytes.len() {
        if matches!(class_at(bytes, start, alphabet), Class::Letter(_)) {
            account(bytes, start, alphabet, &mut hidden);
        }
    }
    hidden
}

fn class_at(bytes: &[u8], at: usize, alphabet: &Alphabet) -> Class {
    bytes
        .get(at)
        .map_or(Class::Other, |byte| (alphabet.class)(*byte))
}

/// Groups of digits with a single separator between two of them; answers where they end.
fn chain(
    bytes: &[u8],
    start: usize,
    (alphabet, adjoining): (&Alphabet, Digits),
    hidden: &mut [bool],
) -> usize {
    // With the places they stand at.
    let mut digits: Vec<(usize, u8)> = Vec::new();
    // Where in `digits` each group begins.
    let mut groups = vec![0];
    let mut at = start;
    loop {
        match class_at(bytes, at, alphabet) {
            Class::Digit(digit) => digits.push((at, digit)),
            Class::Separator if matches!(class_at(bytes, at + 1, alphabet), Class::Digit(_)) => {
                groups.push(digits.len());
            }
            _ => break,
        }
        at += 1;
    }
    groups.push(digits.len());
    let is_last_cut = bytes
        .get(at..)
        .is_some_and(|rest| rest.starts_with(CUT.as_bytes()));
    for (index, pair) in groups.windows(2).enumerate() {
        let [from, to] = [pair[0], pair[1]];
        let group = &digits[from..to];
        let is_last = index + 2 == groups.len();
        let after = group.last().map_or(0, |(at, _)| at + 1);
        let is_track = matches!(bytes.get(after), Some(b'=' | b'D' | b'd'));
        if is_last && is_last_cut && group.len() >= CUT_MIN {
            hide_card(group, hidden);
        }
        alone(group, is_track, adjoining, hidden);
    }
    // Several groups that are one number.
    for (index, from) in groups.iter().enumerate() {
        for to in groups.iter().skip(index + 2) {
            if to - from > PAN_MAX {
                break;
            }
            card(&digits[*from..*to], hidden);
        }
    }
    at
}

/// Digits without anything between them.
fn alone(digits: &[(usize, u8)], is_track: bool, adjoining: Digits, hidden: &mut [bool]) {
    if digits.len() <= PAN_MAX {
        card(digits, hidden);
    }
    for start in 0..digits.len() {
        for length in PAN_MIN..=PAN_MAX {
            let Some(part) = digits.get(start..start + length) else {
                break;
            };
            // A number in front of which its length stands, one in a card's track, and any in a long row.
            let says_length = start >= 2
                && usize::from(digits[start - 2].1) * 10 + usize::from(digits[start - 1].1)
                    == length;
            let ends_track = is_track && start + length == digits.len();
            let is_any = adjoining == Digits::Adjoin || digits.len() > PAN_MAX;
            if is_any || says_length || ends_track {
                card(part, hidden);
            }
        }
    }
}

fn card(digits: &[(usize, u8)], hidden: &mut [bool]) {
    if (PAN_MIN..=PAN_MAX).contains(&digits.len()) && passes_luhn(digits) {
        hide_card(digits, hidden);
    }
}

fn hide_card(digits: &[(usize, u8)], hidden: &mut [bool]) {
    let middle = digits.get(PAN_FIRST..digits.len().saturating_sub(PAN_LAST));
    hide(middle.unwrap_or_default().iter().map(|(at, _)| *at), hidden);
}

fn hide(places: impl Iterator<Item = usize>, hidden: &mut [bool]) {
    for at in places {
        if let Some(is_hidden) = hidden.get_mut(at) {
            *is_hidden = true;
        }
    }
}

fn passes_luhn(digits: &[(usize, u8)]) -> bool {
    luhn_sum(digits.iter().map(|(_, digit)| *digit)).is_multiple_of(10)
}

/// An account number that begins at a place.
fn account(bytes: &[u8], start: usize, alphabet: &Alphabet, hidden: &mut [bool]) {
    let letter = |at| match class_at(bytes, at, alphabet) {
        Class::Letter(value) => Some(value),
        _ => None,
    };
    let (Some(first), Some(second)) = (letter(start), letter(start + 1)) else {
        return;
    };
    let country = [first - 10 + b'A', second - 10 + b'A'];
    let (mut places, mut length) = ([0; IBAN_MAX], 0);
    // Of what stands behind the first four characters, which the rule reads last.
    let (mut head, mut rest) = (0, 0);
    let mut at = start;
    while length < IBAN_MAX {
        let value = match class_at(bytes, at, alphabet) {
            Class::Digit(value) | Class::Letter(value) => u32::from(value),
            Class::Separator if length > 0 => {
                let next = class_at(bytes, at + 1, alphabet);
                if !matches!(next, Class::Digit(_) | Class::Letter(_)) {
                    return;
                }
                at += 1;
                continue;
            }
            _ => return,
        };
        // The check digits.
        if matches!(length, 2 | 3) && value > 9 {
            return;
        }
        let shift = if value > 9 { 100 } else { 10 };
        match length {
            0..4 => head = head * shift + value,
            _ => rest = (rest * shift + value) % 97,
        }
        if let Some(place) = places.get_mut(length) {
            *place = at;
        }
        length += 1;
        at += 1;
        // Two letters and two digits: six digits.
        let passes = (u64::from(rest) * 1_000_000 + u64::from(head)) % 97 == 1;
        if length < IBAN_MIN || !passes {
            continue;
        }
        let is_end = matches!(
            class_at(bytes, at, alphabet),
            Class::Separator | Class::Other
        );
        let known = std::str::from_utf8(&country).ok().and_then(iban_length);
        if known.map_or(is_end, |known| known == length) {
            let middle = places.get(IBAN_ENDS..length - IBAN_ENDS);
            hide(middle.unwrap_or_default().iter().copied(), hidden);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> String {
        super::text(text, Digits::Apart)
    }

    fn check(given: &str, expected: &str) {
        assert_eq!(text(given), expected);
        assert_eq!(expected.len(), given.len());
    }

    #[test]
    fn numbers_keep_their_ends() {
        check("4111111111111111", "411111******1111");
        check(
            "{\"pan\":\"4111111111111111\"}",
            "{\"pan\":\"411111******1111\"}",
        );
        check("4111 1111 1111 1111", "4111 11** **** 1111");
        check("3782-822463-10005.", "3782-82****-*0005.");
        check("HR1210010051863000160", "HR12*************0160");
        check(
            "<IBAN>DE89370400440532013000</IBAN>",
            "<IBAN>DE89**************3000</IBAN>",
        );
        check(
            ":59:/GB82 WEST 1234 5698 7654 32",
            ":59:/GB82 **** **** **** **54 32",
        );
        check("gb82west12345698765432", "gb82**************5432");
        // One that is longer now than it was.
        check("CR05015202001026284066", "CR05**************4066");
    }

    #[test]
    fn what_is_none_stays() {
        for text in [
            "4111111111111112",
            "GB82WEST1234AB98765433",
            "2026-11-23T10:15:00.123+01:00",
            "411111111111",
            "",
            "trace 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "ž – š 12.50 EUR",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn numbers_among_other_digits_are_found() {
        // ISO 8583: the length, the number, a processing code; and a track.
        check("164111111111111111", "16411111******1111");
        check("374111111111111111=2512", "37411111******1111=2512");
        let masked = text("02007224648108C08000164111111111111111000000000000012500");
        assert!(!masked.contains("1111111111"), "{masked}");
        // Cut by somebody else.
        check(
            "\"411111111111…\" is too long",
            "\"411111**1111…\" is too long",
        );
    }

    /// Numbers that look random and are the same in every run.
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % bound
        }

        fn digits(&mut self, count: usize) -> String {
            (0..count)
                .map(|_| char::from(b'0' + self.below(10) as u8))
                .collect()
        }

        fn card(&mut self) -> String {
            let length = PAN_MIN + self.below(7) as usize;
            let first = self.digits(length - 1);
            let numbers = (0..10).map(|last| format!("{first}{last}"));
            let mut good = numbers.filter(|number| passes_luhn(&places(number)));
            good.next().expect("one of ten")
        }

        fn account(&mut self) -> String {
            const COUNTRIES: [&str; 12] = [
                "NO", "BE", "DK", "SI", "AT", "HR", "CR", "DE", "ES", "PL", "MT", "RU",
            ];
            let country = COUNTRIES[self.below(COUNTRIES.len() as u64) as usize];
            let length = iban_length(country).expect("it has them");
            let rest = self.digits(length - 4);
            let letter = char::from(b'A' + self.below(26) as u8);
            let rest = match self.below(2) {
                0 => rest,
                _ => format!("{letter}{}", &rest[1..]),
            };
            let value = |text: &str| {
                text.chars().fold(0, |sum: u32, c| {
                    let value = c.to_digit(36).expect("a digit or letter");
                    let shift = if value > 9 { 100 } else { 10 };
                    (sum * shift + value) % 97
                })
            };
            let check = 98 - value(&format!("{rest}{country}00"));
            format!("{country}{check:02}{rest}")
        }
    }

    fn places(number: &str) -> Vec<(usize, u8)> {
        number
            .bytes()
            .map(|digit| digit - b'0')
            .enumerate()
            .collect()
    }

    fn grouped(number: &str, by: usize, separator: &str) -> String {
        let groups: Vec<&str> = (0..number.len())
            .step_by(by)
            .map(|start| &number[start..number.len().min(start + by)])
            .collect();
        groups.join(separator)
    }

    /// All of the number between its ends is stars, and nothing has moved.
    fn is_masked(around: [&str; 2], number: &str, first: usize, last: usize) {
        let given = format!("{}{number}{}", around[0], around[1]);
        let shown = text(&given);
        assert_eq!(shown.len(), given.len());
        let shown = &shown[around[0].len()..][..number.len()];
        let characters: Vec<char> = shown.chars().filter(|c| !" -".contains(*c)).collect();
        let middle = &characters[first..characters.len() - last];
        assert!(middle.iter().all(|c| *c == '*'), "{given} became {shown}");
    }

    #[test]
    fn generated_numbers_are_masked_in_every_format() {
        let mut random = Random(0xda1b_0012);
        for _ in 0..2_000 {
            let card = random.card();
            let length = format!("0200{}{:02}", random.digits(16), card.len());
            let stan = random.digits(24);
            let forms = [
                card.clone(),
                grouped(&card, 4, " "),
                grouped(&card, 4, "-"),
                grouped(&card, 6, " "),
            ];
            for number in &forms {
                for around in [
                    ["{\"pan\":\"", "\",\"amount\":12.50}"],
                    ["{\"pan\":", "}"],
                    ["<PAN>", "</PAN>"],
                    [":50K:/", "\r\nJOHN DOE"],
                    ["2026-11-23 ", " 12.50"],
                    ["a;", ";b"],
                ] {
                    is_masked(around, number, PAN_FIRST, PAN_LAST);
                }
            }
            is_masked([&length, &stan], &card, PAN_FIRST, PAN_LAST);
            let columns = super::text(&format!("001{card}02"), Digits::Adjoin);
            let middle = &columns[3 + PAN_FIRST..3 + card.len() - PAN_LAST];
            assert!(
                middle.bytes().all(|byte| byte == b'*'),
                "{card} became {columns}"
            );
            is_masked(
                ["0200", ""],
                &format!("37{card}=25122010000"),
                2 + PAN_FIRST,
                PAN_LAST + 12,
            );
        }
    }

    #[test]
    fn generated_account_numbers_are_masked_in_every_format() {
        let mut random = Random(0xda1b_0034);
        for _ in 0..2_000 {
            let account = random.account();
            for number in [
                account.clone(),
                grouped(&account, 4, " "),
                account.to_ascii_lowercase(),
            ] {
                for around in [
                    ["{\"iban\":\"", "\"}"],
                    ["<IBAN>", "</IBAN>"],
                    [":59:/", "\r\nJOHN DOE"],
                    ["0200164111", "000000"],
                    ["to ", " of 12.50"],
                ] {
                    is_masked(around, &number, IBAN_ENDS, IBAN_ENDS);
                }
            }
        }
    }

    #[test]
    fn ebcdic_and_halves_of_bytes_are_read_too() {
        let mut bytes: Vec<u8> = "4111111111111111"
            .bytes()
            .map(|digit| digit - b'0' + 0xf0)
            .collect();
        mask(&mut bytes, &EBCDIC, Digits::Adjoin);
        assert_eq!(bytes[6..12], [0x5c; 6]);
        assert_eq!(bytes.iter().filter(|byte| **byte == 0x5c).count(), 6);
        let mut halves: Vec<u8> = "4111111111111111"
            .bytes()
            .map(|digit| digit - b'0')
            .collect();
        halves.push(0xc);
        mask(&mut halves, &DIGITS, Digits::Apart);
        assert_eq!(halves[6..12], [u8::MAX; 6]);
    }
}
