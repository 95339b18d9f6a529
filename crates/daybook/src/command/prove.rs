//! `daybook prove`: recomputes the totals from the log with code of its own, and compares.
//!
//! Independent of the aggregator on purpose: another JSON reader, another duplicate check, and sums
//! over the whole log at once instead of batch by batch. What it shares is the SQL engine and the
//! calendar.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use aggregate::{AggregationOptions, Late, stream_columns};
use anyhow::Context as _;
use kafka_client::Cluster;
use pipeline::{Place, Plan};
use rdkafka::message::Message as _;
use serde_json::Value;
use sql::{AggregationPlan, Folded, OutputSource};
use store::{Cell, Row, TableSpec};
use types::{Amount, BusinessDay, Counts, DIGITS_UNKNOWN, DayCache, currency_digits, names};

use super::query::open_store;
use crate::cli::{Global, ProveArgs};

/// Differences that are printed; more are only counted.
const DIFFERENCES_SHOWN: usize = 20;

/// A record of the topic, as much of it as judging needs.
struct Record {
    partition: i32,
    appended_at: i64,
    json: Option<Value>,
    bytes: Vec<u8>,
}

/// What one source brought.
#[derive(Default)]
struct Ledger {
    records: u64,
    /// By currency.
    sums: BTreeMap<String, i128>,
    /// Of all ids; independent of order.
    ids: u64,
}

/// What the comparison of one aggregation found.
struct Report {
    name: String,
    keys: usize,
    counts: BTreeMap<BusinessDay, Counts>,
    differences: Vec<String>,
}

pub(crate) async fn run(global: &Global, args: ProveArgs) -> anyhow::Result<ExitCode> {
    let plan = global.plan().await?;
    let cluster = Cluster {
        bootstrap_servers: match plan.config().log.place {
            Place::External => plan
                .config()
                .log
                .bootstrap_servers
                .clone()
                .unwrap_or_default(),
            Place::Embedded => plan.config().log.address.to_string(),
        },
        properties: plan.config().log.properties.clone(),
    };
    let deadline = Instant::now() + Duration::from_secs(args.wait);
    // Traffic may go on: what has not arrived yet is no difference.
    loop {
        let (records, ends) = read_transactions(&cluster)?;
        let mut reports = Vec::new();
        for (options, table) in plan.aggregations().zip(plan.tables()) {
            reports.push(compare(global, &plan, &cluster, options, table, &records).await?);
        }
        let equal = reports.iter().all(|report| report.differences.is_empty());
        if equal || Instant::now() >= deadline {
            write_report(&args, &ledgers(&records), &reports)?;
            return Ok(if equal {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            });
        }
        wait_for_change(&cluster, &ends, deadline).await?;
    }
}

/// Waits a moment, or until more was produced: a difference may only be something on its way.
async fn wait_for_change(
    cluster: &Cluster,
    ends: &[(i64, i64)],
    deadline: Instant,
) -> anyhow::Result<()> {
    let consumer = cluster.reader("daybook-prove")?;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        if Instant::now() >= deadline
            || cluster.offsets(&consumer, names::TOPIC_TRANSACTIONS)? != ends
        {
            break;
        }
    }
    Ok(())
}

/// First and next offset of each partition.
type Bounds = Vec<(i64, i64)>;

fn read_transactions(cluster: &Cluster) -> anyhow::Result<(Vec<Record>, Bounds)> {
    let consumer = cluster.reader("daybook-prove")?;
    let ends = cluster
        .offsets(&consumer, names::TOPIC_TRANSACTIONS)
        .context("is `daybook up` running?")?;
    let mut records = Vec::new();
    cluster.read_all(&consumer, names::TOPIC_TRANSACTIONS, |message| {
        let bytes = message.payload().unwrap_or_default();
        records.push(Record {
            partition: message.partition(),
            appended_at: message.timestamp().to_millis().unwrap_or(0) * 1000 + 999,
            json: serde_json::from_slice(bytes).ok(),
            bytes: bytes.to_vec(),
        });
    })?;
    Ok((records, ends))
}

