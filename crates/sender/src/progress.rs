//! What a person sees while something is sent: a bar on standard error, and a line when the gateway
//! goes away or comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

use crate::report::{Reporter, SendReport};

/// A bar, or nothing, and the reporter beside it.
pub(crate) struct Progress {
    bar: ProgressBar,
    reporter: Arc<dyn Reporter>,
    begun: Instant,
    away: AtomicBool,
}

/// What the bar's length stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Length {
    Bytes(u64),
    Records(u64),
    Unknown,
}

impl Progress {
    pub(crate) fn new(shown: bool, length: Length, reporter: Arc<dyn Reporter>) -> Self {
        let bar = match (shown, length) {
            // Hides itself where standard error is no terminal.
            (true, Length::Bytes(length) | Length::Records(length)) => ProgressBar::new(length),
            (true, Length::Unknown) => ProgressBar::new_spinner(),
            (false, _) => ProgressBar::hidden(),
        };
        let template = match length {
            Length::Bytes(_) | Length::Records(_) => {
                "{bar:30} {percent:>3} %  {msg}  ETA {eta_precise}"
            }
            Length::Unknown => "{spinner} {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━━ "));
        }
        Self {
            bar,
            reporter,
            begun: Instant::now(),
            away: AtomicBool::new(false),
        }
    }

    /// A request was answered: `position` in the unit of the bar's length.
    pub(crate) fn answered(&self, position: u64, report: &SendReport) {
        if self.away.swap(false, Ordering::Relaxed) {
            self.say("the gateway answers again");
        }
        self.bar.set_position(position);
        let micros = self.begun.elapsed().as_micros().max(1);
        let rate = u128::from(report.records) * 1_000_000 / micros;
        let refused = match report.refused {
            0 => String::new(),
            refused => format!(", {} refused", HumanCount(refused)),
        };
        self.bar.set_message(format!(
            "{} records{refused}, {}/s, {}, {} repeated",
            HumanCount(report.records),
            HumanCount(u64::try_from(rate).unwrap_or(u64::MAX)),
            HumanBytes(report.bytes),
            HumanCount(report.retries),
        ));
    }

    /// A request failed and will be repeated.
    pub(crate) fn retrying(&self, error: &str, pause: Duration) {
        if !self.away.swap(true, Ordering::Relaxed) {
            self.say(&format!(
                "{error}; the same is sent again until it is answered"
            ));
        }
        self.bar
            .set_message(format!("{error}; again in {:.1} s", pause.as_secs_f64()));
    }

    pub(crate) fn say(&self, line: &str) {
        self.bar.suspend(|| self.reporter.say(line));
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
