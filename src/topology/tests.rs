use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::ids::{ApiId, NodeName};
use crate::model::rest_api::EndpointType;
use crate::node::config::{AwsConfig, StoreConfig};
use crate::store::control::{DatabaseConfig, KeySource};

const SHIPPED: [&str; 6] = [
    "one-box",
    "three-pops",
    "regional-only",
    "private",
    "dynamodb-table",
    "serverless-crud/topology",
];

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("topology").join(format!("{name}.toml"))
}

fn with(text: &str, overrides: &Overrides) -> Result<Topology, Problems> {
    read_text("t.toml", Path::new("/etc/gate"), text, overrides)
}

#[track_caller]
fn good(text: &str) -> Topology {
    match with(text, &Overrides::default()) {
        Ok(topology) => topology,
        Err(problems) => panic!("{problems}"),
    }
}

/// All problems, without the file's name.
fn bad(text: &str) -> Vec<String> {
    match with(text, &Overrides::default()) {
        Ok(topology) => panic!("was read: {topology:?}"),
        Err(problems) => problems
            .found
            .iter()
            .map(|problem| problem.to_string().trim_start_matches("t.toml:").to_owned())
            .collect(),
    }
}

/// Exactly one problem, which says this.
#[track_caller]
fn refused(text: &str, says: &str) {
    let problems = bad(text);
    assert!(problems.len() == 1 && problems[0].contains(says), "`{says}`? {problems:#?}");
}

fn address(text: &str) -> std::net::SocketAddr {
    text.parse().unwrap()
}

#[track_caller]
fn no_warning(file: &str, text: &str) {
    panic!("{file}: {text}");
}

#[test]
fn every_shipped_file_reads_clean() {
    for name in SHIPPED {
        if let Err(problems) = check(&shipped(name), no_warning) {
            panic!("{name}: {problems}");
        }
    }
    check(&shipped("x").with_file_name("petstore.yaml"), no_warning).unwrap();
}

/// Every key that is explained as a comment in one-box.toml is a key, and its value the default.
#[test]
fn the_commented_keys_of_one_box_are_real() {
    let uncommented: String = bundled()
        .lines()
        .map(|line| {
            let Some(rest) = line.strip_prefix("# ") else { return format!("{line}\n") };
            let is_key = rest.split_once(" = ").is_some_and(|(key, value)| {
                key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit())
                    && value.starts_with(|c: char| "\"[{tf0123456789".contains(c))
            });
            if is_key || (rest.starts_with('[') && rest.ends_with(']')) {
                format!("{rest}\n")
            } else {
                format!("{line}\n")
            }
        })
        .collect();
    let all = good(&uncommented);
    let some = good(bundled());
    assert_eq!(all.region.common.limits, some.region.common.limits);
    assert_eq!(all.region.common.timeouts, some.region.common.timeouts);
    assert_eq!(all.region.common.cluster, some.region.common.cluster);
    assert_eq!(all.region.common.gossip, some.region.common.gossip);
    assert_eq!(all.edges[0].regions, some.edges[0].regions);
    assert_eq!(all.region.common.log, some.region.common.log);
    assert_eq!(all.region.store, StoreConfig::in_folder(&all.region.common.data));
    // What was commented out was really read.
    assert_eq!(all.region.common.workers, Some(2));
    assert_eq!(all.region.common.certificates.len(), 1);
    assert_eq!(all.region.backends.roots, [PathBuf::from("/etc/gate/internal-ca.pem")]);
    assert_eq!(all.region.apis[0].id.as_str(), "a1b2c3d4e5");
    assert_eq!(all.region.apis[0].stage.defaults.throttling_rate_limit, Some(10_000.0));
}

#[test]
fn the_bundled_topology_is_what_the_documents_promise() {
    let topology = good(bundled());
    let region = &topology.region;
    assert_eq!(region.common.cluster.domain, "gateway.localhost");
    assert_eq!(region.public, Some(address("127.0.0.1:8440")));
    assert_eq!(region.common.admin.listen, address("127.0.0.1:4700"));
    assert!(!region.common.admin.https);
    assert_eq!(region.tunnel, Some(address("127.0.0.1:4701")));
    assert_eq!(region.common.gossip.listen, address("127.0.0.1:4702"));
    assert_eq!((region.private, region.plain), (None, None));
    let publics: Vec<_> = topology.edges.iter().map(|edge| edge.public).collect();
    assert_eq!(publics, [address("127.0.0.1:8443"), address("127.0.0.1:8444")]);
    assert_eq!(topology.edges[1].common.gossip.listen, address("127.0.0.1:4721"));
    assert_eq!(topology.edges[1].common.admin.listen, address("127.0.0.1:4720"));
    assert_eq!(topology.edges[0].regions, ["127.0.0.1:4701"]);
    let api = &region.apis[0];
    assert_eq!(api.document, Document::PetStore);
    assert_eq!(api.stage.name.as_str(), "prod");
    assert!(api.stage.cache_enabled);
    assert_eq!(api.stage.methods["pets/{petId}/GET"].cache_ttl_seconds, 300);
    assert_eq!(api.stage.methods["health/GET"].caching_enabled, Some(false));
    assert_eq!(api.stage.methods["health/GET"].cache_ttl_seconds, 60);
    let Topology { region, .. } = &topology;
    let (site, timeouts) = (region.common.site(), &region.common.timeouts);
    let imported = documents::load(api, &site, timeouts, region.doors()).unwrap();
    assert_eq!(imported.api.endpoint_type, EndpointType::Edge);
}

