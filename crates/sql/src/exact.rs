//! Arithmetic that is exact or an error, in place of DataFusion's own: its quotient of decimals is cut off, its whole numbers
//! wrap, and its rounding would need floats.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal128Array};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, i256};
use datafusion::common::{DFSchema, Result, exec_err, plan_err};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility, cast,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;

/// Digits of a sum, and of every quotient.
pub(crate) const SUM_PRECISION: u8 = 33;
/// Digits behind the point of sums, quotients and results.
pub(crate) const SCALE: i8 = 5;
/// Digits that hold every whole number of 64 bits.
const WHOLE_PRECISION: u8 = 20;

/// The type of sums.
pub(crate) fn sum_type() -> DataType {
    DataType::Decimal128(SUM_PRECISION, SCALE)
}

/// A whole number as a decimal.
pub(crate) fn whole_type() -> DataType {
    DataType::Decimal128(WHOLE_PRECISION, 0)
}

/// Plans `+ - * /` so that the result is exact.
#[derive(Debug)]
pub(crate) struct ExactPlanner;

impl ExprPlanner for ExactPlanner {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let op = match expr.op {
            BinaryOperator::Plus => Operator::Plus,
            BinaryOperator::Minus => Operator::Minus,
            BinaryOperator::Multiply => Operator::Multiply,
            BinaryOperator::Divide => Operator::Divide,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        Ok(match exact(op, &expr.left, &expr.right, schema) {
            Some(exact) => PlannerResult::Planned(exact),
            None => PlannerResult::Original(expr),
        })
    }
}

/// `left op right` in the exact way, where DataFusion's own is not.
pub(crate) fn exact(op: Operator, left: &Expr, right: &Expr, schema: &DFSchema) -> Option<Expr> {
    let (a, b) = (left.get_type(schema).ok()?, right.get_type(schema).ok()?);
    let whole = a.is_integer() && b.is_integer();
    let as_decimal = |expr: &Expr, kind: &DataType| match kind {
        DataType::Decimal128(..) => Some(expr.clone()),
        DataType::Null => Some(cast(expr.clone(), sum_type())),
        kind if kind.is_integer() => Some(cast(expr.clone(), whole_type())),
        _ => None,
    };
    let is_decimal = |kind: &DataType| matches!(kind, DataType::Decimal128(..));
    match op {
        Operator::Divide if is_decimal(&a) || is_decimal(&b) => {
            let arguments = vec![as_decimal(left, &a)?, as_decimal(right, &b)?];
            Some(function(Exact::Quotient).call(arguments))
        }
        Operator::Plus | Operator::Minus | Operator::Multiply if whole => {
            let (left, right) = (as_decimal(left, &a)?, as_decimal(right, &b)?);
            let wide = Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)));
            Some(cast(wide, DataType::Int64))
        }
        _ => None,
    }
}

/// Functions of the subset that are not DataFusion's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Exact {
    /// DECIMAL(33,5), half to even.
    Quotient,
    /// Half away from zero, as SQL has it; the second argument says how many digits stay, none if it is not there.
    Round,
    /// Without its sign.
    Abs,
}

impl Exact {
    pub(crate) const ALL: [Self; 3] = [Self::Quotient, Self::Round, Self::Abs];
}

