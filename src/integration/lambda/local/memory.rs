//! How much memory has a process used?
//!
//! Lambda gives each process a machine of its own and ends it when that is full. Here the process is
//! watched: its peak of resident memory is read while it works, and it is killed when that is above
//! its limit. A limit of the address space (`ulimit -v`) would refuse Node, which reserves gigabytes
//! that it never touches, and a control group takes rights that a gateway should not have. The price:
//! a process may be above its limit for as long as one look is from the next. Children of the
//! process are not counted.
//!
//! proc(5), `/proc/PID/status`.

use std::fs::File;
use std::io::Read;

/// The file has about 1,500 bytes.
const STATUS_BYTES_MAX: u64 = 16 * 1024;

/// The largest resident size so far, KiB; `None` for a process that is gone, and where there is no
/// `/proc`.
pub(super) fn peak_kib(pid: u32) -> Option<u64> {
    let mut text = String::with_capacity(2_048);
    File::open(format!("/proc/{pid}/status"))
        .and_then(|file| file.take(STATUS_BYTES_MAX).read_to_string(&mut text))
        .ok()?;
    peak_of(&text)
}

fn peak_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read() {
        let status = "Name:\tcat\nVmPeak:\t    9 kB\nVmHWM:\t    1234 kB\nVmRSS:\t 1000 kB\n";
        assert_eq!(peak_of(status), Some(1234));
        assert_eq!(peak_of("Name:\tkthreadd\n"), None);
        assert_eq!(peak_of("VmHWM:\t many kB\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn our_own_peak_is_known() {
        assert!(peak_kib(std::process::id()).is_some_and(|kib| kib > 100));
    }
}
