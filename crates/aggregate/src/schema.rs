//! What the records of an aggregation's input have: the JSON of Daybook's own topic, or a declared one.
//!
//! Of a record's fields some have a part to play beside being columns of the SQL: the identity, the event time, and those that
//! [`Schema`] names. The rest is data.

use sql::{InputColumn, InputKind};
use types::names::{self, field};

/// Name of the column that Daybook computes (DESIGN §4).
const BUSINESS_DAY: &str = "business_day";

/// Type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// Text.
    Text,
    /// An exact decimal number with up to 18 digits before the point and 5 behind it, as text or as a number of JSON. It never
    /// becomes a float.
    Decimal,
    /// A whole number of 64 bits.
    Integer,
    /// An instant: RFC 3339 with an offset.
    Timestamp,
    /// An instant: milliseconds since 1970, a number.
    EpochMillis,
    /// A date, `2026-11-23`.
    Date,
}

/// A field of the input's JSON objects, and the SQL's column of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Name.
    pub name: String,
    /// Type.
    pub kind: FieldKind,
    /// Whether records may lack it, or have null. A record that lacks another one is quarantined.
    pub is_optional: bool,
}

/// The input of an aggregation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// Topic that is read. In SQL it is always called `transactions`.
    pub topic: String,
    /// Fields that are columns.
    pub columns: Vec<Column>,
    /// Which column identifies a transaction within its source.
    pub id: usize,
    /// Which column says when the transaction happened: its business day is computed from it.
    pub event_time: usize,
    /// Which column names the source; without it all are of one source.
    pub source: Option<usize>,
    /// Which column says when the transaction was received; else the log's clock does.
    pub received_at: Option<usize>,
    /// Which column has the id of the transaction that a record takes back.
    pub reverses: Option<usize>,
    /// Which column the topic's records are keyed by. Where GROUP BY lacks it, records of one row are in several partitions.
    pub key: Option<usize>,
    /// Standard columns of Daybook's own JSON; `None` for a declared schema.
    standard: Option<usize>,
}

/// Why a declaration is no schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// It names no column.
    #[error("`{role}` is {name:?}, but there is no such column; columns: {columns}")]
    Unknown {
        /// Key of the configuration.
        role: &'static str,
        /// What it names.
        name: String,
        /// Those that there are.
        columns: String,
    },
    /// The column's type does not serve.
    #[error("`{role}` is {name:?}, whose type is {kind:?}, but must be {wanted}")]
    Kind {
        /// Key of the configuration.
        role: &'static str,
        /// Which column.
        name: String,
        /// Its type.
        kind: FieldKind,
        /// Those that serve.
        wanted: &'static str,
    },
    /// Records may lack the column, but every record must have it.
    #[error("`{role}` is {name:?}, which records may lack; declare it without \"?\"")]
    Optional {
        /// Key of the configuration.
        role: &'static str,
        /// Which column.
        name: String,
    },
    /// Its name is taken.
    #[error("a column is called {0:?}, which Daybook computes; it cannot be declared")]
    Reserved(&'static str),
}

/// Which columns have a part to play, by name.
#[derive(Debug, Clone, Default)]
pub struct Roles<'a> {
    /// See [`Schema::id`].
    pub id: &'a str,
    /// See [`Schema::event_time`].
    pub event_time: &'a str,
    /// See [`Schema::source`].
    pub source: Option<&'a str>,
    /// See [`Schema::received_at`].
    pub received_at: Option<&'a str>,
    /// See [`Schema::reverses`].
    pub reverses: Option<&'a str>,
    /// See [`Schema::key`].
    pub key: Option<&'a str>,
}

const TEXT: &[FieldKind] = &[FieldKind::Text];
const INSTANT: &[FieldKind] = &[FieldKind::Timestamp, FieldKind::EpochMillis];

impl Schema {
    /// Daybook's own JSON (DESIGN §3) in its own topic, with further text fields that the SQL reads.
    pub fn canonical(text_columns: &[String]) -> Self {
        use FieldKind::{Decimal, Text, Timestamp};
        let standard = [
            (field::ID, Text, false),
            (field::SOURCE, Text, true),
            (field::ACCOUNT, Text, false),
            (field::AMOUNT, Decimal, false),
            (field::CURRENCY, Text, false),
            (field::BOOKED_AT, Timestamp, false),
            (field::RECEIVED_AT, Timestamp, true),
            (field::REVERSES, Text, true),
        ];
        let count = standard.len();
        let column = |name: &str, kind, is_optional| Column {
            name: name.to_owned(),
            kind,
            is_optional,
        };
        let further = text_columns.iter().map(|name| column(name, Text, true));
        let standard = standard.map(|(name, kind, optional)| column(name, kind, optional));
        Self {
            topic: names::TOPIC_TRANSACTIONS.to_owned(),
            columns: standard.into_iter().chain(further).collect(),
            id: 0,
            source: Some(1),
            key: Some(2),
            event_time: 5,
            received_at: Some(6),
            reverses: Some(7),
            standard: Some(count),
        }
    }

