//! Upserts into Cassandra through the store, beside the best that bare loops with the same driver reach on the same table: single
//! statements, and unlogged batches by partition. In turn, in one run.
//!
//! `cassandra_bench HOST:PORT ROWS ROUNDS`
#![allow(missing_docs, clippy::print_stdout)]

use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt as _};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::Consistency as Level;
use scylla::statement::batch::{Batch, BatchStatement, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlDate, CqlDecimal};
use store::{
    CassandraOptions, Cell, CellKind, Consistency, Replication, Row, Store, StoreTarget, TableSpec,
    Write,
};
use types::{BusinessDay, Version};

type Failure = Box<dyn std::error::Error>;
/// Values of a row as bare loops bind them.
type Values = (
    CqlDate,
    i32,
    String,
    i32,
    i64,
    bool,
    i32,
    i64,
    String,
    String,
    CqlDecimal,
    i64,
    i64,
);

const BUCKETS: u16 = 64;
/// Rows of one write of a sink that is behind.
const WRITE_ROWS: usize = 10_000;
/// Different keys.
const KEYS: usize = 50_000;
const SINGLES: u64 = 2_000;

fn table() -> TableSpec {
    let column = |name: &str, kind| (name.to_owned(), kind);
    TableSpec {
        name: "bench".to_owned(),
        columns: vec![
            column("account", CellKind::Text),
            column("currency", CellKind::Text),
            column("total", CellKind::Decimal),
            column("transactions", CellKind::Int),
        ],
    }
}

fn row(number: usize, sequence: u64) -> Row {
    let account = format!("account-{:06}", number % KEYS);
    Row {
        key: format!("[\"2026-11-23\",\"{account}\",\"EUR\"]"),
        day: BusinessDay::EPOCH.plus_days(20_780),
        version: Version {
            generation: 1,
            sequence,
        },
        deleted: false,
        partition: 0,
        offset: 0,
        cells: vec![
            Cell::Text(account),
            Cell::Text("EUR".to_owned()),
            Cell::Text(format!("{}.{:02}", sequence * 17, sequence % 100)),
            Cell::Int(sequence.cast_signed()),
        ],
    }
}

fn values(row: &Row) -> Values {
    let hash = row.key.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let text = |index: usize| match &row.cells[index] {
        Cell::Text(text) => text.clone(),
        _ => String::new(),
    };
    let unscaled: i64 = text(2).replace('.', "").parse().unwrap_or_default();
    let bytes = unscaled.to_be_bytes();
    (
        CqlDate(row.day.epoch_days().cast_unsigned() ^ (1 << 31)),
        (hash % u32::from(BUCKETS)).cast_signed(),
        row.key.clone(),
        1,
        row.version.sequence.cast_signed(),
        false,
        0,
        0,
        text(0),
        text(1),
        CqlDecimal::from_signed_be_bytes_slice_and_exponent(&bytes, 2),
        row.version.sequence.cast_signed(),
        row.version.timestamp().unwrap_or_default(),
    )
}

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |part: f64| {
        let index = ((times.len() - 1) as f64 * part) as usize;
        times[index].as_secs_f64() * 1e3
    };
    format!("p50 {:.2} p99 {:.2} ms", at(0.5), at(0.99))
}

/// The bare loop's side.
struct Bare {
    runtime: tokio::runtime::Runtime,
    session: Session,
    insert: PreparedStatement,
    progress: PreparedStatement,
}

