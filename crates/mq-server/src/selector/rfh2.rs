//! A message's properties: MQMD fields by their JMS names, and the folders of its MQRFH2.

use mq_wire::{Element, FORMAT_RFH2, Rfh2, unescaped};
use queue_manager::Message;

use super::Value;

/// Looks properties up in a message; nothing is copied before it is asked for.
pub(super) struct Properties<'m> {
    message: &'m Message,
    header: Option<Rfh2<'m>>,
}

impl<'m> Properties<'m> {
    pub(super) fn of(message: &'m Message) -> Self {
        let descriptor = &message.descriptor;
        let header = match descriptor.format == FORMAT_RFH2 {
            true => Rfh2::read(&message.body, descriptor.encoding),
            false => None,
        };
        Self { message, header }
    }

    pub(super) fn get(&self, name: &str) -> Value {
        let message = self.message;
        let text = |text: Option<Value>| text.unwrap_or(Value::Null);
        match name {
            "JMSMessageID" => Value::Text(format!("ID:{}", message.msg_id)),
            "JMSCorrelationID" => match self.element("jms", "Cid") {
                Some(text) => text,
                None if message.correl_id == queue_manager::MsgId::NONE => Value::Null,
                None => Value::Text(format!("ID:{}", message.correl_id)),
            },
            "JMSPriority" => Value::Exact(i64::from(message.priority)),
            "JMSDeliveryMode" => Value::Text(
                if message.descriptor.persistent {
                    "PERSISTENT"
                } else {
                    "NON_PERSISTENT"
                }
                .to_owned(),
            ),
            "JMSTimestamp" => Value::Exact(message.put_time / 1_000),
            "JMSType" => text(self.element("mcd", "Type")),
            "JMSXDeliveryCount" => Value::Exact(i64::from(message.backout_count) + 1),
            "JMSXUserID" => trimmed(&message.descriptor.user_identifier),
            "JMSXAppID" => trimmed(&message.descriptor.put_appl_name),
            "JMSXGroupID" => text(self.element("jms", "Gid")),
            "JMSXGroupSeq" => match self.element("jms", "Seq") {
                Some(Value::Text(number)) => number.parse().map_or(Value::Null, Value::Exact),
                _ => Value::Null,
            },
            "JMS_IBM_Format" => trimmed(&message.descriptor.format),
            "JMS_IBM_MsgType" => Value::Exact(i64::from(message.descriptor.msg_type)),
            "JMS_IBM_Feedback" => Value::Exact(i64::from(message.descriptor.feedback)),
            "JMS_IBM_PutApplType" => Value::Exact(i64::from(message.descriptor.put_appl_type)),
            name => self.user(name),
        }
    }

    fn user(&self, name: &str) -> Value {
        if let Some(value) = self.element("usr", name) {
            return value;
        }
        // Those of Daybook's own messages lie beside the body.
        let properties = &self.message.properties;
        if name == "id" && !properties.id.is_empty() {
            return Value::Text(String::from_utf8_lossy(&properties.id).into_owned());
        }
        let value = properties.get(name);
        value.map_or(Value::Null, |value| Value::Text(value.to_owned()))
    }

    /// An element directly in a folder.
    fn element(&self, folder: &str, name: &str) -> Option<Value> {
        let found = self.header.as_ref()?.element(folder, name)?;
        Some(typed(&found))
    }
}

pub(super) fn delivery_time(body: &[u8], encoding: i32) -> Option<i64> {
    let header = Rfh2::read(body, encoding)?;
    match typed(&header.element("mqext", "Dtm")?) {
        Value::Exact(millis) => Some(millis),
        Value::Text(millis) => millis.trim().parse().ok(),
        _ => None,
    }
}

fn trimmed(text: &[u8]) -> Value {
    let text: String = text.iter().copied().map(char::from).collect();
    Value::Text(text.trim_end().to_owned())
}

