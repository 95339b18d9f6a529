//! Fields of a real record of every numeric kind (Cobrix, test24, its first record), and what is none.

use super::super::parse;
use super::*;

/// Reads one field of a copybook; `hex` is its bytes in cp037.
#[track_caller]
fn check(clauses: &str, hex: &str, expected: &str) {
    let bytes: Vec<u8> = (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hexadecimal"))
        .collect();
    check_bytes(clauses, &bytes, true, expected);
}

#[track_caller]
fn check_bytes(clauses: &str, bytes: &[u8], ebcdic: bool, expected: &str) {
    let layout = parse::parse(
        &format!("01 R. 05 F PIC {clauses}."),
        &parse::Options::default(),
    )
    .expect("a copybook");
    let super::super::layout::Kind::Number(number) = layout.items[1].kind else {
        panic!("{clauses} is no number");
    };
    let mut text = String::new();
    let actual = if number.bytes() != bytes.len() {
        format!("has {} bytes", number.bytes())
    } else {
        match number.read(bytes, ebcdic, &mut text) {
            Ok(Presence::Number) => text,
            Ok(Presence::Blank) => "blank".to_owned(),
            Err(wrong) => wrong.to_owned(),
        }
    };
    assert_eq!(actual, expected, "{clauses}");
}

#[test]
fn zoned_numbers() {
    check("9(1)", "F3", "3");
    check("9(5)", "F3F0F5F0F3", "30503");
    check(
        "9(37)",
        "F3F0F5F0F3F9F3F2F5F7F6F7F6F2F6F7F6F8F7F0F7F8F7F8F1F7F1F7F6F0F0F5F9F2F7F1F4",
        "3050393257676267687078781717600592714",
    );
    check("S9(2)", "F3D0", "-30");
    check("S9(4)", "F7F8F4C4", "7844");
    check("99V9", "F3F0F5", "30.5");
    check("9(4)V9(4)", "F3F0F5F0F3F9F3F2", "3050.3932");
    check(
        "S9(18)V9(10)",
        "F3F0F5F0F3F9F3F2F5F7F6F7F6F2F6F7F6F8F7F0F7F8F7F8F1F7F1D7",
        "-305039325767626768.7078781717",
    );
    check("S9(3).99", "F3F0F54BF0D3", "-305.03");
    check(
        "S9(9) SIGN IS LEADING SEPARATE",
        "60F3F0F5F0F3F9F3F2F5",
        "-305039325",
    );
    check(
        "99V99 SIGN IS LEADING SEPARATE CHARACTER",
        "60F3F0F5F0",
        "-30.50",
    );
    check(
        "S9(9) SIGN IS TRAILING SEPARATE",
        "F3F0F5F0F3F9F3F2F560",
        "-305039325",
    );
    check("99V99 SIGN TRAILING SEPARATE", "F3F0F5F060", "-30.50");
    check("SV9(7) SIGN LEADING", "D3F0F5F0F3F9F3", "-0.3050393");
    check("SV9(7) SIGN TRAILING", "F3F0F5F0F3F9D3", "-0.3050393");
    check("SPPP9(5)", "F3F0F5F0D3", "-0.00030503");
    check("S9(5)PPP", "F3F0F5F0D3", "-30503000");
    check("S9(3)V99", "F0F0F0F0D0", "0.00");
}

#[test]
fn binary_numbers() {
    check("9(1) COMP", "0003", "3");
    check("9(3) COMP-0", "0131", "305");
    check("9(5) COMP-5", "00007727", "30503");
    check("9(10) BINARY", "00000000B5D14EA9", "3050393257");
    check("9(19) BINARY", "002A552C81950A60A7", "3050393257676267687");
    check("9(20) BINARY", "01A753BD0FD267C686", "30503932576762676870");
    check(
        "9(37) BINARY",
        "024B7BFFC8D447DB90082F6DB69CE34A",
        "3050393257676267687078781717600592714",
    );
    check("S9(1) COMP", "FFFD", "-3");
    check(
        "S9(20) BINARY",
        "FE58AC42F02D98397A",
        "-30503932576762676870",
    );
    check(
        "S9(37) BINARY",
        "FDB48400372BB8246FF7D09249631CB6",
        "-3050393257676267687078781717600592714",
    );
    check(
        "9(18)V9(10) COMP",
        "09DB39E5D86B4C1ED66BE315",
        "305039325767626768.7078781717",
    );
    check(
        "S9(16)V99 USAGE IS COMPUTATIONAL-4",
        "FBC4485971188FF0",
        "-3050393257676267.68",
    );
    check("S9V9(7) BINARY", "01D173FC", "3.0503932");
    check("SPPP9 COMP", "0003", "0.0003");
    check("S9PPPV COMP", "0003", "3000");
    check("SPPP9(10) COMP", "00000000B5D14EA9", "0.0003050393257");
    check("S9(4) COMP", "0000", "0");
    check("9(4) COMP", "FFFF", "65535");
    check("9(9) COMP-5", "F9F2F7F1", "4193449969");
    check(
        "9(8) COMP",
        "F9F2F7F1",
        "does not fit its PICTURE; all its bits would count in a COMP-5",
    );
    check(
        "S9(38) COMP",
        "80000000000000000000000000000000",
        "-170141183460469231731687303715884105728",
    );
}

#[test]
fn packed_numbers() {
    check("9(1) COMP-3", "3F", "3");
    check("9(2) COMP-3", "030F", "30");
    check(
        "9(37) COMP-3",
        "3050393257676267687078781717600592714F",
        "3050393257676267687078781717600592714",
    );
    check("S9(2) COMP-3", "030D", "-30");
    check("S9(09)V99 COMP-3", "30503932576D", "-305039325.76");
    check("V9(5) PACKED-DECIMAL", "30503C", "0.30503");
    check("PPP9(5) COMP-3", "30503C", "0.00030503");
    check("SPP99999 COMP-3", "30503D", "-0.0030503");
    check("9(5)PPP COMP-3", "30503C", "30503000");
}

#[test]
fn edited_numbers() {
    check("+9(8)", "60F3F0F5F0F3F9F3F2", "-30503932");
    check("9(8)+", "F3F0F5F0F3F9F3F260", "-30503932");
    check("Z(8)-", "F3F0F5F0F3F9F3F260", "-30503932");
    check("+9(6)V99", "60F3F0F5F0F3F9F3F2", "-305039.32");
    check("Z(6)VZZ-", "F3F0F5F0F3F9F3F260", "-305039.32");
    check("9(6).99-", "F3F0F5F0F3F94BF3F260", "-305039.32");
    check("9(8).9(2)", "F7F8F94BF0F94040404040", "789.09");
    check_bytes("$ZZ,ZZ9.99CR", b"$ 1,234.50CR", false, "-1234.50");
    check_bytes("Z(6)9.99", b"     12.5 ", false, "12.50");
}

#[test]
fn signs_in_ascii() {
    check_bytes("S9(3)V99", b"0123E", false, "12.35");
    check_bytes("S9(3)V99", b"0123N", false, "-12.35");
    check_bytes("S9(3)V99", b"0123}", false, "-12.30");
    check_bytes("S9(3)V99", b"0123u", false, "-12.35");
    check_bytes("S9(3)V99", b"01235", false, "12.35");
    check_bytes("9(3)V99", b"   35", false, "0.35");
}

#[test]
fn what_is_no_number_is_said() {
    check("9(8)", "4040404040404040", "blank");
    check("9(5) COMP-3", "000000", "blank");
    check(
        "9(4)",
        "C1C2C3C4",
        "is no zoned number: one of its characters is no digit",
    );
    check(
        "9(4)",
        "F1F24040",
        "is no zoned number: one of its characters is no digit",
    );
    check(
        "9(2)",
        "F1D2",
        "has a negative sign, but its PICTURE has no S",
    );
    check("9(2) COMP-3", "100C", "has more digits than its PICTURE");
    check(
        "9(3) COMP-3",
        "1A0C",
        "is no packed decimal: a half byte is above 9",
    );
    check(
        "9(3) COMP-3",
        "1001",
        "is no packed decimal: its last half byte is no sign (A to F)",
    );
    check(
        "S9(2) SIGN LEADING SEPARATE",
        "F1F2F3",
        "has neither + nor - as its sign",
    );
    check_bytes(
        "9(2).99",
        b"1.234",
        false,
        "has more decimal digits than its PICTURE",
    );
}
