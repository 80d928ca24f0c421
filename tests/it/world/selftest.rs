//! The world itself: does the network do what scenarios rely on?

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tidegate::net::socket::{Network, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use super::certs::TestCa;
use super::client::{Client, datagram};
use super::host::Host;
use super::link::{DATAGRAM_MAX, Link};
use super::play::pattern;
use super::{World, simulate};

const SECOND: Duration = Duration::from_secs(1);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Answers every connection to the port with what it says.
fn echo_tcp(host: &Host, port: u16) {
    let mut listener = host.listen(host.at(port), false).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = tokio::io::split(stream);
                tokio::io::copy(&mut read, &mut write).await.ok();
                write.shutdown().await.ok();
            });
        }
    });
}

async fn echoed(stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).await?;
    assert_eq!(back, bytes);
    Ok(())
}

fn two(world: &World, link: Link) -> (Arc<Host>, Arc<Host>) {
    let hosts = (world.host("edge", "10.0.0.1"), world.host("region", "10.0.0.2"));
    world.link("edge", "region", link);
    hosts
}

#[test]
fn a_connection_and_an_echo_take_a_round_trip_each() {
    simulate(&[1], async |world| {
        let (edge, region) = two(world, Link::delay_ms(20));
        echo_tcp(&region, 80);
        let mut stream = edge.connect(region.at(80)).await.unwrap();
        assert_eq!(world.elapsed(), ms(40));
        echoed(&mut stream, b"hello").await.unwrap();
        assert_eq!(world.elapsed(), ms(80));
        let stats = world.stats_of("edge", "region");
        assert_eq!((stats.connections, stats.stream_bytes), (1, 5));
    });
}

