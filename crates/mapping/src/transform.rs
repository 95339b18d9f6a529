//! `[transform]`: a stylesheet that a document goes through before it is read.
//!
//! # Where this sits
//!
//! ```text
//! body ──► transform (you are here) ──► the decoder of the source's format ──► records
//! ```
//!
//! The document is transformed whole; what the stylesheet writes is then read, checked and given ids as a document
//! that came in so. Positions of refusals are of what the stylesheet wrote, and say so; the original of a record
//! that is refused is the whole body, as no part of it can be told to be the record's.

use std::ops::Range;

use crate::{RecordOutcome, Refusal};

/// A stylesheet with what it is given.
#[derive(Debug)]
pub(crate) struct Transform {
    #[cfg(feature = "xslt")]
    pub(crate) sheet: xslt::Stylesheet,
    /// Parameters of the stylesheet.
    pub(crate) parameters: Vec<(String, String)>,
    pub(crate) limits: TransformLimits,
}

/// Limits that a mapping may set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TransformLimits {
    pub(crate) steps_max: u64,
    pub(crate) template_depth_max: usize,
    pub(crate) result_bytes_max: usize,
}

impl Default for TransformLimits {
    fn default() -> Self {
        Self {
            steps_max: 20_000_000,
            template_depth_max: 10_000,
            result_bytes_max: 64 << 20,
        }
    }
}

impl Transform {
    /// Most bytes of what the stylesheet may write.
    pub(crate) fn result_bytes_max(&self) -> usize {
        self.limits.result_bytes_max
    }

    /// What the stylesheet makes of a body.
    #[cfg(feature = "xslt")]
    pub(crate) fn apply(&self, body: &[u8], limits: &crate::Limits) -> Result<Vec<u8>, Refusal> {
        use crate::refusal::rule;
        use xslt::Cause;

        let default = xslt::Limits::default();
        let own = xslt::Limits {
            document_bytes_max: limits.body_bytes_max,
            depth_max: limits.depth_max,
            steps_max: self.limits.steps_max,
            template_depth_max: self.limits.template_depth_max,
            result_bytes_max: self.limits.result_bytes_max,
            ..default
        };
        let parameters: Vec<(&str, &str)> = self
            .parameters
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let output = self.sheet.transform(body, &parameters, &own);
        output.map(|output| output.bytes).map_err(|error| {
            let (offset, rule) = match error.cause {
                Cause::Document { offset } if error.message.contains("not UTF-8") => {
                    (offset, rule::UTF_8)
                }
                Cause::Document { offset } if error.message.contains("DOCTYPE") => {
                    (offset, rule::DOCTYPE)
                }
                Cause::Document { offset } => (offset, rule::XML),
                Cause::Limit("document_bytes_max") => (0, rule::BODY_BYTES),
                Cause::Limit("depth_max") => (0, rule::DEPTH),
                _ => (0, rule::TRANSFORM),
            };
            let detail = match error.cause {
                Cause::Terminated => format!("the stylesheet refuses the document: {error}"),
                Cause::Document { .. } => error.message.clone(),
                _ => error.to_string(),
            };
            crate::document_refusal(body, offset, rule, detail)
        })
    }

    /// Never called, as no mapping with a stylesheet compiles.
    #[cfg(not(feature = "xslt"))]
    pub(crate) fn apply(&self, body: &[u8], _: &crate::Limits) -> Result<Vec<u8>, Refusal> {
        let rule = crate::refusal::rule::TRANSFORM;
        Err(crate::document_refusal(body, 0, rule, ABSENT.to_owned()))
    }
}

/// Why there are no stylesheets.
#[cfg(not(feature = "xslt"))]
pub(crate) const ABSENT: &str =
    "this Daybook was built without stylesheets (feature `xslt` of the crate `mapping`)";

/// What became of a record of the transformed document, for those who know the body only.
pub(crate) fn outside(outcome: RecordOutcome, whole: &Range<u32>) -> RecordOutcome {
    match outcome {
        RecordOutcome::Translated(mut record) => {
            record.original = whole.clone();
            RecordOutcome::Translated(record)
        }
        RecordOutcome::Refused(mut refused) => {
            refused.original = whole.clone();
            refused.refusal = inside(refused.refusal);
            RecordOutcome::Refused(refused)
        }
    }
}

/// A refusal whose position is in what the stylesheet wrote.
pub(crate) fn inside(mut refusal: Refusal) -> Refusal {
    refusal
        .detail
        .push_str(" (the position is in the transformed document)");
    refusal
}
