//! What is sent: kinds of documents, how often each comes, and which request is of which kind.
//!
//! Kinds take turns in a fixed cycle, so that a short step has the same mix as a long run.

use jiff::Timestamp;

use super::GatewayBenchError;
use super::template::{Document, Record, Template};
use crate::post::is_source;

/// What `--mix` is where nobody says anything.
pub const MIX_DEFAULT: &str = "json=60,pain.001=20,card-csv=15,json-bulk=5";
/// Most records of one document.
const RECORDS_MAX: u64 = 10_000;
/// Largest sum of all weights, the length of the cycle.
const WEIGHTS_MAX: u64 = 10_000;
/// Most kinds.
const KINDS_MAX: usize = 32;
/// Records of a template with `{each}` where nobody says how many.
const RECORDS_DEFAULT: u64 = 10;

/// A document of the user's, with gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateFile {
    /// What the mix calls it.
    pub name: String,
    /// Source of the gateway that takes it.
    pub source: String,
    /// The document; see the help of `daybook bench gateway` for its gaps.
    pub text: Vec<u8>,
}

/// Where account and sign of a built-in kind's records stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Booking {
    /// All records of a document are of the first one's account.
    one_account: bool,
    signed: bool,
}

/// One kind of document.
#[derive(Debug, Clone)]
pub(crate) struct Kind {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) template: Template,
    /// Numbers of records that a document uses up.
    pub(crate) records: u64,
    /// Records that the gateway finds in it. Of a template without `{each}` the first answer says it.
    pub(crate) expected: u64,
    /// Only of what is built in is it known what it adds to which account.
    pub(crate) booking: Option<Booking>,
    weight: u64,
}

impl Kind {
    /// Account and cents of a record, as the gateway's own mappings read them.
    pub(crate) fn booked(&self, document: &Document<'_>, index: u64) -> Option<(u64, i64)> {
        let booking = self.booking?;
        let record: Record = document.record(index);
        let account = match booking.one_account {
            true => document.record(0).account,
            false => record.account,
        };
        let unsigned = i64::try_from(record.cents).unwrap_or(0);
        let cents = match booking.signed {
            true => record.signed(),
            false => unsigned,
        };
        Some((account, cents))
    }
}

/// A kind that is built in.
struct BuiltIn {
    name: &'static str,
    source: &'static str,
    content_type: &'static str,
    records: u64,
    booking: Booking,
    text: &'static str,
}

const BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        name: "json",
        source: "json",
        content_type: "application/json",
        records: 1,
        booking: Booking {
            one_account: false,
            signed: true,
        },
        text: include_str!("templates/json.txt"),
    },
    BuiltIn {
        name: "json-bulk",
        source: "json",
        content_type: "application/x-ndjson",
        records: 100,
        booking: Booking {
            one_account: false,
            signed: true,
        },
        text: include_str!("templates/json-bulk.txt"),
    },
    BuiltIn {
        name: "card-csv",
        source: "card-csv",
        content_type: "text/csv",
        records: 20,
        booking: Booking {
            one_account: false,
            signed: true,
        },
        text: include_str!("templates/card-csv.txt"),
    },
    BuiltIn {
        name: "pain.001",
        source: "pain.001",
        content_type: "application/xml",
        records: 10,
        booking: Booking {
            one_account: true,
            signed: false,
        },
        text: include_str!("templates/pain.001.txt"),
    },
    BuiltIn {
        name: "camt.054",
        source: "camt.054",
        content_type: "application/xml",
        records: 10,
        booking: Booking {
            one_account: true,
            signed: false,
        },
        text: include_str!("templates/camt.054.txt"),
    },
];

/// All kinds and their turns.
#[derive(Debug, Clone)]
pub(crate) struct Mix {
    pub(crate) kinds: Vec<Kind>,
    cycle: Vec<usize>,
}

impl Mix {
    /// Reads `name[:records]=weight,…`; without it the templates alike, or [`MIX_DEFAULT`].
    pub(crate) fn parse(
        text: Option<&str>,
        templates: &[TemplateFile],
        now: Timestamp,
    ) -> Result<Self, GatewayBenchError> {
        let all: Vec<String> = templates
            .iter()
            .map(|template| format!("{}=1", template.name))
            .collect();
        let text = match (text, all.is_empty()) {
            (Some(text), _) => text.to_owned(),
            (None, true) => MIX_DEFAULT.to_owned(),
            (None, false) => all.join(","),
        };
        let mut kinds: Vec<Kind> = Vec::new();
        for part in text.split(',') {
            let (name, records, weight) = read_part(part.trim())?;
            if kinds.iter().any(|kind| kind.name == name) {
                return Err(bad(part, "a kind that is not there already"));
            }
            kinds.push(kind(name, records, weight, templates, now)?);
        }
        let sum = kinds
            .iter()
            .fold(0_u64, |sum, kind| sum.saturating_add(kind.weight));
        if kinds.len() > KINDS_MAX || sum > WEIGHTS_MAX {
            return Err(bad(
                &text,
                "at most 32 kinds with weights of at most 10000 in all",
            ));
        }
        if let Some(unused) = templates
            .iter()
            .find(|template| !kinds.iter().any(|kind| kind.name == template.name))
        {
            return Err(bad(
                &text,
                &format!(
                    "with a weight for the template {0}, as in {0}=10",
                    unused.name
                ),
            ));
        }
        let cycle = cycle(&kinds.iter().map(|kind| kind.weight).collect::<Vec<_>>());
        Ok(Self { kinds, cycle })
    }

