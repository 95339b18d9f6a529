//! Further files of the public test suites that the samples are from: counts and sums that an independent
//! program found, or the reason why a file is refused.

use crate::common::{Options, decode, ready_made, sample};

/// Number of records, and for each currency and sign how many and their sum; or why the file is refused.
fn counted(source: &str, body: &[u8]) -> String {
    let decoded = decode(&ready_made(source), body, &Options::default());
    if let Err(refusal) = &decoded.result {
        return refusal.to_string();
    }
    let totals = decoded.totals();
    let records: usize = totals.values().map(|(count, _)| count).sum();
    totals
        .iter()
        .fold(records.to_string(), |text, (key, (count, sum))| {
            format!("{text} {}{count}:{}", key.replace(' ', ""), sum.display(2))
        })
}

#[track_caller]
fn check(source: &str, files: &[(&str, &str)]) {
    for (file, expected) in files {
        assert_eq!(counted(source, &sample(file)), *expected, "{file}");
    }
}

#[test]
fn reports_statements_and_notifications() {
    check(
        "camt.052",
        &[
            (
                "200519_camt.052_P_CH2909000000250094239_1110092686_0_2019042416072347.xml",
                "2 CHF-2:-1016.00",
            ),
            ("FI_camt_052_sample.xml.xml", "2 EUR+2:2220.00"),
        ],
    );
    check(
        "camt.053",
        &[
            (
                "FI_camt_053_sample.xml.xml",
                "10 EUR+6:23075.00 EUR-4:-9430.17",
            ),
            ("statement_1.xml", "4 EUR-4:-2768.08"),
        ],
    );
    check(
        "camt.054",
        &[
            (
                "FI_camt_054_sample.xml.xml",
                "6 EUR+4:5600.00 EUR-2:-5230.05",
            ),
            (
                "200519_camt054-ESR-ASR_P_CH2909000000250094239_1110092704_0_2019042500372179.xml",
                "2 CHF+1:1537.00 CHF-1:-147.00",
            ),
            (
                "200519_camt054-chdd_p_ch2909000000250094239_1110097484_0_20190520700381159.xml",
                "1 CHF+1:4.50",
            ),
        ],
    );
}

/// The first version has another name for what the entries are inside of: that is no empty statement.
#[test]
fn a_document_without_the_way_to_records() {
    let text = String::from_utf8(sample("statement_1.xml")).expect("UTF-8");
    let first = text
        .replace("camt.053.001.02", "camt.053.001.01")
        .replace("BkToCstmrStmt>", "BkToCstmrStmtV01>");
    assert_eq!(
        counted("camt.053", first.as_bytes()),
        "line 4: the document has \"BkToCstmrStmtV01\" where this source has the element with its records (xml)"
    );
    let empty = "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:camt.053.001.08\"><BkToCstmrStmt/></Document>";
    assert_eq!(counted("camt.053", empty.as_bytes()), "0");
}

#[test]
fn orders() {
    check(
        "pain.001",
        &[
            (
                "gistfile1.xml",
                "3 EUR+1:500000.00 JPY+1:10000000.00 USD+1:1000000.00",
            ),
            // The file has eight transactions and says seven.
            (
                "musterfile_pain.001_Nov2020.xml",
                "line 7, field /Document/CstmrCdtTrfInitn/GrpHdr/NbOfTxs: the document says 7 records, there are 8 (control-total)",
            ),
        ],
    );
}