/// The defaults are those of the bundled file: writing them out changes nothing.
#[test]
fn defaults_are_the_documented_ones() {
    let bare = good("[region]\n[[edge]]\nname = \"edge-a\"\n[[edge]]\nname = \"edge-b\"\n");
    let full = good(bundled());
    assert_eq!(bare.region.public, full.region.public);
    assert_eq!(bare.region.tunnel, full.region.tunnel);
    assert_eq!(bare.region.common.gossip, full.region.common.gossip);
    assert_eq!(bare.region.common.admin, full.region.common.admin);
    for (bare, full) in bare.edges.iter().zip(&full.edges) {
        assert_eq!(bare.public, full.public);
        assert_eq!(bare.common.gossip, full.common.gossip);
        assert_eq!(bare.common.admin, full.common.admin);
        assert_eq!(bare.common.cache, full.common.cache);
        assert_eq!(bare.regions, full.regions);
    }
    let alone = good("[region]\n");
    assert_eq!(alone.region.tunnel, None);
    assert!(alone.region.common.gossip.seeds.is_empty());
}

#[test]
fn functions_and_services_of_others_are_named_with_their_keys() {
    let aws = |text: &str| good(&format!("[region]\n{text}")).region.aws;
    assert_eq!(aws(""), AwsConfig::default());
    let read = aws("[lambda]\nendpoint = \"http://127.0.0.1:9701\"\naccess_key_id = \"AKIA1\"\n\
         secret_key_file = \"l.secret\"\nregion = \"eu-west-1\"\n\
         [[lambda.function]]\nname = \"orders\"\nendpoint = \"https://orders.test\"\n\
         [[service]]\nname = \"dynamodb\"\nendpoint = \"http://127.0.0.1:8000\"\n\
         [[service]]\nname = \"data-ats.iot\"\nendpoint = \"http://iot.test\"\n\
         signing_name = \"iotdata\"\n\
         [[credentials]]\nrole = \"arn:aws:iam::1:role/x\"\naccess_key_id = \"AKIA2\"\n\
         secret_key_file = \"r.secret\"\nsession_token_file = \"/r.token\"\n\
         [sts]\naccess_key_id = \"AKIA3\"\nsecret_key_file = \"s.secret\"\n");
    assert_eq!(read.lambda.endpoint.as_deref(), Some("http://127.0.0.1:9701"));
    assert_eq!(read.lambda.functions[0].endpoint, "https://orders.test");
    assert_eq!(read.services[1].signing_name.as_deref(), Some("iotdata"));
    assert_eq!(read.credentials[0].role, "arn:aws:iam::1:role/x");
    let files: Vec<&str> = read.files().map(|file| file.to_str().unwrap()).collect();
    let expected = ["/etc/gate/l.secret", "/etc/gate/r.secret", "/r.token", "/etc/gate/s.secret"];
    assert_eq!(files, expected);
    let twice = "[[service]]\nname = \"sqs\"\nendpoint = \"http://a\"\n".repeat(2);
    for (text, says) in [
        ("[lambda]\nendpoint = \"127.0.0.1:9701\"", "it has no scheme"),
        ("[lambda]\naccess_key_id = \"AKIA1\"", "go together"),
        ("[lambda]\nendpiont = \"http://a\"", "did you mean `endpoint`?"),
        ("[[service]]\nname = \"sqs\"", "`endpoint` is missing"),
        (
            "[[credentials]]\nrole = \"admin\"\naccess_key_id = \"A\"\nsecret_key_file = \"f\"",
            "`admin` is no role",
        ),
        (twice.as_str(), "has an endpoint already"),
    ] {
        let problems = bad(&format!("[region]\n{text}\n"));
        assert!(problems.iter().any(|problem| problem.contains(says)), "{says}: {problems:#?}");
    }
}

