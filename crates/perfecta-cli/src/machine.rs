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
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_bytes(&text));
    let group = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok())
        .min();
    let bytes = machine.into_iter().chain(group).min().unwrap_or(MEMORY_BYTES_UNKNOWN);
    bytes / 4 * 3
}

/// `MemTotal:       24689260 kB`.
fn total_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_from_its_line() {
        let text = "MemTotal:       24689260 kB\nMemFree:        22689260 kB\n";
        assert_eq!(total_bytes(text), Some(24_689_260 * 1024));
        assert_eq!(total_bytes("MemTotal: many"), None);
        assert_eq!(total_bytes(""), None);
    }
}
