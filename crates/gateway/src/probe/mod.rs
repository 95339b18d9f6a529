//! What one request went through: kept for a while, to be read at `/v1/probes`.
//!
//! # Where this sits
//!
//! ```text
//! service, tcp ──Trail, step by step──► ingest ──Trail::saw──► Draft ──Trail::keep──► Probes (a ring in memory)
//! ```
//!
//! # Invariants
//!
//! - **Off it costs nothing**: without a [`Trail`] no clock is read and nothing is kept or copied.
//! - **Masked before it is kept**: nothing gets into the ring but through [`mask`].
//! - **Bounded**: so many requests, so many bytes; the oldest make room.
//! - A request that is refused for who sends it, or for how much, leaves no probe: it could push out those that matter.

mod mask;
mod show;
mod view;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use mapping::{Format, Refusal};
use serde::Deserialize;

use crate::metrics::GatewayMetrics;
use crate::problem::Problem;
use crate::rate::Rate;
use crate::trace::trace_id;
use mask::Digits;
use view::Input;

pub(crate) use show::{Query, Reader};

/// Asks for a probe, and in the answer says which it is.
pub(crate) const PROBE: HeaderName = HeaderName::from_static("daybook-probe");
/// Most records that a probe shows, of the accepted and of the refused.
const RECORDS_MAX: usize = 10;
/// Most bytes of one record's JSON, of an answer, and of a refusal.
const RECORD_BYTES_MAX: usize = 4 << 10;
/// Most bytes of a header's value, of an id and of a name.
const VALUE_BYTES_MAX: usize = 256;
/// What a probe takes beside its texts, in bytes, about.
const PROBE_BYTES: usize = 1 << 10;

/// Headers that are shown: nothing by which somebody shows who he is.
const HEADERS: &[&str] = &[
    "accept",
    "ce-id",
    "ce-source",
    "ce-specversion",
    "ce-type",
    "content-encoding",
    "content-length",
    "content-type",
    "daybook-first-record",
    "expect",
    "idempotency-key",
    "prefer",
    "soapaction",
    "traceparent",
    "tracestate",
    "user-agent",
];

/// `[gateway.probe]`: of which requests it is kept what they went through.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProbeOptions {
    /// Of each that is refused for what it contains, or of which a record is. true.
    pub on_refusal: bool,
    /// Most of those that are kept a second, whoever sends them; what it takes to mask them is taken from everybody. 20.
    pub refusals_per_second_max: u32,
    /// Of one of so many that are accepted; 0: of none. 0.
    pub sample: u32,
    /// Most requests that are kept; 0: none. 200.
    pub requests_max: usize,
    /// Most bytes that they take up in memory. 8 MiB.
    pub bytes_max: usize,
    /// Most bytes of one input that are kept. 16,384.
    pub body_bytes_max: usize,
}

impl Default for ProbeOptions {
    fn default() -> Self {
        Self {
            on_refusal: true,
            refusals_per_second_max: 20,
            sample: 0,
            requests_max: 200,
            bytes_max: 8 << 20,
            body_bytes_max: 16 << 10,
        }
    }
}

/// A part of a request's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// From the first look at it to the end of its head.
    Head,
    Body,
    /// Keys, tokens and certificates before the body, signatures behind it.
    Authentication,
    /// Taking events out, and the mapping.
    Translation,
    /// Into the queue or the quarantine, until it is on disk.
    Put,
    Answer,
}

/// Their names, in the order of the way.
const STEPS: [(Step, &str); 6] = [
    (Step::Authentication, "authentication"),
    (Step::Head, "head"),
    (Step::Body, "body"),
    (Step::Translation, "translation"),
    (Step::Put, "put"),
    (Step::Answer, "answer"),
];

/// Microseconds of each of [`STEPS`], by [`Step`].
type Micros = [u64; STEPS.len()];

