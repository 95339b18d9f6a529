//! DescribeConfigs: the settings of a topic, its own and those by default.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};

use super::key_44_incremental_alter_configs::RESOURCE_TOPIC;
use super::{Context, Reply, text};
use crate::security::Access;
use crate::shared::Core;
use crate::topic_config::{self, Shown};

const RESOURCE_BROKER: i8 = 4;
const SOURCE_TOPIC: i8 = 1;
const SOURCE_DEFAULT: i8 = 5;

pub(super) fn handle(
    context: &Context<'_>,
    request: DescribeConfigsRequest,
) -> Reply<DescribeConfigsResponse> {
    let core = context.shared.core();
    let synonyms = request.include_synonyms;
    let results = request.resources.into_iter().map(|resource| {
        let allowed = match resource.resource_type {
            RESOURCE_TOPIC => context.grants.look_at_topic(&resource.resource_name),
            _ => context.grants.cluster(Access::Read),
        };
        let result = allowed.and_then(|()| configs(&core, &resource, synonyms));
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
    core: &Core,
    resource: &DescribeConfigsResource,
    synonyms: bool,
) -> Result<Vec<DescribeConfigsResourceResult>, ResponseError> {
    let own = match resource.resource_type {
        RESOURCE_TOPIC => {
            let topic = core.state.topic(&resource.resource_name);
            &topic.ok_or(ResponseError::UnknownTopicOrPartition)?.configs[..]
        }
        RESOURCE_BROKER => &[],
        _ => return Err(ResponseError::InvalidRequest),
    };
    let wanted = |name: &str| match &resource.configuration_keys {
        Some(keys) => keys.iter().any(|key| key.as_str() == name),
        None => true,
    };
    let all = topic_config::shown(own, &core.state.defaults).into_iter();
    let wanted = all.filter(|shown| wanted(shown.name));
    Ok(wanted.map(|shown| show(&shown, synonyms)).collect())
}

fn show(shown: &Shown, synonyms: bool) -> DescribeConfigsResourceResult {
    let synonym = |value: &str, source| {
        DescribeConfigsSynonym::default()
            .with_name(text(shown.name))
            .with_value(Some(text(value)))
            .with_source(source)
    };
    let mut all = Vec::new();
    if synonyms {
        all.extend(shown.own.then(|| synonym(&shown.value, SOURCE_TOPIC)));
        all.push(synonym(&shown.default, SOURCE_DEFAULT));
    }
    DescribeConfigsResourceResult::default()
        .with_name(text(shown.name))
        .with_value(Some(text(&shown.value)))
        .with_config_source(if shown.own {
            SOURCE_TOPIC
        } else {
            SOURCE_DEFAULT
        })
        .with_read_only(shown.fixed)
        .with_config_type(shown.kind)
        .with_synonyms(all)
}
