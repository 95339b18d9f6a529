//! How far the log reaches, asked on a thread and a connection of its own.
//!
//! A broker answers a connection's requests in order, so a question behind a fetch that waits for
//! records would itself wait for them, and hold back the records that came before it.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kafka_client::Cluster;

/// Least distance between questions.
const INTERVAL: Duration = Duration::from_secs(1);

/// What was found.
#[derive(Debug)]
pub(crate) struct Answer {
    /// When it was asked.
    pub(crate) asked: Instant,
    /// Next offset of each partition, or why nobody knows.
    pub(crate) ends: Result<Vec<i64>, String>,
}

/// Asks for the ends of a topic. Dropping it waits for the thread, at most one question long: its
/// client must not outlive the broker of the same process, which would look like a lost connection.
#[derive(Debug)]
pub(crate) struct Ends {
    questions: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    answer: Arc<Mutex<Option<Answer>>>,
    asked: Instant,
}

impl Ends {
    pub(crate) fn new(cluster: Cluster, topic: String) -> Self {
        let (questions, asked) = sync_channel(1);
        let answer = Arc::default();
        let answers = Arc::clone(&answer);
        let thread = std::thread::Builder::new().name(format!("web ends {topic}"));
        let thread = thread.spawn(move || serve(&cluster, &topic, &asked, &answers));
        let thread = thread.inspect_err(|error| {
            // Then the lag is not known; nothing else depends on it.
            tracing::warn!(%error, "the thread that asks for the log's ends cannot be started");
        });
        Self {
            questions: Some(questions),
            thread: thread.ok(),
            answer,
            asked: Instant::now(),
        }
    }

    /// Asks, if that is due, and takes what an earlier question brought. Does not wait.
    pub(crate) fn ask(&mut self) -> Option<Answer> {
        if self.asked.elapsed() > INTERVAL {
            self.asked = Instant::now();
            // A full queue is a question that has not been answered yet.
            if let Some(questions) = &self.questions {
                let _ = questions.try_send(());
            }
        }
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        answer.take()
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.questions = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported there.
            let _ = thread.join();
        }
    }
}

fn serve(
    cluster: &Cluster,
    topic: &str,
    questions: &Receiver<()>,
    answers: &Mutex<Option<Answer>>,
) {
    let mut consumer = None;
    while questions.recv().is_ok() {
        let asked = Instant::now();
        if consumer.is_none() {
            consumer = cluster.reader("daybook-web-ends").ok();
        }
        let Some(consumer) = &consumer else { continue };
        let ends = match cluster.offsets(consumer, topic) {
            Ok(bounds) => Ok(bounds.iter().map(|(_, end)| *end).collect()),
            Err(error) => Err(types::report(&error)),
        };
        let answer = Some(Answer { asked, ends });
        *answers.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }
}
