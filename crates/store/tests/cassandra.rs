//! The store in a real Apache Cassandra. Needs one: `CASSANDRA=127.0.0.1:19042`, or several contact points with commas between them.
//! `scripts/cassandra.sh` starts it.
#![allow(missing_docs, clippy::print_stdout)]

mod support;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use scylla::client::session_builder::SessionBuilder;
use store::{
    CassandraOptions, Cell, CellKind, Consistency, Replication, Row, StoreError, StoreTarget,
    TableSpec, Write,
};
use types::{BusinessDay, Version};

/// Contact points, or `None` with a word about it.
fn contact_points() -> Option<Vec<String>> {
    let given = std::env::var("CASSANDRA").ok();
    if given.is_none() {
        println!("skipped: CASSANDRA=host:port names no server");
    }
    Some(given?.split(',').map(str::to_owned).collect())
}

/// Keyspaces of this run. Dropped at its end.
struct Place {
    contact_points: Vec<String>,
    made: Mutex<Vec<String>>,
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

impl Place {
    fn new() -> Option<Self> {
        Some(Self {
            contact_points: contact_points()?,
            made: Mutex::default(),
        })
    }

    /// A keyspace that is not there yet.
    fn options(&self) -> CassandraOptions {
        let number = NUMBER.fetch_add(1, Relaxed);
        let keyspace = format!("daybook_test_{}_{number}", std::process::id());
        self.made.lock().expect("no panic").push(keyspace.clone());
        CassandraOptions {
            contact_points: self.contact_points.clone(),
            keyspace,
            replication: Replication::Factor(
                u16::try_from(self.contact_points.len()).expect("few"),
            ),
            data_center: None,
            consistency: Consistency::Quorum,
            user: None,
            tls: None,
            buckets: 16,
            days_kept: None,
        }
    }

