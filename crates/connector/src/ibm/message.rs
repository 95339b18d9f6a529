//! A message as JMS sees it: what IBM's connector builds records from.
//!
//! Invariants: what a damaged header says is not believed, and its bytes stay part of the body; text
//! whose character set is not known is an error, never a guess.

use bytes::Bytes;
use mq_wire::{FORMAT_RFH2, MessageDescriptor, Rfh2, convert, micros_of, unescaped};

use super::convert::Datum;

/// Headers in front of each other that are taken off.
const HEADERS_MAX: usize = 8;
const FORMAT_STRING: [u8; 8] = *b"MQSTR   ";
/// MQCCSI_INHERIT: as what is in front.
const INHERIT: i32 = -2;
/// MQMF_MSG_IN_GROUP and MQMF_LAST_MSG_IN_GROUP.
const IN_GROUP: i32 = 0x18;

/// A message from the queue.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// Where it was.
    pub queue: &'a str,
    /// MQMD.
    pub descriptor: &'a MessageDescriptor,
    /// All bytes behind MQMD.
    pub body: &'a Bytes,
    /// Properties that lie beside the body, as Daybook's own queue manager has them in this process;
    /// empty for what came through a socket.
    pub beside: &'a [(String, String)],
}

/// The kinds of JMS messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JmsKind {
    /// `TextMessage`.
    Text,
    /// `BytesMessage`.
    Bytes,
    /// `MapMessage`.
    Map,
    /// `StreamMessage`.
    Stream,
    /// `ObjectMessage`.
    Object,
    /// A message without a body.
    None,
}

/// A message as JMS sees it.
#[derive(Debug, Clone)]
pub struct JmsMessage<'a> {
    /// What it is.
    pub kind: JmsKind,
    /// The body without headers, or with them where the body is not taken for JMS.
    pub body: Bytes,
    message: Received<'a>,
    headers: Vec<Rfh2<'a>>,
    encoding: i32,
    ccsid: i32,
    format: [u8; 8],
}

impl<'a> JmsMessage<'a> {
    /// Looks at a message. With `body_jms` the headers are taken off and the kind is what the first of
    /// them or MQMD says; without, all of it is bytes.
    pub fn of(message: Received<'a>, body_jms: bool) -> Self {
        let md = message.descriptor;
        let (mut encoding, mut ccsid, mut format) = (md.encoding, md.ccsid, md.format.0);
        let mut headers = Vec::new();
        let mut at = 0;
        while headers.len() < HEADERS_MAX && format == FORMAT_RFH2 {
            let rest = message.body.get(at..).unwrap_or_default();
            let Some(header) = Rfh2::read(rest, encoding) else {
                break;
            };
            at += header.bytes;
            (encoding, format) = (header.encoding, header.format);
            if header.ccsid != INHERIT {
                ccsid = header.ccsid;
            }
            headers.push(header);
        }
        if !body_jms {
            return Self {
                kind: JmsKind::Bytes,
                body: message.body.clone(),
                message,
                headers,
                encoding: md.encoding,
                ccsid: md.ccsid,
                format: md.format.0,
            };
        }
        let said = headers
            .iter()
            .find_map(|header| header.element("mcd", "Msd"));
        let kind = match said.map(|element| element.content) {
            Some("jms_text") => JmsKind::Text,
            Some("jms_bytes") => JmsKind::Bytes,
            Some("jms_map") => JmsKind::Map,
            Some("jms_stream") => JmsKind::Stream,
            Some("jms_object") => JmsKind::Object,
            Some("jms_none") => JmsKind::None,
            _ if format == FORMAT_STRING => JmsKind::Text,
            _ => JmsKind::Bytes,
        };
        Self {
            kind,
            body: message.body.slice(at..),
            message,
            headers,
            encoding,
            ccsid,
            format,
        }
    }

