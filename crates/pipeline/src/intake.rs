//! `[[intake]]`: messages of a queue that go through the gateway, as if they had been posted.
//!
//! # Invariants
//!
//! - **A message is off its queue after the gateway has answered for it**: on disk, or refused and in the quarantine. Until then it is in a
//!   unit of work that a crash backs out.
//! - **One that comes again counts once**: its records have their natural ids, or else ids made of the message's own identity, which does not
//!   change when it is delivered again.
//! - While the gateway cannot put, nothing is taken off; what was got is backed out and tried again.

use std::sync::Arc;
use std::time::Duration;

use connector::{BatchLimits, Incoming, Reader, Source};
use gateway::{Intake, NotTaken};
use mapping::{Format, Mapping};
use serde::Deserialize;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::outbox::AnyOutbox;

/// Messages of one unit of work, which are worked on side by side.
const BATCH_MESSAGES: usize = 256;
/// About the most bytes of them.
const BATCH_BYTES: usize = 8 << 20;
/// How long a first message is waited for: a stop is noticed after it.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// Pause before a queue manager, or a gateway that cannot put, is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// `[[intake]]`: a queue whose messages are of one source.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntakeConfig {
    /// The queue, of the queue manager that the gateway puts to. Daybook's own makes it where it is not there.
    pub queue: String,
    /// What its messages are: a source that is configured.
    pub source: String,
}

/// What cannot be meant.
pub(crate) fn check(
    intakes: &[IntakeConfig],
    sources: &[Mapping],
    refuse: &mut impl FnMut(String),
) {
    for (index, intake) in intakes.iter().enumerate() {
        let IntakeConfig { queue, source } = intake;
        if !sources.iter().any(|mapping| mapping.source() == source) {
            let names: Vec<&str> = sources.iter().map(Mapping::source).collect();
            let names = names.join(", ");
            refuse(format!(
                "`intake` {queue}: there is no source {source:?}; there are {names}"
            ));
        }
        if intakes[..index].iter().any(|other| other.queue == *queue) {
            refuse(format!(
                "`intake` {queue}: a queue has messages of one source"
            ));
        }
        // What it puts there it would get again.
        if [
            types::names::QUEUE_TRANSACTIONS,
            types::names::QUEUE_QUARANTINE,
        ]
        .contains(&queue.as_str())
        {
            refuse(format!(
                "`intake.queue` is {queue}, which the gateway puts to"
            ));
        }
    }
}

/// A queue and how its messages are read.
#[derive(Debug)]
pub(crate) struct Planned {
    config: IntakeConfig,
    /// Text is made UTF-8 where the message says its character set; other messages are left as they are.
    is_text: bool,
}

/// Found before the gateway takes the sources.
pub(crate) fn planned(intakes: &[IntakeConfig], sources: &[Mapping]) -> Vec<Planned> {
    let plan = |config: &IntakeConfig| {
        let mut sources = sources.iter();
        let mapping = sources.find(|mapping| mapping.source() == config.source)?;
        Some(Planned {
            is_text: !matches!(
                mapping.format(),
                Format::Copybook | Format::Iso8583 | Format::Protobuf | Format::Avro
            ),
            config: config.clone(),
        })
    };
    // All were found when the configuration was checked.
    intakes.iter().filter_map(plan).collect()
}

/// Carries each queue until `stop` fires.
pub(crate) fn start(
    planned: Vec<Planned>,
    source: &Arc<dyn Source>,
    intake: &Intake<AnyOutbox>,
    stop: &CancellationToken,
) -> Vec<JoinHandle<()>> {
    let start = |planned: Planned| {
        let (source, intake, stop) = (Arc::clone(source), intake.clone(), stop.clone());
        tokio::spawn(async move {
            info!(
                queue = planned.config.queue,
                source = planned.config.source,
                "messages are taken in"
            );
            while !stop.is_cancelled() {
                let ended = carry(&planned, &*source, &intake, &stop).await;
                let Err(reason) = ended else { return };
                warn!(
                    queue = planned.config.queue,
                    reason, "messages are not taken in; it is tried again"
                );
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(RETRY_PAUSE) => {}
                }
            }
        })
    };
    planned.into_iter().map(start).collect()
}

/// Carries until `stop` fires, or something fails: then what was got is backed out.
async fn carry(
    planned: &Planned,
    source: &dyn Source,
    intake: &Intake<AnyOutbox>,
    stop: &CancellationToken,
) -> Result<(), String> {
    let begun = source.begin(&planned.config.queue).await;
    let mut reader = begun.map_err(|error| types::report(&error))?;
    while !stop.is_cancelled() {
        batch(planned, &mut *reader, intake).await?;
    }
    Ok(())
}

async fn batch(
    planned: &Planned,
    reader: &mut dyn Reader,
    intake: &Intake<AnyOutbox>,
) -> Result<(), String> {
    let limits = BatchLimits {
        messages_max: BATCH_MESSAGES,
        bytes_max: BATCH_BYTES,
        first_wait: FIRST_WAIT,
        ..BatchLimits::default()
    };
    let messages = reader.get_batch(&limits).await;
    let messages = messages.map_err(|error| types::report(&error))?;
    if messages.is_empty() {
        return Ok(());
    }
    let mut tasks = JoinSet::new();
    for message in messages {
        let (intake, source, is_text) = (
            intake.clone(),
            planned.config.source.clone(),
            planned.is_text,
        );
        tasks.spawn(async move {
            intake
                .put(&source, &key(&message), message.data(is_text))
                .await
        });
    }
    let mut later = None;
    while let Some(taken) = tasks.join_next().await {
        match taken {
            Ok(Ok(_) | Err(NotTaken::Refused(_))) => {}
            Ok(Err(error)) => later = Some(error.to_string()),
            Err(error) => {
                error!(%error, "a message could not be worked on");
                later = Some(error.to_string());
            }
        }
    }
    match later {
        // Those that were put come again, and count once.
        Some(reason) => Err(reason),
        None => reader.commit().await.map_err(|error| types::report(&error)),
    }
}

/// Names the message for as long as it may come again.
fn key(message: &Incoming) -> String {
    format!("mq-{:032x}", message.identity.print)
}
