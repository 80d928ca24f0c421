//! Sockets: the machine's own, or a test's.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;

/// Pending connections the kernel keeps for a listener.
const BACKLOG: u32 = 4096;
/// Room for datagrams of all connections of a socket: at 1 Gbit/s some 30 ms of them, which is what
/// a busy thread may be late.
const UDP_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Where connections and datagrams come from. Production uses [`Machine`]; the simulated network
/// in `tests/it/world` implements it over memory, with delay, loss and partitions.
#[async_trait]
pub trait Network: Send + Sync + fmt::Debug + 'static {
    /// Listens for TCP. With `shared`, several listeners may share the address (SO_REUSEPORT).
    fn listen(&self, address: SocketAddr, shared: bool) -> io::Result<Listener>;
    /// Opens a TCP connection.
    async fn connect(&self, address: SocketAddr) -> io::Result<Stream>;
    /// Resolves `host:port`.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
    /// Binds a UDP socket for QUIC.
    fn udp(&self, address: SocketAddr) -> io::Result<Arc<dyn quinn::AsyncUdpSocket>>;
    /// The runtime quinn runs on: its timers, its tasks, its clock.
    fn quic_runtime(&self) -> Arc<dyn quinn::Runtime>;
}

/// The machine's own network.
#[derive(Debug, Default)]
pub struct Machine;

#[async_trait]
impl Network for Machine {
    fn listen(&self, address: SocketAddr, shared: bool) -> io::Result<Listener> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        if shared {
            socket.set_reuseport(true)?;
        }
        socket.bind(address)?;
        Ok(Listener::Tcp(socket.listen(BACKLOG)?))
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Stream> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Stream::Tcp(stream))
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }

    fn udp(&self, address: SocketAddr) -> io::Result<Arc<dyn quinn::AsyncUdpSocket>> {
        let socket = std::net::UdpSocket::bind(address)?;
        let buffers = SockRef::from(&socket);
        // The kernel grants what its own limit allows; a smaller buffer only costs speed.
        buffers.set_recv_buffer_size(UDP_BUFFER_BYTES).ok();
        buffers.set_send_buffer_size(UDP_BUFFER_BYTES).ok();
        self.quic_runtime().wrap_udp_socket(socket)
    }

    fn quic_runtime(&self) -> Arc<dyn quinn::Runtime> {
        Arc::new(quinn::TokioRuntime)
    }
}

/// A TCP listener, or a test's queue of connections.
#[derive(Debug)]
pub enum Listener {
    Tcp(TcpListener),
    Memory { address: SocketAddr, queue: mpsc::Receiver<(DuplexStream, SocketAddr)> },
}

impl Listener {
    /// Waits for a connection. Cancel-safe.
    pub async fn accept(&mut self) -> io::Result<(Stream, SocketAddr)> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Stream::Tcp(stream), peer))
            }
            Listener::Memory { queue, .. } => match queue.recv().await {
                Some((stream, peer)) => Ok((Stream::Memory(stream), peer)),
                None => std::future::pending().await,
            },
        }
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Listener::Tcp(listener) => listener.local_addr(),
            Listener::Memory { address, .. } => Ok(*address),
        }
    }
}

/// A TCP connection, or a test's pipe.
#[derive(Debug)]
pub enum Stream {
    Tcp(TcpStream),
    Memory(DuplexStream),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Memory(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Memory(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Stream::Memory(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Tcp(stream) => stream.is_write_vectored(),
            Stream::Memory(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Memory(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Memory(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
