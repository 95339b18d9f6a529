//! Statements: what kind they are, and what is refused before anything is planned.
//!
//! # Invariants
//!
//! - **Only what reads is a query.** Everything else is an answer of a word (`SET`, `BEGIN`) or refused; the plan is checked again for
//!   what hides inside a query.
//! - **A hostile text costs little.** Its length and nesting are bounded before it is parsed: what recurses over it later never runs
//!   out of stack.

use std::ops::ControlFlow;

use datafusion::sql::parser::{DFParserBuilder, ResetStatement, Statement as Parsed};
use datafusion::sql::sqlparser::ast::{
    Expr, Set, Statement as SqlStatement, Value, visit_expressions, visit_relations,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::error::{LimitError, QueryError};
use super::rewrite;
use crate::error::SqlError;

/// Most operators in one text: each may nest an expression once more.
pub const OPERATORS_MAX: usize = 500;
/// Most tables that one statement names: each may nest a plan once more.
pub const RELATIONS_MAX: usize = 50;
/// Most parameters of one statement.
pub const PARAMETERS_MAX: usize = 1_000;

/// A statement that was parsed.
#[derive(Debug, Clone)]
pub struct Statement {
    pub(super) parsed: Parsed,
    kind: StatementKind,
    parameters: usize,
}

/// What a statement is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatementKind {
    /// It is answered with rows.
    Query,
    /// `SHOW name`, in lower case.
    Show(String),
    /// `SET name = value`, the name in lower case.
    Set {
        /// Name.
        name: String,
        /// Value, without quotes.
        value: String,
    },
    /// `RESET name`, in lower case; `all`.
    Reset(String),
    /// `BEGIN`, `START TRANSACTION`.
    Begin,
    /// `COMMIT`, `END`.
    Commit,
    /// `ROLLBACK`.
    Rollback,
    /// `DEALLOCATE name`; `None` of all.
    Deallocate(Option<String>),
    /// `DISCARD`: all that the session has set and prepared.
    Discard,
    /// There is nothing to do but to say so: its name.
    Nothing(&'static str),
}

impl Statement {
    /// What it is.
    pub fn kind(&self) -> &StatementKind {
        &self.kind
    }

    /// How many parameters it has: the largest number of a `$1`.
    pub fn parameters(&self) -> usize {
        self.parameters
    }
}

/// Parses a text of any number of statements, of at most `bytes_max` bytes.
///
/// # Errors
///
/// [`QueryError`] of the first that is not understood or not allowed.
pub fn parse(text: &str, bytes_max: usize) -> Result<Vec<Statement>, QueryError> {
    if text.len() > bytes_max {
        return Err(QueryError::Limit(LimitError::StatementBytes {
            bytes: text.len(),
            max: bytes_max,
        }));
    }
    let dialect = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&dialect, text).tokenize();
    let tokens = tokens.map_err(|error| syntax(error.to_string()))?;
    let operators = tokens.iter().filter(|token| is_operator(token)).count();
    if operators > OPERATORS_MAX {
        return Err(too_complex(operators, "operators", OPERATORS_MAX));
    }
    // DataFusion's parser knows a COPY of its own alone.
    let first = tokens
        .iter()
        .find(|token| !matches!(token, Token::Whitespace(_)));
    if matches!(first, Some(Token::Word(word)) if word.keyword == Keyword::COPY) {
        return Err(refused("COPY"));
    }
    let parser = DFParserBuilder::new(text).with_dialect(&dialect).build();
    let parsed = parser.and_then(|mut parser| parser.parse_statements());
    let parsed =
        parsed.map_err(|error| QueryError::Syntax(SqlError::from_datafusion("no SQL", error)))?;
    parsed.into_iter().map(statement).collect()
}

fn syntax(message: String) -> QueryError {
    QueryError::Syntax(SqlError::plain(format!("no SQL: {message}")))
}

fn too_complex(found: usize, what: &str, max: usize) -> QueryError {
    QueryError::Sql(SqlError::plain(format!(
        "the statement has {found} {what}, but may have {max}: divide it"
    )))
}

