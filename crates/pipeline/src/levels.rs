//! Levels and counts that parts keep for themselves, copied into the metrics over and over.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gateway::GatewayMetrics;
use kafka_broker::{BrokerStats, BrokerWatch};
use queue_manager::QueueManager;
use telemetry::Telemetry;
use tokio_util::sync::CancellationToken;
use types::names;

/// How often they are read.
const LEVELS_INTERVAL: Duration = Duration::from_millis(500);

/// Depth and bytes of every queue, and what went through the one of the transactions.
pub(crate) async fn watch_queue(
    queue: QueueManager,
    telemetry: Arc<Telemetry>,
    stop: CancellationToken,
) {
    let hop = telemetry.hop("queue");
    let (mut puts, mut gets) = (0, 0);
    while tokio::time::timeout(LEVELS_INTERVAL, stop.cancelled())
        .await
        .is_err()
    {
        for status in queue.status() {
            let label = format!("queue=\"{}\"", status.name);
            let level = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
            telemetry
                .meter("queue_depth", &label)
                .set(level(status.depth));
            telemetry
                .meter("queue_bytes", &label)
                .set(level(status.bytes));
            if status.name == names::QUEUE_TRANSACTIONS {
                hop.set_lag(level(status.depth));
                hop.add_in(status.puts_total - puts);
                if status.gets_total > gets {
                    hop.add_out(status.gets_total - gets);
                }
                (puts, gets) = (status.puts_total, status.gets_total);
            }
        }
        telemetry
            .meter("queue_log_bytes", "")
            .set(queue.log_bytes().cast_signed());
    }
}

/// What the embedded log counts.
pub(crate) async fn watch_broker(
    broker: BrokerWatch,
    telemetry: Arc<Telemetry>,
    stop: CancellationToken,
) {
    while tokio::time::timeout(LEVELS_INTERVAL, stop.cancelled())
        .await
        .is_err()
    {
        let Some(stats) = broker.stats() else { return };
        publish_broker(&stats, &telemetry);
    }
}

fn publish_broker(stats: &BrokerStats, telemetry: &Telemetry) {
    let set = |name: &str, label: &str, value: u64| {
        telemetry.meter(name, label).set(value.cast_signed());
    };
    set("log_produced_records_total", "", stats.produced_records);
    set("log_produced_bytes_total", "", stats.produced_bytes);
    set("log_fetched_records_total", "", stats.fetched_records);
    set("log_fetched_bytes_total", "", stats.fetched_bytes);
    for (api, count) in stats
        .requests_by_api
        .iter()
        .filter(|(_, count)| **count > 0)
    {
        set("log_requests_total", &format!("api=\"{api}\""), *count);
    }
    set("log_connections", "", stats.connections as u64);
    set(
        "log_connections_refused_total",
        "",
        stats.connections_refused,
    );
    set(
        "log_authentications_refused_total",
        "",
        stats.authentications_refused,
    );
    set("log_groups", "", stats.groups as u64);
    set("log_group_members", "", stats.group_members as u64);
    set("log_transactional_ids", "", stats.transactional_ids as u64);
    set("log_open_transactions", "", stats.open_transactions as u64);
    set("log_checkpoints_total", "", stats.checkpoints);
    set("log_compactions_total", "", stats.compactions);
    set("log_journal_bytes", "", stats.journal_bytes);
    set("log_bytes", "", stats.log_bytes);
    set("log_storage_failed", "", u64::from(stats.storage_failed));
    for (topic, ends) in &stats.end_offsets {
        // Topics are bounded by the broker; partitions are added up, so that a topic is one line.
        let ends: i64 = ends.iter().sum();
        let label = format!("topic=\"{topic}\"");
        set("log_topic_records_total", &label, ends.cast_unsigned());
    }
}

/// Copies the gateway's own counts into the metrics, over and over.
pub(crate) async fn publish_gateway(
    metrics: Arc<GatewayMetrics>,
    telemetry: Arc<Telemetry>,
    stop: CancellationToken,
) {
    let hop = telemetry.hop("gateway");
    let mut records_before = 0;
    while tokio::time::timeout(LEVELS_INTERVAL, stop.cancelled())
        .await
        .is_err()
    {
        let mut records = 0;
        for source in metrics.sources() {
            let label = format!("source=\"{}\"", source.source);
            let set =
                |name: &str, value: u64| telemetry.meter(name, &label).set(value.cast_signed());
            set(
                "gateway_requests_total",
                source.requests.load(Ordering::Relaxed),
            );
            set(
                "gateway_accepted_total",
                source.accepted.load(Ordering::Relaxed),
            );
            set(
                "gateway_refused_total",
                source.refused.load(Ordering::Relaxed),
            );
            set(
                "gateway_quarantined_total",
                source.quarantined.load(Ordering::Relaxed),
            );
            records += source.records.load(Ordering::Relaxed);
        }
        for (rule, count) in metrics.refused_by_rule() {
            if count > 0 {
                let label = format!("rule=\"{rule}\"");
                telemetry
                    .meter("gateway_refused_by_rule_total", &label)
                    .set(count.cast_signed());
            }
        }
        for client in &metrics.clients {
            let label = format!("client={:?}", client.client);
            let set =
                |name: &str, value: u64| telemetry.meter(name, &label).set(value.cast_signed());
            set(
                "gateway_client_requests_total",
                client.requests.load(Ordering::Relaxed),
            );
            set(
                "gateway_client_accepted_total",
                client.accepted.load(Ordering::Relaxed),
            );
            set(
                "gateway_client_refused_total",
                client.refused.load(Ordering::Relaxed),
            );
            set(
                "gateway_client_limited_total",
                client.limited.load(Ordering::Relaxed),
            );
        }
        for (name, count) in [
            ("gateway_unauthenticated_total", &metrics.unauthenticated),
            ("gateway_unframed_total", &metrics.unframed),
            (
                "gateway_connections_refused_total",
                &metrics.connections_refused,
            ),
            ("gateway_connections_cut_total", &metrics.connections_cut),
            (
                "gateway_probes_passed_over_total",
                &metrics.probes_passed_over,
            ),
        ] {
            let count = count.load(Ordering::Relaxed);
            telemetry.meter(name, "").set(count.cast_signed());
        }
        let retry_later = metrics.retry_later.load(Ordering::Relaxed);
        telemetry
            .meter("gateway_retry_later_total", "")
            .set(retry_later.cast_signed());
        hop.add_in(records - records_before);
        records_before = records;
    }
}
