//! `--port-base` moves all listeners; the formula stands at [`Overrides`](super::Overrides). And
//! what must hold of the ports that come out: none is taken twice.

use std::net::SocketAddr;

use crate::model::document::At;
use crate::topology::nodes::{Edge, Node, Region};

/// Ports from the base to the last one of the region.
const REGION_SPAN: u32 = 10;
/// Ports of one edge.
const EDGE_SPAN: u32 = 10;

/// Moves every listener that is on.
pub(super) fn apply(base: u16, region: &mut Region<'_>, edges: &mut [Edge<'_>], root: &At<'_>) {
    let count = u32::try_from(edges.len()).unwrap_or(u32::MAX);
    let last = count.saturating_mul(EDGE_SPAN).saturating_add(u32::from(base) + REGION_SPAN);
    if base == 0 || last > u32::from(u16::MAX) {
        let most = u32::from(u16::MAX).saturating_sub(last - u32::from(base));
        root.problem(
            format!("--port-base {base} leaves no room for {count} edges"),
            Some(format!("a number from 1 to {most}")),
        );
        return;
    }
    let old_tunnel = region.tunnel.map(|address| address.port());
    let set = |address: &mut SocketAddr, offset: u16| address.set_port(base + offset);
    set(&mut region.node.admin, 0);
    region.tunnel.iter_mut().for_each(|address| set(address, 1));
    set(&mut region.node.gossip, 2);
    region.public.iter_mut().for_each(|address| set(address, 3));
    region.private.iter_mut().for_each(|address| set(address, 4));
    region.plain.iter_mut().for_each(|address| set(address, 5));
    for (edge, first) in edges.iter_mut().zip((10u16..).step_by(EDGE_SPAN as usize)) {
        set(&mut edge.public, first);
        set(&mut edge.node.gossip, first + 1);
        set(&mut edge.node.admin, first + 2);
        edge.plain.iter_mut().for_each(|address| set(address, first + 3));
        for dial in &mut edge.regions {
            if let Some((host, port)) = dial.rsplit_once(':')
                && old_tunnel.is_some_and(|old| port.parse() == Ok(old))
            {
                *dial = format!("{host}:{}", base + 1);
            }
        }
    }
}

/// Complains about two listeners of one machine that want the same port. Nodes of one address live
/// on one machine; nodes of different addresses may use the same loopback ports.
pub(super) fn check(region: &Region<'_>, edges: &[Edge<'_>]) {
    let mut taken: Vec<(&Node<'_>, &str, Kind, SocketAddr)> = Vec::new();
    let region_listeners = [
        ("public", Kind::Both, region.public),
        ("private", Kind::Both, region.private),
        ("plain", Kind::Tcp, region.plain),
        ("tunnel", Kind::Udp, region.tunnel),
    ];
    let mut all: Vec<(&Node<'_>, &str, Kind, SocketAddr)> = region_listeners
        .into_iter()
        .filter_map(|(key, kind, address)| Some((&region.node, key, kind, address?)))
        .collect();
    for edge in edges {
        all.push((&edge.node, "public", Kind::Both, edge.public));
        all.extend(edge.plain.map(|address| (&edge.node, "plain", Kind::Tcp, address)));
    }
    for node in std::iter::once(&region.node).chain(edges.iter().map(|edge| &edge.node)) {
        all.push((node, "admin", Kind::Tcp, node.admin));
        all.push((node, "gossip", Kind::Udp, node.gossip));
    }
    for (node, key, kind, address) in all {
        let same = taken.iter().find(|(other, _, other_kind, other_address)| {
            let same_machine = other.name == node.name || other.address == node.address;
            let same_ip = other_address.ip() == address.ip()
                || other_address.ip().is_unspecified()
                || address.ip().is_unspecified();
            same_machine
                && same_ip
                && address.port() == other_address.port()
                && kind.meets(*other_kind)
        });
        if let Some((other, other_key, _, _)) = same {
            node.at.problem(
                format!(
                    "`{key}` of `{}` takes port {} as `{other_key}` of `{}` does",
                    node.name,
                    address.port(),
                    other.name
                ),
                Some("give one of them another port in its `listeners`".to_owned()),
            );
        }
        taken.push((node, key, kind, address));
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tcp,
    Udp,
    /// TCP, and UDP of the same number for HTTP/3.
    Both,
}

impl Kind {
    fn meets(self, other: Kind) -> bool {
        self == other || self == Kind::Both || other == Kind::Both
    }
}
