//! Documents are read as others read them: verdicts of the conformance suite of the W3C and of Expat, and random
//! documents beside roxmltree, which gives the same trees and refuses less.

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde::Deserialize;

use super::*;

const ATTRIBUTES_MAX: usize = 64;

/// The document in one form: begins and ends, and all text between two of them as one. The rules about roots are
/// those that the decoder has.
fn tree(body: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut text = String::new();
    let (mut depth, mut roots) = (0, 0);
    let mut tokens = Tokens::new(body, ATTRIBUTES_MAX);
    let mut before = 0;
    let flush = |out: &mut String, text: &mut String| {
        if !text.is_empty() {
            write!(out, "{:?}", std::mem::take(text)).expect("a string");
        }
    };
    while let Some(token) = tokens
        .next()
        .map_err(|error| format!("{}: {}", error.at, error.what))?
    {
        assert_eq!(tokens.start(), before, "tokens follow each other");
        before = tokens.end();
        assert!(tokens.start() < before, "each has a byte");
        let own = &body[tokens.start()..before];
        match token {
            Token::Begin { name, is_empty } => {
                flush(&mut out, &mut text);
                roots += usize::from(depth == 0);
                if roots > 1 {
                    return Err("a second root".to_owned());
                }
                write!(out, "<{name}").expect("a string");
                let attributes = tokens.attributes().iter();
                let mut attributes: Vec<_> = attributes
                    .filter(|attribute| !attribute.name.starts_with("xmlns"))
                    .map(|attribute| (attribute.name, attribute.value()))
                    .collect();
                attributes.sort();
                for (name, value) in attributes {
                    write!(out, " {name}={value:?}").expect("a string");
                }
                out.push('>');
                match is_empty {
                    true => out.push_str("</>"),
                    false => depth += 1,
                }
            }
            Token::End => {
                flush(&mut out, &mut text);
                out.push_str("</>");
                depth -= 1;
            }
            Token::Text | Token::Section(_) | Token::Reference(_) if depth == 0 => {
                if token != Token::Text || !own.trim_matches(WHITE_SPACE).is_empty() {
                    return Err("text outside of the root".to_owned());
                }
            }
            Token::Text => text.push_str(&lines(own)),
            Token::Section(inner) => text.push_str(&lines(inner)),
            Token::Reference(character) => text.push(character),
            Token::Doctype => return Err("a DOCTYPE".to_owned()),
            // The text is UTF-8 by now; the decoder refuses others.
            Token::Declaration(Some("UTF-16")) => return Err("another encoding".to_owned()),
            Token::Declaration(_) | Token::Aside => {}
        }
    }
    assert_eq!(before, body.len(), "nothing is left");
    match (depth, roots) {
        (0, 1) => Ok(out),
        _ => Err("no root, or one that does not end".to_owned()),
    }
}