#[test]
fn nodes_are_found_by_name() {
    let topology = good(bundled());
    let names: Vec<NodeName> =
        topology.nodes().iter().map(|node| node.common().name.clone()).collect();
    assert_eq!(names, ["region", "edge-a", "edge-b"].map(NodeName::new));
    assert!(matches!(topology.node("region"), Some(NodeConfig::Region(_))));
    assert!(matches!(topology.node("edge-b"), Some(NodeConfig::Edge(_))));
    assert!(topology.node("edge-c").is_none());
    assert_eq!(
        topology.edges[0].common.gossip.seeds,
        [address("127.0.0.1:4702"), address("127.0.0.1:4721")]
    );
}

#[test]
fn the_port_base_moves_everything_that_is_on() {
    let overrides = Overrides { port_base: Some(20_000), ..Overrides::default() };
    let topology = read(&shipped("three-pops"), &overrides).unwrap();
    let region = &topology.region;
    assert_eq!(region.common.admin.listen.port(), 20_000);
    assert_eq!(region.tunnel.unwrap().port(), 20_001);
    assert_eq!(region.common.gossip.listen.port(), 20_002);
    assert_eq!(region.public.unwrap().port(), 20_003);
    assert_eq!((region.private, region.plain), (None, None));
    for (edge, first) in topology.edges.iter().zip([20_010, 20_020, 20_030]) {
        assert_eq!(edge.public.port(), first);
        assert_eq!(edge.common.gossip.listen.port(), first + 1);
        assert_eq!(edge.common.gossip.advertise.port(), first + 1);
        assert_eq!(edge.common.admin.listen.port(), first + 2);
    }
    assert_eq!(topology.edges[0].regions, ["127.0.0.1:20001"]);
    assert_eq!(topology.edges[1].regions, ["127.0.0.1:20001", "localhost:20001"]);
    let private = read(&shipped("private"), &overrides).unwrap();
    assert_eq!(private.region.private.unwrap().port(), 20_004);
    let alone = read(&shipped("regional-only"), &overrides).unwrap();
    assert_eq!(alone.region.plain.unwrap().port(), 20_005);

    for base in [0, 65_530, 65_500] {
        let overrides = Overrides { port_base: Some(base), ..Overrides::default() };
        let problems = read(&shipped("three-pops"), &overrides).unwrap_err().to_string();
        assert!(problems.contains("leaves no room") && problems.contains("from 1 to 65495"));
    }
}

#[test]
fn data_folders() {
    let text = "[region]\ndata = \"r\"\n[[edge]]\nname = \"e\"\ncache = { folder = \"hot\" }\n";
    let topology = good(text);
    assert_eq!(topology.region.common.data, Path::new("/etc/gate/r"));
    assert_eq!(topology.region.common.cache.folder, Path::new("/etc/gate/r/cache"));
    assert_eq!(topology.edges[0].common.data, Path::new("tidegate-data/e"));
    assert_eq!(topology.edges[0].common.cache.folder, Path::new("tidegate-data/e/hot"));
    let overrides = Overrides { data: Some("/d".into()), ..Overrides::default() };
    let moved = with(text, &overrides).unwrap();
    assert_eq!(moved.region.common.data, Path::new("/d/region"));
    assert_eq!(moved.edges[0].common.cache.folder, Path::new("/d/e/hot"));
}

#[test]
fn the_store_is_in_the_data_folder_or_where_the_file_says() {
    let store = |text: &str| good(&format!("[region]\ndata = \"/d\"\n{text}")).region.store;
    let default = store("");
    assert_eq!(default.database, DatabaseConfig::Sqlite { path: "/d/control.db".into() });
    assert_eq!(default.key, KeySource::File("/d/control.key".into()));
    let moved = store("store = { url = \"sqlite:///var/c.db\", key_file = \"/etc/gate.key\" }\n");
    assert_eq!(moved.database, DatabaseConfig::Sqlite { path: "/var/c.db".into() });
    assert_eq!(moved.key, KeySource::File("/etc/gate.key".into()));
    let shared = store(
        "[region.store]\nurl = \"postgres://gate@db/control\"\npassword_file = \"pw\"\n\
         key_command = [\"kms\", \"decrypt\"]\n",
    );
    let DatabaseConfig::Postgres { url, password_file } = shared.database else {
        panic!("{shared:?}");
    };
    assert_eq!(url.to_string(), "postgres://gate@db:5432/control");
    assert_eq!(password_file, Some("/d/pw".into()));
    assert_eq!(shared.key, KeySource::Command(vec!["kms".into(), "decrypt".into()]));
    for (text, says) in [
        ("url = \"sqlite:\"", "no file to keep anything in"),
        ("url = \"sqlite::memory:\"", "no file to keep anything in"),
        ("url = \"mysql://u:secret@h/d\"", "region.store.url: this is no database"),
        ("key_fil = \"x\"", "did you mean `key_file`?"),
        ("password_file = \"pw\"", "only a `postgres://` database has a password"),
        ("key_file = \"k\"\nkey_command = [\"kms\"]", "leave one out"),
        ("key_command = []", "no command"),
        ("key_command = \"kms decrypt\"", "expected a list"),
    ] {
        let problems = bad(&format!("[region]\n[region.store]\n{text}\n"));
        assert!(problems.iter().any(|problem| problem.contains(says)), "{says}: {problems:#?}");
        assert!(!problems.concat().contains("secret"), "{problems:?}");
    }
}

