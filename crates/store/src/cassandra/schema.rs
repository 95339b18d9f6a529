//! Keyspace and tables, made and changed as aggregations change.
//!
//! ```text
//! <aggregation>        ((row_day, row_bucket), row_key) → row_generation, row_sequence, …, columns of the SELECT list
//! progress             (aggregation, generation, partition) → next_offset
//! counts_by_partition  (aggregation, day, partition) → five counts, log_offset
//! days                 (aggregation, day)                  days that have rows
//! layout               (aggregation) → buckets             written once
//! ```
//!
//! A day is divided into buckets, so that no partition grows without bound and a day is read in parallel. The number stands in
//! `layout` and holds for the life of the table, whatever the configuration says later: with another one rows would not be found.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use scylla::client::session::Session;
use scylla::statement::Statement;
use scylla::statement::prepared::PreparedStatement;

use super::Replication;
use super::cluster::{CassandraStore, Cluster};
use crate::error::StoreError;
use crate::rows::{CellKind, TableSpec};

/// How long a change of the schema may take.
const CHANGE_TIME_MAX: Duration = Duration::from_secs(30);
/// Rows that are read at once. Cells that are null are tombstones, of which Cassandra bears 100,000 in one answer.
const PAGE_ROWS: i32 = 4_000;

/// Tables of our own.
const OWN: [(&str, &str); 4] = [
    (
        "layout",
        "(aggregation text PRIMARY KEY, buckets int) \
         WITH comment = 'parts of each day of an aggregation; written once'",
    ),
    (
        "progress",
        "(aggregation text, generation int, partition int, next_offset bigint, \
         PRIMARY KEY (aggregation, generation, partition)) \
         WITH comment = 'every results record below next_offset is in the rows'",
    ),
    (
        "days",
        "(aggregation text, day date, PRIMARY KEY (aggregation, day)) \
         WITH comment = 'days that have rows'",
    ),
    (
        "counts_by_partition",
        "(aggregation text, day date, partition int, counted bigint, reversing bigint, \
         duplicate bigint, late_corrected bigint, quarantined bigint, log_offset bigint, \
         PRIMARY KEY (aggregation, day, partition)) \
         WITH comment = 'what became of the records of each day and partition of the input'",
    ),
];

/// Statements about the tables of our own.
#[derive(Debug)]
pub(super) struct OwnStatements {
    pub(super) read_layout: PreparedStatement,
    pub(super) read_progress: PreparedStatement,
    pub(super) write_progress: PreparedStatement,
    pub(super) read_days: PreparedStatement,
    pub(super) write_day: PreparedStatement,
    pub(super) read_counts: PreparedStatement,
    pub(super) write_counts: PreparedStatement,
}

/// How an aggregation's rows are written and read.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) buckets: u16,
    /// Of each column of the SELECT list; `None` where the table lacks it.
    pub(super) kinds: Vec<Option<CellKind>>,
    /// `None` unless the table has all columns.
    pub(super) insert: Option<Insert>,
    pub(super) select: PreparedStatement,
    pub(super) find: PreparedStatement,
}

/// How rows are written.
#[derive(Debug)]
pub(super) struct Insert {
    pub(super) statement: PreparedStatement,
    pub(super) kinds: Vec<CellKind>,
}

/// A column of the SELECT list as the table has it, or shall have it.
#[derive(Debug, PartialEq, Eq)]
struct Column {
    name: String,
    kind: CellKind,
    is_there: bool,
    /// Of an instant: whether the column of its microseconds is there.
    has_micros: bool,
}

impl Column {
    /// What the table has of it: names, types, and whether they are there.
    fn fields(&self) -> impl Iterator<Item = (String, &'static str, bool)> {
        let own = (self.name.clone(), declared(self.kind), self.is_there);
        let micros = (self.kind == CellKind::Timestamp)
            .then(|| (micros_name(&self.name), MICROS_TYPE, self.has_micros));
        [Some(own), micros].into_iter().flatten()
    }

    fn is_complete(&self) -> bool {
        self.fields().all(|(_, _, is_there)| is_there)
    }
}

/// Cassandra's `timestamp` has milliseconds and instants have microseconds: the three digits behind are in a column beside it.
fn micros_name(column: &str) -> String {
    format!("{column}_micros")
}

