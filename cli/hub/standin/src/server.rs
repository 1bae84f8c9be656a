//! HTTP/1.1 on loopback, one thread a port.

use std::net::TcpListener;
use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use crate::{Answer, Request, Shared};

/// What an address does with a request: an answer, or none and a closed connection.
pub(crate) type Handler = fn(&Shared, &Request) -> Option<Answer>;

/// A port that is taken.
pub(crate) struct Port(TcpListener);

impl Port {
    pub(crate) fn open() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        Ok(Self(listener))
    }

    pub(crate) fn url(&self) -> String {
        self.0.local_addr().map(|address| format!("http://{address}")).unwrap_or_default()
    }

    pub(crate) fn serve(self, shared: Arc<Shared>, handler: Handler) {
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(accept(self.0, shared, handler));
        });
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, handler: Handler) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(move |request| one(request, Arc::clone(&shared), handler));
            // A client that goes away, and an answer that is withheld, end a connection.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

type Response = hyper::Response<Full<Bytes>>;

async fn one(request: hyper::Request<Incoming>, shared: Arc<Shared>, handler: Handler) -> Result<Response, Withheld> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Withheld)?.to_bytes().to_vec();
    let header = |name| head.headers.get(name).and_then(|value: &hyper::header::HeaderValue| value.to_str().ok());
    let request = Request {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        token: header(AUTHORIZATION).map(|value| value.trim_start_matches("Bearer ").to_owned()),
        content_type: header(CONTENT_TYPE).unwrap_or_default().to_owned(),
        body,
    };
    let answer = handler(&shared, &request).ok_or(Withheld)?;
    let mut response = hyper::Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    response.body(Full::new(answer.body.into())).map_err(|_| Withheld)
}

/// No answer: the connection closes.
#[derive(Debug)]
struct Withheld;

impl std::fmt::Display for Withheld {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("withheld")
    }
}

impl std::error::Error for Withheld {}

/// Percent signs and two digits into bytes.
pub(crate) fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match byte.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
