//! Documents made from a text with gaps: any format, without knowing it.
//!
//! A gap is a lower-case word in braces, such as `{id}` or `{minor:12}`; other braces are left alone, so JSON and
//! SWIFT blocks need no escapes. What stands between `{each}` and `{end}` is written once a record.
//!
//! # Invariants
//!
//! - A document follows from its number alone: made again it is the same, and its sums are known without it.
//! - Nothing is parsed while the load runs: a template is a list of pieces.

use std::io::Write as _;

use jiff::Timestamp;

use crate::random::mix;

/// Largest template, in bytes: as much as a gateway takes in one request as it comes.
pub(crate) const TEMPLATE_BYTES_MAX: usize = 16 << 20;
/// Widest gap, in characters.
const WIDTH_MAX: usize = 64;
/// Digits of a fixed id that count records; those in front of them tell kinds and runs apart.
const ID_NUMBER_DIGITS: usize = 7;
/// What may stand in braces.
const NAMES: &str = "{id} {number} {account} {amount} {signed} {comma} {minor} {count} {sum} {sum_comma} {sum_minor} {time} \
     {each} {end}, with a width as in {minor:12}, and {time:%y%m%d}";

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadTemplate {
    #[error("at byte {at}: there is no {{{name}}}; there are {NAMES}")]
    Name { at: usize, name: String },
    #[error("at byte {at}: a width is a number from 1 to {WIDTH_MAX}, not {width:?}")]
    Width { at: usize, width: String },
    #[error("at byte {at}: the pattern {pattern:?} is no time's: {why}")]
    Time {
        at: usize,
        pattern: String,
        why: String,
    },
    #[error("at byte {at}: {{each}} and {{end}} come once, in this order")]
    Each { at: usize },
    #[error("it has {bytes} bytes, at most {TEMPLATE_BYTES_MAX} are possible")]
    TooLong { bytes: usize },
    #[error("it is empty")]
    Empty,
}

/// How an amount is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `12.50`
    Point,
    /// `-12.50`, or without the minus.
    Signed,
    /// `12,50`
    Comma,
    /// `1250`
    Minor,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Id(Option<usize>),
    Number(Option<usize>),
    Account(Option<usize>),
    Count(Option<usize>),
    Amount(Form, Option<usize>),
    Sum(Form, Option<usize>),
}

/// A text with gaps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Template {
    head: Vec<Piece>,
    /// Written once a record; empty in a template of one record.
    each: Vec<Piece>,
    tail: Vec<Piece>,
    repeats: bool,
}

/// Which document of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Document<'r> {
    pub(crate) seed: u64,
    /// Position of the kind in the mix.
    pub(crate) kind: usize,
    /// Number of the first record; no other document of the kind has it or the following `records - 1`.
    pub(crate) first: u64,
    pub(crate) records: u64,
    pub(crate) accounts: u64,
    /// Front of accounts' names.
    pub(crate) prefix: &'r str,
}

/// What one record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) number: u64,
    pub(crate) account: u64,
    /// 1 to 99,999.
    pub(crate) cents: u64,
    pub(crate) is_negative: bool,
}

impl Record {
    /// As `{signed}` writes it.
    pub(crate) fn signed(self) -> i64 {
        // Below 100,000, so that the conversion holds.
        let cents = i64::try_from(self.cents).unwrap_or(0);
        if self.is_negative { -cents } else { cents }
    }
}

impl Document<'_> {
    /// The `index`th record, from 0.
    pub(crate) fn record(&self, index: u64) -> Record {
        let number = self.first + index;
        let drawn = mix(self.seed.rotate_left(17) ^ mix(number) ^ self.kind as u64);
        Record {
            number,
            account: mix(drawn) % self.accounts.max(1),
            cents: drawn % 99_999 + 1,
            is_negative: drawn >> 63 == 1,
        }
    }

    fn sum(&self) -> u64 {
        (0..self.records)
            .map(|index| self.record(index).cents)
            .sum()
    }
}

