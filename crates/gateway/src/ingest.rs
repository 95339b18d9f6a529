//! The life of one `POST /v1/transactions/{source}`.
//!
//! Headers, body, mapping, quarantine, queue, answer, in this order. Each step either goes on or ends
//! the request with a [`Problem`]; the queue's commit is the last thing that can fail.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use mapping::{
    Context, Counts, Limits, Mapping, RecordOutcome, Refusal, Refused, Translated, rule,
};
use tracing::{debug, warn};
use types::Tally;
use types::names::{QUEUE_QUARANTINE, QUEUE_TRANSACTIONS};

use crate::access::{Client, Sender, Signing};
use crate::body::{self, BodyError, Bounds};
use crate::budget::Share;
use crate::decompress::{self, Coding};
use crate::events::{self, BadEvent, Envelope, Part};
use crate::headers::{self, Content, Preferences};
use crate::metrics::{SourceMetrics, add};
use crate::outbox::{Batch, Kept, Outbox, PutError, RecordRef};
use crate::places::Place;
use crate::probe::{self, Known, Outcome, Step, Trail};
use crate::problem::{Cause, Problem};
use crate::quarantine::Entries;
use crate::reply::{self, Answering};
use crate::service::State;
use crate::sources::Source;
use crate::taken::{Taken, slice};

/// Bodies up to this size are translated where they were read, unless the mapping is slow; larger ones on a thread of
/// their own, so that other requests do not wait for them.
const INLINE_BYTES_MAX: usize = 128 << 10;
/// Seconds after which a full or unreachable queue is worth another try.
const RETRY_AFTER_SECONDS: u64 = 1;

/// What the head of the request says.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) key: Option<Box<str>>,
    pub(crate) first_record: u64,
    pub(crate) lines: bool,
    pub(crate) preferences: Preferences,
    pub(crate) traceparent: Box<str>,
    /// The body is a batch of events: where the data of each is.
    pub(crate) parts: Option<Arc<[Part]>>,
    /// Who sends; `None`: nobody has to say.
    pub(crate) client: Option<Arc<Client>>,
}

/// A request that has been read.
struct Received<'s, O> {
    state: &'s Arc<State<O>>,
    source: &'s Arc<Source>,
    head: Head,
    body: Bytes,
    received_at: i64,
    share: Share,
}

/// What the mapping made of a body.
struct Translation {
    out: Vec<u8>,
    translated: Vec<Translated>,
    refused: Vec<Refused>,
    /// How many records were passed over.
    result: Result<u64, Refusal>,
}

/// Answers a post.
pub(crate) async fn post<O: Outbox>(
    state: &Arc<State<O>>,
    source: &Arc<Source>,
    sender: Sender,
    request: Request<Incoming>,
    trail: &mut Option<Trail>,
) -> Result<Response<Full<Bytes>>, Problem> {
    let metrics = &*source.metrics;
    add(&metrics.requests, 1);
    let (parts, incoming) = request.into_parts();
    let client = sender.client.clone();
    let answered = answer(state, source, sender, (&parts, incoming), trail).await;
    if let (Err(problem), Some(trail)) = (&answered, trail) {
        // What was refused before its body was translated: else it has been seen.
        let sent = parts.headers.get(headers::TRACEPARENT);
        let known = Known {
            source: &source.name,
            format: source.mapping.format(),
            client: client.as_ref().map(|client| &*client.name),
            headers: Some(&parts.headers),
            traceparent: Some(&state.traces.traceparent(sent.map(HeaderValue::as_bytes))),
        };
        let outcome = Outcome::of(problem, None);
        trail.saw(&state.probes, &known, problem.status(), &outcome);
    }
    answered
}

