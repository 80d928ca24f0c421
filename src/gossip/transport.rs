//! chitchat's seam: it thinks it has a UDP socket.

use std::net::SocketAddr;

use async_trait::async_trait;
use bytes::Bytes;
use chitchat::transport::{Socket, Transport};
use chitchat::{ChitchatMessage, Serializable};
use tokio::sync::mpsc;

use crate::gossip::peers::Peers;

/// chitchat builds messages of at most 65,507 bytes, what a UDP datagram can hold; the length of
/// ours stays within what two bytes can say.
pub(super) const MESSAGE_BYTES_MAX: usize = 65_535;

#[async_trait]
impl Transport for Peers {
    async fn open(&self, _listen_addr: SocketAddr) -> anyhow::Result<Box<dyn Socket>> {
        Ok(Box::new(Post { inbox: self.attach(), peers: self.clone() }))
    }
}

/// One life of chitchat's: a restarted one gets an inbox of its own.
struct Post {
    inbox: mpsc::Receiver<(SocketAddr, ChitchatMessage)>,
    peers: Peers,
}

#[async_trait]
impl Socket for Post {
    /// Never waits and never fails: gossip repeats itself, so what cannot be sent now is dropped.
    async fn send(&mut self, to: SocketAddr, message: ChitchatMessage) -> anyhow::Result<()> {
        let bytes = message.serialize_to_vec();
        if bytes.len() > MESSAGE_BYTES_MAX {
            tracing::warn!(bytes = bytes.len(), "A gossip message is too long to send.");
        } else {
            self.peers.send(to, Bytes::from(bytes));
        }
        Ok(())
    }

    async fn recv(&mut self) -> anyhow::Result<(SocketAddr, ChitchatMessage)> {
        match self.inbox.recv().await {
            Some(received) => Ok(received),
            // The inbox was given to a newer life; this one is about to be dropped.
            None => std::future::pending().await,
        }
    }
}
