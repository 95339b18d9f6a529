//! Lines of fixed columns: headers around records, records with their details, trailers with totals.
//!
//! ```text
//! 101 …            header of level 1 (file)
//! 5200…            header of level 2 (batch)
//! 622…  705…       a record and its detail
//! 8200…            trailer of level 2: its totals are compared
//! 9000…            trailer of level 1
//! ```
//!
//! Lines end with LF, CR or both; where the mapping says how long a line is they may also follow each
//! other without any line end. Columns are counted in characters.
//!
//! # Invariants
//!
//! - A line that no kind recognises, or that stands where it cannot, ends the document.
//! - A trailer's totals are compared before the document is accepted, and a missing trailer is a
//!   missing total: a document cut off at any line is refused, if the mapping declares trailers.

mod totals;

use crate::plan::SlotId;
use crate::record::{Assembler, Value};
use crate::refusal::{Problem, Refusal, rule, shown};
use totals::Totals;
pub(crate) use totals::{Add, Condition, Total};

/// How the lines of a document are read.
#[derive(Debug, Default)]
pub(crate) struct FixedPlan {
    /// Kinds of lines; the first that recognises a line counts.
    pub(crate) kinds: Vec<LinePlan>,
    /// Characters of every line, if the mapping says.
    pub(crate) length: Option<usize>,
    /// Lines may be shorter, as if filled up with blanks.
    pub(crate) accept_short: bool,
    pub(crate) totals: Vec<Total>,
    /// By level (0 is the document): name of what it is, and whether a trailer must close it.
    pub(crate) levels: Vec<LevelPlan>,
}

/// What is known about one level of headers.
#[derive(Debug)]
pub(crate) struct LevelPlan {
    pub(crate) name: Box<str>,
    /// Name of the trailer that must close it.
    pub(crate) trailer: Option<Box<str>>,
    /// Records may stand outside of it.
    pub(crate) is_optional: bool,
}

/// One kind of line.
#[derive(Debug)]
pub(crate) struct LinePlan {
    pub(crate) name: Box<str>,
    /// Texts at places that all must be there.
    pub(crate) marks: Vec<Mark>,
    pub(crate) role: Role,
    /// The columns that the mapping reads.
    pub(crate) columns: Vec<(Column, SlotId)>,
    /// What the line adds to totals.
    pub(crate) adds: Vec<Add>,
    /// End of its last column.
    pub(crate) need: usize,
}

/// A text at a place by which a kind of line is recognised.
#[derive(Debug)]
pub(crate) struct Mark {
    pub(crate) start: usize,
    pub(crate) texts: Vec<Box<str>>,
}

/// What a kind of line is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    /// Around the records that follow.
    Header {
        level: u8,
    },
    Record,
    /// Part of the record before it.
    Detail,
    /// Closes a level.
    Trailer {
        level: u8,
    },
    Skip,
    /// The document is refused, for this reason.
    Refuse(Box<str>),
}

/// A place in a line, in characters from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) start: usize,
    pub(crate) length: usize,
    /// What numbers are filled up with on the left.
    pub(crate) fill: Option<char>,
}

/// A line of the body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'b> {
    /// Without its line end.
    text: &'b str,
    offset: usize,
    is_ascii: bool,
}

impl<'b> Line<'b> {
    fn new(body: &'b str, start: usize, end: usize) -> Self {
        let text = &body[start..end];
        Self {
            text,
            offset: start,
            is_ascii: text.is_ascii(),
        }
    }

    /// Where the character of this number begins; the line's end if it has fewer.
    fn at(&self, character: usize) -> usize {
        if self.is_ascii {
            return character.min(self.text.len());
        }
        let mut starts = self.text.char_indices().skip(character);
        starts.next().map_or(self.text.len(), |(at, _)| at)
    }

    fn characters(&self) -> usize {
        if self.is_ascii {
            self.text.len()
        } else {
            self.text.chars().count()
        }
    }

    /// A column without blanks around it, and where in the line it begins.
    fn column(&self, column: Column) -> (usize, &'b str) {
        let start = self.at(column.start);
        let raw = &self.text[start..self.at(column.start + column.length)];
        let mut kept = raw.trim_start_matches(' ');
        if let Some(fill) = column.fill {
            kept = kept.trim_start_matches(fill);
        }
        (start + raw.len() - kept.len(), kept.trim_end_matches(' '))
    }

