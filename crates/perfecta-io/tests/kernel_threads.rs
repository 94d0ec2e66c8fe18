//! The kernel's threads that work for rings are no more than were promised. A process of its own,
//! because they are counted.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use perfecta_io::{Backend, Buffer, Engine, Engines, Interrupt, Op, Symlinks, Token};

const NUM_WORKERS: usize = 6;

/// All that a ring could leave to threads of the kernel's: many syncs and many cold reads at once.
fn work(engine: &mut dyn Engine, directory: &Path) {
    let paths: Vec<_> = (0..30).map(|number| directory.join(number.to_string())).collect();
    for path in &paths {
        std::fs::create_dir(path).unwrap();
        std::fs::write(path.join("file"), [7; 50_000]).unwrap();
        let file = std::fs::File::open(path.join("file")).unwrap();
        file.sync_data().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    }
    for (number, path) in (0..).zip(&paths) {
        engine.submit(Token(number), Op::SyncDirectory { path: path.clone() });
        let (path, buffer) = (path.join("file"), Buffer::default());
        let (bytes_max, symlinks) = (100_000, Symlinks::Refuse);
        let op =
            Op::ReadFile { path, buffer, bytes_max, symlinks, interrupt: Interrupt::default() };
        engine.submit(Token(100 + number), op);
    }
    while engine.num_in_flight() > 0 {
        match engine.poll() {
            Some(completion) => drop(completion.outcome.unwrap()),
            None => engine.wait(None),
        }
    }
}

/// Threads of this process, and how many of them are the kernel's for rings.
fn threads() -> (usize, usize) {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names: Vec<String> = tasks
        .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok())
        .collect();
    (names.len(), names.iter().filter(|name| name.starts_with("iou-")).count())
}

#[test]
fn rings_have_no_more_threads_than_was_promised() {
    let engines = Engines::start(Backend::Auto, 2.try_into().unwrap()).unwrap();
    let (num_before, _) = threads();
    let is_done = AtomicBool::new(false);
    let directory = tempfile::tempdir().unwrap();
    let most = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut most = (0, 0);
            while !is_done.load(Ordering::Relaxed) {
                let (all, of_kernel) = threads();
                most = (most.0.max(all), most.1.max(of_kernel));
            }
            most
        });
        let workers: Vec<_> = (0..NUM_WORKERS)
            .map(|number| {
                let (engines, directory) = (&engines, directory.path().join(number.to_string()));
                scope.spawn(move || {
                    std::fs::create_dir(&directory).unwrap();
                    work(engines.engine().as_mut(), &directory);
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        is_done.store(true, Ordering::Relaxed);
        sampler.join().unwrap()
    });
    let (num_threads, num_of_kernel) = most;
    println!("{num_threads} threads, {num_of_kernel} of them the kernel's");
    // What was there before has the threads for I/O in it, and the sampler comes on top.
    let num_promised = num_before - 2 + engines.threads_max(NUM_WORKERS) + 1;
    assert!(num_threads <= num_promised, "{num_threads} of {num_promised}");
    assert!(num_of_kernel <= NUM_WORKERS, "{num_of_kernel} threads of the kernel's");
}