pub(crate) fn function(exact: Exact) -> ScalarUDF {
    let signature = match exact {
        Exact::Quotient => Signature::any(2, Volatility::Immutable),
        Exact::Round | Exact::Abs => Signature::user_defined(Volatility::Immutable),
    };
    ScalarUDF::new_from_impl(Function { exact, signature })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Function {
    exact: Exact,
    signature: Signature,
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        match self.exact {
            Exact::Quotient => "quotient",
            Exact::Round => "round",
            Exact::Abs => "abs",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, kinds: &[DataType]) -> Result<Vec<DataType>> {
        let number = match kinds.first() {
            Some(kind @ DataType::Decimal128(..)) => kind.clone(),
            Some(kind) if kind.is_integer() => whole_type(),
            Some(DataType::Null) => sum_type(),
            _ => return plan_err!("{} takes a decimal or a whole number", self.name()),
        };
        match (self.exact, kinds) {
            (_, [_]) => Ok(vec![number]),
            (Exact::Round, [_, digits]) if digits.is_integer() => Ok(vec![number, DataType::Int64]),
            _ => plan_err!(
                "{} takes one number; round also takes how many digits stay",
                self.name()
            ),
        }
    }

    fn return_type(&self, kinds: &[DataType]) -> Result<DataType> {
        Ok(match (self.exact, kinds.first()) {
            (Exact::Round | Exact::Abs, Some(DataType::Decimal128(_, scale))) => {
                DataType::Decimal128(38, *scale)
            }
            _ => sum_type(),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let kind = args.return_type().clone();
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let (first, scale) = decimals(arrays.first())?;
        let result: Decimal128Array = match self.exact {
            Exact::Abs => first.iter().map(|value| value.map(i128::abs)).collect(),
            Exact::Round => {
                let digits = arrays.get(1).map(|digits| digits.as_primitive().clone());
                let digits: Option<datafusion::arrow::array::Int64Array> = digits;
                let rounded = first.iter().enumerate().map(|(row, value)| {
                    let kept = match &digits {
                        None => 0,
                        Some(digits) if digits.is_null(row) => return Ok(None),
                        Some(digits) => digits.value(row),
                    };
                    let dropped = i64::from(scale).saturating_sub(kept);
                    value.map(|value| round(value, dropped)).transpose()
                });
                rounded.collect::<Result<_>>()?
            }
            Exact::Quotient => {
                let (second, divisor_scale) = decimals(arrays.get(1))?;
                let shift = i32::from(SCALE) + i32::from(divisor_scale) - i32::from(scale);
                let pairs = first.iter().zip(second.iter());
                let quotients = pairs.map(|(a, b)| match (a, b) {
                    (Some(a), Some(b)) => quotient(a, b, shift).map(Some),
                    _ => Ok(None),
                });
                quotients.collect::<Result<_>>()?
            }
        };
        let DataType::Decimal128(precision, scale) = kind else {
            return exec_err!("{} gives a decimal", self.name());
        };
        let result = result.with_precision_and_scale(precision, scale)?;
        Ok(ColumnarValue::Array(Arc::new(result)))
    }
}

fn decimals(array: Option<&ArrayRef>) -> Result<(Decimal128Array, i8)> {
    let Some(array) = array else {
        return exec_err!("an argument is missing");
    };
    let DataType::Decimal128(_, scale) = array.data_type() else {
        return exec_err!("{} is no decimal", array.data_type());
    };
    Ok((array.as_primitive::<Decimal128Type>().clone(), *scale))
}

/// Half away from zero; `dropped` digits become zeros.
fn round(value: i128, dropped: i64) -> Result<i128> {
    let dropped = match u32::try_from(dropped) {
        Err(_) | Ok(0) if dropped <= 0 => return Ok(value),
        Ok(dropped) if dropped <= 38 => dropped,
        _ => return Ok(0),
    };
    let unit = 10_i128.pow(dropped);
    let (whole, rest) = (value / unit, value % unit);
    let away = if rest.unsigned_abs() >= unit.unsigned_abs() / 2 {
        value.signum()
    } else {
        0
    };
    match (whole + away).checked_mul(unit) {
        Some(rounded) => Ok(rounded),
        None => exec_err!("a rounded decimal overflows"),
    }
}

/// `a / b` times `10^shift`, half to even, within DECIMAL(33,5).
fn quotient(a: i128, b: i128, shift: i32) -> Result<i128> {
    if b == 0 {
        return exec_err!("division by zero");
    }
    let power = (0..shift.unsigned_abs())
        .try_fold(i256::ONE, |power, _| power.checked_mul(i256::from_i128(10)));
    let (a, b) = (i256::from_i128(a), i256::from_i128(b));
    let scaled = power.and_then(|power| match shift >= 0 {
        true => Some((a.checked_mul(power)?, b)),
        false => Some((a, b.checked_mul(power)?)),
    });
    let rounded = scaled.and_then(|(a, b)| divide_half_even(a, b));
    match rounded.and_then(i256::to_i128) {
        Some(units) if units.unsigned_abs() < 10_u128.pow(u32::from(SUM_PRECISION)) => Ok(units),
        _ => exec_err!("a quotient leaves DECIMAL({SUM_PRECISION},{SCALE})"),
    }
}

fn divide_half_even(a: i256, b: i256) -> Option<i256> {
    let (whole, rest) = (a.checked_div(b)?, a.checked_rem(b)?);
    // The magnitudes; neither is the smallest i256, as both come from 128 bits and powers of ten.
    let (rest, half) = (rest.wrapping_abs(), b.wrapping_abs());
    let doubled = rest.checked_mul(i256::from_i128(2))?;
    let odd = whole.checked_rem(i256::from_i128(2))? != i256::ZERO;
    if doubled < half || (doubled == half && !odd) {
        return Some(whole);
    }
    let one = match (a < i256::ZERO) == (b < i256::ZERO) {
        true => i256::ONE,
        false => i256::MINUS_ONE,
    };
    whole.checked_add(one)
}

/// A decimal with any digits in units of 1/100,000, half to even; `None` where it leaves 128 bits.
pub(crate) fn to_five_digits(value: i128, scale: i8) -> Option<i128> {
    let down = i32::from(scale) - i32::from(SCALE);
    let unit = 10_i128.checked_pow(down.unsigned_abs())?;
    if down <= 0 {
        return value.checked_mul(unit);
    }
    Some(half_even(value, unit))
}

/// `value / by`, half to even; `by` is above 0 and at most 10^38.
pub(crate) fn half_even(value: i128, by: i128) -> i128 {
    let (whole, rest) = (value.div_euclid(by), value.rem_euclid(by));
    // Compared with what is left to `by`: twice the rest may leave 128 bits.
    let up = match rest.cmp(&(by - rest)) {
        Ordering::Less => false,
        Ordering::Equal => whole % 2 != 0,
        Ordering::Greater => true,
    };
    // Where `by` is 1 there is no rest; else the quotient is half of what `value` may be at most.
    whole + i128::from(up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotients_are_rounded_half_to_even_from_all_their_digits() {
        let units = |a, b, shift| quotient(a, b, shift).ok();
        assert_eq!(units(5, 2, 0), Some(2));
        assert_eq!(units(7, 2, 0), Some(4));
        assert_eq!(units(-5, 2, 0), Some(-2));
        assert_eq!(units(-7, 2, 0), Some(-4));
        assert_eq!(units(7, -2, 0), Some(-4));
        // Just above a half, far behind the digits that DataFusion's quotient has.
        assert_eq!(
            units(5_000_000_000_000_001, 10_000_000_000_000_000, 0),
            Some(1)
        );
        assert_eq!(units(1, 3, 5), Some(33_333));
        assert_eq!(units(250_000, 1, -5), Some(2));
        assert_eq!(units(1, 0, 0), None);
        let largest = 10_i128.pow(33) - 1;
        assert_eq!(units(largest, 1, 0), Some(largest));
        assert_eq!(units(largest + 1, 1, 0), None);
    }

    #[test]
    fn rounding_is_half_away_from_zero_and_results_half_to_even() {
        assert_eq!(round(250_000, 5).ok(), Some(300_000));
        assert_eq!(round(-250_000, 5).ok(), Some(-300_000));
        assert_eq!(round(249_999, 5).ok(), Some(200_000));
        assert_eq!(round(7, 0).ok(), Some(7));
        assert_eq!(round(7, -3).ok(), Some(7));
        assert_eq!(round(7, 39).ok(), Some(0));
        assert_eq!(to_five_digits(25, 6), Some(2));
        assert_eq!(to_five_digits(35, 6), Some(4));
        assert_eq!(to_five_digits(-25, 6), Some(-2));
        assert_eq!(to_five_digits(-26, 6), Some(-3));
        assert_eq!(to_five_digits(3, 0), Some(300_000));
        assert_eq!(to_five_digits(i128::MAX, 0), None);
    }
}
