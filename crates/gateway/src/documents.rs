//! What the gateway offers, for machines: OpenAPI 3.1 at `/openapi.json`, and AsyncAPI 3.0 for the queues behind it at `/asyncapi.json`.
//!
//! Both are made of the sources that are configured, so that they are never behind.

use mapping::{Format, Mapping};
use serde_json::{Map, Value, json};
use types::names::{QUEUE_QUARANTINE, QUEUE_TRANSACTIONS};

/// OpenAPI 3.1: one path a source, and on this machine's own address what is kept of requests.
pub(crate) fn openapi(sources: &[&Mapping], must_say: bool, probes: bool) -> Value {
    let mut paths: Map<String, Value> = sources
        .iter()
        .map(|mapping| {
            let path = format!("/v1/transactions/{}", mapping.source());
            (path, json!({ "post": operation(mapping) }))
        })
        .collect();
    if probes {
        paths.extend(probe_paths());
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Daybook gateway",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "202 means on disk. The same sent again, with the same ids or the same Idempotency-Key, counts once.",
        },
        "paths": paths,
        "components": components(),
    });
    if must_say {
        document["security"] = json!([{ "key": [] }, { "bearer": [] }, { "signature": [], "client": [] }, { "certificate": [] }]);
    }
    document
}

fn probe_paths() -> [(String, Value); 2] {
    let probe = json!({ "type": "object", "required": ["id", "when", "source", "outcome", "status", "micros"], "properties": {
        "id": { "type": "string", "description": "the trace id of traceparent" },
        "when": { "type": "string", "format": "date-time" }, "source": { "type": "string" }, "outcome": { "type": "string" },
        "status": { "type": "integer" }, "micros": { "type": "integer", "description": "microseconds in all" },
    } });
    let answer = |schema: Value| {
        json!({ "description": "Card and account numbers are masked", "content": {
        "application/json": { "schema": schema }, "text/plain": { "schema": { "type": "string" } },
    } })
    };
    let list = json!({ "type": "object", "properties": { "probes": { "type": "array", "items": probe } } });
    let problem = json!({ "$ref": "#/components/responses/Problem" });
    let query = |name: &str, schema: Value| json!({ "name": name, "in": "query", "required": false, "schema": schema });
    let by = [
        query("source", json!({ "type": "string" })),
        query(
            "outcome",
            json!({ "type": "string", "enum": ["refused", "accepted"] }),
        ),
    ];
    let id =
        json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } });
    [
        (
            "/v1/probes".to_owned(),
            json!({ "get": { "operationId": "list-probes", "summary": "Requests of which it is kept what they went through, the newest first",
                "parameters": by, "responses": { "200": answer(list), "400": problem, "403": problem } } }),
        ),
        (
            "/v1/probes/{id}".to_owned(),
            json!({ "get": { "operationId": "get-probe", "summary": "What one request went through",
                "parameters": [id], "responses": { "200": answer(probe), "403": problem, "404": problem } } }),
        ),
    ]
}

fn operation(mapping: &Mapping) -> Value {
    let title = match mapping.title() {
        "" => mapping.source(),
        title => title,
    };
    let content: Map<String, Value> = content_types(mapping.format())
        .iter()
        .chain(&[
            "application/cloudevents+json",
            "application/cloudevents-batch+json",
        ])
        .map(|name| {
            (
                (*name).to_owned(),
                json!({ "schema": schema_of(mapping.format()) }),
            )
        })
        .collect();
    let reference = |name: &str| json!({ "$ref": format!("#/components/responses/{name}") });
    let parameter = |name: &str| json!({ "$ref": format!("#/components/parameters/{name}") });
    json!({
        "operationId": format!("post-{}", mapping.source()),
        "summary": title,
        "parameters": [parameter("key"), parameter("first"), parameter("prefer"), parameter("traceparent"), parameter("encoding"), parameter("event"), parameter("event-source"), parameter("event-type"), parameter("event-version"), parameter("probe")],
        "requestBody": { "required": true, "content": content },
        "responses": {
            "202": reference("Accepted"),
            "400": reference("Problem"), "401": reference("Problem"), "403": reference("Problem"),
            "408": reference("Problem"), "500": reference("Problem"), "413": reference("Problem"), "415": reference("Unread"),
            "422": reference("Problem"), "429": reference("Later"), "503": reference("Later"),
        },
    })
}

