//! Text of an expression to [`Expr`].

use super::lexer::{Mistake, Token, tokens};
use super::{
    Arithmetic, Axis, Comparison, DEPTH_MAX, Expr, FUNCTIONS, Function, Path, Start, Step, Test,
};
use crate::names::{EMPTY, NameId, Sym};

/// What an expression may name, where it stands.
pub(crate) trait Scope {
    /// What a prefix stands for.
    fn uri(&mut self, prefix: &str) -> Option<Sym>;
    fn uri_text(&self, uri: Sym) -> String;
    fn name(&mut self, uri: Sym, local: &str) -> NameId;
    /// The variable of a name; the error says what is wrong.
    fn variable(&mut self, name: NameId) -> Result<Expr, String>;
}

/// Most operators of an expression that follow on others of their rank: each makes its tree one level deeper.
const CHAINED_MAX: usize = 200;
/// Most bytes of an expression.
const BYTES_MAX: usize = 16 << 10;

struct Parser<'t, 's> {
    tokens: Vec<(usize, Token<'t>)>,
    next: usize,
    end: usize,
    scope: &'s mut dyn Scope,
    depth: usize,
    chained: usize,
    /// Patterns keep `//` as it is written.
    is_pattern: bool,
}

/// Parses an expression.
pub(crate) fn parse(text: &str, scope: &mut dyn Scope, is_pattern: bool) -> Result<Expr, Mistake> {
    if text.len() > BYTES_MAX {
        return Err(Mistake {
            at: 0,
            message: format!(
                "the expression has {} bytes, at most {BYTES_MAX} are read",
                text.len()
            ),
        });
    }
    let mut parser = Parser {
        tokens: tokens(text)?,
        next: 0,
        end: text.len(),
        scope,
        depth: 0,
        chained: 0,
        is_pattern,
    };
    if parser.tokens.is_empty() {
        return Err(parser.wrong("there is no expression"));
    }
    let expr = parser.or()?;
    match parser.peek() {
        None => Ok(expr),
        Some(_) => Err(parser.unexpected("the end or an operator")),
    }
}

impl<'t> Parser<'t, '_> {
    fn peek(&self) -> Option<&Token<'t>> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self.peek(), Some(Token::Sign(known)) if *known == sign)
    }

    fn take(&mut self, sign: &str) -> bool {
        let is = self.is(sign);
        self.next += usize::from(is);
        is
    }

    fn expect(&mut self, sign: &str) -> Result<(), Mistake> {
        match self.take(sign) {
            true => Ok(()),
            false => Err(self.unexpected(sign)),
        }
    }

    fn wrong(&self, message: impl Into<String>) -> Mistake {
        let at = self.tokens.get(self.next).map_or(self.end, |(at, _)| *at);
        Mistake {
            at,
            message: message.into(),
        }
    }

    fn unexpected(&self, wanted: &str) -> Mistake {
        let found = match self.peek() {
            None => "it ends".to_owned(),
            Some(Token::Sign(sign)) => format!("{sign:?} stands"),
            Some(Token::Name(name) | Token::PrefixAny(name)) => format!("{name:?} stands"),
            Some(Token::Variable(name)) => format!("${name} stands"),
            Some(Token::Literal(text)) => format!("the text {text:?} stands"),
            Some(Token::Number(number)) => format!("{number} stands"),
            Some(Token::Any) => "* stands".to_owned(),
        };
        self.wrong(format!("{found} where {wanted} is expected"))
    }

    /// One level deeper; every place that recurses goes through here.
    fn deeper<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T, Mistake>) -> Result<T, Mistake> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.wrong(format!(
                "the expression is nested deeper than {DEPTH_MAX} levels"
            )));
        }
        let result = f(self);
        self.depth -= 1;
        result
    }

    fn or(&mut self) -> Result<Expr, Mistake> {
        self.deeper(|parser| parser.list("or", Self::and, Expr::Or))
    }

    fn and(&mut self) -> Result<Expr, Mistake> {
        self.list("and", Self::equality, Expr::And)
    }

    fn list(
        &mut self,
        sign: &str,
        part: fn(&mut Self) -> Result<Expr, Mistake>,
        make: fn(Box<[Expr]>) -> Expr,
    ) -> Result<Expr, Mistake> {
        let first = part(self)?;
        if !self.is(sign) {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.take(sign) {
            parts.push(part(self)?);
        }
        Ok(make(parts.into()))
    }

    /// Operators of one rank, from left to right. Each makes the tree one level deeper.
    fn binary<O: Copy>(
        &mut self,
        signs: &[(&str, O)],
        part: fn(&mut Self) -> Result<Expr, Mistake>,
        make: fn(O, Box<(Expr, Expr)>) -> Expr,
    ) -> Result<Expr, Mistake> {
        let mut left = part(self)?;
        let mut is_chain = false;
        'next: loop {
            for (sign, operator) in signs {
                if self.take(sign) {
                    self.chained += usize::from(is_chain);
                    is_chain = true;
                    if self.chained > CHAINED_MAX {
                        return Err(
                            self.wrong(format!("more than {CHAINED_MAX} operators in a row"))
                        );
                    }
                    let right = part(self)?;
                    left = make(*operator, Box::new((left, right)));
                    continue 'next;
                }
            }
            return Ok(left);
        }
    }

    fn equality(&mut self) -> Result<Expr, Mistake> {
        use Comparison::{Equal, NotEqual};
        self.binary(
            &[("=", Equal), ("!=", NotEqual)],
            Self::relation,
            Expr::Compare,
        )
    }

    fn relation(&mut self) -> Result<Expr, Mistake> {
        use Comparison::{Greater, GreaterEqual, Less, LessEqual};
        let signs = [
            ("<=", LessEqual),
            ("<", Less),
            (">=", GreaterEqual),
            (">", Greater),
        ];
        self.binary(&signs, Self::sum, Expr::Compare)
    }

    fn sum(&mut self) -> Result<Expr, Mistake> {
        let signs = [("+", Arithmetic::Add), ("-", Arithmetic::Subtract)];
        self.binary(&signs, Self::product, Expr::Arithmetic)
    }

    fn product(&mut self) -> Result<Expr, Mistake> {
        use Arithmetic::{Divide, Modulo, Multiply};
        let signs = [("*", Multiply), ("div", Divide), ("mod", Modulo)];
        self.binary(&signs, Self::unary, Expr::Arithmetic)
    }

    fn unary(&mut self) -> Result<Expr, Mistake> {
        if self.take("-") {
            return self.deeper(|parser| Ok(Expr::Negate(Box::new(parser.unary()?))));
        }
        let first = self.path()?;
        if !self.is("|") {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.take("|") {
            parts.push(self.path()?);
        }
        for part in &parts {
            self.nodes(part, "|")?;
        }
        Ok(Expr::Union(parts.into()))
    }

    fn nodes(&self, expr: &Expr, what: &str) -> Result<(), Mistake> {
        use super::Type;
        match expr.gives() {
            Type::Nodes | Type::Unknown => Ok(()),
            other => Err(self.wrong(format!(
                "{what} takes nodes, and one side is {}",
                shown(other)
            ))),
        }
    }

    fn path(&mut self) -> Result<Expr, Mistake> {
        let mut steps = Vec::new();
        let is_primary = match self.peek() {
            Some(Token::Number(_) | Token::Literal(_) | Token::Variable(_) | Token::Sign("(")) => {
                true
            }
            Some(Token::Name(name)) => {
                let is_call = matches!(self.tokens.get(self.next + 1), Some((_, Token::Sign("("))));
                is_call && !["node", "text", "comment", "processing-instruction"].contains(name)
            }
            _ => false,
        };
        let start = if is_primary {
            let primary = self.primary()?;
            let predicates = self.predicates()?;
            let goes_on = self.is("/") || self.is("//");
            if predicates.is_empty() && !goes_on {
                return Ok(primary);
            }
            self.nodes(&primary, if goes_on { "/" } else { "[]" })?;
            if self.take("//") {
                steps.push(any_descendant());
                self.steps(&mut steps)?;
            } else if self.take("/") {
                self.steps(&mut steps)?;
            }
            Start::Filter(primary, predicates)
        } else if self.take("//") {
            steps.push(any_descendant());
            self.steps(&mut steps)?;
            Start::Root
        } else if self.take("/") {
            if self.is_step() {
                self.steps(&mut steps)?;
            }
            Start::Root
        } else {
            self.steps(&mut steps)?;
            Start::Context
        };
        if !self.is_pattern {
            steps = shortened(steps);
        }
        let steps = steps.into();
        Ok(Expr::Path(Box::new(Path { start, steps })))
    }

    fn is_step(&self) -> bool {
        matches!(
            self.peek(),
            Some(Token::Name(_) | Token::PrefixAny(_) | Token::Any | Token::Sign("." | ".." | "@"))
        )
    }

    fn steps(&mut self, steps: &mut Vec<Step>) -> Result<(), Mistake> {
        loop {
            let step = self.step()?;
            steps.push(step);
            if steps.len() > DEPTH_MAX {
                return Err(self.wrong(format!("a path has more than {DEPTH_MAX} steps")));
            }
            if self.take("//") {
                steps.push(any_descendant());
            } else if !self.take("/") {
                return Ok(());
            }
        }
    }

    fn step(&mut self) -> Result<Step, Mistake> {
        for (sign, axis) in [("..", Axis::Parent), (".", Axis::Itself)] {
            if self.take(sign) {
                return Ok(Step {
                    axis,
                    test: Test::Node,
                    predicates: Box::default(),
                });
            }
        }
        let mut axis = Axis::Child;
        if self.take("@") {
            axis = Axis::Attribute;
        } else if let Some(Token::Name(name)) = self.peek()
            && matches!(self.tokens.get(self.next + 1), Some((_, Token::Sign("::"))))
        {
            axis = match axis_of(name) {
                Some(axis) => axis,
                None => return Err(self.wrong(format!("there is no axis {name:?}"))),
            };
            self.next += 2;
        }
        let test = self.test(axis)?;
        let predicates = self.predicates()?;
        Ok(Step {
            axis,
            test,
            predicates,
        })
    }

    fn test(&mut self, axis: Axis) -> Result<Test, Mistake> {
        let token = self.peek().cloned();
        match token {
            Some(Token::Any) => {
                self.next += 1;
                Ok(Test::Any)
            }
            Some(Token::PrefixAny(prefix)) => {
                let uri = self.uri(prefix)?;
                self.next += 1;
                Ok(Test::Namespace(uri))
            }
            Some(Token::Name(name)) => {
                if matches!(self.tokens.get(self.next + 1), Some((_, Token::Sign("(")))) {
                    return self.node_type(name);
                }
                let (prefix, local) = name.split_once(':').unwrap_or(("", name));
                let uri = match prefix {
                    // The default namespace is not for names in expressions.
                    "" => EMPTY,
                    prefix => self.uri(prefix)?,
                };
                // Namespace nodes are named by their prefix.
                let uri = if axis == Axis::Namespace { EMPTY } else { uri };
                self.next += 1;
                Ok(Test::Name(self.scope.name(uri, local)))
            }
            _ => Err(self.unexpected("a step such as a name, *, @name or text()")),
        }
    }

    fn node_type(&mut self, name: &str) -> Result<Test, Mistake> {
        let mut test = match name {
            "node" => Test::Node,
            "text" => Test::Text,
            "comment" => Test::Comment,
            "processing-instruction" => Test::AnyPi,
            _ => {
                let message = format!(
                    "{name}() is no node test; there are node(), text(), comment() and processing-instruction()"
                );
                return Err(self.wrong(message));
            }
        };
        self.next += 2;
        if test == Test::AnyPi
            && let Some(Token::Literal(target)) = self.peek().cloned()
        {
            test = Test::Pi(self.scope.name(EMPTY, target));
            self.next += 1;
        }
        self.expect(")")?;
        Ok(test)
    }

    fn uri(&mut self, prefix: &str) -> Result<Sym, Mistake> {
        match self.scope.uri(prefix) {
            Some(uri) => Ok(uri),
            None => Err(self.wrong(format!(
                "the prefix {prefix:?} is not declared here: xmlns:{prefix}=\"…\" is missing"
            ))),
        }
    }

    fn predicates(&mut self) -> Result<Box<[Expr]>, Mistake> {
        let mut predicates = Vec::new();
        while self.take("[") {
            predicates.push(self.or()?);
            self.expect("]")?;
        }
        Ok(predicates.into())
    }

    fn primary(&mut self) -> Result<Expr, Mistake> {
        let token = self.peek().cloned();
        match token {
            Some(Token::Number(number)) => {
                self.next += 1;
                Ok(Expr::Number(number))
            }
            Some(Token::Literal(text)) => {
                self.next += 1;
                Ok(Expr::Text(text.into()))
            }
            Some(Token::Variable(name)) => {
                let (prefix, local) = name.split_once(':').unwrap_or(("", name));
                let uri = if prefix.is_empty() {
                    EMPTY
                } else {
                    self.uri(prefix)?
                };
                let name = self.scope.name(uri, local);
                let variable = self
                    .scope
                    .variable(name)
                    .map_err(|message| self.wrong(message))?;
                self.next += 1;
                Ok(variable)
            }
            Some(Token::Name(name)) => self.call(name),
            _ => {
                self.expect("(")?;
                let inner = self.or()?;
                self.expect(")")?;
                Ok(inner)
            }
        }
    }

    fn call(&mut self, name: &str) -> Result<Expr, Mistake> {
        let at = self.next;
        let function = match name.split_once(':') {
            None => Function::find(name),
            Some((prefix, local)) => {
                let uri = self.uri(prefix)?;
                extension(&self.scope.uri_text(uri), local)
            }
        };
        let Some((function, fewest, most)) = function else {
            let uri = match name.split_once(':') {
                Some((prefix, _)) => {
                    let uri = self.uri(prefix)?;
                    self.scope.uri_text(uri)
                }
                None => String::new(),
            };
            return Err(self.wrong(unknown(name, &uri)));
        };
        self.next += 2;
        let mut arguments = Vec::new();
        if !self.is(")") {
            loop {
                arguments.push(self.or()?);
                if !self.take(",") {
                    break;
                }
            }
        }
        self.expect(")")?;
        let given = arguments.len();
        if given < fewest || given > most {
            self.next = at;
            let wanted = match (fewest, most) {
                (fewest, most) if fewest == most => fewest.to_string(),
                (fewest, 1000) => format!("{fewest} or more"),
                (fewest, most) => format!("{fewest} to {most}"),
            };
            return Err(self.wrong(format!("{name}() has {given} arguments, it takes {wanted}")));
        }
        self.check_call(function, name, &arguments, at)?;
        self.expand_name(function, &mut arguments)?;
        Ok(Expr::Call(function, arguments.into()))
    }

    /// Names in texts are resolved where their prefixes are known: here.
    fn expand_name(&mut self, function: Function, arguments: &mut [Expr]) -> Result<(), Mistake> {
        let at = match function {
            Function::Key
            | Function::SystemProperty
            | Function::Available
            | Function::HasInstruction => 0,
            Function::FormatNumber => 2,
            _ => return Ok(()),
        };
        if let Some(Expr::Text(text)) = arguments.get_mut(at)
            && let Some((prefix, local)) = text.split_once(':')
        {
            let uri = self.uri(prefix)?;
            *text = format!("{{{}}}{local}", self.scope.uri_text(uri)).into();
        }
        Ok(())
    }

    fn check_call(
        &mut self,
        function: Function,
        name: &str,
        arguments: &[Expr],
        at: usize,
    ) -> Result<(), Mistake> {
        use super::Type;
        let takes_nodes = match function {
            Function::Count | Function::Sum | Function::Distinct => true,
            Function::LocalName
            | Function::NamespaceUri
            | Function::Name
            | Function::GenerateId => true,
            Function::Document => {
                let is_own = matches!(arguments, [Expr::Text(text)] if text.is_empty());
                if !is_own {
                    self.next = at;
                    return Err(self.wrong(
                        "document() reads other files, and a stylesheet here reads nothing from outside; only document('') is known, the stylesheet itself",
                    ));
                }
                false
            }
            _ => false,
        };
        if takes_nodes
            && let Some(argument) = arguments.first()
            && !matches!(argument.gives(), Type::Nodes | Type::Unknown)
        {
            self.next = at;
            return Err(self.wrong(format!(
                "{name}() takes nodes, and its argument is {}",
                shown(argument.gives())
            )));
        }
        Ok(())
    }
}

