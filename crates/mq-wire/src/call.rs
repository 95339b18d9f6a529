//! MQI calls: requests and their replies, which have nearly the same form.

use bytes::Bytes;

use crate::connection::Connect;
use crate::descriptor::{
    AsyncStatus, GetOptions, MessageDescriptor, ObjectDescriptor, OpenAttributes, PutOptions,
    SpiOpenAttributes,
};
use crate::error::WireError;
use crate::field::{BigEndian, Chars, Reader, Writer, structure};
use crate::header::SegmentType;

/// Most selectors of one MQINQ or MQSET (IBM documents 256).
pub const SELECTORS_MAX: usize = 256;
/// Most bytes of character attributes of one MQINQ or MQSET.
pub const CHARACTER_BYTES_MAX: usize = 32 << 10;
/// Most verbs that SPI QUERY may list.
pub const SPI_VERBS_MAX: usize = 256;

/// An MQI call or its reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// Request: longest reply that is wanted. Reply: bytes of the body and 28 more.
    pub reply_length: u32,
    /// 0 fine, 1 warning, 2 failed.
    pub comp_code: i32,
    /// MQRC_*.
    pub reason: i32,
    /// Of the object.
    pub handle: i32,
    /// The call.
    pub call: Call,
}

/// What follows the API header.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Call {
    /// MQCONN.
    Connect(Box<Connect>),
    /// MQDISC, MQCMIT, MQBACK, a reply to MQCLOSE: see the segment's type.
    Empty,
    /// MQOPEN.
    Open(Box<Open>),
    /// MQCLOSE.
    Close {
        /// MQCO_*.
        options: i32,
    },
    /// MQPUT; the reply has no data.
    Put(Box<Put>),
    /// MQPUT1; the reply has no data.
    Put1(Box<Put1>),
    /// MQGET; the request has no data.
    Get(Box<Get>),
    /// MQINQ, MQSET.
    Attributes(Attributes),
    /// MQSTAT.
    Status {
        /// 0 = asynchronous puts.
        status_type: i32,
        /// Filled by the reply.
        status: Box<AsyncStatus>,
        /// Later versions.
        rest: Bytes,
    },
    /// SPI.
    Spi(Spi),
    /// A call that this crate does not take apart.
    Other(Bytes),
}

/// MQOPEN.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Open {
    /// Which object.
    pub object: ObjectDescriptor,
    /// MQOO_*.
    pub options: i32,
    /// Defaults of the queue.
    pub attributes: Option<OpenAttributes>,
    /// Strings and further attributes.
    pub rest: Bytes,
}

/// MQPUT.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Put {
    /// With ids and context filled in by the reply.
    pub descriptor: MessageDescriptor,
    /// With the resolved names filled in by the reply.
    pub options: PutOptions,
    /// Bytes of the data.
    pub length: i32,
    /// The data.
    pub data: Bytes,
}

/// MQPUT1.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Put1 {
    /// Which queue.
    pub object: ObjectDescriptor,
    /// The rest as MQPUT.
    pub put: Put,
}

/// MQGET.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Get {
    /// Request: ids to match. Reply: the message's.
    pub descriptor: MessageDescriptor,
    /// How.
    pub options: GetOptions,
    /// Request: room in the buffer. Reply: bytes of the message, which may be more than came.
    pub length: i32,
    /// What fits.
    pub data: Bytes,
}

/// MQINQ and MQSET.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attributes {
    /// Which attributes.
    pub selectors: Vec<i32>,
    /// Room for numbers.
    pub int_count: i32,
    /// Room for text.
    pub char_length: i32,
    /// Numbers, in the order of their selectors.
    pub ints: Vec<i32>,
    /// Text, each as long as the attribute always is.
    pub chars: Bytes,
}

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

impl Api {
    /// A request.
    pub fn request(handle: i32, call: Call) -> Self {
        Self {
            reply_length: 0,
            comp_code: 0,
            reason: 0,
            handle,
            call,
        }
    }

    pub(crate) fn read(segment_type: SegmentType, from: &mut Reader) -> Result<Self, WireError> {
        let reply_length = from.get::<BigEndian>("API.reply_length")?.0;
        let comp_code = from.get("API.comp_code")?;
        let reason = from.get("API.reason")?;
        let handle = from.get("API.handle")?;
        Ok(Self {
            reply_length,
            comp_code,
            reason,
            handle,
            call: Call::read(segment_type, from)?,
        })
    }

    /// Everything but the message's data, which [`Api::data`] gives.
    pub(crate) fn write_head(&self, to: &mut Writer<'_>) {
        to.put(&BigEndian(self.reply_length));
        to.put(&self.comp_code);
        to.put(&self.reason);
        to.put(&self.handle);
        self.call.write_head(to);
    }

    /// The message's data, where the call has it.
    pub(crate) fn data(&self) -> &[u8] {
        match &self.call {
            Call::Put(put) => &put.data,
            Call::Put1(put1) => &put1.put.data,
            Call::Get(get) => &get.data,
            Call::Spi(spi) => &spi.data,
            _ => &[],
        }
    }
}

