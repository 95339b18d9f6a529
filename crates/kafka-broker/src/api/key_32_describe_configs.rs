//! DescribeConfigs: the settings a topic was created with, and what the broker does where it has none.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};

use super::{Context, Reply, text};
use crate::shared::{Core, Shared};

const RESOURCE_TOPIC: i8 = 2;
const RESOURCE_BROKER: i8 = 4;
const SOURCE_TOPIC: i8 = 1;
const SOURCE_DEFAULT: i8 = 5;

pub(super) fn handle(
    context: &Context<'_>,
    request: DescribeConfigsRequest,
) -> Reply<DescribeConfigsResponse> {
    let core = context.shared.core();
    let results = request.resources.into_iter().map(|resource| {
        let result = configs(context.shared, &core, &resource);
        let code = super::code(&result);
        DescribeConfigsResult::default()
            .with_error_code(code)
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name)
            .with_configs(result.unwrap_or_default())
    });
    Reply::Now(DescribeConfigsResponse::default().with_results(results.collect()))
}

fn configs(
    shared: &Shared,
    core: &Core,
    resource: &DescribeConfigsResource,
) -> Result<Vec<DescribeConfigsResourceResult>, ResponseError> {
    let own = match resource.resource_type {
        RESOURCE_TOPIC => {
            let topic = core.state.topic(&resource.resource_name);
            &topic.ok_or(ResponseError::UnknownTopicOrPartition)?.configs[..]
        }
        RESOURCE_BROKER => &[],
        _ => return Err(ResponseError::InvalidRequest),
    };
    let defaults = defaults(shared);
    let unset = defaults
        .iter()
        .filter(|(key, _)| own.iter().all(|(name, _)| name != key));
    let wanted = |name: &str| match &resource.configuration_keys {
        Some(keys) => keys.iter().any(|key| key.as_str() == name),
        None => true,
    };
    let own = own
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str(), SOURCE_TOPIC));
    let unset = unset.map(|(name, value)| (*name, value.as_str(), SOURCE_DEFAULT));
    let all = own.chain(unset).filter(|(name, _, _)| wanted(name));
    Ok(all
        .map(|(name, value, source)| {
            DescribeConfigsResourceResult::default()
                .with_name(text(name))
                .with_value(Some(text(value)))
                .with_config_source(source)
        })
        .collect())
}

fn defaults(shared: &Shared) -> Vec<(&'static str, String)> {
    vec![
        ("cleanup.policy", "delete".to_owned()),
        ("compression.type", "producer".to_owned()),
        (
            "max.message.bytes",
            shared.config.batch_bytes_max.to_string(),
        ),
        ("message.timestamp.type", "CreateTime".to_owned()),
        ("min.insync.replicas", "1".to_owned()),
        ("retention.bytes", "-1".to_owned()),
        ("retention.ms", "-1".to_owned()),
        ("segment.bytes", shared.config.segment_bytes.to_string()),
    ]
}
