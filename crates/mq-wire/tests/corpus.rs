//! Replays what fuzzing found and keeps (`fuzz/corpus`): see `fuzz/README.md`.
#![allow(missing_docs, unreachable_pub)]

#[path = "../../../fuzz/checks/wire.rs"]
mod checks;

use std::fs;
use std::path::{Path, PathBuf};

use mq_wire::{Assembler, SegmentReader};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn replay(target: &str, least: usize, check: fn(&[u8])) {
    let dir = repository().join("fuzz/corpus").join(target);
    let mut entries = 0;
    for entry in fs::read_dir(&dir).expect("a corpus") {
        let path = entry.expect("an entry").path();
        let data = fs::read(&path).expect("reads");
        // Names the entry when the check panics.
        let result = std::panic::catch_unwind(|| check(&data));
        assert!(result.is_ok(), "{}", path.display());
        entries += 1;
    }
    assert!(entries >= least, "{target}: {entries} entries");
}

#[test]
fn segments() {
    replay("segments", 50, checks::segments);
}

#[test]
fn flow() {
    replay("flow", 200, checks::flow);
}

#[test]
fn roundtrip() {
    replay("roundtrip", 100, checks::roundtrip);
}

#[test]
fn text() {
    replay("text", 10, checks::text);
}

/// `SEEDS=<directory>`: writes the captured flows as the targets' first corpus.
#[test]
fn seeds_are_taken_from_the_captures() {
    let Some(to) = std::env::var_os("SEEDS").map(PathBuf::from) else {
        return;
    };
    let write = |target: &str, number: usize, seed: &[u8]| {
        let dir = to.join(target);
        fs::create_dir_all(&dir).expect("a directory");
        fs::write(dir.join(format!("{number:05}")), seed).expect("writes");
    };
    let mut number = 0;
    for entry in fs::read_dir(repository().join("crates/mq-wire/tests/captures")).expect("there") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        for side in ["C", "S"] {
            let text = fs::read_to_string(&path).expect("reads");
            let lines = text.lines().filter(|line| line.starts_with(side));
            let segments: Vec<_> = lines.filter_map(|line| line.split(' ').nth(2)).collect();
            let segments: Vec<Vec<u8>> = segments.into_iter().map(unhex).collect();
            let mut assembler = Assembler::new(8 << 20);
            for (count, bytes) in segments.iter().enumerate() {
                number += 1;
                if count % 8 == 0 {
                    let few = segments.iter().skip(count).take(4);
                    let mut seed = vec![number as u8];
                    few.for_each(|bytes| seed.extend_from_slice(bytes));
                    if seed.len() < 4_096 {
                        write("segments", number, &seed);
                    }
                }
                let mut buffer = bytes::BytesMut::from(&bytes[..]);
                let segment = SegmentReader::new(1 << 20).next(&mut buffer);
                let segment = segment.expect("a segment").expect("whole");
                let Some(message) = assembler.push(segment).expect("in order") else {
                    continue;
                };
                if message.body.len() > 3_000 {
                    continue;
                }
                let form = u8::from(message.header.order == mq_wire::ByteOrder::Little) | 0x10;
                let mut seed = vec![message.header.segment_type.0, form];
                seed.extend_from_slice(&message.body);
                write("flow", number, &seed);
                seed.splice(0..0, [number as u8 % 16, (number / 16) as u8]);
                write("roundtrip", number, &seed);
            }
        }
    }
    for (number, pair) in (0..25_u8).enumerate() {
        let text = "blåbær 100€ [x]".as_bytes();
        let seed = [&[pair / 5, pair % 5], text].concat();
        write("text", number, &seed);
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).expect("hexadecimal") as u8;
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}
