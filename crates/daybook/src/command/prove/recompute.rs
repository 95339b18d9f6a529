//! Makes the totals anew from the whole log, and compares them with what was published.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use aggregate::{AggregationOptions, FieldKind, Late, Schema};
use serde_json::Value;
use sql::{AggregationPlan, Folded, FoldedRow, InputBatch, OutputSource, RUN_RECORDS_MAX, Scalar};
use store::{Cell, Row};
use types::{
    Amount, BusinessDay, Counts, DIGITS_UNKNOWN, DayCache, Version, ZonedDays, currency_digits,
};

use super::published::Published;
use super::transaction::{Fields, Record};

/// Most records that are looked at one by one to find those that are not in the totals yet.
const ON_THEIR_WAY_MAX: usize = 100_000;

/// What the comparison of one aggregation found.
pub(super) struct Totals {
    pub(super) name: String,
    pub(super) keys: usize,
    pub(super) counts: BTreeMap<BusinessDay, Counts>,
    pub(super) differences: Vec<String>,
    /// Transactions that are in the log and not yet in the results.
    pub(super) on_their_way: u64,
    /// Whether counts or store were behind.
    pub(super) is_behind: bool,
    due: Due,
}

/// What must be there at the next look.
struct Due {
    /// Sequences by key, of the results.
    results: HashMap<String, u64>,
    /// Versions by key, of the store.
    store: HashMap<String, Version>,
    counts: BTreeMap<BusinessDay, Counts>,
}

impl Totals {
    /// Whether everything this look expected has arrived.
    pub(super) fn is_settled(&self) -> bool {
        self.on_their_way == 0 && !self.is_behind
    }

    /// What was on its way has not come.
    pub(super) fn be_late(&mut self, what: &str) {
        if !self.is_settled() {
            self.differences.push(match self.on_their_way {
                0 => format!("{what}: store or counts are behind the results"),
                count => format!("{what}: {count} transactions are not in the results"),
            });
        }
    }

    /// Whether everything this look expected is there now.
    pub(super) fn has_arrived(&self, now: &Published) -> bool {
        let due = &self.due;
        let sequence = |key: &String| now.rows.get(key).map_or(0, |row| row.version.sequence);
        due.results.iter().all(|(key, rows)| sequence(key) >= *rows)
            && due
                .store
                .iter()
                .all(|(key, version)| now.stored.get(key).is_some_and(|stored| stored >= version))
            && due.counts.iter().all(|(day, own)| {
                now.counts
                    .get(day)
                    .is_some_and(|told| is_at_most(own, told))
            })
    }
}

/// Whether no count of `left` is larger than in `right`.
fn is_at_most(left: &Counts, right: &Counts) -> bool {
    left.counted <= right.counted
        && left.reversing <= right.reversing
        && left.duplicate <= right.duplicate
        && left.late_corrected <= right.late_corrected
        && left.quarantined <= right.quarantined
}

/// Judges a record as DESIGN §2 and §4 say; the parsed fields if it is added.
struct Judge {
    days: ZonedDays,
    options: AggregationOptions,
    /// That of the options: shared, as it is needed for each record.
    input: Arc<Schema>,
    /// Hash of the content by partition, source and id.
    seen: HashMap<(i32, String, String), u64>,
    clocks: HashMap<i32, i64>,
    counts: BTreeMap<BusinessDay, Counts>,
}

impl Judge {
    fn new(options: &AggregationOptions) -> Self {
        Self {
            days: ZonedDays::new(options.calendar.clone()),
            options: options.clone(),
            input: Arc::new(options.input.clone()),
            seen: HashMap::new(),
            clocks: HashMap::new(),
            counts: BTreeMap::new(),
        }
    }

    fn day(&mut self, at: i64) -> BusinessDay {
        day_of(self.days.default_zone(), at)
    }

