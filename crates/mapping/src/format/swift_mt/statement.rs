//! Field 61, one transaction of a statement: `6!n[4!n]2a[1!a]15d1!a3!c16x[//16x][34x]`.
//!
//! What banks do otherwise, and is read: references longer than 16 characters, no type behind the
//! amount, blanks at the ends of lines and in the place of a missing entry date or funds code, several
//! lines of details.

use super::parts::Sink;
use super::values::{Moment, days_in, decimal, number};
use crate::refusal::Refusal;

/// Names of the parts.
pub(super) const PARTS: &[&str] = &[
    "value_date",
    "entry_date",
    "mark",
    "funds_code",
    "amount",
    "type",
    "customer_reference",
    "bank_reference",
    "details",
];

const RIGHT: &str = "2611231123C12,50NTRFREF//BANKREF";

/// The pieces of a field 61 as they stand.
struct Entry<'t> {
    value_date: &'t str,
    entry_date: &'t str,
    mark: &'t str,
    funds_code: &'t str,
    amount: &'t str,
    kind: &'t str,
    references: &'t str,
}

/// Cuts a field 61. `is_last`: the body ends with it.
pub(super) fn cut(sink: &mut Sink<'_, '_, '_>, text: &str, is_last: bool) -> Result<(), Refusal> {
    let (line, details) = text.split_once('\n').unwrap_or((text, ""));
    let line = line.trim_end();
    let Some(entry) = entry(line) else {
        return sink.malformed("61", line, RIGHT);
    };
    let Some(amount) = decimal(entry.amount) else {
        return sink.malformed("61", line, RIGHT);
    };
    if entry.kind.is_empty() && is_last {
        // Nothing says that the digits of the amount did not go on.
        return sink.malformed("61", line, RIGHT);
    }
    sink.put("mark", entry.mark)?;
    sink.put("amount", &amount)?;
    sink.put("funds_code", entry.funds_code)?;
    sink.put("type", entry.kind)?;
    dates(sink, entry.value_date, entry.entry_date)?;
    let (customer, bank) = entry
        .references
        .split_once("//")
        .unwrap_or((entry.references, ""));
    sink.put("customer_reference", customer.trim())?;
    sink.put("bank_reference", bank.trim())?;
    sink.put("details", details.trim())
}

fn entry(line: &str) -> Option<Entry<'_>> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (value_date, entry_date, rest) = match digits(line) {
        6 => (&line[..6], "", &line[6..]),
        10 => (&line[..6], &line[6..10], &line[10..]),
        _ => return None,
    };
    // ASN Bank fills the place of a missing entry date with blanks.
    let rest = rest.trim_start_matches(' ');
    // EC and ED are expected entries, RC and RD entries taken back.
    let mark_length = match rest.as_bytes() {
        [b'R' | b'E', b'C' | b'D', ..] => 2,
        [b'C' | b'D', ..] => 1,
        _ => return None,
    };
    let (mark, rest) = rest.split_at(mark_length);
    let funds_length = usize::from(rest.starts_with(|letter: char| letter.is_ascii_uppercase()));
    let (funds_code, rest) = rest.split_at(funds_length);
    let rest = rest.trim_start_matches(' ');
    let amount_length = rest
        .bytes()
        .take_while(|byte| byte.is_ascii_digit() || matches!(byte, b',' | b'.'))
        .count();
    let (amount, rest) = rest.split_at(amount_length);
    let is_kind = |kind: &str| {
        kind.starts_with(|letter: char| letter.is_ascii_uppercase())
            && kind
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b' ')
    };
    let kind = rest.get(..4).filter(|kind| is_kind(kind)).unwrap_or("");
    Some(Entry {
        value_date,
        entry_date,
        mark,
        funds_code,
        amount,
        kind,
        references: &rest[kind.len()..],
    })
}

