//! The life of connectors: what is begun, ended, kept, and shown.
#![allow(missing_docs)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use connect_api::{State, SupervisorOptions, TargetState, Variables, Worker};
use serde_json::{Value, json};
use support::{FakeEngine, api, call, config, options, patient, supervisor, with_options};

/// The connector's state, its tasks' states, and the traces that there are.
fn shown(status: &Value) -> String {
    let mut text = status["connector"]["state"]
        .as_str()
        .unwrap_or("none")
        .to_owned();
    for task in status["tasks"].as_array().expect("tasks") {
        text += &format!(" {}", task["state"].as_str().expect("a state"));
        if let Some(trace) = task["trace"].as_str() {
            text += &format!("({trace})");
        }
    }
    if let Some(trace) = status["connector"]["trace"].as_str() {
        text += &format!(": {trace}");
    }
    text
}

#[tokio::test]
async fn a_connector_lives_as_it_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = FakeEngine::default();
    let worker = supervisor(directory.path(), &engine);
    let api = api(&worker);
    let status = async || shown(&call(&api, "GET", "/connectors/c/status", None).await.1);
    let mut two = config("t1");
    two["tasks.max"] = json!(2);
    let (code, made) = call(
        &api,
        "POST",
        "/connectors",
        Some(json!({"name": "c", "config": two})),
    )
    .await;
    assert_eq!(
        (code, made["tasks"].as_array().map(Vec::len)),
        (201, Some(2))
    );
    assert_eq!(status().await, "RUNNING RUNNING RUNNING");
    assert_eq!(call(&api, "PUT", "/connectors/c/pause", None).await.0, 202);
    assert_eq!(status().await, "PAUSED PAUSED PAUSED");
    assert_eq!(call(&api, "PUT", "/connectors/c/pause", None).await.0, 202);
    // A change of what is paused begins nothing.
    assert_eq!(
        call(&api, "PUT", "/connectors/c/config", Some(config("t2")))
            .await
            .0,
        200
    );
    assert_eq!(status().await, "PAUSED PAUSED");
    assert_eq!(call(&api, "PUT", "/connectors/c/resume", None).await.0, 202);
    assert_eq!(
        call(
            &api,
            "PATCH",
            "/connectors/c/config",
            Some(json!({"topic": "t3"}))
        )
        .await
        .0,
        200
    );
    assert_eq!(call(&api, "PUT", "/connectors/c/stop", None).await.0, 204);
    assert_eq!(status().await, "STOPPED");
    assert_eq!(
        call(
            &api,
            "POST",
            "/connectors/c/restart?includeTasks=true",
            None
        )
        .await
        .0,
        202
    );
    assert_eq!(status().await, "STOPPED");
    assert_eq!(call(&api, "DELETE", "/connectors/c", None).await.0, 204);
    assert_eq!(
        engine.log(),
        [
            "start c t1",
            "stop c",
            "start c t2",
            "stop c",
            "start c t3",
            "stop c"
        ]
    );
}

#[tokio::test]
async fn what_was_told_holds_after_a_restart_of_the_process() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = FakeEngine::default();
    {
        let worker = supervisor(directory.path(), &first);
        let api = api(&worker);
        for name in ["runs", "pauses", "stops", "goes"] {
            let path = format!("/connectors/{name}/config");
            assert_eq!(call(&api, "PUT", &path, Some(config(name))).await.0, 201);
        }
        call(&api, "PUT", "/connectors/pauses/pause", None).await;
        call(&api, "PUT", "/connectors/stops/stop", None).await;
        call(&api, "DELETE", "/connectors/goes", None).await;
        worker.end().await;
        assert!(
            first.log().ends_with(&["stop runs".to_owned()]),
            "{:?}",
            first.log()
        );
    }
    let engine = FakeEngine::default();
    let worker = supervisor(directory.path(), &engine);
    let api = api(&worker);
    let before = call(&api, "GET", "/connectors/runs/status", None).await.1;
    assert_eq!(shown(&before), "RESTARTING RESTARTING");
    worker.begin().await;
    assert_eq!(engine.log(), ["start runs runs"]);
    let (_, all) = call(&api, "GET", "/connectors?expand=status", None).await;
    let states: Vec<String> = all
        .as_object()
        .expect("an object")
        .iter()
        .map(|(name, one)| format!("{name} {}", shown(&one["status"])))
        .collect();
    assert_eq!(
        states,
        [
            "pauses PAUSED PAUSED",
            "runs RUNNING RUNNING",
            "stops STOPPED"
        ]
    );
}

