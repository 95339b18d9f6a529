//! What people who write mappings see: examples, explanations and drafts.

use std::path::{Path, PathBuf};

use crate::common::{compile, ready_made, sample};
use expect_test::{Expect, expect, expect_file};
use mapping::Mapping;
use mapping::workbench::{ARRIVAL, arrival, example, explain, infer};

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/sources")
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

/// `UPDATE_EXPECT=1` writes what is there now, as `daybook mapping test --update` does.
#[test]
fn examples_of_the_ready_made_mappings() {
    let mut count = 0;
    for folder in files(&sources(), "examples") {
        let source = folder.file_stem().and_then(|stem| stem.to_str());
        let mapping = ready_made(source.expect("a name"));
        for file in files(&folder, "in") {
            let body = std::fs::read(&file).expect("readable");
            let expected = file.with_extension("out.ndjson");
            let at = std::fs::read_to_string(folder.join("arrival.txt"));
            let at = at.map_or(ARRIVAL, |text| arrival(&text).expect("a time"));
            expect_file![expected].assert_eq(&example(&mapping, &body, at));
            count += 1;
        }
    }
    assert!(count >= 12, "{count} examples");
}

#[track_caller]
fn check_explained(mapping: &Mapping, body: &[u8], expected: Expect) {
    expected.assert_eq(&explain(mapping, body, ARRIVAL));
}