const MICROS_TYPE: &str = "int";

/// Names and types.
type Columns = HashMap<String, String>;

impl Cluster {
    pub(super) async fn ensure_keyspace(&self, session: &Session) -> Result<(), StoreError> {
        let keyspace = &self.options.keyspace;
        let known = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
        let known = session.query_unpaged(known, (keyspace,)).await;
        if !has_rows(known.map_err(self.failed("read its keyspaces"))?) {
            let replication = match &self.options.replication {
                Replication::Factor(factor) => format!(
                    "{{'class': 'NetworkTopologyStrategy', 'replication_factor': {factor}}}"
                ),
                Replication::Map(map) => map.clone(),
            };
            let cql = format!(
                "CREATE KEYSPACE IF NOT EXISTS {} WITH replication = {replication}",
                quoted(keyspace)
            );
            self.change(session, cql, "make the keyspace").await?;
        }
        let there = self.tables(session).await?;
        for (name, definition) in OWN {
            if !there.iter().any(|there| there == name) {
                let table = self.table(name);
                let cql = format!("CREATE TABLE IF NOT EXISTS {table} {definition}");
                self.change(session, cql, "make its tables").await?;
            }
        }
        Ok(())
    }

    /// Whether a sink has made the keyspace and the tables of our own.
    pub(super) async fn is_there(&self, session: &Session) -> Result<bool, StoreError> {
        let there = self.tables(session).await?;
        Ok(OWN
            .iter()
            .all(|(name, _)| there.iter().any(|there| there == name)))
    }

    async fn tables(&self, session: &Session) -> Result<Vec<String>, StoreError> {
        let cql = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
        let found = session.query_unpaged(cql, (&self.options.keyspace,)).await;
        let found = found.map_err(self.failed("read its tables"))?;
        let found = found.into_rows_result().ok();
        let names = found
            .as_ref()
            .and_then(|found| found.rows::<(String,)>().ok());
        Ok(names
            .into_iter()
            .flatten()
            .flatten()
            .map(|(name,)| name)
            .collect())
    }

    /// Changes the schema, and waits until all nodes have it.
    async fn change(
        &self,
        session: &Session,
        cql: String,
        what: &'static str,
    ) -> Result<(), StoreError> {
        let mut statement = Statement::new(cql);
        statement.set_request_timeout(Some(CHANGE_TIME_MAX));
        let changed = session.query_unpaged(statement, ()).await;
        changed.map(drop).map_err(self.failed(what))
    }

    fn table(&self, name: &str) -> String {
        format!("{}.{}", quoted(&self.options.keyspace), quoted(name))
    }

    pub(super) async fn own_statements(
        &self,
        session: &Session,
    ) -> Result<Arc<OwnStatements>, StoreError> {
        let prepare = async |cql: String| self.prepared(session, cql).await;
        let mut read_layout = prepare(format!(
            "SELECT buckets FROM {} WHERE aggregation = ?",
            self.table("layout")
        ))
        .await?;
        read_layout.set_consistency(self.options.consistency.serial_level());
        let statements = OwnStatements {
            read_layout,
            read_progress: prepare(format!(
                "SELECT generation, partition, next_offset FROM {} WHERE aggregation = ?",
                self.table("progress")
            ))
            .await?,
            write_progress: prepare(format!(
                "INSERT INTO {} (aggregation, generation, partition, next_offset) \
                 VALUES (?, ?, ?, ?) USING TIMESTAMP ?",
                self.table("progress")
            ))
            .await?,
            read_days: prepare(format!(
                "SELECT day FROM {} WHERE aggregation = ?",
                self.table("days")
            ))
            .await?,
            write_day: prepare(format!(
                "INSERT INTO {} (aggregation, day) VALUES (?, ?) USING TIMESTAMP 1 AND TTL ?",
                self.table("days")
            ))
            .await?,
            read_counts: prepare(format!(
                "SELECT day, counted, reversing, duplicate, late_corrected, quarantined FROM {} \
                 WHERE aggregation = ?",
                self.table("counts_by_partition")
            ))
            .await?,
            write_counts: prepare(format!(
                "INSERT INTO {} (aggregation, day, partition, counted, reversing, duplicate, \
                 late_corrected, quarantined, log_offset) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) \
                 USING TIMESTAMP ? AND TTL ?",
                self.table("counts_by_partition")
            ))
            .await?,
        };
        Ok(Arc::new(statements))
    }

