//! The page's files: what `make page` built, or a word on how to build it.

use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Names with a hash in them never change their content.
const FOREVER: &str = "public, max-age=31536000, immutable";
const ASK_AGAIN: &str = "no-cache";

/// Whether the page is in this binary.
#[cfg(page_built)]
pub(crate) const BUILT: bool = true;
/// Whether the page is in this binary.
#[cfg(not(page_built))]
pub(crate) const BUILT: bool = false;

#[cfg(page_built)]
#[derive(rust_embed::RustEmbed)]
#[folder = "$DAYBOOK_PAGE_DIR"]
struct Dist;

#[cfg(page_built)]
fn file(path: &str) -> Option<std::borrow::Cow<'static, [u8]>> {
    Dist::get(path).map(|file| file.data)
}

#[cfg(not(page_built))]
fn file(path: &str) -> Option<std::borrow::Cow<'static, [u8]>> {
    let page = include_bytes!("not_built.html");
    (path == "index.html").then_some(std::borrow::Cow::Borrowed(page))
}

/// Answers with a file; `/` is `index.html`.
pub(crate) fn serve(path: &str, request: &HeaderMap) -> Option<Response> {
    let path = match path.trim_start_matches('/') {
        "" => "index.html",
        path if path.ends_with(".gz") => return None,
        path => path,
    };
    let accepted = request
        .get(header::ACCEPT_ENCODING)
        .and_then(|accepted| accepted.to_str().ok())
        .is_some_and(|accepted| accepted.split(',').any(accepts_gzip));
    let packed = accepted.then(|| file(&format!("{path}.gz"))).flatten();
    let is_packed = packed.is_some();
    let data = packed.or_else(|| file(path))?;
    let mut response = (StatusCode::OK, data.into_owned()).into_response();
    let headers = response.headers_mut();
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    let kind = match kind.essence_str() {
        kind if kind.starts_with("text/") => format!("{kind}; charset=utf-8"),
        kind => kind.to_owned(),
    };
    if let Ok(kind) = HeaderValue::from_str(&kind) {
        headers.insert(CONTENT_TYPE, kind);
    }
    let hashed = path.starts_with("assets/");
    let cache = if hashed { FOREVER } else { ASK_AGAIN };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if is_packed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Some(response)
}

fn accepts_gzip(coding: &str) -> bool {
    let mut parts = coding.trim().split(';');
    let name = parts.next().unwrap_or_default().trim();
    let refused = parts.any(|part| matches!(part.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
    name == "gzip" && !refused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        assert!(accepts_gzip(" gzip"));
        assert!(accepts_gzip("gzip;q=0.5"));
        assert!(!accepts_gzip("gzip; q=0"));
        assert!(!accepts_gzip("br"));
    }

    #[test]
    fn there_is_always_an_index() {
        let response = serve("/", &HeaderMap::new()).expect("a page");
        let headers = response.headers();
        assert_eq!(headers[CONTENT_TYPE], "text/html; charset=utf-8");
        assert_eq!(headers[CACHE_CONTROL], ASK_AGAIN);
        assert!(serve("/nothing.js", &HeaderMap::new()).is_none());
        assert!(serve("/../Cargo.toml", &HeaderMap::new()).is_none());
    }
}
