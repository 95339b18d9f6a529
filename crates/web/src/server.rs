//! Starts and stops the web server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::ConnectInfo;
use telemetry::Telemetry;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};
use types::Boxed;

use crate::access::Access;
use crate::connection::{self, Limits};
use crate::curve_log::{self, CurveLog, Points};
use crate::error::WebError;
use crate::feed::Feed;
use crate::hub::Hub;
use crate::kafka_feed::KafkaFeed;
use crate::options::WebOptions;
use crate::pipeline::{SAMPLE_INTERVAL, Sampler};
use crate::routes::{self, App};
use crate::tls::Tls;
use crate::{follow, page};

/// How often the clock is looked at for a new day.
const CLOCK_INTERVAL: Duration = Duration::from_millis(250);
/// Bytes that the system holds for a client (Linux: twice as many, its own records included).
const SEND_BUFFER_BYTES: u32 = 256 << 10;
/// Connections that wait to be accepted: all browsers come back at once when a server has gone.
const BACKLOG: u32 = 4096;
/// Wait after a failure to accept, such as too many open files.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// The web server, listening but not yet serving.
#[derive(Debug)]
pub struct Web {
    app: Arc<App>,
    listener: TcpListener,
    address: SocketAddr,
    feeds: Vec<FeedSlot>,
    curve_log: Option<(Points, CurveLog)>,
    limits: Limits,
    ready: watch::Sender<bool>,
    stop: CancellationToken,
}

/// A feed until its thread takes it.
struct FeedSlot(Box<dyn Feed>);

impl std::fmt::Debug for FeedSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Feed")
    }
}

/// A limit whose column is misspelt would show nothing, and nobody would know why.
fn check_limits(options: &WebOptions) -> Result<(), WebError> {
    let is_key = |column: &str| {
        let mut aggregations = options.aggregations.iter();
        aggregations.any(|view| view.keys.iter().any(|key| key == column))
    };
    let mut columns = options
        .access
        .limits
        .iter()
        .flat_map(|one| one.limit.columns());
    match columns.find(|column| !is_key(column)) {
        None => Ok(()),
        Some(column) => Err(WebError::Option {
            option: "web.limit.keys",
            value: column.to_owned(),
            rule: "a key column of an aggregation",
        }),
    }
}