/// A request on its way, of which it may be kept what it goes through.
#[derive(Debug)]
pub(crate) struct Trail {
    nanos: Micros,
    last: Instant,
    /// Its sender asked for it.
    asked: bool,
    /// How many bytes of a compressed body came.
    sent: Option<usize>,
    draft: Option<Box<Draft>>,
}

/// What is kept, but for the answer.
#[derive(Debug)]
struct Draft {
    id: Box<str>,
    source: Arc<str>,
    client: Option<Box<str>>,
    headers: Vec<(Box<str>, String)>,
    format: Format,
    compression: Option<(String, Option<usize>)>,
    events: Option<&'static str>,
    input: Option<Input>,
    accepted: usize,
    refused: usize,
    passed_over: u64,
    /// JSON of accepted records.
    records: Vec<String>,
    refusals: Vec<String>,
}

/// What one request went through. Masked.
#[derive(Debug)]
pub(crate) struct Probe {
    /// Microseconds since 1970.
    when: i64,
    address: Option<String>,
    listener: String,
    draft: Box<Draft>,
    status: u16,
    answer: String,
    micros: Micros,
}

impl Probe {
    fn is_refused(&self) -> bool {
        self.status >= 300
    }

    fn bytes(&self) -> usize {
        let draft = &self.draft;
        let headers = draft
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len());
        let records = draft.records.iter().chain(&draft.refusals).map(String::len);
        let input = draft.input.as_ref().map_or(0, |input| input.shown.len());
        PROBE_BYTES + self.answer.len() + input + headers.sum::<usize>() + records.sum::<usize>()
    }
}

/// What is known of a request before its body.
pub(crate) struct Known<'r> {
    pub(crate) source: &'r Arc<str>,
    pub(crate) format: Format,
    pub(crate) client: Option<&'r str>,
    pub(crate) headers: Option<&'r HeaderMap>,
    /// Of the context that goes on with it; `None` where there was none yet.
    pub(crate) traceparent: Option<&'r str>,
}

/// What became of its body.
pub(crate) struct Outcome<'r> {
    pub(crate) body: Option<&'r [u8]>,
    pub(crate) events: Option<&'static str>,
    pub(crate) accepted: usize,
    pub(crate) passed_over: u64,
    /// The first of the accepted records.
    pub(crate) records: Vec<&'r [u8]>,
    pub(crate) refused: usize,
    /// The first of those.
    pub(crate) refusals: Vec<&'r Refusal>,
}

impl<'r> Outcome<'r> {
    /// What a problem says that came of a body.
    pub(crate) fn of(problem: &'r Problem, body: Option<&'r [u8]>) -> Self {
        let cause = problem.cause();
        let refused = cause.map_or(&[][..], |cause| &cause.refused[..]);
        let whole = cause.and_then(|cause| cause.whole.as_ref());
        let records = refused.iter().map(|record| &record.refusal);
        Self {
            body: body.or(cause.map(|cause| &cause.body[..])),
            events: None,
            accepted: 0,
            passed_over: 0,
            records: Vec::new(),
            refused: refused.len(),
            refusals: whole.into_iter().chain(records).take(RECORDS_MAX).collect(),
        }
    }

    /// How many records are shown at most.
    pub(crate) const RECORDS_MAX: usize = RECORDS_MAX;
}

/// The requests that are kept.
#[derive(Debug)]
pub(crate) struct Probes {
    options: ProbeOptions,
    accepted: AtomicU64,
    /// How often a refusal is kept.
    refusals: Rate,
    metrics: Arc<GatewayMetrics>,
    ring: Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    bytes: usize,
    /// The newest last.
    probes: VecDeque<Arc<Probe>>,
}

impl Probes {
    pub(crate) fn new(options: ProbeOptions, metrics: Arc<GatewayMetrics>) -> Self {
        let per_second = options.refusals_per_second_max;
        Self {
            options,
            accepted: AtomicU64::new(0),
            refusals: Rate::new(per_second, per_second),
            metrics,
            ring: Mutex::default(),
        }
    }

