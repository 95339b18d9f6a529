//! Who is asking: signing in, here or elsewhere, and out.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};
use utoipa::ToSchema;

use super::{App, Failure, Parameters, json};
use crate::access::{Access, Identity, Role, SignedIn};
use crate::api;
use crate::oidc::{self, Begun, CODE_BYTES_MAX, OidcError};
use crate::select::one;

/// Attempts to sign in that are looked at at a time: each takes 19 MiB.
const LOGINS_MAX: usize = 4;
static LOGINS: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(LOGINS_MAX);

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/me", get(me))
        .route("/api/v1/login", post(login))
        .route("/api/v1/logout", post(logout))
        .route(oidc::BEGIN, get(begin))
        .route(oidc::CALLBACK, get(finish))
}

/// `GET /api/v1/me`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Me {
    /// Who it is; `null` when nobody has said so, or need not.
    #[schema(required)]
    pub name: Option<String>,
    /// What he may do; `null`: nothing before he has signed in.
    #[schema(required)]
    pub role: Option<Role>,
    /// Whether he sees a part of the rows only, and nothing of the pipeline and of what was refused.
    pub limited: bool,
    /// Whether one must sign in here.
    pub required: bool,
    /// Whether with name and password.
    pub local: bool,
    /// Address that begins signing in elsewhere.
    #[schema(required)]
    pub oidc: Option<String>,
}

/// `POST /api/v1/login`.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Login {
    /// Name.
    pub name: String,
    /// Password.
    pub password: String,
}

/// Who is asking, and what he may do.
#[utoipa::path(get, path = "/api/v1/me", tag = "access", responses(
    (status = 200, description = "Also before signing in.", body = Me),
))]
pub(crate) async fn me(State(app): State<Arc<App>>, who: Option<Extension<Identity>>) -> Response {
    let limited = who.as_ref().is_some_and(|who| who.limit.is_limited());
    let (name, role) = match who {
        Some(Extension(identity)) => (identity.name, Some(identity.role)),
        None => (None, None),
    };
    json(&Me {
        name,
        role,
        limited,
        required: app.access.is_required(),
        local: app.access.has_users(),
        oidc: app.access.oidc().map(|_| oidc::BEGIN.to_owned()),
    })
}

/// Signs in with name and password.
#[utoipa::path(post, path = "/api/v1/login", tag = "access", request_body = Login, responses(
    (status = 204, description = "A session has begun: the answer has its cookie."),
    (status = 401, description = "There is nobody of this name and password.", body = api::Problem, content_type = "application/problem+json"),
    (status = 429, description = "Too many attempts from this address.", body = api::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn login(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Json(login): Json<Login>,
) -> Result<Response, Failure> {
    let peer: IpAddr = peer.ip().to_canonical();
    if !app.access.may_try(peer) {
        warn!(target: "audit", who = login.name, %peer, "too many attempts to sign in");
        return Err(Failure::TooMany(
            "too many attempts to sign in; wait a little".to_owned(),
        ));
    }
    // Counted before it is looked at, so that many at once are many.
    app.access.failed(peer);
    // Never closed.
    let _place = LOGINS.acquire().await.ok();
    let (access, name) = (Arc::clone(&app.access), login.name.clone());
    let checked = tokio::task::spawn_blocking(move || access.is_user(&name, &login.password));
    let is_user = checked.await.unwrap_or(false);
    if !is_user {
        warn!(target: "audit", who = login.name, %peer, "could not sign in");
        return Err(Failure::Unauthorized("name or password is wrong"));
    }
    info!(target: "audit", who = login.name, %peer, "signed in");
    let forwarded = headers.get("x-forwarded-proto");
    let secure = app.options.tls.is_some() || forwarded.is_some_and(|proto| proto == "https");
    let cookie = app.access.cookie(
        &login.name,
        SignedIn::Password,
        (app.options.clock)(),
        secure,
    );
    let Some(cookie) = cookie else {
        return Err(Failure::Unauthorized("no session can be made"));
    };
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

/// Signs out.
#[utoipa::path(post, path = "/api/v1/logout", tag = "access", responses(
    (status = 204, description = "The browser forgets the session."),
))]
pub(crate) async fn logout(who: Option<Extension<Identity>>) -> Response {
    let name = who.and_then(|Extension(identity)| identity.name);
    info!(target: "audit", who = name, "signed out");
    (
        StatusCode::NO_CONTENT,
        [(header::SET_COOKIE, Access::no_cookie())],
    )
        .into_response()
}

/// Longest address within the page that is gone back to, in bytes.
const PAGE_BYTES_MAX: usize = 2_048;

/// An address of this page; whatever else is asked for is its beginning, so that nobody is led away.
fn page_of(asked: Option<&str>) -> &str {
    let ours = |page: &&str| {
        let rest = page.strip_prefix('/');
        rest.is_some_and(|rest| !rest.starts_with(['/', '\\']))
            && page.len() <= PAGE_BYTES_MAX
            && page.bytes().all(|byte| byte.is_ascii_graphic())
    };
    asked.filter(ours).unwrap_or("/")
}

