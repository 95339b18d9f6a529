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
    /// UTF-16, the lower byte first. XML only, like the next one.
    Utf16Little,
    /// UTF-16, the higher byte first.
    Utf16Big,
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

/// Names that XML declarations have besides [`NAMES`].
const XML_NAMES: &[(&str, Charset)] = &[
    ("utf8", Charset::Utf8),
    ("us-ascii", Charset::Utf8),
    ("ascii", Charset::Utf8),
    ("latin1", Charset::Latin1),
    ("cp1252", Charset::Windows1252),
    ("utf-16", Charset::Utf16Little),
    ("utf-16le", Charset::Utf16Little),
    ("utf-16be", Charset::Utf16Big),
];

/// Characters of an XML declaration that are looked at for its encoding.
const DECLARATION_BYTES_MAX: usize = 200;

/// The character set of an XML document, by its first bytes and its declaration (XML 1.0, appendix F).
///
/// What is none that is known is UTF-8: the decoder looks at the declaration once more.
pub(crate) fn of_xml(body: &[u8]) -> Charset {
    match body {
        [0xff, 0xfe, ..] | [b'<', 0, _, 0, ..] => return Charset::Utf16Little,
        [0xfe, 0xff, ..] | [0, b'<', 0, _, ..] => return Charset::Utf16Big,
        _ => {}
    }
    // What nearly all begin with: searching takes as long as an element.
    if body.starts_with(br#"<?xml version="1.0" encoding="UTF-8"?>"#) {
        return Charset::Utf8;
    }
    let head = &body[..body.len().min(DECLARATION_BYTES_MAX)];
    let declared = head.strip_prefix(b"<?xml").and_then(|rest| {
        let declaration = &rest[..memchr::memchr(b'>', rest)?];
        let text = std::str::from_utf8(declaration).ok()?;
        let (_, value) = text.split_once("encoding")?;
        let value = value.trim_start().strip_prefix('=')?.trim_start();
        let quote = value.chars().next().filter(|mark| "'\"".contains(*mark))?;
        value[1..].split(quote).next()
    });
    declared
        .and_then(xml_named)
        .filter(|charset| !charset.is_wide())
        .unwrap_or(Charset::Utf8)
}

/// The character set of this name in an XML declaration, if it is one that is read.
pub(crate) fn xml_named(name: &str) -> Option<Charset> {
    let mut known = NAMES.iter().chain(XML_NAMES);
    known
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, charset)| *charset)
}

impl Charset {
    /// Whether a character takes two bytes or four.
    pub(crate) fn is_wide(self) -> bool {
        matches!(self, Self::Utf16Little | Self::Utf16Big)
    }
}

/// A text and how its positions become those of the body.
#[derive(Debug)]
pub(crate) struct Decoded<'b> {
    /// Without a byte order mark.
    pub(crate) text: Cow<'b, str>,
    pub(crate) positions: Positions,
}

/// Reads a body in the first of some character sets in which it can be read.
///
/// A body in another set than UTF-8 is copied: at most three bytes for one. The error is the position of
/// the first byte that is not UTF-8 (or UTF-16, where that is the only set).
pub(crate) fn decode<'b>(body: &'b [u8], charsets: &[Charset]) -> Result<Decoded<'b>, usize> {
    if let [charset] = charsets
        && charset.is_wide()
    {
        return decode_wide(body, *charset);
    }
    let error = match std::str::from_utf8(body) {
        Ok(text) if text.is_ascii() || charsets.contains(&Charset::Utf8) => {
            let kept = text.strip_prefix('\u{feff}').unwrap_or(text);
            return Ok(Decoded {
                positions: Positions::new(text.len() - kept.len(), Width::Same),
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
        positions: Positions::new(0, Width::One),
    })
}

/// Reads UTF-16; the error is where a pair of surrogates is broken, or the last byte is alone.
fn decode_wide(body: &[u8], charset: Charset) -> Result<Decoded<'static>, usize> {
    let unit = |pair: [u8; 2]| match charset {
        Charset::Utf16Big => u16::from_be_bytes(pair),
        _ => u16::from_le_bytes(pair),
    };
    let (pairs, rest) = body.as_chunks::<2>();
    let shift = match pairs.first() {
        Some(pair) if unit(*pair) == 0xfeff => 2,
        _ => 0,
    };
    let mut text = String::with_capacity(body.len() / 2);
    let mut at = shift;
    for read in char::decode_utf16(pairs[shift / 2..].iter().map(|pair| unit(*pair))) {
        let character = read.map_err(|_| at)?;
        at += 2 * character.len_utf16();
        text.push(character);
    }
    if !rest.is_empty() {
        return Err(at);
    }
    Ok(Decoded {
        text: Cow::Owned(text),
        positions: Positions::new(shift, Width::Two),
    })
}

