//! Compressed bodies: `Content-Encoding: gzip`, `zstd` or `deflate` (RFC 9110 §8.4.1, RFC 8878, RFC 1952, RFC 1950), piece by piece.
//!
//! # Invariants
//!
//! - **Nothing is decompressed behind a limit**: a step makes at most one scratch buffer, and never more than one byte over the body's limit.
//! - What is read ends where the compressed data ends: a body that is cut off, or goes on with something else, is refused.
//! - Memory of a decoder is bounded (zstd's window by 8 MiB, as RFC 9659 has it) and counted as the body's is.

use flate2::{Crc, Decompress, FlushDecompress, Status};
use hyper::header::{self, HeaderMap};
use zstd::zstd_safe::{self, DCtx, DParameter, InBuffer, OutBuffer};

/// What `Accept-Encoding` of an answer 415 says.
pub(crate) const ACCEPTED: &str = "gzip, zstd, deflate";
/// Bytes that a body may have whatever it was made of: short texts of one kind compress without bound.
const RATIO_FREE_BYTES: u64 = 64 << 10;
/// Bytes of one step's output.
const SCRATCH_BYTES: usize = 16 << 10;
/// Memory of an inflating decoder, about: its window and tables.
const INFLATE_BYTES: usize = 64 << 10;
/// Largest window of zstd, as a power of two: 8 MiB (RFC 9659 §3).
const WINDOW_LOG_MAX: u32 = 23;
/// Most members or frames of one body: an empty one costs its sender twenty bytes and us a decoder.
const MEMBERS_MAX: u32 = 65_536;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Deflate,
    Zstd,
}

impl Coding {
    /// What `Content-Encoding` says; `Ok(None)`: it is not compressed. The error names what is not read.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, String> {
        let mut found = None;
        for value in headers.get_all(header::CONTENT_ENCODING) {
            let text = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
            for name in text.split(',').map(str::trim) {
                let coding = match name {
                    "" | "identity" => continue,
                    "gzip" | "x-gzip" => Self::Gzip,
                    "deflate" => Self::Deflate,
                    "zstd" => Self::Zstd,
                    other => return Err(other.chars().take(64).collect()),
                };
                if found.replace(coding).is_some() {
                    return Err("more than one coding".to_owned());
                }
            }
        }
        Ok(found)
    }
}

/// Why a body is not decompressed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// More bytes than a body may have.
    TooLarge,
    /// It grows by more than it may.
    Ratio,
    /// It is not what its coding says.
    Corrupt(String),
}

/// Decompresses one body as it comes.
pub(crate) struct Decompressor {
    codec: Codec,
    scratch: Box<[u8]>,
    bytes_max: u64,
    ratio_max: u64,
    read: u64,
    made: u64,
}

enum Codec {
    Gzip(Gzip),
    Deflate { inflate: Decompress, ended: bool },
    Zstd(Zstd),
}

/// What one step did.
struct Step {
    read: usize,
    made: usize,
}

impl Decompressor {
    pub(crate) fn new(coding: Coding, bytes_max: usize, ratio_max: u32) -> Result<Self, Fault> {
        let codec = match coding {
            Coding::Gzip => Codec::Gzip(Gzip::new()),
            Coding::Deflate => Codec::Deflate {
                inflate: Decompress::new(true),
                ended: false,
            },
            Coding::Zstd => Codec::Zstd(Zstd::new()?),
        };
        Ok(Self {
            codec,
            scratch: vec![0; SCRATCH_BYTES].into(),
            bytes_max: bytes_max as u64,
            ratio_max: u64::from(ratio_max),
            read: 0,
            made: 0,
        })
    }

    /// Memory of the decoder now, in bytes.
    pub(crate) fn held(&self) -> usize {
        let codec = match &self.codec {
            Codec::Gzip(_) | Codec::Deflate { .. } => INFLATE_BYTES,
            Codec::Zstd(zstd) => zstd.context.sizeof(),
        };
        codec + SCRATCH_BYTES
    }