impl Call {
    fn read(segment_type: SegmentType, from: &mut Reader) -> Result<Self, WireError> {
        Ok(match segment_type.call() {
            SegmentType::MQCONN => Self::Connect(Box::new(Connect::read(from)?)),
            SegmentType::MQOPEN => Self::Open(Box::new(Open::read(from)?)),
            SegmentType::MQCLOSE if !from.rest.is_empty() => Self::Close {
                options: from.get("MQCLOSE.options")?,
            },
            SegmentType::MQPUT => Self::Put(Box::new(Put::read(from)?)),
            SegmentType::MQPUT1 => {
                let object = ObjectDescriptor::read(from)?;
                let put = Put::read(from)?;
                Self::Put1(Box::new(Put1 { object, put }))
            }
            SegmentType::MQGET => Self::Get(Box::new(Get {
                descriptor: MessageDescriptor::read(from)?,
                options: GetOptions::read(from)?,
                length: from.get("MQGET.length")?,
                data: from.all(),
            })),
            SegmentType::MQINQ => {
                Self::Attributes(Attributes::read(segment_type.is_reply(), from)?)
            }
            SegmentType::MQSET => Self::Attributes(Attributes::read(true, from)?),
            SegmentType::MQSTAT => Self::Status {
                status_type: from.get("MQSTAT.type")?,
                status: Box::new(AsyncStatus::read(from)?),
                rest: from.all(),
            },
            SegmentType::SPI => Self::Spi(Spi::read(from)?),
            _ if from.rest.is_empty() => Self::Empty,
            _ => Self::Other(from.all()),
        })
    }

    fn write_head(&self, to: &mut Writer<'_>) {
        match self {
            Self::Empty => {}
            Self::Connect(connect) => connect.write(to),
            Self::Open(open) => open.write(to),
            Self::Close { options } => to.put(options),
            Self::Put(put) => put.write_head(to),
            Self::Put1(put1) => {
                put1.object.write(to);
                put1.put.write_head(to);
            }
            Self::Get(get) => {
                get.descriptor.write(to);
                get.options.write(to);
                to.put(&get.length);
            }
            Self::Attributes(attributes) => attributes.write(to),
            Self::Status {
                status_type,
                status,
                rest,
            } => {
                to.put(status_type);
                status.write(to);
                to.out.extend_from_slice(rest);
            }
            Self::Spi(spi) => spi.write(to),
            Self::Other(body) => to.out.extend_from_slice(body),
        }
    }
}

impl Open {
    fn read(from: &mut Reader) -> Result<Self, WireError> {
        let object = ObjectDescriptor::read(from)?;
        let options = from.get("MQOPEN.options")?;
        let attributes = match from.peek_id() {
            Some(id) if &id == b"FOPA" => Some(OpenAttributes::read(from)?),
            _ => None,
        };
        Ok(Self {
            object,
            options,
            attributes,
            rest: from.all(),
        })
    }

    fn write(&self, to: &mut Writer<'_>) {
        self.object.write(to);
        to.put(&self.options);
        if let Some(attributes) = &self.attributes {
            attributes.write(to);
        }
        to.out.extend_from_slice(&self.rest);
    }
}

impl Put {
    fn read(from: &mut Reader) -> Result<Self, WireError> {
        Ok(Self {
            descriptor: MessageDescriptor::read(from)?,
            options: PutOptions::read(from)?,
            length: from.get("MQPUT.length")?,
            data: from.all(),
        })
    }

    fn write_head(&self, to: &mut Writer<'_>) {
        self.descriptor.write(to);
        self.options.write(to);
        to.put(&self.length);
    }
}

impl Attributes {
    fn read(with_values: bool, from: &mut Reader) -> Result<Self, WireError> {
        let count = from.limited("selectors", SELECTORS_MAX)?;
        let int_count = from.limited("integer attributes", SELECTORS_MAX)?;
        let char_length = from.limited("bytes of character attributes", CHARACTER_BYTES_MAX)?;
        let selectors = numbers("selectors", count, from)?;
        let mut ints = Vec::new();
        if with_values {
            ints = numbers("integer attributes", int_count, from)?;
        }
        Ok(Self {
            selectors,
            int_count: int_count as i32,
            char_length: char_length as i32,
            ints,
            chars: from.all(),
        })
    }

    fn write(&self, to: &mut Writer<'_>) {
        to.put_length(self.selectors.len());
        to.put(&self.int_count);
        to.put(&self.char_length);
        self.selectors.iter().for_each(|selector| to.put(selector));
        self.ints.iter().for_each(|int| to.put(int));
        to.out.extend_from_slice(&self.chars);
    }
}

fn numbers(what: &'static str, count: usize, from: &mut Reader) -> Result<Vec<i32>, WireError> {
    from.need(what, count * 4)?;
    (0..count).map(|_| from.get(what)).collect()
}

impl Spi {
    fn read(from: &mut Reader) -> Result<Self, WireError> {
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

    fn write(&self, to: &mut Writer<'_>) {
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