#[test]
fn loopback_takes_no_time_and_stays_on_its_host() {
    simulate(&[1], async |world| {
        let (edge, region) = two(world, Link::delay_ms(20));
        let local: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let mut listener = edge.listen(local, false).unwrap();
        let (stream, accepted) = tokio::join!(edge.connect(local), listener.accept());
        stream.unwrap();
        assert!(accepted.unwrap().1.ip().is_loopback());
        assert_eq!(world.elapsed(), Duration::ZERO);
        let refused = region.connect(edge.at(80)).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_writer_waits_for_its_reader() {
    simulate(&[1], async |world| {
        let (edge, region) = two(world, Link::delay_ms(5).jitter_ms(7).loss(0.02));
        let mut listener = region.listen(region.at(80), false).unwrap();
        let mut near = edge.connect(region.at(80)).await.unwrap();
        let (mut far, _) = listener.accept().await.unwrap();
        let total = 2 * 1024 * 1024;
        let writer = tokio::spawn(async move {
            near.write_all(&pattern(0, total)).await.unwrap();
            near.shutdown().await.unwrap();
        });
        sleep(60 * SECOND).await;
        assert!(!writer.is_finished());
        let sent = world.stats().stream_bytes;
        assert!((64 * 1024..=512 * 1024).contains(&sent), "{sent} bytes left a writer unread");
        let mut read = Vec::new();
        far.read_to_end(&mut read).await.unwrap();
        assert!(read == pattern(0, total), "bytes are missing or out of order");
    });
}

#[test]
fn one_way_may_end_before_the_other() {
    simulate(&[1], async |world| {
        let (edge, region) = two(world, Link::delay_ms(3));
        echo_tcp(&region, 80);
        let mut stream = edge.connect(region.at(80)).await.unwrap();
        stream.write_all(b"last words").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "last words");
        assert_eq!(world.stats().resets, 0);
    });
}

#[test]
fn writing_to_a_closed_reader_resets() {
    simulate(&[1], async |world| {
        let (edge, region) = two(world, Link::delay_ms(10));
        let mut listener = region.listen(region.at(80), false).unwrap();
        let mut near = edge.connect(region.at(80)).await.unwrap();
        drop(listener.accept().await.unwrap());
        near.write_all(b"x").await.unwrap();
        sleep(ms(21)).await;
        assert_eq!(near.write_all(b"y").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(world.stats().resets, 1);
    });
}

#[test]
fn a_partition_stalls_and_heals() {
    simulate(&[1], async |world| {
        let (edge, region) = two(world, Link::delay_ms(20));
        echo_tcp(&region, 80);
        let mut stream = edge.connect(region.at(80)).await.unwrap();
        world.partition("edge", "region");
        {
            let waiting = echoed(&mut stream, b"hello");
            tokio::pin!(waiting);
            assert!(timeout(30 * SECOND, &mut waiting).await.is_err());
            world.heal("edge", "region");
            waiting.await.unwrap();
        }
        assert!(world.elapsed() < 31 * SECOND);
        assert_eq!(world.stats().resets, 0);
    });
}

#[test]
fn a_long_partition_resets_what_is_in_flight_and_nothing_else() {
    simulate(&[1], async |world| {
        let (edge, region) = two(world, Link::delay_ms(20));
        echo_tcp(&region, 80);
        let mut busy = edge.connect(region.at(80)).await.unwrap();
        let mut idle = edge.connect(region.at(80)).await.unwrap();
        world.isolate("edge");
        let err = echoed(&mut busy, b"hello").await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::UnexpectedEof);
        let late = edge.connect(region.at(80)).await.unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        world.rejoin("edge");
        echoed(&mut idle, b"still here").await.unwrap();
    });
}

#[test]
fn a_one_way_cut_loses_datagrams_one_way() {
    simulate(&[1], async |world| {
        let (edge, region) = two(world, Link::default());
        world.cut("edge", "region");
        datagram(&*edge, region.at(53), b"x").await.unwrap();
        datagram(&*region, edge.at(53), b"x").await.unwrap();
        assert_eq!(world.stats_of("edge", "region").cut, 1);
        assert_eq!(world.stats_of("region", "edge").cut, 0);
    });
}

#[test]
fn a_crash_resets_peers_and_frees_ports() {
    simulate(&[1], async |world| {
        let (edge, region) = two(world, Link::delay_ms(20));
        echo_tcp(&region, 80);
        let mut stream = edge.connect(region.at(80)).await.unwrap();
        world.crash("region");
        let mut byte = [0];
        let read = timeout(ms(21), stream.read(&mut byte)).await.unwrap();
        assert_eq!(read.unwrap(), 0);
        let refused = edge.connect(region.at(80)).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);

        assert!(region.crashed().is_cancelled());
        assert!(region.listen(region.at(80), false).is_err());
        assert!(region.connect(edge.at(80)).await.is_err());
        assert!(region.udp(region.at(443)).is_err());

        let region = world.restart("region");
        echo_tcp(&region, 80);
        let mut stream = edge.connect(region.at(80)).await.unwrap();
        echoed(&mut stream, b"again").await.unwrap();
    });
}

#[test]
fn shared_listeners_take_turns_and_others_exclude_each_other() {
    simulate(&[1], async |world| {
        let (edge, region) = two(world, Link::default());
        let mut first = region.listen(region.at(443), true).unwrap();
        let mut second = region.listen(region.at(443), true).unwrap();
        for address in [region.at(443), "0.0.0.0:443".parse().unwrap()] {
            let taken = region.listen(address, false).unwrap_err();
            assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        }
        let foreign = region.listen(edge.at(444), false).unwrap_err();
        assert_eq!(foreign.kind(), io::ErrorKind::AddrNotAvailable);
        let mut kept = Vec::new();
        for _ in 0..2 {
            kept.push(edge.connect(region.at(443)).await.unwrap());
        }
        for listener in [&mut first, &mut second] {
            timeout(SECOND, listener.accept()).await.unwrap().unwrap();
        }
        drop((first, second));
        region.listen(region.at(443), false).unwrap();
    });
}

#[test]
fn a_crash_behind_a_partition_is_learnt_when_it_heals() {
    simulate(&[1], async |world| {
        let (edge, region) = two(world, Link::delay_ms(20));
        echo_tcp(&region, 80);
        let mut stream = edge.connect(region.at(80)).await.unwrap();
        world.partition("edge", "region");
        world.crash("region");
        let mut byte = [0];
        assert!(timeout(30 * SECOND, stream.read(&mut byte)).await.is_err());
        world.heal("edge", "region");
        let read = timeout(ms(21), stream.read(&mut byte)).await.unwrap();
        assert_eq!(read.unwrap(), 0);
    });
}

#[test]
fn a_udp_port_is_taken_until_its_socket_is_dropped() {
    simulate(&[1], async |world| {
        let host = world.host("edge", "10.0.0.1");
        let socket = host.udp("0.0.0.0:443".parse().unwrap()).unwrap();
        assert_eq!(host.udp(host.at(443)).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        // TCP's ports are others.
        host.listen(host.at(443), false).unwrap();
        drop(socket);
        host.udp(host.at(443)).unwrap();
    });
}

#[test]
fn names_resolve() {
    simulate(&[1], async |world| {
        let (edge, region) = two(world, Link::default());
        world.name("pets.example", "10.0.0.9");
        let resolve = async |name: &str| edge.resolve(name, 7).await.map(|found| found[0]);
        assert_eq!(resolve("region").await.unwrap(), region.at(7));
        assert_eq!(resolve("pets.example").await.unwrap().to_string(), "10.0.0.9:7");
        assert_eq!(resolve("10.1.2.3").await.unwrap().to_string(), "10.1.2.3:7");
        assert_eq!(resolve("a.gateway.localhost").await.unwrap().to_string(), "127.0.0.1:7");
        assert_eq!(resolve("nowhere").await.unwrap_err().kind(), io::ErrorKind::NotFound);
    });
}

#[test]
fn a_datagram_beyond_the_mtu_is_dropped() {
    simulate(&[1], async |world| {
        let (edge, region) = two(world, Link::default());
        let _socket = region.udp(region.at(9)).unwrap();
        datagram(&*edge, region.at(9), &[0; DATAGRAM_MAX]).await.unwrap();
        datagram(&*edge, region.at(9), &[0; DATAGRAM_MAX + 1]).await.unwrap();
        let stats = world.stats();
        assert_eq!((stats.datagrams, stats.too_big, stats.lost), (2, 1, 0));
    });
}

/// A QUIC server that answers each stream with what it says, and tells the peer's address first.
fn echo_quic(ca: &TestCa, host: &Host, port: u16) {
    let mut crypto = Arc::unwrap_or_clone(ca.server(&["echo.test"], &[b"echo"]));
    crypto.max_early_data_size = 0;
    let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(crypto).unwrap();
    let endpoint = quinn::Endpoint::new_with_abstract_socket(
        quinn::EndpointConfig::default(),
        Some(quinn::ServerConfig::with_crypto(Arc::new(crypto))),
        host.udp(host.at(port)).unwrap(),
        host.quic_runtime(),
    )
    .unwrap();
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(async move {
                let Ok(connection) = incoming.await else { return };
                while let Ok((mut send, mut receive)) = connection.accept_bi().await {
                    let bytes = receive.read_to_end(usize::MAX).await.unwrap();
                    let peer = connection.remote_address().to_string();
                    send.write_all(format!("{peer:>24}").as_bytes()).await.unwrap();
                    send.write_all(&bytes).await.unwrap();
                    send.finish().unwrap();
                }
            });
        }
    });
}

