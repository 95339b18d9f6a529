//! What PostgreSQL's clients write and DataFusion does not know, said otherwise; and parameters as values.
//!
//! ```text
//! pg_catalog.version()              → version()
//! c.relname OPERATOR(pg_catalog.~) 'x' COLLATE pg_catalog.default  → c.relname ~ 'x'
//! 'daily_totals'::regclass          → to_regclass('daily_totals')
//! x::pg_catalog.text                → x::text
//! ARRAY(SELECT ...)                 → null: the catalog has no lists
//! (current_schemas(true))[1]        → 'public'
//! ```

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, ExactNumberInfo, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName, ObjectNamePart,
    Statement, TimezoneInfo, Value, visit_expressions_mut,
};

use super::statement::parameter_number;

/// Schema of PostgreSQL's own functions, types and operators.
const CATALOG: &str = "pg_catalog";
/// Most digits of a decimal.
const PRECISION_MAX: usize = 38;

/// Type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterType {
    /// Text, or not known: it becomes what it is compared with.
    Text,
    /// A whole number.
    Int,
    /// An exact decimal.
    Decimal,
    /// A float.
    Float,
    /// True or false.
    Bool,
    /// A date.
    Date,
    /// A date with a time.
    Timestamp,
}

/// A parameter's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its type.
    pub kind: ParameterType,
    /// As text; `None` is null.
    pub text: Option<String>,
}

/// Says otherwise what only PostgreSQL knows.
pub(super) fn from_postgres(statement: &mut Statement) {
    let _ = visit_expressions_mut(statement, |expr| {
        known_words(expr);
        casts(expr);
        match expr {
            Expr::Collate { expr: inner, .. } => *expr = std::mem::replace(inner, null()),
            // Of a list: there is one schema, and no list of anything else.
            Expr::CompoundFieldAccess { root, .. } => match list_name(root).as_deref() {
                Some("current_schemas") => {
                    *expr = Expr::Value(Value::SingleQuotedString("public".to_owned()).into());
                }
                Some(_) => *expr = cast(null(), DataType::BigInt(None)),
                None => {}
            },
            // A list of what the catalog does not have.
            Expr::Function(function) if is_list(function) => *expr = cast(null(), DataType::Text),
            Expr::Function(function) => strip_schema(&mut function.name),
            Expr::BinaryOp { op, .. } => operator(op),
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
}

/// Puts values in the place of `$1`, `$2`, ...; those that are `None` stay.
pub(super) fn with_parameters(statement: &mut Statement, parameters: &[Option<Parameter>]) {
    let _ = visit_expressions_mut(statement, |expr| {
        if let Expr::Value(value) = expr
            && let Value::Placeholder(name) = &value.value
            && let Some(number) = parameter_number(name)
            && let Some(Some(parameter)) = parameters.get(number - 1)
        {
            *expr = literal(parameter);
        }
        ControlFlow::<()>::Continue(())
    });
}

fn null() -> Expr {
    Expr::Value(Value::Null.into())
}

fn literal(parameter: &Parameter) -> Expr {
    let Some(text) = &parameter.text else {
        return match type_of(parameter.kind, "") {
            Some(kind) => cast(null(), kind),
            None => cast(null(), DataType::Text),
        };
    };
    let quoted = Expr::Value(Value::SingleQuotedString(text.clone()).into());
    match type_of(parameter.kind, text) {
        Some(kind) => cast(quoted, kind),
        None => quoted,
    }
}

/// `None`: what the text becomes is decided by what it is used for.
fn type_of(kind: ParameterType, text: &str) -> Option<DataType> {
    Some(match kind {
        ParameterType::Text => return None,
        ParameterType::Int => DataType::BigInt(None),
        ParameterType::Decimal => decimal_type(text),
        ParameterType::Float => DataType::DoublePrecision,
        ParameterType::Bool => DataType::Boolean,
        ParameterType::Date => DataType::Date,
        ParameterType::Timestamp => DataType::Timestamp(None, TimezoneInfo::None),
    })
}

/// As small as holds the digits: what it is compared with keeps room for its own.
fn decimal_type(text: &str) -> DataType {
    let digits = text.trim_start_matches(['-', '+']);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let scale = fraction.len().clamp(1, PRECISION_MAX - 1);
    let precision = (whole.len() + scale).clamp(scale + 1, PRECISION_MAX);
    DataType::Decimal(ExactNumberInfo::PrecisionAndScale(
        precision as u64,
        i64::try_from(scale).unwrap_or(1),
    ))
}

fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(expr),
        data_type,
        array: false,
        format: None,
    }
}

fn call(name: &str, args: Vec<Expr>) -> Expr {
    let args = args
        .into_iter()
        .map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)));
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// Words that are functions without parentheses.
fn known_words(expr: &mut Expr) {
    match expr {
        Expr::Identifier(word)
            if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("current_schema") =>
        {
            *expr = call("current_schema", Vec::new());
        }
        Expr::Function(function) if matches!(function.args, FunctionArguments::None) => {
            let name = function.name.to_string().to_lowercase();
            if matches!(
                name.as_str(),
                "current_user" | "session_user" | "user" | "current_catalog" | "current_role"
            ) {
                *expr = call(&name, Vec::new());
            }
        }
        _ => {}
    }
}

