//! Rows: all of them, a window on them, their stream, and as files.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::http::header::{self, HeaderName};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use types::BusinessDay;

use super::{App, Failure, Parameters, Shared, json_bytes, must_serve, served, table};
use crate::export::{self, Format};
use crate::hub::Hub;
use crate::order::Looked;
use crate::position::Position;
use crate::select::{self, Asked, Pairs, Select, Sort, number, one};
use crate::stream::{self, Rows, StreamRequest};
use crate::table::Table;
use crate::window::{position_of, window_once};

/// Frames a second that a client may ask for, and gets if it does not.
const HZ_MAX: usize = 100;
const HZ_DEFAULT: usize = 10;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/{aggregation}/snapshot", get(snapshot))
        .route("/api/v1/{aggregation}/window", get(window))
        .route("/api/v1/{aggregation}/stream", get(follow))
        .route("/api/v1/{aggregation}/export.csv", get(export_csv))
        .route("/api/v1/{aggregation}/export.ndjson", get(export_ndjson))
}

async fn snapshot(
    State(app): Shared,
    Path(name): Path<String>,
    Query(pairs): Parameters,
) -> Result<Response, Failure> {
    let (hub, day) = served(&app, &name, &pairs)?;
    let rows = table(&app, &hub, day).await?;
    // A hundred thousand rows take tens of milliseconds to encode: not on a thread for sockets.
    let encode = move || match rows {
        Table::Live(hub) => hub.snapshot(day),
        Table::Stored(_) => Some(rows.look(|view| hub.stored_snapshot(day, view.rows(day)))),
    };
    match tokio::task::spawn_blocking(encode).await.ok().flatten() {
        Some(body) => Ok(json_bytes(body)),
        // The day left the view this very moment.
        None => Err(Failure::NotReady {
            detail: "a new day has begun; ask again".to_owned(),
        }),
    }
}

async fn window(
    State(app): Shared,
    Path(name): Path<String>,
    Query(pairs): Parameters,
) -> Result<Response, Failure> {
    let (hub, day) = served(&app, &name, &pairs)?;
    let asked = hub.look(|view| Asked::read(view.schema(), &pairs))?;
    let rows = table(&app, &hub, day).await?;
    Ok(json_bytes(
        window_text(&hub, &rows, day, &asked).await.into(),
    ))
}

async fn window_text(hub: &Arc<Hub>, rows: &Table, day: BusinessDay, asked: &Asked) -> String {
    let order = rows.orders().get(day, &asked.select, rows).await;
    let now = (hub.clock)();
    let live = rows.is_live();
    // The store has no position; who goes on from here goes on where this server is.
    let position = (!live).then(|| position_of(&hub.view(), day));
    rows.look(|view| {
        let position = position.unwrap_or_else(|| position_of(view, day));
        let both = (view, &*order);
        window_once(hub.name(), both, (day, live), &position, now, asked)
    })
}

async fn follow(
    State(app): Shared,
    Path(name): Path<String>,
    Query(pairs): Parameters,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let hub = Arc::clone(app.hub(&name)?);
    let asked_day = select::day(&pairs)?;
    let day = asked_day.unwrap_or_else(|| hub.view().today());
    let hz = number(&pairs, "hz", (1, HZ_DEFAULT, HZ_MAX))?;
    let rows = match one(&pairs, "rows") {
        None | Some("window") => {
            let asked = hub.look(|view| Asked::read(view.schema(), &pairs))?;
            match asked_day.filter(|day| !hub.view().holds(*day)) {
                None => Rows::Window(asked),
                Some(day) => stored_window(&app, &hub, day, &asked).await?,
            }
        }
        Some("all") => Rows::All(position(&pairs, &headers)?),
        Some(_) => {
            let detail = "rows must be window or all".to_owned();
            return Err(Failure::BadQuery(detail));
        }
    };
    let request = StreamRequest {
        follows: asked_day.is_none(),
        day,
        rows,
        interval: Duration::from_secs(1) / u32::try_from(hz).unwrap_or(1),
        heartbeat: app.options.heartbeat,
    };
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let body = stream::body(hub, request, app.stop.clone());
    Ok((headers, body).into_response())
}

async fn stored_window(
    app: &App,
    hub: &Arc<Hub>,
    day: BusinessDay,
    asked: &Asked,
) -> Result<Rows, Failure> {
    must_serve(hub)?;
    let rows = table(app, hub, day).await?;
    let window = window_text(hub, &rows, day, asked).await;
    Ok(Rows::Stored(format!("event: window\ndata: {window}\n\n")))
}

/// Where the client stands: what the browser saw last is newer than what the page knew when it opened the stream.
fn position(pairs: &Pairs, headers: &HeaderMap) -> Result<Option<Position>, Failure> {
    let last = headers.get("last-event-id");
    let last = last
        .and_then(|last| last.to_str().ok())
        .filter(|last| !last.is_empty());
    let Some(text) = last.or_else(|| one(pairs, "from")) else {
        return Ok(None);
    };
    let position = Position::parse(text);
    let wrong = || Failure::BadQuery("from is no position: take one from a snapshot".to_owned());
    position.map(Some).ok_or_else(wrong)
}

async fn export_csv(
    State(app): Shared,
    Path(name): Path<String>,
    Query(pairs): Parameters,
) -> Result<Response, Failure> {
    export(&app, &name, &pairs, Format::Csv).await
}

async fn export_ndjson(
    State(app): Shared,
    Path(name): Path<String>,
    Query(pairs): Parameters,
) -> Result<Response, Failure> {
    export(&app, &name, &pairs, Format::Ndjson).await
}

/// The selected rows as they are at one moment; by their keys unless asked otherwise, so that two exports compare.
async fn export(app: &App, name: &str, pairs: &Pairs, format: Format) -> Result<Response, Failure> {
    let (hub, day) = served(app, name, pairs)?;
    let mut select = hub.look(|view| Select::read(view.schema(), pairs))?;
    if one(pairs, "sort").is_none() {
        select.sort = Sort::Key;
    }
    let rows = table(app, &hub, day).await?;
    let order = rows.orders().get(day, &select, &rows).await;
    // Only counted up, not copied: the view waits for no encoding, and what is sent is of one moment.
    let taken: Vec<Arc<str>> = rows.look(|view| {
        let rows = order.keys.iter().filter_map(|key| view.row(key, day));
        rows.map(|row| Arc::clone(&row.json)).collect()
    });
    let chunks = export::chunks(hub.spec.table.clone(), format, taken);
    let safe = |c: char| match c.is_ascii_alphanumeric() || c == '_' {
        true => c,
        false => '-',
    };
    let file: String = name.chars().map(safe).collect();
    let extension = format.extension();
    let headers = [
        (header::CONTENT_TYPE, format.content_type().to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{file}-{day}.{extension}\""),
        ),
    ];
    Ok((headers, Body::from_stream(chunks)).into_response())
}
