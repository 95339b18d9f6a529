//! Compiling a stylesheet: its files, its declarations, its templates, checked whole.

mod avt;
mod body;
mod instruction;
mod link;
mod literal;
mod load;
mod top;

use std::collections::HashMap;
use std::rc::Rc;

use crate::Resolve;
use crate::error::CompileError;
use crate::names::{EMPTY, NameId, Names, Sym, Table};
use crate::parse::is_ncname;
use crate::program::{Address, Mode, Op, Sheet};
use crate::tree::{Kind, NONE, Tree};
use crate::xpath::Expr;
use crate::xpath::lexer::Mistake;
use crate::xpath::parser::{Scope, parse};
use crate::xpath::pattern::{Pattern, pattern};

pub(crate) const XSLT: &str = "http://www.w3.org/1999/XSL/Transform";

/// Instructions: what may stand in a template.
pub(crate) const INSTRUCTIONS: &[&str] = &[
    "apply-imports",
    "apply-templates",
    "attribute",
    "call-template",
    "choose",
    "comment",
    "copy",
    "copy-of",
    "element",
    "fallback",
    "for-each",
    "if",
    "message",
    "number",
    "processing-instruction",
    "text",
    "value-of",
    "variable",
];

/// Attributes that each element may have; those behind the bar it must have.
const ATTRIBUTES: &[(&str, &[&str], &[&str])] = &[
    ("apply-imports", &[], &[]),
    ("apply-templates", &["select", "mode"], &[]),
    ("attribute", &["namespace"], &["name"]),
    ("attribute-set", &["use-attribute-sets"], &["name"]),
    ("call-template", &[], &["name"]),
    ("choose", &[], &[]),
    ("comment", &[], &[]),
    ("copy", &["use-attribute-sets"], &[]),
    ("copy-of", &[], &["select"]),
    (
        "decimal-format",
        &[
            "name",
            "decimal-separator",
            "grouping-separator",
            "infinity",
            "minus-sign",
            "NaN",
            "percent",
            "per-mille",
            "zero-digit",
            "digit",
            "pattern-separator",
        ],
        &[],
    ),
    ("element", &["namespace", "use-attribute-sets"], &["name"]),
    ("fallback", &[], &[]),
    ("for-each", &[], &["select"]),
    ("if", &[], &["test"]),
    ("import", &[], &["href"]),
    ("include", &[], &["href"]),
    ("key", &[], &["name", "match", "use"]),
    ("message", &["terminate"], &[]),
    (
        "namespace-alias",
        &[],
        &["stylesheet-prefix", "result-prefix"],
    ),
    (
        "number",
        &[
            "level",
            "count",
            "from",
            "value",
            "format",
            "lang",
            "letter-value",
            "grouping-separator",
            "grouping-size",
        ],
        &[],
    ),
    ("otherwise", &[], &[]),
    (
        "output",
        &[
            "method",
            "version",
            "encoding",
            "omit-xml-declaration",
            "standalone",
            "doctype-public",
            "doctype-system",
            "cdata-section-elements",
            "indent",
            "media-type",
        ],
        &[],
    ),
    ("param", &["select"], &["name"]),
    ("preserve-space", &[], &["elements"]),
    ("processing-instruction", &[], &["name"]),
    (
        "sort",
        &["select", "lang", "data-type", "order", "case-order"],
        &[],
    ),
    ("strip-space", &[], &["elements"]),
    (
        "stylesheet",
        &[
            "id",
            "extension-element-prefixes",
            "exclude-result-prefixes",
        ],
        &["version"],
    ),
    ("template", &["match", "name", "priority", "mode"], &[]),
    ("text", &["disable-output-escaping"], &[]),
    (
        "transform",
        &[
            "id",
            "extension-element-prefixes",
            "exclude-result-prefixes",
        ],
        &["version"],
    ),
    ("value-of", &["disable-output-escaping"], &["select"]),
    ("variable", &["select"], &["name"]),
    ("when", &[], &["test"]),
    ("with-param", &["select"], &["name"]),
];

