//! The API: what each address answers.
//!
//! `rows` are the rows and their stream, `history` what they were, `pipeline` the hops, `backstage` single records, `access` signing in; `guard` is what every
//! request passes, `failure` what becomes of those that cannot be answered.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{FromRequestParts, Query, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use store::CellKind;
use tokio_util::sync::CancellationToken;
use types::BusinessDay;

use crate::access::{Access, Identity};
use crate::api;
use crate::hub::Hub;
use crate::limit::Limit;
use crate::options::WebOptions;
use crate::pipeline::Sampler;
use crate::rate::Rates;
use crate::select::{self, Pairs};
use crate::table::{StoredDays, Table};
use crate::{openapi, page};

pub(crate) mod access;
pub(crate) mod backstage;
mod failure;
mod guard;
pub(crate) mod history;
pub(crate) mod pipeline;
pub(crate) mod rows;

pub(crate) use failure::{Failure, json, json_bytes};

/// What requests share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) options: WebOptions,
    pub(crate) hubs: Vec<Arc<Hub>>,
    pub(crate) sampler: Sampler,
    access: Arc<Access>,
    loopback: bool,
    stop: CancellationToken,
    counts: Mutex<HashMap<String, pipeline::Counted>>,
    /// The counts are being read.
    counting: AtomicBool,
    stored: StoredDays,
    rates: Rates,
}

impl App {
    pub(crate) fn new(
        options: WebOptions,
        address: SocketAddr,
        hubs: Vec<Arc<Hub>>,
        sampler: Sampler,
        access: Access,
        stop: CancellationToken,
    ) -> Self {
        Self {
            rates: Rates::new(options.rates),
            loopback: address.ip().is_loopback(),
            options,
            hubs,
            sampler,
            access: Arc::new(access),
            stop,
            counts: Mutex::default(),
            counting: AtomicBool::new(false),
            stored: StoredDays::default(),
        }
    }

    fn hubs_for(&self, limit: &Limit) -> impl Iterator<Item = &Arc<Hub>> {
        self.hubs.iter().filter(|hub| limit.shows(&hub.spec.keys))
    }

    /// An aggregation that he who asks may see; one that he may not is none.
    fn hub(&self, name: &str, limit: &Limit) -> Result<&Arc<Hub>, Failure> {
        let mut hubs = self.hubs_for(limit);
        let found = hubs.find(|hub| hub.name() == name);
        found.ok_or_else(|| Failure::NotFound(format!("there is no aggregation {name:?}")))
    }
}

/// What he who asks may see. Nobody who has not been identified sees anything.
impl FromRequestParts<Arc<App>> for Limit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Self::Rejection> {
        let who = parts.extensions.get::<Identity>();
        Ok(who.map_or_else(Self::nothing, |who| who.limit.clone()))
    }
}

/// All addresses. The parts behind `/api/v1/{aggregation}` take any name.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/openapi.json", get(openapi::serve))
        .route("/api/v1/aggregations", get(aggregations))
        .merge(access::routes())
        .merge(backstage::routes())
        .merge(pipeline::routes())
        .merge(history::routes())
        .merge(rows::routes())
        .fallback(fallback)
        .method_not_allowed_fallback(|| async { Failure::Method })
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app),
            guard::guard,
        ))
        .with_state(app)
}

async fn fallback(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return Failure::Method.into_response();
    }
    let found = page::serve(uri.path(), &headers);
    found.unwrap_or_else(|| {
        let detail = format!("there is nothing at {:?}", uri.path());
        Failure::NotFound(detail).into_response()
    })
}

