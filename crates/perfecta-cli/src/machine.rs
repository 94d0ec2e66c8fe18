//! What this machine, or the part of it that is ours, has to give.

use std::fs;
use std::num::NonZeroUsize;

/// As many threads as there are CPUs to run on.
pub(crate) fn cpus() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Where it is not known how much memory there is.
const MEMORY_BYTES_UNKNOWN: u64 = 2 << 30;

/// Three quarters of the memory: the machine's or the control group's, whichever is less.
pub(crate) fn memory_bytes() -> u64 {
    let machine =
        fs::read_to_string("/proc/meminfo").ok().and_then(|text| bytes_of_line(&text, "MemTotal:"));
    let group = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok())
        .min();
    let bytes = machine.into_iter().chain(group).min().unwrap_or(MEMORY_BYTES_UNKNOWN);
    bytes / 4 * 3
}

/// The most memory that this process ever had resident, where the system tells.
pub(crate) fn memory_peak_bytes() -> Option<u64> {
    fs::read_to_string("/proc/self/status").ok().and_then(|text| bytes_of_line(&text, "VmHWM:"))
}

/// `MemTotal:       24689260 kB`.
fn bytes_of_line(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_from_its_line() {
        let text = "MemTotal:       24689260 kB\nMemFree:        22689260 kB\n";
        assert_eq!(bytes_of_line(text, "MemTotal:"), Some(24_689_260 * 1024));
        assert_eq!(bytes_of_line("MemTotal: many", "MemTotal:"), None);
        assert_eq!(bytes_of_line("", "MemTotal:"), None);
    }
}
