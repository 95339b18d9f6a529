//! Numbers of XPath, which are doubles by its recommendation, as text and back; `format-number` and the formats of `xsl:number`.
//!
//! Sums of money do not belong here: what a stylesheet only passes through stays text, digit by digit, and the
//! mapping reads it exactly.

/// Most bytes of a pattern of `format-number`, and so most digits that it asks for.
const PATTERN_BYTES_MAX: usize = 512;

/// Text to number: digits with at most one point, a minus sign before, whitespace around. All else is NaN.
pub(crate) fn parse(text: &str) -> f64 {
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    let digits = text.strip_prefix('-').unwrap_or(text);
    let mut has_point = false;
    let mut has_digit = false;
    for byte in digits.bytes() {
        match byte {
            b'0'..=b'9' => has_digit = true,
            b'.' if !has_point => has_point = true,
            _ => return f64::NAN,
        }
    }
    match has_digit {
        true => text.parse().unwrap_or(f64::NAN),
        false => f64::NAN,
    }
}

/// Number to text: as many digits as tell it from its neighbours, never an exponent.
pub(crate) fn push(number: f64, out: &mut String) {
    use std::fmt::Write;
    if number.is_nan() {
        out.push_str("NaN");
    } else if number.is_infinite() {
        out.push_str(if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        });
    } else if number == 0.0 {
        out.push('0');
    } else if number.fract() == 0.0 && number.abs() < 1e15 {
        // Whole numbers this small are exact.
        let _ = write!(out, "{}", number as i64);
    } else {
        // Writing into a String does not fail.
        let _ = write!(out, "{number}");
    }
}

pub(crate) fn text(number: f64) -> String {
    let mut out = String::new();
    push(number, &mut out);
    out
}

/// To the nearest whole number; halves go up.
pub(crate) fn round(number: f64) -> f64 {
    if number.fract() == 0.0 || !number.is_finite() {
        return number;
    }
    let floor = number.floor();
    let rounded = if number - floor < 0.5 {
        floor
    } else {
        floor + 1.0
    };
    match rounded == 0.0 && number < 0.0 {
        true => -0.0,
        false => rounded,
    }
}

/// The signs of `xsl:decimal-format`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DecimalFormat {
    pub(crate) decimal_separator: char,
    pub(crate) grouping_separator: char,
    pub(crate) infinity: String,
    pub(crate) minus_sign: char,
    pub(crate) nan: String,
    pub(crate) percent: char,
    pub(crate) per_mille: char,
    pub(crate) zero_digit: char,
    pub(crate) digit: char,
    pub(crate) pattern_separator: char,
}

impl Default for DecimalFormat {
    fn default() -> Self {
        Self {
            decimal_separator: '.',
            grouping_separator: ',',
            infinity: "Infinity".to_owned(),
            minus_sign: '-',
            nan: "NaN".to_owned(),
            percent: '%',
            per_mille: '\u{2030}',
            zero_digit: '0',
            digit: '#',
            pattern_separator: ';',
        }
    }
}

#[derive(Debug, Default)]
struct Picture {
    prefix: String,
    suffix: String,
    integers_min: usize,
    fractions_min: usize,
    fractions_max: usize,
    grouping: usize,
    multiplier: u32,
    has_digits: bool,
}

