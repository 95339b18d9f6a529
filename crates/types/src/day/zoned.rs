//! Business days of a stream whose rows name their zone.

use std::collections::HashMap;
use std::fmt;

use super::local::canonical;
use super::{BusinessCalendar, BusinessDay, DayCache, Micros};

/// Zones kept ready, in zones; the one that was not asked for the longest makes room. Some 10 KB
/// each. More make answers slower (some 20 µs for a zone that is not ready), never different.
pub const ZONES_MAX: usize = 128;

/// Most characters of a zone's name that a reason repeats.
const NAME_CHARS_MAX: usize = 64;

/// A row names a zone that is not in the database. Asking again does not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct UnknownZone {
    /// As the row has it, cut after 64 characters.
    pub name: String,
}

impl fmt::Display for UnknownZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no time zone of the IANA database", self.name)
    }
}

/// Days by zone: a calendar's, and those of the same cut-off and working days in other zones.
#[derive(Debug)]
pub struct ZonedDays {
    default: DayCache,
    /// By the database's spelling, without the default's own.
    others: HashMap<&'static str, Ready>,
    asked: u64,
}

#[derive(Debug)]
struct Ready {
    days: DayCache,
    /// Number of the question that last asked for it.
    asked: u64,
}

impl ZonedDays {
    /// Days of a calendar; its zone is that of rows without one.
    pub fn new(calendar: BusinessCalendar) -> Self {
        Self {
            default: DayCache::new(calendar),
            others: HashMap::new(),
            asked: 0,
        }
    }

    /// Days in the calendar's own zone.
    pub fn default_zone(&mut self) -> &mut DayCache {
        &mut self.default
    }

    /// Days in the zone that a row names; in the calendar's own if it names none. Allocates only
    /// for a zone that is not ready.
    ///
    /// # Errors
    ///
    /// [`UnknownZone`].
    pub fn zone(&mut self, name: Option<&str>) -> Result<&mut DayCache, UnknownZone> {
        let Some(name) = name.filter(|name| *name != self.default.calendar().zone()) else {
            return Ok(&mut self.default);
        };
        let unknown = || UnknownZone {
            name: name.chars().take(NAME_CHARS_MAX).collect(),
        };
        self.asked += 1;
        let known = match self.others.get_key_value(name) {
            Some((known, _)) => *known,
            None => canonical(name).ok_or_else(unknown)?,
        };
        if known == self.default.calendar().zone() {
            return Ok(&mut self.default);
        }
        if !self.others.contains_key(known) {
            let calendar = self.default.calendar().in_zone(known);
            let ready = Ready {
                days: DayCache::new(calendar.map_err(|_| unknown())?),
                asked: self.asked,
            };
            self.make_room();
            self.others.insert(known, ready);
        }
        let ready = self.others.get_mut(known).ok_or_else(unknown)?;
        ready.asked = self.asked;
        Ok(&mut ready.days)
    }

    fn make_room(&mut self) {
        if self.others.len() < ZONES_MAX {
            return;
        }
        let longest = self.others.iter().min_by_key(|(_, ready)| ready.asked);
        if let Some(name) = longest.map(|(name, _)| *name) {
            self.others.remove(name);
        }
    }

    /// A day before which nothing is kept in any zone at an instant, when `keep` days are kept,
    /// today included. Up to three days and one business day earlier than in a single zone.
    pub fn first_kept_anywhere(&self, at: Micros, keep: u16) -> Option<BusinessDay> {
        self.default.calendar().kept_in_every_zone(at, keep)
    }

    /// Zones that are ready beside the calendar's own.
    pub fn ready(&self) -> usize {
        self.others.len()
    }
}
