//! Keys and files that a mapping names and does not hold.

use std::collections::BTreeMap;
use std::fmt;

/// What BLAKE3 derives keys for: part of every hash made with one.
const CONTEXT: &str = "daybook mapping 2026-11-29 keyed hash of a field";

/// What compiling needs beside the text of a mapping: keys and files, by the names under which mappings ask for them.
#[derive(Clone, Default)]
pub struct CompileOptions {
    keys: BTreeMap<String, Vec<u8>>,
    files: BTreeMap<String, Vec<u8>>,
}

impl CompileOptions {
    /// Fewest bytes of a key: 128 bits, if they are random.
    pub const KEY_BYTES_MIN: usize = 16;

    /// With a key for `{ hash = { key = "name" } }`. A text or random bytes, at least
    /// [`CompileOptions::KEY_BYTES_MIN`] of them; a mapping that uses a shorter one does not compile.
    #[must_use]
    pub fn with_key(mut self, name: impl Into<String>, key: impl Into<Vec<u8>>) -> Self {
        self.keys.insert(name.into(), key.into());
        self
    }

    /// Whether a file beside mappings may be one that they name, by its name: descriptors, schemas,
    /// scripts and stylesheets.
    #[must_use]
    pub fn is_file(name: &str) -> bool {
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        ["binpb", "avsc", "xsd", "json", "js", "xsl", "xslt"].contains(&extension)
    }

    /// With a file that mappings may name, such as a descriptor of protobuf: its name without a directory,
    /// and what is in it.
    #[must_use]
    pub fn with_file(mut self, name: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(name.into(), content.into());
        self
    }

    /// What a file has; the error says why there is none.
    pub(crate) fn file(&self, name: &str) -> Result<&[u8], String> {
        if let Some(content) = self.files.get(name) {
            return Ok(content);
        }
        let known: Vec<&str> = self.files.keys().map(String::as_str).collect();
        let known = match known.as_slice() {
            [] => "none was given".to_owned(),
            known => format!("given are {}", known.join(", ")),
        };
        Err(format!(
            "there is no file {name:?}, {known}: put it beside the mapping"
        ))
    }

    /// The key that hashes are made with; the error says why there is none.
    pub(crate) fn hash_key(&self, name: &str) -> Result<HashKey, String> {
        let Some(key) = self.keys.get(name) else {
            let known: Vec<&str> = self.keys.keys().map(String::as_str).collect();
            let known = match known.as_slice() {
                [] => "none was given".to_owned(),
                known => format!("given are {}", known.join(", ")),
            };
            return Err(format!(
                "there is no key {name:?}, {known}: put it into the file {name}.key beside the mapping"
            ));
        };
        if key.len() < Self::KEY_BYTES_MIN {
            return Err(format!(
                "the key {name:?} has {} bytes, at least {} are needed: `openssl rand -hex 32` makes one",
                key.len(),
                Self::KEY_BYTES_MIN
            ));
        }
        Ok(HashKey(blake3::derive_key(CONTEXT, key)))
    }
}

impl fmt::Debug for CompileOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompileOptions")
            .field("keys", &self.keys.keys())
            .field("files", &self.files.keys())
            .finish()
    }
}

/// A key that is never shown.
pub(crate) struct HashKey([u8; 32]);

impl HashKey {
    /// BLAKE3 with the key, cut to 128 bits, in 32 hexadecimal digits.
    pub(crate) fn hash(&self, text: &str) -> String {
        let mut hex = blake3::keyed_hash(&self.0, text.as_bytes()).to_hex();
        hex.truncate(32);
        hex.to_string()
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey")
    }
}
