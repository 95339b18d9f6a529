//! Sources are replaced while requests come.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::{read_answer, ready_made, record, start, start_with};
use gateway::{ClientOptions, Framing, GatewayOptions, HttpOptions, Reply, TcpOptions};
use mapping::Mapping;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use types::names::QUEUE_TRANSACTIONS;

/// A source of JSON that says in each transaction which mapping made it.
fn json(name: &str, made_by: &str) -> Mapping {
    let text = format!(
        "source = \"{name}\"\nformat = \"json\"\ntitle = \"by {made_by}\"\n[identity]\nnatural = [\"id\"]\n[fields.account]\nfrom = \"account\"\n\
         [fields.amount]\nfrom = \"amount\"\n[fields.currency]\nfrom = \"currency\"\n[fields.booked_at]\nfrom = \"booked_at\"\n\
         [fields.made_by]\nconst = \"{made_by}\"\n"
    );
    Mapping::compile(&format!("{name}.toml"), &text).unwrap_or_else(|errors| panic!("{errors:?}"))
}

#[tokio::test]
async fn all_sources_are_replaced_at_once_and_counts_go_on() {
    let gateway = start().await;
    assert_eq!(
        gateway.post("json", "", record("t-1", "1.00")).await.status,
        202
    );
    let changed = gateway
        .reloader
        .replace(vec![json("json", "second"), json("new", "second")]);
    let changed = changed.expect("nothing names the others");
    assert_eq!(changed.added, ["new"]);
    assert_eq!(
        (
            changed.kept,
            changed.removed.len(),
            changed.removed[0].as_str()
        ),
        (1, 7, "camt.053")
    );
    assert!(
        changed
            .to_string()
            .starts_with("2 sources are as their files say now; new: new; gone: camt.053, ")
    );

    assert_eq!(
        gateway.post("json", "", record("t-2", "1.00")).await.status,
        202
    );
    assert_eq!(
        gateway.post("new", "", record("t-3", "1.00")).await.status,
        202
    );
    assert_eq!(gateway.post("cdnow", "", "x").await.status, 404);
    let bodies = gateway.outbox.bodies(QUEUE_TRANSACTIONS);
    assert!(!bodies[0].contains("made_by") && bodies[1].contains("\"made_by\":\"second\""));

    let guide = gateway.request("GET", "/", "", b"").await.body;
    assert!(
        guide.contains("by second") && !guide.contains("cdnow"),
        "{guide}"
    );
    let document = gateway
        .request("GET", "/openapi.json", "", b"")
        .await
        .json();
    let paths: Vec<&String> = document["paths"]
        .as_object()
        .expect("paths")
        .keys()
        .collect();
    assert!(
        paths.iter().any(|path| *path == "/v1/transactions/new"),
        "{paths:?}"
    );
    assert!(
        !paths.iter().any(|path| *path == "/v1/transactions/cdnow"),
        "{paths:?}"
    );
    let listed = gateway.request("GET", "/v1/sources", "", b"").await.json();
    assert_eq!(listed["sources"].as_array().map(Vec::len), Some(2));

    // One that has gone and comes again goes on counting.
    gateway
        .reloader
        .replace(vec![json("new", "third")])
        .expect("replaced");
    gateway
        .reloader
        .replace(vec![json("json", "fourth")])
        .expect("replaced");
    assert_eq!(
        gateway.post("json", "", record("t-4", "1.00")).await.status,
        202
    );
    let sources = gateway.metrics.sources();
    let accepted = sources
        .iter()
        .map(|source| (&*source.source, source.accepted.load(Ordering::Relaxed)));
    let accepted: Vec<_> = accepted.filter(|(_, count)| *count > 0).collect();
    assert_eq!(accepted, [("json", 3), ("new", 1)]);
    assert_eq!(sources.len(), 9);
}

#[tokio::test]
async fn a_request_in_progress_keeps_its_source() {
    let gateway = start().await;
    let body = record("t-1", "1.00");
    let mut stream = TcpStream::connect(gateway.address).await.expect("listens");
    let head = format!(
        "POST /v1/transactions/json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("sends");
    stream
        .write_all(&body.as_bytes()[..10])
        .await
        .expect("sends");
    let begun = async {
        while gateway.metrics.requests.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), begun)
        .await
        .expect("it has begun");
    gateway
        .reloader
        .replace(vec![json("other", "x")])
        .expect("replaced");
    assert_eq!(gateway.post("json", "", &body).await.status, 404);
    stream
        .write_all(&body.as_bytes()[10..])
        .await
        .expect("sends");
    assert_eq!(read_answer(&mut stream).await.status, 202);
}