fn typed(element: &Element<'_>) -> Value {
    let content = element.content;
    if element.attribute("nil") == Some("true") {
        return Value::Null;
    }
    let exact = || content.trim().parse().map_or(Value::Null, Value::Exact);
    match element.attribute("dt") {
        Some("boolean") => Value::Bool(content.trim() == "1"),
        Some("i1" | "i2" | "i4" | "i8" | "int") => exact(),
        Some("r4" | "r8") => content
            .trim()
            .parse()
            .map_or(Value::Null, Value::Approximate),
        Some("bin.hex") => Value::Null,
        _ => Value::Text(unescaped(content)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::{BufMut, Bytes, BytesMut};
    use queue_manager::{Descriptor, MsgId, Properties as Beside};

    use super::*;

    /// As IBM's client writes it (scenario jms_text of the captures).
    const FOLDERS: [&str; 4] = [
        "<mcd><Msd>jms_text</Msd><Type>kind</Type></mcd> ",
        "<jms><Dst>queue:///DEV.QUEUE.1</Dst><Tms>1795421189197</Tms><Cid>corr-1</Cid><Pri>6</Pri></jms> ",
        "<usr><b dt='boolean'>1</b><s dt='i2'>3</s><d dt='r8'>0.5</d><name>v\u{e4}rde &amp; &#x41;</name>\
         <none xsi:nil='true'></none><empty/></usr>",
        "<mqext><Dly>1500</Dly><Dtm>1795539032856</Dtm></mqext>",
    ];

    fn body(big: bool) -> Bytes {
        let mut out = BytesMut::new();
        let number = |out: &mut BytesMut, number: usize| match big {
            true => out.put_u32(number as u32),
            false => out.put_u32_le(number as u32),
        };
        let bytes: usize = FOLDERS.iter().map(|folder| folder.len() + 4).sum();
        out.put_slice(b"RFH ");
        number(&mut out, 2);
        number(&mut out, mq_wire::RFH2_FIXED_BYTES + bytes);
        out.put_slice(&[0; 24]);
        for folder in FOLDERS {
            number(&mut out, folder.len());
            out.put_slice(folder.as_bytes());
        }
        out.put_slice(b"data");
        out.freeze()
    }

    fn message(big: bool) -> Message {
        Message {
            msg_id: MsgId([0x41; 24]),
            correl_id: MsgId::NONE,
            sequence: 1,
            put_time: 5_000_000,
            priority: 6,
            backout_count: 1,
            expires_at: None,
            available_at: None,
            descriptor: Arc::new(Descriptor {
                format: *b"MQHRF2  ",
                encoding: if big { 273 } else { 546 },
                ..Descriptor::default()
            }),
            properties: Beside::default(),
            body: body(big),
        }
    }

    #[test]
    fn properties_are_found_in_either_byte_order() {
        for big in [true, false] {
            let message = message(big);
            let properties = Properties::of(&message);
            let text = |text: &str| Value::Text(text.to_owned());
            for (name, expected) in [
                ("b", Value::Bool(true)),
                ("s", Value::Exact(3)),
                ("d", Value::Approximate(0.5)),
                ("name", text("v\u{e4}rde & A")),
                ("none", Value::Null),
                ("empty", text("")),
                ("Dst", Value::Null),
                ("JMSType", text("kind")),
                ("JMSCorrelationID", text("corr-1")),
                ("JMSPriority", Value::Exact(6)),
                ("JMSXDeliveryCount", Value::Exact(2)),
                ("JMSTimestamp", Value::Exact(5_000)),
                ("JMSDeliveryMode", text("PERSISTENT")),
                ("JMSMessageID", text(&format!("ID:{}", "41".repeat(24)))),
            ] {
                assert_eq!(properties.get(name), expected, "{name}");
            }
            let encoding = message.descriptor.encoding;
            let at = delivery_time(&message.body, encoding);
            assert_eq!(at, Some(1_795_539_032_856));
        }
    }

    #[test]
    fn a_cut_header_has_fewer_properties_and_never_panics() {
        for big in [true, false] {
            let whole = message(big);
            for cut in 0..whole.body.len() {
                let mut message = whole.clone();
                message.body = whole.body.slice(..cut);
                let _ = Properties::of(&message).get("name");
                // With a length that fits but folders that do not.
                let mut body = message.body.to_vec();
                for byte in body.iter_mut().skip(40).step_by(7) {
                    *byte ^= 0x55;
                }
                message.body = body.into();
                let _ = Properties::of(&message).get("name");
            }
        }
    }

    #[test]
    fn properties_beside_the_body_are_found_too() {
        let mut message = message(true);
        message.descriptor = Descriptor::shared();
        message.properties = Beside {
            shared: Arc::new(vec![("source".to_owned(), "json".to_owned())]),
            id: Bytes::from_static(b"t-1"),
            key: Bytes::new(),
        };
        let properties = Properties::of(&message);
        assert_eq!(properties.get("id"), Value::Text("t-1".to_owned()));
        assert_eq!(properties.get("source"), Value::Text("json".to_owned()));
        assert_eq!(properties.get("other"), Value::Null);
    }
}
