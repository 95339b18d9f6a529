//! The answer to `PUT /connector-plugins/{class}/config/validate`, in Kafka Connect's shape.

use serde::Serialize;

use super::config::{ConfigError, Note, is_secret};
use super::file::ConfigMap;
use super::honour;
use super::keys::{CONNECTOR_CLASS, Check, KEYS, Key, KeyType};
use super::read::Reader;

/// What is to be said of a configuration.
#[derive(Debug, Clone, Serialize)]
pub struct Validation {
    /// Class of the connector.
    pub name: String,
    /// Keys with errors.
    pub error_count: usize,
    /// Of all keys, in their order.
    pub groups: Vec<String>,
    /// One a key of the table; and one a key with an error that is not in it.
    pub configs: Vec<ConfigInfo>,
}

/// A key, its value and what is wrong with it.
#[derive(Debug, Clone, Serialize)]
pub struct ConfigInfo {
    /// What it is.
    pub definition: Definition,
    /// What was given.
    pub value: ConfigValue,
}

/// A key.
#[derive(Debug, Clone, Serialize)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// As Kafka's `ConfigDef.Type`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it must be there.
    pub required: bool,
    /// Used when it is absent.
    pub default_value: Option<String>,
    /// As Kafka's `ConfigDef.Importance`.
    pub importance: String,
    /// In words.
    pub documentation: String,
    /// Where user interfaces show it.
    pub group: Option<String>,
    /// As Kafka's `ConfigDef.Width`.
    pub width: String,
    /// For people.
    pub display_name: String,
    /// None has any here.
    pub dependents: Vec<String>,
    /// Place in its group, from 1.
    pub order_in_group: usize,
}

/// A value.
#[derive(Debug, Clone, Serialize)]
pub struct ConfigValue {
    /// Of the key.
    pub name: String,
    /// As given, else the default; `[hidden]` for passwords.
    pub value: Option<String>,
    /// What could be given.
    pub recommended_values: Vec<String>,
    /// Why it cannot be honoured.
    pub errors: Vec<String>,
    /// Whether to show it.
    pub visible: bool,
}

/// Judges a configuration. The same code reads an [`IbmConfig`](super::IbmConfig), so that what is
/// valid can be started.
pub fn validate(map: &ConfigMap) -> Validation {
    validation(map, &judge(map).0)
}

/// What is said of `map` with these errors.
pub(super) fn validation(map: &ConfigMap, errors: &[ConfigError]) -> Validation {
    let mut configs: Vec<ConfigInfo> = infos().collect();
    for info in &mut configs {
        let name = info.definition.name.as_str();
        if let Some(value) = map.get(name) {
            let hidden = is_secret(name) && !value.is_empty();
            info.value.value = Some(if hidden {
                HIDDEN.to_owned()
            } else {
                value.clone()
            });
        }
    }
    for error in errors {
        let known = configs
            .iter_mut()
            .find(|info| info.definition.name == error.key);
        match known {
            Some(info) => info.value.errors.push(error.reason.clone()),
            None => configs.push(unknown(error)),
        }
    }
    Validation {
        name: CONNECTOR_CLASS.to_owned(),
        error_count: errors.len(),
        groups: groups(),
        configs,
    }
}

/// Errors, and keys without effect, of a configuration.
pub fn judge(map: &ConfigMap) -> (Vec<ConfigError>, Vec<Note>) {
    let mut reader = Reader::new(map);
    honour::read(&mut reader);
    (reader.errors, reader.notes)
}

/// The keys alone: the answer to `GET /connector-plugins/{plugin}/config`.
pub fn definitions() -> Vec<Definition> {
    infos().map(|info| info.definition).collect()
}

const HIDDEN: &str = "[hidden]";

fn groups() -> Vec<String> {
    let mut groups: Vec<String> = Vec::new();
    for group in KEYS.iter().filter_map(|key| key.group) {
        if !groups.iter().any(|known| known == group) {
            groups.push(group.to_owned());
        }
    }
    groups
}

fn infos() -> impl Iterator<Item = ConfigInfo> {
    KEYS.iter().enumerate().map(|(at, key)| {
        let before = KEYS.iter().take(at);
        let order = 1 + before.filter(|other| other.group == key.group).count();
        ConfigInfo {
            definition: definition(key, order),
            value: ConfigValue {
                name: key.name.to_owned(),
                value: key.default.map(str::to_owned),
                recommended_values: recommended(key),
                errors: Vec::new(),
                visible: true,
            },
        }
    })
}

fn definition(key: &Key, order: usize) -> Definition {
    Definition {
        name: key.name.to_owned(),
        kind: key.kind.name().to_owned(),
        required: key.required,
        default_value: key.default.map(str::to_owned),
        importance: key.importance.name().to_owned(),
        documentation: key.doc.to_owned(),
        group: key.group.map(str::to_owned),
        width: width(key).to_owned(),
        display_name: key.display.to_owned(),
        dependents: Vec::new(),
        order_in_group: order,
    }
}

fn width(key: &Key) -> &'static str {
    match key.kind {
        KeyType::Boolean | KeyType::Int => "SHORT",
        KeyType::List | KeyType::Class => "LONG",
        KeyType::Long | KeyType::String | KeyType::Password => "MEDIUM",
    }
}

fn recommended(key: &Key) -> Vec<String> {
    let words = match key.check {
        Check::OneOf(words) | Check::OneOfAnyCase(words) => words,
        _ => &[],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// User interfaces look for errors in the keys; a key that is not known has its own.
fn unknown(error: &ConfigError) -> ConfigInfo {
    ConfigInfo {
        definition: Definition {
            name: error.key.clone(),
            kind: KeyType::String.name().to_owned(),
            required: false,
            default_value: None,
            importance: "LOW".to_owned(),
            documentation: String::new(),
            group: None,
            width: "MEDIUM".to_owned(),
            display_name: error.key.clone(),
            dependents: Vec::new(),
            order_in_group: 0,
        },
        value: ConfigValue {
            name: error.key.clone(),
            value: None,
            recommended_values: Vec::new(),
            errors: vec![error.reason.clone()],
            visible: true,
        },
    }
}
