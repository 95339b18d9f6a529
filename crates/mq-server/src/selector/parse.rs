//! From text to an expression.

use super::{DEPTH_MAX, OPERATORS_MAX, SELECTOR_BYTES_MAX};

/// The text is no selector. Retrying the same text does not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectorError {
    /// It is longer than MQ_SELECTOR_LENGTH.
    #[error("the selector has {bytes} bytes, {SELECTOR_BYTES_MAX} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Parentheses, NOT and signs are nested too deep.
    #[error("the selector nests deeper than {DEPTH_MAX}")]
    TooDeep,
    /// There are too many AND, OR and arithmetic operators.
    #[error("the selector has more than {OPERATORS_MAX} operators")]
    TooManyOperators,
    /// The grammar has no such thing here.
    #[error("at byte {at}: {found} where {expected} must be")]
    Unexpected {
        /// Place in the text, from 0.
        at: usize,
        /// What is there.
        found: String,
        /// What could be.
        expected: &'static str,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expression {
    Literal(Literal),
    Property(String),
    Not(Box<Expression>),
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
    Compare(Comparison, Box<Expression>, Box<Expression>),
    Arithmetic(Operator, Box<Expression>, Box<Expression>),
    Negative(Box<Expression>),
    Between {
        value: Box<Expression>,
        low: Box<Expression>,
        high: Box<Expression>,
    },
    In {
        property: String,
        values: Vec<String>,
    },
    Like {
        property: String,
        pattern: Vec<Pattern>,
    },
    IsNull(String),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Exact(i64),
    Approximate(f64),
    Text(String),
    Bool(bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// A part of LIKE's pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pattern {
    Char(char),
    /// `_`
    One,
    /// `%`
    Any,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Number(Literal),
    Symbol(&'static str),
    End,
}

pub(crate) fn parse(text: &str) -> Result<Expression, SelectorError> {
    if text.len() > SELECTOR_BYTES_MAX {
        return Err(SelectorError::TooLong { bytes: text.len() });
    }
    let mut parser = Parser {
        tokens: tokens(text)?,
        next: 0,
        depth: 0,
        operators: 0,
    };
    let expression = parser.or()?;
    match parser.peek() {
        Token::End => Ok(expression),
        _ => parser.unexpected("AND, OR or the end"),
    }
}

const SYMBOLS: [&str; 13] = [
    "<>", "<=", ">=", "=", "<", ">", "(", ")", ",", "+", "-", "*", "/",
];

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, SelectorError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let at = text.len() - rest.len();
        let Some(first) = rest.chars().next() else {
            tokens.push((at, Token::End));
            return Ok(tokens);
        };
        let (token, after) = if first == '\'' || first == '"' {
            quoted(rest, first, at)?
        } else if first.is_ascii_digit()
            || first == '.'
                && rest
                    .chars()
                    .nth(1)
                    .is_some_and(|next| next.is_ascii_digit())
        {
            number(rest, at)?
        } else if first.is_alphabetic() || first == '_' || first == '$' {
            let part = |char: char| char.is_alphanumeric() || "_$.".contains(char);
            let end = rest.find(|char| !part(char)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            (Token::Word(word.to_owned()), after)
        } else if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            let after = rest.get(symbol.len()..).unwrap_or_default();
            (Token::Symbol(symbol), after)
        } else {
            return Err(SelectorError::Unexpected {
                at,
                found: format!("{first:?}"),
                expected: "a name, a literal or an operator",
            });
        };
        tokens.push((at, token));
        rest = after;
    }
}

/// `'it''s'` is text, `"a name"` a name.
fn quoted(rest: &str, quote: char, at: usize) -> Result<(Token, &str), SelectorError> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((index, char)) = chars.next() {
        if char != quote {
            text.push(char);
        } else if chars.peek().is_some_and(|(_, next)| *next == quote) {
            text.push(quote);
            chars.next();
        } else {
            let after = rest.get(index + 1..).unwrap_or_default();
            let token = if quote == '\'' {
                Token::Text(text)
            } else {
                Token::Word(text)
            };
            return Ok((token, after));
        }
    }
    Err(SelectorError::Unexpected {
        at,
        found: "a quotation without end".to_owned(),
        expected: "its closing quotation mark",
    })
}