async fn answer<O: Outbox>(
    state: &Arc<State<O>>,
    source: &Arc<Source>,
    sender: Sender,
    (parts, mut incoming): (&Parts, Incoming),
    trail: &mut Option<Trail>,
) -> Result<Response<Full<Bytes>>, Problem> {
    let head = read_head(state, source, &parts.headers, sender.client.clone())?;
    let coding = Coding::of(&parts.headers).map_err(|coding| unread_coding(&coding))?;
    let bounds = Bounds {
        bytes_max: state.options.limits.body_bytes_max,
        time_max: state.options.body_time_max(),
        coding,
        ratio_max: state.options.decompression_ratio_max,
    };
    let mut share = state.budget.share();
    probe::mark(trail, Step::Head);
    let mut signing = Signing::new(sender, parts.uri.path());
    let mut sent_bytes = 0;
    let mut sent = |bytes: &[u8]| {
        sent_bytes += bytes.len();
        signing.update(bytes);
    };
    let body = match body::read(&mut incoming, &bounds, &mut share, &mut sent).await {
        Ok(body) => body,
        Err(error) => {
            let problem = body_problem(&error, &bounds);
            let is_cut = matches!(
                error,
                BodyError::TooLarge | BodyError::Ratio | BodyError::Corrupt(_)
            );
            // Whoever waits for "100 Continue" has sent nothing that would have to be taken off the wire.
            if is_cut && !parts.headers.contains_key(header::EXPECT) {
                body::drain(&mut incoming).await;
            }
            return Err(problem);
        }
    };
    probe::mark(trail, Step::Body);
    if let (Some(trail), Some(_)) = (&mut *trail, bounds.coding) {
        trail.sent(sent_bytes);
    }
    let _work = parts.extensions.get::<Arc<Place>>().map(Place::work);
    let now = state.clock.now_micros();
    let verified = state.clients.verify(signing, now);
    verified.inspect_err(|_| add(&state.metrics.unauthenticated, 1))?;
    probe::mark(trail, Step::Authentication);
    let (head, body) = match events::envelope(&parts.headers) {
        Some(envelope) => open(state, source, head, body, envelope, &mut share).await?,
        None => (head, body),
    };
    let kept = trail.as_ref().map(|_| body.clone());
    let taken = take(state, source, head.clone(), body, share, trail).await;
    if let (Some(trail), Some(body)) = (trail, kept) {
        saw(
            state,
            trail,
            source,
            &head,
            Some(&parts.headers),
            &body,
            &taken,
        );
    }
    let in_kind = &state.options.reply_in_kind;
    if !reply::is_in_kind(&parts.headers, in_kind, &source.name) {
        return Ok(taken?.response(&head));
    }
    let answering = Answering {
        format: source.mapping.format(),
        headers: parts.headers.clone(),
        id: new_id(now).replace('-', ""),
        now,
    };
    answer_in_kind(answering, taken, head).await
}

/// Takes events out of a body; a large one's on a thread of their own.
async fn open<O: Outbox>(
    state: &Arc<State<O>>,
    source: &Arc<Source>,
    mut head: Head,
    body: Bytes,
    envelope: Envelope,
    share: &mut Share,
) -> Result<(Head, Bytes), Problem> {
    let format = source.mapping.format();
    let opened = if body.len() <= INLINE_BYTES_MAX {
        events::open(&body, envelope, format, share)
    } else {
        let (whole, mut lent) = (body.clone(), state.budget.share());
        let work = move || (events::open(&whole, envelope, format, &mut lent), lent);
        let (opened, lent) = tokio::task::spawn_blocking(work).await.map_err(failed)?;
        share.join(lent);
        opened
    };
    let (status, title, detail) = match opened {
        Ok((body, parts)) => {
            let (body, parts) = match (envelope, parts.as_slice()) {
                (Envelope::One, [part]) => {
                    head.key = Some(part.key.clone());
                    head.lines = part.lines;
                    (body.slice(part.range.clone()), None)
                }
                _ => (body, Some(parts.into())),
            };
            head.parts = parts;
            return Ok((head, body));
        }
        Err(BadEvent::Busy) => return Err(busy()),
        Err(BadEvent::Broken(reason)) => {
            let title = "the event cannot be used";
            (StatusCode::BAD_REQUEST, title, reason)
        }
        Err(BadEvent::Contradicts(reason)) => {
            let detail = format!("the source {} takes {format}; {reason}", source.name);
            let title = "the content is of another kind";
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, title, detail)
        }
    };
    let refusal = Refusal {
        record: None,
        line: 1,
        offset: 0,
        field: None,
        rule: rule::UNSUPPORTED,
        detail: format!("no CloudEvent that is read here: {detail}"),
    };
    set_aside(state, source, head, body, &refusal).await;
    Err(Problem::new(
        status,
        "cloud-event",
        title,
        format!("nothing was accepted: {detail}"),
    ))
}

