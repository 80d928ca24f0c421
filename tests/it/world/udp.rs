//! Datagrams in memory, as quinn wants them.
//!
//! A datagram lies in the receiver's inbox from the moment it is sent, with the time it is due.
//! Receiving waits for the earliest due time, so no task is needed to carry it.

use std::collections::BTreeMap;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use quinn::udp::{EcnCodepoint, RecvMeta, Transmit};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

use super::link::Fate;
use super::trace::Event;
use super::{HostId, Inner, host};

/// Bytes under way to a socket and not yet read; what comes on top is dropped. Stands for the
/// receive buffer and for what a link holds; a high-delay link must not run into it.
const INBOX_BYTES_MAX: usize = 16 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Socket {
    world: Arc<Inner>,
    host: HostId,
    ip: IpAddr,
    bound: SocketAddr,
    life: CancellationToken,
    inbox: Mutex<Inbox>,
}

#[derive(Debug, Default)]
struct Inbox {
    /// By due time, then by the order of sending.
    waiting: BTreeMap<(Instant, u64), Datagram>,
    bytes: usize,
    received: u64,
    reader: Option<Waker>,
    alarm: Option<Pin<Box<Sleep>>>,
}

#[derive(Clone, Debug)]
struct Datagram {
    from: SocketAddr,
    to: IpAddr,
    ecn: Option<EcnCodepoint>,
    bytes: Bytes,
}

impl Socket {
    pub(super) fn new(
        world: Arc<Inner>,
        host: HostId,
        ip: IpAddr,
        bound: SocketAddr,
        life: CancellationToken,
    ) -> Self {
        Self { world, host, ip, bound, life, inbox: Mutex::default() }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, to: SocketAddr, ecn: Option<EcnCodepoint>, payload: &[u8]) {
        let world = &self.world;
        // A dual-stack socket writes IPv4 addresses in IPv6 form (RFC 4291 section 2.5.5.2).
        let to = SocketAddr::new(to.ip().to_canonical(), to.port());
        let mut state = world.lock();
        let Some(owner) = state.owner(self.host, to.ip()) else {
            return; // No such host: a real network says nothing quinn would listen to, either.
        };
        let source_ip = if to.ip().is_loopback() { to.ip() } else { self.ip };
        let source_port = state.hosts[self.host.0].outer_port(self.bound.port());
        let target = state.hosts[owner.0].socket_behind(to.port());
        let target = target.filter(|target| host::hears(target.bound.ip(), to.ip()));
        let way = (self.host, owner);
        drop(state);

        let bytes = payload.len();
        let fate = world.datagram_fate(way, bytes);
        state = world.lock();
        state.trace.event(world.now(), way, Event::Datagram { bytes, fate });
        let Fate::Arrives { after, again_after } = fate else {
            return;
        };
        let datagram = Datagram {
            from: SocketAddr::new(source_ip, source_port),
            to: to.ip(),
            ecn,
            bytes: Bytes::copy_from_slice(payload),
        };
        for after in [Some(after), again_after].into_iter().flatten() {
            let due = Instant::now() + after;
            let arrives = target.as_ref().is_some_and(|it| it.take_in(due, datagram.clone()));
            if !arrives {
                state.trace.event(world.now(), way, Event::Dropped { bytes });
            }
        }
    }

    /// False when the inbox is full.
    fn take_in(&self, due: Instant, datagram: Datagram) -> bool {
        let mut inbox = self.inbox();
        if inbox.bytes + datagram.bytes.len() > INBOX_BYTES_MAX {
            return false;
        }
        inbox.bytes += datagram.bytes.len();
        inbox.received += 1;
        let order = inbox.received;
        inbox.waiting.insert((due, order), datagram);
        if let Some(reader) = inbox.reader.take() {
            drop(inbox);
            reader.wake();
        }
        true
    }
}

impl Inbox {
    /// The next datagram whose time has come; else the reader is woken when there may be one.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Datagram> {
        loop {
            let Some(first) = self.waiting.first_entry() else {
                self.reader = Some(cx.waker().clone());
                return Poll::Pending;
            };
            let due = first.key().0;
            if due <= Instant::now() {
                let datagram = first.remove();
                self.bytes -= datagram.bytes.len();
                return Poll::Ready(datagram);
            }
            match &mut self.alarm {
                Some(alarm) if alarm.deadline() == due => {}
                Some(alarm) => alarm.as_mut().reset(due),
                None => self.alarm = Some(Box::pin(tokio::time::sleep_until(due))),
            }
            if let Some(alarm) = &mut self.alarm
                && alarm.as_mut().poll(cx).is_pending()
            {
                self.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            self.alarm = None;
        }
    }
}

/// What quinn holds. The last one dropped closes the socket.
#[derive(Debug)]
pub(super) struct Handle(pub(super) Arc<Socket>);

impl quinn::AsyncUdpSocket for Handle {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn quinn::UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.0.life.is_cancelled() {
            return Err(host::dead());
        }
        let segment = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for payload in transmit.contents.chunks(segment) {
            self.0.send(transmit.destination, transmit.ecn, payload);
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if self.0.life.is_cancelled() {
            return Poll::Ready(Err(host::dead()));
        }
        let mut inbox = self.0.inbox();
        let mut count = 0;
        for (buf, meta) in bufs.iter_mut().zip(meta.iter_mut()) {
            let Poll::Ready(datagram) = inbox.poll_next(cx) else {
                break;
            };
            // A datagram larger than the buffer is cut short, as recvmsg does.
            let len = datagram.bytes.len().min(buf.len());
            buf[..len].copy_from_slice(&datagram.bytes[..len]);
            *meta = RecvMeta::default();
            meta.addr = datagram.from;
            meta.len = len;
            meta.stride = len;
            meta.ecn = datagram.ecn;
            meta.dst_ip = Some(datagram.to);
            count += 1;
        }
        if count == 0 { Poll::Pending } else { Poll::Ready(Ok(count)) }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.bound)
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

/// A send never blocks here: what the link or the receiver cannot take is lost.
#[derive(Debug)]
struct AlwaysWritable;

impl quinn::UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