fn shown(kind: super::Type) -> &'static str {
    use super::Type;
    match kind {
        Type::Nodes => "nodes",
        Type::Boolean => "true or false",
        Type::Number => "a number",
        Type::Text => "a text",
        Type::Unknown => "unknown",
    }
}

/// A function of a namespace. `node-set` has several names for the same.
pub(crate) fn extension(uri: &str, local: &str) -> Option<(Function, usize, usize)> {
    let exslt = match (uri, local) {
        ("urn:schemas-microsoft-com:xslt", "node-set")
        | ("http://xml.apache.org/xalan" | "http://xml.apache.org/xslt", "nodeset")
        | ("http://icl.com/saxon", "node-set" | "nodeset") => {
            "{http://exslt.org/common}node-set".to_owned()
        }
        _ => format!("{{{uri}}}{local}"),
    };
    Function::find(&exslt)
}

fn unknown(name: &str, uri: &str) -> String {
    if uri.starts_with("http://www.datapower.com/") {
        return format!(
            "{name}() is DataPower's own and not known here; what a stylesheet needs from outside comes in as an xsl:param"
        );
    }
    if !uri.is_empty() {
        return format!(
            "there is no function {name}() of {uri:?}; extensions that are known: exsl:node-set, exsl:object-type, str:tokenize, set:distinct"
        );
    }
    let near = FUNCTIONS
        .iter()
        .filter(|known| !known.starts_with('{'))
        .find(|known| known.replace('-', "") == name.to_ascii_lowercase().replace(['-', '_'], ""));
    match near {
        Some(near) => format!("there is no function {name}(): is {near}() meant?"),
        None => format!("there is no function {name}() in XSLT 1.0"),
    }
}