#[tokio::test]
async fn a_failure_is_shown_and_stays_until_somebody_restarts_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = FakeEngine::default();
    let worker = supervisor(directory.path(), &engine);
    let api = api(&worker);
    let script = || engine.0.lock().expect("whole");
    script()
        .refuse
        .insert("c".to_owned(), "/x.pem is no certificate".to_owned());
    let mut two = config("t");
    two["tasks.max"] = json!(2);
    let (code, made) = call(&api, "PUT", "/connectors/c/config", Some(two)).await;
    assert_eq!((code, &made["tasks"]), (201, &json!([])));
    let status = async || shown(&call(&api, "GET", "/connectors/c/status", None).await.1);
    assert_eq!(status().await, "FAILED: /x.pem is no certificate");
    assert_eq!(
        call(&api, "POST", "/connectors/c/restart", None).await.0,
        204
    );
    assert_eq!(status().await, "FAILED: /x.pem is no certificate");
    script().refuse.clear();
    // The connector alone is restarted where it could not begin.
    let (code, restarting) =
        call(&api, "POST", "/connectors/c/restart?onlyFailed=true", None).await;
    assert_eq!((code, shown(&restarting)), (202, "RESTARTING".to_owned()));
    assert_eq!(status().await, "RUNNING RUNNING RUNNING");
    script()
        .failed
        .insert(("c".to_owned(), 1), "poison".to_owned());
    assert_eq!(status().await, "RUNNING RUNNING FAILED(poison)");
    let (_, task) = call(&api, "GET", "/connectors/c/tasks/1/status", None).await;
    assert_eq!(
        (&task["state"], &task["trace"]),
        (&json!("FAILED"), &json!("poison"))
    );
    assert_eq!(
        call(&api, "POST", "/connectors/c/tasks/1/restart", None)
            .await
            .0,
        204
    );
    assert_eq!(status().await, "RUNNING RUNNING RUNNING");
    let starts = engine.log().len();
    // Nothing has failed, so nothing is restarted; nor is it without its tasks.
    call(
        &api,
        "POST",
        "/connectors/c/restart?includeTasks=true&onlyFailed=true",
        None,
    )
    .await;
    call(&api, "POST", "/connectors/c/restart", None).await;
    assert_eq!(engine.log().len(), starts);
    let (code, restarting) = call(
        &api,
        "POST",
        "/connectors/c/restart?includeTasks=true",
        None,
    )
    .await;
    assert_eq!(
        (code, shown(&restarting)),
        (202, "RESTARTING RESTARTING RESTARTING".to_owned())
    );
    assert_eq!(engine.log().len(), starts + 2);
}

#[tokio::test]
async fn a_configuration_that_is_refused_changes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = FakeEngine::default();
    let worker = supervisor(directory.path(), &engine);
    let api = api(&worker);
    call(&api, "PUT", "/connectors/c/config", Some(config("t"))).await;
    let mut wrong = config("t2");
    wrong["mq.connection.mode"] = json!("bindings");
    wrong["transforms"] = json!("route");
    let (code, body) = call(&api, "PUT", "/connectors/c/config", Some(wrong)).await;
    assert_eq!(code, 400);
    let message = body["message"].as_str().expect("a message");
    let lines: Vec<&str> = message.lines().collect();
    assert_eq!(
        lines[0],
        "Connector configuration is invalid and contains the following 2 error(s):"
    );
    assert!(
        lines[1].starts_with("transforms: ") && lines[2].starts_with("mq.connection.mode: "),
        "{message}"
    );
    let removed = json!({"topic": null});
    assert_eq!(
        call(&api, "PATCH", "/connectors/c/config", Some(removed))
            .await
            .0,
        400
    );
    let renamed = json!({"name": "d"});
    assert_eq!(
        call(&api, "PATCH", "/connectors/c/config", Some(renamed))
            .await
            .0,
        400
    );
    assert_eq!(engine.log(), ["start c t"]);
    assert_eq!(
        call(&api, "GET", "/connectors/c/config", None).await.1["topic"],
        "t"
    );
}

#[tokio::test]
async fn topics_and_offsets_are_the_engine_s() {
    let directory = tempfile::tempdir().expect("a directory");
    let worker = supervisor(directory.path(), &FakeEngine::default());
    let api = api(&worker);
    call(&api, "PUT", "/connectors/c/config", Some(config("t"))).await;
    let topics = async || call(&api, "GET", "/connectors/c/topics", None).await.1;
    assert_eq!(topics().await, json!({"c": {"topics": ["t"]}}));
    assert_eq!(
        call(&api, "PUT", "/connectors/c/topics/reset", None)
            .await
            .0,
        202
    );
    assert_eq!(topics().await, json!({"c": {"topics": []}}));
    assert_eq!(
        call(&api, "GET", "/connectors/c/offsets", None).await,
        (
            200,
            json!({"offsets": [{"partition": {"source": "QM1/APP.IN"}, "offset": {"delivered": 7}}]})
        )
    );
}

