//! Fields: how numbers and text of a structure are read and written.
//!
//! A structure is listed once, with [`structure!`] or [`versioned!`]; reading and writing follow
//! from the list, so they cannot differ.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::error::WireError;
use crate::text::TextCode;

/// Order of the bytes of numbers; each segment says its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ByteOrder {
    /// Most significant byte first (encoding 273): Java, z/OS, IBM i, AIX.
    Big,
    /// Least significant byte first (encoding 546): x86.
    #[default]
    Little,
}

impl ByteOrder {
    /// Of integers by MQMD.Encoding (MQENC_INTEGER_MASK); `None` for an order that is none of the two.
    pub fn of_encoding(encoding: i32) -> Option<Self> {
        match encoding & 0xf {
            1 => Some(Self::Big),
            2 => Some(Self::Little),
            _ => None,
        }
    }
}

/// Reads fields from one body.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) rest: Bytes,
    pub(crate) order: ByteOrder,
    text: TextCode,
}

impl Reader {
    pub(crate) fn new(body: Bytes, order: ByteOrder, text: TextCode) -> Self {
        Self {
            rest: body,
            order,
            text,
        }
    }

    pub(crate) fn need(&self, what: &'static str, bytes: usize) -> Result<(), WireError> {
        let have = self.rest.len();
        if have < bytes {
            return Err(WireError::Cut {
                what,
                need: bytes - have,
                have,
            });
        }
        Ok(())
    }

    pub(crate) fn get<F: Field>(&mut self, what: &'static str) -> Result<F, WireError> {
        self.need(what, F::BYTES)?;
        Ok(F::read(self))
    }

    /// The next four bytes as text, without taking them.
    pub(crate) fn peek_id(&self) -> Option<[u8; 4]> {
        let mut id: [u8; 4] = self.rest.get(..4)?.try_into().ok()?;
        self.text.wire_to_latin1(&mut id);
        Some(id)
    }

    pub(crate) fn expect_id(&mut self, expected: &'static str) -> Result<(), WireError> {
        self.need(expected, 4)?;
        match self.peek_id() {
            Some(found) if found == *expected.as_bytes() => {
                self.rest.advance(4);
                Ok(())
            }
            found => Err(WireError::StructureId {
                expected,
                found: found.unwrap_or_default(),
            }),
        }
    }

    pub(crate) fn take(&mut self, what: &'static str, bytes: usize) -> Result<Bytes, WireError> {
        self.need(what, bytes)?;
        Ok(self.rest.split_to(bytes))
    }

    /// A count or length that bounds what is allocated next.
    pub(crate) fn limited(&mut self, what: &'static str, max: usize) -> Result<usize, WireError> {
        let value = self.get::<i32>(what)?;
        match usize::try_from(value) {
            Ok(value) if value <= max => Ok(value),
            _ => Err(WireError::Limit {
                what,
                value: i64::from(value),
                max,
            }),
        }
    }

    /// Another body with the same order and text.
    pub(crate) fn with(&self, body: Bytes) -> Self {
        Self {
            rest: body,
            order: self.order,
            text: self.text,
        }
    }

    pub(crate) fn all(&mut self) -> Bytes {
        std::mem::take(&mut self.rest)
    }
}

/// Writes fields behind each other.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    pub(crate) out: &'a mut BytesMut,
    pub(crate) order: ByteOrder,
    text: TextCode,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(out: &'a mut BytesMut, order: ByteOrder, text: TextCode) -> Self {
        Self { out, order, text }
    }

    pub(crate) fn put<F: Field>(&mut self, value: &F) {
        value.write(self);
    }

    pub(crate) fn put_id(&mut self, id: &'static str) {
        let mut bytes = [b' '; 4];
        bytes
            .iter_mut()
            .zip(id.bytes())
            .for_each(|(to, from)| *to = from);
        self.text.latin1_to_wire(&mut bytes);
        self.out.put_slice(&bytes);
    }

    /// A length; bounded by the limits on messages, far below 2^31.
    pub(crate) fn put_length(&mut self, length: usize) {
        self.put(&i32::try_from(length).unwrap_or(i32::MAX));
    }
}