impl Bare {
    fn new(at: &str) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let (session, insert, progress) = runtime.block_on(async {
            let session = SessionBuilder::new().known_node(at).build().await?;
            let prepare = async |cql: &str| {
                let mut prepared = session.prepare(cql).await?;
                prepared.set_consistency(Level::Quorum);
                Ok::<_, Failure>(prepared)
            };
            let insert = prepare(
                "INSERT INTO daybook_bench.bench (row_day, row_bucket, row_key, row_generation, \
                 row_sequence, row_deleted, row_partition, row_offset, account, currency, total, \
                 transactions) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?",
            )
            .await?;
            let progress = prepare(
                "INSERT INTO daybook_bench.progress (aggregation, generation, partition, \
                 next_offset) VALUES ('bench', 1, 1, ?) USING TIMESTAMP ?",
            )
            .await?;
            Ok::<_, Failure>((session, insert, progress))
        })?;
        Ok(Self {
            runtime,
            session,
            insert,
            progress,
        })
    }

    fn singles_at_once(&self, rows: &[Values], at_once: usize) -> Result<(), Failure> {
        self.runtime.block_on(async {
            let sent = stream::iter(rows)
                .map(|values| self.session.execute_unpaged(&self.insert, values))
                .buffer_unordered(at_once);
            sent.for_each(|sent| async { drop(sent.expect("is written")) })
                .await;
        });
        Ok(())
    }

    fn batches(&self, rows: &[Values], size: usize, at_once: usize) -> Result<(), Failure> {
        let mut rows = rows.to_vec();
        rows.sort_by_key(|values| values.1);
        let batches = rows
            .chunk_by(|a, b| a.1 == b.1)
            .flat_map(|of_partition| of_partition.chunks(size));
        self.runtime.block_on(async {
            let sent = stream::iter(batches)
                .map(|values| async move {
                    let statements = vec![BatchStatement::from(self.insert.clone()); values.len()];
                    let mut batch = Batch::new_with_statements(BatchType::Unlogged, statements);
                    batch.set_consistency(Level::Quorum);
                    self.session.batch(&batch, values).await
                })
                .buffer_unordered(at_once);
            sent.for_each(|sent| async { drop(sent.expect("is written")) })
                .await;
        });
        Ok(())
    }

    /// One row and its progress after the other.
    fn one_by_one(&self, sequence: u64) -> Result<String, Failure> {
        let mut times = Vec::new();
        self.runtime.block_on(async {
            for number in 0..SINGLES {
                let values = values(&row(7, sequence + number));
                let next = (sequence + number).cast_signed();
                let begun = Instant::now();
                self.session.execute_unpaged(&self.insert, values).await?;
                self.session
                    .execute_unpaged(&self.progress, (next, next + 1))
                    .await?;
                times.push(begun.elapsed());
            }
            Ok::<_, Failure>(())
        })?;
        Ok(percentiles(times))
    }
}

fn through_the_store(store: &mut Store, rows: &[Row]) -> Result<(), Failure> {
    Ok(store.write(&Write {
        table: &table(),
        rows,
        progress: &[(0, 1)],
    })?)
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let at = arguments.next().ok_or("HOST:PORT of a Cassandra")?;
    let count: usize = arguments.next().map_or(Ok(200_000), |text| text.parse())?;
    let rounds: usize = arguments.next().map_or(Ok(3), |text| text.parse())?;
    let target = StoreTarget::cassandra(CassandraOptions {
        contact_points: vec![at.clone()],
        keyspace: "daybook_bench".to_owned(),
        replication: Replication::Factor(1),
        data_center: None,
        consistency: Consistency::Quorum,
        user: None,
        tls: None,
        buckets: BUCKETS,
        days_kept: None,
    })?;
    let mut store = target.open()?;
    store.ensure_table(&table())?;
    let bare = Bare::new(&at)?;
    let mut sequence = 1;
    // The first round warms the server up and does not count.
    for round in 0..=rounds {
        println!("round {round}");
        let mut best: f64 = 0.0;
        let mut ours = 0.0;
        let ways = [
            "the store",
            "bare, 1 x 64",
            "bare, 1 x 512",
            "bare, 100 x 32",
            "bare, 20 x 64",
        ];
        for (index, way) in ways.into_iter().enumerate() {
            let rows: Vec<Row> = (0..count)
                .map(|number| row(number, sequence + (number / KEYS) as u64))
                .collect();
            sequence += (count / KEYS) as u64 + 1;
            let bound: Vec<Values> = rows.iter().map(values).collect();
            let begun = Instant::now();
            for (rows, bound) in rows.chunks(WRITE_ROWS).zip(bound.chunks(WRITE_ROWS)) {
                match index {
                    0 => through_the_store(&mut store, rows)?,
                    1 => bare.singles_at_once(bound, 64)?,
                    2 => bare.singles_at_once(bound, 512)?,
                    3 => bare.batches(bound, 100, 32)?,
                    _ => bare.batches(bound, 20, 64)?,
                }
            }
            let rate = count as f64 / begun.elapsed().as_secs_f64();
            println!("  {way:<16} {rate:>9.0} upserts/s");
            match index {
                0 => ours = rate,
                _ => best = best.max(rate),
            }
        }
        let mut times = Vec::new();
        for _ in 0..SINGLES {
            sequence += 1;
            let one = [row(7, sequence)];
            let begun = Instant::now();
            through_the_store(&mut store, &one)?;
            times.push(begun.elapsed());
        }
        println!("  one row and progress: the store {}", percentiles(times));
        println!(
            "  one row and progress: bare      {}",
            bare.one_by_one(sequence)?
        );
        sequence += SINGLES;
        println!("  ratio to the best bare loop: {:.2}", ours / best);
    }
    Ok(())
}
