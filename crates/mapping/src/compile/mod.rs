//! From a mapping's TOML to its compiled form, with every mistake found in one run.
//!
//! The TOML is walked by hand rather than deserialised, because a deserialiser stops at the first
//! mistake and forgets where in the file a value stood. What each key means is documented for people
//! in `config/sources/README.md`.

mod avro;
mod check;
mod condition;
mod control;
mod copybook;
mod field;
mod fixed;
mod iso8583;
mod pattern;
mod protobuf;
mod script;
mod swift_mt;
mod table;
mod text;
mod transaction;
#[cfg(feature = "xslt")]
mod transform;
mod trie;
mod validate;

use std::fmt;
use std::ops::Range;

use toml::de::DeTable;

use crate::plan::{
    CsvPlan, Fields, FormatPlan, Header, IdPart, IdentityRule, Namespaces, Rules, XmlPlan,
};
use crate::{CompileOptions, Mapping};
use table::{Section, distance, nearest};
use trie::TrieBuilder;

/// A mistake in a mapping file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingError {
    /// File as given to [`Mapping::compile`].
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Key the mistake is about, with its sections: `fields.amount.sign`. May be empty.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for MappingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for MappingError {}

/// What a body looks like, as far as paths are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FormatKind {
    Json,
    Csv,
    Xml,
    Copybook,
    Iso8583,
    SwiftMt,
    Fixed,
    Ofx,
    Protobuf,
    Avro,
}

/// Collects the plan and the mistakes.
pub(crate) struct Compiler<'t> {
    file: &'t str,
    text: &'t str,
    options: &'t CompileOptions,
    /// Whether the fields being compiled are of a transaction that is not made of every record.
    is_conditional: bool,
    pub(crate) errors: Vec<MappingError>,
    pub(crate) format: FormatKind,
    pub(crate) trie: TrieBuilder,
    /// Names of a CSV's columns, if the mapping gives them.
    pub(crate) columns: Vec<Box<str>>,
    /// What paths of a copybook are looked up in.
    copybook: Option<copybook::Names>,
    /// What paths of messages are looked up in.
    iso8583: Option<crate::format::iso8583::Spec>,
    /// What paths of protobuf messages are looked up in.
    protobuf: Option<protobuf::Types>,
    /// What paths of Avro data are looked up in.
    avro: Option<avro::Types>,
    /// Lines of fixed columns, if the mapping declares them.
    lines: Vec<fixed::LineKind>,
}

const TOP_KEYS: &[&str] = &[
    "source",
    "title",
    "format",
    "encoding",
    "records",
    "empty",
    "future_max",
    "amount_digits",
    "pass",
    "skip",
    "control",
    "script",
    "transaction",
    "transform",
    "csv",
    "xml",
    "copybook",
    "iso8583",
    "swift-mt",
    "fixed",
    "ofx",
    "protobuf",
    "avro",
    "validate",
    "identity",
    "fields",
];
const CANONICAL: &[&str] = &["account", "amount", "currency", "booked_at", "reverses"];
/// Fields that Daybook fills in itself.
const RESERVED: &[&str] = &["id", "source", "received_at", "business_day"];

/// See [`Mapping::compile`].
pub(crate) fn compile(
    file: &str,
    text: &str,
    options: &CompileOptions,
) -> Result<Mapping, Vec<MappingError>> {
    let (root, syntax) = DeTable::parse_recoverable(text);
    let mut compiler = Compiler {
        file,
        text,
        options,
        is_conditional: false,
        errors: Vec::new(),
        format: FormatKind::Json,
        trie: TrieBuilder::default(),
        columns: Vec::new(),
        copybook: None,
        iso8583: None,
        protobuf: None,
        avro: None,
        lines: Vec::new(),
    };
    for error in syntax {
        compiler.error(error.span().unwrap_or(0..0), "", error.message().to_owned());
    }
    // After a syntax error what was recovered would only give follow-up messages.
    let mapping = if compiler.errors.is_empty() {
        compiler.mapping(Section::root(root.get_ref()))
    } else {
        None
    };
    match mapping {
        Some(mapping) if compiler.errors.is_empty() => Ok(mapping),
        _ => {
            compiler
                .errors
                .sort_by_key(|error| (error.line, error.column));
            // Fields that several transactions share are compiled for each of them.
            compiler.errors.dedup();
            Err(compiler.errors)
        }
    }
}

