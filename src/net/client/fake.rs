//! A network for tests: every connection is a pipe to a backend written in the test.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::runtime::Handle;

use crate::net::socket::{Listener, Network, Stream};
use crate::net::tasks::Tasks;

/// Bytes a pipe holds, as many as a small socket buffer.
const PIPE_BYTES: usize = 16 * 1024;

type Served = Pin<Box<dyn Future<Output = ()> + Send>>;
type Serve = Box<dyn Fn(usize, Wire) -> Served + Send + Sync>;

/// Backends by what they do with a connection.
pub(crate) struct Fake {
    serve: Serve,
    connections: AtomicUsize,
    pub(crate) resolved: AtomicUsize,
    tasks: Tasks,
}

impl std::fmt::Debug for Fake {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Fake")
    }
}

impl Fake {
    /// `serve` gets the connection's number, from 1, and its other end.
    pub(crate) fn new<F, S>(serve: S) -> Arc<Self>
    where
        S: Fn(usize, Wire) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        Arc::new(Self {
            serve: Box::new(move |number, wire| Box::pin(serve(number, wire))),
            connections: AtomicUsize::new(0),
            resolved: AtomicUsize::new(0),
            tasks: Tasks::new(Handle::current()),
        })
    }

    /// Connections opened so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Network for Fake {
    fn listen(&self, _address: SocketAddr, _shared: bool) -> io::Result<Listener> {
        Err(io::ErrorKind::Unsupported.into())
    }
    async fn connect(&self, address: SocketAddr) -> io::Result<Stream> {
        if address.port() == 9999 {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let number = self.connections.fetch_add(1, Ordering::SeqCst) + 1;
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        self.tasks.spawn((self.serve)(number, Wire { stream: far, read: Vec::new() }));
        Ok(Stream::Memory(near))
    }
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.resolved.fetch_add(1, Ordering::SeqCst);
        if host == "nowhere.test" {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(vec![SocketAddr::from(([192, 0, 2, 1], port))])
    }
    fn udp(&self, _address: SocketAddr) -> io::Result<Arc<dyn quinn::AsyncUdpSocket>> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn quic_runtime(&self) -> Arc<dyn quinn::Runtime> {
        Arc::new(quinn::TokioRuntime)
    }
}

/// The backend's end of a connection.
pub(crate) struct Wire {
    pub(crate) stream: DuplexStream,
    read: Vec<u8>,
}

impl Wire {
    /// The next request as it stands on the wire; `None` when the client hung up.
    pub(crate) async fn request(&mut self) -> Option<String> {
        loop {
            if let Some(length) = self.complete() {
                let request: Vec<u8> = self.read.drain(..length).collect();
                return Some(String::from_utf8(request).expect("tests send text"));
            }
            if self.stream.read_buf(&mut self.read).await.ok()? == 0 {
                return None;
            }
        }
    }

    fn complete(&self) -> Option<usize> {
        let text = String::from_utf8_lossy(&self.read);
        let head = text.find("\r\n\r\n")? + 4;
        let lower = text.to_ascii_lowercase();
        let rest = lower.get(head..)?;
        if lower.get(..head)?.contains("transfer-encoding: chunked") {
            return rest.find("0\r\n\r\n").map(|end| head + end + 5);
        }
        let length = lower
            .get(..head)?
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        let whole = head + length.unwrap_or(0);
        (self.read.len() >= whole).then_some(whole)
    }

    pub(crate) async fn write(&mut self, text: &str) {
        // A client that hung up is part of some tests.
        drop(self.stream.write_all(text.as_bytes()).await);
    }

    /// Waits until the client hangs up.
    pub(crate) async fn closed(&mut self) {
        while let Ok(1..) = self.stream.read_buf(&mut self.read).await {}
    }
}

/// A log that a backend writes and a test reads.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}
