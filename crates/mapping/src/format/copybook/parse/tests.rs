//! Copybook text in, layout or mistakes out.

use expect_test::{Expect, expect};

use super::super::layout::Layout;
use super::*;

fn outline(layout: &Layout) -> String {
    let mut text = String::new();
    for (index, item) in layout.items.iter().enumerate() {
        let mut depth = 0;
        let mut parent = item.parent;
        while let Some(at) = parent {
            depth += 1;
            parent = layout.items[at].parent;
        }
        let place = layout
            .fixed_offset(index)
            .map_or_else(|| "?".to_owned(), |offset| offset.to_string());
        let indent = "  ".repeat(depth);
        text.push_str(&format!(
            "{indent}{} at {place}, {} bytes",
            item.name, item.element
        ));
        if let Some(target) = item.redefines {
            text.push_str(&format!(", redefines {}", layout.items[target].name));
        }
        if let Some(occurs) = item.occurs {
            text.push_str(&format!(", {} to {} times", occurs.min, occurs.max));
        }
        if let Some(field) = item.occurs.and_then(|occurs| occurs.depending) {
            text.push_str(&format!(" by {}", layout.items[field].name));
        }
        text.push('\n');
    }
    text.push_str(&format!(
        "{} bytes{}\n",
        layout.record_bytes,
        if layout.is_fixed { "" } else { " at the most" }
    ));
    text
}

#[track_caller]
fn check(text: &str, expected: Expect) {
    check_with(text, &Options::default(), expected);
}

#[track_caller]
fn check_with(text: &str, options: &Options, expected: Expect) {
    let actual = match parse(text, options) {
        Ok(layout) => outline(&layout),
        Err(mistakes) => mistakes
            .iter()
            .map(|mistake| {
                let line = text[..mistake.offset].matches('\n').count() + 1;
                format!("line {line}: {}\n", mistake.message)
            })
            .collect(),
    };
    expected.assert_eq(&actual);
}

const TABLES: &str = "\
000100*  Columns 1 to 6 are numbers, what is behind column 72 is not code
000200 01  RECORD.                                                      OLD
000300     05  COUNT-A            PIC 9(3) COMP-3.  05  FILLER PIC X.
000400     05  TABLE-A OCCURS 0 TO 5 TIMES DEPENDING ON COUNT-A
000500             ASCENDING KEY IS NUM INDEXED BY I.
000600        10  NUM             PIC S9(4) COMP VALUE ZERO.
000700        10  CODES           PIC X(2) OCCURS 3.
000800            88  IS-OPEN     VALUES ARE 'O', 'P' THRU 'R'.
000900/
001000     05  TAIL               PIC X(10).
001100     05  TAIL-N REDEFINES TAI
001200-        L PIC 9(12).
";

#[test]
fn tables_redefinitions_and_columns() {
    check(
        TABLES,
        expect![[r#"
        RECORD at 0, 55 bytes
          COUNT-A at 0, 2 bytes
          FILLER at 2, 1 bytes
          TABLE-A at ?, 8 bytes, 0 to 5 times by COUNT-A
            NUM at ?, 2 bytes
            CODES at ?, 2 bytes, 3 to 3 times
          TAIL at 43, 10 bytes
          TAIL-N at 43, 12 bytes, redefines TAIL
        55 bytes
    "#]],
    );
    let short = Options {
        short_tables: true,
        ..Options::default()
    };
    check_with(
        TABLES,
        &short,
        expect![[r#"
        RECORD at 0, 55 bytes
          COUNT-A at 0, 2 bytes
          FILLER at 2, 1 bytes
          TABLE-A at ?, 8 bytes, 0 to 5 times by COUNT-A
            NUM at ?, 2 bytes
            CODES at ?, 2 bytes, 3 to 3 times
          TAIL at ?, 10 bytes
          TAIL-N at ?, 12 bytes, redefines TAIL
        55 bytes at the most
    "#]],
    );
}

#[test]
fn free_form_and_several_records() {
    check(
        "01 HEAD. 02 KIND PIC X. 02 DAY-1 PIC 9(8). *> of the file\n01 ENTRY. 02 PIC X. 02 AMT USAGE COMP-3 PIC S9(9)V99.\n  02 G USAGE COMP. 03 A PIC 9(4). 03 B PIC 9(9).",
        expect![[r#"
            HEAD at 0, 9 bytes
              KIND at 0, 1 bytes
              DAY-1 at 1, 8 bytes
            ENTRY at 0, 13 bytes, redefines HEAD
              FILLER at 0, 1 bytes
              AMT at 1, 6 bytes
              G at 7, 6 bytes
                A at 7, 2 bytes
                B at 9, 4 bytes
            13 bytes
        "#]],
    );
}

#[test]
fn every_mistake_is_told() {
    check(
        "       01  R.\n           05  A PIC Q.\n           05  B.\n           05  C PIC X(2) COMP-9.\n           05  D REDEFINES X PIC X.\n           05  E PIC X OCCURS 3 DEPENDING ON N.\n           05  F PIC X\n           05  G PIC X.\n           COPY OTHER.\n           05  H PIC S9(4) COMP SYNC.\n           55  I PIC X.\n           05  J PIC X OCCURS 0 TIMES.\n",
        expect![[r#"
            line 2: PIC Q: 'Q' is none of X A N 9 S V P Z * + - . , $ B 0 / CR DB
            line 4: COMP-9 is no clause of a record description; is a full stop missing in front of it?
            line 8: 05 is no clause of a record description; is a full stop missing in front of it?
            line 9: COPY is not followed: paste the other copybook here
            line 11: 55 is no level: 01 to 49, 66, 77, 78, 88 are
            line 12: a table has at least one element, and not more at the least than at the most
            line 3: B has neither a PIC nor fields below it
            line 5: REDEFINES X: there is no such field in front of it in the same group
            line 6: DEPENDING ON N: there is no whole number of this name in front of the table
            line 10: SYNC inserts bytes that depend on the compiler: remove it and write them as FILLER
        "#]],
    );
    check(
        "",
        expect![[r#"
        line 1: the copybook describes no field such as `05 AMOUNT PIC S9(9)V99.`
    "#]],
    );
    check(
        "       01 A. 05 B PIC X(30000) OCCURS 40.",
        expect![[r#"
        line 1: the record is longer than 1048576 bytes
    "#]],
    );
}
