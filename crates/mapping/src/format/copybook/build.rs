//! From entries to items: nesting by level, and what each holds.

use std::collections::HashMap;

use super::layout::{Item, ItemId, Kind, Occurs};
use super::number::{Number, SignPlace, Storage};
use super::parse::{Entry, Parser, Usage};
use super::picture::Picture;

impl Parser<'_> {
    /// Nests the entries by their levels and settles what they hold.
    pub(super) fn items(&mut self) -> Vec<Item> {
        let mut items: Vec<Item> = Vec::with_capacity(self.entries.len());
        let mut open: Vec<ItemId> = Vec::new();
        let mut by_name: HashMap<String, ItemId> = HashMap::new();
        let entries = std::mem::take(&mut self.entries);
        // USAGE and SIGN of a group hold for its fields.
        let mut usages: Vec<Option<Usage>> = Vec::with_capacity(entries.len());
        let mut signs: Vec<Option<(bool, bool)>> = Vec::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            while open
                .last()
                .is_some_and(|top| items[*top].level >= entry.level)
            {
                if let Some(closed) = open.pop() {
                    items[closed].end = index;
                }
            }
            let parent = open.last().copied();
            usages.push(entry.usage.or(parent.and_then(|parent| usages[parent])));
            signs.push(entry.sign.or(parent.and_then(|parent| signs[parent])));
            let is_group = entries
                .get(index + 1)
                .is_some_and(|next| next.level > entry.level);
            let kind = self.kind(entry, is_group, usages[index], signs[index]);
            let redefines = self.redefined(entry, parent, &items, index);
            let depending = entry.depending.as_ref().and_then(|(name, offset)| {
                let found = by_name.get(name).copied().filter(|found| is_count(&items[*found]));
                if found.is_none() {
                    let message = format!("DEPENDING ON {name}: there is no whole number of this name in front of the table");
                    self.mistake(*offset, message);
                }
                found
            });
            items.push(Item {
                name: entry.name.as_str().into(),
                level: entry.level,
                parent,
                end: index + 1,
                redefines,
                occurs: entry.occurs.map(|(min, max)| Occurs {
                    min,
                    max,
                    depending,
                }),
                kind,
                element: 0,
                size: None,
            });
            by_name.insert(entry.name.clone(), index);
            open.push(index);
        }
        for closed in open {
            items[closed].end = items.len();
        }
        self.entries = entries;
        items
    }

    fn kind(
        &mut self,
        entry: &Entry,
        is_group: bool,
        usage: Option<Usage>,
        sign: Option<(bool, bool)>,
    ) -> Kind {
        if let Some(offset) = entry.sync
            && !is_group
            && usage.is_some_and(|usage| usage != Usage::Display && usage != Usage::Packed)
        {
            let message = "SYNC inserts bytes that depend on the compiler: remove it and write them as FILLER";
            self.mistake(offset, message);
        }
        if is_group {
            if let Some((_, offset)) = entry.picture {
                self.mistake(
                    offset,
                    format!(
                        "{} has a PIC and fields below it; one of them is wrong",
                        entry.name
                    ),
                );
            }
            return Kind::Group;
        }
        match (usage, entry.picture) {
            (Some(Usage::Single), _) => Kind::Float(4),
            (Some(Usage::Double), _) => Kind::Float(8),
            (Some(Usage::Opaque(bytes)), None) => Kind::Text(bytes),
            (_, None) => {
                self.mistake(
                    entry.offset,
                    format!("{} has neither a PIC nor fields below it", entry.name),
                );
                Kind::Text(0)
            }
            (_, Some((Picture::Text(characters), _))) => Kind::Text(characters),
            (_, Some((Picture::National(characters), _))) => Kind::National(2 * characters),
            (usage, Some((Picture::Number(picture), offset))) => {
                let place = match sign {
                    None | Some((false, false)) => SignPlace::Trailing,
                    Some((true, false)) => SignPlace::Leading,
                    Some((false, true)) => SignPlace::TrailingSeparate,
                    Some((true, true)) => SignPlace::LeadingSeparate,
                };
                let storage = match usage {
                    Some(Usage::Binary) => Storage::Binary {
                        little_endian: false,
                        native: false,
                    },
                    Some(Usage::Native) => Storage::Binary {
                        little_endian: self.options.comp5_little,
                        native: true,
                    },
                    Some(Usage::Packed) => Storage::Packed,
                    _ => Storage::Display(place),
                };
                let text_only = picture.edited || picture.point;
                if text_only && !matches!(storage, Storage::Display(_)) {
                    self.mistake(
                        offset,
                        "a PIC with a point or signs of its own is for DISPLAY only",
                    );
                }
                Kind::Number(Number {
                    picture,
                    storage,
                    signed: picture.signed || entry.sign.is_some(),
                })
            }
        }
    }

    /// The item that an entry redefines: a sibling before it, or the first record where there are several.
    fn redefined(
        &mut self,
        entry: &Entry,
        parent: Option<ItemId>,
        items: &[Item],
        index: ItemId,
    ) -> Option<ItemId> {
        let Some((name, offset)) = &entry.redefines else {
            return (entry.level == 1 && index > 0).then_some(0);
        };
        let from = parent.map_or(0, |parent| parent + 1);
        let found = (from..index)
            .rev()
            .find(|at| items[*at].parent == parent && *items[*at].name == **name);
        if found.is_none() {
            self.mistake(
                *offset,
                format!(
                    "REDEFINES {name}: there is no such field in front of it in the same group"
                ),
            );
        }
        found
    }
}

/// Whether an item can say how many elements a table has.
fn is_count(item: &Item) -> bool {
    matches!(item.kind, Kind::Number(number) if number.picture.scale == 0)
}