impl Web {
    /// Listens, with feeds over the store and the cluster of the options. Connections wait until
    /// [`Web::run`].
    ///
    /// # Errors
    ///
    /// [`WebError::Option`], or [`WebError::Listen`] when the address is taken.
    pub fn bind(
        options: WebOptions,
        telemetry: Arc<Telemetry>,
    ) -> Boxed<'static, Result<Self, WebError>> {
        Box::pin(Self::bind_to_log(options, telemetry))
    }

    async fn bind_to_log(options: WebOptions, telemetry: Arc<Telemetry>) -> Result<Self, WebError> {
        let feed = |table: &store::TableSpec| -> Box<dyn Feed> {
            let (cluster, store) = (options.cluster.clone(), options.store.clone());
            Box::new(KafkaFeed::new(cluster, table.clone(), store))
        };
        let feeds = options.aggregations.iter().map(|view| feed(&view.table));
        let feeds = feeds.collect();
        let cluster = options.cluster.clone();
        let mut web = Self::bind_with(options, telemetry, feeds).await?;
        web.curve_log = Some(curve_log::channel(cluster));
        Ok(web)
    }

    /// As [`Web::bind`], with feeds of the caller's: one an aggregation, in their order; the log is not used for
    /// anything else, so that the days' curves begin now.
    ///
    /// # Errors
    ///
    /// As [`Web::bind`].
    pub async fn bind_with(
        options: WebOptions,
        telemetry: Arc<Telemetry>,
        feeds: Vec<Box<dyn Feed>>,
    ) -> Result<Self, WebError> {
        options.check()?;
        if feeds.len() != options.aggregations.len() {
            return Err(WebError::Option {
                option: "feeds",
                value: feeds.len().to_string(),
                rule: "one an aggregation",
            });
        }
        let listen = |source| WebError::Listen {
            address: options.listen,
            source,
        };
        let listener = listen_on(options.listen).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let hop = telemetry.hop("web");
        let clients_cut = telemetry.meter("web_clients_cut_total", "");
        let hubs = options.aggregations.iter().map(|view| {
            let labels = format!("aggregation={:?}", view.table.name);
            let clients = telemetry.meter("web_clients", &labels);
            Arc::new(Hub::new(view.clone(), &options, Arc::clone(&hop), clients))
        });
        let hubs: Vec<_> = hubs.collect();
        let tls = options.tls.as_ref().map(Tls::load).transpose()?;
        let limits = Limits {
            stall_max: options.client_stall_max,
            buffer_bytes: options.client_buffer_bytes,
            clients_cut: Arc::clone(&clients_cut),
            tls,
        };
        let sampler = Sampler::new(telemetry, hubs.clone(), clients_cut);
        let stop = CancellationToken::new();
        check_limits(&options)?;
        let access = Access::new(options.access.clone(), address.ip().is_loopback())?;
        let app = App::new(options, address, hubs, sampler, access, stop.clone());
        Ok(Self {
            app: Arc::new(app),
            listener,
            address,
            feeds: feeds.into_iter().map(FeedSlot).collect(),
            curve_log: None,
            limits,
            ready: watch::Sender::new(false),
            stop,
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Whether every aggregation has been read to its end and can be read now.
    pub fn readiness(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Serves until `shutdown` fires; then ends the streams, lets other requests finish for a
    /// while, and returns.
    ///
    /// # Errors
    ///
    /// [`WebError::Thread`] at the start. Nothing that happens later ends it.
    pub fn run(self, shutdown: CancellationToken) -> Boxed<'static, Result<(), WebError>> {
        Box::pin(self.serve(shutdown))
    }

    async fn serve(self, shutdown: CancellationToken) -> Result<(), WebError> {
        let Self {
            app,
            listener,
            address,
            feeds,
            curve_log,
            limits,
            ready,
            stop,
        } = self;
        // Also fires when this future is dropped, so that no thread outlives it for long.
        let _stops = stop.clone().drop_guard();
        for (hub, FeedSlot(feed)) in app.hubs.iter().zip(feeds) {
            let (hub, stop) = (Arc::clone(hub), stop.clone());
            let name = hub.name().to_owned();
            let thread = std::thread::Builder::new().name(format!("web {name}"));
            let spawned = thread.spawn(move || follow::run(&hub, feed, &stop));
            spawned.map_err(|source| WebError::Thread {
                aggregation: name,
                source,
            })?;
        }
        let mut points = None;
        if let Some((sender, log)) = curve_log {
            points = Some(sender);
            let (hubs, stop) = (app.hubs.clone(), stop.clone());
            let thread = std::thread::Builder::new().name("web curve".to_owned());
            let spawned = thread.spawn(move || log.run(&hubs, &stop));
            spawned.map_err(|source| WebError::Thread {
                aggregation: types::names::TOPIC_CURVE.to_owned(),
                source,
            })?;
        }
        info!(%address, page = page::BUILT, "the web server serves");
        let tasks = TaskTracker::new();
        tasks.spawn(tick(Arc::clone(&app), points, stop.clone()));
        tasks.spawn(tell_ready(Arc::clone(&app), ready, stop.clone()));
        accept(&app, listener, limits, &tasks, &shutdown, &stop).await;
        stop.cancel();
        tasks.close();
        let finished = tokio::time::timeout(app.options.shutdown_time_max, tasks.wait()).await;
        if finished.is_err() {
            warn!(connections = tasks.len(), "stopped with open connections");
        }
        info!("the web server has stopped");
        Ok(())
    }
}

/// As [`TcpListener::bind`], with a send buffer that the accepted sockets inherit: the system's own grows to
/// megabytes for every client that reads slowly, and only when it is full is it seen that one does not read.
fn listen_on(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn accept(
    app: &Arc<App>,
    listener: TcpListener,
    limits: Limits,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
    stop: &CancellationToken,
) {
    let router = routes::router(Arc::clone(app));
    let places = Arc::new(Semaphore::new(app.options.connections_max));
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            accepted = async {
                // The semaphore is never closed.
                let place = Arc::clone(&places).acquire_owned().await.ok();
                (listener.accept().await, place)
            } => accepted,
        };
        let (socket, peer, place) = match accepted {
            (Ok((socket, peer)), place) => (socket, peer, place),
            (Err(error), _) => {
                warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let router = router.clone().layer(Extension(ConnectInfo(peer)));
        let serve = connection::serve(socket, router, limits.clone(), stop.clone());
        tasks.spawn(async move {
            let _place = place;
            serve.await;
        });
    }
}

/// Looks at the clock and samples the figures.
async fn tick(app: Arc<App>, points: Option<Points>, stop: CancellationToken) {
    let mut clock = tokio::time::interval(CLOCK_INTERVAL);
    let mut sample = tokio::time::interval(SAMPLE_INTERVAL);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = clock.tick() => app.hubs.iter().for_each(|hub| hub.tick()),
            _ = sample.tick() => {
                app.sampler.sample();
                for point in app.hubs.iter().flat_map(|hub| hub.close_minute()) {
                    // A full channel is a log that takes nothing: the next point says as much.
                    points.as_ref().map(|points| points.try_send(point));
                }
            }
        }
    }
}

/// Ready is: every aggregation is.
async fn tell_ready(app: Arc<App>, ready: watch::Sender<bool>, stop: CancellationToken) {
    let mut each: Vec<_> = app.hubs.iter().map(|hub| hub.ready()).collect();
    loop {
        // Every one is looked at, so that all wait for their next change.
        let waiting = each
            .iter_mut()
            .filter_map(|one| (!*one.borrow_and_update()).then_some(()));
        let all = waiting.count() == 0;
        ready.send_if_modified(|known| std::mem::replace(known, all) != all);
        let changes = each.iter_mut().map(|one| Box::pin(one.changed()));
        let changes: Vec<_> = changes.collect();
        if changes.is_empty() {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            _ = futures::future::select_all(changes) => {}
        }
    }
}
