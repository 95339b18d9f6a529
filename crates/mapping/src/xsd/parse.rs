//! From a schema's XML to types: everything that is read is in the subset, and what is not is refused.

use std::collections::HashMap;

use super::facets::{any, narrow};
use super::model::{DeclarationId, Model, Particle, Term};
use super::pattern;
use super::simple::{BuiltIn, SimpleType};
use super::tree::{self, Mistake, Node, XSD};

/// Most times that an element or group may be repeated by number.
const OCCURS_MAX: usize = 2_000;
/// Longest chain of types that are derived from each other.
const DERIVED_MAX: usize = 32;
/// Most elements of an `xs:all`.
pub(super) const ALL_MAX: usize = 64;

/// Index of a type in [`Schema::types`].
pub(crate) type TypeId = usize;

/// A schema of one namespace.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) namespace: String,
    /// Local elements are in the namespace too.
    pub(crate) is_qualified: bool,
    pub(crate) declarations: Vec<Declaration>,
    pub(crate) globals: Vec<DeclarationId>,
    pub(crate) types: Vec<Type>,
}

#[derive(Debug)]
pub(crate) struct Declaration {
    pub(crate) name: Box<str>,
    pub(crate) kind: TypeId,
    /// It stands in the schema's namespace.
    pub(crate) is_qualified: bool,
}

/// What an element may hold.
#[derive(Debug)]
pub(crate) struct Type {
    pub(crate) content: Content,
    pub(crate) attributes: Vec<Attribute>,
}

#[derive(Debug)]
pub(crate) enum Content {
    /// Nothing, not even a text.
    Empty,
    Simple(SimpleType),
    Elements(Model),
    /// Each at most once, in any order; the mask says which must be there.
    All(Vec<DeclarationId>, u64),
}

#[derive(Debug)]
pub(crate) struct Attribute {
    pub(crate) name: Box<str>,
    pub(crate) is_required: bool,
    pub(crate) kind: SimpleType,
}

/// What a name of the schema stands for.
#[derive(Debug, Clone, Copy)]
enum Named {
    Simple(usize),
    Complex(usize),
}

struct Parser<'n> {
    nodes: &'n [Node],
    schema: Schema,
    /// Prefixes of the schema's own namespace, and of XML Schema's.
    own: Vec<String>,
    xsd: Vec<String>,
    named: HashMap<&'n str, Named>,
    elements: HashMap<&'n str, usize>,
    /// Types that are begun or done, by node.
    done: HashMap<usize, TypeId>,
    built_in: HashMap<String, TypeId>,
    /// Complex types that are still to be read.
    open: Vec<(usize, TypeId)>,
}

/// Reads a schema.
pub(crate) fn parse(text: &str) -> Result<Schema, Mistake> {
    let nodes = tree::read(text.trim_start_matches('\u{feff}'))?;
    let root = &nodes[0];
    let mut parser = Parser {
        nodes: &nodes,
        schema: Schema {
            namespace: root.get("targetNamespace").unwrap_or_default().to_owned(),
            is_qualified: root.get("elementFormDefault") == Some("qualified"),
            declarations: Vec::new(),
            globals: Vec::new(),
            types: Vec::new(),
        },
        own: Vec::new(),
        xsd: Vec::new(),
        named: HashMap::new(),
        elements: HashMap::new(),
        done: HashMap::new(),
        built_in: HashMap::new(),
        open: Vec::new(),
    };
    parser.root(root)?;
    while let Some((node, id)) = parser.open.pop() {
        parser.schema.types[id] = parser.complex(node)?;
    }
    Ok(parser.schema)
}

