//! Where the store's tests keep things: an SQLite file, or a real PostgreSQL of their own.
//!
//! PostgreSQL refuses to run as root, so it runs as the package's user there. One server serves all
//! tests of a process, each with a database of its own. It is started by a shell that waits for the
//! end of its input, which comes when this process ends in whatever way; then it stops the server
//! and removes its folder.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use tidegate::net::clock::Clock;
use tidegate::net::tasks::Tasks;
use tidegate::store::control::{
    Config, ControlError, ControlStore, DatabaseConfig, KeySource, PostgresUrl,
};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::process::PATIENCE;

/// A database and a key, both new.
pub(crate) struct Place {
    pub(crate) config: Config,
    pub(crate) folder: TempDir,
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.db");
        Self::new(folder, DatabaseConfig::Sqlite { path })
    }

    pub(crate) fn postgres() -> Self {
        Self::on(Server::shared())
    }

    pub(crate) fn on(server: &Server) -> Self {
        let url = PostgresUrl::new(&server.new_database()).unwrap();
        let database = DatabaseConfig::Postgres { url, password_file: None };
        Self::new(tempfile::tempdir().unwrap(), database)
    }

    fn new(folder: TempDir, database: DatabaseConfig) -> Self {
        let key = KeySource::File(folder.path().join("control.key"));
        Self { config: Config { database, key }, folder }
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.folder.path().join("control.key")
    }

    pub(crate) async fn open(&self) -> Opened {
        self.try_open().await.unwrap()
    }

    pub(crate) async fn try_open(&self) -> Result<Opened, ControlError> {
        open(self.config.clone()).await
    }
}

/// As one process has it.
pub(crate) struct Opened {
    pub(crate) store: ControlStore,
    tasks: Tasks,
}

impl std::ops::Deref for Opened {
    type Target = ControlStore;

    fn deref(&self) -> &ControlStore {
        &self.store
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Opened")
    }
}

impl Opened {
    /// As a process that stops in order.
    pub(crate) async fn close(self) {
        self.tasks.stopped().cancel();
        self.tasks.ended().await;
    }
}

pub(crate) async fn open(config: Config) -> Result<Opened, ControlError> {
    let tasks = Tasks::new(Handle::current());
    let store = ControlStore::open(config, Clock::system(), tasks.clone()).await?;
    Ok(Opened { store, tasks })
}

pub(crate) fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A PostgreSQL server of our own.
pub(crate) struct Server {
    folder: PathBuf,
    shell: Child,
    /// Its end is the server's.
    input: Option<ChildStdin>,
}

impl Server {
    /// Started once per process.
    pub(crate) fn shared() -> &'static Server {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(Server::start)
    }

    pub(crate) fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("tidegate-pg").tempdir().unwrap();
        // From here on the shell removes it.
        let folder = folder.keep();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        if let Some((user, group)) = other_user() {
            chown(&folder, Some(user), Some(group)).unwrap();
        }
        let made = as_server("initdb")
            .args(["--pgdata", "data", "--username=postgres", "--auth=trust"])
            .args(["--encoding=UTF8", "--locale=C", "--no-sync"])
            .current_dir(&folder)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        // One user has a password, for the test of passwords.
        let access = "local all locked scram-sha-256\nlocal all all trust\n";
        fs::write(folder.join("data/pg_hba.conf"), access).unwrap();
        let (shell, input) = run(&folder);
        Self { folder, shell, input: Some(input) }
    }

    /// A database that nobody else has.
    pub(crate) fn new_database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.tell("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    pub(crate) fn url(&self, database: &str) -> String {
        url(&self.folder, "postgres", database)
    }

    pub(crate) fn url_of(&self, user: &str, database: &str) -> String {
        url(&self.folder, user, database)
    }

    pub(crate) fn tell(&self, database: &str, statement: &str) {
        tell(&self.url(database), statement).unwrap();
    }

    /// `kill -9` of the postmaster, then a start with what is on its disk.
    pub(crate) fn crash(&mut self) {
        let pid = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap().to_owned();
        assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    }

    /// Starts again after a [`crash`](Self::crash).
    pub(crate) fn start_again(&mut self) {
        self.shell.kill().unwrap();
        self.shell.wait().unwrap();
        let (shell, input) = run(&self.folder);
        self.shell = shell;
        self.input = Some(input);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.input.take());
        // It stops by itself.
        self.shell.wait().ok();
    }
}

