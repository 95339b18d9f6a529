//! What stands inside of templates: text, literal result elements, variables.

use super::{At, Compiled, Compiler, INSTRUCTIONS};
use crate::names::NameId;
use crate::parse::is_space;
use crate::program::{Capture, Op};
use crate::tree::{Kind, NONE};
use crate::xpath::Expr;

/// Most variables of one template.
const VARIABLES_MAX: u32 = 1_000;

impl Compiler<'_> {
    /// The children of a node that count: without comments and whitespace between elements.
    pub(super) fn children(&self, at: At) -> Vec<At> {
        let tree = &self.trees[at.file];
        let counts = |node: u32| match tree.kind(node) {
            Kind::Element => true,
            Kind::Text => !is_space(tree.value(node)) || self.preserves(At { node, ..at }),
            _ => false,
        };
        let children = tree.children(at.node).filter(|node| counts(*node));
        children.map(|node| At { node, ..at }).collect()
    }

    /// Whether `xml:space="preserve"` is in force.
    fn preserves(&self, at: At) -> bool {
        let tree = &self.trees[at.file];
        let mut node = tree.node(at.node).parent;
        while node != NONE {
            if let Some(space) = (tree.kind(node) == Kind::Element)
                .then(|| tree.attribute(node, self.xml_space))
                .flatten()
            {
                return space == "preserve";
            }
            node = tree.node(node).parent;
        }
        false
    }

    /// What is inside of an element. Its variables end with it.
    pub(super) fn body(&mut self, at: At) -> Compiled<()> {
        let children = self.children(at);
        self.sequence(&children)
    }

    pub(super) fn sequence(&mut self, children: &[At]) -> Compiled<()> {
        let (locals, slot) = (self.locals.len(), self.next_slot);
        for child in children {
            self.child(*child)?;
        }
        self.locals.truncate(locals);
        self.next_slot = slot;
        Ok(())
    }

    fn child(&mut self, at: At) -> Compiled<()> {
        let tree = self.tree(at);
        if tree.kind(at.node).is_text() {
            self.emit(at, Op::Text(tree.value(at.node).into(), false));
            return Ok(());
        }
        self.element(at)
    }

    /// A template's inside: parameters first.
    pub(super) fn body_with_parameters(&mut self, at: At) -> Compiled<()> {
        let children = self.children(at);
        let is_parameter = |child: &&At| self.xsl(**child).as_deref() == Some("param");
        let count = children.iter().take_while(is_parameter).count();
        for child in &children[..count] {
            self.check_attributes(*child, "param")?;
            let (attribute, text) = self.required(*child, "name")?;
            let name = self.qname(attribute, &text)?;
            // The default may name the parameters before it, and not itself.
            let slot = self.new_slot(attribute)?;
            let jump = self.emit(*child, Op::Parameter(slot, name, 0));
            self.value(
                *child,
                |expr| Op::SetVariable(slot, expr),
                Op::EndVariable(slot),
            )?;
            self.land(jump);
            self.bind(attribute, name, slot)?;
        }
        self.sequence(&children[count..])?;
        self.locals.clear();
        Ok(())
    }

    fn new_slot(&mut self, at: At) -> Compiled<u32> {
        let slot = self.next_slot;
        self.next_slot += 1;
        self.slots = self.slots.max(self.next_slot);
        match slot < VARIABLES_MAX {
            true => Ok(slot),
            false => Err(self.wrong(
                at,
                format!("a template has at most {VARIABLES_MAX} variables"),
            )),
        }
    }

    fn bind(&mut self, at: At, name: NameId, slot: u32) -> Compiled<()> {
        if self.locals.iter().any(|(known, _)| *known == name) {
            let message = format!(
                "there is already a variable ${} in this template, and one cannot hide another",
                self.names.shown(name)
            );
            return Err(self.wrong(at, message));
        }
        self.locals.push((name, slot));
        Ok(())
    }

    pub(super) fn variable(&mut self, at: At) -> Compiled<()> {
        let (attribute, text) = self.required(at, "name")?;
        let name = self.qname(attribute, &text)?;
        let slot = self.new_slot(attribute)?;
        self.value(
            at,
            |expr| Op::SetVariable(slot, expr),
            Op::EndVariable(slot),
        )?;
        self.bind(attribute, name, slot)
    }

    /// The value of a variable, a parameter or an argument: `select`, or what stands inside, or nothing.
    pub(super) fn value(
        &mut self,
        at: At,
        by_select: impl FnOnce(Expr) -> Op,
        by_inside: Op,
    ) -> Compiled<()> {
        let children = self.children(at);
        if let Some((attribute, text)) = self.attribute(at, "select") {
            if let Some(child) = children.first() {
                return Err(self.wrong(*child, "with select there is nothing inside"));
            }
            let expr = self.expr(attribute, &text)?;
            self.emit(at, by_select(expr));
        } else if children.is_empty() {
            self.emit(at, by_select(Expr::Text("".into())));
        } else {
            self.emit(at, Op::Capture(Capture::Fragment));
            self.sequence(&children)?;
            self.emit(at, by_inside);
        }
        Ok(())
    }

    /// An element inside of a template: an instruction, an extension, or one of the result.
    pub(super) fn element(&mut self, at: At) -> Compiled<()> {
        if let Some(name) = self.xsl(at) {
            return self.instruction(at, &name);
        }
        let uri = self.names.parts(self.trees[at.file].node(at.node).name).0;
        if self
            .prefixes(at, "extension-element-prefixes")?
            .contains(&uri)
        {
            let uri = self.names.text(uri).to_owned();
            let hint = match uri.starts_with("http://www.datapower.com/") {
                true => {
                    ": DataPower's own instructions are not known here; what a stylesheet needs from outside comes in as an xsl:param"
                }
                false => ": no instructions beside those of XSLT 1.0 are known here",
            };
            let name = self
                .names
                .local(self.trees[at.file].node(at.node).name)
                .to_owned();
            return self.fallback(at, &format!("{name} of {uri:?}{hint}"));
        }
        self.literal(at)
    }

    /// Something that is not known: `xsl:fallback` inside of it counts instead.
    pub(super) fn fallback(&mut self, at: At, message: &str) -> Compiled<()> {
        let children = self.children(at);
        let fallbacks: Vec<At> = children
            .into_iter()
            .filter(|child| self.xsl(*child).as_deref() == Some("fallback"))
            .collect();
        if fallbacks.is_empty() {
            if self.is_forward(at) && self.xsl(at).is_some() {
                self.emit(at, Op::Fail(message.into()));
                return Ok(());
            }
            return Err(self.wrong(at, message));
        }
        for fallback in fallbacks {
            self.body(fallback)?;
        }
        Ok(())
    }

    pub(super) fn unknown_instruction(&mut self, at: At, name: &str) -> Compiled<()> {
        let message = if super::ATTRIBUTES.iter().any(|(known, ..)| *known == name) {
            format!("xsl:{name} does not stand here, inside of a template")
        } else {
            format!(
                "xsl:{name} is no instruction of XSLT 1.0; there are xsl:{}",
                INSTRUCTIONS.join(", xsl:")
            )
        };
        match super::ATTRIBUTES.iter().any(|(known, ..)| *known == name) {
            true => Err(self.wrong(at, message)),
            false => self.fallback(at, &message),
        }
    }
}
