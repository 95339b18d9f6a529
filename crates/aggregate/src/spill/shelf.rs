//! The part of a map that moved out: a table for some days, with a filter in front of it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Mutex, PoisonError};

use rapidhash::v3::rapidhash_v3;

use super::filter::Filter;
use super::{Chapters, Out, Pair, ScratchError, Table};

/// What a table takes in memory: SQLite's connection, statements and cache of pages.
const TABLE_BYTES: usize = 192 << 10;
/// The day stands before a value.
const DAY_BYTES: usize = 4;

/// Entries of a map on disk, by their days: when those are over their table is dropped.
#[derive(Debug)]
pub(crate) struct Shelf {
    days: Chapters,
    chapters: BTreeMap<i32, Chapter>,
}

#[derive(Debug)]
struct Chapter {
    /// Only so that others may look at the whole from other threads; never locked.
    table: Mutex<Box<dyn Table>>,
    filter: Filter,
    /// Entries that are not in memory too.
    away: usize,
}

/// Where an entry was found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place(i32);

impl Shelf {
    /// For a map that keeps so many days.
    pub(crate) fn new(keep_days: Option<u16>) -> Self {
        Self {
            days: Chapters::new(keep_days),
            chapters: BTreeMap::new(),
        }
    }

    /// Whether nothing has moved out.
    pub(crate) fn is_empty(&self) -> bool {
        self.chapters.is_empty()
    }

    /// Entries that are on disk and not in memory.
    pub(crate) fn away(&self) -> usize {
        self.chapters.values().map(|chapter| chapter.away).sum()
    }

    /// What it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.filter_bytes() + self.chapters.len() * TABLE_BYTES
    }

    pub(crate) fn filter_bytes(&self) -> usize {
        let chapters = self.chapters.values();
        chapters.map(|chapter| chapter.filter.bytes()).sum()
    }

    pub(crate) fn disk_bytes(&self) -> u64 {
        let table = |chapter: &Chapter| {
            let table = chapter.table.lock();
            table.unwrap_or_else(PoisonError::into_inner).disk_bytes()
        };
        self.chapters.values().map(table).sum()
    }

    /// Moves entries of a day here, so many, in the order of their keys.
    pub(crate) fn put(
        &mut self,
        out: Out<'_>,
        day: i32,
        count: usize,
        entries: impl Iterator<Item = Pair>,
    ) -> Result<(), ScratchError> {
        let number = self.days.of(day);
        let chapter = match self.chapters.entry(number) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(Chapter {
                table: Mutex::new(out.scratch.table()?),
                filter: Filter::for_entries(count),
                away: 0,
            }),
        };
        if out.filters_may_grow && chapter.filter.is_full_with(count) {
            let mut filter = Filter::for_entries(chapter.filter.entries() + count);
            chapter
                .table()
                .each_key(&mut |key| filter.insert(rapidhash_v3(key)))?;
            chapter.filter = filter;
        }
        let filter = &mut chapter.filter;
        let mut pairs = entries.map(|(key, value)| {
            filter.insert(rapidhash_v3(&key));
            (key, [&day.to_le_bytes(), value.as_slice()].concat())
        });
        let table = chapter.table.get_mut();
        table
            .unwrap_or_else(PoisonError::into_inner)
            .put(&mut pairs)?;
        chapter.away += count;
        Ok(())
    }

    /// The value of a key with its day; of a day only where that is known.
    pub(crate) fn find(
        &mut self,
        key: &[u8],
        day: Option<i32>,
    ) -> Result<Option<(Place, i32, Vec<u8>)>, ScratchError> {
        let hash = rapidhash_v3(key);
        let only = day.map(|day| self.days.of(day));
        let chapters = self.chapters.iter_mut();
        let chapters = chapters.filter(|(number, chapter)| {
            only.is_none_or(|only| only == **number) && chapter.filter.may_have(hash)
        });
        for (number, chapter) in chapters {
            if let Some(value) = chapter.table().get(key)? {
                let (day, value) = split(value)?;
                return Ok(Some((Place(*number), day, value)));
            }
        }
        Ok(None)
    }

    /// An entry that was found is in memory from now on.
    pub(crate) fn note_back(&mut self, place: Place) {
        if let Some(chapter) = self.chapters.get_mut(&place.0) {
            chapter.away = chapter.away.saturating_sub(1);
        }
    }

    /// Takes a key out, wherever it is: nothing of it is left.
    pub(crate) fn take(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, ScratchError> {
        let Some((place, _, value)) = self.find(key, None)? else {
            return Ok(None);
        };
        if let Some(chapter) = self.chapters.get_mut(&place.0) {
            chapter.table().remove(&[key.into()])?;
        }
        self.note_back(place);
        Ok(Some(value))
    }

    /// Drops all.
    pub(crate) fn clear(&mut self) {
        self.chapters.clear();
    }

    /// Goes through all entries with key, day and value, also those that are in memory too.
    pub(crate) fn each(
        &mut self,
        each: &mut impl FnMut(Box<[u8]>, i32, &[u8]) -> Result<(), ScratchError>,
    ) -> Result<(), ScratchError> {
        self.chapters
            .values_mut()
            .try_for_each(|chapter| chapter.each(each))
    }

    /// Drops entries of days before `first`. `gone` is told those that are looked at, also if they are in memory too, and says
    /// whether they are not: all of them with `is_told`, else only those that share a table with others.
    pub(crate) fn drop_before(
        &mut self,
        first: i32,
        is_told: bool,
        gone: &mut impl FnMut(&[u8], &[u8]) -> Result<bool, ScratchError>,
    ) -> Result<(), ScratchError> {
        let days = i64::from(self.days.days);
        let is_over = |number: i32| (i64::from(number) + 1) * days <= i64::from(first);
        if is_told {
            let chapters = self.chapters.iter_mut();
            for (_, chapter) in chapters.filter(|(number, _)| is_over(**number)) {
                chapter.each(&mut |key, _, value| gone(&key, value).map(drop))?;
            }
        }
        self.chapters.retain(|number, _| !is_over(*number));
        let begun = self.days.of(first);
        let is_shared = i64::from(begun) * days < i64::from(first);
        match self.chapters.get_mut(&begun).filter(|_| is_shared) {
            Some(chapter) => chapter.drop_before(first, gone),
            None => Ok(()),
        }
    }
}

