//! What a document says of itself: what it is, its id, its time, its sums. A bounded look at its beginning, and one at the records that
//! were refused.
//!
//! It is no check: the mapping has checked, or refused. What cannot be read is left out.

use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::{NsReader, Reader};

/// Deepest element that is looked at.
const DEPTH_MAX: usize = 64;
/// Longest text that is taken, in bytes: all of these have at most 35 characters.
const TEXT_BYTES_MAX: usize = 256;
/// Business messages that a status report answers.
const REPORTED: [&str; 5] = ["pain.001", "pain.008", "pacs.003", "pacs.008", "pacs.009"];

/// A version of SOAP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Soap {
    /// SOAP 1.1, W3C Note 2000.
    V11,
    /// SOAP 1.2, W3C Recommendation.
    V12,
}

impl Soap {
    const ALL: [Self; 2] = [Self::V11, Self::V12];

    pub(crate) fn namespace(self) -> &'static str {
        match self {
            Self::V11 => "http://schemas.xmlsoap.org/soap/envelope/",
            Self::V12 => "http://www.w3.org/2003/05/soap-envelope",
        }
    }
}

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Look {
    pub(crate) soap: Option<Soap>,
    pub(crate) document: Option<Document>,
    /// Business messages in the body.
    pub(crate) documents: usize,
}

/// A business message of ISO 20022.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Document {
    /// `pain.001.001.09`.
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) created: String,
    pub(crate) count: String,
    pub(crate) sum: String,
}

impl Document {
    /// Between banks: answered by pacs.002.
    pub(crate) fn is_pacs(&self) -> bool {
        self.name.starts_with("pacs.")
    }

    /// `9` of `pain.001.001.09`.
    pub(crate) fn version(&self) -> u32 {
        let version = self.name.rsplit('.').next().unwrap_or_default();
        version.parse().unwrap_or(0)
    }

    fn field(&mut self, name: &str) -> Option<&mut String> {
        match name {
            "MsgId" => Some(&mut self.id),
            "CreDtTm" => Some(&mut self.created),
            "NbOfTxs" => Some(&mut self.count),
            "CtrlSum" => Some(&mut self.sum),
            _ => None,
        }
    }
}

/// The UTF-8 at the beginning.
fn text_of(body: &[u8], bytes_max: usize) -> &str {
    let body = body.get(..bytes_max).unwrap_or(body);
    match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(error) => {
            let valid = body.get(..error.valid_up_to()).unwrap_or_default();
            std::str::from_utf8(valid).unwrap_or_default()
        }
    }
}

