//! Who may ask, and what every answer carries.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{App, Failure};
use crate::access::Identity;
use crate::oidc::{BEGIN, CALLBACK};

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
    !path.starts_with("/api/")
        || [
            "/api/v1/me",
            "/api/v1/login",
            "/api/v1/logout",
            BEGIN,
            CALLBACK,
        ]
        .contains(&path)
}

/// Why somebody who sees a part of the rows is refused.
pub(super) const PART_ONLY: &str = "you may see a part of the rows, and this is about all of them";

/// What is answered to those who see a part of the rows: what a [`Limit`](crate::limit::Limit) narrows. All else tells of other rows.
fn is_narrowed(path: &str) -> bool {
    let Some(rest) = path.strip_prefix("/api/v1/") else {
        return true;
    };
    if [BEGIN, CALLBACK].contains(&path) {
        return true;
    }
    match rest.split_once('/') {
        None => ["me", "login", "logout", "aggregations"].contains(&rest),
        Some((_, view)) => [
            "window",
            "stream",
            "export.csv",
            "export.ndjson",
            "sparks",
            "key",
            "transactions",
        ]
        .contains(&view),
    }
}

/// Who is counted: see [`Rates`](crate::rate::Rates).
#[derive(Debug, Clone)]
pub(crate) struct Client(pub(crate) String);

fn client_of(who: Option<&Identity>, peer: IpAddr) -> Option<String> {
    match who {
        Some(Identity {
            name: Some(name), ..
        }) => Some(format!("user {name}")),
        _ if peer.to_canonical().is_loopback() => None,
        _ => Some(format!("address {}", peer.to_canonical())),
    }
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
    let path = request.uri().path();
    let may_ask = who.is_some() || is_open(path);
    let narrow = who.as_ref().is_some_and(|who| who.limit.is_limited());
    let refused = refused.or((narrow && !is_narrowed(path)).then_some(PART_ONLY));
    let client = client_of(who.as_ref(), peer);
    let counted = client.as_deref().filter(|_| path.starts_with("/api/"));
    let rated = counted.map_or(Ok(()), |client| app.rates.request(client, Instant::now()));
    if let Some(who) = who {
        request.extensions_mut().insert(who);
    }
    if let Some(client) = client {
        request.extensions_mut().insert(Client(client));
    }
    let mut response = match refused {
        Some(detail) => Failure::Forbidden(detail).into_response(),
        None if rated.is_err() => {
            let detail = "you ask more often than one client may; wait a little";
            Failure::TooMany(detail.to_owned()).into_response()
        }
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
    fn what_is_about_all_rows_is_not_narrowed() {
        for (path, expected) in [
            ("/", true),
            ("/api/v1/me", true),
            (CALLBACK, true),
            ("/api/v1/daily_totals/stream", true),
            ("/api/v1/daily_totals/snapshot", false),
            // An aggregation may be called so.
            ("/api/v1/oidc/curve", false),
            ("/api/v1/pipeline", false),
            ("/api/v1/quarantine/g-1/replay", false),
        ] {
            assert_eq!(is_narrowed(path), expected, "{path}");
        }
    }

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
