//! The functions of the catalog.

use std::sync::Arc;

use sql::{ColumnType, Evaluate, Function};

use super::{Described, OWNER, SUM_MODIFIER, TYPES};
use crate::postgres::default_setting;

/// Functions about what Daybook does not have: null.
const NOTHING: &[&str] = &[
    "col_description",
    "obj_description",
    "shobj_description",
    "pg_get_constraintdef",
    "pg_get_expr",
    "pg_get_indexdef",
    "pg_get_partkeydef",
    "pg_get_serial_sequence",
    "pg_get_statisticsobjdef_columns",
    "pg_get_viewdef",
    "pg_tablespace_location",
    "inet_client_addr",
    "inet_server_addr",
];
/// Functions that are true of whatever there is.
const TRUE: &[&str] = &[
    "pg_function_is_visible",
    "pg_table_is_visible",
    "pg_type_is_visible",
];
/// Functions that are asked about privileges.
const PRIVILEGES: &[&str] = &[
    "has_any_column_privilege",
    "has_column_privilege",
    "has_database_privilege",
    "has_schema_privilege",
    "has_table_privilege",
];
/// Functions about sizes, which nobody has measured.
const ZERO: &[&str] = &[
    "pg_relation_size",
    "pg_table_size",
    "pg_total_relation_size",
];

pub(super) fn of(tables: &Arc<Vec<Described>>, version: &str) -> Vec<Function> {
    let mut functions = constants(version);
    functions.extend(NOTHING.iter().map(|name| text(name, |_| None)));
    functions.extend(TRUE.iter().map(|name| truth(name, |_| true)));
    functions.extend(PRIVILEGES.iter().map(|name| truth(name, may)));
    functions.extend(
        ZERO.iter()
            .map(|name| function(name, ColumnType::Int, |_| Some("0".to_owned()))),
    );
    functions.extend(names(tables));
    functions
}

fn function(
    name: &str,
    returns: ColumnType,
    evaluate: impl Fn(&[Option<&str>]) -> Option<String> + Send + Sync + 'static,
) -> Function {
    let evaluate: Arc<Evaluate> = Arc::new(evaluate);
    Function {
        name: name.to_owned(),
        returns,
        evaluate,
    }
}

fn text(
    name: &str,
    evaluate: impl Fn(&[Option<&str>]) -> Option<String> + Send + Sync + 'static,
) -> Function {
    function(name, ColumnType::Text, evaluate)
}

fn truth(
    name: &str,
    evaluate: impl Fn(&[Option<&str>]) -> bool + Send + Sync + 'static,
) -> Function {
    function(name, ColumnType::Bool, move |args| {
        Some(evaluate(args).to_string())
    })
}

fn constants(version: &str) -> Vec<Function> {
    let says = |name: &str, what: &str| {
        let what = what.to_owned();
        text(name, move |_| Some(what.clone()))
    };
    vec![
        says("version", version),
        says("current_database", sql::DATABASE),
        says("current_catalog", sql::DATABASE),
        says("current_schema", "public"),
        says("current_schemas", "{public}"),
        says("current_user", OWNER),
        says("session_user", OWNER),
        says("current_role", OWNER),
        says("user", OWNER),
        says("pg_encoding_to_char", "UTF8"),
        says("pg_get_userbyid", OWNER),
        truth("pg_is_in_recovery", |_| false),
        text("pg_size_pretty", |args| {
            Some(format!("{} bytes", args.first().copied().flatten()?))
        }),
        function("pg_backend_pid", ColumnType::Int, |_| {
            Some(std::process::id().to_string())
        }),
    ]
}

/// Who asks may read, and nothing else.
fn may(args: &[Option<&str>]) -> bool {
    let privilege = args.last().copied().flatten().unwrap_or_default();
    let privileges = privilege.split(',').map(|one| one.trim().to_uppercase());
    let mut reading =
        privileges.filter(|one| matches!(one.as_str(), "SELECT" | "USAGE" | "CONNECT"));
    reading.next().is_some()
}

fn names(tables: &Arc<Vec<Described>>) -> Vec<Function> {
    let (by_name, by_number) = (Arc::clone(tables), Arc::clone(tables));
    vec![
        text("format_type", |args| {
            let oid: i64 = args.first().copied().flatten()?.parse().ok()?;
            let modifier = args.get(1).copied().flatten();
            let shown = shown_type(oid)?;
            Some(match modifier.and_then(|text| text.parse().ok()) {
                Some(SUM_MODIFIER) if shown == "numeric" => "numeric(33,5)".to_owned(),
                _ => shown,
            })
        }),
        text("regtype_name", |args| {
            shown_type(args.first().copied().flatten()?.parse().ok()?)
        }),
        function("to_regtype", ColumnType::Int, |args| {
            let name = bare(args.first().copied().flatten()?);
            let found = TYPES
                .iter()
                .find(|kind| kind.name == name || kind.shown == name)?;
            Some(found.oid.to_string())
        }),
        function("to_regclass", ColumnType::Int, move |args| {
            let name = bare(args.first().copied().flatten()?);
            let found = by_name.iter().find(|table| table.name == name)?;
            Some(found.oid.to_string())
        }),
        text("regclass_name", move |args| {
            let oid = args.first().copied().flatten()?;
            let found = by_number.iter().find(|table| table.oid.to_string() == oid);
            Some(found.map_or_else(|| oid.to_owned(), |table| table.name.clone()))
        }),
        text("quote_ident", |args| {
            let name = args.first().copied().flatten()?;
            let is_plain = name.bytes().enumerate().all(|(index, byte)| {
                byte.is_ascii_lowercase() || byte == b'_' || (index > 0 && byte.is_ascii_digit())
            });
            Some(match is_plain && !name.is_empty() {
                true => name.to_owned(),
                false => format!("\"{}\"", name.replace('"', "\"\"")),
            })
        }),
        text("current_setting", |args| {
            let name = args.first().copied().flatten()?.to_lowercase();
            default_setting(&name).map(str::to_owned)
        }),
        text("set_config", |args| {
            args.get(1).copied().flatten().map(str::to_owned)
        }),
        // Of lists that are always null.
        text("pg_array_to_string", |args| {
            args.first().copied().flatten().map(str::to_owned)
        }),
    ]
}

/// A name without its schema and quotes.
fn bare(name: &str) -> &str {
    let last = name.rsplit_once('.').map_or(name, |(_, last)| last);
    last.trim_matches('"')
}

/// As people write it; arrays with `[]`.
fn shown_type(oid: i64) -> Option<String> {
    TYPES.iter().find_map(|kind| match oid {
        oid if oid == kind.oid => Some(kind.shown.to_owned()),
        oid if oid == kind.array && oid > 0 => Some(format!("{}[]", kind.shown)),
        _ => None,
    })
}
