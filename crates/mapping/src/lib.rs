//! Declarative mappings: any format in, canonical JSON transactions out.
//!
//! # Where this sits
//!
//! ```text
//! source system ──HTTP──► gateway ──► mapping (you are here) ──► gateway ──► queue
//! ```
//!
//! Layer 1. No I/O, no clock, no chance: the same body, mapping and [`Context`] give the same bytes. Only the
//! limit on the time of a script looks at a clock.
//!
//! # Where to start reading
//!
//! [`Mapping::compile`] turns one TOML file of `config/sources/` into a path trie and field rules;
//! [`Mapping::decode`] runs a body through it. `format` has one decoder a format; each walks the trie
//! and tells `record::Assembler` what it met, which makes the records. The keys of a mapping file are
//! explained in `config/sources/README.md`.
//!
//! # Invariants
//!
//! - **No tree.** A body is read once, front to back; memory beside the body and the output is a few
//!   buffers. Nothing recurses, so nesting cannot exhaust the stack. The exception is a source that asks for a
//!   stylesheet (`transform`): it has a bounded tree first, and what it writes is then read like any body.
//! - **No floats.** Amounts go from the digits in the body to [`types::Amount`] to digits.
//! - **Whole or not at all.** A record is translated completely or refused with position, field and
//!   rule; a body whose structure is broken is refused as a whole.
//! - **A limit on everything**: see [`Limits`].

mod charset;
mod check;
mod compile;
mod condition;
mod control;
mod currency;
mod encode;
mod fields;
mod format;
mod identity;
mod json_schema;
mod keys;
mod limits;
mod number;
mod pattern;
mod plan;
mod record;
mod refusal;
#[cfg_attr(
    not(feature = "script"),
    allow(dead_code, reason = "only the engine reads what calls are made with")
)]
mod script;
mod steps;
mod time;
mod transform;
mod values;
pub mod workbench;
mod xsd;

use std::fmt;
use std::ops::Range;

pub use check::{iban_length, luhn_sum};
pub use compile::MappingError;
pub use identity::{IdentityKind, key_id, push_natural_part};
pub use keys::CompileOptions;
pub use limits::Limits;
pub use refusal::{Refusal, rule};
pub use time::received_at_text;
pub use xsd::is_xsd_date_time;

use charset::Charset;
use plan::{FormatPlan, Header, Plan, Rules};
use record::{Assembler, Job, Observer};
use types::Amount;

/// What a body's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// JSON objects: one, an array, or one after the other (NDJSON).
    Json,
    /// Rows of columns.
    Csv,
    /// XML documents.
    Xml,
    /// Records that a COBOL copybook describes.
    Copybook,
    /// ISO 8583 messages.
    Iso8583,
    /// SWIFT MT messages and statements.
    SwiftMt,
    /// Lines of fixed columns.
    Fixed,
    /// Open Financial Exchange, 1.x (SGML) and 2.x (XML).
    Ofx,
    /// Protobuf messages that a descriptor describes.
    Protobuf,
    /// Avro data, in container files or one by one.
    Avro,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Xml => "xml",
            Self::Copybook => "copybook",
            Self::Iso8583 => "iso8583",
            Self::SwiftMt => "swift-mt",
            Self::Fixed => "fixed",
            Self::Ofx => "ofx",
            Self::Protobuf => "protobuf",
            Self::Avro => "avro",
        })
    }
}

/// How the rows of a source look, for programs that cut files of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// Between two columns; `None` for any run of spaces and tabs, without quoting.
    pub delimiter: Option<u8>,
    /// Whether the first row names the columns; `None`: it does if all its cells are in `columns`.
    pub header: Option<bool>,
    /// Names of the columns where there is no header.
    pub columns: Vec<String>,
}

/// A compiled mapping of one source.
#[derive(Debug)]
pub struct Mapping {
    source: String,
    title: String,
    format: FormatPlan,
    plan: Plan,
    rules: Rules,
    accept_empty: bool,
    charsets: Vec<Charset>,
    /// What documents go through before they are read.
    transform: Option<transform::Transform>,
}

/// What of a request, beside its body, goes into its records.
pub struct Context<'a> {
    /// When the request arrived, microseconds since 1970.
    pub received_at: i64,
    /// The request's `Idempotency-Key`: identity of records without a natural id.
    pub idempotency_key: Option<&'a str>,
    /// Number of the first record: `Daybook-First-Record`, or 1.
    pub first_record: u64,
    /// Whether the sender declared that each line is one JSON object.
    pub lines: bool,
    /// Makes an id for a record that has no other, such as a UUIDv7.
    pub new_id: &'a mut dyn FnMut() -> String,
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("received_at", &self.received_at)
            .field("idempotency_key", &self.idempotency_key)
            .field("first_record", &self.first_record)
            .field("lines", &self.lines)
            .finish_non_exhaustive()
    }
}

