//! Replays what fuzzing found and keeps (`fuzz/corpus`): see `fuzz/README.md`.
#![allow(missing_docs, unreachable_pub)]

#[path = "../../../fuzz/checks/server.rs"]
mod checks;

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn selector() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/selector");
    let mut entries = 0;
    for entry in fs::read_dir(&dir).expect("a corpus") {
        let path = entry.expect("an entry").path();
        let data = fs::read(&path).expect("reads");
        // Names the entry when the check panics.
        let result = std::panic::catch_unwind(|| checks::selector(&data));
        assert!(result.is_ok(), "{}", path.display());
        entries += 1;
    }
    assert!(entries >= 100, "{entries} entries");
}

/// `SEEDS=<directory>`: writes the first corpus, one entry a selector, each with a message.
#[test]
fn seeds() {
    let Some(to) = std::env::var_os("SEEDS").map(PathBuf::from) else {
        return;
    };
    let dir = to.join("selector");
    fs::create_dir_all(&dir).expect("a directory");
    let mut folders = Vec::new();
    for folder in [
        "<mcd><Msd>jms_text</Msd><Type>kind</Type></mcd> ",
        "<jms><Dst>queue:///Q</Dst><Cid>corr-1</Cid><Pri>6</Pri><Gid>g</Gid><Seq>2</Seq></jms> ",
        "<usr><b dt='boolean'>1</b><n dt='i4'>7</n><d dt='r8'>0.5</d><a>v\u{e4}rde &amp; &#x41;</a>\
         <none xsi:nil='true'></none><empty/></usr>",
    ] {
        folders.extend_from_slice(&(folder.len() as u32).to_be_bytes());
        folders.extend_from_slice(folder.as_bytes());
    }
    let mut body = b"RFH \0\0\0\x02".to_vec();
    body.extend_from_slice(&(36 + folders.len() as u32).to_be_bytes());
    body.extend_from_slice(&[0; 24]);
    body.extend_from_slice(&folders);
    for (number, text) in [
        "a = 'v\u{e4}rde & A' AND b",
        "n BETWEEN 5 AND 7 OR n NOT BETWEEN 1 AND 0x7F",
        "a LIKE '%v_rd%' ESCAPE '\\' AND NOT a NOT LIKE 'x%'",
        "a IN ('p', 'q') OR a NOT IN ('it''s')",
        "none IS NULL AND empty IS NOT NULL AND missing = 1",
        "-n + 1.5E-3 * 2 / d <> .5 AND (n >= 7L OR d < 1)",
        "JMSPriority > 4 AND JMSType = 'kind' AND JMSXGroupSeq <= 2",
        "JMSCorrelationID = 'corr-1' AND JMSMessageID LIKE 'ID:%' AND JMSDeliveryMode = 'PERSISTENT'",
        "JMSXDeliveryCount = 2 AND JMS_IBM_Format <> '' AND JMSXUserID IS NOT NULL OR TRUE",
    ]
    .into_iter()
    .enumerate()
    {
        let length = (text.len() as u16).to_be_bytes();
        let seed = [&[0][..], &length, text.as_bytes(), &body].concat();
        fs::write(dir.join(format!("{number:05}")), seed).expect("writes");
    }
}
