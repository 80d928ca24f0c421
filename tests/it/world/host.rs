//! One host's view of the world: what a node gets as its `Network`.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use tidegate::net::socket::{Listener, Network, Stream};
use tokio_util::sync::CancellationToken;

use super::tcp::Door;
use super::udp::{self, Socket};
use super::{HostId, Inner};

/// First of the ports given out for "any port" (RFC 6335 section 6).
const EPHEMERAL_FIRST: u16 = 49152;

/// A host between its start and its crash. After the crash every call fails.
#[derive(Debug)]
pub(crate) struct Host {
    pub(super) world: Arc<Inner>,
    pub(super) id: HostId,
    pub(super) ip: IpAddr,
    life: CancellationToken,
}

/// What the world knows of a host.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) ip: IpAddr,
    pub(super) life: CancellationToken,
    /// Listeners by port.
    pub(super) doors: BTreeMap<u16, Vec<Door>>,
    /// UDP sockets by port.
    pub(super) sockets: BTreeMap<u16, Weak<Socket>>,
    /// Once the NAT was rebound: the port the world sees for each port of the host.
    nat: Option<BTreeMap<u16, u16>>,
    next_port: u16,
}

impl Host {
    pub(super) fn new(world: Arc<Inner>, id: HostId, ip: IpAddr, life: CancellationToken) -> Self {
        Self { world, id, ip, life }
    }

    pub(crate) fn ip(&self) -> IpAddr {
        self.ip
    }

    /// This host's address with a port.
    pub(crate) fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip, port)
    }

    /// Cancelled when the host crashes; whoever runs a node on it stops the node's tasks then.
    pub(crate) fn crashed(&self) -> &CancellationToken {
        &self.life
    }

    fn alive(&self) -> io::Result<()> {
        if self.life.is_cancelled() { Err(dead()) } else { Ok(()) }
    }

    /// The address a peer sees, or an error when the address is not this host's.
    fn checked(&self, address: SocketAddr) -> io::Result<()> {
        let ip = address.ip();
        if ip.is_unspecified() || ip.is_loopback() || ip == self.ip {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::AddrNotAvailable, format!("{ip} is another host's")))
    }

    /// The address this host has when it talks to `peer`.
    pub(super) fn source_for(&self, peer: IpAddr) -> IpAddr {
        if peer.is_loopback() { peer } else { self.ip }
    }
}

/// What a crashed host's sockets answer.
pub(super) fn dead() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the host has crashed")
}

#[async_trait]
impl Network for Host {
    fn listen(&self, address: SocketAddr, shared: bool) -> io::Result<Listener> {
        self.alive()?;
        self.checked(address)?;
        let mut state = self.world.lock();
        state.hosts[self.id.0].open_door(address, shared)
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Stream> {
        self.alive()?;
        tokio::select! {
            biased;
            () = self.life.cancelled() => Err(dead()),
            stream = super::tcp::connect(self, address) => stream.map(Stream::Memory),
        }
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.alive()?;
        let with_port = |ip: IpAddr| SocketAddr::new(ip, port);
        if let Ok(ip) = host.parse() {
            return Ok(vec![with_port(ip)]);
        }
        let state = self.world.lock();
        if let Some(ips) = state.names.get(host) {
            return Ok(ips.iter().copied().map(with_port).collect());
        }
        if let Some(entry) = state.hosts.iter().find(|entry| entry.name == host) {
            return Ok(vec![with_port(entry.ip)]);
        }
        // RFC 6761 section 6.3: localhost and all below it are the host itself.
        if host == "localhost" || host.ends_with(".localhost") {
            return Ok(vec![with_port(Ipv4Addr::LOCALHOST.into())]);
        }
        Err(io::Error::new(io::ErrorKind::NotFound, format!("no address for {host}")))
    }

    fn udp(&self, address: SocketAddr) -> io::Result<Arc<dyn quinn::AsyncUdpSocket>> {
        self.alive()?;
        self.checked(address)?;
        let mut state = self.world.lock();
        let entry = &mut state.hosts[self.id.0];
        let port = match address.port() {
            0 => entry.free_port(),
            port if entry.udp_taken(port) => return Err(taken(address)),
            port => port,
        };
        let bound = SocketAddr::new(address.ip(), port);
        let life = self.life.clone();
        let socket = Arc::new(Socket::new(Arc::clone(&self.world), self.id, self.ip, bound, life));
        entry.sockets.insert(port, Arc::downgrade(&socket));
        Ok(Arc::new(udp::Handle(socket)))
    }

    fn quic_runtime(&self) -> Arc<dyn quinn::Runtime> {
        Arc::new(QuicRuntime { life: self.life.clone() })
    }
}

impl Entry {
    pub(super) fn new(name: &str, ip: IpAddr, life: CancellationToken) -> Self {
        Self {
            name: name.to_owned(),
            ip,
            life,
            doors: BTreeMap::new(),
            sockets: BTreeMap::new(),
            nat: None,
            next_port: EPHEMERAL_FIRST,
        }
    }

