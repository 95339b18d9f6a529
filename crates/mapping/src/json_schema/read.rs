//! Compiling a schema.

use std::collections::HashMap;

use super::tree::{self, Tree, Value};
use super::{Bound, Constant, JsonSchema, Kind, Node};
use crate::number::Number;

/// Subschemas of a schema at most.
const NODES_MAX: usize = 10_000;
/// What says nothing of values: it may stand anywhere.
const ANNOTATIONS: [&str; 11] = [
    "$schema",
    "$id",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "format",
];
const KEYWORDS: &str = "type, enum, const, properties, required, additionalProperties, minProperties, maxProperties, items, minItems, maxItems, minLength, \
    maxLength, pattern, minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf, $ref, $defs, definitions, allOf, anyOf, oneOf, not";

impl JsonSchema {
    /// Compiles a schema; the error names the place as a JSON pointer.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str::<serde::de::IgnoredAny>(text)
            .map_err(|error| format!("it is no JSON: {error}"))?;
        let tree = tree::read(text).ok_or("it is nested too deep")?;
        let mut compiler = Compiler {
            root: &tree,
            nodes: Vec::new(),
            known: HashMap::new(),
        };
        let root = compiler.schema(&tree, "#")?;
        let nodes = compiler.nodes;
        Ok(Self { nodes, root })
    }
}

struct Compiler<'t> {
    root: &'t Tree<'t>,
    nodes: Vec<Node>,
    /// Schemas by where they begin, so that each is compiled once, also one that refers to itself.
    known: HashMap<usize, usize>,
}

impl<'t> Compiler<'t> {
    fn schema(&mut self, tree: &'t Tree<'t>, place: &str) -> Result<usize, String> {
        if let Some(node) = self.known.get(&tree.offset) {
            return Ok(*node);
        }
        if self.nodes.len() >= NODES_MAX {
            return Err(format!("it has more than {NODES_MAX} schemas"));
        }
        let index = self.nodes.len();
        self.known.insert(tree.offset, index);
        self.nodes.push(Node::default());
        let node = match &tree.value {
            Value::Bool(right) => Node {
                never: !right,
                ..Node::default()
            },
            Value::Object(members) => self.object(members, place)?,
            _ => {
                return Err(format!(
                    "{place} is no schema: an object, true or false is one"
                ));
            }
        };
        self.nodes[index] = node;
        Ok(index)
    }

