//! The cluster's authorities: made, and asked for a node's certificates.

use tidegate::cli::CaPlace;
use tidegate::net::ca::PUBLIC_CA_CERTIFICATE;
use tidegate::net::clock::Clock;
use tidegate::node::identity::Authorities;
use tidegate::topology::Overrides;

use crate::{Failure, other, read_topology, unknown};

pub(super) fn init_ca(place: &CaPlace) -> Result<(), Failure> {
    let topology = read_topology(place.topology.as_deref(), &Overrides::default())?;
    let cluster = &topology.region.common.cluster.name;
    let made = Authorities::init(&place.out, cluster, &Clock::system()).map_err(other)?;
    println!("made the authorities of cluster `{cluster}` in {}", place.out.display());
    println!("  nodes trust {}", place.out.join("cluster-ca.pem").display());
    println!("  HTTPS clients trust {}", made.public_path().display());
    Ok(())
}

pub(super) fn issue(name: &str, place: &CaPlace) -> Result<(), Failure> {
    let topology = read_topology(place.topology.as_deref(), &Overrides::default())?;
    let node = topology.node(name).ok_or_else(|| unknown(&topology, name))?;
    let authorities = Authorities::load(&place.out)
        .map_err(|error| other(format!("{error}\n  `tidegate ca init` makes the authorities")))?;
    authorities.issue(&node, &place.out, &Clock::system()).map_err(other)?;
    let path = |file: String| place.out.join(file).display().to_string();
    println!("issued {name}; bring these to its data folder on its machine:");
    println!("  {}", path("cluster-ca.pem".to_owned()));
    for end in [".pem", ".key", "-https.pem", "-https.key"] {
        println!("  {}", path(format!("{name}{end}")));
    }
    println!("and, for its own clients there: {}", path(PUBLIC_CA_CERTIFICATE.to_owned()));
    Ok(())
}