fn go_to(address: &str, cookies: impl IntoIterator<Item = HeaderValue>) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    if let Ok(address) = HeaderValue::from_str(address) {
        headers.insert(header::LOCATION, address);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for cookie in cookies {
        headers.append(header::SET_COOKIE, cookie);
    }
    response
}

/// Begins signing in elsewhere.
#[utoipa::path(get, path = "/api/v1/oidc/login", tag = "access",
    params(("page" = Option<String>, Query, description = "Address within the page to come back to; its beginning if not given")),
    responses(
        (status = 303, description = "To the issuer; or back to the page with `sign_in=failed` when the issuer does not answer."),
        (status = 404, description = "Nobody signs in elsewhere here.", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn begin(
    State(app): State<Arc<App>>,
    Query(pairs): Parameters,
) -> Result<Response, Failure> {
    let issuer = issuer(&app)?;
    let page = page_of(one(&pairs, "page"));
    let (address, begun) = match issuer.begin().await {
        Ok(begun) => begun,
        Err(error) => return Ok(failed(&error)),
    };
    let cookie = app.access.oidc_cookie(&begun, page, (app.options.clock)());
    Ok(go_to(&address, cookie))
}

/// Where the issuer sends people back to.
#[utoipa::path(get, path = "/api/v1/oidc/callback", tag = "access",
    params(("state" = String, Query, description = "What was sent with them"),
        ("code" = Option<String>, Query, description = "What the issuer tells who it is for"),
        ("error" = Option<String>, Query, description = "Why it does not"),
    ),
    responses(
        (status = 303, description = "To the page: with a session, or with `sign_in` = `expired`, `denied` or `failed`."),
        (status = 404, description = "Nobody signs in elsewhere here.", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn finish(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Query(pairs): Parameters,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let issuer = issuer(&app)?;
    let peer = peer.ip().to_canonical();
    let state = one(&pairs, "state").unwrap_or_default();
    let now = (app.options.clock)();
    // Without it nothing is asked of the issuer, so this needs no limit of its own.
    let Some((begun, page)) = app.access.oidc_begun(&headers, state, now) else {
        warn!(target: "audit", %peer, "came back from the issuer without having gone there, or too late");
        return Ok(go_to("/?sign_in=expired", [Access::no_oidc_cookie()]));
    };
    let (name, role) = match who(issuer, &begun, &pairs).await {
        Ok(found) => found,
        Err(error) => {
            warn!(target: "audit", %peer, error = types::report(&error), "could not sign in at the issuer");
            return Ok(failed(&error));
        }
    };
    let by = SignedIn::Oidc(role);
    let cookie = app.access.cookie(&name, by, now, issuer.is_secure());
    info!(target: "audit", who = name, ?role, %peer, "signed in at the issuer");
    let cookies = [cookie, Some(Access::no_oidc_cookie())];
    Ok(go_to(&page, cookies.into_iter().flatten()))
}

async fn who(
    issuer: &oidc::Oidc,
    begun: &Begun,
    pairs: &crate::select::Pairs,
) -> Result<(String, Role), OidcError> {
    let code = one(pairs, "code").filter(|code| code.len() <= CODE_BYTES_MAX);
    let Some(code) = code else {
        let error = one(pairs, "error").unwrap_or("no code");
        let error: String = error.chars().take(100).collect();
        return Err(OidcError::Token(format!("it says {error:?}")));
    };
    issuer.finish(begun, code).await
}

fn issuer(app: &App) -> Result<&oidc::Oidc, Failure> {
    let missing = || Failure::NotFound("nobody signs in elsewhere here".to_owned());
    app.access.oidc().ok_or_else(missing)
}

/// Back to the page, which says it in words; the reason is in the log.
fn failed(error: &OidcError) -> Response {
    let how = match error {
        OidcError::NotAllowed { .. } => "denied",
        _ => {
            warn!(error = types::report(error), "signing in elsewhere failed");
            "failed"
        }
    };
    go_to(&format!("/?sign_in={how}"), [Access::no_oidc_cookie()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_away() {
        for (asked, page) in [
            (Some("/?day=2026-11-23"), "/?day=2026-11-23"),
            (Some("/"), "/"),
            (None, "/"),
            (Some(""), "/"),
            (Some("https://evil.example/"), "/"),
            (Some("//evil.example/"), "/"),
            (Some("/\\evil.example/"), "/"),
            (Some("/a\r\nset-cookie: x"), "/"),
            (Some("/\u{e9}"), "/"),
        ] {
            assert_eq!(page_of(asked), page, "{asked:?}");
        }
        let (fits, long) = ("x".repeat(PAGE_BYTES_MAX - 1), "x".repeat(PAGE_BYTES_MAX));
        assert_ne!(page_of(Some(&format!("/{fits}"))), "/");
        assert_eq!(page_of(Some(&format!("/{long}"))), "/");
    }
}
