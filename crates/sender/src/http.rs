//! As much of HTTP/1.1 as a sender needs: one request at a time on a kept connection.
//!
//! A general client costs several times the CPU of the request itself, and the bench shares its
//! machine with what it measures. Bytes in, values out: [`read_head`] and [`Chunks`] do no I/O.
//!
//! # Invariants
//!
//! - A connection on which anything went wrong is not used again.
//! - Everything that comes from outside is bounded: heads, bodies, lines of chunks.

use std::io;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::target::Target;

/// Most bytes of a response's head.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// Most bytes of a response's body that is collected.
const BODY_BYTES_MAX: usize = 512 << 20;
/// Most bytes of a chunk's size line.
const CHUNK_LINE_BYTES_MAX: usize = 1 << 10;
/// Bytes asked of the socket at a time.
const READ_BYTES: usize = 16 << 10;
/// Longest time to connect.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// A kept connection that was idle this long is not used again: the gateway closes it after 5 s.
const IDLE_TIME_MAX: Duration = Duration::from_secs(3);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("cannot connect to {address}")]
    Connect {
        address: String,
        #[source]
        source: io::Error,
    },
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    #[error("the connection was closed before the answer was complete")]
    Closed,
    #[error("there was no answer for {} s", .0.as_secs())]
    Slow(Duration),
    #[error("the answer is not HTTP/1.1: {0}")]
    Protocol(&'static str),
}

/// How a body's end is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyKind {
    Length(u64),
    Chunked,
    UntilClose,
}

/// A response's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) body: BodyKind,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) keep: bool,
}

/// A complete response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Vec<u8>,
}

/// Reads a response's head from the front of `bytes`; answers it and its length.
///
/// `Ok(None)`: incomplete. `1xx` responses are returned like others; the caller skips them.
pub(crate) fn read_head(bytes: &[u8]) -> Result<Option<(Head, usize)>, HttpError> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if bytes.len() > HEAD_BYTES_MAX {
            Err(HttpError::Protocol("its head is too long"))
        } else {
            Ok(None)
        };
    };
    let text = std::str::from_utf8(&bytes[..end])
        .map_err(|_| HttpError::Protocol("its head is not text"))?;
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let rest = line
        .strip_prefix("HTTP/1.1 ")
        .or_else(|| line.strip_prefix("HTTP/1.0 "))
        .ok_or(HttpError::Protocol("its first line has no version"))?;
    let status: u16 = rest
        .get(..3)
        .and_then(|digits| digits.parse().ok())
        .filter(|status| (100..1_000).contains(status))
        .ok_or(HttpError::Protocol("its first line has no status"))?;
    let mut head = Head {
        status,
        body: BodyKind::UntilClose,
        retry_after: None,
        keep: line.starts_with("HTTP/1.1"),
    };
    for line in lines {
        let (name, value) = line
            .split_once(':')
            .ok_or(HttpError::Protocol("a header has no colon"))?;
        head.header(name, value.trim())?;
    }
    if matches!(status, 100..=199 | 204 | 304) {
        head.body = BodyKind::Length(0);
    }
    head.keep &= head.body != BodyKind::UntilClose;
    Ok(Some((head, end + 4)))
}

impl Head {
    fn header(&mut self, name: &str, value: &str) -> Result<(), HttpError> {
        if name.eq_ignore_ascii_case("content-length") {
            let length = value
                .parse()
                .map_err(|_| HttpError::Protocol("its length is not a number"))?;
            // Both headers: the transfer coding counts (RFC 9112, 6.3).
            if self.body != BodyKind::Chunked {
                self.body = BodyKind::Length(length);
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            if !value.eq_ignore_ascii_case("chunked") {
                return Err(HttpError::Protocol("its transfer coding is not chunked"));
            }
            self.body = BodyKind::Chunked;
        } else if name.eq_ignore_ascii_case("retry-after") {
            // A date instead of seconds is not worth a parser: the back-off decides then.
            self.retry_after = value.parse().ok().map(Duration::from_secs);
        } else if name.eq_ignore_ascii_case("connection") {
            self.keep &= !value.eq_ignore_ascii_case("close");
        }
        Ok(())
    }
}

/// Takes the framing off a chunked body.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    /// Bytes left of the chunk that has begun, with the line end behind it.
    left: u64,
    line: Vec<u8>,
    trailer: bool,
    done: bool,
}

