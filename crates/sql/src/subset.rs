//! The subset of SQL an aggregation may use, checked on the syntax tree, where positions are known.

use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, FunctionArguments, GroupByExpr, Query, Select, SelectItem, SetExpr, Spanned,
    Statement, TableFactor,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Span;

use crate::error::SqlError;

/// Aggregate functions that can be folded batch by batch.
const FUNCTIONS: &[&str] = &["sum", "count", "min", "max", "avg"];

/// Refuses what is outside the subset, pointing at it.
pub(crate) fn check(sql: &str, stream: &str) -> Result<(), SqlError> {
    let statements = Parser::parse_sql(&GenericDialect {}, sql)
        .map_err(|error| SqlError::plain(format!("not understood as SQL: {error}")))?;
    let [Statement::Query(query)] = statements.as_slice() else {
        return Err(SqlError::plain("an aggregation is one SELECT statement"));
    };
    let select = check_query(query)?;
    check_from(select, stream)?;
    check_group_by(select)?;
    select.projection.iter().try_for_each(check_item)
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
    if let Some(having) = &select.having {
        return refuse("HAVING is not supported yet", having.span());
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
    let GroupByExpr::Expressions(expressions, modifiers) = &select.group_by else {
        return Err(SqlError::refused(
            "GROUP BY ALL is not supported",
            select.group_by.span(),
        ));
    };
    if !modifiers.is_empty() {
        let what = "ROLLUP, CUBE and GROUPING SETS are not supported";
        return Err(SqlError::refused(what, select.group_by.span()));
    }
    let is_day = |expression: &Expr| expression.to_string().eq_ignore_ascii_case("business_day");
    if !expressions.iter().any(is_day) {
        return Err(SqlError::refused(
            "GROUP BY must contain business_day: totals are kept by day",
            select.group_by.span(),
        ));
    }
    Ok(())
}

fn check_item(item: &SelectItem) -> Result<(), SqlError> {
    let expression = match item {
        SelectItem::UnnamedExpr(expression) => expression,
        SelectItem::ExprWithAlias { expr, .. } => expr,
        other => {
            return Err(SqlError::refused(
                "name the columns instead of *",
                other.span(),
            ));
        }
    };
    let Expr::Function(function) = expression else {
        return Ok(());
    };
    let span = expression.span();
    if function.over.is_some() {
        return Err(SqlError::refused(
            "window functions are not supported",
            span,
        ));
    }
    let name = function.name.to_string().to_ascii_lowercase();
    if let FunctionArguments::List(list) = &function.args
        && list.duplicate_treatment.is_some()
    {
        let what = format!("{name}(DISTINCT ...) is not supported yet");
        return Err(SqlError::refused(what, span));
    }
    if !FUNCTIONS.contains(&name.as_str()) {
        return Err(SqlError::refused(
            format!(
                "{name} is not one of the aggregate functions {}",
                FUNCTIONS.join(", ")
            ),
            span,
        ));
    }
    Ok(())
}