#[test]
fn nodes_on_machines_of_their_own() {
    let topology = good(
        "[region]\naddress = \"10.0.0.1\"\n\
         listeners = { public = \"0.0.0.0:443\", tunnel = \"[::]:4701\", gossip = \"0.0.0.0:4702\", admin = \"10.0.0.1:4700\" }\n\
         [[edge]]\nname = \"a\"\naddress = \"10.0.0.2\"\n\
         listeners = { public = \"0.0.0.0:443\", gossip = \"0.0.0.0:4702\", admin = \"127.0.0.1:4700\" }\n\
         [[edge]]\nname = \"b\"\naddress = \"10.0.0.3\"\nregion = [\"home.example.com:4701\"]\n\
         listeners = { public = \"0.0.0.0:443\", gossip = \"0.0.0.0:4702\", admin = \"127.0.0.1:4700\" }\n",
    );
    assert!(topology.region.common.admin.https);
    assert!(!topology.edges[0].common.admin.https);
    assert_eq!(topology.edges[0].regions, ["10.0.0.1:4701"]);
    assert_eq!(topology.edges[1].regions, ["home.example.com:4701"]);
    assert_eq!(
        topology.edges[0].common.gossip.seeds,
        [address("10.0.0.1:4702"), address("10.0.0.3:4702")]
    );
}

#[test]
fn sizes_and_times_are_read_as_people_write_them() {
    let topology = good(
        "[region]\ncache = { memory_bytes = \"1GiB\", disk_bytes = 0 }\n[limits]\nbody_bytes = \"1 MB\"\n\
         [timeouts]\nidle = 5\nstall = \"1500ms\"\nintegration_max = \"2m\"\n",
    );
    let common = &topology.region.common;
    assert_eq!((common.cache.memory_bytes, common.cache.disk_bytes), (1 << 30, 0));
    assert_eq!(common.limits.body_bytes, 1_000_000);
    assert_eq!(common.timeouts.idle, Duration::from_secs(5));
    assert_eq!(common.timeouts.stall, Duration::from_millis(1_500));
    assert_eq!(common.timeouts.integration_max, Duration::from_secs(120));
    for bad in
        ["\"\"", "\"MiB\"", "\"1.5MiB\"", "\"99999999999999999999MiB\"", "-1", "true", "\"1 XB\""]
    {
        refused(
            &format!("[region]\n[limits]\nbody_bytes = {bad}\n"),
            "3:1: limits.body_bytes: no size",
        );
    }
    for bad in ["\"\"", "\"s\"", "\"1d\"", "1.5", "\"99999999999999999h\""] {
        refused(&format!("[region]\n[timeouts]\nidle = {bad}\n"), "3:1: timeouts.idle: no time");
    }
    refused("[region]\n[timeouts]\nidle = 4000\n", "is not between");
}

#[test]
fn every_mistake_is_named_with_its_line_and_the_nearest_key() {
    let problems = bad(
        "[cluster]\nnane = \"x\"\n\n[region]\nadress = \"1.2.3.4\"\naccount_id = \"12\"\n\n[[edge]]\npop = \"fra\"\n\n[[api]]\nstage = \"a b\"\n",
    );
    assert_eq!(
        problems,
        [
            "2:1: cluster.nane: unknown key (did you mean `name`?)",
            "5:1: region.adress: unknown key (did you mean `address`?)",
            "6:1: region.account_id: `12` is no account id (twelve digits)",
            "8:1: edge[0]: `name` is missing",
            "11:1: api[0]: `document` is missing",
            "12:1: api[0].stage: `a b` is no stage name (letters, digits, `-` and `_`, at most 128)",
        ]
    );
}