fn lines(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// The same by roxmltree.
fn expected(body: &str) -> Result<String, roxmltree::Error> {
    fn name(
        node: roxmltree::Node<'_, '_>,
        attribute: Option<&roxmltree::Attribute<'_, '_>>,
    ) -> String {
        let range = match attribute {
            Some(attribute) => attribute.range_qname(),
            None => node.range().start + 1..node.range().end,
        };
        let text = &node.document().input_text()[range];
        let end = text
            .find(|one: char| "> /\t\n\r=".contains(one))
            .unwrap_or(text.len());
        text[..end].to_owned()
    }
    fn element(node: roxmltree::Node<'_, '_>, out: &mut String) {
        write!(out, "<{}", name(node, None)).expect("a string");
        let attributes = node.attributes();
        let mut attributes: Vec<_> = attributes
            .map(|attribute| (name(node, Some(&attribute)), attribute.value().to_owned()))
            .collect();
        attributes.sort();
        for (name, value) in attributes {
            write!(out, " {name}={value:?}").expect("a string");
        }
        out.push('>');
        let mut text = String::new();
        for child in node.children() {
            if child.is_text() {
                text.push_str(child.text().unwrap_or_default());
            } else if child.is_element() {
                if !text.is_empty() {
                    write!(out, "{:?}", std::mem::take(&mut text)).expect("a string");
                }
                element(child, out);
            }
        }
        if !text.is_empty() {
            write!(out, "{text:?}").expect("a string");
        }
        out.push_str("</>");
    }
    let document = roxmltree::Document::parse(body)?;
    let mut out = String::new();
    element(document.root_element(), &mut out);
    Ok(out)
}

#[derive(Deserialize)]
struct Case {
    well_formed: bool,
    document: String,
}

/// How many are not well-formed, and how many are.
fn verdicts(file: &str) -> [usize; 2] {
    let path = format!("{}/tests/data/xml/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("it is there");
    let mut seen = [0; 2];
    let mut wrong = Vec::new();
    for line in text.lines() {
        let case: Case = serde_json::from_str(line).expect("a case");
        // The decoder takes it off.
        let document = case.document.trim_start_matches('\u{feff}');
        seen[usize::from(case.well_formed)] += 1;
        let read = tree(document);
        if read.is_ok() != case.well_formed {
            wrong.push(format!("{document:?}: {read:?}"));
        }
        if let (Ok(read), Ok(other)) = (read, expected(document)) {
            assert_eq!(read, other, "{document:?}");
        }
    }
    assert_eq!(wrong, [""; 0]);
    seen
}

#[test]
fn verdicts_are_those_of_the_conformance_suite() {
    assert_eq!(verdicts("conformance.ndjson"), [190, 283]);
}

#[test]
fn verdicts_are_those_of_expat() {
    assert_eq!(verdicts("verdicts.ndjson"), [1295, 205]);
}

/// A document from a tape of choices.
struct Maker<'c> {
    choices: std::slice::Iter<'c, u8>,
    out: String,
}

const NAMES: &[&str] = &["a", "Amt", "x1", "_", "é.-·", "名前", "a-b"];
/// Without a CR of its own, which roxmltree leaves as it is before a reference; the suite has those.
const TEXTS: &[&str] = &[
    "12.50",
    " ",
    "\r\n  ",
    "é",
    "]",
    "]]",
    "名",
    "&amp;",
    "&lt;",
    "&gt;",
    "&quot;",
    "&apos;",
    "&#65;",
    "&#x1F600;",
    "&#13;",
    "<!-- c - d -->",
    "<?pi a?>",
    "<?pi?>",
    "<![CDATA[<a>&]]]>",
    "<![CDATA[]]>",
    "<![CDATA[\r\n]]>",
    "\u{fffd}",
    "\u{feff}",
    "\u{7f}\u{80}",
];
const VALUES: &[&str] = &[
    "",
    "EUR",
    " x ",
    "\ta\nb",
    "\r\n",
    "&amp;&#10;",
    "é]]>",
    "'",
    "a=b/>",
];
/// What is put where it does not belong. No colon: roxmltree minds namespaces.
const PIECES: &[&str] = &[
    "<",
    ">",
    "&",
    ";",
    "\"",
    "'",
    "=",
    "/",
    "!",
    "?",
    "-",
    "[",
    "]",
    " ",
    "\u{0}",
    "\u{1f}",
    "\u{fffe}",
    "\u{ffff}",
    "\u{d7}",
    "\u{37e}",
    "1",
    "]]>",
    "--",
    "-->",
    "<!--",
    "<![CDATA[",
    "<!DOCTYPE a>",
    "<?xml version='1.0'?>",
    "<?",
    "?>",
    "</",
    "/>",
    "<a>",
    "</a>",
    "<a/>",
    "&#0;",
    "&#xD800;",
    "&#x110000;",
    "&#;",
    "&#x;",
    "&#99999999999;",
    "&eur;",
    "& ",
    "<a b='1' b='2'/>",
    "<a b=1/>",
    "<a b/>",
    "<a b='<'/>",
    "<a\u{a0}/>",
    "<?XML a?>",
];

impl Maker<'_> {
    fn choice(&mut self) -> usize {
        self.choices.next().copied().map_or(0, usize::from)
    }

    fn one(&mut self, of: &'static [&'static str]) -> &'static str {
        of[self.choice() % of.len()]
    }

    fn element(&mut self, depth: usize) {
        let name = self.one(NAMES);
        self.out.push('<');
        self.out.push_str(name);
        for attribute in NAMES.iter().take(self.choice() % 4) {
            let quote = if self.choice().is_multiple_of(2) {
                '"'
            } else {
                '\''
            };
            let value = self.one(VALUES).replace(quote, "");
            let space = self.one(&["", " ", "\n"]);
            write!(
                self.out,
                " {space}{attribute}{space}={space}{quote}{value}{quote}"
            )
            .expect("a string");
        }
        let space = self.one(&["", "", " ", "\r\n"]);
        self.out.push_str(space);
        if self.choice().is_multiple_of(5) {
            self.out.push_str("/>");
            return;
        }
        self.out.push('>');
        for _ in 0..self.choice() % 5 {
            match depth < 5 && self.choice().is_multiple_of(2) {
                true => self.element(depth + 1),
                false => {
                    let text = self.one(TEXTS);
                    self.out.push_str(text);
                }
            }
        }
        let space = self.one(&["", "", " ", "\n"]);
        write!(self.out, "</{name}{space}>").expect("a string");
    }
}

