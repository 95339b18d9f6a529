//! How an aggregate of the text is computed of a batch, so that its results can be folded.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{AggregateUDF, Expr, ExprSchemable, cast};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::parts::bare;
use crate::error::SqlError;
use crate::exact::{SCALE, SUM_PRECISION, sum_type, whole_type};
use crate::fold::{FoldKind, ValueKind};
use crate::read::value_kind;

/// An aggregate as it is folded.
pub(super) struct Partial {
    pub(super) fold: FoldKind,
    pub(super) kind: ValueKind,
    /// The aggregates of a batch whose results are folded.
    pub(super) expressions: Vec<Expr>,
}

impl Partial {
    pub(super) fn of(
        expression: &Expr,
        index: usize,
        input: &DFSchema,
        place: Span,
    ) -> Result<Self, SqlError> {
        let refuse = |what: String| Err(SqlError::refused(what, place));
        let Expr::AggregateFunction(function) = bare(expression) else {
            return refuse(format!("{expression} is not an aggregate function"));
        };
        let name = function.func.name();
        let Some(argument) = function.params.args.first() else {
            return refuse(format!("{name} takes an expression"));
        };
        let kind = argument
            .get_type(input)
            .map_err(|error| SqlError::from_datafusion("not accepted", error).at(place))?;
        let call = |udaf: Arc<AggregateUDF>, argument: Expr, suffix: &str| {
            let mut params = function.params.clone();
            params.args = vec![argument];
            Expr::AggregateFunction(AggregateFunction { func: udaf, params })
                .alias(format!("{suffix}{index}"))
        };
        if name == "count" {
            if !function.params.distinct {
                return Ok(Self {
                    fold: FoldKind::Count,
                    kind: ValueKind::Int,
                    expressions: vec![bare(expression).clone().alias(format!("value{index}"))],
                });
            }
            if value_kind(&kind).is_none() {
                return refuse(format!("count(DISTINCT ...) of {kind} is not supported"));
            }
            let mut function = function.clone();
            function.func = array_agg_udaf();
            let argument = within_sums(argument, &kind);
            let is_there = argument.clone().is_not_null();
            function.params.args = vec![argument];
            function.params.filter = Some(Box::new(match function.params.filter {
                Some(filter) => is_there.and(*filter),
                None => is_there,
            }));
            let values = Expr::AggregateFunction(function).alias(format!("value{index}"));
            return Ok(Self {
                fold: FoldKind::Distinct,
                kind: ValueKind::Int,
                expressions: vec![values],
            });
        }
        let digits = |scale: i8| {
            refuse(format!(
                "{name} takes decimals with at most {SCALE} digits behind the point, not {scale}: \
                 CAST(... AS DECIMAL(33,{SCALE}))"
            ))
        };
        let decimal = match &kind {
            DataType::Decimal128(_, scale) if *scale > SCALE => return digits(*scale),
            DataType::Decimal128(..) => true,
            _ => false,
        };
        let whole = kind.is_integer();
        let argument = within_sums(argument, &kind);
        let (fold, kind, expressions) = match (name, value_kind(&kind)) {
            ("sum", _) if decimal => {
                let sum = call(sum_udaf(), argument, "value");
                (FoldKind::Sum, ValueKind::Decimal, vec![sum])
            }
            ("sum", _) if whole => {
                let sum = call(sum_udaf(), cast(argument, whole_type()), "value");
                (FoldKind::SumInt, ValueKind::Int, vec![sum])
            }
            ("avg", _) if decimal || whole => {
                let argument = match whole {
                    true => cast(argument, sum_type()),
                    false => argument,
                };
                let sum = call(sum_udaf(), argument.clone(), "value");
                let count = call(count_udaf(), argument, "count");
                (FoldKind::Avg, ValueKind::Decimal, vec![sum, count])
            }
            ("min" | "max", Some(kind)) => {
                let fold = match name {
                    "min" => FoldKind::Min,
                    _ => FoldKind::Max,
                };
                let extreme = call(Arc::clone(&function.func), argument, "value");
                (fold, kind, vec![extreme])
            }
            _ => return refuse(format!("{name} of {kind} is not supported")),
        };
        Ok(Self {
            fold,
            kind,
            expressions,
        })
    }
}

/// A decimal that may be larger than a sum is an error of its record, before it is added to anything.
fn within_sums(argument: &Expr, kind: &DataType) -> Expr {
    match kind {
        DataType::Decimal128(precision, SCALE) if *precision <= SUM_PRECISION => argument.clone(),
        DataType::Decimal128(..) => cast(argument.clone(), sum_type()),
        _ => argument.clone(),
    }
}
