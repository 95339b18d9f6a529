//! XPath 1.0: expressions as trees. They are parsed when a stylesheet is compiled and never change.

pub(crate) mod lexer;
pub(crate) mod parser;
pub(crate) mod pattern;

use crate::names::{NameId, Sym};

/// Deepest nesting of brackets in an expression, and most steps of a path. With the ranks of operators
/// and [`parser`]'s limit on rows of them it bounds how deep what evaluates it recurses.
pub(crate) const DEPTH_MAX: usize = 48;

#[derive(Debug)]
pub(crate) enum Expr {
    Number(f64),
    Text(Box<str>),
    /// A variable of the template, by slot.
    Local(u32),
    /// A variable of the stylesheet, by number.
    Global(u32),
    Or(Box<[Expr]>),
    And(Box<[Expr]>),
    Compare(Comparison, Box<(Expr, Expr)>),
    Arithmetic(Arithmetic, Box<(Expr, Expr)>),
    Negate(Box<Expr>),
    Union(Box<[Expr]>),
    Call(Function, Box<[Expr]>),
    Path(Box<Path>),
    /// Something of a later version of XSLT, refused when it is reached.
    Fail(Box<str>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

#[derive(Debug)]
pub(crate) struct Path {
    pub(crate) start: Start,
    pub(crate) steps: Box<[Step]>,
}

#[derive(Debug)]
pub(crate) enum Start {
    Context,
    Root,
    /// A filter expression with its predicates.
    Filter(Expr, Box<[Expr]>),
}

#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) axis: Axis,
    pub(crate) test: Test,
    pub(crate) predicates: Box<[Expr]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Axis {
    Ancestor,
    AncestorOrSelf,
    Attribute,
    Child,
    Descendant,
    DescendantOrSelf,
    Following,
    FollowingSibling,
    Namespace,
    Parent,
    Preceding,
    PrecedingSibling,
    Itself,
}

impl Axis {
    /// Whether nodes come in reverse document order.
    pub(crate) fn is_reverse(self) -> bool {
        matches!(
            self,
            Self::Ancestor | Self::AncestorOrSelf | Self::Preceding | Self::PrecedingSibling
        )
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Test {
    /// `node()`
    Node,
    /// `text()`
    Text,
    /// `comment()`
    Comment,
    /// `processing-instruction()`
    AnyPi,
    /// `processing-instruction('name')`
    Pi(NameId),
    /// `*`
    Any,
    /// `prefix:*`
    Namespace(Sym),
    Name(NameId),
}

/// What an expression gives, as far as it is known before it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Nodes,
    Boolean,
    Number,
    Text,
    Unknown,
}

macro_rules! functions {
    ($($name:literal $variant:ident $min:literal $max:literal $type:ident,)*) => {
        /// Functions of XPath 1.0, of XSLT 1.0 and, with a namespace, of EXSLT.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Function { $($variant,)* }

        impl Function {
            /// With the fewest and most arguments.
            pub(crate) fn find(name: &str) -> Option<(Self, usize, usize)> {
                Some(match name {
                    $($name => (Self::$variant, $min, $max),)*
                    _ => return None,
                })
            }

            pub(crate) fn gives(self) -> Type {
                match self { $(Self::$variant => Type::$type,)* }
            }
        }

        /// All names, for messages.
        pub(crate) const FUNCTIONS: &[&str] = &[$($name,)*];
    };
}

functions! {
    "last" Last 0 0 Number,
    "position" Position 0 0 Number,
    "count" Count 1 1 Number,
    "id" Id 1 1 Nodes,
    "local-name" LocalName 0 1 Text,
    "namespace-uri" NamespaceUri 0 1 Text,
    "name" Name 0 1 Text,
    "string" Str 0 1 Text,
    "concat" Concat 2 1000 Text,
    "starts-with" StartsWith 2 2 Boolean,
    "contains" Contains 2 2 Boolean,
    "substring-before" SubstringBefore 2 2 Text,
    "substring-after" SubstringAfter 2 2 Text,
    "substring" Substring 2 3 Text,
    "string-length" StringLength 0 1 Number,
    "normalize-space" NormalizeSpace 0 1 Text,
    "translate" Translate 3 3 Text,
    "boolean" Boolean 1 1 Boolean,
    "not" Not 1 1 Boolean,
    "true" True 0 0 Boolean,
    "false" False 0 0 Boolean,
    "lang" Lang 1 1 Boolean,
    "number" Number 0 1 Number,
    "sum" Sum 1 1 Number,
    "floor" Floor 1 1 Number,
    "ceiling" Ceiling 1 1 Number,
    "round" Round 1 1 Number,
    "document" Document 1 2 Nodes,
    "key" Key 2 2 Nodes,
    "format-number" FormatNumber 2 3 Text,
    "current" Current 0 0 Nodes,
    "unparsed-entity-uri" UnparsedEntityUri 1 1 Text,
    "generate-id" GenerateId 0 1 Text,
    "system-property" SystemProperty 1 1 Unknown,
    "function-available" Available 1 1 Boolean,
    "element-available" HasInstruction 1 1 Boolean,
    "{http://exslt.org/common}node-set" NodeSet 1 1 Nodes,
    "{http://exslt.org/common}object-type" ObjectType 1 1 Text,
    "{http://exslt.org/strings}tokenize" Tokenize 1 2 Nodes,
    "{http://exslt.org/sets}distinct" Distinct 1 1 Nodes,
}

impl Expr {
    pub(crate) fn gives(&self) -> Type {
        match self {
            Self::Number(_) | Self::Arithmetic(..) | Self::Negate(_) => Type::Number,
            Self::Text(_) => Type::Text,
            Self::Local(_) | Self::Global(_) | Self::Fail(_) => Type::Unknown,
            Self::Or(_) | Self::And(_) | Self::Compare(..) => Type::Boolean,
            Self::Union(_) | Self::Path(_) => Type::Nodes,
            Self::Call(function, _) => function.gives(),
        }
    }

    /// Whether a predicate depends on where a node stands among the others.
    pub(crate) fn is_positional(&self) -> bool {
        matches!(self.gives(), Type::Number | Type::Unknown) || self.asks_position()
    }

    /// Whether it calls `position()` or `last()` for the node that it is evaluated for.
    pub(crate) fn asks_position(&self) -> bool {
        match self {
            Self::Number(_) | Self::Text(_) | Self::Local(_) | Self::Global(_) | Self::Fail(_) => {
                false
            }
            Self::Or(parts) | Self::And(parts) | Self::Union(parts) => {
                parts.iter().any(Self::asks_position)
            }
            Self::Compare(_, pair) | Self::Arithmetic(_, pair) => {
                pair.0.asks_position() || pair.1.asks_position()
            }
            Self::Negate(inner) => inner.asks_position(),
            Self::Call(Function::Last | Function::Position, _) => true,
            Self::Call(_, arguments) => arguments.iter().any(Self::asks_position),
            Self::Path(path) => match &path.start {
                Start::Filter(inner, _) => inner.asks_position(),
                Start::Context | Start::Root => false,
            },
        }
    }
}
