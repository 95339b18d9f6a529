//! Compiling `[fixed]`: kinds of lines, their columns, and the totals of trailers.

mod paths;

use std::ops::Range;

use super::Compiler;
use super::table::Section;
use crate::format::fixed::{
    Add, Column, Condition, FixedPlan, LevelPlan, LinePlan, Mark, Role, Total,
};
use crate::plan::{FormatPlan, SlotId};

/// Longest line that a mapping can declare, in characters.
const LINE_CHARACTERS_MAX: usize = 65_536;
/// Most kinds of lines.
const KINDS_MAX: usize = 200;
const ROLES: &[&str] = &["header", "record", "detail", "trailer", "skip", "refuse"];

/// A kind of line while the mapping is compiled.
#[derive(Debug)]
pub(super) struct LineKind {
    name: String,
    marks: Vec<Mark>,
    role: Role,
    columns: Vec<NamedColumn>,
    adds: Vec<Add>,
}

#[derive(Debug)]
struct NamedColumn {
    name: String,
    column: Column,
    slots: Vec<SlotId>,
}

impl LineKind {
    fn column(&self, name: &str) -> Option<Column> {
        let mut columns = self.columns.iter();
        columns
            .find(|column| column.name == name)
            .map(|column| column.column)
    }

    fn holds_values(&self) -> bool {
        matches!(self.role, Role::Record | Role::Detail)
    }

    /// The compiled form, once all paths are known.
    pub(super) fn into_plan(self) -> LinePlan {
        let end = |column: &NamedColumn| column.column.start + column.column.length;
        let need = self.columns.iter().map(end).max().unwrap_or(0);
        let read = |column: NamedColumn| {
            let place = column.column;
            column.slots.into_iter().map(move |slot| (place, slot))
        };
        LinePlan {
            name: self.name.into(),
            marks: self.marks,
            role: self.role,
            columns: self.columns.into_iter().flat_map(read).collect(),
            adds: self.adds,
            need,
        }
    }
}