    /// Takes a part of `input` off and gives what it is; `None` when all that can be made of it was made.
    pub(crate) fn step(&mut self, input: &mut &[u8]) -> Result<Option<&[u8]>, Fault> {
        // One byte over the limit shows that there is more than the limit.
        let room = (self.bytes_max - self.made + 1).min(SCRATCH_BYTES as u64) as usize;
        let out = &mut self.scratch[..room];
        let step = match &mut self.codec {
            Codec::Gzip(gzip) => gzip.step(input, out)?,
            Codec::Deflate { inflate, ended } => deflate_step(inflate, ended, input, out)?,
            Codec::Zstd(zstd) => zstd.step(input, out)?,
        };
        *input = input.get(step.read..).unwrap_or_default();
        self.read += step.read as u64;
        self.made += step.made as u64;
        if self.made > self.bytes_max {
            return Err(Fault::TooLarge);
        }
        let counted = self.made.saturating_sub(RATIO_FREE_BYTES);
        if counted > self.read.saturating_mul(self.ratio_max) {
            return Err(Fault::Ratio);
        }
        let idle = step.read == 0 && step.made == 0;
        Ok((!idle).then(|| &self.scratch[..step.made]))
    }

    /// Whether the compressed data came to its end.
    pub(crate) fn finish(&self) -> Result<(), Fault> {
        let ended = match &self.codec {
            Codec::Gzip(gzip) => matches!(gzip.place, Place::Between) && gzip.members > 0,
            Codec::Deflate { ended, .. } => *ended,
            Codec::Zstd(zstd) => zstd.ended && zstd.frames > 0,
        };
        match ended {
            true => Ok(()),
            false => Err(corrupt("it ends before the compressed data does")),
        }
    }
}

fn corrupt(reason: impl Into<String>) -> Fault {
    Fault::Corrupt(reason.into())
}

/// Inflates; also whether the stream is at its end.
fn inflate(inflate: &mut Decompress, input: &[u8], out: &mut [u8]) -> Result<(Step, bool), Fault> {
    let (read, made) = (inflate.total_in(), inflate.total_out());
    let status = inflate
        .decompress(input, out, FlushDecompress::None)
        .map_err(|error| corrupt(error.to_string()))?;
    let step = Step {
        read: (inflate.total_in() - read) as usize,
        made: (inflate.total_out() - made) as usize,
    };
    let ended = status == Status::StreamEnd;
    if !ended && step.read == 0 && step.made == 0 && !input.is_empty() {
        return Err(corrupt("it cannot be inflated"));
    }
    Ok((step, ended))
}

fn deflate_step(
    stream: &mut Decompress,
    ended: &mut bool,
    input: &[u8],
    out: &mut [u8],
) -> Result<Step, Fault> {
    if *ended {
        return match input {
            [] => Ok(Step { read: 0, made: 0 }),
            _ => Err(corrupt("something follows the end of the compressed data")),
        };
    }
    let (step, at_end) = inflate(stream, input, out)?;
    *ended = at_end;
    Ok(step)
}

/// Members of gzip, one behind the other (RFC 1952 §2.2).
struct Gzip {
    place: Place,
    inflate: Decompress,
    crc: Crc,
    members: u32,
}

enum Place {
    /// Before the first member or behind one.
    Between,
    /// In the ten bytes that every head has.
    Head {
        seen: usize,
        flags: u8,
    },
    /// In what the flags announce.
    Optional {
        flags: u8,
        field: Field,
    },
    Data,
    Tail {
        bytes: [u8; 8],
        seen: usize,
    },
}

/// An optional field of a head.
#[derive(Clone, Copy)]
enum Field {
    /// Its length is read.
    ExtraLength {
        seen: u8,
        length: u16,
    },
    Extra {
        left: u16,
    },
    /// Up to a zero byte: name or comment.
    Text,
    Check {
        left: u8,
    },
}

const FLAG_CHECK: u8 = 2;
const FLAG_EXTRA: u8 = 4;
const FLAG_NAME: u8 = 8;
const FLAG_COMMENT: u8 = 16;

impl Gzip {
    fn new() -> Self {
        Self {
            place: Place::Between,
            inflate: Decompress::new(false),
            crc: Crc::new(),
            members: 0,
        }
    }

    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, Fault> {
        if let Place::Data = self.place {
            let (step, ended) = inflate(&mut self.inflate, input, out)?;
            self.crc.update(out.get(..step.made).unwrap_or_default());
            if ended {
                let (bytes, seen) = ([0; 8], 0);
                self.place = Place::Tail { bytes, seen };
            }
            return Ok(step);
        }
        let mut read = 0;
        for byte in input {
            if let Place::Data = self.place {
                break;
            }
            self.outside(*byte)?;
            read += 1;
        }
        Ok(Step { read, made: 0 })
    }

