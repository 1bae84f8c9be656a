//! HTTP for the one page there is, on threads of its own.
//!
//! Few requests, of few bytes, whose senders are not trusted: every connection has a deadline, only some are open at a
//! time, and what is too many is closed. Not for the open internet all the same: there is neither password nor TLS.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// For reading a request and writing its answer, together.
const DEADLINE: Duration = Duration::from_secs(5);
/// Connections that may be open.
const CONNECTIONS: usize = 16;
/// Bytes of a request's head.
const HEAD_BYTES: usize = 8192;
/// After a connection that could not be taken, as when the process has no file left for it.
const PAUSE: Duration = Duration::from_millis(100);

type Page = Arc<dyn Fn() -> String + Send + Sync>;

/// Serves until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
}

impl Server {
    /// Serves what `page` makes, as `/metrics`.
    ///
    /// # Errors
    /// The system's, if it gives no thread.
    pub fn start(listener: TcpListener, page: impl Fn() -> String + Send + Sync + 'static) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let ended = Arc::new(AtomicBool::new(false));
        let (page, is_ended): (Page, _) = (Arc::new(page), Arc::clone(&ended));
        thread::Builder::new().name("metrics".to_owned()).spawn(move || serve(&listener, &page, &is_ended))?;
        Ok(Self { address, ended })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        // The thread waits for a connection; if none comes, it ends with the process.
        let here = match self.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        let _ = TcpStream::connect_timeout(&SocketAddr::new(here, self.address.port()), PAUSE);
    }
}

fn serve(listener: &TcpListener, page: &Page, ended: &AtomicBool) {
    let open = Arc::new(());
    loop {
        let accepted = listener.accept();
        if ended.load(Ordering::Acquire) {
            return;
        }
        let Ok((connection, _)) = accepted else {
            thread::sleep(PAUSE);
            continue;
        };
        // One of the count is this thread's.
        if Arc::strong_count(&open) > CONNECTIONS {
            continue;
        }
        let (page, one) = (Arc::clone(page), Arc::clone(&open));
        // Without a thread the connection is closed.
        let _ = thread::Builder::new().name("metrics-client".to_owned()).spawn(move || {
            // Whoever went away wants no answer.
            let _ = answer(connection, &page);
            drop(one);
        });
    }
}

fn answer(mut connection: TcpStream, page: &Page) -> io::Result<()> {
    let until = Instant::now() + DEADLINE;
    let head = read_head(&mut connection, until)?;
    let (status, body) = reply(&head, page);
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    let length = body.len();
    let mut text = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n");
    text.push_str("Connection: close\r\n");
    if status == NOT_ALLOWED {
        text.push_str("Allow: GET, HEAD\r\n");
    }
    text.push_str("\r\n");
    if !head.starts_with(b"HEAD ") {
        text.push_str(&body);
    }
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        connection.set_write_timeout(Some(left(until)?))?;
        match connection.write(rest)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => rest = &rest[written..],
        }
    }
    connection.shutdown(Shutdown::Write)
}

/// What is left until a deadline.
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// A request up to its empty line, or to as many bytes as it may have.
fn read_head(connection: &mut TcpStream, until: Instant) -> io::Result<Vec<u8>> {
    let (mut head, mut part) = (Vec::new(), [0; 1024]);
    while head.len() < HEAD_BYTES && !head.windows(4).any(|end| end == b"\r\n\r\n") {
        connection.set_read_timeout(Some(left(until)?))?;
        match connection.read(&mut part)? {
            0 => break,
            read => head.extend_from_slice(&part[..read]),
        }
    }
    Ok(head)
}

const NOT_ALLOWED: &str = "405 Method Not Allowed";

