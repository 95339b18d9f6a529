//! Validation against XML schemas: libxml2's verdicts on changed documents, messages, what is not read.

use std::collections::BTreeMap;

use crate::common::{Options, cut_and_change, decode, sample};
use expect_test::{Expect, expect};
use mapping::{CompileOptions, Mapping, rule};

/// A mapping that takes every document, with these schemas.
fn compile(list: &str, files: &[(&str, Vec<u8>)]) -> Result<Mapping, String> {
    let text = format!(
        "source = \"t\"\nformat = \"xml\"\nrecords = \"/Document\"\nempty = \"accept\"\n[xml]\nnamespaces = [\"*\"]\nenvelope = \"accept\"\n\
         [validate]\nxsd = {list}\n[fields.account]\nconst = \"a\"\n[fields.amount]\nconst = \"1\"\n[fields.currency]\nconst = \"EUR\"\n\
         [fields.booked_at]\nconst = \"2026-11-23T10:00:00Z\"\n"
    );
    let mut options = CompileOptions::default();
    for (name, content) in files {
        options = options.with_file(*name, content.clone());
    }
    Mapping::compile_with("t.toml", &text, &options).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(|error| format!("{error}\n")).collect();
        lines.concat()
    })
}

fn with(names: &[&str]) -> Mapping {
    let files: Vec<(&str, Vec<u8>)> = names
        .iter()
        .map(|name| (*name, sample(&format!("xsd/{name}"))))
        .collect();
    compile(&format!("{names:?}"), &files).expect("a mapping")
}

/// The rule that refuses a document, and what is wrong.
fn refusal(mapping: &Mapping, body: &[u8]) -> Option<(&'static str, String)> {
    let decoded = decode(mapping, body, &Options::default());
    let refusal = decoded.result.err()?;
    Some((refusal.rule, refusal.to_string()))
}