fn failed(error: tokio::task::JoinError) -> Problem {
    warn!(%error, "translating a request failed");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "the gateway failed",
        "the gateway failed to translate the request; nothing was accepted",
    )
}

/// Answers in the sender's format: where the records of a large body are looked for, on a thread of their own.
async fn answer_in_kind(
    answering: Answering,
    taken: Result<Taken, Problem>,
    head: Head,
) -> Result<Response<Full<Bytes>>, Problem> {
    let looked_at = match &taken {
        Ok(taken) if taken.refused.is_empty() => 0,
        Ok(taken) => taken.body.len(),
        Err(problem) => problem.cause().map_or(0, |cause| cause.body.len()),
    };
    let answer = move || match taken {
        Ok(taken) => Ok(answering.taken(&taken, &head)),
        Err(problem) => Err(answering.refused(problem)),
    };
    if looked_at <= INLINE_BYTES_MAX {
        return answer();
    }
    let answered = tokio::task::spawn_blocking(answer).await;
    answered.unwrap_or_else(|error| {
        warn!(%error, "answering a request failed");
        let detail = "the gateway failed to make the answer; whether the request was accepted is not known, \
                      repeat it with the same ids or the same Idempotency-Key";
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Err(Problem::new(status, "internal", "the gateway failed", detail))
    })
}

/// Translates and puts a body that has been read: the same for every way in. `share` holds the body's bytes.
///
/// Not cancel safe: what was begun may be put though nobody learns of it; sent again it is the same.
pub(crate) async fn take<O: Outbox>(
    state: &Arc<State<O>>,
    source: &Arc<Source>,
    head: Head,
    body: Bytes,
    mut share: Share,
    trail: &mut Option<Trail>,
) -> Result<Taken, Problem> {
    let metrics = &*source.metrics;
    add(&state.metrics.bytes, body.len() as u64);
    let received_at = state.clock.now_micros();
    let translation = translate(state, source, &head, &body, received_at).await?;
    probe::mark(trail, Step::Translation);
    if !share.grow(translation.out.len()) {
        return Err(busy());
    }
    let received = Received {
        state,
        source,
        head,
        body,
        received_at,
        share,
    };
    let taken = received.finish(translation, metrics).await;
    probe::mark(trail, Step::Put);
    taken
}

/// The status that goes with what was taken, as far as it has one.
pub(crate) fn status(taken: &Result<Taken, Problem>) -> StatusCode {
    match taken {
        Ok(taken) => taken.status(),
        Err(problem) => problem.status(),
    }
}

/// Keeps what became of a body, if that is to be kept.
pub(crate) fn saw<O>(
    state: &State<O>,
    trail: &mut Trail,
    source: &Source,
    head: &Head,
    headers: Option<&HeaderMap>,
    body: &[u8],
    taken: &Result<Taken, Problem>,
) {
    let known = Known {
        source: &source.name,
        format: source.mapping.format(),
        client: head.client.as_ref().map(|client| &*client.name),
        headers,
        traceparent: Some(&head.traceparent),
    };
    let mut outcome = match taken {
        Ok(taken) => {
            let records = taken.translated.iter().take(Outcome::RECORDS_MAX);
            let refused = taken.refused.iter().take(Outcome::RECORDS_MAX);
            Outcome {
                body: Some(body),
                events: None,
                accepted: taken.translated.len(),
                passed_over: taken.passed_over,
                records: records
                    .map(|record| slice(&taken.out, &record.json))
                    .collect(),
                refused: taken.refused.len(),
                refusals: refused.map(|record| &record.refusal).collect(),
            }
        }
        Err(problem) => Outcome::of(problem, Some(body)),
    };
    outcome.events = match (&head.parts, headers.and_then(events::envelope)) {
        (Some(_), _) => Some("batch"),
        (None, Some(_)) => Some("structured"),
        (None, None) => None,
    };
    trail.saw(&state.probes, &known, status(taken), &outcome);
}

