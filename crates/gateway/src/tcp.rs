//! Messages without HTTP: an ISO 8583 link, a till that sends lines.
//!
//! A connection's messages are worked on side by side, so that they share the queue's commits, and are answered in the order in
//! which they came. When as many are being worked on as may be, or the budget of bytes is used up, nothing more is read: the
//! sender feels it as a connection that takes no more.
//!
//! # Invariants
//!
//! - An answer that says "accepted" is sent after the message is on disk. A connection that breaks leaves the sender without answers;
//!   he sends again, and the natural id, which a source here must have, tells a repeat.
//! - Messages that cannot be told apart any more end the connection: what was read of the next one is in the quarantine.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::StatusCode;
use mapping::{Format, Refusal, rule};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::access::{Client, Peer};
use crate::budget::Share;
use crate::frame::{FrameError, Frames};
use crate::headers::Preferences;
use crate::ingest::{self, Head};
use crate::metrics::add;
use crate::options::{Reply, TcpOptions};
use crate::outbox::Outbox;
use crate::places::Place;
use crate::probe::{self, Step, Trail};
use crate::problem::Problem;
use crate::service::State;
use crate::sources::Source;
use crate::tls::Tls;

/// Bytes that are read at a time.
const READ_BYTES: usize = 16 << 10;
/// Pause before the budget is asked again.
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// Time for an answer to be taken by who waits for it.
const WRITE_TIME_MAX: Duration = Duration::from_secs(30);

/// A door for messages.
#[derive(Debug)]
pub(crate) struct TcpDoor {
    pub(crate) options: TcpOptions,
    pub(crate) tls: Option<Tls>,
    /// Who sends must be known.
    pub(crate) must_say: bool,
}

impl TcpDoor {
    fn reply(&self, source: &Source) -> Reply {
        let otherwise = match source.mapping.format() {
            Format::Iso8583 => Reply::Iso8583,
            _ => Reply::Json,
        };
        self.options.reply.unwrap_or(otherwise)
    }
}

/// Serves one connection to its end.
pub(crate) async fn serve<O: Outbox, S>(
    state: &Arc<State<O>>,
    door: &Arc<TcpDoor>,
    (peer, place): (&Peer, &Arc<Place>),
    stream: S,
    shutdown: &CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let client = state.clients.of_peer(peer);
    if door.must_say && client.is_none() {
        add(&state.metrics.unauthenticated, 1);
        let (address, subject) = (peer.address, peer.subject.as_deref());
        warn!(%address, subject, "refused: no client has this certificate or address");
        return;
    }
    // A link of somebody who is known may be silent for minutes and keeps its place; others make room for those that come.
    let _known = client.is_some().then(|| place.work());
    let (mut read, write) = tokio::io::split(stream);
    // As many as may be worked on: whoever sends more waits.
    let (answers, waiting) = mpsc::channel(door.options.in_flight_max);
    let writer = tokio::spawn(write_answers(write, waiting));
    let mut link = Link {
        address: peer.address,
        state,
        door,
        client,
        place,
        frames: Frames::new(
            door.options.framing,
            door.options.length_counts_itself,
            state.options.limits.body_bytes_max,
        ),
        share: state.budget.share(),
        answers,
    };
    let ended = tokio::select! {
        ended = link.read(&mut read) => ended,
        () = shutdown.cancelled() => Ok(()),
    };
    if let Err(error) = ended {
        link.unframed(&error).await;
    }
    drop(link);
    // What has come is still answered.
    let _ = writer.await;
}

type Answer = JoinHandle<Option<Vec<u8>>>;

/// Sends answers in the order of their messages.
async fn write_answers<S: AsyncWrite + Send>(
    mut write: WriteHalf<S>,
    mut waiting: mpsc::Receiver<Answer>,
) {
    while let Some(answer) = waiting.recv().await {
        let Ok(Some(answer)) = answer.await else {
            continue;
        };
        let written = async {
            write.write_all(&answer).await?;
            write.flush().await
        };
        match tokio::time::timeout(WRITE_TIME_MAX, written).await {
            Ok(Ok(())) => {}
            // Nobody waits for the others; that they were accepted or refused stays so.
            _ => return,
        }
    }
    let _ = write.shutdown().await;
}

struct Link<'l, O> {
    address: IpAddr,
    state: &'l Arc<State<O>>,
    door: &'l Arc<TcpDoor>,
    client: Option<Arc<Client>>,
    place: &'l Arc<Place>,
    frames: Frames,
    /// Bytes that were read and belong to no message yet.
    share: Share,
    answers: mpsc::Sender<Answer>,
}

