//! What goes to the quarantine: the original bytes, bounded, with the reason.

use std::ops::Range;

use bytes::Bytes;
use mapping::{Refusal, Refused};

use crate::outbox::{QuarantineReason, RecordRef};

/// Messages for the quarantine while they are collected.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    pub(crate) records: Vec<RecordRef>,
    pub(crate) reasons: Vec<QuarantineReason>,
    pub(crate) names: Vec<u8>,
    /// What is kept of the originals, and no byte more: a message that waits in the queue would hold the whole
    /// buffer that the body came in.
    pub(crate) kept: Vec<u8>,
}

impl Entries {
    /// A whole request: one message, however many of its records are wrong.
    pub(crate) fn request(source: &str, body: &Bytes, refusal: &Refusal, bytes_max: usize) -> Self {
        let mut entries = Self::default();
        entries.push(source, body, 0..body.len(), refusal, 0, bytes_max);
        entries
    }

    /// Single records: one message each.
    pub(crate) fn records(
        source: &str,
        body: &Bytes,
        refused: &[Refused],
        bytes_max: usize,
    ) -> Self {
        let mut entries = Self::default();
        for record in refused {
            let range = record.original.start as usize..record.original.end as usize;
            let number = record.refusal.record.unwrap_or(0);
            entries.push(source, body, range, &record.refusal, number, bytes_max);
        }
        entries
    }

    fn push(
        &mut self,
        source: &str,
        body: &Bytes,
        original: Range<usize>,
        refusal: &Refusal,
        record: u64,
        bytes_max: usize,
    ) {
        let kept = &body[original.start..original.end.min(original.start + bytes_max)];
        let id = quarantine_id(source, record, original.len(), kept);
        let kept_start = self.kept.len() as u32;
        self.kept.extend_from_slice(kept);
        let start = self.names.len() as u32;
        self.names.extend_from_slice(id.as_bytes());
        let end = self.names.len() as u32;
        self.records.push(RecordRef {
            body: kept_start..self.kept.len() as u32,
            id: start..end,
            account: end..end,
        });
        self.reasons.push(QuarantineReason {
            record,
            rule: refusal.rule,
            field: refusal.field.clone().unwrap_or_default(),
            detail: refusal.to_string().into(),
            original_bytes: original.len(),
        });
    }
}

/// The same refused bytes, sent again, have the same id.
fn quarantine_id(source: &str, record: u64, length: usize, kept: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&record.to_be_bytes());
    hasher.update(&(length as u64).to_be_bytes());
    hasher.update(&(source.len() as u64).to_be_bytes());
    hasher.update(source.as_bytes());
    hasher.update(kept);
    let mut hex = hasher.finalize().to_hex();
    hex.truncate(32);
    format!("q-{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_large_body_only_what_is_refused_is_held() {
        let mut body = vec![b'.'; 1 << 20];
        body[10..14].copy_from_slice(b"five");
        body[500_000..500_003].copy_from_slice(b"six");
        let refused = [(5, 10..14), (6, 500_000..500_003)].map(|(number, original)| Refused {
            original,
            refusal: Refusal {
                record: Some(number),
                line: 1,
                offset: 0,
                field: None,
                rule: mapping::rule::MISSING,
                detail: String::new(),
            },
        });
        let entries = Entries::records("s", &body.into(), &refused, 4);
        assert_eq!(entries.kept, b"fivesix");
        let bodies: Vec<_> = entries
            .records
            .iter()
            .map(|record| record.body.clone())
            .collect();
        assert_eq!(bodies, [0..4, 4..7]);
    }
}
