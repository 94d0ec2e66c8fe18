//! What control groups leave us of processor time and of memory.
//!
//! Groups are nested, and the least of them counts. What cannot be read limits nothing: processor
//! time is advice, and for memory there is what the machine has.

use std::fs;
use std::path::{Path, PathBuf};

/// How a limit is read in one kind of group.
struct Controller<T> {
    name: &'static str,
    /// In the directory of a group of the second version.
    of_second: fn(&Path) -> Option<T>,
    /// In one of the first.
    of_first: fn(&Path) -> Option<T>,
}

/// A quota is not a number of processors but of microseconds a period; a thread more than that only
/// waits for the next period.
const PROCESSOR_TIME: Controller<usize> = Controller {
    name: "cpu",
    of_second: |group| {
        // `150000 100000`, or `max 100000`.
        let text = fs::read_to_string(group.join("cpu.max")).ok()?;
        let (quota, period) = text.trim().split_once(' ')?;
        processors(quota, period)
    },
    of_first: |group| {
        // Without a quota it is -1.
        let quota = fs::read_to_string(group.join("cpu.cfs_quota_us")).ok()?;
        let period = fs::read_to_string(group.join("cpu.cfs_period_us")).ok()?;
        processors(&quota, &period)
    },
};

/// Who takes more than the first of the second version is killed, who takes more than the other is
/// slowed down until nothing moves.
const MEMORY: Controller<u64> = Controller {
    name: "memory",
    of_second: |group| {
        let files = ["memory.max", "memory.high"];
        files.iter().filter_map(|file| bytes_in(&group.join(file))).min()
    },
    of_first: |group| bytes_in(&group.join("memory.limit_in_bytes")),
};

/// Processors' worth of time, rounded up; `None` without a quota.
pub(super) fn num_processors(root: &Path) -> Option<usize> {
    least_of_groups(root, &PROCESSOR_TIME)
}

/// Bytes of memory; `None` without a limit. (The first version tells a limit that no machine
/// reaches.)
pub(super) fn memory_bytes(root: &Path) -> Option<u64> {
    least_of_groups(root, &MEMORY)
}

fn least_of_groups<T: Ord>(root: &Path, controller: &Controller<T>) -> Option<T> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    groups.lines().filter_map(|line| least_of_line(root, line, controller)).min()
}

/// `0::/path` of the second version, `4:cpu,cpuacct:/path` of the first.
fn least_of_line<T: Ord>(root: &Path, line: &str, controller: &Controller<T>) -> Option<T> {
    let (_, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    let below = path.trim_start_matches('/');
    let groups = root.join("sys/fs/cgroup");
    if controllers.is_empty() {
        let mounts = [groups.clone(), groups.join("unified")];
        return mounts.iter().filter_map(|mount| least(mount, below, controller.of_second)).min();
    }
    if !controllers.split(',').any(|name| name == controller.name) {
        return None;
    }
    let mounts = [groups.join(controller.name), groups.join(controllers)];
    mounts.iter().filter_map(|mount| least(mount, below, controller.of_first)).min()
}

/// Of a group and all above it. In a container the group's path may be the host's, and what is
/// mounted is the group itself: that is the last of them.
fn least<T: Ord>(mount: &Path, below: &str, limit: fn(&Path) -> Option<T>) -> Option<T> {
    let innermost: PathBuf = mount.join(below);
    let up_to_mount = innermost.ancestors().take_while(|group| group.starts_with(mount));
    up_to_mount.filter_map(limit).min()
}

fn processors(quota: &str, period: &str) -> Option<usize> {
    let quota: usize = quota.trim().parse().ok()?;
    let period: usize = period.trim().parse().ok()?;
    (quota > 0 && period > 0).then(|| quota.div_ceil(period))
}

/// A number, or `max`.
fn bytes_in(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}
