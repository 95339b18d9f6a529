//! From values to the fields of a transaction: texts, amounts, signs, times, in canonical JSON.

use std::ops::Range;

use types::{Amount, SCALE_DIGITS, currency_digits};

use crate::Limits;
use crate::encode::{write_amount, write_string};
use crate::plan::{
    AmountRule, ExtraKind, ExtraRule, Fields, ImpliedDecimals, Piece, Plan, SignRule, SlotId,
    Source, TextRule,
};
use crate::refusal::{Problem, rule, shown};
use crate::steps::Step;
use crate::time::{Fraction, received_at_text, write_rfc3339};
use crate::values::Values;

/// Writes a text; its range in `out` if it could be written as it is.
pub(crate) fn write_ranged(out: &mut Vec<u8>, text: &str) -> Option<Range<u32>> {
    let start = out.len() as u32;
    let escaped = write_string(out, text);
    (!escaped).then_some(start..out.len() as u32)
}

pub(crate) fn append(out: &mut Vec<u8>, text: &str) -> Range<u32> {
    let start = out.len() as u32;
    out.extend_from_slice(text.as_bytes());
    start..out.len() as u32
}

pub(crate) fn repeated(field: &str, slot: SlotId, plan: &Plan) -> Problem {
    let path = &plan.slots[usize::from(slot)].path;
    let detail =
        format!("{path} stands more than once in the record, so it is not clear which counts");
    Problem::new(field, rule::REPEATED, detail)
}

/// A text that other systems use as key: not too long, no control characters.
pub(crate) fn identifier(field: &str, text: &str, limits: &Limits) -> Result<(), Problem> {
    if text.len() > limits.id_bytes_max {
        let detail = format!(
            "{field} has {} bytes, at most {} are allowed",
            text.len(),
            limits.id_bytes_max
        );
        return Err(Problem::new(field, rule::ID_BYTES, detail));
    }
    if text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        let detail = format!("{} contains a control character", shown(text));
        return Err(Problem::new(field, rule::CONTROL_CHARACTER, detail));
    }
    Ok(())
}

/// A field's text after all its functions and checks; `None` when there is none.
pub(crate) fn text_of<'v>(
    rule: &'v TextRule,
    values: &'v Values<'_>,
    scratch: &'v mut String,
) -> Result<Option<&'v str>, Problem> {
    let text = match &values.given {
        Some(given) => given.text(&rule.name),
        None => unchecked_text_of(rule, values, scratch)?,
    };
    if let Some(text) = text {
        for check in &rule.checks {
            check.test(&rule.name, text)?;
        }
    }
    Ok(text)
}

/// A field's text as the record's values give it.
pub(crate) fn unchecked_text_of<'v>(
    rule: &'v TextRule,
    values: &'v Values<'_>,
    scratch: &'v mut String,
) -> Result<Option<&'v str>, Problem> {
    if let Some(when) = &rule.when
        && !when.holds(values)
    {
        return Ok(None);
    }
    let default = rule.default.as_deref();
    let Some((source, case_steps)) = source_of(rule, values) else {
        return Ok(default);
    };
    let has_steps = !(case_steps.is_empty() && rule.steps.is_empty());
    match source {
        Source::Const(text) if !has_steps => return Ok(Some(text)),
        Source::Const(text) => {
            scratch.clear();
            scratch.push_str(text);
        }
        Source::FirstOf(slots) => {
            let Some((slot, text)) = values.first_of(slots) else {
                return Ok(default);
            };
            unambiguous(rule, values, slot)?;
            if !has_steps {
                return Ok(Some(text));
            }
            scratch.clear();
            scratch.push_str(text);
        }
        Source::Template(pieces) => {
            scratch.clear();
            for piece in pieces {
                match piece {
                    Piece::Text(text) => scratch.push_str(text),
                    Piece::Slot(slot) => {
                        let Some(text) = values.get(*slot) else {
                            return Ok(default);
                        };
                        unambiguous(rule, values, *slot)?;
                        scratch.push_str(text);
                    }
                }
            }
        }
    }
    for step in case_steps.iter().chain(&rule.steps) {
        step.apply(&rule.name, scratch)?;
    }
    Ok(if scratch.is_empty() {
        default
    } else {
        Some(scratch)
    })
}

/// Where a field's text comes from in this record, and the case's own functions.
pub(crate) fn source_of<'r>(
    rule: &'r TextRule,
    values: &Values<'_>,
) -> Option<(&'r Source, &'r [Step])> {
    let case = rule
        .cases
        .iter()
        .find(|case| case.when.as_ref().is_none_or(|when| when.holds(values)));
    match case {
        Some(case) => Some((&case.source, &case.steps)),
        None => Some((rule.source.as_ref()?, &[])),
    }
}

