//! Probes as they are read: JSON, and text for people.

use std::fmt::Write as _;
use std::sync::Arc;

use hyper::header::{self, HeaderMap};
use serde_json::{Value, json};

use super::view::Shown;
use super::{Draft, Probe, Probes, STEPS};

/// Which probes are listed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    source: Option<String>,
    refused: Option<bool>,
}

impl Query {
    /// Reads `source=json&outcome=refused`.
    ///
    /// # Errors
    ///
    /// What is not understood, for people.
    pub(crate) fn parse(query: &str) -> Result<Self, String> {
        let mut parsed = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("source", name)) => parsed.source = Some(name.to_owned()),
                Some(("outcome", "refused")) => parsed.refused = Some(true),
                Some(("outcome", "accepted")) => parsed.refused = Some(false),
                _ => {
                    let short: String = pair.chars().take(64).collect();
                    return Err(format!(
                        "{short:?} is none of source=NAME, outcome=refused and outcome=accepted"
                    ));
                }
            }
        }
        Ok(parsed)
    }

    fn fits(&self, probe: &Probe) -> bool {
        let of_source = self
            .source
            .as_deref()
            .is_none_or(|name| name == &*probe.draft.source);
        of_source
            && self
                .refused
                .is_none_or(|refused| refused == probe.is_refused())
    }
}

/// Who reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    Program,
    Person,
}

impl Reader {
    /// People are those who ask for text, and curl where it asks for nothing.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let accept = text(header::ACCEPT).unwrap_or("*/*");
        let is_curl = text(header::USER_AGENT).is_some_and(|agent| agent.starts_with("curl/"));
        match accept.starts_with("text/plain") || (is_curl && accept == "*/*") {
            true => Self::Person,
            false => Self::Program,
        }
    }
}

impl Probes {
    /// The list, the newest first.
    pub(crate) fn list(&self, query: &Query, reader: Reader) -> String {
        let probes = self.all();
        let probes = probes.iter().filter(|probe| query.fits(probe));
        match reader {
            Reader::Program => {
                let list: Vec<Value> = probes.map(|probe| entry(probe)).collect();
                json!({ "probes": list }).to_string()
            }
            Reader::Person => {
                let mut text = String::new();
                for probe in probes {
                    line(&mut text, probe);
                }
                text
            }
        }
    }

    /// One of them: the newest with this id.
    pub(crate) fn one(&self, id: &str, reader: Reader) -> Option<String> {
        let all = self.all();
        let probe: &Arc<Probe> = all.iter().find(|probe| &*probe.draft.id == id)?;
        Some(match reader {
            Reader::Program => whole(probe).to_string(),
            Reader::Person => text(probe),
        })
    }
}

fn outcome(probe: &Probe) -> &'static str {
    match (probe.is_refused(), probe.draft.refused) {
        (true, _) => "refused",
        (false, 0) => "accepted",
        (false, _) => "accepted in part",
    }
}

fn when(micros: i64) -> String {
    mapping::received_at_text(micros)
}

fn entry(probe: &Probe) -> Value {
    json!({
        "id": probe.draft.id,
        "when": when(probe.when),
        "source": *probe.draft.source,
        "outcome": outcome(probe),
        "status": probe.status,
        "micros": probe.micros.iter().sum::<u64>(),
    })
}

fn whole(probe: &Probe) -> Value {
    let Draft {
        client,
        headers,
        format,
        compression,
        events,
        input,
        ..
    } = &*probe.draft;
    let draft = &*probe.draft;
    let mut whole = entry(probe);
    let headers = headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.as_str().into()));
    let steps = STEPS
        .iter()
        .map(|(step, name)| ((*name).to_owned(), probe.micros[*step as usize].into()));
    whole["client"] = json!(client);
    whole["address"] = json!(probe.address);
    whole["listener"] = json!(probe.listener);
    whole["headers"] = Value::Object(headers.collect());
    whole["format"] = json!(format.to_string());
    whole["events"] = json!(events);
    whole["steps_micros"] = Value::Object(steps.collect());
    if let Some((coding, sent)) = compression {
        whole["compression"] = json!({ "coding": coding, "bytes": sent });
    }
    if let Some(input) = input {
        let (kind, shown) = match &input.shown {
            Shown::Text(text) => ("text", text.as_str()),
            Shown::Hex(text) => ("hex", text.as_str()),
            Shown::Not(reason) => ("left_out", *reason),
        };
        whole["input"] = json!({ "bytes": input.bytes, "cut": input.is_cut, "encoding": input.encoding, (kind): shown });
    }
    whole["accepted"] = json!(draft.accepted);
    whole["refused"] = json!(draft.refused);
    whole["passed_over"] = json!(draft.passed_over);
    whole["records"] = draft.records.iter().map(|text| value(text)).collect();
    whole["refusals"] = json!(draft.refusals);
    whole["answer"] = json!({ "status": probe.status, "body": value(&probe.answer) });
    whole
}

