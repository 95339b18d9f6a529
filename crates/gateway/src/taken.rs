//! What became of a request, and what its sender reads of it.

use std::ops::Range;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use mapping::{IdentityKind, Refusal, Refused, Translated};

use crate::budget::Share;
use crate::headers;
use crate::ingest::Head;
use crate::outbox::Kept;

/// Most ids that an answer lists without being asked to.
const IDS_LISTED_MAX: usize = 100;

/// What an answer says when no queue manager answered and the gateway keeps what it accepted.
const SPOOLED: &[u8] = b",\"spooled\":true";

/// What was accepted, and with a lenient sender what was not.
pub(crate) struct Taken {
    pub(crate) out: Bytes,
    pub(crate) body: Bytes,
    pub(crate) translated: Vec<Translated>,
    pub(crate) refused: Vec<Refused>,
    pub(crate) kept: Kept,
    /// Records that are no transactions, as the mapping says.
    pub(crate) passed_over: u64,
    /// Memory of body and translation, held until the answer is made.
    pub(crate) _share: Share,
}

impl Taken {
    /// Ids of the records that were accepted, in the order of the request.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &[u8]> {
        let records = self.translated.iter();
        records.map(|record| slice(&self.out, &record.id))
    }

    /// The answer's: a lenient sender, of whose records none was accepted, is refused.
    pub(crate) fn status(&self) -> StatusCode {
        match self.translated.is_empty() && !self.refused.is_empty() {
            true => StatusCode::UNPROCESSABLE_ENTITY,
            false => StatusCode::ACCEPTED,
        }
    }

    /// What HTTP answers.
    pub(crate) fn response(&self, head: &Head) -> Response<Full<Bytes>> {
        match head.preferences.lenient {
            true => self.per_record(),
            false => self.accepted(head),
        }
    }

    /// What is answered without HTTP: the same as one line.
    pub(crate) fn into_json(self, head: &Head) -> Vec<u8> {
        self.accepted_json(head.preferences.representation)
    }

    fn accepted(&self, head: &Head) -> Response<Full<Bytes>> {
        let asked = head.preferences.representation;
        let mut response = json_response(StatusCode::ACCEPTED, self.accepted_json(asked));
        if asked {
            let applied = HeaderValue::from_static("return=representation");
            response
                .headers_mut()
                .insert(headers::PREFERENCE_APPLIED, applied);
        }
        self.warn_of_made_up_ids(response)
    }

    fn accepted_json(&self, asked: bool) -> Vec<u8> {
        let (out, translated) = (&self.out, &self.translated);
        let mut json = format!("{{\"accepted\":{}", translated.len()).into_bytes();
        self.write_passed_over(&mut json);
        if asked || translated.len() <= IDS_LISTED_MAX {
            json.extend_from_slice(b",\"ids\":[");
            for (index, record) in translated.iter().enumerate() {
                if index > 0 {
                    json.push(b',');
                }
                write_json_string(&mut json, slice(out, &record.id));
            }
            json.push(b']');
        }
        self.write_end(&mut json);
        json
    }

    /// Closes the object, in which is said whether the gateway keeps what it accepted.
    fn write_end(&self, json: &mut Vec<u8>) {
        if self.kept == Kept::Spool {
            json.extend_from_slice(SPOOLED);
        }
        json.push(b'}');
    }

    /// Records that are no transactions, if there are some.
    fn write_passed_over(&self, json: &mut Vec<u8>) {
        if self.passed_over > 0 {
            json.extend_from_slice(format!(",\"passed_over\":{}", self.passed_over).as_bytes());
        }
    }

    /// The answer to `Prefer: handling=lenient`: what became of each record.
    fn per_record(&self) -> Response<Full<Bytes>> {
        let (out, translated, refused) = (&self.out, &self.translated, &self.refused);
        let mut json = format!(
            "{{\"accepted\":{},\"refused\":{}",
            translated.len(),
            refused.len()
        )
        .into_bytes();
        self.write_passed_over(&mut json);
        json.extend_from_slice(b",\"records\":[");
        let mut good = translated.iter().peekable();
        let mut bad = refused.iter().peekable();
        let mut is_first = true;
        loop {
            // Both lists are in the order of the request: the lower number comes next.
            let next_good = good.peek().map_or(u64::MAX, |record| record.record);
            let next_bad = bad
                .peek()
                .map_or(u64::MAX, |record| record.refusal.record.unwrap_or(0));
            let entry = if next_good < next_bad {
                good.next().map(Ok)
            } else {
                bad.next().map(Err)
            };
            let Some(entry) = entry else { break };
            if !std::mem::take(&mut is_first) {
                json.push(b',');
            }
            match entry {
                Ok(record) => {
                    json.extend_from_slice(
                        format!(
                            "{{\"record\":{},\"status\":\"accepted\",\"id\":",
                            record.record
                        )
                        .as_bytes(),
                    );
                    write_json_string(&mut json, slice(out, &record.id));
                    json.push(b'}');
                }
                Err(record) => write_refused(&mut json, &record.refusal),
            }
        }
        json.push(b']');
        self.write_end(&mut json);
        let mut response = json_response(self.status(), json);
        let applied = HeaderValue::from_static("handling=lenient");
        response
            .headers_mut()
            .insert(headers::PREFERENCE_APPLIED, applied);
        self.warn_of_made_up_ids(response)
    }

    fn warn_of_made_up_ids(&self, mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
        if self
            .translated
            .iter()
            .any(|record| record.identity == IdentityKind::Generated)
        {
            let text = "no identity: records without an id were given a new one, so sending them again counts \
                        them again; send an Idempotency-Key";
            response
                .headers_mut()
                .insert(headers::WARNING, HeaderValue::from_static(text));
        }
        response
    }
}

pub(crate) fn slice<'o>(out: &'o [u8], range: &Range<u32>) -> &'o [u8] {
    &out[range.start as usize..range.end as usize]
}

/// Writes an id, which is UTF-8 without control characters, as a JSON string.
fn write_json_string(json: &mut Vec<u8>, text: &[u8]) {
    json.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            json.push(b'\\');
        }
        json.push(*byte);
    }
    json.push(b'"');
}

fn write_refused(json: &mut Vec<u8>, refusal: &Refusal) {
    let entry = serde_json::json!({
        "record": refusal.record,
        "status": "refused",
        "field": refusal.field.as_deref(),
        "rule": refusal.rule,
        "line": refusal.line,
        "detail": refusal.detail,
    });
    json.extend_from_slice(entry.to_string().as_bytes());
}

fn json_response(status: StatusCode, json: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(json)));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