/// Echoes once over a stream of its own; returns the address the server saw.
async fn echoed_quic(connection: &quinn::Connection, bytes: u64) -> anyhow::Result<String> {
    let (mut send, mut receive) = connection.open_bi().await?;
    send.write_all(&pattern(0, bytes)).await?;
    send.finish()?;
    let back = receive.read_to_end(usize::MAX).await?;
    assert!(back[24..] == pattern(0, bytes), "the echo is not what was said");
    Ok(String::from_utf8_lossy(&back[..24]).trim().to_owned())
}

#[test]
fn quic_gets_through_loss_jitter_and_doubles() {
    let ca = TestCa::new();
    simulate(&[1, 2, 3], async |world| {
        let bad = Link::delay_ms(40).jitter_ms(10).loss(0.05).doubled(0.02);
        let (edge, region) = two(world, bad);
        echo_quic(&ca, &region, 443);
        let client = Client::new(edge, ca.roots());
        let connection = client.quic(&[b"echo"], region.at(443), "echo.test").await.unwrap();
        echoed_quic(&connection, 300_000).await.unwrap();
        let stats = world.stats();
        assert!(stats.lost > 0 && stats.doubled > 0, "{stats:?}");
        assert!(world.elapsed() > ms(160), "{:?} is too fast for 40 ms", world.elapsed());
    });
}

