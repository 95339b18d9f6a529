//! What the gateway says about itself: a page of text at `/`, the sources at `/v1/sources`.

use std::fmt::Write as _;
use std::net::SocketAddr;

use mapping::Mapping;
use serde_json::{Value, json};

/// How to post a first transaction, for someone who has just found the port.
pub(crate) fn text(sources: &[&Mapping], address: SocketAddr) -> String {
    let mut text = format!(
        "This is Daybook's gateway. It takes transactions in, each in its source's own format:\n\
         \n\
         POST http://{address}/v1/transactions/{{source}}\n\
         \n\
         Sources\n"
    );
    for mapping in sources {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {:12} {}", mapping.source(), mapping.title());
    }
    if sources.iter().any(|mapping| mapping.source() == "json") {
        let _ = write!(
            text,
            "\nA first transaction\n\
             \n\
             curl -i http://{address}/v1/transactions/json -H 'Content-Type: application/json' -d '\n\
             {{\"id\":\"first-1\",\"account\":\"HR12-0001\",\"amount\":\"-12.50\",\"currency\":\"EUR\",\
             \"booked_at\":\"'\"$(date -u +%Y-%m-%dT%H:%M:%SZ)\"'\"}}'\n"
        );
    }
    text.push_str(
        "\n202 means that it is on disk. Send the same again after a time-out: it is counted once, by its \
         id, or by the\nheader Idempotency-Key where it has none. A refusal says which record, field and \
         rule; nothing of the request\nis then accepted, unless you sent Prefer: handling=lenient.\n",
    );
    text
}

/// The configured sources as JSON.
pub(crate) fn sources(sources: &[&Mapping]) -> Value {
    let list: Vec<Value> = sources
        .iter()
        .map(|mapping| {
            json!({
                "source": mapping.source(),
                "title": mapping.title(),
                "format": mapping.format().to_string(),
                "natural_id": mapping.has_natural_id(),
                "divisible": mapping.is_divisible(),
            })
        })
        .collect();
    json!({ "sources": list })
}
