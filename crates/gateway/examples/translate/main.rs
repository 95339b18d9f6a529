//! What a translation takes, beside a bare parser, beside code written by hand for that one message, and inside of HTTP; in one run, on one thread:
//! `cargo run --release -p gateway --example translate`. `bench/translate.sh` adds XSLT and JavaScript.
//! With `--without-http` without the last; `--outputs DIRECTORY` keeps what the mappings give.
//!
//! CPU time of the thread that works, from its `schedstat`, so that other programs matter little; the ratios are what to look at.

#![allow(clippy::print_stdout, reason = "a program for people")]

mod by_hand;
mod http;

use std::hint::black_box;

use mapping::{Context, Limits, Mapping};
use quick_xml::events::Event;

const ROUNDS: usize = 7;
const REPEAT: usize = 40_000;
const HTTP_ROUNDS: usize = 3;
/// 2026-11-23T12:00:00Z.
const RECEIVED_AT: i64 = 1_795_435_200_000_000;
/// The mapping may take this much of what code by hand takes.
const RATIO_MAX: f64 = 1.5;

fn main() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let read = |name: &str| std::fs::read_to_string(format!("{root}/{name}")).expect("it is there");
    let compile = |source: &str| {
        Mapping::compile(source, &read(&format!("config/sources/{source}.toml")))
            .expect("a ready mapping")
    };
    let without_http = std::env::args().any(|argument| argument == "--without-http");
    let outputs = std::env::args()
        .skip_while(|argument| argument != "--outputs")
        .nth(1);
    let mut too_slow = false;
    for (source, file) in [("pain.001", "pain.001.xml"), ("json", "transaction.json")] {
        let body = read(&format!("bench/translate/{file}"));
        let body = body.trim_end();
        let mapping = compile(source);
        let mut by_plan = Vec::new();
        translate(&mapping, body, &mut by_plan);
        let mut hand = Vec::new();
        by_hand(source, body, &mut hand);
        assert_eq!(
            String::from_utf8_lossy(&hand),
            String::from_utf8_lossy(&by_plan),
            "both give the same bytes"
        );
        println!("{source}, {} bytes to {}", body.len(), by_plan.len());
        if let Some(directory) = &outputs {
            std::fs::write(format!("{directory}/{source}.mapping"), &by_plan)
                .expect("it can be written");
        }
        let [parser, hand, plan] = times([
            &mut || parse(source, body),
            &mut || {
                let mut out = Vec::with_capacity(body.len() * 2);
                by_hand(source, body, &mut out);
                black_box(&out);
            },
            &mut || {
                let mut out = Vec::with_capacity(body.len() * 2);
                translate(&mapping, body, &mut out);
                black_box(&out);
            },
        ]);
        line("  the parser alone", parser);
        line("  by hand", hand);
        line("  mapping", plan);
        println!(
            "  mapping / by hand {:.2}, at most {RATIO_MAX}",
            plan / hand
        );
        too_slow |= plan > hand * RATIO_MAX;
        if source == "pain.001" {
            let [sheet] = times([&mut transform(&read("bench/translate/pain.001.xsl"), body)]);
            line("  an XSLT 1.0 sheet, our engine", sheet);
        }
        if without_http {
            continue;
        }
        let servers = [
            ("  hyper alone", http::Server::Hyper),
            ("  hyper with the mapping", http::Server::HyperAndMapping),
            ("  the gateway, a queue that forgets", http::Server::Gateway),
        ];
        let mut best = [(f64::INFINITY, 0.0); 3];
        for _ in 0..HTTP_ROUNDS {
            for ((_, server), best) in servers.iter().zip(&mut best) {
                let (micros, by_clock) = http::measure(*server, source, compile(source), body);
                *best = (best.0.min(micros), f64::max(best.1, by_clock));
            }
        }
        for ((name, _), (micros, by_clock)) in servers.iter().zip(best) {
            line(name, micros);
            println!("  {:38} {by_clock:>8.0} a second by the clock", "");
        }
    }
    assert!(
        !too_slow,
        "the mapping takes more than {RATIO_MAX} of what code by hand takes"
    );
}

fn line(name: &str, micros: f64) {
    println!(
        "{name:38} {micros:>8.3} us {:>10.0} a CPU-second",
        1_000_000.0 / micros
    );
}

/// Microseconds of each, the best of rounds in which they take turns.
fn times<const N: usize>(mut all: [&mut dyn FnMut(); N]) -> [f64; N] {
    let mut best = [f64::INFINITY; N];
    for _ in 0..ROUNDS {
        for (one, best) in all.iter_mut().zip(&mut best) {
            let begun = cpu_nanos();
            for _ in 0..REPEAT {
                one();
            }
            *best = best.min((cpu_nanos() - begun) as f64 / 1_000.0 / REPEAT as f64);
        }
    }
    best
}

fn parse(source: &str, body: &str) {
    if source == "json" {
        return drop(black_box(serde_json::from_slice::<serde::de::IgnoredAny>(
            black_box(body.as_bytes()),
        )));
    }
    let mut reader = quick_xml::Reader::from_str(black_box(body));
    while !matches!(black_box(reader.read_event()), Ok(Event::Eof)) {}
}

fn by_hand(source: &str, body: &str, out: &mut Vec<u8>) {
    let done = match source {
        "json" => by_hand::json(body.as_bytes(), out),
        _ => std::str::from_utf8(black_box(body.as_bytes()))
            .ok()
            .and_then(|body| by_hand::pain(body, out)),
    };
    done.expect("it is taken");
}

fn translate(mapping: &Mapping, body: &str, out: &mut Vec<u8>) {
    let mut context = Context {
        received_at: RECEIVED_AT,
        idempotency_key: None,
        first_record: 1,
        lines: false,
        new_id: &mut || "made-up".to_owned(),
    };
    let taken = mapping.decode(
        body.as_bytes(),
        &mut context,
        &Limits::default(),
        out,
        &mut |_| (),
    );
    assert_eq!(taken, Ok(1));
}

/// What `[transform]` does before a mapping reads its output.
fn transform<'b>(sheet: &str, body: &'b str) -> impl FnMut() + use<'b> {
    let sheet = xslt::Stylesheet::compile("pain.001.xsl", sheet, &|_| Err("none".to_owned()));
    let sheet = sheet.expect("it compiles");
    let limits = xslt::Limits::default();
    move || {
        let output = sheet.transform(black_box(body.as_bytes()), &[], &limits);
        black_box(output.expect("it is transformed"));
    }
}

/// CPU time of this thread in nanoseconds.
fn cpu_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    text.split_ascii_whitespace()
        .next()
        .and_then(|nanos| nanos.parse().ok())
        .expect("a number")
}
