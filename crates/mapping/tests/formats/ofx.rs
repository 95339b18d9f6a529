//! OFX: statements in, transactions out.

use crate::common::{Options, decode, ready_made, sample};
use expect_test::{Expect, expect};
use mapping::{Limits, rule};

fn text(body: &str) -> String {
    let text = decode(&ready_made("ofx"), body.as_bytes(), &Options::default()).text();
    text.replace(",\"received_at\":\"2026-11-23T12:00:00.000000Z\"", "")
}

#[track_caller]
fn check(body: &str, expected: Expect) {
    expected.assert_eq(&text(body));
}

fn statement(transactions: &str) -> String {
    format!(
        "OFXHEADER:100\r\nDATA:OFXSGML\r\n\r\n<OFX><SIGNONMSGSRSV1><SONRS><STATUS><CODE>0<SEVERITY>INFO</STATUS></SONRS></SIGNONMSGSRSV1>\
         <BANKMSGSRSV1><STMTTRNRS><TRNUID>1<STMTRS><CURDEF>EUR<BANKACCTFROM><BANKID>9<ACCTID>12<ACCTTYPE>CHECKING</BANKACCTFROM>\
         <BANKTRANLIST><DTSTART>20261101<DTEND>20261130{transactions}</BANKTRANLIST></STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>\r\n"
    )
}

