//! What rows and days were, and the hops, over real sockets; by a clock that the test sets.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::support::server::{PATIENCE, Server, today};
use crate::support::{World, daily_totals};
use serde::de::DeserializeOwned;
use types::BusinessDay;
use web::{WebOptions, api};

async fn get<T: DeserializeOwned>(server: &Server, path: &str) -> T {
    let path = format!("/api/v1/{path}");
    let (status, body) = server.get(&path).await;
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_value(body).expect("what the API says")
}

/// Asks until the answer is as wanted.
async fn until<T: DeserializeOwned + std::fmt::Debug>(
    server: &Server,
    path: &str,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let begun = Instant::now();
    loop {
        let found: T = get(server, path).await;
        if wanted(&found) {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

static CLOCK: AtomicI64 = AtomicI64::new(0);

#[tokio::test(flavor = "multi_thread")]
async fn movers_courses_and_curves_are_those_since_the_server_began() {
    let (day, minute) = (today(), 60_000_000);
    let start = daily_totals().calendar.start(day).expect("in range");
    let began = start + 600 * minute;
    CLOCK.store(began, Relaxed);
    let world = World::new(2);
    let key = |account: &str| format!("[%22{day}%22,%22{account}%22,%22EUR%22]");
    world.book(day, "ann", "EUR", 1_000, 0);
    world.book(day, "bob", "EUR", 2_000, 0);
    world.book(day.plus_days(-1), "ann", "EUR", 77, 0);
    let set = |options: &mut WebOptions| options.clock = || CLOCK.load(Relaxed);
    let server = Server::start_with(&world, set).await.live().await;
    let curve = format!("daily_totals/curve?day={day}");
    let has = |sum: &'static str| {
        move |curve: &api::Curve| {
            let last = curve.groups.first().and_then(|group| group.points.last());
            last.is_some_and(|point| point.1[0].as_deref() == Some(sum))
        }
    };
    until(&server, &curve, has("30.00")).await;
    CLOCK.store(began + 2 * minute, Relaxed);
    world.book(day, "ann", "EUR", -300, 0);
    world.book(day, "eve", "EUR", 5, 0);
    until(&server, &curve, has("27.05")).await;
    CLOCK.store(began + 3 * minute, Relaxed);
    world.book(day, "bob", "EUR", 1, 0);
    let found = until(&server, &curve, has("27.06")).await;
    assert_eq!((found.starts_at, found.columns.len()), (start, 2));
    let sums = found.groups[0].points.iter();
    let sums: Vec<(i64, &str)> = sums
        .map(|point| {
            (
                (point.0 * 1_000 - began) / minute,
                point.1[0].as_deref().expect("a sum"),
            )
        })
        .collect();
    assert_eq!(sums, [(0, "30.00"), (2, "27.05"), (3, "27.06")]);

    let movers: api::Movers = get(&server, "daily_totals/movers?minutes=5&count=2").await;
    let rows = movers.rows.iter();
    let rows: Vec<_> = rows
        .map(|row| {
            (
                row.key[1].as_deref(),
                row.before.as_deref(),
                row.change.as_str(),
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            (Some("ann"), Some("10.00"), "-3.00"),
            (Some("eve"), None, "0.05")
        ]
    );
    assert_eq!(
        (movers.since, &*movers.column),
        (Some(began / 1_000), "total")
    );
    let movers: api::Movers = get(&server, "daily_totals/movers?minutes=1").await;
    assert_eq!(movers.rows[0].change, "0.01");

    let path = format!(
        "daily_totals/sparks?key={}&key={}&key={}",
        key("bob"),
        key("nobody"),
        key("ann")
    );
    let sparks: api::Sparks = get(&server, &path).await;
    let points = sparks.sparks.iter().map(|spark| spark.points.clone());
    let at = |minutes: i64, sum: &str| {
        api::SeriesPoint((began + minutes * minute) / 1_000, sum.to_owned())
    };
    assert_eq!(
        points.collect::<Vec<_>>(),
        [
            vec![at(0, "20.00"), at(3, "20.01")],
            vec![at(0, "10.00"), at(2, "7.00")]
        ]
    );
    let found: api::KeyDetail = get(&server, &format!("daily_totals/key?key={}", key("ann"))).await;
    assert_eq!(
        found.row.as_ref().map(|row| row.c[2].clone()),
        Some("7.00".into())
    );
    assert_eq!(
        found.previous.as_ref().map(|row| row.c[2].clone()),
        Some("0.77".into())
    );
    assert_eq!(found.previous_day, day.plus_days(-1).to_string());
    assert_eq!((found.points.len(), found.others.len()), (2, 0));
    let found: api::KeyDetail = get(&server, &format!("daily_totals/key?key={}", key("zoe"))).await;
    assert_eq!(
        (found.row, found.previous, found.points),
        (None, None, Vec::new())
    );
    for (path, expected) in [
        ("movers?minutes=2", 400),
        ("movers?count=101", 400),
        ("key", 400),
        ("key?key=ann", 400),
        ("sparks?key=[1]", 400),
    ] {
        let path = format!("/api/v1/daily_totals/{path}");
        assert_eq!(server.get(&path).await.0, expected, "{path}");
    }
    let many = vec![format!("key={}", key("ann")); 101].join("&");
    assert_eq!(
        server
            .get(&format!("/api/v1/daily_totals/sparks?{many}"))
            .await
            .0,
        400
    );
    let most = vec![format!("key={}", key("ann")); 100].join("&");
    assert_eq!(
        server
            .get(&format!("/api/v1/daily_totals/sparks?{most}"))
            .await
            .0,
        200
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_shown_with_those_of_other_aggregations_and_by_its_hops() {
    let world = World::new(1);
    let day: BusinessDay = today();
    world.book(day, "ann", "EUR", 1_000, telemetry::now_micros());
    let set = |options: &mut WebOptions| options.heartbeat = Duration::from_millis(100);
    let server = Server::start_with(&world, set).await.live().await;
    world.book(day, "ann", "EUR", 1, telemetry::now_micros() - 5_000);
    let pipeline = until(&server, "pipeline", |found: &api::Pipeline| {
        found.latency.is_some()
    })
    .await;
    let web = pipeline
        .hops
        .iter()
        .find(|hop| hop.name == "web")
        .expect("the hop");
    assert_eq!(web.latency, pipeline.latency);
    assert_eq!((web.lag_seconds, web.late), (Some(0.0), 0));
    assert_eq!(
        (web.lag_trend, web.pressure),
        (api::Trend::Steady, api::Pressure::Ok)
    );
    let mut events = server.look("").await;
    let begun = Instant::now();
    loop {
        let (_, beat) = events.next_named("heartbeat").await;
        let beat: api::Heartbeat = serde_json::from_value(beat).expect("a heartbeat");
        if beat.latency.is_some_and(|latency| latency.max_ms >= 5.0) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "no latency is told");
    }
    let hop: api::HopDetail = get(&server, "pipeline/web").await;
    let clients = hop
        .figures
        .iter()
        .find(|figure| figure.name == "web_clients");
    let clients = clients.expect("a figure");
    assert_eq!(
        (clients.value, &*clients.labels["aggregation"]),
        (1.0, "daily_totals")
    );
    assert_eq!(server.get("/api/v1/pipeline/nothing").await.0, 404);
    server.stop().await;
}
