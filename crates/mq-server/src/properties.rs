//! Message properties as clients see them: an MQRFH2 header in front of the body.
//!
//! What a client puts keeps its own header, which is part of the body here. Messages that Daybook's
//! gateway put have their properties beside the body; for clients they become the folders that JMS
//! reads.

use bytes::{Bytes, BytesMut};
use mq_wire::{Behind, Chars, FORMAT_RFH2, MessageDescriptor, UserProperties};
use queue_manager::Message;

/// The body for a client, with properties in front if there are any and it wants them; the
/// descriptor then says so.
pub(crate) fn body(message: &Message, md: &mut MessageDescriptor, with: bool) -> Bytes {
    let Some(properties) = beside(message, with) else {
        return message.body.clone();
    };
    let mut out = BytesMut::with_capacity(properties.bytes() + message.body.len());
    let behind = Behind {
        encoding: md.encoding,
        ccsid: md.ccsid,
        format: md.format.0,
    };
    properties.write(behind, &mut out);
    out.extend_from_slice(&message.body);
    md.format = Chars(FORMAT_RFH2);
    md.encoding = UserProperties::ENCODING;
    md.ccsid = UserProperties::CCSID;
    out.freeze()
}

/// Bytes of [`body`].
pub(crate) fn bytes(message: &Message, with: bool) -> usize {
    let header = beside(message, with).map_or(0, |properties| properties.bytes());
    header + message.body.len()
}

fn beside(message: &Message, with: bool) -> Option<UserProperties> {
    let properties = &message.properties;
    if !with || properties.shared.is_empty() && properties.id.is_empty() {
        return None;
    }
    let id = std::str::from_utf8(&properties.id).unwrap_or_default();
    let id = (!id.is_empty()).then_some(("id", id));
    let others = properties.shared.iter();
    let others = others.map(|(name, value)| (name.as_str(), value.as_str()));
    Some(UserProperties::new(id.into_iter().chain(others)))
}
