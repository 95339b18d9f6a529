//! What fuzzing has found to be worth keeping, once more: see `fuzz/README.md`.

#[path = "../../../fuzz/checks/mapping.rs"]
mod checks;

fn replay(target: &str, sources: &[&str]) {
    let mappings = checks::ready_made(sources);
    let corpus = format!("{}/../../fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for entry in std::fs::read_dir(&corpus).expect("there is one") {
        let path = entry.expect("an entry").path();
        // Told when it fails.
        let shown = path.display().to_string();
        let input = std::fs::read(&path).unwrap_or_else(|error| panic!("{shown}: {error}"));
        let checked = std::panic::catch_unwind(|| checks::body(&mappings, &input));
        assert!(checked.is_ok(), "{shown}");
        count += 1;
    }
    assert!(count > 0, "{corpus} is empty");
}

#[test]
fn corpus_xml() {
    replay("xml", &["pain.001", "camt.053", "pacs.008"]);
}

#[test]
fn corpus_mt() {
    replay("mt", &["mt940", "mt103"]);
}

#[test]
fn corpus_iso8583() {
    replay("iso8583", &["iso8583"]);
}

#[test]
fn corpus_schema() {
    replay("schema", &["protobuf", "avro"]);
}

#[test]
fn corpus_copybook() {
    replay("copybook", &["copybook"]);
}

#[test]
fn corpus_lines() {
    replay("lines", &["nacha", "ofx", "card-csv", "json"]);
}
