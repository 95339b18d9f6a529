//! MQI calls: requests and their replies, which have nearly the same form.

use bytes::Bytes;

use crate::connection::Connect;
use crate::descriptor::{
    AsyncStatus, GetOptions, MessageDescriptor, ObjectDescriptor, OpenAttributes, PutOptions,
};
use crate::error::WireError;
use crate::field::{BigEndian, Reader, Writer};
use crate::header::SegmentType;
use crate::spi::Spi;
use crate::subscription::SubscriptionDescriptor;

/// Most selectors of one MQINQ or MQSET (IBM documents 256).
pub const SELECTORS_MAX: usize = 256;
/// Most bytes of character attributes of one MQINQ or MQSET.
pub const CHARACTER_BYTES_MAX: usize = 32 << 10;

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
    /// MQSUB.
    Subscribe(Box<Subscribe>),
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
    /// Which queue or topic.
    pub object: ObjectDescriptor,
    /// Strings of the object.
    pub strings: Bytes,
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

/// MQSUB. The destination's handle is in the API header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subscribe {
    /// Request: -1. Reply: the subscription.
    pub handle: i32,
    /// 0.
    pub reserved: i32,
    /// Of what.
    pub descriptor: SubscriptionDescriptor,
    /// Strings.
    pub rest: Bytes,
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
                let strings = object.strings(from)?;
                let put = Put::read(from)?;
                Self::Put1(Box::new(Put1 {
                    object,
                    strings,
                    put,
                }))
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
            SegmentType::MQSUB => Self::Subscribe(Box::new(Subscribe {
                handle: from.get("MQSUB.handle")?,
                reserved: from.get("MQSUB.reserved")?,
                descriptor: SubscriptionDescriptor::read(from)?,
                rest: from.all(),
            })),
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
                to.out.extend_from_slice(&put1.strings);
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
            Self::Subscribe(subscribe) => {
                to.put(&subscribe.handle);
                to.put(&subscribe.reserved);
                subscribe.descriptor.write(to);
                to.out.extend_from_slice(&subscribe.rest);
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
