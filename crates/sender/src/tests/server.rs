//! An HTTP/1.1 server that follows a script, one act a request.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What is done with a request, after it was read whole. At the end of the script: hang up.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Hangup,
    /// These bytes; the connection stays open unless they say otherwise.
    Answer(String),
    AnswerAndHangup(String),
    /// Accepts as many records as the body has braces that open.
    Count,
}

/// An answer that accepts.
pub(crate) fn ok(accepted: usize) -> String {
    let body = format!("{{\"accepted\":{accepted}}}");
    let length = body.len();
    format!(
        "HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

#[derive(Debug, Default)]
struct Seen {
    script: VecDeque<Act>,
    requests: Vec<String>,
    connections: usize,
}

#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

impl Server {
    pub(crate) async fn start(script: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Seen {
            script: script.into(),
            ..Seen::default()
        }));
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.lock().expect("no panic under it").connections += 1;
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { address, seen }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen
            .lock()
            .expect("no panic under it")
            .requests
            .clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().expect("no panic under it").connections
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Seen>>) {
    while let Some(request) = read(&mut stream).await {
        let braces = request.matches('{').count();
        let act = {
            let mut seen = seen.lock().expect("no panic under it");
            seen.requests.push(request);
            seen.script.pop_front().unwrap_or(Act::Hangup)
        };
        let (text, stays) = match act {
            Act::Hangup => return,
            Act::Answer(text) => {
                let stays = !text.contains("connection: close");
                (text, stays)
            }
            Act::AnswerAndHangup(text) => (text, false),
            Act::Count => (ok(braces), true),
        };
        if stream.write_all(text.as_bytes()).await.is_err() || !stays {
            return;
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some(end) = text.find("\r\n\r\n") {
            let length: usize = text
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().expect("a number"));
            if bytes.len() >= end + 4 + length {
                return Some(text.into_owned());
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