    /// Begins with a request that came at `begun`; `None`: nothing will be kept of it.
    pub(crate) fn begin(&self, asked: bool, begun: Instant) -> Option<Trail> {
        let is_on = asked || self.options.on_refusal || self.options.sample > 0;
        (is_on && self.options.requests_max > 0).then(|| Trail {
            nanos: Micros::default(),
            last: begun,
            asked,
            sent: None,
            draft: None,
        })
    }

    /// Whether one that was accepted is kept.
    fn is_sampled(&self) -> bool {
        let sample = u64::from(self.options.sample);
        sample > 0
            && self
                .accepted
                .fetch_add(1, Ordering::Relaxed)
                .is_multiple_of(sample)
    }

    /// Whether one that was refused at this time is kept.
    fn has_room_for_refusal(&self, now: Instant) -> bool {
        let has_room = self.refusals.take(1, now).is_ok();
        if !has_room {
            let passed_over = &self.metrics.probes_passed_over;
            passed_over.fetch_add(1, Ordering::Relaxed);
        }
        has_room
    }

    fn push(&self, probe: Probe) {
        let bytes = probe.bytes();
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.bytes += bytes;
        ring.probes.push_back(Arc::new(probe));
        let (requests_max, bytes_max) = (self.options.requests_max, self.options.bytes_max);
        while ring.probes.len() > requests_max || ring.bytes > bytes_max {
            let Some(oldest) = ring.probes.pop_front() else {
                break;
            };
            ring.bytes -= oldest.bytes();
        }
    }

    /// All that are kept, the newest first.
    fn all(&self) -> Vec<Arc<Probe>> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.probes.iter().rev().cloned().collect()
    }
}

/// Ends a step of a request's way, where there is a trail.
pub(crate) fn mark(trail: &mut Option<Trail>, step: Step) {
    if let Some(trail) = trail {
        let now = Instant::now();
        let spent = now.saturating_duration_since(trail.last).as_nanos();
        trail.nanos[step as usize] += u64::try_from(spent).unwrap_or(u64::MAX);
        trail.last = now;
    }
}

impl Trail {
    /// Whether nothing is kept, so far.
    pub(crate) fn is_empty(&self) -> bool {
        self.draft.is_none()
    }

    /// Whether the sender is one who may ask for it.
    pub(crate) fn may_ask(&mut self, may: bool) {
        self.asked &= may;
    }

