//! How much processor time the control group leaves us.
//!
//! A quota is not a number of processors but of microseconds a period; a thread more than that only
//! waits for the next period. Groups are nested, and the least of them counts. What cannot be read
//! limits nothing: the quota is advice.

use std::fs;
use std::path::{Path, PathBuf};

/// Processors' worth of time, rounded up; `None` without a quota.
pub(super) fn num_processors(root: &Path) -> Option<usize> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    groups.lines().filter_map(|line| least_of_line(root, line)).min()
}

/// `0::/path` of the second version, `4:cpu,cpuacct:/path` of the first.
fn least_of_line(root: &Path, line: &str) -> Option<usize> {
    let (_, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    let below = path.trim_start_matches('/');
    let groups = root.join("sys/fs/cgroup");
    if controllers.is_empty() {
        let mounts = [groups.clone(), groups.join("unified")];
        return mounts.iter().filter_map(|mount| least(mount, below, quota_of_second)).min();
    }
    let cpu = controllers.split(',').any(|controller| controller == "cpu");
    let mounts = [groups.join("cpu"), groups.join(controllers)];
    cpu.then(|| mounts.iter().filter_map(|mount| least(mount, below, quota_of_first)).min())?
}

/// Of a group and all above it.
fn least(mount: &Path, below: &str, quota_of: fn(&Path) -> Option<usize>) -> Option<usize> {
    let innermost: PathBuf = mount.join(below);
    let up_to_mount = innermost.ancestors().take_while(|group| group.starts_with(mount));
    up_to_mount.filter_map(quota_of).min()
}

/// `cpu.max` is `150000 100000`, or `max 100000`.
fn quota_of_second(group: &Path) -> Option<usize> {
    let text = fs::read_to_string(group.join("cpu.max")).ok()?;
    let (quota, period) = text.trim().split_once(' ')?;
    processors(quota, period)
}

/// Without a quota it is -1.
fn quota_of_first(group: &Path) -> Option<usize> {
    let quota = fs::read_to_string(group.join("cpu.cfs_quota_us")).ok()?;
    let period = fs::read_to_string(group.join("cpu.cfs_period_us")).ok()?;
    processors(&quota, &period)
}

fn processors(quota: &str, period: &str) -> Option<usize> {
    let quota: usize = quota.trim().parse().ok()?;
    let period: usize = period.trim().parse().ok()?;
    (quota > 0 && period > 0).then(|| quota.div_ceil(period))
}
