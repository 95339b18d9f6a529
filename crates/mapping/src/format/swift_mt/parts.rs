//! Fields that have a grammar, cut into named parts.
//!
//! Only parts that the mapping reads are made. What holds money must follow its grammar, or the record
//! is refused; of everything else a part that cannot be made out is absent, and the whole field is
//! still there.

use std::borrow::Cow;

use super::values::{Moment, decimal, money, zoned};
use super::{information, party, statement};
use crate::plan::NodeId;
use crate::record::{Assembler, Value};
use crate::refusal::{Problem, Refusal, rule, shown};

/// What a field looks like inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grammar {
    /// No parts.
    Plain,
    /// Block 1: `F01AAAABBCCAXXX0000000000`.
    BasicHeader,
    /// Block 2: `I103AAAABBCCXXXXN` or `O103…`.
    ApplicationHeader,
    /// Blocks 3 and 5: `{121:…}{119:COV}`.
    Tags,
    /// 13D, 13: `2611231815+0100`.
    Time,
    /// 19: an amount without currency; 36: a rate.
    Number,
    /// 25: `bank/account`, 25P with a BIC on its second line.
    Account,
    /// 28C, 28, 28D: `number/page`.
    Page,
    /// 30: `261123`.
    Date,
    /// 32A: `261123EUR12,50`.
    DatedMoney,
    /// 32B, 33B, 71F: `EUR12,50`.
    Money,
    /// 34F: `EURD12,50`.
    FloorLimit,
    /// 50K, 52A, 59F, …
    Party,
    /// 60F, 62M, 64, …: `C261123EUR12,50`.
    Balance,
    /// 61: a transaction of a statement.
    Statement,
    /// 86: what the bank says about it.
    Information,
    /// 90C, 90D: `3EUR12,50`.
    Sum,
}

/// The tag of what is no field of SWIFT's: banks in Germany, Austria and Hungary put their own data behind
/// it, into statements and behind entries.
pub(crate) const NON_SWIFT: &str = "NS";

/// Whether a text is a field's tag: two digits and perhaps a letter, or [`NON_SWIFT`].
pub(crate) fn is_tag(text: &str) -> bool {
    if text == NON_SWIFT {
        return true;
    }
    match text.as_bytes() {
        [a, b] => a.is_ascii_digit() && b.is_ascii_digit(),
        [a, b, c] => a.is_ascii_digit() && b.is_ascii_digit() && c.is_ascii_uppercase(),
        _ => false,
    }
}

/// The grammar of a field or block.
pub(crate) fn grammar(name: &str) -> Grammar {
    match name {
        "1" => Grammar::BasicHeader,
        "2" => Grammar::ApplicationHeader,
        "3" | "5" => Grammar::Tags,
        "13" | "13D" => Grammar::Time,
        "19" | "36" => Grammar::Number,
        "25" | "25P" => Grammar::Account,
        "28" | "28C" | "28D" => Grammar::Page,
        "30" | "30T" | "30V" => Grammar::Date,
        "32A" | "32C" | "32D" | "33A" | "34A" => Grammar::DatedMoney,
        "32B" | "33B" | "34B" | "71F" | "71G" => Grammar::Money,
        "34F" => Grammar::FloorLimit,
        "61" => Grammar::Statement,
        "86" => Grammar::Information,
        "90C" | "90D" => Grammar::Sum,
        _ => match name.get(..2) {
            Some("60" | "62" | "64" | "65") => Grammar::Balance,
            Some("50" | "51" | "52" | "53" | "54" | "55" | "56" | "57" | "58" | "59") => {
                Grammar::Party
            }
            _ => Grammar::Plain,
        },
    }
}

impl Grammar {
    /// Names of the parts; `None` where any name may be one.
    pub(crate) fn names(self) -> Option<&'static [&'static str]> {
        Some(match self {
            Self::Plain => &[],
            Self::BasicHeader => &["bic", "session", "sequence"],
            Self::ApplicationHeader => &["type", "direction", "bic", "sent"],
            Self::Tags | Self::Information => return None,
            Self::Time => &["time"],
            Self::Number => &["number"],
            Self::Account => &["bank", "account", "bic"],
            Self::Page => &["number", "page"],
            Self::Date => &["date"],
            Self::DatedMoney => &["date", "currency", "amount"],
            Self::Money => &["currency", "amount"],
            Self::FloorLimit => &["currency", "mark", "amount"],
            Self::Party => &["account", "bic", "name"],
            Self::Balance => &["mark", "date", "currency", "amount"],
            Self::Statement => statement::PARTS,
            Self::Sum => &["count", "currency", "amount"],
        })
    }
}

