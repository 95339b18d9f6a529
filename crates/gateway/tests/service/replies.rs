//! Answers in the sender's own format, over a real socket.

use crate::common::{Answer, start, start_with};
use expect_test::{Expect, expect};
use gateway::{GatewayOptions, PutError};
use types::names::{QUEUE_QUARANTINE, QUEUE_TRANSACTIONS};

const ACCEPT: &str = "Accept: application/xml\r\n";
const SOAP_11: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const SOAP_12: &str = "http://www.w3.org/2003/05/soap-envelope";

/// A pain.001 of two batches; amounts of its transactions.
fn pain(amounts: [&str; 3]) -> String {
    let transaction = |number: usize| {
        let amount = amounts[number];
        format!(
            "<CdtTrfTxInf><PmtId><InstrId>I-{number}</InstrId><EndToEndId>E&amp;{number}</EndToEndId></PmtId>\
             <Amt><InstdAmt Ccy=\"EUR\">{amount}</InstdAmt></Amt></CdtTrfTxInf>"
        )
    };
    let batch = |id: &str, inside: String| {
        format!(
            "<PmtInf><PmtInfId>{id}</PmtInfId><DbtrAcct><Id><IBAN>HR1210010051863000160</IBAN></Id></DbtrAcct>{inside}</PmtInf>"
        )
    };
    format!(
        "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:pain.001.001.09\"><CstmrCdtTrfInitn><GrpHdr><MsgId>M&lt;7</MsgId>\
         <CreDtTm>2026-11-23T09:00:00Z</CreDtTm><NbOfTxs>3</NbOfTxs></GrpHdr>{}{}</CstmrCdtTrfInitn></Document>",
        batch("P-1", transaction(0)),
        batch("P-2", transaction(1) + &transaction(2))
    )
}

fn enveloped(namespace: &str, inside: &str) -> String {
    format!("<s:Envelope xmlns:s=\"{namespace}\"><s:Header/><s:Body>{inside}</s:Body></s:Envelope>")
}

/// Status, content type and body, its id replaced.
fn shown(answer: &Answer) -> String {
    let mut body = answer.body.clone();
    if let Some((_, rest)) = body.split_once("<MsgId>")
        && let Some((id, _)) = rest.split_once("</MsgId>")
    {
        assert_eq!(id.len(), 32, "{id}");
        body = body.replacen(id, "R", 1);
    }
    let content_type = answer.header("content-type").unwrap_or_default();
    format!(
        "{} {content_type}\n{}",
        answer.status,
        body.replace("><", ">\n<")
    )
}

fn check(answer: &Answer, expected: Expect) {
    expected.assert_eq(&shown(answer));
}

