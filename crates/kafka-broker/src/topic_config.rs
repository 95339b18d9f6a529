//! Settings of topics: which there are, what may be said, and what the broker makes of it.
//!
//! Three kinds. What is *honoured* changes what the broker does. What is *indifferent* may be set to anything of its
//! type, because no value of it can be noticed here (there are no index files, and everything is flushed before it is
//! answered). Everything else takes the one value that is true of this broker and is refused otherwise.
//! Names, types and defaults are those of Kafka's documentation, "Topic Configs"; `docs/specs/kafka.md` lists them.

use crate::config::BrokerConfig;

/// Smallest `segment.bytes` that a client may ask for. Kafka's limit (KIP-1030).
const SEGMENT_BYTES_MIN: i64 = 1 << 20;

/// A setting is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConfigError {
    /// Kafka has no such setting.
    #[error("topic setting `{name}` is not known")]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// Kafka would not take the value either, or it is beyond a limit of the broker.
    #[error("topic setting `{name}` is `{value}`, must be {wanted}")]
    Invalid {
        /// The setting.
        name: &'static str,
        /// What it was to be.
        value: String,
        /// What it may be.
        wanted: String,
    },
}

/// What a value may be.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Some of these, separated by commas.
    List(&'static [&'static str]),
    /// One of these.
    Choice(&'static [&'static str]),
    /// A number between these, in 32 or 64 bits.
    Int(i64, i64),
    Long(i64, i64),
    /// Between 0 and 1.
    Ratio,
    Bool,
    /// Only this one.
    Only(&'static str),
}

/// How the broker takes a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Honoured,
    Indifferent,
    Fixed,
}

/// Where a default comes from.
#[derive(Debug, Clone, Copy)]
enum Preset {
    Value(&'static str),
    BatchBytes,
    SegmentBytes,
}

struct Setting {
    name: &'static str,
    kind: Kind,
    used: Use,
    default: Preset,
}

const fn setting(name: &'static str, kind: Kind, used: Use, default: Preset) -> Setting {
    Setting {
        name,
        kind,
        used,
        default,
    }
}

use Kind::{Bool, Choice, Int, List, Long, Only, Ratio};
use Preset::{BatchBytes, SegmentBytes, Value};
use Use::{Fixed, Honoured, Indifferent};

const MAX: i64 = i64::MAX;
const INT_MAX: i64 = i32::MAX as i64;

const SETTINGS: &[Setting] = &[
    setting(
        "cleanup.policy",
        List(&["compact", "delete"]),
        Honoured,
        Value("delete"),
    ),
    setting(
        "compression.type",
        Only("producer"),
        Fixed,
        Value("producer"),
    ),
    setting(
        "delete.retention.ms",
        Long(0, MAX),
        Honoured,
        Value("86400000"),
    ),
    setting(
        "file.delete.delay.ms",
        Long(0, MAX),
        Indifferent,
        Value("60000"),
    ),
    setting(
        "flush.messages",
        Long(1, MAX),
        Indifferent,
        Value("9223372036854775807"),
    ),
    setting(
        "flush.ms",
        Long(0, MAX),
        Indifferent,
        Value("9223372036854775807"),
    ),
    setting(
        "index.interval.bytes",
        Int(0, INT_MAX),
        Indifferent,
        Value("4096"),
    ),
    setting(
        "max.compaction.lag.ms",
        Long(1, MAX),
        Honoured,
        Value("9223372036854775807"),
    ),
    setting("max.message.bytes", Int(0, INT_MAX), Honoured, BatchBytes),
    setting(
        "message.timestamp.after.max.ms",
        Long(0, MAX),
        Honoured,
        Value("3600000"),
    ),
    setting(
        "message.timestamp.before.max.ms",
        Long(0, MAX),
        Honoured,
        Value("9223372036854775807"),
    ),
    setting(
        "message.timestamp.type",
        Choice(&["CreateTime", "LogAppendTime"]),
        Honoured,
        Value("CreateTime"),
    ),
    setting("min.cleanable.dirty.ratio", Ratio, Honoured, Value("0.5")),
    setting("min.compaction.lag.ms", Long(0, MAX), Honoured, Value("0")),
    setting("min.insync.replicas", Only("1"), Fixed, Value("1")),
    setting("preallocate", Bool, Indifferent, Value("false")),
    setting(
        "remote.storage.enable",
        Only("false"),
        Fixed,
        Value("false"),
    ),
    setting("retention.bytes", Long(-1, MAX), Honoured, Value("-1")),
    setting("retention.ms", Long(-1, MAX), Honoured, Value("-1")),
    setting(
        "segment.bytes",
        Int(SEGMENT_BYTES_MIN, INT_MAX),
        Honoured,
        SegmentBytes,
    ),
    setting(
        "segment.index.bytes",
        Int(4, INT_MAX),
        Indifferent,
        Value("10485760"),
    ),
    setting("segment.jitter.ms", Long(0, MAX), Indifferent, Value("0")),
    setting("segment.ms", Long(1, MAX), Honoured, Value("604800000")),
    setting(
        "unclean.leader.election.enable",
        Bool,
        Indifferent,
        Value("false"),
    ),
];

/// Defaults that come from the broker's own settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Defaults {
    pub(crate) segment_bytes: u64,
    pub(crate) batch_bytes_max: usize,
}

