//! Takes values out of a configuration, and gathers what is wrong with them.

use std::time::Duration;

use super::config::{ConfigError, IbmConfig, Note, is_secret};
use super::convert::Converter;
use super::file::ConfigMap;
use super::keys::{Check, Effect, KEYS, Key, KeyType, PREFIXES, key};
use super::variables::has_variable;

pub(super) struct Reader<'m> {
    map: &'m ConfigMap,
    /// Its variables were replaced: what looks like one is none.
    literal: bool,
    pub(super) errors: Vec<ConfigError>,
    pub(super) notes: Vec<Note>,
}

impl<'m> Reader<'m> {
    pub(super) fn new(map: &'m ConfigMap) -> Self {
        Self {
            map,
            literal: false,
            errors: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(super) fn literal(map: &'m ConfigMap) -> Self {
        Self {
            literal: true,
            ..Self::new(map)
        }
    }

    /// The configuration, if there was no error.
    pub(super) fn finish(self, config: IbmConfig) -> Result<IbmConfig, Vec<ConfigError>> {
        match self.errors.is_empty() {
            true => Ok(IbmConfig {
                notes: self.notes,
                ..config
            }),
            false => Err(self.errors),
        }
    }

    /// The value, or the default, or nothing. `key` is of the table.
    pub(super) fn text(&self, name: &'static str) -> &'m str {
        match self.map.get(name) {
            Some(value) => value,
            None => key(name).and_then(|key| key.default).unwrap_or_default(),
        }
    }

    /// `false` also for what is no boolean, which was told already.
    pub(super) fn boolean(&self, name: &'static str) -> bool {
        self.text(name).trim().eq_ignore_ascii_case("true")
    }

    /// 0 for what is no number, which was told already.
    pub(super) fn number(&self, name: &'static str) -> i64 {
        self.text(name).trim().parse().unwrap_or_default()
    }

    pub(super) fn optional_number(&self, name: &'static str) -> Option<i64> {
        let text = self.map.get(name).map(|text| text.trim());
        text.filter(|text| !text.is_empty())
            .map(|text| text.parse().unwrap_or_default())
    }

    pub(super) fn millis(&self, name: &'static str) -> Duration {
        Duration::from_millis(u64::try_from(self.number(name)).unwrap_or_default())
    }

    /// One error a key: the first one is the reason for the others.
    pub(super) fn refuse(&mut self, key: &'static str, reason: String) {
        self.refuse_owned(key.to_owned(), reason);
    }

    pub(super) fn refuse_owned(&mut self, key: String, reason: String) {
        if !self.errors.iter().any(|error| error.key == key) {
            self.errors.push(ConfigError { key, reason });
        }
    }

    pub(super) fn missing(&mut self, key: &'static str) {
        // Connect's words, which scripts look for.
        let reason =
            format!("Missing required configuration \"{key}\" which has no default value.");
        self.refuse(key, reason);
    }

    pub(super) fn note(&mut self, key: &'static str, reason: &str) {
        self.note_owned(key.to_owned(), reason.to_owned());
    }

    pub(super) fn note_owned(&mut self, key: String, reason: String) {
        self.notes.push(Note { key, reason });
    }

    /// The keys that begin so, with their values.
    pub(super) fn family(&self, prefix: &str) -> Vec<(String, String)> {
        let found = self.map.iter().filter(|(key, _)| key.starts_with(prefix));
        found
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// Types, values and effects of all keys of the table.
    pub(super) fn check_all(&mut self) {
        for key in KEYS {
            let given = self.map.get(key.name);
            if given.is_none() && key.required {
                self.missing(key.name);
                continue;
            }
            let Some(given) = given else { continue };
            if !self.literal && has_variable(given) {
                let reason = "its variable was not replaced; write the value".to_owned();
                self.refuse(key.name, reason);
                continue;
            }
            if let Err(reason) = check(key, given) {
                self.refuse(key.name, reason);
                continue;
            }
            let asks = !given.trim().is_empty();
            match key.effect {
                Effect::Honoured => {}
                Effect::None(why) if asks => self.note(key.name, why),
                Effect::Refused { but, why }
                    if asks && !but.iter().any(|but| but.eq_ignore_ascii_case(given.trim())) =>
                {
                    self.refuse(key.name, why.to_owned());
                }
                Effect::None(_) | Effect::Refused { .. } => {}
            }
        }
    }

    /// Keys of nobody. Those of IBM's connector and ours are refused, since somebody wishes something
    /// with them; others are ignored as Connect does.
    pub(super) fn refuse_unknown(&mut self) {
        for name in self.map.keys() {
            let family = PREFIXES
                .iter()
                .find(|family| name.starts_with(family.prefix));
            let of_creation = name.starts_with("topic.creation.default.");
            match family {
                _ if key(name).is_some() => {}
                // A group's own keys; `topic.creation.groups` was refused too.
                Some(family) if family.prefix == "topic.creation." && !of_creation => {
                    self.refuse_owned(
                        name.clone(),
                        "topics are created with topic.creation.default.* only".to_owned(),
                    );
                }
                Some(family)
                    if matches!(family.prefix, "admin.override." | "consumer.override.") =>
                {
                    self.note_owned(name.clone(), family.doc.to_owned());
                }
                Some(_) => {}
                None if name.starts_with("mq.") || name.starts_with("daybook.") => {
                    self.refuse_owned(
                        name.clone(),
                        "no such key is known to Daybook; it is misspelt or of another version of IBM's connector: correct it or drop it".to_owned(),
                    );
                }
                None => self.note_owned(name.clone(), "no such key is known".to_owned()),
            }
        }
    }

    /// The converter of `key.converter`, `value.converter` or `header.converter`, with its settings.
    pub(super) fn converter(&mut self, name: &'static str) -> Converter {
        let class = self.text(name).trim();
        let prefix = format!("{name}.");
        let mut schemas = true;
        let mut settings = self.family(&prefix);
        settings.retain(|(full, _)| key(full).is_none());
        for (full, value) in settings {
            let setting = full.strip_prefix(&prefix).unwrap_or(&full).to_owned();
            match (setting.as_str(), value.trim().to_ascii_lowercase().as_str()) {
                ("schemas.enable", "true") => schemas = true,
                ("schemas.enable", "false") => schemas = false,
                ("encoding" | "converter.encoding", "utf-8" | "utf8") => {}
                // Of reading, which a source does not do, and of what bodies here do not have.
                (
                    "schemas.cache.size"
                    | "decimal.format"
                    | "replace.null.with.default"
                    | "converter.type",
                    _,
                ) => {}
                _ => self.refuse_owned(
                    full,
                    "Daybook's converters do not have this setting; drop the key".to_owned(),
                ),
            }
        }
        // Connect's own for headers, which is how they are written without one.
        let simple = [
            "org.apache.kafka.connect.storage.SimpleHeaderConverter",
            "SimpleHeaderConverter",
        ];
        let class = match name == "header.converter" && simple.contains(&class) {
            true => "",
            false => class,
        };
        match Converter::of_class(class, schemas) {
            Some(converter) => converter,
            None => {
                let reason = format!(
                    "{class:?} is a class that Daybook does not have; use StringConverter, ByteArrayConverter or JsonConverter \
                     of org.apache.kafka.connect"
                );
                self.refuse(name, reason);
                Converter::AsIs
            }
        }
    }
}

fn check(key: &Key, given: &str) -> Result<(), String> {
    let shown = match is_secret(key.name) {
        true => "[hidden]".to_owned(),
        false => format!("{given:?}"),
    };
    let text = given.trim();
    match key.kind {
        // An empty number is none.
        KeyType::Int | KeyType::Long if text.is_empty() && key.default.is_none() => return Ok(()),
        KeyType::Boolean
            if !["true", "false"]
                .iter()
                .any(|word| word.eq_ignore_ascii_case(text)) =>
        {
            return Err(format!("{shown} is neither true nor false"));
        }
        KeyType::Int if text.parse::<i32>().is_err() => {
            return Err(format!("{shown} is no number of 32 bits"));
        }
        KeyType::Long if text.parse::<i64>().is_err() => {
            return Err(format!("{shown} is no number of 64 bits"));
        }
        _ => {}
    }
    let number = text.parse::<i64>().unwrap_or_default();
    match key.check {
        Check::Any => Ok(()),
        Check::NonEmpty if text.is_empty() => Err("it must not be empty".to_owned()),
        Check::NonEmpty if given.chars().any(char::is_control) => {
            Err(format!("{shown} has control characters in it"))
        }
        Check::NonEmpty => Ok(()),
        // Empty is as absent.
        Check::OneOf(words) if text.is_empty() || words.contains(&text) => Ok(()),
        Check::OneOfAnyCase(words)
            if text.is_empty() || words.iter().any(|word| word.eq_ignore_ascii_case(text)) =>
        {
            Ok(())
        }
        Check::OneOf(words) | Check::OneOfAnyCase(words) => {
            Err(format!("{shown} is none of {}", words.join(", ")))
        }
        Check::AtLeast(least) if number < least => Err(format!("{shown} is less than {least}")),
        Check::Between(least, most) if number < least || number > most => {
            Err(format!("{shown} is not from {least} to {most}"))
        }
        Check::AtLeast(_) | Check::Between(..) => Ok(()),
    }
}
