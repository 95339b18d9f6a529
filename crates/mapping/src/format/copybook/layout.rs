//! The fields of a record with their places, and the walk through one record.
//!
//! Places depend on the record where a table is as long as its DEPENDING ON field says, so a record is
//! walked from its front. Nothing recurses: groups that have begun are on a stack as deep as the
//! copybook's levels.

use super::number::{Number, Presence};

/// Index of an item, in the order of the copybook.
pub(crate) type ItemId = usize;

/// Most bytes of a record that a copybook describes.
pub(crate) const RECORD_BYTES_MAX: usize = 1 << 20;
/// Most items of a copybook.
pub(crate) const ITEMS_MAX: usize = 4_096;

/// What an item holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Group,
    /// Characters of the code page.
    Text(usize),
    /// UTF-16, big endian: bytes.
    National(usize),
    Number(Number),
    /// COMP-1 and COMP-2: bytes. Never read as a number, for it is not exact.
    Float(usize),
}

/// An OCCURS clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Occurs {
    pub(crate) min: usize,
    pub(crate) max: usize,
    /// The field that says how many there are.
    pub(crate) depending: Option<ItemId>,
}

/// A field or group.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// In upper case, with hyphens; `FILLER` where it has none.
    pub(crate) name: Box<str>,
    pub(crate) level: u8,
    pub(crate) parent: Option<ItemId>,
    /// Index behind the last item of the group.
    pub(crate) end: ItemId,
    pub(crate) redefines: Option<ItemId>,
    pub(crate) occurs: Option<Occurs>,
    pub(crate) kind: Kind,
    /// Bytes of one element, tables at their longest.
    pub(crate) element: usize,
    /// Bytes of all elements; `None` where the record says how many.
    pub(crate) size: Option<usize>,
}

impl Item {
    pub(crate) fn is_filler(&self) -> bool {
        &*self.name == "FILLER"
    }
}

/// A copybook.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) items: Vec<Item>,
    /// Bytes of the longest record.
    pub(crate) record_bytes: usize,
    /// Whether all records have that many.
    pub(crate) is_fixed: bool,
}

impl Layout {
    /// Places the items; `short_tables`: tables take only as many bytes as they have elements.
    ///
    /// The error names the item that makes the record too long.
    pub(crate) fn new(mut items: Vec<Item>, short_tables: bool) -> Result<Self, ItemId> {
        for index in (0..items.len()).rev() {
            let (element, fixed) = match items[index].kind {
                Kind::Group => extent(&items, index + 1, items[index].end),
                Kind::Text(bytes) | Kind::National(bytes) | Kind::Float(bytes) => (bytes, true),
                Kind::Number(number) => (number.bytes(), true),
            };
            let occurs = items[index].occurs;
            let count = occurs.map_or(1, |occurs| occurs.max);
            let total = element.saturating_mul(count);
            if total > RECORD_BYTES_MAX {
                return Err(index);
            }
            let varies = short_tables && occurs.is_some_and(|occurs| occurs.depending.is_some());
            let item = &mut items[index];
            item.element = element;
            item.size = (fixed && !varies).then_some(total);
        }
        let (record_bytes, is_fixed) = extent(&items, 0, items.len());
        if record_bytes > RECORD_BYTES_MAX {
            return Err(0);
        }
        Ok(Self {
            items,
            record_bytes,
            is_fixed,
        })
    }

    /// Names from the top to an item, without FILLERs, joined by `/`.
    pub(crate) fn path(&self, item: ItemId) -> String {
        let mut names = Vec::new();
        let mut next = Some(item);
        while let Some(at) = next {
            let item = &self.items[at];
            if !item.is_filler() && Some(at) != self.root() {
                names.push(&*item.name);
            }
            next = item.parent;
        }
        names.reverse();
        names.join("/")
    }

    /// The only 01 group: its name may be left out of paths.
    pub(crate) fn root(&self) -> Option<ItemId> {
        let first = self.items.first()?;
        (first.kind == Kind::Group && first.end == self.items.len()).then_some(0)
    }

