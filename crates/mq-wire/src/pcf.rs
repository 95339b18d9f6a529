//! Programmable command formats (PCF): the data of messages that administer a queue manager.
//!
//! A message of format `MQADMIN` is a header (MQCFH) and parameters behind each other, each with its
//! type and its length ("Structures for commands and responses", IBM MQ documentation). Numbers are
//! in the order that MQMD.Encoding says, not the segment: the data travels unread from queue to queue.
//!
//! # Invariants
//!
//! - Reading never panics and allocates only for bytes that are there, up to stated limits.
//! - What was read is written as the same bytes, but for the padding behind text.
//! - A parameter of a type that is not known is passed over by its length and kept as it is.

use bytes::{BufMut, Bytes, BytesMut};

use crate::field::{ByteOrder, Reader, Writer};
use crate::text::{TextCode, convert};

/// Longest message of administration in bytes: MAXMSGL's default.
pub const PCF_BYTES_MAX: usize = 4 << 20;
/// Most parameters of a message, those in groups included.
pub const PCF_PARAMETERS_MAX: usize = 1_024;
/// Most values of a list.
pub const PCF_LIST_MAX: usize = 16_384;
/// Longest text in bytes, alone or in a list.
pub const PCF_TEXT_BYTES_MAX: usize = 32_768;

/// Bytes of MQCFH.
const HEADER_BYTES: usize = 36;
/// Bytes of MQCFST before the text.
const STRING_BYTES: usize = 20;
/// Bytes of MQCFIL before the values.
const INTEGERS_BYTES: usize = 16;
/// Bytes of MQCFSL before the texts.
const STRINGS_BYTES: usize = 24;
/// Bytes that every parameter has: type, length, identifier.
const PARAMETER_BYTES: usize = 12;

/// Types of structures (MQCFT_*).
pub mod pcf_type {
    /// A command.
    pub const COMMAND: i32 = 1;
    /// An answer.
    pub const RESPONSE: i32 = 2;
    /// A number.
    pub const INTEGER: i32 = 3;
    /// A text.
    pub const STRING: i32 = 4;
    /// Numbers.
    pub const INTEGER_LIST: i32 = 5;
    /// Texts of one length.
    pub const STRING_LIST: i32 = 6;
    /// A condition on a number.
    pub const INTEGER_FILTER: i32 = 13;
    /// A condition on a text.
    pub const STRING_FILTER: i32 = 14;
    /// A condition on bytes.
    pub const BYTE_STRING_FILTER: i32 = 15;
    /// A command in the form of z/OS.
    pub const COMMAND_XR: i32 = 16;
    /// Stands before parameters that belong together.
    pub const GROUP: i32 = 20;
    /// A long number.
    pub const INTEGER64: i32 = 23;
}

/// Whether a message is the last one of an answer (MQCFC_*).
pub mod pcf_control {
    /// More follow.
    pub const NOT_LAST: i32 = 0;
    /// It is.
    pub const LAST: i32 = 1;
}

/// Why bytes are no PCF message. The same bytes never become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PcfError {
    /// The message ends before the structure does.
    #[error("{what} is cut: {need} bytes more are needed, {have} are there")]
    Cut {
        /// Structure.
        what: &'static str,
        /// Bytes missing.
        need: usize,
        /// Bytes left.
        have: usize,
    },
    /// Longer than [`PCF_BYTES_MAX`].
    #[error("{bytes} bytes: {PCF_BYTES_MAX} are allowed")]
    Bytes {
        /// Of the message.
        bytes: usize,
    },
    /// Bytes follow the last parameter.
    #[error("{bytes} bytes follow the last parameter")]
    Behind {
        /// How many.
        bytes: usize,
    },
    /// MQCFH.StrucLength is not 36.
    #[error("a header of {found} bytes: it has 36")]
    HeaderLength {
        /// As received.
        found: i32,
    },
    /// MQCFH.Version is none of 1, 2, 3.
    #[error("version {found} of the header: 1 to 3 are known")]
    Version {
        /// As received.
        found: i32,
    },
    /// MQCFH.ParameterCount is negative or above [`PCF_PARAMETERS_MAX`].
    #[error("{found} parameters: 0 to {PCF_PARAMETERS_MAX} are allowed")]
    ParameterCount {
        /// As received.
        found: i32,
    },
    /// A structure's length does not fit its type; which, is in `kind`.
    #[error("parameter {parameter} of type {kind} has a wrong length of {found} bytes")]
    Length {
        /// MQCFT_*.
        kind: i32,
        /// Identifier.
        parameter: i32,
        /// As received.
        found: i32,
    },
    /// The number of values of a list is negative, above [`PCF_LIST_MAX`], or not what its length says.
    #[error(
        "parameter {parameter} of type {kind} has {found} values: 0 to {PCF_LIST_MAX} are allowed"
    )]
    Count {
        /// MQCFT_*.
        kind: i32,
        /// Identifier.
        parameter: i32,
        /// As received.
        found: i32,
    },
    /// The length of a text is negative or above [`PCF_TEXT_BYTES_MAX`].
    #[error(
        "parameter {parameter} of type {kind} has text of {found} bytes: 0 to {PCF_TEXT_BYTES_MAX} are allowed"
    )]
    TextLength {
        /// MQCFT_*.
        kind: i32,
        /// Identifier.
        parameter: i32,
        /// As received.
        found: i32,
    },
}

