//! Every limit at its value and one beyond, and what would take for ever or very much.

#![allow(clippy::unwrap_used, reason = "tests")]

use xslt::{Cause, Limits, Stylesheet};

const HEAD: &str = r#"<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform" xmlns:exsl="http://exslt.org/common" exclude-result-prefixes="exsl">"#;

fn sheet(top: &str) -> Stylesheet {
    let text = format!("{HEAD}{top}</xsl:stylesheet>");
    Stylesheet::compile("t.xsl", &text, &|_| Err("none".to_owned())).unwrap()
}

/// Which limit is met, if one is.
#[track_caller]
fn met(top: &str, document: &str, limits: &Limits) -> Option<&'static str> {
    // On a thread with a usual stack, whatever the test runner has.
    let (top, document, limits) = (top.to_owned(), document.to_owned(), *limits);
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    let run = move || match sheet(&top).transform(document.as_bytes(), &[], &limits) {
        Ok(_) => None,
        Err(error) => match error.cause {
            Cause::Limit(name) => Some(name),
            other => panic!("{other:?}: {error}"),
        },
    };
    thread.spawn(run).unwrap().join().unwrap()
}

const IDENTITY: &str = r#"<xsl:template match="@*|node()"><xsl:copy><xsl:apply-templates select="@*|node()"/></xsl:copy></xsl:template>"#;

#[test]
fn bytes_nodes_and_depth_of_a_document() {
    let document = r#"<a b="1"><c/>text</a>"#;
    for (at, below, name) in [
        (
            Limits {
                document_bytes_max: document.len(),
                ..Limits::default()
            },
            Limits {
                document_bytes_max: document.len() - 1,
                ..Limits::default()
            },
            "document_bytes_max",
        ),
        // The root, an element, its attribute, an element, a text.
        (
            Limits {
                document_nodes_max: 5,
                ..Limits::default()
            },
            Limits {
                document_nodes_max: 4,
                ..Limits::default()
            },
            "document_nodes_max",
        ),
        (
            Limits {
                depth_max: 2,
                ..Limits::default()
            },
            Limits {
                depth_max: 1,
                ..Limits::default()
            },
            "depth_max",
        ),
    ] {
        assert_eq!(met(IDENTITY, document, &at), None);
        assert_eq!(met(IDENTITY, document, &below), Some(name));
    }
}

#[test]
fn steps_and_depth_of_templates() {
    let forever =
        r#"<xsl:template match="/" name="t"><xsl:call-template name="t"/></xsl:template>"#;
    assert_eq!(
        met(forever, "<a/>", &Limits::default()),
        Some("template_depth_max")
    );
    let deep = Limits {
        template_depth_max: usize::MAX,
        steps_max: 50_000,
        ..Limits::default()
    };
    assert_eq!(met(forever, "<a/>", &deep), Some("steps_max"));
    // The root, and two calls.
    let two = r#"<xsl:template match="/"><xsl:call-template name="a"/></xsl:template><xsl:template name="a"><xsl:call-template name="b"/></xsl:template><xsl:template name="b"/>"#;
    let depth = |template_depth_max| Limits {
        template_depth_max,
        ..Limits::default()
    };
    assert_eq!(met(two, "<a/>", &depth(3)), None);
    assert_eq!(met(two, "<a/>", &depth(2)), Some("template_depth_max"));
    let quadratic = r#"<xsl:template match="/"><xsl:for-each select="//a"><xsl:value-of select="count(//a)"/></xsl:for-each></xsl:template>"#;
    let document = format!("<r>{}</r>", "<a/>".repeat(20_000));
    assert_eq!(
        met(quadratic, &document, &Limits::default()),
        Some("steps_max")
    );
}

/// Built-in rules go as deep as the document, on the machine's own stack.
#[test]
fn a_deep_document() {
    let deep = Limits {
        depth_max: 9_000,
        ..Limits::default()
    };
    let document = format!("{}{}", "<a>".repeat(9_000), "</a>".repeat(9_000));
    assert_eq!(met("", &document, &deep), None);
    assert_eq!(met(IDENTITY, &document, &deep), None);
    let copy = r#"<xsl:template match="/"><xsl:copy-of select="."/><xsl:value-of select="count(//a[ancestor::a][last()])"/></xsl:template>"#;
    assert!(matches!(
        met(copy, &document, &deep),
        None | Some("steps_max")
    ));
}

