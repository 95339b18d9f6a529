//! Differential tests: what libxslt writes, byte for byte. The cases and what fills them are in `tests/data`.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;
use std::fmt::Write;

use xslt::{Limits, Stylesheet};

const HEAD: &str = concat!(
    r#"<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform""#,
    r#" xmlns:exsl="http://exslt.org/common" xmlns:str="http://exslt.org/strings" xmlns:set="http://exslt.org/sets""#,
    r#" xmlns:p="urn:p" exclude-result-prefixes="exsl str set p">"#
);

fn quoted(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

fn of_expressions(lines: &str) -> String {
    let mut body = String::new();
    for line in lines.lines().filter(|line| !line.is_empty()) {
        let line = quoted(line);
        write!(
            body,
            r#"<xsl:text>{line} => </xsl:text><xsl:value-of select="{line}"/><xsl:text>&#10;</xsl:text>"#
        )
        .unwrap();
    }
    format!(
        r#"{HEAD}<xsl:output method="text"/><xsl:template match="/">{body}</xsl:template></xsl:stylesheet>"#
    )
}

/// Sections of a case: title and text.
fn sections(case: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = case;
    while let Some(start) = rest.find("--- ") {
        let (title, behind) = rest[start + 4..].split_once('\n').unwrap();
        let end = if behind.starts_with("--- ") {
            0
        } else {
            behind.find("\n--- ").map_or(behind.len(), |at| at + 1)
        };
        found.push((title, behind[..end].strip_suffix('\n').unwrap_or("")));
        rest = &behind[end..];
    }
    found
}

fn outcome(main: &str, files: &HashMap<&str, &str>, xml: &str) -> String {
    let resolve = |name: &str| {
        files
            .get(name)
            .map(|text| (*text).to_owned())
            .ok_or_else(|| format!("there is no {name}"))
    };
    let compiled = match Stylesheet::compile("main.xsl", main, &resolve) {
        Ok(compiled) => compiled,
        Err(error) => return format!("does not compile: {error}"),
    };
    match compiled.transform(xml.as_bytes(), &[], &Limits::default()) {
        Ok(output) => String::from_utf8(output.bytes).unwrap(),
        Err(error) => format!("refused: {error}"),
    }
}

#[test]
fn writes_what_libxslt_writes() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    let (mut count, mut wrong) = (0, String::new());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let mut xml = String::new();
        for case in format!("\n{}", text.strip_suffix('\n').unwrap_or(&text))
            .split("\n##### ")
            .skip(1)
        {
            let (name, rest) = case.split_once('\n').unwrap();
            let rest = format!("{rest}\n");
            let mut main = String::new();
            let mut files = HashMap::new();
            let mut wanted = "";
            for (title, text) in sections(&rest) {
                match title {
                    "xml" => xml = text.to_owned(),
                    "xpath" => {
                        main = of_expressions(text);
                        // Each expression is a check of its own.
                        count += text.lines().count();
                    }
                    "top" => main = format!("{HEAD}{text}</xsl:stylesheet>"),
                    "xsl" => main = text.to_owned(),
                    "out" => wanted = text,
                    title if title.starts_with("ours") => wanted = text,
                    title => {
                        files.insert(title.strip_prefix("file ").unwrap(), text);
                    }
                }
            }
            count += 1;
            let given = outcome(&main, &files, &xml);
            if given != wanted {
                let file = file.file_name().unwrap().to_string_lossy().into_owned();
                writeln!(wrong, "\n## {file}: {name}").unwrap();
                for (wanted, given) in wanted
                    .lines()
                    .zip(given.lines())
                    .filter(|(wanted, given)| wanted != given)
                {
                    writeln!(wrong, "  wanted {wanted:?}\n  given  {given:?}").unwrap();
                }
                if wanted.lines().count() != given.lines().count()
                    || wanted.lines().eq(given.lines())
                {
                    writeln!(wrong, "  wanted {wanted:?}\n  given  {given:?}").unwrap();
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count >= 450, "{count} cases");
}
