//! Every mistake of a mapping is found in one run, with its place and what would be right.

use expect_test::{Expect, expect};
use mapping::Mapping;

#[track_caller]
fn check(file: &str, text: &str, expected: Expect) {
    let actual = match Mapping::compile(file, text) {
        Ok(_) => "compiled\n".to_owned(),
        Err(errors) => errors.iter().map(|error| format!("{error}\n")).collect(),
    };
    expected.assert_eq(&actual);
}

#[test]
fn misspelt_and_missing_keys() {
    check(
        "t.toml",
        r#"
sorce = "t"
source = "t"
format = "json"
[fields.acount]
from = "account"
[fields.amount]
form = "amount"
sign = "plus"
[fields.booked_at]
from = "at"
zone = "Europe/Zagrebb"
format = "dd.mm.yyyy"
[fields.id]
from = "id"
"#,
        expect![[r#"
            t.toml:2:1: sorce: unknown key, did you mean `source`?
            t.toml:5:2: fields.account: every source maps account: add [fields.account] with `from = "…"`
            t.toml:5:2: fields.currency: every source maps currency: add [fields.currency] with `from = "…"`
            t.toml:5:9: fields.acount: did you mean `account`?
            t.toml:7:9: fields.amount.from: one of `from` (a path or several), `const` and `template` says where the value comes from
            t.toml:8:1: fields.amount.form: unknown key, did you mean `from`?
            t.toml:9:8: fields.amount.sign: "plus" is none of "+", "-"
            t.toml:12:8: fields.booked_at.zone: "Europe/Zagrebb" is no time zone of the IANA database such as "Europe/Zagreb"
            t.toml:13:10: fields.booked_at.format: "dd.mm.yyyy" is neither "iso", "unix-seconds", "unix-millis" nor a pattern such as "%d.%m.%Y %H:%M"
            t.toml:14:9: fields.id: Daybook fills id in itself; an id is declared by [identity] natural
        "#]],
    );
}

#[test]
fn paths() {
    check(
        "t.toml",
        r#"
source = "t"
format = "xml"
records = "/Document/Stmt/Ntry"
[xml]
namespaces = "*"
[identity]
natural = ["@number", ["/Document/Stmt/Id", "//x"]]
[fields.account]
from = "/Document/Stmt/Ntry/Acct"
[fields.amount]
from = "Amt/@Ccy/x"
[fields.currency]
from = ["/Document/Stmt", "Amt/@Ccy"]
[fields.booked_at]
from = "Dt"
steps = ["trimm", { lookup = { a = "b" } }, { substring = [1] }]
"#,
        expect![[r#"
            t.toml:8:45: identity.natural: "//x" is no path such as "Amt/InstdAmt"
            t.toml:10:8: fields.account.from: "/Document/Stmt/Ntry/Acct" is inside of the record: write it as "Acct"
            t.toml:12:8: fields.amount.from: in "Amt/@Ccy/x" an attribute must be the last step
            t.toml:14:9: fields.currency.from: "/Document/Stmt" is an element around the records and has no text of its own
            t.toml:17:10: fields.booked_at.steps: there is no function "trimm"; did you mean "trim"?
            t.toml:17:59: fields.booked_at.steps.substring: a list of two numbers, such as [0, 4], is expected, not array
        "#]],
    );
}

#[test]
fn columns() {
    check(
        "t.toml",
        r##"
source = "t"
format = "csv"
records = "/x"
pass = ["dat", "amount"]
[csv]
header = "optional"
columns = ["account", "amount", "date"]
[identity]
natural = ["@number"]
required = 1
[fields.account]
from = "acount"
[fields.amount]
from = "#0"
optional = true
[fields.currency]
const = "EUR"
from = "x"
[fields.booked_at]
from = "date"
when = { from = "date", is = "x" }
"##,
        expect![[r##"
            t.toml:4:11: records: in CSV each row is a record: remove this key
            t.toml:5:9: pass: there is no column "dat"; did you mean "date"?
            t.toml:5:16: pass: amount is already a field
            t.toml:10:12: identity.natural: a record's number is an identity only inside of one document, which cannot be sent in pieces; use Idempotency-Key and Daybook-First-Record here
            t.toml:11:12: identity.required: true or false is expected, not integer
            t.toml:13:8: fields.account.from: there is no column "acount"; did you mean "account"?
            t.toml:14:9: fields.amount.optional: amount is required of every transaction
            t.toml:15:8: fields.amount.from: "#0" is no column number such as "#1"
            t.toml:17:9: fields.currency.from: one of `from` (a path or several), `const` and `template` says where the value comes from
            t.toml:20:9: fields.booked_at.when: only a field with `optional = true` can depend on a condition
        "##]],
    );
}

#[test]
fn syntax_and_names() {
    check(
        "t.toml",
        "source = \"t\nformat = 1",
        expect![[r#"
        t.toml:1:12: invalid basic string, expected `"`
    "#]],
    );
    check(
        "other.toml",
        "source = \"t\"\nformat = \"yaml\"\n",
        expect![[r#"
            other.toml:1:10: source: the source is called "t", so the file must be called t.toml
            other.toml:2:10: format: "yaml" is none of "json", "csv", "xml", "swift-mt", "fixed", "ofx", "copybook", "iso8583", "protobuf", "avro"
        "#]],
    );
    check(
        "t.toml",
        "",
        expect![[r#"
        t.toml:1:1: source: this key is missing
        t.toml:1:1: format: this key is missing
    "#]],
    );
}
