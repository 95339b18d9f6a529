//! Follows a document through its schema, event by event.
//!
//! Invariant: one stack, which the decoder bounds by `depth_max`; a text is kept only while its element is
//! open.

use super::model::{Any, DeclarationId, Label};
use super::parse::{Content, Type};
use super::{Namespace, Schemas};

/// An element's name, resolved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Name<'d> {
    pub(crate) namespace: Namespace,
    pub(crate) local: &'d str,
}

/// What is wrong, in words that follow the element's path.
pub(crate) type Invalid = String;

/// An element that has begun.
#[derive(Debug, Clone, Copy)]
enum Frame {
    /// Of a declared type.
    Typed {
        schema: usize,
        declaration: DeclarationId,
        /// Of the model, or the elements of an `xs:all` that were there.
        state: u64,
    },
    /// Inside of a wildcard.
    Free { is_lax: bool },
}

/// Validates one document after the other.
#[derive(Debug)]
pub(crate) struct Validator<'s> {
    schemas: &'s Schemas,
    frames: Vec<Frame>,
    /// The text of the innermost element, where its type has one.
    text: String,
    scratch: String,
}

/// Most names that a message lists.
const SHOWN_MAX: usize = 8;

impl<'s> Validator<'s> {
    pub(crate) fn new(schemas: &'s Schemas) -> Self {
        Self {
            schemas,
            frames: Vec::with_capacity(16),
            text: String::new(),
            scratch: String::new(),
        }
    }

    /// Whether a document is being validated.
    pub(crate) fn is_inside(&self) -> bool {
        !self.frames.is_empty()
    }

    /// The names of the open elements.
    pub(crate) fn path(&self) -> String {
        let mut path = String::new();
        for frame in &self.frames {
            path.push('/');
            match frame {
                Frame::Typed {
                    schema,
                    declaration,
                    ..
                } => path.push_str(self.name_of(*schema, *declaration)),
                Frame::Free { .. } => path.push('*'),
            }
        }
        path
    }