    /// The JSON of a topic that others fill.
    ///
    /// # Errors
    ///
    /// [`SchemaError`].
    pub fn declared(
        topic: &str,
        columns: Vec<Column>,
        roles: &Roles<'_>,
    ) -> Result<Self, SchemaError> {
        if columns.iter().any(|column| column.name == BUSINESS_DAY) {
            return Err(SchemaError::Reserved(BUSINESS_DAY));
        }
        let named = |role, name: &str| -> Result<usize, SchemaError> {
            let place = columns.iter().position(|column| column.name == name);
            place.ok_or_else(|| SchemaError::Unknown {
                role,
                name: name.to_owned(),
                columns: list(&columns),
            })
        };
        let of_kind = |role, name: &str, kinds: &[FieldKind], wanted| {
            let place = named(role, name)?;
            let kind = columns[place].kind;
            match kinds.contains(&kind) {
                true => Ok(place),
                false => Err(SchemaError::Kind {
                    role,
                    name: name.to_owned(),
                    kind,
                    wanted,
                }),
            }
        };
        let required = |role, place: usize| match &columns[place] {
            column if column.is_optional => Err(SchemaError::Optional {
                role,
                name: column.name.clone(),
            }),
            _ => Ok(place),
        };
        let (text, instant) = ("text", "timestamp or epoch_millis");
        let id = required("id", of_kind("id", roles.id, TEXT, text)?)?;
        let event_time = of_kind("event_time", roles.event_time, INSTANT, instant)?;
        let event_time = required("event_time", event_time)?;
        let source = roles.source;
        let source = source.map(|name| of_kind("source", name, TEXT, text));
        let received_at = roles.received_at;
        let received_at = received_at.map(|name| of_kind("received_at", name, INSTANT, instant));
        let reverses = roles.reverses;
        let reverses = reverses.map(|name| of_kind("reverses", name, TEXT, text));
        Ok(Self {
            topic: topic.to_owned(),
            id,
            event_time,
            source: source.transpose()?,
            received_at: received_at.transpose()?,
            reverses: reverses.transpose()?,
            key: roles.key.map(|name| named("key", name)).transpose()?,
            columns,
            standard: None,
        })
    }

    /// Whether it is Daybook's own JSON.
    pub fn is_canonical(&self) -> bool {
        self.standard.is_some()
    }

    /// How many of the first columns may come once only in an object.
    pub(crate) fn once(&self) -> usize {
        self.standard.unwrap_or(self.columns.len())
    }

    /// Place of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Name of the column that the topic's records are keyed by.
    pub fn key_name(&self) -> Option<&str> {
        let column = self.key.and_then(|key| self.columns.get(key));
        column.map(|column| column.name.as_str())
    }

    /// Columns of the stream in SQL, `business_day` last. Each but that one is the column of the same place.
    pub fn stream_columns(&self) -> Vec<InputColumn> {
        let columns = self.columns.iter().enumerate();
        let columns = columns.map(|(place, column)| {
            let kind = match column.kind {
                FieldKind::Text => InputKind::Text,
                FieldKind::Decimal => InputKind::Amount,
                FieldKind::Integer => InputKind::Integer,
                FieldKind::Timestamp | FieldKind::EpochMillis => InputKind::Timestamp,
                FieldKind::Date => InputKind::Date,
            };
            let made = InputColumn::new(&column.name, kind);
            // Without a source it is empty, without a time of receipt it is the log's.
            let is_filled = Some(place) == self.source || Some(place) == self.received_at;
            match column.is_optional && !is_filled {
                true => made.nullable(),
                false => made,
            }
        });
        let day = InputColumn::new(BUSINESS_DAY, InputKind::Date);
        columns.chain([day]).collect()
    }

    /// What it means, for [`crate::fingerprint`].
    pub(crate) fn definition(&self) -> String {
        if let Some(standard) = self.standard {
            let further = self.columns.iter().skip(standard);
            let further: Vec<&str> = further.map(|column| column.name.as_str()).collect();
            return further.join(",");
        }
        let Self {
            topic,
            columns,
            id,
            event_time,
            source,
            received_at,
            reverses,
            key,
            standard: _,
        } = self;
        format!(
            "{topic:?} {columns:?} {id} {event_time} {source:?} {received_at:?} {reverses:?} {key:?}"
        )
    }

    /// A column's place as [`crate::fingerprint`] has it: those of text columns are counted on their own.
    pub(crate) fn place_in_definition(&self, place: usize) -> usize {
        place - self.standard.unwrap_or(0)
    }
}

fn list(columns: &[Column]) -> String {
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<Column> {
        let column = |(name, kind, is_optional): (&str, FieldKind, bool)| Column {
            name: name.to_owned(),
            kind,
            is_optional,
        };
        [
            ("nr", FieldKind::Text, false),
            ("at", FieldKind::EpochMillis, false),
            ("card", FieldKind::Text, false),
            ("branch", FieldKind::Text, true),
            ("fee", FieldKind::Decimal, true),
        ]
        .map(column)
        .to_vec()
    }

    #[track_caller]
    fn check(roles: &Roles<'_>, expected: &str) {
        let error = Schema::declared("cards", columns(), roles).expect_err("refused");
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn what_is_no_schema_is_refused_with_what_to_write() {
        let good = Roles {
            id: "nr",
            event_time: "at",
            key: Some("card"),
            ..Roles::default()
        };
        let schema = Schema::declared("cards", columns(), &good).expect("a schema");
        assert_eq!(schema.key_name(), Some("card"));
        let last = schema.stream_columns().pop().map(|column| column.name);
        assert_eq!(last.as_deref(), Some("business_day"));
        check(
            &Roles {
                id: "id",
                ..good.clone()
            },
            "`id` is \"id\", but there is no such column; columns: nr, at, card, branch, fee",
        );
        check(
            &Roles {
                event_time: "fee",
                ..good.clone()
            },
            "`event_time` is \"fee\", whose type is Decimal, but must be timestamp or epoch_millis",
        );
        check(
            &Roles {
                id: "branch",
                ..good.clone()
            },
            "`id` is \"branch\", which records may lack; declare it without \"?\"",
        );
        let mut more = columns();
        more[4].name = "business_day".to_owned();
        assert_eq!(
            Schema::declared("cards", more, &good),
            Err(SchemaError::Reserved("business_day"))
        );
    }
}
