//! The id log's records, little-endian: claims, what has left the queue, and repetitions.
//!
//! Source: `docs/specs/delivery.md`, section 3.

use std::sync::Arc;

use crate::claim::Identity;

/// Names a batch among those of all readers, whatever process they are in.
pub(crate) type BatchId = u128;

/// Of today's records.
const VERSION: u8 = 2;
/// Of claims that one reader wrote alone, without their batch.
const VERSION_LONE: u8 = 1;
const CLAIM: u8 = 1;
const DONE: u8 = 2;
const CARRY: u8 = 3;

/// Most bytes of a transactional id.
const OWNER_BYTES_MAX: usize = 1_000;

/// What a batch's transaction delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) batch: BatchId,
    /// Transactional id: whoever must know the outcome fences it.
    pub(crate) owner: Arc<str>,
    /// When it was first written, milliseconds since 1970.
    pub(crate) at_ms: i64,
    pub(crate) identities: Vec<Identity>,
}

/// What has left the queue for good: all of one's own batch, and single messages of other batches, which
/// came again and were discarded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Done {
    pub(crate) batch: BatchId,
    /// Batch that had delivered it, and which message.
    pub(crate) discarded: Vec<(BatchId, Identity)>,
}

/// A record of the id log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// In the batch's transaction. What left the queue before rides along: it is a fact even if this
    /// transaction is aborted.
    Claim { claim: Claim, done: Vec<Done> },
    /// On its own.
    Done(Vec<Done>),
    /// A committed claim again, so that the log can be cut before the first one.
    Carry(Claim),
}

impl Entry {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        match self {
            Self::Claim { claim, done } => {
                out.push(CLAIM);
                put_claim(&mut out, claim);
                put_done(&mut out, done);
            }
            Self::Done(done) => {
                out.push(DONE);
                put_done(&mut out, done);
            }
            Self::Carry(claim) => {
                out.push(CARRY);
                put_claim(&mut out, claim);
            }
        }
        out
    }

    /// `None` when the bytes are not one. Claims of the lone reader get `offset` as their batch.
    pub(crate) fn decode(bytes: &[u8], offset: i64) -> Option<Self> {
        let mut from = bytes;
        let entry = match (take_u8(&mut from)?, bytes.len()) {
            (VERSION_LONE, _) => return decode_lone(from, offset),
            (VERSION, _) => match take_u8(&mut from)? {
                CLAIM => Self::Claim {
                    claim: take_claim(&mut from)?,
                    done: take_done(&mut from)?,
                },
                DONE => Self::Done(take_done(&mut from)?),
                CARRY => Self::Carry(take_claim(&mut from)?),
                _ => return None,
            },
            _ => return None,
        };
        from.is_empty().then_some(entry)
    }
}

fn decode_lone(bytes: &[u8], offset: i64) -> Option<Entry> {
    let (prints, rest) = bytes.as_chunks::<16>();
    let identities = prints.iter().map(|print| Identity {
        print: u128::from_le_bytes(*print),
        token: 0,
    });
    let claim = Claim {
        batch: BatchId::from(offset.unsigned_abs()),
        owner: "".into(),
        at_ms: 0,
        identities: identities.collect(),
    };
    let done = Vec::new();
    rest.is_empty().then_some(Entry::Claim { claim, done })
}

fn put_claim(out: &mut Vec<u8>, claim: &Claim) {
    out.extend_from_slice(&claim.batch.to_le_bytes());
    out.extend_from_slice(&claim.at_ms.to_le_bytes());
    put_count(out, claim.owner.len());
    out.extend_from_slice(claim.owner.as_bytes());
    put_count(out, claim.identities.len());
    for identity in &claim.identities {
        put_identity(out, identity);
    }
}

fn put_done(out: &mut Vec<u8>, done: &[Done]) {
    put_count(out, done.len());
    for done in done {
        out.extend_from_slice(&done.batch.to_le_bytes());
        put_count(out, done.discarded.len());
        for (batch, identity) in &done.discarded {
            out.extend_from_slice(&batch.to_le_bytes());
            put_identity(out, identity);
        }
    }
}

fn put_identity(out: &mut Vec<u8>, identity: &Identity) {
    out.extend_from_slice(&identity.print.to_le_bytes());
    out.extend_from_slice(&identity.token.to_le_bytes());
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    // A batch is at most what one unit of work may hold.
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    out.extend_from_slice(&count.to_le_bytes());
}