    /// A compressed body was so long.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent = Some(bytes);
    }

    /// Whether what came out is kept: `status` of the answer, if that is one.
    fn is_kept(&self, probes: &Probes, status: StatusCode, refused: usize) -> bool {
        let of_sender = [
            StatusCode::UNAUTHORIZED,
            StatusCode::FORBIDDEN,
            StatusCode::TOO_MANY_REQUESTS,
        ];
        if of_sender.contains(&status) {
            return false;
        }
        let is_refused = status.is_client_error() || refused > 0;
        self.asked
            || (is_refused && probes.options.on_refusal && probes.has_room_for_refusal(self.last))
            || (status.is_success() && probes.is_sampled())
    }

    /// What became of the request, before it is answered. What this takes is in no step.
    pub(crate) fn saw(
        &mut self,
        probes: &Probes,
        known: &Known<'_>,
        status: StatusCode,
        outcome: &Outcome<'_>,
    ) {
        if self.draft.is_some() || !self.is_kept(probes, status, outcome.refused) {
            return;
        }
        let body_bytes_max = probes.options.body_bytes_max;
        let input = outcome
            .body
            .map(|body| view::input(body, known.format, body_bytes_max));
        let header = |name| known.headers?.get(name)?.to_str().ok();
        let digits = Digits::of(known.format);
        let coding = header("content-encoding");
        let coding = coding.map(|coding| cut(coding, Digits::Apart, VALUE_BYTES_MAX));
        let records = outcome.records.iter().take(RECORDS_MAX);
        let refusals = outcome.refusals.iter().take(RECORDS_MAX);
        self.draft = Some(Box::new(Draft {
            id: known
                .traceparent
                .and_then(trace_id)
                .unwrap_or_default()
                .into(),
            source: Arc::clone(known.source),
            client: known.client.map(Into::into),
            headers: known.headers.map(headers).unwrap_or_default(),
            format: known.format,
            compression: coding.map(|coding| (coding, self.sent)),
            events: outcome
                .events
                .or_else(|| header("ce-specversion").map(|_| "binary")),
            input,
            accepted: outcome.accepted,
            refused: outcome.refused,
            passed_over: outcome.passed_over,
            records: records
                .map(|json| cut(&String::from_utf8_lossy(json), digits, RECORD_BYTES_MAX))
                .collect(),
            refusals: refusals
                .map(|refusal| cut(&refusal.to_string(), digits, RECORD_BYTES_MAX))
                .collect(),
        }));
        self.last = Instant::now();
    }

    /// Keeps what is to be kept, with the answer's bytes.
    pub(crate) fn keep(
        mut self,
        probes: &Probes,
        when: i64,
        listener: String,
        address: Option<String>,
        status: StatusCode,
        answer: &[u8],
    ) -> Option<Box<str>> {
        let draft = self.draft.take()?;
        let (id, digits) = (draft.id.clone(), Digits::of(draft.format));
        probes.push(Probe {
            when,
            address,
            listener,
            draft,
            status: status.as_u16(),
            answer: cut(&String::from_utf8_lossy(answer), digits, RECORD_BYTES_MAX),
            micros: self.nanos.map(|nanos| nanos / 1_000),
        });
        self.asked.then_some(id)
    }

    /// [`Trail::keep`] of an answer of HTTP.
    pub(crate) async fn keep_http(
        self,
        probes: &Probes,
        when: i64,
        listener: String,
        address: String,
        response: Response<Full<Bytes>>,
    ) -> Response<Full<Bytes>> {
        if self.draft.is_none() {
            return response;
        }
        let (mut parts, body) = response.into_parts();
        // It is there as a whole, and cannot fail.
        let Ok(body) = body.collect().await;
        let body = body.to_bytes();
        let status = parts.status;
        let id = self.keep(probes, when, listener, Some(address), status, &body);
        if let Some(id) = id.and_then(|id| HeaderValue::from_str(&id).ok()) {
            parts.headers.insert(PROBE, id);
        }
        Response::from_parts(parts, Full::new(body))
    }
}

/// A text, masked and then cut.
fn cut(text: &str, digits: Digits, bytes_max: usize) -> String {
    let end = |most: usize| text.floor_char_boundary(most.min(text.len()));
    let seen = text.get(..end(bytes_max.saturating_add(mask::LENGTH_MAX)));
    let mut masked = mask::text(seen.unwrap_or(text), digits);
    if masked.len() > bytes_max {
        masked.truncate(masked.floor_char_boundary(bytes_max));
        masked.push('…');
    }
    masked
}

