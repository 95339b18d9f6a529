//! Settings of the gateway, as they stand in `[gateway]` of `daybook.toml`.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use mapping::Limits;
use serde::Deserialize;

use crate::access::ClientOptions;
use crate::frame::Framing;
use crate::probe::ProbeOptions;
use crate::tls::TlsOptions;

/// `[gateway]`: where it listens and what it bounds. Every field has a default for a laptop.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewayOptions {
    /// Address for this machine's own senders: a loopback address, open to all of them. Port 0 takes any free one.
    pub address: SocketAddr,

    /// `[[gateway.http]]`: further addresses, for others.
    pub http: Vec<HttpOptions>,

    /// `[[gateway.tcp]]`: addresses for messages without HTTP.
    pub tcp: Vec<TcpOptions>,

    /// `[[gateway.client]]`: who may send to those.
    #[serde(rename = "client")]
    pub clients: Vec<ClientOptions>,

    /// Limits on a request's body and records. `limits.body_bytes_max` is 16 MiB.
    pub limits: Limits,

    /// Most bytes that a compressed body may become a byte of it, beyond the first 64 KiB. 100.
    pub decompression_ratio_max: u32,

    /// Most bytes of bodies and translations in memory at a time, of all requests. 64 MiB.
    ///
    /// Over it requests are answered `503` with `Retry-After: 1`. At least twice
    /// `limits.body_bytes_max`: a body that came in pieces is copied once.
    pub inflight_bytes_max: usize,

    /// Most open connections. 1,024.
    ///
    /// When all are taken, whoever comes gets the place of the connection that has waited longest for bytes of its peer; where all are at work it waits
    /// in the kernel's queue.
    pub connections_max: usize,

    /// Most open connections of one address; further ones are answered `503` and closed. 512.
    ///
    /// Behind a balancer that hides its clients' addresses: as many as `connections_max`.
    pub connections_per_address_max: usize,

    /// Sources whose senders are answered in their own format, as `Accept: application/xml` asks for: `*` stands for any characters. None.
    pub reply_in_kind: Vec<String>,

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

    /// `[gateway.probe]`: of which requests it is kept what they went through.
    pub probe: ProbeOptions,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, types::names::port::GATEWAY)),
            http: Vec::new(),
            tcp: Vec::new(),
            clients: Vec::new(),
            limits: Limits::default(),
            decompression_ratio_max: 100,
            inflight_bytes_max: 64 << 20,
            connections_max: 1_024,
            connections_per_address_max: 512,
            reply_in_kind: Vec::new(),
            header_time_ms_max: 5_000,
            body_time_ms_max: 30_000,
            drain_time_ms_max: 5_000,
            quarantine_bytes_max: 64 << 10,
            probe: ProbeOptions::default(),
        }
    }
}

/// `[[gateway.http]]`: an address for posts over HTTP/1.1 and HTTP/2.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpOptions {
    /// Address to listen on; others than loopback need `tls`.
    pub address: SocketAddr,
    /// Certificate and key.
    #[serde(default)]
    pub tls: Option<TlsOptions>,
    /// Sources that are posted to here: `*` stands for any characters. All.
    #[serde(default = "all")]
    pub sources: Vec<String>,
}

/// `[[gateway.tcp]]`: an address for messages of one source, one after the other on a connection.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcpOptions {
    /// Address to listen on; others than loopback need `tls`, or clients that are known by their address.
    pub address: SocketAddr,
    /// The source of all messages here. It must have a natural id: a message that comes again after a connection broke is told by it.
    pub source: String,
    /// How messages are told apart. length-2.
    #[serde(default)]
    pub framing: Framing,
    /// Lengths count themselves too. false.
    #[serde(default)]
    pub length_counts_itself: bool,
    /// What is answered. For sources of ISO 8583 `"iso8583"`, or else `"json"`.
    #[serde(default)]
    pub reply: Option<Reply>,
    /// Certificate and key.
    #[serde(default)]
    pub tls: Option<TlsOptions>,
    /// Longest time without a message, in milliseconds; then the connection is closed. 600,000.
    #[serde(default = "idle_time_ms_max")]
    pub idle_time_ms_max: u64,
    /// Messages of one connection that are worked on at a time. 64.
    #[serde(default = "in_flight_max")]
    pub in_flight_max: usize,
}

/// What is answered to a message, once it is on disk or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// The response of ISO 8583, with element 39: 00 accepted, 30 not understood, 57 not allowed, 96 try again.
    Iso8583,
    /// What HTTP would answer, in one line.
    Json,
    /// Nothing: the sender cannot know what became of it.
    None,
}

