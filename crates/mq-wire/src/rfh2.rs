//! MQRFH2: the header in front of a message's data that carries its properties (IBM MQ documentation,
//! "MQRFH2 - Rules and formatting header 2"; JMS properties are its folders `<mcd>`, `<jms>`, `<usr>`).
//!
//! Invariants: nothing is copied before it is asked for; a header whose lengths do not fit is none, so that
//! nobody takes it off; at most [`FOLDERS_MAX`] folders are looked at.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};

/// Bytes in front of the folders.
pub const RFH2_FIXED_BYTES: usize = 36;
/// Folders that are looked at.
pub const FOLDERS_MAX: usize = 32;
/// MQMD.Format of a message that begins with this header.
pub const FORMAT_RFH2: [u8; 8] = *b"MQHRF2  ";

/// MQRFH_VERSION_2.
const VERSION: i32 = 2;
const LITTLE_ENDIAN: i32 = 546;
const UTF_8: i32 = 1208;

/// A header that was found in front of the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rfh2<'b> {
    /// Of the numbers in what follows.
    pub encoding: i32,
    /// Character set of what follows; -2 (inherit) and 0 are for the reader to replace.
    pub ccsid: i32,
    /// What follows.
    pub format: [u8; 8],
    /// Bytes of the header; the data is behind them.
    pub bytes: usize,
    folders: Vec<&'b [u8]>,
}

impl<'b> Rfh2<'b> {
    /// Reads a header in front of `body`, whose numbers are in `encoding` (MQMD.Encoding); `None` when
    /// there is none or a length in it is wrong.
    pub fn read(body: &'b [u8], encoding: i32) -> Option<Self> {
        // The lowest digit is that of integers: 1 big, 2 little.
        let little = encoding & 0xf == 2;
        let number = |at: usize| -> Option<i32> {
            let bytes: [u8; 4] = body.get(at..at.checked_add(4)?)?.try_into().ok()?;
            Some(match little {
                true => i32::from_le_bytes(bytes),
                false => i32::from_be_bytes(bytes),
            })
        };
        if body.get(..4) != Some(b"RFH ") || number(4) != Some(VERSION) {
            return None;
        }
        let bytes = usize::try_from(number(8)?).ok()?;
        if bytes < RFH2_FIXED_BYTES || bytes > body.len() {
            return None;
        }
        let mut folders = Vec::new();
        let mut at = RFH2_FIXED_BYTES;
        while at < bytes {
            let length = usize::try_from(number(at)?).ok()?;
            let next = (at + 4).checked_add(length)?;
            // The last one ends where the header does.
            let folder = body.get(at + 4..next).filter(|_| next <= bytes)?;
            if folders.len() < FOLDERS_MAX {
                folders.push(folder);
            }
            at = next;
        }
        Some(Self {
            encoding: number(12)?,
            ccsid: number(16)?,
            format: body.get(20..28)?.try_into().ok()?,
            bytes,
            folders,
        })
    }

    /// The folders as they are, without the blanks behind them.
    pub fn folders(&self) -> impl Iterator<Item = Cow<'b, str>> {
        let folders = self.folders.iter();
        folders.map(|folder| String::from_utf8_lossy(folder.trim_ascii_end()))
    }

    /// An element directly in a folder, for instance `usr` and a property's name.
    pub fn element(&self, folder: &str, name: &str) -> Option<Element<'b>> {
        self.elements(folder).find(|element| element.name == name)
    }

    /// All elements directly in the folders of this name.
    pub fn elements<'f>(&'f self, folder: &'f str) -> impl Iterator<Item = Element<'b>> + 'f {
        let contents = self.folders.iter().filter_map(move |text| {
            let text = std::str::from_utf8(text).ok()?;
            let (element, _) = Element::first(text)?;
            (element.name == folder).then_some(element.content)
        });
        contents.flat_map(|content| {
            let mut rest = content;
            std::iter::from_fn(move || {
                let (element, behind) = Element::first(rest)?;
                rest = behind;
                Some(element)
            })
        })
    }
}

/// One element of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'b> {
    /// Its name.
    pub name: &'b str,
    /// As written, for instance `dt='i4'`.
    pub attributes: &'b str,
    /// As written: see [`unescaped`].
    pub content: &'b str,
}

impl<'b> Element<'b> {
    /// The first element of a text, and what is behind it.
    fn first(text: &'b str) -> Option<(Self, &'b str)> {
        let inside = text.trim_start().strip_prefix('<')?;
        let (tag, rest) = inside.split_once('>')?;
        let named = |tag: &'b str| tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
        if let Some(tag) = tag.strip_suffix('/') {
            let (name, attributes) = named(tag);
            let element = Self {
                name,
                attributes,
                content: "",
            };
            return Some((element, rest));
        }
        let (name, attributes) = named(tag);
        // Properties do not contain themselves, so the first closing tag is ours.
        let closing = format!("</{name}>");
        let end = rest.find(&closing)?;
        let behind = rest.get(end + closing.len()..)?;
        let element = Self {
            name,
            attributes,
            content: rest.get(..end)?,
        };
        Some((element, behind))
    }

    /// The value of an attribute, for instance of `dt`.
    pub fn attribute(&self, name: &str) -> Option<&'b str> {
        let after = self.attributes.split_once(name)?.1.trim_start();
        let value = after.strip_prefix('=')?.trim_start();
        let quote = value.chars().next().filter(|char| "'\"".contains(*char))?;
        value.get(1..)?.split(quote).next()
    }
}

