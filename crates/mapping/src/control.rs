//! Control totals of JSON and XML documents: a count and a sum that the document says of its records.
//!
//! They may stand in front of the records or behind them; they are compared when the element around
//! the records ends, which is seen when the next one begins or the document is over. A difference
//! refuses the document.

use types::{Amount, SCALE_DIGITS};

use crate::plan::SlotId;
use crate::values::Values;

/// What a document says of the records in one of its elements.
#[derive(Debug)]
pub(crate) struct ControlPlan {
    /// Level of the element.
    pub(crate) scope: u8,
    /// Holds the number of its records.
    pub(crate) count: Option<SlotId>,
    /// Holds the sum of their amounts, as they are written.
    pub(crate) sum: Option<SlotId>,
}

/// What was met in the open element.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    records: u64,
    /// In units of [`Amount`].
    units: i128,
    /// The amount of some record cannot be read, which is told of that record.
    unknown: bool,
    /// Where count and sum stand.
    offsets: [usize; 2],
}

/// A difference: which slot, where, and what is wrong.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) slot: SlotId,
    pub(crate) offset: usize,
    pub(crate) detail: String,
}

impl Tally {
    /// A record ended; its amount, if it can be read.
    pub(crate) fn add(&mut self, amount: Option<Amount>) {
        self.records += 1;
        let sum = amount.and_then(|amount| self.units.checked_add(amount.units()));
        match sum {
            Some(units) => self.units = units,
            None => self.unknown = true,
        }
    }

    /// Remembers where a total stands.
    pub(crate) fn met(&mut self, plan: &ControlPlan, slot: SlotId, offset: usize) {
        if plan.count == Some(slot) {
            self.offsets[0] = offset;
        }
        if plan.sum == Some(slot) {
            self.offsets[1] = offset;
        }
    }

    /// Compares what the element says, if it says it, with what was in it.
    pub(crate) fn compare(&self, plan: &ControlPlan, values: &Values<'_>) -> Option<Difference> {
        for (slot, offset) in [plan.count, plan.sum].into_iter().zip(self.offsets) {
            if let Some(slot) = slot.filter(|slot| values.repeated(*slot)) {
                let detail = "the document says this total more than once".to_owned();
                return Some(Difference {
                    slot,
                    offset,
                    detail,
                });
            }
        }
        let said = |slot: Option<SlotId>| slot.and_then(|slot| Some((slot, values.get(slot)?)));
        if let Some((slot, text)) = said(plan.count)
            && text.trim().parse() != Ok(self.records)
        {
            let detail = format!(
                "the document says {text} records, there are {}",
                self.records
            );
            let offset = self.offsets[0];
            return Some(Difference {
                slot,
                offset,
                detail,
            });
        }
        let (slot, text) = said(plan.sum)?;
        let sum = Amount::from_units(self.units).filter(|_| !self.unknown)?;
        if amount(text) == Some(sum) {
            return None;
        }
        let detail = format!(
            "the document says that the amounts make {text}, they make {}",
            sum.display(0)
        );
        let offset = self.offsets[1];
        Some(Difference {
            slot,
            offset,
            detail,
        })
    }
}

/// A sum; zeros behind the digits that an amount has do not matter.
fn amount(text: &str) -> Option<Amount> {
    let text = text.trim();
    let kept = match text.find('.') {
        Some(point) => {
            let end = (point + 1 + SCALE_DIGITS as usize).min(text.len());
            let behind = text.get(end..)?;
            if behind.bytes().any(|byte| byte != b'0') {
                return None;
            }
            text.get(..end)?
        }
        None => text,
    };
    Amount::parse(kept).ok()
}

#[cfg(test)]
mod tests {
    use super::amount;

    #[test]
    fn zeros_behind_do_not_matter() {
        let shown = |text| amount(text).map(|amount| amount.display(0).to_string());
        assert_eq!(shown(" 12.5000000000 ").as_deref(), Some("12.5"));
        assert_eq!(shown("12.500001"), None);
        assert_eq!(shown("12").as_deref(), Some("12"));
        assert_eq!(shown("12,5"), None);
        assert_eq!(shown("1.2345\u{e9}"), None);
    }
}
