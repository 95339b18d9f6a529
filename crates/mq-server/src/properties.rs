//! Message properties as clients see them: an MQRFH2 header in front of the body.
//!
//! What a client puts keeps its own header, which is part of the body here. Messages that Daybook's
//! gateway put have their properties beside the body; for clients they become the folders that JMS
//! reads.

use bytes::{BufMut, Bytes, BytesMut};
use mq_wire::{Chars, MessageDescriptor};
use queue_manager::Message;

const FIXED_BYTES: usize = 36;
const LITTLE_ENDIAN: i32 = 546;
const UTF_8: i32 = 1208;

/// The body for a client, with properties in front if there are any and it wants them; the
/// descriptor then says so.
pub(crate) fn body(message: &Message, md: &mut MessageDescriptor, with: bool) -> Bytes {
    let Some(folders) = folders(message, with) else {
        return message.body.clone();
    };
    let mut out = BytesMut::with_capacity(bytes(message, with));
    out.put_slice(b"RFH ");
    out.put_i32_le(2);
    let length: usize = folders.iter().map(|folder| 4 + folder.len()).sum();
    out.put_i32_le(i32::try_from(FIXED_BYTES + length).unwrap_or(i32::MAX));
    out.put_i32_le(md.encoding);
    out.put_i32_le(md.ccsid);
    out.put_slice(&md.format.0);
    out.put_i32_le(0);
    out.put_i32_le(UTF_8);
    for folder in &folders {
        out.put_i32_le(i32::try_from(folder.len()).unwrap_or(i32::MAX));
        out.put_slice(folder.as_bytes());
    }
    out.put_slice(&message.body);
    md.format = Chars(*b"MQHRF2  ");
    md.encoding = LITTLE_ENDIAN;
    md.ccsid = UTF_8;
    out.freeze()
}

/// Bytes of [`body`].
pub(crate) fn bytes(message: &Message, with: bool) -> usize {
    let header = folders(message, with).map_or(0, |folders| {
        let folders: usize = folders.iter().map(|folder| 4 + folder.len()).sum();
        FIXED_BYTES + folders
    });
    header + message.body.len()
}

fn folders(message: &Message, with: bool) -> Option<[String; 2]> {
    let properties = &message.properties;
    if !with || properties.shared.is_empty() && properties.id.is_empty() {
        return None;
    }
    let mut user = String::from("<usr>");
    if let Ok(id) = std::str::from_utf8(&properties.id)
        && !id.is_empty()
    {
        element(&mut user, "id", id);
    }
    for (name, value) in properties.shared.iter() {
        element(&mut user, name, value);
    }
    user.push_str("</usr>");
    let mut folders = [String::from("<mcd><Msd>jms_text</Msd></mcd>"), user];
    for folder in &mut folders {
        // To a multiple of four.
        while folder.len() % 4 != 0 {
            folder.push(' ');
        }
    }
    Some(folders)
}

fn element(out: &mut String, name: &str, value: &str) {
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