impl PcfError {
    /// MQRCCF_*, as a command server answers.
    pub fn reason(&self) -> i32 {
        match self {
            Self::Cut { .. } | Self::Bytes { .. } | Self::Behind { .. } => 3016,
            Self::HeaderLength { .. } => 3002,
            Self::Version { .. } => 3003,
            Self::ParameterCount { .. } => 3006,
            Self::Length { kind, .. } => match *kind {
                pcf_type::INTEGER | pcf_type::INTEGER64 => 3009,
                pcf_type::STRING => 3010,
                pcf_type::INTEGER_LIST => 3028,
                pcf_type::STRING_LIST => 3024,
                pcf_type::GROUP => 3258,
                _ => 3013,
            },
            Self::Count { kind, .. } => match *kind {
                pcf_type::INTEGER_LIST => 3027,
                pcf_type::STRING_LIST => 3068,
                _ => 3259,
            },
            Self::TextLength { kind, .. } => match *kind {
                pcf_type::STRING => 3011,
                _ => 3069,
            },
        }
    }

    /// The parameter it is about.
    pub fn parameter(&self) -> Option<i32> {
        match self {
            Self::Length { parameter, .. }
            | Self::Count { parameter, .. }
            | Self::TextLength { parameter, .. } => Some(*parameter),
            _ => None,
        }
    }
}

/// MQCFH without its length and the number of parameters, which follow from what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PcfHeader {
    /// MQCFT_COMMAND, MQCFT_RESPONSE and so on.
    pub kind: i32,
    /// 1 to 3.
    pub version: i32,
    /// MQCMD_*.
    pub command: i32,
    /// Place within an answer, from 1.
    pub sequence: i32,
    /// MQCFC_*.
    pub control: i32,
    /// MQCC_*, of answers.
    pub comp_code: i32,
    /// MQRC_* or MQRCCF_*, of answers.
    pub reason: i32,
}

impl PcfHeader {
    /// The header of a command.
    pub fn command(command: i32) -> Self {
        Self {
            kind: pcf_type::COMMAND,
            version: 1,
            command,
            sequence: 1,
            control: pcf_control::LAST,
            comp_code: 0,
            reason: 0,
        }
    }
}

/// A text in its own character set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PcfText {
    /// Of the bytes; 0 = as MQMD says.
    pub ccsid: i32,
    /// As received, blanks included.
    pub bytes: Bytes,
}

impl PcfText {
    /// A text in UTF-8.
    pub fn new(text: &str) -> Self {
        Self {
            ccsid: 1208,
            bytes: Bytes::copy_from_slice(text.as_bytes()),
        }
    }

    /// The text without the blanks and zeros behind it; `ccsid` is the message's. `None` when the
    /// character set is not known, or the bytes are no text in it.
    pub fn text(&self, ccsid: i32) -> Option<String> {
        text_of(self.ccsid, ccsid, &self.bytes)
    }
}

/// Texts of one length in one character set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PcfTexts {
    /// Of the bytes; 0 = as MQMD says.
    pub ccsid: i32,
    /// Of each.
    pub text_bytes: usize,
    /// Each of that length.
    pub texts: Vec<Bytes>,
}