fn take_u8(from: &mut &[u8]) -> Option<u8> {
    let (first, rest) = from.split_first()?;
    *from = rest;
    Some(*first)
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = from.split_first_chunk::<N>()?;
    *from = rest;
    Some(*taken)
}

fn take_count(from: &mut &[u8]) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(take(from)?)).ok()
}

fn take_identity(from: &mut &[u8]) -> Option<Identity> {
    Some(Identity {
        print: u128::from_le_bytes(take(from)?),
        token: u128::from_le_bytes(take(from)?),
    })
}

fn take_claim(from: &mut &[u8]) -> Option<Claim> {
    let batch = u128::from_le_bytes(take(from)?);
    let at_ms = i64::from_le_bytes(take(from)?);
    let owner_bytes = take_count(from)?;
    if owner_bytes > OWNER_BYTES_MAX {
        return None;
    }
    let (owner, rest) = from.split_at_checked(owner_bytes)?;
    let owner = std::str::from_utf8(owner).ok()?.into();
    *from = rest;
    let count = take_count(from)?;
    // Checked before memory is taken: a cut record is small.
    if count > from.len() / 32 {
        return None;
    }
    let identities = (0..count)
        .map(|_| take_identity(from))
        .collect::<Option<_>>()?;
    Some(Claim {
        batch,
        owner,
        at_ms,
        identities,
    })
}

fn take_done(from: &mut &[u8]) -> Option<Vec<Done>> {
    let count = take_count(from)?;
    if count > from.len() / 20 {
        return None;
    }
    let mut list = Vec::with_capacity(count);
    for _ in 0..count {
        let batch = u128::from_le_bytes(take(from)?);
        let discarded = take_count(from)?;
        if discarded > from.len() / 48 {
            return None;
        }
        let discarded = (0..discarded).map(|_| {
            let batch = u128::from_le_bytes(take(from)?);
            Some((batch, take_identity(from)?))
        });
        let discarded = discarded.collect::<Option<_>>()?;
        list.push(Done { batch, discarded });
    }
    Some(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim() -> Claim {
        Claim {
            batch: 7,
            owner: "daybook-connector-0".into(),
            at_ms: 1_700_000_000_000,
            identities: vec![
                Identity { print: 1, token: 2 },
                Identity {
                    print: u128::MAX,
                    token: 0,
                },
            ],
        }
    }

    fn entries() -> Vec<Entry> {
        let done = Done {
            batch: 6,
            discarded: vec![(5, Identity { print: 9, token: 0 })],
        };
        let empty = Done::default();
        vec![
            Entry::Claim {
                claim: claim(),
                done: vec![done.clone(), empty],
            },
            Entry::Done(vec![done]),
            Entry::Carry(claim()),
        ]
    }

    #[test]
    fn what_is_written_is_read_and_what_is_cut_is_refused() {
        for entry in entries() {
            let bytes = entry.encode();
            assert_eq!(Entry::decode(&bytes, 0).as_ref(), Some(&entry));
            for cut in 0..bytes.len() {
                assert_eq!(Entry::decode(&bytes[..cut], 0), None, "cut at {cut}");
            }
            let mut longer = bytes.clone();
            longer.push(0);
            assert_eq!(Entry::decode(&longer, 0), None);
        }
    }

    /// A count that says four thousand millions takes no memory.
    #[test]
    fn counts_are_checked_against_what_is_there() {
        for entry in entries() {
            let bytes = entry.encode();
            for at in 2..bytes.len().saturating_sub(4) {
                let mut wrong = bytes.clone();
                wrong[at..at + 4].fill(0xff);
                let _ = Entry::decode(&wrong, 0);
            }
        }
    }

    #[test]
    fn claims_of_the_lone_reader_are_still_read() {
        let mut bytes = vec![1];
        bytes.extend_from_slice(&5_u128.to_le_bytes());
        let Some(Entry::Claim { claim, done }) = Entry::decode(&bytes, 42) else {
            panic!("a claim");
        };
        assert_eq!((claim.batch, claim.identities.len()), (42, 1));
        assert_eq!(claim.identities[0], Identity { print: 5, token: 0 });
        assert!(done.is_empty());
        bytes.pop();
        assert_eq!(Entry::decode(&bytes, 42), None);
    }
}
