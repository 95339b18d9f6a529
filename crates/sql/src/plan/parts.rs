//! What the text's own plan consists of.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::{BUSINESS_DAY, Output, OutputSource};
use crate::error::SqlError;
use crate::finish::{key_column, refuse_floats, value_column};
use crate::subset::Places;

/// What an aggregation consists of.
pub(super) struct Parts {
    pub(super) group_expr: Vec<Expr>,
    pub(super) aggr_expr: Vec<Expr>,
    /// Name and expression of each column of the results, over `schema`.
    columns: Vec<(String, Expr)>,
    pub(super) having: Option<Expr>,
    /// Keys, then aggregates.
    pub(super) schema: Arc<DFSchema>,
    pub(super) input: Arc<LogicalPlan>,
}

/// Columns of the results, and expressions that some of them are.
type Outputs = (Vec<Output>, Vec<(Expr, Span)>);

impl Parts {
    pub(super) fn take(plan: LogicalPlan) -> Result<Self, SqlError> {
        let LogicalPlan::Projection(projection) = plan else {
            return Err(SqlError::plain(
                "an aggregation is SELECT keys and aggregates ... GROUP BY",
            ));
        };
        let (having, below) = match projection.input.as_ref() {
            LogicalPlan::Filter(filter) => (Some(filter.predicate.clone()), filter.input.as_ref()),
            below => (None, below),
        };
        let LogicalPlan::Aggregate(aggregate) = below else {
            return Err(SqlError::plain(
                "an aggregation needs GROUP BY directly under its SELECT",
            ));
        };
        let names = projection.schema.fields().iter();
        let columns = names.zip(&projection.expr);
        Ok(Self {
            group_expr: aggregate.group_expr.clone(),
            aggr_expr: aggregate.aggr_expr.clone(),
            columns: columns
                .map(|(field, expression)| (field.name().clone(), bare(expression).clone()))
                .collect(),
            having,
            schema: Arc::clone(&aggregate.schema),
            input: Arc::clone(&aggregate.input),
        })
    }

    /// Keys, conditions and arguments of aggregates have no floats; what is computed of them is looked at when it is planned.
    pub(super) fn refuse_floats(&self, places: &Places) -> Result<(), SqlError> {
        let columns = self.input.schema();
        for key in &self.group_expr {
            refuse_floats(key, columns, places.group_by)?;
        }
        if let LogicalPlan::Filter(filter) = self.input.as_ref() {
            refuse_floats(&filter.predicate, columns, places.selection)?;
        }
        for (index, expression) in self.aggr_expr.iter().enumerate() {
            let Expr::AggregateFunction(function) = bare(expression) else {
                continue;
            };
            let place = self.place_of(index, places);
            for argument in function
                .params
                .args
                .iter()
                .chain(function.params.filter.as_deref())
            {
                refuse_floats(argument, columns, place)?;
            }
        }
        Ok(())
    }

    /// Place of the column of the results that has this aggregate, else HAVING has it.
    pub(super) fn place_of(&self, aggregate: usize, places: &Places) -> Span {
        let position = self.group_expr.len() + aggregate;
        let has = |expression: &Expr| {
            let columns = expression.column_refs();
            let mut positions = columns
                .iter()
                .map(|column| self.schema.maybe_index_of_column(column));
            positions.any(|found| found == Some(position))
        };
        let item = self
            .columns
            .iter()
            .position(|(_, expression)| has(expression));
        let place = item.and_then(|item| places.items.get(item));
        place.copied().unwrap_or(places.having)
    }

    pub(super) fn outputs(&self, order: &[usize], places: &Places) -> Result<Outputs, SqlError> {
        let (mut outputs, mut computed) = (Vec::new(), Vec::new());
        for (item, (name, expression)) in self.columns.iter().enumerate() {
            let position = match expression {
                Expr::Column(column) => self.schema.maybe_index_of_column(column),
                _ => None,
            };
            let source = match position {
                Some(position) => match position.checked_sub(order.len()) {
                    Some(value) => OutputSource::Value(value),
                    None => OutputSource::Key(place_of_key(order, position)),
                },
                None => {
                    let place = places.items.get(item).copied();
                    let expression = over_columns(expression.clone(), &self.schema, order)?;
                    computed.push((expression, place.unwrap_or_else(Span::empty)));
                    OutputSource::Computed(computed.len() - 1)
                }
            };
            outputs.push(Output {
                name: name.clone(),
                source,
            });
        }
        Ok((outputs, computed))
    }
}

/// Where a key of the text is in the key of a row.
fn place_of_key(order: &[usize], position: usize) -> usize {
    order.iter().position(|key| *key == position).unwrap_or(0)
}

/// The expression over the columns that [`Finish`] has.
pub(super) fn over_columns(
    expression: Expr,
    schema: &DFSchema,
    order: &[usize],
) -> Result<Expr, SqlError> {
    let renamed = expression.transform_up(|node| {
        let position = match &node {
            Expr::Column(column) => schema.maybe_index_of_column(column),
            _ => None,
        };
        Ok(match position {
            None => Transformed::no(node),
            Some(position) => {
                let name = match position.checked_sub(order.len()) {
                    Some(value) => value_column(value),
                    None => key_column(place_of_key(order, position)),
                };
                Transformed::yes(Expr::Column(Column::new_unqualified(name)))
            }
        })
    });
    let renamed = renamed.map_err(|error| SqlError::from_datafusion("not accepted", error))?;
    Ok(renamed.data)
}

/// Without its aliases.
pub(super) fn bare(expression: &Expr) -> &Expr {
    match expression {
        Expr::Alias(alias) => bare(&alias.expr),
        other => other,
    }
}

pub(super) fn is_business_day(expression: &Expr) -> bool {
    matches!(expression, Expr::Column(column) if column.name == BUSINESS_DAY)
}