/// JSON as it is; what is none, or was cut, as a text.
fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

fn line(text: &mut String, probe: &Probe) {
    let (id, source) = (&probe.draft.id, &probe.draft.source);
    let micros = probe.micros.iter().sum::<u64>();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{}  {id}  {source:12}  {} {}  {micros} µs",
        when(probe.when),
        outcome(probe),
        probe.status
    );
}

fn text(probe: &Probe) -> String {
    let draft = &*probe.draft;
    let mut text = String::new();
    line(&mut text, probe);
    let mut add = |name: &str, value: String| {
        let value = value.trim_end().replace('\n', "\n               ");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:>14} {value}");
    };
    add("listener", probe.listener.clone());
    if let Some(address) = &probe.address {
        add("address", address.clone());
    }
    if let Some(client) = &draft.client {
        add("client", client.to_string());
    }
    for (name, value) in &draft.headers {
        add("header", format!("{name}: {value}"));
    }
    for (step, name) in STEPS {
        add(name, format!("{:>8} µs", probe.micros[step as usize]));
        match step {
            super::Step::Body => body(draft, &mut add),
            super::Step::Translation => translation(draft, &mut add),
            _ => {}
        }
    }
    add("status", probe.status.to_string());
    add("answer", probe.answer.clone());
    text
}

fn body(draft: &Draft, add: &mut impl FnMut(&str, String)) {
    if let Some((coding, sent)) = &draft.compression {
        let input = draft.input.as_ref().map(|input| input.bytes);
        let ratio = match (sent, input) {
            (Some(sent @ 1..), Some(bytes)) => {
                format!(", {sent} bytes became {bytes} ({} times)", bytes / sent)
            }
            _ => String::new(),
        };
        add("compressed", format!("{coding}{ratio}"));
    }
    let Some(input) = &draft.input else { return };
    let cut = if input.is_cut { ", cut" } else { "" };
    add(
        "input",
        format!("{} bytes, {}{cut}", input.bytes, input.encoding),
    );
    match &input.shown {
        Shown::Text(text) | Shown::Hex(text) => add("", text.clone()),
        Shown::Not(reason) => add("", format!("left out: {reason}")),
    }
}

fn translation(draft: &Draft, add: &mut impl FnMut(&str, String)) {
    let events = draft.events.map(|mode| format!(", CloudEvents ({mode})"));
    add(
        "format",
        format!("{}{}", draft.format, events.unwrap_or_default()),
    );
    let passed_over = match draft.passed_over {
        0 => String::new(),
        records => format!(", {records} passed over"),
    };
    add(
        "records",
        format!(
            "{} accepted, {} refused{passed_over}",
            draft.accepted, draft.refused
        ),
    );
    for record in &draft.records {
        add("record", record.clone());
    }
    for refusal in &draft.refusals {
        add("refusal", refusal.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_understood_or_refused() {
        assert_eq!(Query::parse(""), Ok(Query::default()));
        let both = Query::parse("source=pain.001&outcome=refused");
        assert_eq!(
            both,
            Ok(Query {
                source: Some("pain.001".to_owned()),
                refused: Some(true)
            })
        );
        assert!(Query::parse("outcome=other").is_err());
        assert!(Query::parse("limit=3").is_err());
    }

    #[test]
    fn people_get_text() {
        let reader = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, header::HeaderValue::from_static(value));
            }
            Reader::of(&headers)
        };
        assert_eq!(reader(&[]), Reader::Program);
        assert_eq!(
            reader(&[("user-agent", "curl/8.5.0"), ("accept", "*/*")]),
            Reader::Person
        );
        assert_eq!(
            reader(&[("user-agent", "curl/8.5.0"), ("accept", "application/json")]),
            Reader::Program
        );
        assert_eq!(reader(&[("accept", "text/plain")]), Reader::Person);
    }
}
