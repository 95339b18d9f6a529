//! The tables of `docs/specs/kafka.md`, generated from the code and compared with the file. `UPDATE_EXPECT=1` writes
//! them.

use std::path::PathBuf;

use kafka_protocol::messages::ApiKey;

use crate::api::APIS;
use crate::config::BrokerConfig;
use crate::topic_config::{self, Defaults};

/// Above every API key there is.
const KEYS: std::ops::Range<i16> = 0..100;

/// API key by API key: what is answered.
fn apis() -> String {
    let mut out = String::from("| key | API | versions | |\n| --- | --- | --- | --- |\n");
    for key in KEYS {
        let Ok(api) = ApiKey::try_from(key) else {
            continue;
        };
        let found = APIS.iter().find(|found| found.key as i16 == key);
        let (versions, state) = match found {
            Some(api) if api.min == api.max => (api.min.to_string(), "supported"),
            Some(api) => (format!("{}-{}", api.min, api.max), "supported"),
            None => ("-".to_owned(), "refused"),
        };
        out.push_str(&format!("| {key} | {api:?} | {versions} | {state} |\n"));
    }
    out
}

/// Puts `table` between the two comments that name it.
fn replaced(text: &str, name: &str, table: &str) -> String {
    let (begin, end) = (
        format!("<!-- {name} -->\n"),
        format!("<!-- end of {name} -->"),
    );
    let (before, rest) = text.split_once(&begin).expect("the table's begin");
    let (_, after) = rest.split_once(&end).expect("the table's end");
    format!("{before}{begin}{table}{end}{after}")
}

#[test]
fn the_specification_says_what_the_code_does() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/specs/kafka.md");
    let old = std::fs::read_to_string(&path).expect("the specification");
    let config = BrokerConfig::new(([127, 0, 0, 1], 0).into(), "");
    let new = replaced(&old, "apis", &apis());
    let new = replaced(
        &new,
        "settings",
        &topic_config::table(&Defaults::of(&config)),
    );
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, new).expect("written");
    } else {
        assert_eq!(
            old, new,
            "run with UPDATE_EXPECT=1 to write the tables anew"
        );
    }
}
