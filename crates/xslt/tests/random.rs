//! Random stylesheets and documents: refused or transformed, never a panic, never out of the limits.

#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use xslt::{Limits, OutputMethod, Stylesheet};

fn limits() -> Limits {
    Limits {
        steps_max: 100_000,
        result_bytes_max: 100_000,
        template_depth_max: 500,
        ..Limits::default()
    }
}

fn node_test() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a",
        "b",
        "*",
        "node()",
        "text()",
        "@x",
        "@*",
        "..",
        ".",
        "p:a",
        "p:*",
        "comment()",
    ])
}

fn axis() -> impl Strategy<Value = String> {
    let axes = vec![
        "ancestor",
        "ancestor-or-self",
        "attribute",
        "child",
        "descendant",
        "descendant-or-self",
        "following",
        "following-sibling",
        "namespace",
        "parent",
        "preceding",
        "preceding-sibling",
        "self",
    ];
    (
        prop::sample::select(axes),
        prop::sample::select(vec!["a", "*", "node()", "text()"]),
    )
        .prop_map(|(axis, test)| format!("{axis}::{test}"))
}

fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        node_test().prop_map(str::to_owned),
        axis(),
        (-5_i32..5).prop_map(|number| number.to_string()),
        prop::sample::select(vec![
            "'a'",
            "''",
            "'1'",
            "position()",
            "last()",
            "$g",
            "current()",
            "true()",
            "0 div 0",
            "1 div 0"
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            (
                pair.clone(),
                prop::sample::select(vec![
                    "=", "!=", "<", ">=", "+", "-", "*", "div", "mod", "and", "or"
                ])
            )
                .prop_map(|((a, b), sign)| format!("({a}) {sign} ({b})")),
            pair.clone().prop_map(|(a, b)| format!("//{a}[{b}]")),
            pair.clone().prop_map(|(a, b)| format!("concat({a}, {b})")),
            pair.clone()
                .prop_map(|(a, b)| format!("substring({a}, {b})")),
            pair.clone()
                .prop_map(|(a, b)| format!("translate({a}, {b}, 'xyz')")),
            pair.clone()
                .prop_map(|(a, b)| format!("format-number({a}, {b})")),
            pair.prop_map(|(a, b)| format!("key('k', {a}) | //*[{b}]")),
            (
                inner,
                prop::sample::select(vec![
                    "count",
                    "sum",
                    "string",
                    "number",
                    "not",
                    "name",
                    "generate-id",
                    "normalize-space",
                    "round",
                    "exsl:node-set",
                    "str:tokenize"
                ])
            )
                .prop_map(|(a, f)| format!("{f}({a})")),
        ]
    })
}

