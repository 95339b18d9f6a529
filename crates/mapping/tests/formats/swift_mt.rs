//! SWIFT MT: messages in, transactions out.

use crate::common::{Options, compile, decode, ready_made};
use expect_test::{Expect, expect};
use mapping::Mapping;

/// Without the columns that every record has.
fn text(mapping: &Mapping, body: &[u8]) -> String {
    let text = decode(mapping, body, &Options::default()).text();
    text.replace(",\"received_at\":\"2026-11-23T12:00:00.000000Z\"", "")
        .replace(",\"source\":\"t\"", "")
}

#[track_caller]
fn check(mapping: &Mapping, body: &str, expected: Expect) {
    expected.assert_eq(&text(mapping, body.as_bytes()));
}

/// A mapping of statements with fields that show what was read.
fn statement(fields: &[(&str, &str)]) -> Mapping {
    let mut text = "source = \"t\"\nformat = \"swift-mt\"\nencoding = [\"utf-8\", \"windows-1252\"]\n[swift-mt]\ntypes = [\"940\"]\n\
        record = \"61\"\nrecord_fields = [\"86\"]\n[identity]\nnatural = [\"@number\"]\n[fields.account]\nfrom = \"/25/account\"\n\
        [fields.amount]\nfrom = \"61/amount\"\nsign = { from = \"61/mark\", credit = [\"C\", \"RD\"], debit = [\"D\", \"RC\"] }\n\
        [fields.currency]\nfrom = [\"/60F/currency\", \"/60M/currency\"]\n[fields.booked_at]\nfrom = [\"61/entry_date\", \"61/value_date\"]\n\
        at = \"12:00\"\nzone = \"UTC\"\n"
        .to_owned();
    for (name, path) in fields {
        text.push_str(&format!(
            "[fields.{name}]\nfrom = \"{path}\"\noptional = true\n"
        ));
    }
    compile("t.toml", &text)
}

const HEAD: &str = ":20:S\n:25:10020030/1234567\n:28C:1/2\n:60F:C261120EUR100,\n";

