//! Questions about what there never is: clients ask a catalog for indexes, triggers and the like in SQL that goes beyond DataFusion's,
//! and the answer is the same: nothing.
//!
//! Invariant: a statement is answered so only when it cannot be planned; one that can is answered by its plan.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, JoinOperator, ObjectName, Query, SelectItem, SetExpr, Statement, TableFactor,
    TableWithJoins, Value, visit_expressions_mut,
};

/// Says whether a table, by its name in lower case without quotes, never has rows.
pub(super) type IsEmpty<'a> = &'a dyn Fn(&str) -> bool;

/// Puts null in the place of subqueries for one value that find nothing.
pub(super) fn without_subqueries(statement: &mut Statement, is_empty: IsEmpty<'_>) {
    let _ = visit_expressions_mut(statement, |expr| {
        if let Expr::Subquery(query) = expr
            && finds_nothing(&query.body, is_empty)
            && !query.to_string().to_lowercase().contains("count(")
        {
            *expr = Expr::Value(Value::Null.into());
        }
        ControlFlow::<()>::Continue(())
    });
}

/// Names of the columns of a statement that finds nothing; `None` where it may find something.
pub(super) fn columns_of_nothing(
    statement: &Statement,
    is_empty: IsEmpty<'_>,
) -> Option<Vec<String>> {
    let Statement::Query(query) = statement else {
        return None;
    };
    finds_nothing(&query.body, is_empty).then(|| names(query))?
}

fn finds_nothing(body: &SetExpr, is_empty: IsEmpty<'_>) -> bool {
    match body {
        SetExpr::Select(select) => select.from.iter().any(|from| from_nothing(from, is_empty)),
        SetExpr::Query(query) => finds_nothing(&query.body, is_empty),
        SetExpr::SetOperation { left, right, .. } => {
            finds_nothing(left, is_empty) && finds_nothing(right, is_empty)
        }
        _ => false,
    }
}

fn from_nothing(from: &TableWithJoins, is_empty: IsEmpty<'_>) -> bool {
    let table = |factor: &TableFactor| match factor {
        TableFactor::Table {
            name, args: None, ..
        } => is_empty(&plain(name)),
        _ => false,
    };
    // An outer join keeps the rows of the other side.
    let join = |operator: &JoinOperator| {
        matches!(
            operator,
            JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_)
        )
    };
    let outer_after = |index: usize| {
        let mut later = from.joins.iter().skip(index);
        later.any(|join| {
            matches!(
                join.join_operator,
                JoinOperator::Right(_) | JoinOperator::RightOuter(_) | JoinOperator::FullOuter(_)
            )
        })
    };
    if table(&from.relation) {
        return !outer_after(0);
    }
    let mut joins = from.joins.iter().enumerate();
    joins.any(|(index, joined)| {
        join(&joined.join_operator) && table(&joined.relation) && !outer_after(index + 1)
    })
}

fn plain(name: &ObjectName) -> String {
    let last = name.0.last().and_then(|part| part.as_ident());
    last.map(|ident| ident.value.to_lowercase())
        .unwrap_or_default()
}

fn names(query: &Query) -> Option<Vec<String>> {
    let mut body = query.body.as_ref();
    let select = loop {
        body = match body {
            SetExpr::Select(select) => break select,
            SetExpr::SetOperation { left, .. } => left,
            SetExpr::Query(query) => &query.body,
            _ => return None,
        };
    };
    let name = |item: &SelectItem| match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(name.value.clone()),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
            parts.last().map(|part| part.value.clone())
        }
        SelectItem::UnnamedExpr(Expr::Function(function)) => Some(plain(&function.name)),
        SelectItem::UnnamedExpr(_) => Some("?column?".to_owned()),
        _ => None,
    };
    select.projection.iter().map(name).collect()
}
