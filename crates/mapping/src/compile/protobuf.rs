//! Compiling `[protobuf]`: the descriptor, the type of the messages, and paths through its types.

use super::Compiler;
use super::table::{Section, nearest};
use crate::format::protobuf::{
    Descriptor, Framing, Kind, MessageId, ProtobufPlan, Scalar, WellKnown,
};
use crate::plan::FormatPlan;

const KEYS: &[&str] = &["descriptor", "message", "framing"];

/// What paths are looked up in.
#[derive(Debug)]
pub(super) struct Types {
    descriptor: Descriptor,
    /// The type of the documents.
    root: MessageId,
    /// The type of the records.
    record: MessageId,
}

/// What a step of a path leads to.
#[derive(Debug, Clone, Copy)]
enum Place {
    Message(MessageId),
    Value(Kind),
}

impl Types {
    /// Checks a path from the record, or from the top if it begins with `/`.
    fn check(&self, path: &str) -> Result<(), String> {
        let (text, start) = match path.strip_prefix('/') {
            Some(rest) => (rest, self.root),
            None => (path, self.record),
        };
        match self.walk(path, text, start)? {
            Place::Message(id) => {
                let message = &self.descriptor.messages[id];
                match WellKnown::named(&message.name) {
                    Some(_) => Ok(()),
                    None => Err(format!(
                        "{path:?} is a message ({}); name one of its fields: {}",
                        message.name,
                        self.field_names(id).join(", ")
                    )),
                }
            }
            Place::Value(Kind::Scalar(Scalar::Double | Scalar::Float)) => Err(format!(
                "{path:?} is a floating-point number, which is not exact and is never read; ask the source for \
                 google.type.Money, google.type.Decimal, a string, or an integer in minor units"
            )),
            Place::Value(Kind::Group) => Err(format!("{path:?} is a group, which is not read")),
            Place::Value(Kind::Unknown) => Err(format!(
                "the descriptor lacks the type of {path:?}: write it with `protoc --include_imports`"
            )),
            Place::Value(_) => Ok(()),
        }
    }

    fn field_names(&self, message: MessageId) -> Vec<&str> {
        let fields = self.descriptor.messages[message].fields.iter();
        fields.map(|field| field.name.as_str()).collect()
    }

    fn walk(&self, path: &str, text: &str, start: MessageId) -> Result<Place, String> {
        let mut place = Place::Message(start);
        for step in text.split('/').map(super::trie::unescape_step) {
            let Place::Message(id) = place else {
                return Err(format!(
                    "in {path:?} there is nothing below a value, so no {step:?}"
                ));
            };
            let message = &self.descriptor.messages[id];
            let kind = if message.is_map_entry {
                // The step is a key.
                message.fields.iter().find(|field| field.number == 2)
            } else {
                message.field(&step)
            };
            let Some(field) = kind else {
                let known = self.field_names(id);
                let hint = match nearest(&step, &known) {
                    Some(meant) => format!("did you mean {meant:?}?"),
                    None => format!("its fields are {}", known.join(", ")),
                };
                return Err(format!("{} has no field {step:?}; {hint}", message.name));
            };
            place = match field.kind {
                Kind::Message(inner) => Place::Message(inner),
                kind => Place::Value(kind),
            };
        }
        Ok(place)
    }
}

impl Compiler<'_> {
    pub(super) fn protobuf(&mut self, root: &Section<'_>) -> Option<FormatPlan> {
        let Some(section) = root.section(self, "protobuf") else {
            let message = "a protobuf source names its types: [protobuf] descriptor = \"payments.binpb\", message = \"bank.v1.Payment\"";
            self.error(0..0, "protobuf", message);
            return None;
        };
        section.only(self, KEYS);
        let framing = match section.choice(self, "framing", &["one", "delimited"], "one") {
            "delimited" => Framing::Delimited,
            _ => Framing::One,
        };
        let (descriptor, message) = self.descriptor(&section)?;
        let record = self.protobuf_record(root, &descriptor, message)?;
        self.protobuf = Some(Types {
            descriptor: descriptor.clone(),
            root: message,
            record,
        });
        let plan = ProtobufPlan::new(descriptor, message, framing);
        Some(FormatPlan::Protobuf(Box::new(plan)))
    }

    /// The descriptor and the type of the messages in it.
    fn descriptor(&mut self, section: &Section<'_>) -> Option<(Descriptor, MessageId)> {
        let file = section.required_text(self, "descriptor");
        let name = section.required_text(self, "message");
        let (file, span) = file?;
        let parsed = self
            .options
            .file(file)
            .and_then(|bytes| match Descriptor::parse(bytes) {
                Ok(descriptor) => Ok(descriptor),
                Err(wrong) => Err(format!(
                    "{file}, byte {}: {}; `protoc --include_imports --descriptor_set_out={file}` writes one",
                    wrong.offset, wrong.detail
                )),
            });
        let descriptor = match parsed {
            Ok(descriptor) => descriptor,
            Err(message) => {
                self.error(span, "protobuf.descriptor", message);
                return None;
            }
        };
        let (name, span) = name?;
        if let Some(id) = descriptor.message(name) {
            return Some((descriptor, id));
        }
        let known = descriptor.message_names();
        let hint = match nearest(name, &known) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => format!("there are {}", known.join(", ")),
        };
        let message = format!("{file} has no message {name:?}; {hint}");
        self.error(span, "protobuf.message", message);
        None
    }

    /// The type of the records: of the messages, or of what `records` names in them.
    fn protobuf_record(
        &mut self,
        root: &Section<'_>,
        descriptor: &Descriptor,
        message: MessageId,
    ) -> Option<MessageId> {
        let Some((path, span)) = root.text(self, "records") else {
            return Some(message);
        };
        let steps = path.strip_prefix('/').unwrap_or_default().split('/');
        let mut current = message;
        for step in steps {
            let kind = descriptor.messages[current].field(step);
            match kind.map(|field| field.kind) {
                Some(Kind::Message(inner)) if !descriptor.messages[inner].is_map_entry => {
                    current = inner;
                }
                _ => {
                    let text = format!(
                        "{path:?} leads to no message: {} has no field {step:?} of messages",
                        descriptor.messages[current].name
                    );
                    self.error(span, "records", text);
                    return None;
                }
            }
        }
        Some(current)
    }

    /// Checks a path; `None` where the descriptor could not be read.
    pub(super) fn protobuf_path(&self, path: &str) -> Option<Result<(), String>> {
        self.protobuf.as_ref().map(|types| types.check(path))
    }
}
