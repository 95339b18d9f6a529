//! Claims: which messages a Kafka transaction delivers.

use mq_client::Got;
use queue_manager::Message;

/// 128 bits that name one message of one queue manager.
pub type Identity = u128;

const VERSION: u8 = 1;

/// Identity of a message of the queue manager of this process.
///
/// The sequence is never used again; identifier and put time tell a restored queue manager's second use
/// apart. Nothing that a redelivery changes (backout count) is part of it. So two messages whose
/// application chose the same `MsgId` and put time are two.
pub fn identity(message: &Message) -> Identity {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&message.sequence.to_le_bytes());
    hasher.update(&message.msg_id.0);
    hasher.update(&message.put_time.to_le_bytes());
    finish(&hasher)
}

/// Identity of a message of a queue manager elsewhere, which tells no sequence: everything of it that a
/// redelivery leaves as it is, the body included.
///
/// Two messages that are the same in all of it, put time to the hundredth of a second included, have one
/// identity: the second one is taken for a redelivery unless both are in one batch.
pub fn identity_of_wire(got: &Got) -> Identity {
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
    finish(&hasher)
}

fn finish(hasher: &blake3::Hasher) -> Identity {
    let mut bytes = [0; 16];
    hasher.finalize_xof().fill(&mut bytes);
    u128::from_le_bytes(bytes)
}

/// A record of the id log: a version and the identities, little endian.
pub fn encode_claim(identities: &[Identity]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + identities.len() * 16);
    out.push(VERSION);
    for identity in identities {
        out.extend_from_slice(&identity.to_le_bytes());
    }
    out
}

/// Reads a claim; `None` when the bytes are not one.
pub fn decode_claim(bytes: &[u8]) -> Option<Vec<Identity>> {
    let (&VERSION, bytes) = bytes.split_first()? else {
        return None;
    };
    let (identities, rest) = bytes.as_chunks::<16>();
    rest.is_empty().then(|| {
        identities
            .iter()
            .map(|bytes| u128::from_le_bytes(*bytes))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_comes_back_and_a_cut_one_is_refused() {
        let identities = vec![1, u128::MAX, 7];
        let bytes = encode_claim(&identities);
        assert_eq!(decode_claim(&bytes), Some(identities));
        for cut in 0..bytes.len() {
            let whole = cut > 0 && (cut - 1) % 16 == 0;
            assert_eq!(decode_claim(&bytes[..cut]).is_some(), whole, "cut at {cut}");
        }
    }
}
