//! The program as a user starts it: processes, what they print, and their exit codes.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes; what hangs fails instead.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Ports that a topology of three edges takes from its base.
const SPAN: u16 = 40;
/// Below the ports the kernel gives to outgoing connections (32768 and up).
const BASES: std::ops::Range<u16> = 26_000..31_900;

pub(crate) fn program() -> &'static str {
    env!("CARGO_BIN_EXE_tidegate")
}

/// Runs the program to its end.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Ended {
    let output = Command::new(program()).args(arguments).current_dir(folder).output().unwrap();
    output.into()
}

/// Runs a line of shell.
pub(crate) fn shell(folder: &Path, line: &str) -> Ended {
    Command::new("bash").args(["-c", line]).current_dir(folder).output().unwrap().into()
}

#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A base whose ports are free now, and that no other test of this process was given.
pub(crate) fn port_base() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let bases = (BASES.end - BASES.start) / SPAN;
    // Two test processes at once begin at different places.
    let start = u16::try_from(std::process::id() % u32::from(bases)).unwrap();
    for _ in 0..bases {
        let index = (start + NEXT.fetch_add(1, Ordering::Relaxed)) % bases;
        let base = BASES.start + index * SPAN;
        if (base..base + SPAN).all(is_free) {
            return base;
        }
    }
    panic!("no free ports");
}

pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok()
}

/// A process that goes on until it is told to stop; killed when dropped.
pub(crate) struct Running {
    child: Child,
    out: Text,
    err: Text,
}

/// What came out so far.
type Text = Arc<Mutex<String>>;

impl Running {
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(program());
        command.args(arguments).current_dir(folder);
        Self::command(command)
    }

    pub(crate) fn command(mut command: Command) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let (out, err) = (Text::default(), Text::default());
        collect(child.stdout.take().unwrap(), &out);
        collect(child.stderr.take().unwrap(), &err);
        Self { child, out, err }
    }

    pub(crate) fn out(&self) -> String {
        self.out.lock().unwrap().clone()
    }

    pub(crate) fn err(&self) -> String {
        self.err.lock().unwrap().clone()
    }

    /// Waits until what it printed satisfies the condition.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !condition(self) {
            let ended = self.child.try_wait().unwrap();
            assert!(
                Instant::now() < end && ended.is_none(),
                "{what} was not seen; {ended:?}\n{}\n{}",
                self.out(),
                self.err()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks without a pause until the answer is yes, to act the moment it is.
    #[track_caller]
    pub(crate) fn until_soon(&mut self, what: &str, mut is_so: impl FnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(
                Instant::now() < end && self.child.try_wait().unwrap().is_none(),
                "{what} was not seen\n{}\n{}",
                self.out(),
                self.err()
            );
            thread::yield_now();
        }
    }

    /// Sends a signal, such as `-TERM`, to this process only.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("bash")
            .args(["-c", &format!("kill {signal} {}", self.child.id())])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "it does not end\n{}\n{}", self.out(), self.err());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGTERM, and how it ended.
    #[track_caller]
    pub(crate) fn stop(mut self) -> Ended {
        self.signal("-TERM");
        let status = self.end();
        assert_eq!(status.signal(), None, "it stopped by itself");
        Ended { code: status.code(), out: self.out(), err: self.err() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn collect(from: impl Read + Send + 'static, into: &Text) {
    let into = Arc::clone(into);
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut text = into.lock().unwrap();
            text.push_str(&line);
            text.push('\n');
        }
    });
}