/// Text of an element with its entities replaced.
pub fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let Some((entity, behind)) = after.split_once(';') else {
            out.push('&');
            rest = after;
            continue;
        };
        let number = entity.strip_prefix('#').and_then(|number| {
            let code = match number.strip_prefix('x') {
                Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)
        });
        match entity {
            "amp" => out.push('&'),
            "lt" => out.push('<'),
            "gt" => out.push('>'),
            "quot" => out.push('"'),
            "apos" => out.push('\''),
            _ => match number {
                Some(char) => out.push(char),
                None => {
                    out.push('&');
                    rest = after;
                    continue;
                }
            },
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// What is behind a header, as its own fields say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind {
    /// Of the numbers in the data.
    pub encoding: i32,
    /// Character set of the data.
    pub ccsid: i32,
    /// What the data is.
    pub format: [u8; 8],
}

/// A text message's properties as the folders that JMS reads, `<mcd>` and `<usr>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserProperties([String; 2]);

impl UserProperties {
    /// Encoding of the numbers in the header that [`UserProperties::write`] writes.
    pub const ENCODING: i32 = LITTLE_ENDIAN;
    /// Character set that goes with it in MQMD.
    pub const CCSID: i32 = UTF_8;

    /// Names must be valid as names of elements; values are escaped.
    pub fn new<'p>(properties: impl IntoIterator<Item = (&'p str, &'p str)>) -> Self {
        let mut user = String::from("<usr>");
        for (name, value) in properties {
            write_element(&mut user, name, value);
        }
        user.push_str("</usr>");
        let mut folders = [String::from("<mcd><Msd>jms_text</Msd></mcd>"), user];
        for folder in &mut folders {
            // To a multiple of four.
            while folder.len() % 4 != 0 {
                folder.push(' ');
            }
        }
        Self(folders)
    }

    /// Bytes of the header.
    pub fn bytes(&self) -> usize {
        let folders: usize = self.0.iter().map(|folder| 4 + folder.len()).sum();
        RFH2_FIXED_BYTES + folders
    }

    /// Writes the header; the data comes behind it.
    pub fn write(&self, behind: Behind, out: &mut BytesMut) {
        out.reserve(self.bytes());
        out.put_slice(b"RFH ");
        out.put_i32_le(VERSION);
        out.put_i32_le(i32::try_from(self.bytes()).unwrap_or(i32::MAX));
        out.put_i32_le(behind.encoding);
        out.put_i32_le(behind.ccsid);
        out.put_slice(&behind.format);
        out.put_i32_le(0);
        out.put_i32_le(UTF_8);
        for folder in &self.0 {
            out.put_i32_le(i32::try_from(folder.len()).unwrap_or(i32::MAX));
            out.put_slice(folder.as_bytes());
        }
    }
}

fn write_element(out: &mut String, name: &str, value: &str) {
    out.push('<');
    out.push_str(name);
    out.push('>');
    for char in value.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            char => out.push(char),
        }
    }
    out.push_str("</");
    out.push_str(name);
    out.push('>');
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: Behind = Behind {
        encoding: 273,
        ccsid: 819,
        format: *b"MQSTR   ",
    };

    fn written() -> BytesMut {
        let pairs = [("id", "t-1"), ("odd", "a<b>&c")];
        let mut out = BytesMut::new();
        UserProperties::new(pairs).write(DATA, &mut out);
        out.put_slice(b"data");
        out
    }

    #[test]
    fn what_is_written_is_read() {
        let body = written();
        let header = Rfh2::read(&body, UserProperties::ENCODING).expect("a header");
        assert_eq!(&body[header.bytes..], b"data");
        assert_eq!((header.encoding, header.ccsid), (273, 819));
        assert_eq!(&header.format, b"MQSTR   ");
        let folders: Vec<_> = header.folders().collect();
        assert_eq!(folders[0], "<mcd><Msd>jms_text</Msd></mcd>");
        assert_eq!(folders.len(), 2);
        let found: Vec<(&str, String)> = header
            .elements("usr")
            .map(|element| (element.name, unescaped(element.content)))
            .collect();
        assert_eq!(
            found,
            [("id", "t-1".to_owned()), ("odd", "a<b>&c".to_owned())]
        );
        assert_eq!(Rfh2::read(b"data", 546), None);
    }

    #[test]
    fn a_cut_or_damaged_header_never_panics() {
        let body = written();
        for cut in 0..body.len() {
            // What is behind the header may be missing.
            let read = Rfh2::read(&body[..cut], 546);
            assert_eq!(read.is_some(), cut >= body.len() - 4, "cut at {cut}");
            // Neither is one whose last folder does not end with the header.
            let mut shorter = body.to_vec();
            let length = i32::try_from(cut).expect("short").to_le_bytes();
            shorter[8..12].copy_from_slice(&length);
            let read = Rfh2::read(&shorter, 546);
            let ends = [RFH2_FIXED_BYTES, RFH2_FIXED_BYTES + 36, body.len() - 4];
            assert_eq!(read.is_some(), ends.contains(&cut), "length {cut}");
            let mut damaged = body.to_vec();
            damaged[cut] ^= 0x55;
            for encoding in [546, 273] {
                if let Some(header) = Rfh2::read(&damaged, encoding) {
                    let _ = header.elements("usr").count();
                }
            }
        }
    }
}
