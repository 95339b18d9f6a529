//! `daybook mapping`: for people who write mappings. Files are read here; what is done with them is the
//! crate `mapping`'s workbench.

mod test;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use mapping::{CompileOptions, Mapping, workbench};

use crate::WrongConfiguration;
use crate::cli::{Global, MappingArgs, MappingCommand, MappingExplainArgs, MappingInferArgs};

pub(crate) fn run(global: &Global, args: &MappingArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        MappingCommand::Test(args) => test::run(global, args),
        MappingCommand::Explain(args) => explain(global, args),
        MappingCommand::Infer(args) => infer(args),
    }
}

fn explain(global: &Global, args: &MappingExplainArgs) -> anyhow::Result<ExitCode> {
    let body = read(&args.file)?;
    let arrival = match &args.at {
        Some(text) => workbench::arrival(text).ok_or_else(|| {
            WrongConfiguration(format!(
                "--at {text:?} is no time such as 2026-11-23T12:00:00Z"
            ))
        })?,
        None => now(),
    };
    let mapping = find(global, &args.source)?;
    let text = workbench::explain(&mapping, &body, arrival);
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn infer(args: &MappingInferArgs) -> anyhow::Result<ExitCode> {
    let sample = read(&args.file)?;
    let source = match &args.source {
        Some(name) => name.clone(),
        None => source_name(&args.file),
    };
    let draft = workbench::infer(&source, &sample, pipeline::BUILT_IN, now())
        .map_err(|error| anyhow::anyhow!("{}: {error}", args.file.display()))?;
    std::io::stdout().lock().write_all(draft.text.as_bytes())?;
    eprintln!("{source}.toml: {}", draft.result);
    Ok(ExitCode::SUCCESS)
}

/// A mapping by its file, or the source of that name.
fn find(global: &Global, source: &str) -> anyhow::Result<Mapping> {
    let path = Path::new(source);
    if path.extension().is_some_and(|found| found == "toml") {
        return compile(path);
    }
    let config = global.read_config()?;
    let mappings = pipeline::load_sources(config.sources_dir.as_deref()).map_err(|mistakes| {
        let texts: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        WrongConfiguration(texts.join("\n\n"))
    })?;
    let names: Vec<&str> = mappings.iter().map(Mapping::source).collect();
    let unknown = format!(
        "there is no source {source:?}; give the mapping's file, or one of {}",
        names.join(", ")
    );
    let found = mappings
        .into_iter()
        .find(|mapping| mapping.source() == source);
    Ok(found.ok_or(WrongConfiguration(unknown))?)
}

/// A mapping file, with the keys and files beside it.
fn compile(path: &Path) -> anyhow::Result<Mapping> {
    let text = String::from_utf8(read(path)?)
        .with_context(|| format!("{} is not UTF-8", path.display()))?;
    let mut options = CompileOptions::default();
    let folder = path.parent().unwrap_or(Path::new(""));
    for file in with_extension(folder, "key")? {
        if let Some(name) = file.file_stem().and_then(|stem| stem.to_str()) {
            options = options.with_key(name, read(&file)?.trim_ascii());
        }
    }
    for file in files_of(folder, CompileOptions::is_file)? {
        if let Some(name) = file.file_name().and_then(|name| name.to_str()) {
            options = options.with_file(name, read(&file)?);
        }
    }
    let mapping = Mapping::compile_with(&path.to_string_lossy(), &text, &options);
    mapping.map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        WrongConfiguration(errors.join("\n")).into()
    })
}

/// Files of a folder whose names end so, in order.
fn with_extension(folder: &Path, extension: &str) -> anyhow::Result<Vec<std::path::PathBuf>> {
    files_of(folder, |name| {
        Path::new(name)
            .extension()
            .is_some_and(|found| found == extension)
    })
}

/// Files of a folder whose names are meant, in order.
fn files_of(
    folder: &Path,
    is_meant: impl Fn(&str) -> bool,
) -> anyhow::Result<Vec<std::path::PathBuf>> {
    let here = Path::new(".");
    let folder = if folder.as_os_str().is_empty() {
        here
    } else {
        folder
    };
    let mut files = Vec::new();
    for entry in
        std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(&is_meant) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The file's name as a source is named.
fn source_name(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let plain = |character: char| match character.to_ascii_lowercase() {
        plain @ ('a'..='z' | '0'..='9' | '.' | '_' | '-') => plain,
        _ => '-',
    };
    let name: String = stem.chars().map(plain).take(64).collect();
    if name.is_empty() {
        "source".to_owned()
    } else {
        name
    }
}

/// Microseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_mapping_names_is_read_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("written");
        };
        let json = include_str!("../../../../../config/sources/json.toml");
        for (name, content, table) in [
            (
                "s.json",
                r#"{"type":"object"}"#,
                "[validate]\njson_schema = \"s.json\"\n",
            ),
            (
                "s.js",
                "function transaction(record) { return record; }",
                "[script]\nfile = \"s.js\"\n",
            ),
            (
                "s.xsl",
                r#"<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:output method="text"/></xsl:stylesheet>"#,
                "[transform]\nxslt = \"s.xsl\"\n",
            ),
        ] {
            write(name, content);
            write("json.toml", &format!("{json}\n{table}"));
            compile(&folder.path().join("json.toml")).expect(name);
        }
    }
}
