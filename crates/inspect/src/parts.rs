//! A message as people look at it: its data apart from its properties.

use bytes::Bytes;
use mq_client::MessageDescriptor;
use mq_wire::{FORMAT_RFH2, Rfh2, unescaped};

/// A message's body without its properties, and what they are.
#[derive(Debug, PartialEq, Eq)]
pub struct Parts {
    /// Of the body.
    pub format: [u8; 8],
    /// Of the body: MQMD's or the header's.
    pub encoding: i32,
    /// Character set of the body.
    pub ccsid: i32,
    /// Folders as they are, in XML.
    pub folders: Vec<String>,
    /// Why the gateway refused it, if it did.
    pub refusal: Option<String>,
    /// The data.
    pub body: Bytes,
}

impl Parts {
    /// Without a header, or with one that is damaged, everything is body.
    pub fn of(descriptor: &MessageDescriptor, body: &Bytes) -> Self {
        let header = match descriptor.format.0 == FORMAT_RFH2 {
            true => Rfh2::read(body, descriptor.encoding),
            false => None,
        };
        let Some(header) = header else {
            return Self {
                format: descriptor.format.0,
                encoding: descriptor.encoding,
                ccsid: descriptor.ccsid,
                folders: Vec::new(),
                refusal: None,
                body: body.clone(),
            };
        };
        let refusal = header.element("usr", gateway::PROPERTY_DETAIL);
        Self {
            format: header.format,
            encoding: header.encoding,
            ccsid: header.ccsid,
            folders: header.folders().map(String::from).collect(),
            refusal: refusal.map(|detail| unescaped(detail.content)),
            body: body.slice(header.bytes..),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use mq_client::Chars;
    use mq_wire::{Behind, UserProperties};

    #[test]
    fn a_header_is_taken_off_and_a_damaged_one_is_body() {
        let mut bytes = BytesMut::new();
        let behind = Behind {
            encoding: 273,
            ccsid: 500,
            format: *b"MQSTR   ",
        };
        UserProperties::new([("id", "t-1"), ("detail", "a<b")]).write(behind, &mut bytes);
        bytes.extend_from_slice(b"{}");
        let parts = |body: &[u8]| {
            let descriptor = MessageDescriptor {
                format: Chars(FORMAT_RFH2),
                ..MessageDescriptor::initial()
            };
            Parts::of(&descriptor, &Bytes::copy_from_slice(body))
        };
        let whole = parts(&bytes);
        assert_eq!((&whole.format, &whole.body[..]), (b"MQSTR   ", &b"{}"[..]));
        assert_eq!((whole.encoding, whole.ccsid), (273, 500));
        assert_eq!(whole.refusal.as_deref(), Some("a<b"));
        assert_eq!(
            whole.folders[1],
            "<usr><id>t-1</id><detail>a&lt;b</detail></usr>"
        );
        for cut in 0..bytes.len() - 2 {
            let parts = parts(&bytes[..cut]);
            assert_eq!(parts.body.len(), cut, "cut at {cut}");
            assert_eq!(parts.refusal, None, "cut at {cut}");
        }
    }
}
