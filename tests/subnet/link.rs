//! The way between a party and a service, which a test cuts and opens again: the service runs on, and nobody reaches it.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch::{self, Receiver, Sender};
use tokio::task::JoinHandle;

use crate::net::runtime;

/// What becomes of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// They reach the service.
    Open,
    /// They are reset, those that there are and new ones.
    Reset,
    /// Nothing comes through any more; they are reset when that changes.
    Silent,
}

/// A port of loopback before another one. It closes when it is dropped.
pub struct Link {
    port: u16,
    way: Sender<Way>,
    task: JoinHandle<()>,
}

impl Link {
    pub fn before(service: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = runtime().block_on(listener).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let service = SocketAddr::from((Ipv4Addr::LOCALHOST, service));
        let (way, seen) = watch::channel(Way::Open);
        let task = runtime().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(carry(stream, service, seen.clone()));
            }
        });
        Self { port, way, task }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(mut party: TcpStream, service: SocketAddr, mut seen: Receiver<Way>) {
    if *seen.borrow_and_update() == Way::Open
        && let Ok(mut service) = TcpStream::connect(service).await
    {
        // Small answers must not wait for an acknowledgement.
        let _ = (party.set_nodelay(true), service.set_nodelay(true));
        tokio::select! {
            // However it ended: both sides are closed.
            _ = copy_bidirectional(&mut party, &mut service) => return,
            _ = seen.changed() => {}
        }
        let _ = service.set_zero_linger();
    }
    // Fails when the link is gone, and then nothing has to be kept silent.
    let _ = seen.wait_for(|way| *way != Way::Silent).await;
    let _ = party.set_zero_linger();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read, Write};
    use std::time::Duration;

    /// One byte to a service that says it back, and what comes.
    fn asked(stream: &mut std::net::TcpStream) -> Result<u8, ErrorKind> {
        let mut byte = [7];
        stream.write_all(&byte).map_err(|e| e.kind())?;
        stream.read_exact(&mut byte).map(|()| byte[0]).map_err(|e| e.kind())
    }

    #[test]
    fn a_link_carries_is_silent_resets_and_carries_again() {
        let service = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let link = Link::before(service.local_addr().expect("an address").port());
        std::thread::spawn(move || {
            for stream in service.incoming().map_while(Result::ok) {
                std::thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
            }
        });
        let connect = || {
            let stream = std::net::TcpStream::connect(("127.0.0.1", link.port())).expect("a link");
            stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
            stream
        };
        let mut old = connect();
        assert_eq!(asked(&mut old), Ok(7));
        link.set(Way::Silent);
        let mut new = connect();
        for stream in [&mut old, &mut new] {
            assert_eq!(asked(stream), Err(ErrorKind::WouldBlock));
        }
        link.set(Way::Open);
        for stream in [&mut old, &mut new] {
            assert_eq!(stream.read(&mut [0]).map_err(|e| e.kind()), Err(ErrorKind::ConnectionReset));
        }
        let mut old = connect();
        assert_eq!(asked(&mut old), Ok(7));
        link.set(Way::Reset);
        assert_eq!(old.read(&mut [0]).map_err(|e| e.kind()), Err(ErrorKind::ConnectionReset));
        assert!(asked(&mut connect()).is_err());
        link.set(Way::Open);
        assert_eq!(asked(&mut connect()), Ok(7));
    }
}
