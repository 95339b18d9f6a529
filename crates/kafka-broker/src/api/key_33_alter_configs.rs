//! AlterConfigs, the older way: what is sent are all settings of the topic afterwards. Durable before the answer.

use std::sync::Arc;

use kafka_protocol::messages::alter_configs_request::AlterConfigsResource;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};

use super::key_44_incremental_alter_configs::{Refused, store, topic};
use super::{Context, Reply, text};
use crate::shared::Core;

pub(super) fn handle(
    context: &Context<'_>,
    request: AlterConfigsRequest,
) -> Reply<AlterConfigsResponse> {
    let shared = context.shared;
    let mut core = shared.core();
    let responses = request.resources.iter().map(|resource| {
        let result = alter(context, &mut core, resource, request.validate_only);
        let refused = result.as_ref().err();
        AlterConfigsResourceResponse::default()
            .with_error_code(refused.map_or(0, Refused::code))
            .with_error_message(refused.map(|refused| text(&refused.reason)))
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone())
    });
    let response = AlterConfigsResponse::default().with_responses(responses.collect());
    let position = shared.journal.end();
    drop(core);
    let shared = Arc::clone(shared);
    Reply::later(async move {
        let mut response = response;
        if let Err(error) = shared.durable(position).await {
            let all = response.responses.iter_mut();
            all.for_each(|resource| resource.error_code = error.code());
        }
        response
    })
}

fn alter(
    context: &Context<'_>,
    core: &mut Core,
    resource: &AlterConfigsResource,
    validate_only: bool,
) -> Result<(), Refused> {
    let (id, _) = topic(
        context,
        core,
        resource.resource_type,
        &resource.resource_name,
    )?;
    let configs = resource.configs.iter().filter_map(|config| {
        let value = config.value.as_ref()?;
        Some((config.name.to_string(), value.to_string()))
    });
    store(context.shared, core, id, configs.collect(), validate_only)
}
