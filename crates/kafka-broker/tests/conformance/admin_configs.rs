//! Settings of topics: describing and altering.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError as E;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::{
    AlterConfigsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest,
    alter_configs_request, incremental_alter_configs_request,
};

use crate::support::raw::{NOBODY, Raw, batch, text};
use crate::{Target, eventually, unique};

const TOPIC: i8 = 2;
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;
/// The topic's own setting.
const OWN: i8 = 1;

/// By name: value, and whether it is the topic's own.
async fn describe(
    raw: &mut Raw,
    topic: &str,
    keys: Option<&[&str]>,
) -> (i16, BTreeMap<String, (String, bool)>) {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(topic))
        .with_configuration_keys(keys.map(|keys| keys.iter().map(|key| text(key)).collect()));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let found = raw.call(4, request).await.results.remove(0);
    let configs = found.configs.into_iter().map(|config| {
        let value = config.value.unwrap_or_default().to_string();
        (
            config.name.to_string(),
            (value, config.config_source == OWN),
        )
    });
    (found.error_code, configs.collect())
}

async fn alter(raw: &mut Raw, topic: &str, changes: &[(&str, i8, Option<&str>)]) -> i16 {
    let configs = changes.iter().map(|(name, operation, value)| {
        incremental_alter_configs_request::AlterableConfig::default()
            .with_name(text(name))
            .with_config_operation(*operation)
            .with_value(value.map(text))
    });
    let resource = incremental_alter_configs_request::AlterConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(topic))
        .with_configs(configs.collect());
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    raw.call(1, request).await.responses[0].error_code
}

