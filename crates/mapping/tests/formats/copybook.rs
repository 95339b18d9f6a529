//! Records of copybooks: Cobrix's files give exactly what Cobrix has in its expected files.

use crate::common::{Options, compile, decode, ready_made, sample};
use expect_test::{Expect, expect};
use mapping::{Limits, Mapping, Refusal};
use serde_json::Value;

/// A mapping that reads nothing, for looking at whole records.
fn looking_at(copybook: &str, keys: &str) -> Mapping {
    compile(
        "t.toml",
        &format!(
            "source = \"t\"\nformat = \"copybook\"\n[copybook]\ntext = '''\n{copybook}'''\n{keys}\n\
             [fields.account]\nconst = \"a\"\n[fields.amount]\nconst = \"1\"\n[fields.currency]\nconst = \"EUR\"\n\
             [fields.booked_at]\nconst = \"2026-11-23T10:00:00Z\"\n"
        ),
    )
}

fn copybook_of(file: &str) -> String {
    // One file ends with a Ctrl-Z, which TOML has no place for.
    let text = String::from_utf8(sample(file)).expect("UTF-8");
    text.trim_end_matches('\u{1a}').to_owned()
}

fn show(mapping: &Mapping, body: &[u8]) -> Result<Vec<String>, Refusal> {
    let mut shown = Vec::new();
    let result = mapping.show(body, &Limits::default(), &mut |json| {
        shown.push(json.to_owned());
    });
    result.expect("a binary format").map(|count| {
        assert_eq!(count as usize, shown.len());
        shown
    })
}

/// The fields of a JSON object of one level as they are written: the digits count, not the float.
fn written(json: &str) -> Vec<(String, String)> {
    let raw: std::collections::BTreeMap<String, Box<serde_json::value::RawValue>> =
        serde_json::from_str(json).expect("JSON");
    raw.into_iter()
        .map(|(name, value)| (name, value.get().to_owned()))
        .collect()
}

#[test]
fn fixed_records_between_header_and_footer() {
    let mapping = looking_at(
        &copybook_of("cobrix/test13a_file_header_footer.cob"),
        "header_bytes = 10\ntrailer_bytes = 12",
    );
    let shown = show(&mapping, &sample("cobrix/test13a_TRAN2.JUN24.DATA.dat")).expect("readable");
    let expected = String::from_utf8(sample("cobrix/test13a.txt")).expect("UTF-8");
    // Cobrix sorted them; the very same text otherwise.
    let sorted = |lines: &mut Vec<String>| lines.sort();
    let (mut shown, mut expected) = (shown, expected.lines().map(str::to_owned).collect());
    sorted(&mut shown);
    sorted(&mut expected);
    assert_eq!(shown, expected);
}

#[test]
fn display_numbers_with_blanks_and_letters() {
    let mapping = looking_at(&copybook_of("cobrix/test19_display_num.cob"), "");
    let shown = show(&mapping, &sample("cobrix/test19_data.dat")).expect("readable");
    let expected = String::from_utf8(sample("cobrix/test19.txt")).expect("UTF-8");
    let expected: Vec<_> = expected
        .lines()
        .map(|line| {
            // Cobrix was told to number the records; the numbers are not of the file.
            let mut fields = written(line);
            fields.retain(|(name, _)| name != "File_Id" && name != "Record_Id");
            fields
        })
        .collect();
    let shown: Vec<_> = shown.iter().map(|json| written(json)).collect();
    assert_eq!(shown, expected);
}

/// Names of Cobrix's flat columns with the texts of the fields.
fn flat(prefix: &str, value: &Value, out: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                flat(&format!("{prefix}_{name}"), value, out);
            }
        }
        Value::Array(elements) => {
            for (index, value) in elements.iter().enumerate() {
                flat(&format!("{prefix}_{}", index + 1), value, out);
            }
        }
        Value::String(text) => out.push((prefix.to_owned(), text.clone())),
        other => out.push((prefix.to_owned(), other.to_string())),
    }
}