#[test]
fn an_explanation_shows_where_fields_come_from() {
    let mapping = compile(
        "t.toml",
        "source = \"t\"\nformat = \"csv\"\nskip = [{ from = \"state\", is = \"void\" }]\n[csv]\ndelimiter = \";\"\n[identity]\nnatural = [\"id\", [\"a\", \"b\"]]\n\
         [fields.account]\ntemplate = \"{a}-{b}\"\n[[fields.account.case]]\nwhen = { from = \"b\", exists = false }\nfrom = \"a\"\n\
         [fields.currency]\nconst = \"eur\"\nsteps = [\"upper\"]\n\
         [fields.booked_at]\nfrom = \"day\"\nformat = \"%d.%m.%Y\"\nzone = \"UTC\"\nat = \"12:00\"\n\
         [fields.iban]\nfrom = \"iban\"\nsteps = [{ replace = \" \", with = \"\" }]\ncheck = \"iban\"\noptional = true\n\
         [fields.state]\nfrom = \"state\"\ndefault = \"open\"\n\
         [[transaction]]\nfields.amount = { from = \"amount\", decimal = \"comma\" }\n\
         [[transaction]]\nsuffix = \"fee\"\nwhen = { from = \"fee\", exists = true }\nfields.amount = { from = \"fee\" }\n",
    );
    check_explained(
        &mapping,
        "id;a;b;amount;fee;day;iban;state\n1;x;;1,50;0.10;23.11.2026;HR12 1001 0051 8630 0016 0;\n\
         2;x;y;1,50;;23.11.2026;HR13 1001 0051 8630 0016 0;closed\n3;x;y;1,50;;31.11.2026;;\n4;;;;;;;void\n5;x\n"
            .as_bytes(),
        expect![[r#"

            record 1, line 2: translated
              id             id "1" / a "x"
              transaction 1, the record's id
              account        a "x"
              amount         amount "1,50"
              currency       const "eur" > upper "EUR"
              booked_at      day "23.11.2026"
              iban           iban "HR12 1001 0051 8630 0016 0" > replace "HR1210010051863000160"
              state          nothing at state, so the default "open"
              transaction 2, id + "/fee"
              account        a "x"
              amount         fee "0.10"
              currency       const "eur" > upper "EUR"
              booked_at      day "23.11.2026"
              iban           iban "HR12 1001 0051 8630 0016 0" > replace "HR1210010051863000160"
              state          nothing at state, so the default "open"
              gives {"id":"1/x","source":"t","account":"x","amount":"1.50","currency":"EUR","booked_at":"2026-11-23T12:00:00Z","received_at":"2026-11-23T12:00:00.000000Z","iban":"HR1210010051863000160","state":"open"}
              gives {"id":"1/x/fee","source":"t","account":"x","amount":"0.10","currency":"EUR","booked_at":"2026-11-23T12:00:00Z","received_at":"2026-11-23T12:00:00.000000Z","iban":"HR1210010051863000160","state":"open"}

            record 2, line 3: refused
              id             id "2" / a "x"
              transaction 1, the record's id
              account        template {a} "x" {b} "y"
              amount         amount "1,50"
              currency       const "eur" > upper "EUR"
              booked_at      day "23.11.2026"
              iban           iban "HR13 1001 0051 8630 0016 0" > replace "HR1310010051863000160"
              state          state "closed"
              transaction 2, id + "/fee": its `when` does not hold
              the check digits of "HR13…60" should be 12, not 13: a character is wrong, or two are swapped (iban)
                | 2;x;y;1,50;;23.11.2026;HR13 1001 0051 8630 0016 0;closed
                |                        ^^^^^^^^^^^^^^^^^^^^^^^^^^

            record 3, line 4: refused
              id             id "3" / a "x"
              transaction 1, the record's id
              account        template {a} "x" {b} "y"
              amount         amount "1,50"
              currency       const "eur" > upper "EUR"
              booked_at      day "31.11.2026"
              iban           nothing at iban, so it is left out
              state          nothing at state, so the default "open"
              transaction 2, id + "/fee": its `when` does not hold
              "31.11.2026" does not have the form %d.%m.%Y (time)
                | 3;x;y;1,50;;31.11.2026;;
                |             ^^^^^^^^^^

            record 4, line 5: passed over: a [[skip]] holds

            record 5, line 6: refused
              id             id "5" / a "x"
              transaction 1, the record's id
              account        a "x"
              amount         nothing at amount
              currency       const "eur" > upper "EUR"
              booked_at      nothing at day
              iban           nothing at iban, so it is left out
              state          nothing at state, so the default "open"
              transaction 2, id + "/fee": its `when` does not hold
              the row has 2 columns, 8 are expected (columns)
                | 5;x
                | ^

            5 records, 1 of them passed over
        "#]],
    );
}

#[test]
fn what_is_broken_is_marked() {
    check_explained(
        &ready_made("json"),
        b"[{\"id\":\"1\",\n\"amount\":}]",
        expect![[r#"

            the document is refused: record 1, line 2: a value is expected here (json)
                | "amount":}]
                |          ^
        "#]],
    );
    check_explained(
        &ready_made("pain.001"),
        &std::fs::read(sources().join("pain.001.examples/wrong-total.in")).expect("readable"),
        expect![[r#"

            record 1, line 49: translated
              id             /Document/CstmrCdtTrfInitn/GrpHdr/MsgId "test-160620" / /Document/CstmrCdtTrfInitn/PmtInf/PmtInfId "test-160620" / /Document/CstmrCdtTrfInitn/PmtInf/DbtrAcct/Id/Othr/Id "50000970" / @number
              account        /Document/CstmrCdtTrfInitn/PmtInf/DbtrAcct/Id/Othr/Id "50000970"
              amount         Amt/InstdAmt "10"
              currency       Amt/InstdAmt/@Ccy "GBP"
              booked_at      /Document/CstmrCdtTrfInitn/GrpHdr/CreDtTm "2019-12-03T13:01:00+00:00"
              execution_date /Document/CstmrCdtTrfInitn/PmtInf/ReqdExctnDt/Dt "2020-06-16" > substring "2020-06-16"
              end_to_end_id  PmtId/EndToEndId "test-160620"
              debtor         /Document/CstmrCdtTrfInitn/PmtInf/Dbtr/Nm "UFXQHBE"
              creditor       Cdtr/Nm "Creditor account name"
              creditor_account CdtrAcct/Id/Othr/Id "12345678"
              gives {"id":"test-160620/test-160620/50000970/1","source":"pain.001","account":"50000970","amount":"10.00","currency":"GBP","booked_at":"2019-12-03T13:01:00+00:00","received_at":"2026-11-23T12:00:00.000000Z","execution_date":"2020-06-16","end_to_end_id":"test-160620","debtor":"UFXQHBE","creditor":"Creditor account name","creditor_account":"12345678"}

            the document is refused: line 7, field /Document/CstmrCdtTrfInitn/GrpHdr/NbOfTxs: the document says 2 records, there are 1 (control-total)
                |             <NbOfTxs>2</NbOfTxs>
                |                      ^
        "#]],
    );
    let binary = explain(
        &ready_made("iso8583"),
        &sample("iso8583/financial_transaction_message.dat"),
        ARRIVAL,
    );
    assert!(binary.contains("message 1 of the file: {"), "{binary}");
    assert!(binary.contains("amount"), "{binary}");
}

/// Explaining is for any bytes too.
#[test]
fn nothing_that_is_explained_or_guessed_panics() {
    for (source, body) in [
        (
            "card-csv",
            std::fs::read(sources().join("card-csv.examples/cards.in")).expect("readable"),
        ),
        (
            "json",
            std::fs::read(sources().join("json.examples/two.in")).expect("readable"),
        ),
        ("pacs.008", sample("pacs.008.001.08-made-up.xml")),
        (
            "iso8583",
            sample("iso8583/financial_transaction_message.dat"),
        ),
    ] {
        let mapping = ready_made(source);
        // A linear congruential generator: Knuth's MMIX. The seed is fixed.
        let mut state = 20_261_129_u64;
        for at in (0..body.len()).step_by(3) {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let mut changed = body.clone();
            changed[at] = (state >> 56) as u8;
            for bytes in [&changed[..], &body[..at]] {
                let _ = explain(&mapping, bytes, ARRIVAL);
                if let Ok(draft) = infer("t", bytes, &[], ARRIVAL) {
                    compile("t.toml", &draft.text);
                }
            }
        }
    }
}

fn ready() -> Vec<(String, String)> {
    files(&sources(), "toml")
        .into_iter()
        .map(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            let text = std::fs::read_to_string(&path).expect("readable");
            (name.expect("a name").to_owned(), text)
        })
        .collect()
}

fn drafted(body: &[u8]) -> String {
    let ready = ready();
    let ready: Vec<(&str, &str)> = ready.iter().map(|(a, b)| (&**a, &**b)).collect();
    match infer("t", body, &ready, ARRIVAL) {
        Ok(draft) => {
            compile("t.toml", &draft.text);
            draft.text
        }
        Err(error) => format!("{error}\n"),
    }
}

#[test]
fn drafts_compile_and_translate_their_sample() {
    let check = |body: &str, expected: Expect| expected.assert_eq(&drafted(body.as_bytes()));
    check(
        "Buchungstag;Konto;Betrag;Waehrung;S/H;Text\n23.11.2026;DE1;1.250,00;EUR;S;Miete\n24.11.2026;DE1;3,50;EUR;H;\"a;b\"\n",
        expect![[r##"
            # Drafted from a sample; with it all 2 records of the sample are translated.
            #
            # Look at every line that says "guessed" or "to do"; then: daybook mapping explain

            source = "t"
            title = ""
            format = "csv"

            [csv]
            delimiter = ";"
            header = "required"

            # Paths of the sample, with what stands there:
            #   Buchungstag: time, such as "23.11.2026", "24.11.2026"
            #   Konto: text, such as "DE1", "DE1"
            #   Betrag: number, such as "1.250,00", "3,50"
            #   Waehrung: currency, such as "EUR", "EUR"
            #   S/H: credit or debit, such as "S", "H"
            #   Text: text, such as "Miete", "a;b"

            [identity]
            # To do: natural = ["…"], what is unique and the same when a record is sent again. Without it the
            # id is made of the Idempotency-Key and the record's number.

            [fields.account]
            from = "Konto"  # guessed

            [fields.amount]
            from = "Betrag"  # guessed
            steps = [{ replace = '[.]', with = "" }]
            decimal = "comma"
            sign = { from = "S/H", credit = "H", debit = "S" }  # guessed

            [fields.currency]
            from = "Waehrung"  # guessed

            [fields.booked_at]
            from = "Buchungstag"  # guessed
            format = "%d.%m.%Y"
            zone = "UTC"  # yours may be another
            at = "12:00"

            # Every other name becomes a text field of the transaction, for example:
            # [fields.merchant]
            # from = "…"
            # optional = true
        "##]],
    );
    check(
        r#"{"page":1,"data":{"payments":[{"paymentId":"p-1","iban":"HR12","amount":{"value":12.5,"currency":"eur"},"createdAt":"2026-11-23T10:00:00Z"},
           {"paymentId":"p-2","iban":"HR12","amount":{"value":-3,"currency":"eur"},"createdAt":"2026-11-23T11:00:00Z"}]}}"#,
        expect![[r##"
            # Drafted from a sample; with it all 2 records of the sample are translated.
            #
            # Look at every line that says "guessed" or "to do"; then: daybook mapping explain

            source = "t"
            title = ""
            format = "json"
            records = "/data/payments"

            # Paths of the sample, with what stands there:
            #   amount/currency: text, such as "eur", "eur"
            #   amount/value: number, such as "12.5", "-3"
            #   createdAt: time, such as "2026-11-23T10:00:00Z", "2026-11-23T11:00:00Z"
            #   iban: text, such as "HR12", "HR12"
            #   paymentId: text, such as "p-1", "p-2"
            #   /page: number, such as "1"

            [identity]
            natural = ["paymentId"]  # guessed: unique in the sample. Is it the same when a record is sent again?

            [fields.account]
            from = "iban"  # guessed

            [fields.amount]
            from = "amount/value"  # guessed
            # A debit is negative: sign = "-", where all are debits without a sign.

            [fields.currency]
            from = "amount/currency"  # guessed
            steps = ["upper"]

            [fields.booked_at]
            from = "createdAt"  # guessed

            # Every other name becomes a text field of the transaction, for example:
            # [fields.merchant]
            # from = "…"
            # optional = true
        "##]],
    );
    check(
        "<l:list xmlns:l='urn:l' day='2026-11-23'><l:tx ref='1'><l:acct>a</l:acct><l:amt ccy='EUR'>1.50</l:amt></l:tx><l:tx ref='2'><l:acct>b</l:acct><l:amt ccy='EUR'>2</l:amt></l:tx></l:list>",
        expect![[r##"
            # Drafted from a sample; with it all 2 records of the sample are translated.
            #
            # Look at every line that says "guessed" or "to do"; then: daybook mapping explain

            source = "t"
            title = ""
            format = "xml"
            records = "/list/tx"

            [xml]
            namespaces = ["urn:l"]

            # Paths of the sample, with what stands there:
            #   /list/@day: time, such as "2026-11-23"
            #   @ref: number, such as "1", "2"
            #   acct: text, such as "a", "b"
            #   amt/@ccy: currency, such as "EUR", "EUR"
            #   amt: number, such as "1.50", "2"

            [identity]
            natural = ["@ref"]  # guessed: unique in the sample. Is it the same when a record is sent again?

            [fields.account]
            from = "acct"  # guessed

            [fields.amount]
            from = "amt"  # guessed
            # A debit is negative: sign = "-", where all are debits without a sign.

            [fields.currency]
            from = "amt/@ccy"  # guessed

            [fields.booked_at]
            from = "/list/@day"  # guessed
            zone = "UTC"  # yours may be another
            at = "12:00"

            # Every other name becomes a text field of the transaction, for example:
            # [fields.merchant]
            # from = "…"
            # optional = true
        "##]],
    );
    check(
        "",
        expect![[r#"
        the sample is empty
    "#]],
    );
    check(
        "{\"a\":",
        expect![[r#"
        the sample is no JSON: EOF while parsing a value at line 1 column 5
    "#]],
    );
    check(
        "<a><b></a>",
        expect![[r#"
        the sample is no XML: at byte 6: ill-formed document: expected `</b>`, but `</a>` was found
    "#]],
    );
}

#[test]
fn known_formats_begin_with_the_ready_made_mapping() {
    for (file, source) in [
        ("pain001_001_08.xml", "pain.001"),
        ("camt053.v8.xml", "camt.053"),
        (
            "200519_camt.054-Credit_P_CH2909000000250094239_1110092691_0_2019042421291293.xml",
            "camt.054",
        ),
        ("FI_camt_052_sample.xml.xml", "camt.052"),
        ("pacs.008.001.08-made-up.xml", "pacs.008"),
        ("pain008-musterfile.xml", "pain.008"),
        ("swift-mt/MT101.fin", "mt101"),
        ("swift-mt/generic.sta", "mt940"),
        ("swift-mt/mt942.sta", "mt942"),
        ("ofx/checking.ofx", "ofx"),
        ("ofx/bank_medium.ofx", "ofx"),
        ("nacha/ccd-debit.ach", "nacha"),
        ("iso8583/iso_reversal_message.dat", "iso8583"),
    ] {
        let text = drafted(&sample(file));
        let first: Vec<&str> = text.lines().take(2).collect();
        assert!(
            first[0].contains("with it all ") && first[1].contains(&format!("mapping {source},")),
            "{file}: {first:?}"
        );
    }
}

#[test]
fn arrivals() {
    assert_eq!(arrival("2026-11-23T13:00:00+01:00\n"), Some(ARRIVAL));
    assert_eq!(arrival("yesterday"), None);
}
