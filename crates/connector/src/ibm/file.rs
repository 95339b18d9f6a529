//! Reads a connector's configuration as Kafka Connect's tools take it: a `.properties` file, or JSON.
//!
//! Invariant: what is read is a map of text to text, as Connect's REST API has it; nothing is
//! interpreted here.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

/// Keys and values, both text.
pub type ConfigMap = BTreeMap<String, String>;

/// Most bytes of a file.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// A connector's file.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigFile {
    /// From `name` beside or in the configuration.
    pub name: Option<String>,
    /// The configuration, without what the file's form adds.
    pub config: ConfigMap,
}

/// Without values: some of them are passwords.
impl fmt::Debug for ConfigFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigFile")
            .field("name", &self.name)
            .field("keys", &self.config.keys().collect::<Vec<_>>())
            .finish()
    }
}

/// The file is no configuration. Retrying does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// Too long.
    #[error("the configuration has {bytes} bytes; at most {FILE_BYTES_MAX} are read")]
    Bytes {
        /// Its bytes.
        bytes: usize,
    },
    /// `\u` is not followed by four hexadecimal digits.
    #[error("line {line}: \\u must be followed by four hexadecimal digits")]
    Escape {
        /// Counted from 1.
        line: usize,
    },
    /// Not JSON.
    #[error("the configuration is no JSON")]
    Json(#[source] serde_json::Error),
    /// JSON of another form.
    #[error(
        "the configuration must be {{\"name\": …, \"config\": {{…}}}} or one object of keys and values"
    )]
    Form,
    /// A value that is an object or an array.
    #[error("the value of {key} must be text, a number or a boolean")]
    Value {
        /// Its key.
        key: String,
    },
}

impl ConfigFile {
    /// Reads JSON if the first character that is not blank is `{`, else properties.
    ///
    /// # Errors
    ///
    /// [`FileError`] names the line or the key.
    pub fn read(text: &str) -> Result<Self, FileError> {
        if text.len() > FILE_BYTES_MAX {
            return Err(FileError::Bytes { bytes: text.len() });
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        match text.trim_start().starts_with('{') {
            true => from_json(text),
            false => {
                let config = properties(text)?;
                Ok(Self {
                    name: config.get("name").cloned(),
                    config,
                })
            }
        }
    }
}

fn from_json(text: &str) -> Result<ConfigFile, FileError> {
    let mut members: Map<String, Value> = serde_json::from_str(text).map_err(FileError::Json)?;
    // What else GET /connectors/{name} answers (`tasks`, `type`) and POST /connectors takes
    // (`initial_state`) is no configuration.
    let (name, config) = match members.remove("config") {
        Some(Value::Object(config)) => (members.remove("name"), config),
        Some(_) => return Err(FileError::Form),
        None => (None, members),
    };
    let name = match name {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => Some(name),
        Some(_) => return Err(FileError::Form),
    };
    let config: ConfigMap = config
        .into_iter()
        .map(|(key, value)| match scalar(value) {
            Some(text) => Ok((key, text)),
            None => Err(FileError::Value { key }),
        })
        .collect::<Result<_, _>>()?;
    Ok(ConfigFile {
        name: name.or_else(|| config.get("name").cloned()),
        config,
    })
}

fn scalar(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

/// Java's properties syntax (`java.util.Properties.load`): comments, continued lines, escapes. A key
/// that is there twice has its last value.
///
/// # Errors
///
/// [`FileError::Escape`] names the line.
pub fn properties(text: &str) -> Result<ConfigMap, FileError> {
    let mut found = ConfigMap::new();
    // Java knows \n, \r and \r\n.
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines = (1..).zip(text.split('\n'));
    while let Some((number, line)) = lines.next() {
        let line = line.trim_start_matches(BLANKS);
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = line.to_owned();
        while continues(&logical) {
            logical.pop();
            match lines.next() {
                Some((_, next)) => logical.push_str(next.trim_start_matches(BLANKS)),
                None => break,
            }
        }
        let (key, value) = split(&logical);
        let escape = || FileError::Escape { line: number };
        let key = unescaped(key).ok_or_else(escape)?;
        found.insert(key, unescaped(value).ok_or_else(escape)?);
    }
    Ok(found)
}

const BLANKS: [char; 3] = [' ', '\t', '\u{c}'];

/// Whether an odd number of backslashes ends it.
fn continues(line: &str) -> bool {
    let bare = line.trim_end_matches('\\');
    (line.len() - bare.len()) % 2 == 1
}

/// At the first `=`, `:` or blank that is not escaped.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    for (at, char) in line.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '=' | ':' | ' ' | '\t' | '\u{c}' => {
                let (key, rest) = line.split_at(at);
                let rest = rest.trim_start_matches(BLANKS);
                let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
                return (key, rest.trim_start_matches(BLANKS));
            }
            _ => {}
        }
    }
    (line, "")
}

