//! NACHA files as they come, and with a line lost, doubled or changed.

use crate::common::{Options, decode, ready_made, sample};
use expect_test::{Expect, expect};
use mapping::{Mapping, rule};

fn text(mapping: &Mapping, body: &str) -> String {
    decode(mapping, body.as_bytes(), &Options::default()).text()
}

#[track_caller]
fn check(mapping: &Mapping, body: &str, expected: Expect) {
    expected.assert_eq(&text(mapping, body));
}

fn ach(file: &str) -> String {
    String::from_utf8(sample(&format!("nacha/{file}"))).expect("ASCII")
}

fn rule_of(source: &str, body: &str) -> Option<&'static str> {
    let decoded = decode(&ready_made(source), body.as_bytes(), &Options::default());
    decoded.result.err().map(|refusal| refusal.rule)
}

#[test]
fn ach_files_without_line_ends_or_trailing_blanks() {
    let nacha = ready_made("nacha");
    for file in ["ccd-debit.ach", "ppd-debit.ach"] {
        let body = ach(file);
        let expected = text(&nacha, &body);
        assert_eq!(text(&nacha, &body.replace('\n', "")), expected);
        assert_eq!(text(&nacha, &body.replace('\n', "\r\n")), expected);
        let cut: String = body
            .lines()
            .map(|line| format!("{}\n", line.trim_end()))
            .collect();
        assert_eq!(text(&nacha, &cut), expected);
        // Padding is not needed.
        let bare: Vec<&str> = body
            .lines()
            .filter(|line| !line.starts_with("9999"))
            .collect();
        assert_eq!(text(&nacha, &bare.join("\n")), expected);
    }
}

/// No line of a file can be lost, doubled, or have its amount changed.
#[test]
fn ach_control_totals_notice_every_line() {
    let body = ach("ccd-debit.ach");
    let lines: Vec<&str> = body.lines().take(6).collect();
    let total = Some(rule::CONTROL_TOTAL);
    for index in 0..lines.len() {
        let mut without = lines.clone();
        let line = without.remove(index);
        let found = rule_of("nacha", &without.join("\n"));
        assert!(
            found == total || found == Some(rule::FIXED),
            "without line {index}: {found:?}"
        );
        let mut twice = lines.clone();
        twice.insert(index, line);
        let found = rule_of("nacha", &twice.join("\n"));
        assert!(
            found == total || found == Some(rule::FIXED),
            "twice line {index}: {found:?}"
        );
    }
    assert_eq!(
        rule_of("nacha", &body.replacen("0000500000", "0000500001", 1)),
        total
    );
    assert_eq!(
        rule_of(
            "nacha",
            &body.replacen("627231380104744", "627231380204744", 1)
        ),
        total
    );
    assert_eq!(
        rule_of("nacha", &body.replacen("627231380104", "622231380104", 1)),
        total
    );
    assert_eq!(rule_of("nacha", &body), None);
}

/// Whatever a file's sums are, the code says which way money goes; returns say why.
#[test]
fn credits_debits_and_returns() {
    let entry = |code: &str, addenda: bool, amount: u64, trace: u64| {
        format!(
            "6{code}23138010481967038518      {amount:010}#83738AB#      Steven Tander           {}{trace:015}\n",
            u8::from(addenda)
        )
    };
    let hash = 23_138_010 * 3;
    let lines = [
        "101 231380104 1210428822611230905A094101Citadel                Wells Fargo\n".to_owned(),
        "5200Wells Fargo                         121042882 PPDTrans. Des      261124   1121042880000001\n".to_owned(),
        entry("32", false, 100_050, 1),
        entry("27", true, 2_500, 2),
        "705bonus pay                                                                       00010000002\n".to_owned(),
        entry("26", true, 70, 3),
        "799R01121042880000001      12104288                                            121042880000003\n".to_owned(),
        format!("8200{:06}{hash:010}{:012}{:012}121042882                          121042880000001\n", 5, 2_570, 100_050),
        format!("9000001000001{:08}{hash:010}{:012}{:012}\n", 5, 2_570, 100_050),
    ];
    check(
        &ready_made("nacha"),
        &lines.concat(),
        expect![[r##"
        {"id":"121042882/261123/0905/A/1","source":"nacha","account":"231380104-81967038518","amount":"1000.50","currency":"USD","booked_at":"2026-11-23T12:00:00Z","received_at":"2026-11-23T12:00:00.000000Z","effective_date":"261124","transaction_code":"32","sec_code":"PPD","company":"Wells Fargo","company_id":"121042882","description":"Trans. Des","individual_id":"#83738AB#","individual":"Steven Tander","trace_number":"000000000000001"}
        {"id":"121042882/261123/0905/A/2","source":"nacha","account":"231380104-81967038518","amount":"-25.00","currency":"USD","booked_at":"2026-11-23T12:00:00Z","received_at":"2026-11-23T12:00:00.000000Z","effective_date":"261124","transaction_code":"27","sec_code":"PPD","company":"Wells Fargo","company_id":"121042882","description":"Trans. Des","individual_id":"#83738AB#","individual":"Steven Tander","trace_number":"000000000000002","information":"bonus pay"}
        {"id":"121042882/261123/0905/A/3","source":"nacha","account":"231380104-81967038518","amount":"-0.70","currency":"USD","booked_at":"2026-11-23T12:00:00Z","received_at":"2026-11-23T12:00:00.000000Z","effective_date":"261124","transaction_code":"26","sec_code":"PPD","company":"Wells Fargo","company_id":"121042882","description":"Trans. Des","individual_id":"#83738AB#","individual":"Steven Tander","trace_number":"000000000000003","return_code":"R01"}
    "##]],
    );
}
