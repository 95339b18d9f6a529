//! Every part of the front as a process of its own, joined by MQ's protocol: what was accepted is counted
//! once, however often the queue manager is killed.
#![allow(missing_docs)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use common::{Dice, PATIENCE, Place, text};
use kafka_client::Cluster;
use types::names::port;

const RECORDS: u64 = 20;

fn body(request: u64) -> String {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    let records = (0..RECORDS).map(|record| {
        format!(
            "{{\"id\":\"{request}-{record}\",\"account\":\"a{}\",\"amount\":\"1.25\",\"currency\":\"EUR\",\"booked_at\":\"{now}\"}}",
            record % 3
        )
    });
    records.collect::<Vec<_>>().join("\n")
}

#[test]
fn parts_of_their_own_count_once_what_was_accepted_though_the_queue_manager_is_killed() {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| jiff::Timestamp::now().as_nanosecond() as u64) | 1;
    eprintln!("SEED={seed}");
    let mut dice = Dice(seed);
    let rest = Place::new();
    let (queue, gateway, connect) = (rest.part(1), rest.part(2), rest.part(3));
    let _rest = rest.start(&["up", "--only", "log,aggregate,sink,web"]);
    let mut queue_process = Some(queue.start(&["queue"]));
    let _gateway = gateway.start(&["gateway"]);
    let _connect = connect.start(&["connect"]);
    let began = Instant::now();
    let (requests, mut request) = (60, 0);
    let mut kills = 0;
    while request < requests {
        assert!(
            began.elapsed() < PATIENCE,
            "{request} of {requests} after {kills} kills"
        );
        if dice.below(10) == 0 {
            // The next request finds nobody, or is cut off.
            drop(queue_process.take());
            kills += 1;
        }
        let headers = "Content-Type: application/x-ndjson\r\n";
        match gateway.post("json", headers, body(request).as_bytes()) {
            Some((202, _)) => request += 1,
            // Not put, or not known whether: the same again.
            Some((503, _)) | None => {
                if queue_process.is_none() {
                    queue_process = Some(queue.start(&["queue"]));
                }
            }
            Some((status, answer)) => panic!("{status}: {answer}"),
        }
        if queue_process.is_none() {
            queue_process = Some(queue.start(&["queue"]));
        }
    }
    assert!(kills > 0, "nobody was killed");
    let expected = requests * RECORDS;
    let cents = expected * 125;
    rest.wait_for_query(
        "SELECT sum(transactions), sum(total) FROM daily_totals",
        &format!("{expected},{}.{:02}", cents / 100, cents % 100),
    );
}

/// The queue manager is away, the gateway is killed meanwhile, and everything that was accepted is counted once.
#[test]
fn what_is_accepted_while_no_queue_manager_answers_waits_in_the_spool() {
    let rest = Place::new();
    let (queue, gateway, connect) = (rest.part(1), rest.part(2), rest.part(3));
    let file = gateway.config.as_ref().expect("a part has one");
    let config = std::fs::read_to_string(file).expect("reads");
    let spool = "\n[queue.client]\nspool_bytes_max = 1000000\n\n[log]\n";
    std::fs::write(file, config.replace("\n[log]\n", spool)).expect("writes");
    let _rest = rest.start(&["up", "--only", "log,aggregate,sink,web"]);
    let mut queue_process = Some(queue.start(&["queue"]));
    let mut gateway_process = Some(gateway.start(&["gateway"]));
    let _connect = connect.start(&["connect"]);
    let mut request = 0;
    let mut post = |count: u64, spooled: bool| {
        for _ in 0..count {
            let headers = "Content-Type: application/x-ndjson\r\n";
            let answer = gateway.post("json", headers, body(request).as_bytes());
            let (status, text) = answer.expect("an answer");
            assert_eq!(status, 202, "{text}");
            assert_eq!(text.contains("\"spooled\":true"), spooled, "{text}");
            request += 1;
        }
    };
    post(5, false);
    drop(queue_process.take());
    post(10, true);
    drop(gateway_process.take());
    let _gateway = gateway.start(&["gateway"]);
    post(10, true);
    let _queue = queue.start(&["queue"]);
    let (expected, cents) = (25 * RECORDS, 25 * RECORDS * 125);
    rest.wait_for_query(
        "SELECT sum(transactions), sum(total) FROM daily_totals",
        &format!("{expected},{}.{:02}", cents / 100, cents % 100),
    );
    // Until the spool is empty what comes goes behind it; then it goes the short way again.
    let began = Instant::now();
    let short = || {
        let now = jiff::Timestamp::now();
        let one = format!(
            "{{\"id\":\"last-{now}\",\"account\":\"a\",\"amount\":\"1\",\"currency\":\"EUR\",\"booked_at\":\"{now}\"}}"
        );
        let (status, text) = gateway.post("json", "", one.as_bytes()).expect("an answer");
        assert_eq!(status, 202, "{text}");
        !text.contains("spooled")
    };
    while !short() {
        assert!(began.elapsed() < PATIENCE, "still in the spool");
    }
}

