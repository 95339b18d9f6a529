//! Status reports of ISO 20022: pain.002 to who sent a pain.001 or pain.008, pacs.002 to a bank.
//!
//! The elements that are written, and their order, are the same in all versions of both; the version answers the request's: 03 to
//! messages of before 2019, 10 to later ones.
//!
//! | `GrpSts`, `TxSts` | Meaning |
//! | --- | --- |
//! | `ACTC` | understood and on disk; nothing is said of whether it can be executed |
//! | `PART` | some transactions are refused, the others are on disk (`Prefer: handling=lenient`) |
//! | `RJCT` | nothing was accepted |

use std::ops::Range;

use mapping::{Refusal, Refused, is_xsd_date_time, received_at_text, rule};

use super::look::{Document, Names, names};
use super::{push_element, push_text};

/// Most refused transactions of one report.
pub(super) const REFUSED_MAX: usize = 1_000;
/// `Max35Text`.
const ID_CHARS_MAX: usize = 35;
/// `Max105Text`, of `AddtlInf`.
const TEXT_CHARS_MAX: usize = 105;
/// Pieces of that length that a reason is told in.
const TEXTS_MAX: usize = 4;
/// What stands where an id must and none is known, as ISO 20022 has it for `EndToEndId`.
const NOT_PROVIDED: &str = "NOTPROVIDED";

/// What became of a document.
pub(super) struct Outcome<'a> {
    pub(super) accepted: usize,
    pub(super) refused: &'a [Refused],
    /// Why all of it was refused.
    pub(super) whole: Option<&'a Refusal>,
}

/// A report to be written.
pub(super) struct Report<'a> {
    pub(super) document: &'a Document,
    pub(super) id: &'a str,
    /// Microseconds since 1970.
    pub(super) now: i64,
}

impl Outcome<'_> {
    fn status(&self) -> &'static str {
        match (
            self.accepted,
            self.whole.is_some() || !self.refused.is_empty(),
        ) {
            (_, false) => "ACTC",
            (0, true) => "RJCT",
            (_, true) => "PART",
        }
    }
}

impl Report<'_> {
    /// The element `Document`. `body` is the request's.
    pub(super) fn write(&self, body: &[u8], outcome: &Outcome<'_>) -> String {
        let document = self.document;
        let (kind, element) = match document.is_pacs() {
            true => ("pacs.002", "FIToFIPmtStsRpt"),
            false => ("pain.002", "CstmrPmtStsRpt"),
        };
        // Those of 2019.
        let new_from = if document.name.starts_with("pain.001") {
            9
        } else {
            8
        };
        let version = if document.version() < new_from {
            "03"
        } else {
            "10"
        };
        let mut xml = format!(
            "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:{kind}.001.{version}\"><{element}><GrpHdr>"
        );
        push_element(&mut xml, "MsgId", &cut(self.id, ID_CHARS_MAX));
        push_element(&mut xml, "CreDtTm", &received_at_text(self.now));
        xml.push_str("</GrpHdr>");
        self.group(&mut xml, outcome);
        self.transactions(&mut xml, body, outcome);
        xml.push_str(&format!("</{element}></Document>"));
        xml
    }

    fn group(&self, xml: &mut String, outcome: &Outcome<'_>) {
        let document = self.document;
        xml.push_str("<OrgnlGrpInfAndSts>");
        push_element(xml, "OrgnlMsgId", id(&document.id));
        push_element(xml, "OrgnlMsgNmId", &document.name);
        if is_date_time(&document.created) {
            push_element(xml, "OrgnlCreDtTm", &document.created);
        }
        if is_count(&document.count) {
            push_element(xml, "OrgnlNbOfTxs", &document.count);
        }
        if is_decimal(&document.sum) {
            push_element(xml, "OrgnlCtrlSum", &document.sum);
        }
        push_element(xml, "GrpSts", outcome.status());
        if let Some(refusal) = outcome.whole {
            push_reason(xml, refusal);
        }
        let refused = outcome.refused.len();
        if refused > REFUSED_MAX {
            let note = format!("{REFUSED_MAX} of {refused} refused transactions are listed");
            push_reasons(xml, "NARR", [note.as_str()].into_iter());
        }
        if outcome.accepted > 0 && refused > 0 {
            for (count, status) in [(outcome.accepted, "ACTC"), (refused, "RJCT")] {
                xml.push_str("<NbOfTxsPerSts>");
                push_element(xml, "DtldNbOfTxs", &count.to_string());
                push_element(xml, "DtldSts", status);
                xml.push_str("</NbOfTxsPerSts>");
            }
        }
        xml.push_str("</OrgnlGrpInfAndSts>");
    }

    fn transactions(&self, xml: &mut String, body: &[u8], outcome: &Outcome<'_>) {
        let refused = outcome
            .refused
            .get(..REFUSED_MAX)
            .unwrap_or(outcome.refused);
        let places: Vec<Range<u32>> = refused.iter().map(|one| one.original.clone()).collect();
        let mut batch: Option<String> = None;
        for (refused, names) in refused.iter().zip(names(body, &places)) {
            if !self.document.is_pacs() && batch.as_ref() != Some(&names.batch) {
                if batch.is_some() {
                    xml.push_str("</OrgnlPmtInfAndSts>");
                }
                xml.push_str("<OrgnlPmtInfAndSts>");
                push_element(xml, "OrgnlPmtInfId", id(&names.batch));
                batch = Some(names.batch.clone());
            }
            self.transaction(xml, &refused.refusal, &names);
        }
        if batch.is_some() {
            xml.push_str("</OrgnlPmtInfAndSts>");
        }
    }

    fn transaction(&self, xml: &mut String, refusal: &Refusal, names: &Names) {
        let ids = [
            ("OrgnlInstrId", &names.instruction, true),
            ("OrgnlEndToEndId", &names.end_to_end, true),
            ("OrgnlTxId", &names.transaction, self.document.is_pacs()),
        ];
        xml.push_str("<TxInfAndSts>");
        for (name, text, is_written) in ids {
            if is_written && is_id(text) {
                push_element(xml, name, text);
            }
        }
        push_element(xml, "TxSts", "RJCT");
        push_reason(xml, refusal);
        xml.push_str("</TxInfAndSts>");
    }
}

