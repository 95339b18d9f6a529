//! A part on a thread of its own, which begins again after every failure that may pass.
//!
//! librdkafka's calls block, so a part that makes them has a thread. What it does there between two
//! failures is [`Part::live`]; everything else is the same for all parts and is here.

use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use types::report;

/// First and longest pause between attempts after a failure.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// How soon a shutdown ends a pause.
const SHUTDOWN_LOOK: Duration = Duration::from_millis(20);

/// What a part does between two failures.
pub trait Part: Send + 'static {
    /// Why it failed.
    type Error: std::error::Error;

    /// Begins from what is durable and works until the shutdown (`Ok`) or a failure. Tells `ready` as
    /// soon as it takes in records.
    ///
    /// # Errors
    ///
    /// Whatever it cannot go on from. Nothing of it may be lost: it is called again.
    fn live(&mut self, ready: &Ready) -> Result<(), Self::Error>;

    /// Whether beginning again can help; otherwise the part has stopped for good.
    fn may_pass(&self, error: &Self::Error) -> bool;
}

/// Tells that a part takes in records.
#[derive(Debug)]
pub struct Ready(watch::Sender<bool>);

impl Ready {
    /// It does, from now on.
    pub fn tell(&self) {
        self.0.send_replace(true);
    }
}

/// A part that runs.
#[derive(Debug)]
pub struct PartThread {
    name: String,
    thread: thread::JoinHandle<()>,
    ready: watch::Receiver<bool>,
}

impl PartThread {
    /// Starts the thread `thread_name`; `name` is what logs call the part.
    ///
    /// # Errors
    ///
    /// From the operating system, when it has no thread to give.
    pub fn start(
        thread_name: &str,
        name: String,
        shutdown: CancellationToken,
        part: impl Part,
    ) -> std::io::Result<Self> {
        let (sender, ready) = watch::channel(false);
        let called = name.clone();
        let thread = thread::Builder::new()
            .name(thread_name.to_owned())
            .spawn(move || run(&called, &shutdown, part, &Ready(sender)))?;
        Ok(Self {
            name,
            thread,
            ready,
        })
    }

    /// Waits until records are being taken in; `false` when it has stopped for good. Cancel safe.
    pub async fn ready(&mut self) -> bool {
        self.ready.wait_for(|ready| *ready).await.is_ok()
    }

    /// Becomes true when records are being taken in; closed when the part has stopped for good.
    pub fn readiness(&self) -> watch::Receiver<bool> {
        self.ready.clone()
    }

    /// Waits for the end after the shutdown was asked for. Blocks.
    pub fn join(self) {
        if self.thread.join().is_err() {
            error!(part = self.name, "the part's thread panicked");
        }
    }
}

fn run(name: &str, shutdown: &CancellationToken, mut part: impl Part, ready: &Ready) {
    let mut pause = BACK_OFF.0;
    while !shutdown.is_cancelled() {
        let begun = Instant::now();
        let Err(failure) = part.live(ready) else {
            break;
        };
        if !part.may_pass(&failure) {
            error!(part = name, error = report(&failure), "stopped for good");
            return;
        }
        if begun.elapsed() > BACK_OFF.1 {
            pause = BACK_OFF.0;
        }
        warn!(
            part = name,
            error = report(&failure),
            pause_ms = pause.as_millis() as u64,
            "failed; begins again from what is durable"
        );
        wait(pause, shutdown);
        pause = (pause * 2).min(BACK_OFF.1);
    }
    info!(part = name, "stopped");
}

fn wait(pause: Duration, shutdown: &CancellationToken) {
    let begun = Instant::now();
    while begun.elapsed() < pause && !shutdown.is_cancelled() {
        thread::sleep(SHUTDOWN_LOOK.min(pause));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failure {number}")]
    struct Failure {
        number: u32,
        passing: bool,
    }

    /// Fails as often as it is told, then works until the shutdown.
    struct Failing {
        failures: u32,
        last_passes: bool,
        lives: u32,
        shutdown: CancellationToken,
        ended: std::sync::mpsc::Sender<u32>,
    }

    impl Part for Failing {
        type Error = Failure;

        fn live(&mut self, ready: &Ready) -> Result<(), Failure> {
            self.lives += 1;
            if self.lives <= self.failures {
                let last = self.lives == self.failures;
                return Err(Failure {
                    number: self.lives,
                    passing: !last || self.last_passes,
                });
            }
            ready.tell();
            while !self.shutdown.is_cancelled() {
                thread::yield_now();
            }
            Ok(())
        }

        fn may_pass(&self, failure: &Failure) -> bool {
            failure.passing
        }
    }

    impl Drop for Failing {
        fn drop(&mut self) {
            let _ = self.ended.send(self.lives);
        }
    }

    fn start(
        failures: u32,
        last_passes: bool,
    ) -> (
        PartThread,
        CancellationToken,
        std::sync::mpsc::Receiver<u32>,
    ) {
        let (ended, lives) = std::sync::mpsc::channel();
        let shutdown = CancellationToken::new();
        let part = Failing {
            failures,
            last_passes,
            lives: 0,
            shutdown: shutdown.clone(),
            ended,
        };
        let thread = PartThread::start("test", "test".to_owned(), shutdown.clone(), part);
        (thread.expect("a thread"), shutdown, lives)
    }

    #[tokio::test]
    async fn a_failure_that_may_pass_is_tried_again_until_it_has() {
        let (mut part, shutdown, lives) = start(2, true);
        assert!(part.ready().await);
        shutdown.cancel();
        part.join();
        assert_eq!(lives.recv(), Ok(3));
    }

    #[tokio::test]
    async fn one_that_cannot_pass_ends_the_part() {
        let (mut part, _shutdown, lives) = start(2, false);
        assert!(!part.ready().await);
        part.join();
        assert_eq!(lives.recv(), Ok(2));
    }

    #[tokio::test]
    async fn a_shutdown_ends_the_pause_too() {
        let (part, shutdown, lives) = start(u32::MAX, true);
        shutdown.cancel();
        part.join();
        assert!(lives.recv().is_ok());
    }
}
