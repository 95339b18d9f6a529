//! The server over real sockets, with a log and a store in memory.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use crate::support::server::{PATIENCE, Server, rows, today};
use crate::support::{World, daily_totals};
use serde_json::Value;
use store::{Cell, DayCounts, Row, StoreTarget, Write};
use tokio::io::AsyncBufReadExt;
use types::{BusinessDay, Counts, Version, WorkingDays};
use web::WebOptions;

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_and_the_stream_behind_it_are_the_truth() {
    let world = World::new(3);
    world.book(today(), "ann", "EUR", 1250, 0);
    world.sink_all();
    world.book(today(), "bob", "EUR", -100, 0);
    let server = Server::start(&world).await.live().await;
    let snapshot = server.snapshot().await;
    assert_eq!(rows(&snapshot), world.truth(today()));
    let position = snapshot["position"]
        .as_str()
        .expect("a position")
        .to_owned();
    let mut events = server
        .stream(&format!("from={position}&day={}", today()), "")
        .await;
    let (_, beat) = events.next_named("heartbeat").await;
    assert_eq!(
        (&beat["state"], &beat["percent"]),
        (&"live".into(), &100.into())
    );
    world.book(today(), "ann", "EUR", 1, telemetry::now_micros());
    let (id, frame) = events.next_named("message").await;
    assert_eq!(frame["prev"], position.as_str());
    assert_eq!(frame["pos"].as_str(), id.as_deref());
    assert_eq!(
        rows(&frame),
        [("ann".to_owned(), "EUR".to_owned(), "12.51".to_owned(), 2)]
    );
    let (_, hop) = server.telemetry.snapshot().pop().expect("the web hop");
    assert_eq!(
        hop.latency.count(),
        1,
        "the change was measured when it left"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_is_what_the_api_says() {
    let world = World::new(2);
    world.book(today(), "ann", "EUR", 1250, 0);
    let server = Server::start(&world).await.live().await;
    let (_, _, body) = server.get_with("/api/v1/daily_totals/snapshot", "").await;
    let snapshot: web::api::Snapshot = serde_json::from_str(&body).expect("a snapshot");
    assert!(snapshot.live && snapshot.rows.len() == 1);
    let mut events = server.stream("", "").await;
    let (_, frame) = events.next_named("message").await;
    let frame: web::api::Frame = serde_json::from_value(frame).expect("a frame");
    assert_eq!((frame.prev, frame.rows), (None, snapshot.rows));
    let (_, found) = server.get("/api/v1/aggregations").await;
    serde_json::from_value::<web::api::Aggregations>(found).expect("aggregations");
    let (_, found) = server.get("/api/v1/pipeline").await;
    serde_json::from_value::<web::api::Pipeline>(found).expect("a pipeline");
    let (_, found) = server.get("/api/v1/daily_totals/counts").await;
    serde_json::from_value::<web::api::CountsOfDays>(found).expect("counts");
    let (status, found) = server.get("/readyz").await;
    assert_eq!(status, 200);
    serde_json::from_value::<web::api::Ready>(found).expect("readiness");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_was_away_gets_what_it_lacks_from_any_replica() {
    let world = World::new(2);
    world.book(today(), "ann", "EUR", 100, 0);
    world.book(today(), "bob", "EUR", 100, 0);
    let first = Server::start(&world).await.live().await;
    let position = first.snapshot().await["position"]
        .as_str()
        .expect("one")
        .to_owned();
    first.stop().await;
    for _ in 0..50 {
        world.book(today(), "ann", "EUR", 1, 0);
    }
    world.sink_all();
    let second = Server::start(&world).await.live().await;
    // The header is newer than the address, whatever that says.
    let stale = format!("from=gone:{}:0,0&day={}", today(), today());
    let header = format!("Last-Event-ID: {position}\r\n");
    let mut events = second.stream(&stale, &header).await;
    let (_, frame) = events.next_named("message").await;
    assert_eq!(frame["prev"], position.as_str());
    assert_eq!(
        rows(&frame),
        [("ann".to_owned(), "EUR".to_owned(), "1.50".to_owned(), 51)]
    );
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_of_another_log_or_day_or_from_the_future_is_reset() {
    let world = World::new(2);
    let set = |options: &mut WebOptions| options.heartbeat = Duration::from_millis(30);
    let server = Server::start_with(&world, set).await.live().await;
    let (day, yesterday) = (today(), today().plus_days(-1));
    for position in [
        format!("log2:{day}:0,0"),
        format!("log1:{day}:0"),
        format!("log1:{yesterday}:0,0"),
        format!("log1:{day}:0,99"),
    ] {
        let query = format!("day={day}&from={position}");
        let mut events = server.stream(&query, "Connection: close\r\n").await;
        let (id, reset) = events.next_named("reset").await;
        assert_eq!(id.as_deref(), Some(""), "{position}: {reset}");
        assert!(events.next().await.is_none(), "the stream ends");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_log_resets_streams_and_is_shown_afresh() {
    let world = World::new(2);
    world.book(today(), "ann", "EUR", 100, 0);
    let server = Server::start(&world).await.live().await;
    let position = server.snapshot().await["position"]
        .as_str()
        .expect("one")
        .to_owned();
    let mut events = server
        .stream(&format!("day={}&from={position}", today()), "")
        .await;
    events.next_named("heartbeat").await;
    world.recreate("log2", 2);
    world.book(today(), "kim", "USD", 5, 0);
    events.next_named("reset").await;
    let snapshot = server.snapshot().await;
    assert_eq!(rows(&snapshot), world.truth(today()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lost_what_comes_next_is_handed_over_again() {
    let world = World::new(2);
    world.book(today(), "ann", "EUR", 100, 0);
    world.allow(Some(1));
    let server = Server::start(&world).await.live().await;
    let position = server.snapshot().await["position"]
        .as_str()
        .expect("one")
        .to_owned();
    let mut events = server
        .stream(&format!("day={}&from={position}", today()), "")
        .await;
    events.next_named("heartbeat").await;
    // The server sleeps while these come, are stored, and leave the log.
    world.book(today(), "ann", "EUR", 1, 0);
    world.book(today(), "bob", "EUR", 2, 0);
    world.sink_all();
    world.expire();
    world.allow(None);
    let mut seen = std::collections::BTreeMap::new();
    while seen.len() < 2 {
        let (_, frame) = events.next_named("message").await;
        seen.extend(rows(&frame).into_iter().map(|row| (row.0.clone(), row)));
    }
    let seen: Vec<_> = seen.into_values().collect();
    assert_eq!(seen, world.truth(today()), "the open stream got them too");
    assert_eq!(rows(&server.snapshot().await), world.truth(today()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn before_it_has_caught_up_it_says_how_far_it_is() {
    let world = World::new(1);
    for _ in 0..10 {
        world.book(today(), "ann", "EUR", 1, 0);
    }
    world.allow(Some(4));
    let server = Server::start(&world).await;
    let mut events = server.stream("", "").await;
    let found = loop {
        let (_, beat) = events.next_named("heartbeat").await;
        if beat["percent"] == 40 {
            break beat;
        }
    };
    assert_eq!(found["state"], "catching_up");
    let (status, ready) = server.get("/readyz").await;
    assert_eq!((status, &ready["percent"]), (503, &40.into()));
    assert!(
        ready["message"]
            .as_str()
            .is_some_and(|text| text.contains("catching up, 40 %"))
    );
    let (status, problem) = server.get("/api/v1/daily_totals/snapshot").await;
    assert_eq!((status, &problem["status"]), (503, &503.into()));
    world.allow(None);
    let (_, frame) = events.next_named("message").await;
    assert_eq!(
        rows(&frame),
        world.truth(today()),
        "the same stream goes on"
    );
    server.live().await.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_with_the_log_is_told_and_taken_back() {
    let world = World::new(1);
    world.book(today(), "ann", "EUR", 1, 0);
    let server = Server::start(&world).await.live().await;
    let mut events = server.stream("", "").await;
    world.trouble(Some("the log cannot be reached"));
    let stale = loop {
        let (_, beat) = events.next_named("heartbeat").await;
        if beat["state"] == "stale" {
            break beat;
        }
    };
    assert_eq!(stale["reason"], "the log cannot be reached");
    assert!(stale["stale_since"].is_i64());
    assert_eq!(server.get("/readyz").await.0, 503);
    assert_eq!(
        server.snapshot().await["rows"].as_array().map(Vec::len),
        Some(1)
    );
    world.trouble(None);
    while events.next_named("heartbeat").await.1["state"] != "live" {}
    server.live().await.stop().await;
}

static CLOCK: AtomicI64 = AtomicI64::new(0);

#[tokio::test(flavor = "multi_thread")]
async fn the_day_rolls_over_by_the_clock_without_traffic() {
    let calendar = daily_totals().calendar;
    let (first, second) = (today(), today().plus_days(1));
    let midnight = calendar.start(second).expect("in range");
    CLOCK.store(midnight - 1_000_000, Relaxed);
    let world = World::new(2);
    world.book(first, "ann", "EUR", 100, 0);
    world.book(second, "early", "EUR", 700, 0);
    let set = |options: &mut WebOptions| options.clock = || CLOCK.load(Relaxed);
    let server = Server::start_with(&world, set).await.live().await;
    assert_eq!(server.snapshot().await["day"], first.to_string());
    let mut follows = server.stream("", "").await;
    let (_, frame) = follows.next_named("message").await;
    assert_eq!(rows(&frame), world.truth(first));
    let mut stays = server.stream(&format!("day={first}"), "").await;
    stays.next_named("message").await;
    CLOCK.store(midnight, Relaxed);
    let (_, change) = follows.next_named("day").await;
    assert_eq!(
        (&change["day"], &change["previous"]),
        (&second.to_string().into(), &first.to_string().into())
    );
    let (_, frame) = follows.next_named("message").await;
    assert_eq!(
        (rows(&frame), &frame["prev"]),
        (world.truth(second), &Value::Null)
    );
    stays.next_named("day").await;
    world.book(second, "early", "EUR", 1, 0);
    world.book(first, "ann", "EUR", 1, 0);
    let (_, frame) = stays.next_named("message").await;
    assert_eq!(
        rows(&frame),
        world.truth(first),
        "a late one corrects its own day"
    );
    let (_, frame) = follows.next_named("message").await;
    assert_eq!(rows(&frame), world.truth(second));
    assert_eq!(server.snapshot().await["day"], second.to_string());
    server.stop().await;
}

static WEEK_CLOCK: AtomicI64 = AtomicI64::new(0);

#[tokio::test(flavor = "multi_thread")]
async fn on_friday_at_midnight_monday_begins_and_friday_stays_in_view() {
    let weekdays = ["mon", "tue", "wed", "thu", "fri"];
    let working = WorkingDays::of_week(&weekdays).expect("weekdays");
    let calendar = daily_totals().calendar.with_working_days(working);
    let calendar = calendar.expect("open");
    let [thursday, friday, monday, tuesday]: [BusinessDay; 4] =
        ["2026-11-26", "2026-11-27", "2026-11-30", "2026-12-01"]
            .map(|text| text.parse().expect("a date"));
    let start = |day| calendar.start(day).expect("in range");
    WEEK_CLOCK.store(start(monday) - 1, Relaxed);
    let world = World::new(2);
    for (amount, day) in (1..).zip([thursday, friday, monday, tuesday]) {
        world.book(day, "ann", "EUR", amount, 0);
    }
    // From here on the rows are in the store alone: what is shown was in view from the beginning.
    world.sink_all();
    world.expire();
    let set = |options: &mut WebOptions| {
        options.clock = || WEEK_CLOCK.load(Relaxed);
        options.aggregations[0].calendar = calendar.clone();
        options.aggregations[0].ahead_max = 24 * 3_600_000_000;
    };
    let server = Server::start_with(&world, set).await.live().await;
    assert_eq!(server.snapshot().await["day"], friday.to_string());
    let mut follows = server.stream("", "").await;
    let (_, frame) = follows.next_named("message").await;
    assert_eq!(rows(&frame), world.truth(friday));
    for (today, before) in [(monday, friday), (tuesday, monday)] {
        WEEK_CLOCK.store(start(today), Relaxed);
        let (_, change) = follows.next_named("day").await;
        assert_eq!(
            (&change["day"], &change["previous"]),
            (&today.to_string().into(), &before.to_string().into())
        );
        let (_, frame) = follows.next_named("message").await;
        assert_eq!(rows(&frame), world.truth(today));
        let path = format!("/api/v1/daily_totals/snapshot?day={before}");
        assert_eq!(
            rows(&server.get(&path).await.1),
            world.truth(before),
            "still in view"
        );
    }
    server.stop().await;
}

static WRONG_CLOCK: AtomicI64 = AtomicI64::new(0);

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_brings_the_earlier_day_with_all_its_rows() {
    let calendar = daily_totals().calendar;
    let today: BusinessDay = "2026-11-27".parse().expect("a date");
    let wrong = today.plus_days(1_000);
    WRONG_CLOCK.store(calendar.start(wrong).expect("in range"), Relaxed);
    let world = World::new(2);
    world.book(today, "ann", "EUR", 100, 0);
    world.book(today.plus_days(-1), "ann", "EUR", 50, 0);
    world.book(wrong, "bob", "EUR", 7, 0);
    world.sink_all();
    world.expire();
    let set = |options: &mut WebOptions| options.clock = || WRONG_CLOCK.load(Relaxed);
    let server = Server::start_with(&world, set).await.live().await;
    let mut follows = server.stream("", "").await;
    let (_, frame) = follows.next_named("message").await;
    assert_eq!(rows(&frame), world.truth(wrong));
    WRONG_CLOCK.store(calendar.start(today).expect("in range"), Relaxed);
    let (_, change) = follows.next_named("day").await;
    assert_eq!(change["day"], today.to_string());
    let (_, frame) = follows.next_named("message").await;
    assert_eq!(rows(&frame), world.truth(today));
    world.book(today, "ann", "EUR", 1, 0);
    let (_, frame) = follows.next_named("message").await;
    assert_eq!(rows(&frame), world.truth(today));
    let yesterday = today.plus_days(-1);
    let path = format!("/api/v1/daily_totals/snapshot?day={yesterday}");
    assert_eq!(rows(&server.get(&path).await.1), world.truth(yesterday));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_is_conflated_and_its_first_change_is_not_delayed() {
    let world = World::new(2);
    let server = Server::start(&world).await.live().await;
    let mut events = server.stream("hz=5", "").await;
    events.next_named("message").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let begun = std::time::Instant::now();
    let burst = world.clone();
    let booked = tokio::task::spawn_blocking(move || {
        for _ in 0..500 {
            burst.book(today(), "ann", "EUR", 1, 0);
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    events.next_named("message").await;
    let first = begun.elapsed();
    let mut frames = 1;
    loop {
        let (_, frame) = events.next_named("message").await;
        frames += 1;
        if rows(&frame)[0].3 == 500 {
            break;
        }
    }
    booked.await.expect("books");
    assert!(first < Duration::from_millis(150), "{first:?}");
    // Half a second or more on a busy machine, at five a second.
    let most = begun.elapsed().as_millis() as usize / 200 + 2;
    assert!(frames <= most, "{frames} frames in {:?}", begun.elapsed());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_is_cut_and_the_others_are_not() {
    let world = World::new(1);
    let set = |options: &mut WebOptions| options.client_stall_max = Duration::from_millis(400);
    let server = Server::start_with(&world, set).await.live().await;
    let asleep = server
        .request("/api/v1/daily_totals/stream?rows=all&hz=100", "")
        .await;
    let mut awake = server.stream("hz=100", "").await;
    let cut = server.telemetry.meter("web_clients_cut_total", "");
    let long = "x".repeat(2000);
    let begun = std::time::Instant::now();
    while cut.value() == 0 {
        assert!(begun.elapsed() < PATIENCE * 2, "it was not cut");
        for key in 0..100 {
            world.book(today(), &format!("{long}{key}"), "EUR", 1, 0);
        }
        awake.next_named("message").await;
    }
    drop(asleep);
    assert_eq!(cut.value(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_guarded() {
    let world = World::new(1);
    let set = |options: &mut WebOptions| options.names = vec!["daybook.example".to_owned()];
    let server = Server::start_with(&world, set).await.live().await;
    for path in [
        "/",
        "/nothing",
        "/api/v1/aggregations",
        "/api/v1/x/stream",
        "/readyz",
    ] {
        let (_, head, _) = server.get_with(path, "").await;
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; \
             connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; \
             form-action 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
        ] {
            assert!(head.contains(header), "{path} lacks {header}: {head}");
        }
        assert!(!head.contains("access-control-allow-origin"), "{path}");
    }
    let status = async |headers: &str| server.get_with("/api/v1/aggregations", headers).await.0;
    assert_eq!(status("Host: evil.example:8080\r\n").await, 403);
    assert_eq!(status("Host: daybook.example\r\n").await, 200);
    assert_eq!(status("Host: localhost:1\r\n").await, 200);
    assert_eq!(status("Host: [::1]:8080\r\n").await, 200);
    assert_eq!(status("Origin: http://evil.example\r\n").await, 403);
    assert_eq!(status("Origin: null\r\n").await, 403);
    assert_eq!(
        status(&format!("Origin: http://{}\r\n", server.address)).await,
        200
    );
    let mut events = server.request("/api/v1/daily_totals/stream", "").await;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        events.read_line(&mut head).await.expect("a head");
    }
    for header in [
        "text/event-stream",
        "cache-control: no-cache",
        "x-accel-buffering: no",
    ] {
        assert!(head.contains(header), "{head}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_and_what_is_wrong_is_a_problem() {
    let world = World::new(1);
    let server = Server::start(&world).await.live().await;
    for (path, expected) in [
        ("/api/v1/nothing/snapshot", 404),
        ("/api/v1/nothing/stream", 404),
        ("/api/v1/nothing/export.csv", 404),
        ("/api/v1/nothing/counts", 404),
        ("/api/v2", 404),
        ("/api/v1/daily_totals/snapshot?day=2026-13-01", 400),
        ("/api/v1/daily_totals/stream?rows=all&from=5", 400),
        ("/api/v1/daily_totals/stream?hz=0", 400),
        ("/api/v1/daily_totals/stream?rows=some", 400),
        ("/api/v1/daily_totals/stream?sort=nothing", 400),
        ("/api/v1/daily_totals/window?count=501", 400),
        ("/api/v1/daily_totals/window?where=total", 400),
        ("/api/v1/daily_totals/export.ndjson?where=nothing:1", 400),
        ("/api/v1/nothing/window", 404),
        ("/api/v1/daily_totals/stream?hz=101", 400),
    ] {
        let (status, head, body) = server.get_with(path, "").await;
        assert_eq!(status, expected, "{path}");
        assert!(
            head.contains("content-type: application/problem+json"),
            "{path}: {head}"
        );
        let problem: web::api::Problem = serde_json::from_str(&body).expect(path);
        assert_eq!(problem.status, expected);
    }
    let (status, head, _) = server.get_with("/", "Accept-Encoding: gzip\r\n").await;
    assert_eq!(status, 200);
    assert!(
        head.contains("text/html") && head.contains("cache-control: no-cache"),
        "{head}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_every_row_exactly() {
    let world = World::new(3);
    world.book(today(), "ann, \"the\" first", "EUR", -1250, 0);
    world.book(today(), "bob", "USD", 5, 0);
    let server = Server::start(&world).await.live().await;
    let (status, head, body) = server.get_with("/api/v1/daily_totals/export.csv", "").await;
    assert_eq!(status, 200);
    assert!(
        head.contains(&format!("daily_totals-{}.csv", today())),
        "{head}"
    );
    assert_eq!(
        body,
        "account,currency,total,transactions\r\n\
         \"ann, \"\"the\"\" first\",EUR,-12.50,1\r\nbob,USD,0.05,1\r\n"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_out_of_view_and_the_counts_are_the_stores() {
    let dir = tempfile::tempdir().expect("a directory");
    let target = StoreTarget::sqlite(dir.path().join("store.db"));
    let day = today().plus_days(-9);
    let world = World::new(2);
    let set = |options: &mut WebOptions| options.store = target.clone();
    let server = Server::start_with(&world, set).await.live().await;
    let old = format!("/api/v1/daily_totals/snapshot?day={day}");
    let (status, snapshot) = server.get(&old).await;
    assert_eq!(
        (status, rows(&snapshot)),
        (200, Vec::new()),
        "before a sink made the store"
    );
    let table = daily_totals().table;
    let mut store = target.open().expect("opens");
    store.ensure_table(&table).expect("creates");
    let row = |account: &str, deleted| Row {
        key: serde_json::json!([day.to_string(), account, "EUR"]).to_string(),
        day,
        version: Version {
            generation: 1,
            sequence: 2,
        },
        deleted,
        partition: 0,
        offset: 0,
        cells: vec![
            Cell::Text(account.to_owned()),
            Cell::Text("EUR".to_owned()),
            Cell::Text("-0.05".to_owned()),
            Cell::Int(2),
        ],
    };
    let write = Write {
        table: &table,
        rows: &[row("ann", false), row("gone", true)],
        progress: &[],
    };
    store.write(&write).expect("writes");
    let counts = Counts {
        counted: 2,
        quarantined: 1,
        ..Counts::default()
    };
    let name = &table.name;
    let counts = DayCounts {
        day,
        partition: 0,
        counts,
        offset: 0,
    };
    store.write_counts(name, &[counts]).expect("writes");
    let (_, snapshot) = server.get(&old).await;
    assert_eq!(snapshot["live"], false);
    let expected = ("ann".to_owned(), "EUR".to_owned(), "-0.05".to_owned(), 2);
    assert_eq!(rows(&snapshot), [expected]);
    let csv = format!("/api/v1/daily_totals/export.csv?day={day}");
    let (_, _, text) = server.get_with(&csv, "").await;
    assert_eq!(text.lines().nth(1), Some("ann,EUR,-0.05,2"));
    let (_, found) = server.get("/api/v1/daily_totals/counts").await;
    let expected = serde_json::json!({"days": [{"day": day.to_string(), "counted": 2,
        "reversing": 0, "duplicate": 0, "late_corrected": 0, "quarantined": 1, "total": 3}]});
    assert_eq!(found, expected);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_clients_share_what_is_encoded() {
    let world = World::new(2);
    let server = Server::start(&world).await.live().await;
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut events = server.stream("", "").await;
        events.next_named("message").await;
        clients.push(events);
    }
    let (_, pipeline) = server.get("/api/v1/pipeline").await;
    assert!(
        pipeline["clients"]
            .as_u64()
            .is_some_and(|clients| clients <= 100)
    );
    for round in 1..=5 {
        world.book(today(), "ann", "EUR", 1, 0);
        for events in &mut clients {
            let (_, frame) = events.next_named("message").await;
            assert_eq!(rows(&frame)[0].3, round);
        }
    }
    server.stop().await;
}