/// How many records a body had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub records: u64,
    /// Those that the mapping passes over because they are no transactions: `sink` does not hear of them.
    pub passed_over: u64,
}

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordOutcome {
    /// It was written to the output.
    Translated(Translated),
    /// It breaks a rule.
    Refused(Refused),
}

/// A translated record. Ranges are of the output, except for `original`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translated {
    /// Its number: [`Context::first_record`] plus its index.
    pub record: u64,
    /// The canonical JSON object.
    pub json: Range<u32>,
    /// Its id, not escaped. UTF-8.
    pub id: Range<u32>,
    /// Its account, not escaped. UTF-8.
    pub account: Range<u32>,
    /// Its amount, with its sign.
    pub amount: Amount,
    /// Where it stood in the body.
    pub original: Range<u32>,
    /// What the id was made from.
    pub identity: IdentityKind,
}

/// A refused record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// Where it stood in the body.
    pub original: Range<u32>,
}

impl Mapping {
    /// Compiles a mapping file. `file` is its path, for messages; its stem must be the source's name.
    ///
    /// # Errors
    ///
    /// Every mistake of the file, in the order of the file; never empty.
    pub fn compile(file: &str, text: &str) -> Result<Self, Vec<MappingError>> {
        Self::compile_with(file, text, &CompileOptions::default())
    }

    /// Like [`Mapping::compile`], with the keys that the mapping may name.
    ///
    /// # Errors
    ///
    /// As [`Mapping::compile`]; also a key that is named and not given, or too short.
    pub fn compile_with(
        file: &str,
        text: &str,
        options: &CompileOptions,
    ) -> Result<Self, Vec<MappingError>> {
        compile::compile(file, text, options)
    }

    /// Name of the source.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What the source is, in a few words for people; may be empty.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// What its bodies are.
    pub fn format(&self) -> Format {
        if self.transform.is_some() {
            // What a stylesheet makes of it is read by another format, perhaps.
            return Format::Xml;
        }
        match self.format {
            FormatPlan::Json(_) => Format::Json,
            FormatPlan::Csv(_) => Format::Csv,
            FormatPlan::Xml(_) => Format::Xml,
            FormatPlan::Copybook(_) => Format::Copybook,
            FormatPlan::Iso8583(_) => Format::Iso8583,
            FormatPlan::SwiftMt(_) => Format::SwiftMt,
            FormatPlan::Fixed(_) => Format::Fixed,
            FormatPlan::Ofx(_) => Format::Ofx,
            FormatPlan::Protobuf(_) => Format::Protobuf,
            FormatPlan::Avro(_) => Format::Avro,
        }
    }

    /// Whether translating even a small body may take long, as a script may run: work for a thread that may wait.
    pub fn is_slow(&self) -> bool {
        self.rules.script.is_some() || self.transform.is_some()
    }

    /// Whether a body can be cut into requests between records (rows, NDJSON lines).
    ///
    /// [`Mapping::compile`] refuses record numbers as ids here, as a cut would change them.
    pub fn is_divisible(&self) -> bool {
        if self.transform.is_some() {
            return false;
        }
        match self.format {
            FormatPlan::Json(_) => self.plan.record == plan::ROOT,
            FormatPlan::Csv(_) => true,
            FormatPlan::Xml(_)
            | FormatPlan::SwiftMt(_)
            | FormatPlan::Fixed(_)
            | FormatPlan::Ofx(_)
            | FormatPlan::Copybook(_)
            | FormatPlan::Iso8583(_)
            | FormatPlan::Protobuf(_)
            | FormatPlan::Avro(_) => false,
        }
    }

    /// How rows are told apart, if the format has rows.
    pub fn rows(&self) -> Option<Rows> {
        if self.transform.is_some() {
            return None;
        }
        let FormatPlan::Csv(plan) = &self.format else {
            return None;
        };
        Some(Rows {
            delimiter: plan.delimiter,
            header: match plan.header {
                Header::Required => Some(true),
                Header::Absent => Some(false),
                Header::Optional => None,
            },
            columns: plan.columns.iter().map(ToString::to_string).collect(),
        })
    }

