//! Everything at once: several engines, drawn operations on a few paths, drawn faults, cancels, and
//! a device that fills up. Whatever happens, the accounts add up.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::super::{SimulatedEngine, SimulatedMachine};
use super::{files, machine};
use crate::buffer::Buffer;
use crate::engine::{Completion, Engine, Token};
use crate::faults::{Fault, FaultPlan};
use crate::op::{FileContent, Interrupt, Lengths, Op, Payload, Replace, Symlinks};
use crate::random::Random;
use crate::system::Errno;

const FAULTS: [Fault; 9] = [
    Fault::Errno(Errno::IO.raw_os_error()),
    Fault::Errno(Errno::NOSPC.raw_os_error()),
    Fault::Errno(Errno::MFILE.raw_os_error()),
    Fault::Errno(Errno::NOMEM.raw_os_error()),
    Fault::Errno(Errno::AGAIN.raw_os_error()),
    Fault::HARMLESS[0],
    Fault::HARMLESS[1],
    Fault::HARMLESS[2],
    Fault::HARMLESS[3],
];

fn draw_path(random: &mut Random) -> PathBuf {
    let names = ["a", "b", "a/f0", "b/f1", "a/c", "lock"];
    PathBuf::from("/out").join(names[random.index(names.len())])
}

fn draw(random: &mut Random) -> Op {
    let path = draw_path(random);
    match random.below(15) {
        0..=1 => {
            let buffer = Buffer::default();
            Op::ReadFile {
                path,
                buffer,
                bytes_max: 10_000,
                symlinks: Symlinks::Follow,
                interrupt: Interrupt::default(),
            }
        }
        2 => {
            let (buffer, symlinks) = (Buffer::default(), Symlinks::Refuse);
            Op::ReadRange { path, offset: 10, bytes: 500, buffer, symlinks }
        }
        3 => Op::ReadDirectory { path, bytes_max: 20_000, interrupt: Interrupt::default() },
        4 => {
            let lengths = [Lengths::Wanted, Lengths::Unwanted][random.index(2)];
            let interrupt = Interrupt::default();
            Op::ListTree { root: "/out".into(), lengths, entries_max: 100, depth_max: 5, interrupt }
        }
        5..=6 => {
            let name = ["a", "b"][random.index(2)].into();
            Op::WriteDirectory { parent: "/out".into(), name, files: files(1) }
        }
        7 => {
            let file = FileContent { name: "f9".into(), bytes: vec![9; 3000] };
            Op::WriteFile { directory: path, file }
        }
        8 => Op::Append { path, offset: 0, bytes: vec![3; 700] },
        9 => Op::Publish { staged: path, target: draw_path(random), replace: Replace::Never },
        10 => Op::Publish { staged: path, target: draw_path(random), replace: Replace::Exchange },
        11 => Op::RemoveTree { path },
        12 => Op::CreateLock { path },
        13 => Op::TryLock { path },
        _ => Op::SyncDirectory { path: "/out".into() },
    }
}

/// What is in flight: tokens, and whether a buffer has to come back.
#[derive(Default)]
struct Account {
    in_flight: BTreeMap<(usize, Token), bool>,
}

impl Account {
    fn submit(&mut self, number: usize, engine: &mut SimulatedEngine, token: Token, op: Op) {
        let has_buffer = matches!(op, Op::ReadFile { .. } | Op::ReadRange { .. });
        engine.submit(token, op);
        assert!(self.in_flight.insert((number, token), has_buffer).is_none());
    }

    fn settle(&mut self, number: usize, completion: Completion) {
        let Completion { token, outcome } = completion;
        let has_buffer = self.in_flight.remove(&(number, token));
        let has_buffer = has_buffer.expect("it completes once, where it was submitted");
        match outcome {
            Ok(payload) => assert_eq!(has_buffer, matches!(payload, Payload::Bytes(_))),
            Err(failure) => assert_eq!(has_buffer, failure.buffer.is_some()),
        }
    }
}

/// Submits, cancels, polls and lets time pass as drawn; at the end all is drained.
fn run(seed: u64) -> SimulatedMachine {
    let mut random = Random::new(seed);
    let (machine, first) = machine(seed);
    drop(first);
    machine.limit_bytes(12_000);
    let plan = Arc::new(FaultPlan::drawn(seed, 20, &FAULTS));
    let mut engines = [machine.engine(&plan), machine.engine(&plan)];
    let mut account = Account::default();
    for token in (0..120).map(Token) {
        let number = random.index(2);
        let engine = &mut engines[number];
        if engine.num_in_flight() < engine.capacity() {
            account.submit(number, engine, token, draw(&mut random));
        }
        if random.one_in(5) {
            engine.cancel(Token(random.below(token.0 + 1)));
        }
        while random.one_in(2) && engine.num_in_flight() > 0 {
            engine.wait(None);
            if let Some(completion) = engine.poll() {
                account.settle(number, completion);
            }
        }
        assert!(machine.bytes_used() <= 12_000);
    }
    for (number, engine) in engines.iter_mut().enumerate() {
        while engine.num_in_flight() > 0 {
            match engine.poll() {
                Some(completion) => account.settle(number, completion),
                None => engine.wait(None),
            }
        }
    }
    assert!(account.in_flight.is_empty());
    assert_eq!((machine.next_due(), machine.num_open()), (None, 0));
    machine.check_links();
    machine
}

#[test]
fn whatever_happens_every_operation_completes_once_with_its_buffer_and_nothing_stays_open() {
    for seed in 0..300 {
        let histories = [run(seed).history(), run(seed).history()];
        assert!(histories[0] == histories[1], "seed {seed} has two histories");
    }
}

#[test]
fn an_engine_that_is_dropped_takes_what_it_has_in_flight_with_it() {
    for seed in 0..50 {
        let (machine, mut engine) = machine(seed);
        let mut random = Random::new(seed);
        let mut other = machine.engine(&Arc::default());
        for token in (0..20).map(Token) {
            engine.submit(token, draw(&mut random));
        }
        other.submit(Token(1), Op::Inspect { path: "/out".into() });
        engine.wait(None);
        drop(engine);
        while other.poll().is_none() {
            other.wait(None);
        }
        assert_eq!((machine.next_due(), machine.num_open()), (None, 0));
    }
}
