//! The ready-made sources give exactly the counts and sums that an independent script found
//! (`EXPECTED.json` of the samples).

use std::collections::HashSet;

use crate::common::{Options, decode, ready_made, sample};
use mapping::rule;
use types::Amount;

/// Record count, and sum per currency (and sign, where the source has debits).
#[track_caller]
fn check(source: &str, file: &str, records: usize, expected: &[(&str, &str)]) {
    let mapping = ready_made(source);
    let decoded = decode(&mapping, &sample(file), &Options::default());
    assert_eq!(decoded.result, Ok(records as u64), "{}", decoded.text());
    let actual: Vec<(String, String)> = decoded
        .totals()
        .into_iter()
        .map(|(key, (_, sum))| (key, sum.to_string()))
        .collect();
    let expected: Vec<(String, String)> = expected
        .iter()
        .map(|(key, sum)| ((*key).to_owned(), (*sum).to_owned()))
        .collect();
    assert_eq!(actual, expected);
    let again = decode(&mapping, &sample(file), &Options::default());
    assert_eq!(again.out, decoded.out, "the same body gives the same bytes");
}

#[test]
fn cdnow() {
    // 69,659 records exceed one request; the sender cuts the file into pieces.
    let mapping = ready_made("cdnow");
    let body = String::from_utf8(sample("CDNOW_master.txt")).expect("UTF-8");
    let mut ids = HashSet::new();
    let mut customers = HashSet::new();
    let mut sum = Amount::ZERO;
    let mut records = 0;
    let lines: Vec<&str> = body.split_inclusive('\n').collect();
    for piece in lines.chunks(10_000) {
        let options = Options {
            first_record: records + 1,
            ..Options::default()
        };
        let decoded = decode(&mapping, piece.concat().as_bytes(), &options);
        records += decoded.result.clone().expect("readable");
        for object in decoded.objects() {
            ids.insert(object["id"].as_str().expect("an id").to_owned());
            customers.insert(object["account"].as_str().expect("an account").to_owned());
            let amount =
                Amount::parse(object["amount"].as_str().expect("text")).expect("an amount");
            sum = sum.checked_add(amount).expect("no overflow");
        }
    }
    assert_eq!(
        (records, ids.len(), customers.len()),
        (69_659, 69_659, 23_570)
    );
    assert_eq!(sum.to_string(), "2500315.63");
}

#[test]
fn camt_053_version_8() {
    check("camt.053", "camt053.v8.xml", 1, &[("EUR +", "8.85")]);
}

#[test]
fn camt_053_version_4() {
    let file = "camt.053_P_CH2909000000250094239_1110092698_0_2020112503071366.xml";
    check(
        "camt.053",
        file,
        5,
        &[("CHF +", "4733.72"), ("CHF -", "-77.70")],
    );
}

#[test]
fn camt_053_version_2() {
    let expected = [
        ("EUR -", "-29.06"),
        ("USD +", "100.00"),
        ("USD -", "-40.00"),
    ];
    check("camt.053", "camt053_001_02.xml", 15, &expected);
}

#[test]
fn camt_054_version_4() {
    let file = "200519_camt.054-Credit_P_CH2909000000250094239_1110092691_0_2019042421291293.xml";
    check("camt.054", file, 1, &[("CHF +", "1500.00")]);
}

#[test]
fn pain_001_version_3_with_byte_order_mark() {
    check(
        "pain.001",
        "International_payment_USD_naujas_1.xml",
        1,
        &[("USD +", "111.11")],
    );
}

#[test]
fn pain_001_version_8() {
    check("pain.001", "pain001_001_08.xml", 1, &[("GBP +", "10.00")]);
}

#[test]
fn pacs_008_made_up() {
    let expected = [("EUR +", "1250.75"), ("JPY +", "5000.00")];
    check("pacs.008", "pacs.008.001.08-made-up.xml", 3, &expected);
}

#[test]
fn pain_008_of_six() {
    check(
        "pain.008",
        "pain008-musterfile.xml",
        2,
        &[("CHF +", "4.50")],
    );
}

