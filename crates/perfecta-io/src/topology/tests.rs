//! Machines that are not here, each a tree of the kernel's files.

use std::fs;
use std::path::Path;

use super::*;

/// Writes a tree of files from `PATH CONTENT` lines.
fn tree(files: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for line in files.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (path, content) = line.split_once(' ').unwrap_or((line, ""));
        write(root.path(), path, &format!("{content}\n"));
    }
    root
}

fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Nodes as the kernel describes them: `(number, processors, megabytes)`.
fn machine(online: &str, nodes: &[(u32, &str, u64)]) -> tempfile::TempDir {
    let numbers: ProcessorSet = nodes.iter().map(|node| node.0).collect();
    let root = tree(&format!(
        "sys/devices/system/cpu/online {online}
         sys/devices/system/node/online {numbers}"
    ));
    for (id, processors, megabytes) in nodes {
        let node = format!("sys/devices/system/node/node{id}");
        write(root.path(), &format!("{node}/cpulist"), &format!("{processors}\n"));
        let kilobytes = megabytes * 1024;
        let memory = format!("Node {id} MemTotal:  {kilobytes} kB\nNode {id} MemFree: 7 kB\n");
        write(root.path(), &format!("{node}/meminfo"), &memory);
    }
    root
}

fn status(root: &Path, processors: &str, nodes: &str) {
    let lists = format!("Cpus_allowed_list:\t{processors}\nMems_allowed_list:\t{nodes}\n");
    write(root, "proc/self/status", &format!("Name:\tx\n{lists}"));
}

fn read(root: &tempfile::TempDir, allowed: &str) -> Topology {
    Topology::read(root.path(), &ProcessorSet::parse(allowed).unwrap()).unwrap()
}

/// Nodes as `(number, processors, megabytes)`.
fn check(topology: &Topology, expected: &[(u32, &str, u64)]) {
    let nodes: Vec<(u32, String, u64)> = topology
        .nodes()
        .iter()
        .map(|node| (node.id, node.processors.to_string(), node.memory_bytes >> 20))
        .collect();
    let expected: Vec<(u32, String, u64)> =
        expected.iter().map(|&(id, list, megabytes)| (id, list.to_owned(), megabytes)).collect();
    assert_eq!(nodes, expected);
}

#[test]
fn one_node_is_read() {
    let root = machine("0-3", &[(0, "0-3", 4096)]);
    check(&read(&root, "0-3"), &[(0, "0-3", 4096)]);
}

#[test]
fn two_nodes_whose_processors_alternate_are_read() {
    let nodes = [(0, "0,2,4,6", 1024), (1, "1,3,5,7", 2048)];
    check(&read(&machine("0-7", &nodes), "0-7"), &nodes);
}

#[test]
fn eight_nodes_of_more_than_64_processors_are_read() {
    let lists: Vec<String> = (0..8).map(|id| format!("{}-{}", id * 16, id * 16 + 15)).collect();
    let nodes: Vec<(u32, &str, u64)> =
        lists.iter().enumerate().map(|(id, list)| (id as u32, list.as_str(), 512)).collect();
    let topology = read(&machine("0-127", &nodes), "0-127");
    check(&topology, &nodes);
    assert_eq!(topology.num_processors(), 128);
}

#[test]
fn more_processors_than_a_fixed_set_has_bits_are_read() {
    let nodes = [(0, "0-1023", 1), (1, "1024-2047", 1)];
    let topology = read(&machine("0-2047", &nodes), "0-2047");
    check(&topology, &nodes);
    assert_eq!(topology.places(2048).len(), 2048);
}

#[test]
fn a_node_without_memory_is_kept_and_nothing_is_bound_to_it() {
    let nodes = [(0, "0-1", 1024), (1, "2-3", 0)];
    let topology = read(&machine("0-3", &nodes), "0-3");
    check(&topology, &nodes);
    assert_eq!(topology.nodes()[0].memory_node(), Some(0));
    assert_eq!(topology.nodes()[1].memory_node(), None);
}

#[test]
fn a_node_without_processors_is_kept_and_gets_no_worker() {
    let nodes = [(0, "", 1024), (2, "0-1", 1024)];
    let topology = read(&machine("0-1", &nodes), "0-1");
    check(&topology, &nodes);
    assert!(topology.places(4).iter().all(|place| place.node_id == 2));
}

#[test]
fn offline_processors_are_left_out() {
    let root = machine("0,2", &[(0, "0-1", 1), (1, "2-3", 1)]);
    check(&read(&root, "0-3"), &[(0, "0", 1), (1, "2", 1)]);
}

#[test]
fn a_control_group_that_leaves_one_node_leaves_that() {
    let root = machine("0-3", &[(0, "0-1", 1024), (1, "2-3", 1024)]);
    status(root.path(), "2-3", "1");
    check(&read(&root, "0-3"), &[(1, "2-3", 1024)]);
}

#[test]
fn memory_that_the_control_group_forbids_is_none() {
    let root = machine("0-3", &[(0, "0-1", 1024), (1, "2-3", 1024)]);
    status(root.path(), "0-3", "0");
    check(&read(&root, "0-3"), &[(0, "0-1", 1024), (1, "2-3", 0)]);
}

#[test]
fn affinity_leaves_out_processors_but_not_the_memory_of_their_node() {
    let root = machine("0-3", &[(0, "0-1", 1024), (1, "2-3", 1024)]);
    check(&read(&root, "3"), &[(0, "", 1024), (1, "3", 1024)]);
}

