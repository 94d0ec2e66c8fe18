//! What this machine, or the part of it that is ours, has to give.

use std::fs;
use std::num::NonZeroUsize;
use std::sync::LazyLock;

use perfecta_io::topology::{NodeSelection, Topology, memory_bytes_of_groups};
use rustix::process::{Resource, getrlimit};

/// As many threads as there are CPUs of these nodes to run on, or as many as a control group leaves the
/// time of: one and a half keep two threads busy.
pub(crate) fn cpus(nodes: &NodeSelection) -> NonZeroUsize {
    /// It is asked for several times, and takes some thirty files to be read.
    static HERE: LazyLock<Option<Topology>> = LazyLock::new(|| Topology::of_this_machine().ok());
    let selected = HERE.as_ref().and_then(|all| all.select(nodes).ok());
    let count = selected.and_then(|it| NonZeroUsize::new(it.num_useful_processors()));
    // Nodes that there are not are refused where they are used.
    count.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
}

/// Where it is not known how much memory there is.
const MEMORY_BYTES_UNKNOWN: u64 = 2 << 30;

/// Three quarters of the memory: the machine's or what control groups and limits of this process
/// leave of it, whichever is less.
pub(crate) fn memory_bytes() -> u64 {
    let machine =
        fs::read_to_string("/proc/meminfo").ok().and_then(|text| bytes_of_line(&text, "MemTotal:"));
    // Buffers and stacks take addresses that are never used: half of them are for memory.
    let addresses =
        [Resource::As, Resource::Data].into_iter().filter_map(|of| getrlimit(of).current);
    let bytes = machine
        .into_iter()
        .chain(memory_bytes_of_groups())
        .chain(addresses.map(|bytes| bytes / 2))
        .min();
    bytes.unwrap_or(MEMORY_BYTES_UNKNOWN) / 4 * 3
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
