//! The hand-off over the embedded broker and the real store, through librdkafka.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::support::daily_totals;
use kafka_broker::{Broker, BrokerConfig};
use kafka_client::{Cluster, TopicSpec};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use store::{Cell, DayCounts, Row, StoreTarget, Write};
use telemetry::{Telemetry, now_micros};
use tokio_util::sync::CancellationToken;
use types::{BusinessDay, Counts, Marker, Version, names};
use web::{Batch, Feed, KafkaFeed, Web, WebOptions};

const TOPIC: &str = "daily_totals";

fn today() -> BusinessDay {
    daily_totals()
        .calendar
        .day_of(now_micros())
        .expect("in range")
}

fn key(account: &str) -> String {
    serde_json::json!([today().to_string(), account, "EUR"]).to_string()
}

struct Log {
    broker: Broker,
    cluster: Cluster,
    producer: BaseProducer,
}

impl Log {
    async fn start(dir: &Path) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let broker = Broker::start(BrokerConfig::new(listen, dir.join("log"))).await;
        let broker = broker.expect("starts");
        let cluster = Cluster::new(&broker.local_addr().to_string());
        let topic = TopicSpec {
            name: TOPIC.to_owned(),
            partitions: 2,
            config: Vec::new(),
        };
        cluster
            .ensure_topics(&[topic])
            .await
            .expect("creates the topic");
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &cluster.bootstrap_servers)
            .set("transactional.id", "test")
            .set("partitioner", "murmur2_random");
        let producer: BaseProducer = config.create().expect("a producer");
        let producer = blocking(move || {
            let wait = Duration::from_secs(20);
            producer.init_transactions(wait).expect("initialises");
            producer
        });
        Self {
            broker,
            cluster,
            producer: producer.await,
        }
    }

    /// A writer has published all its rows of a generation.
    async fn mark(self, marker: Marker) -> Self {
        blocking(move || {
            self.producer.begin_transaction().expect("begins");
            let (key, value) = (marker.key(), marker.value());
            for partition in 0..2 {
                let record = BaseRecord::to(TOPIC).partition(partition);
                let record = record.key(&key).payload(&value);
                self.producer
                    .send(record)
                    .map_err(|(error, _)| error)
                    .expect("sends");
            }
            let wait = Duration::from_secs(20);
            self.producer.commit_transaction(wait).expect("commits");
            self
        })
        .await
    }

    /// Publishes states of accounts (`account`, sequence) in a transaction, kept or taken back.
    async fn publish(self, rows: &[(&str, u64)], keep: bool) -> Self {
        self.publish_of(1, rows, keep).await
    }

    async fn publish_of(self, generation: u32, rows: &[(&str, u64)], keep: bool) -> Self {
        let rows: Vec<(String, u64)> = rows.iter().map(|(a, n)| ((*a).to_owned(), *n)).collect();
        blocking(move || {
            let wait = Duration::from_secs(20);
            self.producer.begin_transaction().expect("begins");
            for (account, sequence) in &rows {
                let key = key(account);
                let value = serde_json::json!({"v": [generation, sequence], "day": today().to_string(),
                    "deleted": false, "at": [0, 0], "account": account, "currency": "EUR",
                    "total": format!("{sequence}.00"), "transactions": sequence});
                let value = value.to_string();
                let at = now_micros().to_string();
                let header = Header {
                    key: names::HEADER_RECEIVED_AT,
                    value: Some(&at),
                };
                let record = BaseRecord::to(TOPIC).key(&key).payload(&value);
                let record = record.headers(OwnedHeaders::new().insert(header));
                self.producer
                    .send(record)
                    .map_err(|(error, _)| error)
                    .expect("sends");
            }
            self.producer.flush(wait).expect("sends all");
            match keep {
                true => self.producer.commit_transaction(wait).expect("commits"),
                false => self.producer.abort_transaction(wait).expect("aborts"),
            }
            self
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(action: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(action).await.expect("no panic")
}

/// Every row a feed hands over until the log's end, as `account sequence`.
fn read_to_end(feed: &mut KafkaFeed) -> Vec<String> {
    let mut rows = Vec::new();
    let label = |json: &str| {
        let row: serde_json::Value = serde_json::from_str(json).expect("JSON");
        format!("{} {}", row["c"][0].as_str().expect("a name"), row["c"][3])
    };
    let days = [today()];
    feed.begin(&days, &mut |change| {
        rows.push(format!("stored {}", label(&change.json)))
    })
    .expect("begins");
    let begun = Instant::now();
    loop {
        let mut batch = Batch::default();
        feed.poll(Duration::from_millis(50), &mut batch)
            .expect("polls");
        rows.extend(batch.changes.iter().map(|change| label(&change.json)));
        if batch.at_end {
            rows.sort();
            return rows;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "no end: {rows:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn committed_records_from_the_progress_on_are_handed_over() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = Log::start(dir.path()).await;
    let log = log.publish(&[("ann", 1), ("bob", 1)], true).await;
    let log = log.publish(&[("eve", 9)], false).await;
    let log = log.publish(&[("ann", 2)], true).await;
    let target = StoreTarget::sqlite(dir.path().join("store.db"));
    let table = daily_totals().table;
    let (cluster, made) = (log.cluster.clone(), target.clone());
    blocking(move || {
        let mut feed = KafkaFeed::new(cluster.clone(), daily_totals().table, made.clone());
        assert_eq!(
            read_to_end(&mut feed),
            ["ann 1", "ann 2", "bob 1"],
            "without a store: all"
        );
        let consumer = cluster.consumer("test", "test", true).expect("a consumer");
        let ends = cluster.offsets(&consumer, TOPIC).expect("offsets");
        let mut store = made.open().expect("opens");
        store.ensure_table(&table).expect("creates");
        let row = Row {
            key: key("ann"),
            day: today(),
            version: Version {
                generation: 1,
                sequence: 2,
            },
            deleted: false,
            partition: 0,
            offset: 0,
            cells: vec![
                Cell::Text("ann".to_owned()),
                Cell::Text("EUR".to_owned()),
                Cell::Text("2.00".to_owned()),
                Cell::Int(2),
            ],
        };
        // Only the first partition has been read by the sink.
        let write = Write {
            table: &table,
            rows: &[row],
            progress: &[(0, ends[0].1), (1, 0)],
        };
        store.write(&write).expect("writes");
        let mut feed = KafkaFeed::new(cluster.clone(), table.clone(), made.clone());
        let rows = read_to_end(&mut feed);
        assert!(rows.contains(&"stored ann 2".to_owned()), "{rows:?}");
        assert!(
            rows.len() < 4,
            "the first partition is not read again: {rows:?}"
        );
        let counts = Counts {
            counted: 3,
            duplicate: 1,
            ..Counts::default()
        };
        let counts = DayCounts {
            day: today(),
            partition: 0,
            counts,
            offset: 0,
        };
        store.write_counts(TOPIC, &[counts]).expect("writes counts");
        let write = Write {
            table: &table,
            rows: &[],
            progress: &[(0, ends[0].1 + 5)],
        };
        store.write(&write).expect("writes");
        let error = feed
            .begin(&[today()], &mut |_| {})
            .expect_err("the store is ahead");
        assert!(
            matches!(error, web::FeedError::StoreAhead { .. }),
            "{error}"
        );
    })
    .await;
}

/// Polls until what is said meanwhile ends so, or rows are there: their number.
fn poll_until(feed: &mut KafkaFeed, said: &str) -> usize {
    let begun = Instant::now();
    let mut changes = 0;
    loop {
        let mut batch = Batch::default();
        let polled = feed.poll(Duration::from_millis(50), &mut batch);
        polled.expect("polls");
        changes += batch.changes.len();
        let trouble = batch.trouble.unwrap_or_default();
        if trouble.ends_with(said) && (!said.is_empty() || changes > 0) {
            assert_eq!(said.is_empty(), !batch.reached.is_empty(), "{trouble}");
            return changes;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{trouble}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_generation_is_shown_when_all_of_it_is_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = Log::start(dir.path()).await;
    let log = log.publish(&[("ann", 1), ("bob", 1)], true).await;
    let store = StoreTarget::sqlite(dir.path().join("store.db"));
    let mut feed = KafkaFeed::new(log.cluster.clone(), daily_totals().table, store);
    let mut feed = blocking(move || {
        assert_eq!(read_to_end(&mut feed), ["ann 1", "bob 1"]);
        feed
    })
    .await;
    let rows = [("ann", 3), ("bob", 2), ("eve", 1)];
    let mut log = log.publish_of(2, &rows, true).await;
    for (writer, said) in [(0, "counted anew"), (1, " 50 % are done")] {
        feed = blocking(move || {
            assert_eq!(poll_until(&mut feed, said), 0, "they are held back");
            feed
        })
        .await;
        let marker = Marker {
            generation: 2,
            writer,
            writers: 2,
        };
        log = log.mark(marker).await;
    }
    let changes = blocking(move || poll_until(&mut feed, "")).await;
    assert_eq!(changes, rows.len());
    log.broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_row_is_shown_at_once_and_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    // The first life begins with an empty log.
    let mut log = Log::start(dir.path()).await;
    for life in 0..2 {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let target = StoreTarget::sqlite(dir.path().join("store.db"));
        let mut options = WebOptions::new(listen, target, log.cluster.clone());
        options.aggregations = vec![daily_totals()];
        options.snapshot_age_max = Duration::ZERO;
        let telemetry = Arc::new(Telemetry::default());
        let web = Web::bind(options, Arc::clone(&telemetry)).await;
        let web = web.expect("binds");
        let (address, mut ready) = (web.local_addr(), web.readiness());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(web.run(shutdown.clone()));
        let live = tokio::time::timeout(Duration::from_secs(20), ready.wait_for(|ready| *ready));
        let live = live.await.map(drop);
        assert!(live.is_ok(), "not ready: {}", get(address, "/readyz").await);
        // A reader that does not wait for records is late nearly always, a machine that is busy now and then.
        let mut late = 0;
        for row in 1..5 {
            // Longer than a fetch waits: every record comes to a reader that is waiting.
            tokio::time::sleep(Duration::from_millis(700)).await;
            let sequence = life * 10 + row;
            log = log.publish(&[("ann", sequence)], true).await;
            let begun = Instant::now();
            let expected = format!("\"{sequence}.00\"");
            while !get(address, "/api/v1/daily_totals/snapshot")
                .await
                .contains(&expected)
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
                let waited = begun.elapsed();
                assert!(waited < Duration::from_secs(20), "no row {sequence}");
            }
            late += u32::from(begun.elapsed() >= Duration::from_millis(400));
        }
        assert!(late <= 2, "{late} of 4 rows of life {life} came late");
        let (_, hop) = telemetry.snapshot().pop().expect("the web hop");
        // A later life reads what the one before has read, as no sink has stored it.
        assert_eq!(hop.records_out, 4 + life * 4);
        assert_eq!(hop.latency.count(), 4, "only what came while it was live");
        shutdown.cancel();
        task.await.expect("no panic").expect("stops");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_goes_and_comes_back_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = Log::start(dir.path()).await;
    let mut log = log.publish(&[("ann", 1)], true).await;
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let target = StoreTarget::sqlite(dir.path().join("store.db"));
    let mut options = WebOptions::new(listen, target, log.cluster.clone());
    options.aggregations = vec![daily_totals()];
    let web = Web::bind(options, Arc::default()).await.expect("binds");
    let (address, mut ready) = (web.local_addr(), web.readiness());
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(web.run(shutdown.clone()));
    let patience = Duration::from_secs(30);
    let live = tokio::time::timeout(patience, ready.wait_for(|ready| *ready));
    assert!(live.await.map(drop).is_ok(), "never live");
    let port = log.broker.local_addr();
    log.broker.shutdown().await;
    let stale = tokio::time::timeout(patience, ready.wait_for(|ready| !*ready));
    assert!(stale.await.map(drop).is_ok(), "it did not notice");
    let found = get(address, "/readyz").await;
    assert!(found.contains("the log cannot be"), "{found}");
    let found = get(address, "/api/v1/daily_totals/snapshot").await;
    assert!(found.contains("1.00"), "what is known is shown: {found}");
    let broker = Broker::start(BrokerConfig::new(port, dir.path().join("log"))).await;
    log.broker = broker.expect("starts again");
    let live = tokio::time::timeout(patience, ready.wait_for(|ready| *ready));
    assert!(live.await.map(drop).is_ok(), "it did not come back");
    shutdown.cancel();
    task.await.expect("no panic").expect("stops");
}

static CLOCK: AtomicI64 = AtomicI64::new(0);

#[tokio::test(flavor = "multi_thread")]
async fn the_curve_of_a_day_outlives_its_server_and_is_the_same_on_the_next_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = Log::start(dir.path()).await;
    let topic = TopicSpec {
        name: names::TOPIC_CURVE.to_owned(),
        partitions: 1,
        config: Vec::new(),
    };
    let made = log.cluster.ensure_topics(&[topic]).await;
    made.expect("creates the topic");
    let mut log = log.publish(&[("ann", 1)], true).await;
    let minute = 60_000_000;
    let noon = daily_totals().calendar.start(today()).expect("in range") + 720 * minute;
    let mut curves = Vec::new();
    for life in 0..2 {
        CLOCK.store(noon + life * 10 * minute, Relaxed);
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let target = StoreTarget::sqlite(dir.path().join("store.db"));
        let mut options = WebOptions::new(listen, target, log.cluster.clone());
        options.aggregations = vec![daily_totals()];
        options.clock = || CLOCK.load(Relaxed);
        let web = Web::bind(options, Arc::default()).await.expect("binds");
        let address = web.local_addr();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(web.run(shutdown.clone()));
        let until = async |wanted: &str| {
            let begun = Instant::now();
            loop {
                let found = get(address, "/api/v1/daily_totals/curve").await;
                if found.contains(wanted) {
                    break found;
                }
                assert!(
                    begun.elapsed() < Duration::from_secs(20),
                    "no {wanted}: {found}"
                );
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        until(&format!("[{},\"1.00\",\"1\"]", noon / 1_000)).await;
        if life == 0 {
            CLOCK.store(noon + 5 * minute, Relaxed);
            log = log.publish(&[("ann", 7)], true).await;
        }
        let five = format!("[{},\"7.00\",\"7\"]", (noon + 5 * minute) / 1_000);
        let found = until(&five).await;
        curves.push(found.split_once(&five).expect("it is there").0.to_owned());
        if life == 0 {
            // The fifth minute is over: it is written down, and read again before the next life.
            CLOCK.store(noon + 6 * minute, Relaxed);
            let begun = Instant::now();
            while ends(&log.cluster, names::TOPIC_CURVE).await < 2 {
                assert!(begun.elapsed() < Duration::from_secs(20), "not written");
            }
        }
        shutdown.cancel();
        task.await.expect("no panic").expect("stops");
    }
    let (_, first) = curves[0].rsplit_once("\r\n").expect("a body");
    let (_, second) = curves[1].rsplit_once("\r\n").expect("a body");
    assert_eq!(first, second);
    log.broker.shutdown().await;
}

/// Records of a topic of one partition.
async fn ends(cluster: &Cluster, topic: &'static str) -> i64 {
    let cluster = cluster.clone();
    blocking(move || {
        let consumer = cluster.consumer("test", "test", true).expect("a consumer");
        let bounds = cluster.offsets(&consumer, topic).expect("offsets");
        bounds[0].1
    })
    .await
}

async fn get(address: SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut socket = tokio::net::TcpStream::connect(address)
        .await
        .expect("connects");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.expect("sends");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("reads");
    answer
}
