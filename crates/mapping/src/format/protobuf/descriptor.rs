//! Types of messages, from a serialized `FileDescriptorSet`, as `protoc --descriptor_set_out` and
//! `buf build` write it.
//!
//! Read with the decoder of messages, for a descriptor is one: the numbers below are those of
//! `google/protobuf/descriptor.proto`. The names of types are resolved once all files are read.

use std::collections::HashMap;

use super::wire::{Raw, Wrong, field};

/// Most bytes of a descriptor: those of large companies have some hundred thousand.
pub(crate) const DESCRIPTOR_BYTES_MAX: usize = 8 << 20;

/// Index of a message type in [`Descriptor::messages`].
pub(crate) type MessageId = usize;

/// All types of the descriptor's files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Descriptor {
    pub(crate) messages: Vec<MessageType>,
    pub(crate) enums: Vec<EnumType>,
    names: HashMap<String, TypeId>,
}

#[derive(Debug, Clone, Copy)]
enum TypeId {
    Message(usize),
    Enum(usize),
}

#[derive(Debug, Clone, Default)]
pub(crate) struct MessageType {
    /// With its package: `bank.v1.Payment`.
    pub(crate) name: String,
    pub(crate) fields: Vec<FieldType>,
    /// The type of a map's entries: field 1 is the key, field 2 the value.
    pub(crate) is_map_entry: bool,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct EnumType {
    pub(crate) values: Vec<(i32, Box<str>)>,
}

#[derive(Debug, Clone)]
pub(crate) struct FieldType {
    pub(crate) name: String,
    pub(crate) number: u32,
    pub(crate) kind: Kind,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Scalar(Scalar),
    Enum(usize),
    Message(MessageId),
    Group,
    /// A type that no file of the descriptor declares.
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scalar {
    Double,
    Float,
    Int64,
    UInt64,
    Int32,
    Fixed64,
    Fixed32,
    Bool,
    String,
    Bytes,
    UInt32,
    SFixed32,
    SFixed64,
    SInt32,
    SInt64,
}

impl Descriptor {
    /// Reads a `FileDescriptorSet`.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Wrong> {
        if bytes.len() > DESCRIPTOR_BYTES_MAX {
            let detail = format!(
                "it has {} bytes, at most {DESCRIPTOR_BYTES_MAX} are read",
                bytes.len()
            );
            return Err(Wrong::new(0, detail));
        }
        let mut reader = DescriptorReader {
            bytes,
            found: Self::default(),
            types: Vec::new(),
            open: Vec::new(),
        };
        let mut at = 0;
        while at < bytes.len() {
            if let (1, Raw::Bytes(start, end)) = field(bytes, &mut at, bytes.len())? {
                reader.file(start, end)?;
            }
        }
        if reader.found.messages.is_empty() {
            let detail = "there is no type of a message in it; is it a FileDescriptorSet?";
            return Err(Wrong::new(0, detail));
        }
        Ok(reader.finish())
    }

    pub(crate) fn message(&self, name: &str) -> Option<MessageId> {
        match self.names.get(name.trim_start_matches('.'))? {
            TypeId::Message(id) => Some(*id),
            TypeId::Enum(_) => None,
        }
    }

    /// Names of all types of messages that are not of Google's own files.
    pub(crate) fn message_names(&self) -> Vec<&str> {
        let own =
            |message: &&MessageType| !message.is_map_entry && !message.name.starts_with("google.");
        let named = self.messages.iter().filter(own);
        named.map(|message| message.name.as_str()).collect()
    }
}

impl MessageType {
    pub(crate) fn field(&self, name: &str) -> Option<&FieldType> {
        self.fields.iter().find(|field| field.name == name)
    }
}

struct DescriptorReader<'d> {
    bytes: &'d [u8],
    found: Descriptor,
    /// For each field with a type of its own: message, field, name of the type.
    types: Vec<(usize, usize, String)>,
    /// Messages whose bytes are still to be read, with the name of what they stand in.
    open: Vec<(String, usize, usize)>,
}