fn quoted(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

fn instruction() -> impl Strategy<Value = String> {
    let select = expression().prop_map(|expr| quoted(&expr)).boxed();
    let leaf = prop_oneof![
        select
            .clone()
            .prop_map(|e| format!("<xsl:value-of select=\"{e}\"/>")),
        select
            .clone()
            .prop_map(|e| format!("<xsl:copy-of select=\"{e}\"/>")),
        select
            .clone()
            .prop_map(|e| format!("<xsl:apply-templates select=\"{e}\"/>")),
        select
            .clone()
            .prop_map(|e| format!("<xsl:attribute name=\"{{{e}}}\">v</xsl:attribute>")),
        select
            .clone()
            .prop_map(|e| format!("<xsl:number value=\"{e}\" format=\"{{{e}}}\"/>")),
        Just("<xsl:apply-templates/>".to_owned()),
        Just("<xsl:call-template name=\"t\"/>".to_owned()),
        Just("<xsl:number level=\"any\"/><xsl:number level=\"multiple\"/>".to_owned()),
        Just("text".to_owned()),
    ];
    leaf.prop_recursive(3, 12, 3, move |inner| {
        let body = prop::collection::vec(inner, 1..3).prop_map(|parts| parts.concat()).boxed();
        prop_oneof![
            (select.clone(), body.clone()).prop_map(|(e, b)| format!("<xsl:for-each select=\"{e}\">{b}</xsl:for-each>")),
            (select.clone(), body.clone()).prop_map(|(e, b)| format!("<xsl:for-each select=\"//node()\"><xsl:sort select=\"{e}\" data-type=\"number\"/>{b}</xsl:for-each>")),
            (select.clone(), body.clone()).prop_map(|(e, b)| format!("<xsl:if test=\"{e}\">{b}</xsl:if>")),
            (select.clone(), body.clone()).prop_map(|(e, b)| format!("<out x=\"{{{e}}}\" p:y=\"1\">{b}</out>")),
            (select.clone(), body.clone()).prop_map(|(e, b)| format!("<xsl:element name=\"{{{e}}}\" namespace=\"{{{e}}}\">{b}</xsl:element>")),
            body.clone().prop_map(|b| format!("<xsl:copy>{b}</xsl:copy>")),
            body.clone().prop_map(|b| format!("<xsl:variable name=\"l\">{b}</xsl:variable><xsl:copy-of select=\"exsl:node-set($l)\"/>")),
            body.prop_map(|b| format!("<xsl:comment>{b}</xsl:comment>")),
        ]
    })
}

fn document() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "<a/>",
        "text",
        "<!--c-->",
        "<?p i?>",
        "<a x=\"1\" y=\"2\"/>",
        "<p:a xmlns:p=\"urn:p\" p:x=\"1\"/>",
        "12",
        " ",
    ])
    .prop_map(str::to_owned);
    let inside = leaf.prop_recursive(4, 24, 4, |inner| {
        (
            prop::sample::select(vec!["a", "b", "c"]),
            prop::collection::vec(inner, 0..4),
        )
            .prop_map(|(name, parts)| format!("<{name} x=\"{name}\">{}</{name}>", parts.concat()))
    });
    inside.prop_map(|inside| format!("<r xmlns:q=\"urn:q\">{inside}</r>"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_stylesheet_is_refused_or_runs(
        parts in prop::collection::vec(instruction(), 1..4),
        named in instruction(),
        pattern in node_test(),
        document in document(),
    ) {
        let text = format!(
            "<xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\" xmlns:exsl=\"http://exslt.org/common\" xmlns:str=\"http://exslt.org/strings\" xmlns:p=\"urn:p\">\
            <xsl:key name=\"k\" match=\"*\" use=\"@x\"/><xsl:variable name=\"g\" select=\"//b\"/>\
            <xsl:template match=\"/\"><top>{}</top></xsl:template><xsl:template match=\"{pattern}\">{}</xsl:template><xsl:template name=\"t\">{named}</xsl:template></xsl:stylesheet>",
            parts[0], parts[parts.len() - 1]
        );
        if let Ok(sheet) = Stylesheet::compile("t.xsl", &text, &|_| Err("none".to_owned()))
            && let Ok(output) = sheet.transform(document.as_bytes(), &[], &limits())
        {
            prop_assert!(output.bytes.len() <= limits().result_bytes_max);
            let again = sheet.transform(document.as_bytes(), &[], &limits()).unwrap();
            prop_assert_eq!(&again.bytes, &output.bytes);
            // What is written as XML can be read as XML.
            if output.method == OutputMethod::Xml && !output.bytes.is_empty() {
                let identity = "<xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\"><xsl:template match=\"/\"><xsl:copy-of select=\".\"/></xsl:template></xsl:stylesheet>";
                let identity = Stylesheet::compile("i.xsl", identity, &|_| Err("none".to_owned())).unwrap();
                let copied = identity.transform(&output.bytes, &[], &Limits::default());
                prop_assert!(copied.is_ok(), "{copied:?} of {}", String::from_utf8_lossy(&output.bytes));
                prop_assert_eq!(copied.unwrap().bytes, output.bytes);
            }
        }
    }

    #[test]
    fn anything_is_no_stylesheet(text in ".{0,200}") {
        let _ = Stylesheet::compile("t.xsl", &text, &|_| Err("none".to_owned()));
    }

    #[test]
    fn any_expression_is_read_or_refused(expr in "[-a-z0-9@*/()\\[\\]|.:,'$ =<>+!]{0,40}", document in document()) {
        let text = format!(
            "<out xsl:version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\"><xsl:value-of select=\"{}\"/></out>",
            quoted(&expr)
        );
        if let Ok(sheet) = Stylesheet::compile("t.xsl", &text, &|_| Err("none".to_owned())) {
            let _ = sheet.transform(document.as_bytes(), &[], &limits());
        }
    }
}