    /// All that we do may be done twice.
    async fn prepared(
        &self,
        session: &Session,
        cql: String,
    ) -> Result<PreparedStatement, StoreError> {
        let statement = Statement::new(cql).with_page_size(PAGE_ROWS);
        let prepared = session.prepare(statement).await;
        let mut prepared = prepared.map_err(self.failed("prepare a statement"))?;
        prepared.set_is_idempotent(true);
        Ok(prepared)
    }
}

impl CassandraStore {
    pub(crate) fn ensure_table(&self, table: &TableSpec) -> Result<(), StoreError> {
        self.cluster.block_on(async {
            let there = self.columns(table).await?;
            let columns = resolve(table, &there)?;
            let name = self.cluster.table(&table.name);
            if there.is_empty() {
                let cql = create_cql(&name, &columns);
                self.cluster
                    .change(&self.session, cql, "make a table")
                    .await?;
            } else {
                let fields = columns.iter().flat_map(Column::fields);
                for (field, declared, _) in fields.filter(|(_, _, is_there)| !is_there) {
                    let cql = format!("ALTER TABLE {name} ADD {} {declared}", quoted(&field));
                    self.cluster
                        .change(&self.session, cql, "add a column")
                        .await?;
                }
            }
            // The only conditional write, once in a table's life: all sinks agree on the number.
            let layout = format!(
                "INSERT INTO {} (aggregation, buckets) VALUES (?, ?) IF NOT EXISTS",
                self.cluster.table("layout")
            );
            let buckets = i32::from(self.cluster.options.buckets);
            let agreed = self.session.query_unpaged(layout, (&table.name, buckets));
            agreed
                .await
                .map_err(self.cluster.failed("write the layout"))?;
            self.make_plan(table).await.map(drop)
        })
    }

    /// How the table is written and read; `None` while it is not there.
    pub(super) async fn plan(&self, table: &TableSpec) -> Result<Option<Arc<Plan>>, StoreError> {
        match self.cluster.known_plan(&plan_name(table)) {
            Some(plan) => Ok(Some(plan)),
            None => self.make_plan(table).await,
        }
    }

    async fn make_plan(&self, table: &TableSpec) -> Result<Option<Arc<Plan>>, StoreError> {
        let there = self.columns(table).await?;
        let layout = self
            .session
            .execute_unpaged(&self.own.read_layout, (&table.name,));
        let layout = layout
            .await
            .map_err(self.cluster.failed("read the layout"))?;
        let layout = layout.into_rows_result().ok();
        let layout = layout.and_then(|layout| layout.maybe_first_row::<(i32,)>().ok().flatten());
        let buckets = layout.and_then(|(buckets,)| u16::try_from(buckets).ok());
        let (false, Some(buckets)) = (there.is_empty(), buckets) else {
            return Ok(None);
        };
        let columns = resolve(table, &there)?;
        let name = self.cluster.table(&table.name);
        let prepare = async |cql| self.cluster.prepared(&self.session, cql).await;
        let is_complete = columns.iter().all(Column::is_complete);
        let insert = match is_complete {
            false => None,
            true => Some(Insert {
                statement: prepare(insert_cql(&name, &columns)).await?,
                kinds: columns.iter().map(|column| column.kind).collect(),
            }),
        };
        let select = select_cql(&name, &columns);
        let kinds = columns
            .iter()
            .map(|column| column.is_complete().then_some(column.kind));
        let plan = Arc::new(Plan {
            buckets,
            kinds: kinds.collect(),
            insert,
            find: prepare(format!("{select} AND row_key = ?")).await?,
            select: prepare(select).await?,
        });
        // The sink will add what is missing.
        if is_complete {
            self.cluster.remember(plan_name(table), &plan);
        }
        Ok(Some(plan))
    }

    async fn columns(&self, table: &TableSpec) -> Result<Columns, StoreError> {
        let cql = "SELECT column_name, type FROM system_schema.columns \
                   WHERE keyspace_name = ? AND table_name = ?";
        let of = (&self.cluster.options.keyspace, &table.name);
        let found = self.session.query_unpaged(cql, of).await;
        let found = found.map_err(self.cluster.failed("read its columns"))?;
        let found = found.into_rows_result().ok();
        let found = found
            .as_ref()
            .and_then(|found| found.rows::<(String, String)>().ok());
        Ok(found.into_iter().flatten().flatten().collect())
    }
}

