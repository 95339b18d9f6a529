//! What the API answers. `page/src/api.ts` says the same in TypeScript; `page/src/api.sample.json`
//! holds one sample of each, and tests on both sides read it.

use serde::{Deserialize, Serialize};

/// `GET /api/v1/aggregations`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Aggregations {
    /// All there are.
    pub aggregations: Vec<Aggregation>,
    /// Whether the traffic is made up.
    pub demo: bool,
    /// Base address of the gateway.
    pub gateway_url: String,
    /// Version of the server.
    pub version: String,
}

/// An aggregation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Aggregation {
    /// Its name.
    pub name: String,
    /// Its columns, in the order of a row's `c`.
    pub columns: Vec<Column>,
    /// Names of the parts of a row's `key`, `business_day` first.
    pub keys: Vec<String>,
    /// Columns that may be added over rows.
    pub sums: Vec<String>,
    /// Time zone of its business day.
    pub zone: String,
    /// Its business day now.
    pub today: String,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: ColumnKind,
}

/// Type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// Text, or null.
    Text,
    /// An exact decimal as a string, or null.
    Decimal,
    /// A whole number, or null.
    Int,
}

/// `GET /api/v1/{aggregation}/snapshot`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Which aggregation.
    pub aggregation: String,
    /// Whose rows.
    pub day: String,
    /// Whether a stream tells changes of this day; otherwise the rows are the store's.
    pub live: bool,
    /// Where a stream goes on from here.
    pub position: String,
    /// Server clock, microseconds since 1970.
    pub taken_at: i64,
    /// The rows, in no order.
    pub rows: Vec<Row>,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Values of GROUP BY, `business_day` first.
    pub key: Vec<Option<String>>,
    /// Version: generation and sequence. A row replaces another only if its version is larger.
    pub v: (u32, u64),
    /// Whether the row has left the results. It then has no columns.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// Values of the columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub c: Vec<serde_json::Value>,
}

/// An event without a name on `GET /api/v1/{aggregation}/stream`: rows that changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// Where the client stood; `null` when the rows are all there are.
    pub prev: Option<String>,
    /// Where it stands now. Also the event's `id`.
    pub pos: String,
    /// Whose rows.
    pub day: String,
    /// Server clock when it was encoded, microseconds since 1970.
    pub sent_at: i64,
    /// The rows.
    pub rows: Vec<Row>,
}

/// `GET /api/v1/{aggregation}/window`, and event `window` on the stream: a stretch of the day's rows in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Which aggregation.
    pub aggregation: String,
    /// Whose rows.
    pub day: String,
    /// Whether a stream tells changes of this day; otherwise the rows are the store's.
    pub live: bool,
    /// What has been read when this was made. Also the event's `id`.
    pub position: String,
    /// Server clock, microseconds since 1970.
    pub taken_at: i64,
    /// Rows of the day.
    pub size: u64,
    /// Rows that match `q` and `where`.
    pub matching: u64,
    /// Exact sums over the matching rows, by currency where there is such a column; most rows first.
    pub groups: Vec<Group>,
    /// Place of the first row among the matching ones.
    pub from: u64,
    /// The rows, in order.
    pub rows: Vec<Row>,
    /// The pinned rows that there are, in the order they were asked for.
    pub pinned: Vec<Row>,
}

/// What rows of one currency add up to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The currency; `null` for rows without one, or where there is no such column.
    pub name: Option<String>,
    /// Rows.
    pub rows: u64,
    /// In the order of [`Aggregation::sums`]; `null`: no value, or more digits than there are.
    pub sums: Vec<Option<String>>,
}

/// Event `summary`: the sums have changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Whose rows.
    pub day: String,
    /// Rows of the day.
    pub size: u64,
    /// Rows that match `q` and `where`.
    pub matching: u64,
    /// As in [`Window`].
    pub groups: Vec<Group>,
    /// Server clock when it was encoded, microseconds since 1970.
    pub sent_at: i64,
}

/// How the view of an aggregation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The rows are those of the log's end.
    Live,
    /// The log is being read up to its end as seen at start.
    CatchingUp,
    /// The log or the store cannot be read at the moment.
    Stale,
}

