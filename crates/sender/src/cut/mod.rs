//! Cutting a file into requests at record boundaries.
//!
//! # Invariants
//!
//! - **Numbers do not depend on the cut.** A record's number is its place in the file, counted as the
//!   mapping counts: blank rows and the header have none. So the same file gives the same identities
//!   however it is cut. Where a line of JSON is not plainly one record, more numbers are set aside
//!   for it than it can need, and the request ends behind it.
//! - **A header goes with every request**, as each must be readable alone.
//! - **Bounded memory**: one request and one read, whatever the file's size.

mod json;
mod rows;

use std::io::{self, Read};
use std::ops::Range;

use bytes::Bytes;
use mapping::{Format, Mapping, Rows};

use json::{Line, Object};

/// Most bytes of one request that was cut from a file; a single record may have as many.
pub(crate) const PIECE_BYTES_MAX: usize = 4 << 20;
/// Most bytes of a file that cannot be cut.
pub(crate) const WHOLE_BYTES_MAX: usize = 64 << 20;
/// Bytes asked of the file at a time.
const READ_BYTES: usize = 256 << 10;

const NDJSON: &str = "application/x-ndjson";
const JSON: &str = "application/json";

/// How files of a source are cut into requests.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cut {
    /// Between rows; a header is repeated in every request.
    Rows(Rows),
    /// Between objects: lines of NDJSON, elements of an array, or one object after the other.
    Json,
    /// Not at all: the document is sent whole.
    Whole(Format),
}

impl Cut {
    /// What the mapping of a source allows.
    pub fn of(mapping: &Mapping) -> Self {
        if !mapping.is_divisible() {
            return Self::Whole(mapping.format());
        }
        match mapping.rows() {
            Some(rows) => Self::Rows(rows),
            None => Self::Json,
        }
    }
}

/// Part of a file that is sent in one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) body: Bytes,
    pub(crate) content_type: &'static str,
    /// Number of the first record, from 1.
    pub(crate) first_record: u64,
    /// Numbers that the records of the piece may take; `None` where they were not counted.
    pub(crate) records: Option<u64>,
    /// Bytes of the file up to the end of this piece.
    pub(crate) file_bytes: u64,
}

/// Why a file cannot be cut any further.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CutError {
    #[error("cannot read the file")]
    Read(#[from] io::Error),
    #[error(
        "record {record} has no end within {PIECE_BYTES_MAX} bytes; is a quote or bracket left open?"
    )]
    Endless { record: u64 },
    #[error("record {record} is not a JSON object, so that the file cannot be cut behind it")]
    NotAnObject { record: u64 },
    #[error("the document has more than {WHOLE_BYTES_MAX} bytes and cannot be cut")]
    TooLarge,
}

/// What has been read of the file and not been sent yet.
#[derive(Debug)]
struct Window<R> {
    input: R,
    buffer: Vec<u8>,
    at: usize,
    is_last: bool,
    /// Bytes of the file in front of `buffer`.
    before: u64,
    hasher: blake3::Hasher,
}

