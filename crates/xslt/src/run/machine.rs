//! The machine: runs a stylesheet's instructions with a stack of its own.
//!
//! # Invariants
//!
//! - Template calls, loops and variables of the stylesheet are frames of [`Machine::frames`], never calls of Rust:
//!   `template_depth_max` bounds them, and no document or stylesheet can exhaust the thread's stack.
//! - An instruction evaluates all its expressions before it changes anything. One that needs a variable of the
//!   stylesheet that has no value yet stops, and is begun anew once it has.

use std::rc::Rc;

use super::sink::{Into, Sink, Written};
use super::value::{NodeRef, Value};
use super::{Ctx, Env, Global};
use crate::error::{Cause, Place, Stop, TransformError, fail, limit};
use crate::limits::Limits;
use crate::names::{EMPTY, NameId, Names, Sym, XMLNS};
use crate::output;
use crate::parse::{Bounds, Why, is_ncname, parse};
use crate::program::{Address, Apply, Capture, Method, Mode, Naming, Op, Sheet};
use crate::tree::Kind;
use crate::xpath::{Axis, Test};
use crate::{Output, OutputMethod};

/// No template.
const NO_RULE: u32 = u32::MAX;
/// Most variables of all templates that are running.
const VARIABLES_MAX: usize = 1 << 20;
/// Most messages that are kept, and most bytes of one.
const MESSAGES_MAX: usize = 100;
const MESSAGE_BYTES_MAX: usize = 1_000;

type Arguments = Rc<[(NameId, Value)]>;

/// What goes on when a frame ends.
#[derive(Debug)]
enum Kept {
    /// After a call.
    Call,
    /// The other nodes of `apply-templates`.
    Apply {
        nodes: Vec<NodeRef>,
        next: usize,
        arguments: Arguments,
    },
    /// The other nodes of `for-each`.
    Loop { nodes: Vec<NodeRef>, next: usize },
    /// The value of a variable of the stylesheet.
    Global,
}

/// What is restored when it ends.
#[derive(Debug)]
struct Frame {
    pc: Address,
    c: Ctx,
    rule: u32,
    mode: Mode,
    given: Arguments,
    /// Length of the variables outside.
    variables: usize,
    kept: Kept,
}

struct Machine<'s> {
    env: Env<'s>,
    frames: Vec<Frame>,
    sinks: Vec<Sink>,
    written: Written,
    arguments: Vec<(NameId, Value)>,
    pc: Address,
    c: Ctx,
    /// The template that `apply-imports` goes on from.
    rule: u32,
    mode: Mode,
    given: Arguments,
    messages: Vec<String>,
}