fn has_rows(result: scylla::response::query_result::QueryResult) -> bool {
    result
        .into_rows_result()
        .is_ok_and(|rows| rows.rows_num() > 0)
}

/// Tells apart what is wanted of a table.
fn plan_name(table: &TableSpec) -> String {
    format!("{table:?}")
}

/// The columns of the SELECT list among those of the table. Cassandra cannot change a column's type, and one that was dropped would
/// swallow what is written later with our timestamps. So a column whose type has changed goes on under a name of its own, as
/// `total_decimal`.
fn resolve(table: &TableSpec, there: &Columns) -> Result<Vec<Column>, StoreError> {
    let columns = table.columns.iter().map(|(name, kind)| {
        let wanted = declared(*kind);
        let column = |name: &str, is_there| Column {
            name: name.to_owned(),
            kind: *kind,
            is_there,
            has_micros: there.contains_key(&micros_name(name)),
        };
        if *kind == CellKind::Timestamp {
            refuse_micros(table, there, name)?;
        }
        let Some(stored) = there.get(name).filter(|stored| *stored != wanted) else {
            return Ok(column(name, there.contains_key(name)));
        };
        let other = format!("{name}_{wanted}");
        let is_free = table.columns.iter().all(|(name, _)| *name != other);
        if *kind == CellKind::Timestamp {
            refuse_micros(table, there, &other)?;
        }
        match there.get(&other) {
            None if is_free => Ok(column(&other, false)),
            Some(stored) if is_free && stored == wanted => Ok(column(&other, true)),
            _ => Err(StoreError::ColumnType {
                table: table.name.clone(),
                column: name.clone(),
                stored: stored.clone(),
                wanted,
            }),
        }
    });
    columns.collect()
}

/// The column beside an instant must be ours.
fn refuse_micros(table: &TableSpec, there: &Columns, column: &str) -> Result<(), StoreError> {
    let micros = micros_name(column);
    let is_anothers = table.columns.iter().any(|(name, _)| *name == micros);
    let stored = there.get(&micros).filter(|stored| *stored != MICROS_TYPE);
    if !is_anothers && stored.is_none() {
        return Ok(());
    }
    Err(StoreError::ColumnType {
        table: table.name.clone(),
        column: micros,
        stored: stored.map_or("another value", String::as_str).to_owned(),
        wanted: MICROS_TYPE,
    })
}

fn declared(kind: CellKind) -> &'static str {
    match kind {
        CellKind::Text => "text",
        CellKind::Decimal => "decimal",
        CellKind::Int => "bigint",
        CellKind::Date => "date",
        CellKind::Timestamp => "timestamp",
    }
}

/// A name as CQL has it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn create_cql(table: &str, columns: &[Column]) -> String {
    let mut cql = format!(
        "CREATE TABLE IF NOT EXISTS {table} (row_day date, row_bucket int, row_key text, \
         row_generation int, row_sequence bigint, row_deleted boolean, row_partition int, \
         row_offset bigint"
    );
    for (field, declared, _) in columns.iter().flat_map(Column::fields) {
        // Writing to a String cannot fail.
        let _ = write!(cql, ", {} {declared}", quoted(&field));
    }
    cql.push_str(", PRIMARY KEY ((row_day, row_bucket), row_key))");
    cql
}

/// Its values are those of [`super::cells::Bound`], in that order.
fn insert_cql(table: &str, columns: &[Column]) -> String {
    let mut cql = format!(
        "INSERT INTO {table} (row_day, row_bucket, row_key, row_generation, row_sequence, \
         row_deleted, row_partition, row_offset"
    );
    let fields = || columns.iter().flat_map(Column::fields);
    for (field, _, _) in fields() {
        let _ = write!(cql, ", {}", quoted(&field));
    }
    cql.push_str(") VALUES (?, ?, ?, ?, ?, ?, ?, ?");
    fields().for_each(|_| cql.push_str(", ?"));
    cql.push_str(") USING TIMESTAMP ? AND TTL ?");
    cql
}