impl PcfTexts {
    /// As [`PcfText::text`], of all of them.
    pub fn texts(&self, ccsid: i32) -> Option<Vec<String>> {
        let texts = self.texts.iter();
        texts.map(|text| text_of(self.ccsid, ccsid, text)).collect()
    }
}

fn text_of(own: i32, message: i32, bytes: &[u8]) -> Option<String> {
    let ccsid = match (own, message) {
        (0, 0) => 1208,
        (0, message) => message,
        (own, _) => own,
    };
    let end = bytes.iter().position(|byte| *byte == 0);
    let bytes = bytes.get(..end.unwrap_or(bytes.len()))?;
    let utf8 = match convert(ccsid, 1208, bytes) {
        Some(utf8) => utf8,
        // Code pages that agree with ASCII, as long as there is nothing else.
        None => {
            let known = u16::try_from(ccsid)
                .ok()
                .and_then(|own| TextCode::of(own).ok());
            (known == Some(TextCode::ASCII) && bytes.is_ascii()).then(|| bytes.to_vec())?
        }
    };
    let mut text = String::from_utf8(utf8).ok()?;
    text.truncate(text.trim_end_matches(' ').len());
    Some(text)
}

/// What a parameter says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PcfValue {
    /// MQCFIN.
    Integer(i32),
    /// MQCFIN64.
    Integer64(i64),
    /// MQCFST.
    Text(PcfText),
    /// MQCFIL.
    Integers(Vec<i32>),
    /// MQCFSL.
    Texts(PcfTexts),
    /// MQCFGR: so many of the next parameters belong together.
    Group(usize),
    /// Any other type, with what follows its identifier.
    Other {
        /// MQCFT_*.
        kind: i32,
        /// Bytes.
        rest: Bytes,
    },
}

/// One parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PcfParameter {
    /// MQIA_*, MQCA_*, MQIACF_*, MQCACF_* and so on.
    pub id: i32,
    /// What it says.
    pub value: PcfValue,
}

impl PcfParameter {
    /// A number.
    pub fn integer(id: i32, value: i32) -> Self {
        Self {
            id,
            value: PcfValue::Integer(value),
        }
    }

    /// A text in UTF-8.
    pub fn text(id: i32, text: &str) -> Self {
        Self {
            id,
            value: PcfValue::Text(PcfText::new(text)),
        }
    }
}

/// A message of administration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pcf {
    /// What it is.
    pub header: PcfHeader,
    /// In order. Parameters of a group follow it and are not marked.
    pub parameters: Vec<PcfParameter>,
}

impl Pcf {
    /// Reads the data of a message of format `MQADMIN`.
    ///
    /// # Errors
    ///
    /// [`PcfError`]: which structure is wrong, with the reason code that belongs to it.
    pub fn read(data: Bytes, order: ByteOrder) -> Result<Self, PcfError> {
        if data.len() > PCF_BYTES_MAX {
            return Err(PcfError::Bytes { bytes: data.len() });
        }
        let mut from = Reader::new(data, order, TextCode::ASCII);
        need(&from, "MQCFH", HEADER_BYTES)?;
        let kind = number(&mut from, "MQCFH")?;
        match number(&mut from, "MQCFH")? {
            36 => {}
            found => return Err(PcfError::HeaderLength { found }),
        }
        let version = number(&mut from, "MQCFH")?;
        if !(1..=3).contains(&version) {
            return Err(PcfError::Version { found: version });
        }
        let header = PcfHeader {
            kind,
            version,
            command: number(&mut from, "MQCFH")?,
            sequence: number(&mut from, "MQCFH")?,
            control: number(&mut from, "MQCFH")?,
            comp_code: number(&mut from, "MQCFH")?,
            reason: number(&mut from, "MQCFH")?,
        };
        let mut left = parameter_count(number(&mut from, "MQCFH")?)?;
        let mut parameters = Vec::new();
        while left > 0 {
            left -= 1;
            let parameter = read_parameter(&mut from)?;
            if let PcfValue::Group(inside) = parameter.value {
                // Those in the group are not in the header's count.
                left += inside;
            }
            parameters.push(parameter);
            if parameters.len() + left > PCF_PARAMETERS_MAX {
                let found = parameters.len() + left;
                return Err(PcfError::ParameterCount {
                    found: i32::try_from(found).unwrap_or(i32::MAX),
                });
            }
        }
        match from.rest.len() {
            0 => Ok(Self { header, parameters }),
            bytes => Err(PcfError::Behind { bytes }),
        }
    }

