//! PostgreSQL's catalog, made from the tables that there are: what psql, drivers and Grafana look up.
//!
//! # Invariants
//!
//! - **Nothing is invented.** Tables, columns and types are those that can be asked for; what Daybook does not have (indexes, triggers,
//!   constraints, ...) has no rows.
//! - Numbers of tables are their place in the configuration: they hold for the life of the process.

mod functions;
mod relations;

use std::ops::ControlFlow;
use std::sync::Arc;

use sql::{Batch, ColumnType, ColumnValues, Function, ReadError, TableSource, Wanted};

use crate::tables::no_values;

/// Schema of the catalog.
pub(crate) const SCHEMA: &str = "pg_catalog";
/// The one user that owns everything.
pub(crate) const OWNER: &str = "daybook";
/// Its number.
const OWNER_OID: i64 = 10;
/// Numbers of schemas.
const CATALOG_OID: i64 = 11;
const PUBLIC_OID: i64 = 2_200;
const INFORMATION_OID: i64 = 13_000;
/// Number of the database.
const DATABASE_OID: i64 = 16_383;
/// Number of the first table.
const FIRST_TABLE_OID: i64 = 16_384;

/// A type, as the catalog has it.
#[derive(Debug, Clone, Copy)]
struct PgType {
    oid: i64,
    /// Name in the catalog, and as people write it.
    name: &'static str,
    shown: &'static str,
    size: i64,
    category: &'static str,
    array: i64,
}

const fn pg_type(
    oid: i64,
    name: &'static str,
    shown: &'static str,
    size: i64,
    category: &'static str,
    array: i64,
) -> PgType {
    PgType {
        oid,
        name,
        shown,
        size,
        category,
        array,
    }
}

/// Types that an answer or a parameter may have.
const TYPES: &[PgType] = &[
    pg_type(16, "bool", "boolean", 1, "B", 1_000),
    pg_type(18, "char", "\"char\"", 1, "Z", 1_002),
    pg_type(19, "name", "name", 64, "S", 1_003),
    pg_type(20, "int8", "bigint", 8, "N", 1_016),
    pg_type(21, "int2", "smallint", 2, "N", 1_005),
    pg_type(23, "int4", "integer", 4, "N", 1_007),
    pg_type(25, "text", "text", -1, "S", 1_009),
    pg_type(26, "oid", "oid", 4, "N", 1_028),
    pg_type(700, "float4", "real", 4, "N", 1_021),
    pg_type(701, "float8", "double precision", 8, "N", 1_022),
    pg_type(705, "unknown", "unknown", -2, "X", 0),
    pg_type(1_043, "varchar", "character varying", -1, "S", 1_015),
    pg_type(1_082, "date", "date", 4, "D", 1_182),
    pg_type(
        1_114,
        "timestamp",
        "timestamp without time zone",
        8,
        "D",
        1_115,
    ),
    pg_type(
        1_184,
        "timestamptz",
        "timestamp with time zone",
        8,
        "D",
        1_185,
    ),
    pg_type(1_700, "numeric", "numeric", -1, "N", 1_231),
];
const NUMERIC: &PgType = &TYPES[15];
/// Modifier of numeric(33,5), the type of sums.
const SUM_MODIFIER: i64 = (33 << 16) + 5 + 4;

/// A column's type and its modifier.
fn type_of(kind: ColumnType) -> (&'static PgType, i64) {
    match kind {
        ColumnType::Text => (&TYPES[6], -1),
        ColumnType::Decimal => (NUMERIC, SUM_MODIFIER),
        ColumnType::Int => (&TYPES[3], -1),
        ColumnType::Day => (&TYPES[12], -1),
        ColumnType::Bool => (&TYPES[0], -1),
    }
}

/// A table that can be asked for, as far as the catalog tells of it.
#[derive(Debug, Clone)]
struct Described {
    oid: i64,
    name: String,
    columns: Vec<(String, ColumnType)>,
}

/// The catalog of some tables.
#[derive(Debug)]
pub(crate) struct Catalog {
    tables: Arc<Vec<Described>>,
}

impl Catalog {
    pub(crate) fn new(tables: &[Arc<dyn TableSource>]) -> Self {
        let described = tables
            .iter()
            .zip(FIRST_TABLE_OID..)
            .map(|(table, oid)| Described {
                oid,
                name: table.name().to_owned(),
                columns: table.columns().to_vec(),
            });
        Self {
            tables: Arc::new(described.collect()),
        }
    }

    /// Its own tables.
    pub(crate) fn sources(&self) -> Vec<Arc<dyn TableSource>> {
        let relations = relations::of(&self.tables).into_iter();
        relations.map(|relation| Arc::new(relation) as _).collect()
    }

    /// Its functions.
    pub(crate) fn functions(&self, version: &str) -> Vec<Function> {
        functions::of(&self.tables, version)
    }
}

/// A table of the catalog: few rows, in memory.
#[derive(Debug)]
struct Relation {
    name: &'static str,
    columns: Vec<(String, ColumnType)>,
    values: Vec<ColumnValues>,
    rows: usize,
}

/// A value of a row of the catalog.
enum Value {
    Text(String),
    Null,
    Int(i64),
    Bool(bool),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl Relation {
    /// `columns` as `oid:i relname:t relhasindex:b`: whole numbers, texts and truth values.
    fn new(name: &'static str, columns: &str, rows: Vec<Vec<Value>>) -> Self {
        let columns = columns.split_whitespace().map(|column| {
            let (name, kind) = column.split_once(':').unwrap_or((column, "t"));
            let kind = match kind {
                "i" => ColumnType::Int,
                "b" => ColumnType::Bool,
                _ => ColumnType::Text,
            };
            (name.to_owned(), kind)
        });
        let columns: Vec<(String, ColumnType)> = columns.collect();
        let mut values: Vec<ColumnValues> =
            columns.iter().map(|(_, kind)| no_values(*kind)).collect();
        let count = rows.len();
        for row in rows {
            for (column, value) in values.iter_mut().zip(row) {
                match (column, value) {
                    (ColumnValues::Text(texts), Value::Text(text)) => texts.push(Some(text)),
                    (ColumnValues::Text(texts), _) => texts.push(None),
                    (ColumnValues::Int(numbers), Value::Int(number)) => numbers.push(Some(number)),
                    (ColumnValues::Int(numbers), _) => numbers.push(None),
                    (ColumnValues::Bool(values), value) => {
                        values.push(matches!(value, Value::Bool(true)));
                    }
                    _ => {}
                }
            }
        }
        Self {
            name,
            columns,
            values,
            rows: count,
        }
    }
}

impl TableSource for Relation {
    fn schema(&self) -> &str {
        SCHEMA
    }

    fn name(&self) -> &str {
        self.name
    }

    fn columns(&self) -> &[(String, ColumnType)] {
        &self.columns
    }

    fn is_empty(&self) -> bool {
        self.rows == 0
    }

    fn read(
        &self,
        _: &Wanted,
        columns: &[usize],
        each: &mut dyn FnMut(Batch) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let columns = columns.iter().map(|index| self.values[*index].clone());
        let _ = each(Batch {
            rows: self.rows,
            columns: columns.collect(),
        });
        Ok(())
    }
}
