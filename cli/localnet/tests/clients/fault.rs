//! A proxy on loopback that does to each request what it is told: the n-th takes the n-th fault, all after the last
//! one pass unharmed, or meet the last one forever.
//!
//! One request per connection, which the answer says, so that faults and requests stay in step.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What happens to a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Nothing.
    Pass,
    /// The connection is reset once the request has been read.
    Reset,
    /// No answer ever comes.
    Silence,
    /// These bytes are the answer; the connection is closed after them.
    Answer(Vec<u8>),
    /// The request is passed on, and instead of the answer comes a reset.
    LoseAnswer,
    /// The answer's body ends after so many bytes, and so does the connection.
    Cut(usize),
    /// The answer's body comes one byte at a time, each after this pause.
    Drip(Duration),
    /// The answer states another length; `None`: none at all.
    Claim(Option<u64>),
    /// An answer in chunks that never end.
    Endless,
    /// The connection is reset in the middle of the request's body, after so many bytes of it.
    CutRequest(usize),
    /// The last byte of the request's body is another when it arrives.
    GarbleRequest,
    /// The last byte of the answer's body is another when it arrives.
    Garble,
    /// Nobody reads the request's body.
    Deaf,
}

impl Fault {
    /// An answer with a status and a body.
    pub fn status(status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        Self::Answer(format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}").into_bytes())
    }
}

struct Script {
    faults: VecDeque<Fault>,
    forever: bool,
    seen: Vec<String>,
}

/// The proxy; it ends when it is dropped.
pub struct FaultProxy {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    task: JoinHandle<()>,
}

impl FaultProxy {
    /// A proxy before `upstream`, an URL of loopback.
    pub async fn before(upstream: &str) -> Self {
        let upstream: SocketAddr = upstream.strip_prefix("http://").unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Mutex::new(Script { faults: VecDeque::new(), forever: false, seen: Vec::new() }));
        let shared = Arc::clone(&script);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let script = Arc::clone(&shared);
                tokio::spawn(async move {
                    // An end of either side is what this is for.
                    let _ = serve(stream, upstream, &script).await;
                });
            }
        });
        Self { address, script, task }
    }

    /// A relay or store that knows nothing but one answer.
    pub async fn always(fault: Fault) -> Self {
        let proxy = Self::before("http://127.0.0.1:1").await;
        proxy.forever(fault);
        proxy
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next requests meet these.
    pub fn then(&self, faults: impl IntoIterator<Item = Fault>) {
        let mut script = self.script.lock().unwrap();
        script.forever = false;
        script.faults = faults.into_iter().collect();
    }

    /// All further requests meet this.
    pub fn forever(&self, fault: Fault) {
        self.then([fault]);
        self.script.lock().unwrap().forever = true;
    }

    /// First lines of the requests since the last call.
    pub fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.script.lock().unwrap().seen)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut client: TcpStream, upstream: SocketAddr, script: &Mutex<Script>) -> std::io::Result<()> {
    let Some((head, begun)) = read_head(&mut client).await? else { return Ok(()) };
    let fault = {
        let mut script = script.lock().unwrap();
        script.seen.push(head.lines().next().unwrap_or("").to_owned());
        match script.forever {
            true => script.faults.front().cloned(),
            false => script.faults.pop_front(),
        }
    };
    let fault = fault.unwrap_or(Fault::Pass);
    let most = match fault {
        Fault::Deaf => return std::future::pending().await,
        Fault::CutRequest(bytes) => bytes,
        _ => usize::MAX,
    };
    let Some((head, mut body)) = read_body(&mut client, head, begun, most).await? else { return Ok(()) };
    match fault {
        Fault::CutRequest(_) => return reset(client),
        Fault::GarbleRequest => {
            garble(&mut body);
            let (head, body) = forward(upstream, &head, &body).await?;
            answer(&mut client, Fault::Pass, head, &body).await?;
        }
        Fault::Garble => {
            let (head, mut body) = forward(upstream, &head, &body).await?;
            garble(&mut body);
            answer(&mut client, Fault::Pass, head, &body).await?;
        }
        Fault::Reset => return reset(client),
        Fault::Silence => return std::future::pending().await,
        Fault::Answer(bytes) => client.write_all(&bytes).await?,
        Fault::Endless => {
            client.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            loop {
                client.write_all(b"8\r\nendless \r\n").await?;
            }
        }
        Fault::LoseAnswer => {
            forward(upstream, &head, &body).await?;
            return reset(client);
        }
        fault => {
            let (head, body) = forward(upstream, &head, &body).await?;
            answer(&mut client, fault, head, &body).await?;
        }
    }
    client.shutdown().await
}

async fn answer(client: &mut TcpStream, fault: Fault, mut head: String, body: &[u8]) -> std::io::Result<()> {
    if let Fault::Claim(length) = fault {
        let others = head.split("\r\n").filter(|line| !line.to_lowercase().starts_with("content-length:"));
        let mut lines: Vec<String> = others.map(str::to_owned).collect();
        lines.extend(length.map(|length| format!("content-length: {length}")));
        head = lines.join("\r\n");
    }
    client.write_all(format!("{head}\r\nconnection: close\r\n\r\n").as_bytes()).await?;
    match fault {
        Fault::Cut(bytes) => client.write_all(&body[..bytes.min(body.len())]).await,
        Fault::Drip(pause) => {
            for byte in body {
                tokio::time::sleep(pause).await;
                client.write_all(&[*byte]).await?;
            }
            Ok(())
        }
        _ => client.write_all(body).await,
    }
}

/// Lingering for no time makes the end a reset.
fn reset(client: TcpStream) -> std::io::Result<()> {
    client.set_zero_linger()
}

async fn forward(upstream: SocketAddr, head: &str, body: &[u8]) -> std::io::Result<(String, Vec<u8>)> {
    let mut server = TcpStream::connect(upstream).await?;
    server.write_all(format!("{head}\r\nconnection: close\r\n\r\n").as_bytes()).await?;
    server.write_all(body).await?;
    let mut bytes = Vec::new();
    server.read_to_end(&mut bytes).await?;
    let end = find_end(&bytes).unwrap_or(bytes.len());
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let lines = head.split("\r\n").filter(|line| !line.to_lowercase().starts_with("connection:"));
    Ok((lines.collect::<Vec<_>>().join("\r\n"), bytes[(end + 4).min(bytes.len())..].to_vec()))
}

fn garble(body: &mut [u8]) {
    if let Some(last) = body.last_mut() {
        *last ^= 1;
    }
}

/// A request's head without its empty line, and what came after it; `None` for a connection without one.
async fn read_head(client: &mut TcpStream) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = find_end(&bytes) {
            break end;
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    Ok(Some((String::from_utf8_lossy(&bytes[..end]).into_owned(), bytes[end + 4..].to_vec())))
}

/// The head as it is passed on, and the body, of which at most so many bytes are waited for.
async fn read_body(
    client: &mut TcpStream,
    head: String,
    mut body: Vec<u8>,
    most: usize,
) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
    };
    if header("expect").is_some() {
        client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    let length: usize = header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    while body.len() < length.min(most) {
        if client.read_buf(&mut body).await? == 0 {
            return Ok(None);
        }
    }
    let head: Vec<&str> = head.split("\r\n").filter(|line| !line.to_lowercase().starts_with("expect:")).collect();
    Ok(Some((head.join("\r\n"), body)))
}

fn find_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n")
}