#[test]
fn verdicts_are_those_of_libxml2() {
    let mut mappings: BTreeMap<String, Mapping> = BTreeMap::new();
    let mut documents: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let verdicts = String::from_utf8(sample("xsd/verdicts.ndjson")).expect("UTF-8");
    let (mut valid, mut invalid) = (0, 0);
    let mut wrong = String::new();
    for line in verdicts.lines() {
        let row: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let text = |key: &str| row[key].as_str().expect("a text").to_owned();
        let place = |key: &str| row[key].as_u64().expect("a place") as usize;
        let mapping = mappings
            .entry(text("xsd"))
            .or_insert_with(|| with(&[&text("xsd")]));
        let document = documents
            .entry(text("doc"))
            .or_insert_with(|| sample(&format!("xsd/{}", text("doc"))));
        let mut body = document[..place("at")].to_vec();
        body.extend(text("with").as_bytes());
        body.extend(&document[place("end")..]);
        let refusal = refusal(mapping, &body);
        let is_valid = row["valid"] == true;
        match (is_valid, &refusal) {
            (true, None) => valid += 1,
            (false, Some((rule::SCHEMA, _))) => invalid += 1,
            _ => wrong.push_str(&format!("{line}\n  {refusal:?}\n")),
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    expect!["492 valid, 1288 invalid"].assert_eq(&format!("{valid} valid, {invalid} invalid"));
}

#[track_caller]
fn check(change: &dyn Fn(&str) -> String, expected: Expect) {
    let body = String::from_utf8(sample("xsd/subset.xml")).expect("UTF-8");
    let changed = change(&body);
    assert_ne!(body, changed);
    let told = refusal(&with(&["subset.xsd"]), changed.as_bytes());
    expected.assert_eq(&told.map_or_else(String::new, |(_, text)| text));
}

#[test]
fn refusals_say_where_and_what_would_be_right() {
    let replaced = |from: &'static str, to: &'static str| move |body: &str| body.replace(from, to);
    check(
        &replaced("<id>A12</id>", ""),
        expect!["line 2, field /doc/head: /doc/head ends too early; expected is id (schema)"],
    );
    check(
        &replaced("<id>A12</id>", "<id>a</id>"),
        expect![[
            r#"line 2, field /doc/head/id: /doc/head/id must fit the pattern [A-Z]\d{2,4} or \+[0-9()+\-]{1,5} (schema)"#
        ]],
    );
    check(
        &replaced("<x>four</x>", ""),
        expect![
            "line 2, field /doc/other: /doc/other is not expected here; expected is x (schema)"
        ],
    );
    check(
        &replaced("<x>one</x>", "<z/>"),
        expect![
            "line 2, field /doc/z: /doc/z is not expected here; expected is a, note, x (schema)"
        ],
    );
    check(
        &replaced("12.50", "100.01"),
        expect!["line 2, field /doc/b: /doc/b must be at most 100 (schema)"],
    );
    check(
        &replaced("12.50", "12.505"),
        expect![
            "line 2, field /doc/b: /doc/b must have at most 2 digits behind the point, not 3 (schema)"
        ],
    );
    check(
        &replaced("<y>two</y>", "<y>twotwo</y>"),
        expect!["line 2, field /doc/y: /doc/y must have at most 5 characters, not 6 (schema)"],
    );
    check(
        &replaced(" version=\"1\"", ""),
        expect!["line 2, field /doc: /doc lacks the attribute version (schema)"],
    );
    check(
        &replaced(" version=\"1\"", " version=\"0\""),
        expect![
            "line 2, field /doc: /doc has the attribute version, which must be at least 1 (schema)"
        ],
    );
    check(
        &replaced(" version=\"1\"", " version=\"1\" more=\"1\""),
        expect![
            "line 2, field /doc: /doc has the attribute more, which is not expected; expected is version, day (schema)"
        ],
    );
    check(
        &replaced("<empty></empty>", "<empty> </empty>"),
        expect![
            "line 2, field /doc/head/empty: /doc/head/empty has a text, and must be empty (schema)"
        ],
    );
    check(
        &replaced("<head>", "<head>text"),
        expect![
            "line 2, field /doc/head: /doc/head has a text between its elements, which is not expected (schema)"
        ],
    );
    check(
        &replaced("<doc xmlns=\"urn:t\"", "<doc xmlns=\"urn:u\""),
        expect![
            "line 2, field /doc: /doc is of a namespace of which no schema is given; given are urn:t (schema)"
        ],
    );
    check(
        &replaced("doc", "note"),
        expect![
            "line 2, field /note: /note has the attribute version, which is not expected; expected is nothing (schema)"
        ],
    );
    check(
        &replaced(
            "<flag>",
            "<flag xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:nil=\"true\">",
        ),
        expect![
            "line 2, field /doc/head/flag: /doc/head/flag has xsi:nil, which is not read (schema)"
        ],
    );
}

/// Documents of several messages, each with its own schema; and one in an envelope, which is not validated.
#[test]
fn the_schema_is_that_of_the_namespace() {
    let mapping = with(&["pain.001.001.08.xsd", "camt.053.001.08.xsd"]);
    for file in ["pain001_001_08.xml", "camt053.v8.xml"] {
        assert_eq!(refusal(&mapping, &sample(file)), None, "{file}");
    }
    let other = refusal(&mapping, &sample("pacs.008.001.08-made-up.xml"));
    expect!["line 2, field /Document: /Document is of a namespace of which no schema is given; given are urn:iso:std:iso:20022:tech:xsd:pain.001.001.08, urn:iso:std:iso:20022:tech:xsd:camt.053.001.08 (schema)"].assert_eq(&other.map_or_else(String::new, |(_, text)| text));
    let body = String::from_utf8(sample("pain001_001_08.xml")).expect("UTF-8");
    let document = &body[body.find("<Document").expect("a document")..];
    let wrapped = |document: &str| {
        format!("<Envelope><Header><any x=\"1\"/></Header><Body>{document}</Body></Envelope>")
    };
    assert_eq!(refusal(&mapping, wrapped(document).as_bytes()), None);
    let broken = wrapped(&document.replacen("<MsgId>", "<MsgIds/><MsgId>", 1));
    let told = refusal(&mapping, broken.as_bytes());
    assert_eq!(told.map(|(rule, _)| rule), Some(rule::SCHEMA));
}

#[track_caller]
fn check_schema(from: &str, to: &str, expected: Expect) {
    let text = String::from_utf8(sample("xsd/subset.xsd")).expect("UTF-8");
    let changed = text.replacen(from, to, 1);
    assert_ne!(text, changed);
    let compiled = compile("\"s.xsd\"", &[("s.xsd", changed.into_bytes())]);
    expected.assert_eq(&compiled.err().unwrap_or_default());
}

#[test]
fn what_is_not_in_the_subset_is_refused_with_its_line() {
    let check = check_schema;
    check(
        "<xs:complexType name=\"Empty\"/>",
        "<xs:import namespace=\"urn:o\"/>",
        expect![[r#"
            t.toml:9:7: validate.xsd: s.xsd, line 38: import is not read
        "#]],
    );
    check(
        "<xs:complexType name=\"Empty\"/>",
        "<xs:complexType name=\"Empty\" mixed=\"true\"/>",
        expect![[r#"
            t.toml:9:7: validate.xsd: s.xsd, line 38: mixed of complexType is not read
        "#]],
    );
    check(
        "<xs:complexType name=\"Empty\"/>",
        "<xs:complexType name=\"Empty\"><xs:anyAttribute/></xs:complexType>",
        expect![[r#"
            t.toml:9:7: validate.xsd: s.xsd, line 38: anyAttribute in a complexType is not read
        "#]],
    );
    check(
        "type=\"xs:string\"",
        "type=\"xs:string\" nillable=\"true\"",
        expect![[r#"
            t.toml:9:7: validate.xsd: s.xsd, line 25: nillable of element is not read
        "#]],
    );
    check(
        "type=\"xs:string\"",
        "type=\"xs:duration\"",
        expect![[r#"
        t.toml:9:7: validate.xsd: s.xsd, line 25: the type xs:duration is not read
    "#]],
    );
    check(
        "type=\"xs:string\"",
        "type=\"t:None\"",
        expect![[r#"
        t.toml:9:7: validate.xsd: s.xsd, line 25: there is no type "t:None"
    "#]],
    );
    check(
        "processContents=\"lax\"",
        "processContents=\"strict\"",
        expect![[r#"
            t.toml:9:7: validate.xsd: s.xsd, line 19: processContents of any is "lax" or "skip"; "strict" is not read
        "#]],
    );
    check(
        "\\d{2,4}",
        "\\i\\c*",
        expect![[r#"
        t.toml:9:7: validate.xsd: s.xsd, line 40: the pattern "[A-Z]\\i\\c*" has \i, which is not read
    "#]],
    );
    check(
        "<xs:length value=\"3\"/>",
        "<xs:assertion test=\"1\"/>",
        expect![[r#"
            t.toml:9:7: validate.xsd: s.xsd, line 46: test of assertion is not read
        "#]],
    );
    check(
        "base=\"xs:base64Binary\"",
        "base=\"t:Data\"",
        expect![[r#"
        t.toml:9:7: validate.xsd: s.xsd, line 46: types are derived from each other more than 32 times
    "#]],
    );
    check(
        "ref=\"t:note\"",
        "name=\"a\" type=\"xs:int\"",
        expect![[r#"
        t.toml:9:7: validate.xsd: s.xsd, line 6: the element a may follow in two ways, which is not read
    "#]],
    );
    check(
        "maxOccurs=\"3\"",
        "maxOccurs=\"3000\"",
        expect![[r#"
        t.toml:9:7: validate.xsd: s.xsd, line 15: maxOccurs="3000" is no number up to 2000; "unbounded" is read
    "#]],
    );
    check(
        "</xs:schema>",
        "",
        expect![[r#"
        t.toml:9:7: validate.xsd: s.xsd, line 1: it is no XML Schema: it does not begin with a schema element, or ends early
    "#]],
    );
    check(
        "<xs:schema",
        "<xs:schemas",
        expect![[r#"
        t.toml:9:7: validate.xsd: s.xsd, line 53: it is not well-formed: ill-formed document: expected `</xs:schemas>`, but `</xs:schema>` was found
    "#]],
    );
    let twice = [
        ("a.xsd", sample("xsd/subset.xsd")),
        ("b.xsd", sample("xsd/subset.xsd")),
    ];
    let mistakes = compile("[\"a.xsd\", \"b.xsd\", \"c.xsd\"]", &twice).err();
    expect![[r#"
        t.toml:9:17: validate.xsd: two schemas are of the namespace "urn:t": one is enough
        t.toml:9:26: validate.xsd: there is no file "c.xsd", given are a.xsd, b.xsd: put it beside the mapping
    "#]].assert_eq(&mistakes.unwrap_or_default());
    let other = "source = \"t\"\nformat = \"csv\"\n[validate]\nxsd = \"a.xsd\"\n";
    let mistakes = Mapping::compile("t.toml", other).expect_err("a mistake");
    let mistake = mistakes.iter().find(|mistake| mistake.key == "validate");
    expect![[r#"t.toml:3:2: validate: a schema is for XML or JSON, and the format is "csv""#]]
        .assert_eq(&mistake.map_or_else(String::new, ToString::to_string));
}

#[test]
fn every_schema_of_iso_20022_here_is_read() {
    for file in [
        "pain.001.001.03.xsd",
        "pain.001.001.08.xsd",
        "pain.001.001.09.xsd",
        "camt.053.001.02.xsd",
        "camt.053.001.08.xsd",
        "camt.054.001.08.xsd",
        "pacs.008.001.08.xsd",
    ] {
        with(&[file]);
    }
}

#[test]
fn broken_documents_never_panic() {
    cut_and_change(&with(&["subset.xsd"]), &sample("xsd/subset.xml"));
    let mapping = with(&["pain.001.001.09.xsd"]);
    cut_and_change(&mapping, &sample("xsd/pain.001.001.09.xml"));
}

/// A schema that is cut off or changed is refused or read, as a mapping's other mistakes.
#[test]
fn broken_schemas_never_panic() {
    let whole = sample("xsd/subset.xsd");
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x15;
        for bytes in [whole[..at].to_vec(), changed] {
            let _ = compile("\"s.xsd\"", &[("s.xsd", bytes)]);
        }
    }
}
