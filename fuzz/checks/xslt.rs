//! What must hold of stylesheets and documents, whatever is in them.

use xslt::{Limits, Stylesheet};

/// A stylesheet, a byte 0, a document: refused or transformed, within the limits, and the same twice.
pub(crate) fn stylesheet(input: &[u8]) {
    let mut parts = input.splitn(2, |byte| *byte == 0);
    let (Some(sheet), Some(document)) = (parts.next(), parts.next()) else {
        return;
    };
    let Ok(sheet) = std::str::from_utf8(sheet) else {
        return;
    };
    let resolve = |_: &str| Err("there are no files".to_owned());
    let Ok(sheet) = Stylesheet::compile("fuzz.xsl", sheet, &resolve) else {
        return;
    };
    let limits = Limits {
        steps_max: 200_000,
        result_bytes_max: 1 << 20,
        text_bytes_max: 1 << 20,
        ..Limits::default()
    };
    let given = sheet.transform(document, &[], &limits);
    if let Ok(output) = &given {
        assert!(output.bytes.len() <= limits.result_bytes_max);
    }
    assert_eq!(given, sheet.transform(document, &[], &limits));
}