#[test]
fn tables_as_long_as_a_field_says() {
    let mapping = looking_at(&copybook_of("cobrix/test1_copybook.cob"), "");
    let shown = show(&mapping, &sample("cobrix/test1_example.bin")).expect("readable");
    let expected = String::from_utf8(sample("cobrix/test1.csv")).expect("UTF-8");
    let mut rows = expected
        .lines()
        .map(|line| line.split(',').collect::<Vec<_>>());
    let names = rows.next().expect("a header");
    let rows: Vec<_> = rows.collect();
    assert_eq!(shown.len(), rows.len());
    for (json, row) in shown.iter().zip(&rows) {
        let mut fields = Vec::new();
        flat(
            "RECORD",
            &serde_json::from_str(json).expect("JSON"),
            &mut fields,
        );
        for (name, text) in &fields {
            let column = names.iter().position(|known| known == name);
            let column = column.unwrap_or_else(|| panic!("no column {name}"));
            assert_eq!(row[column].trim_matches('"'), text, "{name}");
        }
        // What is not shown is empty there.
        let given = row
            .iter()
            .filter(|cell| !cell.trim_matches('"').is_empty())
            .count();
        assert_eq!(
            given,
            fields.iter().filter(|(_, text)| !text.is_empty()).count()
        );
    }
}

#[track_caller]
fn check(mapping: &Mapping, body: &[u8], expected: Expect) {
    expected.assert_eq(&decode(mapping, body, &Options::default()).text());
}

