//! Records as a COBOL copybook describes them: EBCDIC or ASCII, fixed or variable.
//!
//! `source`, `parse`, `picture` and `build` read the copybook when a mapping is compiled; `frame` cuts a body
//! into records, `layout` walks through one, `reader`, `number` and `code_page` read its fields. Only fields that
//! the mapping reads are looked at.
//!
//! Invariants: amounts go from the record's digits to decimal text without arithmetic; a field whose
//! bytes are not what its PICTURE says refuses the record; only spaces or only low values are "no value".

mod build;
mod code_page;
mod frame;
mod json;
mod layout;
mod number;
mod parse;
mod picture;
mod reader;
mod source;

use crate::plan::{SlotId, SlotPlan};
use crate::record::{Assembler, Value};
use crate::refusal::{Problem, Refusal, rule, shown};

pub(crate) use code_page::{CodePage, NAMES as CODE_PAGES};
pub(crate) use frame::{Framing, Kind as FrameKind, hex};
pub(crate) use json::show;
pub(crate) use layout::{ItemId, Kind, Layout};
pub(crate) use parse::{Options, canonical, parse};
pub(crate) use source::Columns;

use frame::{Broken, Frames};
use layout::Event;
use reader::{Reader, Segment};

/// How the records of a source are read.
#[derive(Debug)]
pub(crate) struct CopybookPlan {
    pub(crate) layout: Layout,
    pub(crate) page: CodePage,
    pub(crate) framing: Framing,
    /// Spaces in front of a text are cut off too.
    pub(crate) trim_start: bool,
    pub(crate) segments: Option<Segments>,
    /// The group that is one transaction; `None`: the whole record.
    pub(crate) record: Option<ItemId>,
    /// For each item the slot it goes to.
    pub(crate) slots: Vec<Option<SlotId>>,
}

/// Which groups of a record count, by the value of a field.
#[derive(Debug)]
pub(crate) struct Segments {
    pub(crate) field: ItemId,
    /// Where the field begins in every record.
    pub(crate) offset: usize,
    /// Groups that are there only for some values of the field.
    pub(crate) groups: Vec<(ItemId, Vec<Box<str>>)>,
    /// Values of records that are skipped.
    pub(crate) skip: Vec<Box<str>>,
}

impl CopybookPlan {
    /// Settles which fields go to which slot. `paths` are canonical.
    pub(crate) fn bind(&mut self, slots: &[SlotPlan]) {
        let paths: Vec<String> = (0..self.layout.items.len())
            .map(|item| self.layout.path(item))
            .collect();
        let group = self.record.map(|record| format!("{}/", paths[record]));
        self.slots = vec![None; paths.len()];
        for (slot, plan) in slots.iter().enumerate() {
            let full = match (plan.path.strip_prefix('/'), &group) {
                (Some(absolute), _) => absolute.to_owned(),
                (None, Some(group)) => format!("{group}{}", plan.path),
                (None, None) => plan.path.to_string(),
            };
            let found = paths.iter().enumerate().position(|(item, path)| {
                let item = &self.layout.items[item];
                *path == full && item.kind != Kind::Group && !item.is_filler()
            });
            if let Some(item) = found {
                self.slots[item] = Some(slot as SlotId);
            }
        }
    }

    /// Items that are left out of a walk, for the records of each segment and of none.
    fn skipped(&self, wanted: &[bool]) -> Vec<Vec<bool>> {
        let items = &self.layout.items;
        let base: Vec<bool> = (0..items.len())
            .map(|item| {
                let needed = (item..items[item].end).any(|inner| wanted[inner]);
                !needed && items[item].size.is_some()
            })
            .collect();
        let Some(segments) = &self.segments else {
            return vec![base];
        };
        let without = |value: &str| {
            let mut skipped = base.clone();
            for (group, values) in &segments.groups {
                skipped[*group] |= !values.iter().any(|known| **known == *value);
            }
            skipped
        };
        let mut lists: Vec<Vec<bool>> = segments.values().map(without).collect();
        // For records of no known segment, which can be shown.
        let mut none = base.clone();
        for (group, _) in &segments.groups {
            none[*group] = true;
        }
        lists.push(none);
        lists
    }