    /// The body as text.
    ///
    /// # Errors
    ///
    /// Why it is none: its character set is not known, or the bytes are not of it.
    pub fn text(&self) -> Result<String, String> {
        let body = &self.body;
        let no_text = || {
            format!(
                "the body is no text of character set {} (MQMD.CodedCharSetId)",
                self.ccsid
            )
        };
        match self.ccsid {
            37 | 500 | 819 | 1208 => {
                let text = convert(self.ccsid, 1208, body).ok_or_else(no_text)?;
                String::from_utf8(text).map_err(|_| no_text())
            }
            // UTF-16.
            1200 | 1202 | 13488 | 17584 => {
                // A mark in front says the order, else MQMD does.
                let (body, little) = match body.as_ref() {
                    [0xff, 0xfe, rest @ ..] => (rest, true),
                    [0xfe, 0xff, rest @ ..] => (rest, false),
                    all => (all, self.encoding & 0xf == 2 || self.ccsid == 1202),
                };
                let (pairs, rest) = body.as_chunks::<2>();
                let unit = |pair: &[u8; 2]| match little {
                    true => u16::from_le_bytes(*pair),
                    false => u16::from_be_bytes(*pair),
                };
                let units: Vec<u16> = pairs.iter().map(unit).collect();
                match (String::from_utf16(&units), rest.is_empty()) {
                    (Ok(text), true) => Ok(text),
                    _ => Err(no_text()),
                }
            }
            // Not said: what every client writes today.
            0 => std::str::from_utf8(body)
                .map(str::to_owned)
                .map_err(|_| no_text()),
            // ASCII is the same in all of these.
            367 | 437 | 813 | 850 | 858 | 912 | 915 | 923 | 1250..=1258 | 5348
                if body.is_ascii() =>
            {
                Ok(String::from_utf8_lossy(body).into_owned())
            }
            ccsid => Err(format!(
                "text of character set {ccsid} is not converted; known are 37, 500, 819, 1208 and UTF-16, and ASCII in 367, \
                 437, 813, 850, 858, 912, 915, 923, 1250 to 1258 and 5348: have the queue manager or the sender convert it"
            )),
        }
    }

    /// `JMSMessageID`: `ID:` and 48 hexadecimal digits.
    pub fn message_id(&self) -> String {
        identifier(&self.message.descriptor.msg_id)
    }

    /// `JMSCorrelationID`: the text that a JMS application set, else `ID:` and hexadecimal digits;
    /// `None` when there is none.
    pub fn correlation_id(&self) -> Option<String> {
        let correl_id = &self.message.descriptor.correl_id;
        match self.jms("Cid") {
            Some(text) => Some(text),
            None if correl_id.iter().all(|byte| *byte == 0) => None,
            None => Some(identifier(correl_id)),
        }
    }

    /// `JMSCorrelationIDAsBytes`: of text its UTF-8, of `ID:` and digits what they say, else MQMD's 24.
    pub fn correlation_id_bytes(&self) -> Bytes {
        let Some(text) = self.jms("Cid") else {
            return Bytes::copy_from_slice(&self.message.descriptor.correl_id);
        };
        let digits = text.strip_prefix("ID:").and_then(unhex);
        Bytes::from(digits.unwrap_or_else(|| text.into_bytes()))
    }

    /// `JMSDestination`. A message that no JMS application put has none; then the queue it was on.
    pub fn destination(&self) -> String {
        self.jms("Dst")
            .unwrap_or_else(|| format!("queue:///{}", self.message.queue))
    }

    /// `JMSTimestamp`, milliseconds since 1970: the sender's, else MQMD's put time; `None` where it is
    /// blank.
    pub fn timestamp(&self) -> Option<i64> {
        let sent = self.jms("Tms").and_then(|text| text.trim().parse().ok());
        let md = self.message.descriptor;
        sent.or_else(|| Some(micros_of(&md.put_date.0, &md.put_time.0)?.div_euclid(1_000)))
    }

    /// `JMSXGroupID`: the sender's text, else MQMD's for a message of a group.
    pub fn group_id(&self) -> Option<String> {
        let md = self.message.descriptor;
        let physical = || (md.msg_flags & IN_GROUP != 0).then(|| identifier(&md.group_id));
        self.jms("Gid").or_else(physical)
    }