/// Whether every aggregation is live.
#[utoipa::path(get, path = "/readyz", tag = "state", responses(
    (status = 200, description = "It is.", body = api::Ready),
    (status = 503, description = "It is not, and why.", body = api::Ready),
))]
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Response {
    let mut reasons = Vec::new();
    let mut percent = 100;
    for hub in &app.hubs {
        let heartbeat = hub.heartbeat();
        percent = percent.min(heartbeat.percent);
        let name = hub.name();
        match (heartbeat.state, heartbeat.reason) {
            (api::State::Live, _) => {}
            (api::State::CatchingUp, None) => {
                reasons.push(format!("{name}: catching up, {} %", heartbeat.percent));
            }
            (_, reason) => reasons.push(format!("{name}: {}", reason.unwrap_or_default())),
        }
    }
    let ready = reasons.is_empty();
    let message = match ready {
        true => "live".to_owned(),
        false => reasons.join("; "),
    };
    let mut response = json(&api::Ready {
        ready,
        message,
        percent,
    });
    if !ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// What there is to show.
#[utoipa::path(get, path = "/api/v1/aggregations", tag = "state", responses(
    (status = 200, description = "All aggregations.", body = api::Aggregations),
))]
pub(crate) async fn aggregations(State(app): State<Arc<App>>, limit: Limit) -> Response {
    let aggregations = app.hubs_for(&limit).map(|hub| api::Aggregation {
        name: hub.name().to_owned(),
        columns: hub.spec.table.columns.iter().map(column).collect(),
        keys: hub.spec.keys.clone(),
        sums: hub.spec.sums.clone(),
        zone: hub.spec.zone.clone(),
        today: hub.view().today().to_string(),
    });
    json(&api::Aggregations {
        aggregations: aggregations.collect(),
        demo: app.options.demo,
        gateway_url: app.options.gateway_url.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

fn column((name, kind): &(String, CellKind)) -> api::Column {
    api::Column {
        name: name.clone(),
        kind: match kind {
            CellKind::Text | CellKind::Date | CellKind::Timestamp => api::ColumnKind::Text,
            CellKind::Decimal => api::ColumnKind::Decimal,
            CellKind::Int => api::ColumnKind::Int,
        },
    }
}

/// What every handler is given.
type Shared = State<Arc<App>>;
/// The parameters of an address. Unknown ones are passed over.
type Parameters = Query<Pairs>;

/// Nothing is shown before the log has been read to its end: old figures would go backwards.
fn must_serve(hub: &Hub) -> Result<(), Failure> {
    if hub.serves() {
        return Ok(());
    }
    let heartbeat = hub.heartbeat();
    let detail = match heartbeat.reason {
        Some(reason) => reason,
        None => format!("catching up, {} %", heartbeat.percent),
    };
    Err(Failure::NotReady { detail })
}

/// The aggregation that is asked for, if it has something to show, and the day: today unless asked otherwise.
fn served(
    app: &App,
    name: &str,
    pairs: &Pairs,
    limit: &Limit,
) -> Result<(Arc<Hub>, BusinessDay), Failure> {
    let hub = Arc::clone(app.hub(name, limit)?);
    let day = select::day(pairs)?;
    must_serve(&hub)?;
    let day = day.unwrap_or_else(|| hub.view().today());
    Ok((hub, day))
}

/// Whether he who asks may see a row of this key, a compact JSON array.
fn sees(hub: &Hub, key: &str, limit: &Limit) -> bool {
    let parts: Vec<Option<String>> = serde_json::from_str(key).unwrap_or_default();
    limit.takes(&hub.spec.keys, &parts)
}

fn must_see(hub: &Hub, key: &str, limit: &Limit) -> Result<(), Failure> {
    match sees(hub, key, limit) {
        true => Ok(()),
        // Whether there is such a row is not said either.
        false => Err(Failure::NotFound("there is no such row".to_owned())),
    }
}

/// The rows of a day: those in view, or else the store's.
async fn table(app: &App, hub: &Arc<Hub>, day: BusinessDay) -> Result<Table, Failure> {
    if hub.view().holds(day) {
        return Ok(Table::Live(Arc::clone(hub)));
    }
    if let Some(known) = app.stored.get(hub.name(), day, app.options.stored_age_max) {
        return Ok(Table::Stored(known));
    }
    let (store, spec) = (app.options.store.clone(), hub.spec.clone());
    let read = blocking(move || StoredDays::read(&store, &spec, day)).await?;
    Ok(Table::Stored(app.stored.keep(hub.name(), day, read)))
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, store::StoreError> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(Failure::Store(types::report(&error))),
        Err(error) => Err(Failure::Store(error.to_string())),
    }
}
