//! The command line: arguments only. What a command does is the business of `main`.
//!
//! Names, flags and exit codes are a promise to scripts: 0 a clean end, 64 bad usage (sysexits.h,
//! EX_USAGE), 78 bad configuration (EX_CONFIG). [`parse`] returns clap's error instead of ending
//! the process, because clap would end it with 2.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::admin::cors::HEADERS;

/// Exit code of bad usage.
pub const EXIT_USAGE: u8 = 64;
/// Exit code of bad configuration.
pub const EXIT_CONFIG: u8 = 78;

/// An API gateway that behaves like AWS API Gateway, with an edge network of its own in front.
#[derive(Clone, Debug, PartialEq, Eq, Parser)]
#[command(
    name = "tidegate",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 clean end, 64 bad usage, 78 bad configuration, 1 anything else.\n\n\
        Start here:\n  \
        tidegate up                      region, two edges and a pet store on this machine\n  \
        tidegate up --help               how to serve your own API"
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Run all nodes of a topology in one process
    #[command(
        after_help = "Prints one line per node and per API when they are ready, with a curl \
        command that works when pasted. API documents are OpenAPI 3.0, 3.1 or Swagger 2.0, JSON or \
        YAML; they are re-read when they change, and a broken one keeps the API as it was. They are \
        served on stage `prod`, in place of the topology's own APIs. Stop with Ctrl-C.\n\n\
        Examples:\n  \
        tidegate up                                   the bundled pet store\n  \
        tidegate up shop.yaml                         your API\n  \
        tidegate up --topology topology/three-pops.toml\n  \
        tidegate up --data /tmp/gate --port-base 20000\n\n\
        Ports with --port-base N: region admin N, tunnel N+1, gossip N+2, public N+3, private N+4, \
        plain N+5; edge i, from 0: public N+10(i+1), gossip +1, admin +2, plain +3."
    )]
    Up(Up),
    /// Run one node of a topology
    #[command(
        after_help = "The node needs the cluster's CA certificate and its own certificates in \
        its data folder, which is the folder of its name in --data; `tidegate ca` makes them.\n\n\
        Examples:\n  \
        tidegate node home --topology cluster.toml --data /var/lib/tidegate\n  \
        tidegate node fra  --topology cluster.toml --data /var/lib/tidegate"
    )]
    Node(Node),
    /// Check topology files and API documents
    #[command(after_help = "Files that end in .toml are topologies, with all documents and \
        certificates they name; others are API documents. Each problem is printed as \
        file:line:column: key: what is wrong (what to do). Ends with 78 when there is one.\n\n\
        Examples:\n  \
        tidegate check shop.yaml\n  \
        tidegate check topology/*.toml")]
    Check(Check),
    /// Show the nodes of a running cluster
    #[command(after_help = "Asks one node's admin listener what gossip tells it: nodes alive and \
        dead, role, PoP, version, configuration epoch and lag, cache fill, uptime.\n\n\
        Examples:\n  \
        tidegate status                               the default topology on this machine\n  \
        tidegate status --admin http://127.0.0.1:4710\n  \
        tidegate status --topology cluster.toml --json")]
    Status(Status),
    /// Drop cached answers on all nodes
    #[command(after_help = "Says how many nodes confirmed. A node that is away drops the answers \
        before it serves again. In a glob `*` stands for any text, slashes included, and `?` for \
        one character.\n\n\
        Examples:\n  \
        tidegate purge --api a1b2c3d4e5 --stage prod\n  \
        tidegate purge --api a1b2c3d4e5 --stage prod --path '/pets/*'")]
    Purge(Purge),
    /// Make the API Gateway resources of a SAM or CloudFormation template
    #[command(
        after_help = "Asks a running region's control plane, as AWS's tools do. Sign with an access \
        key of the region's in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN); \
        without one the region must be `up --open-admin`.\n\n\
        The region remembers what a stack made. The same template again changes nothing; a changed \
        property is changed in place, or by another resource where AWS replaces, too; what the \
        template does not have any more is deleted, unless its DeletionPolicy is Retain. What is not \
        API Gateway's is listed as skipped, and references to it become the ARN that AWS would form. \
        Files that the template names must lie in its folder or below. Run one import of a stack at \
        a time.\n\n\
        Ends with 78 when the template is wrong, and then nothing was changed; with 1 when the region \
        refuses something: repeat the run when that is mended.\n\n\
        Examples:\n  \
        tidegate import template.yaml --dry-run\n  \
        tidegate import template.yaml --stack-name shop --parameter Stage=prod\n  \
        tidegate import cdk.out/Shop.template.json --admin http://127.0.0.1:4700"
    )]
    Import(Import),
    /// Let web pages of other origins call an API
    #[command(
        after_help = "Asks a running region's control plane, and signs like `tidegate import`.\n\n\
        Examples:\n  \
        tidegate cors enable --api a1b2c3d4e5 --origin https://shop.example --deploy prod\n  \
        tidegate cors enable --api shop --origin '*' --path /pets"
    )]
    Cors(Cors),
    /// Copy what the region's control plane was told into a file
    #[command(
        after_help = "Works while the region runs, on its machine. The copy is whole and checked, \
        and an existing file is never overwritten. It stays sealed: keep the region's key file, \
        too, and apart from it. To go back, stop the region, put the copy in the place of \
        control.db in the region's data folder, and remove control.db-wal and control.db-shm. For \
        PostgreSQL it prints the command that does the same.\n\n\
        Examples:\n  \
        tidegate backup control-monday.db\n  \
        tidegate backup /backup/control.db --topology cluster.toml --data /var/lib/tidegate"
    )]
    Backup(Backup),
    /// Make the cluster's certificate authority and its node certificates
    #[command(
        after_help = "For topologies that span machines; `tidegate up` does it by itself.\n\n\
        Examples:\n  \
        tidegate ca init  --topology cluster.toml --out ca\n  \
        tidegate ca issue fra --topology cluster.toml --out ca\n\n\
        Then bring cluster-ca.pem, fra.pem, fra.key, fra-https.pem and fra-https.key to the machine \
        of `fra`, into the folder `fra` of its --data. Clients trust public-ca.pem. The keys of the \
        CAs, cluster-ca.key and public-ca.key, stay where they are."
    )]
    Ca(Ca),
    /// Manage who may use the control plane: users, access keys, policies
    #[command(
        after_help = "Works on the region's store directly, whether the region runs or not; a \
        running region follows within a second. The first start of a region makes a user `admin` \
        and prints its access key once.\n\n\
        Policies are AWS's: AdministratorAccess, ReadOnlyAccess, or a file with a policy document \
        over apigateway:GET, POST, PUT, PATCH, DELETE and arn:aws:apigateway:REGION::/restapis/…\n\n\
        Examples:\n  \
        tidegate iam list\n  \
        tidegate iam create-user deployer\n  \
        tidegate iam attach-policy deployer --policy AdministratorAccess\n  \
        tidegate iam attach-policy deployer --policy shop-only --file shop-only.json\n  \
        tidegate iam create-key deployer\n  \
        tidegate iam delete-key AKIA…"
    )]
    Iam(Iam),
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Up {
    /// API documents to serve, in place of the topology's own APIs
    #[arg(value_name = "API")]
    pub apis: Vec<PathBuf>,
    #[command(flatten)]
    pub place: Place,
    /// Move all ports: the region takes N to N+5, the first edge N+10 to N+13, the next N+20 …
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub port_base: Option<u16>,
    /// Accept any credentials on the admin listener, and none: for tests on this machine only
    #[arg(long)]
    pub open_admin: bool,
}

/// Which cluster, and where its data lies.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Place {
    /// Topology file; without it the bundled one: a region and two edges on this machine
    #[arg(long, value_name = "FILE")]
    pub topology: Option<PathBuf>,
    /// Folder for certificates, caches and logs; each node has a folder of its name in it
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Node {
    /// The node's name in the topology
    pub name: String,
    /// Topology file
    #[arg(long, value_name = "FILE")]
    pub topology: PathBuf,
    /// Folder for certificates, caches and logs; the node has a folder of its name in it
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Check {
    /// Topology files (.toml) and API documents
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Status {
    #[command(flatten)]
    pub door: AdminDoor,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Which admin listener to ask.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct AdminDoor {
    /// Topology file whose region is asked; without it and --admin the bundled one
    #[arg(long, value_name = "FILE", conflicts_with = "admin")]
    pub topology: Option<PathBuf>,
    /// Admin listener to ask, such as http://127.0.0.1:4700
    #[arg(long, value_name = "URL")]
    pub admin: Option<String>,
    /// CA certificates (PEM) of an HTTPS admin listener
    #[arg(long, value_name = "PEM")]
    pub ca: Option<PathBuf>,
    /// Certificate (PEM) of a node of the cluster, which changes from another machine need
    #[arg(long, value_name = "PEM", requires = "key", requires = "ca")]
    pub cert: Option<PathBuf>,
    /// Key (PEM) of that certificate
    #[arg(long, value_name = "PEM", requires = "cert")]
    pub key: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Purge {
    /// The API's id
    #[arg(long, value_name = "ID")]
    pub api: String,
    /// The stage's name
    #[arg(long, value_name = "NAME")]
    pub stage: String,
    /// Only answers of paths like this, without the stage; such as '/pets/*'
    #[arg(long, value_name = "GLOB")]
    pub path: Option<String>,
    #[command(flatten)]
    pub door: AdminDoor,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Import {
    /// SAM or CloudFormation template, YAML or JSON
    pub template: PathBuf,
    /// The name under which the region remembers what was made; without it the file's, without its
    /// ending
    #[arg(long, value_name = "NAME")]
    pub stack_name: Option<String>,
    /// Value of a parameter of the template
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = pair)]
    pub parameters: Vec<(String, String)>,
    /// What Fn::ImportValue finds under a name
    #[arg(long = "export", value_name = "NAME=VALUE", value_parser = pair)]
    pub exports: Vec<(String, String)>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// AWS region to sign for; without it AWS_REGION, AWS_DEFAULT_REGION, or the topology's
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    #[command(flatten)]
    pub door: AdminDoor,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Cors {
    #[command(subcommand)]
    pub command: CorsCommand,
}

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum CorsCommand {
    /// Do what the console's button "Enable CORS" does
    #[command(
        after_help = "For each resource with methods: an OPTIONS method that a MOCK answers (one that \
        was there is replaced, unless it calls a backend); Access-Control-Allow-Origin on the answers \
        of methods that are no proxies, and on the gateway's refusals. What is left to do is printed. \
        It may be run again with other origins.\n\n\
        Examples:\n  \
        tidegate cors enable --api a1b2c3d4e5 --origin https://shop.example --deploy prod\n  \
        tidegate cors enable --api shop --origin https://a.example --origin https://b.example"
    )]
    Enable(CorsEnable),
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct CorsEnable {
    /// The REST API's id, or its name
    #[arg(long, value_name = "ID|NAME")]
    pub api: String,
    /// Origin whose pages may call: scheme and host, or '*' for all; may be repeated
    #[arg(long = "origin", value_name = "ORIGIN", required = true)]
    pub origins: Vec<String>,
    /// Only the resource of this path, such as /pets/{id}; may be repeated
    #[arg(long = "path", value_name = "PATH")]
    pub paths: Vec<String>,
    /// Request headers that pages may send, with commas between
    #[arg(long, value_name = "LIST", default_value = HEADERS)]
    pub headers: String,
    /// Let pages send cookies and credentials
    #[arg(long)]
    pub credentials: bool,
    /// How long a browser may remember the answer, in seconds
    #[arg(long, value_name = "SECONDS")]
    pub max_age: Option<u32>,
    /// Deploy the API to this stage afterwards
    #[arg(long, value_name = "STAGE")]
    pub deploy: Option<String>,
    /// AWS region to sign for; without it AWS_REGION, AWS_DEFAULT_REGION, or the topology's
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    #[command(flatten)]
    pub door: AdminDoor,
}

/// `NAME=VALUE`; the value may be empty and may hold `=`.
fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it is no NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Backup {
    /// The file to make
    pub file: PathBuf,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Ca {
    #[command(subcommand)]
    pub command: CaCommand,
}

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum CaCommand {
    /// Make the CA; an existing one is never overwritten
    Init(CaPlace),
    /// Issue the certificate of a node, with its role in it
    Issue {
        /// The node's name in the topology
        node: String,
        #[command(flatten)]
        place: CaPlace,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct CaPlace {
    /// Topology file: it says the cluster's name and each node's role; without it the bundled one
    #[arg(long, value_name = "FILE")]
    pub topology: Option<PathBuf>,
    /// Folder of the CA; the issued files go there too
    #[arg(long, value_name = "DIR", default_value = "tidegate-ca")]
    pub out: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Iam {
    #[command(subcommand)]
    pub command: IamCommand,
}

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum IamCommand {
    /// Show users with their keys and policies; never secrets
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Make a user, who may do nothing yet
    CreateUser {
        user: String,
        #[command(flatten)]
        place: Place,
    },
    /// Delete a user with its keys and policies
    DeleteUser {
        user: String,
        #[command(flatten)]
        place: Place,
    },
    /// Make an access key and print it, once
    CreateKey {
        user: String,
        /// Take this key id instead of a new one, so that clients keep their settings
        #[arg(long, value_name = "ID", requires = "secret_file")]
        access_key_id: Option<String>,
        /// File with the secret of that key
        #[arg(long, value_name = "FILE", requires = "access_key_id")]
        secret_file: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
    /// Delete an access key
    DeleteKey {
        access_key_id: String,
        #[command(flatten)]
        place: Place,
    },
    /// Give a user a policy; the same name again replaces it
    AttachPolicy {
        user: String,
        /// AdministratorAccess, ReadOnlyAccess, or a name for the document in --file
        #[arg(long, value_name = "NAME")]
        policy: String,
        /// Policy document (JSON)
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
    /// Take a policy from a user
    DetachPolicy {
        user: String,
        #[arg(long, value_name = "NAME")]
        policy: String,
        #[command(flatten)]
        place: Place,
    },
}

/// Reads the process's arguments.
///
/// # Errors
/// clap's error, which is also how `--help` and `--version` come out: see [`exit_code`].
pub fn parse() -> Result<Cli, clap::Error> {
    parse_from(std::env::args_os())
}

/// Reads arguments, the program's name first.
///
/// # Errors
/// As [`parse`].
pub fn parse_from(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(arguments)
}

/// What the process ends with after printing the error: 0 for `--help` and `--version`, else
/// [`EXIT_USAGE`].
pub fn exit_code(error: &clap::Error) -> u8 {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
        _ => EXIT_USAGE,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parsed(line: &str) -> Result<Cli, clap::Error> {
        parse_from(line.split(' ').map(OsString::from))
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    /// The promise to scripts: each of these lines keeps its meaning.
    #[test]
    fn the_documented_lines_are_understood() {
        for line in [
            "tidegate up",
            "tidegate up a.yaml b.json --topology t.toml --data d --port-base 20000",
            "tidegate node fra --topology t.toml --data d",
            "tidegate check a.yaml t.toml",
            "tidegate status",
            "tidegate status --topology t.toml --json",
            "tidegate status --admin http://127.0.0.1:4700",
            "tidegate purge --api a --stage prod --path /pets/*",
            "tidegate purge --api a --stage prod --admin http://127.0.0.1:4700",
            "tidegate purge --api a --stage prod --admin https://h:4700 --ca c --cert n --key k",
            "tidegate import t.yaml",
            "tidegate import t.yaml --stack-name s --parameter A=b --parameter C= --dry-run",
            "tidegate import t.yaml --export a=b --region eu-central-1 --admin http://127.0.0.1:4700",
            "tidegate backup f.db",
            "tidegate backup f.db --topology t.toml --data d",
            "tidegate ca init",
            "tidegate ca issue fra --topology t.toml --out ca",
            "tidegate up --open-admin",
            "tidegate iam list --json",
            "tidegate iam create-user ann --topology t.toml --data d",
            "tidegate iam create-key ann",
            "tidegate iam create-key ann --access-key-id test --secret-file s",
            "tidegate iam delete-key AKIA",
            "tidegate iam attach-policy ann --policy ReadOnlyAccess",
            "tidegate iam attach-policy ann --policy mine --file p.json",
            "tidegate iam detach-policy ann --policy mine",
            "tidegate iam delete-user ann",
        ] {
            assert!(parsed(line).is_ok(), "{line}");
        }
        let Command::Up(up) = parsed("tidegate up x.yaml --port-base 9").unwrap().command else {
            panic!("up was understood as something else");
        };
        assert_eq!((up.apis, up.port_base), (vec![PathBuf::from("x.yaml")], Some(9)));
    }

    #[test]
    fn bad_usage_ends_with_64_and_help_with_0() {
        for line in [
            "tidegate",
            "tidegate upp",
            "tidegate node",
            "tidegate node x",
            "tidegate check",
            "tidegate purge --api a",
            "tidegate backup",
            "tidegate import",
            "tidegate import t.yaml --parameter A",
            "tidegate up --port-base 0",
            "tidegate up --port-base 70000",
            "tidegate status --topology t --admin u",
            "tidegate ca",
            "tidegate iam",
            "tidegate iam create-key ann --access-key-id test",
            "tidegate --unknown",
        ] {
            assert_eq!(exit_code(&parsed(line).unwrap_err()), EXIT_USAGE, "{line}");
        }
        for line in [
            "tidegate --help",
            "tidegate --version",
            "tidegate up --help",
            "tidegate node --help",
            "tidegate check --help",
            "tidegate status --help",
            "tidegate purge --help",
            "tidegate backup --help",
            "tidegate import --help",
            "tidegate ca --help",
            "tidegate ca init --help",
            "tidegate ca issue --help",
            "tidegate iam --help",
            "tidegate iam create-key --help",
        ] {
            assert_eq!(exit_code(&parsed(line).unwrap_err()), 0, "{line}");
        }
    }

    #[test]
    fn every_command_shows_examples() {
        for command in Cli::command().get_subcommands() {
            let help = command.clone().render_long_help().to_string();
            assert!(help.contains(&format!("tidegate {}", command.get_name())), "{help}");
        }
    }
}