    /// Shows a body whose bytes people cannot read: each record as a JSON object with all its fields,
    /// whether mapped or not, in the order of the format's description. `None` where the body is text, and for
    /// protobuf and Avro.
    ///
    /// Numbers have the exact digits of the record: read them as decimals. How fields are written is
    /// told in the format's module.
    ///
    /// # Errors
    ///
    /// [`Refusal`] of the whole body where it cannot be cut into records or one of them not be read.
    /// `sink` has seen the records before it.
    pub fn show(
        &self,
        body: &[u8],
        limits: &Limits,
        sink: &mut dyn FnMut(&str),
    ) -> Option<Result<u64, Refusal>> {
        match &self.format {
            FormatPlan::Copybook(plan) => Some(format::copybook::show(plan, body, limits, sink)),
            FormatPlan::Iso8583(plan) => Some(format::iso8583::show(plan, body, limits, sink)),
            _ => None,
        }
    }

    /// Builds the reply to an ISO 8583 request; `None` for a source of another format.
    ///
    /// `request` is one message with its header (TPDU) but without the length of its framing, and so is
    /// the reply. Its MTI is the request's plus 10 (a repeat is answered like the first one: 0401 by
    /// 0410), its elements are those of `set`, such as `(39, "00")`, and those that the mapping's `echo`
    /// names and the request has, byte for byte. A pure function; it costs about as much as decoding.
    ///
    /// # Errors
    ///
    /// [`Refusal`] where the request cannot be read, is itself an answer, or a text of `set` does not fit
    /// its element.
    pub fn iso8583_reply(
        &self,
        request: &[u8],
        set: &[(u8, &str)],
    ) -> Option<Result<Vec<u8>, Refusal>> {
        match &self.format {
            FormatPlan::Iso8583(plan) => Some(format::iso8583::reply(plan, request, set)),
            _ => None,
        }
    }

    /// Whether the mapping declares where a natural id is found.
    pub fn has_natural_id(&self) -> bool {
        !self.rules.identity.natural.is_empty()
    }

    /// Translates a body: appends canonical JSON to `out` and tells `sink` each record's outcome, in
    /// the order of the body. Answers the number of records.
    ///
    /// - **Cost:** one pass; about 1 µs a record of 0.5 kB.
    /// - **Atomicity:** after an error `out` and `sink` have seen the records before it; the caller
    ///   discards them, for a document is accepted or refused as a whole.
    ///
    /// # Errors
    ///
    /// [`Refusal`] of the whole document: not well-formed, over a limit, without any record.
    pub fn decode(
        &self,
        body: &[u8],
        context: &mut Context<'_>,
        limits: &Limits,
        out: &mut Vec<u8>,
        sink: &mut dyn FnMut(RecordOutcome),
    ) -> Result<u64, Refusal> {
        self.decode_counted(body, context, limits, out, sink)
            .map(|counts| counts.records)
    }

    /// Like [`Mapping::decode`]; also answers how many records were passed over: `[[skip]]`, `skip` of
    /// ISO 8583, and scripts that give null. A body of which every record is passed over is accepted; one without any record is not.
    ///
    /// # Errors
    ///
    /// As [`Mapping::decode`].
    pub fn decode_counted(
        &self,
        body: &[u8],
        context: &mut Context<'_>,
        limits: &Limits,
        out: &mut Vec<u8>,
        sink: &mut dyn FnMut(RecordOutcome),
    ) -> Result<Counts, Refusal> {
        self.run(body, context, limits, (out, sink), None)
    }

    /// What the stylesheet of `[transform]` makes of a body; `None` for a source without one.
    ///
    /// # Errors
    ///
    /// [`Refusal`] of the document: not well-formed, over a limit, or the stylesheet itself refuses it.
    pub fn transformed(&self, body: &[u8], limits: &Limits) -> Option<Result<Vec<u8>, Refusal>> {
        let transform = self.transform.as_ref()?;
        Some(transform.apply(body, limits))
    }

    /// `observer` sees each record with its values.
    fn run(
        &self,
        body: &[u8],
        context: &mut Context<'_>,
        limits: &Limits,
        (out, sink): (&mut Vec<u8>, &mut dyn FnMut(RecordOutcome)),
        observer: Option<&mut Observer<'_>>,
    ) -> Result<Counts, Refusal> {
        let Some(transform) = &self.transform else {
            return self.run_document(body, context, limits, (out, sink), observer);
        };
        let document = transform.apply(body, limits)?;
        // Positions are now of what the stylesheet wrote, and the original of a record is the whole body.
        let whole = 0..body.len() as u32;
        let mut outside = |outcome| sink(transform::outside(outcome, &whole));
        let mut new_id = || (context.new_id)();
        let mut inner = Context {
            received_at: context.received_at,
            idempotency_key: context.idempotency_key,
            first_record: context.first_record,
            lines: false,
            new_id: &mut new_id,
        };
        let limits = Limits {
            body_bytes_max: transform.result_bytes_max(),
            ..*limits
        };
        let result = self.run_document(
            &document,
            &mut inner,
            &limits,
            (out, &mut outside),
            observer,
        );
        result.map_err(transform::inside)
    }