/// A field of fixed length.
pub(crate) trait Field: Sized {
    /// Bytes on the wire.
    const BYTES: usize;
    /// Reads it; the caller has made sure that [`Field::BYTES`] are there.
    fn read(from: &mut Reader) -> Self;
    fn write(&self, to: &mut Writer<'_>);
    /// What a field is when the structure's version does not have it yet.
    fn absent() -> Self;
}

macro_rules! number {
    ($($number:ty, $get:ident, $get_le:ident, $put:ident, $put_le:ident;)*) => {$(
        impl Field for $number {
            const BYTES: usize = size_of::<$number>();
            fn read(from: &mut Reader) -> Self {
                match from.order {
                    ByteOrder::Big => from.rest.$get(),
                    ByteOrder::Little => from.rest.$get_le(),
                }
            }
            fn write(&self, to: &mut Writer<'_>) {
                match to.order {
                    ByteOrder::Big => to.out.$put(*self),
                    ByteOrder::Little => to.out.$put_le(*self),
                }
            }
            fn absent() -> Self {
                0
            }
        }
    )*};
}

number! {
    u16, get_u16, get_u16_le, put_u16, put_u16_le;
    i32, get_i32, get_i32_le, put_i32, put_i32_le;
    u32, get_u32, get_u32_le, put_u32, put_u32_le;
    i64, get_i64, get_i64_le, put_i64, put_i64_le;
}

impl Field for u8 {
    const BYTES: usize = 1;
    fn read(from: &mut Reader) -> Self {
        from.rest.get_u8()
    }
    fn write(&self, to: &mut Writer<'_>) {
        to.out.put_u8(*self);
    }
    fn absent() -> Self {
        0
    }
}

/// Bytes that nobody converts.
impl<const N: usize> Field for [u8; N] {
    const BYTES: usize = N;
    fn read(from: &mut Reader) -> Self {
        let mut bytes = [0; N];
        from.rest.copy_to_slice(&mut bytes);
        bytes
    }
    fn write(&self, to: &mut Writer<'_>) {
        to.out.put_slice(self);
    }
    fn absent() -> Self {
        [0; N]
    }
}

/// Text of fixed length, padded with blanks; here always in ISO 8859-1, on the wire in the
/// segment's character set.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Chars<const N: usize>(pub [u8; N]);

impl<const N: usize> Chars<N> {
    /// All blank.
    pub const BLANK: Self = Self([b' '; N]);

    /// Pads with blanks; what is longer than `N` or not in ISO 8859-1 is cut off.
    pub fn new(text: &str) -> Self {
        let mut chars = [b' '; N];
        for (to, from) in chars.iter_mut().zip(text.chars()) {
            *to = u8::try_from(from).unwrap_or(b'?');
        }
        Self(chars)
    }

    /// The text without the blanks or zeros behind it.
    pub fn text(&self) -> String {
        self.trimmed().iter().copied().map(char::from).collect()
    }

    /// The bytes without the blanks behind them. MQ's C clients end names with a zero.
    pub fn trimmed(&self) -> &[u8] {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(N);
        let text = self.0.get(..end).unwrap_or_default();
        text.trim_ascii_end()
    }

    /// Whether there is nothing but blanks or zeros.
    pub fn is_blank(&self) -> bool {
        self.trimmed().is_empty()
    }
}

impl<const N: usize> Default for Chars<N> {
    fn default() -> Self {
        Self::BLANK
    }
}

impl<const N: usize> std::fmt::Debug for Chars<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.text())
    }
}

impl<const N: usize> std::fmt::Display for Chars<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