    pub(super) fn close_all(&mut self) {
        self.doors.clear();
        self.sockets.clear();
        self.nat = None;
    }

    /// A port nothing uses, TCP or UDP.
    pub(super) fn free_port(&mut self) -> u16 {
        loop {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(EPHEMERAL_FIRST);
            let listening = self.doors.get(&port).is_some_and(|doors| !doors.is_empty());
            if !listening && !self.udp_taken(port) {
                return port;
            }
        }
    }

    fn udp_taken(&self, port: u16) -> bool {
        self.sockets.get(&port).is_some_and(|socket| socket.strong_count() > 0)
    }

    fn open_door(&mut self, address: SocketAddr, shared: bool) -> io::Result<Listener> {
        let port = if address.port() == 0 { self.free_port() } else { address.port() };
        let address = SocketAddr::new(address.ip(), port);
        let doors = self.doors.entry(port).or_default();
        doors.retain(Door::is_open);
        if doors.iter().any(|door| door.conflicts(address, shared)) {
            return Err(taken(address));
        }
        let (door, queue) = Door::new(address, shared);
        doors.push(door);
        Ok(Listener::Memory { address, queue })
    }

    pub(super) fn rebind_nat(&mut self) {
        let bound: Vec<u16> = self.sockets.keys().copied().collect();
        let mapping = bound.into_iter().map(|port| (port, self.free_port())).collect();
        self.nat = Some(mapping);
    }

    /// The port the world sees in place of a UDP port of this host.
    pub(super) fn outer_port(&self, port: u16) -> u16 {
        self.nat.as_ref().and_then(|nat| nat.get(&port)).copied().unwrap_or(port)
    }

    /// The UDP socket behind a port as the world sees it.
    pub(super) fn socket_behind(&self, outer: u16) -> Option<Arc<Socket>> {
        let mapped = self.nat.as_ref().and_then(|nat| nat.iter().find(|(_, to)| **to == outer));
        let port = match (mapped, &self.nat) {
            (Some((port, _)), _) => *port,
            // Mapped elsewhere by now: the old port leads nowhere.
            (None, Some(nat)) if nat.contains_key(&outer) => return None,
            (None, _) => outer,
        };
        self.sockets.get(&port)?.upgrade()
    }
}

/// Whether something bound to `bound` hears what is sent to `address`.
pub(super) fn hears(bound: IpAddr, address: IpAddr) -> bool {
    match bound {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.is_ipv4(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => true,
        bound => bound == address,
    }
}

fn taken(address: SocketAddr) -> io::Error {
    io::Error::new(io::ErrorKind::AddrInUse, format!("{address} is taken"))
}

/// quinn on tokio's clock, which the test has paused. Its tasks end with their host.
#[derive(Debug)]
struct QuicRuntime {
    life: CancellationToken,
}

impl quinn::Runtime for QuicRuntime {
    fn new_timer(&self, at: std::time::Instant) -> Pin<Box<dyn quinn::AsyncTimer>> {
        quinn::TokioRuntime.new_timer(at)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let life = self.life.clone();
        tokio::spawn(async move { life.run_until_cancelled(future).await });
    }

    fn wrap_udp_socket(
        &self,
        _: std::net::UdpSocket,
    ) -> io::Result<Arc<dyn quinn::AsyncUdpSocket>> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "a simulated host has no real sockets"))
    }

    fn now(&self) -> std::time::Instant {
        tokio::time::Instant::now().into_std()
    }
}
