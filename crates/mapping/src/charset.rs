//! Which characters a body's bytes are, and where in the body a character of the text stood.
//!
//! Decoders read UTF-8. A body in a single-byte character set is translated before they see it; the
//! positions that they name are translated back, so that refusals and originals are of the body that
//! was sent.

use std::borrow::Cow;

/// A character set that bodies may be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charset {
    Utf8,
    /// ISO 8859-1, Western Europe: each byte is the character of its number.
    Latin1,
    /// ISO 8859-2, Central Europe.
    Latin2,
    /// ISO 8859-15, Western Europe with the euro sign.
    Latin9,
    /// Windows code page 1250, Central Europe.
    Windows1250,
    /// Windows code page 1252, Western Europe.
    Windows1252,
}

/// Names in a mapping, and what they mean.
pub(crate) const NAMES: [(&str, Charset); 6] = [
    ("utf-8", Charset::Utf8),
    ("iso-8859-1", Charset::Latin1),
    ("iso-8859-2", Charset::Latin2),
    ("iso-8859-15", Charset::Latin9),
    ("windows-1250", Charset::Windows1250),
    ("windows-1252", Charset::Windows1252),
];

/// What the bytes from 80 stand for; bytes without a character are control characters, as in the
/// WHATWG's Encoding Standard.
type Table = [char; 128];

const ISO_8859_2: Table = [
    '\u{80}', '\u{81}', '\u{82}', '\u{83}', '\u{84}', '\u{85}', '\u{86}', '\u{87}', '\u{88}',
    '\u{89}', '\u{8a}', '\u{8b}', '\u{8c}', '\u{8d}', '\u{8e}', '\u{8f}', '\u{90}', '\u{91}',
    '\u{92}', '\u{93}', '\u{94}', '\u{95}', '\u{96}', '\u{97}', '\u{98}', '\u{99}', '\u{9a}',
    '\u{9b}', '\u{9c}', '\u{9d}', '\u{9e}', '\u{9f}', '\u{a0}', 'Ą', '˘', 'Ł', '¤', 'Ľ', 'Ś', '§',
    '¨', 'Š', 'Ş', 'Ť', 'Ź', '\u{ad}', 'Ž', 'Ż', '°', 'ą', '˛', 'ł', '´', 'ľ', 'ś', 'ˇ', '¸', 'š',
    'ş', 'ť', 'ź', '˝', 'ž', 'ż', 'Ŕ', 'Á', 'Â', 'Ă', 'Ä', 'Ĺ', 'Ć', 'Ç', 'Č', 'É', 'Ę', 'Ë', 'Ě',
    'Í', 'Î', 'Ď', 'Đ', 'Ń', 'Ň', 'Ó', 'Ô', 'Ő', 'Ö', '×', 'Ř', 'Ů', 'Ú', 'Ű', 'Ü', 'Ý', 'Ţ', 'ß',
    'ŕ', 'á', 'â', 'ă', 'ä', 'ĺ', 'ć', 'ç', 'č', 'é', 'ę', 'ë', 'ě', 'í', 'î', 'ď', 'đ', 'ń', 'ň',
    'ó', 'ô', 'ő', 'ö', '÷', 'ř', 'ů', 'ú', 'ű', 'ü', 'ý', 'ţ', '˙',
];

const ISO_8859_15: Table = [
    '\u{80}', '\u{81}', '\u{82}', '\u{83}', '\u{84}', '\u{85}', '\u{86}', '\u{87}', '\u{88}',
    '\u{89}', '\u{8a}', '\u{8b}', '\u{8c}', '\u{8d}', '\u{8e}', '\u{8f}', '\u{90}', '\u{91}',
    '\u{92}', '\u{93}', '\u{94}', '\u{95}', '\u{96}', '\u{97}', '\u{98}', '\u{99}', '\u{9a}',
    '\u{9b}', '\u{9c}', '\u{9d}', '\u{9e}', '\u{9f}', '\u{a0}', '¡', '¢', '£', '€', '¥', 'Š', '§',
    'š', '©', 'ª', '«', '¬', '\u{ad}', '®', '¯', '°', '±', '²', '³', 'Ž', 'µ', '¶', '·', 'ž', '¹',
    'º', '»', 'Œ', 'œ', 'Ÿ', '¿', 'À', 'Á', 'Â', 'Ã', 'Ä', 'Å', 'Æ', 'Ç', 'È', 'É', 'Ê', 'Ë', 'Ì',
    'Í', 'Î', 'Ï', 'Ð', 'Ñ', 'Ò', 'Ó', 'Ô', 'Õ', 'Ö', '×', 'Ø', 'Ù', 'Ú', 'Û', 'Ü', 'Ý', 'Þ', 'ß',
    'à', 'á', 'â', 'ã', 'ä', 'å', 'æ', 'ç', 'è', 'é', 'ê', 'ë', 'ì', 'í', 'î', 'ï', 'ð', 'ñ', 'ò',
    'ó', 'ô', 'õ', 'ö', '÷', 'ø', 'ù', 'ú', 'û', 'ü', 'ý', 'þ', 'ÿ',
];

