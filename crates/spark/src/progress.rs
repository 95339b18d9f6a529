//! What Spark says of the last batch of a query, as JSON.

use std::collections::BTreeMap;

use serde_json::Value;

/// A batch that has been done: what it read is in the sink.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Number of the batch, from 0. It goes on after a restart from the checkpoint.
    pub batch: i64,
    /// Records that it read.
    pub records: u64,
    /// Records a second that came in.
    pub records_in_per_second: u64,
    /// Records a second that it did.
    pub records_done_per_second: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// Of each partition of the source, the offset of the next record to read.
    pub ends: BTreeMap<i32, i64>,
    /// Rows of Spark's state.
    pub state_rows: u64,
    /// Bytes of it in memory.
    pub state_bytes: u64,
    /// Rows that came behind the watermark and were not added. There must be none: what is late was judged before.
    pub dropped_rows: u64,
}

impl Progress {
    /// Reads the progress of a query with one source and one topic; `None` when it is none.
    pub fn parse(json: &str) -> Option<Self> {
        let whole: Value = serde_json::from_str(json).ok()?;
        let source = whole["sources"].get(0)?;
        // Some releases write it as text.
        let ends = match &source["endOffset"] {
            Value::String(text) => serde_json::from_str(text).ok()?,
            other => other.clone(),
        };
        let topics = ends
            .as_object()
            .into_iter()
            .flat_map(|topics| topics.values());
        let partitions = topics.filter_map(Value::as_object).flatten();
        let ends = partitions.filter_map(|(partition, offset)| {
            Some((partition.parse::<i32>().ok()?, offset.as_i64()?))
        });
        let operators = || whole["stateOperators"].as_array().into_iter().flatten();
        let sum = |name: &str| operators().filter_map(|one| one[name].as_u64()).sum();
        let rate = |value: &Value| {
            value
                .as_f64()
                .map_or(0, |rate| rate.max(0.0).round() as u64)
        };
        Some(Self {
            batch: whole["batchId"].as_i64()?,
            records: source["numInputRows"].as_u64().unwrap_or(0),
            records_in_per_second: rate(&source["inputRowsPerSecond"]),
            records_done_per_second: rate(&source["processedRowsPerSecond"]),
            took_ms: whole["durationMs"]["triggerExecution"]
                .as_u64()
                .unwrap_or(0),
            ends: ends.collect(),
            state_rows: sum("numRowsTotal"),
            state_bytes: sum("memoryUsedBytes"),
            dropped_rows: sum("numRowsDroppedByWatermark"),
        })
    }

    /// Whether everything before these offsets was read.
    pub fn has_reached(&self, ends: &BTreeMap<i32, i64>) -> bool {
        ends.iter().all(|(partition, end)| {
            *end == 0 || self.ends.get(partition).is_some_and(|own| own >= end)
        })
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    const JSON: &str = r#"{
      "id": "a", "runId": "b", "name": "daily_totals", "timestamp": "2026-11-23T10:00:00.000Z", "batchId": 12,
      "durationMs": {"addBatch": 310, "triggerExecution": 412},
      "stateOperators": [{"operatorName": "stateStoreSave", "numRowsTotal": 2000, "numRowsUpdated": 7, "memoryUsedBytes": 90000,
        "numRowsDroppedByWatermark": 0}],
      "sources": [{"description": "KafkaV2[Subscribe[counted]]", "startOffset": null,
        "endOffset": {"counted": {"0": 5, "1": 7}}, "numInputRows": 12, "inputRowsPerSecond": 29.4,
        "processedRowsPerSecond": 31.6}],
      "sink": {"description": "kafka", "numOutputRows": 4}
    }"#;

    #[test]
    fn the_progress_of_a_batch_is_read() {
        expect![[r#"
            Some(
                Progress {
                    batch: 12,
                    records: 12,
                    records_in_per_second: 29,
                    records_done_per_second: 32,
                    took_ms: 412,
                    ends: {
                        0: 5,
                        1: 7,
                    },
                    state_rows: 2000,
                    state_bytes: 90000,
                    dropped_rows: 0,
                },
            )
        "#]]
        .assert_debug_eq(&Progress::parse(JSON));
        let as_text = JSON.replace(
            r#"{"counted": {"0": 5, "1": 7}}"#,
            r#""{\"counted\": {\"0\": 5, \"1\": 7}}""#,
        );
        assert_eq!(Progress::parse(&as_text), Progress::parse(JSON));
        for cut in (0..JSON.len()).filter(|cut| *cut + 1 < JSON.trim_end().len()) {
            assert_eq!(Progress::parse(&JSON[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn it_has_reached_what_lies_before_its_ends() {
        let progress = Progress::parse(JSON).expect("reads");
        let reached = |ends: &[(i32, i64)]| progress.has_reached(&ends.iter().copied().collect());
        assert!(reached(&[(0, 5), (1, 7)]));
        assert!(reached(&[(0, 4), (2, 0)]), "an empty partition");
        assert!(!reached(&[(0, 6)]));
        assert!(!reached(&[(2, 1)]));
    }
}
