//! What the tests of this crate share: mappings compiled, bodies decoded, outcomes as text.

#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::{BTreeMap, HashSet};

use expect_test::Expect;
use mapping::{CompileOptions, Context, Limits, Mapping, RecordOutcome, Refusal};
use types::Amount;

/// 2026-11-23T12:00:00Z.
pub(crate) const RECEIVED_AT: i64 = 1_795_435_200_000_000;

/// A ready-made source of `config/sources/`.
pub(crate) fn ready_made(source: &str) -> Mapping {
    let path = format!(
        "{}/../../config/sources/{source}.toml",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&path).expect("the source is there");
    compile(&path, &text)
}

pub(crate) fn compile(path: &str, text: &str) -> Mapping {
    Mapping::compile_with(path, text, &files_beside(path)).unwrap_or_else(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        panic!("{}", errors.join("\n"))
    })
}

/// The files that a mapping may name, as the programs hand them over.
pub(crate) fn files_beside(path: &str) -> CompileOptions {
    let mut options = CompileOptions::default();
    let parent = std::path::Path::new(path).parent();
    let parent = parent.filter(|parent| parent.is_dir());
    for entry in parent
        .into_iter()
        .flat_map(|dir| std::fs::read_dir(dir).expect("readable"))
    {
        let path = entry.expect("readable").path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a name");
        if CompileOptions::is_file(name) {
            options = options.with_file(name, std::fs::read(&path).expect("readable"));
        }
    }
    options
}

pub(crate) fn sample(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).expect("the sample is there")
}

/// What decoding gave.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) out: Vec<u8>,
    pub(crate) outcomes: Vec<RecordOutcome>,
    pub(crate) result: Result<u64, Refusal>,
}

impl Decoded {
    /// The canonical objects.
    pub(crate) fn objects(&self) -> Vec<serde_json::Value> {
        self.outcomes
            .iter()
            .filter_map(|outcome| match outcome {
                RecordOutcome::Translated(record) => {
                    let range = record.json.start as usize..record.json.end as usize;
                    Some(serde_json::from_slice(&self.out[range]).expect("canonical JSON"))
                }
                RecordOutcome::Refused(_) => None,
            })
            .collect()
    }

    /// How many records and which sum, by currency and sign: `EUR +`. Ids must be unique.
    #[track_caller]
    pub(crate) fn totals(&self) -> BTreeMap<String, (usize, Amount)> {
        let objects = self.objects();
        assert_eq!(self.result, Ok(objects.len() as u64), "{}", self.text());
        let mut totals: BTreeMap<String, (usize, Amount)> = BTreeMap::new();
        let mut ids = HashSet::new();
        for object in objects {
            let text = |key: &str| object[key].as_str().expect("a text").to_owned();
            let amount = Amount::parse(&text("amount")).expect("an amount");
            let sign = if amount.is_negative() { '-' } else { '+' };
            let (count, sum) = totals
                .entry(format!("{} {sign}", text("currency")))
                .or_default();
            *count += 1;
            *sum = sum.checked_add(amount).expect("no overflow");
            assert!(ids.insert(text("id")), "id {} is not unique", text("id"));
        }
        totals
    }

    /// One line an outcome.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for outcome in &self.outcomes {
            match outcome {
                RecordOutcome::Translated(record) => {
                    let range = record.json.start as usize..record.json.end as usize;
                    text.push_str(std::str::from_utf8(&self.out[range]).expect("UTF-8"));
                }
                RecordOutcome::Refused(refused) => text.push_str(&refused.refusal.to_string()),
            }
            text.push('\n');
        }
        if let Err(refusal) = &self.result {
            text.push_str(&format!("document refused: {refusal}\n"));
        }
        text
    }
}

pub(crate) struct Options<'a> {
    pub(crate) key: Option<&'a str>,
    pub(crate) first_record: u64,
    pub(crate) lines: bool,
    pub(crate) received_at: i64,
    pub(crate) limits: Limits,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            key: Some("key"),
            first_record: 1,
            lines: false,
            received_at: RECEIVED_AT,
            limits: Limits::default(),
        }
    }
}

pub(crate) fn decode(mapping: &Mapping, body: &[u8], options: &Options<'_>) -> Decoded {
    let mut count = 0;
    let mut new_id = || {
        count += 1;
        format!("made-up-{count}")
    };
    let mut context = Context {
        received_at: options.received_at,
        idempotency_key: options.key,
        first_record: options.first_record,
        lines: options.lines,
        new_id: &mut new_id,
    };
    let mut out = Vec::new();
    let mut outcomes = Vec::new();
    let result = mapping.decode(
        body,
        &mut context,
        &options.limits,
        &mut out,
        &mut |outcome| {
            outcomes.push(outcome);
        },
    );
    Decoded {
        out,
        outcomes,
        result,
    }
}

/// Cuts a body everywhere and changes each byte of it; nothing may panic.
#[allow(clippy::print_stdout, reason = "shown when the test fails")]
pub(crate) fn cut_and_change(mapping: &Mapping, body: &[u8]) {
    for end in 0..=body.len() {
        decode_any(mapping, &body[..end]);
    }
    let seed = 20_261_123_u64;
    println!("seed {seed}");
    let mut state = seed;
    for at in 0..body.len() {
        // A linear congruential generator: Knuth's MMIX.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let mut changed = body.to_vec();
        changed[at] = (state >> 56) as u8;
        decode_any(mapping, &changed);
    }
}

/// Decodes and shows whatever bytes come: every outcome is a refusal or canonical JSON, inside of the body.
fn decode_any(mapping: &Mapping, body: &[u8]) {
    let decoded = decode(mapping, body, &Options::default());
    for object in decoded.objects() {
        assert!(object["amount"].is_string() && object["id"].is_string());
    }
    for outcome in &decoded.outcomes {
        let original = match outcome {
            RecordOutcome::Translated(record) => &record.original,
            RecordOutcome::Refused(record) => &record.original,
        };
        assert!(original.start <= original.end && original.end as usize <= body.len());
    }
    let _ = mapping.show(body, &Limits::default(), &mut |json| {
        serde_json::from_str::<serde_json::Value>(json).expect("JSON");
    });
}

/// What a body becomes, or is refused for.
#[track_caller]
pub(crate) fn check(mapping: &Mapping, body: &[u8], expected: Expect) {
    expected.assert_eq(&decode(mapping, body, &Options::default()).text());
}

/// Where a mapping of a test stands: the ready-made ones' files are beside it.
pub(crate) fn beside() -> String {
    format!("{}/../../config/sources/t.toml", env!("CARGO_MANIFEST_DIR"))
}

/// Line, key and message of each mistake of a mapping.
#[track_caller]
pub(crate) fn check_mistakes(text: &str, expected: Expect) {
    let path = beside();
    let errors = Mapping::compile_with(&path, text, &files_beside(&path)).expect_err("mistakes");
    let lines: Vec<String> = errors
        .iter()
        .map(|error| format!("{}: {}: {}\n", error.line, error.key, error.message))
        .collect();
    expected.assert_eq(&lines.concat());
}