impl Chapter {
    fn table(&mut self) -> &mut dyn Table {
        let table = self.table.get_mut();
        table.unwrap_or_else(PoisonError::into_inner).as_mut()
    }

    fn each(
        &mut self,
        each: &mut impl FnMut(Box<[u8]>, i32, &[u8]) -> Result<(), ScratchError>,
    ) -> Result<(), ScratchError> {
        let mut after = None;
        while let Some(page) = self.next_page(&mut after)? {
            for (key, value) in page {
                let (day, value) = split(value)?;
                each(key, day, &value)?;
            }
        }
        Ok(())
    }

    /// The pairs behind a key, which becomes the last of them; `None` at the end.
    fn next_page(
        &mut self,
        after: &mut Option<Box<[u8]>>,
    ) -> Result<Option<Vec<Pair>>, ScratchError> {
        let page = self.table().page(after.as_deref())?;
        let Some((last, _)) = page.last() else {
            return Ok(None);
        };
        *after = Some(last.clone());
        Ok(Some(page))
    }

    fn drop_before(
        &mut self,
        first: i32,
        gone: &mut impl FnMut(&[u8], &[u8]) -> Result<bool, ScratchError>,
    ) -> Result<(), ScratchError> {
        let mut after = None;
        while let Some(page) = self.next_page(&mut after)? {
            let mut over = Vec::new();
            for (key, value) in page {
                let (day, value) = split(value)?;
                if day < first {
                    let was_away = gone(&key, &value)?;
                    self.away = self.away.saturating_sub(usize::from(was_away));
                    over.push(key);
                }
            }
            self.table().remove(&over)?;
        }
        Ok(())
    }
}

/// The day before a value, and the value.
fn split(mut value: Vec<u8>) -> Result<(i32, Vec<u8>), ScratchError> {
    let rest = value.split_off(DAY_BYTES.min(value.len()));
    let day = value.try_into().map_err(|_| ScratchError::Damaged)?;
    Ok((i32::from_le_bytes(day), rest))
}
