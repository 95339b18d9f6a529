//! Rows of columns: separated by a delimiter with RFC 4180 quoting, or by white space.
//!
//! Stricter than most readers: an unclosed quote, or text behind a closing one, is an error and not
//! a guess, because a guess moves the amounts of all later rows.

use std::borrow::Cow;

use crate::plan::{CsvPlan, Header, SlotId};
use crate::record::{Assembler, Value};
use crate::refusal::{Problem, Refusal, rule, shown};

/// One cell: its place in the body, and whether it holds doubled quotes.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    start: usize,
    end: usize,
    doubled_quotes: bool,
}

impl Cell {
    fn text<'b>(&self, body: &'b str) -> Cow<'b, str> {
        let raw = &body[self.start..self.end];
        if self.doubled_quotes {
            Cow::Owned(raw.replace("\"\"", "\""))
        } else {
            Cow::Borrowed(raw)
        }
    }
}

/// Which cell a slot is read from.
#[derive(Debug)]
struct Layout {
    /// `(column, slot)`, by slot.
    slots: Vec<(usize, SlotId)>,
    /// Columns each row must have; `None` until the first row says.
    columns: Option<usize>,
}

/// Decodes a body of rows.
pub(crate) fn decode(records: &mut Assembler<'_, '_>, plan: &CsvPlan) -> Result<(), Refusal> {
    let mut at = 0;
    let mut cells: Vec<Cell> = Vec::new();
    let mut layout = match plan.header {
        Header::Absent => Some(layout(records, plan, None, 0)?),
        Header::Required | Header::Optional => None,
    };
    while at < records.body.len() {
        let start = at;
        at = row(records, plan.delimiter, start, &mut cells)?;
        if cells.is_empty() {
            continue;
        }
        let Some(known) = &mut layout else {
            let header = is_header(records.body, plan, &cells).then_some(cells.as_slice());
            let mut made = self::layout(records, plan, header, start)?;
            if header.is_none() {
                emit(records, &mut made, &cells, start, at)?;
            }
            layout = Some(made);
            continue;
        };
        emit(records, known, &cells, start, at)?;
    }
    Ok(())
}

fn is_header(body: &str, plan: &CsvPlan, cells: &[Cell]) -> bool {
    let is_name = |cell: &Cell| {
        let text = cell.text(body);
        plan.columns.iter().any(|name| **name == *text)
    };
    match plan.header {
        Header::Required => true,
        Header::Absent => false,
        Header::Optional => cells.iter().all(is_name),
    }
}

/// Finds the column of each slot in the header, or in the names given by the mapping.
fn layout(
    records: &mut Assembler<'_, '_>,
    plan: &CsvPlan,
    header: Option<&[Cell]>,
    offset: usize,
) -> Result<Layout, Refusal> {
    let names: Vec<Cow<'_, str>> = match header {
        Some(cells) => cells.iter().map(|cell| cell.text(records.body)).collect(),
        None => plan
            .columns
            .iter()
            .map(|name| Cow::Borrowed(&**name))
            .collect(),
    };
    let mut slots = Vec::with_capacity(plan.mapped.len());
    for (slot, (wanted, optional)) in plan.mapped.iter().enumerate() {
        // `#3` is the third column, whatever it is called.
        if let Some(number) = wanted
            .strip_prefix('#')
            .and_then(|text| text.parse::<usize>().ok())
        {
            slots.push((number - 1, slot as SlotId));
            continue;
        }
        let mut found = names
            .iter()
            .enumerate()
            .filter(|(_, name)| ***name == **wanted);
        match (found.next(), found.next()) {
            (Some((column, _)), None) => slots.push((column, slot as SlotId)),
            (Some(_), Some(_)) => {
                let detail = format!("the header has the column {wanted} twice");
                return Err(records.refuse(offset, Some(wanted), rule::COLUMNS, detail));
            }
            (None, _) if *optional => {}
            (None, _) => {
                let has: Vec<String> = names.iter().take(20).map(|name| shown(name)).collect();
                let detail = format!(
                    "the header lacks the column {wanted}; it has {}",
                    has.join(", ")
                );
                return Err(records.refuse(offset, Some(wanted), rule::COLUMNS, detail));
            }
        }
    }
    Ok(Layout {
        slots,
        columns: (!names.is_empty()).then_some(names.len()),
    })
}