fn content_types(format: Format) -> &'static [&'static str] {
    match format {
        Format::Json => &["application/json", "application/x-ndjson"],
        Format::Csv => &["text/csv"],
        Format::Xml => &["application/xml"],
        Format::Ofx => &["application/x-ofx"],
        Format::SwiftMt | Format::Fixed => &["text/plain"],
        Format::Copybook | Format::Iso8583 => &["application/octet-stream"],
        Format::Avro => &["application/avro", "application/octet-stream"],
        Format::Protobuf => &["application/x-protobuf", "application/octet-stream"],
    }
}

fn schema_of(format: Format) -> Value {
    match format {
        Format::Json => json!({ "description": "one object, an array of them, or one a line" }),
        Format::Copybook | Format::Iso8583 | Format::Protobuf | Format::Avro => {
            json!({ "type": "string", "format": "binary" })
        }
        _ => json!({ "type": "string" }),
    }
}

fn components() -> Value {
    let header = |name: &str, description: &str, schema: Value| json!({ "name": name, "in": "header", "required": false, "description": description, "schema": schema });
    let in_kind = json!({ "schema": { "type": "string", "description": "For Accept: application/xml and SOAP: pain.002 or pacs.002 of ISO 20022, a SOAP message or fault" } });
    let problem = json!({
        "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } },
        "application/xml": in_kind, "text/xml": in_kind, "application/soap+xml": in_kind,
    });
    json!({
        "parameters": {
            "key": header("Idempotency-Key", "Identity of records without an id of their own", json!({ "type": "string", "maxLength": 256 })),
            "first": header("Daybook-First-Record", "Number of the first record in the file that this was cut from", json!({ "type": "integer", "minimum": 0, "default": 1 })),
            "prefer": header("Prefer", "handling=lenient: the good records count although others are refused; return=representation: all ids are listed", json!({ "type": "string" })),
            "event": header("ce-id", "CloudEvents, binary mode: with ce-source the identity of records without an id of their own", json!({ "type": "string" })),
            "event-source": header("ce-source", "CloudEvents, binary mode", json!({ "type": "string" })),
            "event-type": header("ce-type", "CloudEvents, binary mode", json!({ "type": "string" })),
            "event-version": header("ce-specversion", "CloudEvents, binary mode", json!({ "type": "string", "enum": ["1.0"] })),
            "encoding": header("Content-Encoding", "How the body is compressed", json!({ "type": "string", "enum": ["gzip", "zstd", "deflate", "identity"] })),
            "traceparent": header("traceparent", "W3C trace context; tracestate is not passed on", json!({ "type": "string" })),
            "probe": header("Daybook-Probe", "1: what this request goes through is kept, and the answer says its id; from loopback, or of a client that may", json!({ "type": "string", "enum": ["1"] })),
        },
        "responses": {
            "Accepted": {
                "description": "On disk.",
                "content": {
                    "application/json": { "schema": { "$ref": "#/components/schemas/Accepted" } },
                    "application/xml": in_kind, "text/xml": in_kind, "application/soap+xml": in_kind,
                },
            },
            "Problem": { "description": "Refused; nothing was accepted. What was read is in the quarantine.", "content": problem },
            "Unread": {
                "description": "Of a kind that is not read here.",
                "headers": { "Accept-Encoding": { "schema": { "type": "string" }, "description": "Compressions that are read, where the body's is not" } },
                "content": problem,
            },
            "Later": {
                "description": "Nothing was accepted, or whether is not known; the same is to be sent again.",
                "headers": { "Retry-After": { "schema": { "type": "integer" }, "description": "Seconds" } },
                "content": problem,
            },
        },
        "schemas": {
            "Accepted": {
                "type": "object", "required": ["accepted"],
                "properties": {
                    "accepted": { "type": "integer" },
                    "refused": { "type": "integer" },
                    "passed_over": { "type": "integer", "description": "records that are no transactions, as the mapping says; none if it is missing" },
                    "ids": { "type": "array", "items": { "type": "string" } },
                    "records": { "type": "array", "items": { "type": "object" } },
                },
            },
            "Problem": {
                "type": "object", "required": ["type", "title", "status", "detail"], "description": "RFC 9457",
                "properties": {
                    "type": { "type": "string" }, "title": { "type": "string" }, "status": { "type": "integer" }, "detail": { "type": "string" },
                    "record": { "type": "integer" }, "field": { "type": "string" }, "rule": { "type": "string", "enum": mapping::rule::ALL },
                    "line": { "type": "integer" }, "offset": { "type": "integer" }, "passed_over": { "type": "integer" },
                },
            },
            "Transaction": transaction(),
        },
        "securitySchemes": {
            "key": { "type": "apiKey", "in": "header", "name": "X-Api-Key" },
            "bearer": { "type": "http", "scheme": "bearer", "description": "an API key, or a JWT of an issuer that is configured" },
            "client": { "type": "apiKey", "in": "header", "name": "Daybook-Client" },
            "signature": { "type": "apiKey", "in": "header", "name": "Daybook-Signature", "description": "t=SECONDS,v1=HEX: HMAC-SHA-256 of SECONDS.PATH.BODY, the body as it is sent: compressed if it is" },
            "certificate": { "type": "mutualTLS" },
        },
    })
}

