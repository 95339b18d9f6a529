//! IncrementalAlterConfigs: settings of topics, one by one. A topic's changes are made all or none, durably before
//! the answer. Settings of the broker are not altered by clients.

use std::collections::HashSet;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use uuid::Uuid;

use super::{Context, Reply, text};
use crate::entry::Entry;
use crate::security::Access;
use crate::shared::{Core, Shared};
use crate::topic_config;
use crate::topics;

pub(super) const RESOURCE_TOPIC: i8 = 2;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// Why a resource stays as it is.
#[derive(Debug)]
pub(super) struct Refused {
    error: ResponseError,
    pub(super) reason: String,
}

impl Refused {
    pub(super) fn new(error: ResponseError, reason: impl ToString) -> Self {
        Self {
            error,
            reason: reason.to_string(),
        }
    }

    pub(super) fn code(&self) -> i16 {
        self.error.code()
    }
}

pub(super) fn handle(
    context: &Context<'_>,
    request: IncrementalAlterConfigsRequest,
) -> Reply<IncrementalAlterConfigsResponse> {
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
    let response = IncrementalAlterConfigsResponse::default().with_responses(responses.collect());
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

/// The topic that is meant, with the settings of its own.
pub(super) fn topic(
    context: &Context<'_>,
    core: &Core,
    resource_type: i8,
    name: &str,
) -> Result<(Uuid, Vec<(String, String)>), Refused> {
    if resource_type != RESOURCE_TOPIC {
        let reason = format!("resources of type {resource_type} are not altered here, only topics");
        return Err(Refused::new(ResponseError::InvalidRequest, reason));
    }
    let allowed = context.grants.topic(name, Access::Admin);
    allowed.map_err(|error| Refused::new(error, error))?;
    let unknown = || {
        let reason = format!("there is no topic `{name}`");
        Refused::new(ResponseError::UnknownTopicOrPartition, reason)
    };
    let id = core.state.topic_id(name).ok_or_else(unknown)?;
    let topic = core.state.topics.get(&id).ok_or_else(unknown)?;
    Ok((id, topic.configs.clone()))
}

/// Checks all settings of a topic and stores them.
pub(super) fn store(
    shared: &Shared,
    core: &mut Core,
    id: Uuid,
    configs: Vec<(String, String)>,
    validate_only: bool,
) -> Result<(), Refused> {
    topics::check_configs(&configs)
        .map_err(|error| Refused::new(ResponseError::InvalidConfig, error))?;
    if validate_only {
        return Ok(());
    }
    shared
        .submit(core, &Entry::SetConfigs { id, configs })
        .map(|_| ())
        .map_err(|error| Refused::new(error, error))
}

fn alter(
    context: &Context<'_>,
    core: &mut Core,
    resource: &AlterConfigsResource,
    validate_only: bool,
) -> Result<(), Refused> {
    let (id, mut configs) = topic(
        context,
        core,
        resource.resource_type,
        &resource.resource_name,
    )?;
    let mut seen = HashSet::new();
    for change in &resource.configs {
        if !seen.insert(change.name.as_str()) {
            let reason = format!("topic setting `{}` comes twice", change.name.as_str());
            return Err(Refused::new(ResponseError::InvalidRequest, reason));
        }
        apply(&mut configs, change)?;
    }
    store(context.shared, core, id, configs, validate_only)
}

fn apply(configs: &mut Vec<(String, String)>, change: &AlterableConfig) -> Result<(), Refused> {
    let name = change.name.as_str();
    let operation = change.config_operation;
    if operation == DELETE {
        configs.retain(|(known, _)| known != name);
        return Ok(());
    }
    let Some(value) = change.value.as_deref() else {
        let reason = format!("topic setting `{name}` comes without a value");
        return Err(Refused::new(ResponseError::InvalidRequest, reason));
    };
    let value = match operation {
        SET => value.to_owned(),
        APPEND | SUBTRACT if !topic_config::is_list(name) => {
            let reason = format!("topic setting `{name}` is no list");
            return Err(Refused::new(ResponseError::InvalidConfig, reason));
        }
        APPEND | SUBTRACT => {
            let old = topic_config::own_or_default(configs, name);
            let mut parts: Vec<&str> = list(&old)
                .filter(|part| list(value).all(|one| one != *part))
                .collect();
            if operation == APPEND {
                // What is there already stays where it is.
                parts = list(&old).collect();
                parts.extend(list(value).filter(|one| list(&old).all(|part| part != *one)));
            }
            parts.join(",")
        }
        other => {
            let reason = format!("operation {other} on topic setting `{name}` is not known");
            return Err(Refused::new(ResponseError::InvalidRequest, reason));
        }
    };
    match configs.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => *known = value,
        None => configs.push((name.to_owned(), value)),
    }
    Ok(())
}

fn list(value: &str) -> impl Iterator<Item = &str> {
    value
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}