/// `ARRAY(SELECT ...)`.
fn is_list(function: &Function) -> bool {
    matches!(function.args, FunctionArguments::Subquery(_))
        && function.name.to_string().eq_ignore_ascii_case("array")
}

/// Name of the function that makes a list of the catalog.
fn list_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Nested(inner) => list_name(inner),
        Expr::Function(function) => {
            let name = function.name.to_string().to_lowercase();
            let name = name.rsplit('.').next().unwrap_or_default();
            matches!(name, "current_schemas" | "_pg_expandarray").then(|| name.to_owned())
        }
        _ => None,
    }
}

/// `pg_catalog.x` becomes `x`.
fn strip_schema(name: &mut ObjectName) {
    let is_catalog = |part: &ObjectNamePart| {
        part.as_ident()
            .is_some_and(|ident| ident.value.eq_ignore_ascii_case(CATALOG))
    };
    if name.0.len() == 2 && name.0.first().is_some_and(is_catalog) {
        name.0.remove(0);
        // The catalog's lists are texts.
        if name.to_string() == "array_to_string" {
            *name = ObjectName::from(vec![Ident::new("pg_array_to_string")]);
        }
    }
}

fn operator(op: &mut BinaryOperator) {
    let BinaryOperator::PGCustomBinaryOperator(parts) = op else {
        return;
    };
    let known = match parts.last().map(String::as_str) {
        Some("~") => BinaryOperator::PGRegexMatch,
        Some("~*") => BinaryOperator::PGRegexIMatch,
        Some("!~") => BinaryOperator::PGRegexNotMatch,
        Some("!~*") => BinaryOperator::PGRegexNotIMatch,
        Some("=") => BinaryOperator::Eq,
        Some("<>") => BinaryOperator::NotEq,
        _ => return,
    };
    *op = known;
}

fn casts(expr: &mut Expr) {
    let Expr::Cast {
        expr: inner,
        data_type,
        ..
    } = expr
    else {
        return;
    };
    let name = match data_type {
        DataType::Regclass => "regclass".to_owned(),
        DataType::Custom(name, _) => {
            strip_schema(name);
            name.to_string().trim_matches('"').to_lowercase()
        }
        _ => return,
    };
    let is_text = matches!(
        inner.as_ref(),
        Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_))
    );
    let inner = std::mem::replace(inner.as_mut(), null());
    *expr = match name.as_str() {
        // The name of a relation as its number, or the number as its name.
        "regclass" if is_text => call("to_regclass", vec![inner]),
        "regclass" => call("regclass_name", vec![inner]),
        "regtype" if is_text => call("to_regtype", vec![inner]),
        "regtype" => call("regtype_name", vec![inner]),
        "oid" | "xid" => cast(inner, DataType::BigInt(None)),
        "text" | "name" | "char" | "bpchar" | "cstring" | "regproc" | "regnamespace" => {
            cast(inner, DataType::Text)
        }
        "bool" => cast(inner, DataType::Boolean),
        "int2" | "int4" | "int8" => cast(inner, DataType::BigInt(None)),
        _ => cast(inner, data_type.clone()),
    };
}