/// Starts the server in its folder; it answers when this returns. Right after a crash the memory of
/// the one before may still be in use; then the server ends at once, and is started again.
fn run(folder: &Path) -> (Child, ChildStdin) {
    const SCRIPT: &str = r#"
        cd "$1"; shift
        "$@" >>log 2>&1 &
        server=$!
        echo $server
        read -r
        kill -INT $server 2>/dev/null
        wait $server
        cd /
        rm -rf "$OLDPWD"
    "#;
    let end = Instant::now() + PATIENCE;
    loop {
        let server = as_server("postgres");
        let mut shell = Command::new("bash");
        shell.args(["-c", SCRIPT, "bash"]).arg(folder).arg(server.get_program());
        shell.args(server.get_args()).args(["-D", "data", "-h", "", "-k"]).arg(folder);
        // What it acknowledges must be on the disk: that is tested.
        shell.args(["-c", "fsync=on", "-c", "max_connections=200"]);
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = shell.stdin.take().unwrap();
        let mut pid = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        while is_alive(pid.trim()) {
            if answers(folder) {
                return (shell, input);
            }
            assert!(Instant::now() < end, "PostgreSQL does not answer in {}", folder.display());
            thread::sleep(Duration::from_millis(20));
        }
        let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
        assert!(Instant::now() < end, "PostgreSQL does not start\n{log}");
        // Not by the end of its input, which would remove the folder.
        shell.kill().unwrap();
        shell.wait().unwrap();
        thread::sleep(Duration::from_millis(200));
    }
}

/// Whether it runs: neither gone nor ended and not yet waited for (proc_pid_stat(5)).
fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn url(folder: &Path, user: &str, database: &str) -> String {
    let socket = folder.display().to_string().replace('/', "%2F");
    format!("postgres://{user}@{socket}/{database}")
}

fn answers(folder: &Path) -> bool {
    tell(&url(folder, "postgres", "postgres"), "SELECT 1").is_ok()
}

/// The caller may be within a runtime, so this takes a thread.
fn tell(url: &str, statement: &str) -> Result<(), sqlx::Error> {
    thread::scope(|scope| {
        let telling = scope.spawn(|| {
            runtime().block_on(async {
                let mut open = PgConnection::connect(url).await?;
                let statement = sqlx::AssertSqlSafe(statement.to_owned());
                sqlx::raw_sql(statement).execute(&mut open).await?;
                open.close().await
            })
        });
        telling.join().unwrap()
    })
}

/// A program of PostgreSQL, as a user it accepts.
fn as_server(program: &str) -> Command {
    let program = tool(program);
    let Some((user, group)) = other_user() else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={user}")).arg(format!("--regid={group}")).arg("--clear-groups");
    command.arg("--").arg(program);
    command
}

/// Debian keeps them outside PATH.
fn tool(name: &str) -> PathBuf {
    let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .map_while(Result::ok)
        .map(|version| version.path().join("bin").join(name))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    let on_path = || {
        let said = Command::new("bash").args(["-c", "command -v \"$0\"", name]).output().unwrap();
        let line = BufReader::new(&*said.stdout).lines().next()?.unwrap();
        Some(PathBuf::from(line))
    };
    found.pop().or_else(on_path).expect("PostgreSQL is not installed; tests/needs installs it")
}

/// The package's user and group, when we are root.
fn other_user() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let fields = users
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields[0] == "postgres")
        .expect("PostgreSQL's package makes a user; tests/needs installs it");
    Some((fields[2].parse().unwrap(), fields[3].parse().unwrap()))
}