    /// Items that the mapping reads, and those that say how long tables are.
    fn wanted(&self) -> Vec<bool> {
        let mut wanted: Vec<bool> = self.slots.iter().map(Option::is_some).collect();
        for item in &self.layout.items {
            if let Some(field) = item.occurs.and_then(|occurs| occurs.depending) {
                wanted[field] = true;
            }
        }
        if let Some(record) = self.record {
            wanted[record] = true;
        }
        wanted
    }
}

impl Segments {
    /// Every value that has a group, in the order of [`CopybookPlan::skipped`].
    fn values(&self) -> impl Iterator<Item = &str> {
        self.groups
            .iter()
            .flat_map(|(_, values)| values)
            .map(|value| &**value)
    }
}

/// Decodes a body of records.
pub(crate) fn decode(
    records: &mut Assembler<'_, '_>,
    plan: &CopybookPlan,
    body: &[u8],
) -> Result<(), Refusal> {
    let slots = plan.slots.iter().enumerate();
    let mut decoder = Decoder {
        reader: Reader::new(plan, body, &plan.wanted()),
        broken: Vec::new(),
        inherited: slots
            .filter_map(|(item, slot)| Some((item, (*slot)?)))
            .filter(|(_, slot)| records.is_inherited(*slot))
            .collect(),
    };
    let broken = |records: &mut Assembler<'_, '_>, broken: Broken| {
        records.refuse(broken.offset, None, rule::FRAMING, broken.detail)
    };
    let mut frames = match Frames::new(body, &plan.framing) {
        Ok(frames) => frames,
        Err(wrong) => return Err(broken(records, wrong)),
    };
    let last = match last_transaction(plan, body) {
        Ok(last) => last,
        Err(wrong) => return Err(broken(records, wrong)),
    };
    let mut index = 0;
    loop {
        let (start, end) = match decoder.reader.frame(&mut frames) {
            Ok(Some(range)) => range,
            Ok(None) => return Ok(()),
            Err(wrong) => return Err(broken(records, wrong)),
        };
        if index >= plan.framing.header_records && last.is_none_or(|last| index < last) {
            decoder.record(records, start, end)?;
        }
        index += 1;
    }
}

/// Number of the first trailer record; `None` if there are none.
fn last_transaction(plan: &CopybookPlan, body: &[u8]) -> Result<Option<usize>, Broken> {
    if plan.framing.trailer_records == 0 {
        return Ok(None);
    }
    let mut frames = Frames::new(body, &plan.framing)?;
    let mut count = 0_usize;
    while frames.next()?.is_some() {
        count += 1;
    }
    Ok(Some(count.saturating_sub(plan.framing.trailer_records)))
}

struct Decoder<'p, 'b> {
    reader: Reader<'p, 'b>,
    /// Inherited fields that could not be read: their records are refused.
    broken: Vec<(SlotId, usize, String)>,
    /// Fields that go to slots of enclosing elements.
    inherited: Vec<(ItemId, SlotId)>,
}