fn all() -> Vec<String> {
    vec!["*".to_owned()]
}

fn idle_time_ms_max() -> u64 {
    600_000
}

fn in_flight_max() -> usize {
    64
}

/// Messages of one connection that may be worked on at a time, at most.
pub const IN_FLIGHT_MAX: usize = 10_000;

/// Requests of which it may be kept what they went through, at most.
pub const PROBE_REQUESTS_MAX: usize = 10_000;
/// Largest `probe.refusals_per_second_max`.
pub const PROBE_REFUSALS_PER_SECOND_MAX: u32 = 10_000;

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
            self.decompression_ratio_max > 0,
            "decompression_ratio_max",
            0,
            "1 or more",
        )?;
        check(
            (1..=1 << 20).contains(&self.connections_max),
            "connections_max",
            self.connections_max,
            "between 1 and 1048576",
        )?;
        check(
            (1..=1 << 20).contains(&self.connections_per_address_max),
            "connections_per_address_max",
            self.connections_per_address_max,
            "between 1 and 1048576",
        )?;
        check(
            self.probe.requests_max <= PROBE_REQUESTS_MAX,
            "probe.requests_max",
            self.probe.requests_max,
            "at most 10000",
        )?;
        check(
            (1..=PROBE_REFUSALS_PER_SECOND_MAX).contains(&self.probe.refusals_per_second_max),
            "probe.refusals_per_second_max",
            self.probe.refusals_per_second_max as usize,
            "between 1 and 10000 (on_refusal = false keeps none)",
        )?;
        check(
            self.probe.body_bytes_max <= self.probe.bytes_max,
            "probe.body_bytes_max",
            self.probe.body_bytes_max,
            "at most probe.bytes_max",
        )?;
        for tcp in &self.tcp {
            check(
                (1..=IN_FLIGHT_MAX).contains(&tcp.in_flight_max),
                "tcp.in_flight_max",
                tcp.in_flight_max,
                "between 1 and 10000",
            )?;
        }
        self.validate_doors()
    }

    /// Nothing is open to others without their being known, and nothing goes over the open to them.
    fn validate_doors(&self) -> Result<(), InvalidOption> {
        let refused = |key, address: &SocketAddr, rule| {
            Err(InvalidOption {
                key,
                value: address.to_string(),
                rule,
            })
        };
        if !self.address.ip().is_loopback() {
            let rule = "a loopback address: it is open to all senders of this machine; others come through [[gateway.http]]";
            return refused("address", &self.address, rule);
        }
        let http = self
            .http
            .iter()
            .map(|door| ("http.address", &door.address, door.tls.is_some()));
        let tcp = self
            .tcp
            .iter()
            .map(|door| ("tcp.address", &door.address, door.tls.is_some()));
        let links = self
            .clients
            .iter()
            .any(|client| !client.addresses.is_empty());
        for (key, address, tls) in http.chain(tcp) {
            if address.ip().is_loopback() {
                continue;
            }
            if self.clients.is_empty() {
                let rule = "a loopback address, unless [[gateway.client]] says who may send";
                return refused(key, address, rule);
            }
            let is_link = key == "tcp.address" && links;
            if !tls && !is_link {
                let rule = "a loopback address, unless it has `tls`";
                return refused(key, address, rule);
            }
        }
        Ok(())
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
        options.probe.requests_max = PROBE_REQUESTS_MAX;
        options.probe.body_bytes_max = options.probe.bytes_max;
        assert_eq!(options.validate(), Ok(()));
        options.probe.refusals_per_second_max = PROBE_REFUSALS_PER_SECOND_MAX;
        assert_eq!(options.validate(), Ok(()));
        for outside in [0, PROBE_REFUSALS_PER_SECOND_MAX + 1] {
            options.probe.refusals_per_second_max = outside;
            assert_eq!(
                options.validate().map_err(|error| error.key),
                Err("probe.refusals_per_second_max")
            );
        }
        options.probe.refusals_per_second_max = 1;
        options.probe.requests_max += 1;
        assert_eq!(
            options.validate().map_err(|error| error.key),
            Err("probe.requests_max")
        );
        options = GatewayOptions::default();
        options.probe.body_bytes_max = options.probe.bytes_max + 1;
        assert_eq!(
            options.validate().map_err(|error| error.key),
            Err("probe.body_bytes_max")
        );
        options = GatewayOptions::default();
        options.limits.records_max = 10_001;
        assert_eq!(
            options.validate().map_err(|error| error.key),
            Err("limits.records_max")
        );
    }
}
