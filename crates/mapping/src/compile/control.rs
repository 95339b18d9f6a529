//! Compiling `[[control]]`: totals that a document says of its records.

use super::table::Section;
use super::{Compiler, FormatKind};
use crate::control::ControlPlan;

impl Compiler<'_> {
    /// Compiled behind the fields: what a field reads too must stand before the records.
    pub(super) fn controls(&mut self, root: &Section<'_>) -> Vec<ControlPlan> {
        let mut controls = Vec::new();
        for item in root.items(self, "control") {
            let Some(section) = root.item_section("control", item) else {
                let message =
                    "a table such as { count = \"/Document/…/NbOfTxs\" } is expected: [[control]]";
                self.error(item.span(), "control", message);
                continue;
            };
            section.only(self, &["count", "sum"]);
            if !matches!(self.format, FormatKind::Json | FormatKind::Xml) {
                let message = "control totals are of JSON and XML; in fixed columns they are `totals` of a trailer";
                self.error(item.span(), "control", message);
                continue;
            }
            let mut slots = [None; 2];
            for (slot, key) in slots.iter_mut().zip(["count", "sum"]) {
                let Some((path, span)) = section.text(self, key) else {
                    continue;
                };
                let found = if path.starts_with('/') {
                    self.trie.control_path(path, self.format == FormatKind::Xml)
                } else {
                    Err(format!(
                        "{path:?} is inside of the record; a total stands around the records: \"/…\""
                    ))
                };
                match found {
                    Ok(found) => *slot = Some(found),
                    Err(message) => self.error(span, &section.key(key), message),
                }
            }
            let [count, sum] = slots.map(|slot| slot.map(|(slot, _)| slot));
            let [of_count, of_sum] = slots.map(|slot| slot.map(|(_, scope)| scope));
            let Some(scope) = of_count.or(of_sum) else {
                if !section.has("count") && !section.has("sum") {
                    let message = "a control has the path of a `count`, of a `sum`, or of both";
                    self.error(item.span(), "control", message);
                }
                continue;
            };
            if of_sum.is_some_and(|other| other != scope) {
                let message = "`count` and `sum` stand in different elements around the records: write two [[control]]";
                self.error(item.span(), "control.sum", message);
            }
            controls.push(ControlPlan { scope, count, sum });
        }
        controls
    }
}
