//! TCP in memory: a pipe at each end, and one task between them that takes its time.
//!
//! Bytes stay in order. What is in flight is bounded, so a reader that does not read holds up the
//! writer, as it should. A cut link stalls a stream; a stream that stalls too long is reset.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::host::{self, Host};
use super::trace::Event;
use super::{Inner, Way, pause};

/// Bytes a socket buffers at either end, each way.
const SOCKET_BYTES: usize = 64 * 1024;

/// Bytes of one way of one connection on the link.
const FLIGHT_BYTES_MAX: usize = 256 * 1024;

/// Most bytes that travel as one piece.
const PIECE_BYTES_MAX: usize = 16 * 1024;

/// Connections that wait for a listener, as `net::socket` asks of the kernel.
const BACKLOG: usize = 4096;

/// How long a connection attempt goes on without an answer: Linux's `tcp_syn_retries` of 6.
const CONNECT_MAX: Duration = Duration::from_secs(127);

/// Time between attempts while a listener's queue is full: the first SYN retransmission (RFC 6298
/// section 2.1).
const KNOCK_AGAIN: Duration = Duration::from_secs(1);

/// How long a stream may stall with bytes in flight. Linux gives up after 15 minutes
/// (`tcp_retries2`); a scenario should not have to wait for that.
const STALL_MAX: Duration = Duration::from_secs(60);

/// The world's side of a listener.
#[derive(Debug)]
pub(super) struct Door {
    address: SocketAddr,
    shared: bool,
    queue: mpsc::Sender<(DuplexStream, SocketAddr)>,
}

impl Door {
    pub(super) fn new(
        address: SocketAddr,
        shared: bool,
    ) -> (Self, mpsc::Receiver<(DuplexStream, SocketAddr)>) {
        let (queue, receiver) = mpsc::channel(BACKLOG);
        (Self { address, shared, queue }, receiver)
    }

    pub(super) fn is_open(&self) -> bool {
        !self.queue.is_closed()
    }

    pub(super) fn conflicts(&self, address: SocketAddr, shared: bool) -> bool {
        let overlaps = host::hears(self.address.ip(), address.ip())
            || host::hears(address.ip(), self.address.ip());
        overlaps && !(shared && self.shared)
    }
}

