//! What the API answers. `page/src/api.ts` says the same in TypeScript; `page/src/api.sample.json`
//! holds one sample of each, and tests on both sides read it.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::ser::SerializeSeq as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, ArrayItems, Object, OneOfBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// `GET /api/v1/aggregations`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: ColumnKind,
}

/// Type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Row {
    /// Values of GROUP BY, `business_day` first.
    pub key: Vec<Option<String>>,
    /// Version: generation and sequence. A row replaces another only if its version is larger.
    pub v: (u32, u64),
    /// Whether the row has left the results. It then has no columns.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// Values of the columns: text or null, and numbers where the column is of kind `int`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(schema_with = cells)]
    pub c: Vec<serde_json::Value>,
}

/// An event without a name on `GET /api/v1/{aggregation}/stream`: rows that changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Frame {
    /// Where the client stood; `null` when the rows are all there are.
    #[schema(required)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Group {
    /// The currency; `null` for rows without one, or where there is no such column.
    #[schema(required)]
    pub name: Option<String>,
    /// Rows.
    pub rows: u64,
    /// In the order of [`Aggregation::sums`]; `null`: no value, or more digits than there are.
    pub sums: Vec<Option<String>>,
}

/// Event `summary`: the sums have changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Heartbeat {
    /// Server clock, microseconds since 1970.
    pub server_time: i64,
    /// How the view stands.
    pub state: State,
    /// How much has been caught up with, in percent.
    pub percent: u8,
    /// Since when it has been stale, microseconds since 1970.
    #[schema(required)]
    pub stale_since: Option<i64>,
    /// Why it is stale.
    #[schema(required)]
    pub reason: Option<String>,
    /// The business day now.
    pub today: String,
    /// From the gateway to what is shown, over the last ten seconds; `null` without transactions.
    #[schema(required)]
    pub latency: Option<Latency>,
}

/// `GET /api/v1/{aggregation}/curve`: what a day came to, minute by minute, on all replicas alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Curve {
    /// Which day.
    pub day: String,
    /// When it begins, microseconds since 1970.
    pub starts_at: i64,
    /// When the next one begins: 23 to 25 hours later, or more over days that are none.
    pub ends_at: i64,
    /// What the sums are of: [`Aggregation::sums`].
    pub columns: Vec<String>,
    /// By currency.
    pub groups: Vec<CurveGroup>,
}

/// The curve of a currency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CurveGroup {
    /// The currency; `null` for rows without one.
    #[schema(required)]
    pub name: Option<String>,
    /// Oldest first; at most one a minute. A minute without one came to the same as the one before.
    pub points: Vec<CurvePoint>,
}

/// `[ms, sum, …]`: the minute's beginning in milliseconds since 1970, and the sums at its end.
#[derive(Debug, Clone, PartialEq)]
pub struct CurvePoint(pub i64, pub Vec<Option<String>>);

fn one_of(types: &[Type]) -> Schema {
    let parts = types.iter().cloned();
    let build = parts.fold(OneOfBuilder::new(), |build, part| {
        build.item(Object::with_type(part))
    });
    Schema::OneOf(build.build())
}

/// An array whose values are of one of these types.
fn array_of(types: &[Type]) -> ArrayBuilder {
    ArrayBuilder::new().items(ArrayItems::RefOrSchema(Box::new(RefOr::T(one_of(types)))))
}

fn cells() -> Schema {
    Schema::Array(array_of(&[Type::String, Type::Integer, Type::Null]).build())
}

impl PartialSchema for CurvePoint {
    fn schema() -> RefOr<Schema> {
        let types = [Type::Integer, Type::String, Type::Null];
        RefOr::T(Schema::Array(array_of(&types).build()))
    }
}

impl ToSchema for CurvePoint {}

impl Serialize for CurvePoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut point = serializer.serialize_seq(Some(self.1.len() + 1))?;
        point.serialize_element(&self.0)?;
        self.1
            .iter()
            .try_for_each(|sum| point.serialize_element(sum))?;
        point.end()
    }
}

impl<'de> Deserialize<'de> for CurvePoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Part {
            At(i64),
            Sum(Option<String>),
        }
        let mut parts = Vec::<Part>::deserialize(deserializer)?.into_iter();
        let Some(Part::At(at)) = parts.next() else {
            return Err(D::Error::custom("a point begins with its time"));
        };
        let sums = parts.map(|part| match part {
            Part::Sum(sum) => Ok(sum),
            Part::At(_) => Err(D::Error::custom("a sum is a text or null")),
        });
        Ok(Self(at, sums.collect::<Result<_, _>>()?))
    }
}

/// `[ms, number]`: the minute's beginning in milliseconds since 1970, and the number at its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesPoint(pub i64, pub String);

impl PartialSchema for SeriesPoint {
    fn schema() -> RefOr<Schema> {
        let parts = [Type::Integer, Type::String];
        let parts = parts.map(|part| Schema::Object(Object::with_type(part)));
        let array = ArrayBuilder::new().items(ArrayItems::False);
        RefOr::T(Schema::Array(array.prefix_items(parts).build()))
    }
}

impl ToSchema for SeriesPoint {}

/// `GET /api/v1/{aggregation}/movers`: rows that changed most, largest change first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Movers {
    /// Over how many minutes.
    pub minutes: u32,
    /// Which column: the first decimal one of [`Aggregation::sums`].
    pub column: String,
    /// When this server's memory of rows begins, milliseconds since 1970: changes are those since then at most.
    #[schema(required)]
    pub since: Option<i64>,
    /// The rows.
    pub rows: Vec<Mover>,
}