/// The headers that are shown.
fn headers(all: &HeaderMap) -> Vec<(Box<str>, String)> {
    let shown = HEADERS.iter().filter_map(|name| {
        let value = String::from_utf8_lossy(all.get(*name)?.as_bytes()).into_owned();
        Some(((*name).into(), cut(&value, Digits::Apart, VALUE_BYTES_MAX)))
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probes(options: ProbeOptions) -> Probes {
        let metrics = GatewayMetrics::new(std::iter::empty(), None);
        Probes::new(options, Arc::new(metrics))
    }

    fn keep(probes: &Probes, id: u64, status: u16, body: &str) {
        let Some(mut trail) = probes.begin(false, Instant::now()) else {
            return;
        };
        let known = Known {
            source: &"json".into(),
            format: Format::Json,
            client: None,
            headers: None,
            traceparent: Some(&format!("00-{id:032x}-b7ad6b7169203331-01")),
        };
        let status = StatusCode::from_u16(status).expect("a status");
        let outcome = Outcome {
            body: Some(body.as_bytes()),
            events: None,
            accepted: 0,
            passed_over: 0,
            records: Vec::new(),
            refused: 0,
            refusals: Vec::new(),
        };
        trail.saw(probes, &known, status, &outcome);
        trail.keep(probes, 0, "test".to_owned(), None, status, b"{}");
    }

    fn ids(probes: &Probes) -> Vec<u64> {
        let ids = probes
            .all()
            .into_iter()
            .map(|probe| u64::from_str_radix(&probe.draft.id, 16));
        ids.map(|id| id.expect("a number")).collect()
    }

    #[test]
    fn the_oldest_make_room() {
        let few = probes(ProbeOptions {
            requests_max: 2,
            ..ProbeOptions::default()
        });
        (1..=3).for_each(|id| keep(&few, id, 422, "x"));
        assert_eq!(ids(&few), [3, 2]);
        let small = probes(ProbeOptions {
            bytes_max: 2 * PROBE_BYTES + 2_100,
            ..ProbeOptions::default()
        });
        (1..=3).for_each(|id| keep(&small, id, 422, &"x".repeat(1_000)));
        assert_eq!(ids(&small), [3, 2]);
        keep(&small, 4, 422, &"x".repeat(10_000));
        assert_eq!(ids(&small), [0_u64; 0]);
        assert_eq!(small.ring.lock().expect("no panic under it").bytes, 0);
    }

    #[test]
    fn what_is_kept_is_chosen() {
        let refused = probes(ProbeOptions::default());
        for (id, status) in [(1, 202), (2, 422), (3, 401), (4, 503), (5, 429), (6, 400)] {
            keep(&refused, id, status, "x");
        }
        assert_eq!(ids(&refused), [6, 2]);
        let sampled = probes(ProbeOptions {
            on_refusal: false,
            sample: 3,
            ..ProbeOptions::default()
        });
        (1..=7).for_each(|id| keep(&sampled, id, 202, "x"));
        keep(&sampled, 8, 422, "x");
        assert_eq!(ids(&sampled), [7, 4, 1]);
        let off = probes(ProbeOptions {
            on_refusal: false,
            ..ProbeOptions::default()
        });
        assert!(off.begin(false, Instant::now()).is_none());
        assert!(off.begin(true, Instant::now()).is_some());
    }

    #[test]
    fn refusals_are_kept_so_often_at_most() {
        let few = probes(ProbeOptions {
            refusals_per_second_max: 3,
            sample: 1,
            ..ProbeOptions::default()
        });
        let begun = Instant::now();
        let at = |millis| begun + std::time::Duration::from_millis(millis);
        let kept =
            [0, 0, 0, 0, 300, 334, 334, 60_000].map(|at_ms| few.has_room_for_refusal(at(at_ms)));
        assert_eq!(kept, [true, true, true, false, false, true, false, true]);
        let passed_over = || few.metrics.probes_passed_over.load(Ordering::Relaxed);
        assert_eq!(passed_over(), 3);
        // Then nobody is told of those that are refused, but of all others.
        while few.has_room_for_refusal(at(60_000)) {}
        (1..=3).for_each(|id| keep(&few, id, 422, "x"));
        keep(&few, 4, 202, "x");
        assert_eq!(ids(&few), [4]);
        assert_eq!(passed_over(), 7);
    }

    #[test]
    fn texts_are_masked_before_they_are_cut() {
        let text = format!("{}4111111111111111", "x".repeat(10));
        for most in 0..text.len() {
            let shown = cut(&text, Digits::Apart, most);
            assert!(
                format!("{}411111******1111", "x".repeat(10))
                    .starts_with(shown.trim_end_matches('…'))
            );
        }
    }

    #[test]
    fn keys_are_no_headers_that_are_shown() {
        let mut all = HeaderMap::new();
        for name in [
            "authorization",
            "x-api-key",
            "daybook-signature",
            "cookie",
            "content-type",
        ] {
            all.insert(name, HeaderValue::from_static("4111111111111111"));
        }
        assert_eq!(
            headers(&all),
            [("content-type".into(), "411111******1111".to_owned())]
        );
    }
}
