//! A walk over a request before it is decoded, so that decoding allocates no more than the bytes justify.
//!
//! The decoder reserves room for as many elements as an array claims to have. Here the claims are checked first:
//! every element must be there, and all together must not exceed a limit. Layouts follow Kafka's message schemas,
//! for the versions that [`crate::api`] lists.

/// A request does not have the layout of its kind and version, or is larger than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ShapeError {
    /// Bytes are missing, or a length is negative.
    #[error("request ends early or has an impossible length")]
    Malformed,
    /// More elements than allowed.
    #[error("request has more than {elements_max} elements")]
    TooManyElements {
        /// The limit.
        elements_max: usize,
    },
}

/// How a field looks on the wire.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// So many bytes.
    Fixed(usize),
    /// String, nullable or not.
    Text,
    /// Bytes or records, nullable or not.
    Bytes,
    /// Array of values of so many bytes.
    FixedArray(usize),
    /// Array of strings.
    TextArray,
    /// Array of structs.
    Array(&'static [Field]),
}

/// A field and the versions that have it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    from: i16,
    to: i16,
    kind: Kind,
}

const fn all(kind: Kind) -> Field {
    Field {
        from: 0,
        to: i16::MAX,
        kind,
    }
}

const fn since(from: i16, kind: Kind) -> Field {
    Field {
        from,
        to: i16::MAX,
        kind,
    }
}

const fn between(from: i16, to: i16, kind: Kind) -> Field {
    Field { from, to, kind }
}

use Kind::{Array, Bytes, Fixed, FixedArray, Text, TextArray};

pub(crate) const PRODUCE: &[Field] = &[
    all(Text),
    all(Fixed(6)),
    all(Array(&[
        all(Text),
        all(Array(&[all(Fixed(4)), all(Bytes)])),
    ])),
];
pub(crate) const FETCH: &[Field] = &[
    all(Fixed(17)),
    since(7, Fixed(8)),
    all(Array(&[
        all(Text),
        all(Array(&[
            all(Fixed(4)),
            since(9, Fixed(4)),
            all(Fixed(8)),
            since(12, Fixed(4)),
            since(5, Fixed(8)),
            all(Fixed(4)),
        ])),
    ])),
    since(7, Array(&[all(Text), all(FixedArray(4))])),
    since(11, Text),
];
pub(crate) const LIST_OFFSETS: &[Field] = &[
    all(Fixed(4)),
    since(2, Fixed(1)),
    all(Array(&[
        all(Text),
        all(Array(&[all(Fixed(4)), since(4, Fixed(4)), all(Fixed(8))])),
    ])),
];
pub(crate) const METADATA: &[Field] = &[
    all(Array(&[since(10, Fixed(16)), all(Text)])),
    since(4, Fixed(1)),
    between(8, 10, Fixed(1)),
    since(8, Fixed(1)),
];
pub(crate) const OFFSET_COMMIT: &[Field] = &[
    all(Text),
    all(Fixed(4)),
    all(Text),
    since(7, Text),
    between(2, 4, Fixed(8)),
    all(Array(&[
        all(Text),
        all(Array(&[all(Fixed(12)), since(6, Fixed(4)), all(Text)])),
    ])),
];
pub(crate) const OFFSET_FETCH: &[Field] = &[
    between(0, 7, Text),
    between(0, 7, Array(&[all(Text), all(FixedArray(4))])),
    since(
        8,
        Array(&[
            all(Text),
            since(9, Text),
            since(9, Fixed(4)),
            all(Array(&[all(Text), all(FixedArray(4))])),
        ]),
    ),
    since(7, Fixed(1)),
];
pub(crate) const FIND_COORDINATOR: &[Field] =
    &[between(0, 3, Text), since(1, Fixed(1)), since(4, TextArray)];