impl Template {
    /// Reads a template; all times in it become `now`.
    pub(crate) fn parse(text: &[u8], now: Timestamp) -> Result<Self, BadTemplate> {
        if text.is_empty() {
            return Err(BadTemplate::Empty);
        }
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(BadTemplate::TooLong { bytes: text.len() });
        }
        let mut parser = Parser::default();
        let mut at = 0;
        while at < text.len() {
            at += match gap(&text[at..]) {
                Some((name, argument, length)) => {
                    parser.gap(at, name, argument, now)?;
                    length
                }
                None => {
                    parser.byte(text[at]);
                    1
                }
            };
        }
        parser.finish(text.len())
    }

    /// Whether it has a part that comes once a record.
    pub(crate) fn repeats(&self) -> bool {
        self.repeats
    }

    /// Appends a document.
    pub(crate) fn push(&self, document: &Document<'_>, out: &mut Vec<u8>) {
        let first = document.record(0);
        for piece in &self.head {
            piece.push(document, first, out);
        }
        if !self.each.is_empty() {
            for index in 0..document.records {
                let record = document.record(index);
                for piece in &self.each {
                    piece.push(document, record, out);
                }
            }
        }
        for piece in &self.tail {
            piece.push(document, first, out);
        }
    }
}

/// The gap at the front of a text: name, argument, length with its braces.
fn gap(text: &[u8]) -> Option<(&str, Option<&str>, usize)> {
    /// Longest name with its argument.
    const GAP_BYTES_MAX: usize = 128;
    let inner = text.strip_prefix(b"{")?;
    let end = inner
        .iter()
        .take(GAP_BYTES_MAX)
        .position(|byte| *byte == b'}')?;
    let inner = std::str::from_utf8(&inner[..end]).ok()?;
    let (name, argument) = match inner.split_once(':') {
        Some((name, argument)) => (name, Some(argument)),
        None => (inner, None),
    };
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    (!name.is_empty() && name.bytes().all(is_word)).then_some((name, argument, end + 2))
}

#[derive(Debug, Default)]
struct Parser {
    template: Template,
    pieces: Vec<Piece>,
    /// Between `{each}` and `{end}`.
    inside: bool,
}

impl Parser {
    fn byte(&mut self, byte: u8) {
        match self.pieces.last_mut() {
            Some(Piece::Text(text)) => text.push(byte),
            _ => self.pieces.push(Piece::Text(vec![byte])),
        }
    }

    fn gap(
        &mut self,
        at: usize,
        name: &str,
        argument: Option<&str>,
        now: Timestamp,
    ) -> Result<(), BadTemplate> {
        match name {
            "each" if !self.template.repeats => {
                self.template.head = std::mem::take(&mut self.pieces);
                self.template.repeats = true;
                self.inside = true;
                return Ok(());
            }
            "end" if self.inside => {
                self.template.each = std::mem::take(&mut self.pieces);
                self.inside = false;
                return Ok(());
            }
            "each" | "end" => return Err(BadTemplate::Each { at }),
            "time" => {
                let time = time_text(at, argument, now)?;
                time.bytes().for_each(|byte| self.byte(byte));
                return Ok(());
            }
            _ => {}
        }
        let width = argument.map(|text| width_of(at, text)).transpose()?;
        self.pieces.push(match name {
            "id" => Piece::Id(width),
            "number" => Piece::Number(width),
            "account" => Piece::Account(width),
            "count" => Piece::Count(width),
            "amount" => Piece::Amount(Form::Point, width),
            "signed" => Piece::Amount(Form::Signed, width),
            "comma" => Piece::Amount(Form::Comma, width),
            "minor" => Piece::Amount(Form::Minor, width),
            "sum" => Piece::Sum(Form::Point, width),
            "sum_comma" => Piece::Sum(Form::Comma, width),
            "sum_minor" => Piece::Sum(Form::Minor, width),
            _ => {
                let name = name.to_owned();
                return Err(BadTemplate::Name { at, name });
            }
        });
        Ok(())
    }

