//! `daybook queue browse`.

use std::io::Write as _;

use inspect::Parts;
use mq_client::{GetRequest, Got, Session, get, open};
use mq_wire::convert;

use super::admin::explain;
use crate::cli::{BrowseArgs, QueueFormat};

/// Characters of a body that are shown, unless all are wanted.
const BODY_CHARS: usize = 200;

pub(super) async fn run(session: &mut Session, args: &BrowseArgs) -> anyhow::Result<()> {
    let failed = |error| explain(error, &format!("{} cannot be browsed", args.queue));
    let queue = session.open(&args.queue, open::BROWSE).await;
    let queue = queue.map_err(failed)?;
    let mut cursor = get::BROWSE_FIRST;
    let mut shown = 0;
    while shown < args.limit {
        let request = GetRequest {
            cursor,
            ..GetRequest::default()
        };
        let Some(got) = session.get(&queue, &request).await.map_err(failed)? else {
            break;
        };
        cursor = get::BROWSE_NEXT;
        shown += 1;
        print(shown, &got, args)?;
    }
    if shown == 0 && args.format == QueueFormat::Table {
        eprintln!("{} has no message that could be got", args.queue);
    }
    Ok(())
}

/// A body for people.
#[derive(Debug, PartialEq, Eq)]
enum Shown {
    Text(String),
    Hex(String),
}

fn show(parts: &Parts, full: bool) -> (Shown, bool) {
    let bytes = &parts.body;
    let text = convert(parts.ccsid, 1208, bytes).and_then(|utf8| String::from_utf8(utf8).ok());
    let is_text = |text: &String| {
        !text
            .chars()
            .any(|char| char.is_control() && !"\t\r\n".contains(char))
    };
    match text.filter(is_text) {
        Some(text) if full || text.chars().count() <= BODY_CHARS => (Shown::Text(text), false),
        Some(text) => (Shown::Text(text.chars().take(BODY_CHARS).collect()), true),
        None => {
            let shown = match full {
                true => bytes.len(),
                false => bytes.len().min(BODY_CHARS / 2),
            };
            let hex = bytes.iter().take(shown).map(|byte| format!("{byte:02x}"));
            (Shown::Hex(hex.collect()), shown < bytes.len())
        }
    }
}

fn print(number: u64, got: &Got, args: &BrowseArgs) -> anyhow::Result<()> {
    let md = &got.descriptor;
    let parts = Parts::of(md, &got.body);
    let (body, cut) = show(&parts, args.full);
    let format: String = parts.format.iter().copied().map(char::from).collect();
    let format = format.trim_end_matches([' ', '\0']);
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    let put_time = moment(&md.put_date.0, &md.put_time.0);
    let mut out = std::io::stdout().lock();
    match args.format {
        QueueFormat::Json => {
            let mut object = serde_json::json!({
                "msg_id": hex(&md.msg_id),
                "correl_id": hex(&md.correl_id),
                "put_time": put_time,
                "user": md.user_identifier.text(),
                "application": md.put_appl_name.text(),
                "backout_count": md.backout_count,
                "persistent": md.persistence == 1,
                "priority": md.priority,
                "format": format,
                "bytes": parts.body.len(),
                "properties": parts.folders,
                "cut": cut,
            });
            let (key, value) = match body {
                Shown::Text(text) => ("text", text),
                Shown::Hex(hex) => ("hex", hex),
            };
            if let Some(object) = object.as_object_mut() {
                object.insert(key.to_owned(), value.into());
            }
            writeln!(out, "{object}")?;
        }
        QueueFormat::Table => {
            writeln!(out, "{number}  MsgId {}", hex(&md.msg_id))?;
            writeln!(
                out,
                "   put {put_time} by {} ({}), backout count {}, {}, priority {}",
                md.user_identifier,
                md.put_appl_name,
                md.backout_count,
                if md.persistence == 1 {
                    "persistent"
                } else {
                    "not persistent"
                },
                md.priority,
            )?;
            writeln!(out, "   format {format:?}, {} bytes", parts.body.len())?;
            for folder in &parts.folders {
                writeln!(out, "   {folder}")?;
            }
            let more = if cut { " ... (--full shows all)" } else { "" };
            match body {
                Shown::Text(text) => writeln!(out, "   {text}{more}")?,
                Shown::Hex(hex) => writeln!(out, "   hex {hex}{more}")?,
            }
        }
    }
    Ok(())
}

/// RFC 3339 of MQMD's date and time, which are GMT; empty if there is none.
fn moment(date: &[u8; 8], time: &[u8; 8]) -> String {
    let at = mq_wire::micros_of(date, time);
    let at = at.and_then(|at| jiff::Timestamp::from_microsecond(at).ok());
    at.map_or(String::new(), |at| {
        at.strftime("%Y-%m-%dT%H:%M:%S%.2fZ").to_string()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn bodies_are_text_or_hex_and_cut() {
        let parts = |body: &[u8], ccsid| Parts {
            format: *b"MQSTR   ",
            encoding: 546,
            ccsid,
            folders: Vec::new(),
            refusal: None,
            body: Bytes::copy_from_slice(body),
        };
        let text = |text: &str| Shown::Text(text.to_owned());
        assert_eq!(
            show(&parts(b"{\"a\":1}\n", 1208), false),
            (text("{\"a\":1}\n"), false)
        );
        assert_eq!(show(&parts(b"\xc1\xc2", 500), false), (text("AB"), false));
        let hex = |text: &str| Shown::Hex(text.to_owned());
        assert_eq!(show(&parts(b"a\0", 1208), false), (hex("6100"), false));
        assert_eq!(show(&parts(b"\xff", 1208), false), (hex("ff"), false));
        assert_eq!(show(&parts(b"a", 930), false), (hex("61"), false));
        let long = parts(&[b'x'; 201], 1208);
        assert_eq!(show(&long, false), (text(&"x".repeat(200)), true));
        assert_eq!(show(&long, true), (text(&"x".repeat(201)), false));
        assert_eq!(
            show(&parts(&[0xff; 101], 1208), false),
            (hex(&"ff".repeat(100)), true)
        );
        assert_eq!(moment(b"20261125", b"04123399"), "2026-11-25T04:12:33.99Z");
        assert_eq!(moment(b"        ", b"        "), "");
    }
}