/// As in Java: `57`, `0x1F`, `57L`, `7.`, `.5`, `-95.7` (the sign is an operator), `7E3`, `6.2D`.
fn number(rest: &str, at: usize) -> Result<(Token, &str), SelectorError> {
    let part = |char: char| char.is_ascii_alphanumeric() || char == '.';
    let mut end = rest.find(|char| !part(char)).unwrap_or(rest.len());
    let word = rest.get(..end).unwrap_or_default();
    let hexadecimal = word.strip_prefix("0x").or(word.strip_prefix("0X"));
    if hexadecimal.is_none() && word.ends_with(['e', 'E']) {
        // The sign of an exponent.
        let exponent = rest.get(end..).unwrap_or_default();
        if let Some(digits) = exponent.strip_prefix(['+', '-']) {
            let length = digits.find(|char| !part(char)).unwrap_or(digits.len());
            end += 1 + length;
        }
    }
    let (word, after) = rest.split_at(end);
    let literal = if let Some(digits) = hexadecimal {
        let digits = digits.trim_end_matches(['l', 'L']);
        let parsed = i64::from_str_radix(digits, 16).ok();
        parsed.map(Literal::Exact)
    } else if word.contains('.') || word.contains(['e', 'E', 'd', 'D', 'f', 'F']) {
        let digits = word.trim_end_matches(['d', 'D', 'f', 'F']);
        let parsed = digits
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite());
        parsed.map(Literal::Approximate)
    } else {
        let parsed = word.trim_end_matches(['l', 'L']).parse().ok();
        parsed.map(Literal::Exact)
    };
    match literal {
        Some(literal) => Ok((Token::Number(literal), after)),
        None => Err(SelectorError::Unexpected {
            at,
            found: format!("{word:?}"),
            expected: "a number",
        }),
    }
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    depth: usize,
    operators: usize,
}

