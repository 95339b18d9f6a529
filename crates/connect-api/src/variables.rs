//! Values of variables in configurations, as Kafka's `FileConfigProvider`, `DirectoryConfigProvider` and
//! `EnvVarConfigProvider` have them.
//!
//! Invariant: nothing is read that was not allowed by whoever runs the process; those who send
//! configurations are others.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use connector::ibm::{FILE_BYTES_MAX, Variable, properties};

/// What variables may stand for. By default nothing.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    /// Directories whose files, those below included, `${file:path:key}` and `${directory:path:file}`
    /// may name.
    pub directories: Vec<PathBuf>,
    /// Names that `${env:NAME}` may name.
    pub environment: BTreeSet<String>,
}

impl Variables {
    /// The value of a variable, or why there is none; the reason has no content of a file in it. Blocks
    /// for the disk. A file has at most 1 MiB.
    pub(crate) fn find(&self, variable: Variable<'_>) -> Result<String, String> {
        let Variable {
            provider,
            path,
            key,
        } = variable;
        match provider {
            "file" => {
                let text = self.read(Path::new(path))?;
                let found = properties(&text).map_err(|error| format!("{path}: {error}"))?;
                let value = found.get(key).cloned();
                value.ok_or_else(|| format!("there is no {key} in {path}"))
            }
            "directory" if key.contains('/') => Err(format!("{key:?} is no file's name")),
            "directory" => self.read(&Path::new(path).join(key)),
            "env" | "env-var" if !self.environment.contains(key) => Err(format!(
                "the environment's {key} may not be named by variables here"
            )),
            "env" | "env-var" => {
                std::env::var(key).map_err(|_| format!("there is no {key} in the environment"))
            }
            other => Err(format!(
                "there is no provider {other:?} of variables; there are file, directory and env"
            )),
        }
    }

    fn read(&self, path: &Path) -> Result<String, String> {
        let shown = path.display();
        let forbidden = || format!("{shown} is in no directory that variables may name here");
        // Links are followed first, so that none leads out. What is not there is as what is not allowed:
        // nobody can ask what files there are.
        let real = path.canonicalize().map_err(|_| forbidden())?;
        let allowed = |directory: &PathBuf| {
            let directory = directory.canonicalize();
            directory.is_ok_and(|directory| real.starts_with(directory))
        };
        if !path.is_absolute() || !self.directories.iter().any(allowed) || !real.is_file() {
            return Err(forbidden());
        }
        let failed = |error: std::io::Error| format!("{shown} cannot be read: {error}");
        let mut text = String::new();
        let file = File::open(&real).map_err(failed)?;
        // One more, to see that there is more.
        file.take(FILE_BYTES_MAX as u64 + 1)
            .read_to_string(&mut text)
            .map_err(failed)?;
        match text.len() > FILE_BYTES_MAX {
            true => Err(format!("{shown} has more than {FILE_BYTES_MAX} bytes")),
            false => Ok(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_allowed_is_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let open = directory.path().join("open");
        std::fs::create_dir(&open).expect("makes");
        std::fs::write(open.join("s.properties"), "password=geheim\n").expect("writes");
        std::fs::write(open.join("plain"), "wert").expect("writes");
        let closed = directory.path().join("closed.properties");
        std::fs::write(&closed, "password=x\n").expect("writes");
        std::os::unix::fs::symlink(&closed, open.join("link")).expect("links");
        let variables = Variables {
            directories: vec![open.clone()],
            environment: BTreeSet::from(["CARGO_PKG_NAME".to_owned(), "NOT_THERE".to_owned()]),
        };
        let find = |provider, path: &Path, key| {
            variables.find(Variable {
                provider,
                path: path.to_str().expect("UTF-8"),
                key,
            })
        };
        let none = Path::new("");
        let file = open.join("s.properties");
        assert_eq!(find("file", &file, "password").as_deref(), Ok("geheim"));
        assert_eq!(find("directory", &open, "plain").as_deref(), Ok("wert"));
        let forbidden = "is in no directory that variables may name here";
        for path in [
            closed,
            open.join("link"),
            open.join("../closed.properties"),
            open.join("not there"),
            open.clone(),
            PathBuf::from("s.properties"),
        ] {
            let error = find("file", &path, "password").expect_err("forbidden");
            assert!(error.ends_with(forbidden), "{error}");
        }
        assert!(find("directory", &open, "../closed.properties").is_err());
        assert!(
            find("file", &file, "other")
                .expect_err("no key")
                .contains("there is no other")
        );
        assert!(
            find("env", none, "PATH")
                .expect_err("not allowed")
                .contains("may not be named")
        );
        assert!(
            find("env", none, "NOT_THERE")
                .expect_err("none")
                .contains("there is no NOT_THERE")
        );
        assert!(
            find("vault", none, "x")
                .expect_err("none")
                .contains("no provider")
        );
        assert!(
            Variables::default()
                .find(Variable {
                    provider: "file",
                    path: file.to_str().expect("UTF-8"),
                    key: "password"
                })
                .is_err()
        );
        let big = open.join("big");
        std::fs::write(&big, "x".repeat(FILE_BYTES_MAX)).expect("writes");
        assert_eq!(
            find("directory", &open, "big").map(|text| text.len()),
            Ok(FILE_BYTES_MAX)
        );
        std::fs::write(&big, "x".repeat(FILE_BYTES_MAX + 1)).expect("writes");
        assert!(
            find("directory", &open, "big")
                .expect_err("too big")
                .contains("more than")
        );
    }
}