    fn has(&self, mark: &Mark) -> bool {
        let rest = &self.text[self.at(mark.start)..];
        mark.texts.iter().any(|text| rest.starts_with(&**text))
    }
}

struct Decoder<'p> {
    plan: &'p FixedPlan,
    totals: Totals<'p>,
    /// Whether each level is open; the document is until its trailer.
    open: Vec<bool>,
    /// Where the open record's last line ended.
    end: usize,
}

/// Decodes lines of fixed columns.
pub(crate) fn decode(records: &mut Assembler<'_, '_>, plan: &FixedPlan) -> Result<(), Refusal> {
    let mut decoder = Decoder {
        plan,
        totals: Totals::new(&plan.totals),
        open: vec![false; plan.levels.len()],
        end: 0,
    };
    decoder.open[0] = true;
    records.open_scope(0);
    let body = records.body;
    let block = plan.length.filter(|length| is_blocks(body, *length));
    let mut at = 0;
    while at < body.len() {
        let end = match block {
            Some(length) => block_end(body, at, length),
            None => line_end(body, at),
        };
        let line = Line::new(body, at, end);
        if !is_blank(line.text) {
            decoder.line(records, line)?;
        }
        at = after_line_end(body, end);
    }
    decoder.finish(records)
}

/// Whether lines follow each other without line ends: the first line end is too far away.
fn is_blocks(body: &str, length: usize) -> bool {
    let first = Line::new(body, 0, line_end(body, 0));
    !is_blank(&first.text[first.at(length)..])
}

fn block_end(body: &str, start: usize, length: usize) -> usize {
    let mut characters = body[start..].char_indices().enumerate();
    let end = characters
        .find(|(count, (_, character))| *count == length || matches!(character, '\r' | '\n'));
    end.map_or(body.len(), |(_, (at, _))| start + at)
}

fn line_end(body: &str, at: usize) -> usize {
    memchr::memchr2(b'\r', b'\n', &body.as_bytes()[at..]).map_or(body.len(), |length| at + length)
}

fn after_line_end(body: &str, end: usize) -> usize {
    match body.as_bytes().get(end..) {
        Some([b'\r', b'\n', ..]) => end + 2,
        Some([b'\r' | b'\n', ..]) => end + 1,
        _ => end,
    }
}

/// Nothing but blanks, or the mark that old systems end a file with.
fn is_blank(text: &str) -> bool {
    text.bytes()
        .all(|byte| matches!(byte, b' ' | b'\t' | b'\x1a' | b'\0'))
}

