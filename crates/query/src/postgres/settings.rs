//! Settings of a session, as far as clients ask for them or set them.
//!
//! Invariant: what is accepted is either kept and shown, or said to be what it is anyway; a setting that would have to change
//! something that it does not change is refused.

use std::collections::BTreeMap;
use std::time::Duration;

/// Version of PostgreSQL whose behaviour clients may expect.
pub(super) const SERVER_VERSION: &str = "16.0";
const SERVER_VERSION_NUM: &str = "160000";

/// Settings that clients know, and their values.
const KNOWN: &[(&str, &str)] = &[
    ("application_name", ""),
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("datestyle", "ISO, YMD"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "on"),
    ("extra_float_digits", "1"),
    ("idle_in_transaction_session_timeout", "0"),
    ("in_hot_standby", "off"),
    ("integer_datetimes", "on"),
    ("intervalstyle", "postgres"),
    ("is_superuser", "off"),
    ("lc_collate", "C"),
    ("lc_ctype", "C"),
    ("lock_timeout", "0"),
    ("max_identifier_length", "63"),
    ("max_index_keys", "32"),
    ("search_path", "public"),
    ("server_encoding", "UTF8"),
    ("server_version", SERVER_VERSION),
    ("server_version_num", SERVER_VERSION_NUM),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("timezone", "UTC"),
    ("transaction_isolation", "read committed"),
    ("transaction_read_only", "on"),
    ("transaction isolation level", "read committed"),
];

/// Settings that a session may change: they are kept, and change nothing that Daybook shows otherwise.
const FREE: &[&str] = &[
    "application_name",
    "bytea_output",
    "client_min_messages",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "extra_float_digits",
    "idle_in_transaction_session_timeout",
    "lock_timeout",
    "search_path",
    "transaction",
    "transaction_isolation",
];

/// Settings that may be set to what they are, however it is written.
const FIXED: &[(&str, &[&str])] = &[
    ("client_encoding", &["utf8", "utf-8", "unicode"]),
    ("datestyle", &["iso", "iso, ymd", "iso, mdy", "iso, dmy"]),
    ("intervalstyle", &["postgres"]),
    ("standard_conforming_strings", &["on", "true", "1"]),
    ("timezone", &["utc", "etc/utc", "gmt", "z", "0"]),
];
/// Longest value that is kept, in bytes.
const VALUE_BYTES_MAX: usize = 1_024;

/// A setting is not known, or cannot be that.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SettingError {
    /// Not known.
    Unknown,
    /// Known, and cannot be changed so.
    Refused(String),
}

/// What one session has set.
#[derive(Debug, Default)]
pub(super) struct Settings(BTreeMap<String, String>);

impl Settings {
    /// A setting's value; names in lower case.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let own = self.0.get(name).map(String::as_str);
        own.or_else(|| default_of(name))
    }

    /// All settings.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        let names = KNOWN.iter().filter(|(name, _)| !name.contains(' '));
        names.map(|(name, default)| (*name, self.get(name).unwrap_or(default)))
    }

    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), SettingError> {
        if value.eq_ignore_ascii_case("default") {
            self.0.remove(name);
            return Ok(());
        }
        if value.len() > VALUE_BYTES_MAX {
            let why = format!("a value may have {VALUE_BYTES_MAX} bytes");
            return Err(SettingError::Refused(why));
        }
        if let Some((_, same)) = FIXED.iter().find(|(known, _)| *known == name) {
            return match same.contains(&value.to_lowercase().as_str()) {
                true => Ok(()),
                false => Err(SettingError::Refused(format!(
                    "it is always {}",
                    default_of(name).unwrap_or_default()
                ))),
            };
        }
        if name == "statement_timeout" {
            if milliseconds(value).is_none() {
                let why = "it is a time such as 5000, '5s' or '1min'".to_owned();
                return Err(SettingError::Refused(why));
            }
            self.0.insert(name.to_owned(), value.to_owned());
            return Ok(());
        }
        if FREE.contains(&name) {
            self.0.insert(name.to_owned(), value.to_owned());
            return Ok(());
        }
        Err(match default_of(name) {
            Some(_) => SettingError::Refused("it cannot be changed".to_owned()),
            None => SettingError::Unknown,
        })
    }

    /// One setting, or all, as at the beginning.
    pub(super) fn reset(&mut self, name: &str) {
        match name {
            "all" => self.0.clear(),
            name => drop(self.0.remove(name)),
        }
    }

    /// The longest time of a statement that the session wants.
    pub(super) fn time_max(&self) -> Option<Duration> {
        let millis = milliseconds(self.0.get("statement_timeout")?)?;
        (millis > 0).then(|| Duration::from_millis(millis))
    }
}

/// Value of a setting that nobody has changed.
pub(crate) fn default_of(name: &str) -> Option<&'static str> {
    let found = KNOWN.iter().find(|(known, _)| *known == name);
    found.map(|(_, value)| *value)
}

/// Milliseconds of `5000`, `5s` or `1min`.
fn milliseconds(value: &str) -> Option<u64> {
    let value = value.trim();
    let digits = value.trim_end_matches(|unit: char| unit.is_ascii_alphabetic() || unit == ' ');
    let unit = match value[digits.len()..].trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_nothing_is_accepted_and_the_rest_is_refused() {
        let mut settings = Settings::default();
        let refused = |text: &str| Err(SettingError::Refused(text.to_owned()));
        for (name, value, expected) in [
            ("application_name", "psql", Ok(())),
            ("extra_float_digits", "3", Ok(())),
            ("client_encoding", "UTF8", Ok(())),
            ("client_encoding", "LATIN1", refused("it is always UTF8")),
            ("timezone", "UTC", Ok(())),
            ("timezone", "Europe/Zagreb", refused("it is always UTC")),
            ("datestyle", "ISO", Ok(())),
            ("datestyle", "German", refused("it is always ISO, YMD")),
            ("statement_timeout", "5s", Ok(())),
            (
                "statement_timeout",
                "soon",
                refused("it is a time such as 5000, '5s' or '1min'"),
            ),
            ("server_version", "9", refused("it cannot be changed")),
            (
                "datafusion.execution.batch_size",
                "1",
                Err(SettingError::Unknown),
            ),
            ("application_name", &"x".repeat(1_024), Ok(())),
            (
                "application_name",
                &"x".repeat(1_025),
                refused("a value may have 1024 bytes"),
            ),
        ] {
            assert_eq!(settings.set(name, value), expected, "{name} = {value}");
        }
        assert_eq!(settings.time_max(), Some(Duration::from_secs(5)));
        assert_eq!(settings.get("extra_float_digits"), Some("3"));
        settings.reset("statement_timeout");
        assert_eq!(settings.time_max(), None);
        settings.reset("all");
        assert_eq!(settings.get("extra_float_digits"), Some("1"));
        assert_eq!(settings.get("nothing"), None);
    }
}