fn ledgers(records: &[Record]) -> BTreeMap<String, Ledger> {
    let mut ledgers: BTreeMap<String, Ledger> = BTreeMap::new();
    for record in records {
        let text = |name: &str| {
            record
                .json
                .as_ref()
                .and_then(|json| json.get(name)?.as_str())
                .unwrap_or("")
        };
        let ledger = ledgers.entry(text("source").to_owned()).or_default();
        ledger.records += 1;
        let id = aggregate::identity_hash(text("source"), text("id"));
        ledger.ids = ledger.ids.wrapping_add(id as u64);
        if let Ok(amount) = Amount::parse(text("amount")) {
            *ledger.sums.entry(text("currency").to_owned()).or_default() += amount.units();
        }
    }
    ledgers
}

/// Judges a record as DESIGN §2 and §4 say; the parsed fields if it is added.
struct Judge {
    days: DayCache,
    options: AggregationOptions,
    seen: HashMap<(String, String), String>,
    clocks: HashMap<i32, i64>,
    counts: BTreeMap<BusinessDay, Counts>,
}

impl Judge {
    fn new(options: &AggregationOptions) -> Self {
        Self {
            days: DayCache::new(options.calendar.clone()),
            options: options.clone(),
            seen: HashMap::new(),
            clocks: HashMap::new(),
            counts: BTreeMap::new(),
        }
    }

    fn day(&mut self, at: i64) -> BusinessDay {
        self.days.day_of(at).unwrap_or(BusinessDay::EPOCH)
    }

    /// The business day, if the record is added.
    fn judge(&mut self, record: &Record) -> Option<BusinessDay> {
        let appended = self.day(record.appended_at);
        let quarantine = |judge: &mut Self, day| {
            judge.counts.entry(day).or_default().quarantined += 1;
            None
        };
        if aggregate::parse(&record.bytes, &self.options.text_columns).is_err() {
            return quarantine(self, appended);
        }
        let json = record.json.as_ref()?;
        let text = |name: &str| json.get(name).and_then(Value::as_str);
        let instant = |name| {
            text(name)?
                .parse::<jiff::Timestamp>()
                .ok()
                .map(jiff::Timestamp::as_microsecond)
        };
        let booked = instant("booked_at")?;
        let received = instant("received_at").unwrap_or(record.appended_at);
        if received > record.appended_at + self.options.clock_skew_max_micros {
            return quarantine(self, appended);
        }
        let clock = self.clocks.entry(record.partition).or_insert(received);
        *clock = (*clock).max(received);
        let clock = *clock;
        let today = self.day(clock);
        let day = self.day(booked);
        if booked > clock + self.options.future_max_micros {
            return quarantine(self, today);
        }
        let keep = self.options.keep_days.map(i32::from);
        if keep.is_some_and(|keep| day <= today.plus_days(-keep)) {
            return quarantine(self, today);
        }
        let content = content(json);
        let identity = (
            text("source").unwrap_or("").to_owned(),
            text("id")?.to_owned(),
        );
        match self.seen.get(&identity) {
            Some(known) if *known == content => {
                self.counts.entry(day).or_default().duplicate += 1;
                return None;
            }
            Some(_) => return quarantine(self, day),
            None => {}
        }
        let late = keep.is_some() && day < today;
        if late && self.options.late == Late::Quarantine {
            return quarantine(self, today);
        }
        self.seen.insert(identity, content);
        let counts = self.counts.entry(day).or_default();
        match (late, text("reverses").is_some()) {
            (true, _) => counts.late_corrected += 1,
            (false, true) => counts.reversing += 1,
            (false, false) => counts.counted += 1,
        }
        Some(day)
    }
}

/// All fields but those that may differ between two sendings.
fn content(json: &Value) -> String {
    let mut fields = json.as_object().cloned().unwrap_or_default();
    for name in ["id", "source", "received_at"] {
        fields.remove(name);
    }
    Value::Object(fields).to_string()
}

