//! SPI: calls beside the MQI that clients make where the queue manager offers them.

use bytes::Bytes;

use crate::descriptor::{MessageDescriptor, ObjectDescriptor, PutOptions, SpiOpenAttributes};
use crate::error::WireError;
use crate::field::{Chars, Reader, Writer, structure};
use crate::subscription::{SpiSubscription, SubscriptionDescriptor};

/// Most verbs that SPI QUERY may list.
pub const SPI_VERBS_MAX: usize = 256;

/// SPI: calls beside the MQI.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spi {
    /// See [`spi_verb`].
    pub verb: i32,
    /// Of the in/out structure.
    pub version: i32,
    /// Longest reply.
    pub reply_bytes_max: i32,
    /// In/out structure.
    pub in_out: SpiPart,
    /// In or out structure.
    pub part: SpiPart,
    /// What is behind it: PUT's data.
    pub data: Bytes,
}

/// A structure of SPI: identifier, version, length, content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SpiPart {
    /// `SPQU`, `SPQI`, `SPQO` and so on.
    pub id: Chars<4>,
    /// Of the structure.
    pub version: i32,
    /// Behind the length.
    pub content: SpiContent,
}

/// Content of an SPI structure.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpiContent {
    /// Anything, also nothing.
    Raw(Bytes),
    /// Reply to QUERY.
    Verbs(Vec<SpiVerb>),
    /// OPEN.
    Open {
        /// Options and defaults.
        attributes: Box<SpiOpenAttributes>,
        /// Which object.
        object: Box<ObjectDescriptor>,
        /// Strings and further attributes.
        rest: Bytes,
    },
    /// SUBSCRIBE.
    Subscribe {
        /// The subscription in the reply, 0 in the request. The destination's is in the API header.
        handle: i32,
        /// What MQSD does not have.
        attributes: Box<SpiSubscription>,
        /// Of what.
        descriptor: Box<SubscriptionDescriptor>,
        /// Strings.
        rest: Bytes,
    },
    /// RESERVE.
    Reserve {
        /// Bytes of an identifier, 24.
        tag_bytes: i32,
        /// Identifiers wanted.
        count: i32,
    },
    /// Reply to RESERVE.
    Reserved {
        /// Identifiers that may be made.
        count: i32,
        /// Where the counter begins, from 1.
        counter_offset: i32,
        /// The first of them.
        base: [u8; 24],
    },
    /// PUT, in/out.
    PutHead {
        /// As in MQPUT.
        descriptor: Box<MessageDescriptor>,
        /// As in MQPUT.
        options: Box<PutOptions>,
        /// What later versions add.
        rest: Bytes,
    },
    /// PUT, in.
    PutData {
        /// SPI's options.
        options: i32,
        /// Bytes of the data.
        length: i32,
        /// The data.
        data: Bytes,
    },
}

impl Default for SpiContent {
    fn default() -> Self {
        Self::Raw(Bytes::new())
    }
}

structure! {
    /// A verb that the queue manager offers.
    SpiVerb {
        /// See [`spi_verb`].
        verb: i32,
        /// Highest version of the in/out structure.
        in_out_version: i32,
        /// Of the in structure.
        in_version: i32,
        /// Of the out structure.
        out_version: i32,
        /// 0.
        flags: i32,
    }
}

/// Verbs of SPI.
pub mod spi_verb {
    /// Which verbs there are.
    pub const QUERY: i32 = 1;
    /// Put with a delay.
    pub const PUT: i32 = 2;
    /// Make message identifiers in advance.
    pub const RESERVE: i32 = 6;
    /// Subscribe.
    pub const SUBSCRIBE: i32 = 7;
    /// Open.
    pub const OPEN: i32 = 12;
}

impl Spi {
    pub(crate) fn read(from: &mut Reader) -> Result<Self, WireError> {
        let verb = from.get("SPI.verb")?;
        let version = from.get("SPI.version")?;
        let reply_bytes_max = from.get("SPI.reply_bytes_max")?;
        let in_out = SpiPart::read(from)?;
        let part = SpiPart::read(from)?;
        Ok(Self {
            verb,
            version,
            reply_bytes_max,
            in_out,
            part,
            data: from.all(),
        })
    }

    pub(crate) fn write(&self, to: &mut Writer<'_>) {
        to.put(&self.verb);
        to.put(&self.version);
        to.put(&self.reply_bytes_max);
        self.in_out.write(to);
        self.part.write(to);
    }
}

