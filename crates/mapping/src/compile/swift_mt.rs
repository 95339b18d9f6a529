//! Compiling `[swift-mt]`: which messages are read, and which of their fields make a record.

use super::Compiler;
use super::table::{Section, nearest};
use crate::format::swift_mt::{Grammar, MtPlan, RecordFields, grammar, is_tag};
use crate::plan::FormatPlan;

/// Name of the trie's node for records that begin with a field; no field has it.
const RECORD_STEP: &str = "(record)";

impl Compiler<'_> {
    pub(super) fn swift_mt(&mut self, root: &Section<'_>) -> Option<FormatPlan> {
        let Some(section) = root.section(self, "swift-mt") else {
            let message = "a SWIFT MT source lists the types of messages it reads: [swift-mt] types = [\"103\"]";
            self.error(0..0, "swift-mt", message);
            return None;
        };
        section.only(self, &["types", "record", "record_fields"]);
        let types = self.message_types(&section);
        let first = self.tags(&section, "record").into_iter().next();
        let more = self.tags(&section, "record_fields");
        if first.is_none() && !more.is_empty() {
            let message = "`record` names the field that a record begins with";
            self.error(section.span(), "swift-mt.record", message);
        }
        if first.is_some() {
            self.trie.set_records(vec![RECORD_STEP.to_owned()]);
        }
        Some(FormatPlan::SwiftMt(MtPlan {
            types,
            record: first.map(|first| RecordFields { first, more }),
        }))
    }

    fn message_types(&mut self, section: &Section<'_>) -> Vec<Box<str>> {
        let given = section.texts(self, "types").unwrap_or_default();
        if given.is_empty() {
            let message = "list the types of messages that are read, such as [\"940\", \"950\"]";
            self.error(section.span(), "swift-mt.types", message);
        }
        let mut types = Vec::new();
        for (text, span) in given {
            if text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit()) {
                types.push(text.into());
            } else {
                let message = format!("{text:?} is no message type such as \"103\"");
                self.error(span, "swift-mt.types", message);
            }
        }
        types
    }

    fn tags(&mut self, section: &Section<'_>, key: &str) -> Vec<Box<str>> {
        let mut tags = Vec::new();
        for (text, span) in section.texts(self, key).unwrap_or_default() {
            if is_tag(text) {
                tags.push(text.into());
            } else {
                let message = format!("{text:?} is no field such as \"61\" or \"32B\"");
                self.error(span, &section.key(key), message);
            }
        }
        tags
    }
}

/// Whether a path leads to a field or block, or to a part that it has.
pub(super) fn check_path(path: &str) -> Result<(), String> {
    let text = path.strip_prefix('/').unwrap_or(path);
    let (name, part) = match text.split_once('/') {
        Some((name, part)) => (name, Some(part)),
        None => (text, None),
    };
    let is_known = is_tag(name) || ["1", "2", "3", "5", "sender", "receiver"].contains(&name);
    if !is_known {
        return Err(format!(
            "{path:?} is no field such as \"61\" or \"32A\", no block (\"1\", \"2\", \"3\", \"5\"), and neither \"sender\" nor \"receiver\""
        ));
    }
    let Some(part) = part else {
        return Ok(());
    };
    let grammar = if is_tag(name) || name.len() == 1 {
        grammar(name)
    } else {
        Grammar::Plain
    };
    let Some(names) = grammar.names() else {
        return Ok(());
    };
    if names.contains(&part) {
        return Ok(());
    }
    Err(match (names, nearest(part, names)) {
        ([], _) => format!("{name} has no parts: write it as {name:?}"),
        (_, Some(meant)) => {
            format!("{name} has no part {part:?}; did you mean \"{name}/{meant}\"?")
        }
        (names, None) => format!("{name} has no part {part:?}; it has {}", names.join(", ")),
    })
}