#[test]
fn without_nodes_there_is_one_of_all_processors() {
    let root = tree("proc/meminfo MemTotal: 2048 kB");
    check(&read(&root, "0-1,5"), &[(0, "0-1,5", 2)]);
    check(&read(&tree(""), "4"), &[(0, "4", 0)]);
}

#[test]
fn a_processor_that_no_node_lists_is_not_lost() {
    let root = machine("0-3", &[(0, "0", 1), (1, "2", 1)]);
    check(&read(&root, "0-3"), &[(0, "0-1,3", 1), (1, "2", 1)]);
}

#[test]
fn sets_that_contradict_each_other_leave_a_processor() {
    let root = machine("0-1", &[(0, "0-1", 1)]);
    status(root.path(), "7", "0");
    check(&read(&root, "0"), &[(0, "0", 1)]);
}

#[test]
fn a_file_that_cannot_be_understood_is_an_error_with_its_path() {
    let allowed = ProcessorSet::parse("0").unwrap();
    for (file, content, part) in [
        ("sys/devices/system/cpu/online", "all", "\"all\""),
        ("sys/devices/system/node/online", "0-", "\"0-\""),
        ("sys/devices/system/node/node0/cpulist", "0,x", "\"x\""),
        ("sys/devices/system/node/node0/meminfo", "Node 0 MemTotal: much", "MemTotal"),
        ("proc/self/status", "Mems_allowed_list: ?", "\"?\""),
    ] {
        let root = machine("0", &[(0, "0", 1)]);
        write(root.path(), file, content);
        let error = Topology::read(root.path(), &allowed).unwrap_err();
        assert_eq!(error.path, root.path().join(file));
        assert!(error.reason.contains(part), "{error}");
    }
}

fn check_quota(files: &str, expected: usize) {
    let topology = read(&tree(files), "0-7");
    assert_eq!(topology.num_useful_processors(), expected, "{files}");
    assert_eq!(topology.num_processors(), 8);
}

#[test]
fn the_quota_of_a_control_group_limits_the_useful_processors() {
    check_quota("", 8);
    check_quota("proc/self/cgroup 0::/\nsys/fs/cgroup/cpu.max max 100000", 8);
    check_quota("proc/self/cgroup 0::/\nsys/fs/cgroup/cpu.max 150000 100000", 2);
    check_quota("proc/self/cgroup 0::/\nsys/fs/cgroup/cpu.max 10000 100000", 1);
    check_quota("proc/self/cgroup 0::/\nsys/fs/cgroup/cpu.max 9900000 100000", 8);
}

#[test]
fn the_least_quota_of_nested_groups_counts() {
    check_quota(
        "proc/self/cgroup 0::/a/b
         sys/fs/cgroup/a/b/cpu.max max 100000
         sys/fs/cgroup/a/cpu.max 300000 100000
         sys/fs/cgroup/cpu.max 500000 100000",
        3,
    );
}

#[test]
fn a_quota_of_the_first_version_of_control_groups_counts_too() {
    let files = |quota: &str| {
        format!(
            "proc/self/cgroup 3:cpu,cpuacct:/job
             sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us {quota}
             sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us 50000"
        )
    };
    check_quota(&files("200000"), 4);
    check_quota(&files("-1"), 8);
}

#[test]
fn the_least_limit_of_memory_of_nested_groups_counts() {
    let check = |files: &str, expected: Option<u64>| {
        assert_eq!(limits::memory_bytes(tree(files).path()), expected, "{files}");
    };
    check("", None);
    check("proc/self/cgroup 0::/\nsys/fs/cgroup/memory.max max", None);
    check("proc/self/cgroup 0::/\nsys/fs/cgroup/memory.max 4096", Some(4096));
    check(
        "proc/self/cgroup 0::/a/b
         sys/fs/cgroup/a/b/memory.max max
         sys/fs/cgroup/a/b/memory.high 8192
         sys/fs/cgroup/a/memory.max 12288",
        Some(8192),
    );
    check(
        "proc/self/cgroup 4:memory:/job/step
         sys/fs/cgroup/memory/memory.limit_in_bytes 9223372036854771712
         sys/fs/cgroup/memory/job/memory.limit_in_bytes 4096
         sys/fs/cgroup/memory/job/step/memory.limit_in_bytes 8192",
        Some(4096),
    );
    // In a container: the path is the host's, and the group is what is mounted.
    check(
        "proc/self/cgroup 4:memory:/docker/0123
         sys/fs/cgroup/memory/memory.limit_in_bytes 4096",
        Some(4096),
    );
}

#[test]
fn this_machine_has_the_processors_that_this_thread_may_run_on() {
    let topology = Topology::of_this_machine().unwrap();
    assert_eq!(topology.num_processors(), processors_of_current_thread().len());
    assert!(topology.num_useful_processors() > 0);
}

#[test]
fn a_description_makes_a_machine() {
    let topology = Topology::synthetic("2x4").unwrap();
    check(&topology, &[(0, "0-3", 0), (1, "4-7", 0)]);
    assert_eq!(topology.num_useful_processors(), 8);
}

#[test]
fn a_description_of_no_machine_is_an_error() {
    for text in ["", "2", "0x4", "2x0", "x", "2x4x2", "-1x2", "65536x65536", "2048x1", "2x40000"] {
        assert_eq!(Topology::synthetic(text).unwrap_err().part, text);
    }
}