    /// All properties: the sender's first, then JMS's own, then MQMD's where they are wanted. Their
    /// values are those of IBM's client, blanks at the end included.
    pub fn properties(&self, mqmd: bool) -> Vec<(String, Datum)> {
        let md = self.message.descriptor;
        let mut found: Vec<(String, Datum)> = Vec::new();
        for header in &self.headers {
            let user = header.elements("usr");
            found.extend(user.map(|element| (element.name.to_owned(), typed(element))));
        }
        let beside = self.message.beside.iter();
        found.extend(beside.map(|(name, value)| (name.clone(), Datum::Text(value.clone()))));
        let mut put = |name: &str, value: Datum| found.push((name.to_owned(), value));
        let text = |chars: &[u8]| Datum::Text(chars.iter().copied().map(char::from).collect());
        if let Some(group) = self.group_id() {
            put("JMSXGroupID", Datum::Text(group));
            let sequence = self.jms("Seq").and_then(|text| text.parse().ok());
            put(
                "JMSXGroupSeq",
                Datum::Int(sequence.unwrap_or(md.msg_seq_number)),
            );
        }
        put("JMSXUserID", text(&md.user_identifier.0));
        put("JMSXAppID", text(&md.put_appl_name.0));
        put(
            "JMSXDeliveryCount",
            Datum::Int(md.backout_count.saturating_add(1)),
        );
        put("JMS_IBM_PutApplType", Datum::Int(md.put_appl_type));
        put("JMS_IBM_Format", text(&self.format));
        put("JMS_IBM_Encoding", Datum::Int(self.encoding));
        put("JMS_IBM_Character_Set", Datum::Text(charset(self.ccsid)));
        put("JMS_IBM_MsgType", Datum::Int(md.msg_type));
        put("JMS_IBM_PutDate", text(&md.put_date.0));
        put("JMS_IBM_PutTime", text(&md.put_time.0));
        if !mqmd {
            return found;
        }
        let bytes = |bytes: &[u8]| Datum::Bytes(Bytes::copy_from_slice(bytes));
        let correlation = self.correlation_id().map_or(Datum::Null, Datum::Text);
        for (name, value) in [
            ("Report", Datum::Int(md.report)),
            ("MsgType", Datum::Int(md.msg_type)),
            ("Expiry", Datum::Int(md.expiry)),
            ("Feedback", Datum::Int(md.feedback)),
            ("Encoding", Datum::Int(md.encoding)),
            ("CodedCharSetId", Datum::Int(md.ccsid)),
            ("Format", text(&md.format.0)),
            ("Priority", Datum::Int(md.priority)),
            ("Persistence", Datum::Int(md.persistence)),
            // As IBM's connector has these two, not as its client does.
            ("MsgId", Datum::Text(self.message_id())),
            ("CorrelId", correlation),
            ("BackoutCount", Datum::Int(md.backout_count)),
            ("ReplyToQ", text(&md.reply_to_q.0)),
            ("ReplyToQMgr", text(&md.reply_to_q_mgr.0)),
            ("UserIdentifier", text(&md.user_identifier.0)),
            ("AccountingToken", bytes(&md.accounting_token)),
            ("ApplIdentityData", text(&md.appl_identity_data.0)),
            ("PutApplType", Datum::Int(md.put_appl_type)),
            ("PutApplName", text(&md.put_appl_name.0)),
            ("PutDate", text(&md.put_date.0)),
            ("PutTime", text(&md.put_time.0)),
            ("ApplOriginData", text(&md.appl_origin_data.0)),
            ("GroupId", bytes(&md.group_id)),
            ("MsgSeqNumber", Datum::Int(md.msg_seq_number)),
            ("Offset", Datum::Int(md.offset)),
            ("MsgFlags", Datum::Int(md.msg_flags)),
            ("OriginalLength", Datum::Int(md.original_length)),
        ] {
            put(&format!("JMS_IBM_MQMD_{name}"), value);
        }
        found
    }

    /// An element of the folder `jms`.
    fn jms(&self, name: &str) -> Option<String> {
        let element = self
            .headers
            .iter()
            .find_map(|header| header.element("jms", name));
        element.map(|element| unescaped(element.content))
    }
}

/// A property by the type that stands beside it (`dt`); text where the value is not of that type.
fn typed(element: mq_wire::Element<'_>) -> Datum {
    if element.attribute("xsi:nil") == Some("true") {
        return Datum::Null;
    }
    let text = unescaped(element.content);
    let value = text.trim();
    let found = match element.attribute("dt") {
        Some("boolean") => match value {
            "1" | "true" => Some(Datum::Boolean(true)),
            "0" | "false" => Some(Datum::Boolean(false)),
            _ => None,
        },
        Some("i1") => value.parse().ok().map(Datum::Byte),
        Some("i2") => value.parse().ok().map(Datum::Short),
        Some("i4" | "int") => value.parse().ok().map(Datum::Int),
        Some("i8") => value.parse().ok().map(Datum::Long),
        Some("r4") => value.parse().ok().map(Datum::Float),
        Some("r8") => value.parse().ok().map(Datum::Double),
        Some("bin.hex") => unhex(value).map(|bytes| Datum::Bytes(Bytes::from(bytes))),
        _ => None,
    };
    found.unwrap_or(Datum::Text(text))
}

/// Java's name of a character set; its number where IBM's client has no other name.
fn charset(ccsid: i32) -> String {
    match ccsid {
        1208 => "UTF-8".to_owned(),
        819 => "ISO-8859-1".to_owned(),
        37 => "IBM037".to_owned(),
        500 => "IBM500".to_owned(),
        1200 => "UTF-16".to_owned(),
        ccsid => ccsid.to_string(),
    }
}

fn identifier(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(3 + bytes.len() * 2);
    text.push_str("ID:");
    for byte in bytes {
        // A String takes everything.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// `None` for what is no pairs of hexadecimal digits.
fn unhex(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let pairs = pairs.iter().map(|pair| {
        let digit = |at: usize| char::from(*pair.get(at)?).to_digit(16);
        u8::try_from(digit(0)? * 16 + digit(1)?).ok()
    });
    pairs.collect::<Option<_>>().filter(|_| rest.is_empty())
}