#[test]
fn statements_of_many_banks() {
    check(
        "mt940",
        &[
            (
                "swift-mt/MT940_DK_Example.sta",
                "89 DKK+8:3910886.35 DKK-81:-2538433.58",
            ),
            (
                "swift-mt/MT940_FI_Example.sta",
                "6 EUR+1:0.23 EUR-5:-1357.33",
            ),
            (
                "swift-mt/MT940_NO_Example.sta",
                "24 NOK+10:3850474.29 NOK-14:-1467825.27",
            ),
            (
                "swift-mt/MT940_SE_Example.sta",
                "103 SEK+17:12171690.29 SEK-86:-1643294.69",
            ),
            ("swift-mt/buxtehude.sta", "3 EUR-3:-141.04"),
            ("swift-mt/cmxl_1.sta", "2 EUR+1:3000.00 EUR-1:-800.00"),
            ("swift-mt/cmxl_2.sta", "3 PLN+2:20040.00 PLN-1:-10000.00"),
            (
                "swift-mt/invalid_utf8.sta",
                "7 HUF+1:2066637.00 HUF-6:-3078850.50",
            ),
            ("swift-mt/knab.sta", "3 EUR+2:1000.00 EUR-1:-7260.00"),
            ("swift-mt/postfinance.sta", "4 CHF+3:239.30 CHF-1:-79.90"),
            ("swift-mt/rabobank-iban.sta", "4 EUR-4:-70.00"),
            ("swift-mt/rabobank.sta", "5 EUR-5:-1589.09"),
            (
                "swift-mt/sepa_mt9401.sta",
                "97 EUR+41:5188474.94 EUR-56:-14457610.84",
            ),
            ("swift-mt/sns.sta", "2 EUR-2:-25.00"),
            (
                "swift-mt/with_binary_character.sta",
                "4 EUR+3:14215.30 EUR-1:-193282.05",
            ),
            // Data of the bank's own behind :NS:, in the head and behind entries.
            ("swift-mt/171011_01234945.sta", "3 HUF-3:-9437.00"),
            ("swift-mt/raphaelm.sta", "9 DEM+8:145000.00 DEM-1:-50000.00"),
            // The tag :86: was made :25:, so the entry has a second account behind it.
            (
                "swift-mt/sepa_snippet_broken.sta",
                "line 6, field /25: /25 stands behind records that inherit it; it must come before them (late-field)",
            ),
        ],
    );
    check(
        "mt942",
        &[("swift-mt/test2.mt942", "3 NZD+1:5020.00 NZD-2:-5020.00")],
    );
}

#[test]
fn statements_and_answers_in_ofx() {
    check(
        "ofx",
        &[
            ("ofx/anzcc.ofx", "1 AUD-1:-5.50"),
            ("ofx/multiple_accounts.ofx", "0"),
            ("ofx/ofx-v102-empty-tags.ofx", "1 AUD+1:12.34"),
            ("ofx/suncorp.ofx", "1 AUD-1:-16.85"),
            (
                "ofx/error_message.ofx",
                "line 24: the server answers with an error (code \"2000\"), not with a statement (ofx)",
            ),
            (
                "ofx/signon_fail.ofx",
                "line 11: the server answers with an error (code \"15500\"), not with a statement (ofx)",
            ),
        ],
    );
}

/// Transactions without end tags are as many as with them.
#[test]
fn transactions_of_ofx_without_end_tags() {
    let text = String::from_utf8(sample("ofx/checking.ofx")).expect("ASCII");
    let open = text.replace("</STMTTRN>", "");
    assert_ne!(text, open);
    for body in [text, open] {
        assert_eq!(counted("ofx", body.as_bytes()), "3 USD+1:0.01 USD-2:-59.51");
    }
}

#[test]
fn ach_files_of_many_kinds() {
    check(
        "nacha",
        &[
            ("nacha/20180713-IAT.ach", "2 USD+1:1000.00 USD-1:-20.00"),
            (
                "nacha/iat-mixedCreditDebit.ach",
                "2 USD+1:1000.00 USD-1:-1000.00",
            ),
            ("nacha/contested-return.ach", "1 USD+1:1000000.00"),
            ("nacha/cor-read.ach", "1 USD+1:0.00"),
            ("nacha/ctx-debit.ach", "1 USD-1:-1000000.00"),
            ("nacha/enr-read.ach", "1 USD+1:0.00"),
            (
                "nacha/adv-read.ach",
                "line 2: the file has a batch of accounting advices (ADV), whose lines have other columns; this source does not read them (unsupported)",
            ),
        ],
    );
    let entries = String::from_utf8(sample("nacha/cor-read.ach")).expect("ASCII");
    let head = entries.lines().next().expect("a line");
    let zero = format!("{head}\n9000000000001{}\n", "0".repeat(42));
    assert_eq!(counted("nacha", zero.as_bytes()), "0");
}

