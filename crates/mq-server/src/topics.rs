//! Publish and subscribe: which subscriptions a publication goes to.
//!
//! A subscription is a pattern of topics and a queue; a publication becomes one message on the queue of
//! each subscription that it matches, all within the publisher's unit of work. Subscriptions live as
//! long as their handle.
//!
//! Invariants: topic strings, their levels and the subscriptions are bounded, so is the work that a
//! publication is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use queue_manager::{Condition, Message, MsgId};

/// Longest topic string in bytes (IBM MQ's MQ_TOPIC_STR_LENGTH).
pub(crate) const TOPIC_BYTES_MAX: usize = 10_240;
/// Most levels of a topic string.
pub(crate) const TOPIC_LEVELS_MAX: usize = 100;

/// Why a text is no topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TopicError {
    #[error("the topic string is empty")]
    Empty,
    #[error("the topic string has {bytes} bytes, {TOPIC_BYTES_MAX} are allowed")]
    TooLong { bytes: usize },
    #[error("the topic string has {levels} levels, {TOPIC_LEVELS_MAX} are allowed")]
    TooDeep { levels: usize },
    #[error("the topic string has a zero in it")]
    Zero,
    #[error("nobody publishes to a topic string with a wildcard")]
    Wildcard,
}

/// What is published to: a topic without wildcards.
pub(crate) fn check_topic(text: &str) -> Result<(), TopicError> {
    check_string(text)?;
    match text.split('/').any(|level| level == "#" || level == "+") {
        true => Err(TopicError::Wildcard),
        false => Ok(()),
    }
}

fn check_string(text: &str) -> Result<(), TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    if text.len() > TOPIC_BYTES_MAX {
        return Err(TopicError::TooLong { bytes: text.len() });
    }
    let levels = text.split('/').count();
    if levels > TOPIC_LEVELS_MAX {
        return Err(TopicError::TooDeep { levels });
    }
    match text.contains('\0') {
        true => Err(TopicError::Zero),
        false => Ok(()),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Level {
    /// Exactly this, which may be empty.
    Name(String),
    /// `+`: any one level.
    One,
    /// `#`: any number of levels, also none.
    Any,
}

/// Which topics a subscription is for (IBM MQ, "Topic-based wildcard scheme"): `+` and `#` stand
/// for levels when they are the whole of one, anywhere in the string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Level>);

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Self, TopicError> {
        check_string(text)?;
        let level = |level: &str| match level {
            "+" => Level::One,
            "#" => Level::Any,
            name => Level::Name(name.to_owned()),
        };
        let mut levels: Vec<Level> = text.split('/').map(level).collect();
        levels.dedup_by(|a, b| *a == Level::Any && *b == Level::Any);
        Ok(Self(levels))
    }

    /// Goes back at most to the last `#`: the time is bounded by the product of the levels.
    pub(crate) fn matches(&self, topic: &str) -> bool {
        let topic: Vec<&str> = topic.split('/').collect();
        let (mut at, mut part) = (0, 0);
        let mut last_any: Option<(usize, usize)> = None;
        while at < topic.len() {
            let fits = match self.0.get(part) {
                Some(Level::Any) => {
                    last_any = Some((part, at));
                    part += 1;
                    continue;
                }
                Some(Level::One) => true,
                Some(Level::Name(name)) => topic.get(at) == Some(&name.as_str()),
                None => false,
            };
            if fits {
                at += 1;
                part += 1;
            } else if let Some((any, from)) = last_any {
                at = from + 1;
                part = any + 1;
                last_any = Some((any, at));
            } else {
                return false;
            }
        }
        let rest = self.0.get(part..).unwrap_or_default();
        rest.iter().all(|part| *part == Level::Any)
    }
}

/// A subscription.
pub(crate) struct Subscription {
    pub(crate) pattern: Pattern,
    /// Where its publications go.
    pub(crate) queue: Arc<str>,
    /// The queue is temporary and keeps no persistent messages.
    pub(crate) is_temporary: bool,
    /// Which publications.
    pub(crate) condition: Option<Condition>,
    /// Publications get this correlation identifier; `None` = keep theirs.
    pub(crate) correl_id: Option<MsgId>,
    /// Publications get this priority; `None` = keep theirs.
    pub(crate) priority: Option<u8>,
    /// Who subscribed: must be allowed to have what is published.
    pub(crate) user: String,
    /// The conversation that made it.
    pub(crate) owner: u64,
}

/// All subscriptions.
pub(crate) struct Topics {
    max: usize,
    state: Mutex<State>,
}

impl std::fmt::Debug for Topics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Topics")
            .field("subscriptions", &self.lock().subscriptions.len())
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    next: u64,
    subscriptions: BTreeMap<u64, Arc<Subscription>>,
}

/// Keeps a subscription; without it there is none.
#[derive(Debug)]
pub(crate) struct Subscribed {
    topics: Arc<Topics>,
    number: u64,
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        self.topics.lock().subscriptions.remove(&self.number);
    }
}

