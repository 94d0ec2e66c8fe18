//! A daemon and other users of the machine: who is served, what each may see, and whose place it is.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what is skipped is said")]

mod daemon_harness;
mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command};

use daemon_harness::command;
use support::{Place, Run, binary_for_everybody, is_root};

/// Users without any rights.
const OTHER: u32 = 65_534;
const THIRD: u32 = 65_533;

/// A daemon in a place that others can reach, and clients of several users.
struct Shared {
    place: Place,
    binary: PathBuf,
    daemon: Child,
}

impl Shared {
    fn start(arguments: &[&str]) -> Self {
        let place = Place::new();
        place.write_keys("root/a.keys", &[1, 2, 3]);
        let hopeless: Vec<u32> = (1..200).map(|key| key << 20).collect();
        place.write_keys("root/endless/hopeless.keys", &hopeless);
        let binary = binary_for_everybody(&place);
        let serve = ["serve", "--endpoint", "run/d.sock", "--allow-root", "root"];
        let daemon = command(&place, &[&serve, arguments].concat()).spawn().unwrap();
        let shared = Self { place, binary, daemon };
        let there = shared.client(0, &["ping", "--wait-for-server", "60"]);
        assert_eq!(there.code, 0, "{}", there.err);
        shared
    }

    fn client(&self, user: u32, arguments: &[&str]) -> Run {
        let mut command = Command::new(&self.binary);
        command.args(["client", "--endpoint", "run/d.sock"]).args(arguments);
        command.current_dir(self.place.path("")).uid(user).gid(user);
        Run::of(&command.output().unwrap())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// Says so where there are no other users to be tried.
fn is_skipped() -> bool {
    if !is_root() {
        println!("skipped: only root can be other users");
    }
    !is_root()
}

#[test]
fn a_user_who_is_not_allowed_is_told_so() {
    if is_skipped() {
        return;
    }
    let shared = Shared::start(&["--allow-user", "65533"]);
    let refused = shared.client(OTHER, &["ping"]);
    assert_eq!(refused.code, 12, "{}", refused.err);
    assert!(refused.err.contains("user 65534 is not served here"), "{}", refused.err);
    assert!(refused.err.contains("--allow-user"), "{}", refused.err);
    assert_eq!(shared.client(THIRD, &["ping"]).code, 0);
}

#[test]
fn a_directory_on_the_way_that_keeps_users_out_is_told() {
    let check = |mode: u32, arguments: &[&str], is_told: bool| {
        let place = Place::new();
        fs::create_dir_all(place.path("root")).unwrap();
        fs::create_dir_all(place.path("way/run")).unwrap();
        for (directory, mode) in [("way/run", 0o711), ("way", mode), ("", 0o755)] {
            fs::set_permissions(place.path(directory), Permissions::from_mode(mode)).unwrap();
        }
        let all = ["serve", "--no-journal", "--endpoint", "way/run/d.sock", "--idle-exit", "0"];
        let run = command(&place, &[&all, arguments].concat()).output().unwrap();
        let run = Run::of(&run);
        assert_eq!(run.code, 0, "{}", run.err);
        let told = "way: users who are allowed may not get through it to the socket (mode 0710)";
        assert_eq!(run.err.contains(told), is_told, "{mode:o}: {}", run.err);
    };
    let allowed = ["--allow-user", "65533", "--allow-root", "root"];
    check(0o710, &allowed, true);
    check(0o711, &allowed, false);
}

#[test]
fn a_daemon_for_its_own_user_cannot_be_reached_by_others() {
    if is_skipped() {
        return;
    }
    let shared = Shared::start(&[]);
    let refused = shared.client(OTHER, &["ping"]);
    assert_eq!(refused.code, 12, "{}", refused.err);
    assert!(refused.err.contains("permission denied"), "{}", refused.err);
}

#[test]
fn a_user_who_is_allowed_has_its_own_requests_and_nothing_else() {
    if is_skipped() {
        return;
    }
    let shared = Shared::start(&["--allow-user", "nobody", "--allow-user", "65533"]);
    let endless = [
        "bulk-create",
        "root/endless",
        "--no-output",
        "--hash",
        "Multiply",
        "--max-attempts",
        "0xffff_ffff_ffff",
        "--detach",
    ];
    let accepted = shared.client(THIRD, &endless);
    let id = accepted.out.trim();
    assert_eq!(accepted.code, 0, "{}", accepted.err);
    let made = shared.client(OTHER, &["create", "root/a.keys", "root/out"]);
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(shared.place.path("root/out/a/a.pht").exists());
    assert_eq!(shared.client(OTHER, &["create", "/etc/passwd", "root/out"]).code, 12);
    assert_eq!(shared.client(OTHER, &["list"]).out.lines().count(), 1);
    assert_eq!(shared.client(0, &["list"]).out.lines().count(), 2);
    for ask in ["status", "cancel", "wait"] {
        let refused = shared.client(OTHER, &[ask, id]);
        assert_eq!(refused.code, 4, "{ask}: {}", refused.err);
        assert!(refused.err.contains("there is no request"), "{}", refused.err);
    }
    for ask in ["drain", "shutdown"] {
        let refused = shared.client(OTHER, &[ask]);
        assert_eq!(refused.code, 12, "{ask}: {}", refused.err);
        assert!(refused.err.contains("for the daemon's own user"), "{}", refused.err);
    }
    assert_eq!(shared.client(THIRD, &["status", id]).code, 0);
    assert_eq!(shared.client(THIRD, &["cancel", id]).code, 0);
    assert_eq!(shared.client(0, &["wait", id]).code, 130);
}

#[test]
fn other_users_are_not_served_without_roots_and_have_to_be_known() {
    let place = Place::new();
    let check = |arguments: &[&str], reason: &str| {
        let run = Run::of(&command(&place, &[&["serve"], arguments].concat()).output().unwrap());
        assert_eq!(run.code, 2, "{}", run.err);
        assert!(run.err.contains(reason), "{}", run.err);
    };
    check(&["--allow-user", "nobody"], "--allow-root");
    check(&["--allow-root", ".", "--allow-user", "no-such-user"], "there is no such user");
}

#[test]
fn a_place_that_is_not_the_daemons_own_is_refused() {
    let check = |prepare: &dyn Fn(&Place), arguments: &[&str], reason: &str| {
        let place = Place::new();
        prepare(&place);
        let serve = ["serve", "--endpoint", "run/d.sock", "--allow-root", "."];
        let run = Run::of(&command(&place, &[&serve, arguments].concat()).output().unwrap());
        assert_eq!(run.code, 12, "{}", run.err);
        assert!(run.err.contains(reason), "{reason}: {}", run.err);
        assert!(run.err.contains("help: choose a directory of your own"), "{}", run.err);
    };
    let made = |place: &Place, mode: u32| {
        fs::create_dir(place.path("run")).unwrap();
        fs::set_permissions(place.path("run"), Permissions::from_mode(mode)).unwrap();
    };
    let others = ["--allow-user", "65534"];
    check(&|place| made(place, 0o750), &[], "others may use it (mode 0750)");
    check(&|place| made(place, 0o731), &others, "others may use it (mode 0731)");
    check(
        &|place| made(place, 0o700),
        &others,
        "users who are allowed cannot enter it (mode 0700)",
    );
    check(
        &|place| {
            fs::create_dir(place.path("real")).unwrap();
            fs::set_permissions(place.path("real"), Permissions::from_mode(0o700)).unwrap();
            symlink("real", place.path("run")).unwrap();
        },
        &[],
        "is no directory",
    );
    if is_skipped() {
        return;
    }
    check(
        &|place| {
            made(place, 0o700);
            chown(place.path("run"), Some(OTHER), None).unwrap();
        },
        &[],
        "belongs to user 65534, not to 0",
    );
}

#[test]
fn a_socket_that_another_user_put_there_is_told_nothing() {
    if is_skipped() {
        return;
    }
    let place = Place::new();
    fs::set_permissions(place.path(""), Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(place.path("open")).unwrap();
    fs::set_permissions(place.path("open"), Permissions::from_mode(0o1777)).unwrap();
    let socket = place.path("open/d.sock");
    let squatter = std::thread::spawn({
        let socket = socket.clone();
        move || {
            // Of this thread alone.
            rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(OTHER)).unwrap();
            UnixListener::bind(socket).unwrap()
        }
    });
    let _squatter = squatter.join().unwrap();
    let run = place.run(&["client", "ping", "--endpoint", "open/d.sock"]);
    assert_eq!(run.code, 12, "{}", run.err);
    assert!(run.err.contains("not to be trusted: it is of user 65534"), "{}", run.err);
}