impl<'n> Parser<'n> {
    fn root(&mut self, root: &'n Node) -> Result<(), Mistake> {
        root.only(&[
            "targetNamespace",
            "elementFormDefault",
            "attributeFormDefault",
            "version",
            "xml:lang",
        ])?;
        if root.get("attributeFormDefault") == Some("qualified") {
            return Err(root.wrong("attributeFormDefault=\"qualified\" is not read"));
        }
        for (name, uri) in &root.attributes {
            let prefix = match name.strip_prefix("xmlns") {
                Some("") => "",
                Some(rest) => rest.trim_start_matches(':'),
                None => continue,
            };
            if uri == XSD {
                self.xsd.push(prefix.to_owned());
            } else if *uri == self.schema.namespace {
                self.own.push(prefix.to_owned());
            }
        }
        if self.schema.namespace.is_empty() && !self.xsd.iter().any(String::is_empty) {
            self.own.push(String::new());
        }
        for id in &root.children {
            let node = &self.nodes[*id];
            let name = node.get("name").unwrap_or_default();
            let known = match node.name.as_str() {
                "simpleType" => self.named.insert(name, Named::Simple(*id)).is_some(),
                "complexType" => self.named.insert(name, Named::Complex(*id)).is_some(),
                "element" => self.elements.insert(name, *id).is_some(),
                other => return Err(node.wrong(format!("{other} is not read"))),
            };
            if known || name.is_empty() {
                return Err(node.wrong(format!(
                    "{} {name:?} has no name or stands twice",
                    node.name
                )));
            }
        }
        for id in &root.children {
            if self.nodes[*id].name == "element" {
                let declared = self.element(*id, true)?;
                self.schema.globals.push(declared);
            }
        }
        Ok(())
    }

