//! Rules about the code that only live because a test enforces them.
#![allow(missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};

/// Layers from the bottom up. A crate may depend only on crates of a lower layer; `ARCHITECTURE.md`
/// says what each is.
const LAYERS: &[&[&str]] = &[
    &["types", "telemetry", "pem", "features", "xslt"],
    &[
        "mq-wire",
        "segment-log",
        "mapping",
        "sql",
        "kafka-client",
        "spark",
        "token",
    ],
    &["kafka-broker", "queue-manager", "mq-client", "store"],
    &[
        "mq-server",
        "gateway",
        "connector",
        "aggregate",
        "sink",
        "web",
        "sender",
        "query",
    ],
    &["connect-api", "inspect"],
    &["pipeline"],
    &["daybook"],
];

/// One line per violation, empty when the workspace is in order.
fn layer_violations(dependencies: &[(String, String)]) -> Vec<String> {
    let layer_of = |name: &str| LAYERS.iter().position(|layer| layer.contains(&name));
    let mut violations = Vec::new();
    for (from, to) in dependencies {
        match (layer_of(from), layer_of(to)) {
            (Some(upper), Some(lower)) if lower < upper => {}
            (Some(_), Some(_)) => violations.push(format!("`{from}` must not depend on `{to}`")),
            (None, _) => violations.push(format!("`{from}` is in no layer: add it to LAYERS")),
            (_, None) => violations.push(format!("`{to}` is in no layer: add it to LAYERS")),
        }
    }
    violations
}

fn crates() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let entries = fs::read_dir(dir).expect("lists the crates");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.retain(|path| path.join("Cargo.toml").exists());
    paths.sort();
    paths
}

/// Our crates under `[dependencies]`; what only tests need may point anywhere.
fn dependencies() -> Vec<(String, String)> {
    let paths = crates();
    let names: Vec<String> = paths
        .iter()
        .map(|path| {
            path.file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    let mut found = Vec::new();
    for (path, name) in paths.iter().zip(&names) {
        let manifest = fs::read_to_string(path.join("Cargo.toml")).expect("reads");
        let section = manifest
            .split("\n[dependencies]\n")
            .nth(1)
            .unwrap_or_default();
        let section = section.split("\n[").next().unwrap_or_default();
        for line in section.lines() {
            let key = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if names.iter().any(|other| other == key) {
                found.push((name.clone(), key.to_owned()));
            }
        }
    }
    found
}

#[test]
fn crates_depend_downwards_only() {
    let dependencies = dependencies();
    assert!(
        dependencies.len() > 20,
        "the manifests were not read: {dependencies:?}"
    );
    assert_eq!(layer_violations(&dependencies), Vec::<String>::new());
}

#[test]
fn a_dependency_upwards_or_sideways_would_be_found() {
    let pair = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    let wrong = [
        pair("types", "web"),
        pair("web", "sink"),
        pair("nowhere", "types"),
    ];
    assert_eq!(
        layer_violations(&wrong),
        [
            "`types` must not depend on `web`",
            "`web` must not depend on `sink`",
            "`nowhere` is in no layer: add it to LAYERS"
        ]
    );
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("lists") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_source_file_says_where_it_stands_and_is_of_bearable_length() {
    const LINES_MAX: usize = 1_000;
    let mut files = Vec::new();
    for path in crates() {
        sources(&path.join("src"), &mut files);
    }
    let mut wrong = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("reads");
        if !text.starts_with("//!") {
            wrong.push(format!("{}: no module header", file.display()));
        }
        let lines = text.lines().count();
        if lines > LINES_MAX {
            wrong.push(format!(
                "{}: {lines} lines, at most {LINES_MAX}",
                file.display()
            ));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}
