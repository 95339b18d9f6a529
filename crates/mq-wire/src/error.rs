//! What can be wrong with bytes from the other side.

/// The bytes are no message of the channel protocol. Retrying the same bytes does not help: the
/// connection has to end, because nobody knows where the next segment begins.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The first four bytes of a segment are none of `TSH `, `TSHC`, `TSHM`.
    #[error("a segment begins with {found:02x?}: this is not IBM MQ's channel protocol")]
    NotMq {
        /// The four bytes.
        found: [u8; 4],
    },
    /// A segment is shorter than its header or longer than was negotiated.
    #[error("a segment of {length} bytes: {min} to {max} are allowed")]
    SegmentLength {
        /// As the header says.
        length: u32,
        /// Bytes of the header.
        min: u32,
        /// Bytes as negotiated.
        max: u32,
    },
    /// The byte order flag is neither 1 nor 2.
    #[error("byte order {found}: 1 (big) and 2 (little) are known")]
    ByteOrder {
        /// As received.
        found: u8,
    },
    /// A structure ends before its last field.
    #[error("{what} is cut: {need} bytes more are needed, {have} are there")]
    Cut {
        /// Structure or field.
        what: &'static str,
        /// Bytes missing from here on.
        need: usize,
        /// Bytes left.
        have: usize,
    },
    /// Another structure is where this one must be.
    #[error("{expected:?} was expected, {found:02x?} is there")]
    StructureId {
        /// Its identifier.
        expected: &'static str,
        /// The four bytes found.
        found: [u8; 4],
    },
    /// A structure has a version that has no known length.
    #[error("{what} of version {version} is not known")]
    Version {
        /// Structure.
        what: &'static str,
        /// As received.
        version: i32,
    },
    /// A length or count is negative or above its limit.
    #[error("{what} is {value}: 0 to {max} are allowed")]
    Limit {
        /// Field.
        what: &'static str,
        /// As received.
        value: i64,
        /// Highest that is accepted.
        max: usize,
    },
    /// A middle or last piece came without its first, or the pieces do not belong together.
    #[error("a piece of a long message (type {segment_type:#04x}) came out of order")]
    OutOfOrder {
        /// Type of the segment.
        segment_type: u8,
    },
    /// The text of a structure is in a character set that is not known.
    #[error("character fields in CCSID {ccsid}: 37, 500, 819, 850, 1208 and a few more are known")]
    Ccsid {
        /// As the header says.
        ccsid: u16,
    },
}