    fn cql(&self, statements: &[String]) -> Vec<Vec<String>> {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let builder = SessionBuilder::new().known_nodes(&self.contact_points);
            let session = builder.build().await.expect("connects");
            let mut answers = Vec::new();
            for statement in statements {
                let answer = session.query_unpaged(statement.as_str(), ()).await;
                let answer = answer.expect("is done").into_rows_result();
                let Ok(answer) = answer else { continue };
                let rows = answer.rows::<scylla::value::Row>().expect("rows");
                let shown = rows.map(|row| format!("{:?}", row.expect("a row").columns));
                answers.push(shown.collect());
            }
            answers
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let made = self.made.lock().expect("no panic");
        let drops = made
            .iter()
            .map(|name| format!("DROP KEYSPACE IF EXISTS {name}"));
        self.cql(&drops.collect::<Vec<_>>());
    }
}

fn target(options: &CassandraOptions) -> StoreTarget {
    StoreTarget::cassandra(options.clone()).expect("usable")
}

fn table() -> TableSpec {
    TableSpec {
        name: "totals".to_owned(),
        columns: vec![("total".to_owned(), CellKind::Decimal)],
    }
}

fn row(key: &str, day: BusinessDay) -> Row {
    Row {
        key: key.to_owned(),
        day,
        version: Version {
            generation: 1,
            sequence: 1,
        },
        deleted: false,
        partition: 0,
        offset: 0,
        cells: vec![Cell::Text("12.50".to_owned())],
    }
}

fn today() -> BusinessDay {
    "2026-11-23".parse().expect("a day")
}

fn write(target: &StoreTarget, rows: &[Row]) -> Result<(), StoreError> {
    let mut store = target.open()?;
    let table = table();
    store.ensure_table(&table)?;
    store.write(&Write {
        table: &table,
        rows,
        progress: &[(0, 1)],
    })
}

fn keys(target: &StoreTarget) -> usize {
    let store = target.open_read_only().expect("opens").expect("is there");
    let mut found = 0;
    store.scan(&table(), None, |_| found += 1).expect("reads");
    found
}

#[test]
fn cassandra_keeps_what_a_store_must() {
    let Some(place) = Place::new() else { return };
    support::run(&|| target(&place.options()));
}

#[test]
fn a_changed_number_of_buckets_loses_no_rows() {
    let Some(place) = Place::new() else { return };
    let mut options = place.options();
    let rows: Vec<Row> = (0..200).map(|key| row(&key.to_string(), today())).collect();
    write(&target(&options), &rows[..100]).expect("writes");
    options.buckets = 3;
    write(&target(&options), &rows[100..]).expect("writes");
    assert_eq!(keys(&target(&options)), 200);
    let cql = format!("SELECT buckets FROM {}.layout", options.keyspace);
    assert_eq!(place.cql(&[cql]), [["[Some(Int(16))]"]]);
}

#[test]
fn rows_of_days_that_are_over_vanish() {
    let Some(place) = Place::new() else { return };
    let mut options = place.options();
    options.days_kept = Some(2);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let days = now.expect("after 1970").as_secs() / 86_400;
    let now = BusinessDay::EPOCH.plus_days(i32::try_from(days).expect("soon"));
    // Should be gone already: it is written, and lives for a second.
    write(
        &target(&options),
        &[row("old", now.plus_days(-9)), row("new", now)],
    )
    .expect("writes");
    while keys(&target(&options)) > 1 {}
    let cql = format!(
        "SELECT ttl(total), writetime(total) FROM {}.totals",
        options.keyspace
    );
    let [answers] = &place.cql(&[cql])[..] else {
        panic!("one answer");
    };
    let ttl: i32 = answers[0]
        .split(['(', ')'])
        .nth(2)
        .expect("a number")
        .parse()
        .expect("a number");
    assert!((3 * 86_400 - 60..=4 * 86_400).contains(&ttl), "{answers:?}");
    assert!(
        answers[0].contains(&format!("BigInt({})", (1_i64 << 40) + 1)),
        "{answers:?}"
    );
}

#[test]
fn native_types_are_readable_with_cql() {
    let Some(place) = Place::new() else { return };
    let options = place.options();
    write(&target(&options), &[row("a", today())]).expect("writes");
    let cql = format!(
        "SELECT cast(row_day AS text), cast(total AS text), row_deleted FROM {}.totals",
        options.keyspace
    );
    let expected = "[Some(Text(\"2026-11-23\")), Some(Text(\"12.50\")), Some(Boolean(false))]";
    assert_eq!(place.cql(&[cql]), [[expected]]);
}

#[test]
fn what_cannot_be_kept_is_told() {
    let Some(place) = Place::new() else { return };
    let options = place.options();
    let longest = "k".repeat(65_535);
    write(&target(&options), &[row(&longest, today())]).expect("as long as may be");
    let error = write(&target(&options), &[row(&format!("{longest}k"), today())]);
    let error = error.expect_err("too long");
    assert!(!error.may_pass());
    assert!(
        error
            .to_string()
            .ends_with("its key has more than 65,535 bytes"),
        "{error}"
    );
    let mut many = row("a", today());
    many.version.sequence = 1 << 40;
    let error = write(&target(&options), &[many]).expect_err("too many");
    assert!(
        error
            .to_string()
            .ends_with("its sequence has more than 40 bits"),
        "{error}"
    );
    assert_eq!(keys(&target(&options)), 1);
    let text = "t".repeat(3 << 20);
    let mut large = row("large", today());
    large.cells = vec![Cell::Text(text)];
    let mut table = table();
    table.columns[0].1 = CellKind::Text;
    let mut store = target(&options).open().expect("opens");
    store.ensure_table(&table).expect("adds");
    let written = store.write(&Write {
        table: &table,
        rows: std::slice::from_ref(&large),
        progress: &[],
    });
    written.expect("writes");
    let found = store.find(&table, today(), "large").expect("reads");
    assert_eq!(found, Some(large));
}

#[test]
fn a_table_that_somebody_has_dropped_is_made_again() {
    let Some(place) = Place::new() else { return };
    let options = place.options();
    let target = target(&options);
    write(&target, &[row("a", today())]).expect("writes");
    place.cql(&[format!("DROP TABLE {}.totals", options.keyspace)]);
    // The sink begins again after a failure.
    let written =
        write(&target, &[row("b", today())]).or_else(|_| write(&target, &[row("b", today())]));
    written.expect("writes");
    assert_eq!(keys(&target), 1);
}

#[test]
fn calls_may_come_from_a_task_of_another_runtime() {
    let Some(place) = Place::new() else { return };
    let target = target(&place.options());
    write(&target, &[row("a", today())]).expect("writes");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        for _ in 0..100 {
            assert_eq!(keys(&target), 1);
        }
        drop(target);
    });
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let options = CassandraOptions {
        contact_points: vec!["127.0.0.1:1".to_owned()],
        keyspace: "daybook".to_owned(),
        replication: Replication::Factor(1),
        data_center: None,
        consistency: Consistency::Quorum,
        user: None,
        tls: None,
        buckets: 16,
        days_kept: None,
    };
    let error = target(&options).open().expect_err("nobody is there");
    assert_eq!(
        error.to_string(),
        "no node of Cassandra answers at 127.0.0.1:1: is it running?"
    );
    assert!(error.may_pass() && error.is_unreachable());
}

#[test]
fn a_wrong_data_center_is_named() {
    let Some(place) = Place::new() else { return };
    let mut options = place.options();
    options.data_center = Some("elsewhere".to_owned());
    let error = target(&options).open().expect_err("there is none");
    assert!(
        error
            .to_string()
            .contains("is in the data centre \"elsewhere\""),
        "{error}"
    );
}