    fn name_of(&self, schema: usize, declaration: DeclarationId) -> &'s str {
        let schema = self.schemas.0.get(schema);
        let declared = schema.and_then(|schema| schema.declarations.get(declaration));
        declared.map_or("", |declared| &declared.name)
    }

    fn type_of(&self, schema: usize, declaration: DeclarationId) -> Option<&'s Type> {
        let schema = self.schemas.0.get(schema)?;
        schema.types.get(schema.declarations.get(declaration)?.kind)
    }

    /// An element begins. The first is the document's.
    pub(crate) fn open(&mut self, name: Name<'_>) -> Result<(), Invalid> {
        let frame = match self.frames.last().copied() {
            None => match self.global(name) {
                Some(frame) => frame,
                None => return Err(self.no_document(name)),
            },
            Some(Frame::Free { is_lax: false }) => Frame::Free { is_lax: false },
            Some(Frame::Free { is_lax: true }) => {
                self.global(name).unwrap_or(Frame::Free { is_lax: true })
            }
            Some(Frame::Typed {
                schema,
                declaration,
                state,
            }) => {
                let (next, frame) = self.child(schema, declaration, state, name)?;
                if let Some(Frame::Typed { state, .. }) = self.frames.last_mut() {
                    *state = next;
                }
                frame
            }
        };
        self.text.clear();
        self.frames.push(frame);
        Ok(())
    }

    /// A global element that a schema declares.
    fn global(&self, name: Name<'_>) -> Option<Frame> {
        let Namespace::Of(index) = name.namespace else {
            return None;
        };
        let schema = self.schemas.0.get(index)?;
        let mut globals = schema.globals.iter();
        let found = globals.find(|id| {
            let declared = schema.declarations.get(**id);
            declared.is_some_and(|declared| *declared.name == *name.local)
        })?;
        Some(Frame::Typed {
            schema: index,
            declaration: *found,
            state: 0,
        })
    }

    fn no_document(&self, name: Name<'_>) -> Invalid {
        let expected = match name.namespace {
            Namespace::Of(index) => {
                let schema = self.schemas.0.get(index);
                let globals = schema.into_iter().flat_map(|schema| &schema.globals);
                list(globals.map(|id| self.name_of(index, *id)).collect())
            }
            _ => {
                let known = self.schemas.0.iter();
                let known = list(known.map(|schema| schema.namespace.as_str()).collect());
                return format!("is of a namespace of which no schema is given; given are {known}");
            }
        };
        format!("is no document of the schema; expected is {expected}")
    }

    /// The state behind a child, and the child's own frame.
    fn child(
        &self,
        schema: usize,
        declaration: DeclarationId,
        state: u64,
        name: Name<'_>,
    ) -> Result<(u64, Frame), Invalid> {
        let typed = |declaration| Frame::Typed {
            schema,
            declaration,
            state: 0,
        };
        let content = self.type_of(schema, declaration).map(|kind| &kind.content);
        match content {
            Some(Content::Elements(model)) => {
                let mut wildcard = None;
                for (next, label) in model.next(state as u16) {
                    match label {
                        Label::Element(id) if self.is(schema, id, name) => {
                            return Ok((u64::from(next), typed(id)));
                        }
                        Label::Any(any) if wildcard.is_none() && fits(any, schema, name) => {
                            wildcard = Some((next, any));
                        }
                        _ => {}
                    }
                }
                if let Some((next, any)) = wildcard {
                    let free = Frame::Free { is_lax: any.is_lax };
                    let declared = any.is_lax.then(|| self.global(name)).flatten();
                    return Ok((u64::from(next), declared.unwrap_or(free)));
                }
            }
            Some(Content::All(elements, _)) => {
                let place = elements.iter().position(|id| self.is(schema, *id, name));
                if let Some(place) = place.filter(|place| state & 1 << place == 0) {
                    let id = elements.get(place).copied().unwrap_or_default();
                    return Ok((state | 1 << place, typed(id)));
                }
            }
            _ => {}
        }
        let expected = self.expected(schema, declaration, state);
        Err(format!("is not expected here; expected is {expected}"))
    }

    fn is(&self, schema: usize, declaration: DeclarationId, name: Name<'_>) -> bool {
        let known = self.schemas.0.get(schema);
        let declared = known.and_then(|schema| schema.declarations.get(declaration));
        declared.is_some_and(|declared| {
            let space = if declared.is_qualified || self.has_no_namespace(schema) {
                Namespace::Of(schema)
            } else {
                Namespace::None
            };
            *declared.name == *name.local && name.namespace == space
        })
    }

    fn has_no_namespace(&self, schema: usize) -> bool {
        let known = self.schemas.0.get(schema);
        known.is_some_and(|schema| schema.namespace.is_empty())
    }

    /// What may follow, in words.
    fn expected(&self, schema: usize, declaration: DeclarationId, state: u64) -> String {
        let end = format!("the end of {}", self.name_of(schema, declaration));
        let mut names = Vec::new();
        let may_end = match self.type_of(schema, declaration).map(|kind| &kind.content) {
            Some(Content::Elements(model)) => {
                for (_, label) in model.next(state as u16) {
                    names.push(match label {
                        Label::Element(id) => self.name_of(schema, id),
                        Label::Any(_) => "any element",
                    });
                }
                model.may_end(state as u16)
            }
            Some(Content::All(elements, required)) => {
                for (index, id) in elements.iter().enumerate() {
                    if state & 1 << index == 0 {
                        names.push(self.name_of(schema, *id));
                    }
                }
                required & !state == 0
            }
            Some(Content::Simple(_)) => return "a text without elements".to_owned(),
            _ => true,
        };
        if may_end {
            names.push(&end);
        }
        list(names)
    }

    /// The attributes of the element that has just begun, without declarations of namespaces: name and
    /// value of each, and whether it is of XMLSchema-instance.
    pub(crate) fn attribute(
        &mut self,
        space: Namespace,
        local: &str,
        value: &str,
    ) -> Result<(), Invalid> {
        let Some(Frame::Typed {
            schema,
            declaration,
            ..
        }) = self.frames.last().copied()
        else {
            return Ok(());
        };
        if space == Namespace::Instance {
            return match local {
                "schemaLocation" | "noNamespaceSchemaLocation" => Ok(()),
                _ => Err(format!("has xsi:{local}, which is not read")),
            };
        }
        let kind = self.type_of(schema, declaration);
        let attributes = kind.map_or(&[][..], |kind| &kind.attributes);
        let found = attributes
            .iter()
            .find(|known| space == Namespace::None && *known.name == *local);
        let Some(known) = found else {
            let known = attributes.iter().map(|known| &*known.name).collect();
            return Err(format!(
                "has the attribute {local}, which is not expected; expected is {}",
                list(known)
            ));
        };
        let checked = known.kind.check(value, &mut self.scratch);
        checked.map_err(|what| format!("has the attribute {local}, which {what}"))
    }

    /// The attributes are over: `has` tells whether one is there.
    pub(crate) fn attributes_end(&self, has: &dyn Fn(&str) -> bool) -> Result<(), Invalid> {
        let Some(Frame::Typed {
            schema,
            declaration,
            ..
        }) = self.frames.last()
        else {
            return Ok(());
        };
        let kind = self.type_of(*schema, *declaration);
        let attributes = kind.map_or(&[][..], |kind| &kind.attributes);
        let missing = attributes
            .iter()
            .find(|known| known.is_required && !has(&known.name));
        missing.map_or(Ok(()), |missing| {
            Err(format!("lacks the attribute {}", missing.name))
        })
    }

    /// A piece of text. Line ends are normalised here.
    pub(crate) fn text(&mut self, piece: &str) -> Result<(), Invalid> {
        let Some(Frame::Typed {
            schema,
            declaration,
            ..
        }) = self.frames.last().copied()
        else {
            return Ok(());
        };
        match self.type_of(schema, declaration).map(|kind| &kind.content) {
            Some(Content::Simple(_)) => {
                if piece.contains('\r') {
                    self.text
                        .push_str(&piece.replace("\r\n", "\n").replace('\r', "\n"));
                } else {
                    self.text.push_str(piece);
                }
                Ok(())
            }
            Some(Content::Empty) => Err("has a text, and must be empty".to_owned()),
            _ => {
                let is_space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r');
                if piece.trim_matches(is_space).is_empty() {
                    return Ok(());
                }
                Err("has a text between its elements, which is not expected".to_owned())
            }
        }
    }

    /// The innermost element ends.
    pub(crate) fn close(&mut self) -> Result<(), Invalid> {
        let Some(Frame::Typed {
            schema,
            declaration,
            state,
        }) = self.frames.last().copied()
        else {
            self.frames.pop();
            return Ok(());
        };
        let is_whole = match self.type_of(schema, declaration).map(|kind| &kind.content) {
            Some(Content::Simple(kind)) => {
                kind.check(&self.text, &mut self.scratch)?;
                self.text.clear();
                true
            }
            Some(Content::Elements(model)) => model.may_end(state as u16),
            Some(Content::All(_, required)) => required & !state == 0,
            _ => true,
        };
        if !is_whole {
            let expected = self.expected(schema, declaration, state);
            return Err(format!("ends too early; expected is {expected}"));
        }
        self.frames.pop();
        Ok(())
    }
}

/// Whether an element is one for a wildcard.
fn fits(any: Any, schema: usize, name: Name<'_>) -> bool {
    !any.is_other
        || !matches!(name.namespace, Namespace::None) && name.namespace != Namespace::Of(schema)
}

fn list(names: Vec<&str>) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let more = if names.len() > SHOWN_MAX {
        " or others"
    } else {
        ""
    };
    let shown: Vec<&str> = names.into_iter().take(SHOWN_MAX).collect();
    format!("{}{more}", shown.join(", "))
}