type Compiled<T> = Result<T, CompileError>;

/// A node of one of the stylesheet's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct At {
    file: usize,
    node: u32,
}

/// A top-level element, in the order in which they count.
#[derive(Debug, Clone, Copy)]
struct Top {
    at: At,
    precedence: u32,
    imports_from: u32,
}

struct Compiler<'c> {
    names: Names<'c>,
    sheet: Sheet,
    trees: Vec<Rc<Tree>>,
    tops: Vec<Top>,
    /// Winning variables, templates by name, modes, attribute sets: by name.
    globals: HashMap<NameId, u32>,
    named: HashMap<NameId, u32>,
    modes: HashMap<NameId, Mode>,
    sets: HashMap<NameId, u32>,
    /// `xsl:namespace-alias`: namespace of the stylesheet to that of the result.
    aliases: HashMap<Sym, (Sym, Sym)>,
    /// Variables in scope, with their slots.
    locals: Vec<(NameId, u32)>,
    next_slot: u32,
    slots: u32,
    /// Whether expressions may name variables; patterns of templates and keys may not.
    has_variables: bool,
    xslt: Sym,
    xml_space: NameId,
}

pub(crate) fn compile(file: &str, text: &str, resolve: Resolve<'_>) -> Compiled<Sheet> {
    let empty = Table::default();
    let mut names = Names::new(&empty);
    names.prime();
    let xslt = names.sym(XSLT);
    let space = names.sym("space");
    let xml_space = names.name(crate::names::XML_NS, space);
    let mut compiler = Compiler {
        names,
        sheet: Sheet::default(),
        trees: Vec::new(),
        tops: Vec::new(),
        globals: HashMap::new(),
        named: HashMap::new(),
        modes: HashMap::new(),
        sets: HashMap::new(),
        aliases: HashMap::new(),
        locals: Vec::new(),
        next_slot: 0,
        slots: 0,
        has_variables: true,
        xslt,
        xml_space,
    };
    compiler.load(file, text, resolve)?;
    compiler.declare()?;
    compiler.define()?;
    compiler.link();
    let mut sheet = compiler.sheet;
    sheet.table = compiler.names.into_own();
    Ok(sheet)
}

