//! `daybook send`: files through the gateway.
//!
//! A file is read twice: once for its hash, which is the `Idempotency-Key` of all its requests, once
//! to be cut and sent. So the same file sent again gives the same identities, and counts nothing twice.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::cut::{Cut, CutError, Cutter};
use crate::deliver::{Job, SendError, Setup, Tally, deliver};
use crate::post::{Parcel, is_source};
use crate::progress::{Length, Progress};
use crate::report::{Problem, Reporter, SendReport};
use crate::target::Target;

/// Most records of one request: one unit of work of the queue.
pub const BATCH_RECORDS_MAX: usize = 10_000;
/// Most connections of one sender.
pub(crate) const CONNECTIONS_MAX: usize = 1_024;

/// What is sent, and how.
#[derive(Debug, Clone)]
pub struct SendOptions {
    /// Address of the gateway, such as `http://127.0.0.1:8081`.
    pub gateway: String,
    /// Configured source that the files belong to.
    pub source: String,
    /// Files, in this order. A directory stands for the files in it, sorted by name, without hidden ones and
    /// directories; `-` for standard input, which is read to its end before anything is sent.
    pub files: Vec<PathBuf>,
    /// Most records of one request, 1 to [`BATCH_RECORDS_MAX`]. Identities do not depend on it.
    pub batch_records: usize,
    /// Requests at a time.
    pub connections: usize,
    /// Accept the good records of a request although others are refused.
    pub lenient: bool,
    /// How long one request is repeated before giving up.
    pub retry_for: Duration,
    /// Most records a second.
    pub rate_limit: Option<u64>,
    /// Show a bar on standard error if that is a terminal.
    pub progress: bool,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self {
            gateway: "http://127.0.0.1:8081".to_owned(),
            source: "json".to_owned(),
            files: Vec::new(),
            batch_records: 5_000,
            connections: 2,
            lenient: false,
            retry_for: Duration::MAX,
            rate_limit: None,
            progress: true,
        }
    }
}

/// Sends all files. Returns when everything is answered, when `shutdown` fires, or at the first error.
///
/// Refused requests are no error: they are in the report, and sending goes on behind them. Memory is
/// bounded by `connections` requests of at most 4 MiB (64 MiB for documents that cannot be cut).
///
/// Cancel safety: send the same files again; what was accepted is counted once.
///
/// # Errors
///
/// [`SendError`]: settings, files, an unknown source, or no answer for `retry_for`.
pub async fn send(
    options: &SendOptions,
    cut: &Cut,
    reporter: Arc<dyn Reporter>,
    shutdown: CancellationToken,
) -> Result<SendReport, SendError> {
    if !is_source(&options.source) {
        return Err(SendError::SourceName(options.source.clone()));
    }
    check_range("batch_records", options.batch_records, BATCH_RECORDS_MAX)?;
    check_range("connections", options.connections, CONNECTIONS_MAX)?;
    let setup = Setup {
        target: Target::parse(&options.gateway)?,
        connections: options.connections,
        retry_for: options.retry_for,
        records_per_second: options.rate_limit,
        shutdown: shutdown.clone(),
    };
    let inputs = inputs(&options.files)?;
    let length = match inputs.iter().map(|input| input.bytes).sum::<Option<u64>>() {
        Some(bytes) => Length::Bytes(bytes),
        None => Length::Unknown,
    };
    let progress = Progress::new(options.progress, length, reporter);
    let tally = Arc::new(Tally::new(progress));
    let (sender, jobs) = mpsc::channel(options.connections);
    let reader = FileReader {
        source: options.source.clone(),
        cut: cut.clone(),
        batch_records: batch_for_rate(options.batch_records, options.rate_limit),
        lenient: options.lenient,
        jobs: sender,
        tally: Arc::clone(&tally),
    };
    // A thread and not the runtime's pool: reading a terminal must not keep the process from ending.
    let thread = std::thread::Builder::new().name("reader".to_owned());
    let read = thread
        .spawn(move || reader.read_all(&inputs))
        .map_err(|source| SendError::File {
            path: "the files: no thread to read them".to_owned(),
            source,
        })?;
    let result = deliver(&setup, jobs, &tally).await;
    tally.progress.finish();
    result?;
    let mut report = tally.report();
    report.interrupted = shutdown.is_cancelled();
    if !report.interrupted
        && let Err(panic) = read.join()
    {
        std::panic::resume_unwind(panic);
    }
    Ok(report)
}

/// Small enough requests that a low rate does not come in bursts: about ten a second.
pub(crate) fn batch_for_rate(batch_records: usize, rate: Option<u64>) -> usize {
    let Some(rate) = rate else {
        return batch_records;
    };
    let tenth = usize::try_from(rate / 10).unwrap_or(usize::MAX);
    batch_records.min(tenth.max(1))
}

