//! Where JSON records end, as far as a cut must know it: strings and brackets, no more.

/// What a line of NDJSON holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// Nothing.
    Blank,
    /// Exactly one record for the mapping, well-formed or not.
    One,
    /// Something else, of which the mapping makes at most so many records.
    Odd(u64),
}

/// What was found where a value should begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Object {
    /// An object that ends in front of this position.
    Complete(usize),
    /// An object that goes on behind the bytes.
    Incomplete,
    /// No object begins here.
    None,
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Bytes of white space at the front.
pub(crate) fn space(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|byte| !is_space(*byte))
        .unwrap_or(bytes.len())
}

/// Finds the end of the object that begins with the first byte.
pub(crate) fn object(bytes: &[u8]) -> Object {
    if bytes.first() != Some(&b'{') {
        return Object::None;
    }
    let mut depth = 0_u64;
    let mut in_string = false;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if in_string {
            match byte {
                b'"' => in_string = false,
                b'\\' => at += 1,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Object::Complete(at);
                }
            }
            _ => {}
        }
    }
    Object::Incomplete
}

/// Classifies a line.
pub(crate) fn line(line: &[u8]) -> Line {
    let text = &line[space(line)..];
    if text.is_empty() {
        return Line::Blank;
    }
    let rest = match object(text) {
        Object::Complete(end) => &text[end..],
        // The mapping refuses the line as one record, whatever is in it.
        Object::Incomplete => return Line::One,
        Object::None => text,
    };
    if space(rest) == rest.len() {
        return Line::One;
    }
    // Each record begins with a brace, and what is no JSON is one more that is refused.
    let braces = text.iter().filter(|byte| **byte == b'{').count() as u64;
    Line::Odd(braces + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_end_at_their_own_bracket() {
        assert_eq!(object(b"{} x"), Object::Complete(2));
        assert_eq!(object(br#"{"a":[{"b":"}\"]"}]}{"#), Object::Complete(20));
        assert_eq!(object(br#"{"a":"}"#), Object::Incomplete);
        assert_eq!(object(br#"{"a":"x\"#), Object::Incomplete);
        assert_eq!(object(b"[{}]"), Object::None);
        assert_eq!(object(b""), Object::None);
    }

    #[test]
    fn lines_are_one_record_nothing_or_odd() {
        assert_eq!(line(b" \t\r\n"), Line::Blank);
        assert_eq!(line(b" {\"a\":1} \r\n"), Line::One);
        assert_eq!(line(b"{\"a\":1\n"), Line::One);
        assert_eq!(line(b"{} {\"a\":{}}\n"), Line::Odd(4));
        assert_eq!(line(b"[{},{}]\n"), Line::Odd(3));
        assert_eq!(line(b"junk\n"), Line::Odd(1));
    }
}
