//! The compiled form of a mapping: a path trie that decoders walk, and the rules of the fields.
//!
//! Decoders know paths, never fields; the record assembler knows slots, never formats.

use crate::check::Check;
use crate::condition::Condition;
use crate::control::ControlPlan;
use crate::format::avro::AvroPlan;
use crate::format::copybook::CopybookPlan;
use crate::format::fixed::FixedPlan;
use crate::format::iso8583::Iso8583Plan;
use crate::format::ofx::OfxPlan;
use crate::format::protobuf::ProtobufPlan;
use crate::format::swift_mt::MtPlan;
use crate::json_schema::JsonSchema;
use crate::script::ScriptPlan;
use crate::steps::Step;
use crate::time::TimeRule;
use crate::xsd::{Namespace, Schemas};

/// A node of the path trie.
pub(crate) type NodeId = u16;
/// A place for one value of the current record, or of an element around it.
pub(crate) type SlotId = u16;

/// The trie's root: the document itself.
pub(crate) const ROOT: NodeId = 0;

/// One step of the paths that the mapping reads.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// Name in the document (an attribute's begins with `@`) and the node it leads to. Few, so a
    /// linear search beats hashing.
    pub(crate) children: Vec<(Box<str>, NodeId)>,
    /// Where this node's own text goes.
    pub(crate) slot: Option<SlotId>,
    /// Level of the scope this node opens, if it encloses the records.
    pub(crate) scope: Option<u8>,
    /// Whether some child is an attribute.
    pub(crate) has_attributes: bool,
}

/// Where a slot's text comes from.
#[derive(Debug)]
pub(crate) struct SlotPlan {
    /// As written in the mapping.
    pub(crate) path: Box<str>,
    /// `Some(level)`: the value belongs to the enclosing element of that level and is inherited.
    pub(crate) scope: Option<u8>,
    /// Only a control total: it may stand behind the records too.
    pub(crate) is_total: bool,
}

/// The path trie with what is known about its nodes.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) nodes: Vec<Node>,
    pub(crate) record: NodeId,
    pub(crate) slots: Vec<SlotPlan>,
    /// Number of enclosing levels: the root and each step of the record path but the last.
    pub(crate) scopes: u8,
}

impl Plan {
    /// The child of a node by its name in the document.
    #[inline]
    pub(crate) fn child(&self, node: NodeId, name: &str) -> Option<NodeId> {
        self.nodes[usize::from(node)]
            .children
            .iter()
            .find(|(known, _)| same_name(known, name))
            .map(|(_, child)| *child)
    }

    /// The child of a node that stands for one of its attributes.
    pub(crate) fn attribute(&self, node: NodeId, name: &str) -> Option<NodeId> {
        self.nodes[usize::from(node)]
            .children
            .iter()
            .find(|(known, _)| known.strip_prefix('@') == Some(name))
            .map(|(_, child)| *child)
    }
}

/// Whether two names are equal. They are short and mostly differ: a loop beats a call to `memcmp`.
#[inline]
pub(crate) fn same_name(known: &str, name: &str) -> bool {
    let (known, name) = (known.as_bytes(), name.as_bytes());
    known.len() == name.len() && known.iter().zip(name).all(|(left, right)| left == right)
}

/// Where a field's text comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// The first of these slots that holds a text.
    FirstOf(Vec<SlotId>),
    /// Always the same.
    Const(Box<str>),
    /// Texts and slots one after the other; absent as soon as one of the slots is.
    Template(Vec<Piece>),
}

/// Part of a template.
#[derive(Debug)]
pub(crate) enum Piece {
    Text(Box<str>),
    Slot(SlotId),
}

/// Where a field's text comes from in records of which a condition holds.
#[derive(Debug)]
pub(crate) struct Case {
    /// `None`: in all that are left.
    pub(crate) when: Option<Condition>,
    pub(crate) source: Source,
    pub(crate) steps: Vec<Step>,
}

/// How one field's text is made.
#[derive(Debug)]
pub(crate) struct TextRule {
    pub(crate) name: Box<str>,
    /// The first whose condition holds counts, before `source`.
    pub(crate) cases: Vec<Case>,
    /// `None` only where there are cases.
    pub(crate) source: Option<Source>,
    /// Applied behind those of the case.
    pub(crate) steps: Vec<Step>,
    /// What the text must be behind the steps.
    pub(crate) checks: Vec<Check>,
    pub(crate) default: Option<Box<str>>,
    pub(crate) when: Option<Condition>,
    pub(crate) optional: bool,
    /// Of several values under the same path the first counts; otherwise they are refused.
    pub(crate) repeated_first: bool,
}

impl TextRule {
    /// A field that may be absent, as it stands in the source.
    pub(crate) fn optional(name: &str, source: Option<Source>) -> Self {
        Self {
            name: name.into(),
            cases: Vec::new(),
            source,
            steps: Vec::new(),
            checks: Vec::new(),
            default: None,
            when: None,
            optional: true,
            repeated_first: false,
        }
    }
}

/// Where an amount's sign comes from.
#[derive(Debug)]
pub(crate) enum SignRule {
    /// The amount's own sign.
    Own,
    /// Always this one; the amount itself has none.
    Fixed { negative: bool },
    /// From an indicator; the amount itself has none. In `credit` and `debit` a `*` stands for any
    /// characters.
    Indicator {
        source: Source,
        credit: Vec<Box<str>>,
        debit: Vec<Box<str>>,
    },
}

/// Where the decimal point of an amount without one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ImpliedDecimals {
    /// Before this many digits.
    Digits(u32),
    /// Before as many digits as the currency has.
    OfCurrency,
}

