//! Makes the totals anew from the whole log, and compares them with what was published.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use aggregate::{AggregationOptions, Late, stream_columns};
use serde_json::Value;
use sql::{AggregationPlan, Folded, OutputSource};
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
        let Some(fields) =
            fields.filter(|fields| fields.is_transaction(&self.options.text_columns))
        else {
            return quarantine(self, appended);
        };
        let booked = fields.micros("booked_at")?;
        let received = fields.micros("received_at").unwrap_or(record.appended_at);
        if received > record.appended_at + self.options.clock_skew_max_micros {
            return quarantine(self, appended);
        }
        let clock = self.clocks.entry(record.partition).or_insert(received);
        *clock = (*clock).max(received);
        let clock = *clock;
        let column = self.options.zone_column;
        let column = column.and_then(|column| self.options.text_columns.get(column));
        let zone = column.and_then(|column| fields.text(column));
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
        let content = fields.content();
        let identity = (
            record.partition,
            fields.text("source").unwrap_or("").to_owned(),
            fields.text("id")?.to_owned(),
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
        match (late, fields.text("reverses").is_some()) {
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
            results: all.into_iter().map(|(key, row)| (key, row.rows)).collect(),
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
}

/// Rows by key.
type Rows = HashMap<String, Expected>;

/// The aggregation's SQL over any choice of records.
struct Recount {
    plan: AggregationPlan,
}

impl Recount {
    async fn new(options: &AggregationOptions) -> anyhow::Result<Self> {
        let columns = stream_columns(&options.text_columns);
        let plan = AggregationPlan::compile(&options.sql, &columns).await?;
        Ok(Self { plan })
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

    async fn rows<'r>(
        &mut self,
        records: impl Iterator<Item = &'r (&'r Record, BusinessDay)>,
    ) -> anyhow::Result<Rows> {
        let plan = &mut self.plan;
        let mut batch = plan.new_batch();
        for (record, day) in records {
            let Some(fields) = Fields::read(&record.value) else {
                continue;
            };
            for (index, column) in plan.columns().iter().enumerate() {
                match column.name.as_str() {
                    "amount" => {
                        let text = fields.text("amount").unwrap_or_default();
                        batch.push_amount(index, Amount::parse(text)?);
                    }
                    "business_day" => batch.push_date(index, day.epoch_days()),
                    "booked_at" => {
                        batch.push_timestamp(index, fields.micros("booked_at").unwrap_or(0));
                    }
                    "received_at" => {
                        let received = fields.micros("received_at");
                        batch.push_timestamp(index, received.unwrap_or(record.appended_at));
                    }
                    name => batch.push_text(index, fields.text(name)),
                }
            }
            batch.end_record();
        }
        let mut expected = HashMap::new();
        let outputs = plan.outputs().to_vec();
        let currency = plan.keys().iter().position(|key| key == "currency");
        plan.run(&mut batch, |group| {
            let part = |index: usize| group.key.get(index).copied().flatten();
            let digits = currency
                .and_then(part)
                .and_then(currency_digits)
                .unwrap_or(DIGITS_UNKNOWN);
            let cells = outputs.iter().map(|output| match output.source {
                OutputSource::Key(index) => {
                    part(index).map_or(Cell::Null, |text| Cell::Text(text.to_owned()))
                }
                OutputSource::Value(index) => cell(group.values.get(index), digits),
            });
            let row = Expected {
                cells: cells.collect(),
                rows: group.rows,
            };
            expected.insert(Value::from(group.key.to_vec()).to_string(), row);
        })
        .await?;
        Ok(expected)
    }
}

fn cell(value: Option<&Folded>, digits: u32) -> Cell {
    use sql::Scalar;
    let amount = |amount: Option<Amount>| {
        amount.map_or(Cell::Null, |amount| {
            Cell::Text(amount.display(digits).to_string())
        })
    };
    match value {
        Some(Folded::Count(count)) => Cell::Int(*count),
        Some(Folded::Sum(sum)) => amount(*sum),
        Some(Folded::SumInt(sum)) => sum.map_or(Cell::Null, Cell::Int),
        Some(average @ Folded::Avg(..)) => amount(average.average()),
        Some(Folded::Min(Some(scalar)) | Folded::Max(Some(scalar))) => match scalar {
            Scalar::Decimal(decimal) => amount(Some(*decimal)),
            Scalar::Int(number) => Cell::Int(*number),
            Scalar::Text(text) => Cell::Text(text.to_string()),
            Scalar::Date(days) => BusinessDay::from_epoch_days(*days)
                .map_or(Cell::Null, |day| Cell::Text(day.to_string())),
            Scalar::Timestamp(micros) => jiff::Timestamp::from_microsecond(*micros)
                .map_or(Cell::Null, |at| Cell::Text(at.to_string())),
        },
        _ => Cell::Null,
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