    /// The business day, if the record is added.
    fn judge(&mut self, record: &Record) -> Option<BusinessDay> {
        let appended = self.day(record.appended_at);
        let quarantine = |judge: &mut Self, day| {
            judge.counts.entry(day).or_default().quarantined += 1;
            None
        };
        let fields = Fields::read(&record.value);
        let Some(fields) = fields.filter(|fields| fields.fits(&self.options.input)) else {
            return quarantine(self, appended);
        };
        let input = Arc::clone(&self.input);
        let column = |column: Option<usize>| column.and_then(|column| input.columns.get(column));
        let text = |place| column(place).and_then(|column| fields.text(&column.name));
        let instant =
            |place| column(place).and_then(|column| fields.instant(&column.name, column.kind));
        let booked = instant(Some(input.event_time))?;
        let received = instant(input.received_at).unwrap_or(record.appended_at);
        if received > record.appended_at + self.options.clock_skew_max_micros {
            return quarantine(self, appended);
        }
        let clock = self.clocks.entry(record.partition).or_insert(received);
        *clock = (*clock).max(received);
        let clock = *clock;
        let zone = text(self.options.zone_column);
        let Ok(days) = self.days.zone(zone) else {
            let today = self.day(clock);
            return quarantine(self, today);
        };
        let (today, day) = (day_of(days, clock), day_of(days, booked));
        let first_kept = self
            .options
            .keep_days
            .map(|keep| days.first_kept(today, keep));
        if booked > clock + self.options.future_max_micros {
            return quarantine(self, today);
        }
        if first_kept.is_some_and(|first| day < first) {
            return quarantine(self, today);
        }
        if !self.options.reversals && text(input.reverses).is_some() {
            return quarantine(self, day);
        }
        let content = fields.content(&input);
        let identity = (
            record.partition,
            text(input.source).unwrap_or("").to_owned(),
            text(Some(input.id))?.to_owned(),
        );
        match self.seen.get(&identity) {
            Some(known) if *known == content => {
                self.counts.entry(day).or_default().duplicate += 1;
                return None;
            }
            Some(_) => return quarantine(self, day),
            None => {}
        }
        let late = first_kept.is_some() && day < today;
        if late && self.options.late == Late::Quarantine {
            return quarantine(self, today);
        }
        self.seen.insert(identity, content);
        let counts = self.counts.entry(day).or_default();
        match (late, text(input.reverses).is_some()) {
            (true, _) => counts.late_corrected += 1,
            (false, true) => counts.reversing += 1,
            (false, false) => counts.counted += 1,
        }
        Some(day)
    }
}

fn day_of(days: &mut DayCache, at: i64) -> BusinessDay {
    days.day_of(at).unwrap_or(BusinessDay::EPOCH)
}

/// Makes the totals of one aggregation anew from all records and compares them with what was
/// published before the records were read.
///
/// A row is compared as far as it is: with sequence n, with the first n records of its key. That needs
/// the records of a key in the order they were added, which is theirs in the partition.
pub(super) async fn compare(
    options: &AggregationOptions,
    records: &[Record],
    published: &Published,
) -> anyhow::Result<Totals> {
    let mut judge = Judge::new(options);
    let mut accepted = Vec::new();
    for record in records {
        if let Some(day) = judge.judge(record) {
            accepted.push((record, day));
        }
    }
    let mut recount = Recount::new(options).await?;
    let all = recount.rows(accepted.iter()).await?;
    let mut missing: HashMap<String, u64> = HashMap::new();
    for (key, row) in &all {
        let sequence = published
            .rows
            .get(key)
            .map_or(0, |row| row.version.sequence);
        // Of a row that HAVING hides nothing more is published.
        let found = published.rows.get(key);
        if !row.visible && found.is_none_or(|found| found.deleted) {
            continue;
        }
        if row.rows > sequence {
            missing.insert(key.clone(), row.rows - sequence);
        }
    }
    let on_their_way: u64 = missing.values().sum();
    let mut differences = published.differences.clone();
    // Days that are no longer kept are not recomputed: their records may be gone.
    let is_late = |key: &str| missing.contains_key(key);
    let as_far = match missing.is_empty() {
        true => None,
        false => recount.without_newest(&accepted, missing.clone()).await?,
    };
    match &as_far {
        Some(rows) => difference(rows, &published.rows, |_| false, &mut differences),
        // Too many to tell which they are: these keys wait for the next look.
        None => difference(&all, &published.rows, is_late, &mut differences),
    }
    let mut is_behind = published.store_behind() > 0;
    let days: BTreeSet<&BusinessDay> = judge.counts.keys().chain(published.counts.keys()).collect();
    for day in days {
        let (own, told) = (judge.counts.get(day), published.counts.get(day));
        let (own, told) = (
            own.copied().unwrap_or_default(),
            told.copied().unwrap_or_default(),
        );
        if !is_at_most(&told, &own) {
            differences.push(format!(
                "counts of {day}: recomputed {own:?}, told {told:?}"
            ));
        }
        is_behind |= own != told;
    }
    let newest = published.rows.iter();
    Ok(Totals {
        name: options.name.clone(),
        keys: all.len(),
        differences,
        on_their_way,
        is_behind,
        due: Due {
            results: all
                .into_iter()
                .filter(|(_, row)| row.visible)
                .map(|(key, row)| (key, row.rows))
                .collect(),
            store: newest
                .map(|(key, row)| (key.clone(), row.version))
                .collect(),
            counts: judge.counts.clone(),
        },
        counts: judge.counts,
    })
}

