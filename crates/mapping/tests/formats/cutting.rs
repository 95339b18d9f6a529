//! Text formats cut off at every byte and changed at every byte: refused or translated, never a panic.

use crate::common::{Options, decode, ready_made, sample};
use mapping::{Mapping, RecordOutcome};
use types::Amount;

/// A generator of pseudo-random numbers (splitmix64); the seed is printed when a test fails.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

const SOURCES: &[(&str, &str)] = &[
    ("mt940", "swift-mt/ing.sta"),
    ("mt940", "swift-mt/february_30.sta"),
    ("mt942", "swift-mt/mt942.sta"),
    ("mt101", "swift-mt/MT101.fin"),
    ("nacha", "nacha/ccd-debit.ach"),
    ("ofx", "ofx/bank_medium.ofx"),
    ("ofx", "ofx/checking.ofx"),
    ("pain.008", "pain008-musterfile.xml"),
];

/// What decoding gives must hold together: places inside of the body, canonical JSON.
fn sound(mapping: &Mapping, body: &[u8]) -> Vec<Amount> {
    let decoded = decode(mapping, body, &Options::default());
    for object in decoded.objects() {
        assert!(object["id"].is_string() && object["amount"].is_string());
    }
    let mut amounts = Vec::new();
    for outcome in &decoded.outcomes {
        let original = match outcome {
            RecordOutcome::Translated(record) => {
                amounts.push(record.amount);
                &record.original
            }
            RecordOutcome::Refused(record) => &record.original,
        };
        assert!(original.start <= original.end && original.end as usize <= body.len());
    }
    if decoded.result.is_err() {
        amounts.clear();
    }
    amounts
}

/// A body that ends too early is refused, or its records are among those of the whole body: an amount
/// that was cut off never counts.
#[test]
fn bodies_cut_off_at_every_byte() {
    for (source, file) in SOURCES {
        let mapping = ready_made(source);
        let body = sample(file);
        let whole = sound(&mapping, &body);
        for end in 0..body.len() {
            let part = sound(&mapping, &body[..end]);
            assert!(
                whole.starts_with(&part),
                "{file} cut off at {end}: {part:?}"
            );
        }
    }
}

/// The second half of a body cut in two alone: no panic.
#[test]
fn bodies_that_begin_at_every_byte() {
    for (source, file) in SOURCES {
        let mapping = ready_made(source);
        let body = sample(file);
        for start in 0..body.len() {
            sound(&mapping, &body[start..]);
        }
    }
}

#[test]
fn bodies_changed_at_every_byte() {
    let seed = 20_261_128;
    let mut chance = Chance(seed);
    for (source, file) in SOURCES {
        let mapping = ready_made(source);
        let body = sample(file);
        for at in 0..body.len() {
            let mut changed = body.clone();
            let syntax = b":/?{}-<>&;[]\r\n \0\xe4,.0CDR";
            for byte in [
                chance.next() as u8,
                syntax[(chance.next() % syntax.len() as u64) as usize],
            ] {
                changed[at] = byte;
                let result = std::panic::catch_unwind(|| sound(&mapping, &changed));
                assert!(
                    result.is_ok(),
                    "{file}, byte {at} is {byte:#x}, seed {seed}"
                );
            }
        }
    }
}

/// Pieces of messages in any order, deep in the grammar where single bytes do not lead.
#[test]
fn pieces_in_any_order() {
    let pieces: &[&str] = &[
        ":20:",
        ":61:",
        "261120C1,NTRF",
        ":86:",
        "?20",
        "805",
        "/EREF/",
        "EREF+",
        "//",
        ":60F:",
        "C261120EUR1,",
        ":25:",
        "\n",
        "\r\n",
        "-}",
        "-",
        "{1:F01",
        "{2:I940",
        "{2:O103",
        "{4:",
        "}",
        ":32A:",
        ":59:",
        "/",
        "ä",
        "€",
        "{451:1}",
        ":34F:EUR",
        ":13D:",
        ":28C:",
        "1/NAME",
        ":50F:",
        "<OFX>",
        "<STMTTRN>",
        "</STMTTRN>",
        "<BANKTRANLIST>",
        "<TRNAMT>",
        "-1,5",
        "</",
        "<![CDATA[",
        "]]>",
        "&#x",
        "&amp;",
        "[-5:EST]",
        "20261120",
        "<A><B><C>",
        "101 ",
        "5225",
        "627",
        "705",
        "8225",
        "9000001",
    ];
    let seed = 7;
    let mut chance = Chance(seed);
    let mappings: Vec<Mapping> = ["mt940", "mt942", "mt101", "mt103", "mt202", "nacha", "ofx"]
        .iter()
        .map(|source| ready_made(source))
        .collect();
    for round in 0..4_000 {
        let mut body = String::new();
        for _ in 0..chance.next() % 40 {
            body.push_str(pieces[(chance.next() % pieces.len() as u64) as usize]);
        }
        for mapping in &mappings {
            let result = std::panic::catch_unwind(|| sound(mapping, body.as_bytes()));
            let source = mapping.source();
            assert!(
                result.is_ok(),
                "round {round}, seed {seed}, {source}: {body:?}"
            );
        }
    }
}

/// A body of the largest size whose every byte begins something costs no more than another.
#[test]
fn repeated_beginnings_do_not_cost_more_than_once() {
    let begun = std::time::Instant::now();
    for piece in [
        "{5:}", "{1:", ":20:", "\n:61:", "<A>", "</A>", "<", "&", "1", "?20", "/A1/", "-}",
    ] {
        let body = piece.repeat((4 << 20) / piece.len());
        let marked = [
            format!(":20:1\n:61:261120C1,NTRF\n:86:805{body}"),
            body.clone(),
            format!("<OFX>{body}"),
        ];
        for source in ["mt940", "mt103", "nacha", "ofx"] {
            let mapping = ready_made(source);
            for body in &marked {
                sound(&mapping, body.as_bytes());
            }
        }
    }
    // Minutes if anything were quadratic; a second or two on an idle machine.
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}