impl Decoder<'_> {
    fn line(&mut self, records: &mut Assembler<'_, '_>, line: Line<'_>) -> Result<(), Refusal> {
        let known = |kind: &&LinePlan| kind.marks.iter().all(|mark| line.has(mark));
        let Some(kind) = self.plan.kinds.iter().find(known) else {
            return Err(self.unknown(records, line));
        };
        if kind.role != Role::Detail && records.in_record() {
            records.end_record(self.end)?;
        }
        match &kind.role {
            Role::Skip => return Ok(()),
            Role::Refuse(reason) => {
                return Err(records.refuse(line.offset, None, rule::UNSUPPORTED, &**reason));
            }
            Role::Header { level } => self.header(records, kind, usize::from(*level), line)?,
            Role::Record => {
                self.inside(records, kind, self.plan.levels.len(), line)?;
                records.begin_record(line.offset)?;
            }
            Role::Detail if !records.in_record() => {
                let detail = format!("the line {} stands behind no record", kind.name);
                return Err(records.refuse(line.offset, None, rule::FIXED, detail));
            }
            Role::Detail => {}
            Role::Trailer { level } => {
                self.check_length(records, kind, line)?;
                return self.trailer(records, kind, usize::from(*level), line);
            }
        }
        self.end = line.offset + line.text.len();
        self.check_length(records, kind, line)?;
        self.totals.add(records, kind, line)?;
        for (column, slot) in &kind.columns {
            let (start, text) = line.column(*column);
            if !text.is_empty() {
                let start = line.offset + start;
                records.value(*slot, Value::Body(start, start + text.len()), start)?;
            }
        }
        Ok(())
    }

    /// Whether a line of this level may stand here: inside of all that must be around it.
    fn inside(
        &self,
        records: &mut Assembler<'_, '_>,
        kind: &LinePlan,
        level: usize,
        line: Line<'_>,
    ) -> Result<(), Refusal> {
        for (around, is_open) in self.plan.levels.iter().zip(&self.open).take(level) {
            if !is_open && !around.is_optional {
                let detail = format!("the line {} stands outside of {}", kind.name, around.name);
                return Err(records.refuse(line.offset, None, rule::FIXED, detail));
            }
        }
        Ok(())
    }

    fn header(
        &mut self,
        records: &mut Assembler<'_, '_>,
        kind: &LinePlan,
        level: usize,
        line: Line<'_>,
    ) -> Result<(), Refusal> {
        self.inside(records, kind, level, line)?;
        self.closed_from(records, level, line.offset)?;
        self.open[level] = true;
        self.totals.reset(level);
        records.open_scope(level.min(254) as u8);
        Ok(())
    }

    /// Everything from this level down must have had its trailer.
    fn closed_from(
        &mut self,
        records: &mut Assembler<'_, '_>,
        level: usize,
        offset: usize,
    ) -> Result<(), Refusal> {
        for (plan, is_open) in self.plan.levels.iter().zip(&mut self.open).skip(level) {
            if let (true, Some(trailer)) = (*is_open, &plan.trailer) {
                let detail = format!(
                    "{} ends without the line {trailer}, which holds its totals",
                    plan.name
                );
                return Err(records.refuse(offset, Some(trailer), rule::CONTROL_TOTAL, detail));
            }
            *is_open = false;
        }
        Ok(())
    }

    fn trailer(
        &mut self,
        records: &mut Assembler<'_, '_>,
        kind: &LinePlan,
        level: usize,
        line: Line<'_>,
    ) -> Result<(), Refusal> {
        let plan = &self.plan.levels[level];
        if !self.open[level] {
            let detail = format!("the line {} stands outside of {}", kind.name, plan.name);
            return Err(records.refuse(line.offset, None, rule::FIXED, detail));
        }
        self.closed_from(records, level + 1, line.offset)?;
        self.totals.add(records, kind, line)?;
        self.totals.check(records, kind, line)?;
        self.open[level] = false;
        Ok(())
    }

    fn finish(&mut self, records: &mut Assembler<'_, '_>) -> Result<(), Refusal> {
        if records.in_record() {
            records.end_record(self.end)?;
        }
        self.closed_from(records, 0, records.body.len())
    }

    /// A line of the wrong length: its columns may not be where they should.
    fn check_length(
        &self,
        records: &mut Assembler<'_, '_>,
        kind: &LinePlan,
        line: Line<'_>,
    ) -> Result<(), Refusal> {
        let characters = line.characters();
        let least = self.plan.length.unwrap_or(kind.need);
        let is_short = characters < least && !self.plan.accept_short;
        let is_long = self
            .plan
            .length
            .is_some_and(|length| characters > length && !is_blank(&line.text[line.at(length)..]));
        if !is_short && !is_long {
            return Ok(());
        }
        let detail = format!(
            "the line {} has {characters} characters, {least} are expected",
            kind.name
        );
        let problem = Problem {
            field: Some(kind.name.clone()),
            rule: rule::LINE_LENGTH,
            detail,
        };
        records.spoil(line.offset, problem)
    }

    fn unknown(&self, records: &mut Assembler<'_, '_>, line: Line<'_>) -> Refusal {
        let mark =
            |mark: &Mark| format!("\"{}\" at {}", mark.texts.join("\" or \""), mark.start + 1);
        let known: Vec<String> = self
            .plan
            .kinds
            .iter()
            .map(|kind| {
                let marks: Vec<String> = kind.marks.iter().map(mark).collect();
                format!("{} ({})", kind.name, marks.join(", "))
            })
            .collect();
        let detail = format!(
            "the line {} is of no known kind; known are {}",
            shown(line.text),
            known.join(", ")
        );
        records.refuse(line.offset, None, rule::FIXED, detail)
    }
}