    /// Which kind a request is of.
    pub(crate) fn kind_of(&self, request: u64) -> usize {
        let place = usize::try_from(request % self.cycle.len().max(1) as u64).unwrap_or(0);
        self.cycle.get(place).copied().unwrap_or(0)
    }

    /// Requests after which the turns begin again.
    pub(crate) fn turns(&self) -> u64 {
        self.cycle.len() as u64
    }

    /// Records of a request on average.
    pub(crate) fn records_a_request(&self) -> f64 {
        let records: u64 = self
            .cycle
            .iter()
            .filter_map(|kind| Some(self.kinds.get(*kind)?.expected))
            .sum();
        // At most 10,000 times 10,000: exact.
        records as f64 / self.cycle.len().max(1) as f64
    }
}

impl std::fmt::Display for Mix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, kind) in self.kinds.iter().enumerate() {
            let between = if index > 0 { "," } else { "" };
            write!(
                f,
                "{between}{}:{}={}",
                kind.name, kind.expected, kind.weight
            )?;
        }
        Ok(())
    }
}

fn bad(value: &str, rule: &str) -> GatewayBenchError {
    GatewayBenchError::Option {
        name: "mix",
        value: value.to_owned(),
        rule: rule.to_owned(),
    }
}

fn read_part(part: &str) -> Result<(&str, Option<u64>, u64), GatewayBenchError> {
    let rule =
        "a list such as json=60,pain.001:10=20: kind, records of a document if you like, weight";
    let (front, weight) = part.split_once('=').ok_or_else(|| bad(part, rule))?;
    let weight = weight
        .parse()
        .ok()
        .filter(|weight| (1..=WEIGHTS_MAX).contains(weight))
        .ok_or_else(|| bad(part, "with weights from 1 to 10000"))?;
    let Some((name, records)) = front.split_once(':') else {
        return Ok((front, None, weight));
    };
    let records = records
        .parse()
        .ok()
        .filter(|records| (1..=RECORDS_MAX).contains(records))
        .ok_or_else(|| bad(part, "with 1 to 10000 records a document"))?;
    Ok((name, Some(records), weight))
}

fn kind(
    name: &str,
    records: Option<u64>,
    weight: u64,
    templates: &[TemplateFile],
    now: Timestamp,
) -> Result<Kind, GatewayBenchError> {
    let own = templates.iter().find(|template| template.name == name);
    let built_in = BUILT_IN.iter().find(|built_in| built_in.name == name);
    let (text, source, default) = match (own, built_in) {
        (Some(own), _) => (&*own.text, &*own.source, RECORDS_DEFAULT),
        (None, Some(built_in)) => (built_in.text.as_bytes(), built_in.source, built_in.records),
        (None, None) => {
            let names: Vec<&str> = BUILT_IN.iter().map(|built_in| built_in.name).collect();
            let rule = format!(
                "of the kinds {}, or of one that --template {name}=FILE gives",
                names.join(", ")
            );
            return Err(bad(name, &rule));
        }
    };
    if !is_source(name) || !is_source(source) {
        return Err(bad(name, "of names with 1 to 64 of a-z 0-9 . _ -"));
    }
    let template = Template::parse(text, now).map_err(|error| GatewayBenchError::Template {
        name: name.to_owned(),
        why: error.to_string(),
    })?;
    let records = match (template.repeats(), records) {
        (true, records) => records.unwrap_or(default),
        (false, None | Some(1)) => 1,
        (false, Some(_)) => {
            return Err(bad(
                name,
                "without a number of records for a document that has no {each} and {end}",
            ));
        }
    };
    let built_in = built_in.filter(|_| own.is_none());
    Ok(Kind {
        name: name.to_owned(),
        source: source.to_owned(),
        content_type: built_in.map(|built_in| built_in.content_type),
        template,
        records,
        expected: records,
        booking: built_in.map(|built_in| built_in.booking),
        weight,
    })
}