fn read_head<O>(
    state: &State<O>,
    source: &Source,
    map: &HeaderMap,
    client: Option<Arc<Client>>,
) -> Result<Head, Problem> {
    let bad = |bad: headers::BadHeader| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "header",
            "a header cannot be used",
            bad.detail,
        )
        .with("header", bad.name)
        .close()
    };
    let format = source.mapping.format();
    let key = headers::idempotency_key(map).map_err(bad)?;
    let is_enveloped = events::envelope(map).is_some();
    let event = match is_enveloped {
        true => None,
        false => events::binary_key(map).map_err(|error| bad(bad_event(error)))?,
    };
    if key.is_some() && (is_enveloped || event.is_some()) {
        let detail =
            "an event has its identity from its id and source: send it without Idempotency-Key";
        return Err(bad(headers::BadHeader {
            name: "Idempotency-Key",
            detail: detail.to_owned(),
        }));
    }
    let content = match is_enveloped {
        // What is in the envelope says it itself.
        true => Content::Fits { lines: false },
        false => headers::content(map, format),
    };
    let Content::Fits { lines } = content else {
        let detail = format!(
            "the source {} takes {format}, the Content-Type says otherwise",
            source.name
        );
        return Err(unsupported(detail).close());
    };
    Ok(Head {
        key: event.or(key.map(Into::into)),
        first_record: headers::first_record(map).map_err(bad)?,
        lines,
        preferences: headers::preferences(map),
        traceparent: state
            .traces
            .traceparent(map.get(headers::TRACEPARENT).map(HeaderValue::as_bytes)),
        parts: None,
        client,
    })
}

fn bad_event(reason: String) -> headers::BadHeader {
    headers::BadHeader {
        name: "ce-specversion",
        detail: format!("the ce- headers are no CloudEvent: {reason}"),
    }
}

fn unsupported(detail: String) -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "content-type",
        "the content is of another kind",
        detail,
    )
}

fn unread_coding(coding: &str) -> Problem {
    let accepted = decompress::ACCEPTED;
    let detail = format!("the Content-Encoding is {coding}; one of {accepted} is read, or none");
    unsupported(detail).accept_encoding(accepted).close()
}

fn body_problem(error: &BodyError, bounds: &Bounds) -> Problem {
    let bytes_max = bounds.bytes_max;
    let too_large = |rule: &str, detail: String| {
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        Problem::new(status, rule, "the body is too large", detail)
    };
    let problem = match error {
        BodyError::TooLarge => {
            let packed = match bounds.coding {
                Some(_) => " when it is decompressed",
                None => "",
            };
            let detail = format!(
                "the body has more than {bytes_max} bytes{packed}; send it in several requests"
            );
            too_large("body-bytes", detail).with("rule", "body-bytes")
        }
        BodyError::Ratio => {
            let detail = format!(
                "the body becomes more than {} times as large when it is decompressed; send it less compressed",
                bounds.ratio_max
            );
            too_large("decompression-ratio", detail)
        }
        BodyError::Corrupt(reason) => Problem::new(
            StatusCode::BAD_REQUEST,
            "content-encoding",
            "the body cannot be decompressed",
            format!(
                "the body is not what its Content-Encoding says: {reason}; nothing was accepted"
            ),
        ),
        BodyError::Busy => busy(),
        BodyError::Slow => Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "body-time",
            "the body took too long",
            "the body did not arrive in time; nothing was accepted",
        ),
        BodyError::Broken => Problem::new(
            StatusCode::BAD_REQUEST,
            "body",
            "the body is broken",
            "the body ended before it was complete; nothing was accepted",
        ),
    };
    problem.close()
}