pub(crate) const JOIN_GROUP: &[Field] = &[
    all(Text),
    all(Fixed(4)),
    since(1, Fixed(4)),
    all(Text),
    since(5, Text),
    all(Text),
    all(Array(&[all(Text), all(Bytes)])),
    since(8, Text),
];
pub(crate) const HEARTBEAT: &[Field] = &[all(Text), all(Fixed(4)), all(Text), since(3, Text)];
pub(crate) const LEAVE_GROUP: &[Field] = &[
    all(Text),
    between(0, 2, Text),
    since(3, Array(&[all(Text), all(Text), since(5, Text)])),
];
pub(crate) const SYNC_GROUP: &[Field] = &[
    all(Text),
    all(Fixed(4)),
    all(Text),
    since(3, Text),
    since(5, Text),
    since(5, Text),
    all(Array(&[all(Text), all(Bytes)])),
];
pub(crate) const DESCRIBE_GROUPS: &[Field] = &[all(TextArray), since(3, Fixed(1))];
pub(crate) const LIST_GROUPS: &[Field] = &[since(4, TextArray), since(5, TextArray)];
pub(crate) const API_VERSIONS: &[Field] = &[since(3, Text), since(3, Text)];
pub(crate) const CREATE_TOPICS: &[Field] = &[
    all(Array(&[
        all(Text),
        all(Fixed(6)),
        all(Array(&[all(Fixed(4)), all(FixedArray(4))])),
        all(Array(&[all(Text), all(Text)])),
    ])),
    all(Fixed(5)),
];
pub(crate) const DELETE_TOPICS: &[Field] = &[
    since(6, Array(&[all(Text), all(Fixed(16))])),
    between(0, 5, TextArray),
    all(Fixed(4)),
];
pub(crate) const DELETE_RECORDS: &[Field] = &[
    all(Array(&[all(Text), all(Array(&[all(Fixed(12))]))])),
    all(Fixed(4)),
];
pub(crate) const INIT_PRODUCER_ID: &[Field] = &[all(Text), all(Fixed(4)), since(3, Fixed(10))];
pub(crate) const ADD_PARTITIONS_TO_TXN: &[Field] = &[
    all(Text),
    all(Fixed(10)),
    all(Array(&[all(Text), all(FixedArray(4))])),
];
pub(crate) const ADD_OFFSETS_TO_TXN: &[Field] = &[all(Text), all(Fixed(10)), all(Text)];
pub(crate) const END_TXN: &[Field] = &[all(Text), all(Fixed(11))];
pub(crate) const TXN_OFFSET_COMMIT: &[Field] = &[
    all(Text),
    all(Text),
    all(Fixed(10)),
    since(3, Fixed(4)),
    since(3, Text),
    since(3, Text),
    all(Array(&[
        all(Text),
        all(Array(&[all(Fixed(12)), since(2, Fixed(4)), all(Text)])),
    ])),
];
pub(crate) const DESCRIBE_CONFIGS: &[Field] = &[
    all(Array(&[all(Fixed(1)), all(Text), all(TextArray)])),
    all(Fixed(1)),
    since(3, Fixed(1)),
];
pub(crate) const OFFSET_FOR_LEADER_EPOCH: &[Field] = &[
    since(3, Fixed(4)),
    all(Array(&[all(Text), all(Array(&[all(Fixed(12))]))])),
];
pub(crate) const ALTER_CONFIGS: &[Field] = &[
    all(Array(&[
        all(Fixed(1)),
        all(Text),
        all(Array(&[all(Text), all(Text)])),
    ])),
    all(Fixed(1)),
];
pub(crate) const INCREMENTAL_ALTER_CONFIGS: &[Field] = &[
    all(Array(&[
        all(Fixed(1)),
        all(Text),
        all(Array(&[all(Text), all(Fixed(1)), all(Text)])),
    ])),
    all(Fixed(1)),
];
pub(crate) const DESCRIBE_LOG_DIRS: &[Field] = &[all(Array(&[all(Text), all(FixedArray(4))]))];
pub(crate) const OFFSET_DELETE: &[Field] = &[
    all(Text),
    all(Array(&[all(Text), all(Array(&[all(Fixed(4))]))])),
];
pub(crate) const DESCRIBE_PRODUCERS: &[Field] = &[all(Array(&[all(Text), all(FixedArray(4))]))];
pub(crate) const DESCRIBE_TRANSACTIONS: &[Field] = &[all(TextArray)];
pub(crate) const LIST_TRANSACTIONS: &[Field] =
    &[all(TextArray), all(FixedArray(8)), since(1, Fixed(8))];