impl<'t> Compiler<'t> {
    /// Remembers a mistake at a place of the file.
    pub(crate) fn error(&mut self, span: Range<usize>, key: &str, message: impl Into<String>) {
        let start = span.start.min(self.text.len());
        let before = &self.text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        self.errors.push(MappingError {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            key: key.to_owned(),
            message: message.into(),
        });
    }

    fn mapping(&mut self, root: Section<'_>) -> Option<Mapping> {
        root.only(self, TOP_KEYS);
        let source = self.source_name(&root);
        let title = root.text(self, "title").map(|(text, _)| text.to_owned());
        self.format = self.format_kind(&root)?;
        self.record_path(&root);
        let mut format = self.format_plan(&root);
        match &mut format {
            Some(FormatPlan::Json(schema)) => *schema = self.json_schema(&root).map(Box::new),
            Some(FormatPlan::Xml(xml)) => xml.schemas = self.schemas(&root),
            _ => drop(self.schemas(&root)),
        }
        let charsets = self.charsets(&root);
        let transform = self.transform(&root);
        let future_max_micros = self.future_max(&root);
        let accept_empty = root.choice(self, "empty", &["refuse", "accept"], "refuse") == "accept";
        let any_digits =
            root.choice(self, "amount_digits", &["currency", "any"], "currency") == "any";
        let identity = self.identity(&root);
        let skips = self.skips(&root);
        let script = self.script(&root);
        let transactions = self.transactions(&root, any_digits, future_max_micros);
        let controls = self.controls(&root);
        let controlled = self.controlled(&root, &controls);
        let (source, mut format, transactions) = (source?, format?, transactions?);
        let plan = std::mem::take(&mut self.trie).finish();
        if let FormatPlan::Copybook(copybook) = &mut format {
            copybook.bind(&plan.slots);
        }
        if let FormatPlan::Iso8583(iso8583) = &mut format {
            iso8583.bind(&plan.slots);
        }
        if let FormatPlan::Csv(csv) = &mut format {
            csv.mapped = plan
                .slots
                .iter()
                .zip(&plan.required)
                .map(|(slot, required)| (slot.path.clone(), !required))
                .collect();
        }
        if let FormatPlan::Fixed(fixed) = &mut format {
            self.finish_lines(fixed);
        }
        let plan = plan.into_plan();
        if let FormatPlan::Protobuf(protobuf) = &mut format {
            protobuf.bind(&plan);
        }
        Some(Mapping {
            source,
            title: title.unwrap_or_default(),
            format,
            plan,
            rules: Rules {
                skips,
                identity,
                script,
                transactions,
                controlled,
                controls,
            },
            accept_empty,
            charsets,
            transform,
        })
    }