pub(crate) fn busy() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "busy",
        "the gateway is busy",
        "requests in progress hold as much memory as they may; nothing was accepted, repeat the request",
    )
    .retry_after(RETRY_AFTER_SECONDS)
}

/// Runs the mapping, here or on a thread for blocking work.
async fn translate<O: Outbox>(
    state: &Arc<State<O>>,
    source: &Arc<Source>,
    head: &Head,
    body: &Bytes,
    received_at: i64,
) -> Result<Translation, Problem> {
    if body.len() <= INLINE_BYTES_MAX && !source.mapping.is_slow() {
        return Ok(run_mapping(state, source, head, body, received_at));
    }
    let (state, source, head, body) = (
        Arc::clone(state),
        Arc::clone(source),
        head.clone(),
        body.clone(),
    );
    let work = move || run_mapping(&state, &source, &head, &body, received_at);
    tokio::task::spawn_blocking(work).await.map_err(failed)
}

fn run_mapping<O>(
    state: &State<O>,
    source: &Source,
    head: &Head,
    body: &Bytes,
    received_at: i64,
) -> Translation {
    let mut translation = Translation {
        // Most translations are a little larger than what they are made from.
        out: Vec::with_capacity(body.len() + body.len() / 4 + 256),
        translated: Vec::new(),
        refused: Vec::new(),
        result: Ok(0),
    };
    let limits = &state.options.limits;
    let whole = Reading {
        received_at,
        key: head.key.as_deref(),
        first_record: head.first_record,
        lines: head.lines,
    };
    translation.result = match &head.parts {
        None => translation
            .decode(&source.mapping, limits, &whole, body)
            .map(|counts| counts.passed_over),
        Some(parts) => translation.decode_parts(&source.mapping, limits, received_at, body, parts),
    };
    translation
}

/// How a body, or the data of one event, is read.
struct Reading<'h> {
    received_at: i64,
    key: Option<&'h str>,
    first_record: u64,
    lines: bool,
}

impl Translation {
    fn decode(
        &mut self,
        mapping: &Mapping,
        limits: &Limits,
        reading: &Reading<'_>,
        body: &[u8],
    ) -> Result<Counts, Refusal> {
        let mut new_id = || new_id(reading.received_at);
        let mut context = Context {
            received_at: reading.received_at,
            idempotency_key: reading.key,
            first_record: reading.first_record,
            lines: reading.lines,
            new_id: &mut new_id,
        };
        let (translated, refused) = (&mut self.translated, &mut self.refused);
        let mut sink = |outcome: RecordOutcome| match outcome {
            RecordOutcome::Translated(record) => translated.push(record),
            RecordOutcome::Refused(record) => refused.push(record),
        };
        mapping.decode_counted(body, &mut context, limits, &mut self.out, &mut sink)
    }

    /// Each event is read as if it had come alone; records are then numbered through all of them.
    fn decode_parts(
        &mut self,
        mapping: &Mapping,
        limits: &Limits,
        received_at: i64,
        body: &[u8],
        parts: &[Part],
    ) -> Result<u64, Refusal> {
        let (mut records, mut passed_over) = (0, 0);
        for (index, part) in parts.iter().enumerate() {
            let mut left = *limits;
            left.records_max = limits.records_max.saturating_sub(records as usize);
            left.output_bytes_max = limits.output_bytes_max.saturating_sub(self.out.len());
            let reading = Reading {
                received_at,
                key: Some(&part.key),
                first_record: 1,
                lines: part.lines,
            };
            let (translated, refused) = (self.translated.len(), self.refused.len());
            let data = body.get(part.range.clone()).unwrap_or_default();
            let result = self.decode(mapping, &left, &reading, data);
            // A body is shorter than 4 GiB.
            let start = part.range.start as u32;
            let shift = |range: &mut Range<u32>| *range = range.start + start..range.end + start;
            let place = |refusal: &mut Refusal| {
                refusal.record = refusal.record.map(|record| record + records);
                refusal.offset += u64::from(start);
                refusal.detail = format!("event {}: {}", index + 1, refusal.detail);
            };
            for record in self.translated.iter_mut().skip(translated) {
                record.record += records;
                shift(&mut record.original);
            }
            for record in self.refused.iter_mut().skip(refused) {
                place(&mut record.refusal);
                shift(&mut record.original);
            }
            let counts = result.map_err(|mut refusal| {
                place(&mut refusal);
                refusal
            })?;
            records += counts.records;
            passed_over += counts.passed_over;
        }
        Ok(passed_over)
    }
}