fn document(choices: &[u8], faults: usize) -> String {
    let mut maker = Maker {
        choices: choices.iter(),
        out: String::new(),
    };
    let heads = [
        "",
        "",
        "<?xml version=\"1.0\"?>",
        "<?xml version='1.0' encoding='UTF-8' standalone='no' ?>\n",
        "<!-- first -->",
    ];
    let head = heads[maker.choice() % heads.len()];
    maker.out.push_str(head);
    maker.element(0);
    let tail = maker.one(&["", "\n", "<!-- last -->", "<?pi?>\r\n"]);
    maker.out.push_str(tail);
    for _ in 0..faults {
        let wanted = (maker.choice() << 8 | maker.choice()) % (maker.out.len() + 1);
        let at = maker.out.floor_char_boundary(wanted);
        match maker.choice() % 3 {
            0 => {
                if let Some(character) = maker.out[at..].chars().next() {
                    maker.out.replace_range(at..at + character.len_utf8(), "");
                }
            }
            1 => {
                let piece = maker.one(PIECES);
                maker.out.insert_str(at, piece);
            }
            _ => maker.out.truncate(at),
        }
    }
    maker.out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn documents_are_read_as_by_another_reader(choices in prop::collection::vec(any::<u8>(), 0..160), faults in 0_usize..3) {
        let body = document(&choices, faults);
        let (read, other) = (tree(&body), expected(&body));
        match (read, other) {
            (Ok(read), Ok(other)) => prop_assert_eq!(read, other),
            // Expat has a say on what only we refuse.
            (Err(_), _) => prop_assert!(faults > 0, "it was well-formed: {}", body),
            (read, other) => return Err(TestCaseError::fail(format!("{body:?}: {read:?}, other: {other:?}"))),
        }
    }

    #[test]
    fn anything_cut_anywhere_ends(text in "[<>&;!?/\"'= a\u{ef}\u{ffff}\\[\\]-]{0,40}") {
        let _ = tree(&text);
    }
}

