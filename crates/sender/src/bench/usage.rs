//! What a process uses, from `/proc`: memory, and processor time by thread name. Linux only; elsewhere
//! there is nothing to read and the report has no such figures.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use serde::Serialize;

/// Ticks of `utime` and `stime` in a second: always 100 towards programs (`USER_HZ`).
const TICKS_PER_SECOND: u64 = 100;

/// Processor time of a process at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    at: Instant,
    ticks: u64,
    by_thread: BTreeMap<u32, (String, u64)>,
}

/// What a process used between two samples.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Usage {
    /// Percent of one core.
    pub cpu_percent: f64,
    /// The same by name of thread, largest first; threads `name-1`, `name-2` together.
    pub threads: Vec<ThreadUsage>,
    /// Resident memory at the end, in MiB.
    pub rss_mib: f64,
    /// Most it ever had, in MiB.
    pub rss_peak_mib: f64,
}

/// What the threads of one name used.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ThreadUsage {
    /// Their name.
    pub name: String,
    /// How many there are.
    pub threads: usize,
    /// Percent of one core.
    pub cpu_percent: f64,
}

/// Name and ticks in a line of `stat`. The name stands in brackets and may itself hold some.
fn read_stat(line: &str) -> Option<(String, u64)> {
    let (front, rest) = line.rsplit_once(')')?;
    let (_, name) = front.split_once('(')?;
    // Behind the name: state is field 3, utime 14, stime 15.
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((name.to_owned(), user + system))
}

/// Threads of a pool are one group: `worker-3` and `worker 3` are `worker`.
fn group(name: &str) -> &str {
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if bare.len() == name.len() {
        return name;
    }
    let bare = bare.trim_end_matches(['-', '_', ' ', '#', ':']);
    if bare.is_empty() { name } else { bare }
}

impl Sample {
    /// Reads a process; `None` where it cannot be read.
    pub(crate) fn of(process: &Path) -> Option<Self> {
        let stat = |path: &Path| fs::read_to_string(path.join("stat")).ok();
        let (_, ticks) = read_stat(&stat(process)?)?;
        let mut by_thread = BTreeMap::new();
        for entry in fs::read_dir(process.join("task")).ok()?.flatten() {
            let id = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok());
            // A thread may end while the list is read.
            if let (Some(id), Some(line)) = (id, stat(&entry.path()))
                && let Some(found) = read_stat(&line)
            {
                by_thread.insert(id, found);
            }
        }
        Some(Self {
            at: Instant::now(),
            ticks,
            by_thread,
        })
    }

    /// What was used since `before`, with the memory there is now.
    pub(crate) fn since(&self, before: &Self, process: &Path) -> Usage {
        let seconds = self.at.duration_since(before.at).as_secs_f64();
        let status = fs::read_to_string(process.join("status")).unwrap_or_default();
        Usage {
            cpu_percent: percent(self.ticks.saturating_sub(before.ticks), seconds),
            threads: self.threads_since(before, seconds),
            rss_mib: mib(&status, "VmRSS:"),
            rss_peak_mib: mib(&status, "VmHWM:"),
        }
    }

    fn threads_since(&self, before: &Self, seconds: f64) -> Vec<ThreadUsage> {
        let mut groups: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
        for (id, (name, ticks)) in &self.by_thread {
            let old = before.by_thread.get(id).map_or(0, |(_, ticks)| *ticks);
            let (threads, sum) = groups.entry(group(name)).or_default();
            *threads += 1;
            *sum += ticks.saturating_sub(old);
        }
        let mut threads: Vec<ThreadUsage> = groups
            .into_iter()
            .map(|(name, (threads, ticks))| ThreadUsage {
                name: name.to_owned(),
                threads,
                cpu_percent: percent(ticks, seconds),
            })
            .collect();
        threads.sort_by(|a, b| b.cpu_percent.total_cmp(&a.cpu_percent));
        threads
    }
}

fn percent(ticks: u64, seconds: f64) -> f64 {
    // Ticks of any run are far below 2^53.
    ticks as f64 / TICKS_PER_SECOND as f64 / seconds.max(0.001) * 100.0
}

fn mib(status: &str, key: &str) -> f64 {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_hold_anything() {
        let line = "7 (a) (b c-2) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 9 0 1 2 3";
        assert_eq!(read_stat(line), Some(("a) (b c-2".to_owned(), 300)));
        assert_eq!(read_stat("7 broken"), None);
        let groups = ["worker-3", "worker 12", "tokio-rt", "gateway", "42", "w#1"].map(group);
        assert_eq!(
            groups,
            ["worker", "worker", "tokio-rt", "gateway", "42", "w"]
        );
    }

    #[test]
    fn usage_is_a_difference() {
        let begun = Instant::now();
        let sample = |seconds: u64, ticks, threads: &[(u32, &str, u64)]| Sample {
            at: begun + std::time::Duration::from_secs(seconds),
            ticks,
            by_thread: threads
                .iter()
                .map(|(id, name, ticks)| (*id, ((*name).to_owned(), *ticks)))
                .collect(),
        };
        let before = sample(0, 100, &[(1, "web", 60), (2, "io-1", 40)]);
        let after = sample(
            10,
            900,
            &[(1, "web", 360), (2, "io-1", 140), (3, "io-2", 400)],
        );
        let usage = after.since(&before, Path::new("/nowhere"));
        assert_eq!(usage.cpu_percent.round() as i64, 80);
        let threads: Vec<_> = usage
            .threads
            .iter()
            .map(|usage| {
                (
                    usage.name.as_str(),
                    usage.threads,
                    usage.cpu_percent.round() as i64,
                )
            })
            .collect();
        assert_eq!(threads, [("io", 2, 50), ("web", 1, 30)]);
    }
}