/// `None` for `\u` without its digits. Two surrogates become one character.
fn unescaped(text: &str) -> Option<String> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        let mut push = |char: char| units.extend_from_slice(char.encode_utf16(&mut [0; 2]));
        if char != '\\' {
            push(char);
            continue;
        }
        match chars.next() {
            None => {}
            Some('t') => push('\t'),
            Some('n') => push('\n'),
            Some('r') => push('\r'),
            Some('f') => push('\u{c}'),
            Some('u') => {
                let digits = chars.as_str().get(..4)?;
                let valid = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                units.push(u16::from_str_radix(digits, 16).ok().filter(|_| valid)?);
                chars = chars.as_str().get(4..)?.chars();
            }
            Some(other) => push(other),
        }
    }
    Some(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match ConfigFile::read(text) {
            Ok(file) => {
                let pairs = file.config.iter();
                let pairs = pairs.map(|(key, value)| format!("{key:?}={value:?}"));
                let pairs: Vec<_> = pairs.collect();
                format!("{:?} {}", file.name, pairs.join(" "))
            }
            Err(error) => format!("refused: {error}"),
        }
    }

    #[test]
    fn properties_are_read_as_java_does() {
        // Expectations from java.util.Properties (JDK 17).
        for (text, expected) in [
            (
                "name=a\n# x=1\n! y=2\n\nb = 1 \n",
                r#"Some("a") "b"="1 " "name"="a""#,
            ),
            (
                "a:1\nb 2\nc\t=\t3\nd",
                r#"None "a"="1" "b"="2" "c"="3" "d"="""#,
            ),
            ("a=1,\\\n   2,\\\n   3\nb=4", r#"None "a"="1,2,3" "b"="4""#),
            ("a=x\\\\\nb=4", r#"None "a"="x\\" "b"="4""#),
            ("a\\=b=c=d\na\\ b=1", r#"None "a b"="1" "a=b"="c=d""#),
            ("a=\\u00e4\\ud83d\\ude00\\t\\n\\q", r#"None "a"="ä😀\t\nq""#),
            ("a=1\r\nb=2\rc=3", r#"None "a"="1" "b"="2" "c"="3""#),
            ("a=1\na=2", r#"None "a"="2""#),
            ("a=1\\\n#x\nb=2", r##"None "a"="1#x" "b"="2""##),
            ("a=1\\\n\nb=2", r#"None "a"="1" "b"="2""#),
            ("a=\\", r#"None "a"="""#),
            ("  # no comment? it is one", "None "),
            ("a==b", r#"None "a"="=b""#),
            (
                "mq.connection.name.list=mq1(1414),mq2(1414)",
                r#"None "mq.connection.name.list"="mq1(1414),mq2(1414)""#,
            ),
            (
                "a=1\nb=\\u00g0",
                "refused: line 2: \\u must be followed by four hexadecimal digits",
            ),
            (
                "b=\\u00",
                "refused: line 1: \\u must be followed by four hexadecimal digits",
            ),
        ] {
            assert_eq!(shown(text), expected, "{text:?}");
        }
    }

    #[test]
    fn json_is_read_in_both_forms() {
        for (text, expected) in [
            (
                r#" {"name":"n","config":{"tasks.max":1,"a":true,"b":"x"}}"#,
                r#"Some("n") "a"="true" "b"="x" "tasks.max"="1""#,
            ),
            (
                r#"{"name":"n","tasks.max":"1"}"#,
                r#"Some("n") "name"="n" "tasks.max"="1""#,
            ),
            (
                r#"{"name":"n","config":{"a":"1"},"tasks":[],"type":"source"}"#,
                r#"Some("n") "a"="1""#,
            ),
            (r#"{"config":{"name":"in"}}"#, r#"Some("in") "name"="in""#),
            (
                r#"{"a":null}"#,
                "refused: the value of a must be text, a number or a boolean",
            ),
            (
                r#"{"config":{"a":[1]}}"#,
                "refused: the value of a must be text, a number or a boolean",
            ),
            (
                r#"{"name":"n","config":1}"#,
                "refused: the configuration must be {\"name\": …, \"config\": {…}} or one object of keys and values",
            ),
            (r#"{"a":"#, "refused: the configuration is no JSON"),
            (r#"{"a":1} x"#, "refused: the configuration is no JSON"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn a_file_beyond_the_limit_is_refused() {
        let fits = format!("a={}", "x".repeat(FILE_BYTES_MAX - 2));
        assert!(ConfigFile::read(&fits).is_ok());
        assert_eq!(
            shown(&format!("{fits}x")),
            "refused: the configuration has 1048577 bytes; at most 1048576 are read"
        );
    }
}
