//! Checks of fields, and control totals of documents.

use crate::common::{Options, compile, decode, ready_made, sample};
use expect_test::{Expect, expect};
use mapping::Mapping;

const BASE: &str = "[fields.amount]\nfrom = \"amount\"\n[fields.currency]\nconst = \"EUR\"\n\
    [fields.booked_at]\nconst = \"2026-11-23\"\nzone = \"UTC\"\nat = \"12:00\"\n";

/// What a check says of a text, or `fine`.
fn says(check: &str, text: &str) -> String {
    let mapping = compile(
        "t.toml",
        &format!(
            "source = \"t\"\nformat = \"json\"\n{BASE}[fields.account]\nfrom = \"account\"\ncheck = {check}\n"
        ),
    );
    let body = format!("{{\"account\":\"{text}\",\"amount\":1}}");
    let text = decode(&mapping, body.as_bytes(), &Options::default()).text();
    match text.strip_prefix("record 1, line 1, field account: ") {
        Some(refusal) => refusal.trim_end().to_owned(),
        None => "fine".to_owned(),
    }
}

#[test]
fn a_check_says_what_is_wrong_and_not_the_number() {
    let all: String = [
        ("\"iban\"", "HR1210010051863000160"),
        ("\"iban\"", "HR1310010051863000160"),
        ("\"iban\"", "HR121001005186300016"),
        ("\"iban\"", "HR12 1001 0051 8630 0016 0"),
        ("\"iban\"", "US12100100518630001"),
        ("\"iban\"", "hr1210010051863000160"),
        ("\"iban\"", "H"),
        ("\"bic\"", "ZABAHR2X"),
        ("\"bic\"", "ZABAHR2XX"),
        ("\"bic\"", "ZABA1R2X"),
        ("\"oib\"", "33392005961"),
        ("\"oib\"", "33392005962"),
        ("\"oib\"", "3339200596"),
        ("\"luhn\"", "4111111111111111"),
        ("\"luhn\"", "4111111111111112"),
        ("\"luhn\"", "4111-1111"),
        ("\"lei\"", "5493001KJTIIGC8Y1R12"),
        ("\"lei\"", "5493001KJTIIGC8Y1R21"),
        ("\"lei\"", "5493001KJTIIGC8Y1R1"),
        ("\"currency\"", "HRK"),
        ("\"currency\"", "EURO"),
        ("{ pattern = \"[A-Z]+-[0-9]+\" }", "AB-12"),
        ("{ pattern = \"[A-Z]+-[0-9]+|x\" }", "xAB-12-secret-number"),
        ("{ in = [\"a\", \"b\"] }", "b"),
        ("{ in = [\"a\", \"b\"] }", "c"),
        ("{ digits = 8 }", "12345678"),
        ("{ digits = 8 }", "123456789"),
        ("{ digits = [2, 3] }", "1"),
        ("{ digits = [2, 3] }", "1x"),
        ("{ min_length = 2, max_length = 4 }", "žžžž"),
        ("{ min_length = 2, max_length = 4 }", "žžžžž"),
        ("{ max_length = 4 }", "12345"),
        ("{ min_length = 4 }", "123"),
        (
            "[\"iban\", { pattern = \"HR.*\" }]",
            "DE89370400440532013000",
        ),
    ]
    .iter()
    .map(|(check, text)| format!("{check} {text}: {}\n", says(check, text)))
    .collect();
    expect![[r#"
        "iban" HR1210010051863000160: fine
        "iban" HR1310010051863000160: the check digits of "HR13…60" should be 12, not 13: a character is wrong, or two are swapped (iban)
        "iban" HR121001005186300016: "HR12…16" has 20 characters, an IBAN of HR has 21 (iban)
        "iban" HR12 1001 0051 8630 0016 0: "HR12… 0" has ' ' in place 5, only A to Z and 0 to 9 are allowed (iban)
        "iban" US12100100518630001: "US12…01" does not begin with a country that has IBANs (iban)
        "iban" hr1210010051863000160: "hr12…60" has 'h' in place 1, only A to Z and 0 to 9 are allowed (iban)
        "iban" H: "…" does not begin with a country that has IBANs (iban)
        "bic" ZABAHR2X: fine
        "bic" ZABAHR2XX: "…XX" has 9 characters, a BIC has 8 or 11 (bic)
        "bic" ZABA1R2X: "…2X" has "1R" in places 5 and 6, where the two letters of its country belong (bic)
        "oib" 33392005961: fine
        "oib" 33392005962: the check digit of "…62" should be 1, not 2: a character is wrong, or two are swapped (oib)
        "oib" 3339200596: "…96" has 10 digits, an OIB has 11 (oib)
        "luhn" 4111111111111111: fine
        "luhn" 4111111111111112: the check digit of "4111…12" should be 1, not 2: a character is wrong, or two are swapped (luhn)
        "luhn" 4111-1111: "…11" has '-' in place 5, only digits are allowed (luhn)
        "lei" 5493001KJTIIGC8Y1R12: fine
        "lei" 5493001KJTIIGC8Y1R21: the check digits of "5493…21" should be 12, not 21: a character is wrong, or two are swapped (lei)
        "lei" 5493001KJTIIGC8Y1R1: "5493…R1" has 19 characters, a LEI has 20 (lei)
        "currency" HRK: fine
        "currency" EURO: "EURO" is no ISO 4217 currency code such as EUR (currency)
        { pattern = "[A-Z]+-[0-9]+" } AB-12: fine
        { pattern = "[A-Z]+-[0-9]+|x" } xAB-12-secret-number: "xAB-…er" does not fit the pattern [A-Z]+-[0-9]+|x from its first to its last character (pattern)
        { in = ["a", "b"] } b: fine
        { in = ["a", "b"] } c: "c" is none of a, b (choice)
        { digits = 8 } 12345678: fine
        { digits = 8 } 123456789: "…89" has 9 digits, 8 are expected (digits)
        { digits = [2, 3] } 1: "…" has 1 digits, 2 to 3 are expected (digits)
        { digits = [2, 3] } 1x: "…" has 'x' in place 2, only digits are allowed (digits)
        { min_length = 2, max_length = 4 } žžžž: fine
        { min_length = 2, max_length = 4 } žžžžž: "…žž" has 5 characters, 2 to 4 are expected (length)
        { max_length = 4 } 12345: "…45" has 5 characters, at most 4 are expected (length)
        { min_length = 4 } 123: "…" has 3 characters, at least 4 are expected (length)
        ["iban", { pattern = "HR.*" }] DE89370400440532013000: "DE89…00" does not fit the pattern HR.* from its first to its last character (pattern)
    "#]].assert_eq(&all);
}

#[test]
fn mistakes_of_checks_are_told_with_their_place() {
    let text = format!(
        "source = \"t\"\nformat = \"json\"\n{BASE}[fields.account]\nfrom = \"account\"\n\
         check = [\"ibn\", \"isin\", {{ pattern = \"(\" }}, {{ digits = [3, 2] }}, {{ max_lenght = 3 }}, {{ min_length = 3, max_length = 2 }}, 7]\n\
         [[control]]\ncount = \"/n\"\n[[control]]\n[[control]]\nsum = \"n\"\n"
    );
    let errors = Mapping::compile("t.toml", &text).expect_err("mistakes");
    let errors: String = errors.iter().map(|error| format!("{error}\n")).collect();
    expect![[r#"
        t.toml:13:10: fields.account.check: there is no check "ibn"; did you mean "iban"?
        t.toml:13:17: fields.account.check: there is no check "isin"; a check is "iban", "bic", "oib", "luhn", "lei", "currency", { pattern = "…" }, { in = ["a", "b"] }, { digits = 8 }, { digits = [6, 8] }, { min_length = 1, max_length = 35 }, or a list of these
        t.toml:13:37: fields.account.check.pattern: the pattern is wrong: unclosed group
          | (
          | ^
        t.toml:13:44: fields.account.check.digits: the least number, 3, is more than the most, 2
        t.toml:13:65: fields.account.check.pattern: a check is "iban", "bic", "oib", "luhn", "lei", "currency", { pattern = "…" }, { in = ["a", "b"] }, { digits = 8 }, { digits = [6, 8] }, { min_length = 1, max_length = 35 }, or a list of these
        t.toml:13:67: fields.account.check.max_lenght: unknown key, did you mean `max_length`?
        t.toml:13:116: fields.account.check.max_length: a whole number from 3 to 4096 is expected
        t.toml:13:121: fields.account.check: a check is "iban", "bic", "oib", "luhn", "lei", "currency", { pattern = "…" }, { in = ["a", "b"] }, { digits = 8 }, { digits = [6, 8] }, { min_length = 1, max_length = 35 }, or a list of these
        t.toml:15:9: control.count: "/n" begins at the top of the document, but each document is a record here: write it without the first /
        t.toml:16:1: control: a control has the path of a `count`, of a `sum`, or of both
        t.toml:18:7: control.sum: "n" is inside of the record; a total stands around the records: "/…"
    "#]].assert_eq(&errors);
}

#[track_caller]
fn check_totals(body: &str, expected: Expect) {
    let mapping = compile(
        "t.toml",
        &format!(
            "source = \"t\"\nformat = \"json\"\nrecords = \"/batches/items\"\n\
             skip = [{{ from = \"status\", is = \"declined\" }}]\n{}[fields.account]\nfrom = \"account\"\n\
             [identity]\nnatural = [\"@number\"]\n\
             [[control]]\ncount = \"/count\"\nsum = \"/sum\"\n[[control]]\ncount = \"/batches/count\"\nsum = \"/batches/sum\"\n",
            BASE.replace("from = \"amount\"", "from = \"amount\"\nsign = \"-\"")
        ),
    );
    let decoded = decode(&mapping, body.as_bytes(), &Options::default());
    let mut text: String = decoded
        .text()
        .lines()
        .filter(|line| !line.starts_with('{'))
        .map(|line| format!("{line}\n"))
        .collect();
    if let Ok(records) = decoded.result {
        text.push_str(&format!("{records} records\n"));
    }
    expected.assert_eq(&text);
}

#[test]
fn totals_stand_before_or_behind_the_records() {
    // The sum is of amounts as written, and a record that is passed over is one of the document's records.
    check_totals(
        r#"{"count":3,"batches":[{"count":1,"sum":"1.50","items":[{"account":"a","amount":1.5}]},
           {"items":[{"account":"a","amount":2},{"account":"a","amount":3,"status":"declined"}],"sum":"5.0000000","count":"2"}],"sum":6.5}"#,
        expect![[r#"
            3 records
        "#]],
    );
    check_totals(
        r#"{"batches":[{"count":2,"items":[{"account":"a","amount":1.5}]}]}"#,
        expect![[r#"
            document refused: line 1, field /batches/count: the document says 2 records, there are 1 (control-total)
        "#]],
    );
    check_totals(
        "{\"batches\":[{\"items\":[{\"account\":\"a\",\"amount\":1.5}],\"count\":1,\n\"sum\":1.4},{\"items\":[]}],\"count\":9}",
        expect![[r#"
            document refused: line 2, field /batches/sum: the document says that the amounts make 1.4, they make 1.5 (control-total)
        "#]],
    );
    check_totals(
        r#"{"batches":{"items":[{"account":"a","amount":1.5}]},"sum":1.5,"count":2}"#,
        expect![[r#"
            document refused: line 1, field /count: the document says 2 records, there are 1 (control-total)
        "#]],
    );
    // An amount that cannot be read refuses its record; what the others make is not known.
    check_totals(
        r#"{"batches":{"items":[{"account":"a","amount":"x"}]},"sum":1.5,"count":1}"#,
        expect![[r#"
            record 1, line 1, field amount: "x": the amount is not a plain decimal number such as -12.50 (no exponent, no grouping, no spaces) (amount)
            1 records
        "#]],
    );
    check_totals(
        r#"{"batches":{"items":[{"account":"a","amount":"1"}]},"sum":"many","count":1}"#,
        expect![[r#"
            document refused: line 1, field /sum: the document says that the amounts make many, they make 1 (control-total)
        "#]],
    );
    check_totals(
        r#"{"batches":{"items":[{"account":"a","amount":"1"}]},"count":1,"sum":[1,2]}"#,
        expect![[r#"
            document refused: line 1, field /sum: the document says this total more than once (control-total)
        "#]],
    );
}

#[test]
fn a_payment_file_with_a_wrong_total_is_refused() {
    let body = String::from_utf8(sample("pain008-musterfile.xml")).expect("UTF-8");
    let mapping = ready_made("pain.008");
    let changed = |from: &str, to: &str| {
        assert!(body.contains(from), "{from}");
        let body = body.replacen(from, to, 1);
        let text = decode(&mapping, body.as_bytes(), &Options::default()).text();
        text.lines().last().unwrap_or_default().to_owned()
    };
    let all = [
        changed("<NbOfTxs>2<", "<NbOfTxs>3<"),
        changed("<CtrlSum>4.5<", "<CtrlSum>4.51<"),
    ];
    expect![[r#"
        document refused: line 7, field /Document/CstmrDrctDbtInitn/GrpHdr/NbOfTxs: the document says 3 records, there are 2 (control-total)
        document refused: line 8, field /Document/CstmrDrctDbtInitn/GrpHdr/CtrlSum: the document says that the amounts make 4.51, they make 4.5 (control-total)"#]].assert_eq(&all.join("\n"));
}