/// Whether a token may be what nests an expression or a plan once more.
fn is_operator(token: &Token) -> bool {
    match token {
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::AND
                | Keyword::OR
                | Keyword::NOT
                | Keyword::IS
                | Keyword::IN
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::SIMILAR
                | Keyword::BETWEEN
                | Keyword::COLLATE
                | Keyword::AT
                | Keyword::UNION
                | Keyword::EXCEPT
                | Keyword::INTERSECT
                | Keyword::JOIN
                | Keyword::CASE
                | Keyword::SELECT
        ),
        Token::EOF
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::EscapedStringLiteral(_)
        | Token::Comma
        | Token::Period
        | Token::SemiColon
        | Token::LParen
        | Token::RParen
        | Token::Whitespace(_)
        | Token::Placeholder(_) => false,
        _ => true,
    }
}

fn statement(mut parsed: Parsed) -> Result<Statement, QueryError> {
    let kind = kind(&parsed)?;
    let mut parameters = 0;
    if let (StatementKind::Query, Some(inner)) = (&kind, innermost(&mut parsed)) {
        let mut relations = 0;
        let _ = visit_relations(inner, |_| {
            relations += 1;
            ControlFlow::<()>::Continue(())
        });
        if relations > RELATIONS_MAX {
            return Err(too_complex(relations, "tables", RELATIONS_MAX));
        }
        parameters = count_parameters(inner)?;
        rewrite::from_postgres(inner);
    }
    Ok(Statement {
        parsed,
        kind,
        parameters,
    })
}

/// The statement that an `EXPLAIN` explains, or itself.
pub(super) fn innermost(parsed: &mut Parsed) -> Option<&mut SqlStatement> {
    match parsed {
        Parsed::Statement(inner) => Some(inner),
        Parsed::Explain(explain) => innermost(&mut explain.statement),
        _ => None,
    }
}