/// Bytes of identifier, version and length.
const SPI_HEAD_BYTES: usize = 12;

impl SpiPart {
    fn read(from: &mut Reader) -> Result<Self, WireError> {
        let id: Chars<4> = from.get("SPI structure")?;
        let version = from.get("SPI structure")?;
        let length = from.get::<i32>("SPI structure length")?;
        let bytes = usize::try_from(length).ok();
        let bytes = bytes.and_then(|bytes| bytes.checked_sub(SPI_HEAD_BYTES));
        let Some(bytes) = bytes else {
            return Err(WireError::Limit {
                what: "SPI structure length",
                value: i64::from(length),
                max: from.rest.len() + SPI_HEAD_BYTES,
            });
        };
        let content = from.take("SPI structure", bytes)?;
        let content = SpiContent::read(id, content, from)?;
        Ok(Self {
            id,
            version,
            content,
        })
    }

    fn write(&self, to: &mut Writer<'_>) {
        to.put(&self.id);
        to.put(&self.version);
        let at = to.out.len();
        to.put(&0_i32);
        self.content.write(to);
        let length = to.out.len() - at + 8;
        let end = to.out.split_off(at + 4);
        to.out.truncate(at);
        to.put_length(length);
        to.out.unsplit(end);
    }
}

impl SpiContent {
    fn read(id: Chars<4>, content: Bytes, around: &Reader) -> Result<Self, WireError> {
        let mut from = around.with(content);
        let content = match &id.0 {
            b"SPQO" => {
                let count = from.limited("SPI verbs", SPI_VERBS_MAX)?;
                let verbs = (0..count).map(|_| SpiVerb::read(&mut from));
                Self::Verbs(verbs.collect::<Result<_, _>>()?)
            }
            b"SPOI" | b"SPOO" => Self::Open {
                attributes: Box::new(SpiOpenAttributes::read(&mut from)?),
                object: Box::new(ObjectDescriptor::read(&mut from)?),
                rest: from.all(),
            },
            b"SPBI" | b"SPBO" => Self::Subscribe {
                handle: from.get("SPBI.handle")?,
                attributes: Box::new(SpiSubscription::read(&mut from)?),
                descriptor: Box::new(SubscriptionDescriptor::read(&mut from)?),
                rest: from.all(),
            },
            b"SPRI" => Self::Reserve {
                tag_bytes: from.get("SPRI")?,
                count: from.get("SPRI")?,
            },
            b"SPRO" => Self::Reserved {
                count: from.get("SPRO")?,
                counter_offset: from.get("SPRO")?,
                base: from.get("SPRO")?,
            },
            b"SPPU" => Self::PutHead {
                descriptor: Box::new(MessageDescriptor::read(&mut from)?),
                options: Box::new(PutOptions::read(&mut from)?),
                rest: from.all(),
            },
            b"SPPI" => Self::PutData {
                options: from.get("SPPI")?,
                length: from.get("SPPI")?,
                data: from.all(),
            },
            _ => Self::Raw(from.all()),
        };
        Ok(content)
    }

    fn write(&self, to: &mut Writer<'_>) {
        match self {
            Self::Raw(bytes) => to.out.extend_from_slice(bytes),
            Self::Verbs(verbs) => {
                to.put_length(verbs.len());
                verbs.iter().for_each(|verb| verb.write(to));
            }
            Self::Open {
                attributes,
                object,
                rest,
            } => {
                attributes.write(to);
                object.write(to);
                to.out.extend_from_slice(rest);
            }
            Self::Subscribe {
                handle,
                attributes,
                descriptor,
                rest,
            } => {
                to.put(handle);
                attributes.write(to);
                descriptor.write(to);
                to.out.extend_from_slice(rest);
            }
            Self::Reserve { tag_bytes, count } => {
                to.put(tag_bytes);
                to.put(count);
            }
            Self::Reserved {
                count,
                counter_offset,
                base,
            } => {
                to.put(count);
                to.put(counter_offset);
                to.put(base);
            }
            Self::PutHead {
                descriptor,
                options,
                rest,
            } => {
                descriptor.write(to);
                options.write(to);
                to.out.extend_from_slice(rest);
            }
            Self::PutData {
                options,
                length,
                data,
            } => {
                to.put(options);
                to.put(length);
                to.out.extend_from_slice(data);
            }
        }
    }
}
