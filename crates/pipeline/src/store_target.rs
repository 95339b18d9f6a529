//! The store that the configuration means, and what is wrong with that.

use std::ops::Range;
use std::path::Path;

use store::{
    BUCKETS_MAX, CASSANDRA_NAME_CHARS_MAX, CASSANDRA_PORT, CassandraOptions, CassandraTls,
    Consistency, DAYS_KEPT_MAX, OWN_COLUMNS, OWN_TABLES, Replication, StoreError, StoreTarget,
    TableSpec,
};

use types::{BusinessCalendar, BusinessDay};

use crate::config::{Place, StoreConfig, StoreConsistency, StoreReplication};

/// Most replicas in a data centre.
const REPLICAS_MAX: u16 = 100;
/// Days from 1970 on for which the kept days are looked at: 2024 to 2030.
const DAYS_LOOKED_AT: Range<i32> = 19_723..22_000;

/// The store of a configuration; `data_dir` is where an embedded one is unless the configuration says otherwise. Nothing is connected
/// to yet.
///
/// # Errors
///
/// [`StoreError`] when a file that the configuration names cannot be used.
pub fn store_target(config: &StoreConfig, data_dir: &Path) -> Result<StoreTarget, StoreError> {
    if config.place == Place::External {
        return StoreTarget::cassandra(cassandra(config));
    }
    let path = config.path.clone();
    Ok(StoreTarget::sqlite(
        path.unwrap_or_else(|| data_dir.join("store.db")),
    ))
}

fn cassandra(config: &StoreConfig) -> CassandraOptions {
    let identity = config.certificate.clone().zip(config.key.clone());
    CassandraOptions {
        contact_points: config.contact_points.clone(),
        keyspace: config.keyspace.clone(),
        replication: match &config.replication {
            StoreReplication::Factor(factor) => Replication::Factor(*factor),
            StoreReplication::Map(map) => Replication::Map(map.clone()),
        },
        data_center: config.data_center.clone(),
        consistency: match config.consistency {
            StoreConsistency::Quorum => Consistency::Quorum,
            StoreConsistency::LocalQuorum => Consistency::LocalQuorum,
            StoreConsistency::All => Consistency::All,
        },
        user: config.user.clone().zip(config.password_file.clone()),
        tls: config.ca.clone().map(|ca| CassandraTls { ca, identity }),
        buckets: config.buckets,
        days_kept: config.days_kept,
    }
}

/// What is wrong with `[store]`, whatever the aggregations are.
pub(crate) fn check(config: &StoreConfig, refuse: &mut impl FnMut(String)) {
    if config.place == Place::Embedded {
        return;
    }
    if config.contact_points.is_empty() {
        refuse(format!(
            "`store.use` is \"external\", so `store.contact_points` must say where: [\"host:{CASSANDRA_PORT}\"]"
        ));
    }
    for point in &config.contact_points {
        if !is_address(point) {
            refuse(format!(
                "`store.contact_points` has {point:?}, but must have \"host:port\" or \"host\""
            ));
        }
    }
    if !is_cql_name(&config.keyspace) {
        refuse(format!(
            "`store.keyspace` is {:?}, but must be 1 to {CASSANDRA_NAME_CHARS_MAX} letters, digits and _",
            config.keyspace
        ));
    }
    match &config.replication {
        StoreReplication::Factor(factor) if !(1..=REPLICAS_MAX).contains(factor) => {
            refuse(format!(
                "`store.replication` is {factor}, but must be 1 to {REPLICAS_MAX} replicas, or CQL's map"
            ))
        }
        StoreReplication::Map(map) if !is_cql_map(map) => refuse(format!(
            "`store.replication` is {map:?}, but must be a number of replicas, or CQL's map: \
             \"{{'class': 'NetworkTopologyStrategy', 'dc1': 3}}\""
        )),
        _ => {}
    }
    if !(1..=BUCKETS_MAX).contains(&config.buckets) {
        refuse(format!(
            "`store.buckets` is {}, but must be 1 to {BUCKETS_MAX}",
            config.buckets
        ));
    }
    let days = config.days_kept.unwrap_or(1);
    if !(1..=DAYS_KEPT_MAX).contains(&days) {
        refuse(format!(
            "`store.days_kept` is {days}, but must be 1 to {DAYS_KEPT_MAX}"
        ));
    }
    if config.user.is_some() != config.password_file.is_some() {
        refuse(
            "`store.user` and `store.password_file` are needed together, or not at all".to_owned(),
        );
    }
    if config.certificate.is_some() != config.key.is_some() {
        refuse("`store.certificate` and `store.key` are needed together, or not at all".to_owned());
    }
    if config.certificate.is_some() && config.ca.is_none() {
        refuse(
            "`store.certificate` is given, but `store.ca` is not: without the roots of the nodes' certificates \
             no TLS is spoken"
                .to_owned(),
        );
    }
    // What the files hold.
    if let Err(error) = StoreTarget::cassandra(cassandra(config)) {
        refuse(format!("`store`: {}", types::report(&error)));
    }
}

