//! Why a record or a document is refused: a position, a field, a rule and a sentence.

use std::fmt;

/// Names of the rules, as they appear in answers, in the quarantine and in metrics.
///
/// A rule's name is part of the interface: it is never reused for another meaning.
pub mod rule {
    macro_rules! rules {
        ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
            $($(#[$doc])* pub const $name: &str = $text;)*
            /// Every rule of the mapping.
            pub const ALL: &[&str] = &[$($text),*];
        };
    }
    rules! {
        /// The body has more bytes than allowed.
        BODY_BYTES = "body-bytes";
        /// The body is not UTF-8.
        UTF_8 = "utf-8";
        /// The XML declares an encoding that is not read.
        ENCODING = "encoding";
        /// The body is not well-formed JSON.
        JSON = "json";
        /// The body is not well-formed XML.
        XML = "xml";
        /// The body is not well-formed CSV.
        CSV = "csv";
        /// The body is no SWIFT MT message, or a field does not follow its grammar.
        SWIFT_MT = "swift-mt";
        /// A message of another type than the source lists.
        MESSAGE_TYPE = "message-type";
        /// A line of fixed columns that the mapping does not know, or in the wrong place.
        FIXED = "fixed";
        /// A line of fixed columns is too short or too long.
        LINE_LENGTH = "line-length";
        /// A total at the end of a document differs from what stands in it, or is missing.
        CONTROL_TOTAL = "control-total";
        /// The document holds what this source says it cannot read.
        UNSUPPORTED = "unsupported";
        /// The body is not well-formed OFX.
        OFX = "ofx";
        /// A DOCTYPE: document type definitions are never read.
        DOCTYPE = "doctype";
        /// A reference to an entity other than the five predefined ones.
        ENTITY = "entity";
        /// The stylesheet of `[transform]` refuses the document, or takes more for it than it may.
        TRANSFORM = "transform";
        /// The document breaks a rule of its schema.
        SCHEMA = "schema";
        /// The document belongs to a namespace the source does not list.
        NAMESPACE = "namespace";
        /// Nested deeper than allowed.
        DEPTH = "depth";
        /// Too many attributes on an element.
        ATTRIBUTES = "attributes";
        /// Too many keys in an object.
        KEYS = "keys";
        /// A name is too long.
        NAME_BYTES = "name-bytes";
        /// A row has another number of columns than it should, or a column is missing.
        COLUMNS = "columns";
        /// More records than one request may have.
        RECORDS = "records";
        /// No record in the document.
        NO_RECORDS = "no-records";
        /// A value that records inherit stands behind the first of these records.
        LATE_FIELD = "late-field";
        /// A key stands twice in one object.
        DUPLICATE_KEY = "duplicate-key";
        /// A mapped value stands more than once in one record.
        REPEATED = "repeated";
        /// An object or array where a text or a number belongs.
        TYPE = "type";
        /// A required value is missing or empty.
        MISSING = "missing";
        /// A mapped value is too long.
        FIELD_BYTES = "field-bytes";
        /// An id or account is too long.
        ID_BYTES = "id-bytes";
        /// The translated record is too long.
        RECORD_BYTES = "record-bytes";
        /// All translated records together are too long.
        OUTPUT_BYTES = "output-bytes";
        /// A control character in an id, account, currency or reference.
        CONTROL_CHARACTER = "control-character";
        /// Not an exact decimal number that fits.
        AMOUNT = "amount";
        /// Neither a credit nor a debit indicator.
        SIGN = "sign";
        /// Not an ISO 4217 code.
        CURRENCY = "currency";
        /// More decimal digits than the currency has.
        CURRENCY_DIGITS = "currency-digits";
        /// Not a date or time in the form the mapping names.
        TIME = "time";
        /// Booked further ahead of its arrival than allowed.
        FUTURE = "future";
        /// Booked before 1970-01-01.
        BEFORE_1970 = "before-1970";
        /// Records or messages cannot be told apart: a length or descriptor word is wrong.
        FRAMING = "framing";
        /// A field's bytes are not what the copybook says.
        COPYBOOK = "copybook";
        /// A message is not what the protobuf descriptor says.
        PROTOBUF = "protobuf";
        /// Data is not what the Avro schema says.
        AVRO = "avro";
        /// A message is not what the ISO 8583 specification says.
        ISO8583 = "iso8583";
        /// A record of no known segment.
        SEGMENT = "segment";
        /// None of the transactions that the mapping makes of a record is made of this one.
        NO_TRANSACTION = "no-transaction";
        /// A value that the lookup table does not know.
        LOOKUP = "lookup";
        /// Not an IBAN, ISO 13616.
        IBAN = "iban";
        /// Not a BIC, ISO 9362.
        BIC = "bic";
        /// Not a Croatian OIB.
        OIB = "oib";
        /// Not a card's number: the Luhn formula.
        LUHN = "luhn";
        /// Not a LEI, ISO 17442.
        LEI = "lei";
        /// The pattern that the mapping asks for does not fit.
        PATTERN = "pattern";
        /// None of the texts that the mapping allows.
        CHOICE = "choice";
        /// Not as many digits as the mapping asks for, or other characters.
        DIGITS = "digits";
        /// Too short or too long for the mapping.
        LENGTH = "length";
        /// The mapping's script throws, or gives what is no transaction.
        SCRIPT = "script";
        /// The script runs for too long.
        SCRIPT_TIME = "script-time";
        /// The script needs too much memory or stack.
        SCRIPT_MEMORY = "script-memory";
    }
}

/// A refusal of one record, or of the whole document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Number of the record (the first one's is [`crate::Context::first_record`]); `None` when the
    /// document is refused at a place outside of any record.
    pub record: Option<u64>,
    /// Line in the body, from 1.
    pub line: u64,
    /// Byte in the body, from 0.
    pub offset: u64,
    /// Field of the transaction, or path in the document, that broke the rule.
    pub field: Option<Box<str>>,
    /// Name of the rule, one of [`rule::ALL`].
    pub rule: &'static str,
    /// What is wrong and what would be right, in one sentence.
    pub detail: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(record) = self.record {
            write!(f, "record {record}, ")?;
        }
        write!(f, "line {}", self.line)?;
        if let Some(field) = &self.field {
            write!(f, ", field {field}")?;
        }
        write!(f, ": {} ({})", self.detail, self.rule)
    }
}

impl std::error::Error for Refusal {}

/// A broken rule before it is known where the record stands.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) field: Option<Box<str>>,
    pub(crate) rule: &'static str,
    pub(crate) detail: String,
}

impl Problem {
    pub(crate) fn new(field: &str, rule: &'static str, detail: impl Into<String>) -> Self {
        Self {
            field: Some(field.into()),
            rule,
            detail: detail.into(),
        }
    }
}

/// The beginning of a text for an error message: short, on one line, without control characters.
pub(crate) fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 40;
    let mut short: String = text
        .chars()
        .take(CHARS_MAX)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        short.push('…');
    }
    format!("\"{short}\"")
}