/// A row as it must be.
struct Expected {
    cells: Vec<Cell>,
    /// Records in it.
    rows: u64,
    /// Whether HAVING is satisfied.
    visible: bool,
}

/// Parts of a key.
type Key = Vec<Option<String>>;

/// Records and folded values of a row.
type FoldedTotal = (u64, Vec<Folded>);

/// Rows by key.
type Rows = HashMap<String, Expected>;

/// The aggregation's SQL over any choice of records.
struct Recount {
    plan: AggregationPlan,
    input: Schema,
}

impl Recount {
    async fn new(options: &AggregationOptions) -> anyhow::Result<Self> {
        let input = options.input.clone();
        let plan = AggregationPlan::compile(&options.sql, &input.stream_columns()).await?;
        Ok(Self { plan, input })
    }

    /// The rows without the newest `missing` records of some keys; `None` when these are not found
    /// among the last records.
    async fn without_newest(
        &mut self,
        accepted: &[(&Record, BusinessDay)],
        mut missing: HashMap<String, u64>,
    ) -> anyhow::Result<Option<Rows>> {
        let mut left_out = HashSet::new();
        for (place, one) in accepted.iter().enumerate().rev().take(ON_THEIR_WAY_MAX) {
            if missing.is_empty() {
                break;
            }
            let key = self.rows(std::iter::once(one)).await?.into_keys().next();
            let Some(key) = key else { continue };
            if let Some(count) = missing.get_mut(&key) {
                left_out.insert(place);
                *count -= 1;
                if *count == 0 {
                    missing.remove(&key);
                }
            }
        }
        if !missing.is_empty() {
            return Ok(None);
        }
        let rest = accepted.iter().enumerate();
        let rest = rest.filter(|(place, _)| !left_out.contains(place));
        Ok(Some(self.rows(rest.map(|(_, one)| one)).await?))
    }

    /// Of any number of records, in runs.
    async fn rows<'r>(
        &mut self,
        records: impl Iterator<Item = &'r (&'r Record, BusinessDay)>,
    ) -> anyhow::Result<Rows> {
        let mut folded = HashMap::new();
        let mut batch = self.plan.new_batch();
        for (record, day) in records {
            let Some(fields) = Fields::read(&record.value) else {
                continue;
            };
            push(&self.plan, &self.input, &mut batch, &fields, record, *day)?;
            if batch.rows() == RUN_RECORDS_MAX {
                self.fold(&mut batch, &mut folded).await?;
            }
        }
        self.fold(&mut batch, &mut folded).await?;
        Ok(self.expected(&folded))
    }

    /// Adds a run to the rows.
    async fn fold(
        &mut self,
        batch: &mut InputBatch,
        folded: &mut HashMap<Key, FoldedTotal>,
    ) -> anyhow::Result<()> {
        let mut refused = None;
        let run = self.plan.run(batch, |group| {
            let key: Key = group
                .key
                .iter()
                .map(|part| part.map(str::to_owned))
                .collect();
            let Some(total) = folded.get_mut(&key) else {
                folded.insert(key, (group.rows, group.values.to_vec()));
                return;
            };
            total.0 += group.rows;
            for (value, more) in total.1.iter_mut().zip(group.values) {
                match value.checked_fold(more) {
                    Ok(next) => value.take(next),
                    Err(error) => refused = Some(error),
                }
            }
        });
        run.await?;
        refused.map_or(Ok(()), |error| Err(error.into()))
    }

    fn expected(&self, folded: &HashMap<Key, FoldedTotal>) -> Rows {
        let plan = &self.plan;
        let currency = plan.keys().iter().position(|key| key == "currency");
        let totals: Vec<(Vec<Option<&str>>, &FoldedTotal)> = folded
            .iter()
            .map(|(key, total)| (key.iter().map(Option::as_deref).collect(), total))
            .collect();
        let rows: Vec<FoldedRow<'_>> = totals
            .iter()
            .map(|(key, total)| FoldedRow {
                key,
                values: &total.1,
            })
            .collect();
        let finished = plan.finish(&rows);
        let mut expected = HashMap::new();
        for (place, row) in rows.iter().enumerate() {
            let part = |index: usize| row.key.get(index).copied().flatten();
            let digits = currency
                .and_then(part)
                .and_then(currency_digits)
                .unwrap_or(DIGITS_UNKNOWN);
            let cells = plan.outputs().iter().map(|output| match output.source {
                OutputSource::Key(index) => {
                    part(index).map_or(Cell::Null, |text| Cell::Text(text.to_owned()))
                }
                OutputSource::Value(index) => {
                    let shown = row.values.get(index).and_then(Folded::shown);
                    cell(shown.as_ref(), digits)
                }
                OutputSource::Computed(index) => {
                    let column = finished.computed.get(index);
                    let value = column.and_then(|column| column.get(place));
                    cell(value.and_then(Option::as_ref), digits)
                }
            });
            let expectation = Expected {
                cells: cells.collect(),
                rows: totals[place].1.0,
                visible: finished.visible.get(place) == Some(&true),
            };
            expected.insert(Value::from(row.key.to_vec()).to_string(), expectation);
        }
        expected
    }
}