    fn object(
        &mut self,
        members: &'t [(std::borrow::Cow<'t, str>, Tree<'t>)],
        place: &str,
    ) -> Result<Node, String> {
        let mut node = Node::default();
        for (keyword, tree) in members {
            let at = format!("{place}/{}", escape(keyword));
            let wrong = |what: &str| format!("{at} must be {what}");
            match &**keyword {
                "type" => {
                    node.kinds =
                        kinds(tree).ok_or_else(|| wrong("the name of a type, or a list of such"))?
                }
                "enum" => {
                    let Value::Array(values) = &tree.value else {
                        return Err(wrong("a list"));
                    };
                    let constants = values.iter().map(constant).collect::<Option<_>>();
                    node.allowed = constants
                        .ok_or_else(|| wrong("a list of texts, numbers, true, false and null"))?;
                }
                "const" => {
                    node.allowed = vec![
                        constant(tree)
                            .ok_or_else(|| wrong("a text, a number, true, false or null"))?,
                    ]
                }
                "minLength" => node.lengths.least = count(tree).ok_or_else(|| wrong("a count"))?,
                "maxLength" => {
                    node.lengths.most = Some(count(tree).ok_or_else(|| wrong("a count"))?)
                }
                "minItems" => {
                    node.item_count.least = count(tree).ok_or_else(|| wrong("a count"))?
                }
                "maxItems" => {
                    node.item_count.most = Some(count(tree).ok_or_else(|| wrong("a count"))?)
                }
                "minProperties" => {
                    node.property_count.least = count(tree).ok_or_else(|| wrong("a count"))?
                }
                "maxProperties" => {
                    node.property_count.most = Some(count(tree).ok_or_else(|| wrong("a count"))?)
                }
                "pattern" => {
                    let Value::Text(pattern) = &tree.value else {
                        return Err(wrong("a text"));
                    };
                    let pattern = crate::pattern::compile(pattern);
                    node.pattern = Some(pattern.map_err(|error| format!("{at}: {error}"))?);
                }
                "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum" => {
                    let bound = Bound {
                        number: number(tree).ok_or_else(|| wrong("a number"))?.into(),
                        exclusive: keyword.starts_with("exclusive"),
                    };
                    let bounds = match keyword.ends_with("inimum") {
                        true => &mut node.least,
                        false => &mut node.most,
                    };
                    bounds.push(bound);
                }
                "multipleOf" => {
                    let decimals = number(tree)
                        .and_then(Number::json)
                        .and_then(Number::power_of_ten);
                    node.decimals =
                        Some(decimals.ok_or_else(|| wrong("a power of ten, such as 0.01"))?);
                }
                "required" => {
                    let Value::Array(names) = &tree.value else {
                        return Err(wrong("a list of names"));
                    };
                    for name in names {
                        let Value::Text(name) = &name.value else {
                            return Err(wrong("a list of names"));
                        };
                        node.required.push((&**name).into());
                    }
                }
                "properties" => {
                    let Value::Object(properties) = &tree.value else {
                        return Err(wrong("an object of schemas"));
                    };
                    for (name, tree) in properties {
                        let schema = self.schema(tree, &format!("{at}/{}", escape(name)))?;
                        node.properties.push(((&**name).into(), schema));
                    }
                }
                "additionalProperties" => node.others = Some(self.schema(tree, &at)?),
                "items" => node.items = Some(self.schema(tree, &at)?),
                "not" => node.not = Some(self.schema(tree, &at)?),
                "allOf" => node.all.extend(self.list(tree, &at)?),
                "anyOf" => node.any = self.list(tree, &at)?,
                "oneOf" => node.one = self.list(tree, &at)?,
                "$ref" => {
                    let Value::Text(pointer) = &tree.value else {
                        return Err(wrong("a text"));
                    };
                    let target = find(self.root, pointer)
                        .ok_or_else(|| wrong("a place in this schema, such as #/$defs/money"))?;
                    node.all.push(self.schema(target, pointer)?);
                }
                // What is in there counts where it is referred to.
                "$defs" | "definitions" => {}
                known if ANNOTATIONS.contains(&known) => {}
                unknown => {
                    return Err(format!(
                        "{place}: {unknown} is not read; these are: {KEYWORDS}"
                    ));
                }
            }
        }
        Ok(node)
    }

    fn list(&mut self, tree: &'t Tree<'t>, at: &str) -> Result<Vec<usize>, String> {
        let Value::Array(schemas) = &tree.value else {
            return Err(format!("{at} must be a list of schemas"));
        };
        if schemas.is_empty() {
            return Err(format!("{at} must have a schema"));
        }
        let schemas = schemas.iter().enumerate();
        schemas
            .map(|(index, schema)| self.schema(schema, &format!("{at}/{index}")))
            .collect()
    }
}

/// RFC 6901.
pub(super) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The schema at a pointer such as `#/$defs/money`.
fn find<'t>(root: &'t Tree<'t>, pointer: &str) -> Option<&'t Tree<'t>> {
    let rest = pointer.strip_prefix('#')?;
    let mut at = root;
    for part in rest.split('/').skip(1) {
        let name = part.replace("~1", "/").replace("~0", "~");
        at = match &at.value {
            Value::Object(members) => members
                .iter()
                .find(|(known, _)| **known == name)
                .map(|(_, tree)| tree)?,
            Value::Array(items) => items.get(name.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    (rest.is_empty() || rest.starts_with('/')).then_some(at)
}

fn kinds(tree: &Tree<'_>) -> Option<u8> {
    let one = |tree: &Tree<'_>| match &tree.value {
        Value::Text(name) => Kind::named(name),
        _ => None,
    };
    match &tree.value {
        Value::Array(names) if !names.is_empty() => names
            .iter()
            .map(one)
            .try_fold(0, |all, kind| Some(all | kind?)),
        _ => one(tree),
    }
}

fn number<'t>(tree: &Tree<'t>) -> Option<&'t str> {
    match tree.value {
        Value::Number(text) => Number::json(text).map(|_| text),
        _ => None,
    }
}

fn count(tree: &Tree<'_>) -> Option<usize> {
    match tree.value {
        Value::Number(text) => text.parse().ok(),
        _ => None,
    }
}

fn constant(tree: &Tree<'_>) -> Option<Constant> {
    Some(match &tree.value {
        Value::Null => Constant::Null,
        Value::Bool(value) => Constant::Bool(*value),
        Value::Number(_) => Constant::Number(number(tree)?.into()),
        Value::Text(text) => Constant::Text((&**text).into()),
        Value::Array(_) | Value::Object(_) => return None,
    })
}
