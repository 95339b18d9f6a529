//! Conditions, alternatives and patterns: what a mapping can say beside paths.

mod common;

use common::{Options, RECEIVED_AT, compile, decode};
use expect_test::{Expect, expect};
use mapping::{Context, Counts, Limits, Mapping};

#[track_caller]
fn check(mapping: &Mapping, body: &str, expected: Expect) {
    expected.assert_eq(&shown(mapping, body));
}

/// Each record without what is the same in all: `account amount more`, or the refusal; then the counts.
fn shown(mapping: &Mapping, body: &str) -> String {
    let decoded = decode(mapping, body.as_bytes(), &Options::default());
    let mut text = String::new();
    for line in decoded.text().lines() {
        let line = match serde_json::from_str::<serde_json::Value>(line) {
            Ok(serde_json::Value::Object(mut object)) => {
                for key in ["source", "currency", "booked_at", "received_at"] {
                    object.remove(key);
                }
                serde_json::Value::Object(object).to_string()
            }
            _ => line.to_owned(),
        };
        text.push_str(&line);
        text.push('\n');
    }
    text
}

fn json_with(more: &str) -> Mapping {
    compile("t.toml", &json_text(more))
}

fn json_text(more: &str) -> String {
    format!(
        "source = \"t\"\nformat = \"json\"\n{more}\n[fields.amount]\nfrom = \"amount\"\n[fields.currency]\nconst = \"EUR\"\n\
         [fields.booked_at]\nconst = \"2026-11-23\"\nzone = \"UTC\"\nat = \"12:00\"\n[identity]\nnatural = [\"id\"]\n"
    )
}

#[track_caller]
fn check_mistakes(more: &str, expected: Expect) {
    let actual = match Mapping::compile("t.toml", &json_text(more)) {
        Ok(_) => "compiled\n".to_owned(),
        Err(errors) => errors.iter().map(|error| format!("{error}\n")).collect(),
    };
    expected.assert_eq(&actual);
}

fn counts(mapping: &Mapping, body: &str) -> Counts {
    let mut context = Context {
        received_at: RECEIVED_AT,
        idempotency_key: None,
        first_record: 1,
        lines: false,
        new_id: &mut || "made-up".to_owned(),
    };
    let limits = Limits::default();
    mapping
        .decode_counted(
            body.as_bytes(),
            &mut context,
            &limits,
            &mut Vec::new(),
            &mut |_| {},
        )
        .expect("readable")
}

