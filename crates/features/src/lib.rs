//! No code. `cargo test -p sql` and `cargo build` would otherwise compile DataFusion with
//! different features of shared dependencies, once each, at a quarter of an hour a time: whoever
//! depends on DataFusion depends on this crate too, which asks for the union of all features.
