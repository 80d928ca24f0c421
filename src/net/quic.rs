//! QUIC between nodes: who may connect, and with which limits?
//!
//! Both sides show a certificate of the cluster CA (mutual TLS 1.3). Chain and validity are
//! checked by rustls's own verifier; the identity (cluster, role) is checked on top: by the dialer
//! within the handshake, by the accepting side right after it, so that it can say why it closes.
//! ALPN keeps tunnel and gossip apart even where they share a port.
//!
//! Stateless resets survive a restart: their key comes from the node's private key, so a peer that
//! still talks to the node's former life learns at once that it is over, not after the idle time.
//! (Except at the first restart after the key was renewed.)
//!
//! Session resumption is off: a resumed session would skip the certificate check, and nodes
//! connect rarely.
//!
//! RFC 9000 (QUIC; section 9 migration, 10.3 stateless reset), RFC 9001 (TLS), RFC 7301 (ALPN).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig, TransportConfig, VarInt};
use rand::RngExt;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::runtime::Handle;

use crate::net::ca::{CaError, NODE_DNS_NAME, NodeCertificate, PeerIdentity, Role};
use crate::net::clock::Clock;
use crate::net::socket::Network;

/// How long a peer may be silent, and how often it is made to say something.
struct Patience {
    /// Also keeps NAT bindings open; middleboxes forget UDP flows after 30 s and more (RFC 9000,
    /// section 10.1.2).
    keep_alive: Duration,
    idle: Duration,
}

/// Calls wait for a dead region as long as it is not known to be dead: four to five seconds, since
/// the first packet sent into the silence begins the idle time anew (RFC 9000, section 10.1). A
/// keep-alive that is lost is repeated within three round trips, so loss alone does not get here;
/// a machine that stalls for two seconds does not, either.
const TUNNEL: Patience =
    Patience { keep_alive: Duration::from_secs(1), idle: Duration::from_secs(4) };
/// Nobody waits for gossip, every pair of nodes has a connection, and who is alive is chitchat's
/// to judge: three keep-alives lost in a row.
const GOSSIP: Patience =
    Patience { keep_alive: Duration::from_secs(5), idle: Duration::from_secs(15) };
/// How long a closed endpoint stays to say that it is closed. The first word leaves within
/// milliseconds; whoever lost it and asks again within this time is told once more, later ones find
/// out by the silence. (The whole closing period, RFC 9000 section 10.2, would be three probe
/// timeouts: a second and more where a handshake was under way.)
pub const FAREWELL: Duration = Duration::from_millis(250);
/// What a stream may hold before its reader takes it: a 10 MB body at 40 ms round trip then needs
/// under a second, and a reader that stalls holds half a megabyte, not the body.
const STREAM_WINDOW: u32 = 512 * 1024;
/// What all streams of a connection may hold: 256 stalled readers do not yet stop the others.
const CONNECTION_WINDOW: u32 = 128 * 1024 * 1024;
/// What may be sent and not yet acknowledged: 400 MB/s at 40 ms.
const SEND_WINDOW: u64 = 16 * 1024 * 1024;
/// Unread datagrams: gossip of a few rounds.
const DATAGRAM_BUFFER: usize = 256 * 1024;
/// Handshakes not yet accepted by us; the flood beyond is dropped.
const INCOMING_MAX: usize = 1_024;
/// Eight bytes tell 2^64 connections apart; longer ones only cost room in each packet.
const CONNECTION_ID_BYTES: usize = 8;

/// What a connection is for; each speaks its own ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Tunnel,
    Gossip,
}

impl Protocol {
    fn alpn(self) -> &'static [u8] {
        match self {
            Protocol::Tunnel => b"tidegate-tunnel/1",
            Protocol::Gossip => b"tidegate-gossip/1",
        }
    }

    fn patience(self) -> Patience {
        match self {
            Protocol::Tunnel => TUNNEL,
            Protocol::Gossip => GOSSIP,
        }
    }
}

/// Streams the *peer* may have open at once.
#[derive(Clone, Copy, Debug)]
pub struct PeerStreams {
    pub bidirectional: u32,
    pub unidirectional: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum QuicError {
    #[error("TLS configuration: {0}")]
    Tls(String),
    #[error("UDP {address} is already in use; stop the other process or choose another port")]
    AddressTaken { address: SocketAddr },
    #[error("cannot open UDP {address}: {source}")]
    Socket { address: SocketAddr, source: std::io::Error },
    #[error("peer showed no certificate")]
    NoCertificate,
    #[error(transparent)]
    Identity(#[from] CaError),
    #[error("peer is of cluster {0}, which is not ours")]
    OtherCluster(String),
}

/// Opens an endpoint on `address`. With `server` it accepts connections; it can always dial.
pub fn endpoint(
    network: &dyn Network,
    address: SocketAddr,
    certificate: &NodeCertificate,
    server: Option<quinn::ServerConfig>,
    runtime: &Handle,
) -> Result<quinn::Endpoint, QuicError> {
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::AddrInUse => QuicError::AddressTaken { address },
        _ => QuicError::Socket { address, source },
    };
    // Sockets and the endpoint's driver register with the runtime that is entered.
    let _entered = runtime.enter();
    let socket = network.udp(address).map_err(failed)?;
    let seed = hmac::Key::new(hmac::HMAC_SHA256, certificate.key().secret_der());
    let reset = hmac::sign(&seed, b"tidegate stateless reset");
    let mut config =
        EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, reset.as_ref())));
    config.cid_generator(|| Box::new(RandomIds));
    quinn::Endpoint::new_with_abstract_socket(config, server, socket, network.quic_runtime())
        .map_err(failed)
}

