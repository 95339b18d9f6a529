//! Bad and hostile inputs: each a clear refusal, the process goes on, memory stays flat.

mod common;

use std::fmt::Write as _;

use common::{Fixture, read_answer, record, start, start_with};
use expect_test::{Expect, expect};
use gateway::GatewayOptions;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use types::names::{QUEUE_QUARANTINE, QUEUE_TRANSACTIONS};

/// The request is refused with this reason, kept in the quarantine, and the gateway still works.
async fn check(gateway: &Fixture, source: &str, body: impl AsRef<[u8]>, expected: Expect) {
    let before = gateway.outbox.bodies(QUEUE_QUARANTINE).len();
    let answer = gateway.post(source, "", body).await;
    expected.assert_eq(&answer.reason());
    assert_eq!(gateway.outbox.bodies(QUEUE_QUARANTINE).len(), before + 1);
    assert!(gateway.outbox.bodies(QUEUE_TRANSACTIONS).is_empty());
}

async fn still_up(gateway: &Fixture) {
    assert_eq!(
        gateway.post("json", "", record("alive", "1")).await.status,
        202
    );
}

fn with_field(field: &str, json: &str) -> String {
    let mut record: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&record("a", "1")).expect("JSON");
    record.remove(field);
    let rest = serde_json::to_string(&record).expect("JSON");
    format!("{{\"{field}\":{json},{}", &rest[1..])
}

#[tokio::test]
async fn broken_json() {
    let gateway = start().await;
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    check(
        &gateway,
        "json",
        &deep,
        expect!["422 record null field null rule depth"],
    )
    .await;
    let hidden = with_field("note", &"{\"a\":".repeat(10_000));
    check(
        &gateway,
        "json",
        hidden,
        expect!["422 record 1 field null rule depth"],
    )
    .await;
    check(
        &gateway,
        "json",
        b"{\"id\":\"\xff\"}",
        expect!["400 record null field null rule utf-8"],
    )
    .await;
    check(
        &gateway,
        "json",
        with_field("amount", "1e400"),
        expect!["422 record 1 field amount rule amount"],
    )
    .await;
    check(
        &gateway,
        "json",
        with_field("amount", "1E2"),
        expect!["422 record 1 field amount rule amount"],
    )
    .await;
    check(
        &gateway,
        "json",
        with_field("amount", "NaN"),
        expect!["400 record 1 field null rule json"],
    )
    .await;
    let twice = record("a", "1").replacen('{', "{\"amount\":\"2\",", 1);
    check(
        &gateway,
        "json",
        twice,
        expect!["422 record 1 field amount rule duplicate-key"],
    )
    .await;
    let disguised = record("a", "1").replacen('{', "{\"\\u0061mount\":\"2\",", 1);
    check(
        &gateway,
        "json",
        disguised,
        expect!["422 record 1 field amount rule duplicate-key"],
    )
    .await;
    check(
        &gateway,
        "json",
        "",
        expect!["422 record null field null rule no-records"],
    )
    .await;
    check(
        &gateway,
        "json",
        "[]",
        expect!["422 record null field null rule no-records"],
    )
    .await;
    check(
        &gateway,
        "json",
        "12",
        expect!["422 record null field null rule type"],
    )
    .await;
    check(
        &gateway,
        "json",
        "{\"id\":\"a\"",
        expect!["400 record 1 field null rule json"],
    )
    .await;
    check(
        &gateway,
        "json",
        with_field("account", "{}"),
        expect!["422 record 1 field account rule type"],
    )
    .await;
    check(
        &gateway,
        "json",
        with_field("account", "\"a\\u0000b\""),
        expect!["422 record 1 field account rule control-character"],
    )
    .await;
    check(
        &gateway,
        "json",
        with_field("account", "\"\\ud800\""),
        expect!["400 record 1 field null rule json"],
    )
    .await;
    still_up(&gateway).await;
}

#[tokio::test]
async fn broken_values() {
    let gateway = start().await;
    let booked = |at: &str| with_field("booked_at", &format!("\"{at}\""));
    check(
        &gateway,
        "json",
        booked("2026-11-25T12:00:00Z"),
        expect!["422 record 1 field booked_at rule future"],
    )
    .await;
    check(
        &gateway,
        "json",
        booked("1900-01-01T00:00:00Z"),
        expect!["422 record 1 field booked_at rule before-1970"],
    )
    .await;
    check(
        &gateway,
        "json",
        booked("2026-02-30T00:00:00Z"),
        expect!["422 record 1 field booked_at rule time"],
    )
    .await;
    check(
        &gateway,
        "json",
        booked("2026-11-23T10:00:00"),
        expect!["422 record 1 field booked_at rule time"],
    )
    .await;
    check(
        &gateway,
        "json",
        with_field("currency", "\"EURO\""),
        expect!["422 record 1 field currency rule currency"],
    )
    .await;
    check(
        &gateway,
        "json",
        with_field("currency", "\"XXX\""),
        expect!["422 record 1 field currency rule currency"],
    )
    .await;
    check(
        &gateway,
        "json",
        with_field("account", "\"\""),
        expect!["422 record 1 field account rule missing"],
    )
    .await;
    let long = format!("\"{}\"", "x".repeat(513));
    check(
        &gateway,
        "json",
        with_field("account", &long),
        expect!["422 record 1 field account rule id-bytes"],
    )
    .await;
    check(
        &gateway,
        "json",
        with_field("id", &long),
        expect!["422 record 1 field id rule id-bytes"],
    )
    .await;
    let longer = format!("\"{}\"", "x".repeat(4_097));
    check(
        &gateway,
        "json",
        with_field("merchant", &longer),
        expect!["422 record 1 field merchant rule field-bytes"],
    )
    .await;
    let amount = with_field("amount", "1000000000000000000000");
    check(
        &gateway,
        "json",
        amount,
        expect!["422 record 1 field amount rule amount"],
    )
    .await;
    still_up(&gateway).await;
}

