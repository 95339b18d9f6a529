//! SOAP 1.1 (W3C Note 2000) and 1.2 (W3C Recommendation): envelopes and faults.
//!
//! | | 1.1 | 1.2 |
//! | --- | --- | --- |
//! | refused for what was sent | 500, `soap:Client` | 400, `env:Sender` |
//! | anything else | 500, `soap:Server` | 500, `env:Receiver` |
//!
//! 1.1 asks for 500 with every fault (§6.2). The detail is the problem in XML, as RFC 9457 has it (appendix B).

use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderName};
use serde_json::{Map, Value};

use super::{Soap, document, is_senders_fault, push_element, push_text};
use crate::taken::Taken;

const SOAP_ACTION: HeaderName = HeaderName::from_static("soapaction");
/// Of problems in XML.
const PROBLEM_NAMESPACE: &str = "urn:ietf:rfc:7807";
/// Of the answer to what no status report is for.
const ACCEPTED_NAMESPACE: &str = "urn:daybook:gateway";
/// Ids that an answer lists, as in JSON.
const IDS_LISTED_MAX: usize = 100;

impl Soap {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::V11 => "text/xml; charset=utf-8",
            Self::V12 => "application/soap+xml; charset=utf-8",
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::V11 => "soap",
            Self::V12 => "env",
        }
    }
}

/// The version that a request's head speaks, if it speaks SOAP.
pub(crate) fn hint(headers: &HeaderMap) -> Option<Soap> {
    let content = headers.get(header::CONTENT_TYPE);
    let content = content.and_then(|value| value.to_str().ok());
    let media = content.and_then(|text| text.split(';').next());
    let is_12 =
        media.is_some_and(|media| media.trim().eq_ignore_ascii_case("application/soap+xml"));
    if is_12 {
        return Some(Soap::V12);
    }
    headers.contains_key(SOAP_ACTION).then_some(Soap::V11)
}

/// A message with this element in its body.
pub(super) fn envelope(soap: Soap, element: &str) -> String {
    let (prefix, namespace) = (soap.prefix(), soap.namespace());
    document(&format!(
        "<{prefix}:Envelope xmlns:{prefix}=\"{namespace}\"><{prefix}:Body>{element}</{prefix}:Body></{prefix}:Envelope>"
    ))
}

/// What was accepted, where no business message says it.
pub(super) fn accepted(taken: &Taken) -> String {
    let mut xml = format!("<Accepted xmlns=\"{ACCEPTED_NAMESPACE}\">");
    push_element(&mut xml, "accepted", &taken.translated.len().to_string());
    push_element(&mut xml, "refused", &taken.refused.len().to_string());
    if taken.translated.len() <= IDS_LISTED_MAX {
        for id in taken.ids() {
            push_element(&mut xml, "id", &String::from_utf8_lossy(id));
        }
    }
    xml.push_str("</Accepted>");
    xml
}