#[test]
fn mistakes_are_said_with_their_place() {
    let mistakes = [
        "<a",
        "<a b",
        "<a b=",
        "<a b=1>",
        "<a b='1' b=\"2\"/>",
        "<a b='1'c='2'/>",
        "<a b='<'/>",
        "<a b='&c;'/>",
        "<a b='x",
        "<a></b>",
        "<aa></",
        "<aa></a",
        "<a></a ",
        "<a></a b>",
        "<a></b",
        "</a>",
        "<a>AT&T</a>",
        "<a>&euro;</a>",
        "<a>&#1;</a>",
        "<a>1 < 2</a>",
        "<a>]]></a>",
        "<a>\u{1}</a>",
        "<a>\u{ffff}</a>",
        "<a><!-- -- --></a>",
        "<a><!-- ",
        "<a><![CDATA[ ]]",
        "<a><!ELEMENT></a>",
        "<?xml encoding='UTF-8'?><a/>",
        "<?xml version='2.0'?><a/>",
        " <?xml version='1.0'?><a/>",
        "<?pi",
        "<?pi+a?>",
        "<a\u{d7}/>",
        "<a $='1'/>",
        "<a/ >",
        "<",
    ];
    let mut said = String::new();
    for body in mistakes {
        let error = tree(body).expect_err(body);
        writeln!(said, "{body:?} {error}").expect("a string");
    }
    expect_test::expect![[r#"
        "<a" 0: the text ends inside of the tag "a", before its >
        "<a b" 4: no = behind the attribute "b"
        "<a b=" 5: the value of the attribute "b" is not in quotes
        "<a b=1>" 5: the value of the attribute "b" is not in quotes
        "<a b='1' b=\"2\"/>" 9: the attribute "b" stands twice in one tag
        "<a b='1'c='2'/>" 8: "c" in the tag "a", where white space, > or an attribute belongs
        "<a b='<'/>" 6: a < in the attribute "b"; it is written &lt;
        "<a b='&c;'/>" 6: "&c;" is no character reference and none of the five predefined entities
        "<a b='x" 6: the text ends in the value of the attribute "b"
        "<a></b>" 3: the end of "b" stands where that of "a" belongs
        "<aa></" 4: the text ends inside of the end of "aa", before its >
        "<aa></a" 4: the text ends inside of the end of "aa", before its >
        "<a></a " 3: the text ends inside of the end of "a", before its >
        "<a></a b>" 3: the end of the element "a" has no >
        "<a></b" 3: the end of "b" stands where that of "a" belongs
        "</a>" 0: an element ends that has not begun
        "<a>AT&T</a>" 5: a & that begins no reference; one that is text is written &amp;
        "<a>&euro;</a>" 3: "&euro;" is no character reference and none of the five predefined entities
        "<a>&#1;</a>" 3: "&#1;" is no character reference and none of the five predefined entities
        "<a>1 < 2</a>" 5: " " behind a <, where a name belongs; a < that is text is written &lt;
        "<a>]]></a>" 3: ]]> in a text, which only ends CDATA; > is written &gt;
        "<a>\u{1}</a>" 3: a character that XML does not allow: U+0001
        "<a>\u{ffff}</a>" 3: a character that XML does not allow: U+FFFE or U+FFFF
        "<a><!-- -- --></a>" 8: -- inside of a comment
        "<a><!-- " 3: the text ends inside of a comment
        "<a><![CDATA[ ]]" 3: the text ends inside of CDATA, before its ]]>
        "<a><!ELEMENT></a>" 3: <! that begins no comment, no CDATA and no DOCTYPE
        "<?xml encoding='UTF-8'?><a/>" 0: the XML declaration is not <?xml version="1.0" encoding="..."?>
        "<?xml version='2.0'?><a/>" 0: the XML declaration says version="2.0"
        " <?xml version='1.0'?><a/>" 1: an XML declaration may stand only at the beginning
        "<?pi" 0: the text ends inside of a processing instruction, before its ?>
        "<?pi+a?>" 4: no white space behind the name of a processing instruction
        "<a×/>" 1: "a×" where the name of an element belongs
        "<a $='1'/>" 3: "$" in the tag "a", where white space, > or an attribute belongs
        "<a/ >" 2: "/" in the tag "a", where white space, > or an attribute belongs
        "<" 0: the text ends behind a <
    "#]].assert_eq(&said);
}

#[test]
fn no_more_attributes_are_kept_than_allowed() {
    let body = |count: usize| {
        let attributes: String = (0..count).map(|index| format!(" a{index}=''")).collect();
        format!("<a{attributes}/>")
    };
    let first = |body: &str| {
        Tokens::new(body, 3)
            .next()
            .map(|_| ())
            .map_err(|error| (error.rule, error.at))
    };
    assert_eq!(first(&body(3)), Ok(()));
    assert_eq!(first(&body(4)), Err((rule::ATTRIBUTES, 0)));
}