/// A row that changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Mover {
    /// As in [`Row`].
    pub key: Vec<Option<String>>,
    /// Its number now.
    #[schema(required)]
    pub now: Option<String>,
    /// Its number then; `null`: there was no such row.
    #[schema(required)]
    pub before: Option<String>,
    /// The difference.
    pub change: String,
}

/// `GET /api/v1/{aggregation}/sparks`: courses of rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Sparks {
    /// Which column.
    pub column: String,
    /// As in [`Movers`].
    #[schema(required)]
    pub since: Option<i64>,
    /// In the order they were asked for; rows that are not there are left out.
    pub sparks: Vec<Spark>,
}

/// The course of a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Spark {
    /// As in [`Row`].
    pub key: Vec<Option<String>>,
    /// Oldest first, at most 64.
    pub points: Vec<SeriesPoint>,
}

/// `GET /api/v1/{aggregation}/key`: all about a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct KeyDetail {
    /// As in [`Row`].
    pub key: Vec<Option<String>>,
    /// The row; `null`: there is none.
    #[schema(required)]
    pub row: Option<Row>,
    /// The business day before.
    pub previous_day: String,
    /// The same row then.
    #[schema(required)]
    pub previous: Option<Row>,
    /// Which column the points are of.
    pub column: String,
    /// As in [`Movers`].
    #[schema(required)]
    pub since: Option<i64>,
    /// Its course, oldest first, at most 64.
    pub points: Vec<SeriesPoint>,
    /// Rows of other aggregations with the same values in all key columns that both have.
    pub others: Vec<OtherRows>,
}

/// Rows of another aggregation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OtherRows {
    /// Which aggregation.
    pub aggregation: String,
    /// At most 50, in the order of their keys.
    pub rows: Vec<Row>,
}

/// Event `reset`: this position cannot be served; take a new snapshot. The stream ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Reset {
    /// Why.
    pub reason: String,
}

/// Event `day`: a new business day has begun, by the clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DayChange {
    /// The day now.
    pub day: String,
    /// The day until now.
    pub previous: String,
}

/// `GET /api/v1/{aggregation}/counts`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CountsOfDays {
    /// Oldest day first.
    pub days: Vec<CountsOfDay>,
}

/// What became of the records of a day. The five add up to `total`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Pipeline {
    /// Server clock, microseconds since 1970.
    pub taken_at: i64,
    /// The hops in path order.
    pub hops: Vec<HopFigures>,
    /// Browsers that follow a stream.
    pub clients: u64,
    /// Browsers cut because they accepted nothing.
    pub clients_cut: u64,
    /// From the gateway to what is shown, over the last ten seconds; `null` without transactions.
    #[schema(required)]
    pub latency: Option<Latency>,
}

/// Figures of a hop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
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
    #[schema(required)]
    pub latency: Option<Latency>,
    /// Records set aside.
    pub quarantined: u64,
    /// Records known already.
    pub duplicates: u64,
    /// Records added to an earlier day, of the days whose counts are kept; other hops than the aggregator say 0.
    pub late: u64,
    /// How long what waits will take at the pace of the last ten seconds; `null`: nothing moves.
    #[schema(required)]
    pub lag_seconds: Option<f64>,
    /// Where the lag has gone within the last ten seconds.
    pub lag_trend: Trend,
    /// How the hop keeps up.
    pub pressure: Pressure,
}

/// Where a number goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trend {
    /// Up.
    Rising,
    /// Down.
    Falling,
    /// Neither.
    Steady,
}

/// How a hop keeps up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pressure {
    /// What comes is done at once.
    Ok,
    /// Something waits a second or more, or more and more.
    Busy,
    /// Something waits ten seconds or more, or nothing moves.
    Behind,
}

/// `GET /api/v1/pipeline/{hop}`: all that is known of a hop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HopDetail {
    /// Which: a hop of [`Pipeline`], or `log`, `store` or `postgres` beside them.
    pub hop: String,
    /// By name.
    pub figures: Vec<Figure>,
}

/// A figure, as it is in the metrics too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Figure {
    /// Its name there, without `daybook_`.
    pub name: String,
    /// Of what.
    pub labels: BTreeMap<String, String>,
    /// The number; a count below 2^53 is exact.
    pub value: f64,
    /// What it means.
    pub help: String,
}

/// Milliseconds since the gateway received a transaction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Latency {
    /// Half are faster.
    pub p50_ms: f64,
    /// 99 % are faster.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

/// `GET /readyz`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Ready {
    /// Whether every aggregation is live.
    pub ready: bool,
    /// One sentence.
    pub message: String,
    /// The least caught up aggregation's percentage.
    pub percent: u8,
}

/// RFC 9457.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
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
        same::<Curve>(&samples, "curve");
        same::<Movers>(&samples, "movers");
        same::<Sparks>(&samples, "sparks");
        same::<KeyDetail>(&samples, "key");
        same::<HopDetail>(&samples, "hop");
        same::<CountsOfDays>(&samples, "counts");
        same::<Pipeline>(&samples, "pipeline");
        same::<Ready>(&samples, "ready");
        same::<Problem>(&samples, "problem");
        // Answers whose types are elsewhere.
        let others = [
            "me",
            "outcome",
            "quarantine",
            "quarantined",
            "trace",
            "transactions",
        ];
        let known = samples.as_object().map(serde_json::Map::len);
        assert_eq!(known, Some(17 + others.len()));
    }
}