    fn children(&self, node: &'n Node) -> impl Iterator<Item = (usize, &'n Node)> + use<'n> {
        let nodes = self.nodes;
        node.children.iter().map(move |id| (*id, &nodes[*id]))
    }

    fn element(&mut self, id: usize, is_global: bool) -> Result<DeclarationId, Mistake> {
        let node = &self.nodes[id];
        let known: &[&str] = if is_global {
            &["name", "type"]
        } else {
            &["name", "type", "ref", "minOccurs", "maxOccurs"]
        };
        node.only(known)?;
        if let Some(name) = node.get("ref") {
            let local = self.own_name(node, name)?;
            let target = *self
                .elements
                .get(local)
                .ok_or_else(|| node.wrong(format!("there is no element {name:?}")))?;
            return self.declare(target, true);
        }
        self.declare(id, is_global)
    }

    fn declare(&mut self, id: usize, is_global: bool) -> Result<DeclarationId, Mistake> {
        let node = &self.nodes[id];
        let name = node
            .get("name")
            .ok_or_else(|| node.wrong("an element has no name"))?;
        let kind = self.type_of(node)?;
        self.schema.declarations.push(Declaration {
            name: name.into(),
            kind,
            is_qualified: is_global || self.schema.is_qualified,
        });
        Ok(self.schema.declarations.len() - 1)
    }

    /// The type that a declaration names or holds.
    fn type_of(&mut self, node: &'n Node) -> Result<TypeId, Mistake> {
        let mut inner = self.children(node);
        match (node.get("type"), inner.next(), inner.next()) {
            (Some(name), None, _) => self.named_type(node, name),
            (None, Some((id, child)), None) => match child.name.as_str() {
                "complexType" => Ok(self.begin(id)),
                "simpleType" => {
                    let simple = self.simple(child, 0)?;
                    Ok(self.add_simple(simple))
                }
                other => Err(child.wrong(format!("{other} in an element is not read"))),
            },
            (None, None, _) => Err(node.wrong("an element without a type is not read")),
            _ => Err(node.wrong("an element has more than one type, or keys, which are not read")),
        }
    }

    fn named_type(&mut self, node: &'n Node, name: &str) -> Result<TypeId, Mistake> {
        if let Some(local) = self.xsd_name(name) {
            if let Some(known) = self.built_in.get(local) {
                return Ok(*known);
            }
            let simple = self.simple_named(node, name, 0)?;
            let id = self.add_simple(simple);
            self.built_in.insert(local.to_owned(), id);
            return Ok(id);
        }
        let local = self.own_name(node, name)?;
        match self.named.get(local).copied() {
            Some(Named::Complex(id)) => Ok(self.begin(id)),
            Some(Named::Simple(id)) => {
                if let Some(known) = self.done.get(&id) {
                    return Ok(*known);
                }
                let simple = self.simple(&self.nodes[id], 0)?;
                let made = self.add_simple(simple);
                self.done.insert(id, made);
                Ok(made)
            }
            None => Err(node.wrong(format!("there is no type {name:?}"))),
        }
    }

    fn add_simple(&mut self, simple: SimpleType) -> TypeId {
        self.schema.types.push(Type {
            content: Content::Simple(simple),
            attributes: Vec::new(),
        });
        self.schema.types.len() - 1
    }

    /// The place of a complex type, which is read later: types may hold themselves.
    fn begin(&mut self, node: usize) -> TypeId {
        if let Some(known) = self.done.get(&node) {
            return *known;
        }
        self.schema.types.push(Type {
            content: Content::Empty,
            attributes: Vec::new(),
        });
        let id = self.schema.types.len() - 1;
        self.done.insert(node, id);
        self.open.push((node, id));
        id
    }

    fn complex(&mut self, id: usize) -> Result<Type, Mistake> {
        let node = &self.nodes[id];
        node.only(&["name"])?;
        let mut content = Content::Empty;
        let mut attributes = Vec::new();
        for (index, (id, child)) in self.children(node).enumerate() {
            match child.name.as_str() {
                "attribute" => attributes.push(self.attribute(child)?),
                "simpleContent" if index == 0 => return self.simple_content(child),
                "sequence" | "choice" if index == 0 => {
                    let particle = self.particle(id)?;
                    let declarations = &self.schema.declarations;
                    let name =
                        |id: DeclarationId| declarations.get(id).map_or("", |one| &*one.name);
                    let model =
                        Model::new(&particle, &name).map_err(|message| child.wrong(message))?;
                    content = Content::Elements(model);
                }
                "all" if index == 0 => content = self.all(child)?,
                other => return Err(child.wrong(format!("{other} in a complexType is not read"))),
            }
        }
        Ok(Type {
            content,
            attributes,
        })
    }

    fn all(&mut self, node: &'n Node) -> Result<Content, Mistake> {
        node.only(&[])?;
        let mut elements = Vec::new();
        let mut required = 0;
        for (id, child) in self.children(node) {
            let (min, max) = self.occurs(child)?;
            if child.name != "element" || max != Some(1) || elements.len() >= ALL_MAX {
                return Err(child.wrong(format!(
                    "xs:all has at most {ALL_MAX} elements, each at most once"
                )));
            }
            if min > 0 {
                required |= 1 << elements.len();
            }
            elements.push(self.element(id, false)?);
        }
        Ok(Content::All(elements, required))
    }

    /// A particle. Recurses as deep as the schema is nested, which is bounded.
    fn particle(&mut self, id: usize) -> Result<Particle, Mistake> {
        let node = &self.nodes[id];
        let (min, max) = self.occurs(node)?;
        let term = match node.name.as_str() {
            "element" => Term::Element(self.element(id, false)?),
            "any" => Term::Any(any(node)?),
            kind @ ("sequence" | "choice") => {
                node.only(&["minOccurs", "maxOccurs"])?;
                let mut particles = Vec::new();
                for (id, _) in self.children(node) {
                    particles.push(self.particle(id)?);
                }
                if kind == "sequence" {
                    Term::Sequence(particles)
                } else {
                    Term::Choice(particles)
                }
            }
            other => return Err(node.wrong(format!("{other} is not read here"))),
        };
        Ok(Particle { term, min, max })
    }

    fn occurs(&self, node: &Node) -> Result<(usize, Option<usize>), Mistake> {
        let number = |name: &str| {
            let text = node.get(name).unwrap_or("1");
            let number = text.parse().ok().filter(|number| *number <= OCCURS_MAX);
            number.ok_or_else(|| {
                node.wrong(format!(
                    "{name}={text:?} is no number up to {OCCURS_MAX}; \"unbounded\" is read"
                ))
            })
        };
        let min = number("minOccurs")?;
        let max = match node.get("maxOccurs") {
            Some("unbounded") => None,
            _ => Some(number("maxOccurs")?),
        };
        if max.is_some_and(|max| max < min) {
            return Err(node.wrong("minOccurs is more than maxOccurs"));
        }
        Ok((min, max))
    }

    fn simple_content(&mut self, node: &'n Node) -> Result<Type, Mistake> {
        let mut inner = self.children(node);
        let (Some((_, child)), None) = (inner.next(), inner.next()) else {
            return Err(node.wrong("simpleContent has one extension"));
        };
        if child.name != "extension" {
            return Err(child.wrong(format!("{} in simpleContent is not read", child.name)));
        }
        child.only(&["base"])?;
        let base = child.get("base").unwrap_or_default();
        let simple = self.simple_named(child, base, 0)?;
        let mut attributes = Vec::new();
        for (_, inner) in self.children(child) {
            if inner.name != "attribute" {
                return Err(inner.wrong(format!("{} in an extension is not read", inner.name)));
            }
            attributes.push(self.attribute(inner)?);
        }
        Ok(Type {
            content: Content::Simple(simple),
            attributes,
        })
    }

    fn attribute(&mut self, node: &'n Node) -> Result<Attribute, Mistake> {
        node.only(&["name", "type", "use"])?;
        let name = node
            .get("name")
            .ok_or_else(|| node.wrong("an attribute has no name"))?;
        let is_required = match node.get("use") {
            None | Some("optional") => false,
            Some("required") => true,
            Some(other) => return Err(node.wrong(format!("use={other:?} is not read"))),
        };
        let mut inner = self.children(node);
        let kind = match (node.get("type"), inner.next()) {
            (Some(kind), None) => self.simple_named(node, kind, 0)?,
            (None, Some((_, child))) if child.name == "simpleType" => self.simple(child, 0)?,
            _ => return Err(node.wrong("an attribute has a type")),
        };
        Ok(Attribute {
            name: name.into(),
            is_required,
            kind,
        })
    }

    /// A simple type by its name. Recurses along derivations, at most [`DERIVED_MAX`] deep.
    fn simple_named(&self, node: &Node, name: &str, depth: usize) -> Result<SimpleType, Mistake> {
        if let Some(local) = self.xsd_name(name) {
            return SimpleType::named(local)
                .ok_or_else(|| node.wrong(format!("the type {name} is not read")));
        }
        let local = self.own_name(node, name)?;
        match self.named.get(local) {
            Some(Named::Simple(id)) if depth < DERIVED_MAX => {
                self.simple(&self.nodes[*id], depth + 1)
            }
            Some(Named::Simple(_)) => Err(node.wrong(format!(
                "types are derived from each other more than {DERIVED_MAX} times"
            ))),
            Some(Named::Complex(_)) => Err(node.wrong(format!("{name} is no simple type"))),
            None => Err(node.wrong(format!("there is no type {name:?}"))),
        }
    }

    fn simple(&self, node: &Node, depth: usize) -> Result<SimpleType, Mistake> {
        node.only(&["name"])?;
        let children = &node.children;
        let restriction = children.first().map(|id| &self.nodes[*id]);
        let restriction =
            restriction.filter(|child| child.name == "restriction" && children.len() == 1);
        let Some(restriction) = restriction else {
            return Err(
                node.wrong("a simpleType other than a restriction is not read (list, union)")
            );
        };
        restriction.only(&["base"])?;
        let Some(base) = restriction.get("base") else {
            return Err(restriction.wrong("a restriction without a base is not read"));
        };
        let mut simple = self.simple_named(restriction, base, depth)?;
        let (mut patterns, mut enumeration) = (Vec::new(), Vec::new());
        for id in &restriction.children {
            let facet = &self.nodes[*id];
            facet.only(&["value"])?;
            let value = facet.get("value").unwrap_or_default();
            match facet.name.as_str() {
                "pattern" => {
                    let compiled =
                        pattern::compile(value).map_err(|message| facet.wrong(message))?;
                    patterns.push((value.into(), compiled));
                }
                "enumeration" => enumeration.push(value.into()),
                _ => narrow(&mut simple, facet, value)?,
            }
        }
        if !patterns.is_empty() {
            simple.patterns.push(patterns);
        }
        if !enumeration.is_empty() {
            if !matches!(simple.built_in, BuiltIn::Text) {
                return Err(
                    restriction.wrong("an enumeration of other values than texts is not read")
                );
            }
            simple.enumeration = Some(enumeration);
        }
        Ok(simple)
    }

    /// The local name in XML Schema's namespace.
    fn xsd_name<'t>(&self, name: &'t str) -> Option<&'t str> {
        let (prefix, local) = name.split_once(':').unwrap_or(("", name));
        self.xsd
            .iter()
            .any(|known| known == prefix)
            .then_some(local)
    }

    /// The local name in the schema's own namespace.
    fn own_name<'t>(&self, node: &Node, name: &'t str) -> Result<&'t str, Mistake> {
        let (prefix, local) = name.split_once(':').unwrap_or(("", name));
        if self.own.iter().any(|known| known == prefix) {
            return Ok(local);
        }
        Err(node.wrong(format!(
            "{name:?} is of another namespace, which is not read"
        )))
    }
}
