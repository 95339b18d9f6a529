//! Identities: what names a message for as long as it may come again.

use mq_client::Got;
use queue_manager::Message;

/// Names one message. Two are the same message if their fingerprints are equal, or if their tokens are and their
/// fingerprints were made in different ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Of everything that a redelivery leaves as it is, the body included.
    pub print: u128,
    /// Of the queue manager's name and its token for the message, which it never uses again while it runs: equal
    /// tokens prove that it is the same message. 0 = there is none.
    pub token: u128,
}

impl Identity {
    /// Whether both fingerprints were made in the same way, so that they can be compared.
    pub(crate) fn is_comparable(&self, other: &Self) -> bool {
        self.print & 1 == other.print & 1
    }
}

/// The lowest bit of a fingerprint says how it was made.
const OWN: u128 = 0;
const WIRE: u128 = 1;

/// Identity of a message of the queue manager of this process.
///
/// The sequence is never used again; identifier and put time tell a restored queue manager's second use
/// apart. Nothing that a redelivery changes (backout count) is part of it. So two messages whose
/// application chose the same `MsgId` and put time are two.
///
/// The token is the one that a client over the wire is told, so that both know the same message.
pub fn identity(queue_manager: &str, message: &Message) -> Identity {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&message.sequence.to_le_bytes());
    hasher.update(&message.msg_id.0);
    hasher.update(&message.put_time.to_le_bytes());
    let mut token = [0; 16];
    token[..8].copy_from_slice(&message.sequence.to_be_bytes());
    Identity {
        print: finish(&hasher) & !1 | OWN,
        token: token_of(queue_manager, &token),
    }
}

/// Identity of a message of a queue manager elsewhere.
///
/// Two messages that are the same in everything, put time to the hundredth of a second included, have one
/// fingerprint; only their tokens tell them apart, and a restart of the queue manager may change those.
pub fn identity_of_wire(queue_manager: &str, got: &Got) -> Identity {
    let md = &got.descriptor;
    let mut hasher = blake3::Hasher::new();
    for part in [
        &md.msg_id[..],
        &md.correl_id,
        &md.group_id,
        &md.msg_seq_number.to_le_bytes(),
        &md.offset.to_le_bytes(),
        &md.put_date.0,
        &md.put_time.0,
        &md.put_appl_type.to_le_bytes(),
        &md.put_appl_name.0,
        &md.format.0,
        &got.body,
    ] {
        hasher.update(part);
    }
    Identity {
        print: finish(&hasher) & !1 | WIRE,
        token: match got.token == [0; 16] {
            true => 0,
            false => token_of(queue_manager, &got.token),
        },
    }
}

fn token_of(queue_manager: &str, token: &[u8; 16]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(token);
    hasher.update(queue_manager.as_bytes());
    finish(&hasher)
}

fn finish(hasher: &blake3::Hasher) -> u128 {
    let mut bytes = [0; 16];
    hasher.finalize_xof().fill(&mut bytes);
    u128::from_le_bytes(bytes)
}