#[tokio::test]
async fn operations_come_one_after_the_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = FakeEngine::default();
    let worker = supervisor(directory.path(), &engine);
    let api = api(&worker);
    call(&api, "PUT", "/connectors/c/config", Some(config("t"))).await;
    let changes = (0..20).map(|number| {
        let api = api.clone();
        tokio::spawn(async move {
            let path = match number % 3 {
                0 => "/connectors/c/pause",
                1 => "/connectors/c/resume",
                _ => "/connectors/c/stop",
            };
            call(&api, "PUT", path, None).await
        })
    });
    for change in changes.collect::<Vec<_>>() {
        change.await.expect("answers");
    }
    // Never two at a time: begins and ends take turns.
    for pair in engine.log().windows(2) {
        assert_ne!(
            pair[0].split(' ').next(),
            pair[1].split(' ').next(),
            "{:?}",
            engine.log()
        );
    }
    worker
        .set_target("c", TargetState::Running)
        .await
        .expect("known");
    assert_eq!(
        worker.status("c").expect("known").connector.state,
        State::Running
    );
}

#[tokio::test]
async fn a_registry_that_cannot_be_written_is_an_answer_and_changes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = FakeEngine::default();
    let worker = supervisor(directory.path(), &engine);
    let api = api(&worker);
    call(&api, "PUT", "/connectors/c/config", Some(config("t"))).await;
    // A directory stands where the file is to be written.
    std::fs::create_dir(directory.path().join("connectors.json.tmp")).expect("makes");
    let (code, body) = call(&api, "PUT", "/connectors/c/pause", None).await;
    assert_eq!(code, 500);
    assert!(
        body["message"]
            .as_str()
            .is_some_and(|text| text.contains("cannot be written: cannot create")),
        "{body}"
    );
    let (_, status) = call(&api, "GET", "/connectors/c/status", None).await;
    assert_eq!(shown(&status), "RUNNING RUNNING");
    assert_eq!(engine.log(), ["start c t"]);
}

#[tokio::test]
async fn a_connector_that_does_not_end_is_let_go_after_the_stop_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = FakeEngine::default();
    let worker = patient(directory.path(), &engine, Duration::from_millis(50));
    let api = api(&worker);
    call(&api, "PUT", "/connectors/c/config", Some(config("t1"))).await;
    engine.0.lock().expect("whole").hold_stop = Some(Arc::new(tokio::sync::Semaphore::new(0)));
    assert_eq!(
        call(&api, "PUT", "/connectors/c/config", Some(config("t2")))
            .await
            .0,
        200
    );
    assert_eq!(engine.log(), ["start c t1", "start c t2"]);
    let (_, status) = call(&api, "GET", "/connectors/c/status", None).await;
    assert_eq!(shown(&status), "RUNNING RUNNING");
}

#[tokio::test]
async fn variables_are_replaced_when_a_connector_begins_and_stay_in_the_registry() {
    let directory = tempfile::tempdir().expect("a directory");
    let secrets = directory.path().join("secrets");
    std::fs::create_dir(&secrets).expect("makes");
    let file = secrets.join("mq.properties");
    std::fs::write(&file, "topic=first\npassword=geheim\n").expect("writes");
    let engine = FakeEngine::default();
    let registry = directory.path().join("registry");
    let options = SupervisorOptions {
        variables: Variables {
            directories: vec![secrets],
            ..Variables::default()
        },
        ..options()
    };
    let worker = with_options(&registry, &engine, options);
    let api = api(&worker);
    let variable = |key: &str| json!(format!("${{file:{}:{key}}}", file.display()));
    let mut asked = config("t");
    asked["topic"] = variable("topic");
    asked["mq.password"] = variable("password");
    let (code, made) = call(&api, "PUT", "/connectors/c/config", Some(asked.clone())).await;
    assert_eq!((code, &made["config"]["topic"]), (201, &asked["topic"]));
    let kept = std::fs::read_to_string(registry.join("connectors.json")).expect("reads");
    assert!(
        !kept.contains("geheim") && !kept.contains("first"),
        "{kept}"
    );
    // Looked at anew with each beginning.
    std::fs::write(&file, "topic=second\npassword=geheim\n").expect("writes");
    call(
        &api,
        "POST",
        "/connectors/c/restart?includeTasks=true",
        None,
    )
    .await;
    std::fs::remove_file(&file).expect("removes");
    call(
        &api,
        "POST",
        "/connectors/c/restart?includeTasks=true",
        None,
    )
    .await;
    assert_eq!(
        engine.log(),
        ["start c first", "stop c", "start c second", "stop c"]
    );
    let (_, status) = call(&api, "GET", "/connectors/c/status", None).await;
    assert!(
        shown(&status).contains("is in no directory that variables may name here"),
        "{status}"
    );
    let (code, body) = call(&api, "PUT", "/connectors/d/config", Some(asked)).await;
    assert_eq!(code, 400, "{body}");
}
