//! The two translations as somebody writes them for one message: nothing is configured, every name stands in the code. They give the same bytes as
//! the mappings `pain.001` and `json`, and check what those check: amount, digits and currency, time, control count and sum, nothing that is doubled or missing.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::Event;
use serde::Deserialize;
use types::Amount;

pub(crate) const RECEIVED: &str = "2026-11-23T12:00:00.000000Z";
const DEPTH_MAX: usize = 64;

fn digits(currency: &str) -> Option<u32> {
    Some(match currency {
        "EUR" | "USD" | "GBP" | "CHF" | "CZK" | "HUF" | "PLN" | "SEK" | "DKK" | "NOK" => 2,
        "JPY" | "KRW" | "ISK" | "CLP" => 0,
        "KWD" | "BHD" | "TND" => 3,
        _ => return None,
    })
}

fn string(out: &mut Vec<u8>, text: &str) {
    if !text
        .bytes()
        .any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\' || byte == 0x7f)
    {
        return out.extend_from_slice(text.as_bytes());
    }
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            other if other < ' ' || other == '\u{7f}' => {
                out.extend_from_slice(format!("\\u{:04x}", other as u32).as_bytes())
            }
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

fn member(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":\"");
    string(out, value);
    out.push(b'"');
}

fn amount(out: &mut Vec<u8>, text: &str, currency: &str) -> Option<Amount> {
    let amount = Amount::parse(text).ok()?;
    let digits = digits(currency)?;
    if amount.decimals() > digits {
        return None;
    }
    out.extend_from_slice(b",\"amount\":\"");
    use std::io::Write as _;
    write!(out, "{}", amount.display(digits)).ok()?;
    out.push(b'"');
    Some(amount)
}

/// `2026-11-23T10:15:00.123+01:00`, a day that is.
fn time(text: &str) -> Option<()> {
    text.parse::<jiff::Timestamp>().ok().map(|_| ())
}

#[derive(Deserialize)]
struct Transaction<'t> {
    #[serde(borrow)]
    id: Cow<'t, str>,
    #[serde(borrow)]
    account: Cow<'t, str>,
    #[serde(borrow)]
    amount: Cow<'t, str>,
    #[serde(borrow)]
    currency: Cow<'t, str>,
    #[serde(borrow)]
    booked_at: Cow<'t, str>,
    #[serde(borrow)]
    merchant: Option<Cow<'t, str>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'t, str>>,
    #[serde(borrow)]
    channel: Option<Cow<'t, str>>,
    #[serde(borrow)]
    category: Option<Cow<'t, str>>,
    #[serde(borrow)]
    country: Option<Cow<'t, str>>,
    #[serde(borrow)]
    reference: Option<Cow<'t, str>>,
    #[serde(borrow)]
    description: Option<Cow<'t, str>>,
}

pub(crate) fn json(body: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let one: Transaction<'_> = serde_json::from_slice(body).ok()?;
    time(&one.booked_at)?;
    out.extend_from_slice(b"{\"id\":\"");
    string(out, &one.id);
    out.extend_from_slice(b"\",\"source\":\"json\"");
    member(out, "account", &one.account);
    amount(out, &one.amount, &one.currency)?;
    member(out, "currency", &one.currency);
    member(out, "booked_at", &one.booked_at);
    member(out, "received_at", RECEIVED);
    let rest = [
        ("merchant", &one.merchant),
        ("type", &one.kind),
        ("channel", &one.channel),
        ("category", &one.category),
        ("country", &one.country),
        ("reference", &one.reference),
        ("description", &one.description),
    ];
    for (name, value) in rest {
        if let Some(value) = value {
            member(out, name, value);
        }
    }
    out.push(b'}');
    Some(())
}

/// What of the message stands around its transactions.
#[derive(Default)]
struct Around<'t> {
    message: Option<Cow<'t, str>>,
    created: Option<Cow<'t, str>>,
    count: Option<Cow<'t, str>>,
    sum: Option<Cow<'t, str>>,
    block: Option<Cow<'t, str>>,
    execution: Option<Cow<'t, str>>,
    debtor: Option<Cow<'t, str>>,
    account: Option<Cow<'t, str>>,
}

#[derive(Default)]
struct One<'t> {
    end_to_end: Option<Cow<'t, str>>,
    amount: Option<Cow<'t, str>>,
    currency: Option<Cow<'t, str>>,
    creditor: Option<Cow<'t, str>>,
    account: Option<Cow<'t, str>>,
}

