//! Where messages begin and end in a body.

/// How messages are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// One after the other: each ends where its elements end.
    None,
    /// A length in this many bytes, the highest first, in front of each.
    Binary { bytes: usize, counts_itself: bool },
    /// A length in four ASCII digits in front of each.
    Digits { counts_itself: bool },
    /// A line feed behind each, perhaps with a carriage return in front of it.
    Lines,
}

/// The messages of a body, as byte ranges.
#[derive(Debug)]
pub(crate) struct Frames<'b> {
    framing: Framing,
    body: &'b [u8],
    at: usize,
}

impl<'b> Frames<'b> {
    pub(crate) fn new(framing: Framing, body: &'b [u8]) -> Self {
        Self {
            framing,
            body,
            at: 0,
        }
    }

    /// The next message's first byte and the one behind its last; without framing the rest of the body.
    /// The error is a place and what is wrong there.
    pub(crate) fn next(&mut self) -> Result<Option<(usize, usize)>, (usize, String)> {
        let left = self.body.len() - self.at;
        if left == 0 {
            return Ok(None);
        }
        match self.framing {
            Framing::None => {
                let start = self.at;
                self.at = self.body.len();
                Ok(Some((start, self.body.len())))
            }
            Framing::Lines => {
                let line = memchr::memchr(b'\n', &self.body[self.at..]).unwrap_or(left);
                let (start, end) = (self.at, self.at + line);
                self.at = (end + 1).min(self.body.len());
                let cut = end > start && self.body[end - 1] == b'\r';
                let end = if cut { end - 1 } else { end };
                if start == end {
                    // An empty line at the end of a file.
                    return self.next_line();
                }
                Ok(Some((start, end)))
            }
            Framing::Binary {
                bytes,
                counts_itself,
            } => self.counted(bytes, counts_itself, |raw| {
                Some(
                    raw.iter()
                        .fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte)),
                )
            }),
            Framing::Digits { counts_itself } => self.counted(4, counts_itself, |raw| {
                let digits = std::str::from_utf8(raw).ok()?;
                let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
                plain.then(|| digits.parse().ok()).flatten()
            }),
        }
    }

    /// Goes on behind empty lines.
    fn next_line(&mut self) -> Result<Option<(usize, usize)>, (usize, String)> {
        while self.at < self.body.len() && matches!(self.body[self.at], b'\r' | b'\n') {
            self.at += 1;
        }
        if self.at == self.body.len() {
            return Ok(None);
        }
        self.next()
    }

    /// Without framing: the message ended here, so the next one begins here.
    pub(crate) fn ended(&mut self, end: usize) {
        if self.framing == Framing::None {
            self.at = end;
        }
    }

    fn counted(
        &mut self,
        bytes: usize,
        counts_itself: bool,
        read: impl Fn(&[u8]) -> Option<usize>,
    ) -> Result<Option<(usize, usize)>, (usize, String)> {
        let begin = self.at;
        let Some(raw) = self.body.get(begin..begin + bytes) else {
            let detail =
                format!("the last bytes are no length of a message, which has {bytes} bytes");
            return Err((begin, detail));
        };
        let length = read(raw).and_then(|length| {
            if counts_itself {
                length.checked_sub(bytes)
            } else {
                Some(length)
            }
        });
        let start = begin + bytes;
        let left = self.body.len() - start;
        match length {
            Some(length) if (1..=left).contains(&length) => {
                self.at = start + length;
                Ok(Some((start, self.at)))
            }
            Some(length) => Err((
                begin,
                format!("the message has {length} bytes by its length, but {left} follow"),
            )),
            None => Err((begin, "here a length of a message is expected".to_owned())),
        }
    }
}
