//! Killed at any moment, a run leaves whole tables or none, and running it again gives what an
//! undisturbed run gives.
//!
//! `PERFECTA_KILLS=200 cargo test -p perfecta-cli --test killed` kills as often as one likes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "how many kills fell where is worth knowing")]
#![allow(clippy::disallowed_methods, reason = "kills come by the clock, their number from outside")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use support::{Place, generated_keys};

/// Between two looks for a stage, which leave the run the processor.
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// Kills of an ordinary test run.
const KILLS: u32 = 20;

/// Kills more, at once, where all of these came too late.
const KILLS_MORE: u32 = 100;

#[test]
fn a_killed_run_leaves_whole_tables_and_is_completed_by_running_it_again() {
    let kills = std::env::var("PERFECTA_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let place = Place::new();
    generated_keys(&place);
    for layout in ["dirs", "packed"] {
        let undisturbed = format!("undisturbed-{layout}");
        let started = std::time::Instant::now();
        place.ok(&arguments(&undisturbed, layout));
        let whole_run = started.elapsed();
        let expected = place.tree(&undisturbed);
        let mut out = String::new();
        let tables_expected = expected.keys().filter(|name| is_manifest(name)).count();
        let (mut round, mut interrupted, mut amid) = (0, 0, 0);
        let kills = kills / 2;
        // Where kills fall is a matter of time; as long as every run was over before, they say nothing.
        while round < kills || interrupted == 0 {
            assert!(
                round < kills + KILLS_MORE,
                "{layout}: each of {round} runs was over before it was killed, {whole_run:?} for a whole one: \
                 nothing was tested; run it again on a machine that does less beside"
            );
            // Every other round starts anew; the rest go on where the last was killed, and are over
            // sooner.
            let starts_anew = round % 2 == 0 || round >= kills;
            if starts_anew {
                out = format!("killed-{layout}-{round}");
            }
            let mut command = place.command(&arguments(&out, layout));
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            // What comes before the stage writes nothing, so kills there would show nothing.
            wait_for_stage(&place.path(&out), &mut child);
            if round < kills {
                let longest = if starts_anew { 0.8 } else { 0.4 };
                thread::sleep(whole_run.mul_f64(fraction(round) * longest));
            }
            child.kill().unwrap();
            let was_killed = !child.wait().unwrap().success();
            interrupted += u32::from(was_killed);
            let num_tables = place.tree(&out).keys().filter(|name| is_manifest(name)).count();
            amid += u32::from(was_killed && num_tables > 0 && num_tables < tables_expected);
            check_published_are_whole(&place, &out);
            round += 1;
        }
        place.ok(&arguments(&out, layout));
        assert!(place.tree(&out) == expected, "{layout}: not what an undisturbed run gives");
        // Shown by --nocapture.
        println!("{layout}: {interrupted} of {round} killed, {amid} amid tables");
    }
}

fn arguments<'a>(out: &'a str, layout: &'a str) -> [&'a str; 9] {
    ["bulk-create", "keys", out, "--key-size", "auto", "--emit", "all", "--layout", layout]
}

/// A spread over the length of a run that repeats in every test.
fn fraction(round: u32) -> f64 {
    f64::from(round.wrapping_mul(0x9e37_79b9) >> 8) / f64::from(1 << 24)
}

fn is_manifest(name: &str) -> bool {
    name.ends_with("manifest.json") && !name.contains(".perfecta")
}

/// Waits until the run has a stage, or is over.
fn wait_for_stage(out: &Path, child: &mut Child) {
    let has_stage = || {
        let mut names = fs::read_dir(out).into_iter().flatten().flatten();
        names.any(|entry| entry.file_name().to_string_lossy().starts_with(".perfecta-stage"))
    };
    while !has_stage() && child.try_wait().unwrap().is_none() {
        thread::sleep(LOOK_EVERY);
    }
}

fn check_published_are_whole(place: &Place, out: &str) {
    let published = place.path(out);
    let any = published.is_dir() && place.tree(out).keys().any(|name| is_manifest(name));
    if any {
        let verified = place.run(&["verify", out]);
        assert_eq!(verified.code, 0, "{}{}", verified.out, verified.err);
    }
}