impl<const N: usize> From<&str> for Chars<N> {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl<const N: usize> Field for Chars<N> {
    const BYTES: usize = N;
    fn read(from: &mut Reader) -> Self {
        let mut chars = <[u8; N]>::read(from);
        from.text.wire_to_latin1(&mut chars);
        Self(chars)
    }
    fn write(&self, to: &mut Writer<'_>) {
        let mut chars = self.0;
        to.text.latin1_to_wire(&mut chars);
        to.out.put_slice(&chars);
    }
    fn absent() -> Self {
        Self::BLANK
    }
}

/// A number that is big-endian whatever the segment says (ReplyLength of the API header).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct BigEndian(pub(crate) u32);

impl Field for BigEndian {
    const BYTES: usize = 4;
    fn read(from: &mut Reader) -> Self {
        Self(from.rest.get_u32())
    }
    fn write(&self, to: &mut Writer<'_>) {
        to.out.put_u32(self.0);
    }
    fn absent() -> Self {
        Self(0)
    }
}

/// Defines a structure of fixed length, with or without an identifier in front.
macro_rules! structure {
    ($(#[$doc:meta])* $name:ident $(($id:literal))? { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name { $($(#[$field_doc])* pub $field: $kind,)* }

        impl $name {
            /// Bytes on the wire, the identifier included.
            pub const BYTES: usize = 0 $(+ $id.len())? $(+ <$kind as $crate::field::Field>::BYTES)*;

            pub(crate) fn read(from: &mut $crate::field::Reader) -> Result<Self, $crate::WireError> {
                $(from.expect_id($id)?;)?
                Ok(Self { $($field: from.get(concat!(stringify!($name), ".", stringify!($field)))?,)* })
            }

            pub(crate) fn write(&self, to: &mut $crate::field::Writer<'_>) {
                $(to.put_id($id);)?
                $(to.put(&self.$field);)*
            }
        }

        /// Zeros and blanks.
        impl Default for $name {
            fn default() -> Self {
                Self { $($field: <$kind as $crate::field::Field>::absent(),)* }
            }
        }
    };
}

/// Defines a structure that begins with identifier and version; later versions have more fields.
macro_rules! versioned {
    ($(#[$doc:meta])* $name:ident ($id:literal) {
        $($version:literal { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* })*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {
            /// Which of the fields are on the wire.
            pub version: i32,
            $($($(#[$field_doc])* pub $field: $kind,)*)*
        }

        impl $name {
            /// Identifier on the wire.
            pub const ID: &str = $id;

            /// Bytes on the wire at this version.
            pub fn bytes(&self) -> usize {
                let mut bytes = 8;
                $(if self.version >= $version {
                    bytes += 0 $(+ <$kind as $crate::field::Field>::BYTES)*;
                })*
                bytes
            }

            pub(crate) fn read(from: &mut $crate::field::Reader) -> Result<Self, $crate::WireError> {
                use $crate::field::Field;
                const VERSIONS: &[i32] = &[$($version),*];
                from.expect_id($id)?;
                let version = from.get::<i32>(concat!(stringify!($name), ".version"))?;
                if version < 1 || VERSIONS.iter().all(|known| *known < version) {
                    return Err($crate::WireError::Version { what: $id, version });
                }
                let mut read = Self { version, ..Self::default() };
                from.need($id, read.bytes() - 8)?;
                $(if version >= $version {
                    $(read.$field = <$kind as Field>::read(from);)*
                })*
                Ok(read)
            }

            pub(crate) fn write(&self, to: &mut $crate::field::Writer<'_>) {
                to.put_id($id);
                to.put(&self.version);
                $(if self.version >= $version {
                    $(to.put(&self.$field);)*
                })*
            }
        }

        /// Version 1, zeros and blanks.
        impl Default for $name {
            fn default() -> Self {
                Self {
                    version: 1,
                    $($($field: <$kind as $crate::field::Field>::absent(),)*)*
                }
            }
        }
    };
}

pub(crate) use {structure, versioned};
