//! MQRFH2: the header in front of a body that has a message's properties.

use bytes::Bytes;
use mq_client::MessageDescriptor;

const FORMAT: &[u8; 8] = b"MQHRF2  ";
const FIXED_BYTES: usize = 36;

/// A message's body without its properties, and what they are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts {
    /// Of the body.
    pub(super) format: [u8; 8],
    pub(super) encoding: i32,
    pub(super) ccsid: i32,
    /// Folders as they are, in XML.
    pub(super) folders: Vec<String>,
    pub(super) body: Bytes,
}

impl Parts {
    /// Without a header, or with one that is damaged, everything is body.
    pub(super) fn of(descriptor: &MessageDescriptor, body: &Bytes) -> Self {
        let whole = || Self {
            format: descriptor.format.0,
            encoding: descriptor.encoding,
            ccsid: descriptor.ccsid,
            folders: Vec::new(),
            body: body.clone(),
        };
        if descriptor.format.0 != *FORMAT {
            return whole();
        }
        header(body, descriptor.encoding & 0xf == 1).unwrap_or_else(whole)
    }

    /// The value of an element of the folders, if it is there: `<name>value</name>`.
    pub(super) fn property(&self, name: &str) -> Option<&str> {
        let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
        self.folders.iter().find_map(|folder| {
            let (_, rest) = folder.split_once(&begin)?;
            Some(rest.split_once(&end)?.0)
        })
    }
}

fn header(bytes: &Bytes, big: bool) -> Option<Parts> {
    let number = |at: usize| -> Option<i32> {
        let four: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(match big {
            true => i32::from_be_bytes(four),
            false => i32::from_le_bytes(four),
        })
    };
    if bytes.get(..4)? != b"RFH " || number(4)? != 2 {
        return None;
    }
    let length = usize::try_from(number(8)?).ok()?;
    if length < FIXED_BYTES || length > bytes.len() {
        return None;
    }
    let mut folders = Vec::new();
    let mut at = FIXED_BYTES;
    while at < length {
        let folder = usize::try_from(number(at)?).ok()?;
        let end = at.checked_add(4)?.checked_add(folder)?;
        if end > length {
            return None;
        }
        let text = String::from_utf8_lossy(bytes.get(at + 4..end)?);
        folders.push(text.trim_end().to_owned());
        at = end;
    }
    Some(Parts {
        encoding: number(12)?,
        ccsid: number(16)?,
        format: bytes.get(20..28)?.try_into().ok()?,
        folders,
        body: bytes.slice(length..),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mq_client::Chars;

    fn message(body: &[u8]) -> Parts {
        let descriptor = MessageDescriptor {
            format: Chars(*FORMAT),
            ..MessageDescriptor::initial()
        };
        Parts::of(&descriptor, &Bytes::copy_from_slice(body))
    }

    #[test]
    fn a_header_is_taken_off_and_a_damaged_one_is_body() {
        let folder = b"<usr><id>t-1</id></usr> ";
        let mut bytes = b"RFH ".to_vec();
        for number in [2, 36 + 4 + 24, 546, 1208] {
            bytes.extend(i32::to_le_bytes(number));
        }
        bytes.extend(b"MQSTR   ");
        for number in [0, 1208, 24] {
            bytes.extend(i32::to_le_bytes(number));
        }
        bytes.extend(folder);
        bytes.extend(b"{}");
        let parts = message(&bytes);
        assert_eq!((&parts.format, &parts.body[..]), (b"MQSTR   ", &b"{}"[..]));
        assert_eq!(parts.property("id"), Some("t-1"));
        assert_eq!(parts.property("rule"), None);
        for cut in 0..bytes.len() - 2 {
            let parts = message(&bytes[..cut]);
            assert_eq!(parts.body.len(), cut, "cut at {cut}");
        }
        for at in 0..64 {
            let mut damaged = bytes.clone();
            damaged[at] = 0xff;
            message(&damaged);
        }
    }
}
