//! Where one message ends and the next begins on a connection that has no HTTP.
//!
//! No I/O: bytes go in as they come, messages come out. A length is checked before anything is kept for it, so a
//! connection holds no more than one message's bytes and what was read with its end.

use bytes::{Buf as _, Bytes, BytesMut};
use serde::Deserialize;

/// How messages are told apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Framing {
    /// A binary length of two bytes in front, the higher one first: what most ISO 8583 links have.
    #[default]
    #[serde(rename = "length-2")]
    Length2,
    /// The same of four bytes.
    #[serde(rename = "length-4")]
    Length4,
    /// Four ASCII digits in front.
    #[serde(rename = "digits-4")]
    Digits4,
    /// A line each: LF or CR LF behind.
    Lines,
    /// STX (02) in front and ETX (03) behind.
    StxEtx,
}

const STX: u8 = 2;
const ETX: u8 = 3;

/// The bytes cannot be told apart into messages from here on: the connection cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a message of {bytes} bytes is announced, at most {bytes_max} are read")]
    Long { bytes: usize, bytes_max: usize },
    #[error("a message has more than {bytes_max} bytes without an end")]
    Endless { bytes_max: usize },
    #[error("four digits are expected in front of a message, found {0:?}")]
    Digits(String),
    #[error("the length {0} of a message is shorter than the length itself")]
    Short(usize),
    #[error("STX is expected in front of a message, found the byte {0}")]
    NoStx(u8),
}

/// Takes bytes apart into messages.
#[derive(Debug)]
pub(crate) struct Frames {
    framing: Framing,
    /// The length counts itself too.
    counts_itself: bool,
    bytes_max: usize,
    buffer: BytesMut,
    /// Bytes of the buffer that have been looked through for an end.
    searched: usize,
}

impl Frames {
    pub(crate) fn new(framing: Framing, counts_itself: bool, bytes_max: usize) -> Self {
        Self {
            framing,
            counts_itself,
            bytes_max,
            buffer: BytesMut::new(),
            searched: 0,
        }
    }

    /// Where bytes are read into.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Whether a message has begun and not ended.
    pub(crate) fn is_within(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Bytes that belong to no message yet.
    pub(crate) fn held(&self) -> usize {
        self.buffer.len()
    }

    /// What has not been a message: for the quarantine when there will be none.
    pub(crate) fn rest(&mut self) -> Bytes {
        self.searched = 0;
        self.buffer.split().freeze()
    }

    /// The next whole message. Empty ones, which keep a link alive, are passed over.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        loop {
            let found = match self.framing {
                Framing::Length2 => self.by_length(2)?,
                Framing::Length4 => self.by_length(4)?,
                Framing::Digits4 => self.by_length(0)?,
                Framing::Lines => self.by_end(b'\n', 0)?,
                Framing::StxEtx => self.by_end(ETX, 1)?,
            };
            let Some(mut message) = found else {
                return Ok(None);
            };
            if self.framing == Framing::Lines && message.last() == Some(&b'\r') {
                message.truncate(message.len() - 1);
            }
            if !message.is_empty() {
                return Ok(Some(message));
            }
        }
    }

    /// `binary`: bytes of a binary length; 0: four digits.
    fn by_length(&mut self, binary: usize) -> Result<Option<Bytes>, FrameError> {
        let head = if binary == 0 { 4 } else { binary };
        let Some(bytes) = self.buffer.get(..head) else {
            return Ok(None);
        };
        let length = match binary {
            0 => digits(bytes)?,
            _ => bytes
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte)),
        };
        let length = match self.counts_itself {
            true => length.checked_sub(head).ok_or(FrameError::Short(length))?,
            false => length,
        };
        if length > self.bytes_max {
            return Err(FrameError::Long {
                bytes: length,
                bytes_max: self.bytes_max,
            });
        }
        if self.buffer.len() < head + length {
            return Ok(None);
        }
        self.buffer.advance(head);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    /// `front`: bytes in front of the message, which is an STX.
    fn by_end(&mut self, end: u8, front: usize) -> Result<Option<Bytes>, FrameError> {
        if front > 0
            && let Some(first) = self.buffer.first()
            && *first != STX
        {
            return Err(FrameError::NoStx(*first));
        }
        let searched = self.searched.min(self.buffer.len());
        let unread = &self.buffer[searched..];
        let Some(at) = unread.iter().position(|byte| *byte == end) else {
            self.searched = self.buffer.len();
            if self.buffer.len() > self.bytes_max + front {
                let bytes_max = self.bytes_max;
                return Err(FrameError::Endless { bytes_max });
            }
            return Ok(None);
        };
        let length = searched + at;
        if length > self.bytes_max + front {
            let bytes_max = self.bytes_max;
            return Err(FrameError::Endless { bytes_max });
        }
        self.searched = 0;
        self.buffer.advance(front);
        let message = self.buffer.split_to(length - front).freeze();
        self.buffer.advance(1);
        Ok(Some(message))
    }

    /// Puts a message around with what tells it apart. `false`: it cannot be told apart so, and nothing is written.
    pub(crate) fn write(
        framing: Framing,
        counts_itself: bool,
        message: &[u8],
        out: &mut Vec<u8>,
    ) -> bool {
        let length = |head: usize| message.len() + if counts_itself { head } else { 0 };
        match framing {
            Framing::Length2 => {
                let Ok(length) = u16::try_from(length(2)) else {
                    return false;
                };
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(message);
            }
            Framing::Length4 => {
                let Ok(length) = u32::try_from(length(4)) else {
                    return false;
                };
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(message);
            }
            Framing::Digits4 => {
                let length = length(4);
                if length > 9_999 {
                    return false;
                }
                out.extend_from_slice(format!("{length:04}").as_bytes());
                out.extend_from_slice(message);
            }
            Framing::Lines => {
                out.extend_from_slice(message);
                out.push(b'\n');
            }
            Framing::StxEtx => {
                out.push(STX);
                out.extend_from_slice(message);
                out.push(ETX);
            }
        }
        true
    }
}

