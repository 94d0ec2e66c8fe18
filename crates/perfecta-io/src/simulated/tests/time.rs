//! Time, order, and that both come again for the same seed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::super::{SimulatedEngine, SimulatedMachine};
use super::{complete, machine, publish, write};
use crate::buffer::Buffer;
use crate::clock::Clock;
use crate::engine::{Engine, Token};
use crate::error::IoErrorKind;
use crate::faults::{Fault, FaultPlan};
use crate::op::{Interrupt, Op, Symlinks};
use crate::system::Errno;

/// Three workers in one thread, each of which writes and publishes tables, two at a time.
fn drive_three(seed: u64, plan: &Arc<FaultPlan>) -> SimulatedMachine {
    let machine = SimulatedMachine::new(seed);
    machine.make_directories(Path::new("/out"));
    let mut engines: Vec<SimulatedEngine> = (0..3).map(|_| machine.engine(plan)).collect();
    for (worker, engine) in (0..).zip(&mut engines) {
        for table in [2 * worker, 2 * worker + 1] {
            engine.submit(Token(u64::from(table)), write(table, &format!("stage{table}")));
        }
    }
    while engines.iter().any(|engine| engine.num_in_flight() > 0) {
        if !engines.iter().any(SimulatedEngine::is_ready) {
            machine.advance_to(machine.next_due().expect("something is in flight"));
        }
        for engine in &mut engines {
            while let Some(completion) = engine.poll() {
                let Token(table) = completion.token;
                if table < 100 && completion.outcome.is_ok() {
                    let op = publish(&format!("stage{table}"), &format!("table{table}"));
                    engine.submit(Token(table + 100), op);
                }
            }
        }
    }
    machine
}

#[test]
fn the_same_seed_gives_the_same_history_and_another_seed_another() {
    let run = |seed| {
        let drawn = FaultPlan::drawn(seed, 10, &Fault::HARMLESS);
        drive_three(seed, &Arc::new(drawn)).history()
    };
    let histories: BTreeSet<String> = (0..20).map(run).collect();
    assert_eq!(histories.len(), 20);
    assert!((0..20).all(|seed| histories.contains(&run(seed))));
}

#[test]
fn operations_overtake_each_other_and_none_is_lost() {
    let orders: BTreeSet<Vec<u64>> = (0..50)
        .map(|seed| {
            let (_, mut engine) = machine(seed);
            let path = PathBuf::from("/out");
            (0..4)
                .for_each(|token| engine.submit(Token(token), Op::Inspect { path: path.clone() }));
            let mut order = Vec::new();
            while engine.num_in_flight() > 0 {
                match engine.poll() {
                    Some(completion) => order.push(completion.token.0),
                    None => engine.wait(None),
                }
            }
            order
        })
        .collect();
    // Of 24 orders.
    assert!(orders.len() > 10, "{orders:?}");
}

#[test]
fn harmless_faults_change_nothing_but_time() {
    for seed in 0..100 {
        let drawn = FaultPlan::drawn(seed, 3, &Fault::HARMLESS);
        let machine = drive_three(seed, &Arc::new(drawn));
        let expected = drive_three(seed, &Arc::default());
        let root = Path::new("/out");
        assert_eq!(machine.tree(root), expected.tree(root), "{}", machine.history());
    }
}

#[test]
fn time_passes_only_where_somebody_waits() {
    let (machine, mut engine) = machine(1);
    assert_eq!(machine.now(), Duration::ZERO);
    engine.wait(Some(Duration::from_secs(5)));
    assert_eq!(machine.now(), Duration::from_secs(5));
    engine.waker().wake();
    assert!(engine.is_ready());
    engine.wait(Some(Duration::from_secs(5)));
    assert_eq!(machine.now(), Duration::from_secs(5));
    assert!(!engine.is_ready());
    machine.advance_to(Duration::from_secs(1));
    assert_eq!(machine.now(), Duration::from_secs(5));
}

#[test]
fn a_delayed_call_delays_the_operation_that_makes_it() {
    let (machine, _) = machine(1);
    let plan = Arc::<FaultPlan>::default();
    plan.inject(..=0, Fault::Delay(Duration::from_secs(60)));
    let mut engine = machine.engine(&plan);
    complete(&mut engine, Op::Inspect { path: "/out".into() }).expect("it is there");
    assert!(machine.now() >= Duration::from_secs(60));
    complete(&mut engine, Op::Inspect { path: "/out".into() }).expect("it is there");
    assert!(machine.now() < Duration::from_secs(61));
}

#[test]
#[should_panic(expected = "waits for ever")]
fn a_wait_that_nothing_would_end_is_a_bug() {
    let (_, mut engine) = machine(1);
    engine.wait(None);
}

#[test]
fn a_process_that_dies_at_a_call_does_nothing_from_then_on() {
    let whole = Arc::<FaultPlan>::default();
    drive_three(1, &whole);
    for number in 0..whole.num_calls() {
        let plan = Arc::<FaultPlan>::default();
        plan.inject(number.., Fault::Errno(Errno::IO.raw_os_error()));
        let machine = drive_three(1, &plan);
        assert_eq!(plan.calls(0)[..number as usize], whole.calls(0)[..number as usize]);
        assert!(plan.calls(number).iter().all(|call| call.answer == Some(Err(5))));
        assert_eq!(machine.num_open(), 0);
    }
}

#[test]
fn a_cancelled_operation_completes_once_and_its_buffer_comes_back() {
    let mut ends = BTreeSet::new();
    for seed in 0..100 {
        let (machine, mut engine) = machine(seed);
        machine.write_file(Path::new("/out/file"), b"keys");
        let (path, buffer) = (PathBuf::from("/out/file"), Buffer::from(vec![0; 100]));
        let symlinks = Symlinks::Refuse;
        engine.submit(
            Token(1),
            Op::ReadFile {
                path,
                buffer,
                bytes_max: 100,
                symlinks,
                interrupt: Interrupt::default(),
            },
        );
        machine.advance_to(Duration::from_micros(seed * 20));
        engine.cancel(Token(1));
        let outcome = loop {
            match engine.poll() {
                Some(completion) => break completion.outcome,
                None => engine.wait(None),
            }
        };
        ends.insert(match outcome {
            Ok(payload) => {
                assert_eq!(&*payload.into_bytes(), b"keys");
                "succeeded"
            }
            Err(failure) => {
                assert_eq!(failure.error.kind, IoErrorKind::Cancelled);
                assert!(failure.buffer.is_some(), "{}", machine.history());
                "cancelled"
            }
        });
        assert_eq!(engine.num_in_flight(), 0);
        assert_eq!(machine.num_open(), 0);
    }
    assert_eq!(ends.len(), 2);
}
