//! Compiling `[[transaction]]`: several transactions of one record.

use toml::de::DeTable;

use super::Compiler;
use super::table::Section;
use crate::control::ControlPlan;
use crate::plan::TransactionRule;

/// Most transactions of one record.
const TRANSACTIONS_MAX: usize = 16;

impl Compiler<'_> {
    /// The transactions that a record becomes; one, without a suffix, where none is declared.
    pub(super) fn transactions(
        &mut self,
        root: &Section<'_>,
        any_digits: bool,
        future_max_micros: i64,
    ) -> Option<Vec<TransactionRule>> {
        let empty = DeTable::new();
        let is_split = root.has("transaction");
        let common = match root.section(self, "fields") {
            Some(common) => common,
            None if is_split => Section::empty("fields", &empty),
            None => {
                self.error(0..0, "fields", "the mapping has no [fields.account], [fields.amount], [fields.currency], [fields.booked_at]");
                return None;
            }
        };
        if !is_split {
            let fields = self.fields(root, &common, None, any_digits, future_max_micros)?;
            return Some(vec![TransactionRule {
                suffix: None,
                when: None,
                fields,
            }]);
        }
        let items = root.items(self, "transaction");
        if items.is_empty() || items.len() > TRANSACTIONS_MAX {
            let message = format!("1 to {TRANSACTIONS_MAX} tables [[transaction]] are expected");
            self.error(
                root.span_of("transaction").unwrap_or(0..0),
                "transaction",
                message,
            );
        }
        let mut rules: Vec<TransactionRule> = Vec::new();
        let mut suffixes: Vec<Option<&str>> = Vec::new();
        for item in items {
            let Some(section) = root.item_section("transaction", item) else {
                self.error(item.span(), "transaction", "a table is expected");
                continue;
            };
            section.only(self, &["suffix", "when", "fields"]);
            let suffix = section.text(self, "suffix").map(|(text, _)| text);
            if suffix.is_some_and(|text| text.is_empty() || text.contains(['/', '~'])) {
                let message = "a suffix is a word such as \"fee\", without / and ~";
                self.error(item.span(), "transaction.suffix", message);
            }
            if suffixes.contains(&suffix) {
                let message = "each transaction of a record needs another `suffix` behind the record's id; one may be without";
                self.error(item.span(), "transaction.suffix", message);
            }
            suffixes.push(suffix);
            let when = self.when(&section);
            self.is_conditional = when.is_some();
            let own = section.section(self, "fields");
            let fields = self.fields(root, &common, own.as_ref(), any_digits, future_max_micros);
            self.is_conditional = false;
            if let Some(fields) = fields {
                rules.push(TransactionRule {
                    suffix: suffix.map(Into::into),
                    when,
                    fields,
                });
            }
        }
        Some(rules)
    }

    /// Which transaction has the amount, common to all, that control sums add up.
    pub(super) fn controlled(&mut self, root: &Section<'_>, controls: &[ControlPlan]) -> usize {
        if !root.has("transaction") {
            return 0;
        }
        let items = root.items(self, "transaction");
        let found = items.iter().position(|item| {
            let section = root.item_section("transaction", item);
            let own = section.and_then(|section| section.section(self, "fields"));
            own.is_none_or(|own| !own.has("amount") && !own.has("currency"))
        });
        if found.is_none() && controls.iter().any(|control| control.sum.is_some()) {
            let message = "a control sum adds up [fields.amount], but every [[transaction]] has an amount or a currency of its own";
            self.error(
                root.span_of("control").unwrap_or(0..0),
                "control.sum",
                message,
            );
        }
        found.unwrap_or(0)
    }
}