#[test]
fn records_that_are_no_transactions_are_passed_over_and_counted() {
    let mapping = json_with(
        "[fields.account]\nfrom = \"account\"\n\
         [[skip]]\nfrom = \"status\"\nis = [\"declined\", \"pending\"]\n\
         [[skip]]\nall = [{ from = \"kind\", matches = \"^test\" }, { not = { from = \"real\", exists = true } }]\n",
    );
    let body = r#"{"id":"1","account":"a","amount":1,"status":"booked"}
{"id":"2","status":"declined"}
{"id":"3","account":"a","amount":3,"kind":"test-1"}
{"id":"4","account":"a","amount":4,"kind":"test-1","real":"x"}
{"id":"5","account":"a","amount":5,"kind":"a test"}
{"id":"6","account":"a","amount":6,"status":["booked","declined"]}
{"id":"7","account":"a","amount":"x","status":"pending"}"#;
    check(
        &mapping,
        body,
        expect![[r#"
        {"account":"a","amount":"1.00","id":"1"}
        {"account":"a","amount":"4.00","id":"4"}
        {"account":"a","amount":"5.00","id":"5"}
        record 6, line 6, field skip: status stands more than once in the record, so it is not clear which counts (repeated)
    "#]],
    );
    assert_eq!(
        counts(&mapping, body),
        Counts {
            records: 7,
            passed_over: 3
        }
    );
    // All may be passed over: there are records in the document.
    assert_eq!(
        counts(&mapping, r#"{"status":"declined"}"#),
        Counts {
            records: 1,
            passed_over: 1
        }
    );
}

#[test]
fn every_test_of_a_condition() {
    let holds = |condition: &str, record: &str| {
        let mapping = json_with(&format!(
            "skip = [{condition}]\n[fields.account]\nfrom = \"account\"\n"
        ));
        counts(&mapping, record).passed_over == 1
    };
    for (condition, record, expected) in [
        ("{ from = \"a\", is = \"x\" }", r#"{"a":"x"}"#, true),
        ("{ from = \"a\", is = \"x\" }", r#"{"a":"y"}"#, false),
        ("{ from = \"a\", is = \"x\" }", r#"{"b":"x"}"#, false),
        (
            "{ from = \"a\", is_not = [\"x\", \"y\"] }",
            r#"{"a":"y"}"#,
            false,
        ),
        (
            "{ from = \"a\", is_not = [\"x\", \"y\"] }",
            r#"{"a":"z"}"#,
            true,
        ),
        ("{ from = \"a\", is_not = \"x\" }", r#"{"b":"x"}"#, true),
        (
            "{ from = [\"a\", \"b\"], is = \"x\" }",
            r#"{"a":"","b":"x"}"#,
            true,
        ),
        ("{ from = \"a\", exists = true }", r#"{"a":0}"#, true),
        ("{ from = \"a\", exists = true }", r#"{"a":null}"#, false),
        ("{ from = \"a\", exists = false }", r#"{"a":""}"#, true),
        (
            "{ from = \"a\", matches = \"b+\" }",
            r#"{"a":"abba"}"#,
            true,
        ),
        (
            "{ from = \"a\", matches = \"^b+$\" }",
            r#"{"a":"abba"}"#,
            false,
        ),
        (
            "{ not = { from = \"a\", is = \"x\" } }",
            r#"{"a":"x"}"#,
            false,
        ),
        (
            "{ any = [{ from = \"a\", is = \"x\" }, { from = \"b\", is = \"x\" }] }",
            r#"{"b":"x"}"#,
            true,
        ),
        (
            "{ all = [{ from = \"a\", is = \"x\" }, { from = \"b\", is = \"x\" }] }",
            r#"{"b":"x"}"#,
            false,
        ),
    ] {
        assert_eq!(holds(condition, record), expected, "{condition} {record}");
    }
}

#[test]
fn the_first_case_that_holds_counts() {
    let mapping = json_with(
        "[fields.account]\nfrom = \"account\"\nsteps = [\"upper\"]\n\
         [[fields.account.case]]\nwhen = { from = \"kind\", is = \"fee\" }\nconst = \"fees\"\n\
         [[fields.account.case]]\nwhen = { from = \"branch\", exists = true }\ntemplate = \"{bank}-{branch}\"\nsteps = [{ replace = \" \", with = \"\" }]\n\
         [fields.party]\noptional = true\n\
         case = [{ when = { from = \"kind\", is = \"fee\" }, from = \"bank\" }, { from = \"payee\" }]\n",
    );
    check(
        &mapping,
        r#"{"id":"1","account":"a","amount":1,"kind":"fee","branch":"7","bank":"zaba"}
{"id":"2","account":"a","amount":1,"branch":"7 1","bank":"zaba","payee":"p"}
{"id":"3","account":"a","amount":1}
{"id":"4","account":"a","amount":1,"branch":"7"}"#,
        expect![[r#"
            {"account":"FEES","amount":"1.00","id":"1","party":"zaba"}
            {"account":"ZABA-71","amount":"1.00","id":"2","party":"p"}
            {"account":"A","amount":"1.00","id":"3"}
            record 4, line 4, field account: account is missing or empty (missing)
        "#]],
    );
}

#[test]
fn patterns_extract_and_replace() {
    let mapping = json_with(
        "[fields.account]\nfrom = \"text\"\nsteps = [{ extract = \"IBAN ([A-Z0-9 ]+)\" }, { replace = \" \", with = \"\" }]\n\
         [fields.date]\nfrom = \"text\"\noptional = true\n\
         steps = [{ extract = \"(\\\\d\\\\d)[.](\\\\d\\\\d)[.]\", group = 0 }, { replace = \"(\\\\d+)[.](\\\\d+)[.]\", with = \"${2}-$1\" }]\n",
    );
    check(
        &mapping,
        r#"{"id":"1","text":"to IBAN HR12 1001 0051 8630 0016 0 on 23.11. thanks","amount":1}
{"id":"2","text":"IBAN HR1","amount":1}
{"id":"3","text":"iban","amount":1}"#,
        expect![[r#"
            {"account":"HR1210010051863000160","amount":"1.00","date":"11-23","id":"1"}
            {"account":"HR1","amount":"1.00","id":"2"}
            record 3, line 3, field account: account is missing or empty (missing)
        "#]],
    );
    // A replacement at its limit, and one byte beyond.
    let mapping = json_with(
        "[fields.account]\nconst = \"a\"\n[fields.note]\nfrom = \"note\"\nsteps = [{ replace = \".\", with = \"0123456789abcdef\" }, \
         { replace = \"^0123456789abcde\", with = \"\" }, { replace = \".{64}\", with = \"\" }]\n",
    );
    let body = |count: usize| {
        let note = "x".repeat(count);
        format!("{{\"id\":\"1\",\"amount\":1,\"note\":\"{note}\"}}")
    };
    let limits = Limits {
        field_bytes_max: 5_000,
        ..Limits::default()
    };
    let refused = |count| {
        let options = Options {
            limits,
            ..Options::default()
        };
        decode(&mapping, body(count).as_bytes(), &options)
            .text()
            .contains("field-bytes")
    };
    assert!(!refused(4_096));
    assert!(refused(4_097));
}

#[test]
fn mistakes_are_told_with_their_place() {
    check_mistakes(
        "skip = [{ from = \"a\" }, { from = \"a\", is = \"x\", matches = \"y\" }, { all = [] }, { form = \"a\", is = \"b\" }, \"x\"]\n\
         [fields.account]\nfrom = \"a\"\nsteps = [{ extract = \"(a\" }, { extract = \"a(b)\", group = 2 }, { replace = \"a\", with = \"$1\" }, { replace = \"a\" }]\n\
         [[fields.account.case]]\nfrom = \"b\"\n\
         [[fields.account.case]]\nwhen = { from = \"b\", matches = \"[z-a]\" }\nfrom = \"b\"\nto = \"c\"\n",
        expect![[r#"
            t.toml:3:9: skip.from: a condition is { from = "status", is = ["declined"] } (or `is_not`, `matches`, `exists = true`), or { all = [ … ] }, { any = [ … ] }, { not = { … } }
            t.toml:3:25: skip.from: a condition is { from = "status", is = ["declined"] } (or `is_not`, `matches`, `exists = true`), or { all = [ … ] }, { any = [ … ] }, { not = { … } }
            t.toml:3:66: skip.all: a list of at least one condition is expected
            t.toml:3:80: skip.from: a condition is { from = "status", is = ["declined"] } (or `is_not`, `matches`, `exists = true`), or { all = [ … ] }, { any = [ … ] }, { not = { … } }
            t.toml:3:82: skip.form: unknown key, did you mean `from`?
            t.toml:3:106: skip: a condition is { from = "status", is = ["declined"] } (or `is_not`, `matches`, `exists = true`), or { all = [ … ] }, { any = [ … ] }, { not = { … } }
            t.toml:6:22: fields.account.steps.extract: the pattern is wrong: unclosed group
              | (a
              | ^
            t.toml:6:58: fields.account.steps.group: a whole number from 0 to 1 is expected
            t.toml:6:87: fields.account.steps.with: the pattern has no group "1": `$1` or `${1}` is the first one, `$$` a dollar
            t.toml:6:95: fields.account.steps.with: this key is missing
            t.toml:7:1: fields.account.case.when: only the last case may lack `when`, and only where the field itself has no `from`, `const` or `template`: what is behind it would never count
            t.toml:10:32: fields.account.case.when.matches: the pattern is wrong: invalid character class range, the start must be <= the end
              | [z-a]
              |  ^^^
            t.toml:12:1: fields.account.case.to: unknown key; known are when, from, const, template, steps
        "#]],
    );
    let nested = |depth: usize| {
        let open = "{ not = ".repeat(depth);
        let close = " }".repeat(depth);
        format!(
            "skip = [{open}{{ from = \"a\", is = \"b\" }}{close}]\n[fields.account]\nfrom = \"a\"\n"
        )
    };
    check_mistakes(
        &nested(7),
        expect![[r#"
        compiled
    "#]],
    );
    check_mistakes(
        &nested(8),
        expect![[r#"
        t.toml:3:67: skip.not.not.not.not.not.not.not.not.from: conditions nest more than 8 deep
    "#]],
    );
}