/// An id that begins with the time of arrival (UUIDv7), so that ids made later sort later.
fn new_id(received_at: i64) -> String {
    let micros = u64::try_from(received_at).unwrap_or(0);
    let nanos = u32::try_from(micros % 1_000_000 * 1_000).unwrap_or(0);
    let timestamp = uuid::Timestamp::from_unix(uuid::NoContext, micros / 1_000_000, nanos);
    uuid::Uuid::new_v7(timestamp).to_string()
}

/// Puts what cannot be a request to the quarantine, if it can be reached; who sent it is told by his connection's end.
pub(crate) async fn set_aside<O: Outbox>(
    state: &Arc<State<O>>,
    source: &Arc<Source>,
    head: Head,
    body: Bytes,
    refusal: &Refusal,
) {
    let metrics = &*source.metrics;
    let received = Received {
        state,
        source,
        head,
        body,
        received_at: state.clock.now_micros(),
        share: state.budget.share(),
    };
    let problem = Problem::document(refusal);
    // A queue that does not answer has been logged.
    let _ = received.refuse_request(refusal, problem, metrics).await;
}

impl<O: Outbox> Received<'_, O> {
    /// Decides between acceptance and refusal, and makes either durable.
    async fn finish(
        self,
        translation: Translation,
        metrics: &SourceMetrics,
    ) -> Result<Taken, Problem> {
        let Translation {
            out,
            translated,
            refused,
            result,
        } = translation;
        let passed_over = match result {
            Ok(passed_over) => passed_over,
            Err(refusal) => {
                let problem = Problem::document(&refusal);
                let problem = self.refuse_request(&refusal, problem, metrics).await;
                return Err(self.because(problem, Some(refusal), Vec::new()));
            }
        };
        let records = translated.len() + refused.len();
        add(&metrics.records, records as u64);
        let lenient = self.head.preferences.lenient;
        if let Some(first) = refused.first()
            && !lenient
        {
            let refusals: Vec<&Refusal> = refused.iter().map(|record| &record.refusal).collect();
            let mut problem = Problem::records(&refusals, refused.len(), records);
            if passed_over > 0 {
                problem = problem.with("passed_over", passed_over);
            }
            let problem = self.refuse_request(&first.refusal, problem, metrics).await;
            return Err(self.because(problem, None, refused));
        }
        let clients = &self.state.metrics.clients;
        if let Some(client) = &self.head.client {
            client.may_put(translated.len(), clients, Instant::now())?;
        }
        if !refused.is_empty() {
            let bytes_max = self.state.options.quarantine_bytes_max;
            let entries = Entries::records(&self.source.name, &self.body, &refused, bytes_max);
            self.quarantine(entries, metrics).await?;
            for record in &refused {
                self.state.metrics.refused(record.refusal.rule);
            }
            add(&metrics.refused, refused.len() as u64);
        }
        let out = Bytes::from(out);
        let kept = self.accept(&out, &translated, metrics).await?;
        if let Some(client) = &self.head.client {
            client.accepted(translated.len(), clients);
        }
        Ok(Taken {
            out,
            body: self.body,
            translated,
            refused,
            kept,
            passed_over,
            _share: self.share,
        })
    }

    /// A refusal with what it came of. One that could not be kept is none.
    fn because(self, problem: Problem, whole: Option<Refusal>, refused: Vec<Refused>) -> Problem {
        if !problem.status().is_client_error() {
            return problem;
        }
        problem.because(Cause {
            whole,
            refused,
            body: self.body,
            _share: self.share,
        })
    }

    /// Puts the original request to the quarantine; answers what the sender reads.
    async fn refuse_request(
        &self,
        refusal: &Refusal,
        problem: Problem,
        metrics: &SourceMetrics,
    ) -> Problem {
        debug!(source = %self.source.name, rule = refusal.rule, "request refused");
        let bytes_max = self.state.options.quarantine_bytes_max;
        let entries = Entries::request(&self.source.name, &self.body, refusal, bytes_max);
        if let Err(problem) = self.quarantine(entries, metrics).await {
            return problem;
        }
        self.state.metrics.refused(refusal.rule);
        add(&metrics.refused, 1);
        problem
    }

    async fn quarantine(&self, entries: Entries, metrics: &SourceMetrics) -> Result<(), Problem> {
        let mut tally = Tally::default();
        for record in &entries.records {
            tally.add(slice(&entries.names, &record.id), None);
        }
        let batch = Batch {
            source: Arc::clone(&self.source.name),
            received_at: self.received_at,
            traceparent: self.head.traceparent.clone(),
            body: entries.kept.into_boxed_slice().into(),
            names: entries.names.into_boxed_slice().into(),
            records: entries.records,
            reasons: entries.reasons,
            tally,
        };
        self.put(QUEUE_QUARANTINE, batch).await?;
        add(&metrics.quarantined, tally.count);
        Ok(())
    }

    async fn accept(
        &self,
        out: &Bytes,
        translated: &[Translated],
        metrics: &SourceMetrics,
    ) -> Result<Kept, Problem> {
        if translated.is_empty() {
            return Ok(Kept::Queue);
        }
        let reference = |record: &Translated| RecordRef {
            body: record.json.clone(),
            id: record.id.clone(),
            account: record.account.clone(),
        };
        let mut tally = Tally::default();
        for record in translated {
            tally.add(slice(out, &record.id), Some(record.amount));
        }
        let batch = Batch {
            source: Arc::clone(&self.source.name),
            received_at: self.received_at,
            traceparent: self.head.traceparent.clone(),
            body: out.clone(),
            names: out.clone(),
            records: translated.iter().map(reference).collect(),
            reasons: Vec::new(),
            tally,
        };
        let kept = self.put(QUEUE_TRANSACTIONS, batch).await?;
        add(&metrics.accepted, tally.count);
        Ok(kept)
    }

    async fn put(&self, queue: &'static str, batch: Batch) -> Result<Kept, Problem> {
        self.state
            .outbox
            .put_all(queue, batch)
            .await
            .map_err(|error| {
                warn!(queue, %error, "putting failed");
                if matches!(error, PutError::Unknown { .. }) {
                    add(&self.state.metrics.unknown, 1);
                }
                put_problem(&error)
            })
    }
}

fn put_problem(error: &PutError) -> Problem {
    let unavailable = |kind, title, detail: &str| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, kind, title, detail)
    };
    match error {
        PutError::Full { retry_after, .. } => unavailable(
            "queue-full",
            "the queue is full",
            &format!("{error}; nothing was accepted, repeat the request later"),
        )
        .retry_after(retry_after.map_or(RETRY_AFTER_SECONDS, |time| time.as_secs())),
        PutError::Unavailable { .. } => unavailable(
            "queue-unavailable",
            "the queue is not available",
            &format!("{error}; nothing was accepted, repeat the request later"),
        )
        .retry_after(RETRY_AFTER_SECONDS),
        PutError::Unknown { .. } => unavailable(
            "outcome-unknown",
            "it is not known whether the request was accepted",
            &format!("{error}; repeat the request with the same ids or the same Idempotency-Key, it is counted once"),
        )
        .retry_after(RETRY_AFTER_SECONDS),
    }
}
