//! Which topics the members of a group read.

use std::collections::BTreeSet;

use super::Groups;

/// What a group's members read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subscribed {
    /// There are no members.
    Nobody,
    Topics(BTreeSet<String>),
    /// They are no consumers, or say it in a way that is not known here.
    Unknown,
}

impl Subscribed {
    pub(crate) fn has(&self, topic: &str) -> bool {
        match self {
            Subscribed::Nobody => false,
            Subscribed::Topics(topics) => topics.contains(topic),
            Subscribed::Unknown => true,
        }
    }
}

/// The topics in a consumer's metadata: version, then an array of names (Kafka's `ConsumerProtocolSubscription`; what
/// later versions have is behind it).
fn subscription(mut metadata: &[u8]) -> Option<Vec<String>> {
    let (_version, rest) = metadata.split_first_chunk::<2>()?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    metadata = rest;
    let mut topics = Vec::new();
    for _ in 0..u32::from_be_bytes(*count) {
        let (length, rest) = metadata.split_first_chunk::<2>()?;
        let (name, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        topics.push(std::str::from_utf8(name).ok()?.to_owned());
        metadata = rest;
    }
    Some(topics)
}

impl Groups {
    /// Which topics the members of a group say that they read.
    pub(crate) fn subscribed(&self, group: &str) -> Subscribed {
        if let Some(group) = self.consumers.get(group) {
            return match group.is_empty() {
                true => Subscribed::Nobody,
                false => Subscribed::Topics(group.topics()),
            };
        }
        let Some(group) = self
            .groups
            .get(group)
            .filter(|group| !group.members.is_empty())
        else {
            return Subscribed::Nobody;
        };
        if group.protocol_type != "consumer" {
            return Subscribed::Unknown;
        }
        let mut topics = BTreeSet::new();
        for member in group.members.values() {
            // Before the group has agreed on one protocol, any of them tells.
            for (_, metadata) in &member.protocols {
                let Some(more) = subscription(metadata) else {
                    return Subscribed::Unknown;
                };
                topics.extend(more);
            }
        }
        Subscribed::Topics(topics)
    }
}
