//! Numbers with check digits. Each answers what is wrong, in a sentence without the number.

use super::hint;

/// An IBAN's country and length: the registry that SWIFT keeps for ISO 13616.
#[rustfmt::skip]
const IBAN_LENGTHS: &[(&str, usize)] = &[
    ("AD", 24), ("AE", 23), ("AL", 28), ("AT", 20), ("AZ", 28), ("BA", 20), ("BE", 16), ("BG", 22),
    ("BH", 22), ("BI", 27), ("BR", 29), ("BY", 28), ("CH", 21), ("CR", 22), ("CY", 28), ("CZ", 24),
    ("DE", 22), ("DJ", 27), ("DK", 18), ("DO", 28), ("EE", 20), ("EG", 29), ("ES", 24), ("FI", 18),
    ("FK", 18), ("FO", 18), ("FR", 27), ("GB", 22), ("GE", 22), ("GI", 23), ("GL", 18), ("GR", 27),
    ("GT", 28), ("HN", 28), ("HR", 21), ("HU", 28), ("IE", 22), ("IL", 23), ("IQ", 23), ("IS", 26),
    ("IT", 27), ("JO", 30), ("KW", 30), ("KZ", 20), ("LB", 28), ("LC", 32), ("LI", 21), ("LT", 20),
    ("LU", 20), ("LV", 21), ("LY", 25), ("MC", 27), ("MD", 24), ("ME", 22), ("MK", 19), ("MN", 20),
    ("MR", 27), ("MT", 31), ("MU", 30), ("NI", 28), ("NL", 18), ("NO", 15), ("OM", 23), ("PK", 24),
    ("PL", 28), ("PS", 29), ("PT", 25), ("QA", 29), ("RO", 24), ("RS", 22), ("RU", 33), ("SA", 24),
    ("SC", 31), ("SD", 18), ("SE", 24), ("SI", 19), ("SK", 24), ("SM", 27), ("SO", 23), ("ST", 25),
    ("SV", 28), ("TL", 23), ("TN", 24), ("TR", 26), ("UA", 29), ("VA", 22), ("VG", 24), ("XK", 20),
    ("YE", 30),
];

/// Characters of an account number of a country, which is two capital letters; `None` where there are no such numbers.
pub fn iban_length(country: &str) -> Option<usize> {
    let found = IBAN_LENGTHS.binary_search_by(|(known, _)| known.cmp(&country));
    found.ok().map(|found| IBAN_LENGTHS[found].1)
}

/// The sum of the Luhn formula (ISO/IEC 7812-1, annex B) over digits from 0 to 9 of which the last is the check digit: a number is right when it
/// is a multiple of ten.
pub fn luhn_sum(digits: impl DoubleEndedIterator<Item = u8>) -> u32 {
    let from_last = digits.rev().map(u32::from).enumerate();
    let weighed = from_last.map(|(index, digit)| match (index % 2, digit) {
        (0, _) => digit,
        (_, 5..) => digit * 2 - 9,
        _ => digit * 2,
    });
    weighed.sum()
}

/// ISO 13616: a country, two check digits (ISO 7064 MOD 97-10), an account of that country's length.
pub(super) fn iban(text: &str) -> Result<(), String> {
    only(text, "A to Z and 0 to 9", is_code)?;
    let country = text.get(..2).unwrap_or(text);
    let Some(length) = iban_length(country) else {
        return Err(format!(
            "{} does not begin with a country that has IBANs",
            hint(text)
        ));
    };
    if text.len() != length {
        return Err(format!(
            "{} has {} characters, an IBAN of {country} has {length}",
            hint(text),
            text.len()
        ));
    }
    // Every length of the table is more than four.
    let (head, account) = text.split_at(4);
    let (country, given) = head.split_at(2);
    let right = 98 - mod_97([account, country, "00"]);
    check_digits(text, given, &format!("{right:02}"))
}

/// ISO 17442: 18 characters and two check digits (ISO 7064 MOD 97-10).
pub(super) fn lei(text: &str) -> Result<(), String> {
    only(text, "A to Z and 0 to 9", is_code)?;
    if text.len() != 20 {
        return Err(format!(
            "{} has {} characters, a LEI has 20",
            hint(text),
            text.len()
        ));
    }
    let (entity, given) = text.split_at(18);
    let right = 98 - mod_97([entity, "00", ""]);
    check_digits(text, given, &format!("{right:02}"))
}

/// ISO 9362: four characters of the business, two letters of its country, two of its place, and
/// none or three of the branch.
pub(super) fn bic(text: &str) -> Result<(), String> {
    only(text, "A to Z and 0 to 9", is_code)?;
    if !matches!(text.len(), 8 | 11) {
        return Err(format!(
            "{} has {} characters, a BIC has 8 or 11",
            hint(text),
            text.len()
        ));
    }
    let country = text.get(4..6).unwrap_or_default();
    if country.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Ok(());
    }
    Err(format!(
        "{} has {country:?} in places 5 and 6, where the two letters of its country belong",
        hint(text)
    ))
}