#[tokio::test]
async fn broken_csv() {
    let gateway = start().await;
    let header = "id,card,amount,currency,booked_at,merchant,type,reverses\n";
    let row = "a,5299,1.00,EUR,2026-11-23T10:15:00Z,Konzum,purchase,\n";
    let missing = format!("{header}{row}b,5299,1.00,EUR,2026-11-23T10:15:00Z,Konzum\n");
    check(
        &gateway,
        "card-csv",
        missing,
        expect!["422 record 2 field null rule columns"],
    )
    .await;
    let lacking = "id,card,currency,booked_at\na,5299,EUR,2026-11-23T10:15:00Z\n";
    check(
        &gateway,
        "card-csv",
        lacking,
        expect!["422 record null field amount rule columns"],
    )
    .await;
    let unclosed = format!("{header}\"a,5299,1.00,EUR\n{row}");
    check(
        &gateway,
        "card-csv",
        unclosed,
        expect!["400 record null field null rule csv"],
    )
    .await;
    let behind = format!("{header}\"a\"b,5299,1.00,EUR\n");
    check(
        &gateway,
        "card-csv",
        behind,
        expect!["400 record null field null rule csv"],
    )
    .await;
    still_up(&gateway).await;
}

fn pain(transactions: &str) -> String {
    format!(
        "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:pain.001.001.09\"><CstmrCdtTrfInitn><GrpHdr><MsgId>M</MsgId>\
         <CreDtTm>2026-11-23T09:00:00Z</CreDtTm></GrpHdr><PmtInf><PmtInfId>P</PmtInfId><DbtrAcct><Id><IBAN>HR12</IBAN>\
         </Id></DbtrAcct>{transactions}</PmtInf></CstmrCdtTrfInitn></Document>"
    )
}

const TRANSACTION: &str =
    "<CdtTrfTxInf><Amt><InstdAmt Ccy=\"EUR\">1.00</InstdAmt></Amt></CdtTrfTxInf>";

#[tokio::test]
async fn broken_xml() {
    let gateway = start().await;
    let mut laughs =
        String::from("<?xml version=\"1.0\"?>\n<!DOCTYPE lolz [<!ENTITY lol \"lol\">\n");
    for level in 1..10 {
        let inner = format!("&lol{};", level - 1).repeat(10);
        writeln!(laughs, "<!ENTITY lol{level} \"{inner}\">").expect("writing to a string");
    }
    laughs.push_str("]>\n<Document>&lol9;</Document>");
    check(
        &gateway,
        "pain.001",
        laughs,
        expect!["422 record null field null rule doctype"],
    )
    .await;
    let outside =
        "<!DOCTYPE d [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><Document>&e;</Document>";
    check(
        &gateway,
        "pain.001",
        outside,
        expect!["422 record null field null rule doctype"],
    )
    .await;
    let deep = pain(&format!(
        "{}{}",
        "<a>".repeat(10_000),
        "</a>".repeat(10_000)
    ));
    check(
        &gateway,
        "pain.001",
        deep,
        expect!["422 record null field null rule depth"],
    )
    .await;
    let many: String = (0..65).map(|index| format!(" a{index}=\"\"")).collect();
    check(
        &gateway,
        "pain.001",
        pain(&format!("<x{many}/>")),
        expect!["422 record null field null rule attributes"],
    )
    .await;
    check(
        &gateway,
        "pain.001",
        pain("<x a=\"1\" a=\"2\"/>"),
        expect!["400 record null field null rule xml"],
    )
    .await;
    check(
        &gateway,
        "pain.001",
        pain("<x>&unknown;</x>"),
        expect!["422 record null field null rule entity"],
    )
    .await;
    check(
        &gateway,
        "pain.001",
        pain("<x>&#0;</x>"),
        expect!["422 record null field null rule entity"],
    )
    .await;
    check(
        &gateway,
        "pain.001",
        pain("<x></y>"),
        expect!["400 record null field null rule xml"],
    )
    .await;
    check(
        &gateway,
        "pain.001",
        &pain(TRANSACTION)[..300],
        expect!["400 record 1 field null rule xml"],
    )
    .await;
    check(
        &gateway,
        "pain.001",
        pain(""),
        expect!["422 record null field null rule no-records"],
    )
    .await;
    let other = pain(TRANSACTION).replace("pain.001.001.09", "pain.002.001.09");
    check(
        &gateway,
        "pain.001",
        other,
        expect!["422 record null field null rule namespace"],
    )
    .await;
    // ISO 8859 and Windows' sets of Europe are read; Japan's are not.
    let japanese = format!(
        "<?xml version=\"1.0\" encoding=\"Shift_JIS\"?>{}",
        pain(TRANSACTION)
    );
    check(
        &gateway,
        "pain.001",
        japanese,
        expect!["400 record null field null rule encoding"],
    )
    .await;
    let late = pain(&format!("{TRANSACTION}<Dbtr><Nm>late</Nm></Dbtr>"));
    check(
        &gateway,
        "pain.001",
        late,
        expect!["422 record null field /Document/CstmrCdtTrfInitn/PmtInf/Dbtr/Nm rule late-field"],
    )
    .await;
    assert_eq!(
        gateway.post("pain.001", "", pain(TRANSACTION)).await.status,
        202
    );
    still_up(&gateway).await;
}

