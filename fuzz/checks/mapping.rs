//! What must hold of bodies of requests, whatever is in them.

use mapping::{CompileOptions, Context, Limits, Mapping, RecordOutcome};

/// Ready mappings by name.
pub(crate) fn ready_made(sources: &[&str]) -> Vec<Mapping> {
    let read = |source: &&str| {
        // From this directory or from a crate's.
        let base = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = base
            .ancestors()
            .find(|dir| dir.join("config/sources").is_dir());
        let path = root
            .expect("a clone")
            .join(format!("config/sources/{source}.toml"));
        let path = path.display().to_string();
        let text = std::fs::read_to_string(&path).expect("the source is there");
        let mut options = CompileOptions::default();
        for entry in
            std::fs::read_dir(root.expect("a clone").join("config/sources")).expect("the folder")
        {
            let file = entry.expect("readable").path();
            let name = file
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if CompileOptions::is_file(name) {
                options = options.with_file(name, std::fs::read(&file).expect("readable"));
            }
        }
        Mapping::compile_with(&path, &text, &options).expect("a ready-made source")
    };
    sources.iter().map(read).collect()
}

/// A body is refused or translated: every record has one outcome and stands within the body, what is translated is JSON with the amount and the id that
/// are told beside it, and limits hold. The first byte of the input chooses among the mappings.
pub(crate) fn body(mappings: &[Mapping], input: &[u8]) {
    let Some((which, body)) = input.split_first() else {
        return;
    };
    let mapping = &mappings[usize::from(*which) % mappings.len()];
    let limits = Limits {
        records_max: 100,
        output_bytes_max: 1 << 20,
        ..Limits::default()
    };
    let (mut out, mut count, mut ids) = (Vec::new(), 0_u64, 0);
    let mut outcomes = Vec::new();
    let mut new_id = || {
        ids += 1;
        format!("new-{ids}")
    };
    let mut context = Context {
        received_at: 1_795_435_200_000_000,
        idempotency_key: Some("key"),
        first_record: 1,
        lines: false,
        new_id: &mut new_id,
    };
    let mut sink = |outcome| {
        count += 1;
        outcomes.push(outcome);
    };
    let decoded = mapping.decode_counted(body, &mut context, &limits, &mut out, &mut sink);
    if let Ok(counts) = decoded {
        assert_eq!(
            counts.records,
            count + counts.passed_over,
            "every record has one outcome or is passed over"
        );
    }
    assert!(count <= 100 && out.len() <= (1 << 20) + (64 << 10));
    for outcome in &outcomes {
        let original = match outcome {
            RecordOutcome::Translated(record) => {
                let json = &out[record.json.start as usize..record.json.end as usize];
                let json: serde_json::Value = serde_json::from_slice(json).expect("JSON");
                let id = &out[record.id.start as usize..record.id.end as usize];
                assert_eq!(json["id"].as_str().map(str::as_bytes), Some(id));
                let amount = json["amount"].as_str().expect("text");
                let amount = types::Amount::parse(amount).expect("an exact amount");
                assert_eq!(amount, record.amount);
                &record.original
            }
            RecordOutcome::Refused(record) => {
                assert!(!record.refusal.detail.is_empty());
                &record.original
            }
        };
        assert!(original.start <= original.end && original.end as usize <= body.len());
    }
}
