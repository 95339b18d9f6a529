//! The answer to a request: its MTI plus 10, elements repeated, others set. A pure function.

use crate::refusal::{Refusal, rule};

use super::encoding::write;
use super::message::{self, Message, Wrong};
use super::spec::Encoding;
use super::{Header, Iso8583Plan};

/// Builds the reply to one message; see [`crate::Mapping::iso8583_reply`].
pub(crate) fn reply(
    plan: &Iso8583Plan,
    request: &[u8],
    set: &[(u8, &str)],
) -> Result<Vec<u8>, Refusal> {
    let refusal = |wrong: Wrong| Refusal {
        record: None,
        line: 1,
        offset: wrong.offset.min(request.len()) as u64,
        field: wrong.field.map(|field| field.to_string().into()),
        rule: rule::ISO8583,
        detail: wrong.detail,
    };
    let mut message = Message::default();
    message::parse(plan, request, &mut message).map_err(refusal)?;
    build(plan, request, &message, set).map_err(refusal)
}

fn build(
    plan: &Iso8583Plan,
    request: &[u8],
    message: &Message,
    set: &[(u8, &str)],
) -> Result<Vec<u8>, Wrong> {
    let wrong = |field: Option<u8>, detail: String| Wrong {
        offset: message.mti_start,
        field,
        detail,
    };
    let mti = reply_mti(&message.mti).ok_or_else(|| {
        let detail = format!(
            "{} is no request: nothing is to be answered",
            message.mti_text()
        );
        wrong(None, detail)
    })?;
    let text_of = |number: u8| {
        set.iter()
            .find(|(known, _)| *known == number)
            .map(|(_, text)| *text)
    };
    let is_there = |number: u8| {
        text_of(number).is_some() || (plan.echo.contains(&number) && message.has(number))
    };
    let mut out = Vec::with_capacity(request.len() + 8);
    header(plan, request, message, &mut out);
    write_digits(plan, plan.mti, &mti, &mut out);
    let mut bits = (2..=super::LAST)
        .filter(|number| is_there(*number))
        .fold(0_u128, |bits, number| bits | 1 << (super::LAST - number));
    let second = bits as u64 != 0;
    if second {
        bits |= 1 << (super::LAST - 1);
    }
    write_bitmap(plan, (bits >> 64) as u64, &mut out);
    if second {
        write_bitmap(plan, bits as u64, &mut out);
    }
    for number in (2..=super::LAST).filter(|number| is_there(*number)) {
        let spec = plan.spec.get(number);
        match (text_of(number), message.place(number), spec) {
            (Some(text), _, Some(spec)) => {
                write(text, spec, plan.page, &mut out).map_err(|detail| {
                    wrong(
                        Some(number),
                        format!("the text for element {number} {detail}"),
                    )
                })?
            }
            (None, Some(place), _) => {
                out.extend_from_slice(request.get(place.begin..place.end).unwrap_or_default());
            }
            _ => {
                return Err(wrong(
                    Some(number),
                    format!("element {number} is not in the specification"),
                ));
            }
        }
    }
    Ok(out)
}

/// Request to response, advice to response, notification to acknowledgement; a repeat is answered like
/// the first one. `None` for what is an answer itself.
fn reply_mti(mti: &[u8; 4]) -> Option<[u8; 4]> {
    let [version, class, function, origin] = *mti;
    let asks = matches!(function, b'0' | b'2' | b'4');
    let origin = match origin {
        b'1' | b'3' | b'5' => origin - 1,
        other => other,
    };
    asks.then_some([version, class, function + 1, origin])
}

fn header(plan: &Iso8583Plan, request: &[u8], message: &Message, out: &mut Vec<u8>) {
    let bytes = request.get(..message.mti_start).unwrap_or_default();
    match (plan.header, bytes) {
        (Header::Tpdu, [id, to1, to2, from1, from2]) => {
            out.extend([id, from1, from2, to1, to2]);
        }
        _ => out.extend_from_slice(bytes),
    }
}

fn write_digits(plan: &Iso8583Plan, encoding: Encoding, digits: &[u8; 4], out: &mut Vec<u8>) {
    match encoding {
        Encoding::Bcd | Encoding::BcdLeft => {
            out.extend(
                digits
                    .chunks_exact(2)
                    .map(|pair| (pair[0] & 15) << 4 | pair[1] & 15),
            );
        }
        Encoding::Ebcdic if plan.page.ebcdic => out.extend(digits.map(|digit| digit - b'0' + 0xf0)),
        _ => out.extend_from_slice(digits),
    }
}

fn write_bitmap(plan: &Iso8583Plan, bits: u64, out: &mut Vec<u8>) {
    let text = format!("{bits:016X}");
    match plan.bitmap {
        Encoding::Binary => out.extend_from_slice(&bits.to_be_bytes()),
        Encoding::Ebcdic if plan.page.ebcdic => out.extend(text.bytes().map(|digit| match digit {
            b'0'..=b'9' => digit - b'0' + 0xf0,
            letter => letter - b'A' + 0xc1,
        })),
        _ => out.extend_from_slice(text.as_bytes()),
    }
}
