//! Names on the wire (DESIGN §5): queues, topics, fields and headers that parts meet by.

/// The embedded queue manager.
pub const QUEUE_MANAGER: &str = "DAYBOOK";
/// Queue the gateway puts translated transactions to.
pub const QUEUE_TRANSACTIONS: &str = "DAYBOOK.TRANSACTIONS";
/// Queue for messages that were backed out too often.
pub const QUEUE_BACKOUT: &str = "DAYBOOK.BACKOUT";
/// Queue for requests and records the gateway refused, with their reason.
pub const QUEUE_QUARANTINE: &str = "DAYBOOK.QUARANTINE";
/// Queue for checks.
pub const QUEUE_TEST: &str = "DAYBOOK.TEST";
/// Opening it makes a temporary queue, for instance for replies.
pub const QUEUE_MODEL: &str = "SYSTEM.DEFAULT.MODEL.QUEUE";
/// The queue manager's model for the queues of subscriptions.
pub const QUEUE_MODEL_SUBSCRIPTIONS: &str = "SYSTEM.NDURABLE.MODEL.QUEUE";
/// Server-connection channel.
pub const QUEUE_CHANNEL: &str = "DAYBOOK.SVRCONN";

/// Topic of the transactions; record key is the account.
pub const TOPIC_TRANSACTIONS: &str = "transactions";
/// Topic of records refused behind the gateway, with their reason.
pub const TOPIC_QUARANTINE: &str = "__daybook_quarantine";
/// Compacted topic with the generation of each aggregation.
pub const TOPIC_CONTROL: &str = "__daybook_control";
/// Id log of the connector: which messages are already in Kafka.
pub const TOPIC_DELIVERED: &str = "__daybook_delivered";
/// Messages that the connector took for ones that it had delivered, though nothing proves it.
pub const TOPIC_DISCARDED: &str = "__daybook_discarded";

/// What each day's rows came to, minute by minute, for the page; written by any web server.
pub const TOPIC_CURVE: &str = "__daybook_curve";
/// What operators did to refused records; its key is the record.
pub const TOPIC_AUDIT: &str = "__daybook_audit";

/// Changelog topic of an aggregation's state.
pub fn topic_state(aggregation: &str) -> String {
    format!("__daybook_state_{aggregation}")
}

/// Internal topic of an aggregation whose GROUP BY lacks the stream's key: what each batch of a partition adds to each row.
pub fn topic_parts(aggregation: &str, generation: u32) -> String {
    format!("__daybook_parts_{aggregation}_{generation}")
}

/// Internal topic of an aggregation that Spark adds up: what each record that counts brings to its row.
pub fn topic_counted(aggregation: &str, generation: u32) -> String {
    format!("__daybook_counted_{aggregation}_{generation}")
}

/// Internal topic that Spark writes: rows as they are after each of its batches.
pub fn topic_spark(aggregation: &str, generation: u32) -> String {
    format!("__daybook_spark_{aggregation}_{generation}")
}

/// Changelog topic of the totals of such an aggregation, or of one that Spark adds up.
pub fn topic_totals(aggregation: &str, generation: u32) -> String {
    format!("__daybook_totals_{aggregation}_{generation}")
}

/// Generation of a [`topic_totals`] of this aggregation; `None` for any other topic.
pub fn generation_of_totals(aggregation: &str, topic: &str) -> Option<u32> {
    let generation = topic.rsplit_once('_')?.1.parse().ok()?;
    (topic == topic_totals(aggregation, generation)).then_some(generation)
}

/// Header and property: the transaction's id within its source.
pub const HEADER_ID: &str = "id";
/// Header and property: the source it came through.
pub const HEADER_SOURCE: &str = "source";
/// Header and property: W3C trace context.
pub const HEADER_TRACEPARENT: &str = "traceparent";
/// Header and property: gateway clock when the request was read, microseconds since 1970.
pub const HEADER_RECEIVED_AT: &str = "received_at";

/// Fields of the canonical JSON object (DESIGN §3).
pub mod field {
    /// Identity within the source, stable over retries.
    pub const ID: &str = "id";
    /// Configured source.
    pub const SOURCE: &str = "source";
    /// Default grouping key and Kafka record key.
    pub const ACCOUNT: &str = "account";
    /// Exact signed decimal string in major units.
    pub const AMOUNT: &str = "amount";
    /// ISO 4217 code.
    pub const CURRENCY: &str = "currency";
    /// Event time, RFC 3339 with offset.
    pub const BOOKED_AT: &str = "booked_at";
    /// Gateway clock, RFC 3339 with microseconds.
    pub const RECEIVED_AT: &str = "received_at";
    /// Id of the transaction it takes back; optional.
    pub const REVERSES: &str = "reverses";
}

/// Ports, before `--port-offset` (DESIGN §5).
pub mod port {
    /// Page and API.
    pub const WEB: u16 = 8080;
    /// Gateway.
    pub const GATEWAY: u16 = 8081;
    /// IBM MQ's client channel protocol.
    pub const MQ: u16 = 1414;
    /// Kafka protocol.
    pub const KAFKA: u16 = 9092;
    /// Kafka Connect's REST API.
    pub const CONNECT: u16 = 8083;
    /// PostgreSQL's protocol, of queries.
    pub const POSTGRES: u16 = 5433;
    /// Health and metrics.
    pub const ADMIN: u16 = 9190;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_of_totals_says_whose_and_of_which_generation_it_is() {
        assert_eq!(generation_of_totals("a", &topic_totals("a", 12)), Some(12));
        // Of an aggregation whose name looks like another one's topic.
        assert_eq!(generation_of_totals("a", &topic_totals("a_1", 2)), None);
        assert_eq!(
            generation_of_totals("a_1", &topic_totals("a_1", 2)),
            Some(2)
        );
        assert_eq!(generation_of_totals("a", "transactions"), None);
        assert_eq!(generation_of_totals("a", "__daybook_totals_a_012"), None);
    }
}
