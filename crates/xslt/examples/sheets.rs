//! What a transformation takes, with the stylesheet and the message of `bench/translate`, on one thread:
//! `cargo run --release -p xslt --example sheets`. `bench/translate.sh` has libxslt's figure beside it.

#![allow(clippy::print_stdout, reason = "a program for people")]

use xslt::{Limits, Stylesheet};

const ROUNDS: usize = 7;
const REPEAT: usize = 20_000;

fn main() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../bench/translate");
    let read =
        |name: &str| std::fs::read_to_string(format!("{folder}/{name}")).expect("it is there");
    let (text, document) = (read("pain.001.xsl"), read("pain.001.xml"));
    let sheet = Stylesheet::compile("pain.001.xsl", &text, &|_| Err("none".to_owned()));
    let sheet = sheet.expect("it compiles");
    let limits = Limits::default();
    let mut best = f64::INFINITY;
    let mut bytes = 0;
    for _ in 0..ROUNDS {
        let begun = cpu_nanos();
        for _ in 0..REPEAT {
            let output = sheet.transform(document.as_bytes(), &[], &limits);
            bytes = output.expect("it is transformed").bytes.len();
        }
        best = best.min((cpu_nanos() - begun) as f64 / 1_000.0 / REPEAT as f64);
    }
    println!(
        "pain.001, our engine: {} bytes to {bytes} in {best:.3} us, {:.0} a CPU-second",
        document.len(),
        1_000_000.0 / best
    );
}

/// CPU time of this thread in nanoseconds.
fn cpu_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanos = text.split_ascii_whitespace().next();
    nanos
        .and_then(|nanos| nanos.parse().ok())
        .expect("a number")
}
