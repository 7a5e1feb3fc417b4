//! What processes use: the server's CPU time and memory, and our own. From the kernel's accounts.

use std::fs;

use crate::sys;

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) cpu_ns: u64,
    pub(crate) resident_bytes: u64,
}

/// What the server's process has used; `None` if it is gone or was never there.
pub(crate) fn usage(pid: u32) -> Option<Usage> {
    let cpu_ns = sys::cpu_ns(pid)?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(Usage { cpu_ns, resident_bytes: kibibytes(&status, "VmRSS:")? * 1024 })
}

/// The most memory that the process ever had resident, in bytes.
pub(crate) fn resident_bytes_max(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(kibibytes(&status, "VmHWM:")? * 1024)
}

/// How long this process was ready to run and had to wait for a CPU, in nanoseconds.
pub(crate) fn own_wait_ns() -> u64 {
    let text = fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split(' ').nth(1).and_then(|field| field.parse().ok()).unwrap_or(0)
}

fn kibibytes(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_something_and_nobody_nothing() {
        let own = usage(std::process::id()).unwrap();
        assert!(own.cpu_ns > 0 && own.resident_bytes > 4096);
        assert!(resident_bytes_max(std::process::id()).unwrap() >= own.resident_bytes / 2);
        assert!(usage(u32::MAX >> 1).is_none());
    }
}
