//! Which backend is chosen, and that no refusal of the system's stops a run: processes that may make
//! no ring, or few.

use std::num::NonZeroUsize;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

use perfecta_io::{Backend, BackendError, Engines, Op, RingRefusal, UringEngine, call};
use rustix::process::{Resource, Rlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// Tells a process of a test which part it has.
const PART: &str = "PERFECTA_TEST_PART";
const NUM_WORKERS: usize = 64;
/// The usual limit of locked memory, and one that some systems still have.
const LOCKED_BYTES: [u64; 2] = [8 << 20, 64 << 10];
/// Nobody, by number.
const ORDINARY_USER: u32 = 65534;

fn start(backend: Backend) -> Result<Engines, BackendError> {
    Engines::start(backend, NonZeroUsize::new(2).unwrap())
}

/// A process of this program that has a part in a test.
fn process(part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(PART, part);
    command
}

/// One test in a process of its own, as a part of it.
fn run(test: &str, part: &str) -> Output {
    let name = format!("{}::{test}", module_path!().split_once("::").unwrap().1);
    process(part).args(["--exact", &name, "--nocapture"]).output().unwrap()
}

fn part() -> Option<String> {
    std::env::var_os(PART).map(|part| part.into_string().unwrap())
}

/// What it told, if it ran tests and all of them passed.
fn assert_passed(output: &Output) -> String {
    let [told, said] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{told}\n{said}");
    assert!(told.contains("test result: ok") && !told.contains(" 0 passed"), "{told}\n{said}");
    told.into_owned()
}

#[test]
fn plain_calls_can_be_chosen_and_count_their_threads() {
    let engines = start(Backend::Blocking).unwrap();
    assert_eq!((engines.backend(), engines.notice()), (Backend::Blocking, None));
    assert_eq!(engines.threads_max(10), 10 + 2);
}

#[test]
fn the_backend_that_was_chosen_has_a_notice_if_it_is_the_lesser_one() {
    let engines = start(Backend::Auto).unwrap();
    match engines.backend() {
        Backend::Auto => panic!("nothing was chosen"),
        Backend::Uring => {
            assert_eq!(engines.notice(), None);
            assert_eq!(engines.threads_max(10), 10 + 10 + 2);
            start(Backend::Uring).unwrap();
        }
        Backend::Blocking => {
            assert!(engines.notice().is_some());
            start(Backend::Uring).unwrap_err();
        }
    }
}

#[test]
fn without_rings_the_suite_passes_on_plain_calls_with_one_notice() {
    const TEST: &str = "without_rings_the_suite_passes_on_plain_calls_with_one_notice";
    match part().as_deref() {
        None => {
            let suites = [libc::EPERM, libc::ENOSYS]
                .map(|errno| std::thread::spawn(move || run(TEST, &errno.to_string())));
            for suite in suites {
                assert_passed(&suite.join().unwrap());
            }
        }
        Some(errno) => {
            let errno = errno.parse().unwrap();
            forbid_rings(errno);
            assert_rings_are_missed(errno);
            // The filter stays with this thread and what it executes: the whole suite, which leaves
            // out what there is not.
            panic!("{}", process("suite").args(["--skip", "backends::"]).exec());
        }
    }
}

fn assert_rings_are_missed(errno: i32) {
    let reason = if errno == libc::EPERM { "forbids it" } else { "has no io_uring" };
    let engines = start(Backend::Auto).unwrap();
    assert_eq!(engines.backend(), Backend::Blocking);
    let notice = engines.notice().unwrap();
    assert!(notice.contains(reason) && notice.lines().count() == 1, "{notice}");
    assert_eq!(engines.threads_max(10), 12);
    let refused = start(Backend::Uring).unwrap_err();
    assert!(refused.to_string().contains(reason), "{refused}");
    assert!(refused.remedy().contains("seccomp"), "{}", refused.remedy());
}

fn forbid_rings(errno: i32) {
    let rules = [(libc::SYS_io_uring_setup, Vec::new())].into();
    let forbidden = SeccompAction::Errno(errno as u32);
    let architecture = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, forbidden, architecture).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}

#[test]
fn an_ordinary_user_has_a_ring_for_each_of_64_workers_and_plain_calls_for_more() {
    const TEST: &str =
        "an_ordinary_user_has_a_ring_for_each_of_64_workers_and_plain_calls_for_more";
    match part().as_deref().map(|part| part.split_once(' ').unwrap()) {
        None => {
            for bytes in LOCKED_BYTES {
                print!("{}", assert_passed(&run(TEST, &format!("limit {bytes}"))));
            }
        }
        Some(("limit", bytes)) => {
            let limit = bytes.parse().ok();
            let limit = Rlimit { current: limit, maximum: limit };
            rustix::process::setrlimit(Resource::Memlock, limit).unwrap();
            let mut process = process(&format!("work {bytes}"));
            process.args(std::env::args_os().skip(1));
            if rustix::process::geteuid().is_root() {
                process.uid(ORDINARY_USER).gid(ORDINARY_USER);
            }
            println!("skipped: cannot go on as an ordinary user: {}", process.exec());
        }
        Some((_, bytes)) => assert_all_workers_work(bytes.parse().unwrap()),
    }
}

fn assert_all_workers_work(locked_bytes: u64) {
    let rings: Vec<_> = (0..NUM_WORKERS).map(|_| UringEngine::new(None)).collect();
    let refusals: Vec<RingRefusal> =
        rings.iter().filter_map(|ring| ring.as_ref().err()).copied().collect();
    if locked_bytes == LOCKED_BYTES[0] {
        assert_eq!(refusals, []);
    } else {
        assert!(refusals.len() > NUM_WORKERS / 2);
        assert!(refusals.iter().all(|refusal| *refusal == RingRefusal::LockedMemory));
    }
    drop(rings);
    let engines = start(Backend::Auto).unwrap();
    let mut workers: Vec<_> = (0..NUM_WORKERS).map(|_| engines.engine()).collect();
    for engine in &mut workers {
        let path = std::env::temp_dir();
        call(engine.as_mut(), Op::SyncDirectory { path }).unwrap();
    }
}
