//! Compiling `[copybook]`: the copybook itself, code page, framing and segments.

use std::ops::Range;

use super::Compiler;
use super::table::{Section, nearest};
use crate::format::copybook::{
    CODE_PAGES, CodePage, Columns, CopybookPlan, FrameKind, Framing, ItemId, Kind, Layout, Options,
    Segments, canonical, parse,
};
use crate::plan::FormatPlan;

const KEYS: &[&str] = &[
    "text",
    "columns",
    "code_page",
    "trim",
    "tables",
    "comp5",
    "framing",
    "blocks",
    "lengths",
    "record_bytes",
    "header_bytes",
    "trailer_bytes",
    "header_records",
    "trailer_records",
    "segment",
    "segments",
    "skip_segments",
];
/// Most bytes or records that are skipped at either end of a body.
const SKIPPED_MAX: usize = 1 << 20;

/// The fields that paths name.
pub(super) struct Names {
    layout: Layout,
    record: Option<ItemId>,
}

impl Names {
    /// The item of a path from the top; the error says what would be right.
    fn find(&self, path: &str) -> Result<ItemId, String> {
        let layout = &self.layout;
        let wanted = canonical(path);
        let root = layout
            .root()
            .map(|root| format!("{}/", layout.items[root].name));
        let wanted = root
            .and_then(|root| wanted.strip_prefix(&root))
            .unwrap_or(&wanted);
        if let Some(root) = layout
            .root()
            .filter(|root| *layout.items[*root].name == *wanted)
        {
            return Ok(root);
        }
        let paths: Vec<String> = (0..layout.items.len())
            .map(|item| layout.path(item))
            .collect();
        let named = |item: &ItemId| !layout.items[*item].is_filler() && !paths[*item].is_empty();
        if let Some(found) = (0..paths.len()).find(|item| named(item) && paths[*item] == wanted) {
            return Ok(found);
        }
        let last = wanted.rsplit('/').next().unwrap_or_default();
        let same_name =
            (0..paths.len()).find(|item| named(item) && *layout.items[*item].name == *last);
        let known: Vec<&str> = paths.iter().map(String::as_str).collect();
        let meant = same_name
            .map(|item| known[item])
            .or_else(|| nearest(wanted, &known));
        Err(match meant {
            Some(meant) => format!("the copybook has no {path:?}; did you mean {meant:?}?"),
            None => format!(
                "the copybook has no {path:?}; paths are names of groups and fields, as in \"GROUP/FIELD\""
            ),
        })
    }

    /// The canonical path of a field that is read.
    fn field(&self, path: &str) -> Result<String, String> {
        let (text, is_absolute) = match path.strip_prefix('/') {
            Some(rest) => (rest, true),
            None => (path, false),
        };
        let group = self
            .record
            .filter(|_| !is_absolute)
            .map(|record| format!("{}/", self.layout.path(record)))
            .unwrap_or_default();
        let item = self
            .find(&format!("{group}{text}"))
            .map_err(|hint| self.inside_hint(text, is_absolute).unwrap_or(hint))?;
        match self.layout.items[item].kind {
            Kind::Group => Err(format!("{path:?} is a group; name one of its fields")),
            Kind::Float(_) => Err(format!(
                "{path:?} is a floating-point number (COMP-1 or COMP-2), which is not exact: no amount is read \
                 from it; ask the source for COMP-3 or DISPLAY"
            )),
            _ => {
                let full = self.layout.path(item);
                Ok(if is_absolute {
                    format!("/{full}")
                } else {
                    full[group.len()..].to_owned()
                })
            }
        }
    }

    /// For a relative path that exists outside of the record.
    fn inside_hint(&self, text: &str, is_absolute: bool) -> Option<String> {
        let found = (!is_absolute && self.record.is_some()).then(|| self.find(text).ok())??;
        Some(format!(
            "{text:?} is outside of the record: write it as \"/{}\"",
            self.layout.path(found)
        ))
    }
}

