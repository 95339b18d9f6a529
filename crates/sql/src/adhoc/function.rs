//! Functions that others bring along: text in, text out.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array as _, ArrayRef, AsArray, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};

use super::table::{ColumnType, arrow_type};

/// Computes a row's value from its arguments; `None` is null.
pub type Evaluate = dyn Fn(&[Option<&str>]) -> Option<String> + Send + Sync;

/// A function of SQL. Within one query it says the same for the same arguments.
#[derive(Clone)]
pub struct Function {
    /// Name, in lower case. It takes the place of one that DataFusion has.
    pub name: String,
    /// What it returns.
    pub returns: ColumnType,
    /// How.
    pub evaluate: Arc<Evaluate>,
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Function {
    /// As DataFusion has it.
    pub(super) fn into_udf(self) -> ScalarUDF {
        let any = vec![TypeSignature::Nullary, TypeSignature::VariadicAny];
        ScalarUDF::new_from_impl(Udf {
            signature: Signature::one_of(any, Volatility::Stable),
            function: self,
        })
    }
}

#[derive(Debug)]
struct Udf {
    signature: Signature,
    function: Function,
}

impl PartialEq for Udf {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name
    }
}

impl Eq for Udf {}

impl Hash for Udf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl ScalarUDFImpl for Udf {
    fn name(&self) -> &str {
        &self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(arrow_type(self.function.returns))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_scalar = |arg: &ColumnarValue| matches!(arg, ColumnarValue::Scalar(_));
        let is_constant = args.args.iter().all(is_scalar);
        let rows = if is_constant { 1 } else { args.number_rows };
        let texts: Vec<ArrayRef> = args
            .args
            .iter()
            .map(|arg| Ok(cast(&arg.to_array(rows)?, &DataType::Utf8)?))
            .collect::<Result<_>>()?;
        let texts: Vec<&StringArray> = texts.iter().map(|array| array.as_string::<i32>()).collect();
        let value = |row: usize| {
            let of_row: Vec<Option<&str>> = texts
                .iter()
                .map(|array| array.is_valid(row).then(|| array.value(row)))
                .collect();
            (self.function.evaluate)(&of_row)
        };
        let values: StringArray = (0..rows).map(value).collect();
        let values = cast(&values, &arrow_type(self.function.returns))?;
        match is_constant {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &values, 0,
            )?)),
            false => Ok(ColumnarValue::Array(values)),
        }
    }
}
