//! Topics of the log that Daybook makes at its start.

use std::collections::BTreeMap;

use aggregate::TOPIC_COUNTS;
use kafka_client::{ClientError, Cluster, TopicSpec};
use types::names;

use crate::check::Plan;
use crate::config::Place;
use crate::start::{StartError, failed};

/// Days that the days' curves are kept.
const CURVE_KEPT_DAYS: i64 = 9;

/// Makes the topics that are missing: what is counted first, for the state of an aggregation has as many partitions.
pub(crate) async fn ensure(plan: &Plan, cluster: &Cluster) -> Result<(), StartError> {
    let partitions = plan.config.log.partitions;
    let mut inputs = vec![names::TOPIC_TRANSACTIONS];
    for options in plan.aggregations() {
        let topic = options.input.topic.as_str();
        if !inputs.contains(&topic) {
            inputs.push(topic);
        }
    }
    let new = inputs.iter().map(|name| topic(name, partitions, "delete"));
    let new = kept(plan, new.collect());
    cluster.ensure_topics(&new).await.map_err(failed("log"))?;
    let asked = cluster.clone();
    let names: Vec<String> = inputs.into_iter().map(str::to_owned).collect();
    let counts = tokio::task::spawn_blocking(move || {
        let consumer = asked.reader("daybook-start")?;
        let counts = names.into_iter().map(|name| {
            let partitions = asked.partitions(&consumer, &name)?;
            Ok((name, partitions))
        });
        counts.collect::<Result<BTreeMap<String, i32>, ClientError>>()
    });
    let counts = counts
        .await
        .map_err(failed("log"))?
        .map_err(failed("log"))?;
    let further = kept(plan, topics(plan, &counts));
    cluster.ensure_topics(&further).await.map_err(failed("log"))
}

fn topic(name: &str, partitions: i32, policy: &str) -> TopicSpec {
    TopicSpec {
        name: name.to_owned(),
        partitions,
        config: vec![("cleanup.policy", policy.to_owned())],
    }
}

/// `partitions`: of each topic that is counted.
fn topics(plan: &Plan, partitions: &BTreeMap<String, i32>) -> Vec<TopicSpec> {
    let mut topics = vec![
        topic(names::TOPIC_DELIVERED, 1, "delete"),
        topic(names::TOPIC_DISCARDED, 1, "delete"),
        topic(names::TOPIC_QUARANTINE, 1, "delete"),
        topic(TOPIC_COUNTS, 1, "compact"),
        topic(names::TOPIC_CONTROL, 1, "compact"),
        topic(names::TOPIC_AUDIT, 1, "delete"),
        topic(names::TOPIC_CURVE, 1, "compact,delete"),
    ];
    for options in plan.aggregations() {
        let of_results = plan.config.log.partitions;
        topics.push(topic(&options.name, of_results, "compact,delete"));
        let of_input = partitions.get(&options.input.topic);
        let of_state = of_input.copied().unwrap_or(of_results);
        topics.push(topic(
            &names::topic_state(&options.name),
            of_state,
            "compact",
        ));
    }
    topics
}

/// With settings by which nothing is lost.
fn kept(plan: &Plan, mut topics: Vec<TopicSpec>) -> Vec<TopicSpec> {
    // The log is the source of truth here and forgets nothing by itself: who wants it to alters the topics' settings.
    let in_sync = plan.config.log.in_sync_replicas_min;
    for topic in &mut topics {
        let retention = match topic.name == names::TOPIC_CURVE {
            // The page compares with the same day last week; nothing is counted from this.
            true => CURVE_KEPT_DAYS * 86_400_000,
            false => -1,
        };
        topic.config.push(("retention.ms", retention.to_string()));
        if plan.config.log.place == Place::External {
            topic
                .config
                .push(("min.insync.replicas", in_sync.to_string()));
        }
    }
    topics
}