#[tokio::test]
async fn too_many_records() {
    let gateway = start().await;
    let rows = " 1 19970101 1 1.00\n".repeat(10_000);
    assert_eq!(
        gateway
            .post("cdnow", "Idempotency-Key: f\r\n", &rows)
            .await
            .status,
        202
    );
    let answer = gateway
        .post("cdnow", "", format!("{rows} 1 19970101 1 1.00\n"))
        .await;
    expect!["413 record null field null rule records"].assert_eq(&answer.reason());
    assert_eq!(gateway.outbox.bodies(QUEUE_TRANSACTIONS).len(), 10_000);
    // Kept bytes are bounded, and the message says that it was cut.
    let kept = gateway.outbox.bodies(QUEUE_QUARANTINE);
    assert_eq!(kept.iter().map(String::len).collect::<Vec<_>>(), [64 << 10]);
    let properties = &gateway.outbox.properties(QUEUE_QUARANTINE)[0];
    assert!(
        properties.ends_with("original_bytes=190019 truncated=true"),
        "{properties}"
    );
}

#[tokio::test]
async fn a_body_over_the_limit_by_its_length() {
    let gateway = start().await;
    let mut stream = TcpStream::connect(gateway.address)
        .await
        .expect("listening");
    let head = "POST /v1/transactions/json HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1073741824\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("writable");
    let answer = read_answer(&mut stream).await;
    expect!["413 record null field null rule body-bytes"].assert_eq(&answer.reason());
    assert_eq!(answer.header("connection"), Some("close"));
    still_up(&gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gigabyte_in_chunks_leaves_memory_flat() {
    let gateway = start().await;
    still_up(&gateway).await;
    let before = resident_bytes();
    let mut stream = TcpStream::connect(gateway.address)
        .await
        .expect("listening");
    let head =
        "POST /v1/transactions/json HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("writable");
    let mut chunk = b"10000\r\n".to_vec();
    chunk.resize(chunk.len() + 0x1_0000, b' ');
    chunk.extend_from_slice(b"\r\n");
    let mut sent = 0_usize;
    // The gateway stops reading long before the end; writing then fails or would wait for ever.
    while sent < 1 << 30 {
        let write =
            tokio::time::timeout(std::time::Duration::from_secs(3), stream.write_all(&chunk));
        if !matches!(write.await, Ok(Ok(()))) {
            break;
        }
        sent += 0x1_0000;
    }
    assert!(sent < 128 << 20, "the gateway took {sent} bytes");
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 96 << 20, "memory grew by {grown} bytes");
    still_up(&gateway).await;
}

#[tokio::test]
async fn bodies_in_flight_are_bounded() {
    let mut options = GatewayOptions {
        inflight_bytes_max: 60_000,
        ..GatewayOptions::default()
    };
    options.limits.body_bytes_max = 30_000;
    let gateway = start_with(options).await;
    // Two requests hold most of the budget while they are being sent.
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(gateway.address)
            .await
            .expect("listening");
        let head =
            "POST /v1/transactions/json HTTP/1.1\r\nHost: x\r\nContent-Length: 30000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.expect("writable");
        stream.write_all(&[b' '; 29_000]).await.expect("writable");
        slow.push(stream);
    }
    let body = format!("{}{}", " ".repeat(20_000), record("a", "1"));
    let patience = std::time::Duration::from_secs(30);
    // Until the gateway has read what the two have sent.
    let refused = async {
        loop {
            let answer = gateway.post("json", "", &body).await;
            if answer.status != 202 {
                return answer;
            }
        }
    };
    let answer = tokio::time::timeout(patience, refused).await;
    let answer = answer.expect("refused while the budget is held");
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("1"))
    );
    drop(slow);
    // Until it has noticed that they are gone.
    let free = async { while gateway.post("json", "", &body).await.status == 503 {} };
    let freed = tokio::time::timeout(patience, free).await;
    freed.expect("the budget is given back");
    assert_eq!(gateway.post("json", "", &body).await.status, 202);
}

fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize = text
        .split_ascii_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .expect("a number");
    pages * 4_096
}