#[test]
fn mistakes_are_refused() {
    for (text, says) in [
        ("", "`region` is missing"),
        ("regoin = 1\n[region]\n", "did you mean `region`?"),
        ("[region]\nname = \"a b\"\n", "is no name"),
        ("[region]\nlisteners = { public = \"localhost:1\" }\n", "no address to listen on"),
        ("[region]\nlisteners = { admin = \"off\" }\n", "no address to listen on"),
        ("[region]\nlisteners = { gossip = \"0.0.0.0:1\" }\n", "`address` is missing"),
        ("[region]\nlisteners = { pubic = \"off\" }\n", "did you mean `public`?"),
        ("[region]\nlisteners = 5\n", "expected a table, found an integer"),
        ("[region]\naddress = \"0.0.0.0\"\n", "no IP address others could reach"),
        ("[region]\nlisteners = { private = \"127.0.0.1:8440\" }\n", "takes port 8440"),
        ("[region]\nlisteners = { plain = \"127.0.0.1:4700\" }\n", "takes port 4700"),
        (
            "[region]\nlisteners = { tunnel = \"off\" }\n[[edge]]\nname = \"e\"\n",
            "tunnel must be on",
        ),
        ("[region]\n[[edge]]\nname = \"region\"\n", "already named `region`"),
        ("[region]\n[[edge]]\nname = \"e\"\nregion = [\"x\"]\n", "no address to dial"),
        (
            "[region]\n[[edge]]\nname = \"e\"\nlisteners = { public = \"127.0.0.1:8440\" }\n",
            "takes port 8440",
        ),
        ("[region]\ncache = { disk_bytes = \"1MiB\" }\n", "at least 64 MiB"),
        ("[region]\n[workers]\ncount = 0\n", "0 is not between 1 and 256"),
        ("[region]\n[log]\nformat = \"xml\"\n", "no log format"),
        ("[region]\n[cluster]\ndomain = \"a b\"\n", "no host name"),
        (
            "[region]\n[[certificate]]\nnames = [\"a.*.b\"]\ncert = \"c\"\nkey = \"k\"\n",
            "no host name",
        ),
        (
            "[region]\n[[certificate]]\nnames = [\"a\", \"A\"]\ncert = \"c\"\nkey = \"k\"\n",
            "has a certificate already",
        ),
        ("[region]\n[[api]]\ndocument = \"bundled:shop\"\n", "is not bundled"),
        ("[region]\n[[api]]\ndocument = \"a.yaml\"\nid = \"A\"\n", "is no API id"),
        (
            "[region]\n[[api]]\ndocument = \"a.yaml\"\n[[api]]\ndocument = \"b/a.json\"\n",
            "has a stage `prod` already",
        ),
        (
            "[region]\n[[api]]\ndocument = \"a.yaml\"\nendpoint_type = \"edge\"\n",
            "is no endpoint type",
        ),
        (
            "[region]\n[[api]]\ndocument = \"a.yaml\"\nendpoint_type = \"EDGE\"\n",
            "nothing listens for that",
        ),
        (
            "[region]\n[[api]]\ndocument = \"a.yaml\"\nendpoint_type = \"PRIVATE\"\n",
            "nothing listens for that",
        ),
        (
            "[region]\n[[api]]\ndocument = \"a.yaml\"\ncache = { ttl_seconds = 3601 }\n",
            "between 0 and 3600",
        ),
        (
            "[region]\n[[api]]\ndocument = \"a.yaml\"\ncache = { methods = { \"pets\" = {} } }\n",
            "is no method",
        ),
        (
            "[region]\n[[api]]\ndocument = \"a.yaml\"\ncache = { methods = { \"/pets/GET\" = {} } }\n",
            "leave the first `/` out",
        ),
        (
            "[region]\n[[api]]\ndocument = \"a.yaml\"\nvariables = { a = \"b c\" }\n",
            "cannot have this value",
        ),
        (
            "[region]\n[[api]]\ndocument = \"a.yaml\"\nvariables = { \"a-b\" = \"c\" }\n",
            "no name of a stage variable",
        ),
        (
            "[region]\n[[api]]\ndocument = \"a.yaml\"\naccess_log = { format = \"$context.status\" }\n",
            "holds $context.requestId",
        ),
        (
            "[region]\n[[api]]\ndocument = \"a.yaml\"\naccess_log = { format = \"CLF\", destination = \"../x\" }\n",
            "data folder",
        ),
        (
            "[region]\n[[api]]\ndocument = \"a.yaml\"\naccess_log = { format = \"CLF\", destination = \"/etc/x\" }\n",
            "data folder",
        ),
        ("[region]\nname = \"a\"\nname = \"b\"\n", "not valid TOML"),
        ("[region\n", "not valid TOML"),
        ("edge = 5\n[region]\n", "expected a list, found an integer"),
    ] {
        let problems = bad(text);
        assert!(problems.iter().any(|problem| problem.contains(says)), "{says}: {problems:#?}");
    }
}