    /// A byte of a head or tail.
    fn outside(&mut self, byte: u8) -> Result<(), Fault> {
        self.place = match std::mem::replace(&mut self.place, Place::Between) {
            Place::Between => self.begin(byte)?,
            Place::Head { seen, flags } => self.head(byte, seen, flags)?,
            Place::Optional { flags, field } => self.optional(byte, flags, field),
            Place::Data => Place::Data,
            Place::Tail { mut bytes, seen } => {
                if let Some(place) = bytes.get_mut(seen) {
                    *place = byte;
                }
                match seen + 1 {
                    8 => self.end(bytes)?,
                    seen => Place::Tail { bytes, seen },
                }
            }
        };
        Ok(())
    }

    fn begin(&mut self, byte: u8) -> Result<Place, Fault> {
        match (byte, self.members) {
            (0x1f, 0..MEMBERS_MAX) => Ok(Place::Head { seen: 1, flags: 0 }),
            (0x1f, _) => Err(corrupt(format!("it has more than {MEMBERS_MAX} members"))),
            (_, 0) => Err(corrupt("it does not begin like gzip, with 1F 8B 08")),
            _ => Err(corrupt("something follows the end of the compressed data")),
        }
    }

    fn head(&mut self, byte: u8, seen: usize, mut flags: u8) -> Result<Place, Fault> {
        match (seen, byte) {
            (1, 0x8b) | (2, 8) => {}
            (1 | 2, _) => return Err(corrupt("a member does not begin like gzip, with 1F 8B 08")),
            (3, 0..=0x1f) => flags = byte,
            (3, _) => return Err(corrupt("a member of gzip has flags that nobody knows")),
            _ => {}
        }
        match seen + 1 {
            10 => Ok(self.behind_head(flags)),
            seen => Ok(Place::Head { seen, flags }),
        }
    }

    /// What comes next of what the flags announce.
    fn behind_head(&mut self, flags: u8) -> Place {
        let (flag, field) = match flags {
            flags if flags & FLAG_EXTRA > 0 => {
                let (seen, length) = (0, 0);
                (FLAG_EXTRA, Field::ExtraLength { seen, length })
            }
            flags if flags & FLAG_NAME > 0 => (FLAG_NAME, Field::Text),
            flags if flags & FLAG_COMMENT > 0 => (FLAG_COMMENT, Field::Text),
            flags if flags & FLAG_CHECK > 0 => (FLAG_CHECK, Field::Check { left: 2 }),
            _ => {
                self.inflate.reset(false);
                self.crc.reset();
                return Place::Data;
            }
        };
        let flags = flags & !flag;
        Place::Optional { flags, field }
    }

    fn optional(&mut self, byte: u8, flags: u8, field: Field) -> Place {
        let field = match field {
            Field::ExtraLength { seen: 0, .. } => Field::ExtraLength {
                seen: 1,
                length: u16::from(byte),
            },
            Field::ExtraLength { length, .. } => match length | u16::from(byte) << 8 {
                0 => return self.behind_head(flags),
                left => Field::Extra { left },
            },
            Field::Extra { left: 0 | 1 } | Field::Check { left: 0 | 1 } => {
                return self.behind_head(flags);
            }
            Field::Extra { left } => Field::Extra { left: left - 1 },
            Field::Check { left } => Field::Check { left: left - 1 },
            Field::Text if byte == 0 => return self.behind_head(flags),
            Field::Text => Field::Text,
        };
        Place::Optional { flags, field }
    }

    fn end(&mut self, tail: [u8; 8]) -> Result<Place, Fault> {
        let [a, b, c, d, e, f, g, h] = tail;
        if u32::from_le_bytes([a, b, c, d]) != self.crc.sum() {
            return Err(corrupt("its checksum is not that of what it holds"));
        }
        if u32::from_le_bytes([e, f, g, h]) != self.crc.amount() {
            return Err(corrupt("its length is not that of what it holds"));
        }
        self.members += 1;
        Ok(Place::Between)
    }
}

/// Frames of zstd, one behind the other (RFC 8878 §3.1).
struct Zstd {
    context: DCtx<'static>,
    /// At the end of a frame.
    ended: bool,
    frames: u32,
}