pub(crate) fn pain(body: &str, out: &mut Vec<u8>) -> Option<()> {
    let mut reader = Reader::from_str(body);
    let mut path: Vec<&str> = Vec::with_capacity(12);
    let (mut around, mut one) = (Around::default(), One::default());
    let (mut count, mut total) = (0_u64, Amount::default());
    let mut text: Option<Cow<'_, str>> = None;
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                let name = &body[reader.buffer_position() as usize - start.len() - 1..]
                    [..start.name().as_ref().len()];
                path.push(name);
                text = None;
                if path.len() > DEPTH_MAX {
                    return None;
                }
                match path.len() {
                    1 => {
                        let namespace = start.try_get_attribute("xmlns").ok()??;
                        let value = &namespace.value;
                        if !value.starts_with("urn:iso:std:iso:20022:tech:xsd:pain.001.001.") {
                            return None;
                        }
                    }
                    6 if path[4] == "Amt" && name == "InstdAmt" => {
                        let currency = start.try_get_attribute("Ccy").ok()??;
                        one.currency = Some(Cow::Owned(currency.value.to_string()));
                    }
                    _ => {}
                }
            }
            Event::Text(piece) => {
                let end = reader.buffer_position() as usize;
                let piece = &body[end - piece.len()..end];
                text = Some(match text.take() {
                    None => Cow::Borrowed(piece),
                    Some(before) => before + piece,
                });
            }
            Event::GeneralRef(name) => {
                let one = match &*name {
                    "amp" => "&",
                    "lt" => "<",
                    "gt" => ">",
                    "quot" => "\"",
                    "apos" => "'",
                    _ => return None,
                };
                text = Some(text.take().unwrap_or_default() + one);
            }
            Event::End(_) => {
                let slot = match path.as_slice() {
                    [
                        "Document",
                        "CstmrCdtTrfInitn",
                        "PmtInf",
                        "CdtTrfTxInf",
                        inner @ ..,
                    ] => match inner {
                        [] => {
                            count += 1;
                            let amount = write(&around, &one, count, out)?;
                            total = total.checked_add(amount)?;
                            one = One::default();
                            None
                        }
                        ["PmtId", "EndToEndId"] => Some(&mut one.end_to_end),
                        ["Amt", "InstdAmt"] => Some(&mut one.amount),
                        ["Cdtr", "Nm"] => Some(&mut one.creditor),
                        ["CdtrAcct", "Id", "IBAN"] | ["CdtrAcct", "Id", "Othr", "Id"] => {
                            Some(&mut one.account)
                        }
                        _ => None,
                    },
                    ["Document", "CstmrCdtTrfInitn", "PmtInf", inner @ ..] => match inner {
                        ["PmtInfId"] => Some(&mut around.block),
                        ["ReqdExctnDt", "Dt"] | ["ReqdExctnDt"] => Some(&mut around.execution),
                        ["Dbtr", "Nm"] => Some(&mut around.debtor),
                        ["DbtrAcct", "Id", "IBAN"] | ["DbtrAcct", "Id", "Othr", "Id"] => {
                            Some(&mut around.account)
                        }
                        [] => {
                            (
                                around.block,
                                around.execution,
                                around.debtor,
                                around.account,
                            ) = (None, None, None, None);
                            None
                        }
                        _ => None,
                    },
                    ["Document", "CstmrCdtTrfInitn", "GrpHdr", inner] => match *inner {
                        "MsgId" => Some(&mut around.message),
                        "CreDtTm" => Some(&mut around.created),
                        "NbOfTxs" => Some(&mut around.count),
                        "CtrlSum" => Some(&mut around.sum),
                        _ => None,
                    },
                    _ => None,
                };
                if let Some(slot) = slot
                    && let Some(text) = text.take()
                    && slot.replace(text).is_some()
                {
                    return None;
                }
                text = None;
                path.pop();
            }
            Event::Empty(_) | Event::Decl(_) | Event::Comment(_) => {}
            Event::Eof => break,
            Event::CData(_) | Event::DocType(_) | Event::PI(_) => return None,
        }
    }
    let count_said = around
        .count
        .as_deref()
        .and_then(|count| count.parse::<u64>().ok());
    let sum_said = around.sum.as_deref().map(Amount::parse).transpose().ok()?;
    (path.is_empty() && count_said == Some(count) && sum_said.is_none_or(|sum| sum == total))
        .then_some(())
}

fn write(around: &Around<'_>, one: &One<'_>, number: u64, out: &mut Vec<u8>) -> Option<Amount> {
    let account = around.account.as_deref()?;
    let created = around.created.as_deref()?;
    let currency = one.currency.as_deref()?;
    time(created)?;
    out.extend_from_slice(b"{\"id\":\"");
    for part in [
        around.message.as_deref()?,
        around.block.as_deref()?,
        account,
    ] {
        if part.contains(['/', '~']) {
            string(out, &part.replace('~', "~0").replace('/', "~1"));
        } else {
            string(out, part);
        }
        out.push(b'/');
    }
    use std::io::Write as _;
    write!(out, "{number}").ok()?;
    out.extend_from_slice(b"\",\"source\":\"pain.001\"");
    member(out, "account", account);
    let amount = amount(out, one.amount.as_deref()?, currency)?;
    member(out, "currency", currency);
    member(out, "booked_at", created);
    member(out, "received_at", RECEIVED);
    if let Some(date) = &around.execution {
        member(out, "execution_date", date.get(..10)?);
    }
    let end_to_end = one.end_to_end.as_deref().filter(|id| *id != "NOTPROVIDED");
    let rest = [
        ("end_to_end_id", end_to_end),
        ("debtor", around.debtor.as_deref()),
        ("creditor", one.creditor.as_deref()),
        ("creditor_account", one.account.as_deref()),
    ];
    for (name, value) in rest {
        if let Some(value) = value {
            member(out, name, value);
        }
    }
    out.push(b'}');
    Some(amount)
}
