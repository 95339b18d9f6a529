//! Top-level elements: first all names, then what they stand for.

use super::{At, Compiled, Compiler, Top};
use crate::names::EMPTY;
use crate::number::DecimalFormat;
use crate::program::{GlobalVariable, Key, Method, Op, Rule, StripRule, Template};
use crate::tree::NONE;
use crate::xpath::Test;
use crate::xpath::pattern::{Pattern, PatternStart};

impl Compiler<'_> {
    /// Gives numbers to all that is named, so that it can be used before it is defined.
    pub(super) fn declare(&mut self) -> Compiled<()> {
        for top in self.tops.clone() {
            let at = top.at;
            let Some(element) = self.xsl(at) else {
                continue;
            };
            match element.as_str() {
                "template" => {}
                "variable" | "param" => self.declare_global(top, &element)?,
                "attribute-set" => {
                    self.check_attributes(at, "attribute-set")?;
                    let (attribute, text) = self.required(at, "name")?;
                    let name = self.qname(attribute, &text)?;
                    let number = self.sets.len() as u32;
                    self.sets.entry(name).or_insert(number);
                }
                "namespace-alias" => {
                    self.check_attributes(at, "namespace-alias")?;
                    let (_, from) = self.alias(at, "stylesheet-prefix")?;
                    let to = self.alias(at, "result-prefix")?;
                    // What comes later has the higher precedence.
                    self.aliases.insert(from, to);
                }
                "key" | "decimal-format" | "strip-space" | "preserve-space" | "output" => {}
                "import" => {
                    return Err(self.wrong(at, "xsl:import stands before all other elements"));
                }
                other if self.is_forward(at) => {
                    let _ = other;
                }
                other => {
                    let what = match super::INSTRUCTIONS.contains(&other) {
                        true => "stands inside of a template, not at the top level",
                        false => "is no element of XSLT 1.0",
                    };
                    return Err(self.wrong(at, format!("xsl:{other} {what}")));
                }
            }
        }
        // Templates by name, so that calls find them.
        let mut number = 0;
        let mut precedences = std::collections::HashMap::new();
        for top in self.tops.clone() {
            let is_simplified = self.is_simplified(top.at);
            if !is_simplified && self.xsl(top.at).as_deref() != Some("template") {
                continue;
            }
            if !is_simplified && let Some((attribute, text)) = self.attribute(top.at, "name") {
                let name = self.qname(attribute, &text)?;
                if precedences.insert(name, top.precedence) == Some(top.precedence) {
                    return Err(
                        self.wrong(attribute, format!("there are two templates named {text:?}"))
                    );
                }
                self.named.insert(name, number);
            }
            number += 1;
        }
        Ok(())
    }

    /// Whether it is a literal result element that is the whole stylesheet.
    fn is_simplified(&self, at: At) -> bool {
        let tree = &self.trees[at.file];
        self.xsl(at).is_none() && tree.node(at.node).parent == 0
    }

    fn declare_global(&mut self, top: Top, element: &str) -> Compiled<()> {
        self.check_attributes(top.at, element)?;
        let (attribute, text) = self.required(top.at, "name")?;
        let name = self.qname(attribute, &text)?;
        let number = self.sheet.globals.len() as u32;
        let earlier = self
            .tops
            .iter()
            .take_while(|other| other.at != top.at)
            .copied();
        let is_double = self.globals.contains_key(&name)
            && earlier
                .filter(|other| other.precedence == top.precedence)
                .collect::<Vec<_>>()
                .into_iter()
                .any(|other| {
                    matches!(self.xsl(other.at).as_deref(), Some("variable" | "param"))
                        && match self.attribute(other.at, "name") {
                            Some((attribute, text)) => self
                                .qname(attribute, &text)
                                .is_ok_and(|other| other == name),
                            None => false,
                        }
                });
        if is_double {
            return Err(self.wrong(
                attribute,
                format!("there are two variables ${text} at the top level"),
            ));
        }
        self.sheet.globals.push(GlobalVariable {
            name,
            code: 0,
            slots: 0,
            is_parameter: element == "param",
        });
        // What comes later has the higher precedence.
        self.globals.insert(name, number);
        Ok(())
    }

    /// A prefix and what it stands for; `#default` is the empty one.
    fn alias(&mut self, at: At, name: &str) -> Compiled<(u32, u32)> {
        let (attribute, text) = self.required(at, name)?;
        let prefix = match text.as_str() {
            "#default" => EMPTY,
            text => self.names.sym(text),
        };
        let uri = self.prefix(attribute, prefix)?;
        // `(prefix, namespace)`
        Ok((prefix, uri))
    }

    /// Compiles all that was declared.
    pub(super) fn define(&mut self) -> Compiled<()> {
        let mut global = 0;
        for top in self.tops.clone() {
            let at = top.at;
            if self.is_simplified(at) {
                self.simplified(top)?;
                continue;
            }
            let Some(element) = self.xsl(at) else {
                if self
                    .names
                    .uri(self.trees[at.file].node(at.node).name)
                    .is_empty()
                {
                    return Err(
                        self.wrong(at, "an element without a namespace stands at the top level")
                    );
                }
                continue;
            };
            match element.as_str() {
                "template" => self.template(top)?,
                "variable" | "param" => {
                    self.global(at, global)?;
                    global += 1;
                }
                "key" => self.key(at)?,
                "decimal-format" => self.decimal_format(at)?,
                "strip-space" | "preserve-space" => self.space(top, &element)?,
                "output" => self.output(at)?,
                _ => {}
            }
        }
        self.attribute_sets()
    }

    fn begin_variables(&mut self) {
        self.locals.clear();
        self.next_slot = 0;
        self.slots = 0;
    }

    fn simplified(&mut self, top: Top) -> Compiled<()> {
        self.begin_variables();
        let code = self.address();
        self.element(top.at)?;
        self.emit(top.at, Op::Return);
        let pattern = Pattern {
            start: PatternStart::Root,
            steps: Box::default(),
        };
        self.sheet.rules.push(Rule {
            pattern,
            template: 0,
            precedence: 0,
            priority: 0.5,
            mode: 0,
        });
        self.sheet.templates.push(Template {
            code,
            slots: self.slots,
            precedence: 0,
            imports_from: 0,
        });
        Ok(())
    }

    fn template(&mut self, top: Top) -> Compiled<()> {
        let at = top.at;
        self.check_attributes(at, "template")?;
        let number = self.sheet.templates.len() as u32;
        let pattern = self.attribute(at, "match");
        let mode = self.attribute(at, "mode");
        let priority = self.attribute(at, "priority");
        if pattern.is_none() {
            if self.attribute(at, "name").is_none() {
                return Err(self.wrong(at, "xsl:template needs match=\"…\" or name=\"…\""));
            }
            if let Some((attribute, _)) = mode.as_ref().or(priority.as_ref()) {
                return Err(self.wrong(
                    *attribute,
                    "mode and priority belong to templates with match",
                ));
            }
        }
        let mode = match mode {
            Some((attribute, text)) => {
                let name = self.qname(attribute, &text)?;
                self.mode(name)
            }
            None => 0,
        };
        let priority = match priority {
            Some((attribute, text)) => {
                let number = crate::number::parse(&text);
                if number.is_nan() {
                    return Err(
                        self.wrong(attribute, format!("the priority {text:?} is no number"))
                    );
                }
                Some(number)
            }
            None => None,
        };
        if let Some((attribute, text)) = pattern {
            self.has_variables = false;
            let patterns = self.pattern(attribute, &text);
            self.has_variables = true;
            for pattern in patterns? {
                self.sheet.rules.push(Rule {
                    priority: priority.unwrap_or_else(|| pattern.priority()),
                    pattern,
                    template: number,
                    precedence: top.precedence,
                    mode,
                });
            }
        }
        self.begin_variables();
        let code = self.address();
        self.body_with_parameters(at)?;
        self.emit(at, Op::Return);
        self.sheet.templates.push(Template {
            code,
            slots: self.slots,
            precedence: top.precedence,
            imports_from: top.imports_from,
        });
        Ok(())
    }

    fn global(&mut self, at: At, number: u32) -> Compiled<()> {
        self.begin_variables();
        let code = self.address();
        self.value(
            at,
            |expr| Op::SetGlobal(number, expr),
            Op::EndGlobal(number),
        )?;
        self.emit(at, Op::Return);
        let slots = self.slots;
        if let Some(global) = self.sheet.globals.get_mut(number as usize) {
            (global.code, global.slots) = (code, slots);
        }
        Ok(())
    }

    fn key(&mut self, at: At) -> Compiled<()> {
        self.check_attributes(at, "key")?;
        let (attribute, text) = self.required(at, "name")?;
        let name = self.qname(attribute, &text)?;
        let name = self.names.shown(name);
        let (matched, pattern) = self.required(at, "match")?;
        let (used, value) = self.required(at, "use")?;
        self.has_variables = false;
        let patterns = self.pattern(matched, &pattern);
        let value = self.expr(used, &value);
        self.has_variables = true;
        let key = Key {
            patterns: patterns?,
            value: value?,
        };
        self.sheet.keys.entry(name).or_default().push(key);
        Ok(())
    }

    fn decimal_format(&mut self, at: At) -> Compiled<()> {
        self.check_attributes(at, "decimal-format")?;
        let name = match self.attribute(at, "name") {
            Some((attribute, text)) => {
                let name = self.qname(attribute, &text)?;
                self.names.shown(name)
            }
            None => String::new(),
        };
        let mut format = DecimalFormat::default();
        for (name, sign) in [
            ("decimal-separator", &mut format.decimal_separator),
            ("grouping-separator", &mut format.grouping_separator),
            ("minus-sign", &mut format.minus_sign),
            ("percent", &mut format.percent),
            ("per-mille", &mut format.per_mille),
            ("zero-digit", &mut format.zero_digit),
            ("digit", &mut format.digit),
            ("pattern-separator", &mut format.pattern_separator),
        ] {
            if let Some((attribute, text)) = self.attribute(at, name) {
                let mut chars = text.chars();
                match (chars.next(), chars.next()) {
                    (Some(one), None) => *sign = one,
                    _ => {
                        return Err(self.wrong(
                            attribute,
                            format!("{name} is {text:?}, and is one character"),
                        ));
                    }
                }
            }
        }
        if let Some((_, text)) = self.attribute(at, "infinity") {
            format.infinity = text;
        }
        if let Some((_, text)) = self.attribute(at, "NaN") {
            format.nan = text;
        }
        self.sheet.formats.insert(name, format);
        Ok(())
    }

    fn space(&mut self, top: Top, element: &str) -> Compiled<()> {
        self.check_attributes(top.at, element)?;
        let (attribute, text) = self.required(top.at, "elements")?;
        for name in text.split_ascii_whitespace() {
            let test = match (name, name.strip_suffix(":*")) {
                ("*", _) => Test::Any,
                (_, Some(prefix)) => {
                    let prefix = self.names.sym(prefix);
                    Test::Namespace(self.prefix(attribute, prefix)?)
                }
                (name, None) => Test::Name(self.qname(attribute, name)?),
            };
            self.sheet.strip.push(StripRule {
                test,
                strips: element == "strip-space",
                precedence: top.precedence,
            });
        }
        Ok(())
    }

    fn output(&mut self, at: At) -> Compiled<()> {
        self.check_attributes(at, "output")?;
        if let Some((attribute, text)) = self.attribute(at, "method") {
            self.sheet.output.method = Some(match text.as_str() {
                "xml" => Method::Xml,
                "text" => Method::Text,
                other => {
                    let message = format!(
                        "the output method {other:?} is not written here; there are xml and text"
                    );
                    return Err(self.wrong(attribute, message));
                }
            });
        }
        if let Some((attribute, text)) = self.attribute(at, "encoding") {
            if !text.eq_ignore_ascii_case("utf-8") && !text.eq_ignore_ascii_case("utf8") {
                return Err(self.wrong(
                    attribute,
                    format!("the encoding {text:?} is not written here, only UTF-8"),
                ));
            }
            self.sheet.output.has_encoding = true;
        }
        if let Some(omits) = self.flag(at, "omit-xml-declaration")? {
            self.sheet.output.omits_declaration = omits;
        }
        if let Some(standalone) = self.flag(at, "standalone")? {
            self.sheet.output.standalone = Some(standalone);
        }
        if let Some(indents) = self.flag(at, "indent")? {
            self.sheet.output.indents = indents;
            self.sheet.output.is_dense = !indents;
        }
        if let Some((_, text)) = self.attribute(at, "doctype-public") {
            self.sheet.output.doctype_public = Some(text);
        }
        if let Some((_, text)) = self.attribute(at, "doctype-system") {
            self.sheet.output.doctype_system = Some(text);
        }
        if let Some((attribute, text)) = self.attribute(at, "cdata-section-elements") {
            for name in text.split_ascii_whitespace() {
                let (prefix, local) = name.split_once(':').unwrap_or(("", name));
                // Here the default namespace counts.
                let prefix = self.names.sym(prefix);
                let uri = self.prefix(attribute, prefix)?;
                let local = self.names.sym(local);
                let name = self.names.name(uri, local);
                self.sheet.output.cdata.push(name);
            }
        }
        Ok(())
    }

    /// Attribute sets: each is the attributes of all definitions of its name, the lowest precedence first.
    fn attribute_sets(&mut self) -> Compiled<()> {
        self.begin_variables();
        let count = self.sets.len();
        let mut members: Vec<Vec<At>> = vec![Vec::new(); count];
        for top in self.tops.clone() {
            if self.xsl(top.at).as_deref() == Some("attribute-set") {
                let (attribute, text) = self.required(top.at, "name")?;
                let name = self.qname(attribute, &text)?;
                if let Some(set) = self
                    .sets
                    .get(&name)
                    .and_then(|set| members.get_mut(*set as usize))
                {
                    set.push(top.at);
                }
            }
        }
        let mut uses: Vec<Vec<u32>> = Vec::with_capacity(count);
        for definitions in &members {
            let code = self.address();
            self.sheet.sets.push(code);
            let mut used = Vec::new();
            for at in definitions {
                let from = self.address();
                self.use_attribute_sets(*at, false)?;
                for op in &self.sheet.code[from as usize..] {
                    if let Op::CallSet(set, _) = op {
                        used.push(*set);
                    }
                }
                let tree = self.tree(*at);
                for node in tree.children(at.node) {
                    let child = At { node, ..*at };
                    if tree.kind(node) != crate::tree::Kind::Element {
                        continue;
                    }
                    if self.xsl(child).as_deref() != Some("attribute") {
                        return Err(self.wrong(
                            child,
                            "xsl:attribute-set has xsl:attribute inside and nothing else",
                        ));
                    }
                    self.element(child)?;
                }
            }
            let last = definitions
                .last()
                .copied()
                .unwrap_or(At { file: 0, node: 0 });
            self.emit(last, Op::Return);
            uses.push(used);
        }
        self.check_circles(&members, &uses)
    }

    fn check_circles(&self, members: &[Vec<At>], uses: &[Vec<u32>]) -> Compiled<()> {
        for (start, definitions) in members.iter().enumerate() {
            let mut seen = vec![false; members.len()];
            let mut open: Vec<u32> = uses.get(start).cloned().unwrap_or_default();
            while let Some(set) = open.pop() {
                if set as usize == start {
                    let at = definitions.first().copied().unwrap_or(At {
                        file: 0,
                        node: NONE,
                    });
                    return Err(self.wrong(
                        at,
                        "the attribute set uses itself, directly or through others",
                    ));
                }
                if !std::mem::replace(&mut seen[set as usize], true) {
                    open.extend(uses.get(set as usize).into_iter().flatten());
                }
            }
        }
        Ok(())
    }
}
