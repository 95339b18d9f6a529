//! Records held against a JSON Schema: verdicts, messages, limits, what is not read.

use crate::common::{Options, decode};
use expect_test::{Expect, expect};
use mapping::{CompileOptions, Mapping, RecordOutcome};

fn compile(schema: &str) -> Result<Mapping, String> {
    let text = "source = \"t\"\nformat = \"json\"\n[validate]\njson_schema = \"t.schema.json\"\n[fields.account]\nconst = \"a\"\n[fields.amount]\n\
         const = \"1\"\n[fields.currency]\nconst = \"EUR\"\n[fields.booked_at]\nconst = \"2026-11-23T10:00:00Z\"\n";
    let options = CompileOptions::default().with_file("t.schema.json", schema);
    Mapping::compile_with("t.toml", text, &options).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(|error| format!("{error}\n")).collect();
        lines.concat()
    })
}

/// What each record is refused for, a line each; nothing where all are accepted.
fn refusals(schema: &str, body: &str) -> String {
    let mapping = compile(schema).expect("a mapping");
    let decoded = decode(&mapping, body.as_bytes(), &Options::default());
    let refused = decoded.outcomes.iter().filter_map(|outcome| match outcome {
        RecordOutcome::Refused(record) => Some(format!("{}\n", record.refusal)),
        RecordOutcome::Translated(_) => None,
    });
    let document = decoded
        .result
        .err()
        .map(|refusal| format!("document: {refusal}\n"));
    refused.chain(document).collect()
}

/// Values of `v` that a schema takes and refuses.
fn check(schema: &str, good: &[&str], bad: &[&str]) {
    let whole = format!(
        "{{\"properties\":{{\"v\":{schema}}},\"required\":[\"v\"],\"$defs\":{{\"id\":{{\"type\":\"string\",\"maxLength\":3}}}}}}"
    );
    for value in good {
        assert_eq!(
            refusals(&whole, &format!("{{\"v\":{value}}}")),
            "",
            "{schema} {value}"
        );
    }
    for value in bad {
        let refused = refusals(&whole, &format!("{{\"v\":{value}}}"));
        assert!(
            refused.contains("(schema)"),
            "{schema} {value}: {refused:?}"
        );
    }
}