/// `pain.001.001.09` in a namespace.
fn message_name(namespace: &str) -> Option<&str> {
    let found = REPORTED.iter().find_map(|name| namespace.find(name));
    let name = namespace.get(found?..)?.get(..15)?;
    let mut parts = name.split('.').skip(1);
    let digits = |part: Option<&str>, length| {
        part.is_some_and(|part| {
            part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    let is_name = digits(parts.next(), 3) && digits(parts.next(), 3) && digits(parts.next(), 2);
    is_name.then_some(name)
}

/// Where the look is, by the depth of the elements around it.
#[derive(Default)]
struct Place {
    depth: usize,
    /// Depth inside of the business message.
    document: Option<usize>,
    /// Depth inside of its head.
    head: Option<usize>,
}

impl Look {
    /// Looks at so many bytes of a body, to the end of the message's head.
    pub(crate) fn at(body: &[u8], bytes_max: usize) -> Self {
        let text = text_of(body, bytes_max);
        let mut look = Self::default();
        let mut reader = NsReader::from_str(text);
        let mut place = Place::default();
        let mut texts = Texts::default();
        while let Ok((resolved, event)) = reader.read_resolved_event() {
            match event {
                Event::Start(element) => {
                    if place.depth >= DEPTH_MAX {
                        break;
                    }
                    place.depth += 1;
                    look.begin(&mut place, &resolved, &element);
                    texts.begin();
                }
                Event::End(element) => {
                    let name = element.local_name();
                    if place.head.is_some_and(|head| place.depth == head + 1)
                        && let Some(document) = &mut look.document
                        && let Some(field) = document.field(name.as_ref())
                    {
                        *field = texts.take();
                    }
                    if place.head == Some(place.depth) {
                        break;
                    }
                    place.depth = place.depth.saturating_sub(1);
                    texts.begin();
                }
                Event::DocType(_) | Event::Eof => break,
                other => texts.add(&other),
            }
        }
        look.documents = look.count(body, &place);
        look
    }

    fn begin(&mut self, place: &mut Place, resolved: &ResolveResult<'_>, element: &BytesStart<'_>) {
        let namespace = match resolved {
            ResolveResult::Bound(namespace) => namespace.as_ref(),
            _ => "",
        };
        let local = element.local_name();
        let local = local.as_ref();
        if place.depth == 1 && local == "Envelope" {
            let mut known = Soap::ALL.into_iter();
            self.soap = known.find(|soap| soap.namespace() == namespace);
        }
        match (place.document, place.head) {
            (None, _) if local == "Document" => {
                if let Some(name) = message_name(namespace) {
                    place.document = Some(place.depth);
                    self.document = Some(Document {
                        name: name.to_owned(),
                        ..Document::default()
                    });
                }
            }
            (Some(document), None) if local == "GrpHdr" && place.depth == document + 2 => {
                place.head = Some(place.depth);
            }
            _ => {}
        }
    }

    /// How many messages there are. Beyond the first one only an envelope can have some; it is enough to know that there are.
    fn count(&self, body: &[u8], place: &Place) -> usize {
        match place.document {
            None => 0,
            Some(1) => 1,
            // The beginning and the end of each head.
            Some(_) => text_of(body, body.len())
                .matches("GrpHdr>")
                .count()
                .div_ceil(2),
        }
    }
}

/// The text of the innermost element.
#[derive(Default)]
struct Texts {
    text: String,
}

impl Texts {
    fn begin(&mut self) {
        self.text.clear();
    }

    fn add(&mut self, event: &Event<'_>) {
        if self.text.len() > TEXT_BYTES_MAX {
            return;
        }
        match event {
            Event::Text(text) => self.text.push_str(&text.xml10_content()),
            Event::CData(text) => self.text.push_str(&text.xml10_content()),
            Event::GeneralRef(reference) => self.text.extend(character(reference)),
            _ => {}
        }
    }

    fn take(&mut self) -> String {
        self.text.trim().to_owned()
    }
}

/// What one of the five entities that XML has, or a character's number, stands for.
fn character(reference: &BytesRef<'_>) -> Option<char> {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return Some(character);
    }
    match reference.as_ref() {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "apos" => Some('\''),
        "quot" => Some('"'),
        _ => None,
    }
}

/// What a transaction is called in its message.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    /// `PmtInfId` of the batch that it is in.
    pub(crate) batch: String,
    pub(crate) instruction: String,
    pub(crate) end_to_end: String,
    pub(crate) transaction: String,
}

/// What the records that begin at these bytes, in order, are called: one pass up to the last one's end.
pub(crate) fn names(body: &[u8], records: &[std::ops::Range<u32>]) -> Vec<Names> {
    let mut found = vec![Names::default(); records.len()];
    let end = records.last().map_or(0, |range| range.end as usize);
    let mut reader = Reader::from_str(text_of(body, end));
    let mut batch = String::new();
    let mut texts = Texts::default();
    let mut next = 0;
    while let Ok(event) = reader.read_event() {
        let at = reader.buffer_position();
        match event {
            Event::Start(_) => {
                // Of the record that this begins: all before it have ended.
                while let Some(record) = records.get(next)
                    && u64::from(record.end) < at
                {
                    next += 1;
                }
                if let (Some(record), Some(names)) = (records.get(next), found.get_mut(next))
                    && u64::from(record.start) < at
                    && names.batch.is_empty()
                {
                    names.batch.clone_from(&batch);
                }
                texts.begin();
            }
            Event::End(element) => {
                let name = element.local_name();
                if name.as_ref() == "PmtInfId" {
                    batch = texts.take();
                }
                let within = records.get(next);
                let within = within
                    .is_some_and(|record| u64::from(record.start) < at && at <= record.end.into());
                if let Some(names) = found.get_mut(next)
                    && within
                {
                    names.set(name.as_ref(), &mut texts);
                }
                texts.begin();
            }
            Event::Eof => break,
            other => texts.add(&other),
        }
    }
    found
}

impl Names {
    fn set(&mut self, element: &str, texts: &mut Texts) {
        let field = match element {
            "InstrId" => &mut self.instruction,
            "EndToEndId" => &mut self.end_to_end,
            "TxId" => &mut self.transaction,
            _ => return,
        };
        // The first: others by these names are of what the transaction refers to.
        if field.is_empty() {
            *field = texts.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "<GrpHdr><MsgId>M&amp;<![CDATA[1]]> </MsgId><CreDtTm>2026-11-23T09:00:00Z</CreDtTm><NbOfTxs>2</NbOfTxs>\
                        <CtrlSum>3.00</CtrlSum><InitgPty><MsgId>other</MsgId></InitgPty></GrpHdr>";

    fn message(name: &str) -> String {
        format!(
            "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:{name}\"><X>{HEAD}</X></Document>"
        )
    }

    #[test]
    fn a_head_says_what_the_document_is() {
        let look = Look::at(message("pain.001.001.09").as_bytes(), 1 << 16);
        let document = look.document.expect("a document");
        let expected = Document {
            name: "pain.001.001.09".to_owned(),
            id: "M&1".to_owned(),
            created: "2026-11-23T09:00:00Z".to_owned(),
            count: "2".to_owned(),
            sum: "3.00".to_owned(),
        };
        assert_eq!((&document, look.documents, look.soap), (&expected, 1, None));
        assert_eq!((document.version(), document.is_pacs()), (9, false));
    }

    #[test]
    fn envelopes_are_known_by_their_namespace() {
        for soap in Soap::ALL {
            let with = |inside: &str| {
                let namespace = soap.namespace();
                let text = format!(
                    "<s:Envelope xmlns:s=\"{namespace}\"><s:Body>{inside}</s:Body></s:Envelope>"
                );
                Look::at(text.as_bytes(), 1 << 16)
            };
            let one = message("pacs.008.001.08");
            let look = with(&one);
            assert_eq!((look.soap, look.documents), (Some(soap), 1));
            assert!(look.document.is_some_and(|document| document.is_pacs()));
            assert_eq!(with(&format!("{one}{one}")).documents, 2);
            assert_eq!(with("<a/>").documents, 0);
        }
        let other = Look::at(b"<Envelope xmlns=\"urn:x\"/>", 100);
        assert_eq!(other.soap, None);
    }

    #[test]
    fn other_documents_and_what_is_none_are_not_reported_on() {
        for text in [
            "",
            "{}",
            "<Document/>",
            "<!DOCTYPE a><Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:pain.001.001.09\"/>",
            "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:camt.053.001.08\"/>",
            "<Document xmlns=\"pain.001.001\"/>",
            "<Document xmlns=\"pain.001.001.0x\"/>",
        ] {
            assert!(
                Look::at(text.as_bytes(), 1 << 16).document.is_none(),
                "{text}"
            );
        }
        let deep = format!("{}{}", "<a>".repeat(100), message("pain.001.001.09"));
        assert!(Look::at(deep.as_bytes(), 1 << 16).document.is_none());
    }

    #[test]
    fn a_look_at_anything_cut_anywhere_ends() {
        let text = format!("ž{}", message("pain.001.001.09"));
        for at in 0..text.len() {
            let cut = &text.as_bytes()[..at];
            let _ = (Look::at(cut, 1 << 16), Look::at(text.as_bytes(), at));
            let _ = names(cut, &[0..at as u32, at as u32..u32::MAX]);
        }
    }

    #[test]
    fn records_are_named_within_their_bounds() {
        let mut text = String::from("<D><PmtInf><PmtInfId>P1</PmtInfId>");
        let mut records = Vec::new();
        for (batch, id) in [("", "E1"), ("", "E2"), ("P2", "E3")] {
            if !batch.is_empty() {
                text.push_str("</PmtInf>\n<PmtInf><PmtInfId>P2</PmtInfId>");
            }
            let start = text.len() as u32;
            text.push_str(&format!(
                "<T><PmtId><InstrId>I</InstrId><EndToEndId>{id}</EndToEndId></PmtId><R><EndToEndId>x</EndToEndId></R></T>"
            ));
            records.push(start..text.len() as u32);
        }
        text.push_str("</PmtInf></D>");
        let found = names(text.as_bytes(), &records);
        let shown: Vec<_> = found
            .iter()
            .map(|names| (names.batch.as_str(), names.end_to_end.as_str()))
            .collect();
        assert_eq!(shown, [("P1", "E1"), ("P1", "E2"), ("P2", "E3")]);
        let last = names(text.as_bytes(), &records[1..2]);
        assert_eq!(
            (last[0].batch.as_str(), last[0].instruction.as_str()),
            ("P1", "I")
        );
    }
}
