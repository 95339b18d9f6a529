//! A record as JSON, in the order of the copybook: for people, tools and tests.
//!
//! Names have underscores instead of hyphens and the 01 group is left out where it is the only one, as
//! Cobrix writes records. Numbers are JSON numbers with the exact digits of the record, so `235.10`
//! keeps its zero and a number of 37 digits all of them: read them as decimals, not as floats. Texts are
//! without spaces at their ends. A blank or unreadable number is left out (`null` in a table), but a
//! blank one with a `V` is 0 with its digits, as Cobrix has it. COMP-1 and COMP-2 are texts of their
//! bytes in hexadecimal, FILLERs are left out.

use crate::Limits;
use crate::encode::write_string;
use crate::refusal::{Refusal, rule};

use super::frame::{Broken, Frames};
use super::layout::{Event, ItemId, Kind};
use super::number::{Number, Storage};
use super::reader::{Reader, Segment};
use super::{CopybookPlan, last_transaction};

/// Hands each record of a body to `sink` as a JSON object; answers their number.
///
/// # Errors
///
/// [`Refusal`] of the body where its framing is broken, or of a record that cannot be walked.
pub(crate) fn show(
    plan: &CopybookPlan,
    body: &[u8],
    limits: &Limits,
    sink: &mut dyn FnMut(&str),
) -> Result<u64, Refusal> {
    let items = plan.layout.items.iter();
    let wanted: Vec<bool> = items
        .map(|item| item.kind == Kind::Group || !item.is_filler())
        .collect();
    let mut writer = Writer {
        reader: Reader::new(plan, body, &wanted),
        out: Vec::new(),
        tables: Vec::new(),
        fillers: 0,
    };
    let mut frames = Frames::new(body, &plan.framing).map_err(refusal)?;
    let last = last_transaction(plan, body).map_err(refusal)?;
    let (mut index, mut written) = (0, 0);
    while let Some((start, end)) = writer.reader.frame(&mut frames).map_err(refusal)? {
        let is_inside =
            index >= plan.framing.header_records && last.is_none_or(|last| index < last);
        index += 1;
        let record = &body[start..end];
        let list = match writer.reader.segment(record) {
            Segment::Read(list) => list,
            Segment::Unknown(_) | Segment::Skip => writer.reader.skipped.len() - 1,
        };
        if !is_inside {
            continue;
        }
        if written as usize >= limits.records_max {
            let detail = format!("the body has more than {} records", limits.records_max);
            return Err(of_record(written, start, rule::RECORDS, detail));
        }
        written += 1;
        writer.record(list, record).map_err(|wrong| {
            of_record(written, start + wrong.offset, rule::COPYBOOK, wrong.detail)
        })?;
        // Made of names and texts that are UTF-8.
        sink(&String::from_utf8_lossy(&writer.out));
    }
    Ok(written)
}

fn refusal(broken: Broken) -> Refusal {
    Refusal {
        record: None,
        line: 1,
        offset: broken.offset as u64,
        field: None,
        rule: rule::FRAMING,
        detail: broken.detail,
    }
}

fn of_record(number: u64, offset: usize, rule: &'static str, detail: String) -> Refusal {
    Refusal {
        record: Some(number),
        line: 1,
        offset: offset as u64,
        field: None,
        rule,
        detail,
    }
}

struct Writer<'p, 'b> {
    reader: Reader<'p, 'b>,
    out: Vec<u8>,
    /// Tables that have begun.
    tables: Vec<ItemId>,
    fillers: usize,
}

impl Writer<'_, '_> {
    fn record(&mut self, list: usize, record: &[u8]) -> Result<(), super::layout::Wrong> {
        let plan = self.reader.plan;
        let root = plan.layout.root();
        self.out.clear();
        self.tables.clear();
        self.fillers = 0;
        self.reader.walker.begin(&plan.layout);
        self.out.push(b'{');
        while let Some(event) = self.reader.next(list, record)? {
            match event {
                Event::Open(item, _) if Some(item) == root => {}
                Event::Close(item, _) if Some(item) == root => {}
                Event::Open(item, _) => {
                    self.name(item);
                    self.out.push(b'{');
                }
                Event::Close(..) => self.out.push(b'}'),
                Event::Table(item) => {
                    self.name(item);
                    self.out.push(b'[');
                    self.tables.push(item);
                }
                Event::EndTable => {
                    self.tables.pop();
                    self.out.push(b']');
                }
                Event::Field(item, start, end) => self.field(item, record, start, end),
            }
        }
        self.out.push(b'}');
        Ok(())
    }

    /// A comma where one belongs, and the name unless the item is an element of a table.
    fn name(&mut self, item: ItemId) {
        if !matches!(self.out.last(), Some(b'{' | b'[')) {
            self.out.push(b',');
        }
        if self.tables.last() == Some(&item) {
            return;
        }
        let item = &self.reader.plan.layout.items[item];
        let name = if item.is_filler() {
            self.fillers += 1;
            format!("FILLER_{}", self.fillers)
        } else {
            item.name.replace('-', "_")
        };
        self.out.push(b'"');
        write_string(&mut self.out, &name);
        self.out.extend_from_slice(b"\":");
    }

    fn field(&mut self, item: ItemId, record: &[u8], start: usize, end: usize) {
        let plan = self.reader.plan;
        let known = &plan.layout.items[item];
        let in_table = self.tables.last() == Some(&item);
        match self.reader.field(item, record, start, end) {
            Ok(true) => {
                self.name(item);
                let is_number = matches!(known.kind, Kind::Number(_));
                if is_number {
                    let value = self.reader.value();
                    let zeros = value.bytes().take_while(|digit| *digit == b'0').count();
                    let is_next_digit =
                        |at: &usize| value.as_bytes().get(*at).is_some_and(u8::is_ascii_digit);
                    let from = if is_next_digit(&zeros) {
                        zeros
                    } else {
                        zeros.saturating_sub(1)
                    };
                    self.out.extend_from_slice(&value.as_bytes()[from..]);
                } else {
                    self.out.push(b'"');
                    write_string(&mut self.out, self.reader.value());
                    self.out.push(b'"');
                }
            }
            Ok(false) if start < record.len() && is_zero_when_blank(known.kind) => {
                self.name(item);
                self.out.extend_from_slice(b"0.");
                let digits = decimals(known.kind);
                self.out.extend(std::iter::repeat_n(b'0', digits));
            }
            // Cobrix reads a text as far as the record goes.
            Ok(false) if start == record.len() && matches!(known.kind, Kind::Text(_)) => {
                self.name(item);
                self.out.extend_from_slice(b"\"\"");
            }
            _ if in_table => {
                self.name(item);
                self.out.extend_from_slice(b"null");
            }
            _ => {}
        }
    }
}

fn is_zero_when_blank(kind: Kind) -> bool {
    let is_display =
        |number: &Number| matches!(number.storage, Storage::Display(_)) && !number.picture.point;
    matches!(&kind, Kind::Number(number) if is_display(number)) && decimals(kind) > 0
}

fn decimals(kind: Kind) -> usize {
    match kind {
        Kind::Number(number) => number.picture.scale.max(0) as usize,
        _ => 0,
    }
}
