//! Reading the fields of one record: which segment it is, and the text of a field.

use super::CopybookPlan;
use super::frame::{Broken, Frames, hex};
use super::layout::{Event, ItemId, Kind, Walker, Wrong};
use super::number::{self, Presence, ZEROS};

/// What a record is by its segment field.
pub(super) enum Segment {
    /// It is read without the items of this list.
    Read(usize),
    Skip,
    Unknown(String),
}

/// Reads records and fields; buffers are kept from record to record.
pub(super) struct Reader<'p, 'b> {
    pub(super) plan: &'p CopybookPlan,
    pub(super) body: &'b [u8],
    pub(super) skipped: Vec<Vec<bool>>,
    pub(super) walker: Walker,
    pub(super) text: String,
    pub(super) trimmed: (usize, usize),
}

impl<'p, 'b> Reader<'p, 'b> {
    pub(super) fn new(plan: &'p CopybookPlan, body: &'b [u8], wanted: &[bool]) -> Self {
        Self {
            plan,
            body,
            skipped: plan.skipped(wanted),
            walker: Walker::default(),
            text: String::with_capacity(64),
            trimmed: (0, 0),
        }
    }

    pub(super) fn segment(&mut self, record: &[u8]) -> Segment {
        let Some(segments) = &self.plan.segments else {
            return Segment::Read(0);
        };
        let item = &self.plan.layout.items[segments.field];
        let end = segments.offset + item.element;
        if !matches!(
            self.field(segments.field, record, segments.offset, end),
            Ok(true)
        ) {
            self.trimmed = (0, 0);
        }
        let value = self.value();
        if segments.skip.iter().any(|known| **known == *value) {
            return Segment::Skip;
        }
        let found = segments.values().position(|known| *known == *value);
        found.map_or_else(|| Segment::Unknown(value.to_owned()), Segment::Read)
    }

    /// The next record where nothing tells records apart: it is walked to its end.
    pub(super) fn frame(
        &mut self,
        frames: &mut Frames<'b>,
    ) -> Result<Option<(usize, usize)>, Broken> {
        let Some((start, end)) = frames.next()? else {
            return Ok(None);
        };
        if !frames.is_walked() {
            return Ok(Some((start, end)));
        }
        let body: &'b [u8] = self.body;
        let record = &body[start..end];
        let broken = |offset: usize, detail: String| Broken {
            offset: start + offset.min(record.len()),
            detail,
        };
        let list = match self.segment(record) {
            Segment::Read(list) => list,
            Segment::Skip | Segment::Unknown(_) => self.skipped.len() - 1,
        };
        self.walker.begin(&self.plan.layout);
        loop {
            match self.next(list, record) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(wrong) => return Err(broken(wrong.offset, wrong.detail)),
            }
        }
        let length = self.walker.offset();
        if length == 0 || length > record.len() {
            let detail = format!(
                "the last {} bytes are no whole record, which has {length}",
                record.len()
            );
            return Err(broken(0, detail));
        }
        frames.ended(start + length);
        Ok(Some((start, start + length)))
    }

    /// Whether an element of a table is unused: only spaces, or only low values.
    pub(super) fn is_blank(&self, item: ItemId, record: &[u8], start: usize) -> bool {
        let item = &self.plan.layout.items[item];
        let end = (start + item.element).min(record.len());
        let bytes = record.get(start..end).unwrap_or_default();
        item.occurs.is_some() && number::is_blank(bytes, self.plan.page.ebcdic)
    }

    /// Reads a field; whether there is a value, which is then [`Reader::value`]. The error says what is wrong.
    pub(super) fn field(
        &mut self,
        item: ItemId,
        record: &[u8],
        start: usize,
        end: usize,
    ) -> Result<bool, String> {
        const CUT: &str = "lies across the end of the record";
        let kind = self.plan.layout.items[item].kind;
        let cut = end > record.len();
        self.text.clear();
        let Some(bytes) = record.get(start..end.min(record.len())) else {
            return Ok(false);
        };
        if bytes.is_empty() {
            return Ok(false);
        }
        match kind {
            Kind::Number(_) | Kind::National(_) | Kind::Float(_) if cut => {
                return Err(CUT.to_owned());
            }
            Kind::Group => return Ok(false),
            Kind::Text(_) => self.plan.page.read(bytes, &mut self.text).map_err(|byte| {
                format!("has the byte {byte:02X}, which is no character of the code page")
            })?,
            Kind::National(_) => {
                let units = bytes
                    .chunks_exact(2)
                    .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
                for character in char::decode_utf16(units) {
                    let character = character.map_err(|_| "is no UTF-16 text".to_owned())?;
                    self.text.push(if character.is_control() {
                        ' '
                    } else {
                        character
                    });
                }
            }
            Kind::Float(_) => {
                use std::fmt::Write as _;
                for byte in bytes {
                    // Writing to a string cannot fail.
                    let _ = write!(self.text, "{byte:02X}");
                }
            }
            Kind::Number(number) => {
                let read = number
                    .read(bytes, self.plan.page.ebcdic, &mut self.text)
                    .map_err(|wrong| format!("{wrong}: {}", hex(bytes)))?;
                if read == Presence::Blank {
                    return Ok(false);
                }
                if number.is_code() {
                    let missing = (number.picture.digits as usize).saturating_sub(self.text.len());
                    self.text.insert_str(0, &ZEROS[..missing.min(ZEROS.len())]);
                }
            }
        }
        let end = self.text.trim_end_matches(' ').len();
        let start = if self.plan.trim_start {
            end - self.text[..end].trim_start_matches(' ').len()
        } else {
            0
        };
        self.trimmed = (start, end);
        Ok(true)
    }

    /// Text of the field read last, without spaces around it.
    pub(super) fn value(&self) -> &str {
        &self.text[self.trimmed.0..self.trimmed.1]
    }

    pub(super) fn next(&mut self, list: usize, record: &[u8]) -> Result<Option<Event>, Wrong> {
        let Self {
            plan,
            skipped,
            walker,
            ..
        } = self;
        walker.next(&plan.layout, record, &skipped[list], plan.page.ebcdic)
    }
}