impl Topics {
    /// Takes up to `max` subscriptions at a time.
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            state: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the map is half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` when there are too many.
    pub(crate) fn subscribe(self: &Arc<Self>, subscription: Subscription) -> Option<Subscribed> {
        let mut state = self.lock();
        if state.subscriptions.len() >= self.max {
            return None;
        }
        let number = state.next;
        state.next += 1;
        state.subscriptions.insert(number, Arc::new(subscription));
        Some(Subscribed {
            topics: Arc::clone(self),
            number,
        })
    }

    /// Subscriptions that want a publication, in the order they were made, without those of `not_of`.
    /// Selectors are asked without the lock.
    pub(crate) fn matching(
        &self,
        topic: &str,
        message: &Message,
        not_of: Option<u64>,
    ) -> Vec<Arc<Subscription>> {
        let mut found: Vec<_> = {
            let state = self.lock();
            let all = state.subscriptions.values();
            all.filter(|known| Some(known.owner) != not_of && known.pattern.matches(topic))
                .map(Arc::clone)
                .collect()
        };
        found.retain(|known| {
            let condition = known.condition.as_ref();
            condition.is_none_or(|condition| condition(message))
        });
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pattern, a topic that it matches, one that it does not.
    const TABLE: &[(&str, &str, &str)] = &[
        ("a/b", "a/b", "a/b/"),
        ("a", "a", "/a"),
        ("a/+", "a/b", "a/b/c"),
        ("a/+", "a/", "a"),
        ("+", "a", "a/b"),
        ("+/b", "a/b", "b"),
        ("/+", "/a", "a"),
        ("#", "a", ""),
        ("#", "/", ""),
        ("a/#", "a", "b"),
        ("a/#", "a/b/c", "ab"),
        ("#/c", "c", "c/d"),
        ("#/c", "a/b/c", "a/b/cc"),
        ("a/#/c", "a/c", "a/b"),
        ("a/#/c", "a/b/c/c", "a/b/c/d"),
        ("a/#/+/c", "a/b/c", "a/c"),
        ("#/b/#", "a/b/c", "a/c"),
        ("a/#/#/b", "a/b", "a/c"),
        ("a+/b#", "a+/b#", "a1/b2"),
        ("a/*", "a/*", "a/b"),
        ("\u{e5}/+", "\u{e5}/\u{e6}", "a/b"),
    ];

    #[test]
    fn wildcards_stand_for_levels() {
        for (pattern, yes, no) in TABLE {
            let parsed = Pattern::parse(pattern).expect("fine");
            assert!(parsed.matches(yes), "{pattern} {yes}");
            assert!(no.is_empty() || !parsed.matches(no), "{pattern} {no}");
        }
    }

    #[test]
    fn each_limit_holds_at_its_number() {
        let long = |bytes: usize| "x".repeat(bytes);
        assert_eq!(check_topic(&long(TOPIC_BYTES_MAX)), Ok(()));
        let bytes = TOPIC_BYTES_MAX + 1;
        assert_eq!(
            check_topic(&long(bytes)),
            Err(TopicError::TooLong { bytes })
        );
        let deep = |levels: usize| vec!["x"; levels].join("/");
        assert!(Pattern::parse(&deep(TOPIC_LEVELS_MAX)).is_ok());
        let levels = TOPIC_LEVELS_MAX + 1;
        let error = Pattern::parse(&deep(levels));
        assert_eq!(error, Err(TopicError::TooDeep { levels }));
        assert_eq!(check_topic(""), Err(TopicError::Empty));
        assert_eq!(check_topic("a/\0"), Err(TopicError::Zero));
        assert_eq!(check_topic("a/#"), Err(TopicError::Wildcard));
        assert_eq!(check_topic("+"), Err(TopicError::Wildcard));
        assert_eq!(check_topic("a+/b#"), Ok(()));

        let topics = Topics::new(2);
        let subscribe = || topics.subscribe(subscription("a", 1));
        let (_first, second) = (subscribe().expect("one"), subscribe().expect("two"));
        assert!(subscribe().is_none());
        drop(second);
        assert!(subscribe().is_some());
    }

    #[test]
    fn matching_takes_no_exponential_time() {
        let pattern = vec!["#/a"; TOPIC_LEVELS_MAX / 2].join("/");
        let topic = format!("{}/b", vec!["a"; TOPIC_LEVELS_MAX - 1].join("/"));
        assert!(!Pattern::parse(&pattern).expect("fine").matches(&topic));
    }

    fn subscription(pattern: &str, owner: u64) -> Subscription {
        Subscription {
            pattern: Pattern::parse(pattern).expect("fine"),
            queue: "Q".into(),
            is_temporary: true,
            condition: None,
            correl_id: None,
            priority: None,
            user: String::new(),
            owner,
        }
    }

    #[test]
    fn a_publication_goes_to_those_who_want_it() {
        let topics = Topics::new(10);
        let mut selective = subscription("#", 1);
        selective.condition = Some(Arc::new(|message: &Message| message.priority > 3));
        let _kept: Vec<_> = [
            subscription("a/b", 1),
            subscription("a/+", 7),
            selective,
            subscription("c", 1),
        ]
        .into_iter()
        .map(|subscription| topics.subscribe(subscription).expect("room"))
        .collect();
        let mut message = queue_manager::NewMessage::default().preview();
        assert_eq!(topics.matching("a/b", &message, None).len(), 2);
        assert_eq!(topics.matching("a/b", &message, Some(7)).len(), 1);
        message.priority = 4;
        assert_eq!(topics.matching("a/b", &message, None).len(), 3);
        assert_eq!(topics.matching("x", &message, None).len(), 1);
        drop(_kept);
        assert_eq!(topics.matching("a/b", &message, None).len(), 0);
    }
}
