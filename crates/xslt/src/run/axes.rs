//! The thirteen axes: the nodes that a step reaches, in the order of the axis.

use super::Env;
use super::value::NodeRef;
use crate::error::Stop;
use crate::names::EMPTY;
use crate::tree::{Kind, NONE, Tree};
use crate::xpath::{Axis, Test};

impl Env<'_> {
    /// Whether a node passes a test; `principal` is the kind that `*` and names mean on this axis.
    pub(crate) fn passes(&self, node: NodeRef, test: Test, principal: Kind) -> bool {
        if node.namespace() != 0 {
            return match test {
                Test::Node => true,
                Test::Any => principal == Kind::Namespace,
                Test::Name(name) => {
                    principal == Kind::Namespace
                        && self.namespace_prefix(node) == self.names.borrow().parts(name).1
                }
                _ => false,
            };
        }
        let tree = self.forest.tree(node.document());
        let found = tree.node(node.node());
        match test {
            Test::Node => true,
            Test::Name(name) => found.name == name && found.kind == principal,
            Test::Any => found.kind == principal,
            Test::Text => found.kind.is_text(),
            Test::Comment => found.kind == Kind::Comment,
            Test::AnyPi => found.kind == Kind::Pi,
            Test::Pi(name) => found.kind == Kind::Pi && found.name == name,
            Test::Namespace(uri) => {
                found.kind == principal && self.names.borrow().parts(found.name).0 == uri
            }
        }
    }

    /// Prefix of a namespace node.
    pub(crate) fn namespace_prefix(&self, node: NodeRef) -> u32 {
        self.namespace_of(node).map_or(EMPTY, |(prefix, _)| prefix)
    }

    /// Prefix and namespace of a namespace node.
    pub(crate) fn namespace_of(&self, node: NodeRef) -> Option<(u32, u32)> {
        let scope = self.forest.tree(node.document()).in_scope(node.node());
        scope
            .get(usize::from(node.namespace()).wrapping_sub(1))
            .copied()
    }

    /// Appends what a step from `node` reaches and passes the test, in the order of the axis.
    pub(crate) fn walk(
        &self,
        node: NodeRef,
        axis: Axis,
        test: Test,
        out: &mut Vec<NodeRef>,
    ) -> Result<(), Stop> {
        let tree = self.forest.tree(node.document());
        let at = node.node();
        if node.namespace() != 0 {
            return self.walk_from_namespace(node, axis, test, out);
        }
        let kind = tree.kind(at);
        let mut steps = 0_u64;
        {
            let mut add = |at: u32, principal: Kind| {
                steps += 1;
                let node = node.with_node(at);
                if self.passes(node, test, principal) {
                    out.push(node);
                }
            };
            match axis {
                Axis::Child => {
                    if matches!(kind, Kind::Root | Kind::Element) {
                        let mut child = tree.first_child(at);
                        while child != NONE {
                            add(child, Kind::Element);
                            child = tree.node(child).next;
                        }
                    }
                }
                Axis::Attribute => {
                    if kind == Kind::Element {
                        for attribute in tree.attributes(at) {
                            add(attribute, Kind::Attribute);
                        }
                    }
                }
                Axis::Itself => add(at, Kind::Element),
                Axis::Parent => {
                    let parent = tree.node(at).parent;
                    if parent != NONE {
                        add(parent, Kind::Element);
                    }
                }
                Axis::Ancestor | Axis::AncestorOrSelf => {
                    let mut one = if axis == Axis::AncestorOrSelf {
                        at
                    } else {
                        tree.node(at).parent
                    };
                    while one != NONE {
                        add(one, Kind::Element);
                        one = tree.node(one).parent;
                    }
                }
                Axis::Descendant | Axis::DescendantOrSelf => {
                    if axis == Axis::DescendantOrSelf {
                        add(at, Kind::Element);
                    }
                    for one in at + 1..tree.node(at).end {
                        if tree.kind(one) != Kind::Attribute {
                            add(one, Kind::Element);
                        }
                    }
                }
                Axis::FollowingSibling => {
                    let mut one = tree.node(at).next;
                    while one != NONE {
                        add(one, Kind::Element);
                        one = tree.node(one).next;
                    }
                }
                Axis::PrecedingSibling => {
                    let mut one = tree.node(at).previous;
                    while one != NONE {
                        add(one, Kind::Element);
                        one = tree.node(one).previous;
                    }
                }
                Axis::Following => {
                    for one in tree.node(at).end..tree.nodes.len() as u32 {
                        if tree.kind(one) != Kind::Attribute {
                            add(one, Kind::Element);
                        }
                    }
                }
                Axis::Preceding => preceding(tree, at, &mut |one| add(one, Kind::Element)),
                Axis::Namespace => {
                    if kind == Kind::Element {
                        let count = tree.in_scope(at).len();
                        for number in 1..=count {
                            steps += 1;
                            let namespace = node.with_namespace(number as u16);
                            if self.passes(namespace, test, Kind::Namespace) {
                                out.push(namespace);
                            }
                        }
                        steps += (count * count) as u64;
                    }
                }
            }
        }
        self.spend(steps)
    }

    /// Namespace nodes have a parent and ancestors; what follows them is what follows their element's start tag.
    fn walk_from_namespace(
        &self,
        node: NodeRef,
        axis: Axis,
        test: Test,
        out: &mut Vec<NodeRef>,
    ) -> Result<(), Stop> {
        let element = node.with_namespace(0);
        match axis {
            Axis::Itself | Axis::DescendantOrSelf => {
                if self.passes(node, test, Kind::Element) {
                    out.push(node);
                }
                self.spend(1)
            }
            Axis::Parent => self.walk(element, Axis::Itself, test, out),
            Axis::Ancestor => self.walk(element, Axis::AncestorOrSelf, test, out),
            Axis::AncestorOrSelf => {
                if self.passes(node, test, Kind::Element) {
                    out.push(node);
                }
                self.walk(element, Axis::AncestorOrSelf, test, out)
            }
            Axis::Following => {
                self.walk(element, Axis::Descendant, test, out)?;
                self.walk(element, Axis::Following, test, out)
            }
            Axis::Preceding => self.walk(element, Axis::Preceding, test, out),
            _ => Ok(()),
        }
    }
}

/// All before a node that are not its ancestors, backwards.
fn preceding(tree: &Tree, at: u32, add: &mut dyn FnMut(u32)) {
    let start = match tree.kind(at) {
        // Behind an attribute's element its other attributes are no nodes of this axis.
        Kind::Attribute => tree.node(at).parent,
        _ => at,
    };
    let mut ancestor = tree.node(start).parent;
    for one in (0..start).rev() {
        if one == ancestor {
            ancestor = tree.node(one).parent;
        } else if tree.kind(one) != Kind::Attribute {
            add(one);
        }
    }
}
