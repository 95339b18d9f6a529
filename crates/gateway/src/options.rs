//! Settings of the gateway, as they stand in `[gateway]` of `daybook.toml`.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use mapping::Limits;
use serde::Deserialize;

/// `[gateway]`: where it listens and what it bounds. Every field has a default for a laptop.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewayOptions {
    /// Address to listen on. Loopback until configured otherwise; port 0 takes any free one.
    pub address: SocketAddr,

    /// Limits on a request's body and records. `limits.body_bytes_max` is 16 MiB.
    pub limits: Limits,

    /// Most bytes of bodies and translations in memory at a time, of all requests. 64 MiB.
    ///
    /// Over it requests are answered `503` with `Retry-After: 1`. At least twice
    /// `limits.body_bytes_max`: a body that came in pieces is copied once.
    pub inflight_bytes_max: usize,

    /// Most open connections; further ones wait in the kernel's queue. 1,024.
    pub connections_max: usize,

    /// Longest time to send a request's head, in milliseconds. 5,000.
    ///
    /// Also the longest time a kept-alive HTTP/1.1 connection may be idle.
    pub header_time_ms_max: u64,

    /// Longest time to send a request's body, in milliseconds. 30,000.
    pub body_time_ms_max: u64,

    /// Longest time for accepted requests to finish after a stop was asked for, in milliseconds. 5,000.
    pub drain_time_ms_max: u64,

    /// Most bytes of a refused request or record that the quarantine keeps. 64 KiB.
    ///
    /// What is longer is cut there, and the message's properties say so.
    pub quarantine_bytes_max: usize,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, types::names::port::GATEWAY)),
            limits: Limits::default(),
            inflight_bytes_max: 64 << 20,
            connections_max: 1_024,
            header_time_ms_max: 5_000,
            body_time_ms_max: 30_000,
            drain_time_ms_max: 5_000,
            quarantine_bytes_max: 64 << 10,
        }
    }
}

/// A setting that parses but cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`gateway.{key}` is {value}, but must be {rule}")]
pub struct InvalidOption {
    /// Key in the section `[gateway]`.
    pub key: &'static str,
    /// Its value.
    pub value: String,
    /// What is allowed.
    pub rule: &'static str,
}

impl GatewayOptions {
    /// Checks what types cannot express. Runs before any socket opens.
    ///
    /// # Errors
    ///
    /// The first setting that cannot be used.
    pub fn validate(&self) -> Result<(), InvalidOption> {
        let check = |ok: bool, key, value: usize, rule| {
            ok.then_some(()).ok_or_else(|| InvalidOption {
                key,
                value: value.to_string(),
                rule,
            })
        };
        let limits = &self.limits;
        check(
            (1..=1 << 30).contains(&limits.body_bytes_max),
            "limits.body_bytes_max",
            limits.body_bytes_max,
            "between 1 byte and 1 GiB",
        )?;
        check(
            (1..=10_000).contains(&limits.records_max),
            "limits.records_max",
            limits.records_max,
            "between 1 and 10000, the most of one unit of work",
        )?;
        check(
            self.inflight_bytes_max / 2 >= limits.body_bytes_max,
            "inflight_bytes_max",
            self.inflight_bytes_max,
            "at least twice limits.body_bytes_max",
        )?;
        check(
            (1..=1 << 20).contains(&self.connections_max),
            "connections_max",
            self.connections_max,
            "between 1 and 1048576",
        )
    }

    pub(crate) fn header_time_max(&self) -> Duration {
        Duration::from_millis(self.header_time_ms_max)
    }

    pub(crate) fn body_time_max(&self) -> Duration {
        Duration::from_millis(self.body_time_ms_max)
    }

    pub(crate) fn drain_time_max(&self) -> Duration {
        Duration::from_millis(self.drain_time_ms_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_mistakes_are_named() {
        let mut options = GatewayOptions::default();
        assert_eq!(options.validate(), Ok(()));
        options.inflight_bytes_max = 1;
        let error = options.validate().expect_err("too small");
        assert_eq!(
            error.to_string(),
            "`gateway.inflight_bytes_max` is 1, but must be at least twice limits.body_bytes_max"
        );
        options = GatewayOptions::default();
        options.limits.records_max = 10_001;
        assert_eq!(
            options.validate().map_err(|error| error.key),
            Err("limits.records_max")
        );
    }
}
