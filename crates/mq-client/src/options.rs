//! Where to connect to, as whom, and with which limits.

use std::fmt;
use std::str::FromStr;

use crate::tls::ClientTls;

/// What a connection is made with.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Tried in this order, as in a connection name list.
    pub hosts: Vec<Host>,
    /// Server-connection channel.
    pub channel: String,
    /// Queue manager; empty = whichever answers.
    pub queue_manager: String,
    /// User; empty = none is said.
    pub user: String,
    /// With it, user and password are sent as MQCSP does. In clear, unless there is TLS.
    pub password: Option<Password>,
    /// With it, the socket speaks TLS from the first byte.
    pub tls: Option<ClientTls>,
    /// As the queue manager shows this program, at most 28 characters.
    pub application: String,
    /// Longest message in bytes that is put or got. Default 100 MiB, MQ's maximum; the channel's MAXMSGL
    /// may be less.
    pub message_bytes_max: u32,
    /// Most sessions on one socket. Default 10, IBM MQ's SHARECNV; the channel's may be less.
    pub conversations_max: u32,
    /// Seconds of silence after which either side asks whether the other one is there. Default 30; the
    /// channel's HBINT wins if it is larger.
    pub heartbeat_seconds: u32,
    /// Seconds from the first SYN to MQCONN's reply. Default 30.
    pub connect_seconds: u64,
    /// Seconds that a call may take beyond the wait it asks for. Default 120.
    pub call_seconds: u64,
}

impl ClientOptions {
    /// Defaults, with one host.
    pub fn new(host: Host, channel: &str) -> Self {
        Self {
            hosts: vec![host],
            channel: channel.to_owned(),
            queue_manager: String::new(),
            user: String::new(),
            password: None,
            tls: None,
            application: "daybook".to_owned(),
            message_bytes_max: 100 << 20,
            conversations_max: 10,
            heartbeat_seconds: 30,
            connect_seconds: 30,
            call_seconds: 120,
        }
    }
}

/// A password that does not show itself in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Wraps it.
    pub fn new(password: impl Into<String>) -> Self {
        Self(password.into())
    }

    pub(crate) fn clear(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// A queue manager's address, written `host(port)` as IBM does, or `host:port`, or `host`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host {
    /// Name or IP address.
    pub name: String,
    /// TCP port.
    pub port: u16,
}

/// Port of IBM MQ's listeners.
const PORT_DEFAULT: u16 = 1414;

/// The text is no address. Retrying does not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no connection name: write host(port), host:port, or host alone for port 1414")]
pub struct HostError {
    text: String,
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let error = || HostError {
            text: text.to_owned(),
        };
        let text_port = |name: &str, port: &str| {
            let port = port.parse().map_err(|_| error())?;
            Ok((name.to_owned(), port))
        };
        let trimmed = text.trim();
        let (name, port) = if let Some((name, rest)) = trimmed.split_once('(') {
            text_port(
                name.trim(),
                rest.strip_suffix(')').ok_or_else(error)?.trim(),
            )?
        } else if let Some(rest) = trimmed.strip_prefix('[') {
            // IPv6 with a port.
            let (name, port) = rest.split_once(']').ok_or_else(error)?;
            match port.strip_prefix(':') {
                Some(port) => text_port(name, port)?,
                None if port.is_empty() => (name.to_owned(), PORT_DEFAULT),
                None => return Err(error()),
            }
        } else {
            match trimmed.split_once(':') {
                Some((name, port)) if !port.contains(':') => text_port(name, port)?,
                _ => (trimmed.to_owned(), PORT_DEFAULT),
            }
        };
        let valid = !name.is_empty() && !name.contains(|char: char| char.is_whitespace());
        if !valid || port == 0 {
            return Err(error());
        }
        Ok(Self { name, port })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_written_in_three_ways() {
        for (text, shown) in [
            ("mq.example.com(1415)", "mq.example.com(1415)"),
            (" 10.0.0.1:1416 ", "10.0.0.1(1416)"),
            ("mq", "mq(1414)"),
            ("::1", "::1(1414)"),
            ("[::1]:1417", "::1(1417)"),
            ("::1(1418)", "::1(1418)"),
        ] {
            let host: Host = text.parse().expect(text);
            assert_eq!(host.to_string(), shown);
        }
        for text in ["", "mq(", "mq()", "mq(0)", "mq:70000", "a b", "[::1]x"] {
            assert!(text.parse::<Host>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(format!("{:?}", Password::new("s3cret")), "Password");
    }
}