impl<O: Outbox> Link<'_, O> {
    /// Reads until the sender is through or silent for too long.
    async fn read(&mut self, from: &mut (impl AsyncRead + Unpin)) -> Result<(), FrameError> {
        let idle_max = Duration::from_millis(self.door.options.idle_time_ms_max);
        loop {
            while let Some(message) = self.frames.next()? {
                self.share.shrink_to(self.frames.held());
                // Cut off by a stop while it waits, it is as if it had not come.
                let Ok(place) = self.answers.reserve().await else {
                    return Ok(());
                };
                let handled = handle(
                    Arc::clone(self.state),
                    Arc::clone(self.door),
                    (self.client.clone(), self.address),
                    message,
                );
                let work = self.place.work();
                place.send(tokio::spawn(async move {
                    let answer = handled.await;
                    drop(work);
                    answer
                }));
            }
            // Also of what is around messages, and of empty ones.
            self.share.shrink_to(self.frames.held());
            let within = self.frames.is_within();
            let time_max = match within {
                true => self.state.options.body_time_max(),
                false => idle_max,
            };
            self.frames.buffer().reserve(READ_BYTES);
            let read = tokio::time::timeout(time_max, from.read_buf(self.frames.buffer())).await;
            let Ok(Ok(bytes @ 1..)) = read else {
                if within {
                    debug!("a link ended within a message");
                }
                return Ok(());
            };
            if !self.hold(bytes).await {
                warn!("a link was closed: requests in progress hold as much memory as they may");
                return Ok(());
            }
        }
    }

    /// Counts what was read; waits while all requests together hold as much as they may.
    async fn hold(&mut self, bytes: usize) -> bool {
        let begun = Instant::now();
        while !self.share.grow(bytes) {
            if begun.elapsed() > self.state.options.body_time_max() {
                return false;
            }
            tokio::time::sleep(BUSY_PAUSE).await;
        }
        true
    }

    async fn unframed(&mut self, error: &FrameError) {
        add(&self.state.metrics.unframed, 1);
        let source = &self.door.options.source;
        warn!(%source, %error, "a link was closed: its messages cannot be told apart");
        let Some(source) = self.state.sources.get(source) else {
            return;
        };
        let refusal = Refusal {
            record: None,
            line: 1,
            offset: 0,
            field: None,
            rule: rule::FRAMING,
            detail: error.to_string(),
        };
        let rest = self.frames.rest();
        let head = head(self.state, self.client.clone());
        ingest::set_aside(self.state, &source, head, rest, &refusal).await;
    }
}

fn head<O>(state: &State<O>, client: Option<Arc<Client>>) -> Head {
    Head {
        key: None,
        first_record: 1,
        lines: false,
        preferences: Preferences::default(),
        parts: None,
        traceparent: state.traces.traceparent(None),
        client,
    }
}

/// One message from its bytes to its answer's bytes.
async fn handle<O: Outbox>(
    state: Arc<State<O>>,
    door: Arc<TcpDoor>,
    (client, address): (Option<Arc<Client>>, IpAddr),
    message: Bytes,
) -> Option<Vec<u8>> {
    let begun = Instant::now();
    add(&state.metrics.requests, 1);
    // Links' sources are not taken away: there always is one.
    let source = state.sources.get(&door.options.source)?;
    add(&source.metrics.requests, 1);
    let reply = door.reply(&source);
    let mut trail = state.probes.begin(false, begun);
    let taken = take(&state, &source, client, &message, &mut trail).await;
    let status = taken
        .as_ref()
        .map_or_else(Problem::status, |_| StatusCode::ACCEPTED);
    let answer = match taken {
        Ok(json) => answer(reply, &source, &message, status, json),
        Err(problem) => {
            if problem.asks_to_retry() {
                add(&state.metrics.retry_later, 1);
            }
            answer(reply, &source, &message, status, problem.into_json())
        }
    };
    let micros = u64::try_from(begun.elapsed().as_micros());
    state.metrics.answered(micros.unwrap_or(u64::MAX));
    probe::mark(&mut trail, Step::Answer);
    if let Some(trail) = trail.filter(|trail| !trail.is_empty()) {
        let listener = format!("tcp://{}", door.options.address);
        let (now, said) = (
            state.clock.now_micros(),
            answer.as_deref().unwrap_or_default(),
        );
        let address = Some(address.to_string());
        trail.keep(&state.probes, now, listener, address, status, said);
    }
    let options = &door.options;
    let mut framed = Vec::new();
    let fits = Frames::write(
        options.framing,
        options.length_counts_itself,
        &answer?,
        &mut framed,
    );
    if !fits {
        warn!(source = %source.name, "an answer is too long for the framing, and was not sent");
    }
    fits.then_some(framed)
}

async fn take<O: Outbox>(
    state: &Arc<State<O>>,
    source: &Arc<Source>,
    client: Option<Arc<Client>>,
    message: &Bytes,
    trail: &mut Option<Trail>,
) -> Result<Vec<u8>, Problem> {
    if let Some(client) = &client {
        client.may_send(&source.name, &state.metrics.clients, Instant::now())?;
    }
    let mut share = state.budget.share();
    if !share.grow(message.len()) {
        return Err(ingest::busy());
    }
    let head = head(state, client);
    probe::mark(trail, Step::Head);
    let taken = ingest::take(state, source, head.clone(), message.clone(), share, trail);
    let taken = taken.await;
    if let Some(trail) = trail {
        ingest::saw(state, trail, source, &head, None, message, &taken);
    }
    Ok(taken?.into_json(&head))
}

/// What is answered; `None`: nothing.
fn answer(
    reply: Reply,
    source: &Source,
    message: &[u8],
    status: StatusCode,
    json: Vec<u8>,
) -> Option<Vec<u8>> {
    match reply {
        Reply::None => None,
        Reply::Json => Some(json),
        Reply::Iso8583 => {
            let code = response_code(status);
            let reply = source.mapping.iso8583_reply(message, &[(39, code)])?;
            reply
                .inspect_err(|refusal| debug!(%refusal, "a message cannot be answered"))
                .ok()
        }
    }
}

/// Element 39 of ISO 8583: approved, format error, not permitted, system malfunction.
fn response_code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::ACCEPTED => "00",
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => "57",
        StatusCode::TOO_MANY_REQUESTS => "96",
        status if status.is_client_error() => "30",
        _ => "96",
    }
}