impl<R: Read> Window<R> {
    fn rest(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    /// Forgets what stands in front of `at`.
    fn release(&mut self) {
        self.before += self.at as u64;
        self.buffer.drain(..self.at);
        self.at = 0;
    }

    /// Reads more; at the end of the file it only notes that.
    fn fill(&mut self) -> io::Result<()> {
        let old = self.buffer.len();
        self.buffer.resize(old + READ_BYTES, 0);
        let count = loop {
            match self.input.read(&mut self.buffer[old..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        self.buffer.truncate(old + *count.as_ref().unwrap_or(&0));
        self.is_last = count? == 0;
        self.hasher.update(&self.buffer[old..]);
        Ok(())
    }

    fn file_bytes(&self) -> u64 {
        self.before + self.at as u64
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Start,
    Rows,
    Lines,
    Objects { in_array: bool, is_first: bool },
    Whole(&'static str),
    Done,
}

/// Cuts one file.
#[derive(Debug)]
pub(crate) struct Cutter<R> {
    window: Window<R>,
    cut: Cut,
    mode: Mode,
    header: Vec<u8>,
    records_max: u64,
    next_record: u64,
}

impl<R: Read> Cutter<R> {
    pub(crate) fn new(input: R, cut: Cut, records_max: usize) -> Self {
        Self {
            window: Window {
                input,
                buffer: Vec::new(),
                at: 0,
                is_last: false,
                before: 0,
                hasher: blake3::Hasher::new(),
            },
            cut,
            mode: Mode::Start,
            header: Vec::new(),
            records_max: records_max.max(1) as u64,
            next_record: 1,
        }
    }

    /// Hash of what was read so far; of the whole file once all pieces were taken.
    pub(crate) fn hash(&self) -> blake3::Hash {
        self.window.hasher.finalize()
    }

    /// The next piece; `None` behind the last.
    pub(crate) fn next_piece(&mut self) -> Result<Option<Piece>, CutError> {
        self.window.release();
        loop {
            let piece = match self.mode {
                Mode::Start => {
                    self.start()?;
                    continue;
                }
                Mode::Rows => self.rows_piece()?,
                Mode::Lines => self.lines_piece()?,
                Mode::Objects { .. } => match self.objects_piece()? {
                    Some(piece) => piece,
                    // It turned out not to be a list of objects; the gateway shall judge it whole.
                    None => continue,
                },
                Mode::Whole(content_type) => self.whole_piece(content_type)?,
                Mode::Done => None,
            };
            if piece.is_none() {
                self.mode = Mode::Done;
            }
            return Ok(piece);
        }
    }

    /// Skips the byte order mark and finds out what the file is.
    fn start(&mut self) -> Result<(), CutError> {
        while self.window.rest().len() < 3 && !self.window.is_last {
            self.window.fill()?;
        }
        if matches!(self.cut, Cut::Whole(_)) {
            // An empty file is sent too: the gateway says what is wrong with it.
            self.mode = Mode::Whole(content_type(&self.cut));
            return Ok(());
        }
        if self.window.rest().starts_with("\u{feff}".as_bytes()) {
            self.window.at += 3;
        }
        if let Cut::Rows(rows) = self.cut.clone() {
            self.mode = Mode::Rows;
            return self.take_header(&rows);
        }
        self.skip_space()?;
        let first = self.line_end()?;
        let rest = self.window.rest();
        self.mode = match rest.first() {
            Some(b'[') => Mode::Objects {
                in_array: true,
                is_first: true,
            },
            Some(b'{') if json::object(&rest[..first]) == Object::Incomplete => Mode::Objects {
                in_array: false,
                is_first: true,
            },
            _ => Mode::Lines,
        };
        Ok(())
    }

    /// Bytes of the row in front; 0 at the end of the file.
    fn row_end(&mut self, delimiter: Option<u8>) -> Result<usize, CutError> {
        loop {
            let rest = self.window.rest();
            if let Some(end) = rows::row_end(rest, delimiter, self.window.is_last) {
                return Ok(end);
            }
            if self.window.is_last {
                // A quote is left open: the gateway says so.
                return Ok(rest.len());
            }
            if rest.len() > PIECE_BYTES_MAX {
                let record = self.next_record;
                return Err(CutError::Endless { record });
            }
            self.window.fill()?;
        }
    }

    fn line_end(&mut self) -> Result<usize, CutError> {
        self.row_end(None)
    }

    fn skip_space(&mut self) -> Result<(), CutError> {
        loop {
            self.window.at += json::space(self.window.rest());
            if self.window.is_last || !self.window.rest().is_empty() {
                return Ok(());
            }
            self.window.fill()?;
        }
    }

    fn take_header(&mut self, rows: &Rows) -> Result<(), CutError> {
        loop {
            let end = self.row_end(rows.delimiter)?;
            let row = &self.window.rest()[..end];
            if end == 0 {
                return Ok(());
            }
            if !rows::is_blank(row, rows.delimiter) {
                if rows::is_header(row, rows) {
                    self.header = row.to_vec();
                    self.window.at += end;
                }
                return Ok(());
            }
            self.window.at += end;
        }
    }

    fn rows_piece(&mut self) -> Result<Option<Piece>, CutError> {
        let Cut::Rows(Rows { delimiter, .. }) = self.cut else {
            return Ok(None);
        };
        let mut start = self.window.at;
        let mut records = 0;
        while records < self.records_max {
            let end = self.row_end(delimiter)?;
            if end == 0 {
                break;
            }
            let is_blank = rows::is_blank(&self.window.rest()[..end], delimiter);
            if records == 0 && is_blank {
                self.window.at += end;
                self.window.release();
                start = 0;
                continue;
            }
            if records > 0 && self.window.at + end - start > PIECE_BYTES_MAX {
                break;
            }
            self.window.at += end;
            records += u64::from(!is_blank);
        }
        if records == 0 {
            return Ok(None);
        }
        let mut body = Vec::with_capacity(self.header.len() + self.window.at - start);
        body.extend_from_slice(&self.header);
        body.extend_from_slice(&self.window.buffer[start..self.window.at]);
        Ok(Some(self.piece(body, "text/csv", records)))
    }

    fn lines_piece(&mut self) -> Result<Option<Piece>, CutError> {
        let mut start = self.window.at;
        let mut records = 0;
        while records < self.records_max {
            let end = self.line_end()?;
            if end == 0 {
                break;
            }
            let line = json::line(&self.window.rest()[..end]);
            if records == 0 && line == Line::Blank {
                self.window.at += end;
                self.window.release();
                start = 0;
                continue;
            }
            if records > 0 && self.window.at + end - start > PIECE_BYTES_MAX {
                break;
            }
            self.window.at += end;
            match line {
                Line::Blank => {}
                Line::One => records += 1,
                Line::Odd(most) => {
                    records += most;
                    break;
                }
            }
        }
        if records == 0 {
            return Ok(None);
        }
        let body = self.window.buffer[start..self.window.at].to_vec();
        Ok(Some(self.piece(body, NDJSON, records)))
    }

    /// The outer `None`: the file is no list of objects, and nothing of it was sent yet.
    fn objects_piece(&mut self) -> Result<Option<Option<Piece>>, CutError> {
        let Mode::Objects { in_array, is_first } = self.mode else {
            return Ok(None);
        };
        let begin = self.window.at;
        if is_first && in_array {
            self.window.at += 1;
        }
        let mut span: Option<Range<usize>> = None;
        let mut records = 0;
        let ended = loop {
            if records == self.records_max {
                break false;
            }
            let behind = self.window.at;
            match self.next_object(in_array, is_first && records == 0) {
                Ok(Some(object)) => {
                    let start = span.as_ref().map_or(object.start, |span| span.start);
                    if records > 0 && object.end - start > PIECE_BYTES_MAX {
                        self.window.at = behind;
                        break false;
                    }
                    span = Some(start..object.end);
                    records += 1;
                }
                Ok(None) => break true,
                Err(CutError::Read(error)) => return Err(error.into()),
                Err(_) if is_first => {
                    self.window.at = begin;
                    self.mode = Mode::Whole(JSON);
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        };
        self.mode = match ended {
            true => Mode::Done,
            false => Mode::Objects {
                in_array,
                is_first: false,
            },
        };
        let whole = begin..self.window.at;
        let Some(span) = span else {
            if !is_first {
                return Ok(Some(None));
            }
            // An empty list: the gateway shall say that there is no record.
            let body = self.window.buffer[whole].to_vec();
            return Ok(Some(Some(self.piece(body, JSON, 0))));
        };
        let objects = &self.window.buffer[span];
        let body = match in_array {
            true => [b"[".as_slice(), objects, b"]"].concat(),
            false => objects.to_vec(),
        };
        if ended && is_first {
            let body = self.window.buffer[whole].to_vec();
            return Ok(Some(Some(self.piece(body, JSON, records))));
        }
        Ok(Some(Some(self.piece(body, JSON, records))))
    }

    /// Where the next object stands in the buffer; `None` at the proper end of the file.
    fn next_object(
        &mut self,
        in_array: bool,
        is_first: bool,
    ) -> Result<Option<Range<usize>>, CutError> {
        let odd = |record| CutError::NotAnObject { record };
        self.skip_space()?;
        if in_array {
            match (self.window.rest().first(), is_first) {
                (Some(b']'), _) => {
                    self.window.at += 1;
                    self.skip_space()?;
                    let at_end = self.window.rest().is_empty();
                    return at_end.then_some(None).ok_or(odd(self.next_record));
                }
                (Some(b','), false) => {
                    self.window.at += 1;
                    self.skip_space()?;
                }
                (Some(_), true) => {}
                _ => return Err(odd(self.next_record)),
            }
        } else if self.window.rest().is_empty() {
            return Ok(None);
        }
        loop {
            match json::object(self.window.rest()) {
                Object::Complete(length) => {
                    let start = self.window.at;
                    self.window.at += length;
                    return Ok(Some(start..self.window.at));
                }
                Object::Incomplete if self.window.rest().len() > PIECE_BYTES_MAX => {
                    let record = self.next_record;
                    return Err(CutError::Endless { record });
                }
                Object::Incomplete if !self.window.is_last => self.window.fill()?,
                _ => return Err(odd(self.next_record)),
            }
        }
    }

    fn whole_piece(&mut self, content_type: &'static str) -> Result<Option<Piece>, CutError> {
        while !self.window.is_last {
            if self.window.rest().len() > WHOLE_BYTES_MAX {
                return Err(CutError::TooLarge);
            }
            self.window.fill()?;
        }
        let body = std::mem::take(&mut self.window.buffer).split_off(self.window.at);
        self.window.before += (self.window.at + body.len()) as u64;
        self.window.at = 0;
        self.mode = Mode::Done;
        Ok(Some(Piece {
            body: body.into(),
            content_type,
            first_record: self.next_record,
            records: None,
            file_bytes: self.window.before,
        }))
    }

    fn piece(&mut self, body: Vec<u8>, content_type: &'static str, records: u64) -> Piece {
        let first_record = self.next_record;
        self.next_record += records;
        Piece {
            body: body.into(),
            content_type,
            first_record,
            records: Some(records),
            file_bytes: self.window.file_bytes(),
        }
    }
}

fn content_type(cut: &Cut) -> &'static str {
    match cut {
        Cut::Rows(_) | Cut::Whole(Format::Csv) => "text/csv",
        Cut::Json | Cut::Whole(Format::Json) => JSON,
        Cut::Whole(Format::Xml) => "application/xml",
        Cut::Whole(Format::Copybook | Format::Iso8583 | Format::Protobuf | Format::Avro) => {
            "application/octet-stream"
        }
        Cut::Whole(Format::SwiftMt | Format::Fixed | Format::Ofx) => "text/plain",
    }
}

#[cfg(test)]
mod tests;