/// A statement in the character sets that XML declares, and in one that it does not.
#[test]
fn xml_in_other_character_sets() {
    let text = String::from_utf8(sample("statement_1.xml")).expect("UTF-8");
    let expected = "4 EUR-4:-2768.08";
    let declared = |name: &str| {
        text.replacen("UTF-8", name, 1)
            .replace("TESTAVIMA", "TÉSTÄ")
    };
    let narrow = |name: &str| -> Vec<u8> {
        let characters = declared(name);
        let bytes = characters
            .chars()
            .map(|character| u8::try_from(u32::from(character)).unwrap_or(b'?'));
        bytes.collect()
    };
    for name in ["ISO-8859-1", "iso-8859-15", "windows-1252"] {
        assert_eq!(counted("camt.053", &narrow(name)), expected, "{name}");
    }
    let wide = |name: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        let units: Vec<u16> = format!("\u{feff}{}", declared(name))
            .encode_utf16()
            .collect();
        units.into_iter().flat_map(bytes).collect()
    };
    for body in [
        wide("UTF-16", u16::to_le_bytes),
        wide("UTF-16", u16::to_be_bytes),
        wide("utf-16", u16::to_le_bytes)[2..].to_vec(),
        wide("UTF-8", u16::to_be_bytes),
    ] {
        assert_eq!(counted("camt.053", &body), expected);
    }
    for (body, expected) in [
        (
            narrow("UTF-8"),
            "line 23: byte 692 of the body is not UTF-8 (utf-8)",
        ),
        (
            narrow("EBCDIC"),
            "line 23: byte 693 of the body is not UTF-8 (utf-8)",
        ),
        (
            text.replacen("UTF-8", "EBCDIC", 1).into_bytes(),
            "line 1: the encoding is \"EBCDIC\", read are UTF-8, UTF-16, ISO-8859-1, -2, -15, windows-1250 and -1252 (encoding)",
        ),
        (
            text.replacen("UTF-8", "UTF-16", 1).into_bytes(),
            "line 1: the encoding is \"UTF-16\", read are UTF-8, UTF-16, ISO-8859-1, -2, -15, windows-1250 and -1252 (encoding)",
        ),
        (
            wide("UTF-16", u16::to_le_bytes)[..1_001].to_vec(),
            "line 14: byte 1000 of the body is not UTF-16 (utf-8)",
        ),
    ] {
        assert_eq!(counted("camt.053", &body), expected);
    }
}

/// Transfers of banks and direct debits between banks, in old and new versions.
#[test]
fn transfers_between_banks() {
    let body = |kind: &str, root: &str, record: &str, bic: &str, account: &str| {
        format!(
            "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:{kind}\"><{root}><GrpHdr><MsgId>M1</MsgId>\
             <CreDtTm>2026-11-23T10:00:00+01:00</CreDtTm><NbOfTxs>2</NbOfTxs><CtrlSum>15.5</CtrlSum>\
             <InstgAgt><FinInstnId><{bic}>BANKDEFF</{bic}></FinInstnId></InstgAgt></GrpHdr>\
             <{record}><PmtId><EndToEndId>E1</EndToEndId><TxId>T1</TxId></PmtId>\
             <IntrBkSttlmAmt Ccy=\"EUR\">12.5</IntrBkSttlmAmt>{account}</{record}>\
             <{record}><PmtId><EndToEndId>E2</EndToEndId></PmtId>\
             <IntrBkSttlmAmt Ccy=\"CHF\">3</IntrBkSttlmAmt>{account}<UndrlygCstmrCdtTrf>\
             <InstdAmt Ccy=\"USD\">9</InstdAmt></UndrlygCstmrCdtTrf></{record}></{root}></Document>"
        )
    };
    for (version, bic) in [("02", "BIC"), ("08", "BICFI"), ("11", "BICFI")] {
        let to_bank = format!("<Cdtr><FinInstnId><{bic}>BANKCHZZ</{bic}></FinInstnId></Cdtr>");
        let kind = format!("pacs.009.001.{version}");
        let transfer = body(&kind, "FICdtTrf", "CdtTrfTxInf", bic, &to_bank);
        assert_eq!(
            counted("pacs.009", transfer.as_bytes()),
            "2 CHF+1:3.00 EUR+1:12.50"
        );
        let account = "<DbtrAcct><Id><IBAN>DE89370400440532013000</IBAN></Id></DbtrAcct>";
        let kind = format!("pacs.003.001.{version}");
        let debit = body(&kind, "FIToFICstmrDrctDbt", "DrctDbtTxInf", bic, account);
        assert_eq!(
            counted("pacs.003", debit.as_bytes()),
            "2 CHF-1:-3.00 EUR-1:-12.50"
        );
    }
}

/// A message of January that comes in November is of this year, not of the next.
#[test]
fn card_messages_of_an_archive() {
    check(
        "iso8583",
        &[("iso8583/iso_reversal_message.dat", "1 IDR+1:300.00")],
    );
}
