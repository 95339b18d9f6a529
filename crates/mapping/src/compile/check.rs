//! Compiling `check`: what a field's text must be.

use std::ops::Range;

use super::Compiler;
use super::table::Section;
use crate::check::Check;
use crate::pattern;

/// Most characters that a length or a number of digits can ask for.
const LENGTH_MAX: usize = 4_096;
const HINT: &str = "a check is \"iban\", \"bic\", \"oib\", \"luhn\", \"lei\", \"currency\", { pattern = \"…\" }, { in = [\"a\", \"b\"] }, \
                    { digits = 8 }, { digits = [6, 8] }, { min_length = 1, max_length = 35 }, or a list of these";

impl Compiler<'_> {
    /// One check or a list of them.
    pub(super) fn checks(&mut self, section: &Section<'_>) -> Vec<Check> {
        let mut checks = Vec::new();
        for item in section.one_or_more("check") {
            if let Some(name) = item.get_ref().as_str() {
                match Check::named(name) {
                    Some(check) => checks.push(check),
                    None => {
                        let message = match super::nearest(name, &Check::NAMES) {
                            Some(meant) => {
                                format!("there is no check {name:?}; did you mean {meant:?}?")
                            }
                            None => format!("there is no check {name:?}; {HINT}"),
                        };
                        self.error(item.span(), &section.key("check"), message);
                    }
                }
            } else if let Some(table) = section.item_section("check", item) {
                self.check_with_arguments(&table, item.span(), &mut checks);
            } else {
                self.error(item.span(), &section.key("check"), HINT);
            }
        }
        checks
    }

    fn check_with_arguments(
        &mut self,
        table: &Section<'_>,
        span: Range<usize>,
        checks: &mut Vec<Check>,
    ) {
        table.only(
            self,
            &["pattern", "in", "digits", "min_length", "max_length"],
        );
        let before = (checks.len(), self.errors.len());
        if let Some((text, span)) = table.text(self, "pattern") {
            // Compiled as it is first: the place of a mistake is then the one that is written.
            let compiled =
                pattern::compile(text).and_then(|_| pattern::compile(&format!("^(?:{text})$")));
            match compiled {
                Ok(pattern) => checks.push(Check::Pattern(text.into(), pattern)),
                Err(message) => self.error(span, &table.key("pattern"), message),
            }
        }
        if let Some(texts) = table.texts(self, "in") {
            let texts = texts.into_iter().map(|(text, _)| text.into()).collect();
            checks.push(Check::In(texts));
        }
        if table.is_list("digits") {
            if let Some((min, max)) = table.two_numbers(self, "digits") {
                if min > max {
                    let message = format!("the least number, {min}, is more than the most, {max}");
                    self.error(span.clone(), &table.key("digits"), message);
                }
                checks.push(Check::Digits { min, max });
            }
        } else if let Some(count) = table.number(self, "digits", 1, LENGTH_MAX) {
            checks.push(Check::Digits {
                min: count,
                max: count,
            });
        }
        let min = table.number(self, "min_length", 1, LENGTH_MAX);
        let max = table.number(self, "max_length", min.unwrap_or(1), LENGTH_MAX);
        if min.is_some() || max.is_some() {
            checks.push(Check::Length {
                min: min.unwrap_or(0),
                max: max.unwrap_or(usize::MAX),
            });
        }
        if before == (checks.len(), self.errors.len()) {
            self.error(span, &table.key("pattern"), HINT);
        }
    }
}