/// Sources are replaced over and over while bulks come: each bulk is made by one of them as a whole, and none is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_request_is_of_one_time() {
    let gateway = Arc::new(start().await);
    gateway
        .reloader
        .replace(vec![json("json", "0")])
        .expect("replaced");
    let stop = Arc::new(AtomicBool::new(false));
    let replacing = {
        let (reloader, stop) = (gateway.reloader.clone(), Arc::clone(&stop));
        tokio::task::spawn_blocking(move || {
            let mut times = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                times += 1;
                reloader
                    .replace(vec![json("json", &times.to_string())])
                    .expect("replaced");
            }
            times
        })
    };
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            let gateway = Arc::clone(&gateway);
            tokio::spawn(async move {
                for request in 0..50 {
                    let lines =
                        (0..20).map(|line| record(&format!("{sender}-{request}-{line}"), "1.00"));
                    let body = lines.collect::<Vec<_>>().join("\n");
                    let answer = gateway
                        .post("json", "Content-Type: application/x-ndjson\r\n", body)
                        .await;
                    assert_eq!(answer.status, 202, "{}", answer.body);
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.expect("all accepted");
    }
    stop.store(true, Ordering::Relaxed);
    assert!(replacing.await.expect("no panic") > 10);
    let put = gateway.outbox.put.lock().expect("no panic under it");
    assert_eq!(put.len(), 200);
    for (_, batch) in put.iter() {
        let made_by = |index| {
            let body = String::from_utf8(batch.message_body(index).to_vec()).expect("JSON");
            body.split_once("\"made_by\":")
                .map(|(_, rest)| rest.to_owned())
                .expect("there")
        };
        let made_by: Vec<String> = (0..batch.records.len()).map(made_by).collect();
        let first = made_by[0].split(',').next();
        assert!(
            made_by.iter().all(|other| other.split(',').next() == first),
            "{made_by:?}"
        );
    }
}

fn client(sources: &[&str]) -> ClientOptions {
    ClientOptions {
        name: "till".to_owned(),
        key_sha256: vec!["0".repeat(64)],
        subjects: Vec::new(),
        addresses: Vec::new(),
        secret_file: None,
        jwt: None,
        sources: sources.iter().map(|source| (*source).to_owned()).collect(),
        requests_per_second: None,
        records_per_second: None,
        probe: false,
    }
}

#[tokio::test]
async fn what_is_named_does_not_go_away() {
    let local = ([127, 0, 0, 1], 0).into();
    let gateway = start_with(GatewayOptions {
        tcp: vec![TcpOptions {
            address: local,
            source: "iso8583".to_owned(),
            framing: Framing::Length2,
            length_counts_itself: false,
            reply: Some(Reply::Iso8583),
            tls: None,
            idle_time_ms_max: 60_000,
            in_flight_max: 64,
        }],
        http: vec![HttpOptions {
            address: local,
            tls: None,
            sources: vec!["card-*".to_owned(), "cdnow".to_owned()],
        }],
        clients: vec![client(&["pain.*", "json", "not-there"])],
        ..GatewayOptions::default()
    })
    .await;
    gateway.reloader.used_by("the intake Q", "pain.001");
    let replace = |sources: Vec<Mapping>| {
        gateway
            .reloader
            .replace(sources)
            .map_err(|error| error.to_string())
    };
    let ready = |names: &[&str]| {
        names
            .iter()
            .map(|name| ready_made(name))
            .collect::<Vec<_>>()
    };
    let refused = |sources| replace(sources).expect_err("refused");

    let all = ["iso8583", "cdnow", "json", "pain.001"];
    assert_eq!(
        refused(ready(&all[1..])),
        "`gateway.tcp.source` is \"iso8583\", but must be a source that is configured"
    );
    let mut sources = ready(&all[1..]);
    sources.push(json("iso8583", "x"));
    assert_eq!(
        refused(sources),
        "`gateway.tcp.source` is \"iso8583\", but must be one of ISO 8583 where `reply` is"
    );
    assert_eq!(
        refused(ready(&["iso8583", "cdnow", "pain.001"])),
        "there would be no source json any more, but the client \"till\" names it: take it out there first, and start again"
    );
    assert_eq!(
        refused(ready(&["iso8583", "json", "pain.001"])),
        "there would be no source cdnow any more, but the address 127.0.0.1:0 names it: take it out there first, and start again"
    );
    assert_eq!(
        refused(ready(&all[..3])),
        "there would be no source pain.001 any more, but the intake Q names it: take it out there first, and start again"
    );
    let mut sources = ready(&all[..3]);
    sources.push(json("pain.001", "x"));
    assert_eq!(
        refused(sources),
        "the format of the source pain.001 is another, and the intake Q has begun with what it was: start again"
    );
    assert_eq!(
        refused(ready(&["iso8583", "cdnow", "json", "pain.001", "json"])),
        "the source json is configured twice"
    );
    // Nothing of all that has changed anything.
    let listed = gateway.request("GET", "/v1/sources", "", b"").await.json();
    assert_eq!(listed["sources"].as_array().map(Vec::len), Some(8));
    assert_eq!(gateway.metrics.sources().len(), 8);
    assert_eq!(replace(ready(&all)).map(|changed| changed.kept), Ok(4));
}
