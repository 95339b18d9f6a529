#![no_main]

#[path = "../checks/mapping.rs"]
mod checks;

use std::sync::OnceLock;

static MAPPINGS: OnceLock<Vec<mapping::Mapping>> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mappings = MAPPINGS.get_or_init(|| checks::ready_made(&["protobuf", "avro"]));
    checks::body(mappings, data);
});