#[test]
fn quic_lives_in_simulated_time() {
    let ca = TestCa::new();
    simulate(&[1], async |world| {
        let (edge, region) = two(world, Link::delay_ms(40));
        echo_quic(&ca, &region, 443);
        let client = Client::new(edge, ca.roots());
        let connection = client.quic(&[b"echo"], region.at(443), "echo.test").await.unwrap();
        // RFC 9001 section 4.1: the handshake of TLS 1.3 takes the client one round trip. Ours
        // may take a second one, when the certificate exceeds the anti-amplification limit.
        assert!((ms(80)..=ms(200)).contains(&world.elapsed()), "{:?}", world.elapsed());
        world.partition("edge", "region");
        let end = connection.closed().await;
        assert!(matches!(end, quinn::ConnectionError::TimedOut), "{end}");
        // quinn's default idle timeout is 30 s.
        assert!((29 * SECOND..40 * SECOND).contains(&world.elapsed()), "{:?}", world.elapsed());
    });
}

#[test]
fn quic_survives_a_nat_that_forgets() {
    let ca = TestCa::new();
    simulate(&[1, 2], async |world| {
        let (edge, region) = two(world, Link::delay_ms(10));
        echo_quic(&ca, &region, 443);
        let client = Client::new(edge, ca.roots());
        let connection = client.quic(&[b"echo"], region.at(443), "echo.test").await.unwrap();
        let before = echoed_quic(&connection, 10).await.unwrap();
        world.rebind_nat("edge");
        let after = echoed_quic(&connection, 10).await.unwrap();
        assert_ne!(before, after);
        world.rebind_nat("edge");
        assert_ne!(after, echoed_quic(&connection, 10).await.unwrap());
    });
}

#[test]
fn a_crashed_quic_server_falls_silent_and_comes_back() {
    let ca = TestCa::new();
    simulate(&[1], async |world| {
        let (edge, region) = two(world, Link::delay_ms(10));
        echo_quic(&ca, &region, 443);
        let client = Client::new(edge, ca.roots());
        let connection = client.quic(&[b"echo"], region.at(443), "echo.test").await.unwrap();
        world.crash("region");
        let sent = world.stats_of("region", "edge").datagrams;
        echoed_quic(&connection, 10).await.unwrap_err();
        assert_eq!(world.stats_of("region", "edge").datagrams, sent);
        echo_quic(&ca, &world.restart("region"), 443);
        let connection = client.quic(&[b"echo"], region.at(443), "echo.test").await.unwrap();
        echoed_quic(&connection, 10).await.unwrap();
    });
}

/// Streams and datagrams without any randomness of their own, under bad weather.
fn fingerprint(seed: u64) -> u64 {
    let print = std::cell::Cell::new(0);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let world = World::new(seed);
        let bad = Link::delay_ms(10).jitter_ms(30).loss(0.2).doubled(0.1);
        let (edge, region) = two(&world, bad);
        echo_tcp(&region, 80);
        let mut stream = edge.connect(region.at(80)).await.unwrap();
        for n in 0..20 {
            datagram(&*edge, region.at(9), &[0; 100]).await.unwrap();
            echoed(&mut stream, &pattern(0, 10 * n)).await.unwrap();
        }
        assert!(world.stats().lost > 0);
        print.set(world.fingerprint());
    });
    print.get()
}

#[test]
fn a_seed_fixes_the_weather() {
    let first = fingerprint(7);
    assert_eq!(first, fingerprint(7));
    assert_ne!(first, fingerprint(8));
}
