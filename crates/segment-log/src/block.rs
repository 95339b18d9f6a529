//! The format: a file is a row of blocks, a block holds the records of (a part of) one flush.
//!
//! ```text
//! block  = magic u32 | epoch u32 | payload bytes u32 | crc32c u32 | base u64 | durable u64 | payload
//! record = bytes u32 | the bytes                                     (all integers little endian)
//! ```
//!
//! `base` is the position of the payload's first byte, `durable` the position known to be on disk
//! when the block was written. The checksum covers everything but itself. `epoch` rises with every
//! opening: a block left over from before a repair can therefore never follow a newer one.

/// Bytes in front of a block's payload.
pub(crate) const HEADER_BYTES: usize = 32;
/// Bytes in front of a record.
pub(crate) const RECORD_HEADER_BYTES: usize = 4;

const MAGIC: u32 = 0xDA1B_0042;

/// What a block's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) epoch: u32,
    pub(crate) payload_bytes: u32,
    pub(crate) crc: u32,
    pub(crate) base: u64,
    pub(crate) durable: u64,
}

/// An empty block: room for the header, records to be pushed.
pub(crate) fn new_block(capacity: usize) -> Vec<u8> {
    let mut block = Vec::with_capacity(capacity + HEADER_BYTES);
    block.resize(HEADER_BYTES, 0);
    block
}

/// Adds a record, given in parts. The caller has checked the size.
pub(crate) fn push_record(block: &mut Vec<u8>, parts: &[&[u8]], bytes: u32) {
    block.extend_from_slice(&bytes.to_le_bytes());
    for part in parts {
        block.extend_from_slice(part);
    }
}

/// Fills in the header of a block whose records are complete.
pub(crate) fn seal(block: &mut [u8], epoch: u32, base: u64, durable: u64) {
    let payload_bytes = (block.len() - HEADER_BYTES) as u32;
    block[0..4].copy_from_slice(&MAGIC.to_le_bytes());
    block[4..8].copy_from_slice(&epoch.to_le_bytes());
    block[8..12].copy_from_slice(&payload_bytes.to_le_bytes());
    block[16..24].copy_from_slice(&base.to_le_bytes());
    block[24..32].copy_from_slice(&durable.to_le_bytes());
    let crc = checksum(block);
    block[12..16].copy_from_slice(&crc.to_le_bytes());
}

fn checksum(block: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&block[0..12]);
    crc32c::crc32c_append(crc, &block[16..])
}

/// Reads a header if the bytes begin with one; says nothing about the payload.
pub(crate) fn header(bytes: &[u8]) -> Option<Header> {
    let word = |at: usize| -> Option<u32> {
        let bytes = bytes.get(at..at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    let long = |at: usize| -> Option<u64> {
        let bytes = bytes.get(at..at + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    if word(0)? != MAGIC {
        return None;
    }
    Some(Header {
        epoch: word(4)?,
        payload_bytes: word(8)?,
        crc: word(12)?,
        base: long(16)?,
        durable: long(24)?,
    })
}

/// The block at the front of `bytes`, if it is whole: header and payload.
pub(crate) fn whole(bytes: &[u8]) -> Option<(Header, &[u8])> {
    let header = header(bytes)?;
    let end = HEADER_BYTES.checked_add(header.payload_bytes as usize)?;
    let block = bytes.get(..end)?;
    (checksum(block) == header.crc).then(|| (header, &block[HEADER_BYTES..]))
}

/// First place where a header might begin. A magic number cut off by the end of `bytes` is not seen.
pub(crate) fn find_magic(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, &MAGIC.to_le_bytes())
}

/// Bytes of the magic number.
pub(crate) const MAGIC_BYTES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_cut_or_changed_anywhere_is_not_whole() {
        let mut block = new_block(64);
        push_record(&mut block, &[b"hello ", b"world"], 11);
        seal(&mut block, 7, 100, 60);
        let (header, payload) = whole(&block).expect("whole");
        assert_eq!((header.epoch, header.base, header.durable), (7, 100, 60));
        assert_eq!(payload, b"\x0b\0\0\0hello world");
        for cut in 0..block.len() {
            assert_eq!(whole(&block[..cut]), None, "cut at {cut}");
        }
        for byte in 0..block.len() {
            let mut changed = block.clone();
            changed[byte] ^= 0x10;
            assert_eq!(whole(&changed), None, "byte {byte} changed");
        }
    }
}