fn character(charset: Charset, byte: u8) -> char {
    let table = match charset {
        Charset::Utf8 | Charset::Latin1 | Charset::Utf16Little | Charset::Utf16Big => {
            return char::from(byte);
        }
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

/// Bytes of the body for a character of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    /// As many as in the text.
    Same,
    One,
    /// Two, or four where UTF-8 has four.
    Two,
}

/// Translates positions of the text into positions of the body.
///
/// Positions mostly rise, so each character of the text is looked at about once.
#[derive(Debug)]
pub(crate) struct Positions {
    /// Bytes cut off in front of the text: a byte order mark.
    shift: usize,
    width: Width,
    /// A position of the text and the number of characters (of UTF-16: units) before it.
    known: (usize, usize),
}

impl Positions {
    pub(crate) fn new(shift: usize, width: Width) -> Self {
        Self {
            shift,
            width,
            known: (0, 0),
        }
    }

    /// Whether the body is UTF-16.
    pub(crate) fn is_wide(&self) -> bool {
        self.width == Width::Two
    }

    /// Where in the body the byte at `offset` of `text` stood.
    pub(crate) fn in_body(&mut self, text: &str, offset: usize) -> usize {
        let bytes_each = match self.width {
            Width::Same => return offset + self.shift,
            Width::One => 1,
            Width::Two => 2,
        };
        let offset = offset.min(text.len());
        let (at, count) = self.known;
        let characters = |from: usize, to: usize| {
            let bytes = text.as_bytes()[from..to].iter();
            // Every byte but 10xxxxxx begins a character; 11110xxx one of two units of UTF-16.
            let units = |byte: u8| {
                usize::from(byte & 0xc0 != 0x80) + usize::from(bytes_each == 2 && byte >= 0xf0)
            };
            bytes.map(|byte| units(*byte)).sum::<usize>()
        };
        let count = if offset >= at {
            count + characters(at, offset)
        } else {
            count - characters(offset, at)
        };
        self.known = (offset, count);
        count * bytes_each + self.shift
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
    fn xml_says_its_character_set() {
        let declared =
            |name: &str| of_xml(format!("<?xml version=\"1.0\" encoding={name}?>").as_bytes());
        assert_eq!(declared("\"ISO-8859-1\""), Charset::Latin1);
        assert_eq!(declared("'windows-1252'"), Charset::Windows1252);
        assert_eq!(declared("\"UTF-8\""), Charset::Utf8);
        assert_eq!(declared("\"x-unknown\""), Charset::Utf8);
        assert_eq!(declared("\"UTF-16\""), Charset::Utf8, "its bytes are not");
        assert_eq!(declared("iso-8859-1"), Charset::Utf8);
        assert_eq!(declared("\"é"), Charset::Utf8);
        assert_eq!(of_xml(b"<a encoding=\"ISO-8859-1\"/>"), Charset::Utf8);
        assert_eq!(of_xml(b"\xff\xfe<\0a\0"), Charset::Utf16Little);
        assert_eq!(of_xml(b"<\0a\0"), Charset::Utf16Little);
        assert_eq!(of_xml(b"\xfe\xff\0<\0a"), Charset::Utf16Big);
        assert_eq!(of_xml(b"\0<\0a"), Charset::Utf16Big);
        assert_eq!(of_xml(b""), Charset::Utf8);
    }

    #[test]
    fn utf_16_and_its_positions() {
        let text = "a€\u{1f600}b";
        for (charset, mark) in [
            (Charset::Utf16Little, true),
            (Charset::Utf16Little, false),
            (Charset::Utf16Big, true),
        ] {
            let mut body = Vec::new();
            for unit in mark
                .then_some(0xfeff)
                .into_iter()
                .chain(text.encode_utf16())
            {
                body.extend(match charset {
                    Charset::Utf16Big => unit.to_be_bytes(),
                    _ => unit.to_le_bytes(),
                });
            }
            let mut decoded = decode(&body, &[charset]).expect("UTF-16");
            assert_eq!(decoded.text, text);
            let shift = 2 * usize::from(mark);
            for (offset, expected) in [(0, 0), (8, 8), (1, 2), (4, 4), (text.len(), 10)] {
                assert_eq!(decoded.positions.in_body(text, offset), expected + shift);
            }
            body.push(b'x');
            assert_eq!(decode(&body, &[charset]).map(|_| ()), Err(10 + shift));
        }
        assert_eq!(
            decode(b"a\0\0\xd8b\0", &[Charset::Utf16Little]).map(|_| ()),
            Err(2)
        );
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