fn push_reason(xml: &mut String, refusal: &Refusal) {
    let text = refusal.to_string();
    push_reasons(xml, code(refusal.rule), pieces(&text));
}

/// An external code has four characters; others are our own.
fn push_reasons<'t>(xml: &mut String, code: &str, texts: impl Iterator<Item = &'t str>) {
    let name = if code.len() == 4 { "Cd" } else { "Prtry" };
    xml.push_str("<StsRsnInf><Rsn>");
    push_element(xml, name, &cut(code, ID_CHARS_MAX));
    xml.push_str("</Rsn>");
    for text in texts.take(TEXTS_MAX) {
        xml.push_str("<AddtlInf>");
        push_text(xml, text);
        xml.push_str("</AddtlInf>");
    }
    xml.push_str("</StsRsnInf>");
}

/// A reason by ISO 20022's external code set, where it has one that says just this; or else the rule's own name.
fn code(rule_name: &'static str) -> &'static str {
    match rule_name {
        // Invalid file format.
        rule::XML | rule::UTF_8 | rule::ENCODING | rule::NAMESPACE | rule::DOCTYPE => "FF01",
        // Invalid amount.
        rule::AMOUNT | rule::CURRENCY_DIGITS => "AM12",
        // Invalid transaction currency.
        rule::CURRENCY => "AM11",
        // Incorrect account number.
        rule::IBAN => "AC01",
        // Bank identifier incorrect.
        rule::BIC => "RC01",
        // Invalid date.
        rule::TIME | rule::FUTURE | rule::BEFORE_1970 => "DT01",
        other => other,
    }
}

/// A text in pieces that `AddtlInf` takes.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let most = rest.char_indices().nth(TEXT_CHARS_MAX);
        let most = most.map_or(rest.len(), |(at, _)| at);
        // Between two words, if there are two.
        let end = match rest.get(..most).and_then(|piece| piece.rfind(' ')) {
            Some(space) if most < rest.len() => space,
            _ => most,
        };
        let (piece, after) = rest.split_at(end);
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

fn cut(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}

/// What `Max35Text` takes.
fn is_id(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= ID_CHARS_MAX
}

fn id(text: &str) -> &str {
    if is_id(text) { text } else { NOT_PROVIDED }
}

fn are_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `Max15NumericText`.
fn is_count(text: &str) -> bool {
    are_digits(text) && text.len() <= 15
}

/// `DecimalNumber`: 18 digits, 17 of them behind the point.
fn is_decimal(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    are_digits(whole) && are_digits(part) && whole.len() + part.len() <= 18
}

/// `xs:dateTime`, of the years 0001 to 9999, in which no day has an hour 24.
fn is_date_time(text: &str) -> bool {
    let is_four_digits = text.as_bytes().get(4) == Some(&b'-') && !text.starts_with('-');
    is_four_digits && text.get(11..13) != Some("24") && is_xsd_date_time(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn refusal(rule: &'static str, detail: &str) -> Refusal {
        Refusal {
            record: Some(2),
            line: 1,
            offset: 0,
            field: Some("amount".into()),
            rule,
            detail: detail.to_owned(),
        }
    }

    fn document(name: &str) -> Document {
        Document {
            name: name.to_owned(),
            id: "M<1>".to_owned(),
            created: "2026-11-23T09:00:00Z".to_owned(),
            count: "2".to_owned(),
            sum: "3.00".to_owned(),
        }
    }

    fn written(document: &Document, body: &str, outcome: &Outcome<'_>) -> String {
        let report = Report {
            document,
            id: "R",
            now: 1_795_435_200_000_000,
        };
        report.write(body.as_bytes(), outcome).replace("><", ">\n<")
    }

    #[test]
    fn what_was_accepted_is_said_of_the_message() {
        let outcome = Outcome {
            accepted: 2,
            refused: &[],
            whole: None,
        };
        let found = written(&document("pain.001.001.09"), "", &outcome);
        expect![[r#"
            <Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10">
            <CstmrPmtStsRpt>
            <GrpHdr>
            <MsgId>R</MsgId>
            <CreDtTm>2026-11-23T12:00:00.000000Z</CreDtTm>
            </GrpHdr>
            <OrgnlGrpInfAndSts>
            <OrgnlMsgId>M&lt;1&gt;</OrgnlMsgId>
            <OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>
            <OrgnlCreDtTm>2026-11-23T09:00:00Z</OrgnlCreDtTm>
            <OrgnlNbOfTxs>2</OrgnlNbOfTxs>
            <OrgnlCtrlSum>3.00</OrgnlCtrlSum>
            <GrpSts>ACTC</GrpSts>
            </OrgnlGrpInfAndSts>
            </CstmrPmtStsRpt>
            </Document>"#]]
        .assert_eq(&found);
    }

    #[test]
    fn the_version_answers_that_of_the_request() {
        let outcome = Outcome {
            accepted: 1,
            refused: &[],
            whole: None,
        };
        for (asked, answered) in [
            ("pain.001.001.03", "pain.002.001.03"),
            ("pain.001.001.08", "pain.002.001.03"),
            ("pain.001.001.11", "pain.002.001.10"),
            ("pain.008.001.02", "pain.002.001.03"),
            ("pain.008.001.08", "pain.002.001.10"),
            ("pacs.008.001.02", "pacs.002.001.03"),
            ("pacs.008.001.08", "pacs.002.001.10"),
        ] {
            let found = written(&document(asked), "", &outcome);
            assert!(
                found.contains(&format!("xsd:{answered}\"")),
                "{asked}: {found}"
            );
        }
    }

    #[test]
    fn each_refused_transaction_is_told_in_its_batch() {
        let text = "<P><PmtInfId>P1</PmtInfId><T><EndToEndId>E1</EndToEndId></T></P>";
        let start = text.find("<T>").expect("is there") as u32;
        let end = text.find("</P>").expect("is there") as u32;
        let long = "x".repeat(250);
        let refused = [Refused {
            refusal: refusal(rule::CURRENCY_DIGITS, &long),
            original: start..end,
        }];
        let outcome = Outcome {
            accepted: 1,
            refused: &refused,
            whole: None,
        };
        let found = written(&document("pain.001.001.09"), text, &outcome);
        let from = found.find("<GrpSts>").expect("is there");
        let shown = found[from..].replace(&"x".repeat(59), "…");
        expect![[r#"
            <GrpSts>PART</GrpSts>
            <NbOfTxsPerSts>
            <DtldNbOfTxs>1</DtldNbOfTxs>
            <DtldSts>ACTC</DtldSts>
            </NbOfTxsPerSts>
            <NbOfTxsPerSts>
            <DtldNbOfTxs>1</DtldNbOfTxs>
            <DtldSts>RJCT</DtldSts>
            </NbOfTxsPerSts>
            </OrgnlGrpInfAndSts>
            <OrgnlPmtInfAndSts>
            <OrgnlPmtInfId>P1</OrgnlPmtInfId>
            <TxInfAndSts>
            <OrgnlEndToEndId>E1</OrgnlEndToEndId>
            <TxSts>RJCT</TxSts>
            <StsRsnInf>
            <Rsn>
            <Cd>AM12</Cd>
            </Rsn>
            <AddtlInf>record 2, line 1, field amount:</AddtlInf>
            <AddtlInf>…xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx</AddtlInf>
            <AddtlInf>…xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx</AddtlInf>
            <AddtlInf>xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx (currency-digits)</AddtlInf>
            </StsRsnInf>
            </TxInfAndSts>
            </OrgnlPmtInfAndSts>
            </CstmrPmtStsRpt>
            </Document>"#]]
        .assert_eq(&shown);
        let found = written(&document("pacs.008.001.08"), text, &outcome);
        assert!(!found.contains("OrgnlPmtInf"), "{found}");
    }

    #[test]
    fn what_is_too_much_is_cut_with_a_note() {
        let one = Refused {
            refusal: refusal(rule::LOOKUP, "no"),
            original: 0..0,
        };
        let refused = vec![one; REFUSED_MAX + 1];
        let with = |refused: &[Refused]| {
            let outcome = Outcome {
                accepted: 0,
                refused,
                whole: None,
            };
            written(&document("pacs.008.001.08"), "", &outcome)
        };
        let most = with(&refused[1..]);
        assert_eq!(most.matches("<TxInfAndSts>").count(), REFUSED_MAX);
        assert!(!most.contains("are listed") && most.contains("<Prtry>lookup</Prtry>"));
        let more = with(&refused);
        assert_eq!(more.matches("<TxInfAndSts>").count(), REFUSED_MAX);
        assert!(more.contains("<AddtlInf>1000 of 1001 refused transactions are listed</AddtlInf>"));
    }

    #[test]
    fn what_would_break_the_schema_is_left_out() {
        let outcome = Outcome {
            accepted: 0,
            refused: &[],
            whole: Some(&refusal(rule::XML, "not well-formed")),
        };
        let broken = Document {
            name: "pain.001.001.09".to_owned(),
            id: "x".repeat(36),
            created: "yesterday".to_owned(),
            count: "1234567890123456".to_owned(),
            sum: "1e3".to_owned(),
        };
        let found = written(&broken, "", &outcome);
        assert!(found.contains("<OrgnlMsgId>NOTPROVIDED</OrgnlMsgId>\n<OrgnlMsgNmId>"));
        assert!(
            found.contains(
                "</OrgnlMsgNmId>\n<GrpSts>RJCT</GrpSts>\n<StsRsnInf>\n<Rsn>\n<Cd>FF01</Cd>"
            )
        );
    }

    #[test]
    fn lexical_forms_are_those_of_the_schema() {
        for good in [
            "2026-11-23T09:00:00",
            "2024-02-29T23:59:59.123456789Z",
            "2026-11-23T09:00:00+14:00",
            "2026-11-23T09:00:00.5-03:30",
        ] {
            assert!(is_date_time(good), "{good}");
        }
        for bad in [
            "",
            "2026-11-23",
            "2026-02-29T09:00:00Z",
            "2026-11-23T24:00:00Z",
            "2026-11-23T09:00:00.Z",
            "2026-11-23T09:00:00+1400",
            "2026-11-23T09:00:00+14:01",
            "2026-11-23T09:00:00ž",
            "0000-11-23T09:00:00Z",
        ] {
            assert!(!is_date_time(bad), "{bad}");
        }
        assert!(is_decimal("3") && is_decimal("-3.50") && is_decimal("1.00000000000000000"));
        assert!(!is_decimal("") && !is_decimal("1.") && !is_decimal("12.00000000000000000"));
        assert!(is_count("007") && !is_count("") && !is_count("-1"));
        let text = "ž".repeat(TEXT_CHARS_MAX + 1);
        let lengths: Vec<usize> = pieces(&text).map(|piece| piece.chars().count()).collect();
        assert_eq!(lengths, [TEXT_CHARS_MAX, 1]);
    }
}