/// The canonical transaction.
fn transaction() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    json!({
        "type": "object",
        "required": ["id", "source", "account", "amount", "currency", "booked_at", "received_at"],
        "properties": {
            "id": text("identity within its source"),
            "source": text("the configured source"),
            "account": text("grouping key"),
            "amount": { "type": "string", "pattern": "^-?[0-9]+(\\.[0-9]{1,5})?$", "description": "exact, signed, in major units" },
            "currency": { "type": "string", "pattern": "^[A-Z]{3}$", "description": "ISO 4217" },
            "booked_at": { "type": "string", "format": "date-time" },
            "received_at": { "type": "string", "format": "date-time", "description": "the gateway's clock" },
            "reverses": text("id of the transaction that it takes back"),
        },
        "additionalProperties": { "type": "string" },
    })
}

/// AsyncAPI 3.0: the queues that are put to.
pub(crate) fn asyncapi() -> Value {
    let text = json!({ "type": "string" });
    let headers = json!({
        "type": "object", "required": ["id", "source", "traceparent", "received_at"],
        "properties": { "id": text, "source": text, "traceparent": text, "received_at": { "type": "string", "description": "microseconds since 1970" } },
    });
    let mut refused = headers.clone();
    for name in [
        "record",
        "rule",
        "field",
        "detail",
        "original_bytes",
        "truncated",
    ] {
        refused["properties"][name] = text.clone();
    }
    json!({
        "asyncapi": "3.0.0",
        "info": { "title": "Daybook queues", "version": env!("CARGO_PKG_VERSION") },
        "channels": {
            "transactions": { "address": QUEUE_TRANSACTIONS, "messages": { "transaction": { "$ref": "#/components/messages/transaction" } } },
            "quarantine": { "address": QUEUE_QUARANTINE, "messages": { "refused": { "$ref": "#/components/messages/refused" } } },
        },
        "operations": {
            "put": { "action": "send", "channel": { "$ref": "#/channels/transactions" } },
            "set-aside": { "action": "send", "channel": { "$ref": "#/channels/quarantine" } },
        },
        "components": { "messages": {
            "transaction": { "contentType": "application/json", "headers": headers, "payload": transaction() },
            "refused": { "description": "The original bytes, and why.", "headers": refused, "payload": {} },
        } },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` names something that is there.
    fn references(document: &Value, at: &Value, found: &mut usize) {
        match at {
            Value::Object(members) => {
                for (name, value) in members {
                    if let ("$ref", Some(reference)) = (name.as_str(), value.as_str()) {
                        let pointer = reference.strip_prefix('#').expect("in this document");
                        assert!(document.pointer(pointer).is_some(), "{reference}");
                        *found += 1;
                    }
                    references(document, value, found);
                }
            }
            Value::Array(all) => all
                .iter()
                .for_each(|value| references(document, value, found)),
            _ => {}
        }
    }

    #[test]
    fn what_is_referred_to_is_there() {
        let text = "source = \"t\"\nformat = \"json\"\n[fields.account]\nfrom = \"a\"\n[fields.amount]\nfrom = \"b\"\n\
                    [fields.currency]\nconst = \"EUR\"\n[fields.booked_at]\nfrom = \"c\"\n";
        let mapping = Mapping::compile("t.toml", text).expect("a mapping");
        let document = openapi(&[&mapping], true, true);
        let mut found = 0;
        references(&document, &document, &mut found);
        assert!(found > 10, "{found}");
        assert!(document["paths"]["/v1/transactions/t"]["post"]["requestBody"]["content"]["application/x-ndjson"].is_object());
        assert!(openapi(&[], false, false).get("security").is_none());
        let document = asyncapi();
        references(&document, &document, &mut found);
        assert_eq!(
            document["channels"]["transactions"]["address"],
            QUEUE_TRANSACTIONS
        );
    }
}