/// Where the parts of one field go.
pub(super) struct Sink<'s, 'a, 'b> {
    records: &'s mut Assembler<'a, 'b>,
    node: NodeId,
    offset: usize,
}

impl<'s, 'a, 'b> Sink<'s, 'a, 'b> {
    pub(super) fn new(records: &'s mut Assembler<'a, 'b>, node: NodeId, offset: usize) -> Self {
        Self {
            records,
            node,
            offset,
        }
    }

    /// Hands a part over, if the mapping reads it. An empty one is absent.
    pub(super) fn put(&mut self, name: &str, text: &str) -> Result<(), Refusal> {
        if text.is_empty() {
            return Ok(());
        }
        let plan = self.records.plan;
        let Some(child) = plan.child(self.node, name) else {
            return Ok(());
        };
        match plan.nodes[usize::from(child)].slot {
            Some(slot) => self
                .records
                .value(slot, Value::Unescaped(text), self.offset),
            None => Ok(()),
        }
    }

    /// The field does not follow its grammar, and it matters.
    pub(super) fn malformed(&mut self, tag: &str, text: &str, right: &str) -> Result<(), Refusal> {
        let detail = format!("{} is no field {tag} such as {right}", shown(text));
        let problem = Problem::new(tag, rule::SWIFT_MT, detail);
        self.records.spoil(self.offset, problem)
    }
}

/// Cuts a field into its parts. `is_last`: the body ends with it, so that it may be cut off.
pub(super) fn cut(
    sink: &mut Sink<'_, '_, '_>,
    tag: &str,
    text: &str,
    is_last: bool,
) -> Result<(), Refusal> {
    match grammar(tag) {
        Grammar::Plain => Ok(()),
        Grammar::BasicHeader => basic_header(sink, text),
        Grammar::ApplicationHeader => application_header(sink, text),
        Grammar::Tags => tags(sink, text),
        Grammar::Time => time(sink, text),
        Grammar::Number => match decimal(text) {
            Some(number) => sink.put("number", &number),
            None => sink.malformed(tag, text, "1234,5"),
        },
        Grammar::Account => account(sink, text),
        Grammar::Page => {
            let (number, page) = text.split_once('/').unwrap_or((text, ""));
            sink.put("number", number.trim())?;
            sink.put("page", page.trim())
        }
        Grammar::Date => match Moment::date(text) {
            Some(date) => sink.put("date", date.as_str()),
            None => sink.put("date", text),
        },
        Grammar::DatedMoney => dated_money(sink, tag, "", text),
        Grammar::Money => put_money(sink, tag, text, "EUR1234,5"),
        Grammar::FloorLimit => floor_limit(sink, tag, text),
        Grammar::Party => party::cut(sink, tag, text),
        Grammar::Balance => {
            let mark = text.get(..1).unwrap_or_default();
            dated_money(sink, tag, mark, text)
        }
        Grammar::Statement => statement::cut(sink, text, is_last),
        Grammar::Information => information::cut(sink, text),
        Grammar::Sum => sum(sink, tag, text),
    }
}

fn put_money(
    sink: &mut Sink<'_, '_, '_>,
    tag: &str,
    text: &str,
    right: &str,
) -> Result<(), Refusal> {
    let Some((currency, amount)) = money(text) else {
        return sink.malformed(tag, text, right);
    };
    sink.put("currency", currency)?;
    sink.put("amount", &amount)
}

/// A date and money, behind a mark of one letter where there is one.
fn dated_money(
    sink: &mut Sink<'_, '_, '_>,
    tag: &str,
    mark: &str,
    text: &str,
) -> Result<(), Refusal> {
    let rest = &text[mark.len()..];
    let is_mark = matches!(mark, "" | "C" | "D");
    let (Some(date), Some(found), true) = (rest.get(..6), rest.get(6..), is_mark) else {
        return sink.malformed(tag, text, "261123EUR1234,5");
    };
    sink.put("mark", mark)?;
    match Moment::date(date) {
        Some(date) => sink.put("date", date.as_str())?,
        None => sink.put("date", date)?,
    }
    put_money(sink, tag, found, "261123EUR1234,5")
}