impl<'b> Decoder<'_, 'b> {
    /// One record of the file.
    fn record(
        &mut self,
        records: &mut Assembler<'_, '_>,
        start: usize,
        end: usize,
    ) -> Result<(), Refusal> {
        let body: &'b [u8] = self.reader.body;
        let record = &body[start..end];
        let plan = self.reader.plan;
        let list = match self.reader.segment(record) {
            Segment::Read(list) => list,
            Segment::Skip => return Ok(()),
            Segment::Unknown(value) => return self.unknown(records, &value, start, end),
        };
        let longest = plan.layout.record_bytes;
        if record.len() > longest {
            let detail = format!(
                "the record has {} bytes, the copybook describes at most {longest}: add a FILLER for the rest",
                record.len()
            );
            return refused(records, start, end, detail);
        }
        if !self.inherited.is_empty() {
            self.inherit(records, list, record, start)?;
        }
        if plan.record.is_none() {
            records.begin_record(start)?;
        }
        let walked = self.walk(records, list, record, start)?;
        if let Some(wrong) = walked {
            let problem = Problem::new(&plan.layout.path(wrong.item), rule::COPYBOOK, wrong.detail);
            if !records.in_record() {
                records.begin_record(start)?;
            }
            records.spoil(start + wrong.offset.min(record.len()), problem)?;
        }
        if records.in_record() {
            records.end_record(end)?;
        }
        Ok(())
    }

    fn unknown(
        &self,
        records: &mut Assembler<'_, '_>,
        value: &str,
        start: usize,
        end: usize,
    ) -> Result<(), Refusal> {
        let Some(segments) = &self.reader.plan.segments else {
            return Ok(());
        };
        let known: Vec<&str> = segments.values().collect();
        let field = self.reader.plan.layout.path(segments.field);
        let detail = format!(
            "{} is none of the segments {}; those that are no transactions belong into `skip_segments`",
            shown(value),
            known.join(", ")
        );
        records.begin_record(start)?;
        records.spoil(start, Problem::new(&field, rule::SEGMENT, detail))?;
        records.end_record(end)
    }

    /// Goes through the fields of a record; answers why it could not be gone through to its end.
    fn walk(
        &mut self,
        records: &mut Assembler<'_, '_>,
        list: usize,
        record: &[u8],
        base: usize,
    ) -> Result<Option<layout::Wrong>, Refusal> {
        let plan = self.reader.plan;
        self.reader.walker.begin(&plan.layout);
        loop {
            let event = match self.reader.next(list, record) {
                Ok(Some(event)) => event,
                Ok(None) => return Ok(None),
                Err(wrong) => return Ok(Some(wrong)),
            };
            match event {
                Event::Open(item, offset)
                    if plan.record == Some(item) && !self.reader.is_blank(item, record, offset) =>
                {
                    records.begin_record(base + offset)?;
                }
                Event::Close(item, offset) if plan.record == Some(item) && records.in_record() => {
                    self.spoil_inherited(records)?;
                    records.end_record(base + offset.min(record.len()))?;
                }
                Event::Field(item, start, end) if records.in_record() && !records.has_problem() => {
                    let Some(slot) = plan.slots[item] else {
                        continue;
                    };
                    match self.reader.field(item, record, start, end) {
                        Ok(true) => {
                            records.value(
                                slot,
                                Value::Unescaped(self.reader.value()),
                                base + start,
                            )?;
                        }
                        Ok(false) => {}
                        Err(detail) => {
                            let problem = wrong_field(&plan.layout.path(item), &detail);
                            records.spoil(base + start, problem)?;
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Takes over what the transactions inside of this record, or of later ones, inherit.
    fn inherit(
        &mut self,
        records: &mut Assembler<'_, '_>,
        list: usize,
        record: &[u8],
        base: usize,
    ) -> Result<(), Refusal> {
        let plan = self.reader.plan;
        records.begin_parent();
        for index in 0..self.inherited.len() {
            let (item, slot) = self.inherited[index];
            if !self.is_skipped(list, item) {
                records.forget(slot);
                self.broken.retain(|(broken, ..)| *broken != slot);
            }
        }
        self.reader.walker.begin(&plan.layout);
        // A record that cannot be walked is refused when it is walked for its transactions.
        while let Ok(Some(event)) = self.reader.next(list, record) {
            let Event::Field(item, start, end) = event else {
                continue;
            };
            let Some(slot) = plan.slots[item].filter(|slot| records.is_inherited(*slot)) else {
                continue;
            };
            match self.reader.field(item, record, start, end) {
                Ok(true) => {
                    records.value(slot, Value::Unescaped(self.reader.value()), base + start)?;
                }
                Ok(false) => {}
                Err(detail) => self.broken.push((slot, base + start, detail)),
            }
        }
        Ok(())
    }

    fn spoil_inherited(&self, records: &mut Assembler<'_, '_>) -> Result<(), Refusal> {
        let Some((slot, offset, detail)) = self.broken.first() else {
            return Ok(());
        };
        let problem = wrong_field(records.slot_path(*slot), detail);
        records.spoil(*offset, problem)
    }

    /// Whether an item, or a group around it, is left out.
    fn is_skipped(&self, list: usize, item: ItemId) -> bool {
        let layout = &self.reader.plan.layout;
        let mut next = Some(item);
        while let Some(at) = next {
            if self.reader.skipped[list][at] {
                return true;
            }
            next = layout.items[at].parent;
        }
        false
    }
}

fn wrong_field(path: &str, detail: &str) -> Problem {
    Problem::new(path, rule::COPYBOOK, format!("{path} {detail}"))
}

/// Refuses a record as a whole.
fn refused(
    records: &mut Assembler<'_, '_>,
    start: usize,
    end: usize,
    detail: String,
) -> Result<(), Refusal> {
    records.begin_record(start)?;
    let problem = Problem {
        field: None,
        rule: rule::COPYBOOK,
        detail,
    };
    records.spoil(start, problem)?;
    records.end_record(end)
}
