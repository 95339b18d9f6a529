//! PICTURE strings: how many bytes a field has and how its digits are read.

/// Most digits of a number: those of 16 binary bytes.
pub(crate) const DIGITS_MAX: u32 = 38;
/// Most characters of one field.
pub(crate) const CHARACTERS_MAX: usize = 32_760;

/// What a PICTURE says, before USAGE and SIGN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Picture {
    /// `X`, `A`, and what is edited of them: this many characters.
    Text(usize),
    /// `N`: this many UTF-16 characters.
    National(usize),
    /// Digits.
    Number(NumberPicture),
}

/// A numeric or numeric-edited PICTURE.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct NumberPicture {
    /// `9`, `Z` and `*`.
    pub(crate) digits: u32,
    /// Digits behind the point; below 0: zeros that are not written (`9(5)PPP`).
    pub(crate) scale: i32,
    /// `S`.
    pub(crate) signed: bool,
    /// Characters in DISPLAY, without a separate sign of the SIGN clause.
    pub(crate) width: usize,
    /// The text itself has a point.
    pub(crate) point: bool,
    /// Made for people: blanks, grouping, signs of its own.
    pub(crate) edited: bool,
}

/// Reads a PICTURE string; the error says what would be right.
pub(crate) fn parse(text: &str) -> Result<Picture, String> {
    let mut number = NumberPicture::default();
    let (mut texts, mut nationals, mut insertions) = (0_usize, 0_usize, 0_usize);
    let mut behind_point = false;
    let (mut leading_p, mut trailing_p) = (0_i32, 0_i32);
    let upper = text.to_ascii_uppercase();
    let mut rest = upper.as_str();
    while let Some(symbol) = rest.chars().next() {
        let credit = rest.starts_with("CR") || rest.starts_with("DB");
        rest = &rest[if credit { 2 } else { symbol.len_utf8() }..];
        let count;
        (count, rest) = repeat(rest)?;
        let places = count as u32;
        match symbol {
            'C' | 'D' if credit => {
                number.width += 2;
                number.edited = true;
            }
            'X' | 'A' => texts += count,
            'N' => nationals += count,
            '9' | 'Z' | '*' => {
                number.digits += places;
                number.width += count;
                number.edited |= symbol != '9';
                if behind_point {
                    number.scale += places as i32;
                }
            }
            'S' => number.signed = true,
            'V' => behind_point = true,
            'P' if number.digits == 0 => leading_p += places as i32,
            'P' => trailing_p += places as i32,
            '.' => {
                behind_point = true;
                number.point = true;
                number.width += 1;
            }
            '+' | '-' | '$' | ',' => {
                number.width += count;
                number.edited = true;
            }
            'B' | '0' | '/' => insertions += count,
            'G' => {
                return Err(format!(
                    "PIC {text}: double-byte text (G) is not read; use X and leave the field out"
                ));
            }
            other => {
                return Err(format!(
                    "PIC {text}: {other:?} is none of X A N 9 S V P Z * + - . , $ B 0 / CR DB"
                ));
            }
        }
        if (leading_p + trailing_p).unsigned_abs() > DIGITS_MAX {
            return Err(format!(
                "PIC {text}: at most {DIGITS_MAX} places are scaled by P"
            ));
        }
        if number.digits > DIGITS_MAX {
            return Err(format!(
                "PIC {text}: a number has at most {DIGITS_MAX} digits"
            ));
        }
        if texts + nationals + number.width + insertions > CHARACTERS_MAX {
            return Err(format!(
                "PIC {text}: a field has at most {CHARACTERS_MAX} characters"
            ));
        }
    }
    if nationals > 0 {
        let plain = texts == 0 && number.digits == 0;
        return plain
            .then_some(Picture::National(nationals))
            .ok_or_else(|| format!("PIC {text}: N stands alone"));
    }
    if texts > 0 {
        return Ok(Picture::Text(texts + number.width + insertions));
    }
    if number.digits == 0 {
        return Err(format!("PIC {text} has neither characters nor digits"));
    }
    if leading_p > 0 {
        number.scale = leading_p + number.digits as i32;
    }
    number.scale -= trailing_p;
    number.edited |= insertions > 0;
    number.width += insertions;
    Ok(Picture::Number(number))
}

/// `(n)` behind a symbol, or 1.
fn repeat(rest: &str) -> Result<(usize, &str), String> {
    let Some(inside) = rest.strip_prefix('(') else {
        return Ok((1, rest));
    };
    let parsed = inside
        .split_once(')')
        .and_then(|(number, rest)| Some((number.trim().parse::<usize>().ok()?, rest)))
        .filter(|(number, _)| (1..=CHARACTERS_MAX).contains(number));
    parsed.ok_or_else(|| {
        format!("behind a symbol of a PICTURE stands (1) to ({CHARACTERS_MAX}), not {rest:?}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let actual = match parse(text) {
            Ok(Picture::Text(characters)) => format!("text {characters}"),
            Ok(Picture::National(characters)) => format!("national {characters}"),
            Ok(Picture::Number(number)) => format!(
                "{}{} digits, scale {}, width {}{}{}",
                if number.signed { "signed " } else { "" },
                number.digits,
                number.scale,
                number.width,
                if number.point { ", point" } else { "" },
                if number.edited { ", edited" } else { "" },
            ),
            Err(error) => error,
        };
        assert_eq!(actual, expected, "{text}");
    }

    #[test]
    fn pictures_of_copybooks() {
        check("X(8)", "text 8");
        check("XXBXX", "text 5");
        check("A(010)", "text 10");
        check("N(4)", "national 4");
        check("s9(09)V99", "signed 11 digits, scale 2, width 11");
        check("99V9", "3 digits, scale 1, width 3");
        check("SV9(7)", "signed 7 digits, scale 7, width 7");
        check("PPP9(5)", "5 digits, scale 8, width 5");
        check("SPP99999", "signed 5 digits, scale 7, width 5");
        check("9(5)PPP", "5 digits, scale -3, width 5");
        check("S9PPPV", "signed 1 digits, scale -3, width 1");
        check("9(8).9(2)", "10 digits, scale 2, width 11, point");
        check("Z(6)VZZ-", "8 digits, scale 2, width 9, edited");
        check("9(6).99-", "8 digits, scale 2, width 10, point, edited");
        check("$ZZ,ZZ9.99CR", "7 digits, scale 2, width 12, point, edited");
        check("+9(8)", "8 digits, scale 0, width 9, edited");
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        check("9(39)", "PIC 9(39): a number has at most 38 digits");
        check("9(38)", "38 digits, scale 0, width 38");
        check(
            "X(32761)",
            "behind a symbol of a PICTURE stands (1) to (32760), not \"(32761)\"",
        );
        check(
            "X(32760)X",
            "PIC X(32760)X: a field has at most 32760 characters",
        );
        check(
            "Q9",
            "PIC Q9: 'Q' is none of X A N 9 S V P Z * + - . , $ B 0 / CR DB",
        );
        check("9P(39)", "PIC 9P(39): at most 38 places are scaled by P");
        check("S", "PIC S has neither characters nor digits");
        check(
            "9(2",
            "behind a symbol of a PICTURE stands (1) to (32760), not \"(2\"",
        );
    }
}
