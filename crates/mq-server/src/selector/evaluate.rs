//! Whether an expression is true of a message.

use std::cmp::Ordering;

use super::parse::{Comparison, Expression, Literal, Operator, Pattern};

/// A property's value. Missing ones, and what has no sense, are `Null`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Exact(i64),
    /// By the properties' specification, never of an amount.
    Approximate(f64),
    Text(String),
}

/// Whether it is true, not false and not unknown.
pub(crate) fn is_true(expression: &Expression, lookup: &dyn Fn(&str) -> Value) -> bool {
    truth(expression, lookup) == Some(true)
}

/// `None` is unknown.
pub(crate) fn truth(expression: &Expression, lookup: &dyn Fn(&str) -> Value) -> Option<bool> {
    match expression {
        Expression::Not(operand) => truth(operand, lookup).map(|truth| !truth),
        Expression::And(left, right) => match (truth(left, lookup), truth(right, lookup)) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        },
        Expression::Or(left, right) => match (truth(left, lookup), truth(right, lookup)) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        },
        Expression::Compare(comparison, left, right) => {
            compare(*comparison, &value(left, lookup), &value(right, lookup))
        }
        Expression::Between {
            value: middle,
            low,
            high,
        } => {
            let middle = value(middle, lookup);
            let above = compare(Comparison::GreaterOrEqual, &middle, &value(low, lookup))?;
            let below = compare(Comparison::LessOrEqual, &middle, &value(high, lookup))?;
            Some(above && below)
        }
        Expression::In { property, values } => match lookup(property) {
            Value::Null => None,
            Value::Text(text) => Some(values.contains(&text)),
            _ => Some(false),
        },
        Expression::Like { property, pattern } => match lookup(property) {
            Value::Null => None,
            Value::Text(text) => Some(is_like(&text, pattern)),
            _ => Some(false),
        },
        Expression::IsNull(property) => Some(lookup(property) == Value::Null),
        Expression::Literal(_)
        | Expression::Property(_)
        | Expression::Arithmetic(..)
        | Expression::Negative(_) => match value(expression, lookup) {
            Value::Bool(truth) => Some(truth),
            _ => None,
        },
    }
}

fn value(expression: &Expression, lookup: &dyn Fn(&str) -> Value) -> Value {
    match expression {
        Expression::Literal(Literal::Exact(number)) => Value::Exact(*number),
        Expression::Literal(Literal::Approximate(number)) => Value::Approximate(*number),
        Expression::Literal(Literal::Text(text)) => Value::Text(text.clone()),
        Expression::Literal(Literal::Bool(truth)) => Value::Bool(*truth),
        Expression::Property(name) => lookup(name),
        Expression::Negative(operand) => match value(operand, lookup) {
            Value::Exact(number) => number.checked_neg().map_or(Value::Null, Value::Exact),
            Value::Approximate(number) => Value::Approximate(-number),
            _ => Value::Null,
        },
        Expression::Arithmetic(operator, left, right) => {
            calculate(*operator, &value(left, lookup), &value(right, lookup))
        }
        other => truth(other, lookup).map_or(Value::Null, Value::Bool),
    }
}

fn calculate(operator: Operator, left: &Value, right: &Value) -> Value {
    if let (Value::Exact(left), Value::Exact(right)) = (left, right) {
        let result = match operator {
            Operator::Add => left.checked_add(*right),
            Operator::Subtract => left.checked_sub(*right),
            Operator::Multiply => left.checked_mul(*right),
            Operator::Divide => left.checked_div(*right),
        };
        return result.map_or(Value::Null, Value::Exact);
    }
    let (Some(left), Some(right)) = (approximate(left), approximate(right)) else {
        return Value::Null;
    };
    Value::Approximate(match operator {
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        Operator::Divide => left / right,
    })
}

fn approximate(value: &Value) -> Option<f64> {
    match value {
        Value::Exact(number) => Some(*number as f64),
        Value::Approximate(number) => Some(*number),
        _ => None,
    }
}

/// Numbers compare with numbers; text and truth values only for equality; anything with a value of
/// another type is false, as is usual with JMS providers, and with nothing unknown.
fn compare(comparison: Comparison, left: &Value, right: &Value) -> Option<bool> {
    let equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
    let ordering = match (left, right) {
        (Value::Null, _) | (_, Value::Null) => return None,
        (Value::Text(left), Value::Text(right)) if equality => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) if equality => Some(left.cmp(right)),
        (Value::Exact(left), Value::Exact(right)) => Some(left.cmp(right)),
        _ => match (approximate(left), approximate(right)) {
            (Some(left), Some(right)) => left.partial_cmp(&right),
            _ => return Some(false),
        },
    };
    Some(match (comparison, ordering) {
        // Not a number is unequal to everything.
        (Comparison::NotEqual, ordering) => ordering != Some(Ordering::Equal),
        (_, None) => false,
        (Comparison::Equal, Some(ordering)) => ordering.is_eq(),
        (Comparison::Less, Some(ordering)) => ordering.is_lt(),
        (Comparison::LessOrEqual, Some(ordering)) => ordering.is_le(),
        (Comparison::Greater, Some(ordering)) => ordering.is_gt(),
        (Comparison::GreaterOrEqual, Some(ordering)) => ordering.is_ge(),
    })
}

