//! Limits on what a decoder reads and writes. Each has a unit in its name and a default.

use serde::Deserialize;

/// Limits that keep time and memory of one request bounded, whatever the sender writes.
///
/// A value equal to a limit passes, one more is refused with the rule named in the field's comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Most bytes of one request's body (`body-bytes`). 16 MiB.
    pub body_bytes_max: usize,
    /// Most records of one request (`records`). 10,000: one unit of work of the queue.
    pub records_max: usize,
    /// Deepest nesting of objects, arrays or elements (`depth`). 64.
    pub depth_max: usize,
    /// Most attributes of one XML element, namespace declarations included (`attributes`). 64.
    pub attributes_max: usize,
    /// Most keys of one JSON object that the mapping reads from (`keys`). 256.
    ///
    /// Objects that the mapping skips are bounded by the body only.
    pub keys_max: usize,
    /// Most columns of one CSV row (`columns`). 1,024.
    pub columns_max: usize,
    /// Most bytes of a name: JSON key, XML element or attribute (`name-bytes`). 256.
    pub name_bytes_max: usize,
    /// Most bytes of text of one mapped value (`field-bytes`). 4 KiB.
    pub field_bytes_max: usize,
    /// Most bytes of an id, an account or a `reverses` (`id-bytes`). 512.
    pub id_bytes_max: usize,
    /// Most bytes of one translated record (`record-bytes`). 64 KiB.
    pub record_bytes_max: usize,
    /// Most bytes of all translated records of one request (`output-bytes`). 64 MiB.
    ///
    /// Inherited fields are repeated in every record, so a small body can ask for much output.
    pub output_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 16 << 20,
            records_max: 10_000,
            depth_max: 64,
            attributes_max: 64,
            keys_max: 256,
            columns_max: 1_024,
            name_bytes_max: 256,
            field_bytes_max: 4 << 10,
            id_bytes_max: 512,
            record_bytes_max: 64 << 10,
            output_bytes_max: 64 << 20,
        }
    }
}

/// Positions are kept as `u32`; bodies and outputs beyond it are refused whatever is configured.
pub(crate) const POSITION_MAX: usize = u32::MAX as usize - (1 << 20);
