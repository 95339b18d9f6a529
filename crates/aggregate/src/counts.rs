//! Records of the topic of counts: what became of the records of an aggregation, by day and partition of its input.
//!
//! ```text
//! key    ["daily_totals","2026-11-23",0]
//! value  {"counted":7,"reversing":0,"duplicate":1,"late_corrected":0,"quarantined":0}
//! ```
//!
//! A partition's counts are told by whoever counts it; the sum over the partitions is the day's.

use types::{BusinessDay, Counts};

/// Compacted topic of the five counts, by aggregation, day and partition.
pub const TOPIC_COUNTS: &str = "__daybook_counts";

/// What counts are of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CountsOf {
    /// Aggregation.
    pub aggregation: String,
    /// Business day.
    pub day: BusinessDay,
    /// Partition of the aggregation's input.
    pub partition: i32,
}

/// Key of a record of [`TOPIC_COUNTS`].
pub fn counts_key(of: &CountsOf) -> String {
    serde_json::json!([of.aggregation, of.day.to_string(), of.partition]).to_string()
}

pub(crate) fn counts_value(counts: &Counts) -> String {
    format!(
        r#"{{"counted":{},"reversing":{},"duplicate":{},"late_corrected":{},"quarantined":{}}}"#,
        counts.counted,
        counts.reversing,
        counts.duplicate,
        counts.late_corrected,
        counts.quarantined
    )
}

/// Reads a record of [`TOPIC_COUNTS`]; `None` when it is not one.
pub fn parse_counts(key: &[u8], value: &[u8]) -> Option<(CountsOf, Counts)> {
    let (aggregation, day, partition): (String, String, i32) = serde_json::from_slice(key).ok()?;
    let value: serde_json::Value = serde_json::from_slice(value).ok()?;
    let count = |name: &str| value.get(name)?.as_u64();
    let counts = Counts {
        counted: count("counted")?,
        reversing: count("reversing")?,
        duplicate: count("duplicate")?,
        late_corrected: count("late_corrected")?,
        quarantined: count("quarantined")?,
    };
    let of = CountsOf {
        aggregation,
        day: day.parse().ok()?,
        partition,
    };
    Some((of, counts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_come_back_and_others_are_not_counts() {
        let of = CountsOf {
            aggregation: "a \"b\"".to_owned(),
            day: "2026-11-23".parse().expect("a day"),
            partition: 3,
        };
        let counts = Counts {
            counted: 1,
            reversing: 2,
            duplicate: 3,
            late_corrected: 4,
            quarantined: 5,
        };
        let (key, value) = (counts_key(&of), counts_value(&counts));
        let parsed = parse_counts(key.as_bytes(), value.as_bytes());
        assert_eq!(parsed, Some((of, counts)));
        assert_eq!(
            parse_counts(br#"["a","2026-11-23"]"#, value.as_bytes()),
            None
        );
        assert_eq!(parse_counts(key.as_bytes(), b"{}"), None);
    }
}