fn emit(
    records: &mut Assembler<'_, '_>,
    layout: &mut Layout,
    cells: &[Cell],
    start: usize,
    end: usize,
) -> Result<(), Refusal> {
    records.begin_record(start)?;
    let columns = *layout.columns.get_or_insert(cells.len());
    if cells.len() != columns {
        let detail = format!(
            "the row has {} columns, {columns} are expected",
            cells.len()
        );
        let problem = Problem {
            field: None,
            rule: rule::COLUMNS,
            detail,
        };
        records.spoil(start, problem)?;
    }
    for (column, slot) in &layout.slots {
        let Some(cell) = cells.get(*column) else {
            let path = records.slot_path(*slot);
            let detail = format!("the row has no column {path}");
            records.spoil(start, Problem::new(path, rule::COLUMNS, detail))?;
            continue;
        };
        if cell.doubled_quotes {
            let text = cell.text(records.body);
            records.value(*slot, Value::Unescaped(&text), cell.start)?;
        } else {
            records.value(*slot, Value::Body(cell.start, cell.end), cell.start)?;
        }
    }
    // The row's own bytes, without its line end.
    let row = records.body[start..end].trim_end_matches(['\r', '\n']);
    records.end_record(start + row.len())
}

/// Cuts the row that begins at `start` into cells; answers where the next one begins.
///
/// An empty row gives no cells.
fn row(
    records: &mut Assembler<'_, '_>,
    delimiter: Option<u8>,
    start: usize,
    cells: &mut Vec<Cell>,
) -> Result<usize, Refusal> {
    cells.clear();
    let bytes = records.body.as_bytes();
    let Some(delimiter) = delimiter else {
        let end = memchr::memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |at| start + at);
        words(bytes, start, end, cells);
        columns_max(records, cells, start)?;
        return Ok((end + 1).min(bytes.len()));
    };
    let mut at = start;
    loop {
        let cell;
        (cell, at) = if bytes.get(at) == Some(&b'"') {
            quoted(records, at)?
        } else {
            let length = memchr::memchr2(delimiter, b'\n', &bytes[at..]);
            let stop = length.map_or(bytes.len(), |length| at + length);
            let mut end = stop;
            if bytes.get(stop) != Some(&delimiter) && end > at && bytes[end - 1] == b'\r' {
                end -= 1;
            }
            (
                Cell {
                    start: at,
                    end,
                    doubled_quotes: false,
                },
                stop,
            )
        };
        cells.push(cell);
        columns_max(records, cells, at)?;
        match bytes.get(at) {
            Some(&byte) if byte == delimiter => at += 1,
            Some(b'\r') if bytes.get(at + 1) == Some(&b'\n') => {
                at += 2;
                break;
            }
            Some(b'\n') => {
                at += 1;
                break;
            }
            None => break,
            Some(_) => {
                let detail = "text stands behind a closing quote";
                return Err(records.refuse(at, None, rule::CSV, detail));
            }
        }
    }
    if let [only] = cells.as_slice()
        && only.start == only.end
        && bytes.get(start) != Some(&b'"')
    {
        cells.clear();
    }
    Ok(at)
}

/// Reads a quoted cell; answers it and where its closing quote ends.
fn quoted(records: &mut Assembler<'_, '_>, open: usize) -> Result<(Cell, usize), Refusal> {
    let bytes = records.body.as_bytes();
    let start = open + 1;
    let mut at = start;
    let mut doubled_quotes = false;
    while let Some(length) = memchr::memchr(b'"', &bytes[at..]) {
        let end = at + length;
        if bytes.get(end + 1) != Some(&b'"') {
            return Ok((
                Cell {
                    start,
                    end,
                    doubled_quotes,
                },
                end + 1,
            ));
        }
        doubled_quotes = true;
        at = end + 2;
    }
    Err(records.refuse(open, None, rule::CSV, "a quoted cell has no closing quote"))
}

fn words(bytes: &[u8], start: usize, end: usize, cells: &mut Vec<Cell>) {
    let mut at = start;
    while at < end {
        if bytes[at].is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let from = at;
        while at < end && !bytes[at].is_ascii_whitespace() {
            at += 1;
        }
        cells.push(Cell {
            start: from,
            end: at,
            doubled_quotes: false,
        });
    }
}

fn columns_max(
    records: &mut Assembler<'_, '_>,
    cells: &[Cell],
    offset: usize,
) -> Result<(), Refusal> {
    if cells.len() > records.limits.columns_max {
        let detail = format!("a row has more than {} columns", records.limits.columns_max);
        return Err(records.refuse(offset, None, rule::COLUMNS, detail));
    }
    Ok(())
}