pub(crate) fn check_range(name: &'static str, value: usize, max: usize) -> Result<(), SendError> {
    if (1..=max).contains(&value) {
        return Ok(());
    }
    Err(SendError::Option {
        name,
        value: value.to_string(),
        rule: match name {
            "batch_records" => "between 1 and 10000, one unit of work of the queue",
            _ => "between 1 and 1024",
        },
    })
}

/// A file to send.
#[derive(Debug)]
struct Input {
    path: PathBuf,
    /// `None`: standard input, whose length is not known.
    bytes: Option<u64>,
}

/// Finds the files before anything is sent, so that a wrong name is an error at once.
fn inputs(paths: &[PathBuf]) -> Result<Vec<Input>, SendError> {
    let mut inputs = Vec::new();
    for path in paths {
        if path == Path::new("-") {
            inputs.push(Input {
                path: path.clone(),
                bytes: None,
            });
            continue;
        }
        let failed = |source| SendError::File {
            path: path.display().to_string(),
            source,
        };
        let meta = std::fs::metadata(path).map_err(failed)?;
        if !meta.is_dir() {
            inputs.push(Input {
                path: path.clone(),
                bytes: meta.is_file().then_some(meta.len()),
            });
            continue;
        }
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let meta = std::fs::metadata(entry.path()).map_err(failed)?;
            if meta.is_file() && !entry.file_name().to_string_lossy().starts_with('.') {
                entries.push(Input {
                    path: entry.path(),
                    bytes: Some(meta.len()),
                });
            }
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        inputs.extend(entries);
    }
    Ok(inputs)
}

/// Hash of all that is left in `input`.
fn hash(input: &mut impl Read) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finalize()),
            Ok(count) => {
                hasher.update(&buffer[..count]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads files and makes requests of them, no faster than they are taken.
struct FileReader {
    source: String,
    cut: Cut,
    batch_records: usize,
    lenient: bool,
    jobs: mpsc::Sender<Job>,
    tally: Arc<Tally>,
}

/// Whoever takes the requests has gone.
struct Gone;

impl FileReader {
    fn read_all(self, inputs: &[Input]) {
        for input in inputs {
            let name: Arc<str> = match input.path.to_str() {
                Some("-") => "standard input".into(),
                _ => input.path.display().to_string().into(),
            };
            match self.read(&input.path, &name) {
                Ok(Ok(())) => self.tally.file_done(),
                Ok(Err(Gone)) => return,
                Err(error) => {
                    let detail = match std::error::Error::source(&error) {
                        Some(source) => format!("{error}: {source}"),
                        None => error.to_string(),
                    };
                    self.tally.refused_unsent(Problem {
                        file: name.to_string(),
                        detail,
                        ..Problem::default()
                    });
                }
            }
        }
    }

    fn read(&self, path: &Path, name: &Arc<str>) -> Result<Result<(), Gone>, CutError> {
        let mut file = if path == Path::new("-") {
            spool(&mut io::stdin().lock())?
        } else {
            let meta = std::fs::metadata(path)?;
            // A pipe or device cannot be read twice.
            match meta.is_file() {
                true => File::open(path)?,
                false => spool(&mut File::open(path)?)?,
            }
        };
        let hash = hash(&mut file)?;
        file.seek(SeekFrom::Start(0))?;
        let key = hash.to_hex().to_string();
        let mut cutter = Cutter::new(BufReader::new(file), self.cut.clone(), self.batch_records);
        let mut sent_bytes = 0;
        while let Some(piece) = cutter.next_piece()? {
            let job = Job {
                parcel: Parcel {
                    source: self.source.clone(),
                    content_type: piece.content_type,
                    key: Some(key.clone()),
                    first_record: Some(piece.first_record),
                    lenient: self.lenient,
                    body: piece.body,
                },
                file: Arc::clone(name),
                records: piece.records,
                weight: piece.file_bytes - sent_bytes,
            };
            sent_bytes = piece.file_bytes;
            if self.jobs.blocking_send(job).is_err() {
                return Ok(Err(Gone));
            }
        }
        if cutter.hash() != hash {
            self.tally.problem(Problem {
                file: name.to_string(),
                detail: "the file changed while it was sent; sent again, its records get other ids"
                    .to_owned(),
                ..Problem::default()
            });
        }
        Ok(Ok(()))
    }
}

/// Keeps what can be read only once in a file that has no name.
fn spool(input: &mut impl Read) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(input, &mut file)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}
