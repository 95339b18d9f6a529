//! The values of the current record and of the elements around it.

use crate::plan::SlotId;
use crate::script::Given;

/// Where a slot's text stands.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Place {
    #[default]
    Absent,
    Body(u32, u32),
    /// In the text unescaped for this record.
    Record(u32, u32),
    /// In the text unescaped for enclosing elements.
    Kept(u32, u32),
}

/// A value of the document: as it stands there, or unescaped.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'v> {
    /// Byte range of the body.
    Body(usize, usize),
    /// A text that differs from what stands in the body.
    Unescaped(&'v str),
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Slot {
    pub(crate) place: Place,
    pub(crate) repeated: bool,
}

/// The slots and what they point into.
#[derive(Debug)]
pub(crate) struct Values<'b> {
    pub(crate) body: &'b str,
    pub(crate) slots: Vec<Slot>,
    pub(crate) record_text: String,
    pub(crate) kept_text: String,
    /// What a script gave, which counts before what the record's values give.
    pub(crate) given: Option<Given>,
}

impl<'b> Values<'b> {
    /// Text of a slot; `None` when absent or empty.
    pub(crate) fn get(&self, slot: SlotId) -> Option<&str> {
        let text = match self.slots[usize::from(slot)].place {
            Place::Absent => return None,
            Place::Body(start, end) => &self.body[start as usize..end as usize],
            Place::Record(start, end) => &self.record_text[start as usize..end as usize],
            Place::Kept(start, end) => &self.kept_text[start as usize..end as usize],
        };
        (!text.is_empty()).then_some(text)
    }

    pub(crate) fn first_of(&self, slots: &[SlotId]) -> Option<(SlotId, &str)> {
        slots
            .iter()
            .find_map(|slot| Some((*slot, self.get(*slot)?)))
    }

    pub(crate) fn repeated(&self, slot: SlotId) -> bool {
        self.slots[usize::from(slot)].repeated
    }
}
