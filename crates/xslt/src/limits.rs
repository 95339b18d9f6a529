//! Limits on what a transformation takes. Each has a unit in its name and a default.

/// Limits that keep time and memory of one transformation bounded, whatever stylesheet and document say.
///
/// A value equal to a limit passes, one more is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of the document. 16 MiB.
    pub document_bytes_max: usize,
    /// Most nodes of the document: elements, attributes, texts, comments, processing instructions. 2,000,000; one
    /// takes 40 bytes beside its text.
    pub document_nodes_max: usize,
    /// Deepest nesting of the document's elements, and of the result's. 256.
    pub depth_max: usize,
    /// Most steps: instructions, nodes looked at, nodes of sets that are sorted or compared, and one for every 16
    /// bytes of text that is read or made. 20,000,000, well below a second.
    pub steps_max: u64,
    /// Deepest nesting of template calls, built-in ones and `for-each` included. 10,000.
    pub template_depth_max: usize,
    /// Most nodes of the result. 2,000,000.
    pub result_nodes_max: usize,
    /// Most bytes of the result. 64 MiB.
    pub result_bytes_max: usize,
    /// Most nodes of all result tree fragments together. 2,000,000.
    pub fragment_nodes_max: usize,
    /// Most bytes of text in all result tree fragments that have elements together. 64 MiB.
    pub fragment_bytes_max: usize,
    /// Most bytes of one text that an expression makes. 16 MiB.
    pub text_bytes_max: usize,
    /// Most nodes of a set before doubles are taken out. 4,000,000, 8 bytes each.
    pub set_nodes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            document_bytes_max: 16 << 20,
            document_nodes_max: 2_000_000,
            depth_max: 256,
            steps_max: 20_000_000,
            template_depth_max: 10_000,
            result_nodes_max: 2_000_000,
            result_bytes_max: 64 << 20,
            fragment_nodes_max: 2_000_000,
            fragment_bytes_max: 64 << 20,
            text_bytes_max: 16 << 20,
            set_nodes_max: 4_000_000,
        }
    }
}