impl Compiler<'_> {
    /// See [`Names::field`]; `None` where the copybook could not be read.
    pub(super) fn copybook_path(&self, path: &str) -> Option<Result<String, String>> {
        self.copybook.as_ref().map(|names| names.field(path))
    }

    pub(super) fn copybook(&mut self, root: &Section<'_>) -> Option<FormatPlan> {
        let Some(section) = root.section(self, "copybook") else {
            let message =
                "a copybook source has its copybook in the mapping: [copybook] text = '''…'''";
            self.error(0..0, "copybook", message);
            return None;
        };
        section.only(self, KEYS);
        let page = section.choice(self, "code_page", CODE_PAGES, "cp037");
        let page = CodePage::named(page);
        let trim_start = section.choice(self, "trim", &["both", "right"], "both") == "both";
        let layout = self.layout(&section)?;
        let framing = self.framing(&section, &layout);
        let record = self.copybook_record(root, &layout);
        self.copybook = Some(Names {
            layout: layout.clone(),
            record,
        });
        let segments = self.segments(&section, &layout);
        Some(FormatPlan::Copybook(Box::new(CopybookPlan {
            layout,
            page,
            framing: framing?,
            trim_start,
            segments,
            record,
            slots: Vec::new(),
        })))
    }

    fn layout(&mut self, section: &Section<'_>) -> Option<Layout> {
        let (text, span) = section.required_text(self, "text")?;
        let columns = match section.choice(self, "columns", &["auto", "fixed", "free"], "auto") {
            "fixed" => Columns::Fixed,
            "free" => Columns::Free,
            _ => Columns::Auto,
        };
        let options = Options {
            columns,
            short_tables: section.choice(self, "tables", &["full", "short"], "full") == "short",
            comp5_little: section.choice(self, "comp5", &["big", "little"], "big") == "little",
        };
        match parse(text, &options) {
            Ok(layout) => Some(layout),
            Err(mistakes) => {
                let begin = self.literal_start(text, &span);
                for mistake in mistakes {
                    match begin {
                        Some(begin) => {
                            let at = begin + mistake.offset;
                            self.error(at..at, "copybook.text", mistake.message);
                        }
                        None => {
                            let before = &text[..mistake.offset.min(text.len())];
                            let line = before.matches('\n').count() + 1;
                            let message =
                                format!("line {line} of the copybook: {}", mistake.message);
                            self.error(span.clone(), "copybook.text", message);
                        }
                    }
                }
                None
            }
        }
    }

    /// Where a text begins in the file, if it stands there as it is (`'''…'''`).
    fn literal_start(&self, text: &str, span: &Range<usize>) -> Option<usize> {
        let raw = self.text.get(span.clone())?;
        let inner = raw.strip_prefix("'''")?;
        let inner = inner.strip_prefix('\r').unwrap_or(inner);
        let inner = inner.strip_prefix('\n').unwrap_or(inner);
        inner
            .starts_with(text)
            .then(|| span.start + (raw.len() - inner.len()))
    }

    fn framing(&mut self, section: &Section<'_>, layout: &Layout) -> Option<Framing> {
        let kinds = ["fixed", "rdw", "rdw-little", "lines", "none"];
        let kind = section.choice(self, "framing", &kinds, "fixed");
        let longest = layout.record_bytes;
        let bytes = section.number(self, "record_bytes", 1, SKIPPED_MAX);
        if let Some(bytes) = bytes
            && (kind != "fixed" || bytes < longest)
        {
            let message = format!(
                "`record_bytes` is for framing = \"fixed\", and at least the {longest} bytes that the copybook describes"
            );
            self.error(section.span(), "copybook.record_bytes", message);
        }
        if kind == "fixed" && !layout.is_fixed {
            let message = "records with `tables = \"short\"` have no fixed length: framing is \"rdw\", \"rdw-little\", \"lines\" or \"none\"";
            self.error(section.span(), "copybook.framing", message);
        }
        let mut framing = Framing::fixed(bytes.unwrap_or(longest));
        framing.kind = match kind {
            "rdw" => FrameKind::Rdw {
                little_endian: false,
            },
            "rdw-little" => FrameKind::Rdw {
                little_endian: true,
            },
            "lines" => FrameKind::Lines,
            "none" => FrameKind::Walked,
            _ => framing.kind,
        };
        framing.blocks = section.flag(self, "blocks").unwrap_or(false);
        if framing.blocks && !matches!(framing.kind, FrameKind::Rdw { .. }) {
            let message = "blocks have descriptor words only where records have: framing = \"rdw\"";
            self.error(section.span(), "copybook.blocks", message);
        }
        let lengths = ["with-word", "without-word"];
        framing.counts_itself =
            section.choice(self, "lengths", &lengths, "with-word") == "with-word";
        let mut skipped = |key| section.number(self, key, 0, SKIPPED_MAX).unwrap_or(0);
        framing.header_bytes = skipped("header_bytes");
        framing.trailer_bytes = skipped("trailer_bytes");
        framing.header_records = skipped("header_records");
        framing.trailer_records = skipped("trailer_records");
        if framing.trailer_records > 0 && framing.kind == FrameKind::Walked {
            let message = "where nothing tells records apart, trailers are skipped by `trailer_bytes` or `skip_segments`";
            self.error(section.span(), "copybook.trailer_records", message);
        }
        Some(framing)
    }

    fn copybook_record(&mut self, root: &Section<'_>, layout: &Layout) -> Option<ItemId> {
        let (path, span) = root.text(self, "records")?;
        let names = Names {
            layout: layout.clone(),
            record: None,
        };
        let found = match path.strip_prefix('/') {
            Some(path) => names.find(path),
            None => Err(format!(
                "{path:?} is no path from the top of the record such as \"/ACCOUNT/ENTRY\""
            )),
        };
        match found {
            // The whole record, as without this key.
            Ok(item) if Some(item) == layout.root() => None,
            Ok(item) if layout.items[item].kind == Kind::Group => {
                let steps = layout.path(item).split('/').map(str::to_owned).collect();
                self.trie.set_records(steps);
                Some(item)
            }
            Ok(_) => {
                self.error(
                    span,
                    "records",
                    format!("{path:?} is a field; a record is a group"),
                );
                None
            }
            Err(message) => {
                self.error(span, "records", message);
                None
            }
        }
    }

    fn segments(&mut self, section: &Section<'_>, layout: &Layout) -> Option<Segments> {
        let Some((path, span)) = section.text(self, "segment") else {
            if section.has("segments") || section.has("skip_segments") {
                let message = "`segment` names the field that says which segment a record is";
                self.error(section.span(), "copybook.segment", message);
            }
            return None;
        };
        let names = Names {
            layout: layout.clone(),
            record: None,
        };
        let field = match names.find(path.trim_start_matches('/')) {
            Ok(item) => item,
            Err(message) => {
                self.error(span, "copybook.segment", message);
                return None;
            }
        };
        let Some(offset) = layout.fixed_offset(field) else {
            let message = format!("{path:?} does not stand at the same place of every record");
            self.error(span, "copybook.segment", message);
            return None;
        };
        let skip = section.texts(self, "skip_segments").unwrap_or_default();
        let skip = skip.into_iter().map(|(text, _)| text.into()).collect();
        let mut groups = Vec::new();
        if let Some(table) = section.section(self, "segments") {
            for (group, span) in table.keys_in_order() {
                let values = table.texts(self, group).unwrap_or_default();
                let values = values.into_iter().map(|(text, _)| text.into()).collect();
                match names.find(group.trim_start_matches('/')) {
                    Ok(item) => groups.push((item, values)),
                    Err(message) => self.error(span, &table.key(group), message),
                }
            }
        }
        if groups.is_empty() {
            let message =
                "[copybook.segments] says which group is there for which values: COMPANY = [\"C\"]";
            self.error(section.span(), "copybook.segments", message);
        }
        Some(Segments {
            field,
            offset,
            groups,
            skip,
        })
    }
}
