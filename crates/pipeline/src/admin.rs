//! `/healthz`, `/readyz`, `/metrics` and `/ledger` of this process.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use queue_manager::{LedgerCopy, QueueManager};
use serde_json::{Value, json};
use telemetry::Telemetry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::error;
use types::Tally;

/// Which parts are ready, in the order they were announced.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Vec<(&'static str, bool)>>);

impl Readiness {
    pub(crate) fn expect(&self, part: &'static str) {
        self.lock().push((part, false));
    }

    pub(crate) fn set(&self, part: &'static str, ready: bool) {
        for (known, state) in self.lock().iter_mut() {
            if *known == part {
                *state = ready;
            }
        }
    }

    fn waiting(&self) -> Vec<&'static str> {
        let parts = self.lock();
        parts
            .iter()
            .filter(|(_, ready)| !ready)
            .map(|(part, _)| *part)
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(&'static str, bool)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Clone)]
struct Shared {
    telemetry: Arc<Telemetry>,
    readiness: Arc<Readiness>,
    queue: Option<QueueManager>,
}

/// Binds; the returned future serves until the shutdown.
pub(crate) async fn bind(
    address: SocketAddr,
    telemetry: Arc<Telemetry>,
    readiness: Arc<Readiness>,
    queue: Option<QueueManager>,
    shutdown: CancellationToken,
) -> std::io::Result<(SocketAddr, impl Future<Output = ()> + Send)> {
    let listener = TcpListener::bind(address).await?;
    let local = listener.local_addr()?;
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/ledger", get(ledger))
        .with_state(Shared {
            telemetry,
            readiness,
            queue,
        });
    let serve = async move {
        let served =
            axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned());
        if let Err(error) = served.await {
            error!(error = %error, "the admin endpoint stopped");
        }
    };
    Ok((local, serve))
}

async fn ready(State(shared): State<Shared>) -> impl IntoResponse {
    let waiting = shared.readiness.waiting();
    match waiting.is_empty() {
        true => (StatusCode::OK, "ready\n".to_owned()),
        false => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {}\n", waiting.join(", ")),
        ),
    }
}

async fn metrics(State(shared): State<Shared>) -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (kind, shared.telemetry.render())
}

/// What went onto and off the queues (`docs/specs/ledger.md`).
async fn ledger(State(shared): State<Shared>) -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    match &shared.queue {
        Some(queue) => (
            StatusCode::OK,
            kind,
            ledger_json(&queue.ledger()).to_string(),
        ),
        None => {
            let error = json!({ "error": "there is no queue manager in this process" });
            (StatusCode::NOT_FOUND, kind, error.to_string())
        }
    }
}

fn ledger_json(ledger: &LedgerCopy) -> Value {
    let messages =
        |tally: &Tally| json!({ "count": tally.count, "ids": format!("{:016x}", tally.ids) });
    let lines = ledger.lines.iter().map(|line| {
        let mut declared = messages(&line.declared);
        declared["units"] = line.declared.units.to_string().into();
        json!({
            "queue": &*line.queue,
            "source": &*line.source,
            "minute": line.minute,
            "declared": declared,
            "put": messages(&line.put),
            "got": messages(&line.got),
        })
    });
    json!({ "folded_until": ledger.folded_until, "lines": lines.collect::<Vec<_>>() })
}
