//! Variables in a configuration, `${provider:path:key}` or `${provider:key}`, as Kafka's configuration
//! providers have them. Who knows their values is the caller's business.
//!
//! Invariant: a value that a variable stands for is in no error: whoever sends a configuration need not
//! be allowed to read what it names.

use super::config::{ConfigError, IbmConfig};
use super::file::ConfigMap;
use super::honour;
use super::read::Reader;
use super::validate::{Validation, validation};

/// A variable in a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable<'v> {
    /// For instance `file`.
    pub provider: &'v str,
    /// Empty if there is none.
    pub path: &'v str,
    /// Of the value.
    pub key: &'v str,
}

/// Tells the value of a variable, or why there is none.
pub type Find<'f> = dyn Fn(Variable<'_>) -> Result<String, String> + 'f;

/// The first variable of a text, with what is in front of it and behind it.
fn split(text: &str) -> Option<(&str, Variable<'_>, &str)> {
    let mut from = 0;
    loop {
        let begin = from + text.get(from..)?.find("${")?;
        let inside = text.get(begin + 2..)?;
        let end = inside.find('}')?;
        let (inside, behind) = (inside.get(..end)?, inside.get(end + 1..)?);
        // `${queue}` is none.
        let Some((provider, rest)) = inside.split_once(':') else {
            from = begin + 2;
            continue;
        };
        let (path, key) = rest.split_once(':').unwrap_or(("", rest));
        let variable = Variable {
            provider,
            path,
            key,
        };
        return Some((text.get(..begin)?, variable, behind));
    }
}

pub(super) fn has_variable(text: &str) -> bool {
    split(text).is_some()
}

fn replaced(text: &str, find: &Find<'_>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, variable, behind)) = split(rest) {
        out.push_str(before);
        out.push_str(&find(variable)?);
        // What came in is not looked at again.
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}

/// With variables replaced, and errors for those that have no value.
fn resolved(map: &ConfigMap, find: &Find<'_>) -> (ConfigMap, Vec<ConfigError>) {
    let mut errors = Vec::new();
    let mut result = map.clone();
    for (key, value) in &mut result {
        match replaced(value, find) {
            Ok(text) => *value = text,
            Err(reason) => errors.push(ConfigError {
                key: key.clone(),
                reason,
            }),
        }
    }
    (result, errors)
}

/// `errors`, and of `more` those of other keys, without values that variables stand for.
fn joined(
    map: &ConfigMap,
    mut errors: Vec<ConfigError>,
    more: Vec<ConfigError>,
) -> Vec<ConfigError> {
    for mut error in more {
        if errors.iter().any(|known| known.key == error.key) {
            continue;
        }
        if map.get(&error.key).is_some_and(|value| has_variable(value)) {
            error.reason = "what the variable stands for is not valid here".to_owned();
        }
        errors.push(error);
    }
    errors
}

impl IbmConfig {
    /// As [`IbmConfig::from`], with variables replaced by what `find` tells.
    ///
    /// # Errors
    ///
    /// Every [`ConfigError`] there is.
    pub fn resolve(map: &ConfigMap, find: &Find<'_>) -> Result<Self, Vec<ConfigError>> {
        let (full, errors) = resolved(map, find);
        let mut reader = Reader::literal(&full);
        let config = honour::read(&mut reader);
        match reader.finish(config) {
            Ok(config) if errors.is_empty() => Ok(config),
            Ok(_) => Err(errors),
            Err(more) => Err(joined(map, errors, more)),
        }
    }
}

/// As [`validate`](super::validate), with variables replaced by what `find` tells. They are shown as they
/// were given.
pub fn validate_resolved(map: &ConfigMap, find: &Find<'_>) -> Validation {
    let (full, errors) = resolved(map, find);
    let mut reader = Reader::literal(&full);
    honour::read(&mut reader);
    let errors = joined(map, errors, reader.errors);
    validation(map, &errors)
}

#[cfg(test)]
mod tests {
    use super::super::tests::config::{minimal, with};
    use super::*;

    fn find(variable: Variable<'_>) -> Result<String, String> {
        match (variable.provider, variable.path, variable.key) {
            ("file", "/run/s.properties", "password") => Ok("geheim ${env:NOT}".to_owned()),
            ("env", "", "QUEUE") => Ok("APP.IN".to_owned()),
            ("env", "", "LONG") => Ok("LONG".repeat(20)),
            ("env", "", key) => Err(format!("there is no {key} in the environment")),
            (provider, ..) => Err(format!("there is no provider {provider}")),
        }
    }

    #[test]
    fn variables_are_found_as_kafka_finds_them() {
        for (text, expected) in [
            ("plain", Ok("plain")),
            ("${env:QUEUE}", Ok("APP.IN")),
            ("a ${env:QUEUE}, ${env:QUEUE} b", Ok("a APP.IN, APP.IN b")),
            ("mq.${queue}.${env:QUEUE}", Ok("mq.${queue}.APP.IN")),
            (
                "${file:/run/s.properties:password}",
                Ok("geheim ${env:NOT}"),
            ),
            ("${env:NONE}", Err("there is no NONE in the environment")),
            ("${vault:a:b}", Err("there is no provider vault")),
            ("${env:QUEUE", Ok("${env:QUEUE")),
            ("${", Ok("${")),
        ] {
            let found = replaced(text, &find);
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{text}");
        }
    }

    #[test]
    fn a_configuration_is_read_with_them_and_shows_none_of_their_values() {
        let secret = ("mq.password", "${file:/run/s.properties:password}");
        let map = with(&minimal(), &[secret, ("mq.queue", "${env:QUEUE}")]);
        let config = IbmConfig::resolve(&map, &find).expect("valid");
        assert_eq!(config.queues[0].to_string(), "APP.IN");
        assert!(IbmConfig::from(&map).is_err(), "not without their values");
        let valid = validate_resolved(&map, &find);
        assert_eq!(valid.error_count, 0);
        let map = with(
            &map,
            &[("mq.channel.name", "${env:LONG}"), ("topic", "${env:NONE}")],
        );
        let errors = IbmConfig::resolve(&map, &find).expect_err("refused");
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            errors,
            [
                "topic: there is no NONE in the environment",
                "mq.channel.name: what the variable stands for is not valid here",
            ]
        );
        let shown = serde_json::to_string(&validate_resolved(&map, &find)).expect("JSON");
        assert!(
            !shown.contains("LONGLONG") && shown.contains("${env:LONG}"),
            "{shown}"
        );
    }
}
