//! BER-TLV (ISO/IEC 8825-1, EMV book 3, annex B): the value of one tag.

/// Most bytes of a tag: EMV has up to three.
const TAG_BYTES_MAX: usize = 4;

/// The value of a primitive tag at the top level; `None` if it is not there.
///
/// The error says at which byte the elements are broken.
pub(crate) fn find(bytes: &[u8], wanted: u32) -> Result<Option<&[u8]>, String> {
    let mut at = 0;
    let mut found = None;
    while at < bytes.len() {
        // Padding between elements.
        if bytes[at] == 0 || bytes[at] == 0xff {
            at += 1;
            continue;
        }
        let begin = at;
        let broken = || format!("is no TLV at its byte {begin}");
        let tag = tag(bytes, &mut at).ok_or_else(broken)?;
        let length = length(bytes, &mut at).ok_or_else(broken)?;
        let end = at.checked_add(length).filter(|end| *end <= bytes.len());
        let value = &bytes[at..end.ok_or_else(broken)?];
        if tag == wanted && found.replace(value).is_some() {
            return Err(format!("has the tag {wanted:X} twice"));
        }
        at += length;
    }
    Ok(found)
}

fn tag(bytes: &[u8], at: &mut usize) -> Option<u32> {
    let first = *bytes.get(*at)?;
    *at += 1;
    let mut tag = u32::from(first);
    if first & 0x1f != 0x1f {
        return Some(tag);
    }
    for _ in 1..TAG_BYTES_MAX {
        let next = *bytes.get(*at)?;
        *at += 1;
        tag = tag << 8 | u32::from(next);
        if next & 0x80 == 0 {
            return Some(tag);
        }
    }
    None
}

fn length(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let first = *bytes.get(*at)?;
    *at += 1;
    if first < 0x80 {
        return Some(usize::from(first));
    }
    let count = usize::from(first & 0x7f);
    if !(1..=3).contains(&count) {
        return None;
    }
    let raw = bytes.get(*at..*at + count)?;
    *at += count;
    Some(
        raw.iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
    )
}

/// The number of a tag written in hexadecimal, if it is one.
pub(crate) fn tag_of(text: &str) -> Option<u32> {
    let digits = text.len();
    let plain = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !plain || digits == 0 || digits > 2 * TAG_BYTES_MAX || !digits.is_multiple_of(2) {
        return None;
    }
    let number = u32::from_str_radix(text, 16).ok()?;
    let bytes = number.to_be_bytes();
    let mut at = 0;
    let tag = tag(&bytes[bytes.len() - digits / 2..], &mut at)?;
    (tag == number && at == digits / 2).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found() {
        let bytes = [
            0x00, 0x9f, 0x26, 0x02, 0xab, 0xcd, 0x5a, 0x81, 0x01, 0x41, 0xdf, 0x81, 0x01, 0x00,
            0x9f, 0x27, 0x00,
        ];
        assert_eq!(find(&bytes, 0x9f26), Ok(Some(&[0xab, 0xcd][..])));
        assert_eq!(find(&bytes, 0x5a), Ok(Some(&[0x41][..])));
        assert_eq!(find(&bytes, 0xdf8101), Ok(Some(&[][..])));
        assert_eq!(find(&bytes, 0x95), Ok(None));
        assert_eq!(
            find(&[0x9f, 0x26, 0x02, 1], 0x95),
            Err("is no TLV at its byte 0".to_owned())
        );
        assert_eq!(
            find(&[0x95, 0x84, 0, 0, 0, 0], 0x95),
            Err("is no TLV at its byte 0".to_owned())
        );
        assert_eq!(
            find(&[0x95, 0, 0x95, 0], 0x95),
            Err("has the tag 95 twice".to_owned())
        );
        for end in 0..bytes.len() {
            let _ = find(&bytes[..end], 0x9f27);
        }
    }

    #[test]
    fn tags_are_hexadecimal() {
        for (text, expected) in [
            ("9F26", Some(0x9f26)),
            ("5a", Some(0x5a)),
            ("DF8101", Some(0xdf_8101)),
            ("9F", None),
            ("5A5A", None),
            ("9F2", None),
            ("", None),
            ("+1", None),
        ] {
            assert_eq!(tag_of(text), expected, "{text}");
        }
    }
}
