//! Calls that block, each with a limit: on a thread that is given up when it does not come back.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use crate::client::Held;
use crate::error::SparkError;

type Work = Box<dyn FnOnce(&mut Held) + Send>;

/// A thread that has a connection to Spark and does one call after the other.
pub(crate) struct Caller {
    remote: String,
    work: Sender<Work>,
}

impl Caller {
    pub(crate) fn start(remote: &str) -> Result<Self, SparkError> {
        let (work, works): (Sender<Work>, Receiver<Work>) = mpsc::channel();
        let thread = thread::Builder::new().name("spark-call".to_owned());
        let started = thread.spawn(move || {
            let mut held = Held::default();
            // Ends when nobody can ask any more.
            while let Ok(work) = works.recv() {
                work(&mut held);
            }
        });
        started.map_err(|error| SparkError::Thread(error.to_string()))?;
        Ok(Self {
            remote: remote.to_owned(),
            work,
        })
    }

    /// Does a call. After [`SparkError::NoAnswer`] this caller is of no use: its thread may hang in the call for minutes, and ends
    /// by itself behind it.
    pub(crate) fn call<T: Send + 'static>(
        &self,
        what: &'static str,
        limit: Duration,
        call: impl FnOnce(&mut Held) -> Result<T, String> + Send + 'static,
    ) -> Result<T, SparkError> {
        let (answer, answers) = mpsc::channel();
        let work: Work = Box::new(move |held| {
            // Nobody may be waiting any more.
            let _ = answer.send(call(held));
        });
        let no_answer = || SparkError::NoAnswer {
            what,
            remote: self.remote.clone(),
            limit,
        };
        self.work.send(work).map_err(|_| no_answer())?;
        match answers.recv_timeout(limit) {
            Ok(answer) => answer.map_err(|message| SparkError::Refused {
                what,
                remote: self.remote.clone(),
                message: crate::error::cut(&message),
            }),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(no_answer()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_does_not_come_back_is_left_alone() {
        let caller = Caller::start("sc://nowhere").expect("a thread");
        let (stop, stopped) = mpsc::channel::<()>();
        let call = move |_: &mut Held| {
            let _ = stopped.recv();
            Ok(())
        };
        let limit = Duration::from_millis(20);
        let error = caller.call("hang", limit, call).expect_err("no answer");
        assert_eq!(
            error,
            SparkError::NoAnswer {
                what: "hang",
                remote: "sc://nowhere".to_owned(),
                limit
            }
        );
        drop(stop);
        let limit = Duration::from_secs(20);
        assert_eq!(caller.call("add", limit, |_| Ok(1 + 1)), Ok(2));
        let refused = caller.call::<()>("refuse", limit, |_| Err("no\n\tat Foo".to_owned()));
        assert_eq!(
            refused,
            Err(SparkError::Refused {
                what: "refuse",
                remote: "sc://nowhere".to_owned(),
                message: "no".to_owned()
            })
        );
    }
}