/// Turns in which each place comes as often as its weight says, as evenly spread as can be: every turn all get
/// their weight as credit, the one with most goes and pays the sum.
fn cycle(weights: &[u64]) -> Vec<usize> {
    let sum: u64 = weights.iter().sum();
    let mut credits = vec![0_i128; weights.len()];
    let mut cycle = Vec::new();
    for _ in 0..sum {
        for (credit, weight) in credits.iter_mut().zip(weights) {
            *credit += i128::from(*weight);
        }
        let most = credits
            .iter()
            .enumerate()
            // The first of those that are equal.
            .rev()
            .max_by_key(|(_, credit)| **credit);
        let Some((place, _)) = most else { break };
        credits[place] -= i128::from(sum);
        cycle.push(place);
    }
    cycle
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    pub(crate) fn mix(text: &str) -> Mix {
        Mix::parse(Some(text), &[], Timestamp::UNIX_EPOCH).expect("a mix")
    }

    fn own(name: &str, text: &str) -> TemplateFile {
        TemplateFile {
            name: name.to_owned(),
            source: "mt940".to_owned(),
            text: text.as_bytes().to_vec(),
        }
    }

    #[test]
    fn kinds_take_turns_by_weight() {
        assert_eq!(cycle(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
        let mix = mix(MIX_DEFAULT);
        for begin in [0, 1_000] {
            let mut counts = [0; 4];
            (begin..begin + 100).for_each(|request| counts[mix.kind_of(request)] += 1);
            assert_eq!(counts, [60, 20, 15, 5]);
        }
        assert!((mix.records_a_request() - 10.6).abs() < 1e-9);
    }

    #[track_caller]
    fn check(text: Option<&str>, templates: &[TemplateFile], expected: Expect) {
        let found = match Mix::parse(text, templates, Timestamp::UNIX_EPOCH) {
            Ok(mix) => mix.to_string(),
            Err(error) => error.to_string(),
        };
        expected.assert_eq(&found);
    }

    #[test]
    fn mixes_are_read_or_explained() {
        check(
            None,
            &[],
            expect!["json:1=60,pain.001:10=20,card-csv:20=15,json-bulk:100=5"],
        );
        check(
            None,
            &[own("a", "x"), own("b", "{each}x{end}")],
            expect!["a:1=1,b:10=1"],
        );
        check(
            Some("json-bulk:10000=1, a=2"),
            &[own("a", "x")],
            expect!["json-bulk:10000=1,a:1=2"],
        );
        check(
            Some("jsn=1"),
            &[],
            expect![[
                r#"`mix` is "jsn", but must be of the kinds json, json-bulk, card-csv, pain.001, camt.054, or of one that --template jsn=FILE gives"#
            ]],
        );
        check(
            Some("json:2=1"),
            &[],
            expect![[
                r#"`mix` is "json", but must be without a number of records for a document that has no {each} and {end}"#
            ]],
        );
        check(
            Some("json-bulk:10001=1"),
            &[],
            expect![[
                r#"`mix` is "json-bulk:10001=1", but must be with 1 to 10000 records a document"#
            ]],
        );
        check(
            Some("json=0"),
            &[],
            expect![[r#"`mix` is "json=0", but must be with weights from 1 to 10000"#]],
        );
        check(
            Some("json=10000,card-csv=1"),
            &[],
            expect![[
                r#"`mix` is "json=10000,card-csv=1", but must be at most 32 kinds with weights of at most 10000 in all"#
            ]],
        );
        check(
            Some("json=1,json=1"),
            &[],
            expect![[r#"`mix` is "json=1", but must be a kind that is not there already"#]],
        );
        check(
            Some("json=1"),
            &[own("a", "x")],
            expect![[
                r#"`mix` is "json=1", but must be with a weight for the template a, as in a=10"#
            ]],
        );
        check(
            Some("a=1"),
            &[own("a", "{oops}")],
            expect![[
                r#"the template a cannot be used: at byte 0: there is no {oops}; there are {id} {number} {account} {amount} {signed} {comma} {minor} {count} {sum} {sum_comma} {sum_minor} {time} {each} {end}, with a width as in {minor:12}, and {time:%y%m%d}"#
            ]],
        );
    }

    #[test]
    fn what_is_booked_is_what_is_written() {
        let mix = mix("json=1,pain.001:3=1");
        let document = |kind| Document {
            seed: 3,
            kind,
            first: 30,
            records: mix.kinds[kind].records,
            accounts: 9,
            prefix: "bench-3-",
        };
        let written = |kind: usize| {
            let mut out = Vec::new();
            mix.kinds[kind].template.push(&document(kind), &mut out);
            String::from_utf8(out).expect("text")
        };
        let (account, cents) = mix.kinds[0].booked(&document(0), 0).expect("built in");
        let json: serde_json::Value = serde_json::from_str(&written(0)).expect("JSON");
        assert_eq!(json["account"], format!("bench-3-{account}"));
        let amount = json["amount"].as_str().expect("text");
        let amount = types::Amount::parse(amount).expect("a number");
        // An amount has five digits behind the point.
        assert_eq!(amount.units(), i128::from(cents) * 1_000);
        let text = written(1);
        let mut sum = 0;
        for index in 0..3 {
            let (account, cents) = mix.kinds[1].booked(&document(1), index).expect("built in");
            assert!(text.contains(&format!("<Id>bench-3-{account}</Id>")));
            assert!(text.contains(&format!(">{}.{:02}</InstdAmt>", cents / 100, cents % 100)));
            sum += cents;
        }
        assert!(text.contains(&format!(
            "<CtrlSum>{}.{:02}</CtrlSum>",
            sum / 100,
            sum % 100
        )));
    }
}
