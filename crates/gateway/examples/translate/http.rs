//! What a request takes of the serving thread: hyper alone, hyper with the mapping in its handler, and the gateway with a queue that forgets.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gateway::{Batch, Gateway, GatewayOptions, Kept, Outbox, PutError, SystemClock};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use mapping::{Context, Limits, Mapping};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const CONNECTIONS: usize = 32;
const WARM: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_secs(1);

/// Who answers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Server {
    Hyper,
    HyperAndMapping,
    Gateway,
}

struct Forgets;

impl Outbox for Forgets {
    async fn put_all(&self, _queue: &'static str, _batch: Batch) -> Result<Kept, PutError> {
        Ok(Kept::Queue)
    }
}

/// Microseconds of the serving thread a request, and requests a second by the clock.
pub(crate) fn measure(
    server: Server,
    source: &'static str,
    mapping: Mapping,
    body: &str,
) -> (f64, f64) {
    let (tell, told) = mpsc::channel();
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let serving = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let thread = std::fs::read_link("/proc/thread-self").expect("Linux");
        runtime.block_on(async {
            match server {
                Server::Gateway => {
                    let mut options = GatewayOptions::default();
                    options.address.set_port(0);
                    let gateway = Gateway::bind(
                        options,
                        vec![mapping],
                        Arc::new(Forgets),
                        Arc::new(SystemClock),
                    )
                    .await
                    .expect("a free port");
                    tell.send((gateway.local_addr(), thread))
                        .expect("somebody listens");
                    gateway.run(stop).await;
                }
                Server::Hyper => {
                    bare(None, stop, |address| {
                        tell.send((address, thread)).expect("somebody listens")
                    })
                    .await
                }
                Server::HyperAndMapping => {
                    bare(Some(Arc::new(mapping)), stop, |address| {
                        tell.send((address, thread)).expect("somebody listens")
                    })
                    .await;
                }
            }
        });
    });
    let (address, thread) = told.recv().expect("it serves");
    let cpu = || {
        let text = std::fs::read_to_string(format!("/proc/{}/schedstat", thread.display()))
            .expect("it runs");
        text.split_ascii_whitespace()
            .next()
            .and_then(|nanos| nanos.parse::<u64>().ok())
            .expect("a number")
    };
    let request = format!(
        "POST /v1/transactions/{source} HTTP/1.1\r\nHost: daybook\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let (spent, count, seconds) = runtime.block_on(async {
        let request: Arc<[u8]> = request.into_bytes().into();
        let done = Arc::new(std::sync::atomic::AtomicU64::new(0));
        for _ in 0..CONNECTIONS {
            tokio::spawn(client(address, Arc::clone(&request), Arc::clone(&done)));
        }
        tokio::time::sleep(WARM).await;
        let count = || done.load(std::sync::atomic::Ordering::Relaxed);
        let (before, cpu_before, at) = (count(), cpu(), Instant::now());
        tokio::time::sleep(MEASURED).await;
        (
            cpu() - cpu_before,
            count() - before,
            at.elapsed().as_secs_f64(),
        )
    });
    drop(runtime);
    shutdown.cancel();
    serving.join().expect("it ended well");
    (
        spent as f64 / 1_000.0 / count as f64,
        count as f64 / seconds,
    )
}

async fn client(address: SocketAddr, request: Arc<[u8]>, done: Arc<std::sync::atomic::AtomicU64>) {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    let mut answer = Vec::with_capacity(4096);
    loop {
        stream.write_all(&request).await.expect("it reads");
        answer.clear();
        loop {
            let read = stream.read_buf(&mut answer).await.expect("it answers");
            assert!(read > 0, "it closed");
            let text = std::str::from_utf8(&answer).expect("text");
            let Some(head) = text.find("\r\n\r\n") else {
                continue;
            };
            let length = text.split("\r\n").find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.parse::<usize>().ok())?
            });
            if answer.len() == head + 4 + length.expect("a length") {
                assert!(text.starts_with("HTTP/1.1 202"), "{text}");
                break;
            }
        }
        done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

async fn bare(
    mapping: Option<Arc<Mapping>>,
    stop: CancellationToken,
    ready: impl FnOnce(SocketAddr),
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    ready(listener.local_addr().expect("bound"));
    loop {
        let (stream, _) = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted.expect("a connection"),
        };
        stream.set_nodelay(true).expect("a socket");
        let mapping = mapping.clone();
        tokio::spawn(async move {
            let service =
                hyper::service::service_fn(move |request| answer(request, mapping.clone()));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    mapping: Option<Arc<Mapping>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request
        .into_body()
        .collect()
        .await
        .expect("whole")
        .to_bytes();
    if let Some(mapping) = mapping {
        let mut out = Vec::with_capacity(body.len() * 2);
        let mut context = Context {
            received_at: 0,
            idempotency_key: None,
            first_record: 1,
            lines: false,
            new_id: &mut || "made-up".to_owned(),
        };
        mapping
            .decode(
                &body,
                &mut context,
                &Limits::default(),
                &mut out,
                &mut |_| (),
            )
            .expect("it is taken");
        std::hint::black_box(&out);
    }
    Ok(Response::builder()
        .status(202)
        .body(Full::new(Bytes::from_static(b"{\"accepted\":1}")))
        .expect("a response"))
}