#[test]
fn the_ready_made_source_reads_the_file() {
    let decoded = decode(
        &ready_made("copybook"),
        &sample("cobrix/test13a_TRAN2.JUN24.DATA.dat"),
        &Options::default(),
    );
    assert_eq!(decoded.result, Ok(50));
    let objects = decoded.objects();
    // Three records are in CYN, which is no currency.
    assert_eq!(objects.len(), 47);
    let lines: Vec<String> = decoded.text().lines().take(8).map(str::to_owned).collect();
    expect![[r#"
        {"id":"2b26adb4d3a1035aa578f2c1d8b69121","source":"copybook","account":"0021213441","amount":"988.91","currency":"GBP","booked_at":"2026-06-24T12:00:00Z","received_at":"2026-11-23T12:00:00.000000Z","company":"Delta Pivovar","wealth":"0"}
        {"id":"ef1bc8981d4918be9bea7d77c54d996d","source":"copybook","account":"0039801988","amount":"713.22","currency":"CAD","booked_at":"2026-06-24T12:00:00Z","received_at":"2026-11-23T12:00:00.000000Z","company":"Robotrd Inc.","wealth":"1"}
        {"id":"36537c19e9eefee494992d8e9903f470","source":"copybook","account":"0039567812","amount":"59.80","currency":"CAD","booked_at":"2026-06-24T12:00:00Z","received_at":"2026-11-23T12:00:00.000000Z","company":"ECSRONO","wealth":"0"}
        {"id":"6640eb84527dbcb626e29e362e498ec8","source":"copybook","account":"8822278911","amount":"428.65","currency":"USD","booked_at":"2026-06-24T12:00:00Z","received_at":"2026-11-23T12:00:00.000000Z","company":"Xingzhoug","wealth":"0"}
        {"id":"67549070ba0b4cce6b81f5274867372b","source":"copybook","account":"0039887123","amount":"292.00","currency":"CHF","booked_at":"2026-06-24T12:00:00Z","received_at":"2026-11-23T12:00:00.000000Z","company":"Joan Q & Z","wealth":"1"}
        {"id":"793955d99ab1437f851a9e4b4670a4d6","source":"copybook","account":"0039887123","amount":"873.44","currency":"ZAR","booked_at":"2026-06-24T12:00:00Z","received_at":"2026-11-23T12:00:00.000000Z","company":"Joan Q & Z","wealth":"0"}
        {"id":"cf4db6235aef1467b28c82b22eca7b81","source":"copybook","account":"0092317899","amount":"429.55","currency":"CHF","booked_at":"2026-06-24T12:00:00Z","received_at":"2026-11-23T12:00:00.000000Z","company":"Test Bank","wealth":"1"}
        record 8, line 1, field currency: "CYN" is no ISO 4217 currency code such as EUR (currency)
    "#]].assert_eq(&format!("{}\n", lines.join("\n")));
}

/// A text in cp037.
fn ebcdic(text: &str) -> Vec<u8> {
    let pages = String::from_utf8(sample("code-pages.txt")).expect("UTF-8");
    let line = pages
        .lines()
        .find_map(|line| line.strip_prefix("cp037 "))
        .expect("cp037");
    let codes: Vec<u32> = line
        .split(' ')
        .map(|code| u32::from_str_radix(code, 16).expect("hexadecimal"))
        .collect();
    text.chars()
        .map(|character| {
            let byte = codes.iter().position(|code| *code == u32::from(character));
            byte.expect("a character of cp037") as u8
        })
        .collect()
}

/// A record with its descriptor word, which counts itself.
fn rdw(record: &[u8]) -> Vec<u8> {
    let length = (record.len() + 4) as u16;
    [&length.to_be_bytes(), &[0, 0], record].concat()
}

/// Header, entries and trailer of account files.
const STATEMENT: &str = "       01  STATEMENT.
           05  KIND                PIC X.
           05  HEADER.
               10  FILE-DAY        PIC 9(8).
           05  ACCOUNT REDEFINES HEADER.
               10  NUMBER          PIC X(6).
               10  CURRENCY        PIC X(3).
           05  ENTRY REDEFINES HEADER.
               10  REF             PIC X(4).
               10  PARTS-COUNT     PIC 9.
               10  AMOUNT          PIC S9(5)V99 COMP-3.
               10  PARTS OCCURS 0 TO 3 DEPENDING ON PARTS-COUNT.
                   15  NOTE        PIC X(2).
";

fn statement(keys: &str) -> Mapping {
    compile(
        "t.toml",
        &format!(
            "source = \"t\"\nformat = \"copybook\"\nrecords = \"/entry\"\n[copybook]\ntext = '''\n{STATEMENT}'''\n\
             tables = \"short\"\n{keys}\nsegment = \"KIND\"\nskip_segments = [\"T\"]\n\
             [copybook.segments]\nHEADER = \"H\"\nACCOUNT = \"A\"\nENTRY = [\"E\", \"R\"]\n\
             [identity]\nnatural = [\"/ACCOUNT/NUMBER\", \"ref\"]\n\
             [fields.account]\nfrom = \"/Statement/Account/Number\"\n[fields.amount]\nfrom = \"AMOUNT\"\n\
             [fields.currency]\nfrom = \"/ACCOUNT/CURRENCY\"\n\
             [fields.booked_at]\nfrom = \"/HEADER/FILE_DAY\"\nformat = \"%Y%m%d\"\nat = \"12:00\"\nzone = \"UTC\"\n\
             [fields.note]\nfrom = \"PARTS/NOTE\"\nrepeated = \"first\"\noptional = true\n"
        ),
    )
}

fn entry(kind: char, reference: &str, amount: &[u8], notes: &[&str]) -> Vec<u8> {
    let front = ebcdic(&format!("{kind}{reference:4}{}", notes.len()));
    [front, amount.to_vec(), ebcdic(&notes.concat())].concat()
}

fn statement_records() -> Vec<Vec<u8>> {
    vec![
        ebcdic("H20261120"),
        ebcdic("A00017 EUR"),
        entry('E', "1", &[0x00, 0x12, 0x34, 0x5d], &[]),
        entry('R', "2", &[0x00, 0x12, 0x34, 0x5c], &["ab", "cd"]),
        ebcdic("A000171USD"),
        entry('E', "1", &[0x99, 0x99, 0x99, 0x9f], &["x "]),
        ebcdic("T3"),
    ]
}

const RDW: &str = "framing = \"rdw\"";

#[test]
fn entries_inherit_from_the_records_before_them() {
    let records = statement_records();
    let body: Vec<u8> = records.iter().flat_map(|record| rdw(record)).collect();
    check(
        &statement(RDW),
        &body,
        expect![[r#"
        {"id":"00017/1","source":"t","account":"00017","amount":"-123.45","currency":"EUR","booked_at":"2026-11-20T12:00:00Z","received_at":"2026-11-23T12:00:00.000000Z"}
        {"id":"00017/2","source":"t","account":"00017","amount":"123.45","currency":"EUR","booked_at":"2026-11-20T12:00:00Z","received_at":"2026-11-23T12:00:00.000000Z","note":"ab"}
        {"id":"000171/1","source":"t","account":"000171","amount":"99999.99","currency":"USD","booked_at":"2026-11-20T12:00:00Z","received_at":"2026-11-23T12:00:00.000000Z","note":"x"}
    "#]],
    );
    let lines =
        |body: &[u8], keys: &str| decode(&statement(keys), body, &Options::default()).text();
    let expected = lines(&body, RDW);
    // Other ways to tell the same records apart.
    let little: Vec<u8> = records
        .iter()
        .flat_map(|record| [&[0, 0][..], &(record.len() as u16).to_le_bytes(), record].concat())
        .collect();
    let keys = "framing = \"rdw-little\"\nlengths = \"without-word\"";
    assert_eq!(lines(&little, keys), expected);
    let blocks: Vec<u8> = records
        .chunks(3)
        .flat_map(|records| {
            rdw(&records
                .iter()
                .flat_map(|record| rdw(record))
                .collect::<Vec<_>>())
        })
        .collect();
    assert_eq!(lines(&blocks, "framing = \"rdw\"\nblocks = true"), expected);
    let mut framed = rdw(b"any header");
    framed.extend(&body);
    let keys = "framing = \"rdw\"\nheader_records = 1\ntrailer_records = 1";
    assert_eq!(lines(&framed, keys), expected);
}

#[test]
fn records_are_shown_by_their_segment() {
    let body: Vec<u8> = statement_records()
        .iter()
        .flat_map(|record| rdw(record))
        .collect();
    let shown = show(&statement(RDW), &body).expect("readable");
    expect![[r#"
        {"KIND":"H","HEADER":{"FILE_DAY":20261120}}
        {"KIND":"A","ACCOUNT":{"NUMBER":"00017","CURRENCY":"EUR"}}
        {"KIND":"E","ENTRY":{"REF":"1","PARTS_COUNT":0,"AMOUNT":-123.45,"PARTS":[]}}
        {"KIND":"R","ENTRY":{"REF":"2","PARTS_COUNT":2,"AMOUNT":123.45,"PARTS":[{"NOTE":"ab"},{"NOTE":"cd"}]}}
        {"KIND":"A","ACCOUNT":{"NUMBER":"000171","CURRENCY":"USD"}}
        {"KIND":"E","ENTRY":{"REF":"1","PARTS_COUNT":1,"AMOUNT":99999.99,"PARTS":[{"NOTE":"x"}]}}
        {"KIND":"T"}"#]].assert_eq(&shown.join("\n"));
}

#[test]
fn what_is_wrong_with_a_record_is_said() {
    let mapping = statement(RDW);
    let header = [rdw(&ebcdic("H20261120")), rdw(&ebcdic("A00017 EUR"))].concat();
    let with = |records: &[Vec<u8>]| {
        let records: Vec<u8> = records.iter().flat_map(|record| rdw(record)).collect();
        [header.clone(), records].concat()
    };
    let good = entry('E', "9", &[0, 0, 1, 0x0c], &[]);
    let mut long = good.clone();
    long.extend([0x40; 9]);
    let many = [ebcdic("E7   9"), vec![0, 0, 1, 0x0c]].concat();
    check(
        &mapping,
        &with(&[
            entry('X', "1", &[0, 0, 1, 0x0c], &[]),
            entry('E', "2", &[0, 0xa0, 1, 0x0c], &[]),
            entry('E', "3", &[0, 0, 1, 0x01], &[]),
            entry('E', "4", &[0x40; 4], &[]),
            entry('E', "5", &[0, 0], &[]),
            long,
            many,
            ebcdic("A0000"),
            good.clone(),
        ]),
        expect![[r#"
            record 1, line 1, field KIND: "X" is none of the segments H, A, E, R; those that are no transactions belong into `skip_segments` (segment)
            record 2, line 1, field ENTRY/AMOUNT: ENTRY/AMOUNT is no packed decimal: a half byte is above 9: 00 A0 01 0C (copybook)
            record 3, line 1, field ENTRY/AMOUNT: ENTRY/AMOUNT is no packed decimal: its last half byte is no sign (A to F): 00 00 01 01 (copybook)
            record 4, line 1, field amount: amount is missing or empty (missing)
            record 5, line 1, field ENTRY/AMOUNT: ENTRY/AMOUNT lies across the end of the record (copybook)
            record 6, line 1: the record has 19 bytes, the copybook describes at most 16: add a FILLER for the rest (copybook)
            record 7, line 1, field ENTRY/PARTS-COUNT: PARTS-COUNT says how many PARTS there are, but is no number from 0 to 3 (copybook)
            record 8, line 1, field currency: currency is missing or empty (missing)
        "#]],
    );
    // The day is no number: every transaction is refused until a header is right again.
    let day = [
        rdw(&ebcdic("H2026112\u{6}")),
        rdw(&ebcdic("A00017 EUR")),
        rdw(&good),
        rdw(&ebcdic("H20261120")),
        rdw(&good),
    ];
    check(
        &mapping,
        &day.concat(),
        expect![[r#"
        record 1, line 1, field /HEADER/FILE-DAY: /HEADER/FILE-DAY is no zoned number: one of its characters is no digit: F2 F0 F2 F6 F1 F1 F2 2E (copybook)
        {"id":"00017/9","source":"t","account":"00017","amount":"0.10","currency":"EUR","booked_at":"2026-11-20T12:00:00Z","received_at":"2026-11-23T12:00:00.000000Z"}
    "#]],
    );
}

#[test]
fn what_is_wrong_with_the_framing_is_said() {
    let good = rdw(&ebcdic("T"));
    check(
        &statement(RDW),
        &[&good[..], &[0, 9, 0, 0, 1]].concat(),
        expect![[r#"
            document refused: line 1: the record has 5 bytes by its descriptor word, but only 1 follow; does its length count the word itself? (framing)
        "#]],
    );
    check(
        &statement(RDW),
        &[&good[..], &[0, 9, 1, 0, 1]].concat(),
        expect![[r#"
            document refused: line 1: 00 09 01 00 is no record descriptor word; is the byte order or a header wrong, or are records spanned? (framing)
        "#]],
    );
    check(
        &statement(RDW),
        &[&good[..], &[0, 4, 0, 0]].concat(),
        expect![[r#"
            document refused: line 1: the record is empty by its descriptor word; does its length count the word itself? (framing)
        "#]],
    );
    check(
        &statement(RDW),
        &[&good[..], &[0]].concat(),
        expect![[r#"
        document refused: line 1: the last bytes are no descriptor word, which has four (framing)
    "#]],
    );
    let blocks = "framing = \"rdw\"\nblocks = true";
    check(
        &statement(blocks),
        &[0x80, 0, 0, 40, 1],
        expect![[r#"
        document refused: line 1: the block has 36 bytes by its descriptor word 80 00 00 28, but only 1 follow (framing)
    "#]],
    );
    let fixed = ready_made("copybook");
    check(
        &fixed,
        &[0x40; 22 + 45 + 44],
        expect![[r#"
        record 1, line 1, field account: account is missing or empty (missing)
        document refused: line 1: the last 44 bytes are no whole record of 45; are there header or trailer bytes? (framing)
    "#]],
    );
    check(
        &fixed,
        &[0x40; 21],
        expect![[r#"
        document refused: line 1: the body has 21 bytes, but a header of 10 and a trailer of 12 are to be skipped (framing)
    "#]],
    );
    check(
        &fixed,
        &[0x40; 22],
        expect![[r#"
        document refused: line 1: there is no record in the document (no-records)
    "#]],
    );
}

#[test]
fn tables_are_transactions_and_ascii_is_read() {
    let mapping = compile(
        "t.toml",
        "source = \"t\"\nformat = \"copybook\"\nrecords = \"/LINES\"\n[copybook]\ntext = '''\n01 R.\n 05 N PIC 9.\n 05 LINES OCCURS 3 \
         DEPENDING ON N.\n  10 AMT PIC S9(3)V99.\n 05 NAME PIC X(4).\n'''\ncode_page = \"latin-1\"\nframing = \"lines\"\n\
         [identity]\nnatural = [\"/NAME\", \"@number\", \"@number-in-parent\"]\n\
         [fields.account]\nfrom = \"/NAME\"\n[fields.amount]\nfrom = \"AMT\"\n[fields.currency]\nconst = \"EUR\"\n\
         [fields.booked_at]\nconst = \"2026-11-23T10:00:00Z\"\n",
    );
    // Tables are at their longest, so the name is behind three elements. Of the third line's two elements
    // one is blank and no transaction; the last lines are cut.
    let body = b"20123E0000JxxxxxJos\xe9\r\n100001          Ann \n2     00001     Eve \n0               Bob\n100001\n200001\n";
    check(
        &mapping,
        body,
        expect![[r#"
            {"id":"José/1/1","source":"t","account":"José","amount":"12.35","currency":"EUR","booked_at":"2026-11-23T10:00:00Z","received_at":"2026-11-23T12:00:00.000000Z"}
            {"id":"José/2/2","source":"t","account":"José","amount":"-0.01","currency":"EUR","booked_at":"2026-11-23T10:00:00Z","received_at":"2026-11-23T12:00:00.000000Z"}
            {"id":"Ann/3/1","source":"t","account":"Ann","amount":"0.01","currency":"EUR","booked_at":"2026-11-23T10:00:00Z","received_at":"2026-11-23T12:00:00.000000Z"}
            {"id":"Eve/4/1","source":"t","account":"Eve","amount":"0.01","currency":"EUR","booked_at":"2026-11-23T10:00:00Z","received_at":"2026-11-23T12:00:00.000000Z"}
            record 5, line 1, field account: account is missing or empty (missing)
            record 6, line 1, field account: account is missing or empty (missing)
            record 7, line 1, field LINES: the record ends before the last 1 of its LINES (copybook)
        "#]],
    );
}

#[track_caller]
fn check_mistakes(text: &str, expected: Expect) {
    let errors = Mapping::compile("t.toml", text).expect_err("mistakes");
    let errors: String = errors.iter().map(|error| format!("{error}\n")).collect();
    expected.assert_eq(&errors);
}

#[test]
fn mistakes_of_a_mapping_are_told_with_their_place() {
    let fields = |account: &str, amount: &str, currency: &str, booked_at: &str| {
        format!(
            "[fields.account]\nfrom = \"{account}\"\n[fields.amount]\nfrom = \"{amount}\"\n[fields.currency]\n\
             from = \"{currency}\"\n[fields.booked_at]\nfrom = \"{booked_at}\"\n"
        )
    };
    let copybook = "source = \"t\"\nformat = \"copybook\"\n[copybook]\ntext = '''\n       01 R.\n           05 A COMP-2.\n           \
                    05 G.\n             10 B PIC X.\n             10 C PIC X(8).\n'''\n";
    check_mistakes(
        &format!(
            "{copybook}segment = \"C\"\nframing = \"fix\"\nblocks = true\nrecord_bytes = 3\n{}",
            fields("B", "A", "G", "R/G/D")
        ),
        expect![[r#"
            t.toml:3:2: copybook.record_bytes: `record_bytes` is for framing = "fixed", and at least the 17 bytes that the copybook describes
            t.toml:3:2: copybook.blocks: blocks have descriptor words only where records have: framing = "rdw"
            t.toml:11:11: copybook.segment: the copybook has no "C"; did you mean "G/C"?
            t.toml:12:11: copybook.framing: "fix" is none of "fixed", "rdw", "rdw-little", "lines", "none"
            t.toml:16:8: fields.account.from: the copybook has no "B"; did you mean "G/B"?
            t.toml:18:8: fields.amount.from: "A" is a floating-point number (COMP-1 or COMP-2), which is not exact: no amount is read from it; ask the source for COMP-3 or DISPLAY
            t.toml:20:8: fields.currency.from: "G" is a group; name one of its fields
            t.toml:22:8: fields.booked_at.from: the copybook has no "R/G/D"; did you mean "G/B"?
        "#]],
    );
    let with_records = copybook.replace("[copybook]", "records = \"/G\"\n[copybook]");
    check_mistakes(
        &format!("{with_records}{}", fields("/G/B", "B", "/C", "A")),
        expect![[r#"
            t.toml:13:8: fields.account.from: "/G/B" is inside of the record: write it as "B"
            t.toml:17:8: fields.currency.from: the copybook has no "C"; did you mean "G/C"?
            t.toml:19:8: fields.booked_at.from: "A" is outside of the record: write it as "/A"
        "#]],
    );
    check_mistakes(
        &format!(
            "{}{}",
            copybook.replace("X(8)", "Q"),
            fields("B", "A", "G", "C")
        ),
        expect![[r#"
            t.toml:9:23: copybook.text: PIC Q: 'Q' is none of X A N 9 S V P Z * + - . , $ B 0 / CR DB
        "#]],
    );
    let quoted =
        "source = \"t\"\nformat = \"copybook\"\n[copybook]\ntext = \"01 A.\\n 05 B PIC 9(40).\"\n";
    check_mistakes(
        quoted,
        expect![[r#"
            t.toml:1:1: fields: the mapping has no [fields.account], [fields.amount], [fields.currency], [fields.booked_at]
            t.toml:4:8: copybook.text: line 2 of the copybook: PIC 9(40): a number has at most 38 digits
        "#]],
    );
    check_mistakes(
        "source = \"t\"\nformat = \"copybook\"\n",
        expect![[r#"
        t.toml:1:1: copybook: a copybook source has its copybook in the mapping: [copybook] text = '''…'''
        t.toml:1:1: fields: the mapping has no [fields.account], [fields.amount], [fields.currency], [fields.booked_at]
    "#]],
    );
}

/// Cut anywhere, and with every byte changed, a body is translated or refused.
#[test]
fn broken_bodies_never_panic() {
    let records = statement_records();
    let statement_body: Vec<u8> = records.iter().flat_map(|record| rdw(record)).collect();
    let file = sample("cobrix/test13a_TRAN2.JUN24.DATA.dat");
    let tables = sample("cobrix/test1_example.bin");
    let test1 = looking_at(&copybook_of("cobrix/test1_copybook.cob"), "");
    for (mapping, body) in [
        (&statement(RDW), &statement_body[..]),
        (
            &statement("framing = \"rdw\"\nblocks = true"),
            &statement_body,
        ),
        (&ready_made("copybook"), &file[..200]),
        (&test1, &tables[..2202]),
    ] {
        crate::common::cut_and_change(mapping, body);
    }
}

/// Cobrix's test21: tables in tables, nothing between the records.
#[test]
fn records_end_where_their_tables_end() {
    let copybook = "      01 RECORD.
          02 COUNT PIC 9(1).
          02 GROUP OCCURS 0 TO 2 TIMES DEPENDING ON COUNT.
             03 INNER-COUNT PIC 9(1).
             03 INNER-GROUP OCCURS 0 TO 3 TIMES
                                DEPENDING ON INNER-COUNT.
                04 FIELD PIC X.
";
    let mapping = looking_at(
        copybook,
        "tables = \"short\"\nframing = \"none\"\ncode_page = \"ascii\"",
    );
    let shown = |body: &[u8]| match show(&mapping, body) {
        Ok(shown) => shown.join("\n"),
        Err(refusal) => refusal.to_string(),
    };
    expect![[r#"
        {"COUNT":0,"GROUP":[]}
        {"COUNT":1,"GROUP":[{"INNER_COUNT":0,"INNER_GROUP":[]}]}"#]]
    .assert_eq(&shown(b"010" as &[u8]));
    expect![[r#"
        {"COUNT":0,"GROUP":[]}
        {"COUNT":1,"GROUP":[{"INNER_COUNT":0,"INNER_GROUP":[]}]}
        {"COUNT":1,"GROUP":[{"INNER_COUNT":2,"INNER_GROUP":[{"FIELD":"A"},{"FIELD":"B"}]}]}
        {"COUNT":2,"GROUP":[{"INNER_COUNT":1,"INNER_GROUP":[{"FIELD":"A"}]},{"INNER_COUNT":2,"INNER_GROUP":[{"FIELD":"B"},{"FIELD":"C"}]}]}
        {"COUNT":2,"GROUP":[{"INNER_COUNT":1,"INNER_GROUP":[{"FIELD":"A"}]},{"INNER_COUNT":1,"INNER_GROUP":[{"FIELD":"B"}]}]}"#]].assert_eq(&shown(
        b"0 10 12AB 21A2BC 21A1B"
            .split(|byte| *byte == b' ')
            .collect::<Vec<_>>()
            .concat()
            .as_slice(),
    ));
    expect!["line 1: the record ends before the last 1 of its INNER-GROUP (framing)"]
        .assert_eq(&shown(b"012A"));
    expect!["line 1: COUNT says how many GROUP there are, but is no number from 0 to 2 (framing)"]
        .assert_eq(&shown(b"03"));
    expect!["line 1: the record ends before the last 1 of its GROUP (framing)"]
        .assert_eq(&shown(b"1"));
    crate::common::cut_and_change(&mapping, b"010" as &[u8]);
    crate::common::cut_and_change(&mapping, b"21A2BC21A1B");
}

#[test]
fn whole_numbers_without_sign_keep_their_zeros() {
    let mapping = compile(
        "t.toml",
        "source = \"t\"\nformat = \"copybook\"\nrecords = \"/R\"\n[copybook]\ntext = '''\n01 R.\n 05 TYP PIC 9(2).\n 05 ACC PIC 9(6).\n \
         05 DAY-N PIC 9(6).\n 05 AMT PIC S9(3).\n'''\ncode_page = \"ascii\"\nsegment = \"TYP\"\n[copybook.segments]\nR = \"01\"\n\
         [fields.account]\nfrom = \"ACC\"\n[fields.amount]\nfrom = \"AMT\"\n[fields.currency]\nconst = \"EUR\"\n\
         [fields.booked_at]\nfrom = \"DAY-N\"\nformat = \"%y%m%d\"\nat = \"12:00\"\nzone = \"UTC\"\n",
    );
    let body = b"01000017010203007";
    check(
        &mapping,
        body,
        expect![[r#"
        {"id":"2b26adb4d3a1035aa578f2c1d8b69121","source":"t","account":"000017","amount":"7.00","currency":"EUR","booked_at":"2001-02-03T12:00:00Z","received_at":"2026-11-23T12:00:00.000000Z"}
    "#]],
    );
    expect![[r#"{"TYP":1,"ACC":17,"DAY_N":10203,"AMT":7}"#]]
        .assert_eq(&show(&mapping, body).expect("readable").join("\n"));
}

/// At a limit a copybook is read; one beyond it is refused.
#[test]
fn limits_hold_exactly() {
    let compiled = |copybook: &str| {
        let text = format!(
            "source = \"t\"\nformat = \"copybook\"\n[copybook]\ntext = '''\n{copybook}'''\n\
             [fields.account]\nconst = \"a\"\n[fields.amount]\nconst = \"1\"\n[fields.currency]\nconst = \"EUR\"\n\
             [fields.booked_at]\nconst = \"2026-11-23T10:00:00Z\"\n"
        );
        let errors = Mapping::compile("t.toml", &text).map(|_| ());
        errors.map_err(|errors| errors[0].message.clone())
    };
    let fields = |count: usize| format!("01 R.\n{}", " 05 F PIC X.\n".repeat(count - 1));
    assert_eq!(compiled(&fields(4_096)), Ok(()));
    assert_eq!(
        compiled(&fields(4_097)),
        Err("the copybook has more than 4096 fields".to_owned())
    );
    assert_eq!(compiled("01 R. 05 F PIC X(16384) OCCURS 64."), Ok(()));
    assert_eq!(
        compiled("01 R. 05 F PIC X(16384) OCCURS 64. 05 G PIC X."),
        Err("the record is longer than 1048576 bytes".to_owned())
    );
    let padded = |bytes: usize| format!("01 R PIC X.\n{}\n", " ".repeat(bytes - 13));
    assert_eq!(compiled(&padded(1 << 20)), Ok(()));
    assert_eq!(
        compiled(&padded((1 << 20) + 1)),
        Err("the copybook has 1048577 bytes, at most 1048576 are read".to_owned())
    );
}