/// The value date, and the day on which the bank booked, which has no year of its own.
///
/// Banks that count every month as 30 days write value dates such as 30 February: they mean the
/// month's last day. An entry date that does not exist is absent, a value date that does not exist
/// either is handed over as it stands, so that what reads it says so.
fn dates(sink: &mut Sink<'_, '_, '_>, value: &str, entry: &str) -> Result<(), Refusal> {
    match value_date(value) {
        Some(date) => sink.put("value_date", date.as_str())?,
        None => sink.put("value_date", value)?,
    }
    match entry_date(value, entry) {
        Some(date) => sink.put("entry_date", date.as_str()),
        None => Ok(()),
    }
}

fn value_date(text: &str) -> Option<Moment> {
    if let Some(date) = Moment::date(text) {
        return Some(date);
    }
    let (year, month, day) = (
        year_of(text)?,
        number(text.get(2..4)?)?,
        number(text.get(4..)?)?,
    );
    if month != 2 || day > 30 {
        return None;
    }
    Moment::of(year, month, days_in(year, month)?)
}

fn year_of(value: &str) -> Option<u32> {
    let year = number(value.get(..2)?)?;
    Some(if year > 79 {
        1_900 + year
    } else {
        2_000 + year
    })
}

/// The entry date is within half a year of the value date, so months more than six apart are in two
/// years.
fn entry_date(value: &str, entry: &str) -> Option<Moment> {
    let (month, day) = (number(entry.get(..2)?)?, number(entry.get(2..)?)?);
    let year = year_of(value)?;
    let value_month = number(value.get(2..4)?)?;
    let year = if month + 6 < value_month {
        year + 1
    } else if month > value_month + 6 {
        year - 1
    } else {
        year
    };
    Moment::of(year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let actual = entry(line).map_or_else(
            || "none".to_owned(),
            |entry| {
                [
                    entry.value_date,
                    entry.entry_date,
                    entry.mark,
                    entry.funds_code,
                    entry.amount,
                    entry.kind,
                    entry.references,
                ]
                .join("|")
            },
        );
        assert_eq!(actual, expected, "{line}");
    }

    #[test]
    fn entries() {
        check(
            "1701190119CN0,01NTRFNONREF//MB170119012058",
            "170119|0119|C|N|0,01|NTRF|NONREF//MB170119012058",
        );
        check("1105240524D9,N192NONREF", "110524|0524|D||9,|N192|NONREF");
        check(
            "1602300301DR6,00N024NONREF",
            "160230|0301|D|R|6,00|N024|NONREF",
        );
        check("100722RCR25,03FMSC", "100722||RC|R|25,03|FMSC|");
        check("100722RD25,03S103X", "100722||RD||25,03|S103|X");
        check("100722D10,00", "100722||D||10,00||");
        check("200101    D65,00NOVB", "200101||D||65,00|NOVB|");
        check("2001010102C 65,00NOVB", "200101|0102|C||65,00|NOVB|");
        check("200101    ", "none");
        check("100722D10,00//X", "100722||D||10,00||//X");
        check("1007220D10,00NTRF", "none");
        check("100722X10,00NTRF", "none");
        check("", "none");
    }

    #[test]
    fn entry_dates_have_the_nearest_year() {
        let date = |value, entry| entry_date(value, entry).map(|date| date.as_str().to_owned());
        assert_eq!(date("161230", "0102").as_deref(), Some("2017-01-02"));
        assert_eq!(date("170102", "1230").as_deref(), Some("2016-12-30"));
        assert_eq!(date("160230", "0301").as_deref(), Some("2016-03-01"));
        assert_eq!(date("160301", "0230"), None);
        assert_eq!(date("160301", ""), None);
        let value = |text| value_date(text).map(|date| date.as_str().to_owned());
        assert_eq!(value("160230").as_deref(), Some("2016-02-29"));
        assert_eq!(value("150229").as_deref(), Some("2015-02-28"));
        assert_eq!(value("160231"), None);
        assert_eq!(value("160431"), None);
    }
}