/// What an accepting side demands of its peers, and allows them.
pub fn server_config(
    certificate: &NodeCertificate,
    protocol: Protocol,
    streams: PeerStreams,
    clock: &Clock,
) -> Result<quinn::ServerConfig, QuicError> {
    let provider = provider();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(certificate.roots(), provider.clone())
            .build()
            .map_err(tls)?;
    let mut config =
        rustls::ServerConfig::builder_with_details(provider, Arc::new(Time(clock.clone())))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(tls)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(Newest(certificate.clone())));
    config.alpn_protocols = vec![protocol.alpn().to_vec()];
    config.send_tls13_tickets = 0;
    let crypto = QuicServerConfig::try_from(config).map_err(tls)?;
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    // An edge behind NAT changes its address without knowing it.
    server.migration(true);
    server.max_incoming(INCOMING_MAX);
    server.transport_config(Arc::new(transport(protocol, streams)));
    Ok(server)
}

/// What a dialing side demands of its peers: our cluster, and `role` if given.
pub fn client_config(
    certificate: &NodeCertificate,
    protocol: Protocol,
    streams: PeerStreams,
    role: Option<Role>,
    clock: &Clock,
) -> Result<quinn::ClientConfig, QuicError> {
    let provider = provider();
    let chain = WebPkiServerVerifier::builder_with_provider(certificate.roots(), provider.clone())
        .build()
        .map_err(tls)?;
    let verifier = Verifier { chain, cluster: certificate.identity().cluster.clone(), role };
    let mut config =
        rustls::ClientConfig::builder_with_details(provider, Arc::new(Time(clock.clone())))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(tls)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(Newest(certificate.clone())));
    config.alpn_protocols = vec![protocol.alpn().to_vec()];
    config.resumption = Resumption::disabled();
    let crypto = QuicClientConfig::try_from(config).map_err(tls)?;
    let mut client = quinn::ClientConfig::new(Arc::new(crypto));
    client.transport_config(Arc::new(transport(protocol, streams)));
    Ok(client)
}

/// The server name to dial with.
pub fn server_name() -> &'static str {
    NODE_DNS_NAME
}

/// Who is at the other end of an established connection; refuses other clusters.
pub fn peer(connection: &quinn::Connection, cluster: &str) -> Result<PeerIdentity, QuicError> {
    let chain = connection
        .peer_identity()
        .and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok())
        .ok_or(QuicError::NoCertificate)?;
    let identity = PeerIdentity::of(chain.first().ok_or(QuicError::NoCertificate)?)?;
    if identity.cluster != cluster {
        return Err(QuicError::OtherCluster(identity.cluster));
    }
    Ok(identity)
}

fn transport(protocol: Protocol, streams: PeerStreams) -> TransportConfig {
    let Patience { keep_alive, idle } = protocol.patience();
    let mut config = TransportConfig::default();
    config.keep_alive_interval(Some(keep_alive));
    config.max_idle_timeout(Some(idle.try_into().expect("seconds fit a QUIC integer")));
    config.max_concurrent_bidi_streams(VarInt::from_u32(streams.bidirectional));
    config.max_concurrent_uni_streams(VarInt::from_u32(streams.unidirectional));
    config.stream_receive_window(VarInt::from_u32(STREAM_WINDOW));
    config.receive_window(VarInt::from_u32(CONNECTION_WINDOW));
    config.send_window(SEND_WINDOW);
    config.datagram_receive_buffer_size(Some(DATAGRAM_BUFFER));
    config.datagram_send_buffer_size(DATAGRAM_BUFFER);
    config
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn tls(error: impl std::fmt::Display) -> QuicError {
    QuicError::Tls(error.to_string())
}

/// Shows the node's certificate as it is at the time of the handshake.
#[derive(Debug)]
struct Newest(NodeCertificate);

impl ResolvesServerCert for Newest {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.certified())
    }
}

impl ResolvesClientCert for Newest {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.certified())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// rustls's chain check, then the identity.
#[derive(Debug)]
struct Verifier {
    chain: Arc<WebPkiServerVerifier>,
    cluster: String,
    role: Option<Role>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.chain.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )?;
        let identity = PeerIdentity::of(end_entity)
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        if identity.cluster != self.cluster || self.role.is_some_and(|role| role != identity.role) {
            return Err(rustls::Error::General(format!("{identity} is not whom we dialed")));
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// rustls asks our clock, so that a test's time also holds for certificates.
#[derive(Debug)]
struct Time(Clock);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.now().as_seconds())))
    }
}

/// Connection ids without structure. quinn's default marks its own with a key of this process and
/// stays silent towards others, which would keep resets from reaching peers of a former life.
#[derive(Debug)]
struct RandomIds;

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&rand::rng().random::<[u8; CONNECTION_ID_BYTES]>())
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
