//! The real mappings of `config/sources` judge what the demo sends.

use std::collections::{BTreeMap, BTreeSet};

use mapping::{Context, Limits, Mapping, RecordOutcome, Refusal};
use serde_json::Value;

use super::*;

fn mapping(source: &str) -> Mapping {
    let path = format!(
        "{}/../../config/sources/{source}.toml",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&path).expect("a ready-made source");
    Mapping::compile(&path, &text).expect("a valid mapping")
}

fn noon() -> ZonedDateTime {
    "2026-11-23T12:00:00[Europe/Zagreb]"
        .parse()
        .expect("a time")
}

/// Transactions that the mapping makes of a document, or why not.
fn decode(mapping: &Mapping, document: &Document) -> Result<Vec<Value>, Refusal> {
    let mut made_up = || panic!("every document of the demo has natural ids");
    let mut context = Context {
        received_at: noon().timestamp().as_microsecond(),
        idempotency_key: None,
        first_record: 1,
        lines: document.content_type == "application/x-ndjson",
        new_id: &mut made_up,
    };
    let mut out = Vec::new();
    let mut ranges = Vec::new();
    let mut refusal = None;
    let body = document.body.as_bytes();
    mapping.decode(
        body,
        &mut context,
        &Limits::default(),
        &mut out,
        &mut |outcome| match outcome {
            RecordOutcome::Translated(record) => ranges.push(record.json),
            RecordOutcome::Refused(record) => refusal = Some(record.refusal),
        },
    )?;
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    let json = ranges
        .into_iter()
        .map(|range| &out[range.start as usize..range.end as usize]);
    Ok(json
        .map(|json| serde_json::from_slice(json).expect("JSON"))
        .collect())
}

fn mappings() -> BTreeMap<&'static str, Mapping> {
    ["json", "card-csv", "pain.001", "camt.054"]
        .into_iter()
        .map(|source| (source, mapping(source)))
        .collect()
}

fn text<'v>(transaction: &'v Value, field: &str) -> &'v str {
    transaction[field].as_str().unwrap_or_default()
}

#[test]
fn documents_are_accepted_but_for_a_few() {
    let mappings = mappings();
    let mut mix = Mix::new(World::new(1), 1, "run".to_owned());
    let now = noon();
    let mut accepted = BTreeMap::new();
    let mut rules = BTreeSet::new();
    let mut ids: BTreeMap<String, Value> = BTreeMap::new();
    let (mut refused, mut duplicates, mut reversals, mut late) = (0, 0, 0, 0);
    for _ in 0..6_000 {
        let document = mix.next(&now);
        let mapping = &mappings[document.source];
        let transactions = match decode(mapping, &document) {
            Ok(transactions) => transactions,
            Err(refusal) => {
                refused += 1;
                rules.insert(refusal.rule);
                continue;
            }
        };
        assert_eq!(
            transactions.len() as u64,
            document.transactions,
            "{}",
            document.body
        );
        *accepted.entry(document.source).or_insert(0) += transactions.len();
        for mut transaction in transactions {
            let reverses = text(&transaction, "reverses").to_owned();
            if !reverses.is_empty() {
                let original = &ids[&format!("json {reverses}")];
                assert_eq!(text(original, "account"), text(&transaction, "account"));
                assert_eq!(text(original, "currency"), text(&transaction, "currency"));
                let amount = |value| types::Amount::parse(text(value, "amount")).expect("valid");
                assert_eq!(amount(original), amount(&transaction).negated());
                reversals += 1;
            }
            late += u32::from(text(&transaction, "booked_at").starts_with("2026-11-22T2"));
            let id = format!("{} {}", document.source, text(&transaction, "id"));
            transaction["received_at"] = Value::Null;
            match ids.insert(id, transaction.clone()) {
                None => {}
                Some(before) => {
                    duplicates += 1;
                    assert_eq!(before, transaction, "the same id means the same content");
                }
            }
        }
    }
    assert_eq!(accepted.len(), 4, "{accepted:?}");
    assert!(
        accepted.values().all(|count| *count > 1_000),
        "{accepted:?}"
    );
    assert!((10..60).contains(&refused), "{refused} refused");
    assert!(rules.len() >= 4, "{rules:?}");
    assert!(
        duplicates > 100 && reversals > 50 && late > 20,
        "{duplicates} {reversals} {late}"
    );
    let currencies: BTreeSet<&str> = ids.values().map(|value| text(value, "currency")).collect();
    assert_eq!(
        currencies.into_iter().collect::<Vec<_>>(),
        ["CHF", "EUR", "GBP", "JPY", "KWD", "USD"]
    );
}

#[test]
fn the_backlog_is_the_same_all_day() {
    let mappings = mappings();
    let world = World::new(1);
    let until = |time: &str| -> BTreeMap<String, String> {
        let now: ZonedDateTime = time.parse().expect("a time");
        let mut all = BTreeMap::new();
        for document in backlog::documents(&world, 1, &now) {
            let transactions = decode(&mappings[document.source], &document).expect("accepted");
            assert_eq!(transactions.len() as u64, document.transactions);
            for mut transaction in transactions {
                transaction["received_at"] = Value::Null;
                let booked: Timestamp = text(&transaction, "booked_at").parse().expect("a time");
                assert!(booked <= now.timestamp());
                assert_eq!(
                    booked.to_zoned_datetime(now.time_zone().clone()).date(),
                    now.date()
                );
                let id = format!("{} {}", document.source, text(&transaction, "id"));
                assert_eq!(all.insert(id, transaction.to_string()), None);
            }
        }
        all
    };
    let morning = until("2026-11-23T00:02:00[Europe/Zagreb]");
    let evening = until("2026-11-23T11:59:00[Europe/Zagreb]");
    assert!(
        (world::ACCOUNTS..400).contains(&morning.len()),
        "{}",
        morning.len()
    );
    assert!((1_500..5_000).contains(&evening.len()), "{}", evening.len());
    for (id, transaction) in &morning {
        assert_eq!(evening.get(id), Some(transaction));
    }
    // Neither a short nor a long day leaves its day.
    assert!(!until("2026-03-29T03:30:00[Europe/Zagreb]").is_empty());
    assert!(!until("2026-10-25T02:30:00[Europe/Zagreb]").is_empty());
}

#[test]
fn pauses_keep_the_rate() {
    let mut random = Random::new(1);
    let sum: Duration = (0..10_000).map(|_| pause(&mut random, 4, 40)).sum();
    let seconds = sum.as_secs_f64();
    assert!(
        (950.0..1_050.0).contains(&seconds),
        "40,000 at 40/s took {seconds} s"
    );
}

#[tokio::test]
async fn mistakes_are_named_before_anything_is_sent() {
    let start = async |options| {
        let error = run(options, Arc::new(crate::Silent), CancellationToken::new()).await;
        error.expect_err("a mistake").to_string()
    };
    let options = DemoOptions {
        zone: "Europe/Nowhere".to_owned(),
        ..DemoOptions::default()
    };
    assert_eq!(
        start(options).await,
        "the time zone \"Europe/Nowhere\" is not known"
    );
    let options = DemoOptions {
        rate: 0,
        ..DemoOptions::default()
    };
    assert_eq!(
        start(options).await,
        "`rate` is 0, but must be between 1 and 10000"
    );
}
