//! Threads and memory are on the nodes where they belong, as the kernel tells.
//!
//! On a machine with one node this cannot fail for the interesting reasons; `two_nodes.rs` runs it
//! where it can.

#![cfg(target_os = "linux")]

use perfecta_io::pool::{BufferPool, GuardPages, PoolOptions, PooledBuffer};
use perfecta_io::topology::{Node, Place, ProcessorSet, Topology, pin_current_thread};

const SMALL: usize = 64 << 10;
const LARGE: usize = 1 << 20;
const SPAN: usize = 3 * LARGE + 1;

fn topology() -> Topology {
    Topology::of_this_machine().expect("the kernel's files can be read")
}

fn at<T: Send>(place: &Place, act: impl FnOnce() -> T + Send) -> T {
    let pinned = || {
        pin_current_thread(&place.processors).expect("the processors are allowed");
        act()
    };
    std::thread::scope(|scope| scope.spawn(pinned).join().expect("the check holds"))
}

/// Processor and node that the calling thread is on.
fn whereabouts() -> (u32, u32) {
    let (mut processor, mut node) = (0_u32, 0_u32);
    // SAFETY: the kernel writes two numbers to where there is room for them.
    let code = unsafe {
        libc::syscall(libc::SYS_getcpu, &raw mut processor, &raw mut node, std::ptr::null::<u8>())
    };
    assert_eq!(code, 0, "{}", std::io::Error::last_os_error());
    (processor, node)
}

/// The node of every page of a buffer, all of which were touched.
fn nodes_of(buffer: &PooledBuffer) -> Vec<i32> {
    let pages: Vec<*const u8> = buffer.iter().step_by(4096).map(std::ptr::from_ref).collect();
    let mut nodes = vec![i32::MIN; pages.len()];
    let (count, pages, ask) = (pages.len(), pages.as_ptr(), std::ptr::null::<i32>());
    // SAFETY: without target nodes the kernel only writes as many numbers as there are pages.
    let code =
        unsafe { libc::syscall(libc::SYS_move_pages, 0, count, pages, ask, nodes.as_mut_ptr(), 0) };
    assert_eq!(code, 0, "{}", std::io::Error::last_os_error());
    nodes
}

fn pool(node: Option<u32>) -> BufferPool {
    let options =
        PoolOptions { node, guards: GuardPages::On, ..PoolOptions::with_budget(8 * LARGE) };
    let pool = BufferPool::reserve(&options).expect("there are addresses");
    assert_eq!(pool.warnings(), []);
    pool
}

fn check(pool: &BufferPool, bytes: usize, node: &Node) -> PooledBuffer {
    let mut buffer = pool.try_acquire(bytes).expect("it fits").expect("there is budget");
    buffer.fill(7);
    let nodes = nodes_of(&buffer);
    let elsewhere = nodes.iter().filter(|&&found| found != node.id as i32).count();
    assert_eq!(elsewhere, 0, "of {} pages; node {}, {nodes:?}", nodes.len(), node.id);
    buffer
}

/// Every node with memory, and one place of every node to touch it from.
fn for_every_node_and_place(act: impl Fn(&Node, &Place) + Sync) {
    let topology = topology();
    let places = topology.places(topology.num_processors());
    let mut seen = ProcessorSet::default();
    for place in &places {
        if seen.contains(place.node_id) {
            continue;
        }
        seen.insert(place.node_id);
        for node in topology.nodes().iter().filter(|node| node.memory_node().is_some()) {
            at(place, || act(node, place));
        }
    }
}

#[test]
fn a_pinned_worker_runs_on_a_processor_of_its_node() {
    let topology = topology();
    for place in topology.places(2 * topology.num_processors()) {
        let (processor, node) = at(&place, whereabouts);
        assert!(place.processors.contains(processor), "{place:?}, on processor {processor}");
        assert_eq!(node, place.node_id);
    }
}

#[test]
fn the_memory_of_a_pool_is_on_its_node_whoever_touches_it_first() {
    for_every_node_and_place(|node, _| {
        let pool = pool(node.memory_node());
        for bytes in [SMALL, LARGE, SPAN] {
            drop([check(&pool, bytes, node), check(&pool, bytes, node)]);
        }
    });
}

#[test]
fn memory_that_was_given_back_to_the_system_comes_from_the_same_node_again() {
    for_every_node_and_place(|node, _| {
        let pool = pool(node.memory_node());
        for _ in 0..2 {
            let small: Vec<PooledBuffer> = (0..128).map(|_| check(&pool, SMALL, node)).collect();
            drop(small);
            drop(check(&pool, LARGE, node));
            drop(check(&pool, 7 * LARGE, node));
            drop(check(&pool, SPAN, node));
        }
        let statistics = pool.statistics();
        assert!(statistics.num_evicted >= 128, "{statistics:?}");
        assert!(statistics.spans.num_acquired == 4 && statistics.small.num_reused > 0);
    });
}

#[test]
fn memory_of_no_node_is_where_it_is_touched_first() {
    for_every_node_and_place(|node, place| {
        if node.id == place.node_id {
            drop(check(&pool(None), LARGE, node));
        }
    });
}