    /// Writes it behind what is in `out`.
    pub fn write(&self, order: ByteOrder, out: &mut BytesMut) {
        let mut to = Writer::new(out, order, TextCode::ASCII);
        let header = &self.header;
        to.put(&header.kind);
        to.put_length(HEADER_BYTES);
        for field in [
            header.version,
            header.command,
            header.sequence,
            header.control,
            header.comp_code,
            header.reason,
        ] {
            to.put(&field);
        }
        to.put_length(self.outer_parameters());
        for parameter in &self.parameters {
            write_parameter(&mut to, parameter);
        }
    }

    /// Parameters that are in no group.
    fn outer_parameters(&self) -> usize {
        let (mut outer, mut inner) = (0, 0_usize);
        for parameter in &self.parameters {
            match inner.checked_sub(1) {
                Some(left) => inner = left,
                None => outer += 1,
            }
            if let PcfValue::Group(inside) = parameter.value {
                inner += inside;
            }
        }
        outer
    }

    /// The first parameter with this identifier.
    pub fn get(&self, id: i32) -> Option<&PcfValue> {
        let found = self.parameters.iter().find(|parameter| parameter.id == id);
        found.map(|parameter| &parameter.value)
    }
}

fn need(from: &Reader, what: &'static str, bytes: usize) -> Result<(), PcfError> {
    match bytes.checked_sub(from.rest.len()) {
        None | Some(0) => Ok(()),
        Some(need) => Err(PcfError::Cut {
            what,
            need,
            have: from.rest.len(),
        }),
    }
}

fn number(from: &mut Reader, what: &'static str) -> Result<i32, PcfError> {
    need(from, what, 4)?;
    from.get(what).map_err(|_| PcfError::Cut {
        what,
        need: 4,
        have: 0,
    })
}

fn parameter_count(found: i32) -> Result<usize, PcfError> {
    match usize::try_from(found) {
        Ok(count) if count <= PCF_PARAMETERS_MAX => Ok(count),
        _ => Err(PcfError::ParameterCount { found }),
    }
}

/// Length of a text with what fills it up to four bytes.
fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(4)
}

fn read_parameter(from: &mut Reader) -> Result<PcfParameter, PcfError> {
    need(from, "a parameter", PARAMETER_BYTES)?;
    let kind = number(from, "a parameter")?;
    let found = number(from, "a parameter")?;
    let id = number(from, "a parameter")?;
    let wrong_length = PcfError::Length {
        kind,
        parameter: id,
        found,
    };
    let bytes = usize::try_from(found).ok();
    let bytes = bytes.and_then(|bytes| bytes.checked_sub(PARAMETER_BYTES));
    let bytes = bytes.ok_or(wrong_length)?;
    need(from, "a parameter", bytes)?;
    let body = from.rest.split_to(bytes);
    let mut rest = from.with(body);
    // The fixed part of each type is there, so that its length is what is wrong when it is not.
    let fixed = match kind {
        pcf_type::INTEGER => 16,
        pcf_type::INTEGER64 => 24,
        pcf_type::STRING => STRING_BYTES,
        pcf_type::INTEGER_LIST => INTEGERS_BYTES,
        pcf_type::STRING_LIST => STRINGS_BYTES,
        pcf_type::GROUP => 16,
        _ => PARAMETER_BYTES,
    };
    let exact = matches!(
        kind,
        pcf_type::INTEGER | pcf_type::INTEGER64 | pcf_type::GROUP
    );
    let bytes = bytes + PARAMETER_BYTES;
    if bytes < fixed || exact && bytes != fixed {
        return Err(wrong_length);
    }
    let value = match kind {
        pcf_type::INTEGER => PcfValue::Integer(number(&mut rest, "MQCFIN")?),
        pcf_type::INTEGER64 => {
            let _reserved = number(&mut rest, "MQCFIN64")?;
            PcfValue::Integer64(rest.get("MQCFIN64").map_err(|_| wrong_length)?)
        }
        pcf_type::STRING => {
            let ccsid = number(&mut rest, "MQCFST")?;
            let length = text_length(&mut rest, kind, id)?;
            if length > rest.rest.len() {
                return Err(wrong_length);
            }
            let bytes = rest.rest.split_to(length);
            PcfValue::Text(PcfText { ccsid, bytes })
        }
        pcf_type::INTEGER_LIST => {
            let count = list_count(&mut rest, kind, id)?;
            if count.saturating_mul(4) != rest.rest.len() {
                return Err(wrong_length);
            }
            let mut values = Vec::with_capacity(count);
            for _ in 0..count {
                values.push(number(&mut rest, "MQCFIL")?);
            }
            PcfValue::Integers(values)
        }
        pcf_type::STRING_LIST => {
            let ccsid = number(&mut rest, "MQCFSL")?;
            let count = list_count(&mut rest, kind, id)?;
            let text_bytes = text_length(&mut rest, kind, id)?;
            let there = rest.rest.len();
            if count.saturating_mul(text_bytes) > there || text_bytes == 0 && count > 0 {
                return Err(wrong_length);
            }
            let texts = (0..count).map(|_| rest.rest.split_to(text_bytes));
            PcfValue::Texts(PcfTexts {
                ccsid,
                text_bytes,
                texts: texts.collect(),
            })
        }
        pcf_type::GROUP => PcfValue::Group(parameter_count(number(&mut rest, "MQCFGR")?)?),
        kind => PcfValue::Other {
            kind,
            rest: rest.all(),
        },
    };
    Ok(PcfParameter { id, value })
}