/// As [`super::cells::read_row`] reads.
fn select_cql(table: &str, columns: &[Column]) -> String {
    let mut cql = "SELECT row_key, row_generation, row_sequence, row_deleted, row_partition, \
                   row_offset"
        .to_owned();
    let columns = columns.iter().filter(|column| column.is_complete());
    for (field, _, _) in columns.flat_map(Column::fields) {
        let _ = write!(cql, ", {}", quoted(&field));
    }
    let _ = write!(cql, " FROM {table} WHERE row_day = ? AND row_bucket = ?");
    cql
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(columns: &[(&str, CellKind)]) -> TableSpec {
        let columns = columns
            .iter()
            .map(|(name, kind)| ((*name).to_owned(), *kind));
        TableSpec {
            name: "t".to_owned(),
            columns: columns.collect(),
        }
    }

    #[track_caller]
    fn check(wanted: &[(&str, CellKind)], there: &[(&str, &str)], expected: &str) {
        let there = there
            .iter()
            .map(|(name, stored)| ((*name).to_owned(), (*stored).to_owned()));
        let found = match resolve(&spec(wanted), &there.collect()) {
            Err(error) => error.to_string(),
            Ok(columns) => {
                let fields = columns.iter().flat_map(Column::fields);
                let shown = fields.map(|(name, declared, is_there)| {
                    let sign = if is_there { "" } else { "+" };
                    format!("{sign}{name} {declared}")
                });
                shown.collect::<Vec<_>>().join(", ")
            }
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn columns_are_added_and_never_change_their_type() {
        use CellKind::{Decimal, Int, Text};
        check(&[("n", Int)], &[], "+n bigint");
        check(
            &[("n", Int)],
            &[("n", "bigint"), ("old", "text")],
            "n bigint",
        );
        check(&[("n", Decimal)], &[("n", "bigint")], "+n_decimal decimal");
        let both = [("n", "bigint"), ("n_decimal", "decimal")];
        check(&[("n", Decimal)], &both, "n_decimal decimal");
        check(&[("n", Int)], &both, "n bigint");
        check(&[("n", Text)], &both, "+n_text text");
        check(
            &[("n", Text), ("n_text", Text)],
            &[("n", "bigint")],
            "the table t of the store has the column \"n\" as bigint, and as text only under a name that is another \
             column's: call it otherwise in the SQL (`AS`)",
        );
    }

    #[test]
    fn an_instant_has_a_column_for_its_microseconds() {
        use CellKind::{Date, Int, Timestamp};
        check(&[("at", Timestamp)], &[], "+at timestamp, +at_micros int");
        let half = [("at", "timestamp")];
        check(&[("at", Timestamp)], &half, "at timestamp, +at_micros int");
        let older = [("at", "text"), ("on", "text")];
        check(
            &[("at", Timestamp), ("on", Date)],
            &older,
            "+at_timestamp timestamp, +at_timestamp_micros int, +on_date date",
        );
        check(
            &[("at", Timestamp), ("at_micros", Int)],
            &[],
            "the table t of the store has the column \"at_micros\" as another value, and as int only under a name that is \
             another column's: call it otherwise in the SQL (`AS`)",
        );
    }

    #[test]
    fn statements_name_every_column() {
        let columns = [
            Column {
                name: "to\"tal".to_owned(),
                kind: CellKind::Decimal,
                is_there: true,
                has_micros: false,
            },
            Column {
                name: "new".to_owned(),
                kind: CellKind::Int,
                is_there: false,
                has_micros: false,
            },
            Column {
                name: "at".to_owned(),
                kind: CellKind::Timestamp,
                is_there: true,
                has_micros: true,
            },
        ];
        let insert = insert_cql("k.t", &columns);
        assert!(insert.ends_with(
            "row_offset, \"to\"\"tal\", \"new\", \"at\", \"at_micros\") \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?"
        ));
        let select = select_cql("k.t", &columns);
        assert!(
            select.ends_with(
                "row_offset, \"to\"\"tal\", \"at\", \"at_micros\" FROM k.t WHERE row_day = ? AND row_bucket = ?"
            )
        );
        let create = create_cql("k.t", &columns);
        assert!(create.contains(
            "\"to\"\"tal\" decimal, \"new\" bigint, \"at\" timestamp, \"at_micros\" int, PRIMARY KEY"
        ));
    }
}