/// How the amount is made.
#[derive(Debug)]
pub(crate) struct AmountRule {
    pub(crate) text: TextRule,
    pub(crate) decimal_comma: bool,
    /// The amount has no decimal point of its own.
    pub(crate) implied: Option<ImpliedDecimals>,
    pub(crate) sign: SignRule,
    /// Refuse more decimal digits than the currency has.
    pub(crate) currency_digits: bool,
}

/// What an additional field holds. All are written as JSON strings.
#[derive(Debug)]
pub(crate) enum ExtraKind {
    Text,
    Time(TimeRule),
    Decimal { decimal_comma: bool },
}

/// A field beyond the canonical ones.
#[derive(Debug)]
pub(crate) struct ExtraRule {
    pub(crate) text: TextRule,
    pub(crate) kind: ExtraKind,
    /// `,"name":"` ready to be written.
    pub(crate) prefix: Box<str>,
}

/// One part of a natural id.
#[derive(Debug)]
pub(crate) enum IdPart {
    /// The first of these slots that holds a text.
    FirstOf(Vec<SlotId>),
    /// The record's number in the document, from 1.
    Number,
    /// The record's number in its parent element, from 1.
    NumberInParent,
}

/// How a natural id is made.
#[derive(Debug)]
pub(crate) struct IdentityRule {
    /// Empty: the source has no natural id.
    pub(crate) natural: Vec<IdPart>,
    /// Texts that stand for "no id", such as `NOTPROVIDED`.
    pub(crate) never: Vec<Box<str>>,
    /// Refuse records without natural id instead of deriving one.
    pub(crate) required: bool,
}

/// What becomes of a record.
#[derive(Debug)]
pub(crate) struct Rules {
    /// Records of which one holds are no transactions.
    pub(crate) skips: Vec<Condition>,
    pub(crate) identity: IdentityRule,
    /// What is done to the fields' texts before they are checked.
    pub(crate) script: Option<ScriptPlan>,
    /// What each record becomes, at least one.
    pub(crate) transactions: Vec<TransactionRule>,
    /// Which of them has the amount that `controls` add up.
    pub(crate) controlled: usize,
    /// What documents say of their records.
    pub(crate) controls: Vec<ControlPlan>,
}

/// One of the transactions that a record becomes.
#[derive(Debug)]
pub(crate) struct TransactionRule {
    /// Behind the record's id, after a `/`.
    pub(crate) suffix: Option<Box<str>>,
    /// It is made only of records of which this holds.
    pub(crate) when: Option<Condition>,
    pub(crate) fields: Fields,
}

/// The rules of all fields.
#[derive(Debug)]
pub(crate) struct Fields {
    pub(crate) account: TextRule,
    pub(crate) amount: AmountRule,
    pub(crate) currency: TextRule,
    pub(crate) booked_at: TextRule,
    pub(crate) booked_time: TimeRule,
    pub(crate) reverses: Option<TextRule>,
    pub(crate) extras: Vec<ExtraRule>,
    pub(crate) future_max_micros: i64,
}

impl Fields {
    /// How each field's text is made.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &TextRule> {
        [
            &self.account,
            &self.amount.text,
            &self.currency,
            &self.booked_at,
        ]
        .into_iter()
        .chain(&self.reverses)
        .chain(self.extras.iter().map(|extra| &extra.text))
    }
}

/// Namespaces a source accepts; `*` in a pattern stands for any characters.
#[derive(Debug)]
pub(crate) struct Namespaces(pub(crate) Vec<Box<str>>);

/// How XML documents are read.
#[derive(Debug)]
pub(crate) struct XmlPlan {
    pub(crate) namespaces: Namespaces,
    /// The document may stand inside of a known envelope.
    pub(crate) envelope: bool,
    /// What documents are held against.
    pub(crate) schemas: Option<Schemas>,
}

impl XmlPlan {
    /// What a namespace is to the schemas.
    pub(crate) fn namespace(&self, uri: &str) -> Namespace {
        let schemas = self.schemas.as_ref();
        schemas.map_or(Namespace::Other, |schemas| schemas.namespace(uri))
    }
}

impl Namespaces {
    /// Whether a namespace URI is accepted. An empty list accepts every one.
    pub(crate) fn accept(&self, uri: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|pattern| types::glob(pattern, uri))
    }
}

/// Whether the first row of a CSV body names the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// The first row is the header.
    Required,
    /// No row is a header; columns have the names given in the mapping.
    Absent,
    /// The first row is a header if all its cells are known column names.
    Optional,
}

/// How rows are cut into columns.
#[derive(Debug)]
pub(crate) struct CsvPlan {
    /// `None`: any run of spaces and tabs.
    pub(crate) delimiter: Option<u8>,
    pub(crate) header: Header,
    /// Names of the columns when there is no header.
    pub(crate) columns: Vec<Box<str>>,
    /// For each slot: the column's name and whether a record can do without it.
    pub(crate) mapped: Vec<(Box<str>, bool)>,
}

/// What a body looks like.
#[derive(Debug)]
pub(crate) enum FormatPlan {
    /// With what each record is held against, where the source names a schema.
    Json(Option<Box<JsonSchema>>),
    Csv(CsvPlan),
    Xml(XmlPlan),
    SwiftMt(MtPlan),
    Fixed(FixedPlan),
    Ofx(OfxPlan),
    Copybook(Box<CopybookPlan>),
    Iso8583(Box<Iso8583Plan>),
    Protobuf(Box<ProtobufPlan>),
    Avro(Box<AvroPlan>),
}

impl FormatPlan {
    /// Whether bodies are bytes and not text.
    pub(crate) fn is_binary(&self) -> bool {
        matches!(
            self,
            Self::Copybook(_) | Self::Iso8583(_) | Self::Protobuf(_) | Self::Avro(_)
        )
    }
}
