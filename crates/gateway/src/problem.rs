//! What a refused sender reads: RFC 9457 problem details.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use mapping::{Refusal, Refused, rule};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::budget::Share;
use crate::reply::{self, Soap};

/// Most refused records that one answer lists.
pub(crate) const ERRORS_MAX: usize = 100;

/// What a problem came of.
#[derive(Debug)]
pub(crate) struct Cause {
    /// What was refused as a whole.
    pub(crate) whole: Option<Refusal>,
    /// Records that were refused.
    pub(crate) refused: Vec<Refused>,
    pub(crate) body: Bytes,
    /// Memory of the body.
    pub(crate) _share: Share,
}

/// How a problem is said.
#[derive(Debug, Default)]
enum Form {
    #[default]
    Json,
    Soap(Soap),
    /// A document that says the same.
    Xml(String),
}

/// An answer other than success.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    members: Map<String, Value>,
    retry_after_seconds: Option<u64>,
    allow: Option<&'static str>,
    accept_encoding: Option<&'static str>,
    close: bool,
    form: Form,
    cause: Option<Box<Cause>>,
}

impl Problem {
    /// `kind` is the stable name of the problem, `title` the same for people, `detail` this case.
    pub(crate) fn new(
        status: StatusCode,
        kind: &str,
        title: &str,
        detail: impl Into<String>,
    ) -> Self {
        let mut members = Map::new();
        members.insert(
            "type".to_owned(),
            format!("urn:daybook:problem:{kind}").into(),
        );
        members.insert("title".to_owned(), title.into());
        members.insert("status".to_owned(), status.as_u16().into());
        members.insert("detail".to_owned(), detail.into().into());
        Self {
            status,
            members,
            retry_after_seconds: None,
            allow: None,
            accept_encoding: None,
            close: false,
            form: Form::Json,
            cause: None,
        }
    }

    /// A document refused as a whole.
    pub(crate) fn document(refusal: &Refusal) -> Self {
        let detail = format!("nothing was accepted: {refusal}");
        let mut problem = Self::new(
            status_of(refusal.rule),
            refusal.rule,
            "the document was refused",
            detail,
        );
        problem.add_refusal(refusal);
        problem
    }

    /// Records refused, and with them the request.
    pub(crate) fn records(refusals: &[&Refusal], refused: usize, records: usize) -> Self {
        let first = refusals
            .first()
            .map_or_else(String::new, ToString::to_string);
        let detail = if records > refused {
            format!(
                "nothing was accepted, because {refused} of {records} records are refused; with \
                 \"Prefer: handling=lenient\" the others are accepted. First: {first}"
            )
        } else {
            format!("nothing was accepted: {first}")
        };
        let rule = refusals.first().map_or("refused", |refusal| refusal.rule);
        let mut problem = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            rule,
            "the records were refused",
            detail,
        );
        if let Some(first) = refusals.first() {
            problem.add_refusal(first);
        }
        if refused > 1 {
            let errors: Vec<Value> = refusals
                .iter()
                .take(ERRORS_MAX)
                .map(|refusal| error(refusal))
                .collect();
            problem = problem.with("errors", errors).with("refused", refused);
        }
        problem.with("records", records)
    }

    fn add_refusal(&mut self, refusal: &Refusal) {
        if let Value::Object(members) = error(refusal) {
            // `detail` is already there, with more around it.
            self.members
                .extend(members.into_iter().filter(|(name, _)| name != "detail"));
        }
    }

    /// Adds a member.
    pub(crate) fn with(mut self, name: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).unwrap_or_default();
        self.members.insert(name.to_owned(), value);
        self
    }

    /// The same request may succeed later.
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds.max(1));
        self
    }

    /// Methods that would have been right.
    pub(crate) fn allow(mut self, methods: &'static str) -> Self {
        self.allow = Some(methods);
        self
    }

    /// Compressions that would have been right (RFC 9110 §12.5.3).
    pub(crate) fn accept_encoding(mut self, codings: &'static str) -> Self {
        self.accept_encoding = Some(codings);
        self
    }

    /// The connection cannot be used any more: part of the body was not read.
    pub(crate) fn close(mut self) -> Self {
        self.close = true;
        self
    }

    /// With what it came of, for who says it in another form.
    pub(crate) fn because(mut self, cause: Cause) -> Self {
        self.cause = Some(Box::new(cause));
        self
    }

    pub(crate) fn cause(&self) -> Option<&Cause> {
        self.cause.as_deref()
    }

    /// Said as a fault.
    pub(crate) fn in_soap(mut self, soap: Soap) -> Self {
        self.form = Form::Soap(soap);
        self
    }

    /// Said as a fault, unless it is said in another form already.
    pub(crate) fn or_in_soap(self, soap: Option<Soap>) -> Self {
        match (&self.form, soap) {
            (Form::Json, Some(soap)) => self.in_soap(soap),
            _ => self,
        }
    }

    /// Said by a document.
    pub(crate) fn in_xml(mut self, document: String) -> Self {
        self.form = Form::Xml(document);
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether the same request may be accepted when it comes again.
    pub(crate) fn asks_to_retry(&self) -> bool {
        matches!(
            self.status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        )
    }

    /// As one line of JSON.
    pub(crate) fn into_json(self) -> Vec<u8> {
        Value::Object(self.members).to_string().into_bytes()
    }

    pub(crate) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::default();
        self.write_headers(response.headers_mut());
        let (status, content_type, body) = match self.form {
            Form::Json => (
                self.status,
                "application/problem+json",
                self.into_json().into(),
            ),
            Form::Soap(soap) => {
                let (status, content_type, text) = reply::fault(soap, self.status, &self.members);
                (status, content_type, text.into())
            }
            Form::Xml(document) => (self.status, "application/xml", Bytes::from(document)),
        };
        *response.status_mut() = status;
        let content_type = HeaderValue::from_static(content_type);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, content_type);
        *response.body_mut() = Full::new(body);
        response
    }

    /// What is said beside the body, in whatever form that is.
    fn write_headers(&self, headers: &mut HeaderMap) {
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(methods) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(methods));
        }
        if let Some(codings) = self.accept_encoding {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(codings));
        }
        if self.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// One refusal as a JSON object.
fn error(refusal: &Refusal) -> Value {
    let mut members = Map::new();
    if let Some(record) = refusal.record {
        members.insert("record".to_owned(), record.into());
    }
    if let Some(field) = &refusal.field {
        members.insert("field".to_owned(), (&**field).into());
    }
    members.insert("rule".to_owned(), refusal.rule.into());
    members.insert("line".to_owned(), refusal.line.into());
    members.insert("offset".to_owned(), refusal.offset.into());
    members.insert("detail".to_owned(), json!(refusal.detail));
    Value::Object(members)
}

/// 400 for what is not well-formed, 413 for too much, 422 for what breaks a rule.
fn status_of(name: &str) -> StatusCode {
    match name {
        rule::JSON | rule::XML | rule::CSV | rule::UTF_8 | rule::ENCODING => {
            StatusCode::BAD_REQUEST
        }
        rule::BODY_BYTES | rule::RECORDS | rule::OUTPUT_BYTES => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}