fn any_descendant() -> Step {
    Step {
        axis: Axis::DescendantOrSelf,
        test: Test::Node,
        predicates: Box::default(),
    }
}

/// `//name` walks the descendants once, where no predicate asks for a place among siblings.
fn shortened(steps: Vec<Step>) -> Vec<Step> {
    let mut short: Vec<Step> = Vec::with_capacity(steps.len());
    for mut step in steps {
        let follows_any = short.last().is_some_and(|last| {
            last.axis == Axis::DescendantOrSelf
                && last.test == Test::Node
                && last.predicates.is_empty()
        });
        let is_plain = !step.predicates.iter().any(Expr::is_positional);
        if follows_any && step.axis == Axis::Child && is_plain {
            short.pop();
            step.axis = Axis::Descendant;
        }
        short.push(step);
    }
    short
}

fn axis_of(name: &str) -> Option<Axis> {
    Some(match name {
        "ancestor" => Axis::Ancestor,
        "ancestor-or-self" => Axis::AncestorOrSelf,
        "attribute" => Axis::Attribute,
        "child" => Axis::Child,
        "descendant" => Axis::Descendant,
        "descendant-or-self" => Axis::DescendantOrSelf,
        "following" => Axis::Following,
        "following-sibling" => Axis::FollowingSibling,
        "namespace" => Axis::Namespace,
        "parent" => Axis::Parent,
        "preceding" => Axis::Preceding,
        "preceding-sibling" => Axis::PrecedingSibling,
        "self" => Axis::Itself,
        _ => return None,
    })
}