/// Status and body.
fn reply(head: &[u8], page: &Page) -> (&'static str, String) {
    let first = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let words: Vec<&str> = std::str::from_utf8(first).unwrap_or_default().split(' ').collect();
    let [method, target, version] = words[..] else {
        return ("400 Bad Request", "expected a request of HTTP/1\n".to_owned());
    };
    let is_whole = head.windows(4).any(|end| end == b"\r\n\r\n");
    if !version.starts_with("HTTP/1.") || !is_whole {
        return ("400 Bad Request", "expected a request of HTTP/1, of 8192 bytes at most\n".to_owned());
    }
    if !matches!(method, "GET" | "HEAD") {
        return (NOT_ALLOWED, "expected GET or HEAD\n".to_owned());
    }
    match target.split('?').next() {
        Some("/metrics") => ("200 OK", page()),
        _ => ("404 Not Found", "the page is /metrics\n".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Server::start(listener, || "a 1\n".to_owned()).unwrap()
    }

    fn asked(address: SocketAddr, request: &str) -> String {
        let mut connection = TcpStream::connect(address).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        connection.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        connection.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn there_is_one_page_to_get() {
        let server = server();
        let ask = |request: &str| asked(server.address(), request);
        let page = ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.ends_with("\r\n\r\na 1\n"), "{page}");
        assert!(page.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: 4\r\n"));
        assert_eq!(ask("GET /metrics?name=a HTTP/1.0\r\n\r\n"), page);
        assert_eq!(ask("HEAD /metrics HTTP/1.1\r\n\r\n"), page.strip_suffix("a 1\n").unwrap());
        let status = |request: &str| ask(request)[9..12].to_owned();
        assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), "404");
        assert_eq!(status("POST /metrics HTTP/1.1\r\n\r\n"), "405");
        for nonsense in ["\r\n\r\n", "GET /metrics\r\n\r\n", "GET /metrics HTTP/2\r\n\r\n", "\u{e4} \u{1} x\r\n\r\n"] {
            assert_eq!(status(nonsense), "400", "{nonsense:?}");
        }
        let long = format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(HEAD_BYTES - 26));
        assert_eq!((long.len(), status(&long).as_str()), (HEAD_BYTES, "400"));
    }

    #[test]
    fn clients_that_never_write_or_read_keep_nobody_from_the_page() {
        let server = server();
        let silent: Vec<TcpStream> =
            (0..CONNECTIONS - 1).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
        let begun = Instant::now();
        assert!(asked(server.address(), "GET /metrics HTTP/1.1\r\n\r\n").ends_with("a 1\n"));
        assert!(begun.elapsed() < DEADLINE, "{:?}", begun.elapsed());
        // They are not waited for without end.
        for mut silent in silent {
            silent.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            assert!(matches!(silent.read(&mut [0]), Ok(0)), "closed without an answer");
        }
        assert!(asked(server.address(), "GET /metrics HTTP/1.1\r\n\r\n").ends_with("a 1\n"));
    }

    #[test]
    fn an_answer_that_nobody_reads_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
        let page: Page = Arc::new(|| "x".repeat(1 << 26));
        let begun = Instant::now();
        let error = answer(listener.accept().unwrap().0, &page).unwrap_err();
        assert!(matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock), "{error}");
        assert!(begun.elapsed() >= DEADLINE, "{:?}", begun.elapsed());
    }

    #[test]
    fn connections_above_the_bound_are_closed_unanswered() {
        let server = server();
        let held: Vec<TcpStream> = (0..CONNECTIONS).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
        let begun = Instant::now();
        let mut above = TcpStream::connect(server.address()).unwrap();
        above.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        assert!(matches!(above.read(&mut [0]), Ok(0)));
        assert!(begun.elapsed() < DEADLINE, "{:?}", begun.elapsed());
        drop(held);
    }

    #[test]
    fn the_address_is_free_again_when_the_server_is_gone() {
        let server = server();
        let address = server.address();
        assert!(TcpListener::bind(address).is_err());
        drop(server);
        let begun = Instant::now();
        while let Err(error) = TcpListener::bind(address) {
            assert!(begun.elapsed() < Duration::from_secs(30), "{error}");
            thread::yield_now();
        }
    }
}
