//! Where records begin and end in a body.

/// How records are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// All have this many bytes.
    Fixed(usize),
    /// A record descriptor word in front of each: two bytes of length, two of zeros.
    Rdw {
        /// The length stands in the third and fourth byte, the lower one first.
        little_endian: bool,
    },
    /// A line feed behind each, perhaps with a carriage return in front of it.
    Lines,
    /// Nothing: each ends where its fields end, which depends on its tables.
    Walked,
}

/// How a body is cut into records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Framing {
    pub(crate) kind: Kind,
    /// Block descriptor words stand in front of the records of a block.
    pub(crate) blocks: bool,
    /// The lengths in descriptor words count the word itself, as IBM's do.
    pub(crate) counts_itself: bool,
    /// Bytes before the first record.
    pub(crate) header_bytes: usize,
    /// Bytes behind the last record.
    pub(crate) trailer_bytes: usize,
    /// Records at the front that are no transactions.
    pub(crate) header_records: usize,
    /// Records at the end that are no transactions.
    pub(crate) trailer_records: usize,
}

impl Framing {
    /// Records one after the other, all of this length.
    pub(crate) fn fixed(bytes: usize) -> Self {
        Self {
            kind: Kind::Fixed(bytes),
            blocks: false,
            counts_itself: true,
            header_bytes: 0,
            trailer_bytes: 0,
            header_records: 0,
            trailer_records: 0,
        }
    }
}

/// Where the framing is broken, and how.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) offset: usize,
    pub(crate) detail: String,
}

/// The records of a body, as byte ranges.
#[derive(Debug)]
pub(crate) struct Frames<'b> {
    framing: Framing,
    body: &'b [u8],
    at: usize,
    block_end: usize,
}

/// Bytes of a descriptor word.
const WORD: usize = 4;

impl<'b> Frames<'b> {
    /// Begins behind the header bytes. The error says that the body is shorter than header and trailer.
    pub(crate) fn new(body: &'b [u8], framing: &Framing) -> Result<Self, Broken> {
        let end = body.len().checked_sub(framing.trailer_bytes);
        match end {
            Some(end) if framing.header_bytes <= end => Ok(Self {
                framing: *framing,
                body: &body[..end],
                at: framing.header_bytes,
                block_end: framing.header_bytes,
            }),
            _ => Err(Broken {
                offset: body.len(),
                detail: format!(
                    "the body has {} bytes, but a header of {} and a trailer of {} are to be skipped",
                    body.len(),
                    framing.header_bytes,
                    framing.trailer_bytes
                ),
            }),
        }
    }

    /// The next record's first byte and the one behind its last.
    pub(crate) fn next(&mut self) -> Result<Option<(usize, usize)>, Broken> {
        let left = self.body.len() - self.at;
        if left == 0 {
            return Ok(None);
        }
        match self.framing.kind {
            Kind::Fixed(bytes) => {
                if left < bytes {
                    let detail = format!(
                        "the last {left} bytes are no whole record of {bytes}; are there header or trailer bytes?"
                    );
                    return Err(self.broken(detail));
                }
                Ok(Some(self.take(bytes)))
            }
            Kind::Lines => {
                let line = memchr::memchr(b'\n', &self.body[self.at..]);
                let (start, end) = self.take(line.unwrap_or(left));
                self.at = (self.at + 1).min(self.body.len());
                let cut = end > start && self.body[end - 1] == b'\r';
                Ok(Some((start, if cut { end - 1 } else { end })))
            }
            Kind::Walked => Ok(Some(self.take(left))),
            Kind::Rdw { little_endian } => self.described(little_endian).map(Some),
        }
    }

    /// Whether a record's end is known only when its fields are read.
    pub(crate) fn is_walked(&self) -> bool {
        self.framing.kind == Kind::Walked
    }

    /// The record ended here, so the next one begins here.
    pub(crate) fn ended(&mut self, end: usize) {
        self.at = end;
    }

    fn described(&mut self, little_endian: bool) -> Result<(usize, usize), Broken> {
        if self.framing.blocks && self.at == self.block_end {
            let length = self.block()?;
            self.at += WORD;
            self.block_end = self.at + length;
        }
        let limit = if self.framing.blocks {
            self.block_end
        } else {
            self.body.len()
        };
        let word = self.word(limit)?;
        let length = match (little_endian, word) {
            (false, [high, low, 0, 0]) => usize::from(u16::from_be_bytes([high, low])),
            (true, [0, 0, low, high] | [low, high, 0, 0]) => {
                usize::from(u16::from_le_bytes([low, high]))
            }
            _ => {
                let detail = format!(
                    "{} is no record descriptor word; is the byte order or a header wrong, or are records spanned?",
                    hex(&word)
                );
                return Err(self.broken(detail));
            }
        };
        let length = self.without_word(length, "record")?;
        if length > limit - self.at - WORD {
            let detail = format!(
                "the record has {length} bytes by its descriptor word, but only {} follow; does its length count the word itself?",
                limit - self.at - WORD
            );
            return Err(self.broken(detail));
        }
        self.at += WORD;
        Ok(self.take(length))
    }

    /// Length of the block that begins here, without its word.
    fn block(&self) -> Result<usize, Broken> {
        let word = self.word(self.body.len())?;
        // With its first bit set it is an extended word: 31 bits of length.
        let length = if word[0] & 0x80 == 0 {
            usize::from(u16::from_be_bytes([word[0], word[1]]))
        } else {
            (u32::from_be_bytes(word) & 0x7fff_ffff) as usize
        };
        let length = self.without_word(length, "block")?;
        let left = self.body.len() - self.at - WORD;
        if length > left {
            let detail = format!(
                "the block has {length} bytes by its descriptor word {}, but only {left} follow",
                hex(&word)
            );
            return Err(self.broken(detail));
        }
        Ok(length)
    }

    fn word(&self, limit: usize) -> Result<[u8; WORD], Broken> {
        let bytes = self.body[self.at..limit].first_chunk::<WORD>();
        bytes.copied().ok_or_else(|| {
            self.broken("the last bytes are no descriptor word, which has four".to_owned())
        })
    }

    fn without_word(&self, length: usize, what: &str) -> Result<usize, Broken> {
        let length = if self.framing.counts_itself {
            length.checked_sub(WORD)
        } else {
            Some(length)
        };
        length.filter(|length| *length > 0).ok_or_else(|| {
            self.broken(format!(
                "the {what} is empty by its descriptor word; does its length count the word itself?"
            ))
        })
    }

    fn take(&mut self, bytes: usize) -> (usize, usize) {
        let start = self.at;
        self.at += bytes;
        (start, self.at)
    }

    fn broken(&self, detail: String) -> Broken {
        Broken {
            offset: self.at,
            detail,
        }
    }
}

/// Bytes for an error message: the first few.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const BYTES_MAX: usize = 16;
    let mut text: Vec<String> = bytes
        .iter()
        .take(BYTES_MAX)
        .map(|byte| format!("{byte:02X}"))
        .collect();
    if bytes.len() > BYTES_MAX {
        text.push("…".to_owned());
    }
    text.join(" ")
}
