//! Where rows end, and which of them count: the same rules as the mapping's decoder.

use mapping::Rows;

/// The byte behind the first row's line end; `None`: the row goes on behind `bytes`.
///
/// Quotes count only where the mapping has them: at the beginning of a cell, and not at all where
/// columns are separated by white space.
pub(crate) fn row_end(bytes: &[u8], delimiter: Option<u8>, is_last: bool) -> Option<usize> {
    let Some(delimiter) = delimiter else {
        return line_end(bytes, is_last);
    };
    let mut at = 0;
    let mut begins_cell = true;
    while let Some(&byte) = bytes.get(at) {
        if byte == b'"' && begins_cell {
            at = quoted_end(bytes, at + 1, is_last)?;
            begins_cell = false;
            continue;
        }
        at += 1;
        if byte == b'\n' {
            return Some(at);
        }
        begins_cell = byte == delimiter;
    }
    (is_last && !bytes.is_empty()).then_some(bytes.len())
}

/// The byte behind the closing quote of the cell that begins at `at`.
fn quoted_end(bytes: &[u8], mut at: usize, is_last: bool) -> Option<usize> {
    loop {
        let quote = bytes.get(at..)?.iter().position(|byte| *byte == b'"');
        at += quote? + 1;
        match bytes.get(at) {
            Some(b'"') => at += 1,
            // Whether the next byte is a quote too is not known yet.
            None if !is_last => return None,
            _ => return Some(at),
        }
    }
}

/// The byte behind the first line end.
pub(crate) fn line_end(bytes: &[u8], is_last: bool) -> Option<usize> {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) => Some(at + 1),
        None => (is_last && !bytes.is_empty()).then_some(bytes.len()),
    }
}

/// Whether a row has no cells and is no record.
pub(crate) fn is_blank(row: &[u8], delimiter: Option<u8>) -> bool {
    match delimiter {
        None => row.iter().all(u8::is_ascii_whitespace),
        Some(_) => matches!(row, b"\n" | b"\r\n" | b"\r" | b""),
    }
}

/// Whether a file's first row names its columns.
pub(crate) fn is_header(row: &[u8], rows: &Rows) -> bool {
    if let Some(known) = rows.header {
        return known;
    }
    let Ok(text) = std::str::from_utf8(row) else {
        return false;
    };
    let is_name = |cell: &str| rows.columns.iter().any(|name| name == cell);
    let Some(delimiter) = rows.delimiter else {
        return text.split_ascii_whitespace().all(is_name);
    };
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    let bare = |cell: &str| {
        let inner = cell
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        inner.map_or_else(|| cell.to_owned(), |inner| inner.replace("\"\"", "\""))
    };
    // A name that contains the delimiter does not survive this split; then the row is no header
    // here, and each request of the file is refused by the mapping instead of misread.
    line.split(char::from(delimiter))
        .all(|cell| is_name(&bare(cell)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str, delimiter: Option<u8>) -> Vec<String> {
        let mut rest = text.as_bytes();
        let mut rows = Vec::new();
        while let Some(end) = row_end(rest, delimiter, true) {
            let row = &rest[..end];
            if !is_blank(row, delimiter) {
                rows.push(String::from_utf8_lossy(row).into_owned());
            }
            rest = &rest[end..];
        }
        assert!(rest.is_empty() || text.contains('"'), "left over: {rest:?}");
        rows
    }

    #[test]
    fn rows_end_at_lines_outside_of_quotes() {
        assert_eq!(rows("a,b\nc,d", Some(b',')), ["a,b\n", "c,d"]);
        assert_eq!(
            rows("a,\"x\ny\"\"z\n\",b\r\nc\r\n\r\n\n", Some(b',')),
            ["a,\"x\ny\"\"z\n\",b\r\n", "c\r\n"]
        );
        assert_eq!(rows("a\"b\nc", Some(b',')), ["a\"b\n", "c"]);
        assert_eq!(rows(" \"a\nb\"\n", None), [" \"a\n", "b\"\n"]);
        assert_eq!(rows("  \t\n\n1 2\n", None), ["1 2\n"]);
        assert_eq!(rows("", Some(b',')), [""; 0]);
        assert_eq!(rows("a\n\"open", Some(b',')), ["a\n"]);
    }

    #[test]
    fn an_end_that_is_not_there_yet_is_waited_for() {
        let text = b"a,\"x\"\"\ny\",b\nnext";
        let end = row_end(text, Some(b','), true).expect("an end");
        for cut in 0..end {
            assert_eq!(
                row_end(&text[..cut], Some(b','), false),
                None,
                "cut at {cut}"
            );
        }
        assert_eq!(row_end(text, Some(b','), false), Some(end));
    }

    #[test]
    fn a_header_is_what_the_mapping_takes_for_one() {
        let rows = |header| Rows {
            delimiter: Some(b','),
            header,
            columns: vec!["id".to_owned(), "amount".to_owned()],
        };
        assert!(is_header(b"anything\n", &rows(Some(true))));
        assert!(!is_header(b"id,amount\n", &rows(Some(false))));
        assert!(is_header(b"id,amount\r\n", &rows(None)));
        assert!(is_header(b"\"amount\"\n", &rows(None)));
        assert!(!is_header(b"id,1.50\n", &rows(None)));
        let blanks = Rows {
            delimiter: None,
            ..rows(None)
        };
        assert!(is_header(b"  id \t amount\r\n", &blanks));
    }
}
