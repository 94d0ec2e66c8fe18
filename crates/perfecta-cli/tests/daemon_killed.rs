//! A daemon that is killed or stopped at any moment: no client waits for it, no request that was
//! accepted is lost, and what is published is whole.
//!
//! `PERFECTA_KILLS=200 cargo test -p perfecta-cli --test daemon_killed -- --nocapture` does so as often as
//! one likes; `PERFECTA_SEED` begins with the moments of that seed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "where the moments fell is worth knowing")]
#![allow(
    clippy::disallowed_methods,
    reason = "moments come by the clock, their number from outside"
)]

mod daemon_harness;
mod support;

use std::fs;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use daemon_harness::{Daemon, ended};
use rustix::process::Signal;
use support::{Place, Run, generated_keys};

/// Moments of an ordinary test run.
const MOMENTS: u64 = 10;
/// What a client promises: to be gone so long after a death, or after a silence.
const PROMISED: Duration = Duration::from_secs(5);
/// A client that is still there now never goes.
const HANGS_AFTER: Duration = Duration::from_secs(60);
/// A silence that a client bears.
const SHORT_SILENCE: Duration = Duration::from_millis(500);

/// What becomes of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Killed,
    Stopped,
    StoppedAndContinued,
}

impl Fate {
    const fn of(moment: u64) -> Self {
        match moment % 10 {
            3 => Self::Stopped,
            5 | 8 => Self::StoppedAndContinued,
            _ => Self::Killed,
        }
    }

    /// How a client may end that had no answer before.
    const fn exit_codes(self) -> [i32; 2] {
        match self {
            Self::Killed => [0, 10],
            Self::Stopped => [0, 14],
            Self::StoppedAndContinued => [0, 0],
        }
    }
}

/// What was seen over all moments.
#[derive(Debug, Default)]
struct Seen {
    clients: u32,
    answered: u32,
    left: u32,
    later_than_promised: u32,
    longest_after_death: Duration,
    longest_after_silence: Duration,
    requests: u32,
    interrupted: u32,
}

#[test]
fn no_client_waits_for_a_dead_daemon_and_no_request_is_lost_with_it() {
    let number_of =
        |name, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (moments, seed) = (number_of("PERFECTA_KILLS", MOMENTS), number_of("PERFECTA_SEED", 1));
    let place = Place::new();
    generated_keys(&place);
    let mut daemon = Daemon::start(place, &[]);
    let begun = Instant::now();
    for (out, layout) in [("dirs", "dirs"), ("packed", "packed")] {
        daemon.ok(&arguments(out, layout));
    }
    let whole_run = begun.elapsed();
    let mut seen = Seen::default();
    for moment in 0..moments {
        let fate = Fate::of(moment);
        let wait = whole_run.mul_f64(fraction(seed, moment));
        println!("moment {moment} of seed {seed}: {fate:?} after {wait:?}");
        meet(&mut daemon, moment, fate, wait, &mut seen);
    }
    println!("{moments} moments of seed {seed} in {:?}: {seen:?}", begun.elapsed());
}

fn arguments<'a>(out: &'a str, layout: &'a str) -> [&'a str; 9] {
    ["bulk-create", "keys", out, "--key-size", "auto", "--emit", "all", "--layout", layout]
}

