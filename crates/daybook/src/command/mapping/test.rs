//! `daybook mapping test`: examples beside mappings.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use mapping::workbench;

use super::{compile, read, with_extension};
use crate::WrongConfiguration;
use crate::cli::{Global, MappingTestArgs};

/// Where the ready-made mappings stand in the repository.
const DEFAULT_DIR: &str = "config/sources";

pub(super) fn run(global: &Global, args: &MappingTestArgs) -> anyhow::Result<ExitCode> {
    let files = if args.files.is_empty() {
        let config = global.read_config()?;
        let folder = config.sources_dir.unwrap_or(PathBuf::from(DEFAULT_DIR));
        with_extension(&folder, "toml")?
    } else {
        args.files.clone()
    };
    let mut out = std::io::stdout().lock();
    let (mut right, mut wrong) = (0, 0);
    for file in &files {
        let mapping = compile(file)?;
        let folder = file.with_extension("examples");
        if !folder.is_dir() {
            writeln!(
                out,
                "{}: no examples in {}",
                file.display(),
                folder.display()
            )?;
            continue;
        }
        let arrival = arrival(&folder)?;
        for input in with_extension(&folder, "in")? {
            let actual = workbench::example(&mapping, &read(&input)?, arrival);
            let expected_file = input.with_extension("out.ndjson");
            let name = expected_file.display().to_string();
            let expected = match std::fs::read_to_string(&expected_file) {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
                Err(error) => return Err(error).context(format!("cannot read {name}")),
            };
            let difference = workbench::unified(&name, &expected, "what it gives", &actual);
            if difference.is_empty() && expected_file.exists() {
                right += 1;
                continue;
            }
            write!(out, "{difference}")?;
            if args.update {
                std::fs::write(&expected_file, actual)
                    .with_context(|| format!("cannot write {name}"))?;
                writeln!(out, "{name}: written")?;
            } else {
                wrong += 1;
            }
        }
    }
    writeln!(out, "{right} examples as expected, {wrong} not")?;
    Ok(if wrong == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// When the examples of a folder arrive.
fn arrival(folder: &Path) -> anyhow::Result<i64> {
    let file = folder.join("arrival.txt");
    if !file.exists() {
        return Ok(workbench::ARRIVAL);
    }
    let text = String::from_utf8_lossy(&read(&file)?).into_owned();
    let arrival = workbench::arrival(&text).ok_or_else(|| {
        let message = format!(
            "{}: {:?} is no time such as 2026-11-23T12:00:00Z",
            file.display(),
            text.trim()
        );
        WrongConfiguration(message)
    })?;
    Ok(arrival)
}
