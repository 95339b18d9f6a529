//! Compiling `[iso8583]`: the specification with its changes, framing, what is skipped and repeated.

use super::Compiler;
use super::table::Section;
use crate::format::copybook::{CODE_PAGES, CodePage};
use crate::format::iso8583::{
    Content, Encoding, FieldSpec, Framing, Header, Iso8583Plan, LAST, LENGTH_MAX, Spec, path,
};
use crate::plan::FormatPlan;

const KEYS: &[&str] = &[
    "spec",
    "encoding",
    "prefix_encoding",
    "mti",
    "bitmap",
    "code_page",
    "header",
    "header_bytes",
    "framing",
    "lengths",
    "skip",
    "echo",
    "fields",
];
const FIELD_KEYS: &[&str] = &["length", "prefix", "prefix_encoding", "encoding", "parts"];
const PREFIXES: &[&str] = &["fixed", "L", "LL", "LLL", "LLLL"];
/// Most bytes in front of an MTI.
const HEADER_BYTES_MAX: usize = 256;
/// What a reply repeats unless the mapping says otherwise.
const ECHO: &[u8] = &[2, 3, 4, 7, 11, 12, 13, 15, 24, 32, 37, 41, 42, 49, 70, 90];

impl Compiler<'_> {
    pub(super) fn iso8583(&mut self, root: &Section<'_>) -> Option<FormatPlan> {
        let Some(section) = root.section(self, "iso8583") else {
            let message =
                "an ISO 8583 source names its specification: [iso8583] spec = \"1987-ascii\"";
            self.error(0..0, "iso8583", message);
            return None;
        };
        section.only(self, KEYS);
        if !section.has("spec") {
            let message =
                "this key is missing; built in is \"1987-ascii\", which the other keys change";
            self.error(section.span(), "iso8583.spec", message);
        }
        section.choice(self, "spec", &["1987-ascii"], "1987-ascii");
        let mut spec = Spec::ascii_1987();
        self.everywhere(&section, &mut spec);
        self.fields_of(&section, &mut spec);
        self.iso8583 = Some(spec.clone());
        let mti = section.choice(self, "mti", &["ascii", "ebcdic", "bcd"], "ascii");
        let bitmap = section.choice(self, "bitmap", &["hex", "binary", "hex-ebcdic"], "hex");
        let page = section.choice(self, "code_page", CODE_PAGES, "cp037");
        let header = self.header(&section);
        let plan = Iso8583Plan {
            spec,
            mti: Encoding::named(mti),
            bitmap: match bitmap {
                "binary" => Encoding::Binary,
                "hex-ebcdic" => Encoding::Ebcdic,
                _ => Encoding::Ascii,
            },
            page: CodePage::named(page),
            header,
            framing: self.message_framing(&section),
            skip: self.skipped_mtis(&section),
            echo: self.echo(&section),
            reads: Vec::new(),
        };
        Some(FormatPlan::Iso8583(Box::new(plan)))
    }

    /// Encodings for all elements that are text in the built-in specification.
    fn everywhere(&mut self, section: &Section<'_>, spec: &mut Spec) {
        let encoding = section.choice(self, "encoding", Encoding::NAMES, "ascii");
        let prefix = section.choice(self, "prefix_encoding", Encoding::NAMES, "ascii");
        for number in 2..=LAST {
            let Some(field) = spec.get(number) else {
                continue;
            };
            let mut field = field.clone();
            if field.encoding == Encoding::Ascii {
                field.encoding = Encoding::named(encoding);
            }
            field.prefix_encoding = Encoding::named(prefix);
            spec.set(number, field);
        }
    }

    fn fields_of(&mut self, section: &Section<'_>, spec: &mut Spec) {
        let Some(fields) = section.section(self, "fields") else {
            return;
        };
        for (name, span) in fields.keys_in_order() {
            let number = name.parse::<u8>().ok();
            let Some(number) = number.filter(|number| (2..=LAST).contains(number)) else {
                let message = format!("{name:?} is no number of an element, 2 to {LAST}");
                self.error(span, &fields.key(name), message);
                continue;
            };
            let Some(field) = fields.section(self, name) else {
                continue;
            };
            let known = spec.get(number).cloned();
            if let Some(changed) = self.field_spec(&field, known) {
                spec.set(number, changed);
            }
        }
    }

    fn field_spec(&mut self, field: &Section<'_>, known: Option<FieldSpec>) -> Option<FieldSpec> {
        field.only(self, FIELD_KEYS);
        let mut spec = match (known, field.has("length")) {
            (Some(known), _) => known,
            (None, true) => FieldSpec {
                length: 1,
                prefix: 0,
                prefix_encoding: Encoding::Ascii,
                encoding: Encoding::Ascii,
                content: Content::Plain,
            },
            (None, false) => {
                let message = "the element is not in the specification, so `length` is needed";
                self.error(field.span(), &field.key("length"), message);
                return None;
            }
        };
        if let Some(length) = field.number(self, "length", 1, LENGTH_MAX) {
            spec.length = length;
        }
        if field.has("prefix") {
            let name = field.choice(self, "prefix", PREFIXES, "fixed");
            spec.prefix = PREFIXES
                .iter()
                .position(|known| *known == name)
                .unwrap_or(0);
        }
        if field.has("prefix_encoding") {
            let name = field.choice(self, "prefix_encoding", Encoding::NAMES, "ascii");
            spec.prefix_encoding = Encoding::named(name);
        }
        if field.has("encoding") {
            let name = field.choice(self, "encoding", Encoding::NAMES, "ascii");
            spec.encoding = Encoding::named(name);
        }
        if field.has("parts") {
            spec.content = self.parts(field)?;
        }
        Some(spec)
    }

    fn parts(&mut self, field: &Section<'_>) -> Option<Content> {
        if field.is_text("parts") {
            field.choice(self, "parts", &["tlv"], "tlv");
            return Some(Content::Tlv);
        }
        let numbers: Option<Vec<usize>> = field
            .items(self, "parts")
            .into_iter()
            .map(|item| item.get_ref().as_integer()?.as_str().parse().ok())
            .map(|number| number.filter(|number| (1..=LENGTH_MAX).contains(number)))
            .collect();
        match numbers {
            Some(numbers) if !numbers.is_empty() => Some(Content::Parts(numbers)),
            _ => {
                let message =
                    "parts are a list of lengths in characters such as [2, 2, 2], or \"tlv\"";
                self.error(field.span(), &field.key("parts"), message);
                None
            }
        }
    }

    fn header(&mut self, section: &Section<'_>) -> Header {
        let bytes = section.number(self, "header_bytes", 0, HEADER_BYTES_MAX);
        if section.choice(self, "header", &["none", "tpdu"], "none") == "none" {
            return Header::Bytes(bytes.unwrap_or(0));
        }
        if bytes.is_some() {
            let message = "a TPDU has five bytes: remove this key";
            self.error(section.span(), "iso8583.header_bytes", message);
        }
        Header::Tpdu
    }

    fn message_framing(&mut self, section: &Section<'_>) -> Framing {
        let kinds = ["none", "length-2", "length-4", "digits-4", "lines"];
        let kind = section.choice(self, "framing", &kinds, "none");
        let lengths = ["without-length", "with-length"];
        let counts_itself =
            section.choice(self, "lengths", &lengths, "without-length") == "with-length";
        match kind {
            "length-2" => Framing::Binary {
                bytes: 2,
                counts_itself,
            },
            "length-4" => Framing::Binary {
                bytes: 4,
                counts_itself,
            },
            "digits-4" => Framing::Digits { counts_itself },
            "lines" => Framing::Lines,
            _ => Framing::None,
        }
    }

    fn skipped_mtis(&mut self, section: &Section<'_>) -> Vec<Box<str>> {
        let mut skip = Vec::new();
        for (text, span) in section.texts(self, "skip").unwrap_or_default() {
            let fits = |byte: u8| byte.is_ascii_digit() || byte == b'x';
            if text.len() == 4 && text.bytes().all(fits) {
                skip.push(text.into());
            } else {
                let message = format!(
                    "{text:?} is no MTI of four digits, in which x stands for any: \"08xx\""
                );
                self.error(span, "iso8583.skip", message);
            }
        }
        skip
    }

    fn echo(&mut self, section: &Section<'_>) -> Vec<u8> {
        if !section.has("echo") {
            return ECHO.to_vec();
        }
        let mut echo = Vec::new();
        for item in section.items(self, "echo") {
            let number = item
                .get_ref()
                .as_integer()
                .and_then(|integer| integer.as_str().parse::<u8>().ok());
            match number.filter(|number| (2..=LAST).contains(number)) {
                Some(number) => echo.push(number),
                None => {
                    let message = format!("a number of an element, 2 to {LAST}, is expected");
                    self.error(item.span(), "iso8583.echo", message);
                }
            }
        }
        echo
    }

    /// Checks a path of a message against the specification.
    pub(super) fn message_path(&self, text: &str) -> Option<Result<(), String>> {
        let spec = self.iso8583.as_ref()?;
        Some(path(spec, text).map(|_| ()))
    }
}
