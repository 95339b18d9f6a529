//! The sources, and how they are replaced while requests come.
//!
//! # Where this sits
//!
//! ```text
//! Reloader ──replace──► Registry (you are here) ──one Arc a request──► service, tcp, ingest
//! ```
//!
//! # Invariants
//!
//! - **All or nothing**: a request sees the sources of before or those of afterwards, and keeps what it began with.
//! - **Nothing that is named goes away**: links, clients, addresses and other parts of the process name sources; a replacement that one of
//!   them would not fit is refused, and changes nothing.
//! - **Counts never go back**: a source's counters stay when it does not, and go on when it comes again.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use mapping::{Format, Mapping};

use crate::metrics::{GatewayMetrics, SourceMetrics};
use crate::options::{GatewayOptions, InvalidOption, Reply, TcpOptions};

/// A configured source.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) mapping: Mapping,
    pub(crate) name: Arc<str>,
    pub(crate) metrics: Arc<SourceMetrics>,
}

/// All sources at one time.
#[derive(Debug, Default)]
pub(crate) struct Sources(HashMap<Arc<str>, Arc<Source>>);

impl Sources {
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Source>> {
        self.0.get(name)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The mappings by name.
    pub(crate) fn mappings(&self) -> Vec<&Mapping> {
        let mut mappings: Vec<&Mapping> = self.0.values().map(|source| &source.mapping).collect();
        mappings.sort_by_key(|mapping| mapping.source());
        mappings
    }

    fn mapping(&self, name: &str) -> Option<&Mapping> {
        self.get(name).map(|source| &source.mapping)
    }
}

/// A source that something names.
#[derive(Debug)]
struct Named {
    by: String,
    source: String,
}

/// The sources in force, and what may not be taken from under the others.
#[derive(Debug)]
pub(crate) struct Registry {
    current: RwLock<Arc<Sources>>,
    metrics: Arc<GatewayMetrics>,
    links: Vec<TcpOptions>,
    /// By clients and addresses: these only have to be there.
    named: Vec<Named>,
    /// By other parts of the process, which have looked at what the source is.
    used: RwLock<Vec<Named>>,
}

impl Registry {
    /// # Errors
    ///
    /// The name of a source that is there twice.
    pub(crate) fn new(
        options: &GatewayOptions,
        sources: Vec<Mapping>,
        metrics: Arc<GatewayMetrics>,
    ) -> Result<Arc<Self>, String> {
        let sources = named(sources, &metrics)?;
        metrics.add_sources(sources.0.values().map(|source| &source.metrics));
        Ok(Arc::new(Self {
            current: RwLock::new(Arc::new(sources)),
            metrics,
            links: options.tcp.clone(),
            named: names(options),
            used: RwLock::default(),
        }))
    }

    /// The sources in force: for as long as they are held they stay as they are.
    pub(crate) fn current(&self) -> Arc<Sources> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// One of the sources in force.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Source>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.get(name).cloned()
    }

    fn replace(&self, sources: Vec<Mapping>) -> Result<Changed, ReloadError> {
        let duplicate = |name| ReloadError::Duplicate { name };
        let next = named(sources, &self.metrics).map_err(duplicate)?;
        // Held through, so that what was compared is what is replaced.
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        self.check(&current, &next)?;
        let changed = Changed::between(&current, &next);
        self.metrics
            .add_sources(next.0.values().map(|source| &source.metrics));
        let before = std::mem::replace(&mut *current, Arc::new(next));
        drop(current);
        // Mappings are large: what nobody uses any more goes while others read.
        drop(before);
        Ok(changed)
    }

    fn check(&self, current: &Sources, next: &Sources) -> Result<(), ReloadError> {
        for link in &self.links {
            check_link(link, next.mapping(&link.source))?;
        }
        let used = self.used.read().unwrap_or_else(PoisonError::into_inner);
        for Named { by, source } in used.iter().chain(&self.named) {
            // A name that never was one of a source can be no reason.
            if current.get(source).is_some() && next.get(source).is_none() {
                let (by, name) = (by.clone(), source.clone());
                return Err(ReloadError::Gone { by, name });
            }
        }
        for Named { by, source } in used.iter() {
            let (Some(old), Some(new)) = (current.mapping(source), next.mapping(source)) else {
                continue;
            };
            if let Some(what) = differs(old, new) {
                let (by, name) = (by.clone(), source.clone());
                return Err(ReloadError::Differs { by, name, what });
            }
        }
        Ok(())
    }
}

/// What changes how files are cut and messages are read.
fn differs(old: &Mapping, new: &Mapping) -> Option<&'static str> {
    if old.format() != new.format() {
        return Some("format");
    }
    let cut = |mapping: &Mapping| (mapping.is_divisible(), mapping.rows());
    (cut(old) != cut(new)).then_some("way of cutting it into records")
}

