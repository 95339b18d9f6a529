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

use crate::{Limits, RecordOutcome, Refusal};

/// A stylesheet with what it is given.
#[cfg(feature = "xslt")]
#[derive(Debug)]
pub(crate) struct Transform {
    pub(crate) sheet: xslt::Stylesheet,
    /// Parameters of the stylesheet.
    pub(crate) parameters: Vec<(String, String)>,
    /// What the mapping allows it; size and depth of a document are the gateway's to say.
    pub(crate) limits: xslt::Limits,
}

/// There is none: no mapping with a stylesheet compiles.
#[cfg(not(feature = "xslt"))]
#[derive(Debug)]
pub(crate) enum Transform {}

#[cfg(not(feature = "xslt"))]
impl Transform {
    pub(crate) fn result_bytes_max(&self) -> usize {
        match *self {}
    }

    pub(crate) fn apply(&self, _: &[u8], _: &Limits) -> Result<Vec<u8>, Refusal> {
        match *self {}
    }
}

#[cfg(feature = "xslt")]
impl Transform {
    /// Most bytes of what the stylesheet may write.
    pub(crate) fn result_bytes_max(&self) -> usize {
        self.limits.result_bytes_max
    }

    /// What the stylesheet makes of a body.
    pub(crate) fn apply(&self, body: &[u8], limits: &Limits) -> Result<Vec<u8>, Refusal> {
        use crate::refusal::rule;
        use xslt::{Cause, Fault};

        let own = xslt::Limits {
            document_bytes_max: limits.body_bytes_max,
            depth_max: limits.depth_max,
            ..self.limits
        };
        let parameters = self.parameters.iter();
        let parameters: Vec<(&str, &str)> = parameters
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let output = self.sheet.transform(body, &parameters, &own);
        output.map(|output| output.bytes).map_err(|error| {
            let (offset, rule) = match error.cause {
                Cause::Document { offset, fault } => match fault {
                    Fault::NotUtf8 => (offset, rule::UTF_8),
                    Fault::Doctype => (offset, rule::DOCTYPE),
                    Fault::Xml => (offset, rule::XML),
                },
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
}

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