/// Goes back at most to the last `%`: the time is bounded by the product of the lengths.
fn is_like(text: &str, pattern: &[Pattern]) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut part) = (0, 0);
    let mut last_any: Option<(usize, usize)> = None;
    while at < text.len() {
        let fits = match pattern.get(part) {
            Some(Pattern::Any) => {
                last_any = Some((part, at));
                part += 1;
                continue;
            }
            Some(Pattern::One) => true,
            Some(Pattern::Char(char)) => text.get(at) == Some(char),
            None => false,
        };
        if fits {
            at += 1;
            part += 1;
        } else if let Some((any, from)) = last_any {
            at = from + 1;
            part = any + 1;
            last_any = Some((any, at));
        } else {
            return false;
        }
    }
    let rest = pattern.get(part..).unwrap_or_default();
    rest.iter().all(|part| *part == Pattern::Any)
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    fn lookup(name: &str) -> Value {
        match name {
            "colour" => Value::Text("red".to_owned()),
            "phone" => Value::Text("12993".to_owned()),
            "code" => Value::Text("under_score%".to_owned()),
            "n" => Value::Exact(7),
            "half" => Value::Approximate(0.5),
            "big" => Value::Exact(i64::MAX),
            "yes" => Value::Bool(true),
            "usr.deep" => Value::Exact(1),
            _ => Value::Null,
        }
    }

    /// One line a selector: what it is, then the selector.
    const TABLE: &str = r"
true    colour = 'red'
false   colour = 'blue'
false   colour <> 'red'
false   colour = 7
false   n = 'red'
false   colour < 'red'
unknown colour = missing
unknown missing = missing
true    n = 7
true    n = 7.0
true    n > 6.5 AND n < 7.5
true    half = .5
true    half = 5E-1
true    n = 0x7
true    n = 7L
true    n >= 7 and n <= 7
false   n > 7 Or n < 7
true    n + 1 = 8
true    n - 1 * 2 = 5
true    (n - 1) * 2 = 12
true    n / 2 = 3
true    n / 2.0 = 3.5
unknown n / 0 = 1
unknown big + 1 > 0
true    -n = -7
true    +n = 7
true    - - n = 7
true    n BETWEEN 5 AND 7
false   n NOT BETWEEN 5 AND 7
unknown missing BETWEEN 1 AND 2
true    colour IN ('blue', 'red')
false   colour NOT IN ('blue', 'red')
unknown missing IN ('x')
unknown missing NOT IN ('x')
true    phone LIKE '12%3'
true    phone LIKE '12__3'
false   phone LIKE '12_3'
true    phone NOT LIKE '12_3'
unknown missing LIKE '%'
true    code LIKE 'under\_score\%' ESCAPE '\'
false   colour LIKE 'r_' ESCAPE '\'
true    colour LIKE '%'
true    colour LIKE '%%e%%d%%'
false   colour LIKE ''
true    missing IS NULL
false   colour IS NULL
true    colour IS NOT NULL
true    yes
true    yes = TRUE
false   yes = false
true    NOT yes = FALSE
false   yes < TRUE
unknown NOT missing = 1
true    missing = 1 OR n = 7
unknown missing = 1 AND n = 7
false   missing = 1 AND n = 8
unknown missing = 1 OR n = 8
true    NOT (n = 8 AND missing = 1)
true    usr.deep = 1
true    'it''s' = 'it''s'
unknown n
unknown n = 7 AND 'text'
";

    #[test]
    fn selectors_are_true_false_or_unknown() {
        let mut rows = 0;
        for line in TABLE.lines().filter(|line| !line.is_empty()) {
            let (expected, selector) = line.split_at(8);
            let expression = parse(selector).unwrap_or_else(|error| panic!("{selector}: {error}"));
            let found = match truth(&expression, &lookup) {
                Some(true) => "true",
                Some(false) => "false",
                None => "unknown",
            };
            assert_eq!(found, expected.trim(), "{selector}");
            rows += 1;
        }
        assert!(rows > 55, "{rows}");
    }

    #[test]
    fn like_takes_no_exponential_time() {
        let text = "a".repeat(2_000);
        let pattern = format!("{}b", "%a".repeat(500));
        let expression = parse(&format!("x LIKE '{pattern}'")).expect("fine");
        let found = truth(&expression, &|_| Value::Text(text.clone()));
        assert_eq!(found, Some(false));
    }
}