/// A number below 1 for every moment of a seed (splitmix64).
fn fraction(seed: u64, moment: u64) -> f64 {
    let mut bits = (seed << 32 | moment).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Several clients at work, a daemon that meets its fate, and what is there afterwards.
fn meet(daemon: &mut Daemon, moment: u64, fate: Fate, wait: Duration, seen: &mut Seen) {
    let outs = ["dirs", "packed", "detached", "second"].map(|kind| format!("{kind}-{moment}"));
    let layouts = ["dirs", "packed", "dirs", "dirs"];
    let clients: Vec<Child> = outs
        .iter()
        .zip(layouts)
        .map(|(out, layout)| {
            let detach: &[&str] = if out.starts_with("detached") { &["--detach"] } else { &[] };
            let mut client = daemon.client(&[&arguments(out, layout), detach].concat());
            client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let spawned = Instant::now();
    while spawned.elapsed() < wait {
        std::hint::spin_loop();
    }
    let runs = fall_silent(daemon, fate, clients, seen);
    for run in &runs {
        assert!(
            fate.exit_codes().contains(&run.code),
            "{fate:?}: {} {}{}",
            run.code,
            run.out,
            run.err
        );
        let was_answered = run.code == 0;
        seen.answered += u32::from(was_answered);
        seen.left += u32::from(!was_answered);
    }
    match fate {
        Fate::Killed => daemon.restart(&[]),
        Fate::Stopped => daemon.signal(Signal::CONT),
        Fate::StoppedAndContinued => {}
    }
    if runs[2].code == 0 {
        daemon.ok(&["wait", runs[2].out.trim()]);
    }
    check_answers(daemon, seen);
    for ((out, layout), run) in outs.iter().zip(layouts).zip(&runs) {
        check_tables(&daemon.place, out, layout, run.code == 0);
    }
}

/// Lets the daemon meet its fate, and waits until its clients are gone.
fn fall_silent(daemon: &mut Daemon, fate: Fate, clients: Vec<Child>, seen: &mut Seen) -> Vec<Run> {
    match fate {
        Fate::Killed => daemon.kill(),
        Fate::Stopped | Fate::StoppedAndContinued => daemon.signal(Signal::STOP),
    }
    let silent = Instant::now();
    let (ends, end) = mpsc::channel();
    let num_clients = clients.len();
    let mut runs: Vec<Option<Run>> = clients.iter().map(|_| None).collect();
    for (number, client) in clients.into_iter().enumerate() {
        let ends = ends.clone();
        // Not a scoped one: a client that hangs is to fail the test, and not to hold it up.
        std::thread::spawn(move || ends.send((number, ended(client))));
    }
    let mut is_continued = fate != Fate::StoppedAndContinued;
    for _ in 0..num_clients {
        let (number, run) = loop {
            let limit = if is_continued { HANGS_AFTER } else { SHORT_SILENCE };
            match end.recv_timeout(limit) {
                Ok(ended) => break ended,
                Err(RecvTimeoutError::Timeout) if !is_continued => {
                    daemon.signal(Signal::CONT);
                    is_continued = true;
                }
                Err(_) => {
                    panic!("a client is there {:?} after its daemon was {fate:?}", silent.elapsed())
                }
            }
        };
        let elapsed = silent.elapsed();
        let longest = match fate {
            Fate::Killed => &mut seen.longest_after_death,
            Fate::Stopped | Fate::StoppedAndContinued => &mut seen.longest_after_silence,
        };
        *longest = elapsed.max(*longest);
        let is_late = fate != Fate::StoppedAndContinued && elapsed > PROMISED;
        seen.later_than_promised += u32::from(is_late);
        seen.clients += 1;
        runs[number] = Some(run);
    }
    if !is_continued {
        daemon.signal(Signal::CONT);
    }
    runs.into_iter().map(Option::unwrap).collect()
}

/// Every request that the daemon has comes to a good end, and is not kept for the next moment.
fn check_answers(daemon: &Daemon, seen: &mut Seen) {
    for request in daemon.ok(&["list", "--json"]).lines() {
        let id = request["id"].as_str().unwrap();
        seen.requests += 1;
        seen.interrupted +=
            u32::from(["queued", "running"].contains(&request["state"].as_str().unwrap()));
        let waited = daemon.ok(&["wait", id, "--json"]);
        assert_eq!(waited.summary()["failed"], 0);
        assert_eq!(daemon.http(&format!("DELETE /v1/requests/{id}"), "").0, 204);
    }
}

/// What is there is what an undisturbed run made, to the last file: no part of a table, and no stage. All
/// is there if the client was told so.
fn check_tables(place: &Place, out: &str, layout: &str, is_told: bool) {
    if !place.path(out).is_dir() {
        return assert!(!is_told, "{out} is not there");
    }
    let tree = place.tree(out);
    if is_told || !tree.is_empty() {
        assert!(tree == place.tree(layout), "{out}: not what an undisturbed run gives");
        place.ok(&["verify", out, "--keys", "keys", "--key-size", "auto"]);
    }
    fs::remove_dir_all(place.path(out)).unwrap();
}