impl Chunks {
    /// Whether the last chunk has been read.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// Appends the data in `bytes` to `out`; answers how many of them belonged to the body.
    pub(crate) fn decode(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, HttpError> {
        let mut at = 0;
        while at < bytes.len() && !self.done {
            if self.left > 2 {
                let data = usize::try_from(self.left - 2).unwrap_or(usize::MAX);
                let take = data.min(bytes.len() - at);
                out.extend_from_slice(&bytes[at..at + take]);
                self.left -= take as u64;
                at += take;
            } else if self.left > 0 {
                // The line end behind the data.
                self.left -= 1;
                at += 1;
            } else {
                let byte = bytes[at];
                at += 1;
                if byte == b'\n' {
                    self.end_line()?;
                } else if self.line.len() < CHUNK_LINE_BYTES_MAX {
                    self.line.push(byte);
                } else {
                    return Err(HttpError::Protocol("a chunk has no size"));
                }
            }
        }
        Ok(at)
    }

    fn end_line(&mut self) -> Result<(), HttpError> {
        let line = std::mem::take(&mut self.line);
        let text = line.strip_suffix(b"\r").unwrap_or(&line);
        if self.trailer {
            self.done = text.is_empty();
            return Ok(());
        }
        let size = std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.split(';').next())
            .and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok())
            .filter(|size| *size < 1 << 40)
            .ok_or(HttpError::Protocol("a chunk has no size"))?;
        if size == 0 {
            self.trailer = true;
        } else {
            self.left = size + 2;
        }
        Ok(())
    }
}

/// One connection, kept open between requests.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// Read, not yet used.
    buffer: Vec<u8>,
    used_at: Instant,
}