#[test]
fn apis_of_the_command_line() {
    let edges = good(bundled());
    let alone = good("[region]\n");
    let paths = [PathBuf::from("x/shop.yaml"), PathBuf::from("bank.json")];
    let apis = apis_from_documents(&paths, &edges).unwrap();
    assert_eq!(apis[0].label, "shop");
    assert_eq!(apis[0].id, ApiId::derived("shop"));
    assert_eq!(apis[0].stage.name.as_str(), "prod");
    assert_eq!(apis[0].endpoint_type_default, EndpointType::Edge);
    assert_eq!(apis[0].file(), Some(Path::new("x/shop.yaml")));
    let api = api_from_document(&paths[0], &alone);
    assert_eq!(api.endpoint_type_default, EndpointType::Regional);
    let twice = [PathBuf::from("a/shop.yaml"), PathBuf::from("b/shop.json")];
    let problems = apis_from_documents(&twice, &edges).unwrap_err();
    assert!(problems.to_string().contains("already named `shop`"));
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let problems = read(Path::new("/nowhere/t.toml"), &Overrides::default()).unwrap_err();
    assert!(problems.to_string().starts_with("/nowhere/t.toml: cannot be read"), "{problems}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.toml");
    std::fs::write(
        &file,
        "[region]\n[[api]]\ndocument = \"gone.yaml\"\n[backends]\nroots = [\"gone.pem\"]\n",
    )
    .unwrap();
    let problems = check(&file, |_, _| {}).unwrap_err().to_string();
    assert!(problems.contains("gone.yaml: cannot be read"), "{problems}");
    assert!(problems.contains("gone.pem: cannot be read"), "{problems}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,300}") {
        drop(with(&text, &Overrides::default()));
    }

    #[test]
    fn a_mutated_topology_is_read_or_refused(
        place in 0..bundled().len(),
        end in 0..bundled().len(),
        noise in "[\\[\\]{}=\".,\n a-z0-9-]{0,8}",
        base in proptest::option::of(any::<u16>()),
    ) {
        let text = bundled();
        let (Some(head), Some(tail)) = (text.get(..place), text.get(end.max(place)..)) else {
            return Ok(());
        };
        let mutated = format!("{head}{noise}{tail}");
        drop(with(&mutated, &Overrides { port_base: base, data: None }));
    }

    /// Every value of a known key, of whatever kind, is read or refused.
    #[test]
    fn any_value_of_any_key_is_read_or_refused(
        line in 0..bundled().lines().count(),
        value in proptest::sample::select(vec![
            "0", "-1", "9223372036854775807", "1.5", "nan", "true", "\"\"", "\"off\"", "[]", "[1]",
            "[[]]", "{}", "{ a = 1 }", "1979-05-27", "\"\\u0000\"", "\"é\"", "\"0.0.0.0:1\"",
        ]),
    ) {
        let text: String = bundled()
            .lines()
            .enumerate()
            .map(|(number, text)| match text.trim_start_matches("# ").split_once(" = ") {
                Some((key, _)) if number == line => format!("{key} = {value}\n"),
                _ => format!("{text}\n"),
            })
            .collect();
        drop(with(&text, &Overrides::default()));
    }
}

