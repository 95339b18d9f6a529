//! The stream of server-sent events, and the questions the bench asks the web server.

use std::time::Duration;

use serde::Deserialize;

use super::visible::Columns;
use crate::http::{BodyKind, Chunks, Connection, HttpError};
use crate::target::Target;

/// Longest time for an answer to begin.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// The server sends something at least every 5 s.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Most bytes of one event.
const EVENT_BYTES_MAX: usize = 256 << 20;

/// Cuts a stream into events (WHATWG HTML, 9.2), as far as they are used here.
#[derive(Debug, Default)]
pub(crate) struct Events {
    buffer: Vec<u8>,
    /// How much of the buffer is known to hold no end.
    searched: usize,
}

impl Events {
    /// Room for more bytes of the stream.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Hands each complete event's name and data to `each`. Comments and other fields are skipped.
    pub(crate) fn drain(&mut self, mut each: impl FnMut(&str, &[u8])) {
        let mut start = 0;
        let mut from = self.searched;
        while let Some(length) = self.buffer[from..]
            .windows(2)
            .position(|two| two == b"\n\n")
        {
            let end = from + length;
            event(&self.buffer[start..end], &mut each);
            start = end + 2;
            from = start;
        }
        self.buffer.drain(..start);
        // The last byte may be the first of an end.
        self.searched = self.buffer.len().saturating_sub(1);
    }
}

fn event(text: &[u8], each: &mut impl FnMut(&str, &[u8])) {
    let mut name = "message";
    let mut data: Option<&[u8]> = None;
    for line in text.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let value = |front: &[u8]| {
            let rest = line.strip_prefix(front)?;
            Some(rest.strip_prefix(b" ").unwrap_or(rest))
        };
        if let Some(found) = value(b"data:") {
            // The server writes JSON on one line.
            data = Some(found);
        } else if let Some(found) = value(b"event:") {
            name = std::str::from_utf8(found).unwrap_or("message");
        }
    }
    if let Some(data) = data {
        each(name, data);
    }
}

fn get(target: &Target, path: &str) -> Vec<u8> {
    format!(
        "GET {} HTTP/1.1\r\nhost: {}\r\naccept: */*\r\n\r\n",
        target.path(path),
        target.authority()
    )
    .into_bytes()
}

/// Why the web server's answer is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("{path} is answered with {status}: {body}")]
    Status {
        path: String,
        status: u16,
        body: String,
    },
    #[error("{path} is not answered as the API says")]
    Json {
        path: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("there is no aggregation {0:?}; there are {1}")]
    Aggregation(String, String),
    #[error("the aggregation {aggregation} has no column `{column}`, which the bench reads")]
    Column {
        aggregation: String,
        column: &'static str,
    },
}

/// Asks for a document.
pub(crate) async fn fetch(target: &Target, path: &str) -> Result<Vec<u8>, WebError> {
    let mut connection = Connection::open(target).await?;
    let (answer, _) = connection
        .request(&get(target, path), b"", ANSWER_TIME_MAX)
        .await?;
    if answer.status == 200 {
        return Ok(answer.body);
    }
    Err(WebError::Status {
        path: path.to_owned(),
        status: answer.status,
        body: String::from_utf8_lossy(&answer.body[..answer.body.len().min(300)]).into_owned(),
    })
}

#[derive(Deserialize)]
struct Aggregations {
    aggregations: Vec<Aggregation>,
}

#[derive(Deserialize)]
struct Aggregation {
    name: String,
    columns: Vec<Column>,
}

#[derive(Deserialize)]
struct Column {
    name: String,
}

/// Finds the places of the columns that the bench reads.
pub(crate) async fn columns(target: &Target, aggregation: &str) -> Result<Columns, WebError> {
    let path = "/api/v1/aggregations";
    let json = fetch(target, path).await?;
    find_columns(&json, path, aggregation)
}

