//! Rules for topics: names, numbers of partitions, creation.

use kafka_protocol::ResponseError;
use uuid::Uuid;

use crate::entry::Entry;
use crate::shared::{Core, Shared};
use crate::topic_config::{self, ConfigError};

/// Longest name of a topic, in bytes. Kafka's limit.
pub(crate) const TOPIC_NAME_BYTES_MAX: usize = 249;

/// What a topic is to be.
#[derive(Debug, Clone)]
pub(crate) struct NewTopic {
    pub(crate) name: String,
    /// -1: the broker's default.
    pub(crate) partitions: i32,
    pub(crate) configs: Vec<(String, String)>,
}

/// Letters, digits, `.`, `_` and `-`, at most [`TOPIC_NAME_BYTES_MAX`] of them, but not `.` or `..`.
pub(crate) fn is_valid_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=TOPIC_NAME_BYTES_MAX).contains(&name.len())
        && !matches!(name, "." | "..")
        && name.bytes().all(legal)
}

/// Checks a new topic against the rules and what there is. Returns its number of partitions.
pub(crate) fn check(shared: &Shared, core: &Core, topic: &NewTopic) -> Result<i32, ResponseError> {
    if !is_valid_name(&topic.name) {
        return Err(ResponseError::InvalidTopicException);
    }
    if core.state.topic_id(&topic.name).is_some() {
        return Err(ResponseError::TopicAlreadyExists);
    }
    let partitions = match topic.partitions {
        -1 => shared.config.partitions_default,
        partitions => partitions,
    };
    check_partitions(shared, core, partitions)?;
    check_configs(&topic.configs).map_err(|_| ResponseError::InvalidConfig)?;
    Ok(partitions)
}

/// May a topic have these settings? They come from outside: nothing is stored that is not known.
pub(crate) fn check_configs(configs: &[(String, String)]) -> Result<(), ConfigError> {
    configs
        .iter()
        .try_for_each(|(name, value)| topic_config::check(name, value))
}

/// May there be so many partitions more?
pub(crate) fn check_partitions(
    shared: &Shared,
    core: &Core,
    partitions: i32,
) -> Result<(), ResponseError> {
    let room = shared
        .config
        .partitions_max
        .saturating_sub(core.state.partition_count());
    match usize::try_from(partitions) {
        Ok(count) if count >= 1 && count <= room => Ok(()),
        _ => Err(ResponseError::InvalidPartitions),
    }
}

/// Creates a topic. Durable when the journal is.
pub(crate) fn create(
    shared: &Shared,
    core: &mut Core,
    topic: &NewTopic,
) -> Result<(Uuid, i32), ResponseError> {
    let partitions = check(shared, core, topic)?;
    let id = Uuid::new_v4();
    let (name, configs) = (topic.name.clone(), topic.configs.clone());
    shared.submit(
        core,
        &Entry::CreateTopic {
            id,
            name,
            partitions,
            configs,
        },
    )?;
    Ok((id, partitions))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_kafkas_rules() {
        let longest = "a".repeat(TOPIC_NAME_BYTES_MAX);
        for name in ["a", "A-b_c.9", "__daybook_control", "...", &longest] {
            assert!(is_valid_name(name), "{name}");
        }
        let too_long = "a".repeat(TOPIC_NAME_BYTES_MAX + 1);
        for name in ["", ".", "..", "a b", "a/b", "ä", &too_long] {
            assert!(!is_valid_name(name), "{name}");
        }
    }
}
