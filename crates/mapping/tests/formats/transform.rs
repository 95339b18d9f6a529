//! `[transform]`: a stylesheet before the mapping.

use crate::common::{RECEIVED_AT, compile};
use expect_test::{Expect, expect, expect_file};
use mapping::workbench::{ARRIVAL, example, explain};
use mapping::{CompileOptions, Context, Format, Limits, Mapping, RecordOutcome};

const SHEET: &str = r#"<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:param name="ccy">EUR</xsl:param>
<xsl:template match="/"><out><xsl:for-each select="//t"><i n="{@n}"><a><xsl:value-of select="@a"/></a><m c="{$ccy}"><xsl:value-of select="@m"/></m></i></xsl:for-each></out></xsl:template>
</xsl:stylesheet>"#;

fn text(transform: &str) -> String {
    format!(
        "source = \"t\"\nformat = \"xml\"\nrecords = \"/out/i\"\n[transform]\n{transform}\n[xml]\nnamespaces = [\"\"]\n[identity]\nnatural = [\"@n\"]\n\
         [fields]\naccount = {{ from = \"a\" }}\namount = {{ from = \"m\" }}\ncurrency = {{ from = \"m/@c\" }}\nbooked_at = {{ const = \"2026-11-23T10:00:00Z\" }}\n"
    )
}

fn with(transform: &str, sheet: &str) -> Result<Mapping, String> {
    let options = CompileOptions::default().with_file("t.xsl", sheet);
    Mapping::compile_with("dir/t.toml", &text(transform), &options).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        errors.join("\n")
    })
}

#[track_caller]
fn check(transform: &str, sheet: &str, body: &str, expected: Expect) {
    let given = match with(transform, sheet) {
        Ok(mapping) => example(&mapping, body.as_bytes(), ARRIVAL),
        Err(errors) => errors,
    };
    expected.assert_eq(&given);
}

/// `UPDATE_EXPECT=1` writes what is there now, as `daybook mapping test --update` does.
#[test]
fn the_example() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/examples/xslt");
    let path = format!("{folder}/payments.toml");
    let mapping = compile(&path, &std::fs::read_to_string(&path).expect("it is there"));
    for name in ["orders", "count"] {
        let base = format!("{folder}/payments.examples/{name}");
        let body = std::fs::read(format!("{base}.in")).expect("it is there");
        expect_file![format!("{base}.out.ndjson")].assert_eq(&example(&mapping, &body, ARRIVAL));
    }
}