#[test]
fn keywords() {
    check("true", &["1", "null", "{}"], &[]);
    check("false", &[], &["1", "null"]);
    check(
        r#"{"type":"string"}"#,
        &["\"\"", "\"ž\""],
        &["1", "null", "[]"],
    );
    check(
        r#"{"type":["integer","null"]}"#,
        &["1", "-3", "1.0", "1e2", "null"],
        &["1.5", "\"1\"", "true"],
    );
    check(r#"{"type":"number"}"#, &["1", "1.5e-3"], &["\"1\""]);
    check(
        r#"{"minLength":2,"maxLength":3}"#,
        &["\"ab\"", "\"žžž\"", "\"\\u00e9x\"", "5"],
        &["\"a\"", "\"abcd\""],
    );
    check(
        r#"{"pattern":"^[A-Z]{3}$"}"#,
        &["\"EUR\"", "7"],
        &["\"eur\"", "\"EURO\""],
    );
    check(
        r#"{"minimum":0.1,"maximum":99999999999999999999.99}"#,
        &["0.1", "1e-1", "99999999999999999999.990", "\"x\""],
        &[
            "0.09999999999999999999999",
            "0",
            "-1",
            "99999999999999999999.991",
        ],
    );
    check(
        r#"{"exclusiveMinimum":0,"exclusiveMaximum":10}"#,
        &["0.0001", "9.99"],
        &["0", "0.0", "10", "1e1"],
    );
    check(
        r#"{"multipleOf":0.01}"#,
        &["1.5", "0.010", "1e5"],
        &["0.001", "1e-3"],
    );
    check(
        r#"{"enum":["a",1,null,true]}"#,
        &["\"a\"", "1.0", "null", "true"],
        &["\"b\"", "2", "false"],
    );
    check(r#"{"const":"x"}"#, &["\"x\""], &["\"y\"", "1"]);
    check(
        r#"{"items":{"type":"integer"},"minItems":1,"maxItems":2}"#,
        &["[1]", "[1,2]"],
        &["[]", "[1,2,3]", "[\"a\"]"],
    );
    check(
        r#"{"properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}"#,
        &["{\"a\":\"\"}"],
        &["{}", "{\"a\":1}", "{\"a\":\"\",\"b\":1}"],
    );
    check(
        r#"{"additionalProperties":{"type":"integer"},"minProperties":1,"maxProperties":2}"#,
        &["{\"x\":1}"],
        &["{}", "{\"x\":\"\"}", "{\"x\":1,\"y\":2,\"z\":3}"],
    );
    check(
        r#"{"allOf":[{"minimum":1},{"maximum":3}]}"#,
        &["1", "3"],
        &["0", "4"],
    );
    check(
        r#"{"anyOf":[{"type":"string"},{"minimum":5}]}"#,
        &["\"\"", "5"],
        &["4"],
    );
    check(
        r#"{"oneOf":[{"minimum":1},{"maximum":3}]}"#,
        &["0", "4"],
        &["2"],
    );
    check(r#"{"not":{"type":"null"}}"#, &["1"], &["null"]);
    check(
        r##"{"$ref":"#/$defs/id"}"##,
        &["\"abc\""],
        &["\"abcd\"", "1"],
    );
}

#[test]
fn a_schema_may_refer_to_itself() {
    let schema = r##"{"type":"object","properties":{"next":{"$ref":"#"},"n":{"type":"integer"}},"additionalProperties":false}"##;
    assert_eq!(
        refusals(schema, r#"{"n":1,"next":{"n":2,"next":{"n":3}}}"#),
        ""
    );
    expect![[r#"
        record 1, line 1, field /next/next/n: it is of the type string, integer is expected (schema)
    "#]]
    .assert_eq(&refusals(
        schema,
        r#"{"n":1,"next":{"n":2,"next":{"n":"3"}}}"#,
    ));
    // Endlessly, without any value in between.
    expect![[r#"
        record 1, line 1: the schema asks more of it than can be looked at (schema)
    "#]]
    .assert_eq(&refusals(r##"{"$ref":"#"}"##, "{}"));
    let doubling = r##"{"anyOf":[{"allOf":[{"$ref":"#"},{"$ref":"#"}]},{"allOf":[{"$ref":"#"},{"$ref":"#"}]}]}"##;
    assert!(refusals(doubling, "{}").contains("more of it than can be looked at"));
}

#[test]
fn records_are_refused_one_by_one_with_their_place() {
    let schema = r#"{"type":"object","required":["id","parts"],"properties":{"id":{"type":"string","pattern":"^t-"},
        "parts":{"type":"array","items":{"type":"object","properties":{"a/b":{"enum":["x","y"]}}}}}}"#;
    let body = "{\"id\":\"t-1\",\"parts\":[]}\n{\"id\":\"u-2\",\"parts\":[]}\n{\"id\":\"t-3\"}\n{\"id\":\"t-4\",\"parts\":[{},{\"a/b\":\"z\"}]}";
    expect![[r#"
        record 2, line 2, field /id: "u-2" does not fit the pattern ^t- (schema)
        record 3, line 3: parts is missing (schema)
        record 4, line 4, field /parts/1/a~1b: it is none of the values that are allowed: "x", "y" (schema)
    "#]]
    .assert_eq(&refusals(schema, body));
}

#[test]
fn what_is_not_read_is_refused_when_the_mapping_is_compiled() {
    let check = |schema: &str, expected: Expect| {
        expected.assert_eq(&compile(schema).err().unwrap_or_default());
    };
    check(
        "{",
        expect![[r#"
        t.toml:4:15: validate.json_schema: t.schema.json: it is no JSON: EOF while parsing an object at line 1 column 1
    "#]],
    );
    check(
        "7",
        expect![[r#"
        t.toml:4:15: validate.json_schema: t.schema.json: # is no schema: an object, true or false is one
    "#]],
    );
    check(
        r#"{"properties":{"a":{"dependentRequired":{}}}}"#,
        expect![[r#"
            t.toml:4:15: validate.json_schema: t.schema.json: #/properties/a: dependentRequired is not read; these are: type, enum, const, properties, required, additionalProperties, minProperties, maxProperties, items, minItems, maxItems, minLength, maxLength, pattern, minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf, $ref, $defs, definitions, allOf, anyOf, oneOf, not
        "#]],
    );
    check(
        r#"{"type":"text"}"#,
        expect![[r#"
        t.toml:4:15: validate.json_schema: t.schema.json: #/type must be the name of a type, or a list of such
    "#]],
    );
    check(
        r#"{"multipleOf":0.05}"#,
        expect![[r#"
        t.toml:4:15: validate.json_schema: t.schema.json: #/multipleOf must be a power of ten, such as 0.01
    "#]],
    );
    check(
        r#"{"pattern":"(?=a)"}"#,
        expect![[r#"
        t.toml:4:15: validate.json_schema: t.schema.json: #/pattern: the pattern is wrong: look-around, including look-ahead and look-behind, is not supported
          | (?=a)
          | ^^^
    "#]],
    );
    check(
        r#"{"$ref":"other.json#/a"}"#,
        expect![[r#"
        t.toml:4:15: validate.json_schema: t.schema.json: #/$ref must be a place in this schema, such as #/$defs/money
    "#]],
    );
    check(
        r#"{"enum":[{}]}"#,
        expect![[r#"
        t.toml:4:15: validate.json_schema: t.schema.json: #/enum must be a list of texts, numbers, true, false and null
    "#]],
    );
}