async fn compare(
    global: &Global,
    plan: &Plan,
    cluster: &Cluster,
    options: &AggregationOptions,
    table: &TableSpec,
    records: &[Record],
) -> anyhow::Result<Report> {
    let mut judge = Judge::new(options);
    let expected = recompute(options, records, &mut judge).await?;
    let mut differences = Vec::new();

    let mut published: HashMap<String, Row> = HashMap::new();
    let consumer = cluster.reader("daybook-prove")?;
    let mut unreadable = 0;
    cluster.read_all(&consumer, &table.name, |message| {
        let (key, value) = (
            message.key().unwrap_or_default(),
            message.payload().unwrap_or_default(),
        );
        match row_of(table, message.partition(), message.offset(), key, value) {
            None => unreadable += 1,
            Some(row) => match published.get(&row.key) {
                Some(known) if known.version >= row.version => {}
                _ => drop(published.insert(row.key.clone(), row)),
            },
        }
    })?;
    if unreadable > 0 {
        differences.push(format!(
            "results topic: {unreadable} records are not readable"
        ));
    }
    // Days that are no longer kept are not recomputed: their records may be gone.
    difference("results topic", &expected, &published, &mut differences);
    let store = open_store(global, plan)?;
    let mut stored: HashMap<String, Row> = HashMap::new();
    store.scan(table, None, |row| drop(stored.insert(row.key.clone(), row)))?;
    difference("store", &expected, &stored, &mut differences);
    let counts: BTreeMap<BusinessDay, Counts> = store.counts(&table.name)?.into_iter().collect();
    for day in judge
        .counts
        .keys()
        .chain(counts.keys())
        .collect::<std::collections::BTreeSet<_>>()
    {
        let (own, told) = (judge.counts.get(day), counts.get(day));
        if own != told {
            differences.push(format!(
                "counts of {day}: recomputed {own:?}, told {told:?}"
            ));
        }
    }
    Ok(Report {
        name: table.name.clone(),
        keys: expected.len(),
        counts: judge.counts,
        differences,
    })
}