fn text_length(from: &mut Reader, kind: i32, parameter: i32) -> Result<usize, PcfError> {
    let found = number(from, "a text")?;
    match usize::try_from(found) {
        Ok(length) if length <= PCF_TEXT_BYTES_MAX => Ok(length),
        _ => Err(PcfError::TextLength {
            kind,
            parameter,
            found,
        }),
    }
}

fn list_count(from: &mut Reader, kind: i32, parameter: i32) -> Result<usize, PcfError> {
    let found = number(from, "a list")?;
    match usize::try_from(found) {
        Ok(count) if count <= PCF_LIST_MAX => Ok(count),
        _ => Err(PcfError::Count {
            kind,
            parameter,
            found,
        }),
    }
}

fn write_parameter(to: &mut Writer<'_>, parameter: &PcfParameter) {
    let head = |to: &mut Writer<'_>, kind: i32, bytes: usize| {
        to.put(&kind);
        to.put_length(bytes);
        to.put(&parameter.id);
    };
    match &parameter.value {
        PcfValue::Integer(value) => {
            head(to, pcf_type::INTEGER, 16);
            to.put(value);
        }
        PcfValue::Integer64(value) => {
            head(to, pcf_type::INTEGER64, 24);
            to.put(&0_i32);
            to.put(value);
        }
        PcfValue::Text(text) => {
            let length = text.bytes.len();
            head(to, pcf_type::STRING, STRING_BYTES + padded(length));
            to.put(&text.ccsid);
            to.put_length(length);
            to.out.put_slice(&text.bytes);
            to.out.put_bytes(0, padded(length) - length);
        }
        PcfValue::Integers(values) => {
            head(
                to,
                pcf_type::INTEGER_LIST,
                INTEGERS_BYTES + values.len() * 4,
            );
            to.put_length(values.len());
            values.iter().for_each(|value| to.put(value));
        }
        PcfValue::Texts(texts) => {
            let length = texts.texts.len() * texts.text_bytes;
            head(to, pcf_type::STRING_LIST, STRINGS_BYTES + padded(length));
            to.put(&texts.ccsid);
            to.put_length(texts.texts.len());
            to.put_length(texts.text_bytes);
            for text in &texts.texts {
                let text = text.get(..texts.text_bytes).unwrap_or(text);
                to.out.put_slice(text);
                to.out.put_bytes(b' ', texts.text_bytes - text.len());
            }
            to.out.put_bytes(0, padded(length) - length);
        }
        PcfValue::Group(inside) => {
            head(to, pcf_type::GROUP, 16);
            to.put_length(*inside);
        }
        PcfValue::Other { kind, rest } => {
            head(to, *kind, PARAMETER_BYTES + rest.len());
            to.out.put_slice(rest);
        }
    }
}