const WINDOWS_1250: Table = [
    '€', '\u{81}', '‚', '\u{83}', '„', '…', '†', '‡', '\u{88}', '‰', 'Š', '‹', 'Ś', 'Ť', 'Ž', 'Ź',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '\u{98}', '™', 'š', '›', 'ś', 'ť', 'ž', 'ź',
    '\u{a0}', 'ˇ', '˘', 'Ł', '¤', 'Ą', '¦', '§', '¨', '©', 'Ş', '«', '¬', '\u{ad}', '®', 'Ż', '°',
    '±', '˛', 'ł', '´', 'µ', '¶', '·', '¸', 'ą', 'ş', '»', 'Ľ', '˝', 'ľ', 'ż', 'Ŕ', 'Á', 'Â', 'Ă',
    'Ä', 'Ĺ', 'Ć', 'Ç', 'Č', 'É', 'Ę', 'Ë', 'Ě', 'Í', 'Î', 'Ď', 'Đ', 'Ń', 'Ň', 'Ó', 'Ô', 'Ő', 'Ö',
    '×', 'Ř', 'Ů', 'Ú', 'Ű', 'Ü', 'Ý', 'Ţ', 'ß', 'ŕ', 'á', 'â', 'ă', 'ä', 'ĺ', 'ć', 'ç', 'č', 'é',
    'ę', 'ë', 'ě', 'í', 'î', 'ď', 'đ', 'ń', 'ň', 'ó', 'ô', 'ő', 'ö', '÷', 'ř', 'ů', 'ú', 'ű', 'ü',
    'ý', 'ţ', '˙',
];

const WINDOWS_1252: Table = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    '\u{a0}', '¡', '¢', '£', '¤', '¥', '¦', '§', '¨', '©', 'ª', '«', '¬', '\u{ad}', '®', '¯', '°',
    '±', '²', '³', '´', 'µ', '¶', '·', '¸', '¹', 'º', '»', '¼', '½', '¾', '¿', 'À', 'Á', 'Â', 'Ã',
    'Ä', 'Å', 'Æ', 'Ç', 'È', 'É', 'Ê', 'Ë', 'Ì', 'Í', 'Î', 'Ï', 'Ð', 'Ñ', 'Ò', 'Ó', 'Ô', 'Õ', 'Ö',
    '×', 'Ø', 'Ù', 'Ú', 'Û', 'Ü', 'Ý', 'Þ', 'ß', 'à', 'á', 'â', 'ã', 'ä', 'å', 'æ', 'ç', 'è', 'é',
    'ê', 'ë', 'ì', 'í', 'î', 'ï', 'ð', 'ñ', 'ò', 'ó', 'ô', 'õ', 'ö', '÷', 'ø', 'ù', 'ú', 'û', 'ü',
    'ý', 'þ', 'ÿ',
];

/// A text and how its positions become those of the body.
#[derive(Debug)]
pub(crate) struct Decoded<'b> {
    /// Without a byte order mark.
    pub(crate) text: Cow<'b, str>,
    pub(crate) positions: Positions,
}

/// Reads a body in the first of some character sets in which it can be read.
///
/// A body in a single-byte set is copied: at most three bytes for one. The error is the position of
/// the first byte that is not UTF-8.
pub(crate) fn decode<'b>(body: &'b [u8], charsets: &[Charset]) -> Result<Decoded<'b>, usize> {
    let error = match std::str::from_utf8(body) {
        Ok(text) if text.is_ascii() || charsets.contains(&Charset::Utf8) => {
            let kept = text.strip_prefix('\u{feff}').unwrap_or(text);
            return Ok(Decoded {
                positions: Positions::new(text.len() - kept.len(), false),
                text: Cow::Borrowed(kept),
            });
        }
        Ok(_) => 0,
        Err(error) => error.valid_up_to(),
    };
    let Some(charset) = charsets.iter().find(|charset| **charset != Charset::Utf8) else {
        return Err(error);
    };
    let text: String = body.iter().map(|byte| character(*charset, *byte)).collect();
    Ok(Decoded {
        text: Cow::Owned(text),
        positions: Positions::new(0, true),
    })
}

