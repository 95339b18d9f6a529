//! Who is asking: signing in and out.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};
use utoipa::ToSchema;

use super::{App, Failure, json};
use crate::access::{Access, Identity, Role};
use crate::api;

/// Attempts to sign in that are looked at at a time: each takes 19 MiB.
const LOGINS_MAX: usize = 4;
static LOGINS: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(LOGINS_MAX);

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/me", get(me))
        .route("/api/v1/login", post(login))
        .route("/api/v1/logout", post(logout))
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
    let (name, role) = match who {
        Some(Extension(identity)) => (identity.name, Some(identity.role)),
        None => (None, None),
    };
    json(&Me {
        name,
        role,
        required: app.access.is_required(),
        local: app.access.has_users(),
        oidc: None,
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
    let cookie = app
        .access
        .cookie(&login.name, (app.options.clock)(), secure);
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