impl Compiler<'_> {
    fn tree(&self, at: At) -> Rc<Tree> {
        Rc::clone(&self.trees[at.file])
    }

    /// A mistake at a node.
    fn wrong(&self, at: At, message: impl Into<String>) -> CompileError {
        let tree = &self.trees[at.file];
        let offset = tree.offsets.get(at.node as usize).copied().unwrap_or(0);
        self.wrong_at(at.file, offset as usize, message)
    }

    fn wrong_at(&self, file: usize, offset: usize, message: impl Into<String>) -> CompileError {
        let (name, text) = self
            .sheet
            .files
            .get(file)
            .map_or(("", ""), |(name, text)| (name.as_str(), &**text));
        let (line, column) = crate::position(text, offset);
        CompileError {
            file: name.to_owned(),
            line,
            column,
            message: message.into(),
        }
    }

    fn wrong_in(&self, attribute: At, mistake: Mistake, text: &str) -> CompileError {
        let tree = &self.trees[attribute.file];
        let offset = tree
            .offsets
            .get(attribute.node as usize)
            .copied()
            .unwrap_or(0) as usize;
        let message = format!("{}, in {text:?}", mistake.message);
        self.wrong_at(attribute.file, offset + mistake.at, message)
    }

    /// Local name of an element of XSLT.
    fn xsl(&self, at: At) -> Option<String> {
        let tree = &self.trees[at.file];
        let node = tree.node(at.node);
        let (uri, _) = self.names.parts(node.name);
        (node.kind == Kind::Element && uri == self.xslt)
            .then(|| self.names.local(node.name).to_owned())
    }

    /// An attribute without a namespace: where it is, and its value.
    fn attribute(&mut self, at: At, name: &str) -> Option<(At, String)> {
        let name = self.local_name(name);
        self.attribute_named(at, name)
    }

    fn attribute_named(&self, at: At, name: NameId) -> Option<(At, String)> {
        let tree = &self.trees[at.file];
        let found = tree
            .attributes(at.node)
            .find(|attribute| tree.node(*attribute).name == name)?;
        let value = tree.value(found).to_owned();
        Some((At { node: found, ..at }, value))
    }

    fn required(&mut self, at: At, name: &str) -> Compiled<(At, String)> {
        match self.attribute(at, name) {
            Some(found) => Ok(found),
            None => {
                let element = self.xsl(at).unwrap_or_default();
                Err(self.wrong(at, format!("xsl:{element} needs the attribute {name}")))
            }
        }
    }

    fn local_name(&mut self, name: &str) -> NameId {
        let local = self.names.sym(name);
        self.names.name(EMPTY, local)
    }

    /// Checks that an element of XSLT has what it needs and nothing that is not known.
    fn check_attributes(&mut self, at: At, element: &str) -> Compiled<()> {
        let Some((_, optional, needed)) = ATTRIBUTES.iter().find(|(known, ..)| *known == element)
        else {
            return Ok(());
        };
        let tree = self.tree(at);
        for attribute in tree.attributes(at.node) {
            let name = tree.node(attribute).name;
            let (uri, _) = self.names.parts(name);
            let local = self.names.local(name).to_owned();
            if uri == self.xslt {
                return Err(self.wrong(At { node: attribute, ..at }, format!("xsl:{local} stands on elements that are not of XSLT; here it is {local}, without a prefix")));
            }
            let is_known = uri != EMPTY || optional.contains(&&*local) || needed.contains(&&*local);
            if !is_known && !self.is_forward(at) {
                let known: Vec<&str> = needed.iter().chain(optional.iter()).copied().collect();
                let known = if known.is_empty() {
                    "no attributes".to_owned()
                } else {
                    known.join(", ")
                };
                let message = format!("xsl:{element} has no attribute {local:?}; it has {known}");
                return Err(self.wrong(
                    At {
                        node: attribute,
                        ..at
                    },
                    message,
                ));
            }
        }
        for needed in *needed {
            self.required(at, needed)?;
        }
        Ok(())
    }

    /// Whether something of a later version may stand here (section 2.5).
    fn is_forward(&mut self, at: At) -> bool {
        let version = self.local_name("version");
        let local = self.names.sym("version");
        let xsl_version = self.names.name(self.xslt, local);
        let tree = self.tree(at);
        let mut node = at.node;
        while node != NONE {
            if tree.kind(node) == Kind::Element {
                let is_xsl = self.names.parts(tree.node(node).name).0 == self.xslt;
                let name = if is_xsl { version } else { xsl_version };
                if let Some(version) = tree.attribute(node, name) {
                    return version.trim() != "1.0";
                }
            }
            node = tree.node(node).parent;
        }
        false
    }

    /// A name in an attribute; the default namespace is not for it.
    fn qname(&mut self, attribute: At, text: &str) -> Compiled<NameId> {
        let text = text.trim();
        let (prefix, local) = text.split_once(':').unwrap_or(("", text));
        if !is_ncname(local) || (text.contains(':') && !is_ncname(prefix)) {
            return Err(self.wrong(attribute, format!("{text:?} is no name")));
        }
        let uri = match prefix {
            "" => EMPTY,
            prefix => {
                let prefix = self.names.sym(prefix);
                self.prefix(attribute, prefix)?
            }
        };
        let local = self.names.sym(local);
        Ok(self.names.name(uri, local))
    }

    fn prefix(&self, at: At, prefix: Sym) -> Compiled<Sym> {
        match self.trees[at.file].uri_of(at.node, prefix) {
            Some(uri) => Ok(uri),
            None => {
                let prefix = self.names.text(prefix);
                let message = format!(
                    "the prefix {prefix:?} is not declared here: xmlns:{prefix}=\"…\" is missing"
                );
                Err(self.wrong(at, message))
            }
        }
    }

    /// `yes` or `no`.
    fn flag(&mut self, at: At, name: &str) -> Compiled<Option<bool>> {
        match self.attribute(at, name) {
            None => Ok(None),
            Some((_, value)) if value == "yes" => Ok(Some(true)),
            Some((_, value)) if value == "no" => Ok(Some(false)),
            Some((attribute, value)) => Err(self.wrong(
                attribute,
                format!("{name} is {value:?}, and can be yes or no"),
            )),
        }
    }

    fn expr(&mut self, attribute: At, text: &str) -> Compiled<Expr> {
        let parsed = parse(
            text,
            &mut Here {
                compiler: self,
                at: attribute,
            },
            false,
        );
        match parsed {
            Ok(expr) => Ok(expr),
            // Of a later version: it counts only when it is reached.
            Err(mistake) if self.is_forward(attribute) => Ok(Expr::Fail(mistake.message.into())),
            Err(mistake) => Err(self.wrong_in(attribute, mistake, text)),
        }
    }

    fn pattern(&mut self, attribute: At, text: &str) -> Compiled<Vec<Pattern>> {
        let parsed = pattern(
            text,
            &mut Here {
                compiler: self,
                at: attribute,
            },
        );
        parsed.map_err(|mistake| self.wrong_in(attribute, mistake, text))
    }

    fn emit(&mut self, at: At, op: Op) -> Address {
        let address = self.address();
        let offset = self.trees[at.file]
            .offsets
            .get(at.node as usize)
            .copied()
            .unwrap_or(0);
        self.sheet.code.push(op);
        self.sheet.places.push((at.file as u16, offset));
        address
    }

    fn address(&self) -> Address {
        self.sheet.code.len() as Address
    }

    /// Lets a jump that was emitted earlier go to the next instruction.
    fn land(&mut self, jump: Address) {
        let here = self.address();
        match self.sheet.code.get_mut(jump as usize) {
            Some(
                Op::Jump(to)
                | Op::Unless(_, to)
                | Op::StartCopy(to)
                | Op::ForEach(_, to)
                | Op::Parameter(_, _, to),
            ) => *to = here,
            _ => debug_assert!(false, "only jumps land"),
        }
    }

    fn mode(&mut self, name: NameId) -> Mode {
        let next = self.modes.len() as Mode + 1;
        *self.modes.entry(name).or_insert(next)
    }
}