/// What only the definition says is seen when it is read: all of it, at once.
#[test]
fn check_sees_whether_definition_and_topology_fit() {
    const MOCK: &str = "      responses: { \"200\": { description: x } }
      x-amazon-apigateway-integration:
        type: mock
        requestTemplates: { application/json: '{\"statusCode\": 200}' }
        responses: { default: { statusCode: \"200\" } }
";
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    let document = |title: &str, kind: &str| {
        format!(
            "openapi: 3.0.1\ninfo: {{ title: {title}, version: \"1\" }}\n\
             servers: [{{ x-amazon-apigateway-endpoint-configuration: {{ types: [{kind}] }} }}]\n\
             paths:\n  /pets:\n    get:\n{MOCK}"
        )
    };
    write("closed.yaml", document("closed", "PRIVATE"));
    write("open.yaml", document("open", "REGIONAL"));
    let topology = "[region]\n[[api]]\ndocument = \"closed.yaml\"\n\
                    [[api]]\ndocument = \"open.yaml\"\n\
                    [api.cache.methods]\n\"pet/GET\" = { ttl_seconds = 1 }\n";
    write("t.toml", topology.to_owned());
    let file = folder.path().join("t.toml");
    let text = check(&file, |_, _| {}).unwrap_err().to_string();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(
        text.contains(
            "closed.yaml:3:59: servers[0].x-amazon-apigateway-endpoint-configuration.types: the \
             API is PRIVATE, and nothing listens for that"
        ),
        "{text}"
    );
    assert!(text.contains("give the region a `private` listener"), "{text}");
    assert!(text.contains("open.yaml: the topology has settings for `pet/GET`"), "{text}");
    assert!(text.contains("did you mean `pets/GET`?"), "{text}");

    let listeners = "[region.listeners]\nprivate = \"127.0.0.1:8441\"\n";
    let mended = topology.replace("\"pet/GET\"", "\"pets/GET\"") + listeners;
    write("t.toml", mended);
    check(&file, |_, _| {}).unwrap();
}

const BALANCER: &str = r#"
[region]
[[region.load_balancer]]
arn = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/net/orders/1"
tls_roots = ["orders.pem"]
health = { path = "/up", interval = "2s", timeout = "500ms", healthy = 2, unhealthy = 4 }
outliers = { failures = 3, ejected_for = "1s", ejected_at_most = "1m" }
[[region.load_balancer.listener]]
port = 80
targets = ["10.0.0.5:8080", "[fd00::1]:8080", "Orders.internal:80"]
[[region.load_balancer.listener]]
arn = "arn:aws:elasticloadbalancing:us-east-1:000000000000:listener/net/orders/1/2"
port = 443
targets = ["10.0.0.5:8443"]
[backends]
connections_max = 10
pending_max = 0
circuit = { failures = 5, open_for = "1m" }
"#;

#[test]
fn load_balancers_and_the_bounds_of_backends() {
    use crate::integration::link::{Check, OutlierConfig};

    let region = good(BALANCER).region;
    let [balancer] = region.balancers.as_slice() else { panic!("{:?}", region.balancers) };
    assert_eq!(balancer.tls_roots, [PathBuf::from("/etc/gate/orders.pem")]);
    let health = balancer.health.as_ref().unwrap();
    assert!(matches!(&health.check, Check::Http { path } if path == "/up"));
    assert_eq!((health.timeout, health.unhealthy), (Duration::from_millis(500), 4));
    let most = balancer.outliers.ejected_at_most;
    assert_eq!((balancer.outliers.failures, most), (3, Duration::from_secs(60)));
    let [plain, secure] = balancer.listeners.as_slice() else { panic!() };
    let hosts: Vec<_> = plain.targets.iter().map(|(host, port)| (&**host, *port)).collect();
    assert_eq!(hosts, [("10.0.0.5", 8080), ("fd00::1", 8080), ("orders.internal", 80)]);
    assert_eq!((secure.port, secure.arn.is_some(), plain.arn.is_some()), (443, true, false));
    let backends = &region.backends;
    assert_eq!((backends.connections_max, backends.pending_max), (Some(10), Some(0)));
    let circuit = backends.circuit.unwrap();
    assert_eq!((circuit.failures, circuit.window), (5, Duration::from_secs(10)));
    assert_eq!(region.site().installation.load_balancers.join(" "), balancer.arn);

    let region = good("[region]\n").region;
    assert!(region.balancers.is_empty() && region.backends.circuit.is_none());
    let sparse = "[region]\n[[region.load_balancer]]\narn = \"arn:aws:x:y:z:n/1\"\n\
                  [[region.load_balancer.listener]]\nport = 80\ntargets = [\"a:1\"]\n";
    let sparse = &good(sparse).region.balancers[0];
    assert!(sparse.health.is_none());
    assert_eq!(sparse.outliers, OutlierConfig::default());
}

#[test]
fn load_balancers_that_cannot_be() {
    for (from, to, says) in [
        ("arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer", "nlb", "no ARN"),
        ("port = 443", "port = 80", "already"),
        ("port = 443", "", "`port` is missing"),
        ("[\"10.0.0.5:8443\"]", "[]", "1 to 64 targets"),
        ("[\"10.0.0.5:8443\"]", "[\"10.0.0.5\"]", "no address to dial"),
        ("path = \"/up\"", "tcp = false", "asks for a path"),
        ("path = \"/up\"", "path = \"up\"", "no path"),
        ("path = \"/up\",", "path = \"/up\", tcp = true,", "asks for a path"),
        ("healthy = 2", "helathy = 2", "unknown key"),
        ("failures = 3", "failures = 0", "not between 1"),
        ("failures = 5, ", "", "`failures` is missing"),
        ("connections_max = 10", "connections_max = 0", "not between 1"),
    ] {
        assert!(BALANCER.contains(from), "{from}");
        let problems = bad(&BALANCER.replacen(from, to, 1));
        assert!(problems.iter().any(|problem| problem.contains(says)), "{says}: {problems:#?}");
    }
}

#[test]
fn functions_are_read_with_lambdas_defaults() {
    use crate::integration::lambda::local::{FunctionConfig, Package, Runtime, Runtimes};

    let topology = good(
        "[region]\n\
         [[function]]\nname = \"small\"\nruntime = \"python3.12\"\nhandler = \"app.handler\"\n\
         code = \"small\"\n\
         [[function]]\nname = \"full\"\nruntime = \"provided.al2023\"\ncode = \"/opt/full.zip\"\n\
         command = [\"./serve\", \"-v\"]\nenvironment = { TABLE = \"orders\" }\n\
         timeout = \"15m\"\nmemory = 512\nconcurrency = 200\nidle = 60\nqueue = \"0s\"\n\
         aliases = [\"live\", \"1\"]\n\
         [[function]]\nname = \"elsewhere\"\nendpoint = \"http://127.0.0.1:9701\"\n\
         [runtimes]\npython = \"venv/bin/python\"\nnode = \"node22\"\nnode_client = \"ric\"\n",
    );
    let functions = topology.region.functions;
    let runtime = |name| Runtime::parse(name).unwrap();
    let package = Package::Folder("/etc/gate/small".into());
    let small = FunctionConfig::new("small", runtime("python3.12"), Some("app.handler"), package);
    let package = Package::Zip("/opt/full.zip".into());
    let full = FunctionConfig {
        command: Some(vec!["./serve".to_owned(), "-v".to_owned()]),
        environment: [("TABLE".to_owned(), "orders".to_owned())].into_iter().collect(),
        timeout: Duration::from_secs(900),
        memory_mb: 512,
        concurrency: 200,
        idle: Duration::from_secs(60),
        queue: Some(Duration::ZERO),
        aliases: vec!["live".to_owned(), "1".to_owned()],
        ..FunctionConfig::new("full", runtime("provided.al2023"), None, package)
    };
    assert_eq!(small.timeout, Duration::from_secs(3));
    assert_eq!((small.memory_mb, small.concurrency, small.queue), (128, 10, None));
    assert_eq!(functions.functions, [small, full]);
    let runtimes = Runtimes {
        python: "/etc/gate/venv/bin/python".into(),
        python_client: None,
        node: "node22".into(),
        node_client: Some("/etc/gate/ric".into()),
    };
    assert_eq!(functions.runtimes, runtimes);
}

#[test]
fn wrong_functions_are_named() {
    let function = |change: &str| {
        let key = change.split(' ').next().unwrap();
        let base = [
            "name = \"f\"",
            "runtime = \"python3.12\"",
            "handler = \"app.handler\"",
            "code = \"f\"",
        ];
        let kept = base.iter().filter(|line| line.split(' ').next() != Some(key));
        let lines: Vec<&str> = kept.copied().chain([change]).collect();
        format!("[region]\n[[function]]\n{}\n", lines.join("\n"))
    };
    for (change, says) in [
        ("name = \"a b\"", "`a b` is no function's name"),
        ("runtime = \"java21\"", "runtime `java21` is not known here"),
        ("handler = \"a b\"", "`a b` is no handler"),
        ("code = \"\"", "no path"),
        ("command = []", "no command"),
        ("timeout = \"0s\"", "is not between"),
        ("timeout = 901", "is not between"),
        ("memory = 64", "64 is not between 128 and 10240"),
        ("concurrency = 0", "0 is not between 1 and 1000"),
        ("queue = \"1h\"", "is not between"),
        ("aliases = [\"a b\"]", "`a b` is neither an alias nor a version"),
        ("environment = { AWS_REGION = \"x\" }", "`AWS_REGION` cannot be set"),
        ("environment = { \"1\" = \"x\" }", "`1` cannot be set"),
        ("timeot = 3", "did you mean `timeout`?"),
    ] {
        refused(&function(change), says);
    }
    refused(
        &function("handler = \"x.y\"").replace("handler = \"x.y\"", ""),
        "`handler` is missing",
    );
    let twice = format!(
        "{}{}",
        function("memory = 128"),
        function("memory = 128").replace("[region]\n", "")
    );
    refused(&twice, "there is a function `f` already");
    refused(
        &function(&format!("environment = {{ A = \"{}\" }}", "x".repeat(4096))),
        "Lambda allows 4096",
    );
}
