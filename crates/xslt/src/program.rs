//! A compiled stylesheet: instructions in one list, which a machine with a stack of its own runs.

use std::collections::HashMap;

use crate::names::{NameId, Names, Sym, Table};
use crate::number::DecimalFormat;
use crate::tree::Kind;
use crate::xpath::pattern::Pattern;
use crate::xpath::{Expr, Test};

/// Number of an instruction.
pub(crate) type Address = u32;
/// A mode of templates; 0 is that without a name.
pub(crate) type Mode = u32;

pub(crate) type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// An attribute value template.
#[derive(Debug)]
pub(crate) enum Avt {
    Text(Box<str>),
    Parts(Box<[Part]>),
}

#[derive(Debug)]
pub(crate) enum Part {
    Text(Box<str>),
    Expr(Expr),
}

/// A computed name: of an element or an attribute.
#[derive(Debug)]
pub(crate) struct Naming {
    pub(crate) name: Avt,
    pub(crate) namespace: Option<Avt>,
    /// Prefixes in scope of the instruction.
    pub(crate) scope: Box<[(Sym, Sym)]>,
}

#[derive(Debug)]
pub(crate) struct Literal {
    pub(crate) prefix: Sym,
    pub(crate) name: NameId,
    pub(crate) namespaces: Box<[(Sym, Sym)]>,
}

#[derive(Debug)]
pub(crate) struct SortKey {
    pub(crate) select: Expr,
    pub(crate) data_type: Avt,
    pub(crate) order: Avt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Single,
    Multiple,
    Any,
}

#[derive(Debug)]
pub(crate) struct Numbering {
    pub(crate) value: Option<Expr>,
    pub(crate) level: Level,
    pub(crate) count: Option<Box<[Pattern]>>,
    pub(crate) from: Option<Box<[Pattern]>>,
    pub(crate) format: Avt,
    pub(crate) separator: Option<Avt>,
    pub(crate) size: Option<Avt>,
}

/// What is collected instead of written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Capture {
    /// A result tree fragment.
    Fragment,
    /// Text only: the value of an attribute, a comment, a processing instruction.
    Text,
    /// A message: text, with markup left out.
    Message,
}

/// An instruction. Each evaluates all its expressions before it does anything, so that it can be begun anew.
#[derive(Debug)]
pub(crate) enum Op {
    Text(Box<str>, bool),
    ValueOf(Expr, bool),
    CopyOf(Expr),
    StartLiteral(Box<Literal>),
    LiteralAttribute(Sym, NameId, Avt),
    StartElement(Box<Naming>),
    EndElement,
    /// Goes on at the address where the node has no inside.
    StartCopy(Address),
    EndCopy,
    Capture(Capture),
    EndAttribute(Box<Naming>),
    EndComment,
    EndPi(Avt),
    EndMessage(bool),
    EndVariable(u32),
    EndGlobal(u32),
    EndArgument(NameId),
    SetVariable(u32, Expr),
    SetGlobal(u32, Expr),
    Argument(NameId, Expr),
    /// A parameter: goes on at the address if it was given, else with its default.
    Parameter(u32, NameId, Address),
    Unless(Expr, Address),
    Jump(Address),
    ForEach(Box<(Expr, Box<[SortKey]>)>, Address),
    /// Next node of the innermost loop, whose body begins at the address.
    Next(Address),
    Apply(Box<Apply>),
    ApplyImports,
    Call(u32, u32),
    /// An attribute set; `true` where it counts only if the current node is an element.
    CallSet(u32, bool),
    Number(Box<Numbering>),
    Return,
    Fail(Box<str>),
}

#[derive(Debug)]
pub(crate) struct Apply {
    pub(crate) select: Option<Expr>,
    pub(crate) mode: Mode,
    pub(crate) sorts: Box<[SortKey]>,
    pub(crate) arguments: u32,
}

#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) code: Address,
    /// How many variables it has.
    pub(crate) slots: u32,
    pub(crate) precedence: u32,
    /// Lowest precedence of what its stylesheet imports.
    pub(crate) imports_from: u32,
}

/// One alternative of a template's pattern.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) pattern: Pattern,
    pub(crate) template: u32,
    pub(crate) precedence: u32,
    pub(crate) priority: f64,
    pub(crate) mode: Mode,
}

#[derive(Debug)]
pub(crate) struct GlobalVariable {
    pub(crate) name: NameId,
    pub(crate) code: Address,
    pub(crate) slots: u32,
    pub(crate) is_parameter: bool,
}

#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) patterns: Vec<Pattern>,
    pub(crate) value: Expr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Xml,
    Text,
}

/// `xsl:output`
#[derive(Debug, Default)]
pub(crate) struct OutputRules {
    pub(crate) method: Option<Method>,
    pub(crate) has_encoding: bool,
    pub(crate) omits_declaration: bool,
    pub(crate) standalone: Option<bool>,
    pub(crate) indents: bool,
    /// `indent="no"` was said.
    pub(crate) is_dense: bool,
    pub(crate) cdata: Vec<NameId>,
    pub(crate) doctype_public: Option<String>,
    pub(crate) doctype_system: Option<String>,
}

/// Which whitespace of documents is dropped.
#[derive(Debug)]
pub(crate) struct StripRule {
    pub(crate) test: Test,
    pub(crate) strips: bool,
    pub(crate) precedence: u32,
}

/// Rules by what they can match: kind of the node and, for named ones, its name.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) by_name: Map<(Mode, Kind, NameId), Box<[u32]>>,
    pub(crate) by_kind: Map<(Mode, Kind), Box<[u32]>>,
}

#[derive(Debug, Default)]
pub(crate) struct Sheet {
    pub(crate) table: Table,
    pub(crate) code: Vec<Op>,
    /// File and byte of each instruction.
    pub(crate) places: Vec<(u16, u32)>,
    pub(crate) templates: Vec<Template>,
    /// The best first.
    pub(crate) rules: Vec<Rule>,
    pub(crate) index: Index,
    pub(crate) globals: Vec<GlobalVariable>,
    pub(crate) keys: HashMap<String, Vec<Key>>,
    /// Attribute sets: where each begins.
    pub(crate) sets: Vec<Address>,
    pub(crate) formats: HashMap<String, DecimalFormat>,
    /// The best first.
    pub(crate) strip: Vec<StripRule>,
    pub(crate) output: OutputRules,
    /// Name and text of each file; the main one is the first.
    pub(crate) files: Vec<(String, Box<str>)>,
}

impl Sheet {
    /// Whether whitespace directly in an element of this name is dropped.
    pub(crate) fn strips(&self, names: &Names<'_>, name: NameId) -> bool {
        let found = self.strip.iter().find(|rule| match rule.test {
            Test::Any => true,
            Test::Namespace(uri) => names.parts(name).0 == uri,
            Test::Name(wanted) => wanted == name,
            _ => false,
        });
        found.is_some_and(|rule| rule.strips)
    }
}
