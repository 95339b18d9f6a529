//! From paths to the columns of lines, and what would be right where there is none.

use super::super::Compiler;
use super::super::table::nearest;
use crate::format::fixed::Role;
use crate::plan::SlotId;

impl Compiler<'_> {
    /// Places (line, column) of a path inside of the record: `amount`, or `addenda/text`.
    pub(super) fn places(&self, path: &str) -> Vec<(usize, usize)> {
        let (kind, column) = match path.split_once('/') {
            Some((kind, column)) => (Some(kind), column),
            None => (None, path),
        };
        let mut places = Vec::new();
        for (index, line) in self.lines.iter().enumerate() {
            let is_meant = match kind {
                Some(kind) => line.name == kind && line.holds_values(),
                None => line.role == Role::Record,
            };
            if is_meant && let Some(at) = line.columns.iter().position(|known| known.name == column)
            {
                places.push((index, at));
            }
        }
        places
    }

    /// The slot of a column; the error says what would be right.
    pub(in crate::compile) fn fixed_slot(&mut self, path: &str) -> Result<SlotId, String> {
        let (places, scope) = match path.strip_prefix('/') {
            Some(rest) => self.header_place(path, rest)?,
            None => (self.places(path), None),
        };
        if places.is_empty() {
            return Err(self.no_column(path));
        }
        let slot = self.trie.named(path, scope);
        for (line, column) in places {
            let slots = &mut self.lines[line].columns[column].slots;
            if !slots.contains(&slot) {
                slots.push(slot);
            }
        }
        Ok(slot)
    }

    #[allow(clippy::type_complexity, reason = "a place and its level")]
    fn header_place(
        &self,
        path: &str,
        rest: &str,
    ) -> Result<(Vec<(usize, usize)>, Option<u8>), String> {
        let Some((name, column)) = rest.split_once('/') else {
            return Err(format!(
                "{path:?} is no path such as \"/batch/company_name\""
            ));
        };
        let Some(line) = self.lines.iter().position(|kind| kind.name == name) else {
            return Err(format!(
                "there is no line {name:?}{}",
                self.meant_line(name)
            ));
        };
        let Role::Header { level } = self.lines[line].role else {
            return Err(format!(
                "{path:?} begins with /, but {name} is no header: only headers stand around records"
            ));
        };
        let known: Vec<&str> = self.lines[line]
            .columns
            .iter()
            .map(|column| &*column.name)
            .collect();
        match known.iter().position(|known| *known == column) {
            Some(at) => Ok((vec![(line, at)], Some(level))),
            None => Err(format!(
                "the line {name} has no column {column:?}{}",
                hint(column, &known)
            )),
        }
    }

    fn no_column(&self, path: &str) -> String {
        if let Some(kind) = self
            .lines
            .iter()
            .find(|kind| kind.role == Role::Detail && kind.column(path).is_some())
        {
            return format!(
                "{path:?} is a column of {}: write it as \"{}/{path}\"",
                kind.name, kind.name
            );
        }
        let mut known: Vec<String> = Vec::new();
        for line in self.lines.iter().filter(|line| line.holds_values()) {
            for column in &line.columns {
                known.push(match line.role {
                    Role::Record => column.name.clone(),
                    _ => format!("{}/{}", line.name, column.name),
                });
            }
        }
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        format!("no record has a column {path:?}{}", hint(path, &known))
    }

    pub(super) fn meant_line(&self, name: &str) -> String {
        let known: Vec<&str> = self.lines.iter().map(|kind| &*kind.name).collect();
        hint(name, &known)
    }
}

fn hint(word: &str, known: &[&str]) -> String {
    match nearest(word, known) {
        Some(meant) => format!("; did you mean {meant:?}?"),
        None => format!("; known are {}", known.join(", ")),
    }
}