#[tokio::test]
async fn a_payment_message_is_answered_with_a_status_report() {
    let gateway = start().await;
    let good = pain(["1.00", "2.00", "3.00"]);
    let answer = gateway.post("pain.001", ACCEPT, &good).await;
    check(
        &answer,
        expect![[r#"
        202 application/xml
        <?xml version="1.0" encoding="UTF-8"?>
        <Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10">
        <CstmrPmtStsRpt>
        <GrpHdr>
        <MsgId>R</MsgId>
        <CreDtTm>2026-11-23T12:00:00.000000Z</CreDtTm>
        </GrpHdr>
        <OrgnlGrpInfAndSts>
        <OrgnlMsgId>M&lt;7</OrgnlMsgId>
        <OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>
        <OrgnlCreDtTm>2026-11-23T09:00:00Z</OrgnlCreDtTm>
        <OrgnlNbOfTxs>3</OrgnlNbOfTxs>
        <GrpSts>ACTC</GrpSts>
        </OrgnlGrpInfAndSts>
        </CstmrPmtStsRpt>
        </Document>
    "#]],
    );
    let bad = pain(["1.005", "2.00", "3.005"]);
    let answer = gateway.post("pain.001", ACCEPT, &bad).await;
    check(
        &answer,
        expect![[r#"
            422 application/xml
            <?xml version="1.0" encoding="UTF-8"?>
            <Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10">
            <CstmrPmtStsRpt>
            <GrpHdr>
            <MsgId>R</MsgId>
            <CreDtTm>2026-11-23T12:00:00.000000Z</CreDtTm>
            </GrpHdr>
            <OrgnlGrpInfAndSts>
            <OrgnlMsgId>M&lt;7</OrgnlMsgId>
            <OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>
            <OrgnlCreDtTm>2026-11-23T09:00:00Z</OrgnlCreDtTm>
            <OrgnlNbOfTxs>3</OrgnlNbOfTxs>
            <GrpSts>RJCT</GrpSts>
            </OrgnlGrpInfAndSts>
            <OrgnlPmtInfAndSts>
            <OrgnlPmtInfId>P-1</OrgnlPmtInfId>
            <TxInfAndSts>
            <OrgnlInstrId>I-0</OrgnlInstrId>
            <OrgnlEndToEndId>E&amp;0</OrgnlEndToEndId>
            <TxSts>RJCT</TxSts>
            <StsRsnInf>
            <Rsn>
            <Cd>AM12</Cd>
            </Rsn>
            <AddtlInf>record 1, line 1, field amount: &quot;1.005&quot; has more decimal digits than EUR has, which is 2</AddtlInf>
            <AddtlInf>(currency-digits)</AddtlInf>
            </StsRsnInf>
            </TxInfAndSts>
            </OrgnlPmtInfAndSts>
            <OrgnlPmtInfAndSts>
            <OrgnlPmtInfId>P-2</OrgnlPmtInfId>
            <TxInfAndSts>
            <OrgnlInstrId>I-2</OrgnlInstrId>
            <OrgnlEndToEndId>E&amp;2</OrgnlEndToEndId>
            <TxSts>RJCT</TxSts>
            <StsRsnInf>
            <Rsn>
            <Cd>AM12</Cd>
            </Rsn>
            <AddtlInf>record 3, line 1, field amount: &quot;3.005&quot; has more decimal digits than EUR has, which is 2</AddtlInf>
            <AddtlInf>(currency-digits)</AddtlInf>
            </StsRsnInf>
            </TxInfAndSts>
            </OrgnlPmtInfAndSts>
            </CstmrPmtStsRpt>
            </Document>
        "#]],
    );
    let lenient = format!("{ACCEPT}Prefer: handling=lenient\r\n");
    let answer = gateway.post("pain.001", &lenient, &bad).await;
    assert_eq!(
        answer.header("preference-applied"),
        Some("handling=lenient")
    );
    check(
        &answer,
        expect![[r#"
            202 application/xml
            <?xml version="1.0" encoding="UTF-8"?>
            <Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10">
            <CstmrPmtStsRpt>
            <GrpHdr>
            <MsgId>R</MsgId>
            <CreDtTm>2026-11-23T12:00:00.000000Z</CreDtTm>
            </GrpHdr>
            <OrgnlGrpInfAndSts>
            <OrgnlMsgId>M&lt;7</OrgnlMsgId>
            <OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>
            <OrgnlCreDtTm>2026-11-23T09:00:00Z</OrgnlCreDtTm>
            <OrgnlNbOfTxs>3</OrgnlNbOfTxs>
            <GrpSts>PART</GrpSts>
            <NbOfTxsPerSts>
            <DtldNbOfTxs>1</DtldNbOfTxs>
            <DtldSts>ACTC</DtldSts>
            </NbOfTxsPerSts>
            <NbOfTxsPerSts>
            <DtldNbOfTxs>2</DtldNbOfTxs>
            <DtldSts>RJCT</DtldSts>
            </NbOfTxsPerSts>
            </OrgnlGrpInfAndSts>
            <OrgnlPmtInfAndSts>
            <OrgnlPmtInfId>P-1</OrgnlPmtInfId>
            <TxInfAndSts>
            <OrgnlInstrId>I-0</OrgnlInstrId>
            <OrgnlEndToEndId>E&amp;0</OrgnlEndToEndId>
            <TxSts>RJCT</TxSts>
            <StsRsnInf>
            <Rsn>
            <Cd>AM12</Cd>
            </Rsn>
            <AddtlInf>record 1, line 1, field amount: &quot;1.005&quot; has more decimal digits than EUR has, which is 2</AddtlInf>
            <AddtlInf>(currency-digits)</AddtlInf>
            </StsRsnInf>
            </TxInfAndSts>
            </OrgnlPmtInfAndSts>
            <OrgnlPmtInfAndSts>
            <OrgnlPmtInfId>P-2</OrgnlPmtInfId>
            <TxInfAndSts>
            <OrgnlInstrId>I-2</OrgnlInstrId>
            <OrgnlEndToEndId>E&amp;2</OrgnlEndToEndId>
            <TxSts>RJCT</TxSts>
            <StsRsnInf>
            <Rsn>
            <Cd>AM12</Cd>
            </Rsn>
            <AddtlInf>record 3, line 1, field amount: &quot;3.005&quot; has more decimal digits than EUR has, which is 2</AddtlInf>
            <AddtlInf>(currency-digits)</AddtlInf>
            </StsRsnInf>
            </TxInfAndSts>
            </OrgnlPmtInfAndSts>
            </CstmrPmtStsRpt>
            </Document>
        "#]],
    );
    assert_eq!(gateway.outbox.bodies(QUEUE_TRANSACTIONS).len(), 4);
}

#[tokio::test]
async fn what_cannot_be_read_to_its_end_is_refused_as_a_whole() {
    let gateway = start().await;
    let good = pain(["1.00", "2.00", "3.00"]);
    let answer = gateway
        .post("pain.001", ACCEPT, &good[..good.len() - 5])
        .await;
    check(
        &answer,
        expect![[r#"
        400 application/xml
        <?xml version="1.0" encoding="UTF-8"?>
        <Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10">
        <CstmrPmtStsRpt>
        <GrpHdr>
        <MsgId>R</MsgId>
        <CreDtTm>2026-11-23T12:00:00.000000Z</CreDtTm>
        </GrpHdr>
        <OrgnlGrpInfAndSts>
        <OrgnlMsgId>M&lt;7</OrgnlMsgId>
        <OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>
        <OrgnlCreDtTm>2026-11-23T09:00:00Z</OrgnlCreDtTm>
        <OrgnlNbOfTxs>3</OrgnlNbOfTxs>
        <GrpSts>RJCT</GrpSts>
        <StsRsnInf>
        <Rsn>
        <Cd>FF01</Cd>
        </Rsn>
        <AddtlInf>line 1: the text ends inside of the end of &quot;Document&quot;, before its &gt; (xml)</AddtlInf>
        </StsRsnInf>
        </OrgnlGrpInfAndSts>
        </CstmrPmtStsRpt>
        </Document>
    "#]],
    );
    let wrong = good.replace("<NbOfTxs>3<", "<NbOfTxs>4<");
    let answer = gateway.post("pain.001", ACCEPT, wrong).await;
    check(
        &answer,
        expect![[r#"
            422 application/xml
            <?xml version="1.0" encoding="UTF-8"?>
            <Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10">
            <CstmrPmtStsRpt>
            <GrpHdr>
            <MsgId>R</MsgId>
            <CreDtTm>2026-11-23T12:00:00.000000Z</CreDtTm>
            </GrpHdr>
            <OrgnlGrpInfAndSts>
            <OrgnlMsgId>M&lt;7</OrgnlMsgId>
            <OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>
            <OrgnlCreDtTm>2026-11-23T09:00:00Z</OrgnlCreDtTm>
            <OrgnlNbOfTxs>4</OrgnlNbOfTxs>
            <GrpSts>RJCT</GrpSts>
            <StsRsnInf>
            <Rsn>
            <Prtry>control-total</Prtry>
            </Rsn>
            <AddtlInf>line 1, field /Document/CstmrCdtTrfInitn/GrpHdr/NbOfTxs: the document says 4 records, there are 3</AddtlInf>
            <AddtlInf>(control-total)</AddtlInf>
            </StsRsnInf>
            </OrgnlGrpInfAndSts>
            </CstmrPmtStsRpt>
            </Document>
        "#]],
    );
    // Of one without a head nothing can be said.
    let answer = gateway.post("pain.001", ACCEPT, &good[..30]).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (400, Some("application/problem+json"))
    );
    assert_eq!(gateway.outbox.bodies(QUEUE_QUARANTINE).len(), 3);
}

fn pacs(amount: &str) -> String {
    format!(
        "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:pacs.008.001.08\"><FIToFICstmrCdtTrf><GrpHdr><MsgId>M1</MsgId>\
         <CreDtTm>2026-11-23T09:00:00Z</CreDtTm><NbOfTxs>1</NbOfTxs><InstgAgt><FinInstnId><BICFI>ZABAHR2X</BICFI></FinInstnId></InstgAgt></GrpHdr><CdtTrfTxInf><PmtId><InstrId>I</InstrId>\
         <EndToEndId>E</EndToEndId><TxId>T</TxId></PmtId><IntrBkSttlmAmt Ccy=\"EUR\">{amount}</IntrBkSttlmAmt>\
         <IntrBkSttlmDt>2026-11-23</IntrBkSttlmDt><DbtrAcct><Id><IBAN>HR1210010051863000160</IBAN></Id></DbtrAcct>\
         </CdtTrfTxInf></FIToFICstmrCdtTrf></Document>"
    )
}

#[tokio::test]
async fn banks_are_answered_with_their_own_report() {
    let options = GatewayOptions {
        reply_in_kind: vec!["pacs.*".to_owned()],
        ..GatewayOptions::default()
    };
    let gateway = start_with(options).await;
    let answer = gateway.post("pacs.008", "", pacs("1.00")).await;
    check(
        &answer,
        expect![[r#"
        422 application/xml
        <?xml version="1.0" encoding="UTF-8"?>
        <Document xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.002.001.10">
        <FIToFIPmtStsRpt>
        <GrpHdr>
        <MsgId>R</MsgId>
        <CreDtTm>2026-11-23T12:00:00.000000Z</CreDtTm>
        </GrpHdr>
        <OrgnlGrpInfAndSts>
        <OrgnlMsgId>M1</OrgnlMsgId>
        <OrgnlMsgNmId>pacs.008.001.08</OrgnlMsgNmId>
        <OrgnlCreDtTm>2026-11-23T09:00:00Z</OrgnlCreDtTm>
        <OrgnlNbOfTxs>1</OrgnlNbOfTxs>
        <GrpSts>RJCT</GrpSts>
        </OrgnlGrpInfAndSts>
        <TxInfAndSts>
        <OrgnlInstrId>I</OrgnlInstrId>
        <OrgnlEndToEndId>E</OrgnlEndToEndId>
        <OrgnlTxId>T</OrgnlTxId>
        <TxSts>RJCT</TxSts>
        <StsRsnInf>
        <Rsn>
        <Prtry>missing</Prtry>
        </Rsn>
        <AddtlInf>record 1, line 1, field account: account is missing or empty (missing)</AddtlInf>
        </StsRsnInf>
        </TxInfAndSts>
        </FIToFIPmtStsRpt>
        </Document>
    "#]],
    );
    let answer = gateway.post("pacs.008", "", pacs("1.005")).await;
    check(
        &answer,
        expect![[r#"
        422 application/xml
        <?xml version="1.0" encoding="UTF-8"?>
        <Document xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.002.001.10">
        <FIToFIPmtStsRpt>
        <GrpHdr>
        <MsgId>R</MsgId>
        <CreDtTm>2026-11-23T12:00:00.000000Z</CreDtTm>
        </GrpHdr>
        <OrgnlGrpInfAndSts>
        <OrgnlMsgId>M1</OrgnlMsgId>
        <OrgnlMsgNmId>pacs.008.001.08</OrgnlMsgNmId>
        <OrgnlCreDtTm>2026-11-23T09:00:00Z</OrgnlCreDtTm>
        <OrgnlNbOfTxs>1</OrgnlNbOfTxs>
        <GrpSts>RJCT</GrpSts>
        </OrgnlGrpInfAndSts>
        <TxInfAndSts>
        <OrgnlInstrId>I</OrgnlInstrId>
        <OrgnlEndToEndId>E</OrgnlEndToEndId>
        <OrgnlTxId>T</OrgnlTxId>
        <TxSts>RJCT</TxSts>
        <StsRsnInf>
        <Rsn>
        <Prtry>missing</Prtry>
        </Rsn>
        <AddtlInf>record 1, line 1, field account: account is missing or empty (missing)</AddtlInf>
        </StsRsnInf>
        </TxInfAndSts>
        </FIToFIPmtStsRpt>
        </Document>
    "#]],
    );
    let other = gateway.post("pain.001", "", pain(["1.00"; 3])).await;
    assert_eq!(other.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn soap_is_answered_with_soap() {
    let gateway = start().await;
    for (namespace, headers) in [
        (SOAP_11, "SOAPAction: \"\"\r\nContent-Type: text/xml\r\n"),
        (SOAP_12, "Content-Type: application/soap+xml\r\n"),
    ] {
        let good = enveloped(namespace, &pain(["1.00", "2.00", "3.00"]));
        let answer = gateway.post("pain.001", headers, &good).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        let prefix = if namespace == SOAP_11 { "soap" } else { "env" };
        let begin =
            format!("<{prefix}:Envelope xmlns:{prefix}=\"{namespace}\"><{prefix}:Body><Document");
        assert!(answer.body.contains(&begin), "{}", answer.body);
        assert!(answer.body.contains("<GrpSts>ACTC</GrpSts>"));
        // Two messages in one envelope have no one report.
        let first = pain(["1.00", "2.00", "3.00"]);
        let second = first.replace("M&lt;7", "M8");
        let two = enveloped(namespace, &(first + &second));
        let answer = gateway.post("pain.001", headers, two).await;
        assert!(
            answer.body.contains("<accepted>6</accepted>"),
            "{}",
            answer.body
        );
        let bad = enveloped(namespace, &pain(["1.005", "2.00", "3.00"]));
        let answer = gateway.post("pain.001", headers, bad).await;
        let (status, code) = match prefix {
            "soap" => (500, "<faultcode>soap:Client</faultcode>"),
            _ => (400, "<env:Value>env:Sender</env:Value>"),
        };
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.body.contains(code), "{}", answer.body);
        assert!(answer.body.contains("<rule>currency-digits</rule>"));
        // Before anything of it is read.
        let nowhere = gateway.post("nowhere", headers, "").await;
        assert!(
            nowhere.status == status && nowhere.body.contains(code),
            "{}",
            nowhere.body
        );
    }
    // The body alone says it where `Accept` does not ask for JSON first.
    let bad = enveloped(SOAP_12, &pain(["1.005", "2.00", "3.00"]));
    let answer = gateway.post("pain.001", ACCEPT, &bad).await;
    assert!(answer.body.contains("env:Sender"), "{}", answer.body);
    let answer = gateway.post("pain.001", "", &bad).await;
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
}

#[tokio::test]
async fn what_may_be_tried_again_is_no_rejection() {
    let gateway = start().await;
    let full = PutError::Full {
        queue: "Q".into(),
        retry_after: None,
    };
    *gateway.outbox.failure.lock().expect("not poisoned") = Some((QUEUE_TRANSACTIONS, full));
    let good = pain(["1.00", "2.00", "3.00"]);
    let answer = gateway.post("pain.001", ACCEPT, &good).await;
    assert_eq!(
        (
            answer.status,
            answer.header("content-type"),
            answer.header("retry-after")
        ),
        (503, Some("application/problem+json"), Some("1"))
    );
    let headers = "Content-Type: application/soap+xml\r\n";
    let answer = gateway
        .post("pain.001", headers, enveloped(SOAP_12, &good))
        .await;
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (500, Some("1"))
    );
    assert!(answer.body.contains("env:Receiver"), "{}", answer.body);
}

#[tokio::test]
async fn other_formats_are_answered_in_json_whatever_is_asked_for() {
    let gateway = start().await;
    let answer = gateway
        .post("json", ACCEPT, crate::common::record("a", "1"))
        .await;
    assert_eq!(answer.body, r#"{"accepted":1,"ids":["a"]}"#);
    let answer = gateway.post("json", ACCEPT, "{}").await;
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
}

#[tokio::test]
async fn the_transactions_of_a_large_message_are_found() {
    let gateway = start().await;
    let mut transactions = String::new();
    for number in 0..1_500 {
        transactions.push_str(&format!(
            "<CdtTrfTxInf><PmtId><EndToEndId>E{number}</EndToEndId></PmtId><Amt><InstdAmt Ccy=\"EUR\">1.005</InstdAmt></Amt></CdtTrfTxInf>"
        ));
    }
    let good = pain(["1.00", "2.00", "3.00"]).replace("<NbOfTxs>3</NbOfTxs>", "");
    let body = good.replacen("</DbtrAcct>", &format!("</DbtrAcct>{transactions}"), 1);
    let answer = gateway.post("pain.001", ACCEPT, body).await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.body.matches("<TxInfAndSts>").count(), 1_000);
    assert_eq!(answer.body.matches("<OrgnlPmtInfAndSts>").count(), 1);
    assert!(
        answer
            .body
            .contains("<OrgnlEndToEndId>E999</OrgnlEndToEndId>")
    );
    assert!(
        answer
            .body
            .contains("1000 of 1500 refused transactions are listed")
    );
}
