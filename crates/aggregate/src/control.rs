//! Which definition of an aggregation is in force: records of the compacted topic `__daybook_control`.
//!
//! ```text
//! key    daily_totals
//! value  {"generation":2,"fingerprint":"…","partitions":4,"sql":"SELECT …","declared":"…"}
//! ```
//!
//! A process that starts with another definition raises the generation; one that meets a higher generation than its own has
//! the older configuration and stops.

use serde::{Deserialize, Serialize};

use crate::options::Definition;

/// A definition that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// From 1.
    pub generation: u32,
    /// Of the definition.
    pub fingerprint: String,
    /// Partitions of the input: which records are counted together depends on their number.
    pub partitions: i32,
    /// For people.
    pub sql: String,
    /// All of it as it was declared ([`AggregationOptions::declared`](crate::AggregationOptions)). Empty of older programs.
    #[serde(default)]
    pub declared: String,
}

/// Reads a record of the control topic: the aggregation, and what is in force of it. `None` when it is not one.
pub fn parse_control(key: &[u8], value: &[u8]) -> Option<(String, Control)> {
    let name = std::str::from_utf8(key).ok()?;
    Some((name.to_owned(), serde_json::from_slice(value).ok()?))
}

/// What a process does about the definition in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is its own.
    Follow(Definition),
    /// Its own is new: this comes into force.
    Raise(Definition),
}

/// `starting`: the process begins; later on another definition is somebody else's change. Error: the generation in force.
pub(crate) fn decide(
    in_force: Option<&Control>,
    fingerprint: &str,
    starting: bool,
) -> Result<Decision, u32> {
    let own = |generation| Definition {
        generation,
        fingerprint: fingerprint.to_owned(),
    };
    match in_force {
        None => Ok(Decision::Raise(own(1))),
        Some(control) if control.fingerprint == fingerprint => {
            Ok(Decision::Follow(own(control.generation)))
        }
        Some(control) if starting => Ok(Decision::Raise(own(control.generation + 1))),
        Some(control) => Err(control.generation),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_starts_with_something_else_raises_and_who_runs_gives_way() {
        let control = Control {
            generation: 7,
            fingerprint: "a".to_owned(),
            partitions: 1,
            sql: "SELECT 1".to_owned(),
            declared: "name = \"x\"".to_owned(),
        };
        let definition = |generation, fingerprint: &str| Definition {
            generation,
            fingerprint: fingerprint.to_owned(),
        };
        for starting in [true, false] {
            assert_eq!(
                decide(None, "a", starting),
                Ok(Decision::Raise(definition(1, "a")))
            );
            assert_eq!(
                decide(Some(&control), "a", starting),
                Ok(Decision::Follow(definition(7, "a")))
            );
        }
        assert_eq!(
            decide(Some(&control), "b", true),
            Ok(Decision::Raise(definition(8, "b")))
        );
        assert_eq!(decide(Some(&control), "b", false), Err(7));
        let value = serde_json::to_vec(&control).expect("serializes");
        let parsed = parse_control(b"x", &value);
        assert_eq!(parsed, Some(("x".to_owned(), control)));
    }
}