fn floor_limit(sink: &mut Sink<'_, '_, '_>, tag: &str, text: &str) -> Result<(), Refusal> {
    let (Some(currency), Some(rest)) = (text.get(..3), text.get(3..)) else {
        return sink.malformed(tag, text, "EURD1234,5");
    };
    let number = rest.trim_start_matches(['C', 'D']);
    let Some(amount) = decimal(number) else {
        return sink.malformed(tag, text, "EURD1234,5");
    };
    sink.put("currency", currency)?;
    sink.put("mark", &rest[..rest.len() - number.len()])?;
    sink.put("amount", &amount)
}

fn sum(sink: &mut Sink<'_, '_, '_>, tag: &str, text: &str) -> Result<(), Refusal> {
    let rest = text.trim_start_matches(|character: char| character.is_ascii_digit());
    sink.put("count", &text[..text.len() - rest.len()])?;
    put_money(sink, tag, rest, "3EUR1234,5")
}

fn time(sink: &mut Sink<'_, '_, '_>, text: &str) -> Result<(), Refusal> {
    match zoned(text.trim()) {
        Some(time) => sink.put("time", &time),
        None => Ok(()),
    }
}

fn account(sink: &mut Sink<'_, '_, '_>, text: &str) -> Result<(), Refusal> {
    let mut lines = text.lines().map(str::trim);
    let first = lines.next().unwrap_or_default();
    match first.split_once('/') {
        Some((bank, account)) => {
            sink.put("bank", bank)?;
            sink.put("account", account)?;
        }
        None => sink.put("account", first)?,
    }
    sink.put("bic", lines.next().unwrap_or_default())
}

fn basic_header(sink: &mut Sink<'_, '_, '_>, text: &str) -> Result<(), Refusal> {
    if let Some(terminal) = text.get(3..15) {
        sink.put("bic", &bic_of_terminal(terminal))?;
    }
    sink.put("session", text.get(15..19).unwrap_or_default())?;
    sink.put("sequence", text.get(19..25).unwrap_or_default())
}

/// `I` + type + receiver + …, or `O` + type + input time + input date, terminal, session, sequence + …
fn application_header(sink: &mut Sink<'_, '_, '_>, text: &str) -> Result<(), Refusal> {
    sink.put("direction", text.get(..1).unwrap_or_default())?;
    sink.put("type", text.get(1..4).unwrap_or_default())?;
    if let Some(terminal) = other_terminal(text) {
        sink.put("bic", &bic_of_terminal(terminal))?;
    }
    if text.starts_with('O')
        && let (Some(clock), Some(date)) = (text.get(4..8), text.get(8..14))
        && let Some(sent) = zoned(&format!("{date}{clock}"))
    {
        sink.put("sent", &sent)?;
    }
    Ok(())
}

/// The logical terminal of the other side in a block 2.
pub(super) fn other_terminal(block: &str) -> Option<&str> {
    match block.as_bytes().first()? {
        b'I' => block.get(4..16),
        b'O' => block.get(14..26),
        _ => None,
    }
}

/// The BIC in a logical terminal, without the letter of the terminal and the branch `XXX`.
pub(super) fn bic_of_terminal(terminal: &str) -> Cow<'_, str> {
    match (terminal.get(..8), terminal.get(9..)) {
        (Some(bic), Some("XXX")) => Cow::Borrowed(bic),
        (Some(bic), Some(branch)) => Cow::Owned(format!("{bic}{branch}")),
        _ => Cow::Borrowed(terminal),
    }
}

/// `{121:…}{119:COV}`: a part each.
fn tags(sink: &mut Sink<'_, '_, '_>, text: &str) -> Result<(), Refusal> {
    for piece in text.split('{').skip(1) {
        let piece = piece.split('}').next().unwrap_or_default();
        if let Some((name, value)) = piece.split_once(':') {
            sink.put(name, value)?;
        }
    }
    Ok(())
}
