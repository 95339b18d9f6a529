//! Where a reader stands in the results.

use std::fmt::Write as _;

use types::BusinessDay;

/// What a client has: for one day, every row whose last change lies below these offsets.
///
/// As text, `epoch:day:offset,offset,…`, it is the `id:` of every event, so a browser that
/// reconnects says by itself, in `Last-Event-ID`, where it stands. The epoch names the log: offsets
/// of another one mean nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Which log.
    pub epoch: String,
    /// Which day's rows the client has.
    pub day: BusinessDay,
    /// Next offset of each partition.
    pub offsets: Vec<i64>,
}

/// Most partitions a position may name; longer text is refused unread.
const PARTITIONS_MAX: usize = 10_000;

impl Position {
    /// `None` when the text is no position.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let (epoch, day, offsets) = (parts.next()?, parts.next()?, parts.next()?);
        let sound = !epoch.is_empty() && epoch.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !sound || text.len() > PARTITIONS_MAX * 20 {
            return None;
        }
        let offset = |text: &str| text.parse().ok().filter(|offset: &i64| *offset >= 0);
        Some(Self {
            epoch: epoch.to_owned(),
            day: day.parse().ok()?,
            offsets: offsets.split(',').map(offset).collect::<Option<_>>()?,
        })
    }
}

/// The text form, without building a [`Position`].
pub(crate) fn write_position(text: &mut String, epoch: &str, day: BusinessDay, offsets: &[i64]) {
    // Writing to a String cannot fail.
    let _ = write!(text, "{epoch}:{day}:");
    for (index, offset) in offsets.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(text, "{comma}{offset}");
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::new();
        write_position(&mut text, &self.epoch, self.day, &self.offsets);
        f.write_str(&text)
    }
}

/// A short name of a log from its cluster's id (FNV-1a, in hexadecimal): equal on all replicas.
pub(crate) fn epoch_of(cluster: &str, topic: &str, partitions: usize) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let count = partitions.to_string();
    for byte in [cluster, "\0", topic, "\0", &count]
        .iter()
        .flat_map(|part| part.bytes())
    {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{:08x}", (hash >> 32) ^ (hash & 0xffff_ffff))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_is_written() {
        let text = "a1:2026-11-23:0,17,9";
        let position = Position::parse(text).expect("a position");
        assert_eq!(position.offsets, [0, 17, 9]);
        assert_eq!(position.to_string(), text);
    }

    #[test]
    fn what_is_no_position_is_none() {
        for text in [
            "",
            "5",
            "a1:2026-11-23",
            "a1:2026-11-23:",
            "a1:2026-13-23:1",
            ":2026-11-23:1",
            "a\n:2026-11-23:1",
            "a1:2026-11-23:-1",
            "a1:2026-11-23:1,,2",
        ] {
            assert_eq!(Position::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_epoch_tells_logs_apart() {
        assert_eq!(epoch_of("c", "t", 3), epoch_of("c", "t", 3));
        assert_ne!(epoch_of("c", "t", 3), epoch_of("d", "t", 3));
        assert_ne!(epoch_of("c", "t", 3), epoch_of("c", "t", 4));
    }
}