#[test]
fn mt940_dialects() {
    let check = |file, records, expected: &[(&str, &str)]| {
        check("mt940", &format!("swift-mt/{file}"), records, expected);
    };
    check("abnamro.sta", 10, &[("EUR -", "-345.93")]);
    check("generic.sta", 2, &[("EUR -", "-20.00")]);
    check("ing.sta", 7, &[("EUR +", "4.68"), ("EUR -", "-50.27")]);
    check("mt940.sta", 3, &[("PLN +", "0.03")]);
    check("february_30.sta", 1, &[("EUR -", "-6.00")]);
}

#[test]
fn mt942() {
    check("mt942", "swift-mt/mt942.sta", 3, &[("PLN +", "0.03")]);
}

#[test]
fn mt101() {
    check("mt101", "swift-mt/MT101.fin", 1, &[("CNY +", "14.00")]);
}

#[test]
fn treasury_messages_are_no_transactions() {
    for file in ["MT305.fin", "SWIFTMT300_0000039099_0002.txt"] {
        for source in ["mt101", "mt103", "mt202", "mt940", "mt942"] {
            let body = sample(&format!("swift-mt/{file}"));
            let decoded = decode(&ready_made(source), &body, &Options::default());
            let rule = decoded.result.map_err(|refusal| refusal.rule);
            assert_eq!(rule, Err(rule::MESSAGE_TYPE), "{source} {file}");
        }
    }
}

#[test]
fn ofx() {
    check("ofx", "ofx/bank_medium.ofx", 3, &[("CAD -", "-345.27")]);
    let expected = [("USD +", "0.01"), ("USD -", "-59.51")];
    check("ofx", "ofx/checking.ofx", 3, &expected);
}

#[test]
fn nacha() {
    let file = "nacha/201805101354.ach";
    check("nacha", file, 5_000, &[("USD +", "5000000.00")]);
    check("nacha", "nacha/ccd-debit.ach", 2, &[("USD -", "-5001.25")]);
    check(
        "nacha",
        "nacha/ppd-debit.ach",
        1,
        &[("USD -", "-2000000.00")],
    );
}

#[test]
fn status_reports_are_no_transactions() {
    for (source, file) in [
        ("pacs.008", "valid_pacs_v11.xml"),
        ("pain.001", "valid_pain_v11.xml"),
    ] {
        let decoded = decode(&ready_made(source), &sample(file), &Options::default());
        assert!(decoded.outcomes.is_empty());
        assert_eq!(
            decoded.result.map_err(|refusal| refusal.rule),
            Err(rule::NAMESPACE)
        );
    }
}

#[test]
fn messages_without_transactions() {
    let empty = |source: &str, namespace: &str, inner: &str| {
        let body = format!(
            "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:{namespace}\">{inner}</Document>"
        );
        let decoded = decode(&ready_made(source), body.as_bytes(), &Options::default());
        decoded.result.map_err(|refusal| refusal.rule)
    };
    let pain = "<CstmrCdtTrfInitn><GrpHdr><MsgId>1</MsgId></GrpHdr></CstmrCdtTrfInitn>";
    assert_eq!(
        empty("pain.001", "pain.001.001.09", pain),
        Err(rule::NO_RECORDS)
    );
    let pacs = "<FIToFICstmrCdtTrf><GrpHdr><MsgId>1</MsgId></GrpHdr></FIToFICstmrCdtTrf>";
    assert_eq!(
        empty("pacs.008", "pacs.008.001.08", pacs),
        Err(rule::NO_RECORDS)
    );
    // A statement of a quiet day.
    let camt = "<BkToCstmrStmt><Stmt><Id>1</Id></Stmt></BkToCstmrStmt>";
    assert_eq!(empty("camt.053", "camt.053.001.08", camt), Ok(0));
}

#[test]
fn every_ready_made_source_compiles() {
    let folder = format!("{}/../../config/sources", env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("readable").path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let text = std::fs::read_to_string(&path).expect("readable");
            sources.push(
                crate::common::compile(&path.to_string_lossy(), &text)
                    .source()
                    .to_owned(),
            );
        }
    }
    sources.sort();
    let expected = [
        "avro", "camt.052", "camt.053", "camt.054", "card-csv", "cdnow", "copybook", "iso8583",
        "json", "mt101", "mt103", "mt202", "mt940", "mt942", "nacha", "ofx", "pacs.003",
        "pacs.008", "pacs.009", "pain.001", "pain.008", "protobuf",
    ];
    assert_eq!(sources, expected);
}
