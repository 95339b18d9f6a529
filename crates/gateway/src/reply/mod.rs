//! Answers in the sender's own format: status reports of ISO 20022, and SOAP.
//!
//! ```text
//! what was taken, or a Problem ──► reply (you are here) ──► pain.002, pacs.002, a SOAP message or fault ──► HTTP
//! ```
//!
//! # Invariants
//!
//! - One document is answered by one document: a body with none or several that could be reported on is answered in JSON, as ever.
//! - An answer never says more than is so: what can be tried again is no rejection, and is answered as a problem (or a fault of ours).
//! - What the request says of itself is looked at within bounds, and escaped when it is said back.

mod look;
mod soap;
mod status;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use mapping::Format;

use crate::ingest::Head;
use crate::problem::Problem;
use crate::taken::Taken;

pub(crate) use look::{Look, Soap};
pub(crate) use soap::{fault, hint};
use status::{Outcome, Report};

/// What of a body's beginning is looked at, in bytes.
const LOOK_BYTES_MAX: usize = 64 << 10;

/// Whether the sender is answered in his own format: by `Accept`, by the configuration, or because he speaks SOAP.
pub(crate) fn is_in_kind(headers: &HeaderMap, patterns: &[String], source: &str) -> bool {
    hint(headers).is_some()
        || patterns.iter().any(|pattern| types::glob(pattern, source))
        || prefers_xml(headers)
}

/// Whether `Accept` has XML before JSON (RFC 9110 §12.5.1).
fn prefers_xml(headers: &HeaderMap) -> bool {
    let (mut xml, mut json) = (Weight::default(), Weight::default());
    for value in headers.get_all(header::ACCEPT) {
        for range in value.to_str().unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q="));
            let weight = weight.map_or(Some(1_000), thousandths).unwrap_or(0);
            let (for_xml, for_json) = match name.as_str() {
                "application/xml" | "text/xml" | "application/soap+xml" => (Some(2), None),
                "application/json" | "application/problem+json" => (None, Some(2)),
                "application/*" => (Some(1), Some(1)),
                "text/*" => (Some(1), None),
                "*/*" => (Some(0), Some(0)),
                _ => (None, None),
            };
            xml.see(for_xml, weight);
            json.see(for_json, weight);
        }
    }
    xml.weight > json.weight
}

/// How much something is wished for, in thousandths: the most exact range decides.
#[derive(Default)]
struct Weight {
    weight: u32,
    exactness: Option<u8>,
}

impl Weight {
    fn see(&mut self, exactness: Option<u8>, weight: u32) {
        if exactness.is_none() || exactness < self.exactness {
            return;
        }
        let same = exactness == self.exactness;
        self.weight = if same {
            self.weight.max(weight)
        } else {
            weight
        };
        self.exactness = exactness;
    }
}

/// `1`, `0.5`, `0.250`.
fn thousandths(text: &str) -> Option<u32> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 3 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part: u32 = format!("{part:0<3}").parse().ok()?;
    Some(whole.parse::<u32>().ok()?.min(1) * 1_000 + part)
}

/// Who is answered, and when.
pub(crate) struct Answering {
    pub(crate) format: Format,
    pub(crate) headers: HeaderMap,
    /// Id of the answer.
    pub(crate) id: String,
    /// Microseconds since 1970.
    pub(crate) now: i64,
}

impl Answering {
    fn look(&self, body: &[u8]) -> Look {
        match self.format {
            Format::Xml => Look::at(body, LOOK_BYTES_MAX),
            _ => Look::default(),
        }
    }

    fn soap(&self, look: &Look) -> Option<Soap> {
        look.soap.or_else(|| hint(&self.headers))
    }

    fn report(&self, look: &Look, body: &[u8], outcome: &Outcome<'_>) -> Option<String> {
        let document = look.document.as_ref().filter(|_| look.documents == 1)?;
        let report = Report {
            document,
            id: &self.id,
            now: self.now,
        };
        Some(report.write(body, outcome))
    }

    /// Something was accepted, or records were refused one by one.
    pub(crate) fn taken(&self, taken: &Taken, head: &Head) -> Response<Full<Bytes>> {
        let plain = taken.response(head);
        let look = self.look(&taken.body);
        let outcome = Outcome {
            accepted: taken.translated.len(),
            refused: &taken.refused,
            whole: None,
        };
        let report = self.report(&look, &taken.body, &outcome);
        let soap = self.soap(&look);
        let content_type = match soap {
            Some(soap) => soap.content_type(),
            None => "application/xml",
        };
        let body = match (soap, report) {
            (Some(soap), Some(report)) => soap::envelope(soap, &report),
            (Some(soap), None) => soap::envelope(soap, &soap::accepted(taken)),
            (None, Some(report)) => document(&report),
            (None, None) => return plain,
        };
        let (mut parts, _) = plain.into_parts();
        let content_type = HeaderValue::from_static(content_type);
        parts.headers.insert(header::CONTENT_TYPE, content_type);
        Response::from_parts(parts, Full::new(body.into()))
    }

    /// Nothing was accepted.
    pub(crate) fn refused(&self, problem: Problem) -> Problem {
        let Some(cause) = problem.cause() else {
            return problem;
        };
        let look = self.look(&cause.body);
        if let Some(soap) = self.soap(&look) {
            return problem.in_soap(soap);
        }
        let outcome = Outcome {
            accepted: 0,
            refused: &cause.refused,
            whole: cause.whole.as_ref(),
        };
        let report = self.report(&look, &cause.body, &outcome);
        match report {
            Some(report) => problem.in_xml(document(&report)),
            None => problem,
        }
    }
}

fn document(element: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{element}\n")
}

/// Writes a text into XML. What XML 1.0 does not have becomes U+FFFD.
fn push_text(xml: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            '\r' => xml.push_str("&#13;"),
            '\t' | '\n' => xml.push(character),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => xml.push('\u{fffd}'),
            _ => xml.push(character),
        }
    }
}

/// `<name>text</name>`.
fn push_element(xml: &mut String, name: &str, text: &str) {
    for part in ["<", name, ">"] {
        xml.push_str(part);
    }
    push_text(xml, text);
    for part in ["</", name, ">"] {
        xml.push_str(part);
    }
}

/// Whether an answer with this status is a refusal for what was sent, which comes again however often it is sent.
pub(crate) fn is_senders_fault(status: StatusCode) -> bool {
    status.is_client_error()
        && status != StatusCode::TOO_MANY_REQUESTS
        && status != StatusCode::REQUEST_TIMEOUT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_is_answered_to_who_wants_it_more_than_json() {
        let prefers = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().expect("a value"));
            prefers_xml(&headers)
        };
        for accept in [
            "application/xml",
            "text/xml",
            "application/xml, application/json;q=0.9",
            "application/json;q=0.2, text/*;q=0.3",
            "application/soap+xml, */*;q=0.1",
            "*/*, application/json;q=0",
        ] {
            assert!(prefers(accept), "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "application/*",
            "application/json",
            "application/json, application/xml",
            "application/xml;q=0, */*",
            "application/xml;q=nonsense",
            "text/html, image/gif, *; q=.2, */*; q=.2",
        ] {
            assert!(!prefers(accept), "{accept}");
        }
        assert!(!prefers_xml(&HeaderMap::new()));
    }

    #[test]
    fn texts_are_escaped() {
        let mut xml = String::new();
        push_element(&mut xml, "a", "<&>\"'\r\u{0}\u{ffff}ž\n");
        assert_eq!(xml, "<a>&lt;&amp;&gt;&quot;'&#13;\u{fffd}\u{fffd}ž\n</a>");
    }
}
