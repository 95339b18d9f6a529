//! Who may ask, and what every answer carries.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{App, Failure};

/// Headers of every answer. The policy lets the page load its own files and nothing else.
const SECURITY_HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// What is answered before anybody has said who he is: the page's own files, which hold no figures, and what it signs in with.
fn is_open(path: &str) -> bool {
    !path.starts_with("/api/") || ["/api/v1/me", "/api/v1/login", "/api/v1/logout"].contains(&path)
}

/// Refuses requests that somebody else's page could have made, and of those who may not ask; and dresses every answer.
pub(super) async fn guard(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let refused = foreign(&app, request.headers());
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0.ip());
    let now = (app.options.clock)();
    let who = app.access.identify(peer, request.headers(), now);
    let may_ask = who.is_some() || is_open(request.uri().path());
    if let Some(who) = who {
        request.extensions_mut().insert(who);
    }
    let mut response = match refused {
        Some(detail) => Failure::Forbidden(detail).into_response(),
        None if may_ask => next.run(request).await,
        None => Failure::Unauthorized("nobody has signed in").into_response(),
    };
    for (name, value) in SECURITY_HEADERS {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

fn foreign(app: &App, headers: &HeaderMap) -> Option<&'static str> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    if app.loopback {
        let name = host_name(host);
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let mut names = app.options.names.iter();
        let ours = is_address
            || name.eq_ignore_ascii_case("localhost")
            || names.any(|ours| ours.eq_ignore_ascii_case(name));
        if !ours {
            return Some("this server is asked for by a name that is not its own");
        }
    }
    match headers.get(header::ORIGIN) {
        None => None,
        Some(_) if text(header::ORIGIN).is_some_and(|origin| same_origin(origin, host)) => None,
        Some(_) => Some("this server answers its own pages only"),
    }
}

/// The host without its port.
fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn same_origin(origin: &str, host: &str) -> bool {
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_told_from_its_port() {
        for (host, name) in [
            ("localhost:8080", "localhost"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]:8080", "[::1]"),
            ("[::1]", "[::1]"),
            ("evil.example:80", "evil.example"),
        ] {
            assert_eq!(host_name(host), name);
        }
    }

    #[test]
    fn an_origin_must_be_the_host_asked() {
        assert!(same_origin("http://127.0.0.1:8080", "127.0.0.1:8080"));
        assert!(!same_origin("http://evil.example", "127.0.0.1:8080"));
        assert!(!same_origin("null", "127.0.0.1:8080"));
    }
}
