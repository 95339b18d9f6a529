//! Patterns of names, as people write them in configurations: of files, sources, namespaces, accounts.

/// Whether the whole `text` fits `pattern`, in which `*` stands for any characters, none included, and `?` for one. All else stands for
/// itself, upper and lower case apart. Takes at most the product of both lengths.
///
/// ```
/// assert!(types::glob("camt.05?", "camt.053"));
/// assert!(!types::glob("camt.*", "pain.001"));
/// ```
pub fn glob(pattern: &str, text: &str) -> bool {
    // What stands for itself at the begin, mostly nearly all, is compared at once.
    let is_special = |byte| matches!(byte, b'*' | b'?');
    let plain = pattern.bytes().position(is_special);
    let (plain, pattern) = pattern.split_at(plain.unwrap_or(pattern.len()));
    let Some(text) = text.strip_prefix(plain) else {
        return false;
    };
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    // Behind the last `*`: what is left of the pattern, and of the text if the star takes one character more.
    let mut star: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        let before = text.clone();
        match (pattern.next(), text.next()) {
            (Some('*'), _) => {
                text = before;
                let mut longer = text.clone();
                star = longer.next().map(|_| (pattern.clone(), longer));
                if pattern.as_str().is_empty() {
                    return true;
                }
            }
            (Some('?'), Some(_)) => {}
            (Some(wanted), Some(found)) if wanted == found => {}
            (None, None) => return true,
            _ => {
                let Some((rest, longer)) = star.take() else {
                    return false;
                };
                (pattern, text) = (rest, longer.clone());
                let mut longer = longer;
                star = longer.next().map(|_| (pattern.clone(), longer));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_characters() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "", true),
            ("*", "äöü", true),
            ("a*", "a", true),
            ("a*c", "abcbc", true),
            ("a*c", "abcb", false),
            ("*ab*ab", "abab", true),
            ("*ab*ab", "ab", false),
            ("*aab", "aaab", true),
            ("?", "ü", true),
            ("?", "", false),
            ("a?*", "a", false),
            ("a?*", "ab", true),
            ("*?c", "abc", true),
            ("*b?", "abbc", true),
            ("[a]", "a", false),
            ("exact", "exactly", false),
            ("a*b", "a", false),
            ("urn:pain.001.001.*", "urn:pain.001.001.09", true),
            ("urn:pain.001.001.*", "urn:pain.002.001.09", false),
            (
                "http://six/*/pain.001.*.xsd",
                "http://six/de/pain.001.03.xsd",
                true,
            ),
            (
                "http://six/*/pain.001.*.xsd",
                "http://six/de/pain.001.03.xs",
                false,
            ),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }
}