/// Opens a connection: a round trip, then a task that carries its bytes.
pub(super) async fn connect(host: &Host, address: SocketAddr) -> io::Result<DuplexStream> {
    let world = &host.world;
    let (there, own_life, source) = {
        let mut state = world.lock();
        let there = state
            .owner(host.id, address.ip())
            .ok_or_else(|| io::Error::new(io::ErrorKind::HostUnreachable, "no such host"))?;
        let port = state.hosts[host.id.0].free_port();
        let source = SocketAddr::new(host.source_for(address.ip()), port);
        (there, state.hosts[host.id.0].life.clone(), source)
    };
    let way = (host.id, there);
    let attempt = async {
        loop {
            world.mended(way).await;
            pause(world.stream_delay(way, 0)).await;
            let knock = knock(world, way, address, source, &own_life);
            pause(world.stream_delay((there, host.id), 0)).await;
            match knock {
                Knock::Open(stream) => return Ok(stream),
                Knock::Full => sleep(KNOCK_AGAIN).await,
                Knock::Refused => return Err(io::ErrorKind::ConnectionRefused.into()),
            }
        }
    };
    let answered = timeout(CONNECT_MAX, attempt).await;
    answered.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// What a listener answered.
enum Knock {
    Open(DuplexStream),
    Full,
    Refused,
}

/// Opens the connection at the listener's side, which is also when its bytes begin to flow.
fn knock(
    world: &Arc<Inner>,
    way: Way,
    address: SocketAddr,
    source: SocketAddr,
    own_life: &CancellationToken,
) -> Knock {
    let mut state = world.lock();
    let port = address.port();
    let host = &mut state.hosts[way.1.0];
    let lives = [own_life.clone(), host.life.clone()];
    let heard = |door: &Door| door.is_open() && host::hears(door.address.ip(), address.ip());
    let doors = host.doors.entry(port).or_default();
    let Some(at) = doors.iter().position(heard) else {
        state.trace.event(world.now(), way, Event::Refused { port });
        return Knock::Refused;
    };
    // The shared listeners of one address take turns.
    doors[at..].rotate_left(1);
    let (far, far_end) = tokio::io::duplex(SOCKET_BYTES);
    if doors[doors.len() - 1].queue.try_send((far, source)).is_err() {
        return Knock::Full;
    }
    state.trace.event(world.now(), way, Event::Opened { port });
    let (near, near_end) = tokio::io::duplex(SOCKET_BYTES);
    let connection = Connection { world: Arc::clone(world), way, lives };
    tokio::spawn(connection.run(near_end, far_end));
    Knock::Open(near)
}

/// A connection under way. Dropping its pipes is what both ends see as the end.
struct Connection {
    world: Arc<Inner>,
    way: Way,
    lives: [CancellationToken; 2],
}

/// The stream cannot go on.
struct Reset;

impl Connection {
    async fn run(self, near: DuplexStream, far: DuplexStream) {
        let (near_read, near_write) = tokio::io::split(near);
        let (far_read, far_write) = tokio::io::split(far);
        let back = (self.way.1, self.way.0);
        let carried = async {
            tokio::try_join!(
                carry(&self.world, self.way, near_read, far_write),
                carry(&self.world, back, far_read, near_write),
            )
        };
        tokio::pin!(carried);
        let reset = tokio::select! {
            biased;
            () = self.crash() => {
                // The pipes stay open until the news has travelled; nothing moves in them.
                self.news().await;
                true
            }
            ended = &mut carried => ended.is_err(),
        };
        if reset {
            self.world.lock().trace.event(self.world.now(), self.way, Event::Reset);
        }
    }

    async fn crash(&self) {
        let [near, far] = &self.lives;
        tokio::select! {
            () = near.cancelled() => {}
            () = far.cancelled() => {}
        }
    }

    /// Waits until the survivor learns that the other side is gone. Behind a cut it learns by
    /// itself, at last.
    async fn news(&self) {
        let arrives = async {
            self.world.mended(self.way).await;
            pause(self.world.stream_delay(self.way, 0)).await;
        };
        // Both outcomes end the connection; which of them came first does not matter.
        timeout(STALL_MAX, arrives).await.ok();
    }
}

enum Piece {
    Bytes(Bytes),
    End,
}

/// Carries one way of a connection until its end.
async fn carry(
    world: &Inner,
    way: Way,
    mut from: ReadHalf<DuplexStream>,
    mut to: WriteHalf<DuplexStream>,
) -> Result<(), Reset> {
    let mut flight: VecDeque<(Instant, Piece)> = VecDeque::new();
    let mut flight_bytes = 0;
    let mut ended = false;
    let mut last_due = Instant::now();
    let mut buf = BytesMut::new();
    while !(ended && flight.is_empty()) {
        let due = flight.front().map(|(due, _)| *due);
        buf.reserve(PIECE_BYTES_MAX);
        tokio::select! {
            biased;
            () = sleep_until(due.unwrap_or(last_due)), if due.is_some() => {
                passable(world, way).await?;
                match flight.pop_front() {
                    Some((_, Piece::Bytes(bytes))) => {
                        flight_bytes -= bytes.len();
                        deliver(world, way, &mut to, &bytes).await?;
                    }
                    // A receiver that is gone needs no end; what it misses it did not want.
                    Some((_, Piece::End)) => drop(to.shutdown().await),
                    None => {}
                }
            }
            read = from.read_buf(&mut buf), if !ended && flight_bytes < FLIGHT_BYTES_MAX => {
                let bytes = read.map_err(|_| Reset)?;
                let after = world.stream_delay(way, bytes);
                last_due = last_due.max(Instant::now() + after);
                ended = bytes == 0;
                let event = if ended { Event::End } else { Event::Segment { bytes, after } };
                world.lock().trace.event(world.now(), way, event);
                flight_bytes += bytes;
                let piece = if ended { Piece::End } else { Piece::Bytes(buf.split().freeze()) };
                flight.push_back((last_due, piece));
            }
        }
    }
    Ok(())
}

/// A receiver that has closed answers with a reset, which takes its time to travel.
async fn deliver(
    world: &Inner,
    way: Way,
    to: &mut WriteHalf<DuplexStream>,
    bytes: &[u8],
) -> Result<(), Reset> {
    if to.write_all(bytes).await.is_ok() {
        return Ok(());
    }
    pause(world.stream_delay((way.1, way.0), 0)).await;
    Err(Reset)
}

/// Waits out a cut. What stood before it is sent again and takes its time once more.
async fn passable(world: &Inner, way: Way) -> Result<(), Reset> {
    if !world.is_cut(way) {
        return Ok(());
    }
    timeout(STALL_MAX, world.mended(way)).await.map_err(|_| Reset)?;
    pause(world.stream_delay(way, 0)).await;
    Ok(())
}