fn character(charset: Charset, byte: u8) -> char {
    let table = match charset {
        Charset::Utf8 | Charset::Latin1 => return char::from(byte),
        Charset::Latin2 => &ISO_8859_2,
        Charset::Latin9 => &ISO_8859_15,
        Charset::Windows1250 => &WINDOWS_1250,
        Charset::Windows1252 => &WINDOWS_1252,
    };
    match byte.checked_sub(0x80) {
        Some(index) => table[usize::from(index)],
        None => char::from(byte),
    }
}

/// Translates positions of the text into positions of the body.
///
/// Positions mostly rise, so each character of the text is looked at about once.
#[derive(Debug)]
pub(crate) struct Positions {
    /// Bytes cut off in front of the text: a byte order mark.
    shift: usize,
    /// Whether each character of the text was one byte of the body.
    single_byte: bool,
    /// A position of the text and the number of characters before it.
    known: (usize, usize),
}

impl Positions {
    pub(crate) fn new(shift: usize, single_byte: bool) -> Self {
        Self {
            shift,
            single_byte,
            known: (0, 0),
        }
    }

    /// Where in the body the byte at `offset` of `text` stood.
    pub(crate) fn in_body(&mut self, text: &str, offset: usize) -> usize {
        if !self.single_byte {
            return offset + self.shift;
        }
        let offset = offset.min(text.len());
        let (at, count) = self.known;
        let characters = |from: usize, to: usize| {
            let bytes = text.as_bytes()[from..to].iter();
            // Every byte but 10xxxxxx begins a character.
            bytes.filter(|byte| **byte & 0xc0 != 0x80).count()
        };
        let count = if offset >= at {
            count + characters(at, offset)
        } else {
            count - characters(offset, at)
        };
        self.known = (offset, count);
        count + self.shift
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(charsets: &[Charset], body: &[u8], expected: Result<&str, usize>) {
        let actual = decode(body, charsets).map(|decoded| decoded.text.into_owned());
        assert_eq!(actual, expected.map(str::to_owned));
    }

    #[test]
    fn the_first_character_set_that_fits_counts() {
        use Charset::{Latin1, Latin2, Latin9, Utf8, Windows1250, Windows1252};
        check(&[Utf8], "\u{feff}ž".as_bytes(), Ok("ž"));
        check(&[Utf8], b"ab\xe4", Err(2));
        check(&[Utf8, Windows1252], "ž".as_bytes(), Ok("ž"));
        check(&[Utf8, Windows1252], b"\x80\xe4\x9e\x81", Ok("€äž\u{81}"));
        check(&[Latin1], b"\xe4\x80", Ok("ä\u{80}"));
        check(&[Windows1252], "ž".as_bytes(), Ok("Å¾"));
        check(&[Windows1252], b"", Ok(""));
        check(&[Windows1250], b"\x8a\x9e\xe6\x80", Ok("Šžć€"));
        check(&[Latin2], b"\xa9\xbe\xe6", Ok("Šžć"));
        check(&[Latin9], b"\xa4\xe4", Ok("€ä"));
    }

    #[test]
    fn positions_are_those_of_the_body() {
        let body = b"a\x80b\xe4c";
        let mut decoded = decode(body, &[Charset::Windows1252]).expect("every byte is one");
        let text = decoded.text.into_owned();
        for (character, expected) in [('c', 4), ('a', 0), ('b', 2), ('ä', 3), ('€', 1)] {
            let at = text.find(character).expect("it is there");
            assert_eq!(decoded.positions.in_body(&text, at), expected);
        }
        let end = decoded.positions.in_body(&text, text.len());
        assert_eq!(end, body.len());
        let mut with_mark = decode("\u{feff}x".as_bytes(), &[Charset::Utf8]).expect("UTF-8");
        assert_eq!(with_mark.positions.in_body("x", 0), 3);
    }
}