pub(crate) fn unambiguous(
    rule: &TextRule,
    values: &Values<'_>,
    slot: SlotId,
) -> Result<(), Problem> {
    if values.repeated(slot) && !rule.repeated_first {
        let detail = "the value stands more than once in the record; `repeated = \"first\"` in the \
                      mapping would take the first";
        return Err(Problem::new(&rule.name, rule::REPEATED, detail));
    }
    Ok(())
}

pub(crate) fn required<'v>(
    rule: &'v TextRule,
    values: &'v Values<'_>,
    scratch: &'v mut String,
) -> Result<&'v str, Problem> {
    text_of(rule, values, scratch)?.ok_or_else(|| {
        Problem::new(
            &rule.name,
            rule::MISSING,
            format!("{} is missing or empty", rule.name),
        )
    })
}

/// Writes the amount and the currency with what stands between them; the amount as it was written.
pub(crate) fn write_money(
    out: &mut Vec<u8>,
    fields: &Fields,
    values: &Values<'_>,
    scratch: &mut String,
) -> Result<Amount, Problem> {
    let (currency, digits) = currency_of(fields, values, scratch)?;
    let rule = &fields.amount;
    let text = required(&rule.text, values, scratch)?;
    let amount = written_amount(rule, text, digits)?;
    if rule.currency_digits && amount.decimals() > digits {
        let detail = format!(
            "{} has more decimal digits than {} has, which is {digits}",
            shown(text),
            String::from_utf8_lossy(&currency)
        );
        return Err(Problem::new("amount", rule::CURRENCY_DIGITS, detail));
    }
    let amount = signed(&rule.sign, amount, values, scratch)?;
    write_amount(out, amount, digits);
    out.extend_from_slice(b"\",\"currency\":\"");
    out.extend_from_slice(&currency);
    Ok(amount)
}

/// The amount without its sign where that stands elsewhere: what a document's control sum adds up.
pub(crate) fn unsigned_amount(
    fields: &Fields,
    values: &Values<'_>,
    scratch: &mut String,
) -> Result<Amount, Problem> {
    let digits = match fields.amount.implied {
        Some(ImpliedDecimals::OfCurrency) => currency_of(fields, values, scratch)?.1,
        _ => 0,
    };
    let text = required(&fields.amount.text, values, scratch)?;
    written_amount(&fields.amount, text, digits)
}

/// The currency's code and its number of decimal digits.
fn currency_of(
    fields: &Fields,
    values: &Values<'_>,
    scratch: &mut String,
) -> Result<([u8; 3], u32), Problem> {
    let code = required(&fields.currency, values, scratch)?;
    // Nearly every amount is in one of these; the whole table costs as much as the amount itself.
    let known = match code {
        "EUR" | "USD" | "GBP" | "CHF" => Some(2),
        other => currency_digits(other),
    };
    let Some(digits) = known else {
        let detail = format!("{} is no ISO 4217 currency code such as EUR", shown(code));
        return Err(Problem::new("currency", rule::CURRENCY, detail));
    };
    let mut currency = [0_u8; 3];
    currency.copy_from_slice(code.as_bytes());
    Ok((currency, digits))
}

fn written_amount(rule: &AmountRule, text: &str, digits: u32) -> Result<Amount, Problem> {
    match rule.implied {
        None => parse_amount("amount", text, rule.decimal_comma),
        Some(ImpliedDecimals::Digits(decimals)) => implied_amount(text, decimals),
        Some(ImpliedDecimals::OfCurrency) => implied_amount(text, digits),
    }
}

pub(crate) fn parse_amount(
    field: &str,
    text: &str,
    decimal_comma: bool,
) -> Result<Amount, Problem> {
    let result = if !decimal_comma {
        Amount::parse(text)
    } else if text.contains('.') {
        let detail = format!(
            "{} has a point, but this source writes a decimal comma",
            shown(text)
        );
        return Err(Problem::new(field, rule::AMOUNT, detail));
    } else {
        Amount::parse(&text.replacen(',', ".", 1))
    };
    result.map_err(|error| Problem::new(field, rule::AMOUNT, format!("{}: {error}", shown(text))))
}