    /// Whether an item lies in another one, or is it.
    pub(crate) fn is_inside(&self, item: ItemId, group: ItemId) -> bool {
        (group..self.items[group].end).contains(&item)
    }

    /// Where an item begins in every record; `None` if the record says.
    pub(crate) fn fixed_offset(&self, item: ItemId) -> Option<usize> {
        let in_table = |at: ItemId| self.items[at].occurs.is_some();
        let mut at = Some(item);
        while let Some(index) = at {
            if in_table(index) {
                return None;
            }
            at = self.items[index].parent;
        }
        let mut starts = vec![0; self.items.len()];
        let (mut offset, mut index) = (0, 0);
        while index <= item {
            let here = &self.items[index];
            let start = here.redefines.map_or(offset, |target| starts[target]);
            starts[index] = start;
            if index == item {
                return Some(start);
            }
            if self.is_inside(item, index) {
                offset = start;
                index += 1;
            } else {
                offset = offset.max(start + here.size?);
                index = here.end;
            }
        }
        None
    }
}

/// Bytes of some neighbouring items, and whether they are always that many.
fn extent(items: &[Item], from: ItemId, to: ItemId) -> (usize, bool) {
    let (mut offset, mut fixed, mut index) = (0_usize, true, from);
    let mut starts: Vec<(ItemId, usize)> = Vec::new();
    while index < to {
        let item = &items[index];
        let target = item
            .redefines
            .and_then(|target| starts.iter().find(|(known, _)| *known == target));
        let start = target.map_or(offset, |(_, start)| *start);
        starts.push((index, start));
        let count = item.occurs.map_or(1, |occurs| occurs.max);
        offset = offset.max(start.saturating_add(item.element.saturating_mul(count)));
        fixed &= item.size.is_some();
        index = item.end;
    }
    (offset, fixed)
}

/// What the walk comes to. Offsets are of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// A group, or one element of a table of groups, begins.
    Open(ItemId, usize),
    /// It ends.
    Close(ItemId, usize),
    /// A table begins: its elements follow.
    Table(ItemId),
    /// All elements of a table are told.
    EndTable,
    /// A field, or one element of a table of fields; it may lie behind the record's end.
    Field(ItemId, usize, usize),
}

/// Why a record cannot be walked.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) item: ItemId,
    pub(crate) offset: usize,
    pub(crate) detail: String,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    item: ItemId,
    /// Elements that have not begun.
    left: usize,
    /// Where what follows a redefinition begins at the least.
    resume: usize,
    /// An element of a group has begun.
    inside: bool,
}

/// Buffers of a walk, kept from record to record.
#[derive(Debug, Default)]
pub(crate) struct Walker {
    frames: Vec<Frame>,
    starts: Vec<usize>,
    next: ItemId,
    offset: usize,
    digits: String,
}

/// Start of an item that the walk did not come to.
const NOT_MET: usize = usize::MAX;

impl Walker {
    /// Begins a record.
    pub(crate) fn begin(&mut self, layout: &Layout) {
        self.frames.clear();
        self.starts.clear();
        self.starts.resize(layout.items.len(), NOT_MET);
        self.next = 0;
        self.offset = 0;
    }

