//! The subset of SQL an aggregation may use, checked on the syntax tree, where positions are known.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Distinct, DuplicateTreatment, Expr, Function, FunctionArguments, GroupByExpr, Query, Select,
    SelectItem, SetExpr, Spanned, Statement, TableFactor, visit_expressions,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Span;

use crate::error::SqlError;

/// Aggregate functions that can be folded batch by batch.
const FUNCTIONS: &[&str] = &["sum", "count", "min", "max", "avg"];

/// What is known of a function that is none of [`FUNCTIONS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// It gives the same for the same arguments.
    Pure,
    /// It gives something else at another time.
    Changing,
    /// It aggregates, but cannot be folded.
    Aggregate,
    /// There is none.
    No,
}

/// Where the parts of the text are.
#[derive(Debug)]
pub(crate) struct Places {
    /// Of the SELECT list.
    pub(crate) items: Vec<Span>,
    pub(crate) having: Span,
    pub(crate) selection: Span,
    pub(crate) group_by: Span,
    pub(crate) select: Span,
    /// Statements with each part alone, to find the one that is at fault.
    pub(crate) alone: Vec<(Span, String)>,
    /// The first function whose value cannot go back when a transaction is taken back.
    pub(crate) irreversible: Option<(String, Span)>,
    /// The first count(DISTINCT).
    pub(crate) distinct: Option<Span>,
}

/// Refuses what is outside the subset, pointing at it.
pub(crate) fn check(
    sql: &str,
    stream: &str,
    known: impl Fn(&str) -> Known,
) -> Result<Places, SqlError> {
    let statements = Parser::parse_sql(&GenericDialect {}, sql).map_err(not_understood)?;
    let [Statement::Query(query)] = statements.as_slice() else {
        let mut error = SqlError::plain("an aggregation is one SELECT statement");
        error.place = Some((1, 1));
        return Err(error);
    };
    let select = check_query(query)?;
    check_from(select, stream)?;
    check_group_by(select)?;
    let items = select.projection.iter().map(item_span);
    let mut places = Places {
        items: items.collect::<Result<_, _>>()?,
        having: select
            .having
            .as_ref()
            .map_or_else(Span::empty, Spanned::span),
        selection: select
            .selection
            .as_ref()
            .map_or_else(Span::empty, Spanned::span),
        group_by: select.group_by.span(),
        select: select.select_token.0.span,
        alone: alone(query, select),
        irreversible: None,
        distinct: None,
    };
    let walked = visit_expressions(query.as_ref(), |expression| {
        match check_expression(expression, &known, &mut places) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    });
    match walked {
        ControlFlow::Continue(()) => Ok(places),
        ControlFlow::Break(error) => Err(error),
    }
}

/// The parser says the place at the end of its text.
fn not_understood(error: ParserError) -> SqlError {
    let text = error.to_string();
    let place = text.rsplit_once(" at Line: ").and_then(|(_, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        Some((line.parse().ok()?, column.parse().ok()?))
    });
    let mut error = SqlError::plain(format!("not understood as SQL: {text}"));
    error.place = place;
    error
}

fn alone(query: &Query, select: &Select) -> Vec<(Span, String)> {
    let with = |change: &dyn Fn(&mut Select)| {
        let (mut query, mut select) = (query.clone(), select.clone());
        (select.selection, select.having) = (None, None);
        change(&mut select);
        *query.body = SetExpr::Select(Box::new(select));
        query.to_string()
    };
    let items = select.projection.iter().map(|item| {
        let alone = with(&|select| select.projection = vec![item.clone()]);
        (item.span(), alone)
    });
    let mut alone: Vec<(Span, String)> = items.collect();
    if let Some(condition) = &select.selection {
        let text = with(&|select| select.selection = Some(condition.clone()));
        alone.push((condition.span(), text));
    }
    if let Some(condition) = &select.having {
        let text = with(&|select| select.having = Some(condition.clone()));
        alone.push((condition.span(), text));
    }
    alone
}

fn check_query(query: &Query) -> Result<&Select, SqlError> {
    let refuse = |what: &str, span: Span| Err(SqlError::refused(what, span));
    if let Some(with) = &query.with {
        return refuse("WITH is not supported in an aggregation", with.span());
    }
    if let Some(order_by) = &query.order_by {
        return refuse(
            "ORDER BY has no meaning for a stream of results",
            order_by.span(),
        );
    }
    if query.limit_clause.is_some() || query.fetch.is_some() {
        return refuse(
            "LIMIT has no meaning for a stream of results",
            query.body.span(),
        );
    }
    let SetExpr::Select(select) = query.body.as_ref() else {
        return refuse("an aggregation is one plain SELECT", query.body.span());
    };
    if let Some(distinct) = &select.distinct {
        let span = match distinct {
            Distinct::On(expressions) => Span::union_iter(expressions.iter().map(Spanned::span)),
            _ => select.select_token.0.span,
        };
        return refuse(
            "SELECT DISTINCT is not supported: GROUP BY makes keys distinct",
            span,
        );
    }
    if let Some(qualify) = &select.qualify {
        return refuse("QUALIFY is not supported", qualify.span());
    }
    Ok(select)
}