/// A record's columns.
fn push(
    plan: &AggregationPlan,
    input: &Schema,
    batch: &mut InputBatch,
    fields: &Fields,
    record: &Record,
    day: BusinessDay,
) -> anyhow::Result<()> {
    for (index, column) in plan.columns().iter().enumerate() {
        let name = column.name.as_str();
        let Some(place) = input.column(name) else {
            batch.push_date(index, Some(day.epoch_days()));
            continue;
        };
        let kind = input.columns[place].kind;
        let said = fields.said(name, kind);
        match kind {
            FieldKind::Text if Some(place) == input.source => {
                batch.push_text(index, Some(said.unwrap_or_default()));
            }
            FieldKind::Text => batch.push_text(index, said),
            FieldKind::Decimal => {
                batch.push_amount(index, said.map(Amount::parse).transpose()?);
            }
            FieldKind::Integer => batch.push_integer(index, said.map(str::parse).transpose()?),
            FieldKind::Timestamp | FieldKind::EpochMillis => {
                let at = fields.instant(name, kind);
                let is_received = Some(place) == input.received_at;
                batch.push_timestamp(index, at.or(is_received.then_some(record.appended_at)));
            }
            FieldKind::Date => {
                let date = said.map(str::parse::<BusinessDay>).transpose()?;
                batch.push_date(index, date.map(BusinessDay::epoch_days));
            }
        }
    }
    batch.end_record();
    Ok(())
}

fn cell(value: Option<&Scalar>, digits: u32) -> Cell {
    match value {
        None => Cell::Null,
        Some(Scalar::Decimal(decimal)) => Cell::Text(decimal.display(digits).to_string()),
        Some(Scalar::Int(number)) => Cell::Int(*number),
        Some(Scalar::Text(text)) => Cell::Text(text.to_string()),
        Some(Scalar::Date(days)) => BusinessDay::from_epoch_days(*days)
            .map_or(Cell::Null, |day| Cell::Text(day.to_string())),
        Some(Scalar::Timestamp(micros)) => jiff::Timestamp::from_microsecond(*micros)
            .map_or(Cell::Null, |at| Cell::Text(at.to_string())),
    }
}

fn difference(
    expected: &Rows,
    found: &HashMap<String, Row>,
    is_left_out: impl Fn(&str) -> bool,
    differences: &mut Vec<String>,
) {
    let all: BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    for key in all.into_iter().filter(|key| !is_left_out(key)) {
        let what = match (expected.get(key), found.get(key)) {
            (None, Some(row)) if !row.deleted => "is there, but not expected".to_owned(),
            (None, _) => continue,
            (Some(Expected { visible: false, .. }), Some(row)) if !row.deleted => {
                "is there, but HAVING hides it".to_owned()
            }
            (Some(Expected { visible: false, .. }), _) => continue,
            (Some(_), Some(row)) if row.deleted => "is deleted, but expected".to_owned(),
            (Some(Expected { cells, .. }), None) => format!("is missing, expected {cells:?}"),
            (Some(Expected { cells, .. }), Some(row)) if row.cells != *cells => {
                format!("is {:?}, expected {cells:?}", row.cells)
            }
            (Some(Expected { rows, .. }), Some(row)) if row.version.sequence != *rows => {
                format!("has sequence {}, expected {rows}", row.version.sequence)
            }
            (Some(_), Some(_)) => continue,
        };
        differences.push(format!("results topic: {key} {what}"));
    }
}
