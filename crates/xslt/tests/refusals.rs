//! What is refused: when a stylesheet is compiled, and while it runs.

#![allow(clippy::unwrap_used, reason = "tests")]

use expect_test::{Expect, expect};
use xslt::{Limits, Stylesheet};

#[track_caller]
fn check(top: &str, expected: Expect) {
    let text = format!(
        "<xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\" xmlns:dp=\"http://www.datapower.com/extensions\" xmlns:x=\"urn:x\">\n{top}\n</xsl:stylesheet>"
    );
    let given = match Stylesheet::compile("t.xsl", &text, &|name| {
        Err(format!("there is no file {name:?}"))
    }) {
        Err(error) => error.to_string(),
        Ok(sheet) => match sheet.transform(b"<r><a/></r>", &[], &Limits::default()) {
            Err(error) => format!("{:?}: {error}", error.cause),
            Ok(output) => String::from_utf8(output.bytes).unwrap(),
        },
    };
    expected.assert_eq(&given);
}

fn template(inside: &str) -> String {
    format!("<xsl:template match=\"/\">{inside}</xsl:template>")
}

#[test]
fn what_does_not_compile() {
    check(
        &template("<xsl:value-of select=\"dp:variable('x')\"/>"),
        expect![[
            r#"t.xsl:2:47: dp:variable() is DataPower's own and not known here; what a stylesheet needs from outside comes in as an xsl:param, in "dp:variable('x')""#
        ]],
    );
    check(
        &template("<xsl:value-of select=\"a[\"/>"),
        expect![[
            r#"t.xsl:2:49: it ends where a step such as a name, *, @name or text() is expected, in "a[""#
        ]],
    );
    check(
        &template("<xsl:value-of select=\"$none\"/>"),
        expect![[
            r#"t.xsl:2:47: there is no variable $none in scope; there are none here, in "$none""#
        ]],
    );
    check(
        &template("<xsl:value-of select=\"q:a\"/>"),
        expect![[
            r#"t.xsl:2:47: the prefix "q" is not declared here: xmlns:q="…" is missing, in "q:a""#
        ]],
    );
    check(
        &template("<xsl:value-of select=\"string_length('a')\"/>"),
        expect![[
            r#"t.xsl:2:47: there is no function string_length(): is string-length() meant?, in "string_length('a')""#
        ]],
    );
    check(
        &template("<xsl:value-of select=\"concat('a')\"/>"),
        expect![[r#"t.xsl:2:47: concat() has 1 arguments, it takes 2 or more, in "concat('a')""#]],
    );
    check(
        &template("<xsl:value-of select=\"count('a')\"/>"),
        expect![[
            r#"t.xsl:2:47: count() takes nodes, and its argument is a text, in "count('a')""#
        ]],
    );
    check(
        &template("<xsl:value-of select=\"document('other.xml')\"/>"),
        expect![[
            r#"t.xsl:2:47: document() reads other files, and a stylesheet here reads nothing from outside; only document('') is known, the stylesheet itself, in "document('other.xml')""#
        ]],
    );
    check(
        &template("<xsl:value-of/>"),
        expect!["t.xsl:2:25: xsl:value-of needs the attribute select"],
    );
    check(
        &template("<xsl:value-of select=\".\" selct=\".\"/>"),
        expect![[
            r#"t.xsl:2:57: xsl:value-of has no attribute "selct"; it has select, disable-output-escaping"#
        ]],
    );
    check(
        &template("<xsl:for-each-group select=\"a\"/>"),
        expect![
            "t.xsl:2:25: xsl:for-each-group is no instruction of XSLT 1.0; there are xsl:apply-imports, xsl:apply-templates, xsl:attribute, xsl:call-template, xsl:choose, xsl:comment, xsl:copy, xsl:copy-of, xsl:element, xsl:fallback, xsl:for-each, xsl:if, xsl:message, xsl:number, xsl:processing-instruction, xsl:text, xsl:value-of, xsl:variable"
        ],
    );
    check(
        &template("<xsl:template match=\"a\"/>"),
        expect!["t.xsl:2:25: xsl:template does not stand here, inside of a template"],
    );
    check(
        &template("<xsl:call-template name=\"none\"/>"),
        expect![[r#"t.xsl:2:50: there is no template named "none"; none has a name"#]],
    );
    check(
        &template("<a b=\"{\"/>"),
        expect![[r#"t.xsl:2:31: { has no }; {{ means the bracket itself, in "{""#]],
    );
    check(
        &template("<xsl:choose/>"),
        expect!["t.xsl:2:25: xsl:choose needs an xsl:when"],
    );
    check(
        &template("<xsl:variable name=\"v\"/><xsl:variable name=\"v\"/>"),
        expect![
            "t.xsl:2:69: there is already a variable $v in this template, and one cannot hide another"
        ],
    );
    check(
        &template("<xsl:sort/>"),
        expect!["t.xsl:2:25: xsl:sort does not stand here, inside of a template"],
    );
    check(
        "<xsl:template match=\"a/..\"/>",
        expect![[
            r#"t.xsl:2:22: a pattern has only the axes child and attribute, and //, in "a/..""#
        ]],
    );
    check(
        "<xsl:template match=\"$v\"/>",
        expect![[
            r#"t.xsl:2:22: $v: there are no variables in the patterns of templates and in keys, in "$v""#
        ]],
    );
    check(
        "<xsl:template/>",
        expect![[r#"t.xsl:2:1: xsl:template needs match="…" or name="…""#]],
    );
    check(
        "<xsl:output method=\"html\"/>",
        expect![[
            r#"t.xsl:2:21: the output method "html" is not written here; there are xml and text"#
        ]],
    );
    check(
        "<xsl:output encoding=\"ISO-8859-1\"/>",
        expect![[r#"t.xsl:2:23: the encoding "ISO-8859-1" is not written here, only UTF-8"#]],
    );
    check(
        "<xsl:import href=\"none.xsl\"/>",
        expect![[r#"t.xsl:2:19: there is no file "none.xsl""#]],
    );
    check(
        "<xsl:value-of select=\".\"/>",
        expect!["t.xsl:2:1: xsl:value-of stands inside of a template, not at the top level"],
    );
    check(
        "<xsl:attribute-set name=\"s\" use-attribute-sets=\"s\"/>",
        expect!["t.xsl:2:1: the attribute set uses itself, directly or through others"],
    );
    check(
        "<xsl:template name=\"t\"/><xsl:template name=\"t\"/>",
        expect![[r#"t.xsl:2:45: there are two templates named "t""#]],
    );
    check(
        "<a>",
        expect![
            "t.xsl:3:1: it is not well-formed: ill-formed document: expected `</a>`, but `</xsl:stylesheet>` was found"
        ],
    );
}

#[test]
fn what_does_not_run() {
    check(
        &template("<xsl:message terminate=\"yes\">the sum <b>differs</b></xsl:message>"),
        expect!["Terminated: the sum differs (t.xsl, line 2)"],
    );
    check(
        &template("<a>x<xsl:attribute name=\"b\"/></a>"),
        expect!["Stylesheet: an attribute comes behind a child of its element (t.xsl, line 2)"],
    );
    check(
        &template("<xsl:attribute name=\"b\"/>"),
        expect!["Stylesheet: an attribute stands outside of any element (t.xsl, line 2)"],
    );
    check(
        &template("<a><xsl:attribute name=\"{'1'}\"/></a>"),
        expect![[r#"Stylesheet: an attribute cannot be named "1" (t.xsl, line 2)"#]],
    );
    check(
        &template("<xsl:comment><a/></xsl:comment>"),
        expect![
            "Stylesheet: an element stands inside of an attribute, a comment or a processing instruction, where there is only text (t.xsl, line 2)"
        ],
    );
    check(
        &template("<xsl:variable name=\"v\"><a/></xsl:variable><xsl:value-of select=\"$v/a\"/>"),
        expect![[
            r#"Stylesheet: a result tree fragment is no node-set: exsl:node-set(…), with xmlns:exsl="http://exslt.org/common", makes it one (t.xsl, line 2)"#
        ]],
    );
    check(
        "<xsl:variable name=\"a\" select=\"$b\"/><xsl:variable name=\"b\" select=\"$a\"/><xsl:template match=\"/\"><xsl:value-of select=\"$a\"/></xsl:template>",
        expect!["Stylesheet: the value of $a depends on $a itself (t.xsl, line 2)"],
    );
    check(
        &template("<xsl:value-of select=\"key('none', 1)\"/>"),
        expect![[r#"Stylesheet: there is no xsl:key of the name "none" (t.xsl, line 2)"#]],
    );
    check(
        &template("<xsl:for-each select=\"r\"><xsl:apply-imports/></xsl:for-each>"),
        expect![
            "Stylesheet: xsl:apply-imports stands where no template rule is current, such as in xsl:for-each (t.xsl, line 2)"
        ],
    );
}

#[test]
fn documents_that_are_not_read() {
    let sheet = Stylesheet::compile(
        "t.xsl",
        "<out xsl:version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\"/>",
        &|_| Err(String::new()),
    )
    .unwrap();
    let mut given = String::new();
    for document in [
        "",
        "text",
        "<a>",
        "<a></b>",
        "<a/><b/>",
        "<a>&none;</a>",
        "<!DOCTYPE a><a/>",
        "<a b='1' b='2'/>",
        "<a x:b='1'/>",
        "<a xmlns:x='u' xmlns:y='u' x:b='1' y:b='2'/>",
        "<a>\u{1}</a>",
        "<a>&#0;</a>",
        "<a b='<'/>",
        "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a/>",
    ] {
        let error = sheet
            .transform(document.as_bytes(), &[], &Limits::default())
            .unwrap_err();
        given.push_str(&format!("{document:?}: {error}\n"));
    }
    expect![[r#"
        "": the document: there is no element in it (byte 0)
        "text": the document: there is text outside of the root element (byte 0)
        "<a>": the document: it ends inside of an element (byte 3)
        "<a></b>": the document: it is not well-formed: ill-formed document: expected `</a>`, but `</b>` was found (byte 3)
        "<a/><b/>": the document: there is a second root element (byte 4)
        "<a>&none;</a>": the document: the entity &none; is not declared; only amp, lt, gt, quot and apos are known (byte 3)
        "<!DOCTYPE a><a/>": the document: it has a DOCTYPE; document type definitions are never read (byte 0)
        "<a b='1' b='2'/>": the document: it is not well-formed: position 8: duplicated attribute, previous declaration at position 2 (byte 0)
        "<a x:b='1'/>": the document: the prefix "x" is not declared (byte 8)
        "<a xmlns:x='u' xmlns:y='u' x:b='1' y:b='2'/>": the document: the attribute "{u}b" stands twice (byte 40)
        "<a>\u{1}</a>": the document: the character U+0001 is not allowed in XML (byte 3)
        "<a>&#0;</a>": the document: a reference to a character that XML does not allow (byte 3)
        "<a b='<'/>": the document: a character in b that XML does not allow there (byte 6)
        "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a/>": the document: the encoding is "ISO-8859-1", only UTF-8 is read (byte 0)
    "#]].assert_eq(&given);
}

#[test]
fn parameters_are_texts_by_name() {
    let text = "<xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\" xmlns:x=\"urn:x\"><xsl:output method=\"text\"/>\
        <xsl:param name=\"p\">default</xsl:param><xsl:param name=\"x:q\" select=\"1 + 1\"/><xsl:variable name=\"v\" select=\"'v'\"/>\
        <xsl:template match=\"/\"><xsl:value-of select=\"concat($p, '|', $x:q, '|', $v)\"/></xsl:template></xsl:stylesheet>";
    let sheet = Stylesheet::compile("t.xsl", text, &|_| Err(String::new())).unwrap();
    assert_eq!(sheet.parameters(), ["p", "{urn:x}q"]);
    let given = |parameters: &[(&str, &str)]| {
        let output = sheet
            .transform(b"<a/>", parameters, &Limits::default())
            .unwrap();
        String::from_utf8(output.bytes).unwrap()
    };
    assert_eq!(given(&[]), "default|2|v");
    assert_eq!(
        given(&[
            ("p", "1 + 1"),
            ("{urn:x}q", "Q"),
            ("v", "no"),
            ("none", "no")
        ]),
        "1 + 1|Q|v"
    );
}

/// Amounts that are only passed through keep every digit.
#[test]
fn amounts_stay_text() {
    let text = "<out xsl:version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\"><xsl:value-of select=\"a\"/></out>";
    let sheet = Stylesheet::compile("t.xsl", text, &|_| Err(String::new())).unwrap();
    let output = sheet
        .transform(b"<a>12345678901234567890.10</a>", &[], &Limits::default())
        .unwrap();
    assert_eq!(
        String::from_utf8(output.bytes).unwrap(),
        "<?xml version=\"1.0\"?>\n<out>12345678901234567890.10</out>\n"
    );
}