impl Compiler<'_> {
    pub(super) fn fixed(&mut self, root: &Section<'_>) -> Option<FormatPlan> {
        let Some(section) = root.section(self, "fixed") else {
            let message = "a source of fixed columns declares its lines: [[fixed.line]] name = \"…\", role = \"record\", …";
            self.error(0..0, "fixed", message);
            return None;
        };
        section.only(self, &["length", "short_lines", "line"]);
        let length = self.place(&section, "length");
        let short = section.choice(self, "short_lines", &["refuse", "accept"], "refuse");
        let mut plan = FixedPlan {
            length,
            accept_short: short == "accept",
            ..FixedPlan::default()
        };
        plan.levels.push(LevelPlan {
            name: "the document".into(),
            trailer: None,
            is_optional: false,
        });
        let items = section.items(self, "line");
        let lines: Vec<Section<'_>> = items
            .iter()
            .filter_map(|item| section.item_section("line", item))
            .collect();
        if lines.len() > KINDS_MAX {
            let message = format!("there are more than {KINDS_MAX} kinds of lines");
            self.error(section.span(), "fixed.line", message);
            return None;
        }
        for line in &lines {
            self.line_kind(line, &mut plan);
        }
        for line in &lines {
            self.totals(line, &mut plan);
        }
        if !self.lines.iter().any(|kind| kind.role == Role::Record) {
            let message = "one kind of line has role = \"record\"";
            self.error(section.span(), "fixed.line", message);
            return None;
        }
        // Headers are the levels around the records; the decoder needs no path to find them.
        let headers = plan
            .levels
            .iter()
            .skip(1)
            .map(|level| level.name.to_string());
        self.trie
            .set_records(headers.chain(["(record)".to_owned()]).collect());
        Some(FormatPlan::Fixed(plan))
    }

    fn line_kind(&mut self, line: &Section<'_>, plan: &mut FixedPlan) {
        line.only(
            self,
            &[
                "name", "is", "role", "of", "optional", "reason", "columns", "totals",
            ],
        );
        let Some((name, span)) = line.required_text(self, "name") else {
            return;
        };
        if name.is_empty()
            || name.contains('/')
            || self.lines.iter().any(|known| known.name == name)
        {
            let message = format!("{name:?} is no name, or the name of another line too");
            self.error(span.clone(), "fixed.line.name", message);
            return;
        }
        line.required_text(self, "role");
        let role = match line.choice(self, "role", ROLES, "skip") {
            "header" => self.header_line(line, name, plan),
            "record" => Role::Record,
            "detail" => Role::Detail,
            "trailer" => self.trailer(line, name, plan),
            "refuse" => {
                let reason = line
                    .required_text(self, "reason")
                    .map_or("", |(text, _)| text);
                Role::Refuse(reason.into())
            }
            _ => Role::Skip,
        };
        let marks = self.marks(line);
        let columns = self.named_columns(line, plan.length);
        self.lines.push(LineKind {
            name: name.to_owned(),
            marks,
            role,
            columns,
            adds: Vec::new(),
        });
    }

    fn header_line(&mut self, line: &Section<'_>, name: &str, plan: &mut FixedPlan) -> Role {
        let level = plan.levels.len() as u8;
        plan.levels.push(LevelPlan {
            name: name.into(),
            trailer: None,
            is_optional: line.flag(self, "optional").unwrap_or(false),
        });
        Role::Header { level }
    }

    fn trailer(&mut self, line: &Section<'_>, name: &str, plan: &mut FixedPlan) -> Role {
        let mut level = 0;
        if let Some((of, span)) = line.text(self, "of") {
            let found = plan
                .levels
                .iter()
                .skip(1)
                .position(|level| *level.name == *of);
            match found {
                Some(index) => level = index + 1,
                None => {
                    let message =
                        format!("{of:?} is no line with role = \"header\" above this one");
                    self.error(span, "fixed.line.of", message);
                }
            }
        }
        if !line.flag(self, "optional").unwrap_or(false) {
            plan.levels[level].trailer = Some(name.into());
        }
        Role::Trailer { level: level as u8 }
    }

    fn marks(&mut self, line: &Section<'_>) -> Vec<Mark> {
        let mut marks = Vec::new();
        let sections: Vec<Section<'_>> = if line.is_list("is") {
            let items = line.items(self, "is");
            items
                .into_iter()
                .filter_map(|item| line.item_section("is", item))
                .collect()
        } else {
            line.section(self, "is").into_iter().collect()
        };
        for section in sections {
            section.only(self, &["at", "text"]);
            let start = self.place(&section, "at");
            let texts = section.texts(self, "text").unwrap_or_default();
            let texts: Vec<Box<str>> = texts.into_iter().map(|(text, _)| text.into()).collect();
            match (start, texts.is_empty()) {
                (Some(start), false) => marks.push(Mark {
                    start: start - 1,
                    texts,
                }),
                _ => {
                    let message = "a kind of line is recognised by a text at a place: is = { at = 1, text = \"5\" }";
                    self.error(section.span(), "fixed.line.is", message);
                }
            }
        }
        marks
    }

    /// A number of characters from 1.
    fn place(&mut self, section: &Section<'_>, key: &str) -> Option<usize> {
        let (number, span) = section.place(self, key)?;
        if (1..=LINE_CHARACTERS_MAX).contains(&number) {
            return Some(number);
        }
        let message = format!("a number from 1 to {LINE_CHARACTERS_MAX} is expected");
        self.error(span, &section.key(key), message);
        None
    }

    fn named_columns(&mut self, line: &Section<'_>, length: Option<usize>) -> Vec<NamedColumn> {
        let mut columns = Vec::new();
        let Some(section) = line.section(self, "columns") else {
            return columns;
        };
        for (name, span) in section.keys_in_order() {
            let Some(column) = section.column(self, name) else {
                let message = "a column is [start, length], counted from 1, or [start, length, \"0\"] where zeros fill it up on the left";
                self.error(span, &section.key(name), message);
                continue;
            };
            let end = column.start + column.length;
            if end > length.unwrap_or(LINE_CHARACTERS_MAX) {
                let message = format!("the column ends at {end}, behind the end of the line");
                self.error(span, &section.key(name), message);
                continue;
            }
            columns.push(NamedColumn {
                name: name.to_owned(),
                column,
                slots: Vec::new(),
            });
        }
        columns
    }

    fn totals(&mut self, line: &Section<'_>, plan: &mut FixedPlan) {
        let name = line.text(self, "name").map(|(name, _)| name);
        let items = line.items(self, "totals");
        let kind = self.lines.iter().find(|kind| Some(&*kind.name) == name);
        let Some(level) = kind.and_then(|kind| match kind.role {
            Role::Trailer { level } => Some(usize::from(level)),
            _ => None,
        }) else {
            if let Some(item) = items.first() {
                let message = "only a line with role = \"trailer\" has totals";
                self.error(item.span(), "fixed.line.totals", message);
            }
            return;
        };
        for item in items {
            match line.item_section("totals", item) {
                Some(section) => self.total(&section, name.unwrap_or_default(), level, plan),
                None => self.error(item.span(), "fixed.line.totals", "a table is expected"),
            }
        }
    }

    fn total(&mut self, section: &Section<'_>, trailer: &str, level: usize, plan: &mut FixedPlan) {
        section.only(self, &["column", "count", "sum", "hash", "when"]);
        let Some((name, span)) = section.required_text(self, "column") else {
            return;
        };
        let kind = self.lines.iter().find(|kind| kind.name == trailer);
        let Some(column) = kind.and_then(|kind| kind.column(name)) else {
            let message = format!("the line {trailer} has no column {name:?}");
            self.error(span, &section.key("column"), message);
            return;
        };
        let key = ["count", "sum", "hash"]
            .into_iter()
            .filter(|key| section.has(key));
        let given: Vec<&str> = key.collect();
        let [key] = given.as_slice() else {
            let message = "a total is one of `count` (kinds of lines), `sum` and `hash` (a column)";
            self.error(section.span(), &section.key("count"), message);
            return;
        };
        let added = if *key == "count" {
            self.counted(section)
        } else {
            self.summed(section, key)
        };
        let total = plan.totals.len();
        for (index, column) in added {
            let when = self.condition(section, index);
            self.lines[index].adds.push(Add {
                total,
                column,
                when,
            });
        }
        plan.totals.push(Total {
            trailer: trailer.into(),
            name: name.into(),
            column,
            level,
            is_hash: *key == "hash",
        });
    }

    /// The kinds of lines that `count` names.
    fn counted(&mut self, section: &Section<'_>) -> Vec<(usize, Option<Column>)> {
        let mut found = Vec::new();
        for (name, span) in section.texts(self, "count").unwrap_or_default() {
            match self.lines.iter().position(|kind| kind.name == name) {
                Some(index) => found.push((index, None)),
                None => {
                    let message = format!("there is no line {name:?}{}", self.meant_line(name));
                    self.error(span, &section.key("count"), message);
                }
            }
        }
        found
    }

    /// The columns that `sum` and `hash` name: of all records and details that have one.
    fn summed(&mut self, section: &Section<'_>, key: &str) -> Vec<(usize, Option<Column>)> {
        let Some((path, span)) = section.text(self, key) else {
            return Vec::new();
        };
        let found: Vec<(usize, Option<Column>)> = self
            .places(path)
            .into_iter()
            .map(|(line, column)| (line, Some(self.lines[line].columns[column].column)))
            .collect();
        if found.is_empty() {
            let message = format!("no record or detail has the column {path:?}");
            self.error(span, &section.key(key), message);
        }
        found
    }

    fn condition(&mut self, section: &Section<'_>, line: usize) -> Option<Condition> {
        let when = section.section(self, "when")?;
        when.only(self, &["column", "is", "is_not"]);
        let (name, span) = when.required_text(self, "column")?;
        let negated = when.has("is_not");
        let is = when.texts(self, if negated { "is_not" } else { "is" })?;
        let Some(column) = self.lines[line].column(name) else {
            let message = format!("the line {} has no column {name:?}", self.lines[line].name);
            self.error(span, &when.key("column"), message);
            return None;
        };
        Some(Condition {
            column,
            is: is.into_iter().map(|(text, _)| text.into()).collect(),
            negated,
        })
    }

    /// Fills in what is known once all fields are compiled.
    pub(super) fn finish_lines(&mut self, plan: &mut FixedPlan) {
        let lines = std::mem::take(&mut self.lines);
        plan.kinds = lines.into_iter().map(LineKind::into_plan).collect();
    }
}

impl Section<'_> {
    /// A column: `[start, length]` or `[start, length, "0"]`.
    fn column(&self, compiler: &mut Compiler<'_>, key: &str) -> Option<Column> {
        let items = self.items(compiler, key);
        let number = |index: usize| -> Option<usize> {
            let number: usize = items
                .get(index)?
                .get_ref()
                .as_integer()?
                .as_str()
                .parse()
                .ok()?;
            (1..=LINE_CHARACTERS_MAX)
                .contains(&number)
                .then_some(number)
        };
        let fill = match items.get(2) {
            None => None,
            Some(item) => {
                let mut characters = item.get_ref().as_str()?.chars();
                Some(characters.next().filter(|_| characters.next().is_none())?)
            }
        };
        let column = Column {
            start: number(0)? - 1,
            length: number(1)?,
            fill,
        };
        (items.len() <= 3).then_some(column)
    }

    /// A whole number and where it stands.
    fn place(&self, compiler: &mut Compiler<'_>, key: &str) -> Option<(usize, Range<usize>)> {
        let (value, span) = self.whole(compiler, key)?;
        Some((usize::try_from(value).unwrap_or(usize::MAX), span))
    }
}
