//! Compiling `[script]`: JavaScript over the fields' texts.

use toml::de::DeTable;

use super::field::extra;
use super::table::Section;
use super::{CANONICAL, Compiler, MappingError, RESERVED};
use crate::plan::{ExtraKind, ExtraRule, TextRule};
use crate::script::{Mistake, Program, SOURCE_BYTES_MAX, ScriptLimits, ScriptPlan, check};

/// Most fields that only the script gives, and most inputs.
const NAMES_MAX: usize = 64;
const KEYS: &[&str] = &[
    "file",
    "source",
    "inputs",
    "gives",
    "memory_bytes_max",
    "time_ms_max",
    "stack_bytes_max",
];

impl Compiler<'_> {
    pub(super) fn script(&mut self, root: &Section<'_>) -> Option<ScriptPlan> {
        let section = root.section(self, "script")?;
        section.only(self, KEYS);
        let inputs = self.inputs(&section);
        let limits = self.script_limits(&section);
        let program = self.program(&section, limits)?;
        if let Err(mistake) = check(&program) {
            self.script_error(&program, mistake);
            return None;
        }
        Some(ScriptPlan { program, inputs })
    }

    fn program(&mut self, section: &Section<'_>, limits: ScriptLimits) -> Option<Program> {
        let (program, span) = match (section.text(self, "file"), section.text(self, "source")) {
            (Some((name, span)), None) => match self.options.file(name).map(std::str::from_utf8) {
                Ok(Ok(text)) => (Program::new(&self.beside(name), 0, text, limits), span),
                Ok(Err(_)) => {
                    self.error(span, "script.file", format!("{name:?} is not UTF-8"));
                    return None;
                }
                Err(message) => {
                    self.error(span, "script.file", message);
                    return None;
                }
            },
            (None, Some((text, span))) => {
                let start = span.start.min(self.text.len());
                let mut before = self.text[..start].matches('\n').count();
                // The line behind the three quotes is cut off the text.
                let opening = self.text[start..].trim_start_matches(['"', '\'']);
                before += usize::from(opening.starts_with(['\n', '\r']));
                (Program::new(self.file, before, text, limits), span)
            }
            _ => {
                let message = "a script stands in a file beside the mapping, `file = \"enrich.js\"`, or in `source` between ''' and '''";
                self.error(section.span(), "script", message);
                return None;
            }
        };
        if program.text.len() > SOURCE_BYTES_MAX || program.text.contains('\0') {
            let message = format!("a script has at most {SOURCE_BYTES_MAX} bytes, none of them 0");
            self.error(span, "script", message);
            return None;
        }
        Some(program)
    }

    /// Path of a file that stands beside the mapping.
    fn beside(&self, name: &str) -> String {
        let path = std::path::Path::new(self.file).with_file_name(name);
        path.to_string_lossy().into_owned()
    }

    fn script_error(&mut self, program: &Program, mistake: Mistake) {
        self.errors.push(MappingError {
            file: program.name.to_string(),
            line: mistake.line,
            column: mistake.column,
            key: "script".to_owned(),
            message: mistake.message,
        });
    }

    fn inputs(&mut self, section: &Section<'_>) -> Vec<(Box<str>, u16)> {
        let Some(inputs) = section.section(self, "inputs") else {
            return Vec::new();
        };
        let names = inputs.keys_in_order();
        if names.len() > NAMES_MAX {
            let message = format!("a script has at most {NAMES_MAX} inputs");
            self.error(inputs.span(), "script.inputs", message);
        }
        let mut slots = Vec::new();
        for (name, _) in names {
            let Some((path, span)) = inputs.text(self, name) else {
                continue;
            };
            let slot = self.slot(path, span, &inputs.key(name), false);
            slots.extend(slot.map(|slot| (name.into(), slot)));
        }
        slots
    }

    fn script_limits(&mut self, section: &Section<'_>) -> ScriptLimits {
        let default = ScriptLimits::default();
        let memory = section.number(self, "memory_bytes_max", 4 << 20, 256 << 20);
        let time = section.number(self, "time_ms_max", 1, 10_000);
        let stack = section.number(self, "stack_bytes_max", 32 << 10, 512 << 10);
        ScriptLimits {
            memory_bytes_max: memory.unwrap_or(default.memory_bytes_max),
            time_ms_max: time.map_or(default.time_ms_max, |time| time as u64),
            stack_bytes_max: stack.unwrap_or(default.stack_bytes_max),
        }
    }

    /// Fields that only the script gives.
    pub(super) fn given(&mut self, root: &Section<'_>, taken: &[Box<str>]) -> Vec<ExtraRule> {
        let empty = DeTable::new();
        // What is wrong with the section itself was told when it was compiled.
        let section = match root.has_table("script") {
            true => root.section(self, "script"),
            false => None,
        };
        let section = section.unwrap_or_else(|| Section::empty("script", &empty));
        let mut extras: Vec<ExtraRule> = Vec::new();
        for (name, span) in section.texts(self, "gives").unwrap_or_default() {
            let is_known = taken.iter().any(|taken| **taken == *name)
                || extras.iter().any(|extra| *extra.text.name == *name)
                || CANONICAL.contains(&name)
                || RESERVED.contains(&name);
            if is_known || name.is_empty() || extras.len() >= NAMES_MAX {
                let message = format!(
                    "{name:?} is already a field, or empty, or one more than {NAMES_MAX}; here stand the names of fields that only the script gives"
                );
                self.error(span, "script.gives", message);
                continue;
            }
            let text = TextRule::optional(name, None);
            extras.push(extra(text, ExtraKind::Text));
        }
        extras
    }
}
