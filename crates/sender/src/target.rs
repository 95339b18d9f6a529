//! Where requests go: a base URL, read once.

use std::fmt;

/// A base URL such as `http://127.0.0.1:8081`, with a path in front of all others or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    host: String,
    port: u16,
    prefix: String,
}

/// A base URL that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the address {url:?} cannot be used: {rule}")]
pub struct BadTarget {
    /// As given.
    pub url: String,
    /// What would be right.
    pub rule: &'static str,
}

impl Target {
    /// Reads `http://host[:port][/prefix]`; the port is 80 where none is given.
    ///
    /// # Errors
    ///
    /// [`BadTarget`], which says what is expected.
    pub fn parse(url: &str) -> Result<Self, BadTarget> {
        let bad = |rule| BadTarget {
            url: url.to_owned(),
            rule,
        };
        if url.starts_with("https://") {
            return Err(bad(
                "https is not spoken here; send to the gateway's own port or through a local proxy",
            ));
        }
        let rest = url
            .strip_prefix("http://")
            .ok_or_else(|| bad("it must begin with http://, as in http://127.0.0.1:8081"))?;
        let visible = |byte: u8| byte.is_ascii_graphic() && byte != b'?' && byte != b'#';
        if !rest.bytes().all(visible) || rest.contains('@') {
            return Err(bad("it must be http://host:port/path and no more"));
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = match authority.rsplit_once(':') {
            // The last colon of a bare [::1] is part of the address.
            Some((host, port)) if !port.ends_with(']') => {
                let port = port
                    .parse()
                    .map_err(|_| bad("the port must be a number up to 65535"))?;
                (host, port)
            }
            _ => (authority, 80),
        };
        let host = host
            .strip_prefix('[')
            .and_then(|inner| inner.strip_suffix(']'))
            .unwrap_or(host);
        if host.is_empty() {
            return Err(bad("the host is missing"));
        }
        Ok(Self {
            host: host.to_owned(),
            port,
            prefix: path.trim_end_matches('/').to_owned(),
        })
    }

    /// Host name or address, without brackets.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Port to connect to.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The value of `Host`.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The request target of a path that begins with `/`.
    pub(crate) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_explained() {
        let read = |url: &str| match Target::parse(url) {
            Ok(target) => target.to_string(),
            Err(bad) => bad.rule.to_owned(),
        };
        assert_eq!(read("http://127.0.0.1:8081"), "http://127.0.0.1:8081");
        assert_eq!(read("http://localhost:8081/"), "http://localhost:8081");
        assert_eq!(read("http://[::1]:81/a/b/"), "http://[::1]:81/a/b");
        assert_eq!(read("http://[::1]"), "http://[::1]:80");
        assert_eq!(read("http://gateway"), "http://gateway:80");
        assert!(read("https://gateway").contains("https is not spoken"));
        assert!(read("127.0.0.1:8081").contains("must begin with http://"));
        assert!(read("http://:8081").contains("host is missing"));
        assert!(read("http://a:99999").contains("port must be a number"));
        assert!(read("http://a b").contains("and no more"));
        assert!(read("http://a\r\nx: y").contains("and no more"));
    }
}
