//! The instructions of XSLT.

use super::{At, Compiled, Compiler};
use crate::names::{NameId, Sym};
use crate::program::{Address, Apply, Avt, Capture, Level, Naming, Numbering, Op, SortKey};
use crate::xpath::Expr;

impl Compiler<'_> {
    pub(super) fn instruction(&mut self, at: At, name: &str) -> Compiled<()> {
        if super::INSTRUCTIONS.contains(&name) {
            self.check_attributes(at, name)?;
        }
        match name {
            "text" => self.text(at),
            "value-of" => {
                let expr = self.required_expr(at, "select")?;
                self.empty(at, name)?;
                let raw = self.flag(at, "disable-output-escaping")?.unwrap_or(false);
                self.emit(at, Op::ValueOf(expr, raw));
                Ok(())
            }
            "copy-of" => {
                let expr = self.required_expr(at, "select")?;
                self.empty(at, name)?;
                self.emit(at, Op::CopyOf(expr));
                Ok(())
            }
            "variable" => self.variable(at),
            "if" => {
                let test = self.required_expr(at, "test")?;
                let jump = self.emit(at, Op::Unless(test, 0));
                self.body(at)?;
                self.land(jump);
                Ok(())
            }
            "choose" => self.choose(at),
            "for-each" => self.for_each(at),
            "apply-templates" => self.apply_templates(at),
            "apply-imports" => {
                self.empty(at, name)?;
                self.emit(at, Op::ApplyImports);
                Ok(())
            }
            "call-template" => self.call_template(at),
            "element" => {
                let naming = self.naming(at)?;
                self.emit(at, Op::StartElement(Box::new(naming)));
                self.use_attribute_sets(at, false)?;
                self.body(at)?;
                self.emit(at, Op::EndElement);
                Ok(())
            }
            "attribute" => {
                let naming = self.naming(at)?;
                self.captured(at, Capture::Text, Op::EndAttribute(Box::new(naming)))
            }
            "comment" => self.captured(at, Capture::Text, Op::EndComment),
            "processing-instruction" => {
                let (attribute, text) = self.required(at, "name")?;
                let name = self.avt(attribute, &text)?;
                self.captured(at, Capture::Text, Op::EndPi(name))
            }
            "message" => {
                let terminates = self.flag(at, "terminate")?.unwrap_or(false);
                self.captured(at, Capture::Message, Op::EndMessage(terminates))
            }
            "copy" => {
                let jump = self.emit(at, Op::StartCopy(0));
                self.use_attribute_sets(at, true)?;
                self.body(at)?;
                self.emit(at, Op::EndCopy);
                self.land(jump);
                Ok(())
            }
            "number" => self.number(at),
            // Where what is around it is known, it does nothing.
            "fallback" => Ok(()),
            other => self.unknown_instruction(at, other),
        }
    }

    fn required_expr(&mut self, at: At, name: &str) -> Compiled<Expr> {
        let (attribute, text) = self.required(at, name)?;
        self.expr(attribute, &text)
    }

    fn empty(&mut self, at: At, name: &str) -> Compiled<()> {
        for child in self.children(at) {
            if self.xsl(child).as_deref() != Some("fallback") {
                return Err(self.wrong(child, format!("xsl:{name} has nothing inside")));
            }
        }
        Ok(())
    }

    fn captured(&mut self, at: At, capture: Capture, end: Op) -> Compiled<()> {
        self.emit(at, Op::Capture(capture));
        self.body(at)?;
        self.emit(at, end);
        Ok(())
    }

    /// `xsl:text` keeps all whitespace.
    fn text(&mut self, at: At) -> Compiled<()> {
        let raw = self.flag(at, "disable-output-escaping")?.unwrap_or(false);
        let tree = self.tree(at);
        for child in tree.children(at.node) {
            let place = At { node: child, ..at };
            match tree.kind(child) {
                kind if kind.is_text() => {
                    self.emit(place, Op::Text(tree.value(child).into(), raw));
                }
                crate::tree::Kind::Element => {
                    return Err(self.wrong(place, "xsl:text has only text inside"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn choose(&mut self, at: At) -> Compiled<()> {
        let mut ends: Vec<Address> = Vec::new();
        let mut has_when = false;
        let mut has_otherwise = false;
        for child in self.children(at) {
            let name = self.xsl(child);
            match name.as_deref() {
                Some("when") if !has_otherwise => {
                    self.check_attributes(child, "when")?;
                    has_when = true;
                    let test = self.required_expr(child, "test")?;
                    let jump = self.emit(child, Op::Unless(test, 0));
                    self.body(child)?;
                    ends.push(self.emit(child, Op::Jump(0)));
                    self.land(jump);
                }
                Some("otherwise") if !has_otherwise => {
                    self.check_attributes(child, "otherwise")?;
                    has_otherwise = true;
                    self.body(child)?;
                }
                _ => {
                    let message = "xsl:choose has xsl:when inside, then at most one xsl:otherwise, and nothing else";
                    return Err(self.wrong(child, message));
                }
            }
        }
        if !has_when {
            return Err(self.wrong(at, "xsl:choose needs an xsl:when"));
        }
        for end in ends {
            self.land(end);
        }
        Ok(())
    }

    fn sort_key(&mut self, at: At) -> Compiled<SortKey> {
        self.check_attributes(at, "sort")?;
        self.empty(at, "sort")?;
        let select = match self.attribute(at, "select") {
            Some((attribute, text)) => self.expr(attribute, &text)?,
            None => self.expr(at, ".")?,
        };
        let mut one_of = |name: &str, known: [&str; 2]| -> Compiled<Avt> {
            let Some((attribute, text)) = self.attribute(at, name) else {
                return Ok(Avt::Text(known[0].into()));
            };
            let avt = self.avt(attribute, &text)?;
            match &avt {
                Avt::Text(text) if !known.contains(&&**text) => {
                    let message = format!(
                        "{name} is {text:?}, and can be {} or {}",
                        known[0], known[1]
                    );
                    Err(self.wrong(attribute, message))
                }
                _ => Ok(avt),
            }
        };
        let data_type = one_of("data-type", ["text", "number"])?;
        let order = one_of("order", ["ascending", "descending"])?;
        one_of("case-order", ["upper-first", "lower-first"])?;
        Ok(SortKey {
            select,
            data_type,
            order,
        })
    }

    fn for_each(&mut self, at: At) -> Compiled<()> {
        let select = self.required_expr(at, "select")?;
        let children = self.children(at);
        let is_sort = |child: &&At| self.xsl(**child).as_deref() == Some("sort");
        let count = children.iter().take_while(is_sort).count();
        let mut sorts = Vec::with_capacity(count);
        for child in &children[..count] {
            sorts.push(self.sort_key(*child)?);
        }
        let jump = self.emit(at, Op::ForEach(Box::new((select, sorts.into())), 0));
        let start = self.address();
        self.sequence(&children[count..])?;
        self.emit(at, Op::Next(start));
        self.land(jump);
        Ok(())
    }

    /// An `xsl:with-param`.
    fn argument(&mut self, at: At) -> Compiled<NameId> {
        self.check_attributes(at, "with-param")?;
        let (attribute, text) = self.required(at, "name")?;
        let name = self.qname(attribute, &text)?;
        self.value(at, |expr| Op::Argument(name, expr), Op::EndArgument(name))?;
        Ok(name)
    }

    fn apply_templates(&mut self, at: At) -> Compiled<()> {
        let select = match self.attribute(at, "select") {
            Some((attribute, text)) => Some(self.expr(attribute, &text)?),
            None => None,
        };
        let mode = match self.attribute(at, "mode") {
            Some((attribute, text)) => {
                let name = self.qname(attribute, &text)?;
                self.mode(name)
            }
            None => 0,
        };
        let mut sorts = Vec::new();
        let mut names: Vec<NameId> = Vec::new();
        for child in self.children(at) {
            match self.xsl(child).as_deref() {
                Some("sort") => sorts.push(self.sort_key(child)?),
                Some("with-param") => {
                    let name = self.argument(child)?;
                    self.check_double(child, &names, name)?;
                    names.push(name);
                }
                _ => return Err(self.wrong(
                    child,
                    "xsl:apply-templates has xsl:sort and xsl:with-param inside and nothing else",
                )),
            }
        }
        let apply = Apply {
            select,
            mode,
            sorts: sorts.into(),
            arguments: names.len() as u32,
        };
        self.emit(at, Op::Apply(Box::new(apply)));
        Ok(())
    }

    fn check_double(&mut self, at: At, names: &[NameId], name: NameId) -> Compiled<()> {
        if names.contains(&name) {
            let message = format!("the parameter {} is given twice", self.names.shown(name));
            return Err(self.wrong(at, message));
        }
        Ok(())
    }

    fn call_template(&mut self, at: At) -> Compiled<()> {
        let (attribute, text) = self.required(at, "name")?;
        let name = self.qname(attribute, &text)?;
        let Some(template) = self.named.get(&name).copied() else {
            let mut known: Vec<String> = self
                .named
                .keys()
                .map(|name| self.names.shown(*name))
                .collect();
            known.sort();
            known.truncate(20);
            let known = if known.is_empty() {
                "none has a name".to_owned()
            } else {
                format!("there are {}", known.join(", "))
            };
            return Err(self.wrong(
                attribute,
                format!("there is no template named {text:?}; {known}"),
            ));
        };
        let mut names: Vec<NameId> = Vec::new();
        for child in self.children(at) {
            if self.xsl(child).as_deref() != Some("with-param") {
                return Err(self.wrong(
                    child,
                    "xsl:call-template has xsl:with-param inside and nothing else",
                ));
            }
            let name = self.argument(child)?;
            self.check_double(child, &names, name)?;
            names.push(name);
        }
        self.emit(at, Op::Call(template, names.len() as u32));
        Ok(())
    }

    fn naming(&mut self, at: At) -> Compiled<Naming> {
        let (attribute, text) = self.required(at, "name")?;
        let name = self.avt(attribute, &text)?;
        let namespace = self.avt_of(at, "namespace")?;
        if let Avt::Text(text) = &name {
            let (prefix, local) = text.split_once(':').unwrap_or(("", text));
            let is_name =
                crate::parse::is_ncname(local) && (prefix.is_empty() != text.contains(':'));
            if !is_name {
                return Err(self.wrong(attribute, format!("{text:?} is no name")));
            }
            if namespace.is_none() && !prefix.is_empty() {
                let prefix = self.names.sym(prefix);
                self.prefix(attribute, prefix)?;
            }
        }
        let scope: Vec<(Sym, Sym)> = self.trees[at.file].in_scope(at.node);
        Ok(Naming {
            name,
            namespace,
            scope: scope.into(),
        })
    }

    pub(super) fn use_attribute_sets(&mut self, at: At, only_elements: bool) -> Compiled<()> {
        match self.attribute(at, "use-attribute-sets") {
            Some((attribute, text)) => self.call_sets(attribute, &text, only_elements),
            None => Ok(()),
        }
    }

    pub(super) fn call_sets(
        &mut self,
        attribute: At,
        text: &str,
        only_elements: bool,
    ) -> Compiled<()> {
        for name in text.split_ascii_whitespace() {
            let id = self.qname(attribute, name)?;
            let Some(set) = self.sets.get(&id).copied() else {
                return Err(self.wrong(
                    attribute,
                    format!("there is no xsl:attribute-set named {name:?}"),
                ));
            };
            self.emit(attribute, Op::CallSet(set, only_elements));
        }
        Ok(())
    }

    fn number(&mut self, at: At) -> Compiled<()> {
        self.empty(at, "number")?;
        let level = match self.attribute(at, "level") {
            None => Level::Single,
            Some((attribute, text)) => match text.as_str() {
                "single" => Level::Single,
                "multiple" => Level::Multiple,
                "any" => Level::Any,
                other => {
                    let message = format!("level is {other:?}, and can be single, multiple or any");
                    return Err(self.wrong(attribute, message));
                }
            },
        };
        let value = match self.attribute(at, "value") {
            Some((attribute, text)) => Some(self.expr(attribute, &text)?),
            None => None,
        };
        let mut patterns = |name: &str| -> Compiled<_> {
            match self.attribute(at, name) {
                Some((attribute, text)) => Ok(Some(self.pattern(attribute, &text)?.into())),
                None => Ok(None),
            }
        };
        let count = patterns("count")?;
        let from = patterns("from")?;
        let format = self.avt_of(at, "format")?.unwrap_or(Avt::Text("1".into()));
        let numbering = Numbering {
            value,
            level,
            count,
            from,
            format,
            separator: self.avt_of(at, "grouping-separator")?,
            size: self.avt_of(at, "grouping-size")?,
        };
        self.avt_of(at, "lang")?;
        self.avt_of(at, "letter-value")?;
        self.emit(at, Op::Number(Box::new(numbering)));
        Ok(())
    }
}
