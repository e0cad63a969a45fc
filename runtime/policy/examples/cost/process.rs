//! What this process has used: CPU time of all its threads, resident memory.

use std::path::Path;
use std::time::Duration;

/// CPU time of every thread that lives, in nanoseconds of `/proc/PID/task/TID/schedstat`.
pub(crate) fn cpu() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let time =
        |path: &Path| std::fs::read_to_string(path.join("schedstat")).ok()?.split(' ').next()?.parse::<u64>().ok();
    Duration::from_nanos(threads.filter_map(|thread| time(&thread.path())).sum())
}

/// Resident memory, in bytes.
pub(crate) fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