const CLIENTS: &str = r#"
[queue.client]
user = "app"
password_file = "mq.password"
ca = "ca.pem"
certificate = "client.pem"
key = "client.key"
"#;

fn openssl(dir: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    let output = command
        .args(arguments.split_whitespace())
        .current_dir(dir)
        .output()
        .expect("openssl is installed");
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// A certificate authority, and certificates of a queue manager and a client that it signed.
fn certificates(dir: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    openssl(
        dir,
        &format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=authority"),
    );
    for (name, usage) in [
        ("mq", "subjectAltName=IP:127.0.0.1"),
        ("client", "extendedKeyUsage=clientAuth"),
    ] {
        let leaf = "-CA ca.pem -CAkey ca.key -addext basicConstraints=critical,CA:FALSE";
        openssl(
            dir,
            &format!(
                "req -x509 {key} {leaf} -addext {usage} -keyout {name}.key -out {name}.pem -subj /CN={name}"
            ),
        );
    }
}

fn password_hash(place: &Place, password: &str) -> String {
    let mut command = place.command();
    let command = command.args(["queue", "password"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut input = child.stdin.take().expect("piped");
    writeln!(input, "{password}").expect("writes");
    drop(input);
    let output = child.wait_with_output().expect("ends");
    text(&output.stdout).trim().to_owned()
}

/// What the files of a part need beside them, and the lines its `[queue]` gets.
fn secure(part: &Place, certificates: &Path, password: &str, lines: &str) {
    let file = part.config.as_ref().expect("a part has one");
    let dir = file.parent().expect("a directory");
    for name in ["ca.pem", "mq.pem", "mq.key", "client.pem", "client.key"] {
        std::fs::copy(certificates.join(name), dir.join(name)).expect("copies");
    }
    std::fs::write(dir.join("mq.password"), format!("{password}\n")).expect("writes");
    let config = std::fs::read_to_string(file).expect("reads");
    let config = config.replace("\n[log]\n", &format!("\n{lines}\n[log]\n"));
    std::fs::write(file, config).expect("writes");
}

/// Users with passwords, certificates on both sides, and rights that suffice and no more.
#[test]
fn gateway_and_connector_show_who_they_are_to_a_queue_that_asks() {
    let rest = Place::new();
    let (queue, gateway, connect, stranger) =
        (rest.part(1), rest.part(2), rest.part(3), rest.part(4));
    let dir = tempfile::tempdir().expect("a directory");
    certificates(dir.path());
    let hash = password_hash(&rest, "s3cret");
    let server = format!(
        r#"
[queue.tls]
certificate = "mq.pem"
key = "mq.key"
client_ca = "ca.pem"

[[queue.user]]
name = "app"
password_hash = "{hash}"

[[queue.permission]]
user = "app"
queue = "DAYBOOK.*"
allow = ["put", "get", "inquire"]
"#
    );
    secure(&queue, dir.path(), "", &server);
    let file = queue.config.as_ref().expect("a part has one");
    let config = std::fs::read_to_string(file).expect("reads");
    let config = config.replace(
        "\nauthentication = \"none\"",
        "\nauthentication = \"password\"",
    );
    std::fs::write(file, config).expect("writes");
    secure(&gateway, dir.path(), "s3cret", CLIENTS);
    secure(&connect, dir.path(), "s3cret", CLIENTS);
    secure(&stranger, dir.path(), "guessed", CLIENTS);
    let headers = "Content-Type: application/x-ndjson\r\n";

    let _queue = queue.start(&["queue"]);
    {
        // With a wrong password nothing is accepted, and the sender is told to come again.
        let _stranger = stranger.start(&["gateway"]);
        let (status, answer) = stranger
            .post("json", headers, body(0).as_bytes())
            .expect("an answer");
        assert_eq!(status, 503, "{answer}");
    }
    let _rest = rest.start(&["up", "--only", "log,aggregate,sink,web"]);
    let _gateway = gateway.start(&["gateway"]);
    let _connect = connect.start(&["connect"]);
    let (status, answer) = gateway
        .post("json", headers, body(1).as_bytes())
        .expect("an answer");
    assert_eq!(status, 202, "{answer}");
    rest.wait_for_query(
        "SELECT sum(transactions), sum(total) FROM daily_totals",
        "20,25.00",
    );
}

/// TLS, users and permissions of the embedded log: Daybook's own parts and commands need nothing for it, others what they
/// were given.
#[test]
fn the_log_asks_others_who_they_are_and_its_own_parts_come_in() {
    let place = Place::new().part(0);
    let dir = tempfile::tempdir().expect("a directory");
    certificates(dir.path());
    let log = r#"
[log.tls]
certificate = "mq.pem"
key = "mq.key"

[[log.user]]
name = "reports"
password_file = "mq.password"

[[log.permission]]
user = "reports"
topics = "daily_"
allow = "read"

[[log.permission]]
user = "reports"
groups = "test"
allow = "read"

[store]
"#;
    secure(&place, dir.path(), "l0ng s3cret", "");
    let file = place.config.as_ref().expect("a part has one");
    let config = std::fs::read_to_string(file).expect("reads");
    std::fs::write(file, config.replace("\n[store]\n", log)).expect("writes");
    let running = place.up();
    let headers = "Content-Type: application/x-ndjson\r\n";
    let (status, answer) = place
        .post("json", headers, body(0).as_bytes())
        .expect("an answer");
    assert_eq!(status, 202, "{answer}");
    place.wait_for_query(
        "SELECT sum(transactions), sum(total) FROM daily_totals",
        "20,25.00",
    );
    place.stdout(&["prove", "--wait", "60"]);

    let mut cluster = Cluster::new(&format!("127.0.0.1:{}", place.port(port::KAFKA)));
    let reader = |cluster: &Cluster, topic: &str| {
        let mut records = 0;
        let consumer = cluster.reader("test").expect("a consumer");
        let read = cluster.read_all(&consumer, topic, |_| records += 1);
        read.map(|_| records).map_err(|error| types::report(&error))
    };
    let ca = dir.path().join("ca.pem");
    let settings = [
        ("security.protocol", "sasl_ssl"),
        ("ssl.ca.location", ca.to_str().expect("text")),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.username", "reports"),
        ("sasl.password", "l0ng s3cret"),
    ];
    let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned()));
    cluster.properties.extend(settings);
    assert_eq!(reader(&cluster, "daily_totals"), Ok(3));
    let refused = reader(&cluster, "transactions").expect_err("nothing permits it");
    // Not even that it is there.
    assert!(refused.contains("does not exist"), "{refused}");

    // A second life keeps the secret: parts in other processes go on.
    assert_eq!(running.stop(), Some(0));
    let _running = place.up();
    place.stdout(&["prove", "--wait", "60"]);
}

/// Processes are started in any order: one that finds no log waits for it.
#[test]
fn a_part_that_is_started_before_the_log_waits_for_it() {
    let rest = Place::new();
    let part = rest.part(1);
    let wait = || {
        let mut command = part.command();
        let mut early = command
            .arg("aggregate")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut told = BufReader::new(early.stderr.take().expect("piped")).lines();
        let waits = told.find(|line| {
            line.as_ref()
                .is_ok_and(|line| line.contains("does not answer"))
        });
        assert!(waits.is_some(), "it says what it waits for");
        // Nobody reads its log any more, which must not matter.
        early
    };
    // It ends when it is asked to, also while it waits.
    let mut stopped = wait();
    let killed = Command::new("kill").arg(stopped.id().to_string()).status();
    assert!(killed.expect("runs").success());
    assert_eq!(stopped.wait().expect("ends").code(), Some(143));
    let mut early = wait();
    let _log = rest.start(&["up", "--only", "log"]);
    let mut said = BufReader::new(early.stdout.take().expect("piped")).lines();
    let ready = said.find(|line| line.as_ref().is_ok_and(|line| line.contains("is ready")));
    assert!(ready.is_some(), "it became ready");
    early.kill().expect("kills");
    early.wait().expect("ends");
}

#[test]
fn a_wrong_file_of_ibms_connector_names_every_key_and_exits_as_a_wrong_configuration() {
    let place = Place::new();
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("mq-source.properties");
    std::fs::write(
        &file,
        "name=a\nconnector.class=com.ibm.eventstreams.connect.mqsource.MQSourceConnector\nmq.queue=Q\n",
    )
    .expect("writes");
    let output = place.run(&["connect", file.to_str().expect("text")]);
    let found = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{found}");
    for key in ["mq.queue.manager", "mq.record.builder", "topic"] {
        assert!(found.contains(key), "{key}: {found}");
    }
}