/// Waits for a setting's value: a cluster's brokers learn of it a moment later.
async fn becomes(target: &Target, topic: &str, key: &str, value: &str, own: bool) {
    let expected = (value.to_owned(), own);
    eventually(async || {
        let (code, configs) = describe(&mut target.raw().await, topic, None).await;
        (code == 0 && configs.get(key) == Some(&expected)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn settings_are_the_topics_own_or_defaults() {
    let target = Target::new().await;
    let own = [("retention.ms", "12345"), ("cleanup.policy", "compact")];
    let topic = target.topic(1, &own).await;
    let mut raw = target.raw().await;
    let (code, all) = describe(&mut raw, &topic, None).await;
    assert_eq!(code, 0);
    assert_eq!(all["retention.ms"], ("12345".to_owned(), true));
    assert_eq!(all["cleanup.policy"], ("compact".to_owned(), true));
    for (key, value) in [
        ("compression.type", "producer"),
        ("delete.retention.ms", "86400000"),
        ("max.compaction.lag.ms", "9223372036854775807"),
        ("message.timestamp.after.max.ms", "3600000"),
        ("message.timestamp.type", "CreateTime"),
        ("min.cleanable.dirty.ratio", "0.5"),
        ("min.compaction.lag.ms", "0"),
        ("min.insync.replicas", "1"),
        ("retention.bytes", "-1"),
        ("segment.ms", "604800000"),
    ] {
        assert_eq!(all.get(key), Some(&(value.to_owned(), false)), "{key}");
    }
    let (code, some) = describe(&mut raw, &topic, Some(&["retention.ms", "no.such"])).await;
    assert_eq!((code, some.len()), (0, 1));
    let (code, none) = describe(&mut raw, &unique("none"), None).await;
    assert_eq!((code, none.len()), (E::UnknownTopicOrPartition.code(), 0));
}

#[tokio::test]
async fn settings_are_set_and_deleted_one_by_one() {
    let target = Target::new().await;
    let topic = target.topic(1, &[("retention.bytes", "1000000")]).await;
    let mut raw = target.raw().await;
    assert_eq!(
        alter(&mut raw, &topic, &[("retention.ms", SET, Some("777"))]).await,
        0
    );
    becomes(&target, &topic, "retention.ms", "777", true).await;
    becomes(&target, &topic, "retention.bytes", "1000000", true).await;
    assert_eq!(
        alter(&mut raw, &topic, &[("retention.bytes", DELETE, None)]).await,
        0
    );
    becomes(&target, &topic, "retention.bytes", "-1", false).await;
    becomes(&target, &topic, "retention.ms", "777", true).await;
}

#[tokio::test]
async fn lists_are_added_to_and_taken_from() {
    let target = Target::new().await;
    let topic = target.topic(1, &[("cleanup.policy", "compact")]).await;
    let mut raw = target.raw().await;
    assert_eq!(
        alter(
            &mut raw,
            &topic,
            &[("cleanup.policy", APPEND, Some("delete"))]
        )
        .await,
        0
    );
    becomes(&target, &topic, "cleanup.policy", "compact,delete", true).await;
    assert_eq!(
        alter(
            &mut raw,
            &topic,
            &[("cleanup.policy", SUBTRACT, Some("compact"))]
        )
        .await,
        0
    );
    becomes(&target, &topic, "cleanup.policy", "delete", true).await;
    let refused = alter(&mut raw, &topic, &[("retention.ms", APPEND, Some("1"))]).await;
    assert_eq!(refused, E::InvalidConfig.code());
}

#[tokio::test]
async fn changes_that_cannot_be_are_refused_as_a_whole() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let mut raw = target.raw().await;
    let invalid = E::InvalidConfig.code();
    for changes in [
        vec![("no.such.config", SET, Some("1"))],
        vec![("retention.ms", SET, Some("soon"))],
        vec![
            ("retention.ms", SET, Some("5")),
            ("cleanup.policy", SET, Some("burn")),
        ],
    ] {
        assert_eq!(
            alter(&mut raw, &topic, &changes).await,
            invalid,
            "{changes:?}"
        );
    }
    let twice = [
        ("retention.ms", SET, Some("5")),
        ("retention.ms", SET, Some("6")),
    ];
    assert_eq!(
        alter(&mut raw, &topic, &twice).await,
        E::InvalidRequest.code()
    );
    let unknown = alter(
        &mut raw,
        &unique("none"),
        &[("retention.ms", SET, Some("5"))],
    )
    .await;
    assert_eq!(unknown, E::UnknownTopicOrPartition.code());
    let (_, all) = describe(&mut raw, &topic, None).await;
    assert!(!all["retention.ms"].1);
}

#[tokio::test]
async fn the_older_way_replaces_all_settings() {
    let target = Target::new().await;
    let topic = target.topic(1, &[("retention.bytes", "1000000")]).await;
    let mut raw = target.raw().await;
    let request = |topic: &str, key: &str, value: &str, only| {
        let config = alter_configs_request::AlterableConfig::default()
            .with_name(text(key))
            .with_value(Some(text(value)));
        let resource = alter_configs_request::AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(topic))
            .with_configs(vec![config]);
        AlterConfigsRequest::default()
            .with_validate_only(only)
            .with_resources(vec![resource])
    };
    let only = raw
        .call(2, request(&topic, "retention.ms", "777", true))
        .await;
    assert_eq!(only.responses[0].error_code, 0);
    becomes(&target, &topic, "retention.bytes", "1000000", true).await;
    let done = raw
        .call(2, request(&topic, "retention.ms", "777", false))
        .await;
    assert_eq!(done.responses[0].error_code, 0);
    becomes(&target, &topic, "retention.ms", "777", true).await;
    becomes(&target, &topic, "retention.bytes", "-1", false).await;
    let refused = raw
        .call(2, request(&topic, "retention.ms", "soon", false))
        .await;
    assert_eq!(refused.responses[0].error_code, E::InvalidConfig.code());
}

#[tokio::test]
async fn a_changed_setting_is_obeyed() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let mut raw = target.raw().await;
    let value = "x".repeat(2_000);
    let one = batch(NOBODY, 0, false, &[&value]);
    assert_eq!(raw.produce(None, &topic, 0, one.clone()).await.0, 0);
    assert_eq!(
        alter(
            &mut raw,
            &topic,
            &[("max.message.bytes", SET, Some("1000"))]
        )
        .await,
        0
    );
    eventually(async || {
        let (code, _) = target
            .raw()
            .await
            .produce(None, &topic, 0, one.clone())
            .await;
        (code == E::MessageTooLarge.code()).then_some(())
    })
    .await;
}