/// An amount written without its decimal point: `1250` with two decimals is 12.50.
fn implied_amount(text: &str, decimals: u32) -> Result<Amount, Problem> {
    if text.contains(['.', ',']) {
        let detail = format!(
            "{} has a decimal point, but this source writes amounts without one",
            shown(text)
        );
        return Err(Problem::new("amount", rule::AMOUNT, detail));
    }
    let whole = parse_amount("amount", text, false)?;
    // A whole number has `SCALE_DIGITS` zeros behind it, so nothing is lost.
    let units = whole.units() / 10_i128.pow(decimals.min(SCALE_DIGITS));
    Amount::from_units(units).ok_or_else(|| {
        Problem::new(
            "amount",
            rule::AMOUNT,
            format!("{} is too large", shown(text)),
        )
    })
}

pub(crate) fn signed(
    rule: &SignRule,
    amount: Amount,
    values: &Values<'_>,
    scratch: &mut String,
) -> Result<Amount, Problem> {
    let negative = match rule {
        SignRule::Own => return Ok(amount),
        SignRule::Fixed { negative } => *negative,
        SignRule::Indicator {
            source,
            credit,
            debit,
        } => {
            let text = indicator(source, values, scratch);
            let is = |known: &[Box<str>]| {
                known.iter().any(|known| {
                    **known == *text || (known.contains(['*', '?']) && types::glob(known, text))
                })
            };
            if is(debit) {
                true
            } else if is(credit) {
                false
            } else {
                let detail = format!(
                    "{} is neither a credit ({}) nor a debit ({})",
                    shown(text),
                    credit.join(", "),
                    debit.join(", ")
                );
                return Err(Problem::new("amount", rule::SIGN, detail));
            }
        }
    };
    if amount.is_negative() {
        let detail = "the amount has a sign of its own beside its credit or debit indicator";
        return Err(Problem::new("amount", rule::SIGN, detail));
    }
    Ok(if negative { amount.negated() } else { amount })
}

/// The text that says whether an amount is a credit; empty where it is missing.
fn indicator<'v>(source: &'v Source, values: &'v Values<'_>, scratch: &'v mut String) -> &'v str {
    match source {
        Source::Const(text) => text,
        Source::FirstOf(slots) => values.first_of(slots).map_or("", |(_, text)| text),
        Source::Template(pieces) => {
            scratch.clear();
            for piece in pieces {
                match piece {
                    Piece::Text(text) => scratch.push_str(text),
                    Piece::Slot(slot) => scratch.push_str(values.get(*slot).unwrap_or_default()),
                }
            }
            scratch
        }
    }
}

pub(crate) fn write_booked_at(
    out: &mut Vec<u8>,
    fields: &Fields,
    values: &Values<'_>,
    scratch: &mut String,
    received_at: i64,
) -> Result<(), Problem> {
    let text = required(&fields.booked_at, values, scratch)?;
    let problem = |rule, detail| Problem::new("booked_at", rule, detail);
    let moment = fields
        .booked_time
        .parse(text, received_at)
        .map_err(|error| problem(rule::TIME, format!("{} {error}", shown(text))))?;
    if moment.micros < 0 {
        let detail = format!("{} is before 1970-01-01", shown(text));
        return Err(problem(rule::BEFORE_1970, detail));
    }
    if moment.micros.saturating_sub(received_at) > fields.future_max_micros {
        let detail = format!(
            "{} is more than {} minutes ahead of its arrival at {}",
            shown(text),
            fields.future_max_micros / 60_000_000,
            received_at_text(received_at)
        );
        return Err(problem(rule::FUTURE, detail));
    }
    write_rfc3339(out, moment, Fraction::IfAny);
    Ok(())
}

pub(crate) fn write_extra(
    out: &mut Vec<u8>,
    extra: &ExtraRule,
    values: &Values<'_>,
    scratch: &mut String,
    received_at: i64,
) -> Result<(), Problem> {
    let name = &extra.text.name;
    let Some(text) = text_of(&extra.text, values, scratch)? else {
        if extra.text.optional {
            return Ok(());
        }
        return Err(Problem::new(
            name,
            rule::MISSING,
            format!("{name} is missing or empty"),
        ));
    };
    out.extend_from_slice(extra.prefix.as_bytes());
    match &extra.kind {
        ExtraKind::Text => {
            write_string(out, text);
        }
        ExtraKind::Time(time) => {
            let moment = time.parse(text, received_at).map_err(|error| {
                Problem::new(name, rule::TIME, format!("{} {error}", shown(text)))
            })?;
            write_rfc3339(out, moment, Fraction::IfAny);
        }
        ExtraKind::Decimal { decimal_comma } => {
            write_amount(out, parse_amount(name, text, *decimal_comma)?, 0);
        }
    }
    out.push(b'"');
    Ok(())
}
