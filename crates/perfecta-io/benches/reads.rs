//! Who waits for cold files: the worker itself, I/O threads, or a ring; and what it costs when the
//! files are warm. `cargo bench -p perfecta-io` prints it.
//!
//! Contenders take turns in an order that changes from round to round; figures are medians. A file is
//! made cold by having the system let go of its pages, which not every file system does.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use perfecta_io::{
    BlockingEngine, Buffer, Clock, Engine, Interrupt, IoThreads, Op, Symlinks, SystemClock, Token,
};

const NUM_ROUNDS: usize = 7;
/// Files and bytes of each: key files as they are, and large ones.
const SETS: [(usize, usize); 2] = [(3_000, 3_000), (200, 1 << 20)];

/// Makes an engine on the thread that uses it.
type Make = Box<dyn Fn() -> Box<dyn Engine> + Sync>;

struct Contender {
    name: String,
    num_workers: usize,
    /// Reads that each worker has in flight.
    depth: usize,
    make: Make,
}

fn main() {
    let directory = tempfile::tempdir().unwrap();
    for (count, bytes) in SETS {
        let paths = write(directory.path(), count, bytes);
        for is_cold in [false, true] {
            let kind = if is_cold { "cold" } else { "warm" };
            println!("{count} {kind} files of {bytes} bytes: wall ms, CPU ms");
            compare(&contenders(), &paths, is_cold);
        }
    }
}

fn contenders() -> Vec<Contender> {
    let mut contenders = Vec::new();
    let mut add = |name: String, num_workers, depth, make| {
        contenders.push(Contender { name, num_workers, depth, make });
    };
    for num_workers in [1, 2] {
        let make: Make = Box::new(|| Box::new(BlockingEngine::default()));
        add("its own thread waits".to_owned(), num_workers, 1, make);
        for num_threads in [1, 4] {
            let threads = Arc::new(IoThreads::start(num_threads.try_into().unwrap()).unwrap());
            let make: Make =
                Box::new(move || Box::new(BlockingEngine::new(Some(Arc::clone(&threads)))));
            add(format!("{num_threads} I/O threads"), num_workers, 32, make);
        }
        #[cfg(target_os = "linux")]
        if perfecta_io::UringEngine::new(None).is_ok() {
            for depth in [1, 8, 32] {
                let make = || Box::new(perfecta_io::UringEngine::new(None).unwrap()) as Box<_>;
                add("ring".to_owned(), num_workers, depth, Box::new(make));
            }
        }
    }
    contenders
}

fn compare(contenders: &[Contender], paths: &[PathBuf], is_cold: bool) {
    let mut rows: Vec<Vec<(Duration, Duration)>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 0..NUM_ROUNDS {
        for turn in 0..contenders.len() {
            let place = (turn + round) % contenders.len();
            if is_cold {
                evict(paths);
            }
            let (wall, cpu) = (SystemClock.now(), SystemClock.cpu());
            contenders[place].read_all(paths);
            rows[place].push((SystemClock.now() - wall, SystemClock.cpu() - cpu));
        }
    }
    for (Contender { name, num_workers, depth, .. }, row) in contenders.iter().zip(rows) {
        let median = |mut figures: Vec<Duration>| {
            figures.sort_unstable();
            figures[figures.len() / 2].as_secs_f64() * 1e3
        };
        let wall = median(row.iter().map(|figures| figures.0).collect());
        let cpu = median(row.iter().map(|figures| figures.1).collect());
        println!("  {num_workers} workers, {depth:2} at once, {name:20} {wall:8.1} {cpu:8.1}");
    }
}

impl Contender {
    fn read_all(&self, paths: &[PathBuf]) {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..self.num_workers {
                scope.spawn(|| read_some((self.make)().as_mut(), self.depth, paths, &next));
            }
        });
    }
}

/// Reads files that nobody else took, `depth` at once.
fn read_some(engine: &mut dyn Engine, depth: usize, paths: &[PathBuf], next: &AtomicUsize) {
    let mut buffers: Vec<Buffer> = Vec::new();
    loop {
        while engine.num_in_flight() < depth {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(path) = paths.get(place) else { break };
            let (path, buffer) = (path.clone(), buffers.pop().unwrap_or_default());
            let (bytes_max, symlinks) = (u64::MAX, Symlinks::Follow);
            let op =
                Op::ReadFile { path, buffer, bytes_max, symlinks, interrupt: Interrupt::default() };
            engine.submit(Token(place as u64), op);
        }
        match engine.poll() {
            Some(completion) => buffers.push(completion.outcome.unwrap().into_bytes()),
            None if engine.num_in_flight() == 0 => return,
            None => engine.wait(None),
        }
    }
}

fn write(directory: &Path, count: usize, bytes: usize) -> Vec<PathBuf> {
    let paths: Vec<PathBuf> =
        (0..count).map(|number| directory.join(format!("{bytes}-{number}"))).collect();
    for path in &paths {
        std::fs::write(path, vec![7; bytes]).unwrap();
    }
    // Has all of them written at once before each is waited for.
    evict(&paths);
    for path in &paths {
        std::fs::File::open(path).unwrap().sync_all().unwrap();
    }
    paths
}

/// Lets go of what is in memory of files.
fn evict(paths: &[PathBuf]) {
    for path in paths {
        let file = std::fs::File::open(path).unwrap();
        #[cfg(target_os = "linux")]
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        drop(file);
    }
}