#[test]
fn texts_that_double() {
    let doubling = r#"<xsl:template match="/"><xsl:call-template name="d"><xsl:with-param name="s" select="'0123456789'"/></xsl:call-template></xsl:template>
        <xsl:template name="d"><xsl:param name="s"/><xsl:call-template name="d"><xsl:with-param name="s" select="concat($s, $s)"/></xsl:call-template></xsl:template>"#;
    assert_eq!(
        met(doubling, "<a/>", &Limits::default()),
        Some("text_bytes_max")
    );
    let text = |text_bytes_max| Limits {
        text_bytes_max,
        ..Limits::default()
    };
    let ten = r#"<xsl:template match="/"><xsl:value-of select="concat('01234', '56789')"/></xsl:template>"#;
    assert_eq!(met(ten, "<a/>", &text(10)), None);
    assert_eq!(met(ten, "<a/>", &text(9)), Some("text_bytes_max"));
}

#[test]
fn results_and_fragments() {
    let doubling = r#"<xsl:template match="/"><xsl:call-template name="d"><xsl:with-param name="s"><a/></xsl:with-param></xsl:call-template></xsl:template>
        <xsl:template name="d"><xsl:param name="s"/><xsl:call-template name="d"><xsl:with-param name="s"><xsl:copy-of select="$s"/><xsl:copy-of select="$s"/></xsl:with-param></xsl:call-template></xsl:template>"#;
    assert_eq!(
        met(doubling, "<a/>", &Limits::default()),
        Some("fragment_nodes_max")
    );
    let result = r#"<xsl:template match="/"><a b="1"/></xsl:template>"#;
    let nodes = |result_nodes_max| Limits {
        result_nodes_max,
        ..Limits::default()
    };
    assert_eq!(met(result, "<a/>", &nodes(2)), None);
    assert_eq!(met(result, "<a/>", &nodes(1)), Some("result_nodes_max"));
    // <?xml version="1.0"?>, <a b="1"/>, each with its line's end.
    let bytes = |result_bytes_max| Limits {
        result_bytes_max,
        ..Limits::default()
    };
    assert_eq!(met(result, "<a/>", &bytes(33)), None);
    assert_eq!(met(result, "<a/>", &bytes(32)), Some("result_bytes_max"));
    let text = r#"<xsl:output method="text"/><xsl:template match="/">123</xsl:template>"#;
    assert_eq!(met(text, "<a/>", &bytes(3)), None);
    assert_eq!(met(text, "<a/>", &bytes(2)), Some("result_bytes_max"));
    let variable =
        r#"<xsl:template match="/"><xsl:variable name="v"><a/>123</xsl:variable></xsl:template>"#;
    let fragment = |fragment_nodes_max, fragment_bytes_max| Limits {
        fragment_nodes_max,
        fragment_bytes_max,
        ..Limits::default()
    };
    assert_eq!(met(variable, "<a/>", &fragment(2, 3)), None);
    assert_eq!(
        met(variable, "<a/>", &fragment(1, 3)),
        Some("fragment_nodes_max")
    );
    assert_eq!(
        met(variable, "<a/>", &fragment(2, 2)),
        Some("fragment_bytes_max")
    );
}

#[test]
fn sets_of_nodes() {
    let document = "<r><a/><a/><a/></r>";
    let set = |set_nodes_max| Limits {
        set_nodes_max,
        ..Limits::default()
    };
    let three = r#"<xsl:template match="/"><xsl:value-of select="count(//a)"/></xsl:template>"#;
    assert_eq!(met(three, document, &set(3)), None);
    assert_eq!(met(three, document, &set(2)), Some("set_nodes_max"));
}

/// What compiles is no deeper than what runs can bear.
#[test]
fn the_deepest_expression_and_stylesheet() {
    let nested = format!("{}1{}", "(".repeat(47), ")".repeat(47));
    let top = |expr: &str| {
        format!(r#"<xsl:template match="/"><xsl:value-of select="{expr}"/></xsl:template>"#)
    };
    assert_eq!(met(&top(&nested), "<a/>", &Limits::default()), None);
    let chain = vec!["1"; 201].join(" + ");
    assert_eq!(met(&top(&chain), "<a/>", &Limits::default()), None);
    let compile = |top: String| {
        let text = format!("{HEAD}{top}</xsl:stylesheet>");
        Stylesheet::compile("t.xsl", &text, &|_| Err("none".to_owned())).map(|_| ())
    };
    assert!(compile(top(&format!("{}1{}", "(".repeat(49), ")".repeat(49)))).is_err());
    assert!(compile(top(&vec!["1"; 300].join(" + "))).is_err());
    let elements = |count: usize| {
        format!(
            "<xsl:template match=\"/\">{}{}</xsl:template>",
            "<a>".repeat(count),
            "</a>".repeat(count)
        )
    };
    assert_eq!(met(&elements(62), "<a/>", &Limits::default()), None);
    assert!(compile(elements(63)).is_err());
}
