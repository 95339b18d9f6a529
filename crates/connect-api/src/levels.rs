//! `/admin/loggers`: what is logged, changed while it runs.
//!
//! Invariant: a level that could not be applied is not shown as if it were.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::error::WorkerError;

/// Most loggers with a level of their own.
const LOGGERS_MAX: usize = 1_000;
/// Most bytes of a logger's name.
const NAME_BYTES_MAX: usize = 200;
/// Kafka Connect's name for all.
const ROOT: &str = "root";

/// A logger's level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Level {
    /// `TRACE`, `DEBUG`, `INFO`, `WARN`, `ERROR` or `OFF`.
    pub level: String,
    /// Milliseconds since 1970; `None` = since the start.
    pub last_modified: Option<i64>,
}

type Apply = dyn Fn(&str) -> Result<(), String> + Send + Sync;

/// Levels of loggers, and how they come into force.
pub struct LogLevels {
    apply: Box<Apply>,
    levels: Mutex<BTreeMap<String, Level>>,
}

impl fmt::Debug for LogLevels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogLevels").finish_non_exhaustive()
    }
}

impl LogLevels {
    /// Begins with `root` for everything. `apply` is given directives as `tracing_subscriber`'s
    /// `EnvFilter` reads them, for instance `info,connector::service=debug`; what it returns as an
    /// error goes to the client.
    pub fn new(
        root: &str,
        apply: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        let root = Level {
            level: level_of(root).unwrap_or("INFO").to_owned(),
            last_modified: None,
        };
        Self {
            apply: Box::new(apply),
            levels: Mutex::new(BTreeMap::from([(ROOT.to_owned(), root)])),
        }
    }

    /// Those that have a level of their own.
    pub fn all(&self) -> BTreeMap<String, Level> {
        self.lock().clone()
    }

    /// One of them.
    ///
    /// # Errors
    ///
    /// [`WorkerError::NotFound`].
    pub fn one(&self, name: &str) -> Result<Level, WorkerError> {
        let found = self.lock().get(name).cloned();
        found.ok_or_else(|| WorkerError::NotFound {
            message: format!("Logger {name} not found."),
        })
    }

    /// Gives a logger and all below it a level; their names. The name is that of a module; dots may
    /// stand for its colons.
    ///
    /// # Errors
    ///
    /// [`WorkerError::NotFound`] for an unknown level, as Kafka Connect has it;
    /// [`WorkerError::BadRequest`] for a name that is none, or too many.
    pub fn set(&self, name: &str, level: &str) -> Result<Vec<String>, WorkerError> {
        let Some(level) = level_of(level) else {
            return Err(WorkerError::NotFound {
                message: format!("invalid log level '{level}'."),
            });
        };
        let refuse = |message: String| Err(WorkerError::BadRequest { message });
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-$".contains(&byte);
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(legal) {
            return refuse(format!("{name:?} is no logger's name"));
        }
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let new = Level {
            level: level.to_owned(),
            last_modified: i64::try_from(now.as_millis()).ok(),
        };
        let mut levels = self.lock();
        let mut changed = levels.clone();
        if !changed.contains_key(name) && changed.len() >= LOGGERS_MAX {
            return refuse(format!(
                "at most {LOGGERS_MAX} loggers have a level of their own"
            ));
        }
        let below = |known: &str| {
            let rest = known.strip_prefix(name);
            name == ROOT || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', ':']))
        };
        changed.insert(name.to_owned(), new.clone());
        let mut names = Vec::new();
        for (known, level) in &mut changed {
            if below(known) {
                *level = new.clone();
                names.push(known.clone());
            }
        }
        if let Err(message) = (self.apply)(&directives(&changed)) {
            return Err(WorkerError::Internal { message });
        }
        *levels = changed;
        Ok(names)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Level>> {
        self.levels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Also those of log4j that there are not here.
fn level_of(text: &str) -> Option<&'static str> {
    let text = text.trim().to_ascii_uppercase();
    Some(match text.as_str() {
        "ALL" | "TRACE" => "TRACE",
        "DEBUG" => "DEBUG",
        "INFO" => "INFO",
        "WARN" => "WARN",
        "ERROR" | "FATAL" => "ERROR",
        "OFF" => "OFF",
        _ => return None,
    })
}

fn directives(levels: &BTreeMap<String, Level>) -> String {
    let each = levels.iter().map(|(name, level)| {
        let level = level.level.to_ascii_lowercase();
        match name.as_str() {
            ROOT => level,
            name => format!("{}={level}", name.replace("::", ".").replace('.', "::")),
        }
    });
    each.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn levels_come_into_force_and_reach_what_is_below() {
        let applied = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&applied);
        let levels = LogLevels::new("info", move |text| {
            if text.contains("broken") {
                return Err("no such module".to_owned());
            }
            seen.lock().expect("whole").push(text.to_owned());
            Ok(())
        });
        assert_eq!(
            levels.set("connector.ibm", "debug").expect("set"),
            ["connector.ibm"]
        );
        let both = levels.set("connector", "TRACE").expect("set");
        assert_eq!(both, ["connector", "connector.ibm"]);
        assert_eq!(levels.set("connect", "warn").expect("set"), ["connect"]);
        assert_eq!(
            applied.lock().expect("whole").last().map(String::as_str),
            Some("connect=warn,connector=trace,connector::ibm=trace,info")
        );
        assert_eq!(levels.set("root", "fatal").expect("set").len(), 4);
        assert_eq!(levels.one("connector.ibm").expect("there").level, "ERROR");
        assert!(levels.set("broken", "info").is_err());
        assert!(matches!(
            levels.one("broken"),
            Err(WorkerError::NotFound { .. })
        ));
        assert!(matches!(
            levels.set("a=b,c", "info"),
            Err(WorkerError::BadRequest { .. })
        ));
    }

    #[test]
    fn there_are_not_more_loggers_than_the_limit() {
        let levels = LogLevels::new("info", |_| Ok(()));
        for number in 1..LOGGERS_MAX {
            levels.set(&format!("m{number}"), "debug").expect("fits");
        }
        assert!(matches!(
            levels.set("more", "debug"),
            Err(WorkerError::BadRequest { .. })
        ));
        levels.set("m1", "info").expect("is there already");
    }
}