/// A fault that says a problem; and the status to send it with.
pub(crate) fn fault(
    soap: Soap,
    status: StatusCode,
    members: &Map<String, Value>,
) -> (StatusCode, &'static str, String) {
    let is_theirs = is_senders_fault(status);
    let text = |name: &str| {
        members
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let mut reason = String::new();
    push_text(&mut reason, text("detail"));
    let detail = problem(members);
    let (status, fault) = match soap {
        Soap::V11 => {
            let code = if is_theirs { "Client" } else { "Server" };
            let fault = format!(
                "<soap:Fault><faultcode>soap:{code}</faultcode><faultstring>{reason}</faultstring>\
                 <detail>{detail}</detail></soap:Fault>"
            );
            (StatusCode::INTERNAL_SERVER_ERROR, fault)
        }
        Soap::V12 => {
            let (status, code) = match is_theirs {
                true => (StatusCode::BAD_REQUEST, "Sender"),
                false => (StatusCode::INTERNAL_SERVER_ERROR, "Receiver"),
            };
            let fault = format!(
                "<env:Fault><env:Code><env:Value>env:{code}</env:Value></env:Code>\
                 <env:Reason><env:Text xml:lang=\"en\">{reason}</env:Text></env:Reason>\
                 <env:Detail>{detail}</env:Detail></env:Fault>"
            );
            (status, fault)
        }
    };
    (status, soap.content_type(), envelope(soap, &fault))
}

/// RFC 9457, appendix B: members are elements, entries of a list are called `i`.
fn problem(members: &Map<String, Value>) -> String {
    let mut xml = format!("<problem xmlns=\"{PROBLEM_NAMESPACE}\">");
    for (name, value) in members {
        match value {
            Value::Array(entries) => {
                xml.push_str(&format!("<{name}>"));
                entries.iter().for_each(|entry| push_entry(&mut xml, entry));
                xml.push_str(&format!("</{name}>"));
            }
            value => push_value(&mut xml, name, value),
        }
    }
    xml.push_str("</problem>");
    xml
}

/// An entry of a list: an object of plain values, or one of these.
fn push_entry(xml: &mut String, entry: &Value) {
    let Value::Object(members) = entry else {
        return push_value(xml, "i", entry);
    };
    xml.push_str("<i>");
    members
        .iter()
        .for_each(|(name, value)| push_value(xml, name, value));
    xml.push_str("</i>");
}

fn push_value(xml: &mut String, name: &str, value: &Value) {
    match value {
        Value::Null => {}
        Value::String(text) => push_element(xml, name, text),
        other => push_element(xml, name, &other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use serde_json::json;

    fn members() -> Map<String, Value> {
        let value = json!({
            "type": "urn:daybook:problem:amount", "status": 422, "detail": "<no> amount", "field": null,
            "errors": [{ "record": 1, "rule": "amount" }], "sources": ["a&b"],
        });
        match value {
            Value::Object(members) => members,
            _ => Map::new(),
        }
    }

    #[test]
    fn a_fault_says_the_problem() {
        let (status, content, text) =
            fault(Soap::V11, StatusCode::UNPROCESSABLE_ENTITY, &members());
        assert_eq!((status.as_u16(), content), (500, "text/xml; charset=utf-8"));
        expect![[r#"
            <?xml version="1.0" encoding="UTF-8"?>
            <soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><soap:Fault><faultcode>soap:Client</faultcode><faultstring>&lt;no&gt; amount</faultstring><detail><problem xmlns="urn:ietf:rfc:7807"><detail>&lt;no&gt; amount</detail><errors><i><record>1</record><rule>amount</rule></i></errors><sources><i>a&amp;b</i></sources><status>422</status><type>urn:daybook:problem:amount</type></problem></detail></soap:Fault></soap:Body></soap:Envelope>
        "#]].assert_eq(&text);
        let (status, content, text) =
            fault(Soap::V12, StatusCode::UNPROCESSABLE_ENTITY, &members());
        assert_eq!(
            (status.as_u16(), content),
            (400, "application/soap+xml; charset=utf-8")
        );
        expect![[r#"
            <?xml version="1.0" encoding="UTF-8"?>
            <env:Envelope xmlns:env="http://www.w3.org/2003/05/soap-envelope"><env:Body><env:Fault><env:Code><env:Value>env:Sender</env:Value></env:Code><env:Reason><env:Text xml:lang="en">&lt;no&gt; amount</env:Text></env:Reason><env:Detail><problem xmlns="urn:ietf:rfc:7807"><detail>&lt;no&gt; amount</detail><errors><i><record>1</record><rule>amount</rule></i></errors><sources><i>a&amp;b</i></sources><status>422</status><type>urn:daybook:problem:amount</type></problem></env:Detail></env:Fault></env:Body></env:Envelope>
        "#]].assert_eq(&text);
    }

    #[test]
    fn what_may_be_tried_again_is_no_fault_of_the_senders() {
        for (status, theirs) in [
            (503, false),
            (429, false),
            (408, false),
            (500, false),
            (401, true),
            (413, true),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            let (sent, _, text) = fault(Soap::V12, status, &members());
            assert_eq!(text.contains("env:Sender"), theirs, "{status}");
            assert_eq!(sent.as_u16(), if theirs { 400 } else { 500 });
            let (sent, _, text) = fault(Soap::V11, status, &members());
            assert_eq!((text.contains("soap:Client"), sent.as_u16()), (theirs, 500));
        }
    }

    #[test]
    fn heads_that_speak_soap_are_known() {
        let with = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().expect("a value"));
            hint(&headers)
        };
        assert_eq!(with("soapaction", "\"\""), Some(Soap::V11));
        assert_eq!(
            with("content-type", "application/soap+xml; action=\"a\""),
            Some(Soap::V12)
        );
        assert_eq!(with("content-type", "text/xml"), None);
    }
}
