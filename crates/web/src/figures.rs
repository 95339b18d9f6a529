//! All that is known of one hop: its counters, and the meters that belong to it.

use std::collections::BTreeMap;

use telemetry::{HopSnapshot, Telemetry};

use crate::api::{Figure, HopDetail};

/// Whose meter one is, by the beginning of its name.
const OWNERS: [(&str, &[&str]); 9] = [
    ("gateway", &["gateway_"]),
    ("queue", &["queue_", "mq_"]),
    ("connector", &["connect"]),
    ("aggregator", &["aggregation_", "aggregator_", "spark_"]),
    ("sink", &["sink_", "store_", "cassandra_"]),
    ("web", &["web_"]),
    // Beside the path.
    ("log", &["log_"]),
    ("store", &["store_", "cassandra_"]),
    ("postgres", &["postgres_"]),
];

/// What the beginnings of names mean.
const HELP: [(&str, &str); 28] = [
    ("records_in_total", "Records that came in"),
    ("records_out_total", "Records passed on, durably"),
    ("batches_total", "Batches they were passed on in"),
    ("duplicates_total", "Records known already"),
    ("quarantined_total", "Records set aside with a reason"),
    ("lag_records", "Records that wait in front of the hop"),
    ("queue_depth", "Messages in the queue"),
    ("queue_bytes", "Their bytes"),
    ("queue_log_bytes", "Bytes of the queues' log on disk"),
    ("gateway_requests_total", "Requests"),
    ("gateway_accepted_total", "Records accepted"),
    ("gateway_refused_total", "Records refused"),
    ("log_groups", "Groups of consumers"),
    ("log_group_members", "Consumers in them"),
    ("log_connections", "Connections"),
    ("log_open_transactions", "Transactions that are open"),
    ("log_topic_records_total", "Offsets given out in the topic"),
    ("log_bytes", "Bytes on disk"),
    ("log_storage_failed", "Whether writing to disk has failed"),
    (
        "aggregation_spark_running",
        "Whether the query in Spark runs",
    ),
    (
        "aggregation_spark_batch_ms",
        "How long its last batch took, in ms",
    ),
    ("aggregation_spark_batch", "Its last batch"),
    (
        "aggregation_spark_records_in_per_second",
        "Records a second that it reads",
    ),
    (
        "aggregation_spark_records_done_per_second",
        "Records a second that it does",
    ),
    ("aggregation_spark_state_rows", "Rows in its state"),
    (
        "aggregation_spark_silent_seconds",
        "Since when it has said nothing, in s",
    ),
    (
        "web_clients_cut_total",
        "Browsers cut because they accepted nothing",
    ),
    ("web_clients", "Browsers that follow a stream"),
];

/// `None`: there is no such hop.
pub(crate) fn of_hop(telemetry: &Telemetry, hop: &str) -> Option<HopDetail> {
    let hops = telemetry.snapshot();
    let known = hops.iter().find(|(name, _)| *name == hop);
    let owned = OWNERS.iter().find(|(name, _)| *name == hop);
    let own = known.map(|(_, snapshot)| own_figures(snapshot));
    let beginnings = owned.map_or(&[][..], |(_, beginnings)| beginnings);
    if own.is_none() && owned.is_none() {
        return None;
    }
    let ours = |name: &str| {
        beginnings
            .iter()
            .any(|beginning| name.starts_with(beginning))
    };
    let meters = telemetry.meters().into_iter();
    let meters = meters.filter(|(name, ..)| ours(name));
    let meters = meters.map(|(name, labels, value)| figure(name, labels_of(&labels), value));
    let mut figures = own.unwrap_or_default();
    figures.extend(meters);
    Some(HopDetail {
        hop: hop.to_owned(),
        figures,
    })
}

fn own_figures(hop: &HopSnapshot) -> Vec<Figure> {
    let figures = [
        ("records_in_total", hop.records_in.cast_signed()),
        ("records_out_total", hop.records_out.cast_signed()),
        ("batches_total", hop.batches.cast_signed()),
        ("duplicates_total", hop.duplicates.cast_signed()),
        ("quarantined_total", hop.quarantined.cast_signed()),
        ("lag_records", hop.lag),
    ];
    let own = |(name, value): (&str, i64)| figure(name.to_owned(), BTreeMap::new(), value);
    figures.map(own).into()
}

fn figure(name: String, labels: BTreeMap<String, String>, value: i64) -> Figure {
    let known = HELP.iter().find(|(known, _)| *known == name);
    let help = match known {
        Some((_, help)) => (*help).to_owned(),
        // Names are words.
        None => name.trim_end_matches("_total").replace('_', " "),
    };
    Figure {
        name,
        labels,
        value: value as f64,
        help,
    }
}

/// Labels as Prometheus has them: `a="1",b="2"`, with `\\` before quotes and itself.
fn labels_of(text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut escaped = false;
        let mut end = after.len();
        for (at, c) in after.char_indices() {
            match (escaped, c) {
                (false, '\\') => escaped = true,
                (false, '"') => {
                    end = at;
                    break;
                }
                _ => {
                    value.push(c);
                    escaped = false;
                }
            }
        }
        labels.insert(name.to_owned(), value);
        rest = after
            .get(end + 1..)
            .unwrap_or_default()
            .trim_start_matches(',');
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hop_has_its_counters_and_the_meters_that_are_its_own() {
        let telemetry = Telemetry::default();
        telemetry.hop("queue").add_in(3);
        telemetry
            .meter("queue_depth", "queue=\"A \\\"B\\\"\",x=\"1\"")
            .set(7);
        telemetry.meter("log_groups", "").set(2);
        let queue = of_hop(&telemetry, "queue").expect("there is one");
        let shown: Vec<String> = queue
            .figures
            .iter()
            .map(|figure| {
                format!(
                    "{} {:?} {} {}",
                    figure.name, figure.labels, figure.value, figure.help
                )
            })
            .collect();
        assert_eq!(shown[0], "records_in_total {} 3 Records that came in");
        let depth =
            "queue_depth {\"queue\": \"A \\\"B\\\"\", \"x\": \"1\"} 7 Messages in the queue";
        assert_eq!((shown.len(), &*shown[6]), (7, depth));
        assert_eq!(
            of_hop(&telemetry, "log")
                .expect("beside the path")
                .figures
                .len(),
            1
        );
        assert_eq!(of_hop(&telemetry, "nothing"), None);
    }
}