/// What is wrong with an aggregation's table there.
pub(crate) fn check_table(
    config: &StoreConfig,
    table: &TableSpec,
    kept: (&BusinessCalendar, Option<u16>),
    refuse: &mut impl FnMut(String),
) {
    let name = &table.name;
    if OWN_TABLES.contains(&name.as_str()) {
        refuse(format!(
            "`aggregation.name` is {name:?}, but the store has a table of its own of that name"
        ));
    }
    for (column, _) in &table.columns {
        if OWN_COLUMNS.contains(&column.as_str()) {
            refuse(format!(
                "aggregation {name}: `sql` has the column {column:?}, but the store has one of its own of that name"
            ));
        }
    }
    if config.place == Place::Embedded {
        return;
    }
    if name.len() > CASSANDRA_NAME_CHARS_MAX {
        refuse(format!(
            "`aggregation.name` is {name:?}, but Cassandra takes at most {CASSANDRA_NAME_CHARS_MAX} characters"
        ));
    }
    let Some(days_kept) = config.days_kept else {
        return;
    };
    match needed_days(kept) {
        None => refuse(format!(
            "`store.days_kept` is {days_kept}, but aggregation {name} keeps all days"
        )),
        Some(needed) if days_kept < needed => refuse(format!(
            "`store.days_kept` is {days_kept}, but aggregation {name} may change rows for {needed} days"
        )),
        Some(_) => {}
    }
}

/// How long after its end a business day may still be changed, in days; `None` = for ever.
fn needed_days((calendar, keep_days): (&BusinessCalendar, Option<u16>)) -> Option<u32> {
    let back = keep_days?.saturating_sub(1);
    let distance = DAYS_LOOKED_AT.map(|number| {
        let day = BusinessDay::EPOCH.plus_days(number);
        day.epoch_days() - calendar.earlier(day, back).epoch_days()
    });
    u32::try_from(distance.max().unwrap_or_default() + 1).ok()
}

fn is_address(point: &str) -> bool {
    let (host, port) = match point.rsplit_once(':') {
        Some((host, port)) => (host, port.parse::<u16>().ok()),
        None => (point, Some(CASSANDRA_PORT)),
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte);
    !host.is_empty() && host.bytes().all(allowed) && port.is_some_and(|port| port > 0)
}

fn is_cql_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=CASSANDRA_NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(allowed)
}

