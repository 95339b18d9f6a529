//! The functions of XPath 1.0, XSLT 1.0 and those few of EXSLT.

use std::collections::HashSet;
use std::rc::Rc;

use super::value::{NodeRef, Value};
use super::{Ctx, Env};
use crate::error::{Stop, fail, limit};
use crate::names::{EMPTY, XML_NS};
use crate::number;
use crate::parse::Bounds;
use crate::program::{Avt, Part};
use crate::tree::{Builder, Kind, NONE, Tree};
use crate::xpath::{Expr, Function};

/// Bytes of XML whitespace.
const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

impl Env<'_> {
    /// The text of an attribute value template.
    pub(super) fn avt(&self, avt: &Avt, c: &Ctx) -> Result<String, Stop> {
        match avt {
            Avt::Text(text) => Ok(text.to_string()),
            Avt::Parts(parts) => {
                let mut out = String::new();
                for part in parts {
                    match part {
                        Part::Text(text) => out.push_str(text),
                        Part::Expr(expr) => self.push_string(expr, c, &mut out)?,
                    }
                }
                Ok(out)
            }
        }
    }

    /// The argument's first node, or the context node where there is none.
    fn node_argument(&self, arguments: &[Expr], c: &Ctx) -> Result<Option<NodeRef>, Stop> {
        match arguments.first() {
            Some(argument) => self.first(argument, c),
            None => Ok(Some(c.node)),
        }
    }

    fn text_argument<'v>(
        &'v self,
        arguments: &'v [Expr],
        at: usize,
        c: &Ctx,
    ) -> Result<std::borrow::Cow<'v, str>, Stop> {
        match arguments.get(at) {
            Some(argument) => self.text(argument, c),
            None => {
                let text = self.string_value(c.node);
                self.spend_bytes(text.len())?;
                Ok(text)
            }
        }
    }

    pub(super) fn call_boolean(
        &self,
        function: Function,
        arguments: &[Expr],
        c: &Ctx,
    ) -> Result<bool, Stop> {
        let text = |at: usize| self.text_argument(arguments, at, c);
        Ok(match function {
            Function::True => true,
            Function::False => false,
            Function::Not => !self.argument_truth(arguments, c)?,
            Function::Boolean => self.argument_truth(arguments, c)?,
            Function::StartsWith => text(0)?.starts_with(&*text(1)?),
            Function::Contains => {
                memchr::memmem::find(text(0)?.as_bytes(), text(1)?.as_bytes()).is_some()
            }
            Function::Lang => self.is_lang(&text(0)?, c),
            Function::Available => {
                let name = text(0)?;
                match name.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
                    Some((uri, local)) => crate::xpath::parser::extension(uri, local).is_some(),
                    None => Function::find(&name).is_some(),
                }
            }
            Function::HasInstruction => {
                let name = text(0)?;
                let xsl = name.strip_prefix("{http://www.w3.org/1999/XSL/Transform}");
                xsl.is_some_and(|name| crate::compile::INSTRUCTIONS.contains(&name))
            }
            _ => return Err(fail("a function that is neither true nor false")),
        })
    }

    fn argument_truth(&self, arguments: &[Expr], c: &Ctx) -> Result<bool, Stop> {
        match arguments.first() {
            Some(argument) => self.boolean(argument, c),
            None => Ok(false),
        }
    }

    fn is_lang(&self, wanted: &str, c: &Ctx) -> bool {
        let name = {
            let mut names = self.names.borrow_mut();
            let lang = names.sym("lang");
            names.name(XML_NS, lang)
        };
        let tree = self.forest.tree(c.node.document());
        let mut at = c.node.node();
        while at != NONE {
            if tree.kind(at) == Kind::Element
                && let Some(lang) = tree.attribute(at, name)
            {
                let (lang, wanted) = (lang.to_ascii_lowercase(), wanted.to_ascii_lowercase());
                let rest = lang.strip_prefix(&wanted);
                return rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
            }
            at = tree.node(at).parent;
        }
        false
    }

    pub(super) fn call_number(
        &self,
        function: Function,
        arguments: &[Expr],
        c: &Ctx,
    ) -> Result<f64, Stop> {
        let argument = || {
            arguments
                .first()
                .map_or(Ok(f64::NAN), |argument| self.number(argument, c))
        };
        Ok(match function {
            Function::Last => c.size as f64,
            Function::Position => c.position as f64,
            Function::Count => match arguments.first() {
                Some(variable @ (Expr::Local(_) | Expr::Global(_))) => {
                    self.as_nodes(self.variable(variable, c)?)?.len() as f64
                }
                Some(argument) => self.nodes(argument, c)?.len() as f64,
                None => 0.0,
            },
            Function::StringLength => self.text_argument(arguments, 0, c)?.chars().count() as f64,
            Function::Number => match arguments.first() {
                Some(argument) => self.number(argument, c)?,
                None => number::parse(&self.string_value(c.node)),
            },
            Function::Sum => {
                let mut sum = 0.0;
                for node in arguments
                    .first()
                    .map_or(Ok(Vec::new()), |argument| self.nodes(argument, c))?
                {
                    let text = self.string_value(node);
                    self.spend_bytes(text.len())?;
                    sum += number::parse(&text);
                }
                sum
            }
            Function::Floor => argument()?.floor(),
            Function::Ceiling => argument()?.ceil(),
            Function::Round => number::round(argument()?),
            _ => return Err(fail("a function that is no number")),
        })
    }

    pub(super) fn call_text(
        &self,
        function: Function,
        arguments: &[Expr],
        c: &Ctx,
        out: &mut String,
    ) -> Result<(), Stop> {
        let text = |at: usize| self.text_argument(arguments, at, c);
        match function {
            Function::Concat => {
                for argument in arguments {
                    self.push_string(argument, c, out)?;
                }
            }
            Function::Str => out.push_str(&text(0)?),
            Function::SubstringBefore | Function::SubstringAfter => {
                let (whole, part) = (text(0)?, text(1)?);
                if let Some(at) = memchr::memmem::find(whole.as_bytes(), part.as_bytes()) {
                    out.push_str(match function {
                        Function::SubstringBefore => &whole[..at],
                        _ => &whole[at + part.len()..],
                    });
                }
            }
            Function::Substring => {
                let whole = text(0)?;
                let number = |at: usize| {
                    arguments
                        .get(at)
                        .map_or(Ok(f64::NAN), |argument| self.number(argument, c))
                };
                let from = number::round(number(1)?);
                let to = match arguments.len() {
                    3 => from + number::round(number(2)?),
                    _ => f64::INFINITY,
                };
                push_substring(&whole, from, to, out);
            }
            Function::NormalizeSpace => {
                let whole = text(0)?;
                for (at, word) in whole
                    .split(SPACES)
                    .filter(|word| !word.is_empty())
                    .enumerate()
                {
                    if at > 0 {
                        out.push(' ');
                    }
                    out.push_str(word);
                }
            }
            Function::Translate => self.translate(&text(0)?, &text(1)?, &text(2)?, out)?,
            Function::LocalName | Function::NamespaceUri | Function::Name => {
                if let Some(node) = self.node_argument(arguments, c)? {
                    self.push_name(function, node, out);
                }
            }
            Function::FormatNumber => {
                let number = arguments
                    .first()
                    .map_or(Ok(f64::NAN), |argument| self.number(argument, c))?;
                let pattern = text(1)?;
                let name = if arguments.len() > 2 {
                    text(2)?.into_owned()
                } else {
                    String::new()
                };
                let default = number::DecimalFormat::default();
                let format = match self.sheet.formats.get(&name) {
                    Some(format) => format,
                    None if name.is_empty() => &default,
                    None => {
                        return Err(fail(format!(
                            "there is no xsl:decimal-format of the name {name:?}"
                        )));
                    }
                };
                out.push_str(&format.format(number, &pattern).map_err(fail)?);
            }
            Function::GenerateId => {
                if let Some(node) = self.node_argument(arguments, c)? {
                    out.push_str(&format!("id{}n{}", node.document(), node.node()));
                    if node.namespace() > 0 {
                        out.push_str(&format!("s{}", node.namespace()));
                    }
                }
            }
            // There is no DTD, so there are no unparsed entities.
            Function::UnparsedEntityUri => {
                text(0)?;
            }
            Function::ObjectType => out.push_str(match arguments.first() {
                Some(argument) => match self.eval(argument, c)? {
                    Value::Boolean(_) => "boolean",
                    Value::Number(_) => "number",
                    Value::Text(_) => "string",
                    Value::Nodes(_) => "node-set",
                    Value::TextFragment(_) | Value::Fragment(_) => "RTF",
                },
                None => "",
            }),
            _ => return Err(fail("a function that is no text")),
        }
        Ok(())
    }

    fn translate(&self, text: &str, from: &str, to: &str, out: &mut String) -> Result<(), Stop> {
        let mut pairs: std::collections::HashMap<char, Option<char>, foldhash::fast::RandomState> =
            Default::default();
        let mut to = to.chars();
        for c in from.chars() {
            let by = to.next();
            pairs.entry(c).or_insert(by);
        }
        self.spend_bytes(from.len() * 8)?;
        for c in text.chars() {
            match pairs.get(&c) {
                None => out.push(c),
                Some(Some(by)) => out.push(*by),
                Some(None) => {}
            }
        }
        Ok(())
    }

    fn push_name(&self, function: Function, node: NodeRef, out: &mut String) {
        let names = self.names.borrow();
        if node.namespace() != 0 {
            drop(names);
            let prefix = self.namespace_prefix(node);
            if function != Function::NamespaceUri {
                out.push_str(self.names.borrow().text(prefix));
            }
            return;
        }
        let found = self.forest.tree(node.document()).node(node.node());
        match function {
            Function::LocalName => out.push_str(names.local(found.name)),
            Function::NamespaceUri => out.push_str(names.uri(found.name)),
            _ => {
                if found.prefix != EMPTY {
                    out.push_str(names.text(found.prefix));
                    out.push(':');
                }
                out.push_str(names.local(found.name));
            }
        }
    }

    pub(super) fn call_nodes(
        &self,
        function: Function,
        arguments: &[Expr],
        c: &Ctx,
    ) -> Result<Vec<NodeRef>, Stop> {
        match function {
            Function::Current => Ok(vec![c.current]),
            // Only a DTD could say which attributes are ids.
            Function::Id => Ok(Vec::new()),
            Function::Key => {
                let name = self.text_argument(arguments, 0, c)?;
                match arguments.get(1) {
                    Some(value) => self.key(&name, value, c),
                    None => Ok(Vec::new()),
                }
            }
            Function::Document => Ok(vec![NodeRef::new(self.own_document()?, 0)]),
            Function::NodeSet => match arguments.first() {
                Some(argument) => self.node_set(self.eval(argument, c)?),
                None => Ok(Vec::new()),
            },
            Function::Distinct => {
                let nodes = arguments
                    .first()
                    .map_or(Ok(Vec::new()), |argument| self.nodes(argument, c))?;
                let mut seen = HashSet::new();
                let mut kept = Vec::new();
                for node in nodes {
                    let text = self.string_value(node);
                    self.spend_bytes(text.len())?;
                    if seen.insert(text) {
                        kept.push(node);
                    }
                }
                Ok(kept)
            }
            Function::Tokenize => {
                let text = self.text_argument(arguments, 0, c)?;
                let delimiters = match arguments.get(1) {
                    Some(delimiters) => self.text(delimiters, c)?.into_owned(),
                    None => "\t\r\n ".to_owned(),
                };
                self.tokenize(&text, &delimiters)
            }
            _ => Err(fail("a function that gives no nodes")),
        }
    }

    fn add_document(&self, tree: Rc<Tree>) -> Result<u16, Stop> {
        self.forest.add(tree).ok_or_else(|| {
            let message = format!(
                "more than {} fragments were made nodes",
                super::value::DOCUMENTS_MAX
            );
            limit("fragment_nodes_max", message)
        })
    }

    fn node_set(&self, value: Value) -> Result<Vec<NodeRef>, Stop> {
        let place = match &value {
            Value::Nodes(nodes) => return Ok(nodes.to_vec()),
            Value::Fragment(tree) => Rc::as_ptr(tree) as usize,
            Value::TextFragment(text) | Value::Text(text) => Rc::as_ptr(text).cast::<u8>() as usize,
            // A number becomes a text node, as in EXSLT.
            _ => 0,
        };
        if let Some((_, document)) = self.node_sets.borrow().get(&place)
            && place != 0
        {
            return Ok(vec![NodeRef::new(*document, 0)]);
        }
        let tree = match &value {
            Value::Fragment(tree) => Rc::clone(tree),
            other => {
                let text = self.text_of(other);
                self.made(&text)?;
                Rc::new(Tree::of_text(&text))
            }
        };
        let document = self.add_document(tree)?;
        // The value is kept, so that nothing else comes to be at its place.
        self.node_sets.borrow_mut().insert(place, (value, document));
        Ok(vec![NodeRef::new(document, 0)])
    }

    fn tokenize(&self, text: &str, delimiters: &str) -> Result<Vec<NodeRef>, Stop> {
        let name = {
            let mut names = self.names.borrow_mut();
            let local = names.sym("token");
            names.name(EMPTY, local)
        };
        let mut builder = Builder::new(
            self.limits.fragment_nodes_max,
            self.limits.fragment_bytes_max,
        );
        let full = |_| limit("fragment_nodes_max", "str:tokenize() makes too many nodes");
        let mut add = |part: &str| -> Result<(), Stop> {
            // For their memory.
            self.spend(8)?;
            builder.start(EMPTY, name).map_err(full)?;
            builder.text(part, false).map_err(full)?;
            builder.end();
            Ok(())
        };
        if delimiters.is_empty() {
            for (at, c) in text.char_indices() {
                add(&text[at..at + c.len_utf8()])?;
            }
        } else {
            self.spend_bytes(text.len() * delimiters.len().min(64))?;
            for part in text
                .split(|c| delimiters.contains(c))
                .filter(|part| !part.is_empty())
            {
                add(part)?;
            }
        }
        let tree = builder.finish();
        let children: Vec<u32> = tree.children(0).collect();
        let document = self.add_document(Rc::new(tree))?;
        Ok(children
            .into_iter()
            .map(|child| NodeRef::new(document, child))
            .collect())
    }

    /// `document('')`: the main file of the stylesheet.
    fn own_document(&self) -> Result<u16, Stop> {
        if let Some(document) = self.own.get() {
            return Ok(document);
        }
        let text = self.sheet.files.first().map_or("", |(_, text)| text);
        let bounds = Bounds {
            nodes_max: self.limits.document_nodes_max,
            bytes_max: self.limits.document_bytes_max,
            depth_max: self.limits.depth_max,
        };
        let strip = |names: &crate::names::Names<'_>, name: u32| self.sheet.strips(names, name);
        let tree = crate::parse::parse(
            text,
            &mut self.names.borrow_mut(),
            bounds,
            Some(&strip),
            false,
        );
        let tree = tree.map_err(|broken| fail(format!("document(''): {}", broken.message)))?;
        self.spend_bytes(text.len())?;
        let document = self.add_document(Rc::new(tree))?;
        self.own.set(Some(document));
        Ok(document)
    }

    pub(super) fn system_property(&self, arguments: &[Expr], c: &Ctx) -> Result<Value, Stop> {
        let name = self.text_argument(arguments, 0, c)?;
        Ok(
            match name.strip_prefix("{http://www.w3.org/1999/XSL/Transform}") {
                Some("version") => Value::Number(1.0),
                Some("vendor") => Value::Text("Daybook".into()),
                _ => Value::Text("".into()),
            },
        )
    }
}

/// Characters at the places from `from`, up to but without `to`, counted from 1.
fn push_substring(text: &str, from: f64, to: f64, out: &mut String) {
    if from.is_nan() || to.is_nan() || to <= 1.0 || from >= to {
        return;
    }
    let skipped = if from > 1.0 {
        (from - 1.0).min(usize::MAX as f64 / 2.0) as usize
    } else {
        0
    };
    let taken = match to.is_finite() {
        // Both are whole, and the difference is exact below 2^53, which no text reaches.
        true => {
            (to - 1.0).min(usize::MAX as f64 / 2.0) as usize
                - skipped.min((to - 1.0).min(usize::MAX as f64 / 2.0) as usize)
        }
        false => usize::MAX,
    };
    if text.is_ascii() {
        let from = skipped.min(text.len());
        let to = skipped.saturating_add(taken).min(text.len());
        out.push_str(&text[from..to]);
    } else {
        out.extend(text.chars().skip(skipped).take(taken));
    }
}