/// What an expression may name, where it stands.
struct Here<'h, 'c> {
    compiler: &'h mut Compiler<'c>,
    at: At,
}

impl Scope for Here<'_, '_> {
    fn uri(&mut self, prefix: &str) -> Option<Sym> {
        let prefix = self.compiler.names.sym(prefix);
        self.compiler.trees[self.at.file].uri_of(self.at.node, prefix)
    }

    fn uri_text(&self, uri: Sym) -> String {
        self.compiler.names.text(uri).to_owned()
    }

    fn name(&mut self, uri: Sym, local: &str) -> NameId {
        let local = self.compiler.names.sym(local);
        self.compiler.names.name(uri, local)
    }

    fn variable(&mut self, name: NameId) -> Result<Expr, String> {
        let compiler = &*self.compiler;
        let shown = compiler.names.shown(name);
        if !compiler.has_variables {
            return Err(format!(
                "${shown}: there are no variables in the patterns of templates and in keys"
            ));
        }
        let local = compiler
            .locals
            .iter()
            .rev()
            .find(|(known, _)| *known == name);
        if let Some((_, slot)) = local {
            return Ok(Expr::Local(*slot));
        }
        if let Some(global) = compiler.globals.get(&name) {
            return Ok(Expr::Global(*global));
        }
        let known: Vec<String> = compiler
            .locals
            .iter()
            .map(|(known, _)| *known)
            .chain(compiler.globals.keys().copied())
            .map(|known| format!("${}", compiler.names.shown(known)))
            .take(12)
            .collect();
        let known = match known.as_slice() {
            [] => "there are none here".to_owned(),
            known => {
                let mut known = known.to_vec();
                known.sort();
                format!("there are {}", known.join(", "))
            }
        };
        Err(format!("there is no variable ${shown} in scope; {known}"))
    }
}