/// Croatia's OIB: eleven digits, the last one by ISO 7064 MOD 11,10.
pub(super) fn oib(text: &str) -> Result<(), String> {
    only(text, "digits", |byte| byte.is_ascii_digit())?;
    if text.len() != 11 {
        return Err(format!(
            "{} has {} digits, an OIB has 11",
            hint(text),
            text.len()
        ));
    }
    let (number, given) = text.split_at(10);
    let rest = number.bytes().fold(10, |rest, byte| {
        let sum = (rest + u32::from(byte - b'0')) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    check_digits(text, given, &((11 - rest) % 10).to_string())
}

/// ISO/IEC 7812: 8 to 19 digits, the last one by the Luhn formula.
pub(super) fn luhn(text: &str) -> Result<(), String> {
    only(text, "digits", |byte| byte.is_ascii_digit())?;
    if !(8..=19).contains(&text.len()) {
        return Err(format!(
            "{} has {} digits, a card's number has 8 to 19",
            hint(text),
            text.len()
        ));
    }
    let (number, given) = text.split_at(text.len() - 1);
    let sum = luhn_sum(number.bytes().map(|byte| byte - b'0').chain([0]));
    check_digits(text, given, &((10 - sum % 10) % 10).to_string())
}

fn is_code(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

fn only(text: &str, what: &str, is_right: impl Fn(u8) -> bool) -> Result<(), String> {
    let wrong = text
        .chars()
        .enumerate()
        .find(|(_, character)| !u8::try_from(*character).is_ok_and(&is_right));
    match wrong {
        None => Ok(()),
        Some((place, wrong)) => Err(format!(
            "{} has {wrong:?} in place {}, only {what} are allowed",
            hint(text),
            place + 1
        )),
    }
}

fn check_digits(text: &str, given: &str, right: &str) -> Result<(), String> {
    if given == right {
        return Ok(());
    }
    let what = if right.len() == 1 {
        "the check digit of"
    } else {
        "the check digits of"
    };
    Err(format!(
        "{what} {} should be {right}, not {given}: a character is wrong, or two are swapped",
        hint(text)
    ))
}

/// ISO 7064 MOD 97-10 over the parts in a row; a letter is a number from 10 to 35.
fn mod_97(parts: [&str; 3]) -> u32 {
    parts
        .iter()
        .flat_map(|part| part.bytes())
        .fold(0, |rest, byte| match byte {
            b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
            b'A'..=b'Z' => (rest * 100 + u32::from(byte - b'A') + 10) % 97,
            _ => rest,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_sorted() {
        assert!(IBAN_LENGTHS.is_sorted());
    }

    #[test]
    fn numbers_that_are_right() {
        // IBANs: the examples of the registry. LEI: Bloomberg's. Cards: test numbers of the networks.
        for text in [
            "AD1200012030200359100100",
            "AT611904300234573201",
            "BE68539007547034",
            "CH9300762011623852957",
            "DE89370400440532013000",
            "FR1420041010050500013M02606",
            "GB29NWBK60161331926819",
            "HR1210010051863000160",
            "LC55HEMM000100010012001200023015",
            "MT84MALT011000012345MTLCAST001S",
            "NO9386011117947",
            "SI56263300012039086",
        ] {
            assert_eq!(iban(text), Ok(()), "{text}");
        }
        for text in ["5493001KJTIIGC8Y1R12", "7LTWFZYICNSX8D621K86"] {
            assert_eq!(lei(text), Ok(()), "{text}");
        }
        for text in ["DEUTDEFF", "ZABAHR2X", "DEUTDEFF500", "1234DE00"] {
            assert_eq!(bic(text), Ok(()), "{text}");
        }
        for text in ["33392005961", "94577403194"] {
            assert_eq!(oib(text), Ok(()), "{text}");
        }
        for text in ["4111111111111111", "5555555555554444", "378282246310005"] {
            assert_eq!(luhn(text), Ok(()), "{text}");
        }
    }

    /// ISO 7064 and the Luhn formula find every single wrong digit.
    #[test]
    fn every_wrong_digit_is_found() {
        type Test = fn(&str) -> Result<(), String>;
        let numbers: [(Test, &str); 4] = [
            (iban, "HR1210010051863000160"),
            (lei, "5493001KJTIIGC8Y1R12"),
            (oib, "33392005961"),
            (luhn, "4111111111111111"),
        ];
        for (check, right) in numbers {
            for place in 0..right.len() {
                let old = right.as_bytes()[place];
                for new in (b'0'..=b'9').filter(|new| old.is_ascii_digit() && *new != old) {
                    let mut wrong = right.as_bytes().to_vec();
                    wrong[place] = new;
                    let wrong = String::from_utf8(wrong).expect("ASCII");
                    let error = check(&wrong).expect_err(&wrong);
                    assert!(!error.contains(&wrong), "{error}");
                }
            }
        }
    }
}