#[test]
fn fields_of_a_statement() {
    let mapping = statement(&[
        ("raw", "61"),
        ("value_date", "61/value_date"),
        ("funds", "61/funds_code"),
        ("type", "61/type"),
        ("customer", "61/customer_reference"),
        ("bank", "61/bank_reference"),
        ("details", "61/details"),
        ("page", "/28C/page"),
        ("opening", "/60F/amount"),
        ("opened", "/60F/date"),
    ]);
    let body = format!(
        "{HEAD}:61:2611201121CR12,5NTRFREF 1//BANK 1  \nMORE\nDETAILS\n:86:text\n:61:261231RC,50S103\n:61:261120RD1,FMSCX\n:62F:C261120EUR1,\n"
    );
    check(
        &mapping,
        &body,
        expect![[r#"
            {"id":"1","account":"1234567","amount":"12.50","currency":"EUR","booked_at":"2026-11-21T12:00:00Z","raw":"2611201121CR12,5NTRFREF 1//BANK 1  \nMORE\nDETAILS","value_date":"2026-11-20","funds":"R","type":"NTRF","customer":"REF 1","bank":"BANK 1","details":"MORE\nDETAILS","page":"2","opening":"100","opened":"2026-11-20"}
            record 2, line 9, field booked_at: "2026-12-31" is more than 1440 minutes ahead of its arrival at 2026-11-23T12:00:00.000000Z (future)
            {"id":"3","account":"1234567","amount":"1.00","currency":"EUR","booked_at":"2026-11-20T12:00:00Z","raw":"261120RD1,FMSCX","value_date":"2026-11-20","type":"FMSC","customer":"X","page":"2","opening":"100","opened":"2026-11-20"}
        "#]],
    );
}

#[test]
fn what_is_malformed_refuses_its_record() {
    let mapping = statement(&[]);
    let lines = [
        "2611201121X12,5NTRF",
        "26112011C12,5NTRF",
        "261120C1.234,5NTRF",
        "261120CNTRF",
        "260431C1,NTRF",
        "260431C1,",
        "2604310430C1,NTRF",
    ];
    let mut body = HEAD.to_owned();
    for line in lines {
        body.push_str(&format!(":61:{line}\n"));
    }
    check(
        &mapping,
        &body,
        expect![[r#"
            record 1, line 5, field 61: "2611201121X12,5NTRF" is no field 61 such as 2611231123C12,50NTRFREF//BANKREF (swift-mt)
            record 2, line 6, field 61: "26112011C12,5NTRF" is no field 61 such as 2611231123C12,50NTRFREF//BANKREF (swift-mt)
            record 3, line 7, field 61: "261120C1.234,5NTRF" is no field 61 such as 2611231123C12,50NTRFREF//BANKREF (swift-mt)
            record 4, line 8, field 61: "261120CNTRF" is no field 61 such as 2611231123C12,50NTRFREF//BANKREF (swift-mt)
            record 5, line 9, field booked_at: "260431" is no date and time such as 2026-11-23T10:15:00+01:00 (time)
            record 6, line 10, field booked_at: "260431" is no date and time such as 2026-11-23T10:15:00+01:00 (time)
            {"id":"7","account":"1234567","amount":"1.00","currency":"EUR","booked_at":"2026-04-30T12:00:00Z"}
        "#]],
    );
    let refusals = text(&mapping, body.as_bytes());
    for end in ["\r", "\r\n"] {
        assert_eq!(text(&mapping, body.replace('\n', end).as_bytes()), refusals);
    }
    // The body may end inside of the amount.
    check(
        &mapping,
        &format!("{HEAD}:61:261120C12,5"),
        expect![[r#"
            record 1, line 5, field 61: "261120C12,5" is no field 61 such as 2611231123C12,50NTRFREF//BANKREF (swift-mt)
        "#]],
    );
    check(
        &mapping,
        ":20:S\n:60F:C261120EURO100,\n:61:261120C12,5NTRF\n",
        expect![[r#"
            document refused: line 2, field 60F: "EURO100," is no field 60F such as 261123EUR1234,5 (swift-mt)
        "#]],
    );
}

#[test]
fn information_in_its_forms() {
    let mapping = statement(&[
        ("code", "86/code"),
        ("booking", "86/00"),
        ("purpose", "86/purpose"),
        ("end_to_end", "86/EREF"),
        ("words", "86/SVWZ"),
        ("remittance", "86/REMI"),
        ("name", "86/name"),
        ("other_name", "86/NAME"),
        ("bic", "86/BIC"),
        ("information", "86"),
    ]);
    let entry = |information: &str| format!(":61:261120C1,NTRF\n:86:{information}\n");
    let body = HEAD.to_owned()
        + &entry(
            "166?00GUTSCHRIFT?109310?20EREF+47\n11KREF+0?21SVWZ+Rechnung 1\n7?32Beispiel?33 GmbH",
        )
        + &entry("020~00Wyplata~20Tytul~2?~21 dalej")
        + &entry("/EREF/4711//ORDP//NAME/JOHN/REMI/Rechnung 17/BIC/ABNANL2A")
        + &entry("free text with ?20 in it")
        + &entry("");
    check(
        &mapping,
        &body,
        expect![[r#"
            {"id":"1","account":"1234567","amount":"1.00","currency":"EUR","booked_at":"2026-11-20T12:00:00Z","code":"166","booking":"GUTSCHRIFT","purpose":"EREF+4711KREF+0SVWZ+Rechnung 17","end_to_end":"4711","words":"Rechnung 17","name":"Beispiel GmbH","information":"166?00GUTSCHRIFT?109310?20EREF+47\n11KREF+0?21SVWZ+Rechnung 1\n7?32Beispiel?33 GmbH"}
            {"id":"2","account":"1234567","amount":"1.00","currency":"EUR","booked_at":"2026-11-20T12:00:00Z","code":"020","booking":"Wyplata","purpose":"Tytul~2? dalej","information":"020~00Wyplata~20Tytul~2?~21 dalej"}
            {"id":"3","account":"1234567","amount":"1.00","currency":"EUR","booked_at":"2026-11-20T12:00:00Z","end_to_end":"4711","remittance":"Rechnung 17","other_name":"JOHN","bic":"ABNANL2A","information":"/EREF/4711//ORDP//NAME/JOHN/REMI/Rechnung 17/BIC/ABNANL2A"}
            {"id":"4","account":"1234567","amount":"1.00","currency":"EUR","booked_at":"2026-11-20T12:00:00Z","information":"free text with ?20 in it"}
            {"id":"5","account":"1234567","amount":"1.00","currency":"EUR","booked_at":"2026-11-20T12:00:00Z"}
        "#]],
    );
}

/// The same statements give the same records, whatever stands around them and however lines end.
#[test]
fn frames_and_line_ends() {
    let mapping = statement(&[("information", "86")]);
    let one =
        ":20:A\n:25:1\n:28C:1\n:60F:C261120EUR1,\n:61:261120C1,NTRF\n:86:a\nb\n:62F:C261120EUR2,\n";
    let two = ":20:B\n:25:2\n:28C:1\n:60F:C261120EUR1,\n:61:261120D1,NTRF\n:86:c\n";
    let expected = text(&mapping, format!("{one}{two}").as_bytes());
    assert_eq!(expected.lines().count(), 2, "{expected}");
    let fin = |text: &str| {
        format!(
            "{{1:F01BANKBEBBAXXX0000000000}}{{2:I940BANKDEFFXXXXN}}{{4:\n{text}-}}{{5:{{CHK:1}}}}"
        )
    };
    for body in [
        format!("\u{feff}ABNANL2A\n940\nABNANL2A\n{one}-\nABNANL2A\n940\n{two}-\n"),
        format!("{one}-}}\n\n{two}-XXX"),
        format!("\u{1}\n{one}-\u{3}\u{1}\n{two}-\u{3}"),
        format!(":940:\n{one}:940:\n{two}"),
        format!("{}{}", fin(one), fin(two)),
        format!("{}$\n{}", fin(one), fin(two)),
        format!("\u{1}{}\u{3}   \u{1}{}\u{3}", fin(one), fin(two)),
        format!("{one}\n{}", fin(two)),
        format!("{}\n{two}", fin(one)),
    ] {
        for end in ["\n", "\r\n", "\r"] {
            let body = body.replace('\n', end);
            assert_eq!(text(&mapping, body.as_bytes()), expected, "{body:?}");
        }
    }
}

#[test]
fn other_characters_than_utf_8() {
    let mapping = statement(&[("information", "86")]);
    let body = [
        HEAD.as_bytes(),
        b":61:261120C1,NTRF\n:86:M\xfcller \x80\n:61:261120C1.1,NTRF\n",
    ]
    .concat();
    let decoded = decode(&mapping, &body, &Options::default());
    assert!(
        decoded.text().contains("\"information\":\"Müller €\""),
        "{}",
        decoded.text()
    );
    // Positions are those of the body that was sent.
    let refused = decoded.outcomes.iter().find_map(|outcome| match outcome {
        mapping::RecordOutcome::Refused(refused) => Some(refused),
        mapping::RecordOutcome::Translated(_) => None,
    });
    let refused = refused.expect("the second amount is malformed");
    let original = &body[refused.original.start as usize..refused.original.end as usize];
    assert_eq!(original, b":61:261120C1.1,NTRF");
    assert_eq!(
        refused.refusal.offset as usize,
        body.len() - b"261120C1.1,NTRF\n".len()
    );
}

const MT103: &str = "{1:F01AAAABEBBAXXX0000000000}{2:O1031805261123BBBBDEFFAXXX00000000002611231806N}{3:{108:X}{121:A0B1C2D3-0000-4000-8000-000000000000}}{4:
:20:REF-1
:23B:CRED
:32A:261123EUR1234,5
:33B:USD1300,
:50F:/DE89370400440532013000
1/BEISPIEL GMBH
2/STRASSE 1
:59:/HR1210010051863000160
PRIMJER D.O.O.
ZAGREB
:70:RECHNUNG 17
:71A:SHA
-}{5:{MAC:00000000}{CHK:1}}";

#[test]
fn customer_transfers() {
    check(
        &ready_made("mt103"),
        MT103,
        expect![[r#"
            {"id":"BBBBDEFF/REF-1","source":"mt103","account":"HR1210010051863000160","amount":"1234.50","currency":"EUR","booked_at":"2026-11-23T18:05:00Z","value_date":"2026-11-23","uetr":"a0b1c2d3-0000-4000-8000-000000000000","sender":"BBBBDEFF","receiver":"AAAABEBB","operation":"CRED","debtor":"BEISPIEL GMBH","debtor_account":"DE89370400440532013000","creditor":"PRIMJER D.O.O.","instructed_amount":"1300","instructed_currency":"USD","charges":"SHA","remittance":"RECHNUNG 17"}
        "#]],
    );
    for end in ["\r\n", "\r"] {
        let same = text(&ready_made("mt103"), MT103.replace('\n', end).as_bytes());
        assert_eq!(same, text(&ready_made("mt103"), MT103.as_bytes()));
    }
    // Two messages, the second without blocks and with a BIC for the customer.
    let bare = ":20:REF-2\n:32A:261123JPY1000,\n:50A:/D/123\nCCCCJPJT\n:59A:/456\nDDDDJPJT\n-";
    check(
        &ready_made("mt103"),
        &format!("{MT103}\n{bare}"),
        expect![[r#"
            {"id":"BBBBDEFF/REF-1","source":"mt103","account":"HR1210010051863000160","amount":"1234.50","currency":"EUR","booked_at":"2026-11-23T18:05:00Z","value_date":"2026-11-23","uetr":"a0b1c2d3-0000-4000-8000-000000000000","sender":"BBBBDEFF","receiver":"AAAABEBB","operation":"CRED","debtor":"BEISPIEL GMBH","debtor_account":"DE89370400440532013000","creditor":"PRIMJER D.O.O.","instructed_amount":"1300","instructed_currency":"USD","charges":"SHA","remittance":"RECHNUNG 17"}
            {"id":"123/REF-2","source":"mt103","account":"456","amount":"1000","currency":"JPY","booked_at":"2026-11-23T12:00:00Z","value_date":"2026-11-23","debtor":"CCCCJPJT","debtor_account":"123","creditor":"DDDDJPJT"}
        "#]],
    );
}

#[test]
fn transfers_between_banks() {
    let body = "{1:F01AAAABEBBAXXX0000000000}{2:I202BBBBDEFFXXXXN}{3:{119:COV}{121:X}}{4:\n:20:COV-1\n:21:REF-1\n:32A:261123EUR1234,5\n\
        :52A:AAAABEBB\n:58A:/DE1\nCCCCDEFF100\n:50K:/1\nX\n:59:/2\nY\n:52A:ZZZZBEBB\n:33B:EUR1234,5\n-}";
    check(
        &ready_made("mt202"),
        body,
        expect![[r#"
            {"id":"AAAABEBB/COV-1","source":"mt202","account":"DE1","amount":"1234.50","currency":"EUR","booked_at":"2026-11-23T12:00:00Z","value_date":"2026-11-23","uetr":"x","validation":"COV","sender":"AAAABEBB","receiver":"BBBBDEFF","related_reference":"REF-1"}
        "#]],
    );
}

#[test]
fn requests_for_several_transfers() {
    let body = "{1:F01AAAABEBBAXXX0000000000}{2:I101BBBBDEFFXXXXN}{4:\n:20:R\n:28D:1/1\n:50H:/123\nX\n:30:261123\n\
        :21:T1\n:32B:EUR1,\n:59:/9\nY\n:71A:SHA\n:21:T2\n:32B:EUR2,5\n:50H:/77\nZ\n:59:/9\nY\n:71A:SHA\n-}{5:{CHK:1}}";
    check(
        &ready_made("mt101"),
        body,
        expect![[r#"
            {"id":"AAAABEBB/R/1~11/T1","source":"mt101","account":"123","amount":"1.00","currency":"EUR","booked_at":"2026-11-23T12:00:00Z","execution_date":"2026-11-23","debtor":"X","creditor":"Y","creditor_account":"9","charges":"SHA"}
            {"id":"AAAABEBB/R/1~11/T2","source":"mt101","account":"77","amount":"2.50","currency":"EUR","booked_at":"2026-11-23T12:00:00Z","execution_date":"2026-11-23","debtor":"Z","creditor":"Y","creditor_account":"9","charges":"SHA"}
        "#]],
    );
}

#[test]
fn what_is_no_message_is_refused() {
    let mt103 = ready_made("mt103");
    check(
        &mt103,
        "{\"a\": 1}",
        expect![[r#"
            document refused: line 1: there is no SWIFT message: neither a block such as {1:F01… nor a line such as :20:… (swift-mt)
        "#]],
    );
    check(
        &mt103,
        &MT103[..MT103.len() - 40],
        expect![[r#"
            document refused: record 1, line 12: the text ends inside of block 4, which a line with -} closes (swift-mt)
        "#]],
    );
    check(
        &mt103,
        &MT103[..MT103.len() - 5],
        expect![[r#"
            document refused: record 1, line 14: the text ends inside of block 5 (swift-mt)
        "#]],
    );
    let answer = |answer| {
        format!("{{1:F21AAAABEBBAXXX0000000000}}{{4:{{177:2611231200}}{{451:{answer}}}}}{MT103}")
    };
    assert_eq!(
        text(&mt103, answer(0).as_bytes()),
        text(&mt103, MT103.as_bytes())
    );
    check(
        &mt103,
        &answer(1),
        expect![[r#"
            document refused: line 1, field 451: the network rejected this message (451:1), so it moves no money (swift-mt)
        "#]],
    );
}

#[test]
fn mistakes_of_a_mapping() {
    let text = "source = \"t\"\nformat = \"swift-mt\"\nrecords = \"/61\"\nencoding = \"ascii\"\n[swift-mt]\ntypes = [\"MT940\"]\nrecord_fields = [\"86x\", \"86\"]\n\
        [fields.account]\nfrom = \"account\"\n[fields.amount]\nfrom = \"61/ammount\"\n[fields.currency]\nfrom = \"60F/ccy\"\n\
        [fields.booked_at]\nfrom = \"20/date\"\nat = \"12:00\"\nzone = \"UTC\"\n";
    let errors = Mapping::compile("t.toml", text).expect_err("mistakes");
    let errors: String = errors.iter().map(|error| format!("{error}\n")).collect();
    expect![[r#"
        t.toml:3:11: records: in SWIFT MT the key `record` of [swift-mt] names the field that begins a record
        t.toml:4:12: encoding: "ascii" is none of utf-8, iso-8859-1, iso-8859-2, iso-8859-15, windows-1250, windows-1252 ("utf-8" only as the first)
        t.toml:5:2: swift-mt.record: `record` names the field that a record begins with
        t.toml:6:10: swift-mt.types: "MT940" is no message type such as "103"
        t.toml:7:18: swift-mt.record_fields: "86x" is no field such as "61" or "32B"
        t.toml:9:8: fields.account.from: "account" is no field such as "61" or "32A", no block ("1", "2", "3", "5"), and neither "sender" nor "receiver"
        t.toml:11:8: fields.amount.from: 61 has no part "ammount"; did you mean "61/amount"?
        t.toml:13:8: fields.currency.from: 60F has no part "ccy"; it has mark, date, currency, amount
        t.toml:15:8: fields.booked_at.from: 20 has no parts: write it as "20"
    "#]]
    .assert_eq(&errors);
}
