//! Conditions, alternatives and patterns: what a mapping can say beside paths.

use crate::common::{Options, RECEIVED_AT, compile, decode};
use expect_test::{Expect, expect};
use mapping::{CompileOptions, Context, Counts, Limits, Mapping};

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

#[test]
fn one_record_becomes_several_transactions() {
    let text = "source = \"t\"\nformat = \"json\"\n[identity]\nnatural = [\"id\"]\n\
        [fields.account]\nfrom = \"account\"\n[fields.currency]\nconst = \"EUR\"\n\
        [fields.booked_at]\nconst = \"2026-11-23\"\nzone = \"UTC\"\nat = \"12:00\"\n\
        [fields.kind]\nconst = \"principal\"\n\
        [[transaction]]\nwhen = { from = \"amount\", exists = true }\n[transaction.fields.amount]\nfrom = \"amount\"\n\
        [[transaction]]\nsuffix = \"fee\"\nwhen = { from = \"fee\", exists = true }\n\
        [transaction.fields]\namount = { from = \"fee\", sign = \"-\" }\nkind = { const = \"fee\" }\nof = { from = \"id\" }\n";
    let mapping = compile("t.toml", text);
    check(
        &mapping,
        r#"{"id":"1/a","account":"a","amount":"10","fee":"0.5"}
{"id":"2","account":"a","amount":"10"}
{"id":"3","account":"a","fee":"1"}
{"id":"4","account":"a"}
{"id":"5","account":"a","amount":"10","fee":"-1"}
{"account":"a","amount":"10","fee":"1"}"#,
        expect![[r#"
            {"account":"a","amount":"10.00","id":"1~1a","kind":"principal"}
            {"account":"a","amount":"-0.50","id":"1~1a/fee","kind":"fee","of":"1/a"}
            {"account":"a","amount":"10.00","id":"2","kind":"principal"}
            {"account":"a","amount":"-1.00","id":"3/fee","kind":"fee","of":"3"}
            record 4, line 4: no [[transaction]] of the mapping is made of this record; if it is none, say so in a [[skip]] (no-transaction)
            record 5, line 5, field amount: the amount has a sign of its own beside its credit or debit indicator (sign)
            record 6, line 6, field of: of is missing or empty (missing)
        "#]],
    );
    // Three transactions of two records: at the limit, and beyond.
    let result = |records_max| {
        let limits = Limits {
            records_max,
            ..Limits::default()
        };
        let options = Options {
            limits,
            ..Options::default()
        };
        let body = r#"{"id":"1","account":"a","amount":1,"fee":1}{"id":"2","account":"a","fee":1}"#;
        decode(&mapping, body.as_bytes(), &options)
            .result
            .map_err(|refusal| refusal.rule)
    };
    assert_eq!(result(3), Ok(2));
    assert_eq!(result(2), Err("records"));
    let errors = Mapping::compile(
        "t.toml",
        &text
            .replace("[fields.kind]\nconst", "[fields.kind]\nfrm")
            .replace("suffix = \"fee\"\n", "sufix = \"fee\"\n"),
    );
    let errors: String = errors
        .expect_err("mistakes")
        .iter()
        .map(|error| format!("{error}\n"))
        .collect();
    expect![[r#"
        t.toml:13:9: fields.kind.from: one of `from` (a path or several), `const` and `template` says where the value comes from
        t.toml:14:1: fields.kind.frm: unknown key, did you mean `from`?
        t.toml:19:1: transaction.suffix: each transaction of a record needs another `suffix` behind the record's id; one may be without
        t.toml:20:1: transaction.sufix: unknown key, did you mean `suffix`?
    "#]].assert_eq(&errors);
}

#[test]
fn a_hash_with_a_key_needs_the_key() {
    let text =
        json_text("[fields.account]\nfrom = \"account\"\nsteps = [{ hash = { key = \"pan\" } }]\n");
    let with = |key: &str| {
        let options = CompileOptions::default().with_key("pan", key);
        assert!(!format!("{options:?}").contains(key));
        Mapping::compile_with("t.toml", &text, &options)
    };
    let body = r#"{"id":"1","account":"4111111111111111","amount":1}"#;
    let hash = |key: &str| shown(&with(key).expect("a mapping"), body);
    // Stored accounts depend on it.
    expect![[r#"
        {"account":"c51ab12bec82c0b6f910275eebb13c9d","amount":"1.00","id":"1"}
    "#]]
    .assert_eq(&hash("0123456789abcdef"));
    assert_ne!(hash("0123456789abcdef"), hash("0123456789abcdeF"));
    let mapping = with("0123456789abcdef").expect("a mapping");
    assert!(!format!("{mapping:?}").contains("0123456789abcdef"));
    let errors: String = [
        Mapping::compile("t.toml", &text),
        with("0123456789abcde"),
        Mapping::compile_with(
            "t.toml",
            &text,
            &CompileOptions::default().with_key("card", "0123456789abcdef"),
        ),
    ]
    .into_iter()
    .flat_map(|result| result.expect_err("a mistake"))
    .map(|error| format!("{error}\n"))
    .collect();
    expect![[r#"
        t.toml:5:27: fields.account.steps.hash.key: there is no key "pan", none was given: put it into the file pan.key beside the mapping
        t.toml:5:27: fields.account.steps.hash.key: the key "pan" has 15 bytes, at least 16 are needed: `openssl rand -hex 32` makes one
        t.toml:5:27: fields.account.steps.hash.key: there is no key "pan", given are card: put it into the file pan.key beside the mapping
    "#]].assert_eq(&errors);
}
