//! A stand-in for the hub on loopback, for tests: it answers with the statuses, redirects and
//! headers of the real one, and can be told to misbehave.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// What goes wrong.
#[derive(Debug, Clone, Default)]
pub(super) struct Trouble {
    /// Every API request gets this status.
    pub(super) status: Option<u16>,
    /// Files need a token.
    pub(super) gated: bool,
    /// The first transfer of the weights breaks off after so many bytes.
    pub(super) cut_once_at: Option<usize>,
    /// Requests for a part of a file get all of it (but for the first byte, the client's probe).
    pub(super) ignore_ranges: bool,
    pub(super) etag: Option<String>,
    pub(super) commit: Option<String>,
    pub(super) info: Option<String>,
    /// The size in the probe's answer.
    pub(super) claim_bytes: Option<u64>,
}

/// A running stand-in; its thread ends with the process.
#[derive(Debug)]
pub(super) struct Hub {
    endpoint: String,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    source: PathBuf,
    sha: String,
    trouble: Trouble,
    requests: Mutex<Vec<String>>,
    cut: Mutex<HashSet<String>>,
}

struct Request {
    path: String,
    range: Option<String>,
    authorized: bool,
}

impl Hub {
    /// Serves the files of a folder as `org/tiny`.
    pub(super) fn start(source: &Path, sha: &str, trouble: Trouble) -> Hub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            source: source.to_owned(),
            sha: sha.to_owned(),
            trouble,
            requests: Mutex::default(),
            cut: Mutex::default(),
        });
        let served = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that went away is not the stand-in's trouble.
                let _ = served.answer(stream);
            }
        });
        Hub { endpoint, state }
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Path and range of each request so far.
    pub(super) fn requests(&self) -> Vec<String> {
        self.state.requests.lock().unwrap().clone()
    }

    /// The etag of a file.
    pub(super) fn etag(file: &str) -> String {
        file.bytes().map(|b| format!("{b:02x}")).collect()
    }
}

impl State {
    fn answer(&self, stream: TcpStream) -> std::io::Result<()> {
        let request = read_request(&stream)?;
        let shown = format!("{} {}", request.path, request.range.as_deref().unwrap_or(""));
        self.requests.lock().unwrap().push(shown);
        let path = request.path.clone();
        if path.starts_with("/api/models/org/tiny/revision/") {
            return self.info(stream);
        }
        let resolve = format!("/org/tiny/resolve/{}/", self.sha);
        if let Some(file) = path.strip_prefix(&resolve) {
            if self.trouble.gated && !request.authorized {
                return reply(stream, 403, "", b"");
            }
            // Large files are elsewhere; small ones behind a redirect on the same host.
            return if file.ends_with(".safetensors") {
                let host = stream.local_addr()?;
                let size = fs::metadata(self.source.join(file))?.len();
                let headers = format!(
                    "Location: http://{host}/cdn/{file}?signature=x\r\nX-Linked-Size: {size}\r\n\
                     X-Linked-Etag: \"{}\"\r\nX-Repo-Commit: {}\r\n",
                    self.etag(file),
                    self.commit()
                );
                reply(stream, 302, &headers, b"")
            } else {
                let headers = format!("Location: /api/resolve-cache/{file}\r\n");
                reply(stream, 307, &headers, b"")
            };
        }
        for prefix in ["/cdn/", "/api/resolve-cache/"] {
            if let Some(file) = path.strip_prefix(prefix) {
                let file = file.split('?').next().unwrap_or_default();
                return self.file(stream, file, &request);
            }
        }
        reply(stream, 404, "", b"")
    }

    fn info(&self, stream: TcpStream) -> std::io::Result<()> {
        if let Some(status) = self.trouble.status {
            return reply(stream, status, "", b"");
        }
        let mut names: Vec<String> = Vec::new();
        for entry in fs::read_dir(&self.source)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            names.push(format!("{{\"rfilename\":\"{name}\"}}"));
        }
        let info = format!("{{\"sha\":\"{}\",\"siblings\":[{}]}}", self.sha, names.join(","));
        let info = self.trouble.info.clone().unwrap_or(info);
        reply(stream, 200, "Content-Type: application/json\r\n", info.as_bytes())
    }

    fn file(&self, mut stream: TcpStream, file: &str, request: &Request) -> std::io::Result<()> {
        let Ok(bytes) = fs::read(self.source.join(file)) else {
            return reply(stream, 404, "", b"");
        };
        let range = request.range.as_deref().unwrap_or("0-");
        let (start, end) = range.split_once('-').unwrap_or(("0", ""));
        let mut start: usize = start.parse().unwrap_or(0);
        let mut end = end.parse::<usize>().map_or(bytes.len(), |end| end + 1);
        if self.trouble.ignore_ranges && end == bytes.len() {
            (start, end) = (0, bytes.len());
        }
        if start >= end {
            return reply(stream, 416, "", b"");
        }
        let size = self.trouble.claim_bytes.unwrap_or(bytes.len() as u64);
        let headers = format!(
            "Content-Range: bytes {start}-{}/{size}\r\nETag: \"{}\"\r\nX-Repo-Commit: {}\r\n",
            end - 1,
            self.etag(file),
            self.commit()
        );
        let part = &bytes[start..end];
        let cut = self.trouble.cut_once_at.filter(|&at| at < part.len());
        if let Some(at) = cut
            && self.cut.lock().unwrap().insert(file.to_owned())
        {
            let head =
                format!("HTTP/1.1 206 Partial\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", part.len());
            stream.write_all(head.as_bytes())?;
            return stream.write_all(&part[..at]);
        }
        reply(stream, 206, &headers, part)
    }

    fn etag(&self, file: &str) -> String {
        self.trouble.etag.clone().unwrap_or_else(|| Hub::etag(file))
    }

    fn commit(&self) -> &str {
        self.trouble.commit.as_deref().unwrap_or(&self.sha)
    }
}

fn read_request(stream: &TcpStream) -> std::io::Result<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let mut request =
        Request { path: first.split(' ').nth(1).unwrap_or_default().to_owned(), range: None, authorized: false };
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "range" => request.range = value.strip_prefix("bytes=").map(str::to_owned),
            "authorization" => request.authorized = value == "Bearer secret",
            _ => {}
        }
    }
    Ok(request)
}

fn reply(mut stream: TcpStream, status: u16, headers: &str, body: &[u8]) -> std::io::Result<()> {
    let head =
        format!("HTTP/1.1 {status} Status\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}