#[test]
fn what_a_stylesheet_writes_is_read() {
    let body = "<r><t n=\"1\" a=\"A\" m=\"1.50\"/><t n=\"2\" a=\"B\" m=\"-2\"/></r>";
    check(
        "xslt = \"t.xsl\"",
        SHEET,
        body,
        expect![[r#"
        {"id":"1","source":"t","account":"A","amount":"1.50","currency":"EUR","booked_at":"2026-11-23T10:00:00Z","received_at":"2026-11-23T12:00:00.000000Z"}
        {"id":"2","source":"t","account":"B","amount":"-2.00","currency":"EUR","booked_at":"2026-11-23T10:00:00Z","received_at":"2026-11-23T12:00:00.000000Z"}
    "#]],
    );
    check(
        "xslt = \"t.xsl\"\nparameters = { ccy = \"CHF\" }",
        SHEET,
        body,
        expect![[r#"
            {"id":"1","source":"t","account":"A","amount":"1.50","currency":"CHF","booked_at":"2026-11-23T10:00:00Z","received_at":"2026-11-23T12:00:00.000000Z"}
            {"id":"2","source":"t","account":"B","amount":"-2.00","currency":"CHF","booked_at":"2026-11-23T10:00:00Z","received_at":"2026-11-23T12:00:00.000000Z"}
        "#]],
    );
}

#[test]
fn a_transformed_document_is_judged_like_any() {
    // A record, the whole document, the body.
    check(
        "xslt = \"t.xsl\"",
        SHEET,
        "<r><t n=\"1\" a=\"A\" m=\"x\"/><t n=\"2\" a=\"B\" m=\"2\"/></r>",
        expect![[r#"
            {"refused":"record 1, line 2, field amount: \"x\": the amount is not a plain decimal number such as -12.50 (no exponent, no grouping, no spaces) (the position is in the transformed document) (amount)"}
            {"id":"2","source":"t","account":"B","amount":"2.00","currency":"EUR","booked_at":"2026-11-23T10:00:00Z","received_at":"2026-11-23T12:00:00.000000Z"}
        "#]],
    );
    check(
        "xslt = \"t.xsl\"",
        SHEET,
        "<r/>",
        expect![[r#"
        {"document_refused":"line 3: there is no record in the document (the position is in the transformed document) (no-records)"}
    "#]],
    );
    check(
        "xslt = \"t.xsl\"",
        SHEET,
        "<r>\n<t></r>",
        expect![[r#"
        {"document_refused":"line 2: the document: it is not well-formed: ill-formed document: expected `</t>`, but `</r>` was found (xml)"}
    "#]],
    );
    check(
        "xslt = \"t.xsl\"",
        SHEET,
        "<!DOCTYPE r><r/>",
        expect![[r#"
        {"document_refused":"line 1: the document: it has a DOCTYPE; document type definitions are never read (doctype)"}
    "#]],
    );
    let refuses = SHEET.replace(
        "<out>",
        "<out><xsl:if test=\"//bad\"><xsl:message terminate=\"yes\">bad is there</xsl:message></xsl:if>",
    );
    check(
        "xslt = \"t.xsl\"",
        &refuses,
        "<r><bad/></r>",
        expect![[r#"
        {"document_refused":"line 1: the stylesheet refuses the document: bad is there (t.xsl, line 2) (transform)"}
    "#]],
    );
    check(
        "xslt = \"t.xsl\"\nsteps_max = 1_000",
        SHEET,
        &format!("<r>{}</r>", "<t/>".repeat(1_000)),
        expect![[r#"
            {"document_refused":"line 1: it takes more than 1000 steps (t.xsl, line 2) (transform)"}
        "#]],
    );
}

#[test]
fn mistakes_are_told_with_their_place() {
    check(
        "xslt = \"none.xsl\"",
        SHEET,
        "",
        expect![[
            r#"dir/t.toml:5:8: transform.xslt: there is no file "none.xsl", given are t.xsl: put it beside the mapping"#
        ]],
    );
    check(
        "",
        SHEET,
        "",
        expect![[
            r#"dir/t.toml:4:2: transform.xslt: name the stylesheet, a file beside the mapping: xslt = "statement.xsl""#
        ]],
    );
    check(
        "xslt = \"t.xsl\"",
        &SHEET.replace("@a\"", "@a[\""),
        "",
        expect![[
            r#"dir/t.xsl:2:97: transform: it ends where a step such as a name, *, @name or text() is expected, in "@a[""#
        ]],
    );
    check(
        "xslt = \"t.xsl\"\nparameters = { currency = \"CHF\" }",
        SHEET,
        "",
        expect![[
            r#"dir/t.toml:6:27: transform.parameters: t.xsl has no <xsl:param name="currency"/> at the top level; it has ccy"#
        ]],
    );
    let text = SHEET.replace("<xsl:param", "<xsl:output method=\"text\"/><xsl:param");
    check(
        "xslt = \"t.xsl\"",
        &text,
        "",
        expect![[
            r#"dir/t.toml:5:8: transform.xslt: t.xsl writes text, and the format is "xml": "json", "csv" or "fixed" is what its text is"#
        ]],
    );
    check(
        "xslt = \"t.xsl\"",
        &SHEET.replace("<xsl:param", "<xsl:import href=\"more.xsl\"/><xsl:param"),
        "",
        expect![[
            r#"dir/t.xsl:1:98: transform: there is no file "more.xsl", given are t.xsl: put it beside the mapping"#
        ]],
    );
}

/// Text of a stylesheet is read by the format that is named.
#[test]
fn json_from_a_stylesheet() {
    let sheet = r#"<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:output method="text"/>
<xsl:template match="/"><xsl:for-each select="//t">{"n":"<xsl:value-of select="@n"/>","a":"<xsl:value-of select="@a"/>","m":<xsl:value-of select="@m"/>}<xsl:text>&#10;</xsl:text></xsl:for-each></xsl:template></xsl:stylesheet>"#;
    let options = CompileOptions::default().with_file("t.xsl", sheet);
    let text = "source = \"t\"\nformat = \"json\"\n[transform]\nxslt = \"t.xsl\"\n[identity]\nnatural = [\"n\"]\n\
        [fields]\naccount = { from = \"a\" }\namount = { from = \"m\" }\ncurrency = { const = \"EUR\" }\nbooked_at = { const = \"2026-11-23T10:00:00Z\" }\n";
    let mapping = Mapping::compile_with("t.toml", text, &options).expect("it compiles");
    assert_eq!(mapping.format(), Format::Xml);
    assert!(mapping.is_slow());
    assert!(!mapping.is_divisible());
    expect![[r#"
        {"id":"1","source":"t","account":"A","amount":"12345678901.10","currency":"EUR","booked_at":"2026-11-23T10:00:00Z","received_at":"2026-11-23T12:00:00.000000Z"}
        {"id":"2","source":"t","account":"B","amount":"-2.00","currency":"EUR","booked_at":"2026-11-23T10:00:00Z","received_at":"2026-11-23T12:00:00.000000Z"}
    "#]].assert_eq(&example(
        &mapping,
        b"<r><t n=\"1\" a=\"A\" m=\"12345678901.10\"/><t n=\"2\" a=\"B\" m=\"-2\"/></r>",
        ARRIVAL,
    ));
}

/// The original of each record is the body, which is all that is known of it.
#[test]
fn originals_are_the_body() {
    let mapping = with("xslt = \"t.xsl\"", SHEET).expect("it compiles");
    let body = b"<r><t n=\"1\" a=\"A\" m=\"x\"/><t n=\"2\" a=\"B\" m=\"2\"/></r>";
    let mut context = Context {
        received_at: RECEIVED_AT,
        idempotency_key: None,
        first_record: 1,
        lines: true,
        new_id: &mut || "made-up".to_owned(),
    };
    let mut ranges = Vec::new();
    let result = mapping.decode(
        body,
        &mut context,
        &Limits::default(),
        &mut Vec::new(),
        &mut |outcome| {
            ranges.push(match outcome {
                RecordOutcome::Translated(record) => record.original,
                RecordOutcome::Refused(refused) => refused.original,
            });
        },
    );
    assert_eq!(result, Ok(2));
    assert_eq!(ranges, vec![0..body.len() as u32; 2]);
    let limits = Limits {
        body_bytes_max: body.len() - 1,
        ..Limits::default()
    };
    let refused = mapping.decode(body, &mut context, &limits, &mut Vec::new(), &mut |_| ());
    assert_eq!(refused.map_err(|refusal| refusal.rule), Err("body-bytes"));
}

#[test]
fn an_explanation_shows_what_was_written() {
    let mapping = with("xslt = \"t.xsl\"", SHEET).expect("it compiles");
    expect![[r#"
        the stylesheet writes 71 bytes, to which lines and positions below belong:
            <?xml version="1.0"?>
            <out><i n="1"><a>A</a><m c="EUR">x</m></i></out>

        record 1, line 2: refused
          id             @n "1"
          account        a "A"
          amount         m "x"
          currency       m/@c "EUR"
          booked_at      const "2026-11-23T10:00:00Z"
          "x": the amount is not a plain decimal number such as -12.50 (no exponent, no grouping, no spaces) (amount)
            | <out><i n="1"><a>A</a><m c="EUR">x</m></i></out>
            |                                  ^

        1 records, 0 of them passed over
    "#]].assert_eq(&explain(
        &mapping,
        b"<r><t n=\"1\" a=\"A\" m=\"x\"/></r>",
        ARRIVAL,
    ));
    expect![[r#"
        the document is refused: line 1: the document: it is not well-formed: ill-formed document: expected `</t>`, but `</r>` was found (xml)
            | <r><t></r>
            |       ^
    "#]].assert_eq(&explain(&mapping, b"<r><t></r>", ARRIVAL));
}