/// Applies a stylesheet to a document.
pub(crate) fn transform(
    sheet: &Sheet,
    document: &str,
    parameters: &[(&str, &str)],
    limits: &Limits,
) -> Result<Output, TransformError> {
    let mut names = Names::new(&sheet.table);
    let bounds = Bounds {
        nodes_max: limits.document_nodes_max,
        bytes_max: limits.document_bytes_max,
        depth_max: limits.depth_max,
    };
    let strip = |names: &Names<'_>, name: NameId| sheet.strips(names, name);
    let strip = (!sheet.strip.is_empty()).then_some(&strip as &dyn Fn(&Names<'_>, NameId) -> bool);
    let tree =
        parse(document, &mut names, bounds, strip, false).map_err(|broken| TransformError {
            cause: match broken.why {
                Why::Nodes => Cause::Limit("document_nodes_max"),
                Why::Bytes => Cause::Limit("document_bytes_max"),
                Why::Depth => Cause::Limit("depth_max"),
                Why::Fault(fault) => Cause::Document {
                    offset: broken.offset,
                    fault,
                },
            },
            message: format!("the document: {}", broken.message),
            place: None,
        })?;
    let mut globals = Vec::new();
    for (name, value) in parameters {
        let id = expanded(name, &mut names);
        globals.push((id, Value::Text(Rc::from(*value))));
    }
    let mut env = Env::new(sheet, limits, names, Rc::new(tree));
    for (name, value) in globals {
        for (global, slot) in sheet.globals.iter().zip(&mut env.globals) {
            if global.name == name && global.is_parameter {
                *slot = Global::Set(value.clone());
            }
        }
    }
    let root = NodeRef::new(0, 0);
    let c = Ctx {
        node: root,
        position: 1,
        size: 1,
        current: root,
        base: 0,
    };
    let method = sheet.output.method;
    let into = match method {
        Some(Method::Text) => Into::TextResult,
        _ => Into::Result,
    };
    let mut machine = Machine {
        env,
        frames: Vec::with_capacity(16),
        sinks: vec![Sink::new(into)],
        written: Written::default(),
        arguments: Vec::new(),
        pc: 0,
        c,
        rule: NO_RULE,
        mode: 0,
        given: Rc::from([]),
        messages: Vec::new(),
    };
    machine.run()?;
    machine.finish()
}

/// A name as callers write it: `{namespace}local` or `local`.
pub(crate) fn expanded(name: &str, names: &mut Names<'_>) -> NameId {
    let (uri, local) = match name.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        Some((uri, local)) => (uri, local),
        None => ("", name),
    };
    let (uri, local) = (names.sym(uri), names.sym(local));
    names.name(uri, local)
}

impl<'s> Machine<'s> {
    fn run(&mut self) -> Result<(), TransformError> {
        let sheet = self.env.sheet;
        let stop = sheet.code.len() as Address;
        // Behind the last instruction: what the frames return to.
        self.pc = stop;
        let start = self.push_apply(vec![self.c.node], 0, Rc::from([]));
        start
            .and_then(|()| self.apply_next())
            .map_err(|stop| self.failed(stop, NO_RULE))?;
        loop {
            let at = self.pc;
            let Some(op) = sheet.code.get(at as usize) else {
                return Ok(());
            };
            self.pc = at + 1;
            let done = self.env.spend(1).and_then(|()| self.step(op));
            match done {
                Ok(()) => {}
                Err(Stop::Needs(global)) => {
                    self.pc = at;
                    self.begin_global(global)
                        .map_err(|stop| self.failed(stop, at))?;
                }
                Err(stop) => return Err(self.failed(stop, at)),
            }
        }
    }

    /// An error, with the instruction that it came from.
    fn failed(&self, stop: Stop, at: Address) -> TransformError {
        match stop {
            Stop::Failed(mut error) => {
                let place = self.env.sheet.places.get(at as usize);
                if let Some((file, offset)) = place
                    && let Some((name, text)) = self.env.sheet.files.get(usize::from(*file))
                {
                    let (line, column) = crate::position(text, *offset as usize);
                    let file = name.clone();
                    error.place = Some(Place { file, line, column });
                }
                *error
            }
            Stop::Needs(_) => TransformError {
                cause: Cause::Stylesheet,
                message: "a pattern names a variable of the stylesheet".to_owned(),
                place: None,
            },
        }
    }

    fn finish(mut self) -> Result<Output, TransformError> {
        let Some(sink) = self.sinks.pop() else {
            return Err(self.failed(fail("the result was never closed"), NO_RULE));
        };
        let rules = &self.env.sheet.output;
        let (bytes, method) = if sink.is_text() {
            (sink.into_text().into_bytes(), OutputMethod::Text)
        } else {
            let tree = sink.into_tree();
            let names = self.env.names.borrow();
            let written = output::xml(&tree, &names, rules, self.env.limits.result_bytes_max);
            let text = written.map_err(|stop| self.failed(stop, NO_RULE))?;
            (text.into_bytes(), OutputMethod::Xml)
        };
        Ok(Output {
            bytes,
            method,
            messages: std::mem::take(&mut self.messages),
        })
    }

    fn push_frame(&mut self, kept: Kept) -> Result<(), Stop> {
        if self.frames.len() >= self.env.limits.template_depth_max {
            let message = format!(
                "templates are nested deeper than {} calls: do they call each other without end?",
                self.env.limits.template_depth_max
            );
            return Err(limit("template_depth_max", message));
        }
        self.frames.push(Frame {
            pc: self.pc,
            c: self.c,
            rule: self.rule,
            mode: self.mode,
            given: Rc::clone(&self.given),
            variables: self.env.variables.len(),
            kept,
        });
        Ok(())
    }

    fn pop_frame(&mut self) {
        if let Some(frame) = self.frames.pop() {
            self.env.variables.truncate(frame.variables);
            self.pc = frame.pc;
            self.c = frame.c;
            self.rule = frame.rule;
            self.mode = frame.mode;
            self.given = frame.given;
        }
    }

    /// Room for the variables of a template.
    fn reserve(&mut self, slots: u32) -> Result<(), Stop> {
        let base = self.env.variables.len();
        let length = base + slots as usize;
        if length > VARIABLES_MAX {
            let message =
                format!("the templates that are running have more than {VARIABLES_MAX} variables");
            return Err(limit("template_depth_max", message));
        }
        self.env.variables.resize(length, Value::Boolean(false));
        self.c.base = base;
        Ok(())
    }

    fn begin_global(&mut self, number: u32) -> Result<(), Stop> {
        let sheet = self.env.sheet;
        let Some(global) = sheet.globals.get(number as usize) else {
            return Err(fail("a variable that there is not"));
        };
        self.push_frame(Kept::Global)?;
        let root = NodeRef::new(0, 0);
        self.c = Ctx {
            node: root,
            position: 1,
            size: 1,
            current: root,
            base: 0,
        };
        self.rule = NO_RULE;
        self.mode = 0;
        self.given = Rc::from([]);
        self.reserve(global.slots)?;
        if let Some(slot) = self.env.globals.get_mut(number as usize) {
            *slot = Global::Running;
        }
        self.pc = global.code;
        Ok(())
    }

    fn set_global(&mut self, number: u32, value: Value) {
        if let Some(slot) = self.env.globals.get_mut(number as usize) {
            *slot = Global::Set(value);
        }
    }

    fn set(&mut self, slot: u32, value: Value) {
        let at = self.c.base + slot as usize;
        if let Some(variable) = self.env.variables.get_mut(at) {
            *variable = value;
        }
    }

    fn take_arguments(&mut self, count: u32) -> Arguments {
        if count == 0 {
            return Rc::from([]);
        }
        let from = self.arguments.len().saturating_sub(count as usize);
        self.arguments.split_off(from).into()
    }

    fn push_apply(
        &mut self,
        nodes: Vec<NodeRef>,
        mode: Mode,
        arguments: Arguments,
    ) -> Result<(), Stop> {
        self.push_frame(Kept::Apply {
            nodes,
            next: 0,
            arguments,
        })?;
        self.mode = mode;
        Ok(())
    }

    /// Goes on with the next node of the innermost `apply-templates`.
    fn apply_next(&mut self) -> Result<(), Stop> {
        loop {
            let Some(frame) = self.frames.last_mut() else {
                return Ok(());
            };
            let Kept::Apply {
                nodes,
                next,
                arguments,
            } = &mut frame.kept
            else {
                return Ok(());
            };
            let Some(node) = nodes.get(*next).copied() else {
                self.pop_frame();
                // A built-in rule has no instructions: what called it goes on here.
                match self.frames.last() {
                    Some(Frame {
                        kept: Kept::Apply { .. },
                        ..
                    }) if self.pc == self.builtin() => continue,
                    _ => return Ok(()),
                }
            };
            *next += 1;
            self.c = Ctx {
                node,
                position: *next,
                size: nodes.len(),
                current: node,
                base: 0,
            };
            self.given = Rc::clone(arguments);
            let variables = frame.variables;
            self.env.variables.truncate(variables);
            self.env.spend(1)?;
            let found = self
                .env
                .rule(node, self.mode, None, &self.c)?
                .map(|rule| rule.template);
            if self.enter(found)? {
                return Ok(());
            }
        }
    }

    /// Children of the current node.
    fn children(&self) -> Result<Vec<NodeRef>, Stop> {
        let mut children = Vec::new();
        self.env
            .walk(self.c.node, Axis::Child, Test::Node, &mut children)?;
        Ok(children)
    }

    /// The address that built-in rules return to: behind all instructions, as there are none.
    fn builtin(&self) -> Address {
        Address::MAX
    }

    /// Begins a template for the current node, or does what is built in. Whether instructions follow.
    fn enter(&mut self, template: Option<u32>) -> Result<bool, Stop> {
        let sheet = self.env.sheet;
        if let Some(number) = template
            && let Some(found) = sheet.templates.get(number as usize)
        {
            self.rule = number;
            self.pc = found.code;
            self.reserve(found.slots)?;
            return Ok(true);
        }
        match self.env.kind(self.c.node) {
            Kind::Root | Kind::Element => {
                let children = self.children()?;
                self.pc = self.builtin();
                self.push_apply(children, self.mode, Rc::from([]))?;
            }
            Kind::Text | Kind::Raw | Kind::Attribute => {
                let text = self.env.string_value(self.c.node).into_owned();
                self.write_text(&text, false)?;
            }
            Kind::Comment | Kind::Pi | Kind::Namespace => {}
        }
        Ok(false)
    }

    fn write_text(&mut self, text: &str, raw: bool) -> Result<(), Stop> {
        if text.is_empty() {
            return Ok(());
        }
        self.env.spend_bytes(text.len())?;
        let limits = self.env.limits;
        match self.sinks.last_mut() {
            Some(sink) => sink.text(&mut self.written, limits, text, raw),
            None => Err(fail("there is nowhere to write to")),
        }
    }

    fn sink(&mut self) -> Result<(&mut Sink, &mut Written, &'s Limits), Stop> {
        let limits = self.env.limits;
        match self.sinks.last_mut() {
            Some(sink) => Ok((sink, &mut self.written, limits)),
            None => Err(fail("there is nowhere to write to")),
        }
    }

    fn start(&mut self, prefix: Sym, name: NameId, namespaces: &[(Sym, Sym)]) -> Result<(), Stop> {
        let uri = self.env.names.borrow().parts(name).0;
        let (sink, written, limits) = self.sink()?;
        sink.start(written, limits, (prefix, name, uri), namespaces)
    }

    fn attribute(&mut self, prefix: Sym, name: NameId, value: &str) -> Result<(), Stop> {
        self.env.spend_bytes(value.len())?;
        let limits = self.env.limits;
        let names = &mut self.env.names.borrow_mut();
        match self.sinks.last_mut() {
            Some(sink) => sink.attribute(&mut self.written, limits, names, (prefix, name), value),
            None => Err(fail("there is nowhere to write to")),
        }
    }

    /// What was collected since the last `Capture`.
    fn captured(&mut self) -> Result<Sink, Stop> {
        match self.sinks.len() {
            0 | 1 => Err(fail("nothing was collected")),
            _ => self
                .sinks
                .pop()
                .ok_or_else(|| fail("nothing was collected")),
        }
    }

    fn step(&mut self, op: &'s Op) -> Result<(), Stop> {
        match op {
            Op::Text(text, raw) => self.write_text(text, *raw)?,
            Op::ValueOf(expr, raw) => self.value_of(expr, *raw)?,
            Op::CopyOf(expr) => {
                let value = self.env.eval(expr, &self.c)?;
                self.copy_value(&value)?;
            }
            Op::StartLiteral(literal) => {
                self.start(literal.prefix, literal.name, &literal.namespaces)?;
            }
            Op::LiteralAttribute(prefix, name, avt) => {
                let value = self.env.avt(avt, &self.c)?;
                self.attribute(*prefix, *name, &value)?;
            }
            Op::StartElement(naming) => {
                let (prefix, name) = self.computed(naming, false)?;
                self.start(prefix, name, &[])?;
            }
            Op::EndElement => self.sink()?.0.end(),
            Op::StartCopy(end) => self.start_copy(*end)?,
            Op::EndCopy => {
                if self.env.kind(self.c.node) == Kind::Element {
                    self.sink()?.0.end();
                }
            }
            Op::Capture(capture) => {
                let into = match capture {
                    Capture::Fragment => Into::Fragment,
                    Capture::Text => Into::Text,
                    Capture::Message => Into::Message,
                };
                self.sinks.push(Sink::new(into));
            }
            Op::EndAttribute(naming) => {
                let (prefix, name) = self.computed(naming, true)?;
                let value = self.captured()?.into_text();
                self.attribute(prefix, name, &value)?;
            }
            Op::EndComment => {
                let text = self.captured()?.into_text();
                // Two hyphens would end it.
                let mut safe = text.replace("--", "- -").replace("--", "- -");
                if safe.ends_with('-') {
                    safe.push(' ');
                }
                let (sink, written, limits) = self.sink()?;
                sink.comment(written, limits, &safe)?;
            }
            Op::EndPi(name) => {
                let name = self.env.avt(name, &self.c)?;
                if !is_ncname(&name) || name.eq_ignore_ascii_case("xml") {
                    return Err(fail(format!(
                        "a processing instruction cannot be named {name:?}"
                    )));
                }
                let text = self.captured()?.into_text().replace("?>", "? >");
                let name = expanded(&name, &mut self.env.names.borrow_mut());
                let (sink, written, limits) = self.sink()?;
                sink.pi(
                    written,
                    limits,
                    name,
                    text.trim_start_matches([' ', '\t', '\r', '\n']),
                )?;
            }
            Op::EndMessage(terminates) => {
                let mut text = self.captured()?.into_text();
                if text.len() > MESSAGE_BYTES_MAX {
                    let at = (0..=MESSAGE_BYTES_MAX)
                        .rev()
                        .find(|at| text.is_char_boundary(*at));
                    text.truncate(at.unwrap_or(0));
                }
                if *terminates {
                    return Err(Stop::Failed(Box::new(TransformError {
                        cause: Cause::Terminated,
                        message: text,
                        place: None,
                    })));
                }
                if self.messages.len() < MESSAGES_MAX {
                    self.messages.push(text);
                }
            }
            Op::EndVariable(slot) => {
                let value = self.captured()?.into_fragment();
                self.set(*slot, value);
            }
            Op::EndGlobal(number) => {
                let value = self.captured()?.into_fragment();
                self.set_global(*number, value);
            }
            Op::EndArgument(name) => {
                let value = self.captured()?.into_fragment();
                self.arguments.push((*name, value));
            }
            Op::SetVariable(slot, expr) => {
                let value = self.env.eval(expr, &self.c)?;
                self.set(*slot, value);
            }
            Op::SetGlobal(number, expr) => {
                let value = self.env.eval(expr, &self.c)?;
                self.set_global(*number, value);
            }
            Op::Argument(name, expr) => {
                let value = self.env.eval(expr, &self.c)?;
                self.arguments.push((*name, value));
            }
            Op::Parameter(slot, name, end) => {
                let given = self.given.iter().rev().find(|(known, _)| known == name);
                if let Some((_, value)) = given {
                    let value = value.clone();
                    self.set(*slot, value);
                    self.pc = *end;
                }
            }
            Op::Unless(expr, address) => {
                if !self.env.boolean(expr, &self.c)? {
                    self.pc = *address;
                }
            }
            Op::Jump(address) => self.pc = *address,
            Op::ForEach(what, end) => {
                let (select, sorts) = &**what;
                let mut nodes = self.env.nodes(select, &self.c)?;
                self.env.sort(&mut nodes, sorts, &self.c)?;
                if nodes.is_empty() {
                    self.pc = *end;
                    return Ok(());
                }
                let start = self.pc;
                self.pc = *end;
                self.push_frame(Kept::Loop { nodes, next: 0 })?;
                // Inside of a loop there is no current rule to go on from.
                self.rule = NO_RULE;
                self.next(start);
            }
            Op::Next(start) => self.next(*start),
            Op::Apply(apply) => self.apply(apply)?,
            Op::ApplyImports => self.apply_imports()?,
            Op::Call(template, arguments) => {
                let sheet = self.env.sheet;
                let Some(found) = sheet.templates.get(*template as usize) else {
                    return Err(fail("a template that there is not"));
                };
                let given = self.take_arguments(*arguments);
                self.push_frame(Kept::Call)?;
                self.given = given;
                self.reserve(found.slots)?;
                self.pc = found.code;
            }
            Op::CallSet(set, only_elements) => {
                if *only_elements && self.env.kind(self.c.node) != Kind::Element {
                    return Ok(());
                }
                let Some(code) = self.env.sheet.sets.get(*set as usize) else {
                    return Err(fail("an attribute set that there is not"));
                };
                self.push_frame(Kept::Call)?;
                self.reserve(0)?;
                self.pc = *code;
            }
            Op::Number(numbering) => {
                let text = self.env.numbered(numbering, &self.c)?;
                self.write_text(&text, false)?;
            }
            Op::Return => match self.frames.last() {
                Some(Frame {
                    kept: Kept::Apply { .. },
                    ..
                }) => self.apply_next()?,
                _ => self.pop_frame(),
            },
            Op::Fail(message) => return Err(fail(&**message)),
        }
        Ok(())
    }

    fn next(&mut self, start: Address) {
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        let Kept::Loop { nodes, next } = &mut frame.kept else {
            return;
        };
        match nodes.get(*next).copied() {
            Some(node) => {
                *next += 1;
                self.c = Ctx {
                    node,
                    position: *next,
                    size: nodes.len(),
                    current: node,
                    base: self.c.base,
                };
                self.pc = start;
            }
            None => {
                let variables = self.env.variables.len();
                self.pop_frame();
                // The loop is part of its template: nothing was reserved for it.
                debug_assert_eq!(variables, self.env.variables.len(), "variables of a loop");
            }
        }
    }

    fn value_of(&mut self, expr: &'s crate::xpath::Expr, raw: bool) -> Result<(), Stop> {
        let limits = self.env.limits;
        let text = self.env.text(expr, &self.c)?;
        if text.is_empty() {
            return Ok(());
        }
        match self.sinks.last_mut() {
            Some(sink) => sink.text(&mut self.written, limits, &text, raw),
            None => Err(fail("there is nowhere to write to")),
        }
    }

    fn apply(&mut self, apply: &Apply) -> Result<(), Stop> {
        let mut nodes = match &apply.select {
            Some(select) => self.env.nodes(select, &self.c)?,
            None => self.children()?,
        };
        self.env.sort(&mut nodes, &apply.sorts, &self.c)?;
        let arguments = self.take_arguments(apply.arguments);
        self.push_apply(nodes, apply.mode, arguments)?;
        self.apply_next()
    }

    fn apply_imports(&mut self) -> Result<(), Stop> {
        let sheet = self.env.sheet;
        let Some(current) = sheet.templates.get(self.rule as usize) else {
            return Err(fail(
                "xsl:apply-imports stands where no template rule is current, such as in xsl:for-each",
            ));
        };
        let below = Some((current.imports_from, current.precedence));
        let found = self
            .env
            .rule(self.c.node, self.mode, below, &self.c)?
            .map(|rule| rule.template);
        if found.is_none() {
            // What is built in has no precedence.
            return match self.env.kind(self.c.node) {
                Kind::Root | Kind::Element => {
                    let children = self.children()?;
                    self.push_apply(children, self.mode, Rc::from([]))?;
                    self.apply_next()
                }
                _ => self.enter(None).map(|_| ()),
            };
        }
        self.push_frame(Kept::Call)?;
        self.given = Rc::from([]);
        self.enter(found).map(|_| ())
    }

    /// The name that an instruction computes.
    fn computed(&mut self, naming: &Naming, is_attribute: bool) -> Result<(Sym, NameId), Stop> {
        let text = self.env.avt(&naming.name, &self.c)?;
        let namespace = match &naming.namespace {
            Some(namespace) => Some(self.env.avt(namespace, &self.c)?),
            None => None,
        };
        let (prefix, local) = text.split_once(':').unwrap_or(("", &text));
        if !is_ncname(local)
            || (text.contains(':') && !is_ncname(prefix))
            || (is_attribute && text == "xmlns")
        {
            let what = if is_attribute {
                "an attribute"
            } else {
                "an element"
            };
            return Err(fail(format!("{what} cannot be named {text:?}")));
        }
        let names = &mut self.env.names.borrow_mut();
        let mut prefix = names.sym(prefix);
        let local = names.sym(local);
        let uri = match namespace {
            Some(namespace) => names.sym(&namespace),
            None if prefix == EMPTY && is_attribute => EMPTY,
            None => {
                let found = naming.scope.iter().find(|(known, _)| *known == prefix);
                match found {
                    Some((_, uri)) => *uri,
                    None if prefix == EMPTY => EMPTY,
                    None => return Err(fail(format!("the prefix of {text:?} is not declared"))),
                }
            }
        };
        if uri == EMPTY || prefix == XMLNS {
            prefix = EMPTY;
        }
        Ok((prefix, names.name(uri, local)))
    }

    fn start_copy(&mut self, end: Address) -> Result<(), Stop> {
        let node = self.c.node;
        match self.env.kind(node) {
            Kind::Root => {}
            Kind::Element => {
                let (prefix, name) = {
                    let found = self.env.forest.tree(node.document()).node(node.node());
                    (found.prefix, found.name)
                };
                let scope = self.env.forest.tree(node.document()).in_scope(node.node());
                self.env.spend((scope.len() * scope.len()) as u64)?;
                self.start(prefix, name, &scope)?;
            }
            _ => {
                self.copy_leaf(node)?;
                self.pc = end;
            }
        }
        Ok(())
    }

    /// Copies a node that has nothing inside.
    fn copy_leaf(&mut self, node: NodeRef) -> Result<(), Stop> {
        self.env.spend(1)?;
        let value = self.env.string_value(node).into_owned();
        if node.namespace() != 0 {
            if let Some((prefix, uri)) = self.env.namespace_of(node) {
                let (sink, written, limits) = self.sink()?;
                sink.namespace(written, limits, prefix, uri)?;
            }
            return Ok(());
        }
        let (kind, prefix, name) = {
            let found = self.env.forest.tree(node.document()).node(node.node());
            (found.kind, found.prefix, found.name)
        };
        self.write_leaf(kind, prefix, name, &value)
    }

    /// Writes what has nothing inside; what has, is not written.
    fn write_leaf(
        &mut self,
        kind: Kind,
        prefix: Sym,
        name: NameId,
        value: &str,
    ) -> Result<(), Stop> {
        match kind {
            Kind::Text | Kind::Raw => self.write_text(value, kind == Kind::Raw),
            Kind::Attribute => self.attribute(prefix, name, value),
            Kind::Comment => {
                let (sink, written, limits) = self.sink()?;
                sink.comment(written, limits, value)
            }
            Kind::Pi => {
                let (sink, written, limits) = self.sink()?;
                sink.pi(written, limits, name, value)
            }
            Kind::Root | Kind::Element | Kind::Namespace => Ok(()),
        }
    }

    fn copy_value(&mut self, value: &Value) -> Result<(), Stop> {
        match value {
            Value::Nodes(nodes) => {
                for node in nodes.iter() {
                    match self.env.kind(*node) {
                        Kind::Root | Kind::Element => {
                            let document = node.document();
                            // Borrowed for as long as the forest, which the machine writes nothing into.
                            self.copy_inside(Source::Document(document), node.node())?;
                        }
                        _ => self.copy_leaf(*node)?,
                    }
                }
                Ok(())
            }
            Value::Fragment(tree) => self.copy_inside(Source::Fragment(Rc::clone(tree)), 0),
            other => {
                let text = self.env.text_of(other).into_owned();
                self.write_text(&text, false)
            }
        }
    }

    /// Copies an element, or what is in a root, with all inside, in one loop over the table of nodes.
    fn copy_inside(&mut self, source: Source, from: u32) -> Result<(), Stop> {
        let end = source.tree(&self.env).node(from).end;
        let mut open: Vec<u32> = Vec::new();
        for at in from..end {
            self.env.spend(1)?;
            while open.last().is_some_and(|end| *end <= at) {
                open.pop();
                self.sink()?.0.end();
            }
            let tree = source.tree(&self.env);
            let node = tree.node(at);
            let (kind, prefix, name, inside) = (node.kind, node.prefix, node.name, node.end);
            match kind {
                Kind::Root | Kind::Namespace => {}
                Kind::Element => {
                    let namespaces: Vec<(Sym, Sym)> = match at == from {
                        true => tree.in_scope(at),
                        false => tree
                            .declarations(at)
                            .iter()
                            .map(|one| (one.prefix, one.uri))
                            .collect(),
                    };
                    self.env
                        .spend((namespaces.len() * namespaces.len()) as u64)?;
                    self.start(prefix, name, &namespaces)?;
                    open.push(inside);
                }
                _ => {
                    let value = tree.value(at).to_owned();
                    self.write_leaf(kind, prefix, name, &value)?;
                }
            }
        }
        for _ in open {
            self.sink()?.0.end();
        }
        Ok(())
    }
}

/// What is copied from.
enum Source {
    Document(u16),
    Fragment(Rc<crate::tree::Tree>),
}

impl Source {
    fn tree<'e>(&'e self, env: &'e Env<'_>) -> &'e crate::tree::Tree {
        match self {
            Self::Document(document) => env.forest.tree(*document),
            Self::Fragment(tree) => tree,
        }
    }
}