impl Zstd {
    fn new() -> Result<Self, Fault> {
        let mut context = DCtx::try_create().ok_or_else(|| corrupt("there is no memory for it"))?;
        context
            .set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))
            .map_err(zstd_fault)?;
        Ok(Self {
            context,
            ended: true,
            frames: 0,
        })
    }

    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, Fault> {
        if self.ended && input.is_empty() {
            return Ok(Step { read: 0, made: 0 });
        }
        let mut input = InBuffer::around(input);
        let mut output = OutBuffer::around(out);
        let left = self.context.decompress_stream(&mut output, &mut input);
        self.ended = left.map_err(zstd_fault)? == 0;
        self.frames += u32::from(self.ended);
        if self.frames > MEMBERS_MAX {
            return Err(corrupt(format!("it has more than {MEMBERS_MAX} frames")));
        }
        Ok(Step {
            read: input.pos(),
            made: output.pos(),
        })
    }
}

fn zstd_fault(code: usize) -> Fault {
    corrupt(zstd_safe::get_error_name(code))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const CODINGS: [Coding; 3] = [Coding::Gzip, Coding::Deflate, Coding::Zstd];

    fn packed(coding: Coding, text: &[u8]) -> Vec<u8> {
        let level = flate2::Compression::best();
        match coding {
            Coding::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(text).expect("writes");
                encoder.finish().expect("ends")
            }
            Coding::Deflate => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(text).expect("writes");
                encoder.finish().expect("ends")
            }
            Coding::Zstd => zstd::encode_all(text, 19).expect("packs"),
        }
    }

    /// Decompresses frames; also the most that was made before it ended.
    fn unpacked(
        coding: Coding,
        frames: &[&[u8]],
        bytes_max: usize,
        ratio_max: u32,
    ) -> (Result<Vec<u8>, Fault>, usize) {
        let mut decompressor = Decompressor::new(coding, bytes_max, ratio_max).expect("a decoder");
        let mut out = Vec::new();
        for frame in frames {
            let mut rest = *frame;
            loop {
                match decompressor.step(&mut rest) {
                    Ok(Some(piece)) => out.extend_from_slice(piece),
                    Ok(None) => break,
                    Err(fault) => return (Err(fault), decompressor.made as usize),
                }
            }
            assert!(rest.is_empty(), "all of a frame is read");
        }
        let made = out.len();
        (decompressor.finish().map(|()| out), made)
    }

    fn whole(coding: Coding, packed: &[u8]) -> Result<Vec<u8>, Fault> {
        unpacked(coding, &[packed], 1 << 20, 100).0
    }

    fn text() -> Vec<u8> {
        (0..400_u32)
            .map(|at| (at.wrapping_mul(2_654_435_761) >> 26) as u8)
            .collect()
    }

    #[test]
    fn a_body_is_what_was_packed_wherever_it_is_cut() {
        for coding in CODINGS {
            let packed = packed(coding, &text());
            for at in 0..=packed.len() {
                let (first, second) = packed.split_at(at);
                let (found, _) = unpacked(coding, &[first, second], 1 << 20, 100);
                assert_eq!(found, Ok(text()), "{coding:?} {at}");
                let cut = whole(coding, first);
                assert_eq!(cut.is_ok(), at == packed.len(), "{coding:?} cut at {at}");
            }
            let bytes: Vec<&[u8]> = packed.chunks(1).collect();
            assert_eq!(unpacked(coding, &bytes, 1 << 20, 100).0, Ok(text()));
        }
    }

    #[test]
    fn a_changed_byte_is_refused_or_changes_nothing() {
        for coding in CODINGS {
            let packed = packed(coding, &text());
            for at in 0..packed.len() {
                for bit in 0..8 {
                    let mut changed = packed.clone();
                    changed[at] ^= 1 << bit;
                    // Heads have bytes that mean nothing, and zstd needs no checksum.
                    match whole(coding, &changed) {
                        Ok(found) if coding == Coding::Zstd => assert!(found.len() < 1 << 20),
                        Ok(found) => assert_eq!(found, text(), "{coding:?} byte {at} bit {bit}"),
                        Err(_) => {}
                    }
                }
            }
        }
    }

    #[test]
    fn several_members_are_one_body_and_anything_else_behind_is_refused() {
        for coding in CODINGS {
            let packed = packed(coding, b"one ");
            let twice = [packed.as_slice(), &packed].concat();
            let garbage = [packed.as_slice(), b"\0"].concat();
            match coding {
                Coding::Deflate => assert!(whole(coding, &twice).is_err()),
                _ => assert_eq!(whole(coding, &twice), Ok(b"one one ".to_vec())),
            }
            assert!(whole(coding, &garbage).is_err(), "{coding:?}");
            assert!(whole(coding, b"").is_err() && whole(coding, b"{}").is_err());
        }
        let many = packed(Coding::Gzip, b"").repeat(MEMBERS_MAX as usize);
        assert_eq!(whole(Coding::Gzip, &many), Ok(Vec::new()));
        let more = [many, packed(Coding::Gzip, b"")].concat();
        assert!(whole(Coding::Gzip, &more).is_err());
        let frames = packed(Coding::Zstd, b"").repeat(MEMBERS_MAX as usize);
        assert_eq!(whole(Coding::Zstd, &frames), Ok(Vec::new()));
        let more = [frames, packed(Coding::Zstd, b"")].concat();
        assert!(whole(Coding::Zstd, &more).is_err());
    }

    #[test]
    fn heads_of_gzip_may_say_more() {
        let plain = packed(Coding::Gzip, b"text");
        let mut long = plain[..10].to_vec();
        long[3] = 0x1e;
        long.extend_from_slice(b"\x03\x00abcname\0comment\0\x12\x34");
        long.extend_from_slice(&plain[10..]);
        assert_eq!(whole(Coding::Gzip, &long), Ok(b"text".to_vec()));
        let mut unknown = plain;
        unknown[3] = 0x20;
        assert!(whole(Coding::Gzip, &unknown).is_err());
    }

    #[test]
    fn nothing_is_made_behind_a_limit() {
        for coding in CODINGS {
            // 8 MiB of nothing.
            let bomb = packed(coding, &vec![0; 8 << 20]);
            let (found, made) = unpacked(coding, &[&bomb], 8 << 20, 100);
            let most = RATIO_FREE_BYTES as usize + bomb.len() * 100 + SCRATCH_BYTES;
            assert_eq!(found, Err(Fault::Ratio), "{coding:?}");
            assert!(made <= most, "{coding:?}: {made} of {most}");
            let (found, made) = unpacked(coding, &[&bomb], 1_000_000, u32::MAX);
            assert_eq!((found, made), (Err(Fault::TooLarge), 1_000_001));
            // Exactly at the limits.
            let text = vec![b'x'; 100_000];
            let small = packed(coding, &text);
            let ratio = (100_000 - RATIO_FREE_BYTES).div_ceil(small.len() as u64) as u32;
            let with = |bytes, ratio| unpacked(coding, &[&small], bytes, ratio).0;
            // Its last bytes are not read when all that they hold is made.
            assert!(with(100_000, ratio * 2) == Ok(text), "{coding:?}");
            assert!(
                with(99_999, ratio * 2) == Err(Fault::TooLarge),
                "{coding:?}"
            );
            assert!(with(100_000, ratio - 1) == Err(Fault::Ratio), "{coding:?}");
            // Short texts may be of one kind.
            let free = packed(coding, &vec![b'x'; RATIO_FREE_BYTES as usize]);
            assert!(unpacked(coding, &[&free], 1 << 20, 1).0.is_ok());
        }
    }

    #[test]
    fn windows_of_zstd_are_bounded() {
        let with = |log| {
            let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("an encoder");
            encoder.window_log(log).expect("a window");
            encoder.write_all(b"text").expect("writes");
            encoder.flush().expect("flushes");
            encoder.finish().expect("ends")
        };
        assert_eq!(
            whole(Coding::Zstd, &with(WINDOW_LOG_MAX)),
            Ok(b"text".to_vec())
        );
        assert!(whole(Coding::Zstd, &with(WINDOW_LOG_MAX + 1)).is_err());
    }

    #[test]
    fn codings_are_told_by_name() {
        let coding = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_ENCODING, value.parse().expect("a value"));
            }
            Coding::of(&headers)
        };
        assert_eq!(coding(&[]), Ok(None));
        assert_eq!(coding(&["identity"]), Ok(None));
        assert_eq!(coding(&["GZIP"]), Ok(Some(Coding::Gzip)));
        assert_eq!(coding(&["identity, x-gzip"]), Ok(Some(Coding::Gzip)));
        assert_eq!(coding(&["zstd", "identity"]), Ok(Some(Coding::Zstd)));
        assert_eq!(coding(&["deflate"]), Ok(Some(Coding::Deflate)));
        assert_eq!(coding(&["br"]), Err("br".to_owned()));
        assert_eq!(
            coding(&["gzip", "gzip"]),
            Err("more than one coding".to_owned())
        );
    }
}