impl Defaults {
    pub(crate) fn of(config: &BrokerConfig) -> Self {
        Self {
            segment_bytes: config.segment_bytes,
            batch_bytes_max: config.batch_bytes_max,
        }
    }
}

/// What a topic's settings come to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TopicConfig {
    pub(crate) compact: bool,
    pub(crate) delete: bool,
    /// -1: for ever.
    pub(crate) retention_ms: i64,
    /// -1: any size.
    pub(crate) retention_bytes: i64,
    pub(crate) segment_bytes: u64,
    pub(crate) segment_ms: i64,
    pub(crate) max_message_bytes: usize,
    pub(crate) log_append_time: bool,
    pub(crate) timestamp_after_max_ms: i64,
    pub(crate) timestamp_before_max_ms: i64,
    pub(crate) min_compaction_lag_ms: i64,
    pub(crate) max_compaction_lag_ms: i64,
    pub(crate) delete_retention_ms: i64,
    pub(crate) min_cleanable_dirty_ratio: f64,
}

/// What `DescribeConfigs` shows of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) default: String,
    /// Set for the topic itself.
    pub(crate) own: bool,
    /// There is no other value.
    pub(crate) fixed: bool,
    /// Kafka's number of the value's type.
    pub(crate) kind: i8,
}

fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

fn default(setting: &Setting, defaults: &Defaults) -> String {
    match setting.default {
        Value(value) => value.to_owned(),
        BatchBytes => defaults.batch_bytes_max.to_string(),
        SegmentBytes => defaults.segment_bytes.to_string(),
    }
}

/// Whether a setting is a list, which can be added to.
pub(crate) fn is_list(name: &str) -> bool {
    find(name).is_some_and(|setting| matches!(setting.kind, List(_)))
}

/// What a setting is now, where its default does not depend on the broker.
pub(crate) fn own_or_default(own: &[(String, String)], name: &str) -> String {
    let own = own.iter().find(|(known, _)| known == name);
    let default = || match find(name).map(|setting| setting.default) {
        Some(Value(value)) => value.to_owned(),
        _ => String::new(),
    };
    own.map_or_else(default, |(_, value)| value.clone())
}

/// Checks one setting. `Ok`: it may be stored.
pub(crate) fn check(name: &str, value: &str) -> Result<(), ConfigError> {
    let Some(setting) = find(name) else {
        return Err(ConfigError::Unknown {
            name: name.to_owned(),
        });
    };
    let number = |low: i64, high: i64| {
        value
            .trim()
            .parse::<i64>()
            .is_ok_and(|number| (low..=high).contains(&number))
    };
    let good = match setting.kind {
        List(all) => {
            let mut parts = value
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty());
            parts.all(|part| all.contains(&part))
        }
        Choice(all) => all.contains(&value),
        Int(low, high) | Long(low, high) => number(low, high),
        Ratio => value
            .parse::<f64>()
            .is_ok_and(|ratio| (0.0..=1.0).contains(&ratio)),
        Bool => value == "true" || value == "false",
        Only(one) => value == one,
    };
    if good {
        Ok(())
    } else {
        Err(ConfigError::Invalid {
            name: setting.name,
            value: value.to_owned(),
            wanted: wanted(setting.kind),
        })
    }
}

fn wanted(kind: Kind) -> String {
    match kind {
        List(all) => format!("a list of {}", all.join(", ")),
        Choice(all) => all.join(" or "),
        Int(low, MAX) | Long(low, MAX) => format!("{low} or more"),
        Int(low, high) | Long(low, high) => format!("{low} to {high}"),
        Ratio => "0 to 1".to_owned(),
        Bool => "true or false".to_owned(),
        Only(one) => format!("{one}, the only one that this broker can do"),
    }
}

/// Everything there is to show of a topic with these settings of its own.
pub(crate) fn shown(own: &[(String, String)], defaults: &Defaults) -> Vec<Shown> {
    let each = SETTINGS.iter().map(|setting| {
        let value = own.iter().find(|(name, _)| name == setting.name);
        let default = default(setting, defaults);
        Shown {
            name: setting.name,
            value: value.map_or_else(|| default.clone(), |(_, value)| value.clone()),
            default,
            own: value.is_some(),
            fixed: setting.used == Fixed,
            kind: match setting.kind {
                Bool => 1,
                Choice(_) | Only("producer") => 2,
                Int(..) | Only("1") => 3,
                Long(..) => 5,
                Ratio => 6,
                List(_) => 7,
                Only(_) => 1,
            },
        }
    });
    each.collect()
}