impl Connection {
    pub(crate) async fn open(target: &Target) -> Result<Self, HttpError> {
        let failed = |source| HttpError::Connect {
            address: target.authority(),
            source,
        };
        let connect = TcpStream::connect((target.host(), target.port()));
        let stream = match tokio::time::timeout(CONNECT_TIME_MAX, connect).await {
            Ok(result) => result.map_err(failed)?,
            Err(_) => return Err(failed(io::ErrorKind::TimedOut.into())),
        };
        // A request is written at once; waiting to fill a packet would only delay it.
        let _ = stream.set_nodelay(true);
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(READ_BYTES),
            used_at: Instant::now(),
        })
    }

    /// Whether the other side may have closed it for want of use.
    pub(crate) fn is_stale(&self) -> bool {
        self.used_at.elapsed() > IDLE_TIME_MAX
    }

    /// Sends a request and reads the whole answer; the second value is whether to keep the connection.
    pub(crate) async fn request(
        &mut self,
        head: &[u8],
        body: &[u8],
        time_max: Duration,
    ) -> Result<(Answer, bool), HttpError> {
        let exchange = async {
            let written = self.write(head, body).await;
            // A request that is refused early is answered while it is still being written.
            match (self.read_answer().await, written) {
                (Ok(answer), Ok(())) => Ok(answer),
                (Ok((answer, _)), Err(_)) => Ok((answer, false)),
                (Err(_), Err(error)) => Err(HttpError::Broken(error)),
                (Err(error), Ok(())) => Err(error),
            }
        };
        let (answer, keep) = tokio::time::timeout(time_max, exchange)
            .await
            .map_err(|_| HttpError::Slow(time_max))??;
        self.used_at = Instant::now();
        Ok((answer, keep))
    }

    async fn write(&mut self, head: &[u8], body: &[u8]) -> io::Result<()> {
        self.stream.write_all(head).await?;
        if !body.is_empty() {
            self.stream.write_all(body).await?;
        }
        Ok(())
    }

    /// Reads a head; what the server sends before it (`100 Continue`) is skipped.
    pub(crate) async fn read_response_head(&mut self) -> Result<Head, HttpError> {
        loop {
            if let Some((head, length)) = read_head(&self.buffer)? {
                self.buffer.drain(..length);
                if head.status >= 200 {
                    return Ok(head);
                }
                continue;
            }
            self.fill().await?;
        }
    }

    async fn read_answer(&mut self) -> Result<(Answer, bool), HttpError> {
        let head = self.read_response_head().await?;
        let body = self.read_body(head.body).await?;
        let answer = Answer {
            status: head.status,
            retry_after: head.retry_after,
            body,
        };
        Ok((answer, head.keep))
    }

    async fn read_body(&mut self, kind: BodyKind) -> Result<Vec<u8>, HttpError> {
        let mut body = Vec::new();
        let mut chunks = Chunks::default();
        loop {
            match kind {
                BodyKind::Length(length) => {
                    let wanted = usize::try_from(length)
                        .ok()
                        .filter(|wanted| *wanted <= BODY_BYTES_MAX)
                        .ok_or(HttpError::Protocol("its body is too long"))?;
                    if self.buffer.len() >= wanted {
                        body.extend_from_slice(&self.buffer[..wanted]);
                        self.buffer.drain(..wanted);
                        return Ok(body);
                    }
                }
                BodyKind::Chunked => {
                    self.take_chunks(&mut chunks, &mut body)?;
                    if chunks.is_done() {
                        return Ok(body);
                    }
                }
                BodyKind::UntilClose => body.append(&mut self.buffer),
            }
            if body.len() > BODY_BYTES_MAX {
                return Err(HttpError::Protocol("its body is too long"));
            }
            match self.fill().await {
                Err(HttpError::Closed) if kind == BodyKind::UntilClose => return Ok(body),
                result => result?,
            }
        }
    }

    fn take_chunks(&mut self, chunks: &mut Chunks, out: &mut Vec<u8>) -> Result<(), HttpError> {
        let used = chunks.decode(&self.buffer, out)?;
        self.buffer.drain(..used);
        Ok(())
    }

    /// Sends a request whose answer is read as it comes, with [`Connection::read_some`].
    pub(crate) async fn start(
        &mut self,
        head: &[u8],
        time_max: Duration,
    ) -> Result<Head, HttpError> {
        let begin = async {
            self.stream
                .write_all(head)
                .await
                .map_err(HttpError::Broken)?;
            self.read_response_head().await
        };
        tokio::time::timeout(time_max, begin)
            .await
            .map_err(|_| HttpError::Slow(time_max))?
    }

    /// Appends the next part of a streamed body to `out`.
    pub(crate) async fn read_some(
        &mut self,
        chunks: Option<&mut Chunks>,
        out: &mut Vec<u8>,
    ) -> Result<(), HttpError> {
        if self.buffer.is_empty() {
            self.fill().await?;
        }
        match chunks {
            Some(chunks) => {
                self.take_chunks(chunks, out)?;
                if chunks.is_done() {
                    return Err(HttpError::Closed);
                }
            }
            None => out.append(&mut self.buffer),
        }
        Ok(())
    }

    async fn fill(&mut self) -> Result<(), HttpError> {
        self.buffer.reserve(READ_BYTES);
        let count = self
            .stream
            .read_buf(&mut self.buffer)
            .await
            .map_err(HttpError::Broken)?;
        if count == 0 {
            return Err(HttpError::Closed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_at_every_split() {
        let text = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 12\r\nRetry-After: 7\r\nConnection: close\r\n\r\nrest";
        let end = text.len() - 4;
        for cut in 0..end {
            assert!(matches!(read_head(&text[..cut]), Ok(None)), "cut at {cut}");
        }
        let (head, length) = read_head(text).expect("a head").expect("complete");
        assert_eq!(length, end);
        let expected = Head {
            status: 503,
            body: BodyKind::Length(12),
            retry_after: Some(Duration::from_secs(7)),
            keep: false,
        };
        assert_eq!(head, expected);
    }

    #[test]
    fn the_kind_of_body_follows_the_headers() {
        let body = |headers: &str| {
            let text = format!("HTTP/1.1 200 OK\r\n{headers}\r\n");
            read_head(text.as_bytes())
                .map(|found| found.map(|(head, _)| (head.body, head.keep)))
                .map_err(|error| error.to_string())
        };
        assert_eq!(body(""), Ok(Some((BodyKind::UntilClose, false))));
        assert_eq!(
            body("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"),
            Ok(Some((BodyKind::Chunked, true)))
        );
        assert!(body("Content-Length: x\r\n").is_err());
        assert!(body("Transfer-Encoding: gzip\r\n").is_err());
        assert!(read_head(b"SSH-2.0-x\r\n\r\n").is_err());
        assert!(read_head(&[b'x'; HEAD_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn chunks_are_joined_at_every_split() {
        let wire =
            b"4;x=y\r\nWiki\r\n6\r\npedia \r\nB\r\nin chunks.\n\r\n0\r\nTrailer: x\r\n\r\nnext";
        for cut in 0..wire.len() {
            let mut chunks = Chunks::default();
            let mut out = Vec::new();
            let mut used = chunks.decode(&wire[..cut], &mut out).expect("valid");
            if !chunks.is_done() {
                assert_eq!(used, cut);
                used += chunks.decode(&wire[cut..], &mut out).expect("valid");
            }
            assert_eq!(out, b"Wikipedia in chunks.\n", "cut at {cut}");
            assert_eq!(used, wire.len() - 4);
            assert!(chunks.is_done());
        }
        assert!(
            Chunks::default()
                .decode(b"zz\r\n", &mut Vec::new())
                .is_err()
        );
    }
}
