//! Compiling the steps that look for patterns.

use super::Compiler;
use super::table::Section;
use crate::pattern;
use crate::steps::Step;

/// Most characters of a replacement.
const WITH_CHARS_MAX: usize = 256;

impl Compiler<'_> {
    /// A regular expression under a key.
    pub(super) fn pattern(&mut self, section: &Section<'_>, key: &str) -> Option<regex::Regex> {
        let (text, span) = section.text(self, key)?;
        pattern::compile(text)
            .map_err(|message| self.error(span, &section.key(key), message))
            .ok()
    }

    /// `{ extract = "…", group = 1 }` or `{ replace = "…", with = "…" }`.
    pub(super) fn pattern_step(&mut self, table: &Section<'_>) -> Option<Step> {
        if table.has("extract") {
            let pattern = self.pattern(table, "extract")?;
            let groups = pattern.captures_len() - 1;
            let group = if table.has("group") {
                table.number(self, "group", 0, groups)?
            } else {
                groups.min(1)
            };
            return Some(Step::Extract { pattern, group });
        }
        let pattern = self.pattern(table, "replace");
        let (with, span) = table.required_text(self, "with")?;
        let pattern = pattern?;
        let key = table.key("with");
        if let Some(group) = pattern::unknown_group(&pattern, with) {
            let message = format!(
                "the pattern has no group {group:?}: `$1` or `${{1}}` is the first one, `$$` a dollar"
            );
            self.error(span, &key, message);
            return None;
        }
        if with.chars().count() > WITH_CHARS_MAX {
            let message = format!("at most {WITH_CHARS_MAX} characters are allowed");
            self.error(span, &key, message);
            return None;
        }
        Some(Step::Replace {
            pattern,
            with: with.into(),
        })
    }
}