impl TopicConfig {
    /// What stored settings come to. What cannot be read, or is not known, counts as not set: it was stored by a
    /// version that took it.
    pub(crate) fn of(own: &[(String, String)], defaults: &Defaults) -> Self {
        let text = |name: &str| {
            let own = own.iter().find(|(key, _)| key == name);
            let own = own.filter(|(key, value)| check(key, value).is_ok());
            own.map(|(_, value)| value.clone())
                .or_else(|| find(name).map(|setting| default(setting, defaults)))
                .unwrap_or_default()
        };
        let number = |name: &str| text(name).trim().parse::<i64>().unwrap_or(MAX);
        let policy = text("cleanup.policy");
        let has = |wanted: &str| policy.split(',').any(|part| part.trim() == wanted);
        Self {
            compact: has("compact"),
            delete: has("delete"),
            retention_ms: number("retention.ms"),
            retention_bytes: number("retention.bytes"),
            segment_bytes: number("segment.bytes").max(1).unsigned_abs(),
            segment_ms: number("segment.ms"),
            max_message_bytes: usize::try_from(number("max.message.bytes"))
                .unwrap_or(usize::MAX)
                .min(defaults.batch_bytes_max),
            log_append_time: text("message.timestamp.type") == "LogAppendTime",
            timestamp_after_max_ms: number("message.timestamp.after.max.ms"),
            timestamp_before_max_ms: number("message.timestamp.before.max.ms"),
            min_compaction_lag_ms: number("min.compaction.lag.ms"),
            max_compaction_lag_ms: number("max.compaction.lag.ms"),
            delete_retention_ms: number("delete.retention.ms"),
            min_cleanable_dirty_ratio: text("min.cleanable.dirty.ratio").parse().unwrap_or(0.5),
        }
    }
}

/// The table of `docs/specs/kafka.md`.
#[cfg(test)]
pub(crate) fn table(defaults: &Defaults) -> String {
    let mut out =
        String::from("| setting | may be | default | here |\n| --- | --- | --- | --- |\n");
    for setting in SETTINGS {
        let used = match setting.used {
            Honoured => "honoured",
            Indifferent => "taken, without effect",
            Fixed => "only this value",
        };
        let (name, wanted, default) = (
            setting.name,
            wanted(setting.kind),
            default(setting, defaults),
        );
        let wanted = wanted.split(", the only").next().unwrap_or_default();
        out.push_str(&format!("| `{name}` | {wanted} | {default} | {used} |\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: Defaults = Defaults {
        segment_bytes: 1 << 30,
        batch_bytes_max: 1_000,
    };

    #[test]
    fn every_default_is_a_legal_value() {
        for setting in SETTINGS {
            let value = default(
                setting,
                &Defaults {
                    segment_bytes: 1 << 30,
                    batch_bytes_max: 1,
                },
            );
            assert_eq!(check(setting.name, &value), Ok(()));
        }
    }

    #[test]
    fn settings_are_taken_up_to_their_limits() {
        for (name, value, good) in [
            ("retention.ms", "-1", true),
            ("retention.ms", "-2", false),
            ("segment.bytes", "1048576", true),
            ("segment.bytes", "1048575", false),
            ("segment.bytes", "2147483648", false),
            ("min.cleanable.dirty.ratio", "1", true),
            ("min.cleanable.dirty.ratio", "1.1", false),
            ("min.cleanable.dirty.ratio", "NaN", false),
            ("cleanup.policy", "compact, delete", true),
            ("cleanup.policy", "compact,burn", false),
            ("min.insync.replicas", "2", false),
            ("compression.type", "gzip", false),
            ("no.such", "1", false),
        ] {
            assert_eq!(check(name, value).is_ok(), good, "{name} = {value}");
        }
        assert_eq!(
            check("min.insync.replicas", "2")
                .expect_err("refused")
                .to_string(),
            "topic setting `min.insync.replicas` is `2`, must be 1, the only one that this broker can do"
        );
    }

    #[test]
    fn what_cannot_be_read_counts_as_not_set() {
        let own = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        let config = TopicConfig::of(&own("cleanup.policy", "compact,delete"), &DEFAULTS);
        assert!(config.compact && config.delete);
        let config = TopicConfig::of(&own("retention.ms", "soon"), &DEFAULTS);
        assert_eq!(config.retention_ms, -1);
        // A topic may not take more than the broker.
        let config = TopicConfig::of(&own("max.message.bytes", "5000"), &DEFAULTS);
        assert_eq!(config.max_message_bytes, 1_000);
    }
}