/// The rows as they must be: key → values by column, and the number of records.
async fn recompute(
    options: &AggregationOptions,
    records: &[Record],
    judge: &mut Judge,
) -> anyhow::Result<HashMap<String, (Vec<Cell>, u64)>> {
    let mut plan =
        AggregationPlan::compile(&options.sql, &stream_columns(&options.text_columns)).await?;
    let mut batch = plan.new_batch();
    for record in records {
        let Some(day) = judge.judge(record) else {
            continue;
        };
        let text = |name: &str| {
            record
                .json
                .as_ref()
                .and_then(|json| json.get(name)?.as_str())
        };
        let instant = |name| text(name).and_then(|text| text.parse::<jiff::Timestamp>().ok());
        for (index, column) in plan.columns().iter().enumerate() {
            match column.name.as_str() {
                "amount" => {
                    batch.push_amount(index, Amount::parse(text("amount").unwrap_or_default())?)
                }
                "business_day" => batch.push_date(index, day.epoch_days()),
                "booked_at" => batch.push_timestamp(
                    index,
                    instant("booked_at").map_or(0, jiff::Timestamp::as_microsecond),
                ),
                "received_at" => {
                    let received = instant("received_at")
                        .map_or(record.appended_at, jiff::Timestamp::as_microsecond);
                    batch.push_timestamp(index, received);
                }
                name => batch.push_text(index, text(name)),
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
        let key = Value::from(group.key.to_vec()).to_string();
        expected.insert(key, (cells.collect(), group.rows));
    })
    .await?;
    Ok(expected)
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

/// A results record, read with code of its own.
fn row_of(table: &TableSpec, partition: i32, offset: i64, key: &[u8], value: &[u8]) -> Option<Row> {
    let json: Value = serde_json::from_slice(value).ok()?;
    let number = |index: usize| json.get("v")?.get(index)?.as_u64();
    let cells = table.columns.iter().map(|(name, _)| match json.get(name) {
        Some(Value::String(text)) => Cell::Text(text.clone()),
        Some(Value::Number(number)) => number.as_i64().map_or(Cell::Null, Cell::Int),
        _ => Cell::Null,
    });
    Some(Row {
        key: String::from_utf8(key.to_vec()).ok()?,
        day: json.get("day")?.as_str()?.parse().ok()?,
        version: types::Version {
            generation: u32::try_from(number(0)?).ok()?,
            sequence: number(1)?,
        },
        deleted: json.get("deleted")?.as_bool()?,
        partition,
        offset,
        cells: cells.collect(),
    })
}

fn difference(
    what: &str,
    expected: &HashMap<String, (Vec<Cell>, u64)>,
    found: &HashMap<String, Row>,
    differences: &mut Vec<String>,
) {
    let mut keys: Vec<&String> = expected.keys().collect();
    keys.sort();
    for key in keys {
        let (cells, rows) = &expected[key];
        match found.get(key) {
            None => differences.push(format!("{what}: {key} is missing, expected {cells:?}")),
            Some(row) if row.cells != *cells => {
                differences.push(format!(
                    "{what}: {key} is {:?}, expected {cells:?}",
                    row.cells
                ));
            }
            Some(row) if row.version.sequence != *rows => {
                let sequence = row.version.sequence;
                differences.push(format!(
                    "{what}: {key} has sequence {sequence}, expected {rows}"
                ));
            }
            Some(_) => {}
        }
    }
    let known: HashSet<&String> = expected.keys().collect();
    let mut extra: Vec<&Row> = found
        .values()
        .filter(|row| !row.deleted && !known.contains(&row.key))
        .collect();
    extra.sort_by(|a, b| a.key.cmp(&b.key));
    differences.extend(
        extra
            .iter()
            .map(|row| format!("{what}: {} is there, but not expected", row.key)),
    );
}

fn write_report(
    args: &ProveArgs,
    ledgers: &BTreeMap<String, Ledger>,
    reports: &[Report],
) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if args.json {
        return write_json(&mut out, ledgers, reports);
    }
    writeln!(out, "transactions in the log, by source:")?;
    for (source, ledger) in ledgers {
        let mut sums = String::new();
        for (currency, units) in &ledger.sums {
            let sum =
                Amount::from_units(*units).map_or("out of range".to_owned(), |sum| sum.to_string());
            let _ = write!(sums, "  {sum} {currency}");
        }
        writeln!(
            out,
            "  {source:<12} {:>10} records  ids {:016x}{sums}",
            ledger.records, ledger.ids
        )?;
    }
    for report in reports {
        writeln!(out, "\naggregation {}: {} keys", report.name, report.keys)?;
        writeln!(
            out,
            "  day         counted  reversing  duplicate  late-corrected  quarantined      total"
        )?;
        for (day, counts) in report.counts.iter().rev().take(10).rev() {
            writeln!(
                out,
                "  {day}  {:>7}  {:>9}  {:>9}  {:>14}  {:>11}  {:>9}",
                counts.counted,
                counts.reversing,
                counts.duplicate,
                counts.late_corrected,
                counts.quarantined,
                counts.total()
            )?;
        }
        let mut all = Counts::default();
        for counts in report.counts.values() {
            all.counted += counts.counted;
            all.reversing += counts.reversing;
            all.duplicate += counts.duplicate;
            all.late_corrected += counts.late_corrected;
            all.quarantined += counts.quarantined;
        }
        writeln!(
            out,
            "  {:<10}  {:>7}  {:>9}  {:>9}  {:>14}  {:>11}  {:>9}",
            format!("{} days", report.counts.len()),
            all.counted,
            all.reversing,
            all.duplicate,
            all.late_corrected,
            all.quarantined,
            all.total()
        )?;
        let records: u64 = ledgers.values().map(|ledger| ledger.records).sum();
        writeln!(out, "  in {records} = out {}", all.total())?;
        match report.differences.len() {
            0 => writeln!(
                out,
                "  proved: results topic and store equal the recomputation, per key and day, exactly"
            )?,
            count => {
                writeln!(out, "  NOT proved: {count} differences")?;
                for line in report.differences.iter().take(DIFFERENCES_SHOWN) {
                    writeln!(out, "    {line}")?;
                }
            }
        }
    }
    Ok(())
}

fn write_json(
    out: &mut impl std::io::Write,
    ledgers: &BTreeMap<String, Ledger>,
    reports: &[Report],
) -> anyhow::Result<()> {
    let sources: serde_json::Map<String, Value> = ledgers.iter().map(|(source, ledger)| {
        (source.clone(), serde_json::json!({ "records": ledger.records, "ids": format!("{:016x}", ledger.ids) }))
    }).collect();
    let aggregations: Vec<Value> = reports.iter().map(|report| {
        let days: serde_json::Map<String, Value> = report.counts.iter().map(|(day, counts)| {
            (day.to_string(), serde_json::json!({
                "counted": counts.counted, "reversing": counts.reversing, "duplicate": counts.duplicate,
                "late_corrected": counts.late_corrected, "quarantined": counts.quarantined,
            }))
        }).collect();
        serde_json::json!({
            "name": report.name, "keys": report.keys, "counts": days,
            "proved": report.differences.is_empty(), "differences": report.differences,
        })
    }).collect();
    writeln!(
        out,
        "{}",
        serde_json::json!({ "sources": sources, "aggregations": aggregations })
    )?;
    Ok(())
}