    /// Reads a document that no stylesheet is before, or no more.
    fn run_document(
        &self,
        body: &[u8],
        context: &mut Context<'_>,
        limits: &Limits,
        (out, sink): (&mut Vec<u8>, &mut dyn FnMut(RecordOutcome)),
        observer: Option<&mut Observer<'_>>,
    ) -> Result<Counts, Refusal> {
        let is_binary = self.format.is_binary();
        // Bytes have no lines: everything stands on the first.
        let lines: &[u8] = if is_binary { &[] } else { body };
        if body.len() > limits.body_bytes_max.min(limits::POSITION_MAX)
            || out.len() + limits.output_bytes_max > limits::POSITION_MAX
        {
            let detail = format!(
                "the body has {} bytes, at most {} are allowed",
                body.len(),
                limits.body_bytes_max
            );
            return Err(document_refusal(lines, 0, rule::BODY_BYTES, detail));
        }
        // XML says it itself.
        let of_xml;
        let charsets: &[Charset] = if matches!(self.format, FormatPlan::Xml(_)) {
            of_xml = [charset::of_xml(body)];
            &of_xml
        } else {
            &self.charsets
        };
        let decoded = charset::decode(lines, charsets).map_err(|at| {
            let name = match charsets {
                [only] if only.is_wide() => "UTF-16",
                _ => "UTF-8",
            };
            document_refusal(
                lines,
                at,
                rule::UTF_8,
                format!("byte {at} of the body is not {name}"),
            )
        })?;
        if decoded.text.len() > limits::POSITION_MAX {
            let detail = "the body is too long once it is UTF-8";
            return Err(document_refusal(
                body,
                0,
                rule::BODY_BYTES,
                detail.to_owned(),
            ));
        }
        let mut new_id = || (context.new_id)();
        let mut inner = Context {
            received_at: context.received_at,
            idempotency_key: context.idempotency_key,
            first_record: context.first_record,
            lines: context.lines,
            new_id: &mut new_id,
        };
        let mut records = Assembler::new(Job {
            plan: &self.plan,
            rules: &self.rules,
            source: &self.source,
            limits,
            body: &decoded.text,
            positions: decoded.positions,
            context: &mut inner,
            out,
            sink,
            // Written out, so that it may live shorter from here on.
            observer: match observer {
                Some(observer) => Some(observer),
                None => None,
            },
        });
        match &self.format {
            FormatPlan::Json(schema) => {
                format::json::decode(&mut records, schema.as_deref(), context.lines)?;
            }
            FormatPlan::Csv(plan) => format::csv::decode(&mut records, plan)?,
            FormatPlan::Xml(plan) => format::xml::decode(&mut records, plan)?,
            FormatPlan::SwiftMt(plan) => format::swift_mt::decode(&mut records, plan)?,
            FormatPlan::Fixed(plan) => format::fixed::decode(&mut records, plan)?,
            FormatPlan::Ofx(plan) => format::ofx::decode(&mut records, plan)?,
            FormatPlan::Copybook(plan) => format::copybook::decode(&mut records, plan, body)?,
            FormatPlan::Iso8583(plan) => format::iso8583::decode(&mut records, plan, body)?,
            FormatPlan::Protobuf(plan) => format::protobuf::decode(&mut records, plan, body)?,
            FormatPlan::Avro(plan) => format::avro::decode(&mut records, plan, body)?,
        }
        records.end_document()?;
        let counts = records.counts();
        if counts.records == 0 && !self.accept_empty {
            let detail = "there is no record in the document";
            return Err(document_refusal(
                lines,
                body.len(),
                rule::NO_RECORDS,
                detail.to_owned(),
            ));
        }
        Ok(counts)
    }
}

/// `text` is the body, or nothing where it has no lines.
fn document_refusal(text: &[u8], offset: usize, rule: &'static str, detail: String) -> Refusal {
    let before = &text[..offset.min(text.len())];
    Refusal {
        record: None,
        line: memchr::memchr_iter(b'\n', before).count() as u64 + 1,
        offset: offset as u64,
        field: None,
        rule,
        detail,
    }
}