fn digits(bytes: &[u8]) -> Result<usize, FrameError> {
    if !bytes.iter().all(u8::is_ascii_digit) {
        let found = String::from_utf8_lossy(bytes).into_owned();
        return Err(FrameError::Digits(found));
    }
    let value = |number, byte: &u8| number * 10 + usize::from(byte - b'0');
    Ok(bytes.iter().fold(0, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Framing; 5] = [
        Framing::Length2,
        Framing::Length4,
        Framing::Digits4,
        Framing::Lines,
        Framing::StxEtx,
    ];

    fn written(framing: Framing, counts_itself: bool, messages: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for message in messages {
            assert!(Frames::write(framing, counts_itself, message, &mut out));
        }
        out
    }

    fn read(
        framing: Framing,
        counts_itself: bool,
        pieces: &[&[u8]],
    ) -> Result<Vec<String>, String> {
        let mut frames = Frames::new(framing, counts_itself, 9);
        let mut found = Vec::new();
        for piece in pieces {
            frames.buffer().extend_from_slice(piece);
            while let Some(message) = frames.next().map_err(|error| error.to_string())? {
                found.push(String::from_utf8_lossy(&message).into_owned());
            }
        }
        Ok(found)
    }

    #[test]
    fn messages_come_out_as_they_went_in_however_they_were_cut() {
        let messages: [&[u8]; 4] = [b"0200", b"", b"123456789", b"x"];
        for framing in ALL {
            for counts_itself in [false, true] {
                let bytes = written(framing, counts_itself, &messages);
                for cut in 0..=bytes.len() {
                    let (left, right) = bytes.split_at(cut);
                    let found = read(framing, counts_itself, &[left, right]);
                    let found = found.expect("well formed");
                    assert_eq!(found, ["0200", "123456789", "x"], "{framing:?} {cut}");
                }
                let singly: Vec<&[u8]> = bytes.chunks(1).collect();
                assert_eq!(
                    read(framing, counts_itself, &singly)
                        .expect("well formed")
                        .len(),
                    3
                );
            }
        }
        assert_eq!(
            read(Framing::Lines, false, &[b"a\r\nb\n\r\n"]),
            Ok(vec!["a".to_owned(), "b".to_owned()])
        );
    }

    #[test]
    fn one_byte_more_than_the_most_is_refused_before_it_is_there() {
        let refused = |framing, bytes: &[u8]| read(framing, false, &[bytes]).expect_err("refused");
        let long = "a message of 10 bytes is announced, at most 9 are read";
        assert_eq!(refused(Framing::Length2, &[0, 10]), long);
        assert_eq!(refused(Framing::Length4, &[0, 0, 0, 10]), long);
        assert_eq!(refused(Framing::Digits4, b"0010"), long);
        let endless = "a message has more than 9 bytes without an end";
        assert_eq!(refused(Framing::Lines, b"1234567890"), endless);
        assert_eq!(refused(Framing::Lines, b"1234567890\n"), endless);
        assert_eq!(refused(Framing::StxEtx, b"\x021234567890"), endless);
        assert!(read(Framing::Length4, false, &[&[255; 4]]).is_err());
    }

    #[test]
    fn what_is_no_beginning_is_told() {
        let refused =
            |framing, counts, bytes: &[u8]| read(framing, counts, &[bytes]).expect_err("refused");
        assert_eq!(
            refused(Framing::Digits4, false, b"00a4"),
            "four digits are expected in front of a message, found \"00a4\""
        );
        assert_eq!(
            refused(Framing::StxEtx, false, b"0200"),
            "STX is expected in front of a message, found the byte 48"
        );
        assert_eq!(
            refused(Framing::Length2, true, &[0, 1]),
            "the length 1 of a message is shorter than the length itself"
        );
    }

    #[test]
    fn a_reply_that_has_no_room_for_its_length_is_not_written() {
        let mut out = Vec::new();
        assert!(Frames::write(
            Framing::Digits4,
            false,
            &[b'1'; 9_999],
            &mut out
        ));
        assert!(!Frames::write(
            Framing::Digits4,
            false,
            &[b'1'; 10_000],
            &mut out
        ));
        assert!(!Frames::write(
            Framing::Digits4,
            true,
            &[b'1'; 9_996],
            &mut out
        ));
        assert!(Frames::write(
            Framing::Length2,
            true,
            &[b'1'; 65_533],
            &mut out
        ));
        assert!(!Frames::write(
            Framing::Length2,
            true,
            &[b'1'; 65_534],
            &mut out
        ));
        assert_eq!(out.len(), 4 + 9_999 + 2 + 65_533);
    }
}
