//! For people who write mappings: what a sample gives, why, and a draft to begin with.
//!
//! Behind `daybook mapping test`, `explain` and `infer`. Pure like the rest of the crate: samples in,
//! text out; none of it is on the way of a transaction.

mod diff;
mod explain;
mod guess;
mod infer;
mod sample;

pub use diff::unified;
pub use explain::explain;
pub use infer::{Draft, infer};

use crate::{Context, Limits, Mapping, RecordOutcome};

/// When examples arrive if nothing else is said: 2026-11-23T12:00:00Z, in microseconds since 1970.
pub const ARRIVAL: i64 = 1_795_435_200_000_000;

/// What a body gives, a JSON object a line: the canonical transactions, `{"refused": …}` for a record
/// that is not one, `{"passed_over": …}` with their number, `{"document_refused": …}`.
///
/// Ids that are made from an `Idempotency-Key` are made from the key `example`.
pub fn example(mapping: &Mapping, body: &[u8], arrival: i64) -> String {
    let mut context = Context {
        received_at: arrival,
        idempotency_key: Some("example"),
        first_record: 1,
        lines: false,
        new_id: &mut || "made-up".to_owned(),
    };
    let mut out = Vec::new();
    let mut outcomes = Vec::new();
    let limits = Limits::default();
    let result = mapping.decode_counted(body, &mut context, &limits, &mut out, &mut |outcome| {
        outcomes.push(outcome);
    });
    let mut text = String::new();
    for outcome in outcomes {
        match outcome {
            RecordOutcome::Translated(record) => {
                let range = record.json.start as usize..record.json.end as usize;
                text.push_str(&String::from_utf8_lossy(&out[range]));
                text.push('\n');
            }
            RecordOutcome::Refused(refused) => {
                push_object(&mut text, "refused", &refused.refusal.to_string());
            }
        }
    }
    match result {
        Ok(counts) if counts.passed_over > 0 => {
            text.push_str(&format!("{{\"passed_over\":{}}}\n", counts.passed_over));
        }
        Ok(_) => {}
        Err(refusal) => push_object(&mut text, "document_refused", &refusal.to_string()),
    }
    text
}

fn push_object(text: &mut String, key: &str, value: &str) {
    let mut escaped = Vec::new();
    crate::encode::write_string(&mut escaped, value);
    let escaped = String::from_utf8_lossy(&escaped);
    text.push_str(&format!("{{\"{key}\":\"{escaped}\"}}\n"));
}

/// A time such as `2026-11-23T12:00:00Z` in microseconds since 1970; `None` if it is none.
pub fn arrival(text: &str) -> Option<i64> {
    let moment: jiff::Timestamp = text.trim().parse().ok()?;
    Some(moment.as_microsecond())
}
