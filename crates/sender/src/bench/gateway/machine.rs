//! What the bench ran on. Linux tells in `/proc`; elsewhere most of it stays empty.

use std::fs;

use serde::Serialize;

/// The machine of the generator.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Machine {
    /// Processor, as it calls itself.
    pub processor: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Operating system and its version.
    pub system: String,
    /// Processes that ran or waited for a core in the last minute, when the bench began.
    pub load_before: f64,
}

impl Machine {
    pub(crate) fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let release = text("/proc/sys/kernel/osrelease");
        Self {
            processor: field(&text("/proc/cpuinfo"), "model name").unwrap_or_default(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: field(&text("/proc/meminfo"), "MemTotal")
                .and_then(|line| line.split(' ').next()?.parse::<u64>().ok())
                .map_or(0, |kib| kib / 1_024),
            system: format!("{} {}", std::env::consts::OS, release.trim()),
            load_before: text("/proc/loadavg")
                .split(' ')
                .next()
                .and_then(|load| load.parse().ok())
                .unwrap_or(0.0),
        }
    }
}

fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim_start_matches([' ', '\t', ':']).to_owned())
}

/// Time of all cores at a moment, in ticks: busy, and in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CoreTime {
    busy: u64,
    all: u64,
}

impl CoreTime {
    pub(crate) fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    /// Reads the first line of `/proc/stat`: user nice system idle iowait irq softirq steal.
    fn parse(text: &str) -> Option<Self> {
        let fields = text.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> = fields
            .split_ascii_whitespace()
            .take(8)
            .map_while(|ticks| ticks.parse().ok())
            .collect();
        let idle = ticks.get(3)? + ticks.get(4)?;
        let all: u64 = ticks.iter().sum();
        Some(Self {
            busy: all - idle,
            all,
        })
    }

    /// Percent of all cores that was used since `before`.
    pub(crate) fn busy_percent(self, before: Self) -> f64 {
        let all = self.all.saturating_sub(before.all).max(1);
        // Ticks of any run are far below 2^53.
        self.busy.saturating_sub(before.busy) as f64 / all as f64 * 100.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cores_time_is_read() {
        let before = CoreTime::parse("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1").expect("ticks");
        let after = CoreTime::parse("cpu  160 0 60 820 60 0 0 0 0 0").expect("ticks");
        assert!((after.busy_percent(before) - 70.0).abs() < 1e-9);
        assert_eq!(CoreTime::parse("cpu  1 2"), None);
        assert_eq!(CoreTime::parse(""), None);
        assert_eq!(
            field("a\t: 1\nmodel name\t: X 2\n", "model name").as_deref(),
            Some("X 2")
        );
    }
}
