//! The API's description, made from the types it answers with: `/openapi.json`.
//!
//! `page/src/openapi.json` is the same text, and the page's types are made from that; tests on both sides hold them
//! together.

use std::sync::OnceLock;

use axum::response::Response;
use bytes::Bytes;
use utoipa::OpenApi;

use crate::api;
use crate::routes::{self, json_bytes};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Daybook",
        description = "Totals of the day, live. Decimals are texts and exact. Times named `*_at` are microseconds since 1970, those of points milliseconds.",
    ),
    paths(
        routes::aggregations,
        routes::readyz,
        routes::access::me,
        routes::access::login,
        routes::access::begin,
        routes::access::finish,
        routes::access::logout,
        routes::backstage::transactions,
        routes::backstage::trace,
        routes::backstage::quarantine,
        routes::backstage::quarantined,
        routes::backstage::replay,
        routes::backstage::discard,
        routes::rows::snapshot,
        routes::rows::window,
        routes::rows::follow,
        routes::rows::export_csv,
        routes::rows::export_ndjson,
        routes::history::curve,
        routes::history::movers,
        routes::history::sparks,
        routes::history::key,
        routes::pipeline::pipeline,
        routes::pipeline::hop,
        routes::pipeline::counts,
    ),
    // Those of events, which no response names.
    components(schemas(api::Frame, api::Summary, api::Heartbeat, api::Reset, api::DayChange)),
)]
struct Description;

/// The description, and a line end.
fn text() -> String {
    let mut api = Description::openapi();
    env!("CARGO_PKG_VERSION").clone_into(&mut api.info.version);
    // Made of plain values: serialising it cannot fail.
    let mut text = api.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

pub(crate) async fn serve() -> Response {
    static TEXT: OnceLock<Bytes> = OnceLock::new();
    json_bytes(TEXT.get_or_init(|| text().into()).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_description_that_is_served() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../page/src/openapi.json");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(path, text()).expect("writes");
        }
        let known = std::fs::read_to_string(path).expect("it is there");
        assert!(
            known == text(),
            "page/src/openapi.json is not what is served; run this with UPDATE_EXPECT=1, then \
             `npm run types` in page/"
        );
        assert!(known.contains("\"openapi\": \"3.1.0\""));
    }
}