type Parsed = Result<Expression, SelectorError>;

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens
            .get(self.next)
            .map_or(&Token::End, |(_, token)| token)
    }

    fn unexpected<T>(&self, expected: &'static str) -> Result<T, SelectorError> {
        let at = self.tokens.get(self.next).map_or(0, |(at, _)| *at);
        let found = match self.peek() {
            Token::Word(word) => word.clone(),
            Token::Text(text) => format!("'{text}'"),
            Token::Number(number) => format!("{number:?}"),
            Token::Symbol(symbol) => (*symbol).to_owned(),
            Token::End => "the end".to_owned(),
        };
        Err(SelectorError::Unexpected {
            at,
            found,
            expected,
        })
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(found) if found.eq_ignore_ascii_case(word))
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.next += usize::from(found);
        found
    }

    fn take_symbol(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Token::Symbol(found) if *found == symbol);
        self.next += usize::from(found);
        found
    }

    fn deeper(&mut self, parse: impl FnOnce(&mut Self) -> Parsed) -> Parsed {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(SelectorError::TooDeep);
        }
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// A chain of operators is as deep as it is long.
    fn count_operator(&mut self) -> Result<(), SelectorError> {
        self.operators += 1;
        if self.operators > OPERATORS_MAX {
            return Err(SelectorError::TooManyOperators);
        }
        Ok(())
    }

    fn or(&mut self) -> Parsed {
        let mut left = self.and()?;
        while self.take_word("OR") {
            self.count_operator()?;
            left = Expression::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Parsed {
        let mut left = self.not()?;
        while self.take_word("AND") {
            self.count_operator()?;
            left = Expression::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Parsed {
        if self.take_word("NOT") {
            let operand = self.deeper(Self::not)?;
            return Ok(Expression::Not(Box::new(operand)));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Parsed {
        let left = self.sum()?;
        let comparison = match self.peek() {
            Token::Symbol("=") => Comparison::Equal,
            Token::Symbol("<>") => Comparison::NotEqual,
            Token::Symbol("<") => Comparison::Less,
            Token::Symbol("<=") => Comparison::LessOrEqual,
            Token::Symbol(">") => Comparison::Greater,
            Token::Symbol(">=") => Comparison::GreaterOrEqual,
            _ => return self.predicate(left),
        };
        self.next += 1;
        let right = self.sum()?;
        Ok(Expression::Compare(
            comparison,
            Box::new(left),
            Box::new(right),
        ))
    }

    /// BETWEEN, IN, LIKE, IS NULL, or nothing of it.
    fn predicate(&mut self, left: Expression) -> Parsed {
        if self.take_word("IS") {
            let not = self.take_word("NOT");
            if !self.take_word("NULL") {
                return self.unexpected("NULL");
            }
            return Ok(negated(not, Expression::IsNull(self.property(left)?)));
        }
        let not = self.take_word("NOT");
        if self.take_word("BETWEEN") {
            let low = self.sum()?;
            if !self.take_word("AND") {
                return self.unexpected("AND");
            }
            let between = Expression::Between {
                value: Box::new(left),
                low: Box::new(low),
                high: Box::new(self.sum()?),
            };
            return Ok(negated(not, between));
        }
        if self.take_word("IN") {
            let property = self.property(left)?;
            let values = self.list()?;
            return Ok(negated(not, Expression::In { property, values }));
        }
        if self.take_word("LIKE") {
            let property = self.property(left)?;
            let pattern = self.text()?;
            let mut escape = None;
            if self.take_word("ESCAPE") {
                let text = self.text()?;
                let mut chars = text.chars();
                escape = chars.next();
                if escape.is_none() || chars.next().is_some() {
                    self.next -= 1;
                    return self.unexpected("one character");
                }
            }
            let pattern = like(&pattern, escape);
            return Ok(negated(not, Expression::Like { property, pattern }));
        }
        if not {
            return self.unexpected("BETWEEN, IN or LIKE");
        }
        Ok(left)
    }

    fn property(&self, expression: Expression) -> Result<String, SelectorError> {
        match expression {
            Expression::Property(name) => Ok(name),
            _ => self.unexpected("a property's name in front"),
        }
    }

    fn text(&mut self) -> Result<String, SelectorError> {
        let Token::Text(text) = self.peek() else {
            return self.unexpected("text in quotation marks");
        };
        let text = text.clone();
        self.next += 1;
        Ok(text)
    }

    fn list(&mut self) -> Result<Vec<String>, SelectorError> {
        if !self.take_symbol("(") {
            return self.unexpected("(");
        }
        let mut values = vec![self.text()?];
        while self.take_symbol(",") {
            values.push(self.text()?);
        }
        if !self.take_symbol(")") {
            return self.unexpected(", or )");
        }
        Ok(values)
    }

    fn sum(&mut self) -> Parsed {
        let mut left = self.product()?;
        loop {
            let operator = match self.peek() {
                Token::Symbol("+") => Operator::Add,
                Token::Symbol("-") => Operator::Subtract,
                _ => return Ok(left),
            };
            self.next += 1;
            self.count_operator()?;
            let right = self.product()?;
            left = Expression::Arithmetic(operator, Box::new(left), Box::new(right));
        }
    }

    fn product(&mut self) -> Parsed {
        let mut left = self.signed()?;
        loop {
            let operator = match self.peek() {
                Token::Symbol("*") => Operator::Multiply,
                Token::Symbol("/") => Operator::Divide,
                _ => return Ok(left),
            };
            self.next += 1;
            self.count_operator()?;
            let right = self.signed()?;
            left = Expression::Arithmetic(operator, Box::new(left), Box::new(right));
        }
    }

    fn signed(&mut self) -> Parsed {
        if self.take_symbol("-") {
            let operand = self.deeper(Self::signed)?;
            return Ok(Expression::Negative(Box::new(operand)));
        }
        if self.take_symbol("+") {
            return self.deeper(Self::signed);
        }
        self.primary()
    }

    fn primary(&mut self) -> Parsed {
        if self.take_symbol("(") {
            let inner = self.deeper(Self::or)?;
            if !self.take_symbol(")") {
                return self.unexpected(")");
            }
            return Ok(inner);
        }
        let expression = match self.peek() {
            Token::Text(text) => Expression::Literal(Literal::Text(text.clone())),
            Token::Number(number) => Expression::Literal(number.clone()),
            Token::Word(word) if word.eq_ignore_ascii_case("TRUE") => {
                Expression::Literal(Literal::Bool(true))
            }
            Token::Word(word) if word.eq_ignore_ascii_case("FALSE") => {
                Expression::Literal(Literal::Bool(false))
            }
            Token::Word(word) if !is_reserved(word) => Expression::Property(word.clone()),
            _ => return self.unexpected("a name, a literal or ("),
        };
        self.next += 1;
        Ok(expression)
    }
}

fn is_reserved(word: &str) -> bool {
    const RESERVED: [&str; 9] = [
        "NULL", "NOT", "AND", "OR", "BETWEEN", "LIKE", "IN", "IS", "ESCAPE",
    ];
    RESERVED
        .iter()
        .any(|reserved| word.eq_ignore_ascii_case(reserved))
}

fn negated(not: bool, expression: Expression) -> Expression {
    if not {
        Expression::Not(Box::new(expression))
    } else {
        expression
    }
}

fn like(pattern: &str, escape: Option<char>) -> Vec<Pattern> {
    let mut parts = Vec::new();
    let mut chars = pattern.chars();
    while let Some(char) = chars.next() {
        parts.push(match char {
            char if Some(char) == escape => match chars.next() {
                Some(escaped) => Pattern::Char(escaped),
                None => Pattern::Char(char),
            },
            '_' => Pattern::One,
            '%' => Pattern::Any,
            char => Pattern::Char(char),
        });
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_selector_is_refused_with_its_place() {
        let error = |text: &str| parse(text).expect_err(text).to_string();
        for (text, expected) in [
            (
                "colour =",
                "at byte 8: the end where a name, a literal or ( must be",
            ),
            (
                "colour = 'red",
                "at byte 9: a quotation without end where its closing quotation mark must be",
            ),
            ("(n = 1", "at byte 6: the end where ) must be"),
            (
                "n = 1 n = 2",
                "at byte 6: n where AND, OR or the end must be",
            ),
            ("n IS 1", "at byte 5: Exact(1) where NULL must be"),
            (
                "n IN (1)",
                "at byte 6: Exact(1) where text in quotation marks must be",
            ),
            (
                "n NOT 1",
                "at byte 6: Exact(1) where BETWEEN, IN or LIKE must be",
            ),
            (
                "7 LIKE 'x'",
                "at byte 7: 'x' where a property's name in front must be",
            ),
            (
                "n LIKE 'x' ESCAPE 'ab'",
                "at byte 18: 'ab' where one character must be",
            ),
            (
                "n # 1",
                "at byte 2: '#' where a name, a literal or an operator must be",
            ),
            (
                "n = 99999999999999999999",
                "at byte 4: \"99999999999999999999\" where a number must be",
            ),
            ("n = 1e999", "at byte 4: \"1e999\" where a number must be"),
            ("AND", "at byte 0: AND where a name, a literal or ( must be"),
        ] {
            assert_eq!(error(text), expected);
        }
    }

    #[test]
    fn length_and_depth_are_bounded() {
        let long = |bytes: usize| format!("n = '{}'", "x".repeat(bytes - 6));
        assert!(parse(&long(SELECTOR_BYTES_MAX)).is_ok());
        let error = parse(&long(SELECTOR_BYTES_MAX + 1)).expect_err("too long");
        assert!(matches!(error, SelectorError::TooLong { .. }), "{error}");
        for (open, close) in [("(", ")"), ("NOT ", ""), ("- ", "")] {
            let deep = |depth| format!("{}n{}", open.repeat(depth), close.repeat(depth));
            assert!(parse(&deep(DEPTH_MAX)).is_ok(), "{open}");
            assert_eq!(parse(&deep(DEPTH_MAX + 1)), Err(SelectorError::TooDeep));
        }
        for operator in ["+n", "*n", " OR n", " AND n"] {
            let chain = |operators| format!("n{}", operator.repeat(operators));
            assert!(parse(&chain(OPERATORS_MAX)).is_ok(), "{operator}");
            let error = parse(&chain(OPERATORS_MAX + 1));
            assert_eq!(error, Err(SelectorError::TooManyOperators), "{operator}");
        }
    }

    /// Seeded damage: whatever comes, it is an expression or an error.
    #[test]
    fn damaged_selectors_never_panic() {
        let seed = std::env::var("SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let mut random: u64 = seed.unwrap_or(20_261_124);
        eprintln!("SEED={random}");
        let good = "a.b = 'it''s' AND (n NOT BETWEEN -1 AND 0x7F OR x LIKE 'a_%' ESCAPE '\\' \
                    OR y NOT IN ('p', 'q')) AND NOT z IS NOT NULL AND 1.5E-3 + n / 2 <> .5";
        let mut next = move || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random as usize
        };
        for _ in 0..50_000 {
            let mut text: Vec<char> = good.chars().collect();
            for _ in 0..=next() % 4 {
                if text.is_empty() {
                    break;
                }
                let at = next() % text.len();
                match next() % 3 {
                    0 => drop(text.remove(at)),
                    1 => text[at] = char::from(next() as u8),
                    _ => text.truncate(at.max(1)),
                }
            }
            let _ = parse(&text.into_iter().collect::<String>());
        }
    }
}