impl DecimalFormat {
    /// `format-number`. Rounding is half to even, of the exact value of the double, as the JDK that the
    /// recommendation points to has it.
    pub(crate) fn format(&self, number: f64, pattern: &str) -> Result<String, String> {
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(format!(
                "the pattern of format-number() has {} bytes, at most {PATTERN_BYTES_MAX} are read",
                pattern.len()
            ));
        }
        let (positive, negative) = match pattern.split_once(self.pattern_separator) {
            Some((positive, negative)) => (positive, Some(negative)),
            None => (pattern, None),
        };
        let picture = self.picture(positive)?;
        if number.is_nan() {
            return Ok(self.nan.clone());
        }
        let is_negative = number.is_sign_negative() && number != 0.0;
        let digits = match number.is_infinite() {
            true => self.infinity.clone(),
            false => self.digits(number.abs() * f64::from(picture.multiplier), &picture),
        };
        let (mut prefix, mut suffix) = (picture.prefix.as_str(), picture.suffix.as_str());
        let negative = match negative {
            Some(negative) if is_negative => Some(self.picture(negative)?),
            _ => None,
        };
        let mut out = String::new();
        match &negative {
            // Of the pattern for negative numbers only what stands around the digits counts.
            Some(negative) => (prefix, suffix) = (&negative.prefix, &negative.suffix),
            None if is_negative => out.push(self.minus_sign),
            None => {}
        }
        out.push_str(prefix);
        out.push_str(&digits);
        out.push_str(suffix);
        Ok(out)
    }

    fn picture(&self, text: &str) -> Result<Picture, String> {
        let mut picture = Picture {
            multiplier: 1,
            ..Picture::default()
        };
        // 0 before the digits, 1 in whole digits, 2 in fractions, 3 behind.
        let mut part = 0;
        let mut is_quoted = false;
        let mut since_group: Option<usize> = None;
        let (mut has_point, mut integers) = (false, 0_usize);
        for c in text.chars() {
            let is_special = c == self.zero_digit
                || c == self.digit
                || c == self.grouping_separator
                || c == self.decimal_separator;
            if !is_quoted && is_special && part < 3 {
                picture.has_digits = true;
                if c == self.decimal_separator {
                    if part == 2 {
                        return Err(format!(
                            "the pattern {text:?} of format-number() has two decimal separators"
                        ));
                    }
                    part = 2;
                    has_point = true;
                } else if part == 2 {
                    picture.fractions_max += 1;
                    if c == self.zero_digit {
                        picture.fractions_min = picture.fractions_max;
                    }
                } else {
                    part = 1;
                    if c == self.grouping_separator {
                        since_group = Some(0);
                    } else {
                        integers += 1;
                        since_group = since_group.map(|count| count + 1);
                        picture.integers_min +=
                            usize::from(c == self.zero_digit || picture.integers_min > 0);
                    }
                }
                continue;
            }
            if c == '\'' {
                is_quoted = !is_quoted;
                continue;
            }
            if part == 1 || part == 2 {
                part = 3;
            }
            if !is_quoted && is_special {
                return Err(format!(
                    "the pattern {text:?} of format-number() has digits in two places"
                ));
            }
            if !is_quoted && c == self.percent {
                picture.multiplier = 100;
            } else if !is_quoted && c == self.per_mille {
                picture.multiplier = 1000;
            }
            match part {
                0 => picture.prefix.push(c),
                _ => picture.suffix.push(c),
            }
        }
        picture.grouping = since_group.unwrap_or(0);
        // As the JDK has it: `#.##` writes a zero before the point, `.##` one behind it, `#.00` none.
        if has_point && picture.integers_min == 0 && picture.fractions_min == 0 {
            match integers > 0 {
                true => picture.integers_min = 1,
                false => picture.fractions_min = picture.fractions_max.min(1),
            }
        }
        Ok(picture)
    }

    fn digits(&self, number: f64, picture: &Picture) -> String {
        let exact = format!("{number:.*}", picture.fractions_max);
        let (whole, fraction) = exact.split_once('.').unwrap_or((&exact, ""));
        let mut fraction = fraction;
        while fraction.len() > picture.fractions_min && fraction.ends_with('0') {
            fraction = &fraction[..fraction.len() - 1];
        }
        let whole = whole.trim_start_matches('0');
        let mut out = String::new();
        let mut length = whole.len().max(picture.integers_min);
        if length == 0 && fraction.is_empty() {
            length = 1;
        }
        let padding = length - whole.len();
        let zeros = std::iter::repeat_n('0', padding);
        for (at, digit) in zeros.chain(whole.chars()).enumerate() {
            let rest = length - at;
            if at > 0 && picture.grouping > 0 && rest.is_multiple_of(picture.grouping) {
                out.push(self.grouping_separator);
            }
            out.push(self.localised(digit));
        }
        if !fraction.is_empty() {
            out.push(self.decimal_separator);
            out.extend(fraction.chars().map(|digit| self.localised(digit)));
        }
        out
    }

    fn localised(&self, digit: char) -> char {
        let value = digit.to_digit(10).unwrap_or(0);
        char::from_u32(u32::from(self.zero_digit) + value).unwrap_or(digit)
    }
}