/// Sources by name, each with its counters: those that it had, if it was there before.
fn named(sources: Vec<Mapping>, metrics: &GatewayMetrics) -> Result<Sources, String> {
    let known = metrics.sources();
    let mut by_name = HashMap::with_capacity(sources.len());
    for mapping in sources {
        let name: Arc<str> = mapping.source().into();
        let metrics = known.iter().find(|known| *known.source == *name);
        let source = Source {
            metrics: metrics.cloned().unwrap_or_else(|| {
                Arc::new(SourceMetrics {
                    source: (&*name).into(),
                    ..SourceMetrics::default()
                })
            }),
            mapping,
            name: Arc::clone(&name),
        };
        if by_name
            .insert(Arc::clone(&name), Arc::new(source))
            .is_some()
        {
            return Err(name.to_string());
        }
    }
    Ok(Sources(by_name))
}

/// The sources that settings name one by one, without `*`.
fn names(options: &GatewayOptions) -> Vec<Named> {
    let mut named = Vec::new();
    let mut add = |by: String, sources: &[String]| {
        for source in sources
            .iter()
            .filter(|pattern| !pattern.contains(['*', '?']))
        {
            let (by, source) = (by.clone(), source.clone());
            named.push(Named { by, source });
        }
    };
    for client in &options.clients {
        add(format!("the client {:?}", client.name), &client.sources);
    }
    for http in &options.http {
        add(format!("the address {}", http.address), &http.sources);
    }
    named
}

/// Messages without HTTP have nothing but themselves to be told by.
pub(crate) fn check_link(tcp: &TcpOptions, source: Option<&Mapping>) -> Result<(), InvalidOption> {
    let refused = |key, rule| InvalidOption {
        key,
        value: format!("{:?}", tcp.source),
        rule,
    };
    let mapping = source.ok_or_else(|| refused("tcp.source", "a source that is configured"))?;
    if !mapping.has_natural_id() {
        let rule = "a source with a natural id, as a message that comes again has nothing else to be told by";
        return Err(refused("tcp.source", rule));
    }
    match tcp.reply == Some(Reply::Iso8583) && mapping.format() != Format::Iso8583 {
        true => Err(refused("tcp.source", "one of ISO 8583 where `reply` is")),
        false => Ok(()),
    }
}

/// Replaces the sources of a gateway while it runs.
#[derive(Debug, Clone)]
pub struct Reloader {
    registry: Arc<Registry>,
}

impl Reloader {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        Self { registry }
    }

    /// Says that another part of the process uses a source, `by` for people: it must stay, with its format and its way of being cut into records.
    pub fn used_by(&self, by: impl Into<String>, source: impl Into<String>) {
        let (by, source) = (by.into(), source.into());
        let used = self.registry.used.write();
        let mut used = used.unwrap_or_else(PoisonError::into_inner);
        used.push(Named { by, source });
    }

    /// Puts these sources in the place of all: requests that begin afterwards see them, others end with what they began with.
    ///
    /// **Cost:** requests wait for microseconds, however many sources there are.
    ///
    /// # Errors
    ///
    /// [`ReloadError`]; then nothing has changed.
    pub fn replace(&self, sources: Vec<Mapping>) -> Result<Changed, ReloadError> {
        self.registry.replace(sources)
    }
}

/// What a replacement has changed, by names in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Sources that were not there.
    pub added: Vec<String>,
    /// Sources that are not there any more.
    pub removed: Vec<String>,
    /// Sources that were there and are, with the same mapping or another.
    pub kept: usize,
}

impl Changed {
    fn between(old: &Sources, new: &Sources) -> Self {
        let missing = |these: &Sources, from: &Sources| {
            let names = these.0.keys().filter(|name| from.get(name).is_none());
            let mut names: Vec<String> = names.map(ToString::to_string).collect();
            names.sort();
            names
        };
        let added = missing(new, old);
        Self {
            kept: new.len() - added.len(),
            removed: missing(old, new),
            added,
        }
    }
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} sources are as their files say now",
            self.kept + self.added.len()
        )?;
        for (what, names) in [("new", &self.added), ("gone", &self.removed)] {
            if !names.is_empty() {
                write!(f, "; {what}: {}", names.join(", "))?;
            }
        }
        Ok(())
    }
}

/// Why sources were not replaced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// Two mappings have the same source.
    #[error("the source {name} is configured twice")]
    Duplicate {
        /// Its name.
        name: String,
    },
    /// A source would be gone that something names.
    #[error(
        "there would be no source {name} any more, but {by} names it: take it out there first, and start again"
    )]
    Gone {
        /// What names it.
        by: String,
        /// The source.
        name: String,
    },
    /// A source would be read otherwise than who uses it expects.
    #[error(
        "the {what} of the source {name} is another, and {by} has begun with what it was: start again"
    )]
    Differs {
        /// Who uses it.
        by: String,
        /// The source.
        name: String,
        /// What is another.
        what: &'static str,
    },
    /// A `[[gateway.tcp]]` would not fit its source any more.
    #[error(transparent)]
    Link(#[from] InvalidOption),
}
