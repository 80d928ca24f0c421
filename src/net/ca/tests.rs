//! Certificates are read back as they were issued, and files are treated with care.

use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::*;
use crate::net::clock::Clock;

#[test]
fn a_node_certificate_says_who_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let ca = ClusterCa::init(folder.path(), "harbour", &clock).unwrap();
    let nodes = folder.path().join("nodes");
    let edge = ca.issue(Role::Edge, "edge-1", &nodes, &clock).unwrap();
    assert_eq!(edge.identity().uri(), "tidegate://harbour/edge/edge-1");
    let loaded = NodeCertificate::load(&nodes, "edge-1").unwrap();
    assert_eq!(loaded.identity(), edge.identity());
    assert!(nodes.join(CLUSTER_CA_CERTIFICATE).exists());
}

#[test]
fn init_never_overwrites_and_keys_are_private() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    ClusterCa::init(folder.path(), "harbour", &clock).unwrap();
    assert!(matches!(ClusterCa::init(folder.path(), "harbour", &clock), Err(CaError::Exists(_))));
    let ca = ClusterCa::load(folder.path()).unwrap();
    assert_eq!(ca.cluster(), "harbour");
    ca.issue(Role::Region, "region", folder.path(), &clock).unwrap();
    for key in [CLUSTER_CA_KEY, "region.key"] {
        let mode = std::fs::metadata(folder.path().join(key)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let ca = ClusterCa::init(folder.path(), "harbour", &clock).unwrap();
    ca.issue(Role::Edge, "a", folder.path(), &clock).unwrap();
    ca.issue(Role::Edge, "b", folder.path(), &clock).unwrap();
    std::fs::copy(folder.path().join("a.key"), folder.path().join("b.key")).unwrap();
    assert!(matches!(NodeCertificate::load(folder.path(), "b"), Err(CaError::Broken { .. })));
}

#[test]
fn certificates_are_renewed_at_two_thirds_of_their_life() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(1_800_000_000_000);
    let ca = ClusterCa::load_or_init(folder.path(), "harbour", &clock).unwrap();
    let first = ca.issue_if_due(Role::Edge, "e", folder.path(), &clock).unwrap();
    clock.advance(NODE_LIFETIME / 3 * 2 - DAY);
    let same = ca.issue_if_due(Role::Edge, "e", folder.path(), &clock).unwrap();
    assert_eq!(first.validity(), same.validity());
    clock.advance(DAY * 2);
    let renewed = ca.issue_if_due(Role::Edge, "e", folder.path(), &clock).unwrap();
    assert!(renewed.validity().ends > first.validity().ends);
    // A changed role is a reason, too.
    let region = ca.issue_if_due(Role::Region, "e", folder.path(), &clock).unwrap();
    assert_eq!(region.identity().role, Role::Region);
}

#[test]
fn a_renewed_certificate_is_taken_and_a_strange_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(1_800_000_000_000);
    let ca = ClusterCa::init(folder.path(), "harbour", &clock).unwrap();
    let shown = ca.issue(Role::Edge, "e", folder.path(), &clock).unwrap();
    let clone = shown.clone();
    assert!(!shown.reload(folder.path()).unwrap(), "nothing changed");
    clock.advance(300 * DAY);
    let renewed = ca.issue(Role::Edge, "e", folder.path(), &clock).unwrap();
    assert!(shown.reload(folder.path()).unwrap());
    assert_eq!(clone.validity(), renewed.validity());

    ca.issue(Role::Region, "e", folder.path(), &clock).unwrap();
    assert!(matches!(shown.reload(folder.path()), Err(CaError::Another(_))));
    let other = tempfile::tempdir().unwrap();
    let strange = ClusterCa::init(other.path(), "harbour", &clock).unwrap();
    strange.issue(Role::Edge, "e", folder.path(), &clock).unwrap();
    assert!(matches!(shown.reload(folder.path()), Err(CaError::Another(_))));
    std::fs::write(folder.path().join("e.pem"), "garbage").unwrap();
    assert!(shown.reload(folder.path()).is_err());
    assert_eq!(clone.validity(), renewed.validity());
}

#[test]
fn public_certificates_carry_names_and_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let ca = PublicCa::load_or_init(folder.path(), "harbour", &clock).unwrap();
    let names =
        ["*.gateway.localhost", "localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    let (chain, key) = ca.issue_public(&names, &clock).unwrap();
    assert!(key.contains("PRIVATE KEY"));
    let end = Validity::of(&chain).unwrap().ends;
    assert!(end.since(clock.now()) <= std::time::Duration::from_secs(398 * 86_400));
    assert!(!PublicCa::is_due(&chain, &clock));
    let again = PublicCa::load_or_init(folder.path(), "harbour", &clock).unwrap();
    assert_eq!(again.certificate(), ca.certificate());
    assert!(ca.issue_public(&[], &clock).is_err());
    assert!(ca.issue_public(&["no name!".to_owned()], &clock).is_err());
    // A listener certificate is no way into the cluster.
    let der = files::first_certificate(&chain).unwrap();
    assert!(matches!(PeerIdentity::of(&der), Err(CaError::NoIdentity(_))));
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_no_identity(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(PeerIdentity::of(&CertificateDer::from(bytes)).is_err());
    }

    #[test]
    fn names_that_would_change_the_uri_are_refused(name in "[a-z]{0,4}[/:@?# %\u{e9}][a-z]{0,4}") {
        prop_assert!(PeerIdentity::new("harbour", Role::Edge, &name).is_err());
    }
}