fn find_columns(json: &[u8], path: &str, aggregation: &str) -> Result<Columns, WebError> {
    let all: Aggregations = serde_json::from_slice(json).map_err(|source| WebError::Json {
        path: path.to_owned(),
        source,
    })?;
    let Some(found) = all
        .aggregations
        .iter()
        .find(|known| known.name == aggregation)
    else {
        let names: Vec<&str> = all.aggregations.iter().map(|known| &*known.name).collect();
        return Err(WebError::Aggregation(
            aggregation.to_owned(),
            names.join(", "),
        ));
    };
    let place = |wanted| {
        found
            .columns
            .iter()
            .position(|column| column.name == wanted)
    };
    let needed = |column| {
        place(column).ok_or_else(|| WebError::Column {
            aggregation: aggregation.to_owned(),
            column,
        })
    };
    Ok(Columns {
        account: needed("account")?,
        transactions: needed("transactions")?,
        total: place("total"),
    })
}

/// A stream that is open.
#[derive(Debug)]
pub(crate) struct Stream {
    connection: Connection,
    chunks: Option<Chunks>,
    events: Events,
}

impl Stream {
    /// Opens the stream of an aggregation at its highest rate.
    pub(crate) async fn open(target: &Target, aggregation: &str) -> Result<Self, WebError> {
        let path = format!("/api/v1/{aggregation}/stream?rows=all&hz=100");
        let mut connection = Connection::open(target).await?;
        let head = connection
            .start(&get(target, &path), ANSWER_TIME_MAX)
            .await?;
        if head.status != 200 {
            return Err(WebError::Status {
                path,
                status: head.status,
                body: String::new(),
            });
        }
        Ok(Self {
            connection,
            chunks: (head.body == BodyKind::Chunked).then(Chunks::default),
            events: Events::default(),
        })
    }

    /// Waits for more.
    pub(crate) async fn read(&mut self) -> Result<(), WebError> {
        if self.events.buffer().len() > EVENT_BYTES_MAX {
            return Err(HttpError::Protocol("an event is too long").into());
        }
        let read = self
            .connection
            .read_some(self.chunks.as_mut(), self.events.buffer());
        match tokio::time::timeout(SILENCE_MAX, read).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(HttpError::Slow(SILENCE_MAX).into()),
        }
    }

    /// Hands events that have arrived whole to `each`.
    pub(crate) fn drain(&mut self, each: impl FnMut(&str, &[u8])) {
        self.events.drain(each);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_at_every_split() {
        let stream =
            b": hello\n\nid: 1\ndata: {\"a\":1}\n\nevent: heartbeat\ndata:{}\n\nid: 2\r\n\ndata: x";
        for cut in 0..stream.len() {
            let mut events = Events::default();
            let mut seen = Vec::new();
            for part in [&stream[..cut], &stream[cut..]] {
                events.buffer().extend_from_slice(part);
                events.drain(|name, data| {
                    seen.push(format!("{name} {}", String::from_utf8_lossy(data)));
                });
            }
            assert_eq!(seen, ["message {\"a\":1}", "heartbeat {}"], "cut at {cut}");
        }
    }

    #[test]
    fn columns_are_found_by_name() {
        let json = br#"{"aggregations":[{"name":"daily_totals","columns":[{"name":"account","kind":"text"},
            {"name":"currency","kind":"text"},{"name":"total","kind":"decimal"},{"name":"transactions","kind":"int"}]},
            {"name":"other","columns":[{"name":"account"}]}]}"#;
        let find = |name| find_columns(json, "/x", name).map_err(|error| error.to_string());
        let expected = Columns {
            account: 0,
            transactions: 3,
            total: Some(2),
        };
        assert_eq!(find("daily_totals"), Ok(expected));
        assert_eq!(
            find("none"),
            Err("there is no aggregation \"none\"; there are daily_totals, other".to_owned())
        );
        assert_eq!(
            find("other"),
            Err(
                "the aggregation other has no column `transactions`, which the bench reads"
                    .to_owned()
            )
        );
    }
}
