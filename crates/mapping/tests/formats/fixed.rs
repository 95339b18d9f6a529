//! Lines of fixed columns: files in, transactions out, and totals compared.

use crate::common::{Options, compile, decode};
use expect_test::{Expect, expect};
use mapping::{Mapping, RecordOutcome};

fn text(mapping: &Mapping, body: &str) -> String {
    let text = decode(mapping, body.as_bytes(), &Options::default()).text();
    text.replace(",\"received_at\":\"2026-11-23T12:00:00.000000Z\"", "")
        .replace(",\"source\":\"t\"", "")
}

#[track_caller]
fn check(mapping: &Mapping, body: &str, expected: Expect) {
    expected.assert_eq(&text(mapping, body));
}

/// Payments of a till: `H` day, `P` payment, `N` note to it, `T` totals.
fn tills(more: &str) -> Mapping {
    let text = format!(
        r#"
source = "t"
format = "fixed"
[fixed]
{more}
[[fixed.line]]
name = "day"
is = {{ at = 1, text = "H" }}
role = "header"
columns = {{ date = [2, 8], till = [10, 4] }}
[[fixed.line]]
name = "payment"
is = [{{ at = 1, text = ["P", "Q"] }}]
role = "record"
columns = {{ number = [2, 4, "0"], amount = [6, 8], kind = [14, 1], name = [15, 6] }}
[[fixed.line]]
name = "note"
is = {{ at = 1, text = "N" }}
role = "detail"
columns = {{ text = [2, 12] }}
[[fixed.line]]
name = "end"
is = {{ at = 1, text = "T" }}
role = "trailer"
of = "day"
columns = {{ lines = [2, 4], sum = [6, 8], hash = [14, 2] }}
totals = [
  {{ column = "lines", count = ["day", "payment", "note", "end"] }},
  {{ column = "sum", sum = "amount", when = {{ column = "kind", is_not = "X" }} }},
  {{ column = "hash", hash = "number" }},
]
[identity]
natural = ["/day/date", "/day/till", "number"]
[fields.account]
from = "/day/till"
[fields.amount]
from = "amount"
decimals = "currency"
[fields.currency]
const = "EUR"
[fields.booked_at]
from = "/day/date"
format = "%Y%m%d"
at = "12:00"
zone = "UTC"
[fields.name]
from = "name"
optional = true
[fields.note]
from = "note/text"
repeated = "first"
optional = true
"#
    );
    compile("t.toml", &text)
}

const DAY: &str = "H20261120T001\nP001000001250CAna   \nNthank you   \nQ0099-0000050CŽeljko\nP000100000700X      \nT00060000120010\n";