    fn finish(mut self, end: usize) -> Result<Template, BadTemplate> {
        if self.inside {
            return Err(BadTemplate::Each { at: end });
        }
        match self.template.repeats {
            true => self.template.tail = self.pieces,
            false => self.template.head = self.pieces,
        }
        Ok(self.template)
    }
}

fn width_of(at: usize, text: &str) -> Result<usize, BadTemplate> {
    let width = text
        .parse()
        .ok()
        .filter(|width| (1..=WIDTH_MAX).contains(width));
    width.ok_or_else(|| BadTemplate::Width {
        at,
        width: text.to_owned(),
    })
}

fn time_text(at: usize, pattern: Option<&str>, now: Timestamp) -> Result<String, BadTemplate> {
    let Some(pattern) = pattern else {
        return Ok(format!("{now:.3}"));
    };
    let utc = now.to_zoned_datetime(jiff::tz::TimeZone::UTC);
    jiff::fmt::strtime::format(pattern, &utc).map_err(|why| BadTemplate::Time {
        at,
        pattern: pattern.to_owned(),
        why: why.to_string(),
    })
}

impl Piece {
    fn push(&self, document: &Document<'_>, record: Record, out: &mut Vec<u8>) {
        match *self {
            Self::Text(ref text) => out.extend_from_slice(text),
            Self::Id(None) => {
                let (seed, kind, number) = (document.seed, document.kind, record.number);
                // Writing to memory cannot fail, here and below.
                let _ = write!(out, "bench-{seed}-{kind}-{number}");
            }
            Self::Id(Some(width)) => push_fixed_id(document, record.number, width, out),
            Self::Number(width) => push_digits(record.number, width, out),
            Self::Account(None) => {
                let _ = write!(out, "{}{}", document.prefix, record.account);
            }
            Self::Account(width) => push_digits(record.account, width, out),
            Self::Count(width) => push_digits(document.records, width, out),
            Self::Amount(form, width) => {
                push_amount(record.cents, form, record.is_negative, width, out);
            }
            Self::Sum(form, width) => push_amount(document.sum(), form, false, width, out),
        }
    }
}

/// Digits, with zeros in front up to the width; of a number that is wider the last ones.
fn push_digits(number: u64, width: Option<usize>, out: &mut Vec<u8>) {
    let begin = out.len();
    let _ = match width {
        None => write!(out, "{number}"),
        Some(width) => write!(out, "{number:0width$}"),
    };
    let excess = (out.len() - begin).saturating_sub(width.unwrap_or(usize::MAX));
    out.drain(begin..begin + excess);
}

fn push_amount(cents: u64, form: Form, negative: bool, width: Option<usize>, out: &mut Vec<u8>) {
    if form == Form::Minor {
        return push_digits(cents, width, out);
    }
    let begin = out.len();
    let sign = if form == Form::Signed && negative {
        "-"
    } else {
        ""
    };
    let point = if form == Form::Comma { ',' } else { '.' };
    let _ = write!(out, "{sign}{}{point}{:02}", cents / 100, cents % 100);
    // Texts of a fixed width end in spaces, as in fixed-width records.
    let missing = width.unwrap_or(0).saturating_sub(out.len() - begin);
    out.extend(std::iter::repeat_n(b' ', missing));
}

/// An id of exactly `width` characters 0-9 and A-Z: the kind, as much of the seed as fits, the record's number.
fn push_fixed_id(document: &Document<'_>, number: u64, width: usize, out: &mut Vec<u8>) {
    let digits = width.min(ID_NUMBER_DIGITS);
    if width > digits {
        push_base36(document.kind as u64, 1, out);
        push_base36(document.seed, width - digits - 1, out);
    }
    push_base36(number, digits, out);
}