/// How `xsl:number` writes thousands: the sign and how many digits stand between two.
pub(crate) type Grouping<'a> = Option<(&'a str, usize)>;

/// Writes the numbers of `xsl:number` by a format such as `1.1` or `(a)`.
pub(crate) fn format_list(numbers: &[f64], format: &str, grouping: Grouping<'_>) -> String {
    // Runs of letters and digits, each with what stands before it.
    let mut tokens: Vec<(&str, &str)> = Vec::new();
    let mut rest = format;
    loop {
        let separator = rest.len()
            - rest
                .trim_start_matches(|c: char| !c.is_alphanumeric())
                .len();
        let length = rest[separator..].len()
            - rest[separator..]
                .trim_start_matches(char::is_alphanumeric)
                .len();
        if length == 0 {
            break;
        }
        tokens.push((&rest[..separator], &rest[separator..separator + length]));
        rest = &rest[separator + length..];
    }
    let suffix = rest;
    let mut out = String::new();
    let is_bare = tokens.is_empty();
    if let Some((prefix, _)) = tokens.first() {
        out.push_str(prefix);
    }
    if is_bare {
        out.push_str(suffix);
    }
    for (at, number) in numbers.iter().enumerate() {
        let token = tokens
            .get(at)
            .or(tokens.last())
            .map_or("1", |(_, token)| token);
        if at > 0 {
            let separator = match tokens.get(at) {
                Some((separator, _)) => separator,
                None if tokens.len() > 1 => tokens[tokens.len() - 1].0,
                None => ".",
            };
            out.push_str(separator);
        }
        push_by(*number, token, grouping, &mut out);
    }
    if !is_bare || numbers.is_empty() {
        out.push_str(if is_bare { "" } else { suffix });
    } else {
        out.push_str(suffix);
    }
    out
}

fn push_by(number: f64, token: &str, grouping: Grouping<'_>, out: &mut String) {
    let number = round(number);
    if !number.is_finite() || number < 0.0 {
        return push(number, out);
    }
    // Beyond it letters and Roman numbers make no sense, and digits come from the double.
    let small = if number < 1e15 { number as u64 } else { 0 };
    match token {
        "a" | "A" if small > 0 => {
            let mut letters = Vec::new();
            let mut rest = small;
            while rest > 0 {
                rest -= 1;
                let first = if token == "a" { b'a' } else { b'A' };
                letters.push(char::from(first + (rest % 26) as u8));
                rest /= 26;
            }
            out.extend(letters.iter().rev());
        }
        "i" | "I" if (1..5000).contains(&small) => {
            const SIGNS: [(u64, &str); 13] = [
                (1000, "m"),
                (900, "cm"),
                (500, "d"),
                (400, "cd"),
                (100, "c"),
                (90, "xc"),
                (50, "l"),
                (40, "xl"),
                (10, "x"),
                (9, "ix"),
                (5, "v"),
                (4, "iv"),
                (1, "i"),
            ];
            let mut rest = small;
            for (value, sign) in SIGNS {
                while rest >= value {
                    match token {
                        "i" => out.push_str(sign),
                        _ => out.push_str(&sign.to_ascii_uppercase()),
                    }
                    rest -= value;
                }
            }
        }
        _ => {
            let digits = text(number);
            let is_padded =
                token.ends_with('1') && token.bytes().rev().skip(1).all(|byte| byte == b'0');
            let width = if is_padded { token.len() } else { 1 };
            let length = digits.len().max(width);
            let zeros = std::iter::repeat_n('0', length - digits.len());
            for (at, digit) in zeros.chain(digits.chars()).enumerate() {
                if let Some((separator, size)) = grouping
                    && at > 0
                    && size > 0
                    && (length - at).is_multiple_of(size)
                {
                    out.push_str(separator);
                }
                out.push(digit);
            }
        }
    }
}
