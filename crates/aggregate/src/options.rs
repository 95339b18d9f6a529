//! What an aggregation is.

use std::sync::Arc;

use types::{BusinessCalendar, CalendarError};

use crate::schema::Schema;
use crate::spark::SparkOptions;
use crate::spill::SpillOptions;

/// What becomes of a transaction whose business day has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// It corrects its own day while that is kept.
    Correct,
    /// It is quarantined.
    Quarantine,
}

/// What adds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EngineKind {
    /// This program.
    #[default]
    Native,
    /// Apache Spark: [`SparkOptions`] say where it is.
    Spark,
}

/// One aggregation and its limits.
#[derive(Debug, Clone)]
pub struct AggregationOptions {
    /// Name; also that of the results topic and of the store's table.
    pub name: String,
    /// Tells this process apart from others that count the same aggregation, in the group and in Kafka's transactional ids. One
    /// that comes again under its name goes on at once. `None`: a new name each time.
    pub instance: Option<String>,
    /// The SELECT statement (DESIGN §4).
    pub sql: String,
    /// IANA zone of the business day, as configured.
    pub zone: String,
    /// Beginning of the business day in local time, as configured.
    pub cut_off: String,
    /// Zone, cut-off and working days, understood.
    pub calendar: BusinessCalendar,
    /// Which of the input's columns names the zone of a row; rows without it, and all rows if it is `None`, are of the calendar's
    /// zone.
    pub zone_column: Option<usize>,
    /// Business days kept, today included; `None` keeps every day, and then nothing is late.
    pub keep_days: Option<u16>,
    /// See [`Late`].
    pub late: Late,
    /// Whether transactions may take others back (`reverses`). Then min, max and count(DISTINCT) are refused, which cannot go
    /// back; else a transaction that takes another back is quarantined.
    pub reversals: bool,
    /// How far ahead of the stream clock `booked_at` may be, in microseconds.
    pub future_max_micros: i64,
    /// How far ahead of the log's append time `received_at` may be, in microseconds.
    pub clock_skew_max_micros: i64,
    /// What is counted.
    pub input: Schema,
    /// Most records in one batch and so in one Kafka transaction. More means higher throughput
    /// under load; a batch is never waited for.
    pub batch_records_max: usize,
    /// Whether this process keeps a copy of the state of the partitions that other processes have, to take them over quickly.
    pub standby: bool,
    /// The definition as it was declared, kept with it in the log: text for people and tools, which the engine does not read.
    pub declared: String,
    /// What adds up.
    pub engine: EngineKind,
    /// How Spark is reached; also where the engine is native, to end the queries of before.
    pub spark: Option<Arc<SparkOptions>>,
    /// Where state goes that is more than the memory it may take; `None` keeps all in memory.
    pub spill: Option<SpillOptions>,
}

/// An hour in microseconds.
const HOUR_MICROS: i64 = 3_600_000_000;
/// The time between the zones that are furthest from each other, UTC-12 and UTC+14, in microseconds.
const ZONES_APART_MICROS: i64 = 26 * HOUR_MICROS;

impl AggregationOptions {
    /// Of Daybook's own transactions in a zone whose business day begins at `cut_off`, and otherwise as a configuration that says no
    /// more.
    ///
    /// # Errors
    ///
    /// [`CalendarError`] of zone or cut-off.
    pub fn new(name: &str, sql: &str, zone: &str, cut_off: &str) -> Result<Self, CalendarError> {
        Ok(Self {
            name: name.to_owned(),
            instance: None,
            sql: sql.to_owned(),
            zone: zone.to_owned(),
            cut_off: cut_off.to_owned(),
            calendar: BusinessCalendar::new(zone, cut_off)?,
            zone_column: None,
            keep_days: Some(2),
            late: Late::Correct,
            reversals: true,
            future_max_micros: 24 * HOUR_MICROS,
            clock_skew_max_micros: HOUR_MICROS,
            input: Schema::canonical(&[]),
            batch_records_max: 50_000,
            standby: false,
            declared: String::new(),
            engine: EngineKind::Native,
            spark: None,
            spill: None,
        })
    }

    /// How far ahead of the log's clock the beginning of a transaction's business day may be, in microseconds: the stream clock may
    /// be ahead of it, a transaction of that, and the row's zone of the aggregation's.
    pub fn ahead_max_micros(&self) -> i64 {
        let zones = self.zone_column.map_or(0, |_| ZONES_APART_MICROS);
        self.clock_skew_max_micros + self.future_max_micros + zones
    }
}

/// What the results of an aggregation mean, and which of its definitions it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// From 1; each change of the definition has a higher one.
    pub generation: u32,
    /// See [`fingerprint`].
    pub fingerprint: String,
}

/// Identifies what the results mean. When it changes the kept days are counted anew.
///
/// The calendar is in it with all its holidays and the version of the time zone database.
pub fn fingerprint(options: &AggregationOptions) -> String {
    let words: Vec<&str> = options.sql.split_whitespace().collect();
    let reversals = match options.reversals {
        true => "",
        false => "|no reversals",
    };
    let engine = match options.engine {
        EngineKind::Native => "",
        EngineKind::Spark => "|spark",
    };
    let definition = format!(
        "3|{}|{}|{:?}|{:?}|{}|{:?}{reversals}{engine}",
        words.join(" "),
        options.calendar.definition(),
        options.keep_days,
        options.late,
        options.input.definition(),
        options
            .zone_column
            .map(|column| options.input.place_in_definition(column))
    );
    blake3::hash(definition.as_bytes()).to_hex()[..32].to_owned()
}