    fn source_name(&mut self, root: &Section<'_>) -> Option<String> {
        let (name, span) = root.required_text(self, "source")?;
        let is_plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_plain) {
            let message = "a source's name has 1 to 64 of the characters a-z 0-9 . _ -";
            self.error(span, "source", message);
            return None;
        }
        let stem = std::path::Path::new(self.file)
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(".toml"));
        if stem.is_some_and(|stem| stem != name) {
            let message =
                format!("the source is called {name:?}, so the file must be called {name}.toml");
            self.error(span, "source", message);
            return None;
        }
        Some(name.to_owned())
    }

    fn format_kind(&mut self, root: &Section<'_>) -> Option<FormatKind> {
        let (_, span) = root.required_text(self, "format")?;
        let names = FormatKind::ALL.map(FormatKind::name);
        let name = root.choice(self, "format", &names, "");
        let kind = *FormatKind::ALL.iter().find(|kind| kind.name() == name)?;
        for (section, belongs) in [
            ("csv", FormatKind::Csv),
            ("xml", FormatKind::Xml),
            ("swift-mt", FormatKind::SwiftMt),
            ("fixed", FormatKind::Fixed),
            ("ofx", FormatKind::Ofx),
            ("copybook", FormatKind::Copybook),
            ("iso8583", FormatKind::Iso8583),
            ("protobuf", FormatKind::Protobuf),
            ("avro", FormatKind::Avro),
        ] {
            if belongs != kind && root.has(section) {
                let message = format!(
                    "the format is {:?}, so the section [{section}] means nothing",
                    kind.name()
                );
                self.error(
                    root.span_of(section).unwrap_or(span.clone()),
                    section,
                    message,
                );
            }
        }
        Some(kind)
    }

    fn record_path(&mut self, root: &Section<'_>) {
        if self.format == FormatKind::Copybook {
            // Its steps are names of the copybook, which is read first.
            return;
        }
        let Some((path, span)) = root.text(self, "records") else {
            let message = match self.format {
                FormatKind::Xml => {
                    "an XML source names the element that is one record, such as \
                     \"/Document/CstmrCdtTrfInitn/PmtInf/CdtTrfTxInf\""
                }
                FormatKind::Ofx => {
                    "an OFX source names the element that is one record: \
                     \"/OFX/*/*/*/BANKTRANLIST/STMTTRN\""
                }
                _ => return,
            };
            self.error(0..0, "records", message);
            return;
        };
        let elsewhere = match self.format {
            FormatKind::Csv => Some("in CSV each row is a record: remove this key"),
            FormatKind::SwiftMt => Some(
                "in SWIFT MT the key `record` of [swift-mt] names the field that begins a record",
            ),
            FormatKind::Fixed => {
                Some("lines with `role = \"record\"` are the records: remove this key")
            }
            FormatKind::Iso8583 => Some("in ISO 8583 each message is a record: remove this key"),
            _ => None,
        };
        if let Some(message) = elsewhere {
            self.error(span, "records", message);
            return;
        }
        let steps: Option<Vec<String>> = path
            .strip_prefix('/')
            .map(|rest| rest.split('/').map(trie::unescape_step).collect());
        match steps {
            Some(steps)
                if steps
                    .iter()
                    .all(|step| !step.is_empty() && !step.starts_with('@')) =>
            {
                self.trie.set_records(steps);
            }
            _ => {
                let message = format!(
                    "{path:?} is no path from the top of the document such as \"/data/items\""
                );
                self.error(span, "records", message);
            }
        }
    }

    fn format_plan(&mut self, root: &Section<'_>) -> Option<FormatPlan> {
        match self.format {
            FormatKind::Json => Some(FormatPlan::Json(None)),
            FormatKind::Csv => self.csv(root),
            FormatKind::Copybook => self.copybook(root),
            FormatKind::Iso8583 => self.iso8583(root),
            FormatKind::SwiftMt => self.swift_mt(root),
            FormatKind::Fixed => self.fixed(root),
            FormatKind::Ofx => Some(self.ofx(root)),
            FormatKind::Protobuf => self.protobuf(root),
            FormatKind::Avro => self.avro(root),
            FormatKind::Xml => {
                let Some(section) = root.section(self, "xml") else {
                    let message = "an XML source lists the namespaces it accepts: [xml] namespaces = [\"urn:…*\"]";
                    self.error(0..0, "xml", message);
                    return None;
                };
                section.only(self, &["namespaces", "envelope"]);
                let envelope =
                    section.choice(self, "envelope", &["refuse", "accept"], "refuse") == "accept";
                let Some(patterns) = section.texts(self, "namespaces") else {
                    let message = "list the accepted namespaces; \"*\" accepts every one, \"\" documents without one";
                    self.error(section.span(), "xml.namespaces", message);
                    return None;
                };
                let patterns = patterns.into_iter().map(|(text, _)| text.into()).collect();
                Some(FormatPlan::Xml(XmlPlan {
                    namespaces: Namespaces(patterns),
                    envelope,
                    schemas: None,
                }))
            }
        }
    }

    fn csv(&mut self, root: &Section<'_>) -> Option<FormatPlan> {
        let empty = DeTable::new();
        let section = root
            .section(self, "csv")
            .unwrap_or_else(|| Section::empty("csv", &empty));
        section.only(self, &["delimiter", "header", "columns"]);
        let mut delimiter = Some(b',');
        if let Some((text, span)) = section.text(self, "delimiter") {
            delimiter = match text.as_bytes() {
                b"whitespace" => None,
                [byte] if byte.is_ascii() && !b"\"\r\n".contains(byte) => Some(*byte),
                _ => {
                    let message = "a delimiter is one ASCII character such as \";\" or \"\\t\", or \"whitespace\"";
                    self.error(span, "csv.delimiter", message);
                    return None;
                }
            };
        }
        let header = match section.choice(
            self,
            "header",
            &["required", "absent", "optional"],
            "required",
        ) {
            "absent" => Header::Absent,
            "optional" => Header::Optional,
            _ => Header::Required,
        };
        let columns: Vec<Box<str>> = section
            .texts(self, "columns")
            .unwrap_or_default()
            .into_iter()
            .map(|(text, _)| text.into())
            .collect();
        if header == Header::Optional && columns.is_empty() {
            let message =
                "where the header is optional, `columns` says what the columns are called";
            self.error(section.span(), "csv.columns", message);
        }
        self.columns = columns.clone();
        Some(FormatPlan::Csv(CsvPlan {
            delimiter,
            header,
            columns,
            mapped: Vec::new(),
        }))
    }

    /// `[transform]`, where no stylesheet can be compiled.
    #[cfg(not(feature = "xslt"))]
    fn transform(&mut self, root: &Section<'_>) -> Option<crate::transform::Transform> {
        let section = root.section(self, "transform")?;
        let message =
            "this Daybook was built without stylesheets (feature `xslt` of the crate `mapping`)";
        self.error(section.span(), "transform", message);
        None
    }

    fn future_max(&mut self, root: &Section<'_>) -> i64 {
        const DAY_MICROS: i64 = 86_400_000_000;
        let Some((text, span)) = root.text(self, "future_max") else {
            return DAY_MICROS;
        };
        let parsed = text.split_once(' ').and_then(|(number, unit)| {
            let unit = match unit {
                "minute" | "minutes" => 60_000_000,
                "hour" | "hours" => 3_600_000_000,
                "day" | "days" => DAY_MICROS,
                _ => return None,
            };
            number
                .parse::<u32>()
                .ok()
                .and_then(|number| i64::from(number).checked_mul(unit))
        });
        parsed.unwrap_or_else(|| {
            let message = format!(
                "{text:?} is no time span such as \"1 day\", \"36 hours\" or \"30 minutes\""
            );
            self.error(span, "future_max", message);
            DAY_MICROS
        })
    }

    fn identity(&mut self, root: &Section<'_>) -> IdentityRule {
        // ISO 20022 prescribes this text where there is no end-to-end id.
        let mut rule = IdentityRule {
            natural: Vec::new(),
            never: vec!["NOTPROVIDED".into()],
            required: false,
        };
        let Some(section) = root.section(self, "identity") else {
            return rule;
        };
        section.only(self, &["natural", "never", "required"]);
        rule.required = section.flag(self, "required").unwrap_or(false);
        if let Some(never) = section.texts(self, "never") {
            rule.never
                .extend(never.into_iter().map(|(text, _)| text.into()));
        }
        for alternatives in section.alternatives(self, "natural").unwrap_or_default() {
            let key = "identity.natural";
            let part = match alternatives.as_slice() {
                [(number @ ("@number" | "@number-in-parent"), span)] => {
                    let is_whole = matches!(
                        self.format,
                        FormatKind::Copybook
                            | FormatKind::Iso8583
                            | FormatKind::Protobuf
                            | FormatKind::Avro
                    );
                    if self.format == FormatKind::Csv || !(is_whole || self.trie.has_records()) {
                        let message = "a record's number is an identity only inside of one document, which cannot be \
                                       sent in pieces; use Idempotency-Key and Daybook-First-Record here";
                        self.error(span.clone(), key, message);
                    }
                    if *number == "@number" {
                        IdPart::Number
                    } else {
                        IdPart::NumberInParent
                    }
                }
                paths => IdPart::FirstOf(
                    paths
                        .iter()
                        .filter_map(|(path, span)| {
                            self.slot(path, span.clone(), key, rule.required && paths.len() == 1)
                        })
                        .collect(),
                ),
            };
            rule.natural.push(part);
        }
        if rule.required && rule.natural.is_empty() {
            self.error(
                section.span(),
                "identity.required",
                "an id is required but `natural` says nowhere to find it",
            );
        }
        rule
    }

    fn fields(
        &mut self,
        root: &Section<'_>,
        common: &Section<'_>,
        own: Option<&Section<'_>>,
        any_digits: bool,
        future_max_micros: i64,
    ) -> Option<Fields> {
        let of = |name: &str| own.filter(|own| own.has(name)).unwrap_or(common);
        let account = self.text_field(of("account"), "account", false);
        let amount = self.amount_field(of("amount"), any_digits);
        let currency = self.text_field(of("currency"), "currency", false);
        let booked = self.booked_field(of("booked_at"));
        let section = of("reverses");
        let reverses = section
            .has("reverses")
            .then(|| self.text_field(section, "reverses", true))
            .flatten();
        let mut extras = Vec::new();
        let mut names = common.keys_in_order();
        if let Some(own) = own {
            names.extend(
                own.keys_in_order()
                    .into_iter()
                    .filter(|(name, _)| !common.has(name)),
            );
        }
        for (name, span) in names {
            let section = of(name);
            if RESERVED.contains(&name) {
                let hint = if name == "id" {
                    "; an id is declared by [identity] natural"
                } else {
                    ""
                };
                self.error(
                    span,
                    &format!("fields.{name}"),
                    format!("Daybook fills {name} in itself{hint}"),
                );
            } else if !CANONICAL.contains(&name) {
                self.misspelt(section, name, span);
                extras.extend(self.extra_field(section, name));
            }
        }
        let names: Vec<Box<str>> = extras.iter().map(|extra| extra.text.name.clone()).collect();
        extras.extend(self.passed(root, &names));
        let names: Vec<Box<str>> = extras.iter().map(|extra| extra.text.name.clone()).collect();
        extras.extend(self.given(root, &names));
        let (booked_at, booked_time) = booked?;
        Some(Fields {
            account: account?,
            amount: amount?,
            currency: currency?,
            booked_at,
            booked_time,
            reverses,
            extras,
            future_max_micros,
        })
    }

    /// An additional field whose name nearly is that of a canonical one that is missing.
    fn misspelt(&mut self, section: &Section<'_>, name: &str, span: Range<usize>) {
        let missing: Vec<&str> = CANONICAL
            .iter()
            .copied()
            .filter(|known| !section.has(known))
            .collect();
        // `reverses` is optional, and names such as `reversal` are near it on purpose.
        let meant = nearest(name, &missing)
            .filter(|meant| *meant != "reverses" || distance(name, meant) == 1);
        if let Some(meant) = meant {
            self.error(
                span,
                &format!("fields.{name}"),
                format!("did you mean `{meant}`?"),
            );
        }
    }

    /// The slot of a path. `None` after a mistake.
    pub(crate) fn slot(
        &mut self,
        path: &str,
        span: Range<usize>,
        key: &str,
        required: bool,
    ) -> Option<u16> {
        let result = match self.format {
            FormatKind::Csv => self.trie.column(path, &self.columns),
            FormatKind::Copybook => match self.copybook_path(path) {
                // The copybook is broken, which is reported.
                None => return None,
                Some(found) => found.and_then(|path| self.trie.path(&path, false)),
            },
            FormatKind::Iso8583 => match self.message_path(path) {
                // The specification is broken, which is reported.
                None => return None,
                Some(found) => found.and_then(|()| self.trie.path(path, false)),
            },
            FormatKind::Protobuf => match self.protobuf_path(path) {
                // The descriptor is broken, which is reported.
                None => return None,
                Some(found) => found.and_then(|()| self.trie.path(path, false)),
            },
            FormatKind::Avro => match self.avro_path(path) {
                // The schema is broken, which is reported.
                None => return None,
                Some(found) => found.and_then(|()| self.trie.path(path, false)),
            },
            FormatKind::Fixed => self.fixed_slot(path),
            FormatKind::SwiftMt => {
                swift_mt::check_path(path).and_then(|()| self.trie.path(path, false))
            }
            kind => self.trie.path(path, kind == FormatKind::Xml),
        };
        match result {
            Ok(slot) => {
                if required {
                    self.trie.require(slot);
                }
                Some(slot)
            }
            Err(message) => {
                self.error(span, key, message);
                None
            }
        }
    }
}

impl FormatKind {
    const ALL: [Self; 10] = [
        Self::Json,
        Self::Csv,
        Self::Xml,
        Self::SwiftMt,
        Self::Fixed,
        Self::Ofx,
        Self::Copybook,
        Self::Iso8583,
        Self::Protobuf,
        Self::Avro,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
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
        }
    }
}
