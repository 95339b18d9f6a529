//! A message as JSON: `{"mti":"0200","bitmap":"0011…","elements":{"3":"000000",…}}`.
//!
//! All values are texts, as they stand in the message with spaces and leading zeros; binary ones in
//! hexadecimal digits, bitmaps in bits. Nothing is masked: what is shown holds card data.

use crate::Limits;
use crate::encode::write_string;
use crate::refusal::{Refusal, rule};

use super::frame::{Frames, Framing};
use super::message::{self, Message};
use super::{Iso8583Plan, whole};

/// Hands each message of a body to `sink` as a JSON object; answers their number.
///
/// # Errors
///
/// [`Refusal`] of the first message that cannot be read.
pub(crate) fn show(
    plan: &Iso8583Plan,
    body: &[u8],
    limits: &Limits,
    sink: &mut dyn FnMut(&str),
) -> Result<u64, Refusal> {
    let mut frames = Frames::new(plan.framing, body);
    let mut message = Message::default();
    let mut count = 0;
    let refusal = |record, offset: usize, field: Option<u8>, rule, detail| Refusal {
        record,
        line: 1,
        offset: offset as u64,
        field: field.map(|field| field.to_string().into()),
        rule,
        detail,
    };
    loop {
        let frame = frames
            .next()
            .map_err(|(offset, detail)| refusal(None, offset, None, rule::FRAMING, detail))?;
        let Some((start, end)) = frame else {
            return Ok(count);
        };
        if count as usize >= limits.records_max {
            let detail = format!("the body has more than {} messages", limits.records_max);
            return Err(refusal(None, start, None, rule::RECORDS, detail));
        }
        count += 1;
        let bytes = &body[start..end];
        message::parse(plan, bytes, &mut message)
            .and_then(|()| whole(plan, bytes, &message))
            .map_err(|wrong| {
                refusal(
                    Some(count),
                    start + wrong.offset.min(bytes.len()),
                    wrong.field,
                    rule::ISO8583,
                    wrong.detail,
                )
            })?;
        if plan.framing == Framing::None {
            frames.ended(start + message.end);
        }
        let json = written(plan, bytes, &message).map_err(|(field, detail)| {
            let offset = message.place(field).map_or(0, |place| place.start);
            refusal(
                Some(count),
                start + offset,
                Some(field),
                rule::ISO8583,
                detail,
            )
        })?;
        // Made of texts that are UTF-8.
        sink(&String::from_utf8_lossy(&json));
    }
}

fn written(plan: &Iso8583Plan, bytes: &[u8], message: &Message) -> Result<Vec<u8>, (u8, String)> {
    let mut out = format!("{{\"mti\":\"{}\",\"bitmap\":\"", message.mti_text()).into_bytes();
    let bits = |bits: u128, out: &mut Vec<u8>| out.extend(format!("{:064b}", bits as u64).bytes());
    bits(message.bits >> 64, &mut out);
    out.extend_from_slice(b"\",\"elements\":{");
    if message.has(1) {
        out.extend_from_slice(b"\"1\":\"");
        bits(message.bits, &mut out);
        out.push(b'"');
    }
    let mut text = String::new();
    for number in message.numbers() {
        let (Some(spec), Some(place)) = (plan.spec.get(number), message.place(number)) else {
            continue;
        };
        text.clear();
        message::text(spec, plan.page, bytes, place, &mut text)
            .map_err(|detail| (number, format!("element {number} {detail}")))?;
        if out.last() != Some(&b'{') {
            out.push(b',');
        }
        out.extend_from_slice(format!("\"{number}\":\"").as_bytes());
        write_string(&mut out, &text);
        out.push(b'"');
    }
    out.extend_from_slice(b"}}");
    Ok(out)
}