/// Whether it is one map and nothing behind it: it becomes part of a statement.
fn is_cql_map(map: &str) -> bool {
    let inner = map
        .trim()
        .strip_prefix('{')
        .and_then(|map| map.strip_suffix('}'));
    inner.is_some_and(|inner| inner.contains("'class'") && !inner.contains(['{', '}', ';']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use expect_test::{Expect, expect};
    use store::CellKind;

    #[track_caller]
    fn told(toml: &str, expected: &Expect) {
        let config = Config::parse(Path::new("daybook.toml"), toml).expect("parses");
        let mut text = String::new();
        let mut refuse = |mistake: String| text += &format!("{mistake}\n");
        check(&config.store, &mut refuse);
        let calendar = BusinessCalendar::new("Europe/Zagreb", "00:00").expect("a calendar");
        let mut weekdays = types::WorkingDays::of_week(&["mon"]).expect("weekdays");
        weekdays.add_holiday("2026-11-23").expect("a day");
        let mondays = calendar.clone().with_working_days(weekdays);
        let mondays = mondays.expect("a calendar");
        let mut table = TableSpec {
            name: "totals".to_owned(),
            columns: vec![("row_key".to_owned(), CellKind::Text)],
        };
        check_table(&config.store, &table, (&calendar, Some(2)), &mut refuse);
        table.columns.clear();
        check_table(&config.store, &table, (&mondays, Some(2)), &mut refuse);
        check_table(&config.store, &table, (&calendar, None), &mut refuse);
        table.name = "progress".to_owned();
        check_table(&config.store, &table, (&calendar, Some(1)), &mut refuse);
        table.name = "t".repeat(CASSANDRA_NAME_CHARS_MAX + 1);
        check_table(&config.store, &table, (&calendar, Some(1)), &mut refuse);
        expected.assert_eq(&text);
    }

    #[test]
    fn a_cluster_that_cannot_be_used_is_refused_with_what_would_be_right() {
        told(
            r#"
[store]
use = "external"
contact_points = ["node one", "node:0", "node-1.example.com", "[::1]:9042", "10.0.0.1:9042"]
keyspace = "day-book"
replication = "3; DROP KEYSPACE x"
user = "daybook"
certificate = "client.pem"
buckets = 0
days_kept = 7001
"#,
            &expect![[r#"
                `store.contact_points` has "node one", but must have "host:port" or "host"
                `store.contact_points` has "node:0", but must have "host:port" or "host"
                `store.keyspace` is "day-book", but must be 1 to 48 letters, digits and _
                `store.replication` is "3; DROP KEYSPACE x", but must be a number of replicas, or CQL's map: "{'class': 'NetworkTopologyStrategy', 'dc1': 3}"
                `store.buckets` is 0, but must be 1 to 1024
                `store.days_kept` is 7001, but must be 1 to 7000
                `store.user` and `store.password_file` are needed together, or not at all
                `store.certificate` and `store.key` are needed together, or not at all
                `store.certificate` is given, but `store.ca` is not: without the roots of the nodes' certificates no TLS is spoken
                aggregation totals: `sql` has the column "row_key", but the store has one of its own of that name
                `store.days_kept` is 7001, but aggregation totals keeps all days
                `aggregation.name` is "progress", but the store has a table of its own of that name
                `aggregation.name` is "ttttttttttttttttttttttttttttttttttttttttttttttttt", but Cassandra takes at most 48 characters
            "#]],
        );
        told(
            r#"
[store]
use = "external"
replication = 0
user = "daybook"
password_file = "/nowhere/password"
days_kept = 10
"#,
            &expect![[r#"
                `store.use` is "external", so `store.contact_points` must say where: ["host:9042"]
                `store.replication` is 0, but must be 1 to 100 replicas, or CQL's map
                `store`: cannot read Cassandra's password from /nowhere/password: No such file or directory (os error 2)
                aggregation totals: `sql` has the column "row_key", but the store has one of its own of that name
                `store.days_kept` is 10, but aggregation totals may change rows for 15 days
                `store.days_kept` is 10, but aggregation totals keeps all days
                `aggregation.name` is "progress", but the store has a table of its own of that name
                `aggregation.name` is "ttttttttttttttttttttttttttttttttttttttttttttttttt", but Cassandra takes at most 48 characters
            "#]],
        );
        told(
            r#"
[store]
use = "external"
contact_points = ["127.0.0.1:19042"]
replication = "{'class': 'NetworkTopologyStrategy', 'dc1': 3}"
"#,
            &expect![[r#"
                aggregation totals: `sql` has the column "row_key", but the store has one of its own of that name
                `aggregation.name` is "progress", but the store has a table of its own of that name
                `aggregation.name` is "ttttttttttttttttttttttttttttttttttttttttttttttttt", but Cassandra takes at most 48 characters
            "#]],
        );
        told(
            "",
            &expect![[r#"
                aggregation totals: `sql` has the column "row_key", but the store has one of its own of that name
                `aggregation.name` is "progress", but the store has a table of its own of that name
            "#]],
        );
    }
}
