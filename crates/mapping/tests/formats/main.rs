//! Mappings from outside: one program, so that what it is linked with is compiled once.

mod avro;
mod checking;
mod checks;
#[path = "../common/mod.rs"]
mod common;
mod copybook;
mod cutting;
mod decoding;
mod envelope;
mod fixed;
mod iso8583;
mod json_schema;
mod language;
mod nacha;
mod ofx;
mod protobuf;
mod samples;
#[cfg(feature = "script")]
mod script;
mod suites;
mod swift_mt;
#[cfg(feature = "xslt")]
mod transform;
mod workbench;
mod xsd;
