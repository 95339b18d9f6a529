//! The sources: ready-made ones are part of the program, further ones come from a directory.

use std::path::Path;

use mapping::{CompileOptions, Mapping, MappingError};

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        &[$((concat!($name, ".toml"), include_str!(concat!("../../../config/sources/", $name, ".toml")))),*]
    };
}

/// File names and texts of the ready-made sources.
pub const BUILT_IN: &[(&str, &str)] = built_in![
    "json", "cdnow", "card-csv", "pain.001", "pain.008", "camt.052", "camt.053", "camt.054",
    "pacs.003", "pacs.008", "pacs.009", "mt101", "mt103", "mt202", "mt940", "mt942", "nacha",
    "ofx", "copybook", "iso8583", "protobuf", "avro",
];

/// Files that the ready-made sources name: descriptors and schemas.
const BUILT_IN_FILES: &[(&str, &[u8])] = &[
    (
        "protobuf.binpb",
        include_bytes!("../../../config/sources/protobuf.binpb"),
    ),
    (
        "avro.avsc",
        include_bytes!("../../../config/sources/avro.avsc"),
    ),
];

/// Something is wrong with a source's file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// The directory or a file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        path: String,
        source: std::io::Error,
    },
    /// A mistake in a mapping; it names file, line and path itself.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// Two files configure one source.
    #[error("{file}: the source {name:?} is configured by another file of the directory too")]
    Twice { file: String, name: String },
}

/// Compiles all sources; every mistake of every file, or all mappings, by name of the source.
///
/// # Errors
///
/// The mistakes, each with file and line.
pub fn load(dir: Option<&Path>) -> Result<Vec<Mapping>, Vec<crate::Mistake>> {
    let mut mistakes = Vec::new();
    let mut mappings: Vec<Mapping> = Vec::new();
    let mut options = CompileOptions::default();
    for (name, content) in BUILT_IN_FILES {
        options = options.with_file(*name, *content);
    }
    for (file, text) in BUILT_IN {
        compile(
            &format!("built-in/{file}"),
            text,
            &options,
            &mut mappings,
            &mut mistakes,
        );
    }
    if let Some(dir) = dir {
        let mut own = Vec::new();
        match read_dir(dir) {
            Ok((files, options)) => {
                for (file, text) in files {
                    compile(&file, &text, &options, &mut own, &mut mistakes);
                }
            }
            Err(error) => mistakes.push(error.into()),
        }
        mappings.retain(|known| own.iter().all(|mapping| mapping.source() != known.source()));
        for mapping in own {
            if mappings
                .iter()
                .any(|known| known.source() == mapping.source())
            {
                let name = mapping.source().to_owned();
                let file = dir.display().to_string();
                mistakes.push(SourceError::Twice { file, name }.into());
            }
            mappings.push(mapping);
        }
    }
    mappings.sort_by(|a, b| a.source().cmp(b.source()));
    if mistakes.is_empty() {
        Ok(mappings)
    } else {
        Err(mistakes)
    }
}

fn compile(
    file: &str,
    text: &str,
    options: &CompileOptions,
    mappings: &mut Vec<Mapping>,
    mistakes: &mut Vec<crate::Mistake>,
) {
    match Mapping::compile_with(file, text, options) {
        Ok(mapping) => mappings.push(mapping),
        Err(errors) => mistakes.extend(
            errors
                .into_iter()
                .map(|error| SourceError::from(error).into()),
        ),
    }
}

/// Whether a file of the directory is one that sources are made of.
pub(crate) fn is_read(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| {
        name.ends_with(".toml") || name.ends_with(".key") || CompileOptions::is_file(name)
    })
}

/// The mappings of a directory, and the keys and files that they may name: `pan.key` is the key "pan".
fn read_dir(dir: &Path) -> Result<(Vec<(String, String)>, CompileOptions), SourceError> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |source| SourceError::Read { path, source }
    };
    let mut files = Vec::new();
    let mut options = CompileOptions::default();
    for entry in std::fs::read_dir(dir).map_err(failed(dir))? {
        let path = entry.map_err(failed(dir))?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        match (extension, path.file_stem().and_then(|stem| stem.to_str())) {
            (Some("toml"), _) => {
                let text = std::fs::read_to_string(&path).map_err(failed(&path))?;
                files.push((path.display().to_string(), text));
            }
            (Some("key"), Some(name)) => {
                let key = std::fs::read(&path).map_err(failed(&path))?;
                options = options.with_key(name, key.trim_ascii());
            }
            _ => {
                let name = path.file_name().and_then(|name| name.to_str());
                if let Some(name) = name.filter(|name| CompileOptions::is_file(name)) {
                    let content = std::fs::read(&path).map_err(failed(&path))?;
                    options = options.with_file(name, content);
                }
            }
        }
    }
    files.sort();
    Ok((files, options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ready_made_source_compiles() {
        let mappings = load(None).expect("no mistakes");
        let names: Vec<&str> = mappings.iter().map(Mapping::source).collect();
        assert_eq!(
            names,
            [
                "avro", "camt.052", "camt.053", "camt.054", "card-csv", "cdnow", "copybook",
                "iso8583", "json", "mt101", "mt103", "mt202", "mt940", "mt942", "nacha", "ofx",
                "pacs.003", "pacs.008", "pacs.009", "pain.001", "pain.008", "protobuf"
            ]
        );
    }
}
