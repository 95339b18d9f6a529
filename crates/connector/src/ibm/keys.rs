//! The keys of a connector's configuration: what each is, and what Daybook does with it.
//!
//! One table serves the REST API's validation, the typed configuration and `docs/specs/connect.md`
//! (a test compares them). Names, types, defaults and groups are those of IBM's connector 3.0.0 and
//! Kafka Connect 4.3; the words are ours.

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// `true` or `false`.
    Boolean,
    /// 32 bits.
    Int,
    /// 64 bits.
    Long,
    /// Text.
    String,
    /// Texts with commas between.
    List,
    /// Text that is never shown.
    Password,
    /// Name of a Java class.
    Class,
}

impl KeyType {
    /// As Kafka's `ConfigDef.Type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "BOOLEAN",
            Self::Int => "INT",
            Self::Long => "LONG",
            Self::String => "STRING",
            Self::List => "LIST",
            Self::Password => "PASSWORD",
            Self::Class => "CLASS",
        }
    }
}

/// As Kafka's `ConfigDef.Importance`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Importance {
    /// Think of it first.
    High,
    /// Worth a thought.
    Medium,
    /// The default does.
    Low,
}

impl Importance {
    /// As in Kafka's answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::High => "HIGH",
            Self::Medium => "MEDIUM",
            Self::Low => "LOW",
        }
    }
}

/// What values a key takes, beyond its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// All of the type.
    Any,
    /// Text with a character in it, and no control characters.
    NonEmpty,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// As [`Check::OneOf`], in any case.
    OneOfAnyCase(&'static [&'static str]),
    /// A number from here on.
    AtLeast(i64),
    /// A number from the first to the second.
    Between(i64, i64),
}

/// What Daybook does with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// What the documentation of the key says.
    Honoured,
    /// Taken, and nothing follows from it: why.
    None(&'static str),
    /// Every value but an empty one and these is refused: why, and what to do.
    Refused {
        /// Values that ask for nothing.
        but: &'static [&'static str],
        /// Why, and what to do.
        why: &'static str,
    },
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// As in the file.
    pub name: &'static str,
    /// For people.
    pub display: &'static str,
    /// How its value is written.
    pub kind: KeyType,
    /// Used when it is absent; `None` with `required` = it must be there.
    pub default: Option<&'static str>,
    /// Whether it must be there.
    pub required: bool,
    /// How much it matters.
    pub importance: Importance,
    /// Where user interfaces show it; `None` for Kafka Connect's of that kind.
    pub group: Option<&'static str>,
    /// Values.
    pub check: Check,
    /// What Daybook does with it.
    pub effect: Effect,
    /// What it is.
    pub doc: &'static str,
}

/// `connector.class` of IBM's connector.
pub const CONNECTOR_CLASS: &str = "com.ibm.eventstreams.connect.mqsource.MQSourceConnector";
/// Other names that Kafka Connect takes for it.
pub const CONNECTOR_ALIASES: [&str; 2] = ["MQSourceConnector", "MQSource"];
/// The version whose keys these are.
pub const CONNECTOR_VERSION: &str = "3.0.0";

/// The key of this name.
pub fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Keys that begin with this are many; what each does is said here.
#[derive(Debug, Clone, Copy)]
pub struct Prefix {
    /// Of the keys.
    pub prefix: &'static str,
    /// What they are and what Daybook does with them.
    pub doc: &'static str,
}

/// Families of keys.
pub const PREFIXES: &[Prefix] = &[
    Prefix {
        prefix: "producer.override.",
        doc: "Settings of the Kafka producer, under the name that librdkafka and Java's client share. Those that exactly \
              once rests on (acks, enable.idempotence, transactional.id, max.in.flight.requests.per.connection, \
              key.serializer, value.serializer, bootstrap.servers) are refused with any other value than Daybook's.",
    },
    Prefix {
        prefix: "admin.override.",
        doc: "Taken without effect: topics are made with the cluster's own settings.",
    },
    Prefix {
        prefix: "consumer.override.",
        doc: "Taken without effect: a source has no consumer.",
    },
    Prefix {
        prefix: "topic.creation.",
        doc: "topic.creation.default.partitions and topic.creation.default.replication.factor are honoured, other \
              topic.creation.default.* are settings of the topic. Groups are refused: give the topic before the start.",
    },
    Prefix {
        prefix: "key.converter.",
        doc: "Settings of the converter; schemas.enable is honoured, others are refused where they would change a byte.",
    },
    Prefix {
        prefix: "value.converter.",
        doc: "As key.converter.*.",
    },
    Prefix {
        prefix: "header.converter.",
        doc: "As key.converter.*.",
    },
];

pub use super::table::KEYS;
