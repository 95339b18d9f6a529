//! What a process needs of the log before it counts: the definition in force, and the topics of the second stage.

use kafka_client::{ClientError, Cluster, TopicSpec, TransactionalProducer};
use rdkafka::message::Message as _;
use tracing::info;
use types::names;

use crate::control::{Control, Decision, decide, parse_control};
use crate::error::ServiceError;
use crate::options::{AggregationOptions, Definition, EngineKind, fingerprint};

/// How long parts are kept, in milliseconds: they are needed until they are folded. One that was missed is an error, not silence.
const PARTS_KEPT_MS: i64 = 31 * DAY_MS;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// Internal topics of an aggregation.
pub(crate) struct Topics {
    pub(crate) state: String,
    /// What the second stage reads: of the first one, or of Spark.
    pub(crate) parts: String,
    /// What Spark reads.
    pub(crate) counted: String,
    pub(crate) totals: String,
}

impl Topics {
    pub(crate) fn new(options: &AggregationOptions, generation: u32) -> Self {
        let name = &options.name;
        Self {
            state: names::topic_state(name),
            parts: match options.engine {
                EngineKind::Native => names::topic_parts(name, generation),
                EngineKind::Spark => names::topic_spark(name, generation),
            },
            counted: names::topic_counted(name, generation),
            totals: names::topic_totals(name, generation),
        }
    }
}

/// Topics of the second stage. Those of older generations stay until somebody deletes them: another process may still use them.
pub(crate) async fn ensure_parts(
    cluster: &Cluster,
    options: &AggregationOptions,
    topics: &Topics,
    partitions: i32,
) -> Result<(), ClientError> {
    let topic = |name: &str, policy: &str, retention_ms: i64| TopicSpec {
        name: name.to_owned(),
        partitions,
        config: vec![
            ("cleanup.policy", policy.to_owned()),
            ("retention.ms", retention_ms.to_string()),
        ],
    };
    let mut wanted = vec![
        topic(&topics.parts, "delete", PARTS_KEPT_MS),
        topic(&topics.totals, "compact", -1),
    ];
    if options.engine == EngineKind::Spark {
        // A query that has lost its checkpoint begins again with all that is kept.
        let kept = options
            .keep_days
            .map_or(-1, |days| i64::from(days) * DAY_MS + PARTS_KEPT_MS);
        wanted.push(topic(&topics.counted, "delete", kept));
    }
    cluster.ensure_topics(&wanted).await
}

/// The definition of an aggregation that is in force; `None` before the first. Blocks.
///
/// # Errors
///
/// [`ClientError::Kafka`] when the log does not answer.
pub fn in_force(cluster: &Cluster, aggregation: &str) -> Result<Option<Control>, ClientError> {
    let consumer = cluster.reader("daybook-control")?;
    let mut newest = None;
    cluster.read_all(&consumer, names::TOPIC_CONTROL, |message| {
        let (key, value) = (message.key(), message.payload());
        let parsed = parse_control(key.unwrap_or_default(), value.unwrap_or_default());
        if let Some((_, control)) = parsed.filter(|(of, _)| of == aggregation) {
            newest = Some(control);
        }
    })?;
    Ok(newest)
}

/// What a process counts by.
#[derive(Debug)]
pub(crate) struct InForce {
    pub(crate) definition: Definition,
    /// Of the input.
    pub(crate) partitions: i32,
    /// Of the results topic.
    pub(crate) results_partitions: i32,
}

/// The definition that this process counts by; a new one is put in force.
pub(crate) fn put_in_force(
    cluster: &Cluster,
    options: &AggregationOptions,
    has_started: bool,
    producer: &TransactionalProducer,
) -> Result<InForce, ServiceError> {
    let name = &options.name;
    let consumer = cluster.reader("daybook-aggregate")?;
    let partitions = cluster.partitions(&consumer, &options.input.topic)?;
    let state_topic = names::topic_state(name);
    let state_partitions = cluster.partitions(&consumer, &state_topic)?;
    let results_partitions = cluster.partitions(&consumer, name)?;
    let in_force = in_force(cluster, name)?;
    let before = in_force.as_ref().map(|control| control.partitions);
    let other = |topic: &str, partitions, before| {
        Err(ServiceError::Partitions {
            name: name.clone(),
            topic: topic.to_owned(),
            partitions,
            before,
        })
    };
    match before {
        Some(before) if before != partitions => {
            return other(&options.input.topic, partitions, before);
        }
        _ if state_partitions < partitions => {
            return other(&state_topic, state_partitions, partitions);
        }
        _ => {}
    }
    let own = fingerprint(options);
    let decision = decide(in_force.as_ref(), &own, !has_started);
    let counting_by = |definition| InForce {
        definition,
        partitions,
        results_partitions,
    };
    let definition = match decision {
        Ok(Decision::Follow(definition)) => return Ok(counting_by(definition)),
        Ok(Decision::Raise(definition)) => definition,
        Err(theirs) => {
            return Err(ServiceError::Replaced {
                name: name.clone(),
                theirs,
            });
        }
    };
    let control = Control {
        generation: definition.generation,
        fingerprint: own,
        partitions,
        sql: options.sql.trim().to_owned(),
        declared: options.declared.clone(),
    };
    // Text and numbers: that cannot fail.
    let value = serde_json::to_vec(&control).unwrap_or_default();
    let wrap = |source| cluster.error("put a definition in force", source);
    producer.begin().map_err(wrap)?;
    producer
        .send(names::TOPIC_CONTROL, name.as_bytes(), Some(&value), None)
        .map_err(wrap)?;
    producer.commit().map_err(wrap)?;
    info!(
        name,
        generation = definition.generation,
        "a definition is in force"
    );
    Ok(counting_by(definition))
}
