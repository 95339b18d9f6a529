//! Starts the built program on a directory and ports of its own, and asks it things.
#![allow(dead_code, missing_docs, unreachable_pub)]

pub mod kafka;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use types::names::port;

/// How long a state may take to come; far above what it takes.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The ports of every place of this test program, also while nothing listens on them: a test starts its
/// pipeline again on the same ports.
static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// Ports are moved by this at least; the range is below the one outgoing connections come from.
const OFFSETS: std::ops::Range<u16> = 2_000..20_000;

/// The ports a pipeline listens on, moved.
pub fn ports(offset: u16) -> [u16; 17] {
    [
        port::POSTGRES,
        port::GATEWAY,
        port::MQ,
        port::WEB,
        port::KAFKA,
        port::ADMIN,
        // For parts in processes of their own, which answer there too.
        port::ADMIN + 1,
        port::ADMIN + 2,
        port::ADMIN + 3,
        port::ADMIN + 4,
        port::ADMIN + 5,
        port::CONNECT,
        port::CONNECT + 1,
        port::CONNECT + 2,
        port::CONNECT + 3,
        port::CONNECT + 4,
        port::CONNECT + 5,
    ]
    .map(|port| port + offset)
}

/// How far to move the ports so that no other place has them and they are free.
pub fn free_offset() -> u16 {
    let mut taken = TAKEN.lock().expect("no test panics in here");
    for offset in OFFSETS {
        let ports = ports(offset);
        let free = |port: &u16| {
            !taken.contains(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
        };
        if ports.iter().all(free) {
            taken.extend(ports);
            return offset;
        }
    }
    panic!("no free ports");
}

/// A place for one pipeline: directory, ports, configuration.
#[derive(Debug)]
pub struct Place {
    pub dir: PathBuf,
    pub offset: u16,
    pub config: Option<PathBuf>,
    _temp: tempfile::TempDir,
}

#[derive(Debug)]
pub struct Daybook {
    child: Child,
}

impl Place {
    pub fn new() -> Self {
        let temp = tempfile::tempdir().expect("a directory");
        Self {
            dir: temp.path().join("data"),
            offset: free_offset(),
            config: None,
            _temp: temp,
        }
    }

    pub fn with_config(mut self, file: &str) -> Self {
        self.config = Some(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../../config")
                .join(file),
        );
        self
    }

    /// The default configuration, but with so many partitions.
    pub fn with_partitions(self, partitions: u64) -> Self {
        self.with_change("partitions = 1 ", &format!("partitions = {partitions} "))
    }

    /// The default configuration, but with another text at the beginning of a line.
    pub fn with_change(mut self, from: &str, to: &str) -> Self {
        let default = include_str!("../../../../config/daybook.toml");
        let line = format!("\n{from}");
        assert!(default.contains(&line), "the default is another one");
        let changed = default.replace(&line, &format!("\n{to}"));
        let file = self._temp.path().join("daybook-changed.toml");
        std::fs::write(&file, changed).expect("writes");
        self.config = Some(file);
        self
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_daybook"));
        command.arg("--data-dir").arg(&self.dir);
        command.arg("--port-offset").arg(self.offset.to_string());
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        // A daybook.toml of the working directory must not matter.
        command.current_dir(self.dir.parent().expect("a parent"));
        command
    }

    /// The default configuration for one part of a pipeline whose parts are processes: `number` tells
    /// their admin ports apart.
    pub fn part(&self, number: u16) -> Self {
        let default = include_str!("../../../../config/daybook.toml");
        let moved = |text: &str, port: u16| {
            let line = format!("address = \"127.0.0.1:{port}\"");
            assert!(text.contains(&line), "the default is another one");
            text.replace(&line, &format!("address = \"127.0.0.1:{}\"", port + number))
        };
        let config = moved(&moved(default, port::ADMIN), port::CONNECT);
        let temp = tempfile::tempdir().expect("a directory");
        let file = temp.path().join("daybook.toml");
        std::fs::write(&file, config).expect("writes");
        Self {
            dir: temp.path().join("data"),
            offset: self.offset,
            config: Some(file),
            _temp: temp,
        }
    }

    /// Starts everything and waits until it says that it is ready.
    pub fn up(&self) -> Daybook {
        self.start(&["up"])
    }

    /// Starts it and waits until it says that it is ready.
    pub fn start(&self, arguments: &[&str]) -> Daybook {
        let mut child = self
            .command()
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut seen = String::new();
        loop {
            let line = lines
                .next()
                .unwrap_or_else(|| panic!("it ended before it was ready:\n{seen}"));
            let line = line.expect("text");
            seen.push_str(&line);
            seen.push('\n');
            if line.starts_with("Daybook is ready") {
                break;
            }
        }
        // Goes on reading, so that the program can always write.
        std::thread::spawn(move || lines.for_each(drop));
        Daybook { child }
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().expect("runs")
    }

    /// Runs a subcommand that must succeed; its standard output.
    pub fn stdout(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(
            output.status.success(),
            "{arguments:?} failed\n{out}\n{err}"
        );
        out
    }

    pub fn port(&self, port: u16) -> u16 {
        port + self.offset
    }

    /// One POST to the gateway: the status and the answer's head and body, or `None` when it could not
    /// be reached or hung up.
    pub fn post(&self, source: &str, headers: &str, body: &[u8]) -> Option<(u16, String)> {
        let head = format!(
            "POST /v1/transactions/{source} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        self.http(8081, head.as_bytes(), body)
    }

    pub fn get(&self, port: u16, path: &str) -> Option<(u16, String)> {
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        self.http(port, head.as_bytes(), b"")
    }

    fn http(&self, port: u16, head: &[u8], body: &[u8]) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port(port))).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(head).ok()?;
        // A refusal may come before the whole body was sent.
        let sent = stream.write_all(body);
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        if answer.is_empty() && (sent.is_err() || read.is_err()) {
            return None;
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        Some((status, answer))
    }

    /// Waits until `daybook query` answers so.
    #[track_caller]
    pub fn wait_for_query(&self, sql: &str, expected: &str) {
        let began = Instant::now();
        loop {
            let output = self.run(&["query", "--format", "csv", sql]);
            let found = text(&output.stdout);
            let rows = found.lines().skip(1).collect::<Vec<_>>().join("\n");
            if rows == expected {
                return;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{sql}\nexpected {expected}\nfound {rows}\n{}",
                text(&output.stderr)
            );
        }
    }
}

impl Daybook {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().expect("kills");
        self.child.wait().expect("ends");
    }

    /// As Ctrl-C; its exit code.
    pub fn stop(mut self) -> Option<i32> {
        let sent = Command::new("kill")
            .args(["-INT", &self.child.id().to_string()])
            .status();
        assert!(sent.expect("runs kill").success());
        self.child.wait().expect("ends").code()
    }
}

impl Drop for Daybook {
    fn drop(&mut self) {
        // Nothing of a failed test must go on holding its ports.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A file of the mapping crate's test data: real samples with their licences.
pub fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../mapping/tests/data")
        .join(name)
}

/// xorshift64*: the same on every machine.
#[derive(Debug)]
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}