#[test]
fn sgml_without_end_tags() {
    let body = statement(
        "<STMTTRN><TRNTYPE>POS<DTPOSTED>20261120101500.000[+1:CET]<TRNAMT>-12,50<FITID>a/1<MEMO><NAME>AT&T &amp; Sons &lt;x&gt;</STMTTRN>\n\
         <STMTTRN>\n<TRNTYPE>CREDIT\n<DTPOSTED>20261120\n<TRNAMT>+3\n<FITID>2\n<CURRENCY><CURRATE>1.1<CURSYM>USD</CURRENCY>\n<PAYEE><NAME>P<ADDR1>x</PAYEE><CHECKNUM></STMTTRN>\
         <STMTTRN><TRNTYPE>POS<DTPOSTED>20261120<TRNAMT>-1O.00<FITID>3</STMTTRN>\
         <STMTTRN><TRNTYPE>POS<DTPOSTED>20261120<TRNAMT>-1,000<FITID>4</STMTTRN>\
         <STMTTRN><TRNTYPE>POS<DTPOSTED>20261320<TRNAMT>-1<FITID>5</STMTTRN>\
         <STMTTRN><TRNTYPE>POS</TRNTYPE><DTPOSTED>20261120</DTPOSTED><TRNAMT>-1</TRNAMT><FITID>6</FITID></STMTTRN>",
    );
    check(
        &body,
        expect![[r#"
        {"id":"9/12/a~11","source":"ofx","account":"12","amount":"-12.50","currency":"EUR","booked_at":"2026-11-20T10:15:00+01:00","type":"POS","name":"AT&T & Sons <x>"}
        {"id":"9/12/2","source":"ofx","account":"12","amount":"3.00","currency":"USD","booked_at":"2026-11-20T12:00:00Z","type":"CREDIT","name":"P"}
        record 3, line 11, field amount: "-1O.00": the amount is not a plain decimal number such as -12.50 (no exponent, no grouping, no spaces) (amount)
        record 4, line 11, field amount: "-1,000": the amount is not a plain decimal number such as -12.50 (no exponent, no grouping, no spaces) (amount)
        record 5, line 11, field booked_at: "2026-13-20" is no date and time such as 2026-11-23T10:15:00+01:00 (time)
        {"id":"9/12/6","source":"ofx","account":"12","amount":"-1.00","currency":"EUR","booked_at":"2026-11-20T12:00:00Z","type":"POS"}
    "#]],
    );
}

#[test]
fn xml_of_a_card() {
    let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><?OFX OFXHEADER=\"200\" VERSION=\"211\"?><!-- c --><OFX><CREDITCARDMSGSRSV1><CCSTMTTRNRS>\
        <CCSTMTRS><CURDEF>EUR</CURDEF><CCACCTFROM><ACCTID>5299</ACCTID></CCACCTFROM><BANKTRANLIST><STMTTRN><TRNTYPE>DEBIT</TRNTYPE>\
        <DTPOSTED>20261120101500</DTPOSTED><TRNAMT>-7.10</TRNAMT><FITID>1</FITID><NAME><![CDATA[A & B]]></NAME><MEMO/></STMTTRN></BANKTRANLIST>\
        </CCSTMTRS></CCSTMTTRNRS></CREDITCARDMSGSRSV1></OFX>";
    check(
        body,
        expect![[r#"
        {"id":"5299/5299/1","source":"ofx","account":"5299","amount":"-7.10","currency":"EUR","booked_at":"2026-11-20T10:15:00Z","type":"DEBIT","name":"A & B"}
    "#]],
    );
}

#[test]
fn several_statements_do_not_mix() {
    let one = statement("<STMTTRN><DTPOSTED>20261120<TRNAMT>1<FITID>1</STMTTRN>");
    let second = "<STMTTRNRS><STMTRS><CURDEF>USD<BANKACCTFROM><ACCTID>77</BANKACCTFROM><BANKTRANLIST><STMTTRN><DTPOSTED>20261120<TRNAMT>2<FITID>1</STMTTRN></BANKTRANLIST></STMTRS></STMTTRNRS>";
    check(
        &one.replace("</BANKMSGSRSV1>", &format!("{second}</BANKMSGSRSV1>")),
        expect![[r#"
            {"id":"9/12/1","source":"ofx","account":"12","amount":"1.00","currency":"EUR","booked_at":"2026-11-20T12:00:00Z"}
            {"id":"77/77/1","source":"ofx","account":"77","amount":"2.00","currency":"USD","booked_at":"2026-11-20T12:00:00Z"}
        "#]],
    );
}

#[test]
fn what_is_not_well_formed_is_refused() {
    let refused = |body: &str| {
        let decoded = decode(&ready_made("ofx"), body.as_bytes(), &Options::default());
        decoded.result.map_or_else(
            |refusal| refusal.to_string(),
            |count| format!("{count} records"),
        )
    };
    let good = statement("");
    let all = [
        refused(&good),
        refused("no tags at all"),
        refused(&good.replace("</OFX>", "")),
        refused(&good.replace("</STMTRS>", "</STMTRS></STMTRS>")),
        refused(&good.replace("<OFX>", "<!DOCTYPE OFX><OFX>")),
        refused(&format!("{good}<OFX></OFX>")),
        refused(&format!("{good}text")),
        refused("<html></html>"),
        refused("<OFX><BANKMSGSRSV1"),
        refused(&good.replace(
            "</BANKMSGSRSV1>",
            "</BANKMSGSRSV1><INVSTMTMSGSRSV1></INVSTMTMSGSRSV1>",
        )),
    ];
    expect![[r#"
        0 records
        line 1: there is no element <OFX> in the document (ofx)
        line 5: the text ends inside of <OFX> (ofx)
        line 4: </STMTRS> ends an element that has not begun (ofx)
        line 4: the document has a DOCTYPE; document type definitions are never read (doctype)
        line 5: there is a second element behind <OFX> (ofx)
        line 4: there is text outside of <OFX> (ofx)
        line 1: the document is "html", <OFX> is expected (ofx)
        line 1: a tag has no > behind it (ofx)
        line 4, field INVSTMTMSGSRSV1: the document has <INVSTMTMSGSRSV1>, which this source does not read (unsupported)"#]]
    .assert_eq(&all.join("\n"));
}

#[test]
fn nesting_is_limited() {
    let nested = |depth: usize| {
        let body =
            "<OFX>".to_owned() + &"<A>".repeat(depth - 1) + &"</A>".repeat(depth - 1) + "</OFX>";
        let options = Options {
            limits: Limits {
                depth_max: 8,
                ..Limits::default()
            },
            ..Options::default()
        };
        let decoded = decode(&ready_made("ofx"), body.as_bytes(), &options);
        decoded.result.map_err(|refusal| refusal.rule)
    };
    assert_eq!(nested(8), Ok(0));
    assert_eq!(nested(9), Err(rule::DEPTH));
}

#[test]
fn names_in_small_letters_and_code_pages() {
    let body = String::from_utf8(sample("ofx/checking.ofx")).expect("ASCII");
    let (header, document) = body.split_at(body.find("<OFX>").expect("a document"));
    let mut small = String::new();
    let mut in_tag = false;
    for character in document.chars() {
        in_tag = character == '<' || in_tag && character != '>';
        small.push(if in_tag {
            character.to_ascii_lowercase()
        } else {
            character
        });
    }
    assert_eq!(text(&format!("{header}{small}")), text(&body));
    let body = statement("<STMTTRN><DTPOSTED>20261120<TRNAMT>1<FITID>1<NAME>Caf\u{e9}</STMTTRN>");
    let bytes: Vec<u8> = body.chars().map(|character| character as u8).collect();
    let decoded = decode(&ready_made("ofx"), &bytes, &Options::default());
    assert!(
        decoded.text().contains("\"name\":\"Café\""),
        "{}",
        decoded.text()
    );
}
