//! `cargo bench -p perfecta-bench --bench daemon -- BINARY KEYS SCRATCH [ROUNDS]`: what the daemon costs
//! beside the direct command, as whole processes in turn, and what it gives to requests that come
//! at the same time.
//!
//! `BINARY` is a release build of `perfecta`, `KEYS` a directory of key files. Trees are made below
//! `SCRATCH` under fresh names; see `create` for why nothing is removed there between rounds.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use perfecta_jobs::{Clock, SystemClock};

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let [binary, keys, scratch, rest @ ..] = &arguments[..] else {
        return println!(
            "daemon needs the binary, a directory of key files and one to write below"
        );
    };
    let rounds = rest.first().map_or(5, |rounds| rounds.parse().expect("a number of rounds"));
    let mut house = House::start(binary.into(), scratch.into());
    let more = MORE_ROUNDS_IN_MEMORY * rounds;
    println!("medians of {rounds} rounds, {more} in memory, seconds: direct, by the daemon, ratio");
    let in_memory = ["bulk-create", keys, "--no-output"];
    house.compare("in memory", more, |_| in_memory.map(ToOwned::to_owned).to_vec());
    house.compare("table files", rounds, |fresh| {
        ["bulk-create", keys, &fresh].map(ToOwned::to_owned).to_vec()
    });
    let (alone, behind) = house.small_alone_and_behind(keys, rounds);
    println!("one set alone {alone:.3}, behind all {behind:.3}, ratio {:.2}", behind / alone);
    let (first, last) = house.equal_ends(&in_memory);
    println!("two equal requests end after {first:.3} and {last:.3}, ratio {:.2}", last / first);
}

/// Such a run is short, and the median of a few differs from that of the next few by a tenth.
const MORE_ROUNDS_IN_MEMORY: usize = 4;

/// A daemon, and a place to write below.
struct House {
    binary: PathBuf,
    scratch: PathBuf,
    endpoint: String,
    daemon: Child,
    num_fresh: u32,
}

impl House {
    fn start(binary: PathBuf, scratch: PathBuf) -> Self {
        let run = scratch.join("run");
        if !run.exists() {
            let mut private = std::fs::DirBuilder::new();
            private.recursive(true).mode(0o700).create(&run).expect("it can be made");
        }
        let endpoint = run.join("bench.sock").into_os_string().into_string().expect("UTF-8");
        let daemon = Command::new(&binary)
            .args(["serve", "--endpoint", &endpoint])
            .spawn()
            .expect("the binary runs");
        let mut house = Self { binary, scratch, endpoint, daemon, num_fresh: 0 };
        house.run(&["client", "ping", "--wait-for-server", "10"].map(ToOwned::to_owned));
        house
    }

    /// A name that is free.
    fn fresh(&mut self) -> String {
        loop {
            self.num_fresh += 1;
            let path = self.scratch.join(format!("tree-{}", self.num_fresh));
            if !path.exists() {
                return path.into_os_string().into_string().expect("UTF-8");
            }
        }
    }

    fn spawn(&self, arguments: &[String]) -> Child {
        let mut command = Command::new(&self.binary);
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        if arguments[0] == "client" {
            command.args(["--endpoint", &self.endpoint]);
        }
        command.spawn().expect("the binary runs")
    }

    fn run(&mut self, arguments: &[String]) -> f64 {
        let start = SystemClock.now();
        let status = self.spawn(arguments).wait().expect("it ends");
        assert!(status.success(), "{arguments:?}: {status}");
        (SystemClock.now() - start).as_secs_f64()
    }

    fn compare(&mut self, name: &str, rounds: usize, command: impl Fn(String) -> Vec<String>) {
        let mut seconds = [Vec::new(), Vec::new()];
        for round in 0..=rounds {
            // Who is first changes: what one leaves behind may cost whoever comes next.
            for which in [round % 2, (round + 1) % 2] {
                rustix::fs::sync();
                let fresh = command(self.fresh());
                let arguments = if which == 0 { fresh } else { by_daemon(fresh) };
                let took = self.run(&arguments);
                // The first round warms both.
                if round > 0 {
                    seconds[which].push(took);
                }
            }
        }
        let [direct, served] = seconds.map(median);
        println!("{name:12} {direct:.3} {served:.3} {:.3}", served / direct);
    }

    /// Seconds of one file's request: with nothing else to do, and while all are worked on.
    fn small_alone_and_behind(&mut self, keys: &str, rounds: usize) -> (f64, f64) {
        let file = first_file(Path::new(keys)).expect("there is a key file");
        let small = by_daemon(["create", &file, "--no-output"].map(ToOwned::to_owned).to_vec());
        let large = by_daemon(["bulk-create", keys, "--no-output"].map(ToOwned::to_owned).to_vec());
        let (mut alone, mut behind) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            alone.push(self.run(&small));
            let mut busy = self.spawn(&large);
            while !self.is_at_work() {}
            behind.push(self.run(&small));
            assert!(busy.try_wait().expect("it can be asked").is_none(), "KEYS are too few");
            assert!(busy.wait().expect("it ends").success());
        }
        (median(alone), median(behind))
    }

    /// Whether the daemon has key files in hand.
    fn is_at_work(&self) -> bool {
        let mut command = Command::new(&self.binary);
        command.args(["client", "ping", "--json", "--endpoint", &self.endpoint]);
        let told = command.output().expect("the binary runs");
        assert!(told.status.success(), "the daemon answers");
        !String::from_utf8_lossy(&told.stdout).contains("\"items_running\":0,")
    }

    /// Seconds until the first, and until the last of two equal requests that begin together.
    fn equal_ends(&mut self, arguments: &[&str]) -> (f64, f64) {
        let command = by_daemon(arguments.iter().map(|word| (*word).to_owned()).collect());
        let start = SystemClock.now();
        let waits = [self.spawn(&command), self.spawn(&command)].map(|mut child| {
            std::thread::spawn(move || {
                assert!(child.wait().expect("it ends").success());
                (SystemClock.now() - start).as_secs_f64()
            })
        });
        let [one, other] = waits.map(|wait| wait.join().expect("it ends well"));
        (one.min(other), one.max(other))
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let shutdown = ["client", "shutdown"].map(ToOwned::to_owned);
        let _ = self.spawn(&shutdown).wait();
        let _ = self.daemon.wait();
    }
}

fn by_daemon(mut command: Vec<String>) -> Vec<String> {
    command.insert(0, "client".to_owned());
    command
}

fn first_file(directory: &Path) -> Option<String> {
    let mut entries: Vec<PathBuf> =
        directory.read_dir().ok()?.map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    entries.into_iter().find_map(|path| {
        if path.is_dir() { first_file(&path) } else { path.into_os_string().into_string().ok() }
    })
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
