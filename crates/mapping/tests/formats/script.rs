//! JavaScript in a mapping: what it sees and gives, its limits, and that nothing is left of one record in the next.

use std::time::{Duration, Instant};

use crate::common::{Options, compile, decode};
use expect_test::{Expect, expect};
use mapping::{CompileOptions, Mapping, RecordOutcome, rule, workbench};

fn text_with(script: &str) -> String {
    format!(
        "source = \"t\"\nformat = \"json\"\n{script}\n[fields.account]\nfrom = \"account\"\n[fields.amount]\nfrom = \"amount\"\n\
         [fields.currency]\ndefault = \"EUR\"\nfrom = \"currency\"\n[fields.booked_at]\nconst = \"2026-11-23T10:00:00Z\"\n[fields.note]\nfrom = \"note\"\n\
         optional = true\n[identity]\nnatural = [\"id\"]\n"
    )
}

/// A mapping with this text in front of its fields, and this JavaScript.
fn mapping_with(keys: &str, script: &str) -> Mapping {
    let section = format!("[script]\n{keys}\nsource = '''\n{script}\n'''\n");
    compile("t.toml", &text_with(&section))
}

/// Each record without what is the same in all.
fn shown(mapping: &Mapping, body: &str) -> String {
    let decoded = decode(mapping, body.as_bytes(), &Options::default());
    let mut text = String::new();
    for line in decoded.text().lines() {
        let line = match serde_json::from_str::<serde_json::Value>(line) {
            Ok(serde_json::Value::Object(mut object)) => {
                for key in ["source", "booked_at", "received_at"] {
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

#[track_caller]
fn check(script: &str, body: &str, expected: Expect) {
    expected.assert_eq(&shown(&mapping_with("", script), body));
}

/// What the body of a function makes of one record with the amount 1.
#[track_caller]
fn check_body(body: &str, expected: Expect) {
    let script = format!("function transaction(record, document) {{ {body} }}");
    check(&script, ONE, expected);
}

#[track_caller]
fn check_mistakes(section: &str, options: &CompileOptions, expected: Expect) {
    let actual = match Mapping::compile_with("dir/t.toml", &text_with(section), options) {
        Ok(_) => "compiled\n".to_owned(),
        Err(errors) => errors.iter().map(|error| format!("{error}\n")).collect(),
    };
    expected.assert_eq(&actual);
}

const ONE: &str = r#"{"id":"1","account":"a","amount":"1"}"#;

#[test]
fn a_script_makes_the_texts_of_the_fields() {
    check(
        r#"
const shops = { "5411": "Konzum" };
function transaction(record) {
  return { ...record, account: record.account.toUpperCase(), amount: "-" + record.amount, note: shops[record.note] };
}"#,
        r#"{"id":"1","account":"hr1","amount":"12.5","note":"5411"}{"id":"2","account":"hr2","amount":"3","note":"none"}"#,
        expect![[r#"
            {"account":"HR1","amount":"-12.50","currency":"EUR","id":"1","note":"Konzum"}
            {"account":"HR2","amount":"-3.00","currency":"EUR","id":"2"}
        "#]],
    );
}

#[test]
fn what_it_leaves_out_has_no_value() {
    check_body(
        "return { account: record.account };",
        expect![[r#"
        record 1, line 1, field currency: currency is missing or empty (missing)
    "#]],
    );
    check_body(
        r#"return { ...record, currency: "", note: null };"#,
        expect![[r#"
            record 1, line 1, field currency: currency is missing or empty (missing)
        "#]],
    );
}

#[test]
fn null_passes_a_record_over() {
    let mapping = mapping_with(
        "",
        "function transaction(record) { return record.note === 'declined' ? null : record; }",
    );
    let body = r#"{"id":"1","account":"a","amount":"1","note":"declined"}{"id":"2","account":"a","amount":"2"}"#;
    expect![[r#"
        {"id":"2","source":"t","account":"a","amount":"2.00","currency":"EUR","booked_at":"2026-11-23T10:00:00Z","received_at":"2026-11-23T12:00:00.000000Z"}
        {"passed_over":1}
    "#]].assert_eq(&workbench::example(
        &mapping,
        body.as_bytes(),
        workbench::ARRIVAL,
    ));
    // A body of nothing else is not empty.
    let body = r#"{"id":"1","account":"a","amount":"1","note":"declined"}"#;
    expect![""].assert_eq(&shown(&mapping, body));
}

#[test]
fn it_sees_the_inputs_that_the_mapping_names() {
    let mapping = compile(
        "t.toml",
        &text_with(
            "records = \"/batch/items\"\n[script]\ngives = [\"branch\", \"country\"]\ninputs = { branch = \"/batch/branch\", country = \"shop/country\" }\n\
             source = '''\nfunction transaction(record, document) {\n  return { ...record, ...document };\n}\n'''\n",
        ),
    );
    let body = r#"{"batch":{"branch":"17","items":[{"id":"1","account":"a","amount":"1","shop":{"country":"HR"}},{"id":"2","account":"a","amount":"2"}]}}"#;
    expect![[r#"
        {"account":"a","amount":"1.00","branch":"17","country":"HR","currency":"EUR","id":"1"}
        {"account":"a","amount":"2.00","branch":"17","currency":"EUR","id":"2"}
    "#]]
    .assert_eq(&shown(&mapping, body));
}

#[test]
fn it_is_called_for_each_transaction_of_a_record() {
    let mapping = compile(
        "t.toml",
        &text_with(
            "[[transaction]]\n[[transaction]]\nsuffix = \"fee\"\n[script]\nsource = '''\n\
             function transaction(record, document, suffix) {\n  if (suffix === 'fee' && record.note !== 'with fee') return null;\n\
             return { ...record, amount: suffix === 'fee' ? '0.10' : record.amount };\n}\n'''\n",
        ),
    );
    let body = r#"{"id":"1","account":"a","amount":"1","note":"with fee"}{"id":"2","account":"a","amount":"2"}"#;
    expect![[r#"
        {"account":"a","amount":"1.00","currency":"EUR","id":"1","note":"with fee"}
        {"account":"a","amount":"0.10","currency":"EUR","id":"1/fee","note":"with fee"}
        {"account":"a","amount":"2.00","currency":"EUR","id":"2"}
    "#]]
    .assert_eq(&shown(&mapping, body));
}

#[test]
fn what_it_gives_is_checked_like_any_other_value() {
    check_body(
        r#"return { ...record, amount: "1e3" };"#,
        expect![[r#"
        record 1, line 1, field amount: "1e3": the amount is not a plain decimal number such as -12.50 (no exponent, no grouping, no spaces) (amount)
    "#]],
    );
    check_body(
        r#"return { ...record, amount: "1.234" };"#,
        expect![[r#"
        record 1, line 1, field amount: "1.234" has more decimal digits than EUR has, which is 2 (currency-digits)
    "#]],
    );
    check_body(
        r#"return { ...record, currency: "EURO" };"#,
        expect![[r#"
        record 1, line 1, field currency: "EURO" is no ISO 4217 currency code such as EUR (currency)
    "#]],
    );
    check_body(
        r#"return { ...record, account: "a\u0000" };"#,
        expect![[r#"
        record 1, line 1, field account: "a\0" contains a control character (control-character)
    "#]],
    );
    check_body(
        r#"return { ...record, acount: "a" };"#,
        expect![[r#"
        record 1, line 1, field acount: the script gives a field that the mapping does not know; known are account, amount, currency, booked_at, note, and others are named by `gives` of [script] (script)
    "#]],
    );
    check_body(
        r#"return { ...record, note: "x".repeat(4097) };"#,
        expect![[r#"
            record 1, line 1, field note: the script gives 4097 bytes, at most 4096 are read (field-bytes)
        "#]],
    );
    let script =
        r#"function transaction(record) { return { ...record, note: "x".repeat(4096) }; }"#;
    assert!(shown(&mapping_with("", script), ONE).contains("xxxx"));
}

#[test]
fn only_texts_are_taken() {
    check_body(
        "return { ...record, amount: 12.5 };",
        expect![[r#"
        record 1, line 1, field amount: the script gives a number: give it as a string, such as "12.50": numbers of JavaScript are not exact (script)
    "#]],
    );
    check_body(
        "return { ...record, amount: 12n };",
        expect![[r#"
        record 1, line 1, field amount: the script gives a number: give it as a string, such as "12.50": numbers of JavaScript are not exact (script)
    "#]],
    );
    check_body(
        "return { ...record, note: true };",
        expect![[r#"
        record 1, line 1, field note: the script gives true or false: give it as a string (script)
    "#]],
    );
    check_body(
        "return { ...record, note: { a: 1 } };",
        expect![[r#"
        record 1, line 1, field note: the script gives an object: give it as a string (script)
    "#]],
    );
    check_body(
        "return { ...record, note: '\\ud83d' };",
        expect![[r#"
        record 1, line 1, field note: the script gives half of a character (an unpaired surrogate) (script)
    "#]],
    );
    check_body(
        "return 'text';",
        expect![[r#"
        record 1, line 1: transaction() gives a text; it gives an object of texts, or null to pass the record over (script)
    "#]],
    );
    check_body(
        "return [record];",
        expect![[r#"
        record 1, line 1: transaction() gives an array; it gives an object of texts, or null to pass the record over (script)
    "#]],
    );
    check_body(
        "",
        expect![[r#"
        record 1, line 1: transaction() gives nothing (undefined); it gives an object of texts, or null to pass the record over (script)
    "#]],
    );
    check_body(
        "return () => record;",
        expect![[r#"
        record 1, line 1: transaction() gives a function; it gives an object of texts, or null to pass the record over (script)
    "#]],
    );
    check(
        "async function transaction(record) { return record; }",
        ONE,
        expect![[r#"
            record 1, line 1: transaction() gives a promise; it gives an object of texts, or null to pass the record over (script)
        "#]],
    );
    check_body(
        "Object.getPrototypeOf((async () => {})()).constructor.resolve(1).then(() => 1); return record;",
        expect![[r#"
            record 1, line 1: the script makes a promise; nothing waits for it: use ordinary functions (script)
        "#]],
    );
}

#[test]
fn unicode_goes_through_unchanged() {
    check(
        "function transaction(record) { return { ...record, note: record.note + ' · ' + [...record.note].length }; }",
        r#"{"id":"1","account":"Žuto 🙂","amount":"1","note":"čćžšđ 🙂 \u0000 \ud83d\ude42 é"}"#,
        expect![[r#"
            {"account":"Žuto 🙂","amount":"1.00","currency":"EUR","id":"1","note":"čćžšđ 🙂 \u0000 🙂 é · 13"}
        "#]],
    );
}

#[test]
fn what_it_throws_refuses_the_record_with_its_place() {
    check(
        "const limit = 5;\nfunction tooMuch(amount) {\n  throw new Error('more than ' + limit + ':\\n' + amount);\n}\nfunction transaction(record) {\n  \
         if (record.amount.length > 1) tooMuch(record.amount);\n  return record;\n}",
        r#"{"id":"1","account":"a","amount":"10"}{"id":"2","account":"a","amount":"2"}"#,
        expect![[r#"
            record 1, line 1: t.toml:8:50: Error: more than 5: 10 (script)
            {"account":"a","amount":"2.00","currency":"EUR","id":"2"}
        "#]],
    );
    check_body(
        "throw 'a text';",
        expect![[r#"
        record 1, line 1: a text (script)
    "#]],
    );
    check_body(
        "throw { code: 7 };",
        expect![[r#"
        record 1, line 1: the script throws an object (script)
    "#]],
    );
    check_body(
        "throw null;",
        expect![[r#"
            record 1, line 1: the script needs more than 16777216 bytes of memory, or throws null (script-memory)
        "#]],
    );
    check_body(
        "return record.merchant.name;",
        expect![[r#"
        record 1, line 1: t.toml:6:49: TypeError: cannot read property 'name' of undefined (script)
    "#]],
    );
    check_body(
        "return { get amount() { throw new Error('in a getter'); } };",
        expect![[r#"
            record 1, line 1: t.toml:6:76: Error: in a getter (script)
        "#]],
    );
    check_body(
        "throw new Error('x'.repeat(1000));",
        expect![[r#"
        record 1, line 1: t.toml:6:62: Error: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… (script)
    "#]],
    );
}

/// Records with these notes, each with an ordinary one behind it.
fn bodies(notes: &[&str]) -> String {
    let mut body = String::new();
    for (index, note) in notes.iter().enumerate() {
        body += &format!(
            "{{\"id\":\"{index}\",\"account\":\"a\",\"amount\":\"1\",\"note\":\"{note}\"}}{{\"id\":\"{index}-next\",\"account\":\"a\",\"amount\":\"1\"}}\n"
        );
    }
    body
}

#[test]
fn a_call_that_runs_too_long_refuses_its_record_and_no_other() {
    let script = "function transaction(record) {\n  if (record.note === 'loop') for (;;);\n  \
                  if (record.note === 'pattern') /^(a+)+$/.test('a'.repeat(50) + 'b');\n  if (record.note === 'native') [].indexOf.call({ length: 2 ** 53 - 1 }, 1);\n  \
                  if (record.note === 'caught') { try { for (;;); } catch { return record; } finally { return record; } }\n  return record;\n}";
    let mapping = mapping_with("time_ms_max = 100", script);
    let body = bodies(&["loop", "pattern", "native", "caught"]);
    expect![[r#"
        record 1, line 1: the script runs for more than 100 ms (script-time)
        {"account":"a","amount":"1.00","currency":"EUR","id":"0-next"}
        record 3, line 2: the script runs for more than 100 ms (script-time)
        {"account":"a","amount":"1.00","currency":"EUR","id":"1-next"}
        record 5, line 3: the script runs for more than 100 ms (script-time)
        {"account":"a","amount":"1.00","currency":"EUR","id":"2-next"}
        record 7, line 4: the script runs for more than 100 ms (script-time)
        {"account":"a","amount":"1.00","currency":"EUR","id":"3-next"}
    "#]]
    .assert_eq(&shown(&mapping, &body));
}

#[test]
fn a_call_that_needs_too_much_memory_or_stack_refuses_its_record_and_no_other() {
    let script = "function transaction(record) {\n  if (record.note === 'memory') { const all = []; for (;;) all.push(new Array(1000).fill(1)); }\n  \
                  if (record.note === 'text') { const all = []; for (;;) all.push('x'.repeat(9999)); }\n  if (record.note === 'stack') { const deep = () => deep() + 1; deep(); }\n  \
                  if (record.note === 'data') { let x = []; for (let i = 0; i < 50000; i++) x = [x]; JSON.stringify(x); }\n  return record;\n}";
    let mapping = mapping_with("time_ms_max = 10000", script);
    let body = bodies(&["memory", "text", "stack", "data"]);
    expect![[r#"
        record 1, line 1: the script needs more than 16777216 bytes of memory, or throws null (script-memory)
        {"account":"a","amount":"1.00","currency":"EUR","id":"0-next"}
        record 3, line 2: the script needs more than 16777216 bytes of memory, or throws null (script-memory)
        {"account":"a","amount":"1.00","currency":"EUR","id":"1-next"}
        record 5, line 3: the script's calls nest deeper than 262144 bytes of stack (script-memory)
        {"account":"a","amount":"1.00","currency":"EUR","id":"2-next"}
        record 7, line 4: the script's calls nest deeper than 262144 bytes of stack (script-memory)
        {"account":"a","amount":"1.00","currency":"EUR","id":"3-next"}
    "#]]
    .assert_eq(&shown(&mapping, &body));
}

#[test]
fn memory_is_there_up_to_the_limit() {
    // Each element of an array takes 16 bytes.
    let script = "function transaction(record) { return { ...record, note: String(new Array(Number(record.note)).fill(0).length) }; }";
    let mapping = mapping_with("memory_bytes_max = 8388608\ntime_ms_max = 10000", script);
    let of = |count: usize| {
        let body = format!(r#"{{"id":"1","account":"a","amount":"1","note":"{count}"}}"#);
        shown(&mapping, &body)
    };
    assert!(
        of(300_000).contains("\"note\":\"300000\""),
        "{}",
        of(300_000)
    );
    assert!(of(600_000).contains("script-memory"), "{}", of(600_000));
    assert!(
        of(300_000).contains("\"note\":\"300000\""),
        "{}",
        of(300_000)
    );
}

#[test]
fn a_body_of_loops_is_given_up() {
    let script = "function transaction(record) { for (;;); }";
    let mapping = mapping_with("time_ms_max = 2", script);
    let line = format!("{ONE}\n");
    let begun = Instant::now();
    let decoded = decode(
        &mapping,
        line.repeat(10_000).as_bytes(),
        &Options::default(),
    );
    assert_eq!(decoded.outcomes.len(), 21);
    let refusal = decoded.result.expect_err("given up");
    assert_eq!(refusal.rule, rule::SCRIPT_TIME);
    assert!(begun.elapsed() < Duration::from_secs(60));
    // As many as are allowed are refused one by one.
    let decoded = decode(&mapping, line.repeat(20).as_bytes(), &Options::default());
    assert_eq!((decoded.outcomes.len(), decoded.result), (20, Ok(20)));
}

#[test]
fn there_is_no_clock_no_chance_and_no_code_from_texts() {
    for body in [
        "Math.random()",
        "Date.now()",
        "new Date()",
        "Date()",
        "eval('1')",
        "Function('return 1')",
        "new (() => {}).constructor('return 1')",
        "(function* () {}).constructor('yield 1')",
        "(async () => {}).constructor('1')",
    ] {
        let script = format!("function transaction(record) {{ {body}; return record; }}");
        let text = shown(&mapping_with("", &script), ONE);
        assert!(
            text.contains("is not to be had in a mapping"),
            "{body}: {text}"
        );
    }
    for name in [
        "performance",
        "WeakRef",
        "FinalizationRegistry",
        "Promise",
        "setTimeout",
        "queueMicrotask",
        "console",
        "print",
        "std",
        "os",
        "require",
        "process",
        "SharedArrayBuffer",
        "Atomics",
        "gc",
        "navigator",
    ] {
        let script = format!(
            "function transaction(record) {{ return {{ ...record, note: typeof {name} }}; }}"
        );
        let text = shown(&mapping_with("", &script), ONE);
        assert!(text.contains("\"note\":\"undefined\""), "{name}: {text}");
    }
    check_body(
        "import('x'); return record;",
        expect![[r#"
        record 1, line 1: the script makes a promise; nothing waits for it: use ordinary functions (script)
    "#]],
    );
}

/// Each tries to leave something for the next record, and gives what it found.
#[test]
fn nothing_is_left_of_one_record_in_the_next() {
    let two = format!("{ONE}{ONE}");
    for script in [
        "let count = 0; function transaction(record) { count += 1; return { ...record, note: String(count) }; }",
        "const seen = new Map(); function transaction(record) { seen.set(seen.size, 1); return { ...record, note: String(seen.size) }; }",
        "function transaction(record) { transaction.count = (transaction.count ?? 0) + 1; return { ...record, note: String(transaction.count) }; }",
        "var self = {}; function transaction(record) { self.n = (self.n ?? 0) + 1; return { ...record, note: String(self.n) }; }",
    ] {
        let text = shown(&mapping_with("", script), &two);
        assert_eq!(
            text.matches("\"note\":\"1\"").count(),
            2,
            "{script}: {text}"
        );
    }
    for attempt in [
        "globalThis.x = 1",
        "x = 1",
        "Object.prototype.x = 1",
        "Array.prototype.push = null",
        "Math.x = 1",
        "Math.max = null",
        "JSON.parse.x = 1",
        "Error.prepareStackTrace = () => 1",
        "Error.stackTraceLimit = 0",
        "RegExp.prototype.exec = null",
        "Object.getPrototypeOf([].values()).next = null",
        "Object.getPrototypeOf(new Map().keys()).next = null",
        "Object.getPrototypeOf((function* () {})()).__proto__.next = null",
        "(function* () {}).__proto__.x = 1",
        "(async () => {}).__proto__.x = 1",
        "(async () => {})().constructor.x = 1",
        "Iterator.prototype.x = 1",
        "Symbol.x = 1",
        "''.__proto__.x = 1",
        "(0n).__proto__.x = 1",
        "''.matchAll(/x/g).__proto__.x = 1",
        "[].values().map(x => x).__proto__.x = 1",
        "record.account = 'b'",
        "document.x = 1",
        "((s) => s)`t`.x = 1",
        "Date.x = 1",
        "eval.x = 1",
        "Object.defineProperty(globalThis, 'x', { value: 1 })",
        "Object.setPrototypeOf(globalThis, {})",
        "delete globalThis.Math",
    ] {
        let script =
            format!("function transaction(record, document) {{ {attempt}; return record; }}");
        let text = shown(&mapping_with("", &script), ONE);
        assert!(text.contains("(script)"), "{attempt}: {text}");
    }
}

#[test]
fn two_scripts_of_one_thread_do_not_meet() {
    let mappings: Vec<Mapping> = (0..12)
        .map(|index| {
            let script = format!(
                "const own = '{index}'; function transaction(record) {{ return {{ ...record, note: own }}; }}"
            );
            mapping_with("", &script)
        })
        .collect();
    for _ in 0..3 {
        for (index, mapping) in mappings.iter().enumerate() {
            let text = shown(mapping, ONE);
            assert!(text.contains(&format!("\"note\":\"{index}\"")), "{text}");
        }
    }
}

#[test]
fn ten_thousand_records_are_translated_the_same_on_every_thread() {
    let script = "const factor = 100n;\nfunction transaction(record) {\n  const cents = BigInt(record.amount) * factor;\n  const cycle = {}; cycle.self = cycle;\n  \
                  return { ...record, amount: (cents / 3n).toString(), note: record.account.replace(/\\d+/g, (d) => d.length) };\n}";
    let mapping = mapping_with("", script);
    let body: String = (0..10_000)
        .map(|index| {
            format!("{{\"id\":\"{index}\",\"account\":\"HR{index}\",\"amount\":\"{index}\"}}\n")
        })
        .collect();
    let first = decode(&mapping, body.as_bytes(), &Options::default());
    assert_eq!(first.result, Ok(10_000));
    assert!(
        first
            .outcomes
            .iter()
            .all(|outcome| matches!(outcome, RecordOutcome::Translated(_)))
    );
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let again = decode(&mapping, body.as_bytes(), &Options::default());
                assert_eq!(again.out, first.out);
            });
        }
    });
    let last = first.objects().pop().expect("records");
    assert_eq!(
        (&last["amount"], &last["note"]),
        (&"333300.00".into(), &"HR4".into())
    );
}

#[test]
fn explain_tells_of_the_script() {
    let mapping = mapping_with(
        "gives = [\"shop\"]",
        "function transaction(record) {\n  if (record.amount === '0') return null;\n  if (record.amount === '9') throw new Error('nine');\n  return { ...record, shop: 'Konzum' };\n}",
    );
    let body = r#"{"id":"1","account":"a","amount":"1"}
{"id":"2","account":"a","amount":"0"}
{"id":"3","account":"a","amount":"9"}"#;
    expect![[r#"

        record 1, line 1: translated
          id             id "1"
          account        account "a"
          amount         amount "1"
          currency       nothing at currency, so the default "EUR"
          booked_at      const "2026-11-23T10:00:00Z"
          note           nothing at note, so it is left out
          shop           nothing: the script may give it, so it is left out
          then the script t.toml
          gives {"id":"1","source":"t","account":"a","amount":"1.00","currency":"EUR","booked_at":"2026-11-23T10:00:00Z","received_at":"2026-11-23T12:00:00.000000Z","shop":"Konzum"}

        record 2, line 2: passed over: the script gives null

        record 3, line 3: refused
          id             id "3"
          account        account "a"
          amount         amount "9"
          currency       nothing at currency, so the default "EUR"
          booked_at      const "2026-11-23T10:00:00Z"
          note           nothing at note, so it is left out
          shop           nothing: the script may give it, so it is left out
          then the script t.toml
          t.toml:8:40: Error: nine (script)
            | {"id":"3","account":"a","amount":"9"}
            | ^

        3 records, 1 of them passed over
    "#]].assert_eq(&workbench::explain(
        &mapping,
        body.as_bytes(),
        workbench::ARRIVAL,
    ));
}

#[test]
fn mistakes_have_their_place() {
    let none = CompileOptions::default();
    let inline = |script: &str| format!("[script]\nsource = '''\n{script}\n'''\n");
    check_mistakes(
        &inline("function transaction(record) {\n  return { ...record;\n}"),
        &none,
        expect![[r#"
            dir/t.toml:6:21: script: SyntaxError: Unexpected token ';'
        "#]],
    );
    check_mistakes(
        &inline("function transation() {}"),
        &none,
        expect![[r#"
        dir/t.toml:5:1: script: the script declares no `function transaction(record, document) { … }`
    "#]],
    );
    check_mistakes(
        &inline("const transaction = 7;"),
        &none,
        expect![[r#"
        dir/t.toml:5:1: script: the script declares no `function transaction(record, document) { … }`
    "#]],
    );
    check_mistakes(
        &inline("throw new Error('at once');"),
        &none,
        expect![[r#"
        dir/t.toml:5:11: script: Error: at once
    "#]],
    );
    check_mistakes(
        &inline("null.x;"),
        &none,
        expect![[r#"
        dir/t.toml:5:1: script: TypeError: cannot read property 'x' of null
    "#]],
    );
    check_mistakes(
        &inline("function transaction() {}\n}); let left = 1; (function(){"),
        &none,
        expect![[r#"
            dir/t.toml:6:1: script: SyntaxError: unexpected token in expression: '}'
        "#]],
    );
    check_mistakes(
        &inline("import x from 'x';\nfunction transaction() {}"),
        &none,
        expect![[r#"
            dir/t.toml:5:1: script: ReferenceError: could not load module 'x'
        "#]],
    );
    check_mistakes(
        &inline("export function transaction() {}"),
        &none,
        expect![[r#"
            dir/t.toml:5:1: script: SyntaxError: unsupported keyword: export
        "#]],
    );
    check_mistakes(
        "[script]\n",
        &none,
        expect![[r#"
        dir/t.toml:3:2: script: a script stands in a file beside the mapping, `file = "enrich.js"`, or in `source` between ''' and '''
    "#]],
    );
    check_mistakes(
        "[script]\nfile = \"e.js\"\n",
        &none,
        expect![[r#"
        dir/t.toml:4:8: script.file: there is no file "e.js", none was given: put it beside the mapping
    "#]],
    );
    let file = CompileOptions::default().with_file("e.js", "// enrich\nfunction transaction( {}\n");
    check_mistakes(
        "[script]\nfile = \"e.js\"\n",
        &file,
        expect![[r#"
        dir/e.js:3:1: script: SyntaxError: Unexpected end of input
    "#]],
    );
    check_mistakes(
        "[script]\nfile = \"e.js\"\ntime_ms = 5\ntime_ms_max = 0\nmemory_bytes_max = 1\nstack_bytes_max = 1\ngives = [\"account\", \"note\", \"id\"]\ninputs = { a = \"\" }\n",
        &file,
        expect![[r#"
            dir/e.js:3:1: script: SyntaxError: Unexpected end of input
            dir/t.toml:5:1: script.time_ms: unknown key; known are file, source, inputs, gives, memory_bytes_max, time_ms_max, stack_bytes_max
            dir/t.toml:6:15: script.time_ms_max: a whole number from 1 to 10000 is expected
            dir/t.toml:7:20: script.memory_bytes_max: a whole number from 4194304 to 268435456 is expected
            dir/t.toml:8:19: script.stack_bytes_max: a whole number from 32768 to 524288 is expected
            dir/t.toml:9:10: script.gives: "account" is already a field, or empty, or one more than 64; here stand the names of fields that only the script gives
            dir/t.toml:9:21: script.gives: "note" is already a field, or empty, or one more than 64; here stand the names of fields that only the script gives
            dir/t.toml:9:29: script.gives: "id" is already a field, or empty, or one more than 64; here stand the names of fields that only the script gives
            dir/t.toml:10:16: script.inputs.a: "" is no path such as "Amt/InstdAmt"
        "#]],
    );
    let endless = inline("for (;;);\nfunction transaction() {}");
    check_mistakes(
        &endless,
        &none,
        expect![[r#"
            dir/t.toml:5:1: script: the script runs for more than 1000 ms
        "#]],
    );
}

/// The example of `docs/mapping.md`, as it stands there.
#[test]
fn the_example_of_the_documentation_works() {
    let path = format!("{}/../../docs/mapping.md", env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(path).expect("the page is there");
    let part = |begin: &str| -> String {
        let rest = page.split_once(begin).expect("the example is there").1;
        rest.split_once("```")
            .expect("the end of the example")
            .0
            .to_owned()
    };
    let section = part("```toml\n# JavaScript\n");
    let options = CompileOptions::default().with_file("payments.js", part("```js\n"));
    let mapping = Mapping::compile_with("t.toml", &text_with(&section), &options)
        .expect("the example compiles");
    let body = r#"{"id":"1","account":"a","amount":"2","Text":"KONZUM P-0230/ZAGREB"}{"id":"2","account":"a","amount":"0","Text":"test"}{"id":"3","account":"a","amount":"3"}"#;
    expect![[r#"
        {"id":"1","source":"t","account":"a","amount":"2.00","currency":"EUR","booked_at":"2026-11-23T10:00:00Z","received_at":"2026-11-23T12:00:00.000000Z","shop":"KONZUM","branch":"P-0230"}
        {"refused":"record 3, line 1: payments.js:7:25: Error: the text names no branch (script)"}
        {"passed_over":1}
    "#]].assert_eq(&workbench::example(
        &mapping,
        body.as_bytes(),
        workbench::ARRIVAL,
    ));
}