pub(crate) const SASL_HANDSHAKE: &[Field] = &[all(Text)];
pub(crate) const SASL_AUTHENTICATE: &[Field] = &[all(Bytes)];
pub(crate) const CREATE_PARTITIONS: &[Field] = &[
    all(Array(&[
        all(Text),
        all(Fixed(4)),
        all(Array(&[all(FixedArray(4))])),
    ])),
    all(Fixed(5)),
];
pub(crate) const DELETE_GROUPS: &[Field] = &[all(TextArray)];
pub(crate) const DESCRIBE_CLUSTER: &[Field] = &[all(Fixed(1)), since(1, Fixed(1))];
pub(crate) const CONSUMER_GROUP_HEARTBEAT: &[Field] = &[
    all(Text),
    all(Text),
    all(Fixed(4)),
    all(Text),
    all(Text),
    all(Fixed(4)),
    all(TextArray),
    since(1, Text),
    all(Text),
    all(Array(&[all(Fixed(16)), all(FixedArray(4))])),
];
pub(crate) const CONSUMER_GROUP_DESCRIBE: &[Field] = &[all(TextArray), all(Fixed(1))];

struct Walk<'a> {
    bytes: &'a [u8],
    version: i16,
    flexible: bool,
    elements: usize,
    elements_max: usize,
}

/// Checks that `bytes` begin with `fields` as they are in `version`.
pub(crate) fn check(
    bytes: &[u8],
    fields: &[Field],
    version: i16,
    flexible: bool,
    elements_max: usize,
) -> Result<(), ShapeError> {
    let mut walk = Walk {
        bytes,
        version,
        flexible,
        elements: 0,
        elements_max,
    };
    walk.fields(fields)
}

impl Walk<'_> {
    fn fields(&mut self, fields: &[Field]) -> Result<(), ShapeError> {
        for field in fields {
            if (field.from..=field.to).contains(&self.version) {
                self.field(field.kind)?;
            }
        }
        if self.flexible {
            for _ in 0..self.varint()? {
                self.element()?;
                self.varint()?;
                let bytes = self.varint()?;
                self.skip(bytes)?;
            }
        }
        Ok(())
    }

    fn field(&mut self, kind: Kind) -> Result<(), ShapeError> {
        match kind {
            Kind::Fixed(bytes) => self.skip(bytes),
            Kind::Text => {
                let bytes = if self.flexible {
                    self.compact_length()?
                } else {
                    self.length::<2>()?
                };
                self.skip(bytes)
            }
            Kind::Bytes => {
                let bytes = self.long_length()?;
                self.skip(bytes)
            }
            Kind::FixedArray(bytes) => self.each(|walk| walk.skip(bytes)),
            Kind::TextArray => self.each(|walk| walk.field(Kind::Text)),
            Kind::Array(fields) => self.each(|walk| walk.fields(fields)),
        }
    }

    fn each(
        &mut self,
        mut walk: impl FnMut(&mut Self) -> Result<(), ShapeError>,
    ) -> Result<(), ShapeError> {
        for _ in 0..self.long_length()? {
            self.element()?;
            walk(self)?;
        }
        Ok(())
    }

    fn element(&mut self) -> Result<(), ShapeError> {
        self.elements += 1;
        if self.elements > self.elements_max {
            return Err(ShapeError::TooManyElements {
                elements_max: self.elements_max,
            });
        }
        Ok(())
    }

    fn skip(&mut self, bytes: usize) -> Result<(), ShapeError> {
        self.bytes = self.bytes.get(bytes..).ok_or(ShapeError::Malformed)?;
        Ok(())
    }

    /// Length of bytes or of an array; null is 0.
    fn long_length(&mut self) -> Result<usize, ShapeError> {
        if self.flexible {
            self.compact_length()
        } else {
            self.length::<4>()
        }
    }

    fn compact_length(&mut self) -> Result<usize, ShapeError> {
        Ok(self.varint()?.saturating_sub(1))
    }

    /// A big-endian length of `N` bytes; -1 is null, taken as 0.
    fn length<const N: usize>(&mut self) -> Result<usize, ShapeError> {
        let (bytes, rest) = self
            .bytes
            .split_first_chunk::<N>()
            .ok_or(ShapeError::Malformed)?;
        self.bytes = rest;
        let negative = bytes[0] & 0x80 != 0;
        let value = bytes
            .iter()
            .fold(0_usize, |value, byte| value << 8 | usize::from(*byte));
        match (negative, bytes.iter().all(|byte| *byte == 0xff)) {
            (false, _) => Ok(value),
            (true, true) => Ok(0),
            (true, false) => Err(ShapeError::Malformed),
        }
    }

    fn varint(&mut self) -> Result<usize, ShapeError> {
        let mut value = 0_u64;
        for index in 0..5 {
            let (&byte, rest) = self.bytes.split_first().ok_or(ShapeError::Malformed)?;
            self.bytes = rest;
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                let value = u32::try_from(value).map_err(|_| ShapeError::Malformed)?;
                return usize::try_from(value).map_err(|_| ShapeError::Malformed);
            }
        }
        Err(ShapeError::Malformed)
    }
}