fn push_base36(mut number: u64, digits: usize, out: &mut Vec<u8>) {
    let begin = out.len();
    for _ in 0..digits {
        let digit = u8::try_from(number % 36).unwrap_or(0);
        out.push(if digit < 10 {
            b'0' + digit
        } else {
            b'A' + digit - 10
        });
        number /= 36;
    }
    out[begin..].reverse();
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn document(first: u64, records: u64) -> Document<'static> {
        Document {
            seed: 7,
            kind: 2,
            first,
            records,
            accounts: 5,
            prefix: "bench-7-",
        }
    }

    #[track_caller]
    fn check(text: &str, expected: Expect) {
        let mut out = Vec::new();
        match Template::parse(text.as_bytes(), Timestamp::UNIX_EPOCH) {
            Ok(template) => template.push(&document(40, 3), &mut out),
            Err(error) => out = error.to_string().into_bytes(),
        }
        expected.assert_eq(&String::from_utf8_lossy(&out));
    }

    #[test]
    fn gaps_are_filled_and_other_braces_left_alone() {
        check(
            r#"{1:F01X}{2:I}{"id":"{id}","a":{signed}} {id:12}|{id:4}|{number}|{number:6}|{number:1}|{account}|{account:3}"#,
            expect![[
                r#"{1:F01X}{2:I}{"id":"bench-7-2-40","a":274.16} 200070000014|0014|40|000040|0|bench-7-0|000"#
            ]],
        );
        check(
            "{time} {time:%y%m%d} {amount}|{amount:9}|{comma}|{minor}|{minor:12}|{minor:2}",
            expect![
                "1970-01-01T00:00:00.000Z 700101 274.16|274.16   |274,16|27416|000000027416|16"
            ],
        );
        check(
            "n={count:3} s={sum} {sum_comma} {sum_minor:10}\n{each}{number};{amount};{signed}\n{end}.",
            expect![[r#"
                n=003 s=953.06 953,06 0000095306
                40;274.16;274.16
                41;169.00;169.00
                42;509.90;509.90
                ."#]],
        );
    }

    #[test]
    fn what_is_no_template_is_explained() {
        check(
            "x{amout}",
            expect![
                "at byte 1: there is no {amout}; there are {id} {number} {account} {amount} {signed} {comma} {minor} {count} {sum} {sum_comma} {sum_minor} {time} {each} {end}, with a width as in {minor:12}, and {time:%y%m%d}"
            ],
        );
        check(
            "{id:0}",
            expect![[r#"at byte 0: a width is a number from 1 to 64, not "0""#]],
        );
        check(
            "{id:64}",
            expect!["2000000000000000000000000000000000000000000000000000000070000014"],
        );
        check(
            "{id:65}",
            expect![[r#"at byte 0: a width is a number from 1 to 64, not "65""#]],
        );
        check(
            "{each}{end}{each}",
            expect!["at byte 11: {each} and {end} come once, in this order"],
        );
        check(
            "{each}",
            expect!["at byte 6: {each} and {end} come once, in this order"],
        );
        check(
            "{end}",
            expect!["at byte 0: {each} and {end} come once, in this order"],
        );
        check("", expect!["it is empty"]);
        let longest = vec![b'x'; TEMPLATE_BYTES_MAX];
        assert!(Template::parse(&longest, Timestamp::UNIX_EPOCH).is_ok());
        let longer = vec![b'x'; TEMPLATE_BYTES_MAX + 1];
        assert!(Template::parse(&longer, Timestamp::UNIX_EPOCH).is_err());
    }

    #[test]
    fn any_bytes_are_a_template_or_refused() {
        let text = b"{each}{id:12}{time:%Y}{amount}{end}\xff{1:x}";
        for cut in 0..text.len() {
            let _ = Template::parse(&text[..cut], Timestamp::UNIX_EPOCH);
        }
        let mut random = crate::random::Random::new(11);
        for _ in 0..20_000 {
            let mut changed = text.to_vec();
            let place = usize::try_from(random.below(changed.len() as u64)).expect("small");
            changed[place] = u8::try_from(random.below(256)).expect("a byte");
            if let Ok(template) = Template::parse(&changed, Timestamp::UNIX_EPOCH) {
                template.push(&document(0, 2), &mut Vec::new());
            }
        }
    }
}
