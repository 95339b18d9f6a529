//! Documents inside of envelopes.

use crate::common::{Options, decode, ready_made, sample};
use expect_test::expect;

fn text(source: &str, body: &str) -> String {
    decode(&ready_made(source), body.as_bytes(), &Options::default()).text()
}

fn document() -> String {
    let text = String::from_utf8(sample("pacs.008.001.08-made-up.xml")).expect("UTF-8");
    let start = text.find("<Document").expect("a document");
    text[start..].to_owned()
}

#[test]
fn known_envelopes_give_what_the_document_gives() {
    let document = document();
    let expected = text("pacs.008", &document);
    assert_eq!(expected.lines().count(), 3, "{expected}");
    let header = "<AppHdr xmlns=\"urn:iso:std:iso:20022:tech:xsd:head.001.001.02\"><Fr><FIId><FinInstnId><BICFI>AAAABEBB</BICFI></FinInstnId></FIId></Fr>\
        <BizMsgIdr>1</BizMsgIdr><Document>no</Document></AppHdr>";
    for (before, after) in [
        (
            "<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'><s:Header><x>1</x></s:Header><s:Body>",
            "</s:Body></s:Envelope>",
        ),
        (
            "<?xml version='1.0'?><env:Envelope xmlns:env='http://www.w3.org/2003/05/soap-envelope'><env:Body>",
            "</env:Body></env:Envelope>",
        ),
        (&*format!("<RequestPayload>{header}"), "</RequestPayload>"),
        (&*format!("<message>{header}"), "</message>"),
        (
            &*format!(
                "<w:ExchangeRequest xmlns:w='urn:w'><w:Request><w:RequestHeader/><w:RequestPayload>{header}"
            ),
            "</w:RequestPayload></w:Request></w:ExchangeRequest>",
        ),
        (
            &*format!("<BizMsgEnvlp xmlns='urn:x'>{header}"),
            "</BizMsgEnvlp>",
        ),
        (
            &*format!("<p:BizMsg xmlns:p='urn:y'>\n{header}\n"),
            "\n</p:BizMsg>",
        ),
        (
            &*format!(
                "<Saa:DataPDU xmlns:Saa='urn:swift:saa:xsd:saa.2.0'><Saa:Header><Saa:Message/></Saa:Header><Saa:Body>{header}"
            ),
            "</Saa:Body></Saa:DataPDU>",
        ),
    ] {
        let body = format!("{before}{document}{after}");
        assert_eq!(text("pacs.008", &body), expected, "{before}");
    }
}

#[test]
fn what_is_not_in_the_envelope_is_refused() {
    let document = document();
    let other = document.replace("pacs.008.001.08", "pacs.009.001.08");
    let soap =
        |inner: &str| format!("<s:Envelope xmlns:s='urn:s'><s:Body>{inner}</s:Body></s:Envelope>");
    let all = [
        text("pacs.008", &soap("")),
        text("pacs.008", &soap("<s:Fault>no</s:Fault>")),
        text("pacs.008", &soap(&other)),
        text("pacs.008", &format!("<Unknown>{document}</Unknown>")),
        text("pacs.008", &other),
    ];
    expect![[r#"
        document refused: line 1: there is no document of this source in the envelope (namespace)
        document refused: line 1: there is no document of this source in the envelope (namespace)
        document refused: line 1: the document "Document" is in the namespace "urn:iso:std:iso:20022:tech:xsd:pacs.009.001.08", this source accepts urn:iso:std:iso:20022:tech:xsd:pacs.008.001.* and http://www.six-interbank-clearing.com/de/pacs.008.001.* (namespace)
        document refused: line 1: the document "Unknown" is in the namespace none, this source accepts urn:iso:std:iso:20022:tech:xsd:pacs.008.001.* and http://www.six-interbank-clearing.com/de/pacs.008.001.* (namespace)
        document refused: line 1: the document "Document" is in the namespace "urn:iso:std:iso:20022:tech:xsd:pacs.009.001.08", this source accepts urn:iso:std:iso:20022:tech:xsd:pacs.008.001.* and http://www.six-interbank-clearing.com/de/pacs.008.001.* (namespace)
    "#]].assert_eq(&all.concat());
    // Two documents in one envelope: what the first said is not inherited by the second.
    let twice = text(
        "pacs.008",
        &soap(&format!(
            "{document}{}",
            document
                .replace("<CreDtTm>", "<No>")
                .replace("</CreDtTm>", "</No>")
        )),
    );
    assert_eq!(twice.matches("booked_at is missing").count(), 3, "{twice}");
}

/// Positions are counted from the text's begin, so nothing may be taken off it unseen.
#[test]
fn one_byte_order_mark_is_taken_off_and_a_second_is_refused() {
    let document = document();
    let expected = text("pacs.008", &document);
    assert_eq!(text("pacs.008", &format!("\u{feff}{document}")), expected);
    let twice = text("pacs.008", &format!("\u{feff}\u{feff}{document}"));
    assert!(twice.contains("a second byte order mark"), "{twice}");
    let behind = text("pacs.008", "\u{feff}\u{feff}?>oi");
    assert!(behind.contains("a second byte order mark"), "{behind}");
}