/// Event `heartbeat`: at least every 5 s.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Server clock, microseconds since 1970.
    pub server_time: i64,
    /// How the view stands.
    pub state: State,
    /// How much has been caught up with, in percent.
    pub percent: u8,
    /// Since when it has been stale, microseconds since 1970.
    pub stale_since: Option<i64>,
    /// Why it is stale.
    pub reason: Option<String>,
    /// The business day now.
    pub today: String,
}

/// Event `reset`: this position cannot be served; take a new snapshot. The stream ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reset {
    /// Why.
    pub reason: String,
}

/// Event `day`: a new business day has begun, by the clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DayChange {
    /// The day now.
    pub day: String,
    /// The day until now.
    pub previous: String,
}

/// `GET /api/v1/{aggregation}/counts`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CountsOfDays {
    /// Oldest day first.
    pub days: Vec<CountsOfDay>,
}

/// What became of the records of a day. The five add up to `total`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CountsOfDay {
    /// Which day.
    pub day: String,
    /// Added to their own, current day.
    pub counted: u64,
    /// Added, taking an earlier one back.
    pub reversing: u64,
    /// Known already; not added.
    pub duplicate: u64,
    /// Added to an earlier day.
    pub late_corrected: u64,
    /// Set aside with a reason; not added.
    pub quarantined: u64,
    /// All of them.
    pub total: u64,
}

/// `GET /api/v1/pipeline`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Pipeline {
    /// Server clock, microseconds since 1970.
    pub taken_at: i64,
    /// The hops in path order.
    pub hops: Vec<HopFigures>,
    /// Browsers that follow a stream.
    pub clients: u64,
    /// Browsers cut because they accepted nothing.
    pub clients_cut: u64,
}

/// Figures of a hop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HopFigures {
    /// Its name.
    pub name: String,
    /// Records out per second, over the last seconds.
    pub rate: f64,
    /// Records in, since the process began.
    pub records_in: u64,
    /// Records out, since the process began.
    pub records_out: u64,
    /// Records that wait in front of it.
    pub lag: i64,
    /// Time since the gateway received them, over the last ten seconds; `null` without records.
    pub latency: Option<Latency>,
    /// Records set aside.
    pub quarantined: u64,
    /// Records known already.
    pub duplicates: u64,
}

/// Milliseconds since the gateway received a transaction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Half are faster.
    pub p50_ms: f64,
    /// 99 % are faster.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

/// `GET /readyz`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ready {
    /// Whether every aggregation is live.
    pub ready: bool,
    /// One sentence.
    pub message: String,
    /// The least caught up aggregation's percentage.
    pub percent: u8,
}

/// RFC 9457.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// Kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same in words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What exactly.
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::DeserializeOwned;
    use serde_json::Value;

    fn same<T: Serialize + DeserializeOwned>(samples: &Value, name: &str) {
        let sample = &samples[name];
        let read: T = serde_json::from_value(sample.clone()).expect(name);
        let written = serde_json::to_value(&read).expect(name);
        assert_eq!(&written, sample, "{name} of page/src/api.sample.json");
    }

    #[test]
    fn the_samples_of_the_page_are_what_is_served() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../page/src/api.sample.json"
        );
        let text = std::fs::read_to_string(path).expect("the samples are there");
        let samples: Value = serde_json::from_str(&text).expect("the samples are JSON");
        same::<Aggregations>(&samples, "aggregations");
        same::<Snapshot>(&samples, "snapshot");
        same::<Frame>(&samples, "frame");
        same::<Window>(&samples, "window");
        same::<Summary>(&samples, "summary");
        same::<Heartbeat>(&samples, "heartbeat");
        same::<Reset>(&samples, "reset");
        same::<DayChange>(&samples, "day");
        same::<CountsOfDays>(&samples, "counts");
        same::<Pipeline>(&samples, "pipeline");
        same::<Ready>(&samples, "ready");
        same::<Problem>(&samples, "problem");
        assert_eq!(samples.as_object().map(serde_json::Map::len), Some(12));
    }
}