fn check_from(select: &Select, stream: &str) -> Result<(), SqlError> {
    let span = select.select_token.0.span;
    let [from] = select.from.as_slice() else {
        return Err(SqlError::refused(
            format!("an aggregation reads one stream: FROM {stream}"),
            span,
        ));
    };
    if let Some(join) = from.joins.first() {
        return Err(SqlError::refused("joins are not supported", join.span()));
    }
    match &from.relation {
        TableFactor::Table { name, .. } if name.to_string().eq_ignore_ascii_case(stream) => Ok(()),
        other => Err(SqlError::refused(
            format!("an aggregation reads the stream {stream:?}, not {other}"),
            other.span(),
        )),
    }
}

fn check_group_by(select: &Select) -> Result<(), SqlError> {
    let place = select.select_token.0.span;
    let GroupByExpr::Expressions(expressions, modifiers) = &select.group_by else {
        return Err(SqlError::refused("GROUP BY ALL is not supported", place));
    };
    let sets = expressions.iter().find(|expression| {
        matches!(
            expression,
            Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_)
        )
    });
    if sets.is_some() || !modifiers.is_empty() {
        let place = sets.map_or(place, Spanned::span);
        let what = "ROLLUP, CUBE and GROUPING SETS are not supported";
        return Err(SqlError::refused(what, place));
    }
    let is_day = |expression: &Expr| expression.to_string().eq_ignore_ascii_case("business_day");
    if !expressions.iter().any(is_day) {
        return Err(SqlError::refused(
            "GROUP BY must contain business_day: totals are kept by day",
            select.group_by.span(),
        )
        .at(place));
    }
    Ok(())
}

fn item_span(item: &SelectItem) -> Result<Span, SqlError> {
    match item {
        SelectItem::UnnamedExpr(expression) => Ok(expression.span()),
        SelectItem::ExprWithAlias { expr, .. } => Ok(expr.span()),
        other => Err(SqlError::refused(
            "name the columns instead of *",
            other.span(),
        )),
    }
}

fn check_expression(
    expression: &Expr,
    known: &impl Fn(&str) -> Known,
    places: &mut Places,
) -> Result<(), SqlError> {
    let refuse = |what: String| Err(SqlError::refused(what, expression.span()));
    match expression {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
            refuse("subqueries are not supported".to_owned())
        }
        Expr::Cast { data_type, .. } if is_float(&data_type.to_string()) => {
            refuse(format!("{data_type} is not exact; DECIMAL(33,5) is"))
        }
        Expr::Function(function) => check_function(function, expression.span(), known, places),
        _ => Ok(()),
    }
}

fn is_float(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["FLOAT", "REAL", "DOUBLE"]
        .iter()
        .any(|float| name.starts_with(float))
}

fn check_function(
    function: &Function,
    span: Span,
    known: &impl Fn(&str) -> Known,
    places: &mut Places,
) -> Result<(), SqlError> {
    let refuse = |what: String| Err(SqlError::refused(what, span));
    let name = function.name.to_string().to_ascii_lowercase();
    if function.over.is_some() {
        return refuse("window functions are not supported".to_owned());
    }
    if !FUNCTIONS.contains(&name.as_str()) {
        return match known(&name) {
            Known::Pure => Ok(()),
            Known::Changing => refuse(format!(
                "{name} gives something else at another time: the same transactions must always give the same totals"
            )),
            Known::Aggregate => refuse(format!(
                "{name} is not one of the aggregate functions {}",
                FUNCTIONS.join(", ")
            )),
            Known::No => refuse(format!("there is no function {name}")),
        };
    }
    let mut distinct = false;
    if let FunctionArguments::List(list) = &function.args {
        distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
        if distinct && name != "count" {
            return refuse(format!(
                "{name}(DISTINCT ...) is not supported, only count(DISTINCT ...)"
            ));
        }
        if name != "count" || distinct {
            let count = list.args.len();
            if count != 1 {
                return refuse(format!("{name} takes one expression here, not {count}"));
            }
        }
        if !list.clauses.is_empty() {
            return refuse(format!("{name} takes nothing but an expression"));
        }
    }
    if !function.within_group.is_empty() || function.null_treatment.is_some() {
        return refuse(format!("{name} takes nothing but an expression"));
    }
    if distinct {
        places.distinct.get_or_insert(span);
    }
    if distinct || name == "min" || name == "max" {
        let what = if distinct {
            "count(DISTINCT ...)"
        } else {
            &name
        };
        let first = || (what.to_owned(), span);
        places.irreversible.get_or_insert_with(first);
    }
    Ok(())
}
