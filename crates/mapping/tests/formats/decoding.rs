//! Input text in, output text out, for each format.

use crate::common::{Decoded, Options, compile, decode, ready_made};
use expect_test::{Expect, expect};
use mapping::{IdentityKind, Limits, Mapping, RecordOutcome, rule};
use proptest::prelude::*;

#[track_caller]
fn check(mapping: &Mapping, body: &str, expected: Expect) {
    expected.assert_eq(&decode(mapping, body.as_bytes(), &Options::default()).text());
}

/// A mapping with the canonical fields as in `json.toml`, and more.
fn json_with(more: &str) -> Mapping {
    let text = format!(
        "source = \"t\"\nformat = \"json\"\n{more}\n[fields.account]\nfrom = \"account\"\n[fields.amount]\nfrom = \"amount\"\n\
         [fields.currency]\nconst = \"EUR\"\n[fields.booked_at]\nfrom = \"at\"\nzone = \"UTC\"\nat = \"12:00\"\n"
    );
    compile("t.toml", &text)
}

#[test]
fn json_in_all_its_shapes() {
    let mapping = ready_made("json");
    let one = r#"{"id":"1","account":"a","amount":-12.50,"currency":"EUR","booked_at":"2026-11-23T10:00:00Z"}"#;
    let two = r#"{"id":"2","account":"ž \"q\"","amount":"3","currency":"JPY","booked_at":"2026-11-23T10:00:00.25+09:00","reverses":"1","merchant":"a\n\u00e9\ud83d\ude00","type":null,"other":{"x":[1,{"y":[]}]}}"#;
    let expected = expect![[r#"
        {"id":"1","source":"json","account":"a","amount":"-12.50","currency":"EUR","booked_at":"2026-11-23T10:00:00Z","received_at":"2026-11-23T12:00:00.000000Z"}
        {"id":"2","source":"json","account":"ž \"q\"","amount":"3","currency":"JPY","booked_at":"2026-11-23T10:00:00.250000+09:00","received_at":"2026-11-23T12:00:00.000000Z","reverses":"1","merchant":"a\né😀"}
    "#]];
    for body in [
        format!("\u{feff} [ {one} ,\r\n{two} ] "),
        format!("{one}{two}"),
    ] {
        let same = decode(&mapping, body.as_bytes(), &Options::default()).text();
        assert_eq!(
            same,
            decode(
                &mapping,
                format!("{one}\n{two}").as_bytes(),
                &Options::default()
            )
            .text()
        );
    }
    check(&mapping, &format!("{one}\n{two}\n"), expected);
}

#[test]
fn ids_and_accounts_are_handed_out_unescaped() {
    let body = r#"{"id":"a\"b","account":"c\\d","amount":1,"currency":"EUR","booked_at":"2026-11-23T10:00:00Z"}"#;
    let decoded = decode(&ready_made("json"), body.as_bytes(), &Options::default());
    let RecordOutcome::Translated(record) = &decoded.outcomes[0] else {
        panic!("{}", decoded.text());
    };
    let text = |range: &std::ops::Range<u32>| {
        String::from_utf8_lossy(&decoded.out[range.start as usize..range.end as usize]).into_owned()
    };
    assert_eq!(
        (text(&record.id).as_str(), text(&record.account).as_str()),
        ("a\"b", "c\\d")
    );
    assert!(text(&record.json).contains(r#""id":"a\"b","source":"json","account":"c\\d""#));
    assert_eq!(record.original, 0..body.len() as u32);
}

#[test]
fn records_inside_of_an_object_inherit_from_it() {
    let mapping = compile(
        "t.toml",
        "source = \"t\"\nformat = \"json\"\nrecords = \"/batches/items\"\n[identity]\nnatural = [\"/batches/id\", \"@number-in-parent\"]\n\
         [fields.account]\nfrom = [\"owner/account\", \"/batches/account\"]\n[fields.amount]\nfrom = \"amount\"\n\
         [fields.currency]\nfrom = \"/currency\"\n[fields.booked_at]\nfrom = \"/batches/at\"\nformat = \"unix-seconds\"\n",
    );
    let body = r#"{"currency":"EUR","batches":[
        {"id":"b/1","account":"x","at":1795435200,"items":[{"amount":1},{"amount":2,"owner":{"account":"y"}}]},
        {"id":"b2","at":"1795435200","items":[{"amount":3},{"amount":4,"owner":{"account":"z"}}]}]}"#;
    check(
        &mapping,
        body,
        expect![[r#"
        {"id":"b~11/1","source":"t","account":"x","amount":"1.00","currency":"EUR","booked_at":"2026-11-23T12:00:00Z","received_at":"2026-11-23T12:00:00.000000Z"}
        {"id":"b~11/2","source":"t","account":"y","amount":"2.00","currency":"EUR","booked_at":"2026-11-23T12:00:00Z","received_at":"2026-11-23T12:00:00.000000Z"}
        record 3, line 3, field account: account is missing or empty (missing)
        {"id":"b2/2","source":"t","account":"z","amount":"4.00","currency":"EUR","booked_at":"2026-11-23T12:00:00Z","received_at":"2026-11-23T12:00:00.000000Z"}
    "#]],
    );
    check(
        &mapping,
        r#"{"batches":[{"items":[{"amount":1}],"id":"late"}]}"#,
        expect![[r#"
        record 1, line 1, field account: account is missing or empty (missing)
        document refused: line 1, field /batches/id: /batches/id stands behind records that inherit it; it must come before them (late-field)
    "#]],
    );
}

#[test]
fn functions_and_conditions() {
    let mapping = json_with(
        "amount_digits = \"any\"\npass = [\"note\"]\n\
         [fields.kind]\nfrom = \"code\"\nsteps = [\"trim\", { substring = [0, 2] }, { lookup = { \"01\" = \"sale\", \"02\" = \"refund\" }, else = \"other\" }]\n\
         [fields.place]\ntemplate = \"{city}-{country}\"\nsteps = [\"upper\"]\ndefault = \"nowhere\"\n\
         [fields.fee]\nfrom = \"fee\"\ntype = \"decimal\"\ndecimal = \"comma\"\noptional = true\n\
         [fields.settled]\nfrom = \"settled\"\ntype = \"time\"\nformat = \"%d.%m.%Y\"\nat = \"00:00\"\nzone = \"Europe/Zagreb\"\noptional = true\n\
         [fields.card]\nfrom = \"pan\"\nsteps = [\"hash\"]\noptional = true\nwhen = { from = \"code\", is = [\"01x\"] }\n",
    );
    check(
        &mapping,
        r#"{"account":"a","amount":"1.23456","at":"2026-11-23","code":" 02 ","city":"Zagreb","country":"hr","fee":"1,50","settled":"23.11.2026","pan":"4111","note":"n"}
           {"account":"a","amount":"1","at":"2026-11-23","code":"01x","pan":"4111","city":"Zagreb"}
           {"account":"a","amount":"1","at":"2026-11-23","code":"99","fee":"1.50"}"#,
        expect![[r#"
            {"id":"2b26adb4d3a1035aa578f2c1d8b69121","source":"t","account":"a","amount":"1.23456","currency":"EUR","booked_at":"2026-11-23T12:00:00Z","received_at":"2026-11-23T12:00:00.000000Z","kind":"refund","place":"ZAGREB-HR","fee":"1.5","settled":"2026-11-23T00:00:00+01:00","note":"n"}
            {"id":"ef1bc8981d4918be9bea7d77c54d996d","source":"t","account":"a","amount":"1.00","currency":"EUR","booked_at":"2026-11-23T12:00:00Z","received_at":"2026-11-23T12:00:00.000000Z","kind":"sale","place":"nowhere","card":"4edaf725947313b442e4c8e1faae3dcf"}
            record 3, line 3, field fee: "1.50" has a point, but this source writes a decimal comma (amount)
        "#]],
    );
}

#[test]
fn signs_come_from_indicators() {
    let mapping = compile(
        "t.toml",
        "source = \"t\"\nformat = \"csv\"\n[csv]\ndelimiter = \";\"\nheader = \"absent\"\n[fields.account]\nfrom = \"#1\"\n\
         [fields.amount]\nfrom = \"#2\"\ndecimal = \"comma\"\nsign = { from = \"#3\", credit = [\"C\", \"H\"], debit = \"D\" }\n\
         [fields.currency]\nconst = \"EUR\"\n[fields.booked_at]\nfrom = \"#4\"\nformat = \"%d.%m.%Y\"\nat = \"12:00\"\nzone = \"UTC\"\n",
    );
    check(
        &mapping,
        "a;1,5;C;23.11.2026\r\n\n\"b;\"\"x\"\"\";1,5;D;23.11.2026\na;-1,5;D;23.11.2026\na;1.5;C;23.11.2026\na;1;X;23.11.2026\na;1;C\n",
        expect![[r#"
            {"id":"2b26adb4d3a1035aa578f2c1d8b69121","source":"t","account":"a","amount":"1.50","currency":"EUR","booked_at":"2026-11-23T12:00:00Z","received_at":"2026-11-23T12:00:00.000000Z"}
            {"id":"ef1bc8981d4918be9bea7d77c54d996d","source":"t","account":"b;\"x\"","amount":"-1.50","currency":"EUR","booked_at":"2026-11-23T12:00:00Z","received_at":"2026-11-23T12:00:00.000000Z"}
            record 3, line 4, field amount: the amount has a sign of its own beside its credit or debit indicator (sign)
            record 4, line 5, field amount: "1.5" has a point, but this source writes a decimal comma (amount)
            record 5, line 6, field amount: "X" is neither a credit (C, H) nor a debit (D) (sign)
            record 6, line 7: the row has 3 columns, 4 are expected (columns)
        "#]],
    );
}

#[test]
fn columns_may_stand_in_any_order_or_be_missing() {
    let mapping = ready_made("card-csv");
    let expected = |body: &str, expected: Expect| check(&mapping, body, expected);
    expected(
        "booked_at,amount,id,currency,card\n2026-11-23T10:00:00Z,1.00,x,eur,5299\n",
        expect![[r#"
            {"id":"x","source":"card-csv","account":"5299","amount":"1.00","currency":"EUR","booked_at":"2026-11-23T10:00:00Z","received_at":"2026-11-23T12:00:00.000000Z"}
        "#]],
    );
    // The second request of a file has no header.
    expected(
        "y,5299,-1.00,EUR,2026-11-23T10:00:00Z,\"Konzum, Zagreb\",refund,x",
        expect![[r#"
        {"id":"y","source":"card-csv","account":"5299","amount":"-1.00","currency":"EUR","booked_at":"2026-11-23T10:00:00Z","received_at":"2026-11-23T12:00:00.000000Z","reverses":"x","merchant":"Konzum, Zagreb","type":"refund"}
    "#]],
    );
}

#[test]
fn xml_text_is_read_as_xml_says() {
    let mapping = compile(
        "t.toml",
        "source = \"t\"\nformat = \"xml\"\nrecords = \"/d/r\"\n[xml]\nnamespaces = [\"urn:t\"]\n[identity]\nnatural = [\"@id\"]\n\
         [fields.account]\nfrom = \"a\"\n[fields.amount]\nfrom = \"m\"\n[fields.currency]\nfrom = \"m/@c\"\n\
         [fields.booked_at]\nfrom = \"/d/@at\"\n[fields.note]\nfrom = \"n\"\noptional = true\n",
    );
    let body = "<?xml version='1.0'?><!-- c --><p:d xmlns:p='urn:t' xmlns:q='urn:other' at='2026-11-23T10:00:00Z'>\r\n\
        <p:r id='1&amp;2'><q:a>not this</q:a><p:a> x &lt;&#x41;<![CDATA[<&>]]> <!-- -->y </p:a><p:m c='EUR'>1.5</p:m><p:n>l1\r\nl2<![CDATA[\r\nl3\r]]>&#13;l4</p:n></p:r>\
        <p:r id='2'><p:a>x</p:a><p:a>y</p:a><p:m c='EUR'>1</p:m></p:r>\
        <p:r id='3'><p:a/><p:m c='EUR'>1</p:m></p:r></p:d>";
    check(
        &mapping,
        body,
        expect![[r#"
        {"id":"1&2","source":"t","account":"x <A<&> y","amount":"1.50","currency":"EUR","booked_at":"2026-11-23T10:00:00Z","received_at":"2026-11-23T12:00:00.000000Z","note":"l1\nl2\nl3\n\rl4"}
        record 2, line 4, field account: the value stands more than once in the record; `repeated = "first"` in the mapping would take the first (repeated)
        record 3, line 4, field account: account is missing or empty (missing)
    "#]],
    );
    for space in ["\u{a0}", "\u{2003}", "&#32;", "<![CDATA[]]>"] {
        let body = format!("{body}\n{space}");
        let text = decode(&mapping, body.as_bytes(), &Options::default()).text();
        let refused = "line 5: there is text outside of the root element (xml)";
        assert!(text.trim_end().ends_with(refused), "{text}");
    }
}

#[test]
fn identity_falls_back() {
    let mapping = json_with("[identity]\nnatural = [\"id\"]\n");
    let kinds = |key: Option<&str>, id: &str| {
        let body = format!("{{\"id\":{id},\"account\":\"a\",\"amount\":1,\"at\":\"2026-11-23\"}}");
        let options = Options {
            key,
            ..Options::default()
        };
        let decoded = decode(&mapping, body.as_bytes(), &options);
        match &decoded.outcomes[0] {
            RecordOutcome::Translated(record) => record.identity,
            RecordOutcome::Refused(refused) => panic!("{}", refused.refusal),
        }
    };
    assert_eq!(kinds(Some("k"), "\"x\""), IdentityKind::Natural);
    assert_eq!(kinds(Some("k"), "\"NOTPROVIDED\""), IdentityKind::Key);
    assert_eq!(kinds(Some("k"), "null"), IdentityKind::Key);
    assert_eq!(kinds(Some("k"), "\"\""), IdentityKind::Key);
    assert_eq!(kinds(None, "\"\""), IdentityKind::Generated);
}

/// At a limit a body passes; one beyond it is refused with the limit's rule.
#[test]
fn limits_hold_exactly() {
    let json = ready_made("json");
    let base = r#""account":"a","amount":1,"currency":"EUR","booked_at":"2026-11-23T10:00:00Z""#;
    let rule_of = |decoded: &Decoded| match (&decoded.result, decoded.outcomes.last()) {
        (Err(refusal), _) => Some(refusal.rule),
        (_, Some(RecordOutcome::Refused(refused))) => Some(refused.refusal.rule),
        _ => None,
    };
    let at = |mapping: &Mapping, body: &str, limits: Limits| {
        rule_of(&decode(
            mapping,
            body.as_bytes(),
            &Options {
                limits,
                ..Options::default()
            },
        ))
    };
    let default = Limits::default();
    let whole = format!("{{{base}}}");
    let size = whole.len();
    let with = |change: fn(&mut Limits, usize), value: usize| {
        let mut limits = default;
        change(&mut limits, value);
        limits
    };
    assert_eq!(
        at(&json, &whole, with(|l, v| l.body_bytes_max = v, size)),
        None
    );
    assert_eq!(
        at(&json, &whole, with(|l, v| l.body_bytes_max = v, size - 1)),
        Some(rule::BODY_BYTES)
    );
    assert_eq!(
        at(&json, &whole.repeat(3), with(|l, v| l.records_max = v, 3)),
        None
    );
    assert_eq!(
        at(&json, &whole.repeat(3), with(|l, v| l.records_max = v, 2)),
        Some(rule::RECORDS)
    );
    let nested = |depth: usize| {
        format!(
            "{{\"x\":{}{},{base}}}",
            "[".repeat(depth - 1),
            "]".repeat(depth - 1)
        )
    };
    assert_eq!(at(&json, &nested(64), default), None);
    assert_eq!(at(&json, &nested(65), default), Some(rule::DEPTH));
    let keys = |count: usize| {
        let more: String = (4..count).map(|index| format!("\"k{index}\":0,")).collect();
        format!("{{{more}{base}}}")
    };
    assert_eq!(at(&json, &keys(256), default), None);
    assert_eq!(at(&json, &keys(257), default), Some(rule::KEYS));
    let name = |length: usize| format!("{{\"{}\":0,{base}}}", "n".repeat(length));
    assert_eq!(at(&json, &name(256), default), None);
    assert_eq!(at(&json, &name(257), default), Some(rule::NAME_BYTES));
    let note = |length: usize| format!("{{\"merchant\":\"{}\",{base}}}", "n".repeat(length));
    assert_eq!(at(&json, &note(4_096), default), None);
    assert_eq!(at(&json, &note(4_097), default), Some(rule::FIELD_BYTES));
    let id = |length: usize| format!("{{\"id\":\"{}\",{base}}}", "n".repeat(length));
    assert_eq!(at(&json, &id(512), default), None);
    assert_eq!(at(&json, &id(513), default), Some(rule::ID_BYTES));
    let out = decode(&json, whole.as_bytes(), &Options::default())
        .out
        .len();
    assert_eq!(
        at(&json, &whole, with(|l, v| l.record_bytes_max = v, out)),
        None
    );
    assert_eq!(
        at(&json, &whole, with(|l, v| l.record_bytes_max = v, out - 1)),
        Some(rule::RECORD_BYTES)
    );
    assert_eq!(
        at(
            &json,
            &whole.repeat(2),
            with(|l, v| l.output_bytes_max = v, 2 * out)
        ),
        None
    );
    assert_eq!(
        at(
            &json,
            &whole.repeat(2),
            with(|l, v| l.output_bytes_max = v, 2 * out - 1)
        ),
        Some(rule::OUTPUT_BYTES)
    );
    let cdnow = ready_made("cdnow");
    let columns = with(|l, v| l.columns_max = v, 4);
    assert_eq!(at(&cdnow, "1 19970101 1 1", columns), None);
    assert_eq!(at(&cdnow, "1 19970101 1 1 1", columns), Some(rule::COLUMNS));
    let xml = |attributes: usize| {
        let list: String = (1..attributes)
            .map(|index| format!(" a{index}='x'"))
            .collect();
        format!(
            "<Document xmlns='urn:iso:std:iso:20022:tech:xsd:camt.053.001.08'{list}></Document>"
        )
    };
    assert_eq!(at(&ready_made("camt.053"), &xml(64), default), None);
    assert_eq!(
        at(&ready_made("camt.053"), &xml(65), default),
        Some(rule::ATTRIBUTES)
    );
}

const SEEDS: &[(&str, &str)] = &[
    (
        "json",
        r#"[{"id":"1","account":"a\u00e9","amount":-12.50e0,"currency":"EUR","booked_at":"2026-11-23T10:00:00Z","x":{"y":[1,true,null]}}]"#,
    ),
    (
        "card-csv",
        "id,card,amount,currency,booked_at,merchant,type,reverses\na,\"5\"\"2\",1.00,EUR,2026-11-23T10:15:00Z,K,p,\n",
    ),
    (
        "cdnow",
        " customer_id  date number_of_cds  dollar_value\r\n 00001 19970101  1   11.77\r\n",
    ),
    (
        "camt.053",
        "<?xml version='1.0'?><Document xmlns='urn:iso:std:iso:20022:tech:xsd:camt.053.001.08'><BkToCstmrStmt><Stmt><Id>1</Id>\
      <Acct><Id><IBAN>X</IBAN></Id></Acct><Ntry><Amt Ccy='EUR'>1.5</Amt><CdtDbtInd>DBIT</CdtDbtInd><BookgDt><Dt>2026-11-20</Dt></BookgDt>\
      <NtryRef>&amp;<![CDATA[x]]></NtryRef></Ntry></Stmt></BkToCstmrStmt></Document>",
    ),
];

proptest! {
    /// Whatever bytes come, the decoder answers and every answered record is canonical JSON.
    #[test]
    fn mutated_bodies_never_panic(
        seed in 0..SEEDS.len(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..4, any::<u8>()), 1..6),
        lines: bool,
    ) {
        let (source, text) = SEEDS[seed];
        let mut body = text.as_bytes().to_vec();
        for (place, edit, byte) in edits {
            let at = place.index(body.len().max(1)).min(body.len().saturating_sub(1));
            match edit {
                0 if !body.is_empty() => { body.remove(at); }
                1 => body.insert(at, byte),
                2 if !body.is_empty() => body[at] = b"{}[]\"\\,:<>&;/= \n0-.e"[usize::from(byte) % 20],
                _ => body.truncate(at + usize::from(byte)),
            }
        }
        let options = Options { lines, ..Options::default() };
        let decoded = decode(&ready_made(source), &body, &options);
        for object in decoded.objects() {
            prop_assert!(object["amount"].is_string() && object["id"].is_string());
        }
        for outcome in &decoded.outcomes {
            let original = match outcome {
                RecordOutcome::Translated(record) => &record.original,
                RecordOutcome::Refused(record) => &record.original,
            };
            prop_assert!(original.start <= original.end && original.end as usize <= body.len());
        }
    }

    /// What our JSON parser accepts is what `serde_json` accepts, but for duplicate keys and depth.
    #[test]
    fn json_agrees_with_serde(edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..24), 0..4)) {
        let mut value = "[1,-0.5e+3,\"\\u00e9\\ud83d\\ude00\\n\",{\"b\":[true,false,null,{}]},[[]]] ".to_owned().into_bytes();
        for (place, edit) in edits {
            let at = place.index(value.len());
            value[at] = b"{}[]\"\\,:0123456789-+.eE "[edit];
        }
        let body = format!(
            "{{\"account\":\"a\",\"amount\":1,\"currency\":\"EUR\",\"booked_at\":\"2026-11-23T10:00:00Z\",\"skipped\":{}}}",
            String::from_utf8_lossy(&value)
        );
        let decoded = decode(&ready_made("json"), body.as_bytes(), &Options::default());
        let ours = decoded.result.is_ok() || decoded.result.is_err_and(|refusal| refusal.rule != rule::JSON);
        let theirs = serde_json::Deserializer::from_str(&body)
            .into_iter::<serde_json::Value>()
            .all(|value| value.is_ok());
        prop_assert_eq!(ours, theirs, "{}", body);
    }
}