fn count_parameters(inner: &SqlStatement) -> Result<usize, QueryError> {
    let mut largest = 0;
    let found = visit_expressions(inner, |expr: &Expr| {
        let Expr::Value(value) = expr else {
            return ControlFlow::Continue(());
        };
        let Value::Placeholder(name) = &value.value else {
            return ControlFlow::Continue(());
        };
        match parameter_number(name) {
            Some(number) if number <= PARAMETERS_MAX => {
                largest = largest.max(number);
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Break(name.clone()),
        }
    });
    match found {
        ControlFlow::Continue(()) => Ok(largest),
        ControlFlow::Break(name) => Err(syntax(format!(
            "{name} is no parameter: $1 to ${PARAMETERS_MAX}"
        ))),
    }
}

/// 1 of `$1`.
pub(super) fn parameter_number(name: &str) -> Option<usize> {
    let number: usize = name.strip_prefix('$')?.parse().ok()?;
    (number > 0).then_some(number)
}

fn kind(parsed: &Parsed) -> Result<StatementKind, QueryError> {
    let inner = match parsed {
        Parsed::Statement(inner) => inner.as_ref(),
        Parsed::Explain(explain) => {
            return match kind(&explain.statement)? {
                StatementKind::Query => Ok(StatementKind::Query),
                _ => Err(refused("EXPLAIN of what is no query")),
            };
        }
        Parsed::Reset(ResetStatement::Variable(name)) => {
            return Ok(StatementKind::Reset(name.to_string().to_lowercase()));
        }
        Parsed::CopyTo(_) => return Err(refused("COPY")),
        Parsed::CreateExternalTable(_) => return Err(refused("CREATE")),
    };
    match inner {
        SqlStatement::Query(_)
        | SqlStatement::ShowTables { .. }
        | SqlStatement::ShowColumns { .. }
        | SqlStatement::ShowFunctions { .. } => Ok(StatementKind::Query),
        SqlStatement::ShowVariable { variable } => {
            let words: Vec<String> = variable
                .iter()
                .map(|word| word.value.to_lowercase())
                .collect();
            Ok(StatementKind::Show(words.join(" ")))
        }
        SqlStatement::Set(set) => setting(set),
        SqlStatement::StartTransaction { .. } => Ok(StatementKind::Begin),
        SqlStatement::Commit { .. } => Ok(StatementKind::Commit),
        SqlStatement::Rollback {
            savepoint: None, ..
        } => Ok(StatementKind::Rollback),
        SqlStatement::Rollback { .. } => Ok(StatementKind::Nothing("ROLLBACK")),
        SqlStatement::Savepoint { .. } => Ok(StatementKind::Nothing("SAVEPOINT")),
        SqlStatement::ReleaseSavepoint { .. } => Ok(StatementKind::Nothing("RELEASE")),
        SqlStatement::Discard { .. } => Ok(StatementKind::Discard),
        SqlStatement::Deallocate { name, .. } => {
            let is_all = name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all");
            Ok(StatementKind::Deallocate(
                (!is_all).then(|| name.value.clone()),
            ))
        }
        SqlStatement::Close { .. } => Ok(StatementKind::Nothing("CLOSE CURSOR")),
        SqlStatement::UNLISTEN { .. } => Ok(StatementKind::Nothing("UNLISTEN")),
        SqlStatement::Reset(reset) => {
            let text = reset.to_string().to_lowercase();
            let name = text.strip_prefix("reset ").unwrap_or(&text);
            Ok(StatementKind::Reset(name.to_owned()))
        }
        other => {
            // The first word says what it would do: INSERT, DROP, ...
            let text = other.to_string();
            let word = text.split_whitespace().next().unwrap_or("it");
            Err(refused(word))
        }
    }
}

fn refused(what: &str) -> QueryError {
    QueryError::ReadOnly {
        what: what.to_uppercase(),
    }
}

fn setting(set: &Set) -> Result<StatementKind, QueryError> {
    let of = |name: &str, value: String| {
        Ok(StatementKind::Set {
            name: name.to_lowercase(),
            value,
        })
    };
    match set {
        Set::SingleAssignment {
            variable, values, ..
        } => {
            let values: Vec<String> = values.iter().map(plain).collect();
            of(&variable.to_string(), values.join(", "))
        }
        Set::SetTimeZone { value, .. } => of("timezone", plain(value)),
        Set::SetNames { charset_name, .. } => of("client_encoding", charset_name.value.clone()),
        Set::SetTransaction { .. } => of("transaction", String::new()),
        _ => Err(refused("SET of that")),
    }
}

/// A value without its quotes.
fn plain(expr: &Expr) -> String {
    let Expr::Value(value) = expr else {
        return expr.to_string().trim_matches('"').to_owned();
    };
    match &value.value {
        Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match parse(text, 10_000) {
            Err(error) => format!("error: {error}"),
            Ok(statements) => {
                let shown = statements
                    .iter()
                    .map(|statement| match statement.parameters {
                        0 => format!("{:?}", statement.kind),
                        count => format!("{:?} with {count}", statement.kind),
                    });
                shown.collect::<Vec<_>>().join("; ")
            }
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn what_reads_is_a_query() {
        check("SELECT 1; VALUES (1);", "Query; Query");
        check(
            "WITH x AS (SELECT $2) SELECT * FROM x WHERE a IN ($1, 3)",
            "Query with 2",
        );
        check("EXPLAIN ANALYZE SELECT 1", "Query");
        check("SHOW TABLES", "Query");
        check("", "");
        check("-- nothing\n;", "");
    }

    #[test]
    fn what_drivers_say_is_understood() {
        check(
            "BEGIN; COMMIT; END; ROLLBACK",
            "Begin; Commit; Commit; Rollback",
        );
        check("START TRANSACTION READ ONLY", "Begin");
        check(
            "SET extra_float_digits = 3",
            r#"Set { name: "extra_float_digits", value: "3" }"#,
        );
        check(
            "SET application_name = 'PostgreSQL JDBC Driver'",
            r#"Set { name: "application_name", value: "PostgreSQL JDBC Driver" }"#,
        );
        check(
            "SET search_path TO public, x",
            r#"Set { name: "search_path", value: "public, x" }"#,
        );
        check(
            "SET TIME ZONE 'UTC'",
            r#"Set { name: "timezone", value: "UTC" }"#,
        );
        check(
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            r#"Set { name: "transaction", value: "" }"#,
        );
        check("SHOW server_version", r#"Show("server_version")"#);
        check(
            "SHOW TRANSACTION ISOLATION LEVEL",
            r#"Show("transaction isolation level")"#,
        );
        check("RESET ALL", r#"Reset("all")"#);
        check("DISCARD ALL", "Discard");
        check("DEALLOCATE ALL", "Deallocate(None)");
        check("DEALLOCATE _pg3_1", r#"Deallocate(Some("_pg3_1"))"#);
    }

    #[test]
    fn what_writes_is_refused() {
        let why = "is refused: totals are read only here, and only SELECT, WITH, VALUES, EXPLAIN and SHOW are answered";
        for (text, word) in [
            ("INSERT INTO daily_totals VALUES (1)", "INSERT"),
            ("UPDATE daily_totals SET total = 1", "UPDATE"),
            ("DELETE FROM daily_totals", "DELETE"),
            ("TRUNCATE daily_totals", "TRUNCATE"),
            ("DROP TABLE daily_totals", "DROP"),
            ("CREATE TABLE x (a INT)", "CREATE"),
            (
                "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
                "CREATE",
            ),
            ("CREATE VIEW x AS SELECT 1", "CREATE"),
            ("COPY daily_totals TO '/tmp/x.csv'", "COPY"),
            ("ALTER TABLE daily_totals ADD x INT", "ALTER"),
            ("GRANT SELECT ON daily_totals TO ann", "GRANT"),
            ("PREPARE p AS SELECT 1", "PREPARE"),
            ("EXECUTE p", "EXECUTE"),
            ("LISTEN x", "LISTEN"),
            ("VACUUM", "VACUUM"),
            ("SET ROLE ann", "SET OF THAT"),
            ("EXPLAIN DELETE FROM daily_totals", "DELETE"),
            ("EXPLAIN SET x = 1", "EXPLAIN OF WHAT IS NO QUERY"),
            ("SELECT 1; DROP TABLE daily_totals", "DROP"),
        ] {
            check(text, &format!("error: {word} {why}"));
        }
    }

    #[test]
    fn long_and_deep_texts_are_refused() {
        let fits = format!("SELECT '{}'", "x".repeat(10_000 - 9));
        check(&fits, "Query");
        check(
            &format!("{fits} "),
            "error: the statement has 10001 bytes, but may have 10000 (limit `statement_bytes_max`): shorten it, or raise the limit",
        );
        let chain = |terms: usize| format!("SELECT {}", vec!["1"; terms].join("+"));
        // SELECT itself is one.
        check(&chain(OPERATORS_MAX), "Query");
        check(
            &chain(OPERATORS_MAX + 1),
            "error: the statement has 501 operators, but may have 500: divide it",
        );
        let tables = |count: usize| format!("SELECT 1 FROM {}", vec!["t"; count].join(","));
        check(&tables(RELATIONS_MAX), "Query");
        check(
            &tables(RELATIONS_MAX + 1),
            "error: the statement has 51 tables, but may have 50: divide it",
        );
        check(
            &format!("SELECT {}1{}", "(".repeat(1_000), ")".repeat(1_000)),
            "error: no SQL: SQL error: RecursionLimitExceeded (current limit: 50)",
        );
        check("SELECT $1000", "Query with 1000");
        check(
            "SELECT $1001",
            "error: no SQL: $1001 is no parameter: $1 to $1000",
        );
        check(
            "SELECT 'x",
            "error: no SQL: Unterminated string literal at Line: 1, Column: 8",
        );
    }
}