/// Walks the tagged fields at the end of a request header. Returns how many bytes follow them.
pub(crate) fn skip_tags(bytes: &[u8], elements_max: usize) -> Result<usize, ShapeError> {
    let mut walk = Walk {
        bytes,
        version: 0,
        flexible: true,
        elements: 0,
        elements_max,
    };
    walk.fields(&[])?;
    Ok(walk.bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_plain(bytes: &[u8], fields: &[Field]) -> Result<(), ShapeError> {
        check(bytes, fields, 0, false, 3)
    }

    #[test]
    fn elements_up_to_the_limit_are_taken() {
        let fields = &[all(TextArray)];
        assert_eq!(check_plain(&[0, 0, 0, 3, 0, 0, 0, 0, 0, 0], fields), Ok(()));
        let many = Err(ShapeError::TooManyElements { elements_max: 3 });
        assert_eq!(
            check_plain(&[0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0], fields),
            many
        );
    }

    #[test]
    fn an_array_that_claims_more_than_there_is_is_malformed() {
        const FIELDS: &[Field] = &[all(Array(&[all(Fixed(4))]))];
        let fields = FIELDS;
        assert_eq!(
            check_plain(&[0x7f, 0xff, 0xff, 0xff], fields),
            Err(ShapeError::Malformed)
        );
        assert_eq!(check_plain(&[0xff, 0xff, 0xff, 0xff], fields), Ok(()));
        assert_eq!(
            check_plain(&[0xff, 0xff, 0xff, 0xfe], fields),
            Err(ShapeError::Malformed)
        );
    }

    #[test]
    fn tagged_fields_are_walked_in_flexible_versions() {
        let fields = &[all(Text)];
        // "a", then one tagged field with number 5 and two bytes.
        assert_eq!(check(&[2, b'a', 1, 5, 2, 0, 0], fields, 0, true, 1), Ok(()));
        assert_eq!(
            check(&[2, b'a', 1, 5, 2, 0], fields, 0, true, 1),
            Err(ShapeError::Malformed)
        );
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_walk_panic(bytes: Vec<u8>, version in 0_i16..14, flexible: bool) {
            for fields in [PRODUCE, FETCH, METADATA, JOIN_GROUP, OFFSET_FETCH, CREATE_TOPICS, CONSUMER_GROUP_HEARTBEAT] {
                let _ = check(&bytes, fields, version, flexible, 1_000);
            }
        }
    }
}