#[test]
fn records_details_headers_and_trailers() {
    let expected = expect![[r#"
        {"id":"20261120/T001/10","account":"T001","amount":"12.50","currency":"EUR","booked_at":"2026-11-20T12:00:00Z","name":"Ana","note":"thank you"}
        {"id":"20261120/T001/99","account":"T001","amount":"-0.50","currency":"EUR","booked_at":"2026-11-20T12:00:00Z","name":"Željko"}
        {"id":"20261120/T001/1","account":"T001","amount":"7.00","currency":"EUR","booked_at":"2026-11-20T12:00:00Z"}
    "#]];
    check(&tills(""), DAY, expected);
    let same = text(&tills(""), DAY);
    assert_eq!(text(&tills(""), &DAY.replace('\n', "\r\n")), same);
    assert_eq!(text(&tills(""), &DAY.replace('\n', "\r")), same);
    assert_eq!(text(&tills(""), &format!("\n{DAY}\u{1a}")), same);
    let next = DAY.replace("H20261120", "H20261121");
    assert_eq!(text(&tills(""), &format!("{DAY}{next}")).lines().count(), 6);
    // Without line ends, each line is filled up.
    let blocks: String = DAY.lines().map(|line| format!("{line:<20}")).collect();
    let lengths = "length = 20";
    assert_eq!(text(&tills(lengths), &blocks), same);
    assert_eq!(text(&tills(lengths), &format!("{blocks}\n")), same);
    // Cut off at the end of each line.
    let cut: String = DAY
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect();
    assert_eq!(text(&tills("short_lines = \"accept\""), &cut), same);
    assert_eq!(
        text(&tills("length = 20\nshort_lines = \"accept\""), &cut),
        same
    );
}

#[test]
fn originals_are_all_lines_of_a_record() {
    let decoded = decode(&tills(""), DAY.as_bytes(), &Options::default());
    let originals: Vec<&str> = decoded
        .outcomes
        .iter()
        .map(|outcome| match outcome {
            RecordOutcome::Translated(record) => {
                &DAY[record.original.start as usize..record.original.end as usize]
            }
            RecordOutcome::Refused(refused) => panic!("{}", refused.refusal),
        })
        .collect();
    expect![[r#"
        P001000001250CAna   
        Nthank you   
        ----
        Q0099-0000050CŽeljko
        ----
        P000100000700X      "#]]
    .assert_eq(&originals.join("\n----\n"));
}

#[test]
fn totals_that_differ_refuse_the_document() {
    let refused = |from: &str, to: &str| {
        assert!(DAY.contains(from));
        let result = decode(
            &tills(""),
            DAY.replacen(from, to, 1).as_bytes(),
            &Options::default(),
        );
        result
            .result
            .map_or_else(|refusal| refusal.to_string(), |_| "accepted".to_owned())
    };
    let all = [
        refused("T0006", "T0005"),
        refused("T000600001200", "T000600001201"),
        refused("120010", "120011"),
        refused("00001250C", "00001251C"),
        refused("00001250C", "0000X250C"),
        refused("T00060000120010\n", ""),
        refused("T00060000120010\n", "H20261121T001\n"),
        refused("H20261120T001\n", ""),
        refused("P0010", "X0010"),
        refused("H20261120T001\n", "H20261120T001\nNnote        \n"),
        refused("T00060000120010\n", "T00060000120010\nT00060000120010\n"),
    ];
    expect![[r#"
        line 6, field lines: lines of the line end is "0005", but what stands before it comes to 6 (control-total)
        line 6, field sum: sum of the line end is "00001201", but what stands before it comes to 1200 (control-total)
        line 6, field hash: hash of the line end is "11", but what stands before it comes to 10 (control-total)
        line 6, field sum: sum of the line end is "00001200", but what stands before it comes to 1201 (control-total)
        record 1, line 2: "0000X250" of the line payment is no number, so that sum of end cannot be checked (control-total)
        line 6, field end: day ends without the line end, which holds its totals (control-total)
        line 6, field end: day ends without the line end, which holds its totals (control-total)
        line 1: the line payment stands outside of day (fixed)
        line 2: the line "X001000001250CAna   " is of no known kind; known are day ("H" at 1), payment ("P" or "Q" at 1), note ("N" at 1), end ("T" at 1) (fixed)
        line 2: the line note stands behind no record (fixed)
        line 7: the line end stands outside of day (fixed)"#]]
    .assert_eq(&all.join("\n"));
}

#[test]
fn lines_of_the_wrong_length_are_refused() {
    let short = DAY.replace("CAna   ", "CAna");
    check(
        &tills(""),
        &short,
        expect![[r#"
            record 1, line 2, field payment: the line payment has 17 characters, 20 are expected (line-length)
            {"id":"20261120/T001/99","account":"T001","amount":"-0.50","currency":"EUR","booked_at":"2026-11-20T12:00:00Z","name":"Željko"}
            {"id":"20261120/T001/1","account":"T001","amount":"7.00","currency":"EUR","booked_at":"2026-11-20T12:00:00Z"}
        "#]],
    );
    let long: String = DAY.lines().map(|line| format!("{line:<20}\n")).collect();
    let long = long.replace("CAna   ", "CAna   x");
    let decoded = decode(&tills("length = 20"), long.as_bytes(), &Options::default());
    assert!(decoded.text().starts_with(
        "record 1, line 2, field payment: the line payment has 21 characters, 20 are expected (line-length)"
    ), "{}", decoded.text());
}

#[test]
fn mistakes_of_a_mapping() {
    let text = r#"
source = "t"
format = "fixed"
records = "/x"
[fixed]
length = 10
lenght = 10
[[fixed.line]]
name = "head"
is = { at = 0, text = "H" }
role = "heder"
columns = { a = [1, 11], b = [0, 1], c = [1, 2, "00"] }
[[fixed.line]]
name = "head"
role = "header"
[[fixed.line]]
name = "pay"
role = "record"
columns = { amount = [1, 2] }
totals = [{ column = "amount", count = "pay" }]
[[fixed.line]]
name = "add"
role = "detail"
columns = { note = [1, 2] }
[[fixed.line]]
name = "end"
role = "trailer"
of = "file"
columns = { count = [1, 2] }
totals = [
  { column = "cuont", count = "pay" },
  { column = "count", count = "pai", sum = "amount" },
  { column = "count", count = "pai" },
  { column = "count", sum = "total" },
  { column = "count", sum = "amount", when = { column = "kind", is = "1" } },
]
[fields.account]
from = "/head/id"
[fields.amount]
from = "amonut"
decimals = 6
[fields.currency]
from = "note"
[fields.booked_at]
from = "/pay/date"
"#;
    let errors = Mapping::compile("t.toml", text).expect_err("mistakes");
    let errors: String = errors.iter().map(|error| format!("{error}\n")).collect();
    expect![[r#"
        t.toml:4:11: records: lines with `role = "record"` are the records: remove this key
        t.toml:7:1: fixed.lenght: unknown key, did you mean `length`?
        t.toml:10:1: fixed.line.is: a kind of line is recognised by a text at a place: is = { at = 1, text = "5" }
        t.toml:10:13: fixed.line.is.at: a number from 1 to 65536 is expected
        t.toml:11:8: fixed.line.role: "heder" is none of "header", "record", "detail", "trailer", "skip", "refuse"
        t.toml:12:13: fixed.line.columns.a: the column ends at 11, behind the end of the line
        t.toml:12:26: fixed.line.columns.b: a column is [start, length], counted from 1, or [start, length, "0"] where zeros fill it up on the left
        t.toml:12:38: fixed.line.columns.c: a column is [start, length], counted from 1, or [start, length, "0"] where zeros fill it up on the left
        t.toml:14:8: fixed.line.name: "head" is no name, or the name of another line too
        t.toml:20:11: fixed.line.totals: only a line with role = "trailer" has totals
        t.toml:28:6: fixed.line.of: "file" is no line with role = "header" above this one
        t.toml:31:14: fixed.line.totals.column: the line end has no column "cuont"
        t.toml:32:3: fixed.line.totals.count: a total is one of `count` (kinds of lines), `sum` and `hash` (a column)
        t.toml:33:31: fixed.line.totals.count: there is no line "pai"; did you mean "pay"?
        t.toml:34:29: fixed.line.totals.sum: no record or detail has the column "total"
        t.toml:35:57: fixed.line.totals.when.column: the line pay has no column "kind"
        t.toml:38:8: fields.account.from: "/head/id" begins with /, but head is no header: only headers stand around records
        t.toml:40:8: fields.amount.from: no record has a column "amonut"; did you mean "amount"?
        t.toml:41:12: fields.amount.decimals: a number from 0 to 5 or "currency" is expected
        t.toml:43:8: fields.currency.from: "note" is a column of add: write it as "add/note"
        t.toml:45:8: fields.booked_at.from: "/pay/date" begins with /, but pay is no header: only headers stand around records
    "#]].assert_eq(&errors);
}

#[test]
fn limits_of_a_mapping() {
    let compiles = |kinds: usize, at: usize| {
        let mut text = "source = \"t\"\nformat = \"fixed\"\n".to_owned();
        for kind in 0..kinds {
            text.push_str(&format!(
                "[[fixed.line]]\nname = \"l{kind}\"\nis = {{ at = {at}, text = \"x\" }}\nrole = \"record\"\ncolumns = {{ a = [1, 1] }}\n"
            ));
        }
        text.push_str("[fields.account]\nfrom = \"a\"\n[fields.amount]\nfrom = \"a\"\n[fields.currency]\nconst = \"EUR\"\n[fields.booked_at]\nfrom = \"a\"\n");
        Mapping::compile("t.toml", &text).is_ok()
    };
    assert!(compiles(200, 65_536));
    assert!(!compiles(201, 1));
    assert!(!compiles(1, 65_537));
}