    /// Bytes of what was walked.
    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    /// The next event; `None` at the end of the copybook. Items in `skipped` are left out.
    pub(crate) fn next(
        &mut self,
        layout: &Layout,
        record: &[u8],
        skipped: &[bool],
        ebcdic: bool,
    ) -> Result<Option<Event>, Wrong> {
        loop {
            let event = match self.frames.last_mut() {
                None if self.next == layout.items.len() => return Ok(None),
                None => self.start(layout, record, skipped, ebcdic)?,
                Some(frame) => {
                    let item = &layout.items[frame.item];
                    if frame.inside && self.next < item.end {
                        self.start(layout, record, skipped, ebcdic)?
                    } else if frame.inside {
                        frame.inside = false;
                        Some(Event::Close(frame.item, self.offset))
                    } else if frame.left > 0 && self.offset >= record.len() {
                        // Behind the record's end nothing has a value: a short record is no more work
                        // than it has bytes.
                        let (table, left) = (frame.item, std::mem::take(&mut frame.left));
                        if item.occurs.is_some_and(|occurs| occurs.depending.is_some()) {
                            return Err(Wrong {
                                item: table,
                                offset: self.offset,
                                detail: format!(
                                    "the record ends before the last {left} of its {}",
                                    item.name
                                ),
                            });
                        }
                        None
                    } else if frame.left > 0 {
                        frame.left -= 1;
                        let start = self.offset;
                        if item.kind == Kind::Group {
                            frame.inside = true;
                            self.next = frame.item + 1;
                            Some(Event::Open(frame.item, start))
                        } else {
                            self.offset += item.element;
                            Some(Event::Field(frame.item, start, self.offset))
                        }
                    } else {
                        self.finish(layout)
                    }
                }
            };
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    fn start(
        &mut self,
        layout: &Layout,
        record: &[u8],
        skipped: &[bool],
        ebcdic: bool,
    ) -> Result<Option<Event>, Wrong> {
        let index = self.next;
        let item = &layout.items[index];
        let start = item
            .redefines
            .map_or(self.offset, |target| self.starts[target]);
        self.starts[index] = start;
        if skipped[index] {
            // An alternative of no fixed size counts only where it is the one in use.
            self.offset = self.offset.max(start + item.size.unwrap_or(0));
            self.next = item.end;
            return Ok(None);
        }
        let resume = if item.redefines.is_some() {
            self.offset
        } else {
            0
        };
        self.offset = start;
        let Some(occurs) = item.occurs else {
            if item.kind == Kind::Group {
                self.next = index + 1;
                self.frames.push(Frame {
                    item: index,
                    left: 0,
                    resume,
                    inside: true,
                });
                return Ok(Some(Event::Open(index, start)));
            }
            self.next = index + 1;
            let end = start + item.element;
            self.offset = end.max(resume);
            return Ok(Some(Event::Field(index, start, end)));
        };
        let left = self.count(layout, record, index, &occurs, ebcdic)?;
        self.frames.push(Frame {
            item: index,
            left,
            resume,
            inside: false,
        });
        Ok(Some(Event::Table(index)))
    }

    fn finish(&mut self, layout: &Layout) -> Option<Event> {
        let frame = self.frames.pop()?;
        let item = &layout.items[frame.item];
        self.next = item.end;
        if let Some(size) = item.size {
            self.offset = self.starts[frame.item] + size;
        }
        self.offset = self.offset.max(frame.resume);
        item.occurs.map(|_| Event::EndTable)
    }

    /// How many elements a table has in this record.
    fn count(
        &mut self,
        layout: &Layout,
        record: &[u8],
        table: ItemId,
        occurs: &Occurs,
        ebcdic: bool,
    ) -> Result<usize, Wrong> {
        let Some(field) = occurs.depending else {
            return Ok(occurs.max);
        };
        let start = self.starts[field];
        let item = &layout.items[field];
        let wrong = |detail: String| Wrong {
            item: field,
            offset: start,
            detail,
        };
        let bytes = record.get(start..start.saturating_add(item.element));
        let (Some(bytes), Kind::Number(number)) = (bytes, item.kind) else {
            return Err(wrong(format!(
                "the record ends before {}, which says how many {} there are",
                item.name, layout.items[table].name
            )));
        };
        let read = number.read(bytes, ebcdic, &mut self.digits);
        let count = match read {
            Ok(Presence::Number) => self.digits.parse::<usize>().ok(),
            Ok(Presence::Blank) | Err(_) => None,
        };
        count
            .filter(|count| (occurs.min..=occurs.max).contains(count))
            .ok_or_else(|| {
                wrong(format!(
                    "{} says how many {} there are, but is no number from {} to {}",
                    item.name, layout.items[table].name, occurs.min, occurs.max
                ))
            })
    }
}
