//! Whole runs against the stand-in for gateway and web server, and against one that is told how to fail.

use super::options::SOAK_MAX;
use super::*;
use crate::Silent;
use crate::bench::tests::{Lies, start, start_with};

/// A run of some seconds.
fn options(url: &str) -> GatewayBenchOptions {
    GatewayBenchOptions {
        gateway: url.to_owned(),
        web: Some(url.to_owned()),
        mix: Some("json=3,json-bulk:5=1".to_owned()),
        start: 50,
        factor: 2.0,
        rate_max: 100,
        step: Duration::from_millis(500),
        bisections: 0,
        soak: Duration::from_secs(1),
        // The machine of a test may be busy: nothing here is about how fast it is.
        limits: StepLimits {
            p99_ms_max: 60_000.0,
            late_ms_max: 60_000.0,
            achieved_percent_min: 1.0,
            generator_percent_max: 1e6,
            behind_percent_max: 1_000.0,
        },
        connections: 8,
        threads: 2,
        accounts: 7,
        pid: Some(std::process::id()),
        settle_max: Duration::from_millis(200),
        command: "test".to_owned(),
        progress: false,
        ..GatewayBenchOptions::default()
    }
}

async fn measure(options: GatewayBenchOptions) -> Result<GatewayReport, GatewayBenchError> {
    run(options, Arc::new(Silent), CancellationToken::new()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_gateway_that_counts_right_passes() {
    let url = start(None).await;
    let report = measure(options(&url)).await.expect("measured");
    assert!(report.passed, "{report}");
    let rates: Vec<f64> = report.steps.iter().map(|step| step.offered).collect();
    assert_eq!(rates, [50.0, 100.0]);
    let knee = report.knee.as_ref().expect("found");
    assert_eq!((knee.rate, knee.too_much), (100, None));
    let soak = report.soak.as_ref().expect("soaked");
    assert!((soak.step.offered - 70.0).abs() < 1e-9);
    assert!(soak.server.is_some() && !soak.timeline.is_empty());
    assert!(report.steps.iter().all(|step| step.behind_ms.is_some()));
    assert_eq!(report.totals_knee, report.knee);
    let sums = &report.sums;
    // Two trials, then 25, 50 and 70 requests.
    assert_eq!((sums.requests_sent, sums.requests_accepted), (147, 147));
    assert_eq!(sums.records_sent, sums.records_accepted);
    assert_eq!((sums.accounts_compared, sums.differences_count), (7, 0));
    let counted: u64 = report.kinds.iter().map(|kind| kind.requests).sum();
    assert_eq!(counted, soak.step.latency.count);
    assert!(report.errors.is_empty());
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).expect("JSON");
    assert_eq!(json["knee"]["rate"], 100);
    assert_eq!(json["soak"]["timeline"][0]["offered"], 70);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_a_gateway_loses_is_found() {
    let url = start(Some(40)).await;
    let report = measure(options(&url)).await.expect("measured");
    assert!(!report.passed);
    // The answers were right, the totals are not.
    assert_eq!(report.sums.miscounted_count, 0);
    assert!(report.sums.differences_count > 0, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_soak_is_at_what_the_totals_bear() {
    let url = start_with(Lies {
        totals_need: Duration::from_millis(10),
        ..Lies::default()
    })
    .await;
    let mut options = options(&url);
    options.mix = Some("json=1".to_owned());
    (options.start, options.rate_max) = (50, 400);
    options.step = Duration::from_secs(1);
    options.limits.behind_percent_max = 10.0;
    options.settle_max = Duration::from_secs(5);
    let report = measure(options).await.expect("measured");
    let (knee, totals) = (&report.knee, &report.totals_knee);
    assert_eq!(knee.as_ref().map(|knee| knee.rate), Some(400), "{report}");
    // They bear 100/s. Half a second is always allowed after a step of one: at 200/s they need a whole one.
    let totals = totals.as_ref().expect("found");
    assert_eq!(totals.limited_by, Verdict::Totals, "{report}");
    assert!(totals.rate <= 100, "{report}");
    let soak = report.soak.as_ref().expect("soaked");
    assert!(soak.step.offered <= 70.0, "{report}");
    assert!(report.passed, "{report}");
    assert!(report.to_string().contains("totals behind"), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn totals_that_stand_still_are_waited_for_once() {
    let url = start(Some(40)).await;
    let mut options = options(&url);
    (options.start, options.rate_max) = (40, 160);
    options.soak = Duration::ZERO;
    let report = measure(options).await.expect("measured");
    let totals = |step: &Step| step.verdict == Verdict::Totals;
    assert_eq!(
        report.steps.iter().filter(|step| totals(step)).count(),
        1,
        "{report}"
    );
    assert!(report.knee.is_some() && report.totals_knee.is_none() && !report.passed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_answer_that_miscounts_is_found() {
    let url = start_with(Lies {
        miscount_every: Some(50),
        ..Lies::default()
    })
    .await;
    let report = measure(options(&url)).await.expect("measured");
    assert!(
        !report.passed && report.sums.miscounted_count > 0,
        "{report}"
    );
    assert!(report.sums.records_accepted < report.sums.records_sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_gateway_that_says_later_is_asked_again() {
    let url = start_with(Lies {
        later_every: Some(20),
        ..Lies::default()
    })
    .await;
    let mut options = options(&url);
    options.rate = Some(100);
    let report = measure(options).await.expect("measured");
    let soak = report.soak.as_ref().expect("soaked");
    assert!(
        soak.step.later > 0 && soak.retries == soak.step.later,
        "{report}"
    );
    assert_eq!(soak.step.verdict, Verdict::Errors);
    // All came through in the end.
    assert!(report.passed, "{report}");
    assert_eq!(report.sums.requests_accepted, report.sums.requests_sent);
    assert!(report.errors.iter().any(|error| error.name == "503 later"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_gateway_that_takes_no_more_has_its_knee_there() {
    let url = start_with(Lies {
        later_above: Some(Duration::from_millis(12)),
        ..Lies::default()
    })
    .await;
    let mut options = options(&url);
    options.mix = Some("json=1".to_owned());
    (options.start, options.rate_max) = (10, 1_000);
    options.factor = 4.0;
    options.soak = Duration::ZERO;
    let report = measure(options).await.expect("measured");
    let knee = report.knee.as_ref().expect("found");
    assert_eq!(knee.limited_by, Verdict::Errors, "{report}");
    assert!(knee.rate < 160 && report.soak.is_none(), "{report}");
    assert!(knee.text.contains("503"), "{}", knee.text);
}

#[tokio::test]
async fn a_template_is_tried_before_it_is_measured() {
    let url = start(None).await;
    let mut own = options(&url);
    own.mix = None;
    own.rate = Some(20);
    own.templates = vec![TemplateFile {
        name: "mine".to_owned(),
        source: "json".to_owned(),
        // Two records that no {each} tells of.
        text: br#"{"account":"a","amount":"{amount}"}
{"account":"b","amount":"{amount}"}"#
            .to_vec(),
    }];
    let report = measure(own.clone()).await.expect("measured");
    assert_eq!(report.mix, "mine:2=1");
    assert!(report.passed && report.sums.records_sent == 2 * report.sums.requests_sent);
    assert!(report.sums.not_compared.contains("built in"), "{report}");
    let miscounts = start_with(Lies {
        miscount_every: Some(1),
        ..Lies::default()
    });
    let mut counted = own.clone();
    counted.gateway = miscounts.await;
    counted.templates[0].text = br#"{each}{"account":"a","amount":"{amount}"}
{end}"#
        .to_vec();
    let error = measure(counted).await.expect_err("one too few");
    let GatewayBenchError::Records { meant, found, .. } = error else {
        panic!("{error}");
    };
    assert_eq!((meant, found), (10, 9));
    own.templates[0].source = "none".to_owned();
    let error = measure(own).await.expect_err("no such source").to_string();
    assert!(
        error.contains("404 to the first document of the kind mine"),
        "{error}"
    );
}

#[tokio::test]
async fn settings_are_checked_at_their_limits() {
    let wrong = |change: &dyn Fn(&mut GatewayBenchOptions)| {
        let mut options = options("http://127.0.0.1:1");
        change(&mut options);
        match check(&options) {
            Ok(()) => "",
            Err(GatewayBenchError::Option { name, .. }) => name,
            Err(_) => "another error",
        }
    };
    assert_eq!(wrong(&|_| {}), "");
    assert_eq!(wrong(&|options| options.start = 0), "start");
    assert_eq!(wrong(&|options| options.rate_max = 49), "rate_max");
    assert_eq!(wrong(&|options| options.rate_max = 10_000_000), "");
    assert_eq!(wrong(&|options| options.rate_max = 10_000_001), "rate_max");
    assert_eq!(wrong(&|options| options.factor = 1.05), "");
    assert_eq!(wrong(&|options| options.factor = 1.04), "factor");
    assert_eq!(wrong(&|options| options.factor = f64::NAN), "factor");
    assert_eq!(
        wrong(&|options| options.step = Duration::from_millis(99)),
        "step"
    );
    assert_eq!(
        wrong(&|options| options.step = Duration::from_millis(100)),
        ""
    );
    assert_eq!(
        wrong(&|options| options.step = Duration::from_secs(601)),
        "step"
    );
    assert_eq!(wrong(&|options| options.soak = SOAK_MAX), "");
    assert_eq!(
        wrong(&|options| options.soak = SOAK_MAX + Duration::from_secs(1)),
        "soak"
    );
    assert_eq!(
        wrong(&|options| options.connections = 10_001),
        "connections"
    );
    assert_eq!(wrong(&|options| options.accounts = 0), "accounts");
    assert_eq!(wrong(&|options| options.soak_percent = 201), "soak_percent");
    let both = |options: &mut GatewayBenchOptions| {
        (options.rate, options.soak) = (Some(5), Duration::ZERO);
    };
    assert_eq!(wrong(&both), "soak");
    let nobody = measure(options("http://127.0.0.1:1")).await;
    assert!(matches!(nobody, Err(GatewayBenchError::Gateway(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_soak_that_is_stopped_is_reported() {
    let url = start(None).await;
    let mut long = options(&url);
    long.rate = Some(50);
    long.soak = Duration::from_secs(3_600);
    let stop = CancellationToken::new();
    let running = tokio::spawn(run(long, Arc::new(Silent), stop.clone()));
    // Stopped as soon as something was sent: more than the trial's two requests.
    while crate::bench::tests::posted(&url).await < 10 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.cancel();
    let report = running.await.expect("no panic").expect("reported");
    let soak = report.soak.as_ref().expect("soaked");
    assert!(soak.seconds < 3_600.0 && soak.timeline.len() < 600);
}
