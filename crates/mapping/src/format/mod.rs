//! Decoders: each turns one format into the same path events for the record assembler.
//!
//! None recurses, none builds a tree, and each checks its limits before it reads on.

pub(crate) mod avro;
pub(crate) mod copybook;
pub(crate) mod csv;
pub(crate) mod fixed;
pub(crate) mod iso8583;
pub(crate) mod json;
pub(crate) mod moments;
pub(crate) mod ofx;
pub(crate) mod protobuf;
pub(crate) mod swift_mt;
pub(crate) mod xml;
