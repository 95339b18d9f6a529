//! What is in a message: its properties, and its data without headers, as UTF-8 where it is text.
//!
//! IBM's clients put JMS headers and properties into an MQRFH2 in front of the data; what goes to Kafka
//! is the data.

use bytes::Bytes;
use mq_wire::{FORMAT_RFH2, Rfh2, convert, unescaped};
use queue_manager::Properties;
use types::names;

/// Headers in front of each other that are taken off.
const HEADERS_MAX: usize = 8;
const FORMAT_STRING: [u8; 8] = *b"MQSTR   ";
const UTF_8: i32 = 1208;
/// MQCCSI_INHERIT: as what is in front.
const INHERIT: i32 = -2;

/// Bytes and what MQMD, or the header in front, says of them.
#[derive(Debug, Clone)]
pub(crate) struct Data {
    pub(crate) format: [u8; 8],
    pub(crate) encoding: i32,
    pub(crate) ccsid: i32,
    pub(crate) bytes: Bytes,
}

pub(crate) struct Opened {
    /// `None` when there was no header.
    pub(crate) properties: Option<Properties>,
    pub(crate) bytes: Bytes,
}

/// Takes headers off; the rest in UTF-8 if it is text whose character set is known. A header that is
/// malformed stays, as part of the data: nothing is lost.
pub(crate) fn open(data: Data) -> Opened {
    let (properties, data) = without_headers(data);
    let bytes = match data.format == FORMAT_STRING && data.ccsid != UTF_8 && !is_plain(&data) {
        true => convert(data.ccsid, UTF_8, &data.bytes).map_or(data.bytes, Bytes::from),
        false => data.bytes,
    };
    Opened {
        properties: properties.map(with_id),
        bytes,
    }
}

/// Takes headers off; what is behind them as it came.
pub(crate) fn without_headers(mut data: Data) -> (Option<Vec<(String, String)>>, Data) {
    let mut properties: Option<Vec<(String, String)>> = None;
    for _ in 0..HEADERS_MAX {
        if data.format != FORMAT_RFH2 {
            break;
        }
        let Some(header) = Rfh2::read(&data.bytes, data.encoding) else {
            break;
        };
        let found = properties.get_or_insert_with(Vec::new);
        let user = header.elements("usr");
        found.extend(user.map(|element| (element.name.to_owned(), unescaped(element.content))));
        data.format = header.format;
        data.encoding = header.encoding;
        if header.ccsid != INHERIT {
            data.ccsid = header.ccsid;
        }
        let bytes = header.bytes;
        data.bytes = data.bytes.slice(bytes..);
    }
    (properties, data)
}

/// The transaction's id has a place of its own, as in messages that never left this process.
fn with_id(mut pairs: Vec<(String, String)>) -> Properties {
    let id = pairs.iter().position(|(name, _)| name == names::HEADER_ID);
    let id = id.map(|id| Bytes::from(pairs.swap_remove(id).1));
    Properties {
        id: id.unwrap_or_default(),
        shared: pairs.into(),
        ..Properties::default()
    }
}

/// ASCII in a character set that contains it: nothing to convert.
fn is_plain(data: &Data) -> bool {
    !matches!(data.ccsid, 37 | 500) && data.bytes.is_ascii()
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use mq_wire::{Behind, UserProperties};

    use super::*;

    fn with_header(ccsid: i32, text: &[u8]) -> Data {
        let mut out = BytesMut::new();
        let behind = Behind {
            encoding: 546,
            ccsid,
            format: FORMAT_STRING,
        };
        UserProperties::new([("id", "t-1"), ("source", "a&b")]).write(behind, &mut out);
        out.extend_from_slice(text);
        Data {
            format: FORMAT_RFH2,
            encoding: UserProperties::ENCODING,
            ccsid: UserProperties::CCSID,
            bytes: out.freeze(),
        }
    }

    #[test]
    fn headers_are_taken_off_and_text_becomes_utf_8() {
        let opened = open(with_header(1208, "{\"a\":\"\u{e4}\"}".as_bytes()));
        assert_eq!(opened.bytes, "{\"a\":\"\u{e4}\"}".as_bytes());
        let properties = opened.properties.expect("a header");
        assert_eq!(properties.id, &b"t-1"[..]);
        assert_eq!(properties.get("source"), Some("a&b"));
        assert_eq!(properties.shared.len(), 1);
        let ebcdic = convert(1208, 500, b"{\"a\":1}").expect("known");
        assert_eq!(open(with_header(500, &ebcdic)).bytes, &b"{\"a\":1}"[..]);
        let latin = open(with_header(819, b"\xe4"));
        assert_eq!(latin.bytes, "\u{e4}".as_bytes());
    }

    #[test]
    fn what_is_not_understood_stays_as_it_is() {
        let mut cut = with_header(1208, b"data");
        cut.bytes.truncate(50);
        let opened = open(cut.clone());
        assert_eq!((opened.bytes, opened.properties), (cut.bytes, None));
        let unknown = Data {
            format: FORMAT_STRING,
            encoding: 546,
            ccsid: 930,
            bytes: Bytes::from_static(b"\x0e\xff"),
        };
        assert_eq!(open(unknown).bytes, &b"\x0e\xff"[..]);
    }
}