impl DescriptorReader<'_> {
    fn text(&self, start: usize, end: usize) -> Result<String, Wrong> {
        let bytes = self.bytes.get(start..end).unwrap_or_default();
        std::str::from_utf8(bytes)
            .map(str::to_owned)
            .map_err(|_| Wrong::new(start, "a name is not UTF-8; is it a FileDescriptorSet?"))
    }

    /// A `FileDescriptorProto`.
    fn file(&mut self, start: usize, end: usize) -> Result<(), Wrong> {
        let mut package = String::new();
        let mut enums = Vec::new();
        let mut at = start;
        let from = self.open.len();
        while at < end {
            match field(self.bytes, &mut at, end)? {
                (2, Raw::Bytes(start, end)) => package = self.text(start, end)?,
                (4, Raw::Bytes(start, end)) => self.open.push((String::new(), start, end)),
                (5, Raw::Bytes(start, end)) => enums.push((start, end)),
                _ => {}
            }
        }
        // The package may stand behind the types.
        for (scope, _, _) in self.open.iter_mut().skip(from) {
            scope.clone_from(&package);
        }
        for (start, end) in enums {
            self.enumeration(&package, start, end)?;
        }
        while let Some((scope, start, end)) = self.open.pop() {
            self.message(&scope, start, end)?;
        }
        Ok(())
    }

    /// A `DescriptorProto`. Those nested in it are read later.
    fn message(&mut self, scope: &str, start: usize, end: usize) -> Result<(), Wrong> {
        let id = self.found.messages.len();
        let mut message = MessageType::default();
        let (mut fields, mut nested, mut enums) = (Vec::new(), Vec::new(), Vec::new());
        let mut at = start;
        while at < end {
            match field(self.bytes, &mut at, end)? {
                (1, Raw::Bytes(start, end)) => message.name = self.text(start, end)?,
                (2, Raw::Bytes(start, end)) => fields.push((start, end)),
                (3, Raw::Bytes(start, end)) => nested.push((start, end)),
                (4, Raw::Bytes(start, end)) => enums.push((start, end)),
                (7, Raw::Bytes(start, end)) => message.is_map_entry = self.is_map(start, end)?,
                _ => {}
            }
        }
        message.name = joined(scope, &message.name);
        for (start, end) in fields {
            let (field, type_name) = self.field(start, end)?;
            if let Some(name) = type_name {
                self.types.push((id, message.fields.len(), name));
            }
            message.fields.push(field);
        }
        for (start, end) in enums {
            self.enumeration(&message.name, start, end)?;
        }
        for (start, end) in nested {
            self.open.push((message.name.clone(), start, end));
        }
        let names = &mut self.found.names;
        names.insert(message.name.clone(), TypeId::Message(id));
        self.found.messages.push(message);
        Ok(())
    }

    /// Whether `MessageOptions` say that the type is of a map's entries.
    fn is_map(&self, start: usize, end: usize) -> Result<bool, Wrong> {
        let mut at = start;
        let mut is_map = false;
        while at < end {
            if let (7, Raw::Varint(value)) = field(self.bytes, &mut at, end)? {
                is_map = value != 0;
            }
        }
        Ok(is_map)
    }

    /// A `FieldDescriptorProto`, and the name of its type where it is none of the built-in ones.
    fn field(&self, start: usize, end: usize) -> Result<(FieldType, Option<String>), Wrong> {
        let (mut name, mut type_name) = (String::new(), None);
        let (mut number, mut kind) = (0, Kind::Unknown);
        let mut at = start;
        while at < end {
            match field(self.bytes, &mut at, end)? {
                (1, Raw::Bytes(start, end)) => name = self.text(start, end)?,
                (3, Raw::Varint(value)) => number = value as u32,
                (5, Raw::Varint(value)) => kind = scalar(value),
                (6, Raw::Bytes(start, end)) => type_name = Some(self.text(start, end)?),
                _ => {}
            }
        }
        // A group keeps its kind: its fields are not read.
        let type_name = type_name.filter(|_| kind == Kind::Unknown);
        let field = FieldType { name, number, kind };
        Ok((field, type_name))
    }

    /// An `EnumDescriptorProto`.
    fn enumeration(&mut self, scope: &str, start: usize, end: usize) -> Result<(), Wrong> {
        let mut name = String::new();
        let mut values = Vec::new();
        let mut at = start;
        while at < end {
            match field(self.bytes, &mut at, end)? {
                (1, Raw::Bytes(start, end)) => name = self.text(start, end)?,
                (2, Raw::Bytes(start, end)) => values.push(self.enum_value(start, end)?),
                _ => {}
            }
        }
        let id = self.found.enums.len();
        let names = &mut self.found.names;
        names.insert(joined(scope, &name), TypeId::Enum(id));
        self.found.enums.push(EnumType { values });
        Ok(())
    }

    fn enum_value(&self, start: usize, end: usize) -> Result<(i32, Box<str>), Wrong> {
        let (mut name, mut number) = (String::new(), 0);
        let mut at = start;
        while at < end {
            match field(self.bytes, &mut at, end)? {
                (1, Raw::Bytes(start, end)) => name = self.text(start, end)?,
                // Negative ones have ten bytes, of which the lower four count.
                (2, Raw::Varint(value)) => number = value as i32,
                _ => {}
            }
        }
        Ok((number, name.into()))
    }

    /// Settles which type each field has.
    fn finish(mut self) -> Descriptor {
        for (message, field, name) in self.types {
            let kind = match self.found.names.get(name.trim_start_matches('.')) {
                Some(TypeId::Message(id)) => Kind::Message(*id),
                Some(TypeId::Enum(id)) => Kind::Enum(*id),
                None => Kind::Unknown,
            };
            self.found.messages[message].fields[field].kind = kind;
        }
        self.found
    }
}

fn joined(scope: &str, name: &str) -> String {
    if scope.is_empty() {
        return name.to_owned();
    }
    format!("{scope}.{name}")
}

/// `FieldDescriptorProto.Type`; messages and enums are known by their names.
fn scalar(number: u64) -> Kind {
    Kind::Scalar(match number {
        1 => Scalar::Double,
        2 => Scalar::Float,
        3 => Scalar::Int64,
        4 => Scalar::UInt64,
        5 => Scalar::Int32,
        6 => Scalar::Fixed64,
        7 => Scalar::Fixed32,
        8 => Scalar::Bool,
        9 => Scalar::String,
        10 => return Kind::Group,
        12 => Scalar::Bytes,
        13 => Scalar::UInt32,
        15 => Scalar::SFixed32,
        16 => Scalar::SFixed64,
        17 => Scalar::SInt32,
        18 => Scalar::SInt64,
        _ => return Kind::Unknown,
    })
}
