//! What is looked at: windows, their stream and exports, over real sockets.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::server::{Events, PATIENCE, Server, rows, today};
use crate::support::{World, cents, daily_totals};
use serde_json::Value;
use store::{Cell, Row, StoreTarget, Write};
use types::{BusinessDay, Version};
use web::{WebOptions, api};

fn book(world: &World, account: &str, currency: &str, amount: i64) {
    world.book(today(), account, currency, amount, 0);
}

async fn window(server: &Server, query: &str) -> api::Window {
    let path = format!("/api/v1/daily_totals/window?{query}");
    let (status, body) = server.get(&path).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_value(body).expect("a window")
}

fn accounts(rows: &[api::Row]) -> Vec<String> {
    let rows = rows
        .iter()
        .map(|row| row.key[1].clone().unwrap_or_default());
    rows.collect()
}

fn sums(groups: &[api::Group]) -> Vec<String> {
    let text = |sum: &Option<String>| sum.clone().unwrap_or_default();
    let group = |group: &api::Group| {
        let sums: Vec<String> = group.sums.iter().map(text).collect();
        format!(
            "{} {}: {}",
            group.name.clone().unwrap_or_default(),
            group.rows,
            sums.join(" ")
        )
    };
    groups.iter().map(group).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_is_sorted_filtered_and_added_up_on_the_server() {
    let world = World::new(3);
    for (account, currency, amount) in [
        ("Ann Foods", "EUR", 1250),
        ("Bob", "EUR", -5),
        ("Cy Foods", "JPY", 70_000),
        ("Dan", "EUR", 99_900),
    ] {
        book(&world, account, currency, amount);
    }
    let server = Server::start(&world).await.live().await;
    let all = window(&server, "").await;
    assert_eq!(accounts(&all.rows), ["Dan", "Cy Foods", "Ann Foods", "Bob"]);
    assert_eq!((all.size, all.matching, all.live), (4, 4, true));
    assert_eq!(sums(&all.groups), ["EUR 3: 1011.45 3", "JPY 1: 700 1"]);
    let key = format!("[%22{}%22,%22Bob%22,%22EUR%22]", today());
    for (query, expected, groups) in [
        (
            "q=foods",
            vec!["Cy Foods", "Ann Foods"],
            vec!["EUR 1: 12.50 1", "JPY 1: 700 1"],
        ),
        ("q=FOODS+ann", vec!["Ann Foods"], vec!["EUR 1: 12.50 1"]),
        (
            "where=currency:EUR&sort=total",
            vec!["Bob", "Ann Foods", "Dan"],
            vec!["EUR 3: 1011.45 3"],
        ),
        (
            "sort=-account&from=1&count=2",
            vec!["Cy Foods", "Bob"],
            vec!["EUR 3: 1011.45 3", "JPY 1: 700 1"],
        ),
        ("q=nobody", vec![], vec![]),
        ("from=9", vec![], vec!["EUR 3: 1011.45 3", "JPY 1: 700 1"]),
    ] {
        let found = window(&server, &format!("{query}&pin={key}")).await;
        assert_eq!(accounts(&found.rows), expected, "{query}");
        assert_eq!(sums(&found.groups), groups, "{query}");
        assert_eq!(accounts(&found.pinned), ["Bob"], "{query}");
        assert_eq!(found.size, 4);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sums_of_a_filtered_window_follow_a_row_that_is_not_in_it() {
    let world = World::new(1);
    book(&world, "Ann Foods", "EUR", 1250);
    book(&world, "Cy Foods", "EUR", 100);
    let server = Server::start(&world).await.live().await;
    let mut events = server.look("q=foods&count=1").await;
    let (_, first) = events.next_named("window").await;
    assert_eq!(first["groups"][0]["sums"][0], "13.50");
    // The order that is shared is too young to be made anew, so that the first look at this change finds the old sums.
    book(&world, "Cy Foods", "EUR", 1);
    let (_, summary) = events.next_named("summary").await;
    assert_eq!(summary["groups"][0]["sums"][0], "13.51");
    server.stop().await;
}

/// What a page holds that follows a window.
#[derive(Default)]
struct Page {
    rows: BTreeMap<String, api::Row>,
    order: Vec<String>,
    groups: Vec<api::Group>,
    position: String,
}

impl Page {
    async fn take(&mut self, events: &mut Events) {
        let (name, id, data) = events.next().await.expect("an event");
        match name.as_str() {
            "window" => {
                let window: api::Window = serde_json::from_value(data).expect("a window");
                assert_eq!(id.as_deref(), Some(&*window.position));
                self.order = window.rows.iter().map(key_of).collect();
                self.groups = window.groups;
                self.position = window.position;
                window
                    .rows
                    .into_iter()
                    .chain(window.pinned)
                    .for_each(|row| self.put(row));
            }
            "message" => {
                let frame: api::Frame = serde_json::from_value(data).expect("a frame");
                assert_eq!(frame.prev.as_deref(), Some(&*self.position));
                self.position = frame.pos;
                frame.rows.into_iter().for_each(|row| self.put(row));
            }
            "summary" => {
                let summary: api::Summary = serde_json::from_value(data).expect("a summary");
                self.groups = summary.groups;
            }
            _ => {}
        }
    }

    fn put(&mut self, row: api::Row) {
        let known = self.rows.entry(key_of(&row)).or_insert_with(|| row.clone());
        assert!(row.v >= known.v, "{row:?} is older than {known:?}");
        *known = row;
    }

    fn shown(&self) -> Vec<&Value> {
        let rows = self.order.iter().filter_map(|key| self.rows.get(key));
        rows.flat_map(|row| row.c.get(2)).collect()
    }
}

fn key_of(row: &api::Row) -> String {
    serde_json::to_string(&row.key).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_follows_what_is_looked_at() {
    let world = World::new(3);
    for key in 0..20 {
        book(&world, &format!("k{key:02}"), "EUR", 1_000 * key);
    }
    let server = Server::start(&world).await.live().await;
    let key = format!("[%22{}%22,%22k00%22,%22EUR%22]", today());
    let mut events = server.look(&format!("count=3&pin={key}&hz=100")).await;
    let mut page = Page::default();
    while page.order.is_empty() {
        page.take(&mut events).await;
    }
    assert_eq!(page.shown(), ["190.00", "180.00", "170.00"]);
    // A row out of sight changes the sums only; pinned ones and those in sight come themselves.
    book(&world, "k05", "EUR", 1);
    while sums(&page.groups) != ["EUR 20: 1900.01 21"] {
        page.take(&mut events).await;
    }
    let pinned = format!("[\"{}\",\"k00\",\"EUR\"]", today());
    book(&world, "k00", "EUR", 7);
    while page.rows[&pinned].c[2] != "0.07" {
        page.take(&mut events).await;
    }
    // One rises to the top: the window comes again.
    book(&world, "k04", "EUR", 100_000);
    while page.shown() != ["1040.00", "190.00", "180.00"] {
        page.take(&mut events).await;
    }
    // What has left the window is still followed.
    book(&world, "k17", "EUR", 1);
    let left = format!("[\"{}\",\"k17\",\"EUR\"]", today());
    while page.rows[&left].c[2] != "170.01" {
        page.take(&mut events).await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_readers_of_moving_rows_end_with_the_truth_and_never_see_an_older_row() {
    let seed = telemetry::now_micros();
    let world = World::new(3);
    for key in 0..40 {
        book(&world, &format!("k{key:02}"), "EUR", 0);
    }
    let server = Server::start(&world).await.live().await;
    let writer = world.clone();
    let written = tokio::task::spawn_blocking(move || {
        let mut random = seed.unsigned_abs() | 1;
        for _ in 0..3_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            book(
                &writer,
                &format!("k{:02}", random % 40),
                "EUR",
                (random >> 8) as i64 % 1_000,
            );
            if random.is_multiple_of(8) {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    });
    let mut readers = Vec::new();
    for hz in [10, 20, 100, 100] {
        readers.push((
            server.look(&format!("count=10&hz={hz}")).await,
            Page::default(),
        ));
    }
    while !written.is_finished() {
        for (events, page) in &mut readers {
            page.take(events).await;
        }
    }
    written.await.expect("writes");
    let mut truth: Vec<i64> = world
        .truth(today())
        .iter()
        .map(|row| row.2.replace('.', "").parse().expect("cents"))
        .collect();
    truth.sort_by_key(|cents| -cents);
    let truth: Vec<String> = truth.into_iter().take(10).map(cents).collect();
    let begun = Instant::now();
    for (events, page) in &mut readers {
        while page.shown() != truth.iter().collect::<Vec<_>>() {
            assert!(
                begun.elapsed() < PATIENCE,
                "{:?} is not {truth:?}, seed {seed}",
                page.shown()
            );
            page.take(events).await;
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_what_is_shown() {
    let world = World::new(3);
    book(&world, "Ann Foods", "EUR", 1250);
    book(&world, "Bob", "EUR", 5);
    book(&world, "Cy Foods", "JPY", 99_900);
    let server = Server::start(&world).await.live().await;
    let get = async |path: &str| {
        let path = format!("/api/v1/daily_totals/export.{path}");
        let (status, head, body) = server
            .get_with(&path, "Accept-Encoding: identity\r\n")
            .await;
        assert_eq!(status, 200, "{body}");
        (head, body)
    };
    let (_, csv) = get("csv?q=foods&sort=-total").await;
    assert_eq!(
        csv,
        "account,currency,total,transactions\r\nCy Foods,JPY,999.00,1\r\nAnn Foods,EUR,12.50,1\r\n"
    );
    let (head, lines) = get("ndjson?where=currency:EUR").await;
    assert!(
        head.contains("application/x-ndjson") && head.contains(".ndjson\""),
        "{head}"
    );
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let names: Vec<&Value> = lines.iter().map(|line| &line["account"]).collect();
    assert_eq!(names, ["Ann Foods", "Bob"]);
    assert_eq!(
        (&lines[0]["total"], &lines[0]["transactions"]),
        (&"12.50".into(), &1.into())
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_the_store_is_looked_at_like_any_other() {
    let dir = tempfile::tempdir().expect("a directory");
    let target = StoreTarget::sqlite(dir.path().join("store.db"));
    let day = today().plus_days(-9);
    let table = daily_totals().table;
    let mut store = target.open().expect("opens");
    store.ensure_table(&table).expect("creates");
    let rows_of: Vec<Row> = [("ann", "-0.05"), ("bob", "12.50"), ("cy", "7.00")]
        .map(|(account, total)| stored(day, account, total))
        .into();
    let write = Write {
        table: &table,
        rows: &rows_of,
        progress: &[],
    };
    store.write(&write).expect("writes");
    let world = World::new(1);
    let set = |options: &mut WebOptions| {
        options.store = target.clone();
        options.heartbeat = Duration::from_millis(50);
    };
    let server = Server::start_with(&world, set).await.live().await;
    let found = window(&server, &format!("day={day}&count=2")).await;
    assert_eq!((found.live, found.size), (false, 3));
    assert_eq!(accounts(&found.rows), ["bob", "cy"]);
    assert_eq!(sums(&found.groups), ["EUR 3: 19.45 6"]);
    let mut events = server.look(&format!("day={day}&q=ann")).await;
    let (_, shown) = events.next_named("window").await;
    assert_eq!(rows(&shown)[0].2, "-0.05");
    events.next_named("heartbeat").await;
    server.stop().await;
}

fn stored(day: BusinessDay, account: &str, total: &str) -> Row {
    Row {
        key: serde_json::json!([day.to_string(), account, "EUR"]).to_string(),
        day,
        version: Version {
            generation: 1,
            sequence: 2,
        },
        deleted: false,
        partition: 0,
        offset: 0,
        cells: vec![
            Cell::Text(account.to_owned()),
            Cell::Text("EUR".to_owned()),
            Cell::Text(total.to_owned()),
            Cell::Int(2),
        ],
    }
}
