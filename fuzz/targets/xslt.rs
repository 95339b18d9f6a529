#![no_main]

#[path = "../checks/xslt.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::stylesheet(data));
