//! Literal result elements, and which of their namespaces go into the result.

use super::{At, Compiled, Compiler};
use crate::names::{EMPTY, Sym, XML};
use crate::program::{Literal, Op};
use crate::tree::{Kind, NONE};

impl Compiler<'_> {
    pub(super) fn literal(&mut self, at: At) -> Compiled<()> {
        let tree = self.tree(at);
        let node = tree.node(at.node);
        let (uri, local) = self.names.parts(node.name);
        let excluded = self.excluded(at)?;
        let mut namespaces: Vec<(Sym, Sym)> = Vec::new();
        // The element's own declarations come first, in their order; then those around it.
        for (prefix, uri) in tree.in_scope(at.node) {
            if prefix == XML || uri == self.xslt || excluded.contains(&uri) {
                continue;
            }
            let (prefix, uri) = match self.aliases.get(&uri) {
                Some(alias) => *alias,
                None => (prefix, uri),
            };
            if uri != EMPTY && !namespaces.iter().any(|(known, _)| *known == prefix) {
                namespaces.push((prefix, uri));
            }
        }
        // A namespace that is only there as an alias is not wanted itself; XSLT's may be, by an alias.
        for (from, alias) in &self.aliases {
            let is_used =
                *from == self.xslt && tree.in_scope(at.node).iter().any(|(_, uri)| uri == from);
            if is_used && alias.1 != EMPTY && !namespaces.contains(alias) {
                namespaces.push(*alias);
            }
        }
        let (prefix, uri) = self.aliased(node.prefix, uri);
        if uri != EMPTY {
            namespaces.retain(|(known, _)| *known != prefix);
            namespaces.insert(0, (prefix, uri));
        }
        let name = self.names.name(uri, local);
        let literal = Literal {
            prefix,
            name,
            namespaces: namespaces.into(),
        };
        self.emit(at, Op::StartLiteral(Box::new(literal)));
        let local = self.names.sym("use-attribute-sets");
        let sets = self.names.name(self.xslt, local);
        if let Some((attribute, text)) = self.attribute_named(at, sets) {
            self.call_sets(attribute, &text, false)?;
        }
        for attribute in tree.attributes(at.node) {
            let found = tree.node(attribute);
            let (uri, local) = self.names.parts(found.name);
            let place = At {
                node: attribute,
                ..at
            };
            if uri == self.xslt {
                let name = self.names.local(found.name);
                let known = [
                    "use-attribute-sets",
                    "exclude-result-prefixes",
                    "extension-element-prefixes",
                    "version",
                ];
                if !known.contains(&name) && !self.is_forward(at) {
                    let name = self.names.local(found.name);
                    return Err(self.wrong(
                        place,
                        format!(
                            "xsl:{name} is no attribute of XSLT 1.0; there are xsl:{}",
                            known.join(", xsl:")
                        ),
                    ));
                }
                continue;
            }
            let value = self.avt(place, tree.value(attribute))?;
            let (prefix, uri) = match uri {
                EMPTY => (EMPTY, EMPTY),
                uri => self.aliased(found.prefix, uri),
            };
            let name = self.names.name(uri, local);
            self.emit(place, Op::LiteralAttribute(prefix, name, value));
        }
        self.body(at)?;
        self.emit(at, Op::EndElement);
        Ok(())
    }

    fn aliased(&self, prefix: Sym, uri: Sym) -> (Sym, Sym) {
        match self.aliases.get(&uri) {
            Some(alias) => *alias,
            None => (prefix, uri),
        }
    }

    /// Namespaces that are not wanted in the result: those of `exclude-result-prefixes` and of extensions, here and
    /// on the elements around.
    fn excluded(&mut self, at: At) -> Compiled<Vec<Sym>> {
        let mut found = self.prefixes(at, "exclude-result-prefixes")?;
        found.extend(self.prefixes(at, "extension-element-prefixes")?);
        Ok(found)
    }

    /// What the prefixes stand for that an attribute lists, here and on the elements around.
    pub(super) fn prefixes(&mut self, at: At, name: &str) -> Compiled<Vec<Sym>> {
        let local = self.names.sym(name);
        let plain = self.names.name(EMPTY, local);
        let of_xslt = self.names.name(self.xslt, local);
        let tree = self.tree(at);
        let mut found = Vec::new();
        let mut node = at.node;
        while node != NONE {
            if tree.kind(node) == Kind::Element {
                let here = At { node, ..at };
                let is_xsl = self.names.parts(tree.node(node).name).0 == self.xslt;
                let listed = self.attribute_named(here, if is_xsl { plain } else { of_xslt });
                if let Some((attribute, text)) = listed {
                    for prefix in text.split_ascii_whitespace() {
                        let prefix = match prefix {
                            "#default" => EMPTY,
                            prefix => self.names.sym(prefix),
                        };
                        found.push(self.prefix(attribute, prefix)?);
                    }
                }
            }
            node = tree.node(node).parent;
        }
        Ok(found)
    }
}
